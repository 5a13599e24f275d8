"""The linear learners with one weight vector; the twin of csrc/transition.h and csrc/linear.c.

O(k) a step, whatever lambda; backends.numpy.linear says what is computed, csrc/fasttrace.h what each call
does.  Above are the functions for loops in Numba; below are those that Python calls with a LazyTrace.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import features
from ...arguments import real
from . import inner, kernel, policy, refuse, trace, verb
from .policy import TAKEN, WATKINS
from .trace import (
    ACCUMULATING,
    ALPHA,
    BAD,
    BAD_ACTION,
    BAD_INDEX,
    BAD_VALUE,
    CAP,
    COLUMNS,
    DECAY,
    DUTCH,
    EMPHATIC,
    FLAT,
    FOLLOWON,
    KINDS,
    LAMBDA,
    OK,
    PI,
    REPLACING_CLEAR,
    SNAP,
    TRUE_ONLINE,
    TRUE_ONLINE_EMPHATIC,
    V_OLD,
    WIDTH,
    N,
    Place,
    Trace,
)  # fmt: skip

_NO_INT32S, _NO_INT64S, _NO_DOUBLES = np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0)
_ONE = np.ones(1)
_0 = np.uint64(0)
_1 = np.uint64(1)
_2 = np.uint64(2)
_3, _4 = np.uint64(3), np.uint64(4)

# ---- one transition: scalars between the verbs ----


class Carry(NamedTuple):
    """What one transition hands to the next, and its first half to its second."""

    decay: float
    v_old: float
    followon: float
    lambda_: float
    cap: float
    sums: tuple[float, float]
    v: float


@verb
def carry_of(t):
    s = t.scalars
    return Carry(s[DECAY], s[V_OLD], s[FOLLOWON], s[LAMBDA], s[CAP], (0.0, 0.0), 0.0)


@verb
def with_sums(c, sums):
    return Carry(c.decay, c.v_old, c.followon, c.lambda_, c.cap, sums, c.v)


@verb
def carry_store(t, h, c, alpha):
    trace.store(t, h)
    t.scalars[DECAY] = c.decay
    t.scalars[V_OLD] = c.v_old
    t.scalars[FOLLOWON] = c.followon
    t.scalars[LAMBDA] = c.lambda_
    t.scalars[CAP] = c.cap
    t.scalars[ALPHA] = alpha
    t.scalars[PI] = 0.0  # those that need one put it there


@verb
def reads_once(kind):
    """Whether the read of x_next serves as the next step's read of x; see ft_reads_once."""
    return kind < DUTCH or kind == EMPHATIC


@verb
def is_emphatic(kind):
    return kind >= EMPHATIC


@verb
def is_true_online(kind):
    return kind in (TRUE_ONLINE, TRUE_ONLINE_EMPHATIC)


@verb
def emphasis(c, interest):
    """The carry with F_t, and M_t; see ft_emphasis."""
    followon = c.followon + interest
    M = c.lambda_ * interest + (1.0 - c.lambda_) * followon
    return Carry(c.decay, c.v_old, followon, c.lambda_, c.cap, c.sums, c.v), M


@verb
def follow(c, rho, gamma_next, lambda_next):
    kept = rho * gamma_next
    followon = 0.0 if kept == 0.0 else kept * c.followon
    return Carry(c.decay, c.v_old, followon, lambda_next, c.cap, c.sums, c.v)


@verb
def capped(t, h, c, indices, values, x, sums_next, gamma_next, alpha, width, valued):
    """The least bound on alpha, and alpha under it; see ft_capped."""
    zx = trace.read(t, indices, values, x, width, True, valued)[1] * h.scale
    zx_next = 0.0 if gamma_next == 0.0 else gamma_next * (sums_next[1] * h.scale)
    moved = zx_next - zx
    cap = c.cap
    if moved < 0.0 and -1.0 / moved < cap:
        cap = -1.0 / moved
    return cap, alpha if alpha < cap else cap


@verb
def leave(t, h, c, indices, values, x, D, weight, kind, width, padded, valued, carried):
    """First half: decay, and v; carried says whether c.sums is the read of x already.  See ft_leave."""
    if reads_once(kind):
        v = trace.value(h, c.sums)
        h = trace.decay(t, h, D)
        inv = 1.0 / h.scale
        if kind in (ACCUMULATING, EMPHATIC):
            sums = trace.write(t, h, indices, values, x, width, padded, valued, weight, 0.0, inv)
        else:
            sums = trace.replace(t, h, indices, x, width, padded, kind == REPLACING_CLEAR, weight, inv)
        if not carried:
            v = trace.value(h, sums)
        return h, Carry(c.decay, c.v_old, c.followon, c.lambda_, c.cap, c.sums, v)
    h = trace.decay(t, h, D)
    sums = trace.read(t, indices, values, x, width, padded, valued)
    v = trace.value(h, sums)
    v_old = v if D == 0.0 or c.v_old != c.v_old else c.v_old
    return h, Carry(c.decay, v_old, c.followon, c.lambda_, c.cap, sums, v)


