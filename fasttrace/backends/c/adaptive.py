"""Step sizes that learn, in C: SwiftTD, SwiftSarsa, TIDBD and Autostep; csrc/fasttrace.h says what each call
does.

Every function takes the learner's ListedSteps first.  A kernel that refuses its input has changed nothing;
what was wrong is then looked up and raised here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arguments import real
from ...features import Row, Rows, Stream, as_int32, is_one_hot
from . import ffi, lib, refuse
from .calls import new_call
from .linear import INT32S, NULL, c_rows, doubles_of, int32s_of, room_of, writable

KINDS = {"swift": lib.FT_SWIFT, "tidbd": lib.FT_TIDBD, "autostep": lib.FT_AUTOSTEP}


def handle(owner: Any) -> Any:
    """ft_adaptive * of a ListedSteps: its words are the struct, its pointers set once and never saved."""
    if owner.handle is None:
        pointer = writable("ft_adaptive *", owner.words)
        pointer.rows = writable("ft_adaptive_row *", owner.rows)
        for name in ("p", "inverse", "fresh", "x"):
            setattr(pointer, name, writable("double *", getattr(owner, name)))
        for name in ("list", "active"):
            setattr(pointer, name, writable("int32_t *", getattr(owner, name)))
        owner.handle = pointer
    return owner.handle


def _run(owner: Any, stream: Stream) -> np.ndarray:
    deltas = stream.room()
    keep: list[Any] = []
    c = c_rows(stream.rows, keep)
    c.steps, c.n_actions = stream.steps, stream.n_actions
    for name in ("rewards", "gammas", "lambdas"):
        array = getattr(stream, name)
        keep.append(doubles_of(array))
        setattr(c, name, keep[-1])
        if name != "rewards":
            setattr(c, name[:-1] + "_stride", len(array) > 1)
    keep.append(int32s_of(stream.actions))
    c.actions = keep[-1]
    refuse(lib.ft_adaptive_run(handle(owner), KINDS[owner.kind], c, room_of(deltas)), stream.rows)
    return deltas


# The kind that the owner is of is all that differs.
swift_td_run = swift_sarsa_run = tidbd_run = autostep_run = _run


def call(owner: Any, kernel: str, kind: str, target: str, **fields: Any) -> Any:
    """See linear.call."""
    return new_call("adaptive", owner, handle(owner), kind=KINDS[kind], **fields)


def quick_step(owner: Any) -> Callable[..., float | None]:
    """A step for the usual input, binary int32 features of states, without a copy.

    It returns None, having changed nothing, for whatever is not of that form or not allowed.
    """
    pointer, number, run = handle(owner), KINDS[owner.kind], lib.ft_adaptive_step
    out, swift = ffi.new("double *"), owner.kind == "swift"
    from_buffer, int32s, null, ok = ffi.from_buffer, INT32S, NULL, lib.FT_OK
    array, int32, n = np.ndarray, np.dtype(np.int32), owner.n
    # x_next is most often the next step's x: its pointer is taken once.  Held here it cannot be resized, but
    # by refcheck=False; its dtype can be set.
    seen: Any = np.empty(0, np.int32)  # nobody has it
    seen_pointer: Any = None
    seen_k = 0

    def step(x: Any, x_next: Any, reward: float, gamma: float, lambda_: float) -> float | None:
        nonlocal seen, seen_pointer, seen_k
        try:
            # Not only for numbers that are none: C takes True for 1.
            if not reward.__class__ is gamma.__class__ is lambda_.__class__ is float:
                others = (reward, gamma, lambda_)
                reward, gamma, lambda_ = (
                    each if isinstance(each, float) else real("", each) for each in others
                )
            if x is seen and x.dtype is int32 and len(x) == seen_k:
                p, k = seen_pointer, seen_k
            elif type(x) is array and x.dtype is int32 and x.ndim == 1:
                p, k = from_buffer(int32s, x), x.size
                if k == n and is_one_hot(x, n):
                    return None
            else:
                narrow = as_int32(x)
                return None if narrow is x else step(narrow, as_int32(x_next), reward, gamma, lambda_)
            if type(x_next) is array and x_next.dtype is int32 and x_next.ndim == 1:
                q, k_next = from_buffer(int32s, x_next), x_next.size
            else:
                return None
            if k_next == n and is_one_hot(x_next, n):
                return None
            if run(
                pointer, number, k, p, null, 0, k_next, q, null, 0, reward, gamma, lambda_, out
            ) != ok:  # fmt: skip
                return None
        except (TypeError, ValueError, BufferError):
            return None
        seen, seen_pointer, seen_k = x_next, q, k_next
        if swift:
            owner.arrived = x_next.tobytes()
        return out[0]

    return step


def quick_control_step(owner: Any, kind: str, target: str) -> Callable[..., None]:
    """A step from row and action to row and action, all of them checked; a column of weights an action.

    What other learners take besides, alpha and more, is not used.
    """
    pointer, number, run, out = handle(owner), KINDS[owner.kind], lib.ft_adaptive_step, ffi.new("double *")

    def step(
        x: Row, action: int, x_next: Row, action_next: int,
        reward: float, gamma: float, lambda_: float, *more: Any,
    ) -> None:  # fmt: skip
        status = run(
            pointer, number,
            len(x.indices), int32s_of(x.indices), doubles_of(x.values), action,
            len(x_next.indices), int32s_of(x_next.indices), doubles_of(x_next.values), action_next,
            reward, gamma, lambda_, out,
        )  # fmt: skip
        if status:
            refuse(status)

    return step


def values(owner: Any, rows: Rows) -> np.ndarray:
    """w.x for every row, (rows, columns)."""
    out = np.empty((rows.count, owner.columns))
    keep: list[Any] = []
    refuse(lib.ft_adaptive_values(handle(owner), c_rows(rows, keep), rows.count, room_of(out)), rows)
    return out


def reset(owner: Any) -> None:
    lib.ft_adaptive_reset(handle(owner), KINDS[owner.kind])
