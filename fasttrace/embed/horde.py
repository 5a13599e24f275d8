"""A horde's step inside compiled loops."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import arguments
from ..backends import Name, module, why_missing
from ..backends.numba import horde, verb
from ..backends.numba.stream import borrowed
from ..layout import BAD_VALUE, KINDS, OK
from ..many.horde import Horde
from ..many.horde_trace import DenseHorde
from ..memory import sparse_zeros
from .inputs import NO_VALUES, check_state, external, pointer, refuse, rows_of


class HordeState(NamedTuple):
    """A horde's memory as arrays, for compiled functions: `memory` is ft_horde, `one` the ft_horde_stream of
    a step.

    source, position  (lanes,), (m,): the prediction of each lane, and the lane of each prediction
    given             (4, lanes) cumulants, gammas, lambdas and rhos of a step;  out (lanes,)
    binary, valued    the step of features without and with values, as Numba has it
    """

    memory: horde.Memory
    source: NDArray[np.int64]
    position: NDArray[np.int64]
    given: NDArray[np.float64]
    out: NDArray[np.float64]
    entries: NDArray[np.uint64]
    sizes: NDArray[np.float64]
    begins: NDArray[np.int64]
    used: NDArray[np.int64]
    one: NDArray[np.int64]
    binary: horde.Stream
    valued: horde.Stream


def horde_state(learner: Horde, features: int | None) -> HordeState:
    owner = learner._trace
    if isinstance(owner, DenseHorde):
        raise ValueError(
            f"learner: has the backend {learner.backend!r}, expected 'numba' or 'c'; see Learner.to"
        )
    count = owner.n if features is None else arguments.count("features", features, 1, owner.n)
    with learner._in_use():
        owner.grow(count + 1)  # the first slot is no feature's
    lanes = len(owner.out)
    given, out = np.zeros((4, lanes)), np.zeros(lanes)
    entries, sizes = sparse_zeros(2 * owner.n, np.uint64), sparse_zeros(2 * owner.n, np.float64)
    begins, used, one = np.zeros(3, np.int64), np.zeros(2, np.int64), np.zeros(0, np.int64)
    if why_missing("c") is None:
        one = module("c", "horde").one_step(owner, given, out)
    numbers = [horde.Series(borrowed(each), 0, 1) for each in given]
    binary, valued = (
        horde.Stream(1, borrowed(begins), borrowed(entries), borrowed(each), borrowed(used), *numbers)
        for each in (NO_VALUES, sizes)
    )
    return HordeState(
        horde.memory_of(owner), owner.lanes.source, owner.lanes.position, given, out, entries, sizes, begins,
        used, one, binary, valued,
    )  # fmt: skip


if why_missing("c") is None:
    _ft_horde_step = external("ft_horde_step")

_KIND, _GTD = horde.KIND, horde.GTD


@functools.cache
def _numba_horde(two):
    run = horde.run_kernel(two)

    @verb
    def numba_horde(state, indices, values, indices_next, values_next):
        h, valued = state.memory, values.size + values_next.size > 0
        status = horde.step_kernel(
            h, indices, values, indices_next, values_next, state.entries,
            state.sizes[: state.sizes.size if valued else 0], state.begins, state.used,
        )  # fmt: skip
        if status == OK:
            run(h, state.valued if valued else state.binary, state.out, 0)
        return status

    return numba_horde


@verb
def _c_horde(state, indices, values, indices_next, values_next):
    return _ft_horde_step(
        state.memory.header.ctypes.data,
        indices.size, indices.ctypes.data, pointer(values),
        indices_next.size, indices_next.ctypes.data, pointer(values_next),
        state.one.ctypes.data, state.entries.ctypes.data, state.sizes.ctypes.data,
    )  # fmt: skip


@verb
def _give_lanes(state, cumulants, gammas, lambdas, rhos, deltas):
    """Numbers by the prediction as numbers by the lane, all of them checked."""
    m = state.position.size
    for each in (cumulants, gammas, lambdas, rhos, deltas):
        if each.size != m:
            raise ValueError("an array of a horde's step has not one entry for each prediction")
    for j in range(np.uint64(m)):
        good = np.isfinite(cumulants[j]) and 0.0 <= gammas[j] <= 1.0 and 0.0 <= lambdas[j] <= 1.0
        if not (good and 0.0 <= rhos[j] < np.inf):
            return BAD_VALUE
    for i in range(np.uint64(state.source.size)):
        j = state.source[i]
        state.given[0, i], state.given[1, i] = cumulants[j], gammas[j]
        state.given[2, i], state.given[3, i] = lambdas[j], rhos[j]
    return OK


@functools.cache
def horde_step(backend: Name, two: bool, replaces: bool):
    run = _c_horde if backend == "c" else _numba_horde(two)
    kind = KINDS["replacing" if replaces else "accumulating"].value

    @verb
    def horde_step(state, x, cumulants, x_next, gammas, lambdas, rhos, deltas):
        check_state(state, HordeState)
        if (state.memory.header[_KIND] == _GTD) != two:
            raise ValueError("state: of a horde of another learner than that of the step")
        i, u, i_next, u_next = rows_of(x, x_next, kind)
        if i.size + i_next.size > state.entries.size:
            raise ValueError("x, x_next: more entries than twice the features that there are")
        refuse(_give_lanes(state, cumulants, gammas, lambdas, rhos, deltas))
        status = run(state, i, u, i_next, u_next)
        if status == horde.FULL:
            raise MemoryError("no memory for another feature of the horde: see features of embed.state")
        refuse(status)
        for j in range(np.uint64(state.position.size)):
            deltas[j] = state.out[state.position[j]]

    return horde_step
