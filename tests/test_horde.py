"""Many predictions on one stream: each is what a learner by itself gives, whatever the others are about."""

import copy
import itertools
import pickle
import signal

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from states import THERE, plain, same
from streams import BACKENDS, FORMS, features, random_stream

import fasttrace as ft
from fasttrace.many.lanes import lanes_of

KINDS = {
    "accumulating": ("TD", "accumulating"),
    "replacing": ("TD", "replacing"),
    "dutch": ("TD", "dutch"),
    "true online": ("TrueOnlineTD", "accumulating"),
    "GTD": ("GTD", "accumulating"),
}
COMPILED = [name for name in THERE if name != "numpy"]
SERIES = ("gammas", "lambdas", "rhos")

kinds = pytest.mark.parametrize("kind", KINDS)
backends = pytest.mark.parametrize("backend", BACKENDS)


class Problem:
    """A stream of features and m predictions of it: numbers by the step, with exact zeros and ones."""

    def __init__(self, m=11, T=80, n=14, k=4, form="indices", seed=5):
        rng = np.random.default_rng(seed)
        s = random_stream(seed, T=T, n=n, k=k, form=form)
        self.n, self.m, self.T, self.rows, self.form = n, m, T, s.rows, form
        self.cumulants = rng.normal(size=(T, m))
        shape = (T, m)

        def mixed(low, high, *special):
            values = rng.uniform(low, high, shape)
            for each in special:
                values[rng.random(shape) < 0.08] = each
            return values

        self.given = {"gammas": mixed(0.5, 1, 0.0, 1.0), "lambdas": mixed(0.3, 1, 0.0, 1.0)}
        self.given["rhos"] = mixed(0, 2.0, 0.0)
        self.alpha = 0.3 * s.alpha * rng.uniform(0.2, 1, m)
        self.gamma = np.linspace(0, 1, m)
        self.beta = 0.1 * self.alpha

    def x(self, start=0, stop=None):
        return features(self.rows[start : (self.T if stop is None else stop) + 1], self.n, self.form)

    def numbers(self, kind):
        beta = {"beta": self.beta} if kind == "GTD" else {}
        return {"alpha": self.alpha, "gamma": self.gamma, "lambda_": 0.8} | beta

    def horde(self, kind, backend):
        return ft.Horde(self.n, self.m, *KINDS[kind], **self.numbers(kind), backend=backend)

    def one(self, kind, j, backend="numpy"):
        name, trace = KINDS[kind]
        numbers = {name: each if np.ndim(each) == 0 else each[j] for name, each in self.numbers(kind).items()}
        trace = {"trace": trace} if name == "TD" else {}
        return getattr(ft, name)(self.n, **trace, **numbers, backend=backend)

    def learn(self, horde, start=0, stop=None, **given):
        stop = self.T if stop is None else stop
        given = {name: each[start:stop] for name, each in (given or self.given).items()}
        return horde.learn(self.x(start, stop), self.cumulants[start:stop], **given)


def near(got, want, tolerance=1e-11):
    assert_allclose(got, want, rtol=0, atol=tolerance * max(1.0, np.abs(want).max()))


def known(kind, form):
    return kind != "replacing" or form in ("indices", "ragged")


# ---- one and many ----


@backends
@pytest.mark.parametrize("form", FORMS)
@kinds
def test_each_is_as_by_itself(kind, form, backend):
    """TD errors, weights, trace, v and values of prediction j are those of one learner with its numbers."""
    if not known(kind, form):
        return
    p = Problem(form=form)
    horde = p.horde(kind, backend)
    deltas = p.learn(horde)
    weights, trace, values = horde.weights, horde.trace, horde.predict(p.x())
    for j in range(p.m):
        one = p.one(kind, j)
        given = {name: each[:, j] for name, each in p.given.items()}
        near(deltas[:, j], one.learn(p.x(), p.cumulants[:, j], **given))
        near(weights[:, j], one.weights)
        near(trace[:, j], one.trace)
        near(values[:, j], one.predict(p.x()))
        if kind == "GTD":
            near(horde.v[:, j], one.v)


@pytest.mark.parametrize("form", ["indices", "ragged_pair"])
@kinds
def test_c_and_numba_agree_to_the_bit(kind, form):
    """In all that a horde is."""
    if len(COMPILED) < 2 or not known(kind, form):
        return
    p = Problem(form=form, seed=6)
    c, numba = (p.horde(kind, backend) for backend in COMPILED)
    assert_array_equal(p.learn(c), p.learn(numba))
    assert_array_equal(c.predict(p.x()), numba.predict(p.x()))
    assert plain(c.state_dict()["arrays"]) == plain(numba.state_dict()["arrays"])
    c.reset()
    numba.reset()
    assert plain(c.state_dict()["arrays"]) == plain(numba.state_dict()["arrays"])


