"""The step kernels inside your own `@njit` loops: Numba's and C's, on the memory of a learner.

    learner = ft.TrueOnlineTD(n, alpha=0.1)
    state, step = embed.state(learner), embed.step(learner)

    @njit
    def walk(state, ...):
        ...
        delta = step(state, x, reward, x_next, gamma, lambda_, 1.0, alpha)

A step here is the learner's own to the bit, and after the loop learner.weights and .trace are right.  It may
be a global of your function, a variable of the function around it, or an argument.  Nothing keeps two threads
off one state: give each thread a learner of its own.

Features x are a contiguous int32 array (k,) of the active indices, -1 is padding; or a pair (indices, values)
of such an array and one of float64, which is not checked for NaN.  Another type of x does not compile.
See examples/embed_in_numba.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding
from numba import types
from numba.core.errors import TypingError
from numba.extending import overload
from numpy.typing import NDArray

from .backends import Backend, backends, module, resolve
from .backends.numba import kernel, linear, steps, stream, trace, transition, verb
from .errors import FeatureIndexError
from .layout import BAD_ACTION, BAD_INDEX, KINDS, OK
from .linear.control import Sarsa, TrueOnlineSarsa
from .linear.learner import LinearLearner
from .linear.trace import LazyTrace

__all__ = ["State", "state", "step", "value", "values"]


class State(NamedTuple):
    """A learner's weights and trace as arrays, for compiled functions.  They are the learner's own memory.

    Beyond csrc/fasttrace.h's ft_trace (counters is where it begins): `result` (1,), where a call puts one.
    """

    counters: NDArray[np.int64]
    scalars: NDArray[np.float64]
    rows: NDArray[np.float64]
    ring: NDArray[np.float64]
    epochs: NDArray[np.int32]
    result: NDArray[np.float64]


def state(learner: LinearLearner) -> State:
    """The learner's memory, to be passed to compiled functions.

    It is that until the learner gets other memory: by `to("numpy")` or `load_state_dict`.
    Errors: ValueError for a learner of the backend "numpy", which has no such trace.
    """
    owner = learner.method().trace if isinstance(learner, LinearLearner) else None
    if not isinstance(owner, LazyTrace):
        raise ValueError(
            f"learner: has the backend {learner.backend!r}, expected 'numba' or 'c'; see Learner.to"
        )
    if backends()["c"] is None:
        module("c", "linear").handle(owner)  # C's pointers stand in the struct
    return State(*linear.arrays_of(owner), np.zeros(1))


def step(learner: LinearLearner, backend: Backend | None = None) -> Callable[..., float]:
    """The learner's update of one transition, for compiled functions.

    backend  "numba" or "c"; None is the learner's own.  Both work on the same state, and agree to the bit.

    TD, TrueOnlineTD, and action values of state_action=True features:

        delta = step(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha)

    Sarsa, TrueOnlineSarsa:

        delta = step(state, x, action, reward, x_next, action_next, gamma_next, lambda_next, alpha)

    Where gamma_next is 0 the episode ends and x_next is not used; it must be there, x will do.  Rows of
    state-action pairs take a rho of 1.  The result is the TD error under the weights before the update.

    The compiled step raises, with nothing changed, FeatureIndexError for a feature index out of range,
    IndexError for an action, and ValueError for a number that is not finite or not in its range, for values
    with a replacing trace, and for indices and values that differ in length.
    Errors: ValueError for another backend or another learner, for one of the backend "numpy" or with a bound
    on alpha, and for clear_others with state_action, where a step needs the features of all actions;
    BackendUnavailable.
    """
    name = learner.backend if backend is None else resolve(backend)
    if name == "numpy":
        raise ValueError("backend='numpy': expected 'numba' or 'c'")
    method = learner.method() if isinstance(learner, LinearLearner) else None
    bounded = getattr(learner, "bound", False)
    if method is None or method.kernel not in _KERNELS or bounded:
        raise ValueError(
            f"learner: {learner!r} has no step to embed, expected (TrueOnline)TD or (TrueOnline)Sarsa "
            "without a bound"
        )
    acts = isinstance(learner, (Sarsa, TrueOnlineSarsa)) and not learner.state_action
    if method.kind == "replacing_clear" and not acts:
        raise ValueError("learner: clear_others with state_action needs the features of all actions")
    if name == "c":
        return (_c_sarsa_step if acts else _c_td_step)(KINDS[method.kind].value)
    return (_numba_sarsa_step if acts else _numba_td_step)(KINDS[method.kind].value)


_KERNELS = ("td", "true_online_td", "sarsa", "true_online_sarsa")


# ---- features: an array of indices, or a pair with values ----


def _row(x):
    raise NotImplementedError("for compiled functions")


def _is_vector(x, dtype):
    return isinstance(x, types.Array) and x.dtype == dtype and x.ndim == 1 and x.layout == "C" and x.aligned


@overload(_row, jit_options={"_nrt": False, "forceinline": True})  # type: ignore[typeddict-unknown-key]
def _overload_row(x):
    """(indices, values): x itself, or x and no values."""
    if _is_vector(x, types.int32):
        return lambda x: (x, _NO_VALUES)
    is_pair = isinstance(x, types.BaseTuple) and len(x) == 2
    if not (is_pair and _is_vector(x[0], types.int32) and _is_vector(x[1], types.float64)):
        raise TypingError(
            f"x: got {x}, expected a contiguous int32 array (k,), or a pair of such and a float64 array (k,)"
        )

    def pair(x):
        if x[0].size != x[1].size:
            raise ValueError("x: indices and values differ in length")
        return x

    return pair


_NO_VALUES = np.empty(0)
_NO_INDPTR = np.empty(0, np.int64)


# ---- values ----


@verb
def _refuse(status):
    if status == BAD_INDEX:
        raise FeatureIndexError("x: a feature index is out of range, expected -1 (padding) to n_features - 1")
    if status == BAD_ACTION:
        raise IndexError("an action is out of range, expected 0 to n_actions - 1")
    if status != OK:
        raise ValueError(
            "a number is out of range: reward, rho and alpha finite, gamma and lambda from 0 to 1, "
            "rho not negative, alpha above 0"
        )


@kernel
def values(state, x, out):
    """out[a] = w.x under the weights of action a, for compiled functions.  out (n_actions,) float64.

    Errors: FeatureIndexError; ValueError for another length of out.
    """
    indices, sizes = _row(x)
    if out.size != state.counters[trace.COLUMNS]:
        raise ValueError("out: expected one entry for each action")
    rows = stream.Rows(indices.size, False, indices, sizes, _NO_INDPTR)
    _refuse(linear.values_kernel(state, rows, 1, out))


@kernel
def value(state, x):
    """w.x, for compiled functions; for a learner with one column of weights.

    Errors: FeatureIndexError; ValueError for weights with a column for each action.
    """
    if state.counters[trace.COLUMNS] != 1:
        raise ValueError("value: the weights have a column for each action, use values")
    values(state, x, state.result)
    return state.result[0]


# ---- steps: one for each kind of trace and backend ----


@verb
def _refuse_values(kind, values, values_next):
    if transition.replaces(kind) and (values.size > 0 or values_next.size > 0):
        raise ValueError("x: replacing traces are for binary features, given as indices")


@functools.cache
def _numba_td_step(kind):
    @verb
    def td_step(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha):
        indices, values = _row(x)
        indices_next, values_next = _row(x_next)
        _refuse_values(kind, values, values_next)
        status, delta = steps.td_step(
            state, indices, values, indices_next, values_next,
            reward, gamma_next, lambda_next, rho, alpha, kind,
        )  # fmt: skip
        _refuse(status)
        return delta

    return td_step


@functools.cache
def _numba_sarsa_step(kind):
    @verb
    def sarsa_step(state, x, action, reward, x_next, action_next, gamma_next, lambda_next, alpha):
        indices, values = _row(x)
        indices_next, values_next = _row(x_next)
        _refuse_values(kind, values, values_next)
        status, delta = steps.sarsa_step(
            state, indices, values, action, indices_next, values_next, action_next,
            reward, gamma_next, lambda_next, alpha, kind,
        )  # fmt: skip
        _refuse(status)
        return delta

    return sarsa_step


# Numba calls C by name; the types are the header's, as cffi has read it.  Pointers are integers here: a
# struct's pointer has no type in Numba.
def _numba_type(c: Any) -> Any:
    return types.uintp if c.kind == "pointer" else getattr(types, c.cname.removesuffix("_t"))


def _external(name: str) -> Any:
    c = module("c", "linear")
    binding.add_symbol(name, int(c.ffi.cast("uintptr_t", c.ffi.addressof(c.lib, name))))
    told = c.ffi.typeof(getattr(c.lib, name))
    return types.ExternalFunction(name, _numba_type(told.result)(*map(_numba_type, told.args)))


if backends()["c"] is None:
    _ft_td_step, _ft_sarsa_step = _external("ft_td_step"), _external("ft_sarsa_step")


@verb
def _pointer(values):
    return values.ctypes.data if values.size else np.uintp(0)


@functools.cache
def _c_td_step(kind):
    @verb
    def td_step(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha):
        indices, values = _row(x)
        indices_next, values_next = _row(x_next)
        _refuse_values(kind, values, values_next)
        status = _ft_td_step(
            state.counters.ctypes.data, kind,
            indices.size, indices.ctypes.data, _pointer(values),
            indices_next.size, indices_next.ctypes.data, _pointer(values_next),
            reward, gamma_next, lambda_next, rho, alpha, state.result.ctypes.data,
        )  # fmt: skip
        _refuse(status)
        return state.result[0]

    return td_step


@functools.cache
def _c_sarsa_step(kind):
    @verb
    def sarsa_step(state, x, action, reward, x_next, action_next, gamma_next, lambda_next, alpha):
        indices, values = _row(x)
        indices_next, values_next = _row(x_next)
        _refuse_values(kind, values, values_next)
        status = _ft_sarsa_step(
            state.counters.ctypes.data, kind,
            indices.size, indices.ctypes.data, _pointer(values), action,
            indices_next.size, indices_next.ctypes.data, _pointer(values_next), action_next,
            reward, gamma_next, lambda_next, alpha, state.result.ctypes.data,
        )  # fmt: skip
        _refuse(status)
        return state.result[0]

    return sarsa_step
