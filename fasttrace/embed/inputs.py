"""What compiled steps take, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import binding
from numba import types
from numba.core.errors import TypingError
from numba.extending import overload

from ..backends import module
from ..backends.numba import transition, verb
from ..errors import FeatureIndexError
from ..layout import BAD_ACTION, BAD_INDEX, OK

# ---- features: an array of indices, or a pair with values ----


def row(x):
    raise NotImplementedError("for compiled functions")


def is_vector(x, dtype):
    return isinstance(x, types.Array) and x.dtype == dtype and x.ndim == 1 and x.layout == "C" and x.aligned


@overload(row, jit_options={"_nrt": False, "forceinline": True})  # type: ignore[typeddict-unknown-key]
def _overload_row(x):
    """(indices, values): x itself, or x and no values."""
    if is_vector(x, types.int32):
        return lambda x: (x, NO_VALUES)
    is_pair = isinstance(x, types.BaseTuple) and len(x) == 2
    if not (is_pair and is_vector(x[0], types.int32) and is_vector(x[1], types.float64)):
        raise TypingError(
            f"x: got {x}, expected a contiguous int32 array (k,), or a pair of such and a float64 array (k,)"
        )

    def pair(x):
        if x[0].size != x[1].size:
            raise ValueError("x: indices and values differ in length")
        return x

    return pair


NO_VALUES = np.empty(0)


@verb
def rows_of(x, x_next, kind):
    indices, values = row(x)
    indices_next, values_next = row(x_next)
    if transition.replaces(kind) and (values.size > 0 or values_next.size > 0):
        raise ValueError("x: replacing traces are for binary features, given as indices")
    return indices, values, indices_next, values_next


@verb
def refuse(status):
    if status == BAD_INDEX:
        raise FeatureIndexError("x: a feature index is out of range, expected -1 (padding) to n_features - 1")
    if status == BAD_ACTION:
        raise IndexError("an action is out of range, expected 0 to n_actions - 1")
    if status != OK:
        raise ValueError(
            "a number is out of range: all finite, gamma, lambda and pi from 0 to 1, rho and interest not "
            "negative, alpha and beta above 0, of TDRC beta not negative and eta alpha beta below 1, "
            "pi 0 where rho is, else at most rho, epsilon and sigma from 0 to 1, a temperature above 0, "
            "pi(a) of sum 1"
        )


def is_state(given, cls):
    return getattr(given, "instance_class", None) is cls


def check_state(state, cls):
    raise NotImplementedError("for compiled functions")


@overload(check_state, jit_options={"_nrt": False, "forceinline": True})  # type: ignore[typeddict-unknown-key]
def _overload_check_state(state, cls):
    """C would take one struct for the other."""
    if not is_state(state, cls.instance_class):
        raise TypingError(f"state: got {state}, expected {cls.instance_class.__name__}, as of embed.state")
    return lambda state, cls: None


# ---- C's functions ----


# Numba calls C by name; the types are the header's, as cffi has read it.  Pointers are integers here: a
# struct's pointer has no type in Numba.
def _numba_type(c: Any) -> Any:
    return types.uintp if c.kind == "pointer" else getattr(types, c.cname.removesuffix("_t"))


def external(name: str) -> Any:
    c = module("c", "linear")
    binding.add_symbol(name, int(c.ffi.cast("uintptr_t", c.ffi.addressof(c.lib, name))))
    told = c.ffi.typeof(getattr(c.lib, name))
    return types.ExternalFunction(name, _numba_type(told.result)(*map(_numba_type, told.args)))


@verb
def pointer(values):
    return values.ctypes.data if values.size else np.uintp(0)
