"""Many predictions on one stream on a GPU: csrc/horde.cu, eight threads a chunk.

Every function takes the horde's memory first, fasttrace.many.horde_there.DeviceHorde.  Which features have a
slot is known on the host, whose backend has entered the rows, with the addresses that slabs have on the GPU.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import device

_THREADS, _LANES = 32, 8  # of a block, and of a chunk: FT_THREADS and FT_LANES in csrc/horde.cu
_ROWS = 1 << 12  # of features that are read side by side
_PROBLEM = struct.Struct("=7q 5q 5q 12q 2q")  # ft_horde and ft_horde_stream
_NO_SERIES = (0,) * 12

Float64 = NDArray[np.float64]
Entered = tuple[NDArray[np.uint64], Float64 | None, NDArray[np.int64]]


def run(
    horde: Any, steps: int, entered: Entered, used: NDArray[np.int64],
    numbers: tuple[Float64, ...], deltas: Float64,
) -> None:  # fmt: skip
    """Learn from a stream; `numbers` are cumulants, gammas, lambdas, rhos, by the step and lane."""
    series: list[int] = []
    for name, array in zip(("cumulants", "gammas", "lambdas", "rhos"), numbers, strict=True):
        at, width = horde.memory.put(name, array), array.shape[1]
        series += at, width if len(array) > 1 else 0, width > 1
    at_used = horde.memory.put("used", used)
    _launch(horde, "run", 1, steps, entered, at_used, series, deltas)


def values(horde: Any, count: int, entered: Entered, out: Float64) -> None:
    """w.x of each lane for some rows that were entered."""
    _launch(horde, "values", min(max(count, 1), _ROWS), count, entered, 0, _NO_SERIES, out)


def reset(horde: Any) -> None:
    nothing = np.empty(0, np.uint64), None, np.zeros(1, np.int64)
    _launch(horde, "reset", 1, 0, nothing, 0, _NO_SERIES, np.empty((0, 0)))


def _launch(
    horde: Any, name: str, down: int, steps: int, entered: Entered, used: int, series: Any, out: Float64
) -> None:  # fmt: skip
    memory, (entries, sizes, begins) = horde.memory, entered
    words, counters, rings = horde.go()
    *sizes_of_horde, bad_index = horde.header[:7].tolist()
    table = memory.put("table", horde.table[: sizes_of_horde[5]])
    stream = (
        steps, memory.put("begins", begins), memory.put("entries", entries),
        0 if sizes is None else memory.put("values", sizes), used,
    )  # fmt: skip
    problem = _PROBLEM.pack(
        *sizes_of_horde, bad_index, 0, words, counters, rings, table, *stream, *series,
        memory.room("out", out.nbytes), out.shape[1],
    )  # fmt: skip
    grid = -(-_LANES * sizes_of_horde[1] // _THREADS), down
    device.launch("horde", (f"FT_KIND={sizes_of_horde[2]}",), name, 0, 0, grid, _THREADS, problem)
    memory.get("out", out)
