"""Weights and traces of many predictions on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import host_of, module
from ..features import Row
from ..memory import Float64
from ..pieces import held
from .horde_trace import SLAB, HordeTrace, LazyHorde, copied_to, new_horde, run_one
from .lanes import Lanes


def _at_home(name: str) -> Any:
    """An attribute that comes home before anybody has it, who may change it."""

    def get(self: DeviceHorde) -> Any:
        self.come_home()
        return self.__dict__[name]

    def set_it(self: DeviceHorde, value: Any) -> None:
        self.come_home()
        self.__dict__[name] = value

    return property(get, set_it)


class _Kernels:
    """The GPU's; the host's where features are looked up."""

    def __init__(self, host: str) -> None:
        self._host, there = module(host, "horde"), module("cuda", "horde")
        self.run, self.values, self.reset = there.run, there.values, there.reset

    def __getattr__(self, name: str) -> Any:
        return getattr(self._host, name)


class DeviceHorde(LazyHorde):
    """LazyHorde on a GPU: what it has learned is there from the first kernel on, until somebody looks.

    backend  the host's, which looks features up
    table    the addresses of slabs there
    """

    on_gpu = True
    words, counters, rings = map(_at_home, ("words", "counters", "rings"))

    def __init__(self, kind: str, n: int, lanes: Lanes, backend: str) -> None:
        self.memory, self._away = module("cuda", "device").Memory(0), False
        super().__init__(kind, n, lanes, backend)

    @property
    def slabs(self) -> list[Float64]:
        self.come_home()
        return self._slabs

    @property
    def kernels(self) -> Any:
        if self._kernels is None:
            self._kernels = _Kernels(self.backend)
        return self._kernels

    def grow(self, slots: int = 0) -> None:
        before = len(self._slabs)
        super().grow(slots)
        try:
            for number in range(before, len(self._slabs)):
                size = self._slabs[number].nbytes
                self.table[number] = self.memory.room(f"slab {number}", size, zeros=True)
        except MemoryError:
            self._forget_slabs(before)
            raise

    def _learned(self) -> dict[str, NDArray[Any]]:
        arrays = {name: self.__dict__[name] for name in ("words", "counters", "rings")}
        used = self._slabs[: -(-self.used // SLAB)]
        return arrays | {f"slab {number}": slab for number, slab in enumerate(used)}

    def go(self) -> tuple[int, int, int]:
        """Be on the GPU; addresses of words, counters and rings."""
        if not self._away:
            for name, array in self._learned().items():
                self.memory.put(name, array)
            self._away = True
        return self.memory.at("words"), self.memory.at("counters"), self.memory.at("rings")

    def come_home(self) -> None:
        """Be here.  Errors: RuntimeError where the GPU does not give it back: it is as it went."""
        if not self._away:
            return
        with held():  # or some would be of before, and some of now
            self._away, there = False, {}
            try:
                for name, array in self._learned().items():
                    there[name] = np.empty_like(array)
                    self.memory.get(name, there[name])
            except RuntimeError as error:
                raise RuntimeError(f"what the horde has learned on the GPU is lost: {error}") from error
            for name, array in self._learned().items():
                array[:] = there[name]

    def step(self, x: Row, x_next: Row, numbers: tuple[Any, ...], own: tuple[Float64, ...]) -> Float64:
        return run_one(self, x, x_next, numbers, own)

    def to(self, backend: str) -> HordeTrace:
        return copied_to(self, backend) if backend == "numpy" else _as(LazyHorde, self, backend)


def horde_in(kind: str, n: int, lanes: Lanes, backend: str) -> HordeTrace:
    """A new one, of a backend that may be "cuda".  Errors: as host_of."""
    name, on_gpu = host_of(backend)
    return DeviceHorde(kind, n, lanes, name) if on_gpu else new_horde(kind, n, lanes, name)


def moved(horde: HordeTrace, backend: str) -> HordeTrace:
    """The same, in another backend, which may be "cuda"; a copy where that has other memory."""
    name, on_gpu = host_of(backend)
    if on_gpu and horde.on_gpu:
        return horde
    there = horde.to(name)
    return _as(DeviceHorde, there, name) if on_gpu and isinstance(there, LazyHorde) else there


def _as(kind: type[LazyHorde], horde: LazyHorde, backend: str) -> LazyHorde:
    other = kind(horde.kind, horde.n, horde.lanes, backend)
    other.set_arrays(horde.arrays())
    return other
