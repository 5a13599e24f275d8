/* Learners with two weight vectors: steps, streams, GQ, values, and the whole. */
#include "fuzz.h"

static void refused(ft_gradient *t, int32_t status) {
    MUST(status == FT_OK || status == FT_EINDEX || status == FT_EACTION || status == FT_EVALUE);
    if (status == FT_EINDEX) MUST(t->bad_index < -1 || t->bad_index >= t->n);
    t->bad_index = 0;
    if (status != FT_OK) unchanged();
}

static void drive(void) {
    ft_gradient *t = ROOM(ft_gradient, 1);
    const int32_t kind = (int32_t)below(FT_PROXIMAL_GTD2 + 1);
    const int64_t n = below(8) == 0 ? 4097 + below(256) : 1 + below(40);
    const int64_t columns = kind == FT_GTD && below(2) ? 1 + below(6) : 1;
    const int64_t words = n * columns * ft_gradient_words(kind), ring_size = 4 * ft_trace_ring_size(n * columns);
    double *rows = ROOM(double, words), *ring = ROOM(double, ring_size);
    ft_gradient_init(t, kind, n, columns, rows, ring);
    t->eta = kind == FT_TDRC ? step_size() : 0.0;
    watch(t, 1, sizeof *t);
    watch(rows, words, sizeof *rows);
    watch(ring, ring_size, sizeof *ring);
    const int held = hold();
    for (int op = 0; more() && op < 100; op++) {
        const int64_t which = below(18);
        const double beta = step_size();
        remember();
        if (which < 9) {
            const fuzz_row x = row_of(n, (int)below(2)), y = row_of(n, (int)below(2));
            double delta;
            refused(t, ft_gradient_step(t, beta, x.k, x.idx, x.val, y.k, y.idx, y.val, number(small), number(unit),
                                        number(unit), number(ratio), step_size(), &delta));
        } else if (which < 14) {
            const int control = which > 11, pairs = control && columns == 1;
            const int64_t n_actions = !control ? 0 : pairs ? 1 + below(5) : columns;
            ft_stream s = stream_of(n, n_actions, pairs, 1, below(2) ? 8 : 0);
            const int64_t rows_of = (s.steps + 1) * (pairs ? n_actions : 1);
            if (below(4) == 0) say_checked(&s, rows_of, n);
            const int32_t status = control ? ft_gq_run(t, beta, &s, ROOM(double, s.steps))
                                           : ft_gradient_run(t, beta, &s, ROOM(double, s.steps));
            MUST(status != FT_OK || s.steps == 0 || !is_bad(&s, rows_of, n));
            refused(t, status);
            remember();
            refused(t, ft_gradient_values(t, &s, rows_of, ROOM(double, rows_of * columns)));
        } else if (which > 15) {
            const fuzz_row x = row_of(n, (int)below(2)), y = row_of(n, (int)below(2));
            double delta;
            double *q = ROOM(double, 2 * columns), *pi = NULL;
            if (below(2)) {
                pi = ROOM(double, columns);
                pi[below(columns)] = 1.0;
                const int64_t at = below(columns);
                if (below(4) == 0) pi[at] = number(unit);
            }
            const int32_t action = kind_of((int32_t)columns), policy = kind_of(FT_SOFTMAX + 1);
            const int32_t next = kind_of((int32_t)columns); /* compilers differ in the order of arguments */
            const double parameter = number(unit), reward = number(small), gamma = number(unit);
            const double lambda = number(unit), rho = number(ratio), alpha = step_size();
            const int32_t status = ft_gq_step(t, beta, policy, parameter, pi, x.k, x.idx, x.val, action, y.k, y.idx,
                                              y.val, next, reward, gamma, lambda, rho, alpha, q, &delta);
            MUST(status != FT_OK || (kind == FT_GTD && action >= 0 && action < columns));
            refused(t, status);
        } else if (which == 14) {
            ft_gradient_reset(t);
        } else {
            ft_gradient_flatten(t);
        }
        release(held);
    }
}
