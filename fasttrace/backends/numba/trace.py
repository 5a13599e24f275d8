"""The constant-time trace, the twin of csrc/trace.h: the same verbs in the same order of operations.

    decay   trace <- D trace
    read    w.x and trace.x
    write   trace_i += c, w_i += beta, for the active i
    drive   w <- w + a trace

What the arrays hold is drawn in csrc/trace.h and derived in docs/constant-time.md.  Sizes and positions are
uint64 throughout: Numba would look for negative indices otherwise, and make uint64 + int64 a float.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload
from numpy.typing import NDArray

from ...layout import COUNTERS, POINTERS, SCALARS
from . import kernel, verb
from .vectors import row as vectors

# Places in Trace.counters and Trace.scalars; before PI stand C's pointers.
N, COLUMNS, WIDTH, RING_SIZE, EPOCH, OLDEST, ALIVE_MAX, SWEPT, FLAT, BAD = range(len(COUNTERS))
SCALE, DRIVE, DECAY, V_OLD, ALPHA, SNAP, FOLLOWON, LAMBDA, CAP = range(len(SCALARS))
PI = len(SCALARS) + len(POINTERS)

THRESHOLD = 0.1
CUT = 1e-16

_0 = np.uint64(0)
_1 = np.uint64(1)
_2 = np.uint64(2)
_4 = np.uint64(4)


class Trace(NamedTuple):
    """ft_trace as arrays; the C kernels may work on the same memory."""

    counters: NDArray[np.int64]  # (10,)
    scalars: NDArray[np.float64]  # (13,)
    rows: NDArray[
        np.float64
    ]  # or float32: (n * 2 * width,), a row [b(width) | z(width)]; of wide ones (n * 4,)
    ring: NDArray[np.float64]  # (2 * ring_size,), pairs (G, P)
    epochs: NDArray[np.int32]  # (n,), in steps of a row where rows are wide


class Hot(NamedTuple):
    """What a loop keeps in registers."""

    epoch: np.uint64
    scale: float
    drive: float


class Place(NamedTuple):
    """A row: k indices from `at` on, their values from `values_at` on, and the column of weights it reads."""

    at: np.uint64
    values_at: np.uint64
    k: np.uint64
    column: np.uint64


@verb
def load(t):
    return Hot(np.uint64(t.counters[EPOCH]), t.scalars[SCALE], t.scalars[DRIVE])


@verb
def store(t, h):
    t.scalars[SCALE] = h.scale
    t.scalars[DRIVE] = h.drive
    t.counters[FLAT] = 0


def row_step(epochs):
    """From one row of one weight to the next, known when a kernel is compiled; see ft_lay_out."""


@overload(row_step, inline="always")
def _row_step(epochs):
    step = _2 if epochs.layout == "C" else _4
    return lambda epochs: step


@verb
def begin(t, i, width):
    """Where row i begins."""
    return (row_step(t.epochs) if width == _1 else _2 * width) * i


@verb
def since(t, i):
    """(G, P) of the epoch that row i was last brought up to."""
    e = _2 * (np.uint64(np.uint32(t.epochs[i])) & (np.uint64(t.ring.size >> 1) - _1))
    return t.ring[e], t.ring[e + _1]


@verb
def normalise(t, epoch, i, width):
    """A row as of now, in place: w and trace stay what they are.  Returns where it begins."""
    row = begin(t, i, width)
    G, P = since(t, i)
    t.epochs[i] = np.int32(epoch)  # first: after it, the row would be loaded once more
    for a in range(row, row + width):
        z = t.rows[a + width]
        t.rows[a] += z * G
        t.rows[a + width] = z * P
    return row


@verb
def now(t, i):
    """(b, z) of a row of one weight as of now."""
    row = begin(t, i, _1)
    G, P = since(t, i)
    z = t.rows[row + _1]
    return t.rows[row] + z * G, 0.0 + z * P  # 0.0 as in C: no negative zero


@verb
def put(t, epoch, i, b, z):
    row = begin(t, i, _1)
    t.rows[row] = b
    t.rows[row + _1] = z
    t.epochs[i] = np.int32(epoch)


@verb
def sweep(t, epoch, i, width):
    """Bring row i up to date if it is not at rest; see ft_sweep."""
    e = _2 * (np.uint64(np.uint32(t.epochs[i])) & (np.uint64(t.ring.size >> 1) - _1))
    if e == _0:
        return
    left = t.ring[e + _1]
    normalise(t, epoch, i, width)
    if left == 0.0:
        t.epochs[i] = 0


@kernel
def close(t, scale, drive):
    """End the epoch; see ft_close."""
    counters, ring = t.counters, t.ring
    mask = np.uint64(counters[RING_SIZE] - 1)
    for e in range(counters[OLDEST], counters[EPOCH] + 1):
        g = _2 * (np.uint64(e) & mask)
        if g == _0:
            continue
        P = 0.0 if scale == 0.0 else ring[g + _1] * scale
        ring[g] += ring[g + _1] * drive
        ring[g + _1] = 0.0 if abs(P) < CUT else P
    while counters[OLDEST] <= counters[EPOCH] and ring[_2 * (np.uint64(counters[OLDEST]) & mask) + _1] == 0.0:
        counters[OLDEST] += 1
    counters[EPOCH] += 1
    if np.uint64(counters[EPOCH]) & mask == _0:
        counters[EPOCH] += 1
    t.scalars[SCALE] = 1.0
    t.scalars[DRIVE] = 0.0
    counters[FLAT] = 0
    epoch = np.uint64(counters[EPOCH])
    ring[_2 * (epoch & mask)] = 0.0
    ring[_2 * (epoch & mask) + _1] = 1.0
    rows = counters[N] // (counters[RING_SIZE] - 3) + 1
    if counters[EPOCH] - counters[OLDEST] > counters[ALIVE_MAX]:
        rows = counters[N]
        counters[OLDEST] = counters[EPOCH]
    swept = counters[SWEPT]
    for _ in range(rows):
        sweep(t, epoch, np.uint64(swept), np.uint64(counters[WIDTH]))
        swept = 0 if swept + 1 == counters[N] else swept + 1
    counters[SWEPT] = swept
    return epoch


@kernel
def reset(t):
    """The trace becomes empty and v_old is forgotten; the weights stay."""
    close(t, 0.0, t.scalars[DRIVE])
    t.scalars[DECAY] = 0.0
    t.scalars[FOLLOWON] = 0.0
    t.scalars[LAMBDA] = 0.0
    t.scalars[V_OLD] = np.nan
    t.scalars[PI] = 0.0


@kernel
def flatten(t):
    """Bring every row up to date: afterwards w = b and trace = z."""
    if t.counters[FLAT]:
        return
    epoch = close(t, t.scalars[SCALE], t.scalars[DRIVE])
    for i in range(np.uint64(t.counters[N])):
        normalise(t, epoch, i, np.uint64(t.counters[WIDTH]))
    t.counters[OLDEST] = t.counters[EPOCH]
    t.counters[FLAT] = 1


@verb
def decay(t, h, D):
    scale = 0.0 if D == 0.0 else h.scale * D
    if scale >= THRESHOLD and scale <= 1.0 / THRESHOLD:
        return Hot(h.epoch, scale, h.drive)
    return Hot(close(t, scale, h.drive), 1.0, 0.0)


@verb
def next_active(indices, x, j, padded):
    """Where the next active feature stands, from j on; x.k where there is none."""
    while padded and j < x.k and indices[x.at + j] < 0:
        j += _1
    return j


@verb
def read_one(t, indices, values, x, j, width, valued):
    """What one feature adds to the sums below."""
    row = begin(t, np.uint64(np.uint32(indices[x.at + j])), width) + x.column
    G, P = since(t, np.uint64(np.uint32(indices[x.at + j])))
    z = t.rows[row + width]
    size = values[x.values_at + j] if valued else 1.0
    return size * (t.rows[row] + z * G), size * (0.0 + z * P)


@verb
def read(t, indices, values, x, width, padded, valued):
    """Sums over the active features: w.x = first + second drive, trace.x = second scale."""
    first = second = 0.0
    if width == _1:
        for j in range(x.k):
            if not padded or indices[x.at + j] >= 0:
                b, z = read_one(t, indices, values, x, j, width, valued)
                first += b
                second += z
        return first, second
    j = next_active(indices, x, _0, padded)
    while j < x.k:  # in twos, as in C
        b, z = read_one(t, indices, values, x, j, width, valued)
        j = next_active(indices, x, j + _1, padded)
        if j < x.k:
            b_2, z_2 = read_one(t, indices, values, x, j, width, valued)
            b, z = b + b_2, z + z_2
            j = next_active(indices, x, j + _1, padded)
        first += b
        second += z
    return first, second


@verb
def value(h, sums):
    return sums[0] + sums[1] * h.drive


# A row of width 4, of three or four actions, is two vectors, and written whole: a store of one number into it
# would stall the next read.
_AT = np.eye(4).reshape(-1)  # 1 at a column


@vectors(("at", "b", "z"), ("G", "P", "db", "dz"), 1)
def _write_four(w):
    b, z, at = w.load("b"), w.load("z"), w.load("at")
    w.store("b", b + z * w.scalar("G") + at * w.scalar("db"))
    w.store("z", z * w.scalar("P") + at * w.scalar("dz"))


@vectors(("at", "b", "z"), ("G", "P", "set", "kept", "drive"), 1)
def _replace_four(w):
    b, z, at = w.load("b"), w.load("z"), w.load("at")
    b, z = b + z * w.scalar("G"), z * w.scalar("P")
    z_set = z * ((w.number(1.0) - at) * w.scalar("kept")) + at * w.scalar("set")
    w.store("b", b + w.scalar("drive") * (z - z_set))
    w.store("z", z_set)


@verb
def four_at(t, i, column):
    """Arrays and places for the two above."""
    row = np.intp(_2 * _4 * i)
    return (_AT, t.rows, t.rows), (np.intp(_4 * column), row, row + 4)


@verb
def write(t, h, indices, values, x, width, padded, valued, c, beta, inv):
    """trace_i += c, w_i += beta.  inv is 1 / scale, a division that need not wait for c.

    Returns the sums of read before that, added feature by feature.
    """
    dz = c * inv
    db = beta - h.drive * dz
    first = second = 0.0
    for j in range(x.k):
        signed = indices[x.at + j]
        if padded and signed < 0:
            continue
        i = np.uint64(np.uint32(signed))
        size = values[x.values_at + j] if valued else 1.0
        if width == _1:
            b, z = now(t, i)
            put(t, h.epoch, i, b + size * db, z + size * dz)
        elif width == _4:
            at = _2 * _4 * i + x.column
            G, P = since(t, i)
            b, z = t.rows[at] + t.rows[at + _4] * G, t.rows[at + _4] * P
            t.epochs[i] = np.int32(h.epoch)
            arrays, places = four_at(t, i, x.column)
            _write_four(arrays, 1, places, (G, P, size * db, size * dz))
        else:
            row = normalise(t, h.epoch, i, width) + x.column
            b, z = t.rows[row], t.rows[row + width]
            t.rows[row] = b + size * db
            t.rows[row + width] = z + size * dz
        first += size * b
        second += size * z
    return first, second


@verb
def replace(t, h, indices, x, width, padded, clear, c, inv):
    """trace_i = c, w_i as it was; with `clear`, the traces of the row's other columns become 0.

    Returns what write does.
    """
    z = c * inv
    first = second = 0.0
    for j in range(x.k):
        signed = indices[x.at + j]
        if padded and signed < 0:
            continue
        i = np.uint64(np.uint32(signed))
        if width == _4:
            at = _2 * _4 * i + x.column
            G, P = since(t, i)
            first += t.rows[at] + t.rows[at + _4] * G
            second += t.rows[at + _4] * P
            t.epochs[i] = np.int32(h.epoch)
            arrays, places = four_at(t, i, x.column)
            _replace_four(arrays, 1, places, (G, P, z, 0.0 if clear else 1.0, h.drive))
            continue
        row = normalise(t, h.epoch, i, width)
        first += t.rows[row + x.column]
        second += t.rows[row + width + x.column]
        for a in range(_0 if clear else x.column, width if clear else x.column + _1):
            z_a = z if a == x.column else 0.0
            t.rows[row + a] += h.drive * (t.rows[row + width + a] - z_a)
            t.rows[row + width + a] = z_a
    return first, second


@verb
def drive(h, a):
    return Hot(h.epoch, h.scale, h.drive + a * h.scale)


@intrinsic
def prefetch(typingctx, array, i):
    """Bring array[i] into cache; i may be anywhere."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        i32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, i32, i32, i32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        builder.call(function, [pointer, i32(0), i32(3), i32(1)])  # to read, to keep, data
        return context.get_dummy_value()

    return types.void(array, i), generate
