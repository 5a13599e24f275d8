/* fasttrace: eligibility traces whose cost does not grow with lambda.
 *
 * The whole public C API.  The caller owns all memory; nothing here allocates, blocks or keeps a
 * pointer beyond the structs below.  Calls on distinct traces are safe in distinct threads.
 * Functions return FT_OK or one of the negative codes; after an error nothing has changed.
 *
 * Build: cc -O3 -ffp-contract=off -std=c99 your.c csrc/[a-z]*.c -lm
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

/* How a trace meets a feature that is active again (Sutton & Barto 2018, eq. 12.11, 12.12). */
enum ft_kind { FT_ACCUMULATING, FT_REPLACING, FT_REPLACING_CLEAR, FT_DUTCH, FT_TRUE_ONLINE };

/* Weights and trace of n features with `columns` weights each: 1, or one for each action.
 *
 *   rows    n of [b(width) | z(width)]     epochs  n, the epoch that each row was brought up to
 *   ring    ring_size of (G, P), that of an epoch at epoch & (ring_size - 1)
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
    double *rows, *ring;
    int32_t *epochs;
} ft_trace;

/* Feature rows and what came with them, T = steps transitions.
 *
 *   indices       of the active features; -1 is padding
 *   values        theirs, laid out as the indices, or NULL for ones
 *   indptr        row r is [indptr[r], indptr[r + 1]); or NULL: row r is k from r * k on
 *   shared        1: dense values, all rows use the first k indices (0 to n - 1)
 *   actions       (T + 1) or NULL.  Where the trace has one column, the rows are of state-action
 *                 pairs and step t uses row t * n_actions + actions[t]
 *   *_stride      1, or 0 where one number stands for all steps */
typedef struct ft_stream {
    int64_t steps, k, shared, n_actions;
    const int32_t *indices;
    const double *values;
    const int64_t *indptr;
    const int32_t *actions;
    const double *rewards, *gammas, *lambdas, *rhos, *alphas;
    int64_t gamma_stride, lambda_stride, rho_stride, alpha_stride;
} ft_stream;

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

/* The trace becomes empty and v_old is forgotten; the weights stay.  O(epochs alive). */
FT_API void ft_trace_reset(ft_trace *trace);

/* Bring every row up to date: afterwards w = b and trace = z.  O(n). */
FT_API void ft_trace_flatten(ft_trace *trace);

/* Dense copies (n * columns), w[i * columns + action].  z may be NULL; it is the trace as the last
 * update used it, with the step size taken out of the kinds that hold it.  O(n). */
FT_API void ft_trace_dense(const ft_trace *trace, int32_t kind, double *w, double *z);

/* out[r * columns + a] = w.x for rows r of x (actions and rewards are not used), one a column.
 * FT_OK or FT_EINDEX. */
FT_API int32_t ft_values(ft_trace *trace, const ft_stream *x, int64_t rows, double *out);

/* ---- learning: TD(lambda), Sarsa(lambda) and their true online forms ---------------------------
 *
 * Source: Sutton & Barto 2018, section 12.2, 12.5, 12.7, exercise 12.13; van Seijen et al. 2016,
 * JMLR 17(145); van Hasselt, Mahmood & Sutton 2014.
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
FT_API int32_t ft_sarsa_step(ft_trace *trace, int32_t kind, int64_t k, const int32_t *idx,
                             const double *val, int64_t action, int64_t k_next,
                             const int32_t *idx_next, const double *val_next, int64_t action_next,
                             double reward, double gamma_next, double lambda_next, double alpha,
                             double *delta);

/* A whole stream; deltas (T).  Only indices and actions are checked here. */
FT_API int32_t ft_td_run(ft_trace *trace, int32_t kind, const ft_stream *stream, double *deltas);

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

/* ---- plastic networks ---------------------------------------------------------------------------
 *
 * Source: Miconi et al. 2019, "Backpropamine"; docs/plasticity.md has the equations and their order. */
