/* Plastic networks for one type of number: plasticity.c includes this twice.  See docs/plasticity.md.
 *
 *   REAL, INTEGER   float and int32_t, or double and int64_t; LARGEST of the integers
 *   LANES           numbers of a vector of 32 bytes, or 1 where there are no vectors
 *   NAME(x)         x_f32 or x_f64
 *
 * A matrix (post, pre) is kept in the workspace in rows of whole vectors, the rest of a row 0, so that no
 * loop has a tail.  One element of the batch goes through the whole sequence before the next: W, al, Hebb
 * and E of one element stay in the cache.
 *
 *   W  al  hebb ...   row j:  |  k = 0 ... LANES - 1  |  ...  |  ... n_pre - 1, 0, 0  |      * n_post  */

#define VEC NAME(ft_vec)
#define MASK NAME(ft_mask)

#if LANES > 1
typedef REAL VEC __attribute__((vector_size(32)));
typedef INTEGER MASK __attribute__((vector_size(32)));
#define SPREAD(x) ((VEC){0} + (x))
/* Signs and comparisons by the bits: where no register is as long as the vector, compilers take its
 * comparisons apart.  Numbers of one sign are in the order of their bits, and NaN is above them all. */
#define SIGN_OF(mask) ((mask) >> (8 * (int)sizeof(REAL) - 1))
#define SIZE_OF(x) ((MASK)(x) & LARGEST)
#define SELECT(mask, a, b) ((VEC)(((mask) & (MASK)(a)) | (~(mask) & (MASK)(b))))
#define NEGATIVE(x) SIGN_OF((MASK)((x) + 0)) /* -0 + 0 is +0 */
#define INSIDE(x, top) SIGN_OF(SIZE_OF(x) - (MASK)(top))
#if defined(__x86_64__) && !defined(__clang__)
#define CLIP(x, top) CLIP_BELOW(SELECT((x) > (top), top, x), -(top))
#define CLIP_BELOW(x, bottom) SELECT((x) < (bottom), bottom, x)
#else
#define CLIP(x, top)                                                                               \
    SELECT(SIGN_OF(((MASK)(top)-SIZE_OF(x)) & ~((MASK)SPREAD((REAL)INFINITY) - SIZE_OF(x))),       \
           (VEC)((MASK)(top) | ((MASK)(x) & ~LARGEST)), x)
#endif
#else
typedef REAL VEC;
typedef int MASK;
#define SPREAD(x) (x)
#define SELECT(mask, a, b) ((mask) ? (a) : (b))
#define NEGATIVE(x) ((x) < 0)
#define INSIDE(x, top) ((x) < (top) && (x) > -(top))
#define CLIP(x, top) ((x) > (top) ? (top) : (x) < -(top) ? -(top) : (x))
#endif

/* The sum of a vector: halves onto each other, down to one. */
#if LANES > 1
typedef REAL NAME(ft_half) __attribute__((vector_size(16)));
typedef union {
    VEC whole;
    NAME(ft_half) half[2];
} NAME(ft_lanes);
FT_INLINE REAL NAME(ft_sum)(const VEC *vector) {
    NAME(ft_lanes) lanes;
    lanes.whole = *vector;
    const NAME(ft_half) both = lanes.half[0] + lanes.half[1];
    return LANES == 8 ? (both[0] + both[2 % (LANES / 2)]) + (both[1] + both[3 % (LANES / 2)])
                      : both[0] + both[1];
}
#else
FT_INLINE REAL NAME(ft_sum)(const VEC *vector) { return *vector; }
#endif

/* What a pass over the matrices takes; n vectors a row.  Each (post, pre) but for the vectors. */
typedef struct {
    int64_t n_post, n;
    const REAL *W, *al;
    const REAL *hebb_in, *E_in; /* of this step */
    REAL *hebb_out, *E_out;     /* of the next; may be the same memory */
    const REAL *pre, *pre_next; /* (pre) */
    const REAL *post, *gain;    /* (post); gain is V */
    REAL clip, eta;
    REAL *y; /* (post) out: (W + al * Hebb) pre_next */
} NAME(ft_ahead);

/* Hebb and E move by one step, and then, with `product`, meet the next input. */
FT_INLINE void NAME(ft_ahead_rows)(const NAME(ft_ahead) * a, int mode, int bound, int product) {
    const int64_t n = a->n;
    const VEC top = SPREAD(a->clip);
    const VEC *pre = (const VEC *)(const void *)a->pre;
    const VEC *pre_next = (const VEC *)(const void *)a->pre_next;
    const REAL keep = (REAL)1 - a->eta;
    for (int64_t j = 0; j < a->n_post; j++) {
        const VEC *W = (const VEC *)(const void *)a->W + j * n;
        const VEC *al = (const VEC *)(const void *)a->al + j * n;
        const VEC *hebb_in = (const VEC *)(const void *)a->hebb_in + j * n;
        const VEC *E_in = (const VEC *)(const void *)a->E_in + j * n;
        VEC *hebb_out = (VEC *)(void *)a->hebb_out + j * n;
        VEC *E_out = (VEC *)(void *)a->E_out + j * n;
        /* Of the outer product, and of E: plastic and simple have gain * post in one factor. */
        const REAL gain = mode == FT_NO_PLASTICITY ? 0 : a->gain[j];
        const REAL post = mode == FT_NO_PLASTICITY ? 0 : a->post[j];
        const REAL drive = mode == FT_RETROACTIVE ? a->eta * post : gain * post;
        VEC sum = SPREAD((REAL)0);
        for (int64_t k = 0; k < n; k++) {
            VEC hebb = hebb_in[k];
            if (mode != FT_NO_PLASTICITY) {
                VEC D;
                if (mode == FT_RETROACTIVE) {
                    const VEC E = E_in[k];
                    D = gain * E;
                    E_out[k] = keep * E + drive * pre[k];
                } else
                    D = drive * pre[k];
                if (bound == FT_SOFT) {
                    const VEC part = hebb / top;
                    D = D * SELECT(NEGATIVE(D), 1 + part, 1 - part);
                }
                if (bound == FT_DECAY) D = D - gain * hebb;
                hebb = hebb + D;
                hebb = CLIP(hebb, top);
                hebb_out[k] = hebb;
            }
            if (product) sum = sum + (W[k] + al[k] * hebb) * pre_next[k];
        }
        if (product) a->y[j] = NAME(ft_sum)(&sum);
    }
}

