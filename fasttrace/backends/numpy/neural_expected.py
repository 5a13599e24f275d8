"""Expected traces of the last layer: the reference.

The trace of the last layer's weights is the discounted sum of the features phi that led here.  Its
expectation, given the state that was reached, is a function of that state, Theta phi, learned by least squares;
credit goes to all that would have led here, not only to what did this time.

Source: van Hasselt et al. 2021, "Expected eligibility traces", ET(lambda, eta).
"""

from __future__ import annotations

from typing import Any

import numpy as np


def expected_td_step(
    network: Any,
    theta: Any,
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

    theta  (n,) parameters, the last k + 1 of them those of the last layer: its weights, its bias
    z      (n - k - 1,)
    y      (k + 1,) trace in use; Theta (k + 1, k + 1)
    phi    (k + 1,) what the last layer gets, and 1
    eta    1: y is the trace itself, this is TD(lambda); 0: the expectation alone
    decay  gamma_t lambda_t, 0 where an episode begins
    """
    v, v_next = network.values(theta, s)[0], network.values(theta, s_next)[0]
    delta = reward - v + (gamma * v_next if gamma != 0.0 else 0.0)
    gradient = network.gradient(theta, s, np.ones(1, theta.dtype))
    k = len(y)
    phi = gradient[-k:]
    target = (decay * y if decay else 0.0) + phi
    Theta += alpha_z / (phi @ phi) * np.outer(target - Theta @ phi, phi)
    y[:] = (1.0 - eta) * (Theta @ phi) + eta * target
    z[:] = (decay * z if decay else 0.0) + gradient[:-k]
    theta += alpha * delta * np.concatenate([z, y])
    return delta
