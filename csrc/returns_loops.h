/* The loops over trajectories for one type of array at one level of the CPU.
 *
 *   lanes    time-major: a row of trajectories side by side, Y in a row of its own
 *   scan     batch-major: FT_WIDTH transitions of a trajectory at a time, composed by doubling
 *   windows  a horizon: two pieces that meet at a multiple of it; plain C only
 *
 * FT_REAL is the type, FT_T(name) the name of a function for it, FT_TL(name) at this level too. */

FT_INLINE FT_V FT_TL(ft_entries)(const FT_REAL *p) { return FT_L(FT_T(ft_load))(p); }

/* gamma or lambda from transition (t, b) on; along: through time. */
FT_INLINE FT_V FT_TL(ft_rates)(int64_t kind, double one, const void *rates, int64_t t, int along,
                               int64_t place) {
    if (FT_LIKELY(kind == FT_ONE)) return FT_L(ft_all)(one);
    if (kind == FT_EACH_F32) return FT_L(ft_load_f32)((const float *)rates + place);
    if (kind == FT_EACH_F64) return FT_L(ft_load_f64)((const double *)rates + place);
    return along ? FT_L(ft_load_f64)((const double *)rates + t) : FT_L(ft_all)(((const double *)rates)[t]);
}

/* Where the arrays of a problem are at (t, b); is_last: t is T - 1, whose next value stands elsewhere. */
typedef struct {
    const FT_REAL *reward, *v, *v_next, *v_cut, *rho, *pi, *sigma, *q_next;
    const uint8_t *flag;
    int64_t gamma, lambda, t;
} FT_TL(ft_at);

FT_INLINE FT_TL(ft_at) FT_TL(ft_at_of)(int family, const ft_returns *p, int64_t t, int64_t b, int is_last) {
    FT_TL(ft_at) at;
#define FT_ARRAY(name) ((const FT_REAL *)p->name + ft_at(p, t, b, p->name##_stride))
    at.t = t;
    at.reward = FT_ARRAY(rewards);
    at.v = ft_has_v(family) ? FT_ARRAY(values) : at.reward;
    at.v_next = at.reward;
    if (family != FT_SUM) at.v_next = is_last ? (const FT_REAL *)p->last + b : FT_ARRAY(nexts);
    at.v_cut = p->next_values ? FT_ARRAY(next_values) : at.v_next;
    at.rho = ft_has_rho(family) ? FT_ARRAY(rhos) : at.reward;
    at.pi = family == FT_Q_SIGMA_RETURN ? FT_ARRAY(pi) : at.reward;
    at.sigma = family == FT_Q_SIGMA_RETURN ? FT_ARRAY(sigmas) : at.reward;
    at.q_next = family == FT_UPGO && !is_last ? FT_ARRAY(q_nexts) : at.v_next;
    at.flag = p->flags ? (const uint8_t *)p->flags + ft_at(p, t, b, p->flags_stride) : NULL;
    at.gamma = ft_at(p, t, b, p->gammas_stride);
    at.lambda = ft_at(p, t, b, p->lambdas_stride);
    return at;
#undef FT_ARRAY
}

/* FT_WIDTH transitions, i entries on.  plain: one gamma, one lambda, nothing truncated or skipped. */
FT_INLINE FT_L(ft_step) FT_TL(ft_step_at)(int family, int plain, const ft_returns *p,
                                          const FT_TL(ft_at) * at, int64_t i, int along) {
    FT_L(ft_transition) x;
    x.reward = FT_TL(ft_entries)(at->reward + i);
    x.v = FT_TL(ft_entries)(at->v + i);
    x.v_next = FT_TL(ft_entries)(at->v_next + i);
    x.v_cut = FT_TL(ft_entries)(at->v_cut + i);
    x.rho = FT_TL(ft_entries)(at->rho + i);
    x.pi = FT_TL(ft_entries)(at->pi + i);
    x.sigma = FT_TL(ft_entries)(at->sigma + i);
    x.q_next = FT_TL(ft_entries)(at->q_next + i);
    x.terminated = x.truncated = x.skipped = FT_L(ft_none)();
    if (at->flag) {
        x.terminated = FT_L(ft_flagged)(at->flag + i, FT_TERMINATED);
        x.truncated = FT_L(ft_flagged)(at->flag + i, FT_TRUNCATED);
        x.skipped = FT_L(ft_flagged)(at->flag + i, FT_SKIPPED);
    }
    x.gamma = FT_L(ft_all)(p->gamma);
    x.lambda = FT_L(ft_all)(p->lambda_);
    if (!plain) {
        const int64_t t = at->t + (along ? i : 0);
        x.gamma = FT_TL(ft_rates)(p->gamma_kind, p->gamma, p->gammas, t, along, at->gamma + i);
        x.lambda = FT_TL(ft_rates)(p->lambda_kind, p->lambda_, p->lambdas, t, along, at->lambda + i);
    }
    return FT_L(ft_step_of)(family, !plain, &x, p);
}

