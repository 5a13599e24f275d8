/* Vectors of doubles for the loops over returns, one set of functions for each level of the CPU.
 * FT_LEVEL: 0 one double, in plain C; 1 four, AVX2; 2 eight, AVX-512.  FT_L(name) names a function of it.
 *
 *   ft_v  doubles     ft_m  a choice for each, from a comparison     FT_WIDTH how many
 *
 * Where there is a fused multiply-add it is used: levels differ by rounding. */
#define FT_V FT_L(ft_v)
#define FT_M FT_L(ft_m)

#if FT_LEVEL == 2
#define FT_WIDTH 8
#define FT_BLOCK 8 /* vectors side by side in registers */
typedef __m512d FT_V;
typedef __mmask8 FT_M;
FT_INLINE FT_V FT_L(ft_load_f64)(const double *p) { return _mm512_loadu_pd(p); }
FT_INLINE FT_V FT_L(ft_load_f32)(const float *p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
FT_INLINE void FT_L(ft_store_f64)(double *p, FT_V x) { _mm512_storeu_pd(p, x); }
FT_INLINE void FT_L(ft_store_f32)(float *p, FT_V x) { _mm256_storeu_ps(p, _mm512_cvtpd_ps(x)); }
FT_INLINE FT_M FT_L(ft_flagged)(const uint8_t *flags, int bits) {
    return (FT_M)_mm_test_epi8_mask(_mm_loadl_epi64((const __m128i *)(const void *)flags),
                                    _mm_set1_epi8((char)bits));
}
FT_INLINE FT_M FT_L(ft_unflagged)(const uint8_t *flags, int bits) {
    return (FT_M)_mm_testn_epi8_mask(_mm_loadl_epi64((const __m128i *)(const void *)flags),
                                     _mm_set1_epi8((char)bits));
}
FT_INLINE FT_M FT_L(ft_none)(void) { return 0; }
FT_INLINE FT_V FT_L(ft_all)(double x) { return _mm512_set1_pd(x); }
FT_INLINE FT_V FT_L(ft_add)(FT_V x, FT_V y) { return _mm512_add_pd(x, y); }
FT_INLINE FT_V FT_L(ft_sub)(FT_V x, FT_V y) { return _mm512_sub_pd(x, y); }
FT_INLINE FT_V FT_L(ft_mul)(FT_V x, FT_V y) { return _mm512_mul_pd(x, y); }
FT_INLINE FT_V FT_L(ft_choose)(FT_M m, FT_V yes, FT_V no) { return _mm512_mask_blend_pd(m, no, yes); }
FT_INLINE FT_V FT_L(ft_unless)(FT_M m, FT_V x) { return _mm512_maskz_mov_pd((FT_M)~m, x); }
FT_INLINE FT_V FT_L(ft_plus)(FT_V x, FT_V a, FT_V b) { return _mm512_fmadd_pd(a, b, x); }
/* x + y and x - y by the units for products: those for sums convert as well. */
FT_INLINE FT_V FT_L(ft_more)(FT_V x, FT_V y) { return _mm512_fmadd_pd(_mm512_set1_pd(1.0), x, y); }
FT_INLINE FT_V FT_L(ft_less)(FT_V x, FT_V y) { return _mm512_fmsub_pd(_mm512_set1_pd(1.0), x, y); }
FT_INLINE FT_V FT_L(ft_plus_if)(FT_M m, FT_V x, FT_V a, FT_V b) {
    return _mm512_mask3_fmadd_pd(a, b, x, m);
}
FT_INLINE FT_M FT_L(ft_not_0)(FT_V x) {
    return _mm512_cmp_pd_mask(x, _mm512_setzero_pd(), _CMP_NEQ_UQ);
}
FT_INLINE FT_M FT_L(ft_above)(FT_V x, FT_V y) { return _mm512_cmp_pd_mask(x, y, _CMP_GT_OQ); }
FT_INLINE FT_M FT_L(ft_at_least)(FT_V x, FT_V y) { return _mm512_cmp_pd_mask(x, y, _CMP_GE_OQ); }
FT_INLINE FT_M FT_L(ft_either)(FT_M m, FT_M n) { return (FT_M)(m | n); }
FT_INLINE FT_M FT_L(ft_both)(FT_M m, FT_M n) { return (FT_M)(m & n); }
FT_INLINE FT_M FT_L(ft_not)(FT_M m) { return (FT_M)~m; }
/* Entry i of the result is entry i + by of x followed by `next`. */
#define FT_SHIFTED(x, next, by)                                                                        \
    _mm512_castsi512_pd(                                                                               \
        _mm512_alignr_epi64(_mm512_castpd_si512(next), _mm512_castpd_si512(x), (by)))
/* Bits of n flags, 8 or 64: set where none of these is; and those of vector j. */
FT_INLINE uint64_t FT_L(ft_unflagged_bits)(const uint8_t *flags, int n, int bits) {
    if (n == FT_WIDTH) return FT_L(ft_unflagged)(flags, bits);
    return _mm512_testn_epi8_mask(_mm512_loadu_si512(flags), _mm512_set1_epi8((char)bits));
}
FT_INLINE FT_M FT_L(ft_bits_at)(uint64_t bits, int j) { return (FT_M)(bits >> (j * FT_WIDTH)); }
FT_INLINE double FT_L(ft_entry_0)(FT_V x) { return _mm512_cvtsd_f64(x); }

#elif FT_LEVEL == 1
#define FT_WIDTH 4
#define FT_BLOCK 4
typedef __m256d FT_V;
typedef __m256d FT_M;
FT_INLINE FT_V FT_L(ft_load_f64)(const double *p) { return _mm256_loadu_pd(p); }
FT_INLINE FT_V FT_L(ft_load_f32)(const float *p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
FT_INLINE void FT_L(ft_store_f64)(double *p, FT_V x) { _mm256_storeu_pd(p, x); }
FT_INLINE void FT_L(ft_store_f32)(float *p, FT_V x) { _mm_storeu_ps(p, _mm256_cvtpd_ps(x)); }
FT_INLINE FT_M FT_L(ft_flagged)(const uint8_t *flags, int bits) {
    int32_t four;
    memcpy(&four, flags, sizeof four);
    const __m256i set =
        _mm256_and_si256(_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four)), _mm256_set1_epi64x(bits));
    return _mm256_castsi256_pd(_mm256_cmpgt_epi64(set, _mm256_setzero_si256()));
}
FT_INLINE FT_M FT_L(ft_unflagged)(const uint8_t *flags, int bits) {
    int32_t four;
    memcpy(&four, flags, sizeof four);
    const __m256i set =
        _mm256_and_si256(_mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four)), _mm256_set1_epi64x(bits));
    return _mm256_castsi256_pd(_mm256_cmpeq_epi64(set, _mm256_setzero_si256()));
}
FT_INLINE FT_M FT_L(ft_none)(void) { return _mm256_setzero_pd(); }
FT_INLINE FT_V FT_L(ft_all)(double x) { return _mm256_set1_pd(x); }
FT_INLINE FT_V FT_L(ft_add)(FT_V x, FT_V y) { return _mm256_add_pd(x, y); }
FT_INLINE FT_V FT_L(ft_sub)(FT_V x, FT_V y) { return _mm256_sub_pd(x, y); }
FT_INLINE FT_V FT_L(ft_mul)(FT_V x, FT_V y) { return _mm256_mul_pd(x, y); }
FT_INLINE FT_V FT_L(ft_choose)(FT_M m, FT_V yes, FT_V no) { return _mm256_blendv_pd(no, yes, m); }
FT_INLINE FT_V FT_L(ft_unless)(FT_M m, FT_V x) { return _mm256_andnot_pd(m, x); }
FT_INLINE FT_V FT_L(ft_plus)(FT_V x, FT_V a, FT_V b) { return _mm256_fmadd_pd(a, b, x); }
FT_INLINE FT_V FT_L(ft_more)(FT_V x, FT_V y) { return _mm256_fmadd_pd(_mm256_set1_pd(1.0), x, y); }
FT_INLINE FT_V FT_L(ft_less)(FT_V x, FT_V y) { return _mm256_fmsub_pd(_mm256_set1_pd(1.0), x, y); }
FT_INLINE FT_V FT_L(ft_plus_if)(FT_M m, FT_V x, FT_V a, FT_V b) {
    return _mm256_blendv_pd(x, _mm256_fmadd_pd(a, b, x), m);
}
FT_INLINE FT_M FT_L(ft_not_0)(FT_V x) { return _mm256_cmp_pd(x, _mm256_setzero_pd(), _CMP_NEQ_UQ); }
FT_INLINE FT_M FT_L(ft_above)(FT_V x, FT_V y) { return _mm256_cmp_pd(x, y, _CMP_GT_OQ); }
FT_INLINE FT_M FT_L(ft_at_least)(FT_V x, FT_V y) { return _mm256_cmp_pd(x, y, _CMP_GE_OQ); }
FT_INLINE FT_M FT_L(ft_either)(FT_M m, FT_M n) { return _mm256_or_pd(m, n); }
FT_INLINE FT_M FT_L(ft_both)(FT_M m, FT_M n) { return _mm256_and_pd(m, n); }
FT_INLINE FT_M FT_L(ft_not)(FT_M m) {
    return _mm256_xor_pd(m, _mm256_castsi256_pd(_mm256_set1_epi64x(-1)));
}
#define FT_SHIFTED(x, next, by)                                                                        \
    ((by) == 1 ? _mm256_shuffle_pd(x, _mm256_permute2f128_pd(x, next, 0x21), 5)                        \
               : _mm256_permute2f128_pd(x, next, 0x21))
