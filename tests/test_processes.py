"""Learners in other processes, however those are started: they learn there what they would have here."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest
from states import THERE, example, same, taught
from streams import EVERY, learn

NAMES = ("true_online_td", "sarsa_dutch", "gtd", "swift_td")
BACKEND = "c" if "c" in THERE else "numpy"


def taught_on(learner, name):
    """In the worker: the rest of the stream.  What is given is the worker's own."""
    return learn(learner, example(EVERY[name]), 15), learner


def in_processes(method, jobs):
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        return list(pool.map(taught_on, *zip(*jobs, strict=True)))


def in_loky(jobs):
    joblib = pytest.importorskip("joblib")
    return joblib.Parallel(n_jobs=2)(joblib.delayed(taught_on)(*job) for job in jobs)


@pytest.mark.parametrize("method", [*multiprocessing.get_all_start_methods(), "loky"])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_learner_goes_to_a_worker_and_comes_back(method):
    """To the bit; the one that stays at home has not changed."""
    jobs = [(taught(EVERY[name], BACKEND, stop=15), name) for name in NAMES]
    before = [learner.state_dict() for learner, _ in jobs]
    results = in_loky(jobs) if method == "loky" else in_processes(method, jobs)
    for (learner, name), state, (deltas, back) in zip(jobs, before, results, strict=True):
        assert same(learner, state)
        expected, learner = taught_on(learner, name)
        assert deltas.tobytes() == expected.tobytes()
        assert same(back, learner)
