"""Quick calls: what C does of a call is to the bit what Python does of it, and the rest is Python's."""

import copy
import gc
import inspect
import pickle
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest
from neural_learners import LEARNERS as NETWORKS
from numpy.testing import assert_array_equal
from states import example, same, taught
from streams import EVERY, needed_once

import fasttrace as ft
from fasttrace import neural, quick

pytestmark = pytest.mark.skipif(
    quick.native is None or ft.backends()["c"] is not None, reason=f"no quick calls: {quick.missing}"
)
STATES = [each for each in EVERY.values() if not each.control]
AGENTS = [each for each in EVERY.values() if each.control]
X, NEXT, N = np.array([0, 3, 5]), np.array([1, 3, 7]), 12


def forms(row):
    """One row of indices as users have it."""
    yield "int32", row.astype(np.int32)
    yield "int64", row
    yield "uint8", row.astype(np.uint8)
    yield "every other", np.repeat(row, 2)[::2]
    yield "list", row.tolist()
    yield "tuple", tuple(row.tolist())
    yield "padded", np.append(row, -1)
    yield "repeated", np.append(row, row[0])
    yield "ragged", ft.Ragged([0, len(row)], row)
    yield "shorter", row[:1]


def valued_forms(row):
    values = np.linspace(0.5, 1.5, len(row))
    dense = np.zeros(N)
    dense[row] = values
    yield "pair", (row, values)
    yield "float32 pair", (row.astype(np.int32), values.astype(np.float32))
    yield "ragged, values", ft.Ragged([0, len(row)], row, values)
    yield "pair of lists", (row.tolist(), values.tolist())
    yield "dense", dense
    yield "dense, float32", dense.astype(np.float32)
    yield "dense list", dense.tolist()


def forms_for(algorithm):
    """Pairs of rows in every form, and of two forms."""
    every = forms if algorithm.replacing else lambda row: (*forms(row), *valued_forms(row))
    for (name, x), (_, y) in zip(every(X), every(NEXT), strict=True):
        yield name, x, y
    if not algorithm.replacing:
        yield "mixed", X.tolist(), dict(valued_forms(NEXT))["dense"]
        yield "mixed", dict(valued_forms(X))["dense"], dict(valued_forms(NEXT))["pair"]


def for_each_action(row):
    """Features of three actions, of the form of one state's."""
    if isinstance(row, tuple) and len(row) == 2:
        return tuple(for_each_action(each) for each in row)
    rows = np.stack([row, row[::-1], row])
    return rows.tolist() if isinstance(row, list) else rows


@pytest.fixture
def only_quick(monkeypatch):
    """Calls that come to Python are errors."""

    def forbid(*methods):
        def elsewhere(self, *arguments, **keywords):
            raise AssertionError("not quick")

        for cls in {
            ft.TileCoder,
            *(cls for name in ft.__all__ if isinstance(cls := getattr(ft, name), type)),
        }:
            for method in methods:
                if f"_any_{method}" in vars(cls):
                    monkeypatch.setattr(cls, f"_any_{method}", elsewhere)
                for base in cls.__mro__[1:]:
                    if f"_any_{method}" in vars(base):
                        monkeypatch.setattr(base, f"_any_{method}", elsewhere)

    return forbid


# ---- the same as Python does -------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", STATES, ids=str)
def test_updates_are_those_of_python(algorithm):
    """In every form of features, with every number of a call given or not."""
    one, other = (taught(algorithm, "c") for _ in range(2))
    must = needed_once(one)
    numbers = [{}, {"gamma": 0.5}, {"gamma": 0}]
    takes = [name for name in one._names_update if name in ("lambda_", "rho", "alpha", "interest")]
    if getattr(one, "lambda_", 0.0) is None:
        takes.remove("lambda_")
    numbers += [{name: np.float64(0.75)} for name in takes]
    for name, x, y in forms_for(algorithm):
        for given in numbers:
            got = one.update(x, 1.5, y, **must | given)
            assert_array_equal(got, other._any_update(x, 1.5, y, **must | given), f"{name} {given}")
            assert_array_equal(one.predict(x), other._any_predict(x), name)
        assert same(one, other), name
    for each in one.update, other._any_update:
        each(X, -1, None, gamma=0.0, **must)
    assert same(one, other)


