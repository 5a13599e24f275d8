"""Returns: GAE beside np.add and other packages; every function of the registry in every backend."""

import time

import numpy as np
import pytest

import fasttrace as ft
from fasttrace import registry

from . import returns
from .cases import BACKENDS, Case, Spec, there

GAE = [
    pytest.param(case, shape, id=f"{case.spec.implementation}-{'x'.join(map(str, shape))}")
    for shape in returns.SHAPES
    for case in returns.cases(shape)
]


@pytest.mark.parametrize(("case", "shape"), GAE)
def test_gae(time_case, case, shape):
    """Ours, beside np.add of arrays of that size."""
    time_case(case, "GAE in float32, an entry", case.spec.implementation, "x".join(map(str, shape)))


@pytest.mark.parametrize("backend", sorted(set(there()) - {"numpy"}))
@pytest.mark.parametrize("row", registry.RETURNS, ids=str)
def test_function(time_case, row, backend):
    """(256, 64), float64; against the reference."""
    T, B = 256, 64
    rng = np.random.default_rng(0)
    given = [rng.random((T + (i > 0), B)) for i in range(1 + len(row.arguments))]
    more = {"gammas": 0.9, "lambdas": 0.8, "terminated": rng.random((T, B)) < 0.01}

    def run(backend=backend):
        found = getattr(ft.returns, row.kernel)(*given, backend=backend, **more)
        return found[0] if isinstance(found, tuple) else found

    def check():
        want = run("numpy")
        return bool(np.abs(run() - want).max() <= row.tolerance * np.abs(want).max())

    case = Case(Spec(BACKENDS[backend], row.kernel), f"{T} x {B}", T * B, lambda: None, run, check)
    time_case(case, f"returns, an entry of {T} x {B}, float64", row.kernel)


@pytest.mark.benchmark(timer=time.perf_counter)  # they compute in threads of their own
@pytest.mark.parametrize("name", ["rlax", "tianshou", "torchrl", "stable_baselines3"])
def test_peer(time_case, name):
    """GAE of (20, 4096); skipped where the package is missing."""
    pytest.importorskip(name)
    case = next(case for case in returns.peers(returns.WIDE) if case.spec.implementation == name)
    time_case(case, "GAE in float32, an entry", name, "x".join(map(str, returns.WIDE)))
