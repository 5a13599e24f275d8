/* Returns of trajectories: the loops for float and for double, and the call. */
#include "returns.h"

/* Both sides of a choice are computed, so that loops over flags run in vectors. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-trapping-math")
#endif

#define FT_LANES 512
#define FT_SPAN 512
#define FT_PAD 16 /* what a window may reach beyond a span */

static const uint8_t ft_no_flags[FT_LANES];

FT_INLINE int64_t ft_place(const ft_returns *p, int64_t t, int64_t b, int64_t stride) {
    return p->batch_major ? b * stride + t : t * stride + b;
}

/* gamma or lambda of n entries: of one step, or of n of them where `along` is 1; one for all stands
 * there already. */
FT_CLONES static void ft_fill_rates(int64_t kind, const void *rates, int64_t t, int along, int64_t place, int64_t n,
                                    double *FT_RESTRICT out) {
    const double *steps = (const double *)rates + t;
    const float *f32 = (const float *)rates + place;
    const double *f64 = (const double *)rates + place;
    if (kind == FT_BY_STEP)
        for (int64_t i = 0; i < n; i++) out[i] = steps[along ? i : 0];
    else if (kind == FT_EACH_F32)
        for (int64_t i = 0; i < n; i++) out[i] = f32[i];
    else if (kind == FT_EACH_F64)
        for (int64_t i = 0; i < n; i++) out[i] = f64[i];
}

FT_INLINE void ft_rates(int64_t kind, const void *rates, int64_t t, int along, int64_t place, int64_t n,
                        double *FT_RESTRICT out) {
    if (kind != FT_ONE) ft_fill_rates(kind, rates, t, along, place, n, out);
}

/* As wide as a double, for loops over both. */
FT_CLONES static void ft_fill_flags(const uint8_t *FT_RESTRICT flags, int64_t n, int64_t *FT_RESTRICT out) {
    for (int64_t i = 0; i < n; i++) out[i] = flags[i];
}

/* a_i <- X_i = a_i + c_i X_{i+1} for i < n, X_n = Y.  c is used up.
 * Y stands behind the rest as a last entry; zeros behind it end every window. */
FT_CLONES static void ft_solve(double *FT_RESTRICT a, double *FT_RESTRICT c, int64_t n, double Y) {
    a[n] = Y;
    c[n] = 0.0;
    for (int64_t i = n + 1; i < n + FT_PAD; i++) a[i] = c[i] = 0.0;
    const int64_t m = (n + 8) & ~(int64_t)7; /* a[n] is among them */
    for (int64_t i = 0; i < m; i++) {
        a[i] += ft_weighed(c[i], a[i + 1]);
        c[i] = ft_weighed(c[i], c[i + 1]);
    }
    for (int64_t i = 0; i < m; i++) {
        a[i] += ft_weighed(c[i], a[i + 2]);
        c[i] = ft_weighed(c[i], c[i + 2]);
    }
    for (int64_t i = 0; i < m; i++) {
        a[i] += ft_weighed(c[i], a[i + 4]);
        c[i] = ft_weighed(c[i], c[i + 4]);
    }
    for (int64_t k = m - 8; k >= 0; k -= 8)
        for (int64_t i = k; i < k + 8; i++) a[i] += ft_weighed(c[i], a[i + 8]);
}

#define FT_FAMILIES                                                                                    \
    FT_FAMILY(FT_LAMBDA)                                                                               \
    FT_FAMILY(FT_OFF_POLICY)                                                                           \
    FT_FAMILY(FT_ACTION)                                                                               \
    FT_FAMILY(FT_RETRACE)                                                                              \
    FT_FAMILY(FT_Q_SIGMA)                                                                              \
    FT_FAMILY(FT_GAE)                                                                                  \
    FT_FAMILY(FT_VTRACE)                                                                               \
    FT_FAMILY(FT_SUM)                                                                                  \
    FT_FAMILY(FT_UPGO)

#define FT_REAL float
#define FT_OF(name) name##_f32
#include "returns_loops.h"
#undef FT_REAL
#undef FT_OF
#define FT_REAL double
#define FT_OF(name) name##_f64
#include "returns_loops.h"

int32_t ft_returns_run(const ft_returns *p) {
    if (p->T < 0 || p->B < 0 || p->horizon < 0 || p->family < FT_LAMBDA || p->family > FT_UPGO)
        return FT_EVALUE;
    return p->f64 ? ft_run_f64(p) : ft_run_f32(p);
}
