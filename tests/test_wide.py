"""Rows with their epochs in them, as learners of many features have them: to the bit as narrow rows."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from streams import ALGORITHMS, COMPILED, FORMS, all_traces, all_weights, learn, random_stream

import fasttrace as ft
from fasttrace import embed
from fasttrace.linear import trace as traces

ONE_COLUMN = [each for each in ALGORITHMS.values() if not each.control or each.pairs]
FEW = [
    each for each in ONE_COLUMN if each.name == "td_accumulating"
]  # Numba compiles wide rows by themselves
CASES = [
    pytest.param(each, backend.values[0], id=f"{each}-{backend.values[0]}", marks=backend.marks)
    for backend in COMPILED
    for each in (FEW if backend.values[0] == "numba" else ONE_COLUMN)
]


@pytest.fixture
def wide(monkeypatch):
    """Calls a function as if every learner had many features."""

    def under(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(traces, "WIDE_FROM", 1)
            return function(*arguments)

    return under


def learned(algorithm, s, backend):
    learner = algorithm.make(s, backend)
    deltas = [learn(learner, s, 0, 25), learn(learner, s, 25, 26), learn(learner, s, 26)]
    return learner, np.concatenate(deltas)


@pytest.mark.parametrize(("algorithm", "backend"), CASES)
def test_learns_the_same_to_the_bit(algorithm, backend, wide):
    """Streams and single steps, in every form of features, dense ones and padding among them."""
    for form in FORMS if backend == "c" else FORMS[:1]:
        if form not in algorithm.forms:
            continue
        s = random_stream(
            3, n=40, k=3, form=form, off_policy=not algorithm.control, repeats=form == "indices",
            n_actions=2 if algorithm.control else 0, state_action=algorithm.control,
        )  # fmt: skip
        narrow, deltas = learned(algorithm, s, backend)
        other, others = wide(learned, algorithm, s, backend)
        assert_array_equal(others, deltas)
        assert_array_equal(all_weights(other), all_weights(narrow))
        assert_array_equal(all_traces(other), all_traces(narrow))
        if hasattr(other, "_trace") and isinstance(other._trace, traces.LazyTrace):
            assert (other._trace.wide, narrow._trace.wide) == (True, False)


@pytest.mark.parametrize("backend", COMPILED)
def test_binary_rows_of_one_length(backend, wide):
    """What tile coders give, and what is looked ahead for; traces that are cut, so that epochs end."""
    rng = np.random.default_rng(1)
    n, T = 1 << 15, 600
    x, rewards = rng.integers(0, n, (T + 1, 8)), rng.normal(size=T)
    gammas = np.where(rng.random(T) < 0.1, 0.0, 0.9)

    def run():
        learner = ft.TD(n, alpha=0.05, lambda_=0.8, backend=backend)
        return learner, learner.learn(x, rewards, gammas=gammas)

    (narrow, deltas), (other, others) = run(), wide(run)
    assert_array_equal(others, deltas)
    assert_array_equal(other.weights, narrow.weights)
    assert_array_equal(other.predict(x), narrow.predict(x))
    assert other.update(x[0], 1.0, x[1]) == narrow.update(x[0], 1.0, x[1])
    assert other.update(x[0].tolist(), 1.0, x[1].tolist()) == narrow.update(x[0], 1.0, x[1])


@pytest.mark.parametrize("backend", COMPILED)
def test_states_are_those_of_narrow_rows(backend, wide):
    """A checkpoint does not tell how rows lie, nor do copies."""
    rng = np.random.default_rng(2)
    x, rewards = rng.integers(0, 30, (61, 3)), rng.normal(size=60)

    def run():
        learner = ft.TD(30, alpha=0.1, backend=backend)
        learner.learn(x, rewards)
        return learner

    narrow, other = run(), wide(run)
    states = [learner.state_dict()["arrays"] for learner in (narrow, other)]
    assert all(np.array_equal(states[0][name], states[1][name], equal_nan=True) for name in states[0])
    want = copy.deepcopy(narrow).learn(x, rewards)
    for copied in (copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))):
        for one in (wide(copied, other), copied(other)):  # wide again, and narrow
            assert_array_equal(one.learn(x, rewards), want)
    other.learn(rng.integers(0, 30, (9, 3)), np.ones(8))
    other.load_state_dict(narrow.state_dict())
    for learner in (narrow, other):
        assert_array_equal(learner.learn(x, rewards), want)
        learner.weights = np.arange(30.0)
    assert_array_equal(other.learn(x, rewards), narrow.learn(x, rewards))


@pytest.mark.parametrize("backend", COMPILED[1:])
def test_embedded_steps(backend, wide):
    """Compiled functions work on wide rows too."""
    numba = pytest.importorskip("numba")

    def run():
        learner = ft.TD(30, alpha=0.1, backend=backend)
        step, state = embed.step(learner), embed.state(learner)
        x, y = np.array([1, 5], np.int32), np.array([5, 9], np.int32)

        @numba.njit
        def run_it(state, x, y):
            return step(state, x, 1.0, y, 0.9, 0.8, 1.0, 0.1), step(state, y, 1.0, x, 0.9, 0.8, 1.0, 0.1)

        return run_it(state, x, y), list(learner.weights)

    assert wide(run) == run()


@pytest.mark.parametrize("backend", COMPILED[1:])
def test_critics_and_simulations(backend, wide):
    """The critic of an actor-critic, and a learner of state values in a walk."""

    def run():
        walk = ft.envs.RandomWalk()
        learner = ft.TD(walk.n_features, alpha=0.1, backend=backend)
        ft.simulate(walk, learner, steps=300, seed=1)
        pair = ft.ActorCritic(12, 2, alpha=0.1, alpha_actor=0.1, backend=backend, seed=1)
        rng = np.random.default_rng(3)
        pair.learn(rng.integers(0, 12, (41, 2)), rng.integers(0, 2, 41), rng.normal(size=40))
        return learner.weights, pair.weights

    for narrow, other in zip(run(), wide(run), strict=True):
        assert_array_equal(other, narrow)


def test_many_features_have_wide_rows():
    assert not traces.LazyTrace(traces.WIDE_FROM - 1, 1, "c").wide
    assert not traces.LazyTrace(traces.WIDE_FROM, 2, "c").wide
    trace = traces.LazyTrace(traces.WIDE_FROM, 1, "c")
    assert trace.wide
    assert trace.rows.ctypes.data % 32 == 0
    assert np.shares_memory(trace.epochs, trace.rows)
