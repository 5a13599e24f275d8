"""What a call from Python costs, and what `learn` adds to its kernel."""

import pytest

from . import calls

CALLS, STREAMS = list(calls.cases()), list(calls.stream_cases())


@pytest.mark.parametrize("case", CALLS, ids=[str(case.spec) for case in CALLS])
def test_call(time_case, case):
    time_case(case, calls.TABLE, row=str(case.spec), column="one call")


@pytest.mark.parametrize("case", STREAMS, ids=[str(case.spec) for case in STREAMS])
def test_stream(time_case, case):
    time_case(case, calls.SHORT, row=str(case.spec), column="a step")