@pytest.mark.parametrize("solver", ["solve", "inverse"])
def test_least_squares_add_as_in_python(solver):
    """As the others; and values by what has been solved, also where the inverse is made anew."""
    one, other = (ft.LSTD(N, solver=solver, epsilon=0.3, backend="c") for _ in range(2))
    one._trace.refresh = other._trace.refresh = 40
    for name, x, y in forms_for(EVERY["td_accumulating"]):
        for given in ({}, {"gamma": 0.5}, {"gamma": 0}, {"lambda_": 0.25}, {"rho": np.float64(2.5)}):
            assert one.update(x, 1.5, y, **given) is other._any_update(x, 1.5, y, **given) is None
        for _ in range(2):  # the first has to solve
            assert one.predict(x) == other._any_predict(x), name
    assert one._trace.since < 40
    one.update(X, -1, None, gamma=0.0)
    other._any_update(X, -1, None, gamma=0.0)
    assert same(one, other)
    assert_array_equal(one.weights, other.weights)


@pytest.mark.parametrize("policy", ["epsilon", "softmax"])
@pytest.mark.parametrize("state_action", [False, True], ids=["states", "pairs"])
@pytest.mark.parametrize("algorithm", AGENTS, ids=str)
def test_agents_walk_as_in_python(algorithm, state_action, policy):
    """start, step, end, truncate, act and q, in turn: the same actions, learner and generator."""
    if algorithm.actor and (state_action or policy == "epsilon"):
        pytest.skip("an actor-critic has neither")
    options = {} if algorithm.actor else {"policy": policy, "epsilon": 0.3, "state_action": state_action}
    s = example(algorithm, state_action=state_action)
    one, other = (algorithm.make(s, "c", seed=4, **options) for _ in range(2))
    for name, x, y in forms_for(algorithm):
        if state_action and "ragged" in name:
            continue
        if state_action:
            x, y = (for_each_action(each) for each in (x, y))
        assert one.start(x) == other._any_start(x), name
        for gamma in (None, 0.5, 0):
            assert one.step(0.5, y, gamma=gamma) == other._any_step(0.5, y, gamma=gamma), name
            assert one.step(1, x) == other._any_step(1, x), name
        assert one.act(y) == other._any_act(y)
        assert_array_equal(one.q(y), other._any_q(y))
        one.truncate(2.0, y)
        other._any_truncate(2.0, y)
        assert one.start(y) == other._any_start(y)
        one.end(-1.0)
        other._any_end(-1.0)
        assert same(one, other), name
    one.start(x)
    other._any_start(x)
    assert same(one, other)
    assert same(pickle.loads(pickle.dumps(one)), other)


def series(rng, steps, algorithm, n_actions):
    """What `learn` of this algorithm may be given beside rows and rewards."""
    pi = rng.random((steps + 1, n_actions)) + 0.1
    rhos = rng.random(steps)
    return {
        "gammas": rng.random(steps), "lambdas": rng.random(steps), "alpha": rng.random(steps) * 0.1 + 0.01,
        "rhos": rhos, "interests": rng.random(steps), "pi": 0.5 * rhos, "sigmas": rng.random(steps),
        "target_policy": pi / pi.sum(1, keepdims=True), "lambdas_actor": rng.random(steps),
        "alpha_actor": rng.random(steps) * 0.1 + 0.01,
    }  # fmt: skip


