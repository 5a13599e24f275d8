"""Two tasks for plastic networks, with what trains them: Adam, a completion loss, an actor-critic.

flagged one-shot completion   supervised: remember those patterns that are flagged after they are gone
cue-reward association        by reward alone: find out which of two new cues is the one that pays

Source: Miconi et al. 2018, "Differentiable plasticity", and 2019, "Backpropamine", for the kinds of task;
Kingma & Ba 2015 for Adam; Mnih et al. 2016 for the actor-critic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..backends import Backend
from ..plasticity import PlasticRNN
from ..plasticity.checks import Mode

Array = NDArray[Any]
Watch = Callable[[int, float], object]


class Adam:
    """Adam over dicts of arrays, in place.  Source: Kingma & Ba 2015, algorithm 1."""

    def __init__(self, params: dict[str, Array], alpha: float, *, clip_norm: float = np.inf) -> None:
        self.params, self.alpha, self.clip_norm = params, alpha, clip_norm
        self.first = {name: np.zeros_like(array) for name, array in params.items()}
        self.second = {name: np.zeros_like(array) for name, array in params.items()}
        self.t = 0

    def step(self, grads: dict[str, Array]) -> None:
        """One step down the gradients; clip_norm bounds the norm of all of them together."""
        self.t += 1
        norm = float(np.sqrt(sum(np.vdot(grads[name], grads[name]) for name in self.params)))
        scale = min(1.0, self.clip_norm / norm) if norm > 0.0 else 1.0
        size = self.alpha * np.sqrt(1.0 - 0.999**self.t) / (1.0 - 0.9**self.t)
        for name, array in self.params.items():
            g, m, v = grads[name] * array.dtype.type(scale), self.first[name], self.second[name]
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            array -= (size * m / (np.sqrt(v) + 1e-8)).astype(array.dtype)


class Head:
    """A linear readout, y = V h + c."""

    def __init__(self, n_hidden: int, n_out: int, rng: np.random.Generator) -> None:
        bound = 1.0 / np.sqrt(n_hidden)
        self.params = {
            "V": rng.uniform(-bound, bound, (n_out, n_hidden)).astype(np.float32),
            "c": np.zeros(n_out, np.float32),
        }

    def __call__(self, h: Array) -> Array:
        return h @ self.params["V"].T + self.params["c"]

    def backward(self, h: Array, dy: Array) -> tuple[dict[str, Array], Array]:
        """(gradients of the parameters, of h) for h (N, H) and dy (N, n_out)."""
        return {"V": dy.T @ h, "c": dy.sum(0)}, dy @ self.params["V"]


def _joined(parts: dict[str, dict[str, Array]]) -> dict[str, Array]:
    """One dict of several, by "part.name"."""
    return {f"{part}.{name}": array for part, names in parts.items() for name, array in names.items()}


# ---- flagged one-shot completion -----------------------------------------------------------------------


class Completion(NamedTuple):
    """Patterns come one after the other, a flag when one is gone, and at the end the half of a flagged one.

    A pattern is `bits` numbers, half of them 1 and half -1, shown for `shown` steps, with `gap` empty steps
    after it; on the first of those the flag is up for `flagged` of the `patterns`.  At the end the first
    half of a flagged pattern is shown for `cue` steps, and the network is to say the other half.
    """

    bits: int = 48
    patterns: int = 10
    flagged: int = 2
    shown: int = 2
    gap: int = 2
    cue: int = 2
    batch: int = 16
    hidden: int = 64
    alpha: float = 3e-3
    iterations: int = 1500

    @property
    def steps(self) -> int:
        return self.patterns * (self.shown + self.gap) + self.cue

    def draw(self, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """(inputs (T, B, bits + 1), the pattern (B, bits), where it is hidden (B, bits))."""
        B, n = self.batch, self.bits
        half = np.arange(n) < n // 2
        patterns = np.where(rng.permuted(np.tile(half, (B, self.patterns, 1)), axis=2), 1.0, -1.0)
        order = rng.permuted(np.tile(np.arange(self.patterns), (B, 1)), axis=1)
        chosen = order[:, : self.flagged]
        xs = np.zeros((self.steps, B, n + 1), np.float32)
        period = self.shown + self.gap
        for p in range(self.patterns):
            xs[p * period : p * period + self.shown, :, :n] = patterns[:, p]
            xs[p * period + self.shown, :, n] = (chosen == p).any(1)
        wanted = patterns[np.arange(B), chosen[:, 0]].astype(np.float32)
        hidden = np.tile(~half, (B, 1))
        xs[-self.cue :, :, :n] = np.where(hidden, 0.0, wanted)
        return xs, wanted, hidden


def completion_loss(y: Array, wanted: Array, hidden: Array) -> tuple[float, float, Array]:
    """(logistic loss a hidden bit, part of them wrong, gradient of the loss); y (B, bits)."""
    margin = y * wanted
    n = hidden.sum()
    loss = np.logaddexp(0.0, -margin)[hidden].sum() / n
    dy = np.where(hidden, -wanted / (1.0 + np.exp(np.clip(margin, -60, 60))) / n, 0.0)
    return float(loss), float((margin[hidden] <= 0).mean()), dy.astype(np.float32)


def train_completion(
    mode: Mode, seed: int, task: Completion, backend: Backend = "auto", watch: Watch = lambda i, error: None
) -> Array:
    """Part of the hidden bits that are wrong, by iteration (iterations,)."""
    rng = np.random.default_rng(seed)
    net = PlasticRNN(task.bits + 1, task.hidden, mode=mode, seed=rng, backend=backend)
    # Inputs that keep patterns apart, a flag that is seen, little modulation without it, and a recurrence
    # that does not run away before it is of use.
    net.params["Wx"][:] = np.linalg.qr(rng.normal(size=(task.hidden, task.bits + 1)))[0]
    net.params["Wx"][:, -1] *= 4.0
    net.params["W"] *= 0.1
    net.params["wm"] *= 0.1
    net.params["al"] *= 0.6
    head = Head(task.hidden, task.bits, rng)
    adam = Adam(_joined({"net": net.params, "head": head.params}), task.alpha, clip_norm=0.05)
    errors = np.empty(task.iterations)
    for i in range(task.iterations):
        xs, wanted, hidden = task.draw(rng)
        sequence = net.forward(xs)
        last = sequence.h[-1]
        _, errors[i], dy = completion_loss(head(last), wanted, hidden)
        head_grads, dlast = head.backward(last, dy)
        dh = np.zeros_like(sequence.h)
        dh[-1] = dlast
        adam.step(_joined({"net": net.backward(sequence, dh), "head": head_grads}))
        watch(i, errors[i])
    return errors


# ---- cue-reward association ----------------------------------------------------------------------------


@dataclass(frozen=True)
class CueReward:
    """In each episode `cues` new random cues of `bits` bits; one of them is the one to answer to.

    A trial shows one cue for a step, waits for one, and asks; then come two steps of rest.  Answering 1 to
    the right cue and 0 to the other is rewarded with 1, all else with -1; reward and answer are seen in the
    step after the question.  Nothing says which cue is the right one: that has to be found out, and kept
    until the episode is over.
    """

    cues: int = 2
    bits: int = 10
    trials: int = 12
    wait: int = 1
    rest: int = 2
    batch: int = 32
    hidden: int = 64
    alpha: float = 1e-3
    gamma: float = 0.9
    entropy: float = 0.01
    iterations: int = 1200
    settled: int = 6  # the trials from here on are those that the score counts

    @property
    def length(self) -> int:
        """Steps of a trial."""
        return 2 + self.wait + self.rest

    @property
    def asked(self) -> slice:
        """The steps at which an answer is given."""
        return slice(1 + self.wait, None, self.length)

    @property
    def n_inputs(self) -> int:
        return self.bits + 4  # cue, question, reward, answers 0 and 1


def returns(rewards: Array, gamma: float) -> Array:
    """Discounted sums of what is still to come, along the first axis."""
    total, out = np.zeros_like(rewards[0]), np.empty_like(rewards)
    for t in reversed(range(len(rewards))):
        total = rewards[t] + gamma * total
        out[t] = total
    return out


def play(net: PlasticRNN, policy: Head, task: CueReward, rng: np.random.Generator) -> tuple[Array, ...]:
    """One episode of a batch: inputs (T, B, I), answers and rewards (trials, B)."""
    B, L, n = task.batch, task.length, task.bits
    cues = np.where(rng.random((B, task.cues, n)) < 0.5, 1.0, -1.0).astype(np.float32)
    right = rng.integers(task.cues, size=B)
    xs = np.zeros((task.trials * L, B, task.n_inputs), np.float32)
    xs[task.asked, :, n] = 1.0
    answers = np.zeros((task.trials, B), np.int64)
    rewards = np.zeros((task.trials, B), np.float32)
    state, elements, start = None, np.arange(B), 0
    for trial in range(task.trials):
        shown = rng.integers(task.cues, size=B)
        xs[trial * L, :, :n] = cues[elements, shown]
        after = trial * L + 2 + task.wait  # the step after the question
        part = net.forward(xs[start:after], state)
        state, start = part.state, after
        logits = policy(part.h[-1])
        answers[trial] = rng.random(B) < 1.0 / (1.0 + np.exp(logits[:, 0] - logits[:, 1]))
        rewards[trial] = np.where(answers[trial] == (shown == right), 1.0, -1.0)
        if after < len(xs):
            xs[after, :, n + 1] = rewards[trial]
            xs[after, elements, n + 2 + answers[trial]] = 1.0
    return xs, answers, rewards


def train_cue_reward(
    mode: Mode, seed: int, task: CueReward, backend: Backend = "auto", watch: Watch = lambda i, score: None
) -> Array:
    """Mean reward of the settled trials, by iteration (iterations,): 0 is chance, 1 all there is."""
    rng = np.random.default_rng(seed)
    net = PlasticRNN(task.n_inputs, task.hidden, mode=mode, seed=rng, backend=backend)
    net.params["W"] *= 0.3  # what is kept is to be kept in Hebb, not in a lasting activity
    policy, value = Head(task.hidden, 2, rng), Head(task.hidden, 1, rng)
    adam = Adam(
        _joined({"net": net.params, "policy": policy.params, "value": value.params}),
        task.alpha,
        clip_norm=5.0,
    )
    score = np.empty(task.iterations)
    for i in range(task.iterations):
        xs, answers, rewards = play(net, policy, task, rng)
        sequence = net.forward(xs)
        h = sequence.h[task.asked].reshape(-1, task.hidden)
        grads = actor_critic(
            policy, value, h, answers.ravel(), returns(rewards, task.gamma**task.length).ravel(), task
        )
        dh = np.zeros_like(sequence.h)
        dh[task.asked] = grads.pop("h").reshape(*answers.shape, task.hidden)
        adam.step(_joined({"net": net.backward(sequence, dh), **grads}))
        score[i] = rewards[task.settled :].mean()
        watch(i, score[i])
    return score


def actor_critic(
    policy: Head, value: Head, h: Array, answers: Array, targets: Array, task: CueReward
) -> dict[str, Any]:
    """Gradients of the loss of an advantage actor-critic: those of both heads by name, and of h (N, H).

    mean over the batch, sum over the trials of -log pi(a) (G - v) + (G - v)^2 / 4 - entropy H(pi)
    """
    logits = policy(h)
    logits = logits - logits.max(1, keepdims=True)
    pi = np.exp(logits)
    pi /= pi.sum(1, keepdims=True)
    error = targets - value(h)[:, 0]
    taken = np.eye(2, dtype=np.float32)[answers]
    log_pi = np.log(np.maximum(pi, 1e-12))
    surprise = -(pi * log_pi).sum(1, keepdims=True)
    dlogits = (pi - taken) * error[:, None] + task.entropy * pi * (log_pi + surprise)
    policy_grads, dh_policy = policy.backward(h, (dlogits / task.batch).astype(np.float32))
    value_grads, dh_value = value.backward(h, (-0.5 * error[:, None] / task.batch).astype(np.float32))
    return {"policy": policy_grads, "value": value_grads, "h": dh_policy + dh_value}


LAST = 15  # a result is the mean over the last 1 / LAST of the iterations


@dataclass
class Result:
    """One task: curves (seeds, iterations) and seconds a run, by mode."""

    name: str
    measure: str
    chance: float
    curves: dict[Mode, NDArray[Any]]
    seconds: dict[Mode, float]
    best: float = 0.0

    def finals(self, mode: Mode) -> NDArray[Any]:
        """(seeds,) mean over the end of each run."""
        curves = self.curves[mode]
        return curves[:, -max(1, curves.shape[1] // LAST) :].mean(1)

    def median(self, mode: Mode) -> float:
        return float(np.median(self.finals(mode)))

    def at_chance(self) -> list[Mode]:
        """The modes that came less than a tenth of the way from chance to the best there is."""
        way = self.best - self.chance
        return [mode for mode in self.curves if (self.median(mode) - self.chance) / way < 0.1]
