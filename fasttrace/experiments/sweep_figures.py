"""The picture of a sweep: its metric against the option with most values, a curve for each other setting."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from .best import Setting, settings
from .runs import Table
from .spec import PER_TILING

_LABELS = {
    "mean_length": "steps an episode",
    "mean_return": "return an episode",
    "rms": "root mean square value error",
    "alpha": r"$\alpha$",
    PER_TILING: r"$\alpha \times$ tilings",
    "lambda_": r"$\lambda$",
}


def varying(some: list[Setting]) -> list[str]:
    """Numbers that differ between settings, most values first; alpha by tilings stands for alpha."""
    values: dict[str, set[Any]] = {}
    for setting in some:
        for name, value in setting.options.items():
            if isinstance(value, (int, float)):
                values.setdefault(name, set()).add(value)
    if PER_TILING in values:
        values.pop("alpha", None)
    return sorted((name for name in values if len(values[name]) > 1), key=lambda name: -len(values[name]))


def expect_figure(path: str) -> None:
    """Errors: ValueError where no picture could be written there."""
    kinds = FigureCanvasAgg(Figure()).get_supported_filetypes()
    if Path(path).suffix.lstrip(".") not in kinds or not Path(path).resolve().parent.is_dir():
        raise ValueError(
            f"figure: got {path!r}, expected a file such as results.png in a folder that is there"
        )


def _limits(means: Any, returns: bool) -> tuple[float, float]:
    """From the best mean to three times as far from it as the median is."""
    best = means.max() if returns else means.min()
    span = min(3 * abs(np.median(means) - best), np.ptp(means)) or 1.0
    low, high = (best - span, best) if returns else (best, best + span)
    return low - 0.05 * span, high + 0.05 * span


def draw(table: Table, path: str | PathLike[str], title: str) -> None:
    """Means over seeds with bands of a standard error.  Errors: ValueError where no number varies."""
    some = settings(table)
    names = varying(some)
    if not names:
        raise ValueError("figure: no number differs between the settings, expected a grid to draw")
    across, rest = names[0], names[1:]
    curves: dict[Any, list[Setting]] = {}
    for setting in some:
        words = [(n, v) for n, v in setting.options.items() if not isinstance(v, (int, float))]
        curves.setdefault((*(setting.options.get(name) for name in rest), *words), []).append(setting)
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    colours = colormaps["turbo"](np.linspace(0.05, 0.95, len(curves)))
    ends = []
    for colour, (label, each) in zip(colours, curves.items(), strict=True):
        each = sorted(
            (s for s in each if not s.diverged and np.isfinite(s.mean)), key=lambda s: s.options[across]
        )
        if not each:
            continue
        x, mean, error = (
            np.array(part) for part in zip(*((s.options[across], s.mean, s.error) for s in each), strict=True)
        )
        named = [f"{_LABELS.get(n, n)} = {v:g}" for n, v in zip(rest, label, strict=False)]
        named += [
            str(word[1]) for word in label[len(rest) :] if len({str(key[len(rest) :]) for key in curves}) > 1
        ]
        axes.plot(x, mean, color=colour, marker="o", markersize=3, label=", ".join(named))
        axes.fill_between(x, mean - error, mean + error, color=colour, alpha=0.25, linewidth=0)
        ends.append(mean)
    if ends:  # a curve that leaves the others is cut off, as in the book
        axes.set_ylim(*_limits(np.concatenate(ends), some[0].metric == "mean_return"))
    axes.set_xlabel(_LABELS.get(across, across))
    axes.set_ylabel(_LABELS[some[0].metric])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.grid(color="0.9", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if len(curves) > 1:
        figure.legend(loc="outside right center", frameon=False, fontsize=9)
    axes.set_title(title, fontsize=11)
    figure.savefig(path, dpi=120)
