"""Streams of dense features: every row changes on every step, so the trace is kept as it is.

Sums run in four lanes, as in C (csrc/linear.c).
"""

import functools

import numpy as np

from . import kernel, trace, verb
from .stream import row_at
from .trace import FLAT, SNAP, N
from .transition import Carry, Numbers, carry_of, carry_store, emphasis, follow, is_emphatic, recipe_of

_0 = np.uint64(0)
_1 = np.uint64(1)
_2 = np.uint64(2)
_3 = np.uint64(3)
_4 = np.uint64(4)


@verb
def lane(t, values, x, y, i, s):
    """One lane of (w.x, trace.x, w.y, trace.y), moved on by row i."""
    row = trace.begin(t, i, _1)
    b, z = t.rows[row], t.rows[row + _1]
    x_i, y_i = values[x + i], values[y + i]
    return s[0] + x_i * b, s[1] + x_i * z, s[2] + y_i * b, s[3] + y_i * z


@verb
def total(s0, s1, s2, s3, which):
    return (s0[which] + s1[which]) + (s2[which] + s3[which])


@verb
def dense_read(t, values, x, y, n):
    """w.x, trace.x and w.y for rows of width 1 that are flat; x and y begin there in values."""
    s0 = s1 = s2 = s3 = (0.0, 0.0, 0.0, 0.0)
    whole = n - n % _4
    for i in range(_0, whole, _4):
        s0 = lane(t, values, x, y, i, s0)
        s1 = lane(t, values, x, y, i + _1, s1)
        s2 = lane(t, values, x, y, i + _2, s2)
        s3 = lane(t, values, x, y, i + _3, s3)
    if whole < n:
        s0 = lane(t, values, x, y, whole, s0)
    if whole + _1 < n:
        s1 = lane(t, values, x, y, whole + _1, s1)
    if whole + _2 < n:
        s2 = lane(t, values, x, y, whole + _2, s2)
    return total(s0, s1, s2, s3, 0), total(s0, s1, s2, s3, 1), total(s0, s1, s2, s3, 2)


@verb
def dense_write(t, values, x, n, decay, c, a, beta):
    """trace <- decay trace + c x; w <- w + beta x + a trace."""
    for i in range(n):
        row = trace.begin(t, i, _1)
        b, z = t.rows[row] + values[x + i] * beta, t.rows[row + _1] * decay + values[x + i] * c
        t.rows[row] = b + z * a
        t.rows[row + _1] = z + z * 0.0  # as in C: what is infinite becomes NaN


@verb
def dense_snap(t, decay):
    """Clear what would become subnormal, now and then; see ft_dense_snap."""
    t.scalars[SNAP] *= decay
    if t.scalars[SNAP] >= trace.CUT:
        return
    t.scalars[SNAP] = 1.0
    for i in range(np.uint64(t.counters[N])):
        z = trace.begin(t, i, _1) + _1
        if abs(t.rows[z]) < 1e-200:
            t.rows[z] = 0.0


@functools.cache
def dense_run_kernel(kind):
    """run_kernel for shared indices 0 to n - 1 and rows of width 1."""

    @kernel
    def td_run(t, s, deltas):
        n = np.uint64(t.counters[N])
        values, control = s.rows.values, s.actions.size > 0
        per_gamma, per_lambda = np.uint64(s.gammas.size > 1), np.uint64(s.lambdas.size > 1)
        per_rho, per_alpha = np.uint64(s.rhos.size > 1), np.uint64(s.alphas.size > 1)
        per_interest, per_pi = np.uint64(s.interests.size > 1), np.uint64(s.pis.size > 1)
        rho_bar = s.options.rho_bar
        c = carry_of(t)
        trace.flatten(t)
        for i in range(np.uint64(s.steps)):
            x = n * row_at(s, i, control)
            gamma_next, rho, alpha = s.gammas[i * per_gamma], s.rhos[i * per_rho], s.alphas[i * per_alpha]
            lambda_next = s.lambdas[i * per_lambda]
            M = 1.0
            if is_emphatic(kind):
                c, M = emphasis(c, s.interests[i * per_interest])
            D, _, _, _ = recipe_of(kind, c.decay, rho, rho, M, alpha, 0.0, 0.0, 0.0, 0.0, rho_bar)
            if D == 0.0:  # assign: 0 times infinity is not 0
                for j in range(n):
                    t.rows[trace.begin(t, j, _1) + _1] = 0.0
            v, zx, v_next = dense_read(t, values, x, n * row_at(s, i + _1, control), n)
            delta = s.rewards[i] + (0.0 if gamma_next == 0.0 else gamma_next * v_next) - v
            v_old = v if D == 0.0 or c.v_old != c.v_old else c.v_old
            _, added, beta, a = recipe_of(
                kind, c.decay, rho, rho, M, alpha, zx * D, v, v_old, delta, rho_bar
            )  # fmt: skip
            dense_write(t, values, x, n, D, added, a, beta)
            dense_snap(t, D)
            c = Carry(c.decay, v_next, c.followon, c.lambda_, c.cap, c.sums, c.v)
            n_t = Numbers(delta, gamma_next, lambda_next, rho, rho, s.pis[i * per_pi], 1.0, alpha, s.options)
            c = follow(c, n_t, kind)
            deltas[i] = delta
        h = trace.load(t)
        carry_store(t, h, c, s.alphas[np.uint64(s.steps - 1) * per_alpha])
        t.counters[FLAT] = 1

    return td_run
