"""Streams to learn from: the golden ones, and random ones in every form that features can take."""

import inspect
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

import fasttrace as ft
from fasttrace import registry
from fasttrace.layout import KINDS, TARGETS

GOLDEN = Path(__file__).parent / "golden"
FORMS = ("indices", "pair", "ragged", "ragged_pair", "dense")
INDEX_FORMS = ("indices", "ragged")


def _backend(name):
    reason = ft.backends()[name]
    return pytest.param(name, marks=pytest.mark.skipif(reason is not None, reason=str(reason)))


BACKENDS = [_backend(name) for name in ("numpy", "numba", "c")]
COMPILED = [_backend(name) for name in ("numba", "c")]


# ---- learners ----


@dataclass(frozen=True)
class Algorithm:
    """A learner of the registry with one kind of trace; `name` is the golden key."""

    name: str
    options: dict
    row: registry.StepLearner
    kind: str | None

    learner = property(lambda self: self.row.learner)
    control = property(lambda self: self.row.control)
    takes = property(lambda self: self.row.takes)
    kernel = property(lambda self: self.row.kernel)
    stem = property(lambda self: self.row.stem)
    tolerance = property(lambda self: self.row.tolerance)
    target = property(lambda self: TARGETS[self.row.target])
    traits = property(lambda self: KINDS[self.kind or self.row.kind])

    @property
    def replacing(self):
        return self.traits.replaces

    @property
    def folded(self):
        """Whether the step size is inside the trace."""
        return self.traits.folded

    @property
    def actor(self):
        """Whether it has a policy of its own beside the values: actor_weights."""
        return self.stem == "actor_critic"

    @property
    def pairs(self):
        """Whether it takes features of state-action pairs."""
        return self.control and not self.actor

    @property
    def forms(self):
        return INDEX_FORMS if self.replacing else FORMS

    def __str__(self):
        return self.name

    def make(self, s, backend, **more):
        """A new learner for stream s, with its weights and without a trace."""
        sizes = (s.n, s.n_actions) if self.control else (s.n,)
        if s.state_action:
            more["state_action"] = True
        step = 1.0 if np.ndim(s.alpha) else s.alpha  # an array is given to learn
        learner = getattr(ft, self.learner)(*sizes, alpha=step, backend=backend, **self.options, **more)
        if self.actor:
            learner.weights, learner.actor_weights = s.weights[:, 0], s.weights
        else:
            learner.weights = s.weights
        return learner


def _algorithms():
    for row in registry.STEP_LEARNERS:
        for kind in row.kinds or (None,):
            clear = kind == "replacing_clear"
            options = {"trace": "replacing" if clear else kind} if kind else {}
            if clear:
                options["clear_others"] = True
            name = f"{row.kernel}_{kind}" if kind else row.kernel
            parameters = inspect.signature(getattr(ft, row.learner)).parameters.values()
            needed = [each.name for each in parameters if each.default is each.empty]
            if "beta" in needed or row.kernel == "tdrc":
                options["beta"] = 0.03
            if "alpha_actor" in needed:
                options["alpha_actor"] = 0.05
            options |= dict(row.options)
            yield Algorithm(name, options, row, kind)


EVERY = {each.name: each for each in _algorithms()}
# Step sizes that learn have memories that outlive an episode, and options of their own: test_adaptive.py.
ADAPTIVE = [each for each in EVERY.values() if each.stem == "adaptive"]
ALGORITHMS = {name: each for name, each in EVERY.items() if each.stem != "adaptive"}
PREDICTION = [each for each in ALGORITHMS.values() if not each.control]
AGENTS = [each for each in ALGORITHMS.values() if each.control]
CONTROL = [each for each in AGENTS if not each.actor]  # those with action values
ONE_VECTOR = [each for each in ALGORITHMS.values() if each.stem == "linear"]
WITH_TRACE = [each for each in ALGORITHMS.values() if "lambdas" in each.takes]


