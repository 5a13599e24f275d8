"""Step sizes that learn: whole streams, and one public call a step."""

import pytest

from .adaptive import case, specs, step_case
from .algorithms import SLOW
from .workloads import gliding_8, smooth_8


@pytest.mark.parametrize("spec", specs(), ids=str)
@pytest.mark.parametrize("workload", [smooth_8, gliding_8], ids=lambda make: make.__name__)
def test_run(time_case, spec, workload):
    """`learn` of a stream; the package's `step` in a loop."""
    time_case(case(spec, workload().head(SLOW)), f"step sizes that learn, {workload()}")


@pytest.mark.parametrize("spec", specs(lambdas=(0.9,)), ids=str)
def test_step(time_case, spec):
    """`update` called from Python for each transition."""
    time_case(step_case(spec, smooth_8()), "step sizes that learn, one `update` a step")
