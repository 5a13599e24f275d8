"""Learners against stale traces: a stream of each in every backend, beside that of StreamTD and NetworkTD."""

from __future__ import annotations

import numpy as np
import pytest

import fasttrace as ft
from fasttrace import registry

from .cases import BACKENDS, there

INPUTS, HIDDEN, ACTIONS, STEPS = 8, (64, 64), 2, 400


def learner(name, backend, dtype=np.float32):
    """Each with the options it comes with; a window of 30 for ForwardTD."""
    if name == "StreamTD":
        return ft.neural.StreamTD(INPUTS, hidden=HIDDEN, backend=backend, dtype=dtype)
    if name == "QRC":
        return ft.neural.QRC(INPUTS, ACTIONS, hidden=HIDDEN, alpha=1e-3, backend=backend, dtype=dtype)
    net = ft.neural.MLP(
        (INPUTS, *HIDDEN, 1), activation="leaky_relu", layer_norm=True, backend=backend, dtype=dtype
    )
    options = {"NetworkTD": {"keep": 0}}.get(name, {})
    return getattr(ft.neural, name)(net, alpha=1e-3, lambda_=0.8, **options)


def given(name):
    rng = np.random.default_rng(0)
    S, actions = rng.normal(size=(STEPS + 1, INPUTS)), rng.integers(0, ACTIONS, STEPS + 1)
    R = rng.normal(size=STEPS)
    return (S, actions, R) if name == "QRC" else (S, R)


def same_start(one, other):
    """The parameters of `one`, rounded to its type, in `other`."""
    other.params[:] = one.params
    if hasattr(one, "h"):
        other.h.params[:] = one.h.params


@pytest.mark.parametrize("name", ["StreamTD", "NetworkTD", *map(str, registry.REMEDIES)])
@pytest.mark.parametrize("backend", there())
def test_stream(benchmark, backend, name):
    """400 steps of an 8-64-64 network in float32, checked against the reference in float64."""
    one, reference = learner(name, backend), learner(name, "numpy", np.float64)
    same_start(one, reference)
    deltas, want = one.learn(*given(name)), reference.learn(*given(name))
    correct = bool(np.abs(deltas - want).max() < 1e-3)
    benchmark.group = f"{name}, {INPUTS}-64-64, a stream of {STEPS} steps"
    benchmark.extra_info.update(implementation=BACKENDS[backend], steps=STEPS, correct=correct)
    benchmark.pedantic(lambda: one.learn(*given(name)), rounds=2 if backend == "numpy" else 7)
    assert correct
