"""Environments with nothing to choose, whose states have features and known values."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..memory import Float64
from .environment import Environment, State

Int32 = NDArray[np.int32]


class Transitions(NamedTuple):
    """A stream for `learn`, T transitions.

        s = env.stream(1000, seed=0)
        learner.learn(s.x, s.rewards, gammas=s.gammas, rhos=s.rhos)

    x        (T + 1, d) features of S_0 to S_T; where an episode ends, the next row begins the next one.
             Sparse: indices (T + 1, k), or a pair of them and their values
    rewards  (T,) R_{t+1}
    gammas   (T,) discounts, 0 where an episode ends
    rhos     (T,) importance ratios pi(A_t|S_t) / mu(A_t|S_t)
    states   (T + 1,) the states' numbers
    pi       (T,) pi(A_t|S_t) of the action taken; 1 where there is nothing to choose
    """

    x: Any
    rewards: Float64
    gammas: Float64
    rhos: Float64
    states: Int32
    pi: Float64


class PredictionTask(Environment):
    """An environment of n states in a row of numbers, (0.0,) to (n - 1.0,), with nothing to choose.

    features     (n, d), row s of state s
    true_values  (n,) v(s) of the target policy under `gamma`
    gamma        the discount of the task
    episodic     whether it ends

    In `simulate` the features are one-hot of n, on-policy; `stream` gives the task's own, and the ratios of
    those that are off-policy.
    """

    gamma: float = 1.0
    episodic = True

    @property
    def features(self) -> Float64:
        raise NotImplementedError

    @property
    def true_values(self) -> Float64:
        raise NotImplementedError

    def pi(self, state: State, state_next: State) -> float:
        """pi(a|s) of the action that led from state to state_next."""
        return 1.0

    def rho(self, state: State, state_next: State) -> float:
        """pi(a|s) / mu(a|s) of the action that led from state to state_next."""
        return 1.0

    @property
    def sparse_features(self) -> tuple[Int32, Float64 | None]:
        """The same by their indices (n, k), padded with -1, and values (n, k), or None where all are 1."""
        x = self.features
        active = x != 0.0
        k = active.sum(axis=1).max(initial=0)
        indices = np.argsort(~active, axis=1, kind="stable")[:, :k].astype(np.int32)
        there = np.take_along_axis(active, indices, axis=1)
        values = np.take_along_axis(x, indices, axis=1)
        return np.where(there, indices, np.int32(-1)), None if (values[there] == 1.0).all() else values

    @arguments.explained
    def stream(
        self,
        steps: int | None = None,
        seed: int | np.random.Generator | None = None,
        *,
        episodes: int | None = None,
        sparse: bool = False,
    ) -> Transitions:
        """Transitions as features, rewards, discounts and importance ratios.

        steps, episodes  ends at whichever comes first; one of them is needed
        seed             int or Generator; the same seed is the same walk as in `simulate`
        sparse           x as sparse_features has them, indices or a pair, not dense

        Errors: ValueError, also for episodes of a task that has none; TypeError.
        """
        if steps is None and episodes is None:
            raise ValueError("steps, episodes: got neither, expected one of them, or both")
        if episodes is not None and not self.episodic:
            raise ValueError(f"episodes: {self!r} never ends; give steps")
        most_steps = math.inf if steps is None else arguments.count("steps", steps, 0)
        most_episodes = math.inf if episodes is None else arguments.count("episodes", episodes, 0)
        random = np.random.default_rng(seed).random
        states: list[int] = []
        made: list[tuple[float, float, float, float]] = []  # reward, gamma, rho, pi

        def draw(count: int) -> tuple[float, ...]:
            return tuple(random() for _ in range(count))

        state, ended = self.reset(draw(self.n_uniforms[0])), 0
        while len(made) < most_steps and ended < most_episodes:
            states.append(int(state[0]))
            state_next, reward, goes_on = self.step(state, 0, draw(self.n_uniforms[1]))
            ratio, chance = self.rho(state, state_next), self.pi(state, state_next)
            made.append((reward, self.gamma * goes_on, ratio, chance))
            ended += not goes_on
            state = state_next if goes_on else self.reset(draw(self.n_uniforms[0]))
        numbers = np.array([*states, int(state[0])], np.int32)
        rewards, gammas, rhos, pi = np.array(made, float).reshape(-1, 4).T.copy()
        return Transitions(self._rows(numbers, sparse), rewards, gammas, rhos, numbers, pi)

    def _rows(self, states: Int32, sparse: bool) -> Any:
        if not sparse:
            return self.features[states]
        indices, values = self.sparse_features
        return indices[states] if values is None else (indices[states], values[states])
