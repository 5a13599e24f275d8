"""Step kernels inside compiled loops: those of step sizes that learn, of GQ and of the actor-critic."""

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError
from numpy.testing import assert_array_equal
from streams import COMPILED, EVERY, random_stream

import fasttrace as ft
from fasttrace import embed

both = pytest.mark.parametrize("backend", COMPILED)
needs_c = pytest.mark.skipif(ft.backends()["c"] is not None, reason="needs C")
T, N, A = 120, 12, 3


def stream(form="indices", **more):
    """With discounts of 0, repeated indices and padding among it."""
    return random_stream(7, T=T, n=N, form=form, repeats=True, **more)


def series(values):
    return np.array(np.broadcast_to(values, T), float)


def memory(state):
    """Every array of a state but scratch and bad_index, copied."""
    parts = {}
    for name, each in state._asdict().items():
        if hasattr(each, "_asdict"):
            parts |= {f"{name}.{inner}": array for inner, array in memory(each).items()}
        elif name == "counters":
            at = 4 if len(each) == 5 else 9
            parts[name] = np.delete(each, at)
        elif name not in ("q", "work", "x", "active", "result"):
            parts[name] = np.copy(each)
    return parts


def refuse(learner, error, call, *arguments, match=None):
    """The call raises, and the learner's memory is what it was."""
    state, step = embed.state(learner), embed.step(learner)
    before = memory(state)
    with pytest.raises(error, match=match):
        call(state, step, *arguments)
    for name, array in memory(state).items():
        assert_array_equal(array, before[name], name)


def assert_same(one, other):
    for name in ("weights", "trace", "v", "actor_weights", "actor_trace", "average_reward"):
        if hasattr(one, name):
            assert_array_equal(getattr(one, name), getattr(other, name), name)


# ---- step sizes that learn ----


