"""Ctrl-C and fork: a learner stands between two transitions, is free, and what was done is not lost."""

import os
import signal
import sys
import threading
import warnings

import numpy as np
import pytest
from states import same
from streams import BACKENDS, EVERY, FORMS, INDEX_FORMS, learn, random_stream

import fasttrace as ft
from fasttrace import pieces, quick
from fasttrace.envs import MountainCar
from fasttrace.features import parse_rows
from fasttrace.linear.learner import LinearLearner

everywhere = pytest.mark.parametrize("backend", BACKENDS)
simulation = sys.modules["fasttrace.simulate"]


@pytest.fixture
def in_fives(monkeypatch):
    """All that is done in pieces is done in pieces of five."""
    monkeypatch.setattr(pieces, "paced", lambda size, seconds: 5)
    monkeypatch.setattr(simulation, "paced", lambda size, seconds: 5)
    monkeypatch.setattr(simulation, "_AT_FIRST", 5)
    monkeypatch.setattr(LinearLearner, "_first", lambda self, rows, steps: 5)
    monkeypatch.setattr(sys.modules[LinearLearner.__module__], "native", None)  # short streams, at once


def interrupted_after(learner, pieces_done):
    """Let SIGINT come while the learner is at work on its next piece after so many."""
    run, calls = learner._run, []

    def interrupted(stream):
        calls.append(stream)
        if len(calls) > pieces_done:
            signal.raise_signal(signal.SIGINT)
        return run(stream)

    learner._run = interrupted
    return lambda: learner.__dict__.pop("_run")


def made(algorithm, s, backend):
    return algorithm.make(s, backend, **({"seed": 0} if algorithm.control else {}))


def problem(algorithm, form, seed=3):
    control = 3 if algorithm.control else 0
    return random_stream(seed, T=23, form=form, n_actions=control, off_policy=True, vary_alpha=True)


@everywhere
@pytest.mark.parametrize("algorithm", EVERY.values(), ids=str)
def test_pieces_are_the_whole(algorithm, backend, in_fives, monkeypatch):
    """TD errors and the learner are those of one call, to the bit, in every form of features."""
    for form in FORMS if "replacing" not in algorithm.name else INDEX_FORMS:
        s = problem(algorithm, form)
        cut, whole = (made(algorithm, s, backend) for _ in range(2))
        deltas = learn(cut, s)
        with monkeypatch.context() as patch:
            patch.setattr(LinearLearner, "_first", lambda self, rows, steps: 100)
            np.testing.assert_array_equal(learn(whole, s), deltas)
        assert same(cut, whole)


@everywhere
def test_least_squares_in_pieces(backend, in_fives, monkeypatch):
    """LSTD, with and without the inverse: A, b and what the next step goes on from."""
    s = random_stream(1, T=23, off_policy=True)
    for solver in ("solve", "inverse"):
        cut, whole = (ft.LSTD(s.n, solver=solver, backend=backend) for _ in range(2))
        learn(cut, s)
        with monkeypatch.context() as patch:
            patch.setattr(LinearLearner, "_first", lambda self, rows, steps: 100)
            learn(whole, s)
        assert same(cut, whole)


@everywhere
@pytest.mark.parametrize("name", ["td_accumulating", "sarsa_replacing", "swift_td", "gtd", "actor_critic"])
def test_an_interrupted_learner_stands_between_two_transitions(name, backend, in_fives):
    """The exception has the steps that were learned and their TD errors; the rest can be learned then."""
    algorithm = EVERY[name]
    s = problem(algorithm, "indices")
    learner, other, whole = (made(algorithm, s, backend) for _ in range(3))
    expected = learn(whole, s)
    free = interrupted_after(learner, 2)
    with pytest.raises(KeyboardInterrupt) as caught:
        learn(learner, s)
    free()
    assert caught.value.steps == 15
    np.testing.assert_array_equal(caught.value.deltas, expected[:15])
    learn(other, s, 0, 15)
    assert same(learner, other)
    np.testing.assert_array_equal(learn(learner, s, 15), expected[15:])
    assert same(learner, whole)


@everywhere
def test_interrupted_least_squares(backend, in_fives):
    """LSTD has no TD errors to tell of, but steps."""
    s = random_stream(1, T=23)
    learner, other = (ft.LSTD(s.n, backend=backend) for _ in range(2))
    free = interrupted_after(learner, 0)
    with pytest.raises(KeyboardInterrupt) as caught:
        learn(learner, s)
    free()
    assert caught.value.steps == 5
    learn(other, s, 0, 5)
    assert same(learner, other)


