"""What is refused: the same error in every backend, before anything has changed; and what is not refused."""

import functools
import inspect
import itertools
import operator

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from states import THERE, same, taught
from streams import AGENTS, ALGORITHMS, BACKENDS, CONTROL, EVERY, needed, needed_once

import fasttrace as ft
from fasttrace.backends import _missing

N, A, T = 12, 3, 4  # features and actions of states.example; steps of the streams here
NAN, INF = float("nan"), float("inf")
X = np.array([[0, 3, 5], [1, 3, -1], [2, 2, 7], [11, 0, 4], [6, 8, 9]], np.int32)  # (T + 1, 3)
DENSE = np.random.default_rng(1).normal(size=(T + 1, N))
REWARDS = np.array([1.0, -0.5, 0.0, 2.0])
ENDS = np.arange(T) == T - 1
ACTIONS = np.array([0, 2, 1, 1, 0])
TD, REPLACING = ALGORITHMS["td_accumulating"], ALGORITHMS["td_replacing"]
TRUE_ONLINE_TD, TRUE_ONLINE_SARSA = ALGORITHMS["true_online_td"], ALGORITHMS["true_online_sarsa"]

prediction = pytest.mark.parametrize("algorithm", [TD, TRUE_ONLINE_TD], ids=str)
control = pytest.mark.parametrize("algorithm", [ALGORITHMS["sarsa_dutch"], TRUE_ONLINE_SARSA], ids=str)


def error_of(call, learner):
    """(type, message) of what a call raises; the learner is then as it was before, to the bit."""
    before = learner.state_dict()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the caller looks at what it is
        call(learner)
    if not same(learner, before):
        learners.cache_clear()
        pytest.fail("the call was refused, and yet it changed the learner")
    return caught.type, str(caught.value)


@functools.cache
def learners(name):
    """A learner in each backend, within an episode if it has them: for calls that change nothing."""
    made = {backend: taught(ALGORITHMS[name], backend) for backend in THERE}
    if ALGORITHMS[name].control:
        for learner in made.values():
            learner.start(X[0])
            learner.step(1.0, X[1])
    return made


def refused(algorithm, call, exception, *words):
    """Every backend refuses the call with this exception, whose message has these words, the same in each."""
    errors = {backend: error_of(call, learner) for backend, learner in learners(algorithm.name).items()}
    assert len(set(errors.values())) == 1, errors
    kind, message = errors["numpy"]
    assert kind is exception, message
    for word in words:
        assert str(word) in message


def calls(algorithm, row, rows):
    """Every call that takes features: its name -> (call, the argument that they are).

    row   one state's    rows  (T + 1) states'
    """
    if algorithm.control:
        return {
            "learn": (lambda a: a.learn(rows, ACTIONS, REWARDS, **needed(a, T + 1)), "x"),
            "learn nothing": (lambda a: a.learn(rows[:1], ACTIONS[:1], [], **needed(a, 1)), "x"),
            "start": (lambda a: a.start(row), "x"),
            "step": (lambda a: a.step(1.0, row), "x"),
            "truncate": (lambda a: a.truncate(1.0, row), "x"),
            "q": (lambda a: a.q(row), "x"),
            "act": (lambda a: a.act(row), "x"),
        }
    return {
        "learn": (lambda a: a.learn(rows, REWARDS, **needed(a, T + 1)), "x"),
        "learn nothing": (lambda a: a.learn(rows[:1], [], **needed(a, 1)), "x"),
        "update x": (lambda a: a.update(row, 1.0, X[1], **needed_once(a)), "x"),
        "update x_next": (lambda a: a.update(X[1], 1.0, row, **needed_once(a)), "x_next"),
        "the end": (lambda a: a.update(X[1], 1.0, row, gamma=0.0, **needed_once(a)), "x_next"),
        "predict": (lambda a: a.predict(row), "x"),
        "predict many": (lambda a: a.predict(rows), "x"),
    }


# ---- feature indices ----


def _bad_indices():
    """dtype, an index of it that is neither a feature nor padding; those that int32 would wrap among them."""
    for dtype in (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64):
        info = np.iinfo(dtype)
        wrapping = [2**32, 2**32 + 1, 2**32 - 1, -(2**32), 2**63, 2**64 - 1, 2**8 - 1]
        for index in sorted({-2, N, info.min, info.max, *wrapping}):
            if info.min <= index <= info.max and not -1 <= index < N:
                yield pytest.param(dtype, index, id=f"{dtype.__name__}-{index}")


@pytest.mark.parametrize(("dtype", "index"), list(_bad_indices()))
@pytest.mark.parametrize("algorithm", [TD, TRUE_ONLINE_SARSA], ids=str)
def test_an_index_that_is_no_feature(algorithm, dtype, index):
    """FeatureIndexError names the index and d, whatever the integer type; nothing is wrapped around."""
    good = np.where(X < 0, 0, X).astype(dtype)
    rows = good.copy()
    rows[0, 1] = index
    for call, name in calls(algorithm, rows[0], rows).values():
        refused(algorithm, call, ft.FeatureIndexError, f"{name}: index {index} at", f"0 to {N - 1}", "-1")


@pytest.mark.parametrize("place", list(itertools.product(range(T + 1), range(3))), ids=str)
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("algorithm", [TRUE_ONLINE_TD, ALGORITHMS["sarsa_replacing"]], ids=str)
def test_the_place_of_a_bad_index(algorithm, dtype, place):
    """Wherever it stands in the stream, it is found before the first step, and its place is told."""
    rows = X.astype(dtype)
    rows[place] = N
    where = f"at [{place[0]}, {place[1]}]"
    refused(algorithm, calls(algorithm, X[0], rows)["learn"][0], ft.FeatureIndexError, where)
    row = rows[place[0]]
    for name in ("update x", "update x_next", "predict", "start", "step", "truncate", "q", "act"):
        if name in calls(algorithm, row, X):
            refused(algorithm, calls(algorithm, row, X)[name][0], ft.FeatureIndexError, f"at [{place[1]}]")


def test_an_index_error_is_an_index_error():
    """Who catches IndexError catches it."""
    assert issubclass(ft.FeatureIndexError, IndexError)


@pytest.mark.parametrize("index", [-2, N, 2**40])
@pytest.mark.parametrize("algorithm", [TD, REPLACING, ALGORITHMS["sarsa_dutch"]], ids=str)
def test_a_bad_index_in_other_forms(algorithm, index):
    """Pairs, ragged streams and lists are looked at as arrays are."""
    bad = X.astype(np.int64)
    bad[2, 1] = index
    indptr = np.arange(T + 2) * 3
    forms = [(bad[2].tolist(), bad.tolist()), (bad[2], ft.Ragged(indptr, bad.reshape(-1)))]
    if not algorithm.replacing:
        values = np.ones(bad.shape)
        forms.append(((bad[2], values[2]), (bad, values)))
        forms.append((bad[2], ft.Ragged(indptr, bad.reshape(-1), values.reshape(-1))))
    for row, rows in forms:
        for name, (call, _) in calls(algorithm, row, rows).items():
            if name != "learn nothing":
                refused(algorithm, call, ft.FeatureIndexError, f"index {index} at")


