"""Streaming deep reinforcement learning: agreement, the four verbs, normalisation, cuts, states, faults."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fasttrace as ft
from fasttrace import registry
from fasttrace.backends.numpy import neural as reference
from fasttrace.neural import AdaptiveObGD, ObGD, StreamAC, StreamQ, StreamSarsa, StreamTD

BACKENDS = [name for name, reason in ft.backends().items() if reason is None]
I, A, K, T = 4, 3, 2, 90  # noqa: E741 - inputs, actions, moves, transitions
AGENTS = {
    "q": (StreamQ, {"n_actions": A}),
    "q_after": (StreamQ, {"n_actions": A, "cut": "after"}),
    "q_naive": (StreamQ, {"n_actions": A, "cut": False}),
    "sarsa": (StreamSarsa, {"n_actions": A, "activation": "tanh", "layer_norm": False}),
    "ac": (StreamAC, {"n_actions": A}),
    "ac_moves": (StreamAC, {"n_moves": K}),
}
LEARNERS = {"td": (StreamTD, {})} | AGENTS

backend_ = pytest.mark.parametrize("backend", BACKENDS)
compiled = pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "numpy"])
names = pytest.mark.parametrize("name", LEARNERS)
agents = pytest.mark.parametrize("name", AGENTS)


def make(name, backend="numpy", **options):
    cls, own = LEARNERS[name]
    return cls(I, **{"hidden": (17, 9), "dtype": np.float64, "backend": backend, "seed": 6, **own, **options})


def example(seed=1):
    """States of unlike sizes, actions, moves, rewards, gammas with terminations."""
    rng = np.random.default_rng(seed)
    S = rng.normal(size=(T + 1, I)) * [1.0, 50.0, 0.1, 2.0] + 1.0
    gammas = np.where(rng.random(T) < 0.08, 0.0, 0.97)
    return S, rng.integers(0, A, T + 1), rng.normal(size=(T + 1, K)), 3 * rng.normal(size=T), gammas


def learn(learner, name, start=0, stop=T):
    S, actions, moves, R, gammas = example()
    taken = {"td": (), "ac_moves": (moves[start : stop + 1],)}.get(name, (actions[start : stop + 1],))
    return learner.learn(S[start : stop + 1], *taken, R[start:stop], gammas=gammas[start:stop])


def everything(learner):
    return learner._trace.arrays()


def assert_same(one, other):
    a, b = everything(one), everything(other)
    assert [name for name in a if not np.array_equal(a[name], b[name])] == []


def play(learner, steps=60):
    """Episodes with every verb; the actions."""
    S, _, _, R, _ = example()
    found = [learner.start(S[0])]
    for t in range(1, steps):
        if t % 17 == 0:
            learner.end(R[t])
            found.append(learner.start(S[t]))
        elif t % 23 == 0:
            learner.truncate(R[t], S[t])
            found.append(learner.start(S[t]))
        else:
            found.append(learner.step(R[t], S[t]))
    return np.array(found)


# ---- agreement ----


@compiled
@names
def test_agrees_with_the_reference(name, backend):
    """TD errors, parameters, traces and statistics of a stream, with both optimisers."""
    row = next(row for row in registry.PERCEPTRONS if row.name == LEARNERS[name][0].__name__)
    for optimiser in (ObGD(), AdaptiveObGD(alpha=0.5)):
        got, want = (make(name, each, optimiser=optimiser) for each in (backend, "numpy"))
        assert_allclose(learn(got, name), learn(want, name), rtol=0, atol=row.tolerance)
        one, other = everything(got), everything(want)
        for part in one:
            assert_allclose(one[part], other[part], rtol=row.tolerance, atol=row.tolerance, err_msg=part)


@pytest.mark.skipif("c" not in BACKENDS or "numba" not in BACKENDS, reason="one of the two is missing")
@pytest.mark.parametrize("name", ["td", "q", "ac"])
def test_numba_is_c_to_the_bit(name):
    """The same operations in the same order.  For float32, which Numba compiles anew, see bench/."""
    one, other = (make(name, each) for each in ("c", "numba"))
    if name == "ac":  # exp and log are the C library's in both, which need not be one and the same
        assert_allclose(learn(one, name), learn(other, name), rtol=0, atol=1e-5)
        return
    assert_array_equal(learn(one, name), learn(other, name))
    assert_array_equal(one.params, other.params)


@compiled
@agents
def test_same_seed_same_walk(name, backend):
    """The same actions in every backend, start, step, end and truncate among them."""
    got, want = (make(name, each) for each in (backend, "numpy"))
    assert_allclose(play(got), play(want), rtol=0, atol=1e-9)
    assert_allclose(got.params, want.params, rtol=0, atol=1e-11)


@compiled
@agents
def test_an_episode_begins_as_the_references(name, backend):
    """To the last flag: whether the first action was greedy is kept of those, too, that do not ask."""
    reference, agent = (make(name, each) for each in ("numpy", backend))
    state = example()[0][0]
    assert_array_equal(agent.start(state), reference.start(state))
    assert everything(agent)["was_greedy"] == everything(reference)["was_greedy"]


@backend_
@agents
def test_steps_are_a_stream(name, backend):
    """One call a step is learn with the actions that were taken, to the bit."""
    online, stream = make(name, backend), make(name, backend)
    S, _, _, R, _ = example()
    taken = [online.start(S[0])]
    for t in range(20):
        taken.append(online.step(R[t], S[t + 1]))
    stream.learn(S[:21], np.array(taken), R[:20])
    assert_same(online, stream)


@backend_
@names
def test_pieces_are_the_whole(name, backend):
    """A state that ends one call and begins the next counts once; copies and pickles go on alike."""
    whole, parts = make(name, backend), make(name, backend)
    learn(whole, name)
    learn(parts, name, 0, 31)
    parts = pickle.loads(pickle.dumps(copy.deepcopy(parts)))
    learn(parts, name, 31, T)
    assert_same(whole, parts)


@backend_
def test_updates_are_a_stream(backend):
    """StreamTD.update, with ends of episodes, against learn."""
    one, other = make("td", backend), make("td", backend)
    S, _, _, R, gammas = example()
    deltas = [one.update(S[t], R[t], S[t + 1], gamma=gammas[t]) for t in range(T)]
    assert_array_equal(deltas, other.learn(S, R, gammas=gammas))
    assert_same(one, other)
    ended = copy.deepcopy(one)
    assert ended.update(S[T], 1.0, None, gamma=0.0) == one.update(S[T], 1.0, S[0], gamma=0.0)


# ---- what it computes ----


@backend_
def test_statistics_are_those_of_the_stream(backend):
    """Mean and deviation of the states, that of the discounted sum of rewards, each number once."""
    learner = make("td", backend)
    S, _, _, R, gammas = example()
    learner.learn(S, R, gammas=gammas)
    assert_allclose(
        learner.normalised(S[-1]), (S[-1] - S.mean(0)) / np.sqrt(S.var(0, ddof=1) + 1e-8), rtol=1e-10
    )
    sums, u = [], 0.0
    for t in range(T):
        u = gammas[t] * u + R[t]
        sums.append(u)
    kept = learner._trace.kept
    assert kept.reward_p / (kept.reward_count - 1) == pytest.approx(np.var(sums, ddof=1), rel=1e-10)


@backend_
def test_plain_streams_are_network_td(backend):
    """Without normalisation: NetworkTD with the same optimiser."""
    learner = make("td", backend, normalise=False, scale_rewards=False)
    net = copy.deepcopy(learner.network)
    plain = ft.neural.NetworkTD(net, optimiser=ObGD(), lambda_=0.8)
    S, _, _, R, gammas = example()
    assert_array_equal(learner.learn(S, R, gammas=gammas), plain.learn(S, R, gammas=gammas))
    assert_array_equal(learner.params, net.params)


@backend_
@pytest.mark.parametrize(("name", "alone"), [("q", [1]), ("q_after", [2]), ("q_naive", [])])
def test_cuts(name, alone, backend):
    """A_1 is the only action that is not greedy: at which steps the trace is the gradient alone."""
    S, _, _, R, _ = example()
    learner = make(name, backend, normalise=False)
    taken, found = [learner.act(S[0])], []
    for t in range(3):  # A_{t+1} is judged before the update of step t, as here
        best = learner.act(S[t + 1])
        taken.append((best + 1) % A if t == 0 else best)
        gradient = learner.network.gradient(S[t], taken[t])
        learner.learn(S[t : t + 2], taken[t:], R[t : t + 1])
        if t and np.allclose(learner.trace, gradient, rtol=1e-12, atol=1e-15):
            found.append(t)
    assert found == alone


@pytest.mark.parametrize("entropy", [0.0, 0.3, -0.3])
def test_policy_gradients_are_those_of_differences(entropy):
    """ln pi + entropy H of a softmax and of normal distributions, by their outputs."""
    rng = np.random.default_rng(0)
    y, move = rng.normal(size=4), rng.normal(size=2)

    def softmax(y):
        pi = np.exp(y - y.max()) / np.exp(y - y.max()).sum()
        return np.log(pi[1]) - entropy * (pi * np.log(pi)).sum()

    def normal(y):
        sigma = np.log1p(np.exp(y[2:]))
        return (-0.5 * ((move - y[:2]) / sigma) ** 2 - (1 - entropy) * np.log(sigma)).sum()

    got = reference.softmax_gradient(y, 1, entropy), reference.normal_gradient(y, move, entropy)
    for function, gradient in zip((softmax, normal), got, strict=True):
        want = [(function(y + e) - function(y - e)) / 2e-6 for e in 1e-6 * np.eye(4)]
        assert_allclose(gradient, want, atol=1e-8)


def test_epsilon_schedule():
    """A line from first to last over so many actions."""
    learner = make("sarsa", epsilon=(0.5, 0.1, 4))
    S, _, _, R, _ = example()
    found = [learner.epsilon]
    learner.start(S[0])
    for t in range(5):
        found.append(learner.epsilon)
        learner.step(R[t], S[t + 1])
    assert found == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1, 0.1])
    learner.epsilon = 0.25
    assert learner.epsilon == 0.25
    with pytest.raises(ValueError, match="epsilon"):
        learner.epsilon = (0.5, 0.1)


@compiled
def test_it_predicts_a_ring(backend):
    """StreamTD on a walk over 8 states in a ring: the values' error falls to a third."""
    rng = np.random.default_rng(2)
    states = np.cumsum(rng.choice([-1, 1], 6001)) % 8
    rewards = (states[1:] == 0).astype(float)
    P = 0.5 * (np.roll(np.eye(8), 1, 1) + np.roll(np.eye(8), -1, 1))
    true = np.linalg.solve(np.eye(8) - 0.9 * P, P[:, 0])
    dtype = np.float64 if backend == "numba" else np.float32  # whose kernel is there already
    learner = StreamTD(
        8, hidden=(16,), gamma=0.9, scale_rewards=False, normalise=False, dtype=dtype, backend=backend
    )
    features = np.eye(8)

    def error():
        return np.sqrt(np.mean((learner.predict(features) - true) ** 2))

    first = error()
    learner.learn(features[states], rewards)
    assert error() < first / 3


