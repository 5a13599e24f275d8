"""What every learner must hold: for those who add one, derive one, or wrap one.

    check_learner(make)     all of it; AssertionError says what does not hold
    checks_of(make)         the same one by one, each with its name, for pytest.mark.parametrize

`make(backend)` builds a learner that has learned nothing: equal ones for equal backends.
"""

from __future__ import annotations

import copy
import inspect
import io
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from .backends import NAMES, why_missing
from .learner import load

__all__ = ["check_learner", "checks_of"]

T = 40
ENDS = 17  # the transition, from 0, that ends an episode whatever else is drawn
CUTS = ((1,), (ENDS,), (ENDS + 1,), (0, 0, 5, 39), tuple(range(1, T)))


def check_learner(make: Callable[[str], Any], backend: str | None = None) -> None:
    """Check a learner in every backend that is there, or in the one named.

    A learner has `learn`, `reset`, `to`, `state_dict` and `load_state_dict`, and can be copied and pickled;
    what it takes is read from the signature of `learn`.  Binary features are given as indices, states of
    networks as arrays.

    Errors: AssertionError for what does not hold; what the learner itself raises where it should not.
    """
    for name, check in checks_of(make, backend):
        try:
            check()
        except AssertionError as error:
            error.add_note(f"{name} does not hold")
            raise


def checks_of(
    make: Callable[[str], Any], backend: str | None = None
) -> Iterator[tuple[str, Callable[[], None]]]:
    """(name, check) of everything that check_learner checks."""
    there = [name for name in NAMES if why_missing(name) is None]
    for name in there if backend is None else [backend]:
        for check in EACH:
            yield f"{check.__name__} ({name})", partial(check, partial(make, name))
    if backend is None:
        for name in there[1:]:
            yield f"backends_agree ({there[0]}, {name})", partial(backends_agree, make, there[0], name)


# ---- experience: what a learner's signature asks for ----


class Experience:
    """T transitions that this learner can take, episodes among them; `first` and `named` as for `learn`."""

    def __init__(self, learner: Any) -> None:
        rng = np.random.default_rng(8)
        taken = _taken(type(learner))
        self.inputs = next(name for name in taken if name in ("x", "states"))
        self.first = [(_features if self.inputs == "x" else _states)(learner, rng)]
        n_actions = getattr(learner, "n_actions", None) or 1
        if getattr(learner, "n_moves", None):
            self.first.append(rng.normal(size=(T + 1, learner.n_moves)))
        elif "actions" in taken:
            self.first.append(rng.integers(0, n_actions, T + 1))
        m = 1 if "actions" in taken else getattr(learner, "n_outputs", 1)
        self.rewards = rng.normal(size=(T, m) if m > 1 else T)
        # Ratios of two policies, of which the one learned about is not deterministic.
        pi, behaviour = rng.uniform(0.1, 0.9, T), rng.uniform(0.3, 1.0, T)
        policy = rng.uniform(0.1, 1.0, (T + 1, n_actions))
        series = {
            "gammas": np.where(rng.random(T) < 0.1, 0.0, rng.uniform(0.5, 1.0, T)),
            "lambdas": np.where(rng.random(T) < 0.1, 0.0, rng.uniform(0.3, 1.0, T)),
            "rhos": pi / behaviour,
            "pi": pi,
            "interests": rng.uniform(0.0, 1.5, T),
            "sigmas": rng.random(T),
            "target_policy": policy / policy.sum(axis=1, keepdims=True),
        }
        series["gammas"][ENDS] = 0.0
        if getattr(learner, "lambda_", 0.0) is None:  # GTD2 without a trace
            taken -= {"lambdas"}
        self.named = {name: array for name, array in series.items() if name in taken}

    def learn(self, learner: Any, start: int = 0, stop: int = T, **changed: Any) -> Any:
        """Transitions start to stop - 1.  Returns the TD errors."""
        named = {name: array[start : stop + (len(array) > T)] for name, array in self.named.items()}
        first = [array[start : stop + 1] for array in self.first]
        first[0] = changed.pop(self.inputs, first[0])
        rewards = changed.pop("rewards", self.rewards[start:stop])
        return learner.learn(*first, rewards, **(named | changed))

    def update(self, learner: Any, t: int) -> Any:
        """Transition t by itself."""
        one = {"gammas": "gamma", "lambdas": "lambda_", "rhos": "rho", "pi": "pi", "interests": "interest"}
        named = {one[name]: array[t] for name, array in self.named.items()}
        x = self.first[0]
        return learner.update(x[t], self.rewards[t], x[t + 1], **named)