@pytest.mark.parametrize("algorithm", EVERY.values(), ids=str)
def test_short_streams_are_learned_as_in_python(algorithm):
    """Indices of every type, padded, and dense rows; a number or an array for each series, or none."""
    rng = np.random.default_rng(8)
    one, other = (taught(algorithm, "c") for _ in range(2))
    steps, n_actions = 9, getattr(one, "n_actions", 1)
    rows = rng.integers(0, N, (steps + 1, 4))
    given = [rows, rows.astype(np.int32), np.where(rows == 3, -1, rows)]
    if not algorithm.replacing:
        given.append(rng.normal(size=(steps + 1, N)) * 0.3)
    all_series = series(rng, steps, algorithm, n_actions)
    taken = [name for name in inspect.signature(one.learn).parameters if name in all_series]
    if getattr(one, "lambda_", 0.0) is None:
        taken.remove("lambdas")
    must = {name: all_series[name] for name in getattr(one, "_required", ())}
    rewards = rng.normal(size=steps)
    first = (rng.integers(0, n_actions, steps + 1),) if algorithm.control else ()
    for x in given:
        for names in ([], *([name] for name in taken), taken):
            options = must | {name: all_series[name] for name in names}
            if "rhos" in names and "pi" not in options:
                options["rhos"] = np.append(options["rhos"], np.nan)  # the last is not looked at
            got, want = (learn(x, *first, rewards, **options) for learn in (one.learn, other._any_learn))
            assert_array_equal(got, want)
        assert same(one, other)
    number = 0.25 if "gammas" in taken else None
    assert_array_equal(
        one.learn(rows, *first, rewards, gammas=number, **must),
        other._any_learn(rows, *first, rewards, gammas=number, **must),
    )
    assert same(one, other)


@pytest.mark.parametrize("name", ["StreamTD", "StreamQ", "StreamSarsa", "StreamAC", "NetworkTD", "QRC"])
def test_networks_step_as_in_python(name):
    """update, or start and step, whose actions are those of the same numbers; a fault changes nothing."""
    rng = np.random.default_rng(1)
    s = rng.normal(size=(12, 3))

    def made():
        if name == "NetworkTD":
            net = neural.MLP((3, 8, 1), seed=2, backend="c")
            return neural.NetworkTD(net, alpha=0.01, keep=0)
        sizes = (3,) if name == "StreamTD" else (3, 2)
        return getattr(neural, name)(*sizes, hidden=(8, 8), seed=2, backend="c")

    one, other = made(), made()
    if name.endswith("TD"):
        for t in range(11):
            more = {} if t % 3 else {"gamma": 0.5, "lambda_": 0}
            got = one.update(s[t].tolist() if t % 2 else s[t], 1.0, s[t + 1], **more)
            assert got == other._any_update(s[t], 1.0, s[t + 1], **more)
        assert one.update(s[0], 1, None, gamma=0.0) == other._any_update(s[0], 1, None, gamma=0.0)
        with pytest.raises(ValueError, match="reward"):
            one.update(s[0], np.nan, s[1])
    else:
        assert one.start(s[0]) == other.start(s[0])
        for t in range(1, 12):
            assert one.step(0.5, s[t]) == other._any_step(0.5, s[t])
    assert same(one, other)
    one.params[0] = np.nan
    call = (lambda: one.update(s[0], 1.0, s[1])) if name.endswith("TD") else (lambda: one.step(1.0, s[1]))
    for _ in range(2):
        with pytest.raises(FloatingPointError, match="step 0"):
            call()
    one.params[0] = 0.1
    call()


def test_several_outputs_step_as_in_python():
    rng = np.random.default_rng(2)
    s, rewards = rng.normal(size=(9, 3)), rng.normal(size=(9, 4))
    one, other = (
        neural.NetworkTD(neural.MLP((3, 8, 4), seed=2, backend="c"), alpha=0.01, keep=0) for _ in range(2)
    )
    for t in range(8):
        more = {} if t % 3 else {"gamma": 0.5, "lambda_": 0} if t % 2 else {"gamma": [0.1, 0.2, 0.3, 1.0]}
        given = rewards[t].tolist() if t % 2 else rewards[t]
        got = one.update(s[t], given, s[t + 1], **more)
        assert_array_equal(got, other._any_update(s[t], given, s[t + 1], **more))
        assert got.shape == (4,)
    assert_array_equal(
        one.update(s[0], rewards[8], None, gamma=0), other._any_update(s[0], rewards[8], None, gamma=0)
    )
    assert same(one, other)
    for wrong in (1.0, rewards[0, :3], [1.0, 2.0, 3.0, np.nan]):
        with pytest.raises(ValueError, match=r"^reward: "):
            one.update(s[0], wrong, s[1])
    assert same(one, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["TDRC", "ForwardTD", "ExpectedTraceTD"])
