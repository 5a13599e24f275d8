"""pytest bench/ times kernel by kernel; with --benchmark-disable everything runs once, for its checks."""

import gc
from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("pytest_benchmark") is None:
    pytest.exit("pytest-benchmark is missing: pip install 'fasttrace[bench]'", returncode=4)

# A case runs for about so long, in at least and at most so many rounds; its time is the quickest.
SECONDS, FEWEST, MOST = 0.15, 3, 30
HERE = Path(__file__).parent
CELLS = pytest.StashKey()

# As in tests/: Numba compiles with millions of objects that stay, and collections would walk over them.
gc.set_threshold(50_000, 20, 1000)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    config.option.loadscopereorder = False  # workers take modules in turn, each compiles what is its own
    config.stash[CELLS] = []
    if not config.getoption("benchmark_compare", None):  # then its tables show what was before
        config.option.benchmark_quiet = True  # ours are below


def cpu_time():
    """As interleave: what else runs on a shared machine does not count."""
    from .interleave import clock_ns

    return clock_ns() * 1e-9


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent == HERE and item.get_closest_marker("benchmark") is None:
            item.add_marker(pytest.mark.benchmark(timer=cpu_time))


def pytest_report_header(config):
    """Which files are timed, and which backends are there: not always those that one thinks."""
    import fasttrace as ft
    from fasttrace.backends import NAMES

    yield f"fasttrace {ft.__version__} of {Path(ft.__file__).parent}"
    reasons = {name: ft.backends()[name] for name in NAMES}  # for "cuda" see cuda.py
    yield f"backends timed: {', '.join(name for name, reason in reasons.items() if reason is None)}"
    yield from (f"not timed: {name}, {reason}" for name, reason in reasons.items() if reason is not None)


def pytest_terminal_summary(terminalreporter, config):
    from .table import tables

    if config.stash[CELLS]:
        terminalreporter.section("nanoseconds a step, CPU time, the quickest round", "-")
        terminalreporter.write_line("\n".join(tables(config.stash[CELLS])))


@pytest.fixture
def time_case(benchmark, request):
    """Check a case's result, then time it; a wrong one fails, and has no time.

    The time goes into `table`, by default in the row of its kernel and the column of its implementation.
    """
    from .table import Cell

    def time_it(case, table, row=None, column=None):
        spec = case.spec
        assert case.check()
        row, column = row or spec.row, column or spec.implementation
        benchmark.group = f"{table}: {row}"
        benchmark.extra_info.update(implementation=column, steps=case.steps)
        if not benchmark.enabled:
            benchmark.pedantic(case.run, setup=case.prepare)
            return
        case.prepare()
        began = cpu_time()
        case.run()
        rounds = int(SECONDS / max(cpu_time() - began, 1e-6))
        benchmark.pedantic(case.run, setup=case.prepare, rounds=min(max(rounds, FEWEST), MOST))
        ns = benchmark.stats.stats.min / case.steps * 1e9
        benchmark.extra_info["ns_per_step"] = ns
        request.config.stash[CELLS].append(Cell(table, row, column, ns))

    return time_it
