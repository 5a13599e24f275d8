"""Environments as they are, plain Python, with what they return checked."""

import math

from ...errors import NOT_FINITE


class Env:
    """reset(u) -> state, step(state, action, u) -> (state, reward, gamma), all Python floats.

    Errors: TypeError for another shape of result, ValueError for numbers that are not finite, or a
    gamma outside [0, 1].
    """

    def __init__(self, env):
        self._reset, self._step, self._n_state = env.reset, env.step, env.n_state

    def reset(self, u):
        return self._checked("reset", self._reset(u))

    def step(self, state, action, u):
        returned = self._step(state, action, u)
        if not (isinstance(returned, tuple) and len(returned) == 3):
            raise TypeError("step must return (state, reward, gamma)")
        state = self._checked("step", returned[0])
        reward, gamma = map(float, returned[1:])
        if not (math.isfinite(reward) and 0.0 <= gamma <= 1.0):
            raise ValueError(NOT_FINITE)
        return state, reward, gamma

    def _checked(self, name, state):
        if not (isinstance(state, tuple) and len(state) == self._n_state):
            raise TypeError(f"{name} must return a state that is a tuple of n_state={self._n_state} numbers")
        state = tuple(map(float, state))
        if not all(map(math.isfinite, state)):
            raise ValueError(NOT_FINITE)
        return state
