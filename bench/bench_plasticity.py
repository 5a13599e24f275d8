"""Plastic networks: forward and backward of a sequence, one step, in every backend; PyTorch where it is."""

from __future__ import annotations

import numpy as np
import pytest

import fasttrace as ft
from fasttrace import registry

from .cases import BACKENDS, there
from .plasticity_cases import FLOAT32, INPUTS, SHORT, WORKLOADS, error, example, ours, pytorch


def time_it(benchmark, case, group):
    correct = case.check()
    benchmark.group = group
    benchmark.extra_info.update(implementation=case.spec.implementation, correct=correct)
    benchmark.pedantic(case.run, rounds=11)
    assert correct


@pytest.mark.parametrize("workload", WORKLOADS, ids=str)
@pytest.mark.parametrize("backend", sorted(set(there()) - {"numpy"}))
def test_sequence(benchmark, backend, workload):
    """Forward and backward of an RNN."""
    time_it(benchmark, ours(workload, backend), f"plastic RNN, {workload}")


def test_sequence_in_pytorch(benchmark):
    """The same with PyTorch's own operations, on the short one."""
    pytest.importorskip("torch")
    time_it(benchmark, pytorch(SHORT, False), f"plastic RNN, {SHORT}")


@pytest.mark.parametrize("row", registry.NETWORKS, ids=str)
@pytest.mark.parametrize("backend", there())
def test_network(benchmark, backend, row):
    """Forward and backward of each network, retroactive, small."""
    w = SHORT._replace(hidden=48, batch=4, steps=12)
    net = getattr(ft.plasticity, row.name)(INPUTS, w.hidden, mode=w.mode, backend=backend)
    xs, dh = example(w)
    modulation = {"modulation": np.ones((w.steps, w.batch), np.float32)} if row.cell == "layer" else {}

    def run():
        return net.backward(net.forward(xs, **modulation), dh)

    wide = getattr(ft.plasticity, row.name)(INPUTS, w.hidden, mode=w.mode, backend="numpy", dtype=np.float64)
    for name, array in net.params.items():
        wide.params[name][...] = array
    given = {name: each.astype(np.float64) for name, each in modulation.items()}
    want = wide.backward(wide.forward(xs.astype(np.float64), **given), dh.astype(np.float64))
    correct = error(run(), want) <= FLOAT32
    benchmark.group = f"plastic {row.cell}, {w}"
    benchmark.extra_info.update(implementation=BACKENDS[backend], correct=correct)
    benchmark.pedantic(run, rounds=5)
    assert correct


@pytest.mark.parametrize("backend", there())
def test_step(benchmark, backend):
    """One step of 8 elements from Python, as in reinforcement learning."""
    net = ft.plasticity.PlasticRNN(INPUTS, 64, mode="retroactive", backend=backend)
    state, x = net.initial_state(8), np.ones((8, INPUTS), np.float32)
    h, _ = net.step(x, state)
    want = net.forward(x[None]).h[0]
    correct = bool(np.abs(h - want).max() < 1e-5)
    benchmark.group = "plastic RNN, one step of 8 elements"
    benchmark.extra_info.update(implementation=BACKENDS[backend], correct=correct)
    benchmark(net.step, x, state)
    assert correct
