"""Forward TD(lambda) in C; csrc/fasttrace.h says what each call does.  See backends.numpy.neural_forward."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ...memory import aligned_zeros
from . import ffi, lib
from .neural import SUFFIX, doubles, fill, reals, unexpected


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
        td.handle = SimpleNamespace(c=c, keep=keep, run=run, flush=flush)
    c = td.handle.c
    c.first, c.waiting, c.alpha = td.first, td.waiting, td.alpha
    return td.handle


def forward_td_run(td: Any, states: Any, rewards: Any, gammas: Any, lambdas: Any, deltas: Any) -> int:
    """See backends.numpy.neural_forward.forward_td_run."""
    h = _handle(td)
    arrays = (doubles(each) for each in (rewards, gammas, lambdas))
    done = h.run(h.c, len(rewards), reals(states), *arrays, doubles(deltas, True))
    if not 0 <= done <= len(rewards):
        unexpected("ft_forward_td_run", done)
    td.first, td.waiting = h.c.first, h.c.waiting
    return done


def forward_td_flush(td: Any) -> bool:
    """See backends.numpy.neural_forward.forward_td_flush."""
    h = _handle(td)
    status = h.flush(h.c)
    if status not in (lib.FT_OK, lib.FT_EVALUE):
        unexpected("ft_forward_td_flush", status)
    td.first, td.waiting = h.c.first, h.c.waiting
    return status == lib.FT_OK