@pytest.mark.parametrize("place", [(1, 0), (1, 2), (3, 0), (3, 1), (6, 0)], ids=str)
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
@pytest.mark.parametrize("algorithm", [TD, ALGORITHMS["sarsa_dutch"]], ids=str)
def test_the_place_of_a_bad_index_in_a_ragged_stream(algorithm, dtype, place):
    """Row and place in the row, as in an array; rows without features count too."""
    indptr = np.array([0, 0, 3, 3, 5, 5, 5, 6])  # rows 0, 2, 4 and 5 are empty
    indices = np.array([0, 3, 5, 1, -1, 2], dtype)
    indices[indptr[place[0]] + place[1]] = N
    rows, rewards = ft.Ragged(indptr, indices), np.ones(6)
    where = f"x: index {N} at [{place[0]}, {place[1]}] is out of range"
    if algorithm.control:
        refused(algorithm, lambda a: a.learn(rows, [0] * 7, rewards), ft.FeatureIndexError, where)
    else:
        refused(algorithm, lambda a: a.learn(rows, rewards), ft.FeatureIndexError, where)
        refused(algorithm, lambda a: a.predict(rows), ft.FeatureIndexError, where)


# ---- shapes and dtypes of features ----


class Unreadable:
    """As PyTorch's tensors of bfloat16, and those on a GPU."""

    def __array__(self, *_, **__):
        raise TypeError("Got unsupported ScalarType BFloat16")


GOOD = X[1]
BAD_ROWS = {
    "two dimensions": (X[:2, None], ValueError),
    "a number": (3, ValueError),
    "bool": (np.array([True, False]), TypeError),
    "bool, as many as there are": (np.ones(N, bool), TypeError),
    "objects": (np.array([0, 1], object), TypeError),
    "strings": (np.array(["0", "1"]), TypeError),
    "bytes": (b"\x00\x01", TypeError),
    "complex": (np.ones(N, complex), TypeError),
    "dates": (np.zeros(2, "M8[s]"), TypeError),
    "None": (None, TypeError),
    "a dict": ({0: 1.0}, TypeError),
    "a set": ({0, 1}, TypeError),
    "dense, too short": (np.ones(N - 1), ValueError),
    "dense, too long": (np.ones(N + 1), ValueError),
    "dense, none": (np.empty(0), ValueError),
    "dense, NaN": (np.where(np.arange(N) == 4, NAN, 1.0), ValueError),
    "dense, inf": (np.where(np.arange(N) == 4, INF, 1.0), ValueError),
    "dense, too large for float64": (np.full(N, np.longdouble("1e4000")), ValueError),
    "pair, different lengths": ((GOOD, np.ones(2)), ValueError),
    "pair, bool indices": ((GOOD > 0, np.ones(3)), TypeError),
    "pair, float indices": ((GOOD.astype(float), np.ones(3)), TypeError),
    "pair, bool values": ((GOOD, GOOD > 0), TypeError),
    "pair, complex values": ((GOOD, np.ones(3, complex)), TypeError),
    "pair, strings": ((GOOD, ["1", "2", "3"]), TypeError),
    "pair, NaN": ((GOOD, [1.0, NAN, 1.0]), ValueError),
    "pair, -inf": ((GOOD, [1.0, -INF, 1.0]), ValueError),
    "ragged, two rows": (ft.Ragged([0, 1, 2], [1, 2]), ValueError),
    "bfloat16": (np.zeros(N, "V2"), TypeError),  # as ml_dtypes' own looks to NumPy
    "a tensor that NumPy cannot read": (Unreadable(), TypeError),
    "lists of different lengths": ([[0, 1], [2]], ValueError),
    "pair of such lists": (([[0, 1], [2]], [[1.0, 1.0], [2.0]]), ValueError),
}
BAD_STREAMS = {
    "no rows": (np.empty((0, 3), np.int32), ValueError),
    "no rows, dense": (np.empty((0, N)), ValueError),
    "no rows, ragged": (ft.Ragged([0], []), ValueError),
    "a row": (X[0], ValueError),
    "a number": (3, ValueError),
    "three dimensions": (X[:, :, None], ValueError),
    "a row too few": (X[:-1], ValueError),
    "a row too many": (np.vstack([X, X[:1]]), ValueError),
    "a ragged row too few": (ft.Ragged([0, 1, 2, 3, 4], [0, 1, 2, 3]), ValueError),
    "bool": (np.ones((T + 1, N), bool), TypeError),
    "objects": (X.astype(object), TypeError),
    "strings": (X.astype(str), TypeError),
    "complex": (DENSE.astype(complex), TypeError),
    "None": (None, TypeError),
    "dense, too narrow": (DENSE[:, 1:], ValueError),
    "dense, too wide": (np.ones((T + 1, N + 1)), ValueError),
    "dense, the other way round": (DENSE.T, ValueError),
    "dense, NaN": (np.where(np.arange(N) == 4, NAN, DENSE), ValueError),
    "dense, inf in the last row": (np.where(np.arange(T + 1)[:, None] == T, INF, DENSE), ValueError),
    "pair, different shapes": ((X, np.ones((T + 1, 2))), ValueError),
    "pair, values of a row": ((X, np.ones(3)), ValueError),
    "pair, NaN": ((X, np.where(X == 7, NAN, 1.0)), ValueError),
    "pair, complex": ((X, np.ones(X.shape, complex)), TypeError),
    "pair, float indices": ((X.astype(float), np.ones(X.shape)), TypeError),
    "lists of different lengths": ([[0, 1], [2], [3], [4], [5]], ValueError),
    "bfloat16": (np.zeros((T + 1, N), "V2"), TypeError),
    "a tensor that NumPy cannot read": (Unreadable(), TypeError),
    "ragged, NaN": (ft.Ragged(np.arange(6), np.arange(5), [1, 1, 1, 1, NAN]), ValueError),
}


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("case", BAD_ROWS)
@pytest.mark.parametrize("algorithm", [TRUE_ONLINE_TD, TRUE_ONLINE_SARSA], ids=str)
def test_features_of_a_state_that_are_none(algorithm, case):
    """Shapes and what is not finite: ValueError; types: TypeError."""
    row, exception = BAD_ROWS[case]
    allowed = {"None": ("update x_next", "the end"), "ragged, two rows": ("predict",)}.get(case, ())
    for name, (call, argument) in calls(algorithm, row, X).items():
        if "learn" not in name and "many" not in name and name not in allowed:
            refused(algorithm, call, exception, argument)


@pytest.mark.parametrize("case", BAD_STREAMS)
@pytest.mark.parametrize("algorithm", [TRUE_ONLINE_TD, TRUE_ONLINE_SARSA], ids=str)
def test_features_of_a_stream_that_are_none(algorithm, case):
    """The same in learn."""
    rows, exception = BAD_STREAMS[case]
    refused(algorithm, calls(algorithm, X[0], rows)["learn"][0], exception)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_the_place_of_a_value_that_is_not_finite(value):
    """The message says where it stands, in each form; at a padding it is nobody's."""
    dense, values = DENSE.copy(), np.ones(X.shape)
    dense[3, 4] = values[1, 1] = value
    indptr = np.arange(T + 2) * 3
    word = f"is {value}, expected finite numbers"
    learn = operator.methodcaller
    for rows, where in (
        (dense, "3, 4"), ((X, values), "1, 1"),
        (ft.Ragged(indptr, X.reshape(-1), values.reshape(-1)), "1, 1"),
    ):  # fmt: skip
        refused(TRUE_ONLINE_TD, learn("learn", rows, REWARDS), ValueError, f"value at {where} {word}")
    padded = np.ones(X.shape)
    padded[1, 2] = value  # X[1, 2] is -1
    for backend in THERE:
        one, other = taught(TRUE_ONLINE_TD, backend), taught(TRUE_ONLINE_TD, backend)
        one.learn((X, padded), REWARDS)
        other.learn((X, np.ones(X.shape)), REWARDS)
        assert same(one, other)


