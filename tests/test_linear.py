"""The backends agree: with the reference to rounding, Numba and C with each other to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from streams import (
    ALGORITHMS,
    BACKENDS,
    COMPILED,
    DIVERGING,
    INDEX_FORMS,
    ONE_VECTOR,
    PREDICTION,
    WITH_TRACE,
    Stream,
    all_traces,
    all_weights,
    learn,
    random_stream,
    relative,
    streams,
)

import fasttrace as ft

everything = pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=str)
needs_both = pytest.mark.skipif(
    ft.backends()["numba"] is not None or ft.backends()["c"] is not None,
    reason="to the bit: needs Numba and C",
)


def result(algorithm, s, backend):
    learner = algorithm.make(s, backend)
    deltas = learn(learner, s)
    return all_weights(learner), all_traces(learner), deltas


@pytest.mark.parametrize("backend", COMPILED)
@everything
@given(data=st.data())
def test_agrees_with_the_book(algorithm, backend, data):
    """Weights, trace and TD errors are the reference's, for every form of features."""
    s = data.draw(streams(algorithm))
    want = result(algorithm, s, "numpy")
    for name, got, expected in zip(
        ("weights", "trace", "deltas"), result(algorithm, s, backend), want, strict=True
    ):
        assert got.shape == expected.shape
        assert relative(got, expected) < algorithm.tolerance, name


@needs_both
@everything
@given(data=st.data())
def test_numba_and_c_agree_to_the_bit(algorithm, data):
    """The same operations in the same order: not one bit differs."""
    s = data.draw(streams(algorithm, [*INDEX_FORMS, "pair", "ragged_pair"]))
    for numba, c in zip(result(algorithm, s, "numba"), result(algorithm, s, "c"), strict=True):
        assert_array_equal(numba, c)


