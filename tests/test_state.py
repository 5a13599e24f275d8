"""What a learner is, and keeps: over calls, copies, backends, checkpoints and threads."""

import copy
import io
import itertools
import json
import os
import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from states import assert_goes_on_as, close, example, inherit, plain, same, taught
from streams import (
    ALGORITHMS,
    BACKENDS,
    COMPILED,
    CONTROL,
    DISTINCT,
    DIVERGING,
    PREDICTION,
    WITH_TRACE,
    chosen_by,
    learn,
    needed,
)

import fasttrace as ft
from fasttrace import checkpoint
from fasttrace.backends import _missing

backends = pytest.mark.parametrize("backend", BACKENDS)
everything = pytest.mark.parametrize("algorithm", DISTINCT, ids=str)
agents = pytest.mark.parametrize("algorithm", [each for each in CONTROL if each in DISTINCT], ids=str)
ACTING = [ALGORITHMS[name] for name in ("sarsa_replacing", "true_online_sarsa", "tree_backup", "gq")]
TD, TRUE_ONLINE_TD = ALGORITHMS["td_accumulating"], ALGORITHMS["true_online_td"]
SARSA, TRUE_ONLINE_SARSA = ALGORITHMS["sarsa_replacing"], ALGORITHMS["true_online_sarsa"]
X, X_NEXT = np.array([0, 3, 5], np.int32), np.array([1, 3, 11], np.int32)


def forms(algorithms, ragged=True):
    """Each algorithm with each form of features, control also with those of state-action pairs."""
    for algorithm in algorithms:
        for form, pairs in itertools.product(algorithm.forms, (False, True)[: 1 + algorithm.pairs]):
            if ragged or "ragged" not in form:
                name = f"{algorithm}-{form}{'-pairs' if pairs else ''}"
                yield pytest.param(algorithm, {"form": form, "state_action": pairs}, id=name)


# ---- from one call to the next ----


@backends
@pytest.mark.parametrize(("algorithm", "options"), list(forms(DISTINCT)))
def test_pieces_leave_the_same_learner(algorithm, options, backend):
    """learn, split anywhere and often, leaves every bit of the learner as one call does."""
    s = example(algorithm, **options)
    whole = taught(algorithm, backend, s, stop=0)
    deltas = learn(whole, s)
    for cuts in ([1], [13], [39], [0, 40], [5, 5, 6, 20], range(1, 40)):
        pieces = taught(algorithm, backend, s, stop=0)
        parts = [learn(pieces, s, *span) for span in itertools.pairwise([0, *cuts, s.T])]
        assert_array_equal(np.concatenate(parts), deltas)
        assert same(pieces, whole)


@backends
@pytest.mark.parametrize("algorithm", [each for each in PREDICTION if each in WITH_TRACE], ids=str)
def test_the_end_needs_no_next_state(algorithm, backend):
    """With gamma=0, x_next may be None, or anything: what is learned is the same."""
    s = example(algorithm)
    x = s.x()
    one, other = taught(algorithm, backend, s, stop=0), taught(algorithm, backend, s, stop=0)
    ends = 0
    for t in range(s.T):
        numbers = {"gamma": s.gammas[t], "lambda_": s.lambdas[t], "rho": s.rhos[t], "alpha": s.alpha[t]}
        if "pi" in algorithm.takes:
            numbers["pi"] = s.pi[t]
        end = s.gammas[t] == 0
        ends += end
        delta = one.update(x[t], s.rewards[t], None if end else x[t + 1], **numbers)
        assert delta == other.update(x[t], s.rewards[t], x[t + 1], **numbers)
    assert ends > 2
    assert_array_equal(one.weights, other.weights)
    assert_array_equal(one.trace, other.trace)


@backends
@everything
def test_a_termination_leaves_nothing(algorithm, backend):
    """After a discount of 0 the next step learns what a learner with these weights and no trace does."""
    s = example(algorithm, restarts=False, form="indices")
    gammas = s.gammas.copy()
    gammas[19] = 0.0
    s = s.but(gammas=gammas)
    one = taught(algorithm, backend, s, stop=20)
    fresh = taught(algorithm, backend, s, stop=0)
    inherit(fresh, one)
    learn(one, s, 20)
    learn(fresh, s, 20)
    assert close(one, fresh)


@backends
@everything
def test_reset_empties_the_trace_alone(algorithm, backend):
    """reset: no trace, no v_old; the weights stay, and what follows is as with a new learner."""
    s = example(algorithm)
    learner = taught(algorithm, backend, s, stop=20)
    weights = learner.weights
    assert learner.trace.any() == (algorithm in WITH_TRACE)
    assert learner.reset() is None
    assert_array_equal(learner.weights, weights)
    assert not learner.trace.any()
    fresh = taught(algorithm, backend, s, stop=0)
    inherit(fresh, learner)
    learn(learner, s, 20)
    learn(fresh, s, 20)
    assert close(learner, fresh)


