/* fasttrace: eligibility traces whose cost does not grow with lambda.
 *
 * The whole public C API.  The caller owns all memory; nothing here allocates, blocks or keeps a
 * pointer beyond the structs below.  Calls on distinct traces are safe in distinct threads.
 * Functions return FT_OK or one of the negative codes; after an error nothing has changed.
 *
 * Build: cc -O3 -ffp-contract=off -std=c99 your.c csrc/[a-z]*.c -lm
 *
 * Contents, and how the functions there begin:
 *
 *   numbers and structs               ft_checked
 *   the trace                         ft_trace_, ft_values
 *   learning: the linear learners     ft_td_, ft_emphatic_, ft_state_, ft_sarsa_, ft_control_, ft_are_
 *   learning with two weight vectors  ft_gradient_, ft_gq_
 *   least squares                     ft_lstd_
 *   step sizes that learn             ft_adaptive_
 *   linear actor-critic               ft_actor_critic_
 *   many predictions on one stream    ft_horde_
 *   tile coding                       ft_tiles_
 *   returns of trajectories           ft_returns_
 *   plastic networks                  ft_plastic_, ft_hebbian_
 *   networks and their traces         ft_mlp_, ft_jacobian_, ft_network_
 *   what to do about stale traces     ft_forward_td_, ft_qrc_, ft_expected_
 *   this library                      ft_abi_version, ft_compiler, ft_cpu_level
 *   environments                      ft_random_walk, ft_boyan_chain, ft_baird, ft_collision,
 *                                     ft_mountain_car, ft_cart_pole, ft_acrobot, ft_puddle_world
 *   simulation                        ft_simulate, ft_philox_, ft_epsilon_greedy, ft_softmax
 */
#ifndef FASTTRACE_H
#define FASTTRACE_H

#include <stdint.h>

#ifndef FT_API
#define FT_API extern
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* cffi reads what stands between the two marks. */
/* BEGIN cdef */

enum ft_status {
    FT_OK = 0,
    FT_EINDEX = -1,  /* a feature index below -1 or >= n: see trace->bad_index */
    FT_EACTION = -2, /* an action outside [0, n_actions) */
    FT_EVALUE = -3   /* a number that is not finite or not in its range */
};

/* How a trace meets a feature that is active again (Sutton & Barto 2018, eq. 12.11, 12.12), and
 * whether the update is a true online one.  In the emphatic kinds the emphasis weighs what is added
 * (section 12.11); they are for state values.  So are those after them: accumulating ones that decay by a
 * factor of the step before, and emphatic ones whose followon trace decays by beta. */
enum ft_kind {
    FT_ACCUMULATING,
    FT_REPLACING,
    FT_REPLACING_CLEAR,
    FT_DUTCH,
    FT_TRUE_ONLINE,
    FT_EMPHATIC,
    FT_TRUE_ONLINE_EMPHATIC,
    FT_VTRACE_TD,
    FT_TREE_BACKUP_TD,
    FT_AB_TD,
    FT_EMPHATIC_BETA
};

/* Learners of action values: the value of S_{t+1}, and the factor that decays the trace beside
 * gamma_t lambda_t.  pi is the target policy, q is under the weights before the update; pi(A_t) of a
 * learner's own policy is that of the step before, which the trace remembers. */
enum ft_target {
    FT_TAKEN,       /* q(S_{t+1}, A_{t+1});  1: Sarsa */
    FT_EXPECTED,    /* sum_a pi(a) q(a);     rho_t: Expected Sarsa */
    FT_WATKINS,     /* max_a q(a);           1, but 0 where A_t was not greedy: Watkins's Q(lambda) */
    FT_NAIVE,       /* max_a q(a);           1: naive Q(lambda) */
    FT_TREE_BACKUP, /* sum_a pi(a) q(a);     pi(A_t) */
    FT_RETRACE,     /* sum_a pi(a) q(a);     min(1, rho_t) */
    FT_Q_SIGMA      /* sum_a pi(a) q(a);     sigma_t rho_t + (1 - sigma_t) pi(A_t) */
};

/* Numbers of the kinds that have some; of others 0. */
typedef struct ft_options {
    double c_bar, rho_bar, psi, beta;
} ft_options;

/* A learner's own policy: greedy but for epsilon, or exp(q / temperature) / sum. */
enum ft_policy { FT_EPSILON_GREEDY, FT_SOFTMAX };

struct ft_single; /* the library's own */

/* Weights and trace of n features with `columns` weights each: 1, or one for each action.
 *
 *   rows    n of [b(width) | z(width)]     epochs  n, the epoch that each row was brought up to
 *   ring    ring_size of (G, P), that of an epoch at epoch & (ring_size - 1).  No epoch has slot 0: that is
 *           (0, 0), for rows at rest, of which no trace is left
 *
 *       w_i     = b_i + z_i (G[e_i] + P[e_i] drive)
 *       trace_i = z_i P[e_i] scale
 *
 * Every field is 8 bytes wide, so that other languages can lay arrays over it. */
typedef struct ft_trace {
    int64_t n, columns, width, ring_size;
    int64_t epoch, oldest; /* a trace may be left in the epochs [oldest, epoch] */
    int64_t alive_max;     /* if more of them are, every row is brought up to date at once */
    int64_t swept;         /* the row that the sweep visits next */
    int64_t flat;          /* 1: every row is of this epoch, scale is 1, drive is 0 */
    int64_t bad_index;     /* what FT_EINDEX met */
    double scale, drive;
    double decay; /* gamma lambda of the state arrived in: the next decay, without rho */
    double v_old; /* value of the state arrived in under the last w; NaN: take v */
    double alpha; /* step size of the last update; the dutch traces hold it inside */
    double snap;  /* product of decays since a dense trace was cleared of subnormals */
    double followon; /* emphatic: rho_{t-1} gamma_t F_{t-1} */
    double lambda_;  /* emphatic: of the state arrived in */
    double cap;      /* least bound on alpha so far (AlphaBound); NaN: alpha is not bounded */
    double *rows, *ring;
    int32_t *epochs;
    double pi; /* of the action taken in the state arrived in, under the last w, for targets that decay by
                  it; -1: it was 0; 0: none is remembered, the next step takes that under its w */
    int64_t wide; /* 1: rows of [b | z | epoch | -], see ft_trace_init_wide */
    const struct ft_single *single; /* where rows are of float, else NULL; see ft_trace_init_single */
} ft_trace;

/* Feature rows and what came with them, T = steps transitions.
 *
 *   indices       of the active features; -1 is padding
 *   values        theirs, laid out as the indices, or NULL for ones
 *   indptr        row r is [indptr[r], indptr[r + 1]); or NULL: row r is k from r * k on
 *   shared        1: dense values, all rows use the first k indices (0 to n - 1)
 *   actions       (T + 1) or NULL.  Where the trace has one column, the rows are of state-action
 *                 pairs and step t uses row t * n_actions + actions[t]
 *   *_stride      1, or 0 where one number stands for all steps
 *   rhos          or NULL for ones; interests, emphatic kinds only, and sigmas likewise
 *   target        enum ft_target; what follows is for those beyond FT_TAKEN
 *   pi            (T + 1, n_actions) the target policy, or NULL: the learner's own under the weights
 *                 before the step that arrives, enum ft_policy with its epsilon or temperature as
 *                 `parameter`
 *   q             twice the larger of n_actions and the trace's width; the kernels work in it
 *   checked       0: a run looks at the indices and actions itself; else the caller has done so, 1: no index
 *                 is padding, 2: some may be
 *   pis           pi of the action taken, for the kinds that ask for it; NULL for ones
 *   options       of the kind */
typedef struct ft_stream {
    int64_t steps, k, shared, n_actions;
    const int32_t *indices;
    const double *values;
    const int64_t *indptr;
    const int32_t *actions;
    const double *rewards, *gammas, *lambdas, *rhos, *alphas;
    int64_t gamma_stride, lambda_stride, rho_stride, alpha_stride;
    const double *interests, *sigmas;
    int64_t interest_stride, sigma_stride;
    int64_t target, policy;
    double parameter;
    const double *pi;
    double *q;
    const double *actor_lambdas, *actor_alphas; /* ft_actor_critic_run alone */
    int64_t actor_lambda_stride, actor_alpha_stride;
    int64_t checked;
    const double *pis;
    int64_t pi_stride;
    ft_options options;
} ft_stream;

