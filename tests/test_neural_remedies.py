"""ForwardTD, TDRC and ExpectedTraceTD: against theory, each other's limits, and the same in every backend."""

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fasttrace as ft
from fasttrace import neural
from fasttrace.backends.numpy import neural_forward as reference

T, INPUTS = 40, 3
backends = pytest.mark.parametrize("backend", ["numpy", "numba", "c"])


def stream(m=1, seed=0, ends=0.15):
    """States, rewards (T, m), gammas (T,) with terminations, lambdas (T,)."""
    rng = np.random.default_rng(seed)
    gammas = np.where(rng.random(T) < ends, 0.0, rng.uniform(0.5, 1.0, T))
    return rng.normal(size=(T + 1, INPUTS)), rng.normal(size=(T, m)), gammas, rng.random(T)


def net(*hidden, m=1, backend="numpy", dtype=np.float64, seed=3, **options):
    return neural.MLP((INPUTS, *hidden, m), seed=seed, dtype=dtype, backend=backend, **options)


def learners(backend, dtype=np.float64, **options):
    """One of each, by name."""
    one = net(6, 7, backend=backend, dtype=dtype, **options)
    return {
        "forward-fresh": neural.ForwardTD(copy.deepcopy(one), alpha=0.05, window=5),
        "forward-arrival": neural.ForwardTD(copy.deepcopy(one), alpha=0.05, window=5, values="arrival"),
        "tdrc": neural.TDRC(copy.deepcopy(one), alpha=0.05, alpha_h=0.03, beta=0.5),
        "expected": neural.ExpectedTraceTD(copy.deepcopy(one), alpha=0.05, alpha_z=0.3, eta=0.4),
    }


NAMES = tuple(learners("numpy"))
each = pytest.mark.parametrize("name", NAMES)


def learn(learner, rows=slice(None), m=1):
    states, rewards, gammas, lambdas = stream(m)
    stop = T if rows.stop is None else rows.stop
    return learner.learn(
        states[rows.start or 0 : stop + 1], rewards[rows], gammas=gammas[rows], lambdas=lambdas[rows]
    )


def everything(learner):
    return {name: np.array(array) for name, array in learner.state_dict()["arrays"].items()}


# ---- backends ----


@each
@pytest.mark.parametrize(
    ("backend", "dtype"),  # Numba compiles each type for seconds; float32, the usual one, is tried in bench/
    [("numba", np.float64), ("c", np.float64), ("c", np.float32)],
    ids=["numba-float64", "c-float64", "c-float32"],
)
def test_agrees_with_the_reference(name, backend, dtype):
    """Every backend gives the reference's parameters, traces and errors, of leaky normalised units too."""
    tolerance = 1e-11 if dtype == np.float64 else 1e-5
    for options in ({}, {"activation": "leaky_relu", "layer_norm": True}):
        want, got = learners("numpy", **options)[name], learners(backend, dtype, **options)[name]
        got.params[:] = want.params
        start = getattr(want, "h", None)
        if start is not None:
            got.h.params[:] = start.params
        assert_allclose(learn(got), learn(want), rtol=0, atol=tolerance)
        arrays = everything(got)
        for key, array in everything(want).items():
            if key not in ("first", "states", "values", "rewards", "gammas", "lambdas"):  # the ring's turn
                assert_allclose(arrays[key], array, rtol=0, atol=tolerance, err_msg=key)


@pytest.mark.parametrize("backend", ["numba", "c"])
@pytest.mark.parametrize("values", ["fresh", "arrival"])
def test_forward_with_several_outputs(backend, values):
    """A return for each output, discounts and lambdas by the output; the reference's parameters."""
    states, rewards, gammas, lambdas = stream(3)
    gammas = gammas[:, None] * np.array([1.0, 0.0, 0.9])
    lambdas = lambdas[:, None] * np.array([1.0, 0.5, 0.0])
    found = []
    for name in ("numpy", backend):
        learner = neural.ForwardTD(net(6, m=3, backend=name), alpha=0.05, window=4, values=values)
        deltas = learner.learn(states, rewards, gammas=gammas, lambdas=lambdas)
        learner.flush()
        found.append((deltas, learner.weights))
    assert_allclose(found[1][0], found[0][0], rtol=0, atol=1e-12)
    assert_allclose(found[1][1], found[0][1], rtol=0, atol=1e-12)


# ---- theory ----


