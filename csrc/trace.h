/* The constant-time trace: four verbs, O(active features) whatever lambda.  See docs/constant-time.
 *
 *   decay   trace <- D trace
 *   read    w.x and trace.x
 *   write   trace_i += c, w_i += beta, for the active i
 *   drive   w <- w + a trace
 *
 *        row:   b | z        epoch   40     41     42     43 <- now
 *               |   |                 |      |      |      |
 *   w = b + z (G + P drive)   ring  (G,P)  (G,P)  (G,P)  (0,1)
 *   trace = z P scale
 *
 * A row that is not touched does not change: what happened to it since stands in (G, P) of its epoch.
 * Slot 0 of the ring is of no epoch: its (G, P) is always (0, 0), for rows at rest, which have no trace. */
#ifndef FT_TRACE_H
#define FT_TRACE_H

#include "fasttrace.h"
#include <math.h>
#include <stddef.h>

#if defined(__GNUC__)
#define FT_RESTRICT __restrict__
#if !defined(FT_SHARED) /* 1: kinds share code; a tenth of the time to compile, for what need not be quick */
#define FT_INLINE static inline __attribute__((always_inline))
#else
#define FT_INLINE static inline
#endif
#define FT_APART static __attribute__((noinline, unused))
#define FT_LIKELY(x) __builtin_expect(!!(x), 1)
#define FT_PREFETCH(p) __builtin_prefetch(p)
#else
#define FT_RESTRICT
#define FT_INLINE static inline
#define FT_APART static
#define FT_LIKELY(x) (x)
#define FT_PREFETCH(p) ((void)(p))
#endif

/* Vectors as gcc and clang have them, where arithmetic is of the type it says: not on the x87 of 32 bits. */
#if defined(__GNUC__) && !defined(FT_NO_VECTORS) && __FLT_EVAL_METHOD__ == 0
#define FT_VECTORS 1
#else
#define FT_VECTORS 0
#endif

/* One compiled copy for each level of the CPU, chosen when the library is loaded; a single one where the flags
 * name a CPU (-march=native).  FT_CLONES_32 is for what gains from vectors of 32 bytes, not from longer ones. */
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && defined(__GNUC__) && \
    !defined(__clang__) && !defined(__AVX2__) && !defined(FT_NO_CLONES)
#define FT_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define FT_CLONES_32 __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define FT_CLONES
#define FT_CLONES_32
#endif

/* Functions that are called, for what is rare.  Before a call of SSE code the upper halves of vectors must be
 * cleared, or each of its instructions waits for them; gcc leaves that out where it knows the registers of the
 * function that is called (-fipa-ra).  So the function has its copies too, or must not be known. */
#define FT_COLD FT_CLONES FT_APART
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 8
#define FT_UNKNOWN FT_APART __attribute__((noipa))
#else
#define FT_UNKNOWN FT_APART
#endif

/* The scale stays in [FT_THR, 1/FT_THR]: the error of w grows as eps / FT_THR. */
#define FT_THR 0.1
/* A trace below FT_CUT of what it was in its epoch moves w by less than rounding does. */
#define FT_CUT 1e-16

/* What rows are made of; single.c has float.  All else is double, sums too. */
#ifndef FT_ROW_TYPE
#define FT_ROW_TYPE double
#define FT_SINGLE 0
#else
#define FT_SINGLE 1
#endif
typedef FT_ROW_TYPE ft_real;

