"""The linear learners with one weight vector in C; csrc/fasttrace.h says what each call does.

Every function takes the learner's LazyTrace first.  A kernel that refuses its input has changed nothing;
what was wrong is then looked up and raised here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arguments import real
from ...features import Row, Rows, Stream, as_int32, is_one_hot
from ...layout import KINDS, NO_OPTIONS, POLICIES, TARGETS, Options
from . import ffi, lib, refuse
from .calls import new_call

INT32S, _INT64S, _DOUBLES = ffi.typeof("int32_t[]"), ffi.typeof("int64_t[]"), ffi.typeof("double[]")
_STREAM = ffi.typeof("ft_stream *")
NULL = ffi.NULL


def writable(kind: str, array: np.ndarray) -> Any:
    """A pointer for C to write through.  Errors: ValueError for an array that may not be written to."""
    return ffi.cast(kind, ffi.from_buffer(array, require_writable=True))


def handle(trace: Any) -> Any:
    """ft_trace * of a LazyTrace: its words are the struct; the pointers are set once, and never saved."""
    if trace.handle is None:
        pointer = writable("ft_trace *", trace.words)
        pointer.rows = writable("double *", trace.rows)
        pointer.ring = writable("double *", trace.ring)
        in_rows = pointer.rows + 2
        pointer.epochs = ffi.cast("int32_t *", in_rows) if trace.wide else writable("int32_t *", trace.epochs)
        if trace.single:
            lib.ft_trace_make_single(pointer)
        trace.handle = pointer
    return trace.handle


def int32s_of(array: Any) -> Any:
    return NULL if array is None else ffi.from_buffer(INT32S, array)


def doubles_of(array: Any) -> Any:
    return NULL if array is None else ffi.from_buffer(_DOUBLES, array)


def room_of(array: Any) -> Any:
    """double * of an array for results."""
    return ffi.from_buffer(_DOUBLES, array, require_writable=True)


def c_rows(rows: Rows, keep: list[Any]) -> Any:
    """An ft_stream with the rows filled in; `keep` holds the buffers alive."""
    stream = ffi.new(_STREAM)
    stream.k, stream.shared, stream.n_actions, stream.checked = rows.k, rows.shared, 1, rows.checked
    keep += [int32s_of(rows.indices), doubles_of(rows.values)]
    stream.indices, stream.values = keep[-2:]
    if rows.indptr is not None:
        keep.append(ffi.from_buffer(_INT64S, rows.indptr))
        stream.indptr = keep[-1]
    return stream


_SERIES = (
    ("rewards", ""), ("gammas", "gamma_stride"), ("lambdas", "lambda_stride"), ("alphas", "alpha_stride"),
    ("rhos", "rho_stride"), ("interests", "interest_stride"), ("sigmas", "sigma_stride"),
    ("pis", "pi_stride"),
)  # fmt: skip


def c_stream(stream: Stream, keep: list[Any], target: int = lib.FT_TAKEN, work: int = 0) -> Any:
    """ft_stream * of a stream; `keep` holds the buffers alive.

    work  doubles that a kernel needs for a target policy; 0: it has none
    """
    c = c_rows(stream.rows, keep)
    c.steps, c.n_actions, c.target = stream.steps, stream.n_actions, target
    if stream.options is not NO_OPTIONS:
        c.options = stream.options
    for name, stride in _SERIES:
        if (array := getattr(stream, name)) is not None:
            keep.append(ffi.from_buffer(_DOUBLES, array))
            setattr(c, name, keep[-1])
            if stride and len(array) > 1:
                setattr(c, stride, 1)
    if stream.actions is not None:
        keep.append(int32s_of(stream.actions))
        c.actions = keep[-1]
    if work:
        c.policy, c.parameter = POLICIES[stream.own[0]], stream.own[1]
        keep += [doubles_of(stream.policy), room_of(np.empty(work))]
        c.pi, c.q = keep[-2:]
    return c


def look(indices: np.ndarray, n: int) -> int:
    """What Rows.checked is for these indices, or below 0."""
    return lib.ft_checked(int32s_of(indices), len(indices), n)


def are_policies(pi: np.ndarray) -> bool:
    """Whether each row (states, actions) is one: not negative, of sum 1 within 1e-6."""
    return bool(lib.ft_are_policies(doubles_of(pi), *pi.shape))


def _run(trace: Any, kind: str, stream: Stream, target: str = "taken") -> np.ndarray:
    deltas = stream.room()
    keep: list[Any] = []
    work = 0 if target == "taken" else 2 * max(stream.n_actions, trace.width)
    c = c_stream(stream, keep, TARGETS[target].value, work)
    refuse(lib.ft_td_run(handle(trace), KINDS[kind].value, c, room_of(deltas)), stream.rows)
    return deltas


def _of_kinds(target: str) -> Callable[..., np.ndarray]:
    """The run of a kernel whose trace may be of several kinds."""
    return lambda trace, kind, stream: _run(trace, kind, stream, target)


def _of_one_kind(kind: str, target: str = "taken") -> Callable[..., np.ndarray]:
    return lambda trace, stream: _run(trace, kind, stream, target)


td_run = sarsa_run = _of_kinds("taken")  # actions in the stream are all that differs
true_online_td_run = true_online_sarsa_run = _of_one_kind("true_online")
emphatic_td_run = _of_one_kind("emphatic")
emphatic_beta_td_run = _of_one_kind("emphatic_beta")
true_online_emphatic_td_run = _of_one_kind("true_online_emphatic")
vtrace_td_run = _of_one_kind("vtrace_td")
tree_backup_td_run = _of_one_kind("tree_backup_td")
ab_td_run = _of_one_kind("ab_td")
expected_sarsa_run = _of_kinds("expected")
true_online_expected_sarsa_run = _of_one_kind("true_online", "expected")
watkins_q_run = _of_kinds("watkins")
naive_q_run = _of_kinds("naive")
tree_backup_run = _of_one_kind("accumulating", "tree_backup")
retrace_run = _of_one_kind("accumulating", "retrace")
q_sigma_run = _of_one_kind("accumulating", "q_sigma")


def call(trace: Any, kernel: str, kind: str, target: str, **fields: Any) -> Any:
    """What the quick way of a learner's methods works with."""
    numbers = {"kind": KINDS[kind].value, "target": TARGETS[target].value}
    return new_call("td", trace, handle(trace), **numbers, **fields)


