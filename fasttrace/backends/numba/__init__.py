"""The Numba kernels, compiled on first use and cached where a cache can be written.

Numba refuses to cache where neither the package nor the home directory can be written; jit() then
compiles without a cache.  error_model="numpy" and uint64 indices keep the loops free of Python's checks.
Every status that a kernel returns goes through `refuse`; see fasttrace.status.
"""

import hashlib
import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core.caching import FunctionCache
from numba.core.registry import CPUDispatcher
from numba.core.types import unliteral

from ... import layout
from ...errors import BackendUnavailable
from ...status import refuse
from .linking import PartCompiler, VerbCompiler
from .vectors import row

__all__ = ["inner", "jit", "kernel", "part", "refuse", "stretch", "verb"]

F = TypeVar("F", bound=Callable[..., Any])

# Entries from C and from Python are code as well, and long where tuples of many arrays come in: nobody asks
# for the first, and only some functions are called from Python.
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": False,
    "no_cfunc_wrapper": True,
}
_BORROWING: dict[str, Any] = {**_OPTIONS, "_nrt": False}
_INNER: dict[str, Any] = {**_BORROWING, "no_cpython_wrapper": True}


def _stamp() -> str:
    """A digest of every source in this directory, and of their table; a frozen program has no sources."""
    digest = hashlib.sha256()
    for path in (Path(layout.__file__), *sorted(Path(__file__).parent.glob("*.py"))):
        if path.is_file():
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


def inner(function: F) -> F:
    """A kernel that kernels call and Python does not."""
    return _cached(function, _INNER)


def verb(function: F) -> F:
    """A piece of a kernel: always inlined, so that arguments that are constants there are constants here.

    Like an inner kernel it allocates nothing, and Python does not call it.
    """
    return _compiled(function, forceinline=True, pipeline_class=VerbCompiler, **_INNER)


def part(function: F) -> F:
    """A verb that is optimised within each kernel alone: what is long, and stands in a kernel once."""
    return _compiled(function, forceinline=True, pipeline_class=PartCompiler, **_INNER)


def stretch(function: F) -> F:
    """A verb that is compiled within each kernel, never by itself: what is long and called once, or short."""
    return _compiled(function, inline="always", **_INNER)


def _compiled(function: F, **options: Any) -> F:
    if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        raise BackendUnavailable("NUMBA_DISABLE_JIT is set, and these kernels run compiled or not at all")
    compiled: Any = numba.njit(**options)(function)
    if "no_cpython_wrapper" in options:
        compiled.__class__ = _Verb if options.get("forceinline") else _Inner
    return compiled


class _Inner(CPUDispatcher):
    """Without an entry for Python, Numba would jump to address 0."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        raise TypeError(f"{self.py_func.__name__}: for compiled functions, Python cannot call it")


class _Verb(_Inner):
    """Typed once for all the constants it is given: they are constants where LLVM inlines it in any case."""

    def get_call_template(self, args: Any, kws: Any) -> Any:
        kws = {name: unliteral(each) for name, each in kws.items()}
        return super().get_call_template([unliteral(each) for each in args], kws)


def _cached(function: F, options: dict[str, Any]) -> F:
    compiled: Any = _compiled(function, **options)
    with suppress(RuntimeError):  # no cache locator
        compiled._cache = _Cache(function)
    return compiled


class _Cache(FunctionCache):
    """Numba's, which knows neither what a kernel calls nor what it captures.

    It takes a cached kernel for fresh while the kernel's own file is; what it calls stands in others, too.
    And it knows a captured function by a number that is another one in each process: such a kernel would
    never be found again.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = (self._cache_file._source_stamp, _STAMP)
        self._function = function

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except (AttributeError, ImportError):  # of another version, with types that have moved since
            self.flush()
            return None

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        named = self._function.__code__.co_code, _captured(self._function)
        return sig, codegen.magic_tuple(), hashlib.sha256(pickle.dumps(named)).hexdigest()


def _captured(function: Callable[..., Any]) -> list[Any]:
    """What a function's closure holds; a compiled function as where it stands and what it captured itself."""
    values = [cell.cell_contents for cell in function.__closure__ or ()]
    return [_place(value.py_func) if hasattr(value, "py_func") else value for value in values]


def _place(function: Callable[..., Any]) -> tuple[str, list[Any]]:
    line = function.__code__.co_firstlineno
    return f"{function.__module__}.{function.__qualname__}:{line}", _captured(function)


@row(("x",), (), 1)
def _sum(w: Any) -> None:
    w.add(0, w.load("x"))


@kernel
def _probe(x):
    return _sum(x, np.uint64(x.size >> 2), (0,), ())[0]


def probe() -> None:
    """Run a small kernel; whatever it raises is why this backend is not there."""
    if _probe(np.ones(4)) != 4.0:
        raise RuntimeError("a compiled kernel does not add 1 + 1 + 1 + 1 up to 4")
