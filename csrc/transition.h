/* One transition of the linear learners with a single weight vector: what a kind of trace is, and the order of
 * a step between the four verbs.  Everything that learns so calls ft_transition: streams, single steps,
 * agents, the simulation, the critic of actor_critic.c. */
#ifndef FT_TRANSITION_H
#define FT_TRANSITION_H

#include "policy.h"

/* A kind of trace is a row, enum ft_kind.
 *
 *   folded       the step size is in the trace, e = alpha z
 *   replaces     the trace is set where others add to it; features without values
 *   clears       and that of the other actions ends
 *   emphatic     there is a followon trace, and an emphasis M
 *   true_online  v_old is what S_t was worth before the last update
 *   actions      for action values, too
 *   takes_pi     asks for pi of the action taken
 *   D c beta a   the scalars of a step, see ft_recipe, of the numbers of ft_given
 *   decay, kept  what is handed to the next step, of the numbers of ft_handed: gamma lambda of the state
 *                arrived in, with a factor of this step where that belongs to it; and how much of the
 *                followon trace goes on
 *
 * Names and values are those of fasttrace.h. */
#define FT_KINDS(ROW)                                                                              \
    ROW(accumulating, FT_ACCUMULATING, 0, 0, 0, 0, 0, 1, 0,                                        \
        factor * decay, rho, 0.0, alpha * delta, gamma_next * lambda_next, 0.0)                    \
    ROW(replacing, FT_REPLACING, 0, 1, 0, 0, 0, 1, 0,                                              \
        factor * decay, rho, 0.0, alpha * delta, gamma_next * lambda_next, 0.0)                    \
    ROW(replacing_clear, FT_REPLACING_CLEAR, 0, 1, 1, 0, 0, 1, 0,                                  \
        factor * decay, rho, 0.0, alpha * delta, gamma_next * lambda_next, 0.0)                    \
    ROW(dutch, FT_DUTCH, 1, 0, 0, 0, 0, 1, 0,                                                      \
        factor * decay, alpha * rho * (1.0 - ex), 0.0, delta, gamma_next * lambda_next, 0.0)       \
    ROW(true_online, FT_TRUE_ONLINE, 1, 0, 0, 0, 1, 1, 0,                                          \
        factor * decay, alpha * rho * (1.0 - ex), -(alpha * rho) * (v - v_old), delta + (v - v_old), \
        gamma_next * lambda_next, 0.0)                                                             \
    ROW(emphatic, FT_EMPHATIC, 0, 0, 0, 1, 0, 0, 0,                                                \
        factor * decay, rho * M, 0.0, alpha * delta, gamma_next * lambda_next, rho * gamma_next)   \
    ROW(true_online_emphatic, FT_TRUE_ONLINE_EMPHATIC, 1, 0, 0, 1, 1, 0, 0,                        \
        factor * decay, alpha * (rho * M) * (1.0 - ex), -(alpha * (rho * M)) * (v - v_old),        \
        delta + (v - v_old), gamma_next * lambda_next, rho * gamma_next)                           \
    ROW(vtrace_td, FT_VTRACE_TD, 0, 0, 0, 0, 0, 0, 0,                                              \
        decay, 1.0, 0.0, alpha * ft_min(rho_bar, rho) * delta,                                     \
        gamma_next * lambda_next * ft_min(c_bar, rho), 0.0)                                        \
    ROW(tree_backup_td, FT_TREE_BACKUP_TD, 0, 0, 0, 0, 0, 0, 1,                                    \
        decay, 1.0, 0.0, alpha * rho * delta,                                                      \
        gamma_next * lambda_next * pi, 0.0)                                                        \
    ROW(ab_td, FT_AB_TD, 0, 0, 0, 0, 0, 0, 1,                                                      \
        decay, 1.0, 0.0, alpha * rho * delta,                                                      \
        gamma_next * ft_min(psi * pi, ft_min(1.0, rho)), 0.0)                                      \
    ROW(emphatic_beta, FT_EMPHATIC_BETA, 0, 0, 0, 1, 0, 0, 0,                                      \
        factor * decay, rho * M, 0.0, alpha * delta, gamma_next * lambda_next, rho * beta)

/* FT_WHERE_##column(CALL, name, value) is CALL(name, value) in the rows where that column is 1. */
#define FT_WHERE_0(CALL, name, value)
#define FT_WHERE_1(CALL, name, value) CALL(name, value)

