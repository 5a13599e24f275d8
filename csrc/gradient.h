/* The constant-time trace with two weight vectors: the verbs of trace.h for records that hold all of a
 * feature.  w moves with one trace, v with the same or with a second one that decays alike.
 * See docs/gradient.
 *
 *                           0     1     2     3      4      5
 *   FT_GTD, both FT_GTD2    b_w   b_v   z     epoch
 *   FT_HTD                  b_w   b_v   z     epoch  zb     epoch of zb
 *   FT_TRUE_ONLINE_GTD      b_w   b_v   e     k      g      epoch
 *   FT_TDRC                 b_w   b_u   z     epoch  -      generation of b_u
 *   FT_PROXIMAL_GTD2        b_w   b_v   z     epoch  x      x'
 *
 *   w = b_w + z (G_w + P drive)      v = b_v + z (G_v + P drive_v)      z now = z P scale
 *
 * True online GTD: w moves with e, v with k, nothing with g; all three decay alike.
 * TDRC: v decays as a whole, so v = sigma u, and u stands where v does above.
 * Proximal GTD2: within a step, how often the feature stands in x and in x'; 0 between steps. */
#ifndef FT_GRADIENT_H
#define FT_GRADIENT_H

#include "stream.h"
#include <string.h>

/* zb decays by gamma lambda <= 1 and moves nothing: two generations of it stand for a ring.  So does sigma of
 * TDRC, which has the same fields. */
#define FT_BEHAVIOUR_THR 1e-100

/* The first words of a record, or a sum of such: four lanes of one register. */
#if FT_VECTORS
#pragma GCC diagnostic ignored "-Wpsabi" /* no call passes a vector: all that takes one is inlined */
typedef ft_four ft_quad;
FT_INLINE ft_quad ft_quad_of(double a, double b, double c, double d) { return (ft_quad){a, b, c, d}; }
FT_INLINE ft_quad ft_quad_add(ft_quad x, ft_quad y) { return x + y; }
FT_INLINE ft_quad ft_quad_mul(ft_quad x, ft_quad y) { return x * y; }
FT_INLINE double ft_quad_lane(ft_quad x, int i) { return x[i]; }
FT_INLINE ft_quad ft_quad_load(const double *p) { return *(const ft_quad *)(const void *)p; }
FT_INLINE void ft_quad_store(double *p, ft_quad x) { *(ft_quad *)(void *)p = x; }
#else
typedef struct {
    double lane[4];
} ft_quad;
FT_INLINE ft_quad ft_quad_of(double a, double b, double c, double d) {
    ft_quad x;
    x.lane[0] = a;
    x.lane[1] = b;
    x.lane[2] = c;
    x.lane[3] = d;
    return x;
}
FT_INLINE double ft_quad_lane(ft_quad x, int i) { return x.lane[i]; }
FT_INLINE ft_quad ft_quad_add(ft_quad x, ft_quad y) {
    for (int i = 0; i < 4; i++) x.lane[i] += y.lane[i];
    return x;
}
FT_INLINE ft_quad ft_quad_mul(ft_quad x, ft_quad y) {
    for (int i = 0; i < 4; i++) x.lane[i] *= y.lane[i];
    return x;
}
FT_INLINE ft_quad ft_quad_load(const double *p) { return ft_quad_of(p[0], p[1], p[2], p[3]); }
FT_INLINE void ft_quad_store(double *p, ft_quad x) { memcpy(p, x.lane, sizeof x.lane); }
#endif

