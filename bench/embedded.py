"""Our step inside somebody else's compiled loop: the third level, after one call and a whole stream."""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np

from fasttrace import embed

from .cases import BACKENDS, Case, Spec, learner
from .workloads import Workload


@cache
def _loop(kernel: str, backend: str, workload: Workload) -> Any:
    """A user's loop over a stream, compiled with the step of that backend in it."""
    step = embed.step(learner(kernel, workload, 0.99, backend))

    @numba.njit(error_model="numpy")
    def follow(state, x, rewards, gamma, lambda_, alpha):
        last = 0.0
        for t in range(len(rewards)):
            last = step(state, x[t], rewards[t], x[t + 1], gamma, lambda_, 1.0, alpha)
        return last

    return follow


def embedded_case(spec: Spec, workload: Workload) -> Case:
    backend = {label: name for name, label in BACKENDS.items()}[spec.implementation]
    follow = _loop(spec.kernel, backend, workload)
    numbers = (workload.gamma, spec.lambda_, workload.alpha)
    ours = learner(spec.kernel, workload, spec.lambda_, backend)
    state = embed.state(ours)
    nothing = np.zeros(workload.n)

    def prepare() -> None:
        ours.reset()
        ours.weights = nothing

    def run() -> float:
        return follow(state, workload.x, workload.rewards, *numbers)

    def check() -> bool:
        """To the bit as `learn`; from new learners, for the sweep of an old one goes on where it is."""
        stepped, at_once = (learner(spec.kernel, workload, spec.lambda_, backend) for _ in range(2))
        follow(embed.state(stepped), workload.x, workload.rewards, *numbers)
        at_once.learn(workload.x, workload.rewards)
        return bool((stepped.weights == at_once.weights).all())

    return Case(spec, workload, workload.steps, prepare, run, check)
