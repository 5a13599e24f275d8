"""Plastic networks: golden results, agreement of the backends, gradients by differences, and theory."""

import copy
import itertools
import pickle
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fasttrace as ft
from fasttrace import registry
from fasttrace.backends import module
from fasttrace.pieces import in_pieces
from fasttrace.plasticity import (
    BOUNDS,
    MODES,
    HebbianTrace,
    PlasticLayer,
    PlasticLSTM,
    PlasticRNN,
    PlasticState,
    Sequence,
    networks,
)

BACKENDS = [name for name, reason in ft.backends().items() if reason is None]
NETWORKS = {row.cell: getattr(ft.plasticity, row.name) for row in registry.NETWORKS}
T, B, I, H = 9, 3, 5, 19  # noqa: E741 - steps, elements, inputs, neurons: no whole number of vectors

backend_ = pytest.mark.parametrize("backend", BACKENDS)
compiled = pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "numpy"])
cells = pytest.mark.parametrize("cell", NETWORKS)
modes = pytest.mark.parametrize("mode", MODES)
bounds = pytest.mark.parametrize("bound", BOUNDS)
# What may be modulated, and how; a layer is given its modulation.
VARIANTS = [
    {"modulation": "sigmoid"},
    {"modulation": "linear", "bound": "soft"},
    {"modulated": "half"},
    {"modulated": "half", "modulation": "sigmoid", "bound": "decay", "fan_out": True},
]
variants = pytest.mark.parametrize(
    "options", VARIANTS, ids=lambda options: " ".join(map(str, options.values()))
)
modulated = pytest.mark.parametrize("mode", ["simple", "retroactive"])


def for_cell(cell, options):
    """Those of the options that there are for this network."""
    return {n: v for n, v in options.items() if cell != "layer" or n in ("bound", "modulated")}


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).with_name("golden") / "plasticity.npz") as file:
        return dict(file)


def relative(got, want):
    return np.abs(np.subtract(got, want)).max() / max(np.abs(want).max(), 1e-3)


def network(cell, mode, backend="numpy", *, seed=2, gain=0.6, **options):
    """A network with all its parameters away from where they start, of recurrent gain at most `gain`."""
    options = {"dtype": np.float64, "clip": 0.3} | options
    net = NETWORKS[cell](I, H, mode=mode, backend=backend, seed=seed, **options)
    rng = np.random.default_rng(seed)
    for name in ("al", "bm", "fw", "fb"):
        if name in net.params:
            net.params[name][...] = 0.3 * rng.normal(size=net.params[name].shape)
    for name in ("W", "Wih", "Wjh", "Wfh", "Woh"):
        if name in net.params:
            net.params[name] *= gain / np.linalg.norm(net.params[name], 2)
    return net


def example(net, *, seed=3, steps=T, modulated=None):
    """Inputs, a state to begin with, gradients of everything that comes out; the modulation of a layer."""
    rng = np.random.default_rng(seed)

    def draw(*shape, scale=1.0):
        return (scale * rng.normal(size=shape)).astype(net.dtype)

    layer, lstm = isinstance(net, PlasticLayer), isinstance(net, PlasticLSTM)
    K = I if layer else H

    def state(scale):
        return PlasticState(
            None if layer else draw(B, H, scale=5 * scale),
            draw(B, H) if lstm else None,
            draw(B, H, K, scale=scale),
            draw(B, H, K, scale=scale),
        )

    modulated = layer if modulated is None else modulated
    return SimpleNamespace(
        xs=draw(steps, B, I),
        state=state(0.1),
        dh=draw(steps, B, H),
        dM=draw(steps, B),
        dstate=state(1.0),
        modulation=draw(steps, B) if modulated else None,
    )


def results(net, e, **options):
    """Everything that a network gives for an example, forward and backward, by name."""
    s = net.forward(e.xs, e.state, e.modulation, threads=options.get("threads", 1))
    out = {"h": s.h, "M": s.M, "hebb": s.state.hebb, "E": s.state.E}
    return out | {f"d{name}": g for name, g in net.backward(s, e.dh, e.dM, e.dstate, **options).items()}


def assert_close(got, want, tolerance):
    assert got.keys() == want.keys()
    errors = {name: relative(got[name], want[name]) for name in got}
    assert max(errors.values()) <= tolerance, errors


# ---- golden results ----

SHORT = {"simple": "simple", "retroactive": "retro"}


