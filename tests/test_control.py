"""Learners that act: what they choose, from which numbers, and what they learn from it."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from states import THERE, close, example, same, taught
from streams import ALGORITHMS, BACKENDS, COMPILED, CONTROL, ONE_VECTOR, learn, needed

import fasttrace as ft

backends = pytest.mark.parametrize("backend", BACKENDS)
agents = pytest.mark.parametrize("algorithm", CONTROL, ids=str)
# Those whose `learn` needs no policy from outside learn from a stream what they learn when they act.
SELF_TAUGHT = [each for each in CONTROL if not getattr(getattr(ft, each.learner), "_required", ())]
self_taught = pytest.mark.parametrize("algorithm", SELF_TAUGHT, ids=str)
SARSA, TRUE_ONLINE_SARSA = ALGORITHMS["sarsa_replacing"], ALGORITHMS["true_online_sarsa"]


def new(backend, n_features=4, n_actions=5, kind=ft.Sarsa, weights=None, **options):
    """An agent whose features are the numbers of states; `weights` are those of state 0."""
    agent = kind(n_features, n_actions, **{"alpha": 0.5, "seed": 0, "backend": backend, **options})
    if weights is not None:
        w = np.zeros((n_features, n_actions))
        w[0] = weights
        agent.weights = w
    return agent


def state_of(s, t):
    """The features of S_t as an agent gets them."""
    x = s.x(t, t)
    if isinstance(x, ft.Ragged):
        return x.indices if x.values is None else (x.indices, x.values)
    return tuple(part[0] for part in x) if isinstance(x, tuple) else x[0]


def decide(q, epsilon, u):
    """The epsilon-greedy choice with one uniform number, as the documentation has it."""
    if u < epsilon:
        return math.floor(u / epsilon * len(q))
    best = [a for a, value in enumerate(q) if value == max(q)]
    return best[math.floor((u - epsilon) / (1 - epsilon) * len(best))]


def unlikely(counts, expected):
    """Whether counts are as far from what was expected as they are by chance once in 10 000 times.

    Chi-square, whose cube root is nearly normal (Wilson and Hilferty 1931).
    """
    counts, expected = np.asarray(counts, float), np.asarray(expected, float)
    df = len(counts) - 1
    chi2 = np.sum((counts - expected) ** 2 / expected)
    return ((chi2 / df) ** (1 / 3) - (1 - 2 / (9 * df))) / math.sqrt(2 / (9 * df)) > 3.72


# ---- acting is learning from the stream that was seen ----

FORMS = [
    pytest.param(algorithm, form, pairs, id=f"{algorithm}-{form}{'-pairs' if pairs else ''}")
    for algorithm in SELF_TAUGHT
    for form in ("indices", "pair", "dense")
    for pairs in (False, True)
    if form in algorithm.forms
]


@backends
@pytest.mark.parametrize(("algorithm", "form", "pairs"), FORMS)
def test_acting_learns_what_learn_learns(algorithm, form, pairs, backend):
    """start, step and end leave what learn makes of the same states and actions, but for rounding."""
    s = example(algorithm, form=form, state_action=pairs, vary_alpha=False, repeats=True)
    actor, student = (algorithm.make(s, backend, seed=3, epsilon=0.4, lambda_=0.8) for _ in range(2))
    gammas, actions, begins = s.gammas.copy(), [], True
    gammas[[9, 10, 24, 39]] = (
        0.0  # the ends of episodes, one of a single step; the other zeros are gammas of a step
    )
    for t in range(s.T):
        if begins:
            actions.append(actor.start(state_of(s, t)))
        begins = t in (9, 10, 24, 39)
        if begins:
            assert actor.end(s.rewards[t]) is None
        else:
            actions.append(actor.step(s.rewards[t], state_of(s, t + 1), gamma=gammas[t]))
    assert len(set(actions)) == s.n_actions
    s = s.but(actions=np.array([*actions, 0]), gammas=gammas, lambdas=0.8)
    learn(student, s)
    assert close(actor, student, 1e-13)
    assert np.abs(actor.weights - s.weights).max() > 0.01


@backends
@self_taught
def test_steps_are_learn_to_the_bit(algorithm, backend):
    """Within an episode, and past a discount of 0, acting leaves each bit of what learn leaves."""
    s = example(algorithm, vary_alpha=False, repeats=True)
    actor, student = (algorithm.make(s, backend, seed=3, epsilon=0.4, lambda_=0.8) for _ in range(2))
    actions = [actor.start(state_of(s, 0))]
    actions += [actor.step(s.rewards[t], state_of(s, t + 1), gamma=s.gammas[t]) for t in range(s.T)]
    student.start(state_of(s, 0))  # resets, as the actor's start did
    learn(student, s.but(actions=np.array(actions), lambdas=0.8))
    assert_array_equal(actor.weights, student.weights)
    assert_array_equal(actor.trace, student.trace)


@backends
@self_taught
def test_a_cut_episode_bootstraps_and_ends(algorithm, backend):
    """truncate learns as learn does from a stream that stops there, and resets."""
    s = example(algorithm, vary_alpha=False, restarts=False)
    actor, student = (algorithm.make(s, backend, seed=3, epsilon=0.4) for _ in range(2))
    for begin in (0, 7, 8, 20):
        actions = [actor.start(state_of(s, begin))]
        student.reset()  # as start does: rows that are brought up to date are rounded
        assert_array_equal(actor.trace, 0.0)
        for t in range(begin, begin + 5):
            actions.append(actor.step(s.rewards[t], state_of(s, t + 1)))
        # The action in the last state is drawn as another step would draw it.
        q, u = actor.q(state_of(s, begin + 6)), peek(actor)
        actions.append(decide(q, 0.4, u))
        assert actor.truncate(s.rewards[begin + 5], state_of(s, begin + 6)) is None
        part = s.but(
            rows=s.rows[begin : begin + 7], rewards=s.rewards[begin : begin + 6],
            actions=np.array(actions), gammas=actor.gamma, lambdas=actor.lambda_,
        )  # fmt: skip
        learn(student, part)
        assert student.trace.any()
        student.reset()  # rounds as the actor's did
        assert_array_equal(actor.weights, student.weights)
        assert_array_equal(actor.trace, 0.0)
        with pytest.raises(RuntimeError, match="start"):
            actor.end(0.0)


@backends
@agents
def test_start_begins_with_a_reset(algorithm, backend):
    """An episode that is left in the middle leaves weights alone: no trace, no state."""
    s = example(algorithm)
    one, other = taught(algorithm, backend, s), taught(algorithm, backend, s)
    for agent in (one, other):
        agent.start(state_of(s, 1))
        agent.step(1.0, state_of(s, 2))
    assert one.trace.any()
    weights = one.weights
    other.reset()
    assert one.start(state_of(s, 3)) == other.start(state_of(s, 3))
    assert not one.trace.any()
    assert_array_equal(one.weights, weights)
    assert one.step(1.0, state_of(s, 4)) == other.step(1.0, state_of(s, 4))
    assert close(one, other, 1e-14)
    assert one.generator.random() == other.generator.random()


@backends
@agents
def test_a_step_of_discount_0_ends_an_episode(algorithm, backend):
    """step(gamma=0) learns what end learns; x is then a first state, and the trace of what was is gone."""
    s = example(algorithm)
    one, other = taught(algorithm, backend, s, epsilon=0.0), taught(algorithm, backend, s, epsilon=0.0)
    for agent in (one, other):
        agent.start(state_of(s, 1))
        agent.step(1.0, state_of(s, 2))
    action = one.step(-1.0, state_of(s, 3), gamma=0.0)
    assert action == other.act(state_of(s, 3))  # before the update
    other.end(-1.0)
    assert_array_equal(one.weights, other.weights)
    assert_array_equal(one.trace, other.trace)
    one.end(2.0)
    one.start(state_of(s, 5))
    assert not close(one, other)


@backends
def test_the_next_action_is_of_the_weights_before_the_update(backend):
    """The update makes the other action the better one: the agent finds out one decision later."""
    for kind in (ft.Sarsa, ft.TrueOnlineSarsa):
        agent = new(backend, n_actions=2, kind=kind, epsilon=0.0, weights=[1.0, 0.9])
        assert agent.start([0]) == 0
        assert agent.step(-10.0, [0]) == 0
        assert agent.act([0]) == 1
        assert agent.step(-10.0, [0]) == 1


@backends
def test_the_value_of_the_action_taken_is_learned(backend):
    """Sarsa bootstraps from q(S', A') of the A' that it then takes, not from the best."""
    agent = new(backend, n_features=2, n_actions=2, epsilon=1.0, gamma=0.5, lambda_=0.0, alpha=0.1)
    agent.weights = [[0.0, 0.0], [4.0, -4.0]]
    seen = set()
    for _ in range(20):
        agent.weights = [[0.0, 0.0], [4.0, -4.0]]
        action = agent.start([0])
        following = agent.step(1.0, [1])
        assert agent.weights[0, action] == pytest.approx(
            0.1 * (1.0 + 0.5 * (4.0, -4.0)[following]), rel=1e-14
        )
        assert agent.weights[0, 1 - action] == 0.0
        seen.add(following)
    assert seen == {0, 1}


