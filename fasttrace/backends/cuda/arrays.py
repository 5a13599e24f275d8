"""Arrays of other libraries on a GPU: where their entries are, new ones, and the stream they are made on.

None of these libraries is imported here: whoever has such an array has imported its own.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any, NamedTuple

from . import device


class View(NamedTuple):
    """Where an array lies; strides in entries.  Nothing of it is read."""

    at: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    size: int  # of an entry, in bytes
    device: int

    def span(self) -> tuple[int, int]:
        """The addresses that it lies between."""
        if 0 in self.shape:
            return self.at, self.at
        reach = [(n - 1) * stride * self.size for n, stride in zip(self.shape, self.strides, strict=True)]
        return (
            self.at + sum(min(0, each) for each in reach),
            self.at + sum(max(0, each) for each in reach) + self.size,
        )


class Torch:
    """PyTorch: on its current stream, in whose order its allocator takes memory back."""

    def __init__(self, like: Any) -> None:
        self._like, self._torch = like, sys.modules["torch"]
        self.device: int = like.device.index

    def stream(self) -> int:
        return self._torch.cuda.current_stream(self._like.device).cuda_stream

    def form(self, array: Any) -> Any:
        """All of a view but the address, to compare."""
        grad = array.requires_grad and self._torch.is_grad_enabled()
        return array.shape, array.stride(), array.dtype, array.get_device(), grad, array.is_neg()

    def address(self, array: Any) -> int:
        return array.data_ptr()

    def view(self, name: str, array: Any) -> View:
        if array.is_neg():
            raise TypeError(f"{name}: got a view of negated numbers, expected {name}.resolve_neg()")
        if array.requires_grad and self._torch.is_grad_enabled():
            raise TypeError(
                f"{name}: got a tensor that requires grad, expected {name}.detach(), or no_grad()"
            )
        dtype = str(array.dtype).removeprefix("torch.")
        place = array.data_ptr(), tuple(array.shape), tuple(array.stride())
        return View(*place, dtype, array.element_size(), array.device.index)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        return self._like.new_empty(shape, dtype=getattr(self._torch, dtype), requires_grad=False)

    def cast(self, array: Any, dtype: str) -> Any:
        return array.to(getattr(self._torch, dtype))

    def moved(self, array: Any, source: int, to: int) -> Any:
        """A view with an axis in another place."""
        return array.movedim(source, to)

    def assign(self, out: Any, array: Any) -> None:
        out.copy_(array)

    def finish(self) -> None:
        pass


class CuPy:
    """CuPy: on its current stream."""

    def __init__(self, like: Any) -> None:
        self._cupy = sys.modules["cupy"]
        self.device: int = like.device.id

    def stream(self) -> int:
        return self._cupy.cuda.get_current_stream().ptr

    def form(self, array: Any) -> Any:
        return self.view("array", array)[1:]

    def address(self, array: Any) -> int:
        return array.data.ptr

    def view(self, name: str, array: Any) -> View:
        size = array.dtype.itemsize
        if any(stride % size for stride in array.strides):
            raise ValueError(f"{name}: got strides {array.strides}, expected multiples of {size} bytes")
        strides = tuple(stride // size for stride in array.strides)
        return View(array.data.ptr, array.shape, strides, array.dtype.name, size, array.device.id)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        return self._cupy.empty(shape, dtype)

    def cast(self, array: Any, dtype: str) -> Any:
        return array.astype(dtype)

    def moved(self, array: Any, source: int, to: int) -> Any:
        return self._cupy.moveaxis(array, source, to)

    def assign(self, out: Any, array: Any) -> None:
        out[...] = array

    def finish(self) -> None:
        pass


class Jax:
    """JAX, whose streams are its own: what it still has to do is waited for, and so are the results."""

    def __init__(self, like: Any) -> None:
        self._jax = sys.modules["jax"]
        self._device = next(iter(like.devices()))
        self.device: int = self._device.local_hardware_id

    def stream(self) -> int:
        return 0

    def form(self, array: Any) -> Any:
        return self.view("array", array)[1:]

    def address(self, array: Any) -> int:
        return array.unsafe_buffer_pointer()

    def view(self, name: str, array: Any) -> View:
        array.block_until_ready()
        strides, size = [], 1
        for n in reversed(array.shape):
            strides.append(size)
            size *= n
        device = next(iter(array.devices())).local_hardware_id
        place = array.unsafe_buffer_pointer(), array.shape, tuple(strides[::-1])
        return View(*place, array.dtype.name, array.dtype.itemsize, device)

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        return self._jax.device_put(self._jax.numpy.empty(shape, dtype), self._device).block_until_ready()

    def cast(self, array: Any, dtype: str) -> Any:
        return array.astype(dtype)

    def moved(self, array: Any, source: int, to: int) -> Any:
        return self._jax.numpy.moveaxis(array, source, to)

    def assign(self, out: Any, array: Any) -> None:
        raise TypeError("out: got an array of JAX, which cannot be written to, expected None")

    def finish(self) -> None:
        device.wait(self.device, 0)


KINDS: dict[str, Any] = {"torch": Torch, "cupy": CuPy, "jax": Jax, "jaxlib": Jax}


def library_of(array: Any) -> str:
    kind: Any = type(array)
    return _library(kind)


@cache
def _library(kind: Any) -> str:
    return kind.__module__.partition(".")[0]


def kind_of(name: str, array: Any) -> Any:
    """Errors: TypeError for an array of none of these libraries."""
    kind = KINDS.get(library_of(array))
    if kind is None:
        raise TypeError(
            f"{name}: got {type(array).__name__}, expected an array of PyTorch, CuPy or JAX on a GPU"
        )
    return kind(array)
