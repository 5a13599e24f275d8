/* What the kernels are measured against: TD(0) without a trace or a check, and a call that does nothing. */
#include <stdint.h>

#ifdef __GNUC__
#define PREFETCH(p) __builtin_prefetch(p)
#else
#define PREFETCH(p) ((void)(p))
#endif

/* Two gathers and a scatter a step; `ahead` steps before, if not 0, weights are asked for.
 * idx (T + 1, k); deltas (T) are written. */
static inline void td0(int64_t T, int64_t k, const int32_t *restrict idx, const double *restrict rewards,
                       double gamma, double alpha, double *restrict w, double *restrict deltas, int64_t ahead) {
    for (int64_t t = 0; t < T; t++) {
        const int32_t *x = idx + t * k, *x_next = x + k;
        double v = 0.0, v_next = 0.0;
        if (ahead && t + 1 + ahead <= T)
            for (int64_t j = 0; j < k; j++) PREFETCH(w + x_next[ahead * k + j]);
        for (int64_t j = 0; j < k; j++) v += w[x[j]];
        for (int64_t j = 0; j < k; j++) v_next += w[x_next[j]];
        const double delta = rewards[t] + gamma * v_next - v;
        deltas[t] = delta;
        const double a = alpha * delta;
        for (int64_t j = 0; j < k; j++) w[x[j]] += a;
    }
}

void bench_td0(int64_t T, int64_t k, const int32_t *idx, const double *rewards, double gamma, double alpha,
               double *w, double *deltas) {
    td0(T, k, idx, rewards, gamma, alpha, w, deltas, 0);
}

void bench_td0_ahead(int64_t T, int64_t k, const int32_t *idx, const double *rewards, double gamma,
                     double alpha, double *w, double *deltas) {
    td0(T, k, idx, rewards, gamma, alpha, w, deltas, 6);
}

void bench_empty(void) {}
