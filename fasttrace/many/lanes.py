"""Which lane of which chunk learns a prediction; csrc/horde.c says what chunks are for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..memory import aligned_copy

EIGHT = 8
_APART = 8.0  # how many times faster than the slowest of its chunk a trace may fade
_FAST = 0.7  # -ln of a decay; where even the slowest fades so, the chunk closes every few steps anyway


class Lanes:
    """The lanes of some chunks.

    position  (m,) the lane of each prediction
    source    (lanes,) whose numbers each lane is given: those of its prediction, or of another of its chunk
              where it has none
    """

    def __init__(self, position: NDArray[np.int64], chunks: int) -> None:
        self.chunks = chunks
        self.position = aligned_copy(position)
        owner = np.full((chunks, EIGHT), -1)
        owner.reshape(-1)[position] = np.arange(len(position))
        first = owner.max(axis=1, keepdims=True)
        self.idle = np.flatnonzero(owner < 0).tolist()
        self.source = aligned_copy(np.maximum(np.where(owner < 0, first, owner), 0).reshape(-1))
        self.in_order = len(self.source) == len(position) and bool((position == self.source).all())

    def __reduce__(self) -> tuple[Any, ...]:
        return Lanes, (self.position, self.chunks)

    def without(self, j: int) -> tuple[Lanes, int | None]:
        """Prediction j goes; with its chunk, whose number is told, where that has no other."""
        chunk, others = int(self.position[j]) // EIGHT, np.delete(self.position, j)
        if (others // EIGHT == chunk).any():
            return Lanes(others, self.chunks), None
        return Lanes(others - EIGHT * (others // EIGHT > chunk), self.chunks - 1), chunk

    def free_for(self, decay: float, decays: NDArray[np.float64]) -> int | None:
        """An idle lane in a chunk of such decays; in one of which all are idle, whatever they are."""
        chunk_of = self.position // EIGHT
        for lane in self.idle:
            others = decays[chunk_of == lane // EIGHT]
            fades = _fades([decay, *others.tolist()])
            if _together(fades.min(), fades.max()):
                return int(lane)
        return None

    def with_one(self, lane: int, chunks: int) -> Lanes:
        return Lanes(np.append(self.position, lane), chunks)


def lanes_of(decays: NDArray[np.float64]) -> Lanes:
    """Lanes for predictions that decay so: as they come where that will do, else sorted."""
    m = len(decays)
    fades = _fades(decays)
    rows = np.append(fades, np.full(-m % EIGHT, fades[-1])).reshape(-1, EIGHT)
    if _together(rows.min(axis=1), rows.max(axis=1)).all():
        return Lanes(np.arange(m), len(rows))
    order = np.argsort(fades, kind="stable")
    fades = fades[order]
    ends = np.where(fades >= _FAST, m, np.searchsorted(fades, _APART * fades, side="right")).tolist()
    starts = [0]  # of each chunk, in that order
    while (end := min(starts[-1] + EIGHT, ends[starts[-1]])) < m:
        starts.append(end)
    sizes = np.diff([*starts, m])
    position = np.empty(m, np.int64)
    position[order] = np.arange(m) + np.repeat(EIGHT * np.arange(len(starts)) - starts, sizes)
    return Lanes(position, len(starts))


def _fades(decays: Any) -> NDArray[np.float64]:
    return -np.log(np.maximum(decays, 1e-300))


def _together(slowest: Any, fastest: Any) -> Any:
    """Whether what fades so may share a chunk."""
    return (slowest >= _FAST) | (fastest <= _APART * slowest)
