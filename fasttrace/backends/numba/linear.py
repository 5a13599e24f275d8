"""Streams of the linear learners with one weight vector; the twin of csrc/linear.c.

O(k) a step, whatever lambda; backends.numpy.linear says what is computed, csrc/fasttrace.h what each call
does.  Above is the loop; below are the functions that Python calls with a LazyTrace.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ... import features
from ...layout import KINDS, NO_OPTIONS, OK, POLICIES, TARGETS, Options
from . import inner, kernel, part, policy, refuse, trace, verb
from .dense import dense_run_kernel
from .steps import control_step_kernel, quick, state_step_kernel, td_step_kernel
from .stream import (
    NO_DOUBLES,
    check_rows,
    check_stream,
    has_padding,
    place_at,
    place_of,
    rows_of,
    stream_of,
)
from .trace import COLUMNS, DECAY, PI, WIDTH, N, Trace
from .transition import (
    Numbers,
    carry_of,
    carry_store,
    clears,
    is_emphatic,
    lambda_of,
    read_values,
    reads_once,
    takes_pi,
    transition,
    with_sums,
)

_0 = np.uint64(0)
_1 = np.uint64(1)
_2 = np.uint64(2)
_4 = np.uint64(4)


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


@part
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
    per_interest, per_pi = np.uint64(s.interests.size > 1), np.uint64(s.pis.size > 1)
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
                trace.prefetch(t.rows, trace.begin(t, f, _1))
                if trace.row_step(t.epochs) == _2:
                    trace.prefetch(t.epochs, f)
        if control and clears(kind) and columns == _1:
            clear_others(t, h, s, i)
        gamma_next, lambda_next = s.gammas[i * per_gamma], s.lambdas[i * per_lambda]
        ratio, rho, pi_taken, interest, v_next, taken = 1.0, 1.0, 1.0, 1.0, 0.0, 0.0
        if task == STATES:
            rho = s.rhos[i * per_rho]
            ratio = rho
            if is_emphatic(kind):
                interest = s.interests[i * per_interest]
            if takes_pi(kind):
                pi_taken = s.pis[i * per_pi]
        elif task == ACTIONS:
            ratio = factor(s, i, pi)
            read_actions(t, h, s, i + _1, columns, width, plain, valued)
            v_next = target_value(s, i + _1)
            taken = s.q[s.actions[i + _1]]
            pi = 0.0 if gamma_next == 0.0 else pi_of(s, i + _1)
            lambda_next = lambda_of(s.target, lambda_next, v_next, taken)
        n = Numbers(
            s.rewards[i], gamma_next, lambda_next, ratio, rho, pi_taken, interest,
            s.alphas[i * per_alpha], s.options,
        )  # fmt: skip
        h, c, deltas[i] = transition(
            t, h, c, indices, values, x, indices, values, x_next, task == ACTIONS, v_next, taken, n,
            kind, width, padded, valued, valued, carried,
        )  # fmt: skip
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


def _run(owner: Any, kind: str, stream: features.Stream, target: str = "taken") -> NDArray[np.float64]:
    deltas = stream.room()
    if stream.steps == 0:
        return deltas
    t, control, number = arrays_of(owner), stream.actions is not None, KINDS[kind].value
    s = stream_of(stream, 2 * max(stream.n_actions, owner.width), TARGETS[target].value)
    per_state = stream.n_actions if control and owner.columns == 1 else 1
    padded = has_padding(
        stream.rows, check_stream, t, s.rows, (stream.steps + 1) * per_state, s.actions, s.n_actions
    )  # fmt: skip
    task = STATES if not control else SARSA if target == "taken" else ACTIONS
    if s.rows.shared and owner.width == 1 and task != ACTIONS and np.isnan(owner.cap):
        dense_run_kernel(number)(t, s, deltas)
    else:
        valued = s.rows.values.size > 0
        plain = not (padded or valued or s.rows.indptr.size) and (
            task == STATES or (task == ACTIONS and owner.width == 4)
        )
        run_kernel(number, plain, task, valued)(t, s, deltas)
    return deltas


def _of_kinds(target: str) -> Callable[..., NDArray[np.float64]]:
    """The run of a kernel whose trace may be of several kinds."""
    return lambda owner, kind, stream: _run(owner, kind, stream, target)


def _of_one_kind(kind: str, target: str = "taken") -> Callable[..., NDArray[np.float64]]:
    return lambda owner, stream: _run(owner, kind, stream, target)


td_run = sarsa_run = _of_kinds("taken")  # actions in the stream are all that differs
true_online_td_run = true_online_sarsa_run = _of_one_kind("true_online")
emphatic_td_run = _of_one_kind("emphatic")
emphatic_beta_td_run = _of_one_kind("emphatic_beta")
true_online_emphatic_td_run = _of_one_kind("true_online_emphatic")
vtrace_td_run = _of_one_kind("vtrace_td")
tree_backup_td_run = _of_one_kind("tree_backup_td")
ab_td_run = _of_one_kind("ab_td")
expected_sarsa_run = _of_kinds("expected")
true_online_expected_sarsa_run = _of_one_kind("true_online", "expected")
watkins_q_run = _of_kinds("watkins")
naive_q_run = _of_kinds("naive")
tree_backup_run = _of_one_kind("accumulating", "tree_backup")
retrace_run = _of_one_kind("accumulating", "retrace")
q_sigma_run = _of_one_kind("accumulating", "q_sigma")


def quick_td_step(owner: Any, kind: str) -> Callable[..., float | None]:
    return quick(arrays_of(owner), td_step_kernel(KINDS[kind].value))


def quick_emphatic_td_step(owner: Any, kind: str, options: Options) -> Callable[..., float | None]:
    """quick_td_step with an interest."""
    if options == NO_OPTIONS and kind != "emphatic_beta":
        return quick_td_step(owner, kind)
    return quick(arrays_of(owner), state_step_kernel(KINDS[kind].value), (), 1.0, options)


def quick_state_step(owner: Any, kind: str, options: Options) -> Callable[..., float | None]:
    """quick_td_step of a kind that has options; after alpha come interest and pi."""
    return quick(arrays_of(owner), state_step_kernel(KINDS[kind].value), (1.0, 1.0), options)


def quick_control_step(owner: Any, kind: str, target: str) -> Callable[..., None]:
    """A step from row and action to row and action, all of them checked; a column of weights an action."""
    t, none, aim = arrays_of(owner), NO_DOUBLES, TARGETS[target].value
    run, q = control_step_kernel(KINDS[kind].value, target == "taken"), np.empty(owner.width)

    def step(
        x: features.Row, action: int, x_next: features.Row, action_next: int,
        reward: float, gamma: float, lambda_: float, alpha: float, own: tuple[str, float], sigma: float,
    ) -> None:  # fmt: skip
        status, _ = run(
            t,
            x.indices, none if x.values is None else x.values, action,
            x_next.indices, none if x_next.values is None else x_next.values, action_next,
            reward, gamma, lambda_, alpha, aim, POLICIES[own[0]], own[1], sigma, q,
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