def with_one(states):
    """The features of a network without hidden layers: its inputs, and 1 for the bias."""
    return np.column_stack([states, np.ones(len(states))])


@backends
@pytest.mark.parametrize("n", [1, 3])
def test_forward_is_truncated_td_where_the_network_is_linear(backend, n):
    """values="arrival", S&B (12.9) and (12.10), terminations included."""
    states, rewards, gammas, lambdas = stream()
    gammas[-1] = 0.0
    learner = neural.ForwardTD(net(backend=backend), alpha=0.05, window=n, values="arrival")
    w = learner.weights
    learner.learn(states, rewards[:, 0], gammas=gammas, lambdas=lambdas)
    want = ft.forward.truncated_td(
        with_one(states), rewards[:, 0], n=n, alpha=0.05, gammas=gammas, lambdas=lambdas,
        terminated=gammas == 0.0, weights=w,
    )  # fmt: skip
    assert_allclose(learner.weights, want, rtol=0, atol=1e-12)


@backends
def test_forward_is_the_live_lambda_return_with_a_long_window(backend):
    """values="fresh": all updates at an episode's end, each return under the weights before its update."""
    states, rewards, gammas, lambdas = stream()
    learner = neural.ForwardTD(net(backend=backend), alpha=0.05, window=T + 1)
    w = learner.weights
    learner.learn(states, rewards[:, 0], gammas=gammas, lambdas=lambdas)
    want = ft.forward.offline_lambda_return(
        with_one(states), rewards[:, 0], alpha=0.05, gammas=gammas, lambdas=lambdas,
        terminated=gammas == 0.0, weights=w, variant="live",
    )  # fmt: skip
    assert learner.waiting == T - 1 - np.flatnonzero(gammas == 0.0)[-1]
    assert_allclose(learner.weights, want, rtol=0, atol=1e-12)


@backends
def test_flush_cuts_the_returns(backend):
    """With one transition waiting it is an update towards R + gamma v(S'), as TD(0)'s; then none waits."""
    learner = neural.ForwardTD(net(6, backend=backend), alpha=0.05, window=9)
    want = neural.NetworkTD(net(6), alpha=0.05, lambda_=0.0)
    states, rewards, _, _ = stream()
    learner.update(states[0], rewards[0], states[1], gamma=0.9)
    want.update(states[0], rewards[0], states[1], gamma=0.9)
    assert learner.waiting == 1
    learner.flush()
    assert learner.waiting == 0
    assert_allclose(learner.weights, want.weights, rtol=0, atol=1e-14)


@each
@backends
def test_lambda_0_without_help_is_td0(name, backend):
    """A window of 1, an h held at 0, a trace of one step: each is TD(0) of the network."""
    made = {
        "forward-fresh": lambda one: neural.ForwardTD(one, alpha=0.05, lambda_=0.0),
        "forward-arrival": lambda one: neural.ForwardTD(one, alpha=0.05, lambda_=0.0, values="arrival"),
        "tdrc": lambda one: neural.TDRC(one, alpha=0.05, lambda_=0.0, alpha_h=1e-30),
        "expected": lambda one: neural.ExpectedTraceTD(one, alpha=0.05, lambda_=0.0, alpha_z=1.0),
    }[name]
    learner, want = made(net(6, backend=backend)), neural.NetworkTD(net(6), alpha=0.05, lambda_=0.0)
    states, rewards, gammas, _ = stream()
    got = learner.learn(states, rewards[:, 0], gammas=gammas)
    assert_allclose(got, want.learn(states, rewards[:, 0], gammas=gammas), rtol=0, atol=1e-12)
    assert_allclose(learner.weights, want.weights, rtol=0, atol=1e-12)


@backends
def test_forward_td_update_by_hand(backend):
    """Two steps of a window of 2, with lambda-return and gradient written out for a network of tanh units."""
    one = net(4, backend=backend)
    learner = neural.ForwardTD(one, alpha=0.1, window=2, gamma=0.9, lambda_=0.5)
    w, s = learner.weights, np.random.default_rng(5).normal(size=(3, INPUTS))
    learner.learn(s, [1.0, -2.0])

    def value(w, s):
        W, b, u, c = w[: 4 * INPUTS].reshape(4, INPUTS), w[12:16], w[16:20], w[20]
        return u @ np.tanh(W @ s + b) + c

    G = 1.0 + 0.9 * (0.5 * value(w, s[1]) + 0.5 * (-2.0 + 0.9 * value(w, s[2])))
    eye = 1e-6 * np.eye(len(w))
    gradient = np.array([value(w + e, s[0]) - value(w - e, s[0]) for e in eye]) / 2e-6
    assert_allclose(learner.weights, w + 0.1 * (G - value(w, s[0])) * gradient, rtol=0, atol=1e-9)


