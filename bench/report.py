"""`python -m fasttrace bench`: measure everything once, interleaved, and write a report with a chart."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fasttrace
from fasttrace.experiments.bench import parser

from . import accuracy, plasticity_cases, scaling
from .cases import EAGER, IMPLEMENTATIONS, NO_TRACE, Spec
from .figures import Figure, Results, Row, figures
from .interleave import LONG_EVERY, LONG_NS, VERY_LONG_NS, VERY_LONG_ROUNDS
from .measure import FEW_ROUNDS, FULL, QUICK, Plan, measure

ABOUT = """\
Nanoseconds a step, in one thread. All that is compared on a stream ran in turn, A B C A B C ..., compiled
and checked beforehand: the minimum of {rounds} rounds ({third} for runs of more than {long} ms, {few} beyond
{very} ms; {some} on streams that no figure is stated for), in time of the CPU, so that what else runs on a
shared machine does not count. Ours is the public `learn` with its checks; TD(0) in C is a bare loop without
any. The NumPy reference is timed on the first steps of a stream. What gave a wrong result is left blank.
"""

ABOUT_LISTS = """\
An eager list costs what it holds: the tiles that were visited lately. A walk that comes back to them, as
that of L8 does, keeps it short. Its mean length with accumulating traces, and the time of its step by
that of ours in C:
"""

SCALING_CHART = "scaling.png"
ABOUT_SCALING = """\
Features drawn anew at every step. By weights the model is the step of 1,024 weights and what lines of cache
cost beyond that: TD(0) says how much one is in so much memory. A feature touches two of them, its row and its
epoch, or one where the epoch stands in the row. By active features the model is a straight line.
"""

ABOUT_ERRORS = """\
Against long double: {n} weights, {k} active, off-policy, a gamma, lambda and rho for each step, zeros
among them; max|w - exact| / max|exact|, median of {seeds} seeds.
"""

ABOUT_RETURNS = """\
Nanoseconds an entry of GAE (advantages and returns) in float32, shapes as (T, B), terminations in 1 % of the
entries. C is the kernel alone; Numba and the public call are `ft.returns.gae`; other packages, where they are
installed (`pip install "fasttrace[bench-peers]"`), with arrays of their own ready, by the clock on the wall.
"""


ABOUT_PLASTIC = """\
Milliseconds of a sequence forward and backward, float32, one thread of a process of its own; {peer}.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run, write, print; the exit status: 1 where a result was wrong or the folder cannot be written."""
    options = parser().parse_args(argv)
    try:
        folder = Path(options.output)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"fasttrace bench: {error}", file=sys.stderr)
        return 1
    return _run(QUICK if options.quick else FULL, folder)


def _run(plan: Plan, folder: Path) -> int:
    from rich.console import Console

    console = Console()
    began = time.perf_counter()
    results = measure(plan, console)
    promised = list(figures(results))
    seconds = time.perf_counter() - began
    from .chart import draw, draw_scaling

    chart, report = folder / "ns-a-step.png", folder / "report.md"
    draw(results, chart)
    if results.scaling:
        draw_scaling(results.scaling, folder / SCALING_CHART)
    report.write_text(
        "\n".join(markdown(results, promised, plan, seconds, chart.name)) + "\n", encoding="utf-8"
    )
    (folder / "results.json").write_text(
        json.dumps(raw(results, promised), indent=1) + "\n", encoding="utf-8"
    )
    console.print(_table(promised))
    for wrong in results.wrong:
        console.print(wrong, style="bold red", highlight=False, markup=False)
    console.print(f"Report: {report}", highlight=False, soft_wrap=True)
    console.print(f"Chart:  {chart}", highlight=False, soft_wrap=True)
    return 1 if results.wrong else 0


# ---- writing ----


def machine() -> Iterator[str]:
    """The machine and the versions, line by line."""
    from fasttrace.experiments import info

    yield f"{'CPU':11}{_cpu()}, {os.cpu_count()} in use"
    yield f"{'files':11}{Path(fasttrace.__file__).parent}"
    yield from info.lines(info.report())


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
    yield ABOUT.format(
        rounds=plan.rounds,
        third=-(-plan.rounds // LONG_EVERY),
        long=LONG_NS // 10**6,
        few=VERY_LONG_ROUNDS,
        very=VERY_LONG_NS // 10**6,
        some=min(plan.rounds, FEW_ROUNDS),
    )
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
    yield from _scaling_table(results)
    for name, rows in results.streams.items():
        yield from _stream_table(name, rows, results.about[name])
    yield from _returns_table(results)
    yield from _error_table(results)
    yield from _plastic_table(results.plasticity)
    yield from _network_table(results.networks)
    yield from _horde_table(results.hordes)


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


def _scaling_table(results: Results) -> Iterator[str]:
    if not results.scaling:
        return
    yield "## By weights and active features"
    yield ""
    yield ABOUT_SCALING
    yield f"![nanoseconds a step by weights and active features]({SCALING_CHART})"
    yield ""
    yield "| weights | active | TD(0) in C, prefetch | TD(.99) in C | model |"
    yield "|---:|---:|---:|---:|---:|"
    models = {(n, 8): ns for n, ns in scaling.by_weights(results.scaling)}
    models |= {(2**16, k): ns for k, ns in scaling.by_features(results.scaling) if k != 8}
    for size, found in results.scaling.items():
        cells = (found.get(scaling.BARE), found.get(scaling.OURS), models.get(size))
        yield f"| {size[0]:,} | {size[1]} | {' | '.join(map(_number, cells))} |"
    yield ""


def _stream_table(name: str, rows: list[Row], about: str) -> Iterator[str]:
    """Nanoseconds a step: learners and lambdas down, implementations across."""
    by_spec = {row.spec: row for row in rows}
    bare = [spec for spec in by_spec if spec.kernel == NO_TRACE]
    columns = [
        each for each in IMPLEMENTATIONS if any(s.implementation == each for s in by_spec.keys() - bare)
    ]
    yield f"## {name[0].upper()}{name[1:]}"
    yield ""
    yield about
    if bare:
        yield "; ".join(f"{spec.implementation}: {_number(by_spec[spec].ns)} ns" for spec in bare) + "."
    yield ""
    yield f"| learner | lambda | {' | '.join(columns)} |"
    yield f"|---|---:|{'---:|' * len(columns)}"
    for kernel, lambda_ in dict.fromkeys((s.kernel, s.lambda_) for s in by_spec if s not in bare):
        found = (by_spec.get(Spec(label, kernel, lambda_)) for label in columns)
        cells = (_number(row.ns) if row else "" for row in found)
        yield f"| {kernel} | {lambda_:g} | {' | '.join(cells)} |"
    yield ""


def _returns_table(results: Results) -> Iterator[str]:
    """Nanoseconds an entry: shapes across, implementations down."""
    if not results.returns:
        return
    yield "## Returns"
    yield ""
    yield ABOUT_RETURNS
    shapes = list(results.returns)
    ns = {(shape, row.spec.implementation): row.ns for shape, rows in results.returns.items() for row in rows}
    yield f"| | {' | '.join(map(str, shapes))} |"
    yield f"|---|{'---:|' * len(shapes)}"
    for name in dict.fromkeys(name for _, name in ns):
        yield f"| {name} | {' | '.join(_number(ns.get((shape, name))) for shape in shapes)} |"
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


def _plastic_table(found: dict[str, Any]) -> Iterator[str]:
    """Milliseconds of a sequence forward and backward, and memory."""
    if not found:
        return
    labels = list(dict.fromkeys(label for times in found["times"].values() for label in times))
    yield "## Plastic networks"
    yield ""
    peer = f"PyTorch {found['torch']}" if found["torch"] else "PyTorch is not installed here"
    yield ABOUT_PLASTIC.format(peer=peer)
    yield f"| mode, neurons / elements / steps | {' | '.join(labels)} |"
    yield f"|---|{'---:|' * len(labels)}"
    for workload, times in found["times"].items():
        yield f"| {workload} | {' | '.join(_number(times.get(label)) for label in labels)} |"
    yield ""
    for label, mebibytes in found["memory"].items():
        yield f"Peak memory, {plasticity_cases.MEMORY}, {label}: {_number(mebibytes, 'MiB')}."
    yield ""


ABOUT_NETWORKS = """Microseconds a step, float32: StreamTD of 8-64-64-1; step of a JacobianTrace (4, 1e6)
beside a triad over arrays as large as its Z.
"""


def _network_table(found: dict[str, Any]) -> Iterator[str]:
    """Microseconds of a step of StreamTD, and of a pass over a trace of Jacobians."""
    if not found:
        return
    yield "## Networks"
    yield ""
    yield ABOUT_NETWORKS
    labels = list(dict.fromkeys(label for times in found["ns"].values() for label in times))
    yield f"| | {' | '.join(labels)} |"
    yield f"|---|{'---:|' * len(labels)}"
    for workload, times in found["ns"].items():
        cells = (times[label] / 1e3 if label in times else None for label in labels)
        yield f"| {workload} | {' | '.join(_number(each) for each in cells)} |"
    yield ""


ABOUT_HORDES = """Nanoseconds of a prediction and step: d = 4096, k = 8, tiles of a walk or features drawn
anew at every step. TD(0) has the same layout, with and without asking for numbers ahead of time.
"""


def _horde_table(found: dict[str, Any]) -> Iterator[str]:
    """Nanoseconds a prediction and step, and a robot's rate."""
    if not found:
        return
    yield "## Hordes"
    yield ""
    yield ABOUT_HORDES
    for table, times in found["ns"].items():
        yield f"| {table} | ns |"
        yield "|---|---:|"
        yield from (f"| {name} | {_number(ns)} |" for name, ns in times.items())
        yield ""
    if "rate" in found:
        rate = found["rate"]
        yield (
            f"`update` of 2000, true online, d = 2^20, k = 16, {rate['touched']:,} features touched: median "
            f"{rate['median']:.2f} ms, 99.9 % {rate['99.9 %']:.2f} ms, longest {rate['longest']:.1f} ms; "
            f"{_number(rate['MiB'], 'MiB')}."
        )
        yield ""


def raw(results: Results, promised: list[Figure]) -> dict[str, Any]:
    """The same as numbers, for other programs."""
    return {
        "machine": list(machine()),
        "figures": [{**asdict(figure), "met": figure.met} for figure in promised],
        "streams": {
            name: [{**asdict(row.spec), "ns": row.ns, "correct": not row.wrong} for row in rows]
            for name, rows in results.streams.items()
        },
        "returns": {
            "x".join(map(str, shape)): {row.spec.implementation: row.ns for row in rows}
            for shape, rows in results.returns.items()
        },
        "errors": [asdict(each) for each in results.errors],
        "plasticity": results.plasticity,
        "networks": results.networks,
        "hordes": results.hordes,
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


if __name__ == "__main__":
    sys.exit(main())
