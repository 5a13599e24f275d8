"""The learners with two weight vectors, GTD(lambda) and its kin; the twin of csrc/gradient.c and csrc/gq.c.

O(k) a step, whatever lambda; backends.numpy.gradient says what is computed.  Above are the functions for
loops in Numba; below are those that Python calls with a LazyGradient.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import features
from ...layout import BAD_ACTION, BAD_INDEX, BAD_VALUE, OK
from . import kernel, part, policy, refuse, trace, verb
from .gradient_trace import (
    BEHAVIOUR_BEFORE,
    BEHAVIOUR_EPOCH,
    BEHAVIOUR_SCALE,
    DECAY,
    DRIVE,
    DRIVE_V,
    GTD,
    HTD,
    KIND,
    PROXIMAL_GTD2,
    SCALE,
    TDRC,
    TRUE_ONLINE_GTD,
    V_OLD,
    ZBV,
    ZV,
    ZZ,
    ZZB,
    Gradient,
    Numbers,
    bring_up,
    carry_of,
    close,
    decay,
    load,
    push_weights,
    read,
    read_value,
    store,
    width_of,
)
from .gradient_transition import TRANSITIONS, gtd_drive, gtd_write, pushes, td_error, value
from .steps import numbers_ok, quick, row_ok
from .stream import (
    NO_INT64S,
    Rows,
    check_rows,
    check_rows_kernel,
    check_stream,
    has_padding,
    place_of,
    rows_of,
    stream_of,
)
from .trace import COLUMNS, EPOCH, FLAT, OLDEST, WIDTH, N, Place

_NO_DOUBLES = np.empty(0)
_0 = np.uint64(0)
_1 = np.uint64(1)
_2 = np.uint64(2)
_3 = np.uint64(3)
_4 = np.uint64(4)
_5 = np.uint64(5)
_8 = np.uint64(8)


# ---- a whole stream ----


@kernel
def lookahead(t, s):
    """See ft_gradient_ahead."""
    ahead, samples = 6, 64
    n, k = t.counters[N], s.rows.k
    if s.steps < 4 * samples or n < 1 << 14:
        return 0
    kept = 0
    for i in range(samples):
        first = s.steps // samples * i * k
        for j in range(first, first + k):
            kept += s.rows.indices[j] == s.rows.indices[j + k]
    return ahead if n >= 1 << 19 or 2 * kept < samples * k else 0


@functools.cache
def run_kernel(kind, plain):
    """gradient_run(t, s, deltas) of one kind.  Checks nothing; s.steps > 0.

    plain  binary rows of one length without padding
    """
    transition = TRANSITIONS[kind]

    @kernel
    def gradient_run(t, s, deltas):
        indices, values = s.rows.indices, s.rows.values
        steps = np.uint64(s.steps)
        ahead = np.uint64(lookahead(t, s)) if plain else _0
        padded, valued = not plain, not plain and values.size > 0
        per_gamma, per_lambda = np.uint64(s.gammas.size > 1), np.uint64(s.lambdas.size > 1)
        per_rho, per_alpha = np.uint64(s.rhos.size > 1), np.uint64(s.alphas.size > 1)
        h, c = load(t), carry_of(t)
        x = place_of(s.rows, _0, _0, plain)
        for i in range(steps):
            x_next = place_of(s.rows, i + _1, _0, plain)
            if ahead and i + _1 + ahead <= steps:
                for j in range(x_next.k):
                    f = np.uint64(np.uint32(indices[x_next.at + ahead * x_next.k + j]))
                    trace.prefetch(t.rows, width_of(kind) * f)
            n = Numbers(
                s.rewards[i], s.gammas[i * per_gamma], s.lambdas[i * per_lambda],
                s.rhos[i * per_rho], s.alphas[i * per_alpha],
            )  # fmt: skip
            h, c, deltas[i] = transition(
                t, h, c, indices, values, x, indices, values, x_next, n, padded, valued, valued
            )
            x = x_next
        store(t, h, c, s.alphas[(steps - _1) * per_alpha])

    return gradient_run


# ---- GQ(lambda) ----


class Arrival(NamedTuple):
    """Of a stream what a step of GQ's asks of S_{t+1}."""

    rows: Rows
    n_actions: int
    pi: NDArray[np.float64]
    q: NDArray[np.float64]
    policy: int
    parameter: float


