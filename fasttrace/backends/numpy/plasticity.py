"""Plastic networks as the equations say: every Hebb and E is kept, every gradient is written out.

        y_t = u_t + (W + al * Hebb_t) pre_t                      layer, RNN: post_t = tanh(y_t)
        M_t = tanh(wm . h_t + bm), V_t = M_t, with fan-out fw M_t + fb; eta where nothing is modulated
        plastic, simple  X_t = outer(post_t, pre_t)
        retroactive      X_t = E_t, then E_{t+1} = (1 - eta) E_t + eta outer(post_t, pre_t)
        D_t = V_t X_t, with the bound "decay" V_t (X_t - Hebb_t)
        Hebb_{t+1} = clip(Hebb_t + D_t)

pre_t is the input of a layer, h_{t-1} of an RNN and an LSTM; u_t is what the inputs and the bias add.  In the
mode plastic nothing is modulated, else all but the last `plain` neurons, which go without E too.

Source: Miconi et al. 2019, "Backpropamine: training self-modifying neural networks with differentiable
neuromodulated plasticity", section 3; Hochreiter & Schmidhuber 1997 with forget gates for the LSTM.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np


def hebb_next(hebb, D, clip, bound):
    """clip(hebb + D); with the soft bound, D shrinks as hebb nears the bound it moves to."""
    if bound == "soft":
        D = np.maximum(D, 0) * (1 - hebb / clip) + np.minimum(D, 0) * (1 + hebb / clip)
    return np.clip(hebb + D, -clip, clip)


def hebb_next_gradient(hebb, D, hebb_after, dhebb_after, clip, bound):
    """(gradient of hebb, gradient of D): 1 inside the clip and 0 outside."""
    d = np.where(np.abs(hebb_after) < clip, dhebb_after, 0)
    if bound != "soft":
        return d, d
    sign = np.where(D < 0, -1, 1)
    return d * (1 - sign * D / clip), d * (1 - sign * hebb / clip)


def hebbian_step(hebb, E, post, pre, modulation, mode, eta, clip, bound):
    """(hebb, E) after one step of a single trace (post, pre); `modulation` is a number or (post,)."""
    if mode == "none":
        return hebb, E
    outer = np.outer(post, pre)
    V = eta if mode == "plastic" else np.reshape(modulation, (-1, 1))
    X = E if mode == "retroactive" else outer
    if mode == "retroactive":
        E = (1 - eta) * E + eta * outer
    D = V * (X - hebb) if bound == "decay" else V * X
    return hebb_next(hebb, D, clip, bound), E


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


_MODULATION = {"tanh": np.tanh, "sigmoid": _sigmoid, "linear": lambda x: x}
_SLOPE = {"tanh": lambda M: 1 - M * M, "sigmoid": lambda M: M * (1 - M), "linear": np.ones_like}


def _modulated(p):
    """So many neurons are, the first."""
    return 0 if p.mode == "plastic" else len(p.W) - p.plain


def _gain(p, M):
    """V (B, H, 1), or (B, 1, 1) where all neurons share one modulation."""
    if p.mode == "plastic":
        return p.eta.reshape(1, 1, 1)
    V = M if M.ndim == 2 else p.fw * M[:, None] + p.fb if p.fan_out else M[:, None]
    if p.plain:
        V = np.broadcast_to(V, (len(V), len(p.W))).copy()
        V[:, _modulated(p) :] = p.eta
    return V[:, :, None]


def _driven(p, E, outer):
    """X: what V multiplies."""
    if p.mode != "retroactive":
        return outer
    return np.concatenate([E[:, : _modulated(p)], outer[:, _modulated(p) :]], 1) if p.plain else E


def _update(p, hebb, E, post, pre, M):
    """(D, Hebb, E) of the next step."""
    if p.mode == "none":
        return np.zeros_like(hebb), hebb, E
    outer, n = post[:, :, None] * pre[:, None, :], _modulated(p)
    X = _driven(p, E, outer)
    D = _gain(p, M) * (X - hebb if p.bound == "decay" else X)
    if p.mode == "retroactive":
        E = E.copy()
        E[:, :n] = (1 - p.eta) * E[:, :n] + p.eta * outer[:, :n]
    return D, hebb_next(hebb, D, p.clip, p.bound), E


def _initial(p):
    """h, c, Hebb, E before the first step; what was not given is 0."""
    _, _, B, H = p.u.shape
    K = p.W.shape[1]
    shapes = {"h0": (B, H), "c0": (B, H), "hebb0": (B, H, K), "E0": (B, H, K)}
    given = ((name, getattr(p, name)) for name in shapes)
    return [np.zeros(shapes[name], p.dtype) if array is None else array for name, array in given]


def work_size(p: Any, spacing: int) -> int:
    """Numbers of workspace: none, everything here is allocated as it comes."""
    return 0


def _part(p: Any, first: int, last: int) -> Any:
    """The elements [first, last) of the batch: views."""
    cut = slice(first, last)
    axes = {
        "u": 2, "h": 1, "c": 1, "M": 1, "pre": 1, "modulation": 1, "dh": 1, "dM": 1,
        "hebb": 0, "E": 0, "h0": 0, "c0": 0, "hebb0": 0, "E0": 0, "dc": 0, "dhebb": 0, "dE": 0,
    }  # fmt: skip
    names = vars(p)
    return SimpleNamespace(**{
        name: array[(slice(None),) * axes[name] + (cut,)] if name in axes and array is not None else array
        for name, array in names.items()
    })  # fmt: skip


def forward(p: Any, first: int, last: int, work: Any) -> Callable[[int, int], None]:
    """A function that runs the sequence: u becomes the activations; h, c, M, hebb, E are filled in.

    In the other backends it does the units of work that it is asked for, here all at once.
    """
    part = _part(p, first, last)
    return lambda begin, end: _forward(part)


def _forward(p):
    h, c, hebb, E = _initial(p)
    for t in range(p.u.shape[1]):
        pre = p.pre[t] if p.cell == "layer" else h
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported by its step
            y = p.u[0, t] + np.einsum("bjk,bk->bj", p.W + p.al * hebb, pre)
            if p.cell == "lstm":
                j, f, o = (_sigmoid(p.u[g, t] + pre @ p.gates[g - 1].T) for g in (1, 2, 3))
                post = np.tanh(y)
                c = f * c + post * j
                h = o * np.tanh(c)
                p.u[:, t] = post, j, f, o
                p.c[t] = c
            else:
                post = h = p.u[0, t] = np.tanh(y)
            p.h[t] = h
            if p.modulation is not None:
                M = p.modulation[t]
            else:
                M = (
                    np.zeros(len(h), p.dtype)
                    if p.cell == "layer"
                    else _MODULATION[p.activation](h @ p.wm + p.bm)
                )
            if p.M is not None:
                p.M[t] = M
            _, hebb, E = _update(p, hebb, E, post, pre, M)
    p.hebb[:], p.E[:] = hebb, E


def _history(p):
    """Hebb, E and D of every step, from the activations: (T + 1, B, H, K) twice and (T, B, H, K)."""
    h, _, hebb, E = _initial(p)
    hebbs, Es, Ds = [hebb], [E], []
    for t in range(p.u.shape[1]):
        pre = p.pre[t] if p.cell == "layer" else h
        M = p.M[t] if p.M is not None else p.modulation[t]
        D, hebb, E = _update(p, hebb, E, p.u[0, t], pre, M)
        hebbs.append(hebb)
        Es.append(E)
        Ds.append(D)
        h = p.h[t]
    return hebbs, Es, Ds


def backward(
    p: Any, up: Any, g: Any, first: int, last: int, work: Any, spacing: int
) -> tuple[Callable[[int, int], None], dict[str, Any]]:
    """(a function as of forward, what it fills in): gradients of the sum of what `up` weighs.

    up   dh (T, B, H), dM (T, B), and those of the state it ends in: dc, dhebb, dE; each may be None
    g    filled in: u (G, T, B, H), M (T, B) or (T, B, H), pre (T, B, K), h0, c0, hebb0, E0
    The sums over the batch are filled in: al (H, K), wm, fw, fb (H,), bm, eta ().  `spacing` is for the
    backends that keep no history.
    """
    parts = [_part(each, first, last) for each in (p, up, g)]
    sums: dict[str, Any] = {}

    def run(begin: int, end: int) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is reported by its step
            sums.update(_backward(*parts))

    return run, sums


def _backward(p, up, g):
    _, T, B, H = p.u.shape
    h0, c0, _, _ = _initial(p)
    hebbs, Es, Ds = _history(p)
    zeros = np.zeros_like
    dhebb = zeros(hebbs[0]) if up.dhebb is None else up.dhebb
    dE = zeros(hebbs[0]) if up.dE is None else up.dE
    dc = zeros(c0) if up.dc is None else up.dc
    dh, n = zeros(h0), _modulated(p)
    du, dal = zeros(p.u), np.zeros(p.W.shape, p.dtype)
    dwm, dfw, dfb = (np.zeros(H, p.dtype) for _ in range(3))
    dbm = deta = 0.0
    per_neuron = p.modulation is not None and p.modulation.ndim == 3
    dMs = np.zeros((T, B, H) if per_neuron else (T, B), p.dtype)
    dpres = np.zeros((T, B, p.W.shape[1]), p.dtype)
    for t in reversed(range(T)):
        pre = p.pre[t] if p.cell == "layer" else (p.h[t - 1] if t else h0)
        post, M = p.u[0, t], p.M[t] if p.M is not None else p.modulation[t]
        dh = dh if up.dh is None else dh + up.dh[t]

        # Hebb_{t+1} = clip(Hebb_t + D), E_{t+1}
        dpost, dpre, dV = zeros(post), zeros(pre), zeros(post)
        if p.mode != "none":
            outer, V = post[:, :, None] * pre[:, None, :], _gain(p, M)
            X = _driven(p, Es[t], outer)
            dhebb, dD = hebb_next_gradient(hebbs[t], Ds[t], hebbs[t + 1], dhebb, p.clip, p.bound)
            dX = douter = V * dD
            dV = np.sum(dD * (X - hebbs[t] if p.bound == "decay" else X), 2)
            if p.bound == "decay":
                dhebb = dhebb - dX
            if p.mode == "retroactive":
                deta += np.sum(dE[:, :n] * (outer - Es[t])[:, :n])
                douter = np.concatenate([p.eta * dE[:, :n], dX[:, n:]], 1)
                dE = np.concatenate([(1 - p.eta) * dE[:, :n] + dX[:, :n], dE[:, n:]], 1)
            deta += np.sum(dV[:, n:])
            dV[:, n:] = 0
            dpost = np.einsum("bjk,bk->bj", douter, pre)
            dpre = np.einsum("bjk,bj->bk", douter, post)

        # M_t
        if per_neuron:
            dMs[t] = dV
        else:
            if p.fan_out:
                dfw += np.sum(dV * M[:, None], 0)
                dfb += np.sum(dV, 0)
                dV = dV * p.fw
            dM = np.sum(dV, 1) if up.dM is None else np.sum(dV, 1) + up.dM[t]
            dMs[t] = dM
            if p.cell != "layer" and p.modulation is None:
                dm = dM * _SLOPE[p.activation](M)
                dwm += dm @ p.h[t]
                dbm += np.sum(dm)
                dh = dh + dm[:, None] * p.wm

        # h_t
        if p.cell == "lstm":
            i, j, f, o = p.u[:, t]
            c_before = p.c[t - 1] if t else c0
            tanh_c = np.tanh(p.c[t])
            dc = dc + dh * o * (1 - tanh_c**2)
            dpost = dpost + dc * j
            du[1, t], du[2, t] = dc * i * j * (1 - j), dc * c_before * f * (1 - f)
            du[3, t] = dh * tanh_c * o * (1 - o)
            dc = dc * f
            dpre = dpre + sum(du[g, t] @ p.gates[g - 1] for g in (1, 2, 3))
        else:
            dpost = dpost + dh
        du[0, t] = dy = dpost * (1 - post * post)

        # y_t = u_t + (W + al * Hebb_t) pre_t
        dpre = dpre + np.einsum("bjk,bj->bk", p.W + p.al * hebbs[t], dy)
        outer = dy[:, :, None] * pre[:, None, :]
        dal += np.sum(outer * hebbs[t], 0)
        dhebb = dhebb + p.al * outer
        dpres[t] = dpre
        dh = zeros(h0) if p.cell == "layer" else dpre
    g.u[:], g.M[:], g.hebb0[:], g.E0[:] = du, dMs, dhebb, dE
    if p.cell == "layer":
        g.pre[:] = dpres
    else:
        g.h0[:] = dh
    if p.cell == "lstm":
        g.c0[:] = dc
    return {"al": dal, "wm": dwm, "bm": dbm, "fw": dfw, "fb": dfb, "eta": deta}
