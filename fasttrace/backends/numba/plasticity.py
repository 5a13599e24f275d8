"""Plastic networks back, and one trace, in Numba; the way ahead is plasticity_forward's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import inner, jit, kernel
from .plasticity_forward import (
    BOUNDS,
    DECAY,
    HARD,
    LAYER,
    LINEAR,
    LSTM,
    MODES,
    NONE,
    PLASTIC,
    RETROACTIVE,
    SIGMOID,
    SIMPLE,
    SOFT,
    back_none,
    back_retroactive,
    back_retroactive_decay,
    back_retroactive_soft,
    back_simple,
    back_simple_decay,
    back_simple_soft,
    begin_with,
    column_times,
    copy,
    draw_in,
    enter,
    fill,
    forward,
    lay,
    move_on,
    net_of,
    or_empty,
    post_and_gain,
    pre_at,
    spread_out,
    tanh,
    work_size,
)

__all__ = ["backward", "forward", "hebbian_step", "work_size"]


class Up(NamedTuple):
    """What is given, and what is asked for; an array that is not there is empty."""

    dh: Any
    dM: Any
    dc: Any
    dhebb: Any
    dE: Any
    u: Any
    M: Any
    by_neuron: Any
    pre: Any
    h0: Any
    c0: Any
    hebb0: Any
    E0: Any
    al: Any
    wm: Any
    fw: Any
    fb: Any
    bm_eta: Any


@inner
def _replay(net, r, work, b, t, start, to):
    """Hebb_t and E_t to the next, into other memory, from the activations that forward left."""
    pre_at(net, work, r.pre_next, b, t)
    post_and_gain(net, r, work, b, t)
    kinds = r.matrix if net.mode == RETROACTIVE else 0
    move_on(net, r, work, start, to, start + kinds, to + kinds, r.pre_next)


@inner
def _back_modulation(net, up, r, work, b, t):
    """Through M_t and V_t: adds to dh, and says what M, wm, bm, fw, fb get."""
    P = net.W.shape[0]
    modulated = net.mode == SIMPLE or net.mode == RETROACTIVE
    if len(net.by_neuron):
        for j in range(P):
            up.by_neuron[t, b, j] = work[r.dgain + j] if modulated else 0
        return
    dM = np.float64(up.dM[t, b]) if len(up.dM) else 0.0
    M = net.M[t, b]
    if modulated:
        for j in range(P):
            dV = work[r.dgain + j]
            if net.fan_out:
                up.fw[j] += np.float64(dV * M)
                up.fb[j] += np.float64(dV)
                dM += np.float64(dV * net.fw[j])
            else:
                dM += np.float64(dV)
    up.M[t, b] = dM
    if len(net.modulation) or net.cell == LAYER:
        return
    m = np.float64(M)
    slope = 1.0 if net.activation == LINEAR else m * (1.0 - m) if net.activation == SIGMOID else 1.0 - m * m
    dm = work.dtype.type(dM * slope)
    up.bm_eta[0] += np.float64(dm)
    for j in range(P):
        up.wm[j] += np.float64(dm * net.h[t, b, j])
        work[r.dh + j] = work[r.dh + j] + dm * net.wm[j]


@inner
def _back_cell(net, up, r, work, b, t):
    """Through the cell: dy of each gate from dh, dc and dpost."""
    P, one = net.W.shape[0], work.dtype.type(1)
    for j in range(P):
        post, dh = net.u[0, t, b, j], work[r.dh + j]
        if net.cell != LSTM:
            work[r.dy + j] = (work[r.dpost + j] + dh) * (one - post * post)
            up.u[0, t, b, j] = work[r.dy + j]
            continue
        before = one - one
        if t > 0:
            before = net.c[t - 1, b, j]
        elif len(net.c0):
            before = net.c0[b, j]
        gate, forget, out = net.u[1, t, b, j], net.u[2, t, b, j], net.u[3, t, b, j]
        tanh_c = tanh(net.c[t, b, j])
        dc = work[r.dc + j] + dh * out * (one - tanh_c * tanh_c)
        work[r.dy + j] = (work[r.dpost + j] + dc * gate) * (one - post * post)
        work[r.dy + r.wide + j] = dc * post * gate * (one - gate)
        work[r.dy + 2 * r.wide + j] = dc * before * forget * (one - forget)
        work[r.dy + 3 * r.wide + j] = dh * tanh_c * out * (one - out)
        work[r.dc + j] = dc * forget
        for g in range(4):
            up.u[g, t, b, j] = work[r.dy + g * r.wide + j]


@inner
def _back_rows(net, r, work, moves, hebb, old, E_old):
    """Through y_t and the move before it, row by row; see ft_back_rows."""
    one = work.dtype.type(1)
    keep = one - net.eta
    for j in range(net.W.shape[0]):
        o = j * r.row
        dy, gain, post = work[r.dy + j], work[r.gain + j], work[r.post + j]
        dE = r.dE + o if net.mode == RETROACTIVE else r.dhebb + o
        places = (
            r.W + o, r.al + o, hebb + o, old + o, E_old + o, r.pre, r.pre_next,
            r.dal + o, r.dhebb + o, dE, r.dpre, r.dpre_old,
        )  # fmt: skip
        if not moves:
            back_none(work, r.n, places, (dy, one, one, keep, net.clip))
        elif net.mode == RETROACTIVE and j < net.modulated:
            numbers = (dy, gain, net.eta * post, keep, net.clip)
            if net.bound == HARD:
                sums = back_retroactive(work, r.n, places, numbers)
            elif net.bound == SOFT:
                sums = back_retroactive_soft(work, r.n, places, numbers)
            else:
                sums = back_retroactive_decay(work, r.n, places, numbers)
            work[r.dgain + j], work[r.dpost + j], work[r.dE_E + j] = sums
        else:
            numbers = (dy, gain, gain * post, keep, net.clip)
            if net.bound == HARD:
                sums = back_simple(work, r.n, places, numbers)
            elif net.bound == SOFT:
                sums = back_simple_soft(work, r.n, places, numbers)
            else:
                sums = back_simple_decay(work, r.n, places, numbers)
            work[r.dgain + j] = sums[0]
            if net.bound == DECAY:
                work[r.dE_E + j] = sums[2]  # of dD Hebb


@inner
def _back_move(net, up, r, work):
    """What the move of step t - 1 gives to its post, its gain and to eta."""
    deta = 0.0
    for j in range(net.W.shape[0]):
        post = work[r.post + j]
        if net.mode == RETROACTIVE and j < net.modulated:
            deta += np.float64(post) * np.float64(work[r.dpost + j]) - np.float64(work[r.dE_E + j])
            work[r.dpost + j] = net.eta * work[r.dpost + j]
            continue
        d = work[r.dgain + j]  # of gain * post
        work[r.dpost + j] = work[r.gain + j] * d
        work[r.dgain + j] = post * d - work[r.dE_E + j] if net.bound == DECAY else post * d
        if j >= net.modulated:
            deta += np.float64(work[r.dgain + j])
            work[r.dgain + j] = 0
    up.bm_eta[1] += deta


@inner
def _back_step(net, up, r, work, b, t, at, both):
    """Pass t: it takes Hebb_t, which lies at `at`, and E_{t-1}."""
    P, K = net.W.shape
    if t < net.u.shape[1]:
        if len(up.dh):
            for j in range(P):
                work[r.dh + j] = work[r.dh + j] + up.dh[t, b, j]
        _back_modulation(net, up, r, work, b, t)
        _back_cell(net, up, r, work, b, t)
        pre_at(net, work, r.pre, b, t)
    else:
        fill(work, r.dy, P, 0)
        fill(work, r.pre, K, 0)
    # dpre of t: what the move of t gave, and from here what y_t gives.
    copy(work, r.dpre, r.dpre_old, r.wide)
    fill(work, r.dpre_old, r.wide, 0)
    move = net.mode != NONE and t > 0
    old = at
    if move:
        pre_at(net, work, r.pre_next, b, t - 1)
        post_and_gain(net, r, work, b, t - 1)
        old = at - both
    E_old = old + (r.matrix if net.mode == RETROACTIVE else 0)
    _back_rows(net, r, work, move, at, old, E_old)
    if move:
        _back_move(net, up, r, work)
    if t == net.u.shape[1]:
        return
    if net.cell == LSTM:
        for g in range(3):
            for j in range(P):
                places = (r.gates + g * r.matrix + j * r.row, r.dpre)
                column_times(work, r.n, places, (work[r.dy + (g + 1) * r.wide + j],))
    if net.cell == LAYER:
        for k in range(K):
            up.pre[t, b, k] = work[r.dpre + k]
        fill(work, r.dh, P, 0)
    else:
        copy(work, r.dh, r.dpre, P)


@inner
def _back_begin(net, up, r, work, b):
    """What the last state is told, and zeros."""
    P = net.W.shape[0]
    fill(work, r.dhebb, r.matrix, 0)
    if len(up.dhebb):
        spread_out(work, r.dhebb, up.dhebb[b], r.row)
    if net.mode == RETROACTIVE:
        fill(work, r.dE, r.matrix, 0)
        if len(up.dE):
            spread_out(work, r.dE, up.dE[b], r.row)
    fill(work, r.dal, r.matrix, 0)
    for at in (r.dh, r.dpost, r.dgain):
        fill(work, at, P, 0)
    fill(work, r.dpre_old, r.wide, 0)
    for j in range(P):
        work[r.dc + j] = up.dc[b, j] if len(up.dc) else 0
    begin_with(net, r, work, b, r.hebb, r.E)
    if net.mode != NONE:
        copy(work, r.checkpoints, r.hebb, r.matrix)
    if net.mode == RETROACTIVE:
        copy(work, r.checkpoints + r.matrix, r.E, r.matrix)


@inner
def _back_end(net, up, r, work, b):
    draw_in(up.hebb0[b], work, r.dhebb, r.row)
    if net.mode == RETROACTIVE:
        draw_in(up.E0[b], work, r.dE, r.row)
    for j in range(net.W.shape[0]):
        if net.cell != LAYER:
            up.h0[b, j] = work[r.dh + j]
        if net.cell == LSTM:
            up.c0[b, j] = work[r.dc + j]
    for i in range(r.matrix):
        work[r.dal_sum + i] = work[r.dal_sum + i] + work[r.dal + i]


@inner
def _backward_one(net, up, r, work, b, spacing, begin, end):
    """Units [begin, end) of element b, of 2 (T + 1): the replays that leave checkpoints, then the passes."""
    T, both = net.u.shape[1], r.matrix * (2 if net.mode == RETROACTIVE else 1)
    moves = net.mode != NONE
    # Pass T is there for what the last state is told.
    passes = T + 1 if moves and (len(up.dhebb) or len(up.dE)) else T
    length = min(spacing, passes)
    last = (passes - 1) // length
    if begin == 0:
        _back_begin(net, up, r, work, b)
        if moves and length == 1 and last > 0:
            copy(work, r.checkpoints + both, r.checkpoints, both)
    # Passes [s length, (s + 1) length) start from checkpoint s: the step before them.
    if moves:
        for t in range(begin, min(end, last * length - 1)):
            start = r.checkpoints + (t // length + 1 if t > 0 else 0) * both
            _replay(net, r, work, b, t, start, r.checkpoints + ((t + 1) // length + 1) * both)
    for i in range(max(begin, T + 1), min(end, T + 1 + passes)):
        t = T + passes - i
        s = t // length
        base = s * length - 1 if s > 0 else 0
        if moves and (t == passes - 1 or (t + 1) % length == 0):
            copy(work, r.history, r.checkpoints + s * both, both)
            for k in range(base, t):
                place = r.history + (k - base) * both
                _replay(net, r, work, b, k, place, place + both)
        _back_step(net, up, r, work, b, t, r.history + (t - base) * both if moves else r.hebb, both)
    if end == 2 * (T + 1):
        _back_end(net, up, r, work, b)


@kernel
def _backward(net, up, r, work, spacing, first, last, begin, end):
    """Units [begin, end) of the elements [first, last), 2 (T + 1) an element."""
    if begin == 0:
        enter(net, r, work)
        fill(work, r.dal_sum, r.matrix, 0)
    each = 2 * (net.u.shape[1] + 1)
    at = begin
    while at < end:
        start = at % each
        stop = min(each, start + end - at)
        _backward_one(net, up, r, work, first + at // each, spacing, start, stop)
        at += stop - start
    if end == (last - first) * each:
        draw_in(up.al, work, r.dal_sum, r.row)


def backward(
    p: Any, up: Any, g: Any, first: int, last: int, work: Any, spacing: int
) -> tuple[Callable[[int, int], None], dict[str, Any]]:
    H, K = p.W.shape
    if p.mode != "retroactive" and up.dE is not None:
        g.E0[first:last] = up.dE[first:last]
    per_neuron = p.modulation is not None and p.modulation.ndim == 3
    wm, fw, fb, bm_eta = np.zeros(H), np.zeros(H), np.zeros(H), np.zeros(2)
    given = {"dh": 3, "dM": 2, "dc": 2, "dhebb": 3, "dE": 3}
    asked = {"pre": 3, "h0": 2, "c0": 2}
    al = np.empty((H, K), p.dtype)
    arrays = Up(
        **{name: or_empty(getattr(up, name), ndim, p.dtype) for name, ndim in given.items()},
        **{name: or_empty(getattr(g, name), ndim, p.dtype) for name, ndim in asked.items()},
        u=g.u, hebb0=g.hebb0, E0=g.E0, al=al, wm=wm, fw=fw, fb=fb, bm_eta=bm_eta,
        M=or_empty(None if per_neuron else g.M, 2, p.dtype),
        by_neuron=or_empty(g.M if per_neuron else None, 3, p.dtype),
    )  # fmt: skip
    call = net_of(p), arrays, lay(p, spacing)[0], work, spacing, first, last
    bm, eta = bm_eta[:1].reshape(()), bm_eta[1:].reshape(())
    sums = {"al": al, "wm": wm, "bm": bm, "fw": fw, "fb": fb, "eta": eta}
    return lambda begin, end: _backward(*call, begin, end), sums


# ---- one trace ----


@jit
def _hebbian_step(hebb, E, post, pre, gain, mode, bound, eta, clip):
    one = hebb.dtype.type(1)
    for j in range(len(post)):
        drive = gain[j] * post[j] if mode == SIMPLE else eta * post[j]
        rate = eta if mode == PLASTIC else gain[j]
        for k in range(len(pre)):
            D, h = drive * pre[k], hebb[j, k]
            if mode == RETROACTIVE:
                moved = (one - eta) * E[j, k] + D
                D = gain[j] * E[j, k]
                E[j, k] = moved
            if bound == SOFT:
                D = D * (one + h / clip if D < 0 else one - h / clip)
            elif bound == DECAY:
                D = D - rate * h
            h = h + D
            hebb[j, k] = clip if h > clip else -clip if h < -clip else h


def hebbian_step(
    hebb: Any, E: Any, post: Any, pre: Any, modulation: Any, mode: str, eta: Any, clip: Any, bound: str
) -> tuple[Any, Any]:
    if mode != "none":
        post, pre, gain = (or_empty(each, 1, hebb.dtype) for each in (post, pre, modulation))
        _hebbian_step(hebb, E, post, pre, gain, MODES[mode], BOUNDS[bound], eta, clip)
    return hebb, E
