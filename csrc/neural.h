/* Networks and their traces for one type of number: neural.c includes this twice.  See docs/networks.md.
 *
 *   REAL, INTEGER   float and int32_t, or double and int64_t; LARGEST and REAL_MAX of them
 *   LANES           numbers of a vector of 32 bytes, or 1 where there are no vectors
 *   NAME(x)         x_f32 or x_f64
 *
 * Sums are taken in LANES parts, then halves onto each other, then what is left of a row: one order,
 * whatever the compiler.
 *
 *   params  | W1 (n1 x n0) | b1 (n1) | W2 (n2 x n1) | b2 (n2) | ...             the rows of Z alike
 *   room    | x (n0) | a: n1, n2, ... | slope, alike | u, alike | deviations (layers)
 *           | d, alike, one a trace | scratch (widest layer) | */

#define VEC NAME(ft_row_vec)
#define MASK NAME(ft_row_mask)

#if LANES > 1
typedef REAL VEC __attribute__((vector_size(32), aligned(sizeof(REAL)), may_alias));
typedef INTEGER MASK __attribute__((vector_size(32), aligned(sizeof(REAL)), may_alias));
typedef INTEGER NAME(ft_bits) __attribute__((may_alias));
#define SPREAD(x) ((VEC){0} + (x))
#define ABSOLUTE(x) ((VEC)((MASK)(x) & LARGEST))
typedef REAL NAME(ft_row_half) __attribute__((vector_size(16), aligned(sizeof(REAL)), may_alias));
typedef union {
    VEC whole;
    NAME(ft_row_half) half[2];
} NAME(ft_row_lanes);
FT_INLINE REAL NAME(ft_total)(const VEC *vector) {
    NAME(ft_row_lanes) lanes;
    lanes.whole = *vector;
    const NAME(ft_row_half) both = lanes.half[0] + lanes.half[1];
    return LANES == 8 ? (both[0] + both[2 % (LANES / 2)]) + (both[1] + both[3 % (LANES / 2)])
                      : both[0] + both[1];
}
#else
typedef REAL VEC;
#define SPREAD(x) (x)
#define ABSOLUTE(x) ((REAL)fabs((double)(x)))
FT_INLINE REAL NAME(ft_total)(const VEC *vector) { return *vector; }
#endif
#define VECTORS(p) ((VEC *)(void *)(p))
#define CONST_VECTORS(p) ((const VEC *)(const void *)(p))
#define SIZE(x) ((REAL)fabs((double)(x)))

/* ---- rows ---- */

/* y = b + W x, four rows at a time. */
FT_CLONES static void NAME(ft_affine)(int64_t n_out, int64_t n_in, const REAL *W, const REAL *b,
                                      const REAL *x, REAL *FT_RESTRICT y) {
    const int64_t whole = n_in / LANES;
    const VEC *at = CONST_VECTORS(x);
    int64_t j = 0;
    for (; j + 4 <= n_out; j += 4) {
        const REAL *row = W + j * n_in;
        const VEC *r0 = CONST_VECTORS(row), *r1 = CONST_VECTORS(row + n_in);
        const VEC *r2 = CONST_VECTORS(row + 2 * n_in), *r3 = CONST_VECTORS(row + 3 * n_in);
        VEC s0 = SPREAD((REAL)0), s1 = s0, s2 = s0, s3 = s0;
        for (int64_t k = 0; k < whole; k++) {
            s0 = s0 + r0[k] * at[k];
            s1 = s1 + r1[k] * at[k];
            s2 = s2 + r2[k] * at[k];
            s3 = s3 + r3[k] * at[k];
        }
        REAL t0 = NAME(ft_total)(&s0), t1 = NAME(ft_total)(&s1);
        REAL t2 = NAME(ft_total)(&s2), t3 = NAME(ft_total)(&s3);
        for (int64_t k = whole * LANES; k < n_in; k++) {
            t0 += row[k] * x[k];
            t1 += row[n_in + k] * x[k];
            t2 += row[2 * n_in + k] * x[k];
            t3 += row[3 * n_in + k] * x[k];
        }
        y[j] = b[j] + t0;
        y[j + 1] = b[j + 1] + t1;
        y[j + 2] = b[j + 2] + t2;
        y[j + 3] = b[j + 3] + t3;
    }
    for (; j < n_out; j++) {
        const REAL *row = W + j * n_in;
        const VEC *r0 = CONST_VECTORS(row);
        VEC s0 = SPREAD((REAL)0);
        for (int64_t k = 0; k < whole; k++) s0 = s0 + r0[k] * at[k];
        REAL t0 = NAME(ft_total)(&s0);
        for (int64_t k = whole * LANES; k < n_in; k++) t0 += row[k] * x[k];
        y[j] = b[j] + t0;
    }
}

