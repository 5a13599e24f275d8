"""Weights and trace: who owns the arrays, and dense copies of what they mean.

DenseTrace   w and z as the book has them, for the NumPy reference
LazyTrace    the constant-time trace; one layout for C and Numba (csrc/fasttrace.h draws it)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import module
from ..layout import COUNTERS, KINDS, LATER, NO_OPTIONS, POINTERS, SCALARS
from ..memory import Float64, aligned_zeros, check_arrays, owned

_SIZES = ("n", "columns", "width", "ring_size", "alive_max")  # what stays as the trace is made
_CARRIED = (
    "decay",
    "v_old",
    "alpha",
    "followon",
    "lambda_",
    "cap",
)  # what a step hands to the next, whatever the layout; beside them pi, where it is remembered

# From so many features on a row of one weight has its epoch beside it, in one line of cache.
WIDE_FROM = 1 << 20

# Traces that hold the step size: e = alpha z.
FOLDED = tuple(kind.name for kind in KINDS.values() if kind.folded)


def _with_pi(arrays: dict[str, NDArray[Any]], pi: float) -> dict[str, NDArray[Any]]:
    """Arrays of a state; most learners, and states from before it was remembered, have no pi."""
    return arrays | {"pi": np.array([pi])} if pi else arrays


def _without_pi(arrays: dict[str, Any]) -> tuple[dict[str, Any], float]:
    rest = dict(arrays)
    pi = rest.pop("pi", np.zeros(1))
    check_arrays({"pi": pi}, {"pi": np.zeros(1)})
    return rest, float(pi[0])


class DenseTrace:
    """w and z, (n * columns,), and what one step hands to the next.

    pi  of the action taken in the state arrived in, as ft_trace of csrc/fasttrace.h keeps it
    """

    pi = 0.0  # here too, for pickles from before it was remembered

    def __init__(self, n: int, columns: int, backend: str = "numpy") -> None:
        self.n, self.columns, self.backend = n, columns, backend
        self.w = aligned_zeros(n * columns, np.float64)
        self.z = aligned_zeros(n * columns, np.float64)
        self.decay, self.v_old, self.alpha = 0.0, math.nan, 0.0
        self.followon, self.lambda_, self.cap = 0.0, 0.0, math.nan

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(owned(state))

    def dense(self) -> tuple[Float64, Float64]:
        """Copies of w and of z as it is kept (times alpha in the folded kinds), both (n * columns,)."""
        return self.w.copy(), self.z.copy()

    def set_dense(self, w: Float64, z: Float64) -> None:
        self.w[:], self.z[:] = w, z

    def set_weights(self, w: Float64) -> None:
        """New weights under the trace that is there; what is not finite in it would spoil them."""
        self.w[:] = w
        self.z[~np.isfinite(self.z)] = 0.0
        self.v_old = math.nan
        self.followon = self.followon if math.isfinite(self.followon) else 0.0

    def to(self, backend: str) -> Trace:
        return self if backend == self.backend else _copied_to(self, backend)

    def reset(self) -> None:
        self.z[:] = 0.0
        self.decay, self.v_old, self.followon, self.lambda_, self.pi = 0.0, math.nan, 0.0, 0.0, 0.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, for a checkpoint."""
        carried = np.array([getattr(self, name) for name in _CARRIED])
        return _with_pi({"w": self.w, "z": self.z, "carried": carried}, self.pi)

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        arrays, pi = _without_pi(arrays)
        check_arrays(arrays, _without_pi(self.arrays())[0])
        self.pi = pi
        self.set_dense(arrays["w"], arrays["z"])
        for name, value in zip(_CARRIED, arrays["carried"], strict=True):
            setattr(self, name, float(value))


def _scalar(name: str) -> Any:
    """An attribute that is a word of LazyTrace.scalars."""
    place = (*SCALARS, *POINTERS, *LATER).index(name)

    def set_it(self: LazyTrace, value: float) -> None:
        self.scalars[place] = value

    return property(lambda self: float(self.scalars[place]), set_it)


