"""The tasks of the plasticity command: what they are, their gradients, and that they are learned."""

import numpy as np
import pytest

from fasttrace.__main__ import main
from fasttrace.experiments.plasticity_tasks import (
    Adam,
    Completion,
    CueReward,
    Head,
    actor_critic,
    completion_loss,
    play,
    returns,
    train_completion,
    train_cue_reward,
)
from fasttrace.plasticity import MODES, PlasticRNN

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = Completion(bits=16, patterns=3, flagged=1, hidden=24, iterations=240)


def test_plasticity_completes_what_was_flagged():
    """A small one-shot completion: each kind of plasticity leaves fewer wrong bits than the one before."""
    last = {
        mode: np.median([train_completion(mode, seed, SMALL)[-40:].mean() for seed in range(3)])
        for mode in MODES
    }
    assert last["none"] > 0.3
    assert last["plastic"] < 0.6 * last["none"]
    assert last["simple"] < 0.5 * last["plastic"]
    assert last["retroactive"] < 0.7 * last["simple"]


def test_runs_are_those_of_their_seed():
    """The same curve again, and another for another seed."""
    one, again, other = (
        train_completion("simple", seed, SMALL._replace(iterations=5), "numpy") for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_completion_is_as_it_says():
    """Balanced patterns, flags after those that are gone, the first half of a flagged one at the end."""
    task = Completion()
    xs, wanted, hidden = task.draw(np.random.default_rng(0))
    assert xs.shape == (42, 16, 49)
    shown = xs[:40].reshape(10, 4, 16, 49)
    assert (np.abs(shown[:, :2, :, :48]) == 1.0).all()
    assert (shown[:, :2, :, :48].sum(-1) == 0.0).all()
    assert not shown[:, 2:, :, :48].any()
    assert not shown[:, [0, 1, 3], :, 48].any()
    flags = shown[:, 2, :, 48]
    assert (flags.sum(0) == 2.0).all()
    matches = (shown[:, 0, :, :48] == wanted).all(-1)
    assert (flags[matches] == 1.0).all()
    assert matches.any(0).all()
    assert (hidden.sum(1) == 24).all()
    np.testing.assert_array_equal(xs[-1, :, :48], np.where(hidden, 0.0, wanted))


def test_episodes_are_as_they_say():
    """Two cues, of which one pays; what was answered and won is seen after the question, nothing else."""
    task = CueReward(batch=5, hidden=8)
    rng = np.random.default_rng(0)
    net, policy = PlasticRNN(task.n_inputs, 8, mode="simple", backend="numpy"), Head(8, 2, rng)
    xs, answers, rewards = play(net, policy, task, rng)
    assert xs.shape == (60, 5, 14)
    trials = xs.reshape(12, 5, 5, 14)
    for b in range(5):
        cues = {tuple(cue) for cue in trials[:, 0, b, :10]}
        assert len(cues) <= 2
        wins = {
            (tuple(trial[0, b, :10]), int(a), float(r))
            for trial, a, r in zip(trials, answers[:, b], rewards[:, b], strict=True)
        }
        pays = {cue for cue, a, r in wins if (a == 1) == (r == 1.0)}
        fails = {cue for cue, a, r in wins if (a == 1) != (r == 1.0)}
        assert pays.isdisjoint(fails)
    assert (trials[:, 2, :, 10] == 1.0).all()
    np.testing.assert_array_equal(trials[:, 3, :, 11], rewards)
    np.testing.assert_array_equal(trials[:, 3, :, 12:].argmax(-1), answers)
    for step, inputs in ((0, slice(10, 14)), (1, slice(14)), (3, slice(11)), (4, slice(14))):
        assert not trials[:, step, :, inputs].any()


def test_returns():
    np.testing.assert_allclose(returns(np.array([[1.0], [0.0], [2.0]]), 0.5), [[1.5], [1.0], [2.0]])


def test_gradients_of_the_losses():
    """By differences: the completion loss, and the actor-critic's with its advantages held still."""
    rng = np.random.default_rng(0)
    y, wanted = rng.normal(size=(3, 6)), np.where(rng.random((3, 6)) < 0.5, 1.0, -1.0)
    hidden = rng.random((3, 6)) < 0.5
    direction = rng.normal(size=y.shape)
    up, down = (completion_loss(y + s * direction, wanted, hidden)[0] for s in (1e-5, -1e-5))
    slope = (up - down) / 2e-5
    assert np.vdot(completion_loss(y, wanted, hidden)[2], direction) == pytest.approx(slope, rel=1e-5)

    task = CueReward(batch=4)
    policy, value = Head(5, 2, rng), Head(5, 1, rng)
    for head in (policy, value):
        head.params = {name: array.astype(np.float64) for name, array in head.params.items()}
    h, answers, targets = rng.normal(size=(12, 5)), rng.integers(2, size=12), rng.normal(size=12)
    advantages = targets - value(h)[:, 0]

    def loss():
        log_pi = policy(h) - np.logaddexp(*policy(h).T)[:, None]
        entropy = -(np.exp(log_pi) * log_pi).sum()
        error = targets - value(h)[:, 0]
        chosen = log_pi[np.arange(12), answers]
        return (-chosen @ advantages + 0.25 * error @ error - task.entropy * entropy) / task.batch

    grads = actor_critic(policy, value, h, answers, targets, task)
    places = {("policy", name): array for name, array in policy.params.items()}
    places |= {("value", name): array for name, array in value.params.items()} | {("h", ""): h}
    for (part, name), array in places.items():
        direction, before = rng.normal(size=array.shape), array.copy()
        values = []
        for step in (1e-5, -1e-5):
            array[...] = before + step * direction
            values.append(loss())
        array[...] = before
        got = grads[part] if not name else grads[part][name]
        assert np.vdot(got, direction) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-4), (
            part,
            name,
        )


