"""Forward TD(lambda) in NumPy: the reference, with the lambda-returns of the states that wait written out.

Source: van Seijen 2016, "Effective multi-step temporal-difference learning for non-linear function
approximation"; Sutton & Barto 2018, (12.9) and (12.10).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .neural import forward, gradients


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
    G = values[-1].astype(np.float64)
    for each, v in zip(reversed(waiting), reversed(values), strict=True):
        rest = (1.0 - each.lambda_) * v + each.lambda_ * G
        G = each.reward + np.where(each.gamma == 0.0, 0.0, each.gamma * rest)
    return G


def forward_td_update(net: Any, waiting: list[Waiting], alpha: float, fresh: bool) -> None:
    """The oldest state that waits moves towards its lambda-return, and waits no more.

        theta <- theta + alpha sum over j of (G_j - v_j(S_t, theta)) grad v_j(S_t, theta)

    net    its params change in place
    fresh  whether the values in the return are taken anew under theta, or as they were at the arrival
    """
    values = [forward(net, each.s_next[None])[0] if fresh else each.v_next for each in waiting]
    G = lambda_return(waiting, values)
    v, J = gradients(net, waiting[0].s, np.eye(len(G), dtype=net.params.dtype))
    theta = net.params
    theta += (alpha * (G - v)).astype(J.dtype) @ J
    waiting.pop(0)


def forward_td_step(
    net: Any,
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
    v, v_next = forward(net, np.stack([s, s_next]))
    delta = reward + np.where(gamma == 0.0, 0.0, gamma * v_next.astype(np.float64)) - v
    waiting.append(Waiting(s, reward, gamma, lambda_, s_next, v_next))
    over = not np.any(gamma)
    while waiting and (over or len(waiting) >= window):
        forward_td_update(net, waiting, alpha, fresh)
    return delta


# ---- the learner's arrays ------------------------------------------------------------------------------


def _waiting(td: Any) -> list[Waiting]:
    places = [(td.first + i) % (td.window + 1) for i in range(td.waiting + 1)]
    return [
        Waiting(
            td.states[i].copy(),
            td.rewards[i].copy(),
            td.gammas[i].copy(),
            td.lambdas[i].copy(),
            td.states[j].copy(),
            td.values[i].copy(),
        )
        for i, j in pairwise(places)
    ]


def _put(td: Any, waiting: list[Waiting]) -> None:
    td.first, td.waiting = 0, len(waiting)
    for i, each in enumerate(waiting):
        td.states[i], td.states[i + 1], td.values[i] = each.s, each.s_next, each.v_next
        td.rewards[i], td.gammas[i], td.lambdas[i] = each.reward, each.gamma, each.lambda_


def _kept(net: Any, before: Any) -> bool:
    """Whether the parameters are finite; if not, they are again what they were."""
    if np.isfinite(net.params).all():
        return True
    net.params[:] = before
    return False


def forward_td_run(td: Any, states: Any, rewards: Any, gammas: Any, lambdas: Any, deltas: Any) -> int:
    """Learn from a stream; the number of steps learned from: fewer than T where the next is not finite."""
    waiting = _waiting(td)
    if not np.isfinite(td.net.params).all():
        return 0
    with np.errstate(all="ignore"):
        for t in range(len(rewards)):
            before, waited = td.net.params.copy(), waiting.copy()
            deltas[t] = forward_td_step(
                td.net, waiting, states[t], rewards[t], gammas[t], lambdas[t], states[t + 1],
                alpha=td.alpha, window=td.window, fresh=td.fresh,
            )  # fmt: skip
            if not (_kept(td.net, before) and np.isfinite(deltas[t]).all()):
                td.net.params[:] = before
                _put(td, waited)
                return t
    _put(td, waiting)
    return len(rewards)


def forward_td_flush(td: Any) -> bool:
    """Update all that wait; whether the parameters stay finite: if not, nothing has changed."""
    waiting, before = _waiting(td), td.net.params.copy()
    with np.errstate(all="ignore"):
        while waiting:
            forward_td_update(td.net, waiting, td.alpha, td.fresh)
    if not _kept(td.net, before):
        return False
    _put(td, waiting)
    return True
