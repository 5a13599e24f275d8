"""The pictures of the staleness command."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from .staleness_tasks import ENTRIES, Measured, rule_name

# Okabe and Ito's colours, told apart by colour-blind eyes; lambda by dashes.
COLOURS = ("#56B4E9", "#0072B2", "#D55E00", "#000000")
STYLES: tuple[dict[str, Any], ...] = (
    {"color": "#999999", "linestyle": (0, (1, 1))},
    {"color": "#000000"},
    {"color": "#E69F00"},
    {"color": "#CC79A7", "linestyle": (0, (5, 1, 1, 1))},
    {"color": "#0072B2"},
    {"color": "#56B4E9", "linestyle": (0, (5, 2))},
    {"color": "#D55E00"},
    {"color": "#009E73", "linestyle": (0, (5, 2))},
)


def running_median(values: NDArray[Any], width: int = 9) -> NDArray[Any]:
    """Median of the values around each, fewer at the ends."""
    half = width // 2
    return np.array([np.median(values[max(0, i - half) : i + half + 1]) for i in range(len(values))])


def stale(results: list[Measured], path: str | PathLike[str]) -> None:
    """A row for each task: distance and 1 - cosine along the runs, the median over seeds and 9 looks."""
    figure = Figure(figsize=(10.5, 3.7 * len(results)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(results), 2, sharex="col", squeeze=False)
    for row, result in zip(grid, results, strict=True):
        rules = list(dict.fromkeys(rule for rule, _ in result.distances))
        lambdas = sorted({lambda_ for _, lambda_ in result.distances})
        for (rule, lambda_), distances in result.distances.items():
            style = {
                "color": COLOURS[rules.index(rule) % len(COLOURS)],
                "linestyle": "-" if lambda_ == lambdas[-1] else (0, (4, 2)),
            }
            x = (np.arange(distances.shape[1]) + 1) * result.steps / distances.shape[1]
            cosines = result.cosines[rule, lambda_]
            alive = np.mean(~np.isnan(distances), 0) > 0.5  # up to where half of the seeds diverged
            for axes, values in zip(row, (distances, 1.0 - cosines), strict=True):
                median = running_median(np.nanmedian(values[:, alive], 0)) if alive.any() else x[alive]
                axes.plot(x[alive], np.maximum(median, 1e-9), label=rule_name(rule, lambda_), **style)
        for axes, what in zip(row, ("relative distance", "1 - cosine"), strict=True):
            axes.set_yscale("log")
            axes.set_ylabel(what)
            axes.grid(color="0.9", linewidth=0.6)
            axes.set_title(result.name, fontsize=11)
            _thousands(axes)
    for axes in grid[-1]:
        axes.set_xlabel("steps")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle("How far the trace is from the one that the present parameters would give")
    figure.savefig(path, dpi=110)


def _thousands(axes: Any) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter("{x:,.0f}")


def curves(results: list[Measured], path: str | PathLike[str]) -> None:
    """A column for each task: the error along the run at the best step size, and that of each step size."""
    styles = {entry.label: style for entry, style in zip(ENTRIES, STYLES, strict=True)}
    tried = {entry.label: entry.tried for entry in ENTRIES}
    figure = Figure(figsize=(5.6 * len(results), 8.2), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, len(results), squeeze=False)
    for axes, result in zip(above, results, strict=True):
        for label, errors in result.curves.items():
            median = np.median(errors, 0)
            good = np.isfinite(median)
            x = np.linspace(0, result.steps, errors.shape[1])
            axes.plot(x[good], median[good], label=label, linewidth=1.4, **styles[label])
        axes.set_title(f"{result.name}: best step sizes", fontsize=11)
        axes.set_xlabel("steps")
        axes.set_xlim(0, result.steps)
        _thousands(axes)
        _errors(axes)
    for axes, result in zip(below, results, strict=True):
        for label, scores in result.scores.items():
            good = [(setting, score) for setting, score in scores.items() if np.isfinite(score)]
            if tried[label] == "alpha" and good:
                axes.plot(*zip(*good, strict=True), marker="o", markersize=3, linewidth=1.4, **styles[label])
        axes.set_title(f"{result.name}: error over the whole run", fontsize=11)
        axes.set_xlabel("alpha (lines end where half of the seeds diverge)")
        axes.set_xscale("log")
        _errors(axes)
    handles, labels = above[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle("Learners against stale traces")
    figure.savefig(path, dpi=110)


def _errors(axes: Any) -> None:
    axes.set_ylabel("rms error / deviation of the values")
    axes.set_yscale("log")
    axes.set_ylim(0.15, 2.5)
    axes.set_yticks([0.2, 0.3, 0.5, 1, 2], minor=False)
    axes.set_yticks([], minor=True)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(color="0.9", linewidth=0.6)