def test_adam():
    """The first step is alpha by the sign of the gradient; the norm of all of them can be bounded."""
    params = {"a": np.zeros(3, np.float32), "b": np.zeros((), np.float32)}
    adam = Adam(params, 0.1)
    grads = {"a": np.array([1.0, -2.0, 0.0], np.float32), "b": np.float32(5.0)}
    adam.step(grads)
    np.testing.assert_allclose(params["a"], [-0.1, 0.1, 0.0], rtol=1e-4)
    assert params["b"] == pytest.approx(-0.1, rel=1e-4)
    bounded = Adam({"a": np.zeros(2)}, 0.1, clip_norm=1.0)
    bounded.step({"a": np.array([30.0, 40.0])})
    np.testing.assert_allclose(bounded.first["a"], [0.06, 0.08])


def test_a_reward_task_runs():
    """A few iterations of the actor-critic: scores between -1 and 1, the same again."""
    task = CueReward(bits=4, trials=4, hidden=8, batch=4, iterations=3, settled=2)
    one, again = (train_cue_reward("retroactive", 0, task, "numpy") for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert (np.abs(one) <= 1.0).all()


def test_what_stays_at_chance_is_said():
    """Less than a tenth of the way from chance to the best, whichever is larger."""
    from fasttrace.experiments.plasticity import Result

    def result(chance, best, **levels):
        curves = {mode: np.full((3, 30), level) for mode, level in levels.items()}
        return Result("task", "measure", chance, curves, {}, best)

    assert result(0.0, 1.0, none=0.09, plastic=-0.3, simple=0.11).at_chance() == ["none", "plastic"]
    assert result(0.5, 0.0, none=0.46, plastic=0.54, simple=0.44).at_chance() == ["none", "plastic"]


def test_the_quick_command_shows_a_difference():
    """In what --quick runs, the reward task too: modulation of its own lifts a network over one without."""
    from fasttrace.experiments.plasticity import tasks

    _, cue = tasks(True)
    none, simple = (cue.train(mode, 0, cue.settings)[-16:].mean() for mode in ("none", "simple"))
    assert none < 0.4
    assert simple > 0.7


def test_the_command(tmp_path, capsys, monkeypatch):
    """Both tables with a row for each mode, and a picture where it says."""
    pytest.importorskip("rich")
    pytest.importorskip("matplotlib")
    from fasttrace.experiments import plasticity

    completion, cue = plasticity.tasks(True)
    small = (
        plasticity.Task(*[*vars(completion).values()][:4], completion.settings._replace(iterations=20)),
        plasticity.Task(
            *[*vars(cue).values()][:4],
            CueReward(bits=4, trials=3, hidden=8, batch=4, iterations=20, settled=1, alpha=1e-9),
            1.0,
        ),
    )
    monkeypatch.setattr(plasticity, "tasks", lambda quick: small)
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["plasticity", "--quick", "--seeds", "2", "--output", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("retroactive") >= 4
    assert "Not better than chance: " in printed
    picture = tmp_path / "new" / "plasticity.png"
    assert str(picture) in printed
    assert picture.read_bytes().startswith(PNG)


def test_the_command_without_its_packages(monkeypatch, capsys, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["plasticity", "--output", str(tmp_path)]) == 1
    assert "fasttrace[demo]" in capsys.readouterr().err
