"""Returns of trajectories with Numba: X_t = a_t + c_t X_{t+1} from the end on, see csrc/fasttrace.h.

Arrays are flat here.  Everything but X itself is done by `coefficients`, for a row of trajectories or for a
span of time, in loops over few arrays each: the compiler checks that what a loop writes overlaps nothing that
it reads, and gives up on vectors where that takes many checks.
"""

from functools import cache, partial
from typing import NamedTuple

import numpy as np

from ...pieces import in_pieces
from . import inner, kernel, verb
from .vectors import BYTES
from .vectors import row as vectors

TERMINATED, TRUNCATED, SKIPPED = 1, 2, 4
ENDED = TERMINATED | TRUNCATED
LANES = BYTES // 8
SPAN = 512  # of time, or trajectories; what belongs to them stays in the first-level cache

_FIRST = 2**20  # entries that surely take less than a tenth of a second

_PART = 2**15  # transitions before their horizons, of a trajectory that is too long to be seen at once

LAMBDA, OFF_POLICY, ACTION, RETRACE, Q_SIGMA, GAE, VTRACE, SUM, UPGO = range(9)
_FAMILIES = {
    "lambda_returns": LAMBDA,
    "off_policy_returns": OFF_POLICY,
    "off_policy_action_returns": ACTION,
    "retrace": RETRACE,
    "tree_backup": ACTION,
    "q_sigma": Q_SIGMA,
    "gae": GAE,
    "vtrace": VTRACE,
    "discounted_sum": SUM,
    "upgo": UPGO,
}


class Arrays(NamedTuple):
    """A problem's arrays, flat.  What is not given has no entries, and reads as 0.

    values, nexts, q, rhos, pi, sigmas, ends may have T + 1 rows.
    gammas, lambdas  float64: one, (T,), or (T B)
    last, begin      (B): the value of S_T; what the end hands on, float64
    """

    rewards: np.ndarray
    values: np.ndarray
    nexts: np.ndarray
    cuts: np.ndarray
    q: np.ndarray
    rhos: np.ndarray
    pi: np.ndarray
    sigmas: np.ndarray
    flags: np.ndarray
    gammas: np.ndarray
    lambdas: np.ndarray
    last: np.ndarray
    ends: np.ndarray
    begin: np.ndarray
    out: np.ndarray
    second: np.ndarray


class Row(NamedTuple):
    """n transitions side by side, and what comes of them, all (n,).

    They hand on a + c Y of the Y handed to them; results are out_a + out_c Y and second_a + second_c Y.
    """

    flag: np.ndarray
    v_next: np.ndarray
    q_next: np.ndarray
    zeros: np.ndarray
    gamma: np.ndarray
    lambda_: np.ndarray
    target: np.ndarray
    a: np.ndarray
    c: np.ndarray
    out_a: np.ndarray
    out_c: np.ndarray
    second_a: np.ndarray
    second_c: np.ndarray


def _row(n, dtype):
    inputs = np.zeros(n, np.uint8), np.zeros(n, dtype), np.zeros(n, dtype), np.zeros(n, dtype)
    return Row(*inputs, *np.zeros((9, n)))


@verb
def weighed(w, x):
    """w x, and 0 where w is 0, whatever x is."""
    return w * x if w != 0.0 else 0.0


@verb
def at_most(bound, x):
    """The smaller one; NaN stays."""
    return bound if x > bound else x


