"""What a user would write instead, in Numba: the eager trace list, TD(0), a mountain car loop.

The list holds the features whose trace is at least `CUTOFF`; a step passes over it once, updating each
weight and decaying each trace, and drops what has become small (the last one takes its place).  A weight
stands beside its trace, `pairs[2 i]` and `pairs[2 i + 1]`, so that the pass meets one line of cache a
feature: faster here than two arrays, and than traces in the order of the list.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

CUTOFF = 1e-8

# uint64 indices spare the loops the question whether an index is negative.
_u = np.uint64
_jit = numba.njit(cache=True, nogil=True, error_model="numpy")


class EagerList(NamedTuple):
    """Weights, traces and the list of n features.

    pairs   (2 n,) of w, z       listed  (n,) 1 where the list holds the feature
    list    (n,) the features    length  (1,) how many of them count
    """

    pairs: NDArray[np.float64]
    listed: NDArray[np.uint8]
    list: NDArray[np.int32]
    length: NDArray[np.int64]

    @property
    def weights(self) -> NDArray[np.float64]:
        return self.pairs[::2]


def eager_list(n: int) -> EagerList:
    return EagerList(np.zeros(2 * n), np.zeros(n, np.uint8), np.zeros(n, np.int32), np.zeros(1, np.int64))


def clear(state: EagerList) -> None:
    """Weights and traces are 0 again, and their memory has been written to."""
    for array in state:
        array.fill(0)


@_jit
def _pass_over(pairs, listed, active, length, a, decay, cutoff):
    """w <- w + a z and z <- decay z over the list; returns how many it holds then."""
    one, two = _u(1), _u(2)
    j = _u(0)
    while j < length:
        i = _u(active[j])
        z = pairs[two * i + one]
        pairs[two * i] += a * z
        z *= decay
        if abs(z) < cutoff:
            pairs[two * i + one] = 0.0
            listed[i] = 0
            length -= one
            active[j] = active[length]
        else:
            pairs[two * i + one] = z
            j += one
    return length


@_jit
def eager_td(state, replacing, x, rewards, gamma, lambda_, alpha, cutoff, deltas):
    """TD(lambda) over a stream, accumulating or replacing traces.

    x (T + 1, k) int32, rewards (T,), deltas (T,) written.  Returns the mean length of the list.
    Source: Sutton & Barto 2018, section 12.2 and (12.12).
    """
    pairs, listed, active = state.pairs, state.listed, state.list
    one, two = _u(1), _u(2)
    length = _u(state.length[0])
    k = _u(x.shape[1])
    total = 0
    for t in range(_u(len(rewards))):
        v, v_next = 0.0, 0.0
        for j in range(k):
            v += pairs[two * _u(x[t, j])]
        for j in range(k):
            v_next += pairs[two * _u(x[t + one, j])]
        for j in range(k):
            i = _u(x[t, j])
            if not listed[i]:
                listed[i] = 1
                active[length] = i
                length += one
            if replacing:
                pairs[two * i + one] = 1.0
            else:
                pairs[two * i + one] += 1.0
        delta = rewards[t] + gamma * v_next - v
        deltas[t] = delta
        length = _pass_over(pairs, listed, active, length, alpha * delta, gamma * lambda_, cutoff)
        total += length
    state.length[0] = length
    return total / len(rewards)


@_jit
def eager_dutch_td(state, true_online, x, rewards, gamma, lambda_, alpha, cutoff, deltas):
    """True online TD(lambda) over a stream, or TD(lambda) with its dutch trace alone; as eager_td.

    Source: van Seijen et al. 2016, JMLR 17(145); Sutton & Barto 2018, section 12.5, (12.11).
    """
    pairs, listed, active = state.pairs, state.listed, state.list
    one, two = _u(1), _u(2)
    length = _u(state.length[0])
    k = _u(x.shape[1])
    v_old = 0.0
    total = 0
    for t in range(_u(len(rewards))):
        v, zx, v_next = 0.0, 0.0, 0.0
        for j in range(k):
            i = two * _u(x[t, j])
            v += pairs[i]
            zx += pairs[i + one]
        for j in range(k):
            v_next += pairs[two * _u(x[t + one, j])]
        dv = v - v_old if true_online and t else 0.0
        for j in range(k):
            i = _u(x[t, j])
            if not listed[i]:
                listed[i] = 1
                active[length] = i
                length += one
            pairs[two * i] -= alpha * dv
            pairs[two * i + one] += 1.0 - alpha * zx
        delta = rewards[t] + gamma * v_next - v
        deltas[t] = delta
        a = alpha * (delta + dv)
        length = _pass_over(pairs, listed, active, length, a, gamma * lambda_, cutoff)
        v_old = v_next
        total += length
    state.length[0] = length
    return total / len(rewards)


@_jit
def td0(w, x, rewards, gamma, alpha, deltas):
    """TD(0) over a stream: two gathers and a scatter, no trace."""
    k = _u(x.shape[1])
    for t in range(_u(len(rewards))):
        v, v_next = 0.0, 0.0
        for j in range(k):
            v += w[_u(x[t, j])]
        for j in range(k):
            v_next += w[_u(x[t + _u(1), j])]
        delta = rewards[t] + gamma * v_next - v
        deltas[t] = delta
        a = alpha * delta
        for j in range(k):
            w[_u(x[t, j])] += a


# ---- mountain car ----


@_jit
def _mountain_car_tiles(position, velocity, tiles, features):
    """Active tiles of len(features) tilings with tiles + 1 cells a dimension: the package's coder."""
    tilings = len(features)
    s0 = (position + 1.2) * (tiles / 1.8)
    s1 = (velocity + 0.07) * (tiles / 0.14)
    for j in range(tilings):
        c0 = int(s0 + (j % tilings) / tilings)
        c1 = int(s1 + (3 * j % tilings) / tilings)
        features[j] = (j * (tiles + 1) + c0) * (tiles + 1) + c1


