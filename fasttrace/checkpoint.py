"""Checkpoints: a state dict in one .npz file that is whole or is refused.

The file holds the arrays, as they are, and a JSON header with the format's version and a checksum over
everything else.  It is written beside its place, synced, and renamed: a crash leaves the old file or the new
one, and what it leaves behind is cleared away by the next save.  What a file claims of its sizes is held
against its own size before anything is read.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import re
import secrets
import stat
import zipfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from .errors import CheckpointError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

FORMAT = 1
_HEADER = "header"

Target = str | os.PathLike[str] | IO[bytes]


def write(target: Target, state: dict[str, Any]) -> None:
    """Write a state dict whose "arrays" is a flat dict of arrays and whose rest is JSON.

    target  a path, or a binary file that is open for writing

    Errors: OSError; TypeError for a file that takes text.
    """
    arrays = {name: np.asarray(array) for name, array in state["arrays"].items()}
    rest = {name: value for name, value in state.items() if name != "arrays"}
    body = json.dumps(rest, sort_keys=True)
    header = json.dumps({"format": FORMAT, "state": body, "checksum": _checksum(body, arrays)})
    contents: dict[str, Any] = {_HEADER: np.frombuffer(header.encode(), np.uint8), **arrays}
    if not isinstance(target, (str, os.PathLike)):
        _write_into(target, contents)
    else:
        _replace(_place_of(target), contents)


def _write_into(file: IO[bytes], contents: dict[str, Any]) -> None:
    """All of it, from where the file stands."""
    if not hasattr(file, "write"):
        raise TypeError(f"path: got {type(file).__name__}, expected a path or an open binary file")
    if isinstance(file, io.TextIOBase):
        raise TypeError(
            "path: got a file that is open for text, expected a path or one that is open for bytes"
        )
    buffer = io.BytesIO()
    np.savez(buffer, **contents)
    rest = buffer.getbuffer()
    while rest:
        written = file.write(rest)
        rest = rest[len(rest) if written is None else written :]
    if hasattr(file, "flush"):
        file.flush()  # a full disk is told here


# ---- a file in the place of another ----------------------------------------------------------------------


def _place_of(path: str | os.PathLike[str]) -> Path:
    """Where the file itself is, or will be: links are followed.  OSError for what is no file."""
    place = Path(os.path.realpath(path))
    with suppress(FileNotFoundError):
        mode = os.stat(place).st_mode  # OSError for links that lead in a circle
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(
                errno.EISDIR, "a folder, expected a file to write a checkpoint to", str(path)
            )
        if not stat.S_ISREG(mode):
            what = (
                "a device, pipe or socket, no file that a checkpoint could replace; open it and save to that"
            )
            raise OSError(errno.EINVAL, what, str(path))
        if not os.access(place, os.W_OK):
            raise PermissionError(errno.EACCES, "may not be written to", str(path))
    return place


def _replace(place: Path, contents: dict[str, Any]) -> None:
    """The new file has the mode and the owner of the old one, or what the umask leaves."""
    _clear(place)
    descriptor, temporary = _beside(place)
    with ExitStack() as held:
        if fcntl:  # a copy keeps the lock until the file has its name; Windows renames no open file
            held.callback(os.close, os.dup(descriptor))
        try:
            with os.fdopen(descriptor, "wb") as file:
                with suppress(FileNotFoundError):
                    _take_after(os.stat(place), descriptor)
                np.savez(file, **contents)
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, place)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    _sync_folder(place.parent)


def _temporary_names(place: Path) -> str:
    """What the names of its temporary files begin with, and those of no other file: short, and told apart."""
    digest = hashlib.blake2b(os.fsencode(place.name), digest_size=4).hexdigest()
    return f"{place.name[:40]}.{digest}-"


def _beside(place: Path) -> tuple[int, Path]:
    """A new file beside it, open and held: no other save takes it for one left behind."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = place.with_name(f"{_temporary_names(place)}{secrets.token_hex(4)}.tmp")
        descriptor = os.open(temporary, flags, 0o666)  # and the umask
        if fcntl:
            with suppress(OSError):  # not every file system has locks; none is cleared away there
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not os.fstat(descriptor).st_nlink:  # cleared away before it was held
                os.close(descriptor)
                continue
        return descriptor, temporary


