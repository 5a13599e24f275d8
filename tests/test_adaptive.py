"""Step sizes that learn: SwiftTD, SwiftSarsa, TIDBD and Autostep."""

import copy
import math
import pickle
from functools import lru_cache
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from states import assert_goes_on_as, same
from streams import (
    ADAPTIVE,
    BACKENDS,
    COMPILED,
    FORMS,
    GOLDEN,
    INDEX_FORMS,
    learn,
    random_stream,
    relative,
)

import fasttrace as ft
from fasttrace.linear import adaptive_trace

TOLERANCE = 1e-10  # what the golden data state
backends = pytest.mark.parametrize("backend", BACKENDS)
compiled = pytest.mark.parametrize("backend", COMPILED)
everything = pytest.mark.parametrize("algorithm", ADAPTIVE, ids=str)
prediction = pytest.mark.parametrize("algorithm", [each for each in ADAPTIVE if not each.control], ids=str)
needs_c = pytest.mark.skipif(ft.backends()["c"] is not None, reason="needs C")
needs_both = pytest.mark.skipif(
    any(ft.backends()[name] is not None for name in ("numba", "c")), reason="to the bit: needs Numba and C"
)


# ---- streams ----


def example(algorithm, seed=0, **options):
    options = {"T": 50, "n": 12, "k": 4, "n_actions": 3 if algorithm.control else 0} | options
    return random_stream(seed, **options)


def make(algorithm, s, backend, size=0.1, **options):
    """A new learner whose step sizes begin at `size` times what the stream bears."""
    step = size * float(np.max(s.alpha))
    if "eta_min" in algorithm_options(algorithm):
        options = {"decay": 0.9} | options
    return algorithm.make(s.but(alpha=step), backend, **{"meta": 0.05} | options)


def algorithm_options(algorithm):
    return getattr(ft, algorithm.learner)._tunable


@st.composite
def cases(draw, algorithm, forms=FORMS):
    """A stream, and options of a learner of it."""
    control = algorithm.control
    s = random_stream(
        draw(st.integers(0, 2**32 - 1)),
        T=draw(st.integers(0, 50)),
        n=draw(st.integers(1, 60)),
        k=draw(st.integers(0, 6)),
        form=draw(st.sampled_from(forms)),
        repeats=draw(st.booleans()),
        n_actions=draw(st.integers(1, 3)) if control else 0,
        state_action=control and draw(st.booleans()),
        restarts=draw(st.booleans()),
    )
    options = {
        "size": draw(st.sampled_from([0.01, 0.2, 2.0])),
        "meta": draw(st.sampled_from([0.0, 0.01, 0.1])),
    }
    return s, options


def result(algorithm, s, backend, **options):
    learner = make(algorithm, s, backend, **options)
    deltas = learn(learner, s)
    return learner.weights, learner.trace, learner.alphas, deltas


# ---- golden results ----


@lru_cache
def golden():
    with np.load(GOLDEN / "adaptive.npz") as file:
        return dict(file)


SETTINGS = {
    "swift_td_sparse": (ft.SwiftTD, {"alpha": 0.0437, "decay": 0.99, "meta": 0.002}),
    "swift_td_meta05_sparse": (ft.SwiftTD, {"alpha": 0.0437, "decay": 0.99, "meta": 0.05}),
    "swift_td_clamp_sparse": (ft.SwiftTD, {"alpha": 0.0437, "decay": 0.99, "meta": 0.2}),
    "swift_td_nobound": (ft.SwiftTD, {"alpha": 0.01, "decay": 0.99, "meta": 0.001, "eta": 1.0}),
    "tidbd": (ft.TIDBD, {"alpha": 0.02, "meta": 0.01}),
    "tidbd_big": (ft.TIDBD, {"alpha": 0.45, "meta": 0.01}),
}
RESULTS = sorted({tuple(key.split("/")[0:3:2]) for key in golden() if "/out/" in key})


def golden_case(case):
    """(n, x, rewards, gammas, lambdas, w0) of a golden case, x in the form it is stored in."""
    data = {key.split("/")[2]: value for key, value in golden().items() if key.startswith(f"{case}/in/")}
    gammas = np.where(data["terminal"], 0.0, data["gamma"][1:])
    x = data["x"] if "x" in data else data["idx"]
    return int(data["d"]), x, data["R"], gammas, data["lam"][1:], data["w0"]


def assert_golden(case, name, learner):
    """Weights and step sizes: SwiftTD's as the bound leaves them that has taken the last state in."""
    want = {key: golden()[f"{case}/out/{name}/{key}"] for key in ("w", "beta")}
    assert relative(learner.weights, want["w"]) < TOLERANCE
    assert relative(np.log(learner.alphas), want["beta"]) < TOLERANCE


@backends
@pytest.mark.parametrize(("case", "name"), RESULTS)
def test_golden_streams(case, name, backend):
    """Weights and step sizes after a whole stream are the golden ones, and TIDBD's TD errors."""
    n, x, rewards, gammas, lambdas, w0 = golden_case(case)
    kind, options = SETTINGS[name]
    learner = kind(n, backend=backend, **options)
    learner.weights = w0
    deltas = learner.learn(x, rewards, gammas=gammas, lambdas=lambdas)
    assert_golden(case, name, learner)
    if name.startswith("tidbd"):
        assert relative(deltas, golden()[f"{case}/out/{name}/delta"]) < TOLERANCE