/* What the way back takes at step t: through y_t, and through the move of Hebb that came before it. */
typedef struct {
    int64_t n_post, n;
    const REAL *W, *al;
    const REAL *hebb;             /* Hebb_t */
    const REAL *hebb_old, *E_old; /* of t - 1 */
    const REAL *pre, *pre_old;    /* (pre) of t and t - 1 */
    const REAL *dy;               /* (post) of t */
    const REAL *post, *gain;      /* (post) of t - 1 */
    REAL clip, eta;
    REAL *dal, *dhebb, *dE; /* changed; dE: of E_t, then of E_{t-1} */
    REAL *dpre, *dpre_old;  /* (pre) added to: through y_t, through the move */
    REAL *dgain, *dpost;    /* (post) out, of t - 1.  plastic, simple: dgain of gain * post */
    REAL *dE_E;             /* (post) out: sum over pre of dE_t E_{t-1}; FT_DECAY without E: of dD Hebb_{t-1} */
} NAME(ft_back);

FT_INLINE void NAME(ft_back_rows)(const NAME(ft_back) * a, int mode, int bound) {
    const int64_t n = a->n;
    const VEC top = SPREAD(a->clip), zero = SPREAD((REAL)0);
    const VEC *pre = (const VEC *)(const void *)a->pre;
    const VEC *pre_old = (const VEC *)(const void *)a->pre_old;
    VEC *dpre = (VEC *)(void *)a->dpre, *dpre_old = (VEC *)(void *)a->dpre_old;
    const REAL keep = (REAL)1 - a->eta;
    for (int64_t j = 0; j < a->n_post; j++) {
        const VEC *W = (const VEC *)(const void *)a->W + j * n;
        const VEC *al = (const VEC *)(const void *)a->al + j * n;
        const VEC *hebb = (const VEC *)(const void *)a->hebb + j * n;
        const VEC *hebb_old = (const VEC *)(const void *)a->hebb_old + j * n;
        const VEC *E_old = (const VEC *)(const void *)a->E_old + j * n;
        VEC *dal = (VEC *)(void *)a->dal + j * n;
        VEC *dhebb = (VEC *)(void *)a->dhebb + j * n, *dE = (VEC *)(void *)a->dE + j * n;
        const REAL dy = a->dy[j];
        const REAL gain = mode == FT_NO_PLASTICITY ? 0 : a->gain[j];
        const REAL drive = mode == FT_NO_PLASTICITY ? 0
                           : mode == FT_RETROACTIVE ? a->eta * a->post[j]
                                                    : gain * a->post[j];
        VEC sum = zero, dE_pre = zero, dE_E = zero;
        for (int64_t k = 0; k < n; k++) {
            const VEC now = hebb[k], outer = dy * pre[k];
            VEC d = dhebb[k] + al[k] * outer;
            dpre[k] = dpre[k] + (W[k] + al[k] * now) * dy;
            dal[k] = dal[k] + outer * now;
            if (mode == FT_NO_PLASTICITY) {
                dhebb[k] = d;
                continue;
            }
            d = SELECT(INSIDE(now, top), d, zero);
            VEC dD = d, E = zero;
            if (mode == FT_RETROACTIVE) E = E_old[k];
            if (bound == FT_DECAY) d = d - gain * d;
            if (bound == FT_SOFT) {
                const VEC D = mode == FT_RETROACTIVE ? gain * E : drive * pre_old[k];
                const VEC sign = SELECT(NEGATIVE(D), zero - 1, zero + 1);
                dD = d * (1 - sign * hebb_old[k] / top);
                d = d * (1 - sign * D / top);
            }
            dhebb[k] = d;
            if (mode == FT_RETROACTIVE) {
                const VEC e = dE[k];
                sum = sum + dD * (bound == FT_DECAY ? E - hebb_old[k] : E);
                dE_pre = dE_pre + e * pre_old[k];
                dE_E = dE_E + e * E;
                dpre_old[k] = dpre_old[k] + drive * e;
                dE[k] = keep * e + gain * dD;
            } else {
                sum = sum + dD * pre_old[k];
                if (bound == FT_DECAY) dE_E = dE_E + dD * hebb_old[k];
                dpre_old[k] = dpre_old[k] + drive * dD;
            }
        }
        if (mode == FT_NO_PLASTICITY) continue;
        a->dgain[j] = NAME(ft_sum)(&sum);
        if (mode == FT_RETROACTIVE) a->dpost[j] = NAME(ft_sum)(&dE_pre);
        if (mode == FT_RETROACTIVE || bound == FT_DECAY) a->dE_E[j] = NAME(ft_sum)(&dE_E);
    }
}

/* y += A x for a plain matrix of whole vectors. */
FT_CLONES_32 static void NAME(ft_rows_times)(int64_t n_post, int64_t n, const REAL *A, const REAL *x,
                                          REAL *y) {
    const VEC *vec = (const VEC *)(const void *)x;
    for (int64_t j = 0; j < n_post; j++) {
        const VEC *row = (const VEC *)(const void *)A + j * n;
        VEC sum = SPREAD((REAL)0);
        for (int64_t k = 0; k < n; k++) sum = sum + row[k] * vec[k];
        y[j] = y[j] + NAME(ft_sum)(&sum);
    }
}

/* x += A' y. */
FT_CLONES_32 static void NAME(ft_columns_times)(int64_t n_post, int64_t n, const REAL *A,
                                             const REAL *y, REAL *x) {
    VEC *vec = (VEC *)(void *)x;
    for (int64_t j = 0; j < n_post; j++) {
        const VEC *row = (const VEC *)(const void *)A + j * n;
        for (int64_t k = 0; k < n; k++) vec[k] = vec[k] + row[k] * y[j];
    }
}

