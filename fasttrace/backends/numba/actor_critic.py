"""The linear actor-critic; the twin of csrc/actor_critic.c.

O(k A) a step, whatever lambda; backends.numpy.actor_critic says what is computed.  Above are the functions
for loops in Numba; below are those that Python calls with an ActorCriticTrace.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ... import features
from ...layout import BAD_ACTION, BAD_INDEX, BAD_VALUE, KINDS, NO_OPTIONS, OK
from . import kernel, linear, policy, refuse, trace, verb
from . import transition as one_vector
from .steps import row_ok
from .stream import Rows, borrowed, check_rows, place_of, rows_of
from .trace import COLUMNS, DECAY, WIDTH, Place, Trace
from .transition import Carry, carry_of, carry_store, read_values, with_sums

ACCUMULATING = KINDS["accumulating"].value

# Places in ActorCritic.numbers: the fields of ft_actor_critic.
DISCOUNT, AVERAGE_REWARD, ETA = range(3)

FADED = 1e-200

_0 = np.uint64(0)
_1 = np.uint64(1)
_2 = np.uint64(2)


class ActorCritic(NamedTuple):
    """ft_actor_critic as arrays; the C kernels may work on the same memory."""

    critic: Trace
    actor: Trace
    numbers: NDArray[np.float64]
    discount_actor: bool


class Hot(NamedTuple):
    """What a loop keeps in registers."""

    critic: trace.Hot
    actor: trace.Hot
    carry: Carry
    decay_actor: float
    discount: float
    average_reward: float


class Numbers(NamedTuple):
    """Of one transition, from S_t to S_{t+1}."""

    reward: float
    gamma_next: float
    lambda_next: float
    lambda_actor_next: float
    alpha: float
    alpha_actor: float


class Stream(NamedTuple):
    """ft_stream; series of length 1 stand for equal entries."""

    steps: int
    rows: Rows
    actions: NDArray[np.int32]
    rewards: NDArray[np.float64]
    gammas: NDArray[np.float64]
    lambdas: NDArray[np.float64]
    lambdas_actor: NDArray[np.float64]
    alphas: NDArray[np.float64]
    alphas_actor: NDArray[np.float64]
    temperature: float
    work: NDArray[np.float64]


@verb
def load(t, sums):
    """The state; sums is the critic's read of the first row."""
    return Hot(
        trace.load(t.critic), trace.load(t.actor), with_sums(carry_of(t.critic), sums),
        t.actor.scalars[DECAY], t.numbers[DISCOUNT], t.numbers[AVERAGE_REWARD],
    )  # fmt: skip


@verb
def store(t, h, alpha):
    carry_store(t.critic, h.critic, h.carry, alpha)
    trace.store(t.actor, h.actor)
    t.actor.scalars[DECAY] = h.decay_actor
    t.numbers[DISCOUNT] = h.discount
    t.numbers[AVERAGE_REWARD] = h.average_reward


@verb
def score(c, n_actions, width, action, temperature, size):
    """c[a] = size (1{a = action} - pi(a)), from preferences in c; 0 in the columns beyond n_actions."""
    best = policy.best_of(c, n_actions)
    total = 0.0
    for a in range(n_actions):
        c[a] = math.exp((c[a] - best) / temperature)
        total += c[a]
    for a in range(n_actions):
        c[a] = size * ((1.0 if a == action else 0.0) - c[a] / total)
    for a in range(np.uint64(n_actions), width):
        c[a] = 0.0


@verb
def write_columns(t, h, indices, values, x, width, valued, work):
    """trace_ia += work[a] in every column, w as it was; changes what follows in work."""
    inv = 1.0 / h.scale
    dz, db = width, _2 * width
    for a in range(width):
        work[dz + a] = work[a] * inv
        work[db + a] = -(h.drive * work[dz + a])
    for j in range(x.k):
        signed = indices[x.at + j]
        if signed < 0:
            continue
        i = np.uint64(np.uint32(signed))
        size = values[x.values_at + j] if valued else 1.0
        G, P = trace.since(t, i)
        row = trace.begin(t, i, width)
        for a in range(width):
            z = t.rows[row + width + a]
            t.rows[row + a] = t.rows[row + a] + z * G + size * work[db + a]
            t.rows[row + width + a] = z * P + size * work[dz + a]
        t.epochs[i] = np.int32(h.epoch)


@verb
def transition(
    t, h, indices, values, x, action, indices_next, values_next, x_next, n, temperature, work, width,
    valued, valued_next,
):  # fmt: skip
    """The state after it, and delta; see ft_actor_transition."""
    eta = t.numbers[ETA]
    continuing = eta == eta
    gamma = 1.0 if continuing and n.gamma_next != 0.0 else n.gamma_next
    reward = n.reward - h.average_reward if continuing else n.reward
    size = (h.discount if t.discount_actor else 1.0) / temperature

    actor = trace.decay(t.actor, h.actor, h.decay_actor)
    read_values(t.actor, actor, indices, values, x, width, width, True, valued, work, _0)
    score(work, t.actor.counters[COLUMNS], width, action, temperature, size)
    write_columns(t.actor, actor, indices, values, x, width, valued, work)

    critic, carry, delta = one_vector.transition(
        t.critic, h.critic, h.carry, indices, values, x, indices_next, values_next, x_next, False, 0.0, 0.0,
        one_vector.Numbers(reward, gamma, n.lambda_next, 1.0, 1.0, 1.0, 1.0, n.alpha, NO_OPTIONS),
        ACCUMULATING, _1, True, valued, valued_next, True,
    )  # fmt: skip

    actor = trace.drive(actor, n.alpha_actor * delta)
    discount = 1.0 if gamma == 0.0 else h.discount * gamma
    if discount < FADED:
        discount = 0.0
    average_reward = h.average_reward + eta * delta if continuing else h.average_reward
    return Hot(critic, actor, carry, gamma * n.lambda_actor_next, discount, average_reward), delta