@backends
@kinds
def test_pieces_leave_the_same_horde(kind, backend):
    """learn, split anywhere and often, and update step by step, leave every bit as one call does."""
    p = Problem(T=40)
    whole = p.horde(kind, backend)
    deltas = p.learn(whole)
    for cuts in ([1], [13, 13], range(1, 40)):
        pieces = p.horde(kind, backend)
        parts = [p.learn(pieces, *span) for span in itertools.pairwise([0, *cuts, p.T])]
        assert_array_equal(np.concatenate(parts), deltas)
        assert same(pieces, whole)
    stepped = p.horde(kind, backend)
    rows = [np.asarray(p.x(t, t)[0]) for t in range(p.T + 1)]
    for t in range(p.T):
        given = {name: each[t] for name, each in p.given.items()}
        assert_array_equal(stepped.update(rows[t], p.cumulants[t], rows[t + 1], **given), deltas[t])
    assert same(stepped, whole)


@backends
@pytest.mark.parametrize("form", ["int64", "list", "pair", "dense", "ragged"])
def test_update_takes_every_form(form, backend):
    """Of features, with numbers for all and for each, and none for the end of all episodes."""
    p = Problem(m=9, T=12, form=form if form in FORMS else "indices")
    at_once, stepped = p.horde("true online", backend), p.horde("true online", backend)
    gammas = np.full((p.T, p.m), 0.9)
    gammas[5] = 0.0
    deltas = at_once.learn(p.x(), p.cumulants, gammas=gammas, lambdas=0.5, rhos=np.full((1, p.m), 0.7))

    def row(t):
        x = p.x(t, t)
        if form == "pair":
            return x[0][0], x[1][0]
        if form == "ragged":
            return x
        return {"int64": np.int64, "list": np.int64}.get(form, float) and (
            x[0].astype(np.int64) if form == "int64" else x[0].tolist() if form == "list" else x[0]
        )

    for t in range(p.T):
        given = {"gammas": gammas[t], "lambdas": 0.5, "rhos": np.full(p.m, 0.7)}
        got = stepped.update(row(t), p.cumulants[t], None if t == 5 else row(t + 1), **given)
        near(got, deltas[t])
    near(stepped.weights, at_once.weights)


@backends
@kinds
def test_numbers_of_any_shape(kind, backend):
    """One number, (T,) for all predictions and (1, m) for all steps are as (T, m) of equal entries."""
    p = Problem(m=9, T=30)
    rng = np.random.default_rng(0)
    shapes = [(), (p.T,), (1, p.m)]
    given = [dict(zip(SERIES, (rng.uniform(0.5, 1, s) for s in each), strict=True)) for each in (
        shapes, shapes[1:] + shapes[:1], shapes[2:] + shapes[:2])]  # fmt: skip
    for some in given:
        full = {
            name: np.broadcast_to(each[:, None] if each.ndim == 1 else each, (p.T, p.m))
            for name, each in ((name, np.asarray(each)) for name, each in some.items())
        }
        short, long = p.horde(kind, backend), p.horde(kind, backend)
        assert_array_equal(short.learn(p.x(), p.cumulants, **some), long.learn(p.x(), p.cumulants, **full))
        assert same(short, long)


@backends
def test_its_own_numbers_are_the_default(backend):
    """What is not given is gamma, lambda_ and no ratio; they can be set, and count from then on."""
    p = Problem(m=10, T=30)
    one, other = p.horde("accumulating", backend), p.horde("accumulating", backend)
    given = {"gammas": one.gamma[None], "lambdas": one.lambda_[None], "rhos": 1.0}
    assert_array_equal(one.learn(p.x(), p.cumulants), other.learn(p.x(), p.cumulants, **given))
    x, x_next = p.x()[0], p.x()[1]
    for horde in (one, other):
        horde.gamma, horde.lambda_, horde.alpha = 0.5, np.linspace(0, 1, p.m), p.alpha / 2
    expected = other.update(x, p.cumulants[0], x_next, gammas=0.5, lambdas=other.lambda_, rhos=1.0)
    assert_array_equal(one.update(x, p.cumulants[0], x_next), expected)
    assert same(one, other)
    one.gamma = 0.25
    assert_array_equal(
        one.update(x, p.cumulants[0], x_next), other.update(x, p.cumulants[0], x_next, gammas=0.25)
    )