def test_remedies_step_as_in_python(name, dtype):
    """With every number of a call given or not, over ends, faults, settings and copies."""
    rng = np.random.default_rng(3)
    m = 3 if name == "ForwardTD" else 1
    s, rewards = rng.normal(size=(24, 3)), rng.normal(size=(24, m))
    made = getattr(neural, name)
    one, other = (
        made(neural.MLP((3, 8, m), seed=2, dtype=dtype, backend="c"), alpha=0.01, lambda_=0.5)
        for _ in range(2)
    )
    assert one._call is not None
    for t in range(23):
        more = ({}, {"gamma": 0.5, "lambda_": 0}, {"gamma": 0})[t % 3]
        more |= {"rho": 1.5} if name == "TDRC" and t % 2 else {}
        given = rewards[t] if m > 1 else rewards[t, 0]
        there = None if t % 6 == 5 else s[t + 1]
        got = one.update(s[t].tolist(), given, there, **more)
        assert_array_equal(got, other._any_update(s[t], given, there, **more))
        if t == 11:
            one.alpha = other.alpha = 0.02
            one = pickle.loads(pickle.dumps(one))
            other = copy.deepcopy(other)
    assert same(one, other)
    with pytest.raises(ValueError, match=r"^reward: "):
        one.update(s[0], [np.nan] * m, s[1])
    one.params[0] = other.params[0] = np.nan
    for each in one.update, other._any_update:
        with pytest.raises(FloatingPointError, match="at step 0"):
            each(s[0], given, s[1])
    one.params[0] = other.params[0] = 0.1
    assert_array_equal(one.update(s[0], given, s[1]), other._any_update(s[0], given, s[1]))
    assert same(one, other)


# ---- what is quick, and what is not ------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [EVERY["td_accumulating"], EVERY["gtd"], EVERY["swift_td"]], ids=str)
def test_usual_forms_are_quick(algorithm, only_quick):
    learner = taught(algorithm, "c")
    only_quick("update", "predict")
    for name, x, y in forms_for(algorithm):
        learner.update(x, 1.0, y)
        if "ragged" not in name:  # of which there are many values
            learner.predict(x)
    learner.update(x=X, reward=np.float32(1), x_next=NEXT, gamma=1, lambda_=None)


def test_least_squares_and_networks_are_quick(only_quick):
    least = ft.LSTD(N, backend="c")
    network = neural.NetworkTD(neural.MLP((3, 8, 4), seed=2, backend="c"), alpha=0.01, keep=0)
    assert least.predict(NEXT) == 0.0  # solves
    remedy = neural.TDRC(neural.MLP((3, 8, 1), seed=2, backend="c"), alpha=0.01)
    only_quick("update", "predict")
    remedy.update(np.ones(3), 1.0, [1.0, 2.0, 3.0], rho=0.5)
    least.predict(X)
    for _, x, y in forms_for(EVERY["td_accumulating"]):
        least.update(x, 1.0, y)
    network.update(np.ones(3), np.ones(4), [1.0, 2.0, 3.0])


@pytest.mark.parametrize("algorithm", [EVERY["sarsa_replacing"], EVERY["actor_critic"]], ids=str)
def test_usual_steps_are_quick(algorithm, only_quick):
    agent = taught(algorithm, "c")
    only_quick("start", "step", "end", "truncate", "act", "q", "learn")
    for name, x, y in forms_for(algorithm):
        agent.start(x)
        agent.step(1.0, y)
        agent.step(reward=1.0, x=y, gamma=0.5)
        agent.act(x)
        if "ragged" not in name:
            agent.q(x)
        agent.truncate(1.0, x)
        agent.start(x)
        agent.end(0.0)
    agent.learn(np.stack([X, NEXT]), np.array([0, 1]), np.ones(1))


