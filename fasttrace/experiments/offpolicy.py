"""`python -m fasttrace offpolicy`: eleven off-policy predictors by step size and lambda; two pictures."""

from __future__ import annotations

import itertools
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .offpolicy_runs import ENTRIES, LAMBDAS, TASKS, Found, runs, spread

if TYPE_CHECKING:
    from rich.table import Table


def measure(task: str, count: int, steps: int, watch: Any = lambda: None) -> list[Found]:
    """Every learner at every setting, `count` runs each, on all cores."""
    alphas = TASKS[task].alphas
    jobs = [
        (number, (alpha, lambda_, third))
        for number, entry in enumerate(ENTRIES)
        for third, lambda_, alpha in itertools.product(entry.among, LAMBDAS, alphas)
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        waiting = [pool.submit(runs, task, *job, count, steps) for job in jobs]
        results = []
        for each in waiting:
            results.append(each.result())
            watch()
    found, start = [], 0
    for entry in ENTRIES:
        shape = (len(entry.among), len(LAMBDAS), len(alphas))
        part = np.array(results[start : start + np.prod(shape)])
        found.append(Found(entry, part.reshape(*shape, *part.shape[1:])))
        start += len(part)
    return found


def table(task: str, found: list[Found]) -> Table:
    """The best setting of each learner, its mean error over a run, and that of the last tenth."""
    from rich.table import Table

    made = Table(
        "learner", "alpha", "lambda", "beyond", "error", "at the end", title=f"{task}: the best of each"
    )
    for each in found:
        third, lambda_, alpha = each.best
        errors = each.errors[third, lambda_, alpha]
        last = errors[:, -max(1, errors.shape[1] // 10) :].mean(axis=1)
        varies = f"{each.entry.varies} {each.entry.among[third]:g}" if each.entry.varies else ""
        name = "" if each.entry.lambda_name == "lambda" else f"{each.entry.lambda_name} "
        made.add_row(
            each.entry.label,
            f"2^{np.log2(TASKS[task].alphas[alpha]):g}",
            f"{name}{LAMBDAS[lambda_]:g}",
            varies,
            *(f"{part.mean():.4f} +- {spread(part):.4f}" for part in (errors.mean(axis=1), last)),
        )
    return made


def run(task: str, count: int, output: str, quick: bool) -> int:
    """Measure, print, draw; the exit status."""
    try:
        import matplotlib
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    except ImportError as error:
        print(f'fasttrace offpolicy: {error}; pip install "fasttrace[demo]"', file=sys.stderr)
        return 1
    del matplotlib
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"fasttrace offpolicy: {error}", file=sys.stderr)
        return 1
    from .offpolicy_figures import curves, sensitivity

    console, steps = Console(), TASKS[task].steps // (50 if quick else 1)
    columns = BarColumn(), TextColumn("{task.percentage:3.0f} %"), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(TextColumn("{task.description}"), *columns, console=console) as progress:
        total = sum(len(entry.among) for entry in ENTRIES) * len(LAMBDAS) * len(TASKS[task].alphas)
        bar = progress.add_task(f"{task}, {steps:,} steps, {count} runs a setting", total=total)
        found = measure(task, count, steps, lambda: progress.advance(bar))
    console.print(table(task, found))
    for draw, name in ((sensitivity, f"{task}.png"), (curves, f"{task}-learning.png")):
        draw(task, found, steps, folder / name)
        console.print(f"Picture: {folder / name}", highlight=False, soft_wrap=True)
    return 0
