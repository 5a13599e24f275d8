/* Step sizes that learn: SwiftTD, TIDBD and Autostep, for state and for action values.
 *
 * w, h and the traces of a row that is not active change by `scale` and `drive` alone, as in trace.h.
 * There is one epoch: when the scale gets small, the list is brought up to date, and what has faded
 * leaves it.  Only SwiftTD's step sizes change while a row is not active: by adapt(), on the list. */
#include "trace.h"

/* y up to which exp(-y) is 1 - y to rounding: y^2 / 2 is 2^-57. */
#define FT_FAINT (1.0 / 268435456.0)

/* The scale stays above it: a smaller one than FT_THR, for bringing the list up to date costs more here. */
#define FT_FADED (1.0 / 64.0)

/* What a loop keeps in registers. */
typedef struct {
    ft_adaptive_row *rows;
    int64_t columns;
    double scale, drive;
} ft_warm;

FT_INLINE ft_warm ft_warm_of(const ft_adaptive *t) {
    ft_warm h;
    h.rows = t->rows;
    h.columns = t->columns;
    h.scale = t->scale;
    h.drive = t->drive;
    return h;
}

/* Features, and the column of the weights that they use. */
typedef struct {
    ft_row row;
    int64_t column;
} ft_spot;

FT_INLINE ft_spot ft_spot_at(int64_t k, const int32_t *idx, const double *val, int64_t column) {
    ft_spot x;
    x.row.k = k;
    x.row.idx = idx;
    x.row.val = val;
    x.column = column;
    return x;
}

/* ---- the list ------------------------------------------------------------------------------- */

/* A row as it is without drive; h before the last update is kept for the step that comes. */
FT_INLINE void ft_settle(const ft_adaptive *t, ft_adaptive_row *r, int kind) {
    r->b += r->z * t->drive;
    if (kind == FT_SWIFT) {
        if (r->last != (double)(t->step - 1)) {
            r->before = r->h + r->z_bar * t->drive_before;
            r->last = (double)(t->step - 1);
        }
        r->h += r->z_bar * t->drive;
    } else
        r->h += r->z * t->drive;
}

/* Rows of the list change places. */
FT_INLINE void ft_exchange(ft_adaptive *t, int64_t l, int64_t m) {
    const int32_t row = t->list[l];
    const double p = t->p[l], inverse = t->inverse[l], fresh = t->fresh[l];
    t->list[l] = t->list[m];
    t->p[l] = t->p[m];
    t->inverse[l] = t->inverse[m];
    t->fresh[l] = t->fresh[m];
    t->list[m] = row;
    t->p[m] = p;
    t->inverse[m] = inverse;
    t->fresh[m] = fresh;
    t->rows[t->list[l]].slot = (double)(l + 1);
    t->rows[row].slot = (double)(m + 1);
}

/* Put those to the end that errors like the last ones will hardly move: exp(-y) is 1 - y to rounding there. */
FT_COLD void ft_rank(ft_adaptive *t) {
    const double calm = t->listed > 2 * FT_AT_ONCE ? 4.0 * t->meta * t->largest : 0.0;
    int64_t awake = calm > 0.0 ? 0 : t->listed, end = t->listed;
    while (awake < end)
        if (fabs(t->p[awake]) * t->inverse[awake] * calm <= FT_FAINT)
            ft_exchange(t, awake, --end);
        else
            awake++;
    t->awake = awake;
    t->calm = calm;
    t->floor = 1.0 / t->eta;
    t->largest = 0.0;
}

/* Bring the list up to date for traces that have decayed by `scale`.  What is below FT_CUT of what it
 * was when its feature was last active leaves. */
FT_COLD void ft_relist(ft_adaptive *t, double scale, int kind) {
    for (int64_t l = t->listed - 1; l >= 0; l--) {
        ft_adaptive_row *r = t->rows + t->list[l];
        const double fresh = t->fresh[l] * scale;
        if (fresh >= FT_CUT) {
            r->b += r->z * t->drive;
            r->h += (kind == FT_SWIFT ? r->z_bar : r->z) * t->drive;
            r->z *= scale;
            r->z_bar *= scale;
            t->p[l] *= scale;
            t->fresh[l] = fresh;
            continue;
        }
        ft_settle(t, r, kind);
        r->z = r->z_bar = r->slot = 0.0;
        if (kind == FT_SWIFT) r->alpha = 1.0 / t->inverse[l];
        const int64_t last = --t->listed;
        t->p[l] = t->p[last];
        t->p[last] = 0.0;
        if (l == last) continue;
        t->list[l] = t->list[last];
        t->inverse[l] = t->inverse[last];
        t->fresh[l] = t->fresh[last];
        t->rows[t->list[l]].slot = (double)(l + 1);
    }
    t->drive_before = t->listed ? (t->drive_before - t->drive) / scale : 0.0;
    t->drive = 0.0;
    t->scale = 1.0;
    if (kind == FT_SWIFT) ft_rank(t);
}

