"""Many predictions on one stream in C; csrc/fasttrace.h says what each call does.

Every function takes the horde's memory first, fasttrace.many.horde_trace.LazyHorde.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...features import Row, Rows
from . import ffi, lib, refuse
from .linear import NULL, c_rows, doubles_of, int32s_of, room_of, writable

_SERIES = ("cumulants", "gammas", "lambdas", "rhos")

Entered = tuple[NDArray[np.uint64], NDArray[np.float64] | None, NDArray[np.int64]]


class _Handle:
    """What C has of a horde: the struct, and that of one step, which points to the horde's own rooms."""

    def __init__(self, horde: Any) -> None:
        self.horde = h = writable("ft_horde *", horde.header)
        h.place = writable("int32_t *", horde.place)
        h.lanes, h.rings = writable("double *", horde.words), writable("double *", horde.rings)
        h.counters = writable("int64_t *", horde.counters)
        h.slabs = writable("double **", horde.table)
        self.one = s = ffi.new("ft_horde_stream *")
        for name, room in zip(_SERIES, horde.given, strict=True):
            series = getattr(s, name)
            series.numbers, series.lanes = writable("double *", room), 1
        s.deltas = writable("double *", horde.out)
        self.room(32)

    def room(self, entries: int) -> None:
        self.entries, self.values = ffi.new("uint64_t[]", entries), ffi.new("double[]", entries)
        self.most = entries


def handle(horde: Any) -> _Handle:
    """The pointers are set when memory has changed, and never saved."""
    if horde.handle is None:
        horde.handle = _Handle(horde)
    return horde.handle


def check(horde: Any, rows: Rows) -> None:
    """Errors: FeatureIndexError."""
    if not rows.checked:
        rows.check(lambda indices, n: lib.ft_checked(int32s_of(indices), len(indices), n))


def place(horde: Any, rows: Rows, all_rows: bool) -> NDArray[np.int64]:
    """Give slots to features.  Returns how many are taken after each row."""
    used, h = np.empty(rows.count, np.int64), handle(horde).horde
    keep: list[Any] = []
    status = lib.ft_horde_place(
        h, c_rows(rows, keep), rows.count, all_rows, ffi.from_buffer("int64_t[]", used)
    )
    refuse(status, rows)
    return used


def enter(horde: Any, rows: Rows) -> Entered:
    """(entries, values or None, begins) of rows."""
    size = rows.count * rows.k if rows.indptr is None else len(rows.indices)
    entries, begins = np.empty(size, np.uint64), np.empty(rows.count + 1, np.int64)
    values = None if rows.values is None else np.empty(size)
    keep: list[Any] = []
    lib.ft_horde_enter(
        handle(horde).horde, c_rows(rows, keep), rows.count, ffi.from_buffer("uint64_t[]", entries),
        NULL if values is None else room_of(values), ffi.from_buffer("int64_t[]", begins),
    )  # fmt: skip
    return entries, values, begins


def _stream(steps: int, entered: Entered, out: NDArray[np.float64], keep: list[Any]) -> Any:
    s = ffi.new("ft_horde_stream *")
    entries, values, begins = entered
    keep += [ffi.from_buffer("uint64_t[]", entries), doubles_of(values), ffi.from_buffer("int64_t[]", begins)]
    s.steps, (s.entries, s.values, s.begins) = steps, keep[-3:]
    keep.append(room_of(out))
    s.deltas, s.stride = keep[-1], out.shape[1]
    return s


def run(
    horde: Any, steps: int, entered: Entered, used: NDArray[np.int64],
    numbers: tuple[NDArray[np.float64], ...], deltas: NDArray[np.float64],
) -> None:  # fmt: skip
    """Learn from a stream; `numbers` are cumulants, gammas, lambdas, rhos, by the step and lane."""
    keep: list[Any] = []
    s = _stream(steps, entered, deltas, keep)
    keep.append(ffi.from_buffer("int64_t[]", used))
    s.used = keep[-1]
    for name, array in zip(_SERIES, numbers, strict=True):
        series = getattr(s, name)
        keep.append(doubles_of(array))
        series.numbers, series.lanes = keep[-1], array.shape[1] > 1
        series.stride = array.shape[1] if len(array) > 1 else 0
    lib.ft_horde_run(handle(horde).horde, s)


def permute(rows: NDArray[np.float64], index: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """out[t, i] = rows[t, index[i]]."""
    lib.ft_horde_permute(
        len(rows),
        rows.shape[1],
        doubles_of(rows),
        len(index),
        ffi.from_buffer("int64_t[]", index),
        room_of(out),
    )


def one_step(horde: Any, given: NDArray[np.float64], out: NDArray[np.float64]) -> NDArray[np.int64]:
    """An ft_horde_stream of one step as an array: given (4, lanes) are its numbers, out (lanes,) its deltas.

    C's pointers then stand in the horde's own struct.
    """
    handle(horde)
    one = np.zeros(ffi.sizeof("ft_horde_stream") // 8, np.int64)
    s = writable("ft_horde_stream *", one)
    for name, room in zip(_SERIES, given, strict=True):
        series = getattr(s, name)
        series.numbers, series.lanes = writable("double *", room), 1
    s.deltas = writable("double *", out)
    return one


def step(horde: Any, x: Row, x_next: Row) -> bool:
    """One transition, of the numbers in horde.given to horde.out.  Whether more slabs are needed first."""
    c = horde.handle or handle(horde)
    k, k_next = len(x.indices), len(x_next.indices)
    if k + k_next > c.most:
        c.room(k + k_next)
    status = lib.ft_horde_step(
        c.horde, k, int32s_of(x.indices), doubles_of(x.values), k_next, int32s_of(x_next.indices),
        doubles_of(x_next.values), c.one, c.entries, c.values,
    )  # fmt: skip
    if status == lib.FT_HORDE_FULL:
        return True
    refuse(status)
    return False


def values(horde: Any, count: int, entered: Entered, out: NDArray[np.float64]) -> None:
    """w.x of each lane for some rows that were entered."""
    keep: list[Any] = []
    lib.ft_horde_values(handle(horde).horde, _stream(count, entered, out, keep))


def reset(horde: Any) -> None:
    lib.ft_horde_reset(handle(horde).horde)
