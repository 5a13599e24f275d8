"""Checkpoints that an earlier version wrote: each loads, and goes on learning as that version did.

tests/data/checkpoints_1.tar.xz holds files of format 1 for every learner and kind of trace, as C and as NumPy
save them, and what that version learned from there.  It stays as it is; for another format,
`python tests/test_old_checkpoints.py FILE` writes a new one.
"""

import io
import sys
import tarfile
from pathlib import Path

import neural_learners
import numpy as np
import pytest
from states import example, taught
from streams import BACKENDS, EVERY, learn

import fasttrace as ft

DATA = Path(__file__).parent / "data" / "checkpoints_1.tar.xz"
with tarfile.open(DATA) as file:
    THERE_WERE = list(dict.fromkeys(name.split("/")[0] for name in file.getnames()))
STOP = 25  # where the checkpoints were written, in streams of 40 steps


def _made():
    """(name, learner of a backend that has taken STOP steps) of every class."""
    for name, algorithm in EVERY.items():
        yield name, lambda backend, algorithm=algorithm: taught(algorithm, backend, stop=STOP)
    for solver in ("solve", "inverse"):
        yield f"lstd_{solver}", lambda backend, solver=solver: _lstd(solver, backend)
    for name, make in neural_learners.LEARNERS.items():
        yield name, lambda backend, make=make: _network(make, backend)


def _lstd(solver, backend):
    learner = ft.LSTD(12, solver=solver, backend=backend)
    learn(learner, example(EVERY["td_accumulating"]), 0, STOP)
    return learner


def _network(make, backend):
    learner = make(backend)
    neural_learners.learn(learner, 0, STOP)
    return learner


def _goes_on(name, learner):
    """What it does from there: the next TD errors, and its weights afterwards."""
    if name in neural_learners.LEARNERS:
        deltas = neural_learners.learn(learner, STOP)
    else:
        deltas = learn(learner, example(EVERY.get(name, EVERY["td_accumulating"])), STOP)
    return np.concatenate([np.ravel(each) for each in (deltas, learner.weights) if each is not None])


def _writers(name):
    """Linear learners have other arrays in the reference."""
    return ("c",) if name in neural_learners.LEARNERS else ("c", "numpy")


def _write(path):
    with tarfile.open(path, "w:xz") as file:
        for name, make in _made():
            for backend in _writers(name):
                _add(file, f"{name}/{backend}", make(backend), name)


def _add(file, place, learner, name):
    checkpoint, after = io.BytesIO(), io.BytesIO()
    learner.save(checkpoint)
    np.save(after, _goes_on(name, learner))
    for member, content in ((f"{place}.npz", checkpoint), (f"{place}.npy", after)):
        info = tarfile.TarInfo(member)
        info.size = content.tell()
        content.seek(0)
        file.addfile(info, content)


@pytest.fixture(scope="module")
def old():
    with tarfile.open(DATA) as file:
        return {member.name: io.BytesIO(file.extractfile(member).read()) for member in file}


def test_each_learner_is_there(old):
    """One of every class that there was."""
    assert {name.split("/")[0] for name in old} - {name for name, _ in _made()} == set()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("name", "wrote"), [(name, by) for name in THERE_WERE for by in _writers(name)])
def test_it_goes_on_as_it_did(name, wrote, backend, old):
    """To the bit where compiled code reads what compiled code wrote, the machine's exp and log aside.

    TD errors of traces without a step size inside are added up in another order than that version did.
    """
    checkpoint, after = (old[f"{name}/{wrote}.{each}"] for each in ("npz", "npy"))
    after.seek(0)
    got, want = _goes_on(name, ft.load(checkpoint, backend=backend)), np.load(after)
    if "numpy" not in (wrote, backend):
        exact = not any(word in name for word in ("actor", "StreamAC", "swift", "autostep", "tidbd"))
        exact = exact and not (name in EVERY and EVERY[name].stem == "linear" and not EVERY[name].folded)
        np.testing.assert_allclose(got, want, rtol=0, atol=0.0 if exact else 1e-13)
    else:
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-9 * max(1.0, np.abs(want).max()))


if __name__ == "__main__":
    _write(sys.argv[1])
