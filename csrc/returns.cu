/* Returns of trajectories on a GPU: the transitions of returns_vector.h, and three ways through them.
 *
 *   columns  a thread a trajectory, from its end on: what the loops in plain C do, to the bit
 *   tiles    a block composes what FT_DEEP transitions of each thread hand on, a + c Y, by a scan over its
 *            threads, and goes on with the tile before; where trajectories are few, each is cut into
 *            segments, whose sums are found first: then every block knows what its own goes on with
 *   windows  a horizon: a thread a piece that meets another at a multiple of it, as in C, to the bit
 *
 * FT_REAL is the arrays' type and FT_FAMILY the family.  Compiled by fasttrace/backends/cuda, and for the CPU by
 * tests/cuda_twin.cpp. */
#include "returns.h"
#define FT_LEVEL 0
#define FT_L(name) FT_JOINED(name, _l0)
#include "returns_vector.h"

enum { FT_THREADS = 256, FT_FEW = 128, FT_DEEP = 8 }; /* threads of a block; a thread's transitions */

/* Entry (t, b) of an array; where there is none, a number for all. */
typedef struct {
    const void *at;
    int64_t t, b;
    double number;
} ft_strided;

/* As ft_returns, but for layout and flags: see fasttrace/backends/cuda/returns.py, which fills it in.
 *
 *   values, nexts  row t is of S_t.  last: of S_T
 *   across         tiles: trajectories of a block, a power of 2
 *   tiles          tiles of a segment; the segments are no more than FT_THREADS / across
 *   work           tiles: (segments, B, 2); windows: (T rounded up to whole horizons, B) */
typedef struct {
    int64_t T, B, horizon, across, tiles, gammas_f64, lambdas_f64;
    double rho_bar, c_bar, pg_rho_bar;
    double *work;
    ft_strided rewards, values, nexts, last, next_values, rhos, pi, sigmas, q, gammas, lambdas;
    ft_strided terminated, truncated, mask, out, second;
} ft_problem;

FT_INLINE double ft_entry(const ft_strided *a, int64_t t, int64_t b) {
    return (double)((const FT_REAL *)a->at)[t * a->t + b * a->b];
}

FT_INLINE double ft_number(const ft_strided *a, int64_t t, int64_t b) {
    return a->at ? ft_entry(a, t, b) : a->number;
}

FT_INLINE double ft_rate(const ft_strided *a, int64_t f64, int64_t t, int64_t b) {
    if (!a->at) return a->number;
    const int64_t place = t * a->t + b * a->b;
    return f64 ? ((const double *)a->at)[place] : (double)((const float *)a->at)[place];
}

FT_INLINE int ft_flag(const ft_strided *a, int64_t t, int64_t b) {
    return a->at && ((const uint8_t *)a->at)[t * a->t + b * a->b] != 0;
}

FT_INLINE int ft_skipped(const ft_problem *p, int64_t t, int64_t b) {
    return p->mask.at && !ft_flag(&p->mask, t, b);
}

FT_INLINE double ft_value_at(const ft_problem *p, int64_t t, int64_t b) {
    return t < p->T ? ft_entry(&p->nexts, t, b) : ft_number(&p->last, 0, b);
}

/* What a return that stops before S_t goes on with: the value of the state after its last transition that is not
 * skipped, which is looked for from S_low on. */
FT_INLINE double ft_end_at(const ft_problem *p, int64_t low, int64_t t, int64_t b) {
    if (FT_FAMILY == FT_SUM && t == p->T) return ft_number(&p->last, 0, b);
    if (!ft_has_ends(FT_FAMILY)) return 0.0;
    while (t > low && ft_skipped(p, t - 1, b)) t--;
    return ft_value_at(p, t, b);
}

/* What decides of upgo's return from S_t, v of it: q, and in a skipped slot what the next transition has. */
FT_INLINE double ft_q_at(const ft_problem *p, int64_t t, int64_t b, double v) {
    if (t == p->T) return v;
    if (!ft_skipped(p, t, b)) return ft_entry(&p->q, t, b);
    while (t < p->T && ft_skipped(p, t, b)) t++;
    if (t == p->T) return v;
    const double q = ft_entry(&p->q, t, b), there = ft_entry(&p->nexts, t, b);
    return q >= there ? (double)HUGE_VAL : q < there ? -(double)HUGE_VAL : (double)NAN;
}

