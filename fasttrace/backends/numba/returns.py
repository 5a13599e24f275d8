"""Returns of trajectories with Numba: X_t = a_t + c_t X_{t+1} from the end on, see csrc/returns.h.

Arrays are flat and time-major here: what lies otherwise is copied.  A row of B entries is a slice, so that the
loop over trajectories runs in vectors.
"""

from typing import NamedTuple

import numpy as np

from . import kernel, verb

TERMINATED, TRUNCATED, SKIPPED = 1, 2, 4
ENDED = TERMINATED | TRUNCATED


@verb
def weighed(w, x):
    """w x, and 0 where w is 0, whatever x is."""
    return w * x if w != 0.0 else 0.0


@verb
def at_most(bound, x):
    """The smaller one; NaN stays."""
    return bound if x > bound else x


@verb
def discount(flag, gamma, lambda_):
    return 0.0 if flag & ENDED else gamma * lambda_


@verb
def target(flag, reward, v_next, v_cut, gamma, mixed):
    """Reward and bootstrap: mixed v_next on the way, gamma v_cut where truncated."""
    w = 0.0 if flag & TERMINATED else (gamma if flag & TRUNCATED else mixed)
    return reward + weighed(w, v_cut if flag & TRUNCATED else v_next)


# ---- families: (a, c, out_a, out_c, second_a, second_c) of one transition ----
#
# It hands on a + c Y of the Y handed to it; its results are out_a + out_c Y and second_a + second_c Y.
# rho is q(S_{t+1}, A_{t+1}) for upgo, and pi for tree backup.
# Arguments: flag, reward, v, v_next, v_cut, rho, pi, sigma, gamma, lambda_, rho_bar, c_bar.


@verb
def lambda_step(flag, reward, v, v_next, v_cut, rho, pi, sigma, gamma, lambda_, rho_bar, c_bar):
    c = discount(flag, gamma, lambda_)
    a = target(flag, reward, v_next, v_cut, gamma, gamma * (1.0 - lambda_))
    return a, c, a, c, 0.0, 0.0


@verb
def off_policy_step(flag, reward, v, v_next, v_cut, rho, pi, sigma, gamma, lambda_, rho_bar, c_bar):
    c = weighed(discount(flag, gamma, lambda_), rho)
    a = target(flag, reward, v_next, v_cut, gamma, gamma * (1.0 - lambda_))
    a = weighed(rho, a) + weighed(1.0 - rho, v)
    return a, c, a, c, 0.0, 0.0


@verb
def action_step(flag, reward, v, v_next, v_cut, w, gamma, lambda_):
    out_c = discount(flag, gamma, lambda_)
    out_a = target(flag, reward, v_next, v_cut, gamma, gamma)
    return weighed(w, out_a - v), weighed(out_c, w), out_a, out_c, 0.0, 0.0


@verb
def off_policy_action_step(flag, reward, v, v_next, v_cut, rho, pi, sigma, gamma, lambda_, rho_bar, c_bar):
    return action_step(flag, reward, v, v_next, v_cut, rho, gamma, lambda_)


@verb
def retrace_step(flag, reward, v, v_next, v_cut, rho, pi, sigma, gamma, lambda_, rho_bar, c_bar):
    return action_step(flag, reward, v, v_next, v_cut, at_most(1.0, rho), gamma, lambda_)


@verb
def q_sigma_step(flag, reward, v, v_next, v_cut, rho, pi, sigma, gamma, lambda_, rho_bar, c_bar):
    w = weighed(sigma, rho) + weighed(1.0 - sigma, pi)
    return action_step(flag, reward, v, v_next, v_cut, w, gamma, lambda_)


@verb
def gae_step(flag, reward, v, v_next, v_cut, rho, pi, sigma, gamma, lambda_, rho_bar, c_bar):
    c = discount(flag, gamma, lambda_)
    a = target(flag, reward, v_next, v_cut, gamma, gamma) - v
    return a, c, a, c, v + a, c


