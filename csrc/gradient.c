/* GTD(lambda), HTD(lambda), true online GTD(lambda), GTD2, TDRC(lambda), proximal GTD2(lambda): one step, and
 * whole streams.
 *
 * Every update is two writes, on x and on x', and a drive.  Inner products over whole vectors are kept as
 * scalars: each step knows what it adds to them.  docs/gradient derives the recursions. */
#include "gradient.h"

/* ---- one transition of each learner; kind and padded are constants ---- */

FT_INLINE double ft_gtd_transition(ft_gradient *t, ft_gradient_hot *h, ft_gradient_carry *c,
                                   ft_row x, ft_row x_next, ft_gradient_numbers n, int padded) {
    const double decay = n.rho * c->decay;
    ft_gradient_decay(t, h, decay);
    ft_gtd g;
    g.sums = ft_gradient_read(h, x, 1, 0, padded, FT_GTD, 1);
    const ft_lanes sums_next = ft_gradient_read(h, x_next, 1, 0, padded, FT_GTD, 0);
    g.delta = ft_delta(n, ft_w(h, g.sums), ft_w(h, sums_next));
    ft_gtd_write(h, c, x, 1, 0, padded, n, decay, n.rho, &g);
    if (ft_pushes(n))
        ft_gradient_push(h, x_next, 1, 0, padded, FT_GTD, g.push);
    ft_gtd_drive(h, c, n, g.delta);
    return g.delta;
}

/* w_i += push and v_i += pull for the active i.  Returns sums of z and of zb. */
FT_INLINE ft_pair ft_htd_next(const ft_gradient_hot *h, ft_row x, int padded, double push, double pull) {
    ft_pair sums = ft_pair_of(0.0, 0.0);
    const ft_pair change = ft_pair_of(push, pull);
    for (int64_t j = 0; j < x.k; j++) {
        if (padded && x.idx[j] < 0) continue;
        double *row = ft_record(h, x, j, 1, 0, FT_HTD);
        const double size = x.val ? x.val[j] : 1.0;
        const ft_lanes now = ft_gradient_now(h, row, FT_HTD, 1);
        sums = ft_pair_add(sums, ft_pair_scaled(size, ft_pair_of(ft_quad_lane(now.main, 2), now.more)));
        ft_pair_store(row, ft_pair_add(ft_pair_of(row[0], row[1]), ft_pair_scaled(size, change)));
    }
    return sums;
}

FT_INLINE double ft_htd_transition(ft_gradient *t, ft_gradient_hot *h, ft_gradient_carry *c,
                                   ft_row x, ft_row x_next, ft_gradient_numbers n, int padded) {
    const double kept = c->decay, decay = n.rho * kept;
    ft_gradient_decay(t, h, decay);
    ft_behaviour_decay(h, kept);
    const ft_lanes sums = ft_gradient_read(h, x, 1, 0, padded, FT_HTD, 1);
    const ft_lanes sums_next = ft_gradient_read(h, x_next, 1, 0, padded, FT_HTD, 0);
    const double delta = ft_delta(n, ft_w(h, sums), ft_w(h, sums_next));
    const double vx = ft_quad_lane(sums.main, 1) + ft_quad_lane(sums.main, 2) * h->drive_v;
    const double zx = ft_quad_lane(sums.main, 2) * h->scale;
    const double bx = sums.more * h->behaviour_scale;
    c->zv = ft_decayed(decay, c->zv) + n.rho * vx;
    c->zbv = ft_decayed(kept, c->zbv) + vx;
    const double push = n.alpha * (c->zv - c->zbv), pull = n.beta * c->zbv;
    const double dz = n.rho * (1.0 / h->scale), dzb = 1.0 / h->behaviour_scale;
    const ft_lanes both =
        ft_gradient_write(h, x, 1, 0, padded, FT_HTD,
                          ft_change_of(push - h->drive * dz, -pull - h->drive_v * dz, dz, 0.0, dzb));
    double z_moved = ft_quad_lane(both.main, 2) * h->scale - zx;
    double zb_moved = both.more * h->behaviour_scale - bx;
    c->zz = ft_decayed(decay * decay, c->zz) + n.rho * (zx + z_moved);
    c->zzb = ft_decayed(decay * kept, c->zzb) + (n.rho * bx + z_moved);
    if (n.gamma_next != 0.0) {
        const ft_pair traces = ft_htd_next(h, x_next, padded, -n.gamma_next * push, n.gamma_next * pull);
        z_moved -= n.gamma_next * (ft_first(traces) * h->scale);
        zb_moved -= n.gamma_next * (ft_second(traces) * h->behaviour_scale);
    }
    ft_gtd_drive(h, c, n, delta);
    c->zv += n.beta * delta * c->zz - pull * z_moved;
    c->zbv += n.beta * delta * c->zzb - pull * zb_moved;
    return delta;
}

