"""What a trace is made of, and how far it is from one that is made afresh."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..memory import Array, Float64

_NOTHING_LEFT = 2.0**-60  # of a gradient after so much decay: less than its rounding


class History:
    """The states that the trace is made of, with what decayed it on arriving in each.

    keep  at most so many states; None: all since the last termination that still weigh 2^-60 in the trace
    """

    def __init__(self, keep: int | None) -> None:
        self.keep = keep
        self._limit = 64 if keep is None else keep
        self.clear()

    def clear(self) -> None:
        self.states: list[Float64] = []
        self.decays: list[Float64] = []
        self.outputs: list[int] = []

    def add(self, states: Float64, decays: Float64, outputs: NDArray[Any]) -> None:
        """Of T steps: states (T, i), decays (T, m) that came before each, outputs (T) traced, -1: all."""
        ended = np.flatnonzero((decays == 0.0).all(1))
        start = int(ended[-1]) if len(ended) else 0
        if len(states) - start > 2 * self._limit:  # what _prune would drop is not made rows of first
            start = max(start, len(states) - self._size(decays[start:]))
        if len(ended) or start:
            self.clear()
        self.states += list(states[start:])
        self.decays += list(decays[start:])
        self.outputs += outputs[start:].tolist()
        if len(self.states) > 2 * self._limit:
            self._prune()

    def _size(self, decays: Any) -> int:
        """How many of the last states still weigh something."""
        if self.keep is not None:
            return self.keep
        weights = np.cumprod(np.max(decays, 1)[::-1])
        return 1 + int(np.count_nonzero(weights[:-1] >= _NOTHING_LEFT))

    def _prune(self) -> None:
        size = self._size(self.decays)
        if self.keep is None:
            self._limit = max(64, size)
        for rows in (self.states, self.decays, self.outputs):
            del rows[: len(rows) - size]

    def last(self, window: int | None) -> list[tuple[Float64, Float64, int]]:
        """The last `window` of (state, decay, output), the oldest first."""
        rows = list(zip(self.states, self.decays, self.outputs, strict=True))
        size = min(each for each in (len(rows), self.keep, window) if each is not None)
        return rows[len(rows) - size :]


def compare(Z: Array, fresh: Array) -> tuple[float, float]:
    """(relative distance, cosine): |Z - fresh| / |fresh| and Z . fresh / (|Z| |fresh|), as vectors.

    Of two that are 0: (0, 1).
    """
    z, f = Z.astype(np.float64).ravel(), fresh.astype(np.float64).ravel()
    size, other = float(np.linalg.norm(f)), float(np.linalg.norm(z))
    distance = float(np.linalg.norm(z - f))
    if size == 0.0 or other == 0.0:
        return (0.0 if distance == 0.0 else math.inf if size == 0.0 else 1.0), float(distance == 0.0)
    return distance / size, float(z @ f) / (size * other)
