"""What learners with networks carry from step to step: parameters, traces, running statistics.

One layout for all backends; csrc/fasttrace.h draws it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Name
from ..memory import Float64, aligned_copy, aligned_zeros, check_arrays, owned
from ..record import Record
from .network import MLP
from .optimisers import Optimiser

_FIRST = ("held", "count", "discounted", "reward_count", "reward_mean", "reward_p")
_VECTORS = ("mean", "p", "raw", "now", "next")


class Head:
    """A network that learns by traces.

    Z        (n_traces, n), as the last update used it
    v        (n,) second moments, () but for AdaptiveObGD
    numbers  as ft_head_numbers: of them decays (n_traces,) is what decays Z next
    """

    def __init__(self, net: MLP, n_traces: int, optimiser: Optimiser) -> None:
        self.net, self.n_traces, self.rule = net, n_traces, optimiser
        self._allocate()
        self.numbers = aligned_zeros(3 + 4 * n_traces, np.float64)
        self.power = 1.0

    def _allocate(self) -> None:
        n, dtype = self.net.n_params, self.net.dtype
        self.memory = aligned_zeros(self.n_traces * n, dtype)
        self.Z = self.memory.reshape(self.n_traces, n)
        self.moments = aligned_zeros(2 * n if self.rule.name == "adaptive_obgd" else 0, dtype)
        self.v = self.moments[: len(self.moments) // 2]  # the rest is the kernels' own

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name not in ("memory", "moments")}
        return {**state, "Z": self.Z.copy(), "v": self.v.copy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.numbers = aligned_copy(self.numbers)
        self._allocate()
        self.Z[:], self.v[:] = state["Z"], state["v"]

    optimiser = property(lambda self: self.rule.name)
    alpha = property(lambda self: self.rule.alpha)
    kappa = property(lambda self: self.rule.kappa)
    beta2 = property(lambda self: self.rule.beta2)
    epsilon = property(lambda self: self.rule.epsilon)

    @property
    def decays(self) -> Float64:
        return self.numbers[3 : 3 + self.n_traces]

    @property
    def bounds(self) -> Float64:
        return self.numbers[3 + self.n_traces : 3 + 2 * self.n_traces]

    @property
    def power(self) -> float:
        return float(self.numbers[1])

    @power.setter
    def power(self, value: float) -> None:
        self.numbers[1] = value

    @property
    def step(self) -> float:
        """The last step size of a bounded update."""
        return float(self.numbers[2])

    @step.setter
    def step(self, value: float) -> None:
        self.numbers[2] = value

    def reset(self) -> None:
        self.Z[:] = 0
        self.decays[:] = 0
        self.bounds[:] = 0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays themselves; of the numbers a copy of those that one step hands to the next."""
        carried = np.array([self.power, self.step, *self.decays])
        return {"params": self.net.params, "Z": self.Z, "v": self.v, "carried": carried}

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        self.net.params[:], self.Z[:], self.v[:] = arrays["params"], arrays["Z"], arrays["v"]
        self.power, self.step = (float(each) for each in arrays["carried"][:2])
        self.decays[:] = arrays["carried"][2:]
        self.bounds[:] = np.abs(self.Z).max(1)


def _part(name: str) -> Any:
    """A number, or a vector, of a Kept's memory as its attribute."""

    def get(kept: Kept) -> Any:
        found = kept.memory[kept.places[name]]
        return float(found) if name in _FIRST else found

    def put(kept: Kept, value: Any) -> None:
        kept.memory[kept.places[name]] = value

    return property(get, put)


class Kept:
    """Running statistics of states and rewards, and the last state.

    held         1 where `raw` and `now` are the state that the learner is in, as it came and as it is given
                 to the network
    count, mean, p          of the states: mean, and sum of squared differences from it
    discounted, reward_...  the discounted sum of rewards, and its statistics
    """

    def __init__(self, n_inputs: int) -> None:
        self.size = len(_FIRST) + len(_VECTORS) * n_inputs
        self.whole = aligned_zeros(2 * self.size, np.float64)  # C keeps a step's beginning in the second half
        self.memory = self.whole[: self.size]
        self.places: dict[str, Any] = {name: place for place, name in enumerate(_FIRST)}
        at = len(_FIRST)
        for name in _VECTORS:
            self.places[name] = slice(at, at + n_inputs)
            at += n_inputs

    def __getstate__(self) -> dict[str, Any]:
        return {"memory": self.memory.copy(), "n_inputs": len(self.mean)}  # type: ignore[attr-defined]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["n_inputs"])  # type: ignore[misc]
        self.memory[:] = state["memory"]


for _name in (*_FIRST, *_VECTORS):
    setattr(Kept, _name, _part(_name))