@backend_
@pytest.mark.parametrize("mode", SHORT)
@pytest.mark.parametrize("case", ["P01", "P03"])
class TestGolden:
    @pytest.mark.parametrize(("cell", "key", "letter"), [("rnn", "rnn", "P"), ("lstm", "lstm_official", "L")])
    def test_networks(self, case, mode, cell, key, letter, backend, golden):
        """h, M, Hebb, E and every gradient that is there."""
        prefix = f"{case}/in/{letter}/"
        params = {name.removeprefix(prefix): golden[name] for name in golden if name.startswith(prefix)}
        net = NETWORKS[cell](
            3, 4, mode=mode, fan_out="fw" in params, clip=1.0, dtype=np.float64, backend=backend
        )
        assert net.params.keys() == params.keys()
        for name, array in params.items():
            net.params[name][...] = array
        s = net.forward(golden[f"{case}/in/xs"][:, None])
        out = f"{case}/out/{key}_{SHORT[mode]}/"
        got = {"h": s.h[:, 0], "M": s.M[:, 0], "hebb": s.state.hebb[0], "E": s.state.E[0]}
        assert_close(got, {name: golden[out + name] for name in got}, 1e-10)
        grads = net.backward(s, golden[f"{case}/in/C"][:, None])
        out = f"{case}/out/{cell}_grad_{SHORT[mode]}/d"
        want = {name.removeprefix(out): golden[name] for name in golden if name.startswith(out)}
        if want:  # the RNN's with fan-out are not among them
            assert_close({name: grads[name] for name in want}, want, 1e-10)

    @pytest.mark.parametrize("fan", ["", "fanout_"])
    def test_layer_and_trace(self, case, mode, fan, backend, golden):
        """A layer on the sequence, and the same by a HebbianTrace step by step."""
        W, al, xs = (golden[f"{case}/in/{name}"] for name in ("W", "al", "xs"))
        M = golden[f"{case}/in/{'Mfan' if fan else 'M'}"]
        out = f"{case}/out/layer_{fan}{SHORT[mode]}/"
        layer = PlasticLayer(3, 4, mode=mode, eta=0.3, dtype=np.float64, backend=backend)
        layer.params["W"][:], layer.params["al"][:] = W, al
        s = layer.forward(xs[:, None], modulation=M[:, None])
        got = {"y": s.y[:, 0], "hebb": s.state.hebb[0], "E": s.state.E[0]}
        want = {name: golden[out + name] for name in got}
        assert_close(got, want, 1e-10)
        trace = HebbianTrace((4, 3), mode=mode, eta=0.3, dtype=np.float64, backend=backend)
        for x, m in zip(xs, M, strict=True):
            trace.step(np.tanh((W + al * trace.hebb) @ x), x, m)
        assert_close({"hebb": trace.hebb, "E": trace.E}, {"hebb": want["hebb"], "E": want["E"]}, 1e-10)


# ---- agreement ----


@compiled
@cells
@modes
@bounds
def test_agrees_with_the_reference(cell, mode, bound, backend):
    """In float64 with everything that an option may be, whatever the spacing of the checkpoints."""
    row = next(row for row in registry.NETWORKS if row.cell == cell)
    for alpha, fan_out in itertools.product(("synapse", "neuron", "scalar"), (False, True)):
        if cell == "layer" and fan_out:
            continue
        options = {} if cell == "layer" else {"fan_out": fan_out}
        net = network(cell, mode, bound=bound, alpha=alpha, **options)
        for modulated in (True,) if cell == "layer" else (False, True):
            e = example(net, modulated=modulated)
            want = results(net.to("numpy"), e)
            first = results(net.to(backend), e)
            assert_close(first, want, row.tolerance)
            for spacing in range(1, T + 3):
                again = results(net, e, spacing=spacing)
                assert all(np.array_equal(again[name], first[name]) for name in first), spacing


@compiled
@cells
@modulated
@variants
def test_variants_agree_with_the_reference(cell, mode, options, backend):
    row = next(row for row in registry.NETWORKS if row.cell == cell)
    net = network(cell, mode, **for_cell(cell, options))
    e = example(net)
    want = results(net.to("numpy"), e)
    first = results(net.to(backend), e)
    assert_close(first, want, row.tolerance)
    again = results(net, e, spacing=1)
    assert all(np.array_equal(again[name], first[name]) for name in first)


