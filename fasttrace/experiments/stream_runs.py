"""What the stream command is told, and what comes of it: settings and runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEARNERS = {"q": "StreamQ", "sarsa": "StreamSarsa", "ac": "StreamAC", "qrc": "QRC"}
LAST = 50  # episodes, over which a result is the mean
SOLVED = {"CartPole-v1": 400.0}  # the mean return over LAST episodes that counts as learned


@dataclass(frozen=True)
class Settings:
    """What all seeds share; `hidden` are the sizes of the hidden layers.

    learner  of LEARNERS; None: the usual one for the environment's actions, see settled
    """

    env: str = "CartPole-v1"
    learner: str | None = "q"
    steps: int = 100_000
    hidden: tuple[int, ...] = (64, 64)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the learner's class."""
        return LEARNERS[self.learner] if self.learner else "a learner"


@dataclass
class Run:
    """returns (E,) of the episodes that ended, and the number of steps (E,) after which they did."""

    seed: int
    returns: NDArray[np.float64]
    ends: NDArray[np.int64]
    seconds: float

    def last(self) -> float:
        """Mean return over the last episodes; nan without one."""
        return float(self.returns[-LAST:].mean()) if len(self.returns) else float("nan")

    def reached(self, goal: float) -> int | None:
        """Steps after which the mean of LAST returns was first above `goal`."""
        for i in range(LAST, len(self.returns) + 1):
            if self.returns[i - LAST : i].mean() > goal:
                return int(self.ends[i - 1])
        return None