# ---- states, faults, refusals ----


@backend_
@agents
def test_checkpoint(name, backend, tmp_path):
    """An agent in the middle of an episode goes on to the bit: the same actions, the same parameters."""
    learner = make(name, backend)
    play(learner)
    learner.save(tmp_path / "agent.npz")
    loaded = ft.load(tmp_path / "agent.npz")
    other = make(name, backend, seed=9)
    other.load_state_dict(learner.state_dict())
    S, _, _, R, _ = example()
    for t in range(5):
        actions = [each.step(R[t], S[t]) for each in (learner, loaded, other)]
        assert_array_equal(actions[1], actions[0])
        assert_array_equal(actions[2], actions[0])
    assert_same(loaded, learner)
    assert_same(other, learner)


@backend_
@names
def test_fault_in_a_stream(name, backend):
    """A reward too large for the statistics: the steps before count, all is as it was before that step."""
    S, actions, moves, R, _ = example()
    taken = {"td": (), "ac_moves": (moves,)}.get(name, (actions,))
    short = [each[:13] for each in taken]
    R[12] = 1e200
    learner, want = make(name, backend), make(name, backend)
    with pytest.raises(FloatingPointError, match="statistics: not finite at step 12"):
        learner.learn(S, *taken, R)
    want.learn(S[:13], *short, R[:12])
    assert_same(learner, want)


