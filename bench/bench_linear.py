"""The linear learners at two levels: one public call a step, and whole streams.  The third, embedded in
another's loop, is in bench_embed.py."""

import pytest

from . import native
from .cases import (
    NO_TRACE,
    Spec,
    case,
    empty_call_case,
    specs,
    step_case,
    there,
)
from .workloads import WORKLOADS, smooth_8

CALLED = "one `update` a step, L8"
needs_compiler = pytest.mark.skipif(native.library()[1] is None, reason="nothing here compiles C")


# ---- whole streams ----


@pytest.mark.parametrize("spec", specs(), ids=str)
def test_run(time_case, spec):
    """Every implementation on the stream that the targets are stated for, for every lambda."""
    workload = smooth_8()
    time_case(case(spec, workload), workload.name)


@pytest.mark.parametrize("spec", specs(lambdas=(0.99,)), ids=str)
@pytest.mark.parametrize("workload", WORKLOADS[1:], ids=lambda make: make.__name__)
def test_run_elsewhere(time_case, spec, workload):
    """The other streams, for one lambda."""
    time_case(case(spec, workload()), workload().name)


# ---- one call a step ----


@pytest.mark.parametrize("kernel", sorted({spec.kernel for spec in specs()} - {NO_TRACE}))
@pytest.mark.parametrize("implementation", there().values())
def test_step(time_case, kernel, implementation):
    """`update` called from Python for each transition: k = 8, contiguous int32."""
    spec = Spec(implementation, kernel, 0.99)
    time_case(step_case(spec, smooth_8()), CALLED)


@needs_compiler
def test_empty_call(time_case):
    """What any call through cffi costs."""
    time_case(empty_call_case(), CALLED)
