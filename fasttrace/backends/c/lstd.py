"""LSTD(lambda) in C; csrc/fasttrace.h says what the call does."""

from __future__ import annotations

from typing import Any

from ...features import Stream
from . import lib, refuse
from .calls import new_call
from .linear import c_rows, doubles_of, writable

_BRIEF = 1e5  # nanoseconds; a step that is longer does not keep the GIL


def handle(sums: Any) -> Any:
    """ft_lstd * of a LeastSquares: its words are the struct; the pointers are set once, and never saved."""
    if sums.handle is None:
        pointer = writable("ft_lstd *", sums.words)
        for name in ("A", "b", "z", "u", "work"):
            setattr(pointer, name, writable("double *", getattr(sums, name)))
        if sums.inverse is not None:
            pointer.inverse = writable("double *", sums.inverse)
        pointer.list = writable("int32_t *", sums.list)
        pointer.listed = writable("uint8_t *", sums.listed)
        sums.handle = pointer
    return sums.handle


def call(sums: Any, *told: Any, **fields: Any) -> Any:
    """What the quick way of a learner's methods works with; None where a step is long."""
    work = 5.0 * sums.n * (4 * sums.n if sums.inverse is not None else 16)
    return new_call("lstd", sums, handle(sums), **fields) if work < _BRIEF else None


def lstd_run(sums: Any, stream: Stream, start: int) -> int:
    """See backends.numpy.lstd.lstd_run."""
    keep: list[Any] = []
    c = c_rows(stream.rows, keep)
    c.steps = stream.steps
    for name in ("rewards", "gammas", "lambdas", "rhos"):
        array = getattr(stream, name)
        keep.append(doubles_of(array))
        setattr(c, name, keep[-1])
        if array is not None and name != "rewards":
            setattr(c, name[:-1] + "_stride", len(array) > 1)
    stop = lib.ft_lstd_run(handle(sums), c, start)
    if stop < 0:
        refuse(stop, stream.rows)
    return stop