FT_INLINE ft_step_l0 ft_step_here(const ft_problem *p, int64_t t, int64_t b) {
    ft_transition_l0 x;
    ft_returns bars; /* nothing else of it is read */
    bars.rho_bar = p->rho_bar;
    bars.c_bar = p->c_bar;
    bars.pg_rho_bar = p->pg_rho_bar;
    x.reward = ft_entry(&p->rewards, t, b);
    x.v = ft_has_v(FT_FAMILY) ? ft_entry(&p->values, t, b) : x.reward;
    x.v_next = FT_FAMILY == FT_SUM ? x.reward : ft_value_at(p, t + 1, b);
    x.v_cut = p->next_values.at ? ft_entry(&p->next_values, t, b) : x.v_next;
    x.rho = ft_has_rho(FT_FAMILY) ? ft_number(&p->rhos, t, b) : x.reward;
    x.pi = FT_FAMILY == FT_Q_SIGMA_RETURN ? ft_number(&p->pi, t, b) : x.reward;
    x.sigma = FT_FAMILY == FT_Q_SIGMA_RETURN ? ft_number(&p->sigmas, t, b) : x.reward;
    x.gamma = ft_rate(&p->gammas, p->gammas_f64, t, b);
    x.lambda = ft_rate(&p->lambdas, p->lambdas_f64, t, b);
    x.terminated = ft_flag(&p->terminated, t, b);
    x.truncated = ft_flag(&p->truncated, t, b);
    x.skipped = ft_skipped(p, t, b);
    x.q_next = FT_FAMILY == FT_UPGO && !x.skipped ? ft_q_at(p, t + 1, b, x.v_next) : x.v_next;
    return ft_step_of_l0(FT_FAMILY, 1, &x, &bars);
}

/* Transitions end - 1, end - 2, ..., the latest first.  What lies before `low` hands on what it is handed. */
FT_INLINE void ft_steps(const ft_problem *p, int64_t low, int64_t end, int64_t b, ft_step_l0 *s) {
#pragma unroll
    for (int k = 0; k < FT_DEEP; k++) {
        const int64_t t = end - 1 - k; /* all are read at once: nothing waits for a comparison */
        s[k] = ft_step_here(p, t > 0 ? t : 0, b);
        s[k].a = t < low ? 0.0 : s[k].a;
        s[k].c = t < low ? 1.0 : s[k].c;
    }
}

FT_INLINE void ft_put(const ft_problem *p, const ft_step_l0 *s, double Y, int64_t t, int64_t b) {
    ((FT_REAL *)p->out.at)[t * p->out.t + b * p->out.b] = (FT_REAL)ft_onto_l0(s->out_a, s->out_c, Y);
    if (ft_has_second(FT_FAMILY))
        ((FT_REAL *)p->second.at)[t * p->second.t + b * p->second.b] =
            (FT_REAL)ft_onto_l0(s->second_a, s->second_c, Y);
}

/* Writes the results from `low` on, and returns what the first of these transitions hands on. */
FT_INLINE double ft_put_all(const ft_problem *p, const ft_step_l0 *s, double Y, int64_t low, int64_t end,
                            int64_t b, int inside) {
#pragma unroll
    for (int k = 0; k < FT_DEEP; k++) {
        if (inside && end - 1 - k >= low) ft_put(p, s + k, Y, end - 1 - k, b);
        Y = ft_onto_l0(s[k].a, s[k].c, Y);
    }
    return Y;
}

extern "C" __global__ void __launch_bounds__(FT_FEW) columns(const ft_problem p) {
    const int64_t b = (int64_t)blockIdx.x * FT_FEW + threadIdx.x;
    if (b >= p.B) return;
    double Y = ft_end_at(&p, 0, p.T, b);
    for (int64_t end = p.T; end > 0; end -= FT_DEEP) {
        ft_step_l0 s[FT_DEEP];
        ft_steps(&p, 0, end, b, s);
        Y = ft_put_all(&p, s, Y, 0, end, b, 1);
    }
}

/* ---- tiles ---- */

/* What is handed on, a + c Y of the Y behind. */
typedef struct {
    double a, c;
} ft_map;

FT_INLINE ft_map ft_map_of(double a, double c) {
    ft_map m;
    m.a = a;
    m.c = c;
    return m;
}

/* `m` of what `later` hands on.  A product that is too small for a double stays above 0, which would rule out a
 * NaN, and one that is too large stays below infinity, which would make NaN of 0. */
FT_INLINE ft_map ft_after(ft_map m, ft_map later) {
    const double least = 4.9406564584124654e-324, most = 1.7976931348623157e308;
    double c = ft_weighed_l0(m.c, later.c);
    if (c == 0.0 && m.c != 0.0 && later.c != 0.0) c = least;
    if (c > most && !(m.c > most) && !(later.c > most)) c = most;
    return ft_map_of(ft_onto_l0(m.a, m.c, later.a), c);
}

typedef struct {
    ft_map before, all; /* of the threads before this one, which have the later transitions; of all of them */
} ft_scanned;

/* Over the threads of a column, which are `across` apart.  Every thread of the block has to be here. */
FT_INLINE ft_scanned ft_scan_block(ft_map m, int across) {
    __shared__ ft_map shared[FT_THREADS];
    const int i = (int)threadIdx.x;
    const ft_map same = ft_map_of(0.0, 1.0);
    ft_scanned s;
    for (int by = across; by < FT_THREADS; by *= 2) {
        shared[i] = m;
        __syncthreads();
        const ft_map later = i >= by ? shared[i - by] : same;
        __syncthreads();
        m = ft_after(m, later);
    }
    shared[i] = m;
    __syncthreads();
    s.before = i >= across ? shared[i - across] : same;
    s.all = shared[FT_THREADS - across + i % across];
    __syncthreads();
    return s;
}

