"""What a call from Python costs, and what `learn` adds to its kernel."""

import pytest

from . import calls


@pytest.mark.parametrize("case", list(calls.cases()), ids=lambda case: str(case.spec))
def test_call(time_case, case):
    time_case(case, calls.TABLE, row=str(case.spec), column="one call")


@pytest.mark.parametrize("case", list(calls.stream_cases()), ids=lambda case: str(case.spec))
def test_stream(time_case, case):
    time_case(case, calls.SHORT, row=str(case.spec), column="a step")