@verb
def vtrace_step(flag, reward, v, v_next, v_cut, rho, pi, sigma, gamma, lambda_, rho_bar, c_bar):
    most = at_most(rho_bar, rho)
    error = target(flag, reward, v_next, v_cut, gamma, gamma) - v
    c = weighed(discount(flag, gamma, lambda_), at_most(c_bar, rho))
    a = weighed(most, error)
    return a, c, v + a, c, a, weighed(discount(flag, gamma, 1.0), most)


@verb
def discounted_step(flag, reward, v, v_next, v_cut, rho, pi, sigma, gamma, lambda_, rho_bar, c_bar):
    a = target(flag, reward, v_next, v_cut, gamma * lambda_, 0.0)
    c = discount(flag, gamma, lambda_)
    return a, c, a, c, 0.0, 0.0


@verb
def upgo_step(flag, reward, v, v_next, v_cut, rho, pi, sigma, gamma, lambda_, rho_bar, c_bar):
    if not rho >= v_next:
        lambda_ = 0.0
    c = discount(flag, gamma, lambda_)
    a = target(flag, reward, v_next, v_cut, gamma, gamma * (1.0 - lambda_))
    return a, c, a, c, 0.0, 0.0


# ---- loops ----


class Arrays(NamedTuple):
    """A problem's arrays, flat.  What is not given is `nothing`, of no entries, and reads as 0.

    rewards to sigmas  of the type of the results; values, nexts, rhos may go on beyond T B entries
    gammas, lambdas    (T B), (T), or one
    last, Y            (B): the value of S_T, and what the end hands on; Y is float64 and changes
    nothing, zeros     (B) of zeros, of the results' type; no_flags the same of flags
    gamma, lambda_     (B) float64, scratch
    """

    rewards: np.ndarray
    values: np.ndarray
    nexts: np.ndarray
    cuts: np.ndarray
    rhos: np.ndarray
    pi: np.ndarray
    sigmas: np.ndarray
    flags: np.ndarray
    gammas: np.ndarray
    lambdas: np.ndarray
    last: np.ndarray
    ends: np.ndarray
    Y: np.ndarray
    zeros: np.ndarray
    no_flags: np.ndarray
    gamma: np.ndarray
    lambda_: np.ndarray
    scratch: np.ndarray
    out: np.ndarray
    second: np.ndarray


@verb
def fill_row(row, rates, t, T):
    """gamma or lambda of the trajectories at t."""
    B = row.size
    if rates.size == T:
        for b in range(B):
            row[b] = rates[t]
    elif rates.size > 1 or t == T - 1:
        for b in range(B):
            row[b] = rates[t * B + b] if rates.size > 1 else rates[0]


@verb
def rows(step, T, x, ahead, rho_bar, c_bar):
    """Time-major arrays (T, B): all trajectories of a step, then the step before.

    ahead  1 where rhos holds numbers of the next state, else 0
    """
    B = x.Y.size
    two = x.second.size > 0
    for back in range(T):
        t = T - 1 - back
        final = back == 0
        o, p = t * B, (t + 1) * B
        q, r = (t + ahead) * B, (t + ahead + 1) * B
        flag = x.flags[o:p] if x.flags.size else x.no_flags
        reward = x.rewards[o:p]
        v = x.values[o:p] if x.values.size else x.zeros
        v_next = x.last if final else (x.nexts[p : p + B] if x.nexts.size else x.zeros)
        v_cut = x.cuts[o:p] if x.cuts.size else x.zeros
        rho = x.rhos[q:r] if x.rhos.size and not (final and ahead) else x.zeros
        pi = x.pi[o:p] if x.pi.size else x.zeros
        sigma = x.sigmas[o:p] if x.sigmas.size else x.zeros
        fill_row(x.gamma, x.gammas, t, T)
        fill_row(x.lambda_, x.lambdas, t, T)
        gamma, lambda_, Y = x.gamma, x.lambda_, x.Y
        out = x.out[o:p]
        second = x.second[o:p] if two else out
        for b in range(B):
            a, c, out_a, out_c, second_a, second_c = step(
                flag[b], np.float64(reward[b]), np.float64(v[b]), np.float64(v_next[b]), np.float64(v_cut[b]),
                np.float64(rho[b]), np.float64(pi[b]), np.float64(sigma[b]), gamma[b], lambda_[b],
                rho_bar, c_bar,
            )  # fmt: skip
            skipped = flag[b] & SKIPPED
            y = Y[b]
            out[b] = 0.0 if skipped else out_a + weighed(out_c, y)
            if two:
                second[b] = 0.0 if skipped else second_a + weighed(second_c, y)
            Y[b] = y if skipped else a + weighed(c, y)


