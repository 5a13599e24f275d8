"""The learners with two weight vectors, whole streams; `python -m bench.gradient` compares them with TD."""

import pytest

from .gradient import case, specs
from .workloads import smooth_8


@pytest.mark.parametrize("spec", specs(), ids=str)
def test_run(time_case, spec):
    """Each kernel on the stream that the targets are stated for, for every lambda."""
    workload = smooth_8()
    time_case(case(spec, workload), f"{spec.kernel} lambda {spec.lambda_:g} - {workload}", rounds=5)
