/* The loops over trajectories for one type of array: returns.c includes this for float and for double.
 *
 *   time-major   rows of FT_LANES trajectories, side by side, Y in a row of its own
 *   batch-major  FT_SPAN transitions of one trajectory at a time: sums over windows of 8 by doubling,
 *                then Y in steps of 8
 *   horizon      windows as two pieces that meet at a multiple of the horizon
 *
 * FT_REAL is the type, FT_OF(name) the name of a function for it. */

typedef struct {
    const FT_REAL *reward, *v, *v_next, *v_cut, *rho, *pi, *sigma, *q_next;
    const uint8_t *flag;
} FT_OF(ft_row);

/* Entry i of a row.  Families read what they need: the rest is left out by the compiler. */
FT_INLINE ft_transition FT_OF(ft_at)(const FT_OF(ft_row) *row, int64_t i, double gamma, double lambda,
                                     int64_t flag, const ft_returns *p) {
    ft_transition x;
    x.reward = row->reward[i];
    x.v = row->v[i];
    x.v_next = row->v_next[i];
    x.v_cut = row->v_cut[i];
    x.rho = row->rho[i];
    x.pi = row->pi[i];
    x.sigma = row->sigma[i];
    x.q_next = row->q_next[i];
    x.gamma = gamma;
    x.lambda = lambda;
    x.rho_bar = p->rho_bar;
    x.c_bar = p->c_bar;
    x.flag = flag;
    return x;
}

/* The row from entry (t, b) on, along the axis that lies in memory; what is not given points to what is
 * there, and is not used. */
