"""One transition of the linear learners with one weight vector; the twin of csrc/transition.h.

What a kind of trace is, and the order of a step between the four verbs, for all that learns so.
"""

from typing import NamedTuple

import numpy as np

from ...layout import GIVEN, HANDED, KINDS, Options
from . import part, policy, stretch, trace, verb
from .tables import bits, chosen
from .trace import ALPHA, CAP, COLUMNS, DECAY, FOLLOWON, LAMBDA, PI, V_OLD, Place

_0 = np.uint64(0)
_1 = np.uint64(1)
_2 = np.uint64(2)
_3 = np.uint64(3)
_4 = np.uint64(4)

FOLDED, REPLACES, CLEARS, EMPHATIC, TRUE_ONLINE, TAKES_PI = (
    bits(KINDS.values(), column)
    for column in ("folded", "replaces", "clears", "emphatic", "true_online", "takes_pi")
)


@stretch
def replaces(kind):
    return REPLACES >> kind & 1 == 1


@stretch
def clears(kind):
    return CLEARS >> kind & 1 == 1


@stretch
def is_emphatic(kind):
    return EMPHATIC >> kind & 1 == 1


@stretch
def is_true_online(kind):
    return TRUE_ONLINE >> kind & 1 == 1


@stretch
def takes_pi(kind):
    return TAKES_PI >> kind & 1 == 1


@stretch
def reads_once(kind):
    """Whether the read of x_next serves as the next step's read of x: not where kinds are folded."""
    return FOLDED >> kind & 1 == 0


recipe_of = chosen(
    ", ".join(GIVEN), {kind.value: f"({kind.D}, {kind.c}, {kind.beta}, {kind.a})" for kind in KINDS.values()}
)
"""(D, c, beta, a) of a step; see ft_recipe_of."""

handed_on = chosen(", ".join(HANDED), {kind.value: f"({kind.decay}, {kind.kept})" for kind in KINDS.values()})
"""What the next step begins with: the decay, and how much of the followon trace is kept; see ft_hand_on."""


class Numbers(NamedTuple):
    """Of one transition, from S_t to S_{t+1}; see ft_numbers."""

    reward: float
    gamma_next: float
    lambda_next: float
    factor: float
    rho: float
    pi: float
    interest: float
    alpha: float
    options: Options


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
def emphasis(c, interest):
    """The carry with F_t, and M_t; see ft_emphasis."""
    followon = c.followon + interest
    M = c.lambda_ * interest + (1.0 - c.lambda_) * followon
    return Carry(c.decay, c.v_old, followon, c.lambda_, c.cap, c.sums, c.v), M


@verb
def follow(c, n, kind):
    """What the next step begins with; see ft_follow."""
    o = n.options
    decay, kept = handed_on(kind, n.gamma_next, n.lambda_next, n.rho, n.pi, o.c_bar, o.psi, o.beta)
    if not is_emphatic(kind):
        return Carry(decay, c.v_old, c.followon, c.lambda_, c.cap, c.sums, c.v)
    followon = 0.0 if n.gamma_next == 0.0 or kept == 0.0 else kept * c.followon
    return Carry(decay, c.v_old, followon, n.lambda_next, c.cap, c.sums, c.v)


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


# ---- values ----


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
    return trace.begin(t, i, width) + x.column, G + P * h.drive, values[x.values_at + j] if valued else 1.0


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


# ---- the order of a step ----


@stretch
def lambda_of(target, lambda_next, v_next, taken):
    """lambda of the state arrived in; 0 where the target ends the trace.  See ft_lambda_of."""
    kept = lambda_next if taken >= v_next else 0.0
    return kept if policy.cuts(target) else lambda_next


