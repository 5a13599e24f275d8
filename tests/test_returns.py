"""Returns agree with the recursions written out in long double, whatever the flags, layouts and types."""

import inspect
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import returns_oracle
from streams import BACKENDS

import fasttrace as ft
from fasttrace import registry
from fasttrace import returns as api

GOLDEN = Path(__file__).parent / "golden" / "returns.npz"
KERNELS = [row.kernel for row in registry.RETURNS]
SHAPES = [(1, 1), (7, 1), (23, 1), (12, 3), (3, 17), (9, 65)]
IGNORED = np.nan


def relative(got, want):
    """max|got - want| / max|want|; infinite where one is NaN and the other is not."""
    got, want = np.asarray(got, np.longdouble), np.asarray(want, np.longdouble)
    if got.shape != want.shape or (np.isnan(got) != np.isnan(want)).any():
        return np.inf
    there = ~np.isnan(want)
    largest = np.abs(want[there]).max(initial=1e-3)
    return float(np.abs(got[there] - want[there]).max(initial=0.0) / largest)


def draw(family, T, B, seed=0, *, ends=0.15, masked=0.0, dtype=np.float64, rates=True):
    """Arrays (T, B) of one problem, as the oracle takes them; numbers with exact 0 and 1 among them."""
    rng = np.random.default_rng([seed, T, B, KERNELS.index(family)])

    def normal(rows):
        return rng.standard_normal((rows, B)).astype(dtype)

    def unit(rows):
        x = rng.random((rows, B))
        return np.where(x < 0.1, 0.0, np.where(x > 0.9, 1.0, x)).astype(dtype)

    row = next(row for row in registry.RETURNS if row.kernel == family)
    given = {
        "rewards": normal(T),
        "gammas": unit(T) if rates else np.full((T, B), 0.9),
        "lambdas": unit(T) if rates else np.full((T, B), 0.8),
        "terminated": rng.random((T, B)) < ends,
        "truncated": rng.random((T, B)) < ends,
        "mask": rng.random((T, B)) >= masked,
        "next_values": normal(T),
        "extra": {},
    }
    for name in row.arguments:
        if name == "rhos":
            given["extra"][name] = (2.5 * unit(T + 1)).astype(dtype)
        else:
            given["extra"][name] = unit(T + 1) if name in ("pi", "sigmas") else normal(T + 1)
    following = next((name for name in ("expected_q", "values") if name in row.arguments), None)
    if following:
        given["extra"]["following"] = given["extra"][following]
        given["last"] = given["extra"][following][T]
    else:
        given["last"] = normal(1)[0]
    if family == "vtrace":
        given["extra"] |= {"rho_bar": 1.3, "c_bar": 0.7}
    return given


def oriented(array, time_axis):
    return np.ascontiguousarray(array.T) if time_axis and np.ndim(array) == 2 else array


def call(family, given, backend, *, time_axis=0, horizon=None, flat=False, rows=None, **more):
    """The public function on these arrays: (first, second or None) as (T, B)."""

    def lay(array):
        return array[:, 0] if flat else oriented(array, time_axis)

    arguments = next(row for row in registry.RETURNS if row.kernel == family).arguments
    arrays = [given["extra"][name] for name in arguments]
    T = len(given["rewards"])
    if rows == T or family == "discounted_sum":
        last = given["last"]
        more["bootstrap"] = last[0] if flat else last
        arrays = [array[:T] for array in arrays]
    keywords = {
        name: lay(given[name])
        for name in ("gammas", "lambdas", "terminated", "truncated", "mask", "next_values")
        if name not in more
    }
    if family == "vtrace":
        keywords |= {name: given["extra"][name] for name in ("rho_bar", "c_bar")}
    found = getattr(api, family)(
        lay(given["rewards"]), *map(lay, arrays), **keywords, **more,
        horizon=horizon, time_axis=time_axis, backend=backend,
    )  # fmt: skip
    found = found if isinstance(found, tuple) else (found,)
    back = [each[:, None] if flat else each.T if time_axis else each for each in found]
    return back[0], back[1] if len(back) > 1 else None


