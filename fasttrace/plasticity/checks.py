"""What networks and traces check of what they are given, and memory that stays their own."""

from __future__ import annotations

from collections import deque
from itertools import repeat
from typing import Any, Literal

import numpy as np

from ..arguments import is_finite, place_of
from ..memory import Array, aligned_copy

Mode = Literal["none", "plastic", "simple", "retroactive"]
Bound = Literal["hard", "soft", "decay"]
Modulation = Literal["tanh", "sigmoid", "linear"]
Modulated = Literal["all", "half"]
Alpha = Literal["synapse", "neuron", "scalar"]
MODES: tuple[Mode, ...] = ("none", "plastic", "simple", "retroactive")
BOUNDS: tuple[Bound, ...] = ("hard", "soft", "decay")
MODULATIONS: tuple[Modulation, ...] = ("tanh", "sigmoid", "linear")
MODULATED: tuple[Modulated, ...] = ("all", "half")
ALPHAS: tuple[Alpha, ...] = ("synapse", "neuron", "scalar")


def array_of(
    name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype[Any], finite: bool = True
) -> Array:
    """`value` itself, or a contiguous copy, if it is of this dtype and shape and finite."""
    array = np.asarray(value)
    if array.dtype != dtype:
        raise TypeError(f"{name}: got dtype {array.dtype}, expected {dtype}, that of the network")
    if array.shape != shape:
        raise ValueError(f"{name}: got shape {array.shape}, expected {shape}")
    if finite and not is_finite(array):
        place = place_of(array)
        raise ValueError(
            f"{name}: entry {', '.join(map(str, place))} is {array[place]}, expected finite numbers"
        )
    return np.require(array, dtype, ["C", "A"])


def steps_of(name: str, value: Any, trailing: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """A sequence (T, B, ...) of at least one step and one element; an error names the step."""
    array = np.asarray(value)
    if array.dtype != dtype:
        raise TypeError(f"{name}: got dtype {array.dtype}, expected {dtype}, that of the network")
    if array.ndim != 2 + len(trailing) or array.shape[2:] != trailing:
        expected = ", ".join(("T", "B", *map(str, trailing)))
        raise ValueError(f"{name}: got shape {array.shape}, expected ({expected})")
    if array.shape[0] == 0 or array.shape[1] == 0:
        what = "sequence" if array.shape[0] == 0 else "batch"
        raise ValueError(f"{name}: got an empty {what}, shape {array.shape}; expected at least 1")
    finite_steps(name, array)
    return array


def finite_steps(name: str, array: Array) -> None:
    if not is_finite(array):
        place = place_of(array)
        where = ", ".join(map(str, place))
        raise ValueError(f"{name}: step {place[0]}: entry {where} is {array[place]}, expected finite numbers")


def first_bad_step(array: Array) -> int | None:
    """The first step of (T, ...) with a number that is not finite."""
    if is_finite(array):
        return None
    return int(np.argmin(np.isfinite(array).reshape(len(array), -1).all(1)))


def write(arrays: list[Array], values: list[Array]) -> None:
    """array[...] = value for each, all or none: in one C call, so that Ctrl-C comes before or after."""
    deque(map(np.ndarray.__setitem__, arrays, repeat(...), values), maxlen=0)


def _own(value: Any) -> Any:
    """Arrays, and those of a dict or list, in memory of their own: what a pickle brings may be read-only."""
    if isinstance(value, dict):
        return {name: _own(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_own(each) for each in value]
    return aligned_copy(value) if isinstance(value, np.ndarray) else value


class Owner:
    """Owns its arrays after a copy and a pickle too."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):  # (of the dict, of the slots)
            for name, value in (part or {}).items():
                setattr(self, name, _own(value))
