"""Populations: each agent is what it would have been alone, to the bit, whatever threads and company."""

import copy
import io
import pickle
import signal
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from states import plain, same
from streams import BACKENDS, COMPILED, EVERY, needed, random_stream

import fasttrace as ft
from fasttrace import pieces
from fasttrace.many import crew

N = 5
ALPHAS = np.linspace(0.02, 0.1, N)
CAR, WALK = ft.envs.MountainCar(), ft.envs.RandomWalk(7)  # compiled once
SIMULATED = [each for each in EVERY.values() if not each.traits.takes_pi]

everywhere = pytest.mark.parametrize("backend", BACKENDS)
compiled = pytest.mark.parametrize("backend", COMPILED)
# Where Numba would compile what it shares with the others anyway.
without_numba = pytest.mark.parametrize("backend", [each for each in BACKENDS if each.values != ("numba",)])


def world(env=None):
    """An environment with a coder for its states, small; or without, where they are features."""
    env = env or CAR
    return env, None if env.n_features else ft.TileCoder(env.low, env.high, 3, 2)


def sizes(env, coder):
    n = coder.n_features if coder else env.n_features
    return (n, env.n_actions) if env.n_actions else (n,)


def generator(*key):
    return np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))


def population(cls, env, coder, backend="c", **options):
    options = {"alpha": ALPHAS} | ({"seed": 0} if env.n_actions else {}) | options
    return ft.Population(cls, *sizes(env, coder), N, backend=backend, **options)


def alone(cls, i, env, coder, backend="c", **options):
    """The learner that agent i of population() is."""
    own = {"alpha": ALPHAS} | options
    own = {name: value[i] if isinstance(value, np.ndarray) else value for name, value in own.items()}
    if env.n_actions:
        own["seed"] = np.random.default_rng([0, i])
    return cls(*sizes(env, coder), backend=backend, **own)


def assert_as_alone(cls, env, coder, backend="c", *, threads=2, run=None, **options):
    """Simulate a population, and each of its agents alone."""
    run = {"episodes": 4, "steps": 150, "max_episode_steps": 60} | (run or {})
    agents = population(cls, env, coder, backend, **options)
    history = ft.simulate(env, agents, coder, seed=3, threads=threads, **run)
    E = history.returns.shape[1]
    for i in range(N):
        one = alone(cls, i, env, coder, backend, **options)
        want = ft.simulate(env, one, coder, seed=generator(3, i), **run)
        missing = E - len(want.returns)
        assert_array_equal(history.returns[i], np.append(want.returns, [np.nan] * missing))
        assert_array_equal(history.lengths[i], np.append(want.lengths, [0] * missing))
        assert history.steps[i] == want.steps
        assert same(agents[i], one)
    return agents, history


# ---- simulate ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", SIMULATED, ids=str)
def test_each_agent_is_what_it_would_be_alone(algorithm):
    """Every learner, of action values on mountain car and of state values on a random walk."""
    env, coder = world(None if algorithm.control else WALK)
    assert_as_alone(getattr(ft, algorithm.learner), env, coder, **algorithm.options)


@everywhere
@pytest.mark.parametrize("cls", [ft.TrueOnlineSarsa, ft.TD])
def test_in_every_backend(cls, backend):
    """The same walks as in the reference, and the same bits as alone."""
    env, coder = world(None if cls is ft.TrueOnlineSarsa else WALK)
    agents, history = assert_as_alone(cls, env, coder, backend, run={"steps": None})
    other = population(cls, env, coder, "numpy")
    want = ft.simulate(env, other, coder, episodes=4, max_episode_steps=60, seed=3)
    assert_array_equal(history.lengths, want.lengths)
    np.testing.assert_allclose(agents.weights, other.weights, rtol=0, atol=1e-11)


ENVIRONMENTS = [
    ft.envs.Acrobot(), ft.envs.Baird(), ft.envs.BoyanChain(), ft.envs.CartPole(), ft.envs.Collision(),
    ft.envs.FourRooms(), ft.envs.PuddleWorld(),
]  # fmt: skip


@pytest.mark.parametrize("env", ENVIRONMENTS, ids=repr)
def test_in_every_environment(env):
    """Each agent has a state and numbers of its own."""
    _, coder = world(env) if env.n_features or env.low is not None else (env, None)
    if env.n_features is None and coder is None:
        pytest.skip("needs a coder")
    cls = ft.ExpectedSarsa if env.n_actions else ft.TrueOnlineTD
    assert_as_alone(cls, env, coder, gamma=0.9)


