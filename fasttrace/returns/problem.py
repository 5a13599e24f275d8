"""Calls of fasttrace.returns as the problems that backends solve: arrays are checked, and laid in order."""

from __future__ import annotations

import math
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import arguments
from ..memory import Array
from ..record import Record

FLOAT32, FLOAT64, BOOL = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.bool_)
_TRUNCATED, _SKIPPED = np.uint8(2), np.uint8(4)
WITH_ENDS = ("lambda_returns", "off_policy_returns", "upgo")  # what they carry is a return of values


class Problem(Record):
    """What a backend computes: `family` is the public name, results go to `out` and `second`.

    Arrays lie in memory as (T, B), or where batch_major as (B, T), or (T,) where B is 1: their last axis is
    dense, and (T, B) may be turned back in time, [::-1].  All are of the type of `out`, float32 or float64,
    but for flags (uint8, csrc/fasttrace.h), gammas and lambdas.

    gamma, lambda_ numbers, not used where gammas, lambdas are arrays: float64 (T,), or as the rewards.
    values, nexts  T or T + 1 rows; nexts[t + 1] is the value of the next state.
    last           (B,) that of S_T, or what an unended trajectory goes on with.
    ends           as values: G_{t:t} where there is a horizon, None for zeros.
    q              upgo's.
    pg_rho_bar     that of the second result of vtrace; None: rho_bar.
    """

    family: str
    T: int
    B: int
    batch_major: bool
    rewards: Array
    out: Array
    second: Array | None = None
    horizon: int = 0
    gamma: float = 1.0
    lambda_: float = 1.0
    gammas: Array | None = None
    lambdas: Array | None = None
    flags: NDArray[np.uint8] | None = None
    terminations_only: bool = True
    values: Array | None = None
    nexts: Array | None = None
    last: Array | None = None
    ends: Array | None = None
    next_values: Array | None = None
    rhos: Array | None = None
    pi: Array | None = None
    sigmas: Array | None = None
    q: Array | None = None
    rho_bar: float = 1.0
    c_bar: float = 1.0
    pg_rho_bar: float | None = None


def time_axis_of(value: Any) -> int:
    return arguments.count("time_axis", value, 0, 1)


def _unreadable(name: str, value: Any, error: Exception) -> Exception:
    """In place of an error of NumPy or of another library, which does not say which argument it was."""
    kind = ValueError if isinstance(error, ValueError) else TypeError
    return kind(
        f"{name}: got {type(value).__name__} that NumPy cannot read ({error}), expected what np.asarray "
        "takes; of a tensor float32 or float64, on the CPU, without gradient"
    )


def array_of(name: str, value: Any) -> Array:
    try:
        array = np.asarray(value)
    except Exception as error:
        raise _unreadable(name, value, error) from error
    if array.dtype.kind not in "fiu" and array.size:
        raise TypeError(f"{name}: expected real numbers, got dtype {array.dtype}")
    return array


def type_of(rewards: Array, arrays: dict[str, Array]) -> np.dtype[Any]:
    """The results' type: the floats'; float64 where there are integers.  Single numbers do not count."""
    found = {rewards.dtype, *[array.dtype for array in arrays.values() if array.ndim]}
    if found == {FLOAT32}:
        return FLOAT32
    if any(dtype.kind != "f" for dtype in found):
        return FLOAT64
    widest = np.result_type(*found)
    return FLOAT64 if widest.itemsize >= 8 else widest