@pytest.mark.parametrize(
    ("arguments", "exception"),
    [
        (([1, 3], [0, 1, 2]), ValueError),
        (([0, 2, 1], [0]), ValueError),
        (([0, 2, 3], [0, 1]), ValueError),
        (([0, 2], [0, 1, 2]), ValueError),
        (([0, 2**63 - 1, -5, 3], [0, 1, 2]), ValueError),  # its differences overflow to positive ones
        ((np.array([0, 2**63 + 5], np.uint64), [0, 1]), ValueError),
        (([], []), ValueError),
        ((3, [0, 1, 2]), ValueError),
        (([[0, 3]], [0, 1, 2]), ValueError),
        (([0, 2], [[0, 1]]), ValueError),
        (([0, 2], [0, 1], [1.0]), ValueError),
        (([0, 2], [0, 1], [[1.0, 1.0]]), ValueError),
        (([0.0, 2.0], [0, 1]), TypeError),
        (([0, 2], [0.0, 1.0]), TypeError),
        (([0, 2], [False, True]), TypeError),
        (([0, 2], [0, 1], ["1", "2"]), TypeError),
        (([0, 2], [0, 1], [1, 2]), TypeError),
        (([0, 2], [0, 1], [1j, 2j]), TypeError),
    ],
)
def test_ragged_rows_that_are_none(arguments, exception):
    """Ragged looks at its arrays when it is made."""
    with pytest.raises(exception):
        ft.Ragged(*arguments)


def test_lists_of_different_lengths_are_told_of_ragged():
    """The error says what to give in their place, and which argument it is."""
    learner = ft.TD(N, alpha=0.1, backend="numpy")
    with pytest.raises(ValueError, match=r"^x: .*lengths differ.*ft\.Ragged\(indptr, indices\).*-1"):
        learner.learn([[0, 1], [2]], [1.0])
    with pytest.raises(ValueError, match=r"^rewards: .*lengths differ"):
        learner.learn(X[:3], [[1.0, 2.0], [3.0]])
    for name in ("rewards", "gammas"):
        with pytest.raises(TypeError, match=rf"^{name}: .*Unreadable .*BFloat16"):
            learner.learn(X, **{"rewards": REWARDS, name: Unreadable()})
    with pytest.raises(TypeError, match=r"^weights: .*Unreadable .*BFloat16"):
        learner.weights = Unreadable()
    with pytest.raises(TypeError, match=r"^actions: .*BFloat16"):
        ft.Sarsa(N, A, alpha=0.1, backend="numpy").learn(X, Unreadable(), REWARDS)


# ---- what is most likely meant otherwise ----

BITS = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1], [1, 1, 1]])  # Gymnasium's one-hots are int64


def new(algorithm, n, backend):
    sizes = (n, A) if algorithm.control else (n,)
    return getattr(ft, algorithm.learner)(*sizes, alpha=0.1, backend=backend, **algorithm.options)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("algorithm", EVERY.values(), ids=str)
def test_vectors_of_bits_are_no_indices(algorithm, backend, dtype):
    """Integers 0 and 1, as many as there are features: both ways out are named, and nothing is learned."""
    learner, rows = new(algorithm, 3, backend), BITS.astype(dtype)
    more = {} if algorithm.control else needed_once(learner)
    good = {"update x": (lambda a: a.update(rows[0], 1.0, [1], **more), "x")}
    good |= {"update x_next": (lambda a: a.update(np.array([1], dtype), 1.0, rows[2], **more), "x_next")}
    for name, (call, argument) in (
        calls(algorithm, rows[1], rows) | ({} if algorithm.control else good)
    ).items():
        if name == "the end":
            continue
        for _ in range(2):  # a quick way has not learned it either
            kind, message = error_of(call, learner)
            assert kind is ValueError, name
            assert message.startswith(f"{argument}: got integers"), name
            assert "np.flatnonzero" in message
            assert "x.astype(float)" in message


@pytest.mark.parametrize("backend", BACKENDS)
def test_vectors_of_bits_of_state_action_pairs_are_no_indices(backend):
    """A row an action, and a stream of them."""
    agent = ft.Sarsa(3, 2, alpha=0.1, state_action=True, backend=backend)
    for call in (lambda a: a.start(BITS[:2]), lambda a: a.act(BITS[1:3].tolist()), lambda a: a.q(BITS[:2]),
                 lambda a: a.learn(BITS[:4].reshape(2, 2, 3), [0, 1], [1.0])):  # fmt: skip
        kind, message = error_of(call, agent)
        assert kind is ValueError
        assert "np.flatnonzero" in message


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_may_be_indices_is_taken(backend):
    """A row of other indices, of padding, in a pair or Ragged; where one row of a stream is none of bits;
    and rows of one or two features, where 0 and 1 are as good as any."""
    rows = np.array([[0, 1, 2], [0, 1, 1], [0, 1, -1]], np.int32)
    one, other = (ft.TD(3, alpha=0.1, backend=backend) for _ in range(2))
    dense = np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 0.0], [1.0, 1.0, 0.0]])
    one.learn(rows, [1.0, 2.0])
    other.learn(dense, [1.0, 2.0])
    np.testing.assert_allclose(one.weights, other.weights, rtol=0, atol=1e-15)
    assert one.update(rows[0], 1.0, rows[2]) == pytest.approx(
        other.update(dense[0], 1.0, dense[2]), abs=1e-15
    )
    pair = (rows[1], np.ones(3))
    assert one.predict(pair) == one.predict(ft.Ragged([0, 3], rows[1]))[0]
    small = ft.TD(2, alpha=0.1, backend=backend)
    small.update(np.array([0, 1], np.int32), 1.0, np.array([1, 1], np.int32))
    np.testing.assert_allclose(small.weights, [0.1, 0.1], rtol=0, atol=1e-15)


def test_vectors_of_bits_elsewhere():
    """Least squares and the forward views look at features alike."""
    for call in (
        lambda: ft.LSTD(3).learn(BITS, REWARDS),
        lambda: ft.LSTD(3).update(BITS[0], 1.0, [1]),
        lambda: ft.forward.monte_carlo(BITS, REWARDS, alpha=0.1, gammas=1.0, terminated=ENDS, n_features=3),
    ):
        with pytest.raises(ValueError, match=r"^x: got integers.*np\.flatnonzero.*x\.astype\(float\)"):
            call()


@pytest.mark.parametrize("algorithm", [TD, ALGORITHMS["sarsa_dutch"]], ids=str)
def test_features_of_two_coders_are_no_values(algorithm):
    """A pair is indices and their values: integers in the second place are most often other indices."""
    row, rows = (X[3], X[1]), (X, X[::-1])
    for name, (call, argument) in calls(algorithm, row, rows).items():
        if name == "learn nothing":
            continue
        words = f"{argument}[1]: got dtype int32, expected floats", "values.astype(float)", "np.concatenate"
        refused(algorithm, call, TypeError, *words)


# ---- sparse matrices ----


@pytest.fixture(scope="module")
def sparse():
    return pytest.importorskip("scipy.sparse")


