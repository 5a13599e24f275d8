"""The picture of the plasticity command: learning curves, their median and spread over the seeds."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from .plasticity_tasks import Result

# Okabe and Ito's colours, told apart by colour-blind eyes; dashes tell them apart as well.
STYLES: dict[str, dict[str, Any]] = {
    "none": {"color": "#999999", "linestyle": (0, (1, 1))},
    "plastic": {"color": "#E69F00", "linestyle": (0, (5, 2))},
    "simple": {"color": "#0072B2", "linestyle": "-"},
    "retroactive": {"color": "#D55E00", "linestyle": (0, (5, 1, 1, 1))},
}
FLOOR = 1e-4  # of an error: no wrong bit at all is drawn here


def smoothed(curves: NDArray[Any], window: int) -> NDArray[Any]:
    """Mean over windows that follow each other, (seeds, iterations // window); the rest is left out."""
    seeds, length = curves.shape
    return curves[:, : length // window * window].reshape(seeds, -1, window).mean(2)


def learning_curves(results: list[Result], path: str | PathLike[str]) -> None:
    """One panel a task: the median over seeds of each mode, and from the least to the most as a band."""
    figure = Figure(figsize=(5.6 * len(results), 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    for place, result in enumerate(results, start=1):
        axes = figure.add_subplot(1, len(results), place)
        least = 1.0
        for mode, curves in result.curves.items():
            window = max(1, curves.shape[1] // 60)
            means = smoothed(curves, window)
            if result.chance > 0.0:  # an error, on a scale of logarithms
                means = np.maximum(means, FLOOR)
            x = (np.arange(means.shape[1]) + 1) * window
            axes.fill_between(x, means.min(0), means.max(0), color=STYLES[mode]["color"], alpha=0.2, lw=0)
            axes.plot(x, np.median(means, 0), label=mode, linewidth=1.6, **STYLES[mode])
            least = min(least, float(means.min()))
        axes.axhline(result.chance, color="0.4", linewidth=0.8)
        if result.chance > 0.0:  # an error: what is left of it is to be told apart near 0
            axes.set_yscale("log")
            axes.set_ylim(least / 1.2, 0.7)
        axes.text(x[-1], result.chance, "chance", ha="right", va="bottom", fontsize=8, color="0.4")
        axes.set_title(result.name, fontsize=11)
        axes.set_xlabel("iteration")
        axes.set_ylabel(result.measure)
        axes.grid(color="0.9", linewidth=0.6)
        axes.legend(frameon=False)
    seeds = len(next(iter(results[0].curves.values())))
    figure.suptitle(f"Plastic networks: median and spread over {seeds} seed{'s' if seeds > 1 else ''}")
    figure.savefig(path, dpi=120)
