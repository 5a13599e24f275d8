"""The native loop: the same walk in every backend, and the same learning as a loop written by hand."""

import math
import pickle
import sys
import warnings

import numpy as np
import pytest

import fasttrace as ft

BACKENDS = ("numpy", "numba", "c")
NATIVE = ("numba", "c")
CAR = ft.envs.MountainCar()  # compiled once


def car(backend, *, cls=ft.TrueOnlineSarsa, seed=0, **options):
    coder = ft.TileCoder(CAR.low, CAR.high, 8, 8)
    options = {"alpha": 0.5 / 8, "gamma": 1.0, "lambda_": 0.9, "epsilon": 0.05} | options
    return CAR, cls(coder.n_features, 3, seed=seed, backend=backend, **options), coder


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (ft.TrueOnlineSarsa, {}),
        (ft.Sarsa, {"trace": "replacing"}),
        (ft.Sarsa, {"trace": "accumulating", "alpha": 0.2 / 8}),
        (ft.Sarsa, {"trace": "dutch", "epsilon": 0.3, "lambda_": 0.0}),
        (ft.Sarsa, {"clear_others": True}),
        (ft.TreeBackup, {"alpha": 0.3 / 8}),
        (ft.QSigma, {"alpha": 0.3 / 8, "policy": "softmax", "temperature": 0.5}),
    ],
    ids=str,
)
def test_same_seed_same_walk(cls, options):
    """Every backend visits the same states: lengths and returns are equal, and so are the weights.

    Numba compiles each kind of trace for seconds: of those that differ in what is written alone, one.
    """
    runs = {}
    backends = [each for each in BACKENDS if each != "numba" or options.get("trace") is None]
    for backend in backends:
        env, agent, coder = car(backend, cls=cls, **options)
        runs[backend] = ft.simulate(env, agent, coder, episodes=3, seed=5), agent.weights
    expected, weights = runs["numpy"]
    for backend in backends[1:]:
        history, w = runs[backend]
        assert history.lengths.tolist() == expected.lengths.tolist()
        assert history.returns.tolist() == expected.returns.tolist()
        assert history.steps == expected.steps
        np.testing.assert_allclose(w, weights, rtol=0, atol=1e-11 * abs(weights).max())
    if "numba" in backends:
        np.testing.assert_array_equal(runs["c"][1], runs["numba"][1])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cls", [ft.TrueOnlineSarsa, ft.TreeBackup, ft.QSigma])
def test_is_the_loop_that_one_would_write(cls, backend):
    """simulate is start, step, end and truncate with the same generator, to the bit."""
    env, agent, coder = car(backend, cls=cls)
    by_hand = car(backend, cls=cls)[1]
    history = ft.simulate(env, agent, coder, episodes=4, max_episode_steps=150)
    lengths, draw = [], by_hand.generator.random
    for _ in range(4):
        state = env.reset([draw()])
        action = by_hand.start(coder(state))
        for t in range(1, 151):
            state, reward, gamma = env.step(state, action, [])
            if gamma == 0.0:
                by_hand.end(reward)
            elif t == 150:
                by_hand.truncate(reward, coder(state))
            else:
                action = by_hand.step(reward, coder(state), gamma=gamma)
                continue
            break
        lengths.append(t)
    assert history.lengths.tolist() == lengths
    np.testing.assert_array_equal(agent.weights, by_hand.weights)
    assert agent.generator.random() == by_hand.generator.random()


@pytest.mark.parametrize("backend", BACKENDS)
def test_greedy_tree_backup_walks_as_watkins_q_does(backend):
    """With epsilon 0 and weights that keep actions from tying it is the same learner, to the bit."""
    walks = []
    for cls in (ft.TreeBackup, ft.WatkinsQ):
        env, agent, coder = car(backend, cls=cls, alpha=0.2 / 8, epsilon=0.0)
        agent.weights = np.random.default_rng(0).normal(size=agent.weights.shape)
        history = ft.simulate(env, agent, coder, episodes=2, max_episode_steps=250, seed=1)
        walks.append((history.lengths.tolist(), agent.weights.tobytes()))
    assert walks[0] == walks[1]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cls", [ft.TD, ft.TrueOnlineTD])
def test_predicts_the_random_walk(cls, backend):
    """One-hot features without a coder; the values come near the true ones."""
    env = ft.envs.RandomWalk(5)
    learner = cls(5, alpha=0.01, gamma=1.0, lambda_=0.8, backend=backend)
    history = ft.simulate(env, learner, episodes=1500, seed=1)
    np.testing.assert_allclose(learner.weights, env.true_values, atol=0.15)
    assert set(history.returns) == {-1.0, 1.0}
    assert history.steps == history.lengths.sum()