/* A (b, z) of a row, a (G, P) of the ring, or a sum of such: two lanes of one register. */
#if FT_VECTORS
typedef double ft_pair __attribute__((vector_size(16)));
FT_INLINE ft_pair ft_pair_of(double x, double y) { return (ft_pair){x, y}; }
FT_INLINE ft_pair ft_pair_add(ft_pair x, ft_pair y) { return x + y; }
FT_INLINE ft_pair ft_pair_mul(ft_pair x, ft_pair y) { return x * y; }
FT_INLINE ft_pair ft_pair_scaled(double c, ft_pair x) { return ft_pair_of(c, c) * x; }
FT_INLINE double ft_first(ft_pair x) { return x[0]; }
FT_INLINE double ft_second(ft_pair x) { return x[1]; }
FT_INLINE ft_pair ft_pair_load(const double *p) { return *(const ft_pair *)(const void *)p; }
FT_INLINE void ft_pair_store(double *p, ft_pair x) { *(ft_pair *)(void *)p = x; }
#else
typedef struct {
    double first, second;
} ft_pair;
FT_INLINE ft_pair ft_pair_of(double x, double y) {
    ft_pair p;
    p.first = x;
    p.second = y;
    return p;
}
FT_INLINE ft_pair ft_pair_add(ft_pair x, ft_pair y) {
    return ft_pair_of(x.first + y.first, x.second + y.second);
}
FT_INLINE ft_pair ft_pair_mul(ft_pair x, ft_pair y) {
    return ft_pair_of(x.first * y.first, x.second * y.second);
}
FT_INLINE ft_pair ft_pair_scaled(double c, ft_pair x) {
    return ft_pair_of(c * x.first, c * x.second);
}
FT_INLINE double ft_first(ft_pair x) { return x.first; }
FT_INLINE double ft_second(ft_pair x) { return x.second; }
FT_INLINE ft_pair ft_pair_load(const double *p) { return ft_pair_of(p[0], p[1]); }
FT_INLINE void ft_pair_store(double *p, ft_pair x) {
    p[0] = x.first;
    p[1] = x.second;
}
#endif

#if FT_SINGLE
FT_INLINE ft_pair ft_row_load(const ft_real *p) { return ft_pair_of((double)p[0], (double)p[1]); }
FT_INLINE void ft_row_store(ft_real *p, ft_pair x) {
    p[0] = (ft_real)ft_first(x);
    p[1] = (ft_real)ft_second(x);
}
#else
FT_INLINE ft_pair ft_row_load(const ft_real *p) { return ft_pair_load(p); }
FT_INLINE void ft_row_store(ft_real *p, ft_pair x) { ft_pair_store(p, x); }
#endif

/* What a loop keeps in registers: a copy, because stores into rows could alias the struct. */
typedef struct {
    ft_real *rows;
    double *ring;
    int32_t *epochs;
    int64_t row_step, epoch_step; /* from one row to the next, where a row is of one weight */
    uint32_t mask, epoch;
    double scale, drive;
} ft_hot;

/* Rows of one weight are wide where their epochs stand in them: one line of cache a feature, not two, for 12
 * bytes more.  What is compiled for one of the two says so after ft_load. */
FT_INLINE void ft_lay_out(ft_hot *h, int wide) {
    h->row_step = wide ? 4 : 2;
    h->epoch_step = wide ? 8 : 1;
}

FT_INLINE ft_hot ft_load(const ft_trace *t) {
    ft_hot h;
    h.rows = (ft_real *)(void *)t->rows;
    h.ring = t->ring;
    h.epochs = t->epochs;
    ft_lay_out(&h, t->wide != 0);
    h.mask = (uint32_t)(t->ring_size - 1);
    h.epoch = (uint32_t)t->epoch;
    h.scale = t->scale;
    h.drive = t->drive;
    return h;
}

FT_INLINE void ft_store(ft_trace *t, const ft_hot *h) {
    t->scale = h->scale;
    t->drive = h->drive;
    t->flat = 0;
}

/* Where row i begins, and the epoch that it was last brought up to. */
FT_INLINE ft_real *ft_begin(const ft_hot *h, int64_t i, int64_t width) {
    return h->rows + (width == 1 ? h->row_step : 2 * width) * i;
}

FT_INLINE int32_t *ft_epoch_of(const ft_hot *h, int64_t i, int64_t width) {
    return h->epochs + (width == 1 ? h->epoch_step : 1) * i;
}

/* (G, P) of that epoch. */
FT_INLINE ft_pair ft_since(const ft_hot *h, int64_t i, int64_t width) {
    return ft_pair_load(h->ring + 2 * (size_t)((uint32_t)*ft_epoch_of(h, i, width) & h->mask));
}