/* y = W' d, row upon row. */
FT_CLONES static void NAME(ft_transposed)(int64_t n_out, int64_t n_in, const REAL *FT_RESTRICT W,
                                          const REAL *FT_RESTRICT d, REAL *FT_RESTRICT y) {
    for (int64_t k = 0; k < n_in; k++) y[k] = W[k] * d[0];
    int64_t j = 1;
    for (; j + 4 <= n_out; j += 4) {
        const REAL *row = W + j * n_in;
        const REAL d0 = d[j], d1 = d[j + 1], d2 = d[j + 2], d3 = d[j + 3];
        for (int64_t k = 0; k < n_in; k++)
            y[k] = (((y[k] + row[k] * d0) + row[n_in + k] * d1) + row[2 * n_in + k] * d2) +
                   row[3 * n_in + k] * d3;
    }
    for (; j < n_out; j++) {
        const REAL *row = W + j * n_in;
        for (int64_t k = 0; k < n_in; k++) y[k] = y[k] + row[k] * d[j];
    }
}

FT_CLONES static REAL NAME(ft_dot)(int64_t n, const REAL *x, const REAL *y) {
    const int64_t whole = n / LANES;
    VEC sum = SPREAD((REAL)0);
    for (int64_t k = 0; k < whole; k++) sum = sum + CONST_VECTORS(x)[k] * CONST_VECTORS(y)[k];
    REAL total = NAME(ft_total)(&sum);
    for (int64_t k = whole * LANES; k < n; k++) total += x[k] * y[k];
    return total;
}

FT_CLONES static REAL NAME(ft_plain_sum)(int64_t n, const REAL *x) {
    const int64_t whole = n / LANES;
    VEC sum = SPREAD((REAL)0);
    for (int64_t k = 0; k < whole; k++) sum = sum + CONST_VECTORS(x)[k];
    REAL total = NAME(ft_total)(&sum);
    for (int64_t k = whole * LANES; k < n; k++) total += x[k];
    return total;
}

/* Sum of |x|: a bound on each, not finite where one is not. */
FT_CLONES static REAL NAME(ft_norm)(int64_t n, const REAL *x) {
    const int64_t whole = n / LANES;
    VEC sum = SPREAD((REAL)0);
    for (int64_t k = 0; k < whole; k++) sum = sum + ABSOLUTE(CONST_VECTORS(x)[k]);
    REAL total = NAME(ft_total)(&sum);
    for (int64_t k = whole * LANES; k < n; k++) total += SIZE(x[k]);
    return total;
}

/* One layer of a trace: z <- D z + outer(d, (x, 1)), D = 0 assigns.  Returns the sum of |z|. */
FT_CLONES static double NAME(ft_outer)(int64_t n_out, int64_t n_in, REAL *z, REAL D, const REAL *d,
                                       const REAL *x) {
    const int64_t whole = n_in / LANES;
    const VEC *at = CONST_VECTORS(x);
    double norm = 0.0;
    for (int64_t j = 0; j < n_out; j++) {
        REAL *row = z + j * n_in;
        VEC *vec = VECTORS(row), sum = SPREAD((REAL)0);
        if (D == 0) {
            for (int64_t k = 0; k < whole; k++) {
                vec[k] = d[j] * at[k];
                sum = sum + ABSOLUTE(vec[k]);
            }
            for (int64_t k = whole * LANES; k < n_in; k++) row[k] = d[j] * x[k];
        } else {
            for (int64_t k = 0; k < whole; k++) {
                const VEC now = D * vec[k] + d[j] * at[k];
                vec[k] = now;
                sum = sum + ABSOLUTE(now);
            }
            for (int64_t k = whole * LANES; k < n_in; k++) row[k] = D * row[k] + d[j] * x[k];
        }
        REAL total = NAME(ft_total)(&sum);
        for (int64_t k = whole * LANES; k < n_in; k++) total += SIZE(row[k]);
        norm += (double)total;
    }
    REAL *bias = z + n_out * n_in;
    for (int64_t j = 0; j < n_out; j++) {
        bias[j] = D == 0 ? d[j] : D * bias[j] + d[j];
        norm += (double)SIZE(bias[j]);
    }
    return norm;
}

FT_CLONES static void NAME(ft_tanh_layer)(int64_t n, const REAL *FT_RESTRICT u, REAL *FT_RESTRICT a,
                                          REAL *FT_RESTRICT slope) {
    for (int64_t i = 0; i < n; i++) {
        a[i] = NAME(ft_tanh)(u[i]);
        slope[i] = (REAL)1 - a[i] * a[i];
    }
}

FT_CLONES static void NAME(ft_leaky_layer)(int64_t n, const REAL *FT_RESTRICT u,
                                           REAL *FT_RESTRICT a, REAL *FT_RESTRICT slope) {
    for (int64_t i = 0; i < n; i++) {
        slope[i] = u[i] > 0 ? (REAL)1 : (REAL)FT_LEAK;
        a[i] = u[i] * slope[i];
    }
}

