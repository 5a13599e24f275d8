"""Step sizes that learn: SwiftTD, TIDBD and Autostep; the twin of csrc/adaptive.c.

backends.numpy.adaptive says what is computed, csrc/fasttrace.h what the arrays hold.  Above are the functions
for loops in Numba; below are those that Python calls with a fasttrace.linear.adaptive_trace.ListedSteps.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import features
from ...arguments import actions_array, real
from ...layout import BAD_ACTION, BAD_INDEX, BAD_VALUE, OK
from . import kernel, part, refuse, verb
from .adaptive_list import (
    ALPHA,
    AUTOSTEP,
    BAD,
    BEFORE,
    COLUMNS,
    DECAY,
    DRIVE,
    DRIVE_BEFORE,
    ETA,
    ETA_MIN,
    FADED,
    KINDS,
    LAST,
    META,
    SCALE,
    SHRINK,
    SLACK,
    SLOT,
    STEP,
    SWIFT,
    TAU,
    TIDBD,
    V_OLD,
    Z_BAR,
    B,
    H,
    N,
    Steps,
    Warm,
    Z,
    _0,
    _1,
    _8,
    adapt_all,
    exp,
    relist_kernel,
    row_of,
    slot_of,
    woken,
)
from .stream import NO_DOUBLES, NO_INT32S, Rows, borrowed, has_padding, place_of, row_at, rows_of
from .trace import Place

# ---- reading ----


@verb
def value(t, h, indices, values, x, padded, valued):
    columns = np.uint64(t.counters[COLUMNS])
    v = 0.0
    for j in range(x.k):
        i = indices[x.at + j]
        if padded and i < 0:
            continue
        r = _8 * (np.uint64(np.uint32(i)) * columns + x.column)
        w = t.rows[r + B] + t.rows[r + Z] * h.drive
        v += values[x.values_at + j] * w if valued else w
    return v


@verb
def gather(t, h, indices, values, x, kind, padded, valued):
    """The active rows, each once, into t.active and t.x: (how many, w.x, z.x, SwiftTD's tau)."""
    columns = np.uint64(t.counters[COLUMNS])
    now, drive_before = np.float64(t.counters[STEP]), t.scalars[DRIVE_BEFORE]
    rows = t.rows
    m = _0
    v, zx, tau = 0.0, 0.0, 0.0
    twice = False
    for j in range(x.k):
        if padded and indices[x.at + j] < 0:
            continue
        i = np.uint64(np.uint32(indices[x.at + j])) * columns + x.column
        r = _8 * i
        size = values[x.values_at + j] if valued else 1.0
        v += size * (rows[r + B] + rows[r + Z] * h.drive)
        zx += size * rows[r + Z]
        if rows[r + LAST] == now:
            seen = _0
            while t.active[seen] != np.int32(i):
                seen += _1
            t.x[seen] += size
            twice = True
            continue
        if kind == SWIFT:
            if rows[r + LAST] != now - 1.0:
                rows[r + BEFORE] = rows[r + H] + rows[r + Z_BAR] * drive_before
            if rows[r + SLOT] != 0.0:
                rows[r + ALPHA] = 1.0 / t.inverse[np.uint64(rows[r + SLOT]) - _1]
            tau += rows[r + ALPHA] * size * size
        rows[r + LAST] = now
        t.active[m] = np.int32(i)
        t.x[m] = size
        m += _1
    if kind == SWIFT and twice:
        tau = 0.0
        for j in range(m):
            tau += rows[row_of(t.active[j]) + ALPHA] * t.x[j] * t.x[j]
    return m, v, zx * h.scale, tau


# ---- SwiftTD ----


@verb
def swift_write(t, h, m, zx, tau, dv):
    """The m active rows meet their traces; dv = v - v_old, zx = z.x."""
    rows = t.rows
    eta, shrink, eta_min = t.scalars[ETA], t.scalars[SHRINK], t.scalars[ETA_MIN]
    over = tau > eta * SLACK
    rate = eta / tau if over else 1.0
    inv = 1.0 / h.scale
    for j in range(m):
        r = row_of(t.active[j])
        x = t.x[j]
        z_delta = rate * rows[r + ALPHA] * x
        now = rows[r + H] + rows[r + Z_BAR] * h.drive
        before = rows[r + BEFORE]
        if x == 0.0:
            rows[r + BEFORE] = now
            continue
        if over:
            now = before = 0.0
            rows[r + Z_BAR] = 0.0
            rows[r + ALPHA] *= shrink if x == 1.0 else math.exp(x * x * math.log(shrink))
            rows[r + ALPHA] = eta_min if rows[r + ALPHA] < eta_min else rows[r + ALPHA]
        z_bar = rows[r + Z_BAR] * h.scale
        dz = z_delta * (1.0 - zx) * inv
        rows[r + Z] += dz
        rows[r + B] -= h.drive * dz + z_delta * dv
        rows[r + Z_BAR] += z_delta * (1.0 - zx - x * z_bar) * inv
        rows[r + H] = (
            now
            - before * x * (rows[r + Z] * h.scale - z_delta)
            - now * x * z_delta
            - z_delta * dv
            - rows[r + Z_BAR] * h.drive
        )
        rows[r + BEFORE] = now
        news = over or rows[r + SLOT] == 0.0
        slot = woken(t, r, t.active[j])
        t.p[slot] += x * before * inv
        if news:
            t.inverse[slot] = 1.0 / rows[r + ALPHA]
        t.fresh[slot] = inv


NORMAL = float(np.finfo(float).tiny)


# ---- TIDBD and Autostep: step sizes change where features are active ----


@verb
def autostep_alpha(t, r, x, gradient):
    rows = t.rows
    if abs(gradient) < NORMAL:  # few of its digits are left, and the step goes by its ratio
        gradient = 0.0
    size, alpha = abs(gradient), rows[r + ALPHA]
    kept = rows[r + BEFORE] + alpha * x * x / t.scalars[TAU] * (size - rows[r + BEFORE])
    rows[r + BEFORE] = size if size > kept else kept
    return alpha * exp(t.scalars[META] * (gradient / rows[r + BEFORE])) if rows[r + BEFORE] > 0.0 else alpha


@verb
def delta_bar_write(t, h, m, delta, kind):
    rows = t.rows
    inv = 1.0 / h.scale
    rate = 0.0  # sum of alpha z x: what the step takes off delta
    for j in range(m):
        r = row_of(t.active[j])
        x = t.x[j]
        now = rows[r + H] + rows[r + Z] * h.drive
        if x == 0.0:
            continue
        rows[r + H] = now
        rows[r + B] += rows[r + Z] * h.drive
        rows[r + Z_BAR] += x * inv
        if kind == TIDBD:
            rows[r + ALPHA] *= exp(t.scalars[META] * (delta * x * now))
        else:
            rows[r + ALPHA] = autostep_alpha(t, r, x, delta * x * now)
        rate += rows[r + ALPHA] * (rows[r + Z_BAR] * h.scale) * x
    most = rate if kind == AUTOSTEP and rate > 1.0 else 1.0
    for j in range(m):
        r = row_of(t.active[j])
        x = t.x[j]
        if x == 0.0:
            continue
        rows[r + ALPHA] /= most
        rows[r + Z] = rows[r + ALPHA] * rows[r + Z_BAR]
        left = 1.0 - x * (rows[r + Z] * h.scale)
        rows[r + H] = (rows[r + H] * left if left > 0.0 else 0.0) - rows[r + Z] * h.drive
        rows[r + B] -= rows[r + Z] * h.drive
        t.fresh[slot_of(t, r, t.active[j])] = inv


# ---- one transition ----


@part
def learn(
    t, indices, values, x, indices_next, values_next, x_next,
    reward, gamma_next, lambda_next, kind, relist, padded, valued, valued_next,
):  # fmt: skip
    """One transition; all after lambda_next are constants.  Returns delta."""
    decay = t.scalars[DECAY]
    scale = 0.0 if decay == 0.0 else t.scalars[SCALE] * decay
    if scale >= FADED:
        t.scalars[SCALE] = scale
    else:
        relist(t, scale)
    h = Warm(t.scalars[SCALE], t.scalars[DRIVE])
    v_next = 0.0
    if gamma_next != 0.0:
        v_next = value(t, h, indices_next, values_next, x_next, padded, valued_next)
    m, v, zx, tau = gather(t, h, indices, values, x, kind, padded, valued)
    delta = reward + (0.0 if gamma_next == 0.0 else gamma_next * v_next) - v
    push = delta
    if kind == SWIFT:
        v_old = t.scalars[V_OLD]
        dv = 0.0 if decay == 0.0 or v_old != v_old else v - v_old
        swift_write(t, h, m, zx, tau, dv)
        adapt_all(t, delta, h.scale)
        push = delta + dv
    else:
        delta_bar_write(t, h, m, delta, kind)
    t.scalars[DRIVE_BEFORE] = h.drive
    t.scalars[DRIVE] = h.drive + push * h.scale
    t.scalars[V_OLD] = v_next
    t.scalars[DECAY] = gamma_next * lambda_next
    t.counters[STEP] += 1
    return delta


@verb
def row_ok(t, indices):
    for j in range(np.uint64(indices.size)):
        if indices[j] < -1 or indices[j] >= t.counters[N]:
            t.counters[BAD] = indices[j]
            return False
    return True


@functools.cache
def step_kernel(kind):
    """(status, delta) of one transition; see ft_adaptive_step.  Empty values stand for ones."""
    relist = relist_kernel(kind)

    @kernel
    def step(
        t, indices, values, column, indices_next, values_next, column_next, reward, gamma_next, lambda_next
    ):  # fmt: skip
        if not row_ok(t, indices) or not row_ok(t, indices_next):
            return BAD_INDEX, 0.0
        columns = t.counters[COLUMNS]
        if column < 0 or column >= columns or column_next < 0 or column_next >= columns:
            return BAD_ACTION, 0.0
        if not (
            np.isfinite(reward)
            and gamma_next >= 0.0 and gamma_next <= 1.0 and lambda_next >= 0.0 and lambda_next <= 1.0
        ):  # fmt: skip
            return BAD_VALUE, 0.0
        x = Place(_0, _0, np.uint64(indices.size), np.uint64(column))
        x_next = Place(_0, _0, np.uint64(indices_next.size), np.uint64(column_next))
        return OK, learn(
            t, indices, values, x, indices_next, values_next, x_next,
            reward, gamma_next, lambda_next, kind, relist, True, values.size > 0, values_next.size > 0,
        )  # fmt: skip

    return step


# ---- a whole stream ----


class Stream(NamedTuple):
    """ft_stream; gammas and lambdas of length 1 stand for equal entries."""

    steps: int
    rows: Rows
    n_actions: int
    actions: NDArray[np.int32]
    rewards: NDArray[np.float64]
    gammas: NDArray[np.float64]
    lambdas: NDArray[np.float64]


@kernel
def check_rows(t, rows, count):
    """OK and whether there is padding, or BAD_INDEX."""
    entries = rows.k if rows.shared else count * rows.k
    if rows.indptr.size:
        entries = rows.indptr[count]
    lowest, highest = np.int32(0), np.int32(-1)
    for i in range(entries):
        lowest = min(lowest, rows.indices[i])
        highest = max(highest, rows.indices[i])
    if lowest >= -1 and highest < t.counters[N]:
        return OK, lowest < 0
    return BAD_INDEX, False


@verb
def place_at(s, i, columns, plain, control):
    """Where the row of S_i stands, or of (S_i, A_i)."""
    if not control:
        return place_of(s.rows, i, _0, plain)
    if columns == _1:
        return place_of(s.rows, row_at(s, i, True), _0, plain)
    return place_of(s.rows, i, np.uint64(s.actions[i]), plain)


@functools.cache
def run_kernel(kind, plain, control, valued):
    """A run of one kind, for one form of features.  Checks nothing."""
    relist = relist_kernel(kind)

    @kernel
    def run(t, s, deltas):
        columns = np.uint64(t.counters[COLUMNS])
        per_gamma, per_lambda = np.uint64(s.gammas.size > 1), np.uint64(s.lambdas.size > 1)
        x = place_at(s, _0, columns, plain, control)
        for i in range(np.uint64(s.steps)):
            x_next = place_at(s, i + _1, columns, plain, control)
            deltas[i] = learn(
                t, s.rows.indices, s.rows.values, x, s.rows.indices, s.rows.values, x_next,
                s.rewards[i], s.gammas[i * per_gamma], s.lambdas[i * per_lambda],
                kind, relist, not plain, valued, valued,
            )  # fmt: skip
            x = x_next

    return run


@kernel
def values_kernel(t, rows, count, out):
    """out[r * columns + a] = w.x for rows r of x.  Returns the status."""
    status, _ = check_rows(t, rows, count)
    if status != OK:
        return status
    h = Warm(t.scalars[SCALE], t.scalars[DRIVE])
    columns, valued = np.uint64(t.counters[COLUMNS]), rows.values.size > 0
    for r in range(np.uint64(count)):
        for a in range(columns):
            x = place_of(rows, r, a, False)
            out[r * columns + a] = value(t, h, rows.indices, rows.values, x, True, valued)
    return OK


# ---- what Python calls ----


def arrays_of(owner: Any) -> Steps:
    """The arrays of a ListedSteps, as the kernels take them."""
    return Steps(
        owner.counters, owner.scalars, owner.rows, owner.p, owner.inverse, owner.fresh, owner.x,
        owner.list, owner.active, owner.awake, owner.ranks,
    )  # fmt: skip


def _run(owner: Any, stream: features.Stream) -> NDArray[np.float64]:
    deltas = stream.room()
    if stream.steps == 0:
        return deltas
    t, control = arrays_of(owner), stream.actions is not None
    s = Stream(
        stream.steps,
        rows_of(stream.rows),
        stream.n_actions,
        borrowed(stream.actions if stream.actions is not None else NO_INT32S),
        borrowed(stream.rewards),
        borrowed(stream.gammas),
        borrowed(stream.lambdas),
    )
    if control and not stream.rows.checked:
        actions_array("actions", stream.actions, stream.steps + 1, stream.n_actions)
    per_state = stream.n_actions if control and owner.columns == 1 else 1
    padded = has_padding(stream.rows, check_rows, t, s.rows, (stream.steps + 1) * per_state)
    valued = s.rows.values.size > 0
    plain = not (padded or valued or s.rows.indptr.size or control)
    run_kernel(KINDS[owner.kind], plain, control, valued)(t, s, deltas)
    return deltas


# The kind that the owner is of is all that differs.
swift_td_run = swift_sarsa_run = tidbd_run = autostep_run = _run


def quick_step(owner: Any) -> Callable[..., float | None]:
    """A step for the usual input, binary int32 features of states, without a copy.

    It returns None, having changed nothing, for whatever is not of that form or not allowed.
    """
    t, run, none, zero = arrays_of(owner), step_kernel(KINDS[owner.kind]), NO_DOUBLES, 0
    array, int32, n = np.ndarray, np.dtype(np.int32), owner.n
    swift = owner.kind == "swift"

    def step(x: Any, x_next: Any, reward: float, gamma: float, lambda_: float) -> float | None:
        # Whatever Numba would compile anew for goes another way: other dtypes and layouts, and integers.
        x, x_next = features.as_int32(x), features.as_int32(x_next)
        for each in (x, x_next):
            if type(each) is not array or each.dtype is not int32 or each.ndim != 1 or not each.flags.carray:
                return None
            if each.size == n and features.is_one_hot(each, n):
                return None
        try:
            numbers = [
                each if isinstance(each, float) else real("", each) for each in (reward, gamma, lambda_)
            ]
        except (TypeError, ValueError):
            return None
        status, delta = run(t, x, none, zero, x_next, none, zero, *numbers)
        if status != OK:
            return None
        if swift:
            owner.arrived = x_next.tobytes()
        return delta

    return step


def quick_control_step(owner: Any, kind: str, target: str) -> Callable[..., None]:
    """A step from row and action to row and action, all of them checked; a column of weights an action.

    What other learners take besides, alpha and more, is not used.
    """
    t, run, none = arrays_of(owner), step_kernel(KINDS[owner.kind]), NO_DOUBLES

    def step(
        x: features.Row, action: int, x_next: features.Row, action_next: int,
        reward: float, gamma: float, lambda_: float, *more: Any,
    ) -> None:  # fmt: skip
        status, _ = run(
            t,
            x.indices, none if x.values is None else x.values, action,
            x_next.indices, none if x_next.values is None else x_next.values, action_next,
            reward, gamma, lambda_,
        )  # fmt: skip
        refuse(status)

    return step


def values(owner: Any, rows: features.Rows) -> NDArray[np.float64]:
    """w.x for every row, (rows, columns)."""
    out = np.empty((rows.count, owner.columns))
    refuse(values_kernel(arrays_of(owner), rows_of(rows), rows.count, out.reshape(-1)), rows)
    return out


def reset(owner: Any) -> None:
    relist_kernel(KINDS[owner.kind])(arrays_of(owner), 0.0)
    owner.decay, owner.v_old = 0.0, math.nan
