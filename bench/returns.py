"""Returns: GAE of float32 arrays against np.add of two arrays of that size, and against other packages.

Terminations in 1 % of the entries.  A kernel is called with its arguments ready; a public call with arrays.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

import fasttrace as ft
from fasttrace.backends import module
from fasttrace.returns import Problem

from .cases import Case, Spec, there

GAMMA, LAMBDA = 0.99, 0.95
WIDE, LONG, SERIES, SMALL = (20, 4096), (2048, 64), (1_000_000, 1), (128, 8)
SHAPES = (WIDE, LONG, SERIES, SMALL)
ADD, BATCH_MAJOR, EACH, CALL = "np.add", "C, batch-major", "C, gamma and lambda by step", "C, public call"
PEERS = ("rlax", "tianshou", "torchrl", "stable_baselines3")
TOLERANCE, SINGLE = 2e-7, 1e-5  # sums in float64, and in float32 as others carry them


class InThreads(Case):
    """Timed by the clock on the wall: CPU time leaves out what another thread is in the midst of."""

    clock_ns = staticmethod(time.perf_counter_ns)


@dataclass(frozen=True)
class Arrays:
    """rewards, terminated (T, B); values (T + 1, B); gammas, lambdas (T, B) near 1."""

    rewards: Any
    values: Any
    terminated: Any
    gammas: Any
    lambdas: Any


def arrays(shape: tuple[int, int]) -> Arrays:
    rng = np.random.default_rng(0)
    T, B = shape
    rewards, values = (rng.standard_normal((rows, B), np.float32) for rows in (T, T + 1))
    rates = rng.uniform(0.9, 1.0, (2, T, B)).astype(np.float32)
    return Arrays(rewards, values, rng.random(shape) < 0.01, *rates)


def exact(a: Arrays, *, each: bool = False) -> Any:
    """Advantages (T, B) by the recursion in float64, for the check."""
    gammas, lambdas = (a.gammas, a.lambdas) if each else (GAMMA, LAMBDA)
    on = np.where(a.terminated, 0.0, gammas)
    values = a.values.astype(np.float64)
    result = a.rewards + on * values[1:] - values[:-1]
    decay = np.broadcast_to(on * lambdas, result.shape)
    for t in range(len(result) - 2, -1, -1):
        result[t] += decay[t] * result[t + 1]
    return result


def cases(shape: tuple[int, int]) -> Iterator[Case]:
    """What is compared on arrays of a shape: np.add, and ours where it is there."""
    a = arrays(shape)
    other, total = a.values[:-1].copy(), np.empty_like(a.rewards)
    yield _case(ADD, shape, lambda: np.add(a.rewards, other, out=None if shape == SMALL else total), None)
    right = cache(partial(exact, a))
    if shape == SMALL:
        if "c" in there():
            more = {"gammas": GAMMA, "lambdas": LAMBDA, "terminated": a.terminated}
            yield _case(CALL, shape, lambda: ft.returns.gae(a.rewards, a.values, **more), right)
        return
    if "c" in there():
        yield _kernel("C", shape, a, right)
        if shape[1] > 1:
            yield _kernel(BATCH_MAJOR, shape, a, right, batch_major=True)
            yield _kernel(EACH, shape, a, partial(exact, a, each=True), each=True)
    if "numba" in there() and shape[1] > 1:
        out = np.empty_like(a.rewards), np.empty_like(a.rewards)
        more = {"gammas": GAMMA, "lambdas": LAMBDA, "terminated": a.terminated, "out": out}
        run = lambda: ft.returns.gae(a.rewards, a.values, backend="numba", **more)  # noqa: E731
        yield _case("Numba", shape, run, right)


def _case(
    name: str, shape: tuple[int, int], run: Callable[[], Any], right: Any, *, tolerance: float = TOLERANCE
) -> Case:
    """Runs of at least 2e5 entries; a step is an entry.  right() is the result, where there is one."""
    size = shape[0] * shape[1]
    times = max(1, 200_000 // size)

    def run_all() -> None:
        for _ in range(times):
            run()

    def check() -> bool:
        found = run()
        if right is None:
            return True
        found = np.asarray(found[0] if isinstance(found, tuple) else found)
        want = right()
        found = found.T if found.shape != want.shape else found
        return bool(np.abs(found - want).max() <= tolerance * np.abs(want).max())

    kind = InThreads if name in PEERS else Case
    return kind(Spec(name), shape, size * times, lambda: None, run_all, check)


def _kernel(
    name: str, shape: tuple[int, int], a: Arrays, right: Any, *, batch_major: bool = False, each: bool = False
) -> Case:
    """The C kernel alone, with `out=` on both results."""
    kernels = module("c", "returns")
    laid = (lambda x: np.ascontiguousarray(x.T)) if batch_major else (lambda x: x)
    if shape[1] == 1:
        laid = np.ravel
    rewards, values = laid(a.rewards), laid(a.values)
    p = Problem(
        family="gae", T=shape[0], B=shape[1], batch_major=batch_major or shape[1] == 1, rewards=rewards,
        out=np.empty_like(rewards), second=np.empty_like(rewards),
        gamma=GAMMA, lambda_=LAMBDA,
        gammas=laid(a.gammas) if each else None, lambdas=laid(a.lambdas) if each else None,
        flags=laid(a.terminated).view(np.uint8),
        values=values, nexts=values, last=np.ascontiguousarray(a.values[-1]),
    )  # fmt: skip
    struct, kept = kernels.pack(p)
    go = kernels.lib.ft_returns_run

    def run() -> Any:
        go(struct)
        return kept[0][0].out

    return _case(name, shape, run, (lambda: right().ravel()) if shape[1] == 1 else right)


# ---- other packages: pip install "fasttrace[bench-peers]" ----


def peers(shape: tuple[int, int]) -> Iterator[Case]:
    """GAE of the packages that are installed, with arrays of their own ready, compiled where they can be."""
    a = arrays(shape)
    right = cache(partial(exact, a))
    makers = {"rlax": _rlax, "tianshou": _tianshou, "torchrl": _torchrl, "stable_baselines3": _sb3}
    for name, make in makers.items():
        if find_spec(name) is not None:
            yield _case(name, shape, make(a), right, tolerance=SINGLE)


def _rlax(a: Arrays) -> Callable[[], Any]:
    import jax
    import rlax

    one = jax.vmap(rlax.truncated_generalized_advantage_estimation, in_axes=(1, 1, None, 1), out_axes=1)
    go = jax.jit(lambda r, d, v: one(r, d, LAMBDA, v))
    r, v = jax.numpy.asarray(a.rewards), jax.numpy.asarray(a.values)
    discounts = jax.numpy.asarray(np.where(a.terminated, 0.0, GAMMA).astype(np.float32))
    return lambda: go(r, discounts, v).block_until_ready()


def _tianshou(a: Arrays) -> Callable[[], Any]:
    """Its compiled function takes one trajectory: all of them end to end, each ended where it is cut."""
    try:
        from tianshou.algorithm.algorithm_base import _gae
    except ImportError:
        from tianshou.policy.base import _gae_return as _gae
    flat = [np.ascontiguousarray(x.T).ravel() for x in (a.values[:-1], a.values[1:], a.rewards, a.terminated)]
    v, v_next, r, ends = flat
    cut = np.zeros_like(a.terminated)
    cut[-1] = True
    end = np.logical_or(ends, np.ascontiguousarray(cut.T).ravel())
    v_next = np.where(ends, np.float32(0), v_next)
    T, B = a.rewards.shape
    return lambda: _gae(v, v_next, r, end, GAMMA, LAMBDA).reshape(B, T).T


def _torchrl(a: Arrays) -> Callable[[], Any]:
    import torch
    from torchrl.objectives.value.functional import vec_generalized_advantage_estimate

    torch.set_num_threads(1)
    laid = [
        np.ascontiguousarray(x.T)[..., None] for x in (a.values[:-1], a.values[1:], a.rewards, a.terminated)
    ]
    v, v_next, r, ends = map(torch.from_numpy, laid)

    def run() -> Any:
        found, _ = vec_generalized_advantage_estimate(GAMMA, LAMBDA, v, v_next, r, done=ends, terminated=ends)
        return found[..., 0].numpy().T

    return run


def _sb3(a: Arrays) -> Callable[[], Any]:
    import torch
    from gymnasium import spaces
    from stable_baselines3.common.buffers import RolloutBuffer

    torch.set_num_threads(1)
    T, B = a.rewards.shape
    box = spaces.Box(-1.0, 1.0, (1,))
    buffer = RolloutBuffer(T, box, box, "cpu", gae_lambda=LAMBDA, gamma=GAMMA, n_envs=B)
    buffer.rewards, buffer.values = a.rewards.copy(), a.values[:-1].copy()
    buffer.episode_starts[1:] = a.terminated[:-1]
    last, dones = torch.from_numpy(a.values[-1].copy()), a.terminated[-1]

    def run() -> Any:
        buffer.compute_returns_and_advantage(last, dones)
        return buffer.advantages

    return run