@backends
@everything
def test_weights_can_be_set(algorithm, backend):
    """They are what they were set to, to the bit, and the trace is what it was; copies, all of them."""
    learner = taught(algorithm, backend, stop=17)
    trace, weights = learner.trace, learner.weights
    wanted = np.random.default_rng(0).normal(size=weights.shape)
    learner.weights = wanted
    assert_array_equal(learner.weights, wanted)
    assert_array_equal(learner.trace, trace)
    for array in (learner.weights, learner.trace):
        array += 1.0
    assert_array_equal(learner.weights, wanted)
    assert_array_equal(learner.trace, trace)
    kept = wanted.copy()
    wanted += 1.0
    assert_array_equal(learner.weights, kept)


@backends
def test_weights_that_are_set_forget_v_old(backend):
    """The step after takes v_old = v: without its correction, w <- w + delta e."""
    s = example(TRUE_ONLINE_TD, restarts=False, off_policy=False, vary_alpha=False)
    learner = taught(TRUE_ONLINE_TD, backend, s, stop=17)
    gamma_lambda, alpha = s.gammas[16] * s.lambdas[16], s.alpha
    w = np.random.default_rng(0).normal(size=s.n)
    x, x_next = s.dense(17), s.dense(18)
    e = gamma_lambda * alpha * learner.trace
    e += alpha * (1 - e @ x) * x
    learner.weights = w
    delta = s.rewards[17] + s.gammas[17] * w @ x_next - w @ x
    assert learn(learner, s, 17, 18)[0] == pytest.approx(delta, rel=1e-12)
    np.testing.assert_allclose(learner.weights, w + delta * e, rtol=0, atol=1e-13)
    np.testing.assert_allclose(learner.trace, e / alpha, rtol=0, atol=1e-12)


# ---- from one backend to the next ----


@pytest.mark.parametrize("one", BACKENDS)
@pytest.mark.parametrize("other", BACKENDS)
@everything
def test_to_goes_on(algorithm, one, other):
    """Half a stream in one backend, half in another: as in one, but for rounding; and back again."""
    s = example(algorithm)
    learner = taught(algorithm, one, s, stop=15)
    here = taught(algorithm, one, s, stop=15)
    if algorithm.control:
        assert learner.start(X) == here.start(X)
    assert learner.to(other) is learner
    assert learner.backend == other
    assert close(learner, here, 1e-15)
    for start, stop, backend in ((15, 28, one), (28, 40, other)):
        if algorithm.control and start == 15:
            assert learner.step(1.0, X_NEXT) == here.step(1.0, X_NEXT)
        np.testing.assert_allclose(
            learn(learner, s, start, stop), learn(here, s, start, stop), rtol=0, atol=1e-10
        )
        assert close(learner, here)
        learner.to(backend)
    assert learner.backend == other


@everything
def test_c_and_numba_share_a_learner(algorithm):
    """Between the two, in either direction, not one bit changes."""
    for name in ("c", "numba"):
        if ft.backends()[name] is not None:
            pytest.skip(ft.backends()[name])
    s = example(algorithm)
    learner, here = taught(algorithm, "c", s, stop=0), taught(algorithm, "c", s, stop=0)
    for start, backend in zip(range(0, 40, 8), itertools.cycle(["numba", "c"]), strict=False):
        assert_array_equal(learn(learner.to(backend), s, start, start + 8), learn(here, s, start, start + 8))
        assert same(learner.to("c"), here)


@backends
def test_to_the_same_backend_changes_nothing(backend):
    """Nor does "auto", where that is it."""
    learner = taught(TRUE_ONLINE_TD, backend)
    before = learner.state_dict()
    assert same(learner.to(backend), before)
    assert same(taught(TD, ft.TD(1, alpha=0.1).backend).to("auto"), taught(TD, ft.TD(1, alpha=0.1).backend))


# ---- copies, states and checkpoints ----


def by_pickle(learner, path):
    return pickle.loads(pickle.dumps(learner))


def by_first_pickle(learner, path):
    return pickle.loads(pickle.dumps(learner, 2))


def by_copy(learner, path):
    return copy.copy(learner)


def by_deepcopy(learner, path):
    return copy.deepcopy([learner, learner])[1]


def by_state_dict(learner, path):
    options = {**learner.state_dict()["options"], "alpha": 0.5, "gamma": 0.5}
    other = type(learner)(**options, backend=learner.backend)
    other.load_state_dict(learner.state_dict())
    return other


def by_file(learner, path):
    learner.save(path)
    return ft.load(path)


