/* Least squares: streams, with and without the inverse, which is made anew from the fuzzer's bytes. */
#include "fuzz.h"

static void drive(void) {
    const int64_t n = 1 + below(20);
    ft_lstd *l = ROOM(ft_lstd, 1);
    l->n = n;
    l->refresh = 1 + below(30);
    l->A = ROOM(double, n * n);
    l->b = ROOM(double, n);
    l->z = ROOM(double, n);
    const int inverse = below(2) == 0;
    l->work = ROOM(double, inverse ? 2 * n : n);
    if (inverse) {
        l->inverse = ROOM(double, n * n);
        l->u = ROOM(double, n);
    }
    l->list = ROOM(int32_t, n);
    l->listed = ROOM(uint8_t, n);
    for (int64_t i = 0; i < n; i++) {
        l->A[i * n + i] = 0.1;
        if (inverse) l->inverse[i * n + i] = 10.0;
    }
    watch(l, 1, sizeof *l);
    watch(l->A, n * n, sizeof *l->A);
    watch(l->z, n, sizeof *l->z);
    const int held = hold();
    for (int op = 0; more() && op < 50; op++) {
        ft_stream s = stream_of(n, 0, 0, 1, below(2) ? 8 : 0);
        if (below(4) == 0) say_checked(&s, s.steps + 1, n);
        int64_t at = 0;
        for (int turns = 0; turns < 200; turns++) {
            remember();
            const int64_t next = ft_lstd_run(l, &s, at);
            if (next == FT_EINDEX) {
                MUST(at == 0 && (l->bad_index < -1 || l->bad_index >= n));
                l->bad_index = 0;
                unchanged();
                break;
            }
            MUST(next >= at && next <= s.steps && !is_bad(&s, s.steps + 1, n));
            at = next;
            if (inverse && l->stale == 1) {
                for (int64_t i = 0; i < n * n; i++) l->inverse[i] = i % (n + 1) ? 0.0 : number(small);
                for (int64_t i = 0; i < n; i++) l->u[i] = l->inverse[i * n + i] * l->z[i];
                l->since = 0;
                l->stale = below(4) ? 0 : 2;
            }
            if (at == s.steps) break;
        }
        release(held);
    }
}
