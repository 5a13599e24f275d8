"""Gradient traces in C; csrc/fasttrace.h says what each call does.  See backends.numpy.neural_gradient."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ...memory import aligned_zeros
from . import ffi, lib
from .neural import SUFFIX, Laid, doubles, fill, reals, unexpected

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
        run = getattr(lib, f"ft_qrc_run_{suffix}")
        learner.handle = SimpleNamespace(c=c, keep=keep, run=run, laid=Laid(net, 1))
    for name in _NUMBERS:
        setattr(learner.handle.c, name, getattr(learner, name))
    return learner.handle


def qrc_run(
    learner: Any, states: Any, actions: Any, rewards: Any, gammas: Any, lambdas: Any, deltas: Any
) -> int:
    """See backends.numpy.neural_gradient.qrc_run."""
    taken = ffi.NULL if actions is None else ffi.from_buffer("int32_t[]", actions)
    arrays = (doubles(each) for each in (rewards, gammas, lambdas))
    ratios = doubles(learner.rhos)
    return _run(learner, ratios, len(rewards), reals(states), taken, *arrays, doubles(deltas, True))


def _run(learner: Any, ratios: Any, steps: int, *pointers: Any) -> int:
    h = _handle(learner)
    h.c.rhos = ratios
    done = h.run(h.c, steps, *pointers)
    if not 0 <= done <= steps:
        unexpected("ft_qrc_run", done)
    learner.decay, learner.z_h, learner.greedy = h.c.decay, h.c.z_h, bool(h.c.greedy)
    return done


def call(learner: Any, **fields: Any) -> Any:
    """What the quick way of `update` works with."""
    h = _handle(learner)
    return h.laid.call(learner, h.c, **fields)


def one_step(learner: Any) -> bool:
    """Learn from the transition that is laid."""
    laid = learner.handle.laid
    return _run(learner, laid.rho, 1, laid.states, ffi.NULL, *laid.arrays) == 1
