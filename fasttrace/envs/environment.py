"""What an environment is, and the way to the user's own."""

import inspect
from collections.abc import Callable
from typing import Any

from .. import arguments
from ..backends import module, resolve

State = tuple[float, ...]


class Environment:
    """Two plain functions of numbers, and what a loop has to know of them.

    reset(u) -> state                                   a tuple of n_state floats
    step(state, action, u) -> (state, reward, gamma)    gamma multiplies the agent's: 1 goes on,
                                                        0 ends the episode
    n_actions     actions are 0 to n_actions - 1; 0 of them: nothing to choose, action is 0.
    n_uniforms    (for reset, for step): how many numbers of [0, 1) are in u, drawn by the loop.
    low, high     bounds of a state for a TileCoder, or None.
    n_features    of the one-hot features that a loop uses where there is no coder; or None.

    All randomness comes in through u, so that a seed gives the same walk in every backend.  The
    state after gamma 0 is not used: a reset comes next.
    """

    n_features: int | None = None
    twin: tuple[Any, ...] | None = None  # the C function that fills an ft_env, and its numbers

    def __init__(
        self,
        reset: Callable[..., State],
        step: Callable[..., tuple[State, float, float]],
        *,
        n_actions: int,
        n_state: int,
        n_uniforms: tuple[int, int],
        low: State | None = None,
        high: State | None = None,
    ) -> None:
        self.reset, self.step = reset, step
        self.n_actions, self.n_state, self.n_uniforms = n_actions, n_state, n_uniforms
        self.low, self.high = low, high
        self._kernels: dict[str, Any] = {}

    @property
    def name(self) -> str:
        return type(self).__name__

    def kernel(self, backend: str) -> Any:
        """This environment in a backend's own form, for its loops; compiled on first use."""
        if backend not in self._kernels:
            make = module(backend, "envs").Env
            if backend == "c" and self.twin is None:
                callbacks = self.kernel(resolve("numba")).c_functions()
                self._kernels[backend] = make(self, callbacks)
            else:
                self._kernels[backend] = make(self)
        return self._kernels[backend]

    def __repr__(self) -> str:
        return f"{self.name}()"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_kernels": {}}


class _Custom(Environment):
    name = "custom"

    def __repr__(self) -> str:
        reset, step = (getattr(each, "__qualname__", each) for each in (self.reset, self.step))
        return (
            f"custom({reset}, {step}, n_actions={self.n_actions}, n_state={self.n_state}, "
            f"n_uniforms={self.n_uniforms})"
        )


@arguments.explained
def custom(
    reset: Callable[..., State],
    step: Callable[..., tuple[State, float, float]],
    *,
    n_actions: int | None,
    n_state: int,
    n_uniforms: int | tuple[int, int],
) -> Environment:
    """Your own environment, from two plain functions that Numba can compile.

        def reset(u):
            return (u[0],)

        def step(state, action, u):
            position = state[0] + (0.1 if action == 1 else -0.1) * u[0]
            return (position,), -1.0, 0.0 if position > 1.0 else 1.0

        env = ft.envs.custom(reset, step, n_actions=2, n_state=1, n_uniforms=1)

    reset, step   see Environment.  They compile on first use, except in the NumPy backend.
    n_actions     None or 0 where there is nothing to choose.
    n_uniforms    for reset and for each step, or a pair (for reset, for step).

    Errors: TypeError for what is not a plain function or not an integer, ValueError for numbers
    out of range.
    """
    _expect_function("reset", reset, "u")
    _expect_function("step", step, "state", "action", "u")
    pair = n_uniforms if isinstance(n_uniforms, (tuple, list)) else (n_uniforms, n_uniforms)
    if len(pair) != 2:
        raise ValueError(f"n_uniforms: got {n_uniforms!r}, expected an integer or (for reset, for step)")
    return _Custom(
        reset,
        step,
        n_actions=0 if n_actions is None else arguments.count("n_actions", n_actions, 0),
        n_state=arguments.count("n_state", n_state),
        n_uniforms=(arguments.count("n_uniforms", pair[0], 0), arguments.count("n_uniforms", pair[1], 0)),
    )


def _expect_function(name: str, function: Any, *arguments: str) -> None:
    call = f"{name}({', '.join(arguments)})"
    if not inspect.isfunction(getattr(function, "py_func", function)):
        raise TypeError(f"{name}: got {function!r}, expected a plain function, {call}")
    try:
        inspect.signature(getattr(function, "py_func", function)).bind(*arguments)
    except TypeError as error:
        raise TypeError(f"{name}: got {function!r}, which cannot be called as {call}: {error}") from None