/* A column as the bits of a number: bit `value` is that of a row. */
#define FT_BIT_IS(name, value, ...) | 1u << value
#define FT_BIT_FOLDED(name, value, folded, ...) | folded##u << value
#define FT_BIT_REPLACES(name, value, folded, replaces, ...) | replaces##u << value
#define FT_BIT_CLEARS(name, value, folded, replaces, clears, ...) | clears##u << value
#define FT_BIT_EMPHATIC(name, value, folded, replaces, clears, emphatic, ...) | emphatic##u << value
#define FT_BIT_TRUE_ONLINE(name, value, folded, replaces, clears, emphatic, true_online, ...)      \
    | true_online##u << value
#define FT_BIT_ACTIONS(name, value, folded, replaces, clears, emphatic, true_online, actions, ...) \
    | actions##u << value
#define FT_BIT_TAKES_PI(name, value, folded, replaces, clears, emphatic, true_online, actions, takes_pi, ...) \
    | takes_pi##u << value
#define FT_HAS(BIT, kind) ((0u FT_KINDS(BIT)) >> (kind) & 1)

/* -DFT_ONLY_KINDS=FT_TRUE_ONLINE,FT_DUTCH leaves the other kinds out: they are refused. */
#ifdef FT_ONLY_KINDS
#define FT_BITS_OF(a, b, c, d, e, f, g, h, i, j, k, ...)                                           \
    (1u << (a) | 1u << (b) | 1u << (c) | 1u << (d) | 1u << (e) | 1u << (f) | 1u << (g) | 1u << (h) | \
     1u << (i) | 1u << (j) | 1u << (k))
#define FT_BITS(...) FT_BITS_OF(__VA_ARGS__, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31) /* no kind */
#define FT_IS_HERE(kind) (FT_BITS(FT_ONLY_KINDS) >> (kind) & 1)
enum { FT_BITS_TAKES_ALL = 1 / ((0u FT_KINDS(FT_BIT_IS)) >> 11 == 0) }; /* of a twelfth kind it would know nothing */
#else
#define FT_IS_HERE(kind) 1
#endif

FT_INLINE int ft_is_named(int64_t kind) { return kind >= 0 && kind < 32 && FT_HAS(FT_BIT_IS, kind); }
FT_INLINE int ft_is_kind(int64_t kind) { return ft_is_named(kind) && FT_IS_HERE(kind); }
FT_INLINE int ft_folded(int kind) { return FT_HAS(FT_BIT_FOLDED, kind); }
FT_INLINE int ft_replaces(int kind) { return FT_HAS(FT_BIT_REPLACES, kind); }
FT_INLINE int ft_clears(int kind) { return FT_HAS(FT_BIT_CLEARS, kind); }
FT_INLINE int ft_is_emphatic(int kind) { return FT_HAS(FT_BIT_EMPHATIC, kind); }
FT_INLINE int ft_is_true_online(int kind) { return FT_HAS(FT_BIT_TRUE_ONLINE, kind); }
FT_INLINE int ft_has_actions(int kind) { return FT_HAS(FT_BIT_ACTIONS, kind); }
FT_INLINE int ft_takes_pi(int kind) { return FT_HAS(FT_BIT_TAKES_PI, kind); }

/* A target of action values is a row, enum ft_target.
 *
 *   needs_pi  factor asks for pi
 *   greedy    the value of S_{t+1} is its greatest q, else the expected one; FT_TAKEN asks for neither
 *   cuts      the trace ends where A_{t+1} is not greedy
 *   factor    what decays the trace of (S_t, A_t) beside gamma_t lambda_t; pi is that of A_t */
#define FT_TARGETS(ROW)                                                                            \
    ROW(taken, FT_TAKEN, 0, 0, 0, 1.0)                                                             \
    ROW(expected, FT_EXPECTED, 0, 0, 0, rho)                                                       \
    ROW(watkins, FT_WATKINS, 0, 1, 1, 1.0)                                                         \
    ROW(naive, FT_NAIVE, 0, 1, 0, 1.0)                                                             \
    ROW(tree_backup, FT_TREE_BACKUP, 1, 0, 0, pi)                                                  \
    ROW(retrace, FT_RETRACE, 0, 0, 0, ft_min(1.0, rho))                                            \
    ROW(q_sigma, FT_Q_SIGMA, 1, 0, 0, sigma * rho + (1.0 - sigma) * pi)