FT_INLINE int64_t ft_word(const double *p) {
    int64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

FT_INLINE void ft_set_word(double *p, int64_t word) { memcpy(p, &word, sizeof word); }

FT_INLINE int64_t ft_words_of(int kind) {
    return kind == FT_GTD || kind == FT_GTD2 || kind == FT_GTD2_LAMBDA ? 4 : 8;
}
FT_INLINE int64_t ft_epoch_at(int kind) { return kind == FT_TRUE_ONLINE_GTD ? 5 : 3; }

/* What a loop keeps in registers. */
typedef struct {
    double *rows;
    const double *ring;
    uint64_t mask;
    int64_t epoch, behaviour_epoch;
    double scale, drive, drive_v, behaviour_scale, behaviour_before;
} ft_gradient_hot;

FT_INLINE ft_gradient_hot ft_gradient_load(const ft_gradient *t) {
    ft_gradient_hot h;
    h.rows = t->rows;
    h.ring = t->ring;
    h.mask = (uint64_t)(t->ring_size - 1);
    h.epoch = t->epoch;
    h.behaviour_epoch = t->behaviour_epoch;
    h.scale = t->scale;
    h.drive = t->drive;
    h.drive_v = t->drive_v;
    h.behaviour_scale = t->behaviour_scale;
    h.behaviour_before = t->behaviour_before;
    return h;
}

FT_INLINE void ft_gradient_store(ft_gradient *t, const ft_gradient_hot *h) {
    t->scale = h->scale;
    t->drive = h->drive;
    t->drive_v = h->drive_v;
    t->behaviour_epoch = h->behaviour_epoch;
    t->behaviour_scale = h->behaviour_scale;
    t->behaviour_before = h->behaviour_before;
    t->flat = 0;
}

/* Words 0 to 3 of a record, and word 4. */
typedef struct {
    ft_quad main;
    double more;
} ft_lanes;

/* What is left of something that was written in the generation of word 5. */
FT_INLINE double ft_left(const ft_gradient_hot *h, const double *row) {
    const int64_t age = h->behaviour_epoch - ft_word(row + 5);
    return age == 0 ? 1.0 : age == 1 ? h->behaviour_before : 0.0;
}

/* G_w, G_v, P, P of the epoch that a record was last brought up to. */
FT_INLINE const double *ft_since_at(const ft_gradient_hot *h, const double *row, int kind) {
    return h->ring + 4 * ((uint64_t)ft_word(row + ft_epoch_at(kind)) & h->mask);
}

/* A record as of now: w, v and the traces stay what they are.  whole: 0 where w is all that is asked for. */
FT_INLINE ft_lanes ft_gradient_now(const ft_gradient_hot *h, const double *row, int kind, int whole) {
    const double left = kind == FT_TDRC && whole ? ft_left(h, row) : 1.0;
    const ft_quad b = ft_quad_of(row[0], kind == FT_TDRC && whole ? left * row[1] : row[1], 0.0, 0.0);
    const ft_quad since = ft_quad_load(ft_since_at(h, row, kind));
    const double second = kind == FT_TRUE_ONLINE_GTD && whole ? row[3] : row[2];
    ft_lanes now;
    now.main = ft_quad_add(b, ft_quad_mul(ft_quad_of(row[2], second, row[2], second), since));
    now.more = 0.0;
    if (kind == FT_HTD && whole)
        now.more = row[4] * ft_left(h, row);
    else if (kind == FT_TRUE_ONLINE_GTD && whole)
        now.more = row[4] * ft_quad_lane(since, 2);
    else if (kind == FT_PROXIMAL_GTD2 && whole)
        now.more = row[4];
    return now;
}

FT_INLINE void ft_gradient_put(const ft_gradient_hot *h, double *row, ft_lanes x, int kind) {
    if (kind == FT_TRUE_ONLINE_GTD) {
        ft_quad_store(row, x.main);
        row[4] = x.more;
        ft_set_word(row + 5, h->epoch);
        return;
    }
    double epoch;
    memcpy(&epoch, &h->epoch, sizeof epoch);
    ft_quad_store(row, ft_quad_of(ft_quad_lane(x.main, 0), ft_quad_lane(x.main, 1), ft_quad_lane(x.main, 2), epoch));
    if (kind == FT_HTD || kind == FT_PROXIMAL_GTD2) row[4] = x.more;
    if (kind == FT_HTD || kind == FT_TDRC) ft_set_word(row + 5, h->behaviour_epoch);
}

/* ---- decay ---- */

/* See ft_close. */
FT_COLD void ft_gradient_close(ft_gradient *t, double scale, double drive, double drive_v) {
    const uint64_t mask = (uint64_t)(t->ring_size - 1);
    for (int64_t e = t->oldest; e <= t->epoch; e++) {
        double *g = t->ring + 4 * ((uint64_t)e & mask);
        g[0] += g[2] * drive;
        g[1] += g[2] * drive_v;
        g[2] = scale == 0.0 ? 0.0 : g[2] * scale;
        if (fabs(g[2]) < FT_CUT) g[2] = 0.0;
        g[3] = g[2];
    }
    while (t->oldest <= t->epoch && t->ring[4 * ((uint64_t)t->oldest & mask) + 2] == 0.0) t->oldest++;
    t->epoch++;
    t->scale = 1.0;
    t->drive = t->drive_v = 0.0;
    t->flat = 0;
    ft_quad_store(t->ring + 4 * ((uint64_t)t->epoch & mask), ft_quad_of(0.0, 0.0, 1.0, 1.0));
    const int64_t records = t->n * t->columns;
    int64_t count = records / (t->ring_size - 1) + 1;
    if (t->epoch - t->oldest > t->alive_max) {
        count = records;
        t->oldest = t->epoch;
    }
    const ft_gradient_hot h = ft_gradient_load(t);
    for (; count > 0; count--) {
        double *row = h.rows + t->width * t->swept;
        if (t->kind == FT_HTD)
            ft_gradient_put(&h, row, ft_gradient_now(&h, row, FT_HTD, 1), FT_HTD);
        else if (t->kind == FT_TRUE_ONLINE_GTD)
            ft_gradient_put(&h, row, ft_gradient_now(&h, row, FT_TRUE_ONLINE_GTD, 1),
                            FT_TRUE_ONLINE_GTD);
        else if (t->kind == FT_TDRC)
            ft_gradient_put(&h, row, ft_gradient_now(&h, row, FT_TDRC, 1), FT_TDRC);
        else
            ft_gradient_put(&h, row, ft_gradient_now(&h, row, FT_GTD, 1), FT_GTD);
        t->swept = t->swept + 1 == records ? 0 : t->swept + 1;
    }
}

FT_INLINE void ft_gradient_decay(ft_gradient *t, ft_gradient_hot *h, double decay) {
    h->scale = decay == 0.0 ? 0.0 : h->scale * decay;
    if (FT_LIKELY(h->scale >= FT_THR && h->scale <= 1.0 / FT_THR)) return;
    t->behaviour_epoch = h->behaviour_epoch;
    t->behaviour_before = h->behaviour_before;
    ft_gradient_close(t, h->scale, h->drive, h->drive_v);
    h->epoch = t->epoch;
    h->scale = 1.0;
    h->drive = h->drive_v = 0.0;
}

FT_INLINE void ft_behaviour_decay(ft_gradient_hot *h, double decay) {
    h->behaviour_scale *= decay;
    if (FT_LIKELY(h->behaviour_scale >= FT_BEHAVIOUR_THR)) return;
    h->behaviour_before = h->behaviour_scale;
    h->behaviour_scale = 1.0;
    h->behaviour_epoch++;
}

/* A new generation of u: b_u finds what is left of it by its stamp, what stands in the ring is scaled here. */
FT_COLD void ft_gradient_fade(ft_gradient *t, double sigma) {
    const int64_t count = t->epoch < t->ring_size ? t->epoch + 1 : t->ring_size;
    for (int64_t i = 0; i < count; i++) t->ring[4 * i + 1] *= sigma;
}

/* sigma <- keep sigma: v as a whole decays. */
FT_INLINE void ft_sigma_decay(ft_gradient *t, ft_gradient_hot *h, double keep) {
    h->behaviour_scale *= keep;
    if (FT_LIKELY(h->behaviour_scale >= FT_BEHAVIOUR_THR)) return;
    ft_gradient_fade(t, h->behaviour_scale);
    h->drive_v *= h->behaviour_scale;
    h->behaviour_before = h->behaviour_scale;
    h->behaviour_scale = 1.0;
    h->behaviour_epoch++;
}

/* ---- read and write ---- */

/* The record of an active feature: features with a weight for each of `columns` actions have one for each. */
FT_INLINE double *ft_record(const ft_gradient_hot *h, ft_row x, int64_t j, int64_t columns,
                            int64_t column, int kind) {
    return h->rows + ft_words_of(kind) * (x.idx[j] * columns + column);
}

FT_INLINE ft_quad ft_sized(ft_row x, int64_t j, ft_quad lanes) {
    const double size = x.val ? x.val[j] : 1.0;
    return x.val ? ft_quad_mul(ft_quad_of(size, size, size, size), lanes) : lanes;
}

FT_INLINE ft_lanes ft_gradient_read_one(const ft_gradient_hot *h, ft_row x, int64_t j,
                                        int64_t columns, int64_t column, int kind, int whole) {
    ft_lanes now = ft_gradient_now(h, ft_record(h, x, j, columns, column, kind), kind, whole);
    now.main = ft_sized(x, j, now.main);
    if (x.val) now.more *= x.val[j];
    return now;
}

/* Sums over the active features, of records as of now; in twos, as in ft_read. */
FT_INLINE ft_lanes ft_gradient_read(const ft_gradient_hot *h, ft_row x, int64_t columns,
                                    int64_t column, int padded, int kind, int whole) {
    ft_lanes sum;
    sum.main = ft_quad_of(0.0, 0.0, 0.0, 0.0);
    sum.more = 0.0;
    for (int64_t j = 0;;) {
        const int64_t one = ft_next(x, &j, padded), two = ft_next(x, &j, padded);
        if (one < 0) return sum;
        ft_lanes both = ft_gradient_read_one(h, x, one, columns, column, kind, whole);
        if (two >= 0) {
            const ft_lanes other = ft_gradient_read_one(h, x, two, columns, column, kind, whole);
            both.main = ft_quad_add(both.main, other.main);
            both.more += other.more;
        }
        sum.main = ft_quad_add(sum.main, both.main);
        sum.more += both.more;
    }
}

/* Adds `change` to the record of each active feature.  Returns the sums over the features of what was
 * before and what is afterwards, entry by entry: trace.x before the write and trace.x after it.  An index
 * that stands twice is written twice, and its second "before" holds what its first write added: the total
 * is right all the same.  What is 0 is not written: a fading trace would become subnormal. */
FT_INLINE ft_lanes ft_gradient_write(const ft_gradient_hot *h, ft_row x, int64_t columns,
                                     int64_t column, int padded, int kind, ft_lanes change) {
    ft_lanes both;
    both.main = ft_quad_of(0.0, 0.0, 0.0, 0.0);
    both.more = 0.0;
    for (int64_t j = 0; j < x.k; j++) {
        if ((padded && x.idx[j] < 0) || (x.val && x.val[j] == 0.0)) continue;
        double *row = ft_record(h, x, j, columns, column, kind);
        const double size = x.val ? x.val[j] : 1.0;
        const ft_lanes before = ft_gradient_now(h, row, kind, 1);
        ft_lanes after;
        after.main = ft_quad_add(before.main, ft_sized(x, j, change.main));
        after.more = before.more + size * change.more;
        both.main = ft_quad_add(both.main, ft_sized(x, j, ft_quad_add(before.main, after.main)));
        both.more += size * (before.more + after.more);
        ft_gradient_put(h, row, after, kind);
    }
    return both;
}

/* w_i += push, for the active i.  Neither trace nor epoch changes: b_w takes it as it is. */
FT_INLINE void ft_gradient_push(const ft_gradient_hot *h, ft_row x, int64_t columns, int64_t column,
                                int padded, int kind, double push) {
    for (int64_t j = 0; j < x.k; j++) {
        if (padded && x.idx[j] < 0) continue;
        ft_record(h, x, j, columns, column, kind)[0] += x.val ? x.val[j] * push : push;
    }
}

FT_INLINE ft_lanes ft_change_of(double w, double v, double third, double fourth,
                                double more) {
    ft_lanes change;
    change.main = ft_quad_of(w, v, third, fourth);
    change.more = more;
    return change;
}

FT_INLINE double ft_w(const ft_gradient_hot *h, ft_lanes sums) {
    return ft_quad_lane(sums.main, 0) + ft_quad_lane(sums.main, 2) * h->drive;
}

/* w.x of a column, weight by weight: weights of 0 sum to 0, and ties stay ties. */
FT_INLINE double ft_gradient_value(const ft_gradient_hot *h, ft_row x, int64_t columns,
                                   int64_t column, int padded, int kind) {
    double sum = 0.0;
    for (int64_t j = 0; j < x.k; j++) {
        if (padded && x.idx[j] < 0) continue;
        const double *row = ft_record(h, x, j, columns, column, kind);
        const double *since = ft_since_at(h, row, kind);
        const double w = row[0] + row[2] * (since[0] + since[2] * h->drive);
        sum += x.val ? x.val[j] * w : w;
    }
    return sum;
}

/* ---- a transition, and what is checked of it ---- */

/* What one transition hands to the next. */
typedef struct {
    double decay, v_old, zv, zz, zbv, zzb;
} ft_gradient_carry;

FT_INLINE ft_gradient_carry ft_gradient_carry_of(const ft_gradient *t) {
    ft_gradient_carry c;
    c.decay = t->decay;
    c.v_old = t->v_old;
    c.zv = t->zv;
    c.zz = t->zz;
    c.zbv = t->zbv;
    c.zzb = t->zzb;
    return c;
}

FT_INLINE void ft_gradient_carry_store(ft_gradient *t, const ft_gradient_hot *h,
                                       const ft_gradient_carry *c, double alpha) {
    ft_gradient_store(t, h);
    t->decay = c->decay;
    t->v_old = c->v_old;
    t->zv = c->zv;
    t->zz = c->zz;
    t->zbv = c->zbv;
    t->zzb = c->zzb;
    t->alpha = alpha;
}

/* The numbers of one transition, from S_t to S_{t+1}. */
typedef struct {
    double reward, gamma_next, lambda_next, rho, alpha, beta;
} ft_gradient_numbers;

/* D ? D x : 0.  0 times infinity is not 0. */
FT_INLINE double ft_decayed(double decay, double x) { return decay == 0.0 ? 0.0 : decay * x; }

FT_INLINE double ft_delta(ft_gradient_numbers n, double v, double v_next) {
    return n.reward + (n.gamma_next == 0.0 ? 0.0 : n.gamma_next * v_next) - v;
}

FT_INLINE ft_gradient_numbers ft_gradient_numbers_at(double reward, double gamma_next, double lambda_next,
                                                     double rho, double alpha, double beta) {
    ft_gradient_numbers n;
    n.reward = reward;
    n.gamma_next = gamma_next;
    n.lambda_next = lambda_next;
    n.rho = rho;
    n.alpha = alpha;
    n.beta = beta;
    return n;
}

FT_INLINE ft_gradient_numbers ft_gradient_numbers_of(const ft_stream *s, int64_t i, double beta) {
    return ft_gradient_numbers_at(s->rewards[i], s->gammas[i * s->gamma_stride],
                                  s->lambdas[i * s->lambda_stride],
                                  s->rhos ? s->rhos[i * s->rho_stride] : 1.0,
                                  s->alphas[i * s->alpha_stride], beta);
}

/* x takes part in GTD and GQ alike; `added` is what its trace grows by: rho, or 1 for action values. */
typedef struct {
    double delta, push; /* w += push x' is left to the caller */
    ft_lanes sums;
    double zx, both;
} ft_gtd;

FT_INLINE void ft_gtd_write(ft_gradient_hot *h, ft_gradient_carry *c, ft_row x, int64_t columns,
                            int64_t column, int padded, ft_gradient_numbers n, double decay, double added,
                            ft_gtd *g) {
    const double inv = 1.0 / h->scale, dz = added * inv;
    const double vx = ft_quad_lane(g->sums.main, 1) + ft_quad_lane(g->sums.main, 2) * h->drive_v;
    const double dv = -n.beta * vx;
    c->zv = ft_decayed(decay, c->zv) + added * vx;
    const ft_lanes both = ft_gradient_write(
        h, x, columns, column, padded, FT_GTD,
        ft_change_of(-h->drive * dz, dv - h->drive_v * dz, dz, 0.0, 0.0));
    g->zx = ft_quad_lane(g->sums.main, 2) * h->scale;
    g->both = ft_quad_lane(both.main, 2) * h->scale;
    c->zz = ft_decayed(decay * decay, c->zz) + added * g->both;
    g->push = -(n.alpha * n.gamma_next * (1.0 - n.lambda_next)) * c->zv;
    c->zv += n.beta * g->delta * c->zz + dv * (g->both - g->zx);
}

FT_INLINE int ft_pushes(ft_gradient_numbers n) { return n.gamma_next != 0.0 && n.lambda_next != 1.0; }

FT_INLINE void ft_gtd_drive(ft_gradient_hot *h, ft_gradient_carry *c, ft_gradient_numbers n, double delta) {
    h->drive += n.alpha * delta * h->scale;
    h->drive_v += n.beta * delta * h->scale;
    c->decay = n.gamma_next * n.lambda_next;
}

/* FT_OK and whether there is padding, or FT_EINDEX with bad_index set. */
FT_INLINE int32_t ft_gradient_check(ft_gradient *t, const ft_stream *s, int64_t rows, int *padded) {
    *padded = s->checked != 1;
    if (s->checked) return FT_OK;
    const int64_t count = ft_index_count(s, rows);
    uint32_t low, high;
    ft_index_bounds(s->indices, count, &low, &high);
    *padded = low == 0;
    if ((int64_t)high <= t->n) return FT_OK;
    t->bad_index = *ft_first_bad(s->indices, count, t->n);
    return FT_EINDEX;
}

/* TDRC's beta may be 0; its step size of v is eta times that of w. */
FT_INLINE int ft_beta_ok(const ft_gradient *t, double beta) {
    return t->kind == FT_TDRC ? beta >= 0.0 && t->eta > 0.0 : beta > 0.0;
}

FT_INLINE int ft_gradient_row_ok(ft_gradient *t, int64_t k, const int32_t *idx) {
    const int32_t *bad = ft_first_bad(idx, k, t->n);
    if (bad) t->bad_index = *bad;
    return bad == NULL;
}

FT_INLINE int ft_numbers_ok(const ft_gradient *t, ft_gradient_numbers n) {
    if (t->kind == FT_TDRC && !(t->eta * n.alpha * n.beta < 1.0)) return 0;
    return isfinite(n.reward) && n.gamma_next >= 0.0 && n.gamma_next <= 1.0 &&
           n.lambda_next >= 0.0 && n.lambda_next <= 1.0 && n.rho >= 0.0 && isfinite(n.rho) &&
           n.alpha > 0.0 && isfinite(n.alpha) && ft_beta_ok(t, n.beta) && isfinite(n.beta);
}

#endif
