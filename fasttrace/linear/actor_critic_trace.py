"""Weights and traces of an actor-critic: two traces, one for each, and what they share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import module
from ..memory import Float64, aligned_zeros, check_arrays
from .trace import new_trace

_NUMBERS = ("discount", "average_reward", "eta")


def _number(name: str) -> Any:
    """An attribute that is a word of ActorCriticTrace.numbers."""
    place = _NUMBERS.index(name)

    def set_it(self: ActorCriticTrace, value: float) -> None:
        self.numbers[place] = value

    return property(lambda self: float(self.numbers[place]), set_it)


class ActorCriticTrace:
    """Two traces, DenseTrace or LazyTrace by the backend.

    critic          of one column: w and its trace
    actor           of a column an action: theta and its trace
    words           the C struct ft_actor_critic: `numbers` (float64), a flag, then C's pointers
    discount        I of the box of section 13.5: the product of discounts since the episode began
    average_reward  of section 13.6; NaN for eta is a task without one
    alpha_actor, lambda_actor  where a stream has none; lambda_actor NaN: the stream's lambdas
    """

    discount, average_reward, eta = map(_number, _NUMBERS)

    def __init__(self, n: int, n_actions: int, backend: str) -> None:
        self.n, self.columns, self.backend = n, n_actions, backend
        self.critic, self.actor = new_trace(n, 1, backend), new_trace(n, n_actions, backend)
        self.words = aligned_zeros(6, np.int64)
        self.numbers = self.words[:3].view(np.float64)
        self.discount, self.average_reward = 1.0, 0.0
        self.handle: Any = None  # the C backend's pointer to words, made when first needed
        self.tune(0.0, math.nan, math.nan, True)

    def tune(self, alpha_actor: float, lambda_actor: float, eta: float, discount_actor: bool) -> None:
        """Options that the kernels take from here."""
        self.alpha_actor, self.lambda_actor, self.eta = alpha_actor, lambda_actor, eta
        self.words[3] = discount_actor

    @property
    def discount_actor(self) -> bool:
        return bool(self.words[3])

    def dense(self) -> tuple[Float64, Float64]:
        """Copies of the critic's weights and trace, both (n,)."""
        return self.critic.dense()

    def set_weights(self, w: Float64) -> None:
        self.critic.set_weights(w)

    def to(self, backend: str) -> ActorCriticTrace:
        self.critic, self.actor = self.critic.to(backend), self.actor.to(backend)
        self.backend, self.handle = backend, None
        return self

    def reset(self) -> None:
        module(self.backend, "actor_critic").reset(self)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but options and C's pointers, for a checkpoint that goes on bit for bit."""
        parts = {"critic": self.critic, "actor": self.actor}
        arrays = {f"{part}_{name}": a for part, trace in parts.items() for name, a in trace.arrays().items()}
        return arrays | {"shared": self.numbers[:2]}

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        """Become what arrays() gave.  Errors: ValueError, also for what kernels could not trust."""
        check_arrays(arrays, self.arrays())
        if not 0.0 <= arrays["shared"][0] <= 1.0:
            raise ValueError(f"state: a product of discounts of {arrays['shared'][0]}, expected 0 to 1")
        for part, trace in (("critic_", self.critic), ("actor_", self.actor)):
            own = {name.removeprefix(part): a for name, a in arrays.items() if name.startswith(part)}
            trace.set_arrays(own)
        self.numbers[:2] = arrays["shared"]

    def __getstate__(self) -> dict[str, Any]:
        options = (self.alpha_actor, self.lambda_actor, self.eta, self.discount_actor)
        size = (self.n, self.columns, self.backend)
        return {"size": size, "options": options, "arrays": self.arrays()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["size"])  # type: ignore[misc]
        self.tune(*state["options"])
        self.set_arrays(state["arrays"])
