"""Networks: a stream, one call a step, the trace of a Jacobian, in every backend; PyTorch where it is."""

from __future__ import annotations

import numpy as np
import pytest

import fasttrace as ft
from fasttrace import registry

from .cases import BACKENDS, there
from .neural_cases import calls, jacobian, pytorch, stream

COMPILED = sorted(set(there()) - {"numpy"})
INPUTS, ACTIONS = 4, 2


def time_it(benchmark, case, rounds=11):
    case.run()
    correct = case.check()
    benchmark.group = case.spec.kernel
    benchmark.extra_info.update(implementation=case.spec.implementation, steps=case.steps, correct=correct)
    benchmark.pedantic(case.run, rounds=rounds)
    assert correct


@pytest.mark.parametrize("make", [stream, calls, jacobian], ids=lambda make: make.__name__)
@pytest.mark.parametrize("backend", COMPILED)
def test_neural(benchmark, backend, make):
    """StreamTD of 8-64-64-1 as a stream and one call a step; step of a trace (4, 1e6)."""
    time_it(benchmark, make(backend))


def test_stream_in_pytorch(benchmark):
    """The same with modules and autograd."""
    pytest.importorskip("torch")
    time_it(benchmark, pytorch(), rounds=3)


def taught(row, backend, dtype=np.float32):
    """A learner of each kind and what it learns from."""
    cls, T = getattr(ft.neural, row.name), 200
    rng = np.random.default_rng(0)
    S, actions, R = rng.normal(size=(T + 1, INPUTS)), rng.integers(0, ACTIONS, T + 1), rng.normal(size=T)
    outputs = 1 if row.method == "td" else ACTIONS
    if row.name.startswith("Network"):
        net = ft.neural.MLP((INPUTS, 32, 32, outputs), backend=backend, dtype=dtype)
        learner = cls(net, alpha=1e-3, keep=0)
    else:
        sizes = () if row.method == "td" else (ACTIONS,)
        learner = cls(INPUTS, *sizes, hidden=(32, 32), backend=backend, dtype=dtype)
    return learner, (S, R) if row.method == "td" else (S, actions, R)


@pytest.mark.parametrize("row", registry.PERCEPTRONS, ids=str)
@pytest.mark.parametrize("backend", there())
def test_learner(benchmark, backend, row):
    """A stream of 200 steps of every learner with a network."""
    learner, given = taught(row, backend)
    reference, _ = taught(row, "numpy", np.float64)
    for head, other in zip(learner._trace.heads, reference._trace.heads, strict=True):
        other.net.params[:] = head.net.params
    deltas, want = learner.learn(*given), reference.learn(*given)
    correct = bool(np.abs(deltas - want).max() < 1e-4)
    benchmark.group = f"{row.name}, {INPUTS}-32-32, 200 steps"
    benchmark.extra_info.update(implementation=BACKENDS[backend], correct=correct)
    benchmark.pedantic(lambda: learner.learn(*given), rounds=3)
    assert correct
