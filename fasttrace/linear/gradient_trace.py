"""Two weight vectors and their traces: who owns the arrays, and dense copies of what they mean.

DenseGradient   the vectors as the book has them, for the NumPy reference
LazyGradient    the constant-time trace for two vectors; one layout for C and Numba (csrc/gradient.h draws it)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends import module
from ..memory import Float64, aligned_zeros, check_arrays, owned

KINDS = {
    "gtd": 0, "htd": 1, "true_online_gtd": 2, "gtd2": 3, "gtd2_lambda": 4, "tdrc": 5, "proximal_gtd2": 6,
}  # fmt: skip
# The traces of each: z first, whatever it is.  True online GTD: z is e = alpha z, which drives w; k drives v.
TRACES = dict.fromkeys(KINDS, ("z",)) | {"htd": ("z", "zb"), "true_online_gtd": ("z", "k", "g")}

# The words of ft_gradient in csrc/fasttrace.h, in order.
_COUNTERS = (
    "n", "columns", "width", "ring_size", "epoch", "oldest", "alive_max", "swept", "flat", "bad_index",
    "kind", "behaviour_epoch",
)  # fmt: skip
_SCALARS = (
    "scale", "drive", "decay", "v_old", "alpha", "drive_v", "zv", "zz", "zbv", "zzb",
    "behaviour_scale", "behaviour_before",
)  # fmt: skip
_SIZES = ("n", "columns", "width", "ring_size", "alive_max", "kind")  # what stays as the trace is made
_POINTERS = 2
_LATER = ("eta",)  # scalars behind the pointers: options of the learner, in no checkpoint of the trace
_CARRIED = ("decay", "v_old", "alpha")  # what a step hands to the next, whatever the layout

Vectors = dict[str, Float64]


class _GradientTrace:
    """What both layouts share: `vectors` and `set_vectors` tell what is in them."""

    n: int
    columns: int
    backend: str
    kind: str
    v_old: float
    eta: float  # of TDRC: the step size of v by that of w; 0 for others

    def vectors(self) -> Vectors:
        """Dense copies (n * columns,) of w, v and the traces, by name."""
        raise NotImplementedError

    def set_vectors(self, vectors: Vectors) -> None:
        raise NotImplementedError

    def dense(self) -> tuple[Float64, Float64]:
        """Copies of w and of the trace that drives it."""
        vectors = self.vectors()
        return vectors["w"], vectors["z"]

    def set_weights(self, w: Float64) -> None:
        """New w under the traces that are there; what is not finite in them or in v would spoil it."""
        self.set_vectors(_finite(self.vectors()) | {"w": w})
        self.v_old = math.nan

    def set_v(self, v: Float64) -> None:
        """New v; what is not finite in the traces would spoil it."""
        vectors = self.vectors()
        self.set_vectors(_finite(vectors) | {"w": vectors["w"], "v": v})
        self.v_old = math.nan

    def finite(self) -> bool:
        """Whether the vectors are finite, and the sums over them."""
        vectors = self.vectors()
        every: list[Any] = [*vectors.values(), *products(self.kind, vectors).values()]
        return all(bool(np.isfinite(each).all()) for each in every)

    def to(self, backend: str) -> GradientTrace:
        """The same vectors for another backend."""
        other = new_gradient(self.kind, self.n, self.columns, backend)
        other.set_vectors(self.vectors())
        for name in (*_CARRIED, *_LATER):
            setattr(other, name, getattr(self, name))
        return other


def _finite(vectors: Vectors) -> Vectors:
    return {name: np.where(np.isfinite(each), each, 0.0) for name, each in vectors.items()}


def products(kind: str, vectors: Vectors) -> dict[str, Any]:
    """The inner products that a LazyGradient keeps, taken over the whole vectors.  O(n)."""
    z, v = vectors["z"], vectors["v"]
    with np.errstate(all="ignore"):
        if kind == "htd":
            zb = vectors["zb"]
            return {"zv": z @ v, "zz": z @ z, "zbv": zb @ v, "zzb": z @ zb}
        if kind == "true_online_gtd":
            return {"zv": vectors["g"] @ v, "zz": vectors["g"] @ vectors["k"]}
        return {"zv": z @ v, "zz": z @ z}


class DenseGradient(_GradientTrace):
    """w, v and the traces, (n * columns,) each, and what one step hands to the next."""

    def __init__(self, kind: str, n: int, columns: int, backend: str = "numpy") -> None:
        self.kind, self.n, self.columns, self.backend = kind, n, columns, backend
        self._names = ("w", "v", *TRACES[kind])
        for name in self._names:
            setattr(self, name, aligned_zeros(n * columns, np.float64))
        self.decay, self.v_old, self.alpha, self.eta = 0.0, math.nan, 0.0, 0.0

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(owned(state))

    def vectors(self) -> Vectors:
        return {name: getattr(self, name).copy() for name in self._names}

    def set_vectors(self, vectors: Vectors) -> None:
        for name in self._names:
            getattr(self, name)[:] = vectors[name]

    def to(self, backend: str) -> GradientTrace:
        return self if backend == self.backend else super().to(backend)

    def reset(self) -> None:
        for name in TRACES[self.kind]:
            getattr(self, name).fill(0.0)
        self.decay, self.v_old = 0.0, math.nan

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything, for a checkpoint."""
        vectors = {name: getattr(self, name) for name in self._names}
        return vectors | {"carried": np.array([self.decay, self.v_old, self.alpha])}

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        check_arrays(arrays, self.arrays())
        self.set_vectors({name: arrays[name] for name in self._names})
        self.decay, self.v_old, self.alpha = (float(each) for each in arrays["carried"])


