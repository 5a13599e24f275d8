"""What the staleness command learns: the values of a ring, and returns of an environment of Gymnasium."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import neural
from ..backends import Backend
from ..returns import lambda_returns

Array = NDArray[Any]

PARTS = 50  # of a run, after each of which the error is looked at


@dataclass(frozen=True)
class Task:
    """A stream to learn from, and states (N, i) whose values (N,) are known.

    error  of predictions (N,): its root mean square, as a part of the deviation of the values
    """

    states: Array
    rewards: Array
    gammas: Array
    known: Array
    values: Array

    @property
    def steps(self) -> int:
        return len(self.rewards)

    def error(self, predictions: Array) -> float:
        return float(np.sqrt(np.mean((predictions - self.values) ** 2)) / self.values.std())


def ring(seed: int, steps: int, n: int = 20, n_features: int = 8, gamma: float = 0.95) -> Task:
    """A random walk on a ring of n states, reward 1 for arriving in state 0; features of normal numbers.

    The features are the same for every seed.  The values solve v = P (r + gamma v).
    """
    P = 0.5 * (np.roll(np.eye(n), 1, 1) + np.roll(np.eye(n), -1, 1))
    r = np.eye(n)[0]
    values = np.linalg.solve(np.eye(n) - gamma * P, P @ r)
    known = np.random.default_rng(20).normal(size=(n, n_features))
    moves = np.random.default_rng(seed).choice([-1, 1], steps)
    s = np.concatenate([[0], np.cumsum(moves)]) % n
    return Task(known[s], r[s[1:]], np.full(steps, gamma), known, values)


MIDDLE, SPAN = np.array([-0.3, 0.0]), np.array([0.9, 0.07])  # of MountainCar's states: to -1 ... 1


def mountain_car(seed: int, steps: int, gamma: float = 0.98, checked: int = 5000) -> Task:
    """MountainCar-v0 under a fixed policy: with the car's motion, but for every fifth push, which is random.

    The rewards are those of the environment, -1 a step, times 1 - gamma: returns from -1 to 0.  The values
    are the returns that followed in episodes of their own.
    """
    states, rewards, gammas = _episodes(seed, steps, gamma)
    known, after, discounts = _episodes(10_000 + seed, checked, gamma)
    returns = lambda_returns(after, np.zeros(checked + 1), gammas=discounts)
    over = np.flatnonzero(discounts == 0.0)
    whole = int(over[-1]) + 1 if len(over) else checked  # those whose episode came to its end
    return Task(states, rewards, gammas, known[:whole], returns[:whole])


def _episodes(seed: int, steps: int, gamma: float) -> tuple[Array, Array, Array]:
    """States (steps + 1, 2), rewards and discounts; no episode is cut, the time limit is left out."""
    import gymnasium

    env = gymnasium.make("MountainCar-v0").unwrapped
    rng = np.random.default_rng(seed)
    states, rewards, gammas = np.empty((steps + 1, 2)), np.empty(steps), np.full(steps, gamma)
    states[0], _ = env.reset(seed=seed)
    for t in range(steps):
        action = int(rng.integers(3)) if rng.random() < 0.2 else 2 * int(states[t, 1] > 0.0)
        states[t + 1], rewards[t], terminated, _, _ = env.step(action)
        if terminated:
            gammas[t] = 0.0
            states[t + 1], _ = env.reset()
    env.close()
    return (states - MIDDLE) / SPAN, (1.0 - gamma) * rewards, gammas


TASKS: dict[str, Callable[..., Task]] = {
    "20-state ring": ring,
    "MountainCar-v0, a fixed policy": mountain_car,
}


@dataclass(frozen=True)
class Entry:
    """A learner and the settings that are tried: `tried` names what varies, its values `among`."""

    label: str
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    tried: str = "alpha"
    among: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)

    def make(self, task: Task, setting: float, seed: int, backend: Backend, lambda_: float) -> Any:
        options = {"gamma": float(task.gammas.max()), "lambda_": lambda_} | self.options
        if self.tried == "kappa":
            options["optimiser"] = neural.ObGD(kappa=setting)
        else:
            options[self.tried] = setting
        if self.kind == "StreamTD":
            n_inputs = task.states.shape[1]
            return neural.StreamTD(n_inputs, hidden=HIDDEN, seed=seed, backend=backend, **options)
        return getattr(neural, self.kind)(network(task, seed, backend), **options)


HIDDEN = (32, 32)
KAPPAS = (0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.0, 4.0)

ENTRIES = (
    Entry("no trace", "NetworkTD", {"lambda_": 0.0, "keep": 0}),
    Entry("the trace as it is", "NetworkTD", {"keep": 0}),
    Entry("ObGD's bounded step", "NetworkTD", {"keep": 0}, "kappa", KAPPAS),
    Entry("StreamTD", "StreamTD", {"scale_rewards": False}, "kappa", KAPPAS),
    Entry("ForwardTD, fresh", "ForwardTD"),
    Entry("ForwardTD, arrival", "ForwardTD", {"values": "arrival"}),
    Entry("TDRC", "TDRC"),
    Entry("expected trace", "ExpectedTraceTD"),
)


def network(task: Task, seed: int, backend: Backend) -> neural.MLP:
    """The network of every learner: two layers of 32 tanh units, the same first weights for one seed."""
    sizes = (task.states.shape[1], *HIDDEN, 1)
    return neural.MLP(sizes, seed=seed, dtype=np.float32, backend=backend)


def learn(entry: Entry, setting: float, task: Task, seed: int, backend: Backend, lambda_: float) -> Array:
    """Errors (PARTS + 1,): before the first step, and after each part of the run.  inf where it diverges."""
    learner = entry.make(task, setting, seed, backend, lambda_)
    errors = np.full(PARTS + 1, np.inf)
    errors[0] = task.error(learner.predict(task.known).reshape(-1))
    at = np.linspace(0, task.steps, PARTS + 1).astype(int)
    for i, (start, stop) in enumerate(pairwise(at)):
        try:
            learner.learn(
                task.states[start : stop + 1], task.rewards[start:stop], gammas=task.gammas[start:stop]
            )
            errors[i + 1] = task.error(learner.predict(task.known).reshape(-1))
        except FloatingPointError:
            break
    return errors


def staleness(
    rule: float | None, lambda_: float, task: Task, seed: int, backend: Backend, looks: int
) -> tuple[Array, Array]:
    """Relative distance and cosine (looks,) of the trace of NetworkTD along a run, evenly in time.

    rule  step size, None: ObGD

    The trace is compared with the one that the parameters before the last update give, over as many states as
    weigh 1e-3 or more in it.
    """
    gamma = float(task.gammas.max())
    window = int(np.ceil(np.log(1e-3) / np.log(gamma * lambda_)))
    step: dict[str, Any] = {"optimiser": neural.ObGD()} if rule is None else {"alpha": rule}
    learner = neural.NetworkTD(
        network(task, seed, backend), gamma=gamma, lambda_=lambda_, keep=window, **step
    )
    found = np.full((looks, 2), np.nan)
    at = np.linspace(0, task.steps, looks + 1).astype(int)
    for i, (start, stop) in enumerate(pairwise(at)):
        try:
            learner.learn(
                task.states[start : stop + 1], task.rewards[start:stop], gammas=task.gammas[start:stop]
            )
        except FloatingPointError:
            break
        found[i] = learner.staleness(window)
    return found[:, 0], found[:, 1]


@dataclass
class Measured:
    """One task: (seeds, looks) distances and cosines by rule; of each learner its best setting and curves.

    scores   error over the whole run of each setting, the median over the seeds
    curves   (seeds, PARTS + 1) errors with the best
    seconds  a run of it
    """

    name: str
    steps: int
    distances: dict[tuple[float | None, float], Array] = field(default_factory=dict)
    cosines: dict[tuple[float | None, float], Array] = field(default_factory=dict)
    settings: dict[str, float] = field(default_factory=dict)
    scores: dict[str, dict[float, float]] = field(default_factory=dict)
    curves: dict[str, Array] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def rule_name(rule: float | None, lambda_: float) -> str:
    return f"{'ObGD' if rule is None else f'alpha {rule:g}'}, lambda {lambda_:g}"