FT_INLINE double ft_true_online_gtd_transition(ft_gradient *t, ft_gradient_hot *h,
                                               ft_gradient_carry *c, ft_row x, ft_row x_next,
                                               ft_gradient_numbers n, int padded) {
    const double decay = n.rho * c->decay;
    ft_gradient_decay(t, h, decay);
    const ft_lanes sums = ft_gradient_read(h, x, 1, 0, padded, FT_TRUE_ONLINE_GTD, 1);
    const ft_lanes sums_next = ft_gradient_read(h, x_next, 1, 0, padded, FT_TRUE_ONLINE_GTD, 0);
    const double v = ft_w(h, sums), v_next = ft_w(h, sums_next);
    const double delta = ft_delta(n, v, v_next);
    const double vx = ft_quad_lane(sums.main, 1) + ft_quad_lane(sums.main, 3) * h->drive_v;
    const double ex = ft_quad_lane(sums.main, 2) * h->scale, kx = ft_quad_lane(sums.main, 3) * h->scale;
    const double gx = sums.more * h->scale;
    const double dv = decay == 0.0 || c->v_old != c->v_old ? 0.0 : v - c->v_old;
    const double added = n.beta * (n.rho - kx), inv = 1.0 / h->scale;
    const double de = n.rho * n.alpha * (1.0 - ex) * inv, dk = added * inv;
    const double down = -n.beta * vx;
    c->zv = ft_decayed(decay, c->zv) + n.rho * vx;
    const ft_lanes both = ft_gradient_write(
        h, x, 1, 0, padded, FT_TRUE_ONLINE_GTD,
        ft_change_of(-n.alpha * n.rho * dv - h->drive * de, down - h->drive_v * dk, de, dk,
                     n.rho * inv));
    c->zz = ft_decayed(decay * decay, c->zz) + added * gx +
            n.rho * (ft_quad_lane(both.main, 3) * h->scale - kx);
    if (ft_pushes(n)) {
        const double push = -(n.alpha * n.gamma_next * (1.0 - n.lambda_next)) * c->zv;
        ft_gradient_push(h, x_next, 1, 0, padded, FT_TRUE_ONLINE_GTD, push);
    }
    h->drive += (delta + dv) * h->scale;
    h->drive_v += delta * h->scale;
    c->zv += delta * c->zz + down * (both.more * h->scale - gx);
    c->decay = n.gamma_next * n.lambda_next;
    c->v_old = v_next;
    return delta;
}

/* Without a trace: records stay of epoch 0, and w, v are b_w, b_v. */
FT_INLINE double ft_gtd2_transition(ft_gradient *t, ft_gradient_hot *h, ft_gradient_carry *c,
                                    ft_row x, ft_row x_next, ft_gradient_numbers n, int padded) {
    (void)t;
    (void)c;
    const ft_lanes sums = ft_gradient_read(h, x, 1, 0, padded, FT_GTD2, 1);
    const ft_lanes sums_next = ft_gradient_read(h, x_next, 1, 0, padded, FT_GTD2, 0);
    const double delta = ft_delta(n, ft_w(h, sums), ft_w(h, sums_next));
    const double vx = ft_quad_lane(sums.main, 1), push = n.alpha * n.rho * vx;
    ft_gradient_write(h, x, 1, 0, padded, FT_GTD2,
                      ft_change_of(push, n.beta * (n.rho * delta - vx), 0.0, 0.0, 0.0));
    if (n.gamma_next != 0.0)
        ft_gradient_push(h, x_next, 1, 0, padded, FT_GTD2, -n.gamma_next * push);
    return delta;
}

