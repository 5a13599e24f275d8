"""`python -m fasttrace staleness`: how stale traces of networks are, and what helps; tables, two pictures."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend, resolve
from ..errors import BackendUnavailable
from .staleness_tasks import ENTRIES, PARTS, TASKS, Entry, Measured, Task, learn, rule_name, staleness

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Array = NDArray[Any]

LAMBDA = 0.9  # of the learners that are compared
RULES: tuple[tuple[float | None, float], ...] = tuple(
    (rule, lambda_) for rule in (1e-3, 1e-2, 3e-2, None) for lambda_ in (0.8, 0.95)
)  # (step size, None: ObGD; lambda) whose staleness is measured
LAST = PARTS // 5  # parts of a run, over which its last error is the mean


@dataclass
class Settings:
    steps: int = 20_000
    looks: int = 100  # at the staleness
    quick: bool = False

    def among(self, entry: Entry) -> tuple[float, ...]:
        return entry.among[2:4] if self.quick else entry.among


def run(seeds: int, output: str, backend: Backend, quick: bool) -> int:
    """Measure, learn, print, draw; the exit status."""
    try:
        import gymnasium
        import matplotlib
        import rich
    except ImportError as error:
        print(f'fasttrace staleness: {error}; pip install "fasttrace[demo,gym]"', file=sys.stderr)
        return 1
    del gymnasium, matplotlib, rich
    folder = Path(output)
    try:
        backend = resolve(backend)
        folder.mkdir(parents=True, exist_ok=True)
    except (BackendUnavailable, OSError) as error:
        print(f"fasttrace staleness: {error}", file=sys.stderr)
        return 1
    from rich.console import Console

    from .staleness_figures import curves, stale

    settings = Settings(2_000, 10, True) if quick else Settings()
    console = Console()
    results = _measure_all(settings, seeds, backend, console)
    for each in results:
        console.print(stale_table(each))
        console.print(learning_table(each))
    for draw, name in ((stale, "staleness.png"), (curves, "staleness-learning.png")):
        draw(results, folder / name)
        console.print(f"Picture: {folder / name}", highlight=False, soft_wrap=True)
    return 0


def _measure_all(settings: Settings, seeds: int, backend: Backend, console: Console) -> list[Measured]:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    results = []
    columns = TextColumn("{task.description:44}"), BarColumn(), TextColumn("{task.percentage:3.0f} %")
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        for name, make in TASKS.items():
            total = seeds * (len(RULES) + sum(len(settings.among(entry)) for entry in ENTRIES))
            bar = progress.add_task(name, total=total)
            tasks = [make(seed, settings.steps) for seed in range(seeds)]
            results.append(measure(name, tasks, settings, backend, lambda bar=bar: progress.advance(bar)))
    return results


def measure(
    name: str, tasks: list[Task], settings: Settings, backend: Backend, watch: Any = lambda: None
) -> Measured:
    """Every rule's staleness and every learner's curves, of a stream for each seed."""
    found = Measured(name, tasks[0].steps)
    for rule in RULES:
        looks = []
        for seed, task in enumerate(tasks):
            looks.append(staleness(*rule, task, seed, backend, settings.looks))
            watch()
        found.distances[rule], found.cosines[rule] = (np.array(part) for part in zip(*looks, strict=True))
    for entry in ENTRIES:
        best = np.inf
        for setting in settings.among(entry):
            began, runs = time.perf_counter(), []
            for seed, task in enumerate(tasks):
                runs.append(learn(entry, setting, task, seed, backend, LAMBDA))
                watch()
            seconds, curves = (time.perf_counter() - began) / len(tasks), np.array(runs)
            score = float(np.median(curves.mean(1)))
            found.scores.setdefault(entry.label, {})[setting] = score
            if score < best or entry.label not in found.curves:
                best, found.settings[entry.label] = score, setting
                found.curves[entry.label], found.seconds[entry.label] = curves, seconds
    return found


def stale_table(result: Measured) -> Table:
    """Of each rule: the median over time and seeds, and the worst."""
    from rich.table import Table

    grid = Table(title=f"{result.name}: the trace and a fresh one")
    grid.add_column("steps taken", no_wrap=True)
    for heading in ("distance", "greatest", "cosine", "least"):
        grid.add_column(heading, justify="right")
    for rule, distances in result.distances.items():
        if np.isnan(distances).all():
            grid.add_row(rule_name(*rule), *["diverged"] * 4)
            continue
        cosines = result.cosines[rule]
        numbers = (np.nanmedian(distances), np.nanmax(distances), np.nanmedian(cosines), np.nanmin(cosines))
        lost = np.isnan(distances).any(1).sum()
        name = rule_name(*rule) + (f" ({lost} diverged)" if lost else "")
        grid.add_row(name, *(f"{x:.4f}" for x in numbers))
    return grid


def learning_table(result: Measured) -> Table:
    """Of each learner, with the setting whose error was least over the run: error over it, and at its end."""
    from rich.table import Table

    seeds = len(next(iter(result.curves.values())))
    grid = Table(title=f"{result.name}: error, median over {seeds} seeds; lambda {LAMBDA:g}")
    grid.add_column("learner", no_wrap=True)
    for heading in ("best setting", "whole run", "last fifth", "us a step"):
        grid.add_column(heading, justify="right")
    tried = {entry.label: entry.tried for entry in ENTRIES}
    for label, curves in result.curves.items():
        numbers = (np.median(curves.mean(1)), np.median(curves[:, -LAST:].mean(1)))
        speed = result.seconds[label] / result.steps * 1e6
        setting = f"{tried[label]} {result.settings[label]:g}"
        grid.add_row(label, setting, *(f"{x:.3f}" for x in numbers), f"{speed:.1f}")
    return grid
