"""The ways that returns can be found by: each size, layout and type of array takes one; all agree."""

from functools import cache

import numpy as np
import pytest
import returns_oracle
from numpy.lib.stride_tricks import as_strided
from returns_problems import KERNELS, call, check, draw, registry_tolerance, relative
from streams import BACKENDS, COMPILED

from fasttrace import returns as api

PLAIN = {"truncated": None, "mask": None, "next_values": None}
PAIRS = ("gae", "vtrace")
F4_TOLERANCE = 2e-7
RATES = ("one", "by step", "each", "full")  # full: each, with truncations and a mask


def like(given, change):
    """A problem with `change` made to each array."""
    extra = {name: change(x) if np.ndim(x) == 2 else x for name, x in given["extra"].items()}
    for following in ("expected_q", "values"):
        if following in extra:
            extra["following"] = extra[following]
            break
    arrays = {name: change(x) for name, x in given.items() if name not in ("extra", "last")}
    last = extra["following"][-1] if "following" in extra else change(given["last"][None])[0]
    return {**arrays, "extra": extra, "last": last}


def tolerance_of(family, dtype):
    return F4_TOLERANCE if dtype == np.float32 else registry_tolerance(family)


# ---- gamma and lambda of 0 and 1 ----


@cache
def with_rates(family, T, B, gamma, lambda_, ended):
    """A problem with one gamma and one lambda, NaN where a gamma of 0 rules it out, and its results."""
    given = draw(family, T, B, ends=0.15 * ended)
    for name, rate in (("truncated", False), ("mask", True), ("gammas", gamma), ("lambdas", lambda_)):
        given[name][:] = rate
    if gamma == 0 and "following" in given["extra"]:
        given["extra"]["following"][T] = np.nan
    return given, returns_oracle.returns(family, given)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", KERNELS)
def test_gamma_and_lambda_of_0_and_1(family, backend):
    """As numbers, for trajectories side by side, one after the other, and a single one."""
    tolerance = registry_tolerance(family)
    for gamma, lambda_ in (
        (0.0, 0.8),
        (1.0, 0.8),
        (0.9, 0.0),
        (0.9, 1.0),
        (0.0, 0.0),
        (1.0, 1.0),
        (0.0, 1.0),
    ):
        more = {"gammas": gamma, "lambdas": lambda_, **PLAIN}
        for T, B, ended in ((6, 18, True), (5, 18, False), (37, 1, False), (37, 1, True)):
            given, wanted = with_rates(family, T, B, gamma, lambda_, ended)
            some = more if ended else {**more, "terminated": None}
            check(call(family, given, backend, **some), wanted, tolerance)
            check(call(family, given, backend, **some, time_axis=1), wanted, tolerance)
            if B == 1:
                check(call(family, given, backend, **some, flat=True), wanted, tolerance)


# ---- how many trajectories ----

WIDTHS = (7, 8, 15, 16, 17, 63, 64, 65, 129)


@cache
def drawn(family, T, B, kind, dtype, columns=0):
    """A problem with such rates, and its results.  columns: so many that differ, over and over."""
    given = draw(family, T, columns or B, dtype=dtype, rates=kind in ("each", "full"), masked=0.1)
    if kind != "full":
        given["truncated"][:] = False
        given["mask"][:] = True
    if kind == "by step":
        given["gammas"][:], given["lambdas"][:] = np.random.default_rng(T).random((2, T, 1))
    first, second = returns_oracle.returns(family, given)
    if columns:
        over = np.arange(B) % columns
        given = like(given, lambda x: x.take(over, axis=1))  # which is dense, unlike x[:, over]
        first, second = first[:, over], second[:, over]
    return given, (first, second)


def agrees_at(family, T, B, kind, dtype, backend, columns=0):
    """One problem, time-major and batch-major."""
    given, wanted = drawn(family, T, B, kind, dtype, columns)
    more = {} if kind == "full" else dict(PLAIN)
    if kind == "one":
        more |= {"gammas": 0.9, "lambdas": 0.8}
    if kind == "by step":
        more |= {name: given[name][:, 0].copy() for name in ("gammas", "lambdas")}
    for time_axis in (0, 1):
        found = call(family, given, backend, time_axis=time_axis, **more)
        check(found, wanted, tolerance_of(family, dtype))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", RATES)
@pytest.mark.parametrize("family", ["gae", "lambda_returns", "vtrace", "q_sigma"])
def test_any_number_of_trajectories(family, kind, backend):
    """Around multiples of what is done at once."""
    for B in WIDTHS:
        agrees_at(family, 3, B, kind, np.float64, backend)


