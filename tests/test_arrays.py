"""What kind of array comes in goes out: returns and predictions with the arrays of other libraries."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from returns_problems import KERNELS, call, draw
from streams import BACKENDS as ALL

import fasttrace as ft
from fasttrace import registry
from fasttrace import returns as api

T, B = 7, 3
BACKENDS = [each for each in ALL if each.values != ("numba",)]  # what is tested here stands above them
ARGUMENTS = {row.kernel: row.arguments for row in registry.RETURNS}
FLAGS = ("terminated", "truncated", "mask")


def problem(function, dtype=np.float32):
    """Every array of a call, by name."""
    given = draw(function, T, B, dtype=dtype, masked=0.2)
    arrays = {"rewards": given["rewards"], **{name: given["extra"][name] for name in ARGUMENTS[function]}}
    return arrays | {name: given[name] for name in ("gammas", "lambdas", "next_values", *FLAGS)}


def results(found):
    return found if isinstance(found, tuple) else (found,)


def rows(**more):
    """A small call of lambda_returns, in float32."""
    rng = np.random.default_rng(0)
    values = rng.standard_normal((T + 1, B)).astype(np.float32)
    return {"rewards": values[:T] ** 2, "values": values, "gammas": 0.9, **more}


# ---- axes behind the second ----


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("function", KERNELS)
def test_further_axes_are_columns(function, backend):
    """(T, B, 1), (T, B, A), (B, T, 1), (B, T, A): what the columns give one by one, as rewards have them."""
    A = 2
    flat = draw(function, T, B * A, masked=0.2)
    want = call(function, flat, backend)
    names = ("gammas", "lambdas", "next_values", *FLAGS)
    arrays = {name: flat[name] for name in names} | {
        name: flat["extra"][name] for name in ARGUMENTS[function]
    }
    arrays["rewards"] = flat["rewards"]
    more = {name: x for name, x in flat["extra"].items() if name.endswith("_bar")}
    for shape in ((B * A, 1), (B, A), (B, A, 1)):
        for time_axis in (0, 1):
            given = {name: x.reshape(-1, *shape) for name, x in arrays.items()}
            given = {name: np.ascontiguousarray(np.moveaxis(x, 0, time_axis)) for name, x in given.items()}
            if function == "discounted_sum":
                given["bootstrap"] = flat["last"].reshape(shape)
            found = results(getattr(api, function)(**given, **more, time_axis=time_axis, backend=backend))
            for got, wanted in zip(found, want, strict=False):
                assert got.shape == given["rewards"].shape
                got = np.moveaxis(got, time_axis, 0).reshape(T, -1)
                np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-12)


def test_further_axes_in_errors_and_places():
    """Shapes and entries are told as the caller has them; bootstrap and out have the same axes."""
    rewards, values = np.zeros((B, T, 2)), np.ones((B, T, 2))
    out = np.zeros((B, T, 2))
    more = {"gammas": 1.0, "lambdas": 0.5, "time_axis": 1}
    assert api.lambda_returns(rewards, values, bootstrap=np.ones((B, 2)), out=out, **more) is out
    np.testing.assert_array_equal(out, 1.0)
    with pytest.raises(ValueError, match=r"^values: got shape \(3, 6, 2\), expected \(3, 8, 2\)"):
        api.gae(rewards, values[:, :6], **more)
    with pytest.raises(ValueError, match=r"^bootstrap: got shape \(3,\), expected \(3, 2\)"):
        api.gae(rewards, values, bootstrap=np.ones(B), **more)
    truncated = np.zeros((B, T, 2), bool)
    truncated[2, 5, 1] = True
    with pytest.raises(ValueError, match=r"^truncated: entry 2, 5, 1 is set"):
        api.gae(rewards, values, bootstrap=0.0, truncated=truncated, **more)
    assert api.gae(np.zeros((0, 4, 2)), np.zeros((1, 4, 2)), gammas=1.0)[0].shape == (0, 4, 2)


# ---- PyTorch ----


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("function", KERNELS)
def test_tensors_come_out(function, backend, torch):
    """The numbers of NumPy's call to the bit, as tensors, of each floating type and of integers."""
    for dtype in (np.float32, np.float64, np.float16):
        given = problem(function, dtype)
        given["rewards"] = np.round(given["rewards"])
        for rewards in (given["rewards"], given["rewards"].astype(np.int32)):
            given = given | {"rewards": rewards}
            tensors = {name: torch.from_numpy(x) for name, x in given.items()}
            found = results(getattr(api, function)(**tensors, backend=backend))
            for got, want in zip(
                found, results(getattr(api, function)(**given, backend=backend)), strict=True
            ):
                assert type(got) is torch.Tensor
                np.testing.assert_array_equal(got.numpy(), want)
                assert got.numpy().dtype == want.dtype


