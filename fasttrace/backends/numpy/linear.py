"""The linear learners as the book prints them: dense vectors, a pass over the whole trace a step.

The steps are pure functions of dense vectors, in place.  The runs take a trace (fasttrace.trace.DenseTrace)
through a stream (fasttrace.features.Stream); they have the same names and arguments in each backend.

With action values w, z and x are those of x(s, a): (n,), or n features with a weight for each of A actions,
(n * A,), feature i and action a at i * A + a.
"""

import math

import numpy as np

# ---- one step ----


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

    Source: van Seijen et al. 2016, JMLR 17(145); van Hasselt, Mahmood & Sutton 2014 for alpha and rho that vary;
    Sutton & Barto 2018, section 12.5.
    """
    v = w @ x
    delta = td_error(v, reward, gamma_next, v_next)
    if rho * decay == 0 or math.isnan(v_old):
        v_old = v
    dutch(e, x, alpha, decay, rho)
    w += (delta + v - v_old) * e - alpha * rho * (v - v_old) * x
    return delta


# ---- a whole stream ----


def at(array, t):
    """Entry t; an array of length 1 stands for equal entries."""
    return array[t] if len(array) > 1 else array[0]


def dense_features(trace, stream, t):
    """x of S_t, or of (S_t, A_t) where the stream has actions, as a vector of w's shape."""
    if stream.actions is None:
        return stream.dense(t)
    a = stream.actions[t]
    if stream.state_action:
        return stream.dense(t, a)
    x = np.zeros(trace.w.shape)
    x[a :: trace.columns] = stream.dense(t)
    return x


def features_of_all_actions(trace, stream, t):
    """Indices into w of the active features of (S_t, a), for every a."""
    if stream.state_action:
        return np.concatenate([stream.active(t, a) for a in range(stream.n_actions)])
    columns = trace.columns
    return (stream.active(t)[:, np.newaxis] * columns + np.arange(columns)).ravel()


def _transitions(trace, stream):
    """Every t with x and what a step needs next; the trace's scalars follow when the step is done."""
    x = None
    for t in range(stream.steps):
        gamma_next, alpha = at(stream.gammas, t), at(stream.alphas, t)
        if x is None:
            x = dense_features(trace, stream, t)
        x_next = None if gamma_next == 0 else dense_features(trace, stream, t + 1)
        v_next = math.nan if x_next is None else trace.w @ x_next
        yield t, x, (stream.rewards[t], gamma_next, v_next, alpha, trace.decay)
        trace.decay = gamma_next * at(stream.lambdas, t)
        trace.v_old = v_next
        trace.alpha = alpha
        x = x_next


@np.errstate(over="ignore", invalid="ignore")  # divergence raises nothing: the deltas show it
def td_run(trace, kind, stream):
    """TD(lambda) over a stream; see td_step.  Returns the TD errors (T,), delta_t under w_t."""
    deltas = np.empty(stream.steps)
    for t, x, transition in _transitions(trace, stream):
        rho = at(stream.rhos, t)
        deltas[t] = td_step(trace.w, trace.z, x, *transition, rho, kind)
    return deltas


@np.errstate(over="ignore", invalid="ignore")
def true_online_td_run(trace, stream):
    """True online TD(lambda) over a stream; see true_online_td_step.  Returns the TD errors (T,)."""
    deltas = np.empty(stream.steps)
    for t, x, transition in _transitions(trace, stream):
        rho = at(stream.rhos, t)
        deltas[t] = true_online_td_step(trace.w, trace.z, trace.v_old, x, *transition, rho)
    return deltas


@np.errstate(over="ignore", invalid="ignore")
def sarsa_run(trace, kind, stream):
    """Sarsa(lambda) over a stream with actions: td_step with x(s, a).  Returns the TD errors (T,)."""
    deltas = np.empty(stream.steps)
    clear = None
    for t, x, transition in _transitions(trace, stream):
        if kind == "replacing_clear":
            clear = features_of_all_actions(trace, stream, t)
        deltas[t] = td_step(trace.w, trace.z, x, *transition, kind=kind, clear=clear)
    return deltas


@np.errstate(over="ignore", invalid="ignore")
def true_online_sarsa_run(trace, stream):
    """True online Sarsa(lambda) over a stream with actions.  Returns the TD errors (T,)."""
    deltas = np.empty(stream.steps)
    for t, x, transition in _transitions(trace, stream):
        deltas[t] = true_online_td_step(trace.w, trace.z, trace.v_old, x, *transition)
    return deltas
