"""Returns agree with the recursions written out in long double, whatever the flags, layouts and types."""

import inspect
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import returns_oracle
from returns_problems import KERNELS, call, check, draw, hide, oriented, registry_tolerance, relative
from streams import BACKENDS, COMPILED

import fasttrace as ft
from fasttrace import registry
from fasttrace import returns as api

GOLDEN = Path(__file__).parent / "golden" / "returns.npz"
SHAPES = [(1, 1), (7, 1), (23, 1), (12, 3), (3, 17), (9, 65)]


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


# ---- the quick ways of GAE: one gamma, one lambda, terminations alone ----

SIZES = [(t, 2) for t in range(1, 34)] + [(5, B) for B in (7, 8, 15, 16, 17, 63, 64, 65, 129, 600)]
SIZES += [(9, 16), (13, 17), (65, 16), (3, 1100)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_gae_of_any_size(dtype, backend):
    """T and B around multiples of what is done at once; with NaN behind every termination."""
    for T, B in SIZES:
        given = draw("gae", T, B, dtype=dtype, rates=False)
        given["truncated"][:] = False
        given["mask"][:] = True
        wanted = returns_oracle.returns("gae", given)
        values = given["extra"]["values"]
        more = {"gammas": 0.9, "lambdas": 0.8, "backend": backend}
        ends = given["terminated"]
        tolerance = 2e-7 if dtype == np.float32 else 1e-14
        check(api.gae(given["rewards"], values, terminated=ends, **more), wanted, tolerance)
        turned = api.gae(
            given["rewards"].T.copy(), values.T.copy(), terminated=ends.T.copy(), time_axis=1, **more
        )
        check([each.T for each in turned], wanted, tolerance)
        for b in (0, B - 1):
            one = api.gae(given["rewards"][:, b], values[:, b], terminated=ends[:, b], **more)
            check(one, [each[:, b] for each in wanted], tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("where", ["first", "last", "all", "none"])
def test_nan_behind_a_termination_stays_there(where, backend):
    """Whatever stands in the values of the states that no episode arrives in."""
    T, B = 37, 9
    given = draw("gae", T, B, rates=False)
    ends = np.zeros((T, B), bool)
    ends[{"first": 0, "last": T - 1, "all": slice(None), "none": slice(0, 0)}[where]] = True
    rewards, values = given["rewards"], given["extra"]["values"]
    clean = api.gae(rewards, values, gammas=0.9, lambdas=0.8, terminated=ends, backend=backend)
    spoilt = values.copy()
    if where in ("last", "all"):
        spoilt[T] = np.nan
    if where == "first":  # the whole first episode is one transition
        spoilt[1:] = np.nan
        rewards = rewards.copy()
        rewards[1:] = np.nan
    for time_axis in (0, 1):
        found = api.gae(
            oriented(rewards, time_axis), oriented(spoilt, time_axis), gammas=0.9, lambdas=0.8,
            terminated=oriented(ends, time_axis), time_axis=time_axis, backend=backend,
        )  # fmt: skip
        for got, want in zip(found, clean, strict=True):
            got = got.T if time_axis else got
            first = slice(0, 1) if where == "first" else slice(None)
            np.testing.assert_allclose(got[first], want[first], rtol=1e-12, atol=1e-12)
            if where == "first":
                assert np.isnan(got[1:]).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("time_axis", [0, 1])
def test_upgo_decides_by_what_is_there(time_axis, backend):
    """Across a gap by the next transition; a NaN of q reaches what hangs on it, and nothing else."""
    B, values, mask = 9, np.full(6, 0.5), np.array([True, False, True, True, True])

    def found(q, mask=mask, **more):
        rewards, v, there = (np.tile(each, (B, 1)) for each in (np.ones(5), values, mask))
        arrays = (oriented(each.T, time_axis) for each in (rewards, v, np.tile(q, (B, 1))))
        flags = oriented(there.T, time_axis)
        G = api.upgo(*arrays, gammas=0.9, mask=flags, time_axis=time_axis, backend=backend, **more)
        return (G.T if time_axis else G)[:, 0]

    up, down = np.array([np.nan, np.nan, 1.0, 1, 1]), np.array([np.nan, np.nan, 0.0, 1, 1])
    G_2 = 1 + 0.9 * (1 + 0.9 * (1 + 0.9 * 0.5))
    np.testing.assert_allclose(found(up), [1 + 0.9 * G_2, 0, G_2, 1 + 0.9 * (1 + 0.9 * 0.5), 1 + 0.9 * 0.5])
    np.testing.assert_allclose(found(down)[:3], [1 + 0.9 * 0.5, 0, G_2])
    unknown = np.array([1.0, 1, 1, np.nan, 1])
    assert np.isnan(found(unknown, np.ones(5, bool))).tolist() == [True, True, True, False, False]
    assert np.isfinite(found(unknown, np.ones(5, bool), lambdas=0.0)).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_batch_with_time_last(backend):
    rewards, values = np.zeros((0, 4)), np.zeros((0, 5))
    assert api.lambda_returns(rewards, values, gammas=0.9, time_axis=1, backend=backend).shape == (0, 4)
    more = {"gammas": 0.9, "time_axis": 1, "backend": backend}
    assert api.upgo(rewards, rewards, rewards, bootstrap=np.zeros(0), mask=rewards == 0, **more).shape == (
        0,
        4,
    )
    assert [each.shape for each in api.gae(rewards, values, **more)] == [(0, 4)] * 2
    with pytest.raises(ValueError, match="time_axis"):
        api.gae(np.zeros(4), np.zeros(5), gammas=0.9, time_axis=2, backend=backend)


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("varying", [False, True], ids=["constant", "varying"])
@pytest.mark.parametrize("decay", [0.9, 0.999, 0.99999])
def test_a_million_steps_in_float32(decay, varying, backend):
    """Against long double, of the largest result: 2e-7 for constant gamma lambda, 5e-7 for varying ones."""
    rng = np.random.default_rng(3)
    T = 1_000_000
    rewards, values = rng.standard_normal((2, T + 1)).astype(np.float32)
    rewards = rewards[:T] + np.float32(0.1)
    gammas = np.clip(decay + (1 - decay) * rng.uniform(-1, 1, T), 0, 1) if varying else decay
    found = api.gae(rewards, values, gammas=gammas, lambdas=1.0, backend=backend)
    A, want = np.longdouble(0), np.empty(T, np.longdouble)
    r, v = rewards.astype(np.longdouble), values.astype(np.longdouble)
    g = np.broadcast_to(np.asarray(gammas, np.longdouble), T)
    delta = r + g * v[1:] - v[:-1]
    for t in range(T - 1, -1, -1):
        want[t] = A = delta[t] + g[t] * A
    bound = 5e-7 if varying else 2e-7
    assert relative(found[0], want) < bound
    assert relative(found[1], want + v[:-1]) < bound


@pytest.mark.parametrize("backend", ["c"])
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("family", KERNELS)
def test_every_level_of_the_cpu_agrees(family, level, backend, monkeypatch):
    """The loops in plain C, for AVX2 and for AVX-512 give the same but for rounding."""
    kernels = pytest.importorskip("fasttrace.backends.c.returns", exc_type=ImportError)
    if level > kernels.lib.ft_returns_level():
        pytest.skip("this CPU has no such vectors")
    monkeypatch.setattr(kernels, "_run", lambda struct: kernels.lib.ft_returns_run_at(struct, level))
    monkeypatch.setattr(api, "native", None)  # which calls the kernel by its address
    for T, B, dtype in ((29, 1, np.float64), (21, 70, np.float64), (5, 17, np.float64), (21, 70, np.float32)):
        for rates in (True, False):
            given = draw(family, T, B, masked=0.1 * rates, rates=rates, dtype=dtype)
            given["truncated"] &= rates
            wanted = returns_oracle.returns(family, given)
            for time_axis in (0, 1):
                more = {} if rates else {"gammas": 0.9, "lambdas": 0.8, "truncated": None, "mask": None}
                found = call(family, given, backend, time_axis=time_axis, **more)
                check(found, wanted, registry_tolerance(family) if dtype == np.float64 else 2e-7)


# ---- layouts, types, out ----


def usual(seed=0, T=11, B=5):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((T, B)), rng.standard_normal((T + 1, B)), rng.random((T, B)) < 0.2


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_strides(backend):
    """Reversed, transposed, every other one, broadcast and read-only arrays give what their copies give."""
    rewards, values, ends = usual()
    more = {"gammas": 0.9, "lambdas": 0.8, "backend": backend}

    def agree(*arrays):
        want = api.gae(*(each.copy() for each in arrays[:2]), terminated=arrays[2].copy(), **more)
        got = api.gae(*arrays[:2], terminated=arrays[2], **more)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-13)

    agree(rewards[::-1], values[::-1], ends[::-1])
    agree(rewards[:, ::-1], values[:, ::-1], ends[:, ::-1])
    agree(np.asfortranarray(rewards), np.asfortranarray(values), np.asfortranarray(ends))
    agree(np.asfortranarray(rewards), values, ends)
    agree(rewards[:, ::2], values[:, ::2], ends[:, ::2])
    agree(np.broadcast_to(rewards[:, :1], rewards.shape), values, np.broadcast_to(ends[:, :1], ends.shape))
    agree(np.broadcast_to(rewards[:1], rewards.shape), np.broadcast_to(values[:1], values.shape), ends)
    for each in (rewards, values, ends):
        each.flags.writeable = False
    agree(rewards, values, ends)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("given", "result"),
    [
        (("f4", "f4"), "f4"), (("f8", "f8"), "f8"), (("f4", "f8"), "f8"), (("f2", "f2"), "f2"),
        (("f2", "f4"), "f4"), (("i4", "f4"), "f8"), (("i8", "i8"), "f8"), (("u1", "f8"), "f8"),
        ((">f4", "f4"), "f4"),
    ],
    ids=str,
)  # fmt: skip
def test_types(given, result, backend):
    """The results have the floats' type; integers count as float64, and numbers do not count."""
    rewards, values, ends = usual()
    rewards, values = (np.round(3 * abs(x)).astype(t) for x, t in zip((rewards, values), given, strict=True))
    found = api.gae(rewards, values, gammas=0.5, lambdas=np.float64(0.5), terminated=ends, backend=backend)
    assert [each.dtype for each in found] == [np.dtype(result)] * 2
    exact = api.gae(rewards.astype("f8"), values.astype("f8"), gammas=0.5, lambdas=0.5, terminated=ends)
    tolerance = {"f2": 1e-3, "f4": 2e-7, "f8": 1e-14}[result]
    check(found, exact, tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
def test_out_may_overlap_the_inputs(backend):
    """In place of the rewards, over the values, over each other's rows, transposed, of a wider type."""
    rewards, values, ends = usual()
    more = {"gammas": 0.9, "lambdas": 0.8, "terminated": ends, "backend": backend}
    want = api.gae(rewards, values, **more)

    def agree(rewards, values, out):
        found = api.gae(rewards, values, out=out, **more)
        for got, given, right in zip(found, out, want, strict=True):
            assert got is given
            np.testing.assert_allclose(got, right, rtol=1e-13, atol=1e-13)

    agree(rewards, values, (np.empty_like(rewards), np.empty_like(rewards)))
    r, v = rewards.copy(), values.copy()
    agree(r, v, (r, v[1:]))
    r, v = rewards.copy(), values.copy()
    agree(r, v, (v[:-1], r))
    both = np.empty((2, *rewards.shape))
    both[0] = rewards
    agree(both[0], values, (both[1], both[0]))
    agree(rewards, values, (np.empty_like(rewards.T).T, np.empty((11, 10))[:, ::2]))
    r32, v32 = rewards.astype("f4"), values.astype("f4")
    wide = (np.empty_like(rewards), np.empty_like(rewards))
    check(api.gae(r32, v32, out=wide, **more), api.gae(r32, v32, **more), 1e-12)
    v = values.copy()
    np.testing.assert_allclose(
        api.lambda_returns(rewards, v, out=v[:-1], **more),
        api.lambda_returns(rewards, values, **more),
        rtol=1e-13,
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", KERNELS)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)], ids=str)
def test_nothing_gives_nothing(shape, family, backend):
    """T = 0 or B = 0."""
    given = draw(family, *shape)
    first, second = call(family, given, backend)
    assert first.shape == shape
    assert (second is not None) == (family in ("gae", "vtrace"))


# ---- what must be the same ----


@pytest.mark.parametrize("backend", BACKENDS)
def test_identities(backend):
    """Exercises of chapter 12, and what each function becomes at the ends of its range."""
    rewards, values, ends = usual(4)
    rng = np.random.default_rng(5)
    q, expected_q = rng.standard_normal((2, 12, 5))
    rhos, pi = 2 * rng.random((2, 12, 5))
    pi /= 2
    cut, ones = rng.random((11, 5)) < 0.1, np.ones((12, 5))
    more = {"gammas": rng.random((11, 5)), "terminated": ends, "truncated": cut, "backend": backend}
    more["next_values"] = rng.standard_normal((11, 5))
    lambdas = rng.random((11, 5))

    def same(a, b):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)

    returns = api.lambda_returns(rewards, values, lambdas=lambdas, **more)
    same(
        api.lambda_returns(rewards, values, lambdas=0.0, **more),
        api.n_step_returns(rewards, values, n=1, **more),
    )
    advantages, targets = api.gae(rewards, values, lambdas=lambdas, **more)
    same(advantages + values[:-1], returns)
    same(targets, returns)
    vs, _ = api.vtrace(rewards, values, ones, lambdas=lambdas, **more)
    same(vs, returns)
    same(api.off_policy_returns(rewards, values, ones, lambdas=lambdas, **more), returns)
    backup = api.tree_backup(rewards, q, expected_q, pi, lambdas=lambdas, **more)
    same(api.q_sigma(rewards, q, expected_q, rhos, pi, 0.0, lambdas=lambdas, **more), backup)
    same(api.off_policy_action_returns(rewards, q, expected_q, pi, lambdas=lambdas, **more), backup)
    control = api.off_policy_action_returns(rewards, q, expected_q, rhos, lambdas=lambdas, **more)
    same(api.q_sigma(rewards, q, expected_q, rhos, pi, 1.0, lambdas=lambdas, **more), control)
    capped = api.off_policy_action_returns(
        rewards, q, expected_q, np.minimum(1, rhos), lambdas=lambdas, **more
    )
    same(api.retrace(rewards, q, expected_q, rhos, lambdas=lambdas, **more), capped)
    same(api.upgo(rewards, values, values + 1, lambdas=lambdas, **more), returns)
    same(api.upgo(rewards, values, values - 1, **more), api.n_step_returns(rewards, values, n=1, **more))
    same(api.n_step_returns(rewards, values, n=99, **more), api.lambda_returns(rewards, values, **more))
    sums = api.discounted_sum(rewards, bootstrap=values[-1], **more)
    same(sums, api.lambda_returns(rewards, values, **more))  # lambda 1 is Monte Carlo


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_end_of_a_piece_goes_on_as_its_bootstrap(backend):
    """The returns of the later part are what the earlier part goes on with: split is whole."""
    rewards, values, ends = usual(6, T=20)
    more = {"gammas": 0.9, "lambdas": 1.0, "backend": backend}
    whole = api.lambda_returns(rewards, values, terminated=ends, **more)
    later = api.lambda_returns(rewards[7:], values[7:], terminated=ends[7:], **more)
    earlier = api.lambda_returns(rewards[:7], values[:7], bootstrap=later[0], terminated=ends[:7], **more)
    np.testing.assert_allclose(np.concatenate([earlier, later]), whole, rtol=1e-12, atol=1e-12)


# ---- flags ----


def test_flags_of_episode_starts():
    """starts[t + 1] says that transition t ended an episode, as bool or as the floats that others keep."""
    starts = np.array([1, 0, 0, 1, 0, 1])
    want = [False, False, True, False, True]
    for each in (starts.astype(bool), starts, starts.astype("f4")):
        found = api.from_episode_starts(each)
        assert found.dtype == bool
        assert found.tolist() == want
    two = np.stack([starts, 1 - starts])
    assert api.from_episode_starts(two, time_axis=1).tolist() == [want, [not each for each in want]]
    assert api.from_episode_starts(two.T)[:, 0].tolist() == want


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32], ids=["uint8", "int64", "float32"])
def test_flags_may_be_numbers(dtype, backend):
    """0 and 1 of any type."""
    rewards, values, ends = usual()
    more = {"gammas": 0.9, "lambdas": 0.8, "backend": backend}
    want = api.gae(rewards, values, terminated=ends, **more)
    found = api.gae(rewards, values, terminated=ends.astype(dtype), mask=np.ones(ends.shape, dtype), **more)
    check(found, want, 1e-14)


