"""The learners with two weight vectors: golden results, the scalars that they keep, and v."""

import copy
import pickle
import runpy
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from states import same
from streams import ALGORITHMS, BACKENDS, COMPILED, FORMS, GOLDEN, Stream, learn, random_stream, relative

import fasttrace as ft
from fasttrace import features, registry
from fasttrace.linear import gradient_trace
from fasttrace.policy import probabilities

backends = pytest.mark.parametrize("backend", BACKENDS)
TWO_VECTORS = [row.kernel for row in registry.STEP_LEARNERS if row.stem == "gradient"]
STATES = [name for name in TWO_VECTORS if name != "gq"]
everything = pytest.mark.parametrize("name", TWO_VECTORS)


# ---- golden results ----

KERNELS = {
    "gtd_lambda": "gtd",
    "tdc_v_delta": "gtd",
    "htd_lambda": "htd",
    "gtd2_v_delta": "gtd2",
    "true_online_gtd": "true_online_gtd",
    "gq_lambda": "gq",
}


@lru_cache
def golden():
    with np.load(GOLDEN / "gradient.npz") as file:
        return dict(file)


RESULTS = sorted({tuple(key.split("/")[0:3:2]) for key in golden() if "/out/" in key})


def golden_learner(case, key, backend):
    """A learner as the golden results were made with, and its stream."""
    data = {name.split("/")[2]: value for name, value in golden().items() if name.startswith(f"{case}/in/")}
    control = "A" in data
    sizes = (int(data["d"]), data["pi"].shape[1]) if control else (int(data["d"]),)
    options = {"alpha": float(data["alpha"]), "beta": float(data["beta"])}
    learner = getattr(ft, ALGORITHMS[KERNELS[key]].learner)(
        *sizes, **options, backend=backend, **({"state_action": True} if control else {})
    )
    learner.weights = data["w0"]
    data["gammas"] = np.where(data["terminal"], 0.0, data["gamma"][1:])
    data["lambdas"] = np.zeros(len(data["R"])) if key == "tdc_v_delta" else data["lam"][1:]
    return learner, data


def check_golden(case, key, learner, deltas):
    want = {name: golden().get(f"{case}/out/{key}/{name}") for name in ("w", "v", "z", "zb", "delta")}
    assert relative(learner.weights, want["w"]) < 1e-10
    assert relative(learner.v, want["v"]) < 1e-10
    assert relative(deltas, want["delta"]) < 1e-10
    if want["z"] is not None:
        alpha = golden()[f"{case}/in/alpha"] if key == "true_online_gtd" else 1.0
        assert relative(learner.trace, want["z"] / alpha) < 1e-10
    if want["zb"] is not None:
        assert relative(learner._trace.vectors()["zb"], want["zb"]) < 1e-10


@backends
@pytest.mark.parametrize(("case", "key"), RESULTS)
def test_learn_agrees(case, key, backend):
    """Both vectors, the traces and the TD errors are the golden ones."""
    learner, data = golden_learner(case, key, backend)
    x = data.get("x", data["idx"])
    options = {"gammas": data["gammas"], "lambdas": data["lambdas"], "rhos": data["rho"]}
    if KERNELS[key] == "gtd2":
        del options["lambdas"]
    if "A" in data:
        deltas = learner.learn(x, data["A"], data["R"], **options, target_policy=data["pi"])
    else:
        deltas = learner.learn(x, data["R"], **options)
    check_golden(case, key, learner, deltas)


@backends
@pytest.mark.parametrize(("case", "key"), [each for each in RESULTS if each[0][0] == "S"])
def test_update_agrees(case, key, backend):
    """The same, one transition at a time, without the next state where the episode ends."""
    learner, data = golden_learner(case, key, backend)
    x = data.get("x", data["idx"].astype(np.int32))
    deltas = []
    for t, gamma in enumerate(data["gammas"].tolist()):
        options = {"gamma": gamma, "lambda_": data["lambdas"][t], "rho": data["rho"][t]}
        if KERNELS[key] == "gtd2":
            del options["lambda_"]
        deltas.append(learner.update(x[t], data["R"][t], x[t + 1] if gamma else None, **options))
    check_golden(case, key, learner, deltas)


# ---- the scalars that are kept ----


def drawn(data, name, forms=FORMS):
    """A stream that Hypothesis draws for one of the learners."""
    control = name == "gq"
    return random_stream(
        data.draw(st.integers(0, 2**32 - 1)),
        T=data.draw(st.integers(1, 60)),
        n=data.draw(st.integers(1, 30)),
        k=data.draw(st.integers(0, 6)),
        form=data.draw(st.sampled_from(forms)),
        repeats=data.draw(st.booleans()),
        n_actions=data.draw(st.integers(1, 4)) if control else 0,
        state_action=control and data.draw(st.booleans()),
        off_policy=data.draw(st.booleans()),
        vary_alpha=data.draw(st.booleans()),
        restarts=data.draw(st.booleans()),
    )


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("name", [each for each in TWO_VECTORS if each != "gtd2"])
@given(data=st.data())
def test_kept_products_are_those_of_the_vectors(name, backend, data):
    """z.v, z.z and the others, never computed anew, are what the whole vectors give; repeats included."""
    s = drawn(data, name)
    learner = ALGORITHMS[name].make(s, backend)
    learn(learner, s)
    trace = learner._trace
    for product, want in gradient_trace.products(trace.kind, trace.vectors()).items():
        kept = trace.scalars[gradient_trace._SCALARS.index(product)]
        assert abs(kept - want) <= 1e-12 * max(1.0, abs(want)), product


