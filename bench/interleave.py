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
from typing import Any, Protocol

ROUNDS = 33
VISIT_NS = 5_000_000  # a quick run is repeated for so long at each visit
# Runs of more than so many nanoseconds come to every third round, or to so few in all.
LONG_NS, LONG_EVERY = 8_000_000, 3
VERY_LONG_NS, VERY_LONG_ROUNDS = 200_000_000, 3
_fine = time.get_clock_info("thread_time").resolution <= 1e-6
clock_ns = time.thread_time_ns if _fine else time.perf_counter_ns


class Timed(Protocol):
    steps: int

    def prepare(self) -> None:
        """Make everything as it was before the first run; not timed."""

    def run(self) -> object:
        """What is timed."""


@dataclass
class Step:
    """One implementation of a step, as Timed; what is learned changes no time."""

    spec: Any
    steps: int
    run: Callable[[], object]
    check: Callable[[], bool]

    def prepare(self) -> None:
        """Nothing to do."""


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


def _is_due(timing: Timing, r: int) -> bool:
    """Whether a case runs in round r."""
    shortest = min(timing.runs, default=0)
    if shortest > VERY_LONG_NS and timing.rounds >= VERY_LONG_ROUNDS:
        return False
    return shortest <= LONG_NS or r % LONG_EVERY == 0


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
                if not _is_due(timing, r):
                    continue
                timing.rounds += 1
                spent = 0
                while spent == 0 or spent < VISIT_NS:
                    clock = getattr(case, "clock_ns", clock_ns)  # its own, where it runs in threads
                    case.prepare()
                    began = clock()
                    case.run()
                    elapsed = max(clock() - began, 1)
                    timing.runs.append(elapsed)
                    spent += elapsed
            gc.collect()
            watch(r + 1)
    finally:
        if collecting:
            gc.enable()
    return timings
