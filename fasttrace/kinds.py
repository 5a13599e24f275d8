"""Kinds of arrays: NumPy's, PyTorch's, JAX's, CuPy's, and whatever else has DLPack.

What is not NumPy's is read where it lies, as far as that can be, and what is made for it becomes its kind.
No library is imported here: one that has made an array is there already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .memory import Array
from .quick import native

CPU = "cpu"
_DLPACK = {1: CPU, 2: "cuda", 3: CPU, 4: "opencl", 7: "vulkan", 8: "metal", 10: "rocm", 11: CPU, 13: "cuda"}
_NUMBERS = (bool, int, float, np.generic, str)  # they go with everything, and so does None
_kinds: dict[type, Kind | None] = {type(None): None}
_none: dict[str, Any] = {}


class Kind:
    """One library's arrays; this one is NumPy's, and all that np.asarray takes."""

    name = "NumPy"
    like = "a NumPy array"

    def device(self, value: Any) -> str:
        """Where it lies: "cpu", "cuda:0", or what else there is."""
        return CPU

    def is_bfloat16(self, value: Any) -> bool:
        return getattr(getattr(value, "dtype", None), "name", None) == "bfloat16"

    def requires_grad(self, value: Any) -> bool:
        """Whether an operation on it would be recorded."""
        return False

    def array(self, name: str, value: Any) -> Array:
        """It on the CPU as NumPy's: a view where it can be one, float32 for bfloat16."""
        array = np.asarray(value)
        return array.astype(np.float32) if self.is_bfloat16(array) else array

    def back(self, array: Array, of: Any) -> Any:
        """An array of this kind over NumPy's, on the device of another; its bfloat16 where `of` has that."""
        return array.astype(of.dtype) if self.is_bfloat16(of) else array

    def call(self, function: Callable[[Any], Any], name: str, value: Any) -> Any:
        """function(value) in this kind, where NumPy's are what it takes and gives; value may be a pair."""
        if type(value) is tuple:
            arrays = tuple(self.array(f"{name}[{i}]", each) for i, each in enumerate(value))
            return self.back(np.asarray(function(arrays)), value[0])
        return self.back(np.asarray(function(self.array(name, value))), value)


class _Torch(Kind):
    name = "PyTorch"
    like = "a PyTorch tensor"

    def device(self, value: Any) -> str:
        return str(value.device)

    def is_bfloat16(self, value: Any) -> bool:
        return value.dtype is sys.modules["torch"].bfloat16

    def requires_grad(self, value: Any) -> bool:
        return value.requires_grad and sys.modules["torch"].is_grad_enabled()

    def array(self, name: str, value: Any) -> Array:
        torch = sys.modules["torch"]
        if value.requires_grad and torch.is_grad_enabled():
            raise TypeError(
                f"{name}: got a tensor that requires grad, which nothing would come back to; expected "
                f"{name}.detach(), or the call within torch.no_grad()"
            )
        if value.layout is not torch.strided:
            raise TypeError(f"{name}: got a tensor of layout {value.layout}, expected {name}.to_dense()")
        if value.is_quantized:
            raise TypeError(f"{name}: got a tensor that is quantised, expected {name}.dequantize()")
        if value.requires_grad:
            value = value.detach()
        if value.dtype is torch.bfloat16:
            value = value.float()
        try:
            return (value.resolve_neg() if value.is_neg() else value).numpy()
        except (RuntimeError, TypeError, NotImplementedError) as error:  # its types that NumPy lacks
            raise TypeError(f"{name}: got a tensor that NumPy cannot read ({error})") from error

    def back(self, array: Array, of: Any) -> Any:
        tensor = sys.modules["torch"].from_numpy(array)
        return tensor.bfloat16() if self.is_bfloat16(of) else tensor


class _Jax(Kind):
    name = "JAX"
    like = "a JAX array"

    def device(self, value: Any) -> str:
        found = {device.platform: device for device in value.devices()}
        if found.keys() == {CPU}:
            return CPU
        (platform, *_) = sorted(found)
        return f"cuda:{found[platform].id}" if platform == "gpu" else platform

    def back(self, array: Array, of: Any) -> Any:
        jax = sys.modules["jax"]
        array = jax.numpy.asarray(super().back(array, of))
        return jax.device_put(array, min(of.devices(), key=lambda device: device.id))


