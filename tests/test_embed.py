"""Step kernels inside compiled loops: what they do is what the learner does, to the bit."""

import re
import sys
from itertools import pairwise

import numpy as np
import pytest
from numba import carray, cfunc, njit, types
from numba.core.errors import TypingError
from numpy.testing import assert_array_equal
from streams import ALGORITHMS, COMPILED, EVERY, learn, needed_once, random_stream

import fasttrace as ft
from fasttrace import embed
from fasttrace.layout import COUNTERS

# That have a step to embed.
ONE_VECTOR = ("td", "true_online_td", "vtrace_td", "sarsa", "true_online_sarsa")
WITH_INTEREST = ("emphatic_td", "emphatic_beta_td", "true_online_emphatic_td")
WITH_PI = ("tree_backup_td", "ab_td")
TWO_VECTORS = ("gtd", "htd", "true_online_gtd", "gtd2", "gtd2_lambda", "tdrc", "proximal_gtd2")
KERNELS = (*ONE_VECTOR, *WITH_INTEREST, *WITH_PI, *TWO_VECTORS)
EMBEDDED = [each for each in ALGORITHMS.values() if each.kernel in KERNELS]
both = pytest.mark.parametrize("backend", COMPILED)
needs_c = pytest.mark.skipif(ft.backends()["c"] is not None, reason="needs C")

# Numba compiles a step for a second or two: one a signature and way through it.
IN_NUMBA = ("td_accumulating", "true_online_td", "sarsa_replacing_clear", "emphatic_beta_td", "ab_td", "tdrc")


def cases(algorithms):
    """Each with C, and with Numba where it is among IN_NUMBA."""
    return [
        pytest.param(each, *backend.values, marks=backend.marks, id=f"{each}-{backend.values[0]}")
        for each in algorithms
        for backend in COMPILED
        if each.name in IN_NUMBA or backend.values != ("numba",)
    ]


# ---- loops as a user would write them ----


