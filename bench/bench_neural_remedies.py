"""Learners against stale traces: a stream of each in every backend, beside that of StreamTD and NetworkTD."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import fasttrace as ft
from fasttrace import registry

from .cases import BACKENDS, Case, Spec, there

INPUTS, HIDDEN, ACTIONS, STEPS, PREFIX = 8, (64, 64), 2, 400, 100


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


def given(name, steps):
    rng = np.random.default_rng(0)
    S, actions = rng.normal(size=(steps + 1, INPUTS)), rng.integers(0, ACTIONS, steps + 1)
    R = rng.normal(size=steps)
    return (S, actions, R) if name == "QRC" else (S, R)


def same_start(one, other):
    """The parameters of `one`, rounded to its type, in `other`."""
    other.params[:] = one.params
    if hasattr(one, "h"):
        other.h.params[:] = one.h.params


@pytest.mark.parametrize("name", ["StreamTD", "NetworkTD", *map(str, registry.REMEDIES)])
@pytest.mark.parametrize("backend", there())
def test_stream(time_case, backend, name):
    """An 8-64-64 network in float32, its first steps checked against the reference in float64."""
    one, steps = learner(name, backend), PREFIX if backend == "numpy" else STEPS

    def check():
        fresh, reference = learner(name, backend), learner(name, "numpy", np.float64)
        same_start(fresh, reference)
        deltas, want = (each.learn(*given(name, PREFIX)) for each in (fresh, reference))
        return bool(np.abs(deltas - want).max() < 1e-3)

    run = partial(one.learn, *given(name, steps))
    case = Case(Spec(BACKENDS[backend], name), None, steps, lambda: None, run, check)
    time_case(case, f"against stale traces, {INPUTS}-64-64", name)
