/* TD(0) for many predictions on one stream, in the layout that a horde has in C: eight predictions a chunk, a row
 * of 64 bytes a feature and chunk, chunk by chunk over blocks of steps.  No trace, no check, no epochs. */
#include <stdint.h>

#if defined(__GNUC__)
#define PREFETCH(p) __builtin_prefetch(p)
#else
#define PREFETCH(p) ((void)(p))
#endif

/* idx (T + 1, k); rewards, deltas (T, m); gammas (T, m), or (m) where gamma_stride is 0; alphas (m);
 * w (m / 8, n, 8), aligned to 64 bytes.  m is a multiple of 8.  ahead: whether rewards and deltas, which are m
 * apart from step to step, are asked for before. */
#define PARAMETERS                                                                                             \
    int64_t T, int64_t k, int64_t n, int64_t m, int64_t block, const int32_t *idx, const double *rewards,      \
        const double *gammas, int64_t gamma_stride, const double *alphas, double *w, double *deltas, \
        int64_t ahead
#define ARGUMENTS T, k, n, m, block, idx, rewards, gammas, gamma_stride, alphas, w, deltas, ahead

/* A function for each level of the CPU, in `parts` vectors of its width: clones of one function would all have
 * the lowest level's.  FROM and INTO are of memory that is aligned to 8 bytes. */
#define TD0(name, target, part, parts, FROM, INTO)                                                             \
    static target void name(PARAMETERS) {                                                                      \
        enum { LANES = 8 / parts };                                                                            \
        for (int64_t begin = 0; begin < T; begin += block) {                                                   \
            const int64_t end = begin + block < T ? begin + block : T;                                         \
            for (int64_t q = 0; q < m; q += 8) {                                                               \
                double *rows = w + q * n;                                                                      \
                for (int64_t t = begin; t < end; t++) {                                                        \
                    const int32_t *x = idx + t * k, *y = x + k;                                                \
                    const int64_t far = (t + 12) * m + q;                                                      \
                    part v[parts], v_next[parts];                                                              \
                    for (int i = 0; i < parts; i++) v[i] = v_next[i] = (part){0};                              \
                    if (ahead && t + 12 < end) {                                                               \
                        PREFETCH(rewards + far);                                                               \
                        PREFETCH(rewards + far + 7);                                                           \
                        PREFETCH(deltas + far);                                                                \
                        PREFETCH(deltas + far + 7);                                                            \
                    }                                                                                          \
                    if (t + 4 < end)                                                                           \
                        for (int64_t j = 0; j < k; j++) PREFETCH(rows + 8 * (int64_t)y[3 * k + j]);            \
                    for (int64_t j = 0; j < k; j++)                                                            \
                        for (int i = 0; i < parts; i++) v[i] += FROM(part, rows + 8 * (int64_t)x[j] + LANES * i); \
                    for (int64_t j = 0; j < k; j++)                                                            \
                        for (int i = 0; i < parts; i++)                                                        \
                            v_next[i] += FROM(part, rows + 8 * (int64_t)y[j] + LANES * i);                     \
                    for (int i = 0; i < parts; i++) {                                                          \
                        const int64_t at = q + LANES * i;                                                      \
                        const part gamma = FROM(part, gammas + t * gamma_stride + at);                         \
                        const part delta = FROM(part, rewards + t * m + at) + gamma * v_next[i] - v[i];        \
                        INTO(part, deltas + t * m + at, delta);                                                \
                        v[i] = FROM(part, alphas + at) * delta;                                                \
                    }                                                                                          \
                    for (int64_t j = 0; j < k; j++)                                                            \
                        for (int i = 0; i < parts; i++) {                                                      \
                            double *row = rows + 8 * (int64_t)x[j] + LANES * i;                                \
                            INTO(part, row, FROM(part, row) + v[i]);                                           \
                        }                                                                                      \
                }                                                                                              \
            }                                                                                                  \
        }                                                                                                      \
    }

#define VECTOR_FROM(part, p) (*(const part *)(p))
#define VECTOR_INTO(part, p, x) (*(part *)(p) = (x))
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__)
typedef double eight __attribute__((vector_size(64), aligned(8), may_alias));
typedef double four __attribute__((vector_size(32), aligned(8), may_alias));
TD0(td0_v4, __attribute__((target("arch=x86-64-v4"))), eight, 1, VECTOR_FROM, VECTOR_INTO)
TD0(td0_v3, __attribute__((target("arch=x86-64-v3"))), four, 2, VECTOR_FROM, VECTOR_INTO)
#define LEVELS 1
#else
#define LEVELS 0
#endif
#if defined(__GNUC__)
typedef double two __attribute__((vector_size(16), aligned(8), may_alias));
TD0(td0_plain, , two, 4, VECTOR_FROM, VECTOR_INTO)
#else
TD0(td0_plain, , double, 8, VECTOR_FROM, VECTOR_INTO)
#endif

void bench_td0_horde(PARAMETERS) {
#if LEVELS
    __builtin_cpu_init();
    if (__builtin_cpu_supports("x86-64-v4")) {
        td0_v4(ARGUMENTS);
        return;
    }
    if (__builtin_cpu_supports("x86-64-v3")) {
        td0_v3(ARGUMENTS);
        return;
    }
#endif
    td0_plain(ARGUMENTS);
}