/* What ft_stream.checked may be for these indices: 1 or 2, or FT_EINDEX where one is below -1 or not below n.
 * O(count). */
FT_API int32_t ft_checked(const int32_t *indices, int64_t count, int64_t n);

/* ---- the trace ------------------------------------------------------------------------------ */

/* Sizes of a trace's memory: ring has 2 * ring_size doubles, rows has 2 * width * n. */
FT_API int64_t ft_trace_ring_size(int64_t n);
FT_API int64_t ft_trace_width(int64_t columns);

/* Lay a trace over the caller's memory: weights and trace 0.
 * rows    2 * ft_trace_width(columns) * n doubles, aligned to 16 bytes (64 is faster)
 * ring    2 * ft_trace_ring_size(n) doubles, aligned to 16 bytes
 * epochs  n
 * O(n). */
FT_API void ft_trace_init(ft_trace *trace, int64_t n, int64_t columns, double *rows, double *ring,
                          int32_t *epochs);

/* The same over memory that is 0 already, as calloc gives it: of rows and epochs nothing is touched.  O(1). */
FT_API void ft_trace_init_zeroed(ft_trace *trace, int64_t n, int64_t columns, double *rows,
                                 double *ring, int32_t *epochs);

/* The same for one column with each row's epoch beside its weight, in one line of cache: for many features,
 * from about 2^20 on.
 * rows    4 * n doubles, all 0, aligned to 32 bytes
 * ring    2 * ft_trace_ring_size(n) doubles, all 0 */
FT_API void ft_trace_init_wide(ft_trace *trace, int64_t n, double *rows, double *ring);

/* The same with rows of float, which single steps, ft_td_run, ft_values, ft_simulate and what is below take.
 * rows    2 * ft_trace_width(columns) * n floats, all 0, aligned to 16 bytes
 * ring    2 * ft_trace_ring_size(n) doubles, all 0     epochs  n, all 0 */
FT_API void ft_trace_init_single(ft_trace *trace, int64_t n, int64_t columns, float *rows, double *ring,
                                 int32_t *epochs);

/* The same of a trace that is there already, whose rows are laid out so. */
FT_API void ft_trace_make_single(ft_trace *trace);

/* The trace becomes empty, v_old and pi are forgotten; the weights stay.  O(epochs alive). */
FT_API void ft_trace_reset(ft_trace *trace);

/* Bring every row up to date: afterwards w = b and trace = z.  O(n). */
FT_API void ft_trace_flatten(ft_trace *trace);

/* Dense copies (n * columns), w[i * columns + action].  z may be NULL; it is the trace as the last
 * update used it, with the step size taken out of the kinds that hold it.  O(n). */
FT_API void ft_trace_dense(const ft_trace *trace, int32_t kind, double *w, double *z);

/* out[r * columns + a] = w.x for rows r of x (actions and rewards are not used), one a column.
 * FT_OK or FT_EINDEX. */
FT_API int32_t ft_values(ft_trace *trace, const ft_stream *x, int64_t rows, double *out);

/* ---- learning: the linear learners with one weight vector -------------------------------------
 *
 * Source: Sutton & Barto 2018, section 12.2, 12.5, 12.7 to 12.11, exercise 12.13; van Seijen et al.
 * 2016, JMLR 17(145); van Hasselt, Mahmood & Sutton 2014; docs/algorithms.
 *
 * One transition, from x with `reward` to x_next.
 *
 * kind         of the trace; the replacing ones take features without values
 * k, idx, val  active features: k indices, -1 is padding; their values, or NULL for ones
 * action       the column that was taken; features of a state-action pair have one column, 0
 * gamma_next   discount on arriving; 0 ends the episode, and x_next is not used
 * lambda_next  of the state arrived in
 * rho          importance ratio of the action taken; 1 on-policy
 * delta        out: the TD error under the weights before this update
 *
 * O(k).  FT_OK, FT_EINDEX, FT_EACTION or FT_EVALUE; after an error nothing has changed. */
FT_API int32_t ft_td_step(ft_trace *trace, int32_t kind, int64_t k, const int32_t *idx,
                          const double *val, int64_t k_next, const int32_t *idx_next,
                          const double *val_next, double reward, double gamma_next,
                          double lambda_next, double rho, double alpha, double *delta);

/* The same with emphatic traces; interest is that of x. */
FT_API int32_t ft_emphatic_td_step(ft_trace *trace, int32_t kind, int64_t k, const int32_t *idx,
                                   const double *val, int64_t k_next, const int32_t *idx_next,
                                   const double *val_next, double reward, double gamma_next,
                                   double lambda_next, double rho, double interest, double alpha,
                                   double *delta);

/* The same for any kind of state values.
 *
 * options  of the kind; NULL where it has none
 * pi       that of the action taken, for the kinds that ask for it: 0 where rho is, else not above rho
 *          (the behaviour would take the action with more than certainty) */
FT_API int32_t ft_state_step(ft_trace *trace, int32_t kind, const ft_options *options, int64_t k,
                             const int32_t *idx, const double *val, int64_t k_next,
                             const int32_t *idx_next, const double *val_next, double reward,
                             double gamma_next, double lambda_next, double rho, double pi,
                             double interest, double alpha, double *delta);

FT_API int32_t ft_sarsa_step(ft_trace *trace, int32_t kind, int64_t k, const int32_t *idx,
                             const double *val, int64_t action, int64_t k_next,
                             const int32_t *idx_next, const double *val_next, int64_t action_next,
                             double reward, double gamma_next, double lambda_next, double alpha,
                             double *delta);

/* The same for any target, on-policy: the target policy is the learner's own.
 * sigma  of S_t, for FT_Q_SIGMA      q  the trace's width; the kernel works in it */
FT_API int32_t ft_control_step(ft_trace *trace, int32_t kind, int32_t target, int32_t policy,
                               double parameter, double sigma, int64_t k, const int32_t *idx,
                               const double *val, int64_t action, int64_t k_next,
                               const int32_t *idx_next, const double *val_next,
                               int64_t action_next, double reward, double gamma_next,
                               double lambda_next, double alpha, double *q, double *delta);

/* Whether each row of pi (states, n_actions) is a policy: not negative, of sum 1 within 1e-6. */
FT_API int32_t ft_are_policies(const double *pi, int64_t states, int64_t n_actions);

/* A whole stream; deltas (T).  Only indices and actions are checked here. */
FT_API int32_t ft_td_run(ft_trace *trace, int32_t kind, const ft_stream *stream, double *deltas);

/* ---- learning with two weight vectors: GTD, HTD, true online GTD, GTD2, GQ ------------------------
 *
 * w drives the predictions, v the correction of their gradient.  See gradient.h for what a record
 * holds, docs/gradient for the mathematics.
 * Source: Sutton & Barto 2018, sections 11.7, 12.11; van Hasselt, Mahmood & Sutton 2014; Maei 2011. */
enum ft_gradient_kind {
    FT_GTD,
    FT_HTD,
    FT_TRUE_ONLINE_GTD,
    FT_GTD2, /* Sutton & Barto 2018, section 11.7: without a trace */
    FT_GTD2_LAMBDA,
    FT_TDRC, /* beta is that of the decay of v, at least 0; set eta */
    FT_PROXIMAL_GTD2
};

/* Weights w and v of n features, or of n features with `columns` actions each: record i is that of
 * feature i, or of feature i / columns and action i % columns.
 *
 *   rows    n * columns records of `width` words
 *   ring    ring_size of (G_w, G_v, P, P), that of an epoch at epoch & (ring_size - 1)
 *
 * Every field is 8 bytes wide, as in ft_trace. */
typedef struct ft_gradient {
    int64_t n, columns, width, ring_size;
    int64_t epoch, oldest, alive_max, swept, flat, bad_index; /* as in ft_trace */
    int64_t kind;                                             /* enum ft_gradient_kind */
    int64_t behaviour_epoch; /* of zb, the second trace of HTD; TDRC: of the scale of v, as below */
    double scale, drive, decay, v_old, alpha;                 /* as in ft_trace */
    double drive_v;
    double zv, zz;   /* z.v and z.z; true online GTD: g.v and g.k */
    double zbv, zzb; /* HTD: zb.v and z.zb */
    double behaviour_scale, behaviour_before; /* of zb: now, and of the epoch before this one */
    double *rows, *ring;
    double eta; /* FT_TDRC: the step size of v by that of w, above 0; eta alpha beta < 1 */
} ft_gradient;