def _distinct():
    """One algorithm for each thing that a learner's state may hold: arrays, numbers carried, options."""
    own = ("WatkinsQ", "TreeBackup", "QSigma", "ActorCritic")
    first = {}
    for each in ALGORITHMS.values():
        layout = each.kernel if each.stem == "gradient" or each.learner in own else each.folded
        clears = "clear_others" in each.options
        first.setdefault((each.stem, each.control, each.traits.emphatic, clears, layout), each)
    return list(first.values())


DISTINCT = _distinct()
# In a task of a single state the error of an average reward goes away, whatever the step size.
# TDRC takes no step size that makes its v grow by what should hold it.
DIVERGING = [each for each in WITH_TRACE if "average_reward" not in each.name and each.kernel != "tdrc"]


# ---- streams ----


@dataclass(frozen=True)
class Stream:
    """T transitions, the arrays of docs: rows[t] or rows[t][a] is (indices, values or None) of S_t."""

    n: int
    rows: list
    rewards: np.ndarray
    gammas: Any
    lambdas: Any
    alpha: Any
    weights: np.ndarray
    rhos: Any = None
    interests: Any = None
    policy: Any = None  # (T + 1, A) of the target policy; None is the learner's own
    sigmas: Any = None
    pi: Any = None  # (T,) of the action taken
    actions: Any = None
    n_actions: int = 1
    state_action: bool = False
    form: str = "indices"

    @property
    def T(self):  # noqa: N802 - the field's name, as everywhere
        return len(self.rewards)

    def x(self, start=0, stop=None):
        """The features of S_start, ..., S_stop in the stream's form."""
        stop = self.T if stop is None else stop
        return features(self.rows[start : stop + 1], self.n, self.form, self.state_action)

    def dense(self, t, a=None):
        """x of S_t, or of (S_t, a), added up: (n,)."""
        return dense_row(self.rows[t] if a is None else self.rows[t][a], self.n)

    def pairs(self):
        """x of each (S_t, A_t), (T+1, n), or (T+1, n A) where there is a weight for each action."""
        if self.state_action:
            return np.array([self.dense(t, a) for t, a in enumerate(self.actions)])
        x = np.zeros((self.T + 1, self.n, self.n_actions))
        actions = np.zeros(self.T + 1, int) if self.actions is None else self.actions
        for t, a in enumerate(actions):
            x[t, :, a] = self.dense(t)
        return x.reshape(self.T + 1, -1)

    def but(self, **changes):
        return replace(self, **changes)


def dense_row(row, n):
    return np.bincount(row[0], row[1], n).astype(float, copy=False)


def features(rows, n, form, state_action=False):
    """Rows as a user would give them."""
    flat = [row for actions in rows for row in actions] if state_action else rows
    lead = (len(rows), len(rows[0])) if state_action else (len(rows),)
    if form == "dense":
        return np.array([dense_row(row, n) for row in flat]).reshape(*lead, n)
    lengths = np.array([len(i) for i, _ in flat])
    indices = np.concatenate([i for i, _ in flat]).astype(np.int32)
    valued = form in ("pair", "ragged_pair")
    values = np.concatenate([np.ones(len(i)) if v is None else v for i, v in flat]) if valued else None
    if form.startswith("ragged"):
        return ft.Ragged(np.cumsum([0, *lengths]), indices, *([values] if valued else []))
    k = max(1, *lengths)
    k += k == n  # with a padding, rows of as many zeros and ones as there are features are indices still
    used = np.arange(k) < lengths[:, None]

    def padded(flat, padding):
        rows = np.full(used.shape, padding)
        rows[used] = flat
        return rows.reshape(*lead, k)

    indices = padded(indices, np.int32(-1))
    return (indices, padded(values, np.nan)) if valued else indices


def needed(learner, states):
    """What `learn` of this learner cannot do without, for a stream of so many states."""
    n_actions = getattr(learner, "n_actions", 1)
    usual = {
        "rhos": 1.0,
        "pi": 0.7,
        "sigmas": 0.5,
        "target_policy": np.full((states, n_actions), 1 / n_actions),
    }
    return {name: usual[name] for name in getattr(learner, "_required", ())}


