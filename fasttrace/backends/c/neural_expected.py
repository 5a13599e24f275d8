"""Expected traces in C; csrc/fasttrace.h says what each call does.  See backends.numpy.neural_expected."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ...memory import aligned_zeros
from . import ffi, lib
from .neural import SUFFIX, doubles, fill, reals, unexpected


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
        learner.handle = SimpleNamespace(c=c, keep=keep, run=getattr(lib, f"ft_expected_run_{suffix}"))
    for name in ("alpha", "alpha_z", "eta", "decay"):
        setattr(learner.handle.c, name, getattr(learner, name))
    return learner.handle


def expected_run(learner: Any, states: Any, rewards: Any, gammas: Any, lambdas: Any, deltas: Any) -> int:
    """See backends.numpy.neural_expected.expected_run."""
    h = _handle(learner)
    arrays = (doubles(each) for each in (rewards, gammas, lambdas))
    done = h.run(h.c, len(rewards), reals(states), *arrays, doubles(deltas, True))
    if not 0 <= done <= len(rewards):
        unexpected("ft_expected_run", done)
    learner.decay = h.c.decay
    return done