@backend_
@agents
def test_fault_in_a_step(name, backend):
    """The learner goes on from where it was, with the same actions."""
    S, _, _, R, _ = example()
    learner, want = make(name, backend), make(name, backend)
    for each in (learner, want):
        each.start(S[0])
        each.step(R[0], S[1])
    with pytest.raises(FloatingPointError, match="statistics"):
        learner.step(1e200, S[2])
    assert_array_equal(learner.step(R[1], S[2]), want.step(R[1], S[2]))
    assert_same(learner, want)


@backend_
def test_bad_input(backend):
    """Refused before anything changes: the statistics have not seen it either."""
    learner = make("q", backend)
    S, _, _, R, _ = example()
    with pytest.raises(RuntimeError, match="before start"):
        learner.step(1.0, S[0])
    learner.start(S[0])
    before = copy.deepcopy(learner)
    with pytest.raises(ValueError, match="reward: got nan"):
        learner.step(np.nan, S[1])
    with pytest.raises(ValueError, match="s: entry 2 is inf"):
        learner.step(1.0, np.where(np.arange(I) == 2, np.inf, S[1]))
    with pytest.raises(IndexError, match="action 3"):
        learner.learn(S[:3], [0, 3, 1], R[:2])
    with pytest.raises(ValueError, match="states: got shape"):
        learner.learn(S[:3, :2], [0, 1, 1], R[:2])
    assert_same(learner, before)
    with pytest.raises(TypeError, match="n_actions: give it"):
        StreamAC(I)
    with pytest.raises(ValueError, match="cut"):
        make("q", cut="never")
    with pytest.raises(TypeError, match="optimiser"):
        make("q", optimiser=0.1)


