"""Learners of action values: Sarsa(lambda), Expected Sarsa, Q(lambda), and their relatives."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import arguments
from ..backends import Backend
from ..memory import Float64
from ..policy import Policy
from ..quick import quick
from .agent import ActionLearner, OffPolicyAgent, OnPolicyAgent
from .learner import Bounded, Kind


class Sarsa(Bounded, OnPolicyAgent):
    """Sarsa(lambda) with linear features.

        z <- gamma lambda z + x                                    trace="accumulating", eq. 12.5
        z <- gamma lambda z;  z_i <- 1 for the active i            "replacing", eq. 12.12, binary features
        z <- gamma lambda z + (1 - alpha gamma lambda z.x) x       "dutch", eq. 12.11
        w <- w + alpha delta z                                     x = x(S_t, A_t)

    n_features    features of a state; the weights are (n_features, n_actions)
    clear_others  with replacing traces: set the traces of the features of (S_t, a), a not A_t, to 0
                  (Singh & Sutton 1996)
    bound         TD's: no step may overshoot (AlphaBound)
    policy        "epsilon": greedy, but uniformly random with probability epsilon; ties are broken uniformly;
                  "softmax": from probabilities proportional to exp(q / temperature)
    state_action  the features are S&B's x(s, a) instead: (A, k) a state, weights (n_features,)
    seed          int or numpy Generator, for exploration and ties

    Source: Sutton & Barto 2018, section 12.7.
    """

    _kernel = "sarsa"
    _kinds: ClassVar[tuple[str, ...]] = ("accumulating", "replacing", "replacing_clear", "dutch")

    def __init__(
        self,
        n_features: int,
        n_actions: int,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        trace: Kind = "replacing",
        clear_others: bool = False,
        bound: bool = False,
        epsilon: float = 0.1,
        policy: Policy = "epsilon",
        temperature: float = 1.0,
        state_action: bool = False,
        seed: int | np.random.Generator | None = None,
        backend: Backend = "auto",
    ) -> None:
        arguments.choice("trace", trace, ("accumulating", "replacing", "dutch"))
        self._set_bound(bound, trace)
        if clear_others and trace != "replacing":
            raise ValueError(f"clear_others: is for replacing traces, got trace={trace!r}")
        self._kind = "replacing_clear" if clear_others else trace
        super().__init__(
            n_features, n_actions,
            alpha=alpha, gamma=gamma, lambda_=lambda_, epsilon=epsilon, policy=policy,
            temperature=temperature, state_action=state_action, seed=seed, backend=backend,
        )  # fmt: skip

    def _options(self) -> dict[str, Any]:
        clear = self._kind == "replacing_clear"
        trace = "replacing" if clear else self._kind
        return {**super()._options(), "trace": trace, "clear_others": clear}


class TrueOnlineSarsa(OnPolicyAgent):
    """True online Sarsa(lambda).

        e <- gamma lambda e;  e <- e + alpha (1 - e.x) x           e = alpha z, the dutch trace
        w <- w + (delta + q - q_old) e - alpha (q - q_old) x       x = x(S_t, A_t)

    The arguments are Sarsa's, without the choice of a trace.

    Source: van Seijen et al. 2016, JMLR 17(145); Sutton & Barto 2018, section 12.7.
    """

    _kernel = "true_online_sarsa"
    _kind = "true_online"


class ExpectedSarsa(OffPolicyAgent):
    """Expected Sarsa(lambda), on- and off-policy.

        delta = R + gamma sum_a pi(a|S') q(S', a) - q(S, A)
        z <- rho gamma lambda z + x                                trace="accumulating", eq. 12.29
        z <- rho gamma lambda z;  z_i <- 1 for the active i        "replacing", binary features
        z <- rho gamma lambda z + (1 - alpha rho gamma lambda z.x) x      "dutch", exercise 12.13
        w <- w + alpha delta z                                     x = x(S_t, A_t)

    The arguments are Sarsa's.  Online it learns about its own policy, rho = 1.

    Source: Sutton & Barto 2018, sections 12.9, 6.6, exercise 12.13.
    """

    _kernel = "expected_sarsa"
    _target = "expected"
    _kinds: ClassVar[tuple[str, ...]] = ("accumulating", "replacing", "dutch")

    def __init__(
        self,
        n_features: int,
        n_actions: int,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        trace: Kind = "accumulating",
        epsilon: float = 0.1,
        policy: Policy = "epsilon",
        temperature: float = 1.0,
        state_action: bool = False,
        seed: int | np.random.Generator | None = None,
        backend: Backend = "auto",
    ) -> None:
        self._kind = arguments.choice("trace", trace, self._kinds)
        super().__init__(
            n_features, n_actions,
            alpha=alpha, gamma=gamma, lambda_=lambda_, epsilon=epsilon, policy=policy,
            temperature=temperature, state_action=state_action, seed=seed, backend=backend,
        )  # fmt: skip


class TrueOnlineExpectedSarsa(OffPolicyAgent):
    """True online Expected Sarsa(lambda), on- and off-policy: at every step the weights of the online
    lambda-return algorithm with control variates (12.26).

        e <- rho gamma lambda e;  e <- e + alpha (1 - e.x) x       e = alpha z, the dutch trace
        w <- w + (delta + q - q_old) e - alpha (q - q_old) x       delta as ExpectedSarsa's

    Source: van Hasselt, Mahmood & Sutton 2014; Sutton & Barto 2018, exercise 12.13.
    """

    _kernel = "true_online_expected_sarsa"
    _kind = "true_online"
    _target = "expected"


class WatkinsQ(OnPolicyAgent):
    """Q(lambda), Watkins's or naive.

        delta = R + gamma max_a q(S', a) - q(S, A)
        z <- gamma lambda z + x
        w <- w + alpha delta z

    The arguments are Sarsa's, and
    cut  True (Watkins): 0 in the place of gamma lambda where A_t was not greedy under the weights that it was
         chosen by; what ties is greedy.  False (naive): traces last through exploration

    Source: Watkins 1989; Sutton & Barto 2018, section 12.10.
    """

    _target = "watkins"
    _kinds: ClassVar[tuple[str, ...]] = ("accumulating", "replacing", "dutch")

    def __init__(
        self,
        n_features: int,
        n_actions: int,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        trace: Kind = "accumulating",
        cut: bool = True,
        epsilon: float = 0.1,
        policy: Policy = "epsilon",
        temperature: float = 1.0,
        state_action: bool = False,
        seed: int | np.random.Generator | None = None,
        backend: Backend = "auto",
    ) -> None:
        self.cut = bool(cut)
        self._kernel = "watkins_q" if cut else "naive_q"  # type: ignore[misc]
        self._target = "watkins" if cut else "naive"  # type: ignore[misc]
        self._kind = arguments.choice("trace", trace, self._kinds)
        super().__init__(
            n_features, n_actions,
            alpha=alpha, gamma=gamma, lambda_=lambda_, epsilon=epsilon, policy=policy,
            temperature=temperature, state_action=state_action, seed=seed, backend=backend,
        )  # fmt: skip

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "cut": self.cut}


class TreeBackup(ActionLearner):
    """Tree backup(lambda): off-policy without importance ratios.

        delta = R + gamma sum_a pi(a|S') q(S', a) - q(S, A)
        z <- gamma lambda pi(A|S) z + x
        w <- w + alpha delta z

    Where pi is the learner's own policy, online or in `learn`, pi(A_t|S_t) is that of the expectation in
    delta_{t-1}, under w_{t-1}, from which A_t was drawn.  With epsilon 0 and no ties this is WatkinsQ.
    The arguments are Sarsa's, without the choice of a trace.

    Source: Precup, Sutton & Singh 2000; Sutton & Barto 2018, section 12.10.
    """

    _kernel = "tree_backup"
    _kind = "accumulating"
    _target = "tree_backup"

    @quick
    def learn(
        self,
        x: Any,
        actions: Any,
        rewards: Any,
        *,
        gammas: Any = None,
        lambdas: Any = None,
        target_policy: Any = None,
        alpha: Any = None,
    ) -> Float64:
        """Learn from a stream of T transitions with the actions that were taken.

        x        features of S_0 to S_T: (T + 1, k) indices, a pair, Ragged, or dense (T + 1, n);
                 with state_action (T + 1, A, k), or dense (T + 1, A, n)
        actions  (T + 1,) A_0 to A_T
        rewards  (T,) R_{t+1}
        gammas   number or (T,): entry t is gamma_{t+1}, the discount into S_{t+1}; 0 ends an episode
        lambdas  number or (T,): entry t is lambda_{t+1}
        alpha    number or (T,): step size
        target_policy  (T + 1, A) probabilities pi(a|S_t); None: the learner's own, in S_{t+1} under w_t

        Returns (T,) TD errors, delta_t under the weights before update t.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, IndexError for an action out of range, ValueError, TypeError, before
        anything has changed; RuntimeError where another thread uses the learner.
        """
        return self._learn_actions(x, actions, rewards, gammas, lambdas, alpha, target_policy=target_policy)


class Retrace(OffPolicyAgent):
    """Retrace(lambda): traces that importance ratios never make longer.

        delta = R + gamma sum_a pi(a|S') q(S', a) - q(S, A)
        z <- gamma lambda min(1, rho) z + x
        w <- w + alpha delta z

    `learn` needs rhos and target_policy.  The arguments are Sarsa's, without the choice of a trace.

    Source: Munos et al. 2016.
    """

    _kernel = "retrace"
    _kind = "accumulating"
    _target = "retrace"
    _required: ClassVar[tuple[str, ...]] = ("rhos", "target_policy")


class QSigma(ActionLearner):
    """Q(sigma, lambda): between sampling (sigma 1) and expectation (sigma 0).

        delta = R + gamma sum_a pi(a|S') q(S', a) - q(S, A)
        z <- gamma lambda (sigma rho + (1 - sigma) pi(A|S)) z + x
        w <- w + alpha delta z

    sigma  of online steps, in which rho is 1 and pi the learner's own policy, as TreeBackup has it; `learn`
           is given sigmas, rhos and target_policy
    The other arguments are Sarsa's, without the choice of a trace.

    Source: Sutton & Barto 2018, sections 7.6, 12.10; De Asis et al. 2018.
    """

    _kernel = "q_sigma"
    _kind = "accumulating"
    _target = "q_sigma"
    _tunable: ClassVar[tuple[str, ...]] = (*ActionLearner._tunable, "sigma")
    _required: ClassVar[tuple[str, ...]] = ("rhos", "target_policy", "sigmas")

    def __init__(
        self,
        n_features: int,
        n_actions: int,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        sigma: float = 0.5,
        epsilon: float = 0.1,
        policy: Policy = "epsilon",
        temperature: float = 1.0,
        state_action: bool = False,
        seed: int | np.random.Generator | None = None,
        backend: Backend = "auto",
    ) -> None:
        self.sigma = sigma
        super().__init__(
            n_features, n_actions,
            alpha=alpha, gamma=gamma, lambda_=lambda_, epsilon=epsilon, policy=policy,
            temperature=temperature, state_action=state_action, seed=seed, backend=backend,
        )  # fmt: skip

    @property
    def sigma(self) -> float:
        """Degree of sampling of online steps, from 0 (expectation) to 1."""
        return self._sigma

    @sigma.setter
    def sigma(self, value: float) -> None:
        self._sigma = arguments.unit("sigma", value)
        self._tell()

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
        sigmas: Any = None,
        alpha: Any = None,
    ) -> Float64:
        """Learn from a stream of T transitions with the actions that were taken.

        x        features of S_0 to S_T: (T + 1, k) indices, a pair, Ragged, or dense (T + 1, n);
                 with state_action (T + 1, A, k), or dense (T + 1, A, n)
        actions  (T + 1,) A_0 to A_T
        rewards  (T,) R_{t+1}
        gammas   number or (T,): entry t is gamma_{t+1}, the discount into S_{t+1}; 0 ends an episode
        lambdas  number or (T,): entry t is lambda_{t+1}
        alpha    number or (T,): step size
        rhos     number, (T,) or (T + 1,): entry t is pi(A_t|S_t) / mu(A_t|S_t)
        target_policy  (T + 1, A) probabilities pi(a|S_t)
        sigmas   number, (T,) or (T + 1,): entry t is sigma_t

        Returns (T,) TD errors, delta_t under the weights before update t.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, IndexError for an action out of range, ValueError, TypeError, before
        anything has changed; RuntimeError where another thread uses the learner.
        """
        self._require(rhos=rhos, target_policy=target_policy, sigmas=sigmas)
        return self._learn_actions(
            x, actions, rewards, gammas, lambdas, alpha, rhos=rhos, target_policy=target_policy, sigmas=sigmas
        )
