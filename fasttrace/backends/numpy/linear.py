"""The linear learners as the book prints them: dense vectors, a pass over the whole trace a step.

The steps are pure functions of dense vectors, in place.  The runs take a trace (fasttrace.trace.DenseTrace)
through a stream (fasttrace.features.Stream), with the names and arguments that every backend has.

With action values w, z and x are those of x(s, a): (n,), or n features with a weight for each of A actions,
(n * A,), feature i and action a at i * A + a.
"""

import math

import numpy as np

from ...policy import probabilities

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


def td_step(
    w, z, x, reward, gamma_next, v_next, alpha, decay, rho=1.0, kind="accumulating", clear=None, bounded=None
):
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
    bounded function of alpha and z, the trace of this update, to the step size that is taken.
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
    w += (bounded(alpha, z) if bounded else alpha) * delta * z
    return delta


def true_online_td_step(w, e, v_old, x, reward, gamma_next, v_next, alpha, decay, rho=1.0, M=1.0):
    """Learn from one transition with true online TD(lambda), or Sarsa(lambda), in place.

        delta = reward + gamma_next v_next - v                     v = w.x
        e <- rho decay e + alpha rho (1 - rho decay e.x) x
        w <- w + (delta + v - v_old) e - alpha rho (v - v_old) x

    w, e    (n,) weights and dutch trace, the step size inside; both change.
    v_old   v_next of the step before; NaN, or any value where rho decay is 0, stands for v.
    M       weighs the step size: the emphasis, for emphatic TD.
    The other arguments are td_step's.  Returns delta; v_next is the next step's v_old.

    Source: van Seijen et al. 2016, JMLR 17(145); Sutton & Barto 2018, section 12.5; van Hasselt, Mahmood
    & Sutton 2014 for alpha and rho that vary.
    """
    v = w @ x
    delta = td_error(v, reward, gamma_next, v_next)
    if rho * decay == 0 or math.isnan(v_old):
        v_old = v
    dutch(e, x, alpha * M, decay, rho)
    w += (delta + v - v_old) * e - alpha * M * rho * (v - v_old) * x
    return delta


def emphasis(followon, interest, lambda_):
    """M_t = lambda_t i_t + (1 - lambda_t) F_t, with the followon trace F_t = rho_{t-1} gamma_t F_{t-1} + i_t.

    Source: Sutton, Mahmood & White 2016; Sutton & Barto 2018, section 12.11.
    """
    return lambda_ * interest + (1.0 - lambda_) * followon


def emphatic_td_step(w, z, M, x, reward, gamma_next, v_next, alpha, decay, rho):
    """Learn from one transition with emphatic TD(lambda), in place.

        z <- rho (decay z + M x)
        w <- w + alpha delta z

    M  the emphasis of S_t.  The other arguments are td_step's.  Returns delta.

    Source: Sutton & Barto 2018, section 12.11.
    """
    delta = td_error(w @ x, reward, gamma_next, v_next)
    decay_trace(z, rho * decay)
    z += rho * M * x
    w += alpha * delta * z
    return delta


def true_online_emphatic_td_step(w, e, v_old, M, x, reward, gamma_next, v_next, alpha, decay, rho):
    """Learn from one transition with true online emphatic TD(lambda), in place.

        e <- rho decay e + alpha rho M (1 - rho decay e.x) x
        w <- w + (delta + v - v_old) e - alpha rho M (v - v_old) x

    Arguments and result are true_online_td_step's, and M, the emphasis of S_t.

    Source: Sutton 2015, arXiv:1507.07147.
    """
    return true_online_td_step(w, e, v_old, x, reward, gamma_next, v_next, alpha, decay, rho, M)


def alpha_bound(z, x, x_next, gamma_next):
    """The largest step size that does not overshoot; inf where none does.  z is the trace of this update.

    Source: Dabney & Barto 2012, "Adaptive step-size for online temporal difference learning", eq. 15.
    """
    moved = (0.0 if gamma_next == 0 else gamma_next * (z @ x_next)) - z @ x
    return -1.0 / moved if moved < 0.0 else math.inf


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


