"""Networks and their traces: golden results, agreement of the backends, derivatives, theory, bad input."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fasttrace as ft
from fasttrace import registry
from fasttrace.neural import MLP, AdaptiveObGD, JacobianTrace, NetworkSarsa, NetworkTD, ObGD

BACKENDS = [name for name, reason in ft.backends().items() if reason is None]
KINDS = [("tanh", False), ("leaky_relu", True)]
SIZES = (5, 19, 11, 3)  # no whole number of vectors, and no whole number of fours

backend_ = pytest.mark.parametrize("backend", BACKENDS)
compiled = pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "numpy"])


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).with_name("golden") / "neural.npz") as file:
        return dict(file)


def relative(got, want):
    return np.abs(np.subtract(got, want)).max() / max(np.abs(want).max(), 1e-3)


def network(sizes=SIZES, backend="numpy", dtype=np.float64, *, seed=2, **options):
    """With biases that are not 0."""
    net = MLP(sizes, backend=backend, dtype=dtype, seed=seed, **options)
    net.params += 0.1 * np.random.default_rng(seed).normal(size=net.n_params).astype(dtype)
    return net


def stream(T=40, n_inputs=5, m=3, seed=3):
    """States, rewards (T, m), gammas and lambdas (T, m), some of them 0, the ends of episodes among them."""
    rng = np.random.default_rng(seed)
    gammas = rng.uniform(0.5, 1.0, (T, m)) * (rng.random((T, m)) > 0.1)
    gammas[T // 3] = 0.0
    lambdas = rng.uniform(0.2, 1.0, (T, m))
    return rng.normal(size=(T + 1, n_inputs)), rng.normal(size=(T, m)), gammas, lambdas


# ---- golden results ----


def of_case(golden, case, backend):
    """A network as the case begins with, and its stream."""
    net = MLP(golden[f"{case}/in/sizes"], dtype=np.float64, backend=backend)
    net.params[:] = golden[f"{case}/in/theta0"]
    gammas = golden[f"{case}/in/gamma"][1:].copy()
    gammas[golden[f"{case}/in/terminal"]] = 0.0
    arrays = (golden[f"{case}/in/S"], golden[f"{case}/in/R"], gammas, golden[f"{case}/in/lam"][1:])
    return net, float(golden[f"{case}/in/alpha"]), arrays


@backend_
@pytest.mark.parametrize("case", ["N01", "N03"])
def test_golden_predictions(case, backend, golden):
    """m errors and traces, gamma and lambda by the step and by the output; step by step the same."""
    out = {name: golden[f"{case}/out/neural_td/{name}"] for name in ("w", "delta", "Z")}
    net, alpha, (S, R, gammas, lambdas) = of_case(golden, case, backend)
    learner = NetworkTD(net, alpha=alpha)
    deltas = learner.learn(S, R, gammas=gammas, lambdas=lambdas)
    assert max(map(relative, (deltas, net.params, learner.Z), (out["delta"], out["w"], out["Z"]))) <= 1e-10
    single, alpha, _ = of_case(golden, case, backend)
    learner = NetworkTD(single, alpha=alpha)
    for t in range(len(R)):
        learner.update(S[t], R[t], S[t + 1], gamma=gammas[t], lambda_=lambdas[t])
    assert_array_equal(single.params, net.params)


@backend_
def test_golden_staleness(backend, golden):
    """After every step, the trace against the one of the parameters before that step's update."""
    net, alpha, (S, R, gammas, lambdas) = of_case(golden, "N01", backend)
    learner = NetworkTD(net, alpha=alpha)
    found = []
    for t in range(len(R)):
        learner.learn(S[t : t + 2], R[t : t + 1], gammas=gammas[t : t + 1], lambdas=lambdas[t : t + 1])
        found.append(learner.staleness())
    rel, cos = np.transpose(found)
    assert relative(rel, golden["N01/out/staleness/rel"]) <= 1e-10
    assert relative(cos, golden["N01/out/staleness/cos"]) <= 1e-10