@_jit
def _action_values(pairs, features, q):
    q[:] = 0.0
    for j in range(len(features)):
        row = _u(2) * _u(3) * _u(features[j])
        for a in range(_u(3)):
            q[a] += pairs[row + _u(2) * a]


@_jit
def _epsilon_greedy(q, u, epsilon):
    """The action that one uniform number u decides on; ties are broken by what is left of it."""
    if u < epsilon:
        return min(int(u / epsilon * 3), 2)
    best, ties = -math.inf, 0
    for a in range(3):
        if q[a] > best:
            best, ties = q[a], 1
        elif q[a] == best:
            ties += 1
    tie = min(int((u - epsilon) / (1.0 - epsilon) * ties), ties - 1)
    for a in range(3):
        if q[a] == best:
            if tie == 0:
                return a
            tie -= 1
    return 0


@_jit
def eager_mountain_car(state, rng, steps, tilings, tiles, alpha, lambda_, gamma, epsilon, cutoff, lengths):
    """True online Sarsa(lambda) on mountain car for `steps` steps, everything in this loop.

    state    an EagerList of 3 features a tile
    lengths  written: steps of each episode that ended.  Returns how many did.
    Dynamics: Gymnasium's MountainCar-v0, without a time limit.  Source: van Seijen et al. 2016.
    """
    pairs, listed, active = state.pairs, state.listed, state.list
    one, two, three = _u(1), _u(2), _u(3)
    x, x_next = np.empty(tilings, np.int32), np.empty(tilings, np.int32)
    q = np.empty(3)
    length = _u(0)
    episodes = 0
    done = 0
    while done < steps:
        for j in range(length):
            i = _u(active[j])
            pairs[two * i + one] = 0.0
            listed[i] = 0
        length = _u(0)
        position, velocity = -0.6 + (-0.4 - -0.6) * rng.random(), 0.0
        _mountain_car_tiles(position, velocity, tiles, x)
        _action_values(pairs, x, q)
        action = _epsilon_greedy(q, rng.random(), epsilon)
        v_old = q[action]
        began = done
        ended = False
        while not ended and done < steps:
            velocity += (action - 1) * 0.001 + math.cos(3.0 * position) * -0.0025
            velocity = min(max(velocity, -0.07), 0.07)
            position += velocity
            position = min(max(position, -1.2), 0.6)
            if position == -1.2 and velocity < 0.0:
                velocity = 0.0
            ended = position >= 0.5 and velocity >= 0.0
            v, zx, v_next = 0.0, 0.0, 0.0
            for j in range(_u(tilings)):
                i = two * (three * _u(x[j]) + _u(action))
                v += pairs[i]
                zx += pairs[i + one]
            action_next = action
            if not ended:
                _mountain_car_tiles(position, velocity, tiles, x_next)
                _action_values(pairs, x_next, q)
                action_next = _epsilon_greedy(q, rng.random(), epsilon)
                v_next = q[action_next]
            delta = -1.0 + gamma * v_next - v
            dv = v - v_old
            for j in range(_u(tilings)):
                i = three * _u(x[j]) + _u(action)
                if not listed[i]:
                    listed[i] = 1
                    active[length] = i
                    length += one
                pairs[two * i] -= alpha * dv
                pairs[two * i + one] += 1.0 - alpha * zx
            a = alpha * (delta + dv)
            length = _pass_over(pairs, listed, active, length, a, gamma * lambda_, cutoff)
            x, x_next = x_next, x
            action, v_old = action_next, v_next
            done += 1
        if ended:
            lengths[episodes] = done - began
            episodes += 1
    state.length[0] = length
    return episodes
