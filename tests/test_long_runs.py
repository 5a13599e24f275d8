"""Long runs: the constant-time trace neither drifts from the eager one nor loses digits."""

from functools import lru_cache

import numba
import numpy as np
import pytest
from streams import ALGORITHMS, COMPILED

import fasttrace as ft

N, K = 64, 4
ACCUMULATING, REPLACING, DUTCH, TRUE_ONLINE = range(4)
NUMBER = {
    "td_accumulating": ACCUMULATING,
    "td_replacing": REPLACING,
    "td_dutch": DUTCH,
    "true_online_td": TRUE_ONLINE,
}


algorithms = pytest.mark.parametrize("algorithm", [ALGORITHMS[name] for name in NUMBER], ids=str)


@numba.njit
def eager_run(kind, w, z, carried, x, rewards, gammas, lambdas, rhos, alpha):
    """The book, a loop over all features a step.  carried: gamma lambda and v_old of the step before.

    The eager loop divides by nothing and closes no epoch; x (T + 1, k) holds distinct indices.
    """
    for t in range(len(rewards)):
        v = v_next = zx = 0.0
        for i in x[t]:
            v += w[i]
        for i in x[t + 1]:
            v_next += w[i]
        rho = rhos[t % len(rhos)]
        decay = rho * carried[0]
        for i in range(len(z)):
            z[i] *= decay
        for i in x[t]:
            zx += z[i]
        v_old = carried[1] if kind == TRUE_ONLINE and decay != 0 else v
        delta = rewards[t] + gammas[t % len(gammas)] * v_next - v
        for i in x[t]:
            if kind == ACCUMULATING:
                z[i] += rho
            elif kind == REPLACING:
                z[i] = rho
            else:
                z[i] += rho * (1 - alpha * zx)
        for i in range(len(w)):
            w[i] += alpha * (delta + v - v_old) * z[i]
        for i in x[t]:
            w[i] -= alpha * rho * (v - v_old)
        carried[0] = gammas[t % len(gammas)] * lambdas[t % len(lambdas)]
        carried[1] = v_next


def walk(rng, T):
    """Features (T + 1, K) of a walk over 200 states, and rewards (T,)."""
    sets = np.array([rng.permutation(N)[:K] for _ in range(200)], np.int32)
    states = np.cumsum(rng.integers(-2, 3, T + 1)) % 200
    return sets[states], rng.normal(size=T)


def decays(kind, rng, T):
    """gammas, lambdas, rhos: (1,) where constant."""
    if kind == "constant":
        return np.array([0.99]), np.array([0.9]), np.array([1.0])
    zeros = rng.random((2, T)) < 0.01
    gammas = np.where(zeros[0], 0.0, rng.uniform(0.9, 1, T))
    lambdas = np.where(zeros[1], 0.0, rng.uniform(0.6, 1, T))
    return gammas, lambdas, rng.choice([0.0, 0.6, 1.0, 1.3], T, p=[0.02, 0.3, 0.38, 0.3])


def learn(learner, x, rewards, gammas, lambdas, rhos):
    def scalar(values):
        return values[0] if len(values) == 1 else values

    learner.learn(x, rewards, gammas=scalar(gammas), lambdas=scalar(lambdas), rhos=scalar(rhos))


ALPHA, T, ROUNDS = 0.01, 1_000_000, 10