/* u <- (u - mean) / deviation.  Returns 1 / deviation. */
FT_CLONES static REAL NAME(ft_standardise)(int64_t n, REAL *u) {
    const REAL mean = NAME(ft_plain_sum)(n, u) / (REAL)n;
    for (int64_t i = 0; i < n; i++) u[i] = u[i] - mean;
    const double variance = (double)(NAME(ft_dot)(n, u, u) / (REAL)n);
    const REAL inverse = (REAL)(1.0 / sqrt(variance + FT_LAYER_EPSILON));
    for (int64_t i = 0; i < n; i++) u[i] = u[i] * inverse;
    return inverse;
}

/* The way back through that, in place; u is what it gave. */
FT_CLONES static void NAME(ft_unstandardise)(int64_t n, const REAL *u, REAL inverse, REAL *d) {
    const REAL mean = NAME(ft_plain_sum)(n, d) / (REAL)n, along = NAME(ft_dot)(n, d, u) / (REAL)n;
    for (int64_t i = 0; i < n; i++) d[i] = ((d[i] - mean) - u[i] * along) * inverse;
}

/* ---- the network ---- */

/* Where the parts of the room lie. */
typedef struct {
    int64_t width;
    REAL *x, *a, *slope, *u, *inverse, *d, *scratch;
} NAME(ft_plan);

FT_INLINE NAME(ft_plan) NAME(ft_lay_plan)(const NAME(ft_mlp) * net, int64_t n_traces) {
    NAME(ft_plan) r;
    r.width = 0;
    for (int64_t l = 1; l <= net->n_layers; l++) r.width += net->sizes[l];
    r.x = net->room;
    r.a = r.x + net->sizes[0];
    r.slope = r.a + r.width;
    r.u = r.slope + r.width;
    r.inverse = r.u + r.width;
    r.d = r.inverse + net->n_layers;
    r.scratch = r.d + n_traces * r.width;
    return r;
}

/* From r->x; leaves activations and slopes behind.  Returns the outputs. */
static const REAL *NAME(ft_pass_ahead)(const NAME(ft_mlp) * net, const NAME(ft_plan) * r) {
    const REAL *x = r->x, *W = net->params;
    int64_t at = 0;
    for (int64_t l = 1; l <= net->n_layers; l++) {
        const int64_t n_in = net->sizes[l - 1], n_out = net->sizes[l];
        const int last = l == net->n_layers;
        REAL *a = r->a + at, *u = last ? a : r->u + at;
        NAME(ft_affine)(n_out, n_in, W, W + n_out * n_in, x, u);
        if (!last) {
            if (net->layer_norm) r->inverse[l - 1] = NAME(ft_standardise)(n_out, u);
            if (net->activation == FT_TANH)
                NAME(ft_tanh_layer)(n_out, u, a, r->slope + at);
            else
                NAME(ft_leaky_layer)(n_out, u, a, r->slope + at);
        }
        W += n_out * (n_in + 1);
        at += n_out;
        x = a;
    }
    return x;
}

/* Gradient of dy . outputs, by what each layer's sums weigh: into d, which ends in dy. */
static void NAME(ft_pass_back)(const NAME(ft_mlp) * net, const NAME(ft_plan) * r, REAL *d) {
    int64_t at = r->width - net->sizes[net->n_layers];
    const REAL *W = net->params + net->n_params;
    for (int64_t l = net->n_layers; l > 1; l--) {
        const int64_t n_in = net->sizes[l - 1], n_out = net->sizes[l], before = at - n_in;
        W -= n_out * (n_in + 1);
        NAME(ft_transposed)(n_out, n_in, W, d + at, d + before);
        for (int64_t k = 0; k < n_in; k++) d[before + k] = d[before + k] * r->slope[before + k];
        if (net->layer_norm)
            NAME(ft_unstandardise)(n_in, r->u + before, r->inverse[l - 2], d + before);
        at = before;
    }
}

/* z <- D z + gradient, of the d that ft_pass_back left.  Returns the sum of |z|. */
static double NAME(ft_into_trace)(const NAME(ft_mlp) * net, const NAME(ft_plan) * r, const REAL *d,
                                  REAL D, REAL *z) {
    const REAL *x = r->x;
    double norm = 0.0;
    int64_t at = 0;
    for (int64_t l = 1; l <= net->n_layers; l++) {
        const int64_t n_in = net->sizes[l - 1], n_out = net->sizes[l];
        norm += NAME(ft_outer)(n_out, n_in, z, D, d + at, x);
        z += n_out * (n_in + 1);
        x = r->a + at;
        at += n_out;
    }
    return norm;
}

/* A bound on the gradient's entries, or what is not finite. */
static double NAME(ft_gradient_bound)(const NAME(ft_mlp) * net, const NAME(ft_plan) * r,
                                      const REAL *d) {
    const REAL *x = r->x;
    double bound = 0.0;
    int64_t at = 0;
    for (int64_t l = 1; l <= net->n_layers; l++) {
        const double inputs = (double)NAME(ft_norm)(net->sizes[l - 1], x);
        const double outputs = (double)NAME(ft_norm)(net->sizes[l], d + at);
        bound += outputs * (inputs < 1.0 ? 1.0 : inputs);
        x = r->a + at;
        at += net->sizes[l];
    }
    return bound;
}