@pytest.mark.parametrize("form", ["csr_array", "csr_matrix"])
@pytest.mark.parametrize("dtype", [float, np.float32, np.int64, bool])
@pytest.mark.parametrize("algorithm", [TD, ALGORITHMS["sarsa_dutch"]], ids=str)
def test_rows_of_csr_are_ragged_rows(algorithm, form, dtype, sparse):
    """Whatever its dtype, one row or many, to the bit; where an empty row is, too."""
    dense = np.where(np.random.default_rng(3).random((T + 1, N)) < 0.3, DENSE, 0.0).astype(dtype)
    dense[2] = 0
    csr = getattr(sparse, form)(dense)
    ragged = ft.Ragged(csr.indptr, csr.indices, csr.data.astype(float))
    one, other = (new(algorithm, N, "numpy") for _ in range(2))
    more = (ACTIONS, REWARDS) if algorithm.control else (REWARDS,)
    assert_array_equal(one.learn(csr, *more), other.learn(ragged, *more))
    assert_array_equal(one.weights, other.weights)
    row, pair = csr[[1]].tocsr(), (ragged.indices[ragged.indptr[1] : ragged.indptr[2]],
                                   ragged.values[ragged.indptr[1] : ragged.indptr[2]])  # fmt: skip
    if algorithm.control:
        assert_array_equal(one.q(row), other.q(pair))
        assert one.act(row) == other.act(pair)
    else:
        assert_array_equal(one.predict(csr), other.predict(ragged))
        assert one.update(row, 1.0, csr[[2]].tocsr()) == other.update(pair, 1.0, [])
        options = {"alpha": 0.1, "gammas": 1.0, "terminated": ENDS}
        forward = ft.forward.monte_carlo(csr, REWARDS, **options)
        assert_array_equal(forward, ft.forward.monte_carlo(dense.astype(float), REWARDS, **options))


def test_rows_of_csr_for_state_action_pairs(sparse):
    """As many rows as there are actions, for each state."""
    dense = np.where(np.random.default_rng(3).random((4, N)) < 0.3, 2.0, 0.0)
    one, other = (
        ft.Sarsa(N, 2, alpha=0.1, trace="dutch", state_action=True, backend="numpy") for _ in range(2)
    )
    one.learn(sparse.csr_array(dense), [0, 1], [1.0])
    other.learn(dense.reshape(2, 2, N), [0, 1], [1.0])
    np.testing.assert_allclose(one.weights, other.weights, rtol=0, atol=1e-15)
    np.testing.assert_allclose(one.q(sparse.csr_array(dense[:2])), other.q(dense[:2]), rtol=0, atol=1e-15)


@pytest.mark.parametrize("algorithm", [TD, ALGORITHMS["sarsa_dutch"]], ids=str)
def test_sparse_matrices_that_are_none_of_ours(algorithm, sparse):
    """Other formats are told the way, another width is refused, and values must be finite."""
    rows = np.eye(T + 1, N)
    learn = calls(algorithm, X[0], sparse.coo_array(rows))["learn"][0]
    refused(algorithm, learn, TypeError, "x: ", "'coo'", "x.tocsr()")
    for _, (call, argument) in calls(algorithm, sparse.csc_matrix(rows[:1]), X).items():
        if "learn" not in _ and "many" not in _:
            refused(algorithm, call, TypeError, argument, "'csc'", ".tocsr()")
    wide, nan = sparse.csr_array(np.ones((T + 1, N + 1))), sparse.csr_array(rows * NAN)
    refused(algorithm, calls(algorithm, X[0], wide)["learn"][0], ValueError, f"({T + 1}, {N + 1})", N)
    refused(algorithm, calls(algorithm, X[0], nan)["learn"][0], ValueError, "nan", "finite")
    complex_ = sparse.csr_array(rows * 1j)
    refused(algorithm, calls(algorithm, X[0], complex_)["learn"][0], TypeError, "complex128")
    two = calls(algorithm, sparse.csr_array(rows[:2]), X)
    for name in ("update x", "update x_next", "start", "step", "act"):
        if name in two:
            refused(algorithm, two[name][0], ValueError, "2 sparse rows", "one state")


# ---- keywords ----


def test_an_unknown_keyword_is_told_with_the_nearest():
    """By the names that users know, whatever is between; what is called with good keywords is as it was."""
    learner, agent = ft.TD(N, alpha=0.1), ft.Sarsa(N, A, alpha=0.1)
    for call, words in (
        (lambda: ft.TD(10, alpha=0.1, lamda=0.9), "TD: unknown keyword 'lamda'; did you mean 'lambda_'?"),
        (lambda: ft.TD(10, alfa=0.1), "TD: unknown keyword 'alfa'; did you mean 'alpha'?"),
        (lambda: ft.SwiftTD(10, alpha=0.1, etta=0.9), "SwiftTD: unknown keyword 'etta'; did you mean 'eta'?"),
        (lambda: ft.TD(10, lr=0.1), "TD: unknown keyword 'lr'; it takes n_features, trace, alpha, gamma, "),
        (lambda: learner.learn(X, REWARDS, gamma=0.9),
         "TD.learn: unknown keyword 'gamma'; did you mean 'gammas'?"),
        (lambda: agent.learn(X, ACTIONS, REWARDS, lambda_=0.9),
         "Sarsa.learn: unknown keyword 'lambda_'; did you mean 'lambdas'?"),
        (lambda: ft.LSTD(3, gama=1.0), "LSTD: unknown keyword 'gama'; did you mean 'gamma'?"),
        (lambda: ft.ActorCritic(3, 2, alfa=1.0),
         "ActorCritic: unknown keyword 'alfa'; did you mean 'alpha'?"),
        (lambda: ft.TileCoder([0], [1], 8, num_tilings=8),
         "TileCoder: unknown keyword 'num_tilings'; did you mean 'tilings'?"),
        (lambda: ft.simulate(ft.envs.RandomWalk(5), learner, n_episodes=3),
         "simulate: unknown keyword 'n_episodes'; did you mean 'episodes'?"),
        (lambda: ft.evaluate(None, agent, None, episode=3),
         "evaluate: unknown keyword 'episode'; did you mean 'episodes'?"),
        (lambda: ft.load("nothing", back_end="c"),
         "load: unknown keyword 'back_end'; did you mean 'backend'?"),
        (lambda: ft.envs.RandomWalk(N=5), "RandomWalk: unknown keyword 'N'; did you mean 'n'?"),
        (lambda: ft.envs.custom(None, None, actions=1),
         "custom: unknown keyword 'actions'; did you mean 'n_actions'?"),
        (lambda: ft.Ragged([0, 1], index=[1]), "Ragged: unknown keyword 'index'; did you mean 'indices'?"),
        (lambda: ft.neural.MLP((2, 1), activaton="tanh"),
         "MLP: unknown keyword 'activaton'; did you mean 'activation'?"),
        (lambda: ft.neural.StreamTD(2, lamda=0.9),
         "StreamTD: unknown keyword 'lamda'; did you mean 'lambda_'?"),
        (lambda: ft.forward.monte_carlo(X, REWARDS, alpha=0.1, gamma=1.0),
         "monte_carlo: unknown keyword 'gamma'; did you mean 'gammas'?"),
    ):  # fmt: skip
        with pytest.raises(TypeError) as caught:
            call()
        assert str(caught.value).startswith(words), caught.value
    with pytest.raises(TypeError, match=r"missing 1 required keyword-only argument: 'alpha'"):
        ft.TD(10)
    with pytest.raises(TypeError, match=r"^alpha: expected a real number"):
        ft.TD(10, alpha="x")
    assert list(inspect.signature(ft.TD).parameters) == [
        "n_features", "trace", "alpha", "gamma", "lambda_", "bound", "backend",
    ]  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("algorithm", [TD, ALGORITHMS["sarsa_replacing"]], ids=str)