@backend_
def test_golden_control(backend, golden):
    """One trace of the action taken, with the reward R[:, 0]."""
    net, alpha, (S, R, gammas, lambdas) = of_case(golden, "N01", backend)
    learner = NetworkSarsa(net, alpha=alpha)
    deltas = learner.learn(S, golden["N01/in/A"], R[:, 0], gammas=gammas, lambdas=lambdas)
    got = {"w": net.params, "z": learner.trace, "delta": deltas}
    want = {name: golden[f"N01/out/neural_sarsa/{name}"] for name in got}
    assert max(relative(got[name], want[name]) for name in got) <= 1e-10


# ---- the network ----


@backend_
@pytest.mark.parametrize("activation", ["tanh", "leaky_relu"])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_jacobian_is_that_of_differences(activation, layer_norm, backend):
    """J against central differences in a random direction; gradient and pullback against J."""
    net = network(backend=backend, activation=activation, layer_norm=layer_norm)
    rng = np.random.default_rng(0)
    s, direction, before = rng.normal(size=5), rng.normal(size=net.n_params), net.params.copy()
    y, J = net.jacobian(s)
    values = []
    for step in (1e-6, -1e-6):
        net.params = before + step * direction
        values.append(net.forward(s))
    net.params = before
    assert_allclose(J @ direction, (values[0] - values[1]) / 2e-6, rtol=1e-6, atol=1e-7)
    assert_array_equal(net.forward(np.stack([s, s])), np.stack([y, y]))
    assert_array_equal(net.gradient(s, 2), J[2])
    assert_allclose(net.pullback(s, [1.0, -2.0, 0.5])[1], [1.0, -2.0, 0.5] @ J, rtol=0, atol=1e-13)


@compiled
@pytest.mark.parametrize(("activation", "layer_norm"), KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_agrees_with_the_reference(activation, layer_norm, dtype, backend):
    """Errors, parameters and traces of NetworkTD, in both types, against the reference in float64."""
    row = next(row for row in registry.PERCEPTRONS if row.name == "NetworkTD")
    tolerance = row.tolerance if dtype == np.float64 else 1e-5
    options = {"activation": activation, "layer_norm": layer_norm}
    net, reference = network(backend=backend, dtype=dtype, **options), network(**options)
    reference.params = net.params
    S, R, gammas, lambdas = stream()
    got, want = NetworkTD(net, alpha=0.01), NetworkTD(reference, alpha=0.01)
    deltas = [each.learn(S, R, gammas=gammas, lambdas=lambdas) for each in (got, want)]
    assert relative(*deltas) <= tolerance
    assert relative(got.params, want.params) <= tolerance
    assert relative(got.Z, want.Z) <= 10 * tolerance


@compiled
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-10)])
def test_400_steps(dtype, tolerance, backend):
    """Parameters after 400 steps of a bounded learner: within the tolerance of the float64 reference."""
    rng = np.random.default_rng(5)
    S, R = rng.normal(size=(401, 8)), rng.normal(size=400)
    options = {"hidden": (64, 64), "seed": 4}
    got = ft.neural.StreamTD(8, dtype=dtype, backend=backend, **options)
    want = ft.neural.StreamTD(8, dtype=np.float64, backend="numpy", **options)
    want.params[:] = got.params
    got.learn(S, R)
    want.learn(S, R)
    assert np.abs(got.params - want.params).max() <= tolerance


def test_first_weights():
    """LeCun's bound; sparse ones have floor(sparsity fan_in) zeros a unit; another seed, other weights."""
    net = MLP((12, 40, 2), seed=1)
    W = net.params[: 40 * 12]
    assert 0.9 * 0.5 < np.abs(W).max() <= np.float32(0.5)
    assert_array_equal(net.params[40 * 12 : 40 * 13], 0.0)
    sparse = MLP((12, 40, 2), sparsity=0.9, seed=1)
    assert_array_equal((sparse.params[: 40 * 12].reshape(40, 12) == 0).sum(1), 10)
    assert np.abs(sparse.params).max() <= 12**-0.5
    assert not np.array_equal(W, MLP((12, 40, 2), seed=2).params[: 40 * 12])


# ---- theory ----