/* Doubles of a record: 4 for FT_GTD and both GTD2, 8 for the others. */
FT_API int64_t ft_gradient_words(int32_t kind);

/* Lay w, v and trace over the caller's memory: all of them 0.
 * rows  n * columns * ft_gradient_words(kind) doubles    both aligned to 16 bytes (64 is faster)
 * ring  4 * ft_trace_ring_size(n * columns) doubles
 * O(n columns). */
FT_API void ft_gradient_init(ft_gradient *trace, int32_t kind, int64_t n, int64_t columns,
                             double *rows, double *ring);

/* The traces become empty and v_old is forgotten; w and v stay.  O(epochs alive). */
FT_API void ft_gradient_reset(ft_gradient *trace);

/* Bring every record up to date: afterwards w = b_w, v = b_v, and the traces are as they stand.  O(n). */
FT_API void ft_gradient_flatten(ft_gradient *trace);

/* As ft_values, with w. */
FT_API int32_t ft_gradient_values(ft_gradient *trace, const ft_stream *x, int64_t rows, double *out);

/* One transition of the learner that trace->kind says; beta is the step size of v.  Otherwise as ft_td_step. */
FT_API int32_t ft_gradient_step(ft_gradient *trace, double beta, int64_t k, const int32_t *idx,
                                const double *val, int64_t k_next, const int32_t *idx_next,
                                const double *val_next, double reward, double gamma_next,
                                double lambda_next, double rho, double alpha, double *delta);

/* A whole stream; deltas (T).  Of the numbers only the indices and beta are checked here. */
FT_API int32_t ft_gradient_run(ft_gradient *trace, double beta, const ft_stream *stream,
                               double *deltas);

/* One transition of GQ(lambda), with a trace of FT_GTD and a column for each action; otherwise as
 * ft_gradient_step.
 *
 * action, action_next  the columns that were taken; the second has no effect
 * pi    (columns) the target policy at x_next; or NULL: the learner's own under the weights before this
 *       update, enum ft_policy with its epsilon or temperature as `parameter`
 * rho   pi(action) / mu(action), of the action taken in x: it weighs the trace that is there
 * q     2 * columns doubles; the kernel works in it
 *
 * O(k columns). */
FT_API int32_t ft_gq_step(ft_gradient *trace, double beta, int32_t policy, double parameter,
                          const double *pi, int64_t k, const int32_t *idx, const double *val,
                          int64_t action, int64_t k_next, const int32_t *idx_next,
                          const double *val_next, int64_t action_next, double reward,
                          double gamma_next, double lambda_next, double rho, double alpha, double *q,
                          double *delta);

/* GQ(lambda) over a whole stream, with a trace of FT_GTD; columns 1, rows of state-action pairs, or
 * columns n_actions.  Takes the stream's actions, rhos and target policy; q has 2 * n_actions. */
FT_API int32_t ft_gq_run(ft_gradient *trace, double beta, const ft_stream *stream, double *deltas);

/* ---- least squares: LSTD(lambda) ----------------------------------------------------------------
 *
 *     z <- rho (gamma lambda z + x)                               (12.25)
 *     A <- A + z (x - gamma_next x_next)',  b <- b + reward z     the weights solve A w = b
 *
 * Over the caller's memory, all of it 0 at first but A = epsilon I, inverse = I / epsilon:
 *
 *   A        (n, n), column i of A at A + i n: a step adds to the columns that x and x_next name
 *   b, z     (n)
 *   inverse  (n, n) of A, row by row; or NULL: A and b alone are kept
 *   u        (n) inverse z       work  (2 n)         either NULL where inverse is, but for n of work
 *   list     (n) the first `active` are the features whose trace is not 0; listed (n) says whether
 *
 * Where the inverse cannot be had from the last one (stale 1: A is nearly singular, or `refresh`
 * steps are over) the run stops after that step, for the caller to compute inverse and u anew, and
 * to set since and stale to 0.  With stale 2 the inverse is left alone.
 *
 * O(n k) a step, O(active k) while the trace is sparse; with the inverse O(n n).
 * Source: Bradtke & Barto 1996; Boyan 2002; Sutton & Barto 2018, sections 9.8, 12.9. */
typedef struct ft_lstd {
    int64_t n, active, since, refresh, stale;
    int64_t bad_index; /* what FT_EINDEX met */
    double decay;      /* gamma lambda of the state arrived in: the next decay, without rho */
    double *A, *b, *z, *inverse, *u, *work;
    int32_t *list;
    uint8_t *listed;
} ft_lstd;

/* Learn from transition `start` of a stream on (rewards, gammas, lambdas, rhos; not its alphas).
 * Returns the number of the next one, steps at the end, or FT_EINDEX with nothing changed: indices
 * are looked at where start is 0.  Threads: safe for distinct structs. */
FT_API int64_t ft_lstd_run(ft_lstd *lstd, const ft_stream *stream, int64_t start);

/* ---- step sizes that learn: SwiftTD, SwiftSarsa, TIDBD, Autostep ----------------------------------
 *
 * Source: Javed, Sharifnassab & Sutton 2024 (SwiftTD); Kearney et al. 2018 (TIDBD); Mahmood et al. 2012
 * (Autostep).  Notation: docs/adaptive. */
enum ft_adaptive_kind { FT_SWIFT, FT_TIDBD, FT_AUTOSTEP };
enum ft_adaptive_room { FT_AT_ONCE = 32 }; /* listed rows that are worked on at once */

/* One weight, its traces and its step size:
 *
 *       w = b + z drive             SwiftTD: h = h + z_bar drive       trace = z scale
 *                                   others:  h = h + z drive           trace = z_bar scale
 *
 *   z       SwiftTD: its trace.  Others: the trace times alpha
 *   before  SwiftTD: h before the last update, where `last` is of the step before.  Autostep: normaliser
 *   alpha   the step size; of a SwiftTD row that is listed, 1 / inverse[slot - 1]
 *   slot    0, or 1 + where it is listed          last    the step that it was active in */
typedef struct ft_adaptive_row {
    double b, z, h, z_bar, before, alpha, slot, last;
} ft_adaptive_row;

/* n features with `columns` weights each: 1, or one for each action; size = n * columns.  Rows that have
 * a trace are listed.  Every field is 8 bytes wide.
 *
 *   meta     step size of the step sizes, at least 0
 *   eta      SwiftTD: largest rate of learning, sum of alpha x^2; in (0, 1]
 *   shrink   SwiftTD: what alpha is multiplied by where the rate is larger; in (0, 1]
 *   eta_min  SwiftTD: smallest alpha; in (0, eta]
 *   tau      Autostep: updates that the normaliser remembers; above 0 */
typedef struct ft_adaptive {
    int64_t n, columns;
    int64_t listed;    /* length of the list */
    int64_t step;      /* number of the step that comes, from 2 */
    int64_t bad_index; /* what FT_EINDEX met */
    double scale, drive;
    double drive_before; /* drive before the last update */
    double decay, v_old; /* as in ft_trace */
    double meta, eta, shrink, eta_min, tau;
    ft_adaptive_row *rows; /* (size) */
    double *p, *inverse;   /* (size + FT_AT_ONCE) of listed rows: SwiftTD's p in the units of z, 1 / alpha */
    double *fresh;         /* (size) of listed rows: 1 / the scale when it was last active */
    double *x;             /* (size) scratch: values of the active rows */
    int32_t *list;         /* (size) of listed rows: which */
    int32_t *active;       /* (size) scratch: active rows */
    /* SwiftTD: rows that are listed from `awake` on have faded so far that a step with meta |delta| scale up to
     * `calm` moves their log step sizes by next to nothing, if `floor` is below 1 / eta still.  0 where that was
     * not looked at.  largest: |delta| since. */
    int64_t awake;
    double largest, calm, floor;
} ft_adaptive;

/* Lay weights over the caller's memory, the pointers of `t`, which are set: weights and traces 0, step
 * sizes alpha > 0; p and inverse become 0.  The options are left as they are.  size may be at most INT32_MAX.  O(size). */
FT_API void ft_adaptive_init(ft_adaptive *t, int64_t n, int64_t columns, double alpha);

/* The traces become empty and v_old is forgotten; weights, step sizes and their memories stay.
 * O(listed). */