@lru_cache
def long_run(algorithm, kind):
    """A stream, and the eager loop's weights after ROUNDS times through it: once for all backends."""
    rng = np.random.default_rng(1)
    stream = *walk(rng, T), *decays(kind, rng, T)
    w, z, carried = np.zeros(N), np.zeros(N), np.array([0.0, np.nan])
    for _ in range(ROUNDS):
        eager_run(NUMBER[algorithm], w, z, carried, *stream, ALPHA)
    return stream, w


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("kind", ["constant", "random"])
@algorithms
def test_ten_million_steps(algorithm, kind, backend):
    """After 10^7 steps the weights are still the eager loop's.

    Both round at each step, by about eps = 2e-16 of w.  Learning forgets: the features of 200 states span
    all weights, so an error lasts some 1 / (alpha (1 - gamma)) = 10^4 steps, and those of 10^4 steps, of
    random sign, add up to sqrt(10^4) eps = 2e-14.  It is 1e-15 to 4e-15, after the first million steps as
    after the last.  One that is not forgotten adds up over all steps, to sqrt(10^7) eps = 7e-13 at least.
    """
    stream, w = long_run(algorithm.name, kind)
    learner = getattr(ft, algorithm.learner)(N, alpha=ALPHA, backend=backend, **algorithm.options)
    for _ in range(ROUNDS):
        learn(learner, *stream)
    assert np.max(np.abs(learner.weights - w)) < 2e-14 * np.max(np.abs(w))


# ---- digits ----

SEEDS, STEPS = 5, 40_000  # four times as many steps as an error lasts, see above
extended = pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 1e-18, reason="longdouble is no wider than double here"
)


@lru_cache
def cases():
    """SEEDS streams of STEPS transitions; every array has the seeds first."""
    streams = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        streams.append((*walk(rng, STEPS), *decays("random", rng, STEPS)))
    return [np.array(each) for each in zip(*streams, strict=True)]


@lru_cache
def extended_weights():
    """The eager loop in extended precision, all kinds and seeds at once: (4, SEEDS, N)."""
    x, *numbers = cases()
    rewards, gammas, lambdas, rhos = (each.T.astype(np.longdouble) for each in numbers)
    alpha = np.longdouble(ALPHA)
    kind, seed = np.arange(4)[:, np.newaxis], np.arange(SEEDS)[:, np.newaxis]
    w, z = np.zeros((2, 4, SEEDS, N), np.longdouble)
    decay, v_old = np.zeros(SEEDS, np.longdouble), np.zeros((4, SEEDS), np.longdouble)
    for t in range(STEPS):
        at, at_next, rho = x[:, t], x[:, t + 1], rhos[t]
        v, v_next = w[:, seed, at].sum(2), w[:, seed, at_next].sum(2)
        delta = rewards[t] + gammas[t] * v_next - v
        decay = rho * decay
        z *= decay[:, np.newaxis]
        correction = np.where((kind == TRUE_ONLINE) & (decay != 0), v - v_old, 0)
        active = z[:, seed, at]
        c = rho * (1 - np.where(kind >= DUTCH, alpha * active.sum(2), 0))
        active = np.where((kind == REPLACING)[..., np.newaxis], 0, active) + c[..., np.newaxis]
        z[:, seed, at] = active
        w += (alpha * (delta + correction))[..., np.newaxis] * z
        w[:, seed, at] -= (alpha * rho * correction)[..., np.newaxis]
        decay, v_old = gammas[t] * lambdas[t], v_next
    return w


@extended
@pytest.mark.parametrize("backend", COMPILED)
@algorithms
def test_no_digits_are_lost(algorithm, backend):
    """Against extended precision, the error of w is at most twice that of the eager float64 loop."""
    kind = NUMBER[algorithm.name]
    exact = extended_weights()[kind]
    eager, lazy = [], []
    for seed in range(SEEDS):
        stream = [each[seed] for each in cases()]
        w = np.zeros(N)
        eager_run(kind, w, np.zeros(N), np.array([0.0, np.nan]), *stream, ALPHA)
        learner = getattr(ft, algorithm.learner)(N, alpha=ALPHA, backend=backend, **algorithm.options)
        learn(learner, *stream)
        for errors, got in ((eager, w), (lazy, learner.weights)):
            errors.append(float(np.max(np.abs(got - exact[seed])) / np.max(np.abs(exact[seed]))))
    assert np.median(lazy) <= 2 * np.median(eager)
