/* The linear learners with one weight vector: whole streams. */
#include "transition.h"
#include "stream.h"
#include "single.h"

FT_INLINE ft_place ft_place_of(const ft_stream *s, int64_t t, int64_t columns, int plain,
                               int control) {
    ft_place x;
    const int64_t action = control ? s->actions[t] : 0;
    const int64_t r = control && columns == 1 ? t * s->n_actions + action : t;
    x.row = ft_row_at(s, r, plain);
    x.column = columns == 1 ? 0 : action;
    return x;
}

/* The traces of what else could have been done in S_t end; rows of state-action pairs. */
FT_COLD void ft_clear_others(const ft_hot *h, const ft_stream *s, int64_t t) {
    for (int64_t a = 0; a < s->n_actions; a++)
        if (a != s->actions[t])
            ft_replace(h, ft_row_at(s, t * s->n_actions + a, 0), 1, 0, 1, 0, 0.0, 1.0);
}

/* Rows that come into cache in time, where most features of a step are new to it and w is large. */
static int64_t ft_prefetch_distance(const ft_trace *t, const ft_stream *s) {
    enum { AHEAD = 6, SAMPLES = 64 };
    if (s->indptr || s->shared || s->steps < 4 * SAMPLES || t->n < 1 << 15) return 0;
    if (t->n >= 1 << 20) return AHEAD;
    int64_t kept = 0;
    for (int64_t i = 0; i < SAMPLES; i++) {
        const int32_t *x = s->indices + s->steps / SAMPLES * i * s->k;
        for (int64_t j = 0; j < s->k; j++) kept += x[j] == x[s->k + j];
    }
    return 2 * kept < SAMPLES * s->k ? AHEAD : 0;
}

/* What kernels are compiled for: state values, Sarsa, and the other targets of action values. */
enum { FT_STATES, FT_SARSA, FT_ACTIONS };

/* q[a] of S_t for every action. */
FT_INLINE void ft_read_actions(const ft_hot *h, const ft_stream *s, int64_t t, int64_t columns,
                               int64_t width, int plain, double *q) {
    if (columns > 1)
        ft_read_values(h, ft_row_at(s, t, plain), width, 0, width, !plain, q);
    else
        for (int64_t a = 0; a < s->n_actions; a++)
            ft_read_values(h, ft_row_at(s, t * s->n_actions + a, 0), 1, 0, 1, 1, q + a);
}

/* The factor of S_t's decay; pi is that of A_t. */
FT_INLINE double ft_factor(const ft_stream *s, int64_t t, double pi) {
    const double rho = s->rhos ? s->rhos[t * s->rho_stride] : 1.0;
    const double sigma = s->sigmas ? s->sigmas[t * s->sigma_stride] : 0.0;
    return ft_factor_of(s->target, rho, sigma, pi);
}

/* pi(A_t|S_t), to be kept; q are the values there, for a policy of the learner's own. */
FT_INLINE double ft_pi_of(const ft_stream *s, int64_t t, const double *q) {
    if (s->pi && ft_needs_pi(s->target)) return ft_kept(s->pi[t * s->n_actions + s->actions[t]]);
    return ft_own_pi(s->target, q, s->n_actions, s->policy, s->parameter, s->actions[t]);
}

/* pi(A_0|S_0), as ft_pi_now has it. */
FT_INLINE double ft_first_pi(const ft_trace *t, const ft_hot *h, const ft_stream *s, int64_t columns,
                             int64_t width, int plain, double *q) {
    if (!ft_needs_pi(s->target)) return 0.0;
    if (!s->pi && (t->pi != 0.0 || t->decay == 0.0)) return t->pi;
    if (!s->pi) ft_read_actions(h, s, 0, columns, width, plain, q);
    return ft_pi_of(s, 0, q);
}

FT_INLINE double ft_target_of(const ft_stream *s, int64_t t, const double *q, int64_t n_actions) {
    return ft_value_of(s->target, q, n_actions, s->pi ? s->pi + t * n_actions : NULL, s->policy,
                       s->parameter);
}

/* Reads q of S_t for every action, and returns the value of S_t.  Of three actions without a loop, and from
 * registers: a choice by an action's number goes through memory. */
