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
from . import inner, kernel, refuse, verb
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
from .stream import NO_DOUBLES, borrowed, borrowed_or, rows_of
from .trace import prefetch

N, CHUNKS, KIND, RING_SIZE, USED, SLABS, BAD = range(7)  # of the header
SCALE, DRIVE, DECAY, V_OLD, ALPHA, TAKEN, BETA, DRIVE_V, ZV, ZZ = range(10)  # words of a chunk
EPOCH, OLDEST, SWEPT, END, BEGUN, ALIVE_MAX = range(6)  # its counters
REPLACING, DUTCH, TRUE_ONLINE, GTD = 1, 2, 3, 4
WORDS, COUNTERS, SLAB = 10, 8, 16
FULL = 1

THRESHOLD = 0.01
CUT = 1e-16

_0, _1, _2, _8, _SLAB = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(8), np.uint64(SLAB)
_PLACE = np.uint64(63)  # bits of an entry: a row's place in its slab


class Memory(NamedTuple):
    """ft_horde as arrays; the C kernels may work on the same memory."""

    header: NDArray[np.int64]
    place: NDArray[np.int32]
    words: NDArray[np.float64]
    counters: NDArray[np.int64]
    rings: NDArray[np.float64]
    table: NDArray[np.uint64]


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


class Chunk(NamedTuple):
    """Where a chunk's words, counters, ring and rows begin; sizes of a ring and of a slab, in doubles."""

    words: np.uint64
    counters: np.uint64
    ring: np.uint64
    shift: np.uint64
    width: np.uint64
    mask: np.uint64
    slab: np.uint64


@verb
def chunk_of(h, q, two):
    width = np.uint64(24) if two else np.uint64(16)
    slab = _SLAB * width + _8
    size = np.uint64(h.header[RING_SIZE])
    return Chunk(
        np.uint64(8 * WORDS) * q, np.uint64(COUNTERS) * q, width * size * q, _8 * slab * q,
        width, size - _1, slab,
    )  # fmt: skip


@verb
def word(h, c, name):
    return load_from(h.words, c.words + _8 * np.uint64(name))


@verb
def set_word(h, c, name, x):
    store_into(h.words, c.words + _8 * np.uint64(name), x)


@verb
def row_at(entry, shift):
    return (entry & ~_PLACE) + shift


@verb
def epoch_at(row, entry, width):
    """Address of a row's epoch, behind the rows of its slab."""
    i = entry & _PLACE
    return row + _8 * (_SLAB - i) * width + np.uint64(4) * i


@verb
def ring_at(c, epoch):
    return c.ring + c.width * (np.uint64(np.uint32(epoch)) & c.mask)