@kernel
def gae_plain_rows(T, rewards, values, nexts, last, flags, no_flags, gamma, decay, Y, out, second):
    """GAE with one gamma and one lambda, neither 0, where nothing is truncated or skipped.

    Loops over few arrays each: the compiler checks that what is written overlaps nothing, and gives up on
    vectors where that takes many checks.
    """
    B = Y.size
    for back in range(T):
        o = (T - 1 - back) * B
        p = o + B
        reward, v = rewards[o:p], values[o:p]
        v_next = last if back == 0 else nexts[p : p + B]
        flag = flags[o:p] if flags.size else no_flags
        first, other = out[o:p], second[o:p]
        for b in range(B):
            on = flag[b] == 0
            surplus = np.float64(reward[b]) - np.float64(v[b])
            delta = surplus + (gamma * np.float64(v_next[b]) if on else 0.0)
            Y[b] = delta + (decay * Y[b] if on else 0.0)
        for b in range(B):
            first[b] = Y[b]
            other[b] = Y[b] + np.float64(v[b])


@verb
def entry_of(array, place):
    return np.float64(array[place]) if array.size else 0.0


@verb
def rate_of(rates, t, place, T):
    if rates.size == 1:
        return np.float64(rates[0])
    return np.float64(rates[t] if rates.size == T else rates[place])


@verb
def at(step, T, b, t, x, wide, ahead, rho_bar, c_bar):
    """Transition t of trajectory b, of batch-major arrays (B, T) or (B, T + 1): wide 1 is that."""
    place, final = b * T + t, t == T - 1
    flag = x.flags[place] if x.flags.size else x.no_flags[0]
    v_next = np.float64(x.last[b]) if final else entry_of(x.nexts, b * (T + wide[1]) + t + 1)
    rho = 0.0 if final and ahead else entry_of(x.rhos, b * (T + wide[2]) + t + ahead)
    return flag, step(
        flag, np.float64(x.rewards[place]), entry_of(x.values, b * (T + wide[0]) + t), v_next,
        entry_of(x.cuts, place), rho,
        entry_of(x.pi, b * (T + wide[3]) + t), entry_of(x.sigmas, b * (T + wide[4]) + t),
        rate_of(x.gammas, t, place, T), rate_of(x.lambdas, t, place, T), rho_bar, c_bar,
    )  # fmt: skip


@verb
def put(x, place, flag, coefficients, y):
    """Write the results of a transition that Y = y was handed to."""
    _, _, out_a, out_c, second_a, second_c = coefficients
    skipped = flag & SKIPPED
    x.out[place] = 0.0 if skipped else out_a + weighed(out_c, y)
    if x.second.size:
        x.second[place] = 0.0 if skipped else second_a + weighed(second_c, y)


@verb
def series(step, T, horizon, x, wide, ahead, rho_bar, c_bar):
    """Batch-major arrays: one trajectory after the other."""
    for b in range(x.Y.size):
        if horizon < T:
            windows(step, T, horizon, b, x, wide, ahead, rho_bar, c_bar)
            continue
        y = x.Y[b]
        for back in range(T):
            t = T - 1 - back
            flag, found = at(step, T, b, t, x, wide, ahead, rho_bar, c_bar)
            put(x, b * T + t, flag, found, y)
            y = y if flag & SKIPPED else found[0] + weighed(found[1], y)