@backends
@pytest.mark.parametrize(("case", "name"), RESULTS)
def test_golden_steps(case, name, backend):
    """A transition at a time: the values on the way, from which the TD errors come, are golden, too."""
    n, x, rewards, gammas, lambdas, w0 = golden_case(case)
    kind, options = SETTINGS[name]
    learner = kind(n, backend=backend, **options)
    learner.weights = w0
    values = [learner.predict(x[0])]
    for t, reward in enumerate(rewards):
        v = learner.predict(x[t])
        values.append(learner.predict(x[t + 1]))
        x_next = x[t + 1] if gammas[t] or t == len(rewards) - 1 else None  # the last is taken in by alphas
        delta = learner.update(x[t], reward, x_next, gamma=gammas[t], lambda_=lambdas[t])
        assert abs(delta - (reward + gammas[t] * values[-1] - v)) < TOLERANCE
    assert_golden(case, name, learner)
    if name.startswith("swift"):
        assert relative(np.array(values), golden()[f"{case}/out/{name}/values"]) < TOLERANCE


# ---- the backends agree ----


@compiled
@everything
@settings(max_examples=20)
@given(data=st.data())
def test_agrees_with_the_papers(algorithm, backend, data):
    """Weights, trace, step sizes and TD errors are the reference's, for every form of features."""
    s, options = data.draw(cases(algorithm))
    want = result(algorithm, s, "numpy", **options)
    for got, expected in zip(result(algorithm, s, backend, **options), want, strict=True):
        assert got.shape == expected.shape
        assert relative(got, expected) < algorithm.tolerance


@needs_both
@everything
@settings(max_examples=20)
@given(data=st.data())
def test_numba_and_c_agree_to_the_bit(algorithm, data):
    """The same operations in the same order: not one bit differs."""
    s, options = data.draw(cases(algorithm))
    numba, c = (result(algorithm, s, backend, **options) for backend in ("numba", "c"))
    for one, other in zip(numba, c, strict=True):
        assert_array_equal(one, other)


@backends
@everything
@settings(max_examples=12)
@given(data=st.data())
def test_pieces_agree_to_the_bit(algorithm, backend, data):
    """A stream learned in two pieces, split anywhere, is the stream learned at once."""
    s, options = data.draw(cases(algorithm))
    split = data.draw(st.integers(0, s.T))
    learner = make(algorithm, s, backend, **options)
    deltas = np.concatenate([learn(learner, s, 0, split), learn(learner, s, split)])
    got = learner.weights, learner.trace, learner.alphas, deltas
    for one, other in zip(got, result(algorithm, s, backend, **options), strict=True):
        assert_array_equal(one, other)


@backends
@everything
@settings(max_examples=6)
@given(data=st.data())
def test_every_form_of_the_same_features_learns_the_same(algorithm, backend, data):
    """What is active counts, not how it is written: an index that stands twice is a value of 2."""
    s, options = data.draw(cases(algorithm, INDEX_FORMS))
    want = result(algorithm, s, backend, **options)
    for form in FORMS:
        for got, expected in zip(result(algorithm, s.but(form=form), backend, **options), want, strict=True):
            assert relative(got, expected) < algorithm.tolerance, form


@backends
@prediction
@pytest.mark.parametrize("form", ["indices", "pair", "dense"])
def test_updates_are_learn(algorithm, backend, form):
    """update, one transition at a time, is learn to the bit."""
    s = example(algorithm, form=form, repeats=True)
    learner = make(algorithm, s, backend)
    x = s.x()
    rows = list(zip(*x, strict=True)) if isinstance(x, tuple) else x
    deltas = [
        learner.update(rows[t], s.rewards[t], rows[t + 1], gamma=s.gammas[t], lambda_=s.lambdas[t])
        for t in range(s.T)
    ]
    got = learner.weights, learner.trace, learner.alphas, np.array(deltas)
    for one, other in zip(got, result(algorithm, s, backend), strict=True):
        assert_array_equal(one, other)


@compiled
@everything
def test_long_absences_and_full_lists(algorithm, backend):
    """Features that fade, leave the list and come back, and lists of several blocks."""
    n, T = 300, 1500
    s = example(algorithm, 2, n=n, k=3, T=T, restarts=False)
    rng = np.random.default_rng(3)
    lambdas = np.where(np.arange(T) % 500 < 400, 0.99, 0.3)
    s = s.but(gammas=rng.uniform(0.9, 1, T), lambdas=lambdas)
    want = result(algorithm, s, "numpy", meta=0.01)
    for got, expected in zip(result(algorithm, s, backend, meta=0.01), want, strict=True):
        assert relative(got, expected) < algorithm.tolerance


@pytest.mark.parametrize("backend", BACKENDS)
def test_sarsa_steps_are_learn(backend):
    """start, step, end, and learn of the same walk: the same weights to the bit."""
    algorithm = next(each for each in ADAPTIVE if each.control)
    s = example(algorithm, 4, repeats=True)
    agent, other = make(algorithm, s, backend, seed=1), make(algorithm, s, backend, seed=1)
    x = list(s.x()[:20])
    actions = [agent.start(x[0]), *(agent.step(r, row) for r, row in zip(s.rewards, x[1:], strict=False))]
    agent.end(1.0)
    rewards = np.append(s.rewards[:19], 1.0)
    gammas = np.where(np.arange(20) < 19, 0.99, 0.0)
    other.learn(np.array([*x, x[0]]), [*actions, 0], rewards, gammas=gammas)
    assert_array_equal(agent.weights, other.weights)
    assert_array_equal(agent.alphas, other.alphas)


