/* The kernels of one weight vector over rows of float: half the memory.  Sums, the ring and what else a trace is
 * stay doubles.  On a CPU nothing is gained but memory: one loop for all kinds, compiled in less time. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2")
#endif
#define FT_ROW_TYPE float
#ifndef FT_NO_CLONES
#define FT_NO_CLONES
#endif
#ifndef FT_NO_VECTORS
#define FT_NO_VECTORS
#endif
#define ft_trace_ring_size ft_trace_ring_size_float
#define ft_trace_width ft_trace_width_float
#define ft_trace_init_zeroed ft_trace_init_zeroed_float
#define ft_trace_init ft_trace_init_float
#define ft_trace_init_wide ft_trace_init_wide_float
#define ft_trace_reset ft_trace_reset_float
#define ft_trace_flatten ft_trace_flatten_float
#define ft_trace_dense ft_trace_dense_float
#define ft_index_bounds ft_index_bounds_float
#define ft_checked ft_checked_float
#define ft_are_policies ft_are_policies_float
#define ft_td_run ft_td_run_float
#define ft_state_step ft_state_step_float
#define ft_emphatic_td_step ft_emphatic_td_step_float
#define ft_td_step ft_td_step_float
#define ft_sarsa_step ft_sarsa_step_float
#define ft_control_step ft_control_step_float
#define ft_values ft_values_float
#define ft_epsilon_greedy ft_epsilon_greedy_float
#define ft_softmax ft_softmax_float
#define ft_philox_init ft_philox_init_float
#define ft_philox_double ft_philox_double_float
#define ft_simulate_many ft_simulate_many_float
#define ft_simulate ft_simulate_float

#include "trace.c"
#include "linear.c"
#include "steps.c"
#include "simulate.c"

static const struct ft_single ft_singles = {
    ft_trace_reset, ft_trace_flatten, ft_trace_dense, ft_values, ft_td_run,
    ft_state_step,  ft_sarsa_step,    ft_control_step, ft_simulate_many,
};

void ft_trace_init_single(ft_trace *t, int64_t n, int64_t columns, float *rows, double *ring, int32_t *epochs) {
    ft_trace_init_zeroed(t, n, columns, (double *)(void *)rows, ring, epochs);
    ft_trace_make_single(t);
}

void ft_trace_make_single(ft_trace *t) { t->single = &ft_singles; }