# ---- features of state-action pairs ----


@backends
@agents
def test_pairs_with_features_of_their_own(algorithm, backend):
    """x(s, a) with a feature for each feature of a state and each action: the same agent."""
    s = example(algorithm, vary_alpha=False)
    plain = algorithm.make(s, backend, seed=3, epsilon=0.3)
    paired = getattr(ft, algorithm.learner)(
        s.n * s.n_actions, s.n_actions, alpha=s.alpha, state_action=True, seed=3, epsilon=0.3,
        backend=backend, **algorithm.options,
    )  # fmt: skip
    paired.weights = s.weights.reshape(-1)

    def pairs(t):
        x = state_of(s, t)
        return np.where(x < 0, -1, x * s.n_actions + np.arange(s.n_actions)[:, None])

    assert paired.weights.shape == (s.n * s.n_actions,)
    assert plain.start(state_of(s, 0)) == paired.start(pairs(0))
    for t in range(1, 30):
        np.testing.assert_allclose(plain.q(state_of(s, t)), paired.q(pairs(t)), rtol=0, atol=1e-12)
        assert plain.act(state_of(s, t)) == paired.act(pairs(t))
        if t % 10:
            assert plain.step(s.rewards[t], state_of(s, t)) == paired.step(s.rewards[t], pairs(t))
        else:
            plain.end(s.rewards[t])
            paired.end(s.rewards[t])
            assert plain.start(state_of(s, t)) == paired.start(pairs(t))
    plain.truncate(1.0, state_of(s, 30))
    paired.truncate(1.0, pairs(30))
    np.testing.assert_allclose(plain.weights.reshape(-1), paired.weights, rtol=0, atol=1e-12)


