"""ft.torch.trace: the traces of a module's parameters, against sums over the past and the reference."""

import copy
import pickle

import numpy as np
import pytest

import fasttrace as ft

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

GAMMA, LAMBDA = 0.9, 0.8


def network(dtype=torch.float64):
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
    return net.to(dtype)


def states(T, dtype=torch.float64):
    return torch.randn(T, 3, dtype=dtype, generator=torch.Generator().manual_seed(7))


def traces_of(net):
    return ft.torch.trace(net.named_parameters(), gamma=GAMMA, lambda_=LAMBDA)


def accumulate(net, traces, s, **options):
    net(s).sum().backward()
    traces.accumulate(**options)


def test_is_the_discounted_sum_of_gradients():
    """z_t = sum over i of (gamma lambda)^(t - i) grad v(S_i)."""
    net = network()
    traces, want = traces_of(net), [torch.zeros_like(each) for each in net.parameters()]
    for s in states(6):
        accumulate(net, traces, s)
        grads = torch.autograd.grad(net(s).sum(), list(net.parameters()))
        want = [GAMMA * LAMBDA * z + g for z, g in zip(want, grads, strict=True)]
    for z, expected, each in zip(traces.z, want, net.parameters(), strict=True):
        assert z.shape == each.shape
        torch.testing.assert_close(z, expected, rtol=1e-13, atol=1e-15)


def test_is_td_lambda_where_the_module_is_linear():
    """A layer without bias learns what ft.TD learns, terminations and discounts by the step included."""
    T, rng = 40, np.random.default_rng(0)
    x, rewards = rng.normal(size=(T + 1, 4)), rng.normal(size=T)
    gammas = np.where(rng.random(T) < 0.2, 0.0, rng.random(T))
    td = ft.TD(4, alpha=0.05, lambda_=LAMBDA, backend="numpy")
    td.learn(x, rewards, gammas=gammas)
    net = torch.nn.Linear(4, 1, bias=False, dtype=torch.float64)
    torch.nn.init.zeros_(net.weight)
    traces, rows = traces_of(net), torch.from_numpy(x)
    for t in range(T):
        v = net(rows[t])
        v.backward()
        traces.accumulate(gamma=gammas[t - 1] if t else 0.0)
        delta = rewards[t] + gammas[t] * net(rows[t + 1]).detach() - v.detach()
        traces.step(delta, 0.05)
    np.testing.assert_allclose(net.weight.detach().numpy()[0], td.weights, rtol=0, atol=1e-13)


def test_takes_the_gradients():
    """They are gone, so that the next backward() does not add to them; unless they are to be kept."""
    net = network()
    traces = traces_of(net)
    accumulate(net, traces, states(1)[0])
    assert all(each.grad is None for each in net.parameters())
    accumulate(net, traces, states(1)[0], keep_grad=True)
    assert all(each.grad is not None for each in net.parameters())


def test_reset():
    net = network()
    traces = traces_of(net)
    accumulate(net, traces, states(1)[0])
    traces.reset()
    assert not any(z.any() for z in traces.z)


@pytest.mark.parametrize("compiler", ["eager", "aot_eager"])
def test_torch_compile(compiler):
    """Of the module, and of what accumulates and steps: the same parameters."""
    torch.compiler.reset()

    def learned(wrap):
        net = network()
        module, traces = wrap(net), traces_of(net)

        def learn(s, rule):
            traces.accumulate()
            return traces.step(s.sum(), rule) * torch.ones(())

        learn = wrap(learn)
        for s, rule in zip(states(4), (0.1, ft.neural.ObGD()) * 2, strict=True):
            module(s).sum().backward()
            learn(s, rule)
        return torch.nn.utils.parameters_to_vector(net.parameters()).detach()

    compiled = learned(lambda each: torch.compile(each, backend=compiler))
    torch.testing.assert_close(compiled, learned(lambda each: each), rtol=1e-12, atol=1e-14)


