"""Learners that have learned something, and what it means that two are the same."""

import numpy as np
from numpy.testing import assert_array_equal
from streams import all_traces, all_weights, learn, random_stream

import fasttrace as ft
from fasttrace.backends import NAMES

THERE = [name for name in NAMES if ft.backends()[name] is None]


def example(algorithm, **options):
    """A stream with everything that this algorithm takes: some of each, and exact zeros and ones."""
    options = {"T": 40, "n": 12, "k": 4, "vary_alpha": True, "off_policy": not algorithm.control} | options
    options.setdefault("n_actions", 3 if algorithm.control else 0)
    return random_stream(options.pop("seed", 7), **options)


def taught(algorithm, backend, s=None, stop=None, **options):
    """A learner with a history: weights, a trace, all that one step leaves to the next."""
    s = example(algorithm) if s is None else s
    if algorithm.control:
        options.setdefault("seed", 5)
    learner = algorithm.make(s, backend, **options)
    learn(learner, s, 0, stop)
    return learner


def plain(state):
    """A state dict, or a part of one, as what == compares to the bit: arrays become bytes."""
    if isinstance(state, dict):
        return {name: plain(value) for name, value in state.items()}
    if isinstance(state, np.ndarray):
        return state.dtype.str, state.shape, state.tobytes()
    return state


def same(one, other):
    """Whether two learners, or a learner and a state dict, are the same in everything, to the bit."""
    a, b = (each if isinstance(each, dict) else each.state_dict() for each in (one, other))
    return plain(a) == plain(b)


def close(got, want, tolerance=1e-11):
    """Whether weights and trace agree but for rounding, relative to the largest."""

    def near(a, b):
        return np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())

    return near(all_weights(got), all_weights(want)) and near(all_traces(got), all_traces(want))


def inherit(heir, learner):
    """Give a learner without a trace all that reset() leaves another."""
    for name in ("weights", "v", "actor_weights", "average_reward"):
        if hasattr(learner, name):
            setattr(heir, name, getattr(learner, name))


def assert_goes_on_as(one, other, s, start):
    """Both learn the rest of the stream: the same deltas, and the same learners afterwards."""
    assert_array_equal(learn(one, s, start), learn(other, s, start))
    assert same(one, other)