@backends
@pytest.mark.parametrize("pairs", [False, True])
def test_other_actions_are_cleared(pairs, backend):
    """clear_others: features that are active lose their trace for the actions not taken; the rest keep it."""

    def x(*features):
        return [[3 * i + a for i in features] for a in range(3)] if pairs else list(features)

    size = 12 if pairs else 4
    options = {"trace": "replacing", "gamma": 1.0, "lambda_": 0.5, "state_action": pairs}
    clearing = new(backend, size, 3, clear_others=True, **options)
    keeping = new(backend, size, 3, **options)
    for agent in (clearing, keeping):
        stream = [x(0, 1), x(0, 2), x(3), x(3)] if not pairs else [x(0, 1), x(0, 2), x(3, 3), x(3, 3)]
        stream = [list(map(list, each)) if pairs else each + [-1] * (2 - len(each)) for each in stream]
        agent.learn(np.array(stream), [0, 2, 1, 0], [1.0, 1.0, 1.0])
    z = np.zeros((4, 3))
    z[1, 0], z[0, 2], z[2, 2], z[3, 1] = 0.25, 0.5, 0.5, 1.0
    np.testing.assert_allclose(clearing.trace.reshape(4, 3), z, rtol=1e-15)
    z[0, 0] = 0.25  # of the first step, when action 0 was taken with feature 0
    np.testing.assert_allclose(keeping.trace.reshape(4, 3), z, rtol=1e-15)


# ---- decisions ----


def peek(agent):
    """The uniform number that the agent draws next."""
    twin = type(agent.generator.bit_generator)()
    twin.state = agent.generator.bit_generator.state
    return np.random.Generator(twin).random()


