"""Step sizes that learn, timed: SwiftTD, TIDBD and Autostep on the streams of the targets, and SwiftTD's
official package where it is installed (pip install swifttd==0.2.0)."""

from __future__ import annotations

import itertools
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fasttrace as ft
from fasttrace import registry

from .cases import BACKENDS, CALLS, Case, Spec, close, there
from .workloads import Workload

Float64 = NDArray[np.float64]

KERNELS = {
    case.learner.kernel: case.learner
    for case in registry.cases(("c",), control=False)
    if case.learner.stem == "adaptive"
}
PEER = "swifttd 0.2.0"
SETTINGS = {"eta": 0.1, "decay": 0.999, "meta": 1e-3, "eta_min": 1e-10}  # of SwiftTD, ours and theirs
# The package computes in float32, takes at most `cutoff` of a step size for a trace that has faded, and
# drops negative traces: it is checked against the reference as far as that lets it be.
CUTOFF, PEER_TOLERANCE = 1e-8, 1e-2


def specs(lambdas: tuple[float, ...] = (0.9, 0.99)) -> list[Spec]:
    every = itertools.product(there().values(), KERNELS, lambdas)
    peers = [Spec(PEER, "swift_td", lambda_) for lambda_ in lambdas] if find_spec("swifttd") else []
    return [*(Spec(*each) for each in every), *peers]


def learner(kernel: str, workload: Workload, lambda_: float, backend: str) -> Any:
    options = SETTINGS if kernel == "swift_td" else {}
    make = getattr(ft, KERNELS[kernel].learner)
    return make(
        workload.n, alpha=workload.alpha, gamma=workload.gamma, lambda_=lambda_, backend=backend, **options
    )


@cache
def reference(kernel: str, workload: Workload, lambda_: float) -> tuple[Float64, Float64]:
    """(deltas, weights) of the dense reference after the workload's prefix."""
    book, head = learner(kernel, workload, lambda_, "numpy"), workload.head(workload.prefix)
    return book.learn(head.x, head.rewards), book.weights


class _Fresh:
    """A learner as it is at the beginning: the step sizes learn, and cost differs with what they are."""

    def __init__(self, spec: Spec, workload: Workload) -> None:
        self.arguments = spec.kernel, workload, spec.lambda_, _backend(spec)
        self.begin()

    def begin(self) -> None:
        self.learner = learner(*self.arguments)


def _backend(spec: Spec) -> str:
    return {label: name for name, label in BACKENDS.items()}[spec.implementation]


def case(spec: Spec, workload: Workload) -> Case:
    """A whole stream, from a new learner."""
    if spec.implementation == PEER:
        return _peer(spec, workload)
    ours = _Fresh(spec, workload)
    head = workload.head(workload.prefix)
    stream = head if _backend(spec) == "numpy" else workload

    def check() -> bool:
        ours.begin()
        want, tolerance = reference(spec.kernel, workload, spec.lambda_), KERNELS[spec.kernel].tolerance
        got = ours.learner.learn(head.x, head.rewards), ours.learner.weights
        return all(close(g, w, tolerance) for g, w in zip(got, want, strict=True))

    def run() -> Float64:
        return ours.learner.learn(stream.x, stream.rewards)

    return Case(spec, workload, stream.steps, ours.begin, run, check)


def step_case(spec: Spec, workload: Workload) -> Case:
    """`CALLS` calls from a Python loop, as an agent makes them."""
    if spec.implementation == PEER:
        return _peer(spec, workload.head(CALLS))
    ours = _Fresh(spec, workload)
    calls = workload.prefix if _backend(spec) == "numpy" else CALLS
    head = workload.head(calls)
    rows, rewards = list(head.x), head.rewards.tolist()
    transitions = list(zip(rows[:-1], rewards, rows[1:], strict=True))

    def run() -> None:
        update = ours.learner.update
        for x, reward, x_next in transitions:
            update(x, reward, x_next)

    def check() -> bool:
        """To the bit as `learn`."""
        at_once = learner(*ours.arguments)
        ours.begin()
        run()
        at_once.learn(head.x, head.rewards)
        return bool((ours.learner.weights == at_once.weights).all())

    return Case(spec, workload, calls, ours.begin, run, check)


def _peer(spec: Spec, workload: Workload) -> Case:
    """Their `step`, which takes a list; there is no call for a stream."""
    import swifttd

    rows, rewards = workload.x.tolist(), [0.0, *workload.rewards.tolist()]
    numbers = spec.lambda_, workload.alpha, workload.gamma, CUTOFF
    theirs: list[Any] = [None]

    def prepare() -> None:
        theirs[0] = swifttd.SwiftTDBinaryFeatures(workload.n, *numbers, *SETTINGS.values())

    def run() -> None:
        step = theirs[0].step
        for x, reward in zip(rows, rewards, strict=True):
            step(x, reward)

    def check() -> bool:
        prepare()
        for x, reward in zip(rows[: workload.prefix + 1], rewards, strict=False):
            theirs[0].step(x, reward)
        got = [theirs[0].predict(x) for x in rows[: workload.prefix]]
        _, weights = reference(spec.kernel, workload, spec.lambda_)
        return close(got, weights[workload.x[: workload.prefix]].sum(axis=1), PEER_TOLERANCE)

    return Case(spec, workload, workload.steps, prepare, run, check)