@backends
def test_one_action_is_a_problem_of_values(backend):
    """SwiftSarsa with a single action is SwiftTD."""
    swift = {each.kernel: each for each in ADAPTIVE}
    s = example(swift["swift_td"], 5, repeats=True)
    one = s.but(weights=s.weights[:, np.newaxis], actions=np.zeros(s.T + 1, int), n_actions=1)
    want = result(swift["swift_td"], s, backend)
    for got, expected in zip(result(swift["swift_sarsa"], one, backend), want, strict=True):
        assert_array_equal(got.ravel(), expected)


# ---- SwiftTD: what it promises, and what its official code gets wrong ----


def swift(backend, n=6, **options):
    return ft.SwiftTD(n, **{"alpha": 0.02, "gamma": 0.9, "lambda_": 0.8, "backend": backend} | options)


@backends
def test_fixed_step_sizes_are_true_online_td(backend):
    """With meta 0, and a rate below eta, SwiftTD is true online TD(lambda)."""
    s = random_stream(6, form="pair", k=3).but(alpha=0.01)
    one = ft.SwiftTD(s.n, alpha=0.01, meta=0.0, eta=1.0, backend=backend)
    two = ft.TrueOnlineTD(s.n, alpha=0.01, backend=backend)
    one.weights = two.weights = s.weights
    assert relative(learn(one, s), learn(two, s)) < 1e-11
    assert relative(one.weights, two.weights) < 1e-11
    assert_array_equal(one.alphas, np.full(s.n, one.alphas[0]))


@backends
@pytest.mark.parametrize("gamma", [0.0, 0.9])
def test_lambda_0_is_td_0_with_the_step_sizes_of_the_step(backend, gamma):
    """Without lambda nothing of V - V_old is lost: w <- w + min(1, eta / tau) alpha delta x."""
    s = random_stream(7, restarts=False)
    learner = ft.SwiftTD(s.n, alpha=0.03, meta=0.02, backend=backend)
    learner.weights = s.weights
    for t in range(s.T):
        w, x, x_next = learner.weights, s.dense(t), s.dense(t + 1)
        rate = learner.alphas * x
        rate *= min(1.0, 0.1 / max(rate @ x, 1e-300))
        want = s.rewards[t] + gamma * w @ x_next - w @ x
        row, row_next = s.rows[t][0], s.rows[t + 1][0]
        assert abs(learner.update(row, s.rewards[t], row_next, gamma=gamma, lambda_=0.0) - want) < 1e-12
        assert relative(learner.weights, w + rate * want) < 1e-12


@backends
def test_the_rate_of_learning_is_bounded(backend):
    """However large the step sizes, an update takes at most the share eta of the error, and they decay."""
    learner = swift(backend, alpha=3.0, eta=0.25, decay=0.5, meta=0.0)
    assert learner.update([0, 1, 1], 1.0, None, gamma=0.0) == 1.0
    assert abs(learner.predict([0, 1, 1]) - 0.25) < 1e-12
    assert_array_equal(learner.alphas[2:], np.full(4, learner.alphas[2]))  # decay is for the active ones
    assert learner.alphas[0] <= 0.25
    learner.update([3], 1.0, None, gamma=0.0)
    assert abs(learner.predict([3]) - 0.25) < 1e-12


@backends
def test_a_step_size_held_at_eta_is_not_too_large(backend):
    """A lone active feature at eta has the rate eta: no decay, no loss of memory, by no last bit."""
    for eta in (0.1, 0.3, 0.7, 1 / 3):
        learner = swift(backend, n=1, alpha=eta, eta=eta, meta=0.0)
        learner.learn(np.zeros((100, 1), int), np.ones(99))
        np.testing.assert_allclose(learner.alphas, eta, rtol=1e-12)


@backends
def test_the_floor_holds_and_acts_below_it_alone(backend):
    """Step sizes shrink under noise, to eta_min and no further; with a lower floor they go on."""
    rng = np.random.default_rng(8)
    x, rewards = np.zeros((3001, 1), int), rng.normal(size=3000)
    for floor in (1e-3, 1e-9):
        learner = swift(backend, n=1, eta_min=floor, meta=0.05, gamma=0.0)
        lowest = min(
            learner.learn(x[:31], part).min() * 0 + learner.alphas[0] for part in rewards.reshape(100, 30)
        )
        assert lowest >= floor * (1 - 1e-12)
        assert floor == 1e-9 or lowest < floor * 1.5
    assert lowest > 1e-9 * 1.5  # the floor is not what holds it


@backends
@pytest.mark.parametrize("meta", [1.0, 1e3])
@pytest.mark.parametrize("lambda_", [0.9, 1.0])
def test_no_nan_from_step_sizes(backend, meta, lambda_):
    """Large meta and lambda drive step sizes between eta_min and eta, never out of the numbers."""
    s = random_stream(9, T=400, n=20, k=3, restarts=False)
    learner = ft.SwiftTD(s.n, alpha=0.01, meta=meta, gamma=1.0, lambda_=lambda_, backend=backend)
    deltas = learner.learn(s.x(), s.rewards)
    assert np.isfinite(deltas).all()
    assert not learner.diverged
    assert (learner.alphas >= 1e-10 * (1 - 1e-9)).all()
    assert (learner.alphas <= 0.1 * (1 + 1e-9)).all()


@backends
def test_no_nan_where_lambda_is_large(backend):
    """Settings as they come but for lambda: the official code has NaN after 1049 steps of this stream."""
    rng = np.random.default_rng(0)
    x, rewards = rng.integers(0, 200, (20_001, 4)), rng.standard_normal(20_000)
    learner = ft.SwiftTD(200, alpha=1e-3, gamma=0.99, lambda_=0.999, backend=backend)
    assert np.isfinite(learner.learn(x[:2001], rewards[:2000])).all()
    assert not learner.diverged


