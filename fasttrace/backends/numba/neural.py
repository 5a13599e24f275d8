"""Learners with networks in Numba; the loops of csrc/neural.h, in its order.  See backends.numpy.neural."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from . import inner, jit, kernel
from .jacobian import jacobian_step
from .network import (
    Net,
    add,
    ahead,
    back,
    forward,
    gradient_bound,
    gradients,
    into_trace,
    net_of,
    norm_of,
    plan_of,
)
from .policy import POLICIES, act, best_of, boltzmann

__all__ = ["forward", "gradients", "jacobian_step", "network_run"]

NORM_EPSILON = 1e-8
SGD, OBGD, ADAPTIVE = range(3)
OPTIMISERS = {"sgd": SGD, "obgd": OBGD, "adaptive_obgd": ADAPTIVE}
TD, SARSA, Q, ACTOR_CRITIC = range(4)
METHODS = {"td": TD, "sarsa": SARSA, "q": Q, "actor_critic": ACTOR_CRITIC}
CUTS = {"never": 0, "next": 1, "taken": 2}
NEVER, NEXT, TAKEN = CUTS.values()
FINE, PARAMS, STATISTICS, DELTA, GRADIENT = range(5)
FAULTS = [None, "parameters", "statistics", "TD error", "gradient"]
BOUND, POWER, STEP, DECAYS = range(4)  # of a head's numbers


class Head(NamedTuple):
    """ft_head; Z is flat, rule is (alpha, kappa, beta2, epsilon)."""

    net: Net
    traces: int
    optimiser: int
    rule: Any
    Z: Any
    v: Any
    before: Any
    numbers: Any


class Transitions(NamedTuple):
    """ft_network_stream; what has no entries is not there.

    flags    (18,) as FLAGS has them, read and written
    numbers  parameter, u, entropy, lambda_actor
    """

    flags: Any
    numbers: Any
    states: Any
    rewards: Any
    gammas: Any
    lambdas: Any
    moves: Any
    actions: Any
    q: Any
    kept: Any
    deltas: Any
    inputs: Any


FLAGS = (
    "steps", "method", "cut", "n_actions", "choose", "ends", "normalise", "scale", "normal", "policy",
    "action", "action_next", "greedy", "was_greedy", "done", "with_actor",
)  # fmt: skip
(
    F_STEPS, F_METHOD, F_CUT, F_N_ACTIONS, F_CHOOSE, F_ENDS, F_NORMALISE, F_SCALE, F_NORMAL, F_POLICY,
    F_ACTION, F_ACTION_NEXT, F_GREEDY, F_WAS_GREEDY, F_DONE, F_WITH_ACTOR,
) = range(len(FLAGS))  # fmt: skip
PARAMETER, U, ENTROPY, LAMBDA_ACTOR = range(4)
HELD, COUNT, DISCOUNTED, REWARD_COUNT, REWARD_MEAN, REWARD_P, FIRST = range(7)  # of what is kept


@inner
def _averaged(count, mean, p, x):
    before = x - mean
    mean += before / count
    return mean, p + before * (x - mean)


@inner
def _scaled(x, count, p):
    return x / math.sqrt((1.0 if count < 2.0 else p / (count - 1.0)) + NORM_EPSILON)


@inner
def _arrive(kept, n, states, t, normalise):
    """A state comes in; whether all stays finite.  mean, p, raw, now and next follow each other in kept."""
    mean, p, raw, after = FIRST, FIRST + n, FIRST + 2 * n, FIRST + 4 * n
    for i in range(n):
        kept[raw + i] = states[t, i]
        kept[after + i] = states[t, i]
    if not normalise:
        return True
    fine = True
    kept[COUNT] += 1.0
    for i in range(n):
        x = states[t, i]
        kept[mean + i], kept[p + i] = _averaged(kept[COUNT], kept[mean + i], kept[p + i], x)
        fine &= kept[p + i] < np.inf
        kept[after + i] = _scaled(x - kept[mean + i], kept[COUNT], kept[p + i])
    return fine


@inner
def _rewarded(kept, reward, gamma):
    """A reward comes in, scaled; NaN where the statistics are not finite."""
    kept[DISCOUNTED] = (0.0 if gamma == 0.0 else kept[DISCOUNTED] * gamma) + reward
    kept[REWARD_COUNT] += 1.0
    kept[REWARD_MEAN], kept[REWARD_P] = _averaged(
        kept[REWARD_COUNT], kept[REWARD_MEAN], kept[REWARD_P], kept[DISCOUNTED]
    )
    return _scaled(reward, kept[REWARD_COUNT], kept[REWARD_P]) if kept[REWARD_P] < np.inf else np.nan


@inner
def _is_kept(kept, n, states):
    same = kept[HELD] != 0.0
    for i in range(n):
        same &= kept[FIRST + 2 * n + i] == states[0, i]
    return same


@inner
def _move_on(kept, n, there):
    """The state that has come in is the one that the stream is in."""
    kept[HELD] = 1.0 if there else 0.0
    for i in range(n if there else 0):
        kept[FIRST + 3 * n + i] = kept[FIRST + 4 * n + i]


@kernel
def prepare_kernel(kept, ends, normalise, scale, states, rewards, gammas, inputs, scaled):
    """ft_network_prepare."""
    n, T, size = states.shape[1], rewards.size, kept.size // 2
    for t in range(-1, T):
        there, fine = not (ends and t == T - 1), True
        for i in range(size):
            kept[size + i] = kept[i]
        if t >= 0:
            scaled[t] = _rewarded(kept, rewards[t], gammas[t]) if scale else rewards[t]
            fine = not np.isnan(scaled[t])
        if t >= 0 or not _is_kept(kept, n, states):
            if fine and there:
                fine = _arrive(kept, n, states, t + 1, normalise)
            if not fine:
                for i in range(size):
                    kept[i] = kept[size + i]
                return t
            _move_on(kept, n, there)
        if there:
            for i in range(n):
                inputs[t + 1, i] = kept[FIRST + 3 * n + i]
    return T


@inner
def _softmax_gradient(y, at, n, action, entropy):
    best = y[at]
    for a in range(1, n):
        best = y[at + a] if y[at + a] > best else best
    total = 0.0
    for a in range(n):
        total += math.exp((y[at + a] - best) / 1.0)
    log_total, H = math.log(total), 0.0
    for a in range(n):
        log_pi = (y[at + a] - best) - log_total
        H -= math.exp(log_pi) * log_pi
    for a in range(n):
        log_pi = (y[at + a] - best) - log_total
        pi = math.exp(log_pi)
        y[at + a] = ((1.0 if a == action else 0.0) - pi) - entropy * (pi * (log_pi + H))


@inner
def _normal_gradient(y, at, k, moves, t, entropy):
    for i in range(k):
        raw = y[at + k + i]
        rest = math.exp(-abs(raw))
        sigma = (raw if raw > 0.0 else 0.0) + math.log1p(rest)
        slope = (1.0 if raw > 0.0 else rest) / (1.0 + rest)
        off = (moves[t, i] - y[at + i]) / sigma
        y[at + i] = off / sigma
        y[at + k + i] = ((off * off - 1.0) + entropy) / sigma * slope


@inner
def _head_fits(h, r):
    """Whether traces and parameters stay finite, entry by entry."""
    net, n, m = h.net, len(h.net.params), h.traces
    real, top = net.params.dtype.type, net.params.dtype.type(np.inf)
    x, at, i = 0, 0, 0
    for layer in range(1, len(net.sizes)):
        n_in, n_out = net.sizes[layer - 1], net.sizes[layer]
        for e in range(n_out * (n_in + 1)):
            bias = e >= n_out * n_in
            j = e - n_out * n_in if bias else e // n_in
            given = real(1) if bias else net.room[x + e % n_in]
            w = net.params[i]
            for q in range(m):
                g, decay = net.room[r.d + q * r.width + at + j] * given, real(h.numbers[DECAYS + q])
                z = g if decay == 0 else decay * h.Z[q * n + i] + g
                if not abs(z) < top:
                    return False
                w = w + real(h.numbers[DECAYS + 2 * m + q]) * z
            if not abs(w) < top:
                return False
            i += 1
        x = r.a + at
        at += n_out
    return True


@inner
def _largest_of(x, at, n):
    best = 0.0
    for i in range(n):
        size = np.float64(abs(x[at + i]))
        if not size < np.inf:
            return np.inf
        best = size if size > best else best
    return best


@inner
def _prepare(h, r, deltas, t, top):
    """ft_prepare: the way back for every trace, and whether a step by deltas[t] may be taken."""
    m, numbers = h.traces, h.numbers
    bound, step, fresh = DECAYS + m, DECAYS + 2 * m, DECAYS + 3 * m
    moved, fits = numbers[BOUND], True
    for q in range(m):
        d = r.d + q * r.width
        back(h.net, r, d)
        numbers[fresh + q] = gradient_bound(h.net, r, d)
        decay = numbers[DECAYS + q]
        z = numbers[fresh + q] if decay == 0.0 else decay * numbers[bound + q] + numbers[fresh + q]
        fits &= z <= top
        numbers[step + q] = h.rule[0] * deltas[t, q] if h.optimiser == SGD else 0.0
        moved += abs(numbers[step + q]) * z if h.optimiser == SGD else 1.0 / h.rule[1]
        if h.optimiser == ADAPTIVE:
            fits &= (deltas[t, q] * z) * (deltas[t, q] * z) <= top
    if fits and moved <= top:
        return True
    if not _head_fits(h, r):
        return False
    n = len(h.net.params)
    for q in range(m):
        numbers[bound + q] = _largest_of(h.Z, q * n, n)
        if h.optimiser == ADAPTIVE:
            z = numbers[DECAYS + q] * numbers[bound + q] + numbers[fresh + q]
            if not (deltas[t, q] * z) * (deltas[t, q] * z) <= top:
                return False
    numbers[BOUND] = _largest_of(h.net.params, 0, n)
    return True


@inner
def _second_moments(h, delta, inverse):
    real = h.Z.dtype.type
    keep, part, epsilon = real(h.rule[2]), real(1.0 - h.rule[2]), real(h.rule[3])
    n = len(h.net.params)
    for i in range(n):
        g = delta * h.Z[i]
        h.v[i] = keep * h.v[i] + part * (g * g)
        h.v[n + i] = h.Z[i] / math.sqrt(h.v[i] * inverse + epsilon)
    return np.float64(norm_of(n, h.v, n))


@inner
def _commit(h, r, deltas, t):
    """What _prepare allowed."""
    m, n, numbers, real = h.traces, len(h.net.params), h.numbers, h.Z.dtype.type
    bound, step, fresh = DECAYS + m, DECAYS + 2 * m, DECAYS + 3 * m
    params, norm = h.net.params, 0.0
    for q in range(m):
        decay = numbers[DECAYS + q]
        before = 0.0 if decay == 0.0 else decay * numbers[bound + q]
        numbers[bound + q] = before + numbers[fresh + q]
        norm += into_trace(h.net, r, r.d + q * r.width, real(decay), h.Z, q * n)
    if h.optimiser == SGD:
        for q in range(m):
            numbers[BOUND] += abs(numbers[step + q]) * numbers[bound + q]
            add(n, params, 0, real(numbers[step + q]), h.Z, q * n)
        return
    delta = deltas[t, 0]
    if h.optimiser == ADAPTIVE:
        numbers[POWER] *= h.rule[2]
        inverse = 1.0 / (1.0 - numbers[POWER])
        norm = _second_moments(h, real(delta), real(inverse))
    M = h.rule[0] * h.rule[1] * (abs(delta) if abs(delta) > 1.0 else 1.0) * norm
    alpha = h.rule[0] / M if M > 1.0 else h.rule[0]
    c = real(alpha * delta)
    numbers[STEP] = alpha
    numbers[BOUND] += 1.0 / h.rule[1]
    if h.optimiser == OBGD:
        add(n, params, 0, c, h.Z, 0)
    else:
        add(n, params, 0, c, h.v, n)


@inner
def _look(h, r, kept, at):
    room = h.net.room
    for i in range(h.net.sizes[0]):
        room[i] = kept[at + i]
    return ahead(h.net, r)


@inner
def _check(h, top):
    bound = np.float64(norm_of(len(h.net.params), h.net.params, 0))
    if not bound <= top:
        bound = _largest_of(h.net.params, 0, len(h.net.params))
    h.numbers[BOUND] = bound
    return bound <= top


@inner
def _next_value(critic, actor, rc, ra, s, at, t):
    """ft_next_value: what the state at kept[at:] is worth, into the end of q; the action there."""
    f, q, m = s.flags, s.q, critic.net.sizes[-1]
    v = len(q) - critic.traces
    y, room = _look(critic, rc, s.kept, at), critic.net.room
    if f[F_METHOD] == TD or f[F_METHOD] == ACTOR_CRITIC:
        for k in range(critic.traces):
            q[v + k] = room[y + k]
        if not f[F_WITH_ACTOR] or not f[F_CHOOSE]:
            return
        h = _look(actor, ra, s.kept, at)
        for a in range(f[F_N_ACTIONS]):
            q[a] = actor.net.room[h + a]
        if not f[F_NORMAL]:
            f[F_ACTION_NEXT] = boltzmann(q, f[F_N_ACTIONS], 1.0, s.numbers[U])
        return
    for a in range(m):
        q[a] = room[y + a]
    if f[F_CHOOSE]:
        f[F_ACTION_NEXT] = act(q, m, f[F_POLICY], s.numbers[PARAMETER], s.numbers[U])
    else:
        f[F_ACTION_NEXT] = s.actions[t]
    best = best_of(q, m)
    f[F_GREEDY] = q[f[F_ACTION_NEXT]] >= best
    q[v] = best if f[F_METHOD] == Q else q[f[F_ACTION_NEXT]]


@inner
def _transition(critic, actor, rc, ra, s, t, there, top):
    """ft_transition, from what is now in kept to what is next."""
    f, kept, deltas, numbers = s.flags, s.kept, s.deltas, critic.numbers
    n, m, n_out = critic.net.sizes[0], critic.traces, critic.net.sizes[-1]
    now, after = FIRST + 3 * n, FIRST + 4 * n
    gt, lt = min(t, len(s.gammas) - 1), min(t, len(s.lambdas) - 1)
    go, lo = s.gammas.shape[1] > 1, s.lambdas.shape[1] > 1
    scaled = s.rewards[t, 0]
    if f[F_SCALE]:
        scaled = _rewarded(kept, scaled, s.gammas[gt, 0])
        if not kept[REWARD_P] < np.inf:
            return STATISTICS
    judges = f[F_METHOD] == Q and f[F_CUT] == TAKEN
    values = there and (f[F_CHOOSE] != 0 or judges)
    for q in range(m):
        values |= s.gammas[gt, q * go] != 0.0
    f[F_GREEDY] = 1
    action = f[F_ACTION]
    if values:
        _next_value(critic, actor, rc, ra, s, after, t + 1)
    v = len(s.q) - m
    y, room = _look(critic, rc, kept, now), critic.net.room
    one = room.dtype.type(1)
    for q in range(m):
        gamma = s.gammas[gt, q * go]
        output = q if f[F_METHOD] == TD else (0 if f[F_METHOD] == ACTOR_CRITIC else action)
        R = scaled if f[F_SCALE] else s.rewards[t, q]
        deltas[t, q] = (R if gamma == 0.0 else R + gamma * s.q[v + q]) - np.float64(room[y + output])
        if not abs(deltas[t, q]) <= top:
            return DELTA
        dy = rc.d + (q + 1) * rc.width - n_out
        for j in range(n_out):
            room[dy + j] = one if j == output else one - one
    if not _prepare(critic, rc, deltas, t, top):
        return GRADIENT
    if f[F_WITH_ACTOR]:
        h, A, g = _look(actor, ra, kept, now), f[F_N_ACTIONS], s.q
        sign = 1.0 if deltas[t, 0] > 0.0 else (-1.0 if deltas[t, 0] < 0.0 else 0.0)
        entropy = sign * s.numbers[ENTROPY]
        for a in range(A):
            g[A + a] = actor.net.room[h + a]
        if f[F_NORMAL]:
            _normal_gradient(g, A, A // 2, s.moves, t, entropy)
        else:
            _softmax_gradient(g, A, A, action, entropy)
        for a in range(A):
            actor.net.room[ra.d + ra.width - A + a] = g[A + a]
        if not _prepare(actor, ra, deltas, t, top):
            return GRADIENT
        _commit(actor, ra, deltas, t)
        actor.numbers[DECAYS] = s.gammas[gt, 0] * s.numbers[LAMBDA_ACTOR]
    _commit(critic, rc, deltas, t)
    cut = (f[F_CUT] == NEXT and not f[F_GREEDY]) or (f[F_CUT] == TAKEN and not f[F_WAS_GREEDY])
    for q in range(m):
        numbers[DECAYS + q] = 0.0 if cut else s.gammas[gt, q * go] * s.lambdas[lt, q * lo]
    f[F_WAS_GREEDY] = f[F_GREEDY]
    return FINE


@inner
def _begin(critic, actor, rc, ra, s, n):
    f, kept = s.flags, s.kept
    if _is_kept(kept, n, s.states):
        return True
    if not _arrive(kept, n, s.states, 0, f[F_NORMALISE]):
        return False
    _move_on(kept, n, True)
    f[F_WAS_GREEDY] = 1
    judges = f[F_METHOD] == Q and f[F_CUT] == TAKEN
    if (f[F_STEPS] == 0) if f[F_CHOOSE] else judges:
        _next_value(critic, actor, rc, ra, s, FIRST + 4 * n, 0)
        f[F_WAS_GREEDY] = f[F_GREEDY]
    return True


@jit
def _network_run(critic, actor, s, top):
    """ft_network_run; returns what was not finite."""
    f, kept, n = s.flags, s.kept, critic.net.sizes[0]
    size = len(kept) // 2
    rc, ra = plan_of(critic.net), plan_of(actor.net)
    if not _check(critic, top) or (f[F_WITH_ACTOR] and not _check(actor, top)):
        return PARAMS
    steps = f[F_STEPS]
    for t in range(0 if steps else -1, steps):
        for i in range(size):
            kept[size + i] = kept[i]
        there = not (f[F_ENDS] and t == steps - 1)
        fault = FINE
        if t <= 0 and not _begin(critic, actor, rc, ra, s, n):
            fault = STATISTICS
        elif t >= 0:
            if not f[F_CHOOSE] and len(s.actions):
                f[F_ACTION] = s.actions[t]
            if there and not _arrive(kept, n, s.states, t + 1, f[F_NORMALISE]):
                fault = STATISTICS
            else:
                if t == steps - 1 and len(critic.before):
                    for i in range(len(critic.before)):
                        critic.before[i] = critic.net.params[i]
                fault = _transition(critic, actor, rc, ra, s, t, there, top)
        if fault != FINE:
            for i in range(size):
                kept[i] = kept[size + i]
            return fault
        if t < 0:
            break
        for i in range(n):
            if len(s.inputs):
                s.inputs[t, i] = kept[FIRST + 3 * n + i]
        _move_on(kept, n, there)
        f[F_DONE] = t + 1
    return FINE


def _head(head: Any, before: Any) -> Head:
    none = head.v[:0]
    return Head(
        net_of(head.net, head.n_traces), head.n_traces, OPTIMISERS[head.optimiser], np.zeros(4), head.memory,
        head.moments, none if before is None else before, head.numbers,
    )  # fmt: skip


def _handle(trace: Any) -> Any:
    """The arrays of a learner as the kernels take them, made once."""
    if trace.handle is None:
        heads = [_head(head, trace.before if head is trace.critic else None) for head in trace.heads]
        q = np.zeros(2 * max(head.net.n_outputs for head in trace.heads) + trace.critic.n_traces)
        top = float(np.finfo(trace.critic.net.dtype).max)
        trace.handle = (heads, np.zeros(len(FLAGS), np.int64), np.zeros(4), q, top)
    return trace.handle


_NO_ROWS, _NO_ACTIONS = np.empty((0, 0)), np.empty(0, np.int32)


def network_run(trace: Any, stream: Any, out: Any) -> str | None:
    heads, flags, numbers, q, top = _handle(trace)
    for each, head in zip(heads, trace.heads, strict=True):
        each.rule[:] = head.alpha, head.kappa, head.beta2, head.epsilon
    policy, parameter = (0, 0.0) if stream.own is None else (POLICIES[stream.own[0]], stream.own[1])
    flags[:] = (
        stream.steps, METHODS[stream.method], CUTS[stream.cut], stream.n_actions, stream.own is not None,
        stream.ends, stream.normalise, stream.scale, stream.normal, policy, stream.action, 0, 1,
        trace.was_greedy, 0, len(heads) > 1,
    )  # fmt: skip
    numbers[:] = parameter, stream.u, stream.entropy, stream.lambda_actor
    moves, inputs = (_NO_ROWS if each is None else each for each in (stream.moves, out.inputs))
    s = Transitions(
        flags, numbers, stream.states, stream.rewards, stream.gammas, stream.lambdas, moves,
        _NO_ACTIONS if stream.actions is None else stream.actions, q, trace.kept.whole, out.deltas, inputs,
    )  # fmt: skip
    fault = _network_run(heads[0], heads[-1], s, top)
    trace.was_greedy, out.done = bool(flags[F_WAS_GREEDY]), int(flags[F_DONE])
    out.action_next, out.q = int(flags[F_ACTION_NEXT]), q
    return FAULTS[fault]
