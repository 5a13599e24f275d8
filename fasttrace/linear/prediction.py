"""Learners of state values: TD(lambda), emphatic TD(lambda), and their true online forms."""

from __future__ import annotations

from typing import Any, ClassVar, overload

import numpy as np

from .. import arguments
from ..backends import Backend
from ..features import Ragged, Rows, is_stream, joined, one_step, parse_rows, parse_state, raise_bad_index
from ..kinds import foreign
from ..layout import NO_OPTIONS, Options
from ..memory import Float64
from ..quick import quick
from .learner import Bounded, Kind, LinearLearner, StepLearner


def agreed(pi: Float64, rhos: Float64) -> None:
    """Raise ValueError where pi and rho cannot be of one action.

    pi, rhos  (T,), or (1,) for all
    """
    pi, rhos = np.broadcast_arrays(pi, rhos)
    good = ((pi > 0.0) == (rhos > 0.0)) & (pi <= rhos * (1.0 + 1e-6))
    if not good.all():
        t = int(np.argmin(good))
        place = f"entry {t} is" if len(pi) > 1 else "got"
        raise ValueError(
            f"pi: {place} {pi[t]} with a ratio of {rhos[t]}, expected 0 where that is 0, and pi / rho, how "
            "likely the behaviour was to act so, of at most 1"
        )


class StateLearner(LinearLearner):
    """Learners of v(s) = w.x(s)."""

    @overload
    def predict(self, x: Ragged) -> Float64: ...
    @overload
    def predict(self, x: Any) -> float | Float64: ...
    @quick
    def predict(self, x: Any) -> float | Float64:
        """Values w.x, learning nothing.

        x  features of one state, or of a stream (T + 1 rows).
        Returns a float, or (T + 1,); for PyTorch's tensors and the like a tensor.
        Errors: FeatureIndexError, ValueError, TypeError.
        """
        if kind := foreign(x):
            return kind.call(self.predict, "x", x)
        if is_stream(x):
            return self._values(parse_rows(x, self.n_features))[:, 0]
        return float(self._values(parse_state(x, self.n_features))[0, 0])

    def _quick_of(self, name: str) -> Any:
        """The quick way of a kind that may have options; steps that are embedded find them at the trace."""
        quick = getattr(self._module, name, None)
        if quick is None:
            return never
        self._trace.options[:] = self._kind_options
        return quick(self._trace, self._kind, self._kind_options)

    def _state(self, x: Any, name: str = "x") -> Rows:
        rows = parse_state(x, self.n_features, name)
        raise_bad_index(rows.indices, self.n_features, name, rows.shape)
        if rows.values is not None:
            self._refuse_values(name)
        return rows

    def _transition(
        self,
        x: Any,
        x_next: Any,
        reward: float,
        gamma: float,
        lambda_: float = 0.0,
        alpha: float = 1.0,
        **more: float,
    ) -> float:
        """One transition as a stream of its own; any form of features, every check.  The lock is held.

        more  rho, interest, where the learner takes them
        """
        rows = self._state(x)
        reward, gamma = arguments.finite("reward", reward), arguments.unit("gamma", gamma)
        if x_next is None and gamma != 0.0:
            raise ValueError(
                f"x_next: got None with gamma={gamma}; None is for the end of an episode, gamma=0"
            )
        rows = joined(rows, None if x_next is None else self._state(x_next, "x_next"))
        numbers = (
            reward,
            gamma,
            arguments.unit("lambda_", lambda_),
            arguments.positive("alpha", alpha),
        )
        ratios: dict[str, Any] = {
            f"{name}s": np.array([arguments.not_negative(name, each)]) for name, each in more.items()
        }
        return float(self._run(one_step(rows, *numbers, options=self._kind_options, **ratios))[0])

    def _learn_rows(
        self,
        x: Any,
        rewards: Any,
        gammas: Any,
        lambdas: Any = None,
        alpha: Any = None,
        rhos: Any = None,
        interests: Any = None,
        pi: Any = None,
    ) -> Float64:
        """What every `learn` of state values does."""
        rows = parse_rows(x, self.n_features)
        rewards = self._rewards(rows, rewards)
        steps = len(rewards)
        ratios = arguments.series("rhos", rhos, steps, 1.0, "not_negative", spare=True)
        pis = None
        if pi is not None:
            pis = arguments.series("pi", pi, steps, None, "unit", spare=True)
            agreed(pis, ratios)  # type: ignore[arg-type]
        stream = self._stream(
            rows, rewards, gammas, lambdas, alpha,
            rhos=ratios,
            interests=arguments.series("interests", interests, steps, 1.0, "not_negative"),
            pis=pis,
            options=self._kind_options,
        )  # fmt: skip
        return self._learn(stream)


