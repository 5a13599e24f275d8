"""What is timed: one implementation of one learner on one workload, with the check of its result.

A result is right where it agrees with the dense reference on the beginning of the stream to within the
registry's tolerance, and with the eager list on the whole of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fasttrace as ft
from fasttrace import registry

from . import baselines, native
from .workloads import Workload

Float64 = NDArray[np.float64]

LAMBDAS = (0.9, 0.99, 0.999)

# Largest difference of weights to the eager list, relative to the largest weight.  The list forgets traces
# below 1e-8, and what they would have added.
LIST_TOLERANCE = 1e-6

BACKENDS = {"numpy": "NumPy", "numba": "Numba", "c": "C"}
EAGER, FLOOR, FLOOR_NUMBA, EMPTY = "eager list", "TD(0) C", "TD(0) Numba", "empty cffi call"
EAGER_C, FLOOR_AHEAD = "eager list, C", "TD(0) C, prefetch"
IMPLEMENTATIONS = (
    "C",
    "C, together",
    "C, two threads",
    "C, 0.1.0",
    "Numba",
    EAGER,
    "NumPy",
)  # as the tables have them
NO_TRACE = "no trace"

KERNELS = {
    (case.kind or case.learner.kernel.removesuffix("_td").replace("_", " ")): case
    for case in registry.cases(("c",), control=False)
    if case.learner.kernel in ("td", "true_online_td")  # that an eager list stands beside
}
"""Learners of state values by their traces: "accumulating", ..., "true online"."""


@dataclass(frozen=True)
class Spec:
    """Names of one thing to time; `case(spec, workload)` is the thing."""

    implementation: str
    kernel: str = NO_TRACE
    lambda_: float = 0.0

    def __str__(self) -> str:
        if self.kernel == NO_TRACE:
            return self.implementation
        return f"{self.kernel}-{self.lambda_:g}-{self.implementation}"

    @property
    def row(self) -> str:
        """Of a table with a column for each implementation."""
        return self.kernel if self.kernel == NO_TRACE else f"{self.kernel}, lambda {self.lambda_:g}"


@dataclass
class Case:
    spec: Spec
    workload: Any
    steps: int
    prepare: Callable[[], None]
    run: Callable[[], object]
    check: Callable[[], bool]


def there() -> dict[str, str]:
    """Backends that are there, and what they are called in the tables."""
    return {name: label for name, label in BACKENDS.items() if ft.backends()[name] is None}


def specs(lambdas: Sequence[float] = LAMBDAS, kernels: Iterable[str] = tuple(KERNELS)) -> list[Spec]:
    """Every implementation of every learner of state values, and the floor."""
    implementations = [*there().values(), EAGER]
    every = [
        Spec(name, kernel, each)
        for kernel, each, name in itertools.product(kernels, lambdas, implementations)
    ]
    if native.library()[1] is not None:
        every += [Spec(FLOOR), Spec(FLOOR_AHEAD)]
        every += [Spec(EAGER_C, "accumulating", each) for each in lambdas if "accumulating" in kernels]
    return [*every, Spec(FLOOR_NUMBA)]


def large_specs() -> list[Spec]:
    """What is timed where w does not fit into any cache."""
    learners = [Spec(name, "accumulating", 0.99) for name in ("C", "Numba") if name in there().values()]
    return [*learners, Spec(FLOOR_AHEAD)] if native.library()[1] is not None else learners


def case(spec: Spec, workload: Workload) -> Case:
    if spec.implementation in (FLOOR, FLOOR_AHEAD):
        return _floor(spec, workload)
    if spec.implementation == EAGER_C:
        return _eager_in_c(spec, workload)
    if spec.implementation == FLOOR_NUMBA:
        return _floor_numba(spec, workload)
    if spec.implementation == EAGER:
        return _eager(spec, workload)
    return _learner(spec, workload)


def close(got: Any, want: Any, tolerance: float) -> bool:
    """max|got - want| <= tolerance max|want|, and nothing that is not a number."""
    return bool(np.abs(np.subtract(got, want)).max() <= tolerance * np.abs(want).max())


# ---- the public learners ----


def learner(kernel: str, workload: Workload, lambda_: float, backend: str) -> Any:
    entry = KERNELS[kernel]
    trace = {} if entry.kind is None else {"trace": entry.kind}
    return getattr(ft, entry.learner.learner)(
        workload.n, **trace, alpha=workload.alpha, gamma=workload.gamma, lambda_=lambda_, backend=backend
    )


@cache
def reference(kernel: str, workload: Workload, lambda_: float) -> tuple[Float64, Float64]:
    """(deltas, weights) of the dense reference after the workload's prefix."""
    book = learner(kernel, workload, lambda_, "numpy")
    head = workload.head(workload.prefix)
    return book.learn(head.x, head.rewards), book.weights


@cache
def listed(kernel: str, workload: Workload, lambda_: float) -> tuple[Float64, Float64]:
    """(deltas, weights) of the eager list after the whole workload."""
    eager = _eager(Spec(EAGER, kernel, lambda_), workload)
    eager.prepare()
    return eager.run()  # type: ignore[return-value]


def _learner(spec: Spec, workload: Workload) -> Case:
    backend = {label: name for name, label in BACKENDS.items()}[spec.implementation]
    ours = learner(spec.kernel, workload, spec.lambda_, backend)
    stream = workload.head(workload.prefix) if backend == "numpy" else workload
    nothing = np.zeros(workload.n)

    def prepare() -> None:
        ours.reset()
        ours.weights = nothing

    def run() -> Float64:
        return ours.learn(stream.x, stream.rewards)

    def check() -> bool:
        tolerance = KERNELS[spec.kernel].tolerance
        head = workload.head(workload.prefix)
        prepare()
        book_deltas, book_weights = reference(spec.kernel, workload, spec.lambda_)
        right = close(ours.learn(head.x, head.rewards), book_deltas, tolerance)
        right &= close(ours.weights, book_weights, tolerance)
        if backend != "numpy":
            prepare()
            deltas, weights = listed(spec.kernel, workload, spec.lambda_)
            right &= close(run(), deltas, LIST_TOLERANCE) and close(ours.weights, weights, LIST_TOLERANCE)
        return right

    return Case(spec, workload, stream.steps, prepare, run, check)


