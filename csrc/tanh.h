/* The hyperbolic tangent of the networks. */
#ifndef FT_TANH_H
#define FT_TANH_H

#include "trace.h"
#include <math.h>
#include <string.h>

/* tanh x = q / (q + 2), q = exp(2 |x|) - 1 = 2^n (exp(r) - 1) + 2^n - 1 with |r| <= ln(2) / 2: no branch and
 * no call, so that loops over it become vectors.  Within 3 ulp. */
FT_INLINE float ft_tanh_f32(float x) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to whole numbers */
    float a = fabsf(x);
    a = a > 10.0f ? 20.0f : a + a;
    const float shifted = a * 1.44269504f + magic, n = shifted - magic;
    const float r = (a - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts */
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = (p * r) * r + r;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits - 0x4b400000u + 127u) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    const float q = p * power + (power - 1.0f);
    return copysignf(q / (q + 2.0f), x);
}

FT_INLINE double ft_tanh_f64(double x) { return tanh(x); }

#endif