@inner
def coefficients(family, row, reward, v, v_cut, rho, pi, sigma, bars):
    """Fills a to second_c of a row from its flag, v_next, q_next, gamma, lambda_ and the slices given."""
    n = reward.size
    flag, v_next, gamma, lambda_, target = row.flag, row.v_next, row.gamma, row.lambda_, row.target
    a, c, out_a, out_c = row.a, row.c, row.out_a, row.out_c
    second_a, second_c = row.second_a, row.second_c
    if family == UPGO:
        q_next = row.q_next
        for i in range(n):
            unknown = np.isnan(q_next[i]) and lambda_[i] > 0.0
            lambda_[i] = lambda_[i] if q_next[i] >= v_next[i] else 0.0
            v_next[i] = q_next[i] if unknown else v_next[i]
    for i in range(n):
        c[i] = 0.0 if flag[i] & ENDED else gamma[i] * lambda_[i]
    mixes = family in (LAMBDA, OFF_POLICY, UPGO)
    for i in range(n):  # a: the weight of the next value
        on_the_way = gamma[i] * (1.0 - lambda_[i]) if mixes else (0.0 if family == SUM else gamma[i])
        cut = gamma[i] * lambda_[i] if family == SUM else gamma[i]
        a[i] = 0.0 if flag[i] & TERMINATED else (cut if flag[i] & TRUNCATED else on_the_way)
    for i in range(n):
        then = np.float64(v_cut[i]) if flag[i] & TRUNCATED else np.float64(v_next[i])
        target[i] = reward[i] + weighed(a[i], then)
    for i in range(n):
        a[i] = out_a[i] = target[i]
        out_c[i] = c[i]
    if family == OFF_POLICY:
        for i in range(n):
            a[i] = weighed(rho[i], target[i]) + weighed(1.0 - rho[i], v[i])
            c[i] = weighed(c[i], rho[i])
        for i in range(n):
            out_a[i] = a[i]
            out_c[i] = c[i]
    elif family in (ACTION, RETRACE, Q_SIGMA):
        w = second_a
        for i in range(n):
            w[i] = at_most(1.0, rho[i]) if family == RETRACE else rho[i]
        if family == Q_SIGMA:
            for i in range(n):
                w[i] = weighed(sigma[i], w[i]) + weighed(1.0 - sigma[i], pi[i])
        for i in range(n):
            a[i] = weighed(w[i], target[i] - v[i])
            c[i] = weighed(c[i], w[i])
    elif family == GAE:
        for i in range(n):
            a[i] = target[i] - v[i]
            second_a[i] = v[i] + a[i]
        for i in range(n):
            out_a[i] = a[i]
            second_c[i] = c[i]
    elif family == VTRACE:
        rho_bar, c_bar, pg_rho_bar = bars
        for i in range(n):
            a[i] = weighed(at_most(rho_bar, rho[i]), target[i] - v[i])
        for i in range(n):
            second_a[i] = weighed(at_most(pg_rho_bar, rho[i]), target[i] - v[i])
        for i in range(n):
            second_c[i] = weighed(0.0 if flag[i] & ENDED else gamma[i], at_most(pg_rho_bar, rho[i]))
        for i in range(n):
            c[i] = weighed(c[i], at_most(c_bar, rho[i]))
        for i in range(n):
            out_a[i] = v[i] + a[i]
            out_c[i] = c[i]
    for i in range(n):
        a[i] = 0.0 if flag[i] & SKIPPED else a[i]
        c[i] = 1.0 if flag[i] & SKIPPED else c[i]
    for i in range(n):
        out_a[i] = 0.0 if flag[i] & SKIPPED else out_a[i]
        out_c[i] = 0.0 if flag[i] & SKIPPED else out_c[i]
    if family in (GAE, VTRACE):
        for i in range(n):
            second_a[i] = 0.0 if flag[i] & SKIPPED else second_a[i]
            second_c[i] = 0.0 if flag[i] & SKIPPED else second_c[i]


# ---- time-major: a row is of all trajectories, at one time ----


@verb
def fill(row, array):
    for i in range(array.size):
        row[i] = array[i]


@kernel
def rows(family, T, x, row, Y, bars, begin, end):
    """Arrays (T, B), the rows from T - 1 - begin down to T - end.

    Y (B,) is what the rows behind these hand on; it changes.
    """
    B = Y.size
    for i in range(B):
        row.gamma[i] = x.gammas[0]
        row.lambda_[i] = x.lambdas[0]
    for back in range(begin, end):
        t = T - 1 - back
        o, p, q = t * B, (t + 1) * B, (t + 2) * B
        if x.flags.size:
            fill(row.flag, x.flags[o:p])
        if back == 0:
            fill(row.v_next, x.last)
        elif x.nexts.size:
            fill(row.v_next, x.nexts[p:q])
        if x.q.size and back > 0:
            fill(row.q_next, x.q[p:q])
        for rate, rates in ((row.gamma, x.gammas), (row.lambda_, x.lambdas)):
            if rates.size == T * B:
                fill(rate, rates[o:p])
            elif rates.size == T or family == UPGO:  # upgo writes to its lambda
                for i in range(B):
                    rate[i] = rates[t if rates.size == T else 0]
        v = x.values[o:p] if x.values.size else row.zeros
        v_cut = x.cuts[o:p] if x.cuts.size else row.zeros
        rho = x.rhos[o:p] if x.rhos.size else row.zeros
        pi = x.pi[o:p] if x.pi.size else row.zeros
        sigma = x.sigmas[o:p] if x.sigmas.size else row.zeros
        coefficients(family, row, x.rewards[o:p], v, v_cut, rho, pi, sigma, bars)
        out = x.out[o:p]
        for i in range(B):
            out[i] = row.out_a[i] + weighed(row.out_c[i], Y[i])
        if x.second.size:
            second = x.second[o:p]
            for i in range(B):
                second[i] = row.second_a[i] + weighed(row.second_c[i], Y[i])
        for i in range(B):
            Y[i] = row.a[i] + weighed(row.c[i], Y[i])


