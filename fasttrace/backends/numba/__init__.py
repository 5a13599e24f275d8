"""The Numba kernels, compiled on first use and cached where a cache can be written.

Numba refuses to cache where neither the package nor the home directory can be written; jit() then
compiles without a cache.  error_model="numpy" and uint64 indices keep the loops free of Python's checks.
Every status that a kernel returns goes through `refuse`; see fasttrace.status.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

from ...status import refuse

__all__ = ["jit", "kernel", "refuse", "verb"]

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}
_BORROWING: dict[str, Any] = {**_OPTIONS, "_nrt": False}


def _stamp() -> str:
    """A digest of every source in this directory."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


_STAMP = _stamp()


def jit(function: F) -> F:
    """Compile without the GIL, in strict float64 order (as the C kernels are), cached where possible."""
    return _cached(function, _OPTIONS)


def kernel(function: F) -> F:
    """jit for what allocates no array: the arrays that come in are borrowed, their references not counted.

    Counting them takes longer than a step does.
    """
    return _cached(function, _BORROWING)


def verb(function: F) -> F:
    """A piece of a kernel: always inlined, so that arguments that are constants there are constants here.

    Like a kernel it allocates nothing.
    """
    return numba.njit(forceinline=True, **_BORROWING)(function)


def _cached(function: F, options: dict[str, Any]) -> F:
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no cache locator
        return numba.njit(**options)(function)
    # Numba takes a cached kernel for fresh while its own file is; what it calls stands in others, too.
    index = getattr(compiled._cache, "_cache_file", None)
    if index is not None:
        index._source_stamp = (index._source_stamp, _STAMP)
    return compiled