FT_API void ft_adaptive_reset(ft_adaptive *t, int32_t kind);

/* Dense copies (size): weights and step sizes, either may be NULL.  O(size). */
FT_API void ft_adaptive_dense(const ft_adaptive *t, int32_t kind, double *w, double *alphas);

/* out[r * columns + a] = w.x for rows r of x, one a column.  FT_OK or FT_EINDEX. */
FT_API int32_t ft_adaptive_values(ft_adaptive *t, const ft_stream *x, int64_t rows, double *out);

/* One transition; arguments as ft_td_step's and ft_sarsa_step's.  Features of states or of state-action
 * pairs have one column, 0.
 * O(k), and for FT_SWIFT O(listed), a vector at a time.
 * FT_OK, FT_EINDEX, FT_EACTION or FT_EVALUE; after an error nothing has changed. */
FT_API int32_t ft_adaptive_step(ft_adaptive *t, int32_t kind, int64_t k, const int32_t *idx,
                                const double *val, int64_t column, int64_t k_next,
                                const int32_t *idx_next, const double *val_next,
                                int64_t column_next, double reward, double gamma_next,
                                double lambda_next, double *delta);

/* A whole stream; deltas (T).  rhos and alphas are not used.  Only indices and actions are checked. */
FT_API int32_t ft_adaptive_run(ft_adaptive *t, int32_t kind, const ft_stream *stream, double *deltas);
/* ---- linear actor-critic with traces ------------------------------------------------------------
 *
 * v(s) = w.x(s); pi(a|s) proportional to exp(theta_a.x(s) / temperature); eta NaN: the episodic box, else
 * the continuing one, in which a gamma that is not 0 counts as 1.
 *
 *   critic          of 1 column: w and its trace     actor   of n_actions columns: theta and its trace
 *   discount        I of the box: the product of gammas since the episode began, at first 1
 *   discount_actor  0: 1 stands in the place of I
 *
 * Source: Sutton & Barto 2018, boxes of sections 13.5 and 13.6.  The caller fills in all fields; every
 * one is 8 bytes wide. */
typedef struct ft_actor_critic {
    double discount, average_reward;
    double eta; /* step size of average_reward; NaN: none */
    int64_t discount_actor;
    ft_trace *critic, *actor;
} ft_actor_critic;

/* One transition: from x, where action was taken, to x_next.
 *
 * k, idx, val      active features: k indices, -1 is padding; their values, or NULL for ones
 * gamma_next       discount on arriving; 0 ends the episode, and x_next is not used
 * lambda_next, lambda_actor_next  of the state arrived in
 * work             3 * actor->width doubles
 * delta            out: the TD error under the weights before this update
 *
 * O(k n_actions).  FT_OK, FT_EINDEX (critic->bad_index), FT_EACTION or FT_EVALUE; after an error nothing
 * has changed. */
FT_API int32_t ft_actor_critic_step(ft_actor_critic *t, double temperature, int64_t k,
                                    const int32_t *idx, const double *val, int64_t action,
                                    int64_t k_next, const int32_t *idx_next, const double *val_next,
                                    double reward, double gamma_next, double lambda_next,
                                    double lambda_actor_next, double alpha, double alpha_actor,
                                    double *work, double *delta);

/* A whole stream; deltas (T).  parameter is the temperature, q has room for 3 * actor->width.
 * Only indices, actions and the temperature are checked here. */
FT_API int32_t ft_actor_critic_run(ft_actor_critic *t, const ft_stream *stream, double *deltas);

/* Both traces become empty and discount 1; weights and average_reward stay. */
FT_API void ft_actor_critic_reset(ft_actor_critic *t);

/* ---- many predictions on one stream of features -------------------------------------------------
 *
 * Each of 8 * chunks predictions is learned as one learner of its kind would learn it, from its own rewards
 * (cumulants), discounts, lambdas, ratios and step size; they share the features.  Predictions that decay about
 * alike, by gamma * lambda, belong into one chunk.  Where there are fewer, a lane is given another's numbers.
 *
 * Source: Sutton et al. 2011, "Horde"; docs/horde. */
enum ft_horde_kind {
    FT_HORDE_ACCUMULATING,
    FT_HORDE_REPLACING,
    FT_HORDE_DUTCH,
    FT_HORDE_TRUE_ONLINE,
    FT_HORDE_GTD /* with a second vector v, and beta */
};
enum ft_horde_size { FT_HORDE_WORDS = 10, FT_HORDE_COUNTERS = 8, FT_HORDE_SLAB_ROWS = 16 };
enum { FT_HORDE_FULL = 1 }; /* no error: give the horde another slab, then call again */

/* Memory of a horde, all zeros at first, which need not have been touched:
 *
 *   place     n
 *   lanes     10 * 8 * chunks doubles: the words of a chunk are eight of each of scale, drive, decay, v_old,
 *             alpha, alpha of the last step, beta, drive_v, z.v, z.z.  The caller sets alpha and beta
 *   counters  8 * chunks
 *   rings     chunks * ring_size * 16 doubles, 24 of GTD
 *   slabs     room for 1 + n / 16 pointers, of which slabs_count are set: a slab holds the rows of 16 features
 *             and is ft_horde_slab_size(kind) * chunks doubles.  Slots of features are given as they come,
 *             the first to no feature, and `used` of them are taken
 *
 * lanes, rings and slabs are aligned to 64 bytes.  Every field is 8 bytes wide where pointers are. */
typedef struct ft_horde {
    int64_t n, chunks, kind, ring_size, used, slabs_count;
    int64_t bad_index; /* what FT_EINDEX met */
    int32_t *place;
    double *lanes;
    int64_t *counters;
    double *rings;
    double **slabs;
} ft_horde;

/* Numbers for each step and prediction: entry (t, lane) is numbers[t * stride + lane], or numbers[t * stride]
 * of all lanes where `lanes` is 0. */
typedef struct ft_lane_series {
    const double *numbers;
    int64_t stride, lanes;
} ft_lane_series;

/* begins, entries, values  rows of features as ft_horde_enter gives them; values may be NULL for ones
 * used                     as ft_horde_place gives it
 * cumulants, ...           of lanes: 8 * chunks of them.  Time indices as in ft_stream
 * deltas                   out, (steps, lanes), rows `stride` apart */
typedef struct ft_horde_stream {
    int64_t steps;
    const int64_t *begins;
    const uint64_t *entries;
    const double *values;
    const int64_t *used;
    ft_lane_series cumulants, gammas, lambdas, rhos;
    double *deltas;
    int64_t stride;
} ft_horde_stream;

/* Doubles of a slab for each chunk; epochs in a ring. */
FT_API int64_t ft_horde_slab_size(int32_t kind);
FT_API int64_t ft_horde_ring_size(int64_t n);

/* Lay a horde over zeroed memory: no features have a slot, traces are empty.  O(chunks). */
FT_API void ft_horde_init(ft_horde *horde, int64_t n, int64_t chunks, int32_t kind, int32_t *place,
                          double *lanes, int64_t *counters, double *rings, double **slabs);

/* The same for one chunk of its memory. */
FT_API void ft_horde_chunk_init(ft_horde *horde, int64_t chunk);

/* One transition of all predictions, from x to x_next; as ft_td_step.
 *
 * s        cumulants, gammas, lambdas, rhos, deltas; its other fields are set here
 * entries  k + k_next, and values likewise; the call works in them
 *
 * O((k + k_next) * chunks).  FT_OK, FT_EINDEX, or FT_HORDE_FULL where `used` slots need more slabs than there
 * are: then nothing was learned, and the same call may be made again. */
FT_API int32_t ft_horde_step(ft_horde *horde, int64_t k, const int32_t *idx, const double *val,
                             int64_t k_next, const int32_t *idx_next, const double *val_next,
                             ft_horde_stream *s, uint64_t *entries, double *values);

/* A stream in three calls, so that its rows may be entered block by block.  Give slots to the features of the
 * first `rows` rows of x, but not to those of the last unless `all` is set; GTD needs it.  used (rows): how
 * many slots are taken after each.  FT_OK or FT_EINDEX. */
FT_API int32_t ft_horde_place(ft_horde *horde, const ft_stream *x, int64_t rows, int32_t all,
                              int64_t *used);

/* begins (rows + 1), entries and values (as many as there are indices): where the rows of features are that
 * are not 0.  All slots that are taken must have slabs. */
