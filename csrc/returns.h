/* One transition of a return: what it hands on, given what was handed to it.  See enum ft_family. */
#ifndef FT_RETURNS_H
#define FT_RETURNS_H

#include "trace.h"

typedef struct {
    double reward, v, v_next, v_cut; /* v_cut: of the state in which it was truncated */
    double rho, pi, sigma, q_next;
    double gamma, lambda, rho_bar, c_bar;
    int64_t flag;
} ft_transition;

/* What weighs 0 is left out: it may be NaN. */
FT_INLINE double ft_weighed(double w, double x) { return w != 0.0 ? w * x : 0.0; }
FT_INLINE double ft_at_most(double bound, double x) { return x > bound ? bound : x; } /* NaN stays */

FT_INLINE int ft_has_ends(int family) {
    return family == FT_LAMBDA || family == FT_OFF_POLICY || family == FT_UPGO;
}

/* The weight of the return after this transition, without an importance ratio. */
FT_INLINE double ft_discount(int family, const ft_transition *x) {
    const double lambda = family == FT_UPGO && !(x->q_next >= x->v_next) ? 0.0 : x->lambda;
    return x->flag & (FT_TERMINATED | FT_TRUNCATED) ? 0.0 : x->gamma * lambda;
}

/* Reward and bootstrap. */
FT_INLINE double ft_target(int family, const ft_transition *x) {
    const double lambda = family == FT_UPGO && !(x->q_next >= x->v_next) ? 0.0 : x->lambda;
    const double mixed = x->gamma * (1.0 - lambda), v_next = x->flag & FT_TRUNCATED ? x->v_cut : x->v_next;
    double w = x->flag & FT_TRUNCATED || !ft_has_ends(family) ? x->gamma : mixed;
    if (family == FT_SUM) w = x->flag & FT_TRUNCATED ? x->gamma * x->lambda : 0.0;
    w = x->flag & FT_TERMINATED ? 0.0 : w;
    return x->reward + ft_weighed(w, v_next);
}

/* The weight that a transition's return has in the one before it. */
FT_INLINE double ft_correction(int family, const ft_transition *x) {
    if (family == FT_RETRACE) return ft_at_most(1.0, x->rho);
    if (family == FT_Q_SIGMA)
        return ft_weighed(x->sigma, x->rho) + ft_weighed(1.0 - x->sigma, x->pi);
    return x->rho;
}

FT_INLINE int ft_of_actions(int family) {
    return family == FT_ACTION || family == FT_RETRACE || family == FT_Q_SIGMA;
}

/* What the transition hands on is a + c Y: for the loops that compose transitions. */
FT_INLINE void ft_affine(int family, const ft_transition *x, double *a, double *c) {
    const double target = ft_target(family, x), decay = ft_discount(family, x);
    *a = target;
    *c = decay;
    if (family == FT_OFF_POLICY) {
        *a = ft_weighed(x->rho, target) + ft_weighed(1.0 - x->rho, x->v);
        *c = ft_weighed(decay, x->rho);
    } else if (ft_of_actions(family)) {
        const double w = ft_correction(family, x);
        *a = ft_weighed(w, target - x->v);
        *c = ft_weighed(decay, w);
    } else if (family == FT_GAE) {
        *a = target - x->v;
    } else if (family == FT_VTRACE) {
        *a = ft_weighed(ft_at_most(x->rho_bar, x->rho), target - x->v);
        *c = ft_weighed(decay, ft_at_most(x->c_bar, x->rho));
    }
    *a = x->flag & FT_SKIPPED ? 0.0 : *a;
    *c = x->flag & FT_SKIPPED ? 1.0 : *c;
}

/* Y after the transition to Y before it, which is returned; out, second: the results. */
FT_INLINE double ft_transit(int family, const ft_transition *x, double Y, double *out, double *second) {
    const double target = ft_target(family, x), decay = ft_discount(family, x);
    const double whole = target + ft_weighed(decay, Y);
    double y = whole, first = whole, other = 0.0;
    if (family == FT_OFF_POLICY) {
        first = y = ft_weighed(x->rho, whole) + ft_weighed(1.0 - x->rho, x->v);
    } else if (ft_of_actions(family)) {
        y = ft_weighed(ft_correction(family, x), whole - x->v);
    } else if (family == FT_GAE) {
        first = y = target - x->v + ft_weighed(decay, Y);
        other = first + x->v;
    } else if (family == FT_VTRACE) {
        const double rho = ft_at_most(x->rho_bar, x->rho);
        const double carried = ft_weighed(decay, ft_at_most(x->c_bar, x->rho));
        const double gamma = x->flag & (FT_TERMINATED | FT_TRUNCATED) ? 0.0 : x->gamma;
        y = ft_weighed(rho, target - x->v) + ft_weighed(carried, Y);
        first = x->v + y;
        other = ft_weighed(rho, target - x->v + ft_weighed(gamma, Y));
    }
    *out = x->flag & FT_SKIPPED ? 0.0 : first;
    *second = x->flag & FT_SKIPPED ? 0.0 : other;
    return x->flag & FT_SKIPPED ? Y : y;
}

#endif
