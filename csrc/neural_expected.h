/* Expected traces of the last layer for one type of number: neural_expected.c includes this twice.
 *
 * What a step makes of the learner stands in `next` until all is finite:
 *
 *   | parameters (n) | z (n - k) | y (k) | Theta (k, k) |      k: the last layer's weights and its bias */

/* Theta <- Theta + outer(c error, phi); returns nothing, y <- Theta phi on the way. */
FT_CLONES static void NAME(ft_expect)(int64_t k, const REAL *FT_RESTRICT Theta, const REAL *FT_RESTRICT phi,
                                      REAL *FT_RESTRICT y) {
    for (int64_t i = 0; i < k; i++) {
        const REAL *row = Theta + i * k;
        REAL parts[8] = {0};
        int64_t j = 0;
        for (; j + 8 <= k; j += 8)
            for (int64_t p = 0; p < 8; p++) parts[p] += row[j + p] * phi[j + p];
        REAL sum = ((parts[0] + parts[4]) + (parts[2] + parts[6])) +
                   ((parts[1] + parts[5]) + (parts[3] + parts[7]));
        for (; j < k; j++) sum += row[j] * phi[j];
        y[i] = sum;
    }
}

/* new <- Theta + outer(error, phi) */
FT_CLONES static void NAME(ft_expect_more)(int64_t k, const REAL *FT_RESTRICT Theta,
                                           const REAL *FT_RESTRICT error, const REAL *FT_RESTRICT phi,
                                           REAL *FT_RESTRICT made) {
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < k; j++) made[i * k + j] = Theta[i * k + j] + error[i] * phi[j];
}

/* made <- D z + x, D = 0 assigns; w_made <- w + step made. */
FT_CLONES static void NAME(ft_trace_and_move)(int64_t n, const REAL *FT_RESTRICT z,
                                              const REAL *FT_RESTRICT x, REAL D,
                                              const REAL *FT_RESTRICT w, REAL step,
                                              REAL *FT_RESTRICT made, REAL *FT_RESTRICT w_made) {
    for (int64_t i = 0; i < n; i++) {
        const REAL trace = (D == 0 ? 0 : D * z[i]) + x[i];
        made[i] = trace;
        w_made[i] = w[i] + step * trace;
    }
}

static int NAME(ft_expected_step)(NAME(ft_expected) * l, const REAL *s, double reward, double gamma,
                                  double *delta) {
    const int64_t n = l->net.n_params, k = l->k, body = n - k, size = 2 * n + k * k;
    REAL *one = l->work, *v = one + 1, *grad = v + 1, *error = grad + n, *next = error + k;
    REAL *phi = grad + body, *y = next + n + body, *Theta = y + k;
    const REAL D = (REAL)l->decay;
    double d = reward;
    if (gamma != 0.0) {
        NAME(ft_mlp_forward)(&l->net, 1, s + l->net.sizes[0], v);
        d += gamma * (double)*v;
    }
    *one = 1;
    NAME(ft_mlp_gradients)(&l->net, s, 1, one, v, grad);
    d -= (double)*v;
    /* error <- alpha_z (target - Theta phi) / phi.phi, the target kept in y */
    double squares = 0.0;
    for (int64_t i = 0; i < k; i++) squares += (double)phi[i] * (double)phi[i];
    const REAL rate = (REAL)(l->alpha_z / squares), eta = (REAL)l->eta;
    NAME(ft_expect)(k, l->Theta, phi, error);
    for (int64_t i = 0; i < k; i++) {
        y[i] = (D == 0 ? 0 : D * l->y[i]) + phi[i];
        error[i] = rate * (y[i] - error[i]);
    }
    NAME(ft_expect_more)(k, l->Theta, error, phi, Theta);
    NAME(ft_expect)(k, Theta, phi, error);
    for (int64_t i = 0; i < k; i++) y[i] = ((REAL)1 - eta) * error[i] + eta * y[i];
    const REAL step = (REAL)(l->alpha * d);
    NAME(ft_trace_and_move)(body, l->z, grad, D, l->net.params, step, next + n, next);
    for (int64_t i = 0; i < k; i++) next[body + i] = l->net.params[body + i] + step * y[i];
    if (!(fabs(d) <= DBL_MAX && NAME(ft_finite)(size, next))) return 0;
    NAME(ft_copy)(l->net.params, next, n);
    NAME(ft_copy)(l->z, next + n, body);
    NAME(ft_copy)(l->y, y, k);
    NAME(ft_copy)(l->Theta, Theta, k * k);
    *delta = d;
    return 1;
}

int64_t NAME(ft_expected_run)(NAME(ft_expected) * learner, int64_t T, const REAL *states,
                              const double *rewards, const double *gammas, const double *lambdas,
                              double *deltas) {
    if (!NAME(ft_finite)(learner->net.n_params, learner->net.params)) return 0;
    for (int64_t t = 0; t < T; t++) {
        if (!NAME(ft_expected_step)(learner, states + t * learner->net.sizes[0], rewards[t], gammas[t],
                                    deltas + t))
            return t;
        learner->decay = gammas[t] * lambdas[t];
    }
    return T;
}