/* Bits of n flags, 4 or 16: set where none of these is; and those of vector j. */
FT_INLINE uint64_t FT_L(ft_unflagged_bits)(const uint8_t *flags, int n, int bits) {
    if (n == FT_WIDTH) return (uint64_t)_mm256_movemask_pd(FT_L(ft_unflagged)(flags, bits));
    const __m128i set =
        _mm_and_si128(_mm_loadu_si128((const __m128i *)(const void *)flags), _mm_set1_epi8((char)bits));
    return (uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi8(set, _mm_setzero_si128()));
}
FT_INLINE FT_M FT_L(ft_bits_at)(uint64_t bits, int j) {
    const __m256i each = _mm256_set_epi64x(8, 4, 2, 1);
    const __m256i four = _mm256_set1_epi64x((int64_t)(bits >> (j * FT_WIDTH)));
    return _mm256_castsi256_pd(_mm256_cmpeq_epi64(_mm256_and_si256(four, each), each));
}
FT_INLINE double FT_L(ft_entry_0)(FT_V x) { return _mm256_cvtsd_f64(x); }

#else
#define FT_WIDTH 1
typedef double FT_V;
typedef int FT_M;
FT_INLINE FT_V FT_L(ft_load_f64)(const double *p) { return *p; }
FT_INLINE FT_V FT_L(ft_load_f32)(const float *p) { return *p; }
FT_INLINE void FT_L(ft_store_f64)(double *p, FT_V x) { *p = x; }
FT_INLINE void FT_L(ft_store_f32)(float *p, FT_V x) { *p = (float)x; }
FT_INLINE FT_M FT_L(ft_flagged)(const uint8_t *flags, int bits) { return (*flags & bits) != 0; }
FT_INLINE FT_M FT_L(ft_none)(void) { return 0; }
FT_INLINE FT_V FT_L(ft_all)(double x) { return x; }
FT_INLINE FT_V FT_L(ft_add)(FT_V x, FT_V y) { return x + y; }
FT_INLINE FT_V FT_L(ft_sub)(FT_V x, FT_V y) { return x - y; }
FT_INLINE FT_V FT_L(ft_mul)(FT_V x, FT_V y) { return x * y; }
FT_INLINE FT_V FT_L(ft_choose)(FT_M m, FT_V yes, FT_V no) { return m ? yes : no; }
FT_INLINE FT_V FT_L(ft_unless)(FT_M m, FT_V x) { return m ? 0.0 : x; }
FT_INLINE FT_V FT_L(ft_plus)(FT_V x, FT_V a, FT_V b) { return x + a * b; } /* x + a b */
FT_INLINE FT_V FT_L(ft_plus_if)(FT_M m, FT_V x, FT_V a, FT_V b) { return m ? x + a * b : x; }
FT_INLINE FT_M FT_L(ft_not_0)(FT_V x) { return x != 0.0; }
FT_INLINE FT_M FT_L(ft_above)(FT_V x, FT_V y) { return x > y; }
FT_INLINE FT_M FT_L(ft_at_least)(FT_V x, FT_V y) { return x >= y; }
FT_INLINE FT_M FT_L(ft_either)(FT_M m, FT_M n) { return m || n; }
FT_INLINE FT_M FT_L(ft_both)(FT_M m, FT_M n) { return m && n; }
FT_INLINE FT_M FT_L(ft_not)(FT_M m) { return !m; }
FT_INLINE double FT_L(ft_entry_0)(FT_V x) { return x; }
#endif

