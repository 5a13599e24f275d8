"""Networks and their traces in Numba: the loops of csrc/neural.h, in its order.  See backends.numpy.neural."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from . import jit, kernel
from .plasticity import tanh
from .policy import POLICIES, act, best_of, boltzmann
from .vectors import BYTES, row

LEAK, LAYER_EPSILON, NORM_EPSILON = 0.01, 1e-5, 1e-8
BLOCK = 2048
TANH, LEAKY_RELU = range(2)
ACTIVATIONS = {"tanh": TANH, "leaky_relu": LEAKY_RELU}
SGD, OBGD, ADAPTIVE = range(3)
OPTIMISERS = {"sgd": SGD, "obgd": OBGD, "adaptive_obgd": ADAPTIVE}
TD, SARSA, Q, ACTOR_CRITIC = range(4)
METHODS = {"td": TD, "sarsa": SARSA, "q": Q, "actor_critic": ACTOR_CRITIC}
CUTS = {"never": 0, "next": 1, "taken": 2}
NEVER, NEXT, TAKEN = CUTS.values()
FINE, PARAMS, STATISTICS, DELTA, GRADIENT = range(5)
FAULTS = [None, "parameters", "statistics", "TD error", "gradient"]
BOUND, POWER, STEP, DECAYS = range(4)  # of a head's numbers


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
def _four_jacobians(w):
    rows = [_jacobian_row(str(number), w) for number in range(4)]
    moved = w.load("w")
    for number, z in enumerate(rows):
        moved = moved + w.scalar(f"c{number}") * z
    w.store("w", moved)


@row(("w", "z0", "j0"), ("D0", "c0"), 0)
def _one_jacobian(w):
    z = _jacobian_row("0", w)
    w.store("w", w.load("w") + w.scalar("c0") * z)


@row(("z0", "j0"), ("D0",), 0)
def _only_jacobian(w):
    _jacobian_row("0", w)


@kernel
def _whole(n, x):
    """Vectors of n numbers."""
    return n // (BYTES // x.itemsize)


@kernel
def _dot(n, x, at, y, to):
    whole = _whole(n, x)
    total = _dots((x, y), whole, (at, to), ())[0]
    for k in range(n - n % (BYTES // x.itemsize), n):
        total += x[at + k] * y[to + k]
    return total


@kernel
def _sum(n, x, at):
    total = _totals((x,), _whole(n, x), (at,), ())[0]
    for k in range(n - n % (BYTES // x.itemsize), n):
        total += x[at + k]
    return total


@kernel
def _norm(n, x, at):
    total = _sizes((x,), _whole(n, x), (at,), ())[0]
    for k in range(n - n % (BYTES // x.itemsize), n):
        total += abs(x[at + k])
    return total


@kernel
def _affine(n_out, n_in, params, W, room, x, y):
    """room[y:] = b + W room[x:]; W where the layer's weights begin, b after them."""
    whole, b, j = _whole(n_in, params), W + n_out * n_in, 0
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