enum ft_plastic_cell { FT_PLASTIC_LAYER, FT_PLASTIC_RNN, FT_PLASTIC_LSTM };
enum ft_plastic_mode { FT_NO_PLASTICITY, FT_PLASTIC, FT_SIMPLE, FT_RETROACTIVE };

/* A network and T steps of B elements.  G is 4 for the LSTM (i, j, f, o), else 1; matrices (post, pre).
 *
 *   cell, mode   enum ft_plastic_cell, ft_plastic_mode; soft 1: the soft bound
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
 *   hebb, E      out: the state afterwards (B, n_post, n_pre); E only in the retroactive mode */
typedef struct ft_plastic_f32 {
    int64_t cell, mode, soft, fan_out, per_neuron;
    int64_t T, B, n_post, n_pre, al_post, al_pre;
    float clip, eta, bm;
    const float *W, *al, *gates, *wm, *fw, *fb;
    const float *pre, *modulation, *h0, *c0, *hebb0, *E0;
    float *u, *h, *c, *M, *hebb, *E;
} ft_plastic_f32;
typedef struct ft_plastic_f64 {
    int64_t cell, mode, soft, fan_out, per_neuron;
    int64_t T, B, n_post, n_pre, al_post, al_pre;
    double clip, eta, bm;
    const double *W, *al, *gates, *wm, *fw, *fb;
    const double *pre, *modulation, *h0, *c0, *hebb0, *E0;
    double *u, *h, *c, *M, *hebb, *E;
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
 * distinct elements, each with its own work, al and sums. */
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

/* ---- this library ----------------------------------------------------------------------------- */

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

/* Position and velocity of a car in a valley; -1 a step until the top of the right slope.
 * Sutton & Barto 2018, example 10.1; to the bit as Gymnasium's MountainCar-v0 in float64. */
FT_API void ft_mountain_car(ft_env *env);

/* ---- simulation: environment, tile coder and agent in one loop ----------------------------------
 *
 * The caller fills in the upper part and sets the rest to 0.
 *
 * tiles        NULL: the feature is the state's first number itself, one-hot
 * trace        of columns 1 for prediction (env->n_actions 0), else of columns env->n_actions
 * kind         of the trace, enum ft_kind
 * next_double  gives numbers in [0, 1); random is its argument (as numpy/random/bitgen.h has them)
 * max_length   of an episode, which is then truncated; 0: none
 * state        (n_state)       idx  (2 * tilings), or (2) without tiles
 * u            the larger of reset_uniforms and step_uniforms     q  (trace->width) */
typedef struct ft_simulation {
    const ft_env *env;
    const ft_tiles *tiles;
    ft_trace *trace;
    int64_t kind, max_length;
    double alpha, gamma, lambda_, epsilon;
    double (*next_double)(void *);
    void *random;
    double *state, *u, *q;
    int32_t *idx;
    int64_t running, action, length, steps, episodes; /* running: in mid-episode */
    double total;                                     /* rewards of this episode */
} ft_simulation;

/* Go on for `steps` steps or until `episodes` episodes have ended, whichever is first.
 *
 * returns, lengths  out: of the episodes that end here, as many as simulation->episodes says
 *                   afterwards; room for the smaller of steps and episodes.
 * simulation->steps says how many steps were made.
 * One uniform number a decision: epsilon-greedy, exact ties broken uniformly, from the weights
 * before the update.
 * FT_OK; FT_EVALUE where the environment gave a state or reward that is not finite, or a gamma
 * outside [0, 1]; FT_EINDEX where a state is no feature.  The loop then stands before that step. */
FT_API int32_t ft_simulate(ft_simulation *simulation, int64_t steps, int64_t episodes,
                           double *returns, int64_t *lengths);

/* The action that simulate takes for a uniform number u; q (n_actions). */
FT_API int64_t ft_epsilon_greedy(const double *q, int64_t n_actions, double epsilon, double u);

/* END cdef */

#ifdef __cplusplus
}
#endif
#endif