@backends
def test_the_same_question_has_the_same_answer(backend):
    """m copies of a prediction, wherever their lanes are, are equal to the bit."""
    p = Problem(m=1, T=50)
    copies = ft.Horde(p.n, 19, "TrueOnlineTD", alpha=0.05, gamma=0.9, backend=backend)
    copies.learn(p.x(), np.repeat(p.cumulants, 19, axis=1), gammas=np.repeat(p.given["gammas"], 19, axis=1))
    weights = copies.weights
    assert_array_equal(weights, np.repeat(weights[:, :1], 19, axis=1))
    assert weights.any()


@backends
def test_it_predicts_what_comes(backend):
    """On a cycle of states each prediction comes to the discounted sum of its own cumulant."""
    n, laps = 5, 400
    states = np.tile(np.arange(n, dtype=np.int32), laps)
    gammas = np.array([0.0, 0.3, 0.6, 0.9])
    cumulants = np.eye(n)[states[1:], :4]  # prediction j: arriving in state j
    horde = ft.Horde(n, 4, alpha=0.3, gamma=gammas, lambda_=0.7, backend=backend)
    horde.learn(states[:, None], cumulants)
    distance = (np.arange(4) - np.arange(n)[:, None] - 1) % n  # steps to arriving there
    true = gammas**distance / (1 - gammas**n)
    true[:, 0] = distance[:, 0] == 0
    near(horde.weights, true, 1e-3)


# ---- chunks ----


@pytest.mark.parametrize("backend", COMPILED)
@kinds
def test_traces_of_every_length(kind, backend):
    """Decays from 0 to 1, and products of ratios that hover about 1: epochs pile up, rows lie still for long.

    More than a ring of epochs go by while the first features are at rest.
    """
    rng = np.random.default_rng(2)
    T, n, m = 3000, 70, 10
    x = rng.integers(0, 10, (T + 1, 2)) + np.linspace(0, n - 10, T + 1).astype(int)[:, None]
    cumulants = rng.normal(size=(T, m))
    gammas = np.tile(np.linspace(0, 1, m), (T, 1))
    rhos = np.ones((T, m))
    rhos[::2, 5:], rhos[1::2, 5:], gammas[:, 5:] = 500.0, 1 / 500.0, 1.0
    gammas[rng.random((T, m)) < 0.002] = 0.0
    name, trace = KINDS[kind]
    beta = {"beta": 1e-9} if kind == "GTD" else {}
    horde = ft.Horde(n, m, name, trace, alpha=1e-5, lambda_=1.0, **beta, backend=backend)
    deltas = horde.learn(x, cumulants, gammas=gammas, rhos=rhos)
    assert horde._trace.counter("epoch").max() > 2 * horde._trace.ring_size
    for j in (0, 3, 5, 9):
        trace = {"trace": KINDS[kind][1]} if name == "TD" else {}
        one = getattr(ft, name)(n, **trace, alpha=1e-5, lambda_=1.0, **beta, backend="numpy")
        near(deltas[:, j], one.learn(x, cumulants[:, j], gammas=gammas[:, j], rhos=rhos[:, j]), 1e-10)
        assert_allclose(horde.weights[:, j], one.weights, rtol=0, atol=1e-10 * np.abs(one.weights).max())


@pytest.mark.parametrize("m", [1, 7, 8, 9, 40])
def test_chunks_hold_like_decays(m):
    """As they come where that will do; else none fades 8 times faster than the slowest of its chunk."""
    assert lanes_of(np.full(m, 0.9)).position.tolist() == list(range(m))
    decays = np.random.default_rng(m).permutation(np.linspace(0, 1, m))
    lanes = lanes_of(decays)
    assert len(set(lanes.position.tolist())) == m
    assert_array_equal(lanes.source[lanes.position], np.arange(m))
    for q in range(lanes.chunks):
        held = -np.log(np.maximum(decays[lanes.source[8 * q : 8 * q + 8]], 1e-300))
        assert held.max() <= max(8 * held.min(), 0.0) or held.min() > 0.69