FT_INLINE void ft_fade(ft_adaptive *t, int kind) {
    const double scale = t->decay == 0.0 ? 0.0 : t->scale * t->decay;
    if (FT_LIKELY(scale >= FT_FADED))
        t->scale = scale;
    else
        ft_relist(t, scale, kind);
}

/* Where row r is listed; at the end, if it was not. */
FT_INLINE int64_t ft_slot(ft_adaptive *t, ft_adaptive_row *r, int64_t i) {
    if (r->slot != 0.0) return (int64_t)r->slot - 1;
    const int64_t l = t->listed++;
    t->list[l] = (int32_t)i;
    t->p[l] = 0.0;
    r->slot = (double)(l + 1);
    return l;
}

/* The same among those that are awake. */
FT_INLINE int64_t ft_woken(ft_adaptive *t, ft_adaptive_row *r, int64_t i) {
    const int64_t l = ft_slot(t, r, i);
    if (l < t->awake) return l;
    if (l != t->awake) ft_exchange(t, l, t->awake);
    return t->awake++;
}

/* ---- reading -------------------------------------------------------------------------------- */

FT_INLINE double ft_adaptive_value(const ft_warm *h, ft_spot x, int padded) {
    double v = 0.0;
    for (int64_t j = 0; j < x.row.k; j++) {
        if (padded && x.row.idx[j] < 0) continue;
        const ft_adaptive_row *r = h->rows + x.row.idx[j] * h->columns + x.column;
        v += (x.row.val ? x.row.val[j] : 1.0) * (r->b + r->z * h->drive);
    }
    return v;
}

/* The active rows, each once, are in t->active and t->x: how many, w.x, z.x, and SwiftTD's tau. */
typedef struct {
    int64_t m;
    double v, zx, tau;
} ft_active;

FT_INLINE ft_active ft_gather(ft_adaptive *t, const ft_warm *h, ft_spot x, int kind, int padded) {
    const double now = (double)t->step, drive_before = t->drive_before;
    int64_t m = 0, twice = 0;
    double v = 0.0, zx = 0.0, tau = 0.0;
    for (int64_t j = 0; j < x.row.k; j++) {
        if (padded && x.row.idx[j] < 0) continue;
        const int64_t i = x.row.idx[j] * h->columns + x.column;
        const double size = x.row.val ? x.row.val[j] : 1.0;
        ft_adaptive_row *r = h->rows + i;
        v += size * (r->b + r->z * h->drive);
        zx += size * r->z;
        if (r->last == now) {
            int64_t seen = 0;
            while (t->active[seen] != i) seen++;
            t->x[seen] += size;
            twice = 1;
            continue;
        }
        if (kind == FT_SWIFT) {
            if (r->last != now - 1.0) r->before = r->h + r->z_bar * drive_before;
            if (r->slot != 0.0) r->alpha = 1.0 / t->inverse[(int64_t)r->slot - 1];
            tau += r->alpha * size * size;
        }
        r->last = now;
        t->active[m] = (int32_t)i;
        t->x[m++] = size;
    }
    if (kind == FT_SWIFT && twice) {
        tau = 0.0;
        for (int64_t j = 0; j < m; j++) tau += h->rows[t->active[j]].alpha * t->x[j] * t->x[j];
    }
    ft_active a;
    a.m = m;
    a.v = v;
    a.zx = zx * h->scale;
    a.tau = tau;
    return a;
}

/* ---- exponentials: most are of numbers near 0 -------------------------------------------------- */

#define FT_SMALL (1.0 / 16.0)

/* exp(-y) for |y| <= FT_SMALL, to rounding. */
FT_INLINE double ft_exp_minus(double y) {
    const double y2 = y * y;
    return ((1.0 - y) + y2 * (1.0 / 2 - y * (1.0 / 6))) +
           (y2 * y2) * ((1.0 / 24 - y * (1.0 / 120)) +
                        y2 * ((1.0 / 720 - y * (1.0 / 5040)) + y2 * (1.0 / 40320)));
}