def check(found, wanted, tolerance):
    for got, want in zip(found, wanted, strict=True):
        if got is not None:
            assert relative(got, want) < tolerance


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("time_axis", [0, 1], ids=["time-major", "batch-major"])
@pytest.mark.parametrize("family", KERNELS)
def test_agrees_with_the_recursion(family, time_axis, backend):
    """Flags, rates and ratios drawn at random, every ignored slot NaN; one trajectory and many."""
    for T, B in SHAPES:
        given = draw(family, T, B, masked=0.1)
        wanted = returns_oracle.returns(family, given)
        hide(given)
        tolerance = registry_tolerance(family)
        check(call(family, given, backend, time_axis=time_axis), wanted, tolerance)
        if B == 1:
            check(call(family, given, backend, flat=True, rows=T), wanted, tolerance)


def registry_tolerance(family):
    return next(row for row in registry.RETURNS if row.kernel == family).tolerance


def hide(given):
    """NaN where nothing may look: what is masked, and next values where nothing is truncated."""
    there, cut = given["mask"], given["truncated"] & ~given["terminated"]
    given["rewards"][~there] = IGNORED
    given["gammas"][~there] = IGNORED
    given["lambdas"][~there] = IGNORED
    given["next_values"][~(there & cut)] = IGNORED
    for name, array in given["extra"].items():
        if name in ("rhos", "pi", "sigmas"):
            array[:-1][~there] = IGNORED
            array[-1] = IGNORED
        if name == "q":
            array[-1] = IGNORED


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", KERNELS)
def test_a_horizon_looks_so_far_ahead(family, backend):
    """G_{t:t+h} of every t, at every horizon, with masks and flags in between."""
    T, B = 13, 2
    for horizon in (1, 2, 5, 12, 13, 40):
        given = draw(family, T, B, seed=horizon, ends=0.08, masked=0.15)
        wanted = returns_oracle.returns(family, given, horizon=horizon)
        for time_axis in (0, 1):
            found = call(family, given, backend, horizon=horizon, time_axis=time_axis)
            check(found, wanted, registry_tolerance(family))


@cache
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("ends", ["gamma", "flag"])
@pytest.mark.parametrize("case", ["G01", "G02"])
def test_agrees_with_the_golden_results(case, ends, backend):
    """Terminations as a gamma of 0 or as flags; horizons as shorter trajectories."""
    given = {key.split("/")[2]: value for key, value in golden().items() if key.startswith(f"{case}/in/")}
    gammas, lambdas, rho = given["gamma"][1:], given["lam"][1:], given["rho"]
    R, V, Q, Vbar = (given[name] for name in ("R", "V", "Q", "Vbar"))
    flags = given["terminal"]
    if ends == "gamma":
        gammas, flags = np.where(flags, 0.0, gammas), np.zeros_like(flags)

    def agree(found, name):
        assert relative(found, golden()[f"{case}/out/{name}"]) < 1e-10

    for h in given["h"]:
        more = {"gammas": gammas[:h], "lambdas": lambdas[:h], "terminated": flags[:h], "backend": backend}
        for name, values in (("state", V), ("sarsa", Q), ("expected", Vbar)):
            agree(api.lambda_returns(R[:h], values[: h + 1], **more), f"lambda_{name}_h{h}/G")
        agree(api.off_policy_returns(R[:h], V[: h + 1], rho[:h], **more), f"lambda_off_state_h{h}/G")
        found = api.off_policy_action_returns(R[:h], Q[: h + 1], Vbar[: h + 1], rho[:h], **more)
        agree(found, f"lambda_off_action_h{h}/G")
    more = {"gammas": gammas, "lambdas": lambdas, "terminated": flags, "backend": backend}
    for rho_bar, c_bar in ((1, 1), (2, 1)):
        vs, advantages = api.vtrace(R, V, rho, rho_bar=rho_bar, c_bar=c_bar, **more)
        agree(vs, f"v_trace_{rho_bar}_{c_bar}/vs")
        agree(advantages, f"v_trace_{rho_bar}_{c_bar}/adv")
    vs, advantages = api.vtrace(R, V, rho, **{**more, "lambdas": 1.0})
    agree(vs, "v_trace_lam1/vs")
    agree(advantages, "v_trace_lam1/adv")
    agree(api.retrace(R, Q, Vbar, rho, **more), "retrace/G")
    agree(api.gae(R, V, **more)[0], "gae/adv")
