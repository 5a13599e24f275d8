"""The linear actor-critic with eligibility traces; see docs/actor-critic.md."""

from __future__ import annotations

import math
from typing import Any, ClassVar, overload

import numpy as np

from .. import arguments
from ..backends import Backend
from ..features import Ragged, Rows, is_stream, joined, one_step, parse_rows, parse_state
from ..kinds import foreign
from ..memory import Float64
from ..policy import probabilities
from ..quick import quick
from .actor_critic_trace import ActorCriticTrace
from .agent import Agent


class ActorCritic(Agent):
    """Actor-critic with eligibility traces and linear features, at constant cost whatever lambda.

        delta = R + gamma v(S') - v(S)                             v(s) = w.x(s)
        z <- gamma lambda z + x
        z_actor <- gamma lambda_actor z_actor + I grad ln pi(A|S)
        w <- w + alpha delta z;  theta <- theta + alpha_actor delta z_actor
        I <- gamma I                                               1 where an episode begins

    pi(a|s) is proportional to exp(h(s, a) / temperature) with the preferences h(s, a) = theta_a.x(s), so
    that grad ln pi(A|s) is x(s) (1{a = A} - pi(a|s)) / temperature for theta_a.  With eta the task is a
    continuing one:

        delta = R - average_reward + v(S') - v(S)
        average_reward <- average_reward + eta delta

    n_features    of a state; the critic has a weight, the actor n_actions weights for each
    alpha         step size of the critic
    alpha_actor   step size of the actor
    lambda_       of the critic's trace
    lambda_actor  of the actor's trace; None: as the critic's
    gamma         discount; with eta there is none: 0 still ends an episode, whatever else counts as 1
    eta           step size of the average reward, or None
    discount_actor  False leaves I out: states late in an episode count as much as early ones
    seed          int or numpy Generator, for the actions

    The next action is drawn from the preferences before the update, by one uniform number; the pi of an
    update is that of the weights it changes.

    Source: Sutton & Barto 2018, boxes of sections 13.5 (episodic) and 13.6 (continuing).
    """

    _stem = "actor_critic"
    _kind = "accumulating"
    _tunable: ClassVar[tuple[str, ...]] = (
        "alpha", "alpha_actor", "gamma", "lambda_", "lambda_actor", "eta", "temperature", "discount_actor"
    )  # fmt: skip

    def __init__(
        self,
        n_features: int,
        n_actions: int,
        *,
        alpha: float,
        alpha_actor: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        lambda_actor: float | None = None,
        eta: float | None = None,
        temperature: float = 1.0,
        discount_actor: bool = True,
        seed: int | np.random.Generator | None = None,
        backend: Backend = "auto",
    ) -> None:
        self.n_actions = arguments.count("n_actions", n_actions)
        self.alpha_actor, self.lambda_actor, self.eta = alpha_actor, lambda_actor, eta
        self.temperature, self.discount_actor = temperature, discount_actor
        self._seed(seed)
        super().__init__(n_features, n_actions, alpha=alpha, gamma=gamma, lambda_=lambda_, backend=backend)

    def _new_trace(self, backend: str) -> ActorCriticTrace:
        return ActorCriticTrace(self.n_features, self.n_actions, backend)

    def _bind(self) -> None:
        super()._bind()
        self._tune()
        quick = getattr(self._module, "quick_step", None)
        self._quick = quick and quick(self._trace)

    def _tune(self) -> None:
        """Hand the options that the kernels look for in the trace on to it."""
        if "_trace" in self.__dict__:
            self._trace.tune(
                self._alpha_actor,
                math.nan if self._lambda_actor is None else self._lambda_actor,
                math.nan if self._eta is None else self._eta,
                self._discount_actor,
            )
            self._tell()

    def _tell(self) -> None:
        super()._tell()
        if self._call is not None:
            self._call.alpha_actor = self._alpha_actor
            self._call.lambda_actor = math.nan if self._lambda_actor is None else self._lambda_actor

    @property
    def _kernel(self) -> str:  # type: ignore[override]
        return "actor_critic" if self._eta is None else "average_reward_actor_critic"

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "n_actions": self.n_actions}

    # ---- options: checked when they are set ----------------------------------------------------------------

    @property
    def alpha_actor(self) -> float:
        """Step size of the actor."""
        return self._alpha_actor

    @alpha_actor.setter
    def alpha_actor(self, value: float) -> None:
        self._alpha_actor = arguments.positive("alpha_actor", value)
        self._tune()

    @property
    def lambda_actor(self) -> float | None:
        """Trace-decay parameter of the actor; None: as the critic's."""
        return self._lambda_actor

    @lambda_actor.setter
    def lambda_actor(self, value: float | None) -> None:
        self._lambda_actor = None if value is None else arguments.unit("lambda_actor", value)
        self._tune()

    @property
    def eta(self) -> float | None:
        """Step size of the average reward; None: the task is discounted."""
        return self._eta

    @eta.setter
    def eta(self, value: float | None) -> None:
        self._eta = None if value is None else arguments.unit("eta", value)
        self._tune()

    @property
    def discount_actor(self) -> bool:
        """Whether I, the product of the discounts since the episode began, weighs what the actor learns."""
        return self._discount_actor

    @discount_actor.setter
    def discount_actor(self, value: bool) -> None:
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"discount_actor: expected True or False, got {value!r}")
        self._discount_actor = bool(value)
        self._tune()

    # ---- weights and traces --------------------------------------------------------------------------------

    def _actor(self, part: int) -> Float64:
        with self._read():
            return self._trace.actor.dense()[part].reshape(self.n_features, self.n_actions)

    @property
    def actor_weights(self) -> Float64:
        """A copy of theta (n_features, n_actions).  `weights` are the critic's; setting keeps the trace."""
        return self._actor(0)

    @actor_weights.setter
    def actor_weights(self, value: Any) -> None:
        theta = arguments.finite_array("actor_weights", value, (self.n_features, self.n_actions))
        with self._in_use():
            self._trace.actor.set_weights(theta.reshape(-1))

    @property
    def actor_trace(self) -> Float64:
        """A copy of the actor's trace (n_features, n_actions) as the last update used it, not yet decayed."""
        return self._actor(1)

    @property
    def average_reward(self) -> float:
        """The average reward as estimated with eta, at first 0; reset() keeps it.  It can be set."""
        with self._read():
            return self._trace.average_reward

    @average_reward.setter
    def average_reward(self, value: float) -> None:
        number = arguments.finite("average_reward", value)
        with self._in_use():
            self._trace.average_reward = number

    @property
    def diverged(self) -> bool:
        """Whether a weight, a trace or the average reward is no longer finite."""
        with self._read():
            numbers = (*self._trace.critic.dense(), *self._trace.actor.dense(), self._trace.average_reward)
        return not all(np.isfinite(each).all() for each in numbers)

    # ---- reading -------------------------------------------------------------------------------------------

    def _of_rows(self, x: Any, function: str) -> tuple[Float64, bool]:
        """A backend's function of every row of x, and whether x is a stream."""
        many = is_stream(x)
        rows = (parse_rows if many else parse_state)(x, self.n_features)
        return self._read_rows(rows, function), many

    @overload
    def predict(self, x: Ragged) -> Float64: ...
    @overload
    def predict(self, x: Any) -> float | Float64: ...
    @quick
    def predict(self, x: Any) -> float | Float64:
        """Values v(s) = w.x(s), learning nothing.

        x  features of one state, or of a stream (T + 1 rows).
        Returns a float, or (T + 1,).
        Errors: FeatureIndexError, ValueError, TypeError.
        """
        if kind := foreign(x):
            return kind.call(self.predict, "x", x)
        values, many = self._of_rows(x, "state_values")
        return values if many else float(values[0])

    def preferences(self, x: Any) -> Float64:
        """Preferences h(s, a) (A,) of one state, or (T + 1, A) of a stream, learning nothing."""
        if kind := foreign(x):
            return kind.call(self.preferences, "x", x)
        values, many = self._of_rows(x, "values")
        return values if many else values[0]

    @quick
    def q(self, x: Any) -> Float64:
        """What it acts by, its `preferences`: an actor-critic learns no action values."""
        return self.preferences(x)

    def probabilities(self, x: Any) -> Float64:
        """The policy pi(a|s), (A,) of one state, or (T + 1, A) of a stream."""
        if kind := foreign(x):
            return kind.call(self.probabilities, "x", x)
        values, many = self._of_rows(x, "values")
        with np.errstate(all="ignore"):  # a diverged actor has none
            pi = np.array([probabilities(row, self._own) for row in values])
        return pi if many else pi[0]

    # ---- learning ------------------------------------------------------------------------------------------

    def _learn_step(
        self, x: Rows, x_next: Rows | None, action_next: int, reward: float, gamma: float
    ) -> None:
        lambda_actor = self._lambda if self._lambda_actor is None else self._lambda_actor
        if self._quick and x_next is not None:
            self._quick(
                x.row(0), self._action, x_next.row(0), reward, gamma,
                self._lambda, lambda_actor, self._alpha, self._alpha_actor, self._temperature,
            )  # fmt: skip
            return
        stream = one_step(
            joined(x, x_next), reward, gamma, self._lambda, self._alpha,
            actions=np.array([self._action, action_next], np.int32), n_actions=self.n_actions, own=self._own,
        )  # fmt: skip
        self._run(stream)

    @quick
    def learn(
        self,
        x: Any,
        actions: Any,
        rewards: Any,
        *,
        gammas: Any = None,
        lambdas: Any = None,
        lambdas_actor: Any = None,
        alpha: Any = None,
        alpha_actor: Any = None,
    ) -> Float64:
        """Learn from a stream of T transitions with the actions that were taken.

        x              features of S_0 to S_T: (T + 1, k) indices, a pair, Ragged, or dense (T + 1, n)
        actions        (T + 1,) A_0 to A_T, drawn from the actor's policy; the last has no effect
        rewards        (T,) R_{t+1}
        gammas         number or (T,): entry t is gamma_{t+1}, the discount into S_{t+1}; 0 ends an episode
        lambdas        number or (T,): entry t is lambda_{t+1}, of the critic
        lambdas_actor  number or (T,), of the actor; None: lambda_actor, or lambdas where that is None
        alpha, alpha_actor  numbers or (T,): step sizes

        Returns (T,) TD errors, delta_t under the weights before update t.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, IndexError for an action out of range, ValueError, TypeError, before
        anything has changed; RuntimeError where another thread uses the learner.
        """
        rows = parse_rows(x, self.n_features)
        taken = arguments.actions_array("actions", actions, rows.count, self.n_actions)
        rewards = self._rewards(rows, rewards)
        steps = len(rewards)
        stream = self._stream(
            rows, rewards, gammas, lambdas, alpha,
            actions=taken, n_actions=self.n_actions, own=self._own,
            actor_lambdas=arguments.series("lambdas_actor", lambdas_actor, steps, None, "unit"),
            actor_alphas=arguments.series("alpha_actor", alpha_actor, steps, None, "positive"),
        )  # fmt: skip
        return self._learn(stream)
