"""The picture of the stream command: what each seed's episodes returned."""

from __future__ import annotations

from os import PathLike

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .stream_runs import LAST, SOLVED, Run, Settings

# Okabe and Ito's colours, told apart by colour-blind eyes.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def running_mean(returns: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Mean over the last `window` entries, fewer at the start; (E,) like `returns`."""
    sums = np.cumsum(np.concatenate([[0.0], returns]))
    end = np.arange(1, len(returns) + 1)
    start = np.maximum(end - window, 0)
    return (sums[end] - sums[start]) / (end - start)


def learning_curves(settings: Settings, runs: list[Run], path: str | PathLike[str]) -> None:
    """A line for each seed: the mean return over the last 50 episodes against the steps taken."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for i, each in enumerate(runs):
        colour = COLOURS[i % len(COLOURS)]
        means = running_mean(each.returns, LAST)
        few = len(means) < 20  # points, of which a line alone would show little or nothing
        axes.plot(
            each.ends,
            means,
            color=colour,
            linewidth=1.5,
            marker="o" if few else "",
            label=f"seed {each.seed}",
        )
        axes.plot(each.ends, each.returns, ".", color=colour, markersize=1.5, alpha=0.35)
    if not any(len(each.returns) for each in runs):
        axes.text(0.5, 0.5, "no episode ended", ha="center", transform=axes.transAxes)
    goal = SOLVED.get(settings.env)
    if goal is not None:
        axes.axhline(goal, color="0.4", linewidth=0.8)
        axes.text(0, goal, f" {goal:g}", ha="left", va="bottom", fontsize=8, color="0.4")
    axes.set_xlim(0, settings.steps)
    axes.set_xlabel("steps")
    axes.set_ylabel("return of an episode")
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_title(f"{settings.name} on {settings.env}: episodes, and their mean over {LAST}", fontsize=11)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)
