"""Step kernels inside compiled loops: what they do is what the learner does, to the bit."""

import sys
from itertools import pairwise

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError
from numpy.testing import assert_array_equal
from streams import ALGORITHMS, COMPILED, learn, random_stream

import fasttrace as ft
from fasttrace import embed

KERNELS = ("td", "true_online_td", "sarsa", "true_online_sarsa")  # that have a step to embed
EMBEDDED = [each for each in ALGORITHMS.values() if each.kernel in KERNELS]
OTHERS = [each for each in ALGORITHMS.values() if each not in EMBEDDED and each.stem == "linear"]
everything = pytest.mark.parametrize("algorithm", EMBEDDED, ids=str)
both = pytest.mark.parametrize("backend", COMPILED)
needs_c = pytest.mark.skipif(ft.backends()["c"] is not None, reason="needs C")


# ---- loops as a user would write them ----


@njit
def predict_loop(state, step, x, rewards, gammas, lambdas, rhos, alphas, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(state, x[t], rewards[t], x[t + 1], gammas[t], lambdas[t], rhos[t], alphas[t])


@njit
def predict_pairs(state, step, x, values, rewards, gammas, lambdas, rhos, alphas, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(
            state, (x[t], values[t]), rewards[t], (x[t + 1], values[t + 1]),
            gammas[t], lambdas[t], rhos[t], alphas[t],
        )  # fmt: skip


@njit
def act_loop(state, step, x, actions, rewards, gammas, lambdas, alphas, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(
            state, x[t], actions[t], rewards[t], x[t + 1], actions[t + 1], gammas[t], lambdas[t], alphas[t]
        )


@njit
def act_pairs(state, step, x, values, actions, rewards, gammas, lambdas, alphas, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(
            state, (x[t], values[t]), actions[t], rewards[t], (x[t + 1], values[t + 1]), actions[t + 1],
            gammas[t], lambdas[t], alphas[t],
        )  # fmt: skip


LOOPS = {
    ("indices", False): predict_loop,
    ("pair", False): predict_pairs,
    ("indices", True): act_loop,
    ("pair", True): act_pairs,
}


def walk(learner, s, backend=None, start=0, stop=None):
    """Transitions start to stop - 1 of a stream in a compiled loop.  Returns the deltas."""
    stop = s.T if stop is None else stop
    x, acts = s.x(start, stop), s.actions is not None and not s.state_action
    if s.state_action:  # the rows of (S_t, A_t)
        taken = np.arange(stop - start + 1), s.actions[start : stop + 1]
        x = tuple(part[taken] for part in x) if isinstance(x, tuple) else x[taken]

    def series(values):
        return np.ascontiguousarray(np.broadcast_to(values, s.T)[start:stop], float)

    deltas = np.empty(stop - start)
    LOOPS[s.form, acts](
        embed.state(learner),
        embed.step(learner, backend),
        *(x if isinstance(x, tuple) else (x,)),
        *([s.actions[start : stop + 1]] if acts else []),
        s.rewards[start:stop],
        series(s.gammas),
        series(s.lambdas),
        *([] if acts else [series(1.0 if s.rhos is None else s.rhos)]),
        series(s.alpha),
        deltas,
    )
    return deltas


def stream_for(algorithm, form="indices", **more):
    """With discounts of 0, ratios, step sizes that vary, repeated indices and padding among them."""
    return random_stream(
        7, T=200, n=12, form=form, repeats=True, n_actions=3 if algorithm.control else 0,
        off_policy=not algorithm.control, vary_alpha=True, **more,
    )  # fmt: skip


def assert_same(learner, deltas, other, others_deltas):
    assert_array_equal(deltas, others_deltas)
    assert_array_equal(learner.weights, other.weights)
    assert_array_equal(learner.trace, other.trace)


# ---- steps ----


@pytest.mark.parametrize("algorithm", OTHERS, ids=str)
def test_a_learner_without_a_step_to_embed_is_refused(algorithm):
    """Its step would be another learner's."""
    s = random_stream(1, n_actions=2 if algorithm.control else 0)
    with pytest.raises(ValueError, match="no step to embed"):
        embed.step(algorithm.make(s, "numba"))


def test_a_bounded_learner_is_refused():
    """Its step would not be bounded."""
    with pytest.raises(ValueError, match="bound"):
        embed.step(ft.TD(4, alpha=0.1, bound=True, backend="numba"))


@both
@everything
def test_embedded_steps_are_the_learners(algorithm, backend):
    """A compiled loop of steps, then learn, is learn all along: TD errors, weights, trace."""
    s = stream_for(algorithm)
    learner, other = algorithm.make(s, backend), algorithm.make(s, backend)
    deltas = np.concatenate([walk(learner, s, stop=150), learn(learner, s, 150)])
    assert_same(learner, deltas, other, learn(other, s))


@both
@pytest.mark.parametrize("name", ["td_accumulating", "sarsa_dutch"])
def test_real_values(name, backend):
    """The same for features that are pairs of indices and values."""
    algorithm = ALGORITHMS[name]
    s = stream_for(algorithm, "pair")
    learner, other = algorithm.make(s, backend), algorithm.make(s, backend)
    assert_same(learner, walk(learner, s), other, learn(other, s))


@both
@pytest.mark.parametrize("name", ["sarsa_replacing", "true_online_sarsa"])
def test_features_of_state_action_pairs(name, backend):
    """With state_action=True a step takes the features of the pair."""
    algorithm = ALGORITHMS[name]
    s = stream_for(algorithm, state_action=True)
    learner, other = algorithm.make(s, backend), algorithm.make(s, backend)
    assert_same(learner, walk(learner, s), other, learn(other, s))


@needs_c
@pytest.mark.parametrize("name", ["td_replacing", "true_online_sarsa"])
def test_numba_and_c_take_turns(name):
    """Both work on one memory: a step of C's may follow one of Numba's."""
    algorithm = ALGORITHMS[name]
    s = stream_for(algorithm)
    learner, other = algorithm.make(s, "numba"), algorithm.make(s, "c")
    cuts = [0, 1, 2, 70, 71, 200]
    deltas = [walk(learner, s, ("numba", "c")[i % 2], *cut) for i, cut in enumerate(pairwise(cuts))]
    assert_same(learner, np.concatenate(deltas), other, learn(other, s))


@both
def test_references_are_left_as_they_were(backend):
    """The compiled code borrows arrays: after many steps none is held, and none has been let go."""
    algorithm = ALGORITHMS["td_accumulating"]
    s = stream_for(algorithm).but(rhos=None)
    learner, x = algorithm.make(s, backend), s.x()
    state, step = embed.state(learner), embed.step(learner)
    ones, deltas = np.full(s.T, 0.1), np.empty(s.T)
    arrays = [*state, x, s.rewards, ones, deltas]
    before = [sys.getrefcount(array) for array in arrays]
    for _ in range(10):
        predict_loop(state, step, x, s.rewards, ones, ones, ones, ones, deltas)
    assert [sys.getrefcount(array) for array in arrays] == before


# ---- values ----


@njit
def value_of(state, x):
    return embed.value(state, x)


@njit
def values_of(state, x, out):
    embed.values(state, x, out)


@both
def test_value(backend):
    """embed.value is predict, for indices with padding and for pairs."""
    s = stream_for(ALGORITHMS["true_online_td"], "pair")
    learner = ALGORITHMS["true_online_td"].make(s, backend)
    learn(learner, s)
    indices, values = (part[3] for part in s.x())
    state = embed.state(learner)
    assert value_of(state, indices) == learner.predict(indices)
    assert value_of(state, (indices, values)) == learner.predict((indices, values))


@both
def test_values(backend):
    """embed.values is q."""
    s = stream_for(ALGORITHMS["sarsa_dutch"])
    learner = ALGORITHMS["sarsa_dutch"].make(s, backend)
    learn(learner, s)
    x, q = s.x()[3], np.empty(3)
    values_of(embed.state(learner), x, q)
    assert_array_equal(q, learner.q(x))


def test_values_want_room():
    """One entry for each action, neither fewer nor more; value is for a single column."""
    learner = ft.Sarsa(4, 3, alpha=0.1, backend="numba")
    x = np.array([1], np.int32)
    with pytest.raises(ValueError, match="out"):
        values_of(embed.state(learner), x, np.empty(2))
    with pytest.raises(ValueError, match="use values"):
        value_of(embed.state(learner), x)


# ---- what is refused ----


@njit
def one_step(state, step, x, x_next, reward, gamma, lambda_, rho, alpha):
    return step(state, x, reward, x_next, gamma, lambda_, rho, alpha)


@njit
def one_action(state, step, x, action, action_next):
    return step(state, x, action, 1.0, x, action_next, 0.9, 0.9, 0.1)


FINE = {"reward": 1.0, "gamma": 0.9, "lambda_": 0.9, "rho": 1.0, "alpha": 0.1}
GOOD = np.array([1, 2], np.int32)


def learned(backend, trace="accumulating"):
    learner = ft.TD(4, trace, alpha=0.1, backend=backend)
    learner.update(GOOD, 1.0, GOOD)
    return learner


def refuse(learner, error, call, *arguments, match=None):
    """The call raises, and the learner's memory is what it was (bad_index, the last of counters, aside)."""
    state, step = embed.state(learner), embed.step(learner)
    before = [array.copy() for array in state[:-1]]
    with pytest.raises(error, match=match):
        call(state, step, *arguments)
    before[0][-1] = state.counters[-1]
    for array, was in zip(state, before, strict=False):
        assert_array_equal(array, was)


@both
@pytest.mark.parametrize("index", [-2, 4, 2**31 - 1, -(2**31)])
def test_bad_index(backend, index):
    """An index out of range, in x or x_next, raises as it does in the learner."""
    bad = np.array([1, index], np.int32)
    for x, x_next in [(bad, GOOD), (GOOD, bad)]:
        refuse(learned(backend), ft.FeatureIndexError, one_step, x, x_next, *FINE.values())
    with pytest.raises(ft.FeatureIndexError):
        value_of(embed.state(learned(backend)), bad)


@both
@pytest.mark.parametrize(
    "number",
    [
        {"reward": np.nan}, {"reward": np.inf}, {"gamma": -0.1}, {"gamma": 1.1}, {"gamma": np.nan},
        {"lambda_": -0.1}, {"lambda_": 1.1}, {"rho": -0.1}, {"rho": np.inf},
        {"alpha": 0.0}, {"alpha": np.nan},
    ],
    ids=lambda number: "-".join(f"{name}{value}" for name, value in number.items()),
)  # fmt: skip
def test_bad_number(backend, number):
    """So does a number that is not finite or not in its range."""
    refuse(learned(backend), ValueError, one_step, GOOD, GOOD, *{**FINE, **number}.values())


@both
def test_bad_action(backend):
    """And an action."""
    for actions in [(3, 0), (-1, 0), (0, 3), (0, -1)]:
        refuse(ft.Sarsa(4, 3, alpha=0.1, backend=backend), IndexError, one_action, GOOD, *actions)


@both
def test_values_where_they_have_no_place(backend):
    """Replacing traces take indices alone; a pair has as many values as indices."""
    pair, short = (GOOD, np.ones(2)), (GOOD, np.ones(1))
    for x, message in [(pair, "binary"), (short, "length")]:
        refuse(learned(backend, "replacing"), ValueError, one_step, x, pair, *FINE.values(), match=message)


@both
@pytest.mark.parametrize(
    "x",
    [
        GOOD.astype(np.int64),
        np.repeat(GOOD, 2)[::2],
        GOOD.reshape(1, 2),
        np.ones(4),
        (GOOD, np.ones(2, np.float32)),
    ],
    ids=["int64", "strided", "2-D", "dense", "float32 values"],
)
def test_other_features_do_not_compile(backend, x):
    """C would read them for what they are not."""
    with pytest.raises(TypingError, match="contiguous int32"):
        one_step(embed.state(learned(backend)), embed.step(learned(backend)), x, x, *FINE.values())


def test_no_memory_to_share():
    """The NumPy reference has no such trace, and clearing needs the features of every action."""
    with pytest.raises(ValueError, match="numpy"):
        embed.state(ft.TD(4, alpha=0.1, backend="numpy"))
    with pytest.raises(ValueError, match="numpy"):
        embed.step(ft.TD(4, alpha=0.1, backend="numpy"))
    with pytest.raises(ValueError, match="numpy"):
        embed.step(ft.TD(4, alpha=0.1, backend="numba"), "numpy")
    clearing = ft.Sarsa(4, 2, alpha=0.1, clear_others=True, state_action=True, backend="numba")
    with pytest.raises(ValueError, match="all actions"):
        embed.step(clearing)


def test_c_that_is_not_there(monkeypatch):
    """Asked for by name, a missing C library is not replaced by Numba."""
    monkeypatch.setitem(sys.modules["fasttrace.backends"]._missing, "c", "ImportError: not built")
    with pytest.raises(ft.BackendUnavailable, match="not built"):
        embed.step(ft.TD(4, alpha=0.1, backend="numba"), "c")
