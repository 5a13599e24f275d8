"""Mountain car by true online Sarsa(lambda) with tile coding.

Source: Sutton & Barto 2018, examples 10.1, 12.2 and figures 10.1, 12.11; van Seijen et al. 2016.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import numpy.typing as npt

import fasttrace as ft

from ..backends import Backend

ALPHA, GAMMA, LAMBDA, EPSILON = 1.0 / 8.0, 1.0, 0.9, 0.0
TILES, TILINGS = 8, 8
CHUNK = 25  # episodes between two looks at the clock


@dataclass
class Run:
    """One agent's life.

    lengths, returns   (E,) steps and undiscounted return of each episode
    clock              (E,) seconds of training until the end of each episode
    surfaces           episodes -> cost_to_go() of the agent after so many
    """

    backend: Backend
    lengths: npt.NDArray[np.int64]
    returns: npt.NDArray[np.float64]
    clock: npt.NDArray[np.float64]
    surfaces: dict[int, npt.NDArray[np.float64]] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return int(self.lengths.sum())

    @property
    def seconds(self) -> float:
        return float(self.clock[-1])


@cache
def environment() -> ft.envs.MountainCar:
    """One for all runs: Numba's loop compiles for each environment object anew."""
    return ft.envs.MountainCar()


def task(backend: Backend) -> tuple[ft.envs.MountainCar, ft.TrueOnlineSarsa, ft.TileCoder]:
    """The environment, a new agent, and its tile coder."""
    env = environment()
    coder = ft.TileCoder(env.low, env.high, TILES, TILINGS, backend=backend)
    agent = ft.TrueOnlineSarsa(
        coder.n_features,
        env.n_actions,
        alpha=ALPHA,
        gamma=GAMMA,
        lambda_=LAMBDA,
        epsilon=EPSILON,
        backend=backend,
    )
    return env, agent, coder


def train(
    backend: Backend,
    episodes: int,
    seed: int,
    *,
    surfaces_after: tuple[int, ...] = (),
    budget: float = np.inf,
    watch: Callable[[int], object] = lambda episodes: None,
) -> Run:
    """Train a new agent for `episodes`, or fewer once `budget` seconds are over.

    One generator goes through all chunks, so the walk is that of a single call.
    surfaces_after   episode numbers after which the cost-to-go is kept; an early stop counts as one
    watch            is told the episodes done so far, after each chunk
    """
    env, agent, coder = task(backend)
    generator = np.random.default_rng(seed)
    lengths: list[npt.NDArray[np.int64]] = []
    returns: list[npt.NDArray[np.float64]] = []
    clock: list[npt.NDArray[np.float64]] = []
    surfaces = {}
    done, seconds = 0, 0.0
    while done < episodes:
        stop = min((done // CHUNK + 1) * CHUNK, episodes, *(each for each in surfaces_after if each > done))
        history = ft.simulate(env, agent, coder, episodes=stop - done, seed=generator)
        lengths.append(history.lengths)
        returns.append(history.returns)
        clock.append(seconds + history.seconds * np.cumsum(history.lengths) / history.steps)
        done, seconds = stop, seconds + history.seconds
        watch(done)
        late = seconds > budget
        if done in surfaces_after or (late and surfaces_after):
            surfaces[done] = cost_to_go(agent.weights, coder)
        if late:
            break
    return Run(backend, np.concatenate(lengths), np.concatenate(returns), np.concatenate(clock), surfaces)


def grid(points: int = 61) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Positions up to the goal, and velocities: two (points, points) arrays."""
    env = environment()
    positions = np.linspace(env.low[0], 0.5, points)
    velocities = np.linspace(env.low[1], env.high[1], points)
    position, velocity = np.meshgrid(positions, velocities, indexing="ij")
    return position, velocity


def cost_to_go(weights: npt.NDArray[np.float64], coder: ft.TileCoder) -> npt.NDArray[np.float64]:
    """-max_a q(s, a) on the grid, in steps to the goal: (points, points).  weights (d, A)."""
    position, velocity = grid()
    x = coder(np.column_stack([position.ravel(), velocity.ravel()]))
    return -weights[x].sum(axis=1).max(axis=1).reshape(position.shape)


def same_walk(one: Run, other: Run) -> int:
    """How many episodes from the first on were of the same length in both runs."""
    common = min(len(one.lengths), len(other.lengths))
    differ = np.flatnonzero(one.lengths[:common] != other.lengths[:common])
    return int(differ[0]) if len(differ) else common
