"""Feature vectors in the forms that users have them, made ready for the kernels."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import arguments
from .errors import FeatureIndexError
from .layout import NO_OPTIONS, Options
from .memory import Float64
from .quick import native
from .record import Record

Int32 = NDArray[np.int32]
# Of an array (-1: any length), or the indptr of ragged rows.
Shape = tuple[int, ...] | NDArray[np.int64]
# Contiguous, and aligned: C may not read other arrays.
_AT_ONCE = 1 << 18  # indices that are looked at between two looks at the keyboard; the cache holds them
# Rows as long as this may be told from indices: of one or two features [0, 1] is a good row of indices.
_TELLING = 3


class Row(NamedTuple):
    """Active features of one state: indices (k,), -1 is padding, and their values (k,) or None for ones."""

    indices: Int32
    values: Float64 | None


EMPTY_ROW = Row(np.zeros(0, np.int32), None)


class Ragged:
    """A stream whose rows differ in length, as in compressed sparse rows.

    indptr   (rows + 1,) integers: row r is [indptr[r], indptr[r + 1]); from 0, never decreasing
    indices  (indptr[-1],) integers; -1 is padding
    values   (indptr[-1],) floats, or None for binary features

    A SciPy CSR matrix or array, whose rows these are, is taken wherever a Ragged is, without a copy of int32
    indices and float64 data.

    Errors: ValueError for shapes and an indptr that is not one, TypeError for dtypes.  What a learner finds
    wrong in an entry is told with its row and its place in the row.
    """

    @arguments.explained
    def __init__(self, indptr: Any, indices: Any, values: Any = None) -> None:
        self.indptr = arguments.laid_out(_integers("indptr", indptr), arguments.INT64)
        self.indices = _integers("indices", indices)
        self.values = None if values is None else _values("values", values)
        self.check()

    def check(self) -> None:
        """Raise ValueError unless the arrays fit together; again on use: they may have been written to."""
        if self.indptr.ndim != 1 or self.indptr.size < 1:
            raise ValueError(f"indptr: got shape {self.indptr.shape}, expected (rows + 1,)")
        if self.indptr[0] != 0 or np.any(self.indptr[1:] < self.indptr[:-1]):
            raise ValueError("indptr: expected to begin with 0 and never to decrease")
        if self.indices.shape != (self.indptr[-1],):
            raise ValueError(f"indices: got shape {self.indices.shape}, expected ({self.indptr[-1]},)")
        if self.values is not None and self.values.shape != self.indices.shape:
            raise ValueError(f"values: got shape {self.values.shape}, expected {self.indices.shape}")

    def padded(self) -> tuple[NDArray[Any], Float64 | None]:
        """The same rows as (rows, k) indices, padded with -1, and (rows, k) values or None."""
        lengths = np.diff(self.indptr)
        places = np.arange(lengths.max(initial=0)) < lengths[:, None]
        indices = np.full(places.shape, -1, self.indices.dtype)
        indices[places] = self.indices
        if self.values is None:
            return indices, None
        values = np.zeros(places.shape)
        values[places] = self.values
        return indices, values

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __repr__(self) -> str:
        return f"Ragged({len(self)} rows, {len(self.indices)} entries)"


if native:
    native.know(Ragged)


@dataclass(slots=True)
class Rows:
    """Many rows, as the kernels take them: `indices` and `values` flat.

    shared   all rows use the same first k indices (dense features)
    shape    that the indices were given in: an array's, or the indptr of ragged rows
    checked  0: the kernels look at the indices; else they have been looked at, 1: there is no padding
    """

    count: int
    n: int
    k: int
    indices: Int32
    values: Float64 | None = None
    indptr: NDArray[np.int64] | None = None
    shared: bool = False
    shape: Shape = (-1,)
    checked: int = 0

    def check(self, look: Callable[[Int32, int], int] | None = None) -> None:
        """Look at every index, once for all parts.  Errors: FeatureIndexError.

        look  of a backend: what `checked` is for some indices and n, below 0 where one is bad
        """
        look, found = look or _look, 1
        for begin in range(0, self.indices.size, _AT_ONCE):  # Ctrl-C is heard between two
            some = look(self.indices[begin : begin + _AT_ONCE], self.n)
            if some < 0:
                raise_bad_index(self.indices, self.n, shape=self.shape)
            found = max(found, some)
        self.checked = found

    def part(self, begin: int, end: int) -> Rows:
        """Rows begin to end - 1, in the same memory."""
        indptr, span = self.indptr, slice(begin * self.k, end * self.k)
        if indptr is not None:
            span = slice(indptr[begin], indptr[end])
            indptr = indptr[begin : end + 1] - indptr[begin]
        return replace(
            self,
            count=end - begin,
            indices=self.indices if self.shared else self.indices[span],
            values=None if self.values is None else self.values[span],
            indptr=indptr,
            shape=(-1, *self.shape[1:]) if isinstance(self.shape, tuple) else self.shape[begin : end + 1],
        )

    def row(self, r: int) -> Row:
        if self.indptr is not None:
            span = slice(self.indptr[r], self.indptr[r + 1])
        else:
            span = slice(r * self.k, (r + 1) * self.k)
        indices = self.indices[: self.k] if self.shared else self.indices[span]
        return Row(indices, None if self.values is None else self.values[span])

    def dense(self, r: int) -> Float64:
        """Row r as a vector (n,); an index that stands twice adds up."""
        if self.shared and self.values is not None:
            return self.values[r * self.k : (r + 1) * self.k]
        return dense(self.row(r), self.n)

    def active(self, r: int) -> Int32:
        """The distinct indices of row r, without padding."""
        indices = self.row(r).indices
        return np.unique(indices[indices >= 0])


class Stream(Record):
    """T transitions for a run kernel.

    gammas, lambdas, alphas, rhos, interests, sigmas
                  (T,), or (1,) for all; None where the kernel takes none, and rhos for ones
    actions       (T + 1,), or None for state values
    state_action  rows are of state-action pairs, row t * n_actions + a
    actor_lambdas, actor_alphas
                  likewise, for the actor of an actor-critic; None: its own
    pis           pi of the action taken, likewise, for the kinds of trace that ask for it
    options       of the kind of trace
    policy        (T + 1, n_actions) of the target policy, or None: `own` under the weights of the step
    own           the learner's own policy: ("epsilon", epsilon) or ("softmax", temperature)
    deltas        (T,) where a native kernel is to put the TD errors; None: an array of its own
    """

    steps: int
    rows: Rows
    rewards: Float64
    gammas: Float64
    lambdas: Float64
    alphas: Float64
    rhos: Float64 | None = None
    actions: Int32 | None = None
    n_actions: int = 1
    state_action: bool = False
    interests: Float64 | None = None
    sigmas: Float64 | None = None
    policy: Float64 | None = None
    own: tuple[str, float] = ("epsilon", 0.0)
    actor_lambdas: Float64 | None = None
    actor_alphas: Float64 | None = None
    deltas: Float64 | None = None
    pis: Float64 | None = None
    options: Options = NO_OPTIONS

    def room(self) -> Float64:
        """Where to put the TD errors."""
        return np.empty(self.steps) if self.deltas is None else self.deltas

    def part(self, begin: int, end: int) -> Stream:
        """Transitions begin to end - 1 of several, in the same memory."""

        def cut(series: Any, states: int = 0) -> Any:
            return series if series is None or len(series) == 1 else series[begin : end + states]

        per_state = self.n_actions if self.state_action else 1
        return self.but(
            steps=end - begin,
            rows=self.rows.part(begin * per_state, (end + 1) * per_state),
            actions=cut(self.actions, 1),
            policy=cut(self.policy, 1),
            **{name: cut(getattr(self, name)) for name in _SERIES},
        )

    k = property(lambda self: self.rows.k)
    shared = property(lambda self: int(self.rows.shared))
    indices = property(lambda self: self.rows.indices)
    values = property(lambda self: self.rows.values)
    indptr = property(lambda self: self.rows.indptr)

    def _r(self, t: int, a: int) -> int:
        return t * self.n_actions + a if self.state_action else t

    def dense(self, t: int, a: int = 0) -> Float64:
        return self.rows.dense(self._r(t, a))

    def active(self, t: int, a: int = 0) -> Int32:
        return self.rows.active(self._r(t, a))


def one_step(rows: Rows, reward: float, gamma: float, lambda_: float, alpha: float, **more: Any) -> Stream:
    """A stream of one transition."""
    more["steps"], more["rows"] = 1, rows
    more["rewards"], more["gammas"] = np.array([reward]), np.array([gamma])
    more["lambdas"], more["alphas"] = np.array([lambda_]), np.array([alpha])
    return Stream.of(more)


_SERIES = (
    "rewards", "gammas", "lambdas", "alphas", "rhos", "interests", "sigmas", "actor_lambdas", "actor_alphas",
    "deltas", "pis",
)  # fmt: skip


def dense(row: Row, n: int) -> Float64:
    """A row as a vector (n,)."""
    x = np.zeros(n)
    used = row.indices >= 0
    values = 1.0 if row.values is None else row.values[used]
    np.add.at(x, row.indices[used], values)
    return x


def parse_state(x: Any, n: int, name: str = "x") -> Rows:
    """One state: indices (k,), a pair of (k,), dense floats (n,), or a Ragged or CSR of one row."""
    if is_sparse(x):
        x = _ragged(x, n, name)
    if isinstance(x, Ragged):
        x.check()
        if len(x) != 1:
            raise ValueError(f"{name}: got {len(x)} sparse rows, expected that of one state")
        k = len(x.indices)
        return _checked(Rows(1, n, k, x.indices, x.values), name, (k,))
    return _parse(x, n, (), name)


def is_stream(x: Any) -> bool:
    """Whether x is many rows: an array, or a pair of arrays, of two dimensions, or Ragged."""
    if type(x) is np.ndarray:
        return x.ndim == 2
    return isinstance(x, Ragged) or _ndim(x[0] if _is_pair(x) else x) == 2


def _is_pair(x: Any) -> bool:
    return isinstance(x, tuple) and len(x) == 2 and _ndim(x[0]) > 0


def _ndim(x: Any) -> int:
    """The number of dimensions; of what no array can be made of, one: whoever makes it says why not."""
    try:
        return np.ndim(x)
    except Exception:  # each library has its own
        return 1


def parse_rows(x: Any, n: int, name: str = "x", per_state: int | None = None) -> Rows:
    """A stream's features: (rows, k), a pair of such, Ragged, CSR, or dense (rows, n).

    per_state  the number of actions, for features of state-action pairs: (states, actions, k).
    Errors: FeatureIndexError, ValueError for shapes and non-finite values, TypeError for dtypes.
    """
    if is_sparse(x):
        x = _ragged(x, n, name)
    if isinstance(x, Ragged):
        x.check()
        if per_state and len(x) % per_state:
            raise ValueError(f"{name}: got {len(x)} rows, expected a multiple of {per_state} actions")
        rows = Rows(len(x), n, 0, x.indices, x.values, x.indptr)
        return _checked(rows, name, x.indptr)
    return _parse(x, n, (-1,) if per_state is None else (-1, per_state), name)


def parse_state_actions(x: Any, n: int, n_actions: int, name: str = "x") -> Rows:
    """The features of every action in one state: (actions, k), a pair of such, dense (actions, n), or CSR."""
    if is_sparse(x):
        x = _ragged(x, n, name).padded()
    return _parse(x, n, (n_actions,), name)


def _parse(x: Any, n: int, lead: tuple[int, ...], name: str) -> Rows:
    """Rows of shape (*lead, k) or (*lead, n); -1 in lead stands for any length of at least 1."""
    values = None
    if _is_pair(x):
        indices, values = _integers(f"{name}[0]", x[0]), _values(f"{name}[1]", x[1])
        if indices.shape != values.shape:
            raise ValueError(f"{name}: indices {indices.shape} and values {values.shape} differ in shape")
    else:
        indices = arguments.array_of(name, x, _LENGTHS)
        if indices.size == 0 and not isinstance(x, np.ndarray):
            indices = indices.astype(np.int32)  # [] is a state without features
        if indices.dtype.kind == "f":
            values = _floats(name, indices)
        elif indices.dtype.kind not in "iu":
            raise TypeError(
                f"{name}: got {_what(x, indices)}, expected integers (indices of active features) "
                "or floats (dense features)"
            )
    shape = indices.shape
    fits = len(shape) == len(lead) + 1 and all(
        m == length or (m == -1 and length > 0) for m, length in zip(lead, shape, strict=False)
    )
    is_dense = values is not None and indices.dtype.kind == "f"
    if not fits or (is_dense and shape[-1] != n):
        words = ", ".join("rows" if m == -1 else str(m) for m in lead)
        words = f"{words}, " if words else ""
        last = str(n) if is_dense else "k"
        raise ValueError(f"{name}: got shape {shape}, expected ({words}{last}{',' if not lead else ''})")
    if is_dense:
        rows = Rows(math.prod(shape[:-1]), n, n, np.arange(n, dtype=np.int32), values, shared=True)
    else:
        if values is None and shape[-1] == n and is_one_hot(indices, n):
            raise ValueError(
                f"{name}: got integers of shape {shape} that are all 0 or 1, as long as there are features: "
                "integers are indices. Give the indices of the active features, as in np.flatnonzero(row) "
                "(of one-hot rows x.argmax(-1)[..., None]), or floats for dense features: x.astype(float)"
            )
        rows = Rows(math.prod(shape[:-1]), n, shape[-1], indices, values)
    return _checked(rows, name, shape)


def _checked(rows: Rows, name: str, shape: Shape) -> Rows:
    """Flat, contiguous and of the kernels' types; values finite.  int32 indices are left to the kernels."""
    if rows.indices.dtype != np.int32:
        raise_bad_index(rows.indices, rows.n, name, shape)  # before int32 could wrap one around
    if rows.values is not None:
        values = rows.values.reshape(-1)
        bad = ~np.isfinite(values)
        if bad.any():
            if not rows.shared:
                bad &= rows.indices.reshape(-1) >= 0
            if bad.any():
                where = int(np.argmax(bad))
                raise ValueError(
                    f"{name}: the value at {_place(where, shape)} is {values[where]}, expected finite numbers"
                )
            values = np.where(np.isfinite(values), values, 0.0)  # at a padding
        rows.values = arguments.laid_out(values, arguments.FLOAT64)
    rows.shape = shape
    rows.indices = arguments.laid_out(rows.indices, arguments.INT32).reshape(-1)
    return rows


