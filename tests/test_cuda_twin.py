"""Returns on a GPU, and without one: the same kernels on the CPU, on arrays that stand for a device's."""

from enum import Enum
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from cuda_twin import KERNELS as TWINS
from cuda_twin import Host, host, kernels, on_device, place  # noqa: F401 - fixtures
from returns_problems import KERNELS, call, check, draw, hide

import fasttrace as ft
from fasttrace.backends.cuda import arrays, compiler, device, returns

needs_c = pytest.mark.skipif(ft.backends()["c"] is not None, reason="needs C")
gae = partial(on_device, "gae")


def problem(family, T, B, **more):
    """With NaN wherever nothing may look."""
    given = draw(family, T, B, masked=0.2, **more)
    hide(given)
    return given


def equal(found, wanted):
    for got, want in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(got, want, strict=True)


@needs_c
@pytest.mark.parametrize("horizon", [None, 4])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_thread_a_trajectory_is_plain_c_to_the_bit(dtype, horizon, kernels, monkeypatch):  # noqa: F811
    """Columns and windows, against the loops that have no fused multiply-add."""
    from fasttrace.backends.c import lib
    from fasttrace.backends.c import returns as c

    monkeypatch.setattr(c, "_run", lambda struct: lib.ft_returns_run_at(struct, 0))
    monkeypatch.setattr(ft.returns, "native", None)
    monkeypatch.setattr(returns, "_MANY", 1)
    for family in KERNELS:
        given = problem(family, 21, 130, dtype=dtype)
        found = call(family, given, "cuda", among=kernels, horizon=horizon)
        for got, want in zip(found, call(family, given, "c", horizon=horizon), strict=True):
            np.testing.assert_array_equal(got, want)


# One tile; tiles in a row; segments of one tile, and of several.
PLANS = {(90, 5): (1, 1), (70, 130): (2, 1), (2100, 3): (1, 2), (17000, 1): (2, 5)}


@pytest.mark.parametrize("shape", PLANS, ids=str)
def test_tiles_agree_with_the_reference(shape, kernels, monkeypatch):  # noqa: F811
    """With time on either axis."""
    monkeypatch.setattr(returns, "_FILLED", 4)
    *_, last = returns.plan(*shape, 0, True)
    assert (last.tiles, last.grid[1]) == PLANS[shape]
    for family in KERNELS if shape[0] < 1000 else ("upgo", "vtrace"):
        given = problem(family, *shape)
        want = call(family, given, "numpy" if shape[0] < 1000 else "auto")
        for time_axis in (0, 1):
            check(call(family, given, "cuda", among=kernels, time_axis=time_axis), want, 1e-12)


@pytest.mark.parametrize("rows", [12, 13])
def test_a_call_like_one_before_has_arrays_of_its_own(rows, host):  # noqa: F811
    """What is known of it is found, and is not where they are."""
    returns._known.clear()
    among = partial(partial, on_device)
    for family in KERNELS:
        one, other = problem(family, 12, 5, seed=1), problem(family, 12, 5, seed=2)
        want = [call(family, each, "numpy", rows=rows) for each in (one, other)]
        for each, wanted in zip((one, other, one), (*want, want[0]), strict=True):
            check(call(family, each, "cuda", among=among, rows=rows), wanted, 1e-12)
    assert len(returns._known) == len(KERNELS)


def test_what_is_far_away_can_be_nan_and_too_small(host):  # noqa: F811
    """Products of decays over a tile leave the range of doubles: NaN still reaches all, and 0 stays 0."""
    rewards, values = np.zeros(2048), np.zeros(2049)
    rewards[-1] = np.nan
    assert np.isnan(gae(rewards, values, gammas=0.5, lambdas=0.5)[0]).all()
    rewards[-1] = 0.0
    rhos, ends = np.full(2048, 9.0), np.zeros(2048, bool)
    found = on_device("off_policy_action_returns", rewards, values, values, rhos, gammas=1.0)
    np.testing.assert_array_equal(found, rewards)
    ends[7], rewards[8] = True, np.nan
    found = gae(rewards, values, gammas=0.9, terminated=ends)[0]
    assert np.isnan(found).tolist() == [t == 8 for t in range(2048)]


