/* Linear learners with one weight vector: steps, streams, values, and the trace as a whole. */
#include "fuzz.h"

enum { KINDS = FT_EMPHATIC_BETA + 1, TARGETS = FT_Q_SIGMA + 1 };

static void refused(ft_trace *t, int32_t status) {
    MUST(status == FT_OK || status == FT_EINDEX || status == FT_EACTION || status == FT_EVALUE);
    if (status == FT_EINDEX) MUST(t->bad_index < -1 || t->bad_index >= t->n);
    t->bad_index = 0;
    if (status != FT_OK) unchanged();
}

static int32_t one_step(ft_trace *t, int64_t which, double *q) {
    const int32_t kind = kind_of(KINDS);
    const fuzz_row x = row_of(t->n, (int)below(2)), y = row_of(t->n, (int)below(2));
    const double reward = number(small), gamma = number(unit), lambda = number(unit), rho = number(ratio);
    const double alpha = step_size();
    double delta;
    ft_options options = {number(ratio), number(ratio), number(ratio), number(unit)};
    const int64_t action = kind_of((int32_t)t->columns), action_next = kind_of((int32_t)t->columns);
    if (t->columns == 1 && which == 0)
        return ft_td_step(t, kind, x.k, x.idx, x.val, y.k, y.idx, y.val, reward, gamma, lambda, rho, alpha, &delta);
    if (t->columns == 1 && which == 1)
        return ft_emphatic_td_step(t, kind, x.k, x.idx, x.val, y.k, y.idx, y.val, reward, gamma, lambda, rho,
                                   number(unit), alpha, &delta);
    if (t->columns == 1 && which == 2)
        return ft_state_step(t, kind, below(4) ? &options : NULL, x.k, x.idx, x.val, y.k, y.idx, y.val, reward,
                             gamma, lambda, rho, below(2) ? rho : number(unit), number(unit), alpha, &delta);
    const int32_t status =
        which == 3 ? ft_sarsa_step(t, kind, x.k, x.idx, x.val, action, y.k, y.idx, y.val, action_next, reward, gamma,
                                   lambda, alpha, &delta)
                   : ft_control_step(t, kind, kind_of(TARGETS), kind_of(2), number(unit), number(unit), x.k, x.idx,
                                     x.val, action, y.k, y.idx, y.val, action_next, reward, gamma, lambda, alpha, q,
                                     &delta);
    MUST(status != FT_OK || (action >= 0 && action < t->columns));
    return status;
}

static void run(ft_trace *t) {
    const int control = t->columns > 1 || below(2), pairs = control && t->columns == 1;
    const int64_t n_actions = !control ? 0 : pairs ? 1 + below(5) : t->columns;
    ft_stream s = stream_of(t->n, n_actions, pairs, t->width, below(2) ? 8 : 0);
    const int64_t rows = (s.steps + 1) * (pairs ? n_actions : 1);
    if (below(4) == 0) say_checked(&s, rows, t->n);
    s.target = control && below(2) ? kind_of(TARGETS) : below(64) == 0 ? 1 : FT_TAKEN;
    const int32_t status = ft_td_run(t, kind_of(KINDS), &s, ROOM(double, s.steps));
    MUST(status != FT_OK || s.steps == 0 || !is_bad(&s, rows, t->n));
    refused(t, status);
    remember();
    refused(t, ft_values(t, &s, rows, ROOM(double, rows * t->columns)));
}

/* A stream that is long and wide enough for rows to be fetched ahead; its indices are not the fuzzer's. */
static void long_run(ft_trace *t) {
    ft_stream s;
    memset(&s, 0, sizeof s);
    s.steps = 256 + below(64);
    s.k = 1 + below(9);
    int32_t *idx = ROOM(int32_t, (s.steps + 1) * s.k);
    uint32_t state = byte();
    for (int64_t i = 0; i < (s.steps + 1) * s.k; i++) {
        state = state * 1664525u + 1013904223u;
        idx[i] = (int32_t)((state >> 8) % (uint32_t)t->n);
    }
    s.indices = idx;
    s.rewards = doubles(s.steps, small);
    s.gammas = doubles(1, unit);
    s.lambdas = doubles(1, unit);
    s.alphas = doubles(1, step_size);
    refused(t, ft_td_run(t, kind_of(KINDS), &s, ROOM(double, s.steps)));
}

static void drive(void) {
    ft_trace *t = ROOM(ft_trace, 1);
    const int layout = (int)below(4);
    const int large = below(64) == 0;
    const int64_t n = large ? 32768 + 100 * below(256) : below(8) == 0 ? 4097 + below(256) : 1 + below(40);
    const int64_t columns = layout == 2 || large ? 1 : below(2) ? 1 : 1 + below(9);
    const int64_t words = 2 * ft_trace_width(columns) * n;
    double *ring = ROOM(double, 2 * ft_trace_ring_size(n)), *q = ROOM(double, ft_trace_width(columns));
    int32_t *epochs = ROOM(int32_t, n);
    watch(t, 1, sizeof *t);
    watch(ring, 2 * ft_trace_ring_size(n), sizeof *ring);
    watch(epochs, n, sizeof *epochs);
    if (layout == 0 || layout == 1) {
        double *rows = ROOM(double, words);
        if (layout == 0)
            ft_trace_init(t, n, columns, rows, ring, epochs);
        else
            ft_trace_init_zeroed(t, n, columns, rows, ring, epochs);
        watch(rows, words, sizeof *rows);
    } else if (layout == 2) {
        double *rows = ROOM(double, 4 * n);
        ft_trace_init_wide(t, n, rows, ring);
        watch(rows, 4 * n, sizeof *rows);
    } else {
        float *rows = ROOM(float, words);
        ft_trace_init_single(t, n, columns, rows, ring, epochs);
        ft_trace_make_single(t);
        watch(rows, words, sizeof *rows);
    }
    if (below(4) == 0) t->cap = below(2) ? 1.0 : step_size();
    double *w = ROOM(double, n * columns), *z = ROOM(double, n * columns);
    const int held = hold();
    for (int op = 0; more() && op < 100; op++) {
        const int64_t which = below(20);
        remember();
        if (which < 12) refused(t, one_step(t, which % 5, q));
        else if (which < 15) run(t);
        else if (which == 15 && large) long_run(t);
        else if (which == 16) ft_trace_reset(t);
        else if (which == 17) ft_trace_flatten(t);
        else if (which == 18) ft_trace_dense(t, kind_of(KINDS), w, below(2) ? z : NULL);
        else if (which == 19) {
            const int64_t n_actions = 1 + below(5), states = below(6);
            ft_are_policies(doubles(states * n_actions, below(2) ? any : unit), states, n_actions);
        }
        release(held);
    }
}
