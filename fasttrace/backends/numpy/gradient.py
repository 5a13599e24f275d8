"""The learners with two weight vectors as the book and the papers print them: dense, eager.

The steps are pure functions of dense vectors, in place; every inner product is taken anew.  The runs take a
trace (fasttrace.gradient_trace.DenseGradient) through a stream (fasttrace.features.Stream).

w predicts; v estimates the gradient correction (h in van Hasselt, Mahmood & Sutton 2014).
"""

import math

import numpy as np

from .linear import (
    _ON_POLICY,
    _features,
    _pi,
    _quietly,
    _transitions,
    accumulate,
    at,
    decay_trace,
    dutch,
    td_error,
    values,
)

__all__ = [
    "gq_run",
    "gtd2_lambda_run",
    "gtd2_run",
    "gtd_run",
    "htd_run",
    "proximal_gtd2_run",
    "tdrc_run",
    "true_online_gtd_run",
    "values",
]  # values reads w alone

# ---- one step, on dense vectors; x_next is None where gamma_next is 0 ----


def gtd_step(
    w, v, z, x, x_next, reward, gamma_next, lambda_next, alpha, beta, decay, rho=1.0
):  # fmt: skip
    """Learn from one transition with GTD(lambda), in place; with lambda = 0 it is TDC.

        z <- rho (decay z + x)
        delta = reward + gamma_next w.x' - w.x
        w <- w + alpha delta z - alpha gamma_next (1 - lambda_next) (z.v) x'
        v <- v + beta delta z - beta (v.x) x

    w, v, z  (n,) weights, second weights and trace; all change.
    x        (n,) features of S_t;  x_next of S_{t+1}, or None.
    decay    gamma_t lambda_t, of the state that x describes; without rho.
    Returns delta.

    Source: Sutton & Barto 2018, section 12.11; Maei 2011.
    """
    delta = td_error(w @ x, reward, gamma_next, None if x_next is None else w @ x_next)
    accumulate(z, x, decay, rho)
    _follow_gradient(w, v, z, x, x_next, delta, gamma_next, lambda_next, alpha, beta)
    return delta


def gq_step(
    w, v, z, x, y, reward, gamma_next, lambda_next, alpha, beta, decay, rho=1.0
):  # fmt: skip
    """Learn from one transition with GQ(lambda), in place.

        z <- rho decay z + x                                   x = x(S_t, A_t)
        delta = reward + gamma_next w.y - w.x                  y = sum_a pi(a|S_{t+1}) x(S_{t+1}, a)
        w <- w + alpha delta z - alpha gamma_next (1 - lambda_next) (z.v) y
        v <- v + beta delta z - beta (v.x) x

    rho  of A_t: it weighs what came before (S_t, A_t), not the pair itself.  Otherwise as gtd_step.

    Source: Maei & Sutton 2010; Maei 2011; Sutton & Barto 2018, section 12.11.
    """
    delta = td_error(w @ x, reward, gamma_next, None if y is None else w @ y)
    accumulate(z, x, rho * decay, 1.0)
    _follow_gradient(w, v, z, x, y, delta, gamma_next, lambda_next, alpha, beta)
    return delta


def _follow_gradient(w, v, z, x, x_next, delta, gamma_next, lambda_next, alpha, beta):
    zv, vx = z @ v, v @ x
    w += alpha * delta * z
    if x_next is not None and lambda_next != 1:
        w -= alpha * gamma_next * (1 - lambda_next) * zv * x_next
    v += beta * delta * z - beta * vx * x


def htd_step(
    w, v, z, zb, x, x_next, reward, gamma_next, alpha, beta, decay, rho=1.0
):  # fmt: skip
    """Learn from one transition with HTD(lambda), in place; on-policy it is TD(lambda).

        z  <- rho (decay z + x)
        zb <- decay zb + x                                     the trace of the behaviour policy
        delta = reward + gamma_next w.x' - w.x
        w <- w + alpha delta z + alpha ((z - zb).v) (x - gamma_next x')
        v <- v + beta delta z - beta (zb.v) (x - gamma_next x')

    Arguments as gtd_step; zb (n,) changes, too.  Returns delta.

    Source: Sutton & Barto 2018, section 12.11; White & White 2016.
    """
    delta = td_error(w @ x, reward, gamma_next, None if x_next is None else w @ x_next)
    accumulate(z, x, decay, rho)
    accumulate(zb, x, decay, 1.0)
    difference = x if x_next is None else x - gamma_next * x_next
    correction, zbv = (z - zb) @ v, zb @ v
    w += alpha * delta * z + alpha * correction * difference
    v += beta * delta * z - beta * zbv * difference
    return delta