/* Each mode compiled by itself.  `plastic` is `simple` with eta for a gain. */
#define AHEAD(name, mode, bound, product)                                                          \
    FT_CLONES_32 static void NAME(name)(const NAME(ft_ahead) * a) {                                   \
        NAME(ft_ahead_rows)(a, mode, bound, product);                                              \
    }
AHEAD(ft_meet, FT_NO_PLASTICITY, FT_HARD, 1)
AHEAD(ft_move_simple, FT_SIMPLE, FT_HARD, 0)
AHEAD(ft_move_simple_soft, FT_SIMPLE, FT_SOFT, 0)
AHEAD(ft_move_simple_decay, FT_SIMPLE, FT_DECAY, 0)
AHEAD(ft_move_retroactive, FT_RETROACTIVE, FT_HARD, 0)
AHEAD(ft_move_retroactive_soft, FT_RETROACTIVE, FT_SOFT, 0)
AHEAD(ft_move_retroactive_decay, FT_RETROACTIVE, FT_DECAY, 0)
AHEAD(ft_go_simple, FT_SIMPLE, FT_HARD, 1)
AHEAD(ft_go_simple_soft, FT_SIMPLE, FT_SOFT, 1)
AHEAD(ft_go_retroactive, FT_RETROACTIVE, FT_HARD, 1)
AHEAD(ft_go_retroactive_soft, FT_RETROACTIVE, FT_SOFT, 1)
#undef AHEAD

#define BACK(name, mode, bound)                                                                    \
    FT_CLONES_32 static void NAME(name)(const NAME(ft_back) * a) {                                    \
        NAME(ft_back_rows)(a, mode, bound);                                                        \
    }
BACK(ft_back_none, FT_NO_PLASTICITY, FT_HARD)
BACK(ft_back_simple, FT_SIMPLE, FT_HARD)
BACK(ft_back_simple_soft, FT_SIMPLE, FT_SOFT)
BACK(ft_back_simple_decay, FT_SIMPLE, FT_DECAY)
BACK(ft_back_retroactive, FT_RETROACTIVE, FT_HARD)
BACK(ft_back_retroactive_soft, FT_RETROACTIVE, FT_SOFT)
BACK(ft_back_retroactive_decay, FT_RETROACTIVE, FT_DECAY)
#undef BACK

/* Hebb and E move, out of place or in place. */
static void NAME(ft_move)(const NAME(ft_ahead) * a, int64_t mode, int64_t bound) {
    if (mode == FT_RETROACTIVE)
        (bound == FT_DECAY  ? NAME(ft_move_retroactive_decay)
         : bound == FT_SOFT ? NAME(ft_move_retroactive_soft)
                            : NAME(ft_move_retroactive))(a);
    else
        (bound == FT_DECAY  ? NAME(ft_move_simple_decay)
         : bound == FT_SOFT ? NAME(ft_move_simple_soft)
                            : NAME(ft_move_simple))(a);
}

/* In place, and then y = (W + al * Hebb) pre_next. */
static void NAME(ft_go)(const NAME(ft_ahead) * a, int64_t mode, int64_t bound) {
    if (mode == FT_NO_PLASTICITY)
        NAME(ft_meet)(a);
    else if (bound == FT_DECAY) {
        NAME(ft_move)(a, mode, bound);
        NAME(ft_meet)(a);
    } else if (mode == FT_RETROACTIVE)
        (bound == FT_SOFT ? NAME(ft_go_retroactive_soft) : NAME(ft_go_retroactive))(a);
    else
        (bound == FT_SOFT ? NAME(ft_go_simple_soft) : NAME(ft_go_simple))(a);
}

static void NAME(ft_return)(const NAME(ft_back) * a, int64_t mode, int64_t bound) {
    if (mode == FT_NO_PLASTICITY)
        NAME(ft_back_none)(a);
    else if (mode == FT_RETROACTIVE)
        (bound == FT_DECAY  ? NAME(ft_back_retroactive_decay)
         : bound == FT_SOFT ? NAME(ft_back_retroactive_soft)
                            : NAME(ft_back_retroactive))(a);
    else
        (bound == FT_DECAY  ? NAME(ft_back_simple_decay)
         : bound == FT_SOFT ? NAME(ft_back_simple_soft)
                            : NAME(ft_back_simple))(a);
}

/* Neurons from here on take eta and no modulation; in the simple mode their gain is eta and no more is
 * needed, in the retroactive one their rows go without E. */
static int64_t NAME(ft_modulated)(const NAME(ft_plastic) * net) {
    return net->mode == FT_PLASTIC ? 0 : net->n_post - net->plain;
}

static NAME(ft_ahead) NAME(ft_ahead_from)(NAME(ft_ahead) a, int64_t j) {
    const int64_t at = j * a.n * LANES;
    a.n_post -= j;
    a.W += at, a.al += at, a.hebb_in += at, a.E_in += at, a.hebb_out += at, a.E_out += at;
    a.post += j, a.gain += j, a.y += j;
    return a;
}

static NAME(ft_back) NAME(ft_back_from)(NAME(ft_back) a, int64_t j) {
    const int64_t at = j * a.n * LANES;
    a.n_post -= j;
    a.W += at, a.al += at, a.hebb += at, a.hebb_old += at, a.E_old += at;
    a.dal += at, a.dhebb += at, a.dE += at;
    a.dy += j, a.post += j, a.gain += j, a.dgain += j, a.dpost += j, a.dE_E += j;
    return a;
}

/* All rows: `each` for those that are modulated, and for the others as in the simple mode. */
#define ROWS(name, kind, each, from)                                                               \
    static void NAME(name)(const NAME(ft_plastic) * net, const NAME(kind) * a, int64_t mode) {     \
        if (mode != FT_RETROACTIVE || net->plain == 0) {                                           \
            NAME(each)(a, mode, net->soft);                                                        \
            return;                                                                                \
        }                                                                                          \
        NAME(kind) part = *a;                                                                      \
        part.n_post -= net->plain;                                                                 \
        NAME(each)(&part, mode, net->soft);                                                        \
        part = NAME(from)(*a, part.n_post);                                                        \
        NAME(each)(&part, FT_SIMPLE, net->soft);                                                   \
    }