FT_INLINE double ft_gtd2_lambda_transition(ft_gradient *t, ft_gradient_hot *h, ft_gradient_carry *c,
                                           ft_row x, ft_row x_next, ft_gradient_numbers n, int padded) {
    const double decay = n.rho * c->decay;
    ft_gradient_decay(t, h, decay);
    const ft_lanes sums = ft_gradient_read(h, x, 1, 0, padded, FT_GTD2_LAMBDA, 1);
    const ft_lanes sums_next = ft_gradient_read(h, x_next, 1, 0, padded, FT_GTD2_LAMBDA, 0);
    const double delta = ft_delta(n, ft_w(h, sums), ft_w(h, sums_next));
    const double vx = ft_quad_lane(sums.main, 1) + ft_quad_lane(sums.main, 2) * h->drive_v;
    const double zx = ft_quad_lane(sums.main, 2) * h->scale;
    const double dz = n.rho * (1.0 / h->scale), dv = -n.beta * vx;
    c->zv = ft_decayed(decay, c->zv) + n.rho * vx;
    const ft_lanes lanes =
        ft_gradient_write(h, x, 1, 0, padded, FT_GTD2_LAMBDA,
                          ft_change_of(n.alpha * vx, dv - h->drive_v * dz, dz, 0.0, 0.0));
    const double both = ft_quad_lane(lanes.main, 2) * h->scale;
    c->zz = ft_decayed(decay * decay, c->zz) + n.rho * both;
    if (ft_pushes(n)) {
        const double push = -(n.alpha * n.gamma_next * (1.0 - n.lambda_next)) * c->zv;
        ft_gradient_push(h, x_next, 1, 0, padded, FT_GTD2_LAMBDA, push);
    }
    h->drive_v += n.beta * delta * h->scale;
    c->zv += n.beta * delta * c->zz + dv * (both - zx);
    c->decay = n.gamma_next * n.lambda_next;
    return delta;
}

/* Here n.beta is that of the decay of v. */
FT_INLINE double ft_tdrc_transition(ft_gradient *t, ft_gradient_hot *h, ft_gradient_carry *c,
                                    ft_row x, ft_row x_next, ft_gradient_numbers n, int padded) {
    const double decay = n.rho * c->decay, step = t->eta * n.alpha, keep = 1.0 - step * n.beta;
    ft_gradient_decay(t, h, decay);
    const ft_lanes sums = ft_gradient_read(h, x, 1, 0, padded, FT_TDRC, 1);
    const ft_lanes sums_next = ft_gradient_read(h, x_next, 1, 0, padded, FT_TDRC, 0);
    const double delta = ft_delta(n, ft_w(h, sums), ft_w(h, sums_next));
    const double ux = ft_quad_lane(sums.main, 1) + ft_quad_lane(sums.main, 2) * h->drive_v;
    const double vx = h->behaviour_scale * ux, zx = ft_quad_lane(sums.main, 2) * h->scale;
    ft_sigma_decay(t, h, keep);
    const double dz = n.rho * (1.0 / h->scale), dv = -step * vx, per_u = 1.0 / h->behaviour_scale;
    c->zv = ft_decayed(decay, c->zv) + n.rho * vx;
    const ft_lanes lanes =
        ft_gradient_write(h, x, 1, 0, padded, FT_TDRC,
                          ft_change_of(-h->drive * dz, dv * per_u - h->drive_v * dz, dz, 0.0, 0.0));
    const double both = ft_quad_lane(lanes.main, 2) * h->scale;
    c->zz = ft_decayed(decay * decay, c->zz) + n.rho * both;
    if (ft_pushes(n)) {
        const double push = -(n.alpha * n.gamma_next * (1.0 - n.lambda_next)) * c->zv;
        ft_gradient_push(h, x_next, 1, 0, padded, FT_TDRC, push);
    }
    h->drive += n.alpha * delta * h->scale;
    h->drive_v += step * delta * h->scale * per_u;
    c->zv = keep * c->zv + (step * delta * c->zz + dv * (both - zx));
    c->decay = n.gamma_next * n.lambda_next;
    return delta;
}

/* x.x' of the x whose entries stand in word 4, and x'.x', of which those stand in word 5 afterwards. */
FT_INLINE ft_pair ft_proximal_count(const ft_gradient_hot *h, ft_row x, int padded) {
    double across = 0.0, square = 0.0;
    for (int64_t j = 0; j < x.k; j++) {
        if (padded && x.idx[j] < 0) continue;
        double *row = ft_record(h, x, j, 1, 0, FT_PROXIMAL_GTD2);
        const double size = x.val ? x.val[j] : 1.0, before = row[5];
        across += size * row[4];
        square += size * (before + (before + size));
        row[5] = before + size;
    }
    return ft_pair_of(across, square);
}