def reset(u):
    return (u[0],)


def step(state, action, u):
    x = state[0] + (0.3 if action == 1 else -0.1) * u[0]
    return (x,), -1.0, 0.0 if x > 2.0 else 0.5 + 0.5 * u[1]


def give_nan(state, action, u):
    return (state[0] + 1.0,), np.nan if state[0] > 3.5 else 0.0, 1.0


@everywhere
def test_in_an_environment_of_the_users(backend):
    env = ft.envs.custom(reset, step, n_actions=2, n_state=1, n_uniforms=2)
    assert_as_alone(ft.TrueOnlineSarsa, env, ft.TileCoder([0.0], [2.0], 5, 3), backend)


@everywhere
def test_an_environment_that_goes_wrong_is_stopped(backend):
    """The error says whose it is; no agent has learned from it, and all go on."""
    env = ft.envs.custom(reset, give_nan, n_actions=0, n_state=1, n_uniforms=1)
    coder = ft.TileCoder([0.0], [10.0], 5, 2)
    agents = population(ft.TD, env, coder, backend)
    with pytest.raises(ValueError, match=r"agent \d: .*not finite"):
        ft.simulate(env, agents, coder, episodes=1, seed=0)
    assert np.isfinite(agents.weights).all()
    assert ft.simulate(env, agents, coder, steps=2, seed=0).steps.tolist() == [2] * N
    env = ft.envs.RandomWalk(5)
    env.n_features, env.low = None, None  # hides the mismatch from the check before the run
    small = ft.Population(ft.TD, 3, N, alpha=0.1, backend=backend)
    with pytest.raises(ft.FeatureIndexError, match=r"agent \d: .*one-hot features 0 to 2"):
        ft.simulate(env, small, steps=1000, seed=0)


@compiled
def test_threads_and_pieces_do_not_show(backend, monkeypatch):
    """One thread or three, in pieces of any size."""
    env, coder = world()
    states = []
    for threads, size in ((1, 10**6), (1, 7), (3, 7), (2, 50)):
        monkeypatch.setattr(sys.modules["fasttrace.simulate"], "_AT_FIRST", size)
        monkeypatch.setattr(pieces, "paced", lambda made, seconds, size=size: size)
        monkeypatch.setattr(crew, "_AT_LEAST", 2)
        agents = population(ft.TrueOnlineSarsa, env, coder, backend)
        history = ft.simulate(env, agents, coder, steps=400, max_episode_steps=90, seed=1, threads=threads)
        states.append((history.returns.tobytes(), history.lengths.tobytes(), agents.weights.tobytes()))
        assert history.returns.shape == (N, 4)
        assert history.steps.tolist() == [400] * N
    assert len(set(states)) == 1


@compiled
@pytest.mark.parametrize("epsilon", [0.0, 0.3])
def test_many_at_once_are_as_few(epsilon, backend):
    """More agents than are side by side in a loop, of which some end long before others; greedy ones, too.

    A greedy agent in C does not make the numbers that it has no need of, but counts them.
    """
    env, coder = world()
    options = {"alpha": 0.1, "epsilon": epsilon, "backend": backend}
    many = ft.Population(ft.TrueOnlineSarsa, *sizes(env, coder), 23, **options, seed=0)
    history = ft.simulate(env, many, coder, episodes=3, seed=8, threads=1)
    for i in (0, 9, 22):
        one = many.learner(*sizes(env, coder), **options)
        want = ft.simulate(env, one, coder, episodes=3, seed=generator(8, i))
        assert_array_equal(history.lengths[i], want.lengths)
        assert_array_equal(many[i].weights, one.weights)