FT_INLINE double ft_read_target(const ft_hot *h, const ft_stream *s, int64_t t, int64_t columns,
                                int64_t width, int plain, double *q) {
    if (width == 4 && s->n_actions == 3) {
        double each[4];
        ft_read_actions(h, s, t, columns, width, plain, each);
        for (int64_t a = 0; a < 4; a++) q[a] = each[a];
        return ft_target_of(s, t, each, 3);
    }
    ft_read_actions(h, s, t, columns, width, plain, q);
    return ft_target_of(s, t, q, s->n_actions);
}

/* How the rows of one weight lie: ft_trace.wide where that is a constant. */
enum { FT_NARROW, FT_WIDE, FT_EITHER };

/* k  active features of a state where that is a constant, so that loops over them are unrolled; else 0 */
FT_INLINE void ft_run_at(ft_trace *t, const ft_stream *stream, double *FT_RESTRICT deltas, int kind,
                         int plain, int task, int64_t width, int64_t k, int layout, int bounded) {
    ft_stream copy = *stream; /* stores into rows cannot alias it */
    const ft_stream *const s = &copy;
    if (k) copy.k = k;
    ft_hot h = ft_load(t);
    if (layout != FT_EITHER) ft_lay_out(&h, layout == FT_WIDE);
    ft_carry c = ft_carry_of(t);
    const int control = task != FT_STATES;
    const int64_t columns = control ? t->columns : 1;
    const int64_t ahead = plain && !control ? ft_prefetch_distance(t, s) : 0;
    const int padded = !plain, carried = task != FT_ACTIONS;
    double four[4], *q = width == 4 ? four : s->q; /* what is not memory can stay in registers */
    ft_place x = ft_place_of(s, 0, columns, plain, control);
    if (ft_reads_once(kind) && carried) c.sums = ft_read_at(&h, x, width, padded);
    double pi = 0.0;
    if (task == FT_ACTIONS) pi = ft_first_pi(t, &h, s, columns, width, plain, q);
    for (int64_t i = 0; i < s->steps; i++) {
        const ft_place x_next = ft_place_of(s, i + 1, columns, plain, control);
        if (ahead && i + 1 + ahead <= s->steps)
            for (int64_t j = 0; j < s->k; j++) {
                const int64_t f = x_next.row.idx[ahead * s->k + j];
                FT_PREFETCH(ft_begin(&h, f, 1));
                if (layout != FT_WIDE) FT_PREFETCH(ft_epoch_of(&h, f, 1));
            }
        if (control && ft_clears(kind) && columns == 1) ft_clear_others(&h, s, i);
        ft_numbers n;
        n.reward = s->rewards[i];
        n.gamma_next = s->gammas[i * s->gamma_stride];
        n.lambda_next = s->lambdas[i * s->lambda_stride];
        n.alpha = s->alphas[i * s->alpha_stride];
        n.factor = n.rho = n.pi = n.interest = 1.0;
        n.options = &s->options;
        ft_arrival next = ft_unread();
        if (task == FT_STATES) {
            n.factor = n.rho = s->rhos ? s->rhos[i * s->rho_stride] : 1.0;
            if (ft_is_emphatic(kind) && s->interests) n.interest = s->interests[i * s->interest_stride];
            if (ft_takes_pi(kind) && s->pis) n.pi = s->pis[i * s->pi_stride];
        } else if (task == FT_ACTIONS) {
            n.factor = ft_factor(s, i, pi);
            next.known = 1;
            next.v = ft_read_target(&h, s, i + 1, columns, width, plain, q);
            next.taken = q[s->actions[i + 1]];
            pi = n.gamma_next == 0.0 ? 0.0 : ft_pi_of(s, i + 1, q);
            n.lambda_next = ft_lambda_of(s->target, n.lambda_next, next);
        }
        deltas[i] = ft_transition(t, &h, &c, x, x_next, next, n, kind, width, padded, carried,
                                  plain && !control, bounded);
        x = x_next;
    }
    ft_carry_store(t, &h, &c, s->alphas[(s->steps - 1) * s->alpha_stride]);
    t->pi = pi;
}

FT_INLINE void ft_run(ft_trace *t, const ft_stream *s, double *deltas, int kind, int plain, int task,
                      int64_t width, int64_t k, int layout) {
    ft_run_at(t, s, deltas, kind, plain, task, width, k, layout, 0);
}

/* Dense features: every row changes on every step, so the trace is kept as it is (flat).  Sums run in
 * four lanes, whatever the width of the vectors: the result does not depend on the CPU. */
