"""Gradient traces in Numba; the twin of csrc/neural_gradient.h.  See backends.numpy.neural_gradient."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import kernel, part, verb
from .network import Net, forward_kernel, gradients_kernel, net_of
from .neural import prepare_kernel
from .neural_forward import copy, finite
from .stream import borrowed

Array = NDArray[Any]

ALPHA, ALPHA_H, BETA, DECAY, Z_H = range(5)  # of numbers
CUT, GREEDY = range(2)  # of flags


class Qrc(NamedTuple):
    """ft_qrc as arrays."""

    q: Net
    h: Net
    numbers: NDArray[np.float64]
    flags: NDArray[np.int64]
    z_w: Array
    z_theta: Array
    y: Array  # (1, A) outputs
    chosen: Array  # (1, A), of zeros
    grads: Array  # (3, n): of q(S, A), of the greatest q(S', .), of h
    next: Array  # (4, n): w, theta, z_w, z_theta after the step


@verb
def greatest(q):
    best = 0
    for a in range(1, q.size):
        if q[a] > q[best]:
            best = a
    return best


@verb
def one_gradient(net, s, output, chosen, y, grad):
    chosen[0, output] = 1
    gradients_kernel(net, s, chosen, y, grad)
    chosen[0, output] = 0


@verb
def move_values(w, z, grad, grad_next, rho, D, step, c, c_next, w_new, z_new):
    """See ft_qrc_values."""
    for i in range(np.uint64(w.size)):
        trace = rho * ((D * z[i] if D != 0 else D) + grad[i])
        z_new[i] = trace
        w_new[i] = w[i] + (step * trace + (c * grad[i] + c_next * grad_next[i]))


@verb
def move_correction(theta, z, grad, rho, D, step, c, shrink, theta_new, z_new):
    """See ft_qrc_correction."""
    for i in range(np.uint64(theta.size)):
        trace = rho * ((D * z[i] if D != 0 else D) + grad[i])
        z_new[i] = trace
        theta_new[i] = theta[i] + ((step * trace + c * grad[i]) - shrink * theta[i])


@part
def step(learner, states, t, action, action_next, reward, gamma, rho, deltas):
    """See ft_qrc_step."""
    real, y, made = learner.next.dtype.type, learner.y[0], learner.next
    grad, grad_next, grad_h = learner.grads[0], learner.grads[1], learner.grads[2]
    n, delta, greedy = learner.numbers, reward, True
    if gamma != 0.0:
        forward_kernel(learner.q, states[t + 1 : t + 2], learner.y)
        best = greatest(y)
        one_gradient(learner.q, states[t + 1], best, learner.chosen, y, learner.grads[1])
        delta += gamma * np.float64(y[best])
        greedy = y[action_next] >= y[best]
    else:
        for i in range(grad_next.size):
            grad_next[i] = 0
    one_gradient(learner.q, states[t], action, learner.chosen, y, learner.grads[0])
    delta -= np.float64(y[action])
    one_gradient(learner.h, states[t], action, learner.chosen, y, learner.grads[2])
    h = np.float64(y[action])
    z_h = rho * ((n[DECAY] * n[Z_H] if n[DECAY] != 0.0 else 0.0) + h)
    move_values(
        learner.q.params, learner.z_w, grad, grad_next, real(rho), real(n[DECAY]), real(n[ALPHA] * delta),
        real(n[ALPHA] * (z_h - rho * h)), real(-n[ALPHA] * (z_h * gamma)), made[0], made[2],
    )  # fmt: skip
    move_correction(
        learner.h.params, learner.z_theta, grad_h, real(rho), real(n[DECAY]), real(n[ALPHA_H] * delta),
        real(-n[ALPHA_H] * h), real(n[ALPHA_H] * n[BETA]), made[1], made[3],
    )  # fmt: skip
    good = np.isfinite(delta) and np.isfinite(z_h)
    for i in range(4):
        good = good and finite(made[i])
    if not good:
        return False
    copy(learner.q.params, made[0])
    copy(learner.h.params, made[1])
    copy(learner.z_w, made[2])
    copy(learner.z_theta, made[3])
    n[Z_H] = z_h
    learner.flags[GREEDY] = greedy
    deltas[t] = delta
    return True


@kernel
def run(learner, states, actions, rewards, gammas, lambdas, rhos, deltas):
    if not (finite(learner.q.params) and finite(learner.h.params)):
        return 0
    for t in range(rewards.size):
        action = actions[t] if actions.size else 0
        action_next = actions[t + 1] if actions.size else 0
        rho = rhos[t] if rhos.size else 1.0
        if not step(learner, states, t, action, action_next, rewards[t], gammas[t], rho, deltas):
            return t
        cut = learner.flags[CUT] and not learner.flags[GREEDY]
        learner.numbers[DECAY] = 0.0 if cut else gammas[t] * lambdas[t]
    return rewards.size


def prepare(
    kept: Any, ends: bool, normalise: bool, scale: bool, states: Any, rewards: Any, gammas: Any, inputs: Any,
    scaled: Any,
) -> int:  # fmt: skip
    """See backends.numpy.neural_gradient.prepare."""
    return prepare_kernel(kept.whole, ends, normalise, scale, states, rewards, gammas, inputs, scaled)


_NOBODY, _ONES = np.empty(0, np.int32), np.empty(0)


def _arrays(learner: Any) -> Qrc:
    """The arrays of a learner, made once, and never saved; the numbers as they are."""
    if learner.handle is None:
        n, m, dtype = learner.q.n_params, learner.q.n_outputs, learner.q.dtype
        learner.handle = Qrc(
            net_of(learner.q), net_of(learner.h), np.zeros(5), np.zeros(2, np.int64), learner.z_w,
            learner.z_theta, np.zeros((1, m), dtype), np.zeros((1, m), dtype), np.zeros((3, n), dtype),
            np.zeros((4, n), dtype),
        )  # fmt: skip
    numbers, flags = learner.handle.numbers, learner.handle.flags
    numbers[:] = learner.alpha, learner.alpha_h, learner.beta, learner.decay, learner.z_h
    flags[:] = learner.cut, learner.greedy
    return learner.handle


def qrc_run(
    learner: Any, states: Any, actions: Any, rewards: Any, gammas: Any, lambdas: Any, deltas: Any
) -> int:
    """See backends.numpy.neural_gradient.qrc_run."""
    arrays = _arrays(learner)
    taken, rhos = _NOBODY if actions is None else actions, _ONES if learner.rhos is None else learner.rhos
    done = run(
        arrays, states, taken, borrowed(rewards), borrowed(gammas), borrowed(lambdas), borrowed(rhos), deltas
    )
    learner.decay, learner.z_h = float(arrays.numbers[DECAY]), float(arrays.numbers[Z_H])
    learner.greedy = bool(arrays.flags[GREEDY])
    return done
