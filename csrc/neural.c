/* Networks that learn by traces: neural.h, compiled for float and for double. */
#include "policy.h"
#include "tanh.h"
#include <float.h>

#define FT_NORM_EPSILON 1e-8  /* beside a running variance */
#define FT_LAYER_EPSILON 1e-5 /* beside the variance of a layer */
#define FT_LEAK 0.01

/* Numbers of the parameters that stay in the cache while the rows of Z go by. */
#define FT_BLOCK 2048

#if FT_VECTORS && defined(__x86_64__)
#include <emmintrin.h>
#endif

int64_t ft_mlp_room(int64_t n_layers, const int64_t *sizes, int64_t n_traces) {
    int64_t width = 0, widest = sizes[0];
    for (int64_t l = 1; l <= n_layers; l++) {
        width += sizes[l];
        if (sizes[l] > widest) widest = sizes[l];
    }
    return sizes[0] + (3 + n_traces) * width + n_layers + widest;
}

/* One number more for running mean and sum of squared differences (Welford); whether they stay finite. */
FT_INLINE int ft_average(double count, double *mean, double *p, double x) {
    const double before = x - *mean;
    *mean += before / count;
    *p += before * (x - *mean);
    return *p < HUGE_VAL;
}

/* Divides by the standard deviation, of which little is known from one number. */
FT_INLINE double ft_scale(double x, double count, double p) {
    return x / sqrt((count < 2.0 ? 1.0 : p / (count - 1.0)) + FT_NORM_EPSILON);
}

/* What the stream keeps between its steps, laid over stream->kept. */
typedef struct {
    double *count, *discounted, *reward_count, *reward_mean, *reward_p;
    double *mean, *p, *raw, *now, *next, *held;
    int64_t size;
} ft_statistics;

FT_INLINE ft_statistics ft_lay_kept(double *at, int64_t n) {
    ft_statistics k;
    k.held = at;
    k.count = at + 1;
    k.discounted = at + 2;
    k.reward_count = at + 3;
    k.reward_mean = at + 4;
    k.reward_p = at + 5;
    k.mean = at + 6;
    k.p = k.mean + n;
    k.raw = k.p + n;
    k.now = k.raw + n;
    k.next = k.now + n;
    k.size = ft_network_kept(n) / 2;
    return k;
}

int64_t ft_network_kept(int64_t n_inputs) { return 2 * (6 + 5 * n_inputs); }

/* A state comes in: into the statistics, then scaled, into k->next.  Whether all stays finite. */
static int ft_observe(const ft_statistics *k, int64_t n, const double *x, int64_t normalise) {
    int fine = 1;
    for (int64_t i = 0; i < n; i++) {
        k->raw[i] = x[i];
        k->next[i] = x[i];
    }
    if (!normalise) return 1;
    *k->count += 1.0;
    for (int64_t i = 0; i < n; i++) {
        fine &= ft_average(*k->count, k->mean + i, k->p + i, x[i]);
        k->next[i] = ft_scale(x[i] - k->mean[i], *k->count, k->p[i]);
    }
    return fine;
}

/* A reward by the standard deviation of the discounted sum of rewards. */
static int ft_reward(const ft_statistics *k, double *reward, double gamma) {
    *k->discounted = (gamma == 0.0 ? 0.0 : *k->discounted * gamma) + *reward;
    *k->reward_count += 1.0;
    const int fine = ft_average(*k->reward_count, k->reward_mean, k->reward_p, *k->discounted);
    *reward = ft_scale(*reward, *k->reward_count, *k->reward_p);
    return fine;
}

FT_INLINE int ft_is_kept(const ft_statistics *k, int64_t n, const double *x) {
    int same = *k->held != 0.0;
    for (int64_t i = 0; same && i < n; i++) same = k->raw[i] == x[i];
    return same;
}

/* The state that has come in is the one that the stream is in. */
static void ft_move_on(const ft_statistics *k, int64_t n, int there) {
    if (there) memcpy(k->now, k->next, (size_t)n * sizeof(double));
    *k->held = there;
}

