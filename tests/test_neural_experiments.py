"""The commands whose learners are networks: what is learned from, that it is learned, what they save."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fasttrace import neural
from fasttrace.__main__ import main

pytest.importorskip("rich")
pytest.importorskip("matplotlib")
pytest.importorskip("gymnasium")

from fasttrace.experiments import staleness, staleness_tasks, stream
from fasttrace.experiments.staleness_figures import running_median
from fasttrace.experiments.stream_figures import running_mean

PNG = b"\x89PNG\r\n\x1a\n"


# ---- tasks ----


def test_values_of_the_ring():
    """By iteration from the rule of the walk: half the time to either side, 1 for arriving in state 0."""
    v = np.zeros(20)
    for _ in range(2000):
        v = np.array(
            [sum(0.5 * ((s == 0) + 0.95 * v[s]) for s in ((i - 1) % 20, (i + 1) % 20)) for i in range(20)]
        )
    task = staleness_tasks.ring(0, 10)
    assert_allclose(task.values, v, rtol=1e-12)


def test_the_ring_s_stream():
    """Neighbour after neighbour; the reward comes with state 0."""
    task = staleness_tasks.ring(3, 500)
    s = np.array([np.flatnonzero((task.known == row).all(1))[0] for row in task.states])
    assert set((np.diff(s) + 20) % 20) == {1, 19}
    assert_allclose(task.rewards, s[1:] == 0)


def test_returns_of_the_mountain_car():
    """Each known value is 1 - gamma^n below 0, n steps before the goal; none of an episode without end."""
    task = staleness_tasks.mountain_car(0, 50, checked=600)
    n = np.log1p(task.values) / np.log(0.98)
    assert_allclose(n, np.round(n), atol=1e-6)
    assert round(n[-1]) == 1
    left = np.round(n).astype(int)
    assert set((left[:-1] - left[1:])[left[:-1] > 1]) == {1}
    assert len(task.values) > 100


@pytest.mark.parametrize("entry", staleness_tasks.ENTRIES, ids=lambda entry: entry.label)
def test_each_learner_learns_the_ring(entry):
    """At a middling setting the error falls to a third of what it was."""
    setting = {"alpha": 3e-3, "kappa": 2.0}[entry.tried]
    errors = staleness_tasks.learn(entry, setting, staleness_tasks.ring(0, 20_000), 0, "auto", 0.9)
    assert errors[0] > 1.0
    assert errors[-5:].mean() < errors[0] / 3


def test_diverging_is_no_error():
    """The curve ends in inf."""
    errors = staleness_tasks.learn(
        staleness_tasks.ENTRIES[1], 1e6, staleness_tasks.ring(0, 500), 0, "auto", 0.9
    )
    assert np.isinf(errors[-1])
    assert np.isfinite(errors[0])


def test_small_steps_leave_the_trace_fresh():
    """Ten times the step, about ten times the distance: it is of first order in the step."""
    task = staleness_tasks.ring(0, 400)
    distances = [staleness_tasks.staleness(a, 0.9, task, 0, "auto", 4)[0].mean() for a in (1e-3, 1e-2)]
    assert 5.0 < distances[1] / distances[0] < 20.0, distances


# ---- commands ----


def test_staleness_command(tmp_path, capsys):
    """Both tables of each task, with every learner, and both pictures where it says."""
    assert main(["staleness", "--quick", "--seeds", "1", "--output", str(tmp_path / "new")]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for task in staleness_tasks.TASKS:
        assert f"{task}: error, median over 1 seeds" in printed
    for entry in staleness_tasks.ENTRIES:
        assert entry.label.split(",")[0].split()[0] in printed
    for name in ("staleness.png", "staleness-learning.png"):
        assert (tmp_path / "new" / name).read_bytes().startswith(PNG)


@pytest.mark.parametrize("learner", ["q", "sarsa", "ac", "qrc"])
def test_stream_command(learner, tmp_path, capsys):
    """A row a seed; the same seed is the same run."""
    options = [
        "--learner",
        learner,
        "--seeds",
        "2",
        "--steps",
        "300",
        "--hidden",
        "8",
        "--output",
        str(tmp_path),
    ]
    assert main(["stream", *options]) == 0
    printed = capsys.readouterr().out
    assert f"{stream.LEARNERS[learner]} on CartPole-v1, 300 steps" in printed
    assert "of 2" in printed
    assert (tmp_path / "stream.png").read_bytes().startswith(PNG)
    runs = [stream.train(stream.Settings("CartPole-v1", learner, 300, (8,)), 1) for _ in range(2)]
    assert_allclose(runs[0].returns, runs[1].returns, rtol=0)
    assert list(runs[0].ends) == list(np.cumsum(runs[0].returns))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--env", "Nothing-v0"], "Nothing"),
        (["--env", "no_such_module:Nothing-v0"], "No module named 'no_such_module'"),
        (["--env", "Pendulum-v1", "--learner", "q"], "real-valued ones with --learner ac"),
        (["--env", "FrozenLake-v1"], "expected a vector"),
        (["--backend", "numpy", "--output", "/dev/null/folder"], "folder"),
    ],
)
def test_stream_command_refuses(options, said, capsys):
    """Before anything is trained: status 1 and the reason."""
    assert main(["stream", "--steps", "10", *options]) == 1
    assert said in capsys.readouterr().err


def test_stream_command_with_real_valued_actions(tmp_path, capsys, monkeypatch):
    """StreamAC is what takes them, with no word; what the environment gets is within its bounds."""
    import gymnasium

    made, given = gymnasium.make, []

    def watched(name):
        env = made(name)
        step = env.step
        monkeypatch.setattr(env, "step", lambda action: given.append(action) or step(action), raising=False)
        return env

    monkeypatch.setattr(gymnasium, "make", watched)
    options = ["--seeds", "1", "--steps", "250", "--hidden", "8", "--output", str(tmp_path)]
    assert main(["stream", "--env", "Pendulum-v1", *options]) == 0
    printed = capsys.readouterr().out
    assert "StreamAC on Pendulum-v1, 250 steps" in printed
    assert len(given) == 250
    assert {(each.shape, each.dtype) for each in given} == {((1,), np.dtype(np.float32))}
    assert np.abs(given).max() == 2.0


def test_a_stream_in_which_no_episode_ends(tmp_path, capsys, monkeypatch):
    """The table has no mean, and the picture says so."""
    from matplotlib.figure import Figure

    said = []
    monkeypatch.setattr(
        Figure,
        "savefig",
        lambda figure, *_, **__: said.extend(text.get_text() for text in figure.axes[0].texts),
    )
    options = ["--seeds", "1", "--steps", "3", "--hidden", "4", "--output", str(tmp_path)]
    assert main(["stream", *options]) == 0
    assert "nan" not in capsys.readouterr().out
    assert "no episode ended" in said


@pytest.mark.parametrize("command", ["stream", "staleness"])
@pytest.mark.parametrize("missing", ["gymnasium", "matplotlib", "rich"])
def test_names_the_extra(command, missing, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    assert main([command, "--output", str(tmp_path / "out")]) == 1
    assert 'pip install "fasttrace[demo,gym]"' in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_when_a_goal_was_reached():
    """The first step after which the mean of the last 50 returns is above it; None before."""
    returns = np.append(np.zeros(60), np.full(50, 10.0))
    run = stream.Run(0, returns, np.arange(1, 111) * 7, 1.0)
    assert run.reached(4.9) == 7 * (60 + 25)
    assert run.reached(10.0) is None
    assert run.last() == 10.0
    assert np.isnan(stream.Run(0, returns[:0], returns[:0].astype(int), 1.0).last())


def test_truncation_bootstraps(monkeypatch):
    """An episode that the time limit cuts goes to truncate, one that is over to end."""
    calls = []
    for name in ("end", "truncate"):
        original = getattr(neural.StreamQ, name)

        def note(agent, *given, name=name, original=original):
            calls.append(name)
            original(agent, *given)

        monkeypatch.setattr(neural.StreamQ, name, note)
    stream.train(stream.Settings("MountainCar-v0", "q", 450, (8,)), 0)
    assert calls == ["truncate", "truncate"]
    calls.clear()
    stream.train(stream.Settings("CartPole-v1", "q", 100, (8,)), 0)
    assert calls
    assert set(calls) == {"end"}


def test_running_mean_and_median():
    assert_allclose(running_mean(np.arange(5.0), 2), [0.0, 0.5, 1.5, 2.5, 3.5])
    assert_allclose(running_median(np.array([5.0, 1.0, 3.0, 9.0]), 3), [3.0, 3.0, 3.0, 6.0])


def test_settings_tried_in_a_hurry():
    """--quick tries fewer of the same."""
    entry = staleness_tasks.ENTRIES[0]
    assert set(staleness.Settings(quick=True).among(entry)) < set(staleness.Settings().among(entry))