/* The second result first: where none is wanted its place is that of the first, which then goes over it. */
FT_INLINE void FT_TL(ft_put)(int family, const FT_L(ft_step) * s, FT_V Y, FT_REAL *out, FT_REAL *second) {
    if (ft_has_second(family))
        FT_L(FT_T(ft_store))(second, FT_L(ft_onto)(s->second_a, s->second_c, Y));
    FT_L(FT_T(ft_store))(out, FT_L(ft_onto)(s->out_a, s->out_c, Y));
}

FT_INLINE FT_REAL *FT_TL(ft_second)(const ft_returns *p, FT_REAL *out, int64_t t, int64_t b) {
    return p->second ? (FT_REAL *)p->second + ft_at(p, t, b, p->second_stride) : out;
}

/* What the end hands on. */
FT_INLINE double FT_TL(ft_begin)(int family, const ft_returns *p, int64_t b) {
    if (p->open) return p->carry[p->batch_major ? b * FT_CARRY : b];
    return ft_has_ends(family) || family == FT_SUM ? (double)((const FT_REAL *)p->last)[b] : 0.0;
}

/* Trajectories b to b + n, n a multiple of FT_WIDTH. */
FT_INLINE void FT_TL(ft_lanes)(int family, int plain, const ft_returns *p, int64_t b, int64_t n) {
    if (FT_WIDTH > 1 && family == FT_GAE) return; /* has its own, below */
    double Y[FT_LANES];
    for (int64_t i = 0; i < n; i++) Y[i] = FT_TL(ft_begin)(family, p, b + i);
    for (int64_t t = p->T - 1; t >= 0; t--) {
        const FT_TL(ft_at) at = FT_TL(ft_at_of)(family, p, t, b, t == p->T - 1 && !p->open);
        FT_REAL *const out = (FT_REAL *)p->out + t * p->out_stride + b;
        FT_REAL *const second = FT_TL(ft_second)(p, out, t, b);
        for (int64_t i = 0; i < n; i += FT_WIDTH) {
            const FT_L(ft_step) s = FT_TL(ft_step_at)(family, plain, p, &at, i, 0);
            const FT_V y = FT_L(ft_load_f64)(Y + i);
            FT_TL(ft_put)(family, &s, y, out + i, second + i);
            FT_L(ft_store_f64)(Y + i, FT_L(ft_onto)(s.a, s.c, y));
        }
    }
    for (int64_t i = 0; p->carry && i < n; i++) p->carry[b + i] = Y[i];
}

#if FT_WIDTH > 1
/* Row t of a GAE, from trajectory b on. */
typedef struct {
    const FT_REAL *reward, *value, *v_cut;
    const uint8_t *flag;
    FT_REAL *out, *second;
    int64_t t, gammas, lambdas;
    FT_V gamma, decay;
} FT_TL(ft_gae_row);

FT_INLINE FT_TL(ft_gae_row) FT_TL(ft_gae_row_of)(const ft_returns *p, int64_t t, int64_t b) {
    FT_TL(ft_gae_row) row;
    row.reward = (const FT_REAL *)p->rewards + t * p->rewards_stride + b;
    row.value = (const FT_REAL *)p->values + t * p->values_stride + b;
    row.v_cut = row.value;
    if (p->next_values) row.v_cut = (const FT_REAL *)p->next_values + t * p->next_values_stride + b;
    row.flag = p->flags ? (const uint8_t *)p->flags + t * p->flags_stride + b : NULL;
    row.out = (FT_REAL *)p->out + t * p->out_stride + b;
    row.second = p->second ? (FT_REAL *)p->second + t * p->second_stride + b : NULL;
    row.t = t;
    row.gammas = t * p->gammas_stride + b;
    row.lambdas = t * p->lambdas_stride + b;
    row.gamma = FT_L(ft_all)(p->gamma);
    row.decay = FT_L(ft_all)(p->gamma * p->lambda_);
    return row;
}

