"""One step of the linear learners with one weight vector, for loops in Numba and for calls from Python."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import features
from ...arguments import real
from ...layout import BAD_ACTION, BAD_INDEX, BAD_VALUE, NO_OPTIONS, OK
from . import kernel, part, policy, trace, verb
from .stream import NO_DOUBLES
from .trace import BAD, COLUMNS, PI, WIDTH, N, Place
from .transition import (
    Numbers,
    carry_of,
    carry_store,
    lambda_of,
    pi_now,
    read_values,
    reads_once,
    takes_pi,
    transition,
    with_sums,
)

_0 = np.uint64(0)
_1 = np.uint64(1)


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
def pi_ok(pi, rho):
    """Whether pi and rho are of one action; see ft_pi_ok."""
    return pi >= 0.0 and pi <= 1.0 and (pi > 0.0) == (rho > 0.0) and pi <= rho * (1.0 + 1e-6)


@part
def one_step(t, indices, values, column, indices_next, values_next, column_next, n, kind, width):
    x = Place(_0, _0, np.uint64(indices.size), column)
    x_next = Place(_0, _0, np.uint64(indices_next.size), column_next)
    valued, valued_next = values.size > 0, values_next.size > 0
    h, c = trace.load(t), carry_of(t)
    if reads_once(kind):
        c = with_sums(c, trace.read(t, indices, values, x, width, True, valued))
    h, c, delta = transition(
        t, h, c, indices, values, x, indices_next, values_next, x_next, False, 0.0, 0.0, n,
        kind, width, True, valued, valued_next, True,
    )  # fmt: skip
    carry_store(t, h, c, n.alpha)
    return delta


@part
def td_step(
    t, indices, values, indices_next, values_next, reward, gamma_next, lambda_next, rho, alpha, kind,
    interest=1.0, pi=1.0, options=NO_OPTIONS,
):  # fmt: skip
    """(status, delta); see ft_state_step.  kind is a constant, empty values stand for ones."""
    if not row_ok(t, indices) or not row_ok(t, indices_next):
        return BAD_INDEX, 0.0
    if not numbers_ok(reward, gamma_next, lambda_next, rho, alpha) or not (
        interest >= 0.0 and np.isfinite(interest)
    ):
        return BAD_VALUE, 0.0
    if takes_pi(kind) and not pi_ok(pi, rho):
        return BAD_VALUE, 0.0
    n = Numbers(reward, gamma_next, lambda_next, rho, rho, pi, interest, alpha, options)
    return OK, one_step(t, indices, values, _0, indices_next, values_next, _0, n, kind, _1)


@verb
def transition_ok(t, indices, action, indices_next, action_next, reward, gamma_next, lambda_next, alpha):
    """The status; see ft_check_transition."""
    if not row_ok(t, indices) or not row_ok(t, indices_next):
        return BAD_INDEX
    A = t.counters[COLUMNS]
    if action < 0 or action >= A or action_next < 0 or action_next >= A:
        return BAD_ACTION
    return OK if numbers_ok(reward, gamma_next, lambda_next, 1.0, alpha) else BAD_VALUE


@part
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
    n = Numbers(reward, gamma_next, lambda_next, 1.0, 1.0, 1.0, 1.0, alpha, NO_OPTIONS)
    return OK, one_step(
        t, indices, values, np.uint64(action), indices_next, values_next, np.uint64(action_next),
        n, kind, np.uint64(t.counters[WIDTH]),
    )  # fmt: skip


@part
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
    factor = policy.factor_of(target, 1.0, sigma, pi)
    read_values(t, h, indices_next, values_next, every, width, width, True, valued_next, q, _0)
    v_next = policy.value_of(target, q, n_actions, q, _0, False, own, parameter)
    taken = q[action_next]
    lambda_next = lambda_of(target, lambda_next, v_next, taken)
    pi = 0.0 if gamma_next == 0.0 else policy.own_pi(target, q, n_actions, own, parameter, action_next)
    h, c, delta = transition(
        t, h, c, indices, values, x, indices_next, values_next, x_next, True, v_next, taken,
        Numbers(reward, gamma_next, lambda_next, factor, 1.0, 1.0, 1.0, alpha, NO_OPTIONS),
        kind, width, True, valued, valued_next, False,
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
            t, indices, NO_DOUBLES, indices_next, NO_DOUBLES,
            reward, gamma_next, lambda_next, rho, alpha, kind, interest,
        )  # fmt: skip

    return step


@functools.cache
def state_step_kernel(kind):
    """The same of a kind that has options, or asks for pi."""

    @kernel
    def step(t, indices, indices_next, reward, gamma_next, lambda_next, rho, alpha, interest, pi, options):
        return td_step(
            t, indices, NO_DOUBLES, indices_next, NO_DOUBLES,
            reward, gamma_next, lambda_next, rho, alpha, kind, interest, pi, options,
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


def quick(
    t: Any, run: Callable[..., tuple[int, float]], usual: tuple[float, ...] = (1.0,), *last: Any
) -> Callable[..., float | None]:
    """A step for the usual input, binary int32 features, without a copy.

    run(t, ...) is a td_step_kernel, or takes what it takes; after alpha `usual` where a step is given no more
    numbers, and `last` behind all.
    The step returns None, having changed nothing, for whatever is not of that form or not allowed.
    """
    array, int32, n = np.ndarray, np.dtype(np.int32), int(t.counters[N])

    def step(
        x: Any, x_next: Any, reward: float, gamma: float, lambda_: float, rho: float, alpha: float,
        *more: float,
    ) -> float | None:  # fmt: skip
        # Whatever Numba would compile anew for goes another way: other dtypes and layouts, and integers.
        x, x_next = features.as_int32(x), features.as_int32(x_next)
        for each in (x, x_next):
            if type(each) is not array or each.dtype is not int32 or each.ndim != 1 or not each.flags.carray:
                return None
            if each.size == n and features.is_one_hot(each, n):
                return None
        try:
            numbers = [
                each if isinstance(each, float) else real("", each)
                for each in (reward, gamma, lambda_, rho, alpha, *(more or usual))
            ]
        except (TypeError, ValueError):
            return None
        status, delta = run(t, x, x_next, *numbers, *last)
        return delta if status == OK else None

    return step
