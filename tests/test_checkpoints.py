"""Checkpoints as files: what they replace and leave alone, what is cleared away, and files that lie."""

import contextlib
import copy
import io
import json
import os
import signal
import stat
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from states import same, taught
from streams import ALGORITHMS, EVERY, needed_once

import fasttrace as ft
from fasttrace import checkpoint

TD = ALGORITHMS["td_accumulating"]
posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and locks are POSIX's")


@pytest.fixture(autouse=True)
def _in_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def learner():
    return taught(TD, "numpy")


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


# ---- what is there already ----


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_mode_that_open_gives(mask, learner):
    """As any other file that is written under this umask."""
    before = os.umask(mask)
    try:
        learner.save("learner.npz")
    finally:
        os.umask(before)
    assert mode_of("learner.npz") == 0o666 & ~mask


@posix
@pytest.mark.parametrize("mode", [0o664, 0o600, 0o640])
def test_a_file_that_is_replaced_keeps_its_mode(mode, learner):
    """Its mode and its owner, whatever the umask."""
    learner.save("learner.npz")
    os.chmod("learner.npz", mode)
    owner = os.stat("learner.npz").st_uid, os.stat("learner.npz").st_gid
    if os.geteuid() == 0:
        owner = 12345, 23456
        os.chown("learner.npz", *owner)
    learner.save("learner.npz")
    assert mode_of("learner.npz") == mode
    assert (os.stat("learner.npz").st_uid, os.stat("learner.npz").st_gid) == owner
    assert same(ft.load("learner.npz"), learner)


@posix
def test_links_are_followed(learner):
    """A link stays one, to a file that is there or that is not yet; the file is in the link's place."""
    os.mkdir("store")
    for name, there in (("store/one.npz", True), ("store/two.npz", False)):
        if there:
            taught(TD, "numpy", stop=3).save(name)
            os.chmod(name, 0o640)
        os.symlink(name, "link")
        os.symlink("link", "link to the link")
        learner.save("link to the link")
        assert os.readlink("link") == name
        assert os.readlink("link to the link") == "link"
        assert not os.path.islink(name)
        assert same(ft.load(name), learner)
        assert not there or mode_of(name) == 0o640
        os.unlink("link")
        os.unlink("link to the link")
    assert sorted(os.listdir("store")) == ["one.npz", "two.npz"]


@posix
def test_what_is_no_file_is_not_replaced(learner):
    """Folders, pipes, devices, circles of links: the error says what it is, and they stay what they are."""
    os.mkdir("folder")
    os.mkfifo("pipe")
    os.symlink("circle", "circle")
    os.symlink("pipe", "link")
    for path, words in (
        ("folder", "a folder"), ("pipe", "a device, pipe or socket"), ("link", "a device, pipe or socket"),
        ("circle", "symbolic links"), (os.devnull, "a device, pipe or socket"),
    ):  # fmt: skip
        before = os.lstat(path)
        with pytest.raises(OSError, match=words) as caught:
            learner.save(path)
        assert caught.value.filename in (path, os.path.realpath(path))
        assert (os.lstat(path).st_mode, os.lstat(path).st_ino) == (before.st_mode, before.st_ino)
    assert sorted(os.listdir()) == ["circle", "folder", "link", "pipe"]
    with pytest.raises(ft.CheckpointError, match="folder"):
        ft.load("folder")


@posix
@pytest.mark.skipif("getattr(os, 'geteuid', int)() == 0", reason="root may write to any file")
def test_a_file_that_may_not_be_written_to_is_not_replaced(learner):
    """Read-only is what its owner has said, though the folder would let it be replaced."""
    learner.save("learner.npz")
    os.chmod("learner.npz", 0o444)
    with pytest.raises(PermissionError):
        learner.save("learner.npz")


# ---- what is left behind ----

KILLED = """
import os, signal, sys
import fasttrace as ft

os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
ft.TD(3, alpha=0.1, backend="numpy").save(sys.argv[1])
"""


