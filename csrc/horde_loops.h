/* The loops of a horde, compiled for each level of the CPU by a file of its own: gcc takes vectors apart for the
 * level of the function that they are written in, before it makes clones of that or inlines it. */
#include "horde.h"

/* ---- epochs ---- */

/* Bring a row up to date if it is not at rest; it is from now on if no trace is left in it. */
FT_INLINE void ft_horde_sweep(const ft_chunk *c, uint64_t entry, int two) {
    double *row = ft_row_at_entry(entry, c->shift);
    int32_t *epoch = ft_epoch_in(row, entry, c->width);
    if (((uint64_t)*epoch & c->mask) == 0) return;
    const double *g = ft_ring_at(c, *epoch);
    double *z_at = row + c->width - FT_EIGHT;
    const ft_eight z = ft_eight_from(z_at), P = ft_eight_from(g + c->width - FT_EIGHT);
    ft_eight_into(row, ft_plus_times(ft_eight_from(row), z, ft_eight_from(g)));
    if (two)
        ft_eight_into(row + FT_EIGHT,
                       ft_plus_times(ft_eight_from(row + FT_EIGHT), z, ft_eight_from(g + FT_EIGHT)));
    ft_eight_into(z_at, ft_times(z, P));
    const int left = ft_any(ft_below(ft_eight_of(0.0), P));
    FT_MEET(); /* all have read it */
    *epoch = left ? (int32_t)c->epoch : 0;
}

/* End a chunk's epoch; see ft_close_epoch.  used: slots at this step. */
FT_APART void ft_horde_close(const ft_horde *h, ft_chunk *c, int64_t used) {
    int64_t *const n = c->counters;
    const int two = h->kind == FT_HORDE_GTD;
    const ft_eight zero = ft_eight_of(0.0), cut = ft_eight_of(FT_CUT);
    const ft_eight scale = ft_eight_from(c->lanes + FT_EIGHT * FT_L_SCALE);
    const ft_eight drive = ft_eight_from(c->lanes + FT_EIGHT * FT_L_DRIVE);
    const ft_eight drive_v = ft_eight_from(c->lanes + FT_EIGHT * FT_L_DRIVE_V);
    int passed = 1; /* no epoch so far has a trace */
    for (int64_t e = n[FT_C_OLDEST]; e <= n[FT_C_EPOCH]; e++) {
        double *g = c->ring + (uint64_t)c->width * ((uint64_t)e & c->mask);
        double *P_at = g + c->width - FT_EIGHT;
        if (g != c->ring) {
            const ft_eight P = ft_eight_from(P_at);
            ft_eight left = ft_unless_0(scale, ft_times(P, scale));
            ft_eight_into(g, ft_plus_times(ft_eight_from(g), P, drive));
            if (two) ft_eight_into(g + FT_EIGHT, ft_plus_times(ft_eight_from(g + FT_EIGHT), P, drive_v));
            left = ft_choose(ft_below(left, cut), zero, left); /* none is negative */
            ft_eight_into(P_at, left);
            passed = passed && !ft_any(ft_below(zero, left));
        }
        if (passed) n[FT_C_OLDEST] = e + 1;
    }
    n[FT_C_EPOCH]++;
    if (((uint64_t)n[FT_C_EPOCH] & c->mask) == 0) n[FT_C_EPOCH]++;
    c->epoch = n[FT_C_EPOCH];
    double *now = c->ring + (uint64_t)c->width * ((uint64_t)c->epoch & c->mask);
    for (int64_t i = 0; i < c->width; i += FT_EIGHT) ft_eight_into(now + i, zero);
    ft_eight_into(now + c->width - FT_EIGHT, ft_eight_of(1.0));
    ft_eight_into(c->lanes + FT_EIGHT * FT_L_SCALE, ft_eight_of(1.0));
    ft_eight_into(c->lanes + FT_EIGHT * FT_L_DRIVE, zero);
    ft_eight_into(c->lanes + FT_EIGHT * FT_L_DRIVE_V, zero);
    /* A row is visited within two passes of at most 2/5 of the ring each: before its epoch comes round. */
    int64_t rows = 5 * n[FT_C_END] / (2 * c->ring_size) + 1;
    if (n[FT_C_EPOCH] - n[FT_C_OLDEST] > n[FT_C_ALIVE_MAX] / 2)
        rows = 2 * n[FT_C_END] / n[FT_C_ALIVE_MAX] + 1;
    for (; rows > 0; rows--) {
        if (n[FT_C_SWEPT] >= n[FT_C_END]) {
            if (n[FT_C_OLDEST] < n[FT_C_BEGUN]) n[FT_C_OLDEST] = n[FT_C_BEGUN];
            ft_horde_pass(n, used, c->ring_size);
            if (used == 0) break;
        }
        ft_horde_sweep(c, ft_entry_of(h, n[FT_C_SWEPT]++, c->width), two);
    }
}

