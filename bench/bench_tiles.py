"""The tile coder: many states at once, and one state from Python."""

from __future__ import annotations

import numpy as np
import pytest

import fasttrace as ft

from .cases import BACKENDS, CALLS, Case, Spec, there
from .workloads import STEPS, brownian_walk, tiles


def coder(backend, memory=None):
    return ft.TileCoder((0.0, 0.0), (1.0, 1.0), 89, 8, memory=memory, backend=backend)


def agrees(coded, states, memory):
    """With the suite's own tiles where there is a grid; hashed, with the reference backend."""
    want = tiles(states, 8, 90, 8100) if memory is None else coder("numpy", memory)(states)
    return bool(np.array_equal(coded, want))


@pytest.mark.parametrize("memory", [None, 2**16], ids=["grid", "hashed"])
@pytest.mark.parametrize("backend", there())
def test_many_states(time_case, backend, memory):
    """8 tilings of 90 x 90 cells, the states of L8."""
    states = brownian_walk(STEPS, np.random.default_rng(0))[:-1]
    encode = coder(backend, memory)
    case = Case(
        Spec(BACKENDS[backend], "hashed" if memory else "grid"),
        "many states",
        len(states),
        lambda: None,
        lambda: encode(states),
        lambda: agrees(encode(states), states, memory),
    )
    time_case(case, "tile coding, a state", f"{case.spec.kernel}, many states")


@pytest.mark.parametrize("backend", there())
def test_one_state(time_case, backend):
    """One call a state, from Python."""
    states = brownian_walk(CALLS, np.random.default_rng(0))[:-1]
    encode, rows = coder(backend), list(states)

    def run():
        for state in rows:
            encode(state)

    def check():
        return agrees(np.array([encode(state) for state in rows]), states, None)

    case = Case(Spec(BACKENDS[backend], "grid"), "one state", CALLS, lambda: None, run, check)
    time_case(case, "tile coding, a state", "grid, one call a state")