/* w_i += push and v_i += pull for the active i, and word `count` is 0 again. */
FT_INLINE void ft_proximal_move(const ft_gradient_hot *h, ft_row x, int padded, double push,
                                double pull, int count) {
    const ft_pair change = ft_pair_of(push, pull);
    for (int64_t j = 0; j < x.k; j++) {
        if (padded && x.idx[j] < 0) continue;
        double *row = ft_record(h, x, j, 1, 0, FT_PROXIMAL_GTD2);
        const double size = x.val ? x.val[j] : 1.0;
        ft_pair_store(row, ft_pair_add(ft_pair_of(row[0], row[1]), ft_pair_scaled(size, change)));
        row[count] = 0.0;
    }
}

FT_INLINE double ft_proximal_gtd2_transition(ft_gradient *t, ft_gradient_hot *h,
                                             ft_gradient_carry *c, ft_row x, ft_row x_next,
                                             ft_gradient_numbers n, int padded) {
    const double decay = n.rho * c->decay;
    ft_gradient_decay(t, h, decay);
    const ft_lanes sums = ft_gradient_read(h, x, 1, 0, padded, FT_PROXIMAL_GTD2, 1);
    const ft_lanes sums_next = ft_gradient_read(h, x_next, 1, 0, padded, FT_PROXIMAL_GTD2, 0);
    const double wx = ft_w(h, sums), wx_next = ft_w(h, sums_next);
    const double delta = ft_delta(n, wx, wx_next);
    const double vx = ft_quad_lane(sums.main, 1) + ft_quad_lane(sums.main, 2) * h->drive_v;
    const double dz = n.rho * (1.0 / h->scale);
    c->zv = ft_decayed(decay, c->zv) + n.rho * vx;
    const ft_lanes lanes = ft_gradient_write(h, x, 1, 0, padded, FT_PROXIMAL_GTD2,
                                             ft_change_of(0.0, -h->drive_v * dz, dz, 0.0, 1.0));
    const double both = ft_quad_lane(lanes.main, 2) * h->scale, xx = lanes.more;
    const double zx = both - ft_quad_lane(sums.main, 2) * h->scale; /* of the new z */
    c->zz = ft_decayed(decay * decay, c->zz) + n.rho * both;
    const int goes_on = n.gamma_next != 0.0;
    const ft_pair next = goes_on ? ft_proximal_count(h, x_next, padded) : ft_pair_of(0.0, 0.0);
    const double bend = n.gamma_next * (1.0 - n.lambda_next);
    const double push = bend == 0.0 ? 0.0 : bend * c->zv;
    const double w_ahead = wx + n.alpha * (vx * xx - push * ft_first(next));
    const double w_ahead_next = wx_next + n.alpha * (vx * ft_first(next) - push * ft_second(next));
    const double delta_ahead = ft_delta(n, w_ahead, w_ahead_next);
    const double v_ahead = vx + n.beta * (delta * zx - vx * xx);
    const double zv_ahead = c->zv + n.beta * (delta * c->zz - vx * zx);
    ft_proximal_move(h, x, padded, n.alpha * v_ahead, -n.beta * v_ahead, 4);
    if (goes_on) {
        const double push_ahead = bend == 0.0 ? 0.0 : -(n.alpha * bend) * zv_ahead;
        ft_proximal_move(h, x_next, padded, push_ahead, 0.0, 5);
    }
    h->drive_v += n.beta * delta_ahead * h->scale;
    c->zv += n.beta * (delta_ahead * c->zz - v_ahead * zx);
    c->decay = n.gamma_next * n.lambda_next;
    return delta;
}

/* ---- whole streams ---- */

/* Records come into cache in time where most of a step are new to it: see ft_prefetch_distance. */
static int64_t ft_gradient_ahead(const ft_gradient *t, const ft_stream *s) {
    enum { AHEAD = 6, SAMPLES = 64 };
    if (s->steps < 4 * SAMPLES || t->n < 1 << 14) return 0;
    int64_t kept = 0;
    for (int64_t i = 0; i < SAMPLES; i++) {
        const int32_t *x = s->indices + s->steps / SAMPLES * i * s->k;
        for (int64_t j = 0; j < s->k; j++) kept += x[j] == x[s->k + j];
    }
    return t->n >= 1 << 19 || 2 * kept < SAMPLES * s->k ? AHEAD : 0;
}

