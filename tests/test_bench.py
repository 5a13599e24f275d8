"""The benchmark suite's own machinery; what it times is checked where it is timed, in bench/."""

import gc
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

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


def test_without_the_sources_it_says_so(monkeypatch, tmp_path, capsys):
    """An installed package alone has no suite to run."""
    monkeypatch.setattr(bench.fasttrace, "__file__", str(tmp_path / "site-packages/fasttrace/__init__.py"))
    monkeypatch.chdir(tmp_path)
    assert bench.run([]) == 1
    assert "checkout" in capsys.readouterr().err


def test_a_missing_extra_is_named(suite, monkeypatch, capsys, tmp_path):
    """Before anything is measured."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert suite("report").main(["--output", str(tmp_path / "report")]) == 1
    assert "fasttrace[bench]" in capsys.readouterr().err
