"""Learners whose trace is of gradients as they came, NetworkTD and NetworkSarsa; and how stale theirs is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..backends import Backend, Name, resolve
from ..memory import Array, Float64
from .learner import NetworkLearner, StateValues, actions_stream, checked_network
from .network import MLP
from .optimisers import Optimiser, Plain, optimiser_of
from .staleness import History, compare
from .trace import Head, NetworkStream, NetworkTrace, Outcome


class LooksBack(NetworkLearner):
    """Those with a trace of gradients, each made with the parameters of its time, and an optimiser.

    They can look back: `staleness` compares their trace with one that is made afresh.  Not for use by itself.
    """

    _trace: NetworkTrace

    def _look_back(self, keep: int | None, optimiser: Optimiser) -> None:
        """What every __init__ begins with."""
        self._optimiser = optimiser
        self.keep = None if keep is None else arguments.count("keep", keep, 0)
        self._history = History(self.keep)
        self._updated = False  # whether `before` is that of the last update

    @property
    def Z(self) -> Array:  # noqa: N802 - the field's name
        """(traces, n) the trace as the last update used it, not yet decayed; read-only."""
        view = self._trace.critic.Z.view()
        view.flags.writeable = False
        return view

    @property
    def trace(self) -> Array:
        """A copy of the trace as the last update used it: (n,), of several outputs (m, n)."""
        with self._read():
            Z = self._trace.critic.Z.copy()
        return Z if self._method == "td" and self.n_outputs > 1 else Z[0]

    def _forget(self) -> None:
        super()._forget()
        self._history.clear()
        self._updated = False

    # ---- states --------------------------------------------------------------------------------------------

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "optimiser": self._optimiser.options(), "keep": self.keep}

    @classmethod
    def _of_options(cls, options: dict[str, Any], backend: Name) -> Any:
        rules = {name: optimiser_of(options[name]) for name in _OPTIMISERS if name in options}
        return super()._of_options(options | rules, backend)

    def _checked_state(self, state: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        mine, theirs = self._options(), state["options"]
        for name in mine.keys() & _OPTIMISERS:
            rules = mine[name]["name"], theirs[name]["name"]
            if rules[0] != rules[1]:
                raise ValueError(f"state: has {name}={rules[1]}, this has {rules[0]}")
        if (self.keep == 0) != (theirs.get("keep") == 0):
            raise ValueError(f"state: has keep={theirs.get('keep')}, this has {self.keep}")
        return super()._checked_state(state)

    def _become(self, attributes: dict[str, Any], learned: Any) -> None:
        before = attributes.pop("before", None)
        super()._become(attributes, learned)
        if before is not None and self._trace.before is not None:
            self._trace.before[:] = before
        for head, other in zip(self._trace.heads, learned.heads, strict=True):
            head.rule = other.rule
        self._tell()

    def _may_be_quick(self) -> bool:  # else there are states to be kept
        return self.keep == 0

    def _online_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        history = self._history
        state, arrays = super()._online_state()
        state |= {"outputs": [int(each) for each in history.outputs], "updated": self._updated}
        arrays |= {
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
        found = {"_history": history, "_updated": bool(state["updated"]), "before": before}
        return super()._online_of(state, arrays) | found

    # ---- learning ------------------------------------------------------------------------------------------

    def _run_stream(self, stream: NetworkStream, out: Outcome) -> None:
        if self.keep == 0 or stream.steps == 0:
            super()._run_stream(stream, out)
            return
        out.inputs = np.empty((stream.steps, self.n_features))
        out.decays = np.empty((stream.steps, self._trace.n_traces))
        try:
            super()._run_stream(stream, out)
        finally:
            if out.done:
                self._history.add(out.inputs[: out.done], out.decays[: out.done], _traced(stream, out.done))

    def _run_piece(self, stream: NetworkStream, out: Outcome, begin: int, end: int) -> None:
        if out.decays is not None:
            if stream.cut != "never" and end - begin > 1:  # what was cut, only the trace knows
                for t in range(begin, end):
                    self._run_piece(stream, out, t, t + 1)
                return
            out.decays[begin] = self._trace.critic.decays
            rates = np.broadcast_to(stream.gammas * stream.lambdas, (stream.steps, out.decays.shape[1]))
            out.decays[begin + 1 : end] = rates[begin : end - 1]
        part = out.part(begin, end)
        fault = self._module.network_run(self._trace, stream.part(begin, end), part)
        out.done = begin + part.done
        self._updated = self.keep != 0 and stream.steps > 0 and fault is None
        if fault is not None:
            raise FloatingPointError(f"{fault}: not finite at step {out.done}")

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


def _traced(stream: NetworkStream, steps: int) -> NDArray[Any]:
    """(steps,) the outputs whose gradients came to the trace, -1: all."""
    if stream.method not in ("sarsa", "q"):
        return np.full(steps, -1)
    return np.full(steps, stream.action) if stream.actions is None else stream.actions[:steps]


_OPTIMISERS = {"optimiser", "actor_optimiser"}  # options of those


def plain_or(optimiser: Optimiser | None, alpha: float | None) -> Optimiser:
    """Plain steps of size alpha, or an optimiser of its own.  Errors: TypeError for both or neither."""
    if (optimiser is None) == (alpha is None):
        raise TypeError("alpha: give a step size, or an optimiser that has one")
    if optimiser is None:
        return Plain(alpha)  # type: ignore[arg-type]
    if not isinstance(optimiser, Optimiser):
        raise TypeError(f"optimiser: got {type(optimiser).__name__}, expected ObGD or AdaptiveObGD")
    return optimiser_of(optimiser.options())


class NetworkTD(LooksBack, StateValues):
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
        self._look_back(keep, rule)
        trace = NetworkTrace(name, Head(net, net.n_outputs, rule), before=keep != 0)
        self._start(trace, gamma=gamma, lambda_=lambda_)


class NetworkSarsa(LooksBack):
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
        self._look_back(keep, rule)
        trace = NetworkTrace(name, Head(net, 1, rule), before=keep != 0)
        self._start(trace, gamma=gamma, lambda_=lambda_)

    def _add_fields(self, fields: dict[str, Any]) -> None:
        super()._add_fields(fields)
        fields["n_actions"] = self.n_outputs

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
        return self._learned(actions_stream(self, self.n_outputs, states, actions, rewards, gammas, lambdas))
