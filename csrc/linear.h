/* One transition of the linear learners with a single weight vector: scalars between the four verbs.
 * Shared by the stream kernels and the simulation. */
#ifndef FT_LINEAR_H
#define FT_LINEAR_H

#include "policy.h"

/* For code that is compiled for each kind of trace; emphatic ones are for state values. */
#define FT_CONTROL_KINDS(CASE)                                                                    \
    CASE(accumulating, FT_ACCUMULATING)                                                           \
    CASE(replacing, FT_REPLACING)                                                                 \
    CASE(replacing_clear, FT_REPLACING_CLEAR)                                                     \
    CASE(dutch, FT_DUTCH)                                                                         \
    CASE(true_online, FT_TRUE_ONLINE)
#define FT_KINDS(CASE)                                                                            \
    FT_CONTROL_KINDS(CASE)                                                                        \
    CASE(emphatic, FT_EMPHATIC)                                                                   \
    CASE(true_online_emphatic, FT_TRUE_ONLINE_EMPHATIC)

/* What one transition hands to the next, and its first half to its second. */
typedef struct {
    double decay, v_old, followon, lambda, cap; /* as in ft_trace */
    ft_pair sums;                               /* the last read of the state that is learned about */
    double v;
} ft_carry;

FT_INLINE ft_carry ft_carry_of(const ft_trace *t) {
    ft_carry c;
    c.decay = t->decay;
    c.v_old = t->v_old;
    c.followon = t->followon;
    c.lambda = t->lambda_;
    c.cap = t->cap;
    c.sums = ft_pair_of(0.0, 0.0);
    c.v = 0.0;
    return c;
}

FT_INLINE void ft_carry_store(ft_trace *t, const ft_hot *h, const ft_carry *c, double alpha) {
    ft_store(t, h);
    t->decay = c->decay;
    t->v_old = c->v_old;
    t->followon = c->followon;
    t->lambda_ = c->lambda;
    t->cap = c->cap;
    t->alpha = alpha;
    t->pi = 0.0; /* those that need one put it there */
}

/* Accumulating and replacing writes leave w alone: two passes over features, not three.  Where one value
 * of x_next will do, it is read after the write, and that read, moved by the drive, is the next step's read
 * of x.  Where all actions are looked at, they are read before the write, which then reads x as it goes. */
FT_INLINE int ft_reads_once(int kind) { return kind < FT_DUTCH || kind == FT_EMPHATIC; }

FT_INLINE int ft_is_emphatic(int kind) { return kind >= FT_EMPHATIC; }

FT_INLINE int ft_is_true_online(int kind) {
    return kind == FT_TRUE_ONLINE || kind == FT_TRUE_ONLINE_EMPHATIC;
}

/* The emphasis M_t.  The followon trace is F_t = rho_{t-1} gamma_t F_{t-1} + i_t (12.11). */
FT_INLINE double ft_emphasis(ft_carry *c, double interest) {
    c->followon += interest;
    return c->lambda * interest + (1.0 - c->lambda) * c->followon;
}

FT_INLINE void ft_follow(ft_carry *c, double rho, double gamma_next, double lambda_next) {
    const double kept = rho * gamma_next;
    c->followon = kept == 0.0 ? 0.0 : kept * c->followon;
    c->lambda = lambda_next;
}

/* Features, and the column of the weights that they read. */
typedef struct {
    ft_row row;
    int64_t column;
} ft_place;

FT_INLINE ft_pair ft_read_at(const ft_hot *h, ft_place x, int64_t width, int padded) {
    return ft_read(h, x.row, width, x.column, padded);
}

/* How far z of row i has moved its weight: w = b + z moved. */
FT_INLINE double ft_moved(const ft_hot *h, int64_t i) {
    const ft_pair g = ft_since(h, i);
    return ft_first(g) + ft_second(g) * h->drive;
}

/* q[a] = w.x of `columns` columns from `first` on.  A weight at a time, so that weights of 0 sum to 0
 * and ties stay ties; features in twos, as in ft_read. */
