"""Learners that act: how they choose, step by step; and what learners of action values share."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .. import arguments, layout
from ..backends import Backend
from ..features import Rows, joined, one_step, parse_rows, parse_state, parse_state_actions, raise_bad_index
from ..kinds import foreign
from ..memory import Float64, aligned_copy
from ..policy import POLICIES, Own, Policy, choose, generator_of, generator_state
from ..quick import quick
from .learner import StepLearner


class Agent(StepLearner):
    """Learners that act.  They choose by a number for each action, `_q`; subclasses say what it is."""

    n_actions: int
    state_action = False

    # ---- the state that the agent is in, and the action that it took there: the quick way keeps both ------

    @property
    def _x(self) -> Rows | None:
        if self._call is None or "_x" in vars(self):
            return vars(self).get("_x")
        if (kept := self._call.kept()) is None:
            return None
        k, indices, values = kept
        dense = indices is None
        indices = np.arange(k, dtype=np.int32) if dense else indices
        return Rows(self._per_state, self.n_features, k, indices, values, shared=dense)

    @_x.setter
    def _x(self, x: Rows | None) -> None:
        if self._call is None:
            self.__dict__["_x"] = x
            return
        self.__dict__.pop("_x", None)
        self._call.keep(*([] if x is None else [x.k, None if x.shared else x.indices, x.values]))

    @property
    def _action(self) -> int:
        return vars(self).get("_action", 0) if self._call is None else self._call.action

    @_action.setter
    def _action(self, action: int) -> None:
        if self._call is None:
            self.__dict__["_action"] = action
        else:
            self._call.action = action

    @property
    def _per_state(self) -> int:
        """Rows of a state."""
        return self.n_actions if self.state_action else 1

    def _bind(self) -> None:
        x, action = self._x, self.__dict__.pop("_action", self._action)
        super()._bind()
        self._x, self._action = x, action

    def _call_fields(self) -> dict[str, Any]:
        pairs = self.n_actions if self.state_action else 0
        return super()._call_fields() | {"n_actions": self.n_actions, "pairs": pairs}

    def _tell(self) -> None:
        super()._tell()
        if (call := self._call) is not None:
            policy, call.parameter = self._own
            call.policy, call.sigma = layout.POLICIES[policy], getattr(self, "sigma", 1.0)
            generator, call.guarded = vars(self)["generator"], not getattr(self, "_private", False)
            call.generator = generator if type(generator) is np.random.Generator else None

    def _attributes(self) -> dict[str, Any]:
        return {**super()._attributes(), "_x": self._x, "_action": self._action}

    # ---- how it chooses ------------------------------------------------------------------------------------

    @property
    def generator(self) -> np.random.Generator:
        """What actions are drawn by."""
        self._private = False  # whoever has it may use it in another thread
        self._tell()
        return vars(self)["generator"]

    @generator.setter
    def generator(self, value: np.random.Generator) -> None:
        self.__dict__["generator"] = value
        self._private = False
        self._tell()

    def _seed(self, seed: int | np.random.Generator | None) -> None:
        self.generator = np.random.default_rng(seed)
        self._private = seed is None or isinstance(seed, int)

    def own_generator(self) -> None:
        """Say that nobody else has the generator that was given as seed: it need not be locked."""
        self._private = True
        self._tell()

    @property
    def temperature(self) -> float:
        """Of the softmax: pi(a|s) is proportional to exp(q(s, a) / temperature)."""
        return self._temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        self._temperature = arguments.positive("temperature", value)
        self._tell()

    @property
    def _own(self) -> Own:
        return ("softmax", self._temperature)

    # ---- states and actions --------------------------------------------------------------------------------

    def _state(self, x: Any) -> Rows:
        """One state's features: a row, or a row for each action.  A copy: it is kept until the next step."""
        if self.state_action:
            rows = parse_state_actions(x, self.n_features, self.n_actions)
        else:
            rows = parse_state(x, self.n_features)
        if rows.values is not None:
            self._refuse_values("x")
            rows.values = rows.values.copy()
        raise_bad_index(rows.indices, self.n_features, shape=rows.shape)
        rows.indices = rows.indices.copy()
        return rows

    def _q(self, rows: Rows) -> Float64:
        return self._module.values(self._trace, rows).reshape(-1)

    def _choose(self, rows: Rows) -> int:
        return choose(self._q(rows), self._own, vars(self)["generator"].random())

    @quick
    def act(self, x: Any) -> int:
        """The greedy action, the first of those that tie; learns nothing and draws nothing."""
        rows = self._state(x)
        with self._read():
            return int(np.argmax(self._q(rows)))

    def reset(self) -> None:
        """End the stream: the trace is emptied, v_old and the present state are forgotten; the rest stays."""
        with self._in_use():
            self._end()

    def _end(self) -> None:
        self._trace.reset()
        self._forget_episode()

    def _forget_episode(self) -> None:
        self._x = None

    # ---- online --------------------------------------------------------------------------------------------

    @quick
    def start(self, x: Any) -> int:
        """Begin an episode in the state with features x; returns the first action."""
        rows = self._state(x)
        with self._in_use():
            self._end()
            self._x, self._action = rows, self._choose(rows)
            return self._action

    @quick
    def step(self, reward: float, x: Any, *, gamma: float | None = None) -> int:
        """Learn from the last action's reward and the state it led to; returns the next action.

        The next action is drawn from the weights before the update.
        gamma  discount on arriving in x; None is the learner's.
        Errors: RuntimeError before start; otherwise as learn.
        """
        reward = arguments.finite("reward", reward)
        gamma = self._gamma if gamma is None else arguments.unit("gamma", gamma)
        rows = self._state(x)
        with self._in_use():
            previous = self._started("step")
            action = self._choose(rows)
            self._learn_step(previous, rows, action, reward, gamma)
            self._x, self._action = rows, action
            return action

    @quick
    def end(self, reward: float) -> None:
        """Learn from the reward that came with the end of the episode (termination)."""
        reward = arguments.finite("reward", reward)
        with self._in_use():
            self._learn_step(self._started("end"), None, 0, reward, 0.0)
            self._x = None

    @quick
    def truncate(self, reward: float, x: Any) -> None:
        """Learn from a last reward and the state it led to, then end: the episode was cut, not over.

        The value of x is bootstrapped from, with an action drawn as step draws it.
        """
        reward = arguments.finite("reward", reward)
        rows = self._state(x)
        with self._in_use():
            previous = self._started("truncate")
            self._learn_step(previous, rows, self._choose(rows), reward, self._gamma)
            self._end()

    def _started(self, call: str) -> Rows:
        if self._x is None:
            raise RuntimeError(f"{call}() before start(): an episode begins with start(x)")
        return self._x

    def _learn_step(
        self, x: Rows, x_next: Rows | None, action_next: int, reward: float, gamma: float
    ) -> None:
        """Learn from the last action; x_next is None where the episode has ended."""
        raise NotImplementedError

    # ---- states --------------------------------------------------------------------------------------------

    def _online_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        state: dict[str, Any] = {"generator": generator_state(vars(self)["generator"])}
        arrays: dict[str, np.ndarray] = {}
        if (x := self._x) is not None:
            state |= {"action": self._action}
            shape = (x.count, x.k) if self.state_action else (x.k,)
            if not x.shared:
                arrays["x_indices"] = x.indices.reshape(shape).copy()
            if x.values is not None:
                arrays["x_values"] = x.values.reshape(shape).copy()
        return state, arrays

    def __setstate__(self, state: dict[str, Any]) -> None:
        if (x := state.get("_x")) is not None:
            x.indices = aligned_copy(x.indices)
            x.values = None if x.values is None else aligned_copy(x.values)
        super().__setstate__(state)

    def _online_of(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> dict[str, Any]:
        indices, values = arrays.pop("x_indices", None), arrays.pop("x_values", None)
        attributes: dict[str, Any] = {"generator": generator_of(state["generator"]), "_x": None, "_action": 0}
        if indices is not None or values is not None:
            x = (indices, values) if indices is not None and values is not None else indices
            attributes["_x"] = self._state(values if x is None else x)
            attributes["_action"] = arguments.count("action", state["action"], 0, self.n_actions - 1)
        return attributes


class ActionLearner(Agent):
    """Learners of q(s, a).  They choose their actions epsilon-greedily or from a softmax of q."""

    _tunable: ClassVar[tuple[str, ...]] = ("alpha", "gamma", "lambda_", "epsilon", "policy", "temperature")
    sigma = 1.0  # of online steps; only QSigma has another

    def __init__(
        self,
        n_features: int,
        n_actions: int,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        epsilon: float = 0.1,
        policy: Policy = "epsilon",
        temperature: float = 1.0,
        state_action: bool = False,
        seed: int | np.random.Generator | None = None,
        backend: Backend = "auto",
    ) -> None:
        self.n_actions = arguments.count("n_actions", n_actions)
        self.state_action = bool(state_action)
        self.epsilon, self.policy, self.temperature = epsilon, policy, temperature
        self._seed(seed)
        self._x, self._action = None, 0
        columns = 1 if self.state_action else self.n_actions
        super().__init__(n_features, columns, alpha=alpha, gamma=gamma, lambda_=lambda_, backend=backend)

    def _bind(self) -> None:
        super()._bind()
        quick = getattr(self._module, "quick_control_step", None)
        self._quick = quick and quick(self._trace, self._kind, self._target)

    @property
    def epsilon(self) -> float:
        """Probability of a uniformly random action."""
        return self._epsilon

    @epsilon.setter
    def epsilon(self, value: float) -> None:
        self._epsilon = arguments.unit("epsilon", value)
        self._tell()

    @property
    def policy(self) -> Policy:
        """How actions are chosen: "epsilon" (greedy but with probability epsilon) or "softmax"."""
        return self._policy

    @policy.setter
    def policy(self, value: Policy) -> None:
        self._policy = arguments.choice("policy", value, POLICIES)
        self._tell()

    @property
    def _own(self) -> Own:
        return ("epsilon", self._epsilon) if self._policy == "epsilon" else ("softmax", self._temperature)

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "n_actions": self.n_actions, "state_action": self.state_action}

    def _shape(self) -> tuple[int, ...]:
        return (self.n_features,) if self.state_action else (self.n_features, self.n_actions)

    @quick
    def q(self, x: Any) -> Float64:
        """Action values (A,) of the state with features x, learning nothing."""
        if kind := foreign(x):
            return kind.call(self.q, "x", x)
        rows = self._state(x)
        with self._read():
            return self._q(rows)

    def _learn_step(
        self, x: Rows, x_next: Rows | None, action_next: int, reward: float, gamma: float
    ) -> None:
        if self._quick and x_next is not None and not self.state_action:
            self._quick(
                x.row(0), self._action, x_next.row(0), action_next,
                reward, gamma, self._lambda, self._alpha, self._own, self.sigma,
            )  # fmt: skip
            return
        stream = one_step(
            joined(x, x_next), reward, gamma, self._lambda, self._alpha,
            actions=np.array([self._action, action_next], np.int32), n_actions=self.n_actions,
            state_action=self.state_action, own=self._own, sigmas=np.array([self.sigma]),
        )  # fmt: skip
        self._run(stream)

    # ---- streams -------------------------------------------------------------------------------------------

    def _learn_actions(
        self,
        x: Any,
        actions: Any,
        rewards: Any,
        gammas: Any,
        lambdas: Any,
        alpha: Any,
        *,
        target_policy: Any = None,
        rhos: Any = None,
        sigmas: Any = None,
    ) -> Float64:
        """What every `learn` of action values does."""
        per_state = self.n_actions if self.state_action else 1
        rows = parse_rows(x, self.n_features, per_state=self.n_actions if self.state_action else None)
        states = rows.count // per_state
        taken = arguments.actions_array("actions", actions, states, self.n_actions)
        rewards = self._rewards(rows, rewards, per_state)
        steps = len(rewards)
        policy = None
        if target_policy is not None:
            quick = getattr(self._module, "are_policies", None)
            policy = arguments.policy_array("target_policy", target_policy, states, self.n_actions, quick)
        stream = self._stream(
            rows, rewards, gammas, lambdas, alpha,
            actions=taken, n_actions=self.n_actions, state_action=self.state_action, own=self._own,
            rhos=arguments.series("rhos", rhos, steps, None, "not_negative", spare=True),
            sigmas=arguments.series("sigmas", sigmas, steps, None, "unit", spare=True),
            policy=policy,
        )  # fmt: skip
        return self._learn(stream)

    def _require(self, **given: Any) -> None:
        for name in self._required:
            if given[name] is None:
                raise ValueError(f"{name}: got None, {type(self).__name__}.learn needs {name}")


