"""The command line: what it prints, what it saves, and how it leaves."""

import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fasttrace as ft
from fasttrace.__main__ import main
from fasttrace.backends import NAMES, _missing

BACKENDS = [name for name in NAMES if ft.backends()[name] is None]
PNG = b"\x89PNG\r\n\x1a\n"


def demo(folder, *options):
    return main(["demo", "--episodes", "30", "--output", str(folder), *options])


@pytest.fixture(autouse=True, scope="module")
def _unhurried():
    """No training ends by the clock, nor is one repeated for a steadier one."""
    from fasttrace.experiments import demo

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "BUDGET", np.inf)
        patch.setattr(demo, "REPEAT", 0.0)
        yield


@pytest.fixture(scope="module")
def mountain_car():
    from fasttrace.experiments import mountain_car

    return mountain_car


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """(folder, what a short demo of all backends printed)."""
    pytest.importorskip("rich")
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "100")
        patch.setattr(sys, "stdout", printed)
        assert demo(folder) == 0
    return folder, printed.getvalue()


def test_demo_saves_what_it_says(shown):
    """Both pictures are where the last lines say, and are pictures."""
    folder, printed = shown
    for name in ("learning-curves.png", "cost-to-go.png"):
        assert str(folder / name) in printed
        assert (folder / name).read_bytes().startswith(PNG)


def test_demo_table_has_each_backend(shown):
    """One row a backend, 30 episodes each, and NumPy is 1.0 times itself."""
    rows = {}
    for line in shown[1].splitlines():
        cells = [cell.strip() for cell in line.strip("│ ").split("│")]
        if cells[0] in BACKENDS and len(cells) == 5:
            rows[cells[0]] = cells[1:]
    assert set(rows) == set(BACKENDS)
    assert {cells[0] for cells in rows.values()} == {"30"}
    assert len({cells[1] for cells in rows.values()}) == 1
    assert rows["numpy"][3] == "1.0"


def test_demo_says_that_the_walks_are_the_same(shown):
    """The reference is compared with each of the others."""
    for name in BACKENDS[1:]:
        assert f"{name} and {BACKENDS[0]} took as many steps in each of 30 episodes." in shown[1]


def test_demo_compares_those_that_went_on(mountain_car, monkeypatch):
    """Where the reference stopped early, the others are compared beyond it, and a parting is said."""
    from fasttrace.experiments import demo

    def run(name, *lengths):
        return mountain_car.Run(name, np.array(lengths), -np.array(lengths, float), np.cumsum(lengths))

    runs = [run("numpy", 9, 8), run("numba", 9, 8, 7, 6), run("c", 9, 8, 7, 5)]
    monkeypatch.setattr(demo, "BUDGET", 8.0)
    said = list(demo._remarks(runs, 4, dict.fromkeys(NAMES)))
    assert "numpy stopped after 2 episodes: 8 seconds were over." in said
    assert "c and numpy took as many steps in each of 2 episodes." in said
    assert "c and numba part in episode 4 of 4; from there on they are different walks." in said


@pytest.mark.parametrize(
    "command", [["demo", "--episodes", "1", "--backend", "c"], ["baird", "--steps", "1"]]
)
@pytest.mark.skipif("c" not in BACKENDS, reason="no C library")
def test_a_picture_of_one_point_shows_it(command, monkeypatch, tmp_path, recwarn):
    """A line alone would be an empty picture."""
    pytest.importorskip("rich")
    figure = pytest.importorskip("matplotlib.figure")
    lines = []
    monkeypatch.setattr(
        figure.Figure,
        "savefig",
        lambda drawn, *_, **__: lines.extend(line for axes in drawn.axes for line in axes.lines),
    )
    assert main([*command, "--output", str(tmp_path)]) == 0
    assert lines
    assert {len(line.get_xdata()) for line in lines} == {1}
    assert {line.get_marker() for line in lines} == {"o"}
    assert not recwarn.list


