"""Gymnasium's vector environments, with an agent of a population for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..memory import Float64
from .population import Population


def evaluate_all(
    envs: Any, agents: Population, coder: Callable[[Any], Any], episodes: int, seed: Any
) -> Float64:
    """See fasttrace.evaluate: (N, episodes) returns, the first so many of each.

    In an environment that has ended and is to be reset by the next step, that step is no transition.  Where
    the vector resets nothing by itself, what has ended is reset here.
    """
    N = len(agents)
    if getattr(envs, "num_envs", None) != N:
        got = f"{envs.num_envs} environments" if hasattr(envs, "num_envs") else "one environment"
        raise ValueError(f"env: got {got}, expected a vector of {N}, one of each agent")
    actions = getattr(envs.single_action_space, "n", None)
    if actions != agents.n_actions:
        raise ValueError(f"agent: has {agents.n_actions} actions, the environment {actions}")
    first, mode = int(getattr(envs.single_action_space, "start", 0)), autoreset(envs)
    returns, ended, resets = np.zeros((N, episodes)), np.zeros(N, int), np.zeros(N, bool)
    states, _ = envs.reset(seed=seed)
    while (ended < episodes).any():
        states, rewards, terminated, truncated, _ = envs.step(first + agents.act(coder(states)))
        counts = np.flatnonzero((ended < episodes) & ~resets)
        returns[counts, ended[counts]] += np.asarray(rewards, float)[counts]
        over = np.logical_or(terminated, truncated) & ~resets
        ended += over
        if mode == "NextStep":
            resets = over
        elif mode == "Disabled" and over.any():
            states, _ = envs.reset(options={"reset_mask": over})
    return returns


def autoreset(envs: Any) -> str:
    """When a vector resets what has ended: "NextStep", which it does where it does not say, "SameStep" or
    "Disabled"."""
    mode = envs.metadata.get("autoreset_mode", "NextStep")
    return str(getattr(mode, "value", mode))