ROWS(ft_move_rows, ft_ahead, ft_move, ft_ahead_from)
ROWS(ft_go_rows, ft_ahead, ft_go, ft_ahead_from)
ROWS(ft_return_rows, ft_back, ft_return, ft_back_from)
#undef ROWS

/* ---- the workspace ---- */

typedef struct {
    int64_t n, row, matrix, wide; /* vectors and numbers of a row; numbers of a matrix, of a vector */
    REAL *W, *al, *gates;
    REAL *hebb, *E, *dhebb, *dE, *dal, *dal_sum;
    REAL *pre, *pre_next, *dpre, *dpre_old;                      /* (pre) */
    REAL *post, *gain, *y, *dy, *dh, *dc, *dgain, *dpost, *dE_E; /* (wide) */
    REAL *history, *checkpoints; /* Hebb of the steps that are replayed, then E */
} NAME(ft_room);

/* Lays it over work, and returns its size. */
static int64_t NAME(ft_lay)(NAME(ft_room) * r, const NAME(ft_plastic) * net, int64_t spacing,
                            REAL *work) {
    const int64_t per = 32 / (int64_t)sizeof(REAL);
    const int64_t wide = ((net->n_post > net->n_pre ? net->n_post : net->n_pre) + per - 1) / per * per;
    r->row = (net->n_pre + per - 1) / per * per;
    r->n = r->row / LANES;
    r->wide = wide;
    /* A few lines more, or the same place of all matrices would fall on one set of the cache. */
    r->matrix = net->n_post * r->row + 10 * per;
    const int64_t kinds = net->mode == FT_RETROACTIVE ? 2 : 1;
    const int64_t passes = net->T + 1;
    const int64_t length = spacing < passes ? spacing : passes;
    int64_t used = 0;
#define TAKE(field, size)                                                                          \
    do {                                                                                           \
        r->field = work ? work + used : work;                                                      \
        used += (size);                                                                            \
    } while (0)
    TAKE(W, r->matrix);
    TAKE(al, r->matrix);
    TAKE(gates, net->cell == FT_LSTM ? 3 * r->matrix : 0);
    TAKE(hebb, r->matrix);
    TAKE(E, kinds == 2 ? r->matrix : 0);
    TAKE(pre, wide);
    TAKE(pre_next, wide);
    TAKE(post, wide);
    TAKE(gain, wide);
    TAKE(y, 4 * wide);
    if (spacing > 0) {
        TAKE(dhebb, r->matrix);
        TAKE(dE, kinds == 2 ? r->matrix : 0);
        TAKE(dal, r->matrix);
        TAKE(dal_sum, r->matrix);
        TAKE(dpre, wide);
        TAKE(dpre_old, wide);
        TAKE(dy, 4 * wide);
        TAKE(dh, wide);
        TAKE(dc, wide);
        TAKE(dgain, wide);
        TAKE(dpost, wide);
        TAKE(dE_E, wide);
        const int64_t move = net->mode != FT_NO_PLASTICITY;
        TAKE(history, move ? kinds * (length + 1) * r->matrix : 0);
        TAKE(checkpoints, move ? kinds * ((passes + length - 1) / length) * r->matrix : 0);
    }
#undef TAKE
    return used;
}

static void NAME(ft_fill)(REAL *x, int64_t n, REAL value) {
    for (int64_t i = 0; i < n; i++) x[i] = value;
}

/* A matrix (n_post, n_pre) with the given strides into rows of whole vectors, the rest 0. */
static void NAME(ft_spread_out)(REAL *out, const REAL *in, int64_t n_post, int64_t n_pre,
                                int64_t stride_post, int64_t stride_pre, int64_t row) {
    for (int64_t j = 0; j < n_post; j++) {
        for (int64_t k = 0; k < n_pre; k++)
            out[j * row + k] = in ? in[j * stride_post + k * stride_pre] : (REAL)0;
        NAME(ft_fill)(out + j * row + n_pre, row - n_pre, 0);
    }
}

static void NAME(ft_draw_in)(REAL *out, const REAL *in, int64_t n_post, int64_t n_pre, int64_t row) {
    for (int64_t j = 0; j < n_post; j++)
        for (int64_t k = 0; k < n_pre; k++) out[j * n_pre + k] = in[j * row + k];
}

static void NAME(ft_keep)(REAL *out, const REAL *in, int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = in ? in[i] : (REAL)0;
}

static void NAME(ft_enter)(const NAME(ft_plastic) * net, NAME(ft_room) * r, int64_t spacing,
                           REAL *work) {
    NAME(ft_lay)(r, net, spacing, work);
    const int64_t P = net->n_post, K = net->n_pre;
    NAME(ft_spread_out)(r->W, net->W, P, K, K, 1, r->row);
    NAME(ft_spread_out)(r->al, net->al, P, K, net->al_post, net->al_pre, r->row);
    if (net->cell == FT_LSTM)
        for (int64_t g = 0; g < 3; g++)
            NAME(ft_spread_out)
        (r->gates + g * r->matrix, net->gates + g * P * K, P, K, K, 1, r->row);
    NAME(ft_fill)(r->pre, r->wide, 0);
    NAME(ft_fill)(r->pre_next, r->wide, 0);
}

/* Hebb and E of element b as they were given. */
static void NAME(ft_plastic_begin)(const NAME(ft_plastic) * net, const NAME(ft_room) * r, int64_t b,
                           REAL *hebb, REAL *E) {
    const int64_t P = net->n_post, K = net->n_pre;
    NAME(ft_spread_out)(hebb, net->hebb0 ? net->hebb0 + b * P * K : net->hebb0, P, K, K, 1, r->row);
    if (net->mode == FT_RETROACTIVE)
        NAME(ft_spread_out)(E, net->E0 ? net->E0 + b * P * K : net->E0, P, K, K, 1, r->row);
}

