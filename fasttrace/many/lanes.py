"""Which lane of which chunk learns a prediction; csrc/horde.c says what chunks are for."""

from __future__ import annotations

import math
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

    def without(self, j: int) -> Lanes:
        return Lanes(np.delete(self.position, j), self.chunks)

    def free_for(self, decay: float, decays: NDArray[np.float64]) -> int | None:
        """An idle lane in a chunk of such decays; one of a chunk that is idle will do."""
        chunk_of = self.position // EIGHT
        for lane in self.idle:
            others = decays[chunk_of == lane // EIGHT]
            if not len(others) or _alike([decay, *others.tolist()]):
                return int(lane)
        return None

    def with_one(self, lane: int, chunks: int) -> Lanes:
        return Lanes(np.append(self.position, lane), chunks)


def lanes_of(decays: NDArray[np.float64]) -> Lanes:
    """Lanes for predictions that decay so: as they come where that will do, else sorted."""
    m = len(decays)
    if all(_alike(decays[i : i + EIGHT].tolist()) for i in range(0, m, EIGHT)):
        return Lanes(np.arange(m), -(-m // EIGHT))
    position, chunk = np.empty(m, np.int64), 0
    held: list[float] = []
    for j in np.argsort(-decays, kind="stable"):
        if len(held) == EIGHT or not _alike([*held, float(decays[j])]):
            chunk, held = chunk + 1, []
        position[j] = EIGHT * chunk + len(held)
        held.append(float(decays[j]))
    return Lanes(position, chunk + 1)


def _alike(decays: list[float]) -> bool:
    slowest, fastest = (-math.log(max(each, 1e-300)) for each in (max(decays), min(decays)))
    return slowest >= _FAST or fastest <= _APART * slowest