def _taken(cls: type) -> set[str]:
    """The names of what `learn` takes, where one hands on *arguments and **options those of the base too."""
    names: set[str] = set()
    for learn in (vars(each)["learn"] for each in cls.__mro__ if "learn" in vars(each)):
        parameters = inspect.signature(learn).parameters
        names |= set(parameters)
        if not any(each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) for each in parameters.values()):
            break
    return names


def _features(learner: Any, rng: np.random.Generator) -> Any:
    """Indices (T + 1, k), or (T + 1, A, k) of state-action pairs: distinct, k fewer than there are."""
    n, k = learner.n_features, max(1, min(4, learner.n_features - 1))
    lead = (T + 1, learner.n_actions) if getattr(learner, "state_action", False) else (T + 1,)
    rows = [rng.choice(n, k, replace=False) for _ in range(int(np.prod(lead)))]
    return np.array(rows, np.int32).reshape(*lead, k)


def _states(learner: Any, rng: np.random.Generator) -> Any:
    return rng.normal(size=(T + 1, learner.n_features))


# ---- being the same ----


def _plain(part: Any) -> Any:
    """A part of a state as what == compares to the bit."""
    if isinstance(part, dict):
        return {name: _plain(value) for name, value in part.items()}
    if isinstance(part, np.ndarray):
        return part.dtype.str, part.shape, part.tobytes()
    return part


def _state(learner: Any) -> Any:
    return _plain(learner.state_dict())


def _values(learner: Any) -> Any:
    """What it has learned."""
    return np.array(learner.weights if hasattr(learner, "weights") else learner.params)


def _assert_equal(got: Any, want: Any, what: str) -> None:
    assert np.array_equal(got, want, equal_nan=True), f"{what}: got {got}, expected {want}"


def _assert_same(one: Any, other: Any, what: str) -> None:
    a, b = one.state_dict(), other.state_dict()
    parts = {**a, **a["arrays"]}, {**b, **b["arrays"]}
    differ = [name for name in parts[0] if _plain(parts[0][name]) != _plain(parts[1].get(name))]
    assert not differ, f"{what}: two learners that should be the same differ in {differ}"


def _taught(make: Callable[[], Any], stop: int = ENDS + 3) -> tuple[Any, Experience]:
    learner = make()
    experience = Experience(learner)
    experience.learn(learner, 0, stop)
    return learner, experience


# ---- what must hold, in one backend ----


def split_is_whole(make: Callable[[], Any]) -> None:
    """learn, split anywhere and often, leaves every bit of the learner as one call does."""
    whole, experience = _taught(make, 0)
    deltas = experience.learn(whole)
    for cuts in CUTS:
        pieces, edges = make(), (0, *cuts, T)
        parts = [experience.learn(pieces, start, stop) for start, stop in pairwise(edges)]
        if deltas is not None:
            _assert_equal(np.concatenate(parts), deltas, f"TD errors of learn, split at {cuts}")
        _assert_same(pieces, whole, f"learn, split at {cuts}")


def updates_are_learn(make: Callable[[], Any]) -> None:
    """One transition at a time, where the learner takes them so, is learn."""
    whole, experience = _taught(make, 0)
    if hasattr(whole, "update"):
        deltas = experience.learn(whole)
        steps = make()
        each = [experience.update(steps, t) for t in range(T)]
        if deltas is not None:
            _assert_equal(np.array(each), deltas, "TD errors of update")
        _assert_same(steps, whole, "update")


def no_transition_changes_nothing(make: Callable[[], Any]) -> None:
    """A stream of one row leaves the learner as it is."""
    learner, experience = _taught(make)
    before = _state(learner)
    deltas = experience.learn(learner, 20, 20)
    assert deltas is None or len(deltas) == 0, f"learn of no transition: got {deltas}"
    assert _state(learner) == before, "learn of no transition changed the learner"


def copies_go_on(make: Callable[[], Any]) -> None:
    """A copy, however it came, learns what the learner would have, to the bit, and leaves that alone."""
    for name, way in WAYS.items():
        learner, experience = _taught(make)
        before = _state(learner)
        other = way(learner, make)
        _assert_same(other, learner, name)
        deltas = experience.learn(other, ENDS + 3)
        assert _state(learner) == before, f"{name}: what the copy learned changed the learner"
        want = experience.learn(learner, ENDS + 3)
        if want is not None:
            _assert_equal(deltas, want, f"{name}: TD errors of the copy")
        _assert_same(other, learner, f"{name}, then learn")


