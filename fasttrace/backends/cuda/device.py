"""Launches, through the driver's own interface: it takes structs by value, and any library's streams."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BackendUnavailable
from .compiler import cubin, nvrtc


@cache
def _driver() -> Any:
    from cuda.bindings import driver

    driver.cuInit(0)
    return driver


def _call(name: str, *given: Any) -> Any:
    """What a function of the driver returns beside its status, which RuntimeError names if it is bad."""
    return _checked(name, *getattr(_driver(), name)(*given))


def _checked(name: str, status: Any, *found: Any) -> Any:
    if status.value:
        raise RuntimeError(f"{name} of the CUDA driver: {status.name}")
    return found[0] if found else None


def probe() -> None:
    """Whatever it raises is why this backend is not there: a package, the driver or a device is missing."""
    nvrtc()
    try:
        found = _call("cuDeviceGetCount")
    except Exception as error:  # the finder's own where there is no library
        raise RuntimeError(f"there is no driver of CUDA, or it does not start ({error})") from error
    if not found:
        raise RuntimeError("there is a driver of CUDA and no device")


@cache
def _need() -> None:
    try:
        probe()
    except Exception as error:
        raise BackendUnavailable(f"backend 'cuda' is not available: {error}") from error


@cache
def arch(device: int) -> str:
    """Such as "sm_90"."""
    names = _driver().CUdevice_attribute
    major, minor = (
        _call(
            "cuDeviceGetAttribute", getattr(names, f"CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_{part}"), device
        )
        for part in ("MAJOR", "MINOR")
    )
    return f"sm_{major}{minor}"


@cache
def _context(device: int) -> Any:
    """The one that all libraries share."""
    return _call("cuDevicePrimaryCtxRetain", _call("cuDeviceGet", device))


@contextmanager
def _current(device: int) -> Iterator[None]:
    _call("cuCtxPushCurrent", _context(device))
    try:
        yield
    finally:
        _call("cuCtxPopCurrent")


@cache
def _library(stem: str, architecture: str, *macros: str) -> Any:
    code = cubin(stem, architecture, *macros)
    return _call("cuLibraryLoadData", code, None, None, 0, None, None, 0)


@cache
def _kernel(name: str, *made_from: str) -> Any:
    kernel = _call("cuLibraryGetKernel", _library(*made_from), name.encode())
    return _driver().CUfunction(int(kernel))  # of whichever context is current at the launch


def prepare(stem: str, macros: Sequence[str], name: str, device: int) -> None:
    """Compile what is to be launched.  Errors: as launch."""
    _need()
    _kernel(name, stem, arch(device), *macros)


def launch(
    stem: str,
    macros: Sequence[str],
    name: str,
    device: int,
    stream: int,
    grid: tuple[int, int],
    threads: int,
    problem: bytes,
) -> None:
    """Kernel `name` of csrc/{stem}.cu, whose one argument is the struct that `problem` holds.

    It runs when the stream has come to it.
    Errors: BackendUnavailable; RuntimeError for a launch that the driver refuses.
    """
    _need()
    kernel = _kernel(name, stem, arch(device), *macros)
    struct = ctypes.create_string_buffer(problem, len(problem))
    arguments = (ctypes.c_void_p * 1)(ctypes.addressof(struct))  # copied by the call
    with _current(device):
        address = ctypes.addressof(arguments)
        _call("cuLaunchKernel", kernel, *grid, 1, threads, 1, 1, 0, stream, address, 0)


def wait(device: int, stream: int) -> None:
    """Until all that was launched there is done."""
    with _current(device):
        _call("cuStreamSynchronize", stream)


class Memory:
    """Memory of a GPU by names, with what arrays of NumPy hold; freed with this.

    Copies are in the order of the default stream, and done when the call returns.
    Errors: BackendUnavailable; MemoryError where it is too small; RuntimeError.
    """

    def __init__(self, device: int) -> None:
        _need()
        self._device = device
        self._there: dict[str, tuple[int, int]] = {}  # address and bytes

    def room(self, name: str, size: int, zeros: bool = False) -> int:
        """So many bytes at least, of which nothing is known where they are not to be zeros; the address."""
        with _current(self._device):
            at, there = self._there.get(name, (0, -1))
            if there < size:
                if at:
                    del self._there[name]
                    _call("cuMemFree", at)
                at = int(self._take(name, max(size, 1)))
                self._there[name] = at, size
            if zeros:
                _call("cuMemsetD8", at, 0, size)
        return at

    def _take(self, name: str, size: int) -> Any:
        status, at = _driver().cuMemAlloc(size)
        if status == _driver().CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            gone = sum(each for _, each in self._there.values())
            raise MemoryError(
                f"GPU {self._device} has no {size:,} bytes for {name}, beside {gone:,} that this has of it"
            )
        return _checked("cuMemAlloc", status, at)

    def at(self, name: str) -> int:
        return self._there[name][0]

    def put(self, name: str, array: NDArray[Any]) -> int:
        """Copy there, over what had the name; returns the address."""
        array = np.ascontiguousarray(array)
        at = self.room(name, array.nbytes)
        if array.nbytes:
            with _current(self._device):
                _call("cuMemcpyHtoD", at, array.ctypes.data, array.nbytes)
        return at

    def get(self, name: str, array: NDArray[Any]) -> None:
        """Copy back, into a contiguous array."""
        if array.nbytes:
            with _current(self._device):
                _call("cuMemcpyDtoH", array.ctypes.data, self.at(name), array.nbytes)

    def __del__(self) -> None:
        with suppress(Exception), _current(self._device):  # the driver may be gone, at the end of a process
            for at, _ in self._there.values():
                _call("cuMemFree", at)