@posix
def test_what_a_kill_leaves_behind_is_cleared_away(learner):
    """By the next save to the same place, and by no other; other files are not touched."""
    for name in ("learner.npz", "other.npz"):
        done = subprocess.run([sys.executable, "-c", KILLED, name], check=False)
        assert done.returncode == -signal.SIGKILL
    left = sorted(os.listdir())
    assert len(left) == 2
    assert all(name.endswith(".tmp") for name in left)
    mine = ["learner.npz.tmp", "learner.npz.01234567.tmp", "learner.npzabcdefgh.tmp"]
    for name in mine:
        open(name, "w").close()
    learner.save("learner.npz")
    assert sorted(os.listdir()) == sorted(["learner.npz", *mine, left[1]])
    assert same(ft.load("learner.npz"), learner)
    learner.save("other.npz")
    assert sorted(os.listdir()) == sorted(["learner.npz", "other.npz", *mine])


@posix
def test_a_save_in_progress_is_left_alone(learner, monkeypatch):
    """Two processes that save to one place: neither clears away what the other is writing."""
    savez, inner = np.savez, []

    def saves_meanwhile(file, **arrays):
        if not inner:
            inner.append(1)
            taught(TD, "numpy", stop=3).save("learner.npz")
        savez(file, **arrays)

    monkeypatch.setattr(np, "savez", saves_meanwhile)
    learner.save("learner.npz")
    assert os.listdir() == ["learner.npz"]
    assert same(ft.load("learner.npz"), learner)


@posix
def test_cleared_away_before_it_was_held(learner, monkeypatch):
    """The moment between a temporary file's making and its lock: it is made anew."""
    opened, taken = os.open, []

    def takes_the_first(path, flags, *mode):
        descriptor = opened(path, flags, *mode)
        if str(path).endswith(".tmp") and not taken:
            taken.append(path)
            os.unlink(path)
        return descriptor

    monkeypatch.setattr(os, "open", takes_the_first)
    learner.save("learner.npz")
    assert taken
    assert os.listdir() == ["learner.npz"]
    assert same(ft.load("learner.npz"), learner)


@posix
def test_file_and_folder_are_synced(learner, monkeypatch):
    """First what is in the file, then, when it has its name, the folder; that one may be unable to."""
    calls = []

    def fsync(descriptor):
        calls.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        if calls[-1]:
            assert os.path.exists("learner.npz")
            raise OSError("this file system syncs no folders")

    monkeypatch.setattr(os, "fsync", fsync)
    learner.save("learner.npz")
    assert calls == [False, True]


# ---- open files ----


class Trickle(io.RawIOBase):
    """A raw file that takes a few bytes at a time, as sockets and pipes may."""

    def __init__(self):
        self.written = bytearray()

    def writable(self):
        return True

    def write(self, view):
        self.written += bytes(view[:1000])
        return min(1000, len(view))


def test_open_files_are_written_to_and_read(learner):
    """Buffers, files, and files that cannot seek; what stood before stays, and they are not closed."""
    buffer = io.BytesIO()
    learner.save(buffer)
    assert not buffer.closed
    for where in (len(buffer.getvalue()), 0):
        buffer.seek(where)
        assert same(ft.load(buffer), learner)
        assert not buffer.closed
    with open("learner.npz", "w+b") as file:
        file.write(b"before")
        learner.save(file)
        assert same(ft.load(file), learner)
        assert not file.closed
    trickle = Trickle()
    learner.save(trickle)
    assert same(ft.load(io.BytesIO(bytes(trickle.written))), learner)
    unseekable = io.BytesIO(buffer.getvalue())
    unseekable.seekable = lambda: False
    assert same(ft.load(unseekable), learner)


def test_what_is_no_file_to_write_to_or_read(learner):
    """A TypeError that says what is; of files for text before anything has been written."""
    text = io.StringIO()
    for target, word in ((text, "text"), (3, "int"), (None, "NoneType"), (b"bytes", "bytes")):
        with pytest.raises(TypeError, match=f"path: got .*{word}"):
            learner.save(target)
    assert text.getvalue() == ""
    for source in (3, None, b"bytes"):
        with pytest.raises(TypeError, match="path: got"):
            ft.load(source)
    for empty in (io.BytesIO(), io.StringIO("text")):
        with pytest.raises(ft.CheckpointError, match=type(empty).__name__):
            ft.load(empty)