@pytest.mark.parametrize("missing", ["matplotlib", "rich"])
def test_demo_names_the_extra(missing, monkeypatch, tmp_path, capsys):
    """Without the extra the demo says what to install, and trains nothing."""
    monkeypatch.setitem(sys.modules, missing, None)
    assert demo(tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert missing in printed.err
    assert 'pip install "fasttrace[demo]"' in printed.err
    assert not (tmp_path / "out").exists()


def test_demo_refuses_a_backend_that_is_not_there(monkeypatch, tmp_path, capsys):
    """Asked for by name: the reason, and no fallback."""
    monkeypatch.setitem(_missing, "c", "ImportError: no compiler")
    assert demo(tmp_path / "out", "--backend", "c") == 1
    assert "'c' is not available: ImportError: no compiler" in capsys.readouterr().err


def test_demo_says_what_is_missing(monkeypatch, tmp_path, capsys):
    """Not asked for by name: the others run, and the reason is given."""
    for name in ("c", "numba"):
        monkeypatch.setitem(_missing, name, "ImportError: not today")
    assert demo(tmp_path, "--episodes", "2") == 0
    printed = capsys.readouterr().out
    assert "c is not there: ImportError: not today" in printed
    assert "numba is not there: ImportError: not today" in printed


def test_demo_needs_a_folder(tmp_path, capsys):
    """A file in the way is said before anything is trained."""
    (tmp_path / "file").write_text("")
    assert demo(tmp_path / "file") == 1
    assert "File exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "required: command"),
        (["train"], "invalid choice: 'train'"),
        (["demo", "--episodes", "0"], "expected a number from 1 on"),
        (["demo", "--seed", "-1"], "expected a whole number from 0 on, got '-1'"),
        (["demo", "--episodes", "many"], "expected a whole number from 0 on, got 'many'"),
        (["demo", "--backend", "fortran"], "invalid choice: 'fortran'"),
        (["info", "--loud"], "unrecognized arguments: --loud"),
    ],
)
def test_usage_errors(arguments, said, capsys):
    """argparse's status 2, and what was wrong."""
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    assert leaving.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", ["demo", "baird", "stream", "plasticity", "staleness", "info"])
def test_help_shows_defaults_that_mean_something(command, capsys):
    """Each option has at most one default, and none is an empty list."""
    with pytest.raises(SystemExit) as leaving:
        main([command, "--help"])
    assert leaving.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "[])" not in printed
    assert "None" not in printed
    assert not re.search(r"\(default: [^)]*\) \(default", printed)


def test_interrupted(monkeypatch, capsys):
    """Ctrl-C leaves with the shell's 130, and no traceback."""
    from fasttrace.experiments import info

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "run", interrupt)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(os.name != "posix", reason="a pipe of POSIX")
def test_nobody_reads_on():
    """Where the reader has gone, as `head` does, there is no traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "fasttrace", "algorithms"], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1


def test_version(capsys):
    with pytest.raises(SystemExit) as leaving:
        main(["--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out == f"fasttrace {ft.__version__}\n"


def test_bench_gets_its_own_options(monkeypatch):
    """What follows `bench` goes to it untouched, --help as well, and its status comes back."""
    bench = pytest.importorskip("fasttrace.experiments.bench")
    seen = []
    monkeypatch.setattr(bench, "run", lambda argv: seen.append(argv) or 7)
    assert main(["bench", "--help", "--quick"]) == 7
    assert seen == [["--help", "--quick"]]


def test_info(capsys):
    """Versions, each backend, and why one is missing."""
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert f"fasttrace  {ft.__version__}\n" in printed
    for name in ("numpy", "numba", "cffi"):
        assert f"{name:11}{importlib.metadata.version(name)}\n" in printed
    for name in NAMES:
        assert f"backend {name:7}" in printed


def test_info_for_programs(capsys, monkeypatch):
    """--json: the same, as data."""
    monkeypatch.setitem(_missing, "numba", "ImportError: not today")
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fasttrace"] == ft.__version__
    assert found["backends"] == {**ft.backends(), "numba": "ImportError: not today"}
    assert found["auto"] == ("c" if "c" in BACKENDS else "numpy")
    assert found["packages"]["numpy"] == np.__version__
    assert found["numba"] is None
    if "c" in BACKENDS:
        assert set(found["c"]) == {"compiler", "cpu_level"}


def test_info_gives_reasons(monkeypatch, capsys):
    monkeypatch.setitem(_missing, "c", "ImportError: no compiler")
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert "backend c      not there: ImportError: no compiler\n" in printed
    assert "C library" not in printed


@pytest.mark.skipif("c" not in BACKENDS, reason="no C library")
def test_cpu_level_is_one_that_the_cpu_has(capsys):
    """The level is named, and never one whose instructions the CPU lacks."""
    from fasttrace.backends.c import ffi, lib

    level = ffi.string(lib.ft_cpu_level()).decode()
    needs = {"default": set(), "x86-64-v3": {"avx2", "bmi2", "fma"}, "x86-64-v4": {"avx512f", "avx512vl"}}
    assert level in needs
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        assert needs[level] <= set(cpuinfo.read_text().split())
    assert main(["info"]) == 0
    assert f"CPU level in use: {level}\n" in capsys.readouterr().out


def test_the_command_line_starts_light():
    """Neither the parser nor --version loads a backend, a plot library or an environment."""
    program = (
        "import sys\n"
        "from fasttrace.__main__ import main\n"
        "try: main(['--version'])\n"
        "except SystemExit: pass\n"
        "heavy = 'numba', 'matplotlib', 'rich', 'gymnasium', '_cffi_backend'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# ---- the experiment behind the demo ---------------------------------------------------------------------


def test_training_in_chunks_is_one_walk(mountain_car):
    """Looking at the clock and at the surface changes nothing."""
    env, agent, coder = mountain_car.task("auto")
    whole = ft.simulate(env, agent, coder, episodes=60, seed=np.random.default_rng(3))
    run = mountain_car.train("auto", 60, 3, surfaces_after=(1, 12, 60))
    np.testing.assert_array_equal(run.lengths, whole.lengths)
    np.testing.assert_array_equal(run.returns, whole.returns)
    assert run.steps == whole.steps
    assert sorted(run.surfaces) == [1, 12, 60]
    np.testing.assert_array_equal(run.surfaces[60], mountain_car.cost_to_go(agent.weights, coder))


@pytest.mark.skipif("numba" not in BACKENDS, reason="no Numba")
def test_what_is_timed_compiles_nothing(mountain_car):
    """After a run of one episode Numba has all it needs: no compilation is in the demo's seconds."""
    from numba.core import event

    mountain_car.train("numba", 1, 0)
    with event.install_recorder("numba:compile") as recorder:
        mountain_car.train("numba", 60, 1, surfaces_after=(12,))
    assert not recorder.buffer


