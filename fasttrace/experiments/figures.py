"""The pictures of the demo.  matplotlib's Agg canvas alone: no window, no global state."""

from os import PathLike

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from .mountain_car import Run, grid

# Okabe and Ito's colours, told apart by colour-blind eyes; widths and dashes tell them apart as well,
# because equal curves lie on each other: the widest is drawn first.
STYLES = {
    "numpy": {"label": "NumPy (reference)", "color": "#56B4E9", "linewidth": 6.0},
    "numba": {"label": "Numba", "color": "#E69F00", "linewidth": 3.0},
    "c": {"label": "C", "color": "#000000", "linewidth": 1.2, "linestyle": (0, (5, 2))},
}


def learning_curves(runs: list[Run], path: str | PathLike[str], title: str) -> None:
    """Steps an episode against the episode and against the seconds of training, one curve a run."""
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    by_episode, by_time = figure.subplots(1, 2, sharey=True)
    for run in runs:
        mean = _trailing_mean(run.lengths)
        few = {"marker": "o" if len(mean) < 20 else ""}  # of which a line alone would show little or nothing
        by_episode.plot(np.arange(1, len(mean) + 1), mean, **STYLES[run.backend] | few)
        by_time.plot(run.clock, mean, **STYLES[run.backend] | {"linewidth": 1.2} | few)
    for axes in (by_episode, by_time):
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.grid(which="both", color="0.9", linewidth=0.6)
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.yaxis.set_minor_formatter(FuncFormatter(_plain_few))
    by_episode.xaxis.set_major_formatter(FuncFormatter(_plain))
    by_episode.set_title("by episode", fontsize=11)
    by_episode.set_xlabel("episode")
    by_episode.set_ylabel("steps an episode\n(mean of the last 10)")
    by_time.set_title("by time", fontsize=11)
    by_time.set_xlabel("seconds of training")
    by_episode.legend(title="backend", frameon=False)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def cost_to_go(surfaces: dict[int, npt.NDArray[np.float64]], path: str | PathLike[str], title: str) -> None:
    """-max_a q(s, a) over position and velocity, one panel a number of episodes (S&B figure 10.1)."""
    columns = 2 if len(surfaces) > 1 else 1
    rows = -(-len(surfaces) // columns)
    figure = Figure(figsize=(5.4 * columns, 4.4 * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    position, velocity = grid()
    lowest = min(surface.min() for surface in surfaces.values())
    highest = max(surface.max() for surface in surfaces.values())
    for place, (episodes, surface) in enumerate(surfaces.items(), start=1):
        axes = figure.add_subplot(rows, columns, place, projection="3d")
        axes.plot_surface(
            position,
            velocity,
            surface,
            cmap="viridis",
            vmin=lowest,
            vmax=highest,
            linewidth=0,
            antialiased=False,
            rcount=len(surface),
            ccount=len(surface),
        )
        axes.set_title(f"after {episodes:,} episode{'s' if episodes > 1 else ''}", fontsize=11, y=0.98)
        axes.set_xlabel("position")
        axes.set_ylabel("velocity (a step)", labelpad=8)
        axes.set_zlabel("cost to go (steps)")
        axes.set_xticks([-1.2, -0.8, -0.4, 0.0, 0.4])
        axes.set_yticks([-0.06, -0.03, 0.0, 0.03, 0.06])
        axes.set_zlim(lowest, highest)
        axes.view_init(elev=38, azim=-58)
        axes.set_box_aspect((1.0, 1.0, 0.65), zoom=0.95)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)


def _trailing_mean(lengths: npt.NDArray[np.int64], window: int = 10) -> npt.NDArray[np.float64]:
    """Mean of the last `window` entries, of fewer at the start: (E,)."""
    sums = np.concatenate([[0.0], np.cumsum(lengths)])
    ends = np.arange(1, len(lengths) + 1)
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _plain(value: float, _: int | None = None) -> str:
    return f"{value:g}"


def _plain_few(value: float, _: int | None = None) -> str:
    """Labels 200 and 500, not every minor tick."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""
