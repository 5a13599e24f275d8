"""Populations that act, step by step, in Gymnasium's vectors: each agent learns what it would have alone."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from states import plain, same

import fasttrace as ft
from fasttrace.many import acting

N = 3
ALPHAS = [0.02, 0.05, 0.1]
LOW, HIGH = (-2.4, -3.0, -0.21, -3.5), (2.4, 3.0, 0.21, 3.5)
CODER = ft.TileCoder(LOW, HIGH, (2, 2, 4, 3), 4)
MODES = ("NEXT_STEP", "SAME_STEP", "DISABLED")

# The way of Numba's agents is that of the reference's.
backends = pytest.mark.parametrize("backend", ["c", "numpy"])
modes = pytest.mark.parametrize("mode", MODES)


def population(cls=ft.TrueOnlineSarsa, n=CODER.n_features, n_actions=2, **options):
    return ft.Population(cls, n, n_actions, N, **{"alpha": ALPHAS, "gamma": 0.98, "seed": 3} | options)


def alone(i, cls=ft.TrueOnlineSarsa, n=CODER.n_features, n_actions=2, **options):
    options = {"alpha": ALPHAS[i], "gamma": 0.98, "seed": np.random.default_rng([3, i])} | options
    return cls(n, n_actions, **options)


def made(mode):
    gymnasium = pytest.importorskip("gymnasium")
    modes = gymnasium.vector.AutoresetMode
    makers = [lambda: gymnasium.make("CartPole-v1", max_episode_steps=13)] * N
    return makers[0], gymnasium.vector.SyncVectorEnv(makers, autoreset_mode=getattr(modes, mode))


def play(agents, envs, mode, steps, seed):
    """The loop of the page; returns how many transitions each agent made, and how its episodes ended."""
    transitions, over, cut = np.zeros(N, int), 0, 0
    states, _ = envs.reset(seed=seed)
    actions = agents.start(CODER(states))
    ended = np.zeros(N, bool)
    for _ in range(steps):
        transitions += ~ended
        states, rewards, terminated, truncated, info = envs.step(actions)
        over, cut = over + terminated.sum(), cut + (truncated & ~terminated).sum()
        now, more = terminated | truncated, {}
        if mode == "SAME_STEP":
            final = states.copy()
            if now.any():
                final[now] = np.stack(info["final_obs"][now])
            more["x_final"] = CODER(final)
        actions = agents.step(rewards, CODER(states), terminated=terminated, truncated=truncated, **more)
        if mode == "DISABLED" and now.any():
            states, _ = envs.reset(options={"reset_mask": now})
            actions = agents.start(CODER(states), where=now)
        ended = now & (mode == "NEXT_STEP")
    return transitions, ended, over, cut


def play_alone(agent, env, transitions, waits, seed):
    """So many transitions; `waits`: the last of them ended an episode, and no other was begun."""
    states, _ = env.reset(seed=seed)
    action = agent.start(CODER(states))
    for left in range(transitions - 1, -1, -1):
        states, reward, terminated, truncated, _ = env.step(action)
        x = CODER(states)
        if not (terminated or truncated):
            action = agent.step(reward, x)
            continue
        if terminated:
            agent.end(reward)
        else:
            agent.truncate(reward, x)
        if left or not waits:
            action = agent.start(CODER(env.reset()[0]))


@backends
@modes
def test_each_agent_learns_what_it_would_alone(mode, backend):
    """To the bit, generators and all, however the vector begins new episodes, ended or cut."""
    make, envs = made(mode)
    agents = population(backend=backend)
    transitions, waits, over, cut = play(agents, envs, mode, 90, seed=5)
    assert over > 0
    assert cut > 0
    for i in range(N):
        one = alone(i, backend=backend)
        play_alone(one, make(), transitions[i], waits[i], seed=5 + i)
        assert same(agents[i], one)
    assert np.abs(agents.weights).max() > 0.1


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (ft.SwiftSarsa, {}),
        (ft.ActorCritic, {"alpha_actor": 0.02}),
        (ft.Sarsa, {"policy": "softmax"}),
        (ft.GQ, {"beta": 0.01}),
    ],
)
def test_other_learners(cls, options):
    make, envs = made("SAME_STEP")
    agents = population(cls, backend="c", **options)
    transitions, waits, *_ = play(agents, envs, "SAME_STEP", 60, seed=2)
    for i in range(N):
        one = alone(i, cls, backend="c", **options)
        play_alone(one, make(), transitions[i], waits[i], seed=2 + i)
        assert same(agents[i], one)


@backends
def test_in_every_form_of_features(backend):
    """Rows of one array, pairs, Ragged, CSR, dense, of other integers, of states and actions."""
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(0)
    idx, val = rng.integers(0, 6, (2, N, 3)), rng.normal(size=(2, N, 3))
    dense = rng.normal(size=(2, N, 6))
    ends = np.arange(0, 3 * N + 1, 3)
    ragged = [ft.Ragged(ends, i.ravel(), v.ravel()) for i, v in zip(idx, val, strict=True)]
    csr = [sparse.csr_array(each) for each in dense]
    pairs = [list(zip(*both, strict=True)) for both in zip(idx, val, strict=True)]
    rows = [[each[i : i + 1] for i in range(N)] for each in csr]
    of_both, wide = {"state_action": True}, rng.integers(0, 6, (2, N, 2, 3))
    both = rng.normal(size=(2, N, 2, 6))
    forms = [
        (idx, idx, {}), (idx.astype(np.int16), idx, {}), (np.asfortranarray(idx), idx, {}),
        (list(zip(idx, val, strict=True)), pairs, {}), (ragged, pairs, {}), (csr, rows, {}),
        (dense, dense, {}), (wide, wide, of_both), (both, both, of_both),
    ]  # fmt: skip
    rewards, gamma = rng.normal(size=N), np.array([0.5, 0.9, 0.0])
    for x, own, options in forms:
        agents = population(ft.Sarsa, 6, trace="accumulating", backend=backend, **options)
        first, second = (
            agents.start(x[0]),
            agents.step(rewards, x[1], truncated=np.array([False, False, True])),
        )
        third = agents.step(rewards, x[0], gamma=gamma)
        greedy = agents.act(x[1])
        for i in range(N):
            one = alone(i, ft.Sarsa, 6, trace="accumulating", backend=backend, **options)
            assert one.start(own[0][i]) == first[i]
            if i == 2:
                one.truncate(rewards[i], own[1][i])
                assert one.start(own[0][i]) == third[i]
            else:
                assert one.step(rewards[i], own[1][i]) == second[i]
                assert one.step(rewards[i], own[0][i], gamma=gamma[i]) == third[i]
            assert one.act(own[1][i]) == greedy[i]
            assert same(agents[i], one)


@pytest.mark.skipif(acting.native is None, reason="the module for quick calls is not there")
def test_usual_steps_are_one_call(monkeypatch):
    """In C, of arrays, no Python between the agents; Python's way, where there is no module, is the same."""
    rng = np.random.default_rng(3)
    x, rewards, over = rng.integers(0, 6, (3, N, 2)), rng.normal(size=N), np.array([True, False, False])

    def walk(agents):
        taken = [
            agents.start(x[0]),
            agents.step(rewards, x[1], terminated=over, truncated=~over, x_final=x[2]),
        ]
        return [
            *taken,
            agents.step(rewards, x[2], truncated=over),
            agents.step(rewards, x[0]),
            agents.act(x[1]),
        ]

    one, other = population(n=6), population(n=6)
    with monkeypatch.context() as patch:
        patch.setattr(acting, "native", None)
        want = walk(other)
    monkeypatch.setattr(acting, "features_of_each", None)
    assert_array_equal(walk(one), want)
    assert same(one, other)


