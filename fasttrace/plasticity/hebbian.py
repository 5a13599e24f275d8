"""Synapses that are modulated from outside: those of a layer, and the trace of one matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import arguments
from ..backends import Backend, module, resolve
from ..memory import Array, aligned_zeros, dtype_of
from .checks import (
    BOUNDS,
    MODES,
    Alpha,
    Bound,
    Mode,
    Modulated,
    Owner,
    array_of,
    write,
)
from .networks import Plastic
from .sequence import PlasticState


class PlasticLayer(Plastic):
    """y = tanh((W + al * Hebb) x), with outer(y, x) in the trace and the modulation given from outside.

    Options as PlasticRNN's, but for those of a modulation of its own.

    params   W (n_out, n_in), al, eta
    """

    _cell = "layer"
    _recurrent = ("W",)
    _modulates = False

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        mode: Mode = "simple",
        clip: float = 1.0,
        eta: float = 0.1,
        bound: Bound = "hard",
        modulated: Modulated = "all",
        alpha: Alpha = "synapse",
        seed: Any = 0,
        dtype: Any = np.float32,
        backend: Backend = "auto",
    ) -> None:
        super().__init__(
            arguments.count("n_in", n_in),
            arguments.count("n_out", n_out),
            mode=mode,
            clip=clip,
            bound=bound,
            fan_out=False,
            modulation="tanh",
            modulated=modulated,
            alpha=alpha,
            eta=eta,
            seed=seed,
            dtype=dtype,
            backend=backend,
        )

    def _n_pre(self) -> int:
        return self._n_inputs

    @property
    def n_in(self) -> int:
        return self._n_inputs

    @property
    def n_out(self) -> int:
        return self._n_hidden

    def step(self, x: Any, state: PlasticState, modulation: Any = None) -> Array:
        """One step of x (B, n_in): y (B, n_out); modulation (B,) or (B, n_out).  In place."""
        return self._step(x, state, modulation).h[0]


class HebbianTrace(Owner):
    """Hebb and E of one matrix of synapses, moved step by step.

        plastic      Hebb <- clip(Hebb + eta outer(post, pre))
        simple       Hebb <- clip(Hebb + modulation outer(post, pre))
        retroactive  Hebb <- clip(Hebb + modulation E), then E <- (1 - eta) E + eta outer(post, pre)

    With bound "decay" outer(post, pre) - Hebb stands for the product there, and E - Hebb for E; "soft" as
    PlasticRNN's.

    shape    (post, pre)
    hebb, E  the live arrays.  What is assigned is checked, and copied into them; what is written into them is
             not looked at by a step, which would take up to twice as long: NaN stays where it is
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        clip: float = 1.0,
        mode: Mode = "retroactive",
        eta: float = 0.1,
        bound: Bound = "hard",
        dtype: Any = np.float32,
        backend: Backend = "auto",
    ) -> None:
        if not isinstance(shape, (tuple, list)) or len(shape) != 2:
            raise ValueError(f"shape: got {shape!r}, expected (post, pre)")
        post, pre = (arguments.count(name, n) for name, n in zip(("post", "pre"), shape, strict=True))
        self.mode = arguments.choice("mode", mode, MODES)
        self.clip = arguments.positive("clip", clip)
        self.bound = arguments.choice("bound", bound, BOUNDS)
        self.eta = arguments.unit("eta", eta)
        self.dtype = dtype_of(dtype)
        self.backend = resolve(backend)
        self._hebb = aligned_zeros(post * pre, self.dtype).reshape(post, pre)
        self._E = aligned_zeros(post * pre, self.dtype).reshape(post, pre)

    @property
    def hebb(self) -> Array:
        """Hebb (post, pre)."""
        return self._hebb

    @hebb.setter
    def hebb(self, value: Any) -> None:
        self._hebb[:] = array_of("hebb", value, self._hebb.shape, self.dtype)

    @property
    def E(self) -> Array:  # noqa: N802 - the contract's name
        """The eligibility trace (post, pre)."""
        return self._E

    @E.setter
    def E(self, value: Any) -> None:  # noqa: N802 - the contract's name
        self._E[:] = array_of("E", value, self._E.shape, self.dtype)

    def reset(self) -> None:
        """Hebb and E become 0."""
        self.hebb[:] = 0
        self.E[:] = 0

    def step(self, post: Any, pre: Any, modulation: Any = 1.0) -> None:
        """Move Hebb, then E, in place.

        post, pre   (post,), (pre,) activities
        modulation  a number, or (post,), one a neuron; without effect in the modes none and plastic
        """
        n_post, n_pre = self.hebb.shape
        post = array_of("post", post, (n_post,), self.dtype)
        pre = array_of("pre", pre, (n_pre,), self.dtype)
        if np.ndim(modulation) == 0:
            gain = np.full(n_post, arguments.finite("modulation", modulation), self.dtype)
        else:
            gain = array_of("modulation", modulation, (n_post,), self.dtype)
        if not (self._hebb.flags.writeable and self._E.flags.writeable):
            raise ValueError("hebb, E: got a read-only array, expected what a step can write to")
        step = module(self.backend, "plasticity").hebbian_step
        hebb, E = step(
            self._hebb, self._E, post, pre, gain, self.mode, self.dtype.type(self.eta),
            self.dtype.type(self.clip), self.bound,
        )  # fmt: skip
        if hebb is not self._hebb:
            write([self._hebb, self._E], [hebb, E])

    def __repr__(self) -> str:
        return (
            f"HebbianTrace({self.hebb.shape}, clip={self.clip!r}, mode={self.mode!r}, eta={self.eta!r}, "
            f"bound={self.bound!r}, dtype={self.dtype.name}, backend={self.backend!r})"
        )
