/* Passes over parameters and traces, for one type of number: what the learners on a network share.
 *
 *   REAL, INTEGER   float and int32_t, or double and int64_t
 *   LARGEST         the bits of a number without its sign; ENDLESS those of infinity
 *   NAME(x)         x_f32 or x_f64
 *
 * A step makes what the learner would become, `next`, beside what it is, and takes it over if all of it is
 * finite. */

/* Whether all n are finite, by their bits: a comparison of whole numbers goes in vectors. */
FT_CLONES static int NAME(ft_finite)(int64_t n, const REAL *x) {
    INTEGER worst = 0;
    for (int64_t i = 0; i < n; i++) {
        INTEGER bits;
        memcpy(&bits, x + i, sizeof bits);
        bits &= LARGEST;
        worst = bits > worst ? bits : worst;
    }
    return worst < ENDLESS;
}

FT_INLINE void NAME(ft_copy)(REAL *to, const REAL *from, int64_t n) {
    memcpy(to, from, (size_t)n * sizeof *to);
}