/* FT_WIDTH transitions, i entries on; returns their Y. */
FT_INLINE FT_V FT_TL(ft_gae_step)(const ft_returns *p, int kind, const FT_TL(ft_gae_row) * row, int64_t i,
                                  FT_V v, FT_V v_next, FT_V Y) {
    FT_M on = FT_L(ft_not)(FT_L(ft_none)()), on_v = on;
    FT_V gamma = row->gamma, decay = row->decay;
    if (row->flag) on_v = on = FT_L(ft_unflagged)(row->flag + i, FT_TERMINATED);
    if (kind != FT_GAE_ONE) {
        gamma = FT_TL(ft_rates)(p->gamma_kind, p->gamma, p->gammas, row->t, 0, row->gammas + i);
        decay = FT_TL(ft_rates)(p->lambda_kind, p->lambda_, p->lambdas, row->t, 0, row->lambdas + i);
        decay = FT_L(ft_mul)(gamma, decay);
        on_v = FT_L(ft_both)(on, FT_L(ft_not_0)(gamma));
        on = FT_L(ft_both)(on, FT_L(ft_not_0)(decay));
    }
    if (kind == FT_GAE_FULL) {
        const FT_M cut = FT_L(ft_flagged)(row->flag + i, FT_TRUNCATED);
        v_next = FT_L(ft_choose)(cut, FT_TL(ft_entries)(row->v_cut + i), v_next);
        on = FT_L(ft_both)(on, FT_L(ft_not)(cut));
    }
    const FT_V surplus = FT_L(ft_less)(FT_TL(ft_entries)(row->reward + i), v);
    const FT_V delta = FT_L(ft_plus_if)(on_v, surplus, gamma, v_next);
    const FT_V y = FT_L(ft_plus_if)(on, delta, decay, Y);
    if (kind != FT_GAE_FULL) return y;
    return FT_L(ft_choose)(FT_L(ft_flagged)(row->flag + i, FT_SKIPPED), Y, y);
}

/* A result of FT_WIDTH transitions, i entries on. */
FT_INLINE void FT_TL(ft_gae_put)(int kind, const FT_TL(ft_gae_row) * row, FT_REAL *to, int64_t i, FT_V x) {
    if (kind == FT_GAE_FULL) x = FT_L(ft_unless)(FT_L(ft_flagged)(row->flag + i, FT_SKIPPED), x);
    FT_L(FT_T(ft_store))(to + i, x);
}

/* k vectors of trajectories at the times before t, down to low: their Y and the values of the next states
 * stay in registers.  One result is stored after the other: stores to two places by turns cost up to seven
 * times as much where the CPU takes the places for one another.  Where rows lie far apart, that goes for each
 * array. */
FT_INLINE void FT_TL(ft_gae_block)(const ft_returns *p, int64_t b, const int k, int kind, int64_t t,
                                   int64_t low, double *Y, int apart) {
    const FT_REAL *const values = (const FT_REAL *)p->values + t * p->values_stride;
    const FT_REAL *const next = (t == p->T && !p->open ? (const FT_REAL *)p->last : values) + b;
    FT_V y[FT_BLOCK], v_next[FT_BLOCK], v[FT_BLOCK];
    for (int j = 0; j < k; j++) {
        y[j] = FT_L(ft_load_f64)(Y + j * FT_WIDTH);
        v_next[j] = FT_TL(ft_entries)(next + j * FT_WIDTH);
    }
    while (t-- > low) {
        const FT_TL(ft_gae_row) row = FT_TL(ft_gae_row_of)(p, t, b);
        FT_UNROLL
        for (int j = 0; apart && j < k; j++) v[j] = FT_TL(ft_entries)(row.value + j * FT_WIDTH);
        FT_UNROLL
        for (int j = 0; j < k; j++) {
            if (!apart) v[j] = FT_TL(ft_entries)(row.value + j * FT_WIDTH);
            FT_ONCE(v[j]);
            y[j] = FT_TL(ft_gae_step)(p, kind, &row, j * FT_WIDTH, v[j], v_next[j], y[j]);
            v_next[j] = v[j];
            if (!apart) FT_TL(ft_gae_put)(kind, &row, row.out, j * FT_WIDTH, y[j]);
        }
        FT_UNROLL
        for (int j = 0; apart && j < k; j++) FT_TL(ft_gae_put)(kind, &row, row.out, j * FT_WIDTH, y[j]);
        if (!row.second) continue;
        FT_UNROLL
        for (int j = 0; j < k; j++)
            FT_TL(ft_gae_put)(kind, &row, row.second, j * FT_WIDTH, FT_L(ft_more)(y[j], v[j]));
    }
    for (int j = 0; j < k; j++) FT_L(ft_store_f64)(Y + j * FT_WIDTH, y[j]);
}

