"""The constant-time trace for two weight vectors: its verbs; the twin of csrc/gradient.h.

O(k) whatever lambda; csrc/gradient.h says what a record holds.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import inner, kernel, trace, verb
from .trace import (
    ALIVE_MAX,
    COLUMNS,
    CUT,
    EPOCH,
    FLAT,
    OLDEST,
    RING_SIZE,
    SWEPT,
    THRESHOLD,
    WIDTH,
    N,
)  # fmt: skip

# ft_gradient_kind of csrc/fasttrace.h.
GTD, HTD, TRUE_ONLINE_GTD, GTD2, GTD2_LAMBDA, TDRC, PROXIMAL_GTD2 = range(7)

# Places in Gradient.counters, which begins as ft_trace does, and in Gradient.scalars.
KIND, BEHAVIOUR_EPOCH = 10, 11
(
    SCALE, DRIVE, DECAY, V_OLD, ALPHA, DRIVE_V, ZV, ZZ, ZBV, ZZB, BEHAVIOUR_SCALE, BEHAVIOUR_BEFORE,
) = range(12)  # fmt: skip

BEHAVIOUR_THRESHOLD = 1e-100

_NO_DOUBLES = np.empty(0)
_0 = np.uint64(0)
_1 = np.uint64(1)
_2 = np.uint64(2)
_3 = np.uint64(3)
_4 = np.uint64(4)
_5 = np.uint64(5)
_8 = np.uint64(8)


class Gradient(NamedTuple):
    """ft_gradient as arrays, and the step size of v; the C kernels may work on the same memory.

    Of TDRC beta is that of the decay of v, and eta its step size by that of w.
    """

    counters: NDArray[np.int64]  # (12,)
    scalars: NDArray[np.float64]  # (12,)
    rows: NDArray[np.float64]  # (n * columns * width,) records
    marks: NDArray[np.int64]  # the same words
    ring: NDArray[np.float64]  # (4 * ring_size,) of (G_w, G_v, P, P)
    beta: float
    eta: float


class Hot(NamedTuple):
    """What a loop keeps in registers."""

    epoch: int
    scale: float
    drive: float
    drive_v: float
    behaviour_epoch: int
    behaviour_scale: float
    behaviour_before: float


class Carry(NamedTuple):
    """What one transition hands to the next."""

    decay: float
    v_old: float
    zv: float
    zz: float
    zbv: float
    zzb: float


class Numbers(NamedTuple):
    """Of one transition, from S_t to S_{t+1}."""

    reward: float
    gamma_next: float
    lambda_next: float
    rho: float
    alpha: float


@verb
def load(t):
    s = t.scalars
    return Hot(
        t.counters[EPOCH], s[SCALE], s[DRIVE], s[DRIVE_V],
        t.counters[BEHAVIOUR_EPOCH], s[BEHAVIOUR_SCALE], s[BEHAVIOUR_BEFORE],
    )  # fmt: skip


@verb
def carry_of(t):
    s = t.scalars
    return Carry(s[DECAY], s[V_OLD], s[ZV], s[ZZ], s[ZBV], s[ZZB])


@verb
def store(t, h, c, alpha):
    s = t.scalars
    s[SCALE], s[DRIVE], s[DRIVE_V] = h.scale, h.drive, h.drive_v
    s[BEHAVIOUR_SCALE], s[BEHAVIOUR_BEFORE] = h.behaviour_scale, h.behaviour_before
    t.counters[BEHAVIOUR_EPOCH] = h.behaviour_epoch
    t.counters[FLAT] = 0
    s[DECAY], s[V_OLD], s[ALPHA] = c.decay, c.v_old, alpha
    s[ZV], s[ZZ], s[ZBV], s[ZZB] = c.zv, c.zz, c.zbv, c.zzb


# ---- records ----


@verb
def width_of(kind):
    return _4 if kind in (GTD, GTD2, GTD2_LAMBDA) else _8


@verb
def left(t, h, row):
    """See ft_left."""
    age = h.behaviour_epoch - t.marks[row + _5]
    return 1.0 if age == 0 else h.behaviour_before if age == 1 else 0.0


@verb
def since(t, row, kind):
    """Where G_w, G_v, P of the epoch stand that a record was last brought up to."""
    epoch = t.marks[row + (_5 if kind == TRUE_ONLINE_GTD else _3)]
    return _4 * (np.uint64(epoch) & (np.uint64(t.ring.size >> 2) - _1))


@verb
def now(t, h, row, kind, whole):
    """Words 0 to 4 of a record as of now, of which one holds an epoch; see ft_gradient_now."""
    rows = t.rows
    at = since(t, row, kind)
    G_w, G_v, P = t.ring[at], t.ring[at + _1], t.ring[at + _2]
    z = rows[row + _2]
    b_w = rows[row] + z * G_w
    third = 0.0 + z * P
    fourth = more = 0.0
    b_v = rows[row + _1]
    if kind == TDRC and whole:
        b_v *= left(t, h, row)
    if kind == TRUE_ONLINE_GTD and whole:
        k = rows[row + _3]
        b_v += k * G_v
        fourth = 0.0 + k * P
        more = rows[row + _4] * P
    else:
        b_v += z * G_v
        if kind == HTD and whole:
            more = rows[row + _4] * left(t, h, row)
        elif kind == PROXIMAL_GTD2 and whole:
            more = rows[row + _4]
    return b_w, b_v, third, fourth, more


@verb
def put(t, h, row, x, kind):
    t.rows[row], t.rows[row + _1], t.rows[row + _2] = x[0], x[1], x[2]
    if kind == TRUE_ONLINE_GTD:
        t.rows[row + _3], t.rows[row + _4] = x[3], x[4]
        t.marks[row + _5] = h.epoch
        return
    t.marks[row + _3] = h.epoch
    if kind in (HTD, PROXIMAL_GTD2):
        t.rows[row + _4] = x[4]
    if kind in (HTD, TDRC):
        t.marks[row + _5] = h.behaviour_epoch


@verb
def bring_up(t, h, row):
    """A record as of now, in place, whatever its kind."""
    if t.counters[KIND] == HTD:
        put(t, h, row, now(t, h, row, HTD, True), HTD)
    elif t.counters[KIND] == TRUE_ONLINE_GTD:
        put(t, h, row, now(t, h, row, TRUE_ONLINE_GTD, True), TRUE_ONLINE_GTD)
    elif t.counters[KIND] == TDRC:
        put(t, h, row, now(t, h, row, TDRC, True), TDRC)
    else:
        put(t, h, row, now(t, h, row, GTD, True), GTD)


# ---- decay ----


@kernel
def close(t, scale, drive, drive_v):
    """End the epoch; see ft_close."""
    counters, ring = t.counters, t.ring
    mask = np.uint64(counters[RING_SIZE] - 1)
    for e in range(counters[OLDEST], counters[EPOCH] + 1):
        g = _4 * (np.uint64(e) & mask)
        ring[g] += ring[g + _2] * drive
        ring[g + _1] += ring[g + _2] * drive_v
        P = 0.0 if scale == 0.0 else ring[g + _2] * scale
        ring[g + _2] = ring[g + _3] = 0.0 if abs(P) < CUT else P
    while counters[OLDEST] <= counters[EPOCH] and ring[_4 * (np.uint64(counters[OLDEST]) & mask) + _2] == 0.0:
        counters[OLDEST] += 1
    counters[EPOCH] += 1
    t.scalars[SCALE] = 1.0
    t.scalars[DRIVE] = t.scalars[DRIVE_V] = 0.0
    counters[FLAT] = 0
    g = _4 * (np.uint64(counters[EPOCH]) & mask)
    ring[g] = ring[g + _1] = 0.0
    ring[g + _2] = ring[g + _3] = 1.0
    records = counters[N] * counters[COLUMNS]
    count = records // (counters[RING_SIZE] - 1) + 1
    if counters[EPOCH] - counters[OLDEST] > counters[ALIVE_MAX]:
        count = records
        counters[OLDEST] = counters[EPOCH]
    h = load(t)
    swept = counters[SWEPT]
    for _ in range(count):
        bring_up(t, h, np.uint64(swept) * np.uint64(counters[WIDTH]))
        swept = 0 if swept + 1 == records else swept + 1
    counters[SWEPT] = swept
    return counters[EPOCH]


@verb
def decayed(D, x):
    """0 times infinity is not 0."""
    return 0.0 if D == 0.0 else D * x


@verb
def decay(t, h, D):
    scale = 0.0 if D == 0.0 else h.scale * D
    if scale >= THRESHOLD and scale <= 1.0 / THRESHOLD:
        return Hot(
            h.epoch, scale, h.drive, h.drive_v, h.behaviour_epoch, h.behaviour_scale, h.behaviour_before
        )  # fmt: skip
    t.counters[BEHAVIOUR_EPOCH] = h.behaviour_epoch
    t.scalars[BEHAVIOUR_BEFORE] = h.behaviour_before
    epoch = close(t, scale, h.drive, h.drive_v)
    return Hot(epoch, 1.0, 0.0, 0.0, h.behaviour_epoch, h.behaviour_scale, h.behaviour_before)


@verb
def behaviour_decay(h, D):
    scale = h.behaviour_scale * D
    if scale >= BEHAVIOUR_THRESHOLD:
        return Hot(
            h.epoch, h.scale, h.drive, h.drive_v, h.behaviour_epoch, scale, h.behaviour_before
        )  # fmt: skip
    return Hot(h.epoch, h.scale, h.drive, h.drive_v, h.behaviour_epoch + 1, 1.0, scale)


@inner
def fade(t, sigma):
    """See ft_gradient_fade."""
    for i in range(np.uint64(min(t.counters[EPOCH] + 1, t.counters[RING_SIZE]))):
        t.ring[_4 * i + _1] *= sigma


@verb
def sigma_decay(t, h, keep):
    """See ft_sigma_decay."""
    sigma = h.behaviour_scale * keep
    if sigma >= BEHAVIOUR_THRESHOLD:
        return Hot(
            h.epoch, h.scale, h.drive, h.drive_v, h.behaviour_epoch, sigma, h.behaviour_before
        )  # fmt: skip
    fade(t, sigma)
    return Hot(h.epoch, h.scale, h.drive, h.drive_v * sigma, h.behaviour_epoch + 1, 1.0, sigma)


# ---- read and write ----


@verb
def record(indices, x, j, columns, kind):
    """Where the record of an active feature begins, in the column that the place names."""
    return width_of(kind) * (np.uint64(np.uint32(indices[x.at + j])) * columns + x.column)


@verb
def read_one(t, h, indices, values, x, j, columns, kind, whole, valued):
    one = now(t, h, record(indices, x, j, columns, kind), kind, whole)
    return times(values[x.values_at + j], one) if valued else one


@verb
def times(size, a):
    return size * a[0], size * a[1], size * a[2], size * a[3], size * a[4]


@verb
def plus(a, b):
    return a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3], a[4] + b[4]


@verb
def read(t, h, indices, values, x, columns, padded, valued, kind, whole):
    """Sums over the active features, of records as of now; in twos, as in C."""
    total = (0.0, 0.0, 0.0, 0.0, 0.0)
    j = trace.next_active(indices, x, _0, padded)
    while j < x.k:
        both = read_one(t, h, indices, values, x, j, columns, kind, whole, valued)
        j = trace.next_active(indices, x, j + _1, padded)
        if j < x.k:
            other = read_one(t, h, indices, values, x, j, columns, kind, whole, valued)
            both = plus(both, other)
            j = trace.next_active(indices, x, j + _1, padded)
        total = plus(total, both)
    return total


@verb
def write(t, h, indices, values, x, columns, padded, valued, kind, change):
    """Adds `change` to the record of each active feature; returns what ft_gradient_write does."""
    total = (0.0, 0.0, 0.0, 0.0, 0.0)
    for j in range(x.k):
        if padded and indices[x.at + j] < 0:
            continue
        size = values[x.values_at + j] if valued else 1.0
        if size == 0.0:
            continue
        row = record(indices, x, j, columns, kind)
        before = now(t, h, row, kind, True)
        after = plus(before, times(size, change) if valued else change)
        both = plus(before, after)
        total = plus(total, times(size, both) if valued else both)
        put(t, h, row, after, kind)
    return total


@verb
def push_weights(t, indices, values, x, columns, padded, valued, kind, push):
    """w_i += push, for the active i: b_w takes it as it is."""
    for j in range(x.k):
        if padded and indices[x.at + j] < 0:
            continue
        t.rows[record(indices, x, j, columns, kind)] += values[x.values_at + j] * push if valued else push


@verb
def htd_next(t, h, indices, values, x, padded, valued, push, pull):
    """w_i += push and v_i += pull, for the active i.  Returns sums of z and of zb."""
    z = zb = 0.0
    for j in range(x.k):
        if padded and indices[x.at + j] < 0:
            continue
        row = record(indices, x, j, _1, HTD)
        size = values[x.values_at + j] if valued else 1.0
        one = now(t, h, row, HTD, True)
        z += size * one[2]
        zb += size * one[4]
        t.rows[row] += size * push
        t.rows[row + _1] += size * pull
    return z, zb


@verb
def read_value(t, h, indices, values, x, columns, padded, valued, kind):
    """w.x of the column that the place names, weight by weight."""
    total = 0.0
    for j in range(x.k):
        if padded and indices[x.at + j] < 0:
            continue
        row = record(indices, x, j, columns, kind)
        e = since(t, row, kind)
        w = t.rows[row] + t.rows[row + _2] * (t.ring[e] + t.ring[e + _2] * h.drive)
        total += values[x.values_at + j] * w if valued else w
    return total
