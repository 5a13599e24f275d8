"""The loop of environment, coder and agent, compiled; the twin of csrc/simulate.c.

The environment's functions come in as C callbacks: the loop is then compiled once for all of them.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import NOT_FINITE, FeatureIndexError, no_feature
from ...layout import BAD_INDEX, BAD_VALUE, KINDS, OK, POLICIES, TARGETS, Options
from ...pieces import held
from ...policy import Method
from . import jit, part, policy, refuse, trace, verb
from .linear import arrays_of
from .tiles import tiles_one
from .trace import ALPHA, PI, WIDTH, N, Place
from .transition import (
    Numbers,
    carry_of,
    carry_store,
    lambda_of,
    pi_now,
    read_values,
    reads_once,
    transition,
    values_before,
    with_sums,
)

_0 = np.uint64(0)
_1 = np.uint64(1)
_NO_DOUBLES = np.empty(0)

# Places in Simulation.counters.
RUNNING, ACTION, LENGTH, EPISODES, MAX_LENGTH, N_ACTIONS, RESET_UNIFORMS, STEP_UNIFORMS, TILED, MEMORY = (
    range(10)
)
TARGET, POLICY = 10, 11


class Simulation(NamedTuple):
    """ft_simulation as arrays; idx holds the features of two states."""

    counters: NDArray[np.int64]  # (12,)
    numbers: NDArray[np.float64]  # alpha, gamma, lambda, epsilon or temperature, total reward, sigma; Options
    table: NDArray[np.float64]  # the tile coder's
    codes: NDArray[np.uint64]
    state: NDArray[np.float64]
    u: NDArray[np.float64]
    out: NDArray[np.float64]  # (2,)
    q: NDArray[np.float64]  # (width,)
    idx: NDArray[np.int32]


@verb
def draw(s, random, count):
    for i in range(count):
        s.u[i] = random.random()


@verb
def encode(t, s, at):
    """The features of the present state, from idx[at] on; False where there are none."""
    if s.counters[TILED]:
        tiles_one(s.state, s.idx[at : at + s.idx.size // 2], s.codes, s.table, s.counters[MEMORY])
        return True
    i = s.state[0]
    s.idx[at] = np.int32(i) if i >= 0.0 and i < t.counters[N] else np.int32(0)
    return s.idx[at] == i


@verb
def state_ok(s):
    for each in s.state:  # noqa: SIM110 - a generator would allocate
        if not np.isfinite(each):
            return False
    return True


@verb
def choose(t, h, s, random, at, width):
    """The column of the action chosen in the state whose features are at idx[at]; 0 in prediction."""
    n_actions = s.counters[N_ACTIONS]
    if not n_actions:
        return _0
    x = Place(at, _0, np.uint64(s.idx.size // 2), _0)
    read_values(t, h, s.idx, s.numbers, x, width, width, False, False, s.q, _0)
    return np.uint64(policy.act(s.q, n_actions, s.counters[POLICY], s.numbers[3], random.random()))


@verb
def restart(t, h):
    trace.store(t, h)
    trace.reset(t)
    return trace.load(t), carry_of(t)


@part
def loop(t, s, random, reset, step, steps, episodes, returns, lengths, kind, width, sarsa):
    counters, numbers, idx = s.counters, s.numbers, s.idx
    k = np.uint64(idx.size // 2)
    none = s.numbers[:0]
    status, done, ended = OK, 0, 0
    h, c = trace.load(t), carry_of(t)
    x = Place(_0, _0, k, np.uint64(counters[ACTION]))
    if counters[RUNNING] and reads_once(kind):
        c = with_sums(c, trace.read(t, idx, none, x, width, False, False))
    pi = 0.0
    if counters[RUNNING] and not sarsa:
        pi = pi_now(
            t, h, idx, none, x, counters[TARGET], counters[POLICY], numbers[3], width, False, False, s.q
        )  # fmt: skip
    while done < steps and ended < episodes:
        if not counters[RUNNING]:
            h, c = restart(t, h)
            draw(s, random, counters[RESET_UNIFORMS])
            reset(s.state, s.u)
            if not state_ok(s):
                status = BAD_VALUE
                break
            if not encode(t, s, 0):
                status = BAD_INDEX
                break
            x = Place(_0, _0, k, choose(t, h, s, random, _0, width))
            if reads_once(kind):
                c = with_sums(c, trace.read(t, idx, none, x, width, False, False))
            pi = 0.0  # as c.decay is
            counters[RUNNING] = 1
            counters[LENGTH] = 0
            numbers[4] = 0.0
        draw(s, random, counters[STEP_UNIFORMS])
        step(s.state, np.int64(x.column), s.u, s.out)
        reward, gamma = s.out[0], s.out[1]
        over = gamma == 0.0
        at = _0 if x.at else k
        if not np.isfinite(reward) or not (gamma >= 0.0 and gamma <= 1.0) or (not over and not state_ok(s)):
            status = BAD_VALUE
        elif not over and not encode(t, s, np.int64(at)):
            status = BAD_INDEX
        if status != OK:
            counters[RUNNING] = 0  # its state is lost: the next episode begins anew
            break
        x_next = x
        if not over:  # the choice is made before anything changes, as agents that step make it
            x_next = Place(at, _0, k, choose(t, h, s, random, at, width))
        known = over or not sarsa or values_before(kind, width)
        v_next, taken, factor, lambda_next = 0.0, 0.0, 1.0, numbers[2]
        gamma_next = numbers[1] * gamma
        if not sarsa:
            factor = policy.factor_of(counters[TARGET], 1.0, numbers[5], pi)
        if known and not over:  # by the values that the choice was made by
            taken = s.q[x_next.column]
            v_next = taken
            if not sarsa:
                v_next = policy.value_of(
                    counters[TARGET], s.q, counters[N_ACTIONS], s.q, _0, False, counters[POLICY], numbers[3]
                )  # fmt: skip
                pi = 0.0
                if gamma_next != 0.0:
                    pi = policy.own_pi(
                        counters[TARGET], s.q, counters[N_ACTIONS], counters[POLICY], numbers[3],
                        x_next.column,
                    )  # fmt: skip
                lambda_next = lambda_of(counters[TARGET], lambda_next, v_next, taken)
        options = Options(numbers[6], numbers[7], numbers[8], numbers[9])
        n = Numbers(reward, gamma_next, lambda_next, factor, 1.0, 1.0, 1.0, numbers[0], options)
        h, c, _ = transition(
            t, h, c, idx, none, x, idx, none, x_next, known, v_next, taken, n,
            kind, width, False, False, False, sarsa,
        )  # fmt: skip
        done += 1
        counters[LENGTH] += 1
        numbers[4] += reward
        if over or counters[LENGTH] == counters[MAX_LENGTH]:
            returns[ended] = numbers[4]
            lengths[ended] = counters[LENGTH]
            ended += 1
            counters[RUNNING] = 0
            if not over:
                h, c = restart(t, h)
        x = x_next
    carry_store(t, h, c, numbers[0] if done else t.scalars[ALPHA])
    t.scalars[PI] = pi if counters[RUNNING] else 0.0
    if x.at:
        for j in range(k):
            idx[j] = idx[k + j]
    counters[ACTION] = np.int64(x.column)
    counters[EPISODES] = ended
    return status, done


@functools.cache
def loop_kernel(kind, control, sarsa):
    """simulate of one kind of trace, for values or for action values, Sarsa's or others."""

    @jit
    def simulate(t, s, random, reset, step, steps, episodes, returns, lengths):
        if control:
            width = np.uint64(t.counters[WIDTH])
            return loop(t, s, random, reset, step, steps, episodes, returns, lengths, kind, width, sarsa)
        return loop(t, s, random, reset, step, steps, episodes, returns, lengths, kind, _1, True)

    return simulate


