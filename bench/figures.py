"""The figures that the project promises, and how each follows from what was timed.

Ratios are of minima from one interleaved run.  A figure whose results were wrong, or that this machine cannot
measure, has no value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from . import (
    accuracy,
    algorithms,
    calls,
    footprint,
    horde,
    neural_cases,
    plasticity_cases,
    population,
    returns,
    scaling,
)
from .cases import EAGER, EAGER_C, FLOOR, FLOOR_AHEAD, KERNELS, NO_TRACE, Spec, there
from .interleave import Timing
from .workloads import smooth_8

CALLS, EMBEDDED = "one call a step", "embedded"  # what is compared beside the streams


@dataclass(frozen=True)
class Row:
    """One case: its time, or what was wrong with it."""

    spec: Spec
    timing: Timing | None
    wrong: str = ""

    @property
    def ns(self) -> float | None:
        """Nanoseconds a step, None where the result was wrong."""
        return self.timing.ns if self.timing else None


@dataclass
class Results:
    """What was measured.

    streams, about   rows of what was compared, and a line about it, by its name
    list_lengths     of the eager list with accumulating traces, by stream and lambda
    returns          rows of GAE, by the shape of its arrays
    scaling          what a step costs, by the number of weights and of active features
    """

    streams: dict[str, list[Row]] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)
    list_lengths: dict[str, dict[float, float]] = field(default_factory=dict)
    returns: dict[tuple[int, int], list[Row]] = field(default_factory=dict)
    scaling: scaling.Costs = field(default_factory=dict)
    errors: list[accuracy.Errors] = field(default_factory=list)
    import_seconds: float | None = None
    bytes: int | None = None
    plasticity: dict[str, Any] = field(default_factory=dict)  # what plasticity_cases.measure gives
    networks: dict[str, Any] = field(default_factory=dict)  # what neural_cases.measure gives
    hordes: dict[str, Any] = field(default_factory=dict)  # what horde.measure gives

    def ns(self, stream: str, implementation: str, kernel: str, lambda_: float) -> float | None:
        bare = implementation in (FLOOR, FLOOR_AHEAD) or kernel == NO_TRACE
        spec = Spec(implementation) if bare else Spec(implementation, kernel, lambda_)
        return next((row.ns for row in self.streams.get(stream, ()) if row.spec == spec), None)

    @property
    def wrong(self) -> list[str]:
        """What gave no result, or not the right one."""
        streams = [
            f"{row.spec} on {name}: {row.wrong}"
            for name, rows in [*self.streams.items(), *self.returns.items()]
            for row in rows
            if row.wrong
        ]
        networks = [f"networks, {each}" for each in self.networks.get("wrong", ())]
        networks += [f"hordes, {each}" for each in self.hordes.get("wrong", ())]
        return streams + networks + [f"plastic networks, {each}" for each in self.plasticity.get("wrong", ())]


@dataclass(frozen=True)
class Figure:
    name: str
    measured: float | None
    target: float
    at_most: bool
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """None where it was not measured."""
        if self.measured is None:
            return None
        return self.measured <= self.target if self.at_most else self.measured >= self.target


def measure_footprint(results: Results) -> None:
    if "c" in there():
        results.bytes = footprint.learner_bytes(smooth_8(), "c")
    results.import_seconds = footprint.import_seconds()


def measure_errors(results: Results, steps: int) -> Iterator[str]:
    """Kernel by kernel, saying which is done."""
    if "c" not in there() or not accuracy.measurable():
        return
    for kernel in KERNELS:
        for draw in accuracy.DRAWS:
            results.errors.append(accuracy.errors(kernel, draw, "c", steps))
        yield kernel


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else a / b


def figures(results: Results) -> Iterator[Figure]:
    """Everything that is promised, in order: first what is to be at most so much, then at least."""
    ns = results.ns

    def to_floor(kernel: str, stream: str, lambda_: float = 0.99, floor: str = FLOOR) -> float | None:
        return _ratio(ns(stream, "C", kernel, lambda_), ns(stream, floor, kernel, 0.0))

    for kernel, lambda_, most in (
        ("accumulating", 0.0, 2.4), ("accumulating", 0.9, 2.2), ("accumulating", 0.99, 2.0),
        ("replacing", 0.99, 2.5), ("true online", 0.9, 2.3), ("true online", 0.99, 2.1),
    ):  # fmt: skip
        name = f"C, {kernel}, lambda {short(lambda_)}, L8 / TD(0) in C"
        yield Figure(name, to_floor(kernel, "L8", lambda_), most, True)
    for stream, target in (("L8 permuted", 4.0), ("random 8", 4.0), ("L32", 4.0)):
        name = f"C, true online, lambda .99, {stream} / TD(0) in C"
        yield Figure(name, to_floor("true online", stream), target, True)
    name = "C, accumulating, lambda .99, random 8 / TD(0) in C with prefetch"
    yield Figure(name, to_floor("accumulating", "random 8", 0.99, FLOOR_AHEAD), 2.0, True)
    name = "C, accumulating, lambda .99, random 32 of 2^24 / TD(0) in C with prefetch"
    yield Figure(name, to_floor("accumulating", "random 32 of 2^24", 0.99, FLOOR_AHEAD), 1.8, True)
    name = "C, accumulating, lambda .9, tabular / TD(0) in C"
    yield Figure(name, to_floor("accumulating", "tabular", 0.9), 2.5, True)
    flat = _ratio(ns("L8", "C", "true online", 0.999), ns("L8", "C", "true online", 0.9))
    yield Figure("C, true online, L8, lambda .999 / lambda .9", flat, 1.15, True)
    for kernel in KERNELS:
        ratio = _ratio(ns("L8", "Numba", kernel, 0.99), ns("L8", "C", kernel, 0.99))
        yield Figure(f"Numba / C, {kernel}, lambda .99, L8", ratio, 1.5, True)
    yield from _family(results)
    task = str(population.TASK)
    together = ns(task, population.TOGETHER, population.KERNEL, population.TASK.lambda_)
    name = "population of 64 on mountain car, C / environment, tiles and Sarsa(0) in C"
    yield Figure(name, _ratio(together, ns(task, population.FLOOR, NO_TRACE, 0.0)), 1.9, True)
    nothing = ns(calls.TABLE, calls.NOTHING, NO_TRACE, 0.0)
    for name, most in calls.LIMITS.items():
        ratio = _ratio(ns(calls.TABLE, name, NO_TRACE, 0.0), nothing)
        yield Figure(f"{name} / a call of nothing", ratio, most, True)
    one = ns(calls.TABLE, "learn, one transition", NO_TRACE, 0.0)
    yield Figure("learn of one transition", None if one is None else one / 1e3, 3.0, True, "µs")
    for name in (calls.LEARN, calls.LEARN_64):
        alone, ours = (ns(calls.SHORT, each, NO_TRACE, 0.0) for each in (calls.KERNEL, name))
        yield Figure(f"{name}, 1000 steps / its kernel", _ratio(ours, alone), 1.2, True)
    milliseconds = None if results.import_seconds is None else results.import_seconds * 1e3
    yield Figure("`import fasttrace`, beyond NumPy's own", milliseconds, 50.0, True, "ms")
    kibibytes = None if results.bytes is None else results.bytes / 1024
    yield Figure(f"memory of TD, d = {smooth_8().n}", kibibytes, 28 * smooth_8().n / 1024 + 64, True, "KiB")
    worst = max((each.ratio for each in results.errors), default=None)
    yield Figure("error in w, C / eager float64 loop, worst case", worst, 2.0, True)

    yield from plastic_figures(results)
    yield from network_figures(results)
    for name, measured, most, unit in horde.figures(results.hordes):
        yield Figure(name, measured, most, True, unit)

    for lambda_, target in ((0.9, 8.0), (0.99, 60.0)):
        ratio = _ratio(ns("L8", EAGER, "accumulating", lambda_), ns("L8", "C", "accumulating", lambda_))
        name = f"eager list in Numba / C, accumulating, lambda {short(lambda_)}, L8"
        yield Figure(name, ratio, target, False)
    for lambda_, target in ((0.0, 0.9), (0.5, 3.0), (0.9, 6.0), (0.99, 20.0), (0.999, 40.0)):
        ratio = _ratio(ns("L8", EAGER_C, "accumulating", lambda_), ns("L8", "C", "accumulating", lambda_))
        yield Figure(f"eager list in C / C, accumulating, lambda {short(lambda_)}, L8", ratio, target, False)
    ratio = _ratio(ns("L8", "NumPy", "accumulating", 0.99), ns("L8", "C", "accumulating", 0.99))
    yield Figure("NumPy reference / C, accumulating, lambda .99, L8", ratio, 200.0, False)
    car = ("mountain car", "true online sarsa", 0.9)
    ratio = _ratio(ns(car[0], EAGER, *car[1:]), ns(car[0], "C", *car[1:]))
    yield Figure("mountain car, true online Sarsa(.9): steps a second, C / eager list", ratio, 2.2, False)
    many = partial(ns, str(population.TASK), kernel=population.KERNEL, lambda_=population.TASK.lambda_)
    together = many(population.TOGETHER)
    name = "population of 64 on mountain car, one thread: steps a second / one agent's of 0.1.0"
    yield Figure(name, _ratio(many(population.FIRST), together), 1.5, False)
    name = "population of 64 on mountain car: steps a second of two threads / one, on two idle cores"
    yield Figure(name, _ratio(together, many(population.THREADS)), 1.7, False)
    yield from returns_figures(results)


def _family(results: Results) -> Iterator[Figure]:
    """Every algorithm beside TD or Sarsa; and that lambda costs nothing, in any of them."""

    def ns(implementation: str, name: str, lambda_: float) -> float | None:
        return results.ns(algorithms.EVERY, implementation, name, lambda_)

    for name in algorithms.ROWS:
        if (most := algorithms.limit(name)) is not None:
            other = algorithms.beside(name)
            ratio = _ratio(ns("C", name, 0.99), ns("C", other, 0.99))
            yield Figure(f"C, {name}, lambda .99, L8 / {other}", ratio, most, True)
    for title, pairs, most in (
        ("C, lambda .999 / lambda .9", (("C", 0.999), ("C", 0.9)), 1.15),
        ("Numba / C, lambda .99", (("Numba", 0.99), ("C", 0.99)), 1.6),
    ):
        ratios = {}
        for name, case in algorithms.ROWS.items():
            if case.learner.stem in ("linear", "gradient", "actor_critic"):
                (one, lambda_one), (other, lambda_other) = pairs
                ratio = _ratio(ns(one, name, lambda_one), ns(other, name, lambda_other))
                if ratio is not None:
                    ratios[name] = ratio
        worst = max(ratios, key=ratios.__getitem__, default="")
        yield Figure(f"{title}, every algorithm on L8; worst: {worst}", ratios.get(worst), most, True)


def short(lambda_: float) -> str:
    return f"{lambda_:g}".removeprefix("0") or "0"


# ---- returns ----

PEERS = {
    "rlax": (3.0, 3.0),
    "tianshou": (5.0, 5.0),
    "torchrl": (40.0, 40.0),
    "stable_baselines3": (15.0, 250.0),
}
"""How much longer they take, at (20, 4096) and at (2048, 64)."""


def returns_figures(results: Results) -> Iterator[Figure]:
    """GAE in float32, by np.add of two arrays of that size."""

    def ratio(shape: tuple[int, int], one: str, other: str) -> float | None:
        ns = {row.spec.implementation: row.ns for row in results.returns.get(shape, ())}
        return _ratio(ns.get(one), ns.get(other))

    for shape in (returns.LONG, returns.WIDE):
        at = f"GAE {shape}"
        yield Figure(f"{at}: C, time-major / np.add", ratio(shape, "C", returns.ADD), 2.5, True)
        yield Figure(f"{at}: batch-major / time-major", ratio(shape, returns.BATCH_MAJOR, "C"), 2.5, True)
        yield Figure(f"{at}: Numba / C", ratio(shape, "Numba", "C"), 2.0, True)
        yield Figure(f"{at}: gamma, lambda by step / scalars", ratio(shape, returns.EACH, "C"), 2.0, True)
    series = ratio(returns.SERIES, "C", returns.ADD)
    yield Figure(f"GAE, one trajectory of {returns.SERIES[0]:,}: C / np.add", series, 1.5, True)
    call = ratio(returns.SMALL, returns.CALL, returns.ADD)
    yield Figure(f"GAE {returns.SMALL}: public call / np.add", call, 10.0, True)
    for name, targets in PEERS.items():
        for shape, target in zip((returns.WIDE, returns.LONG), targets, strict=True):
            yield Figure(f"GAE {shape}: {name} / C", ratio(shape, name, "C"), target, False)


def network_figures(results: Results) -> Iterator[Figure]:
    """Those of learners with networks; PyTorch is the peer where it is installed."""
    found = neural_cases.ratios(results.networks)
    for name, target, at_most in neural_cases.TARGETS:
        yield Figure(name, found.get(name), target, at_most)
    errors = results.networks.get("accuracy", {})
    for name, target in (("float32", neural_cases.FLOAT32), ("float64", neural_cases.FLOAT64)):
        scaled = errors[name] / target if name in errors else None
        yield Figure(f"StreamTD, {name}, 400 steps: error / {target:g}", scaled, 1.0, True)


def plastic_figures(results: Results) -> Iterator[Figure]:
    """Those of plastic networks; PyTorch is the peer where it is installed."""
    found = results.plasticity

    def ratio(workload: Any, slow: str, quick: str) -> float | None:
        times = found.get("times", {}).get(str(workload), {})
        return _ratio(times.get(slow), times.get(quick))

    for workload in plasticity_cases.WORKLOADS:
        yield Figure(f"plastic RNN, {workload}: Numba / C", ratio(workload, "Numba", "C"), 2.0, True)
    errors = found.get("accuracy", {})
    for name, target in (("float32", plasticity_cases.FLOAT32), ("float64", plasticity_cases.FLOAT64)):
        error = errors.get(name)
        scaled = None if error is None else error / target
        yield Figure(f"plastic RNN, {name} gradients: error / {target:g}", scaled, 1.0, True)
    peer = plasticity_cases.EAGER
    for workload, target in zip(plasticity_cases.WORKLOADS, (10.0, 7.0, 10.0), strict=True):
        yield Figure(f"plastic RNN, {workload}: {peer} / C", ratio(workload, peer, "C"), target, False)
    first, compiled = plasticity_cases.WORKLOADS[0], plasticity_cases.COMPILED
    yield Figure(f"plastic RNN, {first}: {compiled} / C", ratio(first, compiled, "C"), 4.0, False)
    memory = found.get("memory", {})
    name = f"plastic RNN, {plasticity_cases.MEMORY}: peak memory, {peer} / C"
    yield Figure(name, _ratio(memory.get(peer), memory.get("C")), 50.0, False)
    yield Figure(f"plastic RNN, {first}: 1 thread / 2, on idle cores", found.get("threads"), 1.6, False)