def test_coders_are_quick(only_quick):
    """Of one state, as an array of either precision, a list or a tuple; many states are Python's."""
    coder = ft.TileCoder((0.0, -1.0), (1.0, 1.0), 4, 8, backend="c")
    want = coder(np.array([[0.25, 0.5]]))[0]
    only_quick("__call__")
    for state in (np.array([0.25, 0.5]), np.array([0.25, 0.5], np.float32), [0.25, 0.5], (0.25, 0.5)):
        assert_array_equal(coder(state), want)
        assert coder(state).dtype == np.int32


BAD = {
    "an index too large": lambda x: np.append(x, N),
    "an index too small": lambda x: [-2, 1],
    "an index beyond int64": lambda x: np.array([2**64 - 1], np.uint64),
    "beyond int32": lambda x: np.array([2**32 + 1]),
    "a long int": lambda x: [10**30],
    "bits": lambda x: np.eye(N, dtype=int)[0],
    "bools": lambda x: np.ones(3, bool),
    "floats, too few": lambda x: np.ones(3),
    "NaN": lambda x: np.full(N, np.nan),
    "values that are infinite": lambda x: (x, np.full(3, np.inf)),
    "values, too few": lambda x: (x, np.ones(2)),
    "integers for values": lambda x: (x, x),
    "two dimensions": lambda x: x[None],
    "none": lambda x: None,
    "a string": lambda x: "1",
    "objects": lambda x: np.array([1, None]),
    "two rows": lambda x: ft.Ragged([0, 1, 3], x),
    "values that are NaN": lambda x: ft.Ragged([0, 3], x, [np.nan] * 3),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_bad_features_are_told_as_ever(bad):
    """The error is Python's, and nothing has changed."""
    learner, agent = ft.TD(N, alpha=0.1, backend="c"), ft.Sarsa(N, 2, alpha=0.1, seed=0, backend="c")
    learner.update(X, 1.0, NEXT)
    agent.start(X)
    before = copy.deepcopy([learner, agent])
    x = bad(X)
    calls = {
        "update": (learner, (x, 1.0, NEXT)), "update x_next": (learner, (X, 1.0, x)),
        "step": (agent, (1.0, x)), "act": (agent, (x,)), "start": (agent, (x,)),
        "truncate": (agent, (1.0, x)),
    }  # fmt: skip
    for name, (who, arguments) in calls.items():
        method = name.split()[0]
        with pytest.raises((ValueError, TypeError, IndexError)) as quickly:
            getattr(who, method)(*arguments)
        with pytest.raises(quickly.type) as slowly:
            getattr(who, f"_any_{method}")(*arguments)
        assert str(quickly.value) == str(slowly.value)
    assert same(learner, before[0])
    assert same(agent, before[1])


@pytest.mark.parametrize("bad", [np.nan, np.inf, "1", None, True, np.True_, 1j, 10**400, np.timedelta64(1)])
def test_bad_numbers_are_told_as_ever(bad):
    learner, agent = ft.TD(N, alpha=0.1, backend="c"), ft.Sarsa(N, 2, alpha=0.1, seed=0, backend="c")
    agent.start(X)
    before = copy.deepcopy([learner, agent])
    calls = [
        (learner, "update", (X, bad, NEXT), {}), (agent, "step", (bad, X), {}), (agent, "end", (bad,), {}),
        (agent, "truncate", (bad, X), {}),
    ]  # fmt: skip
    if bad is not None:
        calls += [(learner, "update", (X, 1.0, NEXT), {name: bad}) for name in ("gamma", "lambda_", "alpha")]
        calls += [
            (learner, "update", (X, 1.0, NEXT), {"rho": bad}),
            (agent, "step", (1.0, X), {"gamma": bad}),
        ]
    for who, method, arguments, keywords in calls:
        with pytest.raises((ValueError, TypeError)) as quickly:
            getattr(who, method)(*arguments, **keywords)
        with pytest.raises(quickly.type) as slowly:
            getattr(who, f"_any_{method}")(*arguments, **keywords)
        assert str(quickly.value) == str(slowly.value)
    assert same(learner, before[0])
    assert same(agent, before[1])


def test_calls_that_are_none():
    """Too few arguments, too many, unknown ones, one twice: Python's words."""
    learner = ft.TD(N, alpha=0.1, backend="c")
    for arguments, keywords in (
        ((X,), {}), ((X, 1.0, NEXT, 0.9), {}), ((X, 1.0, NEXT), {"gama": 1.0}),
        ((X, 1.0, NEXT), {"x": X}), ((X, 1.0, NEXT), {"interest": 1.0}), ((), {}),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=r"update\(\)"):
            learner.update(*arguments, **keywords)
    with pytest.raises(TypeError, match=r"TD\.learn: unknown keyword 'gama'; did you mean 'gammas'"):
        learner.learn(X[:, None], np.ones(2), gama=1.0)
    assert learner.update(X, 1.0, NEXT, **{"".join(["gam", "ma"]): 0.5}) == 1.0  # a name that is not interned


# ---- what a learner is -------------------------------------------------------------------------------------


def test_help_and_signatures_stay():
    for cls, name in ((ft.TD, "update"), (ft.Sarsa, "step"), (ft.GTD2, "learn"), (ft.TileCoder, "__call__")):
        shown, written = getattr(cls, name), getattr(cls, f"_any_{name}")
        assert shown.__doc__ == written.__doc__
        bare = [
            each.replace(annotation=inspect.Parameter.empty)
            for each in inspect.signature(written).parameters.values()
        ]
        assert list(inspect.signature(shown).parameters.values())[1:] == bare[1:]
        assert shown.__name__ == name


def test_a_class_of_the_users_may_do_more():
    """A method that overrides a quick one is called, and may call it."""

    class Counting(ft.TD):
        calls = 0

        def update(self, x, reward, x_next, **more):
            self.calls += 1
            return super().update(x, 2.0 * reward, x_next, **more)

    learner, twice = Counting(N, alpha=0.1, backend="c"), ft.TD(N, alpha=0.1, backend="c")
    for x in (X, X.tolist(), X.astype(float)[:0].astype(int)):
        assert learner.update(x, 1.0, NEXT) == twice.update(x, 2.0, NEXT)
    assert learner.calls == 3
    assert same(learner, twice) or learner.state_dict()["class"] == "Counting"


def test_what_is_set_counts_at_once():
    """Options between two calls: numbers, the policy, the generator."""
    learner, other = (ft.TD(N, alpha=0.1, backend="c") for _ in range(2))
    for name, value in (("gamma", 0.5), ("lambda_", 0.2), ("alpha", 0.01)):
        setattr(learner, name, value)
        setattr(other, name, value)
        assert learner.update(X, 1.0, NEXT) == other._any_update(X, 1.0, NEXT)
    assert same(learner, other)
    agent, other = (ft.QSigma(N, 3, alpha=0.1, seed=3, backend="c") for _ in range(2))
    agent.start(X), other._any_start(X)
    for name, value in (
        ("epsilon", 1.0), ("policy", "softmax"), ("temperature", 0.1), ("sigma", 0.0), ("epsilon", 0.0),
        ("policy", "epsilon"),
    ):  # fmt: skip
        setattr(agent, name, value)
        setattr(other, name, value)
        for _ in range(5):
            assert agent.step(1.0, NEXT) == other._any_step(1.0, NEXT)
    agent.generator, other.generator = np.random.default_rng(77), np.random.default_rng(77)
    agent.epsilon = other.epsilon = 1.0
    assert [agent.step(1.0, X) for _ in range(20)] == [other._any_step(1.0, X) for _ in range(20)]
    assert same(agent, other)


@pytest.mark.parametrize("learner", ["sarsa_dutch", "swift_sarsa", "true_online_sarsa"])
def test_an_agent_in_the_midst_of_an_episode(learner):
    """Quick steps and others in any order, copies, pickles and another backend between them."""
    algorithm = EVERY[learner]
    s = example(algorithm)
    one, other = (algorithm.make(s, "c", seed=4) for _ in range(2))
    one.start(X), other._any_start(X)
    changes = (
        copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each)),
        lambda each: each.to("numba").to("c"), lambda each: each,
    )  # fmt: skip
    for t in range(25):
        one = changes[t % 5](one)
        step = one.step if t % 3 else one._any_step
        x = (X, NEXT, (X, np.array([0.5, 1.5, 1.0])))[t % 3]
        assert step(1.0, x) == other._any_step(1.0, x)
        assert same(one, other)
    with pytest.raises(RuntimeError, match="before start"):
        one.end(0.0), one.end(0.0)


