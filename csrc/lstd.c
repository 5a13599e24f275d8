/* LSTD(lambda): A and b of least squares, and the inverse of A, over a stream. */
#include "trace.h"

/* A trace below this is 0: what it still added to A would be lost in any sum. */
#define FT_LSTD_CUT 1e-200
/* A determinant that one step makes so much smaller costs the inverse half its digits. */
#define FT_LSTD_SINGULAR 1e-8

static ft_row ft_lstd_row(const ft_stream *s, int64_t r) {
    ft_row x;
    const int64_t begin = s->indptr ? s->indptr[r] : r * s->k;
    x.k = s->indptr ? s->indptr[r + 1] - begin : s->k;
    x.idx = s->indices + (s->shared ? 0 : begin);
    x.val = s->values ? s->values + begin : NULL;
    return x;
}

static double ft_lstd_value(ft_row x, int64_t j) { return x.val ? x.val[j] : 1.0; }

/* y <- y + c x */
FT_CLONES static void ft_lstd_add(double *FT_RESTRICT y, const double *FT_RESTRICT x, double c,
                                  int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] += c * x[i];
}

/* z <- D z, over what is not 0 in it; what has become too small leaves the list. */
static void ft_lstd_decay(ft_lstd *l, double D) {
    int64_t kept = 0;
    for (int64_t j = 0; j < l->active; j++) {
        const int32_t i = l->list[j];
        const double z = D == 0.0 ? 0.0 : l->z[i] * D; /* 0 times infinity is not 0 */
        const int dropped = fabs(z) < FT_LSTD_CUT;
        l->z[i] = dropped ? 0.0 : z;
        l->listed[i] = (uint8_t)!dropped;
        l->list[kept] = i;
        kept += !dropped;
    }
    l->active = kept;
    if (l->inverse)
        for (int64_t i = 0; i < l->n; i++) l->u[i] = D == 0.0 ? 0.0 : l->u[i] * D;
}

/* z <- z + rho x, and u with it; dx <- dx + x. */
static void ft_lstd_visit(ft_lstd *l, ft_row x, double rho) {
    for (int64_t j = 0; j < x.k; j++) {
        const int32_t i = x.idx[j];
        if (i < 0) continue;
        const double c = rho * ft_lstd_value(x, j);
        if (!l->listed[i]) {
            l->listed[i] = 1;
            l->list[l->active++] = i;
        }
        l->z[i] += c;
        l->work[i] += ft_lstd_value(x, j);
        if (l->inverse)
            for (int64_t r = 0; r < l->n; r++) l->u[r] += c * l->inverse[r * l->n + i];
    }
}

/* A <- A + z dx', for the entries of dx that x names; with the inverse e <- e + dx_i inverse_i and
 * the sum of dx_i u_i, which is returned.  dx is 0 there afterwards. */
static double ft_lstd_spread(ft_lstd *l, ft_row x) {
    double *dx = l->work, *e = l->work + l->n, sum = 0.0;
    for (int64_t j = 0; j < x.k; j++) {
        const int32_t i = x.idx[j];
        if (i < 0 || dx[i] == 0.0) continue;
        const double g = dx[i];
        double *column = l->A + i * l->n;
        dx[i] = 0.0;
        if (4 * l->active < l->n)
            for (int64_t r = 0; r < l->active; r++) column[l->list[r]] += g * l->z[l->list[r]];
        else
            ft_lstd_add(column, l->z, g, l->n);
        if (l->inverse) {
            ft_lstd_add(e, l->inverse + i * l->n, g, l->n);
            sum += g * l->u[i];
        }
    }
    return sum;
}

/* inverse <- inverse - u e' / (1 + dx.u), u <- u / (1 + dx.u): Sherman and Morrison. */
static void ft_lstd_invert(ft_lstd *l, double determinant) {
    const double *e = l->work + l->n;
    if (!(fabs(determinant) >= FT_LSTD_SINGULAR) || isinf(determinant)) {
        l->stale = 1;
        return;
    }
    for (int64_t i = 0; i < l->n; i++) {
        l->u[i] /= determinant;
        if (l->u[i] != 0.0) ft_lstd_add(l->inverse + i * l->n, e, -l->u[i], l->n);
    }
    if (++l->since >= l->refresh) l->stale = 1;
}

static void ft_lstd_step(ft_lstd *l, ft_row x, ft_row x_next, double reward,
                         double gamma_next, double lambda_next, double rho) {
    ft_lstd_decay(l, rho * l->decay);
    ft_lstd_visit(l, x, rho);
    for (int64_t j = 0; j < x_next.k; j++)
        if (x_next.idx[j] >= 0) l->work[x_next.idx[j]] -= gamma_next * ft_lstd_value(x_next, j);
    if (l->inverse)
        for (int64_t i = 0; i < l->n; i++) l->work[l->n + i] = 0.0;
    double determinant = 1.0 + ft_lstd_spread(l, x);
    determinant += ft_lstd_spread(l, x_next);
    for (int64_t j = 0; j < l->active; j++) l->b[l->list[j]] += reward * l->z[l->list[j]];
    if (l->inverse && !l->stale) ft_lstd_invert(l, determinant);
    l->decay = gamma_next * lambda_next;
}

static int32_t ft_lstd_check(ft_lstd *l, const ft_stream *s) {
    const int64_t rows = s->steps + 1;
    const int64_t count = s->indptr ? s->indptr[rows] : s->shared ? s->k : rows * s->k;
    for (int64_t i = 0; i < count; i++)
        if (s->indices[i] < -1 || s->indices[i] >= l->n) {
            l->bad_index = s->indices[i];
            return FT_EINDEX;
        }
    return FT_OK;
}

int64_t ft_lstd_run(ft_lstd *lstd, const ft_stream *s, int64_t start) {
    if (start == 0 && !s->checked && ft_lstd_check(lstd, s) != FT_OK) return FT_EINDEX;
    int64_t t = start;
    while (t < s->steps) {
        const double gamma_next = s->gammas[t * s->gamma_stride];
        ft_row x_next = ft_lstd_row(s, t + 1);
        if (gamma_next == 0.0) x_next.k = 0;
        ft_lstd_step(lstd, ft_lstd_row(s, t), x_next, s->rewards[t], gamma_next,
                     s->lambdas[t * s->lambda_stride], s->rhos ? s->rhos[t * s->rho_stride] : 1.0);
        t++;
        if (lstd->inverse && lstd->stale == 1) break;
    }
    return t;
}
