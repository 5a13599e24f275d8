"""Weights, traces and step sizes of the learners whose step sizes learn: who owns the arrays.

DenseSteps    the vectors as the papers have them, for the NumPy reference
ListedSteps   rows and a list of those with a trace; one layout for C and Numba (csrc/fasttrace.h draws it)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import module
from ..memory import Float64, aligned_copy, aligned_zeros, check_arrays, owned

_VECTORS = ("w", "z", "beta", "h", "z_bar", "p", "h_old", "normaliser")
_COUNTERS = ("n", "columns", "listed", "step", "bad_index")
_CARRIED = ("scale", "drive", "drive_before", "decay", "v_old")
OPTIONS = ("meta", "eta", "shrink", "eta_min", "tau")
_SCALARS = (*_CARRIED, *OPTIONS)
_POINTERS = 7
_RANKS = ("awake", "largest", "calm", "floor")  # behind the pointers: a counter, then numbers
_ROW = ("b", "z", "h", "z_bar", "before", "alpha", "slot", "last")
_B, _Z, _H, _Z_BAR, _BEFORE, _ALPHA, _SLOT, _LAST = range(len(_ROW))
_LIST = ("p", "inverse", "fresh")
_AT_ONCE = 32  # FT_AT_ONCE
_SLACK = 1.0 + 1e-9  # FT_SLACK


class _Arrival:
    """The state that the last step arrived in: the bound of SwiftTD takes it in, with the step to come.

    arrived  None; int32 indices of ones, as bytes; a row's (indices, values or None, column); or of each
             weight that is active there (number, x), (m, 2)
    """

    _arrived: Any = None  # or a Call, to be asked: the quick way keeps it there
    _arrived_at = 0  # the step that began there

    def _step(self) -> int:
        """The number of the step to come, where steps are taken that Python does not see."""
        return 0

    @property
    def arrived(self) -> Any:
        call = self._arrived if hasattr(self._arrived, "told") else None
        if self._step() != (call.arrived_at if call else self._arrived_at):
            return None  # a compiled loop has gone on from there
        return call.arrival() if call else self._arrived

    @arrived.setter
    def arrived(self, value: Any) -> None:
        if hasattr(self._arrived, "told"):
            self._arrived.told = 0
        self._arrived, self._arrived_at = value, self._step()

    def arrival(self) -> Float64:
        """(m, 2) of (number, x) of each weight that is active in the state arrived in."""
        arrived = self.arrived
        if isinstance(arrived, np.ndarray):
            return arrived
        indices, values, column = np.zeros(0, np.int32), None, 0
        if isinstance(arrived, bytes):
            indices = np.frombuffer(arrived, np.int32)
        elif arrived is not None:
            indices, values, column = arrived
        used = indices >= 0
        which, places = np.unique(indices[used], return_inverse=True)
        x = np.bincount(places, None if values is None else values[used], len(which))
        number = which.astype(float) * self.columns + column  # type: ignore[attr-defined]
        return np.stack([number, x], axis=1)[x != 0.0]

    def bounded_alphas(self: Any) -> Float64:
        """The step sizes after the bound has taken in the state arrived in, as the official code has them."""
        alphas = self.alphas()
        which, x = self.arrival().T
        own = alphas[which.astype(int)]
        eta, shrink, least = (_option(self, name) for name in ("eta", "shrink", "eta_min"))
        with np.errstate(all="ignore"):
            if np.sum(own * x * x) > eta * _SLACK:
                alphas[which.astype(int)] = np.maximum(own * shrink ** (x * x), least)
        return alphas

    def _take_arrival(self: Any, arrays: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """The other arrays of a state, and its arrival, if it has one.  Errors: ValueError."""
        rest = dict(arrays)
        arrived = rest.pop("arrived", None)
        if arrived is not None:
            check_arrays({"arrived": arrived}, {"arrived": np.zeros((len(arrived), 2))})
            which = arrived[:, 0]
            if not (np.isfinite(arrived).all() and np.isin(which, np.arange(self.n * self.columns)).all()):
                raise ValueError("state: arrived in a state that has other features")
            arrived = aligned_copy(arrived)
        return rest, arrived

    def _with_arrival(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        arrival = self.arrival()
        return arrays | {"arrived": arrival} if len(arrival) else arrays


class DenseSteps(_Arrival):
    """The vectors of backends.numpy.adaptive, (n * columns,), and what one step hands to the next.

    kind   "swift", "tidbd" or "autostep"
    alpha  the step size that every weight begins with
    """

    w: Float64
    z: Float64
    beta: Float64
    h: Float64
    z_bar: Float64
    p: Float64
    h_old: Float64
    normaliser: Float64

    def __init__(self, n: int, columns: int, backend: str, kind: str, alpha: float) -> None:
        self.n, self.columns, self.backend, self.kind, self.alpha = n, columns, backend, kind, alpha
        for name in _VECTORS:
            setattr(self, name, aligned_zeros(n * columns, np.float64))
        self.set_alphas(alpha)
        self.decay, self.v_old = 0.0, math.nan
        for name in OPTIONS:
            setattr(self, name, 1.0)

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = owned(state)
        self.arrived = state.pop("arrived", None)
        self.__dict__.update(state)

    def __getstate__(self) -> dict[str, Any]:
        rest = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return rest | {"arrived": self.arrival()}

    def tune(self, **options: float) -> None:
        """Set options of the kernels, some of OPTIONS."""
        for name, value in options.items():
            setattr(self, name, value)

    def vectors(self) -> dict[str, Float64]:
        """Every vector by its name, the arrays themselves."""
        return {name: getattr(self, name) for name in _VECTORS}

    def set_vectors(self, vectors: dict[str, Float64]) -> None:
        for name, own in self.vectors().items():
            own[:] = vectors[name]

    def dense(self) -> tuple[Float64, Float64]:
        """Copies of w and z, both (n * columns,)."""
        return self.w.copy(), self.z.copy()

    def alphas(self) -> Float64:
        """The step sizes, (n * columns,)."""
        with np.errstate(over="ignore"):
            return np.exp(self.beta)

    def set_alphas(self, alphas: float | Float64) -> None:
        self.beta[:] = np.log(alphas)

    def set_weights(self, w: Float64) -> None:
        """New weights under the traces that are there; what is not finite in them would spoil the weights."""
        self.w[:] = w
        _mend(self.vectors(), math.log(self.alpha))
        self.v_old = math.nan

    def to(self, backend: str) -> Steps:
        return self if backend == self.backend else _copied_to(self, backend)

    def reset(self) -> None:
        for trace in (self.z, self.z_bar, self.p):
            trace[:] = 0.0
        self.decay, self.v_old, self.arrived = 0.0, math.nan, None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but the options, for a checkpoint."""
        return self._with_arrival({**self.vectors(), "carried": np.array([self.decay, self.v_old])})

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        arrays, arrived = self._take_arrival(arrays)
        self.arrived = None
        check_arrays(arrays, self.arrays())
        self.arrived = arrived
        self.set_vectors(arrays)
        self.decay, self.v_old = (float(each) for each in arrays["carried"])