@backends
def test_tdrc_is_tdc_where_the_network_is_linear(backend):
    """beta 0 and lambda 0: ft.GTD(lambda_=0) of S&B 12.11, off-policy; errors and both weights."""
    states, rewards, gammas, _ = stream()
    rhos = np.random.default_rng(6).choice([0.0, 0.5, 1.0, 2.5], T)
    learner = neural.TDRC(net(backend=backend), alpha=0.05, alpha_h=0.2, beta=0.0, lambda_=0.0)
    want = ft.GTD(INPUTS + 1, alpha=0.05, beta=0.2, lambda_=0.0, backend="numpy")
    want.weights = learner.weights
    deltas = want.learn(with_one(states), rewards[:, 0], gammas=gammas, rhos=rhos)
    spare = np.append(rhos, 9.0)  # of no effect
    got = learner.learn(states, rewards[:, 0], gammas=gammas, rhos=spare)
    assert_allclose(got, deltas, rtol=0, atol=1e-12)
    assert_allclose(learner.weights, want.weights, rtol=0, atol=1e-12)
    assert_allclose(learner.h.params, want.v, rtol=0, atol=1e-12)


@backends
def test_tdrc_follows_its_forward_view(backend):
    """Small steps over an episode: the sum of delta(lambda) grad v - h grad G(lambda), by the definitions."""
    alpha, beta, n = 1e-7, 0.3, 12
    states, rewards, _, lambdas = stream(seed=2)
    states, rewards, lambdas = states[: n + 1], rewards[:n, 0], lambdas[:n]
    gammas = np.append(np.random.default_rng(1).uniform(0.5, 1.0, n - 1), 0.0)
    learner = neural.TDRC(net(5, backend=backend), alpha=alpha, beta=beta)
    learner.h.params[:] = np.random.default_rng(2).normal(size=learner.h.n_params)
    w, theta = learner.weights, learner.h.params.copy()
    v, J = (np.array(a) for a in zip(*(learner.network.jacobian(s) for s in states), strict=True))
    h, K = (np.array(a) for a in zip(*(learner.h.jacobian(s) for s in states), strict=True))
    v, J, h, K = v[:, 0], J[:, 0], h[:, 0], K[:, 0]
    G, grad_G = np.zeros(n + 1), np.zeros_like(J)
    for t in reversed(range(n)):
        g, l = gammas[t], lambdas[t]  # noqa: E741
        G[t] = rewards[t] + g * ((1 - l) * v[t + 1] + l * G[t + 1])
        grad_G[t] = g * ((1 - l) * J[t + 1] + l * grad_G[t + 1])
    error = G[:n] - v[:n]
    learner.learn(states, rewards, gammas=gammas, lambdas=lambdas)
    want_w = error @ J[:n] - h[:n] @ grad_G[:n]
    want_theta = (error - h[:n]) @ K[:n] - n * beta * theta
    assert_allclose((learner.weights - w) / alpha, want_w, rtol=1e-4, atol=1e-4)
    assert_allclose((learner.h.params - theta) / alpha, want_theta, rtol=1e-4, atol=1e-4)


@backends
def test_off_policy_in_one_call_or_by_the_step(backend):
    """rhos of a stream are the rho of each update, traces included; None is 1."""
    states, rewards, gammas, lambdas = stream(ends=0.0)
    rhos = np.random.default_rng(6).uniform(0.0, 2.0, T)
    whole, steps, plain, ones = (neural.TDRC(net(6, backend=backend), alpha=0.05) for _ in range(4))
    deltas = whole.learn(states, rewards, gammas=gammas, lambdas=lambdas, rhos=rhos)
    for t in range(T):
        row = (states[t], rewards[t], states[t + 1])
        got = steps.update(*row, gamma=gammas[t], lambda_=lambdas[t], rho=rhos[t])
        assert got == deltas[t, 0]
    assert_array_equal(steps.weights, whole.weights)
    assert_array_equal(steps.trace, whole.trace)
    plain.learn(states, rewards[:, 0])
    ones.learn(states, rewards[:, 0], rhos=1.0)
    assert_array_equal(plain.weights, ones.weights)
    assert not np.allclose(plain.weights, whole.weights)


