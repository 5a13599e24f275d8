"""Many predictions on one stream of features."""

from __future__ import annotations

import math
import operator
import threading
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..backends import NAMES, Backend, Device, Name
from ..errors import FeatureIndexError
from ..features import (
    EMPTY_ROW,
    Row,
    as_int32,
    is_one_hot,
    is_stream,
    parse_rows,
    parse_state,
    raise_bad_index,
)
from ..kinds import foreign
from ..learner import Learner
from ..linear.gradient import GTD
from ..linear.prediction import TD, TrueOnlineTD
from ..memory import Float64, aligned_copy, aligned_zeros, owned
from ..pieces import held, in_pieces
from .horde_there import horde_in, moved
from .horde_trace import MOST_CHUNKS, HordeStream, HordeTrace, folded
from .lanes import EIGHT, lanes_of

Kind = Literal["TD", "TrueOnlineTD", "GTD"]

_LEARNERS: tuple[Kind, ...] = ("TD", "TrueOnlineTD", "GTD")
_TRACES = ("accumulating", "replacing", "dutch")
_AT_FIRST = 50e6  # nanoseconds: what is expected to take longer is done in pieces
_AIM = 0.08  # seconds of a piece: each begins with all chunks out of the cache
_CHECKS = {"alpha": "positive", "beta": "positive", "gamma": "unit", "lambda_": "unit"}