@verb
def arrive(
    t, h, c, indices, values, x, sums_next, v_next, taken,
    reward, gamma_next, lambda_next, weight, alpha, kind, width, padded, valued,
):  # fmt: skip
    """Second half: the TD error, and what it changes; see ft_arrive."""
    delta = reward + (0.0 if gamma_next == 0.0 else gamma_next * v_next) - c.v
    v_old, cap = c.v_old, c.cap
    if reads_once(kind):
        if cap == cap:
            cap, alpha = capped(
                t, h, c, indices, values, x, sums_next, gamma_next, alpha, width, valued
            )  # fmt: skip
        h = trace.drive(h, alpha * delta)
    else:
        step = alpha * weight
        dv = c.v - c.v_old if is_true_online(kind) else 0.0
        push = step * (1.0 - c.sums[1] * h.scale)
        trace.write(t, h, indices, values, x, width, padded, valued, push, -step * dv, 1.0 / h.scale)
        h = trace.drive(h, delta + dv)
        v_old = taken
    return h, Carry(gamma_next * lambda_next, v_old, c.followon, c.lambda_, cap, sums_next, c.v), delta


@verb
def read_values(t, h, indices, values, x, width, columns, padded, valued, q, at):
    """q[at + a] = w.x of `columns` columns from x.column on, features in twos; see ft_read_values."""
    if width == _4 and columns == _4:
        q[at], q[at + _1], q[at + _2], q[at + _3] = read_four(t, h, indices, values, x, padded, valued)
        return
    for a in range(columns):
        q[at + a] = 0.0
    j = trace.next_active(indices, x, _0, padded)
    while j < x.k:
        r, r_moved, r_size = moved(t, h, indices, values, x, j, width, valued)
        j = trace.next_active(indices, x, j + _1, padded)
        if j == x.k:
            for a in range(columns):
                q[at + a] += r_size * (t.rows[r + a] + t.rows[r + width + a] * r_moved)
            return
        s, s_moved, s_size = moved(t, h, indices, values, x, j, width, valued)
        j = trace.next_active(indices, x, j + _1, padded)
        for a in range(columns):
            q[at + a] += r_size * (t.rows[r + a] + t.rows[r + width + a] * r_moved) + s_size * (
                t.rows[s + a] + t.rows[s + width + a] * s_moved
            )


@verb
def read_four(t, h, indices, values, x, padded, valued):
    """The same of a row of width 4, in registers."""
    q = 0.0, 0.0, 0.0, 0.0
    j = trace.next_active(indices, x, _0, padded)
    while j < x.k:
        both = four_of(t, moved(t, h, indices, values, x, j, _4, valued))
        j = trace.next_active(indices, x, j + _1, padded)
        if j < x.k:
            other = four_of(t, moved(t, h, indices, values, x, j, _4, valued))
            both = both[0] + other[0], both[1] + other[1], both[2] + other[2], both[3] + other[3]
            j = trace.next_active(indices, x, j + _1, padded)
        q = q[0] + both[0], q[1] + both[1], q[2] + both[2], q[3] + both[3]
    return q


@verb
def four_of(t, feature):
    """What one feature adds to the four."""
    r, m, size = feature
    return (
        size * (t.rows[r] + t.rows[r + _4] * m),
        size * (t.rows[r + _1] + t.rows[r + _4 + _1] * m),
        size * (t.rows[r + _2] + t.rows[r + _4 + _2] * m),
        size * (t.rows[r + _3] + t.rows[r + _4 + _3] * m),
    )


@verb
def moved(t, h, indices, values, x, j, width, valued):
    """Where the row of one feature begins, how far its z have moved its weights, and its value."""
    i = np.uint64(np.uint32(indices[x.at + j]))
    G, P = trace.since(t, i)
    return (width + width) * i + x.column, G + P * h.drive, values[x.values_at + j] if valued else 1.0


@verb
def values_before(kind, width):
    """Whether v_next is read before anything changes; see ft_values_before."""
    return width > _1 and not reads_once(kind)


@verb
def value_before(t, h, indices, values, x, width, padded, valued):
    """w.x as read_values has it, of one column."""
    q = 0.0
    j = trace.next_active(indices, x, _0, padded)
    while j < x.k:
        r, r_moved, size = moved(t, h, indices, values, x, j, width, valued)
        both = size * (t.rows[r] + t.rows[r + width] * r_moved)
        j = trace.next_active(indices, x, j + _1, padded)
        if j < x.k:
            s, s_moved, size = moved(t, h, indices, values, x, j, width, valued)
            both += size * (t.rows[s] + t.rows[s + width] * s_moved)
            j = trace.next_active(indices, x, j + _1, padded)
        q += both
    return q


# ---- a whole stream ----


class Rows(NamedTuple):
    """The rows of ft_stream as arrays; empty ones stand for NULL."""

    k: int
    shared: bool
    indices: NDArray[np.int32]
    values: NDArray[np.float64]
    indptr: NDArray[np.int64]


