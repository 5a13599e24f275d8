"""Populations on a GPU, and without one: equal to those of the other backends."""

import copy
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from cuda_twin import Memory, host, place  # noqa: F401 - fixtures

import fasttrace as ft
from fasttrace import envs
from fasttrace.__main__ import main
from fasttrace.backends.cuda import learn, simulate
from fasttrace.experiments import book_figures, book_runs, sweep

ROOT = Path(__file__).resolve().parents[1]


def both(cls, *sizes, **options):
    """Equal populations of five, there and here."""
    return [ft.Population(cls, *sizes, 5, backend=name, **options) for name in ("cuda", "auto")]


def same(one, other):
    np.testing.assert_array_equal(one.weights, other.weights)
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine.trace, theirs.trace)
        assert repr(mine) == repr(theirs)


def walk(agents, env, coder, **more):
    history = ft.simulate(env, agents, coder, seed=3, **more)
    return history.returns, history.lengths, history.steps


@pytest.mark.parametrize(
    ("env", "cls", "options"),
    [
        (envs.RandomWalk(7), ft.TD, {"lambda_": np.linspace(0, 1, 5), "dtype": np.float32}),
        (envs.MountainCar(), ft.TrueOnlineSarsa, {"epsilon": np.linspace(0, 0.4, 5)}),
    ],
    ids=["random walk", "mountain car"],
)
def test_simulations_are_the_same_to_the_bit(env, cls, options, place):  # noqa: F811
    """Whatever ends them, and where they go on."""
    if place == "gpu" and isinstance(env, envs.MountainCar):
        pytest.skip("its cosine is the device's own")
    coder = None if env.n_features else ft.TileCoder(env.low, env.high, 8, 8)
    sizes = [coder.n_features if coder else env.n_features, *([env.n_actions] if env.n_actions else [])]
    there, here = both(cls, *sizes, alpha=0.1, **options)
    assert there.backend == "cuda"
    assert there[0].backend == here[0].backend
    for more in ({"steps": 700}, {"episodes": 3, "max_episode_steps": 150}):
        for got, want in zip(walk(there, env, coder, **more), walk(here, env, coder, **more), strict=True):
            np.testing.assert_array_equal(got, want)
        same(there, here)


def test_what_was_learned_stays_there(host):  # noqa: F811
    """Between two calls, until somebody looks; who looks on the way sees what there is."""
    there, here = both(ft.TD, 7, alpha=0.1)
    seen = []
    for agents in (there, here):
        walk(agents, envs.RandomWalk(7), None, steps=60)
        before = Memory.copied
        walk(agents, envs.RandomWalk(7), None, steps=60)
        agents.learn(*streams(np.random.default_rng(0), 0, 7)[0])
        if agents is there:
            assert Memory.copied - before < 2 * there.one._trace.ring.nbytes  # there are five
        walk(
            agents,
            envs.RandomWalk(7),
            None,
            steps=60,
            progress=lambda *_, its=agents: seen.append(its.weights),
        )
        agents.weights = agents.weights + 1.0
        walk(agents, envs.RandomWalk(7), None, steps=60)
    np.testing.assert_array_equal(*seen)
    same(there, here)


def test_who_diverges_is_found_there(host):  # noqa: F811
    found = []
    for agents in both(ft.TD, 7, alpha=np.linspace(0.1, 3.0, 5), lambda_=1.0):
        with pytest.warns(RuntimeWarning, match="have diverged"):
            found.append(ft.simulate(envs.RandomWalk(7), agents, steps=70_000, seed=1))
    assert 0 < found[0].diverged.sum() < 5
    for name in ("diverged", "steps", "returns"):
        np.testing.assert_array_equal(*(getattr(each, name) for each in found))


def test_what_a_gpu_does_not_give_back_is_lost(host, monkeypatch):  # noqa: F811
    agents = ft.Population(ft.TD, 7, 5, alpha=0.1, backend="cuda")
    walk(agents, envs.RandomWalk(7), None, steps=60)
    learned = agents.weights
    walk(agents, envs.RandomWalk(7), None, steps=60)
    with monkeypatch.context() as patched:

        def gone(self, name, array):
            raise RuntimeError("cuMemcpyDtoH of the CUDA driver: CUDA_ERROR_LAUNCH_FAILED")

        patched.setattr(Memory, "get", gone)
        with pytest.raises(RuntimeError, match=r"learned on the GPU is lost: cuMemcpyDtoH .*LAUNCH_FAILED"):
            agents.weights  # noqa: B018
    np.testing.assert_array_equal(agents.weights, learned)