# More than stay in the cache at once; their rows are 4 KB and more apart but for 520 of float32.
WIDE = [(T, B) for T in (1, 2, 3, 5) for B in (520, 1100, 2049)]
COLUMNS = 61


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("kind", RATES)
def test_gae_of_wide_rows(kind, dtype, backend):
    for T, B in WIDE:
        agrees_at("gae", T, B, kind, dtype, backend, COLUMNS)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", sorted(set(KERNELS) - {"gae"}))
def test_wide_rows(family, backend):
    for kind in ("one", "full"):
        for dtype in (np.float32, np.float64)[backend == "numba" :]:  # gae has both, and compiles for each
            agrees_at(family, 3, 1100, kind, dtype, backend, COLUMNS)


@pytest.mark.parametrize("backend", ["c"])
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("kind", RATES)
def test_wide_rows_at_every_level_of_the_cpu(kind, dtype, level, backend, monkeypatch):
    kernels = pytest.importorskip("fasttrace.backends.c.returns", exc_type=ImportError)
    if level > kernels.lib.ft_returns_level():
        pytest.skip("this CPU has no such vectors")
    monkeypatch.setattr(kernels, "_run", lambda struct: kernels.lib.ft_returns_run_at(struct, level))
    monkeypatch.setattr(api, "native", None)  # which calls the kernel by its address
    for T, B in WIDE:
        agrees_at("gae", T, B, kind, dtype, backend, COLUMNS)
    agrees_at("vtrace", 3, 1100, kind, dtype, backend, COLUMNS)


# ---- layouts and types ----

FUNCTIONS = [*KERNELS, "n_step_returns"]


def every_other(x):
    wide = np.zeros((2 * x.shape[0], 3 * x.shape[1]), x.dtype)
    wide[::2, 1::3] = x
    return wide[::2, 1::3]


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS = {
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "transposed": np.asfortranarray,
    "strided": every_other,
    "read-only": read_only,
    "one column": lambda x: np.broadcast_to(x[:, :1], x.shape),
    "one row": lambda x: np.broadcast_to(x[:1], x.shape),
    "integers": lambda x: np.abs(np.rint(x)).astype("i8") if x.dtype != bool else x.astype("i8"),
    "unlike": lambda x: np.asfortranarray(x) if len(x) % 2 else x[::-1].copy()[::-1],
}


@cache
def laid(family, layout):
    """A problem whose arrays lie so, and its results, (T, B) and with a horizon of 2."""
    given = like(draw(family, 6, 5, ends=0.1, masked=0.1), LAYOUTS[layout])
    plain = {**given, **{name: given[name].astype(bool) for name in ("terminated", "truncated", "mask")}}
    return given, returns_oracle.returns(family, plain), returns_oracle.returns(family, plain, horizon=2)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_any_layout(function, layout, backend):
    """Every input of every function, in what strides and whole numbers it comes; none is written to."""
    family = "lambda_returns" if function == "n_step_returns" else function
    given, whole, ahead = laid(family, layout)
    before = like(given, np.copy)
    tolerance = registry_tolerance(family)
    if function == "n_step_returns":
        check(call(family, given, backend, n=2), ahead, tolerance)
    else:
        check(call(family, given, backend), whole, tolerance)
        check(call(family, given, backend, horizon=2), ahead, tolerance)
        check(call(family, given, backend, time_axis=1), whole, tolerance)
    for name, array in [*before.items(), *before["extra"].items()]:
        if isinstance(array, np.ndarray) and name not in ("last", "following"):
            np.testing.assert_array_equal(given[name] if name in given else given["extra"][name], array)


# ---- where the results go ----


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("order", "time_axis"), [("C", 0), ("F", 0), ("F", 1)], ids=["rows", "turned", "time last"]
)
@pytest.mark.parametrize("family", KERNELS)
def test_out_may_overlap_any_input(family, order, time_axis, backend):
    """Each input in turn is where results go, first and last rows of those with T + 1."""
    T, B = 7, 5
    problem = draw(family, T, B, masked=0.1)
    wanted = returns_oracle.returns(family, problem)
    names = ["rewards", "gammas", "lambdas", "next_values"]
    names += [name for name, x in problem["extra"].items() if np.ndim(x) == 2 and name != "following"]
    for name in names:
        for rows in (slice(0, T), slice(-T, None)):
            for second in (False, True)[: 1 + (family in PAIRS)]:
                given = like(problem, lambda x: np.array(x, order=order))
                taken = (given if name in given else given["extra"])[name][rows]
                taken = taken.T if time_axis else taken
                out = taken
                if family in PAIRS:
                    out = (np.empty_like(taken), taken) if second else (taken, np.empty_like(taken))
                found = call(family, given, backend, out=out, time_axis=time_axis)
                check(found, wanted, registry_tolerance(family))
                got = [each.T if time_axis else each for each in (out if family in PAIRS else [out])]
                check(got, wanted[: len(got)], registry_tolerance(family))