@vectors(("y", "reward", "v", "v_next", "flag", "first"), ("gamma", "decay"), 1)
def _gae_row(w):
    on, v, zero = w.is_0("flag"), w.load("v"), w.number(0.0)
    delta = w.load("reward") - v + on.where(w.scalar("gamma") * w.load("v_next"), zero)
    y = delta + on.where(w.scalar("decay") * w.load("y"), zero)
    w.store("y", y)
    w.store("first", y)


@vectors(("y", "v", "second"), (), 1)
def _gae_second(w):
    w.store("second", w.load("y") + w.load("v"))


@verb
def gae_row(n, rewards, values, nexts, flags, gamma, decay, Y, out, second, o, o_next, o_flag):
    """n transitions side by side, from o on.  The second result on its own: see csrc/returns_loops.h."""
    whole = n // LANES
    _gae_row((Y, rewards, values, nexts, flags, out), whole, (0, o, o, o_next, o_flag, o), (gamma, decay))
    _gae_second((Y, values, second), whole, (0, o, o), ())
    for b in range(LANES * whole, n):
        on, v = flags[o_flag + b] == 0, np.float64(values[o + b])
        delta = np.float64(rewards[o + b]) - v + (gamma * np.float64(nexts[o_next + b]) if on else 0.0)
        Y[b] = out[o + b] = delta + (decay * Y[b] if on else 0.0)
        second[o + b] = Y[b] + v


@kernel
def gae_rows(T, rewards, values, last, flags, per_flag, gamma, decay, Y, out, second, begin, end):
    """GAE with one gamma and one lambda, neither 0, where nothing is truncated or skipped.

    flags       as the others, where per_flag is 1; else zeros for SPAN trajectories, which are done at once
    Y           (B,) what the rows behind these hand on; it changes
    begin, end  as rows
    """
    B = last.size
    for low in range(0, B, SPAN):
        n = min(SPAN, B - low)
        y = Y[low : low + n]
        for t in range(T - 1 - begin, T - 1 - end, -1):
            o = t * B + low
            o_flag = per_flag * o
            if t == T - 1:
                gae_row(n, rewards, values, last, flags, gamma, decay, y, out, second, o, low, o_flag)
            else:
                gae_row(n, rewards, values, values, flags, gamma, decay, y, out, second, o, o + B, o_flag)


# ---- batch-major: a row is of one trajectory, from t to end ----


