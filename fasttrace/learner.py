"""What every learner has: a backend, one user at a time, options, states, copies and checkpoints."""

from __future__ import annotations

import copy
import os
import threading
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from itertools import repeat
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self
from weakref import WeakSet

from numpy.typing import NDArray

from . import arguments
from .backends import NAMES, Backend, Name, module, resolve
from .errors import CheckpointError
from .quick import Quick, locks

if TYPE_CHECKING:
    from .checkpoint import Target

CLASSES: dict[str, type[Learner]] = {}  # by the names that checkpoints have for them
_LEARNERS: WeakSet[Learner] = WeakSet()
_NOTHING = nullcontext()


class Learner(Quick):
    """Base of all learners.  Not for use by itself."""

    _stem: ClassVar[str]  # the module of each backend that holds its kernels
    _trace: Any  # all that it has learned, in arrays of the backend's layout
    _names: ClassVar[tuple[str, ...]]  # in checkpoints: the first is written, all are read

    def __init_subclass__(cls) -> None:
        cls._names = vars(cls).get("_names", (cls.__name__,))
        CLASSES.update(dict.fromkeys(cls._names, cls))
        for name in ("__init__", "learn"):  # not what is called once a step
            if isinstance(vars(cls).get(name), FunctionType):
                setattr(cls, name, arguments.explained(vars(cls)[name]))

    def _bind(self) -> None:
        """Look up the backend's functions; again after a change of backend and after unpickling."""
        self._module = module(self._trace.backend, self._stem)

    # ---- options: checked when they are set ----------------------------------------------------------------

    @property
    def gamma(self) -> float:
        """Discount, where a call gives none."""
        return self._gamma

    @gamma.setter
    def gamma(self, value: float) -> None:
        self._gamma = arguments.unit("gamma", value)
        self._tell()

    @property
    def lambda_(self) -> float:
        """Trace-decay parameter, where a call gives none."""
        return self._lambda

    @lambda_.setter
    def lambda_(self, value: float) -> None:
        self._lambda = arguments.unit("lambda_", value)
        self._tell()

    def _tell(self) -> None:
        """Hand on to the quick way, where there is one, what has been set."""

    @property
    def backend(self) -> Name:
        """Name of the backend in use."""
        return self._trace.backend

    def _options(self) -> dict[str, Any]:
        """Arguments that build a learner like this one, but for the backend."""
        raise NotImplementedError

    @classmethod
    def _of_options(cls, options: dict[str, Any], backend: Name) -> Self:
        """A new learner with the options of a state."""
        raise NotImplementedError

    @classmethod
    def _entries(cls, options: dict[str, Any]) -> int:
        """How many numbers the arrays of a state with these options hold at least."""
        raise NotImplementedError

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._options().items())
        return f"{type(self).__name__}({options}, backend={self.backend!r})"

    def _set_new(self, name: str, value: Any) -> None:
        """A public attribute that the class has not: while a learner is made, or of a user's subclass.

        Errors: AttributeError for others, most likely an option's name spelled wrong.
        """
        own = vars(self)
        if name in own or "_lock" not in own or type(self).__module__.partition(".")[0] != __package__:
            own[name] = value
            return
        raise self._unknown(name)

    def _unknown(self, name: str) -> AttributeError:
        """What to raise where an attribute is set that is none."""
        names = sorted(self._can_be_set())
        near = arguments.nearest(name, names)
        advice = f"did you mean {near!r}?" if near else f"what can be set is {', '.join(names)}"
        return AttributeError(f"{type(self).__name__} has no attribute {name!r}; {advice}")

    def _can_be_set(self) -> set[str]:
        kinds = {name: getattr(type(self), name, None) for name in dir(type(self)) if name[0] != "_"}
        return {
            name for name, kind in kinds.items() if hasattr(kind, "__set__") and getattr(kind, "fset", kind)
        }

    # ---- one user at a time --------------------------------------------------------------------------------

    # An interrupt may come at the end of any call of a function, so also between `lock.acquire(False)` and a
    # `try`: the lock would be held for good.  `for free in self._claim` is no such call; nor was `with lock`
    # before Python 3.14, from which on `with lock.use()` has to see to it.

    def _free(self) -> None:
        """In use by nobody: a new learner, one that was unpickled, or one in a child process."""
        self._lock: Any = locks.Lock() if locks else threading.Lock()
        if self._call is not None:
            self._call.lock = self._lock
        self._claim = map(self._lock.acquire, repeat(False))
        self._user = 0  # the thread that is at work on it for long, and may read it meanwhile
        _LEARNERS.add(self)

    def _in_use(self) -> AbstractContextManager[Any]:
        """What to do all that reads or writes the learner under."""
        if self._lock.locked():  # whoever comes between this and the lock waits for it
            self._refuse_use()
        return self._lock.use() if locks else self._lock

    def _read(self) -> AbstractContextManager[Any]:
        """_in_use, but that a thread may look at what it is itself at work on: a simulation that reports."""
        return _NOTHING if self._user == threading.get_ident() else self._in_use()

    def _refuse_use(self) -> NoReturn:
        raise RuntimeError(
            f"this {type(self).__name__} is in use by another thread; give each its own learner"
        )

    # ---- backends, states, checkpoints ---------------------------------------------------------------------

    def to(self, backend: Backend) -> Self:
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
                "class": self._names[0],
                "backend": self.backend,
                "options": self._options(),
                "online": online,
                "arrays": arrays | online_arrays,
            }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become what the state says, in this learner's own backend; a network's memory stays the same.

        Errors: ValueError for a state of another class, other sizes or another trace, or for one that no
        learner has; then nothing has changed.
        """
        try:
            if state["class"] not in self._names:
                raise ValueError(f"state: of a {state['class']}, expected one of a {type(self).__name__}")
            checked = self._checked_state(state)
        except (AttributeError, LookupError, OverflowError, TypeError) as error:
            raise ValueError(f"state: not one of a {type(self).__name__} ({error!r})") from error
        with self._in_use():
            self._become(*checked)

    def _checked_state(self, state: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        """What a state makes of a learner: attributes, and what it has learned."""
        raise NotImplementedError

    def _become(self, attributes: dict[str, Any], learned: Any) -> None:
        """Change into what _checked_state gave; the learner is in use."""
        raise NotImplementedError

    def _online_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What a state holds beside options and trace: plain data, and arrays."""
        return {}, {}

    def _online_of(self, state: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """The attributes of an _online_state; takes its arrays out of `arrays`."""
        return {}

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
            return copy.deepcopy(self._attributes(), memo)

    def _attributes(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in self._unsaved}

    _unsaved: ClassVar[tuple[str, ...]] = ("_lock", "_claim", "_user", "_module", "_quick")

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._free()
        resolve(self._trace.backend)
        self._bind()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        other = object.__new__(type(self))
        memo[id(self)] = other
        other.__setstate__(self._copied(memo))
        return other

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # two learners on one trace would be two threads on one learner


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
def load(path: Target, backend: Backend | None = None) -> Any:
    """The learner, or TileCoder, of a checkpoint, in the backend that saved it or in the one named.

    path  or a binary file that is open for reading

    Errors: CheckpointError for a file that is truncated, damaged, not ours, or of a newer version;
    BackendUnavailable; FileNotFoundError.
    """
    from . import checkpoint
    from .tiles import TileCoder

    state, place = checkpoint.read(path), checkpoint.name_of(path)
    try:
        if state["class"] not in {*CLASSES, TileCoder.__name__}:
            import_module(f"{__package__}.neural")  # the learners that are not for everybody
        cls: Any = TileCoder if state["class"] == TileCoder.__name__ else CLASSES[state["class"]]
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