@kernel
def _transposed(n_out, n_in, params, W, room, d, y):
    """room[y:] = W' room[d:], row upon row."""
    whole = _whole(n_in, params)
    rest = n_in - n_in % (BYTES // params.itemsize)
    first = room[d]
    for k in range(n_in):
        room[y + k] = params[W + k] * first
    j = 1
    while j + 4 <= n_out:
        r0 = W + j * n_in
        r1, r2, r3 = r0 + n_in, r0 + 2 * n_in, r0 + 3 * n_in
        d0, d1, d2, d3 = room[d + j], room[d + j + 1], room[d + j + 2], room[d + j + 3]
        _four_added(
            (room, params, params, params, params), whole, (y, r0, r1, r2, r3), (d0, d1, d2, d3)
        )
        for k in range(rest, n_in):
            now = ((room[y + k] + params[r0 + k] * d0) + params[r1 + k] * d1) + params[r2 + k] * d2
            room[y + k] = now + params[r3 + k] * d3
        j += 4
    while j < n_out:
        _add(n_in, room, y, room[d + j], params, W + j * n_in)
        j += 1


@kernel
def _add(n, y, at, c, x, to):
    """y[at:] += c x[to:]."""
    _added((y, x), _whole(n, x), (at, to), (c,))
    for k in range(n - n % (BYTES // x.itemsize), n):
        y[at + k] = y[at + k] + c * x[to + k]


@kernel
def _outer(n_out, n_in, Z, z, D, room, d, x):
    """ft_outer: one layer of a trace, from Z[z:] on."""
    whole = _whole(n_in, Z)
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


@kernel
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


@kernel
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


@kernel
def _plan(net):
    width = 0
    for layer in range(1, len(net.sizes)):
        width += net.sizes[layer]
    a = net.sizes[0]
    return Plan(width, a, a + width, a + 2 * width, a + 3 * width, a + 3 * width + len(net.sizes) - 1)


@kernel
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


@kernel
def _ahead(net, r):
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


@kernel
def _back(net, r, d):
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


@kernel
def _into_trace(net, r, d, D, Z, z):
    x, at, norm = 0, 0, 0.0
    for layer in range(1, len(net.sizes)):
        n_in, n_out = net.sizes[layer - 1], net.sizes[layer]
        norm += _outer(n_out, n_in, Z, z, D, net.room, d + at, x)
        z += n_out * (n_in + 1)
        x = r.a + at
        at += n_out
    return norm


@kernel
def _gradient_bound(net, r, d):
    x, at, bound = 0, 0, 0.0
    for layer in range(1, len(net.sizes)):
        inputs = np.float64(_norm(net.sizes[layer - 1], net.room, x))
        outputs = np.float64(_norm(net.sizes[layer], net.room, d + at))
        bound += outputs * (1.0 if inputs < 1.0 else inputs)
        x = r.a + at
        at += net.sizes[layer]
    return bound


@kernel
def _forward(net, x, y):
    r, m = _plan(net), net.sizes[-1]
    for i in range(len(x)):
        for k in range(x.shape[1]):
            net.room[k] = x[i, k]
        out = _ahead(net, r)
        for k in range(m):
            y[i, k] = net.room[out + k]


@kernel
def _gradients(net, x, dy, y, J):
    r, m, n = _plan(net), net.sizes[-1], len(net.params)
    zero = net.room.dtype.type(0)
    for k in range(len(x)):
        net.room[k] = x[k]
    out = _ahead(net, r)
    for k in range(m):
        y[k] = net.room[out + k]
    for i in range(len(dy)):
        for k in range(m):
            net.room[r.d + r.width - m + k] = dy[i, k]
        _back(net, r, r.d)
        _into_trace(net, r, r.d, zero, J, i * n)


def _room(sizes: tuple[int, ...], n_traces: int, dtype: Any) -> Any:
    width = sum(sizes[1:])
    return np.zeros(sizes[0] + (3 + n_traces) * width + len(sizes) - 1 + max(sizes), dtype)


def _net(net: Any, n_traces: int = 1) -> Net:
    shape = np.array([ACTIVATIONS[net.activation], net.layer_norm])
    return Net(shape, np.array(net.sizes), net.params, _room(net.sizes, n_traces, net.dtype))


def _network(net: Any) -> Net:
    if net.handle is None:
        net.handle = _net(net)
    return net.handle


def forward(net: Any, x: Any) -> Any:
    y = np.empty((len(x), net.sizes[-1]), net.dtype)
    _forward(_network(net), x, y)
    return y


def gradients(net: Any, x: Any, dy: Any) -> tuple[Any, Any]:
    y, J = np.empty(net.sizes[-1], net.dtype), np.empty(len(dy) * net.n_params, net.dtype)
    _gradients(_network(net), x, dy, y, J)
    return y, J.reshape(len(dy), -1)


# ---- the trace of a Jacobian ----


@kernel
def _largest_bits(bits, largest):
    best = largest & 0
    for i in range(len(bits)):
        size = bits[i] & largest
        best = size if size > best else best
    return best


def _largest(x: Any) -> float:
    """Largest |x|; infinite where one is not finite.  By the bits, which are in the order of the sizes."""
    kind = np.dtype(f"i{x.itemsize}")
    best = _largest_bits(x.view(kind), kind.type(np.iinfo(kind).max))
    found = float(np.array(best, kind).view(x.dtype))
    return math.inf if math.isnan(found) else found


@kernel
def _jacobian_fits(m, n, Z, J, w, decay, step):
    top = Z.dtype.type(np.inf)
    for i in range(n):
        moved = w[i] if len(w) else Z[0] * 0
        for r in range(m):
            z = decay[r] * Z[r * n + i] + J[r * n + i] if len(J) else Z[r * n + i]
            if not abs(z) < top:
                return False
            if len(w):
                moved = moved + step[r] * z
        if not abs(moved) < top:
            return False
    return True


@kernel
def _jacobian_run(m, n, Z, J, w, D, c):
    for start in range(0, n, BLOCK):
        size = min(n - start, BLOCK)
        whole = _whole(size, Z)
        rest, r = size - size % (BYTES // Z.itemsize), 0
        while len(J) and len(w) and r + 4 <= m:
            z = r * n + start
            memory = (w, Z, Z, Z, Z, J, J, J, J)
            at = (start, z, z + n, z + 2 * n, z + 3 * n, z, z + n, z + 2 * n, z + 3 * n)
            D4, c4 = (D[r], D[r + 1], D[r + 2], D[r + 3]), (c[r], c[r + 1], c[r + 2], c[r + 3])
            _four_jacobians(memory, whole, at, D4 + c4)
            for k in range(rest, size):
                moved = w[start + k]
                for q in range(4):
                    place = z + q * n + k
                    Z[place] = D[r + q] * Z[place] + J[place]
                    moved = moved + c[r + q] * Z[place]
                w[start + k] = moved
            r += 4
        while r < m:
            z = r * n + start
            if not len(J):
                _add(size, w, start, c[r], Z, z)
            elif len(w):
                _one_jacobian((w, Z, J), whole, (start, z, z), (D[r], c[r]))
                for k in range(rest, size):
                    Z[z + k] = D[r] * Z[z + k] + J[z + k]
                    w[start + k] = w[start + k] + c[r] * Z[z + k]
            else:
                _only_jacobian((Z, J), whole, (z, z), (D[r],))
                for k in range(rest, size):
                    Z[z + k] = D[r] * Z[z + k] + J[z + k]
            r += 1


def jacobian_step(trace: Any, jacobian: Any, params: Any, decay: Any, step: Any) -> bool:
    (m, n), Z = trace.Z.shape, trace.memory
    none = np.empty(0, Z.dtype)
    J, w = (none if each is None else each.reshape(-1) for each in (jacobian, params))
    D, c = (none if each is None else each for each in (decay, step))
    top = float(np.finfo(Z.dtype).max)
    fresh = np.zeros(m) if jacobian is None else np.array([_largest(each) for each in J.reshape(m, n)])
    moved = 0.0 if params is None else _largest(w)
    if not (moved <= top and (fresh <= top).all()):
        return False
    bounds = trace.largest[:m].copy()
    with np.errstate(all="ignore"):
        if jacobian is not None:
            bounds = D.astype(float) * bounds + fresh
        if params is not None:
            moved += float(np.abs(c).astype(float) @ bounds)
    if not (moved <= top and (bounds <= top).all()):
        if not _jacobian_fits(m, n, Z, J, w, D, c):
            return False
        bounds = np.array([_largest(each) for each in Z.reshape(m, n)])
        if jacobian is not None:
            bounds = D.astype(float) * bounds + fresh
    _jacobian_run(m, n, Z, J, w, D, c)
    trace.largest[:m] = bounds
    return True
