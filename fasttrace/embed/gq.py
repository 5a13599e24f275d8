"""GQ's step inside compiled loops."""

from __future__ import annotations

import functools

from numba import types
from numba.core.errors import TypingError
from numba.extending import overload

from ..backends import Name, why_missing
from ..backends.numba import gradient, trace, verb
from ..layout import KINDS
from .inputs import check_state, external, is_vector, pointer, refuse, rows_of
from .states import TwoVectorState, gradient_of

_ADDING = KINDS["accumulating"].value

if why_missing("c") is None:
    _ft_gq_step = external("ft_gq_step")


def _target(state, chance):
    raise NotImplementedError("for compiled functions")


@overload(_target, jit_options={"_nrt": False, "forceinline": True})  # type: ignore[typeddict-unknown-key]
def _overload_target(state, chance):
    """(parameter, pi): of a policy of the learner's own, without pi, or pi itself."""
    if isinstance(chance, (types.Float, types.Integer)):
        return lambda state, chance: (float(chance), state.q[:0])
    if not is_vector(chance, types.float64):
        raise TypingError(f"chance: got {chance}, expected a number, or a contiguous float64 array of pi(a)")

    def given(state, chance):
        if chance.size != state.counters[trace.COLUMNS]:
            raise ValueError("chance: as pi(a) it has one entry for each action")
        return 1.0, chance

    return given


@functools.cache
def _numba_gq(policy):
    @verb
    def numba_gq(
        state, parameter, pi, indices, values, action, indices_next, values_next, action_next,
        reward, gamma_next, lambda_next, rho, alpha, beta,
    ):  # fmt: skip
        return gradient.gq_step_kernel(
            gradient_of(state, beta), policy, parameter, pi,
            indices, values, action, indices_next, values_next, action_next,
            reward, gamma_next, lambda_next, rho, alpha, state.q,
        )  # fmt: skip

    return numba_gq


@functools.cache
def _c_gq(policy):
    @verb
    def c_gq(
        state, parameter, pi, indices, values, action, indices_next, values_next, action_next,
        reward, gamma_next, lambda_next, rho, alpha, beta,
    ):  # fmt: skip
        status = _ft_gq_step(
            state.counters.ctypes.data, beta, policy, parameter, pointer(pi),
            indices.size, indices.ctypes.data, pointer(values), action,
            indices_next.size, indices_next.ctypes.data, pointer(values_next), action_next,
            reward, gamma_next, lambda_next, rho, alpha, state.q.ctypes.data, state.result.ctypes.data,
        )  # fmt: skip
        return status, state.result[0]

    return c_gq


@functools.cache
def gq_step(backend: Name, policy: int):
    run = (_c_gq if backend == "c" else _numba_gq)(policy)

    @verb
    def gq_step(
        state, x, action, reward, x_next, action_next, gamma_next, lambda_next, alpha, chance, rho, beta
    ):
        check_state(state, TwoVectorState)
        if state.counters[gradient.KIND] != gradient.GTD:
            raise ValueError("state: of a learner with other traces than that of the step")
        i, u, i_next, u_next = rows_of(x, x_next, _ADDING)
        parameter, pi = _target(state, chance)
        status, delta = run(
            state, parameter, pi, i, u, action, i_next, u_next, action_next,
            reward, gamma_next, lambda_next, rho, alpha, beta,
        )  # fmt: skip
        refuse(status)
        return delta

    return gq_step