/* A row as of now: w and trace stay what they are, (b, z) <- (b + z G, z P). */
FT_INLINE ft_pair ft_now(const ft_hot *h, int64_t i) {
    const ft_pair row = ft_row_load(ft_begin(h, i, 1));
    return ft_pair_add(ft_pair_of(ft_first(row), 0.0), ft_pair_scaled(ft_second(row), ft_since(h, i, 1)));
}

/* The same for a row of `width` weights, in place. */
FT_INLINE ft_real *ft_normalise(const ft_hot *h, int64_t i, int64_t width) {
    ft_real *row = ft_begin(h, i, width);
    const ft_pair g = ft_since(h, i, width);
    const double G = ft_first(g), P = ft_second(g);
    for (int64_t a = 0; a < width; a++) {
        row[a] = (ft_real)(row[a] + row[width + a] * G);
        row[width + a] = (ft_real)(row[width + a] * P);
    }
    *ft_epoch_of(h, i, width) = (int32_t)h->epoch;
    return row;
}

/* Bring row i up to date if it is not at rest; it is from now on if its trace has ended. */
FT_INLINE void ft_sweep(const ft_hot *h, int64_t i, int64_t width) {
    if (((uint32_t)*ft_epoch_of(h, i, width) & h->mask) == 0) return;
    const double left = ft_second(ft_since(h, i, width));
    ft_normalise(h, i, width);
    if (left == 0.0) *ft_epoch_of(h, i, width) = 0;
}

/* End the epoch: what scale and drive hold goes to the epochs that are alive, and the sweep brings
 * the next rows up to date, so that each is visited before the ring comes round to its epoch.
 * Should epochs stay alive (decays that hover about 1), all rows are brought up to date at once. */
FT_INLINE void ft_close_epoch(ft_trace *t, double scale, double drive) {
    const uint32_t mask = (uint32_t)(t->ring_size - 1);
    for (int64_t e = t->oldest; e <= t->epoch; e++) {
        double *g = t->ring + 2 * (size_t)((uint32_t)e & mask);
        if (g == t->ring) continue;
        const double P = scale == 0.0 ? 0.0 : g[1] * scale;
        g[0] += g[1] * drive;
        g[1] = fabs(P) < FT_CUT ? 0.0 : P;
    }
    while (t->oldest <= t->epoch && t->ring[2 * (size_t)((uint32_t)t->oldest & mask) + 1] == 0.0)
        t->oldest++;
    t->epoch++;
    if (((uint32_t)t->epoch & mask) == 0) t->epoch++;
    t->scale = 1.0;
    t->drive = 0.0;
    t->flat = 0;
    t->ring[2 * (size_t)((uint32_t)t->epoch & mask)] = 0.0;
    t->ring[2 * (size_t)((uint32_t)t->epoch & mask) + 1] = 1.0;
    int64_t rows = t->n / (t->ring_size - 3) + 1;
    if (t->epoch - t->oldest > t->alive_max) {
        rows = t->n;
        t->oldest = t->epoch;
    }
    const ft_hot h = ft_load(t);
    int64_t i = t->swept;
    for (; rows > 0; rows--) {
        ft_sweep(&h, i, t->width);
        i = i + 1 == t->n ? 0 : i + 1;
    }
    t->swept = i;
}

FT_COLD void ft_close(ft_trace *t, double scale, double drive) { ft_close_epoch(t, scale, drive); }

/* For loops that are compiled once themselves: what they hold in registers may stay there. */
FT_APART void ft_close_near(ft_trace *t, double scale, double drive) { ft_close_epoch(t, scale, drive); }

FT_INLINE void ft_decay(ft_trace *t, ft_hot *h, double decay, int near) {
    h->scale = decay == 0.0 ? 0.0 : h->scale * decay;
    if (FT_LIKELY(h->scale >= FT_THR && h->scale <= 1.0 / FT_THR)) return;
    (near ? ft_close_near : ft_close)(t, h->scale, h->drive);
    h->epoch = (uint32_t)t->epoch;
    h->scale = 1.0;
    h->drive = 0.0;
}