@pytest.mark.skipif("c" not in BACKENDS or "numba" not in BACKENDS, reason="one of the two is missing")
@cells
@modes
def test_numba_is_c_to_the_bit(cell, mode):
    """The same operations in the same order.  For float32, which Numba compiles anew, see bench/."""
    dtype = np.float64
    for options in ({}, {"bound": "soft"}, {"bound": "decay"}, *VARIANTS):
        net = network(cell, mode, "c", dtype=dtype, **for_cell(cell, options))
        e = example(net)
        one, other = results(net, e), results(net.to("numba"), e)
        different = [name for name in one if not np.array_equal(one[name], other[name])]
        if dtype == np.float64:  # tanh is the C library's in both, which need not be one and the same
            assert_close(one, other, 1e-13)
        else:
            assert different == []


def widened(value):
    """The same in float64."""
    if isinstance(value, PlasticState):
        return PlasticState(*(widened(getattr(value, name)) for name in ("h", "c", "hebb", "E")))
    return None if value is None else value.astype(np.float64)


@compiled
@cells
@modes
def test_float32_gradients(cell, mode, backend):
    """Within 5e-5 of the float64 reference, with a clip that is active and a recurrent gain of 0.6."""
    net = network(cell, mode, backend, clip=0.1, dtype=np.float32)
    reference = network(cell, mode, clip=0.1)
    for name, array in net.params.items():
        reference.params[name][...] = array
    e = example(net, steps=60)
    wide = SimpleNamespace(**{name: widened(value) for name, value in vars(e).items()})
    s = net.forward(e.xs, e.state, e.modulation)
    if mode != "none":
        assert (np.abs(s.state.hebb) == np.float32(0.1)).mean() > 0.01
    assert_close(results(net, e), results(reference, wide), 5e-5)


@compiled
@cells
def test_threads_share_the_batch(cell, backend):
    """Two threads: the same for each element and each time, and the sums of one but for rounding."""
    net = network(cell, "retroactive", backend)
    e = example(net)
    one, two, again = (results(net, e, threads=n) for n in (1, 2, 2))
    assert all(np.array_equal(two[name], again[name]) for name in two)
    assert_close(two, one, 1e-13)
    for name in ("h", "hebb", "E", "dhebb0", "dxs"):
        assert_array_equal(two[name], one[name])
    assert_close(results(net, e, threads=8), one, 1e-13)  # more threads than elements


# ---- gradients by differences ----


def loss(net, e):
    """A number whose gradients dh, dM and dstate are."""
    s = net.forward(e.xs, e.state, e.modulation)
    pairs = [(s.h, e.dh), (s.M, e.dM)]
    pairs += [(getattr(s.state, name), getattr(e.dstate, name)) for name in ("h", "c", "hebb", "E")]
    return sum(np.vdot(a, b) for a, b in pairs if b is not None)


@backend_
@cells
@modes
@bounds
def test_gradients_are_those_of_differences(cell, mode, bound, backend):
    """Every parameter, the inputs, the state before and the modulation, in one random direction each."""
    check_gradients(
        cell, network(cell, mode, backend, clip=2.0, **for_cell(cell, {"bound": bound, "fan_out": True}))
    )


@backend_
@cells
@modulated
@variants
def test_gradients_of_variants_are_those_of_differences(cell, mode, options, backend):
    check_gradients(cell, network(cell, mode, backend, clip=2.0, **for_cell(cell, options)))


def check_gradients(cell, net):
    for modulated in (False, True):
        if cell == "layer" and not modulated:
            continue
        e = example(net, modulated=modulated)
        s = net.forward(e.xs, e.state, e.modulation)
        grads = net.backward(s, e.dh, e.dM, e.dstate)
        places = dict(net.params) | {"xs": e.xs, "hebb0": e.state.hebb, "E0": e.state.E}
        places |= {} if e.state.h is None else {"h0": e.state.h}
        places |= {} if e.state.c is None else {"c0": e.state.c}
        places |= {} if e.modulation is None else {"modulation": e.modulation}
        assert grads.keys() == places.keys()
        rng = np.random.default_rng(0)
        for name, array in places.items():
            direction, before = rng.normal(size=array.shape), array.copy()
            values = []
            for step in (1e-7, -1e-7):  # short: a longer one meets kinks of the clip
                array[...] = before + step * direction
                values.append(loss(net, e))
            array[...] = before
            slope = (values[0] - values[1]) / 2e-7
            assert np.vdot(grads[name], direction) == pytest.approx(slope, rel=1e-5, abs=1e-5), name


