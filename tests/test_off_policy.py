"""Off-policy learners that bound their ratios: what they are in special cases, and bad input."""

import math

import numpy as np
import pytest
from streams import BACKENDS, learn, random_stream, relative

import fasttrace as ft

NUMBERS = {"alpha": 0.1, "lambda_": 0.8}


def stream(**changes):
    return random_stream(21, T=200, n=12, k=3, off_policy=True).but(alpha=0.1, **changes)


def weights(learner, s):
    learner.weights = s.weights
    learn(learner, s)
    return learner.weights


@pytest.mark.parametrize("backend", BACKENDS)
def test_vtrace_on_policy_is_td(backend):
    """Where ratios are 1 no bound of at least 1 binds."""
    s = stream(rhos=np.ones(200))
    want = weights(ft.TD(12, **NUMBERS, backend=backend), s)
    for bars in ({}, {"c_bar": 1.0, "rho_bar": 1.0}):
        assert relative(weights(ft.VtraceTD(12, **NUMBERS, **bars, backend=backend), s), want) < 1e-13


@pytest.mark.parametrize("backend", BACKENDS)
def test_vtrace_without_bounds_is_off_policy_td(backend):
    """The ratio of a step stands in the update instead of in the trace: the weights are the same."""
    s = stream()
    want = weights(ft.TD(12, **NUMBERS, backend=backend), s)
    got = weights(ft.VtraceTD(12, **NUMBERS, c_bar=math.inf, rho_bar=math.inf, backend=backend), s)
    assert relative(got, want) < 1e-13
    assert relative(weights(ft.VtraceTD(12, **NUMBERS, backend=backend), s), want) > 1e-3  # a bound does bind


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["c_bar", "rho_bar"])
def test_bars(name, backend):
    for bad in (-0.1, math.nan):
        with pytest.raises(ValueError, match=f"{name}: got {bad}, expected a number of at least 0"):
            ft.VtraceTD(4, alpha=0.1, backend=backend, **{name: bad})
    with pytest.raises(TypeError, match=f"{name}: expected a real number"):
        ft.VtraceTD(4, alpha=0.1, backend=backend, **{name: "1"})


@pytest.mark.parametrize("backend", BACKENDS)
def test_ratios_are_needed(backend):
    learner = ft.VtraceTD(4, alpha=0.1, backend=backend)
    with pytest.raises(ValueError, match=r"rhos: got None, VtraceTD\.learn needs rhos"):
        learner.learn([[0], [1]], [1.0])
    with pytest.raises(TypeError, match="rho"):
        learner.update([0], 1.0, [1])
    for bad in (-1.0, math.inf):
        with pytest.raises(ValueError, match="rho"):
            learner.update([0], 1.0, [1], rho=bad)
    assert not np.any(learner.weights)