@pytest.mark.skipif("not os.path.exists('/dev/full')", reason="no full device")
def test_a_full_disk_is_told_by_an_open_file_too(learner):
    """What the file has buffered is written before save returns."""
    file = io.BufferedWriter(io.FileIO("/dev/full", "w"))
    with pytest.raises(OSError, match="No space left"):
        learner.save(file)
    with contextlib.suppress(OSError):
        file.close()


# ---- tile coders ----


@pytest.mark.parametrize("options", [{}, {"wrap": (1,), "memory": 4096}], ids=str)
def test_a_tile_coder_is_saved(options):
    """All that it is, to the bit; its class by another name is no learner's."""
    coder = ft.TileCoder((-1.2, -0.07), (0.6, 0.1 + 0.2), (8, 5), 4, **options)
    coder.save("coder.npz")
    for backend in (None, "numpy"):
        loaded = ft.load("coder.npz", backend=backend)
        assert loaded == coder
        assert loaded.backend == backend or coder.backend
        states = np.random.default_rng(0).uniform(-1.5, 1.0, (50, 2))
        np.testing.assert_array_equal(loaded(states), coder(states))
    assert repr(ft.load("coder.npz")) == repr(coder)
    buffer = io.BytesIO()
    coder.save(buffer)
    assert ft.load(buffer) == coder


# ---- files that lie ----


def file_of(state, arrays, **more):
    """A checkpoint, whole and with its checksum; more members as they are."""
    body = json.dumps(state)
    header = {"format": 1, "state": body, "checksum": checkpoint._checksum(body, arrays)}
    file = io.BytesIO()
    np.savez(file, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays, **more)
    return file


def parts(learner):
    """Its state and its arrays, as they come out of a file."""
    file = io.BytesIO()
    learner.save(file)
    state = checkpoint.read(file)
    return state, state.pop("arrays")


def linear(name):
    algorithm = {each.learner: each for each in EVERY.values()}[name]
    sizes = (3, 2) if algorithm.control else (3,)
    made = getattr(ft, name)(*sizes, alpha=0.1, backend="numpy", **algorithm.options)
    if algorithm.control:
        made.start([0])
        made.step(1.0, [2])
    else:
        made.update([0], 1.0, [2], **needed_once(made))
    return made


def network(outputs):
    return ft.neural.MLP((2, 3, outputs), backend="numpy")


NETWORKS = {
    "NetworkTD": lambda: ft.neural.NetworkTD(network(2), alpha=0.1, gamma=0.9, lambda_=0.9),
    "NetworkSarsa": lambda: ft.neural.NetworkSarsa(network(2), alpha=0.1, gamma=0.9, lambda_=0.9),
    "StreamTD": lambda: ft.neural.StreamTD(2, hidden=(3,), backend="numpy"),
    **{
        name: lambda name=name: getattr(ft.neural, name)(2, 2, hidden=(3,), backend="numpy")
        for name in ("StreamQ", "StreamSarsa", "StreamAC", "QRC")
    },
    **{
        name: lambda name=name: getattr(ft.neural, name)(network(1), alpha=0.1, gamma=0.9, lambda_=0.9)
        for name in ("ForwardTD", "TDRC", "ExpectedTraceTD")
    },
}
SAVED = {
    **{each.learner: lambda name=each.learner: linear(name) for each in EVERY.values()},
    "LSTD": lambda: ft.LSTD(3, backend="numpy"),
    "GTD2 without lambda": lambda: ft.GTD2(3, alpha=0.1, beta=0.1, backend="numpy"),
    **{f"neural.{name}": make for name, make in NETWORKS.items()},
    "TileCoder": lambda: ft.TileCoder([0], [1], 8, 4, backend="numpy"),
}


