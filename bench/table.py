"""What `pytest bench/` prints: a table for each workload, implementations across, nanoseconds a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .cases import BACKENDS, EAGER, EAGER_C, FLOOR, FLOOR_AHEAD, FLOOR_NUMBA, NO_TRACE

COLUMNS = (
    *BACKENDS.values(),
    EAGER,
    EAGER_C,
    FLOOR,
    FLOOR_AHEAD,
    FLOOR_NUMBA,
)  # in this order; others follow as they come
WIDTH = 120


class Cell(NamedTuple):
    """One time: `row` is a learner with its lambda, or NO_TRACE for what stands in every row."""

    table: str
    row: str
    column: str
    ns: float


def tables(cells: Iterable[Cell]) -> Iterator[str]:
    """The tables, line by line, no line longer than WIDTH where names of columns allow it."""
    by_table: dict[str, list[Cell]] = {}
    for cell in cells:
        by_table.setdefault(cell.table, []).append(cell)
    for table, found in by_table.items():
        yield ""
        yield from _table(table, found)


def _table(title: str, cells: list[Cell]) -> Iterator[str]:
    ns = {(cell.row, cell.column): cell.ns for cell in cells}
    there = dict.fromkeys(cell.column for cell in cells)
    columns = [*(name for name in COLUMNS if name in there), *(name for name in there if name not in COLUMNS)]
    rows = list(dict.fromkeys(cell.row for cell in cells if cell.row != NO_TRACE)) or [NO_TRACE]
    lines = [[_number(ns.get((row, name), ns.get((NO_TRACE, name)))) for name in columns] for row in rows]
    widths = [2 + max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    label = max(len(title), *map(len, rows))
    if label + sum(widths) > WIDTH:  # a long title has a line of its own
        yield title
        title, label = "", max(map(len, rows))
    for name, line in zip([title, *rows], [columns, *lines], strict=True):
        cells_ = (f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True))
        yield f"{name:{label}}{''.join(cells_)}".rstrip()


def _number(ns: float | None) -> str:
    return "" if ns is None else f"{ns:,.0f}" if ns >= 100 else f"{ns:.1f}"
