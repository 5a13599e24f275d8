"""Networks: a stream, one call a step, the trace of a Jacobian, in every backend; PyTorch where it is."""

from __future__ import annotations

import numpy as np
import pytest

import fasttrace as ft
from fasttrace import registry

from .cases import BACKENDS, Case, Spec, there
from .neural_cases import acting, calls, jacobian, pytorch, stream

COMPILED = sorted(set(there()) - {"numpy"})
INPUTS, ACTIONS = 4, 2


@pytest.mark.parametrize("make", [stream, calls, acting, jacobian], ids=lambda make: make.__name__)
@pytest.mark.parametrize("backend", COMPILED)
def test_neural(time_case, backend, make):
    """StreamTD of 8-64-64-1 as a stream and one call a step, StreamQ likewise; step of a trace (4, 1e6)."""
    case = make(backend)
    time_case(case, "networks", case.spec.kernel)


def test_stream_in_pytorch(time_case):
    """The same with modules and autograd."""
    pytest.importorskip("torch")
    case = pytorch()
    time_case(case, "networks", case.spec.kernel)


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
def test_learner(time_case, backend, row):
    """A stream of 200 steps of every learner with a network."""
    learner, given = taught(row, backend)

    def check():
        fresh, _ = taught(row, backend)
        reference, _ = taught(row, "numpy", np.float64)
        for head, other in zip(fresh._trace.heads, reference._trace.heads, strict=True):
            other.net.params[:] = head.net.params
        return bool(np.abs(fresh.learn(*given) - reference.learn(*given)).max() < 1e-4)

    spec, steps = Spec(BACKENDS[backend], row.name), len(given[-1])
    case = Case(spec, None, steps, lambda: None, lambda: learner.learn(*given), check)
    time_case(case, f"learners with a network, {INPUTS}-32-32", row.name)
