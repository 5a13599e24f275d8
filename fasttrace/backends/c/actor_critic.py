"""The linear actor-critic in C; csrc/fasttrace.h says what each call does.

Every function takes the learner's ActorCriticTrace first.  A kernel that refuses its input has changed
nothing; what was wrong is then looked up and raised here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...features import Row, Rows, Stream
from . import ffi, lib, linear, refuse
from .calls import address, new_call
from .linear import c_rows, doubles_of, int32s_of, room_of, writable


def handle(owner: Any) -> Any:
    """ft_actor_critic * of an ActorCriticTrace: its words are the struct; pointers are never saved."""
    if owner.handle is None:
        pointer = writable("ft_actor_critic *", owner.words)
        pointer.critic, pointer.actor = linear.handle(owner.critic), linear.handle(owner.actor)
        owner.handle = pointer
    return owner.handle


def _run(owner: Any, stream: Stream) -> np.ndarray:
    deltas = stream.room()
    keep: list[Any] = []
    c = c_rows(stream.rows, keep)
    c.steps, c.n_actions, c.parameter = stream.steps, stream.n_actions, stream.own[1]
    own_lambdas = stream.lambdas if np.isnan(owner.lambda_actor) else np.array([owner.lambda_actor])
    arrays = {
        "rewards": stream.rewards,
        "gammas": stream.gammas,
        "lambdas": stream.lambdas,
        "alphas": stream.alphas,
        "actor_lambdas": own_lambdas if stream.actor_lambdas is None else stream.actor_lambdas,
        "actor_alphas": (
            np.array([owner.alpha_actor]) if stream.actor_alphas is None else stream.actor_alphas
        ),
    }
    for name, array in arrays.items():
        keep.append(doubles_of(array))
        setattr(c, name, keep[-1])
        if name != "rewards":
            setattr(c, name[:-1] + "_stride", len(array) > 1)
    keep += [int32s_of(stream.actions), room_of(np.empty(3 * owner.actor.width))]
    c.actions, c.q = keep[-2:]
    refuse(lib.ft_actor_critic_run(handle(owner), c, room_of(deltas)), stream.rows)
    return deltas


actor_critic_run = average_reward_actor_critic_run = _run  # eta is all that differs


def call(owner: Any, kernel: str, kind: str, target: str, **fields: Any) -> Any:
    """See linear.call."""
    actor = address(linear.handle(owner.actor))
    return new_call("actor_critic", owner, handle(owner), actor=actor, **fields)


def quick_step(owner: Any) -> Callable[..., float]:
    """A step from row and action to row, all of them checked."""
    pointer, run, out = handle(owner), lib.ft_actor_critic_step, ffi.new("double *")
    work = ffi.new("double[]", 3 * owner.actor.width)

    def step(
        x: Row, action: int, x_next: Row, reward: float, gamma: float,
        lambda_: float, lambda_actor: float, alpha: float, alpha_actor: float, temperature: float,
    ) -> float:  # fmt: skip
        status = run(
            pointer, temperature,
            len(x.indices), int32s_of(x.indices), doubles_of(x.values), action,
            len(x_next.indices), int32s_of(x_next.indices), doubles_of(x_next.values),
            reward, gamma, lambda_, lambda_actor, alpha, alpha_actor, work, out,
        )  # fmt: skip
        if status:
            refuse(status)
        return out[0]

    return step


def values(owner: Any, rows: Rows) -> np.ndarray:
    """Preferences h(s, a) of every row, (rows, A): what actions are chosen by."""
    return linear.values(owner.actor, rows)


def state_values(owner: Any, rows: Rows) -> np.ndarray:
    """w.x of every row, (rows,)."""
    return linear.values(owner.critic, rows)[:, 0]


def reset(owner: Any) -> None:
    lib.ft_actor_critic_reset(handle(owner))
