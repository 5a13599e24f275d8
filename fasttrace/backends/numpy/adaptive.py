"""Step sizes that learn, as the papers print them: dense vectors, a pass over all of them a step.

The steps change `m` in place, an object with vectors (n,) or, of action values, (n * A,) as in linear.py:

    w, z      weights and trace
    beta      logarithms of the step sizes
    h         how w would change with beta: a memory that SwiftTD, TIDBD and Autostep keep of their updates
    z_bar, p, h_old      SwiftTD's traces of h, and h before the last update
    normaliser           Autostep's running maximum of the steps of beta

fasttrace.adaptive_trace.DenseSteps is such an object; it holds the options meta, eta, shrink, eta_min and tau
as well, and what one step hands to the next: decay and v_old.
"""

import math

import numpy as np

from .linear import _quietly, _transitions, decay_trace, td_error, values

__all__ = ["autostep_run", "swift_sarsa_run", "swift_td_run", "tidbd_run", "values"]

# A step size that is held at eta must not be taken for one that is too large by its last bit.
SLACK = 1.0 + 1e-9


def swift_td_step(m, x, reward, gamma_next, v_next):
    """Learn from one transition with SwiftTD, or SwiftSarsa where x is x(s, a), in place.

        tau = sum_i e^beta_i x_i^2                                  the rate of learning
        if tau > eta, for the active i:  h_i, h_old_i, z_bar_i <- 0;  beta_i <- beta_i + x_i^2 ln shrink
        z_delta = min(1, eta / tau) e^beta x                        with beta before that
        z     <- D z + z_delta (1 - D z.x)
        p     <- D p + x h_old
        z_bar <- D z_bar + z_delta (1 - D z.x - x D z_bar)
        w     <- w + (delta + v - v_old) z - (v - v_old) z_delta    v = w.x
        beta  <- beta + meta e^-beta delta p, then held in [ln eta_min, ln eta] where a feature has been met
        h     <- h - h_old x (z - z_delta) - h x z_delta + (delta + v - v_old) z_bar - (v - v_old) z_delta

    x       (n,) features of S_t.
    v_next  w.x' before this update; ignored where gamma_next is 0.
    Returns delta, the plain TD error.

    Notation: D is m.decay, gamma_t lambda_t; delta + v - v_old is the paper's delta', and v - v_old its
    v^delta; shrink is its epsilon.  The paper takes x' in the step that receives it: its step is the second
    half of ours, then the first half of the next.
    Source: Javed, Sharifnassab & Sutton 2024, SwiftTD: A Fast and Robust Algorithm for Temporal Difference
    Learning.
    """
    active = x != 0
    v = m.w @ x
    delta = td_error(v, reward, gamma_next, v_next)
    dv = 0.0 if m.decay == 0 or math.isnan(m.v_old) else v - m.v_old
    for trace in (m.z, m.z_bar, m.p):
        decay_trace(trace, m.decay)
    tau = np.exp(m.beta) @ x**2
    over = tau > m.eta * SLACK
    z_delta = (m.eta / tau if over else 1.0) * np.exp(m.beta) * x
    if over:
        m.h[active] = m.h_old[active] = m.z_bar[active] = 0.0
        m.beta[active] += x[active] ** 2 * math.log(m.shrink)
        m.beta[active] = np.maximum(m.beta[active], math.log(m.eta_min))
    zx = m.z @ x
    m.z += z_delta * (1.0 - zx)
    m.p += x * m.h_old
    m.z_bar += z_delta * (1.0 - zx - x * m.z_bar)
    h = m.h - m.h_old * x * (m.z - z_delta) - m.h * x * z_delta
    m.w += (delta + dv) * m.z - dv * z_delta
    change = m.meta * delta * m.p * np.exp(-m.beta)
    change[np.isnan(change)] = 0.0  # infinity times 0
    met = active | (m.p != 0)  # the others keep the step size that they begin with, be it above eta
    highest = math.log(m.eta) if m.eta > 0.0 else -math.inf
    m.beta[met] = np.maximum(np.minimum(m.beta + change, highest), math.log(m.eta_min))[met]
    m.h_old[:], m.h[:] = m.h, h + (delta + dv) * m.z_bar - dv * z_delta
    return delta