def strided(strides):
    """An array (6, 3) of zeros with these strides, in entries."""
    return as_strided(np.zeros(200)[50:], (6, 3), tuple(8 * each for each in strides))


def shared(name):
    """A pair (6, 3) on memory in common."""
    one, long, wide = np.zeros((6, 3)), np.zeros((7, 3)), np.zeros((6, 6))
    bytes_on = np.ndarray((6, 3), buffer=long, offset=4)
    return {
        "the same": (one, one),
        "another view": (one, one[:]),
        "turned": (one, one.reshape(3, 6).T),
        "a row on": (long[1:], long[:-1]),
        "reversed": (one, one[::-1]),
        "columns": (wide[:, :3], wide[:, 2:5]),
        "every other column": (wide[:, ::2], wide[:, 2:5]),
        "half an entry on": (long[:6], bytes_on),
    }[name]


PAIRS_THAT_SHARE = (
    "the same", "another view", "turned", "a row on", "reversed", "columns", "every other column",
    "half an entry on",
)  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("how", PAIRS_THAT_SHARE)
@pytest.mark.parametrize("family", PAIRS)
def test_a_pair_on_the_same_memory_is_refused(family, how, backend):
    """Before anything is written."""
    given, out = draw(family, 6, 3), shared(how)
    for more in (PLAIN | {"gammas": 0.9, "lambdas": 0.8}, {}):
        with pytest.raises(
            ValueError, match="out: got a pair of arrays that share memory, expected two that"
        ):
            call(family, given, backend, out=out, **more)
    assert not out[0].any()
    assert not out[1].any()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("strides", [(0, 1), (3, 0), (1, 1), (2, 1), (-1, 2), (2, 4), (-1, -1)], ids=str)
def test_entries_on_the_same_memory_are_refused(strides, backend):
    """An array for one result or among a pair, before anything is written."""
    out, other, given = strided(strides), np.zeros((6, 3)), draw("gae", 6, 3)
    more = {**PLAIN, "gammas": 0.9, "lambdas": 0.8}
    with pytest.raises(ValueError, match=r"out: got shape \(6, 3\) with strides .* expected an array whose"):
        call("lambda_returns", given, backend, out=out, **more)
    for i, pair in enumerate([(out, other), (other, out)]):
        with pytest.raises(ValueError, match=rf"out\[{i}\]: got shape \(6, 3\) with strides"):
            call("gae", given, backend, out=pair, **more)
    assert not out.any()
    assert not other.any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pair_may_lie_between_each_other(backend):
    """Every other row or column, halves, one array of pairs, strides that only interleave."""
    given = draw("gae", 6, 3)
    wanted = returns_oracle.returns("gae", given)
    rows, columns, last, flat = np.zeros((12, 3)), np.zeros((6, 6)), np.zeros((6, 3, 2)), np.zeros((36, 3))
    for out in (
        (rows[::2], rows[1::2]), (rows[::-2], rows[::2]), (rows[:6], rows[6:]),
        (columns[:, ::2], columns[:, 1::2]), (columns[:, :3], columns[:, 3:]),
        (columns[:, 3:], columns[:, 2::-1]),
        (last[..., 0], last[..., 1]), (flat[::6], flat[3::6]),
        (strided((3, 7)), strided((3, 11))), (strided((5, 2)), strided((-8, 1))),
    ):  # fmt: skip
        check(call("gae", given, backend, out=out), wanted, 1e-13)
        check(out, wanted, 1e-13)
    wide = np.zeros((6, 9), "f4")  # after each entry of float32 one of float64
    narrow = draw("gae", 6, 3, dtype=np.float32)
    wanted = returns_oracle.returns("gae", narrow)
    mixed = np.ndarray((6, 3), buffer=wide, offset=4, strides=(36, 12)), wide[:, ::3]
    check(call("gae", narrow, backend, out=mixed), wanted, F4_TOLERANCE)