int64_t ft_network_prepare(double *kept, int64_t n, int64_t T, int64_t ends, int64_t normalise, int64_t scale,
                           const double *states, const double *rewards, const double *gammas, double *inputs,
                           double *scaled) {
    const ft_statistics k = ft_lay_kept(kept, n);
    const size_t bytes = (size_t)k.size * sizeof(double);
    for (int64_t t = -1; t < T; t++) {
        const int there = !(ends && t == T - 1);
        int fine = 1;
        memcpy(kept + k.size, kept, bytes);
        if (t >= 0) {
            scaled[t] = rewards[t];
            if (scale) fine = ft_reward(&k, scaled + t, gammas[t]);
        } else if (ft_is_kept(&k, n, states)) {
            memcpy(inputs, k.now, (size_t)n * sizeof(double));
            continue;
        }
        if (fine && there) fine = ft_observe(&k, n, states + (t + 1) * n, normalise);
        if (!fine) {
            memcpy(kept, kept + k.size, bytes);
            return t;
        }
        ft_move_on(&k, n, there);
        if (there) memcpy(inputs + (t + 1) * n, k.now, (size_t)n * sizeof(double));
    }
    return T;
}

/* dy: gradient of ln pi(action) + entropy H(pi), pi the softmax of y; the n of y, in place. */
static void ft_softmax_gradient(double *y, int64_t n, int64_t action, double entropy) {
    const double best = ft_max(y, n), total = ft_partition(y, n, best, 1.0), log_total = log(total);
    double H = 0.0;
    for (int64_t a = 0; a < n; a++) {
        const double log_pi = (y[a] - best) - log_total;
        H -= exp(log_pi) * log_pi;
    }
    for (int64_t a = 0; a < n; a++) {
        const double log_pi = (y[a] - best) - log_total, pi = exp(log_pi);
        y[a] = ((a == action ? 1.0 : 0.0) - pi) - entropy * (pi * (log_pi + H));
    }
}

/* The same of normal distributions, y = (means, what a softplus makes deviations of), each k. */
static void ft_normal_gradient(double *y, int64_t k, const double *action, double entropy) {
    for (int64_t i = 0; i < k; i++) {
        const double raw = y[k + i], rest = exp(-fabs(raw));
        const double sigma = (raw > 0.0 ? raw : 0.0) + log1p(rest);
        const double slope = (raw > 0.0 ? 1.0 : rest) / (1.0 + rest);
        const double off = (action[i] - y[i]) / sigma;
        y[i] = off / sigma;
        y[k + i] = ((off * off - 1.0) + entropy) / sigma * slope;
    }
}

/* Whether each action must be judged greedy or not, also at the first state of an episode. */
FT_INLINE int ft_judges(const ft_network_stream *s) {
    return s->method == FT_NETWORK_Q && s->cut == FT_CUT_TAKEN;
}

FT_INLINE float ft_root_f32(float x) { return sqrtf(x); }
FT_INLINE double ft_root_f64(double x) { return sqrt(x); }

#define REAL float
#define INTEGER int32_t
#define LARGEST INT32_MAX
#define REAL_MAX FLT_MAX
#if FT_VECTORS
#define LANES 8
#else
#define LANES 1
#endif
#define NAME(x) x##_f32
#if FT_VECTORS && defined(__x86_64__)
#define ROOTS(half) _mm_sqrt_ps((__m128)(half))
#endif
#include "neural.h"
#undef REAL
#undef INTEGER
#undef LARGEST
#undef REAL_MAX
#undef LANES
#undef NAME

#define REAL double
#define INTEGER int64_t
#define LARGEST INT64_MAX
#define REAL_MAX DBL_MAX
#if FT_VECTORS
#define LANES 4
#else
#define LANES 1
#endif
#define NAME(x) x##_f64
#if FT_VECTORS && defined(__x86_64__)
#define ROOTS(half) _mm_sqrt_pd((__m128d)(half))
#endif
#include "neural.h"
