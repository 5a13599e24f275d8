"""What a table of runs says: the mean of each setting over its seeds, the best first."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .runs import Table, results

_BESIDE = ("key", "seed", "mean_return", "mean_length", "rms", "steps", "diverged", "seconds")


@dataclass(frozen=True)
class Setting:
    """One setting over its seeds.

    options  of environment, coder and learner, as the table has them
    mean     of mean_return over runs that did not diverge; of prediction tasks of rms
    error    standard error of that mean; NaN for one run
    """

    options: dict[str, Any]
    metric: str
    mean: float
    error: float
    runs: int
    diverged: int

    @property
    def order(self) -> tuple[bool, float]:
        """The best comes first: whatever diverged comes last."""
        worth = -self.mean if self.metric == "mean_return" else self.mean
        return self.diverged > 0 or np.isnan(worth), worth


def settings(table: Table) -> list[Setting]:
    """In the order of the table."""
    names = [name for name in table if name not in _BESIDE]
    rows: dict[Any, list[int]] = {}
    for i, values in enumerate(zip(*(table[name].tolist() for name in names), strict=True)):
        rows.setdefault(tuple(None if value != value else value for value in values), []).append(i)
    return [_setting(table, dict(zip(names, values, strict=True)), at) for values, at in rows.items()]


def _setting(table: Table, options: dict[str, Any], rows: list[int]) -> Setting:
    metric = "mean_return" if np.isnan(table["rms"][rows]).all() else "rms"
    right = [i for i in rows if not table["diverged"][i] and not np.isnan(table[metric][i])]
    values = table[metric][right]
    mean = float(values.mean()) if len(values) else np.nan
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else np.nan
    there = {name: value for name, value in options.items() if value is not None and value != ""}
    return Setting(there, metric, mean, error, len(rows), int(table["diverged"][rows].sum()))


def lines(table: Table, count: int) -> Iterator[str]:
    """The best settings of each environment and learner: what all have in common, then what differs."""
    groups: dict[tuple[str, str], list[Setting]] = {}
    for setting in settings(table):
        groups.setdefault((setting.options.pop("environment"), setting.options.pop("learner")), []).append(
            setting
        )
    for (environment, learner), some in groups.items():
        names = list(dict.fromkeys(name for setting in some for name in setting.options))
        differs = [name for name in names if len({str(setting.options.get(name)) for setting in some}) > 1]
        common = {name: some[0].options[name] for name in names if name not in differs}
        told = ", ".join(f"{name} {_word(value)}" for name, value in common.items() if name != "version")
        yield f"{learner} in {environment}{told and ': '}{told}"
        best = sorted(some, key=lambda setting: setting.order)[:count]
        head = [*differs, best[0].metric, "+-", "runs", "diverged"]
        body = [
            [
                *(_word(setting.options.get(name, "")) for name in differs),
                f"{setting.mean:.5g}", f"{setting.error:.2g}", str(setting.runs), str(setting.diverged),
            ]
            for setting in best
        ]  # fmt: skip
        widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
        for row in (head, *body):
            yield "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        if len(some) > count:
            yield f"  ... {len(some) - count} more settings"
        yield ""


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def run(db: str, count: int, as_csv: bool, parquet: str | None) -> int:
    """The command `results`; the exit status."""
    try:
        table = results(db)
        if parquet:
            _write_parquet(table, parquet)
            print(f"{len(table['key'])} runs: {parquet}")
        elif as_csv:
            writer = csv.writer(sys.stdout, lineterminator="\n")
            writer.writerow(table)
            writer.writerows(zip(*(column.tolist() for column in table.values()), strict=True))
        else:
            print("\n".join(lines(table, count)).rstrip())
    except BrokenPipeError:  # the command line's to hear
        raise
    except (OSError, ValueError, ImportError) as error:
        print(f"fasttrace results: {error}", file=sys.stderr)
        return 1
    return 0


def _write_parquet(table: Table, path: str) -> None:
    try:
        from pyarrow import Table as Columns
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError("--parquet needs pyarrow: pip install pyarrow") from error
    parquet.write_table(Columns.from_pydict(dict(table)), Path(path))