class Stream(NamedTuple):
    """ft_stream; gammas, lambdas, rhos and alphas of length 1 stand for equal entries."""

    steps: int
    rows: Rows
    n_actions: int
    actions: NDArray[np.int32]
    rewards: NDArray[np.float64]
    gammas: NDArray[np.float64]
    lambdas: NDArray[np.float64]
    rhos: NDArray[np.float64]
    alphas: NDArray[np.float64]
    interests: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    target: int
    policy: int
    parameter: float
    pi: NDArray[np.float64]
    q: NDArray[np.float64]


@inner
def check_indices(t, indices, count):
    """OK and whether there is padding, or BAD_INDEX."""
    lowest, highest = np.int32(0), np.int32(-1)
    for i in range(count):
        lowest = min(lowest, indices[i])
        highest = max(highest, indices[i])
    if lowest >= -1 and highest < t.counters[N]:
        return OK, lowest < 0
    for i in range(count):
        if indices[i] < -1 or indices[i] >= t.counters[N]:
            t.counters[BAD] = indices[i]
            break
    return BAD_INDEX, False


@verb
def check_rows(t, rows, count):
    if rows.indptr.size:
        return check_indices(t, rows.indices, rows.indptr[count])
    return check_indices(t, rows.indices, rows.k if rows.shared else count * rows.k)


@kernel
def check_rows_kernel(t, rows, count):
    return check_rows(t, rows, count)


@kernel
def check_stream(t, s, rows):
    for i in range(s.actions.size):
        if s.actions[i] < 0 or s.actions[i] >= s.n_actions:
            return BAD_ACTION, False
    return check_rows(t, s.rows, rows)


@verb
def place_of(rows, r, column, plain):
    """Where row r stands."""
    k = np.uint64(rows.k)
    at = r * k
    if plain:
        return Place(at, at, k, column)
    if rows.indptr.size:
        at = np.uint64(rows.indptr[r])
        k = np.uint64(rows.indptr[r + _1]) - at
    return Place(_0 if rows.shared else at, at, k, column)


@verb
def row_at(s, i, control):
    """The row of S_i, or of (S_i, A_i); rows of state-action pairs."""
    return i * np.uint64(s.n_actions) + np.uint64(s.actions[i]) if control else i


@verb
def place_at(s, i, columns, plain, control):
    """Where the row of S_i stands, or of (S_i, A_i)."""
    if not control:
        return place_of(s.rows, i, _0, plain)
    action = np.uint64(s.actions[i])
    if columns == _1:
        return place_of(s.rows, row_at(s, i, True), _0, plain)
    return place_of(s.rows, i, action, plain)


@verb
def clear_others(t, h, s, i):
    """The traces of what else could have been done in S_t end; rows of state-action pairs."""
    A = np.uint64(s.n_actions)
    for a in range(A):
        if a != np.uint64(s.actions[i]):
            x = place_of(s.rows, i * A + a, _0, False)
            trace.replace(t, h, s.rows.indices, x, _1, True, False, 0.0, 1.0)


@inner
def prefetch_distance(t, s):
    """Steps to look ahead where most features of a step are new to it and w is large, else 0."""
    ahead, samples = 6, 64
    n, k = t.counters[N], s.rows.k
    if s.rows.indptr.size or s.rows.shared or s.steps < 4 * samples or n < 1 << 15:
        return 0
    if n >= 1 << 20:
        return ahead
    kept = 0
    for i in range(samples):
        first = s.steps // samples * i * k
        for j in range(first, first + k):
            kept += s.rows.indices[j] == s.rows.indices[j + k]
    return ahead if 2 * kept < samples * k else 0


STATES, SARSA, ACTIONS = range(3)  # what kernels are compiled for


@verb
def read_actions(t, h, s, i, columns, width, plain, valued):
    """q[a] of S_i for every action."""
    if columns > _1:
        x = place_of(s.rows, i, _0, plain)
        read_values(t, h, s.rows.indices, s.rows.values, x, width, width, not plain, valued, s.q, _0)
        return
    A = np.uint64(s.n_actions)
    for a in range(A):
        x = place_of(s.rows, i * A + a, _0, False)
        read_values(t, h, s.rows.indices, s.rows.values, x, _1, _1, True, valued, s.q, a)


@verb
def target_value(s, i):
    """The value of S_i, from q of its actions."""
    return policy.value_of(
        s.target, s.q, s.n_actions, s.pi, i * np.uint64(s.n_actions), s.pi.size > 0, s.policy, s.parameter
    )  # fmt: skip


@verb
def factor(s, i, pi):
    """The factor of S_i's decay; pi is that of A_i."""
    rho = s.rhos[i * np.uint64(s.rhos.size > 1)]
    sigma = s.sigmas[i * np.uint64(s.sigmas.size > 1)]
    return policy.factor_of(s.target, rho, sigma, pi)