FT_INLINE void ft_read_values(const ft_hot *h, ft_row x, int64_t width, int64_t first,
                              int64_t columns, int padded, double *FT_RESTRICT q) {
#if FT_VECTORS
    if (width == 4 && columns == 4) {
        ft_four sum = {0.0, 0.0, 0.0, 0.0};
        for (int64_t j = 0;;) {
            const int64_t one = ft_next(x, &j, padded), two = ft_next(x, &j, padded);
            if (one < 0) break;
            const ft_four *r = (const ft_four *)(const void *)(h->rows + 8 * (int64_t)x.idx[one]);
            const double size = x.val ? x.val[one] : 1.0;
            ft_four both = size * (r[0] + r[1] * ft_moved(h, x.idx[one]));
            if (two >= 0) {
                const ft_four *s = (const ft_four *)(const void *)(h->rows + 8 * (int64_t)x.idx[two]);
                const double other = x.val ? x.val[two] : 1.0;
                both += other * (s[0] + s[1] * ft_moved(h, x.idx[two]));
            }
            sum += both;
        }
        for (int64_t a = 0; a < 4; a++) q[a] = sum[a];
        return;
    }
#endif
    for (int64_t a = 0; a < columns; a++) q[a] = 0.0;
    for (int64_t j = 0;;) {
        const int64_t one = ft_next(x, &j, padded), two = ft_next(x, &j, padded);
        if (one < 0) return;
        const double *r = h->rows + 2 * width * x.idx[one] + first;
        const double r_moved = ft_moved(h, x.idx[one]), r_size = x.val ? x.val[one] : 1.0;
        if (two < 0) {
            for (int64_t a = 0; a < columns; a++) q[a] += r_size * (r[a] + r[width + a] * r_moved);
            return;
        }
        const double *s = h->rows + 2 * width * x.idx[two] + first;
        const double s_moved = ft_moved(h, x.idx[two]), s_size = x.val ? x.val[two] : 1.0;
        for (int64_t a = 0; a < columns; a++)
            q[a] += r_size * (r[a] + r[width + a] * r_moved) + s_size * (s[a] + s[width + a] * s_moved);
    }
}

/* The value that the next action was chosen by: that of ft_read_values, of one column.  It stands
 * for v_next where a trace is dutch, and no sums of x_next are needed. */
FT_INLINE int ft_values_before(int kind, int64_t width) {
    return width > 1 && !ft_reads_once(kind);
}

FT_INLINE double ft_value_before(const ft_hot *h, ft_place x, int64_t width, int padded) {
    double q;
    ft_read_values(h, x.row, width, x.column, 1, padded, &q);
    return q;
}

/* ---- targets of action values, enum ft_target ---- */

FT_INLINE int ft_needs_pi(int64_t target) {
    return target == FT_TREE_BACKUP || target == FT_Q_SIGMA;
}

/* What decays the trace of (S_t, A_t) beside gamma_t lambda_t; pi is that of A_t as ft_trace keeps it. */
FT_INLINE double ft_factor_of(int64_t target, double rho, double sigma, double pi) {
    if (pi < 0.0) pi = 0.0;
    return target == FT_EXPECTED      ? rho
           : target == FT_TREE_BACKUP ? pi
           : target == FT_RETRACE     ? (rho < 1.0 ? rho : 1.0)
           : target == FT_Q_SIGMA     ? sigma * rho + (1.0 - sigma) * pi
                                      : 1.0;
}

/* The value of S_{t+1}, from q of its actions. */
FT_INLINE double ft_value_of(int64_t target, const double *q, int64_t n_actions, const double *pi,
                             int64_t policy, double parameter) {
    return target == FT_WATKINS || target == FT_NAIVE
               ? ft_max(q, n_actions)
               : ft_expectation(q, n_actions, pi, policy, parameter);
}

/* A probability as ft_trace keeps it, where 0 says that there is none. */
FT_INLINE double ft_kept(double pi) { return pi == 0.0 ? -1.0 : pi; }

/* pi(action) of a learner's own policy, to be kept; none where the target has no need of it. */
FT_INLINE double ft_own_pi(int64_t target, const double *q, int64_t n_actions, int64_t policy,
                           double parameter, int64_t action) {
    return ft_needs_pi(target) ? ft_kept(ft_probability(q, n_actions, policy, parameter, action))
                               : 0.0;
}

/* pi(A_t|S_t) of a learner's own policy as the last step left it, or else under w; 0 where it has no use. */
FT_INLINE double ft_pi_now(const ft_trace *t, const ft_hot *h, ft_place x, int64_t target,
                           int64_t policy, double parameter, int64_t width, int padded, double *q) {
    if (!ft_needs_pi(target)) return 0.0;
    if (t->pi != 0.0 || t->decay == 0.0) return t->pi;
    ft_read_values(h, x.row, width, 0, width, padded, q);
    return ft_own_pi(target, q, t->columns, policy, parameter, x.column);
}

