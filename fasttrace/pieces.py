"""Native loops in pieces of bounded time, so that Ctrl-C is heard, and heard between two transitions."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_AIM = 0.02  # seconds that a piece may last; Ctrl-C is heard within a few of them, on a busy machine too


def in_pieces(
    total: int,
    first: int,
    run: Callable[[int, int], None],
    partial: Callable[[int], dict[str, Any]] = lambda done: {},
    aim: float = _AIM,
) -> None:
    """run(begin, end) over all of 0 to total: at once if that is at most `first`, else in pieces.

    first    steps that surely take less than a tenth of a second; later pieces follow the time they take.
             0: SIGINT is held from the first on, so that it never comes within one
    run      does steps begin to end - 1; that the sum of the pieces is the whole, to the bit, is its promise
    partial  what a KeyboardInterrupt is to carry beside `steps`, or in its place, given how many are done
    aim      seconds that a piece may last, where short ones would cost

    The handler of SIGINT is called between two pieces; what it raises finds the learner after the last one.
    """
    if total <= first:
        run(0, total)
        return
    done, size = 0, max(first, 1)
    try:
        while done < total:
            end = min(done + size, total)
            begun = time.perf_counter()
            with held():
                run(done, end)
                done = end
            size = paced(size, (time.perf_counter() - begun) * _AIM / aim)
    except KeyboardInterrupt as interrupt:
        tell(interrupt, **{"steps": done} | partial(done))
        raise


def paced(size: int, seconds: float) -> int:
    """The size of the next piece, after one of `size` that took so long."""
    # Grow slowly: the first piece may have run where memory was warm.
    return max(1, min(4 * size, int(size * _AIM / max(seconds, 1e-9))))


def tell(interrupt: KeyboardInterrupt, **what: Any) -> None:
    """Let the exception carry what was done before it."""
    for name, value in what.items():
        setattr(interrupt, name, value)


@contextmanager
def held() -> Iterator[None]:
    """Keep SIGINT to the end; threads other than the main one hear of none anyway.

    While Numba compiles, which takes seconds and changes nothing, it is delivered at once.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    kept: list[tuple[int, FrameType | None]] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if _compiling(frame):
            handler(number, frame)
        else:
            kept.append((number, frame))

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if kept:
            handler(*kept[0])


def _compiling(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("numba.core"):
            return True
        frame = frame.f_back
    return False
