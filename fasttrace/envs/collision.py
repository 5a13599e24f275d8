"""The collision task."""

from typing import Any

import numpy as np

from .. import arguments
from ..memory import Float64
from .environment import State
from .prediction import PredictionTask

N_STATES, N_FEATURES, N_ACTIVE = 8, 6, 3


def reset(u: Any) -> State:
    return (min(float(int(4.0 * u[0])), 3.0),)


def step(state: Any, action: int, u: Any) -> tuple[State, float, float]:
    s = state[0]
    if s >= 4.0 and u[0] >= 0.5:
        return (s,), 0.0, 0.0
    return (s + 1.0,), 1.0 if s == 7.0 else 0.0, 0.0 if s == 7.0 else 1.0


class Collision(PredictionTask):
    """A car that drives on towards an obstacle: eight states in a row, 1 for the crash after the last.

    An episode begins in one of the states 0 to 3, alike.  The target policy always goes forward: gamma is .9,
    and v(s) = .9^(7 - s).  Behaviour goes forward up to state 3; from state 4 on it turns away every other
    time, which ends the episode with 0.  The ratio is 1, then 2 or 0, and the next state tells which: a car
    that turns away stays where it is.  Each state has three of six binary features, drawn by `seed`;
    eight values of six weights cannot all be right.

        s = ft.envs.Collision(seed=0).stream(20_000, seed=0)
        learner = ft.TD(6, alpha=0.01, lambda_=0.9)
        learner.learn(s.x, s.rewards, gammas=s.gammas, rhos=s.rhos)

    Errors: TypeError, ValueError for a seed that is none.
    Source: Ghiassian & Sutton 2021, arXiv:2106.00922.
    """

    gamma = 0.9
    twin = ("ft_collision",)

    def __init__(self, seed: int = 0) -> None:
        super().__init__(reset, step, n_actions=0, n_state=1, n_uniforms=(1, 1), low=(0.0,), high=(7.0,))
        self.n_features = N_STATES
        self.seed = arguments.count("seed", seed, 0)
        order = np.random.default_rng(self.seed).random((N_STATES, N_FEATURES)).argsort(axis=1)
        self._features = (order < N_ACTIVE).astype(float)

    @property
    def features(self) -> Float64:
        """(8, 6), row s of state s."""
        return self._features.copy()

    @property
    def true_values(self) -> Float64:
        """v(s) = .9^(7 - s), (8,)."""
        return self.gamma ** np.arange(7.0, -1.0, -1.0)

    @property
    def distribution(self) -> Float64:
        """(8,) how often behaviour is in each state, all together 1: what errors are weighed by."""
        visits = np.array([1.0, 2.0, 3.0, 4.0, 4.0, 2.0, 1.0, 0.5])
        return visits / visits.sum()

    def pi(self, state: State, state_next: State) -> float:
        """1 for going forward, 0 for turning away."""
        return float(state_next[0] > state[0])

    def rho(self, state: State, state_next: State) -> float:
        """1 up to state 3; from there 2 for going forward, and 0."""
        return 1.0 if state[0] < 4.0 else 2.0 * self.pi(state, state_next)

    def __repr__(self) -> str:
        return f"Collision(seed={self.seed})"
