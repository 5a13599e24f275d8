/* Step sizes that learn: steps, streams, values, and the whole. */
#include "fuzz.h"

static void refused(ft_adaptive *t, int32_t status) {
    MUST(status == FT_OK || status == FT_EINDEX || status == FT_EACTION || status == FT_EVALUE);
    if (status == FT_EINDEX) MUST(t->bad_index < -1 || t->bad_index >= t->n);
    t->bad_index = 0;
    if (status != FT_OK) unchanged();
}

static void drive(void) {
    ft_adaptive *t = ROOM(ft_adaptive, 1);
    const int64_t n = below(8) == 0 ? 300 + below(256) : 1 + below(60), columns = below(2) ? 1 : 1 + below(6);
    const int64_t size = n * columns;
    const int32_t kind = (int32_t)below(FT_AUTOSTEP + 1); /* of all calls: rows of one kind are not another's */
    t->meta = below(4) ? unit() / 8 : unit();
    t->eta = (1 + below(64)) / 64.0;
    t->shrink = (1 + below(64)) / 64.0;
    t->eta_min = t->eta * (below(4) ? 1e-6 : 1.0);
    t->tau = 1.0 + below(200);
    t->rows = ROOM(ft_adaptive_row, size);
    t->p = ROOM(double, size + FT_AT_ONCE);
    t->inverse = ROOM(double, size + FT_AT_ONCE);
    t->fresh = ROOM(double, size);
    t->x = ROOM(double, size);
    t->list = ROOM(int32_t, size);
    t->active = ROOM(int32_t, size);
    ft_adaptive_init(t, n, columns, (byte() + 1) / 2048.0);
    watch(t, 1, sizeof *t);
    watch(t->rows, size, sizeof *t->rows);
    watch(t->p, size, sizeof *t->p);
    watch(t->inverse, size, sizeof *t->inverse);
    watch(t->fresh, size, sizeof *t->fresh);
    watch(t->list, size, sizeof *t->list);
    double *w = ROOM(double, size), *alphas = ROOM(double, size);
    const int held = hold();
    for (int op = 0; more() && op < 100; op++) {
        const int64_t which = below(16);
        remember();
        if (which < 9) {
            const fuzz_row x = row_of(n, (int)below(2)), y = row_of(n, (int)below(2));
            double delta;
            const int32_t action = kind_of((int32_t)columns);
            const int32_t status =
                ft_adaptive_step(t, below(32) ? kind : kind_of(0x7f) | 8, x.k, x.idx, x.val, action, y.k, y.idx, y.val,
                                 kind_of((int32_t)columns), number(small), number(unit), number(unit), &delta);
            MUST(status != FT_OK || (action >= 0 && action < columns));
            refused(t, status);
        } else if (which < 13) {
            const int control = columns > 1 || below(2), pairs = control && columns == 1;
            const int64_t n_actions = !control ? 0 : pairs ? 1 + below(5) : columns;
            ft_stream s = stream_of(n, n_actions, pairs, 1, below(2) ? 8 : 0);
            const int64_t rows = (s.steps + 1) * (pairs ? n_actions : 1);
            if (below(4) == 0) say_checked(&s, rows, n);
            const int32_t status = ft_adaptive_run(t, kind, &s, ROOM(double, s.steps));
            MUST(status != FT_OK || s.steps == 0 || !is_bad(&s, rows, n));
            refused(t, status);
            remember();
            refused(t, ft_adaptive_values(t, &s, rows, ROOM(double, rows * columns)));
        } else if (which == 13) {
            ft_adaptive_reset(t, kind);
        } else {
            ft_adaptive_dense(t, kind, below(2) ? w : NULL, below(2) ? alphas : NULL);
        }
        release(held);
    }
}
