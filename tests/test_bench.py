"""The benchmark suite's own machinery; what it times is checked where it is timed, in bench/."""

import gc
import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import fasttrace as ft
from fasttrace.backends import _missing
from fasttrace.experiments import bench

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def suite(monkeypatch):
    """Modules of bench/ by name.  No collections between rounds: they cost what this process holds by now."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setattr(gc, "collect", lambda: 0)
    return lambda name: import_module(f"bench.{name}")


class Recorder:
    """A case that writes down when it runs."""

    steps = 1

    def __init__(self, name, log):
        self.name, self.log = name, log

    def prepare(self):
        self.log.append(f"prepare {self.name}")

    def run(self):
        self.log.append(self.name)


def test_what_is_compared_runs_in_turn(suite, monkeypatch):
    """A B C A B C, each prepared afresh before it runs."""
    interleave = suite("interleave")
    monkeypatch.setattr(interleave, "VISIT_NS", 0)
    log = []
    timings = interleave.interleave([Recorder(name, log) for name in "ABC"], rounds=2)
    assert log == [word for name in "ABCABC" for word in (f"prepare {name}", name)]
    assert [timing.rounds for timing in timings] == [2, 2, 2]


def test_long_runs_come_less_often(suite, monkeypatch):
    """Every LONG_EVERY-th round beyond LONG_NS, VERY_LONG_ROUNDS times beyond VERY_LONG_NS."""
    interleave = suite("interleave")
    monkeypatch.setattr(interleave, "VISIT_NS", 0)
    monkeypatch.setattr(interleave, "LONG_NS", 0)
    (long,) = interleave.interleave([Recorder("A", [])], rounds=33)
    assert long.rounds == 11
    monkeypatch.setattr(interleave, "VERY_LONG_NS", 0)
    (very_long,) = interleave.interleave([Recorder("A", [])], rounds=33)
    assert very_long.rounds == interleave.VERY_LONG_ROUNDS


@pytest.mark.parametrize(
    ("measured", "at_most", "met"),
    [(1.0, True, True), (3.0, True, False), (1.0, False, False), (3.0, False, True), (None, True, None)],
)
def test_a_figure_is_met_or_not_or_not_measured(suite, measured, at_most, met):
    """Against a target of 2."""
    assert suite("figures").Figure("", measured, 2.0, at_most).met is met


def test_wrong_results_are_left_blank(suite):
    """A wrong result has no time in the tables, and no ratio is taken of it."""
    figures, report = suite("figures"), suite("report")
    cases, timing = suite("cases"), suite("interleave").Timing(1, [30], 1)
    results = figures.Results()
    results.about["L8"] = "about"
    results.streams["L8"] = [
        figures.Row(cases.Spec(cases.FLOOR), suite("interleave").Timing(1, [10], 1)),
        figures.Row(cases.Spec("C", "accumulating", 0.99), None, "not the reference's result"),
        figures.Row(cases.Spec("C", "true online", 0.99), timing),
    ]
    promised = {figure.name: figure.measured for figure in figures.figures(results)}
    assert promised["C, accumulating, lambda .99, L8 / TD(0) in C"] is None
    assert promised["C, true online, lambda .99, L8 / TD(0) in C"] == 3.0
    lines = list(
        report.markdown(results, list(figures.figures(results)), suite("measure").QUICK, 1.0, "x.png")
    )
    assert "| accumulating | 0.99 |  |" in lines
    assert "| true online | 0.99 | 30.0 |" in lines
    assert results.wrong == ["accumulating-0.99-C on L8: not the reference's result"]


def test_the_stream_of_the_targets_is_as_stated(suite):
    """8 tilings of 90 x 90, 8192 apart, about 2.5 new tiles a step, the same at every call."""
    workloads = suite("workloads")
    stream = workloads.smooth_8()
    assert (stream.n, stream.k, stream.steps, stream.gamma) == (65536, 8, 100_000, 0.99)
    cells = stream.x - 8192 * np.arange(8)
    assert cells.min() >= 0
    assert cells.max() < 90 * 90
    assert 2.0 < stream.new_features < 3.0
    again = workloads.tiles(workloads.brownian_walk(workloads.STEPS, np.random.default_rng(0)), 8, 90, 8192)
    assert (again == stream.x).all()


def test_a_table_has_a_column_for_each_implementation(suite):
    """NumPy, Numba, C, eager list and TD(0), which stands in every row; within 120 columns."""
    table, cases = suite("table"), suite("cases")
    specs = [cases.Spec(cases.FLOOR), cases.Spec("C", "true online", 0.9), cases.Spec("C", "dutch", 0.9)]
    specs += [cases.Spec("NumPy", "dutch", 0.9), cases.Spec(cases.EAGER, "dutch", 0.9)]
    times = [14.96, 30.04, 28.0, 120557.4, 417.2]
    cells = [table.Cell("L8", s.row, s.implementation, ns) for s, ns in zip(specs, times, strict=True)]
    assert list(table.tables([*cells, table.Cell("other", "grid", "C", 1.0)])) == [
        "",
        "L8                         NumPy     C  eager list  TD(0) C",
        "true online, lambda 0.9           30.0                 15.0",
        "dutch, lambda 0.9        120,557  28.0         417     15.0",
        "",
        "other    C",
        "grid   1.0",
    ]


def test_tables_are_not_wide(suite):
    """A title that would make the lines long has one of its own."""
    table = suite("table")
    cells = [table.Cell("x" * 100, "row", str(column), 1e6) for column in range(9)]
    assert max(map(len, table.tables(cells))) <= table.WIDTH


def test_help_needs_nothing(monkeypatch, capsys):
    """Neither the extra nor the suite."""
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="0"):
        bench.run(["--help"])
    assert "--quick" in capsys.readouterr().out


def test_a_missing_extra_is_named(monkeypatch, capsys):
    """Before anything is measured."""
    monkeypatch.setattr(bench, "find_spec", lambda name: None if name == "rich" else find_spec(name))
    assert bench.run([]) == 1
    error = capsys.readouterr().err
    assert "no rich" in error
    assert "fasttrace[bench]" in error


def test_the_suite_is_that_of_the_package(monkeypatch):
    """A process imports the very package that was asked, and the suite beside it or in it."""
    calls = []
    monkeypatch.setattr(bench.subprocess, "call", lambda command, env: calls.append((command, env)) or 3)
    assert bench.run(["--quick"]) == 3
    ((_, *arguments), env) = calls[0]
    assert arguments[:2] == ["-P", "-m"]  # not what stands in the current folder
    assert arguments[2] in ("bench.report", "fasttrace.bench.report")
    assert arguments[3:] == ["--quick"]
    assert env["PYTHONPATH"].split(os.pathsep)[0] == str(Path(ft.__file__).resolve().parents[1])


def test_the_header_says_what_is_timed(suite, monkeypatch):
    """The files, the backends that are there, and why the others are not."""
    monkeypatch.setitem(_missing, "c", "ImportError: no compiler today")
    monkeypatch.setitem(_missing, "numpy", None)
    lines = list(suite("conftest").pytest_report_header(None))
    assert lines[0].endswith(str(Path(ft.__file__).parent))
    assert "numpy" in lines[1]
    assert lines[-1] == "not timed: c, ImportError: no compiler today"