int32_t NAME(ft_mlp_forward)(const NAME(ft_mlp) * net, int64_t n, const REAL *x, REAL *y) {
    const NAME(ft_plan) r = NAME(ft_lay_plan)(net, 1);
    const int64_t n_in = net->sizes[0], n_out = net->sizes[net->n_layers];
    for (int64_t i = 0; i < n; i++) {
        memcpy(r.x, x + i * n_in, (size_t)n_in * sizeof(REAL));
        memcpy(y + i * n_out, NAME(ft_pass_ahead)(net, &r), (size_t)n_out * sizeof(REAL));
    }
    return FT_OK;
}

int32_t NAME(ft_mlp_gradients)(const NAME(ft_mlp) * net, const REAL *x, int64_t n, const REAL *dy,
                               REAL *y, REAL *J) {
    const NAME(ft_plan) r = NAME(ft_lay_plan)(net, 1);
    const int64_t m = net->sizes[net->n_layers];
    memcpy(r.x, x, (size_t)net->sizes[0] * sizeof(REAL));
    memcpy(y, NAME(ft_pass_ahead)(net, &r), (size_t)m * sizeof(REAL));
    for (int64_t i = 0; i < n; i++) {
        memcpy(r.d + r.width - m, dy + i * m, (size_t)m * sizeof(REAL));
        NAME(ft_pass_back)(net, &r, r.d);
        NAME(ft_into_trace)(net, &r, r.d, 0, J + i * net->n_params);
    }
    return FT_OK;
}

/* ---- traces of Jacobians ---- */

/* Largest |x|; infinite where one is not finite.  By the bits, which are in the order of the sizes. */
FT_CLONES static double NAME(ft_largest)(int64_t n, const REAL *x) {
#if LANES > 1
    const NAME(ft_bits) *bits = (const NAME(ft_bits) *)(const void *)x;
    INTEGER best = 0;
    for (int64_t k = 0; k < n; k++) best = (bits[k] & LARGEST) > best ? bits[k] & LARGEST : best;
    REAL largest;
    memcpy(&largest, &best, sizeof largest);
    return largest == largest ? (double)largest : HUGE_VAL;
#else
    double largest = 0.0;
    for (int64_t k = 0; k < n; k++) {
        if (!(SIZE(x[k]) <= REAL_MAX)) return HUGE_VAL;
        if ((double)SIZE(x[k]) > largest) largest = (double)SIZE(x[k]);
    }
    return largest;
#endif
}

/* Four rows of Z and as many of J; n numbers of each, `apart` from row to row. */
FT_CLONES static void NAME(ft_four_rows)(int64_t n, int64_t apart, REAL *FT_RESTRICT Z,
                                         const REAL *FT_RESTRICT J, REAL *FT_RESTRICT w,
                                         const REAL *D, const REAL *c) {
    REAL *z0 = Z, *z1 = Z + apart, *z2 = Z + 2 * apart, *z3 = Z + 3 * apart;
    const REAL *j0 = J, *j1 = J + apart, *j2 = J + 2 * apart, *j3 = J + 3 * apart;
    const REAL D0 = D[0], D1 = D[1], D2 = D[2], D3 = D[3];
    const REAL c0 = c[0], c1 = c[1], c2 = c[2], c3 = c[3];
    int64_t i = 0;
#if LANES > 1
    for (; i + LANES <= n; i += LANES) {
        const VEC a = D0 * *VECTORS(z0 + i) + *CONST_VECTORS(j0 + i);
        const VEC b = D1 * *VECTORS(z1 + i) + *CONST_VECTORS(j1 + i);
        const VEC e = D2 * *VECTORS(z2 + i) + *CONST_VECTORS(j2 + i);
        const VEC f = D3 * *VECTORS(z3 + i) + *CONST_VECTORS(j3 + i);
        *VECTORS(z0 + i) = a;
        *VECTORS(z1 + i) = b;
        *VECTORS(z2 + i) = e;
        *VECTORS(z3 + i) = f;
        *VECTORS(w + i) = (((*VECTORS(w + i) + c0 * a) + c1 * b) + c2 * e) + c3 * f;
    }
#endif
    for (; i < n; i++) {
        z0[i] = D0 * z0[i] + j0[i];
        z1[i] = D1 * z1[i] + j1[i];
        z2[i] = D2 * z2[i] + j2[i];
        z3[i] = D3 * z3[i] + j3[i];
        w[i] = (((w[i] + c0 * z0[i]) + c1 * z1[i]) + c2 * z2[i]) + c3 * z3[i];
    }
}

FT_CLONES static void NAME(ft_one_row)(int64_t n, REAL *FT_RESTRICT z, const REAL *FT_RESTRICT j,
                                       REAL *FT_RESTRICT w, REAL D, REAL c) {
    for (int64_t i = 0; i < n; i++) {
        z[i] = D * z[i] + j[i];
        w[i] = w[i] + c * z[i];
    }
}