def test_seeds():
    """An int, and agent i has [seed, i]; or (N,), and it has [its own, 0], so that blocks do not matter."""
    env, coder = world()
    run = {"episodes": 2, "max_episode_steps": 80}
    whole = population(ft.Sarsa, env, coder, alpha=0.1)
    seeds = np.array([5, 0, 2**64 - 1, 7, 5], np.uint64)
    history = ft.simulate(env, whole, coder, seed=seeds, **run)
    assert_array_equal(whole[0].weights, whole[4].weights)
    for begin, end in ((0, 2), (2, 5)):
        block = ft.Population(ft.Sarsa, *sizes(env, coder), end - begin, alpha=0.1)
        part = ft.simulate(env, block, coder, seed=seeds[begin:end].tolist(), **run)
        assert_array_equal(part.lengths, history.lengths[begin:end])
        assert_array_equal(block.weights, whole.weights[begin:end])
    one = ft.Sarsa(*sizes(env, coder), alpha=0.1)
    ft.simulate(env, one, coder, seed=generator(7, 0), **run)
    assert_array_equal(one.weights, whole[3].weights)
    learned = []
    for seed in ({}, {"seed": 0}, {"seed": 1}):
        agents = population(ft.Sarsa, env, coder)
        ft.simulate(env, agents, coder, **run, **seed)
        learned.append(agents.weights.tobytes())
    assert learned[0] == learned[1] != learned[2]


@everywhere
def test_what_ends_first(backend):
    env, coder = world()
    agents = population(ft.TrueOnlineSarsa, env, coder, backend)
    history = ft.simulate(env, agents, coder, episodes=3, steps=50, max_episode_steps=20)
    assert history.lengths.tolist() == [[20, 20, 0]] * N
    assert_array_equal(history.returns, [[-20.0, -20.0, np.nan]] * N)
    assert history.steps.tolist() == [50] * N
    assert not history.diverged.any()
    assert ft.simulate(env, agents, coder, steps=50).returns.shape == (N, 0)
    nothing = ft.simulate(env, agents, coder, episodes=0)
    assert nothing.returns.shape == (N, 0)
    assert nothing.steps.tolist() == [0] * N


def test_an_agent_that_diverges_ends_alone():
    """It is told once, where the call stands; the others go on as they would have."""
    env, coder = world()
    alpha = np.array([0.02, 2.0, 0.02, 0.02, 2.0])
    agents = population(ft.Sarsa, env, coder, trace="accumulating", alpha=alpha)
    with pytest.warns(RuntimeWarning, match=r"2 of 5 agents Sarsa have diverged \(1, 4\)") as caught:
        history = ft.simulate(env, agents, coder, episodes=300, max_episode_steps=1000, seed=0)
    assert [each.filename for each in caught] == [__file__]
    assert history.diverged.tolist() == agents.diverged.tolist() == [False, True, False, False, True]
    assert history.steps[[1, 4]].tolist() == [1 << 16] * 2
    assert np.isnan(history.returns[1, -1])
    assert np.isfinite(history.returns[[0, 2, 3]]).all()


def test_philox_is_numpys():
    """By the number, where the counter carries over as well."""
    c = pytest.importorskip("fasttrace.backends.c")
    philox = c.ffi.new("ft_philox *")
    for key in ((0, 0), (3, 9), (2**64 - 1, 2**63 + 1)):
        c.lib.ft_philox_init(philox, *key)
        assert [c.lib.ft_philox_double(philox) for _ in range(23)] == generator(*key).random(23).tolist()
        philox.used += 22  # passed over, in the middle of a block
        assert c.lib.ft_philox_double(philox) == generator(*key).random(46)[-1]
    counter = [2**64 - 2, 2**64 - 1, 3, 4]
    c.lib.ft_philox_init(philox, 1, 2)
    philox.counter = counter
    bits = np.random.Philox(key=np.array([1, 2], np.uint64), counter=np.array(counter, np.uint64))
    assert [c.lib.ft_philox_double(philox) for _ in range(9)] == np.random.Generator(bits).random(9).tolist()


# ---- interrupts, progress ----------------------------------------------------------------------------------


@pytest.fixture
def in_fives(monkeypatch):
    monkeypatch.setattr(pieces, "paced", lambda size, seconds: 25)
    monkeypatch.setattr(sys.modules["fasttrace.simulate"], "_AT_FIRST", 25)
    monkeypatch.setattr(sys.modules["fasttrace.linear.learner"].LinearLearner, "first_piece", lambda *_: 25)


@everywhere
@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupted_simulation(threads, backend, in_fives):
    """What was done goes with the exception; each agent is as after so many steps."""
    env, coder = world()
    agents = population(ft.TrueOnlineSarsa, env, coder, backend)

    def report(steps, episodes):
        if steps > 40:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        ft.simulate(env, agents, coder, steps=10**7, max_episode_steps=12, threads=threads, progress=report)
    history = caught.value.history
    assert caught.value.steps == history.steps.sum() > 40
    for i in range(N):
        one = alone(ft.TrueOnlineSarsa, i, env, coder, backend)
        steps = int(history.steps[i])
        want = ft.simulate(env, one, coder, steps=steps, max_episode_steps=12, seed=generator(0, i))
        assert_array_equal(history.lengths[i, : len(want.lengths)], want.lengths)
        assert_array_equal(agents[i].weights, one.weights)
    agents.reset()  # free


