"""Traces of many agents on a GPU: LazyTrace's arrays, one agent's after the other's, and here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...layout import COUNTERS, POINTERS, SCALARS
from ...pieces import held
from . import device

THREADS = 64  # of a block, FT_AGENTS in csrc/simulate.cu and csrc/learn.cu
_WORDS = len(COUNTERS) + len(SCALARS)  # of ft_trace, without what follows: pointers, pi, and a flag
_PI = _WORDS + len(POINTERS)


class Crowd:
    """The traces, all of one size, and where they are: here, or in memory of the GPU, which is `memory`.

    They go there when a kernel is to work on them, and come back before somebody looks at them here, who may
    change them.  Between two launches nothing is copied.
    """

    def __init__(self, traces: Sequence[Any]) -> None:
        self.traces, self.memory, self._away = traces, device.Memory(0), False

    def go(self) -> tuple[int, ...]:
        """Be on the GPU.  Returns what stands in a problem between `room` and what is a kernel's own.

        Of an agent's rows and ring the doubles (rows of float32: floats), of its epochs the int32 that lead
        to the next agent's; the addresses of all traces' structs, rows, rings and epochs.
        """
        one = self.traces[0]
        if not self._away:
            for name in self._names():
                self.memory.put(name, np.stack([getattr(each, name) for each in self.traces]))
            self._away = True
        at = {name: self.memory.at(name) for name in self._names()}
        # Epochs stand in rows that are wide, from the third double on.
        epochs, step = (at["rows"] + 16, 2 * one.rows.size) if one.wide else (at["epochs"], one.n)
        return one.rows.size, one.ring.size, step, at["words"], at["rows"], at["ring"], epochs

    def come_home(self) -> None:
        """Be here.  Errors: RuntimeError where the GPU does not give them back: they are as they went."""
        if not self._away:
            return
        with held():  # or some would be of before, and some of now
            self._away = False
            for name, each in self._fetched().items():
                for trace, array in zip(self.traces, each, strict=True):
                    if name == "words":
                        trace.words[:_WORDS], trace.words[_PI] = array[:_WORDS], array[_PI]
                    else:
                        getattr(trace, name)[:] = array

    def _fetched(self) -> dict[str, Any]:
        there = {}
        try:
            for name in self._names():
                own = getattr(self.traces[0], name)
                there[name] = np.empty((len(self.traces), *own.shape), own.dtype)
                self.memory.get(name, there[name])
        except RuntimeError as error:
            raise RuntimeError(f"what agents have learned on the GPU is lost: {error}") from error
        return there

    def _names(self) -> tuple[str, ...]:
        return ("words", "rows", "ring") if self.traces[0].wide else ("words", "rows", "ring", "epochs")

    def row_type(self) -> tuple[str, ...]:
        """The macro for rows that are not of doubles."""
        return ("FT_ROW_TYPE=float",) if self.traces[0].single else ()


def blocks(agents: int) -> tuple[int, int]:
    """The grid of a kernel with a thread an agent."""
    return -(-agents // THREADS), 1


def refuse(condition: bool, what: str, expected: str) -> None:
    if condition:
        raise ValueError(f"backend='cuda': got {what}, expected {expected}")
