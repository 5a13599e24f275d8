"""The exercises of Sutton & Barto, chapter 12, checked by the numbers; docs/exercises.md derives each.

Where a formula is easily got wrong, the wrong one is shown to fail.
"""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from streams import relative

import fasttrace as ft

EXACT = 1e-12
WRONG = 1e-3  # what a formula that is wrong is off by, at least
T, D, A = 12, 5, 3

PAGE = Path(__file__).resolve().parents[1] / "docs" / "exercises.md"


class Episode:
    """T transitions with random features, rewards, discounts and lambdas; the last one ends the episode.

    gammas, lambdas   (T + 1,) here, as the book counts: gammas[t] is gamma_t, and [0] is not used.
    v                 (T + 1,) values under one fixed w; that of the end is 0.
    """

    def __init__(self, seed, *, constant=False):
        rng = np.random.default_rng(seed)
        self.rng = rng
        self.x = rng.normal(size=(T + 1, D))
        self.R = np.append(0.0, rng.normal(size=T))  # R[t] is R_t
        self.gammas, self.lambdas = rng.uniform(0.5, 1, T + 1), rng.uniform(0.2, 0.9, T + 1)
        if constant:
            self.gammas[:], self.lambdas[:] = 0.9, 0.7
        self.rhos = rng.uniform(0, 2, T + 1)
        self.w = rng.normal(size=D)
        self.v = self.x @ self.w
        self.v[T] = 0.0

    def n_step(self, t, n, v=None):
        """G_{t:t+n}: n rewards, and the value of S_{t+n} given as v[t + n]."""
        v = self.v if v is None else v
        G, discount = 0.0, 1.0
        for i in range(t + 1, t + n + 1):
            G += discount * self.R[i]
            discount *= self.gammas[i]
        return G + discount * v[t + n]

    def mixture(self, t, h, v=None):
        """(12.9) with a lambda for each state: n-step returns up to h, weighed; the rest goes to G_{t:h}."""
        G, left = 0.0, 1.0
        for n in range(1, h - t):
            G += left * (1 - self.lambdas[t + n]) * self.n_step(t, n, v)
            left *= self.lambdas[t + n]
        return G + left * self.n_step(t, h - t, v)


def test_12_1_the_lambda_return_is_recursive():
    """G_t = R_{t+1} + gamma ((1 - lambda) v(S_{t+1}) + lambda G_{t+1}) is the sum of (12.3)."""
    e = Episode(1, constant=True)
    G = 0.0
    for t in reversed(range(T)):
        G = e.R[t + 1] + 0.9 * (0.3 * e.v[t + 1] + 0.7 * G)
        by_sum = 0.3 * sum(0.7 ** (n - 1) * e.n_step(t, n) for n in range(1, T - t))
        by_sum += 0.7 ** (T - t - 1) * e.n_step(t, T - t)
        assert_allclose(G, by_sum, rtol=EXACT)


@pytest.mark.parametrize("lambda_", [0.05, 0.5, 0.8, 0.9, 0.99, 0.999])
def test_12_2_half_life(lambda_):
    """After tau = -ln 2 / ln lambda the weight (1 - lambda) lambda^(n - 1) has halved: beyond n = tau + 1."""
    tau = -np.log(2) / np.log(lambda_)
    first = 1 - lambda_
    assert first * lambda_**tau == pytest.approx(first / 2, rel=EXACT)
    n = np.arange(1, 2000)
    weights = first * lambda_ ** (n - 1.0)
    near = np.abs(n - (tau + 1)) < 1e-9  # lambda = 1/2 halves at n = 2 itself
    assert ((weights < first / 2) == (n > tau + 1))[~near].all()


def test_12_3_the_error_is_a_sum_of_td_errors():
    """G_t - v(S_t) = sum over k of (gamma lambda)^(k - t) delta_k, for one fixed w."""
    e = Episode(3, constant=True)
    delta = e.R[1:] + 0.9 * e.v[1:] - e.v[:-1]
    for t in range(T):
        by_errors = sum(0.63 ** (k - t) * delta[k] for k in range(t, T))
        assert e.mixture(t, T) - e.v[t] == pytest.approx(by_errors, rel=EXACT)