@backends
@pytest.mark.parametrize("epsilon", [0.0, 0.25, 1.0])
@agents
def test_each_decision_draws_one_number(algorithm, epsilon, backend):
    """start, step and truncate draw one uniform number each, and it makes the choice; nothing else draws."""
    agent = new(
        backend, kind=getattr(ft, algorithm.learner), epsilon=epsilon, seed=11, alpha=0.1, **algorithm.options
    )
    twin, rng = np.random.default_rng(11), np.random.default_rng(12)

    def in_step():
        return agent.generator.bit_generator.state == twin.bit_generator.state

    taken = set()
    for t in range(120):
        x, reward = rng.integers(0, 4, 2), float(rng.integers(-1, 2))
        wanted = decide(agent.q(x), epsilon, twin.random())
        action = agent.step(reward, x) if t % 10 else agent.start(x)
        taken.add(action)
        assert action == wanted
        assert type(action) is int
        assert in_step()
        before = agent.state_dict() if t % 30 == 0 else None
        for _ in range(2):
            q = agent.q(x)
            assert agent.act(x) == np.argmax(q)
        assert in_step()
        if before is not None:
            assert same(agent, before)
        if t % 10 == 9:
            if t % 20 == 9:
                agent.end(reward)
            else:
                agent.truncate(reward, x)
                twin.random()
        assert in_step()
    agent.learn([[0], [1]], [0, 1], [1.0], **needed(agent, 2))
    agent.reset()
    agent.weights = agent.weights
    assert in_step()
    assert len(taken) == 5


@backends
@pytest.mark.parametrize(
    ("epsilon", "weights", "best"),
    [(0.0, [0.0] * 5, [0, 1, 2, 3, 4]), (0.0, [0.0, 2.0, 1.0, 2.0, -1.0], [1, 3]),
     (1.0, [9.0, 0.0, 0.0, 0.0, 0.0], [0]), (0.3, [0.0, 1.0, 0.0, 0.0, 0.0], [1]),
     (0.5, [1.0, 0.0, 1.0, 0.0, 1.0], [0, 2, 4])],
)  # fmt: skip
def test_actions_have_the_chances_they_should(epsilon, weights, best, backend):
    """epsilon / A each, and the rest shared by those that tie for the best."""
    agent, draws = new(backend, weights=weights, epsilon=epsilon, seed=1), 4000
    counts = np.bincount([agent.start([0]) for _ in range(draws)], minlength=5)
    chances = np.full(5, epsilon / 5)
    chances[best] += (1 - epsilon) / len(best)
    assert not counts[chances == 0].any()
    possible = chances > 0
    assert not unlikely(counts[possible], draws * chances[possible])


def test_the_test_of_chances_can_fail():
    """What it is to find: a die that prefers its last face by a fifth."""
    assert unlikely([760, 760, 760, 760, 960], [800] * 5)
    assert not unlikely([790, 815, 800, 780, 815], [800] * 5)


@backends
def test_choices_at_the_edges_of_the_unit_interval(backend):
    """The smallest and the largest number that a generator draws choose the first and the last action."""

    class Fixed(np.random.Generator):
        def random(self):
            return self.u

    for u in (0.0, 0.5, math.nextafter(0.5, 0.0), math.nextafter(1.0, 0.0)):
        for epsilon in (0.0, 1e-300, 0.5, math.nextafter(1.0, 0.0), 1.0):
            agent = new(backend, epsilon=epsilon)
            agent.generator = Fixed(np.random.PCG64())
            agent.generator.u = u
            action = agent.start([0])
            assert 0 <= action < 5
            if u == 0.0 or u == epsilon:  # the first of those that explore, or of the best
                assert action == 0
            elif u > 0.9:
                assert action == 4
    agent = new(backend, epsilon=0.0, weights=[0.0, 1.0, 1.0, 0.0, 0.0])
    agent.generator = Fixed(np.random.PCG64())
    for agent.generator.u, action in ((0.0, 1), (math.nextafter(0.5, 0.0), 1), (0.5, 2), (0.999, 2)):
        assert agent.start([0]) == action


@backends
def test_act_is_greedy_and_free(backend):
    """act gives the first of the best, whatever epsilon; it needs no episode."""
    for weights, action in (([0.0] * 5, 0), ([0, 2.0, 1, 2.0, 0], 1), ([-3.0, -2, -1, -1, -5], 2)):
        agent = new(backend, weights=weights, epsilon=1.0)
        before = agent.state_dict()
        assert {agent.act([0]) for _ in range(20)} == {action}
        assert type(agent.act([0])) is int
        assert_array_equal(agent.q([0]), weights)
        assert same(agent, before)


@backends
def test_values_that_overflowed_still_give_an_action(backend):
    """With NaN among the values any action will do; an error or an action that is none will not."""
    agent = new(backend, epsilon=0.0, alpha=1e300, gamma=1.0)
    actions = [agent.start([0])] + [agent.step(1e300 * (-1) ** t, [0]) for t in range(40)]
    assert agent.diverged
    assert set(actions) <= set(range(5))
    chosen = {agent.start([0]) for _ in range(200)}
    assert chosen <= set(range(5))


