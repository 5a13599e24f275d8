"""Gradient traces in C; csrc/fasttrace.h says what each call does.  See backends.numpy.neural_gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

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
        learner.handle = SimpleNamespace(c=c, keep=keep, run=run, laid=Laid(net, 1, learner.kept is not None))
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


def prepare(
    kept: Any, ends: bool, normalise: bool, scale: bool, states: Any, rewards: Any, gammas: Any, inputs: Any,
    scaled: Any,
) -> int:  # fmt: skip
    """See backends.numpy.neural_gradient.prepare."""
    n, T = states.shape[1], len(rewards)
    arrays = (doubles(each) for each in (states, rewards, gammas))
    results = (doubles(each, True) for each in (inputs, scaled))
    done = lib.ft_network_prepare(doubles(kept.whole, True), n, T, ends, normalise, scale, *arrays, *results)
    if not -1 <= done <= T:
        unexpected("ft_network_prepare", done)
    return done


def call(learner: Any, **fields: Any) -> Any:
    """What the quick way of `update` or `step` works with."""
    h = _handle(learner)
    if learner.kept is not None:
        fields["actor"] = learner.kept.raw.ctypes.data
        h.acting = _Acting(learner, h)
    return h.laid.call(learner, h.c, **fields)


def one_step(learner: Any) -> bool:
    """Learn from the transition that is laid."""
    laid = learner.handle.laid
    return _run(learner, laid.rho, 1, laid.states, ffi.NULL, *laid.arrays) == 1


class _Acting:
    """Memory for the steps of a learner that acts, and where it is."""

    def __init__(self, learner: Any, h: Any) -> None:
        net, n = learner.q, learner.q.n_inputs
        self.inputs, self.states = aligned_zeros(2 * n, np.float64), aligned_zeros(2 * n, net.dtype)
        self.q, self.actions = aligned_zeros(net.n_outputs, net.dtype), aligned_zeros(2, np.int32)
        self.scaled = aligned_zeros(1, np.float64)
        rewards, gammas, lambdas, deltas = h.laid.arrays
        inputs, scaled, states = doubles(self.inputs, True), doubles(self.scaled, True), reals(self.states)
        actions = ffi.from_buffer("int32_t[]", self.actions)
        self._kept = doubles(learner.kept.whole, True), n, 1, False
        self._given = h.laid.states, rewards, gammas, inputs, scaled
        self._step = ffi.NULL, 1, states, actions, scaled, gammas, lambdas, deltas
        forward = getattr(lib, f"ft_mlp_forward_{SUFFIX[net.dtype.name]}")
        self.look = partial(forward, ffi.addressof(h.c.q), 1, reals(self.states[n:]), reals(self.q, True))

    def prepare(self, normalise: bool, scale: bool) -> bool:
        return lib.ft_network_prepare(*self._kept, normalise, scale, *self._given) == 1

    def step(self, learner: Any) -> bool:
        return _run(learner, *self._step) == 1


def one_action(
    learner: Any, normalise: bool, scale: bool, action: int, choose: Callable[[Any, float], int]
) -> int | None:
    """Learn from the transition that is laid; the next action, None, with nothing changed, for a fault.

    choose(q, u)  chooses it
    """
    acting, kept = learner.handle.acting, learner.kept
    before = kept.memory.copy()
    if acting.prepare(normalise, scale):
        acting.states[:] = acting.inputs
        if acting.look() == lib.FT_OK:
            following = choose(acting.q.astype(np.float64), float(learner.handle.laid.numbers[-1]))
            acting.actions[:] = action, following
            if acting.step(learner):
                return following
    kept.memory[:] = before
    return None
