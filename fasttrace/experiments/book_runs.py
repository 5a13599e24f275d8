"""What figures of chapter 12 of Sutton & Barto 2018 show, from sweeps: 12.3, 12.6, 12.8, 12.10 and 12.11."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..envs import RandomWalk
from .runs import Table
from .sweep import generator_of

Float64 = NDArray[np.float64]

WALK_LAMBDAS = (0.0, 0.4, 0.8, 0.9, 0.95, 0.975, 0.99, 1.0)
WALK_ALPHAS = (
    0.0,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.15,
    0.2,
    0.25,
    0.3,
    0.35,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    1.0,
)
CAR_LAMBDAS = (0.0, 0.68, 0.84, 0.92, 0.96, 0.98, 0.99)
CAR_ALPHAS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7)
TRACE_ALPHAS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
WALK_EPISODES, CAR_EPISODES = 10, 50

# Curves of figure 12.11, lambda = .9: options of the learner.
TRACES: dict[str, dict[str, Any]] = {
    "true online Sarsa": {"name": "TrueOnlineSarsa"},
    "replacing": {"name": "Sarsa", "trace": "replacing"},
    "replacing, clearing": {"name": "Sarsa", "trace": "replacing", "clear_others": True},
    "accumulating": {"name": "Sarsa", "trace": "accumulating"},
}


@dataclass(frozen=True)
class Curve:
    """Means over runs and their standard errors, (m,), against x (m,)."""

    label: str
    x: Float64
    mean: Float64
    error: Float64


@dataclass(frozen=True)
class Panel:
    """title, axes and curves; limits of y as in the book."""

    title: str
    across: str
    up: str
    limits: tuple[float, float]
    curves: list[Curve]


Sweep = Callable[[dict[str, Any]], Table]


# ---- 19-state random walk ----------------------------------------------------------------------------------


def walk_curves(learner: str, runs: int, swept: Sweep) -> list[Curve]:
    """Root mean square errors of a learner, a curve for each lambda."""
    table = swept(
        {
            "environment": {"name": "RandomWalk", "n": 19},
            "learner": {"name": learner},
            "grid": {"lambda_": list(WALK_LAMBDAS), "alpha": list(WALK_ALPHAS[1:])},
            "run": {"seeds": runs, "episodes": WALK_EPISODES},
        }
    )
    at_rest = float(np.sqrt(np.mean(RandomWalk(19).true_values ** 2)))  # what a step size of 0 leaves
    return [
        Curve(
            curve.label,
            np.concatenate([[0.0], curve.x]),
            np.concatenate([[at_rest], curve.mean]),
            np.concatenate([[0.0], curve.error]),
        )
        for curve in _by_lambda(table, "alpha", "rms")
    ]


def offline_errors(runs: int, lambdas: tuple[float, ...], alphas: tuple[float, ...]) -> Float64:
    """(runs, lambdas, alphas) of the off-line lambda-return algorithm, S&B (12.4), over 10 episodes.

    As forward.offline_lambda_return has it, "live"; G_t = g_t + Y_t.w does not hang on alpha.
    """
    task = RandomWalk(19)
    size = np.array(alphas)[:, np.newaxis]
    lambda_ = np.array(lambdas)
    errors = np.zeros((runs, len(lambdas), len(alphas)))
    for run in range(runs):
        random = generator_of(run)
        w = np.zeros((len(lambdas), len(alphas), task.n))
        for _ in range(WALK_EPISODES):
            stream = task.stream(episodes=1, seed=random, sparse=True)
            states, T = stream.states, len(stream.rewards)
            g, Y = np.zeros((T, len(lambdas))), np.zeros((T, len(lambdas), task.n))
            g[-1] = stream.rewards[-1]
            for t in range(T - 2, -1, -1):
                g[t] = stream.rewards[t] + lambda_ * g[t + 1]
                Y[t] = lambda_[:, np.newaxis] * Y[t + 1]
                Y[t, :, states[t + 1]] += 1.0 - lambda_
            for t in range(T):
                s = states[t]
                target = g[t][:, np.newaxis] + np.einsum("lan,ln->la", w, Y[t])
                w[:, :, s] += size[:, 0] * (target - w[:, :, s])
            errors[run] += np.sqrt(np.mean((w - task.true_values) ** 2, axis=-1)) / WALK_EPISODES
    return errors


@cache
def _offline_curves(runs: int) -> list[Curve]:
    with np.errstate(all="ignore"):  # what diverges leaves the picture
        errors = offline_errors(runs, WALK_LAMBDAS, WALK_ALPHAS)
        mean, error = errors.mean(axis=0), _standard_error(errors)
    x = np.array(WALK_ALPHAS)
    return [Curve(f"{each:g}", x, mean[i], error[i]) for i, each in enumerate(WALK_LAMBDAS)]


def _walk_panel(title: str, curves: list[Curve]) -> Panel:
    return Panel(title, r"$\alpha$", "RMS error over the first 10 episodes", (0.24, 0.56), curves)


# ---- mountain car ------------------------------------------------------------------------------------------


def car_table(learner: dict[str, Any], grid: dict[str, Any], runs: int, episodes: int, swept: Sweep) -> Table:
    return swept(
        {
            "environment": {"name": "MountainCar"},
            "coder": {"tiles": 8, "tilings": 8},
            "learner": {**learner, "gamma": 1.0, "epsilon": 0.0},
            "grid": grid,
            "run": {"seeds": runs, "episodes": episodes, "max_episode_steps": 5000},
        }
    )


def _car_curves(runs: int, swept: Sweep) -> list[Curve]:
    grid = {"lambda_": list(CAR_LAMBDAS), "alpha_per_tiling": list(CAR_ALPHAS)}
    table = car_table({"name": "Sarsa", "trace": "replacing"}, grid, runs, CAR_EPISODES, swept)
    return _by_lambda(table, "alpha_per_tiling", "mean_length")


def _trace_curves(runs: int, swept: Sweep) -> list[Curve]:
    curves = []
    for label, options in TRACES.items():
        grid = {"alpha_per_tiling": list(TRACE_ALPHAS)}
        table = car_table({**options, "lambda_": 0.9}, grid, runs, 20, swept)
        curves.append(_curve(label, table, "alpha_per_tiling", "mean_return"))
    return curves


# ---- from tables to curves ---------------------------------------------------------------------------------


def _by_lambda(table: Table, across: str, metric: str) -> list[Curve]:
    lambdas = np.unique(table["lambda_"])
    parts = ({name: column[table["lambda_"] == each] for name, column in table.items()} for each in lambdas)
    return [_curve(f"{each:g}", part, across, metric) for each, part in zip(lambdas, parts, strict=True)]


def _curve(label: str, table: Table, across: str, metric: str) -> Curve:
    """What diverged has no mean."""
    x = np.unique(table[across])
    values = np.where(table["diverged"], np.nan, table[metric])
    with np.errstate(all="ignore"):
        each = [values[table[across] == at] for at in x]
        return Curve(
            label, x, np.array([v.mean() for v in each]), np.array([_standard_error(v) for v in each])
        )


def _standard_error(values: Float64) -> Any:
    with np.errstate(all="ignore"):
        return values.std(axis=0, ddof=min(1, len(values) - 1)) / np.sqrt(len(values))


# ---- the figures -------------------------------------------------------------------------------------------


FIGURES: dict[str, tuple[str, Callable[[int, Sweep], list[Panel]]]] = {
    "12.3": (
        "Off-line lambda-return, 19-state random walk",
        lambda runs, swept: [_walk_panel("off-line $\\lambda$-return", _offline_curves(runs))],
    ),
    "12.6": (
        "TD(lambda), 19-state random walk",
        lambda runs, swept: [_walk_panel("TD($\\lambda$)", walk_curves("TD", runs, swept))],
    ),
    "12.8": (
        "On-line and off-line lambda-return, 19-state random walk",
        lambda runs, swept: [
            _walk_panel("true online TD($\\lambda$)", walk_curves("TrueOnlineTD", runs, swept)),
            _walk_panel("off-line $\\lambda$-return", _offline_curves(runs)),
        ],
    ),
    "12.10": (
        "Sarsa(lambda) with replacing traces, mountain car",
        lambda runs, swept: [
            Panel(
                "Sarsa($\\lambda$) with replacing traces", r"$\alpha \times$ number of tilings (8)",
                "steps an episode, over the first 50", (170.0, 300.0), _car_curves(runs, swept),
            )
        ],
    ),
    "12.11": (
        "Sarsa(lambda = .9) with four kinds of traces, mountain car",
        lambda runs, swept: [
            Panel(
                "$\\lambda$ = .9", r"$\alpha \times$ number of tilings (8)",
                "reward an episode, over the first 20", (-560.0, -140.0), _trace_curves(runs, swept),
            )
        ],
    ),
}  # fmt: skip