/* ---- one step of a chunk ---- */

/* Entries of one state in this chunk. */
typedef struct {
    int64_t k;
    const uint64_t *entries;
    const double *values; /* or NULL for ones */
} ft_cells;

FT_INLINE ft_cells ft_cells_of(const ft_horde_stream *s, int64_t t) {
    ft_cells x;
    x.k = s->begins[t + 1] - s->begins[t];
    x.entries = s->entries + s->begins[t];
    x.values = s->values ? s->values + s->begins[t] : NULL;
    return x;
}

/* Sums over the active features: w.x = b + z drive, v.x = bv + z drive_v, trace.x = z scale. */
typedef struct {
    ft_eight b, bv, z, both;
} ft_sums;

/* A row as of now. */
FT_INLINE ft_sums ft_cell_now(const ft_chunk *c, double *row, const int32_t *epoch, int two) {
    const double *g = ft_ring_at(c, *epoch);
    const ft_eight z = ft_eight_from(row + (two ? 2 : 1) * FT_EIGHT);
    ft_sums now;
    now.b = ft_plus_times(ft_eight_from(row), z, ft_eight_from(g));
    now.bv = now.both = two ? ft_plus_times(ft_eight_from(row + FT_EIGHT), z, ft_eight_from(g + FT_EIGHT)) : now.b;
    now.z = ft_times(z, ft_eight_from(g + (two ? 2 : 1) * FT_EIGHT));
    return now;
}

FT_INLINE ft_sums ft_cell_sized(ft_sums x, ft_cells cells, int64_t j) {
    const ft_eight size = ft_eight_of(cells.values[j]);
    x.b = ft_times(size, x.b);
    x.bv = ft_times(size, x.bv);
    x.z = ft_times(size, x.z);
    return x;
}

FT_INLINE ft_sums ft_no_sums(void) {
    ft_sums sums;
    sums.b = sums.bv = sums.z = sums.both = ft_eight_of(0.0);
    return sums;
}

FT_INLINE void ft_add_sums(ft_sums *sums, ft_sums x, int two) {
    sums->b = ft_plus(sums->b, x.b);
    sums->z = ft_plus(sums->z, x.z);
    if (two) sums->bv = ft_plus(sums->bv, x.bv);
}

FT_INLINE ft_sums ft_cells_read(const ft_chunk *c, ft_cells x, int two) {
    ft_sums sums = ft_no_sums();
    FT_UNROLLED
    for (int64_t j = 0; j < x.k; j++) {
        double *row = ft_row_at_entry(x.entries[j], c->shift);
        ft_sums now = ft_cell_now(c, row, ft_epoch_in(row, x.entries[j], (two ? 3 : 2) * FT_EIGHT), two);
        if (x.values) now = ft_cell_sized(now, x, j);
        ft_add_sums(&sums, now, two);
    }
    return sums;
}

/* What a write adds to each active row; for a replacing trace, what z becomes, and the drive to take out. */
typedef struct {
    ft_eight b, bv, z, drive;
} ft_write_of;

/* Returns the sums of before; `both` is of the traces before and after, entry by entry. */
FT_INLINE ft_sums ft_cells_write(const ft_chunk *c, ft_cells x, int two, int replaces, ft_write_of d) {
    ft_sums sums = ft_no_sums();
    FT_UNROLLED
    for (int64_t j = 0; j < x.k; j++) {
        double *row = ft_row_at_entry(x.entries[j], c->shift);
        int32_t *epoch = ft_epoch_in(row, x.entries[j], (two ? 3 : 2) * FT_EIGHT);
        const ft_sums now = ft_cell_now(c, row, epoch, two);
        const ft_eight size = ft_eight_of(x.values ? x.values[j] : 1.0);
        ft_eight z = d.z;
        if (replaces)
            ft_eight_into(row, ft_plus_times(now.b, d.drive, ft_minus(now.z, d.z)));
        else {
            z = x.values ? ft_plus_times(now.z, size, d.z) : ft_plus(now.z, d.z);
            ft_eight_into(row, x.values ? ft_plus_times(now.b, size, d.b) : ft_plus(now.b, d.b));
        }
        if (two)
            ft_eight_into(row + FT_EIGHT, x.values ? ft_plus_times(now.bv, size, d.bv) : ft_plus(now.bv, d.bv));
        ft_eight_into(row + (two ? 2 : 1) * FT_EIGHT, z);
        FT_MEET();
        *epoch = (int32_t)c->epoch;
        if (two) {
            const ft_eight both = ft_plus(now.z, z);
            sums.both = ft_plus(sums.both, x.values ? ft_times(size, both) : both);
        }
        ft_add_sums(&sums, x.values ? ft_cell_sized(now, x, j) : now, two);
    }
    return sums;
}

