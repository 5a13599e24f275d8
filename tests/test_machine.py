"""A few sequences of machine.py; and that it finds what is wrong."""

import numpy as np
import pytest
from hypothesis import Phase
from machine import Machine, go
from test_checks import EVERYBODY, Leaks

import fasttrace as ft
from fasttrace.checks import Experience, _values

pytestmark = pytest.mark.skipif(ft.backends()["c"] is not None, reason="compares C with the reference")


class InC(Machine):
    backends = ("c",)  # Numba would compile what other tests do


def test_sequences_of_calls():
    """The same of each learner in C as in NumPy, whatever is called."""
    go(60, 1, InC)


@pytest.mark.parametrize("name", EVERYBODY)
def test_an_option_that_is_set_holds_for_the_next_call(name):
    """Half of each number among the options, set after a call: single calls in C go by it, too."""
    for option, value in EVERYBODY[name]("numpy")._options().items():
        if type(value) is not float or option not in EVERYBODY[name]("numpy")._can_be_set():
            continue
        values = []
        for backend in ("numpy", "c"):
            learner = EVERYBODY[name](backend)
            experience, x = Experience(learner), Experience(learner).first[0]
            experience.learn(learner, 0, 5)
            setattr(learner, option, value / 2)
            for t in range(5, 12):
                if hasattr(learner, "start"):
                    _ = learner.start(x[t]), learner.step(0.5, x[t + 1]), learner.end(1.0)
                elif hasattr(learner, "update"):
                    experience.update(learner, t)
            values.append(_values(learner))
        np.testing.assert_allclose(values[1], values[0], rtol=0.0, atol=1e-9, err_msg=option)


class Rounds(ft.TD):
    """Its step size is another one after a copy."""

    def __deepcopy__(self, memo):
        other = super().__deepcopy__(memo)
        other.alpha = np.nextafter(self.alpha, 1.0)
        return other


@pytest.mark.parametrize("faulty", [Leaks, Rounds])
def test_a_fault_is_found(faulty, monkeypatch):
    """Of a learner that loses its trace on the way through a state, and of one whose copy is another."""
    monkeypatch.setattr(
        "machine.EVERYBODY", {"faulty": lambda backend: faulty(12, alpha=0.02, backend=backend)}
    )
    with pytest.raises(AssertionError):
        go(60, 1, InC, phases=(Phase.generate,))