@backend_
@pytest.mark.parametrize("bound", ["hard", "soft"])
def test_what_is_clipped_has_no_gradient(bound, backend):
    """The gradient stops where Hebb is at its bound, and goes on where it is inside."""
    layer = PlasticLayer(1, 2, mode="simple", clip=0.5, bound=bound, dtype=np.float64, backend=backend)
    layer.params["W"][:], layer.params["al"][:] = [[1.0], [0.1]], 1.0
    xs = np.ones((2, 1, 1))
    s = layer.forward(xs, modulation=np.ones((2, 1)))
    assert s.state.hebb[0, 0, 0] == 0.5
    assert 0.0 < s.state.hebb[0, 1, 0] < 0.5
    dstate = SimpleNamespace(hebb=np.ones((1, 2, 1)))
    first, second = layer.backward(s, None, None, dstate)["hebb0"][0, :, 0]
    assert first == 0.0
    assert second > 0.0


# ---- theory ----


def taylor(E, n):
    """Value, gradient (.., 2 n) and Hessian (.., 2 n, 2 n) of E(h, i) at no activity, by differences."""
    s, units = 1e-3, np.eye(2 * n)

    def at(y):
        return E(s * y[:n], s * y[n:])

    gradient = np.stack([(at(a) - at(-a)) / (2 * s) for a in units], -1)
    hessian = [[(at(a + b) - at(a - b) - at(b - a) + at(-a - b)) / (4 * s * s) for b in units] for a in units]
    return at(np.zeros(2 * n)), gradient, np.moveaxis(np.array(hessian), (0, 1), (-2, -1))


def test_why_the_product():
    """Of a smooth rule that needs both sides of a synapse, no more, outer(post, pre) is the first term."""
    n, near = 3, {"rtol": 0, "atol": 1e-5}

    def rule(h, i):
        return np.outer(np.sin(i), np.expm1(h)) * np.cos(np.add.outer(i, h))

    def one_side(h, i):
        return rule(h, i) + np.outer(i**2, np.ones(n))

    def not_its_own(h, i):
        return np.outer(i, np.roll(h, 1))

    identity = np.einsum("ja,kb->jkab", np.eye(n), np.eye(n))
    of_rules = {}
    for each in (rule, one_side, not_its_own):
        value, gradient, hessian = taylor(each, n)
        np.testing.assert_allclose(value, 0.0, **near)
        np.testing.assert_allclose(gradient, 0.0, **near)
        pure = np.abs(hessian[..., :n, :n]).max() + np.abs(hessian[..., n:, n:]).max()
        of_rules[each] = pure < 1e-5, np.allclose(hessian[..., n:, :n], identity, **near)
    assert of_rules == {rule: (True, True), one_side: (False, True), not_its_own: (True, False)}

    rng = np.random.default_rng(0)
    h, i = rng.normal(size=n), rng.normal(size=n)
    trace = HebbianTrace((n, n), clip=1e3, mode="simple", dtype=np.float64)
    trace.step(i, h)
    np.testing.assert_allclose(trace.hebb, np.einsum("jkab,a,b->jk", identity, i, h), rtol=1e-15)
    left = [np.abs(rule(s * h, s * i) - s * s * trace.hebb).max() / s**3 for s in (1e-3, 1e-4)]
    assert left[0] == pytest.approx(left[1], rel=0.01)  # of third order, and there
    assert left[0] > 0.1


@backend_
def test_retroactive_gates_the_old_trace(backend):
    """Hebb moves by the E that was; only then E moves."""
    trace = HebbianTrace((2, 3), mode="retroactive", eta=0.25, dtype=np.float64, backend=backend)
    post, pre = np.array([1.0, -0.5]), np.array([0.2, 0.4, -0.6])
    trace.step(post, pre, 0.5)
    assert_array_equal(trace.hebb, 0.0)
    assert_array_equal(trace.E, 0.25 * np.outer(post, pre))
    old = trace.E.copy()
    trace.step(np.array([0.3, 0.3]), pre, 0.5)
    assert_array_equal(trace.hebb, 0.5 * old)
    np.testing.assert_allclose(trace.E, 0.75 * old + 0.25 * np.outer([0.3, 0.3], pre), rtol=1e-15)


@backend_
def test_a_reward_later_finds_what_was_active(backend):
    """Retroactive: a modulation that comes k steps late still writes the pair, by (1 - eta)^(k - 1) eta."""
    eta = 0.3
    for k in (1, 2, 5):
        trace = HebbianTrace((1, 1), mode="retroactive", eta=eta, dtype=np.float64, backend=backend)
        trace.step(np.array([0.5]), np.array([1.0]), 0.0)
        for _ in range(k - 1):
            trace.step(np.zeros(1), np.zeros(1), 0.0)
        trace.step(np.zeros(1), np.zeros(1), 1.0)
        assert trace.hebb[0, 0] == pytest.approx((1 - eta) ** (k - 1) * eta * 0.5, rel=1e-14)


