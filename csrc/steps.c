/* The linear learners with one weight vector: one step. */
#include "transition.h"
#include "stream.h"
#include "single.h"

static int ft_step_numbers_ok(double reward, double gamma, double lambda, double rho, double alpha) {
    return isfinite(reward) && gamma >= 0.0 && gamma <= 1.0 && lambda >= 0.0 && lambda <= 1.0 &&
           rho >= 0.0 && isfinite(rho) && alpha > 0.0 && isfinite(alpha);
}

static const ft_options ft_no_options = {0};

static int ft_row_ok(ft_trace *t, int64_t k, const int32_t *idx) {
    const int32_t *bad = ft_first_bad(idx, k, t->n);
    if (bad) t->bad_index = *bad;
    return bad == NULL;
}

FT_INLINE double ft_one_step(ft_trace *t, ft_place x, ft_place x_next, ft_numbers n, int kind,
                             int64_t width) {
    ft_hot h = ft_load(t);
    ft_carry c = ft_carry_of(t);
    if (ft_reads_once(kind)) c.sums = ft_read_at(&h, x, width, 1);
    const double delta =
        ft_transition(t, &h, &c, x, x_next, ft_unread(), n, kind, width, 1, 1, 0, 1);
    ft_carry_store(t, &h, &c, n.alpha);
    return delta;
}

/* Of state values; for action values factor and rho are 1. */
FT_INLINE ft_numbers ft_numbers_of(double reward, double gamma_next, double lambda_next, double rho,
                                   double pi, double interest, double alpha, const ft_options *options) {
    ft_numbers n;
    n.reward = reward;
    n.gamma_next = gamma_next;
    n.lambda_next = lambda_next;
    n.factor = n.rho = rho;
    n.pi = pi;
    n.interest = interest;
    n.alpha = alpha;
    n.options = options;
    return n;
}

static double ft_any_step(ft_trace *t, int32_t kind, ft_place x, ft_place x_next, double reward,
                          double gamma_next, double lambda_next, double rho, double pi,
                          double interest, double alpha, const ft_options *options) {
    const ft_numbers n =
        ft_numbers_of(reward, gamma_next, lambda_next, rho, pi, interest, alpha, options);
#define FT_CALL_STEP(name, value, ...)                                          \
    case value:                                                                 \
        if (FT_IS_HERE(value)) return ft_one_step(t, x, x_next, n, value, 1);   \
        break;
#define FT_CALL_WIDE_STEPS(name, value, folded, replaces, clears, emphatic, true_online, actions, ...) \
    FT_WHERE_##actions(FT_CALL_WIDE_STEP, name, value)
#define FT_CALL_WIDE_STEP(name, value)                                          \
    case value:                                                                 \
        if (FT_IS_HERE(value)) return ft_one_step(t, x, x_next, n, value, 4);   \
        break;
    if (t->width == 1 && !FT_SINGLE) switch (kind) { FT_KINDS(FT_CALL_STEP) }
    if (t->width == 4 && !FT_SINGLE) switch (kind) { FT_KINDS(FT_CALL_WIDE_STEPS) }
    return ft_one_step(t, x, x_next, n, kind, t->width);
}

static ft_place ft_place_at(int64_t k, const int32_t *idx, const double *val, int64_t column) {
    ft_place x;
    x.row.k = k;
    x.row.idx = idx;
    x.row.val = val;
    x.column = column;
    return x;
}

static int ft_options_ok(const ft_options *o) {
    return o->c_bar >= 0.0 && o->rho_bar >= 0.0 && o->psi >= 0.0 && o->beta >= 0.0 && o->beta <= 1.0;
}

/* pi and rho are of one action: pi / rho, how likely it was, is a probability. */
static int ft_pi_ok(double pi, double rho) {
    return pi >= 0.0 && pi <= 1.0 && (pi > 0.0) == (rho > 0.0) && pi <= rho * (1.0 + 1e-6);
}

