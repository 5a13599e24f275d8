"""The learners with two weight vectors in C; see csrc/fasttrace.h.

Every function takes the learner's LazyGradient first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...features import Rows, Stream
from . import lib, refuse
from .calls import new_call
from .linear import c_rows, c_stream, quick, room_of, writable


def handle(trace: Any) -> Any:
    """ft_gradient * of a LazyGradient: its words are the struct; the pointers are set once, never saved."""
    if trace.handle is None:
        pointer = writable("ft_gradient *", trace.words)
        pointer.rows = writable("double *", trace.rows)
        pointer.ring = writable("double *", trace.ring)
        trace.handle = pointer
    return trace.handle


def gtd_run(trace: Any, beta: float, stream: Stream) -> np.ndarray:
    deltas = stream.room()
    keep: list[Any] = []
    c = c_stream(stream, keep)
    refuse(lib.ft_gradient_run(handle(trace), beta, c, room_of(deltas)), stream.rows)
    return deltas


def gq_run(trace: Any, beta: float, stream: Stream) -> np.ndarray:
    deltas = stream.room()
    keep: list[Any] = []
    c = c_stream(stream, keep, work=2 * stream.n_actions)
    refuse(lib.ft_gq_run(handle(trace), beta, c, room_of(deltas)), stream.rows)
    return deltas


htd_run = true_online_gtd_run = gtd2_run = gtd_run
gtd2_lambda_run = tdrc_run = proximal_gtd2_run = gtd_run  # the trace knows its kind


def call(trace: Any, kernel: str, kind: str, target: str, **fields: Any) -> Any:
    """See linear.call."""
    return new_call("gq" if kernel == "gq" else "gradient", trace, handle(trace), **fields)


def quick_step(trace: Any, beta: float) -> Callable[..., float | None]:
    """One step for the usual input; see linear.quick."""
    return quick(lib.ft_gradient_step, handle(trace), beta)


def values(trace: Any, rows: Rows) -> np.ndarray:
    """w.x for every row, (rows, columns)."""
    out = np.empty((rows.count, trace.columns))
    keep: list[Any] = []
    refuse(lib.ft_gradient_values(handle(trace), c_rows(rows, keep), rows.count, room_of(out)), rows)
    return out


def reset(trace: Any) -> None:
    lib.ft_gradient_reset(handle(trace))


def flatten(trace: Any) -> None:
    lib.ft_gradient_flatten(handle(trace))
