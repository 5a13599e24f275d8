"""LSTD(lambda): A and b are the sums that they should be, the weights solve them, the inverse keeps up."""

import copy
import pickle
import runpy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from states import same
from streams import BACKENDS, COMPILED, FORMS, GOLDEN, features, learn, random_stream, relative

import fasttrace as ft
from fasttrace.linear import lstd

EXACT = 1e-12
CSRC = Path(__file__).resolve().parents[1] / "csrc"

each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_solver = pytest.mark.parametrize("solver", lstd.SOLVERS)

with np.load(Path(GOLDEN) / "lstd.npz") as _file:
    DATA = dict(_file)


def make(s, backend="auto", solver="solve", epsilon=0.1):
    return ft.LSTD(s.n, epsilon=epsilon, solver=solver, backend=backend)


def sums(s, epsilon=0.1):
    """A, b and the last trace as they are defined: every z_t summed anew from all the states before."""
    x = np.array([s.dense(t) for t in range(s.T + 1)])
    rhos = np.ones(s.T) if s.rhos is None else np.broadcast_to(s.rhos, s.T)
    gammas, lambdas = np.broadcast_to(s.gammas, s.T), np.broadcast_to(s.lambdas, s.T)
    A, b, z = epsilon * np.eye(s.n), np.zeros(s.n), np.zeros(s.n)
    for t in range(s.T):
        z = sum(
            np.prod(gammas[i:t] * lambdas[i:t] * rhos[i + 1 : t + 1]) * rhos[i] * x[i] for i in range(t + 1)
        )
        A += np.outer(z, x[t] - gammas[t] * x[t + 1])
        b += s.rewards[t] * z
    return A, b, z


def solves(learner, tolerance=1e-10):
    """Whether A w = b, to rounding of its terms."""
    A, b, w = learner.A, learner.b, learner.weights
    return np.abs(A @ w - b).max() <= tolerance * (np.abs(A) @ np.abs(w) + np.abs(b)).max()


# ---- what it computes ----


@each_solver
@each_backend
@pytest.mark.parametrize("case", ["S01", "S03", "S05", "S08", "S10", "S12"])
def test_golden(case, backend, solver):
    """Weights and b of the golden data, in one call and by single transitions."""
    data = {key.split("/")[2]: value for key, value in DATA.items() if key.startswith(f"{case}/in/")}
    x = data.get("x", data["idx"])
    gammas = np.where(data["terminal"], 0.0, data["gamma"][1:])
    whole, single = (ft.LSTD(int(data["d"]), epsilon=0.1, solver=solver, backend=backend) for _ in range(2))
    assert whole.learn(x, data["R"], gammas=gammas, lambdas=data["lam"][1:], rhos=data["rho"]) is None
    for t, reward in enumerate(data["R"]):
        numbers = {"gamma": gammas[t], "lambda_": data["lam"][t + 1], "rho": data["rho"][t]}
        assert single.update(x[t], reward, x[t + 1] if gammas[t] else None, **numbers) is None
    for learner in (whole, single):
        assert relative(learner.weights, DATA[f"{case}/out/lstd_lambda/w"]) < 1e-10
        assert relative(learner.b, DATA[f"{case}/out/lstd_lambda/b"]) < 1e-10


@st.composite
def any_stream(draw, forms=FORMS):
    return random_stream(
        draw(st.integers(0, 2**32 - 1)),
        T=draw(st.integers(0, 40)),
        n=draw(st.integers(1, 40)),
        k=draw(st.integers(0, 5)),
        form=draw(st.sampled_from(forms)),
        repeats=draw(st.booleans()),
        off_policy=draw(st.booleans()),
        restarts=draw(st.booleans()),
    )


@each_solver
@each_backend
@given(s=any_stream())
def test_sums(backend, solver, s):
    """A, b and the trace are the sums of (12.25), whatever the form of features; the weights solve them."""
    learner = make(s, backend, solver)
    learn(learner, s)
    A, b, z = sums(s)
    assert relative(learner.A, A) < EXACT
    assert relative(learner.b, b) < EXACT
    assert relative(learner.trace, z) < EXACT
    assert solves(learner)


