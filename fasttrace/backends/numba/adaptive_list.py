"""What step sizes that learn are made of: the arrays, the list of rows with a trace, and exponentials.

The twin of the first half of csrc/adaptive.c.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import inner, kernel, verb
from .trace import CUT

KINDS = {"swift": 0, "tidbd": 1, "autostep": 2}
SWIFT, TIDBD, AUTOSTEP = KINDS.values()

# Places in Steps.counters, Steps.scalars and a row: the fields of ft_adaptive and ft_adaptive_row, in order.
N, COLUMNS, LISTED, STEP, BAD = range(5)
SCALE, DRIVE, DRIVE_BEFORE, DECAY, V_OLD, META, ETA, SHRINK, ETA_MIN, TAU = range(10)
LARGEST, CALM, FLOOR = range(3)  # in Steps.ranks
B, Z, H, Z_BAR, BEFORE, ALPHA, SLOT, LAST = (np.uint64(place) for place in range(8))

_0, _1, _8, _64 = np.uint64(0), np.uint64(1), np.uint64(8), np.uint64(64)

SLACK, SMALL, FADED, FAINT = 1.0 + 1e-9, 1.0 / 16.0, 1.0 / 64.0, 1.0 / 268435456.0
AT_ONCE = np.uint64(32)


class Steps(NamedTuple):
    """ft_adaptive as arrays; the C kernels may work on the same memory."""

    counters: NDArray[np.int64]  # (5,)
    scalars: NDArray[np.float64]  # (10,)
    rows: NDArray[np.float64]  # (size * 8,)
    p: NDArray[np.float64]  # (size,), as all below
    inverse: NDArray[np.float64]
    fresh: NDArray[np.float64]
    x: NDArray[np.float64]
    list: NDArray[np.int32]
    active: NDArray[np.int32]
    awake: NDArray[np.int64]  # (1,)
    ranks: NDArray[np.float64]  # (3,)


class Warm(NamedTuple):
    """What a loop keeps in registers."""

    scale: float
    drive: float


@verb
def row_of(i):
    """Where row i begins in Steps.rows."""
    return _8 * np.uint64(np.uint32(i))


# ---- the list ----


@verb
def settle(t, r, kind):
    """A row as it is without drive; h before the last update is kept for the step that comes."""
    rows, drive = t.rows, t.scalars[DRIVE]
    rows[r + B] += rows[r + Z] * drive
    if kind == SWIFT:
        before = np.float64(t.counters[STEP] - 1)
        if rows[r + LAST] != before:
            rows[r + BEFORE] = rows[r + H] + rows[r + Z_BAR] * t.scalars[DRIVE_BEFORE]
            rows[r + LAST] = before
        rows[r + H] += rows[r + Z_BAR] * drive
    else:
        rows[r + H] += rows[r + Z] * drive


@verb
def exchange(t, a, b):
    """Rows of the list change places."""
    row, p, inverse, fresh = t.list[a], t.p[a], t.inverse[a], t.fresh[a]
    t.list[a], t.p[a], t.inverse[a], t.fresh[a] = t.list[b], t.p[b], t.inverse[b], t.fresh[b]
    t.list[b], t.p[b], t.inverse[b], t.fresh[b] = row, p, inverse, fresh
    t.rows[row_of(t.list[a]) + SLOT] = np.float64(a + _1)
    t.rows[row_of(row) + SLOT] = np.float64(b + _1)


@verb
def rank(t):
    """Put those to the end that errors like the last ones will hardly move; see ft_rank."""
    end = np.uint64(t.counters[LISTED])
    calm = 4.0 * t.scalars[META] * t.ranks[LARGEST] if end > _64 else 0.0
    awake = _0 if calm > 0.0 else end
    while awake < end:
        if abs(t.p[awake]) * t.inverse[awake] * calm <= FAINT:
            end -= _1
            exchange(t, awake, end)
        else:
            awake += _1
    t.awake[0] = np.int64(awake)
    t.ranks[CALM] = calm
    t.ranks[FLOOR] = 1.0 / t.scalars[ETA]
    t.ranks[LARGEST] = 0.0


@functools.cache
def relist_kernel(kind):
    """Bring the list up to date for traces that have decayed by `scale`; see ft_relist."""

    @kernel
    def relist(t, scale):
        rows, drive = t.rows, t.scalars[DRIVE]
        slot = np.uint64(t.counters[LISTED])
        while slot > _0:
            slot -= _1
            r = row_of(t.list[slot])
            fresh = t.fresh[slot] * scale
            if fresh >= CUT:
                rows[r + B] += rows[r + Z] * drive
                rows[r + H] += (rows[r + Z_BAR] if kind == SWIFT else rows[r + Z]) * drive
                rows[r + Z] *= scale
                rows[r + Z_BAR] *= scale
                t.p[slot] *= scale
                t.fresh[slot] = fresh
                continue
            settle(t, r, kind)
            rows[r + Z] = 0.0
            rows[r + Z_BAR] = 0.0
            rows[r + SLOT] = 0.0
            if kind == SWIFT:
                rows[r + ALPHA] = 1.0 / t.inverse[slot]
            t.counters[LISTED] -= 1
            last = np.uint64(t.counters[LISTED])
            t.p[slot] = t.p[last]
            t.p[last] = 0.0
            if slot == last:
                continue
            t.list[slot] = t.list[last]
            t.inverse[slot] = t.inverse[last]
            t.fresh[slot] = t.fresh[last]
            rows[row_of(t.list[slot]) + SLOT] = np.float64(slot + _1)
        before = t.scalars[DRIVE_BEFORE]
        t.scalars[DRIVE_BEFORE] = (before - drive) / scale if t.counters[LISTED] else 0.0
        t.scalars[DRIVE] = 0.0
        t.scalars[SCALE] = 1.0
        if kind == SWIFT:
            rank(t)

    return relist


@verb
def slot_of(t, r, i):
    """Where row i, which begins at r, is listed; at the end, if it was not."""
    if t.rows[r + SLOT] != 0.0:
        return np.uint64(t.rows[r + SLOT]) - _1
    slot = np.uint64(t.counters[LISTED])
    t.counters[LISTED] += 1
    t.list[slot] = i
    t.p[slot] = 0.0
    t.rows[r + SLOT] = np.float64(slot + _1)
    return slot


@verb
def woken(t, r, i):
    """The same among those that are awake."""
    slot, awake = slot_of(t, r, i), np.uint64(t.awake[0])
    if slot < awake:
        return slot
    if slot != awake:
        exchange(t, slot, awake)
    t.awake[0] += 1
    return awake


# ---- exponentials: most are of numbers near 0 ----


@verb
def exp_minus(y):
    """exp(-y) for |y| <= SMALL, to rounding."""
    y2 = y * y
    return ((1.0 - y) + y2 * (1.0 / 2 - y * (1.0 / 6))) + (y2 * y2) * (
        (1.0 / 24 - y * (1.0 / 120)) + y2 * ((1.0 / 720 - y * (1.0 / 5040)) + y2 * (1.0 / 40320))
    )


@verb
def exp(y):
    return exp_minus(-y) if abs(y) <= SMALL else math.exp(y)


@verb
def between(x, low, high):
    x = low if x < low else x
    return high if x > high else x


@verb
def moved_inverse(inverse, y, low, high):
    """beta <- beta + y on inverse = exp(-beta), kept in [low, high]; see ft_moved_inverse."""
    if y != y:
        return inverse
    if y > 200.0:
        return low
    return high if y < -200.0 else between(inverse * exp(-y), low, high)


# ---- SwiftTD ----


@inner
def adapt(p, inverse, count, c, low, high, old):
    """beta += c p / alpha for every listed row, alpha held in [1 / high, 1 / low]; see ft_adapt.

    old  (AT_ONCE,) scratch.
    """
    for slot in range(_0, count, AT_ONCE):
        large = 0
        for i in range(AT_ONCE):
            y = c * p[slot + i] * inverse[slot + i]
            old[i] = inverse[slot + i]
            large += not abs(y) <= SMALL
            inverse[slot + i] = between(inverse[slot + i] * exp_minus(y), low, high)
        if large == 0:
            continue
        for i in range(AT_ONCE):
            y = c * p[slot + i] * old[i]
            if not abs(y) <= SMALL:
                inverse[slot + i] = moved_inverse(old[i], y, low, high)


@verb
def adapt_faint(p, inverse, first, count, c, low, high):
    """The same for rows at rest, from a whole number of blocks on."""
    for slot in range(first, count):
        inverse[slot] = between(inverse[slot] * (1.0 - c * p[slot] * inverse[slot]), low, high)


@verb
def adapt_all(t, delta, scale):
    """All listed rows."""
    c = t.scalars[META] * delta * scale
    low, high = 1.0 / t.scalars[ETA], 1.0 / t.scalars[ETA_MIN]
    listed = np.uint64(t.counters[LISTED])
    awake = listed
    if abs(delta) > t.ranks[LARGEST]:
        t.ranks[LARGEST] = abs(delta)
    if abs(c) <= t.ranks[CALM] and low <= t.ranks[FLOOR]:
        awake = (np.uint64(t.awake[0]) + AT_ONCE - _1) // AT_ONCE * AT_ONCE
        adapt_faint(t.p, t.inverse, awake, listed, c, low, high)
        awake = min(awake, listed)
    adapt(t.p, t.inverse, awake, c, low, high, t.x)