def as_int32(row: Any) -> Any:
    """An array of NumPy's own integers as int32, if that holds them; anything else as it is."""
    if type(row) is np.ndarray and row.dtype is arguments.INT64 and row.ndim == 1:
        narrow = row.astype(np.int32)
        return narrow if (narrow == row).all() else row
    return row


def is_one_hot(row: NDArray[Any], n: int) -> bool:
    """Whether integer rows are most likely vectors of n zeros and ones, not indices: each is refused then."""
    return n >= _TELLING and row.shape[-1] == n and bool(row.min() >= 0 and row.max() <= 1)


def joined(x: Rows, x_next: Rows | None) -> Rows:
    """The rows of two states as those of a stream of one transition; None is a state without features."""
    if x.shared and x_next and x_next.shared and x.values is not None and x_next.values is not None:
        both = np.concatenate([x.values, x_next.values])
        return Rows(x.count + x_next.count, x.n, x.k, x.indices, both, shared=True)
    after = [x_next.row(r) for r in range(x_next.count)] if x_next else [EMPTY_ROW] * x.count
    rows = [x.row(r) for r in range(x.count)] + after
    values = None
    if any(row.values is not None for row in rows):
        values = np.concatenate([np.ones(len(i)) if v is None else v for i, v in rows])
    indptr = np.cumsum([0] + [len(row.indices) for row in rows], dtype=np.int64)
    return Rows(len(rows), x.n, 0, np.concatenate([row.indices for row in rows]), values, indptr)