def gtd2_step(w, v, x, x_next, reward, gamma_next, alpha, beta, rho=1.0):
    """Learn from one transition with GTD2, in place.

        delta = reward + gamma_next w.x' - w.x
        w <- w + alpha rho (x - gamma_next x') (x.v)
        v <- v + beta (rho delta - v.x) x

    Returns delta.

    Source: Sutton et al. 2009; Sutton & Barto 2018, section 11.7, where rho weighs v.x, too.  Here it weighs
    delta alone, as it does in GTD(lambda): v then estimates the same, with less variance.
    """
    delta = td_error(w @ x, reward, gamma_next, None if x_next is None else w @ x_next)
    vx = v @ x
    w += alpha * rho * vx * (x if x_next is None else x - gamma_next * x_next)
    v += beta * (rho * delta - vx) * x
    return delta


def gtd2_lambda_step(
    w, v, z, x, x_next, reward, gamma_next, lambda_next, alpha, beta, decay, rho=1.0
):  # fmt: skip
    """Learn from one transition with GTD2(lambda), in place.

        z <- rho (decay z + x)
        delta = reward + gamma_next w.x' - w.x
        w <- w + alpha ((v.x) x - gamma_next (1 - lambda_next) (z.v) x')
        v <- v + beta (delta z - (v.x) x)

    Arguments as gtd_step.  Returns delta.  Nothing weighs (v.x) x by rho: on-policy with lambda 0 it is
    gtd2_step, off-policy it is not.

    Source: Ghiassian & Sutton 2021, arXiv:2106.00922.
    """
    delta = td_error(w @ x, reward, gamma_next, None if x_next is None else w @ x_next)
    accumulate(z, x, decay, rho)
    change = _ascent(v, z, x, x_next, gamma_next, lambda_next)
    v += beta * (delta * z - (v @ x) * x)
    w += alpha * change
    return delta


def _ascent(v, z, x, x_next, gamma_next, lambda_next):
    """(v.x) x - gamma_next (1 - lambda_next) (z.v) x', where w of GTD2(lambda) goes."""
    change = (v @ x) * x
    if x_next is not None and lambda_next != 1:
        change -= gamma_next * (1 - lambda_next) * (z @ v) * x_next
    return change


def proximal_gtd2_step(
    w, v, z, x, x_next, reward, gamma_next, lambda_next, alpha, beta, decay, rho=1.0
):  # fmt: skip
    """Learn from one transition with proximal GTD2(lambda), in place: GTD2(lambda), looking ahead by a step.

        z <- rho (decay z + x)
        delta  = reward + gamma_next w.x' - w.x
        v1 = v + beta (delta z - (v.x) x)
        w1 = w + alpha ((v.x) x - gamma_next (1 - lambda_next) (z.v) x')
        delta1 = reward + gamma_next w1.x' - w1.x
        w <- w + alpha ((v1.x) x - gamma_next (1 - lambda_next) (z.v1) x')
        v <- v + beta (delta1 z - (v1.x) x)

    Arguments as gtd_step.  Returns delta.

    Source: Liu et al. 2015 (GTD2-MP), Mahadevan et al. 2014; with a trace, Ghiassian & Sutton 2021.
    """
    arrival = gamma_next, lambda_next
    delta = td_error(w @ x, reward, gamma_next, None if x_next is None else w @ x_next)
    accumulate(z, x, decay, rho)
    v1 = v + beta * (delta * z - (v @ x) * x)
    w1 = w + alpha * _ascent(v, z, x, x_next, *arrival)
    delta1 = td_error(w1 @ x, reward, gamma_next, None if x_next is None else w1 @ x_next)
    w += alpha * _ascent(v1, z, x, x_next, *arrival)
    v += beta * (delta1 * z - (v1 @ x) * x)
    return delta


def tdrc_step(
    w, v, z, x, x_next, reward, gamma_next, lambda_next, alpha, beta, eta, decay, rho=1.0
):  # fmt: skip
    """Learn from one transition with TDRC(lambda), in place: GTD(lambda) with v held to 0.

        z <- rho (decay z + x)
        delta = reward + gamma_next w.x' - w.x
        w <- w + alpha (delta z - gamma_next (1 - lambda_next) (z.v) x')
        v <- v + eta alpha (delta z - (v.x) x - beta v)

    Arguments as gtd_step, but that the step size of v is eta alpha, and beta says how strongly v is held.
    Returns delta.

    Source: Ghiassian et al. 2020; with a trace, Ghiassian & Sutton 2021.
    """
    delta = td_error(w @ x, reward, gamma_next, None if x_next is None else w @ x_next)
    accumulate(z, x, decay, rho)
    held = beta * v
    _follow_gradient(w, v, z, x, x_next, delta, gamma_next, lambda_next, alpha, eta * alpha)
    v -= eta * alpha * held
    return delta


