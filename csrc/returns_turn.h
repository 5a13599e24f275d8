/* Short trajectories, one after the other: FT_TURNED of them turned in a copy, for the loops over trajectories
 * side by side.  Included by returns.c once, for AVX2 and above. */
#ifndef FT_RETURNS_TURN_H
#define FT_RETURNS_TURN_H

#include "returns.h"
#include <immintrin.h>

/* to[j][i] = from[i][j] */
FT_INLINE void ft_turn_block_f32(const float *from, int64_t by, float *to, int64_t to_by) {
    __m256 x[8], y[8];
    FT_UNROLL
    for (int i = 0; i < 8; i++) x[i] = _mm256_loadu_ps(from + i * by);
    FT_UNROLL
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    FT_UNROLL
    for (int i = 0; i < 8; i += 4) {
        x[i] = _mm256_shuffle_ps(y[i], y[i + 2], 0x44);
        x[i + 1] = _mm256_shuffle_ps(y[i], y[i + 2], 0xee);
        x[i + 2] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0x44);
        x[i + 3] = _mm256_shuffle_ps(y[i + 1], y[i + 3], 0xee);
    }
    FT_UNROLL
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * to_by, _mm256_permute2f128_ps(x[i], x[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * to_by, _mm256_permute2f128_ps(x[i], x[i + 4], 0x31));
    }
}

FT_INLINE void ft_turn_block_f64(const double *from, int64_t by, double *to, int64_t to_by) {
    __m256d x[4], y[4];
    FT_UNROLL
    for (int i = 0; i < 4; i++) x[i] = _mm256_loadu_pd(from + i * by);
    FT_UNROLL
    for (int i = 0; i < 4; i += 2) {
        y[i] = _mm256_unpacklo_pd(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_pd(x[i], x[i + 1]);
    }
    FT_UNROLL
    for (int i = 0; i < 2; i++) {
        _mm256_storeu_pd(to + i * to_by, _mm256_permute2f128_pd(y[i], y[i + 2], 0x20));
        _mm256_storeu_pd(to + (i + 2) * to_by, _mm256_permute2f128_pd(y[i], y[i + 2], 0x31));
    }
}

/* Eight bytes each of sixteen trajectories. */
FT_INLINE void ft_turn_flags_block(const uint8_t *from, int64_t by, uint8_t *to) {
    __m128i x[8], y[8];
#define FT_EIGHT(i) _mm_loadl_epi64((const __m128i *)(const void *)(from + (i) * by))
    FT_UNROLL
    for (int i = 0; i < 8; i++) x[i] = _mm_unpacklo_epi8(FT_EIGHT(i), FT_EIGHT(i + 8));
#undef FT_EIGHT
    FT_UNROLL
    for (int i = 0; i < 4; i++) {
        y[i] = _mm_unpacklo_epi8(x[i], x[i + 4]);
        y[i + 4] = _mm_unpackhi_epi8(x[i], x[i + 4]);
    }
    FT_UNROLL
    for (int i = 0; i < 8; i += 4) {
        x[i] = _mm_unpacklo_epi8(y[i], y[i + 2]);
        x[i + 1] = _mm_unpacklo_epi8(y[i + 1], y[i + 3]);
        x[i + 2] = _mm_unpackhi_epi8(y[i], y[i + 2]);
        x[i + 3] = _mm_unpackhi_epi8(y[i + 1], y[i + 3]);
    }
    FT_UNROLL
    for (int i = 0; i < 8; i += 2) {
        _mm_storeu_si128((__m128i *)(void *)(to + i * FT_TURNED), _mm_unpacklo_epi8(x[i], x[i + 1]));
        _mm_storeu_si128((__m128i *)(void *)(to + (i + 1) * FT_TURNED), _mm_unpackhi_epi8(x[i], x[i + 1]));
    }
}

FT_UNKNOWN void ft_turn_flags(const uint8_t *from, int64_t by, int64_t n, uint8_t *to) {
    for (int64_t t = 0; n >= 8 && t < n; t += 8) {
        const int64_t at = t + 8 <= n ? t : n - 8; /* the last block may lie over the one before it */
        ft_turn_flags_block(from + at, by, to + at * FT_TURNED);
    }
    for (int64_t t = 0; n < 8 && t < n; t++)
        for (int64_t i = 0; i < FT_TURNED; i++) to[t * FT_TURNED + i] = from[i * by + t];
}

#define FT_REAL float
#define FT_T(name) FT_JOINED(name, _f32)
#define FT_SIDE 8
#include "returns_turn_real.h"
#undef FT_REAL
#undef FT_T
#undef FT_SIDE

#define FT_REAL double
#define FT_T(name) FT_JOINED(name, _f64)
#define FT_SIDE 4
#include "returns_turn_real.h"
#undef FT_REAL
#undef FT_T
#undef FT_SIDE

#endif