def test_ends_of_all():
    """end and truncate are of all; who has been put in without an episode begins one with the next step."""
    x, rewards = np.arange(6, dtype=np.int32).reshape(2, N, 1), np.ones(N)
    agents, ones = population(n=6), [alone(i, n=6) for i in range(N)]
    for call, given in (("end", (rewards,)), ("truncate", (rewards, x[1]))):
        agents.start(x[0])
        assert getattr(agents, call)(*given) is None
        for i, one in enumerate(ones):
            one.start(x[0, i])
            getattr(one, call)(*(each[i] for each in given))
            assert same(agents[i], one)
        with pytest.raises(RuntimeError, match=r"step\(\) before start\(\)"):
            agents.step(rewards, x[0])
        with pytest.raises(RuntimeError, match=rf"agent 0: {call}\(\) before start\(\)"):
            getattr(agents, call)(*given)
    agents.start(x[0])
    agents[1] = ones[1]
    assert agents.step([1.0, np.nan, 1.0], x[1]).shape == (N,)
    ones[1].start(x[1, 1])
    assert same(agents[1], ones[1])


@backends
def test_goes_on_from_a_state(backend, tmp_path):
    """Copies, pickles and files in the midst of episodes, and where all of them have just ended."""
    x, rewards = np.arange(6, dtype=np.int32).reshape(2, N, 1), np.ones(N)
    agents = population(n=6, backend=backend)
    agents.start(x[0])
    for over in (None, np.ones(N, bool)):
        agents.step(rewards, x[1], terminated=over)
        agents.save(tmp_path / "agents.npz")
        others = copy.deepcopy(agents), pickle.loads(pickle.dumps(agents)), ft.load(tmp_path / "agents.npz")
        want = agents.step(rewards, x[0])
        for other in others:
            assert_array_equal(other.step(rewards, x[0]), want)
            assert same(other, agents)
    agents.reset()
    with pytest.raises(RuntimeError, match="before start"):
        agents.step(rewards, x[0])


