"""The results of sweeps in an SQLite file: one row a run, by a key of what its result hangs on."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..version import __version__
from .spec import Run, Spec

Table = dict[str, NDArray[Any]]

_OURS, _VERSION = 0x46745277, 1  # application_id and user_version of the file
_COLUMNS = {
    "key": "TEXT PRIMARY KEY", "version": "TEXT", "environment": "TEXT", "learner": "TEXT", "seed": "INTEGER",
    "mean_return": "REAL", "mean_length": "REAL", "rms": "REAL", "steps": "INTEGER", "diverged": "INTEGER",
    "seconds": "REAL",
}  # fmt: skip
_RESULTS = ("seed", "mean_return", "mean_length", "rms", "steps", "diverged", "seconds")
_PATIENCE = 30.0  # seconds to wait for another who writes


class Runs:
    """The tables of a file.

    Results that cannot be written now, because the disk is full or another has the file, are kept and written
    with the next.  Errors: ValueError for a file that is something else, or of a newer version; OSError.
    """

    def __init__(self, path: Any, *, read: bool = False) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"db: got {type(path).__name__}, expected the path of a file")
        self.path, self._read = Path(path), read
        if read and not self.path.exists():
            raise FileNotFoundError(f"{self.path}: there is no such file")
        self._kept: list[tuple[Run, dict[str, Any]]] = []
        self._keep_episodes = False
        try:
            self._db = sqlite3.connect(*self._connection(), isolation_level=None, uri=read)
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: {error}") from None
        try:
            self._found()
        except sqlite3.OperationalError as error:
            self._db.close()
            raise OSError(f"{self.path}: {error}") from None
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ValueError(f"{self.path}: {error}, expected a database of fasttrace") from None
        except ValueError:
            self._db.close()
            raise

    def _connection(self) -> tuple[Any, float]:
        if not self._read:
            return self.path, _PATIENCE
        # One may be allowed to read the file, and not to make one beside it that readers share.
        alone = not Path(f"{self.path}-wal").exists() and not os.access(self.path.resolve().parent, os.W_OK)
        return f"{self.path.resolve().as_uri()}?mode=ro{'&immutable=1' if alone else ''}", _PATIENCE

    def _found(self) -> None:
        empty = not self._one("SELECT count(*) FROM sqlite_master")  # first: another may be making it
        ours, version = self._one("PRAGMA application_id"), self._one("PRAGMA user_version")
        if empty and self._read:
            raise ValueError(f"{self.path}: has no results of fasttrace")
        if not empty and ours != _OURS:
            raise ValueError(f"{self.path}: is a database of something else, expected one of fasttrace")
        if ours == _OURS and version > _VERSION:
            raise ValueError(
                f"{self.path}: is of a newer version of fasttrace ({version}, this knows {_VERSION})"
            )
        if empty:
            self._db.execute("PRAGMA journal_mode=WAL")
            columns = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(f"CREATE TABLE IF NOT EXISTS runs ({columns})")
            columns = 'key TEXT, episode INTEGER, "return" REAL, length INTEGER'
            self._db.execute(
                f"CREATE TABLE IF NOT EXISTS episodes ({columns}, PRIMARY KEY (key, episode)) WITHOUT ROWID"
            )
            self._db.execute(f"PRAGMA application_id={_OURS}")
            self._db.execute(f"PRAGMA user_version={_VERSION}")
            self._db.execute("COMMIT")
        if not self._read:
            self._db.execute(
                "PRAGMA synchronous=NORMAL"
            )  # what is committed outlives a process that is killed

    def _one(self, query: str) -> Any:
        return self._db.execute(query).fetchone()[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def columns(self) -> list[str]:
        return [row[1] for row in self._db.execute("PRAGMA table_info(runs)")]

    def make_columns(self, spec: Spec) -> None:
        """One for each option of a sweep."""
        self._keep_episodes = spec.keep_episodes
        there = {name.lower() for name in self.columns()}
        for name in spec.columns:
            if _column(name).lower() in there:
                continue
            try:
                self._db.execute(f'ALTER TABLE runs ADD COLUMN "{_column(name)}"')
            except sqlite3.OperationalError as error:
                if _column(name) not in self.columns():  # nor has another sweep made it meanwhile
                    raise OSError(f"{self.path}: {error}") from None

    def keys(self) -> set[str]:
        """Of the runs that need not be run again."""
        where = (
            " WHERE mean_length IS NULL OR key IN (SELECT key FROM episodes)" if self._keep_episodes else ""
        )
        return {row[0] for row in self._db.execute(f"SELECT key FROM runs{where}")}

    def add(self, rows: Iterable[tuple[Run, dict[str, Any]]], spec: Spec) -> None:
        """Results of runs, all of them or none; a RuntimeWarning where they have to wait."""
        waited = bool(self._kept)
        self._kept += rows
        self._wait(1.0 if waited else _PATIENCE)  # not that long for every block
        try:
            self._write(spec)
        except sqlite3.OperationalError as error:
            if not waited:
                what = f"sweep: {self.path} cannot be written now ({error}); results are kept for later"
                warnings.warn(what, RuntimeWarning, stacklevel=2)

    def _write(self, spec: Spec) -> None:
        if not self._kept:
            return
        names = [*_COLUMNS, *map(_column, spec.columns)]
        marks = ", ".join("?" * len(names))
        quoted = ", ".join(f'"{name}"' for name in names)
        rows = [_values(spec, run, found) for run, found in self._kept]
        episodes = [
            (run.key, i, *each) for run, found in self._kept for i, each in enumerate(found["episodes"])
        ]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(f"INSERT OR REPLACE INTO runs ({quoted}) VALUES ({marks})", rows)
            if self._keep_episodes:
                self._db.executemany("INSERT OR REPLACE INTO episodes VALUES (?, ?, ?, ?)", episodes)
            self._db.execute("COMMIT")
        except sqlite3.OperationalError:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._kept = []

    def finish(self, spec: Spec) -> None:
        """Errors: RuntimeError where results still cannot be written."""
        self._wait(_PATIENCE)
        try:
            self._write(spec)
        except sqlite3.OperationalError as error:
            raise RuntimeError(
                f"sweep: results of {len(self._kept)} runs could not be written to {self.path} ({error}); "
                "the others are there, start again to run these"
            ) from None

    def _wait(self, seconds: float) -> None:
        self._db.execute(f"PRAGMA busy_timeout={int(1000 * min(seconds, _PATIENCE))}")

    def table(self, keys: Sequence[str] | None = None) -> Table:
        """The runs of these keys in their order; None: all, by their options."""
        names = self.columns()
        options = [name for name in names if name not in _COLUMNS]
        order = ", ".join(f'"{name}"' for name in ("environment", "learner", *options, "seed"))
        rows = self._db.execute(f"SELECT * FROM runs ORDER BY {order}").fetchall()
        if keys is not None:
            by_key = {row[0]: row for row in rows}
            rows = [by_key[key] for key in keys if key in by_key]
        columns = dict(zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True))
        shown = ["key", "version", "environment", "learner", *options, *_RESULTS]
        return {name: _array(name, columns[name]) for name in shown if rows or name in _COLUMNS}


def results(db: Any) -> Table:
    """All runs of a database, a dict of arrays (n,): its columns, as docs/sweeps.md has them.

    Errors: FileNotFoundError, OSError; ValueError for a database of something else or a newer version.
    """
    with Runs(db, read=True) as runs:
        return runs.table()


def _column(name: str) -> str:
    return f"option_{name}" if name in _COLUMNS else name


def _values(spec: Spec, run: Run, found: dict[str, Any]) -> tuple[Any, ...]:
    about = (run.key, __version__, spec.environment, spec.learner_name)
    numbers = {**found, "seed": run.seed, "diverged": int(found["diverged"])}
    options = (json.dumps(value) if isinstance(value, list) else value for value in run.told.values())
    return (*about, *(numbers[name] for name in _RESULTS), *options)


def _array(name: str, values: Sequence[Any]) -> NDArray[Any]:
    """Numbers, NaN where there is none; or words, "" where there is none."""
    if name == "diverged":
        return np.array(values, bool)
    if any(isinstance(value, str) for value in values):
        return np.array(["" if value is None else str(value) for value in values], dtype=np.str_)
    if values and all(isinstance(value, int) for value in values):
        return np.array(values, np.int64)
    return np.array([math.nan if value is None else value for value in values], np.float64)