def test_12_4_the_sums_of_the_updates_are_equal():
    """With w fixed over an episode, TD(lambda) and the off-line lambda-return change it by the same."""
    e = Episode(4)
    gammas, lambdas = np.append(e.gammas[1:T], 0.0), e.lambdas[1:]
    ended = np.arange(T) == T - 1
    numbers = {"alpha": 0.1, "gammas": gammas, "lambdas": lambdas}
    off_line = ft.forward.offline_lambda_return(
        e.x, e.R[1:], **numbers, terminated=ended, variant="batch", weights=e.w
    )
    learner = ft.TD(D, alpha=0.1, backend="numpy")
    total = np.zeros(D)
    for t in range(T):
        learner.weights = e.w
        learner.learn(e.x[t : t + 2], e.R[t + 1 : t + 2], gammas=gammas[t], lambdas=lambdas[t])
        total += learner.weights - e.w
    assert relative(total, off_line - e.w) < EXACT


def test_12_5_the_truncated_return_is_a_sum_of_td_errors():
    """(12.10), with weights that change: G_{t:t+k} = v(S_t, w_{t-1}) + sum of (gamma lambda)^(i-t) delta'_i.

    delta'_i = R_{i+1} + gamma v(S_{i+1}, w_i) - v(S_i, w_{i-1}); with w_i in both values it is wrong.
    """
    e = Episode(5, constant=True)
    w = e.rng.normal(size=(T + 1, D))  # w[t] is w_{t-1}, what S_t is valued under
    v = np.einsum("td,td->t", w, e.x)
    delta = e.R[1:] + 0.9 * v[1:] - v[:-1]
    plain = np.array([e.R[i + 1] + 0.9 * w[i + 1] @ e.x[i + 1] - w[i + 1] @ e.x[i] for i in range(T)])
    for t in range(T):
        for h in range(t + 1, T + 1):
            powers = 0.63 ** np.arange(h - t)
            want = e.mixture(t, h, v)
            assert v[t] + powers @ delta[t:h] == pytest.approx(want, rel=EXACT)
            assert abs(v[t] + powers @ plain[t:h] - want) > WRONG


# ---- exercise 12.6 ----


def coarse_tiles(state):
    """Bias, 9 tiles of the position, 15 of the velocity: three of 25 features, told apart and half-open."""
    position, velocity = state
    return np.array([0, 1 + min(int((position + 1.2) / 0.2), 8), 10 + min(int((velocity + 0.07) / 0.01), 14)])


@cache
def mountain_car(episodes=40, longest=5000):
    """Sarsa(lambda) with dutch traces: the agent, steps of each episode, and what it went through."""
    env, agent = ft.envs.MountainCar(), ft.Sarsa(
        25, 3, trace="dutch", alpha=0.05, gamma=1.0, lambda_=0.9, epsilon=0.0, seed=0
    )  # fmt: skip
    rng, lengths, lived = np.random.default_rng(0), [], []
    for _ in range(episodes):
        state, over = env.reset((rng.random(),)), False
        x, lived_now = coarse_tiles(state), []
        action = agent.start(x)
        while not over:
            state, reward, goes_on = env.step(state, action, ())
            x_next, over = coarse_tiles(state), not goes_on
            assert len(lived_now) < longest, "the goal is out of reach"
            if over:
                agent.end(reward)
                lived_now.append((x, action, reward, None, 0))
            else:
                action_next = agent.step(reward, x_next)
                lived_now.append((x, action, reward, x_next, action_next))
                x, action = x_next, action_next
        lengths.append(len(lived_now))
        lived.append(lived_now)
    return agent, lengths, lived


def test_12_6_learns_to_reach_the_goal():
    """From a thousand steps to fewer than 250 an episode, with features as coarse as these."""
    _, lengths, _ = mountain_car()
    assert lengths[0] > 900
    assert np.mean(lengths[-10:]) < 250