@verb
def gq_place(s, i, a, columns, plain):
    """The row of (S_i, a), or of S_i with a column for each action; see ft_gq_row."""
    if columns == _1:
        return place_of(s.rows, i * np.uint64(s.n_actions) + a, _0, plain)
    return place_of(s.rows, i, a, plain)


@verb
def gq_target(t, h, s, i, columns, plain, valued):
    """q of S_i into s.q; without a given policy the learner's own into s.q[A:]."""
    indices, values, A = s.rows.indices, s.rows.values, np.uint64(s.n_actions)
    for a in range(A):
        x = gq_place(s, i, a, columns, plain)
        s.q[a] = read_value(t, h, indices, values, x, columns, not plain, valued, GTD)
    if not s.pi.size:
        for a in range(A):
            s.q[A + a] = policy.probability(s.q, s.n_actions, s.policy, s.parameter, a)


@verb
def gq_transition(t, h, c, indices, values, x, s, i, n, columns, plain, valued, valued_next):
    """From x to S_i of a stream; see ft_gq_transition."""
    A = np.uint64(s.n_actions)
    D = n.rho * c.decay
    h = decay(t, h, D)
    sums = read(t, h, indices, values, x, columns, not plain, valued, GTD, True)
    gq_target(t, h, s, i, columns, plain, valued_next)
    pi, at = (s.pi, i * A) if s.pi.size > 0 else (s.q, A)
    v_next = 0.0
    for a in range(A):
        if pi[at + a] != 0.0:
            v_next += pi[at + a] * s.q[a]
    delta = td_error(n, value(h, sums), v_next)
    c, push = gtd_write(t, h, c, indices, values, x, columns, not plain, valued, n, D, 1.0, sums, delta)
    if pushes(n):
        for a in range(A):
            if pi[at + a] != 0.0:
                y = gq_place(s, i, a, columns, plain)
                push_weights(
                    t, s.rows.indices, s.rows.values, y, columns, not plain, valued_next, GTD,
                    pi[at + a] * push,
                )  # fmt: skip
    return gtd_drive(t, h, n, delta), c, delta


@functools.cache
def gq_kernel(plain):
    """gq_run(t, s, deltas).  Checks nothing; s.steps > 0."""

    @kernel
    def gq_run(t, s, deltas):
        indices, values = s.rows.indices, s.rows.values
        valued = not plain and values.size > 0
        columns = np.uint64(t.counters[COLUMNS])
        per_gamma, per_lambda = np.uint64(s.gammas.size > 1), np.uint64(s.lambdas.size > 1)
        per_rho, per_alpha = np.uint64(s.rhos.size > 1), np.uint64(s.alphas.size > 1)
        steps = np.uint64(s.steps)
        h, c = load(t), carry_of(t)
        for i in range(steps):
            n = Numbers(
                s.rewards[i], s.gammas[i * per_gamma], s.lambdas[i * per_lambda],
                s.rhos[i * per_rho], s.alphas[i * per_alpha],
            )  # fmt: skip
            x = gq_place(s, i, np.uint64(s.actions[i]), columns, plain)
            h, c, deltas[i] = gq_transition(
                t, h, c, indices, values, x, s, i + _1, n, columns, plain, valued, valued
            )
        store(t, h, c, s.alphas[(steps - _1) * per_alpha])

    return gq_run


# ---- one step ----


@verb
def beta_ok(t, alpha, kind):
    """See ft_beta_ok and ft_numbers_ok."""
    if kind == TDRC:
        return t.beta >= 0.0 and t.eta > 0.0 and t.eta * alpha * t.beta < 1.0 and np.isfinite(t.beta)
    return t.beta > 0.0 and np.isfinite(t.beta)