QUICK = {
    "numbers": ("terminated",),
    "rates": ("terminated", "gammas", "lambdas"),
    "truncated": ("terminated", "truncated", "next_values"),
}


@pytest.mark.parametrize("given", QUICK)
@pytest.mark.parametrize("function", KERNELS)
def test_usual_calls_of_tensors_are_quick(function, given, torch, monkeypatch):
    """Where PyTorch lets C look at its tensors; flags and places for results may be NumPy's."""
    if not (ft.quick.native and hasattr(torch.Tensor, "__dlpack_c_exchange_api__")):
        pytest.skip("tensors go by Python")
    if ft.backends()["c"]:
        pytest.skip(ft.backends()["c"])
    api.discounted_sum(torch.zeros(1), gammas=1.0)  # from the first tensor on

    def general(*args, **more):
        raise AssertionError("the general way")

    arrays = problem(function, np.float64)
    names = ("rewards", *ARGUMENTS[function], *QUICK[given])
    arrays = {"gammas": 0.9, "lambdas": 0.8} | {name: arrays[name] for name in names}
    want = results(getattr(api, function)(**arrays))
    tensors = {name: torch.from_numpy(x) if isinstance(x, np.ndarray) else x for name, x in arrays.items()}
    flags = {name: arrays[name] for name in FLAGS if name in arrays}
    monkeypatch.setattr(api, "_any_returns", general)
    out = tuple(torch.empty(T, B, dtype=torch.float64) for _ in want)
    mixed = (out[0].numpy(), *out[1:])
    for more in ({}, flags, {"out": out}, {"out": mixed}):
        if "out" in more and len(want) == 1:
            more = {"out": more["out"][0]}
        found = getattr(api, function)(**{**tensors, **more})
        if "out" in more:
            assert found is more["out"]
        for got, wanted in zip(results(found), want, strict=True):
            assert "out" in more or type(got) is torch.Tensor
            np.testing.assert_array_equal(np.asarray(got), wanted)


def test_tensors_that_memory_does_not_tell(torch):
    """Strides, places for results over an input, a sign that is yet to be applied, subclasses."""
    given = rows()
    want = api.lambda_returns(**given)
    rewards, values = torch.from_numpy(given["rewards"]), torch.from_numpy(given["values"])
    wide = torch.zeros(T, 2 * B)[:, ::2]
    wide[:] = rewards
    for each in (wide, torch._neg_view(-rewards), torch.nn.Parameter(rewards, requires_grad=False)):
        found = api.lambda_returns(each, values, gammas=0.9)
        assert isinstance(found, torch.Tensor)
        np.testing.assert_array_equal(found.numpy(), want)
    one = torch.zeros(1, 1).expand(T, B)
    np.testing.assert_array_equal(api.discounted_sum(one + 1, gammas=0.5)[-1], 1.0)
    np.testing.assert_array_equal(api.discounted_sum(torch.ones(1, 1).expand(T, B), gammas=0.5)[-2], 1.5)
    place = rewards.clone()
    assert api.lambda_returns(place, values, gammas=0.9, out=place) is place
    np.testing.assert_array_equal(place.numpy(), want)


def test_bfloat16(torch):
    """By way of float32, rounded once; float32 where others are float32."""
    given = {name: torch.from_numpy(x) if name != "gammas" else x for name, x in rows().items()}
    half = {name: x.bfloat16() if name != "gammas" else x for name, x in given.items()}
    wide = {name: x.float() if name != "gammas" else x for name, x in half.items()}
    found, want = api.lambda_returns(**half), api.lambda_returns(**wide).bfloat16()
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, want)
    out = torch.zeros(T, B, dtype=torch.bfloat16)
    assert api.lambda_returns(**half, out=out) is out
    assert torch.equal(out, want)
    assert api.lambda_returns(**{**half, "values": wide["values"]}).dtype == torch.float32


