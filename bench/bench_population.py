"""ft.simulate of many agents on mountain car, together and alone."""

import time

import pytest

from . import population

TABLE = "population on mountain car"


@pytest.mark.parametrize(
    "spec", [each for each in population.specs() if each.implementation != population.THREADS], ids=str
)
def test_population(time_case, spec):
    """True online Sarsa(.9): a step of one of 64 agents, beside that of an agent alone, and the floor."""
    time_case(population.case(spec), TABLE)


@pytest.mark.benchmark(timer=time.perf_counter)  # a thread's own time leaves out what the others do
@pytest.mark.parametrize(
    "spec", [each for each in population.specs() if each.implementation == population.THREADS], ids=str
)
def test_population_in_threads(time_case, spec):
    """The same on two cores, by the clock on the wall."""
    time_case(population.case(spec), TABLE)
