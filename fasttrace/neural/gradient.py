"""TDRC and QRC: gradient traces, which go down the projected Bellman error; off-policy, TD may go up it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from .. import arguments
from ..backends import Backend, resolve
from ..memory import Array
from ..policy import choose
from ..quick import quick
from .agent import ActingOptions, StreamActionValues
from .forward import RemedyTD, StepByStep
from .learner import OneTrace, actions_stream
from .network import MLP, flag, state_array
from .optimisers import Plain
from .remedies import GradientState
from .trace import Kept, NetworkStream, Outcome

_PART = 1024  # steps whose states are scaled at once


def second_network(net: MLP, seed: Any) -> MLP:
    """A network of the shape of `net` for h; its last layer is 0, so that h is 0 at first."""
    h = MLP(**net.options(), seed=seed, backend=net.backend)
    last = (net.sizes[-2] + 1) * net.sizes[-1]
    h.params[h.n_params - last :] = 0
    return h


class _Corrected(OneTrace):
    """alpha_h, beta and the second network, which TDRC and QRC share.  Not for use by itself."""

    _stem = "neural_gradient"
    _trace: GradientState

    @property
    def alpha_h(self) -> float | None:
        """Step size of h; None: alpha."""
        return self._alpha_h

    @alpha_h.setter
    def alpha_h(self, value: float | None) -> None:
        self._alpha_h = None if value is None else arguments.positive("alpha_h", value)

    @property
    def beta(self) -> float:
        """How strongly h is held to 0."""
        return self._beta

    @beta.setter
    def beta(self, value: float) -> None:
        self._beta = arguments.not_negative("beta", value)

    @property
    def h(self) -> MLP:
        """The second network; its params are live."""
        return self._trace.h

    def _set(self) -> GradientState:
        """What is carried from step to step, with the numbers that a step has now."""
        state = self._trace
        state.alpha, state.beta = self.alpha, self.beta
        state.alpha_h = self.alpha if self.alpha_h is None else self.alpha_h
        return state


class TDRC(_Corrected, RemedyTD):
    """TDRC(lambda): the value of a policy by gradient traces and a second network h.

        delta = R + gamma v(S') - v(S)
        z_w <- rho (gamma lambda z_w + grad v(S));  z_h <- rho (gamma lambda z_h + h(S))
        z_theta <- rho (gamma lambda z_theta + grad h(S))
        w     <- w + alpha (delta z_w - rho h(S) grad v(S) - z_h grad delta)
        theta <- theta + alpha_h (delta z_theta - h(S) grad h(S) - beta theta)

    rho is the importance ratio of the action, 1 on-policy.  beta 0 is TDC(lambda); a large beta holds h at
    0, which leaves TD(lambda).

    network  an MLP of one output, which it learns in place
    alpha    step size; alpha_h that of h, None: alpha
    beta     how strongly h is held to 0
    seed     of h's first weights; its last layer begins at 0

    Source: Elelimy et al. 2025, "Deep reinforcement learning with gradient eligibility traces".
    """

    _own = ("alpha_h", "beta")
    _names = (
        "neural.TDRC",
        "TDRC",
    )  # the second in checkpoints from before there was one in fasttrace.linear

    def __init__(
        self,
        network: MLP,
        *,
        alpha: float,
        gamma: float = 0.99,
        lambda_: float = 0.9,
        alpha_h: float | None = None,
        beta: float = 1.0,
        seed: Any = 1,
        backend: Backend | None = None,
    ) -> None:
        net = self._checked(network)
        name = net.backend if backend is None else resolve(backend)
        self.alpha_h, self.beta = alpha_h, beta
        state = GradientState(name, net, second_network(net, seed), cut=False)
        self._begin(state, alpha, gamma, lambda_)

    def learn(
        self, states: Any, rewards: Any, *, gammas: Any = None, lambdas: Any = None, rhos: Any = None
    ) -> Array:
        """Learn from a stream of T transitions, off-policy where `rhos` are given.

        rhos  number, (T,) or (T + 1,), of the actions taken: pi(A_t|S_t) / mu(A_t|S_t)

        The rest, what comes back and the errors are those of NetworkTD.learn.
        """
        shape = np.shape(rewards)
        column = len(shape) == 2 and shape[1] == 1
        flat = np.reshape(rewards, -1) if column else rewards
        stream = actions_stream(self, 0, states, None, flat, gammas, lambdas)
        ratios = arguments.series("rhos", rhos, stream.steps, None, "not_negative", spare=True)
        if ratios is not None:
            ratios = np.ascontiguousarray(np.broadcast_to(ratios, stream.steps))
        return self._learned(stream.but(rhos=ratios, flat=not column))

    @quick
    def update(
        self, s: Any, reward: Any, s_next: Any, *, gamma: Any = None, lambda_: Any = None, rho: float = 1.0
    ) -> float:
        """Learn from one transition; rho is the importance ratio of the action; else as NetworkTD.update."""
        rho = arguments.not_negative("rho", rho)
        gamma = self._gamma if gamma is None else arguments.unit("gamma", gamma)
        now = state_array("s", s, self.n_features)
        if s_next is None and gamma != 0.0:
            raise ValueError(
                f"s_next: got None with gamma={gamma}; None is for the end of an episode, gamma=0"
            )
        after = now if s_next is None else state_array("s_next", s_next, self.n_features)
        reward = arguments.finite("reward", np.reshape(reward, ()) if np.shape(reward) == (1,) else reward)
        lambdas = None if lambda_ is None else arguments.unit("lambda_", lambda_)
        return float(self.learn([now, after], [reward], gammas=gamma, lambdas=lambdas, rhos=rho)[0])

    def _run_steps(
        self, part: NetworkStream, states: Array, gammas: Array, lambdas: Array, deltas: Array
    ) -> int:
        state, run = self._set(), self._module.qrc_run
        state.rhos = part.rhos
        columns = (np.ascontiguousarray(each[:, 0]) for each in (part.rewards, gammas, lambdas))
        done = run(state, states, None, *columns, deltas[:, 0])
        state.rhos = None
        return done


class QRC(_Corrected, StepByStep, StreamActionValues):
    """QRC(lambda): Q(lambda) by gradient traces and a second network h.

        delta = R + gamma max_a q(S', a) - q(S, A)
        z_w <- gamma lambda z_w + grad q(S, A)     z_h <- gamma lambda z_h + h(S, A)
        z_theta <- gamma lambda z_theta + grad h(S, A)
        w     <- w + alpha (delta z_w - h(S, A) grad q(S, A) - z_h grad delta)
        theta <- theta + alpha_h (delta z_theta - h(S, A) grad h(S, A) - beta theta)

    A step is 4 passes ahead and 3 back, and h has as many parameters as q; StreamQ's is 2 and 1.

    n_inputs, n_actions  sizes
    alpha    step size; alpha_h that of h, None: alpha
    beta     how strongly h is held to 0; 0 is Q-learning by TDC(lambda)
    cut      whether all traces are emptied after the update of step t where A_{t+1} is not greedy
    The other options are StreamQ's, but for `optimiser` and `keep`: the steps are not bounded.

    Source: Elelimy et al. 2025, "Deep reinforcement learning with gradient eligibility traces".
    """

    _method = "q"

    def __init__(
        self,
        n_inputs: int,
        n_actions: int,
        *,
        alpha: float = 1e-3,
        alpha_h: float | None = None,
        beta: float = 1.0,
        cut: bool = True,
        **options: Unpack[ActingOptions],
    ) -> None:
        self.cut = flag("cut", cut)
        self.alpha_h, self.beta = alpha_h, beta
        self._optimiser = Plain(alpha)
        options.setdefault("hidden", (128, 128))
        super().__init__(n_inputs, n_actions, **options)

    def _state_of(self, net: MLP, network: Callable[[int], MLP]) -> GradientState:
        h = second_network(net, self.generator)
        return GradientState(net.backend, net, h, self.cut, Kept(net.n_inputs))

    def _options(self) -> dict[str, Any]:
        own = ("alpha", "alpha_h", "beta", "cut")
        return super()._options() | {name: getattr(self, name) for name in own}

    def _online_of(self, state: dict[str, Any], arrays: dict[str, Array]) -> dict[str, Any]:
        for name in ("history_states", "history_decays"):  # empty, in files from when it had a history
            arrays.pop(name, None)
        return super()._online_of(state, arrays)

    def _one_step(self) -> bool:
        own, scaling = self._own, (self._normalise, self._scale)
        action = self._module.one_action(self._set(), *scaling, self._action, lambda q, u: choose(q, own, u))
        if action is None:
            return False
        self._action = action
        self._decisions += 1
        return True

    def _work(self) -> float:
        return 3.0

    def _run_piece(self, stream: NetworkStream, out: Outcome, begin: int, end: int) -> None:
        for start in range(begin, max(end, begin + 1), _PART):
            stop = min(end, start + _PART)
            done, fault = self._run_part(stream, out, start, stop)
            out.done = start + done
            if fault or out.done < stop:
                raise FloatingPointError(f"{fault or 'TD error or gradient'}: not finite at step {out.done}")

    def _run_part(self, stream: NetworkStream, out: Outcome, start: int, stop: int) -> tuple[int, str]:
        """Learn from the steps from start to stop; how many were, and what fault there is in the states."""
        rows, kept = slice(start, stop), self._trace.kept
        before = kept.memory.copy()
        gammas, lambdas = (
            np.ascontiguousarray(np.broadcast_to(each, (stream.steps, 1))[rows, 0])
            for each in (stream.gammas, stream.lambdas)
        )
        raw, given = stream.states[start : stop + 1], np.ascontiguousarray(stream.rewards[rows, 0])
        inputs, rewards = np.zeros(raw.shape), np.empty(len(given))

        def prepare(steps: int, ends: bool) -> int:
            by_step = raw[: steps + 1], given[:steps], gammas[:steps], inputs[: steps + 1], rewards[:steps]
            return self._module.prepare(kept, ends, self._normalise, self._scale, *by_step)

        fine = prepare(stop - start, stream.ends and stop == stream.steps)
        fault = "statistics" if fine < stop - start else ""
        usable = max(fine, 0)
        states = inputs[: usable + 1].astype(self.network.dtype)
        if stream.own is None:
            actions = stream.actions[start : start + usable + 1]
        elif fault:
            actions = np.zeros(usable + 1, np.int32)
        else:
            try:
                out.q = self.network.forward(states[-1]).astype(np.float64)
            except (FloatingPointError, ValueError):
                kept.memory[:] = before
                raise
            out.action_next = int(stream.choose(out.q))  # type: ignore[misc]
            actions = np.array([stream.action, out.action_next], np.int32)
        columns = rewards[:usable], gammas[:usable], lambdas[:usable], out.deltas[start : start + usable, 0]
        done = self._module.qrc_run(self._set(), states, actions, *columns)
        if done < usable or fine < 0:  # back to where the step that was not taken began
            kept.memory[:] = before
            if done:
                prepare(done, False)
        return done, fault if done == usable else ""