FT_CLONES static void NAME(ft_add_row)(int64_t n, REAL *FT_RESTRICT z, const REAL *FT_RESTRICT j,
                                       REAL D) {
    for (int64_t i = 0; i < n; i++) z[i] = D * z[i] + j[i];
}

/* w <- w + c z. */
FT_CLONES static void NAME(ft_move_by)(int64_t n, REAL *FT_RESTRICT w, REAL c,
                                       const REAL *FT_RESTRICT z) {
    for (int64_t i = 0; i < n; i++) w[i] = w[i] + c * z[i];
}

/* w <- w + sum over rows of c_r z_r, row by row in each block. */
static void NAME(ft_move_by_all)(int64_t m, int64_t n, REAL *w, const REAL *c, const REAL *Z) {
    for (int64_t i = 0; i < n; i += FT_BLOCK) {
        const int64_t size = n - i < FT_BLOCK ? n - i : FT_BLOCK;
        for (int64_t r = 0; r < m; r++) NAME(ft_move_by)(size, w + i, c[r], Z + r * n + i);
    }
}

/* Whether every entry stays finite, one by one; the largest are found anew. */
static int NAME(ft_jacobian_fits)(const NAME(ft_jacobian) * t, const REAL *J, const REAL *w) {
    double largest = 0.0;
    for (int64_t r = 0; r < t->m; r++) t->largest[r] = NAME(ft_largest)(t->n, t->Z + r * t->n);
    for (int64_t i = 0; i < t->n; i++) {
        REAL moved = w ? w[i] : 0;
        for (int64_t r = 0; r < t->m; r++) {
            const REAL z = J ? t->decay[r] * t->Z[r * t->n + i] + J[r * t->n + i] : t->Z[r * t->n + i];
            if (!(SIZE(z) <= REAL_MAX)) return 0;
            if (w) moved = moved + t->step[r] * z;
        }
        if (!(SIZE(moved) <= REAL_MAX)) return 0;
        if ((double)SIZE(moved) > largest) largest = (double)SIZE(moved);
    }
    return largest <= REAL_MAX;
}

int32_t NAME(ft_jacobian_step)(const NAME(ft_jacobian) * t, const REAL *J, REAL *w) {
    const int64_t m = t->m, n = t->n;
    double moved = w ? NAME(ft_largest)(n, w) : 0.0, most = 0.0;
    if (!(moved <= REAL_MAX)) return FT_EVALUE;
    for (int64_t r = 0; r < m; r++) {
        double z = t->largest[r];
        if (J) {
            const double fresh = t->largest[m + r] = NAME(ft_largest)(n, J + r * n);
            if (!(fresh <= REAL_MAX)) return FT_EVALUE;
            z = fabs((double)t->decay[r]) * z + fresh;
        }
        if (z > most) most = z;
        if (w) moved += fabs((double)t->step[r]) * z;
    }
    if (!(most <= REAL_MAX && moved <= REAL_MAX) && !NAME(ft_jacobian_fits)(t, J, w)) return FT_EVALUE;
    if (J)
        for (int64_t r = 0; r < m; r++)
            t->largest[r] = fabs((double)t->decay[r]) * t->largest[r] + t->largest[m + r];
    if (!J) {
        NAME(ft_move_by_all)(m, n, w, t->step, t->Z);
        return FT_OK;
    }
    const int64_t block = m > 4 ? FT_BLOCK : n; /* what one group of rows reads, nobody reads again */
    for (int64_t i = 0; i < n; i += block) {
        const int64_t size = n - i < block ? n - i : block;
        int64_t r = 0;
        for (; w && r + 4 <= m; r += 4)
            NAME(ft_four_rows)(size, n, t->Z + r * n + i, J + r * n + i, w + i, t->decay + r, t->step + r);
        for (; r < m; r++) {
            REAL *z = t->Z + r * n + i;
            if (w)
                NAME(ft_one_row)(size, z, J + r * n + i, w + i, t->decay[r], t->step[r]);
            else
                NAME(ft_add_row)(size, z, J + r * n + i, t->decay[r]);
        }
    }
    return FT_OK;
}

/* ---- learners ---- */

/* By its gradient in d of each trace: whether traces and parameters stay finite, entry by entry. */
static int NAME(ft_head_fits)(const NAME(ft_head) * h, const NAME(ft_plan) * r, const double *D,
                              const double *c) {
    const NAME(ft_mlp) *net = &h->net;
    const int64_t n = net->n_params;
    const REAL *x = r->x;
    int64_t at = 0, i = 0;
    for (int64_t l = 1; l <= net->n_layers; l++) {
        const int64_t n_in = net->sizes[l - 1], n_out = net->sizes[l];
        for (int64_t e = 0; e < n_out * (n_in + 1); e++, i++) {
            const int64_t bias = e >= n_out * n_in, j = bias ? e - n_out * n_in : e / n_in;
            const REAL in = bias ? (REAL)1 : x[e % n_in];
            REAL w = net->params[i];
            for (int64_t q = 0; q < h->n_traces; q++) {
                const REAL g = r->d[q * r->width + at + j] * in, decay = (REAL)D[q];
                const REAL z = decay == 0 ? g : decay * h->Z[q * n + i] + g;
                if (!(SIZE(z) <= REAL_MAX)) return 0;
                w = w + (REAL)c[q] * z;
            }
            if (!(SIZE(w) <= REAL_MAX)) return 0;
        }
        x = r->a + at;
        at += n_out;
    }
    return 1;
}

