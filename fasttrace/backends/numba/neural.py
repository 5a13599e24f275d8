"""Networks and their traces in Numba: the loops of csrc/neural.h, in its order.  See backends.numpy's."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from . import inner, jit, kernel
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


@inner
def _whole(n, x):
    """Vectors of n numbers."""
    return n // (BYTES // x.itemsize)


@inner
def _dot(n, x, at, y, to):
    whole = _whole(n, x)
    total = _dots((x, y), whole, (at, to), ())[0]
    for k in range(n - n % (BYTES // x.itemsize), n):
        total += x[at + k] * y[to + k]
    return total


@inner
def _sum(n, x, at):
    total = _totals((x,), _whole(n, x), (at,), ())[0]
    for k in range(n - n % (BYTES // x.itemsize), n):
        total += x[at + k]
    return total


@inner
def _norm(n, x, at):
    total = _sizes((x,), _whole(n, x), (at,), ())[0]
    for k in range(n - n % (BYTES // x.itemsize), n):
        total += abs(x[at + k])
    return total


@inner
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


@inner
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
        _four_added((room, params, params, params, params), whole, (y, r0, r1, r2, r3), (d0, d1, d2, d3))
        for k in range(rest, n_in):
            now = ((room[y + k] + params[r0 + k] * d0) + params[r1 + k] * d1) + params[r2 + k] * d2
            room[y + k] = now + params[r3 + k] * d3
        j += 4
    while j < n_out:
        _add(n_in, room, y, room[d + j], params, W + j * n_in)
        j += 1


@inner
def _add(n, y, at, c, x, to):
    """y[at:] += c x[to:]."""
    _added((y, x), _whole(n, x), (at, to), (c,))
    for k in range(n - n % (BYTES // x.itemsize), n):
        y[at + k] = y[at + k] + c * x[to + k]


@inner
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
def _plan(net):
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


@inner
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


@inner
def _into_trace(net, r, d, D, Z, z):
    x, at, norm = 0, 0, 0.0
    for layer in range(1, len(net.sizes)):
        n_in, n_out = net.sizes[layer - 1], net.sizes[layer]
        norm += _outer(n_out, n_in, Z, z, D, net.room, d + at, x)
        z += n_out * (n_in + 1)
        x = r.a + at
        at += n_out
    return norm


@inner
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
    block = BLOCK if m > 4 else n  # what one group of rows reads, nobody reads again
    for start in range(0, n, block):
        size = min(n - start, block)
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


# ---- learners ----


class Head(NamedTuple):
    """ft_head; Z is flat, rule is (alpha, kappa, beta2, epsilon)."""

    net: Net
    traces: int
    optimiser: int
    rule: Any
    Z: Any
    v: Any
    before: Any
    numbers: Any


class Transitions(NamedTuple):
    """ft_network_stream; what has no entries is not there.

    flags    (18,) as FLAGS has them, read and written
    numbers  parameter, u, entropy, lambda_actor
    """

    flags: Any
    numbers: Any
    states: Any
    rewards: Any
    gammas: Any
    lambdas: Any
    moves: Any
    actions: Any
    q: Any
    kept: Any
    deltas: Any
    inputs: Any


FLAGS = (
    "steps", "method", "cut", "n_actions", "choose", "ends", "normalise", "scale", "normal", "policy",
    "action", "action_next", "greedy", "was_greedy", "done", "with_actor",
)  # fmt: skip
(
    F_STEPS, F_METHOD, F_CUT, F_N_ACTIONS, F_CHOOSE, F_ENDS, F_NORMALISE, F_SCALE, F_NORMAL, F_POLICY,
    F_ACTION, F_ACTION_NEXT, F_GREEDY, F_WAS_GREEDY, F_DONE, F_WITH_ACTOR,
) = range(len(FLAGS))  # fmt: skip
PARAMETER, U, ENTROPY, LAMBDA_ACTOR = range(4)
HELD, COUNT, DISCOUNTED, REWARD_COUNT, REWARD_MEAN, REWARD_P, FIRST = range(7)  # of what is kept


@inner
def _averaged(count, mean, p, x):
    before = x - mean
    mean += before / count
    return mean, p + before * (x - mean)


@inner
def _scaled(x, count, p):
    return x / math.sqrt((1.0 if count < 2.0 else p / (count - 1.0)) + NORM_EPSILON)


@inner
def _arrive(kept, n, states, t, normalise):
    """A state comes in; whether all stays finite.  mean, p, raw, now and next follow each other in kept."""
    mean, p, raw, after = FIRST, FIRST + n, FIRST + 2 * n, FIRST + 4 * n
    for i in range(n):
        kept[raw + i] = states[t, i]
        kept[after + i] = states[t, i]
    if not normalise:
        return True
    fine = True
    kept[COUNT] += 1.0
    for i in range(n):
        x = states[t, i]
        kept[mean + i], kept[p + i] = _averaged(kept[COUNT], kept[mean + i], kept[p + i], x)
        fine &= kept[p + i] < np.inf
        kept[after + i] = _scaled(x - kept[mean + i], kept[COUNT], kept[p + i])
    return fine


@inner
def _softmax_gradient(y, at, n, action, entropy):
    best = y[at]
    for a in range(1, n):
        best = y[at + a] if y[at + a] > best else best
    total = 0.0
    for a in range(n):
        total += math.exp((y[at + a] - best) / 1.0)
    log_total, H = math.log(total), 0.0
    for a in range(n):
        log_pi = (y[at + a] - best) - log_total
        H -= math.exp(log_pi) * log_pi
    for a in range(n):
        log_pi = (y[at + a] - best) - log_total
        pi = math.exp(log_pi)
        y[at + a] = ((1.0 if a == action else 0.0) - pi) - entropy * (pi * (log_pi + H))


@inner
def _normal_gradient(y, at, k, moves, t, entropy):
    for i in range(k):
        raw = y[at + k + i]
        rest = math.exp(-abs(raw))
        sigma = (raw if raw > 0.0 else 0.0) + math.log1p(rest)
        slope = (1.0 if raw > 0.0 else rest) / (1.0 + rest)
        off = (moves[t, i] - y[at + i]) / sigma
        y[at + i] = off / sigma
        y[at + k + i] = ((off * off - 1.0) + entropy) / sigma * slope


@inner
def _head_fits(h, r):
    """Whether traces and parameters stay finite, entry by entry."""
    net, n, m = h.net, len(h.net.params), h.traces
    real, top = net.params.dtype.type, net.params.dtype.type(np.inf)
    x, at, i = 0, 0, 0
    for layer in range(1, len(net.sizes)):
        n_in, n_out = net.sizes[layer - 1], net.sizes[layer]
        for e in range(n_out * (n_in + 1)):
            bias = e >= n_out * n_in
            j = e - n_out * n_in if bias else e // n_in
            given = real(1) if bias else net.room[x + e % n_in]
            w = net.params[i]
            for q in range(m):
                g, decay = net.room[r.d + q * r.width + at + j] * given, real(h.numbers[DECAYS + q])
                z = g if decay == 0 else decay * h.Z[q * n + i] + g
                if not abs(z) < top:
                    return False
                w = w + real(h.numbers[DECAYS + 2 * m + q]) * z
            if not abs(w) < top:
                return False
            i += 1
        x = r.a + at
        at += n_out
    return True


@inner
def _largest_of(x, at, n):
    best = 0.0
    for i in range(n):
        size = np.float64(abs(x[at + i]))
        if not size < np.inf:
            return np.inf
        best = size if size > best else best
    return best


@inner
def _prepare(h, r, deltas, t, top):
    """ft_prepare: the way back for every trace, and whether a step by deltas[t] may be taken."""
    m, numbers = h.traces, h.numbers
    bound, step, fresh = DECAYS + m, DECAYS + 2 * m, DECAYS + 3 * m
    moved, fits = numbers[BOUND], True
    for q in range(m):
        d = r.d + q * r.width
        _back(h.net, r, d)
        numbers[fresh + q] = _gradient_bound(h.net, r, d)
        decay = numbers[DECAYS + q]
        z = numbers[fresh + q] if decay == 0.0 else decay * numbers[bound + q] + numbers[fresh + q]
        fits &= z <= top
        numbers[step + q] = h.rule[0] * deltas[t, q] if h.optimiser == SGD else 0.0
        moved += abs(numbers[step + q]) * z if h.optimiser == SGD else 1.0 / h.rule[1]
        if h.optimiser == ADAPTIVE:
            fits &= (deltas[t, q] * z) * (deltas[t, q] * z) <= top
    if fits and moved <= top:
        return True
    if not _head_fits(h, r):
        return False
    n = len(h.net.params)
    for q in range(m):
        numbers[bound + q] = _largest_of(h.Z, q * n, n)
        if h.optimiser == ADAPTIVE:
            z = numbers[DECAYS + q] * numbers[bound + q] + numbers[fresh + q]
            if not (deltas[t, q] * z) * (deltas[t, q] * z) <= top:
                return False
    numbers[BOUND] = _largest_of(h.net.params, 0, n)
    return True


@inner
def _second_moments(h, delta, inverse):
    real = h.Z.dtype.type
    keep, part, epsilon = real(h.rule[2]), real(1.0 - h.rule[2]), real(h.rule[3])
    n = len(h.net.params)
    for i in range(n):
        g = delta * h.Z[i]
        h.v[i] = keep * h.v[i] + part * (g * g)
        h.v[n + i] = h.Z[i] / math.sqrt(h.v[i] * inverse + epsilon)
    return np.float64(_norm(n, h.v, n))


@inner
def _commit(h, r, deltas, t):
    """What _prepare allowed."""
    m, n, numbers, real = h.traces, len(h.net.params), h.numbers, h.Z.dtype.type
    bound, step, fresh = DECAYS + m, DECAYS + 2 * m, DECAYS + 3 * m
    params, norm = h.net.params, 0.0
    for q in range(m):
        decay = numbers[DECAYS + q]
        before = 0.0 if decay == 0.0 else decay * numbers[bound + q]
        numbers[bound + q] = before + numbers[fresh + q]
        norm += _into_trace(h.net, r, r.d + q * r.width, real(decay), h.Z, q * n)
    if h.optimiser == SGD:
        for q in range(m):
            numbers[BOUND] += abs(numbers[step + q]) * numbers[bound + q]
            _add(n, params, 0, real(numbers[step + q]), h.Z, q * n)
        return
    delta = deltas[t, 0]
    if h.optimiser == ADAPTIVE:
        numbers[POWER] *= h.rule[2]
        inverse = 1.0 / (1.0 - numbers[POWER])
        norm = _second_moments(h, real(delta), real(inverse))
    M = h.rule[0] * h.rule[1] * (abs(delta) if abs(delta) > 1.0 else 1.0) * norm
    alpha = h.rule[0] / M if M > 1.0 else h.rule[0]
    c = real(alpha * delta)
    numbers[STEP] = alpha
    numbers[BOUND] += 1.0 / h.rule[1]
    if h.optimiser == OBGD:
        _add(n, params, 0, c, h.Z, 0)
    else:
        _add(n, params, 0, c, h.v, n)


@inner
def _look(h, r, kept, at):
    room = h.net.room
    for i in range(h.net.sizes[0]):
        room[i] = kept[at + i]
    return _ahead(h.net, r)


@inner
def _check(h, top):
    bound = np.float64(_norm(len(h.net.params), h.net.params, 0))
    if not bound <= top:
        bound = _largest_of(h.net.params, 0, len(h.net.params))
    h.numbers[BOUND] = bound
    return bound <= top


@inner
def _next_value(critic, actor, rc, ra, s, at, t):
    """ft_next_value: what the state at kept[at:] is worth, into the end of q; the action there."""
    f, q, m = s.flags, s.q, critic.net.sizes[-1]
    v = len(q) - critic.traces
    y, room = _look(critic, rc, s.kept, at), critic.net.room
    if f[F_METHOD] == TD or f[F_METHOD] == ACTOR_CRITIC:
        for k in range(critic.traces):
            q[v + k] = room[y + k]
        if not f[F_WITH_ACTOR] or not f[F_CHOOSE]:
            return
        h = _look(actor, ra, s.kept, at)
        for a in range(f[F_N_ACTIONS]):
            q[a] = actor.net.room[h + a]
        if not f[F_NORMAL]:
            f[F_ACTION_NEXT] = boltzmann(q, f[F_N_ACTIONS], 1.0, s.numbers[U])
        return
    for a in range(m):
        q[a] = room[y + a]
    if f[F_CHOOSE]:
        f[F_ACTION_NEXT] = act(q, m, f[F_POLICY], s.numbers[PARAMETER], s.numbers[U])
    else:
        f[F_ACTION_NEXT] = s.actions[t]
    best = best_of(q, m)
    f[F_GREEDY] = q[f[F_ACTION_NEXT]] >= best
    q[v] = best if f[F_METHOD] == Q else q[f[F_ACTION_NEXT]]


@inner
def _transition(critic, actor, rc, ra, s, t, there, top):
    """ft_transition, from what is now in kept to what is next."""
    f, kept, deltas, numbers = s.flags, s.kept, s.deltas, critic.numbers
    n, m, n_out = critic.net.sizes[0], critic.traces, critic.net.sizes[-1]
    now, after = FIRST + 3 * n, FIRST + 4 * n
    gt, lt = min(t, len(s.gammas) - 1), min(t, len(s.lambdas) - 1)
    go, lo = s.gammas.shape[1] > 1, s.lambdas.shape[1] > 1
    scaled = s.rewards[t, 0]
    if f[F_SCALE]:
        gamma = s.gammas[gt, 0]
        kept[DISCOUNTED] = (0.0 if gamma == 0.0 else kept[DISCOUNTED] * gamma) + scaled
        kept[REWARD_COUNT] += 1.0
        kept[REWARD_MEAN], kept[REWARD_P] = _averaged(
            kept[REWARD_COUNT], kept[REWARD_MEAN], kept[REWARD_P], kept[DISCOUNTED]
        )
        if not kept[REWARD_P] < np.inf:
            return STATISTICS
        scaled = _scaled(scaled, kept[REWARD_COUNT], kept[REWARD_P])
    judges = f[F_METHOD] == Q and f[F_CUT] == TAKEN
    values = there and (f[F_CHOOSE] != 0 or judges)
    for q in range(m):
        values |= s.gammas[gt, q * go] != 0.0
    f[F_GREEDY] = 1
    action = f[F_ACTION]
    if values:
        _next_value(critic, actor, rc, ra, s, after, t + 1)
    v = len(s.q) - m
    y, room = _look(critic, rc, kept, now), critic.net.room
    one = room.dtype.type(1)
    for q in range(m):
        gamma = s.gammas[gt, q * go]
        output = q if f[F_METHOD] == TD else (0 if f[F_METHOD] == ACTOR_CRITIC else action)
        R = scaled if f[F_SCALE] else s.rewards[t, q]
        deltas[t, q] = (R if gamma == 0.0 else R + gamma * s.q[v + q]) - np.float64(room[y + output])
        if not abs(deltas[t, q]) <= top:
            return DELTA
        dy = rc.d + (q + 1) * rc.width - n_out
        for j in range(n_out):
            room[dy + j] = one if j == output else one - one
    if not _prepare(critic, rc, deltas, t, top):
        return GRADIENT
    if f[F_WITH_ACTOR]:
        h, A, g = _look(actor, ra, kept, now), f[F_N_ACTIONS], s.q
        sign = 1.0 if deltas[t, 0] > 0.0 else (-1.0 if deltas[t, 0] < 0.0 else 0.0)
        entropy = sign * s.numbers[ENTROPY]
        for a in range(A):
            g[A + a] = actor.net.room[h + a]
        if f[F_NORMAL]:
            _normal_gradient(g, A, A // 2, s.moves, t, entropy)
        else:
            _softmax_gradient(g, A, A, action, entropy)
        for a in range(A):
            actor.net.room[ra.d + ra.width - A + a] = g[A + a]
        if not _prepare(actor, ra, deltas, t, top):
            return GRADIENT
        _commit(actor, ra, deltas, t)
        actor.numbers[DECAYS] = s.gammas[gt, 0] * s.numbers[LAMBDA_ACTOR]
    _commit(critic, rc, deltas, t)
    cut = (f[F_CUT] == NEXT and not f[F_GREEDY]) or (f[F_CUT] == TAKEN and not f[F_WAS_GREEDY])
    for q in range(m):
        numbers[DECAYS + q] = 0.0 if cut else s.gammas[gt, q * go] * s.lambdas[lt, q * lo]
    f[F_WAS_GREEDY] = f[F_GREEDY]
    return FINE


@inner
def _begin(critic, actor, rc, ra, s, n):
    f, kept = s.flags, s.kept
    same = kept[HELD] != 0.0
    for i in range(n):
        same &= kept[FIRST + 2 * n + i] == s.states[0, i]
    if same:
        return True
    if not _arrive(kept, n, s.states, 0, f[F_NORMALISE]):
        return False
    for i in range(n):
        kept[FIRST + 3 * n + i] = kept[FIRST + 4 * n + i]
    kept[HELD] = 1.0
    f[F_WAS_GREEDY] = 1
    judges = f[F_METHOD] == Q and f[F_CUT] == TAKEN
    if (f[F_STEPS] == 0) if f[F_CHOOSE] else judges:
        _next_value(critic, actor, rc, ra, s, FIRST + 4 * n, 0)
        f[F_WAS_GREEDY] = f[F_GREEDY]
    return True


@jit
def _network_run(critic, actor, s, top):
    """ft_network_run; returns what was not finite."""
    f, kept, n = s.flags, s.kept, critic.net.sizes[0]
    size = len(kept) // 2
    rc, ra = _plan(critic.net), _plan(actor.net)
    if not _check(critic, top) or (f[F_WITH_ACTOR] and not _check(actor, top)):
        return PARAMS
    steps = f[F_STEPS]
    for t in range(0 if steps else -1, steps):
        for i in range(size):
            kept[size + i] = kept[i]
        there = not (f[F_ENDS] and t == steps - 1)
        fault = FINE
        if t <= 0 and not _begin(critic, actor, rc, ra, s, n):
            fault = STATISTICS
        elif t >= 0:
            if not f[F_CHOOSE] and len(s.actions):
                f[F_ACTION] = s.actions[t]
            if there and not _arrive(kept, n, s.states, t + 1, f[F_NORMALISE]):
                fault = STATISTICS
            else:
                if t == steps - 1 and len(critic.before):
                    for i in range(len(critic.before)):
                        critic.before[i] = critic.net.params[i]
                fault = _transition(critic, actor, rc, ra, s, t, there, top)
        if fault != FINE:
            for i in range(size):
                kept[i] = kept[size + i]
            return fault
        if t < 0:
            break
        for i in range(n):
            if len(s.inputs):
                s.inputs[t, i] = kept[FIRST + 3 * n + i]
            if there:
                kept[FIRST + 3 * n + i] = kept[FIRST + 4 * n + i]
        if not there:
            kept[HELD] = 0.0
        f[F_DONE] = t + 1
    return FINE


def _head(head: Any, before: Any) -> Head:
    none = head.v[:0]
    return Head(
        _net(head.net, head.n_traces), head.n_traces, OPTIMISERS[head.optimiser], np.zeros(4), head.memory,
        head.moments, none if before is None else before, head.numbers,
    )  # fmt: skip


def _handle(trace: Any) -> Any:
    """The arrays of a learner as the kernels take them, made once."""
    if trace.handle is None:
        heads = [_head(head, trace.before if head is trace.critic else None) for head in trace.heads]
        q = np.zeros(2 * max(head.net.n_outputs for head in trace.heads) + trace.critic.n_traces)
        top = float(np.finfo(trace.critic.net.dtype).max)
        trace.handle = (heads, np.zeros(len(FLAGS), np.int64), np.zeros(4), q, top)
    return trace.handle


_NO_ROWS, _NO_ACTIONS = np.empty((0, 0)), np.empty(0, np.int32)


def network_run(trace: Any, stream: Any) -> str | None:
    heads, flags, numbers, q, top = _handle(trace)
    for each, head in zip(heads, trace.heads, strict=True):
        each.rule[:] = head.alpha, head.kappa, head.beta2, head.epsilon
    policy, parameter = (0, 0.0) if stream.own is None else (POLICIES[stream.own[0]], stream.own[1])
    flags[:] = (
        stream.steps, METHODS[stream.method], CUTS[stream.cut], stream.n_actions, stream.own is not None,
        stream.ends, stream.normalise, stream.scale, stream.normal, policy, stream.action, 0, 1,
        trace.was_greedy, 0, len(heads) > 1,
    )  # fmt: skip
    numbers[:] = parameter, stream.u, stream.entropy, stream.lambda_actor
    moves, inputs = (_NO_ROWS if each is None else each for each in (stream.moves, stream.inputs))
    s = Transitions(
        flags, numbers, stream.states, stream.rewards, stream.gammas, stream.lambdas, moves,
        _NO_ACTIONS if stream.actions is None else stream.actions, q, trace.kept.whole, stream.deltas, inputs,
    )  # fmt: skip
    fault = _network_run(heads[0], heads[-1], s, top)
    trace.was_greedy, stream.done = bool(flags[F_WAS_GREEDY]), int(flags[F_DONE])
    stream.action_next, stream.q = int(flags[F_ACTION_NEXT]), q
    return FAULTS[fault]
