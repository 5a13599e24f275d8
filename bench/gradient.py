"""The learners with two weight vectors on the streams of workloads.py, beside TD(lambda) on the same ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fasttrace as ft
from fasttrace import registry

from .cases import BACKENDS, LAMBDAS, Case, Spec, close, there
from .interleave import interleave
from .workloads import Workload, smooth_8

N_ACTIONS = 3
ROWS = {row.kernel: row for row in registry.STEP_LEARNERS if row.stem == "gradient"}
YARDSTICK = "td"
TARGETS = {"gtd": 2.2, "gq": 4.0, "htd": 3.0, "true_online_gtd": 4.0}  # times TD, in C, on L8


def specs(lambdas: tuple[float, ...] = LAMBDAS) -> list[Spec]:
    """Each kernel in each backend; GTD2, which has no lambda, once."""
    return [
        Spec(label, kernel, lambda_)
        for kernel in ROWS
        for lambda_ in (lambdas if "lambdas" in ROWS[kernel].takes else lambdas[:1])
        for label in there().values()
    ]


def _learner(kernel: str, lambda_: float, workload: Workload, backend: str) -> Any:
    numbers: dict[str, Any] = {"alpha": workload.alpha, "gamma": workload.gamma, "backend": backend}
    if kernel == YARDSTICK:
        return ft.TD(workload.n, lambda_=lambda_, **numbers)
    numbers["beta"] = workload.alpha / 10
    if "lambdas" in ROWS[kernel].takes:
        numbers["lambda_"] = lambda_
    sizes = (workload.n, N_ACTIONS) if ROWS[kernel].control else (workload.n,)
    return getattr(ft, ROWS[kernel].learner)(*sizes, **numbers)


def case(spec: Spec, workload: Workload) -> Case:
    """`learn` of a whole stream; GQ with actions and a target policy drawn at random."""
    backend = {label: name for name, label in BACKENDS.items()}[spec.implementation]
    ours = _learner(spec.kernel, spec.lambda_, workload, backend)
    stream = workload.head(workload.prefix) if backend == "numpy" else workload
    rng = np.random.default_rng(4)
    actions = rng.integers(N_ACTIONS, size=workload.steps + 1, dtype=np.int32)
    policy = rng.dirichlet(np.ones(N_ACTIONS), workload.steps + 1)
    control = spec.kernel != YARDSTICK and ROWS[spec.kernel].control

    def learn(learner: Any, part: Workload) -> NDArray[np.float64]:
        if not control:
            return learner.learn(part.x, part.rewards)
        end = part.steps + 1
        return learner.learn(part.x, actions[:end], part.rewards, rhos=1.0, target_policy=policy[:end])

    def prepare() -> None:
        ours.reset()
        ours.weights = np.zeros_like(ours.weights)
        if spec.kernel != YARDSTICK:
            ours.v = np.zeros_like(ours.weights)

    def check() -> bool:
        """As the dense reference on the beginning of the stream."""
        head = workload.head(workload.prefix)
        book = _learner(spec.kernel, spec.lambda_, workload, "numpy")
        want = learn(book, head)
        prepare()
        return close(learn(ours, head), want, 1e-11) and close(ours.weights, book.weights, 1e-11)

    return Case(spec, workload, stream.steps, prepare, partial(learn, ours, stream), check)


def main(rounds: int = 33) -> None:
    """Print each kernel's cost on L8, and as a multiple of TD's in the same interleaved run."""
    workload = smooth_8()
    labels = [label for name, label in there().items() if name != "numpy"]
    every = [Spec(label, YARDSTICK, 0.99) for label in labels]
    every += [spec for spec in specs() if spec.implementation in labels]
    cases = [case(spec, workload) for spec in every]
    wrong = [str(each.spec) for each in cases if not each.check()]
    timings = interleave(cases, rounds)
    ns = {each.spec: timing.ns for each, timing in zip(cases, timings, strict=True)}
    print("| learner | lambda | " + " | ".join(f"{label}, ns | / TD" for label in labels) + " |")
    print("|---|---:|" + "---:|---:|" * len(labels))
    for kernel, lambda_ in dict.fromkeys((spec.kernel, spec.lambda_) for spec in every):
        cells = [f"{kernel} | {lambda_:g}"]
        for label in labels:
            mine = ns[Spec(label, kernel, lambda_)]
            cells.append(f"{mine:.1f} | {mine / ns[Spec(label, YARDSTICK, 0.99)]:.2f}")
        print("| " + " | ".join(cells) + " |")
    for spec in wrong:
        print(f"not the reference's result: {spec}")


if __name__ == "__main__":
    main()