FT_INLINE double ft_exp(double y) { return fabs(y) <= FT_SMALL ? ft_exp_minus(-y) : exp(y); }

FT_INLINE double ft_between(double x, double low, double high) {
    x = x < low ? low : x;
    return x > high ? high : x;
}

/* beta <- beta + y on inverse = exp(-beta), kept in [low, high].  Infinity times 0 moves nothing; what
 * is far beyond the bounds needs no exp. */
FT_INLINE double ft_moved_inverse(double inverse, double y, double low, double high) {
    if (y != y) return inverse;
    return y > 200.0 ? low : y < -200.0 ? high : ft_between(inverse * ft_exp(-y), low, high);
}

/* ---- SwiftTD -------------------------------------------------------------------------------- */

/* beta += c p / alpha for every listed row, alpha held in [1 / high, 1 / low]; it is 1 / inverse.
 * Some at a time, and a few beyond the last: vectors of them, and only those with a large change wait for
 * exp.  What is beyond has p = 0. */
FT_INLINE void ft_adapt(const double *FT_RESTRICT p, double *FT_RESTRICT inverse, int64_t count,
                        double c, double low, double high) {
    for (int64_t l = 0; l < count; l += FT_AT_ONCE) {
        double old[FT_AT_ONCE];
        int64_t large = 0;
        for (int64_t i = 0; i < FT_AT_ONCE; i++) {
            const double y = c * p[l + i] * inverse[l + i];
            old[i] = inverse[l + i];
            large += !(fabs(y) <= FT_SMALL);
            inverse[l + i] = ft_between(inverse[l + i] * ft_exp_minus(y), low, high);
        }
        for (int64_t i = 0; large; i++) {
            const double y = c * p[l + i] * old[i];
            if (fabs(y) <= FT_SMALL) continue;
            inverse[l + i] = ft_moved_inverse(old[i], y, low, high);
            large--;
        }
    }
}

/* The same for rows at rest, from a whole number of blocks on. */
FT_INLINE void ft_adapt_faint(const double *FT_RESTRICT p, double *FT_RESTRICT inverse, int64_t first,
                              int64_t count, double c, double low, double high) {
    for (int64_t l = first; l < count; l++)
        inverse[l] = ft_between(inverse[l] * (1.0 - c * p[l] * inverse[l]), low, high);
}

/* All listed rows. */
FT_INLINE void ft_adapt_all(ft_adaptive *t, double delta, double scale) {
    const double c = t->meta * delta * scale, low = 1.0 / t->eta, high = 1.0 / t->eta_min;
    int64_t awake = t->listed;
    if (fabs(delta) > t->largest) t->largest = fabs(delta);
    if (fabs(c) <= t->calm && low <= t->floor) {
        awake = (t->awake + FT_AT_ONCE - 1) / FT_AT_ONCE * FT_AT_ONCE;
        ft_adapt_faint(t->p, t->inverse, awake, t->listed, c, low, high);
        awake = awake < t->listed ? awake : t->listed;
    }
    ft_adapt(t->p, t->inverse, awake, c, low, high);
}

/* A step size that is held at eta must not be taken for one that is too large by its last bit. */
#define FT_SLACK (1.0 + 1e-9)

/* The active rows meet their traces; dv = v - v_old. */
FT_INLINE void ft_swift_write(ft_adaptive *t, const ft_warm *h, ft_active a, double dv) {
    const int over = a.tau > t->eta * FT_SLACK;
    const double rate = over ? t->eta / a.tau : 1.0, inv = 1.0 / h->scale, zx = a.zx;
    for (int64_t j = 0; j < a.m; j++) {
        ft_adaptive_row *r = h->rows + t->active[j];
        const double x = t->x[j], z_delta = rate * r->alpha * x;
        double now = r->h + r->z_bar * h->drive, before = r->before;
        if (x == 0.0) {
            r->before = now;
            continue;
        }
        if (over) {
            now = before = r->z_bar = 0.0;
            r->alpha *= x == 1.0 ? t->shrink : exp(x * x * log(t->shrink));
            r->alpha = r->alpha < t->eta_min ? t->eta_min : r->alpha;
        }
        const double z_bar = r->z_bar * h->scale;
        const double dz = z_delta * (1.0 - zx) * inv;
        r->z += dz;
        r->b -= h->drive * dz + z_delta * dv;
        r->z_bar += z_delta * (1.0 - zx - x * z_bar) * inv;
        r->h = now - before * x * (r->z * h->scale - z_delta) - now * x * z_delta - z_delta * dv -
               r->z_bar * h->drive;
        r->before = now;
        const int news = over || r->slot == 0.0;
        const int64_t l = ft_woken(t, r, t->active[j]);
        t->p[l] += x * before * inv;
        if (news) t->inverse[l] = 1.0 / r->alpha;
        t->fresh[l] = inv;
    }
}