@pytest.mark.parametrize("backend", BACKENDS)
@everything
@settings(max_examples=5)  # test_state has more of it
@given(data=st.data())
def test_pieces_agree_to_the_bit(algorithm, backend, data):
    """A stream learned in two pieces, split anywhere, is the stream learned at once."""
    s = data.draw(streams(algorithm))
    split = data.draw(st.integers(0, s.T))
    learner = algorithm.make(s, backend)
    deltas = np.concatenate([learn(learner, s, 0, split), learn(learner, s, split)])
    for got, expected in zip(
        (all_weights(learner), all_traces(learner), deltas), result(algorithm, s, backend), strict=True
    ):
        assert_array_equal(got, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@everything
@settings(max_examples=6)  # of six forms each
@given(data=st.data())
def test_every_form_of_the_same_features_learns_the_same(algorithm, backend, data):
    """What is active counts, not how it is written."""
    s = data.draw(streams(algorithm, INDEX_FORMS))
    want = result(algorithm, s, backend)
    for form in algorithm.forms:
        for got, expected in zip(result(algorithm, s.but(form=form), backend), want, strict=True):
            assert relative(got, expected) < algorithm.tolerance, form


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "algorithm", [each for each in PREDICTION if each in WITH_TRACE or "pi" in each.takes], ids=str
)
@given(data=st.data())
def test_updates_are_learn(algorithm, backend, data):
    """update, one transition at a time, is learn to the bit."""
    s = data.draw(streams(algorithm, ["indices", "pair", "dense"]))
    x = s.x()
    alphas, rhos = np.broadcast_to(s.alpha, s.T), np.broadcast_to(1.0 if s.rhos is None else s.rhos, s.T)
    interests = np.broadcast_to(1.0 if s.interests is None else s.interests, s.T)
    pis = np.broadcast_to(0.7 if s.pi is None else s.pi, s.T)
    learner = algorithm.make(s, backend)

    def more(t):
        numbers = {"lambda_": s.lambdas, "interest": interests, "pi": pis}
        asked = {"lambda_": "lambdas", "interest": "interests", "pi": "pi"}
        return {name: series[t] for name, series in numbers.items() if asked[name] in algorithm.takes}

    def row(t):
        return tuple(part[t] for part in x) if isinstance(x, tuple) else x[t]

    deltas = np.array(
        [
            learner.update(
                row(t), s.rewards[t], row(t + 1),
                gamma=s.gammas[t], rho=rhos[t], alpha=alphas[t], **more(t),
            )
            for t in range(s.T)
        ]
    )  # fmt: skip
    for got, expected in zip(
        (all_weights(learner), all_traces(learner), deltas), result(algorithm, s, backend), strict=True
    ):
        assert_array_equal(got, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@everything
def test_no_steps_change_nothing(algorithm, backend):
    """A stream of one row has no transition: no deltas, and the learner goes on as it would have."""
    s = random_stream(1, n_actions=2 if algorithm.control else 0)
    one, other = algorithm.make(s, backend), algorithm.make(s, backend)
    learn(one, s, 0, 20)
    assert learn(one, s, 20, 20).shape == (0,)
    learn(other, s, 0, 20)
    assert_array_equal(learn(one, s, 20), learn(other, s, 20))
    assert_array_equal(one.weights, other.weights)


@everything
def test_many_weights_and_long_absences(algorithm):
    """Features that come back after thousands of decays, in a trace that closed many epochs since."""
    n, T = 1500, 2500
    s = random_stream(2, n=n, k=3, T=T, n_actions=2 if algorithm.control else 0, restarts=False)
    rng = np.random.default_rng(3)
    s = s.but(gammas=rng.uniform(0.9, 1, T), lambdas=rng.uniform(0.6, 1, T))
    want = result(algorithm, s, "numpy")  # once for both: most of the time goes here
    for backend in (name for name in ("numba", "c") if ft.backends()[name] is None):
        for got, expected in zip(result(algorithm, s, backend), want, strict=True):
            assert relative(got, expected) < algorithm.tolerance, backend


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize("algorithm", PREDICTION, ids=str)
def test_decays_that_hover_about_one(algorithm, backend):
    """rho gamma lambda is now 20, now 1/20: each step closes an epoch, and none of them dies."""
    T = 1500
    s = random_stream(4, n=40, k=2, T=T, restarts=False)
    ratios = np.where(np.arange(T) % 2, 1 / 20, 20) * np.random.default_rng(5).uniform(0.99, 1.01, T)
    s = s.but(
        gammas=1.0, lambdas=1.0, rhos=ratios, pi=np.minimum(ratios, 1.0), alpha=1e-5, weights=np.zeros(40)
    )
    want = result(algorithm, s, "numpy")
    for got, expected in zip(result(algorithm, s, backend), want, strict=True):
        assert np.isfinite(expected).all()
        assert relative(got, expected) < algorithm.tolerance


@pytest.mark.skipif(ft.backends()["c"] is not None, reason="needs C")
@pytest.mark.parametrize("algorithm", ONE_VECTOR, ids=str)
def test_dense_copies_in_c(algorithm):
    """ft_trace_dense gives w to the bit, and z with the step size taken out, as the learner does."""
    from fasttrace.backends.c import ffi, lib, linear
    from fasttrace.layout import KINDS

    s = random_stream(6, n=40, T=300, n_actions=3 if algorithm.control else 0, off_policy=True)
    learner = algorithm.make(s, "c")
    learn(learner, s)
    w, z = (np.empty(learner.weights.shape) for _ in range(2))
    pointers = [ffi.from_buffer("double[]", each, require_writable=True) for each in (w, z)]
    trace = linear.handle(learner._trace)
    lib.ft_trace_dense(trace, KINDS[learner._kind].value, *pointers)
    assert_array_equal(w, learner.weights)
    assert relative(z, learner.trace) < 1e-15
    assert np.any(z)
    w[:] = 0.0
    lib.ft_trace_dense(trace, KINDS[learner._kind].value, pointers[0], ffi.NULL)
    assert_array_equal(w, learner.weights)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_the_next_step_would_spread_shows_at_once(backend):
    """A followon trace that overflows while weights and trace do not: `diverged`, until weights are set."""
    learner = ft.EmphaticTD(2, alpha=1e-300, gamma=1.0, lambda_=0.9, backend=backend)
    learner.update([0], 0.0, [1], rho=1e200)
    assert not learner.diverged
    learner.update([1], 0.0, [0], rho=1.9e108)
    assert np.isfinite([learner.weights, learner.trace]).all()
    assert learner.diverged
    learner.weights = np.zeros(2)
    assert not learner.diverged


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", [ft.TD, ft.GTD, ft.SwiftTD], ids=lambda each: each.__name__)
def test_an_array_that_was_seen_may_have_changed(kind, backend):
    """x_next of a step is x of the next most often; not if its dtype or its size has been set meanwhile."""
    beta = {"beta": 0.1} if kind is ft.GTD else {}
    y = np.array([1, 2], np.int32)

    def learner():
        made = kind(4, alpha=0.1, backend=backend, **beta)
        made.update(np.array([0, 3], np.int32), 1.0, y)
        return made

    one, other = learner(), learner()
    y.resize(1, refcheck=False)
    assert one.update(y, 1.0, np.array([3], np.int32)) == other.update(y.copy(), 1.0, np.array([3], np.int32))
    y = np.array([1, 2], np.int32)
    one = learner()
    y.dtype = np.float32
    with pytest.raises(ValueError, match=r"x: got shape \(2,\), expected \(4,\)"):
        one.update(y, 1.0, np.array([3], np.int32))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("algorithm", DIVERGING, ids=str)
def test_divergence_raises_nothing_and_shows(algorithm, backend):
    """With far too large a step size the numbers overflow: no error, no warning, `diverged` is True."""
    T = 3000
    s = Stream(
        n=2,
        rows=[(np.array([0]), None)] * (T + 1),
        rewards=np.ones(T),
        gammas=0.5,
        lambdas=0.5,
        alpha=1e4,
        weights=np.zeros((2, 1) if algorithm.control else 2),
        actions=np.zeros(T + 1, int) if algorithm.control else None,
    )
    learner = algorithm.make(s, backend)
    assert not learner.diverged
    deltas = learn(learner, s)
    assert not np.isfinite(deltas[-1])
    assert learner.diverged


@pytest.mark.parametrize("backend", COMPILED)
def test_rows_without_a_trace_rest(backend):
    """Traces are cut so often that the ring comes round three times.  Features that are met again only then
    have lost nothing, and what has no trace left is at rest."""
    rng = np.random.default_rng(5)
    T, n = 6000, 1500
    x = np.where(rng.random((T + 1, 1)) < 0.02, 1000, 0) + rng.integers(0, 400, (T + 1, 2))
    rewards, lambdas = rng.normal(size=T), rng.choice([0.0, 0.02, 0.9], T)
    learner, book = (ft.TD(n, alpha=0.1, backend=each) for each in (backend, "numpy"))
    for each in (learner, book):
        each.learn(x, rewards, lambdas=lambdas)
    assert relative(learner.weights, book.weights) < 1e-13
    assert relative(learner.trace, book.trace) < 1e-13
    ring = learner._trace.ring_size
    assert learner._trace.counter("epoch") > 3 * ring
    slots = learner._trace.epochs % ring
    long_ago = np.setdiff1d(np.arange(n), x[-2 * ring :])
    assert len(long_ago) > 500
    assert not slots[long_ago].any()
    assert slots.any()
    assert not learner._trace.ring[:2].any()
