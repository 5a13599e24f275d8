"""Every linear algorithm of the registry on L8, each beside TD or Sarsa with the same trace."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fasttrace as ft
from fasttrace import registry
from fasttrace.layout import KINDS

from .cases import BACKENDS, Case, Spec, close, there
from .workloads import Workload

N_ACTIONS = 3
EXPLORED, GAIN = 0.1, 1.0
ROWS = {str(case).removesuffix("-c"): case for case in registry.cases(("c",))}
"""Kernels with each of their traces: "td-accumulating", ..., "gtd", ..."""
EVERY = "every algorithm"  # its name in the report
ABOUT = """\
`learn` of L8, the whole family. Of three actions the better one is taken nine times of ten, as the target
policy has it; ratios are 1. Where an agent does what its policy would not, traces end, which costs most: were
actions drawn at random, Watkins's Q(lambda), tree backup and Q(sigma) would take longer. What would diverge
takes a smaller step size: emphatic TD, average reward."""
# Times TD or Sarsa with the same trace (two vectors: TD), in C, at lambda .99.
LIMITS = {
    "gtd": 2.2, "gtd2_lambda": 2.4, "tdrc": 2.4, "proximal_gtd2": 3.0,
    "htd": 3.0, "true_online_gtd": 4.0, "gq": 4.0,
}  # fmt: skip
ONE_VECTOR = 1.25
SLOW = 10_000  # steps of those that walk a list of features
# What would diverge with all of alpha takes so much of it: emphatic TD at low lambdas, average reward at
# high ones.
CAREFUL = {"emphatic_td": 0.1, "average_reward_actor_critic": 0.1}


def specs(
    lambdas: tuple[float, ...] = (0.99,), implementations: tuple[str, ...] = ("C", "Numba", "NumPy")
) -> list[Spec]:
    labels = [label for label in there().values() if label in implementations]
    return [Spec(label, name, lambda_) for name in ROWS for lambda_ in lambdas for label in labels]


def limit(name: str) -> float | None:
    """What it may cost, times `beside`; None where nothing is stated."""
    row = ROWS[name].learner
    return ONE_VECTOR if row.stem == "linear" and beside(name) != name else LIMITS.get(row.kernel)


def beside(name: str) -> str:
    """What an algorithm is compared with: TD or Sarsa, true online or with the same trace."""
    row, kind = ROWS[name].learner, ROWS[name].kind
    yardstick = "sarsa" if row.control and row.stem == "linear" else "td"
    if row.stem != "linear":
        return f"{yardstick}-accumulating"
    if KINDS[row.kind].true_online:
        return f"true_online_{yardstick}"
    if kind == "replacing_clear":
        return f"{yardstick}-replacing"
    return f"{yardstick}-{kind or 'accumulating'}"


def learner(name: str, workload: Workload, lambda_: float, backend: str) -> Any:
    """A new one, with as much of the workload's numbers as it takes."""
    row, kind = ROWS[name].learner, ROWS[name].kind
    make = getattr(ft, row.learner)
    alpha = workload.alpha * CAREFUL.get(row.kernel, 1.0)
    numbers = {"alpha": alpha, "gamma": workload.gamma, "lambda_": lambda_}
    numbers |= {"beta": workload.alpha / 10, "alpha_actor": workload.alpha / 10}
    taken = inspect.signature(make).parameters
    if "lambdas" not in row.takes:
        numbers.pop("lambda_")
    options: dict[str, Any] = {
        key: value
        for key, value in numbers.items()
        if key in taken and (taken[key].default is not None or key == "lambda_")
    }  # a beta of None is not that of a second vector
    if kind is not None:
        options["trace"] = kind.removesuffix("_clear")
        if kind.endswith("_clear"):
            options["clear_others"] = True
    sizes = (workload.n, N_ACTIONS) if row.control else (workload.n,)
    return make(*sizes, backend=backend, **{**dict(row.options), **options})


@dataclass(frozen=True)
class Choices:
    """What an agent does on a stream: actions (T + 1,), rewards (T,), a target policy (T + 1, A)."""

    actions: NDArray[np.int32]
    rewards: NDArray[np.float64]
    policy: NDArray[np.float64]


@cache
def choices(workload: Workload) -> Choices:
    """In each third of the first tiling one action is the better one, by GAIN; nine of ten times it is taken,
    else any, and that is the target policy too."""
    rng = np.random.default_rng(4)
    n = len(workload.x)
    better = workload.x[:, 0] * N_ACTIONS // (1 + int(workload.x[:, 0].max()))
    actions = np.where(rng.random(n) < EXPLORED, rng.integers(N_ACTIONS, size=n), better)
    policy = np.full((n, N_ACTIONS), EXPLORED / N_ACTIONS)
    policy[np.arange(n), better] += 1.0 - EXPLORED
    rewards = workload.rewards + GAIN * (actions == better)[:-1]
    return Choices(actions.astype(np.int32), rewards, policy)


def learn(ours: Any, row: registry.StepLearner, stream: Workload) -> NDArray[np.float64]:
    """`learn` of the stream, with ratios, policy and sigmas where it takes them."""
    if not row.control:
        on_policy = dict.fromkeys(getattr(ours, "_required", ()), 1.0)
        return ours.learn(stream.x, stream.rewards, **on_policy)
    chosen = choices(stream)
    more = {"rhos": 1.0, "target_policy": chosen.policy, "sigmas": 0.5}
    taken = inspect.signature(ours.learn).parameters
    more = {key: value for key, value in more.items() if key in taken}
    return ours.learn(stream.x, chosen.actions, chosen.rewards, **more)


@cache
def reference(name: str, workload: Workload, lambda_: float) -> tuple[Any, Any]:
    """(deltas, weights) of the dense reference after the workload's prefix."""
    book = learner(name, workload, lambda_, "numpy")
    return learn(book, ROWS[name].learner, workload.head(workload.prefix)), book.weights


def case(spec: Spec, workload: Workload) -> Case:
    """`learn` of a whole stream, from a new learner."""
    backend = {label: name for name, label in BACKENDS.items()}[spec.implementation]
    row = ROWS[spec.kernel].learner
    make = partial(learner, spec.kernel, workload, spec.lambda_, backend)
    slow = row.stem == "adaptive"
    head = workload.head(workload.prefix)
    stream = head if backend == "numpy" else workload.head(SLOW) if slow else workload
    ours = [make()]

    def prepare() -> None:
        ours[0] = make()

    def run() -> NDArray[np.float64]:
        return learn(ours[0], row, stream)

    def check() -> bool:
        want = reference(spec.kernel, workload, spec.lambda_)
        fresh = make()
        got = learn(fresh, row, head), fresh.weights
        as_the_book = all(close(g, w, row.tolerance) for g, w in zip(got, want, strict=True))
        return as_the_book and bool(np.isfinite(learn(make(), row, stream)).all())  # NaN has times of its own

    return Case(spec, workload, stream.steps, prepare, run, check)
