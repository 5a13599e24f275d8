"""LSTD(lambda) as its papers print it: dense A and b, and the inverse of A by Sherman and Morrison.

The run takes the sums (fasttrace.lstd.LeastSquares) through a stream (fasttrace.features.Stream).
"""

import numpy as np

from .linear import accumulate, at

SINGULAR = 1e-8  # a determinant that one step makes so much smaller costs the inverse half its digits
_ON_POLICY = np.ones(1)


def lstd_step(A, b, z, x, x_next, reward, gamma_next, decay, rho=1.0):
    """Add one transition to the sums of LSTD(lambda), in place.

        z <- rho (decay z + x)
        A <- A + z (x - gamma_next x_next)'
        b <- b + reward z

    A, b, z     (n, n), (n,), (n,); all change.  The weights solve A w = b.
    x, x_next   (n,) features of S_t and S_{t+1}; x_next is not looked at where gamma_next is 0.
    decay       gamma_t lambda_t, of the state that x describes; without rho.
    Returns x - gamma_next x_next.

    Source: Bradtke & Barto 1996; Boyan 2002; Sutton & Barto 2018, section 9.8, with z of (12.25).
    """
    dx = x if gamma_next == 0 else x - gamma_next * x_next
    accumulate(z, x, decay, rho)
    A += np.outer(z, dx)
    b += reward * z
    return dx


def inverse_step(inverse, z, dx):
    """The inverse of A + z dx' from that of A, in place: Sherman & Morrison 1950.

    Returns whether it can be had so; where A + z dx' is nearly singular nothing is changed.
    """
    u = inverse @ z
    determinant = 1.0 + dx @ u
    if not abs(determinant) >= SINGULAR or np.isinf(determinant):
        return False
    inverse -= np.outer(u, dx @ inverse) / determinant
    return True


@np.errstate(all="ignore")
def lstd_run(sums, stream, start):
    """Go on from transition `start`; returns the number of the next one, `stream.steps` at the end.

    Stops after a step whose inverse has to be computed anew, with sums.stale = 1.
    """
    rhos = _ON_POLICY if stream.rhos is None else stream.rhos
    t = start
    while t < stream.steps:
        gamma_next = at(stream.gammas, t)
        x, x_next = stream.dense(t), stream.dense(t + 1)
        dx = lstd_step(
            sums.matrix, sums.b, sums.z, x, x_next, stream.rewards[t], gamma_next, sums.decay, at(rhos, t)
        )
        sums.decay = gamma_next * at(stream.lambdas, t)
        t += 1
        if sums.inverse is not None:
            if sums.stale == 0:
                regular = inverse_step(sums.inverse, sums.z, dx)
                sums.since += regular
                sums.stale = int(not regular or sums.since >= sums.refresh)
            if sums.stale == 1:
                break
    if sums.inverse is not None:
        sums.u[:] = sums.inverse @ sums.z
    return t
