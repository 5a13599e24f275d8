"""Many agents that learn from a stream each, on a GPU: csrc/learn.cu, a thread an agent."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...features import Stream
from ...layout import KINDS, POLICIES, TARGETS
from ...policy import Method
from . import device
from .crowd import THREADS, Crowd, blocks

# ft_stream: all fields are of 8 bytes.
_INTEGERS = ("steps", "k", "shared", "n_actions")
_SERIES = ("rewards", "gammas", "lambdas", "rhos", "alphas")
_FIELDS = {
    **dict.fromkeys((*_INTEGERS, "indices", "values", "indptr", "actions", *_SERIES), np.int64),
    **dict.fromkeys(("gamma_stride", "lambda_stride", "rho_stride", "alpha_stride"), np.int64),
    **dict.fromkeys(("interests", "sigmas", "interest_stride", "sigma_stride", "target", "policy"), np.int64),
    "parameter": np.float64,
    **dict.fromkeys(("pi", "q", "actor_lambdas", "actor_alphas", "actor_lambda_stride"), np.int64),
    **dict.fromkeys(("actor_alpha_stride", "checked", "pis", "pi_stride"), np.int64),
    **dict.fromkeys(("c_bar", "rho_bar", "psi", "beta"), np.float64),
}
STREAM = np.dtype(list(_FIELDS.items()))
_STRIDES = ("gammas", "lambdas", "rhos", "alphas", "interests", "sigmas", "pis")
_PROBLEM = struct.Struct("=2q 7q 2q")


def run(crowd: Crowd, methods: Sequence[Method], streams: Sequence[Stream]) -> list[np.ndarray]:
    """TD errors of each; the agents of the crowd are changed.  The streams are checked already."""
    one, N = methods[0], len(methods)
    structs, parts, size = np.zeros(N, STREAM), [], 0
    room = max(stream.steps for stream in streams)

    def place(array: Any) -> int:
        """Where it will be, from the beginning of all."""
        nonlocal size
        if array is None:
            return -1
        parts.append((size, np.ascontiguousarray(array)))
        begin, size = size, size + -(-parts[-1][1].nbytes // 16) * 16
        return begin

    work = 2 * max(streams[0].n_actions, one.trace.width)
    for c, method, stream in zip(structs, methods, streams, strict=True):
        for name in _INTEGERS:
            c[name] = getattr(stream, name)
        for name in ("indices", "values", "indptr", "actions", *_SERIES, "interests", "sigmas", "pis"):
            array = getattr(stream, name)
            c[name] = place(array)
            if name in _STRIDES and array is not None:
                c[f"{name[:-1]}_stride"] = len(array) > 1
        c["pi"], c["q"] = place(stream.policy), place(np.zeros(work))
        c["target"], c["checked"] = TARGETS[method.target].value, stream.rows.checked
        c["policy"], c["parameter"] = POLICIES[stream.own[0]], stream.own[1]
        for name, value in stream.options._asdict().items():
            c[name] = value
    blob = np.zeros(size, np.uint8)
    for begin, array in parts:
        blob[begin : begin + array.nbytes] = array.reshape(-1).view(np.uint8)

    memory, deltas = crowd.memory, np.empty((N, room))
    base = memory.put("arrays", blob)
    for name in ("indices", "values", "indptr", "actions", *_SERIES, "interests", "sigmas", "pis", "pi", "q"):
        there = structs[name] >= 0
        structs[name] = np.where(there, structs[name] + base, 0)
    task = (
        "FT_STATES" if streams[0].actions is None else "FT_SARSA" if one.target == "taken" else "FT_ACTIONS"
    )
    macros = (
        *crowd.row_type(),
        f"FT_KIND={KINDS[one.kind].value}",
        f"FT_WIDTH={one.trace.width}",
        f"FT_TASK={task}",
    )
    own = memory.put("streams", structs), memory.room("deltas", deltas.nbytes)
    problem = _PROBLEM.pack(N, room, *crowd.go(), *own)
    device.launch("learn", macros, "learn", 0, 0, blocks(N), THREADS, problem)
    memory.get("deltas", deltas)
    return [row[: stream.steps] for row, stream in zip(deltas, streams, strict=True)]
