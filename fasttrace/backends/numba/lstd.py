"""LSTD(lambda) compiled; the twin of csrc/lstd.c.  backends.numpy.lstd says what is computed."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import features
from . import kernel, verb
from .stream import Rows, borrowed, rows_of

CUT = 1e-200  # as FT_LSTD_CUT
SINGULAR = 1e-8  # as FT_LSTD_SINGULAR
_ONE, _NONE = np.ones(1), np.empty((0, 0))
_1 = np.uint64(1)

# Places in Sums.counters, as the fields of ft_lstd.
N, ACTIVE, SINCE, REFRESH, STALE = range(5)


class Sums(NamedTuple):
    """ft_lstd as arrays; inverse and u are empty where there is none."""

    counters: NDArray[np.int64]
    decay: NDArray[np.float64]  # (1,)
    A: NDArray[np.float64]  # (n, n), row i is column i of A
    b: NDArray[np.float64]
    z: NDArray[np.float64]
    inverse: NDArray[np.float64]
    u: NDArray[np.float64]
    work: NDArray[np.float64]
    list: NDArray[np.int32]
    listed: NDArray[np.uint8]


class Stream(NamedTuple):
    """What ft_lstd_run takes of an ft_stream; arrays of length 1 stand for equal entries."""

    steps: int
    rows: Rows
    rewards: NDArray[np.float64]
    gammas: NDArray[np.float64]
    lambdas: NDArray[np.float64]
    rhos: NDArray[np.float64]


@verb
def span(rows, r):
    """Where row r begins and ends in the indices, and its values beyond them."""
    if rows.indptr.size:
        return np.uint64(rows.indptr[r]), np.uint64(rows.indptr[r + _1]), np.uint64(0)
    k = np.uint64(rows.k)
    if rows.shared:
        return np.uint64(0), k, r * k
    return r * k, r * k + k, np.uint64(0)


@verb
def value(rows, j, beyond):
    return rows.values[beyond + j] if rows.values.size else 1.0


@verb
def add(y, y_at, x, c, n):
    """y <- y + c x, rows of n."""
    for i in range(np.uint64(n)):
        y[y_at, i] += c * x[i]


@verb
def decay_trace(s, D, inverse):
    """z <- D z, over what is not 0 in it; what has become too small leaves the list."""
    kept = 0
    for j in range(s.counters[ACTIVE]):
        i = np.uint64(s.list[j])
        z = 0.0 if D == 0.0 else s.z[i] * D
        dropped = abs(z) < CUT
        s.z[i] = 0.0 if dropped else z
        s.listed[i] = 0 if dropped else 1
        s.list[kept] = i
        kept += not dropped
    s.counters[ACTIVE] = kept
    if inverse:
        for i in range(s.u.size):
            s.u[i] = 0.0 if D == 0.0 else s.u[i] * D


@verb
def visit(s, rows, r, rho, inverse):
    """z <- z + rho x, and u with it; dx <- dx + x."""
    begin, end, beyond = span(rows, r)
    for j in range(begin, end):
        if rows.indices[j] < 0:
            continue
        i = np.uint64(rows.indices[j])
        x = value(rows, j, beyond)
        c = rho * x
        if not s.listed[i]:
            s.listed[i] = 1
            s.list[s.counters[ACTIVE]] = i
            s.counters[ACTIVE] += 1
        s.z[i] += c
        s.work[i] += x
        if inverse:
            for row in range(np.uint64(s.u.size)):
                s.u[row] += c * s.inverse[row, i]


@verb
def spread(s, rows, r, inverse):
    """A <- A + z dx', for the entries of dx that row r names; see ft_lstd_spread."""
    n = s.b.size
    begin, end, _ = span(rows, r)
    total = 0.0
    for j in range(begin, end):
        if rows.indices[j] < 0 or s.work[rows.indices[j]] == 0.0:
            continue
        i = np.uint64(rows.indices[j])
        g = s.work[i]
        s.work[i] = 0.0
        if 4 * s.counters[ACTIVE] < n:
            for m in range(s.counters[ACTIVE]):
                s.A[i, s.list[m]] += g * s.z[s.list[m]]
        else:
            add(s.A, i, s.z, g, n)
        if inverse:
            for m in range(np.uint64(n)):
                s.work[np.uint64(n) + m] += g * s.inverse[i, m]
            total += g * s.u[i]
    return total


@verb
def invert(s, determinant):
    """inverse <- inverse - u e' / (1 + dx.u), u <- u / (1 + dx.u): Sherman and Morrison."""
    n = s.b.size
    if not abs(determinant) >= SINGULAR or np.isinf(determinant):
        s.counters[STALE] = 1
        return
    e = s.work[n:]
    for i in range(np.uint64(n)):
        s.u[i] /= determinant
        if s.u[i] != 0.0:
            add(s.inverse, i, e, -s.u[i], n)
    s.counters[SINCE] += 1
    if s.counters[SINCE] >= s.counters[REFRESH]:
        s.counters[STALE] = 1


@verb
def step(s, rows, t, reward, gamma_next, lambda_next, rho, inverse):
    n = s.b.size
    r, r_next = np.uint64(t), np.uint64(t) + _1
    decay_trace(s, rho * s.decay[0], inverse)
    visit(s, rows, r, rho, inverse)
    if gamma_next != 0.0:
        begin, end, beyond = span(rows, r_next)
        for j in range(begin, end):
            if rows.indices[j] >= 0:
                s.work[rows.indices[j]] -= gamma_next * value(rows, j, beyond)
    if inverse:
        s.work[n:] = 0.0
    determinant = 1.0 + spread(s, rows, r, inverse)
    determinant += spread(s, rows, r_next, inverse) if gamma_next != 0.0 else 0.0
    for j in range(s.counters[ACTIVE]):
        s.b[s.list[j]] += reward * s.z[s.list[j]]
    if inverse and s.counters[STALE] == 0:
        invert(s, determinant)
    s.decay[0] = gamma_next * lambda_next


@kernel
def run(s, stream, start):
    inverse = s.u.size > 0
    per_gamma, per_lambda, per_rho = stream.gammas.size > 1, stream.lambdas.size > 1, stream.rhos.size > 1
    t = start
    while t < stream.steps:
        step(
            s, stream.rows, t, stream.rewards[t], stream.gammas[t * per_gamma],
            stream.lambdas[t * per_lambda], stream.rhos[t * per_rho], inverse,
        )  # fmt: skip
        t += 1
        if inverse and s.counters[STALE] == 1:
            break
    return t


def lstd_run(sums: Any, stream: features.Stream, start: int) -> int:
    """See backends.numpy.lstd.lstd_run."""
    if start == 0 and not stream.rows.checked:
        features.raise_bad_index(stream.indices, sums.n, shape=stream.rows.shape)
    none = _NONE if sums.inverse is None else sums.inverse
    s = Sums(
        sums.counters, sums.scalars, sums.A, sums.b, sums.z, none, sums.u, sums.work, sums.list, sums.listed
    )  # fmt: skip
    arrays = (stream.rewards, stream.gammas, stream.lambdas, _ONE if stream.rhos is None else stream.rhos)
    return run(s, Stream(stream.steps, rows_of(stream.rows), *(borrowed(a) for a in arrays)), start)
