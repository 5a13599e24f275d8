"""Learners of state values whose traces decay by a factor of the step before, so that ratios do no harm.

What the factor was is in the decay that a step hands to the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Self, overload

from .. import arguments
from ..backends import Backend
from ..layout import Options
from ..memory import Float64
from ..quick import quick
from .prediction import ActionRatioLearner, RatioLearner, WithOneTrace


class KindOption:
    """A number that a kind of trace has beyond the usual ones: checked when it is set, and then in use."""

    def __init__(self, check: Callable[[str, Any], float]) -> None:
        self._check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, learner: None, owner: type) -> Self: ...
    @overload
    def __get__(self, learner: RatioLearner, owner: type) -> float: ...
    def __get__(self, learner: RatioLearner | None, owner: type) -> Any:
        return self if learner is None else vars(learner)[self._name]

    def __set__(self, learner: RatioLearner, value: float) -> None:
        learner.__dict__[self._name] = self._check(self._name, value)
        if "_trace" in vars(learner):  # the quick step knows the numbers
            learner._bind()


class VtraceTD(RatioLearner):
    """Vtrace(lambda): TD(lambda) with importance ratios that are bounded, in the trace and in the update.

        z <- gamma_t lambda_t min(c_bar, rho_{t-1}) z + x
        w <- w + alpha min(rho_bar, rho_t) delta z

    c_bar    of the ratios in the trace, which says how far it reaches; at least 0
    rho_bar  of the ratio of the update: where it binds, the values are those of a policy between the target's
             and the behaviour's.  At least 0; infinity leaves ratios as they are

    Source: Espeholt et al. 2018, "IMPALA"; Ghiassian & Sutton 2021, arXiv:2106.00922.
    """

    _kernel = _kind = "vtrace_td"
    c_bar = KindOption(arguments.bar)
    rho_bar = KindOption(arguments.bar)

    def __init__(
        self,
        n_features: int,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        c_bar: float = 1.0,
        rho_bar: float = math.inf,
        backend: Backend = "auto",
    ) -> None:
        self.c_bar, self.rho_bar = c_bar, rho_bar
        super().__init__(n_features, alpha=alpha, gamma=gamma, lambda_=lambda_, backend=backend)

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "c_bar": self.c_bar, "rho_bar": self.rho_bar}

    @property
    def _kind_options(self) -> Options:
        return Options(c_bar=self.c_bar, rho_bar=self.rho_bar)


class TreeBackupTD(ActionRatioLearner, WithOneTrace):
    """Tree Backup(lambda) of state values: the trace decays by how likely the target policy was to act so.

        z <- gamma_t lambda_t pi_{t-1} z + x
        w <- w + alpha rho_t delta z

    The trace holds no ratio, so its size is bounded whatever the behaviour does.

    Source: Precup, Sutton & Singh 2000; Ghiassian & Sutton 2021, arXiv:2106.00922.
    """

    _kernel = _kind = "tree_backup_td"


class ABTD(ActionRatioLearner):
    """AB(zeta): action-dependent bootstrapping in the place of lambda.

        nu_t = min(psi, 1 / max(pi_t, mu_t))                           mu = pi / rho, the behaviour
        z <- gamma_t nu_{t-1} pi_{t-1} z + x
        w <- w + alpha rho_t delta z

    zeta     from 0, no trace, to 1: psi = 2 zeta psi_0 + max(0, 2 zeta - 1) (psi_max - 2 psi_0)
    psi_0    1 / the largest of max(pi, mu) over states and actions
    psi_max  1 / the least

    Source: Mahmood, Yu & Sutton 2017, arXiv:1702.03006; Ghiassian & Sutton 2021, arXiv:2106.00922.
    """

    _kernel = _kind = "ab_td"
    _tunable: ClassVar[tuple[str, ...]] = ("alpha", "gamma")
    zeta = KindOption(arguments.unit)
    psi_0 = KindOption(arguments.positive)
    psi_max = KindOption(arguments.positive)

    def __init__(
        self,
        n_features: int,
        *,
        alpha: float,
        gamma: float = 0.99,
        zeta: float = 0.5,
        psi_0: float = 1.0,
        psi_max: float = 2.0,
        backend: Backend = "auto",
    ) -> None:
        self.zeta, self.psi_0, self.psi_max = zeta, psi_0, psi_max
        super().__init__(n_features, alpha=alpha, gamma=gamma, lambda_=0.0, backend=backend)

    @property
    def lambda_(self) -> float:
        raise AttributeError("lambda_: ABTD has none; zeta, psi_0 and psi_max say how long its traces are")

    @lambda_.setter
    def lambda_(self, value: float) -> None:
        if "_lock" in vars(self):
            _ = self.lambda_
        self._lambda = value

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "zeta": self.zeta, "psi_0": self.psi_0, "psi_max": self.psi_max}

    @property
    def _kind_options(self) -> Options:
        beyond = max(0.0, 2.0 * self.zeta - 1.0)
        return Options(psi=2.0 * self.zeta * self.psi_0 + beyond * (self.psi_max - 2.0 * self.psi_0))

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
        alpha: float | None = None,
    ) -> float:
        """Learn from one transition.

        x, x_next  features of S_t and S_{t+1}; x_next may be None where gamma is 0
        reward     R_{t+1}
        rho        pi(A_t|S_t) / mu(A_t|S_t)
        pi         pi(A_t|S_t), of the action taken
        gamma      discount on arriving in S_{t+1}; 0 ends the episode
        alpha      step size of this update

        Returns delta_t, the TD error under the weights before the update.
        Errors: FeatureIndexError, ValueError, TypeError; RuntimeError where another thread uses the learner.
        """
        return self._take(x, reward, x_next, gamma, None, rho, alpha, pi)

    @quick
    def learn(  # type: ignore[override]
        self,
        x: Any,
        rewards: Any,
        *,
        rhos: Any = None,
        pi: Any = None,
        gammas: Any = None,
        alpha: Any = None,
    ) -> Float64:
        """Learn from a stream of T transitions; episodes follow each other, a discount of 0 ends one.

        x        features of S_0 to S_T: (T + 1, k) indices, a pair, Ragged, or dense (T + 1, n)
        rewards  (T,) R_{t+1}
        rhos     number, (T,) or (T + 1,): entry t is pi(A_t|S_t) / mu(A_t|S_t); needed
        pi       number, (T,) or (T + 1,): entry t is pi(A_t|S_t), of the action taken; needed
        gammas   number or (T,): entry t is gamma_{t+1}, the discount on arriving in S_{t+1}
        alpha    number or (T,): step size

        Returns (T,) TD errors, delta_t under the weights before update t.  A further call goes on from here.
        Errors: FeatureIndexError, ValueError, TypeError, before anything has changed; RuntimeError where
        another thread uses the learner.
        """
        self._require(rhos=rhos, pi=pi)
        return self._learn_rows(x, rewards, gammas, None, alpha, rhos, pi=pi)