/* All of n trajectories at these times. */
FT_INLINE void FT_TL(ft_gae_rows)(const ft_returns *p, int64_t b, int64_t n, int kind, int64_t t,
                                  int64_t low, double *Y, int apart) {
    const int64_t block = FT_BLOCK * FT_WIDTH;
    int64_t i = 0;
    for (; i + block <= n; i += block)
        FT_TL(ft_gae_block)(p, b + i, FT_BLOCK, kind, t, low, Y + i, apart);
    for (; i + 2 * FT_WIDTH <= n; i += 2 * FT_WIDTH)
        FT_TL(ft_gae_block)(p, b + i, 2, kind, t, low, Y + i, 0);
    if (i < n) FT_TL(ft_gae_block)(p, b + i, 1, kind, t, low, Y + i, 0);
}

/* A few rows at a time where rows lie far apart: many of them would be in each other's way in the first-level
 * cache. */
FT_INLINE void FT_TL(ft_gae_any)(const ft_returns *p, int64_t b, int64_t n, int kind) {
    const int apart = p->values_stride * (int64_t)sizeof(FT_REAL) >= 4096;
    double Y[FT_LANES];
    for (int64_t i = 0; i < n; i++) Y[i] = FT_TL(ft_begin)(FT_GAE, p, b + i);
    if (!apart) FT_TL(ft_gae_rows)(p, b, n, kind, p->T, 0, Y, 0);
    for (int64_t t = p->T; apart && t > 0; t -= FT_ROWS)
        FT_TL(ft_gae_rows)(p, b, n, kind, t, t > FT_ROWS ? t - FT_ROWS : 0, Y, 1);
    for (int64_t i = 0; p->carry && i < n; i++) p->carry[b + i] = Y[i];
}

static void FT_TL(ft_gae_lanes)(const ft_returns *p, int64_t b, int64_t n) {
    FT_TL(ft_gae_any)(p, b, n, FT_GAE_ONE);
}

static void FT_TL(ft_gae_each_lanes)(const ft_returns *p, int64_t b, int64_t n) {
    FT_TL(ft_gae_any)(p, b, n, FT_GAE_EACH);
}

static void FT_TL(ft_gae_full_lanes)(const ft_returns *p, int64_t b, int64_t n) {
    FT_TL(ft_gae_any)(p, b, n, FT_GAE_FULL);
}

/* Transitions from end - 1 down to the start of trajectory b; end < T is a multiple of FT_WIDTH.
 * Windows of 1, 2, 4, ... transitions by doubling; then each entry needs the one FT_WIDTH later. */
