"""The streams that are timed: binary features of walks, and what comes with them.

Everything is drawn from fixed seeds, so that two machines time the same work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Float64 = NDArray[np.float64]

STEPS = 100_000


@dataclass(frozen=True, eq=False)
class Workload:
    """T transitions of a prediction task with k active features out of n.

    x        (T + 1, k) int32, C order
    rewards  (T,) float64
    prefix   transitions that the dense reference is timed on
    """

    name: str
    about: str
    n: int
    x: Int32
    rewards: Float64
    prefix: int
    gamma: float = 0.99

    @property
    def k(self) -> int:
        return self.x.shape[1]

    @property
    def steps(self) -> int:
        return len(self.rewards)

    @property
    def alpha(self) -> float:
        return 0.1 / self.k

    @cached_property
    def new_features(self) -> float:
        """Features of a state, in the mean, that the state before did not have."""
        return float((self.x[1:] != self.x[:-1]).sum(axis=1).mean())

    def head(self, steps: int) -> Workload:
        """The first `steps` transitions."""
        if steps >= self.steps:
            return self
        return replace(self, x=self.x[: steps + 1], rewards=self.rewards[:steps])

    def describe(self) -> str:
        """One line for the report."""
        return (
            f"{self.about[0].upper()}{self.about[1:]}. {self.n:,} weights, {self.k} active, "
            f"{self.new_features:.1f} of them new at a step; {self.steps:,} steps, gamma {self.gamma:g}."
        )

    def __str__(self) -> str:
        return self.name


def brownian_walk(steps: int, rng: np.random.Generator) -> Float64:
    """s <- .9999 s + .005 N(0, 1) in two dimensions, squashed to the unit square: (steps + 1, 2)."""
    noise = 0.005 * rng.standard_normal((steps, 2))
    path = np.zeros((steps + 1, 2))
    for t in range(steps):
        path[t + 1] = 0.9999 * path[t] + noise[t]
    return (1.0 + np.tanh(path)) / 2.0


def gliding_walk(steps: int, rng: np.random.Generator) -> Float64:
    """A walk with momentum: it moves on, where a Brownian walk comes back to the tiles that it left.

    u <- .99 u + .002 N(0, 1);  s <- .995 s + u;  squashed to the unit square: (steps + 1, 2).
    """
    noise = 0.002 * rng.standard_normal((steps, 2))
    path = np.zeros((steps + 1, 2))
    u = np.zeros(2)
    for t in range(steps):
        u = 0.99 * u + noise[t]
        path[t + 1] = 0.995 * path[t] + u
    return (1.0 + np.tanh(path)) / 2.0


def tiles(path: Float64, tilings: int, side: int, apart: int) -> NDArray[np.int64]:
    """Active tiles of `tilings` tilings of side x side cells, the first cells `apart` apart: (N, tilings).

    Tiling j is displaced by (j, 3 j) / tilings of a tile: Sutton & Barto 2018, section 9.5.4.
    """
    j = np.arange(tilings)
    row = np.floor(path[:, :1] * (side - 1) + j % tilings / tilings).astype(np.int64)
    column = np.floor(path[:, 1:] * (side - 1) + 3 * j % tilings / tilings).astype(np.int64)
    return j * apart + row * side + column


def hashed(indices: NDArray[np.int64], memory: int) -> NDArray[np.int64]:
    """Indices mixed into [0, memory), a power of two: the finaliser of splitmix64."""
    h = indices.astype(np.uint64)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    h ^= h >> np.uint64(31)
    return (h & np.uint64(memory - 1)).astype(np.int64)


def _workload(name: str, about: str, n: int, x: NDArray[np.int64], prefix: int) -> Workload:
    rewards = np.random.default_rng(1).standard_normal(len(x) - 1)
    return Workload(name, about, n, np.ascontiguousarray(x, np.int32), rewards, prefix)


@cache
def smooth_8() -> Workload:
    """8 tilings of 90 x 90 over the Brownian walk: the stream that the targets are stated for."""
    path = brownian_walk(STEPS, np.random.default_rng(0))
    about = "8 tilings of 90 x 90 over a Brownian walk"
    return _workload("L8", about, 65536, tiles(path, 8, 90, 8192), 100)


@cache
def permuted_8() -> Workload:
    """L8 with the features renamed at random: as many stay from step to step, none lie together."""
    names = np.random.default_rng(2).permutation(65536)
    return _workload("L8 permuted", "L8, its features renamed at random", 65536, names[smooth_8().x], 100)


@cache
def random_8() -> Workload:
    """8 features drawn anew at every step: no locality in time or memory."""
    rng = np.random.default_rng(3)
    x = np.arange(8) * 8192 + rng.integers(8192, size=(STEPS + 1, 8))
    return _workload("random 8", "8 features drawn anew at every step", 65536, x, 100)


@cache
def tabular() -> Workload:
    """A feature a state: a random walk over 1000 states, which comes back to those it left."""
    at = np.cumsum(np.random.default_rng(4).integers(0, 2, STEPS + 1) * 2 - 1) % 1000
    return _workload("tabular", "one feature a state, a random walk over 1000", 1000, at[:, None], 100)


@cache
def smooth_32() -> Workload:
    """32 tilings over the same walk.

    They are 8100 apart, not 8192: a power of two would put all 32 into the same set of the cache, and
    every implementation would wait for that alone.
    """
    path = brownian_walk(STEPS, np.random.default_rng(0))
    about = "32 tilings of 90 x 90 over the same walk"
    return _workload("L32", about, 32 * 8100, tiles(path, 32, 90, 8100), 100)


@cache
def gliding_8() -> Workload:
    """The tilings of L8 over a walk with momentum: as many new tiles a step, but few that come back."""
    path = gliding_walk(STEPS, np.random.default_rng(0))
    about = "the tilings of L8 over a walk with momentum"
    return _workload("glide 8", about, 65536, tiles(path, 8, 90, 8192), 100)


@cache
def hashed_16() -> Workload:
    """16 finer tilings hashed into 2^20 weights: about 10 new tiles a step, most of them not in cache."""
    path = gliding_walk(STEPS, np.random.default_rng(0))
    about = "16 tilings of 270 x 270 hashed into 2^20"
    x = hashed(tiles(path, 16, 270, 270 * 270), 2**20)
    return _workload("hashed 16", about, 2**20, x, 25)


@cache
def random_32() -> Workload:
    """32 features drawn anew at every step from 2^24: each has to come from memory."""
    x = np.random.default_rng(5).integers(2**24, size=(STEPS // 2 + 1, 32))
    return _workload("random 32 of 2^24", "32 features drawn anew at every step from 2^24", 2**24, x, 3)


WORKLOADS: tuple[Callable[[], Workload], ...] = (
    smooth_8,
    permuted_8,
    random_8,
    tabular,
    smooth_32,
    gliding_8,
    hashed_16,
)


@dataclass(frozen=True)
class MountainCarTask:
    """True online Sarsa(lambda) on mountain car: 8 tilings of 8 x 8, greedy, ties broken at random."""

    steps: int = STEPS
    tilings: int = 8
    tiles: int = 8
    alpha: float = 1.0 / 8
    lambda_: float = 0.9
    gamma: float = 1.0
    epsilon: float = 0.0
    seed: int = 1

    def describe(self) -> str:
        """One line for the report."""
        return (
            f"Environment, coder and agent in one loop: {self.steps:,} steps, {self.tilings} tilings of "
            f"{self.tiles} x {self.tiles}, greedy."
        )

    def __str__(self) -> str:
        return "mountain car"


@dataclass(frozen=True)
class PopulationTask(MountainCarTask):
    """The same for many agents, each with a car of its own, for so many steps each."""

    steps: int = 20_000
    agents: int = 64

    def describe(self) -> str:
        """One line for the report."""
        return (
            f"{self.agents} agents on mountain car, {self.steps:,} steps each; some of them alone, in turn; "
            "and Sarsa(0) with environment and tiles in C, without a trace."
        )

    def __str__(self) -> str:
        return "population"
