"""QRC(lambda): its equations, its limits, streams and episodes, the same in every backend."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fasttrace as ft
from fasttrace import neural
from fasttrace.backends import NAMES
from fasttrace.backends.numpy.neural import forward, gradients
from fasttrace.neural import gradient as neural_gradient

T, INPUTS, ACTIONS = 30, 3, 2
backends = pytest.mark.parametrize("backend", [name for name in NAMES if ft.backends()[name] is None])
PLAIN = {
    "activation": "tanh",
    "layer_norm": False,
    "normalise": False,
    "scale_rewards": False,
    "sparsity": None,
}


def make(backend="numpy", **options):
    chosen = {"hidden": (5,), "alpha": 0.05, "seed": 3, "dtype": np.float64, "backend": backend} | options
    return neural.QRC(INPUTS, ACTIONS, **chosen)


def stream(seed=0):
    rng = np.random.default_rng(seed)
    gammas = np.where(rng.random(T) < 0.15, 0.0, rng.uniform(0.5, 1.0, T))
    states, actions = rng.normal(size=(T + 1, INPUTS)), rng.integers(0, ACTIONS, T + 1)
    return states, actions, rng.normal(size=T), gammas, rng.random(T)


def learn(agent, start=0, stop=T):
    states, actions, rewards, gammas, lambdas = stream()
    return agent.learn(
        states[start : stop + 1], actions[start : stop + 1], rewards[start:stop],
        gammas=gammas[start:stop], lambdas=lambdas[start:stop],
    )  # fmt: skip


def act(agent, steps=12):
    """Actions of some episodes: one ends, one is cut."""
    rng, taken = np.random.default_rng(1), [agent.start(np.ones(INPUTS))]
    for t in range(steps):
        s, reward = rng.normal(size=INPUTS), rng.normal()
        if t == 4:
            agent.end(reward)
            taken.append(agent.start(s))
        elif t == 8:
            agent.truncate(reward, s)
            taken.append(agent.start(s))
        else:
            taken.append(agent.step(reward, s))
    return taken


@pytest.mark.parametrize("backend", ["numba", "c"])
@pytest.mark.parametrize("options", [{}, PLAIN], ids=["normalised", "plain"])
def test_agrees_with_the_reference(backend, options):
    """Streams and episodes: the same actions, errors, parameters and traces."""
    want, got = make(**options), make(backend, **options)
    want.h.params[:] = got.h.params[:] = np.random.default_rng(9).normal(size=want.h.n_params)
    assert_allclose(learn(got), learn(want), rtol=0, atol=1e-11)
    for agent in (want, got):
        agent.reset()
    assert act(got) == act(want)
    arrays = got.state_dict()["arrays"]
    for name, array in want.state_dict()["arrays"].items():
        assert_allclose(arrays[name], array, rtol=0, atol=1e-10, err_msg=name)


@backends
def test_the_equations_written_out(backend):
    """w, theta and the three traces over a stream, term by term, with the cut where A_{t+1} is not greedy."""
    agent = make(backend, beta=0.5, alpha_h=0.02, **PLAIN)
    agent.h.params[:] = np.random.default_rng(9).normal(size=agent.h.n_params)
    q, h = copy.deepcopy(agent.network).to("numpy"), copy.deepcopy(agent.h).to("numpy")
    states, actions, rewards, gammas, lambdas = stream()
    z_w, z_theta, z_h, decay = 0.0, 0.0, 0.0, 0.0
    for t in range(T):
        s, s_next = states[t], states[t + 1]
        chosen = np.eye(ACTIONS)[[actions[t]]]
        values, (grad,) = gradients(q, s, chosen)
        after = forward(q, s_next[None])[0]
        _, (grad_next,) = gradients(q, s_next, np.eye(ACTIONS)[[after.argmax()]])
        other, (grad_h,) = gradients(h, s, chosen)
        delta = rewards[t] + gammas[t] * after.max() - values[actions[t]]
        z_w, z_theta = decay * z_w + grad, decay * z_theta + grad_h
        z_h = decay * z_h + other[actions[t]]
        grad_delta = gammas[t] * grad_next - grad
        q.params[:] += 0.05 * (delta * z_w - other[actions[t]] * grad - z_h * grad_delta)
        h.params[:] += 0.02 * (delta * z_theta - other[actions[t]] * grad_h - 0.5 * h.params)
        greedy = after[actions[t + 1]] == after.max()
        decay = gammas[t] * lambdas[t] if greedy else 0.0
    learn(agent)
    assert_allclose(agent.params, q.params, rtol=0, atol=1e-12)
    assert_allclose(agent.h.params, h.params, rtol=0, atol=1e-12)
    assert_allclose(agent.trace, z_w, rtol=0, atol=1e-12)


@backends
@pytest.mark.parametrize("cut", [True, False])
def test_an_h_held_at_0_leaves_q_lambda(backend, cut):
    """Watkins's Q(lambda), or the naive one, with plain steps: WatkinsQ where the network is linear."""
    agent = make(backend, alpha_h=1e-12, beta=1e12, cut=cut, **PLAIN | {"hidden": ()})
    want = ft.WatkinsQ(INPUTS + 1, ACTIONS, alpha=0.05, cut=cut, backend="numpy")
    w = agent.params.copy()
    weights = np.vstack([w[: INPUTS * ACTIONS].reshape(ACTIONS, INPUTS).T, w[INPUTS * ACTIONS :]])
    want.weights = weights
    states, actions, rewards, gammas, lambdas = stream()
    x = np.column_stack([states, np.ones(T + 1)])
    deltas = want.learn(x, actions, rewards, gammas=gammas, lambdas=lambdas)
    assert_allclose(learn(agent), deltas, rtol=0, atol=1e-8)


