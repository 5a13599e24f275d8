"""Plastic networks in C; csrc/fasttrace.h says what each call does.  See backends.numpy.plasticity."""

from __future__ import annotations

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
_READ = ("W", "al", "gates", "wm", "fw", "fb", "pre", "modulation", "h0", "c0", "hebb0", "E0")
_WRITTEN = ("u", "h", "c", "M", "hebb", "E")
_GIVEN = ("dh", "dM", "dc", "dhebb", "dE")
_GRADIENTS = ("u", "M", "pre", "h0", "c0", "hebb0", "E0")
_SUFFIX = {"float32": "f32", "float64": "f64"}


class _Call:
    """The structs of one pass, and the buffers that they point into."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._arrays = ffi.typeof("float[]" if dtype == np.float32 else "double[]")
        self.suffix = _SUFFIX[dtype.name]
        self._keep: list[Any] = []

    def pointer(self, array: Any) -> Any:
        if array is None:
            return ffi.NULL
        self._keep.append(ffi.from_buffer(self._arrays, array))
        return self._keep[-1]

    def function(self, name: str) -> Any:
        return getattr(lib, f"ft_{name}_{self.suffix}")

    def network(self, p: Any) -> Any:
        net = ffi.new(f"ft_plastic_{self.suffix} *")
        _, net.T, net.B, net.n_post = p.u.shape
        net.n_pre = p.W.shape[1]
        net.cell, net.mode, net.soft, net.fan_out = CELLS[p.cell], MODES[p.mode], p.soft, p.fan_out
        net.per_neuron = p.modulation is not None and p.modulation.ndim == 3
        al = np.broadcast_to(p.al, p.W.shape)
        net.al_post, net.al_pre = (stride // al.itemsize for stride in al.strides)
        net.clip, net.eta, net.bm = p.clip, p.eta, p.bm
        for name in (*_READ, *_WRITTEN):
            setattr(net, name, self.pointer(getattr(p, name)))
        return net


def work_size(p: Any, spacing: int) -> int:
    """Numbers of workspace; spacing 0: of forward."""
    call = _Call(p.dtype)
    return call.function("plastic_work")(call.network(p), spacing)


def forward(p: Any, first: int, last: int, work: Any) -> None:
    call = _Call(p.dtype)
    status = call.function("plastic_forward")(call.network(p), first, last, call.pointer(work))
    assert status == lib.FT_OK


def backward(p: Any, up: Any, g: Any, first: int, last: int, work: Any, spacing: int) -> dict[str, Any]:
    call, H = _Call(p.dtype), p.W.shape[0]
    al, sums = np.empty(p.W.shape, p.dtype), np.empty(3 * H + 2)
    back = ffi.new(f"ft_plastic_back_{call.suffix} *")
    for name in _GIVEN:
        setattr(back, name, call.pointer(getattr(up, name)))
    for name in _GRADIENTS:
        setattr(back, name, call.pointer(getattr(g, name)))
    back.al, back.sums = call.pointer(al), ffi.from_buffer("double[]", sums)
    run = call.function("plastic_backward")
    status = run(call.network(p), back, first, last, spacing, call.pointer(work))
    assert status == lib.FT_OK
    wm, fw, fb = sums[: 3 * H].reshape(3, H)
    return {"al": al, "wm": wm, "bm": sums[-2], "fw": fw, "fb": fb, "eta": sums[-1]}


def hebbian_step(
    hebb: Any, E: Any, post: Any, pre: Any, modulation: Any, mode: str, eta: Any, clip: Any, soft: bool
) -> tuple[Any, Any]:
    if mode != "none":
        call = _Call(hebb.dtype)
        arrays = (call.pointer(each) for each in (hebb, E, post, pre, modulation))
        call.function("hebbian_step")(*hebb.shape, *arrays, MODES[mode], soft, eta, clip)
    return hebb, E