def test_numpys_arrays_of_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    given = rows()
    half = {name: x.astype(ml_dtypes.bfloat16) if name != "gammas" else x for name, x in given.items()}
    found = api.lambda_returns(**half)
    assert found.dtype == ml_dtypes.bfloat16
    np.testing.assert_allclose(found.astype(float), api.lambda_returns(**given), rtol=0.02, atol=0.05)


def test_flags_of_either_kind_go_with_tensors(torch):
    given = rows()
    flags = {"terminated": given["values"][1:] > 1, "mask": given["values"][1:] < 2}
    want = api.lambda_returns(**given, **flags)
    given = {name: torch.from_numpy(x) if name != "gammas" else x for name, x in given.items()}
    for more in (flags, {name: torch.from_numpy(x) for name, x in flags.items()}):
        np.testing.assert_array_equal(api.lambda_returns(**given, **more).numpy(), want)
    starts = torch.tensor([1, 0, 1])
    assert torch.equal(api.from_episode_starts(starts), torch.tensor([False, True]))


BAD = {  # name -> (what is given in place of some tensors, the error, how it begins)
    "values of NumPy": (lambda t, r, v: {"values": v.numpy()}, TypeError,
        "values: got a NumPy array beside a PyTorch tensor as rewards, expected arrays of one kind"),
    "rewards of NumPy": (lambda t, r, v: {"rewards": r.numpy()}, TypeError,
        "values: got a PyTorch tensor beside a NumPy array as rewards"),
    "gammas of NumPy": (lambda t, r, v: {"gammas": np.ones(T)}, TypeError,
        "gammas: got a NumPy array beside a PyTorch tensor"),
    "another device": (lambda t, r, v: {"values": v.to("meta")}, TypeError,
        "values: got an array on meta beside rewards on cpu, expected one device"),
    "no such device": (lambda t, r, v: {"rewards": r.to("meta"), "values": v.to("meta")}, TypeError,
        "rewards: got an array on meta, expected one on the CPU or on a GPU of CUDA"),
    "a backend of the GPU": (lambda t, r, v: {"backend": "cuda"}, TypeError,
        'backend="cuda": got arrays on the CPU'),
    "sparse": (lambda t, r, v: {"rewards": r.to_sparse()}, TypeError,
        "rewards: got a tensor of layout torch.sparse_coo"),
    "complex": (lambda t, r, v: {"rewards": r.to(t.complex64)}, TypeError, "rewards: .* got dtype complex64"),
    "bool": (lambda t, r, v: {"values": v > 0}, TypeError, "values: .* got dtype bool"),
    "a type that NumPy lacks": (lambda t, r, v: {"values": v.to(t.float8_e4m3fn)}, TypeError,
        "values: got a tensor that NumPy cannot read"),
    "a shape": (lambda t, r, v: {"values": v[1:, :2]}, ValueError, r"values: got shape \(7, 2\)"),
    "a place elsewhere": (lambda t, r, v: {"out": t.zeros(T, B, device="meta")}, TypeError,
        "out: got an array on meta beside arrays on cpu"),
    "a place over itself": (lambda t, r, v: {"out": t.zeros(T, 1).expand(T, B)}, ValueError,
        "out: got shape .* entries share memory"),
    "a place that requires grad": (lambda t, r, v: {"out": t.zeros(T, B, requires_grad=True)}, TypeError,
        "out: got a tensor that requires grad"),
    "a place of integers": (lambda t, r, v: {"out": t.zeros(T, B, dtype=t.int32)}, TypeError,
        "out: got dtype int32"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused_of_tensors(name, torch):
    """By name, with what was given and what is expected."""
    make, kind, message = BAD[name]
    given = {name: torch.from_numpy(x) if name != "gammas" else x for name, x in rows().items()}
    with pytest.raises(kind, match=f"^{message}"):
        api.lambda_returns(**{**given, **make(torch, given["rewards"], given["values"])})


def test_gradients_of_other_functions_are_refused(torch):
    x = torch.zeros(T)
    with pytest.raises(TypeError, match=r"^rewards: got a tensor that requires grad.*rewards.detach\(\)"):
        api.upgo(torch.zeros(T, requires_grad=True), x, x, bootstrap=0.0, gammas=0.9)


def test_numpys_call_may_write_to_a_tensor(torch):
    """And tensors' to an array; what is there is returned."""
    want, out = api.lambda_returns(**rows()), torch.zeros(T, B)
    assert api.lambda_returns(**rows(), out=out) is out
    np.testing.assert_array_equal(out.numpy(), want)
    with pytest.raises(TypeError, match=r'^backend="cuda": got arrays on the CPU'):
        api.lambda_returns(**rows(), backend="cuda")


# ---- JAX ----


def test_arrays_of_jax():
    """Float32 in, float32 out; integers as JAX has them; NumPy's memory is not written to; no tracers."""
    jax = pytest.importorskip("jax")
    given = rows()
    arrays = {name: jax.numpy.asarray(x) if name != "gammas" else x for name, x in given.items()}
    found = api.lambda_returns(**arrays)
    assert isinstance(found, jax.Array)
    np.testing.assert_array_equal(found, api.lambda_returns(**given))
    assert isinstance(api.discounted_sum(jax.numpy.arange(3), gammas=0.9), jax.Array)
    half = {name: x.astype("bfloat16") if name != "gammas" else x for name, x in arrays.items()}
    assert api.lambda_returns(**half).dtype == jax.numpy.bfloat16
    with pytest.raises(ValueError, match=r"^out: got a JAX array that is read-only"):
        api.lambda_returns(**arrays, out=found)
    with pytest.raises(TypeError, match=r"^rewards: got an array that JAX is tracing.*ft\.jax"):
        jax.jit(lambda x: api.discounted_sum(x, gammas=0.9))(arrays["rewards"])


@pytest.mark.parametrize("function", [*KERNELS, "n_step_returns"])
def test_functions_of_jax(function):
    """Under jit the results of ft.returns; axes of vmap are columns; errors before anything is compiled."""
    jax = pytest.importorskip("jax")
    given = problem("lambda_returns" if function == "n_step_returns" else function)
    more = {"n": 2} if function == "n_step_returns" else {}
    want = results(getattr(api, function)(**given, **more))
    go = jax.jit(lambda given: getattr(ft.jax, function)(**given, **more))
    for got, wanted in zip(results(go(given)), want, strict=True):
        np.testing.assert_array_equal(got, wanted)
    rates = np.array([0.5, 0.9], np.float32)
    columns = {name: np.stack([x, x[::-1]]) for name, x in given.items() if name not in ("gammas", "lambdas")}
    one = {name: x[:, 0] for name, x in given.items() if name not in ("gammas", "lambdas")}

    def by_rate(given, gamma):
        return getattr(ft.jax, function)(
            **given, gammas=gamma, lambdas=rates[:1].repeat(len(given["rewards"])), **more
        )

    by_step = {"lambdas": np.full(T, 0.5, np.float32)}
    found = results(jax.vmap(by_rate)(columns, rates))
    for i in range(2):
        each = {name: x[i] for name, x in columns.items()}
        want = results(getattr(api, function)(**each, gammas=float(rates[i]), **by_step, **more))
        for got, wanted in zip(found, want, strict=True):
            np.testing.assert_allclose(got[i], wanted, rtol=2e-6, atol=2e-6)
    found = results(jax.vmap(by_rate, in_axes=(None, 0))(one, rates))
    want = results(getattr(api, function)(**one, gammas=0.9, **by_step, **more))
    np.testing.assert_allclose(found[0][1], want[0], rtol=2e-6, atol=2e-6)
    with pytest.raises(ValueError, match=r"^gammas: got 2\.0"):
        getattr(ft.jax, function)(**{**given, "gammas": 2.0}, **more)
    with pytest.raises(TypeError, match=rf"^{function}: unknown keyword 'gamma'"):
        getattr(ft.jax, function)(**{**given, "gamma": 2.0}, **more)


# ---- others, by DLPack; a GPU ----


class Boxed:
    """An array of a library that has DLPack and the array API's name for its functions."""

    def __init__(self, array, device=(1, 0)):
        self.array, self.device = array, device
        self.shape, self.ndim, self.dtype = array.shape, array.ndim, array.dtype

    def __dlpack__(self, **keywords):
        return self.array.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self.device

    def __array_namespace__(self, api_version=None):
        return SimpleNamespace(from_dlpack=lambda x: Boxed(np.from_dlpack(x)))

    def __getitem__(self, key):
        return Boxed(self.array[key], self.device)

    def __ne__(self, other):
        return Boxed(self.array != other, self.device)


def test_arrays_with_dlpack():
    given = rows()
    found = api.lambda_returns(Boxed(given["rewards"]), Boxed(given["values"]), gammas=0.9)
    assert type(found) is Boxed
    np.testing.assert_array_equal(found.array, api.lambda_returns(**given))
    with pytest.raises(
        TypeError, match=r"^values: got a NumPy array beside an array of test_arrays as rewards"
    ):
        api.lambda_returns(Boxed(given["rewards"]), given["values"], gammas=0.9)


def test_arrays_on_a_gpu_go_to_its_kernels(monkeypatch):
    """As they are, with all that was given; elsewhere they are refused."""
    here, there = (
        {name: Boxed(x, (2, i)) for name, x in rows().items() if name != "gammas"} for i in range(2)
    )
    told = []
    module = SimpleNamespace(
        on_device=lambda family, arguments: told.append((family, arguments)) or "results"
    )
    monkeypatch.setitem(sys.modules, "fasttrace.backends.cuda.returns", module)
    assert api.n_step_returns(**here, gammas=0.9, n=4) == "results"
    ((family, arguments),) = told
    assert family == "lambda_returns"
    assert arguments["rewards"] is here["rewards"]
    assert (arguments["gammas"], arguments["lambdas"], arguments["horizon"]) == (0.9, 1.0, 4)
    assert arguments["terminated"] is None
    for backend in ("c", "numba", "numpy"):
        if ft.backends()[backend] is None:
            with pytest.raises(TypeError, match=f"^backend='{backend}': got arrays on cuda:0"):
                api.lambda_returns(**here, gammas=0.9, backend=backend)
    with pytest.raises(TypeError, match=r"^values: got an array on cuda:1 beside rewards on cuda:0"):
        api.lambda_returns(here["rewards"], there["values"], gammas=0.9)
    with pytest.raises(TypeError, match=r"^terminated: got a NumPy array beside an array of"):
        api.lambda_returns(**here, gammas=0.9, terminated=np.zeros((T, B), bool))
    with pytest.raises(TypeError, match=r"^out: got an array on cpu beside arrays on cuda:0"):
        api.lambda_returns(**here, gammas=0.9, out=np.zeros((T, B)))
    starts = np.array([[1, 0, 1], [1, 1, 0]])
    for axis in range(2):
        found = api.from_episode_starts(Boxed(starts, (2, 0)), time_axis=axis)
        assert found.device == (2, 0)
        np.testing.assert_array_equal(found.array, api.from_episode_starts(starts, time_axis=axis))
    monkeypatch.setitem(sys.modules, "fasttrace.backends.cuda.returns", None)
    with pytest.raises(ft.BackendUnavailable, match=r'pip install "fasttrace\[cuda\]"'):
        api.lambda_returns(**here, gammas=0.9, backend="cuda")


# ---- predictions ----


def test_predictions_come_as_features_do(torch):
    """A tensor for indices, pairs and dense features, of one state and of many, by every class."""
    backend = "numpy"  # the same above all of them
    x, values = np.array([[0, 3], [2, 5]]), np.array([[1.0, 2.0], [0.5, 1.0]])
    dense = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)
    td, horde = ft.TD(6, alpha=0.1, backend=backend), ft.Horde(6, 2, alpha=0.1, backend=backend)
    actor = ft.ActorCritic(6, 3, alpha=0.1, alpha_actor=0.1, backend=backend)
    agent = ft.Sarsa(6, 3, alpha=0.1, backend=backend)
    td.weights = np.arange(6.0)
    actor.learn(x, [0, 1], [1.0])
    agent.weights = np.arange(18.0).reshape(6, 3)
    for predict, states in (
        (td.predict, (x, x[0], (x, values), dense, dense[0])),
        (horde.predict, (x, x[0], dense)),
        (actor.predict, (x, x[0])),
        (actor.preferences, (x, x[0])),
        (actor.probabilities, (x, x[0])),
        (agent.q, (x[0],)),
        (actor.q, (x[0],)),
    ):
        for state in states:
            to = torch.from_numpy
            found = predict(tuple(map(to, state)) if isinstance(state, tuple) else to(state))
            assert type(found) is torch.Tensor
            np.testing.assert_array_equal(found.numpy(), predict(state))
    with pytest.raises(TypeError, match=r"^x: got a tensor that requires grad.*x.detach\(\)"):
        td.predict(torch.ones(6, requires_grad=True))
    assert isinstance(td.predict([0, 1]), float)
