"""The native loop of environment, coder and agent in C; see ft_simulate in csrc/fasttrace.h."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import NOT_FINITE, FeatureIndexError, no_feature
from ...layout import KINDS, POLICIES, TARGETS
from ...memory import aligned_zeros
from ...pieces import held
from ...policy import Method
from . import ffi, lib, refuse
from .linear import handle, room_of, writable

Int64 = NDArray[np.int64]
_INT64S = ffi.typeof("int64_t[]")
_INT32S = ffi.typeof("int32_t[]")


class _Simulation:
    """An ft_simulation of one learner, and what must live as long as it.

    env, coder  the C backend's own; coder may be None
    """

    def __init__(self, env: Any, coder: Any, method: Method, max_length: int) -> None:
        tilings, n_state = coder.struct.tilings if coder else 1, env.struct.n_state
        uniforms, width = max(env.struct.reset_uniforms, env.struct.step_uniforms, 1), method.trace.width
        # One block, the indices (int32) and q at the beginning of a line: they are stored as vectors.
        indices = -(-tilings // 8) * 8
        self._block = aligned_zeros(indices + width + n_state + uniforms, np.float64)
        room = writable("double *", self._block) + indices
        self._owners = env, coder, method.trace
        s = self.struct = ffi.new("ft_simulation *")
        s.q, s.state, s.u = room, room + width, room + width + n_state
        s.idx = ffi.cast("int32_t *", room - indices)
        s.env, s.tiles, s.trace = env.struct, coder.struct if coder else ffi.NULL, handle(method.trace)
        s.kind, s.max_length = KINDS[method.kind].value, max_length
        s.alpha, s.gamma, s.lambda_ = method.numbers
        s.target, s.sigma, s.options = TARGETS[method.target].value, method.sigma, method.options
        s.policy, s.parameter = POLICIES[method.own[0]], method.own[1]

    def complaint(self, status: int) -> Exception:
        """What to raise for a status that is not OK."""
        try:
            if status == lib.FT_EINDEX:
                return FeatureIndexError(no_feature(self.struct.state[0], self.struct.trace.n))
            refuse(status, value=NOT_FINITE)
        except Exception as error:
            return error
        raise AssertionError(status)


class Loop:
    """A run that can be gone on with.  Errors: as backends.numpy.simulate.Loop."""

    def __init__(
        self, env: Any, coder: Any, method: Method, generator: np.random.Generator, max_length: int
    ) -> None:
        self._one = _Simulation(env.kernel("c"), coder and coder.kernel("c"), method, max_length)
        self._generator, self._lock = generator, generator.bit_generator.lock
        source, s = generator.bit_generator.ctypes, self._one.struct
        s.next_double = ffi.cast("double (*)(void *)", ctypes.cast(source.next_double, ctypes.c_void_p).value)
        s.random = ffi.cast("void *", source.state_address)

    def run(self, steps: int, episodes: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Go on; returns the steps made, and returns and lengths of the episodes that ended."""
        room = min(steps, episodes)
        returns, lengths = np.empty(room), np.empty(room, np.int64)
        s = self._one.struct
        with held(), self._lock:
            status = lib.ft_simulate(
                s, steps, episodes, room_of(returns), ffi.from_buffer(_INT64S, lengths, require_writable=True)
            )
        if status != lib.FT_OK:
            raise self._one.complaint(status)
        return s.steps, returns[: s.episodes], lengths[: s.episodes]


class Loops:
    """Runs of many learners, each with numbers of its own: Philox by its key, as NumPy's is."""

    def __init__(
        self,
        env: Any,
        coder: Any,
        methods: Sequence[Method],
        keys: Sequence[tuple[int, int]],
        max_length: int,
    ) -> None:
        parts = env.kernel("c"), coder and coder.kernel("c")
        self._each = [_Simulation(*parts, method, max_length) for method in methods]
        self._philox = ffi.new("ft_philox[]", len(keys))
        for i, (one, key) in enumerate(zip(self._each, keys, strict=True)):
            lib.ft_philox_init(self._philox + i, *key)
            one.struct.random = self._philox + i

    def run(self, numbers: Int64, steps: Int64, episodes: Int64) -> tuple[Int64, Int64, np.ndarray, Int64]:
        """Go on with some of them; see many.walks.Loops.  An error says whose it is."""
        some = [self._each[i] for i in numbers.tolist()]
        room = int(np.minimum(steps, episodes).max())
        returns, lengths = np.empty((len(some), room)), np.empty((len(some), room), np.int64)
        status = np.zeros(len(some), np.int32)
        failed = lib.ft_simulate_many(
            [one.struct for one in some], len(some), steps.tolist(), episodes.tolist(), room,
            room_of(returns),
            ffi.from_buffer(_INT64S, lengths, require_writable=True),
            ffi.from_buffer(_INT32S, status, require_writable=True),
        )  # fmt: skip
        if failed != lib.FT_OK:
            place = int(np.argmax(status != lib.FT_OK))
            error = some[place].complaint(int(status[place]))
            raise type(error)(f"agent {numbers[place]}: {error}")
        made, ended = ([getattr(one.struct, name) for one in some] for name in ("steps", "episodes"))
        return np.array(made, np.int64), np.array(ended, np.int64), returns, lengths
