"""ft.simulate on mountain car: environment, tile coder and agent in one native loop."""

import pytest

from . import car


@pytest.mark.parametrize("spec", car.specs(), ids=str)
def test_mountain_car(time_case, spec):
    """True online Sarsa(.9), in every backend and by the eager list."""
    time_case(car.case(spec), "mountain car: environment, coder, agent")
