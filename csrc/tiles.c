/* Tile coding: set up, and many states at once. */
#include "tiles.h"
#include <float.h>

int64_t ft_tiles_table_size(int64_t dims, int64_t tilings) {
    return dims * (FT_DISPLACED + tilings);
}

int32_t ft_tiles_init(ft_tiles *coder, int64_t dims, int64_t tilings, const double *low,
                      const double *high, const int64_t *tiles, const uint8_t *wraps,
                      int64_t memory, double *table) {
    if (dims < 1 || tilings < 1 || tilings > INT32_MAX || memory < 0 || memory > INT32_MAX)
        return FT_EVALUE;
    const int64_t most = INT32_MAX / tilings;
    int64_t grid = 1;
    for (int64_t i = 0; i < dims; i++) {
        const double span = high[i] - low[i], scale = (double)tiles[i] / span;
        if (!(span > 0.0 && span <= DBL_MAX && scale >= DBL_MIN && scale <= DBL_MAX))
            return FT_EVALUE;
        if (tiles[i] < 1 || tiles[i] >= most) return FT_EVALUE;
        if (memory) continue;
        grid *= tiles[i] + !wraps[i];
        if (grid > most) return FT_EVALUE;
    }
    coder->dims = dims;
    coder->tilings = tilings;
    coder->memory = memory;
    coder->n_features = memory ? memory : tilings * grid;
    coder->table = table;
    for (int64_t i = 0; i < dims; i++) {
        double *row = table + i * (FT_DISPLACED + tilings);
        const int64_t cells = tiles[i] + !wraps[i];
        grid = memory ? 0 : grid / cells;
        row[FT_LOW] = low[i];
        row[FT_SPAN] = high[i] - low[i];
        row[FT_SCALE] = (double)tiles[i] / row[FT_SPAN];
        row[FT_CELLS] = (double)cells;
        row[FT_STRIDE] = (double)grid;
        row[FT_WRAPS] = wraps[i] ? 1.0 : 0.0;
        for (int64_t j = 0; j < tilings; j++)
            row[FT_DISPLACED + j] = (double)(j * (2 * i + 1) % tilings) / (double)tilings;
    }
    return FT_OK;
}

/* NaN is nowhere; an infinite state is an end of [low, high], but nowhere on a circle. */
FT_CLONES static int ft_tiles_all_somewhere(const ft_tiles *coder, int64_t N,
                                            const double *FT_RESTRICT states) {
    const int64_t dims = coder->dims, width = FT_DISPLACED + coder->tilings;
    int nowhere = 0;
    for (int64_t i = 0; i < dims; i++) {
        const double *row = coder->table + i * width;
        const double low = row[FT_LOW], limit = row[FT_WRAPS] != 0.0 ? DBL_MAX : HUGE_VAL;
        for (int64_t n = 0; n < N; n++) nowhere |= !(fabs(states[n * dims + i] - low) <= limit);
    }
    return !nowhere;
}

FT_CLONES static void ft_tiles_many(const ft_tiles *coder, int64_t N,
                                    const double *FT_RESTRICT states, int32_t *FT_RESTRICT idx) {
    for (int64_t n = 0; n < N; n++)
        ft_tiles_one(coder, states + n * coder->dims, idx + n * coder->tilings);
}

int32_t ft_tiles_encode(const ft_tiles *coder, int64_t N, const double *states, int32_t *idx) {
    if (!ft_tiles_all_somewhere(coder, N, states)) return FT_EVALUE;
    ft_tiles_many(coder, N, states, idx);
    return FT_OK;
}
