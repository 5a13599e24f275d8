"""The trace of a Jacobian in Numba; see backends.numpy.neural."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import kernel
from .network import add, four_jacobians, one_jacobian, only_jacobian, whole_of
from .vectors import BYTES

BLOCK = 2048


@kernel
def _largest_bits(bits, largest):
    best = largest & 0
    for i in range(len(bits)):
        size = bits[i] & largest
        best = size if size > best else best
    return best


def _largest(x: Any) -> float:
    """Largest |x|; infinite where one is not finite.  By the bits, which are in the order of the sizes."""
    kind = np.dtype(f"i{x.itemsize}")
    best = _largest_bits(x.view(kind), kind.type(np.iinfo(kind).max))
    found = float(np.array(best, kind).view(x.dtype))
    return math.inf if math.isnan(found) else found


@kernel
def _jacobian_fits(m, n, Z, J, w, decay, step):
    top = Z.dtype.type(np.inf)
    for i in range(n):
        moved = w[i] if len(w) else Z[0] * 0
        for r in range(m):
            z = decay[r] * Z[r * n + i] + J[r * n + i] if len(J) else Z[r * n + i]
            if not abs(z) < top:
                return False
            if len(w):
                moved = moved + step[r] * z
        if not abs(moved) < top:
            return False
    return True


@kernel
def _jacobian_run(m, n, Z, J, w, D, c):
    block = BLOCK if m > 4 else n  # what one group of rows reads, nobody reads again
    for start in range(0, n, block):
        size = min(n - start, block)
        whole = whole_of(size, Z)
        rest, r = size - size % (BYTES // Z.itemsize), 0
        while len(J) and len(w) and r + 4 <= m:
            z = r * n + start
            memory = (w, Z, Z, Z, Z, J, J, J, J)
            at = (start, z, z + n, z + 2 * n, z + 3 * n, z, z + n, z + 2 * n, z + 3 * n)
            D4, c4 = (D[r], D[r + 1], D[r + 2], D[r + 3]), (c[r], c[r + 1], c[r + 2], c[r + 3])
            four_jacobians(memory, whole, at, D4 + c4)
            for k in range(rest, size):
                moved = w[start + k]
                for q in range(4):
                    place = z + q * n + k
                    Z[place] = D[r + q] * Z[place] + J[place]
                    moved = moved + c[r + q] * Z[place]
                w[start + k] = moved
            r += 4
        while r < m:
            z = r * n + start
            if not len(J):
                add(size, w, start, c[r], Z, z)
            elif len(w):
                one_jacobian((w, Z, J), whole, (start, z, z), (D[r], c[r]))
                for k in range(rest, size):
                    Z[z + k] = D[r] * Z[z + k] + J[z + k]
                    w[start + k] = w[start + k] + c[r] * Z[z + k]
            else:
                only_jacobian((Z, J), whole, (z, z), (D[r],))
                for k in range(rest, size):
                    Z[z + k] = D[r] * Z[z + k] + J[z + k]
            r += 1


def jacobian_step(trace: Any, jacobian: Any, params: Any, decay: Any, step: Any) -> bool:
    (m, n), Z = trace.Z.shape, trace.memory
    none = np.empty(0, Z.dtype)
    J, w = (none if each is None else each.reshape(-1) for each in (jacobian, params))
    D, c = (none if each is None else each for each in (decay, step))
    top = float(np.finfo(Z.dtype).max)
    fresh = np.zeros(m) if jacobian is None else np.array([_largest(each) for each in J.reshape(m, n)])
    moved = 0.0 if params is None else _largest(w)
    if not (moved <= top and (fresh <= top).all()):
        return False
    bounds = trace.largest[:m].copy()
    with np.errstate(all="ignore"):
        if jacobian is not None:
            bounds = D.astype(float) * bounds + fresh
        if params is not None:
            moved += float(np.abs(c).astype(float) @ bounds)
    if not (moved <= top and (bounds <= top).all()):
        if not _jacobian_fits(m, n, Z, J, w, D, c):
            return False
        bounds = np.array([_largest(each) for each in Z.reshape(m, n)])
        if jacobian is not None:
            bounds = D.astype(float) * bounds + fresh
    _jacobian_run(m, n, Z, J, w, D, c)
    trace.largest[:m] = bounds
    return True