def _scalar(name: str, names: tuple[str, ...] = _SCALARS, array: str = "scalars") -> property:
    at = names.index(name)
    return property(
        lambda self: float(getattr(self, array)[at]),
        lambda self, value: getattr(self, array).__setitem__(at, value),
    )


class LazyGradient(_GradientTrace):
    """The arrays of the constant-time trace for two vectors, over which C and Numba work alike.

    words    the C struct ft_gradient: `counters` (int64), `scalars` (float64), C's pointers, `later` scalars
    rows     (n * columns * width,) records; `marks` are the same words as int64: epochs are integers
    ring     (4 * ring_size,) of (G_w, G_v, P, P)
    """

    decay = _scalar("decay")
    v_old = _scalar("v_old")
    alpha = _scalar("alpha")
    eta = _scalar("eta", _LATER, "later")

    def __init__(self, kind: str, n: int, columns: int, backend: str) -> None:
        self.kind, self.n, self.columns, self.backend = kind, n, columns, backend
        self.width = 4 if kind in ("gtd", "gtd2", "gtd2_lambda") else 8
        records = n * columns
        self.ring_size = 1024
        while self.ring_size < records // 4:
            self.ring_size *= 2
        alive_max = 64
        while alive_max * alive_max < records:
            alive_max *= 2
        self.words = aligned_zeros(len(_COUNTERS) + len(_SCALARS) + _POINTERS + len(_LATER), np.int64)
        self.counters = self.words[: len(_COUNTERS)]
        self.scalars = self.words[len(_COUNTERS) :][: len(_SCALARS)].view(np.float64)
        self.later = self.words[-len(_LATER) :].view(np.float64)
        self.rows = aligned_zeros(records * self.width, np.float64)
        self.marks = self.rows.view(np.int64)
        self.ring = aligned_zeros(4 * self.ring_size, np.float64)
        self.handle: Any = None  # the C backend's pointer to words, made when first needed
        sizes = [n, columns, self.width, self.ring_size, 0, 0, alive_max, 0, 1, 0, KINDS[kind], 0]
        self.counters[:] = sizes
        self._set(scale=1.0, v_old=math.nan, behaviour_scale=1.0)
        self.ring[2:4] = 1.0

    def scalar(self, name: str) -> float:
        return float(self.scalars[_SCALARS.index(name)])

    def counter(self, name: str) -> int:
        return int(self.counters[_COUNTERS.index(name)])

    def _set(self, **values: float) -> None:
        for name, value in values.items():
            self.scalars[_SCALARS.index(name)] = value

    def vectors(self) -> Vectors:
        table, marks = self.rows.reshape(-1, self.width).T, self.marks.reshape(-1, self.width).T
        epochs = marks[5 if self.kind == "true_online_gtd" else 3]
        G_w, G_v, P, _ = self.ring.reshape(-1, 4)[epochs & (self.ring_size - 1)].T
        z, k = table[2], table[3 if self.kind == "true_online_gtd" else 2]
        scale = self.scalar("scale")
        with np.errstate(all="ignore"):  # a diverged learner shows what it has
            vectors = {
                "w": table[0] + z * G_w + z * P * self.scalar("drive"),
                "v": table[1] + k * G_v + k * P * self.scalar("drive_v"),
                "z": z * P * scale,
            }
            if self.kind in ("htd", "tdrc"):
                age = self.counter("behaviour_epoch") - marks[5]
                kept = np.where(age == 0, 1.0, np.where(age == 1, self.scalar("behaviour_before"), 0.0))
            if self.kind == "htd":
                vectors["zb"] = table[4] * kept * self.scalar("behaviour_scale")
            elif self.kind == "tdrc":
                u = table[1] * kept + z * G_v + z * P * self.scalar("drive_v")
                vectors["v"] = u * self.scalar("behaviour_scale")
            elif self.kind == "true_online_gtd":
                vectors |= {"k": k * P * scale, "g": table[4] * P * scale}
        return vectors

    def set_vectors(self, vectors: Vectors) -> None:
        """What the epochs hold must not outlive records that are set: flatten leaves P = 1, drive = 0."""
        module(self.backend, "gradient").flatten(self)
        table = self.rows.reshape(-1, self.width).T
        table[0], table[1], table[2] = vectors["w"], vectors["v"], vectors["z"]
        if self.kind == "htd":
            table[4] = vectors["zb"]
        elif self.kind == "true_online_gtd":
            table[3], table[4] = vectors["k"], vectors["g"]
        self._set(**products(self.kind, vectors))

    def finite(self) -> bool:
        kept = self.scalars[_SCALARS.index("zv") : _SCALARS.index("zzb") + 1]
        vectors = self.vectors().values()
        return bool(np.isfinite(kept).all()) and all(bool(np.isfinite(each).all()) for each in vectors)

    def to(self, backend: str) -> GradientTrace:
        """C and Numba work on the same arrays."""
        if backend == "numpy":
            return super().to(backend)
        self.backend = backend
        return self

    def reset(self) -> None:
        module(self.backend, "gradient").reset(self)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything but C's pointers, for a checkpoint that goes on bit for bit."""
        self.counters[_COUNTERS.index("bad_index")] = 0  # of the last call that was refused, not of the trace
        return {"counters": self.counters, "scalars": self.scalars, "rows": self.rows, "ring": self.ring}

    def set_arrays(self, arrays: dict[str, Any]) -> None:
        """Become what arrays() gave.  Errors: ValueError, also for counters that kernels could not trust."""
        own = self.arrays()
        check_arrays(arrays, own)
        new = dict(zip(_COUNTERS, (int(each) for each in arrays["counters"]), strict=True))
        scalars = dict(zip(_SCALARS, (float(each) for each in arrays["scalars"]), strict=True))
        if not (
            all(new[name] == self.counter(name) for name in _SIZES)
            and 0 <= new["oldest"] <= new["epoch"] <= min(new["oldest"] + new["alive_max"], 2**62)
            and 0 <= new["swept"] < self.n * self.columns
            and 0 <= new["behaviour_epoch"] <= 2**62
            and new["flat"] in (0, 1)
            and 0.1 <= scalars["scale"] <= 10.0
            and 1e-100 <= scalars["behaviour_scale"] <= 1.0
            and 0.0 <= scalars["behaviour_before"] <= 1.0
        ):
            raise ValueError(f"state: no trace of this size has the counters {new} with {scalars}")
        for name, array in own.items():
            array[:] = arrays[name]

    def __getstate__(self) -> dict[str, Any]:
        return {
            "size": (self.kind, self.n, self.columns, self.backend),
            "arrays": self.arrays(),
            "later": self.later.copy(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(*state["size"])  # type: ignore[misc]
        self.set_arrays(state["arrays"])
        self.later[:] = state.get("later", 0.0)  # a pickle from before has none

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyGradient:
        other = LazyGradient(self.kind, self.n, self.columns, self.backend)
        other.set_arrays(self.arrays())
        other.eta = self.eta
        return other


GradientTrace = DenseGradient | LazyGradient


def new_gradient(kind: str, n: int, columns: int, backend: str) -> GradientTrace:
    return (DenseGradient if backend == "numpy" else LazyGradient)(kind, n, columns, backend)
