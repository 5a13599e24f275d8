"""Plastic networks ahead, in Numba: the loops of csrc/plasticity.h, in its order.  See backends.numpy's."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from . import inner, kernel
from .vectors import BYTES, row

NONE, PLASTIC, SIMPLE, RETROACTIVE = range(4)
LAYER, RNN, LSTM = range(3)
MODES = {"none": NONE, "plastic": PLASTIC, "simple": SIMPLE, "retroactive": RETROACTIVE}
CELLS = {"layer": LAYER, "rnn": RNN, "lstm": LSTM}
HARD, SOFT, DECAY = range(3)
BOUNDS = {"hard": HARD, "soft": SOFT, "decay": DECAY}
TANH, SIGMOID, LINEAR = range(3)
MODULATIONS = {"tanh": TANH, "sigmoid": SIGMOID, "linear": LINEAR}


# ---- rows ----


def _moved(w, mode, bound):
    """Hebb and E move by one step; returns the new Hebb."""
    hebb = w.load("hebb_in")
    if mode == RETROACTIVE:
        E = w.load("E_in")
        D = w.scalar("gain") * E
        w.store("E_out", w.scalar("keep") * E + w.scalar("drive") * w.load("pre"))
    else:
        D = w.scalar("drive") * w.load("pre")
    top, one = w.scalar("clip"), w.number(1.0)
    if bound == SOFT:
        part = hebb / top
        D = D * D.negative().where(one + part, one - part)
    if bound == DECAY:
        D = D - w.scalar("gain") * hebb
    hebb = hebb + D
    hebb = (hebb > top).where(top, hebb)
    hebb = (hebb < -top).where(-top, hebb)
    w.store("hebb_out", hebb)
    return hebb


_AHEAD = (
    ("W", "al", "hebb_in", "E_in", "hebb_out", "E_out", "pre", "pre_next"),
    ("gain", "drive", "keep", "clip"),
    1,
)


def _ahead(mode, bound, product):
    @row(*_AHEAD)
    def body(w):
        hebb = w.load("hebb_in") if mode == NONE else _moved(w, mode, bound)
        if product:
            w.add(0, (w.load("W") + w.load("al") * hebb) * w.load("pre_next"))

    return body


meet = _ahead(NONE, HARD, True)
move_simple, move_simple_soft = _ahead(SIMPLE, HARD, False), _ahead(SIMPLE, SOFT, False)
move_retroactive, move_retroactive_soft = _ahead(RETROACTIVE, HARD, False), _ahead(RETROACTIVE, SOFT, False)
move_simple_decay, move_retroactive_decay = _ahead(SIMPLE, DECAY, False), _ahead(RETROACTIVE, DECAY, False)
go_simple, go_simple_soft = _ahead(SIMPLE, HARD, True), _ahead(SIMPLE, SOFT, True)
go_retroactive, go_retroactive_soft = _ahead(RETROACTIVE, HARD, True), _ahead(RETROACTIVE, SOFT, True)

_BACK = (
    ("W", "al", "hebb", "hebb_old", "E_old", "pre", "pre_old", "dal", "dhebb", "dE", "dpre", "dpre_old"),
    ("dy", "gain", "drive", "keep", "clip"),
    3,
)


def _back(mode, bound):
    @row(*_BACK)
    def body(w):
        now, al, outer = w.load("hebb"), w.load("al"), w.scalar("dy") * w.load("pre")
        d = w.load("dhebb") + al * outer
        w.store("dpre", w.load("dpre") + (w.load("W") + al * now) * w.scalar("dy"))
        w.store("dal", w.load("dal") + outer * now)
        if mode == NONE:
            w.store("dhebb", d)
            return
        top, zero, one = w.scalar("clip"), w.number(0.0), w.number(1.0)
        pre_old, drive, gain = w.load("pre_old"), w.scalar("drive"), w.scalar("gain")
        E = w.load("E_old") if mode == RETROACTIVE else zero
        d = ((now < top) & (now > -top)).where(d, zero)
        dD = d
        if bound == DECAY:
            d = d - gain * d
        if bound == SOFT:
            D = gain * E if mode == RETROACTIVE else drive * pre_old
            sign = D.negative().where(-one, one)
            dD = d * (one - sign * w.load("hebb_old") / top)
            d = d * (one - sign * D / top)
        w.store("dhebb", d)
        if mode == RETROACTIVE:
            e = w.load("dE")
            w.add(0, dD * (E - w.load("hebb_old") if bound == DECAY else E))
            w.add(1, e * pre_old)
            w.add(2, e * E)
            w.store("dpre_old", w.load("dpre_old") + drive * e)
            w.store("dE", w.scalar("keep") * e + gain * dD)
        else:
            w.add(0, dD * pre_old)
            if bound == DECAY:
                w.add(2, dD * w.load("hebb_old"))
            w.store("dpre_old", w.load("dpre_old") + drive * dD)

    return body


back_none = _back(NONE, HARD)
back_simple, back_simple_soft = _back(SIMPLE, HARD), _back(SIMPLE, SOFT)
back_retroactive, back_retroactive_soft = _back(RETROACTIVE, HARD), _back(RETROACTIVE, SOFT)
back_simple_decay, back_retroactive_decay = _back(SIMPLE, DECAY), _back(RETROACTIVE, DECAY)


@row(("A", "x"), (), 1)
def row_times(w):
    w.add(0, w.load("A") * w.load("x"))


@row(("A", "x"), ("y",), 0)
def column_times(w):
    w.store("x", w.load("x") + w.load("A") * w.scalar("y"))


# ---- where all that lies ----


class Room(NamedTuple):
    """Places in the workspace, in numbers; `row` and `matrix` are sizes."""

    n: int
    row: int
    matrix: int
    wide: int
    W: int
    al: int
    gates: int
    hebb: int
    E: int
    pre: int
    pre_next: int
    post: int
    gain: int
    y: int
    dhebb: int
    dE: int
    dal: int
    dal_sum: int
    dpre: int
    dpre_old: int
    dy: int
    dh: int
    dc: int
    dgain: int
    dpost: int
    dE_E: int
    history: int
    checkpoints: int


def lay(p: Any, spacing: int) -> tuple[Room, int]:
    """The room of a pass, and its size; spacing 0: of forward."""
    return _laid(p.cell, p.mode, p.dtype.itemsize, p.u.shape[1], *p.W.shape, spacing)


@functools.lru_cache(64)
def _laid(cell: str, mode: str, itemsize: int, T: int, P: int, K: int, spacing: int) -> tuple[Room, int]:
    per = BYTES // itemsize
    row_size, wide = -(-K // per) * per, -(-max(P, K) // per) * per
    matrix = P * row_size + 10 * per  # not all matrices on one set of the cache
    kinds, length = (2 if mode == "retroactive" else 1), min(spacing, T + 1)
    matrices = {"W": 1, "al": 1, "gates": 3 if cell == "lstm" else 0, "hebb": 1, "E": kinds - 1}
    vectors = {"pre": 1, "pre_next": 1, "post": 1, "gain": 1, "y": 4}
    if spacing:
        matrices |= {"dhebb": 1, "dE": kinds - 1, "dal": 1, "dal_sum": 1}
        vectors |= {"dpre": 1, "dpre_old": 1, "dy": 4, "dh": 1, "dc": 1, "dgain": 1, "dpost": 1, "dE_E": 1}
        if mode != "none":
            matrices |= {"history": kinds * (length + 1), "checkpoints": kinds * -(-(T + 1) // length)}
    places, used = dict.fromkeys(Room._fields, 0), 0
    for sizes, size in ((matrices, matrix), (vectors, wide)):
        for name, count in sizes.items():
            places[name] = used
            used += count * size
    places |= {"n": row_size // per, "row": row_size, "matrix": matrix, "wide": wide}
    return Room(**places), used


def work_size(p: Any, spacing: int) -> int:
    return lay(p, spacing)[1]


class Net(NamedTuple):
    """A pass as the kernels take it; an array that is not there is empty."""

    cell: int
    mode: int
    bound: int
    fan_out: bool
    activation: int
    modulated: int  # neurons from here on take eta, and no modulation
    clip: Any
    eta: Any
    bm: Any
    W: Any
    al: Any
    gates: Any
    wm: Any
    fw: Any
    fb: Any
    pre: Any
    modulation: Any
    by_neuron: Any
    h0: Any
    c0: Any
    hebb0: Any
    E0: Any
    u: Any
    h: Any
    c: Any
    M: Any


def or_empty(array: Any, ndim: int, dtype: Any) -> Any:
    if array is None:
        return np.empty((0,) * ndim, dtype)
    return np.require(array, dtype, ["C", "A", "W"])


def net_of(p: Any) -> Net:
    dtype, per_neuron = p.dtype, p.modulation is not None and p.modulation.ndim == 3
    modulated = 0 if p.mode == "plastic" else len(p.W) - p.plain
    sizes = {"gates": 3, "wm": 1, "fw": 1, "fb": 1, "pre": 3, "h0": 2, "c0": 2, "hebb0": 3, "E0": 3, "c": 3}
    return Net(
        cell=CELLS[p.cell], mode=MODES[p.mode], bound=BOUNDS[p.bound], fan_out=p.fan_out,
        activation=MODULATIONS[p.activation], modulated=modulated,
        clip=dtype.type(p.clip), eta=dtype.type(p.eta), bm=dtype.type(p.bm),
        W=p.W, al=np.broadcast_to(p.al, p.W.shape).copy(), u=p.u, h=p.h, M=or_empty(p.M, 2, dtype),
        modulation=or_empty(None if per_neuron else p.modulation, 2, dtype),
        by_neuron=or_empty(p.modulation if per_neuron else None, 3, dtype),
        **{name: or_empty(getattr(p, name), ndim, dtype) for name, ndim in sizes.items()},
    )  # fmt: skip


# ---- pieces ----


def tanh(x):
    raise NotImplementedError


_MAGIC = np.float32(12582912.0)  # 1.5 * 2^23: adding it rounds to whole numbers


@overload(tanh, inline="never")
def _tanh(x):
    if x == types.float32:

        def implementation(x):
            # q / (q + 2) with q = exp(2 |x|) - 1, as in csrc/plasticity.c.
            if x != x:
                return x
            a = abs(x)
            a = np.float32(20.0) if a > np.float32(10.0) else a + a
            n = (a * np.float32(1.44269504) + _MAGIC) - _MAGIC
            r = (a - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)
            p = np.float32(1.0 / 5040.0)
            p = p * r + np.float32(1.0 / 720.0)
            p = p * r + np.float32(1.0 / 120.0)
            p = p * r + np.float32(1.0 / 24.0)
            p = p * r + np.float32(1.0 / 6.0)
            p = p * r + np.float32(0.5)
            p = (p * r) * r + r
            power = np.float32(1 << int(n))
            q = p * power + (power - np.float32(1.0))
            return math.copysign(q / (q + np.float32(2.0)), x)

    else:

        def implementation(x):
            return math.tanh(x)

    return implementation


@inner
def spread_out(work, at, matrix, row_size):
    """A matrix (P, K) into rows of whole vectors, the rest 0."""
    P, K = matrix.shape
    for j in range(P):
        for k in range(K):
            work[at + j * row_size + k] = matrix[j, k]
        for k in range(K, row_size):
            work[at + j * row_size + k] = 0


@inner
def draw_in(matrix, work, at, row_size):
    P, K = matrix.shape
    for j in range(P):
        for k in range(K):
            matrix[j, k] = work[at + j * row_size + k]


@inner
def copy(work, to, start, n):
    for i in range(n):
        work[to + i] = work[start + i]


@inner
def fill(work, at, n, value):
    for i in range(n):
        work[at + i] = value


@inner
def begin_with(net, r, work, b, hebb, E):
    """Hebb and E of element b as they were given."""
    if len(net.hebb0):
        spread_out(work, hebb, net.hebb0[b], r.row)
    else:
        fill(work, hebb, r.matrix, 0)
    if net.mode == RETROACTIVE:
        if len(net.E0):
            spread_out(work, E, net.E0[b], r.row)
        else:
            fill(work, E, r.matrix, 0)


@inner
def enter(net, r, work):
    spread_out(work, r.W, net.W, r.row)
    spread_out(work, r.al, net.al, r.row)
    for g in range(len(net.gates)):
        spread_out(work, r.gates + g * r.matrix, net.gates[g], r.row)
    fill(work, r.pre, r.wide, 0)
    fill(work, r.pre_next, r.wide, 0)


@inner
def pre_at(net, work, to, b, t):
    """The input that the matrices meet at step t: a layer's own, or the h before."""
    K = net.W.shape[1]
    for k in range(K):
        if net.cell == LAYER:
            work[to + k] = net.pre[t, b, k]
        elif t > 0:
            work[to + k] = net.h[t - 1, b, k]
        else:
            work[to + k] = net.h0[b, k] if len(net.h0) else 0