/* ---- one transition, or FT_WIDTH of them; see enum ft_family ---- */

typedef struct {
    FT_V reward, v, v_next, v_cut; /* v_cut: of the state in which it was truncated */
    FT_V rho, pi, sigma, q_next, gamma, lambda;
    FT_M terminated, truncated, skipped;
} FT_L(ft_transition);

/* What it hands on is a + c Y of the Y handed to it; the results are out_a + out_c Y, second_a + second_c Y. */
typedef struct {
    FT_V a, c, out_a, out_c, second_a, second_c;
} FT_L(ft_step);

/* a + c Y, and a where c is 0, whatever Y is. */
FT_INLINE FT_V FT_L(ft_onto)(FT_V a, FT_V c, FT_V Y) {
    return FT_L(ft_plus_if)(FT_L(ft_not_0)(c), a, c, Y);
}

/* w x; what weighs 0 is left out: it may be NaN. */
FT_INLINE FT_V FT_L(ft_weighed)(FT_V w, FT_V x) {
    return FT_L(ft_unless)(FT_L(ft_not)(FT_L(ft_not_0)(w)), FT_L(ft_mul)(w, x));
}

FT_INLINE FT_V FT_L(ft_at_most)(double bound, FT_V x) { /* NaN stays */
    const FT_V most = FT_L(ft_all)(bound);
    return FT_L(ft_choose)(FT_L(ft_above)(x, most), most, x);
}