/* ---- forward ---- */

FT_CLONES_32 static void NAME(ft_tanh_all)(int64_t n, REAL *x) {
    for (int64_t i = 0; i < n; i++) x[i] = NAME(ft_tanh)(x[i]);
}

FT_INLINE REAL NAME(ft_sigmoid)(REAL x) {
    return (REAL)0.5 + (REAL)0.5 * NAME(ft_tanh)((REAL)0.5 * x);
}

FT_CLONES_32 static void NAME(ft_sigmoid_all)(int64_t n, REAL *x) {
    for (int64_t i = 0; i < n; i++) x[i] = NAME(ft_sigmoid)(x[i]);
}

/* The input that the matrices meet at step t: a layer's own, or the h before. */
static const REAL *NAME(ft_pre_at)(const NAME(ft_plastic) * net, int64_t b, int64_t t) {
    if (net->cell == FT_LAYER) return net->pre + (t * net->B + b) * net->n_pre;
    if (t > 0) return net->h + ((t - 1) * net->B + b) * net->n_post;
    return net->h0 ? net->h0 + b * net->n_post : net->h0;
}

static REAL *NAME(ft_u_at)(const NAME(ft_plastic) * net, int64_t b, int64_t t, int64_t gate) {
    return net->u + ((gate * net->T + t) * net->B + b) * net->n_post;
}

/* V of step t: what multiplies the outer product, or E. */
static void NAME(ft_gain)(const NAME(ft_plastic) * net, int64_t b, int64_t t, REAL *gain) {
    const int64_t P = net->n_post, at = t * net->B + b;
    if (net->mode == FT_PLASTIC)
        NAME(ft_fill)(gain, P, net->eta);
    else if (net->per_neuron)
        NAME(ft_keep)(gain, net->modulation + at * P, P);
    else if (net->fan_out)
        for (int64_t j = 0; j < P; j++) gain[j] = net->fw[j] * net->M[at] + net->fb[j];
    else
        NAME(ft_fill)(gain, P, net->M ? net->M[at] : 0);
    NAME(ft_fill)(gain + P - net->plain, net->plain, net->eta);
}

/* Activations of step t from u + y; for the LSTM also c and h. */
static void NAME(ft_activate)(const NAME(ft_plastic) * net, const NAME(ft_room) * r, int64_t b,
                              int64_t t) {
    const int64_t P = net->n_post, at = (t * net->B + b) * P;
    const int64_t gates = net->cell == FT_LSTM ? 4 : 1;
    for (int64_t g = 0; g < gates; g++) {
        REAL *u = NAME(ft_u_at)(net, b, t, g);
        const REAL *y = r->y + g * r->wide;
        for (int64_t j = 0; j < P; j++) u[j] = u[j] + y[j];
        (g ? NAME(ft_sigmoid_all) : NAME(ft_tanh_all))(P, u);
    }
    if (net->cell != FT_LSTM) return;
    const REAL *i = NAME(ft_u_at)(net, b, t, 0), *in = NAME(ft_u_at)(net, b, t, 1);
    const REAL *forget = NAME(ft_u_at)(net, b, t, 2), *out = NAME(ft_u_at)(net, b, t, 3);
    const REAL *before = t > 0 ? net->c + at - net->B * P : net->c0 ? net->c0 + b * P : net->c0;
    REAL *c = net->c + at, *h = net->h + at;
    for (int64_t j = 0; j < P; j++) c[j] = forget[j] * (before ? before[j] : 0) + i[j] * in[j];
    NAME(ft_keep)(h, c, P);
    NAME(ft_tanh_all)(P, h);
    for (int64_t j = 0; j < P; j++) h[j] = out[j] * h[j];
}

static void NAME(ft_modulate)(const NAME(ft_plastic) * net, int64_t b, int64_t t) {
    const int64_t at = t * net->B + b;
    if (!net->M) return;
    if (net->modulation)
        net->M[at] = net->modulation[at];
    else if (net->cell == FT_LAYER)
        net->M[at] = 0;
    else {
        const REAL *h = net->h + at * net->n_post;
        REAL sum = net->bm;
        for (int64_t j = 0; j < net->n_post; j++) sum += net->wm[j] * h[j];
        net->M[at] = net->activation == FT_LINEAR_MODULATION    ? sum
                     : net->activation == FT_SIGMOID_MODULATION ? NAME(ft_sigmoid)(sum)
                                                     : NAME(ft_tanh)(sum);
    }
}

/* Steps [from, to) of element b; the workspace keeps what the next ones need. */
static void NAME(ft_forward_one)(const NAME(ft_plastic) * net, const NAME(ft_room) * r, int64_t b,
                                 int64_t from, int64_t to) {
    const int64_t P = net->n_post, K = net->n_pre;
    NAME(ft_ahead) a = {P,       r->n,   r->W,        r->al,   r->hebb, r->E,      r->hebb, r->E,
                        r->pre,  r->pre_next, r->post, r->gain, net->clip, net->eta, r->y};
    if (from == 0) NAME(ft_plastic_begin)(net, r, b, r->hebb, r->E);
    for (int64_t t = from; t < to; t++) {
        NAME(ft_keep)(r->pre_next, NAME(ft_pre_at)(net, b, t), K);
        /* Hebb moves by what the step before left in pre, post and gain. */
        if (t > 0)
            NAME(ft_go_rows)(net, &a, net->mode);
        else
            NAME(ft_meet)(&a);
        if (net->cell == FT_LSTM) {
            NAME(ft_fill)(r->y + r->wide, 3 * r->wide, 0);
            for (int64_t g = 1; g < 4; g++)
                NAME(ft_rows_times)
            (P, r->n, r->gates + (g - 1) * r->matrix, r->pre_next, r->y + g * r->wide);
        }
        NAME(ft_activate)(net, r, b, t);
        NAME(ft_modulate)(net, b, t);
        NAME(ft_gain)(net, b, t, r->gain);
        NAME(ft_keep)(r->post, NAME(ft_u_at)(net, b, t, 0), P);
        NAME(ft_keep)(r->pre, r->pre_next, K);
    }
    if (to < net->T) return;
    if (net->mode != FT_NO_PLASTICITY) NAME(ft_move_rows)(net, &a, net->mode);
    NAME(ft_draw_in)(net->hebb + b * P * K, r->hebb, P, K, r->row);
    if (net->mode == FT_RETROACTIVE)
        NAME(ft_draw_in)(net->E + b * P * K, r->E, P, K, r->row);
    else if (net->E0)
        NAME(ft_keep)(net->E + b * P * K, net->E0 + b * P * K, P * K);
}