class LazyTrace:
    """The constant-time trace's arrays, over which C and Numba work alike.

    words    the C struct ft_trace: `counters` (int64), then `scalars` (float64), of which those behind
             the first few are C's pointers, and the last is pi
    wide     whether rows have their epochs in them: [b | z | epoch | -], see ft_trace_init_wide
    single   whether rows are float32; all else is float64, what kernels compute in too
    rows     (n * step,) of [b(width) | z(width)]
    ring     (2 * ring_size,) of (G, P); the first pair is (0, 0), that of rows at rest
    epochs   (n,), a view of rows where those are wide
    options  of the kind of trace, as the learner has them: for steps that are embedded
    """

    scale, drive, decay, v_old, alpha, snap, followon, lambda_, cap, pi = map(_scalar, (*SCALARS, "pi"))

    def __init__(self, n: int, columns: int, backend: str, single: bool = False) -> None:
        self.n, self.columns, self.backend, self.single = n, columns, backend, single
        # Rows of 16, 32 or whole 64 bytes: one line of cache for the actions of most tasks.
        self.width = columns if columns <= 2 else -(-columns // 4) * 4
        self.ring_size = 1024
        while self.ring_size < n // 4:
            self.ring_size *= 2
        self.wide = columns == 1 and n >= WIDE_FROM and not single
        self._allocate()
        alive_max = 64
        while alive_max * alive_max < n:
            alive_max *= 2
        self.counters[:] = [n, columns, self.width, self.ring_size, 1, 1, alive_max, 0, 0, 0]
        self.scalars[: len(SCALARS)] = [1.0, 0.0, 0.0, math.nan, 0.0, 1.0, 0.0, 0.0, math.nan]
        self.ring[3] = 1.0  # of epoch 1; slot 0 is for rows at rest

    def _allocate(self) -> None:
        self.words = aligned_zeros(len(COUNTERS) + len(SCALARS) + len(POINTERS) + len(LATER), np.int64)
        self.counters = self.words[: len(COUNTERS)]
        self.scalars = self.words[len(COUNTERS) :].view(np.float64)
        self.words[-2] = self.wide
        step = 4 if self.wide else 2 * self.width
        self.rows = aligned_zeros(step * self.n, np.float32 if self.single else np.float64)
        self._pairs = self.rows.reshape(self.n, step)[:, : 2 * self.width]
        self.ring = aligned_zeros(2 * self.ring_size, np.float64)
        self.epochs = self.rows.view(np.int32)[4::8] if self.wide else aligned_zeros(self.n, np.int32)
        self.options = aligned_zeros(len(NO_OPTIONS), np.float64)
        self.handle: Any = None  # the C backend's pointer to words, made when first needed

    def counter(self, name: str) -> int:
        return int(self.counters[COUNTERS.index(name)])

    def _columns(self) -> tuple[Float64, Float64]:
        """Views of b and z, (n, columns)."""
        b, z = self._pairs[:, : self.width], self._pairs[:, self.width :]
        return b[:, : self.columns], z[:, : self.columns]

    def dense(self) -> tuple[Float64, Float64]:
        """Copies of w and of z as it is kept (times alpha in the folded kinds), both (n * columns,)."""
        b, z = self._columns()
        since = self.ring.reshape(-1, 2)[self.epochs & (self.ring_size - 1)]
        G, P = since[:, :1], since[:, 1:]
        b, z = b.astype(np.float64, copy=False), z.astype(np.float64, copy=False)
        with np.errstate(all="ignore"):  # a diverged learner shows what it has
            w = b + z * (G + P * self.drive)  # to the bit as after the end of an epoch
            return w.reshape(-1), (z * P * self.scale).reshape(-1)

    def set_dense(self, w: Float64, z: Float64) -> None:
        linear = module(self.backend, "linear")
        linear.flatten(self)
        # What the epochs hold must not outlive rows that are set: flatten left P = 1, drive = 0.
        b, z_rows = self._columns()
        b[:], z_rows[:] = w.reshape(self.n, self.columns), z.reshape(self.n, self.columns)

    def set_weights(self, w: Float64) -> None:
        """New weights under the trace that is there; what is not finite in it would spoil them."""
        z = self.dense()[1]
        self.set_dense(w, np.where(np.isfinite(z), z, 0.0))
        self.v_old = math.nan
        self.followon = self.followon if math.isfinite(self.followon) else 0.0

    def to(self, backend: str) -> Trace:
        """The same weights and trace for another backend; C and Numba work on the same arrays."""
        if backend == "numpy" and self.single:
            raise ValueError(f"backend={backend!r}: computes in float64, expected one for float32: c, numba")
        if backend == "numpy":
            return _copied_to(self, backend)
        self.backend = backend
        return self

    def reset(self) -> None:
        module(self.backend, "linear").reset(self)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but C's pointers, for a checkpoint that goes on bit for bit."""
        self.counters[COUNTERS.index("bad_index")] = 0  # of the last call that was refused, not of the trace
        arrays = {
            "counters": self.counters,
            "scalars": self.scalars[: len(SCALARS)],
            "rows": self._pairs.reshape(-1),
            "ring": self.ring,
            "epochs": np.ascontiguousarray(self.epochs),
        }
        return _with_pi(arrays, self.pi)

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        """Become what arrays() gave.  Errors: ValueError, also for counters that kernels could not trust."""
        arrays, pi = _without_pi(arrays)
        own, _ = _without_pi(self.arrays())
        check_arrays(arrays, own)
        new = dict(zip(COUNTERS, (int(each) for each in arrays["counters"]), strict=True))
        scale = float(arrays["scalars"][SCALARS.index("scale")])
        if not (
            all(new[name] == self.counter(name) for name in _SIZES)
            and 0 <= new["oldest"] <= new["epoch"] <= min(new["oldest"] + new["alive_max"], 2**62)
            and 0 <= new["swept"] < self.n
            and new["flat"] in (0, 1)
            and 0.1 <= scale <= 10.0
        ):
            raise ValueError(f"state: no trace of this size has the counters {new} with a scale of {scale}")
        if np.any(arrays["ring"][:2]):  # or rows at rest would come back to life
            raise ValueError("state: the first pair of its ring is not (0, 0)")
        self._pairs[:] = arrays["rows"].reshape(self._pairs.shape)
        for name in ("scalars", "counters", "ring", "epochs"):
            own_array = self.scalars[: len(SCALARS)] if name == "scalars" else getattr(self, name)
            own_array[:] = arrays[name]
        self.pi = pi

    def __getstate__(self) -> dict[str, Any]:
        size = (self.n, self.columns, self.backend) + (True,) * self.single
        return {"size": size, "arrays": self.arrays()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["size"])  # type: ignore[misc]
        self.set_arrays(state["arrays"])

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyTrace:
        other = LazyTrace(self.n, self.columns, self.backend, self.single)
        other.set_arrays(self.arrays())
        return other


Trace = DenseTrace | LazyTrace


def new_trace(n: int, columns: int, backend: str, single: bool = False) -> Trace:
    return DenseTrace(n, columns) if backend == "numpy" else LazyTrace(n, columns, backend, single)


def in_dtype(trace: LazyTrace, dtype: np.dtype[Any]) -> LazyTrace:
    """The same trace over rows of float32 or float64: itself, or a copy."""
    single = dtype == np.float32
    if trace.single == single:
        return trace
    other = LazyTrace(trace.n, trace.columns, trace.backend, single)
    _copy(trace, other)
    return other


def _copied_to(trace: Trace, backend: str) -> Trace:
    other = new_trace(trace.n, trace.columns, backend)
    _copy(trace, other)
    return other


def _copy(trace: Trace, other: Trace) -> None:
    other.set_dense(*trace.dense())
    for name in (*_CARRIED, "pi"):
        setattr(other, name, getattr(trace, name))