def test_traces_follow_their_module():
    """Converted in the midst, it goes on as the converted trace of the converted module."""
    net = network(torch.float32)
    traces, rule = traces_of(net), ft.neural.AdaptiveObGD()
    rows = states(3, torch.float32)
    accumulate(net, traces, rows[0])
    traces.step(1.0, rule)
    before = [z.clone() for z in traces.z]
    net.double()
    accumulate(net, traces, rows[1].double())
    grads = torch.autograd.grad(net(rows[1].double()).sum(), list(net.parameters()))
    for z, old, grad in zip(traces.z, before, grads, strict=True):
        assert z.dtype == torch.float64
        torch.testing.assert_close(z, GAMMA * LAMBDA * old.double() + grad, rtol=1e-12, atol=1e-15)
    traces.step(1.0, rule)
    assert traces.state_dict()["v"].dtype == torch.float64
    net.half()
    net(rows[2].half()).sum().backward()
    with pytest.raises(TypeError, match=r"0\.weight: has dtype torch\.float16"):
        traces.accumulate()


def test_parameters_change_in_place():
    """The memory stays, so that an optimiser or a view of it sees the step."""
    net = network()
    traces = traces_of(net)
    places, before = [each.data_ptr() for each in net.parameters()], net[0].weight.detach().clone()
    accumulate(net, traces, states(1)[0])
    traces.step(2.0, 0.25)
    assert [each.data_ptr() for each in net.parameters()] == places
    torch.testing.assert_close(net[0].weight.detach(), before + 0.5 * traces.z[0], rtol=1e-15, atol=0)


def everything(net, traces):
    return [each.detach().clone() for each in (*net.parameters(), *traces.z)]


@pytest.mark.parametrize(
    ("spoil", "exception", "message"),
    [
        (lambda net: setattr(net[2].bias, "grad", None), RuntimeError, r"2\.bias: without a gradient"),
        (lambda net: net[0].weight.grad.fill_(torch.nan), FloatingPointError, r"0\.weight: a gradient"),
        (
            lambda net: setattr(net[0].bias, "data", net[0].bias.data.float()),
            TypeError,
            r"0\.bias: has dtype",
        ),
    ],
    ids=["missing", "nan", "dtype"],
)
def test_refused_gradients(spoil, exception, message):
    net = network()
    traces = traces_of(net)
    accumulate(net, traces, states(1)[0])
    before = everything(net, traces)[4:]
    net(states(2)[1]).sum().backward()
    spoil(net)
    with pytest.raises(exception, match=message):
        traces.accumulate()
    assert all(torch.equal(*pair) for pair in zip(traces.z, before, strict=True))


def test_a_module_that_was_moved():
    net = network()
    traces = traces_of(net)
    traces._flat = traces._flat.to("meta")
    with pytest.raises(ValueError, match=r"0\.weight: is on device cpu, its trace on meta"):
        accumulate(net, traces, states(1)[0])


@pytest.mark.parametrize(
    ("delta", "alpha", "exception", "message"),
    [
        (float("nan"), 0.1, FloatingPointError, "delta: got nan"),
        (1e308, 1e308, FloatingPointError, "a parameter after this step is not finite"),
        (1.0, 0.0, ValueError, "alpha: got 0.0"),
        ("1", 0.1, TypeError, "delta: expected a real number"),
    ],
    ids=["nan", "overflow", "alpha", "string"],
)
def test_refused_steps(delta, alpha, exception, message):
    net = network()
    traces = traces_of(net)
    accumulate(net, traces, states(1)[0])
    before = everything(net, traces)
    with pytest.raises(exception, match=message):
        traces.step(delta, alpha)
    assert all(torch.equal(*pair) for pair in zip(everything(net, traces), before, strict=True))


def leaf(**options):
    return torch.zeros(2, requires_grad=True, **options)


TWICE = leaf()


