"""Forward TD(lambda) in Numba; the twin of csrc/neural_forward.h.  See backends.numpy.neural_forward."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import kernel, part, verb
from .network import Net, forward_kernel, gradients_kernel, net_of
from .stream import borrowed

Array = NDArray[Any]

# Places in ForwardTD.counters.
M, WINDOW, FRESH, FIRST, WAITING = range(5)


class ForwardTD(NamedTuple):
    """ft_forward_td as arrays."""

    net: Net
    counters: NDArray[np.int64]
    alpha: NDArray[np.float64]  # (1,)
    states: Array
    values: Array
    before: Array
    work: Array  # values (2, m) of two states
    unit: Array
    J: Array  # (m n,)
    rewards: NDArray[np.float64]
    gammas: NDArray[np.float64]
    lambdas: NDArray[np.float64]
    returns: NDArray[np.float64]


@verb
def slot(td, i):
    return (td.counters[FIRST] + i) % (td.counters[WINDOW] + 1)


@kernel
def finite(x):
    """Whether all are: x - x is 0 of those that are."""
    bad = 0
    for i in range(x.size):
        bad += x[i] - x[i] != 0
    return bad == 0


@verb
def copy(to, given):
    for i in range(np.uint64(to.size)):
        to[i] = given[i]


@verb
def refresh(td):
    """See ft_forward_refresh."""
    for i in range(td.counters[WAITING]):
        j, k = slot(td, i + 1), slot(td, i)
        forward_kernel(td.net, td.states[j : j + 1], td.values[k : k + 1])


@verb
def lambda_return(td):
    """G_{t:h} of the oldest that waits, into td.returns; see ft_forward_return."""
    m, G = td.counters[M], td.returns
    last = slot(td, td.counters[WAITING] - 1)
    for j in range(m):
        G[j] = np.float64(td.values[last, j])
    for i in range(td.counters[WAITING] - 1, -1, -1):
        at = slot(td, i)
        for j in range(m):
            gamma, lambda_ = td.gammas[at, j], td.lambdas[at, j]
            rest = (1.0 - lambda_) * np.float64(td.values[at, j]) + lambda_ * G[j]
            G[j] = td.rewards[at, j] + (0.0 if gamma == 0.0 else gamma * rest)


@part
def update(td):
    """See ft_forward_update."""
    w, v, J = td.net.params, td.work[0], td.J
    if td.counters[FRESH]:
        refresh(td)
    lambda_return(td)
    gradients_kernel(td.net, td.states[td.counters[FIRST]], td.unit, v, J)
    for j in range(td.counters[M]):
        c = J.dtype.type(td.alpha[0] * (td.returns[j] - np.float64(v[j])))
        for i in range(w.size):
            w[i] = w[i] + c * J[j * w.size + i]
    td.counters[FIRST] = slot(td, 1)
    td.counters[WAITING] -= 1
    return finite(w)


@part
def catch_up(td, everything):
    """See ft_forward_catch_up."""
    first, waiting, window = td.counters[FIRST], td.counters[WAITING], td.counters[WINDOW]
    if not everything and waiting < window:
        return True
    copy(td.before, td.net.params)
    while td.counters[WAITING] > 0 and (everything or td.counters[WAITING] >= window):
        if not update(td):
            copy(td.net.params, td.before)
            td.counters[FIRST], td.counters[WAITING] = first, waiting
            return False
    return True


@kernel
def flush(td):
    return catch_up(td, True)


@kernel
def run(td, states, rewards, gammas, lambdas, deltas):
    m, v = td.counters[M], td.work
    if not finite(td.net.params):
        return 0
    for t in range(rewards.shape[0]):
        at, after = slot(td, td.counters[WAITING]), slot(td, td.counters[WAITING] + 1)
        over, good = True, True
        copy(td.states[at], states[t])
        copy(td.states[after], states[t + 1])
        forward_kernel(td.net, states[t : t + 2], v)
        for j in range(m):
            gamma = gammas[t, j]
            td.rewards[at, j], td.gammas[at, j], td.lambdas[at, j] = rewards[t, j], gamma, lambdas[t, j]
            td.values[at, j] = v[1, j]
            rest = 0.0 if gamma == 0.0 else gamma * np.float64(v[1, j])
            deltas[t, j] = rewards[t, j] + rest - np.float64(v[0, j])
            good &= np.isfinite(deltas[t, j])
            over &= gamma == 0.0
        if not good:
            return t
        td.counters[WAITING] += 1
        if not catch_up(td, over):
            td.counters[WAITING] -= 1
            return t
    return rewards.shape[0]


def _arrays(td: Any) -> ForwardTD:
    """The arrays of a learner, made once, and never saved; the counters as they are."""
    if td.handle is None:
        m, n, dtype = td.m, td.net.n_params, td.net.dtype
        td.handle = ForwardTD(
            net_of(td.net), np.zeros(5, np.int64), np.zeros(1), td.states, td.values, np.zeros(n, dtype),
            np.zeros((2, m), dtype), np.eye(m, dtype=dtype), np.zeros(m * n, dtype), td.rewards, td.gammas,
            td.lambdas, np.zeros(m),
        )  # fmt: skip
    td.handle.counters[:] = td.m, td.window, td.fresh, td.first, td.waiting
    td.handle.alpha[0] = td.alpha
    return td.handle


def _counted(td: Any) -> None:
    td.first, td.waiting = (int(td.handle.counters[place]) for place in (FIRST, WAITING))


def forward_td_run(td: Any, states: Any, rewards: Any, gammas: Any, lambdas: Any, deltas: Any) -> int:
    """See backends.numpy.neural_forward.forward_td_run."""
    done = run(_arrays(td), states, borrowed(rewards), borrowed(gammas), borrowed(lambdas), deltas)
    _counted(td)
    return done


def forward_td_flush(td: Any) -> bool:
    """See backends.numpy.neural_forward.forward_td_flush."""
    done = flush(_arrays(td))
    _counted(td)
    return bool(done)