@verb
def pi_of(s, i):
    """pi(A_i|S_i), to be kept; s.q are the values there, for a policy of the learner's own."""
    if s.pi.size and policy.needs_pi(s.target):
        return policy.kept(s.pi[i * np.uint64(s.n_actions) + np.uint64(s.actions[i])])
    return policy.own_pi(s.target, s.q, s.n_actions, s.policy, s.parameter, s.actions[i])


@verb
def first_pi(t, h, s, columns, width, plain, valued):
    """pi(A_0|S_0), as pi_now has it."""
    if not policy.needs_pi(s.target):
        return 0.0
    if not s.pi.size:
        if t.scalars[PI] != 0.0 or t.scalars[DECAY] == 0.0:
            return t.scalars[PI]
        read_actions(t, h, s, _0, columns, width, plain, valued)
    return pi_of(s, _0)


@verb
def learn(t, s, deltas, kind, plain, task, valued):
    """The loop; all after deltas are constants.

    plain  binary rows of one length without padding; where task is ACTIONS, of width 4 as well
    """
    indices, values = s.rows.indices, s.rows.values
    steps = np.uint64(s.steps)
    control = task != STATES
    width = (_4 if plain else np.uint64(t.counters[WIDTH])) if control else _1
    columns = np.uint64(t.counters[COLUMNS]) if control else _1
    ahead = np.uint64(prefetch_distance(t, s)) if plain and not control else _0
    padded = not plain
    per_gamma, per_lambda = np.uint64(s.gammas.size > 1), np.uint64(s.lambdas.size > 1)
    per_rho, per_alpha = np.uint64(s.rhos.size > 1), np.uint64(s.alphas.size > 1)
    per_interest = np.uint64(s.interests.size > 1)
    h, c = trace.load(t), carry_of(t)
    x = place_at(s, _0, columns, plain, control)
    carried = task != ACTIONS
    if reads_once(kind) and carried:
        c = with_sums(c, trace.read(t, indices, values, x, width, padded, valued))
    pi = first_pi(t, h, s, columns, width, plain, valued) if task == ACTIONS else 0.0
    for i in range(steps):
        x_next = place_at(s, i + _1, columns, plain, control)
        if ahead and i + _1 + ahead <= steps:
            for j in range(x_next.k):
                f = np.uint64(np.uint32(indices[x_next.at + ahead * x_next.k + j]))
                trace.prefetch(t.rows, f + f)
                trace.prefetch(t.epochs, f)
        if control and kind == REPLACING_CLEAR and columns == _1:
            clear_others(t, h, s, i)
        rho = s.rhos[i * per_rho]
        gamma_next, lambda_next = s.gammas[i * per_gamma], s.lambdas[i * per_lambda]
        D, weight, v_next, taken, sums = c.decay, 1.0, 0.0, 0.0, (0.0, 0.0)
        before = task == ACTIONS or values_before(kind, width)
        if task == STATES:
            D, weight = rho * c.decay, rho
            if is_emphatic(kind):
                c, M = emphasis(c, s.interests[i * per_interest])
                weight = rho * M
        elif task == ACTIONS:
            D = factor(s, i, pi) * c.decay
            read_actions(t, h, s, i + _1, columns, width, plain, valued)
            v_next = target_value(s, i + _1)
            taken = s.q[s.actions[i + _1]]
            pi = 0.0 if gamma_next == 0.0 else pi_of(s, i + _1)
            if s.target == WATKINS and not taken >= v_next:
                lambda_next = 0.0
        elif before:
            v_next = value_before(t, h, indices, values, x_next, width, padded, valued)
            taken = v_next
        h, c = leave(t, h, c, indices, values, x, D, weight, kind, width, padded, valued, carried)
        if not before:
            sums = trace.read(t, indices, values, x_next, width, padded, valued)
            v_next = trace.value(h, sums)
            taken = v_next
        h, c, deltas[i] = arrive(
            t, h, c, indices, values, x, sums, v_next, taken,
            s.rewards[i], gamma_next, lambda_next, weight, s.alphas[i * per_alpha],
            kind, width, padded, valued,
        )  # fmt: skip
        if is_emphatic(kind):
            c = follow(c, rho, gamma_next, lambda_next)
        x = x_next
    carry_store(t, h, c, s.alphas[(steps - _1) * per_alpha])
    t.scalars[PI] = pi


@functools.cache
def run_kernel(kind, plain, task, valued):
    """td_run(t, s, deltas) of one kind of trace.  Checks nothing; s.steps > 0."""

    @kernel
    def td_run(t, s, deltas):
        learn(t, s, deltas, kind, plain, task, valued)

    return td_run


# ---- a stream of dense features: every row changes on every step, so the trace is kept as it is ----
# Sums run in four lanes, as in C.


@verb
def lane(t, values, x, y, i, s):
    """One lane of (w.x, trace.x, w.y, trace.y), moved on by row i."""
    b, z = t.rows[_2 * i], t.rows[_2 * i + _1]
    x_i, y_i = values[x + i], values[y + i]
    return s[0] + x_i * b, s[1] + x_i * z, s[2] + y_i * b, s[3] + y_i * z