def test_any_strides_any_axes_any_types(host):  # noqa: F811
    """Nothing depends on how arrays lie, nor on flags being numbers."""
    rng = np.random.default_rng(0)
    rewards, values = rng.standard_normal((12, 6)), rng.standard_normal((13, 6))
    ends = rng.random((12, 6)) < 0.2
    rates = {"gammas": rng.random(12), "lambdas": np.float64(0.5)[None][0:1].repeat(12)}
    want = gae(rewards, values, terminated=ends, **rates)

    wide = np.zeros((13, 18))
    wide[::-1, ::3] = values
    equal(gae(np.asfortranarray(rewards), wide[::-1, ::3], terminated=ends.astype(int), **rates), want)
    boxed = [each.reshape(-1, 2, 3) for each in (rewards, values, ends)]
    found = gae(boxed[0], boxed[1], terminated=boxed[2], **rates)
    equal(found, [each.reshape(12, 2, 3) for each in want])
    turned = [np.moveaxis(each, 0, 1).copy() for each in boxed]
    found = gae(turned[0], turned[1], terminated=turned[2], time_axis=1, **rates)
    check([np.moveaxis(each, 1, 0).reshape(12, 6) for each in found], want, 1e-12)

    half = gae(rewards.astype(np.float16), values.astype(np.float16), gammas=0.9)
    assert half[0].dtype == half[1].dtype == np.float16
    assert gae(rewards.astype(int), values, gammas=0.9)[0].dtype == np.float64
    last = gae(rewards, values[:12], bootstrap=values[12], gammas=0.9)
    equal(last, gae(rewards, values, gammas=0.9))


