"""Learners with two weight vectors, for off-policy learning: GTD(lambda), HTD(lambda), GTD2, GQ(lambda)."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import arguments
from ..backends import Backend
from ..memory import Float64
from ..policy import Policy
from .agent import ActionLearner
from .gradient_trace import new_gradient
from .learner import StepLearner
from .prediction import OffPolicyLearner, StateLearner, never


class TwoVectors(StepLearner):
    """What a second weight vector v with a step size beta of its own adds to a learner."""

    _stem = "gradient"
    _layout: ClassVar[str]  # of the trace: see gradient_trace.KINDS
    _tunable: ClassVar[tuple[str, ...]] = ("alpha", "beta", "gamma", "lambda_")

    def _new_trace(self, backend: str) -> Any:
        return new_gradient(self._layout, self.n_features, self._columns, backend)

    @property
    def beta(self) -> float:
        """Step size of the second vector, v."""
        return self._beta

    @beta.setter
    def beta(self, value: float) -> None:
        self._beta = arguments.positive("beta", value)
        if "_trace" in vars(self):
            self._bind()

    @property
    def v(self) -> Float64:
        """A copy of the second vector.  Setting it keeps weights and trace.

        What the next step knows of v is then taken anew from the whole vectors, which costs O(n_features).
        """
        with self._read():
            return self._trace.vectors()["v"].reshape(self._shape())

    @v.setter
    def v(self, value: Any) -> None:
        v = arguments.finite_array("v", value, self._shape())
        with self._in_use():
            self._trace.set_v(v.reshape(-1))

    @property
    def diverged(self) -> bool:
        """Whether a weight, the trace or a sum over them is no longer finite."""
        with self._read():
            return not (self._trace.finite() and self._carries_on())

    def _run(self, stream: Any) -> Float64:
        return getattr(self._module, f"{self._kernel}_run")(self._trace, self._beta, stream)


class StateValues(TwoVectors):
    """`update` has a quick way.  Not for use by itself."""

    def _bind(self) -> None:
        super()._bind()
        quick = getattr(self._module, "quick_step", None)
        self._quick = quick(self._trace, self._beta) if quick else never


class GradientLearner(StateValues, OffPolicyLearner):
    """GTD(lambda) and its kin.  Not for use by itself."""

    _kind = "accumulating"

    def __init__(
        self,
        n_features: int,
        *,
        alpha: float,
        beta: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        backend: Backend = "auto",
    ) -> None:
        self.beta = beta
        super().__init__(n_features, alpha=alpha, gamma=gamma, lambda_=lambda_, backend=backend)


class GTD(GradientLearner):
    """GTD(lambda): TD(lambda) that follows a gradient, also off-policy.  With lambda 0 it is TDC.

        z <- rho (gamma lambda z + x)
        w <- w + alpha delta z - alpha gamma' (1 - lambda') (z.v) x'
        v <- v + beta delta z - beta (v.x) x

    gamma' and lambda' are of S_{t+1}, x' its features.

    n_features  weights
    alpha       step size of the weights
    beta        step size of v, which estimates the correction

    Stable in the mean where beta is large enough beside alpha; large lambda and ratios make samples wander.

    O(active features) a step, whatever lambda: docs/gradient.
    Source: Sutton & Barto 2018, section 12.11; Maei 2011.
    """

    _kernel = _layout = "gtd"


class HTD(GradientLearner):
    """HTD(lambda): TD(lambda) where it is on-policy, a gradient method where it is not.

        z  <- rho (gamma lambda z + x)
        zb <- gamma lambda zb + x
        w <- w + alpha delta z + alpha ((z - zb).v) (x - gamma' x')
        v <- v + beta delta z - beta (zb.v) (x - gamma' x')

    The arguments are GTD's.  Off-policy it can diverge, as on Baird's counterexample: docs/gradient.

    Source: Sutton & Barto 2018, section 12.11; White & White 2016.
    """

    _kernel = _layout = "htd"


class TrueOnlineGTD(GradientLearner):
    """True online GTD(lambda): GTD(lambda) with dutch traces, exactly a forward view at every step.

        e <- rho (gamma lambda e + alpha (1 - rho gamma lambda e.x) x)         e = alpha z
        g <- rho (gamma lambda g + x)
        h <- rho_{t-1} gamma lambda h + beta (1 - rho_{t-1} gamma lambda h.x) x
        w <- w + (delta + w.x - v_old) e - alpha rho (w.x - v_old) x - alpha gamma' (1 - lambda') (v.g) x'
        v <- v + rho delta h - beta (v.x) x                                    v_old = w_{t-1}.x

    On-policy with v = 0 the first part is true online TD(lambda).  The arguments are GTD's.

    Source: van Hasselt, Mahmood & Sutton 2014, algorithm 1; their h is v, their e^h is h.
    """

    _kernel = _layout = "true_online_gtd"
    _kind = "true_online"


class GTD2(StateValues, StateLearner):
    """GTD2: gradient TD without a trace; `trace` is 0 throughout.

        w <- w + alpha rho (x - gamma' x') (v.x)
        v <- v + beta (rho delta - v.x) x

    The arguments are GTD's, without lambda.

    Source: Sutton et al. 2009; Sutton & Barto 2018, section 11.7.
    """

    _kernel = _layout = "gtd2"
    _kind = "accumulating"
    _tunable = ("alpha", "beta", "gamma")

    def __init__(
        self, n_features: int, *, alpha: float, beta: float, gamma: float = 0.99, backend: Backend = "auto"
    ) -> None:
        self.beta = beta
        super().__init__(n_features, alpha=alpha, gamma=gamma, lambda_=0.0, backend=backend)

    def update(
        self,
        x: Any,
        reward: float,
        x_next: Any,
        *,
        gamma: float | None = None,
        rho: float = 1.0,
        alpha: float | None = None,
    ) -> float:
        """Learn from one transition.

        x, x_next  features of S_t and S_{t+1}; x_next may be None where gamma is 0
        reward     R_{t+1}
        gamma      discount on arriving in S_{t+1}; 0 ends the episode
        rho        pi(A_t|S_t) / mu(A_t|S_t)
        alpha      step size of this update

        Returns delta_t, the TD error under the weights before the update.
        Errors: FeatureIndexError, ValueError, TypeError; RuntimeError where another thread uses the learner.
        """
        gamma = self._gamma if gamma is None else gamma
        alpha = self._alpha if alpha is None else alpha
        for free in self._claim:
            if not free:
                break
            try:
                delta = self._quick(x, x_next, reward, gamma, 0.0, rho, alpha)
                if delta is None:
                    delta = self._transition(x, x_next, reward, gamma, 0.0, alpha, rho=rho)
                return delta
            finally:
                self._lock.release()
        self._refuse_use()

    def learn(
        self, x: Any, rewards: Any, *, gammas: Any = None, rhos: Any = None, alpha: Any = None
    ) -> Float64:
        """Learn from a stream of T transitions; episodes follow each other, a discount of 0 ends one.

        x        features of S_0 to S_T: (T + 1, k) indices, a pair (indices, values), Ragged, or dense
        rewards  (T,) R_{t+1}
        gammas   number or (T,): entry t is gamma_{t+1}, the discount into S_{t+1}; 0 ends an episode
        rhos     number, (T,) or (T + 1,): pi(A_t|S_t) / mu(A_t|S_t); None is 1
        alpha    number or (T,): step size

        Returns (T,) TD errors, delta_t under the weights before update t.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, ValueError, TypeError, before anything has changed; RuntimeError where
        another thread uses the learner.
        """
        return self._learn_rows(x, rewards, gammas, 0.0, alpha, rhos=rhos)


class GQ(TwoVectors, ActionLearner):
    """GQ(lambda): learns the action values of a target policy, along a gradient, also off-policy.

        z <- rho gamma lambda z + x                                x = x(S_t, A_t)
        delta = R + gamma' w.y - w.x                               y = sum_a pi(a|S_{t+1}) x(S_{t+1}, a)
        w <- w + alpha delta z - alpha gamma' (1 - lambda') (z.v) y
        v <- v + beta delta z - beta (v.x) x

    Online it learns about its own policy, epsilon-greedy or softmax, under the weights of the step.

    alpha  step size of the weights
    beta   step size of v, which estimates the correction
    The other arguments are Sarsa's.

    O(active features times actions) a step, whatever lambda: docs/gradient.
    Source: Maei & Sutton 2010; Maei 2011; Sutton & Barto 2018, section 12.11.
    """

    _kernel = "gq"
    _layout = "gtd"
    _kind = "accumulating"
    _tunable = ("alpha", "beta", "gamma", "lambda_", "epsilon", "policy", "temperature")
    _required = ("rhos", "target_policy")

    def __init__(
        self,
        n_features: int,
        n_actions: int,
        *,
        alpha: float,
        beta: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        epsilon: float = 0.1,
        policy: Policy = "epsilon",
        temperature: float = 1.0,
        state_action: bool = False,
        seed: int | np.random.Generator | None = None,
        backend: Backend = "auto",
    ) -> None:
        self.beta = beta
        super().__init__(
            n_features, n_actions,
            alpha=alpha, gamma=gamma, lambda_=lambda_, epsilon=epsilon, policy=policy,
            temperature=temperature, state_action=state_action, seed=seed, backend=backend,
        )  # fmt: skip

    def learn(
        self,
        x: Any,
        actions: Any,
        rewards: Any,
        *,
        gammas: Any = None,
        lambdas: Any = None,
        rhos: Any = None,
        target_policy: Any = None,
        alpha: Any = None,
    ) -> Float64:
        """Learn from a stream of T transitions with the actions that a behaviour policy took.

        x              features of S_0 to S_T: (T + 1, k) indices, a pair, Ragged, or dense (T + 1, n);
                       with state_action (T + 1, A, k), or dense (T + 1, A, n)
        actions        (T + 1,) A_0 to A_T
        rewards        (T,) R_{t+1}
        gammas         number or (T,): entry t is gamma_{t+1}, the discount into S_{t+1}; 0 ends an episode
        lambdas        number or (T,): entry t is lambda_{t+1}
        rhos           number, (T,) or (T + 1,): pi(A_t|S_t) / mu(A_t|S_t); required
        target_policy  (T + 1, A) pi(a|S_t); required
        alpha          number or (T,): step size

        Returns (T,) TD errors, delta_t under the weights before update t.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, IndexError for an action out of range, ValueError, TypeError, before
        anything has changed; RuntimeError where another thread uses the learner.
        """
        self._require(rhos=rhos, target_policy=target_policy)
        return self._learn_actions(
            x, actions, rewards, gammas, lambdas, alpha, target_policy=target_policy, rhos=rhos
        )
