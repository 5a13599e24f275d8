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


SMALL_CALLS = {  # what is given beside gamma and lambda
    "np.add": (),
    "terminated": ("terminated",),
    "terminated, out": ("terminated", "out"),
    "truncated": ("terminated", "truncated", "next_values"),
    "truncated, out": ("terminated", "truncated", "next_values", "out"),
    "bootstrap, truncated, out": ("terminated", "truncated", "next_values", "bootstrap", "out"),
}


@pytest.mark.skipif("c" not in there(), reason="no C library")
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("call", SMALL_CALLS)
def test_small_call(time_case, call, dtype):
    """The public GAE of (128, 8), where what a call costs is not the kernel, beside np.add of that size."""
    T, B = returns.SMALL
    rng = np.random.default_rng(0)
    rewards, next_values = rng.standard_normal((2, T, B)).astype(dtype)
    values = rng.standard_normal((T + 1, B)).astype(dtype)
    given = {
        "terminated": rng.random((T, B)) < 0.01, "truncated": rng.random((T, B)) < 0.01,
        "next_values": next_values, "bootstrap": values[T].copy(),
        "out": (np.empty_like(rewards), np.empty_like(rewards)),
    }  # fmt: skip
    more = {name: given[name] for name in SMALL_CALLS[call]}
    v = values[:T] if "bootstrap" in more else values

    def run_all(times=200):
        for _ in range(times):
            if call == "np.add":
                np.add(rewards, next_values)
            else:
                ft.returns.gae(rewards, v, gammas=0.99, lambdas=0.95, **more)

    def check():
        found = ft.returns.gae(rewards, v, gammas=0.99, lambdas=0.95, **more)
        want = ft.returns.gae(rewards, v, gammas=0.99, lambdas=0.95, **more | {"out": None}, backend="numpy")
        return bool(np.abs(np.subtract(found, want)).max() < 1e-5)

    case = Case(Spec("C, public call" if more else call), call, T * B * 200, lambda: None, run_all, check)
    time_case(case, f"GAE, an entry of {T} x {B}, {np.dtype(dtype)}", call)


@pytest.mark.benchmark(timer=time.perf_counter)  # they compute in threads of their own
@pytest.mark.parametrize("name", ["rlax", "tianshou", "torchrl", "stable_baselines3"])
def test_peer(time_case, name):
    """GAE of (20, 4096); skipped where the package is missing."""
    pytest.importorskip(name)
    case = next(case for case in returns.peers(returns.WIDE) if case.spec.implementation == name)
    time_case(case, "GAE in float32, an entry", name, "x".join(map(str, returns.WIDE)))