@kernel
def run(t, s, deltas):
    """A whole stream.  Checks nothing; s.steps > 0."""
    indices, values = s.rows.indices, s.rows.values
    valued, width = values.size > 0, np.uint64(t.actor.counters[WIDTH])
    per_gamma, per_lambda = np.uint64(s.gammas.size > 1), np.uint64(s.lambdas.size > 1)
    per_alpha, per_lambda_actor = np.uint64(s.alphas.size > 1), np.uint64(s.lambdas_actor.size > 1)
    per_alpha_actor = np.uint64(s.alphas_actor.size > 1)
    x = place_of(s.rows, _0, _0, False)
    h = load(t, trace.read(t.critic, indices, values, x, _1, True, valued))
    for i in range(np.uint64(s.steps)):
        x_next = place_of(s.rows, i + _1, _0, False)
        n = Numbers(
            s.rewards[i], s.gammas[i * per_gamma], s.lambdas[i * per_lambda],
            s.lambdas_actor[i * per_lambda_actor], s.alphas[i * per_alpha],
            s.alphas_actor[i * per_alpha_actor],
        )  # fmt: skip
        h, deltas[i] = transition(
            t, h, indices, values, x, s.actions[i], indices, values, x_next, n, s.temperature, s.work,
            width, valued, valued,
        )  # fmt: skip
        x = x_next
    store(t, h, s.alphas[np.uint64(s.steps - 1) * per_alpha])


@verb
def in_unit(number):
    return number >= 0.0 and number <= 1.0


@verb
def positive(number):
    return number > 0.0 and np.isfinite(number)


@kernel
def step_kernel(t, indices, values, action, indices_next, values_next, n, temperature, work):
    """(status, delta) of one transition; see ft_actor_critic_step.  Empty values stand for ones."""
    if not row_ok(t.critic, indices) or not row_ok(t.critic, indices_next):
        return BAD_INDEX, 0.0
    if action < 0 or action >= t.actor.counters[COLUMNS]:
        return BAD_ACTION, 0.0
    if not (
        np.isfinite(n.reward) and in_unit(n.gamma_next) and in_unit(n.lambda_next)
        and in_unit(n.lambda_actor_next) and positive(n.alpha) and positive(n.alpha_actor)
        and positive(temperature)
    ):  # fmt: skip
        return BAD_VALUE, 0.0
    x = Place(_0, _0, np.uint64(indices.size), _0)
    x_next = Place(_0, _0, np.uint64(indices_next.size), _0)
    valued, valued_next = values.size > 0, values_next.size > 0
    h = load(t, trace.read(t.critic, indices, values, x, _1, True, valued))
    h, delta = transition(
        t, h, indices, values, x, action, indices_next, values_next, x_next, n, temperature, work,
        np.uint64(t.actor.counters[WIDTH]), valued, valued_next,
    )  # fmt: skip
    store(t, h, n.alpha)
    return OK, delta


@kernel
def check_kernel(t, rows, count):
    return check_rows(t, rows, count)[0]


# ---- what Python calls ----


def arrays_of(owner: Any) -> ActorCritic:
    """The arrays of an ActorCriticTrace, as the kernels take them."""
    critic, actor = linear.arrays_of(owner.critic), linear.arrays_of(owner.actor)
    return ActorCritic(critic, actor, owner.numbers, owner.discount_actor)


def _run(owner: Any, stream: features.Stream) -> NDArray[np.float64]:
    deltas = stream.room()
    if stream.steps == 0:
        return deltas
    own_lambdas = stream.lambdas if math.isnan(owner.lambda_actor) else np.array([owner.lambda_actor])
    own_alphas = np.array([owner.alpha_actor])
    assert stream.actions is not None
    s = Stream(
        stream.steps,
        rows_of(stream.rows),
        borrowed(stream.actions),
        borrowed(stream.rewards),
        borrowed(stream.gammas),
        borrowed(stream.lambdas),
        borrowed(own_lambdas if stream.actor_lambdas is None else stream.actor_lambdas),
        borrowed(stream.alphas),
        borrowed(own_alphas if stream.actor_alphas is None else stream.actor_alphas),
        stream.own[1],
        np.empty(3 * owner.actor.width),
    )
    t = arrays_of(owner)
    if not stream.rows.checked:
        refuse(check_kernel(t.critic, s.rows, stream.steps + 1), stream.rows)
    run(t, s, deltas)
    return deltas


actor_critic_run = average_reward_actor_critic_run = _run  # eta is all that differs


def values(owner: Any, rows: features.Rows) -> NDArray[np.float64]:
    """Preferences h(s, a) of every row, (rows, A): what actions are chosen by."""
    return linear.values(owner.actor, rows)


def state_values(owner: Any, rows: features.Rows) -> NDArray[np.float64]:
    """w.x of every row, (rows,)."""
    return linear.values(owner.critic, rows)[:, 0]


def reset(owner: Any) -> None:
    linear.reset(owner.critic)
    linear.reset(owner.actor)
    owner.discount = 1.0