int64_t NAME(ft_plastic_work)(const NAME(ft_plastic) * net, int64_t spacing) {
    NAME(ft_room) room;
    return NAME(ft_lay)(&room, net, spacing, (REAL *)0);
}

/* Where this call ends, of `each` units an element; -1 where it asks for what is not there. */
static int64_t NAME(ft_end)(const NAME(ft_plastic) * net, int64_t first, int64_t last, int64_t each) {
    const int64_t all = (last - first) * each, end = net->end ? net->end : all;
    const int there = net->T >= 1 && first >= 0 && first <= last && last <= net->B;
    return there && net->begin >= 0 && net->begin <= end && end <= all ? end : -1;
}

int32_t NAME(ft_plastic_forward)(const NAME(ft_plastic) * net, int64_t first, int64_t last,
                                 REAL *work) {
    const int64_t each = net->T, end = NAME(ft_end)(net, first, last, each);
    if (end < 0) return FT_EVALUE;
    NAME(ft_room) room;
    if (net->begin == 0)
        NAME(ft_enter)(net, &room, 0, work);
    else
        NAME(ft_lay)(&room, net, 0, work);
    for (int64_t i = net->begin, b = first + i / each; i < end; b++) {
        const int64_t from = i % each, to = end - i < each - from ? from + end - i : each;
        NAME(ft_forward_one)(net, &room, b, from, to);
        i += to - from;
    }
    return FT_OK;
}

/* ---- backward ---- */

/* Hebb_t to the next, into other memory, from the activations that forward left. */
static void NAME(ft_replay)(const NAME(ft_plastic) * net, const NAME(ft_room) * r, int64_t b,
                            int64_t t, const REAL *from, REAL *to) {
    const int64_t kinds = net->mode == FT_RETROACTIVE ? r->matrix : 0;
    NAME(ft_keep)(r->pre_next, NAME(ft_pre_at)(net, b, t), net->n_pre);
    NAME(ft_keep)(r->post, NAME(ft_u_at)(net, b, t, 0), net->n_post);
    NAME(ft_gain)(net, b, t, r->gain);
    NAME(ft_ahead) a = {net->n_post, r->n,        r->W,    r->al,   from,      from + kinds, to,
                        to + kinds,  r->pre_next, r->pre_next, r->post, r->gain, net->clip, net->eta,
                        r->y};
    NAME(ft_move_rows)(net, &a, net->mode);
}

/* Through M_t and V_t: adds to dh (post), and says what M, wm, bm, fw, fb get. */
static void NAME(ft_back_modulation)(const NAME(ft_plastic) * net, const NAME(ft_plastic_back) * up,
                                     const NAME(ft_room) * r, int64_t b, int64_t t) {
    const int64_t P = net->n_post, at = t * net->B + b;
    double *wm = up->sums, *fw = wm + P, *fb = fw + P, *bm = fb + P;
    const int modulated = net->mode == FT_SIMPLE || net->mode == FT_RETROACTIVE;
    if (net->per_neuron) {
        for (int64_t j = 0; j < P; j++) up->M[at * P + j] = modulated ? r->dgain[j] : 0;
        return;
    }
    double dM = up->dM ? (double)up->dM[at] : 0.0;
    const REAL M = net->M ? net->M[at] : 0;
    if (modulated)
        for (int64_t j = 0; j < P; j++) {
            const REAL dV = r->dgain[j];
            if (net->fan_out) {
                fw[j] += (double)(dV * M);
                fb[j] += (double)dV;
                dM += (double)(dV * net->fw[j]);
            } else
                dM += (double)dV;
        }
    up->M[at] = (REAL)dM;
    if (net->modulation || net->cell == FT_LAYER) return;
    const double m = (double)M;
    const REAL dm = (REAL)(net->activation == FT_LINEAR_MODULATION    ? dM
                           : net->activation == FT_SIGMOID_MODULATION ? dM * (m * (1.0 - m))
                                                           : dM * (1.0 - m * m));
    const REAL *h = net->h + at * P;
    *bm += (double)dm;
    for (int64_t j = 0; j < P; j++) {
        wm[j] += (double)(dm * h[j]);
        r->dh[j] = r->dh[j] + dm * net->wm[j];
    }
}