@inner
def fill_span(family, T, B, b, t, end, x, row, bars):
    """Coefficients of the transitions from t to end of trajectory b, of arrays (B, T) or (B, T + 1)."""
    n, o = end - t, b * T + t
    row = Row(
        row.flag[:n], row.v_next[:n], row.q_next[:n], row.zeros[:n], row.gamma[:n], row.lambda_[:n],
        row.target[:n], row.a[:n], row.c[:n], row.out_a[:n], row.out_c[:n], row.second_a[:n],
        row.second_c[:n],
    )  # fmt: skip
    if x.flags.size:
        fill(row.flag, x.flags[o : o + n])
    whole = n if end < T else n - 1  # next values that stand in the array
    if x.nexts.size:
        s = b * (x.nexts.size // B) + t + 1
        fill(row.v_next, x.nexts[s : s + whole])
    if x.q.size:
        s = b * (x.q.size // B) + t + 1
        fill(row.q_next, x.q[s : s + whole])
    if end == T:
        row.v_next[n - 1] = row.q_next[n - 1] = x.last[b]
    for rate, rates in ((row.gamma, x.gammas), (row.lambda_, x.lambdas)):
        if rates.size == T * B:
            fill(rate, rates[o : o + n])
        elif rates.size == T:
            fill(rate, rates[t:end])
        else:
            for i in range(n):
                rate[i] = rates[0]
    v, rho, pi, sigma, v_cut = row.zeros, row.zeros, row.zeros, row.zeros, row.zeros
    if x.values.size:
        s = b * (x.values.size // B) + t
        v = x.values[s : s + n]
    if x.rhos.size:
        s = b * (x.rhos.size // B) + t
        rho = x.rhos[s : s + n]
    if x.pi.size:
        s = b * (x.pi.size // B) + t
        pi = x.pi[s : s + n]
    if x.sigmas.size:
        s = b * (x.sigmas.size // B) + t
        sigma = x.sigmas[s : s + n]
    if x.cuts.size:
        v_cut = x.cuts[o : o + n]
    coefficients(family, row, x.rewards[o : o + n], v, v_cut, rho, pi, sigma, bars)


@verb
def put(x, row, i, place, y):
    """Write the results of transition i of a row, which Y = y was handed to."""
    x.out[place] = row.out_a[i] + weighed(row.out_c[i], y)
    if x.second.size:
        x.second[place] = row.second_a[i] + weighed(row.second_c[i], y)


@verb
def transition(family, flag, reward, v, v_next, v_cut, q_next, gamma, lambda_, rho, pi, sigma, bars):
    """What `coefficients` gives for one transition: (a, c, out_a, out_c, second_a, second_c)."""
    if family == UPGO:
        unknown = np.isnan(q_next) and lambda_ > 0.0
        lambda_ = lambda_ if q_next >= v_next else 0.0
        v_next = q_next if unknown else v_next
    c = 0.0 if flag & ENDED else gamma * lambda_
    weight, cut = gamma, gamma
    if family in (LAMBDA, OFF_POLICY, UPGO):
        weight = gamma * (1.0 - lambda_)
    elif family == SUM:
        weight, cut = 0.0, gamma * lambda_
    weight = 0.0 if flag & TERMINATED else (cut if flag & TRUNCATED else weight)
    then = np.float64(v_cut) if flag & TRUNCATED else np.float64(v_next)
    target = reward + weighed(weight, then)
    a, out_a, out_c, second_a, second_c = target, target, c, 0.0, 0.0
    if family == OFF_POLICY:
        out_a = a = weighed(rho, target) + weighed(1.0 - rho, v)
        out_c = c = weighed(c, rho)
    elif family in (ACTION, RETRACE, Q_SIGMA):
        w = np.float64(at_most(1.0, rho) if family == RETRACE else rho)
        if family == Q_SIGMA:
            w = weighed(sigma, w) + weighed(1.0 - sigma, pi)
        a, c = weighed(w, target - v), weighed(c, w)
    elif family == GAE:
        out_a = a = target - v
        second_a, second_c = v + a, c
    elif family == VTRACE:
        rho_bar, c_bar, pg_rho_bar = bars
        most = at_most(pg_rho_bar, rho)
        second_a = weighed(most, target - v)
        second_c = weighed(0.0 if flag & ENDED else gamma, most)
        a = weighed(at_most(rho_bar, rho), target - v)
        out_a = v + a
        out_c = c = weighed(c, at_most(c_bar, rho))
    if flag & SKIPPED:
        return 0.0, 1.0, 0.0, 0.0, 0.0, 0.0
    return a, c, out_a, out_c, second_a, second_c


@verb
def entries(array, b, B, zero):
    """(those of trajectory b, 1); of an array that is not given (zero, 0), to be read over and over."""
    n = array.size // B
    return (array[b * n : (b + 1) * n], np.uint64(1)) if n else (zero, np.uint64(0))


@verb
def rates_of(rates, b, B, T):
    """(those of trajectory b, 1); of one for all (itself, 0)."""
    if rates.size == B * T and rates.size > 1:
        return rates[b * T : (b + 1) * T], np.uint64(1)
    return rates, np.uint64(rates.size > 1)


@cache
def series_of(family):
    """The loops for one family, for which nothing is left to decide in them: they take half the time."""

    def series(T, x, zero, no_flag, Y, bars, first, last, begin, end):
        """Transitions last - 1 down to first of the trajectories from begin to end, one after the other.

        Y (B,) is what the transitions after these hand on; it changes.  Everything else is done while the
        processor waits for the sum before it: not in rows, as above.
        """
        B, top = Y.size, np.uint64(last - 1)
        for b in range(begin, end):
            reward, _ = entries(x.rewards, b, B, zero)
            v, per_v = entries(x.values, b, B, zero)
            nexts, per_next = entries(x.nexts, b, B, zero)
            v_cut, per_cut = entries(x.cuts, b, B, zero)
            q, per_q = entries(x.q, b, B, zero)
            rho, per_rho = entries(x.rhos, b, B, zero)
            pi, per_pi = entries(x.pi, b, B, zero)
            sigma, per_sigma = entries(x.sigmas, b, B, zero)
            flag, per_flag = entries(x.flags, b, B, no_flag)
            gamma, per_gamma = rates_of(x.gammas, b, B, T)
            lambda_, per_lambda = rates_of(x.lambdas, b, B, T)
            o, y = np.uint64(b * T), Y[b]
            v_next = x.last[b] if last == T else nexts[(top + np.uint64(1)) * per_next]
            q_next = v_next if last == T else q[(top + np.uint64(1)) * per_q]
            for i in range(np.uint64(last - first)):
                t = top - i
                a, c, out_a, out_c, second_a, second_c = transition(
                    family, flag[t * per_flag], reward[t], v[t * per_v], v_next, v_cut[t * per_cut], q_next,
                    gamma[t * per_gamma], lambda_[t * per_lambda], rho[t * per_rho], pi[t * per_pi],
                    sigma[t * per_sigma], bars,
                )  # fmt: skip
                x.out[o + t] = out_a + weighed(out_c, y)
                if x.second.size:
                    x.second[o + t] = second_a + weighed(second_c, y)
                y = a + weighed(c, y)
                v_next, q_next = nexts[t * per_next], q[t * per_q]
            Y[b] = y

    return kernel(series)


@kernel
def windows(family, T, h, x, row, scratch, bars, first, last, begin, end):
    """G_{t:t+h} of t from first to last, trajectories begin to end: two pieces that meet at a multiple of h.

    first  a multiple of h, and so is last, or it is T.  row  (last - first + h,), scratch (h,).
    See csrc/returns_loops.h.
    """
    B = x.begin.size
    for b in range(begin, end):
        fill_span(family, T, B, b, first, min(last + h, T), x, row, bars)
        for low in range((last - 1) // h * h, first - 1, -h):
            mid = min(low + h, T)
            a, c = 0.0, 1.0
            for e in range(mid, min(mid + h, T + 1)):
                G = x.begin[b]
                if e < T:
                    G = np.float64(x.ends[b * (x.ends.size // B) + e]) if x.ends.size else 0.0
                scratch[e - mid] = a + weighed(c, G)
                if e < T:
                    a, c = a + weighed(c, row.a[e - first]), weighed(c, row.c[e - first])
            a, c = 0.0, 1.0
            for t in range(mid - 1, low - 1, -1):
                i = t - first
                put(x, row, i, b * T + t, a + weighed(c, scratch[min(t + h, T) - mid]))
                a, c = row.a[i] + weighed(row.c[i], a), weighed(row.c[i], c)


# ---- from a problem to the kernels ----


def _flat(array, dtype, turned):
    if array is None:
        return np.empty(0, dtype)
    if turned and array.ndim == 2:
        array = array.T
    array = np.ascontiguousarray(array, dtype).reshape(-1)
    return array if array.flags.writeable else array.copy()  # or it compiles once more


def _is_plain_gae(p):
    one = p.gammas is None and p.lambdas is None and p.gamma != 0.0 and p.lambda_ != 0.0
    return p.family == "gae" and one and (p.flags is None or p.terminations_only)


def _gae_rows(T, B, rewards, values, last, flags, gamma, lambda_, out, second):
    per_flag = int(flags.size > 0)
    given = (
        T, rewards, values, last, flags if per_flag else np.zeros(min(B, SPAN), np.uint8), per_flag, gamma,
        gamma * lambda_, np.zeros(B), out.reshape(-1), second.reshape(-1),
    )  # fmt: skip
    _in_pieces(gae_rows, given, T, B)


def run_simple(family, T, B, gamma, lambda_, rewards, values, terminated, out, second):
    """GAE of dense, writeable arrays (T, B), values (T + 1, B), of one type; terminated may be None.

    False where `run` has to do it.
    """
    if family != "gae" or gamma == 0.0 or lambda_ == 0.0:
        return False
    v = values.reshape(-1)
    flags = np.empty(0, np.uint8) if terminated is None else terminated.view(np.uint8).reshape(-1)
    _gae_rows(T, B, rewards.reshape(-1), v, v[T * B :], flags, gamma, lambda_, out, second)
    return True


def _in_pieces(kernel, given, total, entries):
    """kernel(*given, begin, end) over all of them, of so many entries each."""
    if total * entries <= _FIRST:
        kernel(*given, 0, total)
    else:
        in_pieces(total, max(_FIRST // entries, 1), lambda begin, end: kernel(*given, begin, end))


@cache
def _nothing(dtype):
    """What stands for arrays that are not given, read over and over."""
    return np.zeros(1, dtype), np.zeros(1, np.uint8)


def _series(family, T, B, x, dtype, bars):
    given = (T, x, *_nothing(dtype), x.begin, bars)
    if T <= _FIRST:
        _in_pieces(series_of(family), (*given, 0, T), B, T)
        return
    for b in range(B):
        in_pieces(T, _FIRST, partial(_part_of_one, series_of(family), given, b))


def _part_of_one(series, given, b, begin, end):
    T = given[0]
    series(*given, T - end, T - begin, b, b + 1)


def _windows(family, T, B, h, x, dtype, bars):
    n = T if T <= _FIRST else max(_PART // h, 1) * h  # transitions at once
    given = (family, T, h, x, _row(min(T, n + h), dtype), np.empty(h), bars)
    if n == T:
        _in_pieces(windows, (*given, 0, T), B, T)
        return

    def piece(begin, end, b):
        for low in range(begin * n, min(end * n, T), n):
            windows(*given, low, min(low + n, T), b, b + 1)

    for b in range(B):
        in_pieces(-(-T // n), max(_FIRST // n, 1), partial(piece, b=b))


def run(p):
    """See backends.numpy.returns."""
    T, B, dtype, family = p.T, p.B, p.out.dtype, _FAMILIES[p.family]
    ahead = p.horizon and p.horizon < T
    if _is_plain_gae(p) and not p.batch_major and not ahead:
        arrays = (_flat(each, dtype, False) for each in (p.rewards, p.values, p.last))
        _gae_rows(T, B, *arrays, _flat(p.flags, np.uint8, False), p.gamma, p.lambda_, p.out, p.second)
        return
    turned = bool(ahead) and not p.batch_major  # windows are of trajectories that lie in one piece
    outs = [each for each in (p.out, p.second) if each is not None]
    flat_outs = [
        np.empty(B * T, dtype) if turned or not each.flags.forc else each.reshape(-1) for each in outs
    ]
    begins = family in (LAMBDA, OFF_POLICY, SUM, UPGO)
    arrays = (
        p.rewards, p.values, p.nexts, p.next_values, p.q,
        p.pi if p.family == "tree_backup" else p.rhos, p.pi, p.sigmas,
    )  # fmt: skip
    rates = [
        np.array([number]) if array is None else _flat(array, np.float64, turned)
        for number, array in ((p.gamma, p.gammas), (p.lambda_, p.lambdas))
    ]
    x = Arrays(
        *(_flat(each, dtype, turned) for each in arrays), _flat(p.flags, np.uint8, turned), *rates,
        _flat(p.last, dtype, False), _flat(p.ends, dtype, turned),
        p.last.astype(np.float64) if begins else np.zeros(B),
        flat_outs[0], flat_outs[1] if len(outs) > 1 else np.empty(0, dtype),
    )  # fmt: skip
    bars = (p.rho_bar, p.c_bar, p.rho_bar if p.pg_rho_bar is None else p.pg_rho_bar)
    if ahead:
        _windows(family, T, B, p.horizon, x, dtype, bars)
    elif p.batch_major:
        _series(family, T, B, x, dtype, bars)
    else:
        _in_pieces(rows, (family, T, x, _row(B, dtype), x.begin, bars), T, B)
    for each, flat in zip(outs, flat_outs, strict=True):
        if turned:
            each[...] = flat.reshape(B, T).T
        elif not each.flags.forc:  # turned back in time
            each[...] = flat.reshape(T, B)