def _clear(place: Path) -> None:
    """Remove what saves to this place have left behind when they were killed."""
    pattern = re.compile(re.escape(_temporary_names(place)) + r"[0-9a-f]{8}\.tmp")
    with suppress(OSError):
        for entry in [each for each in os.scandir(place.parent) if pattern.fullmatch(each.name)]:
            with suppress(OSError):
                descriptor = os.open(entry.path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
                try:
                    if fcntl:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError: somebody is at it
                        os.unlink(entry.path)
                finally:
                    os.close(descriptor)
                if not fcntl:
                    os.unlink(entry.path)  # OSError: somebody is at it


def _take_after(old: os.stat_result, descriptor: int) -> None:
    """Mode and owner, as far as this user may give them."""
    if not hasattr(os, "fchown"):
        return
    new = os.fstat(descriptor)
    for owner in ((-1, old.st_gid), (old.st_uid, -1)):
        if owner not in ((-1, new.st_gid), (new.st_uid, -1)):
            with suppress(OSError):
                os.fchown(descriptor, *owner)
    with suppress(OSError):  # file systems that have no modes
        os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _sync_folder(folder: Path) -> None:
    """The new name too is to last; the file itself is whole without."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# ---- reading -----------------------------------------------------------------------------------------------


def read(source: Target) -> dict[str, Any]:
    """The state dict of a checkpoint.

    source  a path, or a binary file that is open for reading

    Errors: CheckpointError; FileNotFoundError, PermissionError; TypeError for what is neither.
    """
    name = name_of(source)
    if not isinstance(source, (str, os.PathLike)) and not hasattr(source, "read"):
        raise TypeError(f"path: got {type(source).__name__}, expected a path or an open binary file")
    try:
        with ExitStack() as opened:
            if isinstance(source, (str, os.PathLike)):
                file: IO[bytes] = opened.enter_context(open(source, "rb"))
            else:
                file = source if source.seekable() else io.BytesIO(source.read())
            archive = opened.enter_context(zipfile.ZipFile(file))
            size = file.seek(0, os.SEEK_END)
            header = json.loads(_array(archive, _HEADER, size).tobytes())
            version = int(
                header["format"]
            )  # first of all: what else there is, a newer format may say otherwise
            if version <= FORMAT:
                body, checksum = header["state"], header["checksum"]
                state = dict(json.loads(body))
                contents = _arrays(archive, size)
                whole = checksum == _checksum(body, contents)
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # zipfile, zlib, struct, json and NumPy each have their own for damaged files
        raise CheckpointError(f"{name}: not a checkpoint of fasttrace, or damaged ({error})") from error
    if version > FORMAT:
        raise CheckpointError(
            f"{name}: written in format {version} by a newer fasttrace; this one reads up to {FORMAT}"
        )
    if not whole:
        raise CheckpointError(f"{name}: damaged (its checksum does not match)")
    return {**state, "arrays": contents}


def name_of(source: Target) -> str:
    """For messages: the path, or what kind of file it is."""
    return os.fspath(source) if isinstance(source, (str, os.PathLike)) else f"<{type(source).__name__}>"


def _arrays(archive: zipfile.ZipFile, size: int) -> dict[str, np.ndarray]:
    """All but the header."""
    members = archive.infolist()
    if sum(member.file_size for member in members) > size:
        raise ValueError("its arrays are said to be larger than the file")
    names = [member.filename.removesuffix(".npy") for member in members]
    return {name: _array(archive, name, size) for name in names if name != _HEADER}


def _array(archive: zipfile.ZipFile, name: str, size: int) -> np.ndarray:
    """One array of a file of this size.  Ours are not compressed: none can be larger than the file."""
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type != zipfile.ZIP_STORED or member.file_size > size:
        raise ValueError(f"{name}: compressed, or said to be larger than the file")
    file = io.BytesIO(archive.read(member))
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[np.lib.format.read_magic(file)]
    shape, columns_first, dtype = read_header(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
        raise ValueError(f"{name}: no array of {dtype} of shape {shape}, or not as large")
    order: Literal["F", "C"] = "F" if columns_first else "C"
    return np.ndarray(shape, dtype, file.getbuffer(), file.tell(), order=order).copy(order)


def _checksum(body: str, arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.blake2b(body.encode(), digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