class WithOneTrace(StateLearner, StepLearner):
    """Those that have no choice of a trace.  Not for use by itself."""

    def __init__(
        self,
        n_features: int,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        backend: Backend = "auto",
    ) -> None:
        super().__init__(n_features, alpha=alpha, gamma=gamma, lambda_=lambda_, backend=backend)


class OffPolicyLearner(StateLearner, StepLearner):
    """`update` and `learn` with lambda, alpha and importance ratios.  Not for use by itself."""

    def _bind(self) -> None:
        super()._bind()
        quick = getattr(self._module, "quick_td_step", None)
        self._quick = quick(self._trace, self._kind) if quick else never

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
        lambda_    of S_{t+1}
        rho        pi(A_t|S_t) / mu(A_t|S_t)
        alpha      step size of this update

        Returns delta_t, the TD error under the weights before the update.
        Errors: FeatureIndexError, ValueError, TypeError; RuntimeError where another thread uses the learner.
        """
        gamma = self._gamma if gamma is None else gamma
        lambda_ = self._lambda if lambda_ is None else lambda_
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

        x        features of S_0 to S_T: (T + 1, k) indices, a pair, Ragged, or dense (T + 1, n)
        rewards  (T,) R_{t+1}
        gammas   number or (T,): entry t is gamma_{t+1}, the discount on arriving in S_{t+1}
        lambdas  number or (T,): entry t is lambda_{t+1}
        rhos     number, (T,) or (T + 1,): entry t is pi(A_t|S_t) / mu(A_t|S_t); None is on-policy
        alpha    number or (T,): step size

        Returns (T,) TD errors, delta_t under the weights before update t.  A further call goes on from here.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, ValueError, TypeError, before anything has changed; RuntimeError where
        another thread uses the learner.
        """
        return self._learn_rows(x, rewards, gammas, lambdas, alpha, rhos)


class TD(Bounded, OffPolicyLearner):
    """TD(lambda) with linear features; off-policy where importance ratios are given.

        z <- rho (gamma lambda z + x)                              trace="accumulating", eq. 12.5, 12.25
        z <- rho gamma lambda z;  z_i <- rho for the active i      "replacing", eq. 12.12, binary features
        z <- rho (gamma lambda z + (1 - alpha rho gamma lambda z.x) x)      "dutch", eq. 12.11
        w <- w + alpha delta z

    n_features  weights
    alpha       step size itself, not divided by the number of active features
    bound       no step may overshoot: alpha_t = min(alpha_{t-1}, 1 / |z.(gamma' x' - x)|) where that
                product is negative (AlphaBound, Dabney & Barto 2012); accumulating and replacing traces

    Source: Sutton & Barto 2018, sections 12.2, 12.9, exercise 12.13.
    """

    _kernel = "td"
    _kinds: ClassVar[tuple[str, ...]] = ("accumulating", "replacing", "dutch")

    def __init__(
        self,
        n_features: int,
        trace: Kind = "accumulating",
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        bound: bool = False,
        backend: Backend = "auto",
    ) -> None:
        self._set_bound(bound, trace)
        self._kind = arguments.choice("trace", trace, self._kinds)
        super().__init__(n_features, alpha=alpha, gamma=gamma, lambda_=lambda_, backend=backend)


class TrueOnlineTD(WithOneTrace, OffPolicyLearner):
    """True online TD(lambda): at every step the weights of the online lambda-return algorithm.

        e <- rho gamma lambda e;  e <- e + alpha rho (1 - e.x) x               e = alpha z, the dutch trace
        w <- w + (delta + v - v_old) e - alpha rho (v - v_old) x

    alpha may change by the step.  Off-policy where importance ratios are given.

    Source: van Seijen et al. 2016, JMLR 17(145); Sutton & Barto 2018, section 12.5;
    van Hasselt, Mahmood & Sutton 2014 for rho.
    """

    _kernel = "true_online_td"
    _kind = "true_online"