FT_INLINE void FT_TL(ft_scan)(int family, int plain, const ft_returns *p, int64_t b, int64_t end, double Y) {
    const FT_V zero = FT_L(ft_all)(0.0);
    /* Behind the end: Y as a first entry, and nothing is handed to it. */
    double first[FT_WIDTH] = {Y};
    FT_V a_next = FT_L(ft_load_f64)(first), Y_next = a_next, a2_next = a_next, c_next = zero, c2_next = zero;
#if FT_WIDTH > 4
    FT_V a4_next = a_next, c4_next = zero;
#endif
    double *const carry = p->carry ? p->carry + b * FT_CARRY : NULL;
    if (p->open) {
        a_next = FT_L(ft_load_f64)(carry + FT_WIDTH);
        c_next = FT_L(ft_load_f64)(carry + 2 * FT_WIDTH);
        a2_next = FT_L(ft_load_f64)(carry + 3 * FT_WIDTH);
        c2_next = FT_L(ft_load_f64)(carry + 4 * FT_WIDTH);
#if FT_WIDTH > 4
        a4_next = FT_L(ft_load_f64)(carry + 5 * FT_WIDTH);
        c4_next = FT_L(ft_load_f64)(carry + 6 * FT_WIDTH);
#endif
        Y_next = FT_L(ft_load_f64)(carry);
    }
    const FT_TL(ft_at) at = FT_TL(ft_at_of)(family, p, 0, b, 0);
    FT_REAL *const out = (FT_REAL *)p->out + b * p->out_stride, *const second = FT_TL(ft_second)(p, out, 0, b);
    for (int64_t t = end - FT_WIDTH; t >= 0; t -= FT_WIDTH) {
        const FT_L(ft_step) s = FT_TL(ft_step_at)(family, plain, p, &at, t, 1);
        const FT_V a2 = FT_L(ft_onto)(s.a, s.c, FT_SHIFTED(s.a, a_next, 1));
        const FT_V c2 = FT_L(ft_mul)(s.c, FT_SHIFTED(s.c, c_next, 1));
        FT_V a = FT_L(ft_onto)(a2, c2, FT_SHIFTED(a2, a2_next, 2));
        FT_V c = FT_L(ft_mul)(c2, FT_SHIFTED(c2, c2_next, 2));
#if FT_WIDTH > 4
        const FT_V a4 = a, c4 = c;
        a = FT_L(ft_onto)(a4, c4, FT_SHIFTED(a4, a4_next, 4));
        c = FT_L(ft_mul)(c4, FT_SHIFTED(c4, c4_next, 4));
        a4_next = a4;
        c4_next = c4;
#endif
        const FT_V here = FT_L(ft_onto)(a, c, Y_next);
        FT_TL(ft_put)(family, &s, FT_SHIFTED(here, Y_next, 1), out + t, second + t);
        a_next = s.a;
        c_next = s.c;
        a2_next = a2;
        c2_next = c2;
        Y_next = here;
    }
    if (!carry) return;
    FT_L(ft_store_f64)(carry, Y_next);
    FT_L(ft_store_f64)(carry + FT_WIDTH, a_next);
    FT_L(ft_store_f64)(carry + 2 * FT_WIDTH, c_next);
    FT_L(ft_store_f64)(carry + 3 * FT_WIDTH, a2_next);
    FT_L(ft_store_f64)(carry + 4 * FT_WIDTH, c2_next);
#if FT_WIDTH > 4
    FT_L(ft_store_f64)(carry + 5 * FT_WIDTH, a4_next);
    FT_L(ft_store_f64)(carry + 6 * FT_WIDTH, c4_next);
#endif
}

/* The same for GAE with one gamma and one lambda: powers of gamma lambda, and choices in place of c. */
typedef struct {
    const FT_REAL *reward, *value;
    const uint8_t *flag;
    FT_REAL *out, *second;
    FT_V gamma, decay, decay2, decay4, decay8;
    FT_V v, a, a2, a4, Y;  /* of the vector behind: values, windows of 1, 2 and 4, all */
    uint64_t on, on2, on4; /* a bit for each transition: what follows its window of 1, 2, 4 is handed on */
} FT_TL(ft_gae_scanner);

/* k vectors from t on, one window after the other for all of them: each waits for its own.  both: there is a
 * second result. */
