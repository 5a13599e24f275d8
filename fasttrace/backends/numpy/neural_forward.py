"""Forward TD(lambda), the reference: the lambda-returns of the states that wait, written out.

A network here is a pair of functions of the parameters theta and of a state: `values` (m,) and
`gradient`, of the sum of c_j y_j, (n,).

Source: van Seijen 2016, "Effective multi-step temporal-difference learning for non-linear function
approximation"; Sutton & Barto 2018, (12.9) and (12.10).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np


class Waiting(NamedTuple):
    """A transition whose state is still to be updated; `v_next` was the value of s_next at its arrival."""

    s: Any
    reward: Any
    gamma: Any
    lambda_: Any
    s_next: Any
    v_next: Any


def lambda_return(waiting: list[Waiting], values: list[Any]) -> Any:
    """G_{t:h} (m,) of the oldest transition that waits, h the state that came last.

        G_i = R_{i+1} + gamma_{i+1} ((1 - lambda_{i+1}) v_{i+1} + lambda_{i+1} G_{i+1}),    G_h = v_h

    values  v_{i+1} of each transition that waits
    """
    G = values[-1]
    for each, v in zip(reversed(waiting), reversed(values), strict=True):
        rest = (1.0 - each.lambda_) * v + each.lambda_ * G
        G = each.reward + np.where(each.gamma == 0.0, 0.0, each.gamma * rest)
    return G


def forward_td_update(network: Any, theta: Any, waiting: list[Waiting], alpha: float, fresh: bool) -> None:
    """The oldest state that waits moves towards its lambda-return, and waits no more.

        theta <- theta + alpha sum over j of (G_j - v_j(S_t, theta)) grad v_j(S_t, theta)

    theta  (n,), changes in place
    fresh  whether the values in the return are taken anew under theta, or as they were at the arrival
    """
    values = [network.values(theta, each.s_next) if fresh else each.v_next for each in waiting]
    s = waiting[0].s
    error = lambda_return(waiting, values) - network.values(theta, s)
    theta += alpha * network.gradient(theta, s, error)
    waiting.pop(0)


def forward_td_step(
    network: Any,
    theta: Any,
    waiting: list[Waiting],
    s: Any,
    reward: Any,
    gamma: Any,
    lambda_: Any,
    s_next: Any,
    *,
    alpha: float,
    window: int,
    fresh: bool,
) -> Any:
    """Learn from one transition; returns the TD errors (m,) under theta as it was.

    reward, gamma, lambda_  (m,); a gamma of 0 in every prediction ends the episode: all that wait are updated
    """
    v, v_next = network.values(theta, s), network.values(theta, s_next)
    delta = reward + np.where(gamma == 0.0, 0.0, gamma * v_next) - v
    waiting.append(Waiting(s, reward, gamma, lambda_, s_next, v_next))
    over = not np.any(gamma)
    while waiting and (over or len(waiting) >= window):
        forward_td_update(network, theta, waiting, alpha, fresh)
    return delta