@backends
def test_negative_traces_stay(backend):
    """A trace below 0 is no trace that has faded: the next reward moves its weight down."""
    learner = swift(backend)
    learner.update(([0], [-1.0]), 0.0, [1])
    assert learner.trace[0] < 0
    learner.update([1], 1.0, [2])
    assert learner.weights[0] < 0


@backends
def test_a_bad_index_is_refused(backend):
    """It raises, and the learner is what it was."""
    learner = swift(backend)
    learner.update([0], 1.0, [1])
    before = learner.state_dict()
    for call in (
        lambda: learner.update([6], 1.0, [1]),
        lambda: learner.update(np.array([0], np.int32), 1.0, np.array([-2], np.int32)),
        lambda: learner.learn(np.array([[0], [7]], np.int32), [1.0]),
        lambda: learner.predict([6]),
    ):
        with pytest.raises(ft.FeatureIndexError, match="out of range"):
            call()
    assert same(learner, before)


@backends
def test_what_helps_learns_faster(backend):
    """The step sizes of features that tell of the reward grow, those of noise shrink."""
    rng = np.random.default_rng(10)
    T, n = 4000, 10
    x = (rng.random((T + 1, n)) < 0.3).astype(float)
    goal = np.cumsum(rng.choice([-0.1, 0.1], T))  # what feature 0 is worth drifts
    rewards = x[:-1, 0] * goal + rng.normal(size=T)
    for learner in (
        ft.SwiftTD(n, alpha=1e-3, eta=0.5, meta=1e-2, gamma=0.0, backend=backend),
        ft.TIDBD(n, alpha=1e-2, meta=1e-2, gamma=0.0, backend=backend),
        ft.Autostep(n, alpha=1e-2, gamma=0.0, backend=backend),
    ):
        learner.learn(x, rewards)
        assert learner.alphas[0] > 2 * learner.alphas[1:].max()


# ---- TIDBD and Autostep ----


@backends
@pytest.mark.parametrize("kind", [ft.TIDBD, ft.Autostep])
def test_meta_0_is_td(backend, kind):
    """Where step sizes do not learn and no step overshoots, it is TD(lambda), accumulating traces."""
    s = random_stream(11, form="pair").but(alpha=1e-3)
    one, two = kind(s.n, alpha=1e-3, meta=0.0, backend=backend), ft.TD(s.n, alpha=1e-3, backend=backend)
    one.weights = two.weights = s.weights
    assert relative(learn(one, s), learn(two, s)) < 1e-11
    assert relative(one.weights, two.weights) < 1e-11
    assert relative(one.trace, two.trace) < 1e-11


@backends
@settings(max_examples=12)
@given(data=st.data())
def test_autostep_never_overshoots(backend, data):
    """An update takes sum alpha z x of the error, and that is at most all of it."""
    algorithm = next(each for each in ADAPTIVE if each.kernel == "autostep")
    s, _ = data.draw(cases(algorithm, ["dense"]))
    learner = make(algorithm, s, backend, size=30.0, meta=0.5)
    x = s.x()
    for t in range(s.T):
        v, v_next = learner.predict(x[t]), learner.predict(x[t + 1])
        delta = learner.update(x[t], s.rewards[t], x[t + 1], gamma=s.gammas[t], lambda_=s.lambdas[t])
        assert learner.alphas * learner.trace @ x[t] <= 1 + 1e-9
        left = s.rewards[t] + (s.gammas[t] * v_next if s.gammas[t] else 0.0) - learner.predict(x[t])
        size = max(1.0, abs(v), abs(delta))
        assert left * delta >= -1e-9 * size**2 or abs(left) <= 1e-9 * size


@backends
@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_autostep_does_not_mind_the_scale_of_rewards(backend, scale):
    """Rewards in other units: the same step sizes, and weights in those units."""
    s = random_stream(12, T=200, k=3).but(weights=np.zeros(16))
    one, two = (ft.Autostep(s.n, alpha=0.02, meta=0.05, backend=backend) for _ in range(2))
    assert relative(learn(two, s.but(rewards=s.rewards * scale)) / scale, learn(one, s)) < 1e-12
    assert relative(two.weights / scale, one.weights) < 1e-12
    assert relative(two.alphas, one.alphas) < 1e-12
    assert one.alphas.max() > 1.1 * one.alphas.min()  # they have learned something


@backends
def test_autostep_forgets_large_changes_with_tau(backend):
    """After an outlier, the normaliser keeps the step sizes still for about tau updates."""
    moved = []
    for tau in (1.0, 1e6):
        learner = ft.Autostep(1, alpha=0.1, tau=tau, gamma=0.0, backend=backend)
        x = np.zeros((301, 1), int)
        learner.learn(x[:11], np.full(10, 1e4))
        learner.weights = [0.0]
        before = learner.alphas
        learner.learn(x, np.arange(300.0))
        moved.append(abs(math.log(learner.alphas[0] / before[0])))
    assert moved[0] > 3 * moved[1]


# ---- states ----


