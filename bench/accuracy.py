"""The error of the weights after a long run, against the same run in extended precision.

The yardstick is the book's dense loop in float64: its own error, on the same stream, is what rounding costs
anyone.  The constant-time trace keeps no trace as it is, so it has to show that it loses no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fasttrace as ft

from . import native
from .cases import KERNELS

Float64 = NDArray[np.float64]

N, K, STEPS, SEEDS, ALPHA = 64, 4, 100_000, 5, 0.05 / 4
DRAWS = ("anywhere", "near 1")
EXACT_KINDS = {"accumulating": 0, "replacing": 1, "dutch": 2, "true online": 3}


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Random features, rewards and off-policy numbers: x (T + 1, k), the others (T,)."""

    x: NDArray[np.int32]
    rewards: Float64
    gammas: Float64
    lambdas: Float64
    rhos: Float64


@cache
def trajectory(draw: str, seed: int, steps: int) -> Trajectory:
    """gamma, lambda and rho, new at every step, zeros among them.

    "anywhere"  gamma and lambda uniform in [0, 1], rho in [0, 2], each 0 once in 20 steps
    "near 1"    1 - gamma and 1 - lambda log-uniform in [1e-4, .1], rho log-normal about 1, each 0 once in
                1000 steps: traces live long
    """
    rng = np.random.default_rng([DRAWS.index(draw), seed])
    x = np.arange(K) * (N // K) + rng.integers(N // K, size=(steps + 1, K))
    rewards = rng.standard_normal(steps)
    if draw == "anywhere":
        gammas, lambdas, rhos = rng.random(steps), rng.random(steps), 2.0 * rng.random(steps)
        zeros = 0.05
    else:
        gammas, lambdas = 1.0 - 10.0 ** rng.uniform(-4.0, -1.0, (2, steps))
        rhos = np.exp(0.1 * rng.standard_normal(steps) - 0.005)
        zeros = 0.001
    for array in (gammas, lambdas, rhos):
        array[rng.random(steps) < zeros] = 0.0
    return Trajectory(x.astype(np.int32), rewards, gammas, lambdas, rhos)


def dense(kernel: str, stream: Trajectory, *, extended: bool) -> Float64:
    """Weights (n,) of the dense loop of exact.c, in long double or in double."""
    _, lib = native.library()
    function = lib.bench_dense_long_double if extended else lib.bench_dense_double
    w = np.zeros(N)
    arrays = (stream.x, stream.rewards, stream.gammas, stream.lambdas, stream.rhos)
    pointers = [native.pointer(array) for array in arrays]
    function(EXACT_KINDS[kernel], N, len(stream.rewards), K, *pointers, ALPHA, native.pointer(w))
    return w


def ours(kernel: str, stream: Trajectory, backend: str) -> Float64:
    """Weights (n,) of the public learner."""
    entry = KERNELS[kernel]
    trace: dict[str, Any] = {} if entry.kind is None else {"trace": entry.kind}
    learner = getattr(ft, entry.learner.learner)(N, **trace, alpha=ALPHA, backend=backend)
    learner.learn(stream.x, stream.rewards, gammas=stream.gammas, lambdas=stream.lambdas, rhos=stream.rhos)
    return learner.weights


@dataclass(frozen=True)
class Errors:
    """max|w - exact| / max|exact|, medians over the seeds."""

    kernel: str
    draw: str
    ours: float
    eager: float

    @property
    def ratio(self) -> float:
        return self.ours / self.eager


def measurable() -> bool:
    """Whether there is a compiler, and a long double that is longer than a double."""
    _, lib = native.library()
    return lib is not None and lib.bench_long_double_bits() > 53


def errors(kernel: str, draw: str, backend: str, steps: int = STEPS) -> Errors:
    mine, eager = [], []
    for seed in range(SEEDS):
        stream = trajectory(draw, seed, steps)
        exact = dense(kernel, stream, extended=True)
        largest = np.abs(exact).max()
        mine.append(np.abs(ours(kernel, stream, backend) - exact).max() / largest)
        eager.append(np.abs(dense(kernel, stream, extended=False) - exact).max() / largest)
    return Errors(kernel, draw, float(np.median(mine)), float(np.median(eager)))