enum { FT_LANES = 4 };

FT_INLINE ft_pair ft_lane_sum(const ft_pair *s) {
    return ft_pair_add(ft_pair_add(s[0], s[1]), ft_pair_add(s[2], s[3]));
}

/* (w.x, trace.x) and (w.y, trace.y) for rows of width 1 that are flat. */
FT_INLINE void ft_dense_read(const ft_real *FT_RESTRICT rows, int64_t step, const double *FT_RESTRICT x,
                             const double *FT_RESTRICT y, int64_t n, ft_pair *sums,
                             ft_pair *sums_next) {
    ft_pair s[FT_LANES], r[FT_LANES];
    for (int64_t l = 0; l < FT_LANES; l++) s[l] = r[l] = ft_pair_of(0.0, 0.0);
    int64_t i = 0;
    for (; i + FT_LANES <= n; i += FT_LANES)
        for (int64_t l = 0; l < FT_LANES; l++) {
            const ft_pair row = ft_row_load(rows + step * (i + l));
            s[l] = ft_pair_add(s[l], ft_pair_scaled(x[i + l], row));
            r[l] = ft_pair_add(r[l], ft_pair_scaled(y[i + l], row));
        }
    for (int64_t l = 0; i < n; i++, l++) {
        const ft_pair row = ft_row_load(rows + step * i);
        s[l] = ft_pair_add(s[l], ft_pair_scaled(x[i], row));
        r[l] = ft_pair_add(r[l], ft_pair_scaled(y[i], row));
    }
    *sums = ft_lane_sum(s);
    *sums_next = ft_lane_sum(r);
}

/* trace <- decay trace + c x; w <- w + beta x + a trace. */
FT_INLINE void ft_dense_write(ft_real *FT_RESTRICT rows, int64_t step, const double *FT_RESTRICT x, int64_t n,
                              double decay, double c, double a, double beta) {
    const ft_pair kept = ft_pair_of(1.0, decay), added = ft_pair_of(beta, c);
    const ft_pair driven = ft_pair_of(a, 0.0);
    for (int64_t i = 0; i < n; i++) {
        const ft_pair row = ft_pair_add(ft_pair_mul(ft_row_load(rows + step * i), kept),
                                        ft_pair_scaled(x[i], added));
        ft_row_store(rows + step * i, ft_pair_add(row, ft_pair_scaled(ft_second(row), driven)));
    }
}

/* A trace that fades for thousands of steps becomes subnormal, and each product 70 times slower:
 * what is below 1e-200 (1e-30) is cleared now and then, long before. */
#define FT_SUBNORMAL (FT_SINGLE ? 1e-30 : 1e-200)
static void ft_dense_snap(ft_trace *t, ft_real *rows, int64_t step, double decay) {
    t->snap *= decay;
    if (t->snap >= FT_CUT) return;
    t->snap = 1.0;
    for (int64_t i = 0; i < t->n; i++)
        if (fabs((double)rows[step * i + 1]) < FT_SUBNORMAL) rows[step * i + 1] = 0;
}

