"""The step kernels inside your own `@njit` loops: Numba's and C's, on the memory of a learner.

    learner = ft.TrueOnlineTD(n, alpha=0.1)
    state, step = embed.state(learner), embed.step(learner)

    @njit
    def walk(state, ...):
        ...
        delta = step(state, x, reward, x_next, gamma, lambda_, 1.0, alpha)

A step here is the learner's own to the bit, and after the loop learner.weights and .trace are right.  It may
be a global of your function, a variable of the function around it, or an argument.  Nothing keeps two threads
off one state: give each thread a learner of its own.  `step` says which learners there are.

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

from . import registry
from .backends import Backend, Name, module, resolve, why_missing
from .backends.numba import gradient, kernel, linear, steps, stream, trace, transition, verb
from .errors import FeatureIndexError
from .layout import BAD_ACTION, BAD_INDEX, KINDS, OK, Options
from .linear.gradient_trace import KINDS as TWO_VECTOR_KINDS
from .linear.gradient_trace import DenseGradient, LazyGradient
from .linear.learner import LinearLearner
from .linear.trace import DenseTrace, LazyTrace

__all__ = ["State", "TwoVectorState", "state", "step", "value", "values"]


class State(NamedTuple):
    """A learner's weights and trace as arrays, for compiled functions.  They are the learner's own memory.

    Beyond csrc/fasttrace.h's ft_trace (counters is where it begins): `options`, c_bar and the like, and
    `result` (1,), where a call puts one.
    """

    counters: NDArray[np.int64]
    scalars: NDArray[np.float64]
    rows: NDArray[np.float64]
    ring: NDArray[np.float64]
    epochs: NDArray[np.int32]
    options: NDArray[np.float64]
    result: NDArray[np.float64]


class TwoVectorState(NamedTuple):
    """The same of a learner with two weight vectors: ft_gradient, of which `later` holds TDRC's eta."""

    counters: NDArray[np.int64]
    scalars: NDArray[np.float64]
    rows: NDArray[np.float64]
    marks: NDArray[np.int64]
    ring: NDArray[np.float64]
    later: NDArray[np.float64]
    result: NDArray[np.float64]


def state(learner: LinearLearner) -> State | TwoVectorState:
    """The learner's memory, to be passed to compiled functions.

    It is that until the learner gets other memory: by `to("numpy")` or `load_state_dict`.
    Errors: ValueError for a learner of the backend "numpy", which has no such trace, and for one that has
    neither a step to embed nor action values under such a trace.
    """
    owner = learner.method().trace if isinstance(learner, LinearLearner) else None
    if isinstance(owner, (DenseTrace, DenseGradient)):
        raise ValueError(
            f"learner: has the backend {learner.backend!r}, expected 'numba' or 'c'; see Learner.to"
        )
    if not isinstance(owner, (LazyTrace, LazyGradient)):
        raise ValueError(f"learner: {learner!r} has no state to embed, expected {_names()}")
    stem = learner.method().stem
    if why_missing("c") is None:
        module("c", stem).handle(owner)  # C's pointers stand in the struct
    if isinstance(owner, LazyGradient):
        return TwoVectorState(*gradient.arrays_of(owner)[:5], owner.later, np.zeros(1))
    return State(*linear.arrays_of(owner), owner.options, np.zeros(1))