@pytest.mark.skipif(len(COMPILED) < 2, reason="one compiled backend")
@given(s=any_stream(), solver=st.sampled_from(lstd.SOLVERS))
def test_c_and_numba_agree_to_the_bit(s, solver):
    """Their order of operations is the same."""
    if any(ft.backends()[name] for name in ("c", "numba")):
        pytest.skip("a backend is missing")
    one, other = make(s, "numba", solver), make(s, "c", solver)
    learn(one, s)
    learn(other, s)
    for name, array in one._trace.arrays().items():
        assert_array_equal(array, other._trace.arrays()[name], err_msg=name)


@each_backend
@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_td_stands_still_at_its_weights(backend, lambda_):
    """With these weights kept fixed, TD(lambda)'s updates sum to alpha epsilon w: they solve its equation."""
    s = random_stream(3, T=50, n=6, k=3, off_policy=True).but(lambdas=lambda_)
    learner = make(s, backend, epsilon=0.01)
    learn(learner, s)
    w = learner.weights
    td = ft.TD(s.n, alpha=1.0, backend="numpy")
    total = np.zeros(s.n)
    for t in range(s.T):
        td.weights = w
        learn(td, s.but(alpha=1.0), t, t + 1)
        total += td.weights - w
    assert relative(total, 0.01 * w) < 1e-9


@each_backend
def test_lambda_1_averages_the_returns(backend):
    """One-hot, lambda = 1: a weight is the mean return from its state, epsilon counting as returns of 0."""
    s = random_stream(4, T=200, n=5, k=1)
    states = np.arange(s.T + 1) * 7 % 5
    gammas = np.append(s.gammas[:-1], 0.0)
    rows = [(np.array([i], np.int32), None) for i in states]
    s = s.but(rows=rows, gammas=gammas, lambdas=1.0)
    G, returns = 0.0, np.zeros(s.T)
    for t in reversed(range(s.T)):
        G = returns[t] = s.rewards[t] + gammas[t] * G
    learner = make(s, backend, epsilon=0.5)
    learn(learner, s)
    visits = np.bincount(states[:-1], minlength=5)
    assert relative(learner.weights, np.bincount(states[:-1], returns, 5) / (visits + 0.5)) < EXACT


# ---- the inverse ----


@each_backend
def test_the_inverse_keeps_up(backend):
    """Over thousands of steps, through several computations anew, it is A's inverse, and u is inverse z."""
    s = random_stream(5, T=3000, n=9, k=3, off_policy=True)
    learner = make(s, backend, "inverse")
    inner = learner._trace
    for stop in range(0, s.T, 500):
        learn(learner, s, stop, stop + 500)
        assert 0 < inner.since < inner.refresh == 256
        assert relative(inner.inverse @ inner.matrix, np.eye(s.n)) < 1e-11
        assert relative(inner.u, inner.inverse @ inner.z) < 1e-11
    assert relative(learner.weights, np.linalg.solve(learner.A, learner.b)) < 1e-11


@each_backend
def test_the_inverse_outlives_a_singular_matrix(backend):
    """A = 0 has no inverse and A = 1e-12 none from the last one; the steps after are right again."""
    learner = ft.LSTD(1, epsilon=1.0, lambda_=0.0, gamma=1.0, solver="inverse", backend=backend)
    learner.learn([[1.0], [2.0]], [5.0])
    assert_array_equal(learner.A, [[0.0]])
    assert_array_equal(learner.weights, [0.0])  # nothing solves 0 w = 5: the shortest
    learner.reset()
    learner.learn([[1.0], [0.0]], [1.0])
    assert_array_equal(learner.A, [[1.0]])
    assert_array_equal(learner.weights, [6.0])
    learner.reset()
    learner.learn([[1.0], [2.0 - 1e-12]], [0.0])
    assert relative(learner.weights, 6.0 / learner.A[0]) < EXACT
    learner.learn([[1.0], [0.0]], [0.0])
    assert relative(learner.weights, 6.0 / learner.A[0]) < EXACT