@backends
@everything
def test_states_go_on_bit_for_bit(algorithm, backend, tmp_path):
    """A checkpoint, a pickle, a copy and a state dict are the learner, and go on as it does."""
    s = example(algorithm, 14, form="pair")
    learner = make(algorithm, s, backend)
    learn(learner, s, 0, 30)
    learner.save(tmp_path / "learner.npz")
    other = make(algorithm, s, backend, meta=0.3)
    learn(other, s, 0, 10)
    other.load_state_dict(learner.state_dict())
    copies = [
        ft.load(tmp_path / "learner.npz"),
        pickle.loads(pickle.dumps(learner)),
        copy.copy(learner),
        other,
    ]
    for each in copies:
        assert same(each, learner)
        going_on = copy.deepcopy(learner)
        assert_goes_on_as(each, going_on, s, 30)
        assert_array_equal(each.alphas, going_on.alphas)


@everything
@pytest.mark.parametrize("other", BACKENDS)
@pytest.mark.parametrize("one", BACKENDS)
def test_to_goes_on(algorithm, one, other):
    """Half a stream in one backend, half in another: as in one, but for rounding."""
    s = example(algorithm, 15, repeats=True)
    learner, here = (make(algorithm, s, one) for _ in range(2))
    learn(learner, s, 0, 20), learn(here, s, 0, 20)
    assert learner.to(other) is learner
    assert learner.backend == other
    assert relative(learn(learner, s, 20), learn(here, s, 20)) < 1e-11
    for name in ("weights", "trace", "alphas"):
        assert relative(getattr(learner, name), getattr(here, name)) < 1e-11


@everything
@pytest.mark.parametrize("backend", COMPILED)
def test_damaged_states_are_refused(algorithm, backend):
    """Arrays that do not belong together would lead the kernels astray: ValueError, and nothing changes."""
    s = example(algorithm, 16)
    learner = make(algorithm, s, backend)
    learn(learner, s, 0, 30)
    before = learner.state_dict()
    size = len(before["arrays"]["rows"]) // 8
    for name, place, value in (
        ("counters", 0, 13), ("counters", 2, 1), ("counters", 2, -1), ("counters", 3, 0),
        ("carried", 0, np.nan), ("rows", 6, 99.0), ("rows", 7, 1e6), ("list", 0, size), ("list", 0, -1),
    ):  # fmt: skip
        damaged = copy.deepcopy(before)
        damaged["arrays"][name][place] = value
        with pytest.raises(ValueError, match="state: "):
            learner.load_state_dict(damaged)
        assert same(learner, before)


@backends
@everything
def test_reset_keeps_what_was_learned(algorithm, backend):
    """It empties the trace; weights and step sizes stay, and what follows is as after a termination."""
    s = example(algorithm, 17, restarts=False)
    ended, reset = make(algorithm, s, backend), make(algorithm, s, backend)
    gammas = s.gammas.copy()
    gammas[29] = 0.0
    s = s.but(gammas=gammas)
    learn(ended, s, 0, 30), learn(reset, s, 0, 30)
    weights, alphas = reset.weights, reset.alphas
    reset.reset()
    assert not reset.trace.any()
    assert_array_equal(reset.weights, weights)
    assert_array_equal(reset.alphas, alphas)
    assert_array_equal(learn(reset, s, 30), learn(ended, s, 30))
    assert_array_equal(reset.weights, ended.weights)


@backends
@everything
def test_weights_can_be_set(algorithm, backend):
    """To the bit; trace and step sizes stay, and the next step takes v_old = v."""
    s = example(algorithm, 18, restarts=False)
    learner = make(algorithm, s, backend)
    learn(learner, s, 0, 30)
    trace, alphas = learner.trace, learner.alphas
    wanted = np.random.default_rng(0).normal(size=learner.weights.shape)
    learner.weights = wanted
    assert_array_equal(learner.weights, wanted)
    np.testing.assert_allclose(learner.trace, trace, rtol=1e-13)
    assert_array_equal(learner.alphas, alphas)
    numpy = copy.deepcopy(learner).to("numpy")
    assert relative(learn(learner, s, 30), learn(numpy, s, 30)) < 1e-11


@backends
@everything
def test_alpha_can_be_set(algorithm, backend):
    """All step sizes begin again from it; weights and trace stay."""
    s = example(algorithm, 19)
    learner = make(algorithm, s, backend)
    learn(learner, s, 0, 30)
    weights, trace = learner.weights, learner.trace
    learner.alpha = 0.03
    assert learner.alpha == 0.03
    np.testing.assert_allclose(learner.alphas, 0.03, rtol=1e-14)
    np.testing.assert_allclose(learner.weights, weights, rtol=1e-12, atol=1e-12)
    assert_array_equal(learner.trace, trace)
    learner.alphas[:] = 7.0  # a copy
    np.testing.assert_allclose(learner.alphas, 0.03, rtol=1e-14)


@backends
@pytest.mark.parametrize(
    ("kind", "options"),
    [(ft.SwiftTD, {"decay": 1.0}), (ft.TIDBD, {}), (ft.Autostep, {})],
    ids=["swift_td", "tidbd", "autostep"],
)
def test_step_sizes_that_are_not_finite_show_at_once(kind, options, backend):
    """Values whose square overflows: `diverged` says so of step sizes, though the weights are finite."""
    learner = kind(4, alpha=0.1, backend=backend, **options)
    x = np.full(4, 1e200)
    learner.update(x, 1.0, x)
    assert np.isfinite(learner.weights).all()
    usable = bool(np.isfinite(learner.alphas).all() and (learner.alphas > 0.0).all())
    assert usable == (kind is ft.TIDBD)
    assert learner.diverged or usable
    learner.update(x, 1.0, x)
    assert learner.diverged
    learner.weights = np.zeros(4)
    assert not learner.diverged


