"""Gradient traces, TDRC(lambda) and QRC(lambda): the reference.

With delta(lambda) the lambda-return's error, they go down the generalised projected Bellman error,
max over h of E[2 delta(lambda) h(S) - h(S)^2], as TDC does; h is a second network, held small by beta.

Source: Elelimy et al. 2025, "Deep reinforcement learning with gradient eligibility traces", backward view.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .neural import Fault, arrive, forward, gradients, scaled


def qrc_step(
    q_net: Any,
    h_net: Any,
    z_w: Any,
    z_theta: Any,
    z_h: float,
    s: Any,
    action: int,
    action_next: int,
    reward: float,
    gamma: float,
    s_next: Any,
    decay: float,
    *,
    alpha: float,
    alpha_h: float,
    beta: float,
    rho: float = 1.0,
) -> tuple[float, float, bool]:
    """Learn from one transition, in place; a single output and action 0 is TDRC, the value of a policy.

        delta = R + gamma max q(S', .; w) - q(S, A; w)           h = h(S, A; theta)
        z_w <- rho (decay z_w + grad q(S, A));  z_theta <- rho (decay z_theta + grad h)
        z_h <- rho (decay z_h + h)
        w     <- w + alpha (delta z_w - rho h grad q(S, A) - z_h grad delta)
        theta <- theta + alpha_h (delta z_theta - h grad h - beta theta)

    q_net, h_net   networks of one shape, params w and theta (n,); z_w, z_theta (n,) traces; z_h a number
    decay          gamma_t lambda_t, 0 where an episode begins
    rho            importance ratio of the action, of a single output
    Returns delta, the new z_h, and whether action_next is greedy (True at an end).

    The step sizes come first in each product, so that a small step of a large delta does not overflow; grad q
    stands in grad delta too, and is taken once.
    """
    real = q_net.params.dtype.type
    one = np.eye(q_net.sizes[-1], dtype=real)
    q, (grad_q,) = gradients(q_net, s, one[[action]])
    delta, grad_next, greedy = reward, np.zeros_like(grad_q), True
    if gamma != 0.0:
        best = int(np.argmax(forward(q_net, s_next[None])[0]))
        q_next, (grad_next,) = gradients(q_net, s_next, one[[best]])
        delta += gamma * float(q_next[best])
        greedy = bool(q_next[action_next] >= q_next[best])
    delta -= float(q[action])
    h_all, (grad_h,) = gradients(h_net, s, one[[action]])
    h = float(h_all[action])
    z_w[:] = real(rho) * ((real(decay) * z_w if decay else 0) + grad_q)
    z_theta[:] = real(rho) * ((real(decay) * z_theta if decay else 0) + grad_h)
    z_h = rho * ((decay * z_h if decay else 0.0) + h)
    w, theta = q_net.params, h_net.params
    on_q, on_next = real(alpha * (z_h - rho * h)), real(-alpha * (z_h * gamma))
    w += real(alpha * delta) * z_w + (on_q * grad_q + on_next * grad_next)
    theta += real(alpha_h * delta) * z_theta + real(-alpha_h * h) * grad_h - real(alpha_h * beta) * theta
    return delta, z_h, greedy


def prepare(
    kept: Any, ends: bool, normalise: bool, scale: bool, states: Any, rewards: Any, gammas: Any, inputs: Any,
    rewards_scaled: Any,
) -> int:  # fmt: skip
    """States and rewards of T steps into the statistics, and what they then are for a network.

    kept    of the stream, which goes on from the state it is in if that is the first
    ends    the last state is not there
    states (T + 1, i), rewards (T,), gammas (T,); inputs (T + 1, i), rewards_scaled (T,)  out

    Returns T, or the step whose statistics are not finite, -1 for those of the first state; kept is then as
    it was before.
    """
    T = len(rewards)
    with np.errstate(all="ignore"):
        for t in range(-1, T):
            before, there = kept.memory.copy(), not (ends and t == T - 1)
            try:
                if t >= 0:
                    reward, gamma = float(rewards[t]), float(gammas[t])
                    rewards_scaled[t] = scaled(kept, reward, gamma) if scale else reward
                if t >= 0 or not (kept.held and np.array_equal(kept.raw, states[0])):
                    if there:
                        arrive(kept, states[t + 1], normalise)
                        kept.now = kept.next.copy()
                    kept.held = float(there)
            except Fault:
                kept.memory[:] = before
                return t
            if there:
                inputs[t + 1] = kept.now
    return T


def qrc_run(
    learner: Any, states: Any, actions: Any, rewards: Any, gammas: Any, lambdas: Any, deltas: Any
) -> int:
    """Learn from a stream; the number of steps learned from: fewer than T where the next is not finite."""
    arrays = (learner.q.params, learner.h.params, learner.z_w, learner.z_theta)
    if not all(np.isfinite(each).all() for each in arrays):
        return 0
    with np.errstate(all="ignore"):
        for t in range(len(rewards)):
            before = [each.copy() for each in arrays]
            taken = (0, 0) if actions is None else (int(actions[t]), int(actions[t + 1]))
            delta, z_h, greedy = qrc_step(
                learner.q, learner.h, learner.z_w, learner.z_theta, learner.z_h,
                states[t], *taken, float(rewards[t]), float(gammas[t]), states[t + 1], learner.decay,
                alpha=learner.alpha, alpha_h=learner.alpha_h, beta=learner.beta,
                rho=1.0 if learner.rhos is None else float(learner.rhos[t]),
            )  # fmt: skip
            if not (np.isfinite(delta) and np.isfinite(z_h) and all(np.isfinite(a).all() for a in arrays)):
                for array, old in zip(arrays, before, strict=True):
                    array[:] = old
                return t
            deltas[t], learner.z_h, learner.greedy = delta, z_h, greedy
            cut = learner.cut and not greedy
            learner.decay = 0.0 if cut else float(gammas[t] * lambdas[t])
    return len(rewards)