/* full 0: nothing is truncated. */
FT_INLINE FT_L(ft_step) FT_L(ft_step_of)(int family, int full, const FT_L(ft_transition) * x,
                                         const ft_returns *p) {
    FT_L(ft_step) s;
    const FT_V zero = FT_L(ft_all)(0.0), one = FT_L(ft_all)(1.0);
    const FT_M ended = full ? FT_L(ft_either)(x->terminated, x->truncated) : x->terminated;
    FT_V lambda = x->lambda, weight = x->gamma, v_next = x->v_next, w;
    if (family == FT_UPGO) {
        const FT_V q = x->q_next; /* of NaN nothing is known, unless lambda is 0 anyhow */
        const FT_M known = FT_L(ft_either)(FT_L(ft_at_least)(q, q), FT_L(ft_at_least)(zero, lambda));
        lambda = FT_L(ft_choose)(FT_L(ft_at_least)(q, v_next), lambda, zero);
        v_next = FT_L(ft_choose)(known, v_next, q);
    }
    const FT_V decay = FT_L(ft_unless)(ended, FT_L(ft_mul)(x->gamma, lambda));

    if (ft_has_ends(family)) weight = FT_L(ft_mul)(x->gamma, FT_L(ft_sub)(one, lambda));
    if (family == FT_SUM) weight = zero;
    if (full) {
        const FT_V cut = family == FT_SUM ? FT_L(ft_mul)(x->gamma, lambda) : x->gamma;
        weight = FT_L(ft_choose)(x->truncated, cut, weight);
        v_next = FT_L(ft_choose)(x->truncated, x->v_cut, v_next);
    }
    weight = FT_L(ft_unless)(x->terminated, weight);
    FT_V target = x->reward;
    if (full || family != FT_SUM) target = FT_L(ft_onto)(target, weight, v_next);

    s.out_a = s.a = target;
    s.out_c = s.c = decay;
    s.second_a = s.second_c = zero;
    if (family == FT_OFF_POLICY) {
        s.a = FT_L(ft_add)(FT_L(ft_weighed)(x->rho, target),
                           FT_L(ft_weighed)(FT_L(ft_sub)(one, x->rho), x->v));
        s.c = FT_L(ft_weighed)(decay, x->rho);
        s.out_a = s.a;
        s.out_c = s.c;
    } else if (ft_of_actions(family)) {
        w = x->rho;
        if (family == FT_RETRACE_RETURN) w = FT_L(ft_at_most)(1.0, x->rho);
        if (family == FT_Q_SIGMA_RETURN)
            w = FT_L(ft_add)(FT_L(ft_weighed)(x->sigma, x->rho),
                             FT_L(ft_weighed)(FT_L(ft_sub)(one, x->sigma), x->pi));
        s.a = FT_L(ft_weighed)(w, FT_L(ft_sub)(target, x->v));
        s.c = FT_L(ft_weighed)(decay, w);
    } else if (family == FT_GAE) {
        s.out_a = s.a = FT_L(ft_sub)(target, x->v);
        s.second_a = FT_L(ft_add)(x->v, s.a);
        s.second_c = decay;
    } else if (ft_is_vtrace(family)) {
        w = FT_L(ft_at_most)(p->rho_bar, x->rho);
        s.a = FT_L(ft_weighed)(w, FT_L(ft_sub)(target, x->v));
        s.c = FT_L(ft_weighed)(decay, FT_L(ft_at_most)(p->c_bar, x->rho));
        s.out_a = FT_L(ft_add)(x->v, s.a);
        s.out_c = s.c;
        s.second_a = s.a;
        if (family == FT_VTRACE_PG) {
            w = FT_L(ft_at_most)(p->pg_rho_bar, x->rho);
            s.second_a = FT_L(ft_weighed)(w, FT_L(ft_sub)(target, x->v));
        }
        s.second_c = FT_L(ft_weighed)(FT_L(ft_unless)(ended, x->gamma), w);
    }
    if (full) {
        s.a = FT_L(ft_unless)(x->skipped, s.a);
        s.c = FT_L(ft_choose)(x->skipped, one, s.c);
        s.out_a = FT_L(ft_unless)(x->skipped, s.out_a);
        s.out_c = FT_L(ft_unless)(x->skipped, s.out_c);
        s.second_a = FT_L(ft_unless)(x->skipped, s.second_a);
        s.second_c = FT_L(ft_unless)(x->skipped, s.second_c);
    }
    return s;
}