@pytest.mark.parametrize("backend", COMPILED)
@everything
@given(data=st.data())
def test_v_agrees_with_the_book(name, backend, data):
    """v, and the weights, are the dense reference's in every form of features."""
    s = drawn(data, name)
    ours, book = (ALGORITHMS[name].make(s, each) for each in (backend, "numpy"))
    assert relative(learn(ours, s), learn(book, s)) < 1e-11
    assert relative(ours.v, book.v) < 1e-11
    assert relative(ours.weights, book.weights) < 1e-11


LONG, EAGER = 200_000, 20_000  # steps, and those of them that the eager loop takes as well


@lru_cache
def long_stream():
    """Zeros stand among its discounts, lambdas and ratios; the same for every learner."""
    n, k = 24, 3
    rng = np.random.default_rng(3)
    x = np.arange(k) * (n // k) + rng.integers(n // k, size=(LONG + 1, k))
    gammas = np.where(rng.random(LONG) < 0.01, 0.0, rng.uniform(0.9, 1, LONG))
    lambdas = np.where(rng.random(LONG) < 0.01, 0.0, rng.uniform(0.6, 1, LONG))
    rhos = rng.choice([0.0, 0.6, 1.0, 1.3], LONG, p=[0.02, 0.3, 0.38, 0.3])
    rewards, actions = rng.normal(size=LONG), rng.integers(3, size=LONG + 1)
    return x, gammas, lambdas, rhos, rewards, actions, rng.dirichlet(np.ones(3), LONG + 1)


def learn_long(learner, start, stop):
    """Steps start to stop of the long stream."""
    x, gammas, lambdas, rhos, rewards, actions, policy = long_stream()
    states, part = slice(start, stop + 1), slice(start, stop)
    options = {"gammas": gammas[part], "rhos": rhos[part]}
    if learner.lambda_ is not None:
        options["lambdas"] = lambdas[part]
    if isinstance(learner, ft.GQ):
        options["target_policy"] = policy[states]
        learner.learn(x[states], actions[states], rewards[part], **options)
    else:
        learner.learn(x[states], rewards[part], **options)


def long_learner(name, backend):
    sizes = (24, 3) if name == "gq" else (24,)
    # TDRC's v is then scaled anew some times: 230 / 0.01 steps a generation.
    options = ALGORITHMS[name].options | {"alpha": 0.01, "beta": 1.0 if name == "tdrc" else 0.002}
    return getattr(ft, ALGORITHMS[name].learner)(*sizes, **options, backend=backend)


@lru_cache
def eager(name):
    """The reference after EAGER steps."""
    learner = long_learner(name, "numpy")
    learn_long(learner, 0, EAGER)
    return learner


@pytest.mark.parametrize("backend", COMPILED)
@everything
def test_a_long_run_does_not_drift(name, backend):
    """After 20 000 steps both vectors are the eager loop's, after 200 000 the kept products the dense ones.

    To rounding.  python -m bench.drift shows both over 10 million steps.
    """
    learner = long_learner(name, backend)
    learn_long(learner, 0, EAGER)
    assert relative(learner.weights, eager(name).weights) < 1e-11
    assert relative(learner.v, eager(name).v) < 1e-11
    learn_long(learner, EAGER, LONG)
    trace = learner._trace
    vectors = trace.vectors()
    for product, want in gradient_trace.products(trace.kind, vectors).items():
        kept = trace.scalars[gradient_trace._SCALARS.index(product)]
        size = np.linalg.norm(vectors["z"]) * np.linalg.norm(vectors["v"])
        assert abs(kept - want) <= 1e-12 * max(size, abs(want)), product


# ---- v and beta ----


@backends
@everything
def test_v_can_be_set(name, backend):
    """v is what it was set to, to the bit; weights and trace are what they were; all are copies."""
    s = random_stream(5, n_actions=3 if name == "gq" else 0)
    learner = ALGORITHMS[name].make(s, backend)
    learn(learner, s, 0, 30)
    weights, trace, v = learner.weights, learner.trace, learner.v
    assert v.any()
    v += 1.0
    wanted = np.random.default_rng(0).normal(size=v.shape)
    learner.v = wanted
    for got, want in ((learner.v, wanted), (learner.weights, weights), (learner.trace, trace)):
        assert_array_equal(got, want)
    got = learner.v
    got += 1.0
    assert_array_equal(learner.v, wanted)


@pytest.mark.parametrize("backend", COMPILED)
@everything
def test_setting_v_goes_on_as_the_reference(name, backend):
    """The products are taken anew from the v that was set: what follows is the reference's."""
    s = random_stream(6, n_actions=3 if name == "gq" else 0, off_policy=True, restarts=False)
    v = np.random.default_rng(1).normal(size=s.weights.shape)
    results = []
    for each in (backend, "numpy"):
        learner = ALGORITHMS[name].make(s, each)
        learn(learner, s, 0, 30)
        learner.v = v
        deltas = learn(learner, s, 30)
        results.append((deltas, learner.weights, learner.v))
    for got, want in zip(*results, strict=True):
        assert relative(got, want) < 1e-11


@backends
@everything
def test_reset_keeps_both_vectors(name, backend):
    """The traces and products go, weights and v stay."""
    s = random_stream(7, n_actions=3 if name == "gq" else 0)
    learner = ALGORITHMS[name].make(s, backend)
    learn(learner, s)
    weights, v = learner.weights, learner.v
    learner.reset()
    assert_array_equal(learner.weights, weights)
    assert_array_equal(learner.v, v)
    assert not any(learner._trace.vectors()[each].any() for each in gradient_trace.TRACES[learner._layout])
    fresh = ALGORITHMS[name].make(s, backend)
    fresh.weights, fresh.v = weights, v
    assert relative(learn(learner, s), learn(fresh, s)) < 1e-12


@backends
@everything
def test_beta_can_be_set(name, backend):
    """A new beta counts from the next step on, in learn and in update, and belongs to the learner's state."""
    s = random_stream(8, n_actions=3 if name == "gq" else 0)
    one, other = (ALGORITHMS[name].make(s, backend) for _ in range(2))
    learn(one, s, 0, 20)
    learn(other, s, 0, 20)
    other.beta = 0.4
    assert other.beta == 0.4
    learn(one, s, 20)
    learn(other, s, 20)
    assert (one.v != other.v).any()
    assert copy.deepcopy(other).beta == 0.4
    assert "beta=0.4" in repr(other)
    one.load_state_dict(other.state_dict())
    assert one.beta == 0.4
    if name != "gq":
        x = np.arange(2, dtype=np.int32)
        for learner in (one, other):
            learner.update(x, 1.0, x)
        assert_array_equal(one.v, other.v)


@backends
@everything
@pytest.mark.parametrize("beta", [0.0, -1.0, np.nan, np.inf])
def test_beta_is_positive(name, backend, beta):
    """In the constructor as in the attribute; a refused value leaves the one that was.  TDRC's may be 0."""
    if name == "tdrc" and beta == 0.0:
        assert ft.TDRC(4, alpha=0.1, beta=beta, backend=backend).beta == 0.0
        return
    sizes = (4, 2) if name == "gq" else (4,)
    make = getattr(ft, ALGORITHMS[name].learner)
    with pytest.raises(ValueError, match="beta"):
        make(*sizes, alpha=0.1, beta=beta, backend=backend)
    learner = make(*sizes, alpha=0.1, beta=0.5, backend=backend)
    with pytest.raises(ValueError, match="beta"):
        learner.beta = beta
    assert learner.beta == 0.5


@backends
@everything
def test_v_of_another_shape_is_refused(name, backend):
    """So is one that is not finite; nothing has changed."""
    s = random_stream(9, n_actions=3 if name == "gq" else 0)
    learner = ALGORITHMS[name].make(s, backend)
    learn(learner, s)
    v = learner.v
    for bad in (v[:-1], np.where(v == v.max(), np.nan, v)):
        with pytest.raises(ValueError, match="v:"):
            learner.v = bad
    assert_array_equal(learner.v, v)


@backends
@pytest.mark.parametrize("name", ["gtd", "htd", "gtd2_lambda", "tdrc", "proximal_gtd2", "gq"])
def test_sums_that_overflow_show(name, backend):
    """z.z overflows before z does: the learner has diverged, and begins again with new weights."""
    s = random_stream(10, n_actions=1 if name == "gq" else 0, T=1, n=2)
    learner = ALGORITHMS[name].make(s, backend)
    vectors = learner._trace.vectors()
    vectors["z"][:] = 1e200
    learner._trace.set_vectors(vectors)
    assert np.isfinite(learner.weights).all()
    assert np.isfinite(learner.trace).all()
    assert learner.diverged
    learner.reset()
    assert not learner.diverged


@backends
def test_gtd2_without_lambda_takes_none(backend):
    """Nor does it get one later; one that was made with a number keeps one.  A refusal changes nothing."""
    x, rewards = np.zeros((3, 1), np.int32), np.ones(2)
    without, with_ = (ft.GTD2(3, alpha=0.1, beta=0.1, lambda_=each, backend=backend) for each in (None, 0.5))
    without.learn(x, rewards)
    weights = without.weights
    assert without.lambda_ is None
    assert not without.trace.any()
    for wrong in (
        lambda: without.learn(x, rewards, lambdas=0.9),
        lambda: without.update(x[0], 1.0, x[1], lambda_=0.9),
        lambda: setattr(without, "lambda_", 0.9),
        lambda: setattr(with_, "lambda_", None),
        lambda: without.load_state_dict(with_.state_dict()),
        lambda: with_.load_state_dict(without.state_dict()),
    ):
        with pytest.raises(ValueError, match="lambda"):
            wrong()
    assert_array_equal(without.weights, weights)
    with_.lambda_ = 0.25
    assert with_.lambda_ == 0.25
    assert not with_.weights.any()
    old = without.state_dict()
    del old["options"]["lambda_"]  # as checkpoints had it before there were two forms
    without.reset()
    without.load_state_dict(old)
    assert without.lambda_ is None


@backends
def test_what_tdrc_takes(backend):
    """beta >= 0, eta > 0, eta alpha beta < 1, by whichever it comes about; nothing has changed then."""
    x, make = np.zeros((3, 1), np.int32), partial(ft.TDRC, 3, backend=backend)
    assert (make(alpha=0.5).beta, make(alpha=0.5).eta) == (1.0, 1.0)
    for wrong, name in (
        ({"alpha": 1.0}, "beta"), ({"alpha": 0.1, "beta": 5.0, "eta": 2.0}, "beta"),
        ({"alpha": 0.1, "beta": -1.0}, "beta"), ({"alpha": 0.1, "eta": 0.0}, "eta"),
        ({"alpha": 0.1, "eta": np.inf}, "eta"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=name):
            make(**wrong)
    learner = make(alpha=0.1, beta=2.0, eta=3.0)
    learner.learn(x, np.ones(2))
    before = copy.deepcopy(learner)
    for wrong in (
        lambda: setattr(learner, "alpha", 0.2),
        lambda: setattr(learner, "beta", 4.0),
        lambda: setattr(learner, "eta", 6.0),
        lambda: learner.learn(x, np.ones(2), alpha=0.2),
        lambda: learner.learn(x, np.ones(2), alpha=[0.1, 0.2]),
        lambda: learner.update(x[0], 1.0, x[1], alpha=0.2),
    ):
        with pytest.raises(ValueError, match=r"eta alpha beta is .*, expected less than 1"):
            wrong()
    assert same(learner, before)
    learner.eta = 4.0
    assert learner.update(x[0], 1.0, x[1]) == before.update(x[0], 1.0, x[1])
    assert learner.v[0] != before.v[0]
    assert copy.deepcopy(learner).eta == pickle.loads(pickle.dumps(learner))._trace.eta == 4.0
    other = make(alpha=0.1)
    other.load_state_dict(learner.state_dict())
    assert same(learner, other)
    assert other.to("numpy")._trace.eta == 4.0


# ---- theory ----


@backends
def test_htd_on_policy_is_td(backend):
    """With rho = 1 the correction vanishes: HTD is TD(lambda), whatever v."""
    s = random_stream(11, T=200)
    htd, td = ALGORITHMS["htd"].make(s, backend), ALGORITHMS["td_accumulating"].make(s, backend)
    htd.v = np.random.default_rng(2).normal(size=s.n)
    assert relative(learn(htd, s), learn(td, s)) < 1e-12
    assert relative(htd.weights, td.weights) < 1e-12


@backends
def test_gtd_with_lambda_1_is_td(backend):
    """1 - lambda = 0 leaves nothing of the correction."""
    s = random_stream(12, T=200, off_policy=True).but(lambdas=1.0)
    gtd, td = ALGORITHMS["gtd"].make(s, backend), ALGORITHMS["td_accumulating"].make(s, backend)
    assert relative(learn(gtd, s), learn(td, s)) < 1e-12
    assert relative(gtd.weights, td.weights) < 1e-12


@backends
def test_true_online_gtd_with_lambda_1_is_true_online_td(backend):
    """Both then have the same forward view."""
    s = random_stream(13, T=200, off_policy=True).but(lambdas=1.0)
    gtd, td = ALGORITHMS["true_online_gtd"].make(s, backend), ALGORITHMS["true_online_td"].make(s, backend)
    assert relative(learn(gtd, s), learn(td, s)) < 1e-12
    assert relative(gtd.weights, td.weights) < 1e-12


@backends
def test_gq_with_one_action_is_gtd(backend):
    """On-policy, one action: x(s, a) is x(s), and y is x'."""
    s = random_stream(14, T=100)
    gtd = ALGORITHMS["gtd"].make(s, backend)
    deltas = learn(gtd, s)
    gq = ft.GQ(s.n, 1, alpha=s.alpha, beta=gtd.beta, backend=backend)
    gq.weights = s.weights[:, np.newaxis]
    options = {"gammas": s.gammas, "lambdas": s.lambdas}
    ones = {"rhos": 1.0, "target_policy": np.ones((s.T + 1, 1))}
    got = gq.learn(s.x(), np.zeros(s.T + 1, int), s.rewards, **options, **ones)
    assert relative(got, deltas) < 1e-12
    assert relative(gq.weights[:, 0], gtd.weights) < 1e-12
    assert relative(gq.v[:, 0], gtd.v) < 1e-12


@backends
@pytest.mark.parametrize("form", FORMS)
def test_gq_weights_by_action_are_pairs(form, backend):
    """A weight for each feature and action is a feature i * A + a of (s, a)."""
    s = random_stream(15, T=60, n=7, n_actions=3, off_policy=True, form=form)
    columns = ALGORITHMS["gq"].make(s, backend)
    deltas = learn(columns, s)
    rows = [
        [(indices * 3 + a, values) for a in range(3)] for indices, values in s.rows
    ]  # fmt: skip
    pairs_stream = s.but(rows=rows, n=21, state_action=True, weights=s.weights.reshape(-1))
    pairs = ALGORITHMS["gq"].make(pairs_stream, backend)
    assert relative(learn(pairs, pairs_stream), deltas) < 1e-12
    assert relative(pairs.weights, columns.weights.reshape(-1)) < 1e-12
    assert relative(pairs.v, columns.v.reshape(-1)) < 1e-12


@backends
@pytest.mark.parametrize("pairs", [False, True], ids=["columns", "pairs"])
@pytest.mark.parametrize("policy", ["epsilon", "softmax"])
def test_gq_acting_learns_about_its_own_policy(policy, pairs, backend):
    """Online, the target policy is the learner's own under the weights before the update, and rho is 1."""
    n, A = 9, 3
    rng = np.random.default_rng(4)
    shape = (40, A, 3) if pairs else (40, 3)
    x = rng.integers(0, n, shape).astype(np.int32)
    rewards = rng.normal(size=39)
    options = {"alpha": 0.05, "beta": 0.02, "lambda_": 0.8, "epsilon": 0.3, "temperature": 0.5}
    options |= {"policy": policy, "state_action": pairs, "backend": backend}
    acting, told = ft.GQ(n, A, seed=1, **options), ft.GQ(n, A, **options)
    own = ("epsilon", 0.3) if policy == "epsilon" else ("softmax", 0.5)
    action = acting.start(x[0])
    for t in range(39):
        pi = np.array([np.full(A, 1 / A), probabilities(acting.q(x[t + 1]), own)])
        chosen = acting.step(rewards[t], x[t + 1])
        told.learn(x[t : t + 2], [action, chosen], rewards[t : t + 1], rhos=1.0, target_policy=pi)
        action = chosen
        np.testing.assert_allclose(acting.weights, told.weights, rtol=0, atol=1e-13)
    acting.end(1.0)
    assert np.abs(acting.v).max() > 0.01


@backends
@pytest.mark.parametrize("missing", ["rhos", "target_policy"])
def test_gq_needs_ratios_and_a_policy(missing, backend):
    """learn says which one is missing; nothing has changed."""
    s = random_stream(16, n_actions=2, off_policy=True)
    learner = ALGORITHMS["gq"].make(s, backend)
    options = {"rhos": s.rhos, "target_policy": s.policy}
    del options[missing]
    with pytest.raises(ValueError, match=missing):
        learner.learn(s.x(), s.actions, s.rewards, **options)
    assert_array_equal(learner.weights, s.weights)


@backends
@pytest.mark.parametrize(
    "row", [[0.5, 0.4], [1.2, -0.2], [np.nan, 1.0]], ids=["does not sum to 1", "negative", "NaN"]
)
def test_gq_refuses_what_is_no_policy(row, backend):
    """Rows of target_policy are probabilities."""
    s = random_stream(16, n_actions=2, off_policy=True)
    learner = ALGORITHMS["gq"].make(s, backend)
    policy = s.policy.copy()
    policy[7] = row
    with pytest.raises(ValueError, match="target_policy"):
        learner.learn(s.x(), s.actions, s.rewards, rhos=s.rhos, target_policy=policy)
    assert_array_equal(learner.weights, s.weights)
    assert not learner.v.any()


# ---- TDRC, GTD2(lambda) and proximal GTD2(lambda) ----


def matrices(kind, s):
    """What each step of a stream does to y = (w, v), as y + S (M y + b) says it; and S.

    With C = x x' - f x_next z', the saddle point of v'(b - A w) - v' x x' v / 2 where w goes up C v, and
    A = z (x - gamma x_next)'.
    """
    n, z, decay = s.n, np.zeros(s.n), 0.0
    for t in range(s.T):
        x, x_next, gamma, lambda_ = s.dense(t), s.dense(t + 1), s.gammas[t], s.lambdas[t]
        rho = 1.0 if s.rhos is None else s.rhos[t]
        alpha = np.broadcast_to(s.alpha, s.T)[t]
        z = rho * (decay * z + x)
        decay = gamma * lambda_
        A, f = np.outer(z, x - gamma * x_next), gamma * (1 - lambda_)
        M, b = np.zeros((2 * n, 2 * n)), np.concatenate([np.zeros(n), s.rewards[t] * z])
        M[n:, :n], M[n:, n:], M[:n, n:] = -A, -np.outer(x, x), -f * np.outer(x_next, z)
        if kind == "tdrc":
            M[:n, :n], M[n:, n:], b[:n] = -A, M[n:, n:] - 0.03 * np.eye(n), s.rewards[t] * z
        else:
            M[:n, n:] += np.outer(x, x)
        yield M, b, np.repeat([alpha, alpha if kind == "tdrc" else 0.03], n)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["gtd2_lambda", "tdrc", "proximal_gtd2"])
@given(data=st.data())
def test_the_dense_form(kind, backend, data):
    """A step is one of a linear system; proximal GTD2's is that of where it looked."""
    s = drawn(data, kind)
    learner = ALGORITHMS[kind].make(s, backend)
    y = np.concatenate([s.weights, np.zeros(s.n)])
    for M, b, S in matrices(kind, s):
        ahead = y + S * (M @ y + b) if kind == "proximal_gtd2" else y
        y = y + S * (M @ ahead + b)
    learn(learner, s)
    assert relative(np.concatenate([learner.weights, learner.v]), y) < 1e-11


@backends
@pytest.mark.parametrize("name", ["gtd2_lambda", "tdrc", "proximal_gtd2"])
def test_the_golden_run(name, backend):
    """6 000 steps with zeros among the ratios, discounts and lambdas, in the middle of which eta is .5."""
    with np.load(GOLDEN / "gradient_long.npz") as file:
        want = {key.split("/")[1]: file[key] for key in file if key.startswith(f"{name}/")}
    uniform = np.random.PCG64(6).random_raw(7 * 6001).reshape(7, 6001) / 2.0**64
    x = (uniform[:3] * 7 + 7 * np.arange(3)[:, np.newaxis]).astype(np.int32).T
    rewards, gammas, lambdas, rhos = 2 * uniform[3:, :-1] - [[1.0], [0.0], [0.0], [0.0]]
    gammas, lambdas = (np.where(each < 0.04, 0.0, 0.8 + each / 10) for each in (gammas, lambdas))
    rhos = np.where(rhos < 0.2, 0.0, rhos)
    more = {} if name == "tdrc" else {"beta": 0.02}
    learner = getattr(ft, ALGORITHMS[name].learner)(21, alpha=0.05, lambda_=0.9, backend=backend, **more)
    deltas = []
    for part in (slice(0, 2000), slice(2000, 4000), slice(4000, 6000)):
        if name == "tdrc":
            learner.eta = 0.5 if part.start == 2000 else 1.0
        numbers = {"gammas": gammas[part], "lambdas": lambdas[part], "rhos": rhos[part]}
        deltas.append(learner.learn(x[part.start : part.stop + 1], rewards[part], **numbers))
    got = {"w": learner.weights, "v": learner.v, "z": learner.trace, "delta": np.concatenate(deltas)[::50]}
    for key, each in got.items():
        assert relative(each, want[key]) < 1e-10, key


@backends
def test_tdrc_without_its_decay_is_gtd(backend):
    """beta 0: GTD(lambda) whose beta is eta alpha."""
    s = random_stream(19, T=200, off_policy=True)
    tdrc = ft.TDRC(s.n, alpha=s.alpha, beta=0.0, eta=0.3, backend=backend)
    gtd = ft.GTD(s.n, alpha=s.alpha, beta=0.3 * s.alpha, backend=backend)
    for learner in (tdrc, gtd):
        learner.weights = s.weights
    assert relative(learn(tdrc, s), learn(gtd, s)) < 1e-12
    assert relative(tdrc.weights, gtd.weights) < 1e-12
    assert relative(tdrc.v, gtd.v) < 1e-12


@backends
def test_gtd2_with_lambda_0(backend):
    """On-policy it is GTD2 without a trace; off-policy nothing weighs its first term by rho, so it is not."""
    s = random_stream(20, T=100).but(lambdas=0.0)
    for off_policy in (False, True):
        s = s.but(rhos=np.tile([0.5, 1.5], 50) if off_policy else None)
        one, other = (
            ft.GTD2(s.n, alpha=s.alpha, beta=0.03, lambda_=each, backend=backend) for each in (0.0, None)
        )
        for learner in (one, other):
            learner.weights = s.weights
        apart = relative(learn(one, s), learn(other, s))
        assert (apart > 1e-3) if off_policy else (apart < 1e-12)


@backends
@pytest.mark.parametrize("name", ["GTD2", "TDRC", "ProximalGTD2"])
def test_the_fixed_point_is_that_of_gtd(name, backend):
    """Where w solves A w = b and v is 0, a sweep through all transitions leaves both where they are.

    Each transition is an episode's first, in one sweep from the same w and v: the mean update is 0.
    """
    rng = np.random.default_rng(21)
    n, states = 3, 5
    phi, P = rng.normal(size=(states, n)), rng.dirichlet(np.ones(states), states)
    rewards, rhos = rng.normal(size=(states, states)), rng.uniform(0.5, 1.5, (states, states))
    A, b = np.zeros((n, n)), np.zeros(n)
    for i, j in np.ndindex(states, states):
        z = P[i, j] * rhos[i, j] * phi[i]
        A += np.outer(z, phi[i] - 0.9 * phi[j])
        b += rewards[i, j] * z
    w, moved = np.linalg.solve(A, b), np.zeros((2, n))
    size = 0.0
    for i, j in np.ndindex(states, states):
        learner = getattr(ft, name)(
            n, alpha=1e-6, lambda_=0.0, **({} if name == "TDRC" else {"beta": 1e-6}), backend=backend
        )
        learner.weights = w
        learner.update(phi[i], rewards[i, j], phi[j], gamma=0.9, rho=rhos[i, j])
        change = P[i, j] * np.array([learner.weights - w, learner.v])
        moved += change
        size += np.abs(change).sum()
    assert np.abs(moved).max() < 1e-5 * size


@pytest.mark.parametrize("backend", COMPILED)
def test_what_rests_decays_too(backend):
    """v as a whole is multiplied by 1 - eta alpha beta: features not seen for generations of it, too."""
    learner, book = (ft.TDRC(3, alpha=0.1, beta=4.0, backend=each) for each in (backend, "numpy"))
    x = np.zeros((2, 1), np.int32)
    for each in (learner, book):
        each.v = [1.0, -2.0, 3.0]
    for steps in (1, 300, 150, 500, 2000):  # of 450 to a generation
        for each in (learner, book):
            each.learn(np.repeat(x[:1], steps + 1, axis=0), np.zeros(steps), rhos=0.0)
        np.testing.assert_allclose(learner.v, book.v, rtol=1e-11, atol=1e-200)
        again = copy.deepcopy(learner)
        again.load_state_dict(learner.state_dict())
        assert_array_equal(again.v, learner.v)
    assert learner._trace.counter("behaviour_epoch") > 3
    again.weights = again.weights  # flattens
    np.testing.assert_allclose(again.v, book.v, rtol=1e-11, atol=1e-200)
    again.reset()
    np.testing.assert_allclose(again.v, book.v, rtol=1e-11, atol=1e-200)


@pytest.mark.parametrize("backend", COMPILED)
def test_generations_and_epochs(backend):
    """Epochs that close and generations that begin at every other step, over rows that rest for long."""
    rng = np.random.default_rng(22)
    n, T = 5000, 4000
    x = np.where(
        rng.random((T + 1, 1)) < 0.98, rng.integers(0, 4, (T + 1, 2)), rng.integers(0, n, (T + 1, 2))
    )
    learners = [ft.TDRC(n, alpha=0.2, beta=4.5, lambda_=0.5, backend=each) for each in (backend, "numpy")]
    rewards, rhos = rng.normal(size=T), rng.uniform(0.0, 1.2, T)
    for start in range(0, T, 1000):
        part = slice(start, start + 1000)
        results = [each.learn(x[start : start + 1001], rewards[part], rhos=rhos[part]) for each in learners]
        assert relative(*results) < 1e-11
        for name in ("weights", "v", "trace"):
            assert relative(*(getattr(each, name) for each in learners)) < 1e-11, name
    assert learners[0]._trace.counter("behaviour_epoch") > 20
    assert learners[0]._trace.counter("epoch") > 500


def test_tdrc_twice_in_checkpoints(tmp_path):
    """Each of the two has a name of its own; the bare one is the network's, as it was before."""
    linear, network = ft.TDRC(3, alpha=0.1, eta=2.0), ft.neural.TDRC(ft.neural.MLP((2, 3, 1)), alpha=0.1)
    for learner, name in ((linear, "linear.TDRC"), (network, "neural.TDRC")):
        assert learner.state_dict()["class"] == name
        learner.save(tmp_path / "learner.npz")
        assert type(ft.load(tmp_path / "learner.npz")) is type(learner)
    old = network.state_dict() | {"class": "TDRC"}
    network.load_state_dict(old)
    with pytest.raises(ValueError, match="state: of a TDRC"):
        linear.load_state_dict(old)


# ---- dense features, which never rest ----


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("name", ["gtd", "htd", "true_online_gtd", "gtd2_lambda", "tdrc", "proximal_gtd2"])
def test_a_fading_trace_is_never_subnormal(name, backend):
    """A feature that is 0 from now on is not written: its trace ends as 0, not as a subnormal number."""
    T = 12_000
    x = np.ones((T + 1, 2))
    x[1:, 1] = 0.0
    learner = ALGORITHMS[name].make(Stream(2, [], np.ones(T), 0.9, 0.9, 0.01, np.zeros(2)), backend)
    learner.learn(x, np.ones(T), gammas=0.9, lambdas=0.9)
    z = np.abs(learner._trace.rows.reshape(-1, learner._trace.width)[1, 2])
    assert z == 0.0 or z > 1e-290


@backends
def test_simulation(backend):
    """ft.simulate goes step by step with them, and every backend takes the same walk."""
    walk, numbers = ft.envs.RandomWalk(), {"alpha": 0.05, "beta": 0.01, "gamma": 1.0}
    learner, reference = (ft.GTD(19, **numbers, backend=name) for name in (backend, "numpy"))
    steps = [ft.simulate(walk, each, episodes=30, seed=1).steps for each in (learner, reference)]
    assert steps[0] == steps[1]
    assert np.abs(learner.weights - reference.weights).max() < 1e-12
    assert learner.weights[0] < 0 < learner.weights[-1]


# ---- what C and Python share ----


def test_words_of_the_trace():
    """The arrays that Python and Numba lay over the C struct have its fields, in its order."""
    build = runpy.run_path(str(Path(__file__).resolve().parents[1] / "csrc" / "build_cffi.py"))
    fields = build["ffi"].typeof("ft_gradient").fields
    kinds = {"int64_t": gradient_trace._COUNTERS, "double": gradient_trace._SCALARS}
    in_header = [(name, field.type.cname) for name, field in fields]
    words = [(name, kind) for kind, names in kinds.items() for name in names]
    pointers = in_header[len(words) :][: gradient_trace._POINTERS]
    assert all(kind.endswith("*") for _, kind in pointers)
    assert in_header == [*words, *pointers, *[(name, "double") for name in gradient_trace._LATER]]
    assert [field.offset for _, field in fields] == [8 * word for word in range(len(fields))]


def test_words_in_numba():
    """The places that the Numba kernels know are those of the names."""
    numba = pytest.importorskip("fasttrace.backends.numba.gradient_trace")
    for names in (gradient_trace._COUNTERS, gradient_trace._SCALARS):
        for place, name in enumerate(names):
            constant = {"bad_index": "BAD_INDEX_"}.get(name, name.upper())
            if hasattr(numba, constant):
                assert getattr(numba, constant) == place, name
    for name, number in gradient_trace.KINDS.items():
        assert getattr(numba, name.upper()) == number


@everything
def test_a_state_that_no_learner_has_is_refused(name):
    """Counters and scalars that kernels could not trust; the learner stays as it was."""
    if ft.backends()["c"] is not None:
        pytest.skip(ft.backends()["c"])
    s = random_stream(17, n_actions=2 if name == "gq" else 0)
    learner = ALGORITHMS[name].make(s, "c")
    learn(learner, s)
    before = learner.weights
    for group, names in (("counters", gradient_trace._COUNTERS), ("scalars", gradient_trace._SCALARS)):
        for word, bad in (("swept", -1), ("kind", 7), ("width", 2), ("scale", 0.0), ("behaviour_scale", 0.0)):
            if word in names:
                state = learner.state_dict()
                state["arrays"][group][names.index(word)] = bad
                with pytest.raises(ValueError, match="state"):
                    learner.load_state_dict(state)
    assert_array_equal(learner.weights, before)


@pytest.mark.parametrize("backend", ["c"])
def test_c_refuses_a_trace_of_another_kind(backend):
    """GQ's kernel takes GTD's records alone, the others one column: the status says so."""
    if ft.backends()[backend] is not None:
        pytest.skip(ft.backends()[backend])
    from fasttrace.backends.c import ffi, gradient, lib, linear

    s = random_stream(18, n_actions=2, off_policy=True)
    learner = ALGORITHMS["gq"].make(s, backend)
    keep = []
    rows = features.Rows(2, s.n, 1, np.zeros(2, np.int32))
    packed = features.one_step(rows, 1.0, 1.0, 1.0, 1.0, actions=np.zeros(2, np.int32), n_actions=2)
    stream, out = linear.c_stream(packed, keep, work=4), ffi.new("double *")
    handle = gradient.handle(learner._trace)
    assert lib.ft_gradient_run(handle, 0.1, stream, out) == lib.FT_EVALUE
    assert lib.ft_gq_run(handle, 0.0, stream, out) == lib.FT_EVALUE
    packed.actions[1] = 2
    assert lib.ft_gq_run(handle, 0.1, stream, out) == lib.FT_EACTION
    packed.actions[1], rows.indices[1] = 1, s.n
    assert lib.ft_gq_run(handle, 0.1, stream, out) == lib.FT_EINDEX
    htd = gradient.handle(ft.HTD(s.n, alpha=0.1, beta=0.1, backend=backend)._trace)
    assert lib.ft_gq_run(htd, 0.1, stream, out) == lib.FT_EVALUE