/* Through the cell: dy of each gate from dh, dc and dpost; written to up->u as well. */
static void NAME(ft_back_cell)(const NAME(ft_plastic) * net, const NAME(ft_plastic_back) * up,
                               const NAME(ft_room) * r, int64_t b, int64_t t) {
    const int64_t P = net->n_post, at = (t * net->B + b) * P;
    const REAL *post = NAME(ft_u_at)(net, b, t, 0);
    REAL *dy = r->dy, *du = up->u + at;
    const int64_t gate = net->T * net->B * P;
    if (net->cell != FT_LSTM) {
        for (int64_t j = 0; j < P; j++)
            du[j] = dy[j] = (r->dpost[j] + r->dh[j]) * (1 - post[j] * post[j]);
        return;
    }
    const REAL *in = NAME(ft_u_at)(net, b, t, 1), *forget = NAME(ft_u_at)(net, b, t, 2);
    const REAL *out = NAME(ft_u_at)(net, b, t, 3);
    const REAL *before = t > 0 ? net->c + at - net->B * P : net->c0 ? net->c0 + b * P : net->c0;
    REAL *tanh_c = r->y;
    NAME(ft_keep)(tanh_c, net->c + at, P);
    NAME(ft_tanh_all)(P, tanh_c);
    for (int64_t j = 0; j < P; j++) {
        const REAL dh = r->dh[j], c = before ? before[j] : 0;
        const REAL dc = r->dc[j] + dh * out[j] * (1 - tanh_c[j] * tanh_c[j]);
        dy[j] = (r->dpost[j] + dc * in[j]) * (1 - post[j] * post[j]);
        dy[r->wide + j] = dc * post[j] * in[j] * (1 - in[j]);
        dy[2 * r->wide + j] = dc * c * forget[j] * (1 - forget[j]);
        dy[3 * r->wide + j] = dh * tanh_c[j] * out[j] * (1 - out[j]);
        r->dc[j] = dc * forget[j];
    }
    for (int64_t g = 0; g < 4; g++) NAME(ft_keep)(du + g * gate, dy + g * r->wide, P);
}

/* After the matrices of a pass: what the move of step t - 1 gives to its post, its gain and to eta. */
static void NAME(ft_back_move)(const NAME(ft_plastic) * net, const NAME(ft_plastic_back) * up,
                               const NAME(ft_room) * r) {
    const int64_t P = net->n_post, modulated = NAME(ft_modulated)(net);
    double deta = 0.0;
    for (int64_t j = 0; j < P; j++) {
        const REAL post = r->post[j];
        if (net->mode == FT_RETROACTIVE && j < modulated) {
            deta += (double)post * (double)r->dpost[j] - (double)r->dE_E[j];
            r->dpost[j] = net->eta * r->dpost[j];
            continue;
        }
        const REAL d = r->dgain[j]; /* of gain * post */
        r->dpost[j] = r->gain[j] * d;
        r->dgain[j] = net->soft == FT_DECAY ? post * d - r->dE_E[j] : post * d;
        if (j >= modulated) {
            deta += (double)r->dgain[j];
            r->dgain[j] = 0;
        }
    }
    up->sums[3 * P + 1] += deta;
}

/* Pass t: it takes Hebb_t, which lies at `at`, and with the matrices of step t - 1 that lie before it
 * goes through the move from there. */
static void NAME(ft_back_step)(const NAME(ft_plastic) * net, const NAME(ft_plastic_back) * up,
                               const NAME(ft_room) * r, int64_t b, int64_t t, const REAL *at) {
    const int64_t P = net->n_post, K = net->n_pre, T = net->T;
    const int retroactive = net->mode == FT_RETROACTIVE, move = net->mode != FT_NO_PLASTICITY && t > 0;
    if (t < T) {
        if (up->dh) {
            const REAL *dh = up->dh + (t * net->B + b) * P;
            for (int64_t j = 0; j < P; j++) r->dh[j] = r->dh[j] + dh[j];
        }
        NAME(ft_back_modulation)(net, up, r, b, t);
        NAME(ft_back_cell)(net, up, r, b, t);
        NAME(ft_keep)(r->pre, NAME(ft_pre_at)(net, b, t), K);
    } else {
        NAME(ft_fill)(r->dy, P, 0);
        NAME(ft_fill)(r->pre, K, 0);
    }
    /* dpre of t: what the move of t gave, and from here what y_t gives. */
    REAL *dpre = r->dpre;
    NAME(ft_keep)(dpre, r->dpre_old, r->wide);
    NAME(ft_fill)(r->dpre_old, r->wide, 0);
    if (move) {
        NAME(ft_keep)(r->pre_next, NAME(ft_pre_at)(net, b, t - 1), K);
        NAME(ft_keep)(r->post, NAME(ft_u_at)(net, b, t - 1, 0), P);
        NAME(ft_gain)(net, b, t - 1, r->gain);
    }
    const REAL *old = move ? at - (retroactive ? 2 : 1) * r->matrix : at;
    const NAME(ft_back) a = {P, r->n, r->W, r->al, at, old, old + (retroactive ? r->matrix : 0),
                             r->pre, r->pre_next, r->dy, r->post, r->gain, net->clip, net->eta,
                             r->dal, r->dhebb, retroactive ? r->dE : r->dhebb, dpre, r->dpre_old,
                             r->dgain, r->dpost, r->dE_E};
    NAME(ft_return_rows)(net, &a, move ? net->mode : FT_NO_PLASTICITY);
    if (move) NAME(ft_back_move)(net, up, r);
    if (t == T) return;
    if (net->cell == FT_LSTM)
        for (int64_t g = 1; g < 4; g++)
            NAME(ft_columns_times)
    (P, r->n, r->gates + (g - 1) * r->matrix, r->dy + g * r->wide, dpre);
    if (net->cell == FT_LAYER)
        NAME(ft_keep)(up->pre + (t * net->B + b) * K, dpre, K);
    else
        NAME(ft_keep)(r->dh, dpre, P);
    if (net->cell == FT_LAYER) NAME(ft_fill)(r->dh, P, 0);
}

/* Units [from, to) of element b, of 2 (T + 1): first the replays that leave checkpoints, then the passes.
 * The workspace keeps what the next ones need. */