/* The way back for every trace, dy in the ends of d, and whether a step by deltas may be taken. */
static int NAME(ft_prepare)(const NAME(ft_head) * h, const NAME(ft_plan) * r, const double *deltas) {
    const int64_t m = h->n_traces;
    double *decay = h->numbers + FT_HEAD_DECAYS, *bound = decay + m, *step = bound + m, *fresh = step + m;
    double moved = h->numbers[FT_HEAD_BOUND];
    int fits = 1;
    for (int64_t q = 0; q < m; q++) {
        REAL *d = r->d + q * r->width;
        NAME(ft_pass_back)(&h->net, r, d);
        const double gradient = fresh[q] = NAME(ft_gradient_bound)(&h->net, r, d);
        const double z = decay[q] == 0.0 ? gradient : decay[q] * bound[q] + gradient;
        fits &= z <= REAL_MAX;
        step[q] = h->optimiser == FT_SGD ? h->alpha * deltas[q] : 0.0;
        moved += h->optimiser == FT_SGD ? fabs(step[q]) * z : 1.0 / h->kappa;
        if (h->optimiser == FT_ADAPTIVE_OBGD) fits &= (deltas[q] * z) * (deltas[q] * z) <= REAL_MAX;
    }
    if (fits && moved <= REAL_MAX) return 1;
    if (!NAME(ft_head_fits)(h, r, decay, step)) return 0;
    for (int64_t q = 0; q < m; q++) {
        bound[q] = NAME(ft_largest)(h->net.n_params, h->Z + q * h->net.n_params);
        if (h->optimiser == FT_ADAPTIVE_OBGD) {
            const double z = decay[q] * bound[q] + fresh[q];
            if (!((deltas[q] * z) * (deltas[q] * z) <= REAL_MAX)) return 0;
        }
    }
    h->numbers[FT_HEAD_BOUND] = NAME(ft_largest)(h->net.n_params, h->net.params);
    return 1;
}

/* Second moments v move; along is z by their roots.  Returns the sum of |along|. */
FT_CLONES static double NAME(ft_second_moments)(const NAME(ft_head) * h, REAL delta, REAL inverse) {
    const int64_t n = h->net.n_params;
    const REAL keep = (REAL)h->beta2, part = (REAL)(1.0 - h->beta2), epsilon = (REAL)h->epsilon;
    const REAL *FT_RESTRICT z = h->Z;
    REAL *FT_RESTRICT v = h->v, *FT_RESTRICT along = h->v + n;
    for (int64_t i = 0; i < n; i++) {
        const REAL g = delta * z[i];
        v[i] = keep * v[i] + part * (g * g);
        along[i] = v[i] * inverse + epsilon;
    }
    int64_t i = 0;
#ifdef ROOTS
    for (; i + LANES <= n; i += LANES) { /* a loop over sqrtf would look after errno */
        NAME(ft_row_lanes) lanes;
        lanes.whole = *CONST_VECTORS(along + i);
        for (int half = 0; half < 2; half++)
            lanes.half[half] = (NAME(ft_row_half))ROOTS(lanes.half[half]);
        *VECTORS(along + i) = *CONST_VECTORS(z + i) / lanes.whole;
    }
#endif
    for (; i < n; i++) along[i] = z[i] / NAME(ft_root)(along[i]);
    return (double)NAME(ft_norm)(n, along);
}

/* What ft_prepare allowed. */
static void NAME(ft_commit)(const NAME(ft_head) * h, const NAME(ft_plan) * r, const double *deltas) {
    const int64_t m = h->n_traces, n = h->net.n_params;
    double *numbers = h->numbers, *decay = numbers + FT_HEAD_DECAYS, *bound = decay + m;
    const double *step = bound + m, *fresh = step + m;
    double norm = 0.0;
    for (int64_t q = 0; q < m; q++) {
        const REAL *d = r->d + q * r->width;
        bound[q] = decay[q] == 0.0 ? fresh[q] : decay[q] * bound[q] + fresh[q];
        norm += NAME(ft_into_trace)(&h->net, r, d, (REAL)decay[q], h->Z + q * n);
    }
    if (h->optimiser == FT_SGD) {
        for (int64_t q = 0; q < m; q++) {
            numbers[FT_HEAD_BOUND] += fabs(step[q]) * bound[q];
            NAME(ft_move_by)(n, h->net.params, (REAL)step[q], h->Z + q * n);
        }
        return;
    }
    const double delta = deltas[0], size = fabs(delta) > 1.0 ? fabs(delta) : 1.0;
    if (h->optimiser == FT_ADAPTIVE_OBGD) {
        numbers[FT_HEAD_POWER] *= h->beta2;
        const double inverse = 1.0 / (1.0 - numbers[FT_HEAD_POWER]);
        norm = NAME(ft_second_moments)(h, (REAL)delta, (REAL)inverse);
    }
    const double M = h->alpha * h->kappa * size * norm;
    const double alpha = M > 1.0 ? h->alpha / M : h->alpha;
    const REAL c = (REAL)(alpha * delta);
    numbers[FT_HEAD_STEP] = alpha;
    numbers[FT_HEAD_BOUND] += 1.0 / h->kappa;
    NAME(ft_move_by)(n, h->net.params, c, h->optimiser == FT_OBGD ? h->Z : h->v + n);
}