def needed_once(learner):
    """The same of `update`, for learners of state values."""
    return {name.removesuffix("s"): value for name, value in needed(learner, 2).items()}


def chosen_by(agent, x):
    """The numbers that an agent chooses by, one an action."""
    return (agent.preferences if hasattr(agent, "preferences") else agent.q)(x)


def all_weights(learner):
    """Its weights, and beside them those of its actor if it has one."""
    return _beside(learner, "weights")


def all_traces(learner):
    return _beside(learner, "trace")


def _beside(learner, name):
    own = getattr(learner, name)
    return (
        np.column_stack([own, getattr(learner, f"actor_{name}")])
        if hasattr(learner, f"actor_{name}")
        else own
    )


@cache
def _parameters_of_learn(cls):
    """Read once for each class: inspect takes longer than most learners do."""
    return frozenset(inspect.signature(cls.learn).parameters)


def learn(learner, s, start=0, stop=None):
    """Let a learner take transitions start to stop - 1 of stream s.  Returns the deltas."""
    stop = s.T if stop is None else stop

    def part(values, spare=0):
        return values[start : stop + spare] if np.ndim(values) else values

    taken = _parameters_of_learn(type(learner))
    if getattr(learner, "lambda_", 0.0) is None:  # GTD2 without a trace
        taken = taken - {"lambdas"}
    options = {
        "gammas": part(s.gammas),
        "lambdas": part(s.lambdas),
        "alpha": part(s.alpha) if np.ndim(s.alpha) else None,
        "rhos": part(s.rhos),
        "interests": part(s.interests),
        "sigmas": part(s.sigmas),
        "pi": part(s.pi),
        "target_policy": part(s.policy, 1),
    }
    options = {name: value for name, value in options.items() if name in taken and value is not None}
    options = needed(learner, stop - start + 1) | options
    first = (s.x(start, stop),) if s.actions is None else (s.x(start, stop), s.actions[start : stop + 1])
    return learner.learn(*first, s.rewards[start:stop], **options)


# ---- random streams ----


def _with(rng, values, **special):
    """values, of which about one in eight is each of the special ones."""
    for value in special.values():
        values = np.where(rng.random(values.shape) < 0.12, value, values)
    return values


def _row(rng, n, k, valued, repeats):
    k = int(rng.integers(0, k + 1))
    indices = rng.integers(0, n, k) if repeats else rng.permutation(n)[:k]
    return indices.astype(np.int32), rng.normal(size=len(indices)) if valued else None


def _policy(rng, T, n_actions):
    """Probabilities (T, n_actions), of which some are 0."""
    pi = _with(rng, rng.random((T, n_actions)), zero=0.0)
    pi[:, 0] += 0.1
    return pi / pi.sum(axis=1, keepdims=True)