class EmphaticLearner(WithOneTrace):
    """`update` and `learn` with interests.  Not for use by itself."""

    def _bind(self) -> None:
        super()._bind()
        self._quick = self._quick_of("quick_emphatic_td_step")

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
        interest: float = 1.0,
    ) -> float:
        """Learn from one transition.

        x, x_next  features of S_t and S_{t+1}; x_next may be None where gamma is 0
        reward     R_{t+1}
        gamma      discount on arriving in S_{t+1}; 0 ends the episode
        lambda_    of S_{t+1}
        rho        pi(A_t|S_t) / mu(A_t|S_t)
        alpha      step size of this update
        interest   i_t in the value of S_t

        Returns delta_t, the TD error under the weights before the update.
        Errors: FeatureIndexError, ValueError, TypeError; RuntimeError where another thread uses the learner.
        """
        gamma = self._gamma if gamma is None else gamma
        lambda_ = self._lambda if lambda_ is None else lambda_
        alpha = self._alpha if alpha is None else alpha
        with self._in_use():
            delta = self._quick(x, x_next, reward, gamma, lambda_, rho, alpha, interest)
            if delta is None:
                more = {"rho": rho, "interest": interest}
                delta = self._transition(x, x_next, reward, gamma, lambda_, alpha, **more)
            return delta

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
        interests: Any = None,
    ) -> Float64:
        """Learn from a stream of T transitions; episodes follow each other, a discount of 0 ends one.

        x          features of S_0 to S_T: (T + 1, k) indices, a pair, Ragged, or dense (T + 1, n)
        rewards    (T,) R_{t+1}
        gammas     number or (T,): entry t is gamma_{t+1}, the discount on arriving in S_{t+1}
        lambdas    number or (T,): entry t is lambda_{t+1}
        rhos       number, (T,) or (T + 1,): entry t is pi(A_t|S_t) / mu(A_t|S_t); None is on-policy
        alpha      number or (T,): step size
        interests  number or (T,): entry t is i_t, how much the value of S_t matters; None is 1

        Returns (T,) TD errors, delta_t under the weights before update t.  A further call goes on from here.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, ValueError, TypeError, before anything has changed; RuntimeError where
        another thread uses the learner.
        """
        return self._learn_rows(x, rewards, gammas, lambdas, alpha, rhos, interests)


class EmphaticTD(EmphaticLearner):
    """Emphatic TD(lambda): weighs states as the target policy would come to them.

    So it is stable off-policy in the mean; the followon's variance may be infinite (docs/gradient), and is
    less with a smaller beta.

        F <- rho_{t-1} gamma F + i                 followon trace; with beta for gamma where one is given
        M = lambda i + (1 - lambda) F              emphasis
        z <- rho (gamma lambda z + M x)
        w <- w + alpha delta z

    beta  of the followon trace, from 0 to 1; None: it is gamma_t

    Source: Sutton, Mahmood & White 2016, JMLR 17(73); Sutton & Barto 2018, section 12.11; Hallak, Tamar,
    Munos & Mannor 2016 for beta.
    """

    _kernel = "emphatic_td"
    _kind = "emphatic"

    def __init__(
        self,
        n_features: int,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        beta: float | None = None,
        backend: Backend = "auto",
    ) -> None:
        self.beta = beta
        super().__init__(n_features, alpha=alpha, gamma=gamma, lambda_=lambda_, backend=backend)

    @property
    def beta(self) -> float | None:
        """By which the followon trace decays; None: by gamma_t."""
        return self._beta

    @beta.setter
    def beta(self, value: float | None) -> None:
        self._beta = None if value is None else arguments.unit("beta", value)
        kind = "emphatic" if value is None else "emphatic_beta"
        self._kernel, self._kind = f"{kind}_td", kind  # type: ignore[misc]
        if "_trace" in vars(self):
            self._bind()

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "beta": self.beta}

    @property
    def _kind_options(self) -> Options:
        return NO_OPTIONS if self.beta is None else Options(beta=self.beta)


class TrueOnlineEmphaticTD(EmphaticLearner):
    """True online emphatic TD(lambda).

        F and M as EmphaticTD's
        e <- rho gamma lambda e;  e <- e + alpha rho M (1 - e.x) x               e = alpha z
        w <- w + (delta + v - v_old) e - alpha rho M (v - v_old) x

    Source: Sutton 2015, arXiv:1507.07147.
    """

    _kernel = "true_online_emphatic_td"
    _kind = "true_online_emphatic"