@backend_
@cells
def test_simple_with_modulation_eta_is_plastic(cell, backend):
    """Without a modulation of its own, Hebb += eta outer."""
    simple, plastic = (network(cell, mode, backend) for mode in ("simple", "plastic"))
    e = example(simple)
    M = np.full((T, B), float(plastic.params["eta"]))
    one = simple.forward(e.xs, e.state, M)
    other = plastic.forward(e.xs, e.state, M)
    np.testing.assert_allclose(one.h, other.h, rtol=0, atol=1e-14)
    np.testing.assert_allclose(one.state.hebb, other.state.hebb, rtol=0, atol=1e-14)


@backend_
@modes
def test_without_alpha_nothing_is_plastic(mode, backend):
    """al = 0: the network of mode none, and the gradient of Hebb is 0."""
    net, none = (network("rnn", each, backend) for each in (mode, "none"))
    for each in (net, none):
        each.params["al"][:] = 0.0
    e = example(net)
    s = net.forward(e.xs, e.state)
    np.testing.assert_allclose(s.h, none.forward(e.xs, e.state).h, rtol=0, atol=1e-14)
    assert_array_equal(net.backward(s, e.dh)["hebb0"], 0.0)


@backend_
def test_soft_bound_is_reached_slowly(backend):
    """With increments of at most 1 the soft bound is never passed, and half way the step is half."""
    trace = HebbianTrace((1, 1), mode="simple", clip=2.0, bound="soft", dtype=np.float64, backend=backend)
    trace.hebb[:] = 1.0
    trace.step(np.ones(1), np.ones(1), 0.5)
    assert trace.hebb[0, 0] == 1.25
    trace.hebb[:] = -1.0
    trace.step(np.ones(1), np.ones(1), 0.5)
    assert trace.hebb[0, 0] == -0.25  # away from its bound: 0.5 (1 - (-1) / 2)
    trace.step(np.ones(1), np.ones(1), 1e9)
    assert trace.hebb[0, 0] == 2.0


@backend_
@modulated
def test_decay_is_an_average(mode, backend):
    """Hebb <- (1 - M) Hebb + M X, by neuron too; X is the outer product, or the E that was."""
    rng = np.random.default_rng(0)
    trace = HebbianTrace((3, 2), mode=mode, bound="decay", eta=0.3, dtype=np.float64, backend=backend)
    trace.hebb, trace.E = rng.uniform(-1, 1, (2, 3, 2))
    post, pre, M = rng.uniform(-1, 1, 3), rng.uniform(-1, 1, 2), rng.random(3)
    X = np.outer(post, pre) if mode == "simple" else trace.E.copy()
    want = (1 - M[:, None]) * trace.hebb + M[:, None] * X
    trace.step(post, pre, M)
    np.testing.assert_allclose(trace.hebb, want, rtol=0, atol=1e-15)


@backend_
def test_decay_forgets(backend):
    """Mode plastic without activity: Hebb shrinks by 1 - eta a step; a decay by 1 leaves the last product."""
    trace = HebbianTrace((1, 1), mode="plastic", bound="decay", eta=0.25, dtype=np.float64, backend=backend)
    trace.hebb[:] = 0.8
    for _ in range(3):
        trace.step(np.zeros(1), np.zeros(1))
    assert trace.hebb[0, 0] == pytest.approx(0.8 * 0.75**3, rel=1e-15)
    last = HebbianTrace((1, 1), mode="plastic", bound="decay", eta=1.0, dtype=np.float64, backend=backend)
    last.hebb[:] = 0.8
    last.step(np.full(1, 0.5), np.full(1, 0.5))
    assert last.hebb[0, 0] == pytest.approx(0.25, rel=1e-15)


@backend_
@pytest.mark.parametrize(
    ("modulation", "function"),
    [("tanh", np.tanh), ("sigmoid", lambda x: 1 / (1 + np.exp(-x))), ("linear", lambda x: x)],
)
def test_what_the_modulation_is(modulation, function, backend):
    net = network("rnn", "simple", backend, modulation=modulation)
    s = net.forward(example(net).xs)
    want = function(s.h @ net.params["wm"] + net.params["bm"])
    np.testing.assert_allclose(s.M, want, rtol=0, atol=1e-14)


