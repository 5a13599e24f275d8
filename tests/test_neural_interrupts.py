"""Ctrl-C in a long stream: the learner stands after a whole number of steps, and the exception says which."""

import numpy as np
import pytest
from clocks import Clock
from neural_learners import BACKENDS, LEARNERS, T, learn, saved
from numpy.testing import assert_array_equal

from fasttrace import neural, pieces
from fasttrace.neural import learner as neural_learner

backends = pytest.mark.parametrize("backend", BACKENDS)
names = pytest.mark.parametrize("name", LEARNERS)


@pytest.fixture
def clock(monkeypatch):
    """Sets a clock, after which a stream is learned in pieces of about three steps."""

    def use(interrupt=0):
        monkeypatch.setattr(pieces, "time", Clock(interrupt))
        for cls in (neural_learner.NetworkLearner, neural.QRC):
            monkeypatch.setattr(cls, "_first_piece", lambda self: 3)

    return use


@backends
@names
def test_pieces_are_the_whole(name, backend, clock):
    """To the bit, with what staleness looks back on."""
    whole, parts = (LEARNERS[name](backend) for _ in range(2))
    want = learn(whole)
    clock()
    assert_array_equal(learn(parts), want)
    assert saved(parts) == saved(whole)
    if getattr(whole, "keep", 0) != 0 and hasattr(whole, "_history") and whole._updated:
        assert parts.staleness() == whole.staleness()


@backends
@names
def test_an_interrupted_stream_goes_on(name, backend, clock):
    """What it carries is what was learned; the rest can be learned from there as if nothing had been."""
    whole, parts = (LEARNERS[name](backend) for _ in range(2))
    want = learn(whole)
    clock(interrupt=7)
    with pytest.raises(KeyboardInterrupt) as caught:
        learn(parts)
    steps = caught.value.steps
    assert 0 < steps < T
    assert_array_equal(caught.value.deltas, want[:steps])
    assert_array_equal(learn(parts, steps), want[steps:])
    assert saved(parts) == saved(whole)


@backends
@names
def test_a_fault_in_a_later_piece_has_its_step(name, backend, clock):
    """Counted from the stream's beginning; all is as it was before it."""
    learner, want = (LEARNERS[name](backend) for _ in range(2))
    rewards = np.random.default_rng(3).normal(size=(T, *learn(want, 0, 0).shape[1:]))
    rewards[20], rewards[21:] = 1.7e308, -1.7e308
    learner.alpha = want.alpha = 1.0
    with pytest.raises(FloatingPointError, match="not finite at step") as caught:
        learn(want, rewards=rewards)
    clock()
    with pytest.raises(FloatingPointError, match="not finite at step") as parts:
        learn(learner, rewards=rewards)
    assert str(parts.value) == str(caught.value)
    assert int(str(parts.value).split()[-1]) >= 20
    got, wanted = saved(learner), saved(want)
    for each in (got, wanted):
        each.pop("before", None)  # of no use after a fault
    assert got == wanted