def test_two_agents_draw_from_one_generator():
    """In turn, as if NumPy drew; an agent waits for a thread that is at it."""
    rng, alone = np.random.default_rng(6), np.random.default_rng(6)
    agents = [ft.Sarsa(N, 5, alpha=0.1, epsilon=1.0, seed=rng, backend="c") for _ in range(2)]
    got = [agents[t % 2].start(X) for t in range(10)]
    assert got == [int(alone.random() * 5) for _ in range(10)]
    inside, over = threading.Event(), threading.Event()

    def hold():
        with rng.bit_generator.lock:
            inside.set()
            over.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(60)
    done = []
    other = threading.Thread(target=lambda: done.append(agents[0].start(X)))
    other.start()
    other.join(0.05)
    assert done == []
    over.set()
    other.join(60), thread.join(60)
    assert done == [int(alone.random() * 5)]


def test_a_learner_that_learns_in_a_thread_is_in_use():
    """The GIL is released for streams that are not brief: a call meanwhile is refused, and does no harm."""
    learner = ft.TD(64, alpha=1e-3, lambda_=0.0, backend="c")
    x = np.zeros((20_001, 8), np.int32)
    taken, refused = [], []

    def learn():
        for _ in range(20):
            try:
                taken.append(len(learner.learn(x, np.zeros(20_000))))
            except RuntimeError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=learn) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(taken) + len(refused) == 60
    assert taken
    assert all("in use by another thread" in each for each in refused)
    learner.update(X, 1.0, NEXT)


