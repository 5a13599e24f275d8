"""Whatever way a network's learner comes, its memory is its own: writable, aligned, its views still views."""

import copy
import io
import pickle

import numpy as np
import pytest
from neural_learners import BACKENDS, INPUTS, LEARNERS, learn, network, saved
from numpy.testing import assert_array_equal

import fasttrace as ft
from fasttrace import neural
from fasttrace.neural.staleness import History

backends = pytest.mark.parametrize("backend", BACKENDS)
names = pytest.mark.parametrize("name", LEARNERS)
PARTS = {"MLP", "JacobianTrace", "ObGD", "AdaptiveObGD"}


def by_read_only_buffers(thing, path):
    """As Ray and dask bring it."""
    buffers = []
    data = pickle.dumps(thing, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[each.raw().tobytes() for each in buffers])


def by_file(thing, path):
    thing.save(path / "learner.npz")
    return ft.load(path / "learner.npz", backend=thing.backend)


def by_memory_maps(thing, path):
    """As joblib brings it to its workers: the arrays of the pickle are read-only maps of files."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, part):
            if not (isinstance(part, np.ndarray) and part.size):
                return None
            file = path / f"{len(list(path.iterdir()))}.npy"
            np.save(file, part)
            return str(file)

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, file):
            return np.load(file, mmap_mode="r")

    stream = io.BytesIO()
    Pickler(stream).dump(thing)
    stream.seek(0)
    return Unpickler(stream).load()


WAYS = (by_read_only_buffers, by_memory_maps)
COPIES = (lambda thing, path: copy.copy(thing), lambda thing, path: copy.deepcopy(thing), by_file)
ways = pytest.mark.parametrize("way", [*WAYS, *COPIES], ids=["buffers", "maps", "copy", "deepcopy", "file"])


def arrays_of(thing, seen=None):
    """Arrays that kernels may write to: every one that hangs on it, but the rows that staleness reads."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, History):
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        yield thing
    elif isinstance(thing, (list, tuple)):
        for each in thing:
            yield from arrays_of(each, seen)
    elif type(thing).__module__.startswith("fasttrace") or type(thing).__name__ == "SimpleNamespace":
        for name, each in getattr(thing, "__dict__", {}).items():
            if name != "handle":
                yield from arrays_of(each, seen)


def test_every_class_is_here():
    """None is forgotten."""
    assert {name.partition(",")[0] for name in LEARNERS} | PARTS == set(neural.__all__)


@backends
@names
@ways
def test_a_learner_owns_its_memory(name, backend, way, tmp_path):
    """It goes on as the one it came from, to the bit, and leaves that alone."""
    learner = LEARNERS[name](backend)
    learn(learner, 0, 15)
    other = way(learner, tmp_path)
    before = saved(learner)
    learn(other, 15)
    assert saved(learner) == before
    learn(learner, 15)
    assert saved(other) == saved(learner)
    assert all(array.flags.writeable for array in arrays_of(other))
    assert all(array.ctypes.data % 64 == 0 for array in arrays_of(other._trace) if array.size)
    assert np.shares_memory(other.params, other.network.params)
    assert other.params.ctypes.data % 64 == 0


@backends
@pytest.mark.parametrize("way", [*WAYS, *COPIES[:2]], ids=["buffers", "maps", "copy", "deepcopy"])
def test_parts_own_their_memory(backend, way, tmp_path):
    """A network, a trace of a Jacobian and an optimiser by themselves."""
    net = network(2, backend)
    trace = neural.JacobianTrace(net.n_params, 2, dtype=np.float64, backend=backend)
    rule = neural.AdaptiveObGD()
    s, deltas = np.linspace(-1, 1, INPUTS), np.array([0.3, -0.2])

    def step(net, trace, rule):
        trace.step(net.params, net.jacobian(s)[1], deltas, 0.9, 0.1)
        rule.step(net.params, trace.Z[0], 0.5)
        return net.params.copy(), trace.Z.copy()

    step(net, trace, rule)
    net2, trace2, rule2 = (way(each, tmp_path) for each in (net, trace, rule))
    for got, want in zip(step(net2, trace2, rule2), step(net, trace, rule), strict=True):
        assert_array_equal(got, want)
    for array in (net2.params, trace2.memory, trace2.largest):
        assert array.flags.writeable
        assert array.ctypes.data % 64 == 0


@backends
@pytest.mark.parametrize("name", ["StreamAC", "QRC", "TDRC", "ForwardTD"])
def test_a_second_network_that_is_read_only(name, backend):
    """Refused as the first is, before anything changes."""
    learner = LEARNERS[name](backend)
    second = learner.actor if name == "StreamAC" else getattr(learner, "h", learner.network)
    second.params.flags.writeable = False
    before = saved(learner)
    with pytest.raises(ValueError, match="params: got a read-only array"):
        learn(learner)
    if name == "ForwardTD":
        with pytest.raises(ValueError, match="params: got a read-only array"):
            learner.flush()
    assert saved(learner) == before


def status(value):
    return lambda *arguments: value


@pytest.mark.skipif("c" not in BACKENDS, reason="the C library is not built")
def test_every_status_is_an_exception(monkeypatch):
    """One that nobody knows does not end in results of uninitialised memory."""
    from fasttrace.backends.c import neural as kernels

    class Strange:
        """The library, but that its functions return -9."""

        def __getattr__(self, name):
            found = getattr(kernels_lib, name)
            return status(-9) if callable(found) and "room" not in name else found

    kernels_lib = kernels.lib
    for module in ("neural", "neural_forward", "neural_gradient", "neural_expected"):
        found = pytest.importorskip(f"fasttrace.backends.c.{module}")
        monkeypatch.setattr(found, "lib", Strange())
    for name, make in LEARNERS.items():
        with pytest.raises(RuntimeError, match="returned status -9"):
            learn(make("c"))
        if name == "ForwardTD":
            with pytest.raises(RuntimeError, match="returned status -9"):
                make("c").flush()
    net = network(2, "c")
    trace = neural.JacobianTrace(net.n_params, 2, dtype=np.float64, backend="c")
    for call in (
        lambda: net.forward(np.ones(INPUTS)),
        lambda: net.jacobian(np.ones(INPUTS)),
        lambda: trace.accumulate(np.zeros((2, net.n_params)), 0.5),
    ):
        with pytest.raises(RuntimeError, match="returned status -9"):
            call()
