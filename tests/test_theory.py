"""What the theory says of the learners, in each backend.  The forward views are those of ft.forward."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from states import inherit
from streams import (
    ALGORITHMS,
    BACKENDS,
    CONTROL,
    ONE_VECTOR,
    PREDICTION,
    WITH_TRACE,
    Stream,
    features,
    learn,
    needed,
    random_stream,
    relative,
)

import fasttrace as ft
from fasttrace.backends.numpy.linear import td_step

EXACT = 1e-12  # agreement to rounding, of 60 steps with sums of order 1
everywhere = pytest.mark.parametrize("backend", BACKENDS)


def each(*algorithms):
    return pytest.mark.parametrize("algorithm", algorithms, ids=str)


def stream_for(algorithm, seed=0, **options):
    if algorithm.control:
        options = {"n_actions": 3, **options}
    return random_stream(seed, **options)


def per_step(s):
    """Rewards, gammas, lambdas, rhos, alphas as arrays (T,)."""
    values = (s.rewards, s.gammas, s.lambdas, 1.0 if s.rhos is None else s.rhos, s.alpha)
    return [np.broadcast_to(v, s.T) for v in values]


# ---- forward views ----


def online_lambda_return(s, h):
    """Weights after horizon h of the online lambda-return algorithm: S&B 12.4, van Hasselt et al. 2014."""
    R, gammas, lambdas, rhos, alphas = (values[:h] for values in per_step(s))
    return ft.forward.online_lambda_return(
        s.pairs()[: h + 1], R, alpha=alphas, gammas=gammas, lambdas=lambdas, rhos=rhos,
        weights=s.weights.ravel(),
    )  # fmt: skip


@everywhere
@pytest.mark.parametrize(
    ("algorithm", "off_policy"),
    [("true_online_td", False), ("true_online_td", True), ("true_online_sarsa", False)],
)
@pytest.mark.parametrize("form", ["indices", "ragged_pair", "dense"])
@pytest.mark.parametrize("vary_alpha", [False, True])
def test_forward_view_is_backward_view(algorithm, off_policy, backend, form, vary_alpha):
    """At every step, true online learning has the weights of the online lambda-return algorithm."""
    algorithm = ALGORITHMS[algorithm]
    s = stream_for(
        algorithm, 11, T=40, n=8, form=form, vary_alpha=vary_alpha, off_policy=off_policy, repeats=True
    )
    learner = algorithm.make(s, backend)
    for t in range(s.T):
        learn(learner, s, t, t + 1)
        assert relative(learner.weights.ravel(), online_lambda_return(s, t + 1)) < EXACT


def online_action_return(s):
    """Weights after each step of the online lambda-return algorithm with (12.26): van Hasselt et al. 2014.

        G_t = R_{t+1} + gamma_{t+1} (V_{t+1} + lambda_{t+1} rho_{t+1} (G_{t+1} - q_{t+1})),  G_h = q_h

    V_{t+1} = sum_a pi(a|S_{t+1}) q(S_{t+1}, a) and q_{t+1} = q(S_{t+1}, A_{t+1}), both from the horizon t.
    """
    R, gammas, lambdas, rhos, alphas = per_step(s)
    x, w0 = s.pairs(), s.weights.ravel()
    q, V, weights = [w0 @ x[0]], [0.0], [w0]
    for h in range(1, s.T + 1):
        w = weights[-1]
        q.append(w @ x[h])
        V.append(s.policy[h] @ (s.dense(h) @ w.reshape(s.n, s.n_actions)))
        G = q[h]
        returns = np.empty(h)
        for t in reversed(range(h)):
            ratio = rhos[t + 1] if t + 1 < s.T else 1.0
            G = R[t] + gammas[t] * (V[t + 1] + lambdas[t] * ratio * (G - q[t + 1]))
            returns[t] = G
        w = w0.copy()
        for t in range(h):
            w += alphas[t] * (returns[t] - w @ x[t]) * x[t]
        weights.append(w)
    return np.array(weights)


@everywhere
@pytest.mark.parametrize("vary_alpha", [False, True])
def test_forward_view_of_true_online_expected_sarsa(backend, vary_alpha):
    """At every step, off-policy, it has the weights of the online lambda-return with control variates."""
    algorithm = ALGORITHMS["true_online_expected_sarsa"]
    s = stream_for(algorithm, 5, T=40, n=8, off_policy=True, vary_alpha=vary_alpha, repeats=True)
    want = online_action_return(s)
    learner = algorithm.make(s, backend)
    for t in range(s.T):
        learn(learner, s, t, t + 1)
        assert relative(learner.weights.ravel(), want[t + 1]) < EXACT


@everywhere
@pytest.mark.parametrize("emphatic", ["emphatic_td", "true_online_emphatic_td"])
def test_emphasis_of_one_is_none(emphatic, backend):
    """With lambda 1 and interest 1, M is 1: emphatic TD is TD, off-policy too."""
    plain = {"emphatic_td": "td_accumulating", "true_online_emphatic_td": "true_online_td"}[emphatic]
    s = random_stream(6, off_policy=True, restarts=False).but(lambdas=1.0, interests=None)
    one, two = ALGORITHMS[emphatic].make(s, backend), ALGORITHMS[plain].make(s, backend)
    assert relative(learn(one, s), learn(two, s)) < EXACT
    assert relative(one.weights, two.weights) < EXACT


@everywhere
@each(ALGORITHMS["td_accumulating"], ALGORITHMS["sarsa_accumulating"])
@pytest.mark.parametrize("lambdas", [0.0, 0.7, 1.0])
def test_with_fixed_weights_the_updates_of_an_episode_are_those_of_the_lambda_return(
    algorithm, backend, lambdas
):
    """Exercise 12.4, off-policy (12.25) as well: the sums over an episode are equal if w stays fixed.

    Setting the weights keeps the trace, so each update is seen alone.  lambda = 1 is Monte Carlo.
    """
    s = stream_for(algorithm, 3, T=30, off_policy=not algorithm.control, restarts=False)
    gammas = np.append(np.asarray(s.gammas)[:-1], 0.0)  # one episode
    s = s.but(gammas=gammas, lambdas=np.full(s.T, lambdas))
    R, gammas, lambdas, rhos, _ = per_step(s)
    x, w = s.pairs(), s.weights.ravel()
    v = x @ w

    want, H = np.zeros_like(w), 0.0
    for t in reversed(range(s.T)):
        v_next = v[t + 1] if gammas[t] else 0.0
        G = R[t] + gammas[t] * (lambdas[t] * H + (1 - lambdas[t]) * v_next)
        want += s.alpha * rhos[t] * (G - v[t]) * x[t]
        H = rhos[t] * G + (1 - rhos[t]) * v[t]

    learner = algorithm.make(s, backend)
    got = np.zeros_like(w)
    for t in range(s.T):
        learn(learner, s, t, t + 1)
        got += learner.weights.ravel() - w
        learner.weights = s.weights
    assert relative(got, want) < EXACT


@everywhere
def test_monte_carlo_credits_every_state_with_the_reward_at_the_end(backend):
    """gamma = lambda = 1, one-hot, one reward as the episode ends: each state moves by alpha times it.

    With gamma_{t+1} in the place of gamma_t the trace is gone before the reward comes.
    """
    chain = np.array([[0], [1], [2], [0]])
    for algorithm in [each for each in PREDICTION if each in ONE_VECTOR]:
        s = Stream(
            3, [(row, None) for row in chain], np.array([0.0, 0, 1]), [1.0, 1, 0], 1.0, 0.5, np.zeros(3)
        ).but(pi=1.0)
        learner = algorithm.make(s, backend)
        learn(learner, s)
        assert_array_equal(learner.weights, [0.5, 0.5, 0.5])


# ---- what a trace reduces to ----


def decays_later(algorithm):
    """Whether the ratio of a step is in the update, and in the decay of the trace after it."""
    return algorithm.stem == "linear" and algorithm.traits.D == "decay"


@everywhere
@each(*(a for a in ONE_VECTOR if a.control or "lambdas" in a.takes))
def test_lambda_0_is_one_step_learning(algorithm, backend):
    """Without lambda, each of them is its one-step method: w <- w + alpha delta x, weighed by rho (and F).

    Action values take no ratio then, and no policy but that of the expectation.
    """
    s = stream_for(algorithm, 4, off_policy=True).but(lambdas=0.0)
    R, gammas, _, rhos, alphas = per_step(s)
    x, w = s.pairs(), s.weights.ravel().copy()
    followon, want, weights = 0.0, [], np.ones(s.T)
    for t in range(s.T):
        v_next = w @ x[t + 1]
        if algorithm.control and algorithm.target.name != "taken":
            q = s.dense(t + 1) @ w.reshape(s.n, s.n_actions)
            v_next = q.max() if algorithm.target.greedy else s.policy[t + 1] @ q
        if not algorithm.control:
            followon += s.interests[t]
            weights[t] = rhos[t] * (followon if algorithm.traits.emphatic else 1.0)
            kept = {"rho": rhos[t], "gamma_next": gammas[t], **dict(algorithm.row.options)}
            followon *= eval(algorithm.traits.kept, kept) if gammas[t] else 0.0
        want.append(R[t] + gammas[t] * v_next - w @ x[t])
        w += alphas[t] * weights[t] * want[t] * x[t]
    learner = algorithm.make(s, backend)
    assert relative(learn(learner, s), want) < EXACT
    assert relative(learner.weights.ravel(), w) < EXACT
    in_trace = 1.0 if decays_later(algorithm) else weights[-1]
    assert relative(learner.trace.ravel(), in_trace * x[s.T - 1]) < EXACT


@everywhere
@pytest.mark.parametrize("rho", [1.0, 2.0])
def test_one_hot_dutch_traces_of_step_size_one_are_replacing(backend, rho):
    """With one feature active and alpha rho = 1, (12.11) sets the trace to rho as (12.12) does."""
    s = random_stream(6, n=5, k=1).but(alpha=1 / rho)
    s = s.but(rhos=None if rho == 1 else np.full(s.T, rho))
    dutch, replacing = (ALGORITHMS[name].make(s, backend) for name in ("td_dutch", "td_replacing"))
    assert relative(learn(dutch, s), learn(replacing, s)) < EXACT
    assert relative(dutch.weights, replacing.weights) < EXACT
    assert relative(dutch.trace, replacing.trace) < EXACT


@everywhere
@each(*PREDICTION, *CONTROL)
def test_a_termination_starts_a_new_trace(algorithm, backend):
    """What is learned after gamma = 0 is what a new learner with the same weights learns."""
    s = stream_for(algorithm, 7, restarts=False, off_policy=not algorithm.control)
    gammas = s.gammas.copy()
    gammas[29] = 0.0
    assert_new_trace_after(30, algorithm, backend, s.but(gammas=gammas))


@everywhere
# One of HTD's traces takes no ratio, nor does the first term of GTD2(lambda).
@each(*(a for a in PREDICTION if a.kernel not in ("htd", "gtd2_lambda", "proximal_gtd2")))
def test_a_ratio_of_zero_cuts_the_trace(algorithm, backend):
    """Where the target policy never does what was done, nothing is learned and the trace is empty."""
    s = stream_for(algorithm, 8, restarts=False, off_policy=True)
    rhos = np.where(s.rhos == 0, 1.0, s.rhos)
    rhos[29] = 0.0
    s = s.but(rhos=rhos, pi=np.where(rhos == 0, 0.0, np.maximum(s.pi, 0.1 * np.minimum(rhos, 1.0))))
    learner = algorithm.make(s, backend)
    learn(learner, s, 0, 29)
    before = learner.weights
    learn(learner, s, 29, 30)
    assert relative(learner.weights, before) < EXACT
    if not decays_later(algorithm):
        assert_array_equal(learner.trace, np.zeros(s.n))
    assert_new_trace_after(30, algorithm, backend, s)


def assert_new_trace_after(t, algorithm, backend, s):
    old = algorithm.make(s, backend)
    learn(old, s, 0, t)
    new = algorithm.make(s, backend)
    inherit(new, old)
    assert relative(learn(old, s, t), learn(new, s, t)) < EXACT
    assert relative(old.weights, new.weights) < EXACT
    assert relative(old.trace, new.trace) < EXACT


@everywhere
@each(*PREDICTION, *CONTROL)
def test_reset_starts_a_new_trace_and_keeps_the_weights(algorithm, backend):
    """After reset(), a learner goes on as a new one with its weights would."""
    s = stream_for(algorithm, 9, restarts=False)
    old = algorithm.make(s, backend)
    learn(old, s, 0, 30)
    weights = old.weights
    old.reset()
    assert relative(old.weights, weights) < EXACT
    assert_array_equal(old.trace, np.zeros_like(weights))
    new = algorithm.make(s, backend)
    inherit(new, old)
    assert relative(learn(old, s, 30), learn(new, s, 30)) < EXACT
    assert relative(old.weights, new.weights) < EXACT


@everywhere
@each(ALGORITHMS["true_online_td"], ALGORITHMS["true_online_sarsa"])
def test_setting_the_weights_keeps_the_trace_and_forgets_v_old(algorithm, backend):
    """The step after takes v_old = v: w <- w + delta e, with e = decay e + alpha (1 - decay e.x) x."""
    s = stream_for(algorithm, 10, restarts=False)
    learner = algorithm.make(s, backend)
    learn(learner, s, 0, 30)
    e = s.alpha * learner.trace.ravel() * s.gammas[29] * s.lambdas[29]
    w = np.random.default_rng(0).normal(size=e.shape)
    learner.weights = w.reshape(s.weights.shape)
    assert_allclose(learner.trace.ravel() * s.alpha * s.gammas[29] * s.lambdas[29], e, rtol=EXACT)
    x = s.pairs()
    delta = s.rewards[30] + s.gammas[30] * w @ x[31] - w @ x[30]
    e += s.alpha * (1 - e @ x[30]) * x[30]
    assert_allclose(learn(learner, s, 30, 31), [delta], rtol=EXACT)
    assert relative(learner.weights.ravel(), w + delta * e) < EXACT


# ---- what features mean ----


@everywhere
@each(*(a for a in PREDICTION + CONTROL if not a.replacing))
def test_an_index_that_stands_twice_is_a_value_of_two(algorithm, backend):
    """Indices with repeats, their dense sums and single indices with counts as values are one stream."""
    s = stream_for(algorithm, 12, n=6, k=5, repeats=True)
    counted = []
    for row, _ in s.rows:
        index, count = np.unique(row, return_counts=True)
        counted.append((index.astype(np.int32), count.astype(float)))
    assert any((count > 1).any() for _, count in counted)
    learners, deltas = [], []
    for other in (
        s,
        s.but(form="dense"),
        s.but(rows=counted, form="pair"),
        s.but(rows=counted, form="ragged_pair"),
    ):
        learners.append(algorithm.make(other, backend))
        deltas.append(learn(learners[-1], other))
    for learner, delta in zip(learners[1:], deltas[1:], strict=True):
        assert relative(delta, deltas[0]) < EXACT
        assert relative(learner.weights, learners[0].weights) < EXACT
        assert relative(learner.trace, learners[0].trace) < EXACT


@everywhere
def test_an_index_that_stands_twice_is_replaced_once(backend):
    """In a replacing trace a repeated feature is 1; in the value it still counts twice."""
    s = Stream(
        3, [(np.array([1, 1]), None)] * 2, np.array([1.0]), [0.5], [0.0], 0.25, np.array([0.0, 1.0, 0.0])
    )
    learner = ALGORITHMS["td_replacing"].make(s, backend)
    delta = 1.0 + 0.5 * 2.0 - 2.0
    assert_array_equal(learn(learner, s), [delta])
    assert_array_equal(learner.trace, [0.0, 1.0, 0.0])
    assert_array_equal(learner.weights, [0.0, 1.0 + 0.25 * delta, 0.0])


@everywhere
@pytest.mark.parametrize(
    ("algorithm", "valued", "state_action"),
    [
        (a, v, p)
        for a in WITH_TRACE
        for v in (False, True)
        for p in (False, True)
        if not (v and a.replacing) and not (p and not a.pairs)
    ],
    ids=str,
)
def test_padding_changes_nothing(algorithm, valued, state_action, backend):
    """-1 anywhere in a row, with any value beside it, is not there: the same to the bit."""
    s = stream_for(algorithm, 13, form="ragged_pair" if valued else "ragged", state_action=state_action)
    plain = algorithm.make(s, backend)
    deltas = learn(plain, s)

    rng = np.random.default_rng(1)
    x = features(s.rows, s.n, "pair", state_action)
    width = x[0].shape[-1] + 3
    indices = np.full((*x[0].shape[:-1], width), -1, np.int32)
    values = np.full(indices.shape, np.nan)
    there = np.sort(rng.random(indices.shape).argsort(-1)[..., : x[0].shape[-1]], -1)
    np.put_along_axis(indices, there, x[0], -1)
    np.put_along_axis(values, there, x[1], -1)
    padded = algorithm.make(s, backend)
    first = ((indices, values) if valued else indices,) + ((s.actions,) if algorithm.control else ())
    got = padded.learn(*first, s.rewards, gammas=s.gammas, lambdas=s.lambdas, **needed(padded, s.T + 1))
    assert_array_equal(got, deltas)
    assert_array_equal(padded.weights, plain.weights)
    assert_array_equal(padded.trace, plain.trace)


@everywhere
@each(*CONTROL)
def test_a_column_for_each_action_is_a_feature_of_state_and_action(algorithm, backend):
    """Weights (n, A) learn what x(s, a) with a block of its own for each action learns."""
    s = stream_for(algorithm, 14, n=7)
    A = s.n_actions
    rows = [[(i * A + a, None) for a in range(A)] for i, _ in s.rows]
    blocks = s.but(n=s.n * A, rows=rows, state_action=True, weights=s.weights.ravel())
    columns, pairs = algorithm.make(s, backend), algorithm.make(blocks, backend)
    assert relative(learn(columns, s), learn(pairs, blocks)) < EXACT
    assert relative(columns.weights.ravel(), pairs.weights) < EXACT
    assert relative(columns.trace.ravel(), pairs.trace) < EXACT


@everywhere
@pytest.mark.parametrize(
    ("sarsa", "td"),
    [
        ("sarsa_accumulating", "td_accumulating"),
        ("sarsa_replacing", "td_replacing"),
        ("sarsa_dutch", "td_dutch"),
        ("true_online_sarsa", "true_online_td"),
    ],
)
def test_sarsa_is_td_over_state_action_pairs(sarsa, td, backend):
    """Along given actions, Sarsa is TD whose states are the pairs (S_t, A_t)."""
    s = random_stream(15, n=9, n_actions=3, state_action=True)
    rows = [actions[a] for actions, a in zip(s.rows, s.actions, strict=True)]
    states = s.but(rows=rows, actions=None, n_actions=1, state_action=False)
    control, prediction = ALGORITHMS[sarsa].make(s, backend), ALGORITHMS[td].make(states, backend)
    assert relative(learn(control, s), learn(prediction, states)) < EXACT
    assert relative(control.weights, prediction.weights) < EXACT
    assert relative(control.trace, prediction.trace) < EXACT


@everywhere
def test_clearing_leaves_a_trace_of_the_action_taken_alone(backend):
    """In every active feature, the trace is 1 for the action just taken and 0 for the others."""
    algorithm = ALGORITHMS["sarsa_replacing_clear"]
    s = stream_for(algorithm, 16, n=5, restarts=False)
    learner = algorithm.make(s, backend)
    for t in range(s.T):
        learn(learner, s, t, t + 1)
        indices, _ = s.rows[t]
        taken = np.arange(s.n_actions) == s.actions[t]
        assert_array_equal(learner.trace[indices][:, ~taken], 0.0)
        assert_allclose(learner.trace[indices][:, taken], 1.0, rtol=EXACT)


# ---- what must not get in ----


@everywhere
@each(ALGORITHMS["true_online_td"], ALGORITHMS["true_online_sarsa"])
@pytest.mark.parametrize(("gamma", "lambda_"), [(0.0, 0.9), (1e-20, 0.0)])
def test_after_a_decay_of_zero_v_old_is_forgotten(algorithm, gamma, lambda_, backend):
    """Where the trace begins anew its terms cancel; a v_old of 1e20 would swallow delta before they do."""
    shape = (1, 1) if algorithm.control else 1
    s = Stream(
        1, [(np.array([0]), None)] * 3, np.array([0.0, 3.0]), np.array([gamma, 0.5]), lambda_, 1.0,
        np.full(shape, 1e20), actions=np.zeros(3, int) if algorithm.control else None,
    )  # fmt: skip
    learner = algorithm.make(s, backend)
    assert_array_equal(learn(learner, s), [-1e20, 3.0])
    assert_array_equal(learner.weights, np.full(shape, 3.0))


@everywhere
@each(*(a for a in (*PREDICTION, *CONTROL) if a.kernel != "tdrc"))  # which takes no such step size
def test_a_diverged_learner_starts_anew(algorithm, backend):
    """After overflow, reset() and new weights are enough: nothing infinite is left."""
    s = stream_for(algorithm, 17, restarts=False)
    lost, new = algorithm.make(s, backend), algorithm.make(s, backend)
    wild = s.but(alpha=np.full(s.T, 1e30))
    learn(lost, wild)
    learn(lost, wild)
    assert lost.diverged
    lost.reset()
    lost.weights = s.weights
    assert not lost.diverged
    assert_array_equal(lost.weights, s.weights)
    assert relative(learn(lost, s), learn(new, s)) < EXACT
    assert relative(lost.weights, new.weights) < EXACT


@pytest.mark.parametrize("kind", ["accumulating", "replacing", "dutch"])
def test_a_decay_of_zero_ends_an_infinite_trace(kind):
    """The reference assigns where D = 0: 0 times infinity would be NaN and stay."""
    w, z = np.zeros(2), np.array([np.inf, np.inf])
    delta = td_step(w, z, np.array([1.0, 0.0]), 1.0, 0.5, 0.0, 0.25, 0.0, 1.0, kind)
    assert delta == 1.0
    assert_array_equal(w, [0.25, 0.0])
    assert_array_equal(z, [0.25 if kind == "dutch" else 1.0, 0.0])