@backends
@pytest.mark.parametrize("kind", [ft.SwiftTD, ft.SwiftSarsa], ids=lambda each: each.__name__)
def test_step_sizes_after_the_state_arrived_in(kind, backend, tmp_path):
    """The bound takes it in: `alphas` shows it at once, of copies and checkpoints too; not after a reset."""
    control = kind is ft.SwiftSarsa
    one, other = np.array([1], np.int32), np.array([0, 2, -1], np.int32)

    def bounded(x_next, values=None):
        learner = kind(*((3, 2) if control else (3,)), alpha=0.06, meta=0.0, decay=0.5, backend=backend)
        last = x_next if values is None else (x_next, values)
        if control:
            rows = np.array([[1, -1, -1], [0, 2, -1]], np.int32)
            many = rows if values is None else (rows, np.array([[1.0, 0.0, 0.0], values]))
            learner.learn(many, [0, 1], [1.0])
        else:
            learner.update(one, 1.0, last)
        return learner

    for values, want in ((None, [0.03, 0.06, 0.03]), (np.array([1.0, 0.5, 9.0]), [0.06, 0.06, 0.06])):
        learner = bounded(other, values)
        column = (slice(None), 1) if control else slice(None)
        np.testing.assert_allclose(learner.alphas[column], want, rtol=1e-12)
        learner.save(tmp_path / "learner.npz")
        loaded = ft.load(tmp_path / "learner.npz")
        for again in (copy.deepcopy(learner), loaded, pickle.loads(pickle.dumps(learner))):
            np.testing.assert_array_equal(again.alphas, learner.alphas)
        np.testing.assert_allclose(learner.to("numpy").alphas[column], want, rtol=1e-12)
        learner.reset()
        np.testing.assert_allclose(learner.alphas, 0.06, rtol=1e-12)


@backends
def test_a_learner_that_diverged_can_begin_again(backend):
    """TIDBD with far too large a step size overflows, says so, and with new weights is itself again."""
    learner = ft.TIDBD(2, alpha=50.0, meta=0.5, backend=backend)
    learner.learn(np.tile([[0], [1]], (400, 1)), np.ones(799))
    assert learner.diverged
    learner.weights = np.zeros(2)
    assert not learner.diverged
    assert np.isfinite(learner.alphas).all()
    assert np.isfinite(learner.update([0], 1.0, [1]))


# ---- bad input ----

BAD = [
    (ft.SwiftTD, {"eta": -0.1}), (ft.SwiftTD, {"eta": 1.5}), (ft.SwiftTD, {"eta": math.nan}),
    (ft.SwiftTD, {"decay": 0.0}), (ft.SwiftTD, {"decay": 1.01}), (ft.SwiftTD, {"meta": -1e-9}),
    (ft.SwiftTD, {"meta": math.inf}), (ft.SwiftTD, {"eta_min": 0.0}), (ft.SwiftTD, {"eta_min": 0.2}),
    (ft.TIDBD, {"meta": -1.0}), (ft.TIDBD, {"alpha": 0.0}),
    (ft.Autostep, {"tau": 0.0}), (ft.Autostep, {"tau": math.inf}), (ft.Autostep, {"meta": math.nan}),
]  # fmt: skip


@backends
@pytest.mark.parametrize(("kind", "options"), BAD, ids=lambda each: str(each))
def test_bad_options(kind, options, backend):
    """Each is refused by name, when it is given and when it is set; then the learner is what it was."""
    ((name, value),) = options.items()
    good = {"alpha": 0.1, "backend": backend}
    with pytest.raises(ValueError, match=f"^{name}: got"):
        kind(4, **good | options)
    learner = kind(4, **good)
    before = learner.state_dict()
    with pytest.raises(ValueError, match=f"^{name}: got"):
        setattr(learner, name, value)
    assert same(learner, before)
    with pytest.raises(TypeError, match=f"^{name}: "):
        setattr(learner, name, "0.1")


@backends
def test_eta_may_not_fall_below_the_floor(backend):
    learner = ft.SwiftTD(4, alpha=0.1, eta_min=0.01, backend=backend)
    with pytest.raises(ValueError, match="eta_min"):
        learner.eta = 0.001
    assert learner.eta == 0.1
    learner.eta = 0.01
    assert learner.eta == 0.01


@backends
@pytest.mark.parametrize("kind", [ft.SwiftTD, ft.SwiftSarsa], ids=lambda each: each.__name__)
def test_with_eta_0_nothing_is_learned(kind, backend):
    """An update takes the share 0 of the error; the step sizes of what is met go to the floor.  Above 0 the
    learner learns again."""
    control = kind is ft.SwiftSarsa
    s = random_stream(50)
    actions = (np.arange(s.T + 1) % 2,) if control else ()
    learner = kind(s.n, *(2,) * control, alpha=0.05, eta=0.0, meta=0.1, backend=backend)
    learner.weights = before = np.ones_like(learner.weights)
    deltas = learner.learn(s.x(), *actions, s.rewards)
    assert np.isfinite(deltas).all()
    assert_array_equal(learner.weights, before)
    met = np.abs(learner.alphas - 1e-10) < 1e-22
    assert met.any()
    assert_array_equal(learner.alphas[~met], learner.alphas.max())
    learner.eta = 0.1
    learner.learn(s.x(), *actions, s.rewards)
    assert np.abs(learner.weights - before).max() > 1e-10


@backends
def test_options_act_when_they_are_set(backend):
    """Also after a change of backend and in a copy."""
    s = random_stream(20)
    for change in (lambda each: each, copy.copy, lambda each: each.to("numpy").to(backend)):
        one = ft.SwiftTD(s.n, alpha=0.01, meta=0.1, backend=backend)
        two = ft.SwiftTD(s.n, alpha=0.01, meta=0.3, backend=backend)
        one.meta = 0.3
        one = change(one)
        assert relative(learn(one, s), learn(two, s)) < 1e-11
        assert relative(one.alphas, two.alphas) < 1e-11