@backends
@pytest.mark.parametrize("lambda_", [0.0, 0.5])
def test_stays_where_td_diverges(backend, lambda_):
    """Baird's counterexample, off-policy: TD(lambda), which an h held at 0 leaves, grows without bound."""
    env = ft.envs.Baird()
    s = env.stream(3000, 0)

    def error(**options):
        one = neural.MLP((8, 1), dtype=np.float64, backend=backend)
        one.params[:8] = env.initial_weights
        learner = neural.TDRC(one, alpha=0.01, gamma=env.gamma, lambda_=lambda_, **options)
        learner.learn(s.x, s.rewards, rhos=s.rhos)
        return np.sqrt(np.mean(learner.predict(env.features) ** 2))

    assert error(beta=1e12, alpha_h=1e-12) > 100.0
    assert error() < 10.0


def test_traces_off_policy():
    """z <- rho (gamma lambda z + gradient), S&B (12.25): the sum over the past, at a tiny step."""
    states, rewards, gammas, lambdas = stream(ends=0.0)
    rhos = np.random.default_rng(6).uniform(0.5, 1.5, T)
    learner = neural.TDRC(net(6), alpha=1e-30)
    learner.learn(states, rewards[:, 0], gammas=gammas, lambdas=lambdas, rhos=rhos)
    want = 0.0
    for t in range(T):
        weight = np.prod(rhos[t:]) * np.prod((gammas * lambdas)[t : T - 1])
        want = want + weight * learner.network.gradient(states[t])
    assert_allclose(learner.trace, want, rtol=1e-10, atol=1e-12)


@backends
def test_a_large_beta_leaves_td_lambda(backend):
    """h that starts at 0 and is held there changes nothing."""
    learner = neural.TDRC(net(6, backend=backend), alpha=0.05, alpha_h=1e-12, beta=1e12)
    want = neural.NetworkTD(net(6), alpha=0.05)
    assert_allclose(learn(learner), learn(want), rtol=0, atol=1e-9)


@backends
def test_eta_1_is_td_lambda(backend):
    """Whatever Theta has learned."""
    learner = neural.ExpectedTraceTD(net(6, backend=backend), alpha=0.05, eta=1.0)
    want = neural.NetworkTD(net(6), alpha=0.05)
    assert_allclose(learn(learner), learn(want), rtol=0, atol=1e-12)
    assert_allclose(learner.weights, want.weights, rtol=0, atol=1e-12)


@backends
def test_theta_becomes_the_expected_trace(backend):
    """One-hot states of a Markov chain: Theta phi(s) nears E[z | S = s], from the chain run backwards."""
    n, decay, steps = 4, 0.8, 30_000
    rng = np.random.default_rng(0)
    P = rng.dirichlet(np.ones(n), n)
    s = [0]
    jumps = P.cumsum(1)
    for u in rng.random(steps):
        s.append(min(int(np.searchsorted(jumps[s[-1]], u)), n - 1))
    d = np.linalg.matrix_power(P, 1000)[0]
    before = d[:, None] * P / d  # before[i, s]: S_{t-1} = i where S_t = s
    want = np.linalg.inv(np.eye(n) - decay * before)  # column s: sum of decay^k P(S_{t-k} = i | S_t = s)
    # E[z | s] of the inputs; the bias, which is always on, sums to 1 / (1 - decay).
    learner = neural.ExpectedTraceTD(
        neural.MLP((n, 1), dtype=np.float64, backend=backend),
        alpha=1e-9,
        gamma=1.0,
        lambda_=decay,
        alpha_z=0.02,
    )
    learner.learn(np.eye(n)[s], np.zeros(steps))
    phi = np.column_stack([np.eye(n), np.ones(n)])
    got = learner.Theta @ phi.T
    assert_allclose(got[:n], want, rtol=0, atol=0.15)
    assert_allclose(got[n], 1.0 / (1.0 - decay), rtol=0, atol=1e-6)


# ---- as every learner ----