@pytest.fixture
def impatient():
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def fight(call, threads=3, calls=200):
    """How many of the calls that threads make at once were taken; the others were refused."""
    barrier, taken, refused = threading.Barrier(threads), [], []

    def work():
        barrier.wait(60)
        for _ in range(calls):
            try:
                call()
            except RuntimeError as error:
                refused.append(str(error))
            else:
                taken.append(1)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for each in workers:
        each.start()
    for each in workers:
        each.join(120)
    assert len(taken) + len(refused) == threads * calls
    assert all("in use by another thread" in each for each in refused)
    return len(taken)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("hidden", [(8, 8), (128, 128)], ids=["brief", "GIL released"])
@pytest.mark.parametrize("name", ["StreamQ", "StreamTD"])
def test_threads_that_fight_for_a_network(name, hidden):
    """A step asks Python for what it begins with, and a long one lets others run: it is whole."""
    sizes = (3, 2) if name == "StreamQ" else (3,)
    one, alone = (getattr(neural, name)(*sizes, hidden=hidden, seed=2, backend="c") for _ in range(2))
    s = np.array([0.1, -0.2, 0.3])
    if name == "StreamQ":
        one.start(s), alone.start(s)
    go = (lambda each: each.step(1.0, s)) if name == "StreamQ" else (lambda each: each.update(s, 1.0, s))
    taken = fight(lambda: go(one))
    assert taken > 0
    for _ in range(taken):
        go(alone)
    assert same(one, alone)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", ["SwiftSarsa", "SwiftTD"])
