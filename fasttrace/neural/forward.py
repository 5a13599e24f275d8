"""ForwardTD: lambda-returns with fresh parameters in place of a trace; the base of what else helps."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np

from .. import arguments
from ..backends import Backend, resolve
from ..memory import Array
from .learner import NetworkLearner, StateValues, checked_network
from .network import MLP
from .optimisers import Plain
from .remedies import ForwardState
from .trace import NetworkStream, Outcome

_VALUES: tuple[Literal["fresh", "arrival"], ...] = ("fresh", "arrival")
NEGLIGIBLE = 1e-3  # of a return's weights, beyond the window


def window_of(gamma: Any, lambda_: Any) -> int:
    """Transitions after which the weight (gamma lambda)^k is below 1e-3; 1 for lambda 0.

    Errors: ValueError where it never is.
    """
    decay = float(np.max(np.asarray(gamma) * np.asarray(lambda_)))
    if decay >= 1.0:
        raise ValueError(
            "window: gamma lambda is 1, no window holds such a return; give a number of transitions"
        )
    return 1 if decay <= NEGLIGIBLE else math.ceil(math.log(NEGLIGIBLE) / math.log(decay))


class StepByStep(NetworkLearner):
    """Those whose single steps the C module lays, and Python hands on.  Not for use by itself."""

    def _may_be_quick(self) -> bool:
        return True

    def _tune(self) -> None:
        pass  # _set does it, in each step

    def _one_step(self) -> bool:
        """Learn from the transition that is laid; False, with nothing changed, for a fault."""
        return self._module.one_step(self._set())

    def _set(self) -> Any:
        """What is carried from step to step, with the numbers that a step has now."""
        raise NotImplementedError


class RemedyTD(StepByStep, StateValues):
    """Base of the predictors that do something about stale traces.  Not for use by itself.

    _own  options beside network, alpha, gamma and lambda_
    """

    _own: ClassVar[tuple[str, ...]] = ()
    _single = True  # for networks of one output alone

    def _checked(self, network: Any) -> MLP:
        net = checked_network(network)
        if self._single and net.n_outputs != 1:
            raise ValueError(f"network: has {net.n_outputs} outputs, {type(self).__name__} is for one")
        return net

    def _begin(self, state: Any, alpha: float, gamma: Any, lambda_: Any) -> None:
        """What every __init__ ends with."""
        self._optimiser = Plain(alpha)
        self._start(state, gamma=gamma, lambda_=lambda_)

    def _options(self) -> dict[str, Any]:
        return super()._options() | {name: getattr(self, name) for name in ("alpha", *self._own)}

    def _run_piece(self, stream: NetworkStream, out: Outcome, begin: int, end: int) -> None:
        part, shape = stream.part(begin, end), (end - begin, self.n_outputs)
        states = part.states.astype(self.network.dtype)
        if part.ends:
            states[-1] = 0
        gammas, lambdas = (
            np.ascontiguousarray(np.broadcast_to(each, shape)) for each in (part.gammas, part.lambdas)
        )
        out.done = begin + self._run_steps(part, states, gammas, lambdas, out.deltas[begin:end])
        if out.done < end:
            raise FloatingPointError(f"TD error, gradient or parameter: not finite at step {out.done}")

    def _run_steps(
        self, part: NetworkStream, states: Array, gammas: Array, lambdas: Array, deltas: Array
    ) -> int:
        """Hand a piece of T steps to the backend, arrays (T, m); the number of steps learned from."""
        raise NotImplementedError


class ForwardTD(RemedyTD):
    """Forward TD(lambda): each state moves once, towards its lambda-return, with the gradient of that moment.

    On arriving in S_h the state `window` transitions back is updated, at an episode's end all that wait:

        G_i = R_{i+1} + gamma_{i+1} ((1 - lambda_{i+1}) v(S_{i+1}) + lambda_{i+1} G_{i+1}),    G_h = v(S_h)
        w <- w + alpha sum over the outputs of (G_t - v(S_t, w)) grad v(S_t, w)

    Nothing in it is stale but, with values="arrival", the v in the return.  It has no trace; `waiting` says
    how many states are still to be updated.

    network  an MLP of any number of outputs, each with a return of its own; it learns in place
    alpha    step size
    gamma, lambda_  numbers, or (m,) by the output
    window   transitions that a return looks ahead; None: as many as weigh 1e-3 or more
    values   "fresh": the v in a return are those of w at the update, `window` passes ahead a step; "arrival":
             each as it was when its state came, one pass, van Seijen's algorithm and TTD(lambda) of S&B 12.3

    `learn` and `update` return the TD errors of the transitions, although these are learned from later.
    A discount of 0 in every output ends an episode.  `flush()` updates what waits without one, at a
    truncation; `reset()` drops it.

    Source: van Seijen 2016, "Effective multi-step temporal-difference learning for non-linear function
    approximation"; Sutton & Barto 2018, (12.9), (12.10).
    """

    _stem = "neural_forward"
    _own = ("window", "values")
    _single = False
    _trace: ForwardState

    def __init__(
        self,
        network: MLP,
        *,
        alpha: float,
        gamma: Any = 0.99,
        lambda_: Any = 0.9,
        window: int | None = None,
        values: Literal["fresh", "arrival"] = "fresh",
        backend: Backend | None = None,
    ) -> None:
        net = self._checked(network)
        name = net.backend if backend is None else resolve(backend)
        self.values: Literal["fresh", "arrival"] = arguments.choice("values", values, _VALUES)
        self._trace = ForwardState(name, net, 1, True)  # for the checks of gamma and lambda_
        self.gamma, self.lambda_ = gamma, lambda_
        steps = window_of(self.gamma, self.lambda_) if window is None else window
        self.window = arguments.count("window", steps)
        self._begin(ForwardState(name, net, self.window, values == "fresh"), alpha, gamma, lambda_)

    @classmethod
    def _entries(cls, options: dict[str, Any]) -> int:
        slots = arguments.count("window", options["window"]) + 1
        return super()._entries(options) + 3 * slots  # rewards, gammas, lambdas, beside states and values

    @property
    def waiting(self) -> int:
        """Transitions whose states are still to be updated."""
        return self._trace.waiting

    def flush(self) -> None:
        """Update all that wait now, their returns cut at the last state: where an episode is truncated.

        Errors: FloatingPointError; then nothing has changed.
        """
        with self._in_use():
            self.network.to_be_written()
            if not self._module.forward_td_flush(self._set()):
                raise FloatingPointError("flush: a gradient or parameter is not finite; nothing was changed")

    def _work(self) -> float:
        return 1.0 + self.window * (self.values == "fresh")

    def _run_steps(
        self, part: NetworkStream, states: Array, gammas: Array, lambdas: Array, deltas: Array
    ) -> int:
        return self._module.forward_td_run(self._set(), states, part.rewards, gammas, lambdas, deltas)

    def _set(self) -> ForwardState:
        self._trace.alpha = self.alpha
        return self._trace