FT_API void ft_horde_enter(const ft_horde *horde, const ft_stream *x, int64_t rows, uint64_t *entries,
                           double *values, int64_t *begins);

/* Learn from s->steps transitions; begins, entries and values are of one row more. */
FT_API void ft_horde_run(ft_horde *horde, const ft_horde_stream *s);

/* to[t][i] = from[t][index[i]] of rows (rows, width), to (rows, count): numbers by the prediction as numbers by
 * the lane, where these are in another order, and back. */
FT_API void ft_horde_permute(int64_t rows, int64_t width, const double *from, int64_t count,
                             const int64_t *index, double *to);

/* s->deltas[t * stride + lane] = w.x for rows t < s->steps of x. */
FT_API void ft_horde_values(const ft_horde *horde, const ft_horde_stream *s);

/* The traces become empty, v_old is forgotten; the weights stay. */
FT_API void ft_horde_reset(ft_horde *horde);

/* ---- tile coding (Sutton & Barto 2018, section 9.5.4) ------------------------------------------
 *
 * Tiling j displaces dimension i by j (2 i + 1) mod tilings, in parts of `tilings` to a tile; a
 * dimension has tiles + 1 cells, or, where it wraps, `tiles`.  See tiles.h for the table. */
typedef struct ft_tiles {
    int64_t dims, tilings, n_features;
    int64_t memory; /* 0: every tile has an index of its own; or indices are hashed into [0, memory) */
    const double *table;
} ft_tiles;

/* Doubles of a table. */
FT_API int64_t ft_tiles_table_size(int64_t dims, int64_t tilings);

/* Lay a coder over the caller's memory.
 * low, high    (dims) the bounds of a state, finite, low < high
 * tiles        (dims) in [1, INT32_MAX / tilings)
 * wraps        (dims) 1 where high is low again, else 0
 * memory       n_features if not 0; if 0, n_features = tilings * the product of the cells
 * FT_OK, or FT_EVALUE where that is broken or n_features is beyond int32. */
FT_API int32_t ft_tiles_init(ft_tiles *coder, int64_t dims, int64_t tilings, const double *low,
                             const double *high, const int64_t *tiles, const uint8_t *wraps,
                             int64_t memory, double *table);

/* idx (N, tilings), the active features of states (N, dims); states outside are clipped.
 * O(N dims tilings).  FT_OK, or FT_EVALUE where a state is NaN, or infinite in a dimension that
 * wraps; then nothing is written.  Threads: safe, the coder is not changed. */
FT_API int32_t ft_tiles_encode(const ft_tiles *coder, int64_t N, const double *states,
                               int32_t *idx);

/* ---- returns of trajectories --------------------------------------------------------------------
 *
 * X_t = a_t + c_t X_{t+1} for T transitions of B trajectories, from the last one on; a and c by what
 * is wanted.  Sums are carried in float64.  Sources: docs/algorithms.
 *
 *   FT_LAMBDA      G = R + gamma ((1 - lambda) v' + lambda G')
 *   FT_OFF_POLICY  G = rho (R + gamma ((1 - lambda) v' + lambda G')) + (1 - rho) v
 *   FT_ACTION      G = R + gamma (v' + lambda Y'),  Y = c (G - q),  c = rho, or pi for tree backup
 *   FT_RETRACE_RETURN     the same, c = min(1, rho)
 *   FT_Q_SIGMA_RETURN     the same, c = sigma rho + (1 - sigma) pi
 *   FT_GAE         A = delta + gamma lambda A';  second: A + v
 *   FT_VTRACE      Y = min(rho_bar, rho) delta + gamma lambda min(c_bar, rho) Y';  v + Y;
 *                  second: min(rho_bar, rho) (R + gamma (v' + Y') - v), with a bound of its own where
 *                  has_pg_rho_bar is 1
 *   FT_SUM         X = R + gamma lambda X'
 *   FT_UPGO        FT_LAMBDA with lambda 0 where q' < v' */
enum ft_family {
    FT_LAMBDA,
    FT_OFF_POLICY,
    FT_ACTION,
    FT_RETRACE_RETURN,
    FT_Q_SIGMA_RETURN,
    FT_GAE,
    FT_VTRACE,
    FT_SUM,
    FT_UPGO
};

/* Bits of a flag.  A skipped transition is passed over, and 0 comes out; a terminated one goes before
 * a truncated one.  What a flag rules out is never read into a result: it may be NaN. */
enum ft_flag { FT_TERMINATED = 1, FT_TRUNCATED = 2, FT_SKIPPED = 4 };

/* Where gammas and lambdas stand: one number for all; doubles (T); or arrays as the others, (T, B). */
enum ft_rate { FT_ONE, FT_BY_STEP, FT_EACH_F32, FT_EACH_F64 };

/* Arrays of float, or of double where f64 is 1.  Entry (t, b) of an array is at [t * stride + b], or,
 * where batch_major is 1, at [b * stride + t]; strides may be negative or 0.
 *
 *   values       v(S_t), or q(S_t, A_t) for FT_ACTION, FT_RETRACE_RETURN, FT_Q_SIGMA_RETURN
 *   nexts        v(S_{t+1}): entries t < T - 1, nothing beyond is read
 *   last         (B) v(S_T); for FT_SUM what follows the last reward
 *   ends         G_{t:t} for t < T, where there is a horizon; NULL for zeros
 *   next_values  read where a flag says truncated; NULL where none does
 *   flags        bytes, or NULL; terminations_only: 1 where they hold nothing else
 *   horizon      transitions that a return looks ahead; 0: all
 *   scratch      (horizon), where horizon is not 0
 *   second       (GAE, VTRACE) or NULL
 *   carry        (B), batch-major (B, FT_CARRY); or NULL; without a horizon: what transition 0 would hand on
 *                to one before it.  So a long problem can be done in pieces, the latest first, with the same
 *                results to the bit; batch-major they begin at multiples of 8, and the latest has more than 8
 *   open         1: others follow transition T - 1, which have been done: carry holds what they hand on, and
 *                values, nexts and q_nexts have what stands behind the piece; last is not read
 *
 * Outputs overlap no input. */
enum { FT_CARRY = 64 };
typedef struct ft_returns {
    int64_t T, B, family, f64, batch_major, terminations_only;
    double gamma, lambda_;
    const void *rewards, *values, *nexts, *last;
    int64_t rewards_stride, values_stride, nexts_stride, flags_stride, out_stride, second_stride;
    void *out, *second;
    const void *flags;
    int64_t horizon, gamma_kind, lambda_kind;
    double rho_bar, c_bar;
    const void *gammas, *lambdas, *next_values, *rhos, *pi, *sigmas, *q_nexts, *ends;
    int64_t gammas_stride, lambdas_stride, next_values_stride, rhos_stride, pi_stride, sigmas_stride;
    int64_t q_nexts_stride, ends_stride;
    double *scratch;
    double pg_rho_bar;
    int64_t has_pg_rho_bar, open;
    double *carry;
} ft_returns;

/* O(T B), whatever lambda and horizon.  FT_OK, or FT_EVALUE for an unknown family, a negative size, or a
 * carry where there can be none.
 * Threads: safe for distinct outputs and scratch; it takes up to 110 KB of stack. */
FT_API int32_t ft_returns_run(const ft_returns *returns);

/* The same with the loops for a lesser CPU: 0 plain C, 1 AVX2, 2 AVX-512, up to ft_returns_level().
 * They differ by rounding alone. */
FT_API int32_t ft_returns_run_at(const ft_returns *returns, int32_t level);
FT_API int32_t ft_returns_level(void);
/* ---- plastic networks ---------------------------------------------------------------------------
 *
 * Source: Miconi et al. 2019, "Backpropamine"; docs/plasticity.md has the equations and their order. */
enum ft_plastic_cell { FT_PLASTIC_LAYER, FT_PLASTIC_RNN, FT_PLASTIC_LSTM };
enum ft_plastic_mode { FT_NO_PLASTICITY, FT_PLASTIC, FT_SIMPLE, FT_RETROACTIVE };
enum ft_plastic_bound { FT_HARD, FT_SOFT, FT_DECAY };
enum ft_plastic_activation { FT_TANH_MODULATION, FT_SIGMOID_MODULATION, FT_LINEAR_MODULATION };