def test_every_backend_plays_the_same_game():
    """The same seed is the same sequence of actions, whatever computes the values."""
    s = example(TRUE_ONLINE_SARSA, T=200, restarts=False, vary_alpha=False)
    games = []
    for backend in THERE:
        agent = TRUE_ONLINE_SARSA.make(s.but(weights=np.zeros((s.n, 3))), backend, seed=9, epsilon=0.2)
        games.append(
            [agent.start(state_of(s, 0))] + [agent.step(s.rewards[t], state_of(s, t)) for t in range(1, 200)]
        )
    assert all(game == games[0] for game in games)
    assert len(set(games[0])) == 3


# ---- seeds ----


@backends
def test_seeds(backend):
    """An int is a new generator, the same each time; a Generator is taken as it is; None is new."""

    def actions(seed):
        agent = new(backend, epsilon=1.0, seed=seed)
        return [agent.start([0]) for _ in range(40)]

    assert actions(7) == actions(7)
    assert actions(7) == actions(np.int64(7))
    assert actions(7) == actions(np.random.default_rng(7))
    assert actions(7) != actions(8)
    assert actions(None) != actions(None)
    shared = np.random.default_rng(7)
    agent, other = (new(backend, epsilon=1.0, seed=shared) for _ in range(2))
    assert agent.generator is shared
    assert [(agent, other)[t % 2].start([0]) for t in range(40)] == actions(7)
    agent.generator = np.random.default_rng(7)
    assert [agent.start([0]) for _ in range(40)] == actions(7)


@backends
def test_a_reset_keeps_the_generator(backend):
    """Else each episode would be explored alike."""
    one, other = new(backend, epsilon=1.0), new(backend, epsilon=1.0)
    got = []
    for _ in range(20):
        got.append(one.start([0]))
        one.reset()
    assert got == [other.start([0]) for _ in range(20)]
    assert len(set(got)) > 1


# ---- options while acting ----


@backends
@pytest.mark.parametrize(
    "algorithm", [each for each in SELF_TAUGHT if "target_policy" not in each.takes], ids=str
)
def test_options_may_change_between_steps(algorithm, backend):
    """alpha, gamma, lambda_ and epsilon are read at each step: as learn is given them by the step."""
    s = example(algorithm)
    actor, student = taught(algorithm, backend, s, epsilon=0.3), taught(algorithm, backend, s, epsilon=0.3)
    student.reset()
    rng = np.random.default_rng(0)
    alphas, gammas, lambdas = rng.uniform(0.01, 0.1, 9), rng.uniform(0.5, 1, 9), rng.uniform(0, 1, 9)
    actions = [actor.start(state_of(s, 0))]
    for t in range(9):
        actor.alpha, actor.gamma, actor.lambda_ = alphas[t], gammas[t], lambdas[t]
        actor.epsilon = t % 2
        if t % 2 == 0:
            best = actor.q(state_of(s, t + 1))
            actions.append(actor.step(s.rewards[t], state_of(s, t + 1)))
            assert best[actions[-1]] == best.max()
        else:
            actions.append(actor.step(s.rewards[t], state_of(s, t + 1)))
    student.learn(s.x(0, 9), actions, s.rewards[:9], alpha=alphas, gammas=gammas, lambdas=lambdas)
    assert_array_equal(actor.weights, student.weights)
    assert_array_equal(actor.trace, student.trace)


@backends
@pytest.mark.parametrize("algorithm", [each for each in CONTROL if each in ONE_VECTOR], ids=str)
def test_one_action_is_a_problem_of_values(algorithm, backend):
    """With a single action every method learns what TD learns; Sarsa to the bit."""
    s = example(algorithm, n_actions=1, off_policy=False)
    agent = taught(algorithm, backend, s)
    if algorithm.traits.true_online:
        td = ft.TrueOnlineTD(s.n, alpha=1.0, backend=backend)
    else:
        td = ft.TD(s.n, algorithm.options.get("trace", "accumulating"), alpha=1.0, backend=backend)
    td.weights = s.weights[:, 0]
    td.learn(s.x(), s.rewards, gammas=s.gammas, lambdas=s.lambdas, alpha=s.alpha)
    for got, want in ((agent.weights[:, 0], td.weights), (agent.trace[:, 0], td.trace)):
        if algorithm.target.name == "taken":
            assert_array_equal(got, want)
        else:
            assert np.abs(got - want).max() < 1e-13
    assert agent.start(state_of(s, 0)) == 0


# ---- one family ----


