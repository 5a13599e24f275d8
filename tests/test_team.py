"""Threads that share a pass: products in quiet pieces, errors, the caller's context."""

import signal
import threading

import numpy as np
import pytest

from fasttrace.plasticity import team as teams
from fasttrace.plasticity.team import ALONE, Stopped, Team, gram, times

# rows, m, n: none, fewer than a piece, many pieces and a rest, and matrices too large to be cut
SHAPES = [(0, 3, 2), (1, 1, 1), (7, 5, 3), (1003, 100, 20), (500, 100, 100), (9, 300, 300)]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("rows", "m", "n"), SHAPES)
def test_products(rows, m, n, threads):
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(rows, m)), rng.normal(size=(m, n)), rng.normal(size=(rows, n))
    out = np.full((rows, n), np.nan)
    with Team(threads) as team:
        times(team, a, b, out)
        np.testing.assert_allclose(out, np.einsum("rm,mn->rn", a, b), atol=1e-11)
        np.testing.assert_allclose(gram(team, a, c), np.einsum("rm,rn->mn", a, c), atol=1e-11)


def test_parts_in_order_and_the_caller_takes_the_first():
    with Team(3) as team:
        parts = team(lambda first, last: (first, last, threading.get_ident()), 10)
    assert [part[:2] for part in parts] == [(0, 3), (3, 6), (6, 10)]
    assert parts[0][2] == threading.get_ident() != parts[1][2]
    assert ALONE(lambda *part: part, 10) == [(0, 10)]


@pytest.mark.parametrize("bad", [0, 1])
def test_an_error_waits_for_the_others(bad):
    done = threading.Event()
    late = threading.Event()

    def part(first, last):
        if first == bad:
            late.set()
            raise RuntimeError("part")
        late.wait()
        done.set()

    with Team(2) as team, pytest.raises(RuntimeError, match="part"):
        team(part, 2)
    assert done.is_set()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("rows", "m", "n"), SHAPES)
def test_long_products_are_cut(rows, m, n, threads, monkeypatch):
    """Into pieces between which Ctrl-C is heard; rows in pieces of a stack are the same to the bit."""
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(rows, m)), rng.normal(size=(m, n)), rng.normal(size=(rows, n))
    whole, out = np.empty((rows, n)), np.empty((rows, n))
    with Team(threads) as team:
        times(team, a, b, whole)
        monkeypatch.setattr(teams, "_HEARD", 1 << 18)
        times(team, a, b, out)
        np.testing.assert_allclose(gram(team, a, c), np.einsum("rm,rn->mn", a, c), atol=1e-11)
    if m * n <= 1 << 16:
        np.testing.assert_array_equal(out, whole)
    np.testing.assert_allclose(out, whole, atol=1e-11)


def test_an_interrupted_part_ends_the_others():
    """The caller hears Ctrl-C in its own part; the others stop at their next piece."""
    started, ended = threading.Event(), threading.Event()

    def part(first, last):
        if first == 0:
            started.wait()
            raise KeyboardInterrupt
        started.set()
        try:
            while True:
                team.go_on()
        except Stopped:
            ended.set()
            raise

    with pytest.raises(KeyboardInterrupt) as caught, Team(2) as team:
        team(part, 2)
    assert ended.is_set()
    assert caught.value.steps == 0
    ALONE.go_on()


@pytest.fixture
def ctrl_c():
    """SIGINT raises KeyboardInterrupt, also where the tests were started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals go to a process as a whole")
def test_ctrl_c_while_waiting_for_the_others(ctrl_c):
    """The caller's own part is done: it hears Ctrl-C still."""
    caller, ended = threading.get_ident(), threading.Event()

    def part(first, last):
        if first == 0:
            return
        signal.pthread_kill(caller, signal.SIGINT)
        try:
            while True:
                team.go_on()
        finally:
            ended.set()

    with pytest.raises(KeyboardInterrupt), Team(2) as team:
        team(part, 2)
    assert ended.is_set()  # also where it came while the thread was being started


def test_the_callers_errstate_holds_in_every_thread():
    with Team(2) as team, np.errstate(over="raise"):
        for part in range(2):
            with pytest.raises(FloatingPointError):
                team(lambda first, last, part=part: np.exp(np.array(1e4 if first == part else 0.0)), 2)
