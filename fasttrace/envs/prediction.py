"""Environments with nothing to choose, whose states have features and known values."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from .environment import Environment, State

Float64 = NDArray[np.float64]


class Transitions(NamedTuple):
    """A stream for `learn`, T transitions.

        s = env.stream(1000, seed=0)
        learner.learn(s.x, s.rewards, gammas=s.gammas, rhos=s.rhos)

    x        (T + 1, d) features of S_0 to S_T; where an episode ends, the next row begins the next one
    rewards  (T,) R_{t+1}
    gammas   (T,) discounts, 0 where an episode ends
    rhos     (T,) importance ratios pi(A_t|S_t) / mu(A_t|S_t)
    states   (T + 1,) the states' numbers
    """

    x: Float64
    rewards: Float64
    gammas: Float64
    rhos: Float64
    states: NDArray[np.int32]


class PredictionTask(Environment):
    """An environment of n states in a row of numbers, (0.0,) to (n - 1.0,), with nothing to choose.

    features     (n, d), row s of state s
    true_values  (n,) v(s) of the target policy under `gamma`
    gamma        the discount of the task

    In `simulate` the features are one-hot of n, on-policy; `stream` gives the task's own, and the ratios of
    those that are off-policy.
    """

    gamma: float = 1.0

    @property
    def features(self) -> Float64:
        raise NotImplementedError

    @property
    def true_values(self) -> Float64:
        raise NotImplementedError

    def rho(self, state: State, state_next: State) -> float:
        """pi(a|s) / mu(a|s) of the action that led from state to state_next."""
        return 1.0

    def stream(self, steps: int, seed: int | np.random.Generator | None = None) -> Transitions:
        """`steps` transitions as features, rewards, discounts and importance ratios.

        seed  int or Generator; the same seed is the same walk as in `simulate`.

        Errors: ValueError, TypeError.
        """
        steps = arguments.count("steps", steps, 0)
        random = np.random.default_rng(seed).random
        rewards, gammas, rhos = np.zeros(steps), np.zeros(steps), np.zeros(steps)
        states = np.zeros(steps + 1, np.int32)

        def draw(count: int) -> tuple[float, ...]:
            return tuple(random() for _ in range(count))

        state = self.reset(draw(self.n_uniforms[0]))
        for t in range(steps):
            states[t] = int(state[0])
            state_next, rewards[t], goes_on = self.step(state, 0, draw(self.n_uniforms[1]))
            gammas[t], rhos[t] = self.gamma * goes_on, self.rho(state, state_next)
            state = state_next if goes_on else self.reset(draw(self.n_uniforms[0]))
        states[steps] = int(state[0])
        return Transitions(self.features[states], rewards, gammas, rhos, states)
