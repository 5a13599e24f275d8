"""The linear actor-critic: what the boxes of sections 13.5 and 13.6 say, and what it learns."""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from states import THERE, plain, same
from streams import BACKENDS, COMPILED, random_stream, relative

import fasttrace as ft
from fasttrace.backends.numpy.actor_critic import score
from fasttrace.policy import choose

backends = pytest.mark.parametrize("backend", BACKENDS)
FORMS = ("indices", "pair", "ragged", "ragged_pair", "dense")
KINDS = {
    "episodic": {},
    "without I": {"discount_actor": False},
    "continuing": {"eta": 0.03},
    "own lambda": {"lambda_actor": 0.4, "temperature": 0.6},
}
kinds = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)


def stream(seed=3, form="indices", n_actions=3, **options):
    options = {"T": 60, "n": 12, "k": 4, "repeats": True} | options
    return random_stream(seed, form=form, n_actions=n_actions, **options)


def new(s, backend, **options):
    agent = ft.ActorCritic(
        s.n, s.n_actions, **{"alpha": s.alpha, "alpha_actor": 0.1, "seed": 5, "backend": backend, **options}
    )
    agent.weights, agent.actor_weights = s.weights[:, 0], s.weights
    return agent


def learn(agent, s, start=0, stop=None, **more):
    stop = s.T if stop is None else stop
    more = {"gammas": s.gammas, "lambdas": s.lambdas, **more}
    more = {name: value[start:stop] if np.ndim(value) else value for name, value in more.items()}
    return agent.learn(s.x(start, stop), s.actions[start : stop + 1], s.rewards[start:stop], **more)


def all_of(agent):
    names = ("weights", "actor_weights", "trace", "actor_trace", "average_reward")
    return [getattr(agent, name) for name in names]


def state_of(s, t):
    x = s.x(t, t)
    if isinstance(x, ft.Ragged):
        return x.indices if x.values is None else (x.indices, x.values)
    return tuple(part[0] for part in x) if isinstance(x, tuple) else x[0]


# ---- the boxes ----


def test_score_is_the_gradient_of_the_logarithm():
    """grad ln pi(a|s), against differences of ln pi."""
    rng = np.random.default_rng(0)
    theta, x, temperature = rng.normal(size=(4, 3)), rng.normal(size=4), 0.7

    def log_pi(theta, action):
        h = x @ theta / temperature
        return h[action] - math.log(np.exp(h).sum())

    for action in range(3):
        gradient = np.empty((4, 3))
        for place in np.ndindex(4, 3):
            step = np.zeros((4, 3))
            step[place] = 1e-6
            gradient[place] = (log_pi(theta + step, action) - log_pi(theta - step, action)) / 2e-6
        assert_allclose(score(theta, x, action, temperature), gradient, atol=1e-9)


def box(agent, s, alpha, alpha_actor, lambdas, lambdas_actor, gammas):
    """The box of section 13.5, or with eta that of 13.6, in plain arrays; a discount of 0 begins anew."""
    w, theta = agent.weights, agent.actor_weights
    z, z_actor = np.zeros_like(w), np.zeros_like(theta)
    I, average, decays, deltas = 1.0, 0.0, (0.0, 0.0), []  # noqa: E741 - the book's name
    for t in range(s.T):
        x, x_next, gamma = s.dense(t), s.dense(t + 1), gammas[t]
        pi = np.exp(x @ theta / agent.temperature)
        pi /= pi.sum()
        if agent.eta is None:
            delta = s.rewards[t] + gamma * (w @ x_next) - w @ x
        else:
            gamma = float(gamma != 0)
            delta = s.rewards[t] - average + gamma * (w @ x_next) - w @ x
            average += agent.eta * delta
        z = decays[0] * z + x
        grad = np.outer(x, np.eye(s.n_actions)[s.actions[t]] - pi) / agent.temperature
        z_actor = decays[1] * z_actor + (I if agent.discount_actor else 1.0) * grad
        w = w + alpha[t] * delta * z
        theta = theta + alpha_actor[t] * delta * z_actor
        I = I * gamma if gamma else 1.0  # noqa: E741
        decays = gamma * lambdas[t], gamma * lambdas_actor[t]
        deltas.append(delta)
    return [w, theta, z, z_actor, average], np.array(deltas)


