"""The figures of the book come out: means of many runs, computed independently, met by fewer of our own.

In the backend that "auto" takes; that the others take the same walks is for test_simulate to say.
"""

import numpy as np
import pytest

import fasttrace as ft

SIGMAS = 4  # of the difference of the two means; the seeds are fixed, so this passes or fails for good


@pytest.mark.parametrize(
    ("learner", "options", "lambda_", "alpha", "figure"),
    [
        ("TD", {"trace": "accumulating"}, 0.0, 0.8, 0.3453),
        ("TD", {"trace": "accumulating"}, 0.4, 0.7, 0.2731),
        ("TD", {"trace": "accumulating"}, 0.8, 0.3, 0.2620),
        ("TD", {"trace": "accumulating"}, 0.95, 0.12, 0.3312),
        ("TD", {"trace": "replacing"}, 0.4, 0.7, 0.2737),
        ("TD", {"trace": "replacing"}, 0.8, 0.5, 0.2490),
        ("TD", {"trace": "replacing"}, 1.0, 0.25, 0.3691),
        ("TrueOnlineTD", {}, 0.0, 0.8, 0.3453),
        ("TrueOnlineTD", {}, 0.8, 0.4, 0.2544),
        ("TrueOnlineTD", {}, 0.95, 0.15, 0.3147),
        ("TrueOnlineTD", {}, 1.0, 0.02, 0.4875),
    ],
)
def test_random_walk(learner, options, lambda_, alpha, figure):
    """RMS error over the 19 states of example 7.1, mean over the first ten episodes (figures 12.3 to 12.8).

    The figures are means of 1000 runs: with n of ours, the difference has a standard error of
    sd (1 / n + 1 / 1000)^(1/2).
    """
    runs = 100
    env = ft.envs.RandomWalk(19)
    values = np.linspace(-0.9, 0.9, 19)
    rms = np.zeros((runs, 10))
    for run in range(runs):
        agent = getattr(ft, learner)(19, alpha=alpha, gamma=1.0, lambda_=lambda_, **options)
        generator = np.random.default_rng(run)
        for episode in range(10):
            ft.simulate(env, agent, episodes=1, seed=generator)
            rms[run, episode] = np.sqrt(np.mean((agent.weights - values) ** 2))
    errors = rms.mean(1)
    assert abs(errors.mean() - figure) < SIGMAS * errors.std(ddof=1) * np.sqrt(1 / runs + 1 / 1000)


@pytest.mark.parametrize(
    ("learner", "options", "lambda_", "alpha", "figure", "standard_error"),
    [
        ("Sarsa", {"trace": "replacing"}, 0.0, 1.2, 230.4, 0.5),
        ("Sarsa", {"trace": "replacing"}, 0.84, 1.2, 194.1, 0.7),
        ("Sarsa", {"trace": "replacing"}, 0.92, 1.2, 184.2, 1.3),
        ("Sarsa", {"trace": "replacing"}, 0.96, 1.2, 177.4, 1.7),
        ("Sarsa", {"trace": "replacing"}, 0.9, 1.0, 186.0, 1.1),
        ("Sarsa", {"trace": "replacing", "clear_others": True}, 0.9, 1.0, 209.5, 0.6),
        ("Sarsa", {"trace": "dutch"}, 0.9, 1.0, 181.5, 1.0),
        ("TrueOnlineSarsa", {}, 0.9, 1.0, 181.7, 1.4),
    ],
)
def test_mountain_car(learner, options, lambda_, alpha, figure, standard_error):
    """Steps an episode of mountain car, mean over the first 50 (figures 12.10, 12.11): 8 tilings of 8 x 8.

    The tiles cover the book's positions, up to the goal at 0.5; Gymnasium's go on to 0.6, and with those the
    first row is 226 steps.  Accumulating traces are left out: at the step size of their figure 3 of 200 runs
    did not end within 20 000 steps an episode, and such runs make the mean.
    """
    runs = 100
    env = ft.envs.MountainCar()
    coder = ft.TileCoder(env.low, [0.5, env.high[1]], 8, 8)
    steps = np.zeros(runs)
    for run in range(runs):
        agent = getattr(ft, learner)(
            coder.n_features,
            env.n_actions,
            alpha=alpha / 8,
            gamma=1.0,
            lambda_=lambda_,
            epsilon=0.0,
            **options,
        )
        steps[run] = ft.simulate(env, agent, coder, episodes=50, seed=run).lengths.mean()
    error = np.hypot(steps.std(ddof=1) / np.sqrt(runs), standard_error)
    assert abs(steps.mean() - figure) < SIGMAS * error
