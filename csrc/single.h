/* Traces whose rows are of float.  The public functions hand them to twins that single.c makes, by way of a
 * table that such a trace points to: who has none need not link them. */
#ifndef FT_SINGLE_H
#define FT_SINGLE_H

#include "trace.h"

struct ft_single {
    void (*reset)(ft_trace *t);
    void (*flatten)(ft_trace *t);
    void (*dense)(const ft_trace *t, int32_t kind, double *w, double *z);
    int32_t (*values)(ft_trace *t, const ft_stream *x, int64_t rows, double *out);
    int32_t (*td_run)(ft_trace *t, int32_t kind, const ft_stream *s, double *deltas);
    int32_t (*state_step)(ft_trace *t, int32_t kind, const ft_options *options, int64_t k, const int32_t *idx,
                          const double *val, int64_t k_next, const int32_t *idx_next, const double *val_next,
                          double reward, double gamma_next, double lambda_next, double rho, double pi, double
                          interest, double alpha, double *delta);
    int32_t (*sarsa_step)(ft_trace *t, int32_t kind, int64_t k, const int32_t *idx, const double *val, int64_t
                          action, int64_t k_next, const int32_t *idx_next, const double *val_next, int64_t
                          action_next, double reward, double gamma_next, double lambda_next, double alpha,
                          double *delta);
    int32_t (*control_step)(ft_trace *t, int32_t kind, int32_t target, int32_t policy, double parameter,
                            double sigma, int64_t k, const int32_t *idx, const double *val, int64_t action,
                            int64_t k_next, const int32_t *idx_next, const double *val_next, int64_t
                            action_next, double reward, double gamma_next, double lambda_next, double alpha,
                            double *q, double *delta);
    int32_t (*simulate_many)(ft_simulation *const *each, int64_t count, const int64_t *steps, const int64_t
                             *episodes, int64_t room, double *returns, int64_t *lengths, int32_t *status);
};

#if FT_SINGLE
#define FT_TO_SINGLE(trace, function, arguments)
#define FT_TO_SINGLE_VOID(trace, function, arguments)
#else
#define FT_TO_SINGLE(trace, function, arguments) \
    if ((trace)->single) return (trace)->single->function arguments;
#define FT_TO_SINGLE_VOID(trace, function, arguments) \
    if ((trace)->single) {                            \
        (trace)->single->function arguments;          \
        return;                                       \
    }
#endif
#endif
