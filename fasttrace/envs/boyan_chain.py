"""Boyan's chain."""

from typing import Any

import numpy as np

from ..memory import Float64
from .environment import State
from .prediction import PredictionTask

N_STATES = 13


def reset(u: Any) -> State:
    return (12.0,)


def step(state: Any, action: int, u: Any) -> tuple[State, float, float]:
    s = state[0]
    if s == 1.0:
        return (0.0,), -2.0, 0.0
    s -= 1.0 if u[0] < 0.5 else 2.0
    return (s,), -3.0, 0.0 if s == 0.0 else 1.0


class BoyanChain(PredictionTask):
    """A chain from state 12 down to 0, where an episode ends: one or two states a step, alike, at -3.

    From state 1 there is one way, to 0, at -2.  gamma is 1, and v(s) = -2 s.  The four features of a state
    weigh the states 12, 8, 4 and 0 by how near they are, so that true_weights (-24, -16, -8, 0) give every
    value exactly.

    Source: Boyan 2002, Machine Learning 49, figure 2.
    """

    gamma = 1.0
    twin = ("ft_boyan_chain",)

    def __init__(self) -> None:
        super().__init__(reset, step, n_actions=0, n_state=1, n_uniforms=(0, 1), low=(0.0,), high=(12.0,))
        self.n_features = N_STATES

    @property
    def features(self) -> Float64:
        """(13, 4), row s of state s."""
        s = np.arange(float(N_STATES))[:, np.newaxis]
        return np.maximum(0.0, 1.0 - np.abs(s - [12.0, 8.0, 4.0, 0.0]) / 4.0)

    @property
    def true_values(self) -> Float64:
        """v(s) = -2 s, (13,)."""
        return -2.0 * np.arange(float(N_STATES))

    @property
    def true_weights(self) -> Float64:
        """(4,) the weights whose values are true."""
        return np.array([-24.0, -16.0, -8.0, 0.0])