@backend_
@modulated
def test_half_of_the_neurons_are_modulated(mode, backend):
    """The first H // 2 move as if all were; the others as in the mode plastic, without E."""
    nets = {
        "half": network("layer", mode, backend, modulated="half"),
        "all": network("layer", mode, backend),
        "plastic": network("layer", "plastic", backend),
    }
    e = example(nets["half"], steps=1)
    half, every, plastic = (net.forward(e.xs, e.state, e.modulation).state for net in nets.values())
    n = H // 2
    assert_array_equal(half.hebb[:, :n], every.hebb[:, :n])
    np.testing.assert_allclose(half.hebb[:, n:], plastic.hebb[:, n:], rtol=0, atol=1e-15)
    assert_array_equal(half.E[:, :n], every.E[:, :n])
    assert_array_equal(half.E[:, n:], e.state.E[:, n:])


@backend_
@cells
@modes
def test_one_step_at_a_time(cell, mode, backend):
    """Steps, sequences split anywhere, and one sequence: the same, and forward leaves its state alone."""
    net = network(cell, mode, backend)
    e = example(net)
    before = e.state.copy()
    whole = net.forward(e.xs, e.state, e.modulation)
    M = [None] * T if e.modulation is None else e.modulation
    for one, other in zip(e.state._arrays(), before._arrays(), strict=True):
        assert_array_equal(one, other)
    state = e.state.copy()
    arrays = state._arrays()
    for t in range(T):
        out = net.step(e.xs[t], state, M[t])
        h = out if cell == "layer" else out[0]
        np.testing.assert_allclose(h, whole.h[t], rtol=0, atol=1e-13)
    assert all(one is other for one, other in zip(arrays, state._arrays(), strict=True))
    head = net.forward(e.xs[:4], e.state, None if e.modulation is None else e.modulation[:4])
    tail = net.forward(e.xs[4:], head.state, None if e.modulation is None else e.modulation[4:])
    for end in (state, tail.state):
        for one, other in zip(end._arrays(), whole.state._arrays(), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)


@backend_
@cells
def test_gradients_through_a_split(cell, backend):
    """The gradients of the state carry over what was cut."""
    net = network(cell, "retroactive", backend)
    e = example(net)
    M = e.modulation
    whole = net.backward(net.forward(e.xs, e.state, M), e.dh)
    head = net.forward(e.xs[:4], e.state, None if M is None else M[:4])
    tail = net.forward(e.xs[4:], head.state, None if M is None else M[4:])
    late = net.backward(tail, e.dh[4:])
    carried = SimpleNamespace(h=late.get("h0"), c=late.get("c0"), hebb=late["hebb0"], E=late["E0"])
    early = net.backward(head, e.dh[:4], None, carried)
    for name in net.params:
        assert relative(early[name] + late[name], whole[name]) < 1e-12
    assert relative(early["hebb0"], whole["hebb0"]) < 1e-12


@backend_
def test_reset_ends_some_episodes(backend):
    """The elements of the mask begin anew, the others go on."""
    net = network("lstm", "retroactive", backend)
    e = example(net)
    state, fresh = e.state.copy(), net.initial_state(B)
    state.reset(np.array([True, False, True]))
    h, _ = net.step(e.xs[0], state)
    kept, _ = net.step(e.xs[0], e.state)
    new, _ = net.step(e.xs[0], fresh)
    np.testing.assert_allclose(h[[0, 2]], new[[0, 2]], rtol=0, atol=1e-14)
    np.testing.assert_allclose(h[1], kept[1], rtol=0, atol=1e-14)
    state.reset()
    assert not any(array.any() for array in state._arrays())


@backend_
def test_elements_do_not_know_each_other(backend):
    """A batch is its elements, one by one."""
    net = network("rnn", "simple", backend, fan_out=True)
    e = example(net)
    whole = net.forward(e.xs, e.state)
    for b in range(B):
        part = PlasticState(e.state.h[b : b + 1], None, e.state.hebb[b : b + 1], e.state.E[b : b + 1])
        alone = net.forward(np.ascontiguousarray(e.xs[:, b : b + 1]), part)
        np.testing.assert_allclose(alone.h[:, 0], whole.h[:, b], rtol=0, atol=1e-14)


@backend_
def test_the_way_back_takes_the_parameters_of_the_way_there(backend):
    """A step of an optimiser in between changes nothing."""
    net = network("lstm", "retroactive", backend)
    e = example(net)
    s = net.forward(e.xs, e.state)
    want = net.backward(s, e.dh)
    for array in net.params.values():
        array *= 1.5
    e.xs[:] = 0.0
    e.state.reset()
    got = net.backward(s, e.dh)
    assert all(np.array_equal(got[name], want[name]) for name in want)


