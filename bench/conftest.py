"""pytest bench/ times kernel by kernel; with --benchmark-disable everything runs once, for its checks."""

from importlib.util import find_spec

import pytest

if find_spec("pytest_benchmark") is None:
    pytest.exit("pytest-benchmark is missing: pip install 'fasttrace[bench]'", returncode=4)


@pytest.fixture
def time_case(benchmark):
    """Check a case's result, then time it; the result is in extra_info, and a wrong one fails."""

    def time(case, group, rounds=11):
        correct = case.check()
        benchmark.group = f"{group}, {case.steps:,} steps a run"  # so that each table compares equal work
        benchmark.extra_info.update(
            implementation=case.spec.implementation,
            kernel=case.spec.kernel,
            lambda_=case.spec.lambda_,
            workload=str(case.workload),
            steps=case.steps,
            correct=correct,
        )
        benchmark.pedantic(case.run, setup=case.prepare, rounds=rounds)
        if benchmark.stats is not None:  # None with --benchmark-disable
            benchmark.extra_info["ns_per_step"] = benchmark.stats.stats.min / case.steps * 1e9
        assert correct

    return time
