"""The linear learners as the book prints them: dense vectors, a pass over the whole trace a step.

The steps are pure functions of dense vectors, in place.  The runs take a trace (fasttrace.trace.DenseTrace)
through a stream (fasttrace.features.Stream), with the names and arguments that every backend has.

With action values w, z and x are those of x(s, a): (n,), or n features with a weight for each of A actions,
(n * A,), feature i and action a at i * A + a.
"""

import math

import numpy as np

# ---- one step, on dense vectors ----


def td_error(v, reward, gamma_next, v_next):
    """reward + gamma_next v_next - v.  A discount of 0 ends the episode: v_next is then not looked at."""
    return reward - v if gamma_next == 0 else reward + gamma_next * v_next - v


def decay_trace(z, decay):
    """z <- decay z, in place.  0 means a new start: it assigns, because 0 times infinity is not 0."""
    if decay == 0:
        z.fill(0.0)
    else:
        z *= decay


def accumulate(z, x, decay, rho):
    """z <- rho (decay z + x), in place: Sutton & Barto 2018, (12.25)."""
    decay_trace(z, rho * decay)
    z += rho * x


def replace(z, x, decay, rho, clear=None):
    """z <- rho where x is active, rho decay z elsewhere, in place: (12.12), exercise 12.13.

    x      (n,) binary features; a feature that stands twice (x_i = 2) is active once.
    clear  indices that are set to 0 first, those of the actions not taken: Singh & Sutton 1996.
    """
    decay_trace(z, rho * decay)
    if clear is not None:
        z[clear] = 0.0
    z[x != 0] = rho


def dutch(e, x, alpha, decay, rho):
    """e <- rho decay e + alpha rho (1 - rho decay e.x) x, in place: (12.11), exercise 12.13.

    The step size is inside, e = alpha z: with a constant alpha z is the book's; the equivalence with the
    forward view holds for an alpha that varies, too.  Source: van Hasselt, Mahmood & Sutton 2014, theorem 1.
    """
    decay_trace(e, rho * decay)
    e += alpha * rho * (1.0 - e @ x) * x


def td_step(w, z, x, reward, gamma_next, v_next, alpha, decay, rho=1.0, kind="accumulating", clear=None):
    """Learn from one transition with TD(lambda), or with Sarsa(lambda) where x is x(s, a), in place.

        delta = reward + gamma_next v_next - w.x
        z <- rho (decay z + x)          or replacing, or dutch; see accumulate, replace, dutch
        w <- w + alpha delta z

    w, z    (n,) weights and trace; both change.  With dutch traces z is e, the step size inside.
    x       (n,) features of S_t.
    v_next  w.x' before this update; ignored where gamma_next is 0.
    decay   gamma_t lambda_t, of the state that x describes; without rho.
    kind    accumulating, replacing, replacing_clear or dutch.
    clear   for replacing_clear: indices of the features of S_t with any action.
    Returns delta.

    Source: Sutton & Barto 2018, sections 12.2, 12.5, 12.7, 12.9 and exercise 12.13.
    """
    delta = td_error(w @ x, reward, gamma_next, v_next)
    if kind == "dutch":
        dutch(z, x, alpha, decay, rho)
        w += delta * z
        return delta
    if kind == "accumulating":
        accumulate(z, x, decay, rho)
    else:
        replace(z, x, decay, rho, clear if kind == "replacing_clear" else None)
    w += alpha * delta * z
    return delta


def true_online_td_step(w, e, v_old, x, reward, gamma_next, v_next, alpha, decay, rho=1.0):
    """Learn from one transition with true online TD(lambda), or Sarsa(lambda), in place.

        delta = reward + gamma_next v_next - v                     v = w.x
        e <- rho decay e + alpha rho (1 - rho decay e.x) x
        w <- w + (delta + v - v_old) e - alpha rho (v - v_old) x

    w, e    (n,) weights and dutch trace, the step size inside; both change.
    v_old   v_next of the step before; NaN, or any value where rho decay is 0, stands for v.
    The other arguments are td_step's.  Returns delta; v_next is the next step's v_old.

    Source: van Seijen et al. 2016, JMLR 17(145); Sutton & Barto 2018, section 12.5; van Hasselt, Mahmood
    & Sutton 2014 for alpha and rho that vary.
    """
    v = w @ x
    delta = td_error(v, reward, gamma_next, v_next)
    if rho * decay == 0 or math.isnan(v_old):
        v_old = v
    dutch(e, x, alpha, decay, rho)
    w += (delta + v - v_old) * e - alpha * rho * (v - v_old) * x
    return delta


# ---- a whole stream ----

