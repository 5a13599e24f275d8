"""Kernels write to memory that a learner owns, wherever the learner comes from.

joblib, Ray and dask unpickle with buffers that are read-only, and that stand where they please; C would write
to them in spite of it, or fault.
"""

import copy
import inspect
import pickle

import numpy as np
import pytest
from streams import needed, needed_once

import fasttrace as ft
from fasttrace.features import parse_rows
from fasttrace.learner import CLASSES, Learner


def readonly_round_trip(made):
    """What another process makes of it: protocol 5, each array in a read-only buffer that is not aligned."""
    buffers = []
    data = pickle.dumps(made, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[memoryview(bytes(4) + bytes(each.raw()))[4:] for each in buffers])


def arrays_of(made, name="", seen=None):
    """(place, array) of every array that hangs on an object of ours, however deep."""
    seen = set() if seen is None else seen
    if id(made) in seen:
        return
    seen.add(id(made))
    if isinstance(made, np.ndarray):
        yield name, made
    elif isinstance(made, dict):
        for key, each in made.items():
            yield from arrays_of(each, f"{name}[{key!r}]", seen)
    elif isinstance(made, (list, tuple)):
        for i, each in enumerate(made):
            yield from arrays_of(each, f"{name}[{i}]", seen)
    elif type(made).__module__.startswith("fasttrace") and not isinstance(made, type):
        slots = [slot for kind in type(made).__mro__ for slot in getattr(kind, "__slots__", ())]
        for slot in [*vars(made)] if hasattr(made, "__dict__") else slots:
            yield from arrays_of(getattr(made, slot, None), f"{name}.{slot}", seen)


def assert_owned(made, *others):
    """Each array is writable, at a multiple of 64 bytes or part of one that is, and not another object's."""
    arrays = list(arrays_of(made))
    aligned = [array for _, array in arrays if array.ctypes.data % 64 == 0]
    for place, array in arrays:
        assert array.flags.writeable, f"{place} is read-only"
        # The features of the present state are only read.
        at_home = (
            "._x." in place or "arrived" in place or any(np.shares_memory(array, each) for each in aligned)
        )
        assert at_home or not array.size, f"{place} is not aligned"
        for other in others:
            for theirs, each in arrays_of(other):
                assert not np.shares_memory(array, each), f"{place} is {theirs} of another"


# ---- linear learners ---------------------------------------------------------------------------------------

PUBLIC = [each for name in ft.__all__ if isinstance(each := getattr(ft, name), type)]
LINEAR = [each for each in PUBLIC if issubclass(each, Learner)]
N = 24


def linear(cls, backend):
    """A learner of the class that has learned, and, if it acts, is in the midst of an episode."""
    if cls is ft.Horde:
        return horde(backend)
    if cls is ft.Population:
        return population(backend)
    names = inspect.signature(cls).parameters
    wanted = {"n_features": N, "n_actions": 3, "alpha": 0.1, "alpha_actor": 0.1, "beta": 0.1, "seed": 0}
    learner = cls(**{name: each for name, each in wanted.items() if name in names}, backend=backend)
    x = np.arange(20, dtype=np.int32).reshape(10, 2)
    if hasattr(learner, "start"):
        learner.start(x[0])
        for t in range(1, 9):
            learner.step(1.0, x[t])
    else:
        for t in range(9):
            learner.update(x[t], 1.0, x[t + 1], **needed_once(learner))
    return learner


def horde(backend):
    """One that has learned, and has lost a prediction and won two."""
    made = ft.Horde(N, 9, "GTD", alpha=0.1, beta=0.1, gamma=np.linspace(0.5, 1, 9), backend=backend)
    made.learn(np.arange(20, dtype=np.int32).reshape(10, 2), np.ones((9, 9)))
    made.remove(3)
    for gamma in (0.5, 1.0):
        made.add(alpha=0.1, beta=0.1, gamma=gamma)
    return made


def population(backend):
    """Three that have learned."""
    made = ft.Population(ft.TrueOnlineTD, N, 3, alpha=[0.1, 0.2, 0.3], backend=backend)
    made.learn(np.arange(60, dtype=np.int32).reshape(3, 10, 2) % N, np.ones((3, 9)))
    return made


def go_on(learner):
    x = np.array([[1, 3], [2, 1], [3, 3]], np.int32)
    if isinstance(learner, ft.Horde):
        learner.learn(x, np.ones((2, learner.m)))
        learner.update(x[0], np.ones(learner.m), x[2])
    elif isinstance(learner, ft.Population):
        learner.learn(np.stack([x] * len(learner)), np.ones((len(learner), 2)))
    elif hasattr(learner, "start"):
        learner.step(1.0, x[0])
        learner.truncate(1.0, x[1])
        learner.start(x[2])
    else:
        learner.learn(x, np.ones(2), **needed(learner, 3))
        learner.update(x[0], 1.0, x[2], **needed_once(learner))
    learner.reset()
    return learner.weights


def test_every_linear_learner_is_looked_at():
    """Whatever derives from Learner, but for bases and learners with networks, is in LINEAR."""
    ours = [each for each in CLASSES.values() if each.__module__.startswith("fasttrace.")]
    leaves = {each for each in ours if not set(each.__subclasses__()) & set(ours)}
    assert {each for each in leaves if not each.__module__.startswith("fasttrace.neural")} <= set(LINEAR)


@pytest.mark.parametrize("backend", ["numpy", "numba", "c"])
@pytest.mark.parametrize("cls", LINEAR, ids=lambda each: each.__name__)
def test_linear_learners_own_their_memory(cls, backend, tmp_path):
    """New, unpickled from read-only buffers, copied, loaded, or moved to another backend; and they go on."""
    learner = linear(cls, backend)
    assert_owned(learner)
    learner.save(tmp_path / "learner.npz")
    others = [
        readonly_round_trip(learner),
        copy.copy(learner),
        copy.deepcopy(learner),
        ft.load(tmp_path / "learner.npz"),
    ]
    moved = copy.deepcopy(learner).to("numpy").to(backend)
    for other in (*others, moved):
        assert_owned(other, learner)
    expected = go_on(learner)
    for other in others:
        np.testing.assert_array_equal(go_on(other), expected)
    go_on(moved)


@pytest.mark.parametrize("backend", ["numpy", "numba", "c"])
def test_tile_coders_own_their_memory(backend):
    """A coder that was unpickled codes as it did."""
    coder = ft.TileCoder((0.0, 0.0), (1.0, 1.0), 8, 4, backend=backend)
    states = np.random.default_rng(0).random((5, 2))
    again = readonly_round_trip(coder)
    np.testing.assert_array_equal(again(states), coder(states))
    bounds = {id(again.low), id(again.high)}  # kernels only read them, and so may no one write to them
    for place, array in arrays_of(again):
        assert array.flags.writeable or id(array) in bounds or array.base is not None, place


def test_memory_that_cannot_be_written_to_is_refused_by_c():
    """However it came there: an error, never a write."""
    handle = pytest.importorskip("fasttrace.backends.c.linear").handle
    learner = ft.TD(4, alpha=0.1, backend="c")
    learner._trace.handle = None
    learner._trace.rows.flags.writeable = False
    before = learner._trace.rows.copy()
    with pytest.raises(ValueError, match="read-only"):
        handle(learner._trace)
    with pytest.raises(ValueError, match="read-only"):
        learner.learn(np.array([[0], [1]]), [1.0])
    np.testing.assert_array_equal(learner._trace.rows, before)
    assert parse_rows(np.array([[0], [1]]), 4).count == 2