class _Traced(_Jax):
    def device(self, value: Any) -> str:
        raise TypeError(
            "got an array that JAX is tracing; for jit, grad and vmap ft.jax has the functions of ft.returns"
        )


class _DLPack(Kind):
    """Anything with DLPack, named by its library."""

    def __init__(self, kind: type) -> None:
        self.root = kind.__module__.partition(".")[0]
        self.name = {"cupy": "CuPy"}.get(self.root, self.root)
        self.like = f"an array of {self.name}"

    def device(self, value: Any) -> str:
        if not hasattr(value, "__dlpack_device__"):
            return "cuda"
        kind, which = value.__dlpack_device__()
        name = _DLPACK.get(int(kind), f"device {int(kind)} of DLPack")
        return name if name == CPU else f"{name}:{which}"

    def array(self, name: str, value: Any) -> Array:
        try:
            array = np.from_dlpack(value)
        except Exception as error:  # each library has its own
            raise TypeError(f"{name}: got {self.like} that NumPy cannot read ({error})") from error
        return array

    def back(self, array: Array, of: Any) -> Any:
        space = of.__array_namespace__() if hasattr(of, "__array_namespace__") else sys.modules[self.root]
        return space.from_dlpack(array) if hasattr(space, "from_dlpack") else array


NUMPY, TORCH, JAX, _TRACED = Kind(), _Torch(), _Jax(), _Traced()


def kind_of(value: Any) -> Kind | None:
    """The kind of an argument; None of what goes with all of them."""
    try:
        kind = _kinds[type(value)]
    except KeyError:
        kind = _kinds[type(value)] = _find(value)
    return None if kind is NUMPY and getattr(value, "shape", None) == () else kind


def _find(value: Any) -> Kind | None:
    if isinstance(value, _NUMBERS):
        return None
    if isinstance(value, (np.ndarray, list, tuple)):
        return NUMPY
    torch, jax = sys.modules.get("torch"), sys.modules.get("jax")
    if torch is not None and isinstance(value, torch.Tensor):
        exchange = getattr(torch.Tensor, "__dlpack_c_exchange_api__", None)
        if native and exchange is not None:  # from now on the usual calls of fasttrace.returns are quick
            native.tensors(torch.Tensor, exchange, torch.is_grad_enabled)
        return TORCH
    if jax is not None and isinstance(value, jax.Array):
        return _TRACED if isinstance(value, jax.core.Tracer) else JAX
    if hasattr(value, "__dlpack__") or hasattr(value, "__cuda_array_interface__"):
        return _DLPack(type(value))
    return NUMPY


def one_kind(given: Mapping[str, Any], flags: tuple[str, ...] = ()) -> tuple[Kind | None, str]:
    """(what kind all these arguments are of, on which device); None for none of a kind.

    flags  names of those that may be NumPy's where the others lie on the CPU

    Errors: TypeError for two kinds, and for two devices.
    """
    first, kind, place = "", None, CPU
    for name, value in given.items():
        its = kind_of(value)
        if its is None or (kind is not None and its is NUMPY and kind is NUMPY):
            continue
        try:
            where = its.device(value)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        if kind is None:
            first, kind, place = name, its, where
        elif its.name != kind.name and not (its is NUMPY and name in flags and place == CPU):
            raise TypeError(
                f"{name}: got {its.like} beside {kind.like} as {first}, expected arrays of one kind"
            )
        elif where != place:
            raise TypeError(f"{name}: got an array on {where} beside {first} on {place}, expected one device")
    return kind, place


def foreign(value: Any) -> Kind | None:
    """The kind of an argument, or of the first of a pair, if it is not NumPy's; else None."""
    if type(value) is np.ndarray:
        return None
    kind = kind_of(value[0] if type(value) is tuple and value else value)
    return None if kind is NUMPY else kind