@part
def leave(t, h, c, indices, values, x, n, M, kind, width, padded, valued, carried):
    """Decay the trace, add x, and find v; see ft_leave."""
    D, added, _, _ = recipe_of(
        kind, c.decay, n.factor, n.rho, M, n.alpha, 0.0, 0.0, 0.0, 0.0, n.options.rho_bar
    )  # fmt: skip
    if reads_once(kind):
        v, epoch, kept = trace.value(h, c.sums), h.epoch, c.sums
        h = trace.decay(t, h, D)
        if h.epoch != epoch:
            kept = (v, 0.0)
        inv = 1.0 / h.scale
        if replaces(kind):
            sums = trace.replace(t, h, indices, x, width, padded, clears(kind), added, inv)
        else:
            sums = trace.write(t, h, indices, values, x, width, padded, valued, added, 0.0, inv)
        if not carried:
            v, kept = trace.value(h, sums), sums
        return h, Carry(c.decay, c.v_old, c.followon, c.lambda_, c.cap, kept, v)
    h = trace.decay(t, h, D)
    sums = trace.read(t, indices, values, x, width, padded, valued)
    v = trace.value(h, sums)
    v_old = v if is_true_online(kind) and (D == 0.0 or c.v_old != c.v_old) else c.v_old
    return h, Carry(c.decay, v_old, c.followon, c.lambda_, c.cap, sums, v)


@verb
def error(h, sums, sums_next, n):
    """The TD error where one value of x_next will do, by how it hangs on the drive; see ft_error."""
    gamma = n.gamma_next
    after = 0.0 if gamma == 0.0 else gamma * sums_next[0]
    driven = 0.0 if gamma == 0.0 else gamma * sums_next[1]
    return ((n.reward - sums[0]) + after) + (driven - sums[1]) * h.drive


@part
def arrive(t, h, c, indices, values, x, sums_next, known, v_next, taken, n, M, kind, width, padded, valued):
    """The TD error, and what it changes; see ft_arrive."""
    if reads_once(kind) and not known:
        delta = error(h, c.sums, sums_next, n)
    else:
        delta = n.reward + (0.0 if n.gamma_next == 0.0 else n.gamma_next * v_next) - c.v
    v_old, cap, alpha = c.v_old, c.cap, n.alpha
    if reads_once(kind):
        if cap == cap:
            cap, alpha = capped(
                t, h, c, indices, values, x, sums_next, n.gamma_next, alpha, width, valued
            )  # fmt: skip
        _, _, _, a = recipe_of(
            kind, c.decay, n.factor, n.rho, M, alpha * h.scale, 0.0, c.v, v_old, delta, n.options.rho_bar
        )  # fmt: skip
        h = trace.Hot(h.epoch, h.scale, h.drive + a)
    else:
        ex = c.sums[1] * h.scale
        _, added, beta, a = recipe_of(
            kind, c.decay, n.factor, n.rho, M, alpha, ex, c.v, v_old, delta, n.options.rho_bar
        )  # fmt: skip
        trace.write(t, h, indices, values, x, width, padded, valued, added, beta, 1.0 / h.scale)
        v_old = taken
        h = trace.drive(h, a)
    return h, Carry(c.decay, v_old, c.followon, c.lambda_, cap, sums_next, c.v), delta


@stretch
def transition(
    t, h, c, indices, values, x, indices_next, values_next, x_next, known, v_next, taken, n,
    kind, width, padded, valued, valued_next, carried,
):  # fmt: skip
    """One transition: the trace's state, what it hands to the next, and the TD error.  See ft_transition.

    known   whether v_next and taken, w.x_next as it is, have been read; else they are read here
    """
    M, sums, before = 1.0, (0.0, 0.0), values_before(kind, width)
    if is_emphatic(kind):
        c, M = emphasis(c, n.interest)
    if before and not known:
        v_next = value_before(t, h, indices_next, values_next, x_next, width, padded, valued_next)
        taken = v_next
    h, c = leave(t, h, c, indices, values, x, n, M, kind, width, padded, valued, carried)
    if not before and not known:
        sums = trace.read(t, indices_next, values_next, x_next, width, padded, valued_next)
        v_next = trace.value(h, sums)
        taken = v_next
    h, c, delta = arrive(
        t, h, c, indices, values, x, sums, known, v_next, taken, n, M, kind, width, padded, valued
    )  # fmt: skip
    return h, follow(c, n, kind), delta