@backends
def test_split_saved_and_loaded(backend, tmp_path):
    """learn in parts is learn in one call; a saved agent goes on with the same actions, to the bit."""
    whole, parts = make(backend), make(backend)
    deltas = learn(whole)
    for start, stop in ((0, 1), (1, 11), (11, T)):
        assert_array_equal(learn(parts, start, stop), deltas[start:stop])
    assert_array_equal(parts.params, whole.params)
    whole.save(tmp_path / "agent.npz")
    others = [ft.load(tmp_path / "agent.npz"), copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))]
    want = act(whole)
    for other in others:
        assert act(other) == want
        assert_array_equal(other.params, whole.params)
        assert_array_equal(other.h.params, whole.h.params)


@backends
def test_a_fault_leaves_it_as_it_was_before_the_step(backend):
    """Statistics, traces and parameters; the steps before count."""
    agent, want = make(backend), make(backend)
    states, actions, rewards, gammas, _ = stream()
    states[11] = 1e300
    with pytest.raises(FloatingPointError, match="not finite at step 10"):
        agent.learn(states, actions, rewards, gammas=gammas)
    want.learn(states[:11], actions[:11], rewards[:10], gammas=gammas[:10])
    for name, array in want.state_dict()["arrays"].items():
        assert_array_equal(agent.state_dict()["arrays"][name], array, err_msg=name)


def test_a_long_stream_goes_in_parts(monkeypatch):
    """Which leave no mark: not in the results, not where a fault is, not in what is kept."""
    whole, parts = make(), make()
    deltas = learn(whole)
    monkeypatch.setattr(neural_gradient, "_PART", 7)
    assert_array_equal(learn(parts), deltas)
    assert_array_equal(parts.params, whole.params)
    states, actions, rewards, gammas, _ = stream()
    states[11] = 1e300
    agent, want = make(), make()
    with pytest.raises(FloatingPointError, match="statistics: not finite at step 10"):
        agent.learn(states, actions, rewards, gammas=gammas)
    want.learn(states[:11], actions[:11], rewards[:10], gammas=gammas[:10])
    assert_array_equal(agent.state_dict()["arrays"]["kept"], want.state_dict()["arrays"]["kept"])


@backends
def test_a_first_state_beyond_all_statistics(backend):
    """start refuses it, and nothing is kept of it."""
    agent = make(backend)
    agent.start(np.zeros(INPUTS))
    agent.reset()
    kept = agent.state_dict()["arrays"]["kept"]
    with pytest.raises(FloatingPointError, match="statistics: not finite at step 0"):
        agent.start(np.full(INPUTS, 1e300))
    assert_array_equal(agent.state_dict()["arrays"]["kept"], kept)


@pytest.mark.parametrize(
    ("options", "exception", "message"),
    [
        ({"alpha": 0.0}, ValueError, "alpha: got 0.0"),
        ({"beta": -1.0}, ValueError, "beta: got -1.0"),
        ({"alpha_h": np.inf}, ValueError, "alpha_h: got inf"),
        ({"cut": "after"}, TypeError, "cut: got 'after'"),
        ({"optimiser": neural.ObGD()}, TypeError, "QRC: unknown keyword 'optimiser'; it takes .*epsilon"),
        ({"keep": None}, TypeError, "QRC: unknown keyword 'keep'"),
    ],
)
def test_refused_options(options, exception, message):
    with pytest.raises(exception, match=message):
        make(**options)


def test_step_before_start():
    with pytest.raises(RuntimeError, match="start"):
        make().step(0.0, np.zeros(INPUTS))


def test_a_parameter_that_is_not_finite_leaves_the_statistics():
    agent = neural.QRC(INPUTS, ACTIONS, hidden=(5,), backend="numpy")
    states, _, rewards, *_ = stream()
    for begin in (lambda: agent.start(states[0]), lambda: agent.step(rewards[0], states[1])):
        kept, good = agent._trace.kept.memory.copy(), agent.params[1]
        agent.params[1] = np.nan
        with pytest.raises(FloatingPointError, match="params"):
            begin()
        assert_array_equal(agent._trace.kept.memory, kept)
        agent.params[1] = good
        begin()