def quick_td_step(trace: Any, kind: str) -> Callable[..., float | None]:
    return quick(lib.ft_td_step, handle(trace), KINDS[kind].value)


def quick(run: Any, pointer: Any, first: float) -> Callable[..., float | None]:
    """A step for the usual input, binary int32 features, without a copy or a look at anything twice.

    run(pointer, first, ...) is ft_td_step, or takes what it takes.
    The step returns None, having changed nothing, for whatever is not of that form or not allowed.
    """
    out = ffi.new("double *")
    from_buffer, int32s, null, ok = ffi.from_buffer, INT32S, NULL, lib.FT_OK
    array, int32, n = np.ndarray, np.dtype(np.int32), pointer.n
    # x_next is most often the next step's x: its pointer is taken once.  Held here it cannot be resized, but
    # by refcheck=False; its dtype can be set.
    seen: Any = np.empty(0, np.int32)  # nobody has it
    seen_pointer: Any = None
    seen_k = 0

    def step(
        x: Any, x_next: Any, reward: float, gamma: float, lambda_: float, rho: float, alpha: float
    ) -> float | None:
        nonlocal seen, seen_pointer, seen_k
        try:
            # Not only for numbers that are none: C takes True for 1.
            if reward.__class__ is not float and not isinstance(reward, float):
                reward = real("reward", reward)
            if not (gamma.__class__ is lambda_.__class__ is rho.__class__ is alpha.__class__ is float):
                others = (gamma, lambda_, rho, alpha)
                gamma, lambda_, rho, alpha = (
                    each if isinstance(each, float) else real("", each) for each in others
                )
            if x is seen and x.dtype is int32 and len(x) == seen_k:
                p, k = seen_pointer, seen_k
            elif type(x) is array and x.dtype is int32 and x.ndim == 1:
                p, k = from_buffer(int32s, x), x.size
                if k == n and is_one_hot(x, n):
                    return None
            else:
                narrow = as_int32(x)
                if narrow is x:
                    return None
                return step(narrow, as_int32(x_next), reward, gamma, lambda_, rho, alpha)
            if type(x_next) is array and x_next.dtype is int32 and x_next.ndim == 1:
                q, k_next = from_buffer(int32s, x_next), x_next.size
            else:
                return None
            if k_next == n and is_one_hot(x_next, n):
                return None
            if run(
                pointer, first, k, p, null, k_next, q, null, reward, gamma, lambda_, rho, alpha, out
            ) != ok:  # fmt: skip
                return None
        except (TypeError, ValueError, BufferError):
            return None
        seen, seen_pointer, seen_k = x_next, q, k_next
        return out[0]

    return step