FT_INLINE void ft_run_dense_at(ft_trace *t, const ft_stream *s, int kind, double *deltas, int64_t step) {
    const int64_t n = t->n;
    ft_carry c = ft_carry_of(t);
    ft_real *const rows = ft_load(t).rows;
    ft_trace_flatten(t);
    for (int64_t i = 0; i < s->steps; i++) {
        const int64_t r = s->actions ? i * s->n_actions + s->actions[i] : i;
        const int64_t r_next = s->actions ? (i + 1) * s->n_actions + s->actions[i + 1] : i + 1;
        const double *x = s->values + r * n;
        ft_handed handed;
        handed.gamma_next = s->gammas[i * s->gamma_stride];
        handed.lambda_next = s->lambdas[i * s->lambda_stride];
        handed.pi = s->pis ? s->pis[i * s->pi_stride] : 1.0;
        handed.c_bar = s->options.c_bar;
        handed.psi = s->options.psi;
        handed.beta = s->options.beta;
        ft_given given = {0};
        given.decay = c.decay;
        given.factor = given.rho = handed.rho = s->rhos ? s->rhos[i * s->rho_stride] : 1.0;
        given.alpha = s->alphas[i * s->alpha_stride];
        given.rho_bar = s->options.rho_bar;
        if (ft_is_emphatic(kind))
            given.M = ft_emphasis(&c, s->interests ? s->interests[i * s->interest_stride] : 1.0);
        const double D = ft_recipe_of(kind, given).D;
        if (D == 0.0) /* assign: 0 times infinity is not 0 */
            for (int64_t j = 0; j < n; j++) rows[step * j + 1] = 0;
        ft_pair sums, sums_next;
        ft_dense_read(rows, step, x, s->values + r_next * n, n, &sums, &sums_next);
        const double v_next = ft_first(sums_next);
        given.v = ft_first(sums);
        given.v_old = D == 0.0 || c.v_old != c.v_old ? given.v : c.v_old;
        given.ex = ft_second(sums) * D;
        given.delta = s->rewards[i] + (handed.gamma_next == 0.0 ? 0.0 : handed.gamma_next * v_next) - given.v;
        const ft_recipe recipe = ft_recipe_of(kind, given);
        ft_dense_write(rows, step, x, n, D, recipe.c, recipe.a, recipe.beta);
        ft_dense_snap(t, rows, step, D);
        c.v_old = v_next;
        ft_follow(&c, kind, handed);
        deltas[i] = given.delta;
    }
    const ft_hot h = ft_load(t);
    ft_carry_store(t, &h, &c, s->alphas[(s->steps - 1) * s->alpha_stride]);
    t->flat = 1;
}

FT_CLONES static void ft_run_dense(ft_trace *t, const ft_stream *s, int kind, double *deltas) {
    if (t->wide && !FT_SINGLE)
        ft_run_dense_at(t, s, kind, deltas, 4);
    else
        ft_run_dense_at(t, s, kind, deltas, 2);
}

/* Each kind is compiled for itself, plain streams again for the usual eight tilings.  Rows of several columns
 * gain from vectors, values do not. */
#define FT_DEFINE_RUNS(name, kind, ...)                                                           \
    static void ft_run_##name(ft_trace *t, const ft_stream *s, double *deltas, int plain) {       \
        if (!FT_IS_HERE(kind)) return;                                                            \
        if (plain && s->k == 8)                                                                   \
            ft_run(t, s, deltas, kind, 1, FT_STATES, 1, 8, FT_NARROW);                            \
        else if (plain)                                                                           \
            ft_run(t, s, deltas, kind, 1, FT_STATES, 1, 0, FT_NARROW);                            \
        else                                                                                      \
            ft_run(t, s, deltas, kind, 0, FT_STATES, 1, 0, FT_EITHER);                            \
    }
#define FT_DEFINE_CONTROL_RUNS(name, kind, folded, replaces, clears, emphatic, true_online, actions, ...) \
    FT_WHERE_##actions(FT_DEFINE_CONTROL_RUN, name, kind)
#define FT_DEFINE_CONTROL_RUN(name, kind)                                                         \
    FT_CLONES_32 static void ft_run_control_##name(ft_trace *t, const ft_stream *s,               \
                                                   double *deltas, int plain) {                   \
        if (!FT_IS_HERE(kind)) return;                                                            \
        if (plain && t->width == 4)                                                               \
            ft_run(t, s, deltas, kind, 1, FT_SARSA, 4, 0, FT_EITHER);                             \
        else                                                                                      \
            ft_run(t, s, deltas, kind, 0, FT_SARSA, t->width, 0, FT_EITHER);                      \
    }                                                                                             \
    FT_CLONES static void ft_run_actions_##name(ft_trace *t, const ft_stream *s, double *deltas) { \
        if (FT_IS_HERE(kind)) ft_run(t, s, deltas, kind, 1, FT_ACTIONS, 4, 8, FT_EITHER);         \
    }
FT_KINDS(FT_DEFINE_RUNS)
FT_KINDS(FT_DEFINE_CONTROL_RUNS)

/* All kinds in one loop: what the kernels above leave out. */
FT_CLONES_32 static void ft_run_control_any(ft_trace *t, const ft_stream *s, double *deltas, int kind) {
    ft_run(t, s, deltas, kind, 0, FT_SARSA, 4, 0, FT_EITHER);
}

