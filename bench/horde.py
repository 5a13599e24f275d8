"""Hordes, timed: many predictions on one stream beside one learner, and beside TD(0) for as many.

Times are of a prediction and step.  Figures are stated for a walk over tiles, as features of robots are; on
the scattered stream a row is hardly ever in the cache's first level.  The rate that a robot can call `update`
at is of the clock on the wall, call by call.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fasttrace as ft
from fasttrace.memory import aligned_zeros

from . import native
from .cases import Spec, close, there
from .interleave import Step, interleave
from .workloads import brownian_walk, gliding_walk, tiles

Float64 = NDArray[np.float64]

N, K, STEPS, BLOCK = 4096, 8, 4096, 4096
SIZES = (64, 1000)
LAMBDA = 0.95
DRAWS = ("decays .9", "spread", "1 % ends")
WALK, SCATTERED = "walk", "scattered"
KERNELS = {"accumulating": "TD", "true online": "TrueOnlineTD"}
LABELS = {"c": "C", "numba": "Numba"}
ONE, FLOOR, FLOOR_AHEAD = "one learner", "TD(0), same layout", "TD(0), same layout, prefetch"
CALL, ONE_CALL = "update of 1000", "one learner's update"
PREFIX, LOOKED_AT = 150, (0, 11, -1)  # steps, and predictions, that are held against the reference
CALLS = 300


@dataclass(frozen=True, eq=False)
class Problem:
    """gammas is (m,), or (T, m) where episodes end."""

    x: NDArray[np.int32]
    cumulants: Float64
    gamma: Float64
    gammas: Float64
    alphas: Float64

    @property
    def m(self) -> int:
        return len(self.gamma)


@cache
def problem(m: int, draw: str, stream: str) -> Problem:
    rng = np.random.default_rng(1)
    if stream == WALK:
        x = tiles(brownian_walk(STEPS, rng), K, 22, N // K)
    else:
        x = np.arange(K) * (N // K) + rng.integers(N // K, size=(STEPS + 1, K))
    decays = np.full(m, 0.9) if draw != "spread" else rng.permutation(np.linspace(0.5, 0.99, m))
    gamma = np.minimum(decays / LAMBDA, 1.0)
    cumulants = rng.uniform(-0.5, 0.5, (STEPS, m))
    gammas = np.where(rng.random((STEPS, m)) < 0.01, 0.0, gamma) if draw == "1 % ends" else gamma
    return Problem(np.ascontiguousarray(x, np.int32), cumulants, gamma, gammas, np.full(m, 0.1 / K))


def make(kernel: str, p: Problem, backend: str) -> ft.Horde:
    learner: Any = KERNELS[kernel]
    return ft.Horde(
        N,
        p.m,
        learner,
        alpha=p.alphas,
        gamma=p.gamma,
        lambda_=LAMBDA,
        backend=backend,  # type: ignore[arg-type]
    )


def single(kernel: str, p: Problem, j: int, backend: str) -> Any:
    gamma, alpha = float(p.gamma[j]), float(p.alphas[j])
    return getattr(ft, KERNELS[kernel])(N, alpha=alpha, gamma=gamma, lambda_=LAMBDA, backend=backend)


def _by_step(p: Problem) -> Float64 | None:
    return p.gammas if p.gammas.ndim == 2 else None


def case(kernel: str, m: int, draw: str, stream: str, backend: str) -> Step:
    """`learn` of a whole stream."""
    p = problem(m, draw, stream)
    horde, gammas = make(kernel, p, backend), _by_step(p)

    def check() -> bool:
        fresh = make(kernel, p, backend)
        x, cumulants = p.x[: PREFIX + 1], p.cumulants[:PREFIX]
        got = fresh.learn(x, cumulants, gammas=None if gammas is None else gammas[:PREFIX])
        for j in LOOKED_AT:
            own = None if gammas is None else gammas[:PREFIX, j]
            want = single(kernel, p, j, "numpy").learn(x, cumulants[:, j], gammas=own)
            if not close(got[:, j], want, 1e-11):
                return False
        return True

    spec = Spec(LABELS[backend], f"{kernel}, {draw}")
    return Step(spec, STEPS * m, lambda: horde.learn(p.x, p.cumulants, gammas=gammas), check)


def one_case(kernel: str, m: int, draw: str, stream: str) -> Step:
    """`learn` of one learner on the same stream."""
    p = problem(m, draw, stream)
    learner, rewards = single(kernel, p, 0, "c"), np.ascontiguousarray(p.cumulants[:, 0])
    return Step(Spec(ONE, f"{kernel}, {draw}"), STEPS, lambda: learner.learn(p.x, rewards), lambda: True)


def floor_case(m: int, draw: str, stream: str, ahead: bool) -> Step:
    _, lib = native.library()
    p = problem(m, draw, stream)
    w, deltas = aligned_zeros(N * m, np.float64), np.empty((STEPS, m))
    stride = m if p.gammas.ndim == 2 else 0
    x, rewards, gammas, alphas, weights, errors = (
        native.pointer(each.reshape(-1)) for each in (p.x, p.cumulants, p.gammas, p.alphas, w, deltas)
    )

    def run() -> None:
        lib.bench_td0_horde(STEPS, K, N, m, BLOCK, x, rewards, gammas, stride, alphas, weights, errors, ahead)

    def check() -> bool:
        w.fill(0.0)
        run()
        for j in LOOKED_AT:
            book = ft.TD(N, alpha=float(p.alphas[j]), gamma=float(p.gamma[j]), lambda_=0.0, backend="numpy")
            own = p.gammas[:PREFIX, j] if stride else None
            want = book.learn(p.x[: PREFIX + 1], p.cumulants[:PREFIX, j], gammas=own)
            if not close(deltas[:PREFIX, j], want, 1e-11):
                return False
        return True

    return Step(Spec(FLOOR_AHEAD if ahead else FLOOR, f"TD(0), {draw}"), STEPS * m, run, check)


def stream_cases(m: int, draw: str, stream: str) -> Iterator[Step]:
    """What is compared on one stream."""
    for kernel, backend in itertools.product(KERNELS, LABELS):
        if backend in there():
            yield case(kernel, m, draw, stream, backend)
    if "c" in there():
        yield one_case("accumulating", m, draw, stream)
    if native.library()[1] is not None:
        yield floor_case(m, draw, stream, False)
        yield floor_case(m, draw, stream, True)


def call_cases(m: int = 1000) -> Iterator[Step]:
    """`update` from a Python loop, of a horde and of one learner."""
    p = problem(m, "decays .9", WALK)
    rows, cumulants, rewards = list(p.x), list(p.cumulants), p.cumulants[:, 0].tolist()
    for backend in ("c", "numba"):
        if backend not in there():
            continue
        horde = make("accumulating", p, backend)

        def run(horde: Any = horde) -> None:
            for t in range(CALLS):
                horde.update(rows[t], cumulants[t], rows[t + 1])

        def check(backend: str = backend, run: Any = run) -> bool:
            """To the bit as `learn`."""
            stepped, at_once = (make("accumulating", p, backend) for _ in range(2))
            run(stepped)
            at_once.learn(p.x[: CALLS + 1], p.cumulants[:CALLS])
            return bool((stepped.weights == at_once.weights).all())

        yield Step(Spec(LABELS[backend], CALL), CALLS * m, run, check)
    if "c" in there():
        learner = single("accumulating", p, 0, "c")

        def alone() -> None:
            for t in range(CALLS):
                learner.update(rows[t], rewards[t], rows[t + 1])

        yield Step(Spec(ONE, ONE_CALL), CALLS, alone, lambda: True)


# ---- a robot's rate ----

ROBOT = {"m": 2000, "k": 16, "n": 2**20, "touched": 50_000}


@cache
def robot_walk(steps: int) -> NDArray[np.int32]:
    """Tiles of a gliding walk, 16 tilings over 2^20 weights, of which it comes to about 50 000."""
    side = 56
    x = tiles(gliding_walk(steps, np.random.default_rng(0)), ROBOT["k"], side, ROBOT["n"] // ROBOT["k"])
    return np.ascontiguousarray(x, np.int32)


def _resident() -> float | None:
    """MiB of this process that are in memory, where /proc tells."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return None