class Loop:
    """A run that can be gone on with; see backends.numpy.simulate.Loop."""

    def __init__(
        self, env: Any, coder: Any, method: Method, generator: np.random.Generator, max_length: int
    ) -> None:
        owner = method.trace
        self._callbacks, kernel = env.kernel("numba").callbacks(), coder and coder.kernel("numba")
        table = kernel.table if kernel else np.empty((0, 0))
        tilings = coder.tilings if coder else 1
        counters = np.array(
            [
                0,
                0,
                0,
                0,
                max_length,
                env.n_actions,
                *env.n_uniforms,
                coder is not None,
                kernel.memory if kernel else 0,
                TARGETS[method.target].value,
                POLICIES[method.own[0]],
            ],
            np.int64,
        )
        numbers = (*method.numbers, method.own[1], 0.0, method.sigma, *method.options)
        self._simulation = Simulation(
            counters, np.array(numbers), table, np.empty(tilings, np.uint64), np.empty(env.n_state),
            np.empty(max(env.n_uniforms)), np.empty(2), np.empty(owner.width),
            np.empty(2 * tilings, np.int32),
        )  # fmt: skip
        self._trace, self._n, self._generator = arrays_of(owner), owner.n, generator
        self._run = loop_kernel(KINDS[method.kind].value, owner.width > 1, method.target == "taken")
        self.run(0, 0)  # compiles; what is timed later does not

    def run(self, steps: int, episodes: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Go on; returns the steps made, and returns and lengths of the episodes that ended."""
        room = min(steps, episodes)
        returns, lengths = np.empty(room), np.empty(room, np.int64)
        s = self._simulation
        with held(), self._generator.bit_generator.lock:
            status, done = self._run(
                self._trace, s, self._generator, *self._callbacks,
                steps, episodes, returns, lengths,
            )  # fmt: skip
        if status == BAD_INDEX:
            raise FeatureIndexError(no_feature(s.state[0], self._n))
        refuse(status, value=NOT_FINITE)
        ended = s.counters[EPISODES]
        return done, returns[:ended], lengths[:ended]
