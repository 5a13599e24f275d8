"""A few sequences of machine.py; and that it finds what is wrong."""

import numpy as np
import pytest
from hypothesis import Phase
from machine import Machine, go
from test_checks import Leaks

import fasttrace as ft

pytestmark = pytest.mark.skipif(ft.backends()["c"] is not None, reason="compares C with the reference")


class InC(Machine):
    backends = ("c",)  # Numba would compile what other tests do


def test_sequences_of_calls():
    """The same of each learner in C as in NumPy, whatever is called."""
    go(60, 1, InC)


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