@inner
def post_and_gain(net, r, work, b, t):
    """post and V of step t."""
    P = net.W.shape[0]
    M = net.M[t, b] if len(net.M) else net.clip
    for j in range(P):
        work[r.post + j] = net.u[0, t, b, j]
        if j >= net.modulated:
            work[r.gain + j] = net.eta
        elif len(net.by_neuron):
            work[r.gain + j] = net.by_neuron[t, b, j]
        elif net.fan_out:
            work[r.gain + j] = net.fw[j] * M + net.fb[j]
        else:
            work[r.gain + j] = M


@inner
def move_on(net, r, work, start, to, E_start, E_to, pre):
    """Hebb and E move by what stands in post and gain, perhaps to other memory."""
    one = work.dtype.type(1)
    keep = one - net.eta
    for j in range(net.W.shape[0]):
        o = j * r.row
        gain, post = work[r.gain + j], work[r.post + j]
        places = (o, o, start + o, E_start + o, to + o, E_to + o, pre, pre)
        if net.mode == RETROACTIVE and j < net.modulated:
            numbers = (gain, net.eta * post, keep, net.clip)
            if net.bound == HARD:
                move_retroactive(work, r.n, places, numbers)
            elif net.bound == SOFT:
                move_retroactive_soft(work, r.n, places, numbers)
            else:
                move_retroactive_decay(work, r.n, places, numbers)
        else:
            numbers = (gain, gain * post, keep, net.clip)
            if net.bound == HARD:
                move_simple(work, r.n, places, numbers)
            elif net.bound == SOFT:
                move_simple_soft(work, r.n, places, numbers)
            else:
                move_simple_decay(work, r.n, places, numbers)


