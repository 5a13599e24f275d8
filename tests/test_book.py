"""The book's figures: points of them agree with an independent implementation's, and pictures come out."""

import numpy as np
import pytest

import fasttrace as ft
from fasttrace.__main__ import main
from fasttrace.experiments import book_runs as book
from fasttrace.experiments import spec

pytest.importorskip("joblib")

# The 19-state walk, 1000 runs, standard errors up to .003; mountain car, 100 runs: steps over 50 episodes.
WALK = [("TD", 0.4, 0.7, 0.2731), ("TD", 0.8, 0.3, 0.2620), ("TD", 0.95, 0.12, 0.3312)]
WALK += [("TrueOnlineTD", 0.8, 0.4, 0.2544), ("TrueOnlineTD", 0.95, 0.15, 0.3147)]
OFFLINE = [(0.4, 0.8, 0.2737), (0.8, 0.4, 0.2576), (0.95, 0.15, 0.3210)]
CAR = [
    ({"name": "Sarsa", "trace": "replacing", "lambda_": 0.84}, 1.2, 194.1, 0.7),
    ({"name": "TrueOnlineSarsa", "lambda_": 0.9}, 1.0, 181.7, 1.4),
    ({"name": "Sarsa", "trace": "replacing", "clear_others": True, "lambda_": 0.9}, 1.0, 209.5, 0.6),
]


def agrees(values, want, error):
    own = np.std(values, ddof=1) / np.sqrt(len(values))
    return abs(np.mean(values) - want) <= 3 * np.hypot(own, error)


@pytest.fixture
def swept(tmp_path):
    return lambda each: ft.sweep(each, tmp_path / "db", workers=1, progress=False)


@pytest.mark.parametrize(("learner", "lambda_", "alpha", "want"), WALK)
def test_random_walk(swept, learner, lambda_, alpha, want):
    walk = {"environment": {"name": "RandomWalk"}, "run": {"seeds": 60, "episodes": 10}}
    table = swept({**walk, "learner": {"name": learner, "lambda_": lambda_, "alpha": alpha}})
    assert agrees(table["rms"], want, 0.003)


@pytest.mark.parametrize(("lambda_", "alpha", "want"), OFFLINE)
def test_offline_lambda_return(lambda_, alpha, want):
    errors = book.offline_errors(60, (lambda_,), (alpha,))
    assert agrees(errors[:, 0, 0], want, 0.003)


def test_offline_lambda_return_is_that_of_the_forward_view(monkeypatch):
    """One episode, every lambda and step size at once."""
    monkeypatch.setattr(book, "WALK_EPISODES", 1)
    lambdas, alphas = (0.0, 0.7, 1.0), (0.1, 0.5)
    got = book.offline_errors(1, lambdas, alphas)[0]
    task = ft.envs.RandomWalk(19)
    s = task.stream(episodes=1, seed=book.generator_of(0))
    for i, lambda_ in enumerate(lambdas):
        for j, alpha in enumerate(alphas):
            w = ft.forward.offline_lambda_return(
                s.x, s.rewards, alpha=alpha, gammas=1.0, lambdas=lambda_, terminated=s.gammas == 0.0
            )
            assert got[i, j] == pytest.approx(np.sqrt(np.mean((w - task.true_values) ** 2)), rel=1e-12)


@pytest.mark.parametrize(("learner", "alpha", "want", "error"), CAR, ids=lambda each: str(each)[:24])
def test_mountain_car(swept, learner, alpha, want, error):
    table = book.car_table(learner, {spec.PER_TILING: [alpha]}, 40, 50, swept)
    assert agrees(table["mean_length"], want, error)


def test_the_command_draws(tmp_path, capsys, monkeypatch):
    book._offline_curves.cache_clear()
    monkeypatch.setattr(book, "WALK_ALPHAS", (0.0, 0.2, 0.4))
    monkeypatch.setattr(book, "CAR_ALPHAS", (0.5, 1.0))
    monkeypatch.setattr(book, "TRACE_ALPHAS", (0.5, 1.0))
    assert main(["figures", "--runs", "2", "--out", str(tmp_path), "--workers", "1"]) == 0
    names = [f"figure-{name}.png" for name in book.FIGURES]
    assert all((tmp_path / name).stat().st_size > 10_000 for name in names)
    assert main(["figures", "12.5", "--out", str(tmp_path)]) == 1
    assert "12.5" in capsys.readouterr().err
