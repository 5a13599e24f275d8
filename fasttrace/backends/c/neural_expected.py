"""Expected traces in C; csrc/fasttrace.h says what each call does.  See backends.numpy.neural_expected."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ...memory import aligned_zeros
from . import ffi, lib
from .neural import SUFFIX, Laid, doubles, fill, reals, unexpected


def _handle(learner: Any) -> Any:
    """The struct of a learner, made once, and never saved."""
    if learner.handle is None:
        keep: list[Any] = []
        net, k = learner.net, learner.k
        suffix = SUFFIX[net.dtype.name]
        c = ffi.new(f"ft_expected_{suffix} *")
        fill(c.net, net, 1, keep)
        c.k = k
        work = aligned_zeros(2 + 3 * net.n_params + k + k * k, net.dtype)
        keep += [reals(each, True) for each in (learner.z, learner.y, learner.Theta.reshape(-1), work)]
        c.z, c.y, c.Theta, c.work = keep[-4:]
        run = getattr(lib, f"ft_expected_run_{suffix}")
        learner.handle = SimpleNamespace(c=c, keep=keep, run=run, laid=Laid(net, 1))
    for name in ("alpha", "alpha_z", "eta", "decay"):
        setattr(learner.handle.c, name, getattr(learner, name))
    return learner.handle


def expected_run(learner: Any, states: Any, rewards: Any, gammas: Any, lambdas: Any, deltas: Any) -> int:
    """See backends.numpy.neural_expected.expected_run."""
    arrays = (doubles(each) for each in (rewards, gammas, lambdas))
    return _run(learner, len(rewards), reals(states), *arrays, doubles(deltas, True))


def _run(learner: Any, steps: int, *pointers: Any) -> int:
    h = _handle(learner)
    done = h.run(h.c, steps, *pointers)
    if not 0 <= done <= steps:
        unexpected("ft_expected_run", done)
    learner.decay = h.c.decay
    return done


def call(learner: Any, **fields: Any) -> Any:
    """What the quick way of `update` works with."""
    h = _handle(learner)
    return h.laid.call(learner, h.c, **fields)


def one_step(learner: Any) -> bool:
    """Learn from the transition that is laid."""
    laid = learner.handle.laid
    return _run(learner, 1, laid.states, *laid.arrays) == 1
