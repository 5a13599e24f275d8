/* An agent on static memory: true online Sarsa(lambda) over tiles gets a car out of its valley.
 *
 * Sutton & Barto 2018, example 10.1.  Every array has its size from the start, nothing is allocated; so it is on a
 * controller.  Prints how long episodes take; exits with 1 where it has not learned. */
#include "fasttrace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TILINGS = 8, TILES = 8, FEATURES = TILINGS * (TILES + 1) * (TILES + 1), ACTIONS = 3, WIDTH = 4 };
enum { EPISODES = 300, LAST = 50, RING = 2048, TABLE = 256 };

static double rows[2 * WIDTH * FEATURES], ring[2 * RING], table[TABLE];
static int32_t epochs[FEATURES];
static ft_trace trace;
static ft_tiles coder;
static uint64_t random_state = 1;

static double uniform(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53;
}

/* Drive on; whether the car is on top. */
static int drive(double *state, int64_t action) {
    state[1] += 0.001 * (double)(action - 1) - 0.0025 * cos(3.0 * state[0]);
    state[1] = fmin(fmax(state[1], -0.07), 0.07);
    state[0] = fmin(fmax(state[0] + state[1], -1.2), 0.6);
    if (state[0] <= -1.2 && state[1] < 0.0) state[1] = 0.0;
    return state[0] >= 0.5;
}

/* The greedy action, the first of those that tie. */
static int64_t act(const int32_t *x) {
    double q[ACTIONS];
    ft_stream row = {0};
    row.k = TILINGS;
    row.indices = x;
    if (ft_values(&trace, &row, 1, q) != FT_OK) exit(EXIT_FAILURE);
    int64_t best = 0;
    for (int64_t a = 1; a < ACTIONS; a++)
        if (q[a] > q[best]) best = a;
    return best;
}

int main(void) {
    const double low[] = {-1.2, -0.07}, high[] = {0.6, 0.07}, gamma = 1.0, lambda = 0.9, alpha = 0.5 / TILINGS;
    const int64_t tiles[] = {TILES, TILES};
    const uint8_t wraps[] = {0, 0};
    if (ft_trace_width(ACTIONS) != WIDTH || ft_trace_ring_size(FEATURES) > RING ||
        ft_tiles_table_size(2, TILINGS) > TABLE ||
        ft_tiles_init(&coder, 2, TILINGS, low, high, tiles, wraps, 0, table) != FT_OK || coder.n_features != FEATURES)
        return EXIT_FAILURE;
    ft_trace_init(&trace, FEATURES, ACTIONS, rows, ring, epochs);

    int steps = 0;
    double total = 0.0;
    for (int episode = 0; episode < EPISODES; episode++) {
        double state[] = {-0.6 + 0.2 * uniform(), 0.0}, delta;
        int32_t x[TILINGS], x_next[TILINGS];
        int length = 0, over = 0;
        ft_tiles_encode(&coder, 1, state, x);
        int64_t action = act(x);
        while (!over) {
            over = drive(state, action);
            ft_tiles_encode(&coder, 1, state, x_next);
            const int64_t next = act(x_next);
            if (ft_sarsa_step(&trace, FT_TRUE_ONLINE, TILINGS, x, NULL, action, TILINGS, x_next, NULL, next, -1.0,
                              over ? 0.0 : gamma, lambda, alpha, &delta) != FT_OK)
                return EXIT_FAILURE;
            for (int i = 0; i < TILINGS; i++) x[i] = x_next[i];
            action = next;
            length++;
        }
        ft_trace_reset(&trace);
        steps += length;
        if (episode >= EPISODES - LAST) total += length;
        if ((episode & (episode - 1)) == 0) printf("episode %3d: %4d steps\n", episode, length);
    }
    const double mean = total / LAST;
    printf("%d steps; the last %d episodes took %.0f each; %zu bytes of memory\n", steps, LAST, mean,
           sizeof rows + sizeof ring + sizeof table + sizeof epochs + sizeof trace + sizeof coder);
    return mean < 150.0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