@backends
@everything
def test_arguments_that_no_step_uses(algorithm, backend):
    """rho and alpha by the step are not in the signatures."""
    s = example(algorithm)
    learner = make(algorithm, s, backend)
    actions = () if s.actions is None else (s.actions,)
    for name in ("alpha", "rhos"):
        with pytest.raises(TypeError, match=name):
            learner.learn(s.x(), *actions, s.rewards, **{name: 1.0})


@backends
def test_simulation(backend):
    """SwiftTD predicts a random walk, SwiftSarsa drives a car: the same walk in every backend."""
    walk = ft.envs.RandomWalk(5)
    learner = ft.SwiftTD(5, alpha=0.02, gamma=1.0, backend=backend)
    reference = ft.SwiftTD(5, alpha=0.02, gamma=1.0, backend="numpy")
    history = ft.simulate(walk, learner, episodes=60, seed=1)
    assert history.steps == ft.simulate(walk, reference, episodes=60, seed=1).steps
    assert relative(learner.weights, reference.weights) < 1e-11
    assert learner.weights[0] < -0.1 < 0.1 < learner.weights[-1]
    car = ft.envs.MountainCar()
    coder = ft.TileCoder(car.low, car.high, 8, 4)
    agent, other = (
        ft.SwiftSarsa(coder.n_features, 3, alpha=0.02, gamma=1.0, seed=2, backend=name)
        for name in (backend, "numpy")
    )
    for each in (agent, other):
        assert ft.simulate(car, each, coder, steps=150, max_episode_steps=60, seed=3).lengths.tolist() == [
            60,
            60,
        ]
    assert relative(agent.weights, other.weights) < 1e-11


