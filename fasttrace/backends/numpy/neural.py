"""Networks and their traces in NumPy: the reference.

A network is a multilayer perceptron (`net`): sizes, activation, layer_norm, and params, flat: W1 (out x in),
b1, W2, b2, ...  Each layer is linear; but for the last then standardised, where layer_norm is True, and then
tanh or leaky ReLU.

Everything is computed first and looked at before anything changes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LEAK = 0.01
LAYER_EPSILON = 1e-5  # beside the variance of a layer
NORM_EPSILON = 1e-8  # beside a running variance


class Fault(Exception):  # noqa: N818 - what is raised here is caught here
    """What is not finite: "parameters", "statistics", "TD error" or "gradient"."""


# ---- the network ---------------------------------------------------------------------------------------


def layers(net: Any) -> list[tuple[Any, Any]]:
    """(W, b) of each layer, views of the parameters."""
    found, at = [], 0
    for n_in, n_out in zip(net.sizes, net.sizes[1:], strict=False):
        W = net.params[at : at + n_out * n_in].reshape(n_out, n_in)
        at += n_out * n_in
        found.append((W, net.params[at : at + n_out]))
        at += n_out
    return found


def _ahead(net: Any, x: Any) -> tuple[Any, list[tuple[Any, ...]]]:
    """Outputs (m,), and of each layer (its input, slope of the activation, standardised sums, deviation)."""
    kept: list[tuple[Any, ...]] = []
    one = net.params.dtype.type(1)
    for number, (W, b) in enumerate(layers(net), start=1):
        u = W @ x + b
        if number == len(net.sizes) - 1:
            kept.append((x, None, None, None))
            return u, kept
        deviation = one
        if net.layer_norm:
            u = u - u.mean()
            deviation = np.sqrt(np.mean(u * u) + net.params.dtype.type(LAYER_EPSILON))
            u = u / deviation
        if net.activation == "tanh":
            a = np.tanh(u)
            slope = one - a * a
        else:
            slope = np.where(u > 0, one, net.params.dtype.type(LEAK))
            a = u * slope
        kept.append((x, slope, u, deviation))
        x = a
    raise AssertionError("a network has layers")


def _gradient(net: Any, kept: list[tuple[Any, ...]], dy: Any) -> Any:
    """Gradient (n,) of dy . outputs by the parameters."""
    parts: list[Any] = []
    d = dy
    for number, (W, _) in reversed(list(enumerate(layers(net)))):
        x = kept[number][0]
        parts = [np.outer(d, x).ravel(), d, *parts]
        if number:
            _, slope, u, deviation = kept[number - 1]
            d = (W.T @ d) * slope
            if net.layer_norm:
                d = (d - d.mean() - u * np.mean(d * u)) / deviation
    return np.concatenate(parts)


def forward(net: Any, x: Any) -> Any:
    """Outputs (N, m) of inputs (N, i)."""
    with np.errstate(all="ignore"):
        return np.array([_ahead(net, row)[0] for row in x], net.params.dtype).reshape(len(x), net.sizes[-1])


def gradients(net: Any, x: Any, dy: Any) -> tuple[Any, Any]:
    """Outputs (m,) of inputs (i,), and the gradient of dy . outputs for each row of dy (N, m): (N, n)."""
    with np.errstate(all="ignore"):
        y, kept = _ahead(net, x)
        return y, np.array([_gradient(net, kept, row) for row in dy])


# ---- the trace of a Jacobian ---------------------------------------------------------------------------


def jacobian_step(trace: Any, jacobian: Any, params: Any, decay: Any, step: Any) -> bool:
    """Z <- diag(decay) Z + J, then params <- params + Z' step; without what is None.

    False where something is not finite; then nothing has changed.
    """
    with np.errstate(all="ignore"):
        now = trace.memory.reshape(trace.Z.shape)
        Z = now if jacobian is None else decay[:, None] * now + jacobian
        if not np.isfinite(Z).all():
            return False
        if params is not None:
            moved = params + Z.T @ step
            if not (np.isfinite(moved).all() and np.isfinite(params).all()):
                return False
            params[:] = moved
    now[:] = Z
    trace.largest[: len(Z)] = np.abs(Z).max(1, initial=0.0)
    return True


# ---- running statistics --------------------------------------------------------------------------------


def _average(count: float, mean: Any, p: Any, x: Any) -> tuple[Any, Any]:
    """Mean and sum of squared differences with one number more (Welford 1962)."""
    new = mean + (x - mean) / count
    return new, p + (x - mean) * (x - new)


def _deviation(count: float, p: Any) -> Any:
    """With epsilon; 1 while there is one number alone."""
    return np.sqrt((1.0 if count < 2.0 else p / (count - 1.0)) + NORM_EPSILON)


def arrive(kept: Any, x: Any, normalise: bool) -> None:
    """A state comes in: into the statistics, then scaled."""
    kept.raw = x.copy()
    kept.next = x.copy()
    if normalise:
        kept.count += 1.0
        kept.mean, kept.p = _average(kept.count, kept.mean, kept.p, x)
        if not np.isfinite(kept.p).all():
            raise Fault("statistics")
        kept.next = (x - kept.mean) / _deviation(kept.count, kept.p)


def scaled(kept: Any, reward: float, gamma: float) -> float:
    """A reward by the standard deviation of the discounted sum of rewards."""
    kept.discounted = (kept.discounted * gamma if gamma else 0.0) + reward
    kept.reward_count += 1.0
    kept.reward_mean, kept.reward_p = _average(
        kept.reward_count, kept.reward_mean, kept.reward_p, kept.discounted
    )
    if not math.isfinite(kept.reward_p):
        raise Fault("statistics")
    return reward / float(_deviation(kept.reward_count, kept.reward_p))


# ---- policies of an actor ------------------------------------------------------------------------------


def softmax_gradient(y: Any, action: int, entropy: float) -> Any:
    """Gradient of ln pi(action) + entropy H(pi) by y (A,); pi is the softmax of y."""
    log_pi = (y - y.max()) - np.log(np.exp(y - y.max()).sum())
    pi = np.exp(log_pi)
    H = -(pi * log_pi).sum()
    chosen = np.zeros(len(y))
    chosen[action] = 1.0
    return (chosen - pi) - entropy * pi * (log_pi + H)


def normal_gradient(y: Any, move: Any, entropy: float) -> Any:
    """The same of independent normal distributions; y: means, and what softplus makes deviations of."""
    mean, raw = y[: len(move)], y[len(move) :]
    sigma = np.maximum(raw, 0.0) + np.log1p(np.exp(-np.abs(raw)))
    slope = 0.5 * (1.0 + np.tanh(0.5 * raw))  # the sigmoid
    off = (move - mean) / sigma
    return np.concatenate([off / sigma, (off * off - 1.0 + entropy) / sigma * slope])


# ---- learners ------------------------------------------------------------------------------------------


def _traced(head: Any, kept: list[tuple[Any, ...]], dys: Any) -> Any:
    """Z <- diag(D) Z + gradients of dys . outputs; not yet put in place."""
    g = np.array([_gradient(head.net, kept, dy) for dy in dys])
    D = head.decays.astype(g.dtype)[:, None]
    Z = np.where(D == 0, g, D * head.Z + g)
    if not np.isfinite(Z).all():
        raise Fault("gradient")
    return Z


def _stepped(head: Any, Z: Any, deltas: Any) -> dict[str, Any]:
    """What an update makes of the parameters, and of what belongs to them; not yet put in place."""
    w = head.net.params
    if head.optimiser == "sgd":
        c = (head.alpha * deltas).astype(w.dtype)
        found = {"params": w + Z.T @ c}
    else:
        found = bounded(head.rule, w, Z[0], head.v, head.power, float(deltas[0]))
    if not all(np.isfinite(each).all() for each in found.values()):
        raise Fault("gradient")
    return found


def bounded(rule: Any, w: Any, z: Any, v: Any, power: float, delta: float) -> dict[str, Any]:
    """A step of alpha / max(M, 1), with M = alpha kappa max(|delta|, 1) |z|_1.

    Adaptive: along z / sqrt(v + epsilon), v the running mean of (delta z)^2 without its bias; power is
    beta2^steps.  Returns params, step, and what else has changed.

    Source: Elsayed, Vasan & Mahmood 2024, algorithm 3 and its adaptive form.
    """
    real = w.dtype.type
    found: dict[str, Any] = {}
    direction = z
    if rule.name == "adaptive_obgd":
        found["power"] = power * rule.beta2
        g = real(delta) * z
        found["v"] = real(rule.beta2) * v + real(1.0 - rule.beta2) * (g * g)
        fair = found["v"] * real(1.0 / (1.0 - found["power"]))
        direction = z / np.sqrt(fair + real(rule.epsilon))
    M = rule.alpha * rule.kappa * max(abs(delta), 1.0) * float(np.abs(direction).sum(dtype=np.float64))
    alpha = rule.alpha / M if M > 1.0 else rule.alpha
    return found | {"params": w + real(alpha * delta) * direction, "step": np.float64(alpha)}


def _place(head: Any, Z: Any, found: dict[str, Any]) -> None:
    head.Z[:] = Z
    head.net.params[:] = found["params"]
    if "v" in found:
        head.v[:] = found["v"]
    head.power, head.step = found.get("power", head.power), found.get("step", head.step)


def _look(head: Any, s: Any) -> tuple[Any, list[tuple[Any, ...]]]:
    return _ahead(head.net, s.astype(head.net.params.dtype))


def _next_values(trace: Any, stream: Any, out: Any, s: Any, t: int) -> Any:
    """What S_{t} is worth to an update; the action there, and whether it is greedy."""
    y = _look(trace.critic, s)[0].astype(np.float64)
    if stream.method in ("td", "actor_critic"):
        if trace.actor is not None and stream.choose is not None:
            out.q = _look(trace.actor, s)[0].astype(np.float64)
            out.action_next = stream.choose(out.q)
        return y
    out.q = y
    out.action_next = int(stream.actions[t]) if stream.choose is None else stream.choose(y)
    out.greedy = bool(y[out.action_next] >= y.max())
    return y.max(keepdims=True) if stream.method == "q" else y[[out.action_next]]


def _transition(trace: Any, stream: Any, out: Any, t: int, there: bool) -> None:
    """One transition, from kept.now to kept.next."""
    kept, critic = trace.kept, trace.critic
    gamma, lambda_ = (each[t % len(each)] for each in (stream.gammas, stream.lambdas))
    rewards = stream.rewards[t]
    if stream.scale:
        rewards = np.array([scaled(kept, float(rewards[0]), float(gamma[0]))])
    out.greedy = True
    given = stream.choose is None and stream.actions is not None
    action = int(stream.actions[t]) if given else stream.action
    v_next = np.zeros(len(rewards))
    if gamma.any() or (there and (stream.choose is not None or stream.judges)):
        v_next = _next_values(trace, stream, out, kept.next, t + 1)
    y, ahead = _look(critic, kept.now)
    outputs = {"td": range(len(y)), "actor_critic": [0]}.get(stream.method, [action])
    deltas = np.where(gamma == 0.0, rewards, rewards + gamma * v_next) - y[outputs].astype(np.float64)
    if not (np.abs(deltas) <= np.finfo(y.dtype).max).all():
        raise Fault("TD error")
    Z = _traced(critic, ahead, np.eye(len(y), dtype=y.dtype)[outputs])
    moved = _stepped(critic, Z, deltas)
    if (actor := trace.actor) is not None:
        h, behind = _look(actor, kept.now)
        h, entropy = h.astype(np.float64), stream.entropy * float(np.sign(deltas[0]))
        if stream.moves is None:
            dy = softmax_gradient(h, action, entropy)
        else:
            dy = normal_gradient(h, stream.moves[t], entropy)
        actors = _traced(actor, behind, dy[None].astype(y.dtype))
        _place(actor, actors, _stepped(actor, actors, deltas))
        actor.decays[0] = gamma[0] * stream.lambda_actor
    _place(critic, Z, moved)
    cut = (stream.cut == "next" and not out.greedy) or (stream.cut == "taken" and not trace.was_greedy)
    critic.decays[:] = 0.0 if cut else gamma * lambda_
    trace.was_greedy = out.greedy
    out.deltas[t] = deltas


def _begin(trace: Any, stream: Any, out: Any) -> None:
    """With the first state, unless it is the one that the last call ended in."""
    kept = trace.kept
    if kept.held and np.array_equal(kept.raw, stream.states[0]):
        return
    arrive(kept, stream.states[0], stream.normalise)
    kept.now, kept.held, trace.was_greedy = kept.next.copy(), 1.0, True
    if (stream.steps == 0) if stream.choose is not None else stream.judges:
        out.greedy = True
        _next_values(trace, stream, out, kept.next, 0)
        trace.was_greedy = out.greedy


def network_run(trace: Any, stream: Any, out: Any) -> str | None:
    """Learn from a stream.  Returns None, or what is not finite at step out.done: all is as before it."""
    kept = trace.kept
    if not all(np.isfinite(head.net.params).all() for head in trace.heads):
        return "parameters"
    before, greedy = kept.memory.copy(), trace.was_greedy
    with np.errstate(all="ignore"):
        try:
            if stream.steps == 0:
                _begin(trace, stream, out)
            for t in range(stream.steps):
                before[:], greedy = kept.memory, trace.was_greedy
                there = not (stream.ends and t == stream.steps - 1)
                if t == 0:
                    _begin(trace, stream, out)
                if there:
                    arrive(kept, stream.states[t + 1], stream.normalise)
                if t == stream.steps - 1 and trace.before is not None:
                    trace.before[:] = trace.critic.net.params
                _transition(trace, stream, out, t, there)
                if out.inputs is not None:
                    out.inputs[t] = kept.now
                kept.now, kept.held = (kept.next, 1.0) if there else (kept.now, 0.0)
                out.done = t + 1
        except Fault as fault:
            kept.memory[:], trace.was_greedy = before, greedy
            return str(fault)
        finally:
            for head in trace.heads:
                head.bounds[:] = np.abs(head.Z).max(1)
    return None
