"""Numbers at the ends of their range: C agrees with the reference there too, and does not become slow."""

import numpy as np
import pytest
from states import THERE, close
from streams import EVERY, learn, random_stream

import fasttrace as ft

pytestmark = pytest.mark.skipif("c" not in THERE, reason="compares C with the reference")
algorithms = pytest.mark.parametrize("algorithm", EVERY.values(), ids=str)
T, N = 60, 12


def stream(algorithm, **changed):
    """Small steps, so that rounding is not amplified; off-policy with ratios of at most 1."""
    s = random_stream(2, T=T, n=N, n_actions=3 if algorithm.control else 0, off_policy=not algorithm.control)
    changed.setdefault("rhos", None if algorithm.control else np.minimum(s.rhos, 1.0))
    return s.but(alpha=s.alpha / 10, **changed)


def relative(got, want):
    """max |got - want| relative to max |want|, whatever their size."""
    largest = np.max(np.abs(want))
    return np.max(np.abs(got / largest - want / largest))


def both(algorithm, s):
    """(learner, deltas) of the reference and of C."""
    seed = {"seed": 0} if algorithm.control else {}
    learners = [algorithm.make(s, backend, **seed) for backend in ("numpy", "c")]
    return [(learner, learn(learner, s)) for learner in learners]


@pytest.mark.parametrize("scale", [1e140, 1e-150, 1e-160, 1e-300, 1e-310])
@algorithms
def test_of_any_size(algorithm, scale):
    """Weights and rewards near the ends: the reference's TD errors, but for rounding, subnormal ones too."""
    s = stream(algorithm)
    s = s.but(weights=s.weights * scale, rewards=s.rewards * scale)
    (_, want), (_, got) = both(algorithm, s)
    if algorithm.kernel == "tidbd" and scale > 1.0:  # its step sizes follow the square of what it meets
        assert not np.isfinite(want).all()
        assert not np.isfinite(got).all()
    else:
        assert relative(got, want) < 1e-11 + N * 5e-324 / np.max(np.abs(want))


@algorithms
def test_a_trace_that_never_fades(algorithm):
    """gamma lambda rho = 1 for ever."""
    s = stream(algorithm, gammas=1.0, lambdas=1.0, pi=0.5, rhos=None if algorithm.control else np.ones(T))
    (reference, want), (learner, got) = both(algorithm, s)
    assert relative(got, want) < 1e-11
    assert close(learner, reference)


@pytest.mark.parametrize("algorithm", [each for each in EVERY.values() if "rhos" in each.takes], ids=str)
def test_ratios_with_a_heavy_tail(algorithm):
    """Ratios of a Pareto distribution that has no mean, up to a thousand: traces grow, are cut, and agree."""
    rhos = np.minimum(np.random.default_rng(0).pareto(1.0, T), 1e3)
    s = stream(algorithm, rhos=rhos)
    s = s.but(alpha=s.alpha / 1e4, pi=np.minimum(rhos, 1.0) / 2)
    (_, want), (_, got) = both(algorithm, s)
    assert rhos.max() > 50
    assert relative(got, want) < 1e-11


@algorithms
def test_nothing_stays_subnormal(algorithm):
    """Arithmetic with subnormal numbers is slow: of features that were seen once none is left."""
    s = random_stream(1, T=3000, n=8, n_actions=3 if algorithm.control else 0, restarts=False)
    seen_once = [(np.arange(20, 23, dtype=np.int32), None)] * 2
    weights = np.zeros((64, 3) if algorithm.control else 64)
    s = s.but(n=64, rows=seen_once + s.rows[2:], weights=weights, gammas=0.9, lambdas=0.8, alpha=0.05)
    learner = algorithm.make(s, "c", **({"seed": 0} if algorithm.control else {}))
    learn(learner, s)
    arrays = {} if algorithm.stem == "gradient" else learner.state_dict()["arrays"]  # whose rows hold epochs
    for numbers in (learner.weights, getattr(learner, "trace", learner.weights), *arrays.values()):
        if numbers.dtype == np.float64:
            assert not np.any((numbers != 0.0) & (np.abs(numbers) < np.finfo(float).tiny))


@pytest.mark.parametrize("trace", ["accumulating", "dutch"])
def test_a_tie_but_for_rounding_is_cut_by_chance(trace):
    """Two actions whose features learned the same are equally good, but for the last digit of their sums.

    Which one is greedy follows from how they were rounded, which is not the same in NumPy and in C.
    Watkins's Q(lambda) cuts the trace in one and not in the other, and from there on they are two learners:
    the only way in which they may differ by more than rounding.
    """
    rng = np.random.default_rng(295)
    features = np.array([[rng.permutation(6)[:2] for _ in range(2)] for _ in range(4)], np.int32)
    features[0], features[1] = [[0, 1], [3, 4]], [[0, 2], [1, 2]]
    x, actions = features[rng.integers(0, 4, T + 1)], rng.integers(0, 2, T + 1)
    rewards = rng.integers(-2, 3, T) * 1.0

    def learned(backend, steps):
        learner = ft.WatkinsQ(6, 2, alpha=0.1, gamma=0.9, trace=trace, state_action=True, backend=backend)
        return learner, learner.learn(x[: steps + 1], actions[: steps + 1], rewards[:steps])

    apart = np.abs(learned("numpy", T)[1] - learned("c", T)[1]) > 1e-11
    assert apart.any()
    first = int(np.argmax(apart))
    for backend in ("numpy", "c"):
        ties = [learned(backend, t)[0].q(x[t]) for t in range(first)]
        assert min(abs(q[0] - q[1]) for q in ties[1:]) < 1e-15
