"""ft.torch: gradients by PyTorch's own check, no copies, and what is refused."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import fasttrace as ft
from fasttrace.plasticity import MODES

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

T, B, I, H = 5, 2, 3, 4  # noqa: E741
modules = pytest.mark.parametrize("name", ["PlasticRNN", "PlasticLSTM"])


def module(name, **options):
    return getattr(ft.torch, name)(I, H, **{"mode": "retroactive"} | options)


def inputs(dtype=torch.float32):
    return torch.randn(T, B, I, dtype=dtype, generator=torch.Generator().manual_seed(0))


@modules
@pytest.mark.parametrize("mode", MODES)
def test_gradients(name, mode):
    """torch.autograd.gradcheck, of inputs, state, modulation and parameters, through h, M and the state."""
    check(module(name, mode=mode, fan_out=True, dtype=torch.float64))


@pytest.mark.parametrize(
    "options",
    [{"bound": "decay", "modulation": "sigmoid"}, {"modulated": "half", "modulation": "linear"}],
    ids=["decay", "half"],
)
def test_gradients_of_variants(options):
    check(module("PlasticRNN", dtype=torch.float64, **options))


def check(net):
    xs = inputs(torch.float64).requires_grad_()
    generator = torch.Generator().manual_seed(1)
    start = [
        None if each is None else (0.2 * torch.randn(each.shape, dtype=each.dtype, generator=generator))
        for each in net.initial_state(B)
    ]
    leaves = [each.requires_grad_() for each in start if each is not None]
    names = [key for key, _ in net.named_parameters()]
    params = [each.detach().clone().requires_grad_() for each in net.parameters()]

    def run(xs, *rest):
        given = iter(rest)
        state = ft.torch.PlasticState(*(None if each is None else next(given) for each in start))
        out = torch.func.functional_call(net, dict(zip(names, given, strict=True)), (xs, state))
        return tuple(each for each in (out.h, out.M, *out.state) if each is not None)

    assert torch.autograd.gradcheck(run, (xs, *leaves, *params))


def test_gradient_of_the_modulation():
    net = module("PlasticRNN", dtype=torch.float64)
    M = torch.randn(T, B, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda M: net(inputs(torch.float64), None, M).h, (M,))


@modules
def test_is_the_network_itself(name):
    """The same parameters as without PyTorch, and the same results."""
    net, plain = module(name, seed=3), getattr(ft.plasticity, name)(I, H, mode="retroactive", seed=3)
    xs = inputs()
    h, M, state = net(xs)
    sequence = plain.forward(xs.numpy())
    np.testing.assert_array_equal(h.detach().numpy(), sequence.h)
    np.testing.assert_array_equal(M.detach().numpy(), sequence.M)
    np.testing.assert_array_equal(state.hebb.detach().numpy(), sequence.state.hebb)
    h.sum().backward()
    grads = plain.backward(sequence, np.ones_like(sequence.h))
    for key, each in net.named_parameters():
        np.testing.assert_array_equal(each.grad.numpy(), grads[key])


@pytest.mark.parametrize("shape", [(T, B), (T, B, H)], ids=["one", "each"])
@pytest.mark.parametrize("mode", ["plastic", "simple", "retroactive"])
def test_layer(mode, shape):
    """Gradients of inputs, state, modulation and parameters; as without PyTorch; one step at a time."""
    net = ft.torch.PlasticLayer(I, H, mode=mode, seed=3, dtype=torch.float64)
    xs, M = inputs(torch.float64), torch.rand(shape, dtype=torch.float64)
    hebb, E = (0.1 * torch.randn(B, H, I, dtype=torch.float64) for _ in range(2))
    names = [key for key, _ in net.named_parameters()]

    def run(xs, M, hebb, E, *params):
        state = ft.torch.PlasticState(None, None, hebb, E)
        y, after = torch.func.functional_call(net, dict(zip(names, params, strict=True)), (xs, state, M))
        return y, after.hebb, after.E

    leaves = [each.detach().clone().requires_grad_() for each in (xs, M, hebb, E, *net.parameters())]
    assert torch.autograd.gradcheck(run, leaves)
    y, state = net(xs, modulation=M)
    plain = ft.plasticity.PlasticLayer(I, H, mode=mode, seed=3, dtype=np.float64)
    np.testing.assert_array_equal(y.detach(), plain.forward(xs.numpy(), modulation=M.numpy()).h)
    live = net.initial_state(B)
    steps = torch.stack([net.step(xs[t], live, M[t]) for t in range(T)])
    np.testing.assert_allclose(steps, y.detach(), rtol=1e-12)
    np.testing.assert_allclose(live.hebb, state.detach().hebb, rtol=1e-12)
    with pytest.raises(ValueError, match="modulation"):
        ft.torch.PlasticLayer(I, H)(inputs())


def test_parameters_are_not_copied():
    """An optimiser changes what the kernels read."""
    net = module("PlasticRNN")
    places = {key: each.data_ptr() for key, each in net.named_parameters()}
    before = net(inputs()).h.detach().clone()
    optimiser = torch.optim.Adam(net.parameters(), 0.1)
    net(inputs()).h.sum().backward()
    optimiser.step()
    assert not torch.equal(net(inputs()).h, before)
    assert {key: each.data_ptr() for key, each in net.named_parameters()} == places
    for key, array in net._network.params.items():
        assert array.ctypes.data == places[key]


@modules
def test_steps(name):
    """One at a time, in place, are the sequence."""
    net = module(name)
    want, state = net(inputs()), net.initial_state(B)
    for t, x in enumerate(inputs()):
        h, M = net.step(x, state)
        torch.testing.assert_close(h, want.h[t].detach(), rtol=0, atol=1e-6)
        torch.testing.assert_close(M, want.M[t].detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(state.hebb, want.state.hebb.detach(), rtol=0, atol=1e-6)


def test_reset_and_detach():
    net = module("PlasticLSTM")
    state = net(inputs()).state
    fresh = state.reset(torch.tensor([True, False]))
    for one, other in zip(fresh, state, strict=True):
        assert not one[0].any()
        assert torch.equal(one[1], other[1])
        assert one.requires_grad
    assert not any(each.requires_grad for each in state.detach())
    with pytest.raises(TypeError, match=r"mask: got dtype torch\.int64"):
        state.reset(torch.tensor([1, 0]))


@pytest.mark.parametrize(
    ("xs", "exception", "message"),
    [
        (inputs(torch.float64), TypeError, r"xs: got dtype torch\.float64, expected torch\.float32"),
        (torch.empty(T, B, I, device="meta"), ValueError, "xs: is on device meta, expected cpu"),
        (np.zeros((T, B, I), np.float32), TypeError, r"xs: got ndarray, expected a torch\.Tensor"),
        (torch.full((T, B, I), torch.nan), ValueError, "xs: step 0: entry 0, 0, 0 is nan"),
        (torch.empty(0, B, I), ValueError, "xs: got an empty sequence"),
        (torch.zeros(T, B, I + 1), ValueError, "xs: got shape"),
    ],
    ids=["float64", "device", "array", "nan", "empty", "shape"],
)
def test_refused(xs, exception, message):
    with pytest.raises(exception, match=message):
        module("PlasticRNN")(xs)


def test_one_float64_among_float32():
    """A state or a parameter of another dtype is named."""
    net = module("PlasticRNN")
    state = net.initial_state(B)._replace(E=torch.zeros(B, H, H, dtype=torch.float64))
    with pytest.raises(TypeError, match=r"state\.E: got dtype torch\.float64"):
        net(inputs(), state)
    net.wm.data = net.wm.data.double()
    with pytest.raises(TypeError, match=r"wm: got dtype torch\.float64"):
        net(inputs())


def test_modules_copy_save_and_load(tmp_path):
    net = module("PlasticRNN", seed=1)
    want = net(inputs()).h
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(inputs()).h, want)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    other = module("PlasticRNN", seed=2)
    other.load_state_dict(torch.load(tmp_path / "net.pt", weights_only=True))
    assert torch.equal(other(inputs()).h, want)


# ---- conversions ----

CONVERTED = {"double": lambda net: net.double(), "to": lambda net: net.to(torch.float64)}


@pytest.mark.parametrize("convert", CONVERTED.values(), ids=CONVERTED)
@pytest.mark.parametrize("name", ["PlasticRNN", "PlasticLSTM", "PlasticLayer"])
def test_a_module_has_the_dtype_of_its_parameters(name, convert):
    """Converted after it ran, it is the float64 network of these, forward, back and by the step."""
    net = module(name, mode="plastic")
    run = net(inputs())[0]
    same = convert(net)
    assert same is net
    assert net.dtype == torch.float64
    assert "dtype=float64" in repr(net)
    plain = getattr(ft.plasticity, name)(I, H, mode="plastic", dtype=np.float64)
    for key, each in net.named_parameters():
        plain.params[key][...] = each.detach().numpy()
    xs = inputs(torch.float64)
    h, *_, state = net(xs)
    sequence = plain.forward(xs.numpy())
    np.testing.assert_array_equal(h.detach().numpy(), sequence.h)
    np.testing.assert_array_equal(state.hebb.detach().numpy(), sequence.state.hebb)
    h.sum().backward()
    grads = plain.backward(sequence, np.ones_like(sequence.h))
    for key, each in net.named_parameters():
        assert each.grad.dtype == torch.float64
        np.testing.assert_array_equal(each.grad.numpy(), grads[key])
    live = net.initial_state(B)
    assert live.hebb.dtype == torch.float64
    for x in xs:
        net.step(x, live)
    assert live.hebb.any()
    with pytest.raises(TypeError, match=r"xs: got dtype torch\.float32, expected torch\.float64"):
        net(inputs())
    back = net.float()(inputs())[0]
    assert back.dtype == torch.float32
    assert torch.equal(back, run)


def test_the_way_back_of_what_ran_before_a_conversion():
    """A sequence keeps the network that it is of."""
    net = module("PlasticRNN")
    xs = inputs().requires_grad_()
    want = torch.autograd.grad(net(xs).h.sum(), xs)[0]
    h = net(xs).h
    net.double()(inputs(torch.float64))
    assert torch.equal(torch.autograd.grad(h.sum(), xs)[0], want)


def test_converted_modules_copy_save_and_load(tmp_path):
    net = module("PlasticLSTM", seed=1).double()
    xs = inputs(torch.float64)
    want = net(xs).h
    torch.save(net.state_dict(), tmp_path / "net.pt")
    state = torch.load(tmp_path / "net.pt", weights_only=True)
    narrow = module("PlasticLSTM", seed=2)
    narrow.load_state_dict(state)  # as for any module: into the parameters that are there
    assert narrow(inputs()).h.dtype == torch.float32
    other, assigned = module("PlasticLSTM", seed=2).double(), module("PlasticLSTM", seed=2)
    other.load_state_dict(state)
    assigned.load_state_dict(state, assign=True)
    for each in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), other, assigned):
        assert torch.equal(each(xs).h, want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@modules
def test_half_precision_is_refused(name, dtype):
    """By name, and the module shows itself nevertheless; back in float32 it runs."""
    net = module(name).to(dtype)
    message = f"got dtype {dtype}, expected torch.float32 or torch.float64"
    for call in (lambda: net(inputs().to(dtype)), lambda: net.initial_state(B)):
        with pytest.raises(TypeError, match=message.replace(".", r"\.")):
            call()
    assert str(dtype)[6:] in repr(net)
    net.float()(inputs())


@pytest.mark.parametrize("compiler", ["eager", "aot_eager"])
def test_torch_compile(compiler):
    """A compiled module, and one amid what is compiled: results and gradients of the module itself."""
    torch.compiler.reset()
    net = module("PlasticRNN")

    def loss(xs):
        h, M, state = net(2.0 * xs, net.initial_state(B))
        h = h * 3.0 + net(xs, state.reset(torch.tensor([True, False]))).h
        return h.sum() + M.sum() + state.hebb.sum()

    def gradients(call):
        net.zero_grad()
        value = call(inputs())
        value.backward()
        return [value.detach(), *(each.grad.clone() for each in net.parameters())]

    for one, other in zip(gradients(torch.compile(loss, backend=compiler)), gradients(loss), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    compiled = torch.compile(net, backend=compiler)
    assert torch.equal(compiled(inputs()).h, net(inputs()).h)
    layer = module("PlasticLayer", mode="plastic")
    assert torch.equal(torch.compile(layer, backend=compiler)(inputs())[0], layer(inputs())[0])

    def step(x, state):
        return net.step(x + 1.0, state)[0] * 2.0

    one, other = net.initial_state(B), net.initial_state(B)
    x = inputs()[0]
    assert torch.equal(torch.compile(step, backend=compiler)(x, one), step(x, other))
    assert torch.equal(one.hebb, other.hebb)


def test_the_compiler_is_not_imported_before_it_is_asked_for():
    """It takes seconds."""
    program = (
        "import sys, torch, fasttrace as ft; ft.torch.PlasticRNN(3, 4)(torch.zeros(2, 1, 3)); "
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "False"


def test_torch_is_not_imported_before_it_is_asked_for():
    program = "import sys, fasttrace; fasttrace.plasticity; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "False"