def dutch_sarsa(lived, alpha, gamma, lambda_, factor):
    """The box of Sarsa(lambda) with its trace made dutch, over episodes that were lived: weights (25, 3).

    factor(z.x) is what a feature that is active adds; z is decayed at the end of a step.
    """
    w = np.zeros((25, 3))
    for episode in lived:
        z = np.zeros_like(w)
        for x, action, reward, x_next, action_next in episode:
            delta = reward - w[x, action].sum()
            z[x, action] += factor(z[x, action].sum())
            if x_next is not None:
                delta += gamma * w[x_next, action_next].sum()
            w += alpha * delta * z
            z *= gamma * lambda_
    return w


def test_12_6_the_pseudocode():
    """One line changes in the box of Sarsa(lambda); the decay is in z already, and does not stand there."""
    agent, _, lived = mountain_car()
    numbers = {"alpha": 0.05, "gamma": 1.0, "lambda_": 0.9}
    right = dutch_sarsa(lived, **numbers, factor=lambda zx: 1 - 0.05 * zx)
    twice = dutch_sarsa(lived, **numbers, factor=lambda zx: 1 - 0.05 * 0.9 * zx)
    assert relative(agent.weights, right) < 1e-9
    assert relative(agent.weights, twice) > WRONG


# ---- truncated and off-policy returns ----


class Actions(Episode):
    """With action values under one fixed w, a target policy, and the ratios of the actions taken.

    q (T + 1, A), taken (T + 1,), pi (T + 1, A); Q is q(S_t, A_t), V the mean of q under pi; 0 at the end.
    """

    def __init__(self, seed):
        super().__init__(seed)
        rng = self.rng
        self.xa = rng.normal(size=(T + 1, A, D))
        self.q = self.xa @ self.w
        self.q[T] = 0.0
        self.taken = rng.integers(0, A, T + 1)
        self.pi, mu = (rng.dirichlet(np.ones(A), T + 1) for _ in range(2))
        every = np.arange(T + 1)
        self.rhos = self.pi[every, self.taken] / np.maximum(mu[every, self.taken], 0.1)
        self.Q, self.V = self.q[every, self.taken], (self.pi * self.q).sum(1)
        self.x_taken = self.xa[every, self.taken]


def truncated(e, t, h, v, lambdas):
    """R_{t+1} + gamma_{t+1} ((1 - lambda_{t+1}) v_{t+1} + lambda_{t+1} G_{t+1:h}) with G_{h:h} = v_h."""
    G = v[h]
    for i in reversed(range(t, h)):
        G = e.R[i + 1] + e.gammas[i + 1] * ((1 - lambdas[i + 1]) * v[i + 1] + e.lambdas[i + 1] * G)
    return G


@pytest.mark.parametrize("values", ["v", "Q", "V"])
def test_12_7_truncated_recursions(values):
    """For state values, Sarsa, Expected Sarsa: mixtures of n-step returns; with lambda_t they are not."""
    e = Actions(7)
    v = e.rng.normal(size=T + 1) * getattr(e, values)  # each S_t under weights of its own time
    shifted = np.append(0.0, e.lambdas[:-1])
    for t in range(T):
        for h in range(t + 1, T + 1):
            want = e.mixture(t, h, v)
            assert truncated(e, t, h, v, e.lambdas) == pytest.approx(want, rel=EXACT, abs=EXACT)
    assert abs(truncated(e, 0, T, v, shifted) - e.mixture(0, T, v)) > WRONG


def off_policy_return(e, t, h):
    """(12.22), with control variate: rho (R + gamma ((1 - lambda) v + lambda G)) + (1 - rho) v."""
    G = e.v[h]
    for i in reversed(range(t, h)):
        inner = (1 - e.lambdas[i + 1]) * e.v[i + 1] + e.lambdas[i + 1] * G
        G = e.rhos[i] * (e.R[i + 1] + e.gammas[i + 1] * inner) + (1 - e.rhos[i]) * e.v[i]
    return G


