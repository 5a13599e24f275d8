"""A linear actor-critic's step inside compiled loops."""

from __future__ import annotations

import functools

from ..backends import Name, why_missing
from ..backends.numba import actor_critic, verb
from ..backends.numba.trace import Trace
from ..layout import KINDS
from .inputs import check_state, external, pointer, refuse, rows_of
from .states import ActorCriticState

_ADDING = KINDS["accumulating"].value

if why_missing("c") is None:
    _ft_actor_critic_step = external("ft_actor_critic_step")


@verb
def _trace(state):
    return Trace(state.counters, state.scalars, state.rows, state.ring, state.epochs)


@verb
def _numba_actor_critic(
    state, indices, values, action, indices_next, values_next, reward, gamma_next, lambda_next,
    lambda_actor_next, alpha, alpha_actor, temperature,
):  # fmt: skip
    t = actor_critic.ActorCritic(
        _trace(state.critic), _trace(state.actor), state.numbers, state.words[3] != 0
    )
    n = actor_critic.Numbers(reward, gamma_next, lambda_next, lambda_actor_next, alpha, alpha_actor)
    return actor_critic.step_kernel(
        t, indices, values, action, indices_next, values_next, n, temperature, state.work
    )


@verb
def _c_actor_critic(
    state, indices, values, action, indices_next, values_next, reward, gamma_next, lambda_next,
    lambda_actor_next, alpha, alpha_actor, temperature,
):  # fmt: skip
    status = _ft_actor_critic_step(
        state.words.ctypes.data, temperature,
        indices.size, indices.ctypes.data, pointer(values), action,
        indices_next.size, indices_next.ctypes.data, pointer(values_next),
        reward, gamma_next, lambda_next, lambda_actor_next, alpha, alpha_actor,
        state.work.ctypes.data, state.result.ctypes.data,
    )  # fmt: skip
    return status, state.result[0]


@functools.cache
def actor_critic_step(backend: Name):
    run = _c_actor_critic if backend == "c" else _numba_actor_critic

    @verb
    def actor_critic_step(
        state, x, action, reward, x_next, gamma_next, lambda_next, lambda_actor_next,
        alpha, alpha_actor, temperature,
    ):  # fmt: skip
        check_state(state, ActorCriticState)
        i, u, i_next, u_next = rows_of(x, x_next, _ADDING)
        status, delta = run(
            state, i, u, action, i_next, u_next, reward, gamma_next, lambda_next, lambda_actor_next,
            alpha, alpha_actor, temperature,
        )  # fmt: skip
        refuse(status)
        return delta

    return actor_critic_step