def robot_rate(steps: int = 100_000) -> dict[str, Any]:
    """Milliseconds of `update`, one call after the other, in C: median and 99.9 %; memory of all of it."""
    m, n = ROBOT["m"], ROBOT["n"]
    x, rng = robot_walk(steps), np.random.default_rng(1)
    gamma = 1 - 1 / np.geomspace(2, 1000, m)
    rows, times, before = list(x), np.zeros(steps), _resident()
    horde = ft.Horde(n, m, "TrueOnlineTD", alpha=0.1 / ROBOT["k"], gamma=gamma, lambda_=LAMBDA, backend="c")
    some = [rng.normal(size=m) for _ in range(64)]
    for t in range(steps):
        began = time.perf_counter()
        horde.update(rows[t], some[t % 64], rows[t + 1])
        times[t] = time.perf_counter() - began
    after = _resident()
    return {
        "median": float(np.median(times)) * 1e3,
        "99.9 %": float(np.quantile(times, 0.999)) * 1e3,
        "longest": float(times.max()) * 1e3,
        "touched": len(np.unique(x[:-1])),
        "MiB": None if before is None or after is None else after - before,
    }


# ---- for the report ----


def measure(rounds: int, full: bool) -> dict[str, Any]:
    """ns of a prediction and step, by table, row and column; what was wrong; a robot's rate."""
    found: dict[str, Any] = {"ns": {}, "wrong": []}
    every = itertools.product((WALK, SCATTERED), SIZES, DRAWS)
    tables = [(f"{s}, m = {m}, {draw}", stream_cases(m, draw, s)) for s, m, draw in every]
    tables.append(("one call a step", call_cases()))
    for name, cases in tables:
        right = []
        for each in cases:
            if each.check():
                right.append(each)
            else:
                found["wrong"].append(f"{name}: {each.spec}")
        timings = interleave(right, rounds)
        found["ns"][name] = {
            f"{each.spec.kernel}; {each.spec.implementation}": timing.ns
            for each, timing in zip(right, timings, strict=True)
        }
        problem.cache_clear()
    if "c" in there():
        found["rate"] = robot_rate(100_000 if full else 10_000)
    return found


