"""`python -m fasttrace bench`: measure everything once, interleaved, and write a report with a chart."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import accuracy, baselines, car, cases, figures
from .cases import EAGER, FLOOR, FLOOR_NUMBA, IMPLEMENTATIONS, KERNELS, NO_TRACE, Case, Spec
from .figures import Figure, Results, Row
from .interleave import ROUNDS, SLOW_NS, SLOW_ROUNDS, interleave
from .workloads import WORKLOADS, Workload, gliding_8, smooth_8

if TYPE_CHECKING:
    from rich.progress import Progress

CURVE = (0.0, 0.5, 0.9, 0.99, 0.999)  # the lambdas of the chart
CHARTED = (smooth_8, gliding_8)


ABOUT = """\
Nanoseconds a step, in one thread. All that is compared on a stream ran in turn, A B C A B C ..., compiled
and checked beforehand: the minimum of {rounds} rounds ({few} for runs of more than {long} ms that no figure
needs), in time of the CPU, so that what else runs on a shared machine does not count. Ours is the public
`learn` with its checks; TD(0) in C is a bare loop without any. The NumPy reference is timed on the first
steps of a stream. What gave a wrong result is left blank.
"""

ABOUT_LISTS = """\
An eager list costs what it holds: the tiles that were visited lately. A walk that comes back to them, as
that of L8 does, keeps it short. Its mean length with accumulating traces, and the time of its step by
that of ours in C:
"""

ABOUT_ERRORS = """\
Against long double: {n} weights, {k} active, off-policy, a gamma, lambda and rho for each step, zeros
among them; max|w - exact| / max|exact|, median of {seeds} seeds.
"""


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    rounds: int
    workloads: tuple[Any, ...]
    steps: int
    accuracy_steps: int


FULL = Plan(ROUNDS, WORKLOADS, 100_000, accuracy.STEPS)
QUICK = Plan(3, CHARTED, 20_000, 10_000)


def main(argv: Sequence[str] | None = None) -> int:
    """Run, write, print; the exit status: 1 where a result was wrong or a package is missing."""
    options = _parser().parse_args(argv)
    try:
        import matplotlib
        import rich
    except ImportError as error:
        print(f'fasttrace bench: {error}; pip install "fasttrace[bench]"', file=sys.stderr)
        return 1
    del matplotlib, rich
    try:
        folder = Path(options.output)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"fasttrace bench: {error}", file=sys.stderr)
        return 1
    return _run(QUICK if options.quick else FULL, folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fasttrace bench",
        description="Run the benchmark suite and write its report: Markdown and a chart.",
    )
    parser.add_argument("--output", metavar="DIR", default="fasttrace-bench", help="folder of the report")
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds and streams: a look, not a measurement"
    )
    return parser


def _run(plan: Plan, folder: Path) -> int:
    from rich.console import Console

    console = Console()
    began = time.perf_counter()
    results = measure(plan, console)
    promised = list(figures.figures(results))
    seconds = time.perf_counter() - began
    chart, report = folder / "ns-a-step.png", folder / "report.md"
    draw(results, chart)
    report.write_text(
        "\n".join(markdown(results, promised, plan, seconds, chart.name)) + "\n", encoding="utf-8"
    )
    (folder / "results.json").write_text(
        json.dumps(raw(results, promised), indent=1) + "\n", encoding="utf-8"
    )
    console.print(_table(promised))
    for row in results.wrong:
        console.print(
            f"wrong result: {row.case.spec} on {row.case.workload}", style="bold red", highlight=False
        )
    console.print(f"Report: {report}", highlight=False, soft_wrap=True)
    console.print(f"Chart:  {chart}", highlight=False, soft_wrap=True)
    return 1 if results.wrong else 0


# ---- measuring ----


@contextmanager
def _progress(console: Any) -> Iterator[Progress]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description:34}"), BarColumn(), TextColumn("{task.percentage:3.0f} %")
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        yield progress


def measure(plan: Plan, console: Any) -> Results:
    """Stream by stream: check every case, which compiles it, then time all of them in turn."""
    results = Results()
    with _progress(console) as progress:
        for make in plan.workloads:
            workload = make().head(plan.steps)
            specs = cases.specs(CURVE if make in CHARTED else cases.LAMBDAS[:2])
            _stream(results, workload.name, [(spec, workload) for spec in specs], plan.rounds, progress)
            results.list_lengths[workload.name] = dict(_list_lengths(workload))
        _stream(results, "mountain car", [(spec, None) for spec in car.specs()], plan.rounds, progress)
        rest = progress.add_task("errors, calls, memory, import", total=len(KERNELS) + 1)
        for _ in figures.measure_errors(results, plan.accuracy_steps):
            progress.advance(rest)
        figures.measure_call(results, plan.rounds)
        figures.measure_footprint(results)
        progress.advance(rest)
    return results


def _stream(
    results: Results, name: str, specs: list[tuple[Spec, Workload | None]], rounds: int, progress: Progress
) -> None:
    task = progress.add_task(f"{name}: checking", total=len(specs) + rounds)
    todo: list[Case] = []
    correct: list[bool] = []
    for spec, workload in specs:
        case = car.case(spec) if workload is None else cases.case(spec, workload)
        promised = spec.implementation == EAGER and spec.kernel == "accumulating" and name == "L8"
        case.every_round |= promised
        todo.append(case)
        correct.append(case.check())
        progress.advance(task)
    progress.update(task, description=f"{name}: {rounds} rounds")
    timings = interleave(todo, rounds, lambda _: progress.advance(task))
    progress.update(task, description=name)
    results.streams[name] = [Row(*each) for each in zip(todo, timings, correct, strict=True)]


def _list_lengths(workload: Workload) -> Iterator[tuple[float, float]]:
    """Mean length of the eager list, accumulating, by lambda."""
    state, deltas = baselines.eager_list(workload.n), np.empty(workload.steps)
    for lambda_ in cases.LAMBDAS[:2]:
        baselines.clear(state)
        numbers = (workload.gamma, lambda_, workload.alpha, baselines.CUTOFF)
        yield lambda_, baselines.eager_td(state, False, workload.x, workload.rewards, *numbers, deltas)


# ---- writing ----


def machine() -> Iterator[str]:
    """The machine and the versions, line by line."""
    from fasttrace.experiments import info

    yield f"{'CPU':11}{_cpu()}, {os.cpu_count()} in use"
    yield from info.lines()


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _number(x: float | None, unit: str = "") -> str:
    if x is None:
        return ""
    digits = 0 if x >= 100 else 1 if x >= 10 else 2
    return f"{x:,.{digits}f}{unit and ' ' + unit}"


def _verdict(figure: Figure) -> str:
    return {None: "not measured", True: "met", False: "**not met**"}[figure.met]


def markdown(
    results: Results, promised: list[Figure], plan: Plan, seconds: float, chart: str
) -> Iterator[str]:
    """The report, line by line."""
    yield "# fasttrace, measured"
    yield ""
    yield f"{time.strftime('%Y-%m-%d %H:%M')}, {seconds:.0f} s in all." + (
        " A quick look: few rounds of shortened streams; the figures are stated for the full ones."
        if plan is QUICK
        else ""
    )
    yield ""
    yield "```text"
    yield from machine()
    yield "```"
    yield ""
    yield ABOUT.format(rounds=plan.rounds, few=SLOW_ROUNDS, long=SLOW_NS // 10**6)
    yield f"![nanoseconds a step by lambda]({chart})"
    yield ""
    for at_most in (True, False):
        yield f"## At {'most' if at_most else 'least'}"
        yield ""
        yield "| figure | measured | target | |"
        yield "|---|---:|---:|---|"
        for figure in promised:
            if figure.at_most == at_most:
                measured, target = (_number(x, figure.unit) for x in (figure.measured, figure.target))
                yield f"| {figure.name} | {measured} | {target} | {_verdict(figure)} |"
        yield ""
    yield from _about_lists(results)
    for name, rows in results.streams.items():
        yield from _stream_table(name, rows)
    yield from _error_table(results)


def _about_lists(results: Results) -> Iterator[str]:
    """How long the list is decides what it costs."""
    yield ABOUT_LISTS
    yield "| stream | lambda .9: length | list / C | lambda .99: length | list / C |"
    yield "|---|---:|---:|---:|---:|"
    for name, lengths in results.list_lengths.items():
        cells = []
        for lambda_, length in lengths.items():
            eager = results.ns(name, EAGER, "accumulating", lambda_)
            ours = results.ns(name, "C", "accumulating", lambda_)
            cells += [_number(length), "" if eager is None or ours is None else _number(eager / ours)]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def _stream_table(name: str, rows: list[Row]) -> Iterator[str]:
    """Nanoseconds a step: learners and lambdas down, implementations across."""
    workload = rows[0].case.workload
    by_spec = {row.case.spec: row for row in rows}
    columns = [label for label in IMPLEMENTATIONS if any(s.implementation == label for s in by_spec)]
    columns = [label for label in columns if label not in (FLOOR, FLOOR_NUMBA)]
    yield f"## {name}"
    yield ""
    if isinstance(workload, Workload):
        yield (
            f"{workload.about[0].upper()}{workload.about[1:]}. {workload.n:,} weights, {workload.k} active, "
            f"{workload.new_features:.1f} of them new at a step; {workload.steps:,} steps, gamma "
            f"{workload.gamma:g}."
        )
        floors = [by_spec[Spec(each)].ns for each in (FLOOR, FLOOR_NUMBA) if Spec(each) in by_spec]
        yield f"TD(0): {' ns in C, '.join(_number(ns) for ns in floors)} ns in Numba."
    else:
        yield f"Environment, coder and agent in one loop, {workload.steps:,} steps: {workload.about}."
    yield ""
    yield f"| learner | lambda | {' | '.join(columns)} |"
    yield f"|---|---:|{'---:|' * len(columns)}"
    for kernel, lambda_ in dict.fromkeys((s.kernel, s.lambda_) for s in by_spec if s.kernel != NO_TRACE):
        found = (by_spec.get(Spec(label, kernel, lambda_)) for label in columns)
        cells = (_number(row.ns) if row else "" for row in found)
        yield f"| {kernel} | {lambda_:g} | {' | '.join(cells)} |"
    yield ""


def _error_table(results: Results) -> Iterator[str]:
    if not results.errors:
        return
    yield "## Error of the weights"
    yield ""
    yield ABOUT_ERRORS.format(n=accuracy.N, k=accuracy.K, seeds=accuracy.SEEDS)
    yield "| trace | gamma, lambda | ours in C | eager float64 loop | ratio |"
    yield "|---|---|---:|---:|---:|"
    for e in results.errors:
        yield f"| {e.kernel} | {e.draw} | {e.ours:.1e} | {e.eager:.1e} | {e.ratio:.2f} |"
    yield ""


def raw(results: Results, promised: list[Figure]) -> dict[str, Any]:
    """The same as numbers, for other programs."""
    return {
        "machine": list(machine()),
        "figures": [{**asdict(figure), "met": figure.met} for figure in promised],
        "streams": {
            name: [
                {**asdict(row.case.spec), "ns": row.ns, "rounds": row.timing.rounds, "correct": row.correct}
                for row in rows
            ]
            for name, rows in results.streams.items()
        },
        "errors": [asdict(each) for each in results.errors],
    }


def _table(promised: list[Figure]) -> Any:
    from rich.table import Table

    table = Table("figure", title="What is promised, and what was measured")
    for name in ("measured", "target", ""):
        table.add_column(name, justify="right")
    for figure in promised:
        sign = "≤" if figure.at_most else "≥"
        target = f"{sign} {_number(figure.target, figure.unit)}"
        style = {None: "yellow", True: "green", False: "bold red"}[figure.met]
        verdict = _verdict(figure).strip("*")
        measured = _number(figure.measured, figure.unit)
        table.add_row(figure.name.replace("`", ""), measured, target, f"[{style}]{verdict}[/]")
    return table


# ---- the chart ----

# Okabe and Ito's colours; markers and dashes tell them apart as well.
STYLES: dict[str, dict[str, Any]] = {
    "NumPy": {"color": "#56B4E9", "marker": "D", "label": "NumPy reference, dense"},
    EAGER: {"color": "#D55E00", "marker": "^", "label": "eager list, Numba"},
    "Numba": {"color": "#E69F00", "marker": "s", "label": "fasttrace, Numba"},
    "C": {"color": "#000000", "marker": "o", "label": "fasttrace, C"},
    FLOOR: {"color": "0.45", "linestyle": (0, (4, 2)), "label": "TD(0) in C: no trace, no checks"},
}


def draw(results: Results, path: Path, kernel: str = "true online") -> None:
    """Nanoseconds a step against lambda, a curve for each implementation and a panel for each stream."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas
    from matplotlib.ticker import FuncFormatter

    figure = Canvas(figsize=(11, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    places = np.arange(len(CURVE))
    panels = figure.subplots(1, len(CHARTED), sharey=True)
    for axes, make in zip(panels, CHARTED, strict=True):
        stream = make()
        for label, style in STYLES.items():
            ns = [results.ns(stream.name, label, kernel, lambda_) for lambda_ in CURVE]
            if any(ns):
                axes.plot(places, [np.nan if each is None else each for each in ns], **style)
        axes.set_yscale("log")
        axes.set_xticks(places, [figures._short(lambda_) for lambda_ in CURVE])
        axes.set_xlabel(r"$\lambda$")
        axes.set_title(f"{stream.name}: {stream.about}", fontsize=10)
        axes.grid(axis="y", which="major", color="0.85", linewidth=0.8)
        axes.grid(axis="y", which="minor", color="0.94", linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    panels[0].set_ylabel("nanoseconds a step (logarithmic)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(r"True online TD($\lambda$): 65 536 weights, 8 active features, $\gamma$ = .99")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(main())
