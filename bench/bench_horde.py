"""Many predictions on one stream: whole streams, and one public call a step."""

import pytest

from . import horde, native
from .cases import there

COMPILED = sorted(set(there()) - {"numpy"})
draws = pytest.mark.parametrize("draw", horde.DRAWS)
sizes = pytest.mark.parametrize("m", horde.SIZES)
streams = pytest.mark.parametrize("stream", [horde.WALK, horde.SCATTERED])


@draws
@sizes
@streams
@pytest.mark.parametrize("kernel", horde.KERNELS)
@pytest.mark.parametrize("backend", COMPILED)
def test_run(time_case, backend, kernel, stream, m, draw):
    """`learn` of a stream, a prediction and step."""
    time_case(horde.case(kernel, m, draw, stream, backend), f"horde of {m}, {stream}")


@pytest.mark.skipif("c" not in COMPILED, reason="no C")
@streams
def test_one_learner(time_case, stream):
    """`learn` of one learner on the same stream."""
    time_case(horde.one_case("accumulating", 64, "decays .9", stream), f"horde of 64, {stream}")


@draws
@sizes
@streams
@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.skipif(native.library()[1] is None, reason="nothing here compiles C")
def test_floor(time_case, ahead, stream, m, draw):
    """TD(0) for as many predictions, in the same layout."""
    time_case(horde.floor_case(m, draw, stream, ahead), f"horde of {m}, {stream}")


@pytest.mark.parametrize("case", list(horde.call_cases()), ids=lambda case: str(case.spec))
def test_call(time_case, case):
    """`update` of 1000 predictions from Python, and of one learner."""
    time_case(case, "horde, one call a step")
