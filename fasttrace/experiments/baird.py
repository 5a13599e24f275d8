"""`python -m fasttrace baird`: which learners diverge on Baird's counterexample, in one picture.

Source: Sutton & Barto 2018, sections 11.2, 11.7, 11.8 and figures 11.2, 11.5, 11.6.
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
SOLID = 1  # the action that the target policy takes

Curve = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]


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
        """With the book's first weights; where there are action values, those of both actions."""
        make, n, w = getattr(ft, self.learner), env.features.shape[1], env.initial_weights
        if make is ft.GQ:
            learner = make(n, 2, gamma=env.gamma, **self.options)
            learner.weights = np.stack([w, w], axis=1)
        else:
            learner = make(n, gamma=env.gamma, **self.options)
            learner.weights = w
        return learner


# ---- who takes part: one line a learner ----

LEARNERS = (
    Entry("TD(0)", "TD", {"alpha": 0.01, "lambda_": 0.0}, {"color": "#D55E00", "linewidth": 3.5}),
    Entry(
        "true online TD(0), the same", "TrueOnlineTD", {"alpha": 0.01, "lambda_": 0.0},
        {"color": "#000000", "linewidth": 1.2, "linestyle": (0, (5, 2))},
    ),
    Entry("TD(.5)", "TD", {"alpha": 0.01, "lambda_": 0.5}, {"color": "#E69F00"}),
    Entry(
        "emphatic TD(0)", "EmphaticTD", {"alpha": 3e-4, "lambda_": 0.0},
        {"color": "#56B4E9", "linewidth": 3.5},
    ),
    Entry(
        "true online emphatic TD(0), the same", "TrueOnlineEmphaticTD", {"alpha": 3e-4, "lambda_": 0.0},
        {"color": "#000000", "linewidth": 1.2, "linestyle": (0, (1, 1.5))},
    ),
    Entry(
        "emphatic TD(0), expected emphasis", "EmphaticTD", {"alpha": 0.003, "lambda_": 0.0},
        {"color": "#0072B2"}, expected=True,
    ),
    Entry("HTD(0)", "HTD", {"alpha": 0.005, "beta": 0.05, "lambda_": 0.0}, {"color": "#882255"}),
    Entry("GTD(0) (TDC)", "GTD", {"alpha": 0.005, "beta": 0.05, "lambda_": 0.0}, {"color": "#009E73"}),
    Entry(
        "true online GTD(.5)", "TrueOnlineGTD", {"alpha": 0.005, "beta": 0.05, "lambda_": 0.5},
        {"color": "#999999"},
    ),
    Entry("GTD2", "GTD2", {"alpha": 0.005, "beta": 0.05}, {"color": "#CC79A7"}),
    Entry(
        "GQ(0)", "GQ", {"alpha": 0.01, "beta": 0.05, "lambda_": 0.0},
        {"color": "#332288", "linestyle": (0, (6, 2))},
    ),
)  # fmt: skip


def followon(env: ft.envs.Baird) -> npt.NDArray[np.float64]:
    """E[F_t | S_t = s], (7,): 1, and in the state that the target policy leads to 1 + gamma times all."""
    f = np.ones(len(env.true_values))
    f[6] = (1.0 + 6.0 * env.gamma) / (1.0 - env.gamma)
    return f


def learn(entry: Entry, env: ft.envs.Baird, learner: Any, s: Any, start: int, stop: int) -> None:
    """Steps start to stop of the stream s."""
    x, rewards, rhos = s.x[start : stop + 1], s.rewards[start:stop], s.rhos[start:stop]
    if entry.expected:
        emphasis = followon(env)[s.states[start:stop]]
        for t in range(stop - start):
            learner.reset()
            learner.update(x[t], 0.0, x[t + 1], rho=rhos[t], interest=emphasis[t])
    elif isinstance(learner, ft.GQ):
        actions = np.append(np.where(rhos > 0, SOLID, 1 - SOLID), SOLID)  # the last is never read
        target_policy = np.tile(np.eye(2)[SOLID], (len(x), 1))
        learner.learn(x, actions, rewards, rhos=rhos, target_policy=target_policy)
    else:
        learner.learn(x, rewards, rhos=rhos)


def errors(entry: Entry, steps: int, seed: int, watch: Callable[[int], object] = lambda done: None) -> Curve:
    """How far the learner is off, before the first step and along the way.

    Returns (numbers of steps, value errors, Bellman errors); the first of them after 0 steps, the others
    evenly in their logarithm.  Errors are roots of means of squares over the states: of v(s), which should be
    0, and of gamma v(6) - v(s).  The features span all values, so no part of it is lost in projection: the
    second is the projected Bellman error as well.  A learner that diverges ends in inf or nan.
    """
    env = ft.envs.Baird()
    s, learner = env.stream(steps, seed), entry.make(env)
    at = np.unique(np.append(0, np.geomspace(1, steps, POINTS).round().astype(np.int64)))
    value_errors, bellman_errors = np.empty((2, len(at)))
    for i, stop in enumerate(at):
        learn(entry, env, learner, s, at[i - 1] if i else 0, stop)
        with np.errstate(all="ignore"):
            values = env.features @ learner.weights
            if values.ndim == 2:
                values = values[:, SOLID]
            value_errors[i] = np.sqrt(np.mean((values - env.true_values) ** 2))
            bellman_errors[i] = np.sqrt(np.mean((env.gamma * values[6] - values) ** 2))
        watch(int(stop))
    return at, value_errors, bellman_errors


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
    table = Table("learner", "alpha", "beta", "value error", "Bellman error")
    columns = TextColumn("{task.description:37}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console) as progress:
        for entry in LEARNERS:
            bar = progress.add_task(entry.label, total=steps)
            curves[entry.label] = errors(entry, steps, seed, partial(_advance, progress, bar))
            _, *both = curves[entry.label]
            if not table.rows:
                table.add_row("before the first step", "", "", *(f"{rms[0]:.2g}" for rms in both))
            sizes = (
                f"{entry.options[each]:g}" if each in entry.options else "" for each in ("alpha", "beta")
            )
            table.add_row(entry.label, *sizes, *(f"{rms[-1]:.2g}" for rms in both))
    console.print(table)
    picture = path / "baird.png"
    draw(curves, picture, steps)
    console.print(f"Picture: {picture}", highlight=False, soft_wrap=True)
    return 0


def _advance(progress: Any, bar: Any, done: int) -> None:
    progress.update(bar, completed=done)


def draw(curves: dict[str, Curve], path: Path, steps: int) -> None:
    """Errors against steps, on logarithmic axes that end where divergence is plain."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    styles = {entry.label: entry.style for entry in LEARNERS}
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("Baird's counterexample, off-policy: root mean squares over the states", fontsize=11)
    panels = figure.subplots(1, 2, sharey=True)
    for k, (axes, title) in enumerate(zip(panels, ("value error", "projected Bellman error"), strict=True)):
        for label, (at, *both) in curves.items():
            shown = np.where(np.isfinite(both[k]), both[k], np.nan)[1:]
            few = {"marker": "o"} if len(shown) < 20 else {}  # of which a line alone would show little
            axes.plot(at[1:], shown, label=label, **styles[label] | few)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_ylim(1e-3, 1e4)
        axes.set_xlim(1, max(steps, 2))
        axes.grid(which="major", color="0.9", linewidth=0.6)
        axes.set_xlabel("steps")
        axes.set_title(title, fontsize=10)
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, frameon=False, loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=120)
