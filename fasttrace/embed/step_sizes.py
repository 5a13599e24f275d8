"""Steps whose step sizes learn, inside compiled loops."""

from __future__ import annotations

import functools

import numpy as np
from numba.extending import overload

from ..backends import Name, why_missing
from ..backends.numba import adaptive, verb
from ..backends.numba.adaptive_list import COLUMNS, KINDS, Steps
from ..layout import KINDS as TRACES
from .inputs import check_state, external, pointer, refuse, rows_of
from .states import AdaptiveState

__all__ = ["KINDS", "adaptive_control_step", "adaptive_step"]

_ADDING = TRACES["accumulating"].value  # features may have values

if why_missing("c") is None:
    _ft_adaptive_step = external("ft_adaptive_step")


def _as_given(state, values, values_next):
    raise NotImplementedError("for compiled functions")


@overload(_as_given, jit_options={"_nrt": False, "forceinline": True})  # type: ignore[typeddict-unknown-key]
def _overload_as_given(state, values, values_next):
    """No values are a constant, for which Numba would compile the kernel of Python's steps again."""
    if values.mutable and values_next.mutable:
        return lambda state, values, values_next: (values, values_next)
    if values.mutable:
        return lambda state, values, values_next: (values, state.result[:0])
    if values_next.mutable:
        return lambda state, values, values_next: (state.result[:0], values_next)
    return lambda state, values, values_next: (state.result[:0], state.result[:0])


@functools.cache
def _numba_adaptive(kind):
    run = adaptive.step_kernel(kind)

    @verb
    def numba_adaptive(
        state, indices, values, column, indices_next, values_next, column_next,
        reward, gamma_next, lambda_next,
    ):  # fmt: skip
        t = Steps(
            state.counters, state.scalars, state.rows, state.p, state.inverse, state.fresh, state.x,
            state.list, state.active, state.awake, state.ranks,
        )  # fmt: skip
        values, values_next = _as_given(state, values, values_next)
        return run(
            t, indices, values, np.int64(column), indices_next, values_next, np.int64(column_next),
            np.float64(reward), np.float64(gamma_next), np.float64(lambda_next),
        )  # fmt: skip

    return numba_adaptive


@functools.cache
def _c_adaptive(kind):
    @verb
    def c_adaptive(
        state, indices, values, column, indices_next, values_next, column_next,
        reward, gamma_next, lambda_next,
    ):  # fmt: skip
        status = _ft_adaptive_step(
            state.counters.ctypes.data, kind,
            indices.size, indices.ctypes.data, pointer(values), column,
            indices_next.size, indices_next.ctypes.data, pointer(values_next), column_next,
            reward, gamma_next, lambda_next, state.result.ctypes.data,
        )  # fmt: skip
        return status, state.result[0]

    return c_adaptive


@functools.cache
def adaptive_control_step(backend: Name, kind: int):
    run = (_c_adaptive if backend == "c" else _numba_adaptive)(kind)

    @verb
    def adaptive_control_step(state, x, action, reward, x_next, action_next, gamma_next, lambda_next):
        check_state(state, AdaptiveState)
        if state.kind != kind:
            raise ValueError("state: of a learner with other traces than that of the step")
        i, u, i_next, u_next = rows_of(x, x_next, _ADDING)
        status, delta = run(state, i, u, action, i_next, u_next, action_next, reward, gamma_next, lambda_next)
        refuse(status)
        return delta

    return adaptive_control_step


@functools.cache
def adaptive_step(backend: Name, kind: int):
    run = adaptive_control_step(backend, kind)

    @verb
    def adaptive_step(state, x, reward, x_next, gamma_next, lambda_next):
        check_state(state, AdaptiveState)
        if state.counters[COLUMNS] != 1:
            raise ValueError("state: the weights have a column for each action")
        return run(state, x, 0, reward, x_next, 0, gamma_next, lambda_next)

    return adaptive_step