def test_a_budget_ends_training_early(mountain_car):
    """With no time at all there is one chunk, and a surface of it."""
    run = mountain_car.train("auto", 100, 0, surfaces_after=(100,), budget=0.0)
    assert len(run.lengths) == len(run.clock) == mountain_car.CHUNK
    assert list(run.surfaces) == [mountain_car.CHUNK]


def test_training_for_ever_begins_at_once(mountain_car):
    """However many episodes there are to be, the first chunk does not wait for a list of them all."""
    run = mountain_car.train("auto", 10**20, 0, surfaces_after=(3, 10**20), budget=0.0)
    assert len(run.lengths) == 3
    assert list(run.surfaces) == [3]


def test_the_clock_only_goes_forward(mountain_car):
    run = mountain_car.train("auto", 60, 0)
    assert (np.diff(run.clock) > 0).all()
    assert run.seconds == run.clock[-1]


def test_cost_to_go_is_the_best_action_value(mountain_car):
    """-max_a q of the agent itself, at the grid's own points."""
    env, agent, coder = mountain_car.task("auto")
    ft.simulate(env, agent, coder, episodes=5, seed=1)
    surface = mountain_car.cost_to_go(agent.weights, coder)
    position, velocity = mountain_car.grid()
    for place in [(0, 0), (30, 30), (60, 60), (20, 45)]:
        q = agent.q(coder(np.array([position[place], velocity[place]])))
        assert surface[place] == pytest.approx(-q.max(), abs=1e-9)


def test_same_walk_counts_episodes(mountain_car):
    def run(*lengths):
        return mountain_car.Run("numpy", np.array(lengths), -np.array(lengths, float), np.cumsum(lengths))

    assert mountain_car.same_walk(run(3, 4, 5), run(3, 4, 5, 6)) == 3
    assert mountain_car.same_walk(run(3, 4, 5), run(3, 9, 5)) == 1


def test_trailing_mean(mountain_car):
    """The curve is the mean of the last ten episodes, of fewer at the start."""
    pytest.importorskip("matplotlib")
    from fasttrace.experiments.figures import _trailing_mean

    lengths = np.random.default_rng(0).integers(1, 500, 40)
    expected = [lengths[max(0, e - 9) : e + 1].mean() for e in range(40)]
    np.testing.assert_allclose(_trailing_mean(lengths), expected, rtol=1e-12)
