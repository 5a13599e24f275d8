"""Environment, coder and agent in one loop, for many agents on a GPU: csrc/simulate.cu, a thread an agent."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import NOT_FINITE, FeatureIndexError, no_feature
from ...layout import BAD_INDEX, KINDS, POLICIES, TARGETS
from ...policy import Method
from . import device
from .crowd import THREADS, Crowd, blocks, refuse

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
_PROBLEM = struct.Struct("=2q 7q 8q 5q q")
_ROOM = 1 << 22  # episodes of all agents, about, that are kept between two looks at what is done

_STATE = [("state", np.float64, _NUMBERS), ("u", np.float64, _NUMBERS)]
AGENT = np.dtype([*_SIMULATION.items(), *_PHILOX, *_STATE])  # ft_agent of csrc/simulate.cu

Int64 = NDArray[np.int64]


class Loops:
    """Runs of many learners, each with numbers of its own; see many.walks.

    What they have learned stays on the GPU; see Crowd.
    Errors: ValueError for an environment that is not built in.
    """

    def __init__(
        self,
        env: Any,
        coder: Any,
        methods: Sequence[Method],
        keys: Sequence[tuple[int, int]],
        max_length: int,
        crowd: Crowd,
    ) -> None:
        check(env)
        one = methods[0]
        self._n, width = one.trace.n, one.trace.width
        self._crowd = crowd
        tiles = coder.kernel("numba").table if coder else np.empty(0)
        tilings = coder.tilings if coder else 1
        self._agents = agents = np.zeros(len(methods), AGENT)
        agents["kind"], agents["target"] = KINDS[one.kind].value, TARGETS[one.target].value
        agents["max_length"], agents["used"], agents["key"] = max_length, 4, keys
        for agent, method in zip(agents, methods, strict=True):
            agent["policy"], agent["parameter"] = POLICIES[method.own[0]], method.own[1]
            agent["alpha"], agent["gamma"], agent["lambda_"] = method.numbers
            agent["sigma"] = method.sigma
            for name, value in method.options._asdict().items():
                agent[name] = value
        name, *number = env.twin
        self._macros = (
            *crowd.row_type(),
            f"FT_ENV={name}(&env{', &p.number' if number else ''})",
            f"FT_KIND={KINDS[one.kind].value}",
            f"FT_WIDTH={width}",
            f"FT_ACTIVE={tilings}",
            f"FT_BOUNDED={int(any(method.trace.cap == method.trace.cap for method in methods))}",
        )
        device.prepare("simulate", self._macros, "simulate", 0)  # not within a piece: it takes seconds
        memory = crowd.memory
        self._own = (
            memory.put("agents", agents),
            memory.put("idx", np.zeros((len(agents), tilings), np.int32)),
        )
        at_table = memory.put("table", tiles) if coder else 0
        self._coder = (
            (len(coder.low), tilings, coder.n_features, coder.memory or 0, at_table) if coder else (0,) * 5
        )
        self._number = number[0] if number else 0

    def run(self, numbers: Int64, steps: Int64, episodes: Int64) -> tuple[Int64, Int64, np.ndarray, Int64]:
        """Go on with some of them, until the room for their episodes is full."""
        count, memory = len(numbers), self._crowd.memory
        room = min(int(np.minimum(steps, episodes).max()), max(_ROOM // count, 64))
        most = np.array([numbers, steps, np.minimum(episodes, room)], np.int64)
        status = np.empty(count, np.int32)
        returns, lengths = np.empty((count, room)), np.empty((count, room), np.int64)
        self._launch("simulate", most, room, status)
        back: dict[str, NDArray[Any]] = {
            "most": most,
            "status": status,
            "returns": returns,
            "lengths": lengths,
        }
        for name, array in back.items():
            memory.get(name, array)
        for j in np.flatnonzero(status)[:1]:
            if status[j] == BAD_INDEX:
                memory.get("agents", self._agents)
                state = self._agents[numbers[j]]["state"][0]
                raise FeatureIndexError(f"agent {numbers[j]}: {no_feature(state, self._n)}")
            raise ValueError(f"agent {numbers[j]}: {NOT_FINITE}")
        return most[1], most[2], returns, lengths

    def diverged(self, numbers: Int64, due: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """See many.walks.Walks."""
        status = np.empty(len(numbers), np.int32)
        self._launch("look", np.array([numbers, due, due], np.int64), 0, status)
        self._crowd.memory.get("status", status)
        return status != 0

    def _launch(self, name: str, most: Int64, room: int, status: NDArray[np.int32]) -> None:
        memory, count = self._crowd.memory, len(status)
        at_most = memory.put("most", most)
        outs = [memory.room(each, 8 * count * room) for each in ("returns", "lengths")]
        outs.append(memory.room("status", status.nbytes))
        rows = (at_most + 8 * count * row for row in range(3))
        problem = _PROBLEM.pack(
            count, room, *self._crowd.go(), *self._own, *rows, *outs, *self._coder, self._number
        )
        device.launch("simulate", self._macros, name, 0, 0, blocks(count), THREADS, problem)


def check(env: Any) -> None:
    """Errors: ValueError."""
    refuse(env.twin is None, repr(env), "an environment that fasttrace.envs has built in")
