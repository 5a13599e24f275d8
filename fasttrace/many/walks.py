"""Many agents, each in a world of its own: what each has done, and has still to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import FeatureIndexError
from ..linear.learner import LinearLearner
from ..memory import Float64
from ..pieces import tell
from .crew import Crew

Ended = tuple[int, Float64, NDArray[np.int64]]  # steps made; returns and lengths of the episodes that ended
Report = Callable[[int, int, Float64], object]
_NOTHING = np.empty(0)


@dataclass(frozen=True)
class Histories:
    """What happened to each of N agents.

    returns  (N, E) undiscounted sums of rewards of the episodes that ended; NaN where an agent's steps ran
             out before
    lengths  (N, E) their steps; 0 there
    steps    (N,) in all, with those of an episode that has not ended
    seconds  in the loop, of all together
    diverged (N,) whether an agent was found to have diverged
    """

    returns: Float64
    lengths: NDArray[np.int64]
    steps: NDArray[np.int64]
    seconds: float
    diverged: NDArray[np.bool_]


class Loops(Protocol):
    """A backend's simulations, which can be gone on with; distinct ones in distinct threads."""

    def run(self, numbers: Sequence[int], steps: Sequence[int], episodes: Sequence[int]) -> list[Ended]: ...


class Walks:
    """Agents that have so many steps and episodes to go, and what they have done.

    look  steps between two looks whether an agent has diverged; it ends there
    may   may(i, steps made) whether a last look at agent i is worth its time
    """

    def __init__(
        self,
        agents: Sequence[LinearLearner],
        loops: Loops,
        steps: int,
        episodes: int,
        look: int,
        may: Callable[[int, int], bool],
    ) -> None:
        n = len(agents)
        self._agents, self._loops, self._most, self._look, self._may = (
            agents,
            loops,
            (steps, episodes),
            look,
            may,
        )
        self._steps, self._ended, self._diverged = [0] * n, [0] * n, [False] * n
        self._returns: list[list[Float64]] = [[] for _ in range(n)]
        self._lengths: list[list[NDArray[np.int64]]] = [[] for _ in range(n)]
        self._new: list[Float64] = []
        self._made = 0
        self._lock = threading.Lock()

    def run(self, threads: int, size: int, report: Report, E: int | None, whole: bool = False) -> Histories:
        """To the end; or KeyboardInterrupt, which has what was done as `history`, and the steps of all.

        size    steps of the first piece
        report  is told the steps and episodes of all, and the returns of the episodes that ended since then
        whole   see Crew
        E       episodes of an agent in the history; None: the most that any ended
        """
        heap = [i for i in range(len(self._agents)) if self._goes_on(i)]
        begun = time.perf_counter()

        def watch() -> None:
            with self._lock:
                new, self._new = self._new, []
                made = self._made
            report(made, sum(self._ended), np.concatenate([_NOTHING, *new]))

        try:
            Crew(heap, self._piece, size, threads, whole).run(watch)
        except KeyboardInterrupt as interrupt:
            history = self._history(time.perf_counter() - begun, E)
            tell(interrupt, steps=int(history.steps.sum()), history=history)
            raise
        return self._history(time.perf_counter() - begun, E)

    def _goes_on(self, i: int) -> bool:
        steps, episodes = self._most
        return self._steps[i] < steps and self._ended[i] < episodes and not self._diverged[i]

    def _piece(self, some: list[int], size: int) -> list[int]:
        """About `size` steps of these in all; returns those that go on."""
        most_steps, most_episodes = self._most
        each = max(1, size // len(some))
        steps = [
            min(each, most_steps - self._steps[i], self._look - self._steps[i] % self._look) for i in some
        ]
        left = [most_episodes - self._ended[i] for i in some]
        for i, (made, returns, lengths) in zip(some, self._loops.run(some, steps, left), strict=True):
            self._steps[i] += made
            self._ended[i] += len(returns)
            with self._lock:
                self._made += made
                if len(returns):
                    self._returns[i].append(returns)
                    self._lengths[i].append(lengths)
                    self._new.append(returns)
            last = not self._goes_on(i)
            due = self._steps[i] % self._look == 0 or (last and self._may(i, self._steps[i]))
            if made and due:
                self._diverged[i] = self._agents[i].diverged
        return [i for i in some if self._goes_on(i)]

    def _history(self, seconds: float, E: int | None) -> Histories:
        n = len(self._agents)
        width = max(self._ended, default=0) if E is None else E
        returns, lengths = np.full((n, width), np.nan), np.zeros((n, width), np.int64)
        for i, ended in enumerate(self._ended):
            if ended:
                returns[i, :ended] = np.concatenate(self._returns[i])
                lengths[i, :ended] = np.concatenate(self._lengths[i])
        return Histories(
            returns, lengths, np.array(self._steps, np.int64), seconds, np.array(self._diverged, bool)
        )


class OneByOne:
    """Loops of one agent each, one after the other."""

    def __init__(self, loops: Sequence[Any]) -> None:
        self._each = loops

    def run(self, numbers: Sequence[int], steps: Sequence[int], episodes: Sequence[int]) -> list[Ended]:
        done = []
        for i, most_steps, most in zip(numbers, steps, episodes, strict=True):
            try:
                done.append(self._each[i].run(most_steps, most))
            except ValueError as error:
                raise ValueError(f"agent {i}: {error}") from None
            except FeatureIndexError as error:
                raise FeatureIndexError(f"agent {i}: {error}") from None
        return done
