"""The timer that ratios are taken from: everything that is compared runs in turn, A B C A B C ...

A machine that slows down for a second then slows all of them down, and the minimum of many rounds is what
each needs when nothing disturbs it.  The clock is the thread's own where it is fine enough: on a shared
machine it stands still while others have the CPU.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

ROUNDS = 11
VISIT_NS = 10_000_000  # a quick run is repeated for so long at each visit
SLOW_NS = 150_000_000  # a run longer than this comes SLOW_ROUNDS times, unless it must come every time
SLOW_ROUNDS = 3

_fine = time.get_clock_info("thread_time").resolution <= 1e-6
clock_ns = time.thread_time_ns if _fine else time.perf_counter_ns


class Timed(Protocol):
    steps: int
    every_round: bool

    def prepare(self) -> None:
        """Make everything as it was before the first run; not timed."""

    def run(self) -> object:
        """What is timed."""


@dataclass
class Timing:
    """Nanoseconds of each run, and the steps that a run makes."""

    steps: int
    runs: list[int] = field(default_factory=list)
    rounds: int = 0

    @property
    def ns(self) -> float:
        """Nanoseconds a step: the minimum over all runs."""
        return min(self.runs) / self.steps


def interleave(
    cases: Sequence[Timed], rounds: int = ROUNDS, watch: Callable[[int], object] = lambda _: None
) -> list[Timing]:
    """Time the cases in turn, `rounds` times; everything must have run before, so that nothing compiles here.

    watch  is told the number of each round that is done, from 1.
    """
    timings = [Timing(case.steps) for case in cases]
    collecting = gc.isenabled()
    gc.disable()
    try:
        for r in range(rounds):
            for case, timing in zip(cases, timings, strict=True):
                slow = timing.runs and timing.runs[0] > SLOW_NS and not case.every_round
                if slow and r >= SLOW_ROUNDS:
                    continue
                timing.rounds += 1
                spent = 0
                while spent == 0 or spent < VISIT_NS:
                    case.prepare()
                    began = clock_ns()
                    case.run()
                    elapsed = max(clock_ns() - began, 1)
                    timing.runs.append(elapsed)
                    spent += elapsed
            gc.collect()
            watch(r + 1)
    finally:
        if collecting:
            gc.enable()
    return timings