/* Where a thread is: column b, and transitions from low to high of its segment, `height` in a tile. */
typedef struct {
    int across, row, inside;
    int64_t b, low, high, height;
} ft_spot;

FT_INLINE ft_spot ft_spot_of(const ft_problem *p) {
    ft_spot s;
    s.across = (int)p->across;
    s.row = (int)threadIdx.x / s.across;
    s.b = (int64_t)blockIdx.x * s.across + (int)threadIdx.x % s.across;
    s.inside = s.b < p->B;
    s.b = s.inside ? s.b : p->B - 1;
    s.height = FT_THREADS / s.across * FT_DEEP;
    s.high = p->T - (int64_t)blockIdx.y * p->tiles * s.height; /* the latest segment is the first */
    s.low = s.high - p->tiles * s.height;
    s.low = s.low > 0 ? s.low : 0;
    return s;
}

/* The steps of this thread in the tile that ends at `end`, and what all of the tile hand on. */
FT_INLINE ft_scanned ft_tile(const ft_problem *p, const ft_spot *at, int64_t end, ft_step_l0 *s) {
    ft_map m = ft_map_of(0.0, 1.0);
    ft_steps(p, at->low, end - at->row * FT_DEEP, at->b, s);
#pragma unroll
    for (int k = 0; k < FT_DEEP; k++) m = ft_after(ft_map_of(s[k].a, s[k].c), m);
    return ft_scan_block(m, at->across);
}

/* What each segment hands on. */
extern "C" __global__ void __launch_bounds__(FT_THREADS) segments(const ft_problem p) {
    const ft_spot at = ft_spot_of(&p);
    ft_map all = ft_map_of(0.0, 1.0);
    for (int64_t end = at.high; end > at.low; end -= at.height) {
        ft_step_l0 s[FT_DEEP];
        all = ft_after(ft_tile(&p, &at, end, s).all, all);
    }
    if (at.inside && at.row == 0) {
        double *const sums = p.work + 2 * (blockIdx.y * p.B + at.b);
        sums[0] = all.a;
        sums[1] = all.c;
    }
}

/* What the segments behind this one hand on to it: a thread looks at one, and has as many in its column. */
FT_INLINE ft_map ft_behind(const ft_problem *p, const ft_spot *at) {
    ft_map m = ft_map_of(0.0, 1.0);
    if (at->row < (int)blockIdx.y) {
        const double *const sums = p->work + 2 * (at->row * p->B + at->b);
        m = ft_map_of(sums[0], sums[1]);
    }
    return ft_scan_block(m, at->across).all;
}

extern "C" __global__ void __launch_bounds__(FT_THREADS) tiles(const ft_problem p) {
    const ft_spot at = ft_spot_of(&p);
    double Y = ft_end_at(&p, 0, p.T, at.b);
    if (blockIdx.y) {
        const ft_map behind = ft_behind(&p, &at);
        Y = ft_onto_l0(behind.a, behind.c, Y);
    }
    for (int64_t end = at.high; end > at.low; end -= at.height) {
        ft_step_l0 s[FT_DEEP];
        const ft_scanned tile = ft_tile(&p, &at, end, s);
        const double here = ft_onto_l0(tile.before.a, tile.before.c, Y);
        ft_put_all(&p, s, here, at.low, end - at.row * FT_DEEP, at.b, at.inside);
        Y = ft_onto_l0(tile.all.a, tile.all.c, Y);
    }
}

/* ---- windows ---- */

extern "C" __global__ void __launch_bounds__(FT_FEW) windows(const ft_problem p) {
    const int64_t T = p.T, h = p.horizon, i = (int64_t)blockIdx.x * FT_FEW + threadIdx.x;
    const int64_t b = i % p.B, low = i / p.B * h, mid = low + h < T ? low + h : T;
    if (low >= T) return;
    double *const ends = p.work + low * p.B + b; /* [e - mid]: Y of [mid, e) */
    double a = 0.0, c = 1.0;
    for (int64_t e = mid; e <= T && e < mid + h; e++) {
        ends[(e - mid) * p.B] = ft_onto_l0(a, c, ft_end_at(&p, e - h > 0 ? e - h : 0, e, b));
        if (e == T) break;
        const ft_step_l0 s = ft_step_here(&p, e, b);
        a = ft_onto_l0(a, c, s.a);
        c = ft_weighed_l0(c, s.c);
    }
    a = 0.0;
    c = 1.0;
    for (int64_t t = mid - 1; t >= low; t--) {
        const ft_step_l0 s = ft_step_here(&p, t, b);
        ft_put(&p, &s, ft_onto_l0(a, c, ends[((t + h < T ? t + h : T) - mid) * p.B]), t, b);
        a = ft_onto_l0(s.a, s.c, a);
        c = ft_weighed_l0(s.c, c);
    }
}