/* A network and T steps of B elements.  G is 4 for the LSTM (i, j, f, o), else 1; matrices (post, pre).
 *
 *   cell, mode   enum ft_plastic_cell, ft_plastic_mode
 *   soft         enum ft_plastic_bound
 *   n_pre        of RNN and LSTM that of n_post
 *   al           entry (j, k) stands at j * al_post + k * al_pre
 *   gates        LSTM: (3, n_post, n_post), hidden to j, f, o
 *   wm, fw, fb   (n_post); fw and fb where fan_out is 1.  A layer has none of them
 *   pre          a layer's inputs (T, B, n_pre)
 *   modulation   NULL for the network's own; or (T, B), per_neuron 1: (T, B, n_post)
 *   h0 c0 hebb0 E0   the state before, NULL for 0
 *   u            (G, T, B, n_post) in: what inputs and biases add; out: the activations
 *   h, c, M      out (T, B, n_post) twice and (T, B).  h is u but for the LSTM, which alone has c;
 *                M is NULL where per_neuron is 1
 *   hebb, E      out: the state afterwards (B, n_post, n_pre); E only in the retroactive mode
 *   begin, end   0, 0; or what this call does of the work, where several calls share it: see below
 *   activation   enum ft_plastic_activation, of wm . h + bm
 *   plain        so many post neurons, the last, take eta and no modulation: as in FT_PLASTIC */
typedef struct ft_plastic_f32 {
    int64_t cell, mode, soft, fan_out, per_neuron;
    int64_t T, B, n_post, n_pre, al_post, al_pre;
    float clip, eta, bm;
    const float *W, *al, *gates, *wm, *fw, *fb;
    const float *pre, *modulation, *h0, *c0, *hebb0, *E0;
    float *u, *h, *c, *M, *hebb, *E;
    int64_t begin, end, activation, plain;
} ft_plastic_f32;
typedef struct ft_plastic_f64 {
    int64_t cell, mode, soft, fan_out, per_neuron;
    int64_t T, B, n_post, n_pre, al_post, al_pre;
    double clip, eta, bm;
    const double *W, *al, *gates, *wm, *fw, *fb;
    const double *pre, *modulation, *h0, *c0, *hebb0, *E0;
    double *u, *h, *c, *M, *hebb, *E;
    int64_t begin, end, activation, plain;
} ft_plastic_f64;

/* The way back.  What is not given is NULL.
 *
 *   dh, dM       gradients of h (T, B, n_post) and of M (T, B)
 *   dc dhebb dE  of the state afterwards
 *   u ... E0     out, of what net has under these names; M: of the modulation, (T, B) or
 *                (T, B, n_post); pre: a layer's; h0: not a layer's; c0: the LSTM's
 *   al           out (n_post, n_pre), summed over [first, last)
 *   sums         out: wm, fw, fb (n_post each), bm, eta, summed alike */
typedef struct ft_plastic_back_f32 {
    const float *dh, *dM, *dc, *dhebb, *dE;
    float *u, *M, *pre, *h0, *c0, *hebb0, *E0, *al;
    double *sums;
} ft_plastic_back_f32;
typedef struct ft_plastic_back_f64 {
    const double *dh, *dM, *dc, *dhebb, *dE;
    double *u, *M, *pre, *h0, *c0, *hebb0, *E0, *al;
    double *sums;
} ft_plastic_back_f64;

/* Numbers of the workspace; spacing 0: of forward. */
FT_API int64_t ft_plastic_work_f32(const ft_plastic_f32 *net, int64_t spacing);
FT_API int64_t ft_plastic_work_f64(const ft_plastic_f64 *net, int64_t spacing);

/* Run the elements [first, last) of the batch forward or, after that, backward.
 *
 * spacing   steps between the checkpoints from which Hebb and E are replayed; sqrt(T) takes least
 *           memory.  The result does not depend on it
 * work      aligned to 64 bytes, changed
 *
 * O(T n_post n_pre) an element.  FT_OK, or FT_EVALUE for an impossible range.  Threads: safe for
 * distinct elements, each with its own work, al and sums.
 *
 * The work can be shared among calls that follow each other, with the same work, al and sums: it is
 * (last - first) T units forward and (last - first) 2 (T + 1) backward, and a call does [begin, end).
 * The result is the same to the bit, and is there after the last. */
FT_API int32_t ft_plastic_forward_f32(const ft_plastic_f32 *net, int64_t first, int64_t last,
                                       float *work);
FT_API int32_t ft_plastic_forward_f64(const ft_plastic_f64 *net, int64_t first, int64_t last,
                                       double *work);
FT_API int32_t ft_plastic_backward_f32(const ft_plastic_f32 *net,
                                        const ft_plastic_back_f32 *back, int64_t first,
                                        int64_t last, int64_t spacing, float *work);
FT_API int32_t ft_plastic_backward_f64(const ft_plastic_f64 *net,
                                        const ft_plastic_back_f64 *back, int64_t first,
                                        int64_t last, int64_t spacing, double *work);

/* Hebb, E (n_post, n_pre) of one trace move by one step; gain (n_post) is the modulation. */
FT_API void ft_hebbian_step_f32(int64_t n_post, int64_t n_pre, float *hebb, float *E,
                                 const float *post, const float *pre, const float *gain, int32_t mode,
                                 int32_t soft, float eta, float clip);
FT_API void ft_hebbian_step_f64(int64_t n_post, int64_t n_pre, double *hebb, double *E,
                                 const double *post, const double *pre, const double *gain, int32_t mode,
                                 int32_t soft, double eta, double clip);

/* ---- networks and their traces ------------------------------------------------------------------
 *
 * docs/networks.md has the shapes and the equations. */
enum ft_activation { FT_TANH, FT_LEAKY_RELU };

/* How a step is taken: w += alpha delta z, or the bounded steps of Elsayed, Vasan & Mahmood 2024. */
enum ft_optimiser { FT_SGD, FT_OBGD, FT_ADAPTIVE_OBGD };

/* A multilayer perceptron: each layer linear, but for the last then layer_norm (0 or 1; without
 * parameters) and activation.
 *
 *   sizes   (n_layers + 1) inputs, hidden layers, outputs
 *   params  (n_params) W1 (out x in), b1, W2, b2, ...
 *   room    ft_mlp_room numbers, the kernels' own */
typedef struct ft_mlp_f32 {
    int64_t n_layers, n_params, activation, layer_norm;
    const int64_t *sizes;
    float *params, *room;
} ft_mlp_f32;
typedef struct ft_mlp_f64 {
    int64_t n_layers, n_params, activation, layer_norm;
    const int64_t *sizes;
    double *params, *room;
} ft_mlp_f64;

/* Numbers of the room; n_traces 1 for the two functions below. */
FT_API int64_t ft_mlp_room(int64_t n_layers, const int64_t *sizes, int64_t n_traces);

/* Outputs y (n, outputs) of x (n, inputs). */
FT_API int32_t ft_mlp_forward_f32(const ft_mlp_f32 *net, int64_t n, const float *x, float *y);
FT_API int32_t ft_mlp_forward_f64(const ft_mlp_f64 *net, int64_t n, const double *x, double *y);

/* Outputs y of one x, and J (n, n_params): the gradient of dy . y for each of the n rows of dy
 * (n, outputs).  The rows of a unit matrix give the Jacobian. */
FT_API int32_t ft_mlp_gradients_f32(const ft_mlp_f32 *net, const float *x, int64_t n,
                                    const float *dy, float *y, float *J);
FT_API int32_t ft_mlp_gradients_f64(const ft_mlp_f64 *net, const double *x, int64_t n,
                                    const double *dy, double *y, double *J);

/* The trace of a Jacobian: Z (m, n); decay, step (m); largest (2 m): bounds
 * on |Z|, 0 of an empty one, then scratch. */
typedef struct ft_jacobian_f32 {
    int64_t m, n;
    float *Z;
    const float *decay, *step;
    double *largest;
} ft_jacobian_f32;
typedef struct ft_jacobian_f64 {
    int64_t m, n;
    double *Z;
    const double *decay, *step;
    double *largest;
} ft_jacobian_f64;

/* Z <- diag(decay) Z + J (m, n), then w (n) <- w + Z' step, in one pass; without what is NULL.
 *
 * FT_EVALUE where J or w is not finite, or what they would become; then nothing has changed. */
FT_API int32_t ft_jacobian_step_f32(const ft_jacobian_f32 *trace, const float *J, float *w);
FT_API int32_t ft_jacobian_step_f64(const ft_jacobian_f64 *trace, const double *J, double *w);

