"""Choosing actions: one uniform number a decision, so that every backend takes the same walk."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from .layout import NO_OPTIONS, Options

Policy = Literal["epsilon", "softmax"]
POLICIES: tuple[Policy, ...] = ("epsilon", "softmax")
Own = tuple[Policy, float]  # a learner's policy: ("epsilon", epsilon) or ("softmax", temperature)


class Method(NamedTuple):
    """What a loop has to know of a learner, to run its kernel.

    stem     the module of each backend that holds the kernel
    kernel   its <kernel>_run there
    kind     of the trace; told: (kind,) where the kernel takes one, else ()
    target   what the value of S_{t+1} is; csrc/fasttrace.h lists them
    own      the policy that chooses the actions
    sigma    of QSigma; options of the kind of trace
    numbers  alpha, gamma, lambda
    trace    weights and trace, the learner's own memory
    run      learns from a stream; values, where the backend has it, reads rows: values(trace, rows)
    """

    stem: str
    kernel: str
    kind: str
    told: tuple[str, ...]
    target: str
    own: Own
    sigma: float
    numbers: tuple[float, float, float]
    trace: Any
    run: Callable[[Any], Any]
    values: Callable[[Any, Any], Any] | None
    options: Options = NO_OPTIONS


def choose(q: Any, own: Own, u: float) -> int:
    """The action of a policy for one uniform number u in [0, 1).

    q  (A,) action values.
    """
    if own[0] == "epsilon":
        return epsilon_greedy(q, own[1], u)
    weights, total = _boltzmann(q, own[1])
    if not total < math.inf:
        return _pick(u, len(q))
    before = 0.0
    for a, weight in enumerate(weights):
        before += weight
        if u * total < before:
            return a
    return len(q) - 1


def probabilities(q: Any, own: Own) -> list[float]:
    """(A,) probabilities of a policy; ties share what is greedy alike."""
    n_actions = len(q)
    if own[0] == "softmax":
        weights, total = _boltzmann(q, own[1])
        return [weight / total for weight in weights]
    ties = [value == max(q) for value in q]
    count = sum(ties)
    return [own[1] / n_actions + (1.0 - own[1]) / count * tie if count else math.nan for tie in ties]


def _boltzmann(q: Any, temperature: float) -> tuple[list[float], float]:
    """exp((q - max q) / temperature), and its sum: NaN where q is not finite."""
    best = max(q)
    weights = [math.exp((value - best) / temperature) for value in q]
    total = 0.0
    for weight in weights:
        total += weight
    return weights, total


def _pick(part: float, count: int) -> int:
    return min(int(part * count), count - 1)


def epsilon_greedy(q: Any, epsilon: float, u: float) -> int:
    """The epsilon-greedy action for one uniform number u in [0, 1); exact ties are broken by the same u.

    q  (A,) action values.
    """
    n_actions = len(q)
    if u < epsilon:
        return _pick(u / epsilon, n_actions)
    ties = np.flatnonzero(q == np.max(q))
    if len(ties) == 0:  # NaN among the values
        return _pick(u, n_actions)
    return int(ties[_pick((u - epsilon) / (1.0 - epsilon), len(ties))])


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