@pytest.mark.cuda
def test_a_car_learns_as_fast_as_here():
    """Mean lengths of its episodes within three standard errors."""
    if (reason := ft.backends()["cuda"]) is not None:
        pytest.skip(reason)
    env = envs.MountainCar()
    coder = ft.TileCoder(env.low, env.high, 8, 8)
    means = []
    for backend in ("cuda", "auto"):
        agents = ft.Population(
            ft.TrueOnlineSarsa, coder.n_features, 3, 200, alpha=0.1, gamma=1.0, epsilon=0.0, backend=backend
        )
        means.append(ft.simulate(env, agents, coder, episodes=30, seed=5).lengths.mean(axis=1))
    errors = [mean.std(ddof=1) / np.sqrt(len(mean)) for mean in means]
    assert abs(means[0].mean() - means[1].mean()) < 3.0 * np.hypot(*errors)


def streams(rng, n_actions, n=30):
    """x, actions or nothing, rewards of five agents; some padding, some ends."""
    x, rewards = rng.integers(-1, n, (5, 61, 3)), rng.standard_normal((5, 60))
    actions = [rng.integers(0, n_actions, (5, 61))] if n_actions else []
    return (x, *actions, rewards), {"gammas": np.where(rng.random((5, 60)) < 0.1, 0.0, 0.9)}


@pytest.mark.parametrize(("cls", "dtype"), [(ft.TrueOnlineTD, np.float64), (ft.TreeBackup, np.float32)])
def test_streams_are_learned_to_the_bit(cls, dtype, place):  # noqa: F811
    """With ratios or a target policy, in two calls."""
    rng = np.random.default_rng(4)
    n_actions = 3 if cls is ft.TreeBackup else 0
    there, here = both(
        cls, 30, *([n_actions] if n_actions else []), alpha=np.linspace(0.01, 0.05, 5), dtype=dtype
    )
    for _ in range(2):
        given, series = streams(rng, n_actions)
        if n_actions:
            pi = rng.random((5, 61, n_actions))
            series["target_policy"] = pi / pi.sum(-1, keepdims=True)
        else:
            series["rhos"] = 2.0 * rng.random((5, 60))
        np.testing.assert_array_equal(there.learn(*given, **series), here.learn(*given, **series))
        same(there, here)


def test_a_population_comes_and_goes(place):  # noqa: F811
    """Copies stay on the GPU, checkpoints do not, and agents never were."""
    agents = ft.Population(ft.TD, 10, 5, alpha=0.1, backend="cuda")
    assert copy.deepcopy(agents).backend == "cuda"
    assert agents.state_dict()["backend"] == agents[0].backend != "cuda"
    agents.load_state_dict(agents.state_dict())
    assert agents.backend == "cuda"
    agents[1] = ft.TD(10, alpha=0.1)
    assert agents.to("auto").backend == agents[0].backend
    assert agents.to("cuda").learn(np.zeros((5, 1, 2), int), np.zeros((5, 0))).shape == (5, 0)


def test_what_it_does_not_serve_is_refused(place):  # noqa: F811
    own = envs.custom(
        lambda u: (u[0],), lambda s, a, u: ((u[0],), 1.0, 0.0), n_actions=2, n_state=1, n_uniforms=1
    )
    agents = ft.Population(ft.Sarsa, 18, 2, 5, alpha=0.1, backend="cuda")
    with pytest.raises(
        ValueError, match=r"backend='cuda': got custom\(.*an environment that fasttrace.envs has"
    ):
        ft.simulate(own, agents, ft.TileCoder([0.0], [1.0], 8, 2), steps=1)
    with pytest.raises(
        ValueError, match=r"backend='cuda': got GTD, .* expected a learner of one weight vector"
    ):
        ft.Population(ft.GTD, 10, 5, alpha=0.1, beta=0.1, backend="cuda")


def figure(name, folder, backend):
    """A figure of the book, small."""
    out = folder / backend
    command = ["figures", name, "--runs", "2", "--out", str(out), "--workers", "1", "--backend", backend]
    assert main(command) == 0
    return ft.results(out / "figures.sqlite")