@pytest.mark.parametrize("backend", BACKENDS)
def test_ends_at_whichever_comes_first(backend):
    env, agent, coder = car(backend)
    history = ft.simulate(env, agent, coder, episodes=50, steps=100, seed=2)
    assert history.steps == 100
    assert len(history.returns) == 0
    history = ft.simulate(env, agent, coder, episodes=2, steps=10**9, max_episode_steps=20, seed=2)
    assert history.lengths.tolist() == [20, 20]
    assert history.steps == 40
    history = ft.simulate(env, agent, coder, steps=0)
    assert history.steps == 0
    with pytest.raises(RuntimeError, match="before start"):
        agent.step(0.0, np.arange(8))


@pytest.mark.parametrize("backend", NATIVE)
@pytest.mark.parametrize("cls", [ft.TrueOnlineSarsa, ft.TreeBackup])
def test_long_runs_are_cut_into_pieces_that_do_not_show(cls, backend, monkeypatch):
    """The loop is left and entered again every so often: the walk and the weights do not change by it."""
    env, agent, coder = car(backend, cls=cls)
    whole = ft.simulate(env, agent, coder, steps=5000, max_episode_steps=700, seed=3)
    monkeypatch.setattr(sys.modules["fasttrace.simulate"], "_AT_FIRST", 7)
    monkeypatch.setattr(sys.modules["fasttrace.simulate"], "paced", lambda size, seconds: 7)
    env, pieces, coder = car(backend, cls=cls)
    reports = []
    history = ft.simulate(
        env,
        pieces,
        coder,
        steps=5000,
        max_episode_steps=700,
        seed=3,
        progress=lambda *each: reports.append(each),
    )
    assert history.lengths.tolist() == whole.lengths.tolist()
    np.testing.assert_allclose(pieces.weights, agent.weights, rtol=0, atol=1e-12 * abs(agent.weights).max())
    assert reports[-1] == (5000, len(whole.lengths))
    assert len(reports) == math.ceil(5000 / 7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_agent_that_diverges_is_told_once(backend):
    """A RuntimeWarning where the call stands, in a run that ends soon, and in the history."""
    env, agent, coder = car(backend, cls=ft.Sarsa, trace="accumulating", alpha=2.0)
    with pytest.warns(RuntimeWarning, match="Sarsa has diverged: .* after 1200 steps") as caught:
        history = ft.simulate(env, agent, coder, steps=1200, max_episode_steps=600, seed=0)
    assert [each.filename for each in caught] == [__file__]
    assert history.diverged
    assert agent.diverged
    assert (history.steps, len(history.returns)) == (1200, 2)
    env, agent, coder = car(backend, cls=ft.Sarsa, trace="accumulating", alpha=0.2 / 8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not ft.simulate(env, agent, coder, steps=1200, seed=0).diverged


@pytest.mark.parametrize("backend", NATIVE)
def test_an_agent_that_has_diverged_ends_the_simulation(backend):
    """An episode of it may never end: the run does, after as many steps whatever the clock says."""
    env, agent, coder = car(backend, cls=ft.Sarsa, trace="accumulating", alpha=2.0)
    with pytest.warns(RuntimeWarning, match="Sarsa has diverged"):
        history = ft.simulate(env, agent, coder, episodes=1000, seed=0)
    assert history.diverged
    assert history.steps == 1 << 16
    assert history.lengths.sum() <= history.steps


def test_progress_gets_returns_where_it_takes_them():
    """A third argument that is needed, or of that name: the returns since the last call.  Others get two."""
    env, agent, coder = car("c")
    reports = {"named": [], "third": [], "two": [], "any": [], "default": []}
    callables = {
        "named": lambda steps, episodes, returns=None: reports["named"].append((steps, episodes, returns)),
        "third": lambda a, b, c: reports["third"].append((a, b, c)),
        "two": lambda a, b: reports["two"].append((a, b)),
        "any": lambda *each: reports["any"].append(each),
        "default": lambda a, b, kept="mine": reports["default"].append((a, b, kept)),
    }
    for name, progress in callables.items():
        history = ft.simulate(env, agent, coder, steps=70_000, max_episode_steps=500, progress=progress)
        if name in ("named", "third"):
            returns = np.concatenate([each[2] for each in reports[name]])
            assert returns.tolist() == history.returns.tolist()
        last = reports[name][-1]
        assert last[:2] == (70_000, len(history.returns))
    assert {len(each) for each in reports["two"] + reports["any"]} == {2}
    assert {each[2] for each in reports["default"]} == {"mine"}
    ft.simulate(env, agent, coder, steps=10, progress=max)  # of no signature


def reset(u):
    return (u[0],)


def step(state, action, u):
    x = state[0] + (0.3 if action == 1 else -0.1) * u[0]
    return (x,), -1.0, 0.0 if x > 2.0 else 0.5 + 0.5 * u[1]


def give_nan(state, action, u):
    return (state[0] + 1.0,), math.nan if state[0] > 3.0 else 0.0, 1.0


def test_the_users_own_environment():
    """Plain functions run in every backend, with discounts of their own, on the same walk."""
    weights = {}
    for backend in BACKENDS:
        env = ft.envs.custom(reset, step, n_actions=2, n_state=1, n_uniforms=2)
        coder = ft.TileCoder([0.0], [2.0], 10, 4)
        agent = ft.TrueOnlineSarsa(coder.n_features, 2, alpha=0.05, seed=4, backend=backend)
        history = ft.simulate(pickle.loads(pickle.dumps(env)), agent, coder, episodes=20)
        weights[backend] = history.lengths.tolist(), agent.weights
    for backend in NATIVE:
        assert weights[backend][0] == weights["numpy"][0]
        np.testing.assert_allclose(weights[backend][1], weights["numpy"][1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_environment_that_goes_wrong_is_stopped(backend):
    env = ft.envs.custom(reset, give_nan, n_actions=0, n_state=1, n_uniforms=1)
    learner = ft.TD(12, alpha=0.1, backend=backend)
    coder = ft.TileCoder([0.0], [10.0], 5, 2)
    with pytest.raises(ValueError, match=r"not finite|finite number"):
        ft.simulate(env, learner, coder, episodes=1, seed=0)
    assert np.isfinite(learner.weights).all()
    assert ft.simulate(env, learner, coder, steps=3, seed=0).steps == 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_state_that_is_no_feature(backend):
    env = ft.envs.RandomWalk(5)
    env.n_features = None  # hides the mismatch from the check before the run
    env.low = None
    learner = ft.TD(3, alpha=0.1, backend=backend)
    with pytest.raises(ft.FeatureIndexError, match="one-hot features 0 to 2"):
        ft.simulate(env, learner, steps=1000, seed=0)


def test_refuses_what_does_not_fit():
    env, agent, coder = car("numpy")
    with pytest.raises(ValueError, match="episodes, steps"):
        ft.simulate(env, agent, coder)
    with pytest.raises(TypeError, match="env"):
        ft.simulate("MountainCar", agent, coder, episodes=1)
    with pytest.raises(TypeError, match="agent"):
        ft.simulate(env, None, coder, episodes=1)
    with pytest.raises(TypeError, match="coder"):
        ft.simulate(env, agent, lambda s: s, episodes=1)
    with pytest.raises(ValueError, match="coder: got None"):
        ft.simulate(env, agent, episodes=1)
    with pytest.raises(ValueError, match="actions"):
        ft.simulate(env, ft.TD(coder.n_features, alpha=0.1), coder, episodes=1)
    with pytest.raises(ValueError, match="features"):
        ft.simulate(env, ft.Sarsa(7, 3, alpha=0.1), coder, episodes=1)
    with pytest.raises(ValueError, match="state_action"):
        ft.simulate(env, ft.Sarsa(coder.n_features, 3, alpha=0.1, state_action=True), coder, episodes=1)
    with pytest.raises(ValueError, match="steps"):
        ft.simulate(env, agent, coder, steps=-1)


def test_evaluates_in_gymnasium():
    """The greedy policy runs to the end of each episode and learns nothing."""
    gymnasium = pytest.importorskip("gymnasium")
    env, agent, coder = car("c", epsilon=0.0)
    ft.simulate(env, agent, coder, episodes=60, seed=0)
    before = agent.weights
    returns = ft.evaluate(gymnasium.make("MountainCar-v0"), agent, coder, episodes=5, seed=0)
    assert returns.shape == (5,)
    assert (returns > -200).all()
    np.testing.assert_array_equal(agent.weights, before)
    with pytest.raises(ValueError, match="actions"):
        ft.evaluate(gymnasium.make("CartPole-v1"), agent, coder, episodes=1)


def test_networks_are_not_simulated():
    with pytest.raises(TypeError, match="agent: StreamQ has no loop of its own"):
        ft.simulate(CAR, ft.neural.StreamQ(2, 3, hidden=(4,), backend="numpy"), steps=10)
