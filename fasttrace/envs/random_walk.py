"""The random walk."""

from typing import Any

import numpy as np

from .. import arguments
from ..memory import Float64
from .environment import State
from .prediction import Int32, PredictionTask


class RandomWalk(PredictionTask):
    """A walk over n states in a row, from the middle, left or right alike.

    Leaving the left end gives -1, the right end +1, every other step 0.  Nothing to choose: for
    prediction learners.  The state is (i,), i in 0 to n - 1; its features are one-hot of n.

    Source: Sutton & Barto 2018, example 7.1 (n = 19).
    """

    @arguments.explained
    def __init__(self, n: int = 19) -> None:
        n = arguments.count("n", n)

        def reset(u: Any) -> State:
            return (float(n // 2),)

        def step(state: Any, action: int, u: Any) -> tuple[State, float, float]:
            s = state[0] + (-1.0 if u[0] < 0.5 else 1.0)
            if s < 0.0:
                return (s,), -1.0, 0.0
            if s >= n:
                return (s,), 1.0, 0.0
            return (s,), 0.0, 1.0

        super().__init__(reset, step, n_actions=0, n_state=1, n_uniforms=(0, 1), low=(0.0,), high=(n - 1.0,))
        self.n = self.n_features = n
        self.twin = ("ft_random_walk", n)

    @property
    def features(self) -> Float64:
        """(n, n), one-hot."""
        return np.eye(self.n)

    @property
    def sparse_features(self) -> tuple[Int32, None]:
        """(n, 1), each state's own number."""
        return np.arange(self.n, dtype=np.int32)[:, np.newaxis], None

    @property
    def true_values(self) -> Float64:
        """v(s) of each state (n,) where gamma is 1: even steps between the ends."""
        ends_between: Float64 = np.linspace(-1.0, 1.0, self.n + 2)
        return ends_between[1:-1]

    def __repr__(self) -> str:
        return f"RandomWalk(n={self.n})"

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return RandomWalk, (self.n,)