@backend_
@pytest.mark.parametrize("lambda_", [0.0, 0.7, 1.0])
def test_without_hidden_layers_it_is_linear_td(lambda_, backend):
    """Weights as those of TD with dense features and a bias, and no staleness."""
    S, R, gammas, _ = stream(m=1)
    net = network((5, 1), backend)
    learner = NetworkTD(net, alpha=0.05, lambda_=lambda_)
    linear = ft.TD(6, alpha=0.05, lambda_=lambda_, backend=backend)
    linear.weights = net.params
    deltas = learner.learn(S, R, gammas=gammas)
    want = linear.learn(np.hstack([S, np.ones((len(S), 1))]), R[:, 0], gammas=gammas[:, 0])
    assert_allclose(deltas[:, 0], want, rtol=0, atol=1e-12)
    assert_allclose(net.params, linear.weights, rtol=0, atol=1e-12)
    assert learner.staleness() == pytest.approx((0.0, 1.0), abs=1e-12)


@backend_
def test_trace_is_the_sum_of_decayed_jacobians(backend):
    """With steps that change next to nothing, Z is what staleness compares it with; a window cuts it."""
    S, R, gammas, lambdas = stream()
    learner = NetworkTD(network(backend=backend), alpha=1e-300)
    learner.learn(S, R, gammas=gammas, lambdas=lambdas)
    assert learner.staleness() == pytest.approx((0.0, 1.0), abs=1e-12)
    rel, cos = learner.staleness(window=1)
    assert rel > 0.01
    assert cos < 1.0


@backend_
def test_masking_the_jacobian_trace_is_another_algorithm(backend):
    """A control network has one trace, of the action taken: rows of Z that keep errors apart differ."""
    rng = np.random.default_rng(1)
    S, R, actions = rng.normal(size=(31, 5)), rng.normal(size=30), rng.integers(0, 3, 31)
    one, masked = (network(backend=backend) for _ in range(2))
    NetworkSarsa(one, alpha=0.01, gamma=0.9, lambda_=0.8).learn(S, actions, R)
    trace = JacobianTrace(masked.n_params, 3, dtype=np.float64, backend=backend)
    for t in range(30):
        y, J = masked.jacobian(S[t])
        delta = np.zeros(3)
        delta[actions[t]] = R[t] + 0.9 * masked.forward(S[t + 1])[actions[t + 1]] - y[actions[t]]
        trace.step(masked.params, J, delta, 0.72 if t else 0.0, 0.01)
    assert np.abs(one.params - masked.params).max() > 1e-3


@backend_
def test_jacobian_trace_makes_network_td(backend):
    """The same by hand, from Jacobians; gammas and lambdas by the output."""
    S, R, gammas, lambdas = stream()
    net, by_hand = (network(backend=backend) for _ in range(2))
    learner = NetworkTD(net, alpha=0.02)
    learner.learn(S, R, gammas=gammas, lambdas=lambdas)
    trace, decay = JacobianTrace(net.n_params, 3, dtype=np.float64, backend=backend), np.zeros(3)
    for t in range(len(R)):
        y, J = by_hand.jacobian(S[t])
        delta = R[t] + gammas[t] * by_hand.forward(S[t + 1]) - y
        trace.step(by_hand.params, J, delta, decay, 0.02)
        decay = gammas[t] * lambdas[t]
    assert relative(by_hand.params, net.params) <= 1e-12
    assert relative(trace.Z, learner.Z) <= 1e-12


@backend_
@pytest.mark.parametrize("optimiser", [ObGD(0.7, 1.5), AdaptiveObGD(0.7, 1.5)], ids=lambda o: o.name)
def test_bounded_steps(optimiser, backend):
    """No update moves the parameters by more than 1 / kappa, and the learner's steps are those of step()."""
    net = network((5, 9, 1), backend)
    learner = NetworkTD(net, optimiser=optimiser, gamma=0.9)
    by_hand, alone = net.params.copy(), copy.deepcopy(optimiser)
    S, R, _, _ = stream(30, m=1)
    sizes = []
    for t in range(30):
        before = net.params.copy()
        delta = learner.update(S[t], 20 * R[t], S[t + 1])
        moved = np.abs(net.params - before).sum()
        assert moved <= 1.0 / optimiser.kappa * (1 + 1e-9)
        sizes.append(alone.step(by_hand, learner.trace, delta))
        assert_allclose(by_hand, net.params, rtol=0, atol=1e-13)
    assert min(sizes) < optimiser.alpha


