"""Memory that kernels may write: own, writable, and at a multiple of 64 bytes; and names for arrays."""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Float64 = NDArray[np.float64]


def dtype_of(dtype: Any) -> np.dtype[Any]:
    """float32 or float64.  Errors: TypeError."""
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind not in (np.float32, np.float64) or not kind.isnative:
        raise TypeError(f"dtype: got {dtype!r}, expected float32 or float64")
    return kind


def aligned_zeros(size: int, dtype: Any) -> NDArray[Any]:
    """Zeros at a multiple of 64 bytes: a cache line, and the widest vector."""
    itemsize = np.dtype(dtype).itemsize
    memory = np.zeros(size * itemsize + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size * itemsize].view(dtype)


_MOSTLY_UNTOUCHED = 1 << 28  # bytes: NumPy asks for large pages, of which a line that is touched takes all


def sparse_zeros(size: int, dtype: Any) -> NDArray[Any]:
    """aligned_zeros of which little is touched soon: of much memory only those pages are taken."""
    count = size * np.dtype(dtype).itemsize
    if count < _MOSTLY_UNTOUCHED:
        return aligned_zeros(size, dtype)
    try:
        return np.frombuffer(mmap.mmap(-1, count, access=mmap.ACCESS_COPY), dtype)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"{count} bytes") from error


def aligned_copy(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in memory of its own, in C order: what a pickle brings may be read-only."""
    copy = aligned_zeros(array.size, array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def owned(state: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a pickle, its arrays copied: joblib, Ray and dask bring read-only ones."""
    return {
        name: aligned_copy(value) if isinstance(value, np.ndarray) else value for name, value in state.items()
    }


def check_arrays(arrays: dict[str, Any], expected: dict[str, NDArray[Any]]) -> None:
    """Raise ValueError where the arrays of a state are not like those that it is to replace."""
    want = {name: (array.shape, array.dtype.kind) for name, array in expected.items()}
    got = {name: (array.shape, array.dtype.kind) for name, array in arrays.items()}
    if want != got:
        raise ValueError(f"state: has arrays {got}, expected {want}")
