"""Learners with a network: NetworkTD and NetworkSarsa, and what they share with the streaming ones."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..backends import Backend, Name, module, resolve
from ..learner import Learner
from ..memory import Array, Float64, owned
from ..pieces import in_pieces
from .network import MLP, fitting, state_array, states_array
from .optimisers import Optimiser, Plain, optimiser_of
from .staleness import History, compare
from .trace import Head, NetworkStream, NetworkTrace


class NetworkLearner(Learner):
    """Base of the learners with networks.  Not for use by itself."""

    _stem = "neural"
    _method: ClassVar[str]
    _normalise = False
    _scale = False
    _trace: NetworkTrace

    def _start(
        self, trace: NetworkTrace, *, gamma: Any, lambda_: Any, keep: int | None, optimiser: Optimiser
    ) -> None:
        """What every __init__ ends with."""
        self._trace, self._optimiser = trace, optimiser
        self.n_features = trace.critic.net.n_inputs
        self.gamma, self.lambda_ = gamma, lambda_
        self.keep = None if keep is None else arguments.count("keep", keep, 0)
        self._history = History(self.keep)
        self._updated = False  # whether `before` is that of the last update
        self._free()
        self._bind()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(owned(state))

    # ---- options -------------------------------------------------------------------------------------------

    @property
    def alpha(self) -> float:
        """Step size."""
        return self._optimiser.alpha

    @alpha.setter
    def alpha(self, value: float) -> None:
        self._optimiser.alpha = arguments.positive("alpha", value)

    @property
    def network(self) -> MLP:
        """The network that learns; its params are live."""
        return self._trace.critic.net

    @property
    def params(self) -> Array:
        """(n,) the network's live, writable parameters."""
        return self._trace.critic.net.params

    @property
    def n_outputs(self) -> int:
        return self._trace.critic.net.n_outputs

    @property
    def Z(self) -> Array:  # noqa: N802 - the field's name
        """(traces, n) the trace as the last update used it, not yet decayed; read-only."""
        view = self._trace.critic.Z.view()
        view.flags.writeable = False
        return view

    @property
    def weights(self) -> Array:
        """(n,) a copy of the network's parameters; setting them keeps the trace."""
        with self._read():
            return self.params.copy()

    @weights.setter
    def weights(self, value: Any) -> None:
        w = arguments.finite_array("weights", value, self.params.shape)
        w = fitting("weights", w, self.params.dtype)
        with self._in_use():
            self.params[:] = w

    @property
    def trace(self) -> Array:
        """A copy of the trace as the last update used it: (n,), of several outputs (m, n)."""
        with self._read():
            Z = self._trace.critic.Z.copy()
        return Z if self._method == "td" and self.n_outputs > 1 else Z[0]

    @property
    def diverged(self) -> bool:
        """Whether a parameter or the trace is no longer finite."""
        with self._read():
            return not all(np.isfinite(each).all() for each in self._trace.dense())

    def reset(self) -> None:
        """End the stream: the trace is emptied; parameters, statistics and moments stay."""
        with self._in_use():
            self._forget()

    def _forget(self) -> None:
        self._trace.reset()
        self._history.clear()
        self._updated = False

    def __repr__(self) -> str:
        rest = ", ".join(f"{name}={value!r}" for name, value in self._options().items() if name != "network")
        return f"{type(self).__name__}({self.network!r}, {rest})"

    # ---- states --------------------------------------------------------------------------------------------

    def _options(self) -> dict[str, Any]:
        def plain(value: Any) -> Any:
            return value.tolist() if isinstance(value, np.ndarray) else value

        return {
            "network": self.network.options(),
            "gamma": plain(self._gamma),
            "lambda_": plain(self._lambda),
            "optimiser": self._optimiser.options(),
            "keep": self.keep,
        }

    @classmethod
    def _entries(cls, options: dict[str, Any]) -> int:
        if "network" in options:
            layers = options["network"]["sizes"]
        else:
            layers = [options["n_inputs"], *options["hidden"], options.get("n_actions") or 1]
        sizes = [arguments.count("sizes", size) for size in layers]
        return sum((n_in + 1) * n_out for n_in, n_out in pairwise(sizes))

    @classmethod
    def _of_options(cls, options: dict[str, Any], backend: Name) -> Any:
        rest = dict(options)
        rest["network"] = MLP(**rest["network"], backend=backend)
        rest["optimiser"] = optimiser_of(rest["optimiser"])
        return cls(**rest)

    def _checked_state(self, state: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        mine, theirs = self._options(), state["options"]
        for name in ("network", "actor"):
            if mine.get(name) != theirs.get(name):
                raise ValueError(f"state: has {name}={theirs.get(name)!r}, this has {mine.get(name)!r}")
        for name in mine.keys() & {"optimiser", "actor_optimiser"}:
            rules = mine[name]["name"], theirs[name]["name"]
            if rules[0] != rules[1]:
                raise ValueError(f"state: has {name}={rules[1]}, this has {rules[0]}")
        if (mine.get("keep") == 0) != (theirs.get("keep") == 0):
            raise ValueError(f"state: has keep={theirs.get('keep')}, this has {mine.get('keep')}")
        would_be = self._of_options(theirs, self.backend)
        arrays = {name: np.asarray(array) for name, array in state["arrays"].items()}
        online = self._online_of(state["online"], arrays)
        learned = would_be._trace
        learned.set_arrays(arrays)
        kept = (*self._unsaved, "_trace")
        return {name: value for name, value in vars(would_be).items() if name not in kept} | online, learned

    def _become(self, attributes: dict[str, Any], learned: Any) -> None:
        before = attributes.pop("before", None)
        self._trace.set_arrays(learned.arrays())
        if before is not None and self._trace.before is not None:
            self._trace.before[:] = before
        self.__dict__.update(attributes)
        for head, other in zip(self._trace.heads, learned.heads, strict=True):
            head.rule = other.rule

    def _online_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        history = self._history
        state = {"outputs": [int(each) for each in history.outputs], "updated": self._updated}
        arrays = {
            "history_states": np.array(history.states).reshape(len(history.states), self.n_features),
            "history_decays": np.array(history.decays).reshape(
                len(history.states), self._trace.critic.n_traces
            ),
        }
        if self._trace.before is not None:
            arrays["before"] = self._trace.before.copy()
        return state, arrays

    def _online_of(self, state: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        history = History(self.keep)
        states, decays = arrays.pop("history_states"), arrays.pop("history_decays")
        if states.ndim != 2 or states.shape[1] != self.n_features or len(states) != len(decays):
            raise ValueError(f"state: has a history of shape {states.shape}")
        history.states, history.decays = list(states), list(decays)
        history.outputs = [int(each) for each in state["outputs"]]
        before = arrays.pop("before", None)
        if before is not None and before.shape != self.params.shape:
            raise ValueError(f"state: has {before.shape} parameters before the last update")
        return {"_history": history, "_updated": bool(state["updated"]), "before": before}

    # ---- learning ------------------------------------------------------------------------------------------

    def _series(self, name: str, value: Any, steps: int, default: Any) -> Float64:
        """Discounts or lambdas: a number, (T,) or (T, m), as (T or 1, m or 1)."""
        m = self._trace.critic.n_traces
        if value is None:
            return np.atleast_2d(default)
        array = arguments.floats(name, value)
        if array.shape not in ((), (steps,), (steps, m)):
            raise ValueError(
                f"{name}: got shape {array.shape}, expected a number, ({steps},) or ({steps}, {m})"
            )
        if array.size and not (array.min() >= 0.0 and array.max() <= 1.0):
            bad = array[~((array >= 0.0) & (array <= 1.0))].flat[0]
            raise ValueError(f"{name}: got {bad}, expected numbers from 0 to 1")
        return array.reshape(len(array) if array.ndim else 1, -1 if array.size else m)

    def _run_network(self, stream: NetworkStream) -> None:
        """Learn from a stream; the learner is in use.

        Errors: FloatingPointError with the step; KeyboardInterrupt with `steps` and `deltas`, of a long one.
        """
        for net in self._trace.nets:
            net.to_be_written()
        try:
            self._run_stream(stream)
        except KeyboardInterrupt as interrupt:
            interrupt.steps, interrupt.deltas = stream.done, stream.errors()  # type: ignore[attr-defined]
            raise

    def _run_stream(self, stream: NetworkStream) -> None:
        """All of it; stream.done says how far that came, whatever is raised."""
        stream.normalise, stream.scale = self._normalise, self._scale
        if self.keep == 0 or stream.steps == 0:
            self._run_pieces(stream)
            return
        decay = self._trace.critic.decays.copy()
        stream.inputs = np.empty((stream.steps, self.n_features))
        try:
            self._run_pieces(stream)
        finally:
            if stream.done:
                self._remember(stream, decay)

    def _run_pieces(self, stream: NetworkStream) -> None:
        if stream.steps <= 1:
            self._run_piece(stream, 0, stream.steps)
        else:
            in_pieces(stream.steps, self._first_piece(), partial(self._run_piece, stream))

    def _run_piece(self, stream: NetworkStream, begin: int, end: int) -> None:
        """Hand steps begin to end - 1 to the backend."""
        part = stream.part(begin, end)
        fault = module(self.backend, "neural").network_run(self._trace, part)
        stream.done = begin + part.done
        self._updated = self.keep != 0 and stream.steps > 0 and fault is None
        if fault is not None:
            raise FloatingPointError(f"{fault}: not finite at step {stream.done}")

    def _work(self) -> float:
        """Passes over the network that a step takes, in those of NetworkTD."""
        return 1.0

    def _first_piece(self) -> int:
        """Steps that surely take less than a tenth of a second."""
        if self.backend == "numpy":
            return 0  # whose steps are in Python: SIGINT would be heard within one
        numbers = self._work() * sum(net.n_params for net in self._trace.nets) * self._trace.critic.n_traces
        return max(1, int(5e7 / (2_000.0 + 3.0 * numbers)))  # ns

    def _remember(self, stream: NetworkStream, decay: Float64) -> None:
        """After stream.done steps; decay is what decayed the trace of the first."""
        done = stream.done
        decays = np.broadcast_to(stream.gammas * stream.lambdas, (stream.steps, len(decay)))
        decays = np.concatenate([decay[None], decays[: done - 1]])
        outputs = np.full(done, -1) if stream.actions is None else stream.actions[:done]
        self._history.add(stream.inputs[:done], decays, outputs)

    def staleness(self, window: int | None = None) -> tuple[float, float]:
        """How far the trace is from the one that the parameters before the last update would have made.

        window  of so many states; None: of all since the last termination (as far as `keep` reaches)

        Returns (relative distance |Z - fresh| / |fresh|, cosine); 0 and 1 without hidden layers.
        Errors: RuntimeError before the first update, after a fault, and with keep=0.
        """
        if window is not None:
            arguments.count("window", window)
        if self.keep == 0:
            raise RuntimeError("staleness: this learner keeps no states (keep=0)")
        with self._read():
            if not self._updated or self._trace.before is None:
                raise RuntimeError("staleness: there is no update to look back on")
            net = MLP(**self.network.options(), backend=self.backend)
            net.params[:] = self._trace.before
            fresh = np.zeros_like(self._trace.critic.Z)
            for s, decay, output in self._history.last(window):
                g = net.jacobian(s)[1] if output < 0 else net.gradient(s, output)[None]
                fresh = decay.astype(g.dtype)[:, None] * fresh + g
            return compare(self._trace.critic.Z, fresh)


class _UnitOptions(NetworkLearner):
    """gamma and lambda_ by the output: a number, or (m,)."""

    def _units(self, name: str, value: Any) -> Any:
        m = self._trace.critic.n_traces
        if np.ndim(value) == 0:
            return arguments.unit(name, value)
        array = arguments.finite_array(name, value, (m,))
        for each in array:
            arguments.unit(name, each)
        return array

    @property
    def gamma(self) -> Any:
        """Discount, where a call gives none: a number, or (m,)."""
        return self._gamma

    @gamma.setter
    def gamma(self, value: Any) -> None:
        self._gamma = self._units("gamma", value)

    @property
    def lambda_(self) -> Any:
        """Trace-decay parameter, where a call gives none: a number, or (m,)."""
        return self._lambda

    @lambda_.setter
    def lambda_(self, value: Any) -> None:
        self._lambda = self._units("lambda_", value)


def plain_or(optimiser: Optimiser | None, alpha: float | None) -> Optimiser:
    """Plain steps of size alpha, or an optimiser of its own.  Errors: TypeError for both or neither."""
    if (optimiser is None) == (alpha is None):
        raise TypeError("alpha: give a step size, or an optimiser that has one")
    if optimiser is None:
        return Plain(alpha)  # type: ignore[arg-type]
    if not isinstance(optimiser, Optimiser):
        raise TypeError(f"optimiser: got {type(optimiser).__name__}, expected ObGD or AdaptiveObGD")
    return optimiser_of(optimiser.options())


def checked_network(network: Any) -> MLP:
    if not isinstance(network, MLP):
        raise TypeError(f"network: got {type(network).__name__}, expected an MLP")
    return network


class NetworkTD(_UnitOptions):
    """TD(lambda) with a network of m predictions, each with an error and a trace of its own.

        delta_r = R_r + gamma_r y_r(S') - y_r(S)
        Z <- diag(gamma lambda) Z + J(S)                   (m, n); J the Jacobian under the present parameters
        w <- w + alpha Z' delta

    network  an MLP, whose parameters it learns in place
    alpha    step size
    gamma, lambda_  numbers, or (m,) by the output
    optimiser  ObGD() or AdaptiveObGD() in place of alpha, for a network of one output
    keep     states kept for `staleness`: None, those since the last termination that still weigh 2^-60 in
             the trace (8 (i + m) bytes each: without bound where gamma lambda is 1 and no episode ends); 0:
             none, which is fastest

    Source: Sutton & Barto 2018, section 12.2, eq. 12.5 to 12.7; docs/networks.md.
    """

    _method = "td"

    def __init__(
        self,
        network: MLP,
        *,
        alpha: float | None = None,
        gamma: Any = 0.99,
        lambda_: Any = 0.9,
        optimiser: Optimiser | None = None,
        keep: int | None = None,
        backend: Backend | None = None,
    ) -> None:
        net, rule = checked_network(network), plain_or(optimiser, alpha)
        if rule.name != "sgd" and net.n_outputs > 1:
            raise ValueError(
                f"optimiser: {type(rule).__name__} is for one output, the network has {net.n_outputs}"
            )
        name = net.backend if backend is None else resolve(backend)
        trace = NetworkTrace(name, Head(net, net.n_outputs, rule), before=keep != 0)
        self._trace = trace
        self._start(trace, gamma=gamma, lambda_=lambda_, keep=keep, optimiser=rule)

    def predict(self, s: Any) -> Array:
        """Predictions (m,) of a state (i,), or (N, m) of states (N, i), learning nothing."""
        with self._read():
            return self.network.forward(s)

    def _rewards(self, rewards: Any, steps: int) -> tuple[Float64, tuple[int, ...]]:
        """(T, m), and the shape of the errors."""
        m = self.n_outputs
        array = arguments.floats("rewards", rewards)
        shape = (steps,) if m == 1 and array.ndim == 1 else (steps, m)
        return arguments.finite_array("rewards", array, shape).reshape(steps, m), shape

    def learn(self, states: Any, rewards: Any, *, gammas: Any = None, lambdas: Any = None) -> Float64:
        """Learn from a stream of T transitions; episodes follow each other, a discount of 0 ends one.

        states   (T + 1, i)
        rewards  (T, m); (T,) too for one output
        gammas   number, (T,) or (T, m): entry t is gamma_{t+1}, the discount on arriving in S_{t+1}
        lambdas  number, (T,) or (T, m): entry t is lambda_{t+1}

        Returns TD errors of the shape of the rewards.  A further call goes on from here.
        Errors: ValueError, TypeError, before anything has changed; FloatingPointError where a gradient or
        parameter is not finite, with the step, all as it was before that step; RuntimeError where another
        thread uses the learner; KeyboardInterrupt between two steps, with `steps`, how many were learned
        from, and `deltas`, their errors.
        """
        array = states_array("states", states, self.n_features)
        steps = len(array) - 1
        if steps < 0:
            raise ValueError("states: got no rows, expected T + 1 with T rewards")
        checked, shape = self._rewards(rewards, steps)
        by_gamma = self._series("gammas", gammas, steps, self._gamma)
        by_lambda = self._series("lambdas", lambdas, steps, self._lambda)
        deltas = np.empty((steps, self.n_outputs))
        stream = NetworkStream(steps, self._method, array, checked, by_gamma, by_lambda, deltas)
        stream.flat = len(shape) == 1
        if steps:
            with self._in_use():
                self._run_network(stream)
        return stream.errors()

    def update(
        self, s: Any, reward: Any, s_next: Any, *, gamma: Any = None, lambda_: Any = None
    ) -> float | Float64:
        """Learn from one transition.

        s, s_next  (i,) states; s_next may be None where gamma is 0
        reward     number or (m,)
        gamma, lambda_  numbers or (m,), of S_{t+1}

        Returns the TD errors: a float of one output, else (m,).  Errors: as learn.
        """
        m = self.n_outputs
        gamma = self._gamma if gamma is None else self._units("gamma", gamma)
        lambda_ = self._lambda if lambda_ is None else self._units("lambda_", lambda_)
        array = np.empty((2, self.n_features))
        array[0] = state_array("s", s, self.n_features)
        if s_next is not None:
            array[1] = state_array("s_next", s_next, self.n_features)
        elif np.any(gamma):
            raise ValueError(
                f"s_next: got None with gamma={gamma}; None is for the end of an episode, gamma=0"
            )
        scalar = np.ndim(reward) == 0 and m == 1
        rewards = arguments.finite_array("reward", np.reshape(reward, (1,)) if scalar else reward, (m,))
        deltas = np.empty((1, m))
        stream = NetworkStream(
            1, self._method, array, rewards[None], np.atleast_2d(gamma), np.atleast_2d(lambda_), deltas
        )
        stream.ends = s_next is None
        with self._in_use():
            self._run_network(stream)
        return float(deltas[0, 0]) if m == 1 else deltas[0]


class NetworkSarsa(NetworkLearner):
    """Sarsa(lambda) with a network of one output an action: one trace, that of the action taken.

        delta = R + gamma q(S', A') - q(S, A)
        z <- gamma lambda z + grad q(S, A)                 (n,)
        w <- w + alpha delta z

    A learner from streams; StreamSarsa also acts.  Options as NetworkTD's.

    Source: Sutton & Barto 2018, section 12.7; docs/networks.md.
    """

    _method = "sarsa"

    def __init__(
        self,
        network: MLP,
        *,
        alpha: float | None = None,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        optimiser: Optimiser | None = None,
        keep: int | None = None,
        backend: Backend | None = None,
    ) -> None:
        net, rule = checked_network(network), plain_or(optimiser, alpha)
        name = net.backend if backend is None else resolve(backend)
        trace = NetworkTrace(name, Head(net, 1, rule), before=keep != 0)
        self._start(trace, gamma=gamma, lambda_=lambda_, keep=keep, optimiser=rule)

    def q(self, s: Any) -> Array:
        """Action values (A,) of a state (i,), or (N, A) of states (N, i), learning nothing."""
        with self._read():
            return self.network.forward(s)

    def learn(
        self, states: Any, actions: Any, rewards: Any, *, gammas: Any = None, lambdas: Any = None
    ) -> Float64:
        """Learn from a stream of T transitions with the actions that were taken.

        states   (T + 1, i)
        actions  (T + 1,)
        rewards  (T,)
        gammas, lambdas  number or (T,), of S_{t+1}; a discount of 0 ends an episode

        Returns (T,) TD errors.  Errors: IndexError for an action; otherwise as NetworkTD.learn.
        """
        stream = self._actions_stream(states, actions, rewards, gammas, lambdas)
        if stream.steps:
            with self._in_use():
                self._run_network(stream)
        return stream.errors()

    def _actions_stream(
        self, states: Any, actions: Any, rewards: Any, gammas: Any, lambdas: Any
    ) -> NetworkStream:
        return actions_stream(self, self.n_outputs, states, actions, rewards, gammas, lambdas)


def actions_stream(
    learner: NetworkLearner,
    n_actions: int,
    states: Any,
    actions: Any,
    rewards: Any,
    gammas: Any,
    lambdas: Any,
) -> NetworkStream:
    """What every `learn` from actions checks and packs; actions None: there are none."""
    array = states_array("states", states, learner.n_features)
    steps = len(array) - 1
    if steps < 0:
        raise ValueError("states: got no rows, expected T + 1 with T rewards")
    taken = None
    if actions is not None:
        taken = arguments.actions_array("actions", actions, steps + 1, n_actions)
    checked = arguments.finite_array("rewards", rewards, (steps,))[:, None]
    by_gamma = learner._series("gammas", gammas, steps, learner._gamma)
    by_lambda = learner._series("lambdas", lambdas, steps, learner._lambda)
    deltas = np.empty((steps, 1))
    stream = NetworkStream(steps, learner._method, array, checked, by_gamma, by_lambda, deltas, actions=taken)
    stream.n_actions = n_actions
    return stream