# ---- the trace of a Jacobian ----


@backend_
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("m", [1, 4, 7])
def test_jacobian_trace(m, dtype, backend):
    """step is accumulate and apply, and both are the formula; parameters of any stride."""
    rng = np.random.default_rng(m)
    n, tolerance = 2500, 1e-12 if dtype == np.float64 else 1e-4
    fused, apart = (JacobianTrace(n, m, dtype=dtype, backend=backend) for _ in range(2))
    w, room = rng.normal(size=n).astype(dtype), np.zeros((n, 2), dtype)
    strided = room[:, 1]
    strided[:] = w
    Z, want = np.zeros((m, n)), w.astype(float)
    for t in range(5):
        J, delta, decay = rng.normal(size=(m, n)).astype(dtype), rng.normal(size=m), rng.random(m) * (t != 3)
        fused.step(w, J, delta, decay, 0.1)
        apart.accumulate(np.asfortranarray(J), decay)
        apart.apply(strided, delta, 0.1)
        Z = decay[:, None] * Z + J
        want += 0.1 * delta @ Z
    assert_allclose(fused.Z, Z, rtol=0, atol=tolerance)
    assert_allclose(w, want, rtol=0, atol=tolerance)
    assert_allclose(strided, w, rtol=0, atol=tolerance)
    assert_array_equal(room[:, 0], 0.0)
    assert_array_equal(apart.Z, fused.Z)
    assert fused.staleness(fused.Z) == pytest.approx((0.0, 1.0))
    assert fused.staleness(-fused.Z) == pytest.approx((2.0, -1.0))
    fused.reset()
    assert_array_equal(fused.Z, 0.0)


BAD_STEPS = {
    "jacobian": ({"jacobian": np.nan}, FloatingPointError),
    "overflow": ({"jacobian": 3e38, "decay": 0.9}, FloatingPointError),
    "decay": ({"decay": np.nan}, ValueError),
    "decay above 1": ({"decay": 1.5}, ValueError),
    "delta": ({"delta": np.inf}, FloatingPointError),
    "negative decay": ({"decay": -0.1}, ValueError),
    "alpha": ({"alpha": 0.0}, ValueError),
    "params": ({"params": np.nan}, FloatingPointError),
}


@backend_
@pytest.mark.parametrize("name", BAD_STEPS)
def test_bad_step_changes_nothing(name, backend):
    """Not finite, or out of range: raised, and trace and parameters are as they were."""
    changes, error = BAD_STEPS[name]
    trace = JacobianTrace(9, 2, backend=backend)
    w, J = np.ones(9, np.float32), np.full((2, 9), 0.5, np.float32)
    trace.step(w, J, 0.1, 0.9, 0.1)
    if name == "overflow":
        trace.step(w, np.full((2, 9), 3e38, np.float32), 0.0, 0.0, 0.1)
    given = {"params": w, "jacobian": J, "delta": 0.1, "decay": 0.5, "alpha": 0.1} | changes
    for each, index in (("jacobian", (1, 8)), ("params", (8,))):
        if each in changes:
            array = {"jacobian": J, "params": w}[each].copy()
            array[index] = changes[each]
            given[each] = array
    before = trace.Z.copy(), given["params"].copy()
    with pytest.raises(error):
        trace.step(**given)
    assert_array_equal(trace.Z, before[0])
    assert_array_equal(given["params"], before[1])