def walked(name, backend, **options):
    """The weights and trace that an agent has after 40 steps of its own; all take the same walk."""
    s = example(ALGORITHMS[name], vary_alpha=False)
    agent = ALGORITHMS[name].make(s, backend, seed=3, lambda_=0.8, **{"epsilon": 0.3, **options})
    agent.start(state_of(s, 0))
    for t in range(s.T):
        agent.step(s.rewards[t], state_of(s, t + 1))
    return agent


@backends
@pytest.mark.parametrize(
    ("name", "options", "other"),
    [
        ("retrace", {}, "expected_sarsa_accumulating"),
        ("q_sigma", {"sigma": 1.0}, "expected_sarsa_accumulating"),
        ("q_sigma", {"sigma": 0.0}, "tree_backup"),
    ],
)
def test_on_its_own_policy(name, options, other, backend):
    """Where rho is 1, Retrace and Q(1) are Expected Sarsa; Q(0) is tree backup always."""
    one, two = walked(name, backend, **options), walked(other, backend)
    assert close(one, two, 1e-14)


@backends
def test_a_greedy_policy_makes_expected_sarsa_naive_q(backend):
    """With epsilon 0 the expectation is the maximum, and nothing explores that would cut Watkins's trace."""
    agents = [
        walked(name, backend, epsilon=0.0)
        for name in ("expected_sarsa_accumulating", "naive_q_accumulating", "watkins_q_accumulating")
    ]
    assert close(agents[0], agents[1], 1e-14)
    assert close(agents[2], agents[1], 1e-14)


@backends
def test_watkins_cuts_where_it_explores(backend):
    """An action that is not greedy ends the trace of what came before it; naive Q(lambda) keeps it."""
    for cut in (True, False):
        agent = ft.WatkinsQ(
            4, 2, alpha=0.1, gamma=1.0, lambda_=1.0, cut=cut, epsilon=1.0, seed=1, backend=backend
        )
        agent.weights = np.array([[1.0, 0], [1, 0], [1, 0], [1, 1]])
        agent.learn([[0], [1], [2], [3]], [0, 1, 0, 0], np.zeros(3))
        assert_array_equal(agent.trace, [[0 if cut else 1, 0], [0, 1], [1, 0], [0, 0]])
        agent.reset()
        agent.learn([[3], [3], [2]], [0, 1, 0], np.zeros(2))  # a tie is greedy
        assert_array_equal(agent.trace[3], [1, 1])


# ---- pi(A_t|S_t) of the learner's own policy: that of the step before ----


@backends
def test_tree_backup_decays_by_the_policy_that_it_bootstrapped_with(backend):
    """An action that was greedy when it was drawn keeps the trace, even if the update makes it the worse."""
    agent = ft.TreeBackup(1, 2, alpha=0.5, gamma=0.9, lambda_=0.9, epsilon=0.0, seed=0, backend=backend)
    agent.weights = [[1.0, 0.9]]
    assert [agent.start([0]), agent.step(-10.0, [0])] == [0, 0]
    assert agent.act([0]) == 1
    agent.step(0.0, [0])
    assert_allclose(agent.trace, [[1.81, 0.0]], rtol=1e-15)


@backends
def test_learn_decays_by_the_policy_that_it_bootstrapped_with(backend):
    """Without a target policy pi(A_t|S_t) of step t is that of w_{t-1}."""
    agent = ft.TreeBackup(2, 2, alpha=1.0, gamma=1.0, lambda_=1.0, epsilon=0.5, backend=backend)
    agent.learn([[0], [0], [1]], [0, 0, 0], [1.0, 0.0])
    # q(0, 0) is 1 after the first step, so that pi(0|0) is 3/4; it was 1/2 before, where both were 0
    assert_allclose(agent.trace[0], [1.5, 0.0], rtol=1e-15)


OWN_PI = [ALGORITHMS["tree_backup"], ALGORITHMS["q_sigma"]]
own_pi = pytest.mark.parametrize("algorithm", OWN_PI, ids=str)