@verb
def total(s0, s1, s2, s3, which):
    return (s0[which] + s1[which]) + (s2[which] + s3[which])


@verb
def dense_read(t, values, x, y, n):
    """w.x, trace.x and w.y for rows of width 1 that are flat; x and y begin there in values."""
    s0 = s1 = s2 = s3 = (0.0, 0.0, 0.0, 0.0)
    whole = n - n % _4
    for i in range(_0, whole, _4):
        s0 = lane(t, values, x, y, i, s0)
        s1 = lane(t, values, x, y, i + _1, s1)
        s2 = lane(t, values, x, y, i + _2, s2)
        s3 = lane(t, values, x, y, i + _3, s3)
    if whole < n:
        s0 = lane(t, values, x, y, whole, s0)
    if whole + _1 < n:
        s1 = lane(t, values, x, y, whole + _1, s1)
    if whole + _2 < n:
        s2 = lane(t, values, x, y, whole + _2, s2)
    return total(s0, s1, s2, s3, 0), total(s0, s1, s2, s3, 1), total(s0, s1, s2, s3, 2)


@verb
def dense_write(t, values, x, n, decay, c, a, beta):
    """trace <- decay trace + c x; w <- w + beta x + a trace."""
    for i in range(n):
        b, z = t.rows[_2 * i] + values[x + i] * beta, t.rows[_2 * i + _1] * decay + values[x + i] * c
        t.rows[_2 * i] = b + z * a
        t.rows[_2 * i + _1] = z + z * 0.0  # as in C: what is infinite becomes NaN


@verb
def dense_snap(t, decay):
    """Clear what would become subnormal, now and then; see ft_dense_snap."""
    t.scalars[SNAP] *= decay
    if t.scalars[SNAP] >= trace.CUT:
        return
    t.scalars[SNAP] = 1.0
    for i in range(np.uint64(t.counters[N])):
        if abs(t.rows[_2 * i + _1]) < 1e-200:
            t.rows[_2 * i + _1] = 0.0


@functools.cache
def dense_run_kernel(kind):
    """run_kernel for shared indices 0 to n - 1 and rows of width 1."""

    @kernel
    def td_run(t, s, deltas):
        n = np.uint64(t.counters[N])
        values, control = s.rows.values, s.actions.size > 0
        per_gamma, per_lambda = np.uint64(s.gammas.size > 1), np.uint64(s.lambdas.size > 1)
        per_rho, per_alpha = np.uint64(s.rhos.size > 1), np.uint64(s.alphas.size > 1)
        per_interest = np.uint64(s.interests.size > 1)
        c = carry_of(t)
        trace.flatten(t)
        for i in range(np.uint64(s.steps)):
            x = n * row_at(s, i, control)
            gamma_next, rho, alpha = s.gammas[i * per_gamma], s.rhos[i * per_rho], s.alphas[i * per_alpha]
            lambda_next = s.lambdas[i * per_lambda]
            decay, weight = rho * c.decay, rho
            if is_emphatic(kind):
                c, M = emphasis(c, s.interests[i * per_interest])
                weight *= M
            if decay == 0.0:  # assign: 0 times infinity is not 0
                for j in range(n):
                    t.rows[_2 * j + _1] = 0.0
            v, zx, v_next = dense_read(t, values, x, n * row_at(s, i + _1, control), n)
            delta = s.rewards[i] + (0.0 if gamma_next == 0.0 else gamma_next * v_next) - v
            v_old = c.v_old
            if reads_once(kind):
                dense_write(t, values, x, n, decay, weight, alpha * delta, 0.0)
            else:
                step, dv = alpha * weight, 0.0
                if is_true_online(kind) and decay != 0.0 and v_old == v_old:
                    dv = v - v_old
                dense_write(t, values, x, n, decay, step * (1.0 - zx * decay), delta + dv, -step * dv)
                v_old = v_next
            dense_snap(t, decay)
            c = Carry(gamma_next * lambda_next, v_old, c.followon, c.lambda_, c.cap, c.sums, c.v)
            if is_emphatic(kind):
                c = follow(c, rho, gamma_next, lambda_next)
            deltas[i] = delta
        h = trace.load(t)
        carry_store(t, h, c, s.alphas[np.uint64(s.steps - 1) * per_alpha])
        t.counters[FLAT] = 1

    return td_run


# ---- one step ----


@verb
def row_ok(t, indices):
    for j in range(np.uint64(indices.size)):
        if indices[j] < -1 or indices[j] >= t.counters[N]:
            t.counters[BAD] = indices[j]
            return False
    return True


@verb
def numbers_ok(reward, gamma, lambda_, rho, alpha):
    return (
        np.isfinite(reward) and gamma >= 0.0 and gamma <= 1.0 and lambda_ >= 0.0 and lambda_ <= 1.0
        and rho >= 0.0 and np.isfinite(rho) and alpha > 0.0 and np.isfinite(alpha)
    )  # fmt: skip


