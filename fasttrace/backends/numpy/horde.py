"""Many predictions on one stream as the book prints each: one after the other, dense and eager."""

import math

from .gradient import gtd_step
from .linear import _quietly, td_step, true_online_td_step


def _at(series, t, j):
    """Entry (t, j) of (T, m) numbers, of which (1, m), (T, 1) or (1, 1) stand for equal ones."""
    return series[t if len(series) > 1 else 0, j if series.shape[1] > 1 else 0]


@_quietly
def horde_run(horde, stream):
    """Each prediction j of `horde` (fasttrace.many.horde_trace.DenseHorde) learns from a stream of features.

    Column j of w and z is that of a learner by itself: see td_step, true_online_td_step, gtd_step.
    Writes the TD errors (T, m), delta_t under w_t, to stream.deltas.

    Source: Sutton et al. 2011, "Horde", AAMAS.
    """
    for t in range(stream.steps):
        x, x_next = stream.rows.dense(t), stream.rows.dense(t + 1)
        for j in range(horde.m):
            stream.deltas[t, j] = _step(horde, stream, t, j, x, x_next)


def _step(horde, stream, t, j, x, x_next):
    w, z, alpha = horde.w[:, j], horde.z[:, j], horde.alphas[j]
    gamma_next, lambda_next, rho = (_at(each, t, j) for each in (stream.gammas, stream.lambdas, stream.rhos))
    reward, decay = stream.cumulants[t, j], horde.decay[j]
    v_next = math.nan if gamma_next == 0 else w @ x_next
    if horde.kind == "gtd":
        after = None if gamma_next == 0 else x_next
        numbers = reward, gamma_next, lambda_next, alpha, horde.betas[j], decay, rho
        delta = gtd_step(w, horde.v[:, j], z, x, after, *numbers)
    elif horde.kind == "true_online":
        numbers = reward, gamma_next, v_next, alpha, decay, rho
        delta = true_online_td_step(w, z, horde.v_old[j], x, *numbers)
    else:
        delta = td_step(w, z, x, reward, gamma_next, v_next, alpha, decay, rho, horde.kind)
    horde.decay[j], horde.v_old[j], horde.taken[j] = gamma_next * lambda_next, v_next, alpha
    return delta