@backends
@kinds
def test_one_that_diverges_is_alone(kind, backend):
    """It is marked; the others are to the bit what they are beside one that does not, with as many epochs."""
    p = Problem(m=16, T=120)
    p.gamma = np.full(16, 0.9)
    tame = p.horde(kind, backend)
    p.alpha = np.where(np.arange(16) == 3, 1e6, p.alpha)
    p.beta = 0.1 * np.minimum(p.alpha, 1.0)
    tame.alpha = np.where(np.arange(16) == 3, 1e-3, p.alpha)
    if kind == "GTD":
        tame.beta = p.beta
    wild = p.horde(kind, backend)
    for _ in range(3):
        p.learn(tame, rhos=np.ones((p.T, p.m)))
        p.learn(wild, rhos=np.ones((p.T, p.m)))
    assert np.flatnonzero(wild.diverged).tolist() == [3]
    assert not tame.diverged.any()
    others = np.arange(16) != 3
    assert_array_equal(wild.weights[:, others], tame.weights[:, others])
    assert_array_equal(wild.trace[:, others], tame.trace[:, others])
    if backend != "numpy":
        assert_array_equal(wild._trace.counter("epoch"), tame._trace.counter("epoch"))
    wild.remove(3)
    assert not wild.diverged.any()
    j = wild.add(**{name: each if np.ndim(each) == 0 else 1e-3 for name, each in p.numbers(kind).items()})
    assert not wild.weights[:, j].any()
    assert not wild.diverged.any()


@pytest.mark.parametrize("backend", COMPILED)
def test_memory_is_for_what_is_touched(backend):
    """A million features, of which few are active, take the memory of those few."""
    horde = ft.Horde(2**20, 24, alpha=0.1, backend=backend)
    x = np.arange(300, dtype=np.int32).reshape(-1, 3) * 3000
    horde.learn(x, np.ones((len(x) - 1, 24)))
    assert horde._trace.used == 1 + 297  # the last state's are read alone
    assert sum(slab.nbytes for slab in horde._trace.slabs) <= 2**22 + 132 * 3 * 320
    assert horde.state_dict()["arrays"]["slabs"].nbytes < 132 * 3 * 330
    assert horde.predict(np.array([5, 7], np.int32)).tolist() == [0.0] * 24


# ---- learners from it, more and fewer ----


@backends
@kinds
def test_a_prediction_goes_on_by_itself(kind, backend):
    """horde[j] is a learner, in the same backend, that goes on as the horde does, and leaves it as it is."""
    p = Problem(m=5)
    horde = p.horde(kind, backend)
    p.learn(horde, 0, 50)
    alone = [horde[j] for j in (0, 3, -1)]
    deltas = p.learn(horde, 50)
    for j, learner in zip((0, 3, 4), alone, strict=True):
        assert type(learner).__name__ == KINDS[kind][0]
        assert learner.backend == backend
        learner.to("numpy")  # whose step is the book's, and needs no compiling
        given = {name: each[50:, j] for name, each in p.given.items()}
        near(learner.learn(p.x(50), p.cumulants[50:, j], **given), deltas[:, j])
        near(learner.weights, horde.weights[:, j])
        near(learner.trace, horde.trace[:, j])


@backends
@kinds
def test_more_and_fewer_while_it_runs(kind, backend):
    """What is added starts with nothing; what stays goes on."""
    p = Problem(m=21)
    horde, beside = p.horde(kind, backend), p.horde(kind, backend)
    p.learn(horde, 0, 30)
    p.learn(beside, 0, 30)
    for j in (20, 7, 0):
        horde.remove(j)
    kept = [j for j in range(21) if j not in (20, 7, 0)]
    assert_array_equal(horde.weights, beside.weights[:, kept])
    assert_array_equal(horde.gamma, p.gamma[kept])
    new = {"alpha": 0.01, "gamma": 0.5, "lambda_": 0.5} | ({"beta": 1e-3} if kind == "GTD" else {})
    numbers = [horde.add(**new | {"gamma": gamma}) for gamma in (0.5, 1.0, 0.0, 0.99, *[0.97] * 9)]
    assert numbers == list(range(18, 31))
    assert len(horde) == horde.m == 31
    assert not horde.weights[:, 18:].any()
    assert not horde.trace[:, 18:].any()
    rows = np.r_[kept, np.zeros(13, int)]
    given = {name: each[30:][:, rows] for name, each in p.given.items()}
    cumulants = p.cumulants[30:][:, rows]
    deltas = horde.learn(p.x(30), cumulants, **given)
    near(deltas[:, :18], p.learn(beside, 30)[:, kept])
    near(horde.weights[:, :18], beside.weights[:, kept])
    for j in (18, 19, 20, 30):
        name, trace = KINDS[kind]
        trace = {"trace": trace} if name == "TD" else {}
        own = new | {"gamma": float(horde.gamma[j])}
        one = getattr(ft, name)(p.n, **trace, **own, backend="numpy")
        numbers = {name: each[:, j] for name, each in given.items()}
        near(deltas[:, j], one.learn(p.x(30), cumulants[:, j], **numbers))
        near(horde.weights[:, j], one.weights)
    loaded = p.horde(kind, backend)
    assert not same(loaded, horde)
    loaded.load_state_dict(horde.state_dict())
    assert same(loaded, horde)