@pytest.mark.parametrize(
    ("parameters", "exception", "message"),
    [
        ([], ValueError, "parameters: got none"),
        (TWICE, TypeError, "parameters: got one tensor"),
        ([TWICE, TWICE], ValueError, "one stands twice"),
        (
            [leaf(), leaf(dtype=torch.float64)],
            TypeError,
            r"1: got dtype torch\.float64, expected torch\.float32",
        ),
        ([leaf(), leaf(device="meta")], ValueError, "1: is on device meta, expected cpu"),
        ([leaf(dtype=torch.float16)], TypeError, r"0: got dtype torch\.float16"),
        ([torch.zeros(2)], ValueError, "0: is no leaf that requires a gradient"),
        ([np.zeros(2)], TypeError, "0 is a ndarray"),
    ],
    ids=["none", "tensor", "twice", "dtypes", "devices", "half", "no gradient", "array"],
)
def test_refused_parameters(parameters, exception, message):
    with pytest.raises(exception, match=message):
        ft.torch.trace(parameters)


def test_state_goes_on():
    """Saved, loaded, copied with its module and pickled, the next step is the same."""
    net = network()
    traces = traces_of(net)
    accumulate(net, traces, states(1)[0])
    saved = traces.state_dict()
    other = traces_of(network())
    other.load_state_dict(saved)
    assert all(torch.equal(*pair) for pair in zip(traces.z, other.z, strict=True))
    for twin, copied in (copy.deepcopy((net, traces)), pickle.loads(pickle.dumps((net, traces)))):
        accumulate(twin, copied, states(2)[1])
        copied.step(1.0, 0.1)
        again = network()
        last = traces_of(again)
        last.load_state_dict(saved)
        accumulate(again, last, states(2)[1])
        last.step(1.0, 0.1)
        for pair in zip(twin.parameters(), again.parameters(), strict=True):
            assert torch.equal(*pair)
    with pytest.raises(ValueError, match="state: of 0, expected"):
        traces.load_state_dict(ft.torch.trace([leaf()]).state_dict())


@pytest.mark.parametrize("name", ["ObGD", "AdaptiveObGD"])
def test_bounded_steps_are_those_of_stream_td(name):
    """A torch module with the weights of a StreamTD, and its states, learns what StreamTD learns."""
    rule = getattr(ft.neural, name)()
    options = {"hidden": (6,), "activation": "tanh", "layer_norm": False, "normalise": False}
    learner = ft.neural.StreamTD(
        3, optimiser=rule, scale_rewards=False, gamma=GAMMA, lambda_=LAMBDA, dtype=np.float64, **options
    )
    module = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1)).double()
    torch.nn.utils.vector_to_parameters(torch.from_numpy(learner.weights), module.parameters())
    traces = traces_of(module)
    rows, rewards = states(13), np.random.default_rng(0).normal(scale=2.0, size=12)
    for t in range(12):
        v = module(rows[t])
        v.backward()
        delta = rewards[t] + GAMMA * module(rows[t + 1]).detach() - v.detach()
        traces.accumulate()
        traces.step(delta, rule)
        if t == 6:  # and on from a state
            saved, traces = traces.state_dict(), traces_of(module)
            traces.load_state_dict(saved)
    learner.learn(rows.numpy(), rewards)
    got = torch.nn.utils.parameters_to_vector(module.parameters()).detach().numpy()
    np.testing.assert_allclose(got, learner.weights, rtol=0, atol=1e-12)


def test_a_scalar_discount_of_nothing():
    """gamma or lambda 0: the past is set to 0, not multiplied by it."""
    net = network()
    traces = traces_of(net)
    traces._flat.fill_(torch.inf)
    accumulate(net, traces, states(1)[0], lambda_=0.0)
    assert all(torch.isfinite(z).all() for z in traces.z)


@pytest.mark.parametrize(
    "changed",
    [{"z": None}, {"power": 2.0}, {"v": torch.ones(3)}, {"v": torch.full((8,), torch.nan)}],
    ids=["missing", "power", "size", "nan"],
)
def test_states_that_are_none(changed):
    net = torch.nn.Linear(3, 2)
    traces = ft.torch.trace(net.named_parameters())
    state = {name: each for name, each in {**traces.state_dict(), **changed}.items() if name != "z" or each}
    with pytest.raises(ValueError, match=r"state|power"):
        traces.load_state_dict(state)
    with pytest.raises(ValueError, match="delta: got shape"):
        traces.step(torch.ones(2), 0.1)