WAYS = [by_pickle, by_first_pickle, by_copy, by_deepcopy, by_state_dict, by_file]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@ways
@backends
@everything
def test_copies_go_on_bit_for_bit(algorithm, backend, way, tmp_path):
    """A copy is the learner, options and all, goes on as it does, and has nothing in common with it."""
    s = example(algorithm)
    learner = taught(algorithm, backend, s, stop=15)
    if learner.lambda_ is not None:  # of GTD2 without a trace
        learner.lambda_ = 0.125
    other = way(learner, tmp_path / "learner.npz")
    assert type(other) is type(learner)
    assert same(other, learner)
    assert repr(other) == repr(learner)
    before = learner.state_dict()
    learn(other, s, 15, 20)
    other.weights = other.weights + 1.0
    other.reset()
    assert same(learner, before)
    assert_goes_on_as(way(learner, tmp_path / "learner.npz"), learner, s, 15)


@ways
@backends
@pytest.mark.parametrize(("algorithm", "options"), list(forms(ACTING, ragged=False)))
def test_copies_in_the_middle_of_an_episode(algorithm, options, backend, way, tmp_path):
    """The state that the agent is in, its action and its generator are part of it."""
    s = example(algorithm, **options)
    x = s.x()

    def state(t):
        return tuple(part[t] for part in x) if isinstance(x, tuple) else x[t]

    agent = taught(algorithm, backend, s, stop=15, epsilon=0.5)
    agent.start(state(15))
    agent.step(0.5, state(16))
    other = way(agent, tmp_path / "agent.npz")
    assert other.generator is not agent.generator
    for t in range(17, 35):
        assert other.step(s.rewards[t], state(t)) == agent.step(s.rewards[t], state(t))
    assert same(other, agent)
    way(agent, tmp_path / "agent.npz").end(1.0)
    assert same(other, agent)
    other.truncate(1.0, state(35))
    agent.truncate(1.0, state(35))
    assert same(other, agent)