def step(learner: LinearLearner, backend: Backend | None = None) -> Callable[..., float]:
    """The learner's update of one transition, for compiled functions.

    backend  "numba" or "c"; None is the learner's own.  Both work on the same state, and agree to the bit.

    TD, TrueOnlineTD, VtraceTD, and action values of state_action=True features:

        delta = step(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha)

    The same with one number more, by its place:

        step(..., alpha, interest)    EmphaticTD, TrueOnlineEmphaticTD: of S_t
        step(..., alpha, pi)          TreeBackupTD, ABTD: pi(A_t|S_t), 0 where rho is
        step(..., alpha, beta)        GTD, HTD, TrueOnlineGTD, GTD2, TDRC, ProximalGTD2: as the learner's

    Sarsa, TrueOnlineSarsa:

        delta = step(state, x, action, reward, x_next, action_next, gamma_next, lambda_next, alpha)

    What a step is given counts, not the learner's own alpha and so on.  Its other options stand in the state:
    c_bar, rho_bar, zeta, psi_0, psi_max, EmphaticTD's beta and TDRC's eta.  One that is set afterwards is in
    use from then on; but for an EmphaticTD that gets its first beta, or loses it, take step anew.  ABTD and a
    GTD2 without a trace have no use for lambda_next.

    Where gamma_next is 0 the episode ends and x_next is not used; it must be there, x will do.  Rows of
    state-action pairs take a rho of 1.  The result is the TD error under the weights before the update.

    The compiled step raises, with nothing changed, FeatureIndexError for a feature index out of range,
    IndexError for an action, and ValueError for a number that is not finite or not in its range, for a pi
    that cannot be of rho's action, for values with a replacing trace, for indices and values that differ in
    length, and for the state of a learner with other columns of weights or, of two vectors, other traces.
    Errors: ValueError for another backend or another learner, for one of the backend "numpy" or with a bound
    on alpha, and for clear_others with state_action, where a step needs the features of all actions;
    BackendUnavailable.
    """
    name = learner.backend if backend is None else resolve(backend)
    if name == "numpy":
        raise ValueError("backend='numpy': expected 'numba' or 'c'")
    method = learner.method() if isinstance(learner, LinearLearner) else None
    if method is None or method.kernel not in _FORMS or getattr(learner, "bound", False):
        raise ValueError(f"learner: {learner!r} has no step to embed, expected {_names()} without a bound")
    form = _FORMS[method.kernel]
    if getattr(learner, "state_action", False):
        if method.kind == "replacing_clear":
            raise ValueError("learner: clear_others with state_action needs the features of all actions")
        form = _td_step
    two = method.stem == "gradient"
    return form(name, TWO_VECTOR_KINDS[method.kernel] if two else KINDS[method.kind].value)


def _names() -> str:
    """The learners that have a step."""
    names = dict.fromkeys(row.learner for row in registry.STEP_LEARNERS if row.kernel in _FORMS)
    return " or ".join(", ".join(names).rsplit(", ", 1))


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


@verb
def _rows_of(x, x_next, kind):
    indices, values = _row(x)
    indices_next, values_next = _row(x_next)
    if transition.replaces(kind) and (values.size > 0 or values_next.size > 0):
        raise ValueError("x: replacing traces are for binary features, given as indices")
    return indices, values, indices_next, values_next


# ---- values ----


@verb
def _refuse(status):
    if status == BAD_INDEX:
        raise FeatureIndexError("x: a feature index is out of range, expected -1 (padding) to n_features - 1")
    if status == BAD_ACTION:
        raise IndexError("an action is out of range, expected 0 to n_actions - 1")
    if status != OK:
        raise ValueError(
            "a number is out of range: all finite, gamma, lambda and pi from 0 to 1, rho and interest not "
            "negative, alpha and beta above 0, of TDRC beta not negative and eta alpha beta below 1, "
            "pi 0 where rho is, else at most rho"
        )


def _read_values(state, rows, out):
    raise NotImplementedError("for compiled functions")


@overload(_read_values, jit_options={"_nrt": False})  # type: ignore[typeddict-unknown-key]
def _overload_read_values(state, rows, out):
    if _is_state(state, TwoVectorState):
        return lambda state, rows, out: gradient.values_kernel(state, rows, 1, out)
    return lambda state, rows, out: linear.values_kernel(state, rows, 1, out)


def _is_state(given, cls):
    return getattr(given, "instance_class", None) is cls


@kernel
def values(state, x, out):
    """out[a] = w.x under the weights of action a, for compiled functions.  out (n_actions,) float64.

    Errors: FeatureIndexError; ValueError for another length of out.
    """
    indices, sizes = _row(x)
    if out.size != state.counters[trace.COLUMNS]:
        raise ValueError("out: expected one entry for each action")
    rows = stream.Rows(indices.size, False, indices, sizes, _NO_INDPTR)
    _refuse(_read_values(state, rows, out))


