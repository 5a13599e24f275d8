"""What fasttrace.checks asks of a learner holds for all that are here, and it finds the faults of others."""

from types import SimpleNamespace

import numpy as np
import pytest
from neural_learners import LEARNERS
from streams import EVERY

import fasttrace as ft
from fasttrace.backends import NAMES
from fasttrace.checks import check_learner, checks_of

N, ACTIONS = 12, 3


def maker(algorithm):
    """A learner as the registry has it, without weights of its own."""
    zeros = np.zeros((N, ACTIONS) if algorithm.control else N)
    s = SimpleNamespace(n=N, n_actions=ACTIONS, state_action=False, alpha=0.02, weights=zeros)
    seed = {"seed": 5} if algorithm.control else {}
    return lambda backend: algorithm.make(s, backend, **seed)


EVERYBODY = {name: maker(algorithm) for name, algorithm in EVERY.items()} | LEARNERS
EVERYBODY |= {
    "lstd": lambda backend: ft.LSTD(N, backend=backend),
    "lstd, inverse": lambda backend: ft.LSTD(N, solver="inverse", backend=backend),
    "td, bound": lambda backend: ft.TD(N, alpha=0.5, bound=True, backend=backend),
    "sarsa of pairs": lambda backend: ft.Sarsa(
        N, ACTIONS, alpha=0.02, state_action=True, seed=5, backend=backend
    ),
}


@pytest.mark.parametrize("name", EVERYBODY)
def test_every_learner_holds(name):
    """In each backend, and between them."""
    check_learner(EVERYBODY[name])


# ---- learners with a fault each, found by the check that is there for it ----


class Forgets(ft.TD):
    """Begins each call with an empty trace."""

    def learn(self, *arguments, **options):
        self.reset()
        return super().learn(*arguments, **options)


class Shares(ft.TD):
    """Copies have one array of weights."""

    def __copy__(self):
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other


class Leaks(ft.TD):
    """Loses its trace on the way through a state."""

    def load_state_dict(self, state):
        super().load_state_dict(state)
        self.reset()


class Learns(ft.TD):
    """Learns what comes before a fault is found."""

    def learn(self, x, rewards, **options):
        for t, reward in enumerate(rewards[:5]):
            self.update(x[t], float(reward), x[t + 1])
        return super().learn(x, rewards, **options)


class Believes(ft.TD):
    """Takes lambdas that are none."""

    def learn(self, x, rewards, *, gammas=None, lambdas=None, rhos=None, alpha=None):
        lambdas = np.clip(lambdas, 0.0, 1.0)
        return super().learn(x, rewards, gammas=gammas, lambdas=lambdas, rhos=rhos, alpha=alpha)


class Steps(ft.TD):
    """Updates with another step size."""

    def update(self, *arguments, **numbers):
        return super().update(*arguments, **numbers, alpha=2 * self.alpha)


class Moves(ft.TD):
    """Loses its trace on the way to another backend."""

    def to(self, backend):
        self.reset()
        return super().to(backend)


FAULTS = {
    Forgets: "split_is_whole",
    Steps: "updates_are_learn",
    Shares: "copies_go_on",
    Leaks: "copies_go_on",
    Learns: "split_is_whole",
    Believes: "bad_input_changes_nothing",
    Moves: "backends_agree",
}


@pytest.mark.parametrize("cls", FAULTS, ids=lambda cls: cls.__name__)
def test_a_fault_is_found(cls):
    """By the check that its name says, and the error says which."""
    with pytest.raises(AssertionError) as found:
        check_learner(lambda backend: cls(N, alpha=0.02, backend=backend))
    assert FAULTS[cls] in found.value.__notes__[-1]


def test_one_by_one():
    """As pytest.mark.parametrize takes them: a name each, of the backend named or of all."""
    names = [name for name, _ in checks_of(EVERYBODY["td_dutch"], "numpy")]
    assert len(names) == len(set(names)) > 5
    assert all(name.endswith("(numpy)") for name in names)
    there = [name for name in NAMES if ft.backends()[name] is None]
    every = [name for name, _ in checks_of(EVERYBODY["td_dutch"])]
    assert len(every) == len(names) * len(there) + len(there) - 1
