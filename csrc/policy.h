/* Choosing actions, and what a state is worth under a target policy. */
#ifndef FT_POLICY_H
#define FT_POLICY_H

#include "trace.h"

FT_INLINE int64_t ft_pick(double part, int64_t count) {
    const int64_t pick = (int64_t)(part * (double)count);
    return pick < count ? pick : count - 1;
}

FT_COLD int ft_any_nan(const double *q, int64_t n_actions) {
    int nan = 0;
    for (int64_t a = 0; a < n_actions; a++) nan |= q[a] != q[a];
    return nan;
}

/* The first of the actions that tie for the best, and how many they are; none where a q is NaN. */
FT_INLINE int64_t ft_best(const double *q, int64_t n_actions, int64_t *ties) {
    /* Without branches: actions cannot be foreseen.  sum is NaN where a q is. */
    double best = q[0], sum = q[0];
    int64_t arg = 0, worse = 1;
    *ties = 0;
    for (int64_t a = 1; a < n_actions; a++) {
        best = q[a] > best ? q[a] : best;
        sum += q[a];
    }
    for (int64_t a = 0; a < n_actions; a++) {
        const int64_t is_best = q[a] >= best;
        *ties += is_best;
        worse &= 1 - is_best;
        arg += worse;
    }
    if (sum != sum && ft_any_nan(q, n_actions)) *ties = 0;
    return arg;
}

/* arg and ties are those of ft_best. */
FT_INLINE int64_t ft_pick_greedy(const double *q, int64_t n_actions, double epsilon, double u, int64_t arg,
                                 int64_t ties) {
    if (u < epsilon) return ft_pick(u / epsilon, n_actions);
    if (ties == 0) return ft_pick(u, n_actions);
    if (ties == 1) return arg;
    const double best = q[arg];
    int64_t pick = ft_pick((u - epsilon) / (1.0 - epsilon), ties);
    for (;; arg++)
        if (q[arg] == best && pick-- == 0) return arg;
}

FT_INLINE int64_t ft_greedy(const double *q, int64_t n_actions, double epsilon, double u) {
    int64_t ties;
    const int64_t arg = ft_best(q, n_actions, &ties);
    return ft_pick_greedy(q, n_actions, epsilon, u, arg, ties);
}

FT_INLINE double ft_max(const double *q, int64_t n_actions) {
    double best = q[0];
    for (int64_t a = 1; a < n_actions; a++) best = q[a] > best ? q[a] : best;
    return best;
}

/* sum_a exp((q(a) - best) / temperature); NaN where q is not finite. */
FT_COLD double ft_partition(const double *q, int64_t n_actions, double best, double temperature) {
    double total = 0.0;
    for (int64_t a = 0; a < n_actions; a++) total += exp((q[a] - best) / temperature);
    return total;
}

FT_COLD int64_t ft_boltzmann(const double *q, int64_t n_actions, double temperature, double u) {
    const double best = ft_max(q, n_actions), total = ft_partition(q, n_actions, best, temperature);
    if (!(total < HUGE_VAL)) return ft_pick(u, n_actions);
    double before = 0.0;
    for (int64_t a = 0; a < n_actions; a++) {
        before += exp((q[a] - best) / temperature);
        if (u * total < before) return a;
    }
    return n_actions - 1;
}

FT_INLINE int64_t ft_act(const double *q, int64_t n_actions, int64_t policy, double parameter,
                         double u) {
    return policy == FT_SOFTMAX ? ft_boltzmann(q, n_actions, parameter, u)
                                : ft_greedy(q, n_actions, parameter, u);
}

/* Whether these are probabilities; their sum is 1 but for rounding. */
FT_INLINE int ft_is_policy(const double *pi, int64_t n_actions) {
    double sum = 0.0;
    int are = 1;
    for (int64_t a = 0; a < n_actions; a++) {
        are &= pi[a] >= 0.0;
        sum += pi[a];
    }
    return are & (fabs(sum - 1.0) <= 1e-6);
}

/* Whether a policy of a learner's own is one: `parameter` is its epsilon, or its temperature. */
FT_INLINE int ft_own_policy_ok(int32_t policy, double parameter) {
    return policy == FT_SOFTMAX
               ? parameter > 0.0 && isfinite(parameter)
               : policy == FT_EPSILON_GREEDY && parameter >= 0.0 && parameter <= 1.0;
}

/* pi(action) of a learner's own policy. */
FT_COLD double ft_probability(const double *q, int64_t n_actions, int64_t policy, double parameter,
                              int64_t action) {
    const double best = ft_max(q, n_actions);
    if (policy == FT_SOFTMAX)
        return exp((q[action] - best) / parameter) / ft_partition(q, n_actions, best, parameter);
    int64_t ties = 0;
    for (int64_t a = 0; a < n_actions; a++) ties += q[a] == best;
    const double greedy = (1.0 - parameter) / (double)ties;
    return parameter / (double)n_actions + (q[action] == best ? greedy : ties ? 0.0 : (double)NAN);
}

/* sum_a pi(a) q(a) of a learner's own policy. */
FT_COLD double ft_own_expectation(const double *FT_RESTRICT q, int64_t n_actions, int64_t policy,
                                  double parameter) {
    double sum = 0.0;
    const double best = ft_max(q, n_actions);
    if (policy == FT_SOFTMAX) {
        const double total = ft_partition(q, n_actions, best, parameter);
        for (int64_t a = 0; a < n_actions; a++)
            sum += exp((q[a] - best) / parameter) / total * q[a];
        return sum;
    }
    int64_t ties = 0;
    for (int64_t a = 0; a < n_actions; a++) ties += q[a] == best;
    const double any = parameter / (double)n_actions, greedy = (1.0 - parameter) / (double)ties;
    for (int64_t a = 0; a < n_actions; a++) sum += (any + (q[a] == best ? greedy : 0.0)) * q[a];
    return ties ? sum : (double)NAN;
}

/* The same of the policy given, or else of the learner's own. */
FT_INLINE double ft_expectation(const double *FT_RESTRICT q, int64_t n_actions,
                                const double *FT_RESTRICT pi, int64_t policy, double parameter) {
    if (!pi) return ft_own_expectation(q, n_actions, policy, parameter);
    double sum = pi[0] * q[0];
    for (int64_t a = 1; a < n_actions; a++) sum += pi[a] * q[a];
    return sum;
}

#endif
