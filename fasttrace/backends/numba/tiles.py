"""Tile coding with Numba.  The table is the C coder's; see csrc/tiles.h."""

import math

import numpy as np

from . import jit, verb

LOW, SPAN, SCALE, CELLS, STRIDE, WRAPS, DISPLACED = range(7)
FOREVER = np.iinfo(np.int32).max


@verb
def _coordinate(row, s):
    span = row[SPAN]
    r = s - row[LOW]
    if row[WRAPS] != 0.0:
        if not (r >= 0.0 and r < span):
            r = np.fmod(r, span)
            r = r + span if r < 0.0 else r
            r = r if r < span else 0.0
    else:
        r = r if r > 0.0 else 0.0
        r = r if r < span else span
    return r * row[SCALE]


@verb
def _cell(coordinate, displacement, end):
    cell = np.int32(coordinate + displacement)
    return cell if cell < end else np.int32(0)


@verb
def _mix(code, value):
    code = (code ^ np.uint64(value)) * np.uint64(0x9E3779B97F4A7C15)
    return code ^ (code >> np.uint64(32))


@verb
def tiles_one(state, idx, codes, table, memory):
    """idx (tilings) of one state (dims,), for loops of Numba's own.  Checks nothing.

    codes   (tilings) uint64, scratch; only used where indices are hashed.
    """
    tilings = np.uint64(len(idx))
    first = np.uint64(DISPLACED)
    grid = np.int32(table[0, CELLS] * table[0, STRIDE])
    for j in range(tilings):
        if memory:
            codes[j] = _mix(np.uint64(0), j)
        else:
            idx[j] = np.int32(j) * grid
    for i in range(np.uint64(len(state))):
        row = table[i]
        coordinate = _coordinate(row, state[i])
        stride = np.int32(row[STRIDE])
        end = np.int32(row[CELLS]) if row[WRAPS] != 0.0 else np.int32(FOREVER)
        if memory:
            for j in range(tilings):
                codes[j] = _mix(codes[j], _cell(coordinate, row[first + j], end))
        else:
            for j in range(tilings):
                idx[j] += np.int32(stride * _cell(coordinate, row[first + j], end))
    if memory:
        for j in range(tilings):
            idx[j] = np.int32(((codes[j] >> np.uint64(32)) * np.uint64(memory)) >> np.uint64(32))


@jit
def tiles_encode(states, idx, table, memory):
    """idx (N * tilings) of states (N * dims).  False, and nothing written, where a state is nowhere."""
    dims = len(table)
    tilings = table.shape[1] - DISPLACED
    N = len(states) // dims
    nowhere = False
    for i in range(dims):
        limit = np.finfo(np.float64).max if table[i, WRAPS] != 0.0 else np.inf
        low = table[i, LOW]
        for n in range(np.uint64(N)):
            nowhere |= not (abs(states[n * np.uint64(dims) + np.uint64(i)] - low) <= limit)
    if nowhere:
        return False
    codes = np.empty(tilings if memory else 0, np.uint64)
    for n in range(N):
        tiles_one(
            states[n * dims : (n + 1) * dims], idx[n * tilings : (n + 1) * tilings], codes, table, memory
        )
    return True


class Coder:
    """See backends.numpy.tiles.  `table` and `memory` are what tiles_one takes."""

    def __init__(self, low, high, tiles, wraps, tilings, memory):
        dims = len(low)
        cells = tiles + ~wraps
        table = np.empty((dims, DISPLACED + tilings))
        table[:, LOW] = low
        table[:, SPAN] = high - low
        table[:, SCALE] = tiles / (high - low)
        table[:, CELLS] = cells
        table[:, STRIDE] = 0 if memory else [math.prod(cells[i + 1 :].tolist()) for i in range(dims)]
        table[:, WRAPS] = wraps
        step = 2 * np.arange(dims)[:, None] + 1
        table[:, DISPLACED:] = np.arange(tilings) * step % tilings / tilings
        self.table, self.memory = table, memory

    def encode(self, N, states, idx):
        return tiles_encode(states.reshape(-1), idx.reshape(-1), self.table, self.memory)
