"""Sweeps: the same results as runs one by one, wherever they run and however often they are interrupted."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fasttrace as ft
from fasttrace.__main__ import main
from fasttrace.experiments import best
from fasttrace.experiments import runs as tables

joblib = pytest.importorskip("joblib")
EXAMPLE = Path(__file__).parents[1] / "examples" / "mountain_car.toml"
CAR = {
    "environment": {"name": "MountainCar"},
    "coder": {"tiles": 4, "tilings": 4},
    "learner": {"name": "Sarsa", "gamma": 1.0},
    "grid": {"lambda_": [0.0, 0.9], "alpha_per_tiling": [0.4, 0.8], "trace": ["accumulating", "replacing"]},
    "run": {"seeds": 3, "episodes": 4, "max_episode_steps": 300},
}
WALK = {
    "environment": {"name": "RandomWalk", "n": 7},
    "learner": {"name": "TD"},
    "grid": {"lambda_": [0.0, 0.8], "alpha": [0.1, 0.3]},
    "run": {"seeds": 2, "episodes": 5},
}


def swept(spec, db, **options):
    return ft.sweep(spec, db, **({"workers": 1, "progress": False} | options))


def generator(seed):
    return np.random.Generator(np.random.Philox(key=np.array([seed, 0], np.uint64)))


def but_seconds(table):
    return {name: column for name, column in table.items() if name != "seconds"}


def assert_same(one, other):
    assert list(one) == list(other)
    for name, column in but_seconds(one).items():
        assert_array_equal(column, other[name], err_msg=name)


def changed(spec, section, **options):
    """The spec with options set, or taken out where they are None."""
    new = {name: dict(each) for name, each in spec.items()}
    for name, value in options.items():
        new.setdefault(section, {})[name] = value
        if value is None:
            del new[section][name]
    return new


def test_runs_are_those_of_agents_alone(tmp_path):
    table = swept(changed(CAR, "run", keep="episodes"), tmp_path / "db")
    assert len(table["key"]) == 2 * 2 * 2 * 3
    assert len(set(table["key"])) == len(table["key"])
    env = ft.envs.MountainCar()
    coder = ft.TileCoder(env.low, env.high, 4, 4)
    with sqlite3.connect(tmp_path / "db") as db:
        for i in (0, 7, 23):
            told = {name: column[i].item() for name, column in table.items()}
            agent = ft.Sarsa(
                coder.n_features, 3, alpha=told["alpha_per_tiling"] / 4, gamma=1.0, lambda_=told["lambda_"],
                trace=told["trace"],
            )  # fmt: skip
            limits = {"episodes": 4, "max_episode_steps": 300}
            history = ft.simulate(env, agent, coder, **limits, seed=generator(told["seed"]))
            assert told["mean_return"] == history.returns.mean()
            assert told["mean_length"] == history.lengths.mean()
            assert told["steps"] == history.steps
            assert not told["diverged"]
            rows = db.execute(
                'SELECT "return", length FROM episodes WHERE key = ? ORDER BY episode', [told["key"]]
            )
            assert rows.fetchall() == list(zip(history.returns, history.lengths, strict=True))
    assert np.isnan(table["rms"]).all()


def test_prediction_tasks_have_their_error(tmp_path):
    table = swept(WALK, tmp_path / "db")
    task = ft.envs.RandomWalk(7)
    for i in range(len(table["key"])):
        learner, random = (
            ft.TD(7, alpha=table["alpha"][i], lambda_=table["lambda_"][i]),
            generator(table["seed"][i]),
        )
        errors = []
        for _ in range(5):
            s = task.stream(episodes=1, seed=random)
            learner.learn(s.x, s.rewards, gammas=s.gammas)
            errors.append(np.sqrt(np.mean((learner.weights - task.true_values) ** 2)))
        assert table["rms"][i] == pytest.approx(np.mean(errors), rel=1e-12)


def test_what_is_there_is_not_run_again(tmp_path):
    db = tmp_path / "db"
    first = swept(CAR, db)
    assert_array_equal(swept(CAR, db)["seconds"], first["seconds"])
    more = swept(changed(CAR, "run", seeds=4), db)
    old = more["seed"] < 3
    assert_array_equal(more["seconds"][old], first["seconds"])
    swept(WALK, db)  # other options, other columns
    everything = ft.results(db)
    assert len(everything["key"]) == 8 * 4 + 8
    assert np.isnan(everything["tilings"]).sum() == 8
    again = swept(CAR, db)
    assert_same(first, {name: again[name] for name in first})


def test_two_processes_find_what_one_finds(tmp_path):
    assert_same(swept(CAR, tmp_path / "two", workers=2), swept(CAR, tmp_path / "one"))
    own = joblib.Parallel(n_jobs=2)(joblib.delayed(abs)(-i) for i in range(2))
    assert own == [0, 1]  # the caller's pool is another


def test_a_cluster_finds_what_one_process_finds(tmp_path):
    pytest.importorskip("distributed")
    assert_same(swept(CAR, tmp_path / "two", engine="dask", workers=2), swept(CAR, tmp_path / "one"))


def test_killed_and_started_again(tmp_path):
    """Whatever is there when it is killed counts, and nothing else."""
    db = tmp_path / "db"
    whole = changed(CAR, "run", episodes=60)
    code = f"import fasttrace as ft; ft.sweep({whole!r}, {str(db)!r}, workers=1, progress=False)"
    counts = [0]
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        while process.poll() is None and _count(db) <= counts[-1]:
            time.sleep(0.001)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        counts.append(_count(db))
    assert counts == sorted(counts)
    assert_same(swept(whole, db), swept(whole, tmp_path / "whole"))


def _count(db):
    try:
        with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    except sqlite3.OperationalError:  # not there yet
        return 0


@pytest.fixture
def worlds(tmp_path, monkeypatch):
    """A module of environments, which new workers know."""
    flag = tmp_path / "flag"
    (tmp_path / "worlds.py").write_text(
        "import os, fasttrace as ft\n"
        "def once():\n"
        f"    if os.getpid() != {os.getpid()} and not os.path.exists({str(flag)!r}):\n"
        f"        open({str(flag)!r}, 'w').close()\n"
        "        os._exit(1)\n"
        "    return ft.envs.RandomWalk(5)\n"
        "def step(state, action, u):\n"
        "    if u[0] < 0.01:\n"
        "        raise ValueError('boom')\n"
        "    return (state[0],), -1.0, 0.0 if u[0] > 0.8 else 1.0\n"
        "def deadly(state, action, u):\n"
        "    os._exit(1)\n"
        "rare = ft.envs.custom(lambda u: (u[0],), step, n_actions=2, n_state=1, n_uniforms=1)\n"
        "never = ft.envs.custom(lambda u: (u[0],), deadly, n_actions=2, n_state=1, n_uniforms=1)\n"
        "for env in (rare, never):\n"
        "    env.low, env.high = (0.0,), (1.0,)\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    yield flag
    sys.modules.pop("worlds", None)


def of_ones_own(name):
    grid = {"lambda_": [0.0, 0.9], "alpha": [0.1, 0.2]}
    return changed(CAR, "environment", name=f"worlds:{name}") | {"grid": grid}


def test_a_worker_that_dies(tmp_path, worlds):
    """Its runs are run again."""
    spec = changed(changed(WALK, "environment", name="worlds:once", n=None), "run", seeds=6)
    with pytest.warns(RuntimeWarning, match="a worker died; what it had is run again"):
        table = swept(spec, tmp_path / "db", workers=2)
    assert worlds.exists()
    assert len(table["key"]) == 24


def test_runs_that_kill_their_workers(tmp_path, worlds):
    """They are left out, by name, and this process lives."""
    spec = changed(changed(of_ones_own("never"), "run", seeds=1), "grid", lambda_=[0.0], alpha=[0.1])
    with pytest.warns(RuntimeWarning) as told:
        table = swept(spec, tmp_path / "db", workers=2, backend="numpy")
    assert re.search(r"a run is left out, its worker died \(.*seed=0\)", str(told[-1].message))
    assert len(table["key"]) == 0


def test_runs_that_fail(tmp_path, worlds):
    """The others of their block are there; the rest is tried the next time."""
    spec = of_ones_own("rare")
    with pytest.warns(RuntimeWarning, match="a run is left out, ValueError: .*boom") as told:
        table = swept(spec, tmp_path / "db", backend="numpy")
    assert 0 < len(table["key"]) < 12
    assert len(table["key"]) + len(told) == 12
    with pytest.raises(ValueError, match="is an object that has its options, got gravity"):
        swept(changed(spec, "environment", gravity=9.8), tmp_path / "db")


def test_a_setting_that_diverges_is_a_row(tmp_path):
    spec = changed(changed(CAR, "grid", trace=None), "grid", lambda_=[1.0], alpha_per_tiling=[0.5, 1000.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = swept(changed(spec, "run", episodes=100), tmp_path / "db")
    assert table["diverged"].tolist() == [False] * 3 + [True] * 3


@pytest.mark.parametrize(
    ("section", "options", "message"),
    [
        ("grid", {"lamda_": [0.1]}, "grid: unknown 'lamda_'; did you mean 'lambda_'?"),
        ("runs", {"seeds": 1}, "spec: unknown 'runs'; did you mean 'run'?"),
        (
            "environment",
            {"name": "MountinCar"},
            "environment.name: unknown 'MountinCar'; did you mean 'MountainCar'?",
        ),
        ("environment", {"height": 1}, "environment: unknown 'height'"),
        ("environment", {"name": "nowhere:at_all"}, "environment.name: 'nowhere:at_all' cannot be imported"),
        ("coder", {"tile": 1}, "coder: unknown 'tile'; did you mean 'tiles'?"),
        ("learner", {"name": "sarsa"}, "learner.name: unknown 'sarsa'; did you mean 'Sarsa'?"),
        ("learner", {"name": None}, "learner.name: got None, expected a name"),
        ("learner", {"lambda_": 0.5}, "grid.lambda_: is among the options of [learner] too"),
        ("learner", {"alpha": 0.1}, "alpha_per_tiling: is given beside alpha"),
        ("grid", {"lambda_": []}, "grid.lambda_: got [], expected a list of values"),
        (
            "grid",
            {"lambda_": [0.5, 1.5]},
            "Sarsa(gamma=1.0, lambda_=1.5, trace='accumulating', alpha=0.1): lambda_: ",
        ),
        ("grid", {"alpha_per_tiling": ["a"]}, "alpha_per_tiling: got 'a', expected a number"),
        ("run", {"episodes": None}, "run.episodes: is missing"),
        ("grid", {"alpha_per_tiling": [10**30]}, "grid.alpha_per_tiling: got 1000"),
        ("coder", {"tiles": 0}, "coder: tiles"),
        ("run", {"seeds": 0}, "run.seeds: "),
        ("run", {"keep": "all"}, "run.keep: got 'all'"),
        ("run", {"episode": 3}, "run: unknown 'episode'; did you mean 'episodes'?"),
    ],
)
def test_what_a_spec_has_that_there_is_not(tmp_path, section, options, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        swept(changed(CAR, section, **options), tmp_path / "db")
    assert not (tmp_path / "db").exists()


@pytest.mark.parametrize(
    ("section", "options", "message"),
    [
        ("coder", {"tiles": 4, "tilings": 4}, "coder: RandomWalk has features of its own"),
        ("learner", {"gamma": 0.9}, "learner.gamma: RandomWalk has a discount of its own, 1"),
        ("run", {"steps": 9}, "run: episodes of RandomWalk have no limit of steps here"),
    ],
)
def test_what_a_prediction_task_has_not(tmp_path, section, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        swept(changed(WALK, section, **options), tmp_path / "db")


def test_one_setting_is_one_setting(tmp_path):
    """1 and 1.0; but other episodes, and another file of the environment, are other runs."""
    spec = changed(changed(CAR, "grid", trace=None), "grid", lambda_=[1], alpha_per_tiling=[0.4])
    first = swept(spec, tmp_path / "db")
    again = swept(changed(spec, "grid", lambda_=np.array([1.0])), tmp_path / "db")
    assert_array_equal(again["seconds"], first["seconds"])
    swept(changed(spec, "run", episodes=2), tmp_path / "db")
    table = ft.results(tmp_path / "db")
    assert len(table["key"]) == 6
    assert [setting.runs for setting in best.settings(table)] == [3, 3]
    with pytest.raises(ValueError, match=re.escape("grid.lambda_: has a value twice")):
        swept(changed(spec, "grid", lambda_=[1, 1.0]), tmp_path / "db")


def test_a_file_that_one_may_only_read(tmp_path, monkeypatch):
    folder = tmp_path / "there"
    folder.mkdir()
    want = swept(WALK, folder / "db")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    assert_same(ft.results(folder / "db"), want | {"key": ft.results(folder / "db")["key"]})
    (folder / "empty").touch()
    with pytest.raises(ValueError, match="has no results of fasttrace"):
        ft.results(folder / "empty")
    assert (folder / "empty").stat().st_size == 0


def test_databases_of_others(tmp_path):
    (tmp_path / "text").write_text("not a database, but long enough to be looked at" * 20, "utf-8")
    with pytest.raises(ValueError, match="file is not a database"):
        swept(WALK, tmp_path / "text")
    with sqlite3.connect(tmp_path / "other") as db:
        db.execute("CREATE TABLE people (name TEXT)")
    with pytest.raises(ValueError, match="is a database of something else"):
        swept(WALK, tmp_path / "other")
    swept(WALK, tmp_path / "newer")
    with sqlite3.connect(tmp_path / "newer") as db:
        db.execute("PRAGMA user_version=2")
    with pytest.raises(TypeError, match="db: got int"):
        ft.results(3)
    for call in (lambda: swept(WALK, tmp_path / "newer"), lambda: ft.results(tmp_path / "newer")):
        with pytest.raises(ValueError, match="is of a newer version of fasttrace"):
            call()
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        ft.results(tmp_path / "none")
    with pytest.raises(OSError, match="unable to open"):
        swept(WALK, tmp_path / "no" / "folder")


def test_a_database_that_another_holds(tmp_path, monkeypatch):
    """Results wait for it; what could not be stored at the end is told, and run the next time."""
    monkeypatch.setattr(tables, "_PATIENCE", 0.01)
    db = tmp_path / "db"
    swept(changed(WALK, "run", seeds=1), db)
    other = sqlite3.connect(db, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with (
        pytest.warns(RuntimeWarning, match="cannot be written now"),
        pytest.raises(RuntimeError, match="4 runs"),
    ):
        swept(WALK, db)
    other.execute("ROLLBACK")
    other.close()
    assert_same(swept(WALK, db), swept(WALK, tmp_path / "whole"))


def test_commands(tmp_path, capsys):
    db, figure = str(tmp_path / "db"), tmp_path / "figure.png"
    text = EXAMPLE.read_text("utf-8")
    for name, short in (("lambda_", "[0.0, 0.9]"), ("alpha_per_tiling", "[0.5, 1.0]")):
        text = re.sub(rf"(?m)^{name} = .*$", f"{name} = {short}", text)
    spec = tmp_path / "spec.toml"
    spec.write_text(text.replace("seeds = 30", "seeds = 2").replace("episodes = 50", "episodes = 5"), "utf-8")
    assert main(["sweep", str(spec), "--db", db, "--figure", str(figure), "--workers", "1"]) == 0
    assert "lambda_  alpha_per_tiling" in capsys.readouterr().out
    assert figure.stat().st_size > 10_000
    assert main(["results", db, "--best", "1"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("Sarsa in MountainCar: tiles 8, tilings 8, episodes 5")
    assert out[-1] == "  ... 3 more settings"
    assert main(["results", db, "--csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 8
    assert main(["results", str(spec)]) == 1
    assert "is not a database" in capsys.readouterr().err
    spec.write_text("[grid", "utf-8")
    assert main(["sweep", str(spec), "--db", db]) == 1
    assert "spec.toml: " in capsys.readouterr().err


def test_the_page_under_optuna(tmp_path, monkeypatch):
    """The objective of docs/sweeps.md, minimised."""
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    monkeypatch.chdir(tmp_path)
    page = (EXAMPLE.parents[1] / "docs" / "sweeps.md").read_text("utf-8")
    objective = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[-1]
    study = re.search(r"(?m)^    (study = (?:.*\n)*?.*n_trials=)30\)", page)
    names = {"optuna": optuna}
    exec(objective + study[1].replace("\n    ", "\n") + "8)", names)
    assert names["study"].best_value < 400
