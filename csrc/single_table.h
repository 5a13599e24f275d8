/* What a trace whose rows are of float points to: the twins of the public functions, see single.h. */
#ifndef FT_SINGLE_TABLE_H
#define FT_SINGLE_TABLE_H

#include "fasttrace.h"

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

#endif
