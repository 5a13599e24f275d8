"""Expected traces of the last layer: the reference.

The trace of the last layer's weights is the discounted sum of the features phi that led here.  Its
expectation, given the state that was reached, is a function of that state, Theta phi, learned by least
squares; credit goes to all that would have led here, not only to what did this time.

Source: van Hasselt et al. 2021, "Expected eligibility traces", ET(lambda, eta).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .neural import forward, gradients


def expected_step(
    net: Any,
    z: Any,
    y: Any,
    Theta: Any,
    s: Any,
    reward: float,
    gamma: float,
    s_next: Any,
    decay: float,
    *,
    alpha: float,
    alpha_z: float,
    eta: float,
) -> float:
    """Learn from one transition, in place; returns the TD error.

        target = decay y + phi(S)                             the trace, were y the one before
        Theta <- Theta + alpha_z (target - Theta phi) phi' / phi.phi
        y     <- (1 - eta) Theta phi + eta target
        z     <- decay z + grad v(S)                          of the other layers
        theta <- theta + alpha delta (z, y)

    net    theta its params (n,), the last k + 1 of them those of the last layer: its weights, its bias
    z      (n - k - 1,)
    y      (k + 1,) trace in use; Theta (k + 1, k + 1)
    phi    (k + 1,) what the last layer gets, and 1
    eta    1: y is the trace itself, this is TD(lambda); 0: the expectation alone
    decay  gamma_t lambda_t, 0 where an episode begins
    """
    real, k = net.params.dtype.type, len(y)
    v, (gradient,) = gradients(net, s, np.ones((1, 1), real))
    delta = reward - float(v[0])
    if gamma != 0.0:
        delta += gamma * float(forward(net, s_next[None])[0, 0])
    phi = gradient[-k:]
    target = (real(decay) * y if decay else 0) + phi
    Theta += np.outer(real(alpha_z / (phi @ phi)) * (target - Theta @ phi), phi)
    y[:] = real(1.0 - eta) * (Theta @ phi) + real(eta) * target
    z[:] = (real(decay) * z if decay else 0) + gradient[:-k]
    theta = net.params
    theta += real(alpha * delta) * np.concatenate([z, y])
    return delta


def expected_run(learner: Any, states: Any, rewards: Any, gammas: Any, lambdas: Any, deltas: Any) -> int:
    """Learn from a stream; the number of steps learned from: fewer than T where the next is not finite."""
    arrays = (learner.net.params, learner.z, learner.y, learner.Theta)
    if not all(np.isfinite(each).all() for each in arrays):
        return 0
    with np.errstate(all="ignore"):
        for t in range(len(rewards)):
            before = [each.copy() for each in arrays]
            delta = expected_step(
                learner.net, learner.z, learner.y, learner.Theta, states[t], float(rewards[t]),
                float(gammas[t]), states[t + 1], learner.decay,
                alpha=learner.alpha, alpha_z=learner.alpha_z, eta=learner.eta,
            )  # fmt: skip
            if not (np.isfinite(delta) and all(np.isfinite(each).all() for each in arrays)):
                for array, old in zip(arrays, before, strict=True):
                    array[:] = old
                return t
            deltas[t], learner.decay = delta, float(gammas[t] * lambdas[t])
    return len(rewards)