/* b += push, at the active features; traces and epochs stay. */
FT_INLINE void ft_cells_push(const ft_chunk *c, ft_cells x, ft_eight push) {
    for (int64_t j = 0; j < x.k; j++) {
        double *row = ft_row_at_entry(x.entries[j], c->shift);
        const ft_eight b = ft_eight_from(row);
        ft_eight_into(row, x.values ? ft_plus_times(b, ft_eight_of(x.values[j]), push) : ft_plus(b, push));
    }
}

/* Numbers of a step for the lanes of a chunk: one for all, or one each. */
FT_INLINE ft_eight ft_given_at(const ft_lane_series *s, int64_t t, int64_t q) {
    const double *p = s->numbers + t * s->stride;
    return s->lanes ? ft_eight_from(p + FT_EIGHT * q) : ft_eight_of(*p);
}

/* Numbers by the step and lane are far apart where there are many lanes: a line or two each, to be asked for. */
FT_INLINE void ft_line_ahead(const double *p) {
    FT_PREFETCH(p);
    FT_PREFETCH(p + FT_EIGHT - 1);
}

FT_INLINE void ft_given_ahead(const ft_lane_series *s, int64_t t, int64_t q) {
    if (s->lanes && s->stride) ft_line_ahead(s->numbers + t * s->stride + FT_EIGHT * q);
}

FT_INLINE void ft_cells_ahead(ft_cells x, uint64_t shift, int64_t width) {
    for (int64_t j = 0; j < x.k; j++) {
        const double *row = ft_row_at_entry(x.entries[j], shift);
        for (int64_t i = 0; i < width; i += FT_EIGHT) FT_PREFETCH(row + i);
    }
}