def tidbd_step(m, x, reward, gamma_next, v_next):
    """Learn from one transition with TIDBD(lambda), in place.

        beta <- beta + meta delta x h
        z    <- D z + x
        w    <- w + e^beta delta z
        h    <- h [1 - e^beta x z]+ + e^beta delta z

    The arguments are swift_td_step's.  Returns delta.

    Source: Kearney, Veeriah, Travnik, Sutton & Pilarski 2018, TIDBD: Adapting Temporal-difference Step-sizes
    Through Stochastic Meta-descent; the ordinary (semi-gradient) form, accumulating traces.
    """
    delta = td_error(m.w @ x, reward, gamma_next, v_next)
    m.beta += m.meta * delta * x * m.h
    decay_trace(m.z, m.decay)
    m.z += x
    _descend(m, x, delta)
    return delta


def autostep_step(m, x, reward, gamma_next, v_next):
    """Learn from one transition with Autostep for TD(lambda), in place.

        g = delta x h;  alpha = e^beta
        normaliser <- max(|g|, normaliser + alpha x^2 (|g| - normaliser) / tau)
        beta <- beta + meta g / normaliser
        z    <- D z + x
        M = max(1, sum_i e^beta_i z_i x_i);  beta_i <- beta_i - ln M for the active i
        w    <- w + e^beta delta z
        h    <- h [1 - e^beta x z]+ + e^beta delta z

    The arguments are swift_td_step's.  Returns delta.

    Mahmood et al. print it for supervised learning, where z is x.  With a trace the update takes
    sum_i alpha_i z_i x_i of delta: M keeps that from being more than all of it.  M divides the step sizes of
    the active features; the others have no part in it.
    Source: Mahmood, Sutton, Degris & Pilarski 2012, Tuning-free step-size adaptation, table 1; with TD
    errors and traces as Kearney et al. 2018, 2019 have them.
    """
    active = x != 0
    delta = td_error(m.w @ x, reward, gamma_next, v_next)
    g = delta * x * m.h
    g[np.abs(g) < np.finfo(float).tiny] = 0.0  # few of its digits are left, and the step goes by its ratio
    kept = m.normaliser + np.exp(m.beta) * x**2 / m.tau * (np.abs(g) - m.normaliser)
    m.normaliser[:] = np.maximum(np.abs(g), kept)
    some = m.normaliser > 0
    m.beta[some] += m.meta * g[some] / m.normaliser[some]
    decay_trace(m.z, m.decay)
    m.z += x
    M = max(1.0, np.exp(m.beta) * m.z @ x)
    m.beta[active] -= math.log(M)
    _descend(m, x, delta)
    return delta


def _descend(m, x, delta):
    """w and h follow delta, each by its own step size."""
    push = np.exp(m.beta) * m.z
    m.w += delta * push
    m.h[:] = m.h * np.maximum(0.0, 1.0 - x * push) + delta * push


def _run(step, m, stream):
    deltas = np.empty(stream.steps)
    for t, x, x_next, (reward, gamma_next, lambda_next) in _transitions(m, stream):
        v_next = math.nan if gamma_next == 0 else m.w @ x_next
        deltas[t] = step(m, x, reward, gamma_next, v_next)
        m.decay, m.v_old = gamma_next * lambda_next, v_next
    return deltas


@_quietly
def swift_td_run(m, stream):
    """SwiftTD over a stream; see swift_td_step.  Returns the TD errors (T,), delta_t under w_t."""
    return _run(swift_td_step, m, stream)


@_quietly
def swift_sarsa_run(m, stream):
    """SwiftSarsa over a stream with actions: SwiftTD with x(s, a).  Returns the TD errors (T,)."""
    return _run(swift_td_step, m, stream)


@_quietly
def tidbd_run(m, stream):
    """TIDBD(lambda) over a stream; see tidbd_step.  Returns the TD errors (T,)."""
    return _run(tidbd_step, m, stream)


@_quietly
def autostep_run(m, stream):
    """Autostep for TD(lambda) over a stream; see autostep_step.  Returns the TD errors (T,)."""
    return _run(autostep_step, m, stream)