@kernel
def value(state, x):
    """w.x, for compiled functions; for a learner with one column of weights.

    Errors: FeatureIndexError; ValueError for weights with a column for each action.
    """
    if state.counters[trace.COLUMNS] != 1:
        raise ValueError("value: the weights have a column for each action, use values")
    values(state, x, state.result)
    return state.result[0]


# ---- steps of Numba's: (status, delta) ----


@verb
def _numba_state(
    state, indices, values, indices_next, values_next, reward, gamma_next, lambda_next, rho, alpha,
    kind, interest, pi,
):  # fmt: skip
    o = state.options
    return steps.td_step(
        state, indices, values, indices_next, values_next, reward, gamma_next, lambda_next, rho, alpha,
        kind, interest, pi, Options(o[0], o[1], o[2], o[3]),
    )  # fmt: skip


@functools.cache
def _numba_two_vector(kind):
    transition = gradient.TRANSITIONS[kind]

    @verb
    def two_vector(
        state, indices, values, indices_next, values_next, reward, gamma_next, lambda_next, rho, alpha, beta
    ):
        t = gradient.Gradient(
            state.counters, state.scalars, state.rows, state.marks, state.ring, beta, state.later[0]
        )
        return gradient.step_of(
            t, kind, transition, indices, values, indices_next, values_next,
            reward, gamma_next, lambda_next, rho, alpha,
        )  # fmt: skip

    return two_vector


# ---- and of C's ----


# Numba calls C by name; the types are the header's, as cffi has read it.  Pointers are integers here: a
# struct's pointer has no type in Numba.
def _numba_type(c: Any) -> Any:
    return types.uintp if c.kind == "pointer" else getattr(types, c.cname.removesuffix("_t"))


def _external(name: str) -> Any:
    c = module("c", "linear")
    binding.add_symbol(name, int(c.ffi.cast("uintptr_t", c.ffi.addressof(c.lib, name))))
    told = c.ffi.typeof(getattr(c.lib, name))
    return types.ExternalFunction(name, _numba_type(told.result)(*map(_numba_type, told.args)))


if why_missing("c") is None:
    _ft_state_step, _ft_sarsa_step = _external("ft_state_step"), _external("ft_sarsa_step")
    _ft_gradient_step = _external("ft_gradient_step")


@verb
def _pointer(values):
    return values.ctypes.data if values.size else np.uintp(0)


@verb
def _c_state(
    state, indices, values, indices_next, values_next, reward, gamma_next, lambda_next, rho, alpha,
    kind, interest, pi,
):  # fmt: skip
    status = _ft_state_step(
        state.counters.ctypes.data, kind, state.options.ctypes.data,
        indices.size, indices.ctypes.data, _pointer(values),
        indices_next.size, indices_next.ctypes.data, _pointer(values_next),
        reward, gamma_next, lambda_next, rho, pi, interest, alpha, state.result.ctypes.data,
    )  # fmt: skip
    return status, state.result[0]


@verb
def _c_sarsa(
    state, indices, values, action, indices_next, values_next, action_next,
    reward, gamma_next, lambda_next, alpha, kind,
):  # fmt: skip
    status = _ft_sarsa_step(
        state.counters.ctypes.data, kind,
        indices.size, indices.ctypes.data, _pointer(values), action,
        indices_next.size, indices_next.ctypes.data, _pointer(values_next), action_next,
        reward, gamma_next, lambda_next, alpha, state.result.ctypes.data,
    )  # fmt: skip
    return status, state.result[0]


@verb
def _c_two_vector(
    state, indices, values, indices_next, values_next, reward, gamma_next, lambda_next, rho, alpha, beta
):
    status = _ft_gradient_step(
        state.counters.ctypes.data, beta,
        indices.size, indices.ctypes.data, _pointer(values),
        indices_next.size, indices_next.ctypes.data, _pointer(values_next),
        reward, gamma_next, lambda_next, rho, alpha, state.result.ctypes.data,
    )  # fmt: skip
    return status, state.result[0]