@part
def step_of(
    t, kind, transition, indices, values, indices_next, values_next,
    reward, gamma_next, lambda_next, rho, alpha,
):  # fmt: skip
    """(status, delta); see ft_gradient_step.  Empty values stand for ones."""
    if not row_ok(t, indices) or not row_ok(t, indices_next):
        return BAD_INDEX, 0.0
    if not numbers_ok(reward, gamma_next, lambda_next, rho, alpha) or not beta_ok(t, alpha, kind):
        return BAD_VALUE, 0.0
    x = Place(_0, _0, np.uint64(indices.size), _0)
    x_next = Place(_0, _0, np.uint64(indices_next.size), _0)
    h, c, delta = transition(
        t, load(t), carry_of(t), indices, values, x, indices_next, values_next, x_next,
        Numbers(reward, gamma_next, lambda_next, rho, alpha),
        True, values.size > 0, values_next.size > 0,
    )  # fmt: skip
    store(t, h, c, alpha)
    return OK, delta


@functools.cache
def step_kernel(kind):
    """step_of binary features."""
    transition = TRANSITIONS[kind]

    @kernel
    def step(t, indices, indices_next, reward, gamma_next, lambda_next, rho, alpha, interest):
        # Takes what steps.td_step_kernel takes; there is no interest here.
        return step_of(
            t, kind, transition, indices, _NO_DOUBLES, indices_next, _NO_DOUBLES,
            reward, gamma_next, lambda_next, rho, alpha,
        )  # fmt: skip

    return step


@kernel
def gq_step_kernel(
    t, own, parameter, pi, indices, values, action, indices_next, values_next, action_next,
    reward, gamma_next, lambda_next, rho, alpha, q,
):  # fmt: skip
    """(status, delta); see ft_gq_step.  Empty values stand for ones, an empty pi for the learner's own."""
    if not row_ok(t, indices) or not row_ok(t, indices_next):
        return BAD_INDEX, 0.0
    A = t.counters[COLUMNS]
    if action < 0 or action >= A or action_next < 0 or action_next >= A:
        return BAD_ACTION, 0.0
    if not (
        numbers_ok(reward, gamma_next, lambda_next, rho, alpha) and beta_ok(t, alpha, GTD)
        and (policy.is_policy(pi) if pi.size > 0 else policy.own_ok(own, parameter))
    ):  # fmt: skip
        return BAD_VALUE, 0.0
    rows = Rows(indices_next.size, False, indices_next, values_next, NO_INT64S)
    s = Arrival(rows, A, pi, q, own, parameter)
    x = Place(_0, _0, np.uint64(indices.size), np.uint64(action))
    h, c, delta = gq_transition(
        t, load(t), carry_of(t), indices, values, x, s, _0,
        Numbers(reward, gamma_next, lambda_next, rho, alpha),
        np.uint64(A), False, values.size > 0, values_next.size > 0,
    )  # fmt: skip
    store(t, h, c, alpha)
    return OK, delta


# ---- the arrays as a whole ----


@kernel
def values_kernel(t, rows, count, out):
    """out[r * columns + a] = w.x for rows r of x.  Returns the status."""
    status, _ = check_rows(t, rows, count)
    if status != OK:
        return status
    h = load(t)
    columns = np.uint64(t.counters[COLUMNS])
    valued = rows.values.size > 0
    for r in range(np.uint64(count)):
        for a in range(columns):
            x = place_of(rows, r, a, False)
            if t.counters[KIND] == HTD:
                w = read_value(t, h, rows.indices, rows.values, x, columns, True, valued, HTD)
            elif t.counters[KIND] == TRUE_ONLINE_GTD:
                w = read_value(t, h, rows.indices, rows.values, x, columns, True, valued, TRUE_ONLINE_GTD)
            elif t.counters[KIND] == TDRC or t.counters[KIND] == PROXIMAL_GTD2:
                w = read_value(t, h, rows.indices, rows.values, x, columns, True, valued, TDRC)
            else:
                w = read_value(t, h, rows.indices, rows.values, x, columns, True, valued, GTD)
            out[r * columns + a] = w
    return OK


