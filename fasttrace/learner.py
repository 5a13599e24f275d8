"""What all linear learners share: options, weights and trace, one user at a time, states and checkpoints."""

from __future__ import annotations

import copy
import math
import os
import threading
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from itertools import repeat
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from . import arguments
from .backends import NAMES, module, resolve
from .errors import CheckpointError, FeatureIndexError
from .features import Rows, Stream, raise_bad_index
from .linear.trace import FOLDED, new_trace
from .memory import Float64
from .pieces import in_pieces

if TYPE_CHECKING:
    from .checkpoint import Target

Self = TypeVar("Self", bound="Learner")

_CLASSES: dict[str, type[Learner]] = {}
_LEARNERS: WeakSet[Learner] = WeakSet()
_NOTHING = nullcontext()
_AT_FIRST = 30e6  # nanoseconds: what is expected to take longer is done in pieces


class Learner:
    """Base of the linear learners.  Not for use by itself."""

    _stem: ClassVar[str] = "linear"  # the module of each backend that holds its kernels
    _kernel: ClassVar[str]  # the function <kernel>_run there
    _simulates: ClassVar[bool] = True  # whether the loops of simulate know its kernel
    _kinds: ClassVar[tuple[str, ...]] = ()  # what `trace` may be; empty: the kernel has one trace of its own
    _tunable: ClassVar[tuple[str, ...]] = ("alpha", "gamma", "lambda_")

    def __init_subclass__(cls) -> None:
        _CLASSES[cls.__name__] = cls
        for name in ("__init__", "learn"):  # not what is called once a step
            if name in vars(cls):
                setattr(cls, name, arguments.explained(vars(cls)[name]))

    def __init__(
        self,
        n_features: int,
        columns: int,
        kind: str,
        *,
        alpha: float | None,
        gamma: float,
        lambda_: float,
        backend: str,
    ) -> None:
        self.n_features = arguments.count("n_features", n_features)
        if "alpha" in self._tunable:  # least squares have none
            self.alpha = alpha  # type: ignore[assignment]
        self.gamma = gamma
        self.lambda_ = lambda_
        self._kind = arguments.choice("trace", kind, self._kinds) if self._kinds else kind
        self._columns = columns
        self._trace = self._new_trace(resolve(backend))
        self._free()
        self._bind()

    def _bind(self) -> None:
        """Look up the backend's functions; again after a change of backend and after unpickling."""
        self._module = module(self._trace.backend, self._stem)

    def _new_trace(self, backend: str) -> Any:
        """Weights and trace for this backend; other families of learners have other arrays (trace.py)."""
        return new_trace(self.n_features, self._columns, backend)

    # ---- options: checked when they are set ----------------------------------------------------------------

    @property
    def alpha(self) -> float:
        """Step size."""
        return self._alpha

    @alpha.setter
    def alpha(self, value: float) -> None:
        self._alpha = arguments.positive("alpha", value)

    @property
    def gamma(self) -> float:
        """Discount, where a call gives none."""
        return self._gamma

    @gamma.setter
    def gamma(self, value: float) -> None:
        self._gamma = arguments.unit("gamma", value)

    @property
    def lambda_(self) -> float:
        """Trace-decay parameter, where a call gives none."""
        return self._lambda

    @lambda_.setter
    def lambda_(self, value: float) -> None:
        self._lambda = arguments.unit("lambda_", value)

    @property
    def backend(self) -> str:
        """Name of the backend in use."""
        return self._trace.backend

    def __repr__(self) -> str:
        options = ", ".join(
            f"{name}={value!r}" for name, value in self._options().items() if name != "n_features"
        )
        return f"{type(self).__name__}({self.n_features}, {options}, backend={self.backend!r})"

    def _options(self) -> dict[str, Any]:
        """Arguments that build a learner like this one, but for the backend."""
        options: dict[str, Any] = {"n_features": self.n_features}
        if self._kinds:
            options["trace"] = self._kind
        return options | {name: getattr(self, name) for name in self._tunable}

    # ---- weights and trace ---------------------------------------------------------------------------------

    def _shape(self) -> tuple[int, ...]:
        return (self.n_features,)

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

    def _forget_episode(self) -> None:
        """Control learners forget the state that they are in; a simulation begins a new episode."""

    # ---- one user at a time --------------------------------------------------------------------------------

    # An interrupt may come at the end of any call of a function, so also between `lock.acquire(False)` and a
    # `try`: the lock would be held for good.  `with lock` and `for free in self._claim` are no such calls.

    def _free(self) -> None:
        """In use by nobody: a new learner, one that was unpickled, or one in a child process."""
        self._lock = threading.Lock()
        self._claim = map(self._lock.acquire, repeat(False))
        self._user = 0  # the thread that is at work on it for long, and may read it meanwhile
        _LEARNERS.add(self)

    def _in_use(self) -> AbstractContextManager[Any]:
        """What to do all that reads or writes the learner under."""
        if self._lock.locked():  # whoever comes between this and the lock waits for it
            self._refuse_use()
        return self._lock

    def _read(self) -> AbstractContextManager[Any]:
        """_in_use, but that a thread may look at what it is itself at work on: a simulation that reports."""
        return _NOTHING if self._user == threading.get_ident() else self._in_use()

    def _refuse_use(self) -> NoReturn:
        raise RuntimeError(
            f"this {type(self).__name__} is in use by another thread; give each its own learner"
        )

    # ---- calls into the backend ----------------------------------------------------------------------------

    def _refuse_values(self, name: str) -> None:
        if self._kind.startswith("replacing"):
            raise ValueError(
                f"{name}: replacing traces are for binary features, given as indices; got values"
            )

    def _run(self, stream: Stream) -> Float64:
        """Hand a stream to the kernel; the learner is in use already."""
        kind = (self._kind,) if self._kinds else ()
        return getattr(self._module, f"{self._kernel}_run")(self._trace, *kind, stream)

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

    def _run_in_pieces(self, stream: Stream, first: int) -> Float64:
        """_run, but that Ctrl-C is heard between two transitions."""
        # The whole, so that no piece is refused when others have been learned.
        stream.rows.check(getattr(module(self.backend, "linear"), "look", None))
        deltas = stream.deltas = np.empty(stream.steps)

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
        work = self._step_work(per_state * _most_entries(rows), rows.shared, steps)
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

    def _stream(
        self, rows: Rows, rewards: Any, gammas: Any, lambdas: Any, alpha: Any, per_state: int = 1, **more: Any
    ) -> Stream:
        """Check and pack what every `learn` takes; `rows` has per_state rows for each of T + 1 states."""
        states = rows.count // per_state
        if states < 1:
            raise ValueError("x: got no rows, expected T + 1 with T rewards")
        steps = states - 1
        rewards = arguments.array_of("rewards", rewards)
        if rewards.shape != (steps,):
            raise ValueError(
                f"rewards: got shape {rewards.shape}, expected ({steps},): x has {states} rows, "
                "one more than there are rewards"
            )
        return Stream(
            steps,
            rows,
            arguments.finite_array("rewards", rewards, (steps,)),
            arguments.series("gammas", gammas, steps, self._gamma, "unit"),  # type: ignore[arg-type]
            arguments.series("lambdas", lambdas, steps, self._lambda, "unit"),  # type: ignore[arg-type]
            arguments.series("alpha", alpha, steps, self._alpha, "positive"),  # type: ignore[arg-type]
            **more,
        )

    # ---- backends, states, checkpoints ---------------------------------------------------------------------

    def to(self: Self, backend: str) -> Self:
        """Go on in another backend; changes this learner and returns it.

        Errors: BackendUnavailable, ValueError for an unknown name.
        """
        name = resolve(backend)
        with self._in_use():
            if name != self.backend:
                self._trace = self._trace.to(name)
                self._bind()
        return self

    def state_dict(self) -> dict[str, Any]:
        """Everything that a learner is, as plain data: strings, numbers, and arrays that are copies."""
        with self._read():
            online, online_arrays = self._online_state()
            arrays = {name: array.copy() for name, array in self._trace.arrays().items()}
            return {
                "class": type(self).__name__,
                "backend": self.backend,
                "options": self._options(),
                "online": online,
                "arrays": arrays | online_arrays,
            }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become what the state says, in this learner's own backend.

        Errors: ValueError for a state of another class, other sizes or another trace, or for one that no
        learner has; then nothing has changed.
        """
        try:
            attributes, loaded = self._checked_state(state)
        except (AttributeError, LookupError, OverflowError, TypeError) as error:
            raise ValueError(f"state: not one of a {type(self).__name__} ({error!r})") from error
        with self._in_use():
            self.__dict__.update(attributes)
            self._trace = loaded.to(self.backend)
            self._bind()

    def _checked_state(self, state: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """What a state makes of a learner: attributes, and a trace in the backend that the state is of."""
        mine, theirs = self._options(), dict(state["options"])
        if state["class"] != type(self).__name__:
            raise ValueError(f"state: of a {state['class']}, expected one of a {type(self).__name__}")
        for name in mine.keys() - set(self._tunable):
            if mine[name] != theirs.get(name):
                raise ValueError(f"state: has {name}={theirs.get(name)!r}, this learner has {mine[name]!r}")
        would_be = object.__new__(type(self))
        for name in self._tunable:
            setattr(would_be, name, theirs[name])  # checks it
        arrays = {name: np.asarray(array) for name, array in state["arrays"].items()}
        online = self._online_of(state["online"], arrays)
        loaded = self._new_trace(arguments.choice("backend", state["backend"], NAMES))
        loaded.set_arrays(arrays)
        return vars(would_be) | online, loaded

    def _online_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What a state holds beside options and trace: plain data, and arrays."""
        return {}, {}

    def _online_of(self, state: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """The attributes of an _online_state; takes its arrays out of `arrays`."""
        return {}

    @classmethod
    def _of_options(cls: type[Self], options: dict[str, Any], backend: str) -> Self:
        """A new learner with the options of a state."""
        return cls(**options, backend=backend)

    @classmethod
    def _entries(cls, options: dict[str, Any]) -> int:
        """How many numbers the arrays of a state with these options hold at least."""
        columns = (
            1 if options.get("state_action") else arguments.count("n_actions", options.get("n_actions", 1))
        )
        return columns * arguments.count("n_features", options["n_features"])

    def save(self, path: Target) -> None:
        """Write a checkpoint (.npz) that fasttrace.load reads; in the same backend it goes on bit for bit.

        path  or a binary file that is open for writing.  A file that is there is replaced as a whole or not
              at all, and its mode is kept; links are followed

        Errors: OSError, also for a folder, a device or a pipe; TypeError for a file that takes text.
        """
        from . import checkpoint  # and with it json, hashlib and zipfile: a third of the import time

        checkpoint.write(path, self.state_dict())

    def __getstate__(self) -> dict[str, Any]:
        return self._copied({})

    def _copied(self, memo: dict[int, Any]) -> dict[str, Any]:
        """Copies of the attributes that say what the learner is, all of one moment."""
        with self._read():
            return copy.deepcopy({k: v for k, v in vars(self).items() if k not in self._unsaved}, memo)

    _unsaved: ClassVar[tuple[str, ...]] = ("_lock", "_claim", "_user", "_module", "_quick")

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._free()
        resolve(self.backend)
        self._bind()

    def __deepcopy__(self: Self, memo: dict[int, Any]) -> Self:
        other = object.__new__(type(self))
        memo[id(self)] = other
        other.__setstate__(self._copied(memo))
        return other

    def __copy__(self: Self) -> Self:
        return copy.deepcopy(self)  # two learners on one trace would be two threads on one learner


class Bounded(Learner):
    """A learner whose step size can be bounded.  Not for use by itself."""

    bound = False

    def _set_bound(self, bound: bool, kind: str) -> None:
        """Before the trace is made."""
        self.bound = bool(bound)
        if bound and kind == "dutch":
            raise ValueError("bound: is for accumulating and replacing traces, got trace='dutch'")

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


def _most_entries(rows: Rows) -> float:
    """How many entries a row has, or, of ragged rows that have many in all, the longest."""
    if rows.indptr is None:
        return rows.k
    if len(rows.indices) < 1 << 16:
        return len(rows.indices) / max(rows.count, 1)
    return int(np.diff(rows.indptr).max())


def _after_fork() -> None:
    """In the child there is one thread: what others were at work on is free, and as far as they had come."""
    for learner in list(_LEARNERS):
        if learner._lock.locked() and learner._user != threading.get_ident():
            learner._free()
            if hasattr(learner, "generator"):
                learner.generator.bit_generator.lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


@arguments.explained
def load(path: Target, backend: str | None = None) -> Any:
    """The learner, or TileCoder, of a checkpoint, in the backend that saved it or in the one named.

    path  or a binary file that is open for reading

    Errors: CheckpointError for a file that is truncated, damaged, not ours, or of a newer version;
    BackendUnavailable; FileNotFoundError.
    """
    from . import checkpoint
    from .tiles import TileCoder

    state, place = checkpoint.read(path), checkpoint.name_of(path)
    try:
        if state["class"] not in {*_CLASSES, TileCoder.__name__}:
            import_module(f"{__package__}.neural")  # the learners that are not for everybody
        cls: Any = TileCoder if state["class"] == TileCoder.__name__ else _CLASSES[state["class"]]
        options, saved = state["options"], state["backend"]
        if saved not in NAMES:
            raise ValueError(f"saved by the backend {saved!r}")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{place}: not of a learner that this version knows ({error})") from error
    name = resolve(saved if backend is None else backend)
    try:
        if cls is TileCoder and not state["arrays"]:
            return TileCoder(**options, backend=name)
        there, needed = sum(array.size for array in state["arrays"].values()), cls._entries(options)
        if there < needed:  # before the learner is made: it may be larger than memory
            raise ValueError(f"has arrays of {there} numbers, its options ask for {needed} at least")
        learner = cls._of_options(options, name)
        learner.load_state_dict(state)
    except Exception as error:  # there is no end to what a header may hold
        raise CheckpointError(f"{place}: does not hold what its header says ({error!r})") from error
    return learner
