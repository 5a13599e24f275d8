"""The picture of the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from . import scaling
from .cases import EAGER, FLOOR
from .figures import Results, short
from .measure import CHARTED, CURVE

# Okabe and Ito's colours; markers and dashes tell them apart as well.
STYLES: dict[str, dict[str, Any]] = {
    "NumPy": {"color": "#56B4E9", "marker": "D", "label": "NumPy reference, dense"},
    EAGER: {"color": "#D55E00", "marker": "^", "label": "eager list, Numba"},
    "Numba": {"color": "#E69F00", "marker": "s", "label": "fasttrace, Numba"},
    "C": {"color": "#000000", "marker": "o", "label": "fasttrace, C"},
    FLOOR: {"color": "0.45", "linestyle": (0, (4, 2)), "label": "TD(0) in C: no trace, no checks"},
}


def draw(results: Results, path: Path, kernel: str = "true online") -> None:
    """Nanoseconds a step against lambda, a curve for each implementation and a panel for each stream."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas
    from matplotlib.ticker import FuncFormatter

    figure = Canvas(figsize=(11, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    places = np.arange(len(CURVE))
    panels = figure.subplots(1, len(CHARTED), sharey=True)
    for axes, make in zip(panels, CHARTED, strict=True):
        stream = make()
        for label, style in STYLES.items():
            ns = [results.ns(stream.name, label, kernel, lambda_) for lambda_ in CURVE]
            if any(ns):
                axes.plot(places, [np.nan if each is None else each for each in ns], **style)
        axes.set_yscale("log")
        axes.set_xticks(places, [short(lambda_) for lambda_ in CURVE])
        axes.set_xlabel(r"$\lambda$")
        axes.set_title(f"{stream.name}: {stream.about}", fontsize=10)
        axes.grid(axis="y", which="major", color="0.85", linewidth=0.8)
        axes.grid(axis="y", which="minor", color="0.94", linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    panels[0].set_ylabel("nanoseconds a step (logarithmic)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(r"True online TD($\lambda$): 65 536 weights, 8 active features, $\gamma$ = .99")
    figure.savefig(path, dpi=120)


def draw_scaling(costs: scaling.Costs, path: Path) -> None:
    """Nanoseconds a step against weights and against active features, the model beside what was measured."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas
    from matplotlib.ticker import FuncFormatter

    figure = Canvas(figsize=(11, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    sides = (
        (scaling.WEIGHTS, 0, scaling.by_weights, "weights, 8 features active"),
        (scaling.FEATURES, 1, scaling.by_features, "active features, 65 536 weights"),
    )
    for axes, (points, which, model, label) in zip(panels, sides, strict=True):
        at = [point[which] for point in points]
        for spec, name in ((scaling.OURS, "C"), (scaling.BARE, FLOOR)):
            axes.plot(at, [costs[point][spec] or np.nan for point in points], **STYLES[name])
        expected = list(model(costs))
        axes.plot(*zip(*expected, strict=True), color="#D55E00", linestyle=":", label="model")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel(label)
        axes.grid(axis="y", which="major", color="0.85", linewidth=0.8)
        axes.grid(axis="y", which="minor", color="0.94", linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
    panels[0].axvline(scaling.WIDE_FROM, color="0.8", linewidth=0.8)
    panels[0].set_ylabel("nanoseconds a step (logarithmic)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=9)
    figure.suptitle(r"TD($\lambda$ = .99), features drawn anew at every step")
    figure.savefig(path, dpi=120)
