"""What the learners with networks share, and those of state values."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from .. import arguments
from ..backends import Name
from ..learner import Learner
from ..memory import Array, Float64, owned
from ..pieces import in_pieces
from ..quick import bits, native, quick
from .network import MLP, fitting, state_array, states_array
from .optimisers import Optimiser
from .trace import NetworkStream, Outcome


class NetworkLearner(Learner):
    """Base of the learners with networks.  Not for use by itself."""

    _stem = "neural"
    _method: ClassVar[str]
    _optimiser: Optimiser  # whose steps it takes; set before _start

    def _start(self, trace: Any, *, gamma: Any, lambda_: Any) -> None:
        """What every __init__ ends with."""
        self._trace = trace
        self.n_features = self.network.n_inputs
        self.gamma, self.lambda_ = gamma, lambda_
        self._free()
        self._bind()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(owned(state))

    def _bind(self) -> None:
        super()._bind()
        make = native and self._may_be_quick() and getattr(self._module, "call", None)
        self._call = make(self._trace, lock=self._lock, **self._call_fields()) if make else None
        self._tell()

    def _may_be_quick(self) -> bool:
        return False

    def _call_fields(self) -> dict[str, Any]:
        """What the quick way has to know beside what _tell hands on; see _call.c."""
        names: dict[str, bool] = getattr(self, "_names_update", {})
        needed = (name for name, must in names.items() if must)
        words = {"s": "x", "s_next": "x_next"}
        takes, needs = (bits(False, (words.get(each, each) for each in some)) for some in (names, needed))
        return {"n": self.n_features, "columns": self._trace.n_traces, "takes": takes, "needs": needs}

    def _tell(self) -> None:
        if self._call is not None:
            self._tune()
            numbers = self._gamma, self._lambda
            single = all(np.ndim(each) == 0 for each in numbers)  # NaN: no number for all outputs
            self._call.gamma, self._call.lambda_ = numbers if single else (np.nan, np.nan)

    def _tune(self) -> None:
        """Hand on what a step takes beside discount and lambda."""
        fields: dict[str, Any] = {}
        self._add_fields(fields)
        self._module.tune(self._trace, fields)

    # ---- options -------------------------------------------------------------------------------------------

    @property
    def alpha(self) -> float:
        """Step size."""
        return self._optimiser.alpha

    @alpha.setter
    def alpha(self, value: float) -> None:
        self._optimiser.alpha = arguments.positive("alpha", value)
        self._tell()

    @property
    def network(self) -> MLP:
        """The network that learns; its params are live."""
        return self._trace.nets[0]

    @property
    def params(self) -> Array:
        """(n,) the network's live, writable parameters."""
        return self.network.params

    @property
    def n_outputs(self) -> int:
        return self.network.n_outputs

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
        return cls(**options | {"network": MLP(**options["network"], backend=backend)})

    def _checked_state(self, state: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        mine, theirs = self._options(), state["options"]
        if mine.get("network") != theirs.get("network"):
            raise ValueError(f"state: has network={theirs.get('network')!r}, this has {mine['network']!r}")
        would_be = self._of_options(theirs, self.backend)
        arrays = {name: np.asarray(array) for name, array in state["arrays"].items()}
        online = self._online_of(state["online"], arrays)
        learned = would_be._trace
        learned.set_arrays(arrays)
        kept = (*self._unsaved, "_trace")
        return {name: value for name, value in vars(would_be).items() if name not in kept} | online, learned

    def _become(self, attributes: dict[str, Any], learned: Any) -> None:
        self._trace.set_arrays(learned.arrays())
        self.__dict__.update(attributes)
        self._tell()

    # ---- learning ------------------------------------------------------------------------------------------

    def _series(self, name: str, value: Any, steps: int, default: Any) -> Float64:
        """Discounts or lambdas: a number, (T,) or (T, m), as (T or 1, m or 1)."""
        m = self._trace.n_traces
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

    def _stream_of(self, **fields: Any) -> NetworkStream:
        """A stream of these fields, and of those that each of this learner's has."""
        self._add_fields(fields)
        return NetworkStream.of(fields)

    def _add_fields(self, fields: dict[str, Any]) -> None:
        fields["method"] = self._method

    def _learned(self, stream: NetworkStream) -> Float64:
        """Learn from a stream; the TD errors."""
        if not stream.steps:
            return Outcome(np.empty(stream.rewards.shape)).errors(stream.flat)
        with self._in_use():
            return self._run_network(stream).errors(stream.flat)

    def _run_network(self, stream: NetworkStream) -> Outcome:
        """Learn from a stream; the learner is in use.

        Errors: FloatingPointError with the step; KeyboardInterrupt with `steps` and `deltas`, of a long one.
        """
        for net in self._trace.nets:
            net.to_be_written()
        out = Outcome(np.empty((stream.steps, stream.rewards.shape[1])))
        try:
            self._run_stream(stream, out)
        except KeyboardInterrupt as interrupt:
            interrupt.steps, interrupt.deltas = out.done, out.errors(stream.flat)  # type: ignore[attr-defined]
            raise
        return out

    def _run_stream(self, stream: NetworkStream, out: Outcome) -> None:
        """All of it; out.done says how far that came, whatever is raised."""
        if stream.steps <= 1:
            self._run_piece(stream, out, 0, stream.steps)
        else:
            in_pieces(stream.steps, self._first_piece(), partial(self._run_piece, stream, out))

    def _run_piece(self, stream: NetworkStream, out: Outcome, begin: int, end: int) -> None:
        """Hand steps begin to end - 1 to the backend; out.done is how far that came."""
        raise NotImplementedError

    def _work(self) -> float:
        """Passes over the network that a step takes, in those of NetworkTD."""
        return 1.0

    def _first_piece(self) -> int:
        """Steps that surely take less than a tenth of a second."""
        if self.backend == "numpy":
            return 0  # whose steps are in Python: SIGINT would be heard within one
        numbers = self._work() * sum(net.n_params for net in self._trace.nets) * self._trace.n_traces
        return max(1, int(5e7 / (2_000.0 + 3.0 * numbers)))  # ns


class OneTrace(NetworkLearner):
    """Those whose trace is one vector, of several arrays.  Not for use by itself."""

    @property
    def trace(self) -> Array:
        """(n,) a copy of the trace as the last update used it."""
        with self._read():
            return self._trace.dense()[1]

    @property
    def Z(self) -> Array:  # noqa: N802 - the field's name
        """(1, n) a copy of the trace."""
        return self.trace[None]


class StateValues(NetworkLearner):
    """Learners of m predictions, with numbers or (m,) for gamma and lambda_.  Not for use by itself."""

    _method = "td"

    def _units(self, name: str, value: Any) -> Any:
        m = self._trace.n_traces
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
        self._tell()

    @property
    def lambda_(self) -> Any:
        """Trace-decay parameter, where a call gives none: a number, or (m,)."""
        return self._lambda

    @lambda_.setter
    def lambda_(self, value: Any) -> None:
        self._lambda = self._units("lambda_", value)
        self._tell()

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
        return self._learned(
            self._stream_of(
                steps=steps, states=array, rewards=checked,
                gammas=by_gamma, lambdas=by_lambda, flat=len(shape) == 1,
            )
        )  # fmt: skip

    @quick
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
        deltas = self._learned(
            self._stream_of(
                steps=1, states=array, rewards=rewards[None],
                gammas=np.atleast_2d(gamma), lambdas=np.atleast_2d(lambda_), ends=s_next is None, flat=False,
            )
        )  # fmt: skip
        return float(deltas[0, 0]) if m == 1 else deltas[0]


def checked_network(network: Any) -> MLP:
    if not isinstance(network, MLP):
        raise TypeError(f"network: got {type(network).__name__}, expected an MLP")
    return network


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
    return learner._stream_of(
                steps=steps, states=array, actions=taken, rewards=checked,
        gammas=by_gamma, lambdas=by_lambda,
    )  # fmt: skip
