"""Gradient traces, TDRC(lambda) and QRC(lambda): the reference.

With delta(lambda) the lambda-return's error, they go down the generalised projected Bellman error,
max over h of E[2 delta(lambda) h(S) - h(S)^2], as TDC does; h is a second network, held small by beta.

Source: Elelimy et al. 2025, "Deep reinforcement learning with gradient eligibility traces", the backward view.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def qrc_step(
    network: Any,
    w: Any,
    theta: Any,
    z_w: Any,
    z_theta: Any,
    z_h: float,
    s: Any,
    action: int,
    reward: float,
    gamma: float,
    s_next: Any,
    decay: float,
    *,
    alpha: float,
    alpha_h: float,
    beta: float,
) -> tuple[float, float]:
    """Learn from one transition, in place; a single output and action 0 is TDRC, the value of a policy.

        delta = R + gamma max q(S', .; w) - q(S, A; w)           h = h(S, A; theta)
        z_w  <- decay z_w + grad q(S, A)        z_theta <- decay z_theta + grad h        z_h <- decay z_h + h
        w     <- w + alpha (delta z_w - h grad q(S, A) - z_h grad delta)
        theta <- theta + alpha_h (delta z_theta - h grad h - beta theta)

    w, theta       (n,) parameters of q and h, networks of one shape; z_w, z_theta (n,) their traces
    z_h            trace of h, a number
    decay          gamma_t lambda_t, 0 where an episode begins
    Returns delta and the new z_h.
    """
    q, q_next = network.values(w, s), network.values(w, s_next)
    best = int(np.argmax(q_next))
    chosen, greedy = np.eye(len(q), dtype=w.dtype)[[action, best]]
    grad_q = network.gradient(w, s, chosen)
    delta, grad_delta = reward - q[action], -grad_q
    if gamma != 0.0:
        delta = delta + gamma * q_next[best]
        grad_delta = grad_delta + gamma * network.gradient(w, s_next, greedy)
    h, grad_h = network.values(theta, s)[action], network.gradient(theta, s, chosen)
    z_w[:] = (decay * z_w if decay else 0.0) + grad_q
    z_theta[:] = (decay * z_theta if decay else 0.0) + grad_h
    z_h = (decay * z_h if decay else 0.0) + h
    w += alpha * (delta * z_w - h * grad_q - z_h * grad_delta)
    theta += alpha_h * (delta * z_theta - h * grad_h - beta * theta)
    return delta, z_h