static const REAL *NAME(ft_look)(const NAME(ft_head) * h, const NAME(ft_plan) * r, const double *s) {
    for (int64_t i = 0; i < h->net.sizes[0]; i++) r->x[i] = (REAL)s[i];
    return NAME(ft_pass_ahead)(&h->net, r);
}

/* Whether all parameters are finite; their bound. */
static int NAME(ft_check)(const NAME(ft_head) * h) {
    double bound = (double)NAME(ft_norm)(h->net.n_params, h->net.params);
    if (!(bound <= REAL_MAX)) bound = NAME(ft_largest)(h->net.n_params, h->net.params);
    h->numbers[FT_HEAD_BOUND] = bound;
    return bound <= REAL_MAX;
}

/* What S_{t+1} is worth under w_t, into v (n_traces of the critic); the action there. */
static void NAME(ft_next_value)(const NAME(ft_head) * critic, const NAME(ft_head) * actor,
                                const NAME(ft_plan) * rc, const NAME(ft_plan) * ra,
                                ft_network_stream *s, const double *next, int64_t t, double *v) {
    const int64_t m = critic->net.sizes[critic->net.n_layers];
    const REAL *y = NAME(ft_look)(critic, rc, next);
    if (s->method == FT_NETWORK_TD || s->method == FT_NETWORK_ACTOR_CRITIC) {
        for (int64_t q = 0; q < critic->n_traces; q++) v[q] = (double)y[q];
        if (!actor || !s->choose) return;
        const REAL *h = NAME(ft_look)(actor, ra, next);
        for (int64_t a = 0; a < s->n_actions; a++) s->q[a] = (double)h[a];
        if (!s->normal) s->action_next = ft_boltzmann(s->q, s->n_actions, 1.0, s->u);
        return;
    }
    for (int64_t a = 0; a < m; a++) s->q[a] = (double)y[a];
    s->action_next = s->choose ? ft_act(s->q, m, s->policy, s->parameter, s->u) : s->actions[t];
    const double best = ft_max(s->q, m);
    s->greedy = s->q[s->action_next] >= best;
    v[0] = s->method == FT_NETWORK_Q ? best : s->q[s->action_next];
}

FT_INLINE int32_t NAME(ft_fault)(ft_network_stream *s, int64_t t, int64_t what) {
    s->failed = t;
    s->fault = what;
    return FT_EVALUE;
}

