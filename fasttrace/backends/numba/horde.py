"""Many predictions on one stream: the twin of csrc/horde_loops.h, the same operations in the same order.

csrc/horde.h draws what is where.  Every function that Python calls takes the horde's memory first,
fasttrace.many.horde_trace.LazyHorde.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import features
from ...layout import BAD_INDEX, OK
from . import kernel, refuse, stretch, verb
from .eight import (
    ahead,
    any_of,
    below,
    choose,
    eight_of,
    either,
    load,
    load_epoch,
    load_from,
    minus,
    not_same,
    over,
    plus,
    plus_times,
    same,
    store,
    store_epoch,
    store_into,
    times,
    unless_0,
)
from .horde_chunk import (
    ALPHA,
    BETA,
    CHUNKS,
    DECAY,
    DRIVE,
    DRIVE_V,
    DUTCH,
    EPOCH,
    FULL,
    GTD,
    KIND,
    REPLACING,
    SCALE,
    SLAB,
    SLABS,
    TAKEN,
    THRESHOLD,
    TRUE_ONLINE,
    USED,
    V_OLD,
    ZV,
    ZZ,
    Memory,
    N,
    _0,
    _1,
    _2,
    _8,
    chunk_of,
    close,
    enter_kernel,
    enter_row,
    epoch_at,
    place_kernel,
    place_row,
    ring_at,
    row_at,
    set_word,
    word,
)
from .stream import NO_DOUBLES, borrowed, borrowed_or, rows_of
from .trace import prefetch


class Series(NamedTuple):
    """ft_lane_series."""

    numbers: NDArray[np.float64]
    stride: int
    lanes: int


class Stream(NamedTuple):
    """ft_horde_stream, but for what is written."""

    steps: int
    begins: NDArray[np.int64]
    entries: NDArray[np.uint64]
    values: NDArray[np.float64]
    used: NDArray[np.int64]
    cumulants: Series
    gammas: Series
    lambdas: Series
    rhos: Series


# ---- one step of a chunk ----


@verb
def cell_now(h, c, row, epoch, two):
    """(b, bv, z) of a row as of now."""
    g = ring_at(c, epoch)
    last = c.width - _8
    z = load(row + _8 * last)
    b = plus_times(load(row), z, load_from(h.rings, g))
    bv = plus_times(load(row + np.uint64(64)), z, load_from(h.rings, g + _8)) if two else b
    return b, bv, times(z, load_from(h.rings, g + last))


@verb
def cells_read(h, c, s, begin, end, two):
    """Sums over the active features: w.x = b + z drive, v.x = bv + z drive_v, trace.x = z scale."""
    b = bv = z = eight_of(0.0)
    for j in range(begin, end):
        entry = s.entries[j]
        row = row_at(entry, c.shift)
        now_b, now_bv, now_z = cell_now(h, c, row, load_epoch(epoch_at(row, entry, c.width)), two)
        if s.values.size:
            size = eight_of(s.values[j])
            now_b, now_bv, now_z = times(size, now_b), times(size, now_bv), times(size, now_z)
        b, z = plus(b, now_b), plus(z, now_z)
        if two:
            bv = plus(bv, now_bv)
    return b, bv, z


@verb
def cells_write(h, c, s, begin, end, epoch, two, replaces, db, dbv, dz, drive):
    """See ft_cells_write.  Returns sums of b and z before, and of the traces before and after."""
    b = z = both = eight_of(0.0)
    for j in range(begin, end):
        entry = s.entries[j]
        row = row_at(entry, c.shift)
        at = epoch_at(row, entry, c.width)
        now_b, now_bv, now_z = cell_now(h, c, row, load_epoch(at), two)
        size = eight_of(s.values[j] if s.values.size else 1.0)
        after = dz
        if replaces:
            store(row, plus_times(now_b, drive, minus(now_z, dz)))
        else:
            after = plus_times(now_z, size, dz)
            store(row, plus_times(now_b, size, db))
        if two:
            store(row + np.uint64(64), plus_times(now_bv, size, dbv))
        store(row + _8 * (c.width - _8), after)
        store_epoch(at, np.int32(epoch))
        if two:
            both = plus(both, times(size, plus(now_z, after)))
        b, z = plus(b, times(size, now_b)), plus(z, times(size, now_z))
    return b, z, both


@verb
def given_at(series, t, q):
    at = t * np.uint64(series.stride)
    return load_from(series.numbers, at + _8 * q) if series.lanes else eight_of(series.numbers[at])


@verb
def line_ahead(array, at):
    prefetch(array, at)
    prefetch(array, at + np.uint64(7))


@verb
def given_ahead(series, t, q):
    if series.lanes and series.stride:
        line_ahead(series.numbers, t * np.uint64(series.stride) + _8 * q)


@verb
def cells_ahead(s, t, shift, width):
    for j in range(np.uint64(s.begins[t]), np.uint64(s.begins[t + _1])):
        row = row_at(s.entries[j], shift)
        for i in range(width >> np.uint64(3)):
            ahead(row + np.uint64(64) * i)


@stretch
def chunk_run(h, s, deltas, stride, q, two):
    steps, c = np.uint64(s.steps), chunk_of(h, q, two)
    kind = h.header[KIND]
    folded = kind in (DUTCH, TRUE_ONLINE)
    zero, one = eight_of(0.0), eight_of(1.0)
    low, high = eight_of(THRESHOLD), eight_of(1.0 / THRESHOLD)
    alpha, beta = word(h, c, ALPHA), word(h, c, BETA)
    scale, drive, decay, v_old = word(h, c, SCALE), word(h, c, DRIVE), word(h, c, DECAY), word(h, c, V_OLD)
    drive_v, zv, zz = word(h, c, DRIVE_V), word(h, c, ZV), word(h, c, ZZ)
    epoch = h.counters[c.counters + np.uint64(EPOCH)]
    if steps < np.uint64(3) and q + _2 < np.uint64(h.header[CHUNKS]):
        for t in range(steps + _1):
            cells_ahead(s, t, c.shift + np.uint64(16) * c.slab, c.width)
    for t in range(steps):
        x, y, y_end = np.uint64(s.begins[t]), np.uint64(s.begins[t + _1]), np.uint64(s.begins[t + _2])
        if t + np.uint64(3) < steps:
            cells_ahead(s, t + np.uint64(4), c.shift, c.width)
        far = t + np.uint64(12)
        if far < steps:
            given_ahead(s.cumulants, far, q)
            given_ahead(s.gammas, far, q)
            given_ahead(s.lambdas, far, q)
            given_ahead(s.rhos, far, q)
            line_ahead(deltas, far * stride + _8 * q)
        rho, gamma = given_at(s.rhos, t, q), given_at(s.gammas, t, q)
        lambda_, reward = given_at(s.lambdas, t, q), given_at(s.cumulants, t, q)
        decay = times(rho, decay)
        scale = unless_0(decay, times(scale, decay))
        if any_of(either(below(scale, low), below(high, scale))):
            set_word(h, c, SCALE, scale)
            set_word(h, c, DRIVE, drive)
            set_word(h, c, DRIVE_V, drive_v)
            epoch = close(h, q, s.used[t + _1] if two else s.used[t], two)
            scale = one
            drive = drive_v = zero
        inv = over(one, scale)
        dz = times(rho, inv)
        next_b, _, next_z = cells_read(h, c, s, y, y_end, two)
        db, vx = minus(zero, times(drive, dz)), zero
        if two or folded:
            b, bv, z = cells_read(h, c, s, x, y, two)
            if two:
                vx = plus_times(bv, z, drive_v)
        elif kind == REPLACING:
            b, z, _ = cells_write(h, c, s, x, y, epoch, False, True, db, zero, dz, drive)
        else:
            b, z, _ = cells_write(h, c, s, x, y, epoch, False, False, db, zero, dz, drive)
        v = plus_times(b, z, drive)
        v_next = plus_times(next_b, next_z, drive)
        delta = minus(plus(reward, unless_0(gamma, times(gamma, v_next))), v)
        store_into(deltas, t * stride + _8 * q, delta)
        if two:
            dv = minus(zero, times(beta, vx))
            zv = plus(unless_0(decay, times(decay, zv)), times(rho, vx))
            dbv = minus(dv, times(drive_v, dz))
            both = times(cells_write(h, c, s, x, y, epoch, True, False, db, dbv, dz, drive)[2], scale)
            zx, squared = times(z, scale), times(decay, decay)
            zz = plus(unless_0(squared, times(squared, zz)), times(rho, both))
            rest = minus(one, lambda_)
            push = times(times(times(alpha, gamma), rest), zv)
            push = minus(zero, unless_0(gamma, unless_0(rest, push)))
            for j in range(y, y_end):
                row = row_at(s.entries[j], c.shift)
                size = eight_of(s.values[j] if s.values.size else 1.0)
                store(row, plus_times(load(row), size, push))
            driven, moved = times(delta, scale), times(dv, minus(both, zx))
            zv = plus(zv, plus(times(times(beta, delta), zz), moved))
            drive = plus(drive, times(alpha, driven))
            drive_v = plus(drive_v, times(beta, driven))
        elif folded:
            step = times(alpha, rho)
            dz = times(times(step, minus(one, times(z, scale))), inv)
            a, beyond = delta, zero
            if kind == TRUE_ONLINE:
                dv = minus(v, choose(either(same(decay, zero), not_same(v_old, v_old)), v, v_old))
                a = plus(delta, dv)
                beyond = times(step, dv)
                v_old = v_next
            db = minus(minus(zero, beyond), times(drive, dz))
            cells_write(h, c, s, x, y, epoch, False, False, db, zero, dz, drive)
            drive = plus_times(drive, a, scale)
        else:
            drive = plus_times(drive, times(alpha, scale), delta)
        decay = times(gamma, lambda_)
    set_word(h, c, SCALE, scale)
    set_word(h, c, DRIVE, drive)
    set_word(h, c, DECAY, decay)
    set_word(h, c, V_OLD, v_old)
    set_word(h, c, TAKEN, alpha)
    set_word(h, c, DRIVE_V, drive_v)
    set_word(h, c, ZV, zv)
    set_word(h, c, ZZ, zz)


@functools.cache
def run_kernel(two):
    """run(h, s, deltas, stride) of GTD, or of the others.  Checks nothing; s.steps > 0."""

    @kernel
    def horde_run(h, s, deltas, stride):
        for q in range(np.uint64(h.header[CHUNKS])):
            chunk_run(h, s, deltas, np.uint64(stride), q, two)

    return horde_run


@functools.cache
def values_kernel(two):
    @kernel
    def horde_values(h, s, out, stride):
        for q in range(np.uint64(h.header[CHUNKS])):
            c = chunk_of(h, q, two)
            drive = word(h, c, DRIVE)
            for t in range(np.uint64(s.steps)):
                b, _, z = cells_read(h, c, s, np.uint64(s.begins[t]), np.uint64(s.begins[t + _1]), two)
                store_into(out, t * np.uint64(stride) + _8 * q, plus_times(b, z, drive))

    return horde_values


@kernel
def reset_kernel(h):
    two = h.header[KIND] == GTD
    for q in range(np.uint64(h.header[CHUNKS])):
        c = chunk_of(h, q, two)
        zero = eight_of(0.0)
        set_word(h, c, SCALE, zero)
        close(h, q, h.header[USED], two)
        set_word(h, c, DECAY, zero)
        set_word(h, c, ZV, zero)
        set_word(h, c, ZZ, zero)
        set_word(h, c, V_OLD, eight_of(np.nan))


@kernel
def step_kernel(h, indices, values, indices_next, values_next, entries, sizes, begins, used):
    """Checks, slots and entries of the two states of one transition, as ft_horde_step has them."""
    for each in (indices, indices_next):
        for i in each:
            if i < -1 or i >= h.header[N]:
                return BAD_INDEX
    k, k_next = np.uint64(indices.size), np.uint64(indices_next.size)
    place_row(h, indices, values, _0, k, _0)
    used[0] = h.header[USED]
    if h.header[KIND] == GTD:
        place_row(h, indices_next, values_next, _0, k_next, _0)
    used[1] = h.header[USED]
    if h.header[USED] > SLAB * h.header[SLABS]:
        return FULL
    width = np.uint64(24) if h.header[KIND] == GTD else np.uint64(16)
    begins[0] = 0
    at = enter_row(h, indices, values, _0, k, _0, width, entries, sizes, _0)
    begins[1] = at
    begins[2] = enter_row(h, indices_next, values_next, _0, k_next, _0, width, entries, sizes, at)
    return OK


# ---- what Python calls ----

Entered = tuple[NDArray[np.uint64], NDArray[np.float64] | None, NDArray[np.int64]]
_NO_USED = borrowed(np.empty(0, np.int64))


def memory_of(horde: Any) -> Memory:
    return Memory(
        horde.header, horde.place, horde.words.reshape(-1), horde.counters.reshape(-1),
        horde.rings.reshape(-1), horde.table.view(np.uint64),
    )  # fmt: skip


def check(horde: Any, rows: features.Rows) -> None:
    """Errors: FeatureIndexError."""
    if not rows.checked:
        rows.check()


def place(horde: Any, rows: features.Rows, all_rows: bool) -> NDArray[np.int64]:
    """Give slots to features.  Returns how many are taken after each row."""
    used = np.empty(rows.count, np.int64)
    refuse(place_kernel(memory_of(horde), rows_of(rows), rows.count, bool(all_rows), used), rows)
    return used


def enter(horde: Any, rows: features.Rows) -> Entered:
    """(entries, values or None, begins) of rows."""
    size = rows.count * rows.k if rows.indptr is None else len(rows.indices)
    entries, begins = np.empty(size, np.uint64), np.empty(rows.count + 1, np.int64)
    values = np.empty(0 if rows.values is None else size)
    enter_kernel(memory_of(horde), rows_of(rows), rows.count, entries, values, begins)
    return entries, values if rows.values is not None else None, begins


_NO_SERIES = Series(borrowed(np.zeros(1)), 0, 0)


def _series(array: NDArray[np.float64]) -> Series:
    lanes = array.shape[1]
    return Series(borrowed(array.reshape(-1)), lanes if len(array) > 1 else 0, int(lanes > 1))


def _stream(steps: int, entered: Entered, used: Any, numbers: tuple[Series, ...]) -> Stream:
    entries, values, begins = entered
    return Stream(
        steps, borrowed(begins), borrowed(entries), borrowed_or(borrowed(NO_DOUBLES), values), used, *numbers
    )


def run(
    horde: Any, steps: int, entered: Entered, used: NDArray[np.int64],
    numbers: tuple[NDArray[np.float64], ...], deltas: NDArray[np.float64],
) -> None:  # fmt: skip
    """Learn from a stream; `numbers` are cumulants, gammas, lambdas, rhos, by the step and lane."""
    s = _stream(steps, entered, borrowed(used), tuple(map(_series, numbers)))
    run_kernel(horde.kind == "gtd")(memory_of(horde), s, deltas.reshape(-1), deltas.shape[1])


def permute(rows: NDArray[np.float64], index: NDArray[np.int64], out: NDArray[np.float64]) -> None:
    """out[t, i] = rows[t, index[i]]."""
    np.take(rows, index, axis=1, out=out, mode="clip")


def step(horde: Any, x: features.Row, x_next: features.Row) -> bool:
    """One transition, of the numbers in horde.given to horde.out.  Whether more slabs are needed first."""
    memory, k = memory_of(horde), len(x.indices) + len(x_next.indices)
    valued = x.values is not None or x_next.values is not None
    entries, sizes = np.empty(k, np.uint64), np.empty(k if valued else 0)
    begins, used = np.empty(3, np.int64), np.empty(2, np.int64)
    none = borrowed(NO_DOUBLES)
    status = step_kernel(
        memory, borrowed(x.indices), borrowed_or(none, x.values), borrowed(x_next.indices),
        borrowed_or(none, x_next.values), entries, sizes, begins, used,
    )  # fmt: skip
    if status == FULL:
        return True
    refuse(status)
    numbers = tuple(Series(borrowed(each), 0, 1) for each in horde.given)
    s = _stream(1, (entries, sizes if valued else None, begins), borrowed(used), numbers)
    run_kernel(horde.kind == "gtd")(memory, s, horde.out, 0)
    return False


def values(horde: Any, count: int, entered: Entered, out: NDArray[np.float64]) -> None:
    """w.x of each lane for some rows that were entered."""
    s = _stream(count, entered, _NO_USED, (_NO_SERIES,) * 4)
    values_kernel(horde.kind == "gtd")(memory_of(horde), s, out.reshape(-1), out.shape[1])


def reset(horde: Any) -> None:
    reset_kernel(memory_of(horde))
