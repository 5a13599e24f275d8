"""Work that is done in pieces by several threads, on what each finds in a common heap."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from .. import arguments, pieces

_AT_LEAST = 1 << 14  # steps of each that is taken at once, or what is done between two steps takes too long
_LONGER = 5.0  # times that a piece of a GPU's may last: between two of them it stands idle
_LOOK = 0.05  # seconds between two looks at what the threads have done

Work = Callable[[list[int], int], list[int]]


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of(threads: int | None, most: int) -> int:
    """How many threads to take.  None: one a core.  Errors: TypeError, ValueError."""
    return min(cores() if threads is None else arguments.count("threads", threads), max(most, 1))


class Crew:
    """One heap of numbers, and threads that take from it what they work on.

    heap     of what is to be worked on
    work     work(some, size) does about `size` steps on these in all, and returns those that are not done
    size     steps of the first piece; later ones follow the time they take
    whole    take all that is there at once: for a GPU
    """

    def __init__(self, heap: list[int], work: Work, size: int, threads: int, whole: bool = False) -> None:
        self._heap, self._work, self._size, self._threads, self._whole = heap, work, size, threads, whole
        self._change = threading.Condition()
        self._at_work, self._there, self._stopped = 0, threads, False
        self._error: BaseException | None = None

    def run(self, watch: Callable[[], object]) -> None:
        """Until nothing is left; watch() is called every so often, in this thread.

        Ctrl-C is heard between two pieces.  Whatever watch() or a piece raises comes out of here when all
        threads have ended.
        """
        if self._threads == 1:
            size = self._size
            while self._heap:
                with pieces.held():
                    size = self._turn(size)
                watch()
            return
        crew = [threading.Thread(target=self._labour, daemon=True) for _ in range(self._threads)]
        try:
            with pieces.held():
                for each in crew:
                    each.start()
            while self._there:
                with pieces.held(), self._change:
                    self._change.wait(_LOOK)
                watch()
        finally:
            with pieces.held():
                self._stop()
                for each in crew:
                    with suppress(RuntimeError):  # one that was not started
                        each.join()
        if self._error:
            raise self._error
        watch()

    def _labour(self) -> None:
        size = self._size
        try:
            while not self._stopped and self._wait():
                size = self._turn(size)
        except BaseException as error:
            self._error = self._error or error
            self._stop()
        finally:
            with self._change:
                self._there -= 1
                self._change.notify_all()

    def _wait(self) -> bool:
        """Whether there is something to take, now or when others have given back what they have."""
        with self._change:
            while not self._heap and self._at_work and not self._stopped:
                self._change.wait()
            return bool(self._heap)

    def _turn(self, size: int) -> int:
        """One piece, if there is one; returns the size of the next."""
        with self._change:
            share = -(-len(self._heap) // self._threads)
            some = self._heap[: share if self._whole else min(share, max(size // _AT_LEAST, 8))]
            del self._heap[: len(some)]
            self._at_work += 1
        left: list[int] = []
        begun = time.perf_counter()
        try:
            if some:
                left = self._work(some, size)
        finally:
            with self._change:
                self._heap += left
                self._at_work -= 1
                self._change.notify_all()
        took = time.perf_counter() - begun
        return pieces.paced(size, took / _LONGER if self._whole else took)

    def _stop(self) -> None:
        with self._change:
            self._stopped = True
            self._change.notify_all()