@backends
@pytest.mark.parametrize("kind", ["true online", "GTD"])
def test_a_chunk_goes_with_its_last_prediction(kind, backend, tmp_path):
    """It is no longer run nor saved; those behind it stay as they are, in order; another may begin there."""
    p = Problem(m=21)
    p.gamma = np.full(21, 0.9)
    horde, beside = p.horde(kind, backend), p.horde(kind, backend)
    p.learn(horde, 0, 30)
    p.learn(beside, 0, 30)
    for _ in range(8):
        horde.remove(8)
    kept = [*range(8), *range(16, 21)]
    assert horde._trace.lanes.position.tolist() == list(range(13))
    assert horde.state_dict()["arrays"]["chunks"] == 2
    assert_array_equal(horde.weights, beside.weights[:, kept])
    for _ in range(4):
        horde.add(**{name: each if np.ndim(each) == 0 else each[0] for name, each in p.numbers(kind).items()})
    assert horde._trace.lanes.chunks == 3
    rows = [*kept, 0, 0, 0, 0]
    given = {name: each[30:][:, rows] for name, each in p.given.items()}
    cumulants = p.cumulants[30:][:, rows]
    deltas = horde.learn(p.x(30), cumulants, **given)
    want = p.learn(beside, 30)[:, kept]
    assert_array_equal(deltas[:, :8], want[:, :8])
    near(deltas[:, 8:13], want[:, 8:])  # who shares a chunk may close it
    own = {name: each[:, 16] for name, each in given.items()}
    near(deltas[:, 16], p.one(kind, 0).learn(p.x(30), cumulants[:, 16], **own))
    near(deltas[:, 13], deltas[:, 16])
    horde.save(tmp_path / "horde.npz")
    assert same(ft.load(tmp_path / "horde.npz"), horde)


# ---- states ----


@backends
@kinds
def test_copies_go_on_to_the_bit(kind, backend, tmp_path):
    """copy, pickle, a checkpoint and a state dict are the horde as it was, and go on by themselves."""
    p = Problem(m=13)
    horde = p.horde(kind, backend)
    p.learn(horde, 0, 40)
    horde.remove(4)
    horde.add(**{name: each if np.ndim(each) == 0 else each[0] for name, each in p.numbers(kind).items()})
    horde.save(tmp_path / "horde.npz")
    others = [copy.copy(horde), pickle.loads(pickle.dumps(horde)), ft.load(tmp_path / "horde.npz")]
    others.append(p.horde(kind, backend))
    others[-1].load_state_dict(horde.state_dict())
    deltas = p.learn(horde, 40)
    for other in others:
        assert_array_equal(p.learn(other, 40), deltas)
        assert same(other, horde)


@pytest.mark.parametrize(("first", "then"), list(itertools.permutations(THERE, 2)))
@kinds
def test_it_goes_on_in_another_backend(kind, first, then):
    """`to`, or a checkpoint loaded there, within the tolerance; between C and Numba to the bit."""
    p = Problem(m=13)
    stays, goes = p.horde(kind, first), p.horde(kind, first)
    for horde in (stays, goes):
        p.learn(horde, 0, 40)
    assert goes.to(then) is goes
    assert goes.backend == then
    loaded = p.horde(kind, then)
    loaded.load_state_dict(stays.state_dict())
    deltas = p.learn(stays, 40)
    for horde in (goes, loaded):
        got = p.learn(horde, 40)
        if "numpy" not in (first, then):
            assert_array_equal(got, deltas)
        near(got, deltas)
        near(horde.weights, stays.weights)


@backends
@kinds
def test_weights_can_be_set(kind, backend):
    """The traces stay; also weights of features that were never active; learning goes on from there."""
    p = Problem(m=9)
    horde = p.horde(kind, backend)
    p.learn(horde, 0, 30)
    trace, w = horde.trace, np.random.default_rng(0).normal(size=(p.n, p.m))
    horde.weights = w
    assert_array_equal(horde.weights, w)
    near(horde.trace, trace)
    ones = [p.one(kind, j) for j in range(p.m)]
    for j, one in enumerate(ones):
        one.learn(p.x(0, 30), p.cumulants[:30, j], **{name: each[:30, j] for name, each in p.given.items()})
        one.weights = w[:, j]
    deltas = p.learn(horde, 30)
    for j, one in enumerate(ones):
        given = {name: each[30:, j] for name, each in p.given.items()}
        near(deltas[:, j], one.learn(p.x(30), p.cumulants[30:, j], **given))