@pytest.mark.parametrize("backend", BACKENDS)
def test_terminated_goes_before_truncated(backend):
    """Where both are set next_values is not read, and need not be given."""
    rewards, values, ends = usual()
    more = {"gammas": 0.9, "lambdas": 0.8, "terminated": ends, "backend": backend}
    want = api.gae(rewards, values, **more)
    check(api.gae(rewards, values, truncated=ends, **more), want, 1e-14)
    nothing = np.full(ends.shape, np.nan)
    check(api.gae(rewards, values, truncated=ends, next_values=nothing, **more), want, 1e-14)


# ---- bad input ----

GOOD = {"gammas": 0.9, "lambdas": 0.8}
LONG = np.zeros((4, 2))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("arrays", "keywords", "error", "says"),
    [
        ((LONG[:3], LONG[:3]), {}, ValueError, "values: got 3 rows, expected 4, or bootstrap="),
        ((LONG[:3], LONG[:2]), {}, ValueError, r"values: got shape \(2, 2\)"),
        ((LONG[:3], LONG), {"bootstrap": [0.0, 0.0]}, ValueError, r"values: got shape \(4, 2\)"),
        ((LONG[:3], LONG[:3]), {"bootstrap": [0.0]}, ValueError, r"bootstrap: got shape \(1,\)"),
        ((LONG[:3], LONG[:, :1]), {}, ValueError, r"values: got shape \(4, 1\)"),
        ((1.0, LONG), {}, ValueError, "rewards: got shape"),
        ((LONG[None], LONG), {}, ValueError, r"values: got shape \(4, 2\), expected \(2, 4, 2\)"),
        ((LONG[:3], LONG), {"time_axis": 2}, ValueError, "time_axis: got 2"),
        ((LONG[:3], LONG), {"gammas": 1.5}, ValueError, "gammas: got 1.5, expected a number from 0 to 1"),
        ((LONG[:3], LONG), {"lambdas": -0.1}, ValueError, "lambdas: got -0.1"),
        ((LONG[:3], LONG), {"gammas": [0.5, 2.0, 0.5]}, ValueError, "gammas: entry 1 is 2.0, expected"),
        ((LONG[:3], LONG), {"lambdas": LONG[:3] - 1}, ValueError, "lambdas: entry 0, 0 is -1.0"),
        ((LONG[:3], LONG), {"gammas": [0.5, 0.5]}, ValueError, r"gammas: got shape \(2,\)"),
        ((LONG[:3], LONG), {"gammas": "a"}, TypeError, "gammas: expected real numbers"),
        ((LONG[:3] == 0, LONG), {}, TypeError, "rewards: expected real numbers, got dtype bool"),
        ((LONG[:3], LONG + 1j), {}, TypeError, "values: expected real numbers"),
        ((LONG[:3], LONG), {"terminated": LONG[:2]}, ValueError, r"terminated: got shape \(2, 2\)"),
        ((LONG[:3], LONG), {"terminated": LONG[:3] + 0.5}, ValueError, "terminated: got 0.5, expected flags"),
        ((LONG[:3], LONG), {"mask": np.full((3, 2), "x")}, TypeError, "mask: expected flags"),
        ((LONG[:3], LONG), {"truncated": LONG[:3] == 0}, ValueError, "truncated: entry 0, 0 is set"),
        ((LONG[:3], LONG), {"horizon": 0}, ValueError, "horizon: got 0"),
        ((LONG[:3], LONG), {"horizon": 1.5}, TypeError, "horizon: expected an integer"),
        ((LONG[:3], LONG), {"out": LONG[:3].copy()}, TypeError, "out: got ndarray, expected a pair"),
        ((LONG[:3], LONG), {"out": (LONG[:3].copy(), LONG)}, ValueError, r"out\[1\]: got shape"),
        ((LONG[:3], LONG), {"out": (LONG[:3].copy(), None)}, TypeError, r"out\[1\]: got NoneType"),
        ((LONG[:3], LONG), {"out": (np.zeros((3, 2), "i8"), LONG[:3])}, TypeError, r"out\[0\]: got dtype"),
        ((LONG[:3], LONG), {"nothing": 1}, TypeError, "nothing"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(arrays, keywords, error, says, backend):
    """What was given, what is allowed, and where; nothing has been written to."""
    with pytest.raises(error, match=says):
        api.gae(*arrays, **{**GOOD, "backend": backend, **keywords})


@pytest.mark.parametrize("backend", BACKENDS)
def test_bad_ratios_are_refused(backend):
    """A negative rho, a pi or sigma outside [0, 1]; the last row has no effect and may be anything."""
    rewards, values, _ = usual(T=3, B=2)
    q, ones = values, np.ones((4, 2))
    wrong = ones.copy()
    wrong[1, 1] = -1
    more = {**GOOD, "backend": backend}
    with pytest.raises(ValueError, match=r"rhos: entry 1, 1 is -1.0, expected numbers of at least 0"):
        api.vtrace(rewards, values, wrong, **more)
    with pytest.raises(ValueError, match="pi: entry"):
        api.tree_backup(rewards, q, values, 2 * ones, **more)
    with pytest.raises(ValueError, match="sigmas: entry"):
        api.q_sigma(rewards, q, values, ones, ones, wrong, **more)
    for bar in ("rho_bar", "c_bar", "pg_rho_bar"):
        with pytest.raises(ValueError, match=rf"^{bar}: got -1\.0, expected a number of at least 0"):
            api.vtrace(rewards, values, ones, **{bar: -1}, **more)
        with pytest.raises(ValueError, match=f"^{bar}: got nan"):
            api.vtrace(rewards, values, ones, **{bar: np.nan}, **more)
        with pytest.raises(TypeError, match=f"^{bar}: expected a real number"):
            api.vtrace(rewards, values, ones, **{bar: "1"}, **more)
    with pytest.raises(ValueError, match="n: got 0"):
        api.n_step_returns(rewards, values, n=0, gammas=0.9)
    wrong = ones.copy()
    wrong[3] = -1
    api.vtrace(rewards, values, wrong, **more)
    with pytest.raises(ValueError, match="backend='rust'"):
        api.gae(rewards, values, **{**more, "backend": "rust"})


# What each function needs beside rewards and gammas.
NEEDED = {
    "lambda_returns": ("values",),
    "off_policy_returns": ("values", "rhos"),
    "off_policy_action_returns": ("q", "expected_q", "rhos"),
    "retrace": ("q", "expected_q", "rhos"),
    "tree_backup": ("q", "expected_q", "pi"),
    "q_sigma": ("q", "expected_q", "rhos", "pi", "sigmas"),
    "gae": ("values",),
    "vtrace": ("values", "rhos"),
    "discounted_sum": (),
    "n_step_returns": ("values",),
    "upgo": ("values", "q"),
}


@pytest.mark.parametrize("name", NEEDED)
def test_a_wrong_keyword_is_named(name):
    """As it was typed, with the function that was called and the keyword that comes nearest."""
    function, given = getattr(api, name), {"rewards": LONG[:3], **dict.fromkeys(NEEDED[name], LONG)}
    more = {"n": 2} if name == "n_step_returns" else {}
    for wrong, right in (
        ({"gamma": 0.9}, "gammas"), ({"gammas": 0.9, "truncatd": None}, "truncated"),
        ({"gammas": 0.9, "lambda_": 0.8}, "lambdas"), ({"gammas": 0.9, "next_value": LONG}, "next_values"),
    ):  # fmt: skip
        typed = next(key for key in wrong if key != "gammas")
        says = rf"^{name}: unknown keyword '{typed}'; did you mean '{right}'\?$"
        with pytest.raises(TypeError, match=says):
            function(**given, **more, **wrong)
    with pytest.raises(TypeError, match=rf"^{name}: unknown keyword 'bars'; "):
        function(**given, **more, gammas=0.9, bars=(1.0, 1.0, None))
    with pytest.raises(TypeError, match=rf"^{name}: .*'xyz'; it takes rewards, .*backend$"):
        function(**given, **more, gammas=0.9, xyz=1)
    with pytest.raises(TypeError, match=rf"^{name}: missing the argument 'gammas'$"):
        function(**given, **more)
    for array in given:
        rest = {key: value for key, value in given.items() if key != array}
        with pytest.raises(TypeError, match=rf"^{name}: missing the argument '{array}'$"):
            function(**rest, **more, gammas=0.9)
        with pytest.raises(TypeError, match=rf"^{name}: .*'{array}x'; did you mean '{array}'\?$"):
            function(**rest, **{f"{array}x": LONG}, **more, gammas=0.9)


def test_other_wrong_keywords():
    """n, and what from_episode_starts takes."""
    with pytest.raises(TypeError, match=r"^n_step_returns: .*'N'; did you mean 'n'\?"):
        api.n_step_returns(LONG[:3], LONG, N=2, gammas=0.9)
    with pytest.raises(TypeError, match=r"^n_step_returns: missing the argument 'n'"):
        api.n_step_returns(LONG[:3], LONG, gammas=0.9)
    with pytest.raises(TypeError, match=r"^from_episode_starts: .*'axis'; did you mean 'time_axis'\?"):
        api.from_episode_starts([1, 0], axis=1)
    with pytest.raises(TypeError, match=r"^from_episode_starts: missing the argument 'starts'"):
        api.from_episode_starts()


class Tensor:
    """An array of another library, that NumPy cannot read."""

    def __init__(self, error):
        self.error = error

    def __array__(self, *args, **kwargs):
        raise self.error


ARRAYS = {"rewards", "gammas", "lambdas", "terminated", "truncated", "mask", "next_values", "bootstrap"}


@pytest.mark.parametrize("array", sorted(ARRAYS.union(*NEEDED.values())))
def test_an_array_that_cannot_be_read_is_named(array):
    """Other libraries say what is wrong, as of bfloat16 or a gradient, but not of which argument."""
    name = next((name for name, needed in NEEDED.items() if array in needed), "lambda_returns")
    given = {"rewards": LONG[:3], **dict.fromkeys(NEEDED[name], LONG), "gammas": 0.9}
    if array == "bootstrap":
        given["values"] = LONG[:3]
    for error in (TypeError("Got unsupported ScalarType BFloat16"), RuntimeError("requires grad")):
        with pytest.raises(TypeError, match=rf"^{array}: got Tensor that NumPy cannot read \({error}\)"):
            getattr(api, name)(**{**given, array: Tensor(error)})
    with pytest.raises(ValueError, match=f"^{array}: got list that NumPy cannot read"):
        getattr(api, name)(**{**given, array: [[1.0], [1.0, 2.0]]})


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("time_axis", [0, 1])
def test_a_bound_of_its_own_on_the_ratio_of_the_policy_gradient(time_axis, backend):
    """vs stays what it is; the advantages are theirs by its equation, with flags and without, of any size."""
    for T, B, whole in ((11, 5, False), (9, 40, False), (40, 1, False), (11, 5, True)):
        given = draw("vtrace", T, B, masked=0.1)
        more = PLAIN_RATES if whole else {}
        bars = {"rho_bar": 1.3, "c_bar": 0.7}

        def found(pg_rho_bar, given=given, more=more, bars=bars):
            given["extra"] |= bars | {"pg_rho_bar": pg_rho_bar}
            return call("vtrace", given, backend, time_axis=time_axis, **more)

        vs, advantages = found(None)
        given["extra"]["pg_rho_bar"] = 1.3
        for got, want in zip(found(1.3), (vs, advantages), strict=True):
            np.testing.assert_array_equal(got, want)
        for bar in (0.0, 0.4, 2.0, np.inf):
            got = found(bar)
            np.testing.assert_array_equal(got[0], vs)
            if whole:
                rho, v = given["extra"]["rhos"][:T], given["extra"]["values"]
                v_next = np.where(given["terminated"], 0.0, np.vstack([vs[1:], v[T:]]))
                want = np.minimum(bar, rho) * (given["rewards"] + 0.9 * v_next - v[:T])
                np.testing.assert_allclose(got[1], want, rtol=1e-11, atol=1e-11)
            check(got, returns_oracle.returns("vtrace", oracle_of(given, more)), 1e-13)


PLAIN_RATES = {"gammas": 0.9, "lambdas": 0.8, "truncated": None, "mask": None, "next_values": None}


def oracle_of(given, more):
    """The problem that the call had."""
    if not more:
        return given
    changed = {name: np.full_like(given[name], more[name]) for name in ("gammas", "lambdas")}
    nothing = np.zeros_like(given["truncated"])
    return {**given, **changed, "truncated": nothing, "mask": ~nothing}


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_truncation_in_the_last_row_needs_next_values_too(backend):
    """values[T] is not of the state that it arrived in."""
    rewards, values, _ = usual(T=3, B=2)
    cut = np.zeros((3, 2), bool)
    cut[2, 1] = True
    with pytest.raises(ValueError, match="truncated: entry 2, 1 is set"):
        api.lambda_returns(rewards, values, truncated=cut, **GOOD, backend=backend)
    with pytest.raises(ValueError, match="truncated: entry 1, 2 is set"):
        api.gae(
            rewards.T.copy(), values.T.copy(), truncated=cut.T.copy(), time_axis=1, **GOOD, backend=backend
        )
    away = ~cut
    api.gae(rewards, values, truncated=cut, mask=away, **GOOD, backend=backend)


def test_half_lives():
    """lambda to the power of its half-life is one half."""
    assert ft.half_life(0) == 0
    assert ft.half_life(1) == np.inf
    assert ft.half_life(0.5) == 1
    for tau in (0.0, 0.3, 1.0, 50.0, np.inf):
        assert ft.half_life(ft.lambda_from_half_life(tau)) == pytest.approx(tau)
    with pytest.raises(ValueError, match="lambda_"):
        ft.half_life(1.1)
    with pytest.raises(ValueError, match="tau"):
        ft.lambda_from_half_life(-1)


def test_signatures_name_every_keyword():
    """Those of each function are those that it takes, and its docstring says what each is."""
    common = {"gammas", "lambdas", "terminated", "truncated", "mask", "next_values", "bootstrap", "horizon"}
    common |= {"time_axis", "out", "backend"}
    for name in KERNELS:
        function = getattr(api, name)
        keywords = inspect.signature(function).parameters
        assert common <= set(keywords), name
        assert not any(each.kind is each.VAR_KEYWORD or each.name == "bars" for each in keywords.values())
        described = {line.split()[0] for line in function.__doc__.splitlines() if line.strip()}
        assert common <= described, name


def test_each_public_function_is_in_the_registry():
    """And its arrays are its arguments."""
    others = {"n_step_returns", "from_episode_starts"}
    assert set(api.__all__) == set(KERNELS) | others
    for row in registry.RETURNS:
        kinds = inspect.signature(getattr(api, row.kernel)).parameters.values()
        arrays = [each.name for each in kinds if each.kind is each.POSITIONAL_OR_KEYWORD]
        assert arrays == ["rewards", *row.arguments]
