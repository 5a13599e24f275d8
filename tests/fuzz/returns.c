/* Returns of trajectories: every family, layout, type and level. */
#include "fuzz.h"

static int64_t f64, batch_major, T, B;

/* (rows, B) or, batch-major, (B, rows); NULL sometimes if `may`.  A stride may be wider than a row, 0 or, where all
 * is read that there is, negative. */
static const void *array(int64_t rows, int64_t *stride, int out) {
    const int64_t inner = batch_major ? rows : B, outer = batch_major ? B : rows;
    const int64_t form = below(8), wide = inner + (form == 1 ? 3 : 0);
    const int64_t count = !out && form == 2 ? inner : outer > 0 ? (outer - 1) * wide + inner : 0;
    const int64_t size = f64 ? 8 : 4;
    char *block = (char *)room(count, (size_t)size, f64 ? "double" : "float");
    double (*const of)(void) = below(8) == 0 ? any : small;
    for (int64_t i = 0; i < count && !out; i++) {
        const double x = of();
        if (f64) ((double *)(void *)block)[i] = x;
        else ((float *)(void *)block)[i] = fabs(x) <= 3e38 || x != x ? (float)x : x > 0.0 ? INFINITY : -INFINITY;
    }
    *stride = !out && form == 2 ? 0 : wide;
    if (form == 3 && outer > 0) {
        *stride = -wide;
        block += (outer - 1) * wide * size;
    }
    return block;
}

static const void *rates(int64_t *kind, int64_t *stride) {
    *kind = below(4);
    *stride = 0;
    if (*kind == FT_ONE) return NULL;
    if (*kind == FT_BY_STEP) return doubles(T, below(8) == 0 ? any : unit);
    const int64_t kept = f64;
    f64 = *kind == FT_EACH_F64;
    const void *each = array(T, stride, 0);
    f64 = kept;
    return each;
}

static void drive(void) {
    ft_returns p;
    memset(&p, 0, sizeof p);
    f64 = p.f64 = below(2);
    batch_major = p.batch_major = below(2);
    T = p.T = below(8) == 0 ? below(256) : below(20);
    B = p.B = below(8) == 0 ? below(140) : below(20);
    if (below(64) == 0) p.T = -1; /* refused before anything is read */
    p.family = kind_of(FT_UPGO + 1);
    p.gamma = number(unit);
    p.lambda_ = number(unit);
    p.gammas = rates(&p.gamma_kind, &p.gammas_stride);
    p.lambdas = rates(&p.lambda_kind, &p.lambdas_stride);
    p.rewards = array(T, &p.rewards_stride, 0);
    p.rho_bar = number(ratio);
    p.c_bar = number(ratio);
    p.has_pg_rho_bar = below(2);
    p.pg_rho_bar = number(ratio);
    if (below(2)) {
        uint8_t *flags = ROOM(uint8_t, T * B);
        p.terminations_only = below(2);
        const int64_t most = p.terminations_only ? 2 : 8;
        for (int64_t i = 0; i < T * B; i++) flags[i] = below(2) ? 0 : (uint8_t)below(most);
        p.flags = flags;
        p.flags_stride = batch_major ? T : B;
    }
    if (below(8) == 0) p.horizon = 1 + below(8);
    if (!p.horizon && below(4) == 0) {
        p.carry = ROOM(double, B * (batch_major ? FT_CARRY : 1));
        p.open = below(2);
    }
    const int64_t behind = p.open ? T : T > 0 ? T - 1 : 0; /* of a piece, what stands behind it too */
    p.values = array(p.open ? T + 1 : T, &p.values_stride, 0);
    p.nexts = array(behind, &p.nexts_stride, 0);
    p.q_nexts = array(behind, &p.q_nexts_stride, 0);
    int64_t ignored;
    const int64_t kept = batch_major;
    batch_major = 0;
    const void *last = array(1, &ignored, 0);
    batch_major = kept;
    p.last = ignored < 0 || p.open ? (ignored < 0 ? last : NULL) : last;
    if (p.horizon && below(2)) p.ends = array(T, &p.ends_stride, 0);
    p.next_values = array(T, &p.next_values_stride, 0);
    p.rhos = array(T, &p.rhos_stride, 0);
    p.pi = array(T, &p.pi_stride, 0);
    p.sigmas = array(T, &p.sigmas_stride, 0);
    p.out = (void *)array(T, &p.out_stride, 1);
    if (below(2)) p.second = (void *)array(T, &p.second_stride, 1);
    p.scratch = ROOM(double, p.horizon);
    const int32_t level = below(16) == 0 ? (int32_t)below(5) - 1 : (int32_t)below(3);
    const int32_t status = below(2) ? ft_returns_run(&p) : ft_returns_run_at(&p, level);
    MUST(status == FT_OK || status == FT_EVALUE);
    MUST(ft_returns_level() >= 0 && ft_returns_level() <= 2 && *ft_compiler() && *ft_cpu_level() && ft_abi_version() > 0);
    const int64_t kept_kind = p.family;
    if (kept_kind < FT_LAMBDA || kept_kind > FT_UPGO || p.T < 0) MUST(status == FT_EVALUE);
}