FT_INLINE void FT_TL(ft_gae_scan_block)(FT_TL(ft_gae_scanner) * s, int64_t t, const int k, int both) {
    const int n = k * FT_WIDTH;
    const uint64_t all = ~(uint64_t)0 >> (64 - n);
    const uint64_t on = s->flag ? FT_L(ft_unflagged_bits)(s->flag + t, n, FT_TERMINATED) : all;
    const uint64_t on2 = on & (on >> 1 | s->on << (n - 1)), on4 = on2 & (on2 >> 2 | s->on2 << (n - 2));
    const uint64_t on8 = on4 & (on4 >> 4 | s->on4 << (n - 4));
    FT_V v[FT_BLOCK + 1], a[FT_BLOCK + 1];
    v[k] = s->v;
    a[k] = s->a;
    FT_UNROLL
    for (int j = 0; j < k; j++) {
        v[j] = FT_TL(ft_entries)(s->value + t + j * FT_WIDTH);
        a[j] = FT_L(ft_less)(FT_TL(ft_entries)(s->reward + t + j * FT_WIDTH), v[j]);
    }
    FT_UNROLL
    for (int j = 0; j < k; j++)
        a[j] = FT_L(ft_plus_if)(FT_L(ft_bits_at)(on, j), a[j], s->gamma, FT_SHIFTED(v[j], v[j + 1], 1));
    s->v = v[0];
    s->a = a[0];
    FT_UNROLL
    for (int j = 0; j < k; j++)
        a[j] = FT_L(ft_plus_if)(FT_L(ft_bits_at)(on, j), a[j], s->decay, FT_SHIFTED(a[j], a[j + 1], 1));
    a[k] = s->a2;
    s->a2 = a[0];
    FT_UNROLL
    for (int j = 0; j < k; j++)
        a[j] = FT_L(ft_plus_if)(FT_L(ft_bits_at)(on2, j), a[j], s->decay2, FT_SHIFTED(a[j], a[j + 1], 2));
#if FT_WIDTH > 4
    a[k] = s->a4;
    s->a4 = a[0];
    FT_UNROLL
    for (int j = 0; j < k; j++)
        a[j] = FT_L(ft_plus_if)(FT_L(ft_bits_at)(on4, j), a[j], s->decay4, FT_SHIFTED(a[j], a[j + 1], 4));
#endif
    FT_UNROLL
    for (int j = k - 1; j >= 0; j--) {
        const int i = j * FT_WIDTH;
        const FT_M m = FT_L(ft_bits_at)(FT_WIDTH > 4 ? on8 : on4, j);
        s->Y = a[j] = FT_L(ft_plus_if)(m, a[j], FT_WIDTH > 4 ? s->decay8 : s->decay4, s->Y);
        FT_L(FT_T(ft_store))(s->out + t + i, s->Y);
    }
    FT_UNROLL
    for (int j = k - 1; both && j >= 0; j--) /* see ft_gae_block */
        FT_L(FT_T(ft_store))(s->second + t + j * FT_WIDTH, FT_L(ft_more)(a[j], v[j]));
    s->on = on;
    s->on2 = on2;
    s->on4 = on4;
}

FT_INLINE double FT_TL(ft_gae_scan)(const ft_returns *p, int64_t b, int64_t end, double Y, int both) {
    const double decay = p->gamma * p->lambda_, decay2 = decay * decay, decay4 = decay2 * decay2;
    double first[FT_WIDTH] = {Y};
    const FT_TL(ft_at) at = FT_TL(ft_at_of)(FT_GAE, p, 0, b, 0);
    FT_TL(ft_gae_scanner) s;
    s.reward = at.reward;
    s.value = at.v;
    s.flag = at.flag;
    s.out = (FT_REAL *)p->out + b * p->out_stride;
    s.second = both ? (FT_REAL *)p->second + b * p->second_stride : NULL;
    s.gamma = FT_L(ft_all)(p->gamma);
    s.decay = FT_L(ft_all)(decay);
    s.decay2 = FT_L(ft_all)(decay2);
    s.decay4 = FT_L(ft_all)(decay4);
    s.decay8 = FT_L(ft_all)(decay4 * decay4);
    s.v = FT_L(ft_all)((double)at.v_next[end - 1]);
    s.a = s.a2 = s.a4 = s.Y = FT_L(ft_load_f64)(first);
    s.on = s.on2 = s.on4 = 0;
    double *const carry = p->carry ? p->carry + b * FT_CARRY : NULL;
    uint64_t bits[3];
    if (p->open) {
        s.Y = FT_L(ft_load_f64)(carry);
        s.v = FT_L(ft_load_f64)(carry + FT_WIDTH);
        s.a = FT_L(ft_load_f64)(carry + 2 * FT_WIDTH);
        s.a2 = FT_L(ft_load_f64)(carry + 3 * FT_WIDTH);
        s.a4 = FT_L(ft_load_f64)(carry + 4 * FT_WIDTH);
        memcpy(bits, carry + 5 * FT_WIDTH, sizeof bits);
        s.on = bits[0];
        s.on2 = bits[1];
        s.on4 = bits[2];
    }
    const int64_t block = FT_BLOCK * FT_WIDTH, blocks = end / block * block;
    int64_t t = end;
    while (t > blocks) FT_TL(ft_gae_scan_block)(&s, t -= FT_WIDTH, 1, both);
    while (t > 0) FT_TL(ft_gae_scan_block)(&s, t -= block, FT_BLOCK, both);
    if (carry) {
        FT_L(ft_store_f64)(carry, s.Y);
        FT_L(ft_store_f64)(carry + FT_WIDTH, s.v);
        FT_L(ft_store_f64)(carry + 2 * FT_WIDTH, s.a);
        FT_L(ft_store_f64)(carry + 3 * FT_WIDTH, s.a2);
        FT_L(ft_store_f64)(carry + 4 * FT_WIDTH, s.a4);
        bits[0] = s.on;
        bits[1] = s.on2;
        bits[2] = s.on4;
        memcpy(carry + 5 * FT_WIDTH, bits, sizeof bits);
    }
    return FT_L(ft_entry_0)(s.Y);
}