@pytest.mark.parametrize("threads", [1, 2])
def test_whatever_a_progress_function_raises_comes_out(threads, in_fives):
    env, coder = world()
    agents = population(ft.Sarsa, env, coder)

    def report(steps, episodes):
        assert agents.weights.shape == (N, *sizes(env, coder))  # it may look
        raise LookupError

    with pytest.raises(LookupError):
        ft.simulate(env, agents, coder, steps=1000, threads=threads, progress=report)
    assert ft.simulate(env, agents, coder, steps=10).steps.tolist() == [10] * N


@pytest.mark.parametrize("threads", [1, 2])
def test_progress_gets_what_all_have_done(threads, in_fives):
    env, coder = world()
    reports = []
    history = ft.simulate(
        env, population(ft.Sarsa, env, coder), coder, steps=100, max_episode_steps=30, threads=threads,
        progress=lambda steps, episodes, returns: reports.append((steps, episodes, returns)),
    )  # fmt: skip
    assert reports[-1][:2] == (100 * N, 3 * N)
    assert [each[0] for each in reports] == sorted(each[0] for each in reports)
    got = np.sort(np.concatenate([each[2] for each in reports]))
    assert_array_equal(got, np.sort(history.returns.reshape(-1)))


def test_progress_shows_a_bar(capsys):
    pytest.importorskip("rich")
    env, coder = world()
    agents = population(ft.Sarsa, env, coder)
    ft.simulate(env, agents, coder, episodes=2, max_episode_steps=50, progress=True)
    shown = capsys.readouterr().out
    assert "episodes, mean return -50" in shown
    assert "steps/s" in shown


def test_one_user_at_a_time():
    env, coder = world()
    agents = population(ft.Sarsa, env, coder)

    def report(steps, episodes):
        with pytest.raises(RuntimeError, match="in use"):
            agents.reset()

    ft.simulate(env, agents, coder, steps=10, progress=report)


# ---- learn -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", EVERY.values(), ids=str)
@pytest.mark.parametrize("threads", [1, 2])
def test_learns_from_many_streams(algorithm, threads):
    """N streams in one call are each agent's own learn, to the bit."""
    streams = [random_stream(i, T=30, n=12, n_actions=3 if algorithm.control else 0) for i in range(3)]
    cls = getattr(ft, algorithm.learner)
    shape = (12, 3) if algorithm.control else (12,)
    options = {"alpha": 0.01, "backend": "c"} | algorithm.options
    if algorithm.control:
        options["seed"] = 0
    agents = ft.Population(cls, *shape, 3, **options)
    singles = [agents[i] for i in range(3)]
    given = [np.stack([s.x() for s in streams])]
    if algorithm.control:
        given.append(np.stack([s.actions for s in streams]))
    given.append(np.stack([s.rewards for s in streams]))
    series = {"gammas": np.stack([s.gammas for s in streams])}
    if "lambdas" in algorithm.takes:
        series["lambdas"] = np.array([[0.3], [0.8], [0.0]])
    more = needed(singles[0], 31)
    deltas = agents.learn(*given, threads=threads, **series, **more)
    for i, one in enumerate(singles):
        own = {name: value[i] if len(value[i]) > 1 else value[i, 0] for name, value in series.items()}
        assert_array_equal(deltas[i], one.learn(*(each[i] for each in given), **own, **more))
        assert same(agents[i], one)


@without_numba
def test_forms_of_features_and_none_at_all(backend):
    """Pairs and dense rows; LSTD has no TD errors; a stream of one state changes nothing."""
    rng = np.random.default_rng(0)
    x, rewards = rng.normal(size=(2, 6, 4)), rng.normal(size=(2, 5))
    index = np.tile(np.arange(4), (2, 6, 1))
    weights = []
    for given in (x, (index, x)):
        agents = ft.Population(ft.TD, 4, 2, alpha=0.1, backend=backend)
        assert agents.learn(given, rewards).shape == (2, 5)
        weights.append(agents.weights)
    np.testing.assert_allclose(*weights, atol=1e-12)
    assert agents.learn(x[:, :1], rewards[:, :0]).shape == (2, 0)
    assert_array_equal(agents.weights, weights[1])
    solver = ft.Population(ft.LSTD, 4, 2, backend=backend)
    assert solver.learn(x, rewards) is None
    assert not np.array_equal(solver.weights[0], solver.weights[1])


