"""Many agents, each in a world of its own."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..backends import Backend, Device, Name, host_of, module
from ..features import Stream
from ..learner import CLASSES, Learner
from ..linear.agent import Agent
from ..linear.learner import LinearLearner
from ..memory import Float64, dtype_of
from ..pieces import tell
from . import acting
from .crew import Crew, threads_of
from .forms import features_of_each, for_each, rows_of, series_of


class _Agents:
    """What a population has learned: its agents, which nobody else has.

    started  whether they act, all of them: who has come to an end begins anew with the next step
    crowd    where they learn on a GPU: their memory there, and back as soon as somebody looks at it here
    """

    def __init__(self, each: list[LinearLearner], started: bool = False) -> None:
        self.all, self.started = each, started
        self.crowd: Any = None

    @property
    def each(self) -> list[LinearLearner]:
        """The agents, as they are now; whoever has this may change them."""
        if self.crowd:
            self.crowd.come_home()
        return self.all

    @property
    def backend(self) -> Name:
        return self.all[0].backend

    def to(self, backend: Name, on_gpu: bool) -> Self:
        for agent in self.each:
            agent.to(backend)
        self.on_gpu(on_gpu)
        return self

    def on_gpu(self, there: bool) -> None:
        traces = [agent.method().trace for agent in self.each]
        self.crowd = module("cuda", "crowd").Crowd(traces) if there else None

    def __getstate__(self) -> dict[str, Any]:
        return {"all": self.each, "started": self.started, "on_gpu": self.crowd is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.all = state.get("all") or state["each"]  # as it was called before
        self.started, self.crowd = state["started"], None
        if state.get("on_gpu"):
            self.on_gpu(True)


class Population(Learner):
    """N agents of one class, each to learn in a world of its own, together.

        agents = ft.Population(ft.TrueOnlineSarsa, coder.n_features, 3, 64, alpha=0.1, gamma=1.0)
        history = ft.simulate(env, agents, coder, episodes=50, seed=0)      # returns (64, 50)

    learner     class of the agents, any that ft.simulate takes
    n_features  of a state
    sizes       n_actions for learners that act, then N
    numbers     what the class takes: each a number for all agents or (N,).  A word, or True, is for all.
                `seed` is of the agents' own generators, by which they act elsewhere than in ft.simulate
    dtype       of weights and traces.  float32 takes half the memory, in C and Numba and for learners of one
                weight vector; sums are in float64 all the same

    agents[i] is an ordinary learner, a copy, in float64; agents[i] = learner copies one in.  `weights` are
    (N, ...).  In float64 each agent becomes what it would have become alone, to the bit.

    Errors: ValueError, TypeError, as the class has them, with the number of the agent.
    """

    _trace: _Agents
    n_features: int

    def __init__(
        self,
        learner: type[LinearLearner],
        n_features: int,
        *sizes: int,
        backend: Backend | Device = "auto",
        dtype: Any = np.float64,
        **numbers: Any,
    ) -> None:
        self._class = _class_of(learner)
        names = ("n_actions", "N") if issubclass(learner, Agent) else ("N",)
        if len(sizes) != len(names):
            raise TypeError(
                f"Population: got {len(sizes)} sizes after n_features, expected {' and '.join(names)} "
                f"for {learner.__name__}"
            )
        N = arguments.count("N", sizes[-1])
        self._dtype = dtype_of(dtype)
        each = {name: for_each(name, value, N) for name, value in numbers.items()}
        (name, on_gpu), told = host_of(backend), any(np.ndim(value) > 0 for value in numbers.values())
        agents = []
        for i in range(N):
            own = {key: values[i] for key, values in each.items()}
            agents.append(_of_agent(i, told, learner, n_features, *sizes[:-1], **own, backend=name))
            if isinstance(agents[-1], Agent) and not isinstance(numbers.get("seed"), np.random.Generator):
                agents[-1].own_generator()
        self._found(agents)
        if on_gpu:
            self.to("cuda")

    def _found(self, agents: list[LinearLearner]) -> None:
        self._trace = _Agents([agent.in_dtype(self._dtype) for agent in agents])
        self.n_features = agents[0].n_features
        self._settable = _settable(agents[0])
        self._free()

    def _bind(self) -> None:
        """The agents have the kernels."""

    @property
    def backend(self) -> Name | Device:  # type: ignore[override]
        """Name of the backend in use."""
        return "cuda" if self.crowd else self._trace.backend

    @property
    def crowd(self) -> Any:
        """Their memory on a GPU; None where they learn here."""
        return self._trace.crowd

    @property
    def one(self) -> LinearLearner:
        """The first agent itself, for what all have in common; what it has learned may be elsewhere."""
        return self._trace.all[0]

    def to(self, backend: Backend | Device) -> Self:
        """Go on in another backend; changes this population and returns it.

        Errors: BackendUnavailable, ValueError for an unknown name, and for "cuda" where it has no kernel.
        """
        name, on_gpu = host_of(backend)
        if on_gpu and (stem := self.one.method().stem) != "linear":
            raise ValueError(
                f"backend='cuda': got {self._class.__name__}, of the family {stem!r}, expected a learner "
                "of one weight vector"
            )
        with self._in_use():
            self._trace = self._trace.to(name, on_gpu)
        return self

    # ---- the agents ----------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        """Options of the agents that can be set: (N,), one of each."""
        if name not in self.__dict__.get("_settable", ()):
            raise AttributeError(f"Population has no attribute {name!r}")
        return np.array([getattr(each, name) for each in self._each])

    def __setattr__(self, name: str, value: Any) -> None:
        """To a number or word for all, or to (N,) numbers; all of them or none."""
        if name not in self.__dict__.get("_settable", ()):
            if name in ("gamma", "lambda_"):  # which all learners have but those whose option it is not
                raise self._unknown(name)
            super().__setattr__(name, value)
            return
        values = for_each(name, value, len(self))
        with self._in_use():
            before = [getattr(each, name) for each in self._each]
            try:
                for i, (each, one) in enumerate(zip(self._each, values, strict=True)):
                    _of_agent(i, np.ndim(value) > 0, setattr, each, name, one)
            except (TypeError, ValueError):
                for each, one in zip(self._each, before, strict=True):
                    setattr(each, name, one)
                raise

    def _can_be_set(self) -> set[str]:
        return {"weights", *self._settable}

    @property
    def _each(self) -> list[LinearLearner]:
        return self._trace.each

    @property
    def learner(self) -> type[LinearLearner]:
        """Class of the agents."""
        return self._class

    @property
    def n_actions(self) -> int:
        """That each may choose from; 0 for learners of state values."""
        return getattr(self.one, "n_actions", 0)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the weights."""
        return self._dtype

    def __len__(self) -> int:
        return len(self._trace.all)

    def __getitem__(self, i: int) -> LinearLearner:
        place = self._place(i)
        with self._read():
            return copy.deepcopy(self._each[place]).in_dtype(np.dtype(np.float64))

    def __setitem__(self, i: int, learner: LinearLearner) -> None:
        place = self._place(i)
        own = self._each[place]
        if type(learner) is not self._class:
            raise TypeError(f"agents[{i}]: got {type(learner).__name__}, expected {self._class.__name__}")
        mine, theirs = _sizes(own), _sizes(learner)
        if mine != theirs:
            raise ValueError(f"agents[{i}]: got one with {theirs}, expected {mine}")
        new = copy.deepcopy(learner).to(own.backend).in_dtype(self._dtype)
        with self._in_use():
            self._each[place] = new
            self._trace.on_gpu(self.crowd is not None)

    def __iter__(self) -> Iterator[LinearLearner]:
        return (self[i] for i in range(len(self)))

    def _place(self, i: Any) -> int:
        number = arguments.count("agents[i]", i, -(2**31))
        if not -len(self) <= number < len(self):
            raise IndexError(f"agents[{number}]: out of range, expected -{len(self)} to {len(self) - 1}")
        return number % len(self)

    @property
    def weights(self) -> NDArray[np.floating[Any]]:
        """A copy of all weights, (N, ...).  Set to (N, ...), or to those of one agent for all."""
        with self._read():
            each: list[Any] = self._each
            return np.stack([agent.weights for agent in each]).astype(self._dtype, copy=False)

    @weights.setter
    def weights(self, value: Any) -> None:
        one: Any = self._each[0]
        shape = (len(self), *one.weights.shape)
        array = arguments.array_of("weights", value)
        if array.shape == shape[1:]:
            array = np.broadcast_to(array, shape)
        array = arguments.finite_array("weights", array, shape)
        with self._in_use():
            for each, w in zip(self._each, array, strict=True):
                each.weights = w  # type: ignore[attr-defined]

    @property
    def diverged(self) -> NDArray[np.bool_]:
        """(N,) whether a weight of an agent, or its trace, is no longer finite."""
        with self._read():
            return np.array([each.diverged for each in self._each], bool)

    def reset(self) -> None:
        """End the stream of each agent."""
        with self._in_use():
            self._trace.started = False
            for each in self._each:
                each.reset()

    def __repr__(self) -> str:
        common, each = _parted([agent._options() for agent in self._each])
        words = [f"{name}={value!r}" for name, value in common.items()] + [f"{name}=..." for name in each]
        words += ["dtype=float32"] * (self._dtype == np.float32)
        return (
            f"Population({self._class.__name__}, N={len(self)}, {', '.join(words)}, backend={self.backend!r})"
        )

    # ---- acting --------------------------------------------------------------------------------------------

    @arguments.explained
    def start(self, x: Any, *, where: Any = None) -> acting.Actions:
        """Each agent begins an episode in the state whose features are its row of x; returns (N,) actions.

        x      (N, k) indices, a pair of such, Ragged of N rows, or dense (N, n); of state_action (N, A, k)
        where  bool (N,): those that begin; others go on as they are, 0 is the action of one in no episode
        """
        with self._in_use():
            actions = acting.start(self._actors("start"), _of_some_agent, x, where)
            self._trace.started = True
            return actions

    @arguments.explained
    def step(
        self,
        rewards: Any,
        x: Any,
        *,
        terminated: Any = None,
        truncated: Any = None,
        x_final: Any = None,
        gamma: Any = None,
    ) -> acting.Actions:
        """Each agent learns from its reward and the state that its last action led to; returns (N,) actions.

        rewards     (N,)
        x           features of the N states, as start takes them
        terminated  bool (N,): whose episode has ended: it learns as by `end`
        truncated   bool (N,): whose was cut: it learns as by `truncate`.  Both: terminated
        x_final     features of the states in which episodes ended, where x has the first states of new ones:
                    who has ended begins in x at once.  Other rows are not looked at
        gamma       number or (N,): discount on arriving; None is the agents' own

        Without x_final x is the state that ended the episode, too, and who has ended begins a new one with
        the next step, in its x, whatever the reward is; the action of one that has ended is 0, and means
        nothing.  Each does what it would have done alone, to the bit.

        Errors: RuntimeError before start; otherwise as the class has them, with the number of the agent,
        before any has learned.
        """
        with self._in_use():
            agents = self._actors("step")
            if not self._trace.started:
                raise RuntimeError("step() before start(): episodes begin with start(x)")
            return acting.step(agents, _of_some_agent, rewards, x, terminated, truncated, x_final, gamma)

    def end(self, rewards: Any) -> None:
        """Each agent learns from the reward that came with the end of its episode (termination)."""
        self._end("end", rewards, None)

    def truncate(self, rewards: Any, x: Any) -> None:
        """Each agent learns from a last reward and the state it led to: the episodes were cut, not over."""
        self._end("truncate", rewards, x)

    def _end(self, call: str, rewards: Any, x: Any) -> None:
        with self._in_use():
            agents = self._actors(call)
            for i, agent in enumerate(agents):
                _of_agent(i, True, agent._started, call)
            acting.step(agents, _of_some_agent, rewards, x, x is None, x is not None)
            self._trace.started = False

    def act(self, x: Any) -> acting.Actions:
        """(N,) greedy actions in the states whose features are x, learning nothing and drawing nothing."""
        with self._read():
            return acting.act(self._actors("act"), _of_some_agent, x)

    def _actors(self, call: str) -> list[Agent]:
        if not self.n_actions:
            raise TypeError(f"Population.{call}: {self._class.__name__} does not act; it learns from streams")
        return cast(list[Agent], self._each)

    # ---- learning ------------------------------------------------------------------------------------------

    def lend_all(self, work: Callable[[list[LinearLearner]], Any]) -> Any:
        """Let a function work on the agents themselves; in that time nobody else may use them.

        The thread that asks may read them meanwhile.  The states that agents are in are forgotten.
        """
        with self._in_use():
            self._user = threading.get_ident()
            self._trace.started = False
            try:
                for each in self._trace.all:
                    each._forget_episode()
                return work(self._trace.all)
            finally:
                self._user = 0

    def learn(self, x: Any, *given: Any, threads: int | None = None, **series: Any) -> Any:
        """Learn from N streams, each agent from its own.

        x        features of T + 1 states of each: (N, T + 1, k) indices, a pair of such, or dense floats; a
                 list of N Ragged, or one of N (T + 1) rows, those of agent 0 first
        given    actions (N, T + 1), for learners that act; then rewards (N, T)
        threads  None: one a core
        series   what `learn` of the class takes: a number, (T,) for all agents, (N, 1) for all steps, or
                 (N, T); target_policy (T + 1, A) or (N, T + 1, A)

        Returns (N, T) TD errors; None for LSTD.
        Ctrl-C is heard between two transitions: KeyboardInterrupt has `steps` (N,), those learned, and
        `deltas`, NaN where there are none.
        Errors: as the class has them, with the number of the agent, before any has learned.
        """
        N = len(self)
        names = ("actions", "rewards") if self.n_actions else ("rewards",)
        if len(given) != len(names):
            raise TypeError(f"Population.learn: got {len(given)} arrays after x, expected {', '.join(names)}")
        arrays = [rows_of(name, value, N) for name, value in zip(names, given, strict=True)]
        rows = features_of_each("x", x, N, 3)
        each = {name: series_of(name, value, N) for name, value in series.items()}
        with self._in_use():
            streams = []
            for i, agent in enumerate(self._trace.all):
                own = {name: values[i] for name, values in each.items()}
                streams.append(
                    _of_agent(i, True, agent.prepared, rows[i], *(array[i] for array in arrays), **own)
                )
            return self._learn_streams(streams, threads_of(threads if self._native else 1, N))

    def _learn_streams(self, streams: list[Stream], threads: int) -> Float64 | None:
        if self.crowd and streams[0].steps:
            methods = [agent.method() for agent in self._trace.all]
            return np.stack(module("cuda", "learn").run(self.crowd, methods, streams))
        deltas = np.full((len(self), streams[0].steps), np.nan)
        done = [0] * len(self)
        runs = [agent.method().run for agent in self._each]

        def piece(some: list[int], size: int) -> list[int]:
            for i in some:
                begin, end = done[i], min(streams[i].steps, done[i] + max(1, size // len(some)))
                deltas[i, begin:end] = runs[i](streams[i].part(begin, end))
                done[i] = end
            return [i for i in some if done[i] < streams[i].steps]

        heap = [i for i, stream in enumerate(streams) if stream.steps]
        first = self._each[0].first_piece(streams[0]) if heap else 1
        try:
            Crew(heap, piece, first, threads).run(lambda: None)
        except KeyboardInterrupt as interrupt:
            tell(interrupt, steps=np.array(done), deltas=deltas)
            raise
        return None if self._each[0].method().stem == "lstd" else deltas

    @property
    def _native(self) -> bool:
        """Whether threads are of use: the reference's kernels hold the GIL."""
        return self.backend != "numpy"

    # ---- states --------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything that the agents are, as plain data: strings, numbers, and arrays that are copies."""
        with self._read():
            states = [each.state_dict() for each in self._each]
        common, each = _parted([state["options"] for state in states])
        return {
            "class": self._names[0],
            "backend": self._trace.backend,
            "options": {
                "learner": states[0]["class"],
                "N": len(states),
                "dtype": str(self._dtype),
                "common": common,
                "each": each,
            },
            "online": {"agents": [state["online"] for state in states], "started": self._trace.started},
            "arrays": _stacked([state["arrays"] for state in states]),
        }

    def _checked_state(self, state: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        options = state["options"]
        if options["N"] != len(self) or options["learner"] not in self._class._names:
            raise ValueError(
                f"state: of {options['N']} agents {options['learner']}, "
                f"expected {len(self)} {self._class.__name__}"
            )
        if _dtype_of(options) != self._dtype:
            raise ValueError(f"state: of {_dtype_of(options)}, this population is of {self._dtype}")
        arrays = _unstacked(state["arrays"], len(self))
        agents = []
        for agent, own, online, some in zip(
            self._each, _joined(options), state["online"]["agents"], arrays, strict=True
        ):
            one = {"class": options["learner"], "backend": state["backend"], "options": own}
            new = copy.deepcopy(agent)
            new.load_state_dict({**one, "online": online, "arrays": some})
            agents.append(new)
        return {}, _Agents(agents, bool(state["online"].get("started", False)))

    def _become(self, attributes: dict[str, Any], learned: Any) -> None:
        learned.on_gpu(self.crowd is not None)
        self._trace = learned

    @classmethod
    def _of_options(cls, options: dict[str, Any], backend: Name) -> Self:
        kind = _class_of(CLASSES[options["learner"]])
        population = object.__new__(cls)
        population._class, population._dtype = kind, _dtype_of(options)
        population._found([kind._of_options(own, backend) for own in _joined(options)])
        return population

    @classmethod
    def _entries(cls, options: dict[str, Any]) -> int:
        kind = _class_of(CLASSES[options["learner"]])
        return sum(kind._entries(own) for own in _joined(options))


# ---- what is given for all agents, or for each -------------------------------------------------------------


def _class_of(learner: Any) -> type[LinearLearner]:
    """Errors: TypeError for what is no class of learners that ft.simulate takes."""
    if not (isinstance(learner, type) and issubclass(learner, LinearLearner)):
        name = learner.__name__ if isinstance(learner, type) else repr(learner)
        raise TypeError(
            f"learner: got {name}, expected a class such as TrueOnlineSarsa, one that simulate takes"
        )
    return learner


def _of_agent(i: int, told: bool, call: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """call(...); where told, what is wrong with a number is told with that of the agent."""
    try:
        return call(*args, **keywords)
    except (IndexError, RuntimeError, ValueError) as error:
        if not told:
            raise
        raise type(error)(f"agent {i}: {error}") from None


def _of_some_agent(i: int, call: Callable[..., Any], *args: Any) -> Any:
    return _of_agent(i, True, call, *args)


def _settable(learner: LinearLearner) -> frozenset[str]:
    """The options that can be set afterwards."""
    can = {*learner._tunable, *learner._can_be_set()}
    return frozenset(name for name in learner._options() if name in can)


def _sizes(learner: LinearLearner) -> dict[str, Any]:
    """The options that cannot be set afterwards."""
    return {name: value for name, value in learner._options().items() if name not in learner._tunable}


# ---- states of many ----------------------------------------------------------------------------------------


def _parted(options: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Options that all have in common, and lists of the others."""
    common, each = {}, {}
    for name, value in options[0].items():
        values = [own[name] for own in options]
        if all(other == value and type(other) is type(value) for other in values):
            common[name] = value
        else:
            each[name] = values
    return common, each


def _dtype_of(options: dict[str, Any]) -> np.dtype[Any]:
    """Of a state; those from before there was a choice are of float64."""
    return dtype_of(options.get("dtype", "float64"))


def _joined(options: dict[str, Any]) -> list[dict[str, Any]]:
    N = arguments.count("N", options["N"])
    each = options["each"]
    if any(len(values) != N for values in each.values()):
        raise ValueError(f"state: its options are not of {N} agents")
    return [options["common"] | {name: values[i] for name, values in each.items()} for i in range(N)]


def _stacked(arrays: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """One array (N, ...) of those that all agents have alike; the others with the agent's number."""
    stacked: dict[str, NDArray[Any]] = {}
    for name in dict.fromkeys(name for own in arrays for name in own):
        there = {i: own[name] for i, own in enumerate(arrays) if name in own}
        forms = {(array.shape, array.dtype) for array in there.values()}
        if len(there) == len(arrays) and len(forms) == 1:
            stacked[name] = np.stack(list(there.values()))
        else:
            stacked |= {f"{name}[{i}]": array for i, array in there.items()}
    return stacked


def _unstacked(arrays: dict[str, Any], N: int) -> list[dict[str, Any]]:
    each: list[dict[str, Any]] = [{} for _ in range(N)]
    for key, array in arrays.items():
        name, bracket, number = key.partition("[")
        if bracket:
            each[int(number.removesuffix("]"))][name] = array
        else:
            if len(array) != N:
                raise ValueError(f"state: {key} is not of {N} agents")
            for own, row in zip(each, array, strict=True):
                own[name] = row
    return each