def _place(where: int, shape: Shape) -> str:
    """Where the `where`-th entry stands: its coordinates, or row and place in the row."""
    if isinstance(shape, tuple):
        return ", ".join(str(int(i)) for i in np.unravel_index(where, shape))
    row = int(np.searchsorted(shape, where, side="right")) - 1  # behind the empty rows that begin there too
    return f"{row}, {where - int(shape[row])}"


def raise_bad_index(indices: Any, n: int, name: str = "x", shape: Shape = (-1,)) -> None:
    """Raise FeatureIndexError for the first index below -1 or not below n, if there is one.

    shape  that `indices` were given in, to say where it stands: an array's, or the indptr of ragged rows.
    """
    indices = np.asarray(indices)
    lowest, highest = _bounds(indices.reshape(-1))
    if lowest >= -1 and highest < n:
        return
    where = int(np.argmax(((indices < -1) | (indices >= n)).reshape(-1)))
    if isinstance(shape, tuple):
        shape = indices.reshape(shape).shape
    raise FeatureIndexError(
        f"{name}: index {indices.reshape(-1)[where]} at [{_place(where, shape)}] is out of range, "
        f"expected 0 to {n - 1} ({n} features), or -1 for padding"
    )


def _look(indices: Int32, n: int) -> int:
    lowest, highest = _bounds(indices)
    return -1 if lowest < -1 or highest >= n else 2 if lowest < 0 else 1


