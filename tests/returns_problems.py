"""Problems for ft.returns: arrays drawn at random, the call with them, and how far off its results are."""

import numpy as np

from fasttrace import registry
from fasttrace import returns as api

KERNELS = [row.kernel for row in registry.RETURNS]
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


def call(
    family,
    given,
    backend,
    *,
    time_axis=0,
    horizon=None,
    flat=False,
    rows=None,
    among=api.__dict__.get,
    **more,
):
    """The function, n_step_returns where n is given, on these: (first, second or None) as (T, B).

    among  the function of a name: fasttrace.returns has the public ones
    """

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
        keywords |= {name: x for name, x in given["extra"].items() if name.endswith("_bar")}
    found = among("n_step_returns" if "n" in more else family)(
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