def products(e, t, first=1):
    """Products of gamma_i lambda_i rho_i from i = t + first to k, for k = t to T - 1."""
    each = e.gammas * e.lambdas * e.rhos
    return np.array([np.prod(each[t + first : k + 1]) for k in range(t, T)])


def state_errors(e):
    return e.R[1:] + e.gammas[1:] * e.v[1:] - e.v[:-1]


def action_errors(e):
    return e.R[1:] + e.gammas[1:] * e.V[1:] - e.Q[:-1]


def test_12_8_the_off_policy_return_is_a_sum_of_td_errors():
    """(12.24) is exact while the values stay: G_t = V_t + rho_t sum of delta_k prod of gamma lambda rho."""
    e = Episode(8)
    delta = state_errors(e)
    for t in range(T):
        by_errors = e.v[t] + e.rhos[t] * (products(e, t) @ delta[t:])
        assert off_policy_return(e, t, T) == pytest.approx(by_errors, rel=EXACT)


def test_12_9_truncated_at_h():
    """The sum then goes to h - 1: h is a time, and delta_h looks beyond it."""
    e = Episode(9)
    delta = state_errors(e)
    for t in range(T):
        for h in range(t + 1, T + 1):
            terms = products(e, t) * delta[t:]
            want = off_policy_return(e, t, h)
            assert e.v[t] + e.rhos[t] * terms[: h - t].sum() == pytest.approx(want, rel=EXACT)
    one_more = e.v[0] + e.rhos[0] * (products(e, 0) * delta)[:6].sum()
    assert abs(one_more - off_policy_return(e, 0, 5)) > WRONG


def off_policy_action_return(e, t, h):
    """(12.26): R + gamma (V + lambda rho (G - Q)) of the next state and action; G_{h:h} = Q_h."""
    G = e.Q[h]
    for i in reversed(range(t, h)):
        n = i + 1
        G = e.R[n] + e.gammas[n] * (e.V[n] + e.lambdas[n] * e.rhos[n] * (G - e.Q[n]))
    return G


def test_12_10_the_off_policy_action_return_is_a_sum_of_td_errors():
    """(12.27) is exact while the values stay; the product begins at t + 1, and no rho_t stands before it."""
    e = Actions(10)
    delta = action_errors(e)
    for t in range(T):
        want = off_policy_action_return(e, t, T)
        assert e.Q[t] + products(e, t) @ delta[t:] == pytest.approx(want, rel=EXACT)
    want = off_policy_action_return(e, 1, T)
    assert abs(e.Q[1] + products(e, 1, first=0) @ delta[1:] - want) > WRONG
    assert abs(e.Q[1] + e.rhos[1] * (products(e, 1) @ delta[1:]) - want) > WRONG


def test_12_11_truncated_at_h():
    """As in 12.9, up to h - 1."""
    e = Actions(11)
    delta = action_errors(e)
    for t in range(T):
        for h in range(t + 1, T + 1):
            terms = products(e, t) * delta[t:]
            want = off_policy_action_return(e, t, h)
            assert e.Q[t] + terms[: h - t].sum() == pytest.approx(want, rel=EXACT)
    one_more = e.Q[0] + (products(e, 0) * delta)[:6].sum()
    assert abs(one_more - off_policy_action_return(e, 0, 5)) > WRONG


# ---- traces ----


def sum_of_trace_updates(e, trace):
    """Sum over k of delta_k z_k, with z_k = trace(gamma_k lambda_k z_{k-1}, rho_k, x_k)."""
    delta, z, total = action_errors(e), np.zeros(D), np.zeros(D)
    for k in range(T):
        z = trace(e.gammas[k] * e.lambdas[k] * z if k else z, e.rhos[k], e.x_taken[k])
        total += delta[k] * z
    return total