@backend_
@pytest.mark.parametrize("name", ["q", "sarsa", "ac"])
def test_episodes_by_the_verbs_are_a_stream(name, backend):
    """With every statistic on: start, step and end, or one stream with a discount of 0."""
    S, _, _, R, _ = example()
    acting, learning = make(name, backend), make(name, backend)
    actions = [acting.start(S[0]), acting.step(R[0], S[1])]
    acting.end(R[1])
    actions += [acting.start(S[2]), acting.step(R[2], S[3])]
    learning.learn(S[:4], actions, R[:3], gammas=[acting.gamma, 0.0, acting.gamma])
    assert_array_equal(acting.params, learning.params)


@backend_
def test_a_state_that_does_not_fit_changes_nothing(backend):
    learner, S, R = StreamTD(I, hidden=(5,), backend=backend), example()[0], example()[3]
    learner.learn(S[:9], R[:8])
    before = everything(copy.deepcopy(learner))
    for other in (
        StreamTD(I, hidden=(5,), optimiser=AdaptiveObGD(), gamma=0.5),
        StreamTD(I, hidden=(5,), keep=None, gamma=0.5),
        StreamTD(I, hidden=(6,), gamma=0.5),
    ):
        with pytest.raises(ValueError, match="state: has"):
            learner.load_state_dict(other.state_dict())
        assert learner.gamma == 0.99
        assert all(np.array_equal(before[name], each) for name, each in everything(learner).items())


