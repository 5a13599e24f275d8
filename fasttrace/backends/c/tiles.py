"""Tile coding through the C library."""

import numpy as np

from . import ffi, lib, refuse
from .calls import new_call

_DOUBLES = ffi.typeof("double[]")
_INTS = ffi.typeof("int32_t[]")


class Coder:
    """See backends.numpy.tiles.  `struct` is the `ft_tiles *`, for kernels that code as they go."""

    def __init__(self, low, high, tiles, wraps, tilings, memory):
        dims = len(low)
        struct = ffi.new("ft_tiles *")
        self.struct = struct
        self._table = ffi.new("double[]", lib.ft_tiles_table_size(dims, tilings))
        bounds = [ffi.from_buffer(_DOUBLES, np.ascontiguousarray(each)) for each in (low, high)]
        tiles = ffi.from_buffer("int64_t[]", np.ascontiguousarray(tiles, np.int64))
        wraps = ffi.from_buffer("uint8_t[]", np.ascontiguousarray(wraps, np.uint8))
        refuse(
            lib.ft_tiles_init(struct, dims, tilings, *bounds, tiles, wraps, memory, self._table),
            value="arguments that TileCoder takes and ft_tiles_init does not",
        )
        encode, from_buffer, FT_EVALUE = lib.ft_tiles_encode, ffi.from_buffer, lib.FT_EVALUE

        def encode_states(N, states, idx):
            status = encode(struct, N, from_buffer(_DOUBLES, states), from_buffer(_INTS, idx, True))
            if status and status != FT_EVALUE:
                refuse(status)
            return status == 0

        self.encode = encode_states
        self.call = new_call("tiles", self, struct, n=dims, n_actions=tilings)
