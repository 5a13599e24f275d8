"""Many agents on mountain car: together, one by one, in threads; an agent of 0.1.0; the floor."""

from __future__ import annotations

import ctypes
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fasttrace as ft
from fasttrace.memory import aligned_zeros

from . import native
from .cases import Case, Spec, there
from .returns import InThreads
from .workloads import PopulationTask

KERNEL = "true online sarsa"
TASK = PopulationTask()
ALONE, TOGETHER, THREADS, FLOOR = "C", "C, together", "C, two threads", "Sarsa(0) C"
FIRST = "C, 0.1.0"
IMPLEMENTATIONS = (ALONE, TOGETHER, THREADS)
ONES = (0, 21, 42, 63)  # those that run alone
CHECKED = 3000  # steps of the floor that plain Python walks along


def specs() -> list[Spec]:
    if "c" not in there():
        return []
    found = [Spec(name, KERNEL, TASK.lambda_) for name in IMPLEMENTATIONS]
    lib = native.library()[1]
    if lib is None:
        return found
    first = [Spec(FIRST, KERNEL, TASK.lambda_)] if lib.bench_agent_size() else []
    return [*found, *first, Spec(FLOOR)]


def case(spec: Spec) -> Case:
    if spec.implementation == FLOOR:
        return _floor()
    if spec.implementation == FIRST:
        return _first(spec)
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


def _first(spec: Spec) -> Case:
    """An agent alone, as the first version had it; the same numbers, of its generator, as it took them."""
    t, (ffi, lib), (env, coder, numbers) = TASK, native.library(), _coder()
    memory, lengths = aligned_zeros(lib.bench_agent_size(), np.uint8), np.zeros(t.steps, np.int64)
    span, displaced = coder.high - coder.low, np.outer([1, 3], np.arange(t.tilings)) % t.tilings / t.tilings
    cells, strides = [t.tiles + 1] * 2, [t.tiles + 1, 1]
    rows = [coder.low, span, t.tiles / span, cells, strides, [0, 0], displaced]
    table, returns = np.column_stack(rows).reshape(-1), np.zeros(t.steps)

    def prepare() -> None:
        memory[:] = 0

    def run() -> int:
        source = np.random.default_rng(t.seed).bit_generator.ctypes
        draw = ffi.cast("void *", ctypes.cast(source.next_double, ctypes.c_void_p).value)
        return lib.bench_agent_0_1(
            t.steps, t.alpha, t.gamma, t.lambda_, t.epsilon, ffi.from_buffer(memory), native.pointer(table),
            draw,
            ffi.cast("void *", source.state_address), native.pointer(returns), native.pointer(lengths),
        )  # fmt: skip

    def check() -> bool:
        """The walk of an agent of today, and its weights."""
        prepare()
        ended, w = run(), np.zeros((coder.n_features, 4))
        lib.bench_agent_weights(ffi.from_buffer(memory), native.pointer(w))
        agent = ft.TrueOnlineSarsa(coder.n_features, 3, **numbers, backend="c")
        want = ft.simulate(env, agent, coder, steps=t.steps, seed=np.random.default_rng(t.seed))
        same = np.array_equal(lengths[:ended], want.lengths) and np.array_equal(returns[:ended], want.returns)
        return same and bool(np.abs(w[:, :3] - agent.weights).max() <= 1e-9)

    return Case(spec, t, t.steps, prepare, run, check)


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