@inner
def _meet(net, r, work):
    """y = (W + al * Hebb) pre_next."""
    one = work.dtype.type(1)
    for j in range(net.W.shape[0]):
        o = j * r.row
        hebb, E = r.hebb + o, r.E + o
        places = (r.W + o, r.al + o, hebb, E, hebb, E, r.pre, r.pre_next)
        work[r.y + j] = meet(work, r.n, places, (one, one, one, net.clip))[0]


@inner
def _go(net, r, work, moves):
    """Hebb and E move in place, and then y = (W + al * Hebb) pre_next."""
    if moves and net.bound == DECAY:
        move_on(net, r, work, r.hebb, r.hebb, r.E, r.E, r.pre)
    if not moves or net.bound == DECAY:
        _meet(net, r, work)
        return
    one = work.dtype.type(1)
    keep = one - net.eta
    for j in range(net.W.shape[0]):
        o = j * r.row
        hebb, E = r.hebb + o, r.E + o
        gain, post = work[r.gain + j], work[r.post + j]
        places = (r.W + o, r.al + o, hebb, E, hebb, E, r.pre, r.pre_next)
        if net.mode == RETROACTIVE and j < net.modulated:
            numbers = (gain, net.eta * post, keep, net.clip)
            if net.bound == SOFT:
                y = go_retroactive_soft(work, r.n, places, numbers)[0]
            else:
                y = go_retroactive(work, r.n, places, numbers)[0]
        else:
            numbers = (gain, gain * post, keep, net.clip)
            if net.bound == SOFT:
                y = go_simple_soft(work, r.n, places, numbers)[0]
            else:
                y = go_simple(work, r.n, places, numbers)[0]
        work[r.y + j] = y


