"""Loops in pieces: everything is done once and in order, and SIGINT is heard between two pieces alone."""

import signal
import threading

import pytest

from fasttrace.pieces import in_pieces


@pytest.mark.parametrize(("total", "first"), [(0, 1), (1, 1), (7, 100), (1000, 1), (1001, 10)])
def test_pieces_make_the_whole(total, first):
    """Each step is done once, in order."""
    done = []
    in_pieces(total, first, lambda begin, end: done.extend(range(begin, end)))
    assert done == list(range(total))


def test_interrupt_comes_between_two_pieces():
    """The piece in which SIGINT came is finished; the exception says what was done."""
    done = []

    def run(begin, end):
        if begin >= 10:
            signal.raise_signal(signal.SIGINT)
        done.extend(range(begin, end))

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt) as caught:
        in_pieces(10**6, 10, run, lambda n: {"deltas": done[:n]})
    assert 10 < caught.value.steps < 10**6
    assert caught.value.deltas == done == list(range(caught.value.steps))
    assert signal.getsignal(signal.SIGINT) is before


def test_interrupt_in_the_last_piece_is_not_lost():
    """Nor one in a piece that fails: the failure is its context."""

    def run(begin, end):
        if end == 100:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:
        in_pieces(100, 10, run)
    assert caught.value.steps == 100

    def fail(begin, end):
        signal.raise_signal(signal.SIGINT)
        raise ValueError("bad")

    with pytest.raises(KeyboardInterrupt) as caught:
        in_pieces(100, 10, fail)
    assert caught.value.steps == 0
    assert isinstance(caught.value.__context__, ValueError)


def test_a_handler_that_does_not_raise_is_called():
    """Whoever handles SIGINT otherwise gets it, and the loop goes on."""
    heard, done = [], []

    def run(begin, end):
        if not begin:
            signal.raise_signal(signal.SIGINT)
        done.extend(range(begin, end))

    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        in_pieces(1000, 10, run)
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]
    assert done == list(range(1000))


def test_a_thread_leaves_signals_alone():
    """Only the main thread may set handlers."""
    done = []
    thread = threading.Thread(target=in_pieces, args=(100, 10, lambda b, e: done.extend(range(b, e))))
    thread.start()
    thread.join()
    assert done == list(range(100))