@backends
@pytest.mark.parametrize("policy", ["epsilon", "softmax"])
@pytest.mark.parametrize(
    ("algorithm", "form", "pairs"),
    [
        pytest.param(each, form, pairs, id=f"{each}-{form}{'-pairs' if pairs else ''}")
        for each in OWN_PI
        for form in ("indices", "pair", "dense")
        for pairs in (False, True)
    ],
)
def test_acting_is_learning_from_the_policies_that_chose(algorithm, form, pairs, policy, backend):
    """The policy under w_t of each S_{t+1}, as a target policy, gives what acting does, and learn alone."""
    s = example(algorithm, form=form, state_action=pairs, vary_alpha=False)
    s = s.but(rewards=20 * s.rewards, lambdas=0.8, sigmas=0.3 if algorithm.learner == "QSigma" else None)
    options = {"policy": policy, "epsilon": 0.4, "temperature": 0.5, "lambda_": 0.8}
    options |= {} if s.sigmas is None else {"sigma": s.sigmas}
    actor, student, alone = (algorithm.make(s, backend, seed=3, **options) for _ in range(3))

    def chosen_by_now(t):
        q = actor.q(state_of(s, t))
        if policy == "softmax":
            return np.exp(q / 0.5) / np.exp(q / 0.5).sum()
        return 0.4 / len(q) + 0.6 * (q == q.max()) / (q == q.max()).sum()

    policies, actions = [chosen_by_now(0)], [actor.start(state_of(s, 0))]
    for t in range(s.T):
        policies.append(chosen_by_now(t + 1))
        actions.append(actor.step(s.rewards[t], state_of(s, t + 1), gamma=s.gammas[t]))
    s = s.but(actions=np.array(actions))
    learn(student, s.but(policy=np.array(policies)))
    assert close(actor, student, 1e-13)
    if algorithm.learner == "TreeBackup":
        learn(alone, s)
        assert close(alone, student, 1e-13)


@backends
@pytest.mark.parametrize("pairs", [False, True])
def test_greedy_tree_backup_is_watkins_q(pairs, backend):
    """Of a greedy policy without ties, to the bit, whatever the actions are."""
    rng = np.random.default_rng(0)
    shape = (41, 3, 4) if pairs else (41, 4)
    x = rng.integers(0, 12, shape), rng.normal(size=shape)
    actions, rewards, gammas = rng.integers(0, 3, 41), rng.normal(size=40), rng.choice([0.0, 0.9, 1.0], 40)
    weights = rng.normal(size=12 if pairs else (12, 3))
    options = {"alpha": 0.05, "epsilon": 0.0, "seed": 0, "state_action": pairs, "backend": backend}
    both = ft.TreeBackup(12, 3, **options), ft.WatkinsQ(12, 3, **options)
    for agent in both:
        agent.weights = weights
    assert_array_equal(*(agent.learn(x, actions, rewards, gammas=gammas) for agent in both))
    for agent in both:
        agent.start((x[0][0], x[1][0]))
        for indices, values, reward in zip(*x, rewards, strict=False):
            agent.step(reward, (indices, values))
    assert_array_equal(both[0].weights, both[1].weights)
    assert_array_equal(both[0].trace, both[1].trace)


def remembers(agent):
    return "pi" in agent.state_dict()["arrays"]


@backends
@own_pi
def test_the_policy_is_forgotten_with_the_trace(algorithm, backend):
    """By start, end, truncate and reset, a discount of 0."""
    s = example(algorithm)
    agent = algorithm.make(s, backend, seed=0)
    x, y = state_of(s, 0), state_of(s, 1)
    for forget in (
        lambda: agent.start(x), lambda: agent.end(0.0), lambda: agent.truncate(0.0, x), agent.reset,
        lambda: agent.step(0.0, x, gamma=0.0),
        lambda: learn(agent, s.but(gammas=0.0), 0, 3),
    ):  # fmt: skip
        agent.start(x)
        agent.step(1.0, y)
        assert remembers(agent)
        forget()
        assert not remembers(agent)
    agent.start(x)
    agent.step(1.0, y)
    agent.weights = agent.weights + 1.0  # the action was drawn from what it was drawn from
    assert remembers(agent)
    assert not remembers(walked("retrace", backend))


@backends
@own_pi
def test_a_state_from_before_it_was_remembered_goes_by_the_weights(algorithm, backend):
    """One step takes pi(A_t|S_t) under w_t; the next ones as ever."""
    s = example(algorithm)
    agent = algorithm.make(s, backend, seed=0, epsilon=0.4, gamma=0.9, lambda_=0.8)
    agent.start(state_of(s, 0))
    agent.step(50.0, state_of(s, 1))
    state = agent.state_dict()
    del state["arrays"]["pi"]
    old = algorithm.make(s, backend)
    old.load_state_dict(state)
    q, action, trace = old.q(state_of(s, 1)), state["online"]["action"], old.trace
    pi = 0.4 / len(q) + 0.6 * (action == np.argmax(q))
    factor = pi if algorithm.learner == "TreeBackup" else 0.5 + 0.5 * pi
    old.step(0.0, state_of(s, 2))
    here = s.dense(1)[:, np.newaxis] * (np.arange(s.n_actions) == action)
    assert_allclose(old.trace, 0.9 * 0.8 * factor * trace + here, rtol=0, atol=1e-14)
    assert remembers(old)