/* All steps of c, the q-th chunk.  two: GTD's, with a second vector. */
FT_INLINE void ft_chunk_run(const ft_horde *h, const ft_horde_stream *stream, ft_chunk c, int64_t q, int two) {
    enum { AHEAD = 3, FAR = 12 };
    const ft_horde_stream copy = *stream, *const s = &copy; /* stores into rows cannot alias it */
    c.width = (two ? 3 : 2) * FT_EIGHT;
    const int64_t kind = h->kind;
    const int folded = kind == FT_HORDE_DUTCH || kind == FT_HORDE_TRUE_ONLINE;
    const ft_eight zero = ft_eight_of(0.0), one = ft_eight_of(1.0);
    const ft_eight low = ft_eight_of(FT_HORDE_THR), high = ft_eight_of(1.0 / FT_HORDE_THR);
    const ft_eight alpha = ft_eight_from(c.lanes + FT_EIGHT * FT_L_ALPHA);
    const ft_eight beta = ft_eight_from(c.lanes + FT_EIGHT * FT_L_BETA);
    ft_eight scale = ft_eight_from(c.lanes + FT_EIGHT * FT_L_SCALE);
    ft_eight drive = ft_eight_from(c.lanes + FT_EIGHT * FT_L_DRIVE);
    ft_eight decay = ft_eight_from(c.lanes + FT_EIGHT * FT_L_DECAY);
    ft_eight v_old = ft_eight_from(c.lanes + FT_EIGHT * FT_L_V_OLD);
    ft_eight drive_v = ft_eight_from(c.lanes + FT_EIGHT * FT_L_DRIVE_V);
    ft_eight zv = ft_eight_from(c.lanes + FT_EIGHT * FT_L_ZV), zz = ft_eight_from(c.lanes + FT_EIGHT * FT_L_ZZ);
    if (s->steps < AHEAD && q + 2 < h->chunks) { /* the rows of a chunk to come */
        const uint64_t shift = c.shift + 2 * (uint64_t)c.slab * sizeof(double);
        for (int64_t t = 0; t <= s->steps; t++) ft_cells_ahead(ft_cells_of(s, t), shift, c.width);
    }
    for (int64_t t = 0; t < s->steps; t++) {
        const ft_cells x = ft_cells_of(s, t), y = ft_cells_of(s, t + 1);
        if (t + AHEAD < s->steps) ft_cells_ahead(ft_cells_of(s, t + 1 + AHEAD), c.shift, c.width);
        if (t + FAR < s->steps) {
            ft_given_ahead(&s->cumulants, t + FAR, q);
            ft_given_ahead(&s->gammas, t + FAR, q);
            ft_given_ahead(&s->lambdas, t + FAR, q);
            ft_given_ahead(&s->rhos, t + FAR, q);
            ft_line_ahead(s->deltas + (t + FAR) * s->stride + FT_EIGHT * q);
        }
        const ft_eight rho = ft_given_at(&s->rhos, t, q), gamma = ft_given_at(&s->gammas, t, q);
        const ft_eight lambda = ft_given_at(&s->lambdas, t, q);
        const ft_eight reward = ft_given_at(&s->cumulants, t, q);
        decay = ft_times(rho, decay);
        scale = ft_unless_0(decay, ft_times(scale, decay));
        if (!FT_LIKELY(!ft_any(ft_either(ft_below(scale, low), ft_below(high, scale))))) {
            ft_eight_into(c.lanes + FT_EIGHT * FT_L_SCALE, scale);
            ft_eight_into(c.lanes + FT_EIGHT * FT_L_DRIVE, drive);
            ft_eight_into(c.lanes + FT_EIGHT * FT_L_DRIVE_V, drive_v);
            ft_chunk closing = c; /* whose address may be known: c stays in registers */
            ft_horde_close(h, &closing, s->used[two ? t + 1 : t]);
            c.epoch = closing.epoch;
            scale = one;
            drive = drive_v = zero;
        }
        const ft_eight inv = ft_over(one, scale), dz = ft_times(rho, inv);
        const ft_sums next = ft_cells_read(&c, y, two);
        ft_sums sums;
        ft_write_of d;
        d.drive = drive;
        d.z = dz;
        d.b = ft_minus(zero, ft_times(drive, dz));
        d.bv = zero;
        if (two || folded)
            sums = ft_cells_read(&c, x, two);
        else if (kind == FT_HORDE_REPLACING)
            sums = ft_cells_write(&c, x, 0, 1, d);
        else
            sums = ft_cells_write(&c, x, 0, 0, d);
        const ft_eight v = ft_plus_times(sums.b, sums.z, drive);
        const ft_eight v_next = ft_plus_times(next.b, next.z, drive);
        const ft_eight delta = ft_minus(ft_plus(reward, ft_unless_0(gamma, ft_times(gamma, v_next))), v);
        ft_eight_into(s->deltas + t * s->stride + FT_EIGHT * q, delta);
        if (two) {
            const ft_eight vx = ft_plus_times(sums.bv, sums.z, drive_v);
            const ft_eight dv = ft_minus(zero, ft_times(beta, vx));
            zv = ft_plus(ft_unless_0(decay, ft_times(decay, zv)), ft_times(rho, vx));
            d.bv = ft_minus(dv, ft_times(drive_v, dz));
            const ft_eight both = ft_times(ft_cells_write(&c, x, 1, 0, d).both, scale);
            const ft_eight zx = ft_times(sums.z, scale), squared = ft_times(decay, decay);
            zz = ft_plus(ft_unless_0(squared, ft_times(squared, zz)), ft_times(rho, both));
            const ft_eight rest = ft_minus(one, lambda);
            const ft_eight push = ft_times(ft_times(ft_times(alpha, gamma), rest), zv);
            ft_cells_push(&c, y, ft_minus(zero, ft_unless_0(gamma, ft_unless_0(rest, push))));
            const ft_eight driven = ft_times(delta, scale), moved = ft_times(dv, ft_minus(both, zx));
            zv = ft_plus(zv, ft_plus(ft_times(ft_times(beta, delta), zz), moved));
            drive = ft_plus(drive, ft_times(alpha, driven));
            drive_v = ft_plus(drive_v, ft_times(beta, driven));
        } else if (folded) {
            const ft_eight step = ft_times(alpha, rho);
            d.z = ft_times(ft_times(step, ft_minus(one, ft_times(sums.z, scale))), inv);
            ft_eight a = delta, beyond = zero;
            if (kind == FT_HORDE_TRUE_ONLINE) {
                const ft_choice first = ft_either(ft_same(decay, zero), ft_not_same(v_old, v_old));
                const ft_eight dv = ft_minus(v, ft_choose(first, v, v_old));
                a = ft_plus(delta, dv);
                beyond = ft_times(step, dv);
                v_old = v_next;
            }
            d.b = ft_minus(ft_minus(zero, beyond), ft_times(drive, d.z));
            ft_cells_write(&c, x, 0, 0, d);
            drive = ft_plus_times(drive, a, scale);
        } else
            drive = ft_plus_times(drive, ft_times(alpha, scale), delta);
        decay = ft_times(gamma, lambda);
    }
    ft_eight_into(c.lanes + FT_EIGHT * FT_L_SCALE, scale);
    ft_eight_into(c.lanes + FT_EIGHT * FT_L_DRIVE, drive);
    ft_eight_into(c.lanes + FT_EIGHT * FT_L_DECAY, decay);
    ft_eight_into(c.lanes + FT_EIGHT * FT_L_V_OLD, v_old);
    ft_eight_into(c.lanes + FT_EIGHT * FT_L_TAKEN, alpha);
    ft_eight_into(c.lanes + FT_EIGHT * FT_L_DRIVE_V, drive_v);
    ft_eight_into(c.lanes + FT_EIGHT * FT_L_ZV, zv);
    ft_eight_into(c.lanes + FT_EIGHT * FT_L_ZZ, zz);
}