class RatioLearner(StateLearner, StepLearner):
    """`update` and `learn` with importance ratios that must be given.  Not for use by itself."""

    _required: ClassVar[tuple[str, ...]] = ("rhos",)

    def _bind(self) -> None:
        super()._bind()
        self._quick = self._quick_of("quick_state_step")

    def _take(
        self, x: Any, reward: Any, x_next: Any, gamma: Any, lambda_: Any, rho: Any, alpha: Any, pi: Any = None
    ) -> float:
        """What every `update` does."""
        gamma = self._gamma if gamma is None else gamma
        lambda_ = self._lambda if lambda_ is None else lambda_
        alpha = self._alpha if alpha is None else alpha
        with self._in_use():
            delta = self._quick(x, x_next, reward, gamma, lambda_, rho, alpha, 1.0, 1.0 if pi is None else pi)
            if delta is None:
                more = {"rho": arguments.not_negative("rho", rho)}
                if pi is not None:
                    more["pi"] = arguments.unit("pi", pi)
                    agreed(np.array([more["pi"]]), np.array([more["rho"]]))
                delta = self._transition(x, x_next, reward, gamma, lambda_, alpha, **more)
            return delta

    @quick
    def update(
        self,
        x: Any,
        reward: float,
        x_next: Any,
        *,
        rho: float,
        gamma: float | None = None,
        lambda_: float | None = None,
        alpha: float | None = None,
    ) -> float:
        """Learn from one transition.

        x, x_next  features of S_t and S_{t+1}; x_next may be None where gamma is 0
        reward     R_{t+1}
        rho        pi(A_t|S_t) / mu(A_t|S_t)
        gamma      discount on arriving in S_{t+1}; 0 ends the episode
        lambda_    of S_{t+1}
        alpha      step size of this update

        Returns delta_t, the TD error under the weights before the update.
        Errors: FeatureIndexError, ValueError, TypeError; RuntimeError where another thread uses the learner.
        """
        return self._take(x, reward, x_next, gamma, lambda_, rho, alpha)

    @quick
    def learn(
        self,
        x: Any,
        rewards: Any,
        *,
        rhos: Any = None,
        gammas: Any = None,
        lambdas: Any = None,
        alpha: Any = None,
    ) -> Float64:
        """Learn from a stream of T transitions; episodes follow each other, a discount of 0 ends one.

        x        features of S_0 to S_T: (T + 1, k) indices, a pair, Ragged, or dense (T + 1, n)
        rewards  (T,) R_{t+1}
        rhos     number, (T,) or (T + 1,): entry t is pi(A_t|S_t) / mu(A_t|S_t); needed
        gammas   number or (T,): entry t is gamma_{t+1}, the discount on arriving in S_{t+1}
        lambdas  number or (T,): entry t is lambda_{t+1}
        alpha    number or (T,): step size

        Returns (T,) TD errors, delta_t under the weights before update t.  A further call goes on from here.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, ValueError, TypeError, before anything has changed; RuntimeError where
        another thread uses the learner.
        """
        self._require(rhos=rhos)
        return self._learn_rows(x, rewards, gammas, lambdas, alpha, rhos)

    def _require(self, **given: Any) -> None:
        for name, value in given.items():
            if value is None:
                raise ValueError(f"{name}: got None, {type(self).__name__}.learn needs {name}")


class ActionRatioLearner(RatioLearner):
    """The same with pi of the action taken, which must be given, too.  Not for use by itself."""

    _required = ("rhos", "pi")

    @quick
    def update(  # type: ignore[override]
        self,
        x: Any,
        reward: float,
        x_next: Any,
        *,
        rho: float,
        pi: float,
        gamma: float | None = None,
        lambda_: float | None = None,
        alpha: float | None = None,
    ) -> float:
        """Learn from one transition.

        x, x_next  features of S_t and S_{t+1}; x_next may be None where gamma is 0
        reward     R_{t+1}
        rho        pi(A_t|S_t) / mu(A_t|S_t)
        pi         pi(A_t|S_t); 0 where rho is
        gamma      discount on arriving in S_{t+1}; 0 ends the episode
        lambda_    of S_{t+1}
        alpha      step size of this update

        Returns delta_t, the TD error under the weights before the update.
        Errors: FeatureIndexError, ValueError, TypeError; RuntimeError where another thread uses the learner.
        """
        return self._take(x, reward, x_next, gamma, lambda_, rho, alpha, pi)

    @quick
    def learn(
        self,
        x: Any,
        rewards: Any,
        *,
        rhos: Any = None,
        pi: Any = None,
        gammas: Any = None,
        lambdas: Any = None,
        alpha: Any = None,
    ) -> Float64:
        """Learn from a stream of T transitions; episodes follow each other, a discount of 0 ends one.

        x        features of S_0 to S_T: (T + 1, k) indices, a pair, Ragged, or dense (T + 1, n)
        rewards  (T,) R_{t+1}
        rhos     number, (T,) or (T + 1,): entry t is pi(A_t|S_t) / mu(A_t|S_t); needed
        pi       likewise: entry t is pi(A_t|S_t), 0 where rho is; needed
        gammas   number or (T,): entry t is gamma_{t+1}, the discount on arriving in S_{t+1}
        lambdas  number or (T,): entry t is lambda_{t+1}
        alpha    number or (T,): step size

        Returns (T,) TD errors, delta_t under the weights before update t.  A further call goes on from here.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, ValueError, TypeError, before anything has changed; RuntimeError where
        another thread uses the learner.
        """
        self._require(rhos=rhos, pi=pi)
        return self._learn_rows(x, rewards, gammas, lambdas, alpha, rhos, pi=pi)


def never(*_: Any) -> None:
    """For backends without a quick way: every update takes the general one."""