/* A column as a chain of comparisons, of which those with 0 fold away. */
#define FT_IF_NEEDS_PI(name, value, needs_pi, ...) || (needs_pi && target == value)
#define FT_IF_GREEDY(name, value, needs_pi, greedy, ...) || (greedy && target == value)
#define FT_IF_CUTS(name, value, needs_pi, greedy, cuts, ...) || (cuts && target == value)
#define FT_ROW_FACTOR(name, value, needs_pi, greedy, cuts, factor) target == value ? factor:

FT_INLINE double ft_min(double x, double y) { return y < x ? y : x; }

/* The scalars of a step between the verbs, docs/constant-time.md:
 *
 *   D       decays the trace
 *   c, beta are what the active features write to trace and weights
 *   a       drives the weights along the trace */
typedef struct {
    double D, c, beta, a;
} ft_recipe;

/* What they are made of.  A recipe is asked for as soon as what it needs is known: D first; c of the kinds that
 * are not folded with it; the rest when S_{t+1} has been read.
 *
 *   decay   gamma_t lambda_t                        rho    the importance ratio, 1 for action values
 *   factor  of the decay: rho; for action values    M      the emphasis
 *           that of the target                      ex     e.x after the decay, x being that of S_t
 *   v       of S_t under w; v_old before the last update; delta the TD error
 *   rho_bar of ft_options */
typedef struct {
    double decay, factor, rho, M, alpha, ex, v, v_old, delta, rho_bar;
} ft_given;

#define FT_ROW_RECIPE(name, value, folded, replaces, clears, emphatic, true_online, actions, takes_pi, \
                      D_, c_, beta_, a_, decay_, kept_)                                            \
    case value:                                                                                    \
        r.D = D_;                                                                                  \
        r.c = c_;                                                                                  \
        r.beta = beta_;                                                                            \
        r.a = a_;                                                                                  \
        break;

FT_INLINE ft_recipe ft_recipe_of(int kind, ft_given given) {
    const double decay = given.decay, factor = given.factor, rho = given.rho, M = given.M;
    const double alpha = given.alpha, ex = given.ex, v = given.v, v_old = given.v_old;
    const double delta = given.delta, rho_bar = given.rho_bar;
    ft_recipe r;
    (void)rho_bar;
    switch (kind) {
        default:
        FT_KINDS(FT_ROW_RECIPE)
    }
    return r;
}

/* What the next step begins with, of the numbers of this one; pi is that of the action taken. */
typedef struct {
    double gamma_next, lambda_next, rho, pi, c_bar, psi, beta;
} ft_handed;

#define FT_ROW_HANDED(name, value, folded, replaces, clears, emphatic, true_online, actions, takes_pi, \
                      D_, c_, beta_, a_, decay_, kept_)                                            \
    case value:                                                                                    \
        *decay = decay_;                                                                           \
        *kept = kept_;                                                                             \
        break;

FT_INLINE void ft_hand_on(int kind, ft_handed given, double *decay, double *kept) {
    const double gamma_next = given.gamma_next, lambda_next = given.lambda_next, rho = given.rho;
    const double pi = given.pi, c_bar = given.c_bar, psi = given.psi, beta = given.beta;
    (void)pi, (void)c_bar, (void)psi, (void)beta;
    switch (kind) {
        default:
        FT_KINDS(FT_ROW_HANDED)
    }
}

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

/* Writes of the kinds that are not folded leave w alone: two passes over features, not three.  Where one value
 * of x_next will do, it is read after the write, and that read, moved by the drive, is the next step's read
 * of x.  Where all actions are looked at, they are read before the write, which then reads x as it goes. */
FT_INLINE int ft_reads_once(int kind) { return !ft_folded(kind); }

/* The emphasis M_t.  The followon trace is F_t = rho_{t-1} gamma_t F_{t-1} + i_t (12.11). */
FT_INLINE double ft_emphasis(ft_carry *c, double interest) {
    c->followon += interest;
    return c->lambda * interest + (1.0 - c->lambda) * c->followon;
}

