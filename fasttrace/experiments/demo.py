"""`python -m fasttrace demo`: a mountain car learned in each backend, a table and two pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..backends import NAMES, Name, resolve, why_missing
from ..errors import BackendUnavailable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from .mountain_car import Run

BUDGET = 2.0  # seconds of training for a backend; the NumPy reference of a slow machine stops here
REPEAT = 0.3  # seconds; a shorter training is repeated, for a steadier clock
FIGURE_10_1 = (1, 12, 104, 1000, 9000)  # the episodes of the book's picture, and the first


def run(episodes: int, seed: int, output: str, names: Sequence[str]) -> int:
    """Train, print, draw; the exit status.  No names: every backend that is there."""
    try:
        import matplotlib
        import rich
    except ImportError as error:
        print(f'fasttrace demo: {error}; pip install "fasttrace[demo]"', file=sys.stderr)
        return 1
    del matplotlib, rich
    there = {name: why_missing(name) for name in NAMES if not names or name in names}
    try:
        for name in names:
            resolve(name)
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
    except (BackendUnavailable, OSError) as error:
        print(f"fasttrace demo: {error}", file=sys.stderr)
        return 1
    return _run(episodes, seed, folder, there)


def _run(episodes: int, seed: int, folder: Path, there: dict[Name, str | None]) -> int:
    from rich.console import Console

    from . import figures, mountain_car

    console = Console()
    console.print(
        f"Mountain car by true online Sarsa({mountain_car.LAMBDA:g}): {mountain_car.TILINGS} tilings of "
        f"{mountain_car.TILES} x {mountain_car.TILES}, alpha {mountain_car.ALPHA:g}, greedy, seed {seed}."
    )
    runs = [_train(name, episodes, seed, console) for name, reason in there.items() if reason is None]
    console.print(_table(runs))
    for line in _remarks(runs, episodes, there):
        console.print(line, highlight=False)

    title = f"Mountain car, true online Sarsa({mountain_car.LAMBDA:g})"
    curves, surface = folder / "learning-curves.png", folder / "cost-to-go.png"
    figures.learning_curves(runs, curves, title)
    longest = max(reversed(runs), key=lambda run: len(run.lengths))
    figures.cost_to_go(longest.surfaces, surface, f"{title}: cost to go, -max q(s, a)")
    console.print(f"Learning curves: {curves}", highlight=False, soft_wrap=True)
    console.print(f"Cost to go:      {surface}", highlight=False, soft_wrap=True)
    return 0


def _train(name: Name, episodes: int, seed: int, console: Console) -> Run:
    """The run of one backend, the quickest of a few where it is short."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from . import mountain_car

    shown = (*(each for each in FIGURE_10_1 if each < episodes), episodes)[-4:]
    life = partial(mountain_car.train, name, episodes, seed, surfaces_after=shown, budget=BUDGET)
    columns = TextColumn(f"{name:6}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}")
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        bar = progress.add_task("compiling" if name == "numba" else "warming up", total=episodes)
        mountain_car.train(name, 1, seed)
        progress.update(bar, description="episodes")
        run = life(watch=lambda done: progress.update(bar, completed=done))
        spent = run.seconds
        while spent < REPEAT:
            again = life()
            spent += again.seconds
            run = min(run, again, key=lambda each: each.seconds)
    return run


def _table(runs: list[Run]) -> Table:
    from rich.table import Table

    reference = next((run for run in runs if run.backend == "numpy"), None)
    table = Table("backend")
    for heading in ("episodes", "steps an episode,\nlast 100", "steps a second", "times NumPy"):
        table.add_column(heading, justify="right")
    for run in runs:
        rate = run.steps / run.seconds
        table.add_row(
            run.backend,
            f"{len(run.lengths):,}",
            f"{run.lengths[-100:].mean():.1f}",
            f"{rate:,.0f}",
            f"{rate * reference.seconds / reference.steps:,.1f}" if reference else "-",
        )
    return table


def _remarks(runs: list[Run], episodes: int, there: dict[Name, str | None]) -> Iterator[str]:
    """What the numbers leave out, in sentences."""
    from .mountain_car import same_walk

    yield "Timed: training alone, compilation came before. A short training is repeated; the quickest counts."
    for run in runs:
        if len(run.lengths) < episodes:
            yield f"{run.backend} stopped after {len(run.lengths)} episodes: {BUDGET:g} seconds were over."
    pairs = [(runs[0], run) for run in runs[1:]]
    if len(runs) == 3 and len(runs[0].lengths) < len(runs[1].lengths):
        pairs.append((runs[1], runs[2]))  # where the first had stopped
    for one, other in pairs:
        common = min(len(one.lengths), len(other.lengths))
        same = same_walk(one, other)
        if same == common:
            yield f"{other.backend} and {one.backend} took as many steps in each of {common} episodes."
        else:
            yield (
                f"{other.backend} and {one.backend} part in episode {same + 1} of {common}; "
                "from there on they are different walks."
            )
    for name, reason in there.items():
        if reason is not None:
            yield f"{name} is not there: {reason}"