@kinds
@pytest.mark.parametrize("form", FORMS)
@backends
def test_is_the_box(options, form, backend):
    """Everything may change by the step; every form of features, and any number of actions."""
    for n_actions in (1, 2, 3, 5):
        s = stream(n_actions, form, n_actions)
        rng = np.random.default_rng(n_actions)
        alpha, alpha_actor = s.alpha * rng.uniform(0.2, 1, s.T), rng.uniform(0.01, 0.2, s.T)
        lambdas_actor = np.where(rng.random(s.T) < 0.1, 0.0, rng.random(s.T))
        agent = new(s, backend, **options)
        want, deltas = box(agent, s, alpha, alpha_actor, s.lambdas, lambdas_actor, s.gammas)
        numbers = {"alpha": alpha, "alpha_actor": alpha_actor, "lambdas_actor": lambdas_actor}
        assert_allclose(learn(agent, s, **numbers), deltas, rtol=0, atol=1e-11)
        for got, expected in zip(all_of(agent), want, strict=True):
            assert relative(got, expected) < 1e-11


@pytest.mark.skipif(len(THERE) < 3, reason="to the bit: needs Numba and C")
@kinds
@pytest.mark.parametrize("form", FORMS)
def test_numba_and_c_agree_to_the_bit(options, form):
    """Rows of every width, and many closed epochs."""
    for n_actions in (1, 2, 3, 4, 6):
        s = stream(7, form, n_actions, T=200)
        one, other = new(s, "numba", **options), new(s, "c", **options)
        assert_array_equal(learn(one, s), learn(other, s))
        assert plain(one.state_dict()["arrays"]) == plain(other.state_dict()["arrays"])


@kinds
@backends
def test_the_critic_is_td(options, backend):
    """To the bit, where the task is discounted; with eta it is TD of rewards less their average."""
    s = stream()
    agent, td = new(s, backend, **options), ft.TD(s.n, alpha=s.alpha, backend=backend)
    td.weights = agent.weights
    if agent.eta is None:
        assert_array_equal(learn(agent, s), td.learn(s.x(), s.rewards, gammas=s.gammas, lambdas=s.lambdas))
        assert_array_equal(agent.weights, td.weights)
    else:
        for t in range(s.T):
            reward, gamma = s.rewards[t] - agent.average_reward, float(s.gammas[t] != 0)
            learn(agent, s, t, t + 1)
            td.learn(s.x(t, t + 1), [reward], gammas=gamma, lambdas=s.lambdas[t])
        assert relative(agent.weights, td.weights) < 1e-13


@kinds
@pytest.mark.parametrize("form", FORMS)
@backends
def test_pieces_leave_the_same_learner(options, form, backend):
    """learn, split anywhere, is learn at once, to the bit."""
    s = stream(form=form)
    whole = new(s, backend, **options)
    deltas = learn(whole, s)
    for cuts in ((17,), (0, 60), (5, 5, 6, 20), range(1, 60)):
        pieces = new(s, backend, **options)
        edges = [0, *cuts, s.T]
        parts = [learn(pieces, s, a, b) for a, b in itertools.pairwise(edges)]
        assert_array_equal(np.concatenate(parts), deltas)
        assert same(pieces, whole)


# ---- I ----