@verb
def entry_of(h, slot, width):
    i = np.uint64(slot)
    return h.table[i // _SLAB] + _8 * width * (i % _SLAB) + i % _SLAB


# ---- epochs ----


@verb
def begin_pass(h, counters, used):
    h.counters[counters + np.uint64(SWEPT)] = 0
    h.counters[counters + np.uint64(END)] = used
    h.counters[counters + np.uint64(BEGUN)] = h.counters[counters + np.uint64(EPOCH)]
    alive = 64
    while alive * alive < 2 * used and alive < h.header[RING_SIZE] // 2:
        alive *= 2
    h.counters[counters + np.uint64(ALIVE_MAX)] = alive


@verb
def sweep(h, c, epoch, entry, two):
    row = row_at(entry, c.shift)
    at = epoch_at(row, entry, c.width)
    was = load_epoch(at)
    if np.uint64(np.uint32(was)) & c.mask == _0:
        return
    g = ring_at(c, was)
    last = c.width - _8
    z, P = load(row + _8 * last), load_from(h.rings, g + last)
    store(row, plus_times(load(row), z, load_from(h.rings, g)))
    if two:
        v = row + np.uint64(64)
        store(v, plus_times(load(v), z, load_from(h.rings, g + _8)))
    store(row + _8 * last, times(z, P))
    store_epoch(at, np.int32(epoch) if any_of(below(eight_of(0.0), P)) else np.int32(0))


@inner
def close(h, q, used, two):
    """End a chunk's epoch; see ft_horde_close.  Returns the new one."""
    c = chunk_of(h, q, two)
    n, at, last = h.counters, c.counters, c.width - _8
    zero, cut = eight_of(0.0), eight_of(CUT)
    scale, drive, drive_v = word(h, c, SCALE), word(h, c, DRIVE), word(h, c, DRIVE_V)
    passed = True
    for e in range(n[at + np.uint64(OLDEST)], n[at + np.uint64(EPOCH)] + 1):
        g = ring_at(c, e)
        if g != c.ring:
            P = load_from(h.rings, g + last)
            left = unless_0(scale, times(P, scale))
            store_into(h.rings, g, plus_times(load_from(h.rings, g), P, drive))
            if two:
                store_into(h.rings, g + _8, plus_times(load_from(h.rings, g + _8), P, drive_v))
            left = choose(below(left, cut), zero, left)
            store_into(h.rings, g + last, left)
            passed = passed and not any_of(below(zero, left))
        if passed:
            n[at + np.uint64(OLDEST)] = e + 1
    epoch = n[at + np.uint64(EPOCH)] + 1
    if np.uint64(epoch) & c.mask == _0:
        epoch += 1
    n[at + np.uint64(EPOCH)] = epoch
    now = ring_at(c, epoch)
    for i in range(c.width >> np.uint64(3)):
        store_into(h.rings, now + _8 * i, zero)
    store_into(h.rings, now + last, eight_of(1.0))
    set_word(h, c, SCALE, eight_of(1.0))
    set_word(h, c, DRIVE, zero)
    set_word(h, c, DRIVE_V, zero)
    rows = n[at + np.uint64(END)] // (h.header[RING_SIZE] // 4) + 1
    if epoch - n[at + np.uint64(OLDEST)] > n[at + np.uint64(ALIVE_MAX)] // 2:
        rows = 2 * n[at + np.uint64(END)] // n[at + np.uint64(ALIVE_MAX)] + 1
    for _ in range(rows):
        if n[at + np.uint64(SWEPT)] >= n[at + np.uint64(END)]:
            n[at + np.uint64(OLDEST)] = max(n[at + np.uint64(OLDEST)], n[at + np.uint64(BEGUN)])
            begin_pass(h, at, used)
            if used == 0:
                break
        slot = n[at + np.uint64(SWEPT)]
        n[at + np.uint64(SWEPT)] = slot + 1
        sweep(h, c, epoch, entry_of(h, slot, c.width), two)
    return epoch


# ---- features ----


@verb
def place_row(h, indices, values, begin, end, values_at):
    """Give slots to the features of a row; values_at is where its values begin, if there are values."""
    for j in range(end - begin):
        i = indices[begin + j]
        if i >= 0 and not (values.size and values[values_at + j] == 0.0) and h.place[np.uint64(i)] == 0:
            h.place[np.uint64(i)] = h.header[USED]
            h.header[USED] += 1


@verb
def enter_row(h, indices, values, begin, end, values_at, width, entries, sizes, at):
    """Entries and values of a row, from `at` on.  Returns where the next row's begin."""
    for j in range(end - begin):
        i = indices[begin + j]
        if i < 0 or (values.size and values[values_at + j] == 0.0):
            continue
        if sizes.size:
            sizes[at] = values[values_at + j] if values.size else 1.0
        entries[at] = entry_of(h, h.place[np.uint64(i)], width)
        at += _1
    return at


@verb
def span(rows, r):
    """(begin, end) of row r among the indices, and where its values begin."""
    if rows.indptr.size:
        begin, end = np.uint64(rows.indptr[r]), np.uint64(rows.indptr[r + _1])
        return begin, end, begin
    k = np.uint64(rows.k)
    begin = _0 if rows.shared else r * k
    return begin, begin + k, r * k


@kernel
def place_kernel(h, rows, count, every, used):
    total = rows.indptr[count] if rows.indptr.size else rows.k if rows.shared else count * rows.k
    for i in range(total):
        if rows.indices[i] < -1 or rows.indices[i] >= h.header[N]:
            return BAD_INDEX
    for r in range(np.uint64(count)):
        if every or r + _1 < np.uint64(count):
            begin, end, values_at = span(rows, r)
            place_row(h, rows.indices, rows.values, begin, end, values_at)
        used[r] = h.header[USED]
    return OK


@kernel
def enter_kernel(h, rows, count, entries, sizes, begins):
    width = np.uint64(24) if h.header[KIND] == GTD else np.uint64(16)
    at = _0
    begins[0] = 0
    for r in range(np.uint64(count)):
        begin, end, values_at = span(rows, r)
        at = enter_row(h, rows.indices, rows.values, begin, end, values_at, width, entries, sizes, at)
        begins[r + _1] = at
    return OK


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


@verb
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