def places(value, path=()):
    """The path to every entry of a header, nested ones too."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(value[key], (*path, key))


def changed(value, path, how):
    """A copy with another entry there, or with none."""
    value = copy.deepcopy(value)
    at = value
    for key in path[:-1]:
        at = at[key]
    if how:
        at[path[-1]] = how[0]
    else:
        del at[path[-1]]
    return value


@pytest.mark.parametrize("name", SAVED)
def test_whatever_a_header_says_it_is_a_learner_or_refused(name):
    """Each entry, taken out or made another: CheckpointError, or a learner that can be saved."""
    state, arrays = parts(SAVED[name]())
    refused = 0
    for path in places(state):
        for how in ((), (None,), (10**9,), ("x",)):
            file = file_of(changed(state, path, how), arrays)
            try:
                loaded = ft.load(file)
            except ft.CheckpointError:
                refused += 1
            else:
                loaded.save(io.BytesIO())
    assert refused > 10


@pytest.mark.parametrize("name", SAVED)
def test_whatever_arrays_there_are_it_is_a_learner_or_refused(name):
    """One is missing, of another length, or of another type; one more is always refused."""
    state, arrays = parts(SAVED[name]())
    for each, array in arrays.items():
        for other in (array.reshape(-1)[:-1], array.astype(str), array[None], None):
            wrong = {key: value for key, value in {**arrays, each: other}.items() if value is not None}
            with contextlib.suppress(ft.CheckpointError):
                ft.load(file_of(state, wrong)).save(io.BytesIO())
    with pytest.raises(ft.CheckpointError):
        ft.load(file_of(state, arrays | {"more": np.zeros(3)}))


def test_sizes_are_checked_before_memory_is_taken(monkeypatch):
    """A header that asks for gigabytes beside a few numbers: refused with both counts, nothing is made."""
    state, arrays = parts(linear("TD"))

    def none_is_made(*_, **__):
        raise AssertionError("a learner was made")

    monkeypatch.setattr(ft.TD, "__init__", none_is_made)
    state["options"]["n_features"] = 10**9
    with pytest.raises(ft.CheckpointError, match=r"arrays of \d+ numbers, its options ask for 1000000000"):
        ft.load(file_of(state, arrays))
    for kind, options in (
        (ft.Sarsa, {"n_features": 10**6, "n_actions": 10**6}),
        (ft.LSTD, {"n_features": 10**6}),
        (ft.neural.StreamQ, {"n_inputs": 10**5, "hidden": [10**5], "n_actions": 2}),
        (ft.neural.NetworkTD, {"network": {"sizes": [10**5, 10**5, 1]}}),
        (ft.neural.ForwardTD, {"network": {"sizes": [2, 1]}, "window": 2**31 - 2}),
    ):
        assert kind._entries(options) > 2**32


def test_a_network_without_a_network_is_refused():
    """The class alone makes no learner."""
    state, arrays = parts(NETWORKS["NetworkTD"]())
    del state["options"]["network"]
    with pytest.raises(ft.CheckpointError):
        ft.load(file_of(state, arrays))


def rewritten(file, changed=None, compression=zipfile.ZIP_STORED, *, times=1):
    """The checkpoint with another content of w.npy, each member compressed, the last listed so many times."""
    out = io.BytesIO()
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = changed if changed is not None and name == "w.npy" else old.read(name)
            new.writestr(name, content, compression if name in ("w.npy", "header.npy") else None)
        new.filelist += new.filelist[-1:] * (times - 1)
    return out


def npy(shape, descr="<f8"):
    """An .npy file that claims to be an array of this shape and type, and holds 8 bytes of it."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(8)


def test_what_would_unpack_to_more_than_the_file_is_not_unpacked():
    """Compressed arrays, an .npy header that claims another size, one stretch of the file listed often."""
    learner = ft.TD(1000, alpha=0.1, backend="numpy")
    good = io.BytesIO()
    learner.save(good)
    assert same(ft.load(rewritten(good)), learner)
    files = {
        "compressed": rewritten(good, npy((10**6 + 1,)) + bytes(8 * 10**6), zipfile.ZIP_DEFLATED),
        "compressed, and right": rewritten(good, None, zipfile.ZIP_DEFLATED),
        "another shape": rewritten(good, npy((10**12,))),
        "a negative shape": rewritten(good, npy((-1,))),
        "objects": rewritten(good, npy((1,), "|O")),
        "no array": rewritten(good, b"text"),
        "listed often": rewritten(good, times=1000),
    }
    for what, file in files.items():
        tracemalloc.start()
        with pytest.raises(ft.CheckpointError, match="not a checkpoint of fasttrace, or damaged"):
            ft.load(file)
        taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert taken < 2**20, what