def test_12_12_the_trace_of_action_values():
    """(12.29), z = gamma lambda rho z + x, has the sum of (12.26)'s updates; that of state values has not.

    With a rho_t before the sum of (12.27) one ends in z = rho (gamma lambda z + x), which is (12.25).
    """
    e = Actions(12)
    forward = sum((off_policy_action_return(e, t, T) - e.Q[t]) * e.x_taken[t] for t in range(T))
    assert relative(sum_of_trace_updates(e, lambda z, rho, x: rho * z + x), forward) < EXACT
    assert relative(sum_of_trace_updates(e, lambda z, rho, x: rho * (z + x)), forward) > WRONG

    learner = ft.ExpectedSarsa(D, A, alpha=1.0, state_action=True, backend="numpy")
    total = np.zeros(D)
    for t in range(T):
        learner.weights = e.w
        pair, end = slice(t, t + 2), t == T - 1
        learner.learn(
            e.xa[pair], e.taken[pair], e.R[t + 1 : t + 2], gammas=0.0 if end else e.gammas[t + 1],
            lambdas=e.lambdas[t + 1], rhos=e.rhos[pair], target_policy=e.pi[pair],
        )  # fmt: skip
        total += learner.weights - e.w
    assert relative(total, forward) < EXACT


def test_12_13_dutch_traces_of_state_values():
    """rho inside and outside: e = rho gamma lambda e + alpha rho (1 - rho gamma lambda e.x) x is exact.

    With v - v_old in the update the weights are those of the online lambda-return at every step.  With the
    rho left out of the inner product they are not.
    """
    e = Episode(13)
    gammas, lambdas, rhos = e.gammas[1:], e.lambdas[1:], e.rhos[:T]
    alpha = 0.05

    def learn(inner):
        w, trace, decay, v_old, weights = e.w.copy(), np.zeros(D), 0.0, e.w @ e.x[0], []
        for t in range(T):
            x, v, v_next = e.x[t], w @ e.x[t], w @ e.x[t + 1]
            delta = e.R[t + 1] + gammas[t] * v_next - v
            trace = rhos[t] * decay * trace
            size = alpha * rhos[t]
            trace = trace + size * x - (size if inner else alpha) * (trace @ x) * x
            w = w + (delta + v - v_old) * trace - size * (v - v_old) * x
            v_old, decay = v_next, gammas[t] * lambdas[t]
            weights.append(w)
        return weights

    right, wrong = learn(True), learn(False)
    learner = ft.TrueOnlineTD(D, alpha=alpha, backend="numpy")
    learner.weights = e.w
    for t in range(T):
        want = ft.forward.online_lambda_return(
            e.x[: t + 2], e.R[1 : t + 2], alpha=alpha, gammas=gammas[: t + 1], lambdas=lambdas[: t + 1],
            rhos=rhos[: t + 1], weights=e.w,
        )  # fmt: skip
        learner.learn(e.x[t : t + 2], e.R[t + 1 : t + 2], gammas=gammas[t], lambdas=lambdas[t], rhos=rhos[t])
        assert relative(right[t], want) < EXACT
        assert relative(learner.weights, want) < EXACT
    assert relative(wrong[-1], want) > WRONG


def test_12_13_dutch_traces_of_action_values():
    """Here rho is in the decay alone: e = gamma lambda rho e + alpha (1 - gamma lambda rho e.x) x.

    True online, the weights are those of the updates towards (12.26), all done again at every horizon.
    """
    e = Actions(14)
    alpha = 0.05
    Q, V, w = np.zeros(T + 1), np.zeros(T + 1), e.w
    learner = ft.TrueOnlineExpectedSarsa(D, A, alpha=alpha, state_action=True, backend="numpy")
    learner.weights = e.w
    for h in range(T + 1):
        q = e.xa[h] @ w  # S_h is valued under the weights of the horizon before
        Q[h], V[h] = q[e.taken[h]], e.pi[h] @ q
        if h == 0:
            continue
        w = e.w.copy()
        G, returns = Q[h], np.zeros(h)
        for t in reversed(range(h)):
            n = t + 1
            G = returns[t] = e.R[n] + e.gammas[n] * (V[n] + e.lambdas[n] * e.rhos[n] * (G - Q[n]))
        for t in range(h):
            w += alpha * (returns[t] - w @ e.x_taken[t]) * e.x_taken[t]
        pair = slice(h - 1, h + 1)
        learner.learn(
            e.xa[pair], e.taken[pair], e.R[h : h + 1], gammas=e.gammas[h], lambdas=e.lambdas[h],
            rhos=e.rhos[pair], target_policy=e.pi[pair],
        )  # fmt: skip
        assert relative(learner.weights, w) < EXACT