@everywhere
def test_a_handler_may_look_at_the_learner(backend, in_fives):
    """SIGINT of another kind: what it calls sees the learner as it stands, and learning goes on."""
    learner, seen = ft.TD(4, alpha=0.1, backend=backend), []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(learner.weights.copy()))
    try:
        interrupted_after(learner, 0)
        deltas = learner.learn(np.zeros((13, 1), np.int32), np.ones(12), gammas=0.0)
    finally:
        signal.signal(signal.SIGINT, before)
    np.testing.assert_allclose(deltas, 0.9 ** np.arange(12), rtol=1e-12)
    np.testing.assert_allclose([w[0] for w in seen], 1.0 - 0.9 ** np.array([5, 10, 12]), rtol=1e-12)


@everywhere
@pytest.mark.parametrize("ragged", [False, True], ids=["rows", "ragged"])
def test_no_piece_is_refused_when_others_have_been_learned(ragged, backend, in_fives):
    """A bad index in the last row: told with its place in all, and nothing has been learned."""
    x = np.zeros((14, 2), np.int32)
    x[13, 1] = 4
    given = ft.Ragged(np.arange(0, 30, 2), x.reshape(-1)) if ragged else x
    learner = ft.TD(4, alpha=0.1, backend=backend)
    before = learner.state_dict()
    with pytest.raises(ft.FeatureIndexError, match=r"index 4 at \[13, 1\]"):
        learner.learn(given, np.ones(13))
    with pytest.raises(ft.FeatureIndexError, match=r"index 4 at \[13, 1\]"):
        learner.predict(given)
    assert same(learner, before)


@everywhere
@pytest.mark.parametrize("form", FORMS)
def test_values_are_read_in_pieces(form, backend, in_fives, monkeypatch):
    """predict of a long stream is that of one call; of an actor-critic the preferences, too."""
    s = random_stream(5, T=22, n_actions=3, form=form)
    agent, td, lstd = (
        ft.ActorCritic(s.n, 3, alpha=0.1, alpha_actor=0.1, backend=backend),
        ft.TD(s.n, alpha=0.1, backend=backend),
        ft.LSTD(s.n, backend=backend),
    )
    agent.weights = td.weights = s.weights[:, 0]
    agent.actor_weights = s.weights
    lstd.learn(s.x(), s.rewards)
    x = s.x()
    reads = (agent.predict, agent.preferences, td.predict, lstd.predict)
    cut = [read(x) for read in reads]
    with monkeypatch.context() as patch:
        patch.setattr(LinearLearner, "_first", lambda self, rows, steps: 100)
        for read, got in zip(reads, cut, strict=True):
            np.testing.assert_array_equal(read(x), got)


@everywhere
def test_states_are_coded_in_pieces(backend, monkeypatch):
    """Many states at once: the same tiles; the first that has none is found wherever it is."""
    coder = ft.TileCoder((0.0, 0.0), (1.0, 1.0), 8, 4, backend=backend)
    states = np.random.default_rng(0).random((31, 2))
    whole = coder(states)
    monkeypatch.setattr(sys.modules["fasttrace.tiles"], "_AT_ONCE", 5 * 2 * 4)
    np.testing.assert_array_equal(coder(states), whole)
    states[29, 1] = np.nan
    with pytest.raises(ValueError, match="entry 29, 1 is nan"):
        coder(states)


@pytest.mark.parametrize("backend", ["numpy", "numba", "c"])
def test_the_first_piece_follows_from_the_work(backend):
    """More active features, more columns, more of a dense vector: fewer steps before a look at the clock."""

    def first(learner, x):
        rows = parse_rows(x, learner.n_features)
        return learner._first(rows, rows.count - 1)

    few, many = np.zeros((9, 1), np.int32), np.zeros((9, 1000), np.int32)
    td = ft.TD(10**4, alpha=0.1, backend=backend)
    dense, narrow = np.zeros((9, 10**4)), ft.TD(10, alpha=0.1, backend=backend)
    assert first(td, dense) <= first(narrow, dense[:, :10])
    assert first(ft.Sarsa(10**4, 50, alpha=0.1, backend=backend), few) < first(td, few)
    assert first(ft.LSTD(1000, backend=backend), few) < first(ft.LSTD(10, backend=backend), few)
    assert first(ft.LSTD(1000, solver="inverse", backend=backend), few) < 10**4
    if backend != "numpy":  # whose steps go over every weight anyway
        assert first(td, many) < first(td, few) / 100
        longest = ft.Ragged([0, 0, 10**5], np.zeros(10**5, np.int32))
        assert first(td, longest) < 100
        assert first(ft.SwiftTD(10**4, alpha=0.1, backend=backend), many) < first(td, many)


