"""Environment, coder and agent in one loop, for many agents on a GPU: csrc/simulate.cu, a thread an agent."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import NOT_FINITE, FeatureIndexError, no_feature
from ...layout import BAD_INDEX, KINDS, POLICIES, TARGETS
from ...policy import Method
from . import device
from .crowd import THREADS, Crowd, refuse

_NUMBERS = 4  # FT_NUMBERS

# ft_simulation and ft_philox, as numpy has them: all fields are of 8 bytes.  What is not set is the kernel's.
_SIMULATION = {
    **dict.fromkeys(("env", "tiles", "trace", "kind", "target", "policy", "max_length"), np.int64),
    **dict.fromkeys(("alpha", "gamma", "lambda_", "parameter", "sigma"), np.float64),
    **dict.fromkeys(("next_double", "random", "at_state", "at_u", "at_q", "at_idx"), np.int64),
    **dict.fromkeys(("running", "action", "length", "steps", "episodes"), np.int64),
    **dict.fromkeys(("total", "c_bar", "rho_bar", "psi", "beta"), np.float64),
}
_PHILOX = [("counter", np.uint64, 4), ("key", np.uint64, 2), ("block", np.uint64, 4), ("used", np.int64)]
_PROBLEM = struct.Struct("=5q 11q 5q q")


def agent_type(words: int) -> np.dtype[Any]:
    """ft_agent of csrc/simulate.cu; ft_trace has so many words."""
    more = [
        ("ft_trace", np.int64, words),
        *_PHILOX,
        ("state", np.float64, _NUMBERS),
        ("u", np.float64, _NUMBERS),
    ]
    return np.dtype([*_SIMULATION.items(), *more])


class Loops:
    """Runs of many learners, each with numbers of its own: see backends.c.simulate.

    They work on copies; `run` brings the learners up to date.
    Errors: ValueError for an environment that is not built in.
    """

    def __init__(
        self,
        env: Any,
        coder: Any,
        methods: Sequence[Method],
        keys: Sequence[tuple[int, int]],
        max_length: int,
    ) -> None:
        refuse(env.twin is None, repr(env), "an environment that fasttrace.envs has built in")
        traces, one = [method.trace for method in methods], methods[0]
        self._n, width = one.trace.n, one.trace.width
        self._crowd = crowd = Crowd(traces)
        tiles = coder.kernel("numba").table if coder else np.empty(0)
        tilings = coder.tilings if coder else 1
        agents = np.zeros(len(methods), agent_type(len(one.trace.words)))
        agents["ft_trace"] = crowd.words()
        agents["kind"], agents["target"] = KINDS[one.kind].value, TARGETS[one.target].value
        agents["max_length"], agents["used"], agents["key"] = max_length, 4, keys
        for agent, method in zip(agents, methods, strict=True):
            agent["policy"], agent["parameter"] = POLICIES[method.own[0]], method.own[1]
            agent["alpha"], agent["gamma"], agent["lambda_"] = method.numbers
            agent["sigma"] = method.sigma
            for name, value in method.options._asdict().items():
                agent[name] = value
        self._agents = agents
        name, *number = env.twin
        self._macros = (
            *crowd.row_type(),
            f"FT_ENV={name}(&env{', &p.number' if number else ''})",
            f"FT_KIND={KINDS[one.kind].value}",
            f"FT_WIDTH={width}",
            f"FT_ACTIVE={tilings}",
            f"FT_BOUNDED={int(any(trace.cap == trace.cap for trace in traces))}",
        )
        memory = crowd.memory
        self._at_agents, at_idx = (
            memory.put("agents", agents),
            memory.put("idx", np.zeros((len(agents), tilings), np.int32)),
        )
        at_table = memory.put("table", tiles) if coder else 0
        self._pointers = self._at_agents, *crowd.addresses, at_idx
        self._coder = (
            (len(coder.low), tilings, coder.n_features, coder.memory or 0, at_table) if coder else (0,) * 5
        )
        self._number = number[0] if number else 0

    def run(
        self, numbers: Sequence[int], steps: Sequence[int], episodes: Sequence[int]
    ) -> list[tuple[int, np.ndarray, np.ndarray]]:
        """Go on with some of them; see backends.c.simulate."""
        memory, count, room = self._crowd.memory, len(numbers), max(map(min, steps, episodes))
        returns, lengths = np.empty((count, room)), np.empty((count, room), np.int64)
        outs: dict[str, np.ndarray] = {
            "returns": returns,
            "lengths": lengths,
            "status": np.zeros(count, np.int32),
        }
        at_most = memory.put("most", np.array([numbers, steps, episodes], np.int64))
        most = (at_most + 8 * count * row for row in range(3))
        problem = _PROBLEM.pack(
            count, room, *self._crowd.sizes, *self._pointers, *most,
            *(memory.put(name, array) for name, array in outs.items()), *self._coder, self._number,
        )  # fmt: skip
        grid = -(-count // THREADS), 1
        device.launch("simulate", self._macros, "simulate", 0, 0, grid, THREADS, problem)
        memory.get("agents", self._agents)
        for name, array in outs.items():
            memory.get(name, array)
        self._crowd.fetch(self._agents["ft_trace"])
        agents, status = self._agents[list(numbers)], outs["status"]
        for j in np.flatnonzero(status)[:1]:
            if status[j] == BAD_INDEX:
                raise FeatureIndexError(f"agent {numbers[j]}: {no_feature(agents[j]['state'][0], self._n)}")
            raise ValueError(f"agent {numbers[j]}: {NOT_FINITE}")
        return [
            (int(made), returns[j, :ended].copy(), lengths[j, :ended].copy())
            for j, (made, ended) in enumerate(zip(agents["steps"], agents["episodes"], strict=True))
        ]