def quick_emphatic_td_step(trace: Any, kind: str, options: Options) -> Callable[..., float | None]:
    """quick_td_step with an interest."""
    return quick_state_step(trace, kind, options)


def quick_state_step(trace: Any, kind: str, options: Options) -> Callable[..., float | None]:
    """quick_td_step of any kind; after alpha come interest and, for the kinds that ask for it, pi."""
    pointer, number, out = handle(trace), KINDS[kind].value, ffi.new("double *")
    own, run = ffi.new("ft_options *", options), lib.ft_state_step
    int32, n = np.dtype(np.int32), trace.n

    def step(x: Any, x_next: Any, *given: Any) -> float | None:
        x, x_next = as_int32(x), as_int32(x_next)
        if not all(
            type(each) is np.ndarray and each.dtype is int32 and each.ndim == 1 and not is_one_hot(each, n)
            for each in (x, x_next)
        ):
            return None
        try:
            numbers = [each if isinstance(each, float) else real("", each) for each in given]
            reward, gamma, lambda_, rho, alpha, interest, pi = [*numbers, 1.0][:7]
            status = run(
                pointer, number, own, len(x), int32s_of(x), NULL, len(x_next), int32s_of(x_next), NULL,
                reward, gamma, lambda_, rho, pi, interest, alpha, out,
            )  # fmt: skip
        except (TypeError, ValueError, BufferError):
            return None
        return out[0] if status == lib.FT_OK else None

    return step


def quick_control_step(trace: Any, kind: str, target: str) -> Callable[..., None]:
    """A step from row and action to row and action, all of them checked; a column of weights an action."""
    pointer, number, run, out = handle(trace), KINDS[kind].value, lib.ft_control_step, ffi.new("double *")
    aim, q = TARGETS[target].value, ffi.new("double[]", trace.width)

    def step(
        x: Row, action: int, x_next: Row, action_next: int,
        reward: float, gamma: float, lambda_: float, alpha: float, own: tuple[str, float], sigma: float,
    ) -> None:  # fmt: skip
        status = run(
            pointer, number, aim, POLICIES[own[0]], own[1], sigma,
            len(x.indices), int32s_of(x.indices), doubles_of(x.values), action,
            len(x_next.indices), int32s_of(x_next.indices), doubles_of(x_next.values), action_next,
            reward, gamma, lambda_, alpha, q, out,
        )  # fmt: skip
        if status:
            refuse(status)

    return step


def values(trace: Any, rows: Rows) -> np.ndarray:
    """w.x for every row, (rows, columns)."""
    out = np.empty((rows.count, trace.columns))
    keep: list[Any] = []
    refuse(lib.ft_values(handle(trace), c_rows(rows, keep), rows.count, room_of(out)), rows)
    return out


def reset(trace: Any) -> None:
    lib.ft_trace_reset(handle(trace))


def flatten(trace: Any) -> None:
    lib.ft_trace_flatten(handle(trace))
