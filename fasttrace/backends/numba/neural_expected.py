"""Expected traces in Numba; the twin of csrc/neural_expected.h.  See backends.numpy.neural_expected."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import kernel, part, verb
from .network import Net, forward_kernel, gradients_kernel, net_of
from .neural_forward import copy, finite
from .stream import borrowed

Array = NDArray[Any]

ALPHA, ALPHA_Z, ETA, DECAY = range(4)


class Expected(NamedTuple):
    """ft_expected as arrays."""

    net: Net
    numbers: NDArray[np.float64]
    z: Array
    y: Array
    Theta: Array  # (k, k)
    one: Array  # (1, 1), of 1
    v: Array  # (1, 1)
    grad: Array  # (n,)
    error: Array  # (k,)
    params: Array  # what a step makes of them: (n,), (n - k,), (k,), (k, k)
    z_made: Array
    y_made: Array
    Theta_made: Array


@verb
def expect(Theta, phi, y):
    """y <- Theta phi, in the order of ft_expect."""
    k = phi.size
    whole = k // 8 * 8
    for i in range(k):
        row = Theta[i]
        zero = phi.dtype.type(0)
        p0, p1, p2, p3, p4, p5, p6, p7 = zero, zero, zero, zero, zero, zero, zero, zero
        for j in range(0, whole, 8):
            p0 += row[j] * phi[j]
            p1 += row[j + 1] * phi[j + 1]
            p2 += row[j + 2] * phi[j + 2]
            p3 += row[j + 3] * phi[j + 3]
            p4 += row[j + 4] * phi[j + 4]
            p5 += row[j + 5] * phi[j + 5]
            p6 += row[j + 6] * phi[j + 6]
            p7 += row[j + 7] * phi[j + 7]
        total = ((p0 + p4) + (p2 + p6)) + ((p1 + p5) + (p3 + p7))
        for j in range(whole, k):
            total += row[j] * phi[j]
        y[i] = total


@part
def step(learner, states, t, reward, gamma, deltas):
    """See ft_expected_step."""
    k, n = learner.y.size, learner.params.size
    body = n - k
    real, grad, y, error, numbers = (
        learner.y.dtype.type,
        learner.grad,
        learner.y_made,
        learner.error,
        learner.numbers,
    )
    phi, params = grad[body:], learner.net.params
    D, delta = real(numbers[DECAY]), reward
    if gamma != 0.0:
        forward_kernel(learner.net, states[t + 1 : t + 2], learner.v)
        delta += gamma * np.float64(learner.v[0, 0])
    gradients_kernel(learner.net, states[t], learner.one, learner.v[0], learner.grad)
    delta -= np.float64(learner.v[0, 0])
    squares = 0.0
    for i in range(k):
        squares += np.float64(phi[i]) * np.float64(phi[i])
    rate, eta = real(numbers[ALPHA_Z] / squares), real(numbers[ETA])
    expect(learner.Theta, phi, error)
    for i in range(k):
        y[i] = (D * learner.y[i] if D != 0 else D) + phi[i]
        error[i] = rate * (y[i] - error[i])
    for i in range(k):
        for j in range(np.uint64(k)):
            learner.Theta_made[i, j] = learner.Theta[i, j] + error[i] * phi[j]
    expect(learner.Theta_made, phi, error)
    for i in range(k):
        y[i] = (real(1) - eta) * error[i] + eta * y[i]
    move = real(numbers[ALPHA] * delta)
    for i in range(np.uint64(body)):
        trace = (D * learner.z[i] if D != 0 else D) + grad[i]
        learner.z_made[i] = trace
        learner.params[i] = params[i] + move * trace
    for i in range(k):
        learner.params[body + i] = params[body + i] + move * y[i]
    good = np.isfinite(delta) and finite(learner.params) and finite(learner.z_made) and finite(y)
    for i in range(k):
        good = good and finite(learner.Theta_made[i])
    if not good:
        return False
    copy(params, learner.params)
    copy(learner.z, learner.z_made)
    copy(learner.y, y)
    for i in range(k):
        copy(learner.Theta[i], learner.Theta_made[i])
    deltas[t] = delta
    return True


@kernel
def run(learner, states, rewards, gammas, lambdas, deltas):
    if not finite(learner.net.params):
        return 0
    for t in range(rewards.size):
        if not step(learner, states, t, rewards[t], gammas[t], deltas):
            return t
        learner.numbers[DECAY] = gammas[t] * lambdas[t]
    return rewards.size


def _arrays(learner: Any) -> Expected:
    """The arrays of a learner, made once, and never saved; the numbers as they are."""
    if learner.handle is None:
        net, k = learner.net, learner.k
        n, dtype = net.n_params, net.dtype
        learner.handle = Expected(
            net_of(net), np.zeros(4), learner.z, learner.y, learner.Theta, np.ones((1, 1), dtype),
            np.zeros((1, 1), dtype), np.zeros(n, dtype), np.zeros(k, dtype), np.zeros(n, dtype),
            np.zeros(n - k, dtype), np.zeros(k, dtype), np.zeros((k, k), dtype),
        )  # fmt: skip
    learner.handle.numbers[:] = learner.alpha, learner.alpha_z, learner.eta, learner.decay
    return learner.handle


def expected_run(learner: Any, states: Any, rewards: Any, gammas: Any, lambdas: Any, deltas: Any) -> int:
    """See backends.numpy.neural_expected.expected_run."""
    arrays = _arrays(learner)
    done = run(arrays, states, borrowed(rewards), borrowed(gammas), borrowed(lambdas), deltas)
    learner.decay = float(arrays.numbers[DECAY])
    return done