def _td(trace, kind, x, x_next, reward, gamma_next, lambda_next, rho, alpha, clear=None, v_next=None):
    """td_step on a trace; v_next is w.x_next where it is not given."""
    if v_next is None:
        v_next = math.nan if gamma_next == 0 else trace.w @ x_next

    def bounded(alpha, z):
        trace.cap = min(trace.cap, alpha_bound(z, x, x_next, gamma_next))
        return min(alpha, trace.cap)

    delta = td_step(
        trace.w, trace.z, x, reward, gamma_next, v_next, alpha, trace.decay, rho, kind, clear,
        None if math.isnan(trace.cap) else bounded,
    )  # fmt: skip
    trace.decay, trace.v_old, trace.alpha = gamma_next * lambda_next, v_next, alpha
    return delta


def _true_online_td(trace, x, x_next, reward, gamma_next, lambda_next, rho, alpha, v_next=None, taken=None):
    """true_online_td_step on a trace; `taken` is w.x_next where v_next is another value."""
    if v_next is None:
        v_next = taken = math.nan if gamma_next == 0 else trace.w @ x_next
    delta = true_online_td_step(
        trace.w, trace.z, trace.v_old, x, reward, gamma_next, v_next, alpha, trace.decay, rho
    )
    trace.decay, trace.v_old, trace.alpha = gamma_next * lambda_next, taken, alpha
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


def _emphatic_run(trace, stream, true_online, beta=None):
    deltas = np.empty(stream.steps)
    rhos = _ON_POLICY if stream.rhos is None else stream.rhos
    interests = _ON_POLICY if stream.interests is None else stream.interests
    for t, x, x_next, (reward, gamma_next, lambda_next) in _transitions(trace, stream):
        rho, interest, alpha = at(rhos, t), at(interests, t), at(stream.alphas, t)
        followon = trace.followon + interest
        M = emphasis(followon, interest, trace.lambda_)
        v_next = math.nan if gamma_next == 0 else trace.w @ x_next
        arguments = M, x, reward, gamma_next, v_next, alpha, trace.decay, rho
        if true_online:
            deltas[t] = true_online_emphatic_td_step(trace.w, trace.z, trace.v_old, *arguments)
        else:
            deltas[t] = emphatic_td_step(trace.w, trace.z, *arguments)
        kept = rho * (gamma_next if beta is None or gamma_next == 0 else beta)
        trace.followon = kept * followon if kept != 0 else 0.0
        trace.decay, trace.v_old, trace.alpha = gamma_next * lambda_next, v_next, alpha
        trace.lambda_ = lambda_next
    return deltas


@_quietly
def emphatic_td_run(trace, stream):
    """Emphatic TD(lambda) over a stream; see emphatic_td_step.  Returns the TD errors (T,)."""
    return _emphatic_run(trace, stream, False)


@_quietly
def emphatic_beta_td_run(trace, stream):
    """Emphatic TD(lambda, beta): the followon trace is F_t = rho_{t-1} beta F_{t-1} + i_t, whatever gamma is.

    Source: Hallak, Tamar, Munos & Mannor 2016.  Returns the TD errors (T,).
    """
    return _emphatic_run(trace, stream, False, stream.options.beta)


@_quietly
def true_online_emphatic_td_run(trace, stream):
    """True online emphatic TD(lambda) over a stream.  Returns the TD errors (T,)."""
    return _emphatic_run(trace, stream, True)


def _ratio_run(trace, stream, weight, factor):
    """Accumulating traces that decay by a factor of the step before.  Returns the TD errors (T,).

        z <- gamma_t lambda_t factor_{t-1} z + x
        w <- w + alpha weight(rho_t) delta z

    weight  function of rho_t
    factor  function of rho_t and pi_t, lambda_{t+1} and the stream's options: what decays the next trace
            beside gamma_{t+1}
    """
    deltas = np.empty(stream.steps)
    rhos = _ON_POLICY if stream.rhos is None else stream.rhos
    pis = _ON_POLICY if stream.pis is None else stream.pis
    for t, x, x_next, (reward, gamma_next, lambda_next) in _transitions(trace, stream):
        rho, alpha = at(rhos, t), at(stream.alphas, t)
        v_next = math.nan if gamma_next == 0 else trace.w @ x_next
        deltas[t] = td_error(trace.w @ x, reward, gamma_next, v_next)
        decay_trace(trace.z, trace.decay)
        trace.z += x
        trace.w += alpha * weight(rho) * deltas[t] * trace.z
        trace.decay = gamma_next * factor(rho, at(pis, t), lambda_next)
        trace.v_old, trace.alpha = v_next, alpha
    return deltas