@backends
def test_refuses_before_anything_changes(backend):
    """Whatever is wrong of one agent, none has learned, nor drawn."""
    agents = population(n=6, backend=backend)
    x, rewards, marks = np.zeros((N, 2), np.int32), np.zeros(N), np.zeros(N, bool)
    with pytest.raises(RuntimeError, match=r"step\(\) before start"):
        agents.step(rewards, x)
    agents.start(x)
    before = plain(agents.state_dict())
    bad, at = x.copy(), np.array([0.0, 0.0, np.nan])
    bad[2, 1] = 6
    ended = ~marks
    for call, error, match in (
        (lambda: agents.step(rewards, bad), ft.FeatureIndexError, "agent 2: x: index 6"),
        (lambda: agents.start(bad), ft.FeatureIndexError, "agent 2"),
        (lambda: agents.act(bad), ft.FeatureIndexError, "agent 2"),
        (lambda: agents.step(at, x), ValueError, "agent 2: reward"),
        (lambda: agents.end(at), ValueError, "agent 2: reward"),
        (lambda: agents.truncate(rewards, bad), ft.FeatureIndexError, "agent 2"),
        (lambda: agents.step(rewards[:2], x), ValueError, r"rewards: got shape \(2,\), expected \(3,\)"),
        (lambda: agents.step(0.0, x), ValueError, r"rewards: got shape \(\)"),
        (lambda: agents.step(rewards, x[:2]), ValueError, r"x: got shape \(2, 2\)"),
        (lambda: agents.step(rewards, x[0]), ValueError, r"x: got shape \(2,\)"),
        (lambda: agents.start(x[:2]), ValueError, r"x: got shape \(2, 2\)"),
        (lambda: agents.step(rewards, ft.Ragged([0, 1], [0])), ValueError, "1 sparse rows for 3 agents"),
        (lambda: agents.step(rewards, x, terminated=marks[:2]), ValueError, "terminated: got shape"),
        (lambda: agents.step(rewards, x, truncated=np.zeros(N)), TypeError, "truncated: got dtype float64"),
        (lambda: agents.step(rewards, x, terminated=ended, x_final=bad), ft.FeatureIndexError, "agent 2"),
        (lambda: agents.step(rewards, x, x_final=x[:2]), ValueError, "x_final: got shape"),
        (lambda: agents.step(rewards, x, gamma=1.5), ValueError, "agent 0: gamma"),
        (lambda: agents.step(rewards, x, gammas=0.5), TypeError, "did you mean 'gamma'"),
        (lambda: agents.start(x, where=[1, 0, 0]), TypeError, "where: got dtype"),
    ):
        with pytest.raises(error, match=match):
            call()
        assert plain(agents.state_dict()) == before
    with pytest.raises(TypeError, match=r"Population\.start: TD does not act"):
        ft.Population(ft.TD, 6, 2, alpha=0.1).start(x)


@modes
def test_evaluates_as_one_by_one(mode):
    """The first episodes of each agent are those of its own environment; nothing is learned."""
    make, envs = made(mode)
    agents = population()
    play(agents, envs, mode, 60, seed=8)
    before = plain(agents.state_dict())
    returns = ft.evaluate(envs, agents, CODER, episodes=4, seed=1)
    assert plain(agents.state_dict()) == before
    for i in range(N):
        assert_array_equal(returns[i], ft.evaluate(make(), agents[i], CODER, episodes=4, seed=1 + i))
    for given, error, match in (
        ((envs, agents[0]), ValueError, "env: got a vector of 3"),
        ((make(), agents), ValueError, "env: got one environment, expected a vector of 3"),
        ((envs, ft.Population(ft.Sarsa, 9, 2, 2, alpha=0.1)), ValueError, "got 3 environments"),
        ((envs, population(n_actions=4)), ValueError, "agent: has 4 actions, the environment 2"),
        ((envs, ft.Population(ft.TD, 9, 3, alpha=0.1)), TypeError, "agent: got TD"),
    ):
        with pytest.raises(error, match=match):
            ft.evaluate(*given, CODER, episodes=1)


def test_learns_from_ragged_streams():
    """One Ragged of all rows, or one for each agent: as the same rows, padded, do."""
    rng = np.random.default_rng(1)
    T, lengths = 20, rng.integers(0, 4, (N, 21))
    each = [ft.Ragged(np.append(0, np.cumsum(row)), rng.integers(0, 9, row.sum())) for row in lengths]
    one = ft.Ragged(np.append(0, np.cumsum(lengths)), np.concatenate([own.indices for own in each]))
    padded = np.full((N, T + 1, 3), -1)
    for i, own in enumerate(each):
        rows = own.padded()[0]
        padded[i, :, : rows.shape[1]] = rows
    rewards = rng.normal(size=(N, T))
    want = ft.Population(ft.TD, 9, N, alpha=0.1)
    deltas = want.learn(padded, rewards)
    for x in (each, one):
        agents = ft.Population(ft.TD, 9, N, alpha=0.1)
        assert_array_equal(agents.learn(x, rewards), deltas)
        assert_array_equal(agents.weights, want.weights)
    for x, match in (
        (each[:2], "got 2 sparse streams"),
        (ft.Ragged([0, 1], [0]), "1 sparse rows for 3 agents"),
    ):
        with pytest.raises(ValueError, match=match):
            want.learn(x, rewards)
