"""The Numba kernels, compiled on first use and cached where a cache can be written.

Numba refuses to cache where neither the package nor the home directory can be written; jit() then
compiles without a cache.  error_model="numpy" and uint64 indices keep the loops free of Python's checks.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile without the GIL, in strict float64 order (as the C kernels are), cached where possible."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no cache locator
        return numba.njit(**options)(function)
