/* TD(0) for many predictions on one stream, in the layout that a horde has in C: eight predictions a chunk, a row
 * of 64 bytes a feature and chunk, chunk by chunk over blocks of steps.  No trace, no check, no epochs. */
#include <stdint.h>

/* idx (T + 1, k); rewards, deltas (T, m); gammas (T, m), or (m) where gamma_stride is 0; alphas (m);
 * w (m / 8, n, 8), aligned to 64 bytes.  m is a multiple of 8. */
#if defined(__GNUC__) && !defined(__clang__)
typedef double eight __attribute__((vector_size(64), aligned(64), may_alias));
typedef double anywhere __attribute__((vector_size(64), aligned(8), may_alias));

#define PARAMETERS \
    int64_t T, int64_t k, int64_t n, int64_t m, int64_t block, const int32_t *idx, const double *rewards, \
        const double *gammas, int64_t gamma_stride, const double *alphas, double *w, double *deltas

/* A function for each level: clones of one would have vectors as short as the lowest level's. */
#define TD0(name, target) \
    static target void name(PARAMETERS) {                                                                      \
        for (int64_t begin = 0; begin < T; begin += block) {                                                   \
            const int64_t end = begin + block < T ? begin + block : T;                                         \
            for (int64_t q = 0; q < m; q += 8) {                                                               \
                double *rows = w + q * n;                                                                      \
                const eight alpha = *(const anywhere *)(alphas + q);                                           \
                for (int64_t t = begin; t < end; t++) {                                                        \
                    const int32_t *x = idx + t * k, *y = x + k;                                                \
                    eight v = {0}, v_next = {0};                                                               \
                    if (t + 4 < end)                                                                           \
                        for (int64_t j = 0; j < k; j++) __builtin_prefetch(rows + 8 * (int64_t)y[3 * k + j]);  \
                    for (int64_t j = 0; j < k; j++) v += *(eight *)(rows + 8 * (int64_t)x[j]);                 \
                    for (int64_t j = 0; j < k; j++) v_next += *(eight *)(rows + 8 * (int64_t)y[j]);            \
                    const eight gamma = *(const anywhere *)(gammas + t * gamma_stride + q);                    \
                    const eight delta = *(const anywhere *)(rewards + t * m + q) + gamma * v_next - v;         \
                    *(anywhere *)(deltas + t * m + q) = delta;                                                 \
                    const eight change = alpha * delta;                                                        \
                    for (int64_t j = 0; j < k; j++) *(eight *)(rows + 8 * (int64_t)x[j]) += change;            \
                }                                                                                              \
            }                                                                                                  \
        }                                                                                                      \
    }

#if defined(__x86_64__) && defined(__linux__)
TD0(td0_v4, __attribute__((target("arch=x86-64-v4"))))
TD0(td0_v3, __attribute__((target("arch=x86-64-v3"))))
#endif
TD0(td0_plain, )

void bench_td0_horde(PARAMETERS) {
#if defined(__x86_64__) && defined(__linux__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) {
        td0_v4(T, k, n, m, block, idx, rewards, gammas, gamma_stride, alphas, w, deltas);
        return;
    }
    if (__builtin_cpu_supports("x86-64-v3")) {
        td0_v3(T, k, n, m, block, idx, rewards, gammas, gamma_stride, alphas, w, deltas);
        return;
    }
#endif
    td0_plain(T, k, n, m, block, idx, rewards, gammas, gamma_stride, alphas, w, deltas);
}
#else
void bench_td0_horde(int64_t T, int64_t k, int64_t n, int64_t m, int64_t block, const int32_t *idx,
                     const double *rewards, const double *gammas, int64_t gamma_stride, const double *alphas,
                     double *w, double *deltas) {
    for (int64_t q = 0; q < m; q++)
        for (int64_t t = 0; t < T; t++) {
            const int32_t *x = idx + t * k, *y = x + k;
            double *rows = w + q / 8 * 8 * n + q % 8, v = 0.0, v_next = 0.0;
            for (int64_t j = 0; j < k; j++) v += rows[8 * (int64_t)x[j]];
            for (int64_t j = 0; j < k; j++) v_next += rows[8 * (int64_t)y[j]];
            const double delta = rewards[t * m + q] + gammas[t * gamma_stride + q] * v_next - v;
            deltas[t * m + q] = delta;
            for (int64_t j = 0; j < k; j++) rows[8 * (int64_t)x[j]] += alphas[q] * delta;
        }
    (void)block;
}
#endif