#define FT_GRADIENT_KINDS(CASE)                                                                   \
    CASE(gtd, FT_GTD)                                                                             \
    CASE(htd, FT_HTD)                                                                             \
    CASE(true_online_gtd, FT_TRUE_ONLINE_GTD)                                                     \
    CASE(gtd2, FT_GTD2)                                                                           \
    CASE(gtd2_lambda, FT_GTD2_LAMBDA)                                                             \
    CASE(tdrc, FT_TDRC)                                                                           \
    CASE(proximal_gtd2, FT_PROXIMAL_GTD2)

/* Each learner compiled for itself: plain streams, everything else, and one step, whose call costs more than
 * a copy for the CPU would gain. */
#define FT_DEFINE_GRADIENT(name, kind)                                                            \
    FT_INLINE void ft_##name##_loop(ft_gradient *t, double beta, const ft_stream *s,              \
                                    double *FT_RESTRICT deltas, int plain) {                      \
        ft_gradient_hot h = ft_gradient_load(t);                                                  \
        ft_gradient_carry c = ft_gradient_carry_of(t);                                            \
        const int64_t ahead = plain ? ft_gradient_ahead(t, s) : 0;                                \
        ft_row x = ft_row_at(s, 0, plain);                                                        \
        for (int64_t i = 0; i < s->steps; i++) {                                                  \
            const ft_row x_next = ft_row_at(s, i + 1, plain);                                     \
            if (ahead && i + 1 + ahead <= s->steps)                                               \
                for (int64_t j = 0; j < s->k; j++)                                                \
                    FT_PREFETCH(h.rows + ft_words_of(kind) * x_next.idx[ahead * s->k + j]);       \
            deltas[i] =                                                                           \
                ft_##name##_transition(t, &h, &c, x, x_next, ft_gradient_numbers_of(s, i, beta), !plain);  \
            x = x_next;                                                                           \
        }                                                                                         \
        ft_gradient_carry_store(t, &h, &c, s->alphas[(s->steps - 1) * s->alpha_stride]);          \
    }                                                                                             \
    FT_CLONES static void ft_##name##_plain(ft_gradient *t, double beta, const ft_stream *s,      \
                                            double *deltas) {                                     \
        ft_##name##_loop(t, beta, s, deltas, 1);                                                  \
    }                                                                                             \
    FT_CLONES_32 static void ft_##name##_any(ft_gradient *t, double beta, const ft_stream *s,     \
                                          double *deltas) {                                       \
        ft_##name##_loop(t, beta, s, deltas, 0);                                                  \
    }                                                                                             \
    static double ft_##name##_once(ft_gradient *t, ft_row x, ft_row x_next, ft_gradient_numbers n) {       \
        ft_gradient_hot h = ft_gradient_load(t);                                                  \
        ft_gradient_carry c = ft_gradient_carry_of(t);                                            \
        const double delta = ft_##name##_transition(t, &h, &c, x, x_next, n, 1);                  \
        ft_gradient_carry_store(t, &h, &c, n.alpha);                                              \
        return delta;                                                                             \
    }
FT_GRADIENT_KINDS(FT_DEFINE_GRADIENT)