@_quietly
def vtrace_td_run(trace, stream):
    """Vtrace(lambda) over a stream: TD(lambda) whose ratios are bounded.  Returns the TD errors (T,).

        z <- gamma_t lambda_t min(c_bar, rho_{t-1}) z + x
        w <- w + alpha min(rho_bar, rho_t) delta z

    Source: Espeholt et al. 2018; Ghiassian & Sutton 2021.
    """
    c_bar, rho_bar = stream.options.c_bar, stream.options.rho_bar
    return _ratio_run(
        trace, stream, lambda rho: min(rho_bar, rho), lambda rho, pi, lambda_: lambda_ * min(c_bar, rho)
    )


@_quietly
def tree_backup_td_run(trace, stream):
    """Tree Backup(lambda) of state values over a stream.  Returns the TD errors (T,).

        z <- gamma_t lambda_t pi_{t-1} z + x
        w <- w + alpha rho_t delta z

    Source: Precup, Sutton & Singh 2000; Ghiassian & Sutton 2021.
    """
    return _ratio_run(trace, stream, lambda rho: rho, lambda rho, pi, lambda_: lambda_ * pi)


@_quietly
def ab_td_run(trace, stream):
    """AB(zeta) of state values over a stream.  Returns the TD errors (T,).

        nu_t = min(psi, 1 / max(pi_t, mu_t))           mu = pi / rho, the behaviour
        z <- gamma_t nu_{t-1} pi_{t-1} z + x
        w <- w + alpha rho_t delta z

    Source: Mahmood, Yu & Sutton 2017; Ghiassian & Sutton 2021.
    """

    def factor(rho, pi, lambda_):
        return 0.0 if pi == 0 else min(stream.options.psi, 1.0 / max(pi, pi / rho)) * pi

    return _ratio_run(trace, stream, lambda rho: rho, factor)


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


# ---- action values that do not follow the action taken: v_next and the decay are of the target policy ----


def _q(trace, stream, t):
    """q(S_t, a) of every action under w."""
    if stream.state_action:
        return np.array([stream.dense(t, a) @ trace.w for a in range(stream.n_actions)])
    return stream.dense(t) @ trace.w.reshape(trace.n, trace.columns)


def _pi(trace, stream, t):
    """pi(.|S_t) of the target policy; without one, the learner's own under w."""
    return probabilities(_q(trace, stream, t), stream.own) if stream.policy is None else stream.policy[t]


def _rho(stream, t):
    return 1.0 if stream.rhos is None else at(stream.rhos, t)


def _pi_taken(trace, stream, t):
    """pi(A_t|S_t) of the target policy.

    Of the learner's own it is that of the step before, which bootstrapped from it and drew A_t from it;
    under w where none is remembered.
    """
    if stream.policy is None and (trace.pi != 0 or trace.decay == 0):
        return max(trace.pi, 0.0)
    return _pi(trace, stream, t)[stream.actions[t]]