# ---- copies ----


def made(name, backend):
    """An object of a public class, after some steps."""
    if name == "HebbianTrace":
        trace = HebbianTrace((3, 2), backend=backend)
        trace.step(np.ones(3, np.float32), np.ones(2, np.float32), 1.0)
        return trace
    if name in ("PlasticState", "Sequence"):
        net = PlasticLSTM(I, H, mode="retroactive", backend=backend)
        sequence = net.forward(example(net).xs)
        return sequence if name == "Sequence" else sequence.state
    return getattr(ft.plasticity, name)(I, H, backend=backend)


def arrays_of(value):
    """Every array in it, but for scratch, and for a sequence's h and M, which are read-only views."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from arrays_of(each)
    else:
        names = [*getattr(value, "__dict__", ()), *getattr(value, "__slots__", ())]
        for name in names:
            if name != "_work" and not (isinstance(value, Sequence) and name in ("h", "M")):
                yield from arrays_of(getattr(value, name))


def from_read_only_memory(value):
    """As workers of joblib, dask and Ray get it."""
    buffers = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(each.raw()) for each in buffers])


copied = pytest.mark.parametrize(
    "again",
    [from_read_only_memory, lambda x: pickle.loads(pickle.dumps(x)), copy.copy, copy.deepcopy],
    ids=["read-only", "pickle", "copy", "deepcopy"],
)


@backend_
@copied
@pytest.mark.parametrize("name", ft.plasticity.__all__)
def test_copies_own_their_memory(name, again, backend):
    """Writable, at a multiple of 64 bytes, and nobody else's."""
    one = made(name, backend)
    other = again(one)
    if isinstance(one, Sequence) and again is copy.copy:  # what it was made of is for reading
        one, other = one.state, other.state
    arrays, before = list(arrays_of(other)), list(arrays_of(one))
    assert len(arrays) == len(before) > 0
    for array, old in zip(arrays, before, strict=True):
        assert_array_equal(array, old)
        assert array.flags.writeable
        assert array.size == 0 or not np.shares_memory(array, old)
    owned = [array for array in arrays if array.size and (array.base is None or array.base.dtype == np.uint8)]
    assert owned
    assert all(array.ctypes.data % 64 == 0 for array in owned)


@backend_
@copied
def test_copies_go_on(again, backend):
    """A network with its sequence, its state and a trace: what comes next is the same, and written there."""
    for cell in NETWORKS:
        net = network(cell, "retroactive", backend)
        e = example(net)
        s = net.forward(e.xs, e.state, e.modulation)
        M = None if e.modulation is None else e.modulation[0]
        want = net.backward(s, e.dh)
        other = again(net)
        if again is copy.copy:
            other, twin = net, copy.copy(s)  # a copy of a sequence is still this network's
        else:
            other, twin = again((net, s))
        got = other.backward(twin, e.dh)
        assert all(np.array_equal(got[name], want[name]) for name in want)
        net.step(e.xs[0], s.state, M)
        other.step(e.xs[0], twin.state, M)
        for one, two in zip(twin.state._arrays(), s.state._arrays(), strict=True):
            assert_array_equal(one, two)
        with pytest.raises(ValueError, match="read-only"):
            twin.h[:] = 0.0
        again(net).params["al"][...] = 0.0
        assert net.params["al"].any()
    trace = made("HebbianTrace", backend)
    other = again(trace)
    for each in (trace, other):
        each.step(np.ones(3, np.float32), np.ones(2, np.float32), 1.0)
    assert_array_equal(other.hebb, trace.hebb)
    assert trace.hebb.any()


# ---- Ctrl-C ----


def in_pieces_of(size):
    """in_pieces, of that many units each."""

    def loop(total, first, run, partial=None):
        for begin in range(0, total, size):
            run(begin, min(begin + size, total))

    return loop


@compiled
@cells
@modes
def test_pieces_are_the_whole(cell, mode, backend, monkeypatch):
    """However the work is cut, in the midst of an element too: to the bit."""
    for options in ({}, {"bound": "decay"}, {"modulated": "half"}):
        net = network(cell, mode, backend, **for_cell(cell, options))
        e = example(net)
        whole = {spacing: results(net, e, spacing=spacing) for spacing in (1, 4, 100)}
        for size, (spacing, want) in itertools.product((1, 7, T + 1), whole.items()):
            with monkeypatch.context() as patch:
                patch.setattr(networks, "in_pieces", in_pieces_of(size))
                got = results(net, e, spacing=spacing, threads=2 if size == 7 else 1)
            if size == 7:  # sums over the batch are those of two parts
                assert_close(got, want, 1e-13)
            else:
                assert all(np.array_equal(got[name], want[name]) for name in want), (size, spacing)


