"""Learners whose step sizes learn: SwiftTD, SwiftSarsa, TIDBD and Autostep; see docs/adaptive.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

import numpy as np

from .. import arguments
from ..backends import Backend
from ..features import Rows, Stream
from ..memory import Float64
from ..policy import Policy
from ..quick import quick
from .adaptive_trace import new_steps
from .agent import ActionLearner
from .learner import StepLearner
from .prediction import StateLearner, never


class _Tuned(Protocol):
    """What an _Option asks of a learner."""

    def _tune(self) -> None: ...


class _Option:
    """A number that the kernels take from the trace: checked when it is set, then handed on."""

    def __init__(self, check: Callable[[str, Any], float], doc: str) -> None:
        self.check, self.__doc__ = check, doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, learner: Any, owner: type) -> Any:
        return self if learner is None else learner.__dict__[f"_{self.name}"]

    def __set__(self, learner: _Tuned, value: Any) -> None:
        number = self.check(self.name, value)
        before = learner.__dict__.get(f"_{self.name}")
        learner.__dict__[f"_{self.name}"] = number
        try:
            learner._tune()
        except ValueError:
            if before is not None:
                learner.__dict__[f"_{self.name}"] = before
            raise


def _share(name: str, value: Any) -> float:
    number = arguments.real(name, value)
    if not 0.0 < number <= 1.0:
        raise ValueError(f"{name}: got {number}, expected a number above 0, at most 1")
    return number


class StepSizes(StepLearner):
    """What all of them share, of state and of action values.  Not for use by itself."""

    _stem: ClassVar[str] = "adaptive"
    _passed: ClassVar[dict[str, str]]  # options by their names in the kernels

    def _new_trace(self, backend: str) -> Any:
        return new_steps(self.n_features, self._columns, backend, self._kind, self._alpha)

    def _bind(self) -> None:
        super()._bind()
        self._tune()

    def _tune(self) -> None:
        """Hand the options to the trace, where there is one yet."""
        own = self.__dict__
        if "_trace" in own and all(f"_{name}" in own for name in self._passed):
            own["_trace"].tune(**{passed: own[f"_{name}"] for name, passed in self._passed.items()})

    @property
    def diverged(self) -> bool:
        """Whether a weight, a step size, a trace or a memory of them is no longer finite."""
        with self._read():
            with np.errstate(all="ignore"):
                vectors = self._trace.vectors().values()
            return not (all(np.isfinite(each).all() for each in vectors) and self._carries_on())

    def _step_work(self, entries: float, shared: bool, steps: int) -> float:
        work = super()._step_work(entries, shared, steps)
        if self.backend == "numpy" or self._kind != "swift":
            return work
        listed = self._trace.counter("listed") + entries * steps  # a step goes over them
        return work + 2.0 * min(listed, self.n_features * self._columns)

    @property
    def alpha(self) -> float:
        """The step size that every weight begins with; setting it lets all of them begin again from there."""
        return self.__dict__["_alpha"]

    @alpha.setter
    def alpha(self, value: float) -> None:
        alpha = arguments.positive("alpha", value)
        if "_trace" in self.__dict__:
            with self._in_use():
                self._trace.alpha, self._trace.arrived = alpha, None
                self._trace.set_alphas(alpha)
        self._alpha = alpha

    @property
    def alphas(self) -> Float64:
        """A copy of the step sizes, of the weights' shape.

        Where SwiftTD's rate of learning is above eta in the state that it has arrived in, they have shrunk by
        that: its bound takes the state in as it comes; after a step in a compiled loop or by address with
        the step to come.
        """
        with self._read():
            return self._trace.bounded_alphas().reshape(self._shape())


class AdaptiveLearner(StepSizes, StateLearner):
    """`update` and `learn` with lambda.  Not for use by itself."""

    def __init__(self, n_features: int, *, alpha: float, gamma: float, lambda_: float, backend: str) -> None:
        super().__init__(n_features, alpha=alpha, gamma=gamma, lambda_=lambda_, backend=backend)

    def _bind(self) -> None:
        super()._bind()
        quick = getattr(self._module, "quick_step", None)
        self._quick = quick(self._trace) if quick else never

    @quick
    def update(
        self,
        x: Any,
        reward: float,
        x_next: Any,
        *,
        gamma: float | None = None,
        lambda_: float | None = None,
    ) -> float:
        """Learn from one transition.

        x, x_next  features of S_t and S_{t+1}; x_next may be None where gamma is 0
        reward     R_{t+1}
        gamma      discount on arriving in S_{t+1}; 0 ends the episode
        lambda_    of S_{t+1}

        Returns delta_t, the TD error under the weights before the update.
        Errors: FeatureIndexError, ValueError, TypeError; RuntimeError where another thread uses the learner.
        """
        gamma = self._gamma if gamma is None else gamma
        lambda_ = self._lambda if lambda_ is None else lambda_
        for free in self._claim:
            if not free:
                break
            try:
                delta = self._quick(x, x_next, reward, gamma, lambda_)
                if delta is None:
                    delta = self._transition(x, x_next, reward, gamma, lambda_)
                return delta
            finally:
                self._lock.release()
        self._refuse_use()

    @quick
    def learn(self, x: Any, rewards: Any, *, gammas: Any = None, lambdas: Any = None) -> Float64:
        """Learn from a stream of T transitions; episodes follow each other, a discount of 0 ends one.

        x        features of S_0 to S_T: (T + 1, k) indices, a pair, Ragged, or dense (T + 1, n)
        rewards  (T,) R_{t+1}
        gammas   number or (T,): entry t is gamma_{t+1}, the discount on arriving in S_{t+1}
        lambdas  number or (T,): entry t is lambda_{t+1}

        Returns (T,) TD errors, delta_t under the weights before update t.  A further call goes on from here.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, ValueError, TypeError, before anything has changed; RuntimeError where
        another thread uses the learner.
        """
        return self._learn_rows(x, rewards, gammas, lambdas)


class SwiftOptions(StepSizes):
    """The options of SwiftTD and SwiftSarsa.  Not for use by itself."""

    _kind = "swift"
    _passed: ClassVar[dict[str, str]] = {
        "eta": "eta", "decay": "shrink", "meta": "meta", "eta_min": "eta_min"
    }  # fmt: skip

    eta = _Option(
        arguments.unit,
        "Largest rate of learning: the sum of alpha_i x_i^2 over the active features; 0 learns nothing.",
    )
    decay = _Option(_share, "What the step sizes of the active features are multiplied by above that rate.")
    meta = _Option(arguments.not_negative, "Step size of the logarithms of the step sizes; 0 keeps them.")
    eta_min = _Option(_share, "Smallest step size.")

    def _call_fields(self) -> dict[str, Any]:
        return super()._call_fields() | {"tells": 1}

    def _tune(self) -> None:
        own = self.__dict__
        if own.get("_eta_min", 0.0) > own.get("_eta", 1.0) > 0.0:
            raise ValueError(f"eta_min: got {own['_eta_min']}, expected at most eta, {own['_eta']}")
        super()._tune()

    def _run(self, stream: Stream) -> Float64:
        deltas = super()._run(stream)
        action = 0 if stream.actions is None else int(stream.actions[stream.steps])
        pairs = stream.state_action
        row = stream.rows.row(stream.steps * stream.n_actions + action if pairs else stream.steps)
        values = None if row.values is None else row.values.copy()
        self._trace.arrived = row.indices.copy(), values, 0 if pairs else action
        return deltas


class SwiftTD(SwiftOptions, AdaptiveLearner):
    """SwiftTD: true online TD(lambda) with a step size for each weight, which learns, and a bounded rate.

    n_features  weights
    alpha       the step size that each begins with
    eta         largest rate of learning, the sum of alpha_i x_i^2; above it the update is scaled down;
                0 learns nothing, and step sizes go to eta_min
    decay       what the active features' step sizes are multiplied by where the rate is above eta
    meta        step size of the logarithms of the step sizes
    eta_min     smallest step size

    O(k) and a vector operation for each feature that has a trace.

    Source: Javed, Sharifnassab & Sutton 2024, SwiftTD: A Fast and Robust Algorithm for Temporal Difference
    Learning.
    """

    _kernel = "swift_td"
    _tunable: ClassVar[tuple[str, ...]] = ("alpha", "gamma", "lambda_", "eta", "decay", "meta", "eta_min")

    def __init__(
        self,
        n_features: int,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        eta: float = 0.1,
        decay: float = 0.999,
        meta: float = 1e-3,
        eta_min: float = 1e-10,
        backend: Backend = "auto",
    ) -> None:
        self.eta, self.decay, self.meta, self.eta_min = eta, decay, meta, eta_min
        super().__init__(n_features, alpha=alpha, gamma=gamma, lambda_=lambda_, backend=backend)


class SwiftSarsa(SwiftOptions, ActionLearner):
    """SwiftSarsa: SwiftTD of action values, x = x(S_t, A_t).

    n_features    features of a state; the weights are (n_features, n_actions)
    alpha, eta, decay, meta, eta_min    SwiftTD's
    policy        "epsilon": greedy, but uniformly random with probability epsilon; ties are broken uniformly;
                  "softmax": from probabilities proportional to exp(q / temperature)
    state_action  the features are S&B's x(s, a) instead: (A, k) a state, weights (n_features,)
    seed          int or numpy Generator, for exploration and ties

    Source: Javed, Sharifnassab & Sutton 2024; Javed & Sutton 2025, Swift-Sarsa: Fast and Robust Linear
    Control.
    """

    _kernel = "swift_sarsa"
    _tunable: ClassVar[tuple[str, ...]] = (
        *ActionLearner._tunable, "eta", "decay", "meta", "eta_min"
    )  # fmt: skip

    def __init__(
        self,
        n_features: int,
        n_actions: int,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        eta: float = 0.1,
        decay: float = 0.999,
        meta: float = 1e-3,
        eta_min: float = 1e-10,
        epsilon: float = 0.1,
        policy: Policy = "epsilon",
        temperature: float = 1.0,
        state_action: bool = False,
        seed: int | np.random.Generator | None = None,
        backend: Backend = "auto",
    ) -> None:
        self.eta, self.decay, self.meta, self.eta_min = eta, decay, meta, eta_min
        super().__init__(
            n_features, n_actions,
            alpha=alpha, gamma=gamma, lambda_=lambda_, epsilon=epsilon, policy=policy,
            temperature=temperature, state_action=state_action, seed=seed, backend=backend,
        )  # fmt: skip

    def _learn_step(
        self, x: Rows, x_next: Rows | None, action_next: int, reward: float, gamma: float
    ) -> None:
        super()._learn_step(x, x_next, action_next, reward, gamma)
        self._trace.arrived = None
        if x_next is not None:  # rows that an agent keeps are its own
            row, pairs = x_next.row(action_next if self.state_action else 0), self.state_action
            self._trace.arrived = row.indices, row.values, 0 if pairs else action_next

    @quick
    def learn(
        self, x: Any, actions: Any, rewards: Any, *, gammas: Any = None, lambdas: Any = None
    ) -> Float64:
        """Learn from a stream of T transitions with the actions that were taken.

        x        features of S_0 to S_T: (T + 1, k) indices, a pair, Ragged, or dense (T + 1, n);
                 with state_action (T + 1, A, k), or dense (T + 1, A, n)
        actions  (T + 1,) A_0 to A_T
        rewards  (T,) R_{t+1}
        gammas   number or (T,): entry t is gamma_{t+1}, the discount into S_{t+1}; 0 ends an episode
        lambdas  number or (T,): entry t is lambda_{t+1}

        Returns (T,) TD errors, delta_t under the weights before update t.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, IndexError for an action out of range, ValueError, TypeError, before
        anything has changed; RuntimeError where another thread uses the learner.
        """
        return self._learn_actions(x, actions, rewards, gammas, lambdas, None)


class TIDBD(AdaptiveLearner):
    """TIDBD(lambda): TD(lambda) with a step size for each weight, which learns by meta-descent.

        beta_i <- beta_i + meta delta x_i h_i;  alpha_i = exp(beta_i)
        z <- gamma lambda z + x;  w_i <- w_i + alpha_i delta z_i
        h_i <- h_i [1 - alpha_i x_i z_i]+ + alpha_i delta z_i

    n_features  weights
    alpha       the step size that each begins with
    meta        step size of the logarithms of the step sizes

    O(k), whatever lambda.

    Source: Kearney et al. 2018, TIDBD: Adapting Temporal-difference Step-sizes Through Stochastic
    Meta-descent.
    """

    _kernel = "tidbd"
    _kind = "tidbd"
    _passed: ClassVar[dict[str, str]] = {"meta": "meta"}
    _tunable: ClassVar[tuple[str, ...]] = ("alpha", "gamma", "lambda_", "meta")

    meta = _Option(arguments.not_negative, "Step size of the logarithms of the step sizes; 0 keeps them.")

    def __init__(
        self,
        n_features: int,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        meta: float = 1e-2,
        backend: Backend = "auto",
    ) -> None:
        self.meta = meta
        super().__init__(n_features, alpha=alpha, gamma=gamma, lambda_=lambda_, backend=backend)


class Autostep(AdaptiveLearner):
    """Autostep for TD(lambda): TIDBD whose meta-descent is normalised, and whose updates do not overshoot.

    n_features  weights
    alpha       the step size that each begins with
    meta        step size of the logarithms of the step sizes, in units of their largest recent change
    tau         updates after which such a change is forgotten

    O(k), whatever lambda.

    Source: Mahmood, Sutton, Degris & Pilarski 2012, Tuning-free step-size adaptation; Kearney et al. 2018
    for TD errors and traces.
    """

    _kernel = "autostep"
    _kind = "autostep"
    _passed: ClassVar[dict[str, str]] = {"meta": "meta", "tau": "tau"}
    _tunable: ClassVar[tuple[str, ...]] = ("alpha", "gamma", "lambda_", "meta", "tau")

    meta = _Option(arguments.not_negative, "Step size of the logarithms of the step sizes; 0 keeps them.")
    tau = _Option(arguments.positive, "Updates after which a large change is forgotten.")

    def __init__(
        self,
        n_features: int,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        meta: float = 1e-2,
        tau: float = 1e4,
        backend: Backend = "auto",
    ) -> None:
        self.meta, self.tau = meta, tau
        super().__init__(n_features, alpha=alpha, gamma=gamma, lambda_=lambda_, backend=backend)