@verb
def one_step(
    t, indices, values, column, indices_next, values_next, column_next,
    reward, gamma_next, lambda_next, rho, interest, alpha, kind, width,
):  # fmt: skip
    x = Place(_0, _0, np.uint64(indices.size), column)
    x_next = Place(_0, _0, np.uint64(indices_next.size), column_next)
    valued = values.size > 0
    h, c = trace.load(t), carry_of(t)
    if reads_once(kind):
        c = with_sums(c, trace.read(t, indices, values, x, width, True, valued))
    valued_next = values_next.size > 0
    sums, v_next, weight = (0.0, 0.0), 0.0, rho
    before = values_before(kind, width)
    if before:
        v_next = value_before(t, h, indices_next, values_next, x_next, width, True, valued_next)
    if is_emphatic(kind):
        c, M = emphasis(c, interest)
        weight = rho * M
    h, c = leave(t, h, c, indices, values, x, rho * c.decay, weight, kind, width, True, valued, True)
    if not before:
        sums = trace.read(t, indices_next, values_next, x_next, width, True, valued_next)
        v_next = trace.value(h, sums)
    h, c, delta = arrive(
        t, h, c, indices, values, x, sums, v_next, v_next,
        reward, gamma_next, lambda_next, weight, alpha, kind, width, True, valued,
    )  # fmt: skip
    if is_emphatic(kind):
        c = follow(c, rho, gamma_next, lambda_next)
    carry_store(t, h, c, alpha)
    return delta


@verb
def td_step(
    t, indices, values, indices_next, values_next, reward, gamma_next, lambda_next, rho, alpha, kind,
    interest=1.0,
):  # fmt: skip
    """(status, delta); see ft_emphatic_td_step.  kind is a constant, empty values stand for ones."""
    if not row_ok(t, indices) or not row_ok(t, indices_next):
        return BAD_INDEX, 0.0
    if not numbers_ok(reward, gamma_next, lambda_next, rho, alpha) or not (
        interest >= 0.0 and np.isfinite(interest)
    ):
        return BAD_VALUE, 0.0
    return OK, one_step(
        t, indices, values, _0, indices_next, values_next, _0,
        reward, gamma_next, lambda_next, rho, interest, alpha, kind, _1,
    )  # fmt: skip


@verb
def transition_ok(t, indices, action, indices_next, action_next, reward, gamma_next, lambda_next, alpha):
    """The status; see ft_check_transition."""
    if not row_ok(t, indices) or not row_ok(t, indices_next):
        return BAD_INDEX
    A = t.counters[COLUMNS]
    if action < 0 or action >= A or action_next < 0 or action_next >= A:
        return BAD_ACTION
    return OK if numbers_ok(reward, gamma_next, lambda_next, 1.0, alpha) else BAD_VALUE


@verb
def sarsa_step(
    t, indices, values, action, indices_next, values_next, action_next,
    reward, gamma_next, lambda_next, alpha, kind,
):  # fmt: skip
    """(status, delta); see ft_sarsa_step.  kind is a constant, empty values stand for ones."""
    status = transition_ok(
        t, indices, action, indices_next, action_next, reward, gamma_next, lambda_next, alpha
    )  # fmt: skip
    if status != OK:
        return status, 0.0
    return OK, one_step(
        t, indices, values, np.uint64(action), indices_next, values_next, np.uint64(action_next),
        reward, gamma_next, lambda_next, 1.0, 1.0, alpha, kind, np.uint64(t.counters[WIDTH]),
    )  # fmt: skip


@verb
def pi_now(t, h, indices, values, x, target, own, parameter, width, padded, valued, q):
    """pi(A_t|S_t) of a learner's own policy as the last step left it, or else under w; see ft_pi_now."""
    if not policy.needs_pi(target):
        return 0.0
    if t.scalars[PI] != 0.0 or t.scalars[DECAY] == 0.0:
        return t.scalars[PI]
    every = Place(x.at, x.values_at, x.k, _0)
    read_values(t, h, indices, values, every, width, width, padded, valued, q, _0)
    return policy.own_pi(target, q, t.counters[COLUMNS], own, parameter, x.column)


