"""Everything that the report shows, measured: stream by stream, each case checked and then timed in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from . import (
    accuracy,
    algorithms,
    baselines,
    calls,
    car,
    cases,
    figures,
    horde,
    native,
    neural_cases,
    plasticity_cases,
    population,
    returns,
    scaling,
)
from .cases import EMPTY, KERNELS, Case, Spec
from .figures import CALLS, EMBEDDED, Results, Row
from .interleave import ROUNDS, interleave
from .workloads import WORKLOADS, Workload, gliding_8, hashed_16, random_32, smooth_8

if TYPE_CHECKING:
    from rich.progress import Progress

CURVE = (0.0, 0.5, 0.9, 0.99, 0.999)  # the lambdas of the chart
CHARTED = (smooth_8, gliding_8)
ELSEWHERE = ("accumulating", "replacing", "true online")  # traces on the other streams
NO_FIGURE = (gliding_8, hashed_16)  # streams that no figure is stated for
FEW_ROUNDS = 5
PLASTIC_ROUNDS = 15

Builders = dict[Spec, Callable[[], Case]]


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    workloads: tuple[Callable[[], Workload], ...]
    steps: int
    accuracy_steps: int


FULL = Plan(ROUNDS, (*WORKLOADS, random_32), 100_000, accuracy.STEPS)
QUICK = Plan(9, CHARTED, 20_000, 10_000)


def measure(plan: Plan, console: Any) -> Results:
    """Carry out the plan, with a bar for each stream."""
    results = Results()
    with _progress(console) as progress:
        for make in plan.workloads:
            workload = make().head(plan.steps)
            specs = cases.specs(CURVE) if make in CHARTED else cases.specs(cases.LAMBDAS[:2], ELSEWHERE)
            if make is random_32:
                specs = cases.large_specs()
            builders: Builders = {spec: partial(cases.case, spec, workload) for spec in specs}
            rounds = min(plan.rounds, FEW_ROUNDS) if make in NO_FIGURE else plan.rounds
            results.about[workload.name] = workload.describe()
            results.streams[workload.name] = _rows(workload.name, builders, rounds, progress)
            results.list_lengths[workload.name] = dict(_list_lengths(workload))
        for size, specs in scaling.sizes().items() if plan is FULL else ():
            builders = {spec: partial(scaling.case, spec, *size, plan.steps) for spec in specs}
            rows = _rows("{} weights, {} active".format(*size), builders, FEW_ROUNDS, progress)
            results.scaling[size] = {row.spec: row.ns for row in rows}
        name = str(car.TASK)
        results.about[name] = car.TASK.describe()
        builders = {spec: partial(car.case, spec) for spec in car.specs()}
        results.streams[name] = _rows(name, builders, plan.rounds, progress)
        if found := population.specs():
            name = str(population.TASK)
            results.about[name] = population.TASK.describe()
            builders = {spec: partial(population.case, spec) for spec in found}
            results.streams[name] = _rows(name, builders, plan.rounds, progress)
        for name, (about, builders) in _step_by_step(smooth_8().head(plan.steps)).items():
            results.about[name] = about
            results.streams[name] = _rows(name, builders, plan.rounds, progress)
        workload = smooth_8().head(plan.steps)
        every = algorithms.specs(cases.LAMBDAS, ("C",)) + algorithms.specs((0.99,), ("Numba",))
        builders = {spec: partial(algorithms.case, spec, workload) for spec in every}
        results.about[algorithms.EVERY] = algorithms.ABOUT
        results.streams[algorithms.EVERY] = _rows(
            algorithms.EVERY, builders, min(plan.rounds, FEW_ROUNDS), progress
        )
        for shape in returns.SHAPES:
            results.returns[shape] = _rows(f"GAE {shape}", _returns(shape), plan.rounds, progress)
        plastic = progress.add_task("networks, hordes", total=1)
        results.plasticity = plasticity_cases.measure(min(plan.rounds, PLASTIC_ROUNDS), plan is FULL)
        results.networks = neural_cases.measure(plan.rounds)
        results.hordes = horde.measure(plan.rounds, plan is FULL)
        progress.advance(plastic)
        rest = progress.add_task("error, memory, import", total=len(KERNELS) + 1)
        for _ in figures.measure_errors(results, plan.accuracy_steps):
            progress.advance(rest)
        figures.measure_footprint(results)
        progress.advance(rest)
    return results


def _step_by_step(workload: Workload) -> dict[str, tuple[str, Builders]]:
    """The two other levels, on the stream of the targets: a line about each, and its cases."""
    specs = [Spec(label, kernel, 0.99) for kernel in KERNELS for label in cases.there().values()]
    updates: Builders = {spec: partial(cases.step_case, spec, workload) for spec in specs}
    if native.library()[1] is not None:
        updates[Spec(EMPTY)] = cases.empty_call_case
    levels = {CALLS: ("`update` called from Python for each transition of L8.", updates)}
    for table, about, found in (
        (calls.TABLE, calls.ABOUT, calls.cases()),
        (calls.SHORT, "`learn` of so many steps, accumulating, lambda .9, L8.", calls.stream_cases()),
    ):
        levels[table] = (about, {case.spec: partial(_itself, case) for case in found})
    if "numba" in cases.there():
        from .embedded import embedded_case

        inside: Builders = {
            spec: partial(embedded_case, spec, workload)
            for spec in specs
            if spec.implementation != "NumPy" and spec.kernel in ELSEWHERE
        }
        levels[EMBEDDED] = ("The steps of Numba and of C inside a user's own compiled loop, on L8.", inside)
    return levels


def _returns(shape: tuple[int, int]) -> Builders:
    """GAE on arrays of a shape, ours and what it is compared with."""
    found = [*returns.cases(shape), *(returns.peers(shape) if shape in (returns.WIDE, returns.LONG) else ())]
    return {case.spec: partial(_itself, case) for case in found}


def _itself(case: Case) -> Case:
    return case


@contextmanager
def _progress(console: Any) -> Iterator[Progress]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description:34}"), BarColumn(), TextColumn("{task.percentage:3.0f} %")
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        yield progress


def _rows(name: str, builders: Builders, rounds: int, progress: Progress) -> list[Row]:
    """Check every case, which compiles it; then time in turn those that are right."""
    task = progress.add_task(f"{name}: checking", total=len(builders) + rounds)
    right: list[Case] = []
    rows: dict[Spec, Row] = {}
    for spec, build in builders.items():
        try:
            case = build()
            wrong = "" if case.check() else "not the reference's result"
        except Exception as error:  # one that fails must not take the others with it
            wrong = f"{type(error).__name__}: {error}".partition("\n")[0]
        if wrong:
            rows[spec] = Row(spec, None, wrong)
        else:
            right.append(case)
        progress.advance(task)
    progress.update(task, description=f"{name}: {rounds} rounds")
    for case, timing in zip(right, interleave(right, rounds, lambda _: progress.advance(task)), strict=True):
        rows[case.spec] = Row(case.spec, timing)
    progress.update(task, description=name)
    return [rows[spec] for spec in builders]


def _list_lengths(workload: Workload) -> Iterator[tuple[float, float]]:
    """Mean length of the eager list, accumulating, by lambda."""
    state, deltas = baselines.eager_list(workload.n), np.empty(workload.steps)
    for lambda_ in cases.LAMBDAS[:2]:
        baselines.clear(state)
        numbers = (workload.gamma, lambda_, workload.alpha, baselines.CUTOFF)
        yield lambda_, baselines.eager_td(state, False, workload.x, workload.rewards, *numbers, deltas)