int32_t ft_state_step(ft_trace *t, int32_t kind, const ft_options *options, int64_t k,
                      const int32_t *idx, const double *val, int64_t k_next,
                      const int32_t *idx_next, const double *val_next, double reward,
                      double gamma_next, double lambda_next, double rho, double pi, double interest,
                      double alpha, double *delta) {
    /* Callers that have arrays of any origin leave it to this to tell of those that no int32_t * may see. */
    FT_TO_SINGLE(t, state_step, (t, kind, options, k, idx, val, k_next, idx_next, val_next, reward, gamma_next,
                                    lambda_next, rho, pi, interest, alpha, delta))
    if ((((uintptr_t)idx | (uintptr_t)idx_next) & (sizeof(int32_t) - 1)) != 0) return FT_EVALUE;
    if (!ft_row_ok(t, k, idx) || !ft_row_ok(t, k_next, idx_next)) return FT_EINDEX;
    if (!options) options = &ft_no_options;
    if (!ft_step_numbers_ok(reward, gamma_next, lambda_next, rho, alpha) ||
        !(interest >= 0.0 && isfinite(interest)) || !ft_kind_ok(t, kind, val, 0) ||
        !ft_options_ok(options) || (ft_takes_pi(kind) && !ft_pi_ok(pi, rho)))
        return FT_EVALUE;
    *delta = ft_any_step(t, kind, ft_place_at(k, idx, val, 0),
                         ft_place_at(k_next, idx_next, val_next, 0), reward, gamma_next,
                         lambda_next, rho, pi, interest, alpha, options);
    return FT_OK;
}

int32_t ft_emphatic_td_step(ft_trace *t, int32_t kind, int64_t k, const int32_t *idx,
                            const double *val, int64_t k_next, const int32_t *idx_next,
                            const double *val_next, double reward, double gamma_next,
                            double lambda_next, double rho, double interest, double alpha,
                            double *delta) {
    return ft_state_step(t, kind, NULL, k, idx, val, k_next, idx_next, val_next, reward, gamma_next,
                         lambda_next, rho, rho, interest, alpha, delta);
}

int32_t ft_td_step(ft_trace *t, int32_t kind, int64_t k, const int32_t *idx, const double *val,
                   int64_t k_next, const int32_t *idx_next, const double *val_next, double reward,
                   double gamma_next, double lambda_next, double rho, double alpha, double *delta) {
    return ft_emphatic_td_step(t, kind, k, idx, val, k_next, idx_next, val_next, reward, gamma_next,
                               lambda_next, rho, 1.0, alpha, delta);
}

static int32_t ft_check_transition(ft_trace *t, int32_t kind, ft_place x, ft_place x_next,
                                   double reward, double gamma, double lambda, double alpha) {
    if (!ft_row_ok(t, x.row.k, x.row.idx) || !ft_row_ok(t, x_next.row.k, x_next.row.idx))
        return FT_EINDEX;
    if (x.column < 0 || x.column >= t->columns || x_next.column < 0 || x_next.column >= t->columns)
        return FT_EACTION;
    if (!ft_step_numbers_ok(reward, gamma, lambda, 1.0, alpha) || !ft_kind_ok(t, kind, x.row.val, 1))
        return FT_EVALUE;
    return FT_OK;
}

int32_t ft_sarsa_step(ft_trace *t, int32_t kind, int64_t k, const int32_t *idx, const double *val,
                      int64_t action, int64_t k_next, const int32_t *idx_next,
                      const double *val_next, int64_t action_next, double reward,
                      double gamma_next, double lambda_next, double alpha, double *delta) {
    FT_TO_SINGLE(t, sarsa_step, (t, kind, k, idx, val, action, k_next, idx_next, val_next, action_next, reward,
                                    gamma_next, lambda_next, alpha, delta))
    const ft_place x = ft_place_at(k, idx, val, action);
    const ft_place x_next = ft_place_at(k_next, idx_next, val_next, action_next);
    const int32_t status =
        ft_check_transition(t, kind, x, x_next, reward, gamma_next, lambda_next, alpha);
    if (status == FT_OK)
        *delta = ft_any_step(t, kind, x, x_next, reward, gamma_next, lambda_next, 1.0, 1.0, 1.0, alpha,
                             &ft_no_options);
    return status;
}