@verb
def windows(step, T, h, b, x, wide, ahead, rho_bar, c_bar):
    """Windows [t, t + h) as two pieces that meet at a multiple of h; see csrc/returns_loops.h."""
    for low in range((T - 1) // h * h, -1, -h):
        mid = min(low + h, T)
        A, C = 0.0, 1.0
        for e in range(mid, min(mid + h, T + 1)):
            end = x.Y[b] if e == T else entry_of(x.ends, b * (T + wide[5]) + e)
            x.scratch[e - mid] = A + weighed(C, end)
            if e < T:
                flag, found = at(step, T, b, e, x, wide, ahead, rho_bar, c_bar)
                if not flag & SKIPPED:
                    A, C = A + weighed(C, found[0]), weighed(C, found[1])
        A, C = 0.0, 1.0
        for t in range(mid - 1, low - 1, -1):
            flag, found = at(step, T, b, t, x, wide, ahead, rho_bar, c_bar)
            put(x, b * T + t, flag, found, A + weighed(C, x.scratch[min(t + h, T) - mid]))
            if not flag & SKIPPED:
                A, C = found[0] + weighed(found[1], A), weighed(found[1], C)


# ---- the loops of each family ----


@kernel
def lambda_returns_rows(T, x, rho_bar, c_bar):
    rows(lambda_step, T, x, 0, rho_bar, c_bar)


@kernel
def lambda_returns_series(T, horizon, x, wide, rho_bar, c_bar):
    series(lambda_step, T, horizon, x, wide, 0, rho_bar, c_bar)


@kernel
def off_policy_returns_rows(T, x, rho_bar, c_bar):
    rows(off_policy_step, T, x, 0, rho_bar, c_bar)


@kernel
def off_policy_returns_series(T, horizon, x, wide, rho_bar, c_bar):
    series(off_policy_step, T, horizon, x, wide, 0, rho_bar, c_bar)


@kernel
def off_policy_action_returns_rows(T, x, rho_bar, c_bar):
    rows(off_policy_action_step, T, x, 0, rho_bar, c_bar)


@kernel
def off_policy_action_returns_series(T, horizon, x, wide, rho_bar, c_bar):
    series(off_policy_action_step, T, horizon, x, wide, 0, rho_bar, c_bar)


@kernel
def retrace_rows(T, x, rho_bar, c_bar):
    rows(retrace_step, T, x, 0, rho_bar, c_bar)


@kernel
def retrace_series(T, horizon, x, wide, rho_bar, c_bar):
    series(retrace_step, T, horizon, x, wide, 0, rho_bar, c_bar)


@kernel
def q_sigma_rows(T, x, rho_bar, c_bar):
    rows(q_sigma_step, T, x, 0, rho_bar, c_bar)


@kernel
def q_sigma_series(T, horizon, x, wide, rho_bar, c_bar):
    series(q_sigma_step, T, horizon, x, wide, 0, rho_bar, c_bar)


@kernel
def gae_rows(T, x, rho_bar, c_bar):
    rows(gae_step, T, x, 0, rho_bar, c_bar)


@kernel
def gae_series(T, horizon, x, wide, rho_bar, c_bar):
    series(gae_step, T, horizon, x, wide, 0, rho_bar, c_bar)


@kernel
def vtrace_rows(T, x, rho_bar, c_bar):
    rows(vtrace_step, T, x, 0, rho_bar, c_bar)


@kernel
def vtrace_series(T, horizon, x, wide, rho_bar, c_bar):
    series(vtrace_step, T, horizon, x, wide, 0, rho_bar, c_bar)


@kernel
def discounted_sum_rows(T, x, rho_bar, c_bar):
    rows(discounted_step, T, x, 0, rho_bar, c_bar)


@kernel
def discounted_sum_series(T, horizon, x, wide, rho_bar, c_bar):
    series(discounted_step, T, horizon, x, wide, 0, rho_bar, c_bar)


@kernel
def upgo_rows(T, x, rho_bar, c_bar):
    rows(upgo_step, T, x, 1, rho_bar, c_bar)


@kernel
def upgo_series(T, horizon, x, wide, rho_bar, c_bar):
    series(upgo_step, T, horizon, x, wide, 1, rho_bar, c_bar)


_LOOPS = {
    "lambda_returns": (lambda_returns_rows, lambda_returns_series),
    "off_policy_returns": (off_policy_returns_rows, off_policy_returns_series),
    "off_policy_action_returns": (off_policy_action_returns_rows, off_policy_action_returns_series),
    "retrace": (retrace_rows, retrace_series),
    "tree_backup": (off_policy_action_returns_rows, off_policy_action_returns_series),
    "q_sigma": (q_sigma_rows, q_sigma_series),
    "gae": (gae_rows, gae_series),
    "vtrace": (vtrace_rows, vtrace_series),
    "discounted_sum": (discounted_sum_rows, discounted_sum_series),
    "upgo": (upgo_rows, upgo_series),
}
_NO_FLAGS = np.empty(0, np.uint8)
_SUMS = ("lambda_returns", "off_policy_returns", "upgo", "discounted_sum")


def _is_plain(p):
    one = p.gammas is None and p.lambdas is None and p.gamma != 0.0 and p.lambda_ != 0.0
    return one and (p.flags is None or p.terminations_only)


def run(p):
    """See backends.numpy.returns."""
    T, B, dtype = p.T, p.B, p.out.dtype
    horizon = p.horizon or T
    if p.family == "gae" and not p.batch_major and horizon >= T and _is_plain(p):
        gae_plain_rows(
            T, p.rewards.reshape(-1), p.values.reshape(-1), p.nexts.reshape(-1), p.last,
            _NO_FLAGS if p.flags is None else p.flags.reshape(-1), np.zeros(B, np.uint8), p.gamma,
            p.gamma * p.lambda_, np.zeros(B), p.out.reshape(-1), p.second.reshape(-1),
        )  # fmt: skip
        return
    turn = not p.batch_major and horizon < T
    nothing = np.empty(0, dtype)

    def flat(array):
        if array is None:
            return nothing
        if turn and array.ndim == 2:
            array = np.ascontiguousarray(array.T)
        return array.reshape(-1)

    def rates(number, array):
        return np.array([number]) if array is None else flat(array)

    rhos = {"tree_backup": p.pi, "upgo": p.q}.get(p.family, p.rhos)
    out = np.empty(B * T, dtype) if turn else flat(p.out)
    second = nothing if p.second is None else np.empty(B * T, dtype) if turn else flat(p.second)
    x = Arrays(
        flat(p.rewards), flat(p.values), flat(p.nexts), flat(p.next_values), flat(rhos), flat(p.pi),
        flat(p.sigmas), _NO_FLAGS if p.flags is None else flat(p.flags),
        rates(p.gamma, p.gammas), rates(p.lambda_, p.lambdas), p.last, flat(p.ends),
        p.last.astype(np.float64) if p.family in _SUMS else np.zeros(B), np.zeros(B, dtype),
        np.zeros(B, np.uint8), np.empty(B), np.empty(B),
        np.empty(horizon if horizon < T else 0), out, second,
    )  # fmt: skip
    by_rows, by_series = _LOOPS[p.family]
    if not p.batch_major and not turn:
        by_rows(T, x, p.rho_bar, p.c_bar)
        return
    wide = tuple(int(a.size == B * (T + 1)) for a in (x.values, x.nexts, x.rhos, x.pi, x.sigmas, x.ends))
    by_series(T, horizon, x, wide, p.rho_bar, p.c_bar)
    if turn:
        p.out[...] = out.reshape(B, T).T
        if p.second is not None:
            p.second[...] = second.reshape(B, T).T
