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
    FT_EINDEX = -1, /* a feature index below -1 or >= n */
    FT_EACTION = -2 /* an action outside [0, columns) */
};

/* How a trace meets a feature that is active again (Sutton & Barto 2018, section 12.5, eq. 12.11-12). */
enum ft_kind { FT_ACCUMULATING, FT_REPLACING, FT_REPLACING_CLEAR, FT_DUTCH, FT_TRUE_ONLINE };

/* Weights and trace of n features with `columns` weights each (1, or one for each action).
 *
 *   rows    n rows of [b(width) | z(width)]            epochs  n, the epoch of each row
 *   ring    ring_size pairs (G, P), one for each epoch, found by epoch & (ring_size - 1)
 *
 *       w_i     = b_i + z_i (G[e_i] + P[e_i] drive)
 *       trace_i = z_i P[e_i] scale
 *
 * Fill it with ft_trace_init and read it with ft_trace_weights; the fields are here so that the
 * arrays can be shared with other languages. */
typedef struct ft_trace {
    int64_t n, columns, width, ring_size;
    int64_t epoch, oldest; /* epochs in [oldest, epoch] may still hold a trace */
    int64_t alive_max;     /* more of them than this: every row is brought up to date at once */
    int64_t swept;         /* the row that the sweep visits next */
    int64_t flat;          /* 1: every row is of this epoch, scale is 1 and drive is 0 */
    int64_t bad_index;     /* what FT_EINDEX met */
    double scale, drive;
    double decay; /* gamma lambda of the state arrived in: the next step's decay, without rho */
    double v_old; /* value of the state arrived in, before the last update; NaN: take v */
    double alpha; /* step size of the last update: the dutch traces hold it inside */
    double snap;  /* product of the decays since a dense trace was last cleared of subnormals */
    double *rows;
    int32_t *epochs;
    double *ring;
} ft_trace;

/* T transitions.  A stride of 0 makes one number stand for all steps, 1 reads an array.
 *
 *   binary   indices (rows, k), values NULL
 *   valued   indices and values (rows, k)
 *   ragged   row r is indices[indptr[r]] to indices[indptr[r + 1] - 1]; k is not used
 *
 * -1 among the indices is padding.  rows = T + 1; with actions and `columns` 1 the features are of
 * state-action pairs, rows = (T + 1) * n_actions, and row t * n_actions + actions[t] is used. */
typedef struct ft_stream {
    int64_t steps, k, n_actions;
    const int32_t *indices;
    const double *values;
    const int64_t *indptr;
    const int32_t *actions;
    const double *rewards, *gammas, *lambdas, *rhos, *alphas;
    int64_t gamma_stride, lambda_stride, rho_stride, alpha_stride;
} ft_stream;

/* END cdef */

#ifdef __cplusplus
}
#endif
#endif