def _by_buffers(learner: Any, make: Callable[[], Any]) -> Any:
    """As it reaches a worker process: by buffers that cannot be written to."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(learner, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[each.raw().tobytes() for each in buffers])


def _by_state(learner: Any, make: Callable[[], Any]) -> Any:
    other = make()
    other.load_state_dict(learner.state_dict())
    return other


def _by_file(learner: Any, make: Callable[[], Any]) -> Any:
    if not hasattr(learner, "save"):
        return _by_state(learner, make)
    file = io.BytesIO()
    learner.save(file)
    file.seek(0)
    return load(file)


WAYS: dict[str, Callable[[Any, Callable[[], Any]], Any]] = {
    "copy.copy": lambda learner, make: copy.copy(learner),
    "copy.deepcopy": lambda learner, make: copy.deepcopy(learner),
    "pickle": lambda learner, make: pickle.loads(pickle.dumps(learner)),
    "pickle with buffers": _by_buffers,
    "state_dict": _by_state,
    "save": _by_file,
}


def a_state_is_of_its_moment(make: Callable[[], Any]) -> None:
    """What state_dict gave does not change with the learner, and takes it back."""
    learner, experience = _taught(make)
    state = learner.state_dict()
    before = _plain(state)
    experience.learn(learner, ENDS + 3)
    assert _plain(state) == before, "a state dict changed with its learner"
    learner.load_state_dict(state)
    assert _state(learner) == before, "load_state_dict did not take the learner back"


def a_termination_is_a_reset(make: Callable[[], Any]) -> None:
    """After a discount of 0 a learner goes on as one that was reset there, but for rounding."""
    ended, experience = _taught(make, ENDS + 1)
    again, _ = _taught(make, ENDS + 1)
    again.reset()
    _assert_near(_values(again), _values(ended), 1e-12, "what was learned, after reset()")
    if getattr(ended, "normalise", False) or getattr(ended, "scale_rewards", False):
        return  # their statistics count the state that begins the rest twice
    for learner in (ended, again):
        experience.learn(learner, ENDS + 1)
    _assert_near(_values(again), _values(ended), 1e-9, "what is learned after a termination and a reset()")


def bad_input_changes_nothing(make: Callable[[], Any]) -> None:
    """Each wrong argument is named, and the learner is as it was."""
    learner, experience = _taught(make)
    before = _state(learner)
    for name, changed, errors in _wrong(learner, experience):
        try:
            experience.learn(learner, ENDS + 3, **changed)
        except errors as error:
            if name not in str(error):
                raise AssertionError(f"{name} was wrong, and the message does not name it") from error
        else:
            raise AssertionError(f"{changed} was taken without an error")
        assert _state(learner) == before, f"{name} was refused, and the learner has changed"


def _wrong(learner: Any, experience: Experience) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """(what the message names, arguments of `learn`, what is raised)."""
    rewards = experience.rewards[ENDS + 3 :]
    yield "rewards", {"rewards": rewards[:-1]}, ValueError
    unreal = rewards.copy()
    unreal[-1] = np.nan
    yield "rewards", {"rewards": unreal}, ValueError
    for name in ("gammas", "lambdas", "pi", "rhos", "interests"):
        if name in experience.named:
            wrong = experience.named[name][ENDS + 3 :].copy()
            wrong[-1] = -0.1 if name in ("rhos", "interests") else 1.1
            yield name, {name: wrong}, ValueError
            yield name, {name: wrong[:-1]}, ValueError
    x = experience.first[0][ENDS + 3 :].copy()
    x[-1] = learner.n_features if experience.inputs == "x" else np.inf
    name = "index" if experience.inputs == "x" else "states"
    yield name, {experience.inputs: x}, (IndexError, ValueError)


# ---- between backends ----


def _assert_near(got: Any, want: Any, tolerance: float, what: str) -> None:
    tolerance = max(tolerance, 1e-3 if got.dtype == np.float32 else 0.0)
    error = np.max(np.abs(got - want), initial=0.0) / max(1.0, np.max(np.abs(want), initial=0.0))
    assert error <= tolerance, f"{what}: {error:.1e} apart, relative to the largest"


def backends_agree(make: Callable[[str], Any], one: str, other: str) -> None:
    """The same stream leaves the same values, but for rounding; a learner that moves goes on."""
    first, second, moved = make(one), make(other), make(one)
    experience = Experience(first)
    for learner in (first, second):
        experience.learn(learner)
    experience.learn(moved, 0, ENDS + 3)
    experience.learn(moved.to(other), ENDS + 3)
    assert moved.backend == other, f"to({other!r}): the backend is {moved.backend!r}"
    _assert_near(_values(second), _values(first), 1e-9, f"what {one} and {other} learn")
    _assert_near(_values(moved), _values(first), 1e-9, f"what is learned in {one}, then in {other}")


EACH = (
    split_is_whole,
    updates_are_learn,
    no_transition_changes_nothing,
    copies_go_on,
    a_state_is_of_its_moment,
    a_termination_is_a_reset,
    bad_input_changes_nothing,
)