def test_results_go_where_they_are_asked_for(host):  # noqa: F811
    """Into arrays of other types, and over the inputs."""
    rng = np.random.default_rng(1)
    rewards, values = rng.standard_normal((40, 3)), rng.standard_normal((41, 3))
    want = gae(rewards, values, gammas=0.9)
    narrow = np.empty((40, 3), np.float32), np.empty((40, 3))
    found = gae(rewards, values, gammas=0.9, out=narrow)
    assert found[0] is narrow[0]
    assert found[1] is narrow[1]
    equal(found, (want[0].astype(np.float32), want[1]))
    into = values[1:], rewards  # each the other's
    equal(gae(rewards, values, gammas=0.9, out=into), want)
    equal(into, want)
    with pytest.raises(ValueError, match=r"out: got a pair of arrays that share memory"):
        gae(rewards, values, gammas=0.9, out=(values[1:], values[:-1]))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_nothing_gives_nothing(shape, host):  # noqa: F811
    found = gae(np.zeros(shape), np.zeros((shape[0] + 1, *shape[1:])), gammas=0.9)
    assert [each.shape for each in found] == [shape, shape]


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        ({"values": np.zeros((3, 2))}, ValueError, r"values: got shape \(3, 2\), expected \(4, 2\)"),
        ({"gammas": 1.5}, ValueError, r"gammas: got 1.5, expected a number from 0 to 1"),
        ({"gammas": np.zeros(2)}, ValueError, r"gammas: got shape \(2,\), expected a number, \(3,\) or"),
        ({"truncated": np.zeros((3, 2), bool)}, ValueError, r"truncated: .* expected next_values as well"),
        ({"mask": np.zeros((2, 3), bool)}, ValueError, r"mask: got shape \(2, 3\), expected \(3, 2\)"),
        ({"values": [0.0] * 4}, TypeError, r"values: got list, expected an array of numpy"),
        ({"values": np.zeros((4, 2), complex)}, TypeError, r"values: expected real numbers, got"),
        ({"horizon": 0}, ValueError, r"horizon: got 0"),
        ({"out": np.zeros((3, 2))}, TypeError, r"out: got ndarray, expected a pair of arrays"),
        ({"bootstrap": np.zeros(3)}, ValueError, r"bootstrap: got shape \(3,\), expected \(2,\)"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(more, error, says, host):  # noqa: F811
    given = {"rewards": np.zeros((3, 2)), "values": np.zeros((4, 2)), "gammas": 0.9, **more}
    with pytest.raises(error, match=says):
        returns.on_device("gae", given)


def test_arrays_of_two_gpus_are_refused(host, monkeypatch):  # noqa: F811
    view = Host.view
    monkeypatch.setattr(
        Host, "view", lambda kind, name, each: view(kind, name, each)._replace(device=int(name == "values"))
    )
    with pytest.raises(TypeError, match="values: got an array on GPU 1, expected GPU 0"):
        gae(np.zeros(3), np.zeros(4), gammas=0.9)


def test_tensors_are_read_where_they_lie(host, monkeypatch):  # noqa: F811
    """PyTorch's arrays, as far as a CPU has them."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(arrays.Torch, "stream", lambda self: 0)
    rng = np.random.default_rng(2)
    rewards, values = torch.tensor(rng.standard_normal((20, 3))), torch.tensor(rng.standard_normal((21, 3)))
    ends = torch.tensor(rng.random((20, 3)) < 0.2)
    want = gae(rewards.numpy(), values.numpy(), gammas=0.9, terminated=ends.numpy())
    found = gae(rewards, values, gammas=0.9, terminated=ends)
    assert type(found[0]) is torch.Tensor
    equal([each.numpy() for each in found], want)
    low = gae(rewards.bfloat16(), values.bfloat16(), gammas=0.9)
    assert low[0].dtype is torch.bfloat16
    with pytest.raises(TypeError, match="rewards: got a tensor that requires grad"):
        gae(rewards.requires_grad_(), values, gammas=0.9)


# ---- without a device ----


@pytest.fixture
def full(monkeypatch):
    """A driver with a GPU that has no memory left, and takes no launch."""
    known = Enum("CUresult", {"fine": 0, "CUDA_ERROR_INVALID_VALUE": 1, "CUDA_ERROR_OUT_OF_MEMORY": 2})
    found = dict.fromkeys(("cuCtxPushCurrent", "cuCtxPopCurrent"), (known.fine,))
    found["cuMemAlloc"] = known.CUDA_ERROR_OUT_OF_MEMORY, 0
    found["cuLaunchKernel"] = (known.CUDA_ERROR_INVALID_VALUE,)
    calls = {name: lambda *_, status=status: status for name, status in found.items()}
    monkeypatch.setattr(device, "_driver", lambda: SimpleNamespace(CUresult=known, **calls))
    for name in ("_need", "_context", "_kernel", "arch"):
        monkeypatch.setattr(device, name, lambda *_: None)


def test_what_the_driver_refuses_is_told(full):
    with pytest.raises(MemoryError, match="GPU 0 has no 800 bytes for rows, beside 0 that this has of it"):
        device.Memory(0).put("rows", np.zeros(100))
    with pytest.raises(RuntimeError, match="cuLaunchKernel of the CUDA driver: CUDA_ERROR_INVALID_VALUE"):
        device.launch("learn", (), "learn", 0, 0, (1, 1), 64, b"")


def test_without_a_gpu_the_reason_is_told():
    """By ft.backends(), and by a learner, which it does not serve at all."""
    if ft.backends()["cuda"] is None:
        pytest.skip("a GPU is there")
    reason = ft.backends()["cuda"]
    assert 'pip install "fasttrace[cuda]"' in reason or "no driver" in reason or "no device" in reason
    with pytest.raises(
        ValueError, match=r"backend='cuda': serves fasttrace.returns of arrays on a GPU, Population and Horde"
    ):
        ft.TD(8, alpha=0.1, backend="cuda")
    with pytest.raises(TypeError, match="rewards: got ndarray, expected an array of PyTorch, CuPy or JAX"):
        gae(np.zeros(3), np.zeros(4), gammas=0.9)


@pytest.fixture
def nvrtc():
    try:
        return compiler.nvrtc()
    except ImportError as error:
        pytest.skip(str(error))


MACROS = {
    "returns": ("FT_REAL=float", "FT_FAMILY=FT_GAE"),
    "simulate": ("FT_ENV=ft_cart_pole(&env)", "FT_KIND=4", "FT_WIDTH=2", "FT_ACTIVE=8", "FT_BOUNDED=0"),
    "learn": ("FT_KIND=4", "FT_WIDTH=1", "FT_TASK=FT_STATES"),
    "horde": ("FT_KIND=FT_HORDE_GTD",),
}


@pytest.mark.parametrize("arch", ["sm_75", "sm_80", "sm_90", "sm_100"])
@pytest.mark.parametrize("stem", MACROS)
def test_kernels_compile_for_each_architecture(stem, arch, nvrtc):
    """Quickly, and a few; .ci/cubins.py optimises, and has others."""
    macros = [f"-D{macro}" for macro in MACROS[stem]]
    flags = (f"--gpu-architecture={arch}", *compiler.FLAGS, *macros, "--Ofast-compile=max")
    code, _ = compiler.compiled((compiler.sources() / f"{stem}.cu").read_text("utf-8"), flags)
    assert code[:4] == b"\x7fELF"
    assert all(name.encode() in code for name in TWINS[stem])


def test_kernels_are_compiled_once(nvrtc, tmp_path, monkeypatch):
    """Then they are found, by all that they are made from; made anew where nothing can be written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = []
    monkeypatch.setattr(compiler, "compiled", lambda *given: made.append(given) or (b"code", ""))
    for arch in ("sm_80", "sm_90", "sm_80"):
        assert compiler.cubin.__wrapped__("learn", arch, "FT_KIND=4") == b"code"
    assert len(made) == len(list((tmp_path / "fasttrace").iterdir())) == 2
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert compiler.cubin.__wrapped__("learn", "sm_80", "FT_KIND=4") == b"code"
    assert len(made) == 3


def test_what_does_not_compile_says_why(nvrtc):
    with pytest.raises(RuntimeError, match=r'(?s)NVRTC does not compile with .*FT_REAL=nothing.*"nothing"'):
        compiler.cubin.__wrapped__("returns", "sm_90", "FT_REAL=nothing", "FT_FAMILY=FT_GAE")