static void NAME(ft_backward_one)(const NAME(ft_plastic) * net, const NAME(ft_plastic_back) * up,
                                  const NAME(ft_room) * r, int64_t b, int64_t spacing, int64_t from,
                                  int64_t to) {
    const int64_t P = net->n_post, K = net->n_pre, T = net->T, row = r->row;
    const int retroactive = net->mode == FT_RETROACTIVE, moves = net->mode != FT_NO_PLASTICITY;
    const int64_t both = retroactive ? 2 * r->matrix : r->matrix; /* Hebb and E of one step */
    /* Pass t takes Hebb_t and E_{t-1}; pass T is there for what the last state is told. */
    const int64_t passes = moves && (up->dhebb || up->dE) ? T + 1 : T;
    const int64_t length = spacing < passes ? spacing : passes;
    const int64_t last = (passes - 1) / length;
    REAL *checkpoints = r->checkpoints, *history = r->history;
    if (from == 0) {
        NAME(ft_spread_out)(r->dhebb, up->dhebb ? up->dhebb + b * P * K : up->dhebb, P, K, K, 1, row);
        if (retroactive)
            NAME(ft_spread_out)(r->dE, up->dE ? up->dE + b * P * K : up->dE, P, K, K, 1, row);
        NAME(ft_fill)(r->dal, r->matrix, 0);
        NAME(ft_fill)(r->dh, P, 0);
        NAME(ft_fill)(r->dpost, P, 0);
        NAME(ft_fill)(r->dgain, P, 0);
        NAME(ft_fill)(r->dpre_old, r->wide, 0);
        NAME(ft_keep)(r->dc, up->dc ? up->dc + b * P : up->dc, P);
        NAME(ft_plastic_begin)(net, r, b, r->hebb, r->E);
        if (moves) {
            NAME(ft_keep)(checkpoints, r->hebb, r->matrix);
            if (retroactive) NAME(ft_keep)(checkpoints + r->matrix, r->E, r->matrix);
            if (length == 1 && last > 0) NAME(ft_keep)(checkpoints + both, checkpoints, both);
        }
    }
    /* Passes [s length, (s + 1) length) start from checkpoint s: the step before them. */
    for (int64_t t = from; moves && t < to && t < last * length - 1; t++)
        NAME(ft_replay)
    (net, r, b, t, checkpoints + (t > 0 ? t / length + 1 : 0) * both,
     checkpoints + ((t + 1) / length + 1) * both);
    for (int64_t i = from > T + 1 ? from : T + 1; i < to && i < T + 1 + passes; i++) {
        const int64_t t = T + passes - i, s = t / length, base = s > 0 ? s * length - 1 : 0;
        if (moves && (t == passes - 1 || (t + 1) % length == 0)) {
            NAME(ft_keep)(history, checkpoints + s * both, both);
            for (int64_t k = base; k < t; k++)
                NAME(ft_replay)
            (net, r, b, k, history + (k - base) * both, history + (k + 1 - base) * both);
        }
        NAME(ft_back_step)(net, up, r, b, t, moves ? history + (t - base) * both : r->hebb);
    }
    if (to < 2 * (T + 1)) return;
    NAME(ft_draw_in)(up->hebb0 + b * P * K, r->dhebb, P, K, row);
    if (retroactive)
        NAME(ft_draw_in)(up->E0 + b * P * K, r->dE, P, K, row);
    else
        NAME(ft_keep)(up->E0 + b * P * K, up->dE ? up->dE + b * P * K : up->dE, P * K);
    if (net->cell != FT_LAYER) NAME(ft_keep)(up->h0 + b * P, r->dh, P);
    if (net->cell == FT_LSTM) NAME(ft_keep)(up->c0 + b * P, r->dc, P);
    for (int64_t i = 0; i < r->matrix; i++) r->dal_sum[i] = r->dal_sum[i] + r->dal[i];
}

int32_t NAME(ft_plastic_backward)(const NAME(ft_plastic) * net, const NAME(ft_plastic_back) * up,
                                  int64_t first, int64_t last, int64_t spacing, REAL *work) {
    const int64_t each = 2 * (net->T + 1), end = NAME(ft_end)(net, first, last, each);
    if (end < 0 || spacing < 1) return FT_EVALUE;
    NAME(ft_room) room;
    if (net->begin == 0) {
        NAME(ft_enter)(net, &room, spacing, work);
        NAME(ft_fill)(room.dal_sum, room.matrix, 0);
        NAME(ft_fill)(room.dpre, room.wide, 0);
        for (int64_t i = 0; i < 3 * net->n_post + 2; i++) up->sums[i] = 0.0;
    } else
        NAME(ft_lay)(&room, net, spacing, work);
    for (int64_t i = net->begin, b = first + i / each; i < end; b++) {
        const int64_t from = i % each, to = end - i < each - from ? from + end - i : each;
        NAME(ft_backward_one)(net, up, &room, b, spacing, from, to);
        i += to - from;
    }
    if (end == (last - first) * each)
        NAME(ft_draw_in)(up->al, room.dal_sum, net->n_post, net->n_pre, room.row);
    return FT_OK;
}

/* ---- one trace ---- */

FT_CLONES_32 void NAME(ft_hebbian_step)(int64_t n_post, int64_t n_pre, REAL *FT_RESTRICT hebb,
                                     REAL *FT_RESTRICT E, const REAL *FT_RESTRICT post,
                                     const REAL *FT_RESTRICT pre, const REAL *FT_RESTRICT gain,
                                     int32_t mode, int32_t soft, REAL eta, REAL clip) {
    const REAL keep = (REAL)1 - eta;
    for (int64_t j = 0; j < n_post; j++) {
        REAL *FT_RESTRICT h = hebb + j * n_pre, *FT_RESTRICT e = E + j * n_pre;
        const REAL drive = mode == FT_SIMPLE ? gain[j] * post[j] : eta * post[j];
        const REAL rate = mode == FT_PLASTIC ? eta : gain[j];
        for (int64_t k = 0; k < n_pre; k++) {
            REAL D = drive * pre[k];
            if (mode == FT_RETROACTIVE) {
                const REAL moved = keep * e[k] + D;
                D = gain[j] * e[k];
                e[k] = moved;
            }
            if (soft == FT_SOFT) D = D * (D < 0 ? 1 + h[k] / clip : 1 - h[k] / clip);
            if (soft == FT_DECAY) D = D - rate * h[k];
            const REAL next = h[k] + D;
            h[k] = next > clip ? clip : next < -clip ? -clip : next;
        }
    }
}

#undef VEC
#undef MASK
#undef SELECT
#undef SPREAD
#undef NEGATIVE
#undef INSIDE
#undef CLIP
#undef SIGN_OF
#undef SIZE_OF
