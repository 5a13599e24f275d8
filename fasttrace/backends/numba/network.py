"""A multilayer perceptron in Numba: its rows, ahead and back; the loops of csrc/neural.h, in its order."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from . import inner, kernel
from .plasticity_forward import tanh
from .vectors import BYTES, row

LEAK, LAYER_EPSILON = 0.01, 1e-5
TANH, LEAKY_RELU = range(2)
ACTIVATIONS = {"tanh": TANH, "leaky_relu": LEAKY_RELU}


# ---- rows: whole vectors by `row`, the rest here ----


@row(("x", "y"), (), 1)
def _dots(w):
    w.add(0, w.load("x") * w.load("y"))


@row(("x", "r0", "r1", "r2", "r3"), (), 4)
def _four_dots(w):
    x = w.load("x")
    for number in range(4):
        w.add(number, w.load(f"r{number}") * x)


@row(("x",), (), 1)
def _totals(w):
    w.add(0, w.load("x"))


@row(("x",), (), 1)
def _sizes(w):
    w.add(0, w.load("x").size())


@row(("y", "r0", "r1", "r2", "r3"), ("d0", "d1", "d2", "d3"), 0)
def _four_added(w):
    y = w.load("y")
    for number in range(4):
        y = y + w.load(f"r{number}") * w.scalar(f"d{number}")
    w.store("y", y)


@row(("y", "x"), ("c",), 0)
def _added(w):
    w.store("y", w.load("y") + w.scalar("c") * w.load("x"))


@row(("z", "x"), ("D", "d"), 1)
def _outer_onto(w):
    z = w.scalar("D") * w.load("z") + w.scalar("d") * w.load("x")
    w.store("z", z)
    w.add(0, z.size())


@row(("z", "x"), ("d",), 1)
def _outer_set(w):
    z = w.scalar("d") * w.load("x")
    w.store("z", z)
    w.add(0, z.size())


def _jacobian_row(name: str, w: Any) -> Any:
    z = w.scalar(f"D{name}") * w.load(f"z{name}") + w.load(f"j{name}")
    w.store(f"z{name}", z)
    return z


@row(
    ("w", "z0", "z1", "z2", "z3", "j0", "j1", "j2", "j3"),
    ("D0", "D1", "D2", "D3", "c0", "c1", "c2", "c3"),
    0,
)
def four_jacobians(w):
    rows = [_jacobian_row(str(number), w) for number in range(4)]
    moved = w.load("w")
    for number, z in enumerate(rows):
        moved = moved + w.scalar(f"c{number}") * z
    w.store("w", moved)


@row(("w", "z0", "j0"), ("D0", "c0"), 0)
def one_jacobian(w):
    z = _jacobian_row("0", w)
    w.store("w", w.load("w") + w.scalar("c0") * z)


@row(("z0", "j0"), ("D0",), 0)
def only_jacobian(w):
    _jacobian_row("0", w)


@inner
def whole_of(n, x):
    """Vectors of n numbers."""
    return n // (BYTES // x.itemsize)


@inner
def _dot(n, x, at, y, to):
    whole = whole_of(n, x)
    total = _dots((x, y), whole, (at, to), ())[0]
    for k in range(n - n % (BYTES // x.itemsize), n):
        total += x[at + k] * y[to + k]
    return total


@inner
def _sum(n, x, at):
    total = _totals((x,), whole_of(n, x), (at,), ())[0]
    for k in range(n - n % (BYTES // x.itemsize), n):
        total += x[at + k]
    return total


@inner
def norm_of(n, x, at):
    total = _sizes((x,), whole_of(n, x), (at,), ())[0]
    for k in range(n - n % (BYTES // x.itemsize), n):
        total += abs(x[at + k])
    return total


@inner
def _affine(n_out, n_in, params, W, room, x, y):
    """room[y:] = b + W room[x:]; W where the layer's weights begin, b after them."""
    whole, b, j = whole_of(n_in, params), W + n_out * n_in, 0
    rest = n_in - n_in % (BYTES // params.itemsize)
    while j + 4 <= n_out:
        r0 = W + j * n_in
        r1, r2, r3 = r0 + n_in, r0 + 2 * n_in, r0 + 3 * n_in
        t0, t1, t2, t3 = _four_dots((room, params, params, params, params), whole, (x, r0, r1, r2, r3), ())
        for k in range(rest, n_in):
            t0 += params[r0 + k] * room[x + k]
            t1 += params[r1 + k] * room[x + k]
            t2 += params[r2 + k] * room[x + k]
            t3 += params[r3 + k] * room[x + k]
        room[y + j] = params[b + j] + t0
        room[y + j + 1] = params[b + j + 1] + t1
        room[y + j + 2] = params[b + j + 2] + t2
        room[y + j + 3] = params[b + j + 3] + t3
        j += 4
    while j < n_out:
        room[y + j] = params[b + j] + _dot(n_in, params, W + j * n_in, room, x)
        j += 1


@inner
def _transposed(n_out, n_in, params, W, room, d, y):
    """room[y:] = W' room[d:], row upon row."""
    whole = whole_of(n_in, params)
    rest = n_in - n_in % (BYTES // params.itemsize)
    first = room[d]
    for k in range(n_in):
        room[y + k] = params[W + k] * first
    j = 1
    while j + 4 <= n_out:
        r0 = W + j * n_in
        r1, r2, r3 = r0 + n_in, r0 + 2 * n_in, r0 + 3 * n_in
        d0, d1, d2, d3 = room[d + j], room[d + j + 1], room[d + j + 2], room[d + j + 3]
        _four_added((room, params, params, params, params), whole, (y, r0, r1, r2, r3), (d0, d1, d2, d3))
        for k in range(rest, n_in):
            now = ((room[y + k] + params[r0 + k] * d0) + params[r1 + k] * d1) + params[r2 + k] * d2
            room[y + k] = now + params[r3 + k] * d3
        j += 4
    while j < n_out:
        add(n_in, room, y, room[d + j], params, W + j * n_in)
        j += 1


@inner
def add(n, y, at, c, x, to):
    """y[at:] += c x[to:]."""
    _added((y, x), whole_of(n, x), (at, to), (c,))
    for k in range(n - n % (BYTES // x.itemsize), n):
        y[at + k] = y[at + k] + c * x[to + k]


@inner
def _outer(n_out, n_in, Z, z, D, room, d, x):
    """ft_outer: one layer of a trace, from Z[z:] on."""
    whole = whole_of(n_in, Z)
    rest = n_in - n_in % (BYTES // Z.itemsize)
    norm = 0.0
    for j in range(n_out):
        at, dj = z + j * n_in, room[d + j]
        if D == 0:
            total = _outer_set((Z, room), whole, (at, x), (dj,))[0]
            for k in range(rest, n_in):
                Z[at + k] = dj * room[x + k]
        else:
            total = _outer_onto((Z, room), whole, (at, x), (D, dj))[0]
            for k in range(rest, n_in):
                Z[at + k] = D * Z[at + k] + dj * room[x + k]
        for k in range(rest, n_in):
            total += abs(Z[at + k])
        norm += total
    bias = z + n_out * n_in
    for j in range(n_out):
        Z[bias + j] = room[d + j] if D == 0 else D * Z[bias + j] + room[d + j]
        norm += abs(Z[bias + j])
    return norm


@inner
def _standardise(n, room, u):
    real = room.dtype.type
    mean = _sum(n, room, u) / real(n)
    for i in range(n):
        room[u + i] = room[u + i] - mean
    variance = np.float64(_dot(n, room, u, room, u) / real(n))
    inverse = real(1.0 / math.sqrt(variance + LAYER_EPSILON))
    for i in range(n):
        room[u + i] = room[u + i] * inverse
    return inverse


@inner
def _unstandardise(n, room, u, inverse, d):
    real = room.dtype.type
    mean, along = _sum(n, room, d) / real(n), _dot(n, room, d, room, u) / real(n)
    for i in range(n):
        room[d + i] = ((room[d + i] - mean) - room[u + i] * along) * inverse


# ---- the network ----


class Net(NamedTuple):
    """An MLP: shape is (activation, layer_norm); room as csrc/neural.h draws it."""

    shape: Any
    sizes: Any
    params: Any
    room: Any


class Plan(NamedTuple):
    """Places in the room."""

    width: int
    a: int
    slope: int
    u: int
    inverse: int
    d: int


@inner
def plan_of(net):
    width = 0
    for layer in range(1, len(net.sizes)):
        width += net.sizes[layer]
    a = net.sizes[0]
    return Plan(width, a, a + width, a + 2 * width, a + 3 * width, a + 3 * width + len(net.sizes) - 1)


@inner
def _activate(activation, n, room, u, a, slope):
    one = room.dtype.type(1)
    if activation == TANH:
        for i in range(n):
            room[a + i] = tanh(room[u + i])
            room[slope + i] = one - room[a + i] * room[a + i]
    else:
        leak = room.dtype.type(LEAK)
        for i in range(n):
            room[slope + i] = one if room[u + i] > 0 else leak
            room[a + i] = room[u + i] * room[slope + i]


@inner
def ahead(net, r):
    """ft_ahead; returns where the outputs stand."""
    x, W, at, last = 0, 0, 0, len(net.sizes) - 1
    for layer in range(1, last + 1):
        n_in, n_out = net.sizes[layer - 1], net.sizes[layer]
        a = r.a + at
        u = a if layer == last else r.u + at
        _affine(n_out, n_in, net.params, W, net.room, x, u)
        if layer != last:
            if net.shape[1]:
                net.room[r.inverse + layer - 1] = _standardise(n_out, net.room, u)
            _activate(net.shape[0], n_out, net.room, u, a, r.slope + at)
        W += n_out * (n_in + 1)
        at += n_out
        x = a
    return x


@inner
def back(net, r, d):
    """ft_back, of the d that begins there."""
    last = len(net.sizes) - 1
    at, W, room = r.width - net.sizes[last], len(net.params), net.room
    for layer in range(last, 1, -1):
        n_in, n_out = net.sizes[layer - 1], net.sizes[layer]
        before = at - n_in
        W -= n_out * (n_in + 1)
        _transposed(n_out, n_in, net.params, W, room, d + at, d + before)
        for k in range(n_in):
            room[d + before + k] = room[d + before + k] * room[r.slope + before + k]
        if net.shape[1]:
            _unstandardise(n_in, room, r.u + before, room[r.inverse + layer - 2], d + before)
        at = before


@inner
def into_trace(net, r, d, D, Z, z):
    x, at, norm = 0, 0, 0.0
    for layer in range(1, len(net.sizes)):
        n_in, n_out = net.sizes[layer - 1], net.sizes[layer]
        norm += _outer(n_out, n_in, Z, z, D, net.room, d + at, x)
        z += n_out * (n_in + 1)
        x = r.a + at
        at += n_out
    return norm


@inner
def gradient_bound(net, r, d):
    x, at, bound = 0, 0, 0.0
    for layer in range(1, len(net.sizes)):
        inputs = np.float64(norm_of(net.sizes[layer - 1], net.room, x))
        outputs = np.float64(norm_of(net.sizes[layer], net.room, d + at))
        bound += outputs * (1.0 if inputs < 1.0 else inputs)
        x = r.a + at
        at += net.sizes[layer]
    return bound


@kernel
def forward_kernel(net, x, y):
    r, m = plan_of(net), net.sizes[-1]
    for i in range(len(x)):
        for k in range(x.shape[1]):
            net.room[k] = x[i, k]
        out = ahead(net, r)
        for k in range(m):
            y[i, k] = net.room[out + k]


@kernel
def gradients_kernel(net, x, dy, y, J):
    r, m, n = plan_of(net), net.sizes[-1], len(net.params)
    zero = net.room.dtype.type(0)
    for k in range(len(x)):
        net.room[k] = x[k]
    out = ahead(net, r)
    for k in range(m):
        y[k] = net.room[out + k]
    for i in range(len(dy)):
        for k in range(m):
            net.room[r.d + r.width - m + k] = dy[i, k]
        back(net, r, r.d)
        into_trace(net, r, r.d, zero, J, i * n)


def _room(sizes: tuple[int, ...], n_traces: int, dtype: Any) -> Any:
    width = sum(sizes[1:])
    return np.zeros(sizes[0] + (3 + n_traces) * width + len(sizes) - 1 + max(sizes), dtype)


def net_of(net: Any, n_traces: int = 1) -> Net:
    shape = np.array([ACTIVATIONS[net.activation], net.layer_norm])
    return Net(shape, np.array(net.sizes), net.params, _room(net.sizes, n_traces, net.dtype))


def _network(net: Any) -> Net:
    if net.handle is None:
        net.handle = net_of(net)
    return net.handle


def forward(net: Any, x: Any) -> Any:
    y = np.empty((len(x), net.sizes[-1]), net.dtype)
    forward_kernel(_network(net), x, y)
    return y


def gradients(net: Any, x: Any, dy: Any) -> tuple[Any, Any]:
    y, J = np.empty(net.sizes[-1], net.dtype), np.empty(len(dy) * net.n_params, net.dtype)
    gradients_kernel(_network(net), x, dy, y, J)
    return y, J.reshape(len(dy), -1)