# ---- what they are compared with ----


def _eager(spec: Spec, workload: Workload) -> Case:
    state = baselines.eager_list(workload.n)
    deltas = np.empty(workload.steps)
    dutch = spec.kernel in ("dutch", "true online")
    function = baselines.eager_dutch_td if dutch else baselines.eager_td
    variant = spec.kernel in ("replacing", "true online")

    def go(stream: Workload) -> tuple[Float64, Float64]:
        numbers = (stream.gamma, spec.lambda_, stream.alpha, baselines.CUTOFF)
        function(state, variant, stream.x, stream.rewards, *numbers, deltas[: stream.steps])
        return deltas[: stream.steps], state.weights

    def check() -> bool:
        baselines.clear(state)
        got = go(workload.head(workload.prefix))
        want = reference(spec.kernel, workload, spec.lambda_)
        return all(close(g, w, LIST_TOLERANCE) for g, w in zip(got, want, strict=True))

    return Case(spec, workload, workload.steps, lambda: baselines.clear(state), lambda: go(workload), check)


def _eager_in_c(spec: Spec, workload: Workload) -> Case:
    _, lib = native.library()
    w, z = np.zeros(workload.n), np.zeros(workload.n)
    place, held = np.zeros(workload.n, np.int32), np.zeros(workload.n, np.int32)
    deltas = np.zeros(workload.steps)
    x, rewards, *memory = (native.pointer(a) for a in (workload.x, workload.rewards, w, place, held, z))
    into, length = native.pointer(deltas), [0]
    numbers = (workload.gamma, spec.lambda_, workload.alpha, baselines.CUTOFF)

    def prepare() -> None:
        for array in (w, z, place, held):
            array.fill(0)
        length[0] = 0

    def run(steps: int = workload.steps) -> None:
        length[0] = lib.bench_eager_td(steps, workload.k, x, rewards, *numbers, *memory, length[0], into)

    def check() -> bool:
        prepare()
        run(workload.prefix)
        want = reference(spec.kernel, workload, spec.lambda_)
        got = deltas[: workload.prefix], w
        return all(close(g, each, LIST_TOLERANCE) for g, each in zip(got, want, strict=True))

    return Case(spec, workload, workload.steps, prepare, run, check)


@cache
def _book_without_trace(workload: Workload) -> Float64:
    return reference("accumulating", workload, 0.0)[1]


def _floor(spec: Spec, workload: Workload) -> Case:
    _, lib = native.library()
    function = lib.bench_td0 if spec.implementation == FLOOR else lib.bench_td0_ahead
    w, deltas = np.zeros(workload.n), np.zeros(workload.steps)
    x, rewards, into, errors = (native.pointer(a) for a in (workload.x, workload.rewards, w, deltas))

    def run(steps: int = workload.steps) -> None:
        function(steps, workload.k, x, rewards, workload.gamma, workload.alpha, into, errors)

    def check() -> bool:
        w.fill(0.0)
        run(workload.prefix)
        return close(w, _book_without_trace(workload), 1e-11)

    return Case(spec, workload, workload.steps, lambda: w.fill(0.0), run, check)


def _floor_numba(spec: Spec, workload: Workload) -> Case:
    w, deltas = np.zeros(workload.n), np.zeros(workload.steps)

    def run(stream: Workload = workload) -> None:
        baselines.td0(w, stream.x, stream.rewards, stream.gamma, stream.alpha, deltas)

    def check() -> bool:
        w.fill(0.0)
        run(workload.head(workload.prefix))
        return close(w, _book_without_trace(workload), 1e-11)

    return Case(spec, workload, workload.steps, lambda: w.fill(0.0), run, check)


# ---- one call a step ----

CALLS = 1000


def step_case(spec: Spec, workload: Workload) -> Case:
    """`CALLS` calls of `update` from a Python loop, as an agent makes them: x_next is the next call's x."""
    backend = {label: name for name, label in BACKENDS.items()}[spec.implementation]
    calls = workload.prefix if backend == "numpy" else CALLS
    ours = learner(spec.kernel, workload, spec.lambda_, backend)
    head = workload.head(calls)
    rows, rewards = list(head.x), head.rewards.tolist()
    transitions = list(zip(rows[:-1], rewards, rows[1:], strict=True))
    nothing = np.zeros(workload.n)

    def prepare() -> None:
        ours.reset()
        ours.weights = nothing

    def run(agent: Any = ours) -> None:
        update = agent.update
        for x, reward, x_next in transitions:
            update(x, reward, x_next)

    def check() -> bool:
        """To the bit as `learn`; from new learners, for the sweep of an old one goes on where it is."""
        stepped, at_once = (learner(spec.kernel, workload, spec.lambda_, backend) for _ in range(2))
        run(stepped)
        at_once.learn(head.x, head.rewards)
        return bool((stepped.weights == at_once.weights).all())

    return Case(spec, workload, calls, prepare, run, check)


def empty_call_case() -> Case:
    """A cffi call of a function without arguments that does nothing."""
    _, lib = native.library()

    def run() -> None:
        empty = lib.bench_empty
        for _ in range(CALLS):
            empty()

    return Case(Spec(EMPTY), "one call", CALLS, lambda: None, run, lambda: True)