/* Active features of one state: k indices, their values or NULL for ones. */
typedef struct {
    int64_t k;
    const int32_t *idx;
    const double *val;
} ft_row;

/* Where the next active feature stands, from *j on, which moves past it; -1 where there is none. */
FT_INLINE int64_t ft_next(ft_row x, int64_t *j, int padded) {
    while (padded && *j < x.k && x.idx[*j] < 0) ++*j;
    return *j < x.k ? (*j)++ : -1;
}

/* What one feature adds to the sums below. */
FT_INLINE ft_pair ft_read_one(const ft_hot *h, ft_row x, int64_t j, int64_t width, int64_t column) {
    const int64_t i = x.idx[j];
    ft_pair now;
    if (width == 1)
        now = ft_now(h, i);
    else {
        const ft_real *row = ft_begin(h, i, width) + column;
        now = ft_pair_add(ft_pair_of((double)row[0], 0.0), ft_pair_scaled((double)row[width], ft_since(h, i, width)));
    }
    return x.val ? ft_pair_scaled(x.val[j], now) : now;
}

/* Sums over the active features: w.x = first + second * drive, trace.x = second * scale.
 * width, column: 1, 0 for weights (n,), else the column of weights (n, columns) that is read.
 * padded: 1 where -1 may stand among the indices.  All three are constants once inlined. */
FT_INLINE ft_pair ft_read(const ft_hot *h, ft_row x, int64_t width, int64_t column, int padded) {
    ft_pair sum = ft_pair_of(0.0, 0.0);
    if (width == 1) {
        for (int64_t j = 0; j < x.k; j++)
            if (!padded || x.idx[j] >= 0) sum = ft_pair_add(sum, ft_read_one(h, x, j, 1, 0));
        return sum;
    }
    if (!padded && !x.val) {
        for (int64_t j = 0; j < x.k; j += 2) {
            ft_pair both = ft_read_one(h, x, j, width, column);
            if (j + 1 < x.k) both = ft_pair_add(both, ft_read_one(h, x, j + 1, width, column));
            sum = ft_pair_add(sum, both);
        }
        return sum;
    }
    for (int64_t j = 0;;) { /* in twos: an agent waits for its action values, addition by addition */
        const int64_t one = ft_next(x, &j, padded), two = ft_next(x, &j, padded);
        if (one < 0) return sum;
        ft_pair both = ft_read_one(h, x, one, width, column);
        if (two >= 0) both = ft_pair_add(both, ft_read_one(h, x, two, width, column));
        sum = ft_pair_add(sum, both);
    }
}

FT_INLINE double ft_value(const ft_hot *h, ft_pair sums) {
    return ft_first(sums) + ft_second(sums) * h->drive;
}

/* Rows of several columns are written whole: a store of one number into a row would stall the next
 * read of it.  A row of width 4, of three or four actions, is two vectors. */
#if FT_VECTORS
typedef double ft_four __attribute__((vector_size(32), aligned(16), may_alias));
/* 1 at a column.  From a table: comparisons would become branches, and actions cannot be foreseen. */
FT_INLINE const ft_four *ft_four_at(int64_t column) {
    static const double at[4][4] __attribute__((aligned(32))) = {
        {1.0, 0.0, 0.0, 0.0}, {0.0, 1.0, 0.0, 0.0}, {0.0, 0.0, 1.0, 0.0}, {0.0, 0.0, 0.0, 1.0}};
    return (const ft_four *)(const void *)at[column];
}
#endif

/* trace_i += c, w_i += beta.  inv is 1 / scale, a division that need not wait for c.
 * Returns the sums of ft_read before that, added feature by feature. */