@backends
def test_the_actor_learns_by_what_is_left_of_the_discount(backend):
    """I is the product of the discounts so far: with lambda_actor 0 the trace is I grad ln pi."""
    s = stream(restarts=False)
    gammas = s.gammas.copy()
    gammas[20] = 0.0
    weighed, even = (new(s, backend, lambda_actor=0.0, discount_actor=d) for d in (True, False))
    for t in range(40):
        for agent in (weighed, even):
            agent.weights, agent.actor_weights = s.weights[:, 0], s.weights  # the same policy for both
            learn(agent, s, t, t + 1, gammas=gammas)
        I = np.prod(gammas[21:t]) if t > 20 else np.prod(gammas[:t])  # noqa: E741 - the book's name
        assert_allclose(weighed.actor_trace, I * even.actor_trace, rtol=1e-12)
        assert_array_equal(weighed.trace, even.trace)
    weighed.reset()
    even.reset()
    for agent in (weighed, even):
        agent.weights, agent.actor_weights = s.weights[:, 0], s.weights
        learn(agent, s, 0, 1)
    assert_array_equal(weighed.actor_trace, even.actor_trace)


@pytest.mark.parametrize("backend", COMPILED)
def test_a_discount_that_fades_away(backend):
    """After thousands of steps without an end I is 0, and the actor waits for the next episode."""
    s = stream(T=3000, restarts=False)
    gammas = np.full(s.T, 0.8)
    gammas[2500] = 0.0
    agent, book = new(s, backend), new(s, "numpy")
    theta = None
    for stop in (2400, 2500, 3000):
        start = {2400: 0, 2500: 2400, 3000: 2500}[stop]
        for each in (agent, book):
            learn(each, s, start, stop, gammas=gammas)
        for got, want in zip(all_of(agent), all_of(book), strict=True):
            assert relative(got, want) < 1e-11
        if stop == 2500:
            assert_array_equal(agent.actor_weights, theta)
        theta = agent.actor_weights
    assert np.abs(theta - s.weights).max() > 0.01


# ---- the average reward ----


@backends
def test_the_average_reward(backend):
    """It comes to the mean of the rewards, is kept over reset() and copies, and can be set."""
    rewards = np.tile([1.0, 0.0, 2.0, 5.0], 500)
    agent = ft.ActorCritic(4, 2, alpha=0.1, alpha_actor=0.01, eta=0.02, backend=backend)
    assert agent.average_reward == 0.0
    agent.learn((np.arange(2001) % 4)[:, None], np.zeros(2001, int), rewards)
    assert agent.average_reward == pytest.approx(2.0, abs=0.05)
    before = agent.average_reward
    agent.reset()
    assert agent.average_reward == copy.deepcopy(agent).average_reward == before
    agent.average_reward = -1.5
    assert agent.average_reward == -1.5
    for wrong, exception in ((math.nan, ValueError), ("1", TypeError)):
        with pytest.raises(exception, match="average_reward"):
            agent.average_reward = wrong
    assert agent.average_reward == -1.5


@backends
def test_with_eta_there_is_no_discount(backend):
    """A discount that is not 0 counts as 1, whoever gives it; 0 ends an episode."""
    s = stream()
    ended = (s.gammas != 0).astype(float)
    one, other = new(s, backend, eta=0.1, gamma=0.3), new(s, backend, eta=0.1, gamma=1.0)
    assert_array_equal(learn(one, s), learn(other, s, gammas=ended))
    assert plain(one.state_dict()["arrays"]) == plain(other.state_dict()["arrays"])
    assert_array_equal(learn(one, s, gammas=None), learn(other, s, gammas=None))


@backends
def test_divergence_shows_and_passes(backend):
    """In the actor as in the critic; new weights, average and a reset make it as new."""
    x, actions = np.arange(3001)[:, None] % 2, np.arange(3001) % 2
    for wrong in ({"alpha": 1e4}, {"alpha_actor": 1e308, "alpha": 0.1}):
        agent = ft.ActorCritic(2, 2, **{"alpha_actor": 0.1, "eta": 0.5, "backend": backend, **wrong})
        agent.learn(x, actions, 9.0 * np.cos(np.arange(3000.0)))
        assert agent.diverged
        agent.probabilities([0])
        assert pickle.loads(pickle.dumps(agent)).diverged
        agent.weights, agent.actor_weights, agent.average_reward = [0, 0], np.zeros((2, 2)), 0
        agent.reset()
        assert not agent.diverged
        agent.alpha = agent.alpha_actor = 0.1
        fresh = ft.ActorCritic(2, 2, alpha=0.1, alpha_actor=0.1, eta=0.5, backend=backend)
        for each in (agent, fresh):
            each.learn(x[:9], actions[:9], np.ones(8))
        assert_array_equal(agent.actor_weights, fresh.actor_weights)


