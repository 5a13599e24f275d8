"""Plastic networks in C; csrc/fasttrace.h says what each call does.  See backends.numpy.plasticity."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import ffi, lib

CELLS = {"layer": lib.FT_PLASTIC_LAYER, "rnn": lib.FT_PLASTIC_RNN, "lstm": lib.FT_PLASTIC_LSTM}
MODES = {
    "none": lib.FT_NO_PLASTICITY,
    "plastic": lib.FT_PLASTIC,
    "simple": lib.FT_SIMPLE,
    "retroactive": lib.FT_RETROACTIVE,
}
BOUNDS = {"hard": lib.FT_HARD, "soft": lib.FT_SOFT, "decay": lib.FT_DECAY}
MODULATIONS = {
    "tanh": lib.FT_TANH_MODULATION,
    "sigmoid": lib.FT_SIGMOID_MODULATION,
    "linear": lib.FT_LINEAR_MODULATION,
}
_READ = ("W", "al", "gates", "wm", "fw", "fb", "pre", "modulation", "h0", "c0", "hebb0", "E0")
_WRITTEN = ("u", "h", "c", "M", "hebb", "E")
_GIVEN = ("dh", "dM", "dc", "dhebb", "dE")
_GRADIENTS = ("u", "M", "pre", "h0", "c0", "hebb0", "E0")
_KINDS = {4: (ffi.typeof("float[]"), "f32"), 8: (ffi.typeof("double[]"), "f64")}


class _Call:
    """The structs of one pass, and the buffers that they point into."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._arrays, self.suffix = _KINDS[dtype.itemsize]
        self._keep: list[Any] = []

    def pointer(self, array: Any, written: bool = False) -> Any:
        if array is None:
            return ffi.NULL
        pointer = ffi.from_buffer(self._arrays, array, written)
        self._keep.append(pointer)
        return pointer

    def function(self, name: str) -> Any:
        return getattr(lib, f"ft_{name}_{self.suffix}")

    def sizes(self, p: Any) -> Any:
        """What a workspace depends on, and no more."""
        net = ffi.new(f"ft_plastic_{self.suffix} *")
        _, net.T, net.B, net.n_post = p.u.shape
        net.n_pre = p.W.shape[1]
        net.cell, net.mode = CELLS[p.cell], MODES[p.mode]
        return net

    def network(self, p: Any, written: bool = False) -> Any:
        """`written`: it is to run forward; the way back reads what that has left."""
        net = self.sizes(p)
        net.soft, net.fan_out = BOUNDS[p.bound], p.fan_out
        net.activation, net.plain = MODULATIONS[p.activation], p.plain
        net.per_neuron = p.modulation is not None and p.modulation.ndim == 3
        al = np.broadcast_to(p.al, p.W.shape)
        net.al_post, net.al_pre = (stride // al.itemsize for stride in al.strides)
        net.clip, net.eta, net.bm = p.clip, p.eta, p.bm
        for name in _READ:
            setattr(net, name, self.pointer(getattr(p, name)))
        for name in _WRITTEN:
            setattr(net, name, self.pointer(getattr(p, name), written))
        return net


def work_size(p: Any, spacing: int) -> int:
    """Numbers of workspace; spacing 0: of forward."""
    call = _Call(p.dtype)
    return call.function("plastic_work")(call.sizes(p), spacing)


def _runner(call: _Call, name: str, net: Any, *rest: Any) -> Callable[[int, int], None]:
    """run(begin, end) does those units of the work; csrc/fasttrace.h says which they are."""
    function, keep = call.function(name), call

    def run(begin: int, end: int) -> None:
        net.begin, net.end = begin, end
        if status := function(net, *rest):
            raise RuntimeError(f"ft_{name}_{keep.suffix}: status {status} for units {begin} to {end}")

    return run


def forward(p: Any, first: int, last: int, work: Any) -> Callable[[int, int], None]:
    call = _Call(p.dtype)
    net = call.network(p, written=True)
    return _runner(call, "plastic_forward", net, first, last, call.pointer(work, True))


def backward(
    p: Any, up: Any, g: Any, first: int, last: int, work: Any, spacing: int
) -> tuple[Callable[[int, int], None], dict[str, Any]]:
    call, H = _Call(p.dtype), p.W.shape[0]
    al, sums = np.empty(p.W.shape, p.dtype), np.empty(3 * H + 2)
    back = ffi.new(f"ft_plastic_back_{call.suffix} *")
    for name in _GIVEN:
        setattr(back, name, call.pointer(getattr(up, name)))
    for name in _GRADIENTS:
        setattr(back, name, call.pointer(getattr(g, name), True))
    back.al, back.sums = call.pointer(al, True), ffi.from_buffer("double[]", sums, require_writable=True)
    net = call.network(p)
    run = _runner(call, "plastic_backward", net, back, first, last, spacing, call.pointer(work, True))
    wm, fw, fb = sums[: 3 * H].reshape(3, H)
    bm, eta = sums[-2:-1].reshape(()), sums[-1:].reshape(())
    return run, {"al": al, "wm": wm, "bm": bm, "fw": fw, "fb": fb, "eta": eta}


def hebbian_step(
    hebb: Any, E: Any, post: Any, pre: Any, modulation: Any, mode: str, eta: Any, clip: Any, bound: str
) -> tuple[Any, Any]:
    if mode != "none":
        call = _Call(hebb.dtype)
        pointer, live = call.pointer, (call.pointer(hebb, True), call.pointer(E, True))
        read = pointer(post), pointer(pre), pointer(modulation)
        call.function("hebbian_step")(*hebb.shape, *live, *read, MODES[mode], BOUNDS[bound], eta, clip)
    return hebb, E