def test_what_a_jacobian_trace_refuses():
    """Other dtypes and shapes, and parameters that cannot be written in place."""
    trace, J, w = JacobianTrace(3, 2), np.zeros((2, 3), np.float32), np.zeros(3, np.float32)
    with pytest.raises(TypeError, match="jacobian: got dtype float64"):
        trace.accumulate(J.astype(np.float64), 0.5)
    with pytest.raises(TypeError, match="params: got dtype float64"):
        trace.apply(np.zeros(3), 0.1, 0.1)
    with pytest.raises(TypeError, match="params: got list"):
        trace.apply([0.0] * 3, 0.1, 0.1)
    with pytest.raises(ValueError, match=r"jacobian: got shape \(3, 2\), expected \(2, 3\)"):
        trace.accumulate(J.T, 0.5)
    with pytest.raises(ValueError, match=r"delta: got shape \(3,\)"):
        trace.apply(w, np.zeros(3), 0.1)
    w.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        trace.apply(w, 0.1, 0.1)


# ---- what carries over, states, faults ----


def both(backend):
    yield NetworkTD(network(backend=backend), alpha=0.01), lambda S, R: (S, R)
    actions = np.random.default_rng(0).integers(0, 3, 41)
    place = iter([0, 17])
    yield (
        NetworkSarsa(network(backend=backend), alpha=0.01),
        lambda S, R: (
            S,
            actions[: len(S)] if len(S) == 41 else actions[(at := next(place)) : at + len(S)],
            R[:, 0],
        ),
    )


@backend_
def test_pieces_are_the_whole(backend):
    """learn in two calls, copied and pickled between them, is learn in one, to the bit."""
    S, R, _, _ = stream()
    for (whole, take), (parts, again) in zip(both(backend), both(backend), strict=True):
        whole.learn(*take(S, R))
        parts.learn(*again(S[:18], R[:17]))
        parts = pickle.loads(pickle.dumps(copy.deepcopy(parts)))
        parts.learn(*again(S[17:], R[17:]))
        assert_array_equal(parts.params, whole.params)
        assert_array_equal(parts.Z, whole.Z)
        assert parts.staleness() == whole.staleness()


@backend_
def test_reset_empties_the_trace(backend):
    """And keeps the parameters; so does a termination, for the next step."""
    S, R, _, _ = stream()
    learner = NetworkTD(network(backend=backend), alpha=0.01)
    learner.learn(S, R)
    w = learner.weights
    learner.reset()
    assert_array_equal(learner.Z, 0.0)
    assert_array_equal(learner.params, w)
    fresh = NetworkTD(network(backend=backend), alpha=0.01)
    for each in (fresh, learner):
        each.weights = w
    ended = copy.deepcopy(learner)
    ended.learn(S[:4], R[:3], gammas=[0.9, 0.9, 0.0])
    ended.weights = w
    for each in (fresh, learner, ended):
        each.learn(S[5:8], R[5:7])
    assert_array_equal(learner.params, fresh.params)
    assert_array_equal(ended.params, fresh.params)


@backend_
def test_checkpoint(backend, tmp_path):
    """Saved and loaded, in its own backend it goes on to the bit; in another within the tolerance."""
    S, R, gammas, lambdas = stream()
    learner = NetworkTD(network(backend=backend), alpha=0.01, gamma=[0.9, 0.8, 0.7])
    learner.learn(S, R, gammas=gammas, lambdas=lambdas)
    learner.save(tmp_path / "network.npz")
    same = ft.load(tmp_path / "network.npz")
    other = ft.load(tmp_path / "network.npz", "numpy")
    deltas = [each.learn(S, R) for each in (learner, same, other)]
    assert_array_equal(deltas[1], deltas[0])
    assert_array_equal(same.params, learner.params)
    assert same.staleness() == learner.staleness()
    assert relative(deltas[2], deltas[0]) <= 1e-10
    with pytest.raises(ValueError, match="state"):
        NetworkTD(network((5, 4, 3)), alpha=0.1).load_state_dict(learner.state_dict())