/* Its end, transitions `begin` to T, at most FT_WIDTH of them: in a copy that is filled up with terminations. */
FT_INLINE double FT_TL(ft_gae_end)(const ft_returns *p, int64_t b, int64_t begin) {
    const FT_TL(ft_at) at = FT_TL(ft_at_of)(FT_GAE, p, begin, b, 0);
    const int64_t n = p->T - begin;
    FT_REAL reward[FT_WIDTH] = {0}, v[FT_WIDTH + 1] = {0}, out[FT_WIDTH], second[FT_WIDTH];
    uint8_t flag[FT_WIDTH];
    ft_returns copy;
    for (int64_t i = 0; i < FT_WIDTH; i++) {
        flag[i] = i < n ? (uint8_t)(at.flag ? at.flag[i] : 0) : FT_TERMINATED;
        if (i < n) reward[i] = at.reward[i];
        if (i < n) v[i] = at.v[i];
    }
    v[n] = ((const FT_REAL *)p->last)[b];
    if (n < FT_WIDTH) reward[n] = v[n]; /* hands 0 on */
    copy.carry = NULL;
    copy.open = 0;
    copy.gamma = p->gamma;
    copy.lambda_ = p->lambda_;
    copy.batch_major = 1;
    copy.rewards = reward;
    copy.values = v;
    copy.nexts = v + 1;
    copy.flags = flag;
    copy.next_values = NULL;
    copy.out = out;
    copy.second = second;
    copy.rewards_stride = copy.values_stride = copy.nexts_stride = copy.flags_stride = 0;
    copy.out_stride = copy.second_stride = copy.gammas_stride = copy.lambdas_stride = 0;
    const double Y = FT_TL(ft_gae_scan)(&copy, 0, FT_WIDTH, 0.0, 1);
    FT_REAL *first = (FT_REAL *)p->out + b * p->out_stride + begin;
    for (int64_t i = 0; i < n; i++) first[i] = out[i];
    FT_REAL *other = p->second ? (FT_REAL *)p->second + b * p->second_stride + begin : NULL;
    for (int64_t i = 0; other && i < n; i++) other[i] = second[i];
    return Y;
}
#else

/* Transitions from `begin` to T of trajectory b; Y of the first of them. */
FT_INLINE double FT_TL(ft_series)(int family, const ft_returns *p, int64_t b, int64_t begin) {
    double Y = FT_TL(ft_begin)(family, p, b);
    for (int64_t t = p->T - 1; t >= begin; t--) {
        const FT_TL(ft_at) at = FT_TL(ft_at_of)(family, p, t, b, t == p->T - 1 && !p->open);
        const FT_L(ft_step) s = FT_TL(ft_step_at)(family, 0, p, &at, 0, 1);
        FT_REAL *const out = (FT_REAL *)p->out + ft_at(p, t, b, p->out_stride);
        FT_TL(ft_put)(family, &s, Y, out, FT_TL(ft_second)(p, out, t, b));
        Y = FT_L(ft_onto)(s.a, s.c, Y);
    }
    if (p->carry) p->carry[b * FT_CARRY] = Y;
    return Y;
}

/* What a return that stops before t goes on with. */
FT_INLINE double FT_TL(ft_end)(int family, const ft_returns *p, int64_t t, int64_t b) {
    if (t == p->T) return FT_TL(ft_begin)(family, p, b);
    return p->ends ? (double)((const FT_REAL *)p->ends)[ft_at(p, t, b, p->ends_stride)] : 0.0;
}

/* Windows [t, t + h) of t in [low, mid), mid a multiple of h: what lies before mid is composed from
 * there backwards, a + c Y, what lies behind it forwards, scratch[e - mid] = Y of [mid, e). */