#define FT_NORMAL 2.2250738585072014e-308

/* ---- TIDBD and Autostep: step sizes change where features are active ----------------------------- */

FT_INLINE double ft_tidbd_alpha(const ft_adaptive *t, const ft_adaptive_row *r, double gradient) {
    return r->alpha * ft_exp(t->meta * gradient);
}

FT_INLINE double ft_autostep_alpha(const ft_adaptive *t, ft_adaptive_row *r, double x,
                                   double gradient) {
    if (fabs(gradient) < FT_NORMAL) gradient = 0.0; /* few of its digits are left, and the step goes by its ratio */
    const double size = fabs(gradient);
    const double kept = r->before + r->alpha * x * x / t->tau * (size - r->before);
    r->before = size > kept ? size : kept;
    return r->before > 0.0 ? r->alpha * ft_exp(t->meta * (gradient / r->before)) : r->alpha;
}

FT_INLINE void ft_delta_bar_write(ft_adaptive *t, const ft_warm *h, int64_t m, double delta,
                                  int kind) {
    const double inv = 1.0 / h->scale;
    double rate = 0.0; /* sum of alpha z x: what the step takes off delta */
    for (int64_t j = 0; j < m; j++) {
        ft_adaptive_row *r = h->rows + t->active[j];
        const double x = t->x[j], now = r->h + r->z * h->drive;
        if (x == 0.0) continue;
        r->h = now;
        r->b += r->z * h->drive;
        r->z_bar += x * inv;
        r->alpha = kind == FT_TIDBD ? ft_tidbd_alpha(t, r, delta * x * now)
                                    : ft_autostep_alpha(t, r, x, delta * x * now);
        rate += r->alpha * (r->z_bar * h->scale) * x;
    }
    const double most = kind == FT_AUTOSTEP && rate > 1.0 ? rate : 1.0;
    for (int64_t j = 0; j < m; j++) {
        ft_adaptive_row *r = h->rows + t->active[j];
        const double x = t->x[j];
        if (x == 0.0) continue;
        r->alpha /= most;
        r->z = r->alpha * r->z_bar;
        const double left = 1.0 - x * (r->z * h->scale);
        r->h = (left > 0.0 ? r->h * left : 0.0) - r->z * h->drive;
        r->b -= r->z * h->drive;
        t->fresh[ft_slot(t, r, t->active[j])] = inv;
    }
}

/* ---- one transition ------------------------------------------------------------------------- */

FT_INLINE double ft_adaptive_learn(ft_adaptive *t, ft_spot x, ft_spot x_next, double reward,
                                   double gamma_next, double lambda_next, int kind, int padded) {
    const int starts = t->decay == 0.0;
    ft_fade(t, kind);
    const ft_warm h = ft_warm_of(t);
    const double v_next = gamma_next == 0.0 ? 0.0 : ft_adaptive_value(&h, x_next, padded);
    const ft_active a = ft_gather(t, &h, x, kind, padded);
    const double delta = reward + (gamma_next == 0.0 ? 0.0 : gamma_next * v_next) - a.v;
    double push = delta;
    if (kind == FT_SWIFT) {
        const double dv = starts || t->v_old != t->v_old ? 0.0 : a.v - t->v_old;
        ft_swift_write(t, &h, a, dv);
        ft_adapt_all(t, delta, h.scale);
        push = delta + dv;
    } else
        ft_delta_bar_write(t, &h, a.m, delta, kind);
    t->drive_before = h.drive;
    t->drive = h.drive + push * h.scale;
    t->v_old = v_next;
    t->decay = gamma_next * lambda_next;
    t->step++;
    return delta;
}

static int ft_adaptive_row_ok(ft_adaptive *t, int64_t k, const int32_t *idx) {
    for (int64_t j = 0; j < k; j++)
        if (idx[j] < -1 || idx[j] >= t->n) {
            t->bad_index = idx[j];
            return 0;
        }
    return 1;
}

#define FT_ADAPTIVE_KINDS(CASE) CASE(swift, FT_SWIFT) CASE(tidbd, FT_TIDBD) CASE(autostep, FT_AUTOSTEP)

