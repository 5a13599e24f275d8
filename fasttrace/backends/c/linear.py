"""TD(lambda), Sarsa(lambda) and their true online forms in C; csrc/fasttrace.h says what each call does.

Every function takes the learner's LazyTrace first.  A kernel that refuses its input has changed nothing;
what was wrong is then looked up and raised here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arguments import real
from ...features import Row, Rows, Stream, raise_bad_index
from . import ffi, lib

KINDS = {
    "accumulating": lib.FT_ACCUMULATING,
    "replacing": lib.FT_REPLACING,
    "replacing_clear": lib.FT_REPLACING_CLEAR,
    "dutch": lib.FT_DUTCH,
    "true_online": lib.FT_TRUE_ONLINE,
}
_INT32S, _INT64S, _DOUBLES = ffi.typeof("int32_t[]"), ffi.typeof("int64_t[]"), ffi.typeof("double[]")
_NULL = ffi.NULL


def handle(trace: Any) -> Any:
    """ft_trace * of a LazyTrace: its words are the struct; the pointers are set once, and never saved."""
    if trace.handle is None:
        pointer = ffi.cast("ft_trace *", ffi.from_buffer(trace.words))
        pointer.rows = ffi.cast("double *", ffi.from_buffer(trace.rows))
        pointer.ring = ffi.cast("double *", ffi.from_buffer(trace.ring))
        pointer.epochs = ffi.cast("int32_t *", ffi.from_buffer(trace.epochs))
        trace.handle = pointer
    return trace.handle


def _int32s(array: Any) -> Any:
    return _NULL if array is None else ffi.from_buffer(_INT32S, array)


def _doubles(array: Any) -> Any:
    return _NULL if array is None else ffi.from_buffer(_DOUBLES, array)


def _c_rows(rows: Rows, keep: list[Any]) -> Any:
    """An ft_stream with the rows filled in; `keep` holds the buffers alive."""
    stream = ffi.new("ft_stream *")
    stream.k, stream.shared, stream.n_actions = rows.k, rows.shared, 1
    keep += [_int32s(rows.indices), _doubles(rows.values)]
    stream.indices, stream.values = keep[-2:]
    if rows.indptr is not None:
        keep.append(ffi.from_buffer(_INT64S, rows.indptr))
        stream.indptr = keep[-1]
    return stream


def c_stream(stream: Stream, keep: list[Any]) -> Any:
    """ft_stream * of a stream; `keep` holds the buffers alive."""
    c = _c_rows(stream.rows, keep)
    c.steps, c.n_actions = stream.steps, stream.n_actions
    for name, array in (
        ("rewards", stream.rewards),
        ("gammas", stream.gammas),
        ("lambdas", stream.lambdas),
        ("rhos", stream.rhos),
        ("alphas", stream.alphas),
    ):
        keep.append(_doubles(array))
        setattr(c, name, keep[-1])
        if array is not None and name != "rewards":
            setattr(c, name[:-1] + "_stride", len(array) > 1)
    keep.append(_int32s(stream.actions))
    c.actions = keep[-1]
    return c


def _run(trace: Any, kind: int, stream: Stream) -> np.ndarray:
    deltas = np.empty(stream.steps)
    keep: list[Any] = []
    c = c_stream(stream, keep)
    if lib.ft_td_run(handle(trace), kind, c, _doubles(deltas)) != lib.FT_OK:
        raise_bad_index(stream.indices, trace.n, shape=stream.rows.shape)
    return deltas


def td_run(trace: Any, kind: str, stream: Stream) -> np.ndarray:
    return _run(trace, KINDS[kind], stream)


def true_online_td_run(trace: Any, stream: Stream) -> np.ndarray:
    return _run(trace, lib.FT_TRUE_ONLINE, stream)


sarsa_run, true_online_sarsa_run = td_run, true_online_td_run  # actions in the stream are all that differs


def quick_td_step(trace: Any, kind: str) -> Callable[..., float | None]:
    return quick(lib.ft_td_step, handle(trace), KINDS[kind])


def quick(run: Any, pointer: Any, first: float) -> Callable[..., float | None]:
    """A step for the usual input, binary int32 features, without a copy or a look at anything twice.

    run(pointer, first, ...) is ft_td_step, or takes what it takes.
    The step returns None, having changed nothing, for whatever is not of that form or not allowed.
    """
    out = ffi.new("double *")
    from_buffer, int32s, null, ok = ffi.from_buffer, _INT32S, _NULL, lib.FT_OK
    array, int32 = np.ndarray, np.dtype(np.int32)
    seen: Any = None  # x_next is most often the next step's x: its pointer is taken once
    seen_pointer: Any = None

    def step(
        x: Any, x_next: Any, reward: float, gamma: float, lambda_: float, rho: float, alpha: float
    ) -> float | None:
        nonlocal seen, seen_pointer
        try:
            # Not only for numbers that are none: C takes True for 1.
            if not isinstance(reward, float):
                reward = real("reward", reward)
            if not (gamma.__class__ is lambda_.__class__ is rho.__class__ is alpha.__class__ is float):
                others = (gamma, lambda_, rho, alpha)
                gamma, lambda_, rho, alpha = (
                    each if isinstance(each, float) else real("", each) for each in others
                )
            if x is seen:
                p = seen_pointer
            elif type(x) is array and x.dtype is int32 and x.ndim == 1:
                p = from_buffer(int32s, x)
            else:
                return None
            if type(x_next) is array and x_next.dtype is int32 and x_next.ndim == 1:
                q = from_buffer(int32s, x_next)
            else:
                return None
            if run(
                pointer, first, len(p), p, null, len(q), q, null, reward, gamma, lambda_, rho, alpha, out
            ) != ok:  # fmt: skip
                return None
        except (TypeError, ValueError, BufferError):
            return None
        seen, seen_pointer = x_next, q
        return out[0]

    return step


def quick_sarsa_step(trace: Any, kind: str) -> Callable[..., None]:
    """A step from row and action to row and action, all of them checked; a column of weights an action."""
    pointer, number, run, out = handle(trace), KINDS[kind], lib.ft_sarsa_step, ffi.new("double *")

    def step(
        x: Row, action: int, x_next: Row, action_next: int,
        reward: float, gamma: float, lambda_: float, alpha: float,
    ) -> None:  # fmt: skip
        run(
            pointer, number,
            len(x.indices), _int32s(x.indices), _doubles(x.values), action,
            len(x_next.indices), _int32s(x_next.indices), _doubles(x_next.values), action_next,
            reward, gamma, lambda_, alpha, out,
        )  # fmt: skip

    return step


def values(trace: Any, rows: Rows) -> np.ndarray:
    """w.x for every row, (rows, columns)."""
    out = np.empty((rows.count, trace.columns))
    keep: list[Any] = []
    if lib.ft_values(handle(trace), _c_rows(rows, keep), rows.count, _doubles(out)) != lib.FT_OK:
        raise_bad_index(rows.indices, trace.n, shape=rows.shape)
    return out


def reset(trace: Any) -> None:
    lib.ft_trace_reset(handle(trace))


def flatten(trace: Any) -> None:
    lib.ft_trace_flatten(handle(trace))
