"""Choosing actions: one uniform number a decision, so that every backend takes the same walk."""

from __future__ import annotations

from typing import Any

import numpy as np


def epsilon_greedy(q: Any, epsilon: float, u: float) -> int:
    """The epsilon-greedy action for one uniform number u in [0, 1); exact ties are broken by the same u.

    q  (A,) action values.
    """
    n_actions = len(q)
    if u < epsilon:
        return min(int(u / epsilon * n_actions), n_actions - 1)
    ties = np.flatnonzero(q == np.max(q))
    if len(ties) == 0:  # NaN among the values
        return min(int(u * n_actions), n_actions - 1)
    return int(ties[min(int((u - epsilon) / (1.0 - epsilon) * len(ties)), len(ties) - 1)])


def generator_state(generator: np.random.Generator) -> dict[str, Any]:
    """A generator's state as JSON can hold it."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, np.ndarray):
            return {"array": value.tolist(), "dtype": value.dtype.str}
        return value.item() if isinstance(value, np.generic) else value

    return plain(generator.bit_generator.state)


def generator_of(state: dict[str, Any]) -> np.random.Generator:
    """The generator of a generator_state.  Errors: ValueError for one that NumPy does not have."""

    def arrays(value: Any) -> Any:
        if isinstance(value, dict):
            if value.keys() == {"array", "dtype"}:
                return np.array(value["array"], dtype=value["dtype"])
            return {key: arrays(each) for key, each in value.items()}
        return value

    name = state["bit_generator"]
    kind = getattr(np.random, name, None)
    base = np.random.BitGenerator
    if not (isinstance(kind, type) and issubclass(kind, base) and kind is not base):
        raise ValueError(f"no bit generator {name!r} in NumPy")
    bits = kind()
    wanted = arrays(state)
    if not _like(wanted, bits.state):
        raise ValueError(f"generator: not a state of NumPy's {name}")
    bits.state = wanted
    return np.random.Generator(bits)


_LAST = {"pos": 624, "buffer_pos": 4}  # NumPy would read from beyond its arrays


def _like(value: Any, example: Any, name: str = "") -> bool:
    """Whether value has the form of a bit generator's state."""
    if isinstance(example, dict):
        return (
            isinstance(value, dict)
            and value.keys() == example.keys()
            and all(_like(value[key], example[key], key) for key in example)
        )
    if isinstance(example, np.ndarray):
        return isinstance(value, np.ndarray) and (value.shape, value.dtype) == (example.shape, example.dtype)
    if isinstance(example, str):
        return value == example
    return type(value) is int and 0 <= value <= _LAST.get(name, value)