FT_INLINE ft_pair ft_write(const ft_hot *h, ft_row x, int64_t width, int64_t column, int padded,
                        double c, double beta, double inv) {
    const double dz = c * inv, db = beta - h->drive * dz;
#if FT_VECTORS
    if (width == 4) {
        const ft_four at = *ft_four_at(column), db_at = at * db, dz_at = at * dz;
        ft_four sum_b = {0.0, 0.0, 0.0, 0.0}, sum_z = sum_b;
        for (int64_t j = 0; j < x.k; j++) {
            const int64_t i = x.idx[j];
            if (padded && i < 0) continue;
            const ft_pair g = ft_since(h, i, width);
            ft_four *row = (ft_four *)(void *)(h->rows + 8 * i);
            const double size = x.val ? x.val[j] : 1.0;
            const ft_four b = row[0] + row[1] * ft_first(g), z = row[1] * ft_second(g);
            sum_b += size * b;
            sum_z += size * z;
            row[0] = b + size * db_at;
            row[1] = z + size * dz_at;
            *ft_epoch_of(h, i, width) = (int32_t)h->epoch;
        }
        return ft_pair_of(sum_b[column], sum_z[column]);
    }
#endif
    ft_pair sum = ft_pair_of(0.0, 0.0);
    for (int64_t j = 0; j < x.k; j++) {
        const int64_t i = x.idx[j];
        if (padded && i < 0) continue;
        const double size = x.val ? x.val[j] : 1.0;
        if (width == 1) {
            const ft_pair row = ft_now(h, i);
            sum = ft_pair_add(sum, ft_pair_scaled(size, row));
            ft_row_store(ft_begin(h, i, 1), ft_pair_add(row, ft_pair_of(size * db, size * dz)));
        } else {
            ft_real *row = ft_normalise(h, i, width);
            const double b = row[column], z = row[width + column];
            sum = ft_pair_add(sum, ft_pair_scaled(size, ft_pair_of(b, z)));
            row[column] = (ft_real)(b + size * db);
            row[width + column] = (ft_real)(z + size * dz);
        }
        *ft_epoch_of(h, i, width) = (int32_t)h->epoch;
    }
    return sum;
}

/* trace_i = c, w_i as it was; with `clear`, the traces of the row's other columns become 0.
 * Returns what ft_write does. */
FT_INLINE ft_pair ft_replace(const ft_hot *h, ft_row x, int64_t width, int64_t column, int padded,
                          int clear, double c, double inv) {
    const double z_new = c * inv;
#if FT_VECTORS
    if (width == 4) {
        const ft_four at = *ft_four_at(column), set = at * z_new;
        const ft_four kept = clear ? 0.0 * at : 1.0 - at;
        ft_four sum_b = {0.0, 0.0, 0.0, 0.0}, sum_z = sum_b;
        for (int64_t j = 0; j < x.k; j++) {
            const int64_t i = x.idx[j];
            if (padded && i < 0) continue;
            const ft_pair g = ft_since(h, i, width);
            ft_four *row = (ft_four *)(void *)(h->rows + 8 * i);
            const ft_four b = row[0] + row[1] * ft_first(g), z = row[1] * ft_second(g);
            const ft_four z_set = z * kept + set;
            sum_b += b;
            sum_z += z;
            row[0] = b + h->drive * (z - z_set);
            row[1] = z_set;
            *ft_epoch_of(h, i, width) = (int32_t)h->epoch;
        }
        return ft_pair_of(sum_b[column], sum_z[column]);
    }
#endif
    ft_pair sum = ft_pair_of(0.0, 0.0);
    for (int64_t j = 0; j < x.k; j++) {
        const int64_t i = x.idx[j];
        if (padded && i < 0) continue;
        ft_real *row = ft_begin(h, i, width);
        const ft_pair g = ft_since(h, i, width);
        for (int64_t a = 0; a < width; a++) {
            const double b = row[a] + row[width + a] * ft_first(g), z = row[width + a] * ft_second(g);
            const double z_set = a == column ? z_new : clear ? 0.0 : z;
            if (a == column) sum = ft_pair_add(sum, ft_pair_of(b, z));
            row[a] = (ft_real)(b + h->drive * (z - z_set));
            row[width + a] = (ft_real)z_set;
        }
        *ft_epoch_of(h, i, width) = (int32_t)h->epoch;
    }
    return sum;
}

FT_INLINE void ft_drive(ft_hot *h, double a) { h->drive += a * h->scale; }

#endif
