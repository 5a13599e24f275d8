"""The native loop of environment, coder and agent in C; see ft_simulate in csrc/fasttrace.h."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ...errors import NOT_FINITE, FeatureIndexError, no_feature
from ...layout import KINDS, POLICIES, TARGETS
from ...policy import Method
from . import ffi, lib, refuse
from .linear import handle, room_of

_INT64S = ffi.typeof("int64_t[]")


class Loop:
    """A run that can be gone on with.  Errors: as backends.numpy.simulate.Loop."""

    def __init__(
        self, env: Any, coder: Any, trace: Any, kind: str, numbers: tuple[float, ...],
        method: Method, generator: np.random.Generator, max_length: int,
    ) -> None:  # fmt: skip
        env, coder = env.kernel("c"), coder and coder.kernel("c")
        tilings = coder.struct.tilings if coder else 1
        uniforms = max(env.struct.reset_uniforms, env.struct.step_uniforms, 1)
        self._arrays = [
            ffi.new("double[]", env.struct.n_state),
            ffi.new("double[]", uniforms),
            ffi.new("double[]", trace.width),
            ffi.new("int32_t[]", 2 * tilings),
        ]
        self._owners = env, coder, trace, generator  # alive while C holds their addresses
        self._lock = generator.bit_generator.lock
        source = generator.bit_generator.ctypes
        s = ffi.new("ft_simulation *")
        s.env, s.tiles, s.trace = env.struct, coder.struct if coder else ffi.NULL, handle(trace)
        s.kind, s.max_length = KINDS[kind].value, max_length
        s.alpha, s.gamma, s.lambda_ = numbers
        s.target, s.sigma, s.options = TARGETS[method.target].value, method.sigma, method.options
        s.policy, s.parameter = POLICIES[method.own[0]], method.own[1]
        s.next_double = ffi.cast("double (*)(void *)", ctypes.cast(source.next_double, ctypes.c_void_p).value)
        s.random = ffi.cast("void *", source.state_address)
        s.state, s.u, s.q, s.idx = self._arrays
        self._simulation = s

    def run(self, steps: int, episodes: int) -> tuple[int, np.ndarray, np.ndarray]:
        """Go on; returns the steps made, and returns and lengths of the episodes that ended."""
        room = min(steps, episodes)
        returns, lengths = np.empty(room), np.empty(room, np.int64)
        s = self._simulation
        with self._lock:
            status = lib.ft_simulate(
                s, steps, episodes, room_of(returns), ffi.from_buffer(_INT64S, lengths, require_writable=True)
            )
        if status == lib.FT_EINDEX:
            raise FeatureIndexError(no_feature(s.state[0], s.trace.n))
        refuse(status, value=NOT_FINITE)
        return s.steps, returns[: s.episodes], lengths[: s.episodes]