@njit
def learn_loop(state, step, x, rewards, gammas, lambdas, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(state, x[t], rewards[t], x[t + 1], gammas[t], lambdas[t])


@njit
def learn_pairs(state, step, x, values, rewards, gammas, lambdas, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(
            state, (x[t], values[t]), rewards[t], (x[t + 1], values[t + 1]), gammas[t], lambdas[t]
        )


@njit
def learn_actions(state, step, x, actions, rewards, gammas, lambdas, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(state, x[t], actions[t], rewards[t], x[t + 1], actions[t + 1], gammas[t], lambdas[t])


def walk_adaptive(learner, s, start=0, stop=T, backend=None):
    """Transitions start to stop - 1 in a compiled loop.  Returns the deltas."""
    x = s.x(start, stop)
    if s.state_action:
        x = x[np.arange(stop - start + 1), s.actions[start : stop + 1]]
    acts = s.actions is not None and not s.state_action
    loop = learn_actions if acts else learn_pairs if isinstance(x, tuple) else learn_loop
    deltas = np.empty(stop - start)
    loop(
        embed.state(learner), embed.step(learner, backend), *(x if isinstance(x, tuple) else (x,)),
        *([s.actions[start : stop + 1]] if acts else []), s.rewards[start:stop],
        series(s.gammas)[start:stop], series(s.lambdas)[start:stop], deltas,
    )  # fmt: skip
    return deltas


def adaptive(name, backend, **more):
    sizes = (N, A) if name == "swift_sarsa" else (N,)
    return getattr(ft, EVERY[name].learner)(*sizes, alpha=0.05, backend=backend, **more)


def learn_rest(learner, s, start=0):
    given = [s.x(start, T), *([] if s.actions is None else [s.actions[start:]]), s.rewards[start:]]
    return learner.learn(*given, gammas=series(s.gammas)[start:], lambdas=series(s.lambdas)[start:])


@pytest.mark.parametrize(
    ("name", "backend", "form"),
    [
        *(pytest.param(name, "c", "indices", marks=needs_c) for name in ("swift_td", "tidbd", "autostep")),
        *(pytest.param(name, "c", "pair", marks=needs_c) for name in ("swift_td", "autostep")),
        pytest.param("swift_sarsa", "c", "indices", marks=needs_c),
        ("swift_td", "numba", "indices"),
        ("swift_sarsa", "numba", "indices"),
    ],
)
def test_step_sizes_that_learn(name, backend, form):
    """A compiled loop of steps, then learn, is learn all along: TD errors, weights, trace and step sizes."""
    s = stream(form, n_actions=A if name == "swift_sarsa" else 0)
    learner, other = adaptive(name, backend), adaptive(name, backend)
    deltas = np.concatenate([walk_adaptive(learner, s, 0, 80), learn_rest(learner, s, 80)])
    assert_array_equal(deltas, learn_rest(other, s))
    assert_same(learner, other)
    assert_array_equal(learner.alphas, other.alphas)


@needs_c
def test_swift_sarsa_of_pairs():
    """With state_action=True a step takes the features of the pair, as SwiftTD's does."""
    s = stream(n_actions=A, state_action=True)
    learner, other = (adaptive("swift_sarsa", "c", state_action=True) for _ in range(2))
    assert_array_equal(walk_adaptive(learner, s), learn_rest(other, s))
    assert_same(learner, other)


@needs_c
def test_numba_and_c_take_turns():
    """On one memory, with options that are set on the way."""
    s = stream()
    learner, other = adaptive("swift_td", "numba"), adaptive("swift_td", "c")
    deltas = [walk_adaptive(learner, s, 0, 40, "c"), walk_adaptive(learner, s, 40, 80, "numba")]
    learner.meta = 0.1
    deltas.append(walk_adaptive(learner, s, 80, T, "c"))
    expected = [walk_adaptive(other, s, 0, 80)]
    other.meta = 0.1
    assert_array_equal(np.concatenate(deltas), np.concatenate([*expected, learn_rest(other, s, 80)]))
    assert_same(learner, other)


@both
def test_a_loop_has_arrived_elsewhere(backend):
    """SwiftTD's bound takes in the state that a call arrived in, until a loop has gone on from there."""
    x, far = np.array([[1], [0]], np.int32), np.array([[3], [4]], np.int32)
    learner = adaptive("swift_td", backend, eta=0.01, decay=0.5)
    learner.update(x[0], 1.0, x[1])
    assert learner.alphas[0] == 0.025
    ones = np.ones(1)
    learn_loop(embed.state(learner), embed.step(learner), far, ones, ones, ones, np.empty(1))
    assert learner.alphas[0] == 0.05
    learner.update(far[1], 1.0, x[1])
    assert learner.alphas[0] == 0.025


GOOD = np.array([1, 2], np.int32)
BAD_INDICES = [np.array([1, index], np.int32) for index in (-2, N)]


@njit
def one_step(state, step, x, x_next, reward, gamma, lambda_):
    return step(state, x, reward, x_next, gamma, lambda_)


@njit
def one_action(state, step, x, action, x_next, action_next, reward, gamma, lambda_):
    return step(state, x, action, reward, x_next, action_next, gamma, lambda_)


@both
def test_what_a_step_of_step_sizes_refuses(backend):
    """With nothing changed."""
    learner = adaptive("swift_td", backend)
    learner.update(GOOD, 1.0, GOOD)
    for bad in BAD_INDICES:
        for rows in ((bad, GOOD), (GOOD, bad)):
            refuse(learner, ft.FeatureIndexError, one_step, *rows, 1.0, 0.9, 0.9)
    for numbers in ((np.nan, 0.9, 0.9), (1.0, 1.1, 0.9), (1.0, np.nan, 0.9), (1.0, 0.9, -0.1)):
        refuse(learner, ValueError, one_step, GOOD, GOOD, *numbers)
    control = adaptive("swift_sarsa", backend)
    for actions in ((-1, 0), (A, 0), (0, -1), (0, A)):
        rows = GOOD, actions[0], GOOD, actions[1]
        refuse(control, IndexError, one_action, *rows, 1.0, 0.9, 0.9)


@needs_c
def test_the_state_of_another_learner():
    """A step does not take what it would misread."""
    swift, tidbd, sarsa, td = (
        adaptive("swift_td", "c"), adaptive("tidbd", "c"), adaptive("swift_sarsa", "c"),
        ft.TD(N, alpha=0.1, backend="c"),
    )  # fmt: skip
    rest = GOOD, GOOD, 1.0, 0.9, 0.9
    with pytest.raises(ValueError, match="other traces"):
        one_step(embed.state(tidbd), embed.step(swift), *rest)
    with pytest.raises(ValueError, match="a column for each action"):
        one_step(embed.state(sarsa), embed.step(swift), *rest)
    with pytest.raises(TypingError, match="expected AdaptiveState"):
        one_step(embed.state(td), embed.step(swift), *rest)


# ---- GQ ----


@njit
def gq_loop(state, step, x, actions, rewards, gammas, lambdas, alphas, chances, rhos, beta, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(
            state, x[t], actions[t], rewards[t], x[t + 1], actions[t + 1],
            gammas[t], lambdas[t], alphas[t], chances[t], rhos[t], beta,
        )  # fmt: skip


def gq(backend, **more):
    return ft.GQ(N, A, alpha=0.1, beta=0.03, backend=backend, seed=0, **more)


def target_policy():
    """A row each for S_0 to S_T, with zeros among them."""
    rng = np.random.default_rng(3)
    pi = rng.dirichlet(np.ones(A), T + 1)
    pi[rng.random(T + 1) < 0.3, 0] = 0.0
    return pi / pi.sum(axis=1, keepdims=True)


@both
def test_gq_off_policy(backend):
    """Towards a target policy that is given, with ratios and step sizes that vary."""
    s = stream(n_actions=A)
    rng, pi = np.random.default_rng(4), target_policy()
    rhos, alphas, deltas = 1.5 * rng.random(T), 0.1 * rng.random(T) + 0.01, np.empty(T)
    learner, other = gq(backend), gq(backend)
    gammas, lambdas = series(s.gammas), series(s.lambdas)
    gq_loop(
        embed.state(learner), embed.step(learner), s.x(), s.actions, s.rewards, gammas, lambdas, alphas,
        pi[1:], rhos, learner.beta, deltas,
    )  # fmt: skip
    assert_array_equal(
        deltas,
        other.learn(
            s.x(), s.actions, s.rewards,
            gammas=gammas, lambdas=lambdas, rhos=rhos, target_policy=pi, alpha=alphas,
        ),
    )  # fmt: skip
    assert_same(learner, other)


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        pytest.param("c", {"epsilon": 0.3}, marks=needs_c),
        pytest.param("c", {"policy": "softmax", "temperature": 0.7}, marks=needs_c),
        ("numba", {"epsilon": 0.3}),
    ],
)
def test_gq_is_the_agents(backend, options):
    """Towards its own policy: what the agent has learned online, to the bit."""
    s = stream(n_actions=A)
    x, gammas = s.x(), series(s.gammas)
    other, learner = gq(backend, **options), gq(backend, **options)
    actions = [other.start(x[0])]
    actions += [other.step(r, row, gamma=g) for r, row, g in zip(s.rewards, x[1:], gammas, strict=True)]
    learner.reset()  # as start does
    chances = series(options.get("temperature", 0.3))
    gq_loop(
        embed.state(learner), embed.step(learner), x, np.array(actions), s.rewards, gammas, series(0.9),
        series(0.1), chances, series(1.0), learner.beta, np.empty(T),
    )  # fmt: skip
    assert_same(learner, other)


@njit
def one_gq(state, step, x, action, x_next, action_next, reward, gamma, lambda_, alpha, chance, rho, beta):
    return step(state, x, action, reward, x_next, action_next, gamma, lambda_, alpha, chance, rho, beta)


GQ_NUMBERS = {
    "reward": 1.0, "gamma": 0.9, "lambda_": 0.9, "alpha": 0.1, "chance": 0.1, "rho": 1.0, "beta": 0.1,
}  # fmt: skip
BAD_GQ = [
    {"reward": np.inf}, {"gamma": 1.1}, {"lambda_": np.nan}, {"alpha": 0.0}, {"chance": 1.1},
    {"chance": np.nan}, {"rho": -0.1}, {"rho": np.inf}, {"beta": 0.0}, {"beta": np.nan},
]  # fmt: skip
BAD_PI = ([0.5, 0.6, -0.1], [0.5, 0.5, 0.1], [np.nan, 0.5, 0.5], [np.inf, 0.0, 0.0])


@both
def test_what_a_step_of_gq_refuses(backend):
    """With nothing changed; and pi is a policy of as many actions."""
    learner = gq(backend)
    learner.learn([GOOD, GOOD], [0, 1], [1.0], rhos=1.0, target_policy=np.full((2, A), 1 / A))
    fine = tuple(GQ_NUMBERS.values())
    for bad in BAD_INDICES:
        refuse(learner, ft.FeatureIndexError, one_gq, bad, 0, GOOD, 0, *fine)
        refuse(learner, ft.FeatureIndexError, one_gq, GOOD, 0, bad, 0, *fine)
    for actions in ((-1, 0), (A, 0), (0, -1), (0, A)):
        refuse(learner, IndexError, one_gq, GOOD, actions[0], GOOD, actions[1], *fine)
    for numbers in BAD_GQ:
        refuse(learner, ValueError, one_gq, GOOD, 0, GOOD, 0, *{**GQ_NUMBERS, **numbers}.values())
    for pi in BAD_PI:
        given = {**GQ_NUMBERS, "chance": np.array(pi)}.values()
        refuse(learner, ValueError, one_gq, GOOD, 0, GOOD, 0, *given, match="of sum 1")
    given = {**GQ_NUMBERS, "chance": np.full(2, 0.5)}.values()
    refuse(learner, ValueError, one_gq, GOOD, 0, GOOD, 0, *given, match="one entry for each action")


@needs_c
def test_gq_has_a_state_of_its_own():
    """Two vectors with other traces are not its; nor are features of pairs enough."""
    htd = ft.HTD(N, alpha=0.1, beta=0.1, backend="c")
    with pytest.raises(ValueError, match="other traces"):
        one_gq(embed.state(htd), embed.step(gq("c")), GOOD, 0, GOOD, 0, *GQ_NUMBERS.values())
    with pytest.raises(ValueError, match="all actions"):
        embed.step(gq("c", state_action=True))
    assert not hasattr(gq("c", state_action=True), "cffi")
    soft = gq("c", policy="softmax")
    given = {**GQ_NUMBERS, "chance": 0.0}.values()
    refuse(soft, ValueError, one_gq, GOOD, 0, GOOD, 0, *given)


# ---- the actor-critic ----


@njit
def actor_loop(
    state, step, x, actions, rewards, gammas, lambdas, actor_lambdas, alphas, actor_alphas, temperature,
    deltas,
):  # fmt: skip
    for t in range(len(rewards)):
        deltas[t] = step(
            state, x[t], actions[t], rewards[t], x[t + 1], gammas[t], lambdas[t], actor_lambdas[t],
            alphas[t], actor_alphas[t], temperature,
        )  # fmt: skip


def actor_critic(backend, **more):
    return ft.ActorCritic(N, A, alpha=0.1, alpha_actor=0.05, temperature=0.7, backend=backend, **more)


@both
@pytest.mark.parametrize("eta", [None, 0.05])
def test_actor_critic(eta, backend):
    """Both boxes; eta and discount_actor are read from the state, where they may be set."""
    s = stream(n_actions=A)
    rng = np.random.default_rng(5)
    lambdas, alphas, deltas = rng.random((2, T)), 0.1 * rng.random((2, T)) + 0.01, np.empty(T)
    learner, other = (actor_critic(backend, eta=eta) for _ in range(2))
    state, step = embed.state(learner), embed.step(learner)
    for part in (slice(0, 70), slice(70, T)):
        rows = slice(part.start, part.stop + 1)
        x, actions, rewards, gammas = s.x()[rows], s.actions[rows], s.rewards[part], series(s.gammas)[part]
        numbers = gammas, lambdas[0, part], lambdas[1, part], alphas[0, part], alphas[1, part]
        actor_loop(state, step, x, actions, rewards, *numbers, 0.7, deltas[part])
        names = "gammas", "lambdas", "lambdas_actor", "alpha", "alpha_actor"
        expected = other.learn(x, actions, rewards, **dict(zip(names, numbers, strict=True)))
        assert_array_equal(deltas[part], expected)
        assert_same(learner, other)
        for each in (learner, other):
            each.discount_actor, each.eta = False, 0.1 if eta is None else None


@njit
def one_of_actor(state, step, x, action, x_next, reward, gamma, lambda_, lambda_actor, alpha, alpha_actor, h):
    return step(state, x, action, reward, x_next, gamma, lambda_, lambda_actor, alpha, alpha_actor, h)


@both
def test_what_a_step_of_the_actor_critic_refuses(backend):
    """With nothing changed."""
    learner = actor_critic(backend)
    learner.learn([GOOD, GOOD], [0, 1], [1.0])
    fine = (1.0, 0.9, 0.9, 0.9, 0.1, 0.1, 0.7)
    for bad in BAD_INDICES:
        refuse(learner, ft.FeatureIndexError, one_of_actor, bad, 0, GOOD, *fine)
        refuse(learner, ft.FeatureIndexError, one_of_actor, GOOD, 0, bad, *fine)
    for action in (-1, A):
        refuse(learner, IndexError, one_of_actor, GOOD, action, GOOD, *fine)
    for at, number in enumerate((np.nan, 1.1, -0.1, np.nan, 0.0, np.inf, 0.0)):
        given = (*fine[:at], number, *fine[at + 1 :])
        refuse(learner, ValueError, one_of_actor, GOOD, 0, GOOD, *given)


# ---- values ----


@njit
def value_of(state, x):
    return embed.value(state, x)


@njit
def values_of(state, x, out):
    embed.values(state, x, out)


@needs_c
def test_values():
    """Of step sizes that learn; of an actor-critic v(s) by its critic, the preferences by its actor."""
    s, q = stream(n_actions=A), np.empty(A)
    x = s.x()
    swift, actor = adaptive("swift_td", "c"), actor_critic("c")
    swift.learn(x, s.rewards)
    actor.learn(x, s.actions, s.rewards)
    assert value_of(embed.state(swift), x[3]) == swift.predict(x[3])
    state = embed.state(actor)
    assert value_of(state.critic, x[3]) == actor.predict(x[3])
    values_of(state.actor, x[3], q)
    assert_array_equal(q, actor.preferences(x[3]))


def test_no_memory_to_share():
    """The NumPy reference has none that steps would know."""
    for learner in (adaptive("swift_td", "numpy"), actor_critic("numpy"), gq("numpy")):
        with pytest.raises(ValueError, match="numpy"):
            embed.state(learner)
        assert not hasattr(learner, "ctypes")
