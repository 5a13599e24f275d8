"""Long problems: in pieces, between which Ctrl-C is heard, with the same results to the bit."""

import signal

import numpy as np
import pytest
from clocks import Clock
from numpy.testing import assert_array_equal
from returns_problems import KERNELS, call, draw
from streams import COMPILED

from fasttrace import pieces
from fasttrace import returns as api
from fasttrace.backends import module

PLAIN = {"gammas": 0.9, "lambdas": 0.8, "truncated": None, "mask": None, "next_values": None}


def in_pieces(monkeypatch, backend, entries, interrupt=0):
    """From here on so many entries at once."""
    clock = Clock(interrupt)
    monkeypatch.setattr(pieces, "time", clock)
    monkeypatch.setattr(api, "native", None)  # which does all up to the usual number of entries
    monkeypatch.setattr(module(backend, "returns"), "_FIRST", entries)
    monkeypatch.setattr(module(backend, "returns"), "_PART", entries // 3, raising=backend == "numba")
    return clock


# Steps, trajectories, columns of time, horizon; how many entries at once.
WAYS = {
    "time-major": (21, 20, 0, None, 64),
    "batch-major": (70, 5, 1, None, 100),
    "batch-major, turned": (9, 40, 1, None, 150),
    "batch-major, long": (71, 3, 1, None, 60),
    "one trajectory": (70, 1, 0, None, 25),
    "horizon": (21, 6, 0, 4, 30),
    "horizon, batch-major": (21, 6, 1, 4, 30),
    "horizon, long": (41, 2, 0, 4, 24),
    "horizon, long and batch-major": (42, 2, 1, 5, 24),
}


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("family", KERNELS)
def test_pieces_are_the_whole(family, way, backend, monkeypatch):
    """To the bit, with rates and flags of every kind."""
    T, B, time_axis, horizon, entries = WAYS[way]
    given = draw(family, T, B, masked=0.1)
    by_step = {name: given[name][:, 0].copy() for name in ("gammas", "lambdas")}
    changes = ({}, PLAIN, {**PLAIN, "terminated": None}, by_step, {"rows": T})
    runs = [{"time_axis": time_axis, "horizon": horizon, "flat": B == 1, **each} for each in changes]
    want = [call(family, given, backend, **each) for each in runs]
    clock = in_pieces(monkeypatch, backend, entries)
    for each, (first, second) in zip(runs, want, strict=True):
        clock.looks = 0
        got = call(family, given, backend, **each)
        assert_array_equal(got[0], first)
        assert (got[1] is None) == (second is None)
        if second is not None:
            assert_array_equal(got[1], second)
        assert clock.looks > 2


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("way", WAYS)
def test_a_long_call_hears_an_interrupt(way, backend, monkeypatch):
    """Between two pieces."""
    T, B, time_axis, horizon, entries = WAYS[way]
    given = draw("gae", T, B)
    clock = in_pieces(monkeypatch, backend, entries, interrupt=3)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        call("gae", given, backend, time_axis=time_axis, horizon=horizon, flat=B == 1)
    assert clock.looks <= 4
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("backend", COMPILED)
def test_the_usual_call_in_pieces(backend, monkeypatch):
    """GAE with one gamma and one lambda, out given."""
    rng = np.random.default_rng(0)
    rewards, values = rng.normal(size=(30, 530)), rng.normal(size=(31, 530))
    ends = rng.random((30, 530)) < 0.1
    out = np.zeros((30, 530)), np.zeros((30, 530))
    more = {"gammas": 0.9, "lambdas": 0.8, "terminated": ends, "backend": backend}
    want = api.gae(rewards, values, **more)
    clock = in_pieces(monkeypatch, backend, 4 * 530)
    api.gae(rewards, values, out=out, **more)
    assert clock.looks > 16
    for got, each in zip(out, want, strict=True):
        assert_array_equal(got, each)


@pytest.mark.parametrize("backend", COMPILED)
def test_a_trajectory_leaves_nothing_to_the_next(backend):
    """NaN in the q of one, long enough to be gone through in parts, reaches no other."""
    T = 1100
    rng = np.random.default_rng(1)
    rewards, values, q = rng.normal(size=(2, T)), rng.normal(size=(2, T + 1)), rng.normal(size=(2, T + 1))
    more = {"gammas": 0.9, "lambdas": 1.0, "backend": backend}
    alone = api.upgo(rewards[1], values[1], q[1], **more)
    q[0] = np.nan
    both = api.upgo(rewards, values, q, time_axis=1, **more)
    assert np.isnan(both[0, : T - 1]).all()
    np.testing.assert_allclose(both[1], alone, rtol=1e-13)


# ---- the C call ----


@pytest.mark.parametrize("backend", ["c"])
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("family", ["gae", "vtrace"])
def test_a_second_result_that_nobody_wants(family, level, backend):
    """NULL, as the header allows: it is skipped, and the first one is the same to the bit."""
    kernels = pytest.importorskip("fasttrace.backends.c.returns", exc_type=ImportError)
    if level > kernels.lib.ft_returns_level():
        pytest.skip("this CPU has no such vectors")
    for T, B, batch_major, horizon in (
        (21, 70, False, 0), (3, 520, False, 0), (70, 3, True, 0), (9, 40, True, 0), (40, 1, True, 0),
        (11, 4, False, 3),
    ):  # fmt: skip
        for flags, rates in ((None, False), ("ends", False), ("all", False), ("all", True)):
            p = problem(family, T, B, batch_major, horizon, flags, rates)
            struct, kept = kernels.pack(p)
            assert kernels.lib.ft_returns_run_at(struct, level) == 0
            want = p.out.copy()
            p.out[:] = np.nan
            struct.second = kernels.ffi.NULL
            assert kernels.lib.ft_returns_run_at(struct, level) == 0
            assert_array_equal(p.out, want)
            del kept


def problem(family, T, B, batch_major, horizon, flags, rates):
    rng = np.random.default_rng([T, B])
    shape = (B, T) if batch_major else (T, B)
    more = (B, T + 1) if batch_major else (T + 1, B)
    values = rng.normal(size=more)
    given = {"gammas": rng.random(shape), "lambdas": rng.random(shape)} if rates else {}
    if flags:
        given["flags"] = rng.integers(0, 2 if flags == "ends" else 8, shape).astype(np.uint8)
        given |= {"terminations_only": flags == "ends", "next_values": rng.normal(size=shape)}
    return api.Problem(
        family=family, T=T, B=B, batch_major=batch_major, horizon=horizon,
        rewards=rng.normal(size=shape), out=np.empty(shape), second=np.empty(shape),
        gamma=0.9, lambda_=0.8, values=values, nexts=values, last=rng.normal(size=B), rhos=rng.random(more),
        **given,
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["c"])
def test_a_carry_where_there_can_be_none(backend):
    """FT_EVALUE: with a horizon, in the midst of what is done by eight, or `open` without one."""
    kernels = pytest.importorskip("fasttrace.backends.c.returns", exc_type=ImportError)
    carry = np.zeros(4 * kernels.lib.FT_CARRY)
    for T, batch_major, horizon, has_carry, is_open in (
        (8, True, 0, True, 0), (11, True, 0, True, 1), (11, False, 3, True, 0), (11, False, 0, False, 1),
        (16, True, 0, False, 1),
    ):  # fmt: skip
        p = problem("gae", T, 4, batch_major, horizon, None, False)
        p.out[:] = 7.0
        struct, kept = kernels.pack(p)
        struct.open = is_open
        if has_carry:
            struct.carry = kernels.ffi.from_buffer("double[]", carry)
        assert kernels.lib.ft_returns_run(struct) == kernels.lib.FT_EVALUE
        assert (p.out == 7.0).all()
        del kept