@njit
def predict_loop(state, step, x, rewards, gammas, lambdas, rhos, alphas, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(state, x[t], rewards[t], x[t + 1], gammas[t], lambdas[t], rhos[t], alphas[t])


@njit
def predict_pairs(state, step, x, values, rewards, gammas, lambdas, rhos, alphas, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(
            state, (x[t], values[t]), rewards[t], (x[t + 1], values[t + 1]),
            gammas[t], lambdas[t], rhos[t], alphas[t],
        )  # fmt: skip


@njit
def predict_more_loop(state, step, x, rewards, gammas, lambdas, rhos, alphas, more, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(
            state, x[t], rewards[t], x[t + 1], gammas[t], lambdas[t], rhos[t], alphas[t], more[t]
        )  # fmt: skip


@njit
def predict_more_pairs(state, step, x, values, rewards, gammas, lambdas, rhos, alphas, more, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(
            state, (x[t], values[t]), rewards[t], (x[t + 1], values[t + 1]),
            gammas[t], lambdas[t], rhos[t], alphas[t], more[t],
        )  # fmt: skip


@njit
def act_loop(state, step, x, actions, rewards, gammas, lambdas, alphas, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(
            state, x[t], actions[t], rewards[t], x[t + 1], actions[t + 1], gammas[t], lambdas[t], alphas[t]
        )


@njit
def act_pairs(state, step, x, values, actions, rewards, gammas, lambdas, alphas, deltas):
    for t in range(len(rewards)):
        deltas[t] = step(
            state, (x[t], values[t]), actions[t], rewards[t], (x[t + 1], values[t + 1]), actions[t + 1],
            gammas[t], lambdas[t], alphas[t],
        )  # fmt: skip


LOOPS = {
    ("indices", "predict"): predict_loop,
    ("pair", "predict"): predict_pairs,
    ("indices", "predict_more"): predict_more_loop,
    ("pair", "predict_more"): predict_more_pairs,
    ("indices", "act"): act_loop,
    ("pair", "act"): act_pairs,
}


def more_of(learner, s):
    """What its step takes behind alpha: interest, pi or beta; None where it takes no more."""
    kernel = learner.method().kernel
    if kernel in WITH_INTEREST:
        return s.interests
    if kernel in WITH_PI:
        return s.pi
    return learner.beta if kernel in TWO_VECTORS else None


def walk(learner, s, backend=None, start=0, stop=None, state=None):
    """Transitions start to stop - 1 of a stream in a compiled loop.  Returns the deltas."""
    stop = s.T if stop is None else stop
    x, acts = s.x(start, stop), s.actions is not None and not s.state_action
    if s.state_action:  # the rows of (S_t, A_t)
        taken = np.arange(stop - start + 1), s.actions[start : stop + 1]
        x = tuple(part[taken] for part in x) if isinstance(x, tuple) else x[taken]

    def series(values):
        return np.array(np.broadcast_to(values, s.T)[start:stop], float)  # its own: loops compile once

    deltas, more = np.empty(stop - start), more_of(learner, s)
    LOOPS[s.form, "act" if acts else "predict" if more is None else "predict_more"](
        state or embed.state(learner),
        embed.step(learner, backend),
        *(x if isinstance(x, tuple) else (x,)),
        *([s.actions[start : stop + 1]] if acts else []),
        s.rewards[start:stop],
        series(s.gammas),
        series(s.lambdas),
        *([] if acts else [series(1.0 if s.rhos is None else s.rhos)]),
        series(s.alpha),
        *([] if more is None else [series(more)]),
        deltas,
    )
    return deltas


def stream_for(algorithm, form="indices", **more):
    """With discounts of 0, ratios, step sizes that vary, repeated indices and padding among them."""
    return random_stream(
        7, T=200, n=12, form=form, repeats=True, n_actions=3 if algorithm.control else 0,
        off_policy=not algorithm.control, vary_alpha=True, **more,
    )  # fmt: skip


def assert_same(learner, deltas, other, others_deltas):
    assert_array_equal(deltas, others_deltas)
    assert_array_equal(learner.weights, other.weights)
    assert_array_equal(learner.trace, other.trace)
    if hasattr(learner, "v"):
        assert_array_equal(learner.v, other.v)


# ---- steps ----


def test_a_learner_without_a_step_to_embed_is_refused():
    """Nor has it memory that a step or a value would know; the error says which have."""
    learner = ft.LSTD(4, backend="numba")
    with pytest.raises(ValueError, match="no state to embed, expected TD, "):
        embed.state(learner)
    with pytest.raises(ValueError, match=r"no step to embed, expected TD, TrueOnlineTD, .* GTD, .* or "):
        embed.step(learner)


def test_every_step_learner_has_a_step():
    """And is named in the docstring, which says what its step takes."""
    for algorithm in EVERY.values():
        s = random_stream(1, n_actions=2 if algorithm.control else 0)
        assert callable(embed.step(algorithm.make(s, "numba")))
    named = {each.learner for each in EVERY.values()}
    assert named | {"Horde"} <= set(re.findall(r"\w+", embed.step.__doc__))


def test_a_bounded_learner_is_refused():
    """Its step would not be bounded."""
    with pytest.raises(ValueError, match="bound"):
        embed.step(ft.TD(4, alpha=0.1, bound=True, backend="numba"))


@pytest.mark.parametrize(("algorithm", "backend"), cases(EMBEDDED))
def test_embedded_steps_are_the_learners(algorithm, backend):
    """A compiled loop of steps, then learn, is learn all along: TD errors, weights, trace."""
    s = stream_for(algorithm)
    learner, other = algorithm.make(s, backend), algorithm.make(s, backend)
    deltas = np.concatenate([walk(learner, s, stop=150), learn(learner, s, 150)])
    assert_same(learner, deltas, other, learn(other, s))


@njit
def act_on(state, step, x, actions, rewards, gammas, chance):
    for t in range(len(rewards)):
        step(state, x[t], actions[t], rewards[t], x[t + 1], actions[t + 1], gammas[t], 0.9, 0.1, chance)


@njit
def act_on_sigma(state, step, x, actions, rewards, gammas, chance, sigma):
    for t in range(len(rewards)):
        step(
            state, x[t], actions[t], rewards[t], x[t + 1], actions[t + 1], gammas[t], 0.9, 0.1, chance, sigma
        )  # fmt: skip


def acting(make, s):
    """A learner that has walked through a stream's states, and the actions that it took."""
    learner, gammas = make(), np.broadcast_to(s.gammas, s.T)
    x = s.x()
    actions = [learner.start(x[0])]
    actions += [learner.step(r, row, gamma=g) for r, row, g in zip(s.rewards, x[1:], gammas, strict=True)]
    return learner, np.array(actions)


@pytest.mark.parametrize(
    ("name", "backend", "options"),
    [
        pytest.param(
            "true_online_expected_sarsa", "c", {"policy": "softmax", "temperature": 0.7}, marks=needs_c
        ),
        pytest.param("naive_q_replacing", "c", {"epsilon": 0.3, "cut": False}, marks=needs_c),
        pytest.param("q_sigma", "c", {"epsilon": 0.3, "sigma": 0.4}, marks=needs_c),
        ("q_sigma", "numba", {"epsilon": 0.3, "sigma": 0.4}),
    ],
)
def test_embedded_control_is_the_agents(name, backend, options):
    """Of values towards more than the action taken: what the agent has learned online, to the bit."""
    algorithm, sigma = ALGORITHMS[name], [options[each] for each in ("sigma",) if each in options]
    s = stream_for(algorithm)

    def make():
        trace = {"trace": "replacing"} if "replacing" in name else {}
        return getattr(ft, algorithm.learner)(
            s.n, 3, alpha=0.1, lambda_=0.9, seed=0, backend=backend, **trace, **options
        )

    other, actions = acting(make, s)
    learner = make()
    learner.reset()  # as start does
    state, step, chance = embed.state(learner), embed.step(learner), options.get("temperature", 0.3)
    given = state, step, s.x(), actions, s.rewards, np.array(np.broadcast_to(s.gammas, s.T), float)
    (act_on_sigma if sigma else act_on)(*given, chance, *sigma)
    assert_array_equal(learner.weights, other.weights)
    assert_array_equal(learner.trace, other.trace)
    before = learner.weights
    if sigma:
        for bad in ((-0.1, 0.4), (0.3, 1.1), (np.nan, 0.4)):
            with pytest.raises(ValueError, match="epsilon and sigma from 0 to 1"):
                act_on_sigma(*given, *bad)
        assert_array_equal(learner.weights, before)


def test_control_of_pairs_is_refused():
    """A step towards all actions needs the features of each."""
    with pytest.raises(ValueError, match="all actions"):
        embed.step(ft.ExpectedSarsa(4, 2, alpha=0.1, state_action=True, backend="numba"))


@cfunc(types.void(types.CPointer(types.float64), types.CPointer(types.int32)))
def features_of(place, out):
    """A user's callback: two active features of a place in [0, 1)."""
    indices = carray(out, 2)
    indices[0], indices[1] = int(5 * place[0]), 5 + int(7 * place[0])


@needs_c
def test_features_by_a_c_callback():
    """What @cfunc compiles, or any C function of known address, is called in the loop beside the step."""
    encode = features_of.ctypes

    @njit
    def walk_on(state, step, places):
        x, x_next = np.empty(2, np.int32), np.empty(2, np.int32)
        encode(places[0:].ctypes, x.ctypes)
        for t in range(len(places) - 1):
            encode(places[t + 1 :].ctypes, x_next.ctypes)
            step(state, x, 1.0, x_next, 0.9, 0.8, 1.0, 0.1)
            x[:] = x_next

    places = np.random.default_rng(0).random(50)
    learner, other = (ft.TrueOnlineTD(12, alpha=0.1, gamma=0.9, lambda_=0.8, backend="c") for _ in range(2))
    walk_on(embed.state(learner), embed.step(learner), places)
    other.learn(np.stack([(5 * places).astype(int), 5 + (7 * places).astype(int)], axis=1), np.ones(49))
    assert_array_equal(learner.weights, other.weights)


VALUED = [ALGORITHMS[name] for name in ("td_accumulating", "sarsa_dutch", "emphatic_td", "htd", "tdrc")]


@pytest.mark.parametrize(("algorithm", "backend"), cases(VALUED))
def test_real_values(algorithm, backend):
    """The same for features that are pairs of indices and values."""
    s = stream_for(algorithm, "pair")
    learner, other = algorithm.make(s, backend), algorithm.make(s, backend)
    assert_same(learner, walk(learner, s), other, learn(other, s))


@both
@pytest.mark.parametrize("name", ["sarsa_replacing", "true_online_sarsa"])
def test_features_of_state_action_pairs(name, backend):
    """With state_action=True a step takes the features of the pair."""
    algorithm = ALGORITHMS[name]
    s = stream_for(algorithm, state_action=True)
    learner, other = algorithm.make(s, backend), algorithm.make(s, backend)
    assert_same(learner, walk(learner, s), other, learn(other, s))


@needs_c
@pytest.mark.parametrize("name", ["td_replacing", "true_online_sarsa", "ab_td", "tdrc"])
def test_numba_and_c_take_turns(name):
    """Both work on one memory: a step of C's may follow one of Numba's."""
    algorithm = ALGORITHMS[name]
    s = stream_for(algorithm)
    learner, other = algorithm.make(s, "numba"), algorithm.make(s, "c")
    cuts = [0, 1, 2, 70, 71, 200]
    deltas = [walk(learner, s, ("numba", "c")[i % 2], *cut) for i, cut in enumerate(pairwise(cuts))]
    assert_same(learner, np.concatenate(deltas), other, learn(other, s))


OPTIONS = [  # of a learner, and then another
    ("vtrace_td", {"c_bar": 0.2, "rho_bar": 0.5}, {"c_bar": 0.8, "rho_bar": 1.3}),
    ("ab_td", {"zeta": 0.9, "psi_0": 0.6}, {"zeta": 0.2, "psi_0": 0.7}),
    ("emphatic_beta_td", {"beta": 0.9}, {"beta": 0.2}),
    ("tdrc", {"eta": 2.0}, {"eta": 0.3}),
]


@pytest.mark.parametrize(("algorithm", "backend"), cases(ALGORITHMS[name] for name, _, _ in OPTIONS))
def test_options_are_the_learners(algorithm, backend):
    """As they were when it was made, and as they are set while a loop has its state."""
    first, then = next(options for name, *options in OPTIONS if name == algorithm.name)
    s = stream_for(algorithm)
    learner, other = (
        getattr(ft, algorithm.learner)(s.n, alpha=0.1, backend=backend, **first) for _ in range(2)
    )
    state = embed.state(learner)
    for cut in ((0, 90), (90, 200)):
        assert_same(learner, walk(learner, s, None, *cut, state), other, learn(other, s, *cut))
        for each in (learner, other):
            for name, value in then.items():
                setattr(each, name, value)


@both
@pytest.mark.parametrize(
    ("name", "loop", "numbers"), [("td_accumulating", predict_loop, 4), ("tdrc", predict_more_loop, 5)]
)
def test_references_are_left_as_they_were(name, loop, numbers, backend):
    """The compiled code borrows arrays: after many steps none is held, and none has been let go."""
    algorithm = ALGORITHMS[name]
    s = stream_for(algorithm).but(rhos=None)
    learner, x = algorithm.make(s, backend), s.x()
    state, step = embed.state(learner), embed.step(learner)
    ones, deltas = np.full(s.T, 0.1), np.empty(s.T)
    arrays = [*state, x, s.rewards, ones, deltas]
    before = [sys.getrefcount(array) for array in arrays]
    for _ in range(10):
        loop(state, step, x, s.rewards, *[ones] * numbers, deltas)
    assert [sys.getrefcount(array) for array in arrays] == before


# ---- values ----


@njit
def value_of(state, x):
    return embed.value(state, x)


@njit
def values_of(state, x, out):
    embed.values(state, x, out)


@both
def test_value(backend):
    """embed.value is predict, for indices with padding and for pairs."""
    s = stream_for(ALGORITHMS["true_online_td"], "pair")
    learner = ALGORITHMS["true_online_td"].make(s, backend)
    learn(learner, s)
    indices, values = (part[3] for part in s.x())
    state = embed.state(learner)
    assert value_of(state, indices) == learner.predict(indices)
    assert value_of(state, (indices, values)) == learner.predict((indices, values))


@pytest.mark.parametrize("name", [*TWO_VECTORS, "ab_td"])
def test_value_of_two_vectors(name):
    """And of the learners with two vectors, whatever their records hold, and those with options."""
    algorithm = ALGORITHMS[name]
    s = stream_for(algorithm)
    learner = algorithm.make(s, "numba" if ft.backends()["c"] else "c")
    learn(learner, s)
    assert value_of(embed.state(learner), s.x()[3]) == learner.predict(s.x()[3])


@both
@pytest.mark.parametrize("name", ["sarsa_dutch", "gq"])
def test_values(name, backend):
    """embed.values is q."""
    s = stream_for(ALGORITHMS[name])
    learner = ALGORITHMS[name].make(s, backend)
    learn(learner, s)
    x, q = s.x()[3], np.empty(3)
    values_of(embed.state(learner), x, q)
    assert_array_equal(q, learner.q(x))


def test_values_want_room():
    """One entry for each action, neither fewer nor more; value is for a single column."""
    learner = ft.Sarsa(4, 3, alpha=0.1, backend="numba")
    x = np.array([1], np.int32)
    with pytest.raises(ValueError, match="out"):
        values_of(embed.state(learner), x, np.empty(2))
    with pytest.raises(ValueError, match="use values"):
        value_of(embed.state(learner), x)


# ---- what is refused ----


@njit
def one_step(state, step, x, x_next, reward, gamma, lambda_, rho, alpha):
    return step(state, x, reward, x_next, gamma, lambda_, rho, alpha)


@njit
def one_action(state, step, x, action, action_next):
    return step(state, x, action, 1.0, x, action_next, 0.9, 0.9, 0.1)


FINE = {"reward": 1.0, "gamma": 0.9, "lambda_": 0.9, "rho": 1.0, "alpha": 0.1}
GOOD = np.array([1, 2], np.int32)


def learned(backend, trace="accumulating"):
    learner = ft.TD(4, trace, alpha=0.1, backend=backend)
    learner.update(GOOD, 1.0, GOOD)
    return learner


BAD = COUNTERS.index("bad_index")  # of both structs


def refuse(learner, error, call, *arguments, match=None):
    """The call raises, and the learner's memory is what it was, but for bad_index."""
    state, step = embed.state(learner), embed.step(learner)
    before = [array.copy() for array in state[:-1]]
    with pytest.raises(error, match=match):
        call(state, step, *arguments)
    before[0][BAD] = state.counters[BAD]
    for array, was in zip(state, before, strict=False):
        assert_array_equal(array, was)


@both
@pytest.mark.parametrize("index", [-2, 4, 2**31 - 1, -(2**31)])
def test_bad_index(backend, index):
    """An index out of range, in x or x_next, raises as it does in the learner."""
    bad = np.array([1, index], np.int32)
    for x, x_next in [(bad, GOOD), (GOOD, bad)]:
        refuse(learned(backend), ft.FeatureIndexError, one_step, x, x_next, *FINE.values())
        for name, learner in with_more(backend).items():
            refuse(learner, ft.FeatureIndexError, predict_more_loop, *one(x, x_next, **FINE, more=MORE[name]))
    with pytest.raises(ft.FeatureIndexError):
        value_of(embed.state(learned(backend)), bad)


BAD_NUMBERS = [
    {"reward": np.nan}, {"reward": np.inf}, {"gamma": -0.1}, {"gamma": 1.1}, {"gamma": np.nan},
    {"lambda_": -0.1}, {"lambda_": 1.1}, {"rho": -0.1}, {"rho": np.inf},
    {"alpha": 0.0}, {"alpha": np.nan},
]  # fmt: skip


def name_of(numbers):
    return "-".join(f"{name}{value}" for name, value in numbers.items())


@both
@pytest.mark.parametrize("number", BAD_NUMBERS, ids=name_of)
def test_bad_number(backend, number):
    """So does a number that is not finite or not in its range."""
    refuse(learned(backend), ValueError, one_step, GOOD, GOOD, *{**FINE, **number}.values())
    for name, learner in with_more(backend).items():
        refuse(
            learner, ValueError, predict_more_loop, *one(GOOD, GOOD, **{**FINE, "more": MORE[name], **number})
        )  # fmt: skip


MORE = {"emphatic_beta_td": 1.0, "ab_td": 0.5, "tdrc": 0.2}
"""What their steps take behind alpha."""


def with_more(backend):
    """Learners whose steps take more; each has learned something."""
    learners = {
        "emphatic_beta_td": ft.EmphaticTD(4, alpha=0.1, beta=0.5, backend=backend),
        "ab_td": ft.ABTD(4, alpha=0.1, backend=backend),
        "tdrc": ft.TDRC(4, alpha=0.1, beta=0.2, backend=backend),
    }
    for learner in learners.values():
        learner.update(GOOD, 1.0, GOOD, **{"rho": 1.0, **needed_once(learner)})
    return learners


def one(x, x_next, *, more, reward, gamma, lambda_, rho, alpha):
    """A stream of one transition, for the loops."""
    numbers = (np.array([each]) for each in (reward, gamma, lambda_, rho, alpha, more))
    return np.array([x, x_next]), *numbers, np.zeros(1)


BAD_MORE = [
    ("emphatic_beta_td", {"more": -0.1}), ("emphatic_beta_td", {"more": np.nan}),
    ("emphatic_beta_td", {"more": np.inf}),
    ("ab_td", {"more": -0.1}), ("ab_td", {"more": 1.1, "rho": 2.0}), ("ab_td", {"more": np.nan}),
    ("ab_td", {"more": 0.0}), ("ab_td", {"rho": 0.0}), ("ab_td", {"rho": 0.4}),
    ("tdrc", {"more": -0.1}), ("tdrc", {"more": np.nan}), ("tdrc", {"more": np.inf}),
    ("tdrc", {"more": 2.0, "alpha": 0.5}),
]  # fmt: skip


@both
@pytest.mark.parametrize(
    ("name", "numbers"), BAD_MORE, ids=lambda each: name_of(each) if isinstance(each, dict) else each
)
def test_bad_interest_pi_or_beta(backend, name, numbers):
    """And what stands behind alpha; pi has to be of rho's action, and eta alpha beta below 1."""
    refuse(
        with_more(backend)[name],
        ValueError,
        predict_more_loop,
        *one(GOOD, GOOD, **{**FINE, "more": MORE[name], **numbers}),
    )


@both
@pytest.mark.parametrize("beta", [0.0, -0.1, np.nan, np.inf])
def test_bad_beta(backend, beta):
    """That of a v that is not held to 0 is above 0."""
    learner = ft.GTD(4, alpha=0.1, beta=0.1, backend=backend)
    refuse(learner, ValueError, predict_more_loop, *one(GOOD, GOOD, **FINE, more=beta))


@needs_c
def test_the_state_of_another_learner():
    """A step does not take what it would misread."""
    gtd, htd, td, sarsa = (
        ft.GTD(4, alpha=0.1, beta=0.1, backend="c"), ft.HTD(4, alpha=0.1, beta=0.1, backend="c"),
        ft.TD(4, alpha=0.1, backend="c"), ft.Sarsa(4, 2, alpha=0.1, backend="c"),
    )  # fmt: skip
    numbers = (GOOD, GOOD, *FINE.values())
    with pytest.raises(ValueError, match="other traces"):
        predict_more_loop(embed.state(gtd), embed.step(htd), *one(GOOD, GOOD, **FINE, more=0.1))
    with pytest.raises(ValueError, match="a column for each action"):
        one_step(embed.state(sarsa), embed.step(td), *numbers)
    with pytest.raises(TypingError, match="expected State"):
        one_step(embed.state(gtd), embed.step(td), *numbers)
    with pytest.raises(TypingError, match="expected TwoVectorState"):
        predict_more_loop(embed.state(td), embed.step(gtd), *one(GOOD, GOOD, **FINE, more=0.1))


@both
def test_bad_action(backend):
    """And an action."""
    for actions in [(3, 0), (-1, 0), (0, 3), (0, -1)]:
        refuse(ft.Sarsa(4, 3, alpha=0.1, backend=backend), IndexError, one_action, GOOD, *actions)


@both
def test_values_where_they_have_no_place(backend):
    """Replacing traces take indices alone; a pair has as many values as indices."""
    pair, short = (GOOD, np.ones(2)), (GOOD, np.ones(1))
    for x, message in [(pair, "binary"), (short, "length")]:
        refuse(learned(backend, "replacing"), ValueError, one_step, x, pair, *FINE.values(), match=message)


@both
@pytest.mark.parametrize(
    "x",
    [
        GOOD.astype(np.int64),
        np.repeat(GOOD, 2)[::2],
        GOOD.reshape(1, 2),
        np.ones(4),
        (GOOD, np.ones(2, np.float32)),
    ],
    ids=["int64", "strided", "2-D", "dense", "float32 values"],
)
def test_other_features_do_not_compile(backend, x):
    """C would read them for what they are not."""
    with pytest.raises(TypingError, match="contiguous int32"):
        one_step(embed.state(learned(backend)), embed.step(learned(backend)), x, x, *FINE.values())


def test_no_memory_to_share():
    """The NumPy reference has no such trace, and clearing needs the features of every action."""
    with pytest.raises(ValueError, match="numpy"):
        embed.state(ft.TD(4, alpha=0.1, backend="numpy"))
    with pytest.raises(ValueError, match="numpy"):
        embed.step(ft.TD(4, alpha=0.1, backend="numpy"))
    with pytest.raises(ValueError, match="numpy"):
        embed.step(ft.TD(4, alpha=0.1, backend="numba"), "numpy")
    clearing = ft.Sarsa(4, 2, alpha=0.1, clear_others=True, state_action=True, backend="numba")
    with pytest.raises(ValueError, match="all actions"):
        embed.step(clearing)


def test_c_that_is_not_there(monkeypatch):
    """Asked for by name, a missing C library is not replaced by Numba."""
    monkeypatch.setitem(sys.modules["fasttrace.backends"]._missing, "c", "ImportError: not built")
    with pytest.raises(ft.BackendUnavailable, match="not built"):
        embed.step(ft.TD(4, alpha=0.1, backend="numba"), "c")


@pytest.mark.skipif(ft.backends()["numba"] is not None, reason="needs Numba")
def test_python_cannot_call_a_step():
    """A step has no entry for Python: it says so."""
    learner = ft.TD(4, alpha=0.1)
    x = np.array([1], np.int32)
    with pytest.raises(TypeError, match="td_step: for compiled functions"):
        embed.step(learner)(embed.state(learner), x, 1.0, x, 0.9, 0.9, 1.0, 0.1)