def test_ragged_rows_that_were_written_to(algorithm, backend):
    """The arrays of a Ragged may be the user's own, and change: learn looks again."""
    indptr = np.arange(T + 2)
    rows = ft.Ragged(indptr, np.arange(T + 1))
    learner = taught(algorithm, backend)
    learn = calls(algorithm, X[0], rows)["learn"][0]
    indptr[-1] = 2**40
    kind, message = error_of(learn, learner)
    assert kind is ValueError
    assert str(2**40) in message
    indptr[-1] = T + 1
    rows.indices = rows.indices[:-1]
    assert error_of(learn, learner)[0] is ValueError


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("algorithm", [each for each in ALGORITHMS.values() if each.replacing], ids=str)
def test_replacing_traces_take_indices_alone(algorithm, backend):
    """Valued and dense features are refused by their form, were all their values 1."""
    learner = taught(algorithm, backend)
    ones = np.ones(X.shape)
    indptr = np.arange(T + 2) * 3
    forms = [
        ((X[0], ones[0]), (X, ones)),
        (np.ones(N), np.ones((T + 1, N))),
        ((X[0], ones[0]), ft.Ragged(indptr, X.reshape(-1), ones.reshape(-1))),
    ]
    for row, rows in forms:
        for name, (call, _) in calls(algorithm, row, rows).items():
            if name not in ("learn nothing", "predict", "predict many"):
                kind, message = error_of(call, learner)
                assert kind is ValueError, name
                assert "replacing" in message


# ---- numbers of one step ----

NOT_NUMBERS = [None, "1", b"1", True, np.True_, 1j, [1.0], np.ones(2), np.array(True), np.array("1"), {}]
OUTSIDE = {
    "reward": [NAN, INF, -INF, 10**400],
    "gamma": [-0.1, 1.1, NAN, INF, -INF, 10**400],
    "lambda_": [-0.1, 1.0 + 2**-52, NAN, INF],
    "rho": [-0.1, -1e-300, NAN, INF, 10**400],
    "alpha": [0, 0.0, -0.1, NAN, INF, -INF],
}
ROWS = {"fast": (X[0], X[2]), "int64": (X[0].astype(np.int64), X[2]), "pair": ((X[0], np.ones(3)), DENSE[1])}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", OUTSIDE)
@prediction
def test_numbers_of_update(algorithm, name, rows):
    """Out of range: ValueError, no number: TypeError; by the fast way through update and by the other."""
    x, x_next = ROWS[rows]

    def call(value):
        numbers = {"reward": 1.0, name: value}
        return lambda a: a.update(x, x_next=x_next, **numbers)

    for value in OUTSIDE[name]:
        words = (name, value) if value != 10**400 else (name,)
        refused(algorithm, call(value), ValueError, *words)
    for value in NOT_NUMBERS:
        if value is not None or name in ("reward", "rho"):  # None is the learner's own
            refused(algorithm, call(value), TypeError, name)


@pytest.mark.parametrize("x", [X[0], DENSE[0], X[0].tolist()], ids=["fast", "dense", "list"])
@prediction
def test_only_the_end_has_no_next_state(algorithm, x):
    """x_next None is refused where gamma is not 0, be it given or the learner's own."""
    for gamma in (None, 0.5, 1e-300):
        refused(algorithm, lambda a, g=gamma: a.update(x, 1.0, None, gamma=g), ValueError, "x_next")


@pytest.mark.parametrize("value", [NAN, INF, -INF, 10**400, *NOT_NUMBERS], ids=repr)
@control
def test_rewards_of_an_agent(algorithm, value):
    """step, end and truncate take finite numbers; the episode goes on after a refusal."""
    exception = ValueError if isinstance(value, (float, int)) and value is not True else TypeError
    for call in (
        lambda a: a.step(value, X[1]),
        lambda a: a.end(value),
        lambda a: a.truncate(value, X[1]),
    ):
        refused(algorithm, call, exception, "reward")


@pytest.mark.parametrize("value", [-0.1, 1.1, NAN, INF, "1", True, 1j], ids=repr)
@control
def test_discounts_of_an_agent(algorithm, value):
    """The gamma of a step is from 0 to 1."""
    exception = ValueError if type(value) is float else TypeError
    refused(algorithm, lambda a: a.step(1.0, X[1], gamma=value), exception, "gamma")


# ---- numbers of a stream ----

BAD_SERIES = {
    "rewards": [NAN, INF, -INF],
    "gammas": [-1e-9, 1.1, NAN, INF],
    "lambdas": [-0.1, 1.1, NAN, -INF],
    "rhos": [-0.1, NAN, INF],
    "alpha": [0.0, -0.1, NAN, INF],
}


def with_series(algorithm, name, value):
    numbers = {"rewards": REWARDS, name: value}
    if algorithm.control:
        return lambda a: a.learn(X, ACTIONS, **numbers)
    return lambda a: a.learn(X, **numbers)


@pytest.mark.parametrize("name", BAD_SERIES)
@pytest.mark.parametrize("algorithm", [TD, TRUE_ONLINE_SARSA], ids=str)
def test_numbers_of_a_stream(algorithm, name):
    """Each entry counts, first to last; lengths and types too."""
    if algorithm.control and name == "rhos":
        refused(algorithm, with_series(algorithm, name, np.ones(T)), TypeError, "rhos")  # it takes none
        return
    for value, place in itertools.product(BAD_SERIES[name], range(T)):
        array = np.full(T, 0.5)
        array[place] = value
        refused(algorithm, with_series(algorithm, name, array), ValueError, name, f"entry {place} is {value}")
    for value in BAD_SERIES[name]:
        if name != "rewards":
            refused(algorithm, with_series(algorithm, name, value), ValueError, name, value)
    shapes = [np.ones(T - 1), np.ones(T + 2), np.ones((T, 1)), np.ones((1, T)), [], np.ones(1)]
    for array in [*shapes, *([0.5] if name == "rewards" else [np.empty(0)])]:
        refused(algorithm, with_series(algorithm, name, array), ValueError, name, np.shape(array))
    if name != "rhos":  # rhos may have T + 1
        refused(algorithm, with_series(algorithm, name, np.ones(T + 1)), ValueError, name)
    for dtype in (bool, object, str, complex, "M8[s]"):
        refused(algorithm, with_series(algorithm, name, np.ones(T, int).astype(dtype)), TypeError, name)
    refused(algorithm, with_series(algorithm, name, [10**400] * T), TypeError, name)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("last", [0.3, NAN, -1.0, INF])
def test_the_last_ratio_has_no_effect(last, backend):
    """rhos may have an entry for S_T, which no transition leaves."""
    one, other = taught(TD, backend), taught(TD, backend)
    rhos = np.array([0.5, 1.0, 0.0, 2.0])
    deltas = one.learn(X, REWARDS, rhos=rhos)
    assert_array_equal(other.learn(X, REWARDS, rhos=[*rhos, last]), deltas)
    assert same(one, other)


@pytest.mark.parametrize("name", ["rhos", "target_policy", "sigmas"])
@pytest.mark.parametrize("algorithm", [ALGORITHMS["retrace"], ALGORITHMS["q_sigma"]], ids=str)
def test_what_learn_cannot_do_without(algorithm, name):
    """Retrace and Q(sigma) have no ratio, policy or sigma of their own to learn a stream with."""

    def without(a):
        return a.learn(X, ACTIONS, REWARDS, **{k: v for k, v in needed(a, T + 1).items() if k != name})

    if name in algorithm.takes:
        refused(algorithm, without, ValueError, name, "got None")


TARGET_POLICIES = {
    "rows that do not sum to 1": (np.full((T + 1, A), 0.3), "row 0"),
    "a negative probability": (np.where(np.arange(T + 1)[:, None] == 2, [1.5, -0.5, 0.0], 1 / 3), "row 2"),
    "a row for each transition": (np.full((T, A), 1 / A), f"({T + 1}, {A})"),
    "one row": (np.full(A, 1 / A), f"({T + 1}, {A})"),
    "NaN": (np.full((T + 1, A), NAN), "finite"),
}