def test_threads_that_fight_for_a_list(name):
    """The state arrived in is told to what Python has of the learner."""
    one, alone = (
        getattr(ft, name)(*(N, 2)[: 1 + ("Sarsa" in name)], alpha=0.1, backend="c") for _ in range(2)
    )
    if name == "SwiftSarsa":
        one.start(X), alone.start(X)
    go = (lambda each: each.step(1.0, X)) if name == "SwiftSarsa" else (lambda each: each.update(X, 1.0, X))
    taken = fight(lambda: go(one))
    if name == "SwiftTD":
        for _ in range(taken):
            go(alone)
        assert same(one, alone)
    assert taken > 0
    assert len(one._trace.arrival()) == len(X)


def test_an_option_set_while_another_thread_learns():
    """Of two vectors it makes what calls work with anew; what is at work is not taken away."""
    learner = ft.GTD(64, alpha=1e-3, beta=0.1, lambda_=0.5, backend="c")
    x = np.random.default_rng(0).integers(0, 64, (20_001, 8))
    over = threading.Event()

    def learn():
        for _ in range(10):
            learner.learn(x, np.zeros(20_000))
        over.set()

    thread = threading.Thread(target=learn)
    thread.start()
    while not over.is_set():
        learner.beta = 0.1
    thread.join(60)
    assert np.isfinite(learner.update(X, 1.0, NEXT))


@pytest.mark.parametrize("made", ["TD", "SwiftTD", "Sarsa", "SwiftSarsa", "TileCoder"])
def test_nothing_is_kept_alive(made):
    """A learner that nobody has goes, and its arrays with it."""
    if made == "TileCoder":
        learner = ft.TileCoder((0.0,), (1.0,), 4, 2, backend="c")
        learner([0.5])
        gone = weakref.ref(learner)
    else:
        sizes = (N, 2) if made.endswith("arsa") else (N,)
        learner = getattr(ft, made)(*sizes, alpha=0.1, backend="c")
        learner.update(X, 1.0, NEXT) if len(sizes) == 1 else (learner.start(X), learner.step(1.0, NEXT))
        gone = weakref.ref(learner._trace)
    del learner
    gc.collect()
    assert gone() is None


def test_every_network_is_looked_at():
    """Learners with networks that have quick methods are among those above."""
    quickly = {
        name
        for name in {each.partition(",")[0] for each in NETWORKS}
        if any(each.startswith("_any_") for cls in getattr(neural, name).__mro__ for each in vars(cls))
    }
    assert {"StreamTD", "StreamQ", "StreamSarsa", "StreamAC", "NetworkTD"} <= quickly


WITHOUT = """
import sys
sys.modules["fasttrace._call"] = None
import pickle
import numpy as np
import fasttrace as ft
from fasttrace import quick

assert quick.native is None and "ModuleNotFoundError" in quick.missing
learner, agent = pickle.loads(bytes.fromhex(sys.stdin.read()))
for x in ([0, 3], np.array([0, 3]), np.array([0, 3], np.int32)):
    learner.update(x, 1.0, x)
    agent.step(1.0, x)
try:
    learner.gama = 0.5
except AttributeError as error:
    learner.gamma = 0.99
assert learner.gamma == 0.99 and not hasattr(learner, "gama")
print(pickle.dumps([learner, agent]).hex())
"""


def test_without_the_module_all_is_the_same():
    """Learners go on, come and go by pickle, and are the same to the bit."""
    learner, agent = ft.TD(N, alpha=0.1, backend="c"), ft.Sarsa(N, 2, alpha=0.1, seed=0, backend="c")
    learner.update(X, 1.0, NEXT)
    agent.start(X)
    given = pickle.dumps([learner, agent]).hex()
    ran = subprocess.run([sys.executable, "-c", WITHOUT], input=given, text=True, capture_output=True)
    assert ran.returncode == 0, ran.stderr
    for _ in range(3):
        learner.update([0, 3], 1.0, [0, 3])
        agent.step(1.0, [0, 3])
    back = pickle.loads(bytes.fromhex(ran.stdout))
    assert same(back[0], learner)
    assert same(back[1], agent)
    assert agent.step(1.0, X) == back[1].step(1.0, X)