@inner
def _activate(net, r, work, b, t):
    """Activations of step t from u + y; for the LSTM also c and h."""
    P, half = net.W.shape[0], work.dtype.type(0.5)
    for j in range(P):
        net.u[0, t, b, j] = tanh(net.u[0, t, b, j] + work[r.y + j])
        for g in range(1, len(net.u)):
            x = net.u[g, t, b, j] + work[r.y + g * r.wide + j]
            net.u[g, t, b, j] = half + half * tanh(half * x)
        if net.cell == LSTM:
            before = half - half
            if t > 0:
                before = net.c[t - 1, b, j]
            elif len(net.c0):
                before = net.c0[b, j]
            c = net.u[2, t, b, j] * before + net.u[0, t, b, j] * net.u[1, t, b, j]
            net.c[t, b, j] = c
            net.h[t, b, j] = net.u[3, t, b, j] * tanh(c)


@inner
def _modulate(net, b, t):
    if not len(net.M):
        return
    if len(net.modulation):
        net.M[t, b] = net.modulation[t, b]
    elif net.cell == LAYER:
        net.M[t, b] = 0
    else:
        total = net.bm
        for j in range(len(net.wm)):
            total += net.wm[j] * net.h[t, b, j]
        if net.activation == LINEAR:
            net.M[t, b] = total
        elif net.activation == SIGMOID:
            half = net.wm.dtype.type(0.5)
            net.M[t, b] = half + half * tanh(half * total)
        else:
            net.M[t, b] = tanh(total)