# ---- pieces ----


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("time_axis", [0, 1], ids=["time-major", "batch-major"])
@pytest.mark.parametrize("family", ["lambda_returns", "gae", "vtrace", "off_policy_returns"])
def test_a_later_piece_stands_for_one_last_transition(family, time_axis, backend):
    """Which ends with the return of that piece: split is whole, with rates by the step, and flags."""
    T, B, s = 21, 4, 9
    given = draw(family, T, B)
    given["mask"][:] = True
    if "rhos" in given["extra"]:
        given["extra"]["rhos"][s] = 1.0
        given["extra"] |= {"rho_bar": 1.3, "c_bar": 0.7} if family == "vtrace" else {}
    whole = call(family, given, backend, time_axis=time_axis)
    later = call(family, like(given, lambda x: x[s:]), backend, time_axis=time_axis)
    earlier = like(given, lambda x: x[: s + (2 if len(x) > T else 1)].copy())
    earlier["rewards"][s] = later[1][0] if family == "gae" else later[0][0]
    earlier["terminated"][s] = True
    earlier = call(family, earlier, backend, time_axis=time_axis)
    for every, before, after in zip(whole, earlier, later, strict=True):
        if every is not None:
            assert relative(np.concatenate([before[:s], after]), every) < 1e-13


# ---- long ones ----


def composed(a, c):
    """X_t = a_t + c_t X_{t+1}, X_T = 0, in long double, (T, B): a thousand spans at once, then their ends."""
    T, B = a.shape
    a, c = (x.reshape(1000, T // 1000, B) for x in (a, c))
    sums, products = np.zeros((1000, B), np.longdouble), np.ones((1000, B), np.longdouble)
    for t in reversed(range(T // 1000)):
        sums, products = a[:, t] + c[:, t] * sums, c[:, t] * products
    X = np.zeros((1001, B), np.longdouble)
    for k in reversed(range(1000)):
        X[k] = sums[k] + products[k] * X[k + 1]
    X, found = X[1:], np.empty_like(a)
    for t in reversed(range(T // 1000)):
        found[:, t] = X = a[:, t] + c[:, t] * X
    return found.reshape(T, B)


@cache
def a_million_steps(family):
    """Arguments in float32 for a batch of three with rates that vary near 1, and results in long double."""
    rng = np.random.default_rng(5)
    T, B = 1_000_000, 3
    rewards, values = rng.standard_normal((2, T + 1, B), np.float32)
    rewards = rewards[:T] + np.float32(0.1)
    gammas, lambdas = 1 - 1e-4 * rng.random((T, B)), 1 - 1e-5 * rng.random(T)
    rhos = (1 + 1e-5 * rng.standard_normal((T, B))).astype(np.float32)
    R, v, g, rho = (x.astype(np.longdouble) for x in (rewards, values, gammas, rhos))
    l = lambdas.astype(np.longdouble)[:, None]  # noqa: E741
    if family == "lambda_returns":
        a = R + g * (1 - l) * v[1:]
        a[-1] += g[-1] * l[-1] * v[-1]
        return (rewards, values), gammas, lambdas, (composed(a, g * l),)
    rho = np.minimum(1, rho)
    Y = composed(rho * (R + g * v[1:] - v[:-1]), g * l * rho)
    vs = v.copy()
    vs[:-1] += Y
    return (rewards, values, rhos), gammas, lambdas, (vs[:-1], rho * (R + g * vs[1:] - v[:-1]))


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("time_axis", [0, 1], ids=["time-major", "batch-major"])
@pytest.mark.parametrize("family", ["lambda_returns", "vtrace"])
def test_a_million_steps_of_three(family, time_axis, backend):
    """Rates that differ from step to step: within 5e-7 of the largest result of long double."""
    arrays, gammas, lambdas, wanted = a_million_steps(family)
    arrays, gammas = [x.T if time_axis else x for x in arrays], gammas.T if time_axis else gammas
    if time_axis:
        arrays, gammas = [np.ascontiguousarray(x) for x in arrays], np.ascontiguousarray(gammas)
    more = {"gammas": gammas, "lambdas": lambdas, "time_axis": time_axis, "backend": backend}
    found = getattr(api, family)(*arrays, **more)
    found = found if isinstance(found, tuple) else (found,)
    for got, want in zip(found, wanted, strict=True):
        assert got.dtype == np.float32
        assert relative(got.T if time_axis else got, want) < 5e-7