@kernel
def reset_kernel(t):
    """The traces become empty and v_old is forgotten; w and v stay."""
    s = t.scalars
    close(t, 0.0, s[DRIVE], s[DRIVE_V])
    s[DECAY] = s[ZV] = s[ZZ] = s[ZBV] = s[ZZB] = 0.0
    s[V_OLD] = np.nan
    if t.counters[KIND] == TDRC:
        return
    t.counters[BEHAVIOUR_EPOCH] += 2  # older than one generation: zb is 0
    s[BEHAVIOUR_SCALE] = 1.0
    s[BEHAVIOUR_BEFORE] = 0.0


@kernel
def flatten_kernel(t):
    """Bring every record up to date: afterwards w = b_w, v = b_v and the traces are as they stand."""
    if t.counters[FLAT]:
        return
    s = t.scalars
    close(t, s[SCALE], s[DRIVE], s[DRIVE_V])
    h = load(t)
    width = np.uint64(t.counters[WIDTH])
    for i in range(np.uint64(t.counters[N] * t.counters[COLUMNS])):
        bring_up(t, h, i * width)
        if t.counters[KIND] == HTD:
            t.rows[i * width + _4] *= h.behaviour_scale
        elif t.counters[KIND] == TDRC:
            t.rows[i * width + _1] *= h.behaviour_scale
    s[BEHAVIOUR_SCALE] = 1.0
    s[BEHAVIOUR_BEFORE] = 0.0
    t.counters[OLDEST] = t.counters[EPOCH]
    t.counters[FLAT] = 1


# ---- what Python calls ----


def arrays_of(owner: Any, beta: float = 0.0) -> Gradient:
    """The arrays of a LazyGradient, as the kernels take them."""
    return Gradient(owner.counters, owner.scalars, owner.rows, owner.marks, owner.ring, beta, owner.eta)


def gtd_run(owner: Any, beta: float, stream: features.Stream) -> NDArray[np.float64]:
    deltas = stream.room()
    t, s = arrays_of(owner, beta), stream_of(stream, 0)
    padded = has_padding(stream.rows, check_rows_kernel, t, s.rows, stream.steps + 1)
    plain = not (padded or s.rows.shared or s.rows.values.size or s.rows.indptr.size)
    run_kernel(owner.counters[KIND].item(), plain)(t, s, deltas)
    return deltas


def gq_run(owner: Any, beta: float, stream: features.Stream) -> NDArray[np.float64]:
    deltas = stream.room()
    t, s = arrays_of(owner, beta), stream_of(stream, 2 * stream.n_actions)
    per_state = stream.n_actions if owner.columns == 1 else 1
    padded = has_padding(
        stream.rows, check_stream, t, s.rows, (stream.steps + 1) * per_state, s.actions, s.n_actions
    )  # fmt: skip
    plain = not (padded or s.rows.shared or s.rows.values.size or s.rows.indptr.size)
    gq_kernel(plain)(t, s, deltas)
    return deltas


htd_run = true_online_gtd_run = gtd2_run = gtd_run
gtd2_lambda_run = tdrc_run = proximal_gtd2_run = gtd_run  # the trace knows its kind


def quick_step(owner: Any, beta: float) -> Callable[..., float | None]:
    """One step for the usual input; see quick."""
    return quick(arrays_of(owner, beta), step_kernel(owner.counters[KIND].item()))


def values(owner: Any, rows: features.Rows) -> NDArray[np.float64]:
    """w.x for every row, (rows, columns)."""
    out = np.empty((rows.count, owner.columns))
    refuse(values_kernel(arrays_of(owner), rows_of(rows), rows.count, out.reshape(-1)), rows)
    return out


def reset(owner: Any) -> None:
    reset_kernel(arrays_of(owner))


def flatten(owner: Any) -> None:
    flatten_kernel(arrays_of(owner))