@pytest.mark.parametrize("trace", ["accumulating", "replacing", "dutch"])
def test_12_13_the_traces_of_the_learners(trace):
    """What ft.TD and ft.ExpectedSarsa keep, off-policy, is the table of the page, binary features."""
    rng = np.random.default_rng(15)
    rows, alpha, gamma, lambda_ = [np.sort(rng.permutation(D)[:2]) for _ in range(T + 1)], 0.1, 0.9, 0.8
    rhos, taken, policy = rng.uniform(0.2, 2, T + 1), np.zeros(T + 1, int), np.ones((T + 1, 1))
    options = {"trace": trace, "alpha": alpha, "gamma": gamma, "lambda_": lambda_, "backend": "numpy"}
    td, sarsa = ft.TD(D, **options), ft.ExpectedSarsa(D, 1, **options)
    z, y = np.zeros(D), np.zeros(D)
    for t in range(T):
        x, rho, decay = np.isin(np.arange(D), rows[t]), rhos[t], gamma * lambda_
        if trace == "accumulating":
            z, y = rho * (decay * z + x), decay * rho * y + x
        elif trace == "replacing":
            z, y = np.where(x, rho, rho * decay * z), np.where(x, 1.0, decay * rho * y)
        else:
            z = rho * (decay * z + (1 - alpha * rho * decay * (z @ x)) * x)
            y = decay * rho * y + (1 - alpha * decay * rho * (y @ x)) * x
        td.learn(np.array(rows[t : t + 2]), [1.0], rhos=rho)
        sarsa.learn(
            np.array(rows[t : t + 2]), taken[:2], [1.0], rhos=rhos[t : t + 2], target_policy=policy[:2]
        )
        assert_allclose(td.trace, z, rtol=1e-10)
        assert_allclose(sarsa.trace[:, 0], y, rtol=1e-10)


def test_12_13_one_hot_dutch_traces_of_step_size_one_are_replacing():
    """State values with alpha rho = 1, action values with alpha = 1."""
    rng = np.random.default_rng(16)
    x, rewards = rng.integers(0, D, (41, 1)), rng.normal(size=40)
    rhos = rng.uniform(0.2, 2, 41)
    policy, taken = np.ones((41, 1)), np.zeros(41, int)
    state, action = [], []
    for trace in ("dutch", "replacing"):
        td = ft.TD(D, trace=trace, alpha=0.625, backend="numpy")
        td.learn(x, rewards, rhos=1.6)
        state.append(td.weights)
        sarsa = ft.ExpectedSarsa(D, 1, trace=trace, alpha=1.0, backend="numpy")
        sarsa.learn(x, taken, rewards, rhos=rhos, target_policy=policy)
        action.append(sarsa.weights)
    assert relative(state[0], state[1]) < 1e-10
    assert relative(action[0], action[1]) < 1e-10


# ---- the page ----


def test_the_page_has_each_exercise_and_names_its_checks():
    """docs/exercises.md: a section for each of 12.1 to 12.13, and every test here named in its own."""
    sections = re.split(r"^## ", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert [section.split()[1] for section in sections] == [f"12.{i}:" for i in range(1, 14)]
    tests = [name for name in globals() if name.startswith("test_12_")]
    for section in sections:
        number = section.split()[1].replace(".", "_").rstrip(":")
        own = {name for name in tests if re.match(rf"test_{number}_", name)}
        assert own
        assert own == set(re.findall(r"`(test_12_\w+)`", section))
