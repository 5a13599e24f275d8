"""Streaming learners that act: StreamQ, StreamSarsa and StreamAC; see stream.py."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..backends import Backend
from ..memory import Array, Float64
from ..policy import Own, choose
from ..quick import quick
from .learner import actions_stream
from .network import MLP, Activation, state_array
from .optimisers import ObGD, Optimiser, optimiser_of
from .stream import Bounded, Streaming, StreamOptions
from .trace import Head, NetworkStream


class StreamAgent(Streaming):
    """Learners that act.  Not for use by itself."""

    n_actions: int
    _acting = False
    _action: Any = 0
    _number: float | None = None

    @property
    def _own(self) -> Own:
        raise NotImplementedError

    def _call_fields(self) -> dict[str, Any]:
        counts, guarded = hasattr(self, "_decisions"), 1
        more = {"counts": counts, "guarded": guarded, "generator": self.generator}
        return {**super()._call_fields(), "n_actions": self.n_actions, **more}

    def _number_of_outputs(self) -> int:
        return self.n_actions

    def _stream(self, states: Float64, reward: float, gamma: float, **more: Any) -> NetworkStream:
        """Of one step, or with one state alone of none."""
        return self._stream_of(
            steps=len(states) - 1, states=states, rewards=np.array([[reward]]),
            gammas=np.array([[gamma]]), lambdas=np.array([[self._lambda]]), **more,
        )  # fmt: skip

    def _add_fields(self, fields: dict[str, Any]) -> None:
        super()._add_fields(fields)
        fields["n_actions"] = self._number_of_outputs()

    def _advance(self, states: Float64, reward: float, gamma: float) -> None:
        """One call of the backend, with a _stream; the next action is drawn in it."""
        own, u = self._own, self.generator.random() if self._number is None else self._number
        self._number = u  # drawn again after a fault
        stream = self._stream(
            states, reward, gamma, own=own, u=u, choose=lambda q: choose(q, own, u), action=self._action
        )
        self._action, self._number = self._run_network(stream).action_next, None

    # ---- online --------------------------------------------------------------------------------------------

    def start(self, s: Any) -> Any:
        """Begin an episode in state s (i,); returns the first action."""
        array = state_array("s", s, self.n_features)[None]
        with self._in_use():
            self._forget()
            self._advance(array, 0.0, 0.0)
            self._acting = True
            return self._action

    @quick
    def step(self, reward: float, s: Any, *, gamma: float | None = None) -> Any:
        """Learn from the last action's reward and the state s (i,) it led to; returns the next action.

        The next action is drawn from the network before the update.
        gamma  discount on arriving in s; None is the learner's
        Errors: RuntimeError before start; otherwise as learn.
        """
        reward = arguments.finite("reward", reward)
        gamma = self._gamma if gamma is None else arguments.unit("gamma", gamma)
        state = state_array("s", s, self.n_features)
        with self._in_use():
            self._started("step")
            self._advance(np.array([self._trace.kept.raw, state]), reward, gamma)
            return self._action

    def end(self, reward: float, s: Any = None) -> None:
        """Learn from the reward that came with the end of the episode (termination).

        s  (i,) the terminal state, or None.  It has no value, but with `normalise` it counts in the
           running statistics of the states, as in the published programs.
        """
        reward = arguments.finite("reward", reward)
        state = None if s is None else state_array("s", s, self.n_features)
        with self._in_use():
            self._started("end")
            kept = self._trace.kept
            states = np.array([kept.raw, kept.raw if state is None else state])
            stream = self._stream(states, reward, 0.0, ends=state is None, actions=self._taken())
            self._run_network(stream)
            kept.held, self._acting = 0.0, False

    def truncate(self, reward: float, s: Any) -> None:
        """Learn from a last reward and the state s it led to, then end: the episode was cut, not over."""
        self.step(reward, s)
        with self._in_use():
            self._forget()

    def _taken(self) -> Any:
        """The action of a last transition, as a stream has them; the one after it has no effect."""
        return np.array([self._action, self._action], np.int32)

    def _started(self, call: str) -> None:
        if not self._acting:
            raise RuntimeError(f"{call}() before start(): an episode begins with start(s)")

    def _forget(self) -> None:
        super()._forget()
        self._acting = False

    # ---- states --------------------------------------------------------------------------------------------

    def _online_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._online_state()
        action = self._action.tolist() if isinstance(self._action, np.ndarray) else int(self._action)
        return state | {"acting": self._acting, "action": action}, arrays

    def _online_of(self, state: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        action = state["action"]
        if isinstance(action, list):
            action = np.array(action, np.float64)
        else:  # of moves there is none before start
            action = arguments.count("action", action, 0, max(self.n_actions - 1, 0))
        found = super()._online_of(state, arrays)
        return found | {"_acting": bool(state["acting"]), "_action": action}


class ActingOptions(StreamOptions, total=False):
    """Beside them, of those that choose epsilon-greedily."""

    epsilon: Any


class BoundedOptions(ActingOptions, total=False):
    """Beside them, of those whose steps are bounded."""

    optimiser: Optimiser | None
    keep: int | None


class StreamActionValues(StreamAgent):
    """A network of one output an action, one trace, that of the action taken.  Not for use by itself."""

    def __init__(
        self,
        n_inputs: int,
        n_actions: int,
        *,
        epsilon: Any = (1.0, 0.01, 10_000),
        **options: Unpack[StreamOptions],
    ) -> None:
        self.n_actions = arguments.count("n_actions", n_actions)
        self._decisions = 0
        self.epsilon = epsilon
        super().__init__(n_inputs, n_actions, **options)

    @property
    def epsilon(self) -> float:
        """Probability of a uniformly random action now.

        It is set to a number, or to (first, last, actions): a line from first to last over so many actions.
        """
        first, last, count = self._epsilon
        return first + (last - first) * min(1.0, self._decisions / count)

    @epsilon.setter
    def epsilon(self, value: Any) -> None:
        if np.ndim(value) == 0:
            number = arguments.unit("epsilon", value)
            self._epsilon = (number, number, 1)
            return
        if len(value) != 3:
            raise ValueError(f"epsilon: got {value!r}, expected a number or (first, last, actions)")
        first, last = (arguments.unit("epsilon", each) for each in value[:2])
        self._epsilon = (first, last, arguments.count("epsilon", value[2]))

    @property
    def _own(self) -> Own:
        return ("epsilon", self.epsilon)

    def _advance(self, states: Float64, reward: float, gamma: float) -> None:
        super()._advance(states, reward, gamma)
        self._decisions += 1

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "n_actions": self.n_actions, "epsilon": list(self._epsilon)}

    def _online_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._online_state()
        return state | {"decisions": self._decisions}, arrays

    def _online_of(self, state: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        decisions = arguments.count("decisions", state["decisions"], 0, 2**62)
        return super()._online_of(state, arrays) | {"_decisions": decisions}

    def q(self, s: Any) -> Array:
        """Action values (A,) of a state (i,), or (N, A) of states (N, i), learning nothing."""
        return self._outputs(self.network, s)

    def act(self, s: Any) -> int:
        """The greedy action, the first of those that tie; learns nothing and draws nothing."""
        return int(np.argmax(self.q(state_array("s", s, self.n_features))))

    def learn(
        self, states: Any, actions: Any, rewards: Any, *, gammas: Any = None, lambdas: Any = None
    ) -> Float64:
        """Learn from a stream of T transitions with the actions that were taken.

        states   (T + 1, i)
        actions  (T + 1,)
        rewards  (T,)
        gammas, lambdas  number or (T,): entry t is that of S_{t+1}; a discount of 0 ends an episode

        Returns (T,) TD errors.  Errors: IndexError for an action; otherwise as StreamTD.learn.
        """
        return self._learned(actions_stream(self, self.n_actions, states, actions, rewards, gammas, lambdas))


class BoundedActionValues(Bounded, StreamActionValues):
    """StreamQ and StreamSarsa.  Not for use by itself."""

    def __init__(
        self,
        n_inputs: int,
        n_actions: int,
        *,
        hidden: Any = (128, 128),
        gamma: float = 0.99,
        lambda_: float = 0.8,
        epsilon: Any = (1.0, 0.01, 10_000),
        optimiser: Optimiser | None = None,
        activation: Activation = "leaky_relu",
        layer_norm: bool = True,
        sparsity: float | None = 0.9,
        normalise: bool = True,
        scale_rewards: bool = True,
        keep: int | None = 0,
        seed: Any = 0,
        dtype: Any = np.float32,
        backend: Backend = "auto",
    ) -> None:
        self._bound(optimiser, keep)
        super().__init__(
            n_inputs, n_actions, hidden=hidden, gamma=gamma, lambda_=lambda_, epsilon=epsilon,
            activation=activation, layer_norm=layer_norm, sparsity=sparsity, normalise=normalise,
            scale_rewards=scale_rewards, seed=seed, dtype=dtype, backend=backend,
        )  # fmt: skip


class StreamSarsa(BoundedActionValues):
    """Sarsa(lambda) with bounded steps: delta = R + gamma q(S', A') - q(S, A).

    n_inputs, n_actions  sizes
    epsilon  of the epsilon-greedy actions: a number, or (first, last, actions)
    The other options as StreamTD's.
    """

    _method = "sarsa"


class StreamQ(BoundedActionValues):
    """Watkins's Q(lambda) with bounded steps: delta = R + gamma max_a q(S', a) - q(S, A).

    n_inputs, n_actions  sizes
    epsilon  of the epsilon-greedy actions: a number, or (first, last, actions)
    cut      True: the trace is emptied after the update of step t where A_{t+1} is not greedy, so that the
             error of an action that was not greedy reaches no earlier one (Watkins; as WatkinsQ here);
             "after": one step later, as the published program does; False: never
    The other options as StreamTD's.
    """

    _method = "q"
    _CUTS: ClassVar[dict[Any, str]] = {True: "next", "after": "taken", False: "never"}

    def __init__(
        self,
        n_inputs: int,
        n_actions: int,
        *,
        cut: bool | Literal["after"] = True,
        **options: Unpack[BoundedOptions],
    ) -> None:
        if cut not in self._CUTS:
            raise ValueError(f"cut: got {cut!r}, expected True, False or 'after'")
        self.cut = cut
        super().__init__(n_inputs, n_actions, **options)

    def _options(self) -> dict[str, Any]:
        return {**super()._options(), "cut": self.cut}

    def _add_fields(self, fields: dict[str, Any]) -> None:
        super()._add_fields(fields)
        fields["cut"] = self._CUTS[self.cut]


class StreamAC(Bounded, StreamAgent):
    """Actor-critic with bounded steps.

        delta = R + gamma v(S') - v(S)
        z <- gamma lambda z + grad v(S)
        z_actor <- gamma lambda z_actor + grad (ln pi(A|S) + entropy sign(delta) H(pi(.|S)))
        each network by an ObGD of its own

    n_actions  actions of a softmax; None: real-valued actions
    n_moves    numbers of a real-valued action: independent normal distributions, whose means and (through a
               softplus) deviations are outputs of the actor
    entropy    weight of the entropy bonus
    optimiser, actor_optimiser  of critic and actor; their kappas are 2 and 3
    The other options as StreamTD's.
    """

    _method = "actor_critic"
    _tunable: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        n_inputs: int,
        n_actions: int | None = None,
        *,
        n_moves: int | None = None,
        hidden: Any = (128, 128),
        gamma: float = 0.99,
        lambda_: float = 0.8,
        entropy: float = 0.01,
        optimiser: Optimiser | None = None,
        actor_optimiser: Optimiser | None = None,
        activation: Activation = "leaky_relu",
        layer_norm: bool = True,
        sparsity: float | None = 0.9,
        normalise: bool = True,
        scale_rewards: bool = True,
        keep: int | None = 0,
        seed: Any = 0,
        dtype: Any = np.float32,
        backend: Backend = "auto",
    ) -> None:
        if (n_actions is None) == (n_moves is None):
            raise TypeError("n_actions: give it for a softmax of actions, or n_moves for real-valued actions")
        self.n_moves = None if n_moves is None else arguments.count("n_moves", n_moves)
        self.n_actions = 0 if n_actions is None else arguments.count("n_actions", n_actions)
        self.entropy = entropy
        rule = ObGD(kappa=3.0) if actor_optimiser is None else actor_optimiser
        if not isinstance(rule, ObGD):
            raise TypeError(f"actor_optimiser: got {type(rule).__name__}, expected ObGD or AdaptiveObGD")
        self._actor_rule = optimiser_of(rule.options())
        self._bound(optimiser, keep)
        super().__init__(
            n_inputs, 1, hidden=hidden, gamma=gamma, lambda_=lambda_, activation=activation,
            layer_norm=layer_norm, sparsity=sparsity, normalise=normalise, scale_rewards=scale_rewards,
            seed=seed, dtype=dtype, backend=backend,
        )  # fmt: skip

    def _actor_head(self, network: Any) -> Head | None:
        return Head(network(self._number_of_outputs()), 1, self._actor_rule)

    def _number_of_outputs(self) -> int:
        return 2 * self.n_moves if self.n_moves else self.n_actions

    @property
    def entropy(self) -> float:
        """Weight of the entropy bonus."""
        return self._entropy

    @entropy.setter
    def entropy(self, value: float) -> None:
        self._entropy = arguments.not_negative("entropy", value)
        self._tell()

    @property
    def actor(self) -> MLP:
        """The actor's network; its params are live."""
        return self._trace.heads[1].net

    @property
    def actor_trace(self) -> Array:
        """A copy of the actor's trace (n,)."""
        with self._read():
            return self._trace.heads[1].Z[0].copy()

    @property
    def _own(self) -> Own:
        return ("softmax", 1.0)

    def _options(self) -> dict[str, Any]:
        return {
            **super()._options(),
            "n_actions": self.n_actions or None,
            "n_moves": self.n_moves,
            "entropy": self._entropy,
            "actor_optimiser": self._actor_rule.options(),
        }

    def _become(self, attributes: dict[str, Any], learned: Any) -> None:
        super()._become(attributes, learned)
        self._actor_rule = self._trace.heads[1].rule

    def _online_of(self, state: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        if self.n_moves and np.shape(state["action"]) not in ((), (self.n_moves,)):
            raise ValueError(f"state: has an action of shape {np.shape(state['action'])}")
        return super()._online_of(state, arrays)

    # ---- acting --------------------------------------------------------------------------------------------

    def _distribution(self, h: Any) -> tuple[Float64, Float64]:
        """Means and deviations (k,) of real-valued actions from the actor's outputs."""
        assert self.n_moves is not None
        raw = np.asarray(h[self.n_moves : 2 * self.n_moves], np.float64)
        return np.array(h[: self.n_moves], np.float64), np.maximum(raw, 0.0) + np.log1p(np.exp(-np.abs(raw)))

    def _stream(self, states: Float64, reward: float, gamma: float, **more: Any) -> NetworkStream:
        if self.n_moves and len(states) > 1:
            more["moves"] = np.asarray(self._action, np.float64)[None]
        return super()._stream(states, reward, gamma, **more)

    def _add_fields(self, fields: dict[str, Any]) -> None:
        super()._add_fields(fields)
        fields["entropy"], fields["lambda_actor"] = self._entropy, self._lambda
        fields["normal"] = bool(self.n_moves)

    def _advance(self, states: Float64, reward: float, gamma: float) -> None:
        if not self.n_moves:
            super()._advance(states, reward, gamma)
            return
        out = self._run_network(self._stream(states, reward, gamma, own=self._own, choose=lambda q: 0))
        q = out.q if len(states) > 1 else self.actor.forward(self._trace.kept.now)
        mean, sigma = self._distribution(q)
        self._action = mean + sigma * self.generator.standard_normal(self.n_moves)

    def start(self, s: Any) -> Any:
        """Begin an episode in state s (i,); returns the first action, an int or (k,) numbers."""
        action = super().start(s)
        return action.copy() if self.n_moves else action

    def step(self, reward: float, s: Any, *, gamma: float | None = None) -> Any:
        action = super().step(reward, s, gamma=gamma)
        return action.copy() if self.n_moves else action

    step.__doc__ = StreamAgent.step.__doc__

    def _taken(self) -> Any:
        return None if self.n_moves else super()._taken()

    def act(self, s: Any) -> Any:
        """The most probable action, or the means (k,); learns nothing and draws nothing."""
        h = self._outputs(self.actor, state_array("s", s, self.n_features))
        return self._distribution(h)[0] if self.n_moves else int(np.argmax(h))

    def predict(self, s: Any) -> float | Array:
        """The value of a state (i,), or values (N,) of states (N, i), learning nothing."""
        y = self._outputs(self.network, s)
        return y[:, 0] if y.ndim == 2 else float(y[0])

    def probabilities(self, s: Any) -> Float64:
        """The policy pi(a|s) (A,) of a state (i,).  Errors: TypeError for real-valued actions."""
        if self.n_moves:
            raise TypeError("probabilities: of real-valued actions; see distribution")
        h = self._outputs(self.actor, state_array("s", s, self.n_features)).astype(np.float64)
        weights = np.exp(h - h.max())
        return weights / weights.sum()

    def distribution(self, s: Any) -> tuple[Float64, Float64]:
        """Means and deviations (k,) of the policy in a state (i,).  Errors: TypeError for a softmax."""
        if not self.n_moves:
            raise TypeError("distribution: of a softmax; see probabilities")
        return self._distribution(self._outputs(self.actor, state_array("s", s, self.n_features)))

    def learn(
        self, states: Any, actions: Any, rewards: Any, *, gammas: Any = None, lambdas: Any = None
    ) -> Float64:
        """Learn from a stream of T transitions with the actions that were taken.

        states   (T + 1, i)
        actions  (T + 1,), of real-valued actions (T + 1, k); the last has no effect
        rewards  (T,)
        gammas, lambdas  number or (T,): entry t is that of S_{t+1}; lambdas are the critic's

        Returns (T,) TD errors.  Errors: IndexError for an action; otherwise as StreamTD.learn.
        """
        taken = None if self.n_moves else actions
        stream = actions_stream(self, self.n_actions, states, taken, rewards, gammas, lambdas)
        if self.n_moves:
            moves = arguments.finite_array("actions", actions, (stream.steps + 1, self.n_moves))
            stream = stream.but(moves=moves)
        return self._learned(stream)
