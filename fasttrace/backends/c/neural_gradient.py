"""Gradient traces in C; csrc/fasttrace.h says what each call does.  See backends.numpy.neural_gradient."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ...memory import aligned_zeros
from . import ffi, lib
from .neural import SUFFIX, doubles, fill, reals, unexpected

_NUMBERS = ("alpha", "alpha_h", "beta", "decay", "z_h")


def _handle(learner: Any) -> Any:
    """The struct of a learner, made once, and never saved."""
    if learner.handle is None:
        keep: list[Any] = []
        net = learner.q
        suffix = SUFFIX[net.dtype.name]
        c = ffi.new(f"ft_qrc_{suffix} *")
        fill(c.q, learner.q, 1, keep)
        fill(c.h, learner.h, 1, keep)
        c.cut = learner.cut
        work = aligned_zeros(2 * net.n_outputs + 7 * net.n_params, net.dtype)
        keep += [reals(each, True) for each in (learner.z_w, learner.z_theta, work)]
        c.z_w, c.z_theta, c.work = keep[-3:]
        learner.handle = SimpleNamespace(c=c, keep=keep, run=getattr(lib, f"ft_qrc_run_{suffix}"))
    for name in _NUMBERS:
        setattr(learner.handle.c, name, getattr(learner, name))
    return learner.handle


def qrc_run(
    learner: Any, states: Any, actions: Any, rewards: Any, gammas: Any, lambdas: Any, deltas: Any
) -> int:
    """See backends.numpy.neural_gradient.qrc_run."""
    h = _handle(learner)
    taken = ffi.NULL if actions is None else ffi.from_buffer("int32_t[]", actions)
    arrays = (doubles(each) for each in (rewards, gammas, lambdas))
    ratios = ffi.NULL if learner.rhos is None else doubles(learner.rhos)
    h.c.rhos = ratios
    done = h.run(h.c, len(rewards), reals(states), taken, *arrays, doubles(deltas, True))
    if not 0 <= done <= len(rewards):
        unexpected("ft_qrc_run", done)
    learner.decay, learner.z_h, learner.greedy = h.c.decay, h.c.z_h, bool(h.c.greedy)
    return done