def figures(found: dict[str, Any]) -> Iterator[tuple[str, float | None, float, str]]:
    """(what, measured, at most, unit)."""

    def ratio(table: str, one: str, other: str) -> float | None:
        ns = found.get("ns", {}).get(table, {})
        return ns[one] / ns[other] if one in ns and other in ns else None

    for (m, part), (draw, floor) in itertools.product(
        zip(SIZES, (1 / 2, 1 / 3), strict=True), zip(DRAWS, (2.5, 3.5, 2.5), strict=True)
    ):
        table, ours = f"{WALK}, m = {m}, {draw}", f"accumulating, {draw}; C"
        name = f"horde of {m}, {draw}: a prediction and step"
        yield f"{name} / one learner", ratio(table, ours, f"accumulating, {draw}; {ONE}"), part, ""
        most = floor if m == SIZES[0] else 2.0
        yield f"{name} / TD(0) in the same layout", ratio(table, ours, f"TD(0), {draw}; {FLOOR}"), most, ""
    call = ratio("one call a step", f"{CALL}; C", f"{ONE_CALL}; {ONE}")
    yield "horde of 1000, `update`: a prediction / one learner's", call, 1 / 5, ""
    rate = found.get("rate", {})
    about = "horde of 2000, true online, d = 2^20, k = 16, `update`"
    yield f"{about}: median", rate.get("median"), 1.0, "ms"
    yield f"{about}: 99.9 %", rate.get("99.9 %"), 2.0, "ms"