int32_t ft_gradient_run(ft_gradient *t, double beta, const ft_stream *s, double *deltas) {
    if (s->steps == 0) return FT_OK;
    if (t->columns != 1 || !ft_beta_ok(t, beta)) return FT_EVALUE;
    int padded;
    const int32_t status = ft_gradient_check(t, s, s->steps + 1, &padded);
    if (status != FT_OK) return status;
    const int plain = !padded && !s->values && !s->indptr && !s->shared;
#define FT_CALL_GRADIENT(name, value)                                                             \
    if (t->kind == value) (plain ? ft_##name##_plain : ft_##name##_any)(t, beta, s, deltas);
    FT_GRADIENT_KINDS(FT_CALL_GRADIENT)
    return FT_OK;
}

int32_t ft_gradient_step(ft_gradient *t, double beta, int64_t k, const int32_t *idx,
                         const double *val, int64_t k_next, const int32_t *idx_next,
                         const double *val_next, double reward, double gamma_next,
                         double lambda_next, double rho, double alpha, double *delta) {
    const ft_gradient_numbers n =
        ft_gradient_numbers_at(reward, gamma_next, lambda_next, rho, alpha, beta);
    /* As in ft_td_step: of those arrays that no int32_t * may see. */
    if ((((uintptr_t)idx | (uintptr_t)idx_next) & (sizeof(int32_t) - 1)) != 0) return FT_EVALUE;
    if (!ft_gradient_row_ok(t, k, idx) || !ft_gradient_row_ok(t, k_next, idx_next)) return FT_EINDEX;
    if (!ft_numbers_ok(t, n) || t->columns != 1) return FT_EVALUE;
    const ft_row x = ft_row_of(k, idx, val), x_next = ft_row_of(k_next, idx_next, val_next);
#define FT_CALL_ONCE(name, value)                                                                 \
    if (t->kind == value) *delta = ft_##name##_once(t, x, x_next, n);
    FT_GRADIENT_KINDS(FT_CALL_ONCE)
    return FT_OK;
}

/* ---- the arrays as a whole ---- */

int64_t ft_gradient_words(int32_t kind) { return ft_words_of((int)kind); }

void ft_gradient_init(ft_gradient *t, int32_t kind, int64_t n, int64_t columns, double *rows,
                      double *ring) {
    memset(t, 0, sizeof *t);
    t->n = n;
    t->columns = columns;
    t->kind = kind;
    t->width = ft_words_of(kind);
    t->ring_size = ft_trace_ring_size(n * columns);
    t->alive_max = 64;
    while (t->alive_max * t->alive_max < n * columns) t->alive_max *= 2;
    t->flat = 1;
    t->scale = t->behaviour_scale = 1.0;
    t->v_old = (double)NAN;
    t->rows = rows;
    t->ring = ring;
    memset(rows, 0, (size_t)(n * columns * t->width) * sizeof *rows);
    memset(ring, 0, (size_t)(4 * t->ring_size) * sizeof *ring);
    ring[2] = ring[3] = 1.0;
}

void ft_gradient_reset(ft_gradient *t) {
    ft_gradient_close(t, 0.0, t->drive, t->drive_v);
    t->decay = t->zv = t->zz = t->zbv = t->zzb = 0.0;
    t->v_old = (double)NAN;
    if (t->kind == FT_TDRC) return;
    t->behaviour_epoch += 2; /* older than one generation: zb is 0 */
    t->behaviour_scale = 1.0;
    t->behaviour_before = 0.0;
}

void ft_gradient_flatten(ft_gradient *t) {
    if (t->flat) return;
    ft_gradient_close(t, t->scale, t->drive, t->drive_v);
    const ft_gradient_hot h = ft_gradient_load(t);
    for (int64_t i = 0; i < t->n * t->columns; i++) {
        double *row = h.rows + t->width * i;
        if (t->kind == FT_HTD) {
            ft_gradient_put(&h, row, ft_gradient_now(&h, row, FT_HTD, 1), FT_HTD);
            row[4] *= h.behaviour_scale;
        } else if (t->kind == FT_TDRC) {
            ft_gradient_put(&h, row, ft_gradient_now(&h, row, FT_TDRC, 1), FT_TDRC);
            row[1] *= h.behaviour_scale;
        } else if (t->kind == FT_TRUE_ONLINE_GTD)
            ft_gradient_put(&h, row, ft_gradient_now(&h, row, FT_TRUE_ONLINE_GTD, 1),
                            FT_TRUE_ONLINE_GTD);
        else
            ft_gradient_put(&h, row, ft_gradient_now(&h, row, FT_GTD, 1), FT_GTD);
    }
    t->behaviour_scale = 1.0;
    t->behaviour_before = 0.0;
    t->oldest = t->epoch;
    t->flat = 1;
}

int32_t ft_gradient_values(ft_gradient *t, const ft_stream *x, int64_t rows, double *out) {
    int padded;
    const int32_t status = ft_gradient_check(t, x, rows, &padded);
    if (status != FT_OK) return status;
    const ft_gradient_hot h = ft_gradient_load(t);
    const int kind = (int)t->kind;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t a = 0; a < t->columns; a++)
            *out++ = ft_gradient_value(&h, ft_row_at(x, r, 0), t->columns, a, 1, kind);
    return FT_OK;
}
