/* GQ(lambda): one step, and whole streams.  Its x is GTD's, gradient.h; y is of all actions. */
#include "gradient.h"
#include "policy.h"

/* Rows of S_i: one for all actions, which have columns of their own, or one for each. */
FT_INLINE ft_row ft_gq_row(const ft_stream *s, int64_t i, int64_t a, int64_t columns, int plain) {
    return ft_row_at(s, columns == 1 ? i * s->n_actions + a : i, plain);
}

/* q of S_i and the target policy there: q[0 .. A) and q[A .. 2 A). */
FT_INLINE const double *ft_gq_target(const ft_gradient_hot *h, const ft_stream *s, int64_t i,
                                     int64_t columns, int plain) {
    const int64_t A = s->n_actions;
    double *q = s->q;
    for (int64_t a = 0; a < A; a++)
        q[a] = ft_gradient_value(h, ft_gq_row(s, i, a, columns, plain), columns, columns == 1 ? 0 : a,
                                 !plain, FT_GTD);
    if (s->pi) return s->pi + i * A;
    for (int64_t a = 0; a < A; a++) q[A + a] = ft_probability(q, A, s->policy, s->parameter, a);
    return q + A;
}

/* From x, of the action `column` or of a state-action pair, to S_i of a stream.  Returns delta. */
FT_INLINE double ft_gq_transition(ft_gradient *t, ft_gradient_hot *h, ft_gradient_carry *c, ft_row x,
                                  int64_t column, const ft_stream *s, int64_t i, ft_gradient_numbers n,
                                  int64_t columns, int plain) {
    const int64_t A = s->n_actions;
    const double decay = n.rho * c->decay;
    ft_gradient_decay(t, h, decay);
    ft_gtd g;
    g.sums = ft_gradient_read(h, x, columns, column, !plain, FT_GTD, 1);
    const double *pi = ft_gq_target(h, s, i, columns, plain);
    double v_next = 0.0;
    for (int64_t a = 0; a < A; a++)
        if (pi[a] != 0.0) v_next += pi[a] * s->q[a];
    g.delta = ft_delta(n, ft_w(h, g.sums), v_next);
    ft_gtd_write(h, c, x, columns, column, !plain, n, decay, 1.0, &g);
    if (ft_pushes(n))
        for (int64_t a = 0; a < A; a++)
            if (pi[a] != 0.0)
                ft_gradient_push(h, ft_gq_row(s, i, a, columns, plain), columns, columns == 1 ? 0 : a,
                                 !plain, FT_GTD, pi[a] * g.push);
    ft_gtd_drive(h, c, n, g.delta);
    return g.delta;
}

/* k  as in ft_run of linear.c */
FT_INLINE void ft_gq_loop(ft_gradient *t, double beta, const ft_stream *stream,
                          double *FT_RESTRICT deltas, int64_t columns, int plain, int64_t k) {
    ft_stream copy = *stream;
    const ft_stream *const s = &copy;
    if (k) copy.k = k;
    ft_gradient_hot h = ft_gradient_load(t);
    ft_gradient_carry c = ft_gradient_carry_of(t);
    for (int64_t i = 0; i < s->steps; i++) {
        const int64_t taken = s->actions[i];
        deltas[i] = ft_gq_transition(t, &h, &c, ft_gq_row(s, i, taken, columns, plain),
                                     columns == 1 ? 0 : taken, s, i + 1,
                                     ft_gradient_numbers_of(s, i, beta), columns, plain);
    }
    ft_gradient_carry_store(t, &h, &c, s->alphas[(s->steps - 1) * s->alpha_stride]);
}

FT_CLONES static void ft_gq_plain(ft_gradient *t, double beta, const ft_stream *s, double *deltas) {
    if (s->k == 8)
        ft_gq_loop(t, beta, s, deltas, t->columns, 1, 8);
    else
        ft_gq_loop(t, beta, s, deltas, t->columns, 1, 0);
}

FT_CLONES_32 static void ft_gq_any(ft_gradient *t, double beta, const ft_stream *s, double *deltas) {
    ft_gq_loop(t, beta, s, deltas, t->columns, 0, 0);
}

int32_t ft_gq_run(ft_gradient *t, double beta, const ft_stream *s, double *deltas) {
    if (s->steps == 0) return FT_OK;
    if (t->kind != FT_GTD || !(beta > 0.0) || (t->columns != 1 && t->columns != s->n_actions))
        return FT_EVALUE;
    int padded;
    const int64_t rows = (s->steps + 1) * (t->columns == 1 ? s->n_actions : 1);
    const int32_t status = ft_gradient_check(t, s, rows, &padded);
    if (status != FT_OK) return status;
    for (int64_t i = 0; !s->checked && i <= s->steps; i++)
        if (s->actions[i] < 0 || s->actions[i] >= s->n_actions) return FT_EACTION;
    const int plain = !padded && !s->values && !s->indptr && !s->shared;
    (plain ? ft_gq_plain : ft_gq_any)(t, beta, s, deltas);
    return FT_OK;
}

int32_t ft_gq_step(ft_gradient *t, double beta, int32_t policy, double parameter, const double *pi,
                   int64_t k, const int32_t *idx, const double *val, int64_t action, int64_t k_next,
                   const int32_t *idx_next, const double *val_next, int64_t action_next, double reward,
                   double gamma_next, double lambda_next, double rho, double alpha, double *q,
                   double *delta) {
    const int64_t A = t->columns;
    const ft_gradient_numbers n =
        ft_gradient_numbers_at(reward, gamma_next, lambda_next, rho, alpha, beta);
    if (!ft_gradient_row_ok(t, k, idx) || !ft_gradient_row_ok(t, k_next, idx_next)) return FT_EINDEX;
    if (action < 0 || action >= A || action_next < 0 || action_next >= A) return FT_EACTION;
    if (t->kind != FT_GTD || !ft_numbers_ok(t, n) ||
        !(pi ? ft_is_policy(pi, A) : ft_own_policy_ok(policy, parameter)))
        return FT_EVALUE;
    static const int32_t none = -1;
    ft_stream s; /* of S_{t+1} alone */
    memset(&s, 0, sizeof s);
    s.k = k_next;
    s.indices = idx_next ? idx_next : &none; /* rows are counted from there */
    s.values = val_next;
    s.n_actions = A;
    s.policy = policy;
    s.parameter = parameter;
    s.pi = pi;
    s.q = q;
    ft_gradient_hot h = ft_gradient_load(t);
    ft_gradient_carry c = ft_gradient_carry_of(t);
    *delta = ft_gq_transition(t, &h, &c, ft_row_of(k, idx, val), action, &s, 0, n, A, 0);
    ft_gradient_carry_store(t, &h, &c, alpha);
    return FT_OK;
}