@without_numba
@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupted_learn(threads, backend, in_fives, monkeypatch):
    """Each agent has learned the beginning of its stream, and the exception says how much."""
    x, rewards = np.random.default_rng(0).integers(0, 6, (3, 400, 2)), np.ones((3, 399))
    agents = ft.Population(ft.TD, 6, 3, alpha=0.1, backend=backend)
    monkeypatch.setattr(crew.Crew, "run", lambda self, watch, run=crew.Crew.run: run(self, interrupt))

    def interrupt():
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        agents.learn(x, rewards, threads=threads)
    for i, steps in enumerate(caught.value.steps):
        one = ft.TD(6, alpha=0.1, backend=backend)
        assert_array_equal(caught.value.deltas[i, :steps], one.learn(x[i, : steps + 1], rewards[i, :steps]))
        assert np.isnan(caught.value.deltas[i, steps:]).all()
        np.testing.assert_allclose(agents[i].weights, one.weights, rtol=0, atol=1e-15)


def test_nothing_has_changed_where_one_stream_is_bad():
    """The error says whose it is."""
    agents = ft.Population(ft.Sarsa, 6, 2, 3, alpha=0.1)
    agents.weights = np.random.default_rng(0).normal(size=(3, 6, 2))
    before = plain(agents.state_dict())
    x, actions, rewards = np.zeros((3, 4, 1), int), np.zeros((3, 4), int), np.ones((3, 3))

    def at(array, place, value):
        array = array.copy().astype(float if isinstance(value, float) else array.dtype)
        array[place] = value
        return array

    for given, more, error, match in (
        ((at(x, (2, 1), 6), actions, rewards), {}, ft.FeatureIndexError, "agent 2"),
        ((x, at(actions, (1, 0), -1), rewards), {}, IndexError, "agent 1: actions"),
        ((x, actions, at(rewards, (2, 0), np.nan)), {}, ValueError, "agent 2: rewards"),
        ((x, actions, rewards), {"gammas": np.full((3, 3), 1.5)}, ValueError, "agent 0: gammas"),
        ((x, actions, rewards[:, :2]), {}, ValueError, "rewards"),
        ((x[:2], actions, rewards), {}, ValueError, "x: got shape"),
        ((x, actions[0], rewards), {}, ValueError, "actions: got shape"),
        ((x, actions, rewards), {"gammas": np.ones((2, 3))}, ValueError, "gammas: got shape"),
        ((x, rewards), {}, TypeError, "expected actions, rewards"),
        ((x, actions, rewards), {"gamma": 0.5}, TypeError, "unknown keyword 'gamma'"),
        ((x, actions, rewards), {"threads": 0}, ValueError, "threads"),
    ):
        with pytest.raises(error, match=match):
            agents.learn(*given, **more)
        assert plain(agents.state_dict()) == before


# ---- agents in and out, states -----------------------------------------------------------------------------


def test_agents_in_and_out():
    """agents[i] is a copy; what is put in is one, too, with its own numbers, in the population's backend."""
    env, coder = world()
    agents = population(ft.TrueOnlineSarsa, env, coder)
    ft.simulate(env, agents, coder, steps=100)
    one = agents[-1]
    assert type(one) is ft.TrueOnlineSarsa
    assert same(one, agents[N - 1])
    one.weights = np.ones(sizes(env, coder))
    assert not np.array_equal(agents[-1].weights, one.weights)
    other = ft.TrueOnlineSarsa(*sizes(env, coder), alpha=0.7, lambda_=0.25, backend="numpy")
    agents[1] = other
    assert agents[1].backend == "c"
    assert agents.alpha[1] == 0.7
    assert agents.lambda_.tolist() == [0.9, 0.25, 0.9, 0.9, 0.9]
    assert [each.alpha for each in agents] == agents.alpha.tolist()
    assert len(agents) == len(agents.weights) == N
    for i, error in ((N, IndexError), (-N - 1, IndexError), (slice(2), TypeError), (0.5, TypeError)):
        with pytest.raises(error, match="agents"):
            agents[i]
    with pytest.raises(TypeError, match="expected TrueOnlineSarsa"):
        agents[0] = ft.Sarsa(*sizes(env, coder), alpha=0.1)
    with pytest.raises(ValueError, match="n_features"):
        agents[0] = ft.TrueOnlineSarsa(7, 3, alpha=0.1)