# ---- options ----


@backends
def test_the_actors_lambda_is_the_critics_where_none_is_given(backend):
    """lambda_actor None: lambda_, and the lambdas of a call; a number stays what it is."""
    s = stream()
    for given in ({"lambdas": s.lambdas}, {"lambdas": None}):
        follows, told = new(s, backend, lambda_=0.7), new(s, backend, lambda_=0.7)
        learn(follows, s, **given)
        learn(told, s, **given, lambdas_actor=s.lambdas if given["lambdas"] is not None else 0.7)
        assert same(follows, told)
    own, told = new(s, backend, lambda_actor=0.2), new(s, backend)
    learn(own, s)
    learn(told, s, lambdas_actor=0.2)
    assert_array_equal(own.actor_weights, told.actor_weights)
    assert_array_equal(own.weights, told.weights)


@backends
def test_temperature_is_a_unit_of_preferences(backend):
    """theta / temperature is the policy: with alpha_actor temperature^2 it learns the same one."""
    s = stream()
    warm, cool = new(s, backend), new(s, backend, temperature=2.0, alpha_actor=0.4)
    cool.actor_weights = 2.0 * s.weights
    learn(warm, s)
    learn(cool, s)
    assert_allclose(cool.actor_weights, 2.0 * warm.actor_weights, rtol=0, atol=1e-12)
    assert_allclose(cool.probabilities(s.x()), warm.probabilities(s.x()), rtol=0, atol=1e-12)


OPTIONS = {  # out of range; no numbers
    "alpha_actor": ([0, -1.0, math.nan, math.inf], ["1", True, None]),
    "lambda_actor": ([-0.1, 1.1, math.nan], ["0.9", False]),
    "eta": ([-0.1, 1.1, math.nan], ["0.1", True]),
    "temperature": ([0.0, -1.0, math.inf], [None, "1"]),
    "discount_actor": ([], [None, 1, "yes"]),
}


@pytest.mark.parametrize("name", OPTIONS)
@backends
def test_options_out_of_range(name, backend):
    """Refused when the agent is made and when the attribute is set; the old value stays."""
    agent = ft.ActorCritic(4, 2, alpha=0.1, alpha_actor=0.1, backend=backend)
    before = agent.state_dict()
    outside, others = OPTIONS[name]
    for value, exception in [(v, ValueError) for v in outside] + [(v, TypeError) for v in others]:
        with pytest.raises(exception, match=name):
            setattr(agent, name, value)
        with pytest.raises(exception, match=name):
            ft.ActorCritic(4, 2, **{"alpha": 0.1, "alpha_actor": 0.1, "backend": backend, name: value})
    assert same(agent, before)


