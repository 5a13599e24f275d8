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
from ..memory import Float64
from ..pieces import held, tell
from .crew import Crew

Int64 = NDArray[np.int64]
Ended = tuple[Int64, Int64, Float64, Int64]
Diverged = Callable[[Int64, NDArray[np.bool_]], Any]
Report = Callable[[int, int, Float64], object]


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

    def run(self, numbers: Int64, steps: Int64, episodes: Int64) -> Ended:
        """Go on with agents of these numbers for so many steps or episodes each, or fewer.

        Returns the steps made and the episodes that ended, (k,) each; and the returns and lengths of these
        episodes, (k, room) of which each agent's are the first.
        """


class Walks:
    """N agents that have so many steps and episodes to go, and what they have done.

    look      steps between two looks whether an agent has diverged; it ends there
    diverged  diverged(numbers, due) which of these agents have; where it is not due, the agent has ended, and
              a look has to be worth its time
    """

    def __init__(
        self, N: int, loops: Loops, steps: int, episodes: int, look: int, diverged: Diverged
    ) -> None:
        self._loops, self._most, self._look, self._look_at = loops, (steps, episodes), look, diverged
        self._steps, self._ended, self._diverged = np.zeros(N, int), np.zeros(N, int), np.zeros(N, bool)
        self._done: list[tuple[Int64, Float64, Int64]] = []  # whose episodes; their returns and lengths
        self._told = self._made = 0
        self._lock = threading.Lock()

    def run(self, threads: int, size: int, report: Report, E: int | None, whole: bool = False) -> Histories:
        """To the end; or KeyboardInterrupt, which has what was done as `history`, and the steps of all.

        size    steps of the first piece
        report  is told the steps and episodes of all, and the returns of the episodes that ended since then
        whole   see Crew
        E       episodes of an agent in the history; None: the most that any ended
        """
        heap = np.flatnonzero(self._go_on(np.arange(len(self._steps)))).tolist()
        begun = time.perf_counter()

        def watch() -> None:
            with held(), self._lock:
                new, made = self._done[self._told :], self._made
                self._told += len(new)
            report(made, int(self._ended.sum()), np.concatenate([np.empty(0), *(each[1] for each in new)]))

        try:
            Crew(heap, self._piece, size, threads, whole).run(watch)
        except KeyboardInterrupt as interrupt:
            history = self._history(time.perf_counter() - begun, E)
            tell(interrupt, steps=int(history.steps.sum()), history=history)
            raise
        return self._history(time.perf_counter() - begun, E)

    def steps(self, i: int) -> int:
        """That an agent has made."""
        return int(self._steps[i])

    def _go_on(self, i: Int64) -> NDArray[np.bool_]:
        steps, episodes = self._most
        return (self._steps[i] < steps) & (self._ended[i] < episodes) & ~self._diverged[i]

    def _piece(self, some: list[int], size: int) -> list[int]:
        """About `size` steps of these in all; returns those that go on."""
        i = np.array(some)
        most_steps, most_episodes = self._most
        steps = np.minimum(most_steps - self._steps[i], self._look - self._steps[i] % self._look)
        steps = np.minimum(steps, max(1, size // len(some)))
        made, ended, returns, lengths = self._loops.run(i, steps, most_episodes - self._ended[i])
        there = np.arange(returns.shape[1]) < ended[:, np.newaxis]
        self._steps[i] += made
        self._ended[i] += ended
        with self._lock:
            self._made += int(made.sum())
            if ended.any():
                self._done.append((np.repeat(i, ended), returns[there], lengths[there]))
        due = self._steps[i] % self._look == 0
        asked = (made > 0) & (due | ~self._go_on(i))
        if asked.any():
            self._diverged[i[asked]] = self._look_at(i[asked], due[asked])
        return i[self._go_on(i)].tolist()

    def _history(self, seconds: float, E: int | None) -> Histories:
        N = len(self._ended)
        width = int(self._ended.max(initial=0)) if E is None else E
        returns, lengths = np.full((N, width), np.nan), np.zeros((N, width), np.int64)
        if self._done:
            whose, *of_each = map(np.concatenate, zip(*self._done, strict=True))
            order = np.argsort(whose, kind="stable")  # an agent's are in their order
            row = whose[order]
            place = np.arange(len(row)) - np.repeat(np.cumsum(self._ended) - self._ended, self._ended)
            returns[row, place], lengths[row, place] = (each[order] for each in of_each)
        return Histories(returns, lengths, self._steps.copy(), seconds, self._diverged.copy())


class OneByOne:
    """Loops of one agent each, one after the other."""

    def __init__(self, loops: Sequence[Any]) -> None:
        self._each = loops

    def run(self, numbers: Int64, steps: Int64, episodes: Int64) -> Ended:
        done = []
        for i, most_steps, most in zip(numbers.tolist(), steps.tolist(), episodes.tolist(), strict=True):
            try:
                done.append(self._each[i].run(most_steps, most))
            except ValueError as error:
                raise ValueError(f"agent {i}: {error}") from None
            except FeatureIndexError as error:
                raise FeatureIndexError(f"agent {i}: {error}") from None
        ended = np.array([len(returns) for _, returns, _ in done], np.int64)
        shape = len(done), int(ended.max())
        returns, lengths = np.empty(shape), np.empty(shape, np.int64)
        for j, (_, some, some_lengths) in enumerate(done):
            returns[j, : ended[j]], lengths[j, : ended[j]] = some, some_lengths
        return np.array([made for made, _, _ in done], np.int64), ended, returns, lengths
