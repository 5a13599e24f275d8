"""The error of the weights after 100 000 steps, against extended precision; see accuracy.py."""

import pytest

from . import accuracy
from .cases import there


@pytest.mark.skipif(not accuracy.measurable(), reason="no compiler, or long double is double here")
@pytest.mark.parametrize("backend", sorted(set(there()) - {"numpy"}))
@pytest.mark.parametrize("draw", accuracy.DRAWS)
@pytest.mark.parametrize("kernel", accuracy.EXACT_KINDS)
def test_error_of_weights(benchmark, kernel, draw, backend):
    """At most twice the error that the dense float64 loop makes itself."""
    benchmark.group = f"accuracy - {draw}"
    stream = accuracy.trajectory(draw, 0, accuracy.STEPS)
    errors = accuracy.errors(kernel, draw, backend)
    benchmark.extra_info.update(ours=errors.ours, eager=errors.eager, correct=errors.ratio <= 2.0)
    benchmark.pedantic(accuracy.ours, args=(kernel, stream, backend), rounds=1)
    assert errors.ratio <= 2.0