class OnPolicyAgent(ActionLearner):
    """`learn` without importance ratios and without a target policy.  Not for use by itself."""

    @quick
    def learn(
        self,
        x: Any,
        actions: Any,
        rewards: Any,
        *,
        gammas: Any = None,
        lambdas: Any = None,
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

        Returns (T,) TD errors, delta_t under the weights before update t.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, IndexError for an action out of range, ValueError, TypeError, before
        anything has changed; RuntimeError where another thread uses the learner.
        """
        return self._learn_actions(x, actions, rewards, gammas, lambdas, alpha)


class OffPolicyAgent(ActionLearner):
    """`learn` with importance ratios and a target policy.  Not for use by itself."""

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

        Where they may be left out: rhos are then 1, and the target policy in S_{t+1} is the learner's own
        under w_t.

        Returns (T,) TD errors, delta_t under the weights before update t.
        Ctrl-C is heard between two transitions; KeyboardInterrupt has `steps`, those learned, and `deltas`.
        Errors: FeatureIndexError, IndexError for an action out of range, ValueError, TypeError, before
        anything has changed; RuntimeError where another thread uses the learner.
        """
        self._require(rhos=rhos, target_policy=target_policy)
        return self._learn_actions(
            x, actions, rewards, gammas, lambdas, alpha, rhos=rhos, target_policy=target_policy
        )
