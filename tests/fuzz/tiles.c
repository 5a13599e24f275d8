/* Tile coding: what is asked for, and states, are anything. */
#include "fuzz.h"

static double bound(void) { return below(8) == 0 ? any() : small(); }

static void drive(void) {
    static const int64_t odd[] = {0, -1, INT64_MIN, INT64_MAX, INT32_MAX, (int64_t)INT32_MAX + 1, 1 << 20};
    for (int op = 0; more() && op < 20; op++) {
        const int held = hold();
        const int64_t dims = below(7), tilings = below(8) == 0 ? below(256) : 1 + below(16);
        const double *low = doubles(dims, bound), *high = doubles(dims, bound);
        int64_t *tiles = ROOM(int64_t, dims);
        uint8_t *wraps = ROOM(uint8_t, dims);
        for (int64_t i = 0; i < dims; i++) {
            const int64_t which = byte();
            tiles[i] = which < 7 ? odd[which] : which < 40 ? which * 65535 : 1 + which % 12;
            wraps[i] = (uint8_t)below(2);
        }
        const int64_t memory = below(2) ? 0 : below(8) == 0 ? odd[below(7)] : 1 + below(200);
        ft_tiles coder;
        double *table = ROOM(double, ft_tiles_table_size(dims, tilings));
        const int32_t status = ft_tiles_init(&coder, dims, tilings, low, high, tiles, wraps, memory, table);
        MUST(status == FT_OK || status == FT_EVALUE);
        if (status == FT_OK) {
            const int64_t N = below(40);
            const double *states = doubles(N * dims, below(2) ? any : small);
            int32_t *idx = ROOM(int32_t, N * tilings);
            MUST(coder.n_features >= 1 && coder.n_features <= INT32_MAX);
            const int32_t encoded = ft_tiles_encode(&coder, N, states, idx);
            for (int64_t i = 0; i < N * dims; i++) MUST(states[i] == states[i] || encoded == FT_EVALUE);
            for (int64_t i = 0; i < N * tilings; i++)
                MUST(encoded == FT_OK ? idx[i] >= 0 && idx[i] < coder.n_features : idx[i] == 0);
        }
        release(held);
    }
    static const int64_t none[] = {-3, 0, (int64_t)INT32_MAX + 1};
    ft_tiles coder;
    MUST(ft_tiles_init(&coder, 1, none[below(3)], NULL, NULL, NULL, NULL, 0, NULL) == FT_EVALUE);
}
