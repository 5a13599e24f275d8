"""`python -m fasttrace baird`: which learners diverge on Baird's counterexample, in one picture.

Source: Sutton & Barto 2018, section 11.2 and figures 11.2, 11.5, 11.6.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import fasttrace as ft

POINTS = 200  # of each curve


@dataclass(frozen=True)
class Entry:
    """A learner of fasttrace, and how it is shown.

    expected  each transition is a stream of its own whose interest is the expected followon of its state:
              emphatic TD without the variance of its emphasis, as in the book's figure
    """

    label: str
    learner: str
    options: dict[str, Any]
    style: dict[str, Any] = field(default_factory=dict)
    expected: bool = False

    def make(self, env: ft.envs.Baird) -> Any:
        learner = getattr(ft, self.learner)(env.features.shape[1], gamma=env.gamma, **self.options)
        learner.weights = env.initial_weights
        return learner


# ---- who takes part: one line a learner ----

LEARNERS = (
    Entry("TD(0)", "TD", {"alpha": 0.01, "lambda_": 0.0}, {"color": "#D55E00", "linewidth": 3.5}),
    Entry(
        "true online TD(0), the same", "TrueOnlineTD", {"alpha": 0.01, "lambda_": 0.0},
        {"color": "#000000", "linewidth": 1.2, "linestyle": (0, (5, 2))},
    ),
    Entry("TD(.5)", "TD", {"alpha": 0.01, "lambda_": 0.5}, {"color": "#E69F00"}),
    Entry("emphatic TD(0)", "EmphaticTD", {"alpha": 3e-4, "lambda_": 0.0}, {"color": "#56B4E9"}),
    Entry(
        "emphatic TD(0), expected emphasis", "EmphaticTD", {"alpha": 0.003, "lambda_": 0.0},
        {"color": "#0072B2"}, expected=True,
    ),
    Entry("GTD(0) (TDC)", "GTD", {"alpha": 0.005, "beta": 0.05, "lambda_": 0.0}, {"color": "#009E73"}),
    Entry("GTD2", "GTD2", {"alpha": 0.005, "beta": 0.05}, {"color": "#CC79A7"}),
)  # fmt: skip


def followon(env: ft.envs.Baird) -> npt.NDArray[np.float64]:
    """E[F_t | S_t = s], (7,): 1, and in the state that the target policy leads to 1 + gamma times all."""
    f = np.ones(len(env.true_values))
    f[6] = (1.0 + 6.0 * env.gamma) / (1.0 - env.gamma)
    return f


def errors(
    entry: Entry, steps: int, seed: int, watch: Callable[[int], object] = lambda done: None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Root of the mean squared value error over the states, before the first step and along the way.

    Returns (numbers of steps, errors); the first of them after 0 steps, the others evenly in their logarithm.
    A learner that diverges ends in inf or nan.
    """
    env = ft.envs.Baird()
    s, x = env.stream(steps, seed), env.features
    learner, emphasis = entry.make(env), followon(env)
    at = np.unique(np.append(0, np.geomspace(1, steps, POINTS).round().astype(np.int64)))
    rms = np.empty(len(at))
    for i, stop in enumerate(at):
        start = at[i - 1] if i else 0
        if entry.expected:
            for t in range(start, stop):
                learner.reset()
                learner.update(s.x[t], 0.0, s.x[t + 1], rho=s.rhos[t], interest=emphasis[s.states[t]])
        else:
            learner.learn(s.x[start : stop + 1], s.rewards[start:stop], rhos=s.rhos[start:stop])
        with np.errstate(all="ignore"):
            rms[i] = np.sqrt(np.mean((x @ learner.weights - env.true_values) ** 2))
        watch(int(stop))
    return at, rms


def run(steps: int, seed: int, output: str) -> int:
    """Learn, print, draw; the exit status."""
    try:
        import matplotlib
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.table import Table
    except ImportError as error:
        print(f'fasttrace baird: {error}; pip install "fasttrace[demo]"', file=sys.stderr)
        return 1
    del matplotlib
    path = Path(output)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"fasttrace baird: {error}", file=sys.stderr)
        return 1
    console = Console()
    console.print(f"Baird's counterexample, {steps:,} steps, seed {seed}, from the book's first weights.")
    curves = {}
    table = Table("learner", "alpha", "error at first", "at the end")
    columns = TextColumn("{task.description:36}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        for entry in LEARNERS:
            bar = progress.add_task(entry.label, total=steps)
            curves[entry.label] = errors(entry, steps, seed, partial(_advance, progress, bar))
            _, rms = curves[entry.label]
            table.add_row(entry.label, f"{entry.options['alpha']:g}", f"{rms[0]:.3g}", f"{rms[-1]:.3g}")
    console.print(table)
    picture = path / "baird.png"
    draw(curves, picture, steps)
    console.print(f"Picture: {picture}", highlight=False, soft_wrap=True)
    return 0


def _advance(progress: Any, bar: Any, done: int) -> None:
    progress.update(bar, completed=done)


def draw(
    curves: dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]], path: Path, steps: int
) -> None:
    """Errors against steps, on logarithmic axes that end where divergence is plain."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    styles = {entry.label: entry.style for entry in LEARNERS}
    figure = Figure(figsize=(9, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for label, (at, rms) in curves.items():
        axes.plot(at[1:], np.where(np.isfinite(rms), rms, np.nan)[1:], label=label, **styles[label])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1e-3, 1e4)
    axes.set_xlim(1, steps)
    axes.grid(which="major", color="0.9", linewidth=0.6)
    axes.set_xlabel("steps")
    axes.set_ylabel("root mean squared value error over the states")
    axes.set_title("Baird's counterexample, off-policy", fontsize=11)
    axes.legend(frameon=False, loc="lower left")
    figure.savefig(path, dpi=120)
