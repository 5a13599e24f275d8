"""The pictures of the offpolicy command."""

from __future__ import annotations

from os import PathLike

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from .offpolicy_runs import LAMBDAS, TASKS, Found, spread

# Okabe and Ito's colours, told apart by colour-blind eyes.
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#000000")
EACH = (
    "#000000", "#0072B2", "#56B4E9", "#882255", "#009E73", "#CC79A7", "#D55E00", "#E69F00", "#332288",
    "#999999", "#44AA99",
)  # fmt: skip


def sensitivity(task: str, found: list[Found], steps: int, path: str | PathLike[str]) -> None:
    """A panel for each learner: error against step size, a line for each lambda, bars of standard errors.

    What varies beyond is, for each lambda, at its best.  Dotted: before the first step.
    """
    figure = Figure(figsize=(13, 9.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{task}: root mean square value error, the mean over {steps:,} steps", fontsize=12)
    grid = figure.subplots(3, 4, sharex=True, sharey=True).ravel()
    alphas = TASKS[task].alphas
    start = found[0].errors[0, 0, 0, :, 0].mean()
    for axes, each in zip(grid, found, strict=False):
        areas = each.areas
        means = areas.mean(axis=-1)
        for k, lambda_ in enumerate(LAMBDAS):
            third = int(np.argmin(means[:, k].min(axis=-1)))
            mean, runs = means[third, k], areas[third, k]
            shown = np.where(mean <= 1.5 * start, mean, np.nan)
            axes.errorbar(
                alphas, shown, spread(runs.T), label=f"{lambda_:g}", color=COLOURS[k], linewidth=1.4
            )
        axes.axhline(start, color="0.6", linestyle=(0, (1, 2)), linewidth=1)
        axes.set_title(each.entry.label, fontsize=10)
        axes.set_xscale("log", base=2)
        axes.set_ylim(0.0, 1.15 * start)
        axes.grid(color="0.92", linewidth=0.6)
    for axes in grid[len(found) :]:
        axes.set_axis_off()
    for axes in grid[len(found) - 4 : len(found)]:
        axes.set_xlabel("step size")
        axes.tick_params(labelbottom=True)
    handles, labels = grid[0].get_legend_handles_labels()
    grid[-1].legend(handles, labels, title="lambda; of ABTD zeta", frameon=False, loc="center")
    figure.savefig(path, dpi=120)


def curves(task: str, found: list[Found], steps: int, path: str | PathLike[str]) -> None:
    """Learning curves at the best settings, with bands of standard errors."""
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for each, colour in zip(found, EACH, strict=True):
        errors = each.errors[each.best]
        x = np.linspace(0, steps, errors.shape[1])
        mean = errors.mean(axis=0)
        axes.plot(x, mean, label=each.entry.label, color=colour, linewidth=1.5)
        band = spread(errors)
        axes.fill_between(x, mean - band, mean + band, color=colour, alpha=0.2, linewidth=0)
    axes.set_title(f"{task}: each learner at its best setting", fontsize=11)
    axes.set_xlabel("steps")
    axes.set_ylabel("root mean square value error")
    axes.set_ylim(bottom=0.0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(color="0.92", linewidth=0.6)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=120)
