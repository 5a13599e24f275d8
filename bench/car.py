"""Mountain car, environment, tile coder and agent in one loop: ft.simulate, and the eager list in Numba."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fasttrace as ft

from . import baselines
from .cases import BACKENDS, EAGER, Case, Spec, there
from .workloads import MountainCarTask

KERNEL = "true online sarsa"
TASK = MountainCarTask()
# The list forgets traces below 1e-8: sooner or later two nearly equal action values fall the other way.
# So many episodes are the same, step for step, by any implementation.
SAME_EPISODES = 200
REFERENCE_EPISODES = 3
NUMPY_STEPS = 2200  # three episodes and a little


def specs() -> list[Spec]:
    return [Spec(name, KERNEL, TASK.lambda_) for name in [*there().values(), EAGER]]


def case(spec: Spec) -> Case:
    return _eager() if spec.implementation == EAGER else _ours(spec)


def _eager() -> Case:
    t = TASK
    state = baselines.eager_list(t.tilings * (t.tiles + 1) ** 2 * 3)
    lengths = np.zeros(t.steps, np.int64)
    numbers = (t.tilings, t.tiles, t.alpha, t.lambda_, t.gamma, t.epsilon, baselines.CUTOFF)

    def run() -> NDArray[np.int64]:
        rng = np.random.default_rng(t.seed)
        return lengths[: baselines.eager_mountain_car(state, rng, t.steps, *numbers, lengths)]

    def check() -> bool:
        baselines.clear(state)
        return _same(run(), book_lengths(), REFERENCE_EPISODES)

    return Case(Spec(EAGER, KERNEL, t.lambda_), t, t.steps, lambda: baselines.clear(state), run, check)


def _ours(spec: Spec) -> Case:
    t = TASK
    backend = {label: name for name, label in BACKENDS.items()}[spec.implementation]
    steps = NUMPY_STEPS if backend == "numpy" else t.steps
    env, agent, coder = _parts(backend)
    nothing = np.zeros(agent.weights.shape)

    def prepare() -> None:
        agent.reset()
        agent.weights = nothing

    def run() -> NDArray[np.int64]:
        return ft.simulate(env, agent, coder, steps=steps, seed=t.seed).lengths

    def check() -> bool:
        prepare()
        lengths = run()
        right = _same(lengths, book_lengths(), REFERENCE_EPISODES)
        return right and (backend == "numpy" or _same(lengths, listed_lengths(), SAME_EPISODES))

    return Case(spec, t, steps, prepare, run, check)


def _parts(backend: str) -> tuple[Any, Any, Any]:
    t = TASK
    env = ft.envs.MountainCar()
    coder = ft.TileCoder(env.low, env.high, t.tiles, t.tilings, backend=backend)
    numbers = {"alpha": t.alpha, "gamma": t.gamma, "lambda_": t.lambda_, "epsilon": t.epsilon}
    return env, ft.TrueOnlineSarsa(coder.n_features, 3, **numbers, backend=backend), coder


@cache
def book_lengths() -> NDArray[np.int64]:
    """Lengths of the first episodes by the reference backend."""
    env, agent, coder = _parts("numpy")
    return ft.simulate(env, agent, coder, episodes=REFERENCE_EPISODES, seed=TASK.seed).lengths


@cache
def listed_lengths() -> NDArray[np.int64]:
    """Lengths of all episodes by the eager list."""
    eager = _eager()
    eager.prepare()
    return eager.run().copy()


def _same(lengths: NDArray[np.int64], want: NDArray[np.int64], episodes: int) -> bool:
    """Step for step the same episodes."""
    enough = min(len(lengths), len(want)) >= episodes
    return enough and bool(np.array_equal(lengths[:episodes], want[:episodes]))
