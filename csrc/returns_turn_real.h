/* Turning trajectories, for one type of array. */

/* n transitions of FT_TURNED trajectories, and back. */
static void FT_T(ft_turn)(const FT_REAL *from, int64_t by, int64_t n, FT_REAL *to) {
    for (int64_t t = 0; n >= FT_SIDE && t < n; t += FT_SIDE) {
        const int64_t at = t + FT_SIDE <= n ? t : n - FT_SIDE; /* the last may lie over the one before it */
        for (int64_t i = 0; i < FT_TURNED; i += FT_SIDE)
            FT_T(ft_turn_block)(from + i * by + at, by, to + at * FT_TURNED + i, FT_TURNED);
    }
    for (int64_t t = 0; n < FT_SIDE && t < n; t++)
        for (int64_t i = 0; i < FT_TURNED; i++) to[t * FT_TURNED + i] = from[i * by + t];
}

static void FT_T(ft_turn_back)(const FT_REAL *from, int64_t n, FT_REAL *to, int64_t by) {
    for (int64_t t = 0; n >= FT_SIDE && t < n; t += FT_SIDE) {
        const int64_t at = t + FT_SIDE <= n ? t : n - FT_SIDE;
        for (int64_t i = 0; i < FT_TURNED; i += FT_SIDE)
            FT_T(ft_turn_block)(from + at * FT_TURNED + i, FT_TURNED, to + i * by + at, by);
    }
    for (int64_t t = 0; n < FT_SIDE && t < n; t++)
        for (int64_t i = 0; i < FT_TURNED; i++) to[i * by + t] = from[t * FT_TURNED + i];
}

/* Trajectories b to b + FT_TURNED of at most FT_TURNED_T transitions, by `lanes`. */
static void FT_T(ft_turned)(const ft_returns *p, int64_t b, ft_lanes_fn *lanes) {
    enum { ARRAYS = 10 };
    const int family = (int)p->family, q_sigma = family == FT_Q_SIGMA_RETURN;
    ft_returns copy = *p;
    struct {
        const void **array;
        int64_t *by, n;
        int there;
    } in[ARRAYS] = {
        {&copy.rewards, &copy.rewards_stride, p->T, 1},
        {&copy.values, &copy.values_stride, p->T, ft_has_v(family)},
        {&copy.nexts, &copy.nexts_stride, p->T - 1, family != FT_SUM},
        {&copy.next_values, &copy.next_values_stride, p->T, p->next_values != NULL},
        {&copy.rhos, &copy.rhos_stride, p->T, ft_has_rho(family)},
        {&copy.pi, &copy.pi_stride, p->T, q_sigma},
        {&copy.sigmas, &copy.sigmas_stride, p->T, q_sigma},
        {&copy.q_nexts, &copy.q_nexts_stride, p->T - 1, family == FT_UPGO},
        {&copy.gammas, &copy.gammas_stride, p->T, p->gamma_kind >= FT_EACH_F32},
        {&copy.lambdas, &copy.lambdas_stride, p->T, p->lambda_kind >= FT_EACH_F32},
    };
    FT_REAL turned[ARRAYS][FT_TURNED_T * FT_TURNED], out[2][FT_TURNED_T * FT_TURNED];
    uint8_t flags[FT_TURNED_T * FT_TURNED];
    const FT_REAL *after_values = (const FT_REAL *)p->values + 1;
    const int shared = ft_has_v(family) && p->nexts == after_values && p->nexts_stride == p->values_stride;
    for (int i = 0; i < ARRAYS; i++) {
        if (!in[i].there || (shared && in[i].array == &copy.nexts)) continue;
        FT_T(ft_turn)((const FT_REAL *)*in[i].array + b * *in[i].by, *in[i].by, in[i].n, turned[i]);
        *in[i].array = turned[i];
        *in[i].by = FT_TURNED;
    }
    if (shared) {
        copy.nexts = (const FT_REAL *)copy.values + FT_TURNED;
        copy.nexts_stride = FT_TURNED;
    }
    if (p->flags) {
        ft_turn_flags((const uint8_t *)p->flags + b * p->flags_stride, p->flags_stride, p->T, flags);
        copy.flags = flags;
        copy.flags_stride = FT_TURNED;
    }
    copy.batch_major = 0;
    copy.last = (const FT_REAL *)p->last + b;
    copy.out = out[0];
    copy.second = out[1];
    copy.out_stride = copy.second_stride = FT_TURNED;
    lanes(&copy, 0, FT_TURNED);
    FT_T(ft_turn_back)(out[0], p->T, (FT_REAL *)p->out + b * p->out_stride, p->out_stride);
    if (ft_has_second(family) && p->second)
        FT_T(ft_turn_back)(out[1], p->T, (FT_REAL *)p->second + b * p->second_stride, p->second_stride);
}