@pytest.mark.parametrize("backend", COMPILED)
def test_a_step_of_another_target_forgets_the_policy(backend):
    """On one trace, as the C interface allows: what is remembered is of the step before, or nothing."""
    agent = walked("tree_backup", backend)
    assert remembers(agent)
    step = agent._module.quick_control_step(agent._trace, "accumulating", "taken")
    x = agent._state(state_of(example(ALGORITHMS["tree_backup"]), 0)).row(0)
    step(x, 0, x, 0, 0.0, 0.9, 0.9, 0.1, ("epsilon", 0.1), 1.0)
    assert not remembers(agent)


@backends
@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_softmax_chooses_by_its_probabilities(temperature, backend):
    """Actions come as often as exp(q / temperature) says; each from one uniform number."""
    q = np.array([0.5, -1.0, 0.0, 0.25])
    agent = new(backend, n_actions=4, weights=q, policy="softmax", temperature=temperature)
    pi = np.exp(q / temperature) / np.exp(q / temperature).sum()
    numbers = np.random.default_rng(0).random(4000)
    chosen = [agent.start([0]) for _ in numbers]
    assert_array_equal(chosen, np.searchsorted(np.cumsum(pi), numbers, side="right"))
    assert not unlikely(np.bincount(chosen, minlength=4), 4000 * pi)


@backends
def test_softmax_of_what_is_not_finite(backend):
    """A diverged agent still acts: uniformly."""
    agent = new(backend, n_actions=3, policy="softmax", alpha=1e300)
    with np.errstate(all="ignore"):
        agent.learn([[0]] * 4, [0, 0, 0, 0], [1e300, -1e300, 1e300])
        chosen = [agent.start([0]) for _ in range(300)]
    assert agent.diverged
    assert not unlikely(np.bincount(chosen, minlength=3), np.full(3, 100))


# ---- a bound on the step size ----


@backends
@pytest.mark.parametrize("kind", ["accumulating", "replacing"])
@pytest.mark.parametrize("control", [False, True], ids=["td", "sarsa"])
def test_a_bounded_step_does_not_overshoot(control, kind, backend):
    """However large alpha is, a step takes delta of its own transition no further than to 0."""
    algorithm = ALGORITHMS[f"{'sarsa' if control else 'td'}_{kind}"]
    s = example(algorithm, vary_alpha=False, restarts=False, off_policy=False, repeats=kind == "accumulating")
    learner = algorithm.make(s.but(alpha=5.0), backend, bound=True, lambda_=0.9, gamma=0.9)
    free = algorithm.make(s.but(alpha=5.0), backend, lambda_=0.9, gamma=0.9)
    assert learner.alpha_bound == np.inf
    bounds, x = [], s.pairs()
    for t in range(s.T):
        before = learner.weights.ravel()
        delta = learn(learner, s.but(gammas=0.9, lambdas=0.9), t, t + 1)[0]
        learn(free, s.but(gammas=0.9, lambdas=0.9), t, t + 1)
        after = learner.weights.ravel()
        left = s.rewards[t] + 0.9 * after @ x[t + 1] - after @ x[t]
        assert abs(before @ x[t] + delta - s.rewards[t] - 0.9 * before @ x[t + 1]) < 1e-12
        if x[t].any() and t < 20:
            assert left * delta >= -1e-12 * delta**2
        bounds.append(learner.alpha_bound)
    assert (np.diff(bounds) <= 0).all()
    assert bounds[-1] < 1.0
    assert np.abs(free.weights).max() > 1e6 * np.abs(learner.weights).max()
    learner.reset()
    assert learner.alpha_bound == bounds[-1]  # a memory of the step size


def test_bounds_are_for_traces_without_a_step_size_inside():
    """A dutch trace holds alpha before the bound is known."""
    with pytest.raises(ValueError, match="bound"):
        ft.TD(3, "dutch", alpha=0.1, bound=True)
    with pytest.raises(ValueError, match="bound"):
        ft.Sarsa(3, 2, trace="dutch", alpha=0.1, bound=True)
