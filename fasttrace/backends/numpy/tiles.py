"""Tile coding as Sutton & Barto 2018 draw it, section 9.5.4."""

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd


def tiles_hash(tiling, cells):
    """A 64-bit number from the numbers of a tiling and of its tile.

        h <- 0;  for each v of (tiling, cell_0, cell_1, ...):
            h <- (h ^ v) 0x9E3779B97F4A7C15 mod 2^64;  h <- h ^ (h >> 32)

    tiling   (tilings,) integers;  cells (..., tilings, dims) integers.
    Returns (..., tilings) uint64.

    Source: Fibonacci hashing, Knuth, The Art of Computer Programming, volume 3, section 6.4.
    """
    code = np.zeros(cells.shape[:-1], np.uint64)
    for value in (tiling, *np.moveaxis(cells, -1, 0)):
        code = (code ^ value.astype(np.uint64)) * _GOLDEN
        code ^= code >> np.uint64(32)
    return code


class Coder:
    """Tile coder of checked arguments.

    low, high (dims,) float64;  tiles (dims,) int64;  wraps (dims,) bool;  memory 0 is none.
    """

    def __init__(self, low, high, tiles, wraps, tilings, memory):
        self.low, self.span, self.scale = low, high - low, tiles / (high - low)
        self.wraps, self.cells = wraps, tiles + ~wraps
        self.tilings, self.memory = tilings, memory
        j = np.arange(tilings)[:, None]
        i = np.arange(len(low))
        self.displacements = j * (2 * i + 1) % tilings / tilings  # (tilings, dims)

    def encode(self, N, states, idx):
        """Write the features of N states (N * dims numbers) to idx (N * tilings).

        Returns False, with nothing written, if a state is NaN, or infinite where it wraps.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            r = states.reshape(N, len(self.low)) - self.low
            if np.any(np.isnan(r)) or np.any(np.isinf(r[:, self.wraps])):
                return False
            around = np.fmod(r, self.span)
            around = np.where(around < 0, around + self.span, around)
            around = np.where(around < self.span, around, 0.0)
        r = np.where(self.wraps, around, np.clip(r, 0.0, self.span))
        coordinates = (r * self.scale)[:, None, :] + self.displacements
        cells = np.floor(coordinates).astype(np.int64)  # (N, tilings, dims)
        cells = np.where(self.wraps & (cells >= self.cells), 0, cells)
        tiling = np.arange(self.tilings)
        if self.memory:
            high_half = tiles_hash(tiling, cells) >> np.uint64(32)
            features = high_half * np.uint64(self.memory) >> np.uint64(32)
        else:
            shape = (self.tilings, *self.cells)
            features = np.ravel_multi_index((tiling, *np.moveaxis(cells, -1, 0)), shape)
        idx.reshape(N, self.tilings)[:] = features
        return True