_ON_POLICY = np.ones(1)
_quietly = np.errstate(all="ignore")  # divergence raises nothing: the deltas show it


def at(array, t):
    """Entry t; an array of length 1 stands for equal entries."""
    return array[t] if len(array) > 1 else array[0]


def every_action(active, columns):
    """Indices into w of these features with each action."""
    return (active[:, np.newaxis] * columns + np.arange(columns)).ravel()


def _features(trace, stream, t):
    """x of S_t, or of (S_t, A_t) where the stream has actions, as a vector of w's shape."""
    if stream.actions is None:
        return stream.dense(t)
    a = stream.actions[t]
    if stream.state_action:
        return stream.dense(t, a)
    x = np.zeros(trace.w.shape)
    x[a :: trace.columns] = stream.dense(t)
    return x


def _features_of_every_action(trace, stream, t):
    """Indices into w of the active features of (S_t, a), for each a."""
    if stream.state_action:
        return np.concatenate([stream.active(t, a) for a in range(stream.n_actions)])
    return every_action(stream.active(t), trace.columns)


def _transitions(trace, stream):
    """t, x, x_next (None where an episode ends) and (reward, gamma_next, lambda_next) of each step."""
    x = None
    for t in range(stream.steps):
        gamma_next = at(stream.gammas, t)
        if x is None:
            x = _features(trace, stream, t)
        x_next = None if gamma_next == 0 else _features(trace, stream, t + 1)
        yield t, x, x_next, (stream.rewards[t], gamma_next, at(stream.lambdas, t))
        x = x_next


def _td(trace, kind, x, x_next, reward, gamma_next, lambda_next, rho, alpha, clear=None):
    v_next = math.nan if gamma_next == 0 else trace.w @ x_next
    delta = td_step(trace.w, trace.z, x, reward, gamma_next, v_next, alpha, trace.decay, rho, kind, clear)
    trace.decay, trace.v_old, trace.alpha = gamma_next * lambda_next, v_next, alpha
    return delta


def _true_online_td(trace, x, x_next, reward, gamma_next, lambda_next, rho, alpha):
    v_next = math.nan if gamma_next == 0 else trace.w @ x_next
    delta = true_online_td_step(
        trace.w, trace.z, trace.v_old, x, reward, gamma_next, v_next, alpha, trace.decay, rho
    )
    trace.decay, trace.v_old, trace.alpha = gamma_next * lambda_next, v_next, alpha
    return delta


@_quietly
def td_run(trace, kind, stream):
    """TD(lambda) over a stream; see td_step.  Returns the TD errors (T,), delta_t under w_t."""
    deltas = np.empty(stream.steps)
    rhos = _ON_POLICY if stream.rhos is None else stream.rhos
    for t, x, x_next, arrival in _transitions(trace, stream):
        deltas[t] = _td(trace, kind, x, x_next, *arrival, at(rhos, t), at(stream.alphas, t))
    return deltas


@_quietly
def true_online_td_run(trace, stream):
    """True online TD(lambda) over a stream; see true_online_td_step.  Returns the TD errors (T,)."""
    deltas = np.empty(stream.steps)
    rhos = _ON_POLICY if stream.rhos is None else stream.rhos
    for t, x, x_next, arrival in _transitions(trace, stream):
        deltas[t] = _true_online_td(trace, x, x_next, *arrival, at(rhos, t), at(stream.alphas, t))
    return deltas


@_quietly
def sarsa_run(trace, kind, stream):
    """Sarsa(lambda) over a stream with actions: TD(lambda) with x(s, a).  Returns the TD errors (T,)."""
    deltas = np.empty(stream.steps)
    clear = None
    for t, x, x_next, arrival in _transitions(trace, stream):
        if kind == "replacing_clear":
            clear = _features_of_every_action(trace, stream, t)
        deltas[t] = _td(trace, kind, x, x_next, *arrival, 1.0, at(stream.alphas, t), clear)
    return deltas


@_quietly
def true_online_sarsa_run(trace, stream):
    """True online Sarsa(lambda) over a stream with actions.  Returns the TD errors (T,)."""
    deltas = np.empty(stream.steps)
    for t, x, x_next, arrival in _transitions(trace, stream):
        deltas[t] = _true_online_td(trace, x, x_next, *arrival, 1.0, at(stream.alphas, t))
    return deltas


# ---- reading ----


@_quietly
def values(trace, rows):
    """w.x of every row (fasttrace.features.Rows) in every column: (rows, columns).  Learns nothing."""
    w = trace.w.reshape(trace.n, trace.columns)
    return np.array([rows.dense(r) @ w for r in range(rows.count)]).reshape(rows.count, trace.columns)