def walk(steps, n=900, k=6, seed=2):
    """A walk over features that comes to new ones all the time: (steps + 1, k), and rewards."""
    rng = np.random.default_rng(seed)
    at = np.cumsum(rng.integers(-1, 3, steps + 1)) % (n // k)
    return (at[:, None] + np.arange(k) * (n // k)).astype(np.int32), rng.normal(size=steps)


@pytest.mark.parametrize("backend", COMPILED)
def test_rows_at_rest(backend):
    """In a long list step sizes that hardly move any more are moved by the first term of an exponential:
    as the reference has it, to the bit however the stream is cut, also across a checkpoint."""
    x, rewards = walk(700)
    options = {"alpha": 0.01, "lambda_": 0.97, "meta": 0.01, "eta": 0.3}
    reference = ft.SwiftTD(900, **options, backend="numpy")
    whole, cut = (ft.SwiftTD(900, **options, backend=backend) for _ in range(2))
    want = reference.learn(x, rewards)
    deltas = whole.learn(x, rewards)
    assert relative(deltas, want) < 1e-9
    assert relative(whole.alphas, reference.alphas) < 1e-11
    assert relative(whole.weights, reference.weights) < 1e-11
    assert 32 < whole._trace.awake[0] < whole._trace.counter("listed") - 32
    edges = [0, 1, 150, 151, 400, 700]
    parts = []
    for begin, end in pairwise(edges):
        parts.append(cut.learn(x[begin : end + 1], rewards[begin:end]))
        cut = pickle.loads(pickle.dumps(cut))
    assert_array_equal(np.concatenate(parts), deltas)
    assert same(cut, whole)


@pytest.mark.parametrize("backend", COMPILED)
def test_rows_at_rest_when_options_change(backend):
    """Other bounds, a larger meta and errors beyond all before wake them: nothing is left out."""
    x, rewards = walk(900)
    rewards[500] *= 1e4
    reference, ours = (
        ft.SwiftTD(900, alpha=0.01, lambda_=0.97, meta=1e-3, eta=0.3, backend=name)
        for name in ("numpy", backend)
    )
    for begin, end, change in (
        (0, 450, {}),
        (450, 600, {"meta": 0.1}),
        (600, 750, {"eta": 0.05}),
        (750, 900, {}),
    ):
        for each in (reference, ours):
            for name, value in change.items():
                setattr(each, name, value)
        want = reference.learn(x[begin : end + 1], rewards[begin:end])
        got = ours.learn(x[begin : end + 1], rewards[begin:end])
        assert relative(got, want) < 1e-8
        assert relative(ours.alphas, reference.alphas) < 1e-8
    assert ours._trace.awake[0] > 0


@needs_c
def test_words_of_the_struct():
    """The arrays that Python and Numba lay over the C structs have their fields, in their order."""
    ffi = import_module("fasttrace.backends.c").ffi
    fields = ffi.typeof("ft_adaptive").fields
    names = {"int64_t": adaptive_trace._COUNTERS, "double": adaptive_trace._SCALARS}
    in_header = [(name, field.type.cname) for name, field in fields]
    ranks = len(adaptive_trace._RANKS)
    cut = -adaptive_trace._POINTERS - ranks
    assert in_header[:cut] == [(name, kind) for kind, each in names.items() for name in each]
    pointers = ["rows", "p", "inverse", "fresh", "x", "list", "active"]
    assert [name for name, _ in in_header[cut:-ranks]] == pointers
    kinds = ["int64_t", "double", "double", "double"]
    assert in_header[-ranks:] == list(zip(adaptive_trace._RANKS, kinds, strict=True))
    assert [field.offset for _, field in fields] == [8 * word for word in range(len(fields))]
    assert tuple(name for name, _ in ffi.typeof("ft_adaptive_row").fields) == adaptive_trace._ROW
    assert import_module("fasttrace.backends.c").lib.FT_AT_ONCE == adaptive_trace._AT_ONCE


@needs_c
@pytest.mark.parametrize("kind", ["swift", "tidbd", "autostep"], ids=lambda kind: f"c-{kind}")
def test_the_c_api_by_itself(kind):
    """init takes memory that may hold anything; steps, dense copies and reset are the learner's."""
    c = import_module("fasttrace.backends.c")
    ffi, lib = c.ffi, c.lib
    number = {"swift": lib.FT_SWIFT, "tidbd": lib.FT_TIDBD, "autostep": lib.FT_AUTOSTEP}[kind]
    n, rng = 7, np.random.default_rng(22)
    t = ffi.new("ft_adaptive *")
    arrays = {
        "rows": np.full(8 * n, np.nan),
        "list": np.full(n, -5, np.int32),
        "active": np.full(n, -5, np.int32),
    }
    arrays |= {name: np.full(n + lib.FT_AT_ONCE, np.nan) for name in ("p", "inverse", "fresh", "x")}
    for name, array in arrays.items():
        setattr(t, name, ffi.cast(ffi.typeof(getattr(t, name)), ffi.from_buffer(array)))
    t.meta, t.eta, t.shrink, t.eta_min, t.tau = 0.05, 0.1, 0.999, 1e-10, 1e4
    lib.ft_adaptive_init(t, n, 1, 0.02)
    classes = {"swift": ft.SwiftTD, "tidbd": ft.TIDBD, "autostep": ft.Autostep}
    learner = classes[kind](n, alpha=0.02, meta=0.05, backend="c")
    delta, null = ffi.new("double *"), ffi.NULL
    for turn in range(60):
        x, y = rng.integers(-1, n, (2, 3)).astype(np.int32)
        reward = rng.normal()
        p, q = ffi.from_buffer("int32_t[]", x), ffi.from_buffer("int32_t[]", y)
        assert lib.ft_adaptive_step(t, number, 3, p, null, 0, 3, q, null, 0, reward, 0.9, 0.8, delta) == 0
        assert delta[0] == learner.update(x, reward, y, gamma=0.9, lambda_=0.8)
        if turn == 40:
            lib.ft_adaptive_reset(t, number)
            learner.reset()
    w, alphas = np.empty(n), np.empty(n)
    out = [ffi.from_buffer("double[]", each) for each in (w, alphas)]
    lib.ft_adaptive_dense(t, number, *out)
    assert_array_equal(w, learner.weights)
    assert_array_equal(alphas, learner._trace.alphas())  # the state arrived in is not taken in yet
    bad = ffi.new("int32_t[]", [n])
    assert (
        lib.ft_adaptive_step(t, number, 1, bad, null, 0, 0, null, null, 0, 1.0, 0.0, 0.0, delta)
        == lib.FT_EINDEX
    )
    assert t.bad_index == n
    numbers = (1.0, 0.5, 0.5, delta)
    assert lib.ft_adaptive_step(t, number, 0, null, null, 1, 0, null, null, 0, *numbers) == lib.FT_EACTION
    assert lib.ft_adaptive_step(t, 3, 0, null, null, 0, 0, null, null, 0, *numbers) == lib.FT_EVALUE
    assert (
        lib.ft_adaptive_step(t, number, 0, null, null, 0, 0, null, null, 0, np.nan, *numbers[1:])
        == lib.FT_EVALUE
    )
    assert (
        lib.ft_adaptive_step(t, number, 0, null, null, 0, 0, null, null, 0, 1.0, 1.5, *numbers[2:])
        == lib.FT_EVALUE
    )
    assert_array_equal(w, learner.weights)


def test_learn_in_many_pieces():
    """Cuts at every place, with empty pieces."""
    s = random_stream(21)
    whole, pieces = (ft.SwiftTD(s.n, alpha=0.02, meta=0.1) for _ in range(2))
    learn(whole, s)
    for start, stop in pairwise([0, 0, 1, 1, 2, 5, 6, s.T, s.T]):
        learn(pieces, s, start, stop)
    assert same(pieces, whole)


@needs_c
def test_values_of_the_c_api_take_all_rows():
    """Whatever actions a stream has: out[r] is of row r."""
    c = import_module("fasttrace.backends.c")
    ffi, lib = c.ffi, c.lib
    n, size = 5, 5 + lib.FT_AT_ONCE
    arrays = {name: np.zeros(size) for name in ("p", "inverse", "fresh", "x")}
    arrays |= {"rows": np.zeros(8 * n), "list": np.zeros(n, np.int32), "active": np.zeros(n, np.int32)}
    t, x = ffi.new("ft_adaptive *"), ffi.new("ft_stream *")
    for name, array in arrays.items():
        setattr(t, name, ffi.cast(ffi.typeof(getattr(t, name)), ffi.from_buffer(array)))
    lib.ft_adaptive_init(t, n, 1, 0.1)
    arrays["rows"][::8] = np.arange(n)  # b
    indices, actions = ffi.new("int32_t[]", [4, 1, 3, 0]), ffi.new("int32_t[]", [1, 1, 0, 1])
    x.k, x.n_actions, x.indices, x.actions = 1, 2, indices, actions
    out = ffi.new("double[4]")
    assert lib.ft_adaptive_values(t, x, 4, out) == lib.FT_OK
    assert list(out) == list(indices)
