/* The book's dense loops, twice from one text: in double, whose rounding is the yardstick, and in long
 * double, which stands for the exact result.  Off-policy, a discount and a lambda for every step. */
#include <float.h>
#include <stdint.h>

enum { ACCUMULATING, REPLACING, DUTCH, TRUE_ONLINE, MOST_FEATURES = 64 };

/* n <= MOST_FEATURES.  idx (T + 1, k), distinct in a row; the rest (T).  w_out (n) is written. */
#define DENSE_LOOP(name, real)                                                                      \
    void name(int32_t kind, int64_t n, int64_t T, int64_t k, const int32_t *idx,                    \
              const double *rewards, const double *gammas, const double *lambdas,                   \
              const double *rhos, double step_size, double *w_out) {                                \
        real w[MOST_FEATURES] = {0}, z[MOST_FEATURES] = {0}, decay = 0, v_old = 0;                  \
        const real alpha = step_size;                                                               \
        for (int64_t t = 0; t < T; t++) {                                                           \
            const int32_t *x = idx + t * k, *x_next = x + k;                                        \
            const real rho = rhos[t], gamma = gammas[t], lambda = lambdas[t];                       \
            real v = 0, v_next = 0, zx = 0;                                                         \
            for (int64_t i = 0; i < n; i++) z[i] *= rho * decay;                                    \
            for (int64_t j = 0; j < k; j++) v += w[x[j]];                                           \
            for (int64_t j = 0; j < k; j++) zx += z[x[j]];                                          \
            for (int64_t j = 0; j < k; j++) v_next += w[x_next[j]];                                 \
            const real delta = (real)rewards[t] + gamma * v_next - v;                               \
            const real dv = kind == TRUE_ONLINE && rho * decay != 0 ? v - v_old : 0;                \
            for (int64_t j = 0; j < k; j++)                                                         \
                if (kind == ACCUMULATING)                                                           \
                    z[x[j]] += rho;                                                                 \
                else if (kind == REPLACING)                                                         \
                    z[x[j]] = rho;                                                                  \
                else                                                                                \
                    z[x[j]] += rho * (1 - alpha * zx);                                              \
            for (int64_t i = 0; i < n; i++) w[i] += alpha * (delta + dv) * z[i];                    \
            for (int64_t j = 0; j < k; j++) w[x[j]] -= alpha * rho * dv;                            \
            v_old = v_next;                                                                         \
            decay = gamma * lambda;                                                                 \
        }                                                                                           \
        for (int64_t i = 0; i < n; i++) w_out[i] = (double)w[i];                                    \
    }

DENSE_LOOP(bench_dense_double, double)
DENSE_LOOP(bench_dense_long_double, long double)

/* Bits of a long double's mantissa: 53 where it is a double, and nothing can be measured. */
int32_t bench_long_double_bits(void) { return LDBL_MANT_DIG; }