/* AlphaBound: no step may overshoot, alpha <= 1 / |trace.(gamma' x' - x)| where that is negative.
 * Dabney & Barto 2012.  Read after the write. */
FT_COLD double ft_capped(const ft_hot *h, ft_carry *c, ft_place x, ft_pair sums_next,
                         double gamma_next, double alpha, int64_t width) {
    const double zx = ft_second(ft_read_at(h, x, width, 1)) * h->scale;
    const double zx_next = gamma_next == 0.0 ? 0.0 : gamma_next * (ft_second(sums_next) * h->scale);
    const double moved = zx_next - zx;
    if (moved < 0.0 && -1.0 / moved < c->cap) c->cap = -1.0 / moved;
    return alpha < c->cap ? alpha : c->cap;
}

/* A transition has two halves.  x_next is read between them, or before both where all actions are looked at.
 *
 * decay    of the trace, with the ratio that belongs to it
 * weight   of what is added to it: rho for state values, with the emphasis if there is one; else 1
 * carried  whether c->sums holds the read of x already; only where ft_reads_once
 *
 * near     whether the loop is compiled once, see ft_close_near
 *
 * First half: decay, and v.  kind, width, padded, carried and near are constants where speed matters. */
FT_INLINE void ft_leave_near(ft_trace *t, ft_hot *h, ft_carry *c, ft_place x, double decay, double weight,
                             int kind, int64_t width, int padded, int carried, int near) {
    if (ft_reads_once(kind)) {
        if (carried) c->v = ft_value(h, c->sums);
        ft_decay(t, h, decay, near);
        const ft_pair sums =
            kind == FT_ACCUMULATING || kind == FT_EMPHATIC
                ? ft_write(h, x.row, width, x.column, padded, weight, 0.0, 1.0 / h->scale)
                : ft_replace(h, x.row, width, x.column, padded, kind == FT_REPLACING_CLEAR, weight,
                             1.0 / h->scale);
        if (!carried) c->v = ft_value(h, sums);
    } else {
        ft_decay(t, h, decay, near);
        c->sums = ft_read_at(h, x, width, padded);
        c->v = ft_value(h, c->sums);
        if (decay == 0.0 || c->v_old != c->v_old) c->v_old = c->v;
    }
}

FT_INLINE void ft_leave(ft_trace *t, ft_hot *h, ft_carry *c, ft_place x, double decay,
                        double weight, int kind, int64_t width, int padded, int carried) {
    ft_leave_near(t, h, c, x, decay, weight, kind, width, padded, carried, 0);
}

/* Second half: the TD error, and what it changes.  v_next is the value of S_{t+1}; taken that of x_next
 * as it is, which is the same but for the expected values of actions; sums_next its read.
 * bounded: 0 where alpha has no bound, and no registers are to be kept free for a call that finds one. */
FT_INLINE double ft_arrive_at(ft_hot *h, ft_carry *c, ft_place x, ft_pair sums_next, double v_next,
                              double taken, double reward, double gamma_next, double lambda_next,
                              double weight, double alpha, int kind, int64_t width, int padded,
                              int bounded) {
    const double delta = reward + (gamma_next == 0.0 ? 0.0 : gamma_next * v_next) - c->v;
    if (ft_reads_once(kind)) {
        if (bounded && c->cap == c->cap) alpha = ft_capped(h, c, x, sums_next, gamma_next, alpha, width);
        ft_drive(h, alpha * delta);
    } else {
        const double step = alpha * weight, dv = ft_is_true_online(kind) ? c->v - c->v_old : 0.0;
        ft_write(h, x.row, width, x.column, padded,
                 step * (1.0 - ft_second(c->sums) * h->scale), -step * dv, 1.0 / h->scale);
        ft_drive(h, delta + dv);
        c->v_old = taken;
    }
    c->sums = sums_next;
    c->decay = gamma_next * lambda_next;
    return delta;
}

FT_INLINE double ft_arrive(ft_hot *h, ft_carry *c, ft_place x, ft_pair sums_next, double v_next,
                           double taken, double reward, double gamma_next, double lambda_next,
                           double weight, double alpha, int kind, int64_t width, int padded) {
    return ft_arrive_at(h, c, x, sums_next, v_next, taken, reward, gamma_next, lambda_next, weight, alpha,
                        kind, width, padded, 1);
}

#endif
