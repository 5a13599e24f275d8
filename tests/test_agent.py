"""The control learners inside a Gymnasium loop: what a step learns, what ends an episode and how."""

import copy
from functools import lru_cache

import numpy as np
import pytest
from streams import BACKENDS

import fasttrace as ft

gymnasium = pytest.importorskip("gymnasium")

ROW = np.arange(8, dtype=np.int32)


class Recorder:
    """Plays episodes with an agent, and keeps what the agent has seen: x and the rest as learn takes them."""

    def __init__(self, name, coder, **options):
        self.env, self.coder = gymnasium.make(name, **options), coder
        self.forget()

    def forget(self):
        self.x, self.actions, self.rewards, self.gammas = [], [], [], []

    def play(self, agent, seed):
        """One episode: (features of the state it ended in, whether it was truncated there)."""
        observation, _ = self.env.reset(seed=seed)
        x = self.coder(observation)
        action = agent.start(x)
        while True:
            observation, reward, terminated, truncated, _ = self.env.step(action)
            self.x.append(x)
            self.actions.append(action)
            self.rewards.append(reward)
            self.gammas.append(0.0 if terminated else agent.gamma)
            x = self.coder(observation)
            if terminated:
                agent.end(reward)
                return x, False
            if truncated:
                agent.truncate(reward, x)
                return x, True
            action = agent.step(reward, x)


def cartpole(**options):
    low, high = (-2.4, -3.0, -0.21, -3.5), (2.4, 3.0, 0.21, 3.5)
    return Recorder("CartPole-v1", ft.TileCoder(low, high, (3, 3, 6, 4), 8), **options)


def agents(backend, **options):
    """Two agents alike: one to act, one to be taught what the first has seen."""
    n = cartpole().coder.n_features
    options = {"alpha": 0.05, "gamma": 0.98, "seed": 5, "backend": backend} | options
    yield from (ft.TrueOnlineSarsa(n, 2, **options) for _ in range(2))


@pytest.mark.parametrize("backend", BACKENDS)
def test_acting_learns_what_learn_learns(backend):
    """start, step, end over some episodes leave the weights that learn makes of the same stream."""
    actor, student = agents(backend)
    game = cartpole()
    for seed in range(4):
        assert not game.play(actor, seed)[1]
    x = np.array([*game.x, game.x[0]])
    student.learn(x, np.array([*game.actions, 0]), np.array(game.rewards), gammas=np.array(game.gammas))
    np.testing.assert_array_equal(actor.weights, student.weights)
    assert np.abs(actor.weights).max() > 0.1


@pytest.mark.parametrize("backend", BACKENDS)
def test_truncation_bootstraps_then_empties_the_trace(backend):
    """A cut episode is learned with the value of its last state; the next begins with no trace."""
    actor, student = agents(backend, epsilon=0.0)
    game = cartpole(max_episode_steps=6)
    for seed in range(10):
        game.forget()
        last, truncated = game.play(actor, seed)
        assert truncated
        # The last choice is made on the weights before the last update: learn up to there first.
        x, actions, rewards = np.array([*game.x, last]), np.array(game.actions), np.array(game.rewards)
        student.learn(x[:-1], actions, rewards[:-1])
        student.learn(x[-2:], np.array([actions[-1], student.act(last)]), rewards[-1:])
        np.testing.assert_array_equal(student.weights, actor.weights)
        assert student.trace.any()
        assert not actor.trace.any()
        student.reset()


@pytest.mark.parametrize("backend", BACKENDS)
def test_truncated_is_not_terminated(backend):
    """The same last transition: end takes 0 for the value of what follows, truncate takes q."""
    ended, cut = agents(backend, gamma=0.5)
    for agent in (ended, cut):
        agent.weights = np.full(agent.weights.shape, 1.0)  # q is 8 everywhere
    assert ended.start(ROW) == cut.start(ROW)
    ended.end(0.0)
    cut.truncate(0.0, ROW + 8)
    # w <- w + alpha delta x, with delta 0 - 8, or 0 + .5 * 8 - 8; the active features are distinct.
    assert ended.weights.min() == pytest.approx(1.0 - 0.05 * 8.0, rel=1e-12)
    assert cut.weights.min() == pytest.approx(1.0 - 0.05 * 4.0, rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("call", ["step", "end", "truncate"])
def test_an_episode_begins_with_start(call, backend):
    """Before start, and after the end of an episode, there is nothing to learn from."""
    agent, _ = agents(backend)
    arguments = {"step": (1.0, ROW), "end": (1.0,), "truncate": (1.0, ROW)}[call]
    with pytest.raises(RuntimeError, match=rf"{call}\(\) before start\(\)"):
        getattr(agent, call)(*arguments)
    for finish in ("end", "truncate"):
        agent.start(ROW)
        getattr(agent, finish)(*(1.0, ROW)[: 1 + (finish == "truncate")])
        before = agent.weights
        with pytest.raises(RuntimeError, match=rf"{call}\(\) before start\(\)"):
            getattr(agent, call)(*arguments)
        np.testing.assert_array_equal(agent.weights, before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_row_given_may_be_written_over(backend):
    """An agent keeps its own copy of x: environments that reuse one buffer are welcome."""
    agent, other = agents(backend)
    buffer = ROW.copy()
    assert agent.start(buffer) == other.start(ROW)
    buffer[:] = ROW + 8
    agent.step(1.0, buffer)
    other.step(1.0, ROW + 8)
    np.testing.assert_array_equal(agent.weights, other.weights)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_same_seed_plays_the_same_game(backend):
    """Actions are the generator's alone: in every backend the reference's."""
    actor, _ = agents(backend, epsilon=0.3)
    reference, _ = agents("numpy", epsilon=0.3)
    games = cartpole(), cartpole()
    for seed in range(3):
        games[0].play(actor, seed)
        games[1].play(reference, seed)
    assert games[0].actions == games[1].actions
    assert len(set(games[0].actions)) == 2


def tilings(**options):
    space = gymnasium.make("MountainCar-v0").observation_space
    return ft.TileCoder(space.low, space.high, 8, 8, **options)


@lru_cache
def trained():
    """An agent that has played a hundred episodes of mountain car, in the fastest backend."""
    coder = tilings()
    agent = ft.TrueOnlineSarsa(coder.n_features, 3, alpha=1 / 8, gamma=1.0, epsilon=0.0, seed=0)
    game = Recorder("MountainCar-v0", coder)
    for seed in range(100):
        game.play(agent, seed)
    return agent


@pytest.mark.parametrize("backend", BACKENDS)
def test_evaluate_plays_greedily_and_learns_nothing(backend):
    """Its returns are those of act() in a loop of one's own, and a trained car reaches the goal."""
    env = gymnasium.make("MountainCar-v0")
    agent, coder = copy.deepcopy(trained()).to(backend), tilings(backend=backend)
    weights, drawn = agent.weights, agent.generator.bit_generator.state
    returns = ft.evaluate(env, agent, coder, episodes=10, seed=7)

    expected = []
    for episode in range(10):
        observation, _ = env.reset(seed=7 if episode == 0 else None)
        total, over = 0.0, False
        while not over:
            observation, reward, terminated, truncated, _ = env.step(agent.act(coder(observation)))
            total, over = total + reward, terminated or truncated
        expected.append(total)
    np.testing.assert_array_equal(returns, expected)
    assert returns.mean() > -180.0  # -200 is the car that never arrives
    np.testing.assert_array_equal(agent.weights, weights)
    assert agent.generator.bit_generator.state == drawn
