"""The command `figures`: what figures of chapter 12 of Sutton & Barto 2018 show, run and drawn."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ..backends import Backend, Device
from .book_runs import FIGURES
from .runs import Table
from .sweep import sweep


def run(names: list[str], runs: int, output: str, workers: int | None, backend: Backend | Device) -> int:
    """Returns the exit status."""
    try:
        from .book_figures import draw
    except ImportError as error:
        print(f"fasttrace figures: {error}: pip install 'fasttrace[sweep]'", file=sys.stderr)
        return 1
    folder = Path(output)
    if unknown := [name for name in names if name not in FIGURES]:
        print(f"fasttrace figures: there is no {unknown[0]}, only {', '.join(FIGURES)}", file=sys.stderr)
        return 1
    try:
        folder.mkdir(parents=True, exist_ok=True)

        def swept(spec: dict[str, Any]) -> Table:
            return sweep(spec, folder / "figures.sqlite", workers=workers, backend=backend)

        for name in names or FIGURES:
            title, make = FIGURES[name]
            print(f"{name}  {title}: {runs} runs")
            path = folder / f"figure-{name}.png"
            draw(
                make(runs, swept), path, f"Figure {name}: means of {runs} runs, bands of two standard errors"
            )
            print(f"      {path}")
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        print(f"fasttrace figures: {error}", file=sys.stderr)
        return 1
    return 0