@backend_
def test_fault_in_a_stream(backend):
    """A step that overflows: the steps before count, and all is as it was before it."""
    S, R, _, _ = stream()
    learner, short = (NetworkTD(network(backend=backend, dtype=np.float32), alpha=0.01) for _ in range(2))
    R[7] = 1e39
    with pytest.raises(FloatingPointError, match="not finite at step 7"):
        learner.learn(S, R)
    short.learn(S[:8], R[:7])
    assert_array_equal(learner.params, short.params)
    assert_array_equal(learner.Z, short.Z)
    learner.params[3] = np.inf
    with pytest.raises(FloatingPointError, match="parameters: not finite at step 0"):
        learner.learn(S, R)
    with pytest.raises(FloatingPointError, match="params: not finite"):
        learner.network.forward(S[0])


@backend_
def test_divergence_is_a_fault(backend):
    """Too large a step size ends in FloatingPointError, with parameters and trace still finite."""
    S, R, _, _ = stream()
    learner = NetworkTD(network(activation="leaky_relu", backend=backend, dtype=np.float32), alpha=50.0)
    with pytest.raises(FloatingPointError, match="step"):
        learner.learn(S, R)
    assert np.isfinite(learner.params).all()
    assert np.isfinite(learner.Z).all()


def spoilt(array, row):
    return np.where(np.arange(len(array))[:, None] == row, np.nan, array)


BAD_INPUT = {
    "nan state": (
        lambda S, R: (np.where(np.arange(41)[:, None] == 3, np.nan, S), R),
        ValueError,
        "states: entry 3",
    ),
    "nan reward": (
        lambda S, R: (S, np.where(np.arange(40)[:, None] == 5, np.nan, R)),
        ValueError,
        "rewards: entry 5",
    ),
    "width": (lambda S, R: (S[:, :4], R), ValueError, r"expected \(T \+ 1, 5\)"),
    "length": (lambda S, R: (S, R[1:]), ValueError, "rewards: got shape"),
    "dtype": (lambda S, R: (S.astype(str), R), TypeError, "states: expected real numbers"),
}


@backend_
@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input(name, backend):
    """Refused before anything changes."""
    change, error, match = BAD_INPUT[name]
    learner = NetworkTD(network(backend=backend), alpha=0.01)
    before = learner.weights
    with pytest.raises(error, match=match):
        learner.learn(*change(*stream()[:2]))
    with pytest.raises(ValueError, match=r"gammas: got 1\.5"):
        learner.learn(*stream()[:2], gammas=1.5)
    assert_array_equal(learner.params, before)
    assert learner.learn(np.zeros((1, 5)), np.zeros((0, 3))).shape == (0, 3)


def test_what_constructors_refuse():
    """By name, with what is allowed."""
    with pytest.raises(ValueError, match="activation: got 'relu'"):
        MLP((2, 1), activation="relu")
    with pytest.raises(ValueError, match=r"sizes\[1\]: got 0"):
        MLP((2, 0, 1))
    with pytest.raises(TypeError, match="dtype: got"):
        MLP((2, 1), dtype=np.float16)
    with pytest.raises(TypeError, match="alpha: give a step size"):
        NetworkTD(MLP((2, 1)))
    with pytest.raises(TypeError, match="network: got int"):
        NetworkTD(3, alpha=0.1)
    with pytest.raises(ValueError, match="is for one output"):
        NetworkTD(MLP((2, 2)), optimiser=ObGD())
    with pytest.raises(ValueError, match="kappa"):
        ObGD(kappa=0.0)
    with pytest.raises(RuntimeError, match="keep=0"):
        NetworkTD(MLP((2, 1)), alpha=0.1, keep=0).staleness()
    with pytest.raises(RuntimeError, match="no update"):
        NetworkTD(MLP((2, 1)), alpha=0.1).staleness()


@backend_
def test_history_is_bounded(backend):
    """A continuing task keeps only states that still weigh something, or as many as asked for."""
    rng = np.random.default_rng(0)
    S, R = rng.normal(size=(3001, 2)), rng.normal(size=(3000, 1))
    for keep, most in ((None, 1200), (20, 41)):
        learner = NetworkTD(network((2, 3, 1), backend), alpha=0.01, gamma=0.9, keep=keep)
        learner.learn(S[:2000], R[:1999])
        learner.learn(S[1999:], R[1999:])
        assert len(learner._history.states) <= most
        assert 0.0 < learner.staleness(20)[0] < 1.0