class NetworkTrace:
    """Everything that a learner with networks has learned.

    heads   the critic, and the actor where there is one
    before  (n,) the critic's parameters before the last update of a call, or None
    """

    def __init__(self, backend: Name, critic: Head, actor: Head | None = None, before: bool = False) -> None:
        self.backend, self.critic, self.actor = backend, critic, actor
        self.heads = [critic] if actor is None else [critic, actor]
        self.nets = [head.net for head in self.heads]
        self.kept: Any = Kept(critic.net.n_inputs)
        self.was_greedy = True
        self.before = aligned_zeros(critic.net.n_params, critic.net.dtype) if before else None
        self.handle: Any = None  # of the backend, made when first used
        for head in self.heads:
            head.net.to(backend)

    n_traces = property(lambda self: self.critic.n_traces)

    def to(self, backend: Name) -> NetworkTrace:
        """The layout is one for all: the same trace."""
        self.backend, self.handle = backend, None
        for head in self.heads:
            head.net.to(backend)
        return self

    def dense(self) -> tuple[Any, Any]:
        """Copies of the critic's parameters and trace, flat."""
        return self.critic.net.params.copy(), self.critic.Z.ravel().copy()

    def reset(self) -> None:
        for head in self.heads:
            head.reset()
        self.kept.held, self.was_greedy = 0.0, True

    def arrays(self) -> dict[str, NDArray[Any]]:
        found = {"kept": self.kept.memory, "was_greedy": np.array(float(self.was_greedy))}
        for name, head in zip(("critic", "actor"), self.heads, strict=False):
            found |= {f"{name}_{part}": array for part, array in head.arrays().items()}
        return found

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        check_arrays(arrays, self.arrays())
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"state: {name} has a number that is not finite")
        self.kept.memory[:] = arrays["kept"]
        for prefix, head in zip(("critic", "actor"), self.heads, strict=False):
            head.set_arrays({part: arrays[f"{prefix}_{part}"] for part in ("params", "Z", "v", "carried")})
        self.was_greedy = bool(arrays["was_greedy"])

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "handle": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(owned(state))


class NetworkStream(Record):
    """Transitions as the backends take them; ft_network_stream in csrc/fasttrace.h.  See Outcome.

    gammas, lambdas  (T, m), or with 1 for T, for m or for both where one number stands for all
    rhos    (T,) of TDRC, or None for 1
    ends    whether the last transition leads to no state
    flat    whether the errors are given as (T,), of one output
    own, u  the policy and the number that the next action is drawn with; own None: actions are given
    choose  the same choice as a function of the outputs, for the reference
    action  that was taken in the first state, where none are given
    """

    steps: int
    method: str
    states: Float64
    rewards: Float64
    gammas: Float64
    lambdas: Float64
    actions: Any = None
    moves: Any = None
    rhos: Any = None
    cut: str = "never"
    n_actions: int = 0
    ends: bool = False
    normalise: bool = False
    scale: bool = False
    normal: bool = False
    entropy: float = 0.0
    lambda_actor: float = 0.0
    own: Any = None
    u: float = 0.0
    choose: Callable[[Any], int] | None = None
    action: int = 0
    flat: bool = True

    def part(self, begin: int, end: int) -> NetworkStream:
        """Steps begin to end - 1, to be learned from after those before them; the whole is itself."""
        if end - begin == self.steps:
            return self
        rows = dict.fromkeys(("rewards", "moves", "rhos"), slice(begin, end))
        rows |= dict.fromkeys(("states", "actions"), slice(begin, end + 1))
        rows |= {name: slice(begin, end) for name in ("gammas", "lambdas") if len(getattr(self, name)) > 1}
        cut = {name: array[at] for name, at in rows.items() if (array := getattr(self, name)) is not None}
        return self.but(steps=end - begin, ends=self.ends and end == self.steps, **cut)

    @property
    def judges(self) -> bool:
        """Whether each action must be judged greedy or not, also at the first state of an episode."""
        return self.method == "q" and self.cut == "taken"


class Outcome:
    """What a stream comes to; a run fills it in.

    deltas  (T, m) TD errors, of the first `done` steps: those that were learned from
    inputs  (T, i) for what the network was given in each, and decays (T, m) for what decayed the trace before
            it; None: not asked for
    q, action_next, greedy  the outputs for the last state that was chosen in, the action chosen there, and
            whether it is greedy
    """

    def __init__(self, deltas: Float64, inputs: Float64 | None = None) -> None:
        self.deltas, self.inputs = deltas, inputs
        self.decays: Float64 | None = None
        self.done, self.action_next, self.greedy = 0, 0, True
        self.q: Any = None

    def part(self, begin: int, end: int) -> Outcome:
        """That of steps begin to end - 1; of all, itself."""
        if end - begin == len(self.deltas):
            return self
        return Outcome(self.deltas[begin:end], None if self.inputs is None else self.inputs[begin:end])

    def errors(self, flat: bool) -> Float64:
        """TD errors of the steps that were learned from, as they are given to the caller."""
        return self.deltas[: self.done, 0] if flat else self.deltas[: self.done]