#define FT_DEFINE_STEP(name, kind)                                                                \
    FT_CLONES static double ft_step_##name(ft_adaptive *t, ft_spot x, ft_spot y, double reward,   \
                                           double gamma, double lambda) {                         \
        return ft_adaptive_learn(t, x, y, reward, gamma, lambda, kind, 1);                        \
    }
FT_ADAPTIVE_KINDS(FT_DEFINE_STEP)

int32_t ft_adaptive_step(ft_adaptive *t, int32_t kind, int64_t k, const int32_t *idx,
                         const double *val, int64_t column, int64_t k_next, const int32_t *idx_next,
                         const double *val_next, int64_t column_next, double reward,
                         double gamma_next, double lambda_next, double *delta) {
    /* Callers that have arrays of any origin leave it to this to tell of those that no int32_t * may see. */
    if ((((uintptr_t)idx | (uintptr_t)idx_next) & (sizeof(int32_t) - 1)) != 0) return FT_EVALUE;
    if (!ft_adaptive_row_ok(t, k, idx) || !ft_adaptive_row_ok(t, k_next, idx_next)) return FT_EINDEX;
    if (column < 0 || column >= t->columns || column_next < 0 || column_next >= t->columns)
        return FT_EACTION;
    if (!(isfinite(reward) && gamma_next >= 0.0 && gamma_next <= 1.0 && lambda_next >= 0.0 &&
          lambda_next <= 1.0))
        return FT_EVALUE;
    const ft_spot x = ft_spot_at(k, idx, val, column);
    const ft_spot y = ft_spot_at(k_next, idx_next, val_next, column_next);
#define FT_CALL_STEP(name, value)                                                                 \
    case value: *delta = ft_step_##name(t, x, y, reward, gamma_next, lambda_next); return FT_OK;
    switch (kind) {
        FT_ADAPTIVE_KINDS(FT_CALL_STEP)
        default: return FT_EVALUE;
    }
}

/* ---- a whole stream ------------------------------------------------------------------------- */

/* As in linear.c: the largest of index + 1 tells of every index that is bad, the smallest of padding. */
FT_CLONES static void ft_adaptive_range(const int32_t *FT_RESTRICT idx, int64_t count,
                                        uint32_t *lowest, uint32_t *highest) {
    uint32_t low = UINT32_MAX, high = 0;
    for (int64_t i = 0; i < count; i++) {
        const uint32_t x = (uint32_t)idx[i] + 1u;
        low = x < low ? x : low;
        high = x > high ? x : high;
    }
    *lowest = low;
    *highest = high;
}

static int32_t ft_adaptive_check(ft_adaptive *t, const ft_stream *s, int64_t rows, int *padded) {
    *padded = s->checked != 1;
    if (s->checked) return FT_OK;
    const int64_t count = s->indptr ? s->indptr[rows] : s->shared ? s->k : rows * s->k;
    uint32_t low, high;
    ft_adaptive_range(s->indices, count, &low, &high);
    *padded = low == 0;
    if ((int64_t)high <= t->n) return FT_OK;
    ft_adaptive_row_ok(t, count, s->indices);
    return FT_EINDEX;
}

#define FT_AHEAD 3 /* steps whose rows come into cache in time */

/* plain: binary rows of one length, without padding. */
FT_INLINE ft_spot ft_spot_of(const ft_stream *s, int64_t t, int64_t columns, int plain) {
    const int64_t action = s->actions ? s->actions[t] : 0;
    const int64_t r = s->actions && columns == 1 ? t * s->n_actions + action : t;
    const int64_t column = columns == 1 ? 0 : action;
    if (plain) return ft_spot_at(s->k, s->indices + r * s->k, NULL, column);
    const int64_t begin = s->indptr ? s->indptr[r] : r * s->k;
    return ft_spot_at(s->indptr ? s->indptr[r + 1] - begin : s->k,
                      s->indices + (s->shared ? 0 : begin), s->values ? s->values + begin : NULL,
                      column);
}

FT_INLINE void ft_adaptive_stream(ft_adaptive *t, const ft_stream *s, double *FT_RESTRICT deltas,
                                  int kind, int plain) {
    const int64_t columns = t->columns;
    ft_spot x = ft_spot_of(s, 0, columns, plain);
    for (int64_t i = 0; i < s->steps; i++) {
        const ft_spot x_next = ft_spot_of(s, i + 1, columns, plain);
        if (plain && !s->actions && i + 1 + FT_AHEAD <= s->steps)
            for (int64_t j = 0; j < s->k; j++)
                FT_PREFETCH(t->rows + x_next.row.idx[FT_AHEAD * s->k + j]);
        deltas[i] = ft_adaptive_learn(t, x, x_next, s->rewards[i], s->gammas[i * s->gamma_stride],
                                      s->lambdas[i * s->lambda_stride], kind, !plain);
        x = x_next;
    }
}