def test_numbers_of_all_and_of_each():
    """Options are read as (N,) and set for all or for each, or not at all."""
    agents = ft.Population(ft.Sarsa, 6, 2, 3, alpha=[0.1, 0.2, 0.3], epsilon=0.2)
    assert agents.epsilon.tolist() == [0.2] * 3
    agents.epsilon = np.array([0.0, 0.5, 1.0])
    agents.gamma = 0.5
    assert [each.epsilon for each in agents] == [0.0, 0.5, 1.0]
    assert agents.gamma.tolist() == [0.5] * 3
    with pytest.raises(ValueError, match="agent 2: alpha"):
        agents.alpha = [0.5, 0.5, -1.0]
    assert agents.alpha.tolist() == [0.1, 0.2, 0.3]
    with pytest.raises(AttributeError, match="beta"):
        agents.beta  # noqa: B018
    agents.weights = np.ones((6, 2))
    assert agents.weights.tolist() == np.ones((3, 6, 2)).tolist()
    with pytest.raises(ValueError, match="weights"):
        agents.weights = np.ones((2, 6, 2))


@without_numba
@pytest.mark.parametrize("cls", [ft.Sarsa, ft.GTD, ft.ActorCritic])
def test_states_go_round(cls, backend, tmp_path):
    """Pickles, copies, state dicts and files go on as the population does, to the bit."""
    env, coder = world(None if cls is not ft.GTD else WALK)
    more = {ft.Sarsa: {}, ft.GTD: {"beta": 0.05}, ft.ActorCritic: {"alpha_actor": 0.1}}[cls]
    agents = population(cls, env, coder, backend, **more)
    run = {"steps": 60, "max_episode_steps": 25, "seed": 2}
    ft.simulate(env, agents, coder, **run)
    agents.save(tmp_path / "agents.npz")
    file = io.BytesIO()
    agents.save(file)
    file.seek(0)
    blank = population(cls, env, coder, backend, **more)
    blank.load_state_dict(agents.state_dict())
    same_again = [
        ft.load(tmp_path / "agents.npz"), ft.load(file), blank, pickle.loads(pickle.dumps(agents)),
        copy.copy(agents), copy.deepcopy(agents),
    ]  # fmt: skip
    assert {type(each) for each in same_again} == {ft.Population}
    assert same_again[0].backend == backend
    ft.simulate(env, agents, coder, **run)
    for each in same_again:
        assert not same(each, agents)
        ft.simulate(env, each, coder, **run)
        assert same(each, agents)
    moved = copy.copy(agents).to("numpy")
    assert moved.backend == moved[0].backend == "numpy"
    np.testing.assert_allclose(moved.weights, agents.weights, atol=1e-12)
    agents.reset()
    assert all(not agents[i].trace.any() for i in range(N))


def test_refuses_a_state_that_is_not_its_own():
    agents = ft.Population(ft.Sarsa, 6, 2, 3, alpha=0.1, seed=0)
    before = plain(agents.state_dict())
    for other in (
        ft.Population(ft.Sarsa, 6, 2, 4, alpha=0.1),
        ft.Population(ft.TrueOnlineSarsa, 6, 2, 3, alpha=0.1),
        ft.Population(ft.Sarsa, 7, 2, 3, alpha=0.1),
        ft.Sarsa(6, 2, alpha=0.1),
    ):
        with pytest.raises(ValueError, match="state"):
            agents.load_state_dict(other.state_dict())
    broken = agents.state_dict()
    broken["options"]["each"] = {"alpha": [0.1]}
    with pytest.raises(ValueError, match="state"):
        agents.load_state_dict(broken)
    assert plain(agents.state_dict()) == before