@backends
@kinds
def test_reset_ends_the_stream(kind, backend):
    """Weights, and v, stay; what follows is as a new horde with those weights learns it."""
    p = Problem(m=9)
    horde, heir = p.horde(kind, backend), p.horde(kind, backend)
    p.learn(horde, 0, 30)
    horde.reset()
    assert not horde.trace.any()
    heir.weights = horde.weights
    if kind == "GTD":
        heir.v = horde.v
    near(p.learn(horde, 30), p.learn(heir, 30))
    near(horde.weights, heir.weights)


@backends
def test_an_interrupt_is_heard_between_steps(backend, monkeypatch):
    """KeyboardInterrupt says how many steps were learned, and their TD errors; the rest can follow."""
    p = Problem(m=9, T=23)
    whole = p.horde("accumulating", backend)
    deltas = p.learn(whole)
    horde = p.horde("accumulating", backend)
    monkeypatch.setattr(ft.Horde, "_first", lambda self, entries: 5)
    monkeypatch.setattr("fasttrace.pieces.paced", lambda size, seconds: 5)
    run, calls = type(horde._trace).run, []

    def interrupted(trace, stream):
        calls.append(stream)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        run(trace, stream)

    monkeypatch.setattr(type(horde._trace), "run", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        p.learn(horde)
    done = caught.value.steps
    assert done == 15
    assert_array_equal(caught.value.deltas, deltas[:done])
    assert_array_equal(p.learn(horde, done), deltas[done:])
    assert same(horde, whole)


# ---- bad input ----

X = np.array([[0, 3, 5], [1, 3, -1], [2, 2, 7]], np.int32)
N, M = 12, 3
C = np.ones((2, M))
BAD = [
    (lambda h: h.learn(X, C[:1]), ValueError, "cumulants: got shape (1, 3), expected (2, 3)"),
    (lambda h: h.learn(X, C[:, :2]), ValueError, "cumulants: got shape (2, 2), expected (2, 3)"),
    (lambda h: h.learn(X, np.full((2, M), np.nan)), ValueError, "cumulants: entry 0, 0 is nan"),
    (lambda h: h.learn(X, [[1, 1, 1], [1, np.inf, -np.inf]]), ValueError, "cumulants: entry 1, 1 is inf"),
    (lambda h: h.learn(X, C, gammas=[0.5] * 3), ValueError, "gammas: got shape (3,), expected a number"),
    (lambda h: h.learn(X, C, gammas=[[0.5, 0.5, 2.0]]), ValueError, "gammas: step 0: entry 2 is 2.0"),
    (lambda h: h.learn(X, C, lambdas=np.nan), ValueError, "lambdas: got nan, expected numbers from 0 to 1"),
    (lambda h: h.learn(X, C, rhos=[1.0, -1.0]), ValueError, "rhos: entry 1 is -1.0"),
    (lambda h: h.learn(X + 7, C), ft.FeatureIndexError, "x: index 12 at [0, 2] is out of range"),
    (lambda h: h.learn(X * 1j, C), TypeError, "x: got dtype complex128"),
    (lambda h: h.learn(X, C, alpha=0.1), TypeError, "Horde.learn: unknown keyword 'alpha'"),
    (lambda h: h.learn(X, C, gamma=0.1), TypeError, "did you mean 'gammas'?"),
    (lambda h: h.update(X[0], C[0], X[1], gamma=0), TypeError, "did you mean 'gammas'?"),
    (lambda h: h.add(alpha=1, gama=0), TypeError, "Horde.add: unknown keyword 'gama'"),
    (lambda h: h.update(X[0], C, X[1]), ValueError, "cumulants: got shape (2, 3), expected (3,)"),
    (lambda h: h.update(X[0], [1, 2, np.inf], X[1]), ValueError, "cumulants: entry 2 is inf"),
    (lambda h: h.update(X[0], ["a"] * 3, X[1]), TypeError, "cumulants: expected real numbers"),
    (lambda h: h.update(X[0], C[0], None), ValueError, "x_next: got None with discounts above 0"),
    (lambda h: h.update(X[0], C[0], None, gammas=[0, 0.1, 0]), ValueError, "x_next: got None"),
    (lambda h: h.update(X[0] + 8, C[0], X[1]), ft.FeatureIndexError, "x: index 13 at [2]"),
    (lambda h: h.update(X[0], C[0], X[1] - 1), ft.FeatureIndexError, "x_next: index -2 at [2]"),
    (lambda h: h.update(X[0], C[0], np.int64([2**33])), ft.FeatureIndexError, "x_next: index 8589934592"),
    (lambda h: h.update(X[0], C[0], X[1], gammas=[1, 1]), ValueError, "gammas: got shape (2,), expected"),
    (lambda h: h.update(X[0], C[0], X[1], rhos=-1), ValueError, "rhos: got -1.0"),
    (lambda h: h.update(np.eye(N, dtype=int)[3], C[0], X[1]), ValueError, "x: got integers of shape (12,)"),
    (lambda h: h.predict(X + 7), ft.FeatureIndexError, "x: index 12 at [0, 2]"),
    (lambda h: h.predict(X[0] + 7), ft.FeatureIndexError, "x: index 12 at [2]"),
    (lambda h: h[3], IndexError, "prediction 3 is out of range, expected 0 to 2"),
    (lambda h: h.remove(-4), IndexError, "prediction -4 is out of range"),
    (lambda h: h["a"], TypeError, "prediction: expected an integer, got str"),
    (lambda h: h[True], TypeError, "prediction: expected an integer, got bool"),
    (lambda h: setattr(h, "alhpa", 0.1), AttributeError, "no attribute 'alhpa'; did you mean 'alpha'?"),
    (lambda h: h.add(alpha=0), ValueError, "alpha: got 0.0, expected finite numbers above 0"),
    (lambda h: h.add(alpha=1, beta=1), ValueError, "beta: got 1 with learner='TD'"),
    (lambda h: setattr(h, "gamma", [1, 1]), ValueError, "gamma: got shape (2,), expected a number or (3,)"),
    (lambda h: setattr(h, "weights", np.ones((N, 2))), ValueError, "weights: got shape (12, 2), expected"),
    (lambda h: h.v, AttributeError, "v: is of learner='GTD'"),
    (lambda h: h.to("fortran"), ValueError, "backend='fortran'"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "words"), BAD, ids=[words[:50] for _, _, words in BAD])
def test_what_is_refused(call, kind, words):
    """The same error in each backend, before anything has changed."""
    messages = set()
    for backend in THERE:
        horde = ft.Horde(N, M, alpha=0.1, backend=backend)
        horde.learn(X, C)
        before = plain(horde.state_dict())
        with pytest.raises(kind) as caught:
            call(horde)
        assert plain(horde.state_dict()) == before
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert words in messages.pop()


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((0, 3), {}, "n_features: got 0"),
        ((9, 0), {}, "m: got 0"),
        ((9, 2**30), {}, "m: got 1073741824, expected an integer from 1 to 8388608"),
        ((9, 3, "Sarsa"), {}, "learner: got 'Sarsa', expected one of 'TD', 'TrueOnlineTD', 'GTD'"),
        ((9, 3, "TD", "eternal"), {}, "trace: got 'eternal'"),
        (
            (9, 3, "GTD", "dutch"),
            {"beta": 0.1},
            "trace: got 'dutch' with learner='GTD', it is for 'TD' alone",
        ),
        ((9, 3, "TD"), {"beta": 0.1}, "beta: got 0.1 with learner='TD'"),
        ((9, 3, "GTD"), {}, "beta: got None with learner='GTD'"),
        ((9, 3), {"alpha": [0.1, 0.1]}, "alpha: got shape (2,), expected a number or (3,)"),
        ((9, 3), {"alpha": [0.1, 0.1, 0.0]}, "alpha: entry 2 is 0.0"),
        ((9, 3), {"gamma": 1.1}, "gamma: got 1.1"),
        ((9, 3), {"lambda_": [0, 0, np.nan]}, "lambda_: entry 2 is nan"),
    ],
)
def test_hordes_that_cannot_be(arguments, options, words):
    """What is wrong with their numbers is said when they are made."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the words are looked at
        ft.Horde(*arguments, **{"alpha": 0.1} | options)
    assert words in str(caught.value)


def test_more_than_there_is_memory_for(monkeypatch):
    """What does not fit is told as predictions and bytes."""

    def none(size, dtype):
        raise MemoryError

    monkeypatch.setattr("fasttrace.many.horde_trace.sparse_zeros", none)
    with pytest.raises(MemoryError, match=r"m: 1000000 lanes take 16\.4 GB"):
        ft.Horde(9, 10**6, alpha=0.1)


def test_the_last_one_stays():
    """A horde has at least one prediction."""
    horde = ft.Horde(4, 1, alpha=0.1)
    with pytest.raises(ValueError, match="prediction 0 is the only one"):
        horde.remove(0)


@backends
def test_replacing_traces_are_for_binary_features(backend):
    """Values are refused by form, in learn and update."""
    horde = ft.Horde(4, 2, "TD", "replacing", alpha=0.1, backend=backend)
    for call in (
        lambda x: horde.learn(np.array([x, x]), np.ones((1, 2))),
        lambda x: horde.update(x, [1, 1], x),
    ):
        with pytest.raises(ValueError, match="x: replacing traces are for binary features"):
            call(np.ones(4))


@backends
def test_states_of_others_are_refused(backend):
    """Another learner's, another size's, one whose features or counters cannot be; nothing has changed."""
    horde = ft.Horde(N, 9, "TrueOnlineTD", alpha=0.1, backend=backend)
    horde.learn(X, np.ones((2, 9)))
    good, before = horde.state_dict(), plain(horde.state_dict())
    other = ft.Horde(N, 9, alpha=0.1, backend=backend).state_dict()
    bad = [other, ft.TD(N, alpha=0.1, backend=backend).state_dict(), {}]
    changes = [("position", 1, 0)]
    if backend != "numpy":
        changes += [("features", 1, N), ("features", 1, int(good["arrays"]["features"][0]))]
        changes += [
            ("counters", (0, 1), 99),
            ("counters", (0, 5), 0),
            ("rings", (0, 0, 3), 1.0),
            ("counters", (0, 4), 10**6),
            ("words", (0, 0), 0.0),
        ]
        changes += [("chunks", 0, 1)]
    for name, place, value in changes:
        arrays = {key: each.copy() for key, each in good["arrays"].items()}
        arrays[name][place] = value
        bad.append(good | {"arrays": arrays})
    for state in bad:
        with pytest.raises(ValueError, match=r"^state"):
            horde.load_state_dict(state)
        assert plain(horde.state_dict()) == before


def test_it_says_what_it_is():
    """Sizes, and numbers by their range."""
    horde = ft.Horde(9, 3, "TD", "dutch", alpha=0.1, gamma=[0, 0.5, 1], backend="numpy")
    words = "Horde(9, 3, learner='TD', trace='dutch', alpha=0.1, gamma=0 to 1, lambda_=0.9, backend='numpy')"
    assert repr(horde) == words
    assert "beta=0.5" in repr(ft.Horde(9, 3, "GTD", alpha=0.1, beta=0.5))


@backends
def test_one_user_at_a_time(backend):
    """Who comes while it is in use is refused, and it stays as it is."""
    horde = ft.Horde(9, 3, alpha=0.1, backend=backend)
    calls = [lambda: horde.update([1], [1, 1, 1], [2]), lambda: horde.add(alpha=0.1)]
    with horde._in_use():
        for call in (*calls, horde.reset, horde.state_dict):
            with pytest.raises(RuntimeError, match="this Horde is in use by another thread"):
                call()
    assert not horde.weights.any()
    assert horde.m == 3


@backends
def test_nothing_to_learn_changes_nothing(backend):
    """A stream of one state."""
    horde = ft.Horde(9, 3, alpha=0.1, backend=backend)
    before = plain(horde.state_dict())
    assert horde.learn(X[:1], np.empty((0, 3))).shape == (0, 3)
    assert plain(horde.state_dict()) == before


@pytest.mark.skipif("c" not in THERE, reason="needs C")
def test_the_c_api_resets_a_horde_without_slabs():
    """Before the first step there are none, and after FT_HORDE_FULL fewer than slots."""
    from fasttrace.backends.c import ffi, lib

    n, chunks, kind = 40, 1, lib.FT_HORDE_GTD
    memory = [np.zeros(n, np.int32), np.zeros(80 + 8), np.zeros(8, np.int64)]
    memory.append(np.zeros(24 * lib.ft_horde_ring_size(n) + 8))
    place, words, counters, rings = (ffi.cast("char *", ffi.from_buffer(each)) for each in memory)
    words, rings = (each + -int(ffi.cast("intptr_t", each)) % 64 for each in (words, rings))
    slabs = ffi.new("double *[]", 1 + n // 16)
    h, s = ffi.new("ft_horde *"), ffi.new("ft_horde_stream *")
    lib.ft_horde_init(
        h, n, chunks, kind, ffi.cast("int32_t *", place), ffi.cast("double *", words),
        ffi.cast("int64_t *", counters), ffi.cast("double *", rings), slabs,
    )  # fmt: skip
    lib.ft_horde_reset(h)
    idx, entries = ffi.new("int32_t[]", list(range(n))), ffi.new("uint64_t[]", 2 * n)
    step = (n, idx, ffi.NULL, n, idx, ffi.NULL, s, entries, ffi.new("double[]", 2 * n))
    assert lib.ft_horde_step(h, *step) == lib.FT_HORDE_FULL
    for _ in range(9):
        lib.ft_horde_reset(h)
    assert (h.used, h.slabs_count) == (1 + n, 0)