/* A network that learns by traces.
 *
 *   n_traces  the network's outputs, or 1; with FT_OBGD and FT_ADAPTIVE_OBGD 1
 *   Z         (n_traces, n_params)        v  (2 n_params) moments and scratch, FT_ADAPTIVE_OBGD alone
 *   before    (n_params) or NULL; out: the parameters before the last update
 *   numbers   FT_HEAD_DECAYS + 4 n_traces: see below; at first FT_HEAD_POWER is 1, all others 0 */
enum ft_head_numbers {
    FT_HEAD_BOUND, /* of |params| */
    FT_HEAD_POWER, /* beta2^steps */
    FT_HEAD_STEP,  /* the last step size */
    FT_HEAD_DECAYS /* (n_traces) gamma lambda of the state arrived in; then bounds of |Z|; scratch */
};
typedef struct ft_head_f32 {
    ft_mlp_f32 net;
    int64_t n_traces, optimiser;
    double alpha, kappa, beta2, epsilon;
    float *Z, *v, *before;
    double *numbers;
} ft_head_f32;
typedef struct ft_head_f64 {
    ft_mlp_f64 net;
    int64_t n_traces, optimiser;
    double alpha, kappa, beta2, epsilon;
    double *Z, *v, *before;
    double *numbers;
} ft_head_f64;

enum ft_network_method {
    FT_NETWORK_TD,          /* v(S_{t+1}), an error and a trace for each output */
    FT_NETWORK_SARSA,       /* q(S_{t+1}, A_{t+1}), one trace, of the output of the action taken */
    FT_NETWORK_Q,           /* max_a q(S_{t+1}, a), likewise */
    FT_NETWORK_ACTOR_CRITIC /* v(S_{t+1}) of the critic, and an actor */
};

/* When the trace of FT_NETWORK_Q is emptied: never; before the step of an action that was not greedy
 * (Watkins); or after it. */
enum ft_network_cut { FT_CUT_NEVER, FT_CUT_NEXT, FT_CUT_TAKEN };

/* What was not finite. */
enum ft_network_fault { FT_FAULT_PARAMS, FT_FAULT_STATISTICS, FT_FAULT_DELTA, FT_FAULT_GRADIENT };

/* A stream of T = steps transitions; m is n_traces of the critic.
 *
 *   n_actions  outputs of the actor: actions, or means and deviations of moves
 *   choose     1: the next action is drawn by u, policy and parameter, action the one before it, and
 *              the outputs at the next state are left in q; moves the caller draws.  T is 1 or, to
 *              begin, 0.  0: actions (T + 1)
 *   ends       1: the last state is not there
 *   normalise, scale   1: states, rewards by running statistics
 *   states     (T + 1, inputs)      rewards  (T, m)
 *   gammas     entry (t, q) at t * gamma_step + q * gamma_output; lambdas alike
 *   normal     1: FT_NETWORK_ACTOR_CRITIC with normal distributions, and moves (T, n_actions / 2)
 *   q          (2 * the larger of n_actions and outputs)
 *   kept       ft_network_kept numbers, at first 0: statistics and the last state
 *   deltas     (T, m) out           inputs  (T, inputs) out, what the network was given, or NULL
 *   done       steps that were learned from
 *   failed     the step of a fault, enum ft_network_fault */
typedef struct ft_network_stream {
    int64_t steps, method, cut, n_actions, choose, ends, normalise, scale, normal;
    int64_t policy, action, action_next, greedy, was_greedy, done, failed, fault;
    double parameter, u, entropy, lambda_actor;
    const double *states, *rewards, *gammas, *lambdas, *moves;
    int64_t gamma_step, gamma_output, lambda_step, lambda_output;
    const int32_t *actions;
    double *q, *kept, *deltas, *inputs;
} ft_network_stream;

FT_API int64_t ft_network_kept(int64_t n_inputs);

/* What ft_network_run makes of states and rewards before its network is given them, for networks of your own.
 *
 *   states (T + 1, n), rewards (T), gammas (T)     inputs (T + 1, n), scaled (T)  out
 *
 * Returns T, or the step whose statistics are not finite, -1 for those of the first state; kept is then as it
 * was before. */
FT_API int64_t ft_network_prepare(double *kept, int64_t n, int64_t T, int64_t ends, int64_t normalise,
                                  int64_t scale, const double *states, const double *rewards,
                                  const double *gammas, double *inputs, double *scaled);

/* Learn from a stream; actor is NULL but for FT_NETWORK_ACTOR_CRITIC.
 *
 * O(n_traces n_params) a step.  FT_OK, or FT_EVALUE at the first step that something is not finite in:
 * all is then as it was before that step. */
FT_API int32_t ft_network_run_f32(const ft_head_f32 *critic, const ft_head_f32 *actor,
                                  ft_network_stream *stream);
FT_API int32_t ft_network_run_f64(const ft_head_f64 *critic, const ft_head_f64 *actor,
                                  ft_network_stream *stream);

/* ---- what to do about stale traces --------------------------------------------------------------
 *
 * docs/staleness.md has the equations.  A run learns from states (T + 1, inputs) on and returns the number
 * of steps it learned from: fewer than T where something was not finite in the next one; all is then as it
 * was before that step. */

/* Forward TD(lambda): a state is updated once, towards its lambda-return as far as `window` steps on.
 *
 *   m        outputs of the network
 *   window   transitions that a return looks ahead, from 1
 *   fresh    1: the values in a return are taken under the parameters of the update; 0: as they were
 *            when their states came
 *   first, waiting   the ring: both 0 at first
 *   states   (window + 1, inputs)                       values  (window + 1, m)
 *   before   (n_params)                                 work    (2 m + m m + m n_params)
 *   rewards, gammas, lambdas  (window + 1, m)           returns (m) */
typedef struct ft_forward_td_f32 {
    ft_mlp_f32 net;
    int64_t m, window, fresh, first, waiting;
    double alpha;
    float *states, *values, *before, *work;
    double *rewards, *gammas, *lambdas, *returns;
} ft_forward_td_f32;
typedef struct ft_forward_td_f64 {
    ft_mlp_f64 net;
    int64_t m, window, fresh, first, waiting;
    double alpha;
    double *states, *values, *before, *work;
    double *rewards, *gammas, *lambdas, *returns;
} ft_forward_td_f64;

/* rewards, gammas, lambdas, deltas  (T, m); where all gammas of a step are 0, all that wait are updated. */
FT_API int64_t ft_forward_td_run_f32(ft_forward_td_f32 *td, int64_t T, const float *states,
                                     const double *rewards, const double *gammas,
                                     const double *lambdas, double *deltas);
FT_API int64_t ft_forward_td_run_f64(ft_forward_td_f64 *td, int64_t T, const double *states,
                                     const double *rewards, const double *gammas,
                                     const double *lambdas, double *deltas);

/* Update all that wait, their returns as far as they go.  FT_OK, or FT_EVALUE with nothing changed. */
FT_API int32_t ft_forward_td_flush_f32(ft_forward_td_f32 *td);
FT_API int32_t ft_forward_td_flush_f64(ft_forward_td_f64 *td);

/* Gradient traces: TDRC(lambda) of one output, or QRC(lambda) of action values.
 *
 *   q, h      two networks of one shape
 *   cut       1: the traces end where the next action is not greedy, under the weights before the step
 *   greedy    out: whether the last A_{t+1} was
 *   rhos      (T) importance ratios of the next run, or NULL for 1
 *   decay     gamma lambda of the last step; 0 at first, z_h too
 *   z_w, z_theta  (n_params)       work  (2 outputs + 7 n_params) */
typedef struct ft_qrc_f32 {
    ft_mlp_f32 q, h;
    int64_t cut, greedy;
    double alpha, alpha_h, beta, decay, z_h;
    const double *rhos;
    float *z_w, *z_theta, *work;
} ft_qrc_f32;
typedef struct ft_qrc_f64 {
    ft_mlp_f64 q, h;
    int64_t cut, greedy;
    double alpha, alpha_h, beta, decay, z_h;
    const double *rhos;
    double *z_w, *z_theta, *work;
} ft_qrc_f64;

