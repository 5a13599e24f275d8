"""What the offpolicy command runs: eleven off-policy predictors on two tasks, and how far off they are.

Source: Ghiassian & Sutton 2021, arXiv:2106.00922 and arXiv:2109.05110.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fasttrace as ft

Float64 = NDArray[np.float64]

PARTS = 20  # of a run, after each of which the error is taken
LAMBDAS = (0.0, 0.5, 0.9, 1.0)
ETAS = (1 / 16, 1 / 4, 1.0, 4.0)  # the second step size of gradient learners is eta alpha
BETAS = (0.0, 0.2, 0.4, 0.6, 0.8)  # by which the emphasis decays in place of gamma


@dataclass(frozen=True)
class Entry:
    """A learner, and what of it varies beside the step size and lambda.

    varies   the name of a third parameter, "" where there is none, and its values
    options  of (alpha, lambda, third): the arguments of the learner; ABTD has zeta for lambda
    """

    label: str
    learner: str
    options: Callable[[float, float, float], dict[str, Any]]
    varies: str = ""
    among: tuple[float, ...] = (0.0,)
    lambda_name: str = "lambda"


def _plain(alpha: float, lambda_: float, third: float) -> dict[str, Any]:
    return {"alpha": alpha, "lambda_": lambda_}


def _zeta(alpha: float, lambda_: float, third: float) -> dict[str, Any]:
    return {"alpha": alpha, "zeta": lambda_}


def _emphatic(alpha: float, lambda_: float, third: float) -> dict[str, Any]:
    return {"alpha": alpha, "lambda_": lambda_, "beta": third}


def _gradient(alpha: float, lambda_: float, third: float) -> dict[str, Any]:
    return {"alpha": alpha, "lambda_": lambda_, "beta": third * alpha}


def _two(label: str, learner: str) -> Entry:
    return Entry(label, learner, _gradient, "eta", ETAS)


ENTRIES = (
    Entry("off-policy TD", "TD", _plain),
    _two("GTD", "GTD"),
    _two("GTD2", "GTD2"),
    _two("HTD", "HTD"),
    _two("Proximal GTD2", "ProximalGTD2"),
    Entry("TDRC", "TDRC", _plain),
    Entry("emphatic TD", "EmphaticTD", _plain),
    Entry("emphatic TD, beta", "EmphaticTD", _emphatic, "beta", BETAS),
    Entry("tree backup", "TreeBackupTD", _plain),
    Entry("V-trace", "VtraceTD", _plain),
    Entry("ABTD", "ABTD", _zeta, lambda_name="zeta"),
)


@dataclass(frozen=True)
class Task:
    """A task of the papers.

    steps   of a run
    alphas  step sizes that are tried
    streams of (run, steps): the transitions, one stream for each target policy
    judged  of a run: features (n, d); for each policy the true values, and weights of their errors, (n,)
    """

    steps: int
    alphas: tuple[float, ...]
    streams: Callable[[int, int], tuple[ft.envs.Transitions, ...]]
    judged: Callable[[int], tuple[Float64, Float64, Float64]]


def _collision_streams(run: int, steps: int) -> tuple[ft.envs.Transitions, ...]:
    return (ft.envs.Collision(seed=run).stream(steps, seed=run, sparse=True),)


def _collision_judged(run: int) -> tuple[Float64, Float64, Float64]:
    env = ft.envs.Collision(seed=run)
    return env.features, env.true_values[np.newaxis], env.distribution[np.newaxis]


def _rooms_streams(run: int, steps: int) -> tuple[ft.envs.Transitions, ...]:
    env = ft.envs.FourRooms()
    active = np.argsort(env.features == 0.0, axis=1, kind="stable")[:, :3].astype(np.int32)
    return tuple(s._replace(x=active[s.states]) for s in env.streams(steps, seed=run))


def _rooms_judged(run: int) -> tuple[Float64, Float64, Float64]:
    env = ft.envs.FourRooms()  # whose walk is in every cell alike
    return env.features, env.true_values, env.active / env.active.sum(axis=1, keepdims=True)


TASKS = {
    "collision": Task(20_000, tuple(2.0**k for k in range(-12, 0)), _collision_streams, _collision_judged),
    "rooms": Task(50_000, tuple(2.0**k for k in range(-12, 0)), _rooms_streams, _rooms_judged),
}


@cache
def _stream(task: str, run: int, steps: int) -> tuple[ft.envs.Transitions, ...]:
    return TASKS[task].streams(run, steps)


def errors(task: str, entry: Entry, setting: tuple[float, float, float], run: int, steps: int) -> Float64:
    """(PARTS + 1,) root mean square value errors of a run, before it and after each part of it.

    setting  (alpha, lambda, third); what diverges is inf
    """
    features, values, weights = TASKS[task].judged(run)
    found = []
    for s, v, d in zip(_stream(task, run, steps), values, weights, strict=True):
        learner = getattr(ft, entry.learner)(features.shape[1], gamma=0.9, **entry.options(*setting))
        more = {"pi": s.pi} if entry.learner in ("TreeBackupTD", "ABTD") else {}
        at = np.linspace(0, len(s.rewards), PARTS + 1).astype(int)
        w = np.zeros((PARTS + 1, features.shape[1]))
        for part, (start, stop) in enumerate(pairwise(at), 1):
            given = {name: array[start:stop] for name, array in more.items()}
            learner.learn(
                s.x[start : stop + 1], s.rewards[start:stop], gammas=s.gammas[start:stop],
                rhos=s.rhos[start:stop], **given,
            )  # fmt: skip
            w[part] = learner.weights
            if not np.isfinite(w[part]).all():
                w[part:] = np.inf
                break
        with np.errstate(all="ignore"):
            found.append(np.sqrt(((w @ features.T - v) ** 2) @ d))
    return np.nan_to_num(np.mean(found, axis=0), nan=np.inf)


def runs(task: str, number: int, setting: tuple[float, float, float], count: int, steps: int) -> Float64:
    """(count, PARTS + 1) errors of learner ENTRIES[number]; a job of its own for one process."""
    return np.array([errors(task, ENTRIES[number], setting, run, steps) for run in range(count)])


# ---- what was found ----


@dataclass
class Found:
    """Errors of a learner, (thirds, lambdas, alphas, runs, PARTS + 1); `best` is the least by its mean."""

    entry: Entry
    errors: Float64

    @property
    def areas(self) -> Float64:
        """(thirds, lambdas, alphas, runs): the mean over a run."""
        with np.errstate(over="ignore"):
            return self.errors.mean(axis=-1)

    @property
    def best(self) -> tuple[int, int, int]:
        with np.errstate(over="ignore"):
            means = self.areas.mean(axis=-1)
        third, lambda_, alpha = np.unravel_index(np.argmin(means), means.shape)
        return int(third), int(lambda_), int(alpha)


def spread(values: Float64) -> Any:
    """Standard error of a mean over the first axis, the runs; of one run 0."""
    with np.errstate(all="ignore"):
        return np.std(values, axis=0, ddof=min(1, len(values) - 1)) / np.sqrt(len(values))