def _bounds(indices: NDArray[Any]) -> tuple[int, int]:
    """The lowest and the highest of flat indices, or (0, -1)."""
    lowest, highest = 0, -1
    for begin in range(0, indices.size, _AT_ONCE):
        some = indices[begin : begin + _AT_ONCE]
        lowest, highest = min(lowest, int(some.min())), max(highest, int(some.max()))
    return lowest, highest


_LENGTHS = "; a stream whose rows differ in length is ft.Ragged(indptr, indices), or padded with -1"
_TWO_WAYS = (
    "expected floats, the values of the features before them: values.astype(float). Two coders' indices are "
    "one row of indices: np.concatenate([a, first.n_features + b], axis=-1)"
)


def _integers(name: str, value: Any) -> NDArray[Any]:
    array = arguments.array_of(name, value, _LENGTHS)
    if array.size == 0 and not isinstance(value, np.ndarray):
        array = array.astype(np.int32)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: got dtype {array.dtype}, expected integers")
    return array


def _values(name: str, value: Any) -> Float64:
    """The values beside indices.  Integers are refused: they are most often a second coder's indices."""
    array = arguments.array_of(name, value, _LENGTHS)
    if array.dtype.kind in "iu":
        raise TypeError(f"{name}: got dtype {array.dtype}, {_TWO_WAYS}")
    return _floats(name, array)