FT_APART void ft_one_vector_run(const ft_horde *h, const ft_horde_stream *s) {
    for (int64_t q = 0; q < h->chunks; q++) ft_chunk_run(h, s, ft_chunk_of(h, q), q, 0);
}

FT_APART void ft_two_vectors_run(const ft_horde *h, const ft_horde_stream *s) {
    for (int64_t q = 0; q < h->chunks; q++) ft_chunk_run(h, s, ft_chunk_of(h, q), q, 1);
}

void FT_L(ft_horde_run)(const ft_horde *h, const ft_horde_stream *s) {
    (h->kind == FT_HORDE_GTD ? ft_two_vectors_run : ft_one_vector_run)(h, s);
}

FT_INLINE void ft_chunk_value(const ft_horde *h, const ft_horde_stream *s, const ft_chunk *c, int64_t q, int64_t t) {
    const ft_eight drive = ft_eight_from(c->lanes + FT_EIGHT * FT_L_DRIVE);
    const ft_cells x = ft_cells_of(s, t);
    const ft_sums sums = h->kind == FT_HORDE_GTD ? ft_cells_read(c, x, 1) : ft_cells_read(c, x, 0);
    ft_eight_into(s->deltas + t * s->stride + FT_EIGHT * q, ft_plus_times(sums.b, sums.z, drive));
}

void FT_L(ft_horde_values)(const ft_horde *h, const ft_horde_stream *s) {
    for (int64_t q = 0; q < h->chunks; q++) {
        const ft_chunk c = ft_chunk_of(h, q);
        for (int64_t t = 0; t < s->steps; t++) ft_chunk_value(h, s, &c, q, t);
    }
}

FT_INLINE void ft_chunk_reset(const ft_horde *h, ft_chunk *c) {
    const ft_eight zero = ft_eight_of(0.0);
    const int64_t there = FT_SLAB * h->slabs_count, used = h->used < there ? h->used : there; /* rows, at first none */
    ft_eight_into(c->lanes + FT_EIGHT * FT_L_SCALE, zero);
    ft_horde_close(h, c, used);
    ft_eight_into(c->lanes + FT_EIGHT * FT_L_DECAY, zero);
    ft_eight_into(c->lanes + FT_EIGHT * FT_L_ZV, zero);
    ft_eight_into(c->lanes + FT_EIGHT * FT_L_ZZ, zero);
    ft_eight_into(c->lanes + FT_EIGHT * FT_L_V_OLD, ft_eight_of((double)NAN));
}

void FT_L(ft_horde_reset)(const ft_horde *h) {
    for (int64_t q = 0; q < h->chunks; q++) {
        ft_chunk c = ft_chunk_of(h, q);
        ft_chunk_reset(h, &c);
    }
}