@pytest.mark.parametrize("what", TARGET_POLICIES)
@pytest.mark.parametrize("algorithm", [each for each in CONTROL if "target_policy" in each.takes], ids=str)
def test_target_policies(algorithm, what):
    """A distribution over the actions in each of the T + 1 states, or nothing is learned."""
    pi, word = TARGET_POLICIES[what]

    def learn(a):
        return a.learn(X, ACTIONS, REWARDS, **needed(a, T + 1) | {"target_policy": pi})

    refused(algorithm, learn, ValueError, "target_policy", word)
    almost = np.full((T + 1, A), 1 / A) + 2e-7
    taught(algorithm, "numpy").learn(
        X, ACTIONS, REWARDS, **needed(learners(algorithm.name)["numpy"], T + 1) | {"target_policy": almost}
    )


@pytest.mark.parametrize("given", [[0.5] * 3, 1.5, -0.1, NAN])
def test_sigmas(given):
    """Numbers from 0 to 1, one or T of them."""
    algorithm = ALGORITHMS["q_sigma"]
    refused(
        algorithm,
        lambda a: a.learn(X, ACTIONS, REWARDS, **needed(a, T + 1) | {"sigmas": given}),
        ValueError,
        "sigmas",
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=str)
def test_no_transitions(algorithm):
    """x of one row: an empty array, and nothing has changed; but bad input is bad input."""
    actions = ([2],) if algorithm.control else ()
    for backend in THERE:
        learner = taught(algorithm, backend)
        before = learner.state_dict()
        series = ["gammas", *(["lambdas"] if "lambdas" in algorithm.takes else [])]
        for numbers in ({}, {"gammas": 0.5, "alpha": 0.1}, dict.fromkeys(series, np.empty(0))):
            deltas = learner.learn(X[:1], *actions, [], **numbers, **needed(learner, 1))
            assert deltas.shape == (0,)
            assert deltas.dtype == np.float64
        assert same(learner, before)
    for numbers in ({"gammas": 1.5}, {"gammas": [0.5]}, {"alpha": 0.0}):
        refused(algorithm, lambda a, n=numbers: a.learn(X[:1], *actions, [], **n, **needed(a, 1)), ValueError)


# ---- actions ----


def taking(actions):
    return lambda a: a.learn(X, actions, REWARDS, **needed(a, T + 1))


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.uint64])
@pytest.mark.parametrize("algorithm", AGENTS, ids=str)
def test_actions_out_of_range(algorithm, dtype):
    """IndexError with the action, its place and what is allowed; for A_T too."""
    info = np.iinfo(dtype)
    for place in range(T + 1):
        for action in (-1, A, info.min, info.max, 2**32, 2**32 + 1):
            if info.min <= action <= info.max and not 0 <= action < A:
                actions = ACTIONS.astype(dtype)
                actions[place] = action
                refused(
                    algorithm, lambda a, taken=actions: a.learn(X, taken, REWARDS, **needed(a, T + 1)),
                    IndexError, f"actions: action {action} at {place} ", f"0 to {A - 1}",
                )  # fmt: skip


@control
def test_actions_of_other_kinds(algorithm):
    """Lengths and dimensions: ValueError; types: TypeError."""
    for actions in (ACTIONS[:-1], [*ACTIONS, 0], ACTIONS[:, None], 0, []):
        refused(
            algorithm,
            lambda a, taken=actions: a.learn(X, taken, REWARDS, **needed(a, T + 1)),
            ValueError,
            "actions",
        )
    for dtype in (float, bool, object, str, complex):
        actions = ACTIONS.astype(dtype)
        refused(
            algorithm,
            lambda a, taken=actions: a.learn(X, taken, REWARDS, **needed(a, T + 1)),
            TypeError,
            "actions",
        )


@pytest.mark.parametrize("algorithm", CONTROL, ids=str)
def test_features_of_state_action_pairs(algorithm):
    """(A, k) a state, (T + 1, A, k) a stream: other shapes are refused, bad indices found."""
    x = np.arange((T + 1) * A * 2, dtype=np.int32).reshape(T + 1, A, 2) % N
    wrong = [x[:, :-1], x[:, 0], np.repeat(x, 2, axis=1), x[0], np.empty((0, A, 2), np.int32)]
    bad = x.copy()
    bad[3, 1, 1] = N
    for backend in THERE:
        agent = getattr(ft, algorithm.learner)(
            N, A, alpha=0.1, state_action=True, backend=backend, **algorithm.options
        )
        more = needed(agent, T + 1)
        agent.learn(x, ACTIONS, REWARDS, **more)
        agent.start(x[0])
        for rows in wrong:
            assert (
                error_of(lambda a, r=rows, m=more: a.learn(r, ACTIONS, REWARDS, **m), agent)[0] is ValueError
            )
        assert (
            error_of(lambda a, m=more: a.learn(bad, ACTIONS, REWARDS, **m), agent)[0] is ft.FeatureIndexError
        )
        for row in (x[0, 0], x[0, :-1], x[:2], bad):
            for call in (agent.start, agent.q, agent.act, lambda x, a=agent: a.step(1.0, x)):
                assert error_of(lambda _, c=call, r=row: c(r), agent)[0] is ValueError
        for call in (agent.start, agent.q, agent.act, lambda x, a=agent: a.truncate(1.0, x)):
            assert error_of(lambda _, c=call: c(bad[3]), agent)[0] is ft.FeatureIndexError


# ---- the order of calls ----


@pytest.mark.parametrize("ended", ["new", "end", "truncate", "reset"])
@pytest.mark.parametrize("algorithm", AGENTS, ids=str)
def test_an_episode_begins_with_start(algorithm, ended):
    """step, end and truncate raise RuntimeError outside an episode, and draw nothing from the generator."""
    for backend in THERE:
        agent = taught(algorithm, backend)
        if ended != "new":
            agent.start(X[0])
            getattr(agent, ended)(*{"end": (1.0,), "truncate": (1.0, X[1]), "reset": ()}[ended])
        for name, arguments in {"step": (1.0, X[1]), "end": (1.0,), "truncate": (1.0, X[1])}.items():
            kind, message = error_of(operator.methodcaller(name, *arguments), agent)
            assert kind is RuntimeError
            assert message.startswith(f"{name}() before start()")


# ---- making a learner, and setting its attributes ----

BAD_OPTIONS = {  # out of range; no numbers
    "alpha": ([0, -1.0, NAN, INF], ["1", True, None]),
    "gamma": ([-0.1, 1.1, NAN, -INF], [None, False, 1j]),
    "lambda_": ([-0.1, 1.1, NAN, INF], ["0.9", np.True_, [0.9]]),
    "epsilon": ([-0.1, 1.1, NAN, INF], [None, True, "0"]),
}


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        (each, name)
        for each in ALGORITHMS.values()
        for name in BAD_OPTIONS
        if hasattr(getattr(ft, each.learner), name) and (name != "lambda_" or "lambdas" in each.takes)
    ],
    ids=str,
)
def test_options_out_of_range(algorithm, name):
    """Refused by the constructor and by the attribute alike; the old value stays."""
    sizes = (N, A) if algorithm.control else (N,)
    outside, others = BAD_OPTIONS[name]
    for value, exception in [(v, ValueError) for v in outside] + [(v, TypeError) for v in others]:
        refused(algorithm, lambda a, v=value: setattr(a, name, v), exception, name)
        for backend in THERE:
            with pytest.raises(exception, match=name):
                getattr(ft, algorithm.learner)(
                    *sizes, **{**algorithm.options, "alpha": 0.1, "backend": backend, name: value}
                )


