"""A horde's memory: chunks, their epochs, and the slots of features; the twin of csrc/horde.h.

The loops over steps are in horde.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...layout import BAD_INDEX, OK
from . import inner, kernel, verb
from .eight import (
    any_of,
    below,
    choose,
    eight_of,
    load,
    load_epoch,
    load_from,
    plus_times,
    store,
    store_epoch,
    store_into,
    times,
    unless_0,
)

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
    rows = 5 * n[at + np.uint64(END)] // (2 * h.header[RING_SIZE]) + 1
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