@pytest.fixture
def ctrl_c():
    """SIGINT raises KeyboardInterrupt, also where the tests were started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@compiled
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("what", ["forward", "backward", "step"])
def test_ctrl_c(what, threads, backend, monkeypatch, ctrl_c):
    """Heard between two pieces; nothing has changed, and the same again gives what it would have given."""
    net = network("lstm", "retroactive", backend)
    e = example(net)
    state, params = e.state.copy(), copy.deepcopy(net.params)
    s = net.forward(e.xs, e.state)
    calls = {
        "forward": lambda: net.forward(e.xs, e.state, threads=threads).h,
        "backward": lambda: net.backward(s, e.dh, threads=threads)["xs"],
        "step": lambda: net.step(e.xs[0], e.state)[0],
    }
    pieces = []

    def interrupted(total, first, run, partial):
        def piece(begin, end):
            pieces.append(begin)
            if begin == 1:
                signal.raise_signal(signal.SIGINT)
            run(begin, end)

        in_pieces(total, 1, piece, partial)

    with monkeypatch.context() as patch:
        patch.setattr(networks, "in_pieces", interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            calls[what]()
    assert caught.value.steps == 0
    units = {"forward": T, "backward": 2 * (T + 1), "step": 1}[what] * B
    assert 2 <= len(pieces) < units
    for one, two in zip(e.state._arrays(), state._arrays(), strict=True):
        assert_array_equal(one, two)
    for name, array in params.items():
        assert_array_equal(net.params[name], array)
    fresh = network("lstm", "retroactive", backend)
    want = {"forward": s.h, "backward": fresh.backward(fresh.forward(e.xs, e.state), e.dh)["xs"]}
    want["step"] = fresh.step(e.xs[0], state)[0]
    assert_array_equal(calls[what](), want[what])


@compiled
def test_long_runs_are_cut(backend, monkeypatch):
    """The first piece does little enough to be heard; a short run is one piece."""
    sizes = []

    def loop(total, first, run, partial):
        sizes.append((total, first))
        run(0, total)

    monkeypatch.setattr(networks, "in_pieces", loop)
    for steps, hidden in ((1, 8), (20, 200)):
        net = PlasticRNN(1, hidden, backend=backend)
        net.backward(net.forward(np.zeros((steps, 1, 1), np.float32)), None)
    assert all(first >= total for total, first in sizes)
    assert all(first * 200 * 200 <= 1 << 25 for _, first in sizes[2:])


@pytest.mark.skipif("c" not in BACKENDS, reason="the C library is not built")
def test_a_status_is_an_error():
    """What C cannot do is not taken for a result."""
    net = network("rnn", "simple", "c")
    e = example(net)
    s = net.forward(e.xs)
    kernels, p = module("c", "plasticity"), s._pass
    work = np.zeros(kernels.work_size(p, 1))
    with pytest.raises(RuntimeError, match="ft_plastic_forward_f64: status"):
        kernels.forward(p, 0, B + 1, work)(0, 1)
    up = SimpleNamespace(dh=e.dh, dM=None, dc=None, dhebb=None, dE=None)
    with pytest.raises(RuntimeError, match="ft_plastic_backward_f64: status"):
        kernels.backward(p, up, net._new_gradients(p), 0, B, work, 0)[0](0, 1)


def test_sequences_are_not_to_be_written_to():
    """The way back reads h and M."""
    net = network("rnn", "simple")
    s = net.forward(example(net).xs)
    for array in (s.h, s.M):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0.0
    s.state.hebb[:] = 0.0


def test_repr_says_what_it_is():
    assert repr(PlasticLSTM(3, 4, mode="simple", backend="numpy")) == (
        "PlasticLSTM(3, 4, mode='simple', clip=1.0, bound='hard', fan_out=False, alpha='synapse', "
        "dtype=float32, backend='numpy')"
    )
    half = PlasticRNN(3, 4, modulated="half", modulation="sigmoid", bound="decay")
    assert "bound='decay', fan_out=False, modulation='sigmoid', modulated='half', alpha=" in repr(half)
    assert repr(PlasticRNN(3, 4).initial_state(2)) == "PlasticState(B=2; h, hebb, E)"
    assert "retroactive" in repr(HebbianTrace((2, 2)))