@each
@backends
def test_split_anywhere(name, backend):
    """learn in parts, and one update at a time, are learn in one call, to the bit."""
    whole, parts, steps = (learners(backend)[name] for _ in range(3))
    deltas = learn(whole)
    for start, stop in ((0, 1), (1, 17), (17, 17), (17, T)):
        assert_array_equal(learn(parts, slice(start, stop)), deltas[start:stop])
    states, rewards, gammas, lambdas = stream()
    for t in range(T):
        after = states[t + 1] if gammas[t] else None
        assert steps.update(states[t], rewards[t, 0], after, gamma=gammas[t], lambda_=lambdas[t]) == deltas[t]
    want = everything(whole)
    for other in (parts, steps):
        assert_array_equal(other.weights, whole.weights)
        for key in set(want) - {"states"}:  # the state after the end, where there is none
            assert_array_equal(everything(other)[key], want[key])


@each
@backends
def test_saved_copied_pickled(name, backend, tmp_path):
    """They go on bit for bit; in another backend within rounding."""
    learner = learners(backend)[name]
    learn(learner, slice(0, 20))
    learner.save(tmp_path / "learner.npz")
    others = [ft.load(tmp_path / "learner.npz"), copy.deepcopy(learner), pickle.loads(pickle.dumps(learner))]
    other = learners(backend)[name]
    other.load_state_dict(learner.state_dict())
    elsewhere = copy.deepcopy(learner).to("numpy")
    want = learn(learner, slice(20, T))
    for each in (*others, other):
        assert each.backend == backend
        assert_array_equal(learn(each, slice(20, T)), want)
        assert_array_equal(each.weights, learner.weights)
    assert_allclose(learn(elsewhere, slice(20, T)), want, rtol=0, atol=1e-11)


@each
@backends
def test_reset_begins_anew(name, backend):
    """What comes after a reset does not depend on what came before, but for what was learned."""
    learner = learners(backend)[name]
    learn(learner, slice(0, 10))
    learner.reset()
    other = learners(backend)[name]
    other.load_state_dict(learner.state_dict())
    other.reset()
    assert_array_equal(learn(learner), learn(other))
    arrays = everything(learner)
    assert learner.reset() is None
    for key in ("z", "y", "z_w", "z_theta", "z_h", "waiting"):
        assert not np.any(everything(learner).get(key, 0.0)), key
    assert_array_equal(everything(learner)["params"], arrays["params"])


# ---- bad input ----


@each
@backends
def test_not_finite_in_the_middle_of_a_stream(name, backend):
    """Named with its step; all is as it was before that step, the steps before it count."""
    learner, want = (learners(backend)[name] for _ in range(2))
    states, rewards, gammas, lambdas = stream(ends=0.0)
    rewards[10] = 1e308
    learner.alpha = want.alpha = 100.0
    with pytest.raises(FloatingPointError, match="not finite at step") as caught:
        learner.learn(states, rewards[:, 0], gammas=gammas, lambdas=lambdas)
    step = int(str(caught.value).split()[-1])
    assert step > 0
    want.learn(states[: step + 1], rewards[:step, 0], gammas=gammas[:step], lambdas=lambdas[:step])
    assert_array_equal(learner.weights, want.weights)
    for key, array in everything(want).items():
        if key not in ("states", "values", "rewards", "gammas", "lambdas"):
            assert_array_equal(everything(learner)[key], array, err_msg=key)


# alpha, alpha_h, beta; reward, first weights of v and of h, as parts of the largest number; whether taken
NEAR_THE_LARGEST = {
    "reward, small steps": (1e-3, 1e-3, 1.0, 0.9, 0.0, 0.0, True),
    "reward and values": (1e-3, 1e-3, 1.0, 0.9, -0.3, 0.0, True),
    "h": (1e-3, 1e-3, 1.0, 0.0, 0.0, 0.3, True),
    "theta, held": (1e-3, 1e-3, 10.0, 0.0, 0.0, 0.3, True),
    "reward, large steps": (100.0, 1e-3, 1.0, 0.1, 0.0, 0.0, False),
    "reward, large steps of h": (1e-3, 100.0, 1.0, 0.1, 0.0, 0.0, False),
}


def near_the_largest(backend, dtype, alpha, alpha_h, beta, *parts):
    """The weights of v and of h after a step, and delta; None where it was refused."""
    reward, first, first_h = (part * float(np.finfo(dtype).max) for part in parts)
    learner = neural.TDRC(net(backend=backend, dtype=dtype), alpha=alpha, alpha_h=alpha_h, beta=beta)
    learner.params[:], learner.h.params[:] = 0.0, 0.0
    learner.params[0], learner.h.params[0] = first, first_h
    s = [2.5, 0.01, 0.0]
    try:
        delta = learner.update(s, reward, s, gamma=1.0)
    except FloatingPointError:
        return None
    return learner.params, learner.h.params, delta


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", NEAR_THE_LARGEST)
@backends
def test_numbers_near_the_largest(case, dtype, backend):
    """TDRC overflows in the same step in every backend: not in one that the step size makes small enough."""
    *options, taken = NEAR_THE_LARGEST[case]
    want = near_the_largest("numpy", dtype, *options)
    got = near_the_largest(backend, dtype, *options)
    assert (want is not None) == (got is not None) == taken
    for array, expected in zip(got or (), want or (), strict=True):
        assert_array_equal(array, expected)


