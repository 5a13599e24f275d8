/* Gradient traces for one type of number: neural_gradient.c includes this twice.
 *
 * What a step makes of w, theta, z_w and z_theta stands in `next`, in this order, until all is finite. */

/* w + alpha (delta z_w - rho h grad q - z_h grad delta), where z_w <- rho (D z_w + grad q).
 *
 * grad, grad_next  of q(S, A) and of the greatest q(S', .); c, c_next what they weigh */
FT_CLONES static void NAME(ft_qrc_values)(int64_t n, const REAL *FT_RESTRICT w, const REAL *FT_RESTRICT z,
                                          const REAL *FT_RESTRICT grad,
                                          const REAL *FT_RESTRICT grad_next, REAL rho, REAL D, REAL step,
                                          REAL c, REAL c_next, REAL *FT_RESTRICT w_new,
                                          REAL *FT_RESTRICT z_new) {
    for (int64_t i = 0; i < n; i++) {
        const REAL trace = rho * ((D == 0 ? 0 : D * z[i]) + grad[i]);
        z_new[i] = trace;
        w_new[i] = w[i] + (step * trace + (c * grad[i] + c_next * grad_next[i]));
    }
}

/* theta + alpha_h (delta z_theta - h grad h - beta theta), where z_theta <- rho (D z_theta + grad h). */
FT_CLONES static void NAME(ft_qrc_correction)(int64_t n, const REAL *FT_RESTRICT theta,
                                              const REAL *FT_RESTRICT z, const REAL *FT_RESTRICT grad,
                                              REAL rho, REAL D, REAL step, REAL c, REAL shrink,
                                              REAL *FT_RESTRICT theta_new, REAL *FT_RESTRICT z_new) {
    for (int64_t i = 0; i < n; i++) {
        const REAL trace = rho * ((D == 0 ? 0 : D * z[i]) + grad[i]);
        z_new[i] = trace;
        theta_new[i] = theta[i] + ((step * trace + c * grad[i]) - shrink * theta[i]);
    }
}

FT_INLINE int64_t NAME(ft_greatest)(const REAL *q, int64_t n) {
    int64_t best = 0;
    for (int64_t a = 1; a < n; a++)
        if (q[a] > q[best]) best = a;
    return best;
}

/* The gradient of one output, in place; the outputs into y. */
FT_INLINE void NAME(ft_one_gradient)(const NAME(ft_mlp) * net, const REAL *s, int64_t output, REAL *chosen,
                                     REAL *y, REAL *grad) {
    chosen[output] = 1;
    NAME(ft_mlp_gradients)(net, s, 1, chosen, y, grad);
    chosen[output] = 0;
}

/* Whether the step could be taken. */
static int NAME(ft_qrc_step)(NAME(ft_qrc) * l, const REAL *s, int64_t action, int64_t action_next,
                             double reward, double gamma, double rho, double *delta) {
    const int64_t n = l->q.n_params, A = l->q.sizes[l->q.n_layers];
    REAL *y = l->work, *chosen = y + A, *grad = chosen + A, *grad_next = grad + n, *grad_h = grad_next + n;
    REAL *next = grad_h + n;
    double d = reward;
    int greedy = 1;
    memset(chosen, 0, (size_t)A * sizeof *chosen);
    if (gamma != 0.0) {
        NAME(ft_mlp_forward)(&l->q, 1, s + l->q.sizes[0], y);
        const int64_t best = NAME(ft_greatest)(y, A);
        NAME(ft_one_gradient)(&l->q, s + l->q.sizes[0], best, chosen, y, grad_next);
        d += gamma * (double)y[best];
        greedy = y[action_next] >= y[best];
    } else
        memset(grad_next, 0, (size_t)n * sizeof *grad_next);
    NAME(ft_one_gradient)(&l->q, s, action, chosen, y, grad);
    d -= (double)y[action];
    NAME(ft_one_gradient)(&l->h, s, action, chosen, y, grad_h);
    const double h = (double)y[action];
    const double z_h = rho * ((l->decay == 0.0 ? 0.0 : l->decay * l->z_h) + h);
    NAME(ft_qrc_values)
    (n, l->q.params, l->z_w, grad, grad_next, (REAL)rho, (REAL)l->decay, (REAL)(l->alpha * d),
     (REAL)(l->alpha * (z_h - rho * h)), (REAL)(-l->alpha * (z_h * gamma)), next, next + 2 * n);
    NAME(ft_qrc_correction)
    (n, l->h.params, l->z_theta, grad_h, (REAL)rho, (REAL)l->decay, (REAL)(l->alpha_h * d),
     (REAL)(-l->alpha_h * h), (REAL)(l->alpha_h * l->beta), next + n, next + 3 * n);
    if (!(fabs(d) <= DBL_MAX && fabs(z_h) <= DBL_MAX && NAME(ft_finite)(4 * n, next))) return 0;
    NAME(ft_copy)(l->q.params, next, n);
    NAME(ft_copy)(l->h.params, next + n, n);
    NAME(ft_copy)(l->z_w, next + 2 * n, n);
    NAME(ft_copy)(l->z_theta, next + 3 * n, n);
    l->z_h = z_h;
    l->greedy = greedy;
    *delta = d;
    return 1;
}

int64_t NAME(ft_qrc_run)(NAME(ft_qrc) * learner, int64_t T, const REAL *states, const int32_t *actions,
                         const double *rewards, const double *gammas, const double *lambdas,
                         double *deltas) {
    const int64_t n = learner->q.n_params, n_inputs = learner->q.sizes[0];
    if (!NAME(ft_finite)(n, learner->q.params) || !NAME(ft_finite)(n, learner->h.params)) return 0;
    for (int64_t t = 0; t < T; t++) {
        const int64_t action = actions ? actions[t] : 0, action_next = actions ? actions[t + 1] : 0;
        if (!NAME(ft_qrc_step)(learner, states + t * n_inputs, action, action_next, rewards[t], gammas[t],
                               learner->rhos ? learner->rhos[t] : 1.0, deltas + t))
            return t;
        learner->decay = learner->cut && !learner->greedy ? 0.0 : gammas[t] * lambdas[t];
    }
    return T;
}
