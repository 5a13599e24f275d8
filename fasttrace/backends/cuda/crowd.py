"""Traces of many agents on a GPU: LazyTrace's arrays, one agent's after the other's, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...layout import COUNTERS, POINTERS, SCALARS
from . import device

THREADS = 64  # of a block, FT_AGENTS in csrc/simulate.cu and csrc/learn.cu
WORDS = len(COUNTERS) + len(SCALARS)  # of ft_trace, without what follows: pointers, pi, and a flag
_PI = WORDS + len(POINTERS)


class Crowd:
    """The traces, all of one size, in memory of the GPU; `memory` has more of it.

    sizes      of an agent's rows and ring (doubles) and epochs (int32), as kernels step from one to the next
    addresses  of those of the first
    """

    def __init__(self, traces: Sequence[Any]) -> None:
        self._traces, self.memory = traces, device.Memory(0)
        one = traces[0]
        rows = self.memory.put("rows", np.stack([each.rows for each in traces]))
        ring = self.memory.put("ring", np.stack([each.ring for each in traces]))
        if one.wide:  # epochs stand in the rows, from the third double on
            epochs, step = rows + 16, 2 * one.rows.size
        else:
            epochs, step = self.memory.put("epochs", np.stack([each.epochs for each in traces])), one.n
        self.sizes = one.rows.size, one.ring.size, step
        self.addresses = rows, ring, epochs

    def row_type(self) -> tuple[str, ...]:
        """The macro for rows that are not of doubles."""
        return ("FT_ROW_TYPE=float",) if self._traces[0].single else ()

    def blocks(self) -> tuple[int, int]:
        """The grid of a kernel with a thread an agent."""
        return -(-len(self._traces) // THREADS), 1

    def words(self) -> Any:
        """(N, words of ft_trace)."""
        return np.stack([each.words for each in self._traces])

    def fetch(self, words: Any) -> None:
        """Bring everything back; `words` are the structs as the kernel left them, but for pointers."""
        for name in ("rows", "ring") if self._traces[0].wide else ("rows", "ring", "epochs"):
            own = getattr(self._traces[0], name)
            each = np.empty((len(self._traces), *own.shape), own.dtype)
            self.memory.get(name, each)
            for trace, array in zip(self._traces, each, strict=True):
                getattr(trace, name)[:] = array
        for trace, struct in zip(self._traces, words, strict=True):
            trace.words[:WORDS], trace.words[_PI] = struct[:WORDS], struct[_PI]


def refuse(condition: bool, what: str, expected: str) -> None:
    if condition:
        raise ValueError(f"backend='cuda': got {what}, expected {expected}")