@inner
def _forward_one(net, r, work, hebb, E, b, begin, end):
    """Steps [begin, end) of element b; the workspace keeps what the next ones need."""
    P, K = net.W.shape
    if begin == 0:
        begin_with(net, r, work, b, r.hebb, r.E)
    for t in range(begin, end):
        pre_at(net, work, r.pre_next, b, t)
        # Hebb moves by what the step before left in pre, post and gain.
        _go(net, r, work, net.mode != NONE and t > 0)
        if net.cell == LSTM:
            for g in range(3):
                for j in range(P):
                    places = (r.gates + g * r.matrix + j * r.row, r.pre_next)
                    work[r.y + (g + 1) * r.wide + j] = row_times(work, r.n, places, ())[0]
        _activate(net, r, work, b, t)
        _modulate(net, b, t)
        post_and_gain(net, r, work, b, t)
        copy(work, r.pre, r.pre_next, K)
    if end < net.u.shape[1]:
        return
    if net.mode != NONE:
        move_on(net, r, work, r.hebb, r.hebb, r.E, r.E, r.pre)
    draw_in(hebb[b], work, r.hebb, r.row)
    if net.mode == RETROACTIVE:
        draw_in(E[b], work, r.E, r.row)


@kernel
def _forward(net, r, work, hebb, E, first, begin, end):
    """Steps [begin, end) of the elements from `first` on, T an element."""
    if begin == 0:
        enter(net, r, work)
    each = net.u.shape[1]
    while begin < end:
        start = begin % each
        stop = min(each, start + end - begin)
        _forward_one(net, r, work, hebb, E, first + begin // each, start, stop)
        begin += stop - start


def forward(p: Any, first: int, last: int, work: Any) -> Callable[[int, int], None]:
    if p.mode != "retroactive" and p.E0 is not None:
        p.E[first:last] = p.E0[first:last]
    given = net_of(p), lay(p, 0)[0], work, p.hebb, p.E, first
    return lambda begin, end: _forward(*given, begin, end)


# ---- backward ----
