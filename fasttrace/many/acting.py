"""Agents that act, each in a world of its own: all of them make a step in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..features import Rows
from ..linear.agent import Agent
from ..memory import Float64
from ..quick import native
from .forms import features_of_each

Actions = NDArray[np.int64]
Of = Callable[
    ..., Any
]  # of_agent(i, call, *arguments): what is wrong with them is told with the agent's number


def act(each: list[Agent], of_agent: Of, x: Any) -> Actions:
    """(N,) greedy actions."""
    actions = np.empty(len(each), np.int64)
    if native and native.crew_act(each, x, actions):
        return actions
    rows = [of_agent(i, each[i]._state, row) for i, row in enumerate(features_of_each("x", x, len(each)))]
    actions[:] = [np.argmax(agent._q(row)) for agent, row in zip(each, rows, strict=True)]
    return actions


def start(each: list[Agent], of_agent: Of, x: Any, where: Any) -> Actions:
    """Agents begin in x, all or those that are marked; the actions of all."""
    actions = np.empty(len(each), np.int64)
    if where is None and native and native.crew_step(each, None, x, None, None, None, actions):
        return actions
    begin = _marks("where", True if where is None else where, len(each))
    rows = [
        of_agent(i, each[i]._state, row)
        for i, row in enumerate(features_of_each("x", x, len(each)))
        if begin[i]
    ]
    for i, row in zip(np.flatnonzero(begin), rows, strict=True):
        _begin(each[i], row)
    return np.array([0 if agent._x is None else agent._action for agent in each], np.int64)


def step(
    each: list[Agent],
    of_agent: Of,
    rewards: Any,
    x: Any,
    terminated: Any = None,
    truncated: Any = None,
    x_final: Any = None,
    gamma: Any = None,
) -> Actions:
    """See Population.step.  x may be None where all have terminated."""
    N = len(each)
    actions = np.zeros(N, np.int64)
    if (
        native
        and gamma is None
        and native.crew_step(each, rewards, x, terminated, truncated, x_final, actions)
    ):
        return actions
    begins = np.array([agent._x is None for agent in each])
    over, cut = (
        _marks(name, False if value is None else value, N) & ~begins
        for name, value in (("terminated", terminated), ("truncated", truncated))
    )
    given = _numbers("rewards", rewards, N)
    discounts: Sequence[Any] = [None] * N if gamma is None else _numbers("gamma", gamma, N).tolist()
    rows = [None] * N if x is None else features_of_each("x", x, N)
    finals = [None] * N if x_final is None else features_of_each("x_final", x_final, N)
    numbers, states, lasts = [], [], []
    for i, agent in enumerate(each):
        ended = bool(over[i] or cut[i])
        own = agent._gamma if discounts[i] is None else discounts[i]
        states.append(None if x is None else of_agent(i, agent._state, rows[i]))
        lasts.append(of_agent(i, agent._state, finals[i]) if ended and x_final is not None else None)
        numbers.append(
            (0.0, own)
            if begins[i]
            else (
                of_agent(i, arguments.finite, "reward", given[i]),
                of_agent(i, arguments.unit, "gamma", own),
            )
        )
    for i, agent in enumerate(each):
        if begins[i]:
            _begin(agent, states[i])
        elif over[i]:
            _learn(agent, numbers[i][0], None, 0.0)
            agent._x = None
        else:
            _learn(agent, numbers[i][0], lasts[i] or states[i], numbers[i][1])
            if cut[i]:
                agent._end()
        if lasts[i] is not None:
            _begin(agent, states[i])
        actions[i] = 0 if agent._x is None else agent._action
    return actions


def _begin(agent: Agent, row: Rows | None) -> None:
    assert row is not None
    agent._end()
    agent._x, agent._action = row, agent._choose(row)


def _learn(agent: Agent, reward: float, row: Rows | None, gamma: float) -> None:
    previous = agent._x
    assert previous is not None
    action = 0 if row is None else agent._choose(row)
    agent._learn_step(previous, row, action, reward, gamma)
    agent._x, agent._action = row, action


def _marks(name: str, value: Any, N: int) -> NDArray[np.bool_]:
    """(N,) of one bool or as many."""
    array = arguments.array_of(name, value)
    if array.dtype != np.bool_:
        raise TypeError(f"{name}: got dtype {array.dtype}, expected bool")
    if array.shape not in ((), (N,)):
        raise ValueError(f"{name}: got shape {array.shape}, expected a bool or ({N},)")
    return np.broadcast_to(array, (N,))


def _numbers(name: str, value: Any, N: int) -> Float64:
    array = arguments.floats(name, value)
    if array.shape != (N,) and not (name == "gamma" and array.ndim == 0):
        raise ValueError(f"{name}: got shape {array.shape}, expected ({N},), one of each agent")
    return np.broadcast_to(array, (N,))
