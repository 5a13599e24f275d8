/* Tile coding of one state, for loops of C's own; fasttrace.h has the rest.
 *
 * A row of the table for each dimension, all doubles, so that one array serves every language:
 *
 *   low | span | scale | cells | stride | wraps | displacement of tiling 0, 1, ...
 *
 * span = high - low, scale = tiles / span, displacement in [0, 1) of a tile.  Tiling j's tile along
 * a dimension is the whole part of (s - low) scale + displacement_j: nothing there is negative. */
#ifndef FT_TILES_H
#define FT_TILES_H

#include "trace.h"

enum { FT_LOW, FT_SPAN, FT_SCALE, FT_CELLS, FT_STRIDE, FT_WRAPS, FT_DISPLACED };

/* Hashed tilings are done eight at a time, the hashes of eight in registers. */
#define FT_TILINGS_BLOCK 8

/* Tiles from low to where s is; within [0, tiles] whatever s is, so that no index can be out of range. */
FT_INLINE double ft_tiles_coordinate(const double *row, double s) {
    const double span = row[FT_SPAN];
    double r = s - row[FT_LOW];
    if (row[FT_WRAPS] != 0.0) {
        if (!(r >= 0.0 && r < span)) { /* fmod is exact, and slow */
            r = fmod(r, span);
            r = r < 0.0 ? r + span : r;
            r = r < span ? r : 0.0;
        }
    } else {
        r = r > 0.0 ? r : 0.0;
        r = r < span ? r : span;
    }
    return r * row[FT_SCALE];
}

/* The tile along one dimension; `end` is where it starts again at 0, or INT32_MAX. */
FT_INLINE int32_t ft_tiles_cell(double coordinate, double displacement, int32_t end) {
    const int32_t cell = (int32_t)(coordinate + displacement);
    return cell < end ? cell : 0;
}

FT_INLINE int32_t ft_tiles_end(const double *row) {
    return row[FT_WRAPS] != 0.0 ? (int32_t)row[FT_CELLS] : INT32_MAX;
}

/* Fibonacci hashing, once for the tiling and once for each dimension's tile. */
FT_INLINE uint64_t ft_tiles_mix(uint64_t hash, int64_t value) {
    hash = (hash ^ (uint64_t)value) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 32;
}

/* The upper 32 bits of the hash, as a fraction of 2^32, of `memory`. */
FT_INLINE int32_t ft_tiles_reduce(uint64_t hash, int64_t memory) {
    return (int32_t)((hash >> 32) * (uint64_t)memory >> 32);
}

/* The usual coder, eight tilings of a grid that does not wrap: sums stay in registers. */
FT_INLINE void ft_tiles_eight(const ft_tiles *coder, const double *FT_RESTRICT state,
                              int32_t *FT_RESTRICT idx) {
    enum { EIGHT = 8 };
    const int32_t grid = (int32_t)(coder->table[FT_CELLS] * coder->table[FT_STRIDE]);
    int32_t sum[EIGHT];
    for (int32_t j = 0; j < EIGHT; j++) sum[j] = j * grid;
    for (int64_t i = 0; i < coder->dims; i++) {
        const double *FT_RESTRICT row = coder->table + i * (FT_DISPLACED + EIGHT);
        const double coordinate = ft_tiles_coordinate(row, state[i]);
        const int32_t stride = (int32_t)row[FT_STRIDE];
        for (int64_t j = 0; j < EIGHT; j++)
            sum[j] += stride * (int32_t)(coordinate + row[FT_DISPLACED + j]);
    }
    for (int64_t j = 0; j < EIGHT; j++) idx[j] = sum[j];
}

FT_INLINE int ft_tiles_wrap(const ft_tiles *coder) {
    int wraps = 0;
    for (int64_t i = 0; i < coder->dims; i++)
        wraps |= coder->table[i * (FT_DISPLACED + coder->tilings) + FT_WRAPS] != 0.0;
    return wraps;
}

/* idx (tilings) of one state (dims).  Checks nothing: a state that is NaN gets some index in range. */
FT_INLINE void ft_tiles_one(const ft_tiles *coder, const double *FT_RESTRICT state,
                            int32_t *FT_RESTRICT idx) {
    const int64_t dims = coder->dims, tilings = coder->tilings, width = FT_DISPLACED + tilings;
    if (!coder->memory && tilings == 8 && !ft_tiles_wrap(coder)) {
        ft_tiles_eight(coder, state, idx);
        return;
    }
    if (!coder->memory) {
        const int32_t grid = (int32_t)(coder->table[FT_CELLS] * coder->table[FT_STRIDE]);
        for (int64_t j = 0; j < tilings; j++) idx[j] = (int32_t)j * grid;
        for (int64_t i = 0; i < dims; i++) {
            const double *FT_RESTRICT row = coder->table + i * width;
            const double coordinate = ft_tiles_coordinate(row, state[i]);
            const int32_t stride = (int32_t)row[FT_STRIDE], end = ft_tiles_end(row);
            for (int64_t j = 0; j < tilings; j++)
                idx[j] += stride * ft_tiles_cell(coordinate, row[FT_DISPLACED + j], end);
        }
        return;
    }
    for (int64_t begin = 0; begin < tilings; begin += FT_TILINGS_BLOCK) {
        const int64_t count = tilings - begin < FT_TILINGS_BLOCK ? tilings - begin : FT_TILINGS_BLOCK;
        uint64_t hash[FT_TILINGS_BLOCK];
        for (int64_t j = 0; j < count; j++) hash[j] = ft_tiles_mix(0, begin + j);
        for (int64_t i = 0; i < dims; i++) {
            const double *FT_RESTRICT row = coder->table + i * width;
            const double coordinate = ft_tiles_coordinate(row, state[i]);
            const int32_t end = ft_tiles_end(row);
            for (int64_t j = 0; j < count; j++)
                hash[j] = ft_tiles_mix(
                    hash[j], ft_tiles_cell(coordinate, row[FT_DISPLACED + begin + j], end));
        }
        for (int64_t j = 0; j < count; j++)
            idx[begin + j] = ft_tiles_reduce(hash[j], coder->memory);
    }
}

#endif