@everywhere
def test_an_interrupted_simulation(backend, in_fives):
    """Its history goes with the exception; the agent is as after a simulation of as many steps."""

    def agent_and_coder():
        coder = ft.TileCoder((-1.2, -0.07), (0.6, 0.07), 4, 2, backend=backend)
        # Of a trace that test_simulate has compiled a loop for.
        options = {"trace": "accumulating", "alpha": 0.1, "seed": 0, "backend": backend}
        return ft.Sarsa(coder.n_features, 3, **options), coder

    env = MountainCar()

    def report(steps, episodes):
        if steps > 40:
            signal.raise_signal(signal.SIGINT)

    (agent, coder), (other, _) = agent_and_coder(), agent_and_coder()
    with pytest.raises(KeyboardInterrupt) as caught:
        ft.simulate(env, agent, coder, steps=10**6, max_episode_steps=12, progress=report)
    steps, history = caught.value.steps, caught.value.history
    assert 40 < steps <= 50
    assert history.steps == steps
    want = ft.simulate(env, other, coder, steps=steps, max_episode_steps=12)
    np.testing.assert_array_equal(history.lengths, want.lengths)
    np.testing.assert_array_equal(history.returns, want.returns)
    assert same(agent, other)


# ---- never locked ------------------------------------------------------------------------------------------


class Struck(Exception):  # noqa: N818 - no error: as KeyboardInterrupt
    pass


@everywhere
@pytest.mark.parametrize("kind", [ft.TD, ft.EmphaticTD, ft.SwiftTD, ft.GTD2, ft.Sarsa])
def test_an_interrupt_leaves_no_learner_locked(kind, backend):
    """Wherever in `update` it comes: a learner that stayed in use would refuse the next call."""
    control = kind is ft.Sarsa
    beta = {"beta": 0.1} if kind is ft.GTD2 else {}
    learner = kind(*((8, 2) if control else (8,)), alpha=0.1, backend=backend, **beta)
    x, y = np.array([1, 2], np.int32), np.array([3, 4], np.int32)

    def call():
        if control:
            learner.act(x)
        else:
            learner.update(x, 1.0, y, gamma=0.5)

    def strike(number, frame):
        raise Struck

    call()  # compiles
    before = signal.signal(signal.SIGALRM, strike)
    try:
        for i in range(400):
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 20e-6 + i * 1e-7)
                    for _ in range(40 if backend != "numpy" else 2):
                        call()
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0.0)
            except Struck:
                call()
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(quick.locks is None, reason="needs the module in C")
def test_a_use_that_comes_to_no_block_lets_go():
    """From Python 3.14 on an interrupt may come between `__enter__` and the block: there is no `__exit__`."""
    lock = quick.locks.Lock()
    use = lock.use()
    use.__enter__()
    assert lock.locked()
    with pytest.raises(RuntimeError, match="in use"), lock.use():
        pass
    assert lock.locked()  # whoever was refused has nothing to let go
    del use
    assert not lock.locked()
    use = lock.use()
    with use:
        assert lock.locked()
    assert lock.acquire()
    assert not lock.acquire()
    del use
    assert lock.locked()  # as it had let go already


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@everywhere
def test_a_learner_in_use_by_a_thread_is_free_in_a_child(backend):
    """There the thread is not: the learner and its generator would be locked for good."""
    agent = ft.Sarsa(8, 2, alpha=0.1, seed=0, backend=backend)
    agent.start(np.array([1]))
    inside, over = threading.Event(), threading.Event()

    def use():
        with agent._in_use(), agent.generator.bit_generator.lock:
            inside.set()
            over.wait(60)

    thread = threading.Thread(target=use)
    thread.start()
    inside.wait(60)
    with pytest.raises(RuntimeError, match="in use"):
        agent.weights  # noqa: B018
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of threads beside a fork
        child = os.fork()
    if not child:
        signal.alarm(20)  # rather than to hang
        agent.step(1.0, np.array([2]))
        os._exit(0 if agent.weights[1].any() else 1)
    status = os.waitpid(child, 0)[1]
    over.set()
    thread.join()
    assert status == 0
    agent.step(1.0, np.array([2]))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_amid_a_simulation_leaves_it_to_its_thread():
    """A report that forks: in the child, too, the agent is at work, and may be read and not learned with."""
    coder = ft.TileCoder((-1.2, -0.07), (0.6, 0.07), 4, 2)
    agent = ft.Sarsa(coder.n_features, 3, alpha=0.1, seed=0)
    statuses = []

    def report(steps, episodes):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = os.fork()
        if child:
            statuses.append(os.waitpid(child, 0)[1])
            return
        signal.alarm(20)
        try:
            agent.start(np.array([1]))
        except RuntimeError:
            os._exit(0 if agent.weights.any() else 2)
        os._exit(1)

    ft.simulate(MountainCar(), agent, coder, steps=100, progress=report)
    assert statuses == [0]
