/* What is done to a trace as a whole. */
#include "stream.h"
#include "transition.h"
#include "single.h"

int64_t ft_trace_ring_size(int64_t n) {
    int64_t size = 1024;
    while (size < n / 4) size *= 2;
    return size;
}

int64_t ft_trace_width(int64_t columns) {
    /* Rows of 16, 32 or whole 64 bytes, so that one action's row is one cache line. */
    return columns <= 2 ? columns : (columns + 3) / 4 * 4;
}

void ft_trace_init_zeroed(ft_trace *t, int64_t n, int64_t columns, double *rows, double *ring,
                          int32_t *epochs) {
    t->n = n;
    t->columns = columns;
    t->width = ft_trace_width(columns);
    t->ring_size = ft_trace_ring_size(n);
    t->alive_max = 64;
    while (t->alive_max * t->alive_max < n) t->alive_max *= 2;
    t->epoch = t->oldest = 1; /* every row is at rest */
    t->swept = t->bad_index = t->flat = 0;
    t->scale = t->snap = 1.0;
    t->drive = t->decay = t->alpha = t->followon = t->lambda_ = t->pi = 0.0;
    t->v_old = t->cap = (double)NAN;
    t->wide = 0;
    t->single = NULL;
    t->rows = rows;
    t->ring = ring;
    t->epochs = epochs;
    ring[3] = 1.0;
}

void ft_trace_init(ft_trace *t, int64_t n, int64_t columns, double *rows, double *ring,
                   int32_t *epochs) {
    for (int64_t i = 0; i < 2 * ft_trace_width(columns) * n; i++) rows[i] = 0.0;
    for (int64_t i = 0; i < n; i++) epochs[i] = 0;
    ring[0] = ring[1] = ring[2] = 0.0;
    ft_trace_init_zeroed(t, n, columns, rows, ring, epochs);
}

void ft_trace_init_wide(ft_trace *t, int64_t n, double *rows, double *ring) {
    ft_trace_init_zeroed(t, n, 1, rows, ring, (int32_t *)(void *)(rows + 2));
    t->wide = 1;
}

void ft_trace_reset(ft_trace *t) {
    FT_TO_SINGLE_VOID(t, reset, (t))
    ft_close(t, 0.0, t->drive);
    t->decay = t->followon = t->lambda_ = t->pi = 0.0;
    t->v_old = (double)NAN;
}

void ft_trace_flatten(ft_trace *t) {
    FT_TO_SINGLE_VOID(t, flatten, (t))
    if (t->flat) return;
    ft_close(t, t->scale, t->drive);
    const ft_hot h = ft_load(t);
    for (int64_t i = 0; i < t->n; i++) ft_normalise(&h, i, t->width);
    t->oldest = t->epoch;
    t->flat = 1;
}

void ft_trace_dense(const ft_trace *t, int32_t kind, double *w, double *z) {
    FT_TO_SINGLE_VOID(t, dense, (t, kind, w, z))
    const ft_hot h = ft_load(t);
    const double size = ft_is_named(kind) && ft_folded(kind) && t->alpha != 0.0 ? h.scale / t->alpha : h.scale;
    for (int64_t i = 0; i < t->n; i++) {
        const ft_real *row = ft_begin(&h, i, t->width);
        const ft_pair g = ft_since(&h, i, t->width);
        for (int64_t a = 0; a < t->columns; a++) {
            const double moved = ft_first(g) + ft_second(g) * h.drive; /* as after the end of an epoch */
            w[i * t->columns + a] = row[a] + row[t->width + a] * moved;
            if (z) z[i * t->columns + a] = row[t->width + a] * ft_second(g) * size;
        }
    }
}

FT_CLONES void ft_index_bounds(const int32_t *FT_RESTRICT idx, int64_t count, uint32_t *lowest,
                               uint32_t *highest) {
    uint32_t low = UINT32_MAX, high = 0;
    for (int64_t i = 0; i < count; i++) {
        const uint32_t x = (uint32_t)idx[i] + 1u;
        low = x < low ? x : low;
        high = x > high ? x : high;
    }
    *lowest = low;
    *highest = high;
}

int32_t ft_checked(const int32_t *indices, int64_t count, int64_t n) {
    uint32_t low, high;
    ft_index_bounds(indices, count, &low, &high);
    return (int64_t)high > n ? FT_EINDEX : low == 0 ? 2 : 1;
}
