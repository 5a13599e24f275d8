"""Figures as the book draws them, with bands.  matplotlib's Agg canvas alone."""

from __future__ import annotations

from os import PathLike

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from .book_runs import Panel


def draw(panels: list[Panel], path: str | PathLike[str], title: str) -> None:
    """A curve with a band of two standard errors for each setting; limits of y are the book's."""
    figure = Figure(figsize=(6.4 * len(panels), 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        colours = colormaps["turbo"](np.linspace(0.05, 0.95, len(panel.curves)))
        for colour, curve in zip(colours, panel.curves, strict=True):
            axes.plot(curve.x, curve.mean, color=colour, linewidth=1.4, label=curve.label)
            seen = np.abs(curve.mean - np.mean(panel.limits)) < np.ptp(
                panel.limits
            )  # what has left, has no band
            low, high = (np.where(seen, curve.mean + side * curve.error, np.nan) for side in (-2, 2))
            axes.fill_between(curve.x, low, high, color=colour, alpha=0.25, linewidth=0)
        axes.set_ylim(*panel.limits)
        axes.set_xlim(panel.curves[0].x.min(), panel.curves[0].x.max())
        axes.set_xlabel(panel.across)
        axes.set_ylabel(panel.up)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.set_title(panel.title, fontsize=11)
        axes.grid(color="0.92", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        labels = {curve.label for curve in panel.curves}
        numbers = all(label.replace(".", "").isdigit() for label in labels)
        axes.legend(title=r"$\lambda$" if numbers else None, frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=120)
