"""Boyan's chain and Baird's counterexample: what they are, their streams, and who learns what on them."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from streams import BACKENDS

import fasttrace as ft
from fasttrace.__main__ import main

TASKS = [ft.envs.RandomWalk(5), ft.envs.BoyanChain(), ft.envs.Baird()]
each_task = pytest.mark.parametrize("env", TASKS, ids=repr)

# ---- who learns: name in ft, options, and how near to Boyan's true values after 50 000 steps ----

ON_BOYAN = [
    ("TD", {"alpha": 0.003, "lambda_": 0.9}, 0.3),
    ("TD", {"alpha": 0.003, "lambda_": 0.0}, 0.3),
    ("TD", {"trace": "dutch", "alpha": 0.003, "lambda_": 0.9}, 0.3),
    ("TrueOnlineTD", {"alpha": 0.003, "lambda_": 0.9}, 0.3),
    ("EmphaticTD", {"alpha": 1e-3, "lambda_": 0.9}, 0.3),
    ("TrueOnlineEmphaticTD", {"alpha": 1e-3, "lambda_": 0.9}, 0.3),
    ("GTD", {"alpha": 0.01, "beta": 0.001, "lambda_": 0.9}, 0.3),
    ("HTD", {"alpha": 0.003, "beta": 0.001, "lambda_": 0.9}, 0.3),
    ("GTD2", {"alpha": 0.03, "beta": 0.03}, 0.3),
    ("TrueOnlineGTD", {"alpha": 0.003, "beta": 0.001, "lambda_": 0.9}, 0.3),
    ("LSTD", {"lambda_": 0.9}, 0.1),
    ("LSTD", {"lambda_": 0.0, "solver": "inverse"}, 0.1),
]

# ---- who diverges on Baird's counterexample: name in ft, options; error beyond 1e5 after 5 000 steps ----

DIVERGE = [
    ("TD", {"alpha": 0.01, "lambda_": 0.0}),
    ("TD", {"alpha": 0.01, "lambda_": 0.5}),
    ("TrueOnlineTD", {"alpha": 0.01, "lambda_": 0.0}),
]

# ---- who does not: name in ft, options; error never beyond 100 in 20 000 steps ----

DO_NOT = [
    ("EmphaticTD", {"alpha": 3e-4, "lambda_": 0.0}),
    ("TrueOnlineEmphaticTD", {"alpha": 3e-4, "lambda_": 0.0}),
    ("GTD", {"alpha": 0.005, "beta": 0.05, "lambda_": 0.0}),
    ("GTD", {"alpha": 0.005, "beta": 0.05, "lambda_": 0.5}),
    ("GTD2", {"alpha": 0.005, "beta": 0.05}),
    ("TrueOnlineGTD", {"alpha": 0.005, "beta": 0.05, "lambda_": 0.5}),
]


# ---- what they are ----


def outcomes(env, s):
    """(next state, reward, gamma) of every u alike."""
    return [env.step((float(s),), 0, (u,)) for u in (np.arange(700) + 0.5) / 700]


@each_task
def test_true_values_solve_the_target_policys_equation(env):
    """v(s) is the mean over the transitions of rho (R + gamma v(S')): Bellman's equation."""
    v = env.true_values
    for s in range(len(v)):
        if isinstance(env, ft.envs.BoyanChain) and s == 0:
            continue  # the end
        targets = [
            env.rho((float(s),), next_) * (reward + (env.gamma * go * v[int(next_[0])] if go else 0.0))
            for next_, reward, go in outcomes(env, s)
        ]
        assert np.mean(targets) == pytest.approx(v[s], abs=1e-12)


@each_task
def test_importance_ratios_have_mean_one(env):
    for s in range(1, len(env.true_values)):
        assert np.mean([env.rho((float(s),), next_) for next_, _, _ in outcomes(env, s)]) == pytest.approx(1)


def test_boyans_chain():
    """13 states, values of -2 s, which the four features can tell; one way from 1, two from the others."""
    env = ft.envs.BoyanChain()
    assert env.features.shape == (13, 4)
    assert_array_equal(
        env.features[[12, 11, 8, 0]], [[1, 0, 0, 0], [0.75, 0.25, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    )
    assert_array_equal(env.features @ env.true_weights, env.true_values)
    assert_array_equal(env.true_values, -2.0 * np.arange(13))
    assert env.reset(()) == (12.0,)
    assert set(outcomes(env, 1)) == {((0.0,), -2.0, 0.0)}
    assert set(outcomes(env, 2)) == {((1.0,), -3.0, 1.0), ((0.0,), -3.0, 0.0)}
    for s in range(3, 13):
        made = outcomes(env, s)
        assert set(made) == {((s - 1.0,), -3.0, 1.0), ((s - 2.0,), -3.0, 1.0)}
        assert sum(next_ == (s - 1.0,) for next_, _, _ in made) == 350


def test_bairds_counterexample():
    """Seven states alike, ratios of 0 and 7, and eight weights for seven values (figure 11.1)."""
    env = ft.envs.Baird()
    want = np.zeros((7, 8))
    for s in range(6):
        want[s, s], want[s, 7] = 2, 1
    want[6, 6], want[6, 7] = 1, 2
    assert_array_equal(env.features, want)
    assert_array_equal(env.initial_weights, [1, 1, 1, 1, 1, 1, 10, 1])
    assert env.gamma == 0.99
    for s in range(7):
        made = outcomes(env, s)
        assert {(reward, go) for _, reward, go in made} == {(0.0, 1.0)}
        assert_array_equal(np.bincount([int(next_[0]) for next_, _, _ in made]), np.full(7, 100))
        assert [env.rho((float(s),), (float(n),)) for n in range(7)] == [0.0] * 6 + [7.0]
    assert [int(env.reset((u,))[0]) for u in (0.0, 0.15, 0.999999)] == [0, 1, 6]
    assert env.reset((np.nextafter(1.0, 0.0),)) == (6.0,)


# ---- their streams ----


@each_task
def test_streams(env):
    """Features, ratios and discounts belong to the states; a termination is followed by a first state."""
    s = env.stream(2000, seed=3)
    assert_array_equal(s.x, env.features[s.states])
    ends = s.gammas == 0.0
    possible = [set(outcomes(env, state)) for state in range(len(env.true_values))]
    assert set(s.gammas) <= {0.0, env.gamma}
    for t in range(2000):
        if not ends[t]:
            states = (float(s.states[t]),), (float(s.states[t + 1]),)
            assert s.rhos[t] == env.rho(*states)
            assert (states[1], s.rewards[t], 1.0) in possible[s.states[t]]
    if env.n_uniforms[0] == 0:
        assert ends.sum() > 50
        assert set(s.states[1:][ends]) == {int(env.reset(())[0])}
    again = env.stream(2000, np.random.default_rng(3))
    for one, other in zip(s, again, strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("backend", [each for each in BACKENDS if each.values[0] != "numba"])
@each_task
def test_a_stream_is_the_walk_of_simulate(env, backend):
    """The same seed gives the same episodes; one-hot and on-policy, the same weights, to rounding.

    Not in Numba, whose loop takes long to compile: that its walks are the same is for test_envs to say.
    """
    agents = [ft.TD(len(env.true_values), alpha=0.1, gamma=env.gamma, backend=backend) for _ in range(2)]
    s = env.stream(600, seed=4)
    history = ft.simulate(env, agents[0], steps=600, seed=4)
    agents[1].learn(s.states[:, np.newaxis], s.rewards, gammas=s.gammas)
    assert_allclose(agents[0].weights, agents[1].weights, rtol=0, atol=1e-11)
    ends = np.flatnonzero(s.gammas == 0.0)
    assert_array_equal(history.lengths, np.diff(ends, prepend=-1))
    sums = np.cumsum(s.rewards)[ends]
    assert_allclose(history.returns, np.diff(sums, prepend=0.0), atol=1e-9)


@pytest.mark.parametrize(("steps", "error"), [(-1, ValueError), (2.0, TypeError), (True, TypeError)])
def test_streams_refuse_bad_lengths(steps, error):
    with pytest.raises(error, match="steps: "):
        ft.envs.Baird().stream(steps)


def test_an_empty_stream_is_one_state():
    s = ft.envs.BoyanChain().stream(0)
    assert (s.x.shape, s.rewards.shape, s.states.tolist()) == ((1, 4), (0,), [12])


# ---- who learns what ----


@pytest.mark.parametrize(("name", "options", "tolerance"), ON_BOYAN)
def test_on_boyans_chain_all_agree_with_the_true_values(name, options, tolerance):
    """Off by less than a sixth of one step's reward in every state."""
    env = ft.envs.BoyanChain()
    s = env.stream(50_000, seed=0)
    learner = getattr(ft, name)(4, gamma=env.gamma, **options)
    learner.learn(s.x, s.rewards, gammas=s.gammas, rhos=s.rhos)
    assert np.abs(env.features @ learner.weights - env.true_values).max() < tolerance


def on_baird(learner, steps, parts=50):
    """Value errors along the way, root mean square over the states."""
    env = ft.envs.Baird()
    s = env.stream(steps, seed=0)
    learner.weights = env.initial_weights
    errors = []
    for start in range(0, steps, steps // parts):
        part = slice(start, start + steps // parts)
        x = s.x[part.start : part.stop + 1]
        learner.learn(x, s.rewards[part], gammas=s.gammas[part], rhos=s.rhos[part])
        errors.append(np.sqrt(np.mean((env.features @ learner.weights) ** 2)))
    return np.array(errors)


@pytest.mark.parametrize(("name", "options"), DIVERGE)
def test_on_bairds_counterexample_td_diverges(name, options):
    """From an error of 5, and ever faster."""
    errors = on_baird(getattr(ft, name)(8, **options), 5000)
    assert errors[-1] > 1e5
    assert (np.diff(errors[::10]) > 0).all()


@pytest.mark.parametrize(("name", "options"), DO_NOT)
def test_on_bairds_counterexample_these_do_not(name, options):
    assert on_baird(getattr(ft, name)(8, **options), 20_000).max() < 100


def test_on_bairds_counterexample_gq_does_not_diverge_and_expected_sarsa_does():
    """With a weight for each of the two actions, behaviour and target policy as they are there."""
    env, T = ft.envs.Baird(), 20_000
    s = env.stream(T, seed=0)
    actions = np.append((s.rhos > 0).astype(np.int32), 1)  # solid where the target policy goes
    numbers = {"gammas": s.gammas, "rhos": s.rhos, "target_policy": np.tile([0.0, 1.0], (T + 1, 1))}
    errors = []
    for agent in (
        ft.GQ(8, 2, alpha=0.01, beta=0.05, lambda_=0.0),
        ft.ExpectedSarsa(8, 2, alpha=0.01, lambda_=0.0),
    ):
        agent.weights = np.stack([env.initial_weights] * 2, axis=1)
        agent.learn(s.x, actions, s.rewards, **numbers)
        errors.append(np.sqrt(np.mean((env.features @ agent.weights[:, 1]) ** 2)))
    assert errors[0] < 5 < 1e4 < errors[1]


def test_emphatic_td_converges_with_the_emphasis_that_it_expects():
    """Figure 11.6: without the variance of the followon the error goes to 0."""
    from fasttrace.experiments import baird

    entry = next(each for each in baird.LEARNERS if each.expected)
    at, errors = baird.errors(entry, 5000, seed=1)
    assert (at[0], at[-1]) == (0, 5000)
    assert errors[0] > 5
    assert errors[-1] < 1e-3


def test_the_expected_followon_is_its_mean():
    """It solves its equation: all that the target policy does leads to state 6."""
    from fasttrace.experiments import baird

    f = baird.followon(ft.envs.Baird())
    assert_allclose(f, np.append(np.ones(6), 1 + 0.99 * f.sum()))


# ---- the picture ----


def test_the_picture(tmp_path, capsys):
    """A table of every learner, and a picture where it says."""
    pytest.importorskip("rich")
    pytest.importorskip("matplotlib")
    from fasttrace.experiments import baird

    assert main(["baird", "--steps", "120", "--output", str(tmp_path / "new")]) == 0
    printed = capsys.readouterr().out
    for entry in baird.LEARNERS:
        assert entry.label in printed
    assert (tmp_path / "new" / "baird.png").read_bytes().startswith(b"\x89PNG")
    assert "baird.png" in printed


def test_the_picture_names_the_extra(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["baird", "--output", str(tmp_path / "out")]) == 1
    assert 'pip install "fasttrace[demo]"' in capsys.readouterr().err


def test_the_picture_needs_a_folder(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["baird", "--output", str(tmp_path / "file")]) == 1
    assert "File exists" in capsys.readouterr().err


@pytest.mark.parametrize("backend", BACKENDS)
def test_least_squares_in_a_simulation(backend):
    """The loop feeds LSTD the walk that it feeds TD: the same sums as from that stream."""
    env, walk = ft.envs.RandomWalk(5), []

    def step(state, action, u):
        walk.append((state, env.step(state, action, u)))
        return walk[-1][1]

    spy = ft.envs.custom(env.reset, step, n_actions=0, n_state=1, n_uniforms=env.n_uniforms)
    simulated, streamed = ft.LSTD(5, backend="numpy"), ft.LSTD(5, backend="numpy")
    assert ft.simulate(spy, simulated, steps=50, seed=0).steps == 50
    for (state,), ((after,), reward, gamma) in walk:
        streamed.update([int(state)], reward, [int(after)] if gamma else None, gamma=gamma * streamed.gamma)
    assert_array_equal(simulated.A, streamed.A)
    assert_array_equal(simulated.b, streamed.b)
    other = ft.LSTD(5, backend=backend)
    ft.simulate(env, other, steps=50, seed=0)
    assert_allclose(other.weights, simulated.weights, rtol=1e-9)