@each_backend
def test_the_inverse_goes_on_with_the_trace_after_a_singular_matrix(backend):
    """Singular in the middle of an episode: the trace, and inverse times it, are right in the steps after."""
    learner = ft.LSTD(2, epsilon=1.0, lambda_=1.0, gamma=1.0, solver="inverse", backend=backend)
    x = np.array([[1.0, 0.0], [2.0, 0.0], [0.5, 1.0], [0.25, 3.0], [1.0, -1.0]])
    for t in range(4):
        learner.learn(x[t : t + 2], [1.0 + t])
        inner = learner._trace
        if t == 0:
            assert inner.stale == 1
            assert_array_equal(learner.A, [[0.0, 0.0], [0.0, 1.0]])
        else:
            assert inner.stale == 0
            assert relative(inner.inverse @ learner.A, np.eye(2)) < EXACT
            assert relative(inner.u, inner.inverse @ learner.trace) < EXACT
            assert relative(learner.weights, np.linalg.solve(learner.A, learner.b)) < EXACT


@each_backend
def test_the_inverse_is_enough(backend, monkeypatch):
    """Rounding in it is made good; nothing of O(n^3) is needed to read the weights."""
    s = random_stream(16, T=250, n=40, k=4, restarts=False)
    learner = make(s, backend, "inverse", epsilon=1e-6)
    learn(learner, s)
    want = np.linalg.solve(learner.A, learner.b)
    monkeypatch.delattr(np.linalg, "solve")
    assert relative(learner.weights, want) < 1e-9


@each_backend
def test_weights_are_right_after_every_step(backend):
    """Solved or by the inverse, however often they are asked for; asking changes nothing."""
    s = random_stream(6, T=40, n=7, k=3)
    solve, inverse, silent = make(s, backend), make(s, backend, "inverse"), make(s, backend, "inverse")
    for t in range(s.T):
        learn(solve, s, t, t + 1)
        learn(inverse, s, t, t + 1)
        assert relative(inverse.weights, solve.weights) < 1e-11
    learn(silent, s)
    assert same(silent, inverse)


# ---- states ----


@each_solver
@each_backend
def test_learn_in_pieces_is_learn(backend, solver):
    """To the bit, computations of the inverse anew included."""
    s = random_stream(7, T=700, n=8, k=3, off_policy=True)
    whole, pieces = make(s, backend, solver), make(s, backend, solver)
    learn(whole, s)
    for start, stop in pairwise([0, 1, 2, 2, 100, 255, 256, 257, 300, s.T]):
        learn(pieces, s, start, stop)
    assert same(whole, pieces)


@each_solver
@each_backend
def test_checkpoints_go_on(backend, solver, tmp_path):
    """Saved, copied and pickled learners learn the rest to the bit, and other backends to rounding."""
    s = random_stream(8, T=60, n=30, k=3, restarts=False)
    learner = make(s, backend, solver)
    learn(learner, s, 0, 30)
    assert np.count_nonzero(learner.trace) > 20
    learner.save(tmp_path / "lstd.npz")
    other = make(s, backend, solver)
    other.load_state_dict(learner.state_dict())
    twins = [
        other, ft.load(tmp_path / "lstd.npz"), copy.copy(learner), copy.deepcopy(learner),
        pickle.loads(pickle.dumps(learner)),
    ]  # fmt: skip
    moved = [copy.copy(learner).to(name) for name, why in ft.backends().items() if why is None]
    learn(learner, s, 30)
    for twin in twins:
        assert repr(twin) == repr(learner)
        learn(twin, s, 30)
        assert same(twin, learner)
    for twin in moved:
        learn(twin, s, 30)
        assert relative(twin.A, learner.A) < EXACT
        assert relative(twin.b, learner.b) < EXACT
        assert relative(twin.trace, learner.trace) < EXACT
        assert relative(twin.weights, learner.weights) < 1e-10