/* rewards, gammas, lambdas, deltas (T); actions (T + 1), or NULL for 0 throughout. */
FT_API int64_t ft_qrc_run_f32(ft_qrc_f32 *learner, int64_t T, const float *states, const int32_t *actions,
                              const double *rewards, const double *gammas, const double *lambdas,
                              double *deltas);
FT_API int64_t ft_qrc_run_f64(ft_qrc_f64 *learner, int64_t T, const double *states, const int32_t *actions,
                              const double *rewards, const double *gammas, const double *lambdas,
                              double *deltas);

/* TD(lambda) with the expected trace of the last layer, of a network of one output.
 *
 *   k       weights of the last layer, its bias among them
 *   decay   gamma lambda of the last step, 0 at first
 *   z       (n_params - k) trace of the other layers      y  (k) that of the last
 *   Theta   (k, k): the expected trace is Theta phi       work  (2 + 3 n_params + k + k k) */
typedef struct ft_expected_f32 {
    ft_mlp_f32 net;
    int64_t k;
    double alpha, alpha_z, eta, decay;
    float *z, *y, *Theta, *work;
} ft_expected_f32;
typedef struct ft_expected_f64 {
    ft_mlp_f64 net;
    int64_t k;
    double alpha, alpha_z, eta, decay;
    double *z, *y, *Theta, *work;
} ft_expected_f64;

/* rewards, gammas, lambdas, deltas (T). */
FT_API int64_t ft_expected_run_f32(ft_expected_f32 *learner, int64_t T, const float *states,
                                   const double *rewards, const double *gammas,
                                   const double *lambdas, double *deltas);
FT_API int64_t ft_expected_run_f64(ft_expected_f64 *learner, int64_t T, const double *states,
                                   const double *rewards, const double *gammas,
                                   const double *lambdas, double *deltas);

/* ---- this library ----------------------------------------------------------------------------- */

/* Raised when what was compiled against this header has to be compiled again. */
enum { FT_ABI_VERSION = 1 };

/* FT_ABI_VERSION of the header that the library was built with. */
FT_API int32_t ft_abi_version(void);

/* Name and version of the compiler that built it. */
FT_API const char *ft_compiler(void);

/* Which compiled copy of the kernels the CPU gets: "x86-64-v4", "x86-64-v3", or "default", the only
 * one where the library holds a single copy. */
FT_API const char *ft_cpu_level(void);

/* ---- environments -------------------------------------------------------------------------------
 *
 * reset    state <- a first state, from reset_uniforms numbers u in [0, 1)
 * step     state <- the next state, out[0] <- reward, out[1] <- gamma, from step_uniforms numbers u.
 *          gamma multiplies the agent's: 1 goes on, 0 ends the episode
 *
 * n_actions 0: nothing to choose, action is 0.  self is yours; the functions get it back. */
typedef struct ft_env {
    int64_t n_state, n_actions, reset_uniforms, step_uniforms;
    const void *self;
    void (*reset)(const void *self, double *state, const double *u);
    void (*step)(const void *self, double *state, int64_t action, const double *u, double *out);
} ft_env;

/* A walk over states 0 to *n - 1, from the middle, left or right alike; -1 at the left end, +1 at
 * the right.  Keeps n.  Sutton & Barto 2018, example 7.1. */
FT_API void ft_random_walk(ft_env *env, const int64_t *n);

/* A chain from state 12 to 0, one or two states a step.  Boyan 2002. */
FT_API void ft_boyan_chain(ft_env *env);

/* Seven states, the next one any of them alike.  Baird 1995; Sutton & Barto 2018, section 11.2. */
FT_API void ft_baird(ft_env *env);

/* Eight states in a row, from one of the first four; 1 after the last, or an end with 0 every other time from
 * the fifth on.  Ghiassian & Sutton 2021, arXiv:2106.00922. */
FT_API void ft_collision(ft_env *env);

/* Position and velocity of a car in a valley; -1 a step until the top of the right slope.
 * Sutton & Barto 2018, example 10.1; to the bit as Gymnasium's MountainCar-v0 in float64. */
FT_API void ft_mountain_car(ft_env *env);

/* Position and velocity of a cart, angle and angular velocity of the pole on it; 1 a step until it falls.
 * Barto, Sutton & Anderson 1983; to the bit as Gymnasium's CartPole-v1 in float64. */
FT_API void ft_cart_pole(ft_env *env);

/* Two angles of two links that hang from a bar, and their velocities; -1 a step, 0 for the one that swings
 * the tip up.  Sutton 1996; as Gymnasium's Acrobot-v1 in float64, see fasttrace/envs/acrobot.py. */
FT_API void ft_acrobot(ft_env *env);

/* A place in the unit square; -1 a step to the upper right corner, and -400 times the depth in two puddles.
 * A step's two uniform numbers are its Gaussian noise.  Sutton 1996. */
FT_API void ft_puddle_world(ft_env *env);

/* ---- simulation: environment, tile coder and agent in one loop ----------------------------------
 *
 * The caller fills in the upper part and sets the rest to 0.
 *
 * tiles        NULL: the feature is the state's first number itself, one-hot
 * trace        of columns 1 for prediction (env->n_actions 0), else of columns env->n_actions
 * kind         of the trace, enum ft_kind
 * target       enum ft_target; sigma is for FT_Q_SIGMA_RETURN
 * policy       enum ft_policy, with its epsilon or temperature as `parameter`
 * next_double  gives numbers in [0, 1); random is its argument (as numpy/random/bitgen.h has them).
 *              NULL: random is an ft_philox
 * max_length   of an episode, which is then truncated; 0: none
 * state        (n_state)       idx  (2 * tilings), or (2) without tiles
 * u            the larger of reset_uniforms and step_uniforms     q  (trace->width) */
typedef struct ft_simulation {
    const ft_env *env;
    const ft_tiles *tiles;
    ft_trace *trace;
    int64_t kind, target, policy, max_length;
    double alpha, gamma, lambda_, parameter, sigma;
    double (*next_double)(void *);
    void *random;
    double *state, *u, *q;
    int32_t *idx;
    int64_t running, action, length, steps, episodes; /* running: in mid-episode */
    double total;                                     /* rewards of this episode */
    ft_options options;                               /* of the kind; the caller's */
} ft_simulation;

/* Go on for `steps` steps or until `episodes` episodes have ended, whichever is first.
 *
 * returns, lengths  out: of the episodes that end here, as many as simulation->episodes says
 *                   afterwards; room for the smaller of steps and episodes.
 * simulation->steps says how many steps were made.
 * One uniform number a decision, from the weights before the update; exact ties of greedy actions
 * are broken uniformly.
 * FT_OK; FT_EVALUE where the environment gave a state or reward that is not finite, or a gamma
 * outside [0, 1]; FT_EINDEX where a state is no feature.  The loop then stands before that step. */
FT_API int32_t ft_simulate(ft_simulation *simulation, int64_t steps, int64_t episodes,
                           double *returns, int64_t *lengths);

/* ft_simulate of `count` simulations, a few of them side by side: the same results, in less time.  They are of one
 * kind and one width, and share their tiles.
 *
 * steps, episodes   (count) the most that each may make
 * returns, lengths  (count, room) out: of the episodes of each; room for the smaller of its steps and episodes
 * status            (count) out: of each; one that fails does not end the others
 * Returns FT_OK, or the first of the others; FT_EVALUE and nothing done where they are not of one kind. */
FT_API int32_t ft_simulate_many(ft_simulation *const *simulations, int64_t count, const int64_t *steps,
                                const int64_t *episodes, int64_t room, double *returns,
                                int64_t *lengths, int32_t *status);

/* Uniform numbers that are counted, not made one from the other: Philox4x64-10, number for number as
 * numpy.random.Generator(numpy.random.Philox(key=[key_0, key_1])).random().  Salmon et al. 2011. */
typedef struct ft_philox {
    uint64_t counter[4], key[2], block[4];
    int64_t used; /* numbers of the block; beyond 4: of those after it, which were passed over */
} ft_philox;

FT_API void ft_philox_init(ft_philox *philox, uint64_t key_0, uint64_t key_1);
FT_API double ft_philox_double(void *philox);

/* The action that simulate takes for a uniform number u; q (n_actions). */
FT_API int64_t ft_epsilon_greedy(const double *q, int64_t n_actions, double epsilon, double u);
FT_API int64_t ft_softmax(const double *q, int64_t n_actions, double temperature, double u);

/* END cdef */

#ifdef __cplusplus
}
#endif
#endif