@pytest.mark.parametrize(
    ("value", "exception"),
    [(0, ValueError), (-1, ValueError), (2**31, ValueError), (2**70, ValueError), (1.0, TypeError),
     ("8", TypeError), (None, TypeError), (True, TypeError), ([8], TypeError)],
)  # fmt: skip
@pytest.mark.parametrize("backend", BACKENDS)
def test_sizes(value, exception, backend):
    """n_features and n_actions are integers of at least 1."""
    with pytest.raises(exception, match="n_features"):
        ft.TD(value, alpha=0.1, backend=backend)
    with pytest.raises(exception, match="n_features"):
        ft.Sarsa(value, 2, alpha=0.1, backend=backend)
    if value != 2**31:
        with pytest.raises(exception, match="n_actions"):
            ft.TrueOnlineSarsa(8, value, alpha=0.1, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_names_that_are_none(backend):
    """The message gives the name and those that are allowed."""
    for make in (
        lambda: ft.TD(8, "eager", alpha=0.1, backend=backend),
        lambda: ft.TD(8, "true_online", alpha=0.1, backend=backend),
        lambda: ft.TD(8, "replacing_clear", alpha=0.1, backend=backend),
        lambda: ft.TD(8, None, alpha=0.1, backend=backend),
        lambda: ft.Sarsa(8, 2, trace="eager", alpha=0.1, backend=backend),
        lambda: ft.Sarsa(8, 2, trace="replacing_clear", alpha=0.1, backend=backend),
    ):
        with pytest.raises(ValueError, match=r"trace: got .*'accumulating'.*'replacing'.*'dutch'"):
            make()
    for trace in ("accumulating", "dutch"):
        with pytest.raises(ValueError, match="clear_others"):
            ft.Sarsa(8, 2, trace=trace, clear_others=True, alpha=0.1, backend=backend)
    for make in (ft.TD, ft.TrueOnlineTD):
        with pytest.raises(TypeError, match="alpha"):
            make(8, backend=backend)
        with pytest.raises(TypeError, match="seed"):
            make(8, alpha=0.1, seed=1, backend=backend)
    with pytest.raises(TypeError, match="trace"):
        ft.TrueOnlineTD(8, trace="dutch", alpha=0.1, backend=backend)
    with pytest.raises(ValueError, match="non-negative"):
        ft.Sarsa(8, 2, alpha=0.1, seed=-1, backend=backend)


@pytest.mark.parametrize("algorithm", [TRUE_ONLINE_TD, TRUE_ONLINE_SARSA], ids=str)
def test_weights_that_are_none(algorithm):
    """Of another shape, not finite, or no numbers: refused, and the old ones stay."""
    shape = (N, A) if algorithm.control else (N,)
    for wrong in ((N + 1,), (N, 1), (1, N), (N * A,), ()):
        if wrong != shape:
            refused(algorithm, lambda a, s=wrong: setattr(a, "weights", np.zeros(s)), ValueError, shape)
    for value in (NAN, INF, -INF):
        w = np.zeros(shape)
        w.flat[4] = value
        refused(algorithm, lambda a, w=w: setattr(a, "weights", w), ValueError, "weights", value)
    for dtype in (bool, object, str, complex):
        w = np.zeros(shape, int).astype(dtype)
        refused(algorithm, lambda a, w=w: setattr(a, "weights", w), TypeError, "weights")


# ---- backends ----


@pytest.mark.parametrize("name", ["", "C", "cuda", "numpy ", None, 3, ("c",)])
def test_backends_that_nobody_knows(name, tmp_path):
    """ValueError with the names that are allowed, wherever a backend is named."""
    learner = ft.TD(8, alpha=0.1, backend="numpy")
    learner.save(tmp_path / "td.npz")
    calls = [
        lambda: ft.TD(8, alpha=0.1, backend=name),
        lambda: ft.Sarsa(8, 2, alpha=0.1, backend=name),
        lambda: learner.to(name),
    ]
    if name is not None:  # of load, None is the backend that saved it
        calls.append(lambda: ft.load(tmp_path / "td.npz", backend=name))
    for call in calls:
        with pytest.raises(ValueError, match=r"backend.*'auto', 'numpy', 'numba', 'c'"):
            call()
    assert learner.backend == "numpy"


def test_a_backend_that_is_not_there(monkeypatch, tmp_path):
    """BackendUnavailable with the reason, wherever it is named; by itself nothing else is taken for it."""
    learner = taught(TRUE_ONLINE_SARSA, "numpy")
    before = learner.state_dict()
    learner.save(tmp_path / "numpy.npz")
    monkeypatch.setitem(_missing, "c", "ImportError: no compiler today")
    assert ft.backends()["c"] == "ImportError: no compiler today"
    for call in (
        lambda: ft.TD(8, alpha=0.1, backend="c"),
        lambda: ft.TrueOnlineSarsa(8, 2, alpha=0.1, backend="c"),
        lambda: learner.to("c"),
        lambda: ft.load(tmp_path / "numpy.npz", backend="c"),
    ):
        with pytest.raises(ft.BackendUnavailable, match=r"'c'.*no compiler today"):
            call()
    assert same(learner, before)
    monkeypatch.setitem(_missing, "numba", None)
    if "numba" in THERE:
        assert ft.TD(8, alpha=0.1).backend == "numba"
    monkeypatch.setitem(_missing, "numba", "ImportError: none")
    assert ft.TD(8, alpha=0.1).backend == "numpy"
    assert issubclass(ft.BackendUnavailable, RuntimeError)


# ---- what is not refused ----


def unaligned(array):
    """The same numbers at an odd address."""
    memory = np.zeros(array.nbytes + 1, np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert view.itemsize == 1 or not view.flags.aligned
    return view


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS = {
    "Fortran": lambda a: np.asfortranarray(a),
    "every other": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed twice": lambda a: a[::-1].copy()[::-1],
    "columns of more": lambda a: np.stack([a, a], -1)[..., 0],
    "read-only": read_only,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "unaligned": unaligned,
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(map(tuple, a.tolist())) if a.ndim > 1 else tuple(a.tolist()),
    "memoryview": lambda a: memoryview(a.copy()),
}  # fmt: skip
FORMS = {
    **{np.dtype(t).name: X.astype(t) for t in (np.int8, np.int16, np.int32, np.int64)},
    **{np.dtype(t).name: np.where(X < 0, 0, X).astype(t) for t in (np.uint8, np.uint32, np.uint64)},
    "dense": DENSE,
    "dense float32": DENSE.astype(np.float32),
    "dense float16": DENSE.astype(np.float16),
}


def as_it_should_be(x):
    """int32 or float64, contiguous: what every kernel takes as it is."""
    return np.array(x, np.int32 if x.dtype.kind in "iu" else np.float64)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_types_of_features(form, layout, backend):
    """The numbers count: any integer and float type, strides, byte order, alignment; nested sequences too."""
    x = FORMS[form]
    given, plain = LAYOUTS[layout](x), as_it_should_be(x)
    one, other = taught(TRUE_ONLINE_TD, backend), taught(TRUE_ONLINE_TD, backend)
    assert_array_equal(one.learn(given, REWARDS), other.learn(plain, REWARDS))
    assert_array_equal(one.predict(given), other.predict(plain))
    for t in range(T):
        row, row_next = LAYOUTS[layout](x[t]), LAYOUTS[layout](x[t + 1])
        assert one.update(row, REWARDS[t], row_next) == other.update(plain[t], REWARDS[t], plain[t + 1])
        assert one.predict(row) == other.predict(plain[t])
    assert same(one, other)
    agent, student = taught(TRUE_ONLINE_SARSA, backend), taught(TRUE_ONLINE_SARSA, backend)
    assert_array_equal(agent.learn(given, ACTIONS, REWARDS), student.learn(plain, ACTIONS, REWARDS))
    row, row_next = LAYOUTS[layout](x[0]), LAYOUTS[layout](x[1])
    assert agent.start(row) == student.start(plain[0])
    assert agent.step(1.0, row_next) == student.step(1.0, plain[1])
    assert_array_equal(agent.q(row), student.q(plain[0]))
    assert same(agent, student)


@pytest.mark.parametrize("layout", [each for each in LAYOUTS if each != "tuple"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_layouts_of_the_rest(layout, backend):
    """Pairs, actions and numbers by the step, in every layout."""
    change = LAYOUTS[layout]
    values = np.random.default_rng(2).normal(size=X.shape)
    numbers = {
        "gammas": np.array([0.9, 0.0, 1.0, 0.5]), "lambdas": np.array([0.1, 0.9, 0.0, 1.0]),
        "alpha": np.array([0.1, 0.2, 0.05, 0.1]),
    }  # fmt: skip
    changed = {name: change(array) for name, array in numbers.items()}
    one, other = taught(TRUE_ONLINE_TD, backend), taught(TRUE_ONLINE_TD, backend)
    rhos = np.array([1.0, 0.0, 2.0, 0.5, 9.0])
    got = one.learn((change(X), change(values)), change(REWARDS), rhos=change(rhos), **changed)
    assert_array_equal(got, other.learn((X, values), REWARDS, rhos=rhos, **numbers))
    assert same(one, other)
    agent, student = taught(TRUE_ONLINE_SARSA, backend), taught(TRUE_ONLINE_SARSA, backend)
    got = agent.learn((change(X), change(values)), change(ACTIONS), change(REWARDS), **changed)
    assert_array_equal(got, student.learn((X, values), ACTIONS, REWARDS, **numbers))
    assert same(agent, student)
    ragged = ft.Ragged(change(np.arange(T + 2) * 3), change(X.reshape(-1)), change(values.reshape(-1)))
    assert_array_equal(one.learn(ragged, REWARDS), other.learn((X, values), REWARDS))
    weights = np.random.default_rng(3).normal(size=(N, A))
    agent.weights = change(weights)
    assert_array_equal(agent.weights, weights)


@pytest.mark.parametrize(
    "number", [np.float32, np.float64, np.float16, np.longdouble, np.array, int, np.int64, np.uint8]
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_types_of_numbers(number, backend):
    """Python's and NumPy's numbers, and arrays of no dimension, are the numbers that they hold."""
    one, other = taught(TRUE_ONLINE_TD, backend), taught(TRUE_ONLINE_TD, backend)
    given = {name: number(1) for name in ("gamma", "lambda_", "rho", "alpha")}
    for x, x_next in ROWS.values():
        delta = one.update(x, number(3), x_next, **given)
        assert delta == other.update(x, 3.0, x_next, gamma=1.0, lambda_=1.0, rho=1.0, alpha=1.0)
        assert type(delta) is float
    assert same(one, other)
    one.learn(X, [number(each) for each in (1, 2, 3, 4)], gammas=number(1))
    other.learn(X, [1.0, 2.0, 3.0, 4.0], gammas=1.0)
    assert same(one, other)


@pytest.mark.parametrize(
    "nothing", [[], (), np.empty(0, np.int32), np.empty(0, np.int8), [-1, -1], ([], [])], ids=repr
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_state_without_features(nothing, backend):
    """No active feature is a feature vector like another: its value is 0."""
    learner = taught(TD, backend)
    assert learner.predict(nothing) == 0.0
    v = learner.predict(X[0])
    assert learner.update(X[0], 1.0, nothing) == 1.0 - v
    v = learner.predict(X[0])
    assert learner.update(nothing, 1.0, X[0]) == pytest.approx(1.0 + learner.gamma * v, rel=1e-12)
    agent = taught(TRUE_ONLINE_SARSA, backend)
    assert_array_equal(agent.q(nothing), np.zeros(A))
    agent.start(nothing)
    agent.step(1.0, nothing)
    agent.end(1.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_inputs_are_left_alone(backend):
    """No call writes to what it was given."""
    arrays = [X.copy(), np.ones(X.shape), DENSE.copy(), REWARDS.copy(), ACTIONS.copy(), np.full(T, 0.5)]
    before = [array.copy() for array in arrays]
    x, values, dense, rewards, actions, gammas = arrays
    learner, agent = taught(TRUE_ONLINE_TD, backend), taught(TRUE_ONLINE_SARSA, backend)
    for rows in (x, (x, values), dense):
        learner.learn(rows, rewards, gammas=gammas, rhos=gammas, alpha=gammas)
        agent.learn(rows, actions, rewards, lambdas=gammas)
    learner.update(x[0], 1.0, x[1])
    learner.update(dense[0], 1.0, (x[1], values[1]))
    agent.start(x[0])
    agent.step(1.0, x[1])
    for array, old in zip(arrays, before, strict=True):
        assert_array_equal(array, old)


# ---- attributes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", EVERY.values(), ids=str)
def test_attributes_that_are_none(algorithm):
    """A name spelled wrong is told, with the nearest that can be set; nothing is set."""
    for backend in ("c", "numpy"):
        learner = taught(algorithm, backend)
        for name, near in (("gama", "gamma"), ("weigths", "weights"), ("xyz", None)):
            advice = f"did you mean '{near}'" if near else "what can be set is .*gamma"
            with pytest.raises(
                AttributeError, match=f"{type(learner).__name__} has no attribute '{name}'; {advice}"
            ):
                setattr(learner, name, 0.5)
            assert not hasattr(learner, name)
        learner.gamma = 0.5
        assert learner.gamma == 0.5


def test_attributes_of_networks_and_of_many():
    """The same of networks' learners and populations; what a user derives may have more."""

    class Mine(ft.TD):
        def __init__(self, *sizes, **options):
            super().__init__(*sizes, **options)
            self.mine = 1

    for learner in (
        ft.neural.StreamQ(3, 2, hidden=(4,)),
        ft.neural.NetworkTD(ft.neural.MLP((3, 4, 1)), alpha=0.1),
        ft.Population(ft.Sarsa, N, A, 2, alpha=0.1),
        ft.Horde(N, 2, alpha=0.1),
    ):
        with pytest.raises(AttributeError, match="did you mean 'gamma'"):
            learner.gama = 0.5
    mine = Mine(N, alpha=0.1)
    mine.yours = 2
    assert (mine.mine, mine.yours) == (1, 2)
    with pytest.raises(AttributeError, match="what can be set is alpha, epsilon"):
        ft.Population(ft.Sarsa, N, A, 2, alpha=0.1).trace = "dutch"


def test_ab_has_no_lambda():
    """It is zeta that says how long traces last: of one and of many."""
    learner = ft.ABTD(N, alpha=0.1)
    for use in (lambda: learner.lambda_, lambda: setattr(learner, "lambda_", 0.5)):
        with pytest.raises(AttributeError, match="ABTD has none; zeta, psi_0 and psi_max"):
            use()
    with pytest.raises(AttributeError, match=r"what can be set is .*zeta"):
        ft.Population(ft.ABTD, N, 2, alpha=0.1).lambda_ = 0.5
