"""Baird's counterexample."""

from typing import Any

import numpy as np

from ..memory import Float64
from .environment import State
from .prediction import PredictionTask

N_STATES = 7


def reset(u: Any) -> State:
    return (min(float(int(7.0 * u[0])), 6.0),)


def step(state: Any, action: int, u: Any) -> tuple[State, float, float]:
    return (min(float(int(7.0 * u[0])), 6.0),), 0.0, 1.0


class Baird(PredictionTask):
    """Seven states and eight weights, on which off-policy semi-gradient methods diverge.

    The dashed action leads to one of the states 0 to 5, alike; the solid one to state 6.  Behaviour takes the
    dashed one six times in seven, the target policy always the solid one: the ratio is 0 or 7, and the next
    state tells which.  Every reward is 0 and gamma is .99: the true values are 0.  An upper state's value is
    2 w_i + w_7, that of state 6 is w_6 + 2 w_7.

        env = ft.envs.Baird()
        s = env.stream(1000, seed=0)
        learner = ft.TD(8, alpha=0.01, lambda_=0.0)
        learner.weights = env.initial_weights
        learner.learn(s.x, s.rewards, gammas=s.gammas, rhos=s.rhos)       # diverges

    Source: Baird 1995; Sutton & Barto 2018, section 11.2, figures 11.1 and 11.2.
    """

    gamma = 0.99
    episodic = False
    twin = ("ft_baird",)

    def __init__(self) -> None:
        super().__init__(reset, step, n_actions=0, n_state=1, n_uniforms=(1, 1), low=(0.0,), high=(6.0,))
        self.n_features = N_STATES

    @property
    def features(self) -> Float64:
        """(7, 8), row s of state s."""
        x = np.zeros((N_STATES, N_STATES + 1))
        x[np.arange(6), np.arange(6)] = 2.0
        x[:6, 7] = 1.0
        x[6, 6:] = 1.0, 2.0
        return x

    @property
    def true_values(self) -> Float64:
        """(7,) zeros."""
        return np.zeros(N_STATES)

    @property
    def initial_weights(self) -> Float64:
        """(8,) those that the book's figures begin with: 1, but 10 for state 6."""
        w = np.ones(N_STATES + 1)
        w[6] = 10.0
        return w

    def pi(self, state: State, state_next: State) -> float:
        """1 for the solid action, which leads to state 6, and 0 for the dashed one."""
        return float(state_next[0] == 6.0)

    def rho(self, state: State, state_next: State) -> float:
        """7 for the solid action, which leads to state 6, and 0 for the dashed one."""
        return 7.0 * self.pi(state, state_next)
