"""What networks carry from step to step, and what they have run through."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..memory import Array
from .checks import Owner


class PlasticState(Owner):
    """What a network carries from step to step, for each of B elements.

    h, c     (B, H); None where the network has none (c: LSTM only; a layer has neither)
    hebb, E  (B, post, pre); E stays 0 outside the retroactive mode
    """

    __slots__ = ("E", "c", "h", "hebb")

    def __init__(self, h: Array | None, c: Array | None, hebb: Array, E: Array) -> None:
        self.h, self.c, self.hebb, self.E = h, c, hebb, E

    def _arrays(self) -> list[Array]:
        return [each for each in (self.h, self.c, self.hebb, self.E) if each is not None]

    def copy(self) -> PlasticState:
        each = (None if a is None else a.copy() for a in (self.h, self.c, self.hebb, self.E))
        return PlasticState(*each)  # type: ignore[arg-type]

    def reset(self, mask: Any = None) -> None:
        """Begin anew where mask (B,) is True, None: everywhere.  In place."""
        B = len(self.hebb)
        chosen = np.ones(B, bool) if mask is None else np.asarray(mask)
        if chosen.dtype != bool:
            raise TypeError(f"mask: got dtype {chosen.dtype}, expected bool")
        if chosen.shape != (B,):
            raise ValueError(f"mask: got shape {chosen.shape}, expected ({B},)")
        for array in self._arrays():
            array[chosen] = 0

    def __repr__(self) -> str:
        names = ", ".join(name for name in ("h", "c", "hebb", "E") if getattr(self, name) is not None)
        return f"PlasticState(B={len(self.hebb)}; {names})"


@dataclass
class Pass(Owner):
    """T steps of a batch: what a backend's kernels read and write.  H post, K pre neurons.

    u           (G, T, B, H) what inputs and biases add; forward leaves the activations there.
                G = 1: layer, RNN (u[0] is then h itself); 4: i, j, f, o of the LSTM
    W           (H, K); al broadcasts against it; gates (3, H, H) are Wjh, Wfh, Woh; wm, fw, fb (H,)
    pre         (T, B, K), a layer's inputs, else None
    modulation  given from outside: (T, B), for a layer also (T, B, H); else None
    h0 ...      the state before, each None for 0; hebb, E  that afterwards (B, H, K)
    h, c        (T, B, H); c is None but for the LSTM
    M           (T, B); None where the modulation is by the neuron
    plain       so many neurons, the last, take eta and no modulation
    """

    cell: str
    mode: str
    bound: str
    activation: str
    plain: int
    fan_out: bool
    clip: float
    dtype: np.dtype[Any]
    u: Array
    h: Array
    hebb: Array
    E: Array
    W: Array
    al: Array
    wm: Array
    bm: Array
    eta: Array
    fw: Array
    fb: Array
    gates: Array | None = None
    pre: Array | None = None
    modulation: Array | None = None
    c: Array | None = None
    M: Array | None = None
    h0: Array | None = None
    c0: Array | None = None
    hebb0: Array | None = None
    E0: Array | None = None

    def seen(self) -> tuple[Array, Array]:
        """h and M as a sequence has them: not to be written to, the way back reads them."""
        h, M = self.h.view(), (self.modulation if self.M is None else self.M).view()  # type: ignore[union-attr]
        h.flags.writeable = M.flags.writeable = False
        return h, M

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "h": None if self.c is None else self.h}

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        if self.c is None:
            self.h = self.u[0]


@dataclass
class Sequence(Owner):
    """A sequence that has run; `backward` of the network that made it takes it.

    h      (T, B, H), for a layer also called y
    M      (T, B); a layer's is what it was given
    state  after the last step

    Its arrays are read-only, but for those of `state`, with which a further sequence or step may go on.
    """

    h: Array
    M: Array | None
    state: PlasticState
    _pass: Pass = field(repr=False)
    _owner: Any = field(repr=False)
    _xs: Array = field(repr=False)
    _Wx: list[Array] = field(repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "h": None, "M": None}  # views

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.h, self.M = self._pass.seen()
        self.state = copy.copy(self.state)

    @property
    def y(self) -> Array:
        return self.h
