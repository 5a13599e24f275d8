"""Boyan's chain and Baird's counterexample: what they are, their streams, and who learns what on them."""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from streams import BACKENDS

import fasttrace as ft
from fasttrace import registry
from fasttrace.__main__ import main
from fasttrace.layout import KINDS

TASKS = [ft.envs.RandomWalk(5), ft.envs.BoyanChain(), ft.envs.Baird(), ft.envs.Collision()]
each_task = pytest.mark.parametrize("env", TASKS, ids=repr)

SOLID = 1  # the action of Baird's target policy

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
    ("GTD2", {"alpha": 0.01, "beta": 0.03, "lambda_": 0.9}, 0.3),
    ("TDRC", {"alpha": 0.01, "lambda_": 0.9}, 0.3),
    ("ProximalGTD2", {"alpha": 0.01, "beta": 0.03, "lambda_": 0.9}, 0.3),
    ("TrueOnlineGTD", {"alpha": 0.003, "beta": 0.001, "lambda_": 0.9}, 0.3),
    ("GQ", {"alpha": 0.01, "beta": 0.001, "lambda_": 0.9}, 0.3),
    ("SwiftTD", {"alpha": 0.003, "lambda_": 0.9}, 0.3),
    ("TIDBD", {"alpha": 0.003, "lambda_": 0.9}, 0.3),
    ("Autostep", {"alpha": 0.003, "lambda_": 0.9}, 0.3),
    ("LSTD", {"lambda_": 0.9}, 0.1),
    ("LSTD", {"lambda_": 0.0, "solver": "inverse"}, 0.1),
]

# ---- who diverges on Baird's counterexample: name in ft, options ----

DIVERGE = [
    ("TD", {"alpha": 0.01, "lambda_": 0.0}),
    ("TD", {"alpha": 0.01, "lambda_": 0.5}),
    ("TrueOnlineTD", {"alpha": 0.01, "lambda_": 0.0}),
    ("ExpectedSarsa", {"alpha": 0.05, "lambda_": 0.0}),
    ("HTD", {"alpha": 0.01, "beta": 0.02, "lambda_": 0.0}),
]

# ---- whose Bellman error shrinks there: name in ft, options ----

SHRINK = [
    ("GTD", {"alpha": 0.005, "beta": 0.05, "lambda_": 0.0}),
    ("GTD", {"alpha": 5e-4, "beta": 5e-3, "lambda_": 0.2}),
    ("TrueOnlineGTD", {"alpha": 0.005, "beta": 0.05, "lambda_": 0.0}),
    ("TrueOnlineGTD", {"alpha": 5e-4, "beta": 5e-3, "lambda_": 0.2}),
    ("GTD2", {"alpha": 0.005, "beta": 0.05}),
    ("GTD2", {"alpha": 0.005, "beta": 0.05, "lambda_": 0.0}),
    ("ProximalGTD2", {"alpha": 0.005, "beta": 0.05, "lambda_": 0.0}),
    ("GQ", {"alpha": 0.01, "beta": 0.05, "lambda_": 0.0}),
    ("GQ", {"alpha": 0.01, "beta": 0.05, "lambda_": 0.1}),
]

# ---- whose mean update is stable there: name in ft, options, and whether it is ----