@backend_
def test_what_cannot_be_written_or_held(backend):
    """Read-only parameters, and numbers that float32 cannot hold."""
    learner, S, R = StreamTD(I, hidden=(5,), backend=backend), example()[0], example()[3]
    before = learner.weights
    for call in (
        lambda: setattr(learner, "weights", np.full(len(before), 1e300)),
        lambda: setattr(learner.network, "params", np.full(len(before), 1e300)),
        lambda: learner.predict(np.full(I, 1e39)),
    ):
        with pytest.raises(ValueError, match="float32 cannot hold"):
            call()
    learner.params.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        learner.learn(S, R)
    assert_array_equal(learner.weights, before)
    assert not learner.Z.any()


@pytest.mark.parametrize("name", ["alpha", "kappa", "epsilon", "beta2"])
def test_options_are_checked_when_set(name):
    rule = AdaptiveObGD()
    with pytest.raises(ValueError, match=name):
        setattr(rule, name, -1.0)
    assert rule == AdaptiveObGD()


# ---- terminal states ----


@backend_
@pytest.mark.parametrize("name", [*AGENTS, "qrc"])
def test_a_terminal_state_counts_in_the_statistics(name, backend):
    """And in nothing else: the update is that of end(reward), and the next episode begins as ever."""

    def made():
        if name != "qrc":
            return make(name, backend)
        return ft.neural.QRC(I, A, hidden=(17, 9), dtype=np.float64, backend=backend, seed=6)

    one, other = made(), made()
    S, _, _, R, _ = example()
    for each in (one, other):
        each.start(S[0])
        each.step(R[0], S[1])
    one.end(R[1], S[2])
    other.end(R[1])
    kept = one._trace.kept
    assert_array_equal(one.params, other.params)
    assert_array_equal(one.trace, other.trace)
    assert (kept.count, other._trace.kept.count) == (3, 2)
    assert_allclose(kept.mean, S[:3].mean(0), rtol=1e-12)
    assert_allclose(kept.p, S[:3].var(0) * 3, rtol=1e-12)
    with pytest.raises(RuntimeError, match="start"):
        one.step(0.0, S[3])
    one.start(S[2])  # which is another arrival in that state
    assert kept.count == 4
    with pytest.raises(ValueError, match=r"s: got shape \(3,\)"):
        one.end(0.0, S[3, :3])
    with pytest.raises(ValueError, match="s: entry 0 is nan"):
        one.end(0.0, S[3] * np.nan)
    one.end(0.0)


@backend_
def test_terminal_states_are_those_of_the_published_programs(backend):
    """Means and deviations over all states, those that end an episode too; without normalise nothing."""
    S, _, _, R, _ = example()
    agent, plain = make("q", backend), make("q", backend, normalise=False)
    for each in (agent, plain):
        each.start(S[0])
        for t in range(1, 30):
            if t % 10 == 8:
                each.end(R[t], S[t])
            elif t % 10 == 9:
                each.start(S[t])
            else:
                each.step(R[t], S[t])
    assert_allclose(
        agent.normalised(S[40]), (S[40] - S[:30].mean(0)) / np.sqrt(S[:30].var(0, ddof=1) + 1e-8), rtol=1e-10
    )
    assert_array_equal(plain.normalised(S[40]), S[40])


@names
@backend_
def test_staleness_knows_what_the_trace_was_made_of(name, backend):
    """Steps that change next to nothing leave a trace that is fresh: where it was cut, of what was chosen."""
    made = {"keep": None, "optimiser": ObGD(alpha=1e-9), "normalise": False, "backend": backend}
    learner = make(name, **made)
    learn(learner, name)
    assert learner.staleness() == pytest.approx((0.0, 1.0), abs=1e-6)
    if name in AGENTS:
        learner = make(name, **made)
        learner.start(example()[0][0])
        for s in example()[0][1:30]:
            learner.step(1.0, s)
        assert learner.staleness() == pytest.approx((0.0, 1.0), abs=1e-6)