def test_a_state_of_another_kind_is_refused():
    """Other options, other sizes and counters that no inverse has; the learner stays as it was."""
    mine = ft.LSTD(3, solver="inverse")
    before = mine.state_dict()
    for other in (ft.LSTD(3), ft.LSTD(4, solver="inverse"), ft.LSTD(3, epsilon=1.0, solver="inverse")):
        with pytest.raises(ValueError, match="state: has"):
            mine.load_state_dict(other.state_dict())
    for kept in ([-1, 0], [10**6, 0], [0, 3]):
        state = mine.state_dict()
        state["arrays"]["kept"] = np.array(kept)
        with pytest.raises(ValueError, match="state: no inverse"):
            mine.load_state_dict(state)
    assert same(mine, before)


@each_solver
@each_backend
def test_reset_keeps_what_was_learned(backend, solver):
    """A, b and weights stay; the trace is empty, and the next episode goes on from none."""
    s = random_stream(9, T=60, n=8, k=3, restarts=False)
    learner = make(s, backend, solver)
    learn(learner, s, 0, 30)
    A, b, w = learner.A, learner.b, learner.weights
    learner.reset()
    assert_array_equal(learner.A, A)
    assert_array_equal(learner.b, b)
    assert_array_equal(learner.weights, w)
    assert_array_equal(learner.trace, np.zeros(s.n))
    learn(learner, s, 30)
    fresh = make(s, backend, solver)
    learn(fresh, s, 30)
    assert relative(learner.A - A, fresh.A - 0.1 * np.eye(s.n)) < EXACT
    assert relative(learner.b - b, fresh.b) < EXACT
    assert solves(learner)


@each_solver
@each_backend
def test_a_ratio_of_zero_adds_nothing(backend, solver):
    s = random_stream(10, T=20, n=6, k=3, off_policy=True)
    learner = make(s, backend, solver)
    learn(learner, s, 0, 19)
    A, b = learner.A, learner.b
    learn(learner, s.but(rhos=np.zeros(s.T)), 19)
    assert_array_equal(learner.A, A)
    assert_array_equal(learner.b, b)
    assert_array_equal(learner.trace, np.zeros(s.n))


@each_solver
@each_backend
def test_divergence_raises_nothing(backend, solver):
    """Ratios that overflow are seen in `diverged`; the weights are then NaN, and learning goes on."""
    s = random_stream(11, T=40, n=5, k=3, restarts=False).but(rhos=np.full(40, 1e100))
    learner = make(s, backend, solver)
    learn(learner, s)
    learn(learner, s)
    assert learner.diverged
    assert np.isnan(learner.weights).all()
    if solver == "inverse":
        learner._trace.invert()
        assert learner._trace.stale == 2  # it is not looked for after every step from now on


# ---- what there is to read ----


@each_backend
@pytest.mark.parametrize("form", FORMS)
def test_predict(backend, form):
    """w.x of one state and of a stream, learning nothing."""
    s = random_stream(12, T=30, n=7, k=3, form=form, repeats=True)
    learner = make(s, backend)
    learn(learner, s)
    before = learner.state_dict()
    want = np.array([s.dense(t) @ learner.weights for t in range(s.T + 1)])
    assert relative(learner.predict(s.x()), want) < EXACT
    one = features(s.rows[:1], s.n, form.removeprefix("ragged").strip("_") or "indices")
    one = tuple(each[0] for each in one) if isinstance(one, tuple) else one[0]
    assert learner.predict(one) == pytest.approx(want[0], rel=EXACT)
    assert same(learner, before)


@each_backend
def test_copies_are_given(backend):
    s = random_stream(13, T=20, n=4, k=2)
    learner = make(s, backend)
    learn(learner, s)
    before = learner.state_dict()
    for array in (learner.A, learner.b, learner.weights, learner.trace):
        array[:] = 7.0
    assert same(learner, before)