class Horde(Learner):
    """Many predictions on one stream of features: each learned as a learner by itself would learn it.

        horde = ft.Horde(4096, 3, learner="TrueOnlineTD", alpha=0.01, gamma=[0.5, 0.9, 0.99])
        values = horde.predict(x)                                (m,)
        deltas = horde.update(x, cumulants, x_next)              (m,) of each
        deltas = horde.learn(x, cumulants)                       (T, m)

    n_features              weights of each prediction
    m                       predictions
    learner                 "TD", "TrueOnlineTD" or "GTD"
    trace                   of TD: "accumulating", "replacing" or "dutch"
    alpha, gamma, lambda_   number or (m,)
    beta                    of GTD: number or (m,), the step size of v

    Memory is taken for features that have been active: 16 bytes of each and prediction, 24 of GTD.

    Source: Sutton et al. 2011, "Horde", AAMAS.  docs/horde says what it costs and when to use it.
    """

    _stem = "horde"
    _trace: HordeTrace

    def __init__(
        self,
        n_features: int,
        m: int,
        learner: Kind = "TD",
        trace: Literal["accumulating", "replacing", "dutch"] = "accumulating",
        *,
        alpha: Any,
        gamma: Any = 0.99,
        lambda_: Any = 0.9,
        beta: Any = None,
        backend: Backend | Device = "auto",
    ) -> None:
        self.n_features = arguments.count("n_features", n_features)
        m = arguments.count("m", m, 1, EIGHT * MOST_CHUNKS)
        self.learner = arguments.choice("learner", learner, _LEARNERS)
        self._kind = arguments.choice("trace", trace, _TRACES)
        if learner != "TD" and trace != "accumulating":
            raise ValueError(f"trace: got {trace!r} with learner={learner!r}, it is for 'TD' alone")
        _check_beta(beta, learner)
        self._kind = {"TrueOnlineTD": "true_online", "GTD": "gtd"}.get(learner, trace)
        self._numbers = {
            "alpha": _each("alpha", alpha, m),
            "gamma": _each("gamma", gamma, m),
            "lambda_": _each("lambda_", lambda_, m),
            "beta": aligned_zeros(m, np.float64) if beta is None else _each("beta", beta, m),
        }
        lanes = lanes_of(self._numbers["gamma"] * self._numbers["lambda_"])
        self._trace = horde_in(self._kind, self.n_features, lanes, backend)
        self._free()
        self._bind()

    def _bind(self) -> None:
        super()._bind()
        self._tell()

    @property
    def backend(self) -> Name | Device:  # type: ignore[override]
        """Name of the backend in use."""
        return "cuda" if self._trace.on_gpu else cast(Name, self._trace.backend)

    def to(self, backend: Backend | Device) -> Self:
        """Go on in another backend; changes this horde and returns it.

        Errors: BackendUnavailable, ValueError for an unknown name.
        """
        with self._in_use():
            self._trace = moved(self._trace, backend)
            self._bind()
        return self

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"backend": self._trace.backend}

    def _tell(self) -> None:
        self._trace.tell(self._numbers["alpha"], self._numbers["beta"])

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state | {"_numbers": owned(state["_numbers"])})

    # ---- options -------------------------------------------------------------------------------------------

    @property
    def m(self) -> int:
        """How many predictions there are."""
        return len(self._numbers["alpha"])

    def __len__(self) -> int:
        return self.m

    def _get(self, name: str) -> Float64:
        return self._numbers[name].copy()

    def _set(self, name: str, value: Any) -> None:
        numbers = _each(name, value, self.m)
        with self._in_use():
            self._numbers = self._numbers | {name: numbers}
            self._tell()

    alpha: Any = property(
        lambda self: self._get("alpha"),
        lambda self, value: self._set("alpha", value),
        doc="Step sizes, (m,).",
    )
    gamma: Any = property(lambda self: self._get("gamma"), lambda self, value: self._set("gamma", value))
    lambda_: Any = property(
        lambda self: self._get("lambda_"), lambda self, value: self._set("lambda_", value)
    )

    @property
    def beta(self) -> Float64:
        """Step sizes of v, (m,); of GTD alone."""
        self._require_v("beta")
        return self._get("beta")

    @beta.setter
    def beta(self, value: Any) -> None:
        self._require_v("beta")
        self._set("beta", value)

    def _require_v(self, name: str) -> None:
        if self.learner != "GTD":
            raise AttributeError(f"{name}: is of learner='GTD', this horde has {self.learner!r}")

    def _options(self) -> dict[str, Any]:
        trace = self._kind if self.learner == "TD" else "accumulating"
        options = {"n_features": self.n_features, "m": self.m, "learner": self.learner, "trace": trace}
        numbers = {name: each.tolist() for name, each in self._numbers.items()}
        if self.learner != "GTD":
            del numbers["beta"]
        return options | numbers

    @classmethod
    def _of_options(cls, options: dict[str, Any], backend: Name) -> Self:
        return cls(**options, backend=backend)

    @classmethod
    def _entries(cls, options: dict[str, Any]) -> int:
        return arguments.count("m", options["m"])

    def __repr__(self) -> str:
        def short(numbers: Float64) -> str:
            low, high = numbers.min(), numbers.max()
            return f"{low:g}" if low == high else f"{low:g} to {high:g}"

        options = self._options()
        numbers = ", ".join(f"{name}={short(self._numbers[name])}" for name in _CHECKS if name in options)
        trace = f", trace={self._kind!r}" if self.learner == "TD" else ""
        size = f"{self.n_features}, {self.m}, learner={self.learner!r}{trace}"
        return f"Horde({size}, {numbers}, backend={self.backend!r})"

    # ---- what it has learned -------------------------------------------------------------------------------

    @property
    def weights(self) -> Float64:
        """A copy of the weights, (n_features, m).

        Setting them keeps the traces; the next step takes v_old = v.  Of traces that have diverged, what is
        not finite becomes 0.
        """
        with self._read():
            return self._trace.vectors()["w"]

    @weights.setter
    def weights(self, value: Any) -> None:
        self._set_vector("w", arguments.finite_array("weights", value, (self.n_features, self.m)))

    @property
    def v(self) -> Float64:
        """A copy of GTD's second vectors, (n_features, m).  Setting them keeps weights and traces."""
        self._require_v("v")
        with self._read():
            return self._trace.vectors()["v"]

    @v.setter
    def v(self, value: Any) -> None:
        self._require_v("v")
        self._set_vector("v", arguments.finite_array("v", value, (self.n_features, self.m)))

    def _set_vector(self, name: str, value: Float64) -> None:
        with self._in_use(), held():
            vectors = self._trace.vectors()
            for each in ("z", "v"):
                if each in vectors:
                    vectors[each] = np.where(np.isfinite(vectors[each]), vectors[each], 0.0)
            self._trace.set_vectors(vectors | {name: value})
            self._trace.carry(self._trace.carried() | {"v_old": np.full(self.m, math.nan)})

    @property
    def trace(self) -> Float64:
        """A copy of the traces as the last update used them, not yet decayed, (n_features, m)."""
        with self._read():
            z = self._trace.vectors()["z"]
            if folded(self._kind):
                taken = self._trace.carried()["taken"]
                z /= np.where(taken == 0.0, 1.0, taken)
            return z

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """Which predictions, (m,), have a weight, trace or sum that is no longer finite; others go on."""
        with self._read():
            well = self._trace.finite()
            if self._kind == "true_online":
                well &= ~np.isinf(self._trace.carried()["v_old"])
            return ~well

    def __getitem__(self, j: int) -> TD | TrueOnlineTD | GTD:
        """A learner that goes on as prediction j would; a copy.  Errors: IndexError."""
        j = self._index(j)
        numbers: dict[str, Any] = {name: float(each[j]) for name, each in self._numbers.items()}
        beta, numbers["backend"] = numbers.pop("beta"), self._trace.backend
        learner: Any
        if self.learner == "GTD":
            learner = GTD(self.n_features, beta=beta, **numbers)
        elif self.learner == "TrueOnlineTD":
            learner = TrueOnlineTD(self.n_features, **numbers)
        else:
            learner = TD(self.n_features, cast(Any, self._kind), **numbers)
        with self._read():
            vectors, carried = self._trace.column(j)
        trace = learner._trace
        if self.learner == "GTD":
            trace.set_vectors(vectors)
        else:
            trace.set_dense(vectors["w"], vectors["z"])
        trace.decay, trace.v_old, trace.alpha = carried["decay"], carried["v_old"], carried["taken"]
        return learner

    def _index(self, j: Any) -> int:
        if isinstance(j, (bool, np.bool_)) or not hasattr(type(j), "__index__"):
            raise TypeError(f"prediction: expected an integer, got {type(j).__name__}")
        number = operator.index(j)
        if not -self.m <= number < self.m:
            raise IndexError(f"prediction {number} is out of range, expected 0 to {self.m - 1}")
        return number % self.m

    def reset(self) -> None:
        """End the stream: the traces are emptied, v_old is forgotten; the weights stay."""
        with self._in_use():
            self._trace.reset()

    # ---- more and fewer predictions ------------------------------------------------------------------------

    @arguments.explained
    def add(self, *, alpha: Any, gamma: Any = 0.99, lambda_: Any = 0.9, beta: Any = None) -> int:
        """One more prediction, of weights 0 and with an empty trace; the others go on as they are.

        Returns its number, the highest.  Where no chunk of such a decay has a lane to spare, all that has
        been learned may be copied.
        """
        _check_beta(beta, self.learner)
        given = {"alpha": alpha, "gamma": gamma, "lambda_": lambda_, "beta": beta}
        new = {name: _each(name, each, 1) for name, each in given.items() if each is not None}
        new.setdefault("beta", np.zeros(1))
        with self._in_use(), held():
            lanes, before = self._trace.lanes, self._numbers
            decays = before["gamma"] * before["lambda_"]
            lane = lanes.free_for(float(new["gamma"][0] * new["lambda_"][0]), decays)
            chunks = lanes.chunks + (lane is None)
            lane = EIGHT * lanes.chunks if lane is None else lane
            self._trace.add(lanes.with_one(lane, chunks), lane)
            self._numbers = owned({name: np.append(before[name], new[name]) for name in before})
            self._tell()
        return self.m - 1

    def remove(self, j: int) -> None:
        """Prediction j goes; later ones move down by one.

        With the last of a chunk of eight the chunk goes: all that has been learned may be moved.

        Errors: IndexError; ValueError where it is the only one.
        """
        j = self._index(j)
        if self.m == 1:
            raise ValueError("prediction 0 is the only one, a horde has at least one")
        with self._in_use(), held():
            self._trace.remove(j)
            self._numbers = owned({name: np.delete(each, j) for name, each in self._numbers.items()})
            self._tell()

    # ---- predicting and learning ---------------------------------------------------------------------------

    @arguments.explained
    def predict(self, x: Any) -> Float64:
        """Values w.x of all predictions, learning nothing.

        x  features of one state, or of a stream (T + 1 rows).
        Returns (m,), or (T + 1, m).
        Errors: FeatureIndexError, ValueError, TypeError.
        """
        if kind := foreign(x):
            return kind.call(self.predict, "x", x)
        stream = is_stream(x)
        rows = parse_rows(x, self.n_features) if stream else parse_state(x, self.n_features)
        raise_bad_index(rows.indices, self.n_features, shape=rows.shape)
        rows.checked = rows.checked or 2
        with self._read():
            size = self._first(rows.k if rows.indptr is None else len(rows.indices) / max(rows.count, 1))
            if rows.count <= size:
                values = self._trace.values(rows)
            else:
                parts = range(0, rows.count, size)
                values = np.concatenate(
                    [self._trace.values(rows.part(i, min(i + size, rows.count))) for i in parts]
                )
        return values if stream else values[0]

    @arguments.explained
    def update(
        self,
        x: Any,
        cumulants: Any,
        x_next: Any,
        *,
        gammas: Any = None,
        lambdas: Any = None,
        rhos: Any = None,
    ) -> Float64:
        """Learn from one transition.

        x, x_next  features of S_t and S_{t+1}; x_next may be None where all discounts are 0
        cumulants  (m,) what each prediction is about: its R_{t+1}
        gammas     number or (m,): discounts on arriving in S_{t+1}; 0 ends the episode of that prediction
        lambdas    number or (m,): of S_{t+1}
        rhos       number or (m,): pi(A_t|S_t) / mu(A_t|S_t) of each prediction's policy; None is on-policy

        Returns (m,) TD errors, delta_t under the weights before the update.
        Errors: FeatureIndexError, ValueError, TypeError; RuntimeError where another thread uses the horde.
        """
        m = self.m
        rewards = cumulants
        if not (type(rewards) is np.ndarray and rewards.dtype is arguments.FLOAT64 and rewards.shape == (m,)):
            rewards = arguments.floats("cumulants", cumulants)
        if rewards.shape != (m,) or not math.isfinite(np.vdot(rewards, rewards)):
            rewards = arguments.finite_array("cumulants", rewards, (m,))
        discounts = _of_a_step("gammas", gammas, m, "unit")
        numbers = (
            rewards, discounts, _of_a_step("lambdas", lambdas, m, "unit"),
            _of_a_step("rhos", rhos, m, "not_negative"),
        )  # fmt: skip
        row = self._row(x, "x")
        if x_next is None:
            if (self._numbers["gamma"] if discounts is None else discounts).any():
                raise ValueError(
                    "x_next: got None with discounts above 0; None is for the end of an episode, gammas=0"
                )
            row_next = EMPTY_ROW
        else:
            row_next = self._row(x_next, "x_next")
        with self._in_use():
            own = (rewards, self._numbers["gamma"], self._numbers["lambda_"], _ONE)
            try:
                return self._trace.step(row, row_next, numbers, own)
            except FeatureIndexError:
                raise_bad_index(row.indices, self.n_features, "x")
                raise_bad_index(row_next.indices, self.n_features, "x_next")
                raise

    def _row(self, x: Any, name: str) -> Row:
        """Active features of one state; plain indices are left to the kernels to look at."""
        row = as_int32(x)
        if (
            type(row) is np.ndarray
            and row.dtype is arguments.INT32
            and row.ndim == 1
            and row.flags.c_contiguous
            and self._trace.backend != "numpy"
            and not (len(row) == self.n_features and is_one_hot(row, self.n_features))
        ):
            return Row(row, None)
        rows = parse_state(x, self.n_features, name)
        raise_bad_index(rows.indices, self.n_features, name, rows.shape)
        if rows.values is not None:
            self._refuse_values(name)
        return rows.row(0)

    def _refuse_values(self, name: str) -> None:
        if self._kind == "replacing":
            raise ValueError(
                f"{name}: replacing traces are for binary features, given as indices; got values"
            )

    def learn(
        self, x: Any, cumulants: Any, *, gammas: Any = None, lambdas: Any = None, rhos: Any = None
    ) -> Float64:
        """Learn from a stream of T transitions; a discount of 0 ends the episode of its prediction alone.

        x          features of S_0 to S_T: (T + 1, k) indices, a pair, Ragged, or dense (T + 1, n)
        cumulants  (T, m): entry t holds each prediction's R_{t+1}
        gammas     number, (T,) for all predictions, (1, m) for all steps, or (T, m): entry t is gamma_{t+1}
        lambdas    likewise: entry t is lambda_{t+1}
        rhos       likewise, or of T + 1 steps: entry t is pi(A_t|S_t) / mu(A_t|S_t); None is on-policy

        Returns (T, m) TD errors, delta_t under the weights before update t.  A further call goes on from
        here.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, ValueError, TypeError, before anything has changed; RuntimeError where
        another thread uses the horde.
        """
        rows = parse_rows(x, self.n_features)
        if rows.count < 1:
            raise ValueError("x: got no rows, expected T + 1 with T rows of cumulants")
        steps, m = rows.count - 1, self.m
        given = arguments.floats("cumulants", cumulants)
        if given.shape != (steps, m):
            raise ValueError(
                f"cumulants: got shape {given.shape}, expected ({steps}, {m}): x has {rows.count} rows, one "
                "more than there are steps"
            )
        with np.errstate(all="ignore"):
            total = given.sum()  # a look at each number, once; it may also overflow
        if not math.isfinite(total):
            arguments.finite_array("cumulants", given, (steps, m))
        series = {
            "gammas": _by_step("gammas", gammas, steps, m, self._numbers["gamma"], "unit"),
            "lambdas": _by_step("lambdas", lambdas, steps, m, self._numbers["lambda_"], "unit"),
            "rhos": _by_step("rhos", rhos, steps, m, _ONE, "not_negative", spare=True),
        }
        if rows.values is not None:
            self._refuse_values("x")
        raise_bad_index(rows.indices, self.n_features, shape=rows.shape)
        rows.checked = 2
        deltas = np.empty((steps, m))
        if steps == 0:
            return deltas
        stream = HordeStream(steps=steps, rows=rows, cumulants=given, deltas=deltas, **series)
        with self._in_use():
            first = self._first(rows.k if rows.indptr is None else len(rows.indices) / rows.count)
            if steps <= first and (self.backend != "numpy" or steps == 1):
                self._trace.run(stream)
                return deltas
            self._user = threading.get_ident()
            try:
                in_pieces(
                    steps, first, lambda begin, end: self._trace.run(stream.part(begin, end)),
                    lambda done: {"deltas": deltas[:done]}, _AIM,
                )  # fmt: skip
            finally:
                self._user = 0
        return deltas

    def _first(self, entries: float) -> int:
        """How many steps surely take less than a tenth of a second, at least 1."""
        if self.backend == "numpy":
            return max(1, int(_AT_FIRST / (self.m * (1e5 + 20.0 * self.n_features))))
        return max(1, int(_AT_FIRST / (100.0 + 1.2 * self.m * (1.0 + entries))))

    # ---- states --------------------------------------------------------------------------------------------

    def _checked_state(self, state: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        mine, theirs = self._options(), dict(state["options"])
        for name in ("n_features", "learner", "trace"):
            if mine[name] != theirs.get(name):
                raise ValueError(f"state: has {name}={theirs.get(name)!r}, this horde has {mine[name]!r}")
        would_be = type(self)._of_options(theirs, arguments.choice("backend", state["backend"], NAMES))
        learned = would_be._trace
        learned.set_arrays({name: np.asarray(array) for name, array in state["arrays"].items()})
        return {"_numbers": would_be._numbers}, learned

    def _become(self, attributes: dict[str, Any], learned: Any) -> None:
        self.__dict__.update(attributes)
        self._trace = moved(learned, self.backend)
        self._bind()


_ONE = np.ones(1)


def _each(name: str, value: Any, m: int) -> Float64:
    """A number for each prediction, (m,), of one number or as many."""
    array = arguments.floats(name, value)
    if array.shape not in ((), (m,)):
        raise ValueError(f"{name}: got shape {array.shape}, expected a number or ({m},)")
    arguments.series(name, array.reshape(-1), array.size, None, _CHECKS[name])
    return aligned_copy(np.broadcast_to(array, (m,)))


def _of_a_step(name: str, value: Any, m: int, allowed: str) -> Float64 | None:
    """None, (1,) or (m,)."""
    if value is None:
        return None
    array = arguments.floats(name, value)
    if array.shape not in ((), (m,)):
        raise ValueError(f"{name}: got shape {array.shape}, expected a number or ({m},)")
    array = array.reshape(-1)
    return arguments.series(name, array, array.size, None, allowed)


def _check_beta(beta: Any, learner: Kind) -> None:
    if (beta is None) == (learner == "GTD"):
        raise ValueError(f"beta: got {beta!r} with learner={learner!r}, it is for 'GTD', which needs it")


def _by_step(
    name: str, value: Any, steps: int, m: int, own: Float64, allowed: str, spare: bool = False
) -> Float64:
    """(1, 1), (T, 1), (1, m) or (T, m); what None stands for is `own`.  spare: T + 1 steps will do."""
    if value is None:
        return own[np.newaxis]
    array = arguments.floats(name, value)
    if array.ndim == 0:
        array = array.reshape(1, 1)
    elif spare and array.ndim and len(array) == steps + 1 and array.shape[1:] in ((), (m,)) and steps:
        array = array[:-1]
    if array.shape not in ((1, 1), (steps,), (1, m), (steps, m)):
        raise ValueError(
            f"{name}: got shape {array.shape}, expected a number, ({steps},), (1, {m}) or ({steps}, {m})"
        )
    flat = array.reshape(-1)
    try:
        arguments.series(name, flat, flat.size, None, allowed)
    except ValueError:
        _explain(name, array, allowed)
        raise
    return array.reshape(-1, 1) if array.ndim == 1 else array


def _explain(name: str, array: Float64, allowed: str) -> None:
    """Say where of a table the first wrong number stands."""
    if array.ndim < 2 or array.size == 1:
        return
    for t, row in enumerate(array):
        try:
            arguments.series(f"{name}: step {t}", row, len(row), None, allowed)
        except ValueError as error:
            raise ValueError(str(error)) from None