def _action_run(trace, stream, factor, learn, value=None, remember=False):
    """A stream of actions.

    factor  (t): what decays the trace of (S_t, A_t) beside gamma_t lambda_t
    value   (q): what S_{t+1} is worth, from q of its actions; else sum_a pi(a|S_{t+1}) q(a)
    learn   (x, x_next, reward, gamma_next, lambda_next, alpha, v_next, taken): the TD error; taken is
            q(S_{t+1}, A_{t+1})
    remember  pi(A_{t+1}|S_{t+1}), which the factor of the next step will need
    """
    deltas = np.empty(stream.steps)
    for t, x, x_next, arrival in _transitions(trace, stream):
        trace.decay *= factor(t)
        v_next = taken = math.nan
        trace.pi = 0.0
        if arrival[1] != 0:
            q, a = _q(trace, stream, t + 1), stream.actions[t + 1]
            pi = None if value else _pi(trace, stream, t + 1)
            v_next = value(q) if value else np.dot(pi, q)
            taken = q[a]
            if remember:
                trace.pi = float(pi[a]) or -1.0  # 0 says that there is none
        deltas[t] = learn(x, x_next, *arrival, at(stream.alphas, t), v_next, taken)
    return deltas


def _with_trace(trace, kind):
    def learn(x, x_next, reward, gamma_next, lambda_next, alpha, v_next, taken):
        arrival = reward, gamma_next, lambda_next
        return _td(trace, kind, x, x_next, *arrival, 1.0, alpha, v_next=v_next)

    return learn


@_quietly
def expected_sarsa_run(trace, kind, stream):
    """Expected Sarsa(lambda): decay rho gamma lambda, (12.29).  Returns the TD errors (T,)."""
    return _action_run(trace, stream, lambda t: _rho(stream, t), _with_trace(trace, kind))


@_quietly
def true_online_expected_sarsa_run(trace, stream):
    """True online Expected Sarsa(lambda): van Hasselt, Mahmood & Sutton 2014.  Returns the TD errors (T,)."""

    def learn(x, x_next, reward, gamma_next, lambda_next, alpha, v_next, taken):
        arrival = reward, gamma_next, lambda_next
        return _true_online_td(trace, x, x_next, *arrival, 1.0, alpha, v_next, taken)

    return _action_run(trace, stream, lambda t: _rho(stream, t), learn)


@_quietly
def watkins_q_run(trace, kind, stream):
    """Watkins's Q(lambda): the trace ends where A_t was not greedy under the weights it was chosen by.

    Returns the TD errors (T,).
    """

    def learn(x, x_next, reward, gamma_next, lambda_next, alpha, v_next, taken):
        arrival = reward, gamma_next, lambda_next if taken >= v_next else 0.0
        return _td(trace, kind, x, x_next, *arrival, 1.0, alpha, v_next=v_next)

    return _action_run(trace, stream, lambda t: 1.0, learn, np.max)


@_quietly
def naive_q_run(trace, kind, stream):
    """Q(lambda) whose traces last through exploration.  Returns the TD errors (T,)."""
    return _action_run(trace, stream, lambda t: 1.0, _with_trace(trace, kind), np.max)


@_quietly
def tree_backup_run(trace, stream):
    """Tree backup(lambda): decay gamma lambda pi(A|S), section 12.10.  Returns the TD errors (T,)."""
    learn = _with_trace(trace, "accumulating")
    return _action_run(trace, stream, lambda t: _pi_taken(trace, stream, t), learn, remember=True)


@_quietly
def retrace_run(trace, stream):
    """Retrace(lambda): decay gamma lambda min(1, rho), Munos et al. 2016.  Returns the TD errors (T,)."""
    learn = _with_trace(trace, "accumulating")
    return _action_run(trace, stream, lambda t: min(1.0, _rho(stream, t)), learn)


@_quietly
def q_sigma_run(trace, stream):
    """Q(sigma, lambda): decay gamma lambda (sigma rho + (1 - sigma) pi(A|S)).  Returns the TD errors (T,)."""

    def factor(t):
        sigma = at(stream.sigmas, t)
        return sigma * _rho(stream, t) + (1.0 - sigma) * _pi_taken(trace, stream, t)

    return _action_run(trace, stream, factor, _with_trace(trace, "accumulating"), remember=True)


# ---- reading ----


@_quietly
def values(trace, rows):
    """w.x of every row (fasttrace.features.Rows) in every column: (rows, columns).  Learns nothing."""
    w = trace.w.reshape(trace.n, trace.columns)
    return np.array([rows.dense(r) @ w for r in range(rows.count)]).reshape(rows.count, trace.columns)