@each
@backends
def test_parameters_that_are_not_finite(name, backend):
    learner = learners(backend)[name]
    learner.params[2] = np.nan
    with pytest.raises(FloatingPointError, match="not finite at step 0"):
        learn(learner)


@pytest.mark.parametrize(
    ("make", "exception", "message"),
    [
        (lambda: neural.ForwardTD(net(), alpha=0.1, gamma=1.0, lambda_=1.0), ValueError, "gamma lambda is 1"),
        (lambda: neural.ForwardTD(net(), alpha=0.1, window=0), ValueError, "window: got 0"),
        (lambda: neural.ForwardTD(net(), alpha=0.1, values="old"), ValueError, "values: got 'old'"),
        (lambda: neural.ForwardTD(net(), alpha=0.0), ValueError, "alpha: got 0.0"),
        (lambda: neural.ForwardTD("net", alpha=0.1), TypeError, "network: got str, expected an MLP"),
        (lambda: neural.TDRC(net(m=2), alpha=0.1), ValueError, "network: has 2 outputs, TDRC is for one"),
        (
            lambda: neural.TDRC(net(), alpha=0.1).learn(np.ones((2, INPUTS)), [0.0], rhos=[-1.0]),
            ValueError,
            "rhos: got -1.0, expected finite numbers of at least 0",
        ),
        (
            lambda: neural.TDRC(net(), alpha=0.1).update(np.ones(INPUTS), 0.0, None),
            ValueError,
            "s_next: got None with gamma=0.99",
        ),
        (lambda: neural.TDRC(net(), alpha=0.1, beta=-1.0), ValueError, "beta: got -1.0"),
        (lambda: neural.TDRC(net(), alpha=0.1, alpha_h=0.0), ValueError, "alpha_h: got 0.0"),
        (lambda: neural.ExpectedTraceTD(net(m=2), alpha=0.1), ValueError, "network: has 2 outputs"),
        (lambda: neural.ExpectedTraceTD(net(), alpha=0.1, eta=1.5), ValueError, "eta: got 1.5"),
        (lambda: neural.ExpectedTraceTD(net(), alpha=0.1, alpha_z=-1), ValueError, "alpha_z: got -1.0"),
    ],
)
def test_refused_options(make, exception, message):
    with pytest.raises(exception, match=message):
        make()


@each
def test_no_steps_change_nothing(name):
    learner = learners("numpy")[name]
    before = everything(learner)
    assert learner.learn(np.zeros((1, INPUTS)), np.zeros(0)).shape == (0,)
    for key, array in everything(learner).items():
        assert_array_equal(array, before[key])


def test_the_window_holds_all_but_a_thousandth():
    """ceil(ln 1e-3 / ln gamma lambda)."""
    assert neural.ForwardTD(net(), alpha=0.1, gamma=0.99, lambda_=0.8).window == 30
    assert neural.ForwardTD(net(), alpha=0.1, lambda_=0.0).window == 1


def test_the_reference_s_return_is_the_definition():
    """(12.9)'s recursion against the weighted sum of n-step returns."""
    rng, n, gamma, lam = np.random.default_rng(4), 6, 0.9, 0.7
    rewards, values = rng.normal(size=(n, 1)), rng.normal(size=(n, 1))
    waiting = [
        reference.Waiting(None, r, np.array([gamma]), np.array([lam]), None, v)
        for r, v in zip(rewards, values, strict=True)
    ]
    n_step = [(gamma ** np.arange(k)) @ rewards[:k] + gamma**k * values[k - 1] for k in range(1, n + 1)]
    want = (1 - lam) * sum(lam ** (k - 1) * n_step[k - 1] for k in range(1, n)) + lam ** (n - 1) * n_step[-1]
    assert_allclose(reference.lambda_return(waiting, list(values)), want, rtol=1e-13)
