"""Learners through calls at random: learning, acting, options, errors, copies, checkpoints, other backends.

After each call the compiled backends agree to the bit, and the reference with them but for rounding.
`python tests/machine.py [sequences] [seed]` goes through so many, by default 10 000; test_machine.py through
a few, without Numba.
"""

import copy
import io
import pickle
import sys
import time

import numpy as np
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from test_checks import EVERYBODY

import fasttrace as ft
from fasttrace.checks import Experience, T, _by_buffers, _by_state, _values, _wrong
from fasttrace.neural import ForwardTD

TOLERANCE = 1e-8  # of what is learned in thousands of steps, relative to the largest
LARGE = 1e6  # here what diverges begins anew: two that round apart go apart as fast
REFERENCE = "numpy"


def by_file(learner, make):
    if not hasattr(learner, "save"):
        return _by_state(learner, make)
    file = io.BytesIO()
    learner.save(file)
    file.seek(0)
    return ft.load(file)


def there_and_back(learner, make):
    """Through another backend: its numbers are rounded there, those of both compiled ones alike."""
    home = learner.backend
    return learner.to(REFERENCE if home != REFERENCE else "c").to(home)


WAYS = {
    "copy": lambda learner, make: copy.copy(learner),
    "deepcopy": lambda learner, make: copy.deepcopy(learner),
    "pickle": lambda learner, make: pickle.loads(pickle.dumps(learner)),
    "buffers": _by_buffers,
    "state_dict": _by_state,
    "file": by_file,
    "there and back": there_and_back,
}
OPTIONS = {
    "gamma": st.sampled_from([0.0, 0.5, 0.9, 1.0, 1.5]),
    "lambda_": st.sampled_from([0.0, 0.3, 0.95, 1.0, -1.0]),
    "alpha": st.sampled_from([0.001, 0.01, 0.02, 0.0]),
}