/* What the next step begins with.  Its followon trace is that of its interest alone where the episode ends. */
FT_INLINE void ft_follow(ft_carry *c, int kind, ft_handed given) {
    double kept;
    ft_hand_on(kind, given, &c->decay, &kept);
    if (!ft_is_emphatic(kind)) return;
    c->followon = given.gamma_next == 0.0 || kept == 0.0 ? 0.0 : kept * c->followon;
    c->lambda = given.lambda_next;
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
FT_INLINE double ft_moved(const ft_hot *h, int64_t i, int64_t width) {
    const ft_pair g = ft_since(h, i, width);
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
            ft_four both = size * (r[0] + r[1] * ft_moved(h, x.idx[one], width));
            if (two >= 0) {
                const ft_four *s = (const ft_four *)(const void *)(h->rows + 8 * (int64_t)x.idx[two]);
                const double other = x.val ? x.val[two] : 1.0;
                both += other * (s[0] + s[1] * ft_moved(h, x.idx[two], width));
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
        const ft_real *r = ft_begin(h, x.idx[one], width) + first;
        const double r_moved = ft_moved(h, x.idx[one], width), r_size = x.val ? x.val[one] : 1.0;
        if (two < 0) {
            for (int64_t a = 0; a < columns; a++) q[a] += r_size * (r[a] + r[width + a] * r_moved);
            return;
        }
        const ft_real *s = ft_begin(h, x.idx[two], width) + first;
        const double s_moved = ft_moved(h, x.idx[two], width), s_size = x.val ? x.val[two] : 1.0;
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

FT_INLINE int ft_needs_pi(int64_t target) { return 0 FT_TARGETS(FT_IF_NEEDS_PI); }
FT_INLINE int ft_is_greedy(int64_t target) { return 0 FT_TARGETS(FT_IF_GREEDY); }
FT_INLINE int ft_cuts(int64_t target) { return 0 FT_TARGETS(FT_IF_CUTS); }

/* What decays the trace of (S_t, A_t) beside gamma_t lambda_t; pi is that of A_t as ft_trace keeps it. */
FT_INLINE double ft_factor_of(int64_t target, double rho, double sigma, double pi) {
    if (pi < 0.0) pi = 0.0;
    return FT_TARGETS(FT_ROW_FACTOR) 1.0;
}

/* The value of S_{t+1}, from q of its actions. */
FT_INLINE double ft_value_of(int64_t target, const double *q, int64_t n_actions, const double *pi,
                             int64_t policy, double parameter) {
    return ft_is_greedy(target) ? ft_max(q, n_actions)
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

/* ---- the order of a step ---- */

/* The numbers of one transition, from S_t to S_{t+1}; pi is that of the action taken, interest of S_t. */
typedef struct {
    double reward, gamma_next, lambda_next, factor, rho, pi, interest, alpha;
    const ft_options *options;
} ft_numbers;

FT_INLINE ft_handed ft_handed_of(ft_numbers n) {
    ft_handed given;
    given.gamma_next = n.gamma_next;
    given.lambda_next = n.lambda_next;
    given.rho = n.rho;
    given.pi = n.pi;
    given.c_bar = n.options->c_bar;
    given.psi = n.options->psi;
    given.beta = n.options->beta;
    return given;
}

/* What S_{t+1} is worth, and w.x_next as it is, which is the same but for the expected values of actions.
 * known: where it was read before the step, or x_next is not there; else the step reads it. */
typedef struct {
    int known;
    double v, taken;
} ft_arrival;

FT_INLINE ft_arrival ft_unread(void) {
    ft_arrival next;
    next.known = 0;
    next.v = next.taken = 0.0;
    return next;
}

/* lambda of the state arrived in; 0 where the target ends the trace. */
FT_INLINE double ft_lambda_of(int64_t target, double lambda_next, ft_arrival next) {
    return ft_cuts(target) && !(next.taken >= next.v) ? 0.0 : lambda_next;
}

/* Decay the trace, add x, and find v. */
FT_INLINE void ft_leave(ft_trace *t, ft_hot *h, ft_carry *c, ft_place x, ft_given given, int kind,
                        int64_t width, int padded, int carried, int near) {
    const ft_recipe r = ft_recipe_of(kind, given);
    if (ft_reads_once(kind)) {
        const uint32_t epoch = h->epoch;
        c->v = ft_value(h, c->sums);
        ft_decay(t, h, r.D, near);
        if (h->epoch != epoch) c->sums = ft_pair_of(c->v, 0.0);
        const ft_pair sums =
            ft_replaces(kind) ? ft_replace(h, x.row, width, x.column, padded, ft_clears(kind), r.c,
                                           1.0 / h->scale)
                              : ft_write(h, x.row, width, x.column, padded, r.c, 0.0, 1.0 / h->scale);
        if (!carried) {
            c->sums = sums;
            c->v = ft_value(h, sums);
        }
    } else { /* adds x when delta is known, in one pass with w */
        ft_decay(t, h, r.D, near);
        c->sums = ft_read_at(h, x, width, padded);
        c->v = ft_value(h, c->sums);
        if (ft_is_true_online(kind) && (r.D == 0.0 || c->v_old != c->v_old)) c->v_old = c->v;
    }
}

/* The TD error where one value of x_next will do: by how it hangs on the drive, for the drive is what a step
 * waits for.  What else there is may be added up before. */
FT_INLINE double ft_error(const ft_hot *h, ft_pair sums, ft_pair sums_next, ft_numbers n) {
    const double gamma = n.gamma_next;
    const double next = gamma == 0.0 ? 0.0 : gamma * ft_first(sums_next);
    const double driven = gamma == 0.0 ? 0.0 : gamma * ft_second(sums_next);
    return ((n.reward - ft_first(sums)) + next) + (driven - ft_second(sums)) * h->drive;
}

/* The TD error, and what it changes; sums_next is the read of x_next.
 * bounded: 0 where alpha has no bound, and no registers are to be kept free for a call that finds one. */
FT_INLINE double ft_arrive(ft_hot *h, ft_carry *c, ft_place x, ft_pair sums_next, ft_arrival next,
                           ft_numbers n, ft_given given, int kind, int64_t width, int padded,
                           int bounded) {
    given.v = c->v;
    given.v_old = c->v_old;
    given.delta = ft_reads_once(kind) && !next.known
                      ? ft_error(h, c->sums, sums_next, n)
                      : n.reward + (n.gamma_next == 0.0 ? 0.0 : n.gamma_next * next.v) - c->v;
    if (ft_reads_once(kind)) {
        if (bounded && c->cap == c->cap)
            given.alpha = ft_capped(h, c, x, sums_next, n.gamma_next, given.alpha, width);
        given.alpha *= h->scale; /* first: only delta is late */
        h->drive += ft_recipe_of(kind, given).a;
    } else {
        given.ex = ft_second(c->sums) * h->scale;
        const ft_recipe r = ft_recipe_of(kind, given);
        ft_write(h, x.row, width, x.column, padded, r.c, r.beta, 1.0 / h->scale);
        ft_drive(h, r.a);
        c->v_old = next.taken;
    }
    c->sums = sums_next;
    return given.delta;
}

/* One transition.  Returns the TD error under the weights before it.
 *
 * carried  whether c->sums holds the read of x already; only where ft_reads_once
 * near     whether the loop is compiled once, see ft_close_near
 *
 * kind, width, padded, carried, near and bounded are constants where speed matters. */
FT_INLINE double ft_transition(ft_trace *t, ft_hot *h, ft_carry *c, ft_place x, ft_place x_next,
                               ft_arrival next, ft_numbers n, int kind, int64_t width, int padded,
                               int carried, int near, int bounded) {
    ft_given given = {0};
    ft_pair sums = ft_pair_of(0.0, 0.0);
    const int before = ft_values_before(kind, width);
    given.decay = c->decay;
    given.factor = n.factor;
    given.rho = n.rho;
    given.alpha = n.alpha;
    given.rho_bar = n.options->rho_bar;
    given.M = ft_is_emphatic(kind) ? ft_emphasis(c, n.interest) : 1.0;
    if (before && !next.known) next.v = next.taken = ft_value_before(h, x_next, width, padded);
    ft_leave(t, h, c, x, given, kind, width, padded, carried, near);
    if (!before && !next.known) {
        sums = ft_read_at(h, x_next, width, padded);
        next.v = next.taken = ft_value(h, sums);
    }
    const double delta = ft_arrive(h, c, x, sums, next, n, given, kind, width, padded, bounded);
    ft_follow(c, kind, ft_handed_of(n));
    return delta;
}

/* Replacing traces are for binary features, emphatic ones for state values, bounds for traces without
 * a step size inside. */
FT_INLINE int ft_kind_ok(const ft_trace *t, int32_t kind, const double *val, int control) {
    return ft_is_kind(kind) && !(ft_replaces(kind) && val) && (ft_has_actions(kind) || !control) &&
           (!ft_folded(kind) || t->cap != t->cap);
}

#endif
