"""LSTD(lambda): tiles of a grid that is small enough for an n x n matrix, with and without the inverse."""

from __future__ import annotations

import numpy as np
import pytest

import fasttrace as ft
from fasttrace import registry
from fasttrace.linear import lstd

from .cases import BACKENDS, Case, Spec, close, there
from .workloads import brownian_walk, tiles

(ROW,) = registry.SOLVERS
CELLS, N_TILINGS, STEPS, PREFIX = 8, 8, 4000, 50
N = N_TILINGS * CELLS * CELLS  # 512


def stream(steps):
    rng = np.random.default_rng(0)
    x = tiles(brownian_walk(steps, rng), N_TILINGS, CELLS, CELLS * CELLS)
    return x, rng.normal(size=steps)


@pytest.mark.parametrize("lambda_", [0.0, 0.9])
@pytest.mark.parametrize("solver", lstd.SOLVERS)
@pytest.mark.parametrize("backend", there())
def test_run(time_case, backend, solver, lambda_):
    """`learn` of a whole stream; the reference takes the beginning alone."""
    steps = PREFIX if backend == "numpy" else STEPS
    x, rewards = (each[: steps + 1 - i] for i, each in enumerate(stream(STEPS)))
    ours = ft.LSTD(N, lambda_=lambda_, solver=solver, backend=backend)
    empty = ours.state_dict()

    def check():
        """A and b are the reference's, and the weights solve them."""
        book = ft.LSTD(N, lambda_=lambda_, backend="numpy")
        for learner in (book, ours):
            learner.learn(x[: PREFIX + 1], rewards[:PREFIX])
        right = close(ours.A, book.A, ROW.tolerance) and close(ours.b, book.b, ROW.tolerance)
        return right and close(ours.A @ ours.weights, ours.b, ROW.tolerance)

    case = Case(
        Spec(BACKENDS[backend], f"LSTD {solver}", lambda_),
        f"{N} features, 8 tilings",
        steps,
        lambda: ours.load_state_dict(empty),
        lambda: ours.learn(x, rewards),
        check,
    )
    time_case(case, f"LSTD, {N} features")
