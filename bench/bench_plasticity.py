"""Plastic networks: forward and backward of a sequence, one step, in every backend; PyTorch where it is."""

from __future__ import annotations

import numpy as np
import pytest

import fasttrace as ft
from fasttrace import registry

from .cases import BACKENDS, Case, Spec, there
from .plasticity_cases import FLOAT32, INPUTS, SHORT, WORKLOADS, error, example, ours, pytorch

SEQUENCES = "plastic RNN, an element's step, forward and backward"
CALLS = 10


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
@pytest.mark.parametrize("backend", sorted(set(there()) - {"numpy"}))
def test_sequence(time_case, backend, workload):
    """Forward and backward of an RNN."""
    time_case(ours(workload, backend), SEQUENCES, str(workload))


def test_sequence_in_pytorch(time_case):
    """The same with PyTorch's own operations, on the short one."""
    pytest.importorskip("torch")
    time_case(pytorch(SHORT, False), SEQUENCES, str(SHORT))


@pytest.mark.parametrize("row", registry.NETWORKS, ids=str)
@pytest.mark.parametrize("backend", there())
def test_network(time_case, backend, row):
    """Forward and backward of each network, retroactive, small."""
    w = SHORT._replace(hidden=48, batch=4, steps=12)
    net = getattr(ft.plasticity, row.name)(INPUTS, w.hidden, mode=w.mode, backend=backend)
    xs, dh = example(w)
    modulation = {"modulation": np.ones((w.steps, w.batch), np.float32)} if row.cell == "layer" else {}

    def run():
        return net.backward(net.forward(xs, **modulation), dh)

    def check():
        make = getattr(ft.plasticity, row.name)
        wide = make(INPUTS, w.hidden, mode=w.mode, backend="numpy", dtype=np.float64)
        for name, array in net.params.items():
            wide.params[name][...] = array
        given = {name: each.astype(np.float64) for name, each in modulation.items()}
        want = wide.backward(wide.forward(xs.astype(np.float64), **given), dh.astype(np.float64))
        return error(run(), want) <= FLOAT32

    case = Case(Spec(BACKENDS[backend], row.cell), w, w.steps * w.batch, lambda: None, run, check)
    time_case(case, f"plastic networks, {w}, forward and backward", row.cell)


@pytest.mark.parametrize("backend", there())
def test_step(time_case, backend):
    """One step of 8 elements from Python, as in reinforcement learning."""
    net = ft.plasticity.PlasticRNN(INPUTS, 64, mode="retroactive", backend=backend)
    state, x = net.initial_state(8), np.ones((8, INPUTS), np.float32)

    def run():
        for _ in range(CALLS):
            net.step(x, state)

    def check():
        return bool(np.abs(net.step(x, state)[0] - net.forward(x[None]).h[0]).max() < 1e-5)

    case = Case(Spec(BACKENDS[backend], "step"), 8, 8 * CALLS, lambda: None, run, check)
    time_case(case, "plastic networks, one step of 8 elements", "rnn")
