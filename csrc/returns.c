/* Returns of trajectories: the loops, compiled for each type and each level of the CPU, and the call. */
#include "returns.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(_WIN32) && \
    !defined(FT_NO_LEVELS)
#define FT_HAS_LEVELS 1
#include <immintrin.h>
#else
#define FT_HAS_LEVELS 0
#endif

#define FT_FAMILIES                                                                                    \
    FT_FAMILY(FT_LAMBDA)                                                                               \
    FT_FAMILY(FT_OFF_POLICY)                                                                           \
    FT_FAMILY(FT_ACTION)                                                                               \
    FT_FAMILY(FT_RETRACE_RETURN)                                                                       \
    FT_FAMILY(FT_Q_SIGMA_RETURN)                                                                       \
    FT_FAMILY(FT_GAE)                                                                                  \
    FT_FAMILY(FT_VTRACE)                                                                               \
    FT_FAMILY(FT_SUM)                                                                                  \
    FT_FAMILY(FT_UPGO)                                                                                 \
    FT_FAMILY(FT_VTRACE_PG)

#define FT_LEVEL 0
#define FT_L(name) FT_JOINED(name, _l0)
#include "returns_both.h"
#undef FT_LEVEL
#undef FT_L

/* Added to what the flags name, which may be a CPU that has more: what is compiled for that could not be
 * inlined where there is less. */
#if FT_HAS_LEVELS
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2,lzcnt,popcnt,f16c,movbe")
#include "returns_turn.h"
#define FT_LEVEL 1
#define FT_L(name) FT_JOINED(name, _l1)
#include "returns_both.h"
#undef FT_LEVEL
#undef FT_L
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2,lzcnt,popcnt,f16c,movbe,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")
#define FT_LEVEL 2
#define FT_L(name) FT_JOINED(name, _l2)
#include "returns_both.h"
#undef FT_LEVEL
#undef FT_L
#pragma GCC pop_options
#endif

typedef struct {
    int64_t width;
    ft_lanes_fn *const *lanes, *const *plain;
    void (*const *scan)(const ft_returns *, int64_t, int64_t, double);
    ft_lanes_fn *gae_lanes, *gae_each_lanes, *gae_full_lanes;
    void (*turned)(const ft_returns *, int64_t, ft_lanes_fn *);
    void (*gae_series)(const ft_returns *);
    double (*const *series)(const ft_returns *, int64_t, int64_t);
    void (*const *windows)(const ft_returns *, int64_t);
} ft_loops;

#define FT_LOOPS(type, level, width)                                                                   \
    {                                                                                                  \
        width, ft_lanes_of##type##level, ft_plain_of##type##level, ft_scan_of##type##level,            \
            ft_gae_lanes##type##level, ft_gae_each_lanes##type##level,                                 \
            ft_gae_full_lanes##type##level, ft_turned##type,                                           \
            ft_gae_series##type##level, ft_series_of##type##_l0, ft_windows_of##type##_l0              \
    }
#define FT_PLAIN_LOOPS(type)                                                                           \
    {                                                                                                  \
        1, ft_lanes_of##type##_l0, ft_plain_of##type##_l0, NULL, NULL, NULL, NULL, NULL, NULL,         \
            ft_series_of##type##_l0, ft_windows_of##type##_l0                                          \
    }

/* By level and type. */
static const ft_loops ft_all_loops[][2] = {
    {FT_PLAIN_LOOPS(_f32), FT_PLAIN_LOOPS(_f64)},
#if FT_HAS_LEVELS
    {FT_LOOPS(_f32, _l1, 4), FT_LOOPS(_f64, _l1, 4)},
    {FT_LOOPS(_f32, _l2, 8), FT_LOOPS(_f64, _l2, 8)},
#endif
};

int32_t ft_returns_level(void) {
#if FT_HAS_LEVELS
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) return 2;
    if (__builtin_cpu_supports("x86-64-v3")) return 1;
#endif
    return 0;
}