def true_online_gtd_step(
    w, v, e, k, g, v_old, x, x_next, reward, gamma_next, lambda_next, alpha, beta, decay, rho=1.0
):  # fmt: skip
    """Learn from one transition with true online GTD(lambda), in place.

        e   <- rho (decay e + alpha (1 - rho decay e.x) x)     the dutch trace, drives w
        g   <- rho (decay g + x)                               e with a nabla in the paper
        e_h <- decay k + beta (1 - decay k.x) x                drives v;  k = rho_{t-1} e_h
        w <- w + delta e + (V - v_old) (e - alpha rho x) - alpha gamma_next (1 - lambda_next) (v.g) x'
        v <- v + rho delta e_h - beta (v.x) x                  V = w.x

    w, v, e, k, g  (n,); all change.  k becomes rho e_h, what the next step decays.
    v_old          w_{t-1}.x, the last step's w.x'; NaN, or any value where rho decay is 0, stands for V.
    Returns (delta, w.x' before the update).

    Source: van Hasselt, Mahmood & Sutton 2014, algorithm 1.
    Notation: h there is v here, and e with a nabla is g.
    """
    value = w @ x
    v_next = math.nan if x_next is None else w @ x_next
    delta = td_error(value, reward, gamma_next, v_next)
    if rho * decay == 0 or math.isnan(v_old):
        v_old = value
    dutch(e, x, alpha, decay, rho)
    accumulate(g, x, decay, rho)
    decay_trace(k, decay)
    e_h = k + beta * (1 - k @ x) * x
    vg, vx = v @ g, v @ x
    w += delta * e + (value - v_old) * (e - alpha * rho * x)
    if x_next is not None and lambda_next != 1:
        w -= alpha * gamma_next * (1 - lambda_next) * vg * x_next
    v += rho * delta * e_h - beta * vx * x
    k[:] = rho * e_h
    return delta, v_next


# ---- a whole stream ----


def _run(step):
    """step(trace, beta, x, x_next, (reward, gamma_next, lambda_next), alpha, rho) over a stream."""

    @_quietly
    def run(trace, beta, stream):
        """Learn from a stream; returns the TD errors (T,), delta_t under w_t."""
        deltas = np.empty(stream.steps)
        rhos = _ON_POLICY if stream.rhos is None else stream.rhos
        for t, x, x_next, arrival in _transitions(trace, stream):
            alpha = at(stream.alphas, t)
            deltas[t] = step(trace, beta, x, x_next, arrival, alpha, at(rhos, t))
            if trace.kind != "gtd2":
                trace.decay = arrival[1] * arrival[2]
            trace.alpha = alpha
        return deltas

    return run


@_run
def gtd_run(trace, beta, x, x_next, arrival, alpha, rho):
    return gtd_step(trace.w, trace.v, trace.z, x, x_next, *arrival, alpha, beta, trace.decay, rho)


def _expected_features(trace, stream, t):
    """sum_a pi(a|S_t) x(S_t, a), of w's shape."""
    pi = _pi(trace, stream, t)
    if stream.state_action:
        return sum(pi[a] * stream.dense(t, a) for a in range(stream.n_actions))
    return np.outer(stream.dense(t), pi).reshape(-1)


@_quietly
def gq_run(trace, beta, stream):
    """GQ(lambda) over a stream with actions; see gq_step.  Returns the TD errors (T,), delta_t under w_t."""
    deltas = np.empty(stream.steps)
    rhos = _ON_POLICY if stream.rhos is None else stream.rhos
    for t in range(stream.steps):
        gamma_next, lambda_next, alpha = at(stream.gammas, t), at(stream.lambdas, t), at(stream.alphas, t)
        x = _features(trace, stream, t)
        y = None if gamma_next == 0 else _expected_features(trace, stream, t + 1)
        deltas[t] = gq_step(
            trace.w, trace.v, trace.z, x, y, stream.rewards[t], gamma_next, lambda_next,
            alpha, beta, trace.decay, at(rhos, t),
        )  # fmt: skip
        trace.decay, trace.alpha = gamma_next * lambda_next, alpha
    return deltas


@_run
def htd_run(trace, beta, x, x_next, arrival, alpha, rho):
    reward, gamma_next, _ = arrival
    return htd_step(
        trace.w, trace.v, trace.z, trace.zb, x, x_next, reward, gamma_next, alpha, beta, trace.decay, rho
    )


@_run
def gtd2_run(trace, beta, x, x_next, arrival, alpha, rho):
    reward, gamma_next, _ = arrival
    return gtd2_step(trace.w, trace.v, x, x_next, reward, gamma_next, alpha, beta, rho)


@_run
def gtd2_lambda_run(trace, beta, x, x_next, arrival, alpha, rho):
    return gtd2_lambda_step(trace.w, trace.v, trace.z, x, x_next, *arrival, alpha, beta, trace.decay, rho)


@_run
def proximal_gtd2_run(trace, beta, x, x_next, arrival, alpha, rho):
    return proximal_gtd2_step(trace.w, trace.v, trace.z, x, x_next, *arrival, alpha, beta, trace.decay, rho)


@_run
def tdrc_run(trace, beta, x, x_next, arrival, alpha, rho):
    return tdrc_step(trace.w, trace.v, trace.z, x, x_next, *arrival, alpha, beta, trace.eta, trace.decay, rho)


@_run
def true_online_gtd_run(trace, beta, x, x_next, arrival, alpha, rho):
    delta, trace.v_old = true_online_gtd_step(
        trace.w, trace.v, trace.z, trace.k, trace.g, trace.v_old,
        x, x_next, *arrival, alpha, beta, trace.decay, rho,
    )  # fmt: skip
    return delta