/* One transition, from k->now to k->next. */
static int32_t NAME(ft_transition)(const NAME(ft_head) * critic, const NAME(ft_head) * actor,
                                   const NAME(ft_plan) * rc, const NAME(ft_plan) * ra,
                                   ft_network_stream *s, const ft_statistics *k, int64_t t, int there) {
    const int64_t m = critic->n_traces, n_out = critic->net.sizes[critic->net.n_layers];
    double *delta = s->deltas + t * m, *decay = critic->numbers + FT_HEAD_DECAYS;
    const double *gamma = s->gammas + t * s->gamma_step, *lambda = s->lambdas + t * s->lambda_step;
    const double *reward = s->rewards + t * m;
    double scaled = reward[0];
    if (s->scale && !ft_reward(k, &scaled, gamma[0])) return NAME(ft_fault)(s, t, FT_FAULT_STATISTICS);
    int values = there && (s->choose || ft_judges(s));
    for (int64_t q = 0; q < m; q++) values |= gamma[q * s->gamma_output] != 0.0;
    s->greedy = 1;
    const int64_t action = s->action;
    for (int64_t q = 0; q < m; q++) delta[q] = 0.0;
    if (values) NAME(ft_next_value)(critic, actor, rc, ra, s, k->next, t + 1, delta);
    const REAL *y = NAME(ft_look)(critic, rc, k->now);
    for (int64_t q = 0; q < m; q++) {
        const double g = gamma[q * s->gamma_output];
        const int64_t output = s->method == FT_NETWORK_TD ? q : s->method == FT_NETWORK_ACTOR_CRITIC ? 0 : action;
        const double v = (double)y[output], R = s->scale ? scaled : reward[q];
        delta[q] = (g == 0.0 ? R : R + g * delta[q]) - v;
        if (!(fabs(delta[q]) <= REAL_MAX)) return NAME(ft_fault)(s, t, FT_FAULT_DELTA);
        REAL *dy = rc->d + (q + 1) * rc->width - n_out;
        for (int64_t j = 0; j < n_out; j++) dy[j] = j == output ? (REAL)1 : (REAL)0;
    }
    if (!NAME(ft_prepare)(critic, rc, delta)) return NAME(ft_fault)(s, t, FT_FAULT_GRADIENT);
    if (actor) {
        const REAL *h = NAME(ft_look)(actor, ra, k->now);
        double *g = s->q + s->n_actions;
        const double entropy = delta[0] > 0.0 ? s->entropy : delta[0] < 0.0 ? -s->entropy : 0.0;
        for (int64_t a = 0; a < s->n_actions; a++) g[a] = (double)h[a];
        if (s->normal)
            ft_normal_gradient(g, s->n_actions / 2, s->moves + t * (s->n_actions / 2), entropy);
        else
            ft_softmax_gradient(g, s->n_actions, action, entropy);
        REAL *dy = ra->d + ra->width - s->n_actions;
        for (int64_t a = 0; a < s->n_actions; a++) dy[a] = (REAL)g[a];
        if (!NAME(ft_prepare)(actor, ra, delta)) return NAME(ft_fault)(s, t, FT_FAULT_GRADIENT);
        NAME(ft_commit)(actor, ra, delta);
        actor->numbers[FT_HEAD_DECAYS] = gamma[0] * s->lambda_actor;
    }
    NAME(ft_commit)(critic, rc, delta);
    const int cut = (s->cut == FT_CUT_NEXT && !s->greedy) || (s->cut == FT_CUT_TAKEN && !s->was_greedy);
    for (int64_t q = 0; q < m; q++)
        decay[q] = cut ? 0.0 : gamma[q * s->gamma_output] * lambda[q * s->lambda_output];
    s->was_greedy = s->greedy;
    return FT_OK;
}

/* Begin with the first state, unless it is the one that the last call ended in. */
static int NAME(ft_begin)(const NAME(ft_head) * critic, const NAME(ft_head) * actor,
                          const NAME(ft_plan) * rc, const NAME(ft_plan) * ra, ft_network_stream *s,
                          const ft_statistics *k, int64_t n) {
    if (ft_is_kept(k, n, s->states)) return 1;
    if (!ft_observe(k, n, s->states, s->normalise)) return 0;
    ft_move_on(k, n, 1);
    s->was_greedy = s->greedy = 1;
    if (s->choose ? s->steps == 0 : ft_judges(s)) {
        double v = 0.0;
        NAME(ft_next_value)(critic, actor, rc, ra, s, k->next, 0, &v);
        s->was_greedy = s->greedy;
    }
    return 1;
}

int32_t NAME(ft_network_run)(const NAME(ft_head) * critic, const NAME(ft_head) * actor,
                             ft_network_stream *s) {
    const int64_t n = critic->net.sizes[0];
    const NAME(ft_plan) rc = NAME(ft_lay_plan)(&critic->net, critic->n_traces);
    const NAME(ft_plan) ra = actor ? NAME(ft_lay_plan)(&actor->net, 1) : rc;
    const ft_statistics k = ft_lay_kept(s->kept, n);
    const size_t bytes = (size_t)k.size * sizeof(double);
    if (!NAME(ft_check)(critic) || (actor && !NAME(ft_check)(actor)))
        return NAME(ft_fault)(s, 0, FT_FAULT_PARAMS);
    for (int64_t t = s->steps ? 0 : -1; t < s->steps; t++) {
        memcpy(s->kept + k.size, s->kept, bytes);
        const int there = !(s->ends && t == s->steps - 1);
        const double *next = s->states + (t + 1) * n;
        int32_t status = FT_OK;
        if (t <= 0 && !NAME(ft_begin)(critic, actor, &rc, &ra, s, &k, n))
            status = NAME(ft_fault)(s, 0, FT_FAULT_STATISTICS);
        else if (t >= 0) {
            if (!s->choose && s->actions) s->action = s->actions[t];
            if (there && !ft_observe(&k, n, next, s->normalise))
                status = NAME(ft_fault)(s, t, FT_FAULT_STATISTICS);
            else {
                if (t == s->steps - 1 && critic->before)
                    memcpy(critic->before, critic->net.params, (size_t)critic->net.n_params * sizeof(REAL));
                status = NAME(ft_transition)(critic, actor, &rc, &ra, s, &k, t, there);
            }
        }
        if (status != FT_OK) {
            memcpy(s->kept, s->kept + k.size, bytes);
            return status;
        }
        if (t < 0) break;
        if (s->inputs) memcpy(s->inputs + t * n, k.now, (size_t)n * sizeof(double));
        ft_move_on(&k, n, there);
        s->done = t + 1;
    }
    return FT_OK;
}

#undef VEC
#undef MASK
#undef SPREAD
#undef ABSOLUTE
#undef VECTORS
#undef CONST_VECTORS
#undef SIZE
#undef ROOTS