def test_refuses_what_does_not_fit():
    env, coder = world()
    n = coder.n_features
    sarsa = ft.TrueOnlineSarsa
    for call, error, match in (
        (lambda: ft.Population(sarsa, n, 3, 0, alpha=0.1), ValueError, "N: got 0"),
        (lambda: ft.Population(sarsa, n, 3, 2.5, alpha=0.1), TypeError, "N"),
        (lambda: ft.Population(sarsa, n, 3, alpha=0.1), TypeError, "expected n_actions and N"),
        (lambda: ft.Population(ft.TD, n, 3, 4, alpha=0.1), TypeError, "expected N for TD"),
        (lambda: ft.Population("Sarsa", n, 3, 4, alpha=0.1), TypeError, "learner: got 'Sarsa'"),
        (lambda: ft.Population(ft.neural.StreamQ, n, 3, 4), TypeError, "learner: got StreamQ"),
        (lambda: ft.Population(sarsa, n, 3, 4), TypeError, "alpha"),
        (lambda: ft.Population(sarsa, n, 3, 4, alhpa=0.1), TypeError, "did you mean 'alpha'"),
        (lambda: ft.Population(sarsa, n, 3, 4, alpha=[0.1, 0.2]), ValueError, r"alpha: got shape \(2,\)"),
        (lambda: ft.Population(sarsa, n, 3, 2, alpha=[0.1, -1.0]), ValueError, "agent 1: alpha"),
        (lambda: ft.Population(sarsa, n, 3, 2, alpha=["a", "b"]), TypeError, "alpha"),
        (lambda: ft.Population(sarsa, n, 3, 2, alpha=0.1, seed="x"), TypeError, "seed"),
        (lambda: ft.Population(sarsa, n, 3, 2, alpha=0.1, backend="d"), ValueError, "backend"),
        (lambda: ft.Population(sarsa, n, 3, 2, alpha=0.1, dtype=int), TypeError, "dtype"),
        (lambda: ft.Population(ft.GTD, n, 2, alpha=0.1, beta=0.1, dtype="f4"), ValueError, "float64 for GTD"),
        (lambda: ft.Population(ft.TD, n, 2, alpha=0.1, dtype="f4", backend="numpy"), ValueError, "numpy"),
    ):
        with pytest.raises(error, match=match):
            call()
    agents = population(sarsa, env, coder)
    started = agents[1]
    started.start(coder((-0.5, 0.0)))
    agents[1] = started  # in the middle of an episode, and so it stays
    before = plain(agents.state_dict())
    for given, error, match in (
        ({}, ValueError, "episodes, steps"),
        ({"steps": 5, "coder": None}, ValueError, "coder: got None"),
        ({"steps": 5, "coder": ft.TileCoder(env.low, env.high, 4, 2)}, ValueError, "features"),
        ({"steps": 5, "env": ft.envs.CartPole()}, ValueError, "actions"),
        ({"steps": 5, "env": "MountainCar"}, TypeError, "env"),
        ({"steps": 5, "seed": [1, 2]}, ValueError, r"seed: got shape \(2,\)"),
        ({"steps": 5, "seed": -1}, ValueError, "seed: got -1"),
        ({"steps": 5, "seed": [1, 2, 3, 4, -5]}, ValueError, r"seed\[4\]: got -5"),
        ({"steps": 5, "seed": np.random.default_rng(0)}, TypeError, "seed"),
        ({"steps": 5, "threads": 0}, ValueError, "threads: got 0"),
        ({"steps": 5, "threads": 1.5}, TypeError, "threads"),
    ):
        with pytest.raises(error, match=match):
            ft.simulate(**{"env": env, "agent": agents, "coder": coder} | given)
    assert plain(agents.state_dict()) == before
    with pytest.raises(ValueError, match=r"threads: .* one agent"):
        ft.simulate(env, agents[0], coder, steps=5, threads=2)
    with pytest.raises(TypeError, match="agent: TreeBackupTD asks for pi"):
        ft.simulate(WALK, ft.Population(ft.TreeBackupTD, 7, 2, alpha=0.1), steps=5)
    pairs = ft.Population(sarsa, n, 3, 2, alpha=0.1, state_action=True)
    with pytest.raises(ValueError, match="state_action"):
        ft.simulate(env, pairs, coder, steps=5)


SINGLE = (  # learner, sizes, options
    (ft.TD, (40,), {}),
    (ft.TD, (40,), {"trace": "replacing"}),
    (ft.EmphaticTD, (40,), {}),
    (ft.TrueOnlineSarsa, (40, 3), {}),
    (ft.Sarsa, (40, 2), {"trace": "replacing", "clear_others": True}),
    (ft.Sarsa, (40, 6), {"trace": "dutch"}),
    (ft.ExpectedSarsa, (40, 3), {}),
)