IN_THE_MEAN = [
    ("TD", {}, False),
    ("TrueOnlineTD", {}, False),
    ("ExpectedSarsa", {}, False),
    ("GTD", {"beta": 0.1}, False),
    ("GTD", {"beta": 0.2}, True),
    ("TrueOnlineGTD", {"beta": 0.1}, False),
    ("TrueOnlineGTD", {"beta": 0.2}, True),
    ("GQ", {"beta": 0.03}, False),
    ("GQ", {"beta": 0.1}, True),
    ("GTD2", {"beta": 0.01}, True),
    ("GTD2", {"beta": 0.01, "lambda_": 0.0}, True),
    ("TDRC", {"beta": 0.9}, True),
    ("TDRC", {"beta": 30.0, "eta": 0.03}, False),
    ("HTD", {"beta": 8.0}, False),
    ("HTD", {"beta": 9.0}, True),
    ("EmphaticTD", {}, True),
    ("TrueOnlineEmphaticTD", {}, True),
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


def test_collision():
    """Two ways from state 4 on, of which the target policy takes one; its values; three features of six."""
    env = ft.envs.Collision()
    assert_allclose(env.true_values, 0.9 ** np.arange(7, -1, -1))
    for s in range(8):
        end = (8.0, 1.0, 0.0) if s == 7 else (s + 1.0, 0.0, 1.0)
        ways = {((float(end[0]),), *end[1:]): 1.0 if s < 4 else 2.0} | (
            {((float(s),), 0.0, 0.0): 0.0} if s > 3 else {}
        )
        made = outcomes(env, s)
        assert {way: made.count(way) for way in made} == {way: 700 // len(ways) for way in ways}
        for way, ratio in ways.items():
            assert env.rho((float(s),), way[0]) == ratio
            assert env.pi((float(s),), way[0]) == (ratio > 0)
    assert [int(env.reset((u,))[0]) for u in (0.0, 0.25, 0.5, 0.75, np.nextafter(1.0, 0.0))] == [
        0,
        1,
        2,
        3,
        3,
    ]
    assert_array_equal(env.features.sum(1), np.full(8, 3))
    assert_array_equal(env.features, ft.envs.Collision(0).features)
    assert (env.features != ft.envs.Collision(seed=1).features).any()
    assert repr(ft.envs.Collision(seed=1)) == "Collision(seed=1)"
    with pytest.raises(ValueError, match="seed: got -1"):
        ft.envs.Collision(seed=-1)
    states = env.stream(40_000, seed=1).states
    assert_allclose(np.bincount(states, minlength=8) / len(states), env.distribution, atol=0.01)


def test_four_rooms():
    """Two target policies a room, each by the shortest ways to one of its hallways; values by Bellman."""
    env = ft.envs.FourRooms()
    assert_array_equal(env.active.sum(1), [26, 26, 26, 26, 31, 31, 21, 21])
    assert_array_equal(env.features.sum(1), np.full(121, 3))
    assert_array_equal(env.features.sum(0), [100, 10, 10, 1, 49, 28, 28, 16, 16, 28, 28, 49])
    for policy, values, active in zip(env.policies, env.true_values, env.active, strict=True):
        assert_array_equal(policy.sum(1), active)
        goals = set()
        for s in np.flatnonzero(active):
            target = 0.0
            for move in range(4):
                (near,), reward, _ = env.step((float(s),), 0, (0.25 * move + 0.1,))
                if policy[s, move] and not active[int(near)]:
                    goals.add(int(near))
                    assert reward == 1.0
                target += policy[s, move] * (env.gamma * values[int(near)] if active[int(near)] else reward)
            assert target == pytest.approx(values[s], abs=1e-12)
        assert len(goals) == 1
    assert env.true_values.max(1).tolist() == [1.0] * 8
    x, y = np.arange(121) % 11, np.arange(121) // 11
    distances = np.abs(x - 5) + np.abs(y - 1)  # of policy 0, to the hallway at (5, 1)
    assert_allclose(env.true_values[0], np.where(env.active[0], 0.9 ** (distances - 1.0), 0.0))


def test_four_rooms_side_by_side():
    """Eight learners on a stream each are the rows of one that steps where a policy is active."""
    env, T, alpha, lambda_ = ft.envs.FourRooms(), 3000, 0.05, 0.8
    u = np.random.default_rng(5).random(T)
    w, z, gammas = np.zeros((8, 12)), np.zeros((8, 12)), np.zeros((8, 1))
    state, goals = 0, np.array([16, 56, 56, 93, 93, 52, 52, 16])
    for t in range(T):
        (near,), _, _ = env.step((float(state),), 0, u[t : t + 1])
        near, active = int(near), env.active[:, state]
        rho = 4.0 * env.policies[:, state, int(4 * u[t])]
        x, x_next = env.features[state], env.features[near]
        gammas_next = 0.9 * env.active[:, [near]]
        delta = (near == goals) + gammas_next[:, 0] * (w @ x_next) - w @ x
        z = rho[:, np.newaxis] * (gammas * lambda_ * z + x)
        w += (alpha * active * delta)[:, np.newaxis] * z
        state, gammas = near, gammas_next
    streams = env.streams(T, seed=5)
    assert sum(len(s.rewards) for s in streams) == sum(env.active[:, s].sum() for s in walk(env, u))
    for one, s in zip(w, streams, strict=True):
        learner = ft.TD(12, alpha=alpha, lambda_=lambda_)
        learner.learn(s.x, s.rewards, gammas=s.gammas, rhos=s.rhos)
        assert_allclose(learner.weights, one, rtol=0, atol=1e-12)
        assert_array_equal(s.rhos, 4.0 * s.pi)
        assert s.rewards.sum() > 0
        assert (s.gammas[s.rewards == 1.0] == 0.0).all()
    assert [len(s.rewards) for s in env.streams(0, seed=1)] == [0] * 8
    with pytest.raises(ValueError, match="steps: got -1"):
        env.streams(-1)


def walk(env, u):
    """The states that steps are taken in."""
    state = 0.0
    for each in u:
        yield int(state)
        ((state,), _, _) = env.step((state,), 0, (each,))


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
            assert (s.rhos[t], s.pi[t]) == (env.rho(*states), env.pi(*states))
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


def test_streams_of_episodes():
    """So many episodes, or as many steps as came first; a task without an end has steps alone."""
    env = ft.envs.RandomWalk(5)
    s, long = env.stream(episodes=7, seed=1), env.stream(500, seed=1)
    assert (s.gammas == 0.0).sum() == 7
    assert s.gammas[-1] == 0.0
    assert_array_equal(s.states, long.states[: len(s.states)])
    assert_array_equal(s.x, long.x[: len(s.x)])
    assert_array_equal(s.rewards, long.rewards[: len(s.rewards)])
    assert len(env.stream(3, 1, episodes=7).rewards) == 3
    assert len(env.stream(500, 1, episodes=7).rewards) == len(s.rewards)
    assert len(env.stream(episodes=0).rewards) == 0
    for call, words in (
        (lambda: env.stream(), "steps, episodes: got neither"),
        (lambda: env.stream(episodes=-1), "episodes: got -1"),
        (lambda: ft.envs.Baird().stream(episodes=3), r"episodes: Baird\(\) never ends; give steps"),
        (lambda: ft.envs.Baird().stream(10, episodes=3), r"episodes: Baird\(\) never ends"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@each_task
def test_sparse_streams(env):
    """The same features, by their indices: one-hot ones without values, so for replacing traces too."""
    s, dense = env.stream(60, seed=2, sparse=True), env.stream(60, seed=2)
    n = dense.x.shape[1]
    one, other = (ft.TD(n, alpha=0.01, backend="numpy") for _ in range(2))
    one.learn(s.x, s.rewards, gammas=s.gammas)
    other.learn(dense.x, s.rewards, gammas=s.gammas)
    assert_allclose(one.weights, other.weights, rtol=0, atol=1e-13)
    if isinstance(env, ft.envs.RandomWalk):
        assert s.x.tolist() == s.states[:, np.newaxis].tolist()
        assert s.x.dtype == np.int32
        ft.TD(n, "replacing", alpha=0.1, backend="numpy").learn(s.x, s.rewards, gammas=s.gammas)


def test_an_empty_stream_is_one_state():
    s = ft.envs.BoyanChain().stream(0)
    assert (s.x.shape, s.rewards.shape, s.states.tolist()) == ((1, 4), (0,), [12])


# ---- who learns what ----


@pytest.mark.parametrize(("name", "options", "tolerance"), ON_BOYAN)
def test_on_boyans_chain_all_agree_with_the_true_values(name, options, tolerance):
    """Off by less than a sixth of one step's reward in every state."""
    env = ft.envs.BoyanChain()
    s = env.stream(50_000, seed=0)
    if name == "GQ":
        learner = ft.GQ(4, 1, gamma=env.gamma, **options)
        one = {"rhos": s.rhos, "target_policy": np.ones((len(s.x), 1))}
        learner.learn(s.x, np.zeros(len(s.x), np.int32), s.rewards, gammas=s.gammas, **one)
    else:
        learner = getattr(ft, name)(4, gamma=env.gamma, **options)
        rhos = {} if name in ("SwiftTD", "TIDBD", "Autostep") else {"rhos": s.rhos}  # all are 1
        learner.learn(s.x, s.rewards, gammas=s.gammas, **rhos)
    assert np.abs(env.features @ learner.weights.ravel() - env.true_values).max() < tolerance


def new(name, options):
    """(learner, whether it has action values): with the dashed and the solid action then."""
    control = name in ("GQ", "ExpectedSarsa")
    return getattr(ft, name)(*((8, 2) if control else (8,)), **options), control


def on_baird(name, options, steps, seed, parts=20):
    """(value errors, Bellman errors) along the way, root mean square over the states.

    Action values: a weight for each of the two actions, behaviour and target policy as they are there.
    """
    env = ft.envs.Baird()
    s, (learner, control) = env.stream(steps, seed), new(name, options)
    actions = np.append((s.rhos > 0).astype(np.int32), SOLID)
    policy = np.tile(np.eye(2)[SOLID], (steps + 1, 1))
    learner.weights = np.stack([env.initial_weights] * 2, axis=1) if control else env.initial_weights
    values = [env.features @ env.initial_weights]
    for start in range(0, steps, steps // parts):
        stop = start + steps // parts
        x, rewards, rhos = s.x[start : stop + 1], s.rewards[start:stop], s.rhos[start:stop]
        if control:
            taken = actions[start : stop + 1]
            learner.learn(x, taken, rewards, rhos=rhos, target_policy=policy[start : stop + 1])
        else:
            learner.learn(x, rewards, rhos=rhos)
        w = learner.weights
        values.append(env.features @ (w[:, SOLID] if control else w))
    values = np.array(values)
    bellman = env.gamma * values[:, 6:] - values
    return np.sqrt(np.mean(values**2, axis=1)), np.sqrt(np.mean(bellman**2, axis=1))


@pytest.mark.parametrize(("name", "options"), DIVERGE)
@pytest.mark.parametrize("seed", range(3))
def test_on_bairds_counterexample_these_diverge(name, options, seed):
    """A thousandfold from an error of 5, and tenfold between the half and the end."""
    values, _ = on_baird(name, options, 5000, seed)
    assert values[-1] > 1000 * values[0]
    assert values[-1] > 10 * values[len(values) // 2]


@pytest.mark.parametrize(("name", "options"), SHRINK)
@pytest.mark.parametrize("seed", range(5))
def test_on_bairds_counterexample_the_bellman_error_shrinks(name, options, seed):
    """Figure 11.5: to less than a hundredth, and there it stays; the value error does not grow."""
    values, bellman = on_baird(name, options, 20_000, seed)
    assert bellman[-4:].max() < bellman[0] / 100
    assert values[-4:].max() < 1.1 * values[0]


def mean_update(name, options):
    """(k, k) what a step with alpha 1 does to the values, and to v if there is one, on average.

    All is linear in (w, v), as the rewards are 0: each column is the mean over the 49 transitions, which are
    alike, of what one step changes.  In coordinates of what the features span: w has one dimension more, in
    which nothing happens.  Emphatic: with the emphasis that is expected of the state.
    """
    from fasttrace.experiments import baird

    env = ft.envs.Baird()
    x = env.features
    learner, control = new(name, {"alpha": 1.0, **options} | ({} if name == "GTD2" else {"lambda_": 0.0}))
    emphatic = any(KINDS[row.kind].emphatic for row in registry.STEP_LEARNERS if row.learner == name)
    emphasis = baird.followon(env) if emphatic else None
    n = 16 if control else 8
    shape = (8, 2) if control else (8,)
    names = ("weights", "v") if "beta" in options else ("weights",)
    span = np.linalg.svd(np.kron(x, np.eye(2)) if control else x)[2][: n - n // 8]
    columns = []
    for which, direction in ((which, direction) for which in names for direction in span):
        before = {each: np.zeros(n) for each in names} | {which: direction}
        change = np.zeros((len(names), n))
        for s, s_next in np.ndindex(7, 7):
            rho = env.rho((s,), (s_next,))
            learner.reset()
            for each in names:
                setattr(learner, each, before[each].reshape(shape))
            if control:
                taken = [int(rho > 0), SOLID]
                policy = {"rhos": rho, "target_policy": np.tile(np.eye(2)[SOLID], (2, 1))}
                learner.learn(x[[s, s_next]], taken, [0.0], **policy)
            else:
                interest = {} if emphasis is None else {"interest": emphasis[s]}
                learner.update(x[s], 0.0, x[s_next], rho=rho, **interest)
            change += [getattr(learner, each).ravel() - before[each] for each in names]
        columns.append(np.concatenate([each @ span.T for each in change / 49]))
    return np.array(columns).T


@pytest.mark.parametrize(("name", "options", "stable"), IN_THE_MEAN)
def test_whose_mean_update_is_stable_on_bairds_counterexample(name, options, stable):
    """Small enough steps follow dw/dt = M w: to 0 if the eigenvalues of M have negative real parts."""
    largest = np.linalg.eigvals(mean_update(name, options)).real.max()
    assert largest < -1e-7 if stable else largest > 1e-3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("learner", ["EmphaticTD", "TrueOnlineEmphaticTD"])
def test_emphatic_td_converges_with_the_emphasis_that_it_expects(learner, seed):
    """Figure 11.6: without the variance of the followon the error goes to 0."""
    from fasttrace.experiments import baird

    entry = baird.Entry("", learner, {"alpha": 0.003, "lambda_": 0.0}, expected=True)
    at, values, bellman = baird.errors(entry, 5000, seed)
    assert (at[0], at[-1]) == (0, 5000)
    assert values[-1] < values[0] / 1000
    assert bellman[-1] < bellman[0] / 1000


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
