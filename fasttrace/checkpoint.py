"""Checkpoints: a state dict in one .npz file that is whole or is refused.

The file holds the arrays and a JSON header with the format's version and a checksum over everything else.
It is written beside its place, synced, and renamed: a crash leaves the old file or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .errors import CheckpointError

FORMAT = 1
_HEADER = "header"


def write(path: str | os.PathLike[str], state: dict[str, Any]) -> None:
    """Write a state dict whose "arrays" is a flat dict of arrays and whose rest is JSON."""
    path = Path(path)
    arrays = {name: np.asarray(array) for name, array in state["arrays"].items()}
    rest = {name: value for name, value in state.items() if name != "arrays"}
    body = json.dumps(rest, sort_keys=True)
    header = json.dumps({"format": FORMAT, "state": body, "checksum": _checksum(body, arrays)})
    contents: dict[str, Any] = {_HEADER: np.frombuffer(header.encode(), np.uint8), **arrays}
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name[:40], suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The state dict of a checkpoint.  Errors: CheckpointError; FileNotFoundError where there is no file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            contents = {name: file[name] for name in file.files}
        header = json.loads(contents.pop(_HEADER).tobytes())
        version = int(header["format"])  # first of all: what else there is, a newer format may say otherwise
        if version <= FORMAT:
            body, checksum = header["state"], header["checksum"]
            whole = checksum == _checksum(body, contents)
            state = dict(json.loads(body))
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # zipfile, zlib, struct, json and NumPy each have their own for damaged files
        raise CheckpointError(f"{path}: not a checkpoint of fasttrace, or damaged ({error})") from error
    if version > FORMAT:
        raise CheckpointError(
            f"{path}: written in format {version} by a newer fasttrace; this one reads up to {FORMAT}"
        )
    if not whole:
        raise CheckpointError(f"{path}: damaged (its checksum does not match)")
    return {**state, "arrays": contents}


def _checksum(body: str, arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.blake2b(body.encode(), digest_size=16)
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