@backends
def test_series_out_of_range(backend):
    """lambdas_actor and alpha_actor are looked at like the others, before anything changes."""
    s = stream()
    agent = new(s, backend)
    before = agent.state_dict()
    for name, wrong in (
        ("lambdas_actor", 1.5), ("lambdas_actor", np.full(s.T, -0.1)), ("lambdas_actor", np.ones(s.T + 1)),
        ("alpha_actor", 0.0), ("alpha_actor", np.full(s.T, math.nan)), ("alpha_actor", [0.1]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=name):
            agent.learn(s.x(), s.actions, s.rewards, **{name: wrong})
    for weights in (np.zeros(s.n), np.zeros((s.n_actions, s.n)), np.full((s.n, s.n_actions), math.nan)):
        with pytest.raises(ValueError, match="actor_weights"):
            agent.actor_weights = weights
    for call in (agent.predict, agent.preferences, agent.q, agent.probabilities, agent.act, agent.start):
        with pytest.raises(ft.FeatureIndexError):
            call([0, s.n])
    assert same(agent, before)


@backends
def test_options_may_change_on_the_way(backend):
    """They are read at each call: as learn is given them by the step."""
    s = stream()
    changed, told = new(s, backend), new(s, backend)
    for t in range(s.T):
        changed.alpha_actor, changed.lambda_actor = 0.01 * (t + 1), t / s.T
        learn(changed, s, t, t + 1)
    alphas, lambdas = 0.01 * (np.arange(s.T) + 1), np.arange(s.T) / s.T
    learn(told, s, alpha_actor=alphas, lambdas_actor=lambdas)
    assert_array_equal(changed.actor_weights, told.actor_weights)
    changed.eta = 0.5
    learn(changed, s)
    assert changed.average_reward != 0.0


# ---- reading ----


@pytest.mark.parametrize("form", FORMS)
@backends
def test_values_preferences_probabilities(form, backend):
    """Of a state and of a stream: w.x, theta.x, and the softmax of it; nothing is learned."""
    s = stream(form=form)
    agent = new(s, backend, temperature=0.5)
    learn(agent, s)
    before = agent.state_dict()
    x = np.array([s.dense(t) for t in range(s.T + 1)])
    h = x @ agent.actor_weights
    pi = np.exp(h / 0.5)
    pi /= pi.sum(axis=1, keepdims=True)
    wanted = {agent.predict: x @ agent.weights, agent.preferences: h, agent.q: h, agent.probabilities: pi}
    for call, want in wanted.items():
        assert_allclose(call(s.x()), want, rtol=0, atol=1e-11)
        for t in range(9):
            assert_allclose(call(state_of(s, t)), want[t], rtol=0, atol=1e-11)
    assert type(agent.predict(state_of(s, 0))) is float
    assert [agent.act(state_of(s, t)) for t in range(9)] == list(np.argmax(h[:9], axis=1))
    assert same(agent, before)


@backends
def test_weights_can_be_set(backend):
    """Both, to the bit; the traces stay, and what is read is a copy."""
    s = stream()
    agent = new(s, backend)
    learn(agent, s, 0, 17)
    traces = agent.trace, agent.actor_trace
    w, theta = s.weights[:, 1] + 1.0, s.weights * 2.0
    agent.weights, agent.actor_weights = w, theta
    assert_array_equal(agent.weights, w)
    assert_array_equal(agent.actor_weights, theta)
    agent.actor_weights[:] = 7.0
    agent.actor_trace[:] = 7.0
    assert_array_equal(agent.actor_weights, theta)
    assert_array_equal(agent.trace, traces[0])
    assert_array_equal(agent.actor_trace, traces[1])


# ---- acting ----


@kinds
@pytest.mark.parametrize("form", ["indices", "pair", "dense"])
@backends
def test_acting_is_learning(options, form, backend):
    """start and step leave what learn of the same stream leaves, to the bit; the policy chooses by u."""
    s = stream(form=form)
    actor, student = new(s, backend, **options), new(s, backend, **options)
    twin = np.random.default_rng(5)

    def decide(t):
        return choose(actor.preferences(state_of(s, t)), ("softmax", actor.temperature), twin.random())

    wanted = decide(0)
    actions = [actor.start(state_of(s, 0))]
    assert actions == [wanted]
    for t in range(s.T):
        wanted = decide(t + 1)
        actions.append(actor.step(s.rewards[t], state_of(s, t + 1), gamma=s.gammas[t]))
        assert actions[-1] == wanted
    assert len(set(actions)) == 3
    student.start(state_of(s, 0))  # resets, as the actor's start did
    learn(student, s.but(actions=np.array(actions)), lambdas=None)
    for got, want in zip(all_of(actor), all_of(student), strict=True):
        assert_array_equal(got, want)


@kinds
@backends
def test_episodes_end_and_are_cut(options, backend):
    """end learns with nothing after, truncate with the value of the last state; then both are over."""
    s = stream(restarts=False)
    for last in ("end", "truncate"):
        actor, student = new(s, backend, **options), new(s, backend, **options)
        actions = [actor.start(state_of(s, 0))]
        actions += [actor.step(s.rewards[t], state_of(s, t + 1)) for t in range(4)]
        if last == "end":
            actor.end(s.rewards[4])
        else:
            actor.truncate(s.rewards[4], state_of(s, 5))
        gammas = np.full(5, actor.gamma)
        gammas[4] *= last == "truncate"
        student.start(state_of(s, 0))
        student.learn(s.x(0, 5), [*actions, 0], s.rewards[:5], gammas=gammas)
        assert student.trace.any()
        assert_allclose(actor.weights, student.weights, rtol=0, atol=1e-13)
        assert_allclose(actor.actor_weights, student.actor_weights, rtol=0, atol=1e-13)
        assert actor.trace.any() == actor.actor_trace.any() == (last == "end")
        for name, arguments in {"step": (1.0, [0]), "end": (1.0,), "truncate": (1.0, [0])}.items():
            with pytest.raises(RuntimeError, match=rf"{name}\(\) before start"):
                getattr(actor, name)(*arguments)
        other, again = actor.start(state_of(s, 7)), new(s, backend, **options)
        assert not actor.actor_trace.any()
        assert other in range(3)
        again.weights, again.actor_weights = actor.weights, actor.actor_weights
        again.average_reward = actor.average_reward
        for agent in (actor, again):  # no I, no trace is left
            agent.learn(s.x(0, 5), s.actions[:6], s.rewards[:5])
        assert_allclose(actor.actor_trace, again.actor_trace, rtol=0, atol=1e-13)


def by_state_dict(agent, path):
    other = ft.ActorCritic(agent.n_features, agent.n_actions, alpha=9, alpha_actor=9, backend=agent.backend)
    other.load_state_dict(agent.state_dict())
    return other


def by_file(agent, path):
    agent.save(path)
    return ft.load(path)


WAYS = {
    "pickle": lambda agent, path: pickle.loads(pickle.dumps(agent)),
    "deepcopy": lambda agent, path: copy.deepcopy(agent),
    "state_dict": by_state_dict,
    "file": by_file,
}


@kinds
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@backends
def test_copies_in_the_middle_of_an_episode(options, way, backend, tmp_path):
    """Options, both traces, I, the average, the state it is in and its generator are part of it."""
    s = stream(form="pair")
    agent = new(s, backend, **options)
    learn(agent, s, 0, 20)
    agent.start(state_of(s, 20))
    agent.step(1.0, state_of(s, 21))
    other = way(agent, tmp_path / "agent.npz")
    assert same(other, agent)
    assert repr(other) == repr(agent)
    for t in range(22, 50):
        assert agent.step(s.rewards[t], state_of(s, t)) == other.step(s.rewards[t], state_of(s, t))
    agent.end(1.0)
    assert not same(agent, other)
    other.end(1.0)
    assert same(agent, other)


@backends
def test_states_that_are_damaged_are_refused(backend):
    """A product of discounts that is none, parts that are missing or of another size; nothing is taken."""
    s = stream()
    agent = new(s, backend)
    learn(agent, s)
    state = agent.state_dict()
    arrays = state["arrays"]
    wrong = [{**arrays, "shared": np.array([value, 0.0])} for value in (-0.5, 1.5, math.nan)]
    wrong += [{key: a for key, a in arrays.items() if key != name} for name in arrays]
    wrong += [{**arrays, name: a[:-1]} for name, a in arrays.items()]
    wrong.append({**arrays, "critic_more": np.ones(1)})
    for each in wrong:
        with pytest.raises(ValueError, match="state"):
            agent.load_state_dict({**state, "arrays": each})
    other = ft.ActorCritic(s.n, 2, alpha=0.1, alpha_actor=0.1, backend=backend)
    with pytest.raises(ValueError, match="n_actions"):
        other.load_state_dict(state)
    assert same(agent, state)


@pytest.mark.parametrize("backend", [each for each in COMPILED if each.values == ("c",)])
def test_a_step_in_c_checks_what_it_is_given(backend):
    """Indices, actions and numbers: a code, and nothing has changed."""
    from fasttrace.backends.c import ffi, lib
    from fasttrace.backends.c.actor_critic import handle

    s = stream()
    agent = new(s, backend)
    learn(agent, s)
    before = agent.state_dict()
    work, delta = ffi.new("double[]", 12), ffi.new("double *")

    def step(index=1, action=0, reward=1.0, gamma=0.9, lambda_=0.5, lambda_actor=0.5, alpha=0.1,
             alpha_actor=0.1, temperature=1.0):  # fmt: skip
        idx = ffi.new("int32_t[]", [0, index])
        return lib.ft_actor_critic_step(
            handle(agent._trace), temperature, 1, idx, ffi.NULL, action, 2, idx, ffi.NULL, reward, gamma,
            lambda_, lambda_actor, alpha, alpha_actor, work, delta,
        )  # fmt: skip

    for index in (-2, s.n):
        assert step(index=index) == lib.FT_EINDEX
        assert agent._trace.critic.counter("bad_index") == index
    for action in (-1, 3):
        assert step(action=action) == lib.FT_EACTION
    for name, value in (
        ("reward", math.nan), ("gamma", 1.5), ("lambda_", -0.1), ("lambda_actor", math.nan), ("alpha", 0.0),
        ("alpha_actor", math.inf), ("temperature", 0.0),
    ):  # fmt: skip
        assert step(**{name: value}) == lib.FT_EVALUE
    assert same(agent, before)
    assert step() == lib.FT_OK
    assert not same(agent, before)


# ---- it learns ----


def corridor(agent, episodes):
    """The short corridor with switched actions (example 13.1): every state looks alike.  Mean return."""
    total = 0
    for _ in range(episodes):
        state, action = 0, agent.start([0])
        while True:
            right = (action == 1) != (state == 1)  # in the second state the actions are switched
            state = max(state + (1 if right else -1), 0)
            total -= 1
            if state == 3:
                agent.end(-1.0)
                break
            action = agent.step(-1.0, [0])
    return total / episodes


@backends
def test_learns_a_policy_that_is_not_greedy(backend):
    """The best policy goes right with probability .59, and is worth -11.6; greedy ones never arrive."""
    agent = ft.ActorCritic(
        1, 2, alpha=0.02, alpha_actor=0.002, gamma=1.0, lambda_=0.9, seed=1, backend=backend
    )
    agent.actor_weights = [[3.0, 0.0]]  # right with probability .05: worth -44
    assert corridor(agent, 20) < -30.0
    corridor(agent, 300)
    assert 0.5 < agent.probabilities([0])[1] < 0.68
    assert corridor(agent, 200) > -13.5


@backends
def test_learns_a_continuing_task(backend):
    """A ring of eight states, one of which pays 1: the agent learns to go round the short way."""
    agent = ft.ActorCritic(8, 2, alpha=0.1, alpha_actor=0.05, eta=0.01, lambda_=0.8, seed=0, backend=backend)
    state, action, paid = 4, agent.start([4]), []
    for _ in range(6000):
        state = (state + (1 if action else -1)) % 8
        reward = float(state == 0)
        if state == 0:
            state = 3  # and it begins anew: 3 steps to the left, or 5 to the right
        paid.append(reward)
        action = agent.step(reward, [state])
    assert np.mean(paid[-1000:]) > 0.3 > 0.15 > np.mean(paid[:500])
    assert agent.average_reward == pytest.approx(np.mean(paid[-1000:]), abs=0.03)
    assert (agent.probabilities([[1], [2], [3]])[:, 0] > 0.9).all()
