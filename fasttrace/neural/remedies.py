"""What the learners against stale traces carry from step to step; one layout for all backends.

csrc/fasttrace.h draws it.  See trace.py for what the methods promise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backends import Name
from ..memory import Array, aligned_zeros, check_arrays, owned
from .network import MLP
from .trace import Kept


class _State:
    """Arrays beside one network or two.  Not for use by itself.

    _named    attributes that are saved, arrays and numbers
    n_traces  discounts and lambdas of a step
    """

    _named: tuple[str, ...]
    n_traces = 1

    def __init__(self, backend: Name, *nets: MLP) -> None:
        self.backend, self.nets = backend, list(nets)
        self.handle: Any = None  # of the backend, made when first used
        self.to(backend)

    def to(self, backend: Name) -> Any:
        """The layout is one for all: the same state."""
        self.backend, self.handle = backend, None
        for net in self.nets:
            net.to(backend)
        return self

    def arrays(self) -> dict[str, Array]:
        found = {f"params{number or ''}": net.params for number, net in enumerate(self.nets)}
        return found | {name: np.asarray(getattr(self, name)) for name in self._named}

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        own = self.arrays()
        check_arrays(arrays, own)
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(f"state: {name} has a number that is not finite")
        for name, array in arrays.items():
            mine = getattr(self, name, None)
            if isinstance(mine, (int, float)):
                setattr(self, name, type(mine)(array))
            else:
                own[name][...] = array

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "handle": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(owned(state))


class ForwardState(_State):
    """Transitions that wait for their lambda-return: a ring of window + 1 slots, the oldest in `first`.

    states (window + 1, i), values (window + 1, m): of S_{t+1}; rewards, gammas, lambdas (window + 1, m)
    """

    _named = ("states", "values", "rewards", "gammas", "lambdas", "first", "waiting")

    def __init__(self, backend: Name, net: MLP, window: int, fresh: bool) -> None:
        super().__init__(backend, net)
        self.net, self.window, self.fresh, self.m = net, window, fresh, net.n_outputs
        self.n_traces = self.m
        self.first, self.waiting, self.alpha = 0, 0, 0.0
        m, slots = self.m, window + 1
        self.states = aligned_zeros(slots * net.n_inputs, net.dtype).reshape(slots, -1)
        self.values = aligned_zeros(slots * m, net.dtype).reshape(slots, m)
        self.rewards, self.gammas, self.lambdas = (
            aligned_zeros(slots * m, np.float64).reshape(slots, m) for _ in range(3)
        )

    def dense(self) -> tuple[Any, Any]:
        """Copies of the parameters, and of a trace that there is none of."""
        return self.net.params.copy(), np.zeros_like(self.net.params)

    def reset(self) -> None:
        self.first, self.waiting = 0, 0

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        first, waiting = (int(arrays[name]) for name in ("first", "waiting"))
        if not (0 <= first <= self.window and 0 <= waiting < self.window):
            raise ValueError(
                f"state: {waiting} transitions wait from slot {first}, the window is {self.window}"
            )
        super().set_arrays(arrays)


class GradientState(_State):
    """Two networks, q and h, and three traces: z_w and z_theta (n,) of their gradients, z_h of h itself.

    cut   whether an action that is not greedy ends the traces
    kept  running statistics of states and rewards, and the last state; None where there are none
    """

    _named = ("z_w", "z_theta", "z_h", "decay")

    def __init__(self, backend: Name, q: MLP, h: MLP, cut: bool, kept: Kept | None = None) -> None:
        super().__init__(backend, q, h)
        self.q, self.h, self.cut = q, h, cut
        self.kept: Any = kept
        self.z_w, self.z_theta = (aligned_zeros(q.n_params, q.dtype) for _ in range(2))
        self.z_h, self.decay, self.greedy = 0.0, 0.0, True
        self.alpha, self.alpha_h, self.beta = 0.0, 0.0, 0.0
        self.rhos: Array | None = None  # (T,) of the run that goes on

    def dense(self) -> tuple[Any, Any]:
        return self.q.params.copy(), self.z_w.copy()

    def reset(self) -> None:
        self.z_w[:], self.z_theta[:], self.z_h, self.decay = 0, 0, 0.0, 0.0
        if self.kept is not None:
            self.kept.held = 0.0

    def arrays(self) -> dict[str, Array]:
        return super().arrays() | ({} if self.kept is None else {"kept": self.kept.memory})


class ExpectedState(_State):
    """Traces: z (n - k,) of the body, y (k,) of the last layer; and its expectation, Theta (k, k)."""

    _named = ("z", "y", "Theta", "decay")

    def __init__(self, backend: Name, net: MLP) -> None:
        super().__init__(backend, net)
        self.net, self.k = net, net.sizes[-2] + 1
        self.z = aligned_zeros(net.n_params - self.k, net.dtype)
        self.y = aligned_zeros(self.k, net.dtype)
        self.Theta = aligned_zeros(self.k * self.k, net.dtype).reshape(self.k, self.k)
        self.alpha, self.alpha_z, self.eta, self.decay = 0.0, 0.0, 0.0, 0.0

    def dense(self) -> tuple[Any, Any]:
        return self.net.params.copy(), np.concatenate([self.z, self.y])

    def reset(self) -> None:
        self.z[:], self.y[:], self.decay = 0, 0, 0.0