@pytest.mark.parametrize("bits", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
@ways
def test_every_generator_of_numpy_is_saved(bits, way, tmp_path):
    """The next numbers of a copy's generator are those of the learner's."""
    generator = np.random.Generator(getattr(np.random, bits)(3))
    generator.integers(5, dtype=np.int32)  # leaves half of 64 bits for the next
    agent = ft.Sarsa(8, 5, alpha=0.1, epsilon=1.0, seed=generator, backend="numpy")
    agent.start([0])
    other = way(agent, tmp_path / "agent.npz")
    assert [other.step(0.0, [1]) for _ in range(30)] == [agent.step(0.0, [1]) for _ in range(30)]
    assert_array_equal(
        other.generator.integers(9, size=9, dtype=np.int32), generator.integers(9, size=9, dtype=np.int32)
    )


@pytest.mark.parametrize("one", BACKENDS)
@pytest.mark.parametrize("other", BACKENDS)
@everything
def test_a_checkpoint_goes_on_in_another_backend(algorithm, one, other, tmp_path):
    """load(path, backend): but for rounding, it is the learner that was saved."""
    s = example(algorithm)
    learner = taught(algorithm, one, s, stop=15)
    learner.save(tmp_path / "learner.npz")
    loaded = ft.load(tmp_path / "learner.npz", backend=other)
    assert loaded.backend == other
    assert close(loaded, learner, 1e-15)
    state = taught(algorithm, other, s, stop=3)
    state.load_state_dict(learner.state_dict())
    assert state.backend == other
    assert same(state, loaded)
    learn(loaded, s, 15)
    learn(learner, s, 15)
    assert close(loaded, learner)


SHORT = {"array": [1], "dtype": "<u8"}


@pytest.mark.parametrize(
    ("bits", "part", "value"),
    [
        ("MT19937", "pos", 625), ("MT19937", "pos", -1), ("MT19937", "pos", 10**6), ("MT19937", "key", [1]),
        ("MT19937", "key", {"array": [1], "dtype": "<u4"}), ("Philox", "buffer_pos", -50),
        ("Philox", "buffer", SHORT), ("Philox", "key", SHORT), ("SFC64", "state", SHORT),
        ("PCG64", "inc", -1), ("PCG64", "state", 2.5), ("PCG64", "has_uint32", None),
    ],
    ids=str,
)  # fmt: skip
def test_states_that_no_generator_has_are_refused(bits, part, value):
    """NumPy takes some of them, and then reads what is not its own."""
    agent = ft.Sarsa(8, 5, alpha=0.1, seed=np.random.Generator(getattr(np.random, bits)(3)), backend="numpy")
    state = agent.state_dict()
    generator = copy.deepcopy(state["online"]["generator"])
    place = generator if part in generator and part != "state" else generator["state"]
    assert part in place
    place[part] = value
    refuse_state(agent, altered(state, "online", generator=generator))


@backends
def test_a_state_is_of_its_moment(backend):
    """state_dict gives copies: what the learner learns later is not in them, and they may be written to."""
    learner = taught(TRUE_ONLINE_SARSA, backend)
    learner.start(X)
    state = learner.state_dict()
    before = plain(state)
    learner.step(1.0, X_NEXT)
    assert plain(state) == before
    for array in state["arrays"].values():
        array += 1
    state["online"]["generator"]["state"]["state"] += 1
    assert plain(learner.state_dict()) != before
    assert not same(learner, state)
    assert json.dumps({name: value for name, value in state.items() if name != "arrays"})


@backends
@everything
def test_equal_learners_have_equal_states(algorithm, backend):
    """Two that were made and taught alike; and one step more is another state."""
    s = example(algorithm, restarts=False)
    one, other = taught(algorithm, backend, s, stop=15), taught(algorithm, backend, s, stop=15)
    assert same(one, other)
    learn(other, s, 15, 16)
    assert not same(one, other)


def test_saving_says_nothing_of_the_name(tmp_path, monkeypatch):
    """Strings and paths, relative and not, with any name: the file has that name, and load finds it."""
    monkeypatch.chdir(tmp_path)
    learner = taught(TRUE_ONLINE_TD, "numpy")
    for path in ("a.npz", tmp_path / "no suffix", "c.ckpt", "d" * 250, os.path.join(".", "e.npz")):
        learner.save(path)
        assert same(ft.load(path), learner)
    names = ["a.npz", "no suffix", "c.ckpt", "d" * 250, "e.npz"]
    assert sorted(os.listdir()) == sorted(names)


@backends
def test_saving_over_a_file_is_all_or_nothing(backend, tmp_path, monkeypatch):
    """Whatever fails, the old checkpoint is there, whole, and nothing else is."""
    path = tmp_path / "learner.npz"
    s = example(TRUE_ONLINE_TD)
    learner = taught(TRUE_ONLINE_TD, backend, s, stop=10)
    learner.save(path)
    old, state = path.read_bytes(), learner.state_dict()
    learn(learner, s, 10)

    def fail(*_, **__):
        raise OSError("no space left on device")

    def write_half(file, **arrays):
        file.write(b"PK\x03\x04 half of a file")
        fail()

    for module, name, failing in (
        (os, "replace", fail), (os, "fsync", fail), (np, "savez", write_half), (json, "dumps", fail),
    ):  # fmt: skip
        with monkeypatch.context() as patch:
            patch.setattr(module, name, failing)
            with pytest.raises(OSError, match="no space left"):
                learner.save(path)
        assert path.read_bytes() == old
        assert os.listdir(tmp_path) == ["learner.npz"]
    assert same(ft.load(path), state)
    learner.save(path)
    assert same(ft.load(path), learner)
    with pytest.raises(FileNotFoundError):
        learner.save(tmp_path / "nowhere" / "learner.npz")


# ---- checkpoints that are none ----


def refuse(path, content):
    path.write_bytes(content)
    with pytest.raises(ft.CheckpointError) as caught:
        ft.load(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


@backends
@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_a_damaged_byte_is_never_believed(flip, backend, tmp_path):
    """With any one byte changed, the checkpoint is refused, or (dates, say) it is still the learner."""
    agent = ft.TrueOnlineSarsa(3, 2, alpha=0.1, seed=0, backend=backend)
    agent.start([0])
    agent.step(1.0, [1])
    path = tmp_path / "agent.npz"
    agent.save(path)
    good, state = path.read_bytes(), plain(agent.state_dict())
    few = 400 if flip != 0xFF else 1200
    places = (
        range(len(good)) if len(good) <= few else np.unique(np.linspace(0, len(good) - 1, few).astype(int))
    )
    refusals = 0
    for place in places:
        content = bytearray(good)
        content[place] ^= flip
        path.write_bytes(content)
        try:
            loaded = ft.load(path)
        except ft.CheckpointError:
            refusals += 1
        else:
            assert plain(loaded.state_dict()) == state, place
    assert refusals > 0.8 * len(places)


@backends
def test_a_truncated_file_is_refused(backend, tmp_path):
    """At whatever length it ends; with something more after its end it is refused, or it is the learner."""
    path = tmp_path / "td.npz"
    learner = taught(TD, backend)
    learner.save(path)
    good = path.read_bytes()
    for length in {
        *range(0, len(good), max(1, len(good) // 300)),
        *range(40),
        *range(len(good) - 60, len(good)),
    }:
        refuse(path, good[:length])
    for more in (b"\0", good[:100], good[-30:], bytes(70_000)):
        path.write_bytes(good + more)
        try:
            loaded = ft.load(path)
        except ft.CheckpointError:
            continue
        assert same(loaded, learner)
    path.write_bytes(good)
    assert same(ft.load(path), learner)


class Trap:
    """Unpickled, it would tell."""

    sprung = False

    def __reduce__(self):
        return setattr, (Trap, "sprung", True)


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def checkpoint_of(state, /, **header):
    """What checkpoint.write makes of a state dict, but for entries of the header; None takes one out."""
    arrays = state.pop("arrays")
    body = json.dumps(state)
    entries = {"format": 1, "state": body, "checksum": checkpoint._checksum(body, arrays)} | header
    text = json.dumps({name: value for name, value in entries.items() if value is not None})
    return npz(header=np.frombuffer(text.encode(), np.uint8), **arrays)


def test_files_that_are_not_ours(tmp_path):
    """Any other file is refused, and no pickle in it is ever opened."""
    path = tmp_path / "file.npz"
    array = io.BytesIO()
    np.save(array, np.ones(3))
    traps = io.BytesIO()
    np.save(traps, np.array([Trap()], object), allow_pickle=True)
    header = {"format": 1, "state": "{}", "checksum": checkpoint._checksum("{}", {})}
    files = [
        b"", b"PK", b"PK\x05\x06" + bytes(18), b"hello\n" * 100, os.urandom(2000), pickle.dumps(Trap()),
        array.getvalue(), traps.getvalue(), npz(), npz(weights=np.ones(3)), npz(header=np.array([Trap()])),
        npz(header=np.ones(3)), npz(header=np.frombuffer(b"[1, 2]", np.uint8)),
        npz(header=np.frombuffer(b"\xff\xfe", np.uint8)), npz(header=np.array("text")),
        npz(header=np.frombuffer(b"[" * 100_000, np.uint8)),
        npz(header=np.frombuffer(json.dumps(header).encode(), np.uint8)),
    ]  # fmt: skip
    for content in files:
        refuse(path, content)
    assert not Trap.sprung
    with pytest.raises(ft.CheckpointError):
        ft.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        ft.load(tmp_path / "nothing.npz")
    assert issubclass(ft.CheckpointError, ValueError)


def test_headers_that_do_not_hold(tmp_path):
    """Whole files, checksum and all, that say what no learner is."""
    path = tmp_path / "agent.npz"
    agent = taught(SARSA, "numpy")
    agent.start(X)

    def state(**changes):
        return {**agent.state_dict(), **changes}

    path.write_bytes(checkpoint_of(state()))
    assert same(ft.load(path), agent)
    options = state()["options"]
    arrays = state()["arrays"]
    wrong = [
        {"class": "Learner"}, {"class": "ActionLearner"}, {"class": "GTD"}, {"class": None},
        {"class": ["TD"]}, {"class": "TD"}, {"class": "TrueOnlineSarsa"},
        {"backend": "fortran"}, {"backend": None}, {"backend": "auto"},
        {"options": None}, {"options": {}}, {"options": {**options, "n_features": 13}},
        {"options": {**options, "n_features": 12.0}}, {"options": {**options, "alpha": -1.0}},
        {"options": {**options, "alpha": None}}, {"options": {**options, "eta": 1.0}},
        {"options": {**options, "n_actions": 4}}, {"options": {**options, "state_action": True}},
        {"online": None}, {"online": {}}, {"arrays": {}}, {"arrays": {**arrays, "w": arrays["w"][1:]}},
        {"arrays": {**arrays, "w": arrays["w"].astype(str)}}, {"arrays": {**arrays, "more": np.ones(1)}},
        {"arrays": {name: array for name, array in arrays.items() if name != "z"}},
    ]  # fmt: skip
    for changes in wrong:
        refuse(path, checkpoint_of(state(**changes)))
    for header in (
        {"checksum": "0"},
        {"checksum": None},
        {"state": None},
        {"state": 3},
        {"format": None},
        {"format": "x"},
    ):
        refuse(path, checkpoint_of(state(), **header))
    body = json.dumps([1, 2])
    refuse(path, checkpoint_of(state(), state=body, checksum=checkpoint._checksum(body, arrays)))


@pytest.mark.parametrize(
    "rest", [{}, {"checksum": "another kind"}, {"state": None, "checksum": None}], ids=str
)
def test_a_newer_version_is_named(rest, tmp_path):
    """Whatever else a later format may hold, the message is that it is later."""
    message = refuse(
        tmp_path / "td.npz",
        checkpoint_of(taught(TD, "numpy").state_dict(), format=checkpoint.FORMAT + 1, **rest),
    )
    assert f"format {checkpoint.FORMAT + 1}" in message
    assert "newer" in message


def test_a_checkpoint_of_a_backend_that_is_not_there(tmp_path, monkeypatch):
    """BackendUnavailable, for files as for pickles; in another backend the file can be loaded."""
    learner = taught(TRUE_ONLINE_TD, "numpy")
    state = learner.state_dict() | {"backend": "numpy"}
    learner.save(tmp_path / "td.npz")
    pickled = pickle.dumps(learner)
    monkeypatch.setitem(_missing, "numpy", "ImportError: none today")
    with pytest.raises(ft.BackendUnavailable, match="none today"):
        ft.load(tmp_path / "td.npz")
    with pytest.raises(ft.BackendUnavailable, match="none today"):
        pickle.loads(pickled)
    other = next(name for name in ("c", "numba", None) if name is None or ft.backends()[name] is None)
    if other is not None:
        assert close(ft.load(tmp_path / "td.npz", backend=other), learner, 1e-15)
    assert same(learner, state)


# ---- states that are none ----


def refuse_state(learner, state):
    before = learner.state_dict()
    with pytest.raises(ValueError, match=r"."):
        learner.load_state_dict(state)
    assert same(learner, before)


def altered(state, part, **changes):
    return {**state, part: {**state[part], **changes}}


COUNTERS = {
    name: place
    for place, name in enumerate(
        ["n", "columns", "width", "ring_size", "epoch", "oldest", "alive_max", "swept", "flat"]
    )
}


@pytest.mark.parametrize("backend", COMPILED)
@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 11), ("n", 13), ("n", 2**40), ("n", -1), ("columns", 1), ("columns", 2**40), ("width", 1),
     ("width", 8), ("ring_size", 2048), ("ring_size", 1), ("ring_size", 0), ("epoch", -1),
     ("epoch", 2**63 - 1), ("epoch", 5000), ("oldest", -(2**62)), ("oldest", 2**63 - 1),
     ("alive_max", 2**40), ("alive_max", -1),
     ("swept", -1), ("swept", 12), ("swept", 2**40), ("flat", 2), ("flat", -1)],
)  # fmt: skip
def test_counters_that_lie_are_refused(name, value, backend):
    """Kernels trust the counters: those of another size, or that no trace has, must not reach them."""
    learner = taught(SARSA, backend)
    state = learner.state_dict()
    counters = state["arrays"]["counters"].copy()
    assert counters[COUNTERS["n"]] == 12
    assert counters[COUNTERS["columns"]] == 3
    counters[COUNTERS[name]] = value
    refuse_state(learner, altered(state, "arrays", counters=counters))
    for scale in (0.0, -1.0, 1e300, np.nan, np.inf):
        scalars = state["arrays"]["scalars"].copy()
        scalars[0] = scale
        refuse_state(learner, altered(state, "arrays", scalars=scalars))


@backends
def test_states_of_other_learners_are_refused(backend):
    """ValueError for a state of another class, size, trace or number of actions; it stays what it is."""
    learner = taught(SARSA, backend)
    learner.start(X)
    options = {"alpha": 0.1, "backend": backend}
    others = [
        ft.TD(12, **options), ft.TrueOnlineSarsa(12, 3, **options), ft.Sarsa(13, 3, **options),
        ft.Sarsa(12, 2, **options), ft.Sarsa(12, 3, trace="dutch", **options),
        ft.Sarsa(12, 3, clear_others=True, **options), ft.Sarsa(12, 3, state_action=True, **options),
    ]  # fmt: skip
    for other in others:
        refuse_state(learner, other.state_dict())
        refuse_state(other, learner.state_dict())


@backends
def test_states_that_are_damaged_are_refused(backend):
    """Each part is looked at before any of it is taken."""
    learner = taught(ALGORITHMS["sarsa_accumulating"], backend)
    learner.start((X, [1.0, 2.0, 3.0]))
    state = learner.state_dict()
    refuse_state(learner, {})
    refuse_state(learner, None)
    for name in ("class", "backend", "options", "online", "arrays"):
        refuse_state(learner, {key: value for key, value in state.items() if key != name})
        refuse_state(learner, {**state, name: None})
    for name in state["options"]:
        refuse_state(learner, {**state, "options": {k: v for k, v in state["options"].items() if k != name}})
    for name, value in (
        ("alpha", 0.0),
        ("gamma", 2.0),
        ("lambda_", np.nan),
        ("epsilon", -1.0),
        ("alpha", "1"),
    ):
        refuse_state(learner, altered(state, "options", **{name: value}))
    for name, array in state["arrays"].items():
        refuse_state(
            learner,
            {**state, "arrays": {k: v for k, v in state["arrays"].items() if k != name}}
            if name != "x_values"
            else altered(state, "arrays", x_values=array[1:]),
        )
        for wrong in (array[:-1], array.astype(complex), array.astype(str), array.astype(object), None):
            refuse_state(learner, altered(state, "arrays", **{name: wrong}))
    for index in (-2, 12, 2**31 - 1):
        x = state["arrays"]["x_indices"].copy()
        x[1] = index
        refuse_state(learner, altered(state, "arrays", x_indices=x))
    refuse_state(learner, altered(state, "arrays", x_values=np.array([1.0, np.nan, 1.0])))
    for action in (-1, 3, None, 1.5):
        refuse_state(learner, altered(state, "online", action=action))
    generator = state["online"]["generator"]
    others = ({"bit_generator": name} for name in ("os.system", "Generator", "BitGenerator", "MT19937", None))
    for wrong in (None, {}, *others, {**generator, "bit_generator": "MT19937"}, {**generator, "state": {}}):
        refuse_state(learner, altered(state, "online", generator=wrong))
    learner.load_state_dict(state)
    assert same(learner, state)


# ---- divergence ----


@backends
@pytest.mark.parametrize("algorithm", DIVERGING, ids=str)
def test_a_learner_that_diverged_can_begin_again(algorithm, backend, tmp_path):
    """It is saved and copied as it is; with new weights and a reset, in either order, it is as new."""
    x, rewards = np.zeros((3001, 1), np.int32), np.ones(3000)
    actions = (np.zeros(3001, int),) if algorithm.control else ()
    kind = getattr(ft, algorithm.learner)
    sizes = (4, 2) if algorithm.control else (4,)
    options = {"gamma": 0.5, "lambda_": 0.5, "backend": backend, **algorithm.options}
    for order in ((0, 1), (1, 0)):
        learner = kind(*sizes, alpha=1e4, **options)
        learner.learn(x, *actions, rewards, **needed(learner, 3001))
        assert learner.diverged
        learner.save(tmp_path / "learner.npz")
        assert ft.load(tmp_path / "learner.npz").diverged
        assert copy.deepcopy(learner).diverged
        for step in order:
            if step:
                learner.weights = np.zeros(learner.weights.shape)
                assert not learner.weights.any()
                for name in ("actor_weights", "average_reward")[: 2 * algorithm.actor]:
                    setattr(learner, name, np.zeros(np.shape(getattr(learner, name))))
            else:
                learner.reset()
        assert not learner.diverged
        assert not learner.trace.any()
        learner.alpha = 0.1
        fresh = kind(*sizes, alpha=0.1, **options)
        rest = (part[:10] for part in actions)
        assert_array_equal(
            learner.learn(x[:10], *rest, rewards[:9], **needed(learner, 10)),
            fresh.learn(x[:10], *(part[:10] for part in actions), rewards[:9], **needed(fresh, 10)),
        )
        assert not learner.diverged
        assert_array_equal(learner.weights, fresh.weights)


# ---- threads ----


class Held:
    """Holds a kernel of a backend where it begins, so that another thread can look around meanwhile."""

    def __init__(self, monkeypatch, backend, stem, kernel):
        linear = import_module(f"fasttrace.backends.{backend}.{stem}")
        run = getattr(linear, kernel)
        self.inside, self.go_on = threading.Event(), threading.Event()

        def held(*arguments):
            self.inside.set()
            assert self.go_on.wait(60)
            return run(*arguments)

        monkeypatch.setattr(linear, kernel, held)

    def __enter__(self):
        assert self.inside.wait(60)

    def __exit__(self, *_):
        self.go_on.set()


@backends
@everything
def test_a_learner_in_two_threads_is_refused(algorithm, backend, monkeypatch):
    """While one thread learns, each call and each look from another is a RuntimeError, and does no harm."""
    s = example(algorithm)
    x = s.x()[:2]
    learner, alone, third = (taught(algorithm, backend, s, stop=0) for _ in range(3))
    third.gamma = 0.5
    state, weights = third.state_dict(), third.weights
    calls = {
        "learn": lambda: learn(learner, s, 0, 3), "reset": learner.reset, "to": lambda: learner.to("numpy"),
        "weights": lambda: learner.weights, "set weights": lambda: setattr(learner, "weights", weights),
        "trace": lambda: learner.trace, "diverged": lambda: learner.diverged,
        "state_dict": learner.state_dict,
        "load_state_dict": lambda: learner.load_state_dict(state), "copy": lambda: copy.copy(learner),
        "deepcopy": lambda: copy.deepcopy(learner), "pickle": lambda: pickle.dumps(learner),
        "save": lambda: learner.save(os.devnull),
    }  # fmt: skip
    if algorithm.control:
        calls |= {
            "start": lambda: learner.start(x[0]), "step": lambda: learner.step(1.0, x[0]),
            "end": lambda: learner.end(1.0), "truncate": lambda: learner.truncate(1.0, x[0]),
            "q": lambda: chosen_by(learner, x[0]), "act": lambda: learner.act(x[0]),
        }  # fmt: skip
    else:
        calls |= {
            "update": lambda: learner.update(x[0], 1.0, x[1]), "predict": lambda: learner.predict(x[0]),
            "update, slowly": lambda: learner.update(list(x[0]), 1.0, list(x[1])),
        }  # fmt: skip
    if hasattr(learner, "_any_learn"):  # a quick call would not come by what is held
        monkeypatch.setattr(type(learner), "learn", type(learner)._any_learn)
    held = Held(monkeypatch, backend, algorithm.stem, f"{algorithm.kernel}_run")
    with ThreadPoolExecutor(1) as pool:
        deltas = pool.submit(learn, learner, s)
        with held:
            for name, call in calls.items():
                with pytest.raises(RuntimeError, match="in use by another thread"):
                    assert call() is NotImplemented, name  # it did not notice the other thread
        assert_array_equal(deltas.result(), learn(alone, s))
    assert same(learner, alone)
    learner.reset()  # free again


@backends
def test_an_error_frees_the_learner(backend):
    """After a refusal, in whatever call, the next call is taken."""
    learner, agent = taught(TD, backend), taught(SARSA, backend)
    for _ in range(2):
        for call in (
            lambda: learner.update(X, np.nan, X), lambda: learner.learn([[0], [99]], [1.0]),
            lambda: learner.update([99], 1.0, X), lambda: learner.predict(np.array([99], np.int32)),
            lambda: agent.step(1.0, X), lambda: agent.learn([[0], [99]], [0, 0], [1.0]),
            lambda: setattr(learner, "weights", [1.0]), lambda: learner.load_state_dict(agent.state_dict()),
            lambda: learner.to("fortran"), lambda: agent.q(np.array([99], np.int32)),
        ):  # fmt: skip
            with pytest.raises((ValueError, IndexError, RuntimeError)) as caught:
                call()
            assert "thread" not in str(caught.value)
    learner.update(X, 1.0, X)
    agent.start(X)


@pytest.fixture
def impatient():
    """Threads that take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatient")
@backends
@pytest.mark.parametrize("row", [X, X.astype(np.int64)], ids=["fast", "general"])
def test_threads_that_fight_for_a_learner(row, backend):
    """However the turns fall, it has learned from each call that was taken, and from no other."""
    learner, alone = ft.TD(12, alpha=0.1, backend=backend), ft.TD(12, alpha=0.1, backend=backend)
    barrier = threading.Barrier(4)

    def fight():
        barrier.wait(60)
        taken = 0
        for _ in range(300):
            try:
                learner.update(row, 1.0, X_NEXT)
            except RuntimeError:
                continue
            taken += 1
        return taken

    with ThreadPoolExecutor(4) as pool:
        taken = sum(each.result() for each in [pool.submit(fight) for _ in range(4)])
    assert taken > 0
    for _ in range(taken):
        alone.update(row, 1.0, X_NEXT)
    assert same(learner, alone)


@pytest.mark.usefixtures("impatient")
@backends
def test_learners_of_their_own_do_not_meet(backend):
    """Distinct learners in distinct threads learn what they learn one after the other."""

    def work(algorithm):
        s = example(algorithm, T=80)
        learner = taught(algorithm, backend, s, stop=20)
        for t in range(20, 80, 5):
            learn(learner, s, t, t + 5)
            for row in s.x(t, t + 2):
                chosen_by(learner, row) if algorithm.control else learner.predict(row)
            if algorithm.control:
                learner.start(s.x()[t])
                learner.step(1.0, s.x()[t + 1])
        return learner

    several = [*DISTINCT] * 2
    alone = [work(algorithm) for algorithm in several]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(work, several))
    for one, other in zip(together, alone, strict=True):
        assert same(one, other)


@backends
def test_a_report_may_look_at_the_agent(backend):
    """What a simulation calls to report progress runs in its thread, and may read what has been learned."""
    env = ft.envs.RandomWalk(5)
    learner = ft.TD(5, alpha=0.1, gamma=1.0, backend=backend)
    seen = []

    def look(steps, episodes):
        seen.append((steps, learner.weights, learner.predict([2]), learner.diverged))
        with pytest.raises(RuntimeError):
            learner.update([0], 1.0, [1])  # but not learn in between

    ft.simulate(env, learner, episodes=20, seed=0, progress=look)
    assert_array_equal(seen[-1][1], learner.weights)


@pytest.mark.parametrize("backend", [name for name in ("numba", "c") if ft.backends()[name] is None])
def test_a_ring_that_would_wake_rows_at_rest(backend):
    learner = ft.TD(8, alpha=0.1, backend=backend)
    state = learner.state_dict()
    state["arrays"]["ring"] = state["arrays"]["ring"].copy()
    state["arrays"]["ring"][1] = 1.0
    with pytest.raises(ValueError, match="ring"):
        learner.load_state_dict(state)