class ListedSteps(_Arrival):
    """The arrays over which C and Numba work alike.

    words    the C struct ft_adaptive: `counters` (int64), then `scalars` (float64), then C's pointers
    rows     (8 * size,) of ft_adaptive_row; size = n * columns
    list, active             (size,), as in the struct
    p, inverse, fresh, x     (size + 32,)
    """

    def __init__(self, n: int, columns: int, backend: str, kind: str, alpha: float) -> None:
        size = n * columns
        if size > 2**31 - 2:
            raise ValueError(f"n_features: {n} features with {columns} weights each are more than 2**31 - 2")
        self.n, self.columns, self.backend, self.kind, self.alpha = n, columns, backend, kind, alpha
        first = len(_COUNTERS) + len(_SCALARS)
        self.words = aligned_zeros(first + _POINTERS + len(_RANKS), np.int64)
        self.counters = self.words[: len(_COUNTERS)]
        self.scalars = self.words[len(_COUNTERS) : first].view(np.float64)
        self.awake = self.words[first + _POINTERS :][:1]
        self.ranks = self.words[first + _POINTERS + 1 :].view(np.float64)
        self.rows = aligned_zeros(len(_ROW) * size, np.float64)
        more = size + _AT_ONCE
        self.p, self.inverse, self.fresh, self.x = (aligned_zeros(more, np.float64) for _ in range(4))
        self.list, self.active = (aligned_zeros(size, np.int32) for _ in range(2))
        self.handle: Any = None  # the C backend's pointer to words, made when first needed
        self.counters[:] = [n, columns, 0, 2, 0]
        self.scalars[:] = [1.0, 0.0, 0.0, 0.0, math.nan] + [1.0] * len(OPTIONS)
        self._table()[:, _ALPHA] = alpha

    def tune(self, **options: float) -> None:
        """Set options of the kernels, some of OPTIONS."""
        for name, value in options.items():
            self._set(name, value)

    def scalar(self, name: str) -> float:
        return float(self.scalars[_SCALARS.index(name)])

    def counter(self, name: str) -> int:
        return int(self.counters[_COUNTERS.index(name)])

    def _step(self) -> int:
        return self.counter("step")

    def _set(self, name: str, value: float) -> None:
        self.scalars[_SCALARS.index(name)] = value

    @property
    def decay(self) -> float:
        return self.scalar("decay")

    @decay.setter
    def decay(self, value: float) -> None:
        self._set("decay", value)

    @property
    def v_old(self) -> float:
        return self.scalar("v_old")

    @v_old.setter
    def v_old(self, value: float) -> None:
        self._set("v_old", value)

    def _table(self) -> Float64:
        """View of the rows, (size, 8)."""
        return self.rows.reshape(-1, len(_ROW))

    def vectors(self) -> dict[str, Float64]:
        """What the rows mean: the vectors of DenseSteps, new ones."""
        rows, listed = self._table().T, self.counter("listed")
        scale, drive = self.scalar("scale"), self.scalar("drive")
        out = {name: np.zeros(rows.shape[1]) for name in _VECTORS}
        swift = self.kind == "swift"
        with np.errstate(all="ignore"):  # a diverged learner shows what it has
            out["w"] = rows[_B] + rows[_Z] * drive
            driven = rows[_Z_BAR] if swift else rows[_Z]
            out["h"] = rows[_H] + driven * drive
            out["beta"] = np.log(self.alphas())
            if swift:
                out["z"], out["z_bar"] = rows[_Z] * scale, rows[_Z_BAR] * scale
                out["p"][self.list[:listed]] = self.p[:listed] * scale
                earlier = rows[_H] + rows[_Z_BAR] * self.scalar("drive_before")
                just_active = rows[_LAST] == self.counter("step") - 1
                out["h_old"] = np.where(just_active, rows[_BEFORE], earlier)
            else:
                out["z"], out["normaliser"] = rows[_Z_BAR] * scale, rows[_BEFORE].copy()
        return out

    def set_vectors(self, vectors: dict[str, Float64]) -> None:
        """Become what the vectors say, with the scale 1."""
        rows, swift = self._table().T, self.kind == "swift"
        alphas = np.exp(vectors["beta"])
        rows[_B], rows[_H], rows[_ALPHA] = vectors["w"], vectors["h"], alphas
        rows[_Z] = vectors["z"] if swift else alphas * vectors["z"]
        rows[_Z_BAR] = vectors["z_bar"] if swift else vectors["z"]
        rows[_BEFORE] = vectors["h_old"] if swift else vectors["normaliser"]
        rows[_LAST] = self.counter("step") - 1
        traced = (vectors["z"] != 0.0) | (vectors["z_bar"] != 0.0) | (vectors["p"] != 0.0)
        which = np.flatnonzero(traced)
        listed = len(which)
        rows[_SLOT], self.p[:] = 0.0, 0.0
        rows[_SLOT, which] = np.arange(1, listed + 1)
        self.list[:listed], self.fresh[:listed] = which, 1.0
        self.p[:listed], self.inverse[:listed] = vectors["p"][which], 1.0 / alphas[which]
        self.counters[_COUNTERS.index("listed")] = listed
        for name, value in zip(_CARRIED[:3], (1.0, 0.0, 0.0), strict=True):
            self._set(name, value)
        self.awake[0], self.ranks[:] = 0, 0.0

    def dense(self) -> tuple[Float64, Float64]:
        """Copies of w and z, both (n * columns,)."""
        vectors = self.vectors()
        return vectors["w"], vectors["z"]

    def alphas(self) -> Float64:
        """The step sizes, (n * columns,)."""
        alphas, listed = self._table()[:, _ALPHA].copy(), self.counter("listed")
        if self.kind == "swift":
            alphas[self.list[:listed]] = 1.0 / self.inverse[:listed]
        return alphas

    def set_alphas(self, alphas: float | Float64) -> None:
        rows, listed = self._table().T, self.counter("listed")
        if self.kind != "swift":  # z holds alpha; the weights stay
            drive, z = self.scalar("drive"), alphas * rows[_Z_BAR]
            rows[_B] += (rows[_Z] - z) * drive
            rows[_H] += (rows[_Z] - z) * drive
            rows[_Z] = z
        rows[_ALPHA] = alphas
        self.inverse[:listed] = 1.0 / rows[_ALPHA, self.list[:listed]]
        self.ranks[_RANKS.index("calm") - 1] = 0.0

    def set_weights(self, w: Float64) -> None:
        """New weights under the traces that are there; what is not finite in them would spoil the weights."""
        vectors = self.vectors()
        vectors["w"][:] = w
        if all(np.isfinite(vector).all() for vector in vectors.values()):
            rows, drive = self._table().T, self.scalar("drive")
            rows[_B] = w  # and the rest stays to the bit: drive begins anew
            rows[_H] += (rows[_Z_BAR] if self.kind == "swift" else rows[_Z]) * drive
            self._set("drive_before", self.scalar("drive_before") - drive)
            self._set("drive", 0.0)
        else:
            _mend(vectors, math.log(self.alpha))
            self.set_vectors(vectors)
        self.v_old = math.nan

    def to(self, backend: str) -> Steps:
        """The same for another backend; C and Numba work on the same arrays."""
        if backend == "numpy":
            return _copied_to(self, backend)
        self.backend = backend
        return self

    def reset(self) -> None:
        module(self.backend, "adaptive").reset(self)
        self.arrived = None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but options, scratch and C's pointers, for a checkpoint that goes on bit for bit."""
        self.counters[_COUNTERS.index("bad_index")] = 0  # of the last call that was refused
        listed = self.counter("listed")
        return self._with_arrival(
            self._with_ranks(
                {
                    "counters": self.counters,
                    "carried": self.scalars[: len(_CARRIED)],
                    "rows": self.rows,
                    "list": self.list[:listed],
                    **{name: getattr(self, name)[:listed] for name in _LIST},
                }
            )
        )

    def _with_ranks(self, arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Beside them, where SwiftTD has looked at it, which rows are at rest."""
        if not (self.awake[0] or self.ranks.any()):
            return arrays
        return arrays | {"ranks": np.array([self.awake[0], *self.ranks])}

    def _take_ranks(self, arrays: dict[str, Any]) -> tuple[dict[str, Any], Float64]:
        rest = dict(arrays)
        ranks = rest.pop("ranks", np.zeros(len(_RANKS)))
        check_arrays({"ranks": ranks}, {"ranks": np.zeros(len(_RANKS))})
        if not (np.isfinite(ranks).all() and (ranks >= 0.0).all() and ranks[0] <= arrays["counters"][2]):
            raise ValueError(f"state: no list has the ranks {ranks.tolist()}")
        return rest, ranks

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        """Become what arrays() gave.  Errors: ValueError, also for what kernels could not trust."""
        arrays, arrived = self._take_arrival(arrays)
        arrays, ranks = self._take_ranks(arrays)
        new = dict(zip(_COUNTERS, (int(each) for each in arrays["counters"]), strict=True))
        listed = new["listed"]
        if not (new["n"] == self.n and new["columns"] == self.columns and 0 <= listed <= len(self.list)):
            raise ValueError(f"state: has the counters {new}, expected n={self.n}, columns={self.columns}")
        expected = self._take_ranks(self._take_arrival(self.arrays())[0])[0]
        expected |= {name: getattr(self, name)[:listed] for name in ("list", *_LIST)}
        check_arrays(arrays, expected)
        rows, which = arrays["rows"].reshape(-1, len(_ROW)), arrays["list"]
        slots = np.zeros(len(rows))
        if not listed or (which.min() >= 0 and which.max() < len(rows)):
            slots[which] = np.arange(1, listed + 1)
        if not (
            2 <= new["step"] < 2**53
            and np.array_equal(rows[:, _SLOT], slots)
            and np.count_nonzero(slots) == listed
            and (rows[:, _LAST] < new["step"]).all()
            and 1 / 64 <= arrays["carried"][0] <= 1.0
        ):
            raise ValueError("state: its list, rows and counters do not belong together")
        self.p[listed:] = 0.0
        for name, array in expected.items():
            array[:] = arrays[name]
        self.awake[0], self.ranks[:] = ranks[0], ranks[1:]
        self.arrived = arrived

    def __getstate__(self) -> dict[str, Any]:
        made = (self.n, self.columns, self.backend, self.kind, self.alpha)
        return {"made": made, "options": self.scalars[-len(OPTIONS) :].copy(), "arrays": self.arrays()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["made"])  # type: ignore[misc]
        self.scalars[-len(OPTIONS) :] = state["options"]
        self.set_arrays(state["arrays"])

    def __deepcopy__(self, memo: dict[int, Any]) -> ListedSteps:
        other = object.__new__(ListedSteps)
        other.__setstate__(self.__getstate__())
        return other


Steps = DenseSteps | ListedSteps


def new_steps(n: int, columns: int, backend: str, kind: str, alpha: float) -> Steps:
    return (DenseSteps if backend == "numpy" else ListedSteps)(n, columns, backend, kind, alpha)


def _mend(vectors: dict[str, Float64], beta: float) -> None:
    """What is not finite, in place: step sizes as at the beginning, the rest 0."""
    for name, vector in vectors.items():
        vector[~np.isfinite(vector)] = beta if name == "beta" else 0.0


def _copied_to(steps: Steps, backend: str) -> Steps:
    other = new_steps(steps.n, steps.columns, backend, steps.kind, steps.alpha)
    other.set_vectors(steps.vectors())
    other.decay, other.v_old, other.arrived = steps.decay, steps.v_old, steps.arrived
    other.tune(**{name: _option(steps, name) for name in OPTIONS})
    return other


def _option(steps: Steps, name: str) -> float:
    return steps.scalar(name) if isinstance(steps, ListedSteps) else getattr(steps, name)