def test_a_figure_of_the_book_is_one_population(host, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr(book_runs, "CAR_LAMBDAS", (0.0, 0.9))
    monkeypatch.setattr(book_runs, "CAR_ALPHAS", (0.5, 1.0))
    monkeypatch.setattr(book_runs, "CAR_EPISODES", 3)
    monkeypatch.setattr(book_figures, "draw", lambda *_: None)
    sizes, run = [], sweep.run_block
    monkeypatch.setattr(sweep, "run_block", lambda *given: sizes.append(len(given[1])) or run(*given))
    there = figure("12.10", tmp_path, "cuda")
    assert sizes == [8]
    here = figure("12.10", tmp_path, "auto")
    for name in there.keys() - {"seconds"}:
        np.testing.assert_array_equal(there[name], here[name])


def test_what_a_gpu_cannot_sweep_is_told_before_anything_runs(host, tmp_path):  # noqa: F811
    about = {"environment": {"name": "RandomWalk", "n": 5}, "run": {"episodes": 1}}
    given = {**about, "learner": {"name": "GTD", "alpha": 0.1, "beta": 0.1}}
    db = tmp_path / "results.sqlite"
    with pytest.raises(ValueError, match=r"backend='cuda': got GTD, .* expected a learner of one weight"):
        ft.sweep(given, db, backend="cuda", progress=False)
    given = {**about, "learner": {"name": "TD", "alpha": 0.1}}
    with pytest.raises(ValueError, match=r"backend: got 'cuda' with .* workers=3; a GPU is one worker"):
        ft.sweep(given, db, backend="cuda", workers=3, progress=False)
    assert not db.exists()
    tables = [ft.sweep(given, f"{db}{name}", backend=name, progress=False) for name in ("cuda", "auto")]
    np.testing.assert_array_equal(*(table["rms"] for table in tables))


def test_figures_of_a_gpu_are_of_what_is_right(host, monkeypatch):  # noqa: F811
    """But for those of returns, which PyTorch's clocks take."""
    monkeypatch.syspath_prepend(str(ROOT))
    cuda = import_module("bench.cuda")
    names = {"SHAPES": ((2, 3),), "POPULATIONS": (3,), "HORDES": (9,), "FEATURES": 70, "STEPS": 40}
    for name, value in names.items():
        monkeypatch.setattr(cuda, name, value)
    monkeypatch.setattr(cuda, "returns", lambda *_: (False, 1.0, 2.0))
    monkeypatch.setattr(cuda.device, "arch", lambda _: "sm_90")
    lines = "".join(cuda.report(None, "a card", 1, 6)).splitlines()
    assert lines[0].endswith("on a card (sm_90)")
    cells = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in lines if line.startswith("| ")}
    assert not cells["(2, 3)"][0].strip()
    assert float(cells["9"][0]) > 0.0
    assert cells["3"][0].strip() == "float32"
    assert float(cells["3"][-1]) >= 0.0


def test_without_a_gpu_commands_say_why(tmp_path, capsys):
    if ft.backends()["cuda"] is None:
        pytest.skip("a GPU is there")
    for command in (
        ["figures", "12.6", "--out", str(tmp_path)],
        ["sweep", str(ROOT / "examples" / "mountain_car.toml"), "--db", str(tmp_path / "db")],
    ):
        assert main([*command, "--backend", "cuda"]) == 1
        assert "backend 'cuda' is not available: " in capsys.readouterr().err


def test_without_a_gpu_a_population_says_why():
    if ft.backends()["cuda"] is None:
        pytest.skip("a GPU is there")
    with pytest.raises(ft.BackendUnavailable, match="backend 'cuda' is not available"):
        ft.Population(ft.TD, 10, 5, alpha=0.1, backend="cuda")


def test_structs_are_those_of_the_header():
    """Field by field, as cffi has read them."""
    lib = pytest.importorskip("fasttrace.backends.c", exc_type=ImportError)
    ffi = lib.ffi
    offsets = {name: field.offset for name, field in ffi.typeof("ft_stream").fields if name != "options"}
    assert {name: learn.STREAM.fields[name][1] for name in offsets} == offsets
    assert learn.STREAM.itemsize == ffi.sizeof("ft_stream")
    made = simulate.AGENT
    renamed = {"state": "at_state", "u": "at_u", "q": "at_q", "idx": "at_idx"}
    for name, field in ffi.typeof("ft_simulation").fields:
        if name != "options":
            assert made.fields[renamed.get(name, name)][1] == field.offset
    assert made.fields["counter"][1] == ffi.sizeof("ft_simulation")
    assert made.fields["state"][1] - made.fields["counter"][1] == ffi.sizeof("ft_philox")
