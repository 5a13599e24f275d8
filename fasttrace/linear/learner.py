"""What all linear learners share: weights and trace, and the ways of streams into the kernels."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np

from .. import arguments
from ..backends import NAMES, Name, module, resolve
from ..errors import FeatureIndexError
from ..features import Rows, Stream, raise_bad_index
from ..layout import NO_OPTIONS, Options
from ..learner import Learner
from ..memory import Float64
from ..pieces import in_pieces
from ..policy import Method, Own
from ..quick import bits, native
from .addresses import Interface, cffi_interface, ctypes_interface
from .trace import FOLDED, in_dtype, new_trace

T = TypeVar("T")
Kind = Literal["accumulating", "replacing", "dutch"]  # of the traces that may be chosen

_AT_FIRST = 30e6  # nanoseconds: what is expected to take longer is done in pieces


class LinearLearner(Learner):
    """Base of the linear learners.  Not for use by itself.

    _kind is that of the trace.  Where it may be chosen, _kinds are those, and __init__ sets it.
    """

    _stem: ClassVar[str] = "linear"
    _kernel: ClassVar[str]  # the function <kernel>_run in it
    _target: ClassVar[str] = "taken"  # what the value of S_{t+1} is; csrc/fasttrace.h lists them
    _kind: str
    _alpha: float | None = None  # of a step, for those that take steps
    _kinds: ClassVar[tuple[str, ...]] = ()  # what `trace` may be; empty: the kernel has one trace of its own
    _tunable: ClassVar[tuple[str, ...]] = ("gamma", "lambda_")

    def __init__(
        self,
        n_features: int,
        columns: int = 1,
        *,
        gamma: float,
        lambda_: float,
        backend: str,
    ) -> None:
        self.n_features = arguments.count("n_features", n_features)
        self.gamma = gamma
        self.lambda_ = lambda_
        self._columns = columns
        self._trace = self._new_trace(resolve(backend))
        self._free()
        self._bind()

    def _bind(self) -> None:
        super()._bind()
        make = native and getattr(self._module, "call", None)
        self._call = None
        if make:
            told = self._kernel, self._kind, self._target
            self._call = make(self._trace, *told, lock=self._lock, **self._call_fields())
        self._tell()

    def _call_fields(self) -> dict[str, Any]:
        """What the quick way has to know beside the numbers that _tell hands on; see _call.c."""
        c_bar, rho_bar, psi, beta = self._kind_options
        return {
            "n": self.n_features, "columns": self._columns, "n_actions": self._columns,
            "binary": self._kind.startswith("replacing"),
            "c_bar": c_bar, "rho_bar": rho_bar, "psi": psi, "option_beta": beta, **self._keyword_bits(),
        }  # fmt: skip

    def _keyword_bits(self, without: tuple[str, ...] = ()) -> dict[str, int]:
        """The keywords that `update` and `learn` take, but for some that the quick way leaves, and need."""
        found = {}
        for method, field in (("update", ""), ("learn", "learn_")):
            names: dict[str, bool] = getattr(self, f"_names_{method}", {})
            needed = [name for name, need in names.items() if need or name in self._required]
            of_learn = method == "learn"
            found[f"{field}takes"] = bits(of_learn, names.keys() - set(without))
            found[f"{field}needs"] = bits(of_learn, needed)
        return found

    @property
    def cffi(self) -> Interface:
        """Addresses of state and step for compiled code, with cffi's pointers; see addresses.Interface.

        Errors: AttributeError for a learner that has no step in C, or not with these options, and for the
        backend "numpy"; BackendUnavailable without C.
        """
        return cffi_interface(self)

    @property
    def ctypes(self) -> Interface:
        """The same with pointers and a function of ctypes."""
        return ctypes_interface(self)

    _single = False  # whether weights are kept in float32, as populations may have them

    def in_dtype(self, dtype: np.dtype[Any]) -> Self:
        """Keep weights and trace in float32 or float64 from now on.  Errors: ValueError."""
        if self._single != (dtype == np.float32):
            if self._stem != "linear" or self.backend == "numpy":
                what = type(self).__name__ if self._stem != "linear" else "backend 'numpy'"
                raise ValueError(f"dtype: got {dtype}, expected float64 for {what}")
            self._trace, self._single = in_dtype(self._trace, dtype), dtype == np.float32
            self._bind()
        return self

    _required: ClassVar[tuple[str, ...]] = ()  # what `learn` cannot do without

    def _tell(self) -> None:
        if self._call is not None:
            self._call.gamma, self._call.lambda_ = self._gamma, self._lambda
            self._call.alpha = 1.0 if self._alpha is None else self._alpha

    def _new_trace(self, backend: str) -> Any:
        """Weights and trace for this backend; other families of learners have other arrays (trace.py)."""
        return new_trace(self.n_features, self._columns, backend, self._single)

    # ---- options -------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        options = ", ".join(
            f"{name}={value!r}" for name, value in self._options().items() if name != "n_features"
        )
        return f"{type(self).__name__}({self.n_features}, {options}, backend={self.backend!r})"

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"n_features": self.n_features}
        if self._kinds:
            options["trace"] = self._kind
        return options | {name: getattr(self, name) for name in self._tunable}

    @classmethod
    def _of_options(cls, options: dict[str, Any], backend: Name) -> Self:
        return cls(**options, backend=backend)

    @classmethod
    def _entries(cls, options: dict[str, Any]) -> int:
        columns = (
            1 if options.get("state_action") else arguments.count("n_actions", options.get("n_actions", 1))
        )
        return columns * arguments.count("n_features", options["n_features"])

    # ---- weights and trace ---------------------------------------------------------------------------------

    def _shape(self) -> tuple[int, ...]:
        return (self.n_features,)

    @property
    def trace(self) -> Float64:
        """A copy of the trace as the last update used it, not yet decayed."""
        with self._read():
            z = self._trace.dense()[1]
            if self._kind in FOLDED and self._trace.alpha:
                z /= self._trace.alpha
            return z.reshape(self._shape())

    @property
    def diverged(self) -> bool:
        """Whether a weight, the trace, or what a step hands to the next is no longer finite."""
        with self._read():
            w, z = self._trace.dense()
            return not (np.isfinite(w).all() and np.isfinite(z).all() and self._carries_on())

    def _carries_on(self) -> bool:
        """Whether the scalars are finite that the next step begins with; NaN for v_old is none."""
        v_old = self._trace.v_old if self._kind.startswith(("true_online", "swift")) else 0.0
        return not math.isinf(v_old) and math.isfinite(getattr(self._trace, "followon", 0.0))

    def reset(self) -> None:
        """End the stream: the trace is emptied and v_old forgotten; weights and step size stay."""
        with self._in_use():
            self._trace.reset()

    @property
    def _kind_options(self) -> Options:
        """Numbers of the kind of trace, where it has some."""
        return NO_OPTIONS

    # ---- loops that are not its own ------------------------------------------------------------------------

    @property
    def _own(self) -> Own:
        """The policy that chooses its actions; learners of state values have none."""
        return ("epsilon", 0.0)

    def method(self) -> Method:
        """What a loop has to know that runs this learner's kernel itself, on its memory; see lend."""
        return Method(
            stem=self._stem,
            kernel=self._kernel,
            kind=self._kind,
            told=self._told(),
            target=self._target,
            own=self._own,
            sigma=getattr(self, "sigma", 1.0),
            numbers=(getattr(self, "alpha", 0.0), self._gamma, self._lambda),
            trace=self._trace,
            run=self._run,
            values=getattr(self._module, "values", None),
            options=self._kind_options,
        )

    def lend(self, work: Callable[[Method], T]) -> T:
        """Let a function work on this learner, for as long as it likes; in that time nobody else may use it.

        The thread that works on it may read it meanwhile.  The state that an agent is in is forgotten.
        """
        with self._in_use():
            self._forget_episode()
            self._user = threading.get_ident()
            try:
                return work(self.method())
            finally:
                self._user = 0

    def _forget_episode(self) -> None:
        """What a learner that acts has to forget where another's episode begins."""

    # ---- calls into the backend ----------------------------------------------------------------------------

    def _refuse_values(self, name: str) -> None:
        if self._kind.startswith("replacing"):
            raise ValueError(
                f"{name}: replacing traces are for binary features, given as indices; got values"
            )

    def _run(self, stream: Stream) -> Float64:
        """Hand a stream to the kernel; the learner is in use already."""
        return getattr(self._module, f"{self._kernel}_run")(self._trace, *self._told(), stream)

    def _told(self) -> tuple[str, ...]:
        """What the kernel is told of its trace: the kind, where there is more than one."""
        return (self._kind,) if self._kinds else ()

    def _learn(self, stream: Stream) -> Float64:
        if stream.values is not None:
            self._refuse_values("x")
        if self.backend == "numpy" or stream.steps == 0:  # the kernels check what they are given themselves
            raise_bad_index(stream.indices, self.n_features, shape=stream.rows.shape)
        if stream.steps == 0:
            return np.empty(0)
        with self._in_use():
            first = self._first(stream.rows, stream.steps)
            # An interrupt would find a step of the reference, which is in Python, half done.
            if stream.steps <= first and (self.backend != "numpy" or stream.steps == 1):
                return self._run(stream)
            return self._run_in_pieces(stream, first)

    def prepared(self, *given: Any, **keywords: Any) -> Stream:
        """The stream that `learn` would learn from: all of it is checked, and nothing is learned.

        For loops that are not its own, of many learners; see method.
        """
        found: list[Stream] = []
        owner = next(each for each in type(self).__mro__ if "learn" in vars(each))
        learn = vars(owner).get("_any_learn") or vars(owner)["learn"]  # by Python, which ends in _learn
        self.__dict__["_learn"] = found.append
        try:
            learn(self, *given, **keywords)
        finally:
            del self.__dict__["_learn"]
        (stream,) = found
        if stream.values is not None:
            self._refuse_values("x")
        if stream.steps:
            stream.rows.check(getattr(module(self.backend, "linear"), "look", None))
        else:
            raise_bad_index(stream.indices, self.n_features, shape=stream.rows.shape)
        return stream

    def first_piece(self, stream: Stream) -> int:
        """Steps of a stream that surely take less than a tenth of a second, at least 1."""
        return self._first(stream.rows, stream.steps)

    def _run_in_pieces(self, stream: Stream, first: int) -> Float64:
        """_run, but that Ctrl-C is heard between two transitions."""
        # The whole, so that no piece is refused when others have been learned.
        stream.rows.check(getattr(module(self.backend, "linear"), "look", None))
        deltas = np.empty(stream.steps)
        stream = stream.but(deltas=deltas)

        def run(begin: int, end: int) -> None:
            part = stream.part(begin, end)
            some = self._run(part)
            if some is not part.deltas:
                deltas[begin:end] = some

        self._user = threading.get_ident()
        try:
            in_pieces(stream.steps, first, run, lambda done: {"deltas": deltas[:done]})
        finally:
            self._user = 0
        return deltas

    def _first(self, rows: Rows, steps: int) -> int:
        """How many steps surely take less than a tenth of a second, at least 1."""
        per_state = max(1, rows.count // (steps + 1))
        work = self._step_work(per_state * most_entries(rows), rows.shared, steps)
        return max(1, int(_AT_FIRST / work))

    def _step_work(self, entries: float, shared: bool, steps: int) -> float:
        """Nanoseconds that one of these steps may take, its rows of so many entries, all of memory far."""
        if self.backend == "numpy":
            return 1e5 + 20.0 * self.n_features * self._columns
        return 100.0 + (5.0 if shared else 20.0) * entries * self._columns

    def _values(self, rows: Rows) -> Float64:
        return self._read_rows(rows, "values")

    def _read_rows(self, rows: Rows, function: str) -> Float64:
        """A function of the backend of every row; Ctrl-C is heard on the way."""
        if self.backend == "numpy":
            raise_bad_index(rows.indices, self.n_features, shape=rows.shape)
        with self._read():
            read = getattr(self._module, function)
            size = self._first(rows, rows.count)
            if rows.count <= size:
                return read(self._trace, rows)
            values: list[Float64] = []
            for begin in range(0, rows.count, size):
                try:
                    values.append(read(self._trace, rows.part(begin, min(begin + size, rows.count))))
                except FeatureIndexError:
                    raise_bad_index(rows.indices, self.n_features, shape=rows.shape)  # says where in all
                    raise
            return np.concatenate(values)

    def _rewards(self, rows: Rows, rewards: Any, per_state: int = 1) -> Float64:
        """(T,) rewards for rows that are per_state of each of T + 1 states."""
        states = rows.count // per_state
        if states < 1:
            raise ValueError("x: got no rows, expected T + 1 with T rewards")
        array = arguments.array_of("rewards", rewards)
        if array.shape != (states - 1,):
            raise ValueError(
                f"rewards: got shape {array.shape}, expected ({states - 1},): x has {states} rows, "
                "one more than there are rewards"
            )
        return arguments.finite_array("rewards", array, array.shape)

    def _stream(
        self, rows: Rows, rewards: Float64, gammas: Any, lambdas: Any, alpha: Any, **more: Any
    ) -> Stream:
        """Check and pack what every `learn` takes; rewards and more, what only some take, are checked."""
        steps = len(rewards)
        more["steps"], more["rows"], more["rewards"] = steps, rows, rewards
        more["gammas"] = arguments.series("gammas", gammas, steps, self._gamma, "unit")
        more["lambdas"] = arguments.series("lambdas", lambdas, steps, self._lambda, "unit")
        more["alphas"] = arguments.series("alpha", alpha, steps, self._alpha, "positive")
        return Stream.of(more)

    # ---- states --------------------------------------------------------------------------------------------

    def _checked_state(self, state: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        mine, theirs = self._options(), dict(state["options"])
        for name in mine.keys() - set(self._tunable):
            if mine[name] != theirs.get(name):
                raise ValueError(f"state: has {name}={theirs.get(name)!r}, this learner has {mine[name]!r}")
        would_be = object.__new__(type(self))
        for name in self._tunable:
            setattr(would_be, name, theirs[name])  # checks it
        arrays = {name: np.asarray(array) for name, array in state["arrays"].items()}
        online = self._online_of(state["online"], arrays)
        learned = self._new_trace(arguments.choice("backend", state["backend"], NAMES))
        learned.set_arrays(arrays)
        return vars(would_be) | online, learned

    def _become(self, attributes: dict[str, Any], learned: Any) -> None:
        self.__dict__.update(attributes)
        self._trace = learned.to(self.backend)
        self._bind()


class StepLearner(LinearLearner):
    """Learners that take steps, of size alpha.  Not for use by itself."""

    _tunable: ClassVar[tuple[str, ...]] = ("alpha", "gamma", "lambda_")
    _alpha: float

    def __init__(
        self,
        n_features: int,
        columns: int = 1,
        *,
        alpha: float,
        gamma: float,
        lambda_: float,
        backend: str,
    ) -> None:
        self.alpha = alpha
        super().__init__(n_features, columns, gamma=gamma, lambda_=lambda_, backend=backend)

    @property
    def alpha(self) -> float:
        """Step size."""
        return self._alpha

    @alpha.setter
    def alpha(self, value: float) -> None:
        self._alpha = arguments.positive("alpha", value)
        self._tell()

    @property
    def weights(self) -> Float64:
        """A copy of the weights.  Setting them keeps the trace; the next step takes v_old = v.

        Of a trace that has diverged, what is not finite becomes 0: no weights could be learned with it.
        """
        with self._read():
            return self._trace.dense()[0].reshape(self._shape())

    @weights.setter
    def weights(self, value: Any) -> None:
        w = arguments.finite_array("weights", value, self._shape())
        with self._in_use():
            self._trace.set_weights(w.reshape(-1))


class Bounded(StepLearner):
    """A learner whose step size can be bounded.  Not for use by itself."""

    bound = False

    def _set_bound(self, bound: bool, kind: str) -> None:
        """Before the trace is made."""
        self.bound = bool(bound)
        if bound and kind == "dutch":
            raise ValueError("bound: is for accumulating and replacing traces, got trace='dutch'")

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "bound": self.bound}

    def _new_trace(self, backend: str) -> Any:
        trace = super()._new_trace(backend)
        if self.bound:
            trace.cap = np.inf
        return trace

    @property
    def alpha_bound(self) -> float:
        """The least bound on the step size so far (AlphaBound); inf before the first, and without a bound."""
        with self._read():
            cap = float(self._trace.cap)
        return np.inf if np.isnan(cap) else cap

    def _checked_state(self, state: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        attributes, loaded = super()._checked_state(state)
        if np.isnan(loaded.cap) == self.bound:
            raise ValueError(f"state: has a bound of {loaded.cap} on alpha, bound is {self.bound}")
        return attributes, loaded


def most_entries(rows: Rows) -> float:
    """How many entries a row has, or, of ragged rows that have many in all, the longest."""
    if rows.indptr is None:
        return rows.k
    if len(rows.indices) < 1 << 16:
        return len(rows.indices) / max(rows.count, 1)
    return int(np.diff(rows.indptr).max())
