/* True online TD(lambda) on the 19-state random walk (Sutton & Barto 2018, example 7.1), in C alone.
 *
 * Prints the learned values next to the true ones; exits with 1 where they are far apart. */
#include "fasttrace.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { STATES = 19, EPISODES = 20000 };

/* xorshift64*: uniform on [0, 1). */
static double uniform(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)((*state * 2685821657736338717u) >> 11) * 0x1p-53;
}

int main(void) {
    const double gamma = 1.0, lambda = 0.8, rho = 1.0;

    /* The trace lives in our memory.  One weight a feature; malloc aligns to 16 bytes, which is enough. */
    ft_trace trace;
    double *rows = malloc(2 * (size_t)(ft_trace_width(1) * STATES) * sizeof *rows);
    double *ring = malloc(2 * (size_t)ft_trace_ring_size(STATES) * sizeof *ring);
    int32_t *epochs = malloc(STATES * sizeof *epochs);
    if (!rows || !ring || !epochs) return EXIT_FAILURE;
    ft_trace_init(&trace, STATES, 1, rows, ring, epochs);

    uint64_t random = 1;
    for (int episode = 0; episode < EPISODES; episode++) {
        const double alpha = 0.5 / (1.0 + episode / 100.0);
        int32_t state = STATES / 2;
        while (state >= 0 && state < STATES) {
            const int32_t next = uniform(&random) < 0.5 ? state - 1 : state + 1;
            const int ends = next < 0 || next == STATES;
            const double reward = next < 0 ? -1.0 : next == STATES ? 1.0 : 0.0;
            double delta;

            /* One active feature a state, its index; a discount of 0 ends the episode. */
            const int32_t status =
                ft_td_step(&trace, FT_TRUE_ONLINE, 1, &state, NULL, ends ? 0 : 1, &next, NULL, reward,
                           ends ? 0.0 : gamma, lambda, rho, alpha, &delta);
            if (status != FT_OK) {
                fprintf(stderr, "status %d, index %lld\n", (int)status, (long long)trace.bad_index);
                return EXIT_FAILURE;
            }
            state = next;
        }
    }

    double w[STATES], worst = 0.0;
    ft_trace_dense(&trace, FT_TRUE_ONLINE, w, NULL);
    printf("state  learned     true\n");
    for (int i = 0; i < STATES; i++) {
        const double v = (i + 1) / 10.0 - 1.0; /* P(right end) - P(left end) */
        worst = fmax(worst, fabs(w[i] - v));
        printf("%5d  %7.3f  %7.3f\n", i, w[i], v);
    }
    printf("largest error %.3f\n", worst);

    /* What is wrong is refused before anything changes. */
    double delta, w_after[STATES];
    const int32_t no_such_state = STATES;
    const int32_t status = ft_td_step(&trace, FT_TRUE_ONLINE, 1, &no_such_state, NULL, 0, NULL, NULL,
                                      0.0, 0.0, lambda, rho, 0.1, &delta);
    ft_trace_dense(&trace, FT_TRUE_ONLINE, w_after, NULL);
    int changed = 0;
    for (int i = 0; i < STATES; i++) changed |= w[i] != w_after[i];

    free(rows);
    free(ring);
    free(epochs);
    return worst < 0.05 && status == FT_EINDEX && !changed ? EXIT_SUCCESS : EXIT_FAILURE;
}
