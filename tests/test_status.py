"""What a kernel answers ends in a result or in an exception, whatever it answers."""

import ctypes

import numpy as np
import pytest
from streams import EVERY, needed, needed_once, random_stream

import fasttrace as ft
from fasttrace import quick
from fasttrace.backends import module
from fasttrace.backends.c.calls import addresses
from fasttrace.features import parse_rows
from fasttrace.status import refuse


@pytest.mark.parametrize(
    ("status", "error"), [(-1, ft.FeatureIndexError), (-2, IndexError), (-3, ValueError), (-4, RuntimeError)]
)
def test_every_status_but_ok_is_an_exception(status, error):
    """Also an index that is no longer wrong when it is looked up, and numbers that no kernel returns yet."""
    refuse(0)
    with pytest.raises(error):
        refuse(status)
    with pytest.raises(error):
        refuse(status, parse_rows(np.array([[0], [1]]), 3))


X, REWARDS = np.array([[0], [1], [2]], np.int32), np.ones(2)


class Answering:
    """The C library, whose functions that return a status all return this one and do nothing."""

    def __init__(self, lib, status):
        self._lib, self._status = lib, status

    def __getattr__(self, name):
        real = getattr(self._lib, name)
        ends = ("_run", "_step", "_values", "_simulate", "_encode")
        return (lambda *_: self._status) if callable(real) and name.endswith(ends) else real


@pytest.fixture(params=[-1, -2, -3, -99, 7])
def answer(request, monkeypatch):
    lib = pytest.importorskip("fasttrace.backends.c").lib
    fake = Answering(lib, request.param)
    for stem in ("linear", "gradient", "adaptive", "actor_critic", "lstd", "simulate", "tiles"):
        monkeypatch.setattr(module("c", stem), "lib", fake)
    if quick.native is None:
        yield request.param
        return
    status = ctypes.CFUNCTYPE(ctypes.c_int32)(lambda: request.param)
    real = addresses()
    answers = ("_run", "_values", "_encode")
    quick.native.bind({name: status_at(status) if name.endswith(answers) else real[name] for name in real})
    yield request.param
    quick.native.bind(real)


def status_at(function):
    return ctypes.cast(function, ctypes.c_void_p).value


@pytest.mark.parametrize("algorithm", EVERY.values(), ids=str)
def test_what_c_refuses_never_comes_back_as_numbers(algorithm, answer):
    """Whatever a C function answers: learn, update or step, and predict or q end in an exception."""
    s = random_stream(0, T=4, n_actions=3 if algorithm.control else 0)
    learner = algorithm.make(s, "numpy").to("c")
    x = s.x()
    calls = [lambda: learner._module.values(learner._trace, parse_rows(x, s.n))]
    if algorithm.control:
        learner._x, learner._action = parse_rows(x[:1], s.n), 0
        calls += [
            lambda: learner.step(1.0, x[1]),
            lambda: learner._learn_step(learner._x, parse_rows(x[1:2], s.n), 1, 1.0, 0.5),
        ]
    else:
        all_, one = needed(learner, 5), needed_once(learner)
        calls += [
            lambda: learner.update(x[0], 1.0, x[1], **one),
            lambda: learner.update(x[0], 1.0, None, gamma=0.0, **one),
            lambda: learner.learn(x, s.rewards, **all_),
        ]
    for call in calls:
        with pytest.raises((IndexError, ValueError, RuntimeError)):
            call()


def test_what_c_refuses_elsewhere(answer):
    """LSTD, simulate and tile coding; of LSTD a number of steps is a good answer."""
    if answer < 0:
        with pytest.raises((IndexError, ValueError, RuntimeError)):
            ft.LSTD(4, backend="c").learn(X, REWARDS)
    with pytest.raises((IndexError, ValueError, RuntimeError)):
        ft.simulate(ft.envs.RandomWalk(5), ft.TD(5, alpha=0.1, backend="c"), steps=3)
    with pytest.raises((IndexError, ValueError, RuntimeError)):
        ft.TileCoder((0.0,), (1.0,), 4, 2, backend="c")(np.array([0.5]))


def test_c_says_what_a_look_at_indices_found():
    """ft_checked: 1 without padding, 2 with, and an error below -1 or from n on."""
    look = pytest.importorskip("fasttrace.backends.c.linear").look
    for indices, want in (([], 1), ([0, 2], 1), ([0, -1], 2), ([-1], 2), ([3], -1), ([-2, -1], -1)):
        assert look(np.array(indices, np.int32), 3) == want
        rows = parse_rows(np.array([indices], np.int32), 3)
        if want > 0:
            rows.check()
            assert rows.checked == want
        else:
            with pytest.raises(ft.FeatureIndexError):
                rows.check()
