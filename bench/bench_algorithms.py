"""Every linear algorithm, whole streams; actions and target policies are drawn at random."""

import pytest

from .algorithms import case, specs
from .workloads import smooth_8


@pytest.mark.parametrize("spec", specs(), ids=str)
def test_run(time_case, spec):
    """`learn` on the stream that the targets are stated for."""
    workload = smooth_8()
    time_case(case(spec, workload), f"every algorithm, {workload}")