# ---- steps as users call them: one for each backend and kind of trace ----


def _check_state(state, cls):
    raise NotImplementedError("for compiled functions")


@overload(_check_state, jit_options={"_nrt": False, "forceinline": True})  # type: ignore[typeddict-unknown-key]
def _overload_check_state(state, cls):
    """C would take one struct for the other."""
    if not _is_state(state, cls.instance_class):
        raise TypingError(f"state: got {state}, expected a {cls.instance_class.__name__} of embed.state")
    return lambda state, cls: None


@functools.cache
def _state_step(backend: Name, kind: int):
    """A step of state values of any kind; the three below give of its arguments what their learners have."""
    run = _c_state if backend == "c" else _numba_state

    @verb
    def state_step(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, interest, pi):
        _check_state(state, State)
        if state.counters[trace.COLUMNS] != 1:
            raise ValueError("state: the weights have a column for each action")
        i, u, i_next, u_next = _rows_of(x, x_next, kind)
        status, delta = run(
            state, i, u, i_next, u_next, reward, gamma_next, lambda_next, rho, alpha, kind, interest, pi
        )
        _refuse(status)
        return delta

    return state_step


@functools.cache
def _td_step(backend: Name, kind: int):
    run = _state_step(backend, kind)

    @verb
    def td_step(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha):
        return run(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, 1.0, 1.0)

    return td_step


@functools.cache
def _emphatic_step(backend: Name, kind: int):
    run = _state_step(backend, kind)

    @verb
    def emphatic_step(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, interest):
        return run(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, interest, 1.0)

    return emphatic_step


@functools.cache
def _step_with_pi(backend: Name, kind: int):
    run = _state_step(backend, kind)

    @verb
    def step_with_pi(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, pi):
        return run(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, 1.0, pi)

    return step_with_pi


@functools.cache
def _sarsa_step(backend: Name, kind: int):
    run = _c_sarsa if backend == "c" else steps.sarsa_step

    @verb
    def sarsa_step(state, x, action, reward, x_next, action_next, gamma_next, lambda_next, alpha):
        _check_state(state, State)
        i, u, i_next, u_next = _rows_of(x, x_next, kind)
        status, delta = run(
            state, i, u, action, i_next, u_next, action_next, reward, gamma_next, lambda_next, alpha, kind
        )
        _refuse(status)
        return delta

    return sarsa_step


@functools.cache
def _two_vector_step(backend: Name, kind: int):
    run = _c_two_vector if backend == "c" else _numba_two_vector(kind)

    @verb
    def two_vector_step(state, x, reward, x_next, gamma_next, lambda_next, rho, alpha, beta):
        _check_state(state, TwoVectorState)
        if state.counters[gradient.KIND] != kind or state.counters[trace.COLUMNS] != 1:
            raise ValueError("state: of a learner with other traces than that of the step")
        i, u, i_next, u_next = _rows_of(x, x_next, _ADDING)
        status, delta = run(state, i, u, i_next, u_next, reward, gamma_next, lambda_next, rho, alpha, beta)
        _refuse(status)
        return delta

    return two_vector_step


_ADDING = KINDS["accumulating"].value  # none of the two-vector kinds has a trace that replaces

_FORMS: dict[str, Callable[[Name, int], Callable[..., float]]] = {
    "td": _td_step,
    "true_online_td": _td_step,
    "vtrace_td": _td_step,
    "emphatic_td": _emphatic_step,
    "emphatic_beta_td": _emphatic_step,
    "true_online_emphatic_td": _emphatic_step,
    "tree_backup_td": _step_with_pi,
    "ab_td": _step_with_pi,
    "sarsa": _sarsa_step,
    "true_online_sarsa": _sarsa_step,
    **dict.fromkeys(TWO_VECTOR_KINDS, _two_vector_step),
}
"""The step of each kernel that has one."""