FT_INLINE FT_OF(ft_row) FT_OF(ft_row_from)(const ft_returns *p, int64_t t, int64_t b, int is_last) {
    FT_OF(ft_row) row;
#define FT_ROW(array, otherwise)                                                                       \
    (p->array ? (const FT_REAL *)p->array + ft_place(p, t, b, p->array##_stride) : (otherwise))
    row.reward = (const FT_REAL *)p->rewards + ft_place(p, t, b, p->rewards_stride);
    row.v = FT_ROW(values, row.reward);
    row.v_next = is_last ? (const FT_REAL *)p->last + b : FT_ROW(nexts, row.reward);
    row.v_cut = FT_ROW(next_values, row.v_next);
    row.rho = FT_ROW(rhos, row.reward);
    row.pi = FT_ROW(pi, row.reward);
    row.sigma = FT_ROW(sigmas, row.reward);
    row.q_next = is_last ? row.v_next : FT_ROW(q_nexts, row.reward);
    row.flag = p->flags ? p->flags + ft_place(p, t, b, p->flags_stride) : ft_no_flags;
#undef FT_ROW
    return row;
}

/* ---- time-major ---- */

FT_INLINE void FT_OF(ft_lanes)(int family, const ft_returns *p, int64_t b, int64_t n) {
    double Y[FT_LANES], gamma[FT_LANES], lambda[FT_LANES];
    int64_t flag[FT_LANES];
    const int sums = ft_has_ends(family) || family == FT_SUM;
    for (int64_t i = 0; i < n; i++) {
        Y[i] = sums ? (double)((const FT_REAL *)p->last)[b + i] : 0.0;
        gamma[i] = p->gamma;
        lambda[i] = p->lambda_;
        flag[i] = 0;
    }
    for (int64_t t = p->T - 1; t >= 0; t--) {
        const FT_OF(ft_row) row = FT_OF(ft_row_from)(p, t, b, t == p->T - 1);
        FT_REAL *FT_RESTRICT out = (FT_REAL *)p->out + t * p->out_stride + b;
        FT_REAL *FT_RESTRICT second = p->second ? (FT_REAL *)p->second + t * p->second_stride + b : out;
        ft_rates(p->gamma_kind, p->gammas, t, 0, t * p->gammas_stride + b, n, gamma);
        ft_rates(p->lambda_kind, p->lambdas, t, 0, t * p->lambdas_stride + b, n, lambda);
        if (p->flags) ft_fill_flags(row.flag, n, flag);
        for (int64_t i = 0; i < n; i++) {
            const ft_transition x = FT_OF(ft_at)(&row, i, gamma[i], lambda[i], flag[i], p);
            double first, other;
            Y[i] = ft_transit(family, &x, Y[i], &first, &other);
            out[i] = (FT_REAL)first;
            if (family == FT_GAE || family == FT_VTRACE) second[i] = (FT_REAL)other;
        }
    }
}

/* GAE with one gamma and one lambda, neither 0, where nothing is truncated or skipped. */
FT_CLONES static void FT_OF(ft_gae_lanes)(const ft_returns *p, int64_t b, int64_t n) {
    double Y[FT_LANES];
    const double gamma = p->gamma, decay = p->gamma * p->lambda_;
    for (int64_t i = 0; i < n; i++) Y[i] = 0.0;
    for (int64_t t = p->T - 1; t >= 0; t--) {
        const FT_OF(ft_row) row = FT_OF(ft_row_from)(p, t, b, t == p->T - 1);
        const FT_REAL *FT_RESTRICT reward = row.reward, *FT_RESTRICT v = row.v;
        const FT_REAL *FT_RESTRICT v_next = row.v_next;
        const uint8_t *FT_RESTRICT flag = row.flag;
        FT_REAL *FT_RESTRICT out = (FT_REAL *)p->out + t * p->out_stride + b;
        FT_REAL *FT_RESTRICT second = (FT_REAL *)p->second + t * p->second_stride + b;
        for (int64_t i = 0; i < n; i++) {
            const double v_i = v[i];
            const double target = reward[i] + (flag[i] ? 0.0 : gamma * v_next[i]);
            Y[i] = target - v_i + (flag[i] ? 0.0 : decay * Y[i]);
            out[i] = (FT_REAL)Y[i];
            second[i] = (FT_REAL)(Y[i] + v_i);
        }
    }
}

/* ---- batch-major ---- */

/* The whole of one trajectory b. */
FT_INLINE void FT_OF(ft_scan)(int family, const ft_returns *p, int64_t b) {
    double a[FT_SPAN + FT_PAD], c[FT_SPAN + FT_PAD], gamma[FT_SPAN], lambda[FT_SPAN];
    int64_t flag[FT_SPAN];
    const int sums = ft_has_ends(family) || family == FT_SUM;
    double Y = sums ? (double)((const FT_REAL *)p->last)[b] : 0.0;
    for (int64_t i = 0; i < FT_SPAN; i++) {
        gamma[i] = p->gamma;
        lambda[i] = p->lambda_;
        flag[i] = 0;
    }
    for (int64_t end = p->T, n; end > 0; end -= n) {
        n = end == p->T ? 1 : end < FT_SPAN ? end : FT_SPAN; /* the last v_next stands elsewhere */
        const int64_t t = end - n;
        const FT_OF(ft_row) row = FT_OF(ft_row_from)(p, t, b, end == p->T);
        FT_REAL *FT_RESTRICT out = (FT_REAL *)p->out + b * p->out_stride + t;
        FT_REAL *FT_RESTRICT second = p->second ? (FT_REAL *)p->second + b * p->second_stride + t : out;
        ft_rates(p->gamma_kind, p->gammas, t, 1, b * p->gammas_stride + t, n, gamma);
        ft_rates(p->lambda_kind, p->lambdas, t, 1, b * p->lambdas_stride + t, n, lambda);
        if (p->flags) ft_fill_flags(row.flag, n, flag);
        for (int64_t i = 0; i < n; i++) {
            const ft_transition x = FT_OF(ft_at)(&row, i, gamma[i], lambda[i], flag[i], p);
            ft_affine(family, &x, &a[i], &c[i]);
        }
        ft_solve(a, c, n, Y);
        for (int64_t i = 0; i < n; i++) {
            const ft_transition x = FT_OF(ft_at)(&row, i, gamma[i], lambda[i], flag[i], p);
            double first, other;
            (void)ft_transit(family, &x, a[i + 1], &first, &other);
            out[i] = (FT_REAL)first;
            if (family == FT_GAE || family == FT_VTRACE) second[i] = (FT_REAL)other;
        }
        Y = a[0];
    }
}

/* ---- horizon ---- */

FT_INLINE ft_transition FT_OF(ft_single)(const ft_returns *p, int64_t t, int64_t b) {
    const FT_OF(ft_row) row = FT_OF(ft_row_from)(p, t, b, t == p->T - 1);
    double gamma = p->gamma, lambda = p->lambda_;
    ft_rates(p->gamma_kind, p->gammas, t, 1, ft_place(p, t, b, p->gammas_stride), 1, &gamma);
    ft_rates(p->lambda_kind, p->lambdas, t, 1, ft_place(p, t, b, p->lambdas_stride), 1, &lambda);
    return FT_OF(ft_at)(&row, 0, gamma, lambda, row.flag[0], p);
}

/* What a return that stops before t starts from. */
FT_INLINE double FT_OF(ft_end)(int family, const ft_returns *p, int64_t t, int64_t b) {
    if (t == p->T) return ft_has_ends(family) || family == FT_SUM ? ((const FT_REAL *)p->last)[b] : 0.0;
    return p->ends ? ((const FT_REAL *)p->ends)[ft_place(p, t, b, p->ends_stride)] : 0.0;
}

/* Windows [t, t + h) of the block [lo, mid), mid a multiple of h: what lies in the block is composed
 * from mid backwards, a + c Y, and what lies beyond from mid onwards, scratch[e - mid] = Y of [mid, e). */
FT_INLINE void FT_OF(ft_windows)(int family, const ft_returns *p, int64_t b) {
    const int64_t T = p->T, h = p->horizon < T ? p->horizon : T;
    for (int64_t lo = (T - 1) / h * h; lo >= 0; lo -= h) {
        const int64_t mid = lo + h < T ? lo + h : T;
        double A = 0.0, C = 1.0, a, c;
        for (int64_t e = mid; e < mid + h; e++) {
            if (e <= T) p->scratch[e - mid] = A + ft_weighed(C, FT_OF(ft_end)(family, p, e, b));
            if (e >= T) break;
            const ft_transition x = FT_OF(ft_single)(p, e, b);
            ft_affine(family, &x, &a, &c);
            A += ft_weighed(C, a);
            C = ft_weighed(C, c);
        }
        A = 0.0;
        C = 1.0;
        for (int64_t t = mid - 1; t >= lo; t--) {
            const int64_t e = t + h < T ? t + h : T;
            const ft_transition x = FT_OF(ft_single)(p, t, b);
            const double Y = A + ft_weighed(C, p->scratch[e - mid]);
            double first, other;
            (void)ft_transit(family, &x, Y, &first, &other);
            ((FT_REAL *)p->out)[ft_place(p, t, b, p->out_stride)] = (FT_REAL)first;
            if (p->second)
                ((FT_REAL *)p->second)[ft_place(p, t, b, p->second_stride)] = (FT_REAL)other;
            ft_affine(family, &x, &a, &c);
            A = a + ft_weighed(c, A);
            C = ft_weighed(c, C);
        }
    }
}

/* ---- one copy of the loops for each family ---- */

#define FT_FAMILY(family)                                                                              \
    FT_CLONES static void FT_OF(family##_lanes)(const ft_returns *p, int64_t b, int64_t n) {           \
        FT_OF(ft_lanes)(family, p, b, n);                                                              \
    }                                                                                                  \
    FT_CLONES static void FT_OF(family##_scan)(const ft_returns *p, int64_t b) {                       \
        FT_OF(ft_scan)(family, p, b);                                                                  \
    }                                                                                                  \
    static void FT_OF(family##_windows)(const ft_returns *p, int64_t b) {                              \
        FT_OF(ft_windows)(family, p, b);                                                               \
    }
FT_FAMILIES
#undef FT_FAMILY

static int32_t FT_OF(ft_run)(const ft_returns *p) {
#define FT_FAMILY(family) FT_OF(family##_lanes),
    static void (*const lanes[])(const ft_returns *, int64_t, int64_t) = {FT_FAMILIES};
#undef FT_FAMILY
#define FT_FAMILY(family) FT_OF(family##_scan),
    static void (*const scan[])(const ft_returns *, int64_t) = {FT_FAMILIES};
#undef FT_FAMILY
#define FT_FAMILY(family) FT_OF(family##_windows),
    static void (*const windows[])(const ft_returns *, int64_t) = {FT_FAMILIES};
#undef FT_FAMILY
    const int plain = p->family == FT_GAE && p->gamma_kind == FT_ONE && p->lambda_kind == FT_ONE &&
                      p->gamma != 0.0 && p->lambda_ != 0.0 && !p->next_values && p->terminations_only;
    if (p->horizon && p->horizon < p->T) {
        for (int64_t b = 0; b < p->B; b++) windows[p->family](p, b);
    } else if (p->batch_major) {
        for (int64_t b = 0; b < p->B; b++) scan[p->family](p, b);
    } else {
        for (int64_t b = 0; b < p->B; b += FT_LANES) {
            const int64_t n = p->B - b < FT_LANES ? p->B - b : FT_LANES;
            (plain ? FT_OF(ft_gae_lanes) : lanes[p->family])(p, b, n);
        }
    }
    return FT_OK;
}