class Laying:
    """Brings arrays into the memory order of a problem; what lies so already is not copied.

    given, at   the shape of the rewards, and which of its axes is time
    two, axis   of what they are folded to where they have more than two axes: (T, B), or where there is one
                entry at a time (B, T)
    """

    def __init__(self, rewards: Array, at: int, dtype: np.dtype[Any]) -> None:
        self.given, self.at, self.dtype = rewards.shape, at, dtype
        self.T, self.two, self.folds = self.given[at], rewards.ndim > 1, rewards.ndim > 2
        self.rest = self.given[:at] + self.given[at + 1 :]
        self.B = math.prod(self.rest)
        self.axis = at if not self.folds or math.prod(self.given[2:]) == 1 else 0
        B, axis = self.B, self.axis
        flags = (self.folded(rewards) if self.folds else rewards).flags
        if not self.two:
            self.batch_major = True
        elif axis:
            self.batch_major = B > 0 and (flags.c_contiguous or not flags.f_contiguous)
        else:
            self.batch_major = flags.f_contiguous and (B == 1 or not flags.c_contiguous)
        self.turned = self.two and self.batch_major == (axis == 0)  # memory order is not the user's

    def shape(self, rows: int) -> tuple[int, ...]:
        """Of an array with so many rows, as the user has it."""
        return (*self.rest[: self.at], rows, *self.rest[self.at :])

    def folded(self, array: Array) -> Array:
        """An array as the user has it, with all axes but time as one; a view if it can be."""
        if self.axis != self.at:
            array = np.moveaxis(array, self.at, 0)
        rows = array.shape[self.axis]
        return array.reshape((self.B, rows) if self.axis else (rows, self.B))

    def unfolded(self, array: Array) -> Array:
        """A result in memory order as the user has it."""
        array = array.T if self.turned else array
        if not self.folds:
            return array
        if self.axis == self.at:
            return array.reshape(self.given)
        return np.ascontiguousarray(np.moveaxis(array.reshape(self.T, *self.rest), 0, self.at))

    def place(self, where: int, shape: tuple[int, ...]) -> str:
        """Where the entry is that is the where-th of an array in memory order, as the user has it."""
        found = [int(i) for i in np.unravel_index(where, shape)]
        t, b = (found[0], 0) if not self.two else found[::-1] if self.batch_major else found
        rest = [int(i) for i in np.unravel_index(b, self.rest)]
        return ", ".join(str(i) for i in (*rest[: self.at], t, *rest[self.at :]))

    def __call__(self, name: str, array: Array, *rows: int, number: bool = False) -> Array:
        """`array` in memory order.  rows: how many it may have; number: it may be one for all."""
        if number and array.ndim == 0:
            array = np.broadcast_to(array, self.shape(rows[0]))
        for each in rows:
            if array.shape == self.shape(each):
                return self.dense(array, self.dtype)
        expected = " or ".join(str(self.shape(each)) for each in rows)
        raise ValueError(f"{name}: got shape {array.shape}, expected {expected}")

    def dense(self, array: Array, dtype: np.dtype[Any]) -> Array:
        """In memory order, the last axis without gaps."""
        if self.folds:
            array = self.folded(array)
        if self.turned:
            array = array.T
        return arguments.laid_out(array, dtype)

    def rate(
        self, name: str, value: ArrayLike, skipped: NDArray[np.bool_] | None
    ) -> tuple[float, Array | None]:
        """gammas or lambdas: (the number, None), or (0, an array)."""
        if type(value) is float and 0.0 <= value <= 1.0:
            return value, None
        array = array_of(name, value)
        if array.ndim == 0:
            return arguments.unit(name, value), None
        if array.shape == self.shape(self.T):
            dtype = FLOAT32 if array.dtype.kind == "f" and array.dtype.itemsize <= 4 else FLOAT64
            array = self.dense(array, dtype)
            _between(name, array, 1.0, skipped)
        elif self.two and array.shape == (self.T,):
            array = arguments.laid_out(array, FLOAT64)
            _between(name, array, 1.0, None)
        else:
            each = f" or {self.shape(self.T)}" if self.two else ""
            raise ValueError(f"{name}: got shape {array.shape}, expected a number, ({self.T},){each}")
        return 0.0, array

    def rows(self, array: Array) -> Array:
        """A view of an array in memory order with time first: (rows, B)."""
        return array.reshape(self.B, -1).T if self.batch_major else array


def _between(name: str, array: Array, high: float, skipped: NDArray[np.bool_] | None) -> None:
    """Refuse entries outside [0, high]; NaN is let through, and so is what is skipped."""
    if not array.size or (array.min() >= 0.0 and array.max() <= high):
        return
    wrong = (array < 0.0) | (array > high)
    if skipped is not None:
        wrong &= ~skipped
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), array.shape)
        where = ", ".join(str(int(i)) for i in place)
        allowed = "numbers from 0 to 1" if high == 1.0 else "numbers of at least 0"
        raise ValueError(f"{name}: entry {where} is {array[place]}, expected {allowed}")


def flags_of(name: str, value: Any) -> NDArray[np.uint8]:
    """Flags as 0 and 1."""
    try:
        array = np.asarray(value)
    except Exception as error:
        raise _unreadable(name, value, error) from error
    if array.dtype is BOOL:
        return array.view(np.uint8)
    if array.dtype.kind not in "biuf" and array.size:
        raise TypeError(f"{name}: expected flags, bool or 0 and 1, got dtype {array.dtype}")
    ones = array == 1
    if not (ones | (array == 0)).all():
        wrong = array[~(ones | (array == 0))][0]
        raise ValueError(f"{name}: got {wrong}, expected flags, bool or 0 and 1")
    return ones.view(np.uint8)


def all_flags(
    lay: Laying, terminated: Any, truncated: Any, mask: Any, no_next_values: bool
) -> tuple[NDArray[np.uint8] | None, bool, NDArray[np.bool_] | None]:
    """(flags or None, whether they only terminate, what is skipped), in memory order."""
    flags, skipped = None, None
    shape = lay.shape(lay.T)
    laid: list[NDArray[np.uint8] | None] = []
    for name, given in (("terminated", terminated), ("truncated", truncated), ("mask", mask)):
        if given is None:
            laid.append(None)
            continue
        array = flags_of(name, given)
        if array.shape != shape:
            raise ValueError(f"{name}: got shape {array.shape}, expected {shape}")
        laid.append(lay.dense(array, array.dtype))
    ends, cuts, there = laid
    if cuts is None and there is None:
        return ends, True, None
    flags = np.zeros_like(cuts if cuts is not None else there) if ends is None else ends.copy()
    if cuts is not None:
        flags |= cuts + cuts  # NumPy shifts bytes one at a time
    if there is not None:
        skipped = there == 0
        flags -= _SKIPPED  # modulo 256: where there is 0, _SKIPPED comes out; else what was
        flags *= there
        flags += _SKIPPED
    if no_next_values and cuts is not None:
        lost = flags == _TRUNCATED
        if lost.any():
            place = lay.place(int(lost.argmax()), lost.shape)
            raise ValueError(
                f"truncated: entry {place} is set, expected next_values as well: what follows a truncation "
                "is the value of the state that it arrived in"
            )
    return flags, False, skipped


