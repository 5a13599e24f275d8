"""Streaming deep reinforcement learning: StreamTD, StreamQ, StreamSarsa, StreamAC.

One step, one update, no replay: a bounded step size (ObGD), layer norm, sparse first weights, states and
rewards scaled by running statistics.  Normalised with what has been seen up to then, each state once.

Source: Elsayed, Vasan & Mahmood 2024, "Streaming deep reinforcement learning finally works"; docs/networks.md
says what is different here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..backends import Backend, Name, resolve
from ..memory import Array, Float64, dtype_of
from ..policy import generator_of, generator_state
from ..quick import quick
from .learner import NetworkLearner, actions_stream
from .lookback import LooksBack
from .network import MLP, Activation, flag, state_array, states_array
from .optimisers import ObGD, Optimiser, optimiser_of
from .trace import Head, NetworkTrace


class StreamOptions(TypedDict, total=False):
    """What all streaming learners take; see StreamTD."""

    hidden: Any
    gamma: float
    lambda_: float
    activation: Activation
    layer_norm: bool
    sparsity: float | None
    normalise: bool
    scale_rewards: bool
    seed: Any
    dtype: Any
    backend: Backend


class Streaming(NetworkLearner):
    """What the four share.  Not for use by itself."""

    def __init__(
        self,
        n_inputs: int,
        n_outputs: int,
        *,
        hidden: Any,
        gamma: float = 0.99,
        lambda_: float = 0.8,
        activation: Activation = "leaky_relu",
        layer_norm: bool = True,
        sparsity: float | None = 0.9,
        normalise: bool = True,
        scale_rewards: bool = True,
        seed: Any = 0,
        dtype: Any = np.float32,
        backend: Backend = "auto",
    ) -> None:
        self._hidden = tuple(arguments.count("hidden", size) for size in np.atleast_1d(hidden).tolist())
        self._normalise = flag("normalise", normalise)
        self._scale = flag("scale_rewards", scale_rewards)
        dtype_of(dtype)
        self.generator = np.random.default_rng(seed)
        name = resolve(backend)

        def network(outputs: int) -> MLP:
            return MLP(
                (arguments.count("n_inputs", n_inputs), *self._hidden, arguments.count("n_outputs", outputs)),
                activation=activation, layer_norm=layer_norm, sparsity=sparsity, seed=self.generator,
                dtype=dtype, backend=name,
            )  # fmt: skip

        self._start(self._state_of(network(n_outputs), network), gamma=gamma, lambda_=lambda_)

    def _state_of(self, net: MLP, network: Callable[[int], MLP]) -> Any:
        """What it learns, about `net`; network(m) makes another one, of m outputs."""
        raise NotImplementedError

    # ---- options -------------------------------------------------------------------------------------------

    @property
    def normalise(self) -> bool:
        """Whether states are scaled by running statistics."""
        return self._normalise

    @property
    def scale_rewards(self) -> bool:
        """Whether rewards are divided by the running deviation of the discounted sum of rewards."""
        return self._scale

    def _options(self) -> dict[str, Any]:
        net = self.network.options()
        return {
            "n_inputs": self.n_features,
            "hidden": list(self._hidden),
            "gamma": self._gamma,
            "lambda_": self._lambda,
            "normalise": self._normalise,
            "scale_rewards": self._scale,
            **{name: net[name] for name in ("activation", "layer_norm", "sparsity", "dtype")},
        }

    @classmethod
    def _of_options(cls, options: dict[str, Any], backend: Name) -> Any:
        return cls(**options, backend=backend)

    def __repr__(self) -> str:
        rest = ", ".join(f"{name}={value!r}" for name, value in self._options().items())
        return f"{type(self).__name__}({rest}, backend={self.backend!r})"

    def _online_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        state, arrays = super()._online_state()
        return state | {"generator": generator_state(self.generator)}, arrays

    def _online_of(self, state: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
        return super()._online_of(state, arrays) | {"generator": generator_of(state["generator"])}

    def _add_fields(self, fields: dict[str, Any]) -> None:
        super()._add_fields(fields)
        fields["normalise"], fields["scale"] = self._normalise, self._scale

    # ---- reading -------------------------------------------------------------------------------------------

    def normalised(self, s: Any) -> Float64:
        """What the network is given for a state (i,), or for states (N, i), by the present statistics."""
        array = (
            states_array("s", s, self.n_features) if np.ndim(s) == 2 else state_array("s", s, self.n_features)
        )
        kept = self._trace.kept
        if not self._normalise or kept.count == 0.0:
            return array
        variance = np.ones(self.n_features) if kept.count < 2.0 else kept.p / (kept.count - 1.0)
        return (array - kept.mean) / np.sqrt(variance + 1e-8)

    def _outputs(self, net: MLP, s: Any) -> Array:
        with self._read():
            return net.forward(self.normalised(s))


class Bounded(LooksBack, Streaming):
    """Those whose step size is bounded, by ObGD.  Not for use by itself."""

    def _bound(self, optimiser: Optimiser | None, keep: int | None) -> None:
        """What every __init__ begins with."""
        rule = ObGD() if optimiser is None else optimiser
        if not isinstance(rule, ObGD):
            raise TypeError(f"optimiser: got {type(rule).__name__}, expected ObGD or AdaptiveObGD")
        self._look_back(keep, optimiser_of(rule.options()))

    def _state_of(self, net: MLP, network: Callable[[int], MLP]) -> NetworkTrace:
        critic, actor = Head(net, 1, self._optimiser), self._actor_head(network)
        return NetworkTrace(net.backend, critic, actor, before=self.keep != 0)

    def _actor_head(self, network: Callable[[int], MLP]) -> Head | None:
        return None

    @property
    def step_size(self) -> float:
        """The last step size that the bound allowed."""
        return self._trace.critic.step


class StreamTD(Bounded):
    """TD(lambda) with a network of one output and bounded steps.

        delta = R + gamma v(S') - v(S);  z <- gamma lambda z + grad v(S);  w by ObGD

    n_inputs    numbers of a state
    hidden      sizes of the hidden layers
    optimiser   ObGD() or AdaptiveObGD()
    activation, layer_norm, sparsity  of the network, see MLP
    normalise, scale_rewards  states and rewards by running statistics
    keep        states kept for `staleness`, see NetworkTD; 0: none
    seed        int or numpy Generator, of the first parameters
    """

    _method = "td"

    def __init__(
        self,
        n_inputs: int,
        *,
        hidden: Any = (64, 64),
        gamma: float = 0.99,
        lambda_: float = 0.8,
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
            n_inputs, 1, hidden=hidden, gamma=gamma, lambda_=lambda_, activation=activation,
            layer_norm=layer_norm, sparsity=sparsity, normalise=normalise, scale_rewards=scale_rewards,
            seed=seed, dtype=dtype, backend=backend,
        )  # fmt: skip

    def predict(self, s: Any) -> float | Array:
        """The value of a state (i,), or values (N,) of states (N, i), learning nothing."""
        y = self._outputs(self.network, s)
        return y[:, 0] if y.ndim == 2 else float(y[0])

    def learn(self, states: Any, rewards: Any, *, gammas: Any = None, lambdas: Any = None) -> Float64:
        """Learn from a stream of T transitions; episodes follow each other, a discount of 0 ends one.

        states   (T + 1, i)
        rewards  (T,)
        gammas, lambdas  number or (T,): entry t is that of S_{t+1}

        Returns (T,) TD errors.  A further call goes on from here: a first state that is the last one of the
        call before is not counted twice.
        Errors: ValueError, TypeError, before anything has changed; FloatingPointError where something is not
        finite, with the step, all as it was before that step; KeyboardInterrupt between two steps, with
        `steps`, how many were learned from, and `deltas`, their errors.
        """
        return self._learned(actions_stream(self, 0, states, None, rewards, gammas, lambdas))

    @quick
    def update(
        self, s: Any, reward: float, s_next: Any, *, gamma: float | None = None, lambda_: float | None = None
    ) -> float:
        """Learn from one transition.

        s, s_next  (i,) states; s_next may be None where gamma is 0

        Returns the TD error.  Errors: as learn.
        """
        gamma = self._gamma if gamma is None else arguments.unit("gamma", gamma)
        lambda_ = self._lambda if lambda_ is None else arguments.unit("lambda_", lambda_)
        array = np.empty((2, self.n_features))
        array[0] = state_array("s", s, self.n_features)
        if s_next is not None:
            array[1] = state_array("s_next", s_next, self.n_features)
        elif gamma != 0.0:
            raise ValueError(
                f"s_next: got None with gamma={gamma}; None is for the end of an episode, gamma=0"
            )
        rewards = np.array([[arguments.finite("reward", reward)]])
        stream = self._stream_of(
                steps=1, states=array, rewards=rewards,
            gammas=np.array([[gamma]]), lambdas=np.array([[lambda_]]), ends=s_next is None,
        )  # fmt: skip
        return float(self._learned(stream)[0])