FT_INLINE void FT_TL(ft_windows)(int family, const ft_returns *p, int64_t b) {
    const int64_t T = p->T, h = p->horizon;
    for (int64_t low = (T - 1) / h * h; low >= 0; low -= h) {
        const int64_t mid = low + h < T ? low + h : T;
        double a = 0.0, c = 1.0;
        for (int64_t e = mid; e <= T && e < mid + h; e++) {
            p->scratch[e - mid] = FT_L(ft_onto)(a, c, FT_TL(ft_end)(family, p, e, b));
            if (e == T) break;
            const FT_TL(ft_at) at = FT_TL(ft_at_of)(family, p, e, b, e == T - 1);
            const FT_L(ft_step) s = FT_TL(ft_step_at)(family, 0, p, &at, 0, 1);
            a = FT_L(ft_onto)(a, c, s.a);
            c = FT_L(ft_weighed)(c, s.c);
        }
        a = 0.0;
        c = 1.0;
        for (int64_t t = mid - 1; t >= low; t--) {
            const FT_TL(ft_at) at = FT_TL(ft_at_of)(family, p, t, b, t == T - 1);
            const FT_L(ft_step) s = FT_TL(ft_step_at)(family, 0, p, &at, 0, 1);
            const double Y = FT_L(ft_onto)(a, c, p->scratch[(t + h < T ? t + h : T) - mid]);
            FT_REAL *const out = (FT_REAL *)p->out + ft_at(p, t, b, p->out_stride);
            FT_TL(ft_put)(family, &s, Y, out, FT_TL(ft_second)(p, out, t, b));
            a = FT_L(ft_onto)(s.a, s.c, a);
            c = FT_L(ft_weighed)(s.c, c);
        }
    }
}
#endif

/* ---- one copy of the loops for each family ---- */

#if FT_WIDTH > 1
#define FT_SCAN(family)                                                                                \
    static void FT_TL(family##_scan)(const ft_returns *p, int64_t b, int64_t end, double Y) {          \
        FT_TL(ft_scan)(family, 0, p, b, end, Y);                                                       \
    }
#else
#define FT_SCAN(family)                                                                                \
    static double FT_TL(family##_series)(const ft_returns *p, int64_t b, int64_t begin) {              \
        return FT_TL(ft_series)(family, p, b, begin);                                                  \
    }                                                                                                  \
    static void FT_TL(family##_windows)(const ft_returns *p, int64_t b) {                              \
        FT_TL(ft_windows)(family, p, b);                                                               \
    }
#endif
#define FT_FAMILY(family)                                                                              \
    static void FT_TL(family##_lanes)(const ft_returns *p, int64_t b, int64_t n) {                     \
        FT_TL(ft_lanes)(family, 0, p, b, n);                                                           \
    }                                                                                                  \
    static void FT_TL(family##_plain)(const ft_returns *p, int64_t b, int64_t n) {                     \
        FT_TL(ft_lanes)(family, 1, p, b, n);                                                           \
    }                                                                                                  \
    FT_SCAN(family)
FT_FAMILIES
#undef FT_FAMILY
#undef FT_SCAN

#define FT_FAMILY(family) FT_TL(family##_lanes),
static void (*const FT_TL(ft_lanes_of)[])(const ft_returns *, int64_t, int64_t) = {FT_FAMILIES};
#undef FT_FAMILY
#define FT_FAMILY(family) FT_TL(family##_plain),
static void (*const FT_TL(ft_plain_of)[])(const ft_returns *, int64_t, int64_t) = {FT_FAMILIES};
#undef FT_FAMILY
#if FT_WIDTH > 1
#define FT_FAMILY(family) FT_TL(family##_scan),
static void (*const FT_TL(ft_scan_of)[])(const ft_returns *, int64_t, int64_t, double) = {FT_FAMILIES};
#undef FT_FAMILY
static void FT_TL(ft_gae_series)(const ft_returns *p) {
    const int64_t begin = p->open ? p->T : (p->T - 1) / FT_WIDTH * FT_WIDTH;
    for (int64_t b = 0; b < p->B; b++) {
        const double Y = p->open ? 0.0 : FT_TL(ft_gae_end)(p, b, begin);
        if (!begin) continue;
        (void)(p->second ? FT_TL(ft_gae_scan)(p, b, begin, Y, 1) : FT_TL(ft_gae_scan)(p, b, begin, Y, 0));
    }
}
#else
#define FT_FAMILY(family) FT_TL(family##_series),
static double (*const FT_TL(ft_series_of)[])(const ft_returns *, int64_t, int64_t) = {FT_FAMILIES};
#undef FT_FAMILY
#define FT_FAMILY(family) FT_TL(family##_windows),
static void (*const FT_TL(ft_windows_of)[])(const ft_returns *, int64_t) = {FT_FAMILIES};
#undef FT_FAMILY
#endif