def plain(value):
    """As == compares it to the bit, but for a NaN's sign."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if name != "backend"}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (float, np.ndarray, np.generic)):
        array = np.array(value)
        if array.dtype.kind == "f":
            array = np.where(np.isnan(array), np.nan, array)
        return array.dtype.str, array.shape, array.tobytes()
    return value


def near(got, want):
    """Whether two outcomes are one, but for rounding."""
    if isinstance(want, (list, tuple)):
        return len(got) == len(want) and all(near(*each) for each in zip(got, want, strict=True))
    if isinstance(want, (float, np.floating, np.ndarray)):
        got, want = np.asarray(got), np.asarray(want)
        if got.shape != want.shape:
            return False
        largest = np.max(np.abs(want), initial=1.0, where=np.isfinite(want))
        return np.allclose(got, want, rtol=0.0, atol=TOLERANCE * largest, equal_nan=True)
    return got == want


class Machine(RuleBasedStateMachine):
    backends = tuple(name for name in ("numba", "c") if ft.backends()[name] is None)

    @initialize(data=st.data())
    def begin(self, data):
        self.make = EVERYBODY[data.draw(st.sampled_from(sorted(EVERYBODY)))]
        self.learners = [self.make(backend) for backend in (REFERENCE, *self.backends)]
        self.experience, self.at = Experience(self.learners[0]), None

    def each(self, call):
        """The same call of all.  What comes of it, errors too, is one, and so are the learners then."""
        outcomes = []
        for learner in self.learners:
            try:
                outcomes.append(call(learner))
            except (
                ArithmeticError,
                AttributeError,
                LookupError,
                RuntimeError,
                TypeError,
                ValueError,
            ) as error:
                outcomes.append((type(error).__name__, str(error)))
        reference, *compiled = self.learners
        if np.max(np.abs(_values(reference)), initial=0.0) > LARGE:
            self.learners = [self.make(learner.backend) for learner in self.learners]
            return outcomes[0]
        for learner, outcome in zip(compiled, outcomes[1:], strict=True):
            assert near(outcome, outcomes[0]), (learner.backend, outcome, outcomes[0])
            assert near(_values(learner), _values(reference)), (_values(learner), _values(reference))
            assert learner.state_dict().keys() == reference.state_dict().keys()
            assert plain(learner.state_dict()["options"]) == plain(reference.state_dict()["options"])
        for learner, outcome in zip(compiled[1:], outcomes[2:], strict=True):
            assert plain(outcome) == plain(outcomes[1])
            assert plain(learner.state_dict()) == plain(compiled[0].state_dict())
        return outcomes[0]

    def go_on(self, start, stop):
        """What waits for its return goes on from the state it is in, or ends there."""
        if isinstance(self.learners[0], ForwardTD) and self.at not in (None, start):
            self.reset()
        self.at = stop

    @rule(start=st.integers(0, T), length=st.integers(0, T))
    def learn(self, start, length):
        stop = min(T, start + length)
        self.go_on(start, stop)
        self.each(lambda learner: self.experience.learn(learner, start, stop))

    @precondition(lambda self: hasattr(self.learners[0], "update"))
    @rule(t=st.integers(0, T - 1))
    def update(self, t):
        self.go_on(t, t + 1)
        self.each(lambda learner: self.experience.update(learner, t))

    @rule(start=st.integers(0, T))
    def predict(self, start):
        read = next(name for name in ("predict", "q", "values") if hasattr(self.learners[0], name))
        self.each(lambda learner: getattr(learner, read)(self.experience.first[0][start:]))

    @rule()
    def reset(self):
        self.at = None
        self.each(lambda learner: learner.reset())

    @rule(which=st.integers(0, 20))
    def refused(self, which):
        """Of what is wrong one thing: each backend says the same, and has not changed."""
        wrong = list(_wrong(self.learners[0], self.experience))
        name, changed, _ = wrong[which % len(wrong)]
        before = [plain(learner.state_dict()) for learner in self.learners]
        _, message = self.each(lambda learner: self.experience.learn(learner, T - 20, **changed))
        assert name in message
        assert [plain(learner.state_dict()) for learner in self.learners] == before

    @rule(way=st.sampled_from(sorted(WAYS)), old=st.booleans())
    def copied(self, way, old):
        """Go on with the copies; they have nothing in common with the old ones, which may learn meanwhile."""
        others = []
        for learner in self.learners:
            other = WAYS[way](learner, lambda learner=learner: self.make(learner.backend))
            if other is not learner:
                assert plain(other.state_dict()) == plain(learner.state_dict()), way
                if old:
                    learner.reset()
                    self.experience.learn(learner, 3, 9)
            others.append(other)
        self.learners = others
        self.each(lambda learner: None)

    @rule(data=st.data(), name=st.sampled_from(sorted(OPTIONS)))
    def option(self, data, name):
        value = data.draw(OPTIONS[name])
        self.each(lambda learner: setattr(learner, name, value) if hasattr(learner, name) else None)

    @precondition(lambda self: hasattr(self.learners[0], "start"))
    @rule(verb=st.sampled_from(["start", "step", "step", "step", "end", "truncate"]), t=st.integers(0, T - 1))
    def act(self, verb, t):
        x, reward = self.experience.first[0][t], float(self.experience.rewards[t])
        given = {"start": (x,), "step": (reward, x), "end": (reward,), "truncate": (reward, x)}[verb]
        self.each(lambda learner: getattr(learner, verb)(*given))


def go(sequences, number, machine=Machine, **more):
    options = {
        "max_examples": sequences,
        "stateful_step_count": 20,
        "deadline": None,
        "database": None,
        "phases": (Phase.generate, Phase.shrink),
        "suppress_health_check": list(HealthCheck),
    }
    machine = seed(number)(type("Seeded", (machine,), {}))
    run_state_machine_as_test(machine, settings=settings(**options | more))


if __name__ == "__main__":
    sequences = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    number = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 2**32
    print(f"seed {number}", flush=True)
    go(sequences, number)
    print(f"{sequences} sequences, no difference")