@pytest.mark.parametrize(
    ("cls", "sizes", "options"), SINGLE, ids=lambda value: getattr(value, "__name__", "")
)
@pytest.mark.parametrize("dense", [False, True])
def test_in_float32(cls, sizes, options, dense):
    """Half the memory, and numbers of float64 but for the rounding of weights and traces."""
    if dense and options.get("trace") == "replacing":
        pytest.skip("replacing traces are for binary features")
    rng = np.random.default_rng(3)
    N, T = 3, 2000
    x = rng.normal(size=(N, T + 1, 40)) / 6 if dense else rng.integers(0, 40, (N, T + 1, 5))
    given = (*(rng.integers(0, actions, (N, T + 1)) for actions in sizes[1:]), rng.normal(size=(N, T)))
    both = [
        ft.Population(cls, *sizes, N, alpha=0.01, lambda_=0.9, backend="c", dtype=dtype, **options)
        for dtype in ("f4", "f8")
    ]
    deltas = [agents.learn(x, *given) for agents in both]
    single, double = both
    assert single.weights.dtype == np.float32
    assert 0.0 < np.abs(deltas[0] - deltas[1]).max() < 1e-4
    assert_allclose(single.weights, double.weights, rtol=0, atol=2e-5)
    assert single[0]._trace.rows.dtype == np.float64
    assert single._each[0]._trace.rows.nbytes * 2 == double._each[0]._trace.rows.nbytes


@compiled
def test_simulates_in_float32(backend, tmp_path):
    env, coder = world()
    single, double = (
        population(ft.TrueOnlineSarsa, env, coder, backend, epsilon=0.0, dtype=dtype)
        for dtype in ("f4", "f8")
    )
    one, other = (ft.simulate(env, each, coder, steps=400, seed=1) for each in (single, double))
    assert_array_equal(one.steps, other.steps)
    assert_allclose(single.weights, double.weights, rtol=0, atol=1e-4)
    single.save(tmp_path / "single.npz")
    for again in (
        ft.load(tmp_path / "single.npz"),
        pickle.loads(pickle.dumps(single)),
        copy.deepcopy(single),
    ):
        assert again.dtype == np.float32
        assert_array_equal(again.weights, single.weights)
    single[1] = single[0]
    assert_array_equal(single.weights[1], single.weights[0])
    assert "dtype=float32" in repr(single)
    with pytest.raises(ValueError, match="this population is of float64"):
        double.load_state_dict(single.state_dict())
    with pytest.raises(ValueError, match="computes in float64"):
        single.to("numpy")


def test_says_what_it_is():
    agents = ft.Population(ft.Sarsa, 6, 2, 3, alpha=[0.1, 0.2, 0.3], gamma=1.0, backend="c")
    text = repr(agents)
    assert text.startswith("Population(Sarsa, N=3, n_features=6, ")
    assert "gamma=1.0" in text
    assert "alpha=..." in text
    assert (agents.n_features, agents.n_actions, agents.dtype, agents.learner) == (6, 2, np.float64, ft.Sarsa)


def test_what_can_be_set_of_agents_can_be_set_of_all():
    """Words too, and options that no other learner has; of a wrong one nothing has changed."""
    for cls, sizes, name, value in (
        (ft.Sarsa, (5, 3, 2), "policy", "softmax"),
        (ft.SwiftTD, (5, 2), "eta", 0.3),
        (ft.VtraceTD, (5, 2), "rho_bar", 0.5),
        (ft.ActorCritic, (5, 3, 2), "alpha_actor", 0.3),
    ):
        more = {"alpha_actor": 0.1} if cls is ft.ActorCritic else {}
        agents = ft.Population(cls, *sizes, alpha=0.1, **more)
        setattr(agents, name, value)
        assert getattr(agents, name).tolist() == [value] * 2
        assert getattr(agents[1], name) == value
    agents.alpha_actor = [0.2, 0.4]
    with pytest.raises(ValueError, match="agent 1: alpha_actor"):
        agents.alpha_actor = [0.5, -1.0]
    assert agents.alpha_actor.tolist() == [0.2, 0.4]
    with pytest.raises(AttributeError, match="Population has no attribute 'tau'"):
        _ = agents.tau