/* One gamma and one lambda, neither 0, and nothing is truncated or skipped. */
static int ft_is_plain(const ft_returns *p) {
    return p->gamma_kind == FT_ONE && p->lambda_kind == FT_ONE && p->gamma != 0.0 && p->lambda_ != 0.0 &&
           (p->terminations_only || !p->flags);
}

/* Which of the loops. */
static int64_t ft_loop(const ft_returns *p) {
    return p->family == FT_VTRACE && p->has_pg_rho_bar ? FT_VTRACE_PG : p->family;
}

/* The loop over trajectories side by side. */
static ft_lanes_fn *ft_lanes_for(const ft_returns *p, const ft_loops *l, int plain) {
    if (p->family == FT_GAE && l->gae_lanes) {
        if (!p->terminations_only && p->flags) return l->gae_full_lanes;
        return plain ? l->gae_lanes : l->gae_each_lanes;
    }
    return (plain ? l->plain : l->lanes)[ft_loop(p)];
}

/* gammas or lambdas can be turned. */
static int ft_is_alike(int64_t kind, int64_t f64) {
    return kind == FT_ONE || kind == FT_BY_STEP || kind == (f64 ? FT_EACH_F64 : FT_EACH_F32);
}

static void ft_time_major(const ft_returns *p, const ft_loops *l, const ft_loops *one, int plain) {
    const int64_t vectors = p->B / l->width * l->width;
    for (int64_t b = 0; b < p->B;) {
        const int64_t end = b < vectors ? vectors : p->B, n = end - b < FT_LANES ? end - b : FT_LANES;
        ft_lanes_for(p, b < vectors ? l : one, plain)(p, b, n);
        b += n;
    }
}

static void ft_batch_major(const ft_returns *p, const ft_loops *l, int plain) {
    if (l->turned && !p->carry && p->B >= FT_TURNED && p->T <= FT_TURNED_T && ft_is_alike(p->gamma_kind, p->f64) &&
        ft_is_alike(p->lambda_kind, p->f64)) {
        ft_lanes_fn *lanes = ft_lanes_for(p, l, plain);
        for (int64_t b = 0; b < p->B; b += FT_TURNED) /* the last may come twice */
            l->turned(p, b + FT_TURNED <= p->B ? b : p->B - FT_TURNED, lanes);
    } else if (plain && p->family == FT_GAE && l->gae_series) {
        l->gae_series(p);
    } else {
        const int64_t vectors = !l->scan ? 0 : p->open ? p->T : (p->T - 1) / l->width * l->width;
        for (int64_t b = 0; b < p->B; b++) {
            const double Y = l->series[ft_loop(p)](p, b, vectors);
            if (vectors) l->scan[ft_loop(p)](p, b, vectors, Y);
        }
    }
}

int32_t ft_returns_run_at(const ft_returns *p, int32_t level) {
    if (p->T < 0 || p->B < 0 || p->horizon < 0 || p->family < FT_LAMBDA || p->family > FT_UPGO ||
        level < 0 || level > ft_returns_level())
        return FT_EVALUE;
    if (p->open && !p->carry) return FT_EVALUE;
    if (p->carry && (p->horizon || (p->batch_major && (p->open ? p->T % 8 != 0 : p->T <= 8)))) return FT_EVALUE;
    const ft_loops *l = &ft_all_loops[level][p->f64 != 0], *one = &ft_all_loops[0][p->f64 != 0];
    const int plain = ft_is_plain(p);
    if (p->T == 0) return FT_OK;
    if (p->horizon && p->horizon < p->T) {
        for (int64_t b = 0; b < p->B; b++) l->windows[ft_loop(p)](p, b);
    } else if (p->batch_major) {
        ft_batch_major(p, l, plain);
    } else {
        ft_time_major(p, l, one, plain);
    }
    return FT_OK;
}

int32_t ft_returns_run(const ft_returns *p) { return ft_returns_run_at(p, ft_returns_level()); }