@verb
def control_step(
    t, indices, values, action, indices_next, values_next, action_next,
    reward, gamma_next, lambda_next, alpha, kind, target, own, parameter, sigma, q,
):  # fmt: skip
    """(status, delta); see ft_control_step, of targets beyond the action taken."""
    status = transition_ok(
        t, indices, action, indices_next, action_next, reward, gamma_next, lambda_next, alpha
    )  # fmt: skip
    if status != OK:
        return status, 0.0
    n_actions, width = t.counters[COLUMNS], np.uint64(t.counters[WIDTH])
    x = Place(_0, _0, np.uint64(indices.size), np.uint64(action))
    x_next = Place(_0, _0, np.uint64(indices_next.size), np.uint64(action_next))
    every = Place(_0, _0, x_next.k, _0)
    valued, valued_next = values.size > 0, values_next.size > 0
    h, c = trace.load(t), carry_of(t)
    pi = pi_now(t, h, indices, values, x, target, own, parameter, width, True, valued, q)
    D = policy.factor_of(target, 1.0, sigma, pi) * c.decay
    read_values(t, h, indices_next, values_next, every, width, width, True, valued_next, q, _0)
    v_next = policy.value_of(target, q, n_actions, q, _0, False, own, parameter)
    taken = q[action_next]
    if target == WATKINS and not taken >= v_next:
        lambda_next = 0.0
    pi = 0.0 if gamma_next == 0.0 else policy.own_pi(target, q, n_actions, own, parameter, action_next)
    h, c = leave(t, h, c, indices, values, x, D, 1.0, kind, width, True, valued, False)
    h, c, delta = arrive(
        t, h, c, indices, values, x, (0.0, 0.0), v_next, taken,
        reward, gamma_next, lambda_next, 1.0, alpha, kind, width, True, valued,
    )  # fmt: skip
    carry_store(t, h, c, alpha)
    t.scalars[PI] = pi
    return OK, delta


@functools.cache
def td_step_kernel(kind):
    """td_step of binary features."""

    @kernel
    def step(t, indices, indices_next, reward, gamma_next, lambda_next, rho, alpha, interest):
        return td_step(
            t, indices, _NO_DOUBLES, indices_next, _NO_DOUBLES,
            reward, gamma_next, lambda_next, rho, alpha, kind, interest,
        )  # fmt: skip

    return step


@functools.cache
def control_step_kernel(kind, sarsa):
    @kernel
    def step(
        t, indices, values, action, indices_next, values_next, action_next,
        reward, gamma_next, lambda_next, alpha, target, own, parameter, sigma, q,
    ):  # fmt: skip
        if sarsa:
            return sarsa_step(
                t, indices, values, action, indices_next, values_next, action_next,
                reward, gamma_next, lambda_next, alpha, kind,
            )  # fmt: skip
        return control_step(
            t, indices, values, action, indices_next, values_next, action_next,
            reward, gamma_next, lambda_next, alpha, kind, target, own, parameter, sigma, q,
        )  # fmt: skip

    return step


# ---- a trace as a whole ----


@kernel
def values_kernel(t, rows, count, out):
    """out[r * columns + a] = w.x for rows r of x.  Returns the status."""
    status, _ = check_rows(t, rows, count)
    if status != OK:
        return status
    h = trace.load(t)
    width, columns = np.uint64(t.counters[WIDTH]), np.uint64(t.counters[COLUMNS])
    valued = rows.values.size > 0
    for r in range(np.uint64(count)):
        x = place_of(rows, r, _0, False)
        read_values(
            t, h, rows.indices, rows.values, x, width, columns, True, valued, out, r * columns
        )  # fmt: skip
    return OK


# ---- what Python calls ----


def arrays_of(owner: Any) -> Trace:
    """The arrays of a LazyTrace, as the kernels take them."""
    return Trace(owner.counters, owner.scalars, owner.rows, owner.ring, owner.epochs)