class Values(TypedDict, total=False):
    """The fields of a problem that values_of finds."""

    values: Array
    nexts: Array
    last: Array
    ends: Array
    q: Array
    rhos: Array
    pi: Array
    sigmas: Array


_RATIOS: tuple[tuple[Literal["rhos", "pi", "sigmas"], float], ...] = (
    ("rhos", np.inf), ("pi", 1.0), ("sigmas", 1.0)
)  # fmt: skip


def values_of(
    family: str,
    lay: Laying,
    arrays: dict[str, Array],
    bootstrap: Any,
    horizon: int,
    skipped: NDArray[np.bool_] | None,
) -> Values:
    """Values of states and of what comes after the last one; importance ratios and what is like them."""
    found: Values = {}
    T = lay.T
    following = "expected_q" if "expected_q" in arrays else "values"
    if family == "discounted_sum":
        found["last"] = np.zeros(lay.B, lay.dtype) if bootstrap is None else _last(lay, bootstrap)
    else:
        rows = arrays[following].shape[lay.at] if arrays[following].ndim == len(lay.given) else -1
        nexts = lay(following, arrays[following], *((T + 1,) if bootstrap is None and rows != T else (T,)))
        if bootstrap is None:
            if rows == T:
                raise ValueError(
                    f"{following}: got {T} rows, expected {T + 1}, or bootstrap= for that of S_T"
                )
            last = lay.rows(nexts)[T] if not lay.batch_major or lay.two else nexts[T:]
        else:
            last = _last(lay, bootstrap)
        found["nexts"] = nexts
        found["values"] = nexts if following == "values" else lay("q", arrays["q"], T, T + 1)
        if family == "upgo":
            q = lay("q", arrays["q"], T, T + 1)
            found["q"] = q if skipped is None or not skipped.any() else _across_gaps(q, nexts, lay, skipped)
        if family in WITH_ENDS and (horizon or skipped is not None):
            last, found["ends"] = _mind_the_gaps(nexts, last, lay, skipped)
        found["last"] = last if last.flags.c_contiguous else last.copy()
    for name, high in _RATIOS:
        if name in arrays:
            array = found[name] = lay(name, arrays[name], T, T + 1, number=True)
            _between(name, lay.rows(array)[:T], high, None if skipped is None else lay.rows(skipped))
    return found


def _last(lay: Laying, bootstrap: Any) -> Array:
    array = array_of("bootstrap", bootstrap)
    shape = lay.rest if lay.two else (1,)
    if array.ndim and array.shape != shape:
        raise ValueError(f"bootstrap: got shape {array.shape}, expected {shape}")
    return arguments.laid_out(np.broadcast_to(array.reshape(-1), (lay.B,)), lay.dtype)


def _across_gaps(q: Array, nexts: Array, lay: Laying, skipped: NDArray[np.bool_]) -> Array:
    """q (T, B) in memory order for upgo: in a skipped slot what decides as the next transition does."""
    q, v, gap = lay.rows(q)[: lay.T].copy(), lay.rows(nexts)[: lay.T], lay.rows(skipped)
    there = np.where(gap, lay.T, np.arange(lay.T)[:, None])  # the next one that is not skipped
    there = np.minimum.accumulate(there[::-1], axis=0)[::-1]
    at = np.minimum(there, lay.T - 1)
    q_there, v_there = np.take_along_axis(q, at, axis=0), np.take_along_axis(v, at, axis=0)
    decided = np.where(q_there >= v_there, np.inf, -np.inf).astype(lay.dtype)
    decided[np.isnan(q_there) | np.isnan(v_there)] = np.nan
    q[gap] = np.where(there == lay.T, v, decided)[gap]
    return np.ascontiguousarray(q.T) if lay.batch_major else q


def _mind_the_gaps(
    nexts: Array, last: Array, lay: Laying, skipped: NDArray[np.bool_] | None
) -> tuple[Array, Array]:
    """last and ends: what a return goes on with, S_T's value or that at its horizon, is of the state after
    its last transition that is not skipped."""
    if skipped is None or not skipped.any():
        return last, nexts
    T, B = lay.T, lay.B
    values = np.empty((T + 1, B), lay.dtype)
    values[:T], values[T] = lay.rows(nexts)[:T], last
    after = np.zeros((T + 1, B), np.intp)  # 1 + the last transition before S_t
    after[1:] = np.where(lay.rows(skipped), 0, np.arange(1, T + 1)[:, None])
    ends = np.take_along_axis(values, np.maximum.accumulate(after, axis=0), axis=0)
    return ends[T].copy(), np.ascontiguousarray(ends.T) if lay.batch_major else ends
