"""Learners with two weight vectors, for off-policy learning: GTD(lambda) and its kin."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

import numpy as np

from .. import arguments
from ..backends import Backend
from ..memory import Float64
from ..policy import Policy
from ..quick import quick
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

    def _call_fields(self) -> dict[str, Any]:
        return super()._call_fields() | {"beta": self._beta}


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


class TDRC(GradientLearner):
    """TDRC(lambda), TD with regularised corrections: GTD(lambda) whose v is held to 0.

        z <- rho (gamma lambda z + x)
        w <- w + alpha delta z - alpha gamma' (1 - lambda') (z.v) x'
        v <- v + eta alpha (delta z - (v.x) x - beta v)

    alpha  step size of the weights
    beta   how strongly v is held to 0: with 0 it is GTD(lambda), with much of it TD(lambda)
    eta    the step size of v is eta alpha, by the alpha of the step; eta alpha beta < 1

    The other arguments are GTD's.  O(active features) a step: docs/gradient.
    Source: Ghiassian et al. 2020; with a trace, Ghiassian & Sutton 2021, arXiv:2106.00922.
    """

    _kernel = _layout = "tdrc"
    _tunable: ClassVar[tuple[str, ...]] = ("alpha", "beta", "eta", "gamma", "lambda_")
    _names = ("linear.TDRC",)

    def __init__(
        self,
        n_features: int,
        *,
        alpha: float,
        beta: float = 1.0,
        eta: float = 1.0,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        backend: Backend = "auto",
    ) -> None:
        self.eta = eta
        super().__init__(n_features, alpha=alpha, beta=beta, gamma=gamma, lambda_=lambda_, backend=backend)

    def _bind(self) -> None:
        self._trace.eta = self._eta
        super()._bind()

    def _call_fields(self) -> dict[str, Any]:
        # A step size of a call is to be checked against eta and beta.
        return super()._call_fields() | self._keyword_bits(without=("alpha",))

    @property
    def alpha(self) -> float:
        """Step size of the weights, where a call gives none."""
        return self._alpha

    @alpha.setter
    def alpha(self, value: float) -> None:
        alpha = arguments.positive("alpha", value)
        self._check_decay(alpha=alpha)
        self._alpha = alpha
        self._tell()

    @property
    def beta(self) -> float:
        """How strongly v is held to 0."""
        return self._beta

    @beta.setter
    def beta(self, value: float) -> None:
        beta = arguments.not_negative("beta", value)
        self._check_decay(beta=beta)
        self._beta = beta
        if "_trace" in vars(self):
            self._bind()

    @property
    def eta(self) -> float:
        """Step size of v, in those of the weights."""
        return self._eta

    @eta.setter
    def eta(self, value: float) -> None:
        eta = arguments.positive("eta", value)
        self._check_decay(eta=eta)
        self._eta = eta
        if "_trace" in vars(self):
            self._bind()

    def _check_decay(self, **new: Any) -> None:
        """Whether v decays and keeps its sign, as far as the numbers are there."""
        numbers = {name: vars(self).get(f"_{name}") for name in ("eta", "alpha", "beta")} | new
        if any(number is None for number in numbers.values()):
            return
        eta, alpha, beta = numbers.values()
        if not np.all(np.asarray(eta * alpha * beta) < 1.0):  # type: ignore[operator]
            largest = float(np.max(alpha))  # type: ignore[arg-type]
            name = next(iter(new))
            raise ValueError(
                f"{name}: eta alpha beta is {eta} * {largest} * {beta} = {eta * largest * beta}, "  # type: ignore[operator]
                "expected less than 1: v is multiplied by what is left"
            )

    def _run(self, stream: Any) -> Float64:
        self._check_decay(alpha=stream.alphas)
        return super()._run(stream)


class ProximalGTD2(GradientLearner):
    """Proximal GTD2(lambda): GTD2(lambda) that looks ahead, by a step that it then takes from where it began.

        z <- rho (gamma lambda z + x)
        v1 = v + beta (delta z - (v.x) x)
        w1 = w + alpha ((v.x) x - gamma' (1 - lambda') (z.v) x')         delta1 = R + gamma' w1.x' - w1.x
        w <- w + alpha ((v1.x) x - gamma' (1 - lambda') (z.v1) x')
        v <- v + beta (delta1 z - (v1.x) x)

    The arguments are GTD's.  O(active features) a step, whatever lambda: docs/gradient.

    Source: Mahadevan et al. 2014; Liu et al. 2015 (GTD2-MP); with a trace, Ghiassian & Sutton 2021,
    arXiv:2106.00922.
    """

    _kernel = _layout = "proximal_gtd2"


class GTD2(StateValues, StateLearner):
    """GTD2: gradient TD by the correction alone.  Without lambda there is no trace, `trace` is 0:

        w <- w + alpha rho (x - gamma' x') (v.x)
        v <- v + beta (rho delta - v.x) x

    With one, GTD2(lambda), whose first term no rho weighs: off-policy lambda 0 is another update than none.

        z <- rho (gamma lambda z + x)
        w <- w + alpha ((v.x) x - gamma' (1 - lambda') (z.v) x')
        v <- v + beta (delta z - (v.x) x)

    lambda_  None, or a number from 0 to 1: a learner keeps the form that it was made with
    The other arguments are GTD's.

    Source: Sutton et al. 2009; Sutton & Barto 2018, section 11.7; with lambda, Ghiassian & Sutton 2021,
    arXiv:2106.00922.
    """

    _kernel = _layout = "gtd2"
    _kind = "accumulating"

    def __init__(
        self,
        n_features: int,
        *,
        alpha: float,
        beta: float,
        gamma: float = 0.99,
        lambda_: float | None = None,
        backend: Backend = "auto",
    ) -> None:
        self.beta = beta
        super().__init__(n_features, alpha=alpha, gamma=gamma, lambda_=lambda_, backend=backend)  # type: ignore[arg-type]

    @property  # type: ignore[override]
    def lambda_(self) -> float | None:
        """Trace-decay parameter, where a call gives none; None: no trace."""
        return None if self._kernel == "gtd2" else self._lambda

    @lambda_.setter
    def lambda_(self, value: float | None) -> None:
        if "_trace" in vars(self) and (value is None) != (self.lambda_ is None):
            self._refuse_lambda("lambda_", value)
        self._lambda = 0.0 if value is None else arguments.unit("lambda_", value)
        self._kernel = self._layout = "gtd2" if value is None else "gtd2_lambda"  # type: ignore[misc]
        self._tell()

    def _refuse_lambda(self, name: str, value: Any) -> NoReturn:
        have = "has none, and no trace" if self.lambda_ is None else f"has lambda_={self.lambda_}"
        raise ValueError(
            f"{name}: got {value!r}, this GTD2 {have}; a learner keeps the form it was made with"
        )

    def _checked_state(self, state: dict[str, Any]) -> tuple[dict[str, Any], Any]:
        options = {"lambda_": None, **state["options"]}  # one from before has none
        if (options["lambda_"] is None) != (self.lambda_ is None):
            self._refuse_lambda("state: lambda_", options["lambda_"])
        return super()._checked_state({**state, "options": options})

    def _call_fields(self) -> dict[str, Any]:
        without = ("lambda_", "lambdas") if self.lambda_ is None else ()
        return super()._call_fields() | self._keyword_bits(without)

    @quick
    def update(
        self,
        x: Any,
        reward: float,
        x_next: Any,
        *,
        gamma: float | None = None,
        lambda_: float | None = None,
        rho: float = 1.0,
        alpha: float | None = None,
    ) -> float:
        """Learn from one transition.

        x, x_next  features of S_t and S_{t+1}; x_next may be None where gamma is 0
        reward     R_{t+1}
        gamma      discount on arriving in S_{t+1}; 0 ends the episode
        lambda_    of S_{t+1}; where the learner has one
        rho        pi(A_t|S_t) / mu(A_t|S_t)
        alpha      step size of this update

        Returns delta_t, the TD error under the weights before the update.
        Errors: FeatureIndexError, ValueError, TypeError; RuntimeError where another thread uses the learner.
        """
        if lambda_ is None:
            lambda_ = self._lambda
        elif self.lambda_ is None:
            self._refuse_lambda("lambda_", lambda_)
        gamma = self._gamma if gamma is None else gamma
        alpha = self._alpha if alpha is None else alpha
        for free in self._claim:
            if not free:
                break
            try:
                delta = self._quick(x, x_next, reward, gamma, lambda_, rho, alpha)
                if delta is None:
                    delta = self._transition(x, x_next, reward, gamma, lambda_, alpha, rho=rho)
                return delta
            finally:
                self._lock.release()
        self._refuse_use()

    @quick
    def learn(
        self,
        x: Any,
        rewards: Any,
        *,
        gammas: Any = None,
        lambdas: Any = None,
        rhos: Any = None,
        alpha: Any = None,
    ) -> Float64:
        """Learn from a stream of T transitions; episodes follow each other, a discount of 0 ends one.

        x        features of S_0 to S_T: (T + 1, k) indices, a pair (indices, values), Ragged, or dense
        rewards  (T,) R_{t+1}
        gammas   number or (T,): entry t is gamma_{t+1}, the discount into S_{t+1}; 0 ends an episode
        lambdas  number or (T,): entry t is lambda_{t+1}; where the learner has one
        rhos     number, (T,) or (T + 1,): pi(A_t|S_t) / mu(A_t|S_t); None is 1
        alpha    number or (T,): step size

        Returns (T,) TD errors, delta_t under the weights before update t.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, ValueError, TypeError, before anything has changed; RuntimeError where
        another thread uses the learner.
        """
        if lambdas is not None and self.lambda_ is None:
            self._refuse_lambda("lambdas", lambdas)
        return self._learn_rows(x, rewards, gammas, lambdas, alpha, rhos)


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

    @quick
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