def _borrowed(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written to: else a kernel would be compiled anew for arrays that cannot."""
    view = array.view()
    view.flags.writeable = False
    return view


def rows_of(rows: features.Rows) -> Rows:
    return Rows(
        rows.k,
        bool(rows.shared),
        _borrowed(rows.indices),
        _borrowed(_NO_DOUBLES if rows.values is None else rows.values),
        _borrowed(_NO_INT64S if rows.indptr is None else rows.indptr),
    )


def _series(array: NDArray[Any] | None, none: NDArray[Any] = _ONE) -> NDArray[Any]:
    return _borrowed(none if array is None else array)


def stream_of(stream: features.Stream, work: int, target: int = TAKEN) -> Stream:
    """A stream as the kernels take it; work is how many numbers they need for a target policy."""
    return Stream(
        stream.steps,
        rows_of(stream.rows),
        stream.n_actions,
        _borrowed(stream.actions if stream.actions is not None else _NO_INT32S),
        _borrowed(stream.rewards),
        _borrowed(stream.gammas),
        _borrowed(stream.lambdas),
        _series(stream.rhos),
        _borrowed(stream.alphas),
        _series(stream.interests),
        _series(stream.sigmas),
        target,
        policy.POLICIES[stream.own[0]],
        stream.own[1],
        _series(stream.policy, _NO_DOUBLES).reshape(-1),
        np.empty(work),
    )


def has_padding(rows: features.Rows, check: Callable[..., tuple[int, bool]], *given: Any) -> bool:
    """Whether an index is padding; check(*given) looks unless that has been done.  Errors: see refuse."""
    if rows.checked:
        return rows.checked == 2
    status, padded = check(*given)
    refuse(status, rows)
    return bool(padded)


def _run(owner: Any, kind: int, stream: features.Stream, target: int = TAKEN) -> NDArray[np.float64]:
    deltas = stream.room()
    if stream.steps == 0:
        return deltas
    t, control = arrays_of(owner), stream.actions is not None
    s = stream_of(stream, 2 * max(stream.n_actions, owner.width), target)
    per_state = stream.n_actions if control and owner.columns == 1 else 1
    padded = has_padding(stream.rows, check_stream, t, s, (stream.steps + 1) * per_state)
    task = STATES if not control else SARSA if target == TAKEN else ACTIONS
    if s.rows.shared and owner.width == 1 and task != ACTIONS and np.isnan(owner.cap):
        dense_run_kernel(kind)(t, s, deltas)
    else:
        valued = s.rows.values.size > 0
        plain = not (padded or valued or s.rows.indptr.size) and (
            task == STATES or (task == ACTIONS and owner.width == 4)
        )
        run_kernel(kind, plain, task, valued)(t, s, deltas)
    return deltas


def _of_kinds(target: int) -> Callable[..., NDArray[np.float64]]:
    """The run of a kernel whose trace may be of several kinds."""
    return lambda owner, kind, stream: _run(owner, KINDS[kind], stream, target)


def _of_one_kind(kind: int, target: int = TAKEN) -> Callable[..., NDArray[np.float64]]:
    return lambda owner, stream: _run(owner, kind, stream, target)


td_run = sarsa_run = _of_kinds(TAKEN)  # actions in the stream are all that differs
true_online_td_run = true_online_sarsa_run = _of_one_kind(TRUE_ONLINE)
emphatic_td_run = _of_one_kind(EMPHATIC)
true_online_emphatic_td_run = _of_one_kind(TRUE_ONLINE_EMPHATIC)
expected_sarsa_run = _of_kinds(policy.EXPECTED)
true_online_expected_sarsa_run = _of_one_kind(TRUE_ONLINE, policy.EXPECTED)
watkins_q_run = _of_kinds(WATKINS)
naive_q_run = _of_kinds(policy.NAIVE)
tree_backup_run = _of_one_kind(ACCUMULATING, policy.TREE_BACKUP)
retrace_run = _of_one_kind(ACCUMULATING, policy.RETRACE)
q_sigma_run = _of_one_kind(ACCUMULATING, policy.Q_SIGMA)


def quick_td_step(owner: Any, kind: str) -> Callable[..., float | None]:
    return quick(arrays_of(owner), td_step_kernel(KINDS[kind]))


def quick(t: Any, run: Callable[..., tuple[int, float]]) -> Callable[..., float | None]:
    """A step for the usual input, binary int32 features, without a copy.

    run(t, ...) is a td_step_kernel, or takes what it takes.
    The step returns None, having changed nothing, for whatever is not of that form or not allowed.
    """
    array, int32, n = np.ndarray, np.dtype(np.int32), int(t.counters[N])

    def step(
        x: Any, x_next: Any, reward: float, gamma: float, lambda_: float, rho: float, alpha: float,
        interest: float = 1.0,
    ) -> float | None:  # fmt: skip
        # Whatever Numba would compile anew for goes another way: other dtypes and layouts, and integers.
        for each in (x, x_next):
            if type(each) is not array or each.dtype is not int32 or each.ndim != 1 or not each.flags.carray:
                return None
            if each.size == n and features.is_one_hot(each, n):
                return None
        try:
            numbers = [
                each if isinstance(each, float) else real("", each)
                for each in (reward, gamma, lambda_, rho, alpha, interest)
            ]
        except (TypeError, ValueError):
            return None
        status, delta = run(t, x, x_next, *numbers)
        return delta if status == OK else None

    return step


quick_emphatic_td_step = quick_td_step  # the interest is its last argument


def quick_control_step(owner: Any, kind: str, target: str) -> Callable[..., None]:
    """A step from row and action to row and action, all of them checked; a column of weights an action."""
    t, none, aim = arrays_of(owner), _NO_DOUBLES, policy.TARGETS[target]
    run, q = control_step_kernel(KINDS[kind], aim == TAKEN), np.empty(owner.width)

    def step(
        x: features.Row, action: int, x_next: features.Row, action_next: int,
        reward: float, gamma: float, lambda_: float, alpha: float, own: tuple[str, float], sigma: float,
    ) -> None:  # fmt: skip
        status, _ = run(
            t,
            x.indices, none if x.values is None else x.values, action,
            x_next.indices, none if x_next.values is None else x_next.values, action_next,
            reward, gamma, lambda_, alpha, aim, policy.POLICIES[own[0]], own[1], sigma, q,
        )  # fmt: skip
        refuse(status)

    return step


def values(owner: Any, rows: features.Rows) -> NDArray[np.float64]:
    """w.x for every row, (rows, columns)."""
    out = np.empty((rows.count, owner.columns))
    refuse(values_kernel(arrays_of(owner), rows_of(rows), rows.count, out.reshape(-1)), rows)
    return out


def reset(owner: Any) -> None:
    trace.reset(arrays_of(owner))


def flatten(owner: Any) -> None:
    trace.flatten(arrays_of(owner))