def test_what_cannot_be_set():
    """Weights are the solution of A w = b, epsilon is inside A, and there is no step size."""
    learner = ft.LSTD(3)
    with pytest.raises(AttributeError, match="weights: those of LSTD solve A w = b and cannot be set"):
        learner.weights = np.zeros(3)
    with pytest.raises(AttributeError):
        learner.epsilon = 1.0
    with pytest.raises(AttributeError, match="no step size"):
        _ = learner.alpha
    assert (learner.epsilon, learner.gamma, learner.lambda_, learner.solver) == (1e-3, 0.99, 0.9, "solve")
    learner.gamma, learner.lambda_ = 1.0, 0.0
    assert_array_equal(learner.A, 1e-3 * np.eye(3))


@each_backend
def test_nothing_learned_gives_nothing(backend):
    """No transition changes nothing; weights are 0 before the first."""
    learner = ft.LSTD(4, backend=backend)
    before = learner.state_dict()
    assert learner.learn([[0, 3]], []) is None
    assert same(learner, before)
    assert_array_equal(learner.weights, np.zeros(4))
    assert learner.predict([1, 2]) == 0.0


@each_backend
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda a: a.learn([[0], [4]], [1.0]), ft.FeatureIndexError, r"x: index 4 at \[1, 0\]"),
        (lambda a: a.learn([[0], [-2]], [1.0]), ft.FeatureIndexError, r"x: index -2 at \[1, 0\]"),
        (lambda a: a.learn([[0], [1]], [1.0, 2.0]), ValueError, "rewards: got shape"),
        (lambda a: a.learn([[0], [1]], [np.inf]), ValueError, "rewards: entry 0 is inf"),
        (lambda a: a.learn([[0], [1]], [1.0], rhos=-1.0), ValueError, "rhos: got -1.0"),
        (lambda a: a.learn([[0], [1]], [1.0], gammas=2.0), ValueError, "gammas: got 2.0"),
        (lambda a: a.learn([[0], [1]], [1.0], alpha=0.1), TypeError, "alpha"),
        (lambda a: a.update([0], 1.0, [9]), ft.FeatureIndexError, "x_next: index 9"),
        (lambda a: a.update([0], 1.0, None), ValueError, "x_next: got None"),
        (lambda a: a.update([0], 1.0, [1], rho=np.nan), ValueError, "rho"),
        (lambda a: a.predict([7]), ft.FeatureIndexError, "x: index 7"),
    ],
)
def test_refuses(backend, call, error, words):
    """Before anything has changed."""
    learner = ft.LSTD(4, backend=backend)
    learner.learn([[0], [1], [2]], [1.0, 2.0])
    before = learner.state_dict()
    with pytest.raises(error, match=words):
        call(learner)
    assert same(learner, before)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epsilon": 0.0}, "epsilon: got 0.0, expected a finite number above 0"),
        ({"epsilon": -1.0}, "epsilon: got -1.0"),
        ({"solver": "qr"}, "solver: got 'qr', expected one of 'solve', 'inverse'"),
        ({"gamma": 1.1}, "gamma: got 1.1"),
    ],
)
def test_refuses_options(options, words):
    with pytest.raises(ValueError, match=words):
        ft.LSTD(3, **options)


def test_words_of_the_struct():
    """The arrays that Python lays over the C struct have its fields, in its order."""
    fields = runpy.run_path(str(CSRC / "build_cffi.py"))["ffi"].typeof("ft_lstd").fields
    scalars = [(name, "int64_t") for name in lstd._COUNTERS] + [("decay", "double")]
    assert [(name, field.type.cname) for name, field in fields][: -lstd._POINTERS] == scalars
    assert all(field.type.cname.endswith("*") for _, field in fields[-lstd._POINTERS :])
    assert [field.offset for _, field in fields] == [8 * word for word in range(len(fields))]