#define FT_DEFINE_STREAM(name, kind)                                                              \
    FT_CLONES static void ft_stream_##name(ft_adaptive *t, const ft_stream *s, double *deltas) {  \
        ft_adaptive_stream(t, s, deltas, kind, 1);                                                \
    }                                                                                             \
    FT_CLONES static void ft_stream_any_##name(ft_adaptive *t, const ft_stream *s,                \
                                               double *deltas) {                                  \
        ft_adaptive_stream(t, s, deltas, kind, 0);                                                \
    }
FT_ADAPTIVE_KINDS(FT_DEFINE_STREAM)

int32_t ft_adaptive_run(ft_adaptive *t, int32_t kind, const ft_stream *s, double *deltas) {
    if (kind < FT_SWIFT || kind > FT_AUTOSTEP) return FT_EVALUE;
    if (s->steps == 0) return FT_OK;
    int padded;
    const int64_t n_actions = t->columns == 1 ? s->n_actions : t->columns;
    const int64_t rows = (s->steps + 1) * (s->actions && t->columns == 1 ? n_actions : 1);
    const int32_t status = ft_adaptive_check(t, s, rows, &padded);
    if (status != FT_OK) return status;
    if (s->actions)
        for (int64_t i = 0; !s->checked && i <= s->steps; i++)
            if (s->actions[i] < 0 || s->actions[i] >= n_actions) return FT_EACTION;
    const int plain = !padded && !s->values && !s->indptr && !s->shared;
#define FT_CALL_STREAM(name, value)                                                               \
    if (kind == value) (plain ? ft_stream_##name : ft_stream_any_##name)(t, s, deltas);
    FT_ADAPTIVE_KINDS(FT_CALL_STREAM)
    return FT_OK;
}

int32_t ft_adaptive_values(ft_adaptive *t, const ft_stream *x, int64_t rows, double *out) {
    int padded;
    const int32_t status = ft_adaptive_check(t, x, rows, &padded);
    if (status != FT_OK) return status;
    const ft_warm h = ft_warm_of(t);
    ft_stream all = *x; /* all rows, whatever actions are there */
    all.actions = NULL;
    for (int64_t r = 0; r < rows; r++) {
        ft_spot spot = ft_spot_of(&all, r, 2, 0);
        for (int64_t a = 0; a < t->columns; a++) {
            spot.column = a;
            out[r * t->columns + a] = ft_adaptive_value(&h, spot, padded);
        }
    }
    return FT_OK;
}

/* ---- as a whole ----------------------------------------------------------------------------- */

void ft_adaptive_init(ft_adaptive *t, int64_t n, int64_t columns, double alpha) {
    const ft_adaptive_row fresh = {0.0, 0.0, 0.0, 0.0, 0.0, alpha, 0.0, 0.0};
    t->n = n;
    t->columns = columns;
    t->listed = t->bad_index = 0;
    t->step = 2;
    t->scale = 1.0;
    t->drive = t->drive_before = t->decay = 0.0;
    t->v_old = (double)NAN;
    t->awake = 0;
    t->largest = t->calm = t->floor = 0.0;
    for (int64_t i = 0; i < n * columns; i++) t->rows[i] = fresh;
    for (int64_t l = 0; l < n * columns + FT_AT_ONCE; l++) t->p[l] = t->inverse[l] = 0.0;
}

void ft_adaptive_reset(ft_adaptive *t, int32_t kind) {
    ft_relist(t, 0.0, kind);
    t->decay = 0.0;
    t->v_old = (double)NAN;
}

void ft_adaptive_dense(const ft_adaptive *t, int32_t kind, double *w, double *alphas) {
    for (int64_t i = 0; i < t->n * t->columns; i++) {
        const ft_adaptive_row *r = t->rows + i;
        if (w) w[i] = r->b + r->z * t->drive;
        if (alphas) alphas[i] = r->alpha;
    }
    if (!alphas || kind != FT_SWIFT) return;
    for (int64_t l = 0; l < t->listed; l++) alphas[t->list[l]] = 1.0 / t->inverse[l];
}
