"""Forward TD(lambda) in C; csrc/fasttrace.h says what each call does.  See backends.numpy.neural_forward."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ...memory import aligned_zeros
from . import ffi, lib
from .neural import SUFFIX, Laid, doubles, fill, reals, unexpected


def _handle(td: Any) -> Any:
    """The struct of a learner, made once, and never saved."""
    if td.handle is None:
        keep: list[Any] = []
        suffix, m, n = SUFFIX[td.net.dtype.name], td.m, td.net.n_params
        c = ffi.new(f"ft_forward_td_{suffix} *")
        fill(c.net, td.net, 1, keep)
        c.m, c.window, c.fresh = m, td.window, td.fresh
        own = SimpleNamespace(
            before=aligned_zeros(n, td.net.dtype),
            work=aligned_zeros(2 * m + m * m + m * n, td.net.dtype),
            returns=aligned_zeros(m, float),
        )
        for name in ("states", "values", "before", "work"):
            keep.append(reals(getattr(own if hasattr(own, name) else td, name), True))
            setattr(c, name, keep[-1])
        for name in ("rewards", "gammas", "lambdas", "returns"):
            keep.append(doubles(getattr(own if hasattr(own, name) else td, name), True))
            setattr(c, name, keep[-1])
        run, flush = (getattr(lib, f"ft_forward_td_{name}_{suffix}") for name in ("run", "flush"))
        td.handle = SimpleNamespace(c=c, keep=keep, run=run, flush=flush, laid=Laid(td.net, m))
    c = td.handle.c
    c.first, c.waiting, c.alpha = td.first, td.waiting, td.alpha
    return td.handle


def forward_td_run(td: Any, states: Any, rewards: Any, gammas: Any, lambdas: Any, deltas: Any) -> int:
    """See backends.numpy.neural_forward.forward_td_run."""
    arrays = (doubles(each) for each in (rewards, gammas, lambdas))
    return _run(td, len(rewards), reals(states), *arrays, doubles(deltas, True))


def _run(td: Any, steps: int, *pointers: Any) -> int:
    h = _handle(td)
    done = h.run(h.c, steps, *pointers)
    if not 0 <= done <= steps:
        unexpected("ft_forward_td_run", done)
    td.first, td.waiting = h.c.first, h.c.waiting
    return done


def call(td: Any, **fields: Any) -> Any:
    """What the quick way of `update` works with."""
    h = _handle(td)
    return h.laid.call(td, h.c, **fields)


def one_step(td: Any) -> bool:
    """Learn from the transition that is laid."""
    laid = td.handle.laid
    return _run(td, 1, laid.states, *laid.arrays) == 1


def forward_td_flush(td: Any) -> bool:
    """See backends.numpy.neural_forward.forward_td_flush."""
    h = _handle(td)
    status = h.flush(h.c)
    if status not in (lib.FT_OK, lib.FT_EVALUE):
        unexpected("ft_forward_td_flush", status)
    td.first, td.waiting = h.c.first, h.c.waiting
    return status == lib.FT_OK
