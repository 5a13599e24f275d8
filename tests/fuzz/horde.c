/* Many predictions on one stream of features: steps, streams in blocks, values. */
#include "fuzz.h"

enum { LANES = 8 };

static ft_lane_series lane_series(int64_t steps, int64_t lanes, double (*usual)(void)) {
    ft_lane_series s;
    s.lanes = below(2);
    s.stride = below(4) == 0 ? 0 : s.lanes ? lanes : 1;
    const int64_t wide = s.lanes ? lanes : 1;
    s.numbers = doubles(s.stride ? steps * s.stride : wide, below(8) == 0 ? any : usual);
    return s;
}

static void numbers_of(ft_horde_stream *s, int64_t steps, int64_t lanes) {
    s->steps = steps;
    s->cumulants = lane_series(steps, lanes, small);
    s->gammas = lane_series(steps, lanes, unit);
    s->lambdas = lane_series(steps, lanes, unit);
    s->rhos = lane_series(steps, lanes, ratio);
    s->stride = lanes;
    s->deltas = ROOM(double, (steps + 1) * lanes);
}

static void more_slabs(ft_horde *h) {
    while (h->used > FT_HORDE_SLAB_ROWS * h->slabs_count) {
        h->slabs[h->slabs_count++] = ROOM(double, ft_horde_slab_size((int32_t)h->kind) * h->chunks);
    }
}

static void drive(void) {
    ft_horde *h = ROOM(ft_horde, 1);
    const int32_t kind = (int32_t)below(FT_HORDE_GTD + 1);
    const int64_t n = below(16) == 0 ? 2049 + below(200) : 1 + below(60), chunks = 1 + below(3), lanes = LANES * chunks;
    const int64_t ring_size = ft_horde_ring_size(n), width = kind == FT_HORDE_GTD ? 24 : 16;
    int32_t *place = ROOM(int32_t, n);
    double *words = ROOM(double, FT_HORDE_WORDS * lanes), *rings = ROOM(double, chunks * ring_size * width);
    int64_t *counters = ROOM(int64_t, FT_HORDE_COUNTERS * chunks);
    ft_horde_init(h, n, chunks, kind, place, words, counters, rings, ROOM(double *, 1 + n / 16));
    for (int64_t q = 0; q < chunks; q++)
        for (int64_t l = 0; l < LANES; l++) {
            words[FT_HORDE_WORDS * LANES * q + 4 * LANES + l] = step_size();
            words[FT_HORDE_WORDS * LANES * q + 6 * LANES + l] = step_size();
        }
    watch(h, 1, sizeof *h);
    watch(place, n, sizeof *place);
    watch(words, FT_HORDE_WORDS * lanes, sizeof *words);
    watch(counters, FT_HORDE_COUNTERS * chunks, sizeof *counters);
    fuzz_bad = 8;
    for (int op = 0; more() && op < 40; op++) {
        const int64_t which = below(8);
        ft_horde_stream s;
        memset(&s, 0, sizeof s);
        if (which < 4) {
            const fuzz_row x = row_of(n, (int)below(2)), y = row_of(n, (int)below(2));
            numbers_of(&s, 1, lanes);
            uint64_t *entries = ROOM(uint64_t, x.k + y.k);
            double *values = ROOM(double, x.k + y.k);
            remember();
            int32_t status;
            while ((status = ft_horde_step(h, x.k, x.idx, x.val, y.k, y.idx, y.val, &s, entries, values)) ==
                   FT_HORDE_FULL)
                more_slabs(h);
            MUST(status == FT_OK || status == FT_EINDEX);
            if (status == FT_EINDEX) {
                MUST(h->bad_index < -1 || h->bad_index >= n);
                h->bad_index = 0;
                unchanged();
            }
        } else if (which < 7) {
            const ft_stream x = stream_of(n, 0, 0, 1, 0);
            const int64_t rows = x.steps + 1, count = index_count(&x, rows), entered = x.shared ? rows * n : count;
            int64_t *used = ROOM(int64_t, rows), *begins = ROOM(int64_t, rows + 1);
            remember();
            if (ft_horde_place(h, &x, rows, kind == FT_HORDE_GTD, used) != FT_OK) {
                h->bad_index = 0;
                unchanged();
                continue;
            }
            more_slabs(h);
            uint64_t *entries = ROOM(uint64_t, entered);
            double *values = x.values ? ROOM(double, entered) : NULL;
            ft_horde_enter(h, &x, rows, entries, values, begins);
            numbers_of(&s, which == 6 ? rows : x.steps, lanes);
            s.begins = begins;
            s.entries = entries;
            s.values = values;
            s.used = used;
            if (which == 6) ft_horde_values(h, &s);
            else ft_horde_run(h, &s);
        } else if (below(2)) {
            ft_horde_reset(h);
        } else {
            const int64_t rows = below(5), width = 1 + below(lanes), count = below(40);
            int64_t *index = ROOM(int64_t, count);
            for (int64_t i = 0; i < count; i++) index[i] = below(width);
            const double *from = doubles(rows * width, small);
            double *to = ROOM(double, rows * count);
            ft_horde_permute(rows, width, from, count, index, to);
            for (int64_t i = 0; i < rows * count; i++) MUST(to[i] == from[i / count * width + index[i % count]]);
        }
    }
}
