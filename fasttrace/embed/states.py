"""A learner's memory as arrays, for compiled functions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backends.numba import gradient, verb


class State(NamedTuple):
    """A learner's weights and trace as arrays, for compiled functions.  They are the learner's own memory.

    Beyond csrc/fasttrace.h's ft_trace (counters is where it begins): `options`, c_bar and the like,
    `result` (1,), where a call puts one, and `q`, in which steps towards more than one action work.
    """

    counters: NDArray[np.int64]
    scalars: NDArray[np.float64]
    rows: NDArray[np.float64]
    ring: NDArray[np.float64]
    epochs: NDArray[np.int32]
    options: NDArray[np.float64]
    result: NDArray[np.float64]
    q: NDArray[np.float64]


class TwoVectorState(NamedTuple):
    """The same of a learner with two weight vectors: ft_gradient, of which `later` holds TDRC's eta; GQ works
    in `q`."""

    counters: NDArray[np.int64]
    scalars: NDArray[np.float64]
    rows: NDArray[np.float64]
    marks: NDArray[np.int64]
    ring: NDArray[np.float64]
    later: NDArray[np.float64]
    result: NDArray[np.float64]
    q: NDArray[np.float64]


@verb
def gradient_of(s, beta):
    return gradient.Gradient(s.counters, s.scalars, s.rows, s.marks, s.ring, beta, s.later[0])


class AdaptiveState(NamedTuple):
    """The same of a learner whose step sizes learn: ft_adaptive, of which `scalars` holds the options."""

    counters: NDArray[np.int64]
    scalars: NDArray[np.float64]
    rows: NDArray[np.float64]
    p: NDArray[np.float64]
    inverse: NDArray[np.float64]
    fresh: NDArray[np.float64]
    x: NDArray[np.float64]
    list: NDArray[np.int32]
    active: NDArray[np.int32]
    awake: NDArray[np.int64]
    ranks: NDArray[np.float64]
    kind: int
    result: NDArray[np.float64]


class ActorCriticState(NamedTuple):
    """The same of an actor-critic: `value` takes its critic, `values` its actor, for the preferences.

    Both are of ft_actor_critic, which `words` is; `numbers` are the first of them, eta the third.
    """

    critic: State
    actor: State
    words: NDArray[np.int64]
    numbers: NDArray[np.float64]
    work: NDArray[np.float64]
    result: NDArray[np.float64]
