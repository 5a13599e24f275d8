"""`python -m fasttrace plasticity`: plastic networks learn two tasks; a table and a picture."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend, resolve
from ..errors import BackendUnavailable
from ..plasticity import MODES
from .plasticity_tasks import Completion, CueReward, Result, train_completion, train_cue_reward

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True)
class Task:
    name: str
    measure: str
    chance: float
    train: Callable[..., NDArray[Any]]
    settings: Any
    best: float = 0.0


def tasks(quick: bool) -> tuple[Task, Task]:
    """Both tasks as stated, or small ones that are there in seconds."""
    completion = (
        Completion(bits=16, patterns=3, flagged=1, hidden=24, iterations=300) if quick else Completion()
    )
    small = CueReward(
        bits=6, trials=6, wait=0, rest=1, hidden=32, alpha=4e-3, iterations=250, settled=3
    )  # fmt: skip
    cue = small if quick else CueReward()
    return (
        Task("flagged one-shot completion", "wrong hidden bits", 0.5, train_completion, completion),
        Task("cue-reward association", "reward a trial", 0.0, train_cue_reward, cue, 1.0),
    )


def run(seeds: int, output: str, backend: Backend, quick: bool) -> int:
    """Train, print, draw; the exit status."""
    try:
        import matplotlib
        import rich
    except ImportError as error:
        print(f'fasttrace plasticity: {error}; pip install "fasttrace[demo]"', file=sys.stderr)
        return 1
    del matplotlib, rich
    try:
        backend = resolve(backend)
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
    except (BackendUnavailable, OSError) as error:
        print(f"fasttrace plasticity: {error}", file=sys.stderr)
        return 1
    from rich.console import Console

    from .plasticity_figures import learning_curves

    console = Console()
    results = [train(task, range(seeds), backend, console) for task in tasks(quick)]
    for result in results:
        console.print(table(result))
        if modes := result.at_chance():
            console.print(f"Not better than chance: {', '.join(modes)}.", highlight=False)
    picture = folder / "plasticity.png"
    learning_curves(results, picture)
    console.print(f"Learning curves: {picture}", highlight=False, soft_wrap=True)
    return 0


def train(task: Task, seeds: range, backend: Backend, console: Console) -> Result:
    """Every mode with every seed, with a bar for each mode."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    curves, seconds = {}, {}
    columns = TextColumn("{task.description:44}"), BarColumn(), TextColumn("{task.percentage:3.0f} %")
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        for mode in MODES:
            total = task.settings.iterations * len(seeds)
            bar = progress.add_task(f"{task.name}: {mode}", total=total)
            began = time.perf_counter()
            runs = [
                task.train(mode, seed, task.settings, backend, lambda *_, bar=bar: progress.advance(bar))
                for seed in seeds
            ]
            seconds[mode] = (time.perf_counter() - began) / len(seeds)
            curves[mode] = np.array(runs)
    return Result(task.name, task.measure, task.chance, curves, seconds, task.best)


def table(result: Result) -> Table:
    from rich.table import Table

    seeds = len(next(iter(result.curves.values())))
    title = f"{result.name}: {result.measure}, {seeds} seeds, chance {result.chance:g}"
    grid = Table("mode", title=title)
    for heading in ("median", "least", "most", "seconds a run"):
        grid.add_column(heading, justify="right")
    for mode in result.curves:
        finals = result.finals(mode)
        cells = [f"{x:.4f}" for x in (np.median(finals), finals.min(), finals.max())]
        grid.add_row(mode, *cells, f"{result.seconds[mode]:.1f}")
    return grid