/* As ft_run has a step of FT_ACTIONS. */
static double ft_own_step(ft_trace *t, int32_t kind, ft_place x, ft_place x_next, int64_t target,
                          int64_t policy, double parameter, double sigma, double reward,
                          double gamma_next, double lambda_next, double alpha, double *q) {
    ft_numbers n =
        ft_numbers_of(reward, gamma_next, lambda_next, 1.0, 1.0, 1.0, alpha, &ft_no_options);
    const int64_t n_actions = t->columns, width = t->width;
    ft_hot h = ft_load(t);
    ft_carry c = ft_carry_of(t);
    double pi = ft_pi_now(t, &h, x, target, policy, parameter, width, 1, q);
    n.factor = ft_factor_of(target, 1.0, sigma, pi);
    ft_read_values(&h, x_next.row, width, 0, width, 1, q);
    ft_arrival next;
    next.known = 1;
    next.v = ft_value_of(target, q, n_actions, NULL, policy, parameter);
    next.taken = q[x_next.column];
    n.lambda_next = ft_lambda_of(target, n.lambda_next, next);
    pi = n.gamma_next == 0.0 ? 0.0
                             : ft_own_pi(target, q, n_actions, policy, parameter, x_next.column);
    const double delta = ft_transition(t, &h, &c, x, x_next, next, n, kind, width, 1, 0, 0, 1);
    ft_carry_store(t, &h, &c, n.alpha);
    t->pi = pi;
    return delta;
}

int32_t ft_control_step(ft_trace *t, int32_t kind, int32_t target, int32_t policy, double parameter,
                        double sigma, int64_t k, const int32_t *idx, const double *val,
                        int64_t action, int64_t k_next, const int32_t *idx_next,
                        const double *val_next, int64_t action_next, double reward,
                        double gamma_next, double lambda_next, double alpha, double *q,
                        double *delta) {
    FT_TO_SINGLE(t, control_step, (t, kind, target, policy, parameter, sigma, k, idx, val, action, k_next,
                                      idx_next, val_next, action_next, reward, gamma_next, lambda_next, alpha, q,
                                      delta))
    const ft_place x = ft_place_at(k, idx, val, action);
    const ft_place x_next = ft_place_at(k_next, idx_next, val_next, action_next);
    const int32_t status =
        ft_check_transition(t, kind, x, x_next, reward, gamma_next, lambda_next, alpha);
    if (status != FT_OK) return status;
    if (target < FT_TAKEN || target > FT_Q_SIGMA || !ft_own_policy_ok(policy, parameter) ||
        !(sigma >= 0.0 && sigma <= 1.0))
        return FT_EVALUE;
    *delta = target == FT_TAKEN
                 ? ft_any_step(t, kind, x, x_next, reward, gamma_next, lambda_next, 1.0, 1.0, 1.0, alpha,
                               &ft_no_options)
                 : ft_own_step(t, kind, x, x_next, target, policy, parameter, sigma, reward,
                               gamma_next, lambda_next, alpha, q);
    return FT_OK;
}

int32_t ft_values(ft_trace *t, const ft_stream *x, int64_t rows, double *out) {
    FT_TO_SINGLE(t, values, (t, x, rows, out))
    int padded;
    const int32_t status = ft_check_stream(t, x, rows, &padded);
    if (status != FT_OK) return status;
    const ft_hot h = ft_load(t);
    for (int64_t r = 0; r < rows; r++)
        ft_read_values(&h, ft_row_at(x, r, 0), t->width, 0, t->columns, 1, out + r * t->columns);
    return FT_OK;
}