def _floats(name: str, array: NDArray[Any]) -> Float64:
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name}: got dtype {array.dtype}, expected real numbers")
    return arguments.laid_out(array, arguments.FLOAT64)


def _what(x: Any, array: NDArray[Any]) -> str:
    """What stands where features should: an array's dtype, or the kind of object that NumPy makes none of."""
    if isinstance(x, Ragged):
        return "Ragged, the rows of a stream"
    if (
        array.dtype.kind == "V" and array.dtype.names is None
    ):  # bfloat16 and its like, of packages beside NumPy
        return f"dtype {array.dtype}, which NumPy cannot compute with (x.astype(np.float32) can be)"
    return f"dtype {array.dtype}" if array.ndim else f"{type(x).__name__}"


def is_sparse(x: Any) -> bool:
    """Whether x is a sparse matrix or array of SciPy, which is there if there is one."""
    if type(x) is np.ndarray:
        return False
    scipy = sys.modules.get("scipy.sparse")
    return scipy is not None and bool(scipy.issparse(x))


def _ragged(x: Any, n: int, name: str) -> Ragged:
    """The rows of a sparse matrix or array of SciPy.

    Its data may be integers or bool too: beside a shape they can be nothing but values.
    """
    if x.format != "csr":
        raise TypeError(f"{name}: got a sparse array of format {x.format!r}, expected CSR: {name}.tocsr()")
    if x.shape[-1] != n:
        raise ValueError(
            f"{name}: got a sparse array of shape {x.shape}, expected ({'rows, ' * (x.ndim == 2)}{n})"
        )
    if x.data.dtype.kind not in "iufb":
        raise TypeError(f"{name}: got a sparse array of dtype {x.dtype}, expected real numbers")
    return Ragged(x.indptr, x.indices, x.data.astype(np.float64, copy=False))
