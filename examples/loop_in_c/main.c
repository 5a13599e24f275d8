/* A thousand steps of learning a second, each when its millisecond begins; prints the worst of them.
 *
 * A wheel turns by one of fifty notches a millisecond, and a sensor clicks once a turn: true online TD(lambda) predicts
 * the discounted clicks to come.  All memory is static.  Exits with 1 where a prediction is far from the truth. */
#define _POSIX_C_SOURCE 200809L
#include "fasttrace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { NOTCHES = 50, TICKS = 2000, PERIOD = 1000000 };

static double rows[2 * NOTCHES], ring[2 * 1024]; /* ft_trace_ring_size(NOTCHES) is 1024 */
static int32_t epochs[NOTCHES];
static double lasted[TICKS];

static double nanoseconds(struct timespec begin, struct timespec end) {
    return (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void) {
    const double gamma = 0.98, lambda = 0.95, alpha = 0.5;
    ft_trace trace;
    struct timespec tick, begin, end;
    double late = 0.0;
    if (ft_trace_ring_size(NOTCHES) > 1024) return EXIT_FAILURE;
    ft_trace_init(&trace, NOTCHES, 1, rows, ring, epochs);
    clock_gettime(CLOCK_MONOTONIC, &tick);

    for (int t = 0; t < TICKS; t++) {
        const int32_t notch = t % NOTCHES, next = (t + 1) % NOTCHES;
        double delta;
        tick.tv_nsec += PERIOD;
        if (tick.tv_nsec >= 1000000000) {
            tick.tv_nsec -= 1000000000;
            tick.tv_sec++;
        }
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &tick, NULL) != 0) continue;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        if (ft_td_step(&trace, FT_TRUE_ONLINE, 1, &notch, NULL, 1, &next, NULL, next == 0, gamma, lambda, 1.0, alpha,
                       &delta) != FT_OK)
            return EXIT_FAILURE;
        clock_gettime(CLOCK_MONOTONIC, &end);
        lasted[t] = nanoseconds(begin, end);
        late = fmax(late, nanoseconds(tick, begin));
    }

    double w[NOTCHES], worst = 0.0;
    ft_trace_dense(&trace, FT_TRUE_ONLINE, w, NULL);
    for (int i = 0; i < NOTCHES; i++) { /* the next click is NOTCHES - 1 - i discounts away, then one a turn */
        const double v = pow(gamma, NOTCHES - 1 - i) / (1.0 - pow(gamma, NOTCHES));
        worst = fmax(worst, fabs(w[i] - v));
    }
    qsort(lasted, TICKS, sizeof *lasted, compare);
    printf("largest error %.2g\n", worst);
    printf("a step: median %.0f ns, worst %.1f us; begun at most %.0f us late\n", lasted[TICKS / 2],
           lasted[TICKS - 1] / 1e3, late / 1e3);
    return worst < 0.05 ? EXIT_SUCCESS : EXIT_FAILURE;
}
