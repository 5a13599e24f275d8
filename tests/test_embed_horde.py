"""A horde's step inside compiled loops: what it does is what the horde does, to the bit."""

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_array_equal
from streams import COMPILED

import fasttrace as ft
from fasttrace import embed

N, M, T = 40, 19, 60
both = pytest.mark.parametrize("backend", COMPILED)


@njit
def watch(state, step, x, cumulants, gammas, lambdas, rhos, deltas):
    for t in range(len(cumulants)):
        step(state, x[t], cumulants[t], x[t + 1], gammas[t], lambdas[t], rhos[t], deltas[t])


@njit
def watch_pairs(state, step, x, values, cumulants, gammas, lambdas, rhos, deltas):
    for t in range(len(cumulants)):
        step(
            state, (x[t], values[t]), cumulants[t], (x[t + 1], values[t + 1]),
            gammas[t], lambdas[t], rhos[t], deltas[t],
        )  # fmt: skip


class Stream:
    """Features, and numbers of each prediction: discounts of 0 and decays in no order among them."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.x = rng.integers(-1, N, (T + 1, 4)).astype(np.int32)
        self.values = rng.normal(size=self.x.shape)
        self.gamma = rng.random(M)
        self.cumulants = rng.normal(size=(T, M))
        gammas = np.where(rng.random((T, M)) < 0.1, 0.0, self.gamma)
        self.numbers = {"gammas": gammas, "lambdas": rng.random((T, M)), "rhos": 2 * rng.random((T, M))}

    def horde(self, learner, backend):
        beta = {"beta": 0.01} if learner == "GTD" else {}
        return ft.Horde(N, M, learner, alpha=0.1, gamma=self.gamma, backend=backend, **beta)

    def given(self, *rows):
        return *rows, self.cumulants, *self.numbers.values()


S = Stream()
STEPS = [  # Numba compiles a step of two vectors for itself
    pytest.param(learner, *backend.values, marks=backend.marks, id=f"{learner}-{backend.values[0]}")
    for learner in ("TrueOnlineTD", "GTD")
    for backend in COMPILED
    if (learner, *backend.values) != ("GTD", "numba")
]


@pytest.mark.parametrize(("learner", "backend"), STEPS)
def test_embedded_steps_are_the_hordes(learner, backend):
    """A compiled loop of steps, then learn, is learn all along: TD errors and weights."""
    horde, other = S.horde(learner, backend), S.horde(learner, backend)
    deltas = np.empty((T, M))
    watch(embed.state(horde), embed.step(horde), *S.given(S.x), deltas)
    assert_array_equal(deltas, other.learn(S.x, S.cumulants, **S.numbers))
    again = [each.learn(S.x, S.cumulants, **S.numbers) for each in (horde, other)]
    assert_array_equal(*again)
    assert_array_equal(horde.weights, other.weights)


@both
def test_real_values(backend):
    """The same for features that are pairs of indices and values."""
    horde, other = S.horde("TrueOnlineTD", backend), S.horde("TrueOnlineTD", backend)
    deltas = np.empty((T, M))
    watch_pairs(embed.state(horde), embed.step(horde), *S.given(S.x, S.values), deltas)
    assert_array_equal(deltas, other.learn((S.x, S.values), S.cumulants, **S.numbers))
    assert_array_equal(horde.weights, other.weights)


@both
def test_memory_that_is_not_there(backend, monkeypatch):
    """Of more features than state was told to make room for, nothing is learned."""
    monkeypatch.setattr("fasttrace.many.horde_trace._AT_ONCE", 0)  # bytes
    horde = S.horde("TrueOnlineTD", backend)
    state, step, deltas = embed.state(horde, features=10), embed.step(horde), np.zeros((T, M))
    with pytest.raises(MemoryError, match=r"features of embed\.state"):
        watch(state, step, *S.given(S.x), deltas)
    assert horde.weights.any()  # of the steps before
    with pytest.raises(ValueError, match="features"):
        embed.state(ft.TD(3, alpha=0.1, backend=backend), features=3)


@both
def test_bad_input(backend):
    """Is refused by the step, and nothing has changed."""
    horde = S.horde("TrueOnlineTD", backend)
    state, step = embed.state(horde), embed.step(horde)
    good = {"x": S.x, "cumulants": S.cumulants, **S.numbers, "deltas": np.zeros((T, M))}

    def refused(error, **bad):
        with pytest.raises(error):
            watch(state, step, *(good | bad).values())
        assert not horde.weights.any()

    refused(ft.FeatureIndexError, x=np.full_like(S.x, N))
    refused(ValueError, cumulants=np.full((T, M), np.nan))
    refused(ValueError, gammas=np.full((T, M), 1.1))
    refused(ValueError, rhos=np.full((T, M), -0.1))
    refused(ValueError, cumulants=S.cumulants[:, 1:].copy())
    refused(ValueError, deltas=np.zeros((T, M + 1)))
    two = S.horde("GTD", backend)
    with pytest.raises(ValueError, match="another learner"):
        watch(embed.state(two), step, *good.values())
    with pytest.raises(ValueError, match="numpy"):
        embed.state(S.horde("TD", "numpy"))
