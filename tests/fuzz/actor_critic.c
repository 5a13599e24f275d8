/* The linear actor-critic: steps, streams, resets. */
#include "fuzz.h"

static ft_trace *trace_of(int64_t n, int64_t columns) {
    ft_trace *t = ROOM(ft_trace, 1);
    const int64_t words = 2 * ft_trace_width(columns) * n, ring_size = 2 * ft_trace_ring_size(n);
    double *rows = ROOM(double, words), *ring = ROOM(double, ring_size);
    int32_t *epochs = ROOM(int32_t, n);
    ft_trace_init(t, n, columns, rows, ring, epochs);
    watch(t, 1, sizeof *t);
    watch(rows, words, sizeof *rows);
    watch(ring, ring_size, sizeof *ring);
    watch(epochs, n, sizeof *epochs);
    return t;
}

static void drive(void) {
    const int64_t n = below(8) == 0 ? 4097 + below(256) : 1 + below(40), columns = 1 + below(6);
    ft_actor_critic *t = ROOM(ft_actor_critic, 1);
    t->critic = trace_of(n, 1);
    t->actor = trace_of(n, columns);
    t->discount = 1.0;
    t->eta = below(2) ? (double)NAN : unit();
    t->discount_actor = below(2);
    if (below(4) == 0) t->critic->cap = 1.0;
    watch(t, 1, sizeof *t);
    double *work = ROOM(double, 3 * t->actor->width);
    const int held = hold();
    for (int op = 0; more() && op < 100; op++) {
        const int64_t which = below(16);
        int32_t status = FT_OK;
        remember();
        if (which < 10) {
            const fuzz_row x = row_of(n, (int)below(2)), y = row_of(n, (int)below(2));
            double delta;
            const int32_t action = kind_of((int32_t)columns);
            status = ft_actor_critic_step(t, number(ratio), x.k, x.idx, x.val, action, y.k, y.idx, y.val,
                                          number(small), number(unit), number(unit), number(unit), step_size(),
                                          step_size(), work, &delta);
            MUST(status != FT_OK || (action >= 0 && action < columns));
        } else if (which < 15) {
            ft_stream s = stream_of(n, columns, 0, 2 * t->actor->width, below(2) ? 8 : 0);
            s.parameter = number(ratio);
            s.actor_lambdas = series(s.steps, &s.actor_lambda_stride, unit);
            s.actor_alphas = series(s.steps, &s.actor_alpha_stride, step_size);
            if (below(4) == 0) say_checked(&s, s.steps + 1, n);
            status = ft_actor_critic_run(t, &s, ROOM(double, s.steps));
            MUST(status != FT_OK || s.steps == 0 || !is_bad(&s, s.steps + 1, n));
        } else {
            ft_actor_critic_reset(t);
        }
        MUST(status == FT_OK || status == FT_EINDEX || status == FT_EACTION || status == FT_EVALUE);
        if (status == FT_EINDEX) MUST(t->critic->bad_index < -1 || t->critic->bad_index >= n);
        t->critic->bad_index = 0;
        if (status != FT_OK) unchanged();
        release(held);
    }
}
