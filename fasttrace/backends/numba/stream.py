"""Rows of a stream, and the check of their indices; the twin of csrc/stream.h."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import features
from ...layout import BAD_ACTION, BAD_INDEX, OK, POLICIES, Options
from . import inner, kernel, refuse, verb
from .trace import BAD, N, Place

NO_INT32S, NO_INT64S, NO_DOUBLES = np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0)
_0 = np.uint64(0)
_1 = np.uint64(1)


class Rows(NamedTuple):
    """The rows of ft_stream as arrays; empty ones stand for NULL."""

    k: int
    shared: bool
    indices: NDArray[np.int32]
    values: NDArray[np.float64]
    indptr: NDArray[np.int64]


class Stream(NamedTuple):
    """ft_stream; gammas, lambdas, rhos and alphas of length 1 stand for equal entries."""

    steps: int
    rows: Rows
    n_actions: int
    actions: NDArray[np.int32]
    rewards: NDArray[np.float64]
    gammas: NDArray[np.float64]
    lambdas: NDArray[np.float64]
    rhos: NDArray[np.float64]
    alphas: NDArray[np.float64]
    interests: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    target: int
    policy: int
    parameter: float
    pi: NDArray[np.float64]
    q: NDArray[np.float64]
    pis: NDArray[np.float64]
    options: Options


@inner
def check_indices(t, indices, count):
    """OK and whether there is padding, or BAD_INDEX."""
    lowest, highest = np.int32(0), np.int32(-1)
    for i in range(count):
        lowest = min(lowest, indices[i])
        highest = max(highest, indices[i])
    if lowest >= -1 and highest < t.counters[N]:
        return OK, lowest < 0
    for i in range(count):
        if indices[i] < -1 or indices[i] >= t.counters[N]:
            t.counters[BAD] = indices[i]
            break
    return BAD_INDEX, False


@verb
def check_rows(t, rows, count):
    if rows.indptr.size:
        return check_indices(t, rows.indices, rows.indptr[count])
    return check_indices(t, rows.indices, rows.k if rows.shared else count * rows.k)


@kernel
def check_rows_kernel(t, rows, count):
    return check_rows(t, rows, count)


@kernel
def check_stream(t, rows, count, actions, n_actions):
    for i in range(actions.size):
        if actions[i] < 0 or actions[i] >= n_actions:
            return BAD_ACTION, False
    return check_rows(t, rows, count)


@verb
def place_of(rows, r, column, plain):
    """Where row r stands."""
    k = np.uint64(rows.k)
    at = r * k
    if plain:
        return Place(at, at, k, column)
    if rows.indptr.size:
        at = np.uint64(rows.indptr[r])
        k = np.uint64(rows.indptr[r + _1]) - at
    return Place(_0 if rows.shared else at, at, k, column)


@verb
def row_at(s, i, control):
    """The row of S_i, or of (S_i, A_i); rows of state-action pairs."""
    return i * np.uint64(s.n_actions) + np.uint64(s.actions[i]) if control else i


@verb
def place_at(s, i, columns, plain, control):
    """Where the row of S_i stands, or of (S_i, A_i)."""
    if not control:
        return place_of(s.rows, i, _0, plain)
    action = np.uint64(s.actions[i])
    if columns == _1:
        return place_of(s.rows, row_at(s, i, True), _0, plain)
    return place_of(s.rows, i, action, plain)


# ---- from what Python has ----


def borrowed(array: NDArray[Any]) -> NDArray[Any]:
    """A view that cannot be written to: else a kernel would be compiled anew for arrays that cannot."""
    view = array.view()
    view.setflags(write=False)
    return view


_ONE, _NO_INT32S, _NO_INT64S, _NO_DOUBLES = (
    borrowed(array) for array in (np.ones(1), NO_INT32S, NO_INT64S, NO_DOUBLES)
)


def borrowed_or(none: NDArray[Any], array: NDArray[Any] | None) -> NDArray[Any]:
    """What a kernel gets for an array that may not be there; none is borrowed."""
    return none if array is None else borrowed(array)


def rows_of(rows: features.Rows) -> Rows:
    return Rows(
        rows.k,
        bool(rows.shared),
        borrowed(rows.indices),
        borrowed_or(_NO_DOUBLES, rows.values),
        borrowed_or(_NO_INT64S, rows.indptr),
    )


def stream_of(stream: features.Stream, work: int, target: int = 0) -> Stream:
    """A stream as the kernels take it; work is how many numbers they need for a target policy."""
    return Stream(
        stream.steps,
        rows_of(stream.rows),
        stream.n_actions,
        borrowed_or(_NO_INT32S, stream.actions),
        borrowed(stream.rewards),
        borrowed(stream.gammas),
        borrowed(stream.lambdas),
        borrowed_or(_ONE, stream.rhos),
        borrowed(stream.alphas),
        borrowed_or(_ONE, stream.interests),
        borrowed_or(_ONE, stream.sigmas),
        target,
        POLICIES[stream.own[0]],
        stream.own[1],
        borrowed_or(_NO_DOUBLES, stream.policy).reshape(-1),
        np.empty(work),
        borrowed_or(_ONE, stream.pis),
        stream.options,
    )


def has_padding(rows: features.Rows, check: Callable[..., tuple[int, bool]], *given: Any) -> bool:
    """Whether an index is padding; check(*given) looks unless that has been done.  Errors: see refuse."""
    if rows.checked:
        return rows.checked == 2
    status, padded = check(*given)
    refuse(status, rows)
    return bool(padded)