FT_CLONES_32 static void ft_run_actions_any(ft_trace *t, const ft_stream *s, double *deltas, int kind,
                                            int plain) {
    if (plain && t->width == 4)
        ft_run(t, s, deltas, kind, 1, FT_ACTIONS, 4, 0, FT_EITHER);
    else if (t->width == 4)
        ft_run(t, s, deltas, kind, 0, FT_ACTIONS, 4, 0, FT_EITHER);
    else
        ft_run(t, s, deltas, kind, 0, FT_ACTIONS, t->width, 0, FT_EITHER);
}

/* All kinds in one loop: a step waits for memory. */
static void ft_run_wide(ft_trace *t, const ft_stream *s, double *deltas, int kind) {
    ft_run(t, s, deltas, kind, 1, FT_STATES, 1, 0, FT_WIDE);
}

static void ft_run_bounded(ft_trace *t, const ft_stream *s, double *deltas, int kind, int plain) {
    if (s->target != FT_TAKEN)
        ft_run_at(t, s, deltas, kind, 0, FT_ACTIONS, t->width, 0, FT_EITHER, 1);
    else if (s->actions)
        ft_run_at(t, s, deltas, kind, 0, FT_SARSA, t->width, 0, FT_EITHER, 1);
    else if (plain && !FT_SINGLE)
        ft_run_at(t, s, deltas, kind, 1, FT_STATES, 1, 0, FT_EITHER, 1);
    else
        ft_run_at(t, s, deltas, kind, 0, FT_STATES, 1, 0, FT_EITHER, 1);
}

FT_CLONES int32_t ft_are_policies(const double *pi, int64_t states, int64_t n_actions) {
    int are = 1;
    for (int64_t i = 0; i < states; i++, pi += n_actions) are &= ft_is_policy(pi, n_actions);
    return are;
}

int32_t ft_td_run(ft_trace *t, int32_t kind, const ft_stream *s, double *deltas) {
    FT_TO_SINGLE(t, td_run, (t, kind, s, deltas))
    if (s->steps == 0) return FT_OK;
    const int control = s->actions != NULL, taken = s->target == FT_TAKEN;
    if (!ft_kind_ok(t, kind, s->values, control) || s->target < FT_TAKEN ||
        s->target > FT_Q_SIGMA || (!taken && !control))
        return FT_EVALUE;
    int padded;
    const int64_t n_actions = t->columns == 1 ? s->n_actions : t->columns;
    const int64_t rows = (s->steps + 1) * (control && t->columns == 1 ? n_actions : 1);
    const int32_t status = ft_check_stream(t, s, rows, &padded);
    if (status != FT_OK) return status;
    if (control)
        for (int64_t i = 0; !s->checked && i <= s->steps; i++)
            if (s->actions[i] < 0 || s->actions[i] >= n_actions) return FT_EACTION;
    if (s->shared && t->width == 1 && taken && t->cap != t->cap) {
        ft_run_dense(t, s, kind, deltas);
        return FT_OK;
    }
    const int plain = !padded && !s->values && !s->indptr && !s->shared;
    if (t->cap == t->cap || FT_SINGLE) {
        ft_run_bounded(t, s, deltas, kind, plain);
        return FT_OK;
    }
    if (plain && !control && t->wide) {
        ft_run_wide(t, s, deltas, kind);
        return FT_OK;
    }
    if (!taken && !(plain && t->width == 4 && s->k == 8)) {
        ft_run_actions_any(t, s, deltas, kind, plain);
        return FT_OK;
    }
    if (control && !plain && t->width == 4) {
        ft_run_control_any(t, s, deltas, kind);
        return FT_OK;
    }
#define FT_CALL_RUN(name, value, ...)                                                             \
    case value: ft_run_##name(t, s, deltas, plain); break;
#define FT_CALL_CONTROL_RUNS(name, value, folded, replaces, clears, emphatic, true_online, actions, ...) \
    FT_WHERE_##actions(FT_CALL_CONTROL_RUN, name, value)
#define FT_CALL_CONTROL_RUN(name, value)                                                          \
    case value:                                                                                   \
        if (taken)                                                                                \
            ft_run_control_##name(t, s, deltas, plain);                                           \
        else                                                                                      \
            ft_run_actions_##name(t, s, deltas);                                                  \
        break;
    if (control) switch (kind) { FT_KINDS(FT_CALL_CONTROL_RUNS) }
    else switch (kind) { FT_KINDS(FT_CALL_RUN) }
    return FT_OK;
}