def random_stream(
    seed, *, T=60, n=16, k=4, form="indices", repeats=False, n_actions=0, state_action=False,
    off_policy=False, vary_alpha=False, restarts=True,
):  # fmt: skip
    """A stream of random rows, rewards, and discounts with exact zeros and ones among them.

    repeats     an index may stand twice in a row     n_actions   0: for prediction
    restarts    some gamma and lambda are 0
    off_policy  rhos in [0, 2.5], some of them 0, pi of the action taken, interests, sigmas, a target policy
    The step size keeps alpha rho |x|^2 <= 1, so that rounding is not amplified by divergence.
    """
    rng = np.random.default_rng(seed)
    valued = form in ("pair", "ragged_pair", "dense")

    def row():
        indices, values = _row(rng, n, k, valued, repeats)
        # The same features in another order would be a tie of two actions but for rounding.
        return (np.sort(indices) if state_action else indices), values

    rows = [[row() for _ in range(n_actions)] if state_action else row() for _ in range(T + 1)]
    flat = [r for actions in rows for r in actions] if state_action else rows
    largest = max(1.0, *(x @ x for x in (dense_row(r, n) for r in flat)))
    special = {"zero": 0.0, "one": 1.0} if restarts else {"one": 1.0}
    alpha = 0.4 / largest
    stream = Stream(
        n=n,
        rows=rows,
        rewards=rng.normal(size=T),
        gammas=_with(rng, rng.uniform(0.5, 1, T), **special),
        lambdas=_with(rng, rng.uniform(0.3, 1, T), **special),
        alpha=alpha * rng.uniform(0.2, 1, T) if vary_alpha else alpha,
        weights=rng.normal(size=(n, n_actions) if n_actions and not state_action else n),
        rhos=_with(rng, rng.uniform(0, 2.5, T), zero=0.0) if off_policy else None,
        interests=_with(rng, rng.uniform(0, 1.5, T), zero=0.0) if off_policy else None,
        policy=_policy(rng, T + 1, n_actions) if off_policy and n_actions else None,
        sigmas=_with(rng, rng.random(T), zero=0.0, one=1.0) if off_policy else None,
        actions=rng.integers(0, n_actions, T + 1) if n_actions else None,
        n_actions=max(n_actions, 1),
        state_action=state_action,
        form=form,
    )
    if not off_policy:
        return stream
    return stream.but(pi=np.minimum(1.0, stream.rhos) * rng.uniform(0.2, 1.0, T))


@st.composite
def streams(draw, algorithm, forms=FORMS):
    """Hypothesis draws the shape of a stream, and the seed of what it holds."""
    actions = draw(st.integers(1, 4)) if algorithm.control else 0
    return random_stream(
        draw(st.integers(0, 2**32 - 1)),
        T=draw(st.integers(0, 60)),
        n=draw(st.integers(1, 40)),
        k=draw(st.integers(0, 6)),
        form=draw(st.sampled_from([form for form in forms if form in algorithm.forms])),
        repeats=draw(st.booleans()),
        n_actions=actions,
        state_action=algorithm.pairs and draw(st.booleans()),
        off_policy=draw(st.booleans()),
        vary_alpha=draw(st.booleans()),
        restarts=draw(st.booleans()),
    )


# ---- golden streams ----


@lru_cache
def golden():
    with np.load(GOLDEN / "linear.npz") as file:
        return dict(file)


def golden_stream(case, *, off_policy=False):
    """The stream of a golden case, and its stored features as they are (see golden/README.md)."""
    data = {key.split("/")[2]: value for key, value in golden().items() if key.startswith(f"{case}/in/")}
    n = int(data["d"])
    control = "A" in data
    if "x" in data:
        rows = [(np.arange(n, dtype=np.int32), x) for x in data["x"]]
    elif control:
        rows = [[(i[i >= 0], None) for i in actions] for actions in data["idx"]]
    else:
        rows = [(i[i >= 0], None) for i in data["idx"]]
    return Stream(
        n=n,
        rows=rows,
        rewards=data["R"],
        gammas=np.where(data["terminal"], 0.0, data["gamma"][1:]),
        lambdas=data["lam"][1:],
        alpha=float(data["alpha"]),
        weights=data["w0"],
        rhos=data["rho"] if off_policy else None,
        interests=data.get("interest"),
        pi=0.7 * np.minimum(data["rho"][: len(data["R"])], 1.0) if off_policy else None,
        policy=data.get("pi"),
        sigmas=data["sigma"][:-1] if control else None,
        actions=data["A"] if control else None,
        n_actions=data["idx"].shape[1] if control else 1,
        state_action=control,
        form="dense" if "x" in data else "indices",
    )


def relative(got, want):
    """The golden measure of error: max |got - want| / max(max |want|, 1e-3)."""
    want = np.asarray(want)
    return np.max(np.abs(got - want), initial=0.0) / max(np.max(np.abs(want), initial=0.0), 1e-3)
