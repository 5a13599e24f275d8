"""Many agents on mountain car: together, alone one after the other, in threads; and the floor in C."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fasttrace as ft

from . import native
from .cases import Case, Spec, there
from .returns import InThreads
from .workloads import PopulationTask

KERNEL = "true online sarsa"
TASK = PopulationTask()
ALONE, TOGETHER, THREADS, FLOOR = "C", "C, together", "C, two threads", "Sarsa(0) C"
IMPLEMENTATIONS = (ALONE, TOGETHER, THREADS)
ONES = (0, 21, 42, 63)  # those that run alone
CHECKED = 3000  # steps of the floor that plain Python walks along


def specs() -> list[Spec]:
    if "c" not in there():
        return []
    found = [Spec(name, KERNEL, TASK.lambda_) for name in IMPLEMENTATIONS]
    return found if native.library()[1] is None else [*found, Spec(FLOOR)]


def case(spec: Spec) -> Case:
    if spec.implementation == FLOOR:
        return _floor()
    return _alone(spec) if spec.implementation == ALONE else _together(spec)


def _coder() -> tuple[Any, Any, dict[str, float]]:
    t, env = TASK, ft.envs.MountainCar()
    numbers = {"alpha": t.alpha, "gamma": t.gamma, "lambda_": t.lambda_, "epsilon": t.epsilon}
    return env, ft.TileCoder(env.low, env.high, t.tiles, t.tilings, backend="c"), numbers


def _generator(i: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([TASK.seed, i], np.uint64)))


def _alone(spec: Spec) -> Case:
    env, coder, numbers = _coder()
    agents = [ft.TrueOnlineSarsa(coder.n_features, 3, **numbers, backend="c") for _ in ONES]
    nothing = np.zeros(agents[0].weights.shape)

    def prepare() -> None:
        for agent in agents:
            agent.reset()
            agent.weights = nothing

    def run() -> list[NDArray[np.int64]]:
        return [
            ft.simulate(env, agent, coder, steps=TASK.steps, seed=_generator(i)).lengths
            for i, agent in zip(ONES, agents, strict=True)
        ]

    def check() -> bool:
        """The first episodes are those of the reference."""
        prepare()
        reference = ft.TrueOnlineSarsa(coder.n_features, 3, **numbers, backend="numpy")
        want = ft.simulate(env, reference, coder, episodes=2, seed=_generator(ONES[0])).lengths
        return np.array_equal(run()[0][:2], want)

    return Case(spec, TASK, TASK.steps * len(ONES), prepare, run, check)


def _together(spec: Spec) -> Case:
    env, coder, numbers = _coder()
    agents = ft.Population(ft.TrueOnlineSarsa, coder.n_features, 3, TASK.agents, **numbers, backend="c")
    nothing = np.zeros(agents.weights.shape[1:])
    threads = 2 if spec.implementation == THREADS else 1

    def prepare() -> None:
        agents.reset()
        agents.weights = nothing

    def run() -> Any:
        return ft.simulate(env, agents, coder, steps=TASK.steps, seed=TASK.seed, threads=threads)

    def check() -> bool:
        """Those that also run alone have done the same, to the bit."""
        prepare()
        alone = {i: agents[i] for i in ONES}
        history = run()
        for i, one in alone.items():
            want = ft.simulate(env, one, coder, steps=TASK.steps, seed=_generator(i)).lengths
            same = np.array_equal(history.lengths[i, : len(want)], want)
            if not (same and np.array_equal(agents[i].weights, one.weights)):
                return False
        return True

    make = InThreads if threads > 1 else Case
    return make(spec, TASK, TASK.steps * TASK.agents, prepare, run, check)


def _floor() -> Case:
    _, lib = native.library()
    w, lengths = np.zeros((_coder()[1].n_features, 4)), np.zeros(TASK.steps, np.int64)

    def prepare() -> None:
        w[:] = 0.0

    def run(steps: int = TASK.steps) -> int:
        return lib.bench_car(steps, TASK.alpha, native.pointer(w), native.pointer(lengths))

    def check() -> bool:
        """The beginning, step by step in Python."""
        prepare()
        ended = run(CHECKED)
        want, walked = _by_hand(CHECKED)
        return np.array_equal(lengths[:ended], walked) and bool(np.allclose(w[:, :3], want, atol=1e-9))

    return Case(Spec(FLOOR), TASK, TASK.steps, prepare, run, check)


def _by_hand(steps: int) -> tuple[NDArray[np.float64], list[int]]:
    env, coder, _ = _coder()
    w, lengths, length, state = np.zeros((coder.n_features, 3)), [], 0, (-0.5, 0.0)
    x = coder(state)
    action = int(np.argmax(w[x].sum(axis=0)))
    for _ in range(steps):
        state, reward, gamma = env.step(state, action, ())
        x_next = coder(state)
        q_next = w[x_next].sum(axis=0)
        following = int(np.argmax(q_next))
        value = q_next[following] if gamma else 0.0
        w[x, action] += TASK.alpha * (reward + value - math.fsum(w[x, action]))
        x, action, length = x_next, following, length + 1
        if gamma == 0.0:
            lengths.append(length)
            length, x = 0, coder((-0.5, 0.0))
            state, action = (-0.5, 0.0), int(np.argmax(w[x].sum(axis=0)))
    return w, lengths
