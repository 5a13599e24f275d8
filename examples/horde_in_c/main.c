/* 2000 predictions about one stream, step by step, in C alone.
 *
 * A robot's arm goes round in 100 poses and stumbles at times.  Prediction j is about arriving in pose j % 100,
 * with a discount of its own.  Prints what some have come to beside what is true, and how long a step takes;
 * exits with 1 where they are far apart. */
#include "fasttrace.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { POSES = 100, PREDICTIONS = 2000, STEPS = 20000, CHUNKS = PREDICTIONS / 8 };
enum { SLABS = POSES / FT_HORDE_SLAB_ROWS + 1 }; /* one row is no pose's */

/* All memory that the horde has, to be given back: slabs, and five arrays. */
static void *taken[SLABS + 5];
static int taken_count;

/* Zeros at a multiple of 64 bytes.  What nobody touches of calloc's memory takes none. */
static void *zeros(size_t bytes) {
    char *memory = calloc(bytes + 64, 1);
    if (!memory) exit(EXIT_FAILURE);
    taken[taken_count++] = memory;
    return memory + (64 - (uintptr_t)memory % 64) % 64;
}

/* Chunks of eight predictions that decay about alike: here the discounts grow with the number. */
static double discount(int j) { return 0.98 * (j / POSES) / (PREDICTIONS / POSES - 1); }

int main(void) {
    ft_horde horde;
    const int32_t kind = FT_HORDE_TRUE_ONLINE;
    const size_t word = 8 * sizeof(double);
    double *lanes = zeros(FT_HORDE_WORDS * word * CHUNKS);
    ft_horde_init(&horde, POSES, CHUNKS, kind, zeros(POSES * sizeof(int32_t)), lanes,
                  zeros(FT_HORDE_COUNTERS * sizeof(int64_t) * CHUNKS),
                  zeros((size_t)ft_horde_ring_size(POSES) * 2 * word * CHUNKS),
                  zeros(SLABS * sizeof(double *)));
    for (int j = 0; j < PREDICTIONS; j++) lanes[(FT_HORDE_WORDS * (j / 8) + 4) * 8 + j % 8] = 0.1; /* alpha */

    static double cumulants[PREDICTIONS], gammas[PREDICTIONS], deltas[PREDICTIONS];
    const double lambda = 0.9, rho = 1.0;
    for (int j = 0; j < PREDICTIONS; j++) gammas[j] = discount(j);
    ft_horde_stream one = {0};
    one.cumulants.numbers = cumulants;
    one.gammas.numbers = gammas;
    one.cumulants.lanes = one.gammas.lanes = 1; /* a number for each prediction */
    one.lambdas.numbers = &lambda;              /* one for all */
    one.rhos.numbers = &rho;
    one.deltas = deltas;

    uint64_t entries[2], random = 1;
    double values[2];
    int32_t pose = 0;
    const clock_t began = clock();
    for (int t = 0; t < STEPS; t++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const int32_t next = (pose + 1) % POSES;
        for (int j = 0; j < PREDICTIONS; j++) cumulants[j] = j % POSES == next;
        int32_t status;
        while ((status = ft_horde_step(&horde, 1, &pose, NULL, 1, &next, NULL, &one, entries, values)) ==
               FT_HORDE_FULL) /* a feature that is new: memory for it, and for 15 more */
            horde.slabs[horde.slabs_count++] = zeros((size_t)ft_horde_slab_size(kind) * sizeof(double) * CHUNKS);
        if (status != FT_OK) return EXIT_FAILURE;
        pose = next;
        if (random >> 57 == 0) { /* it stumbles: the traces end, and it is put somewhere else */
            ft_horde_reset(&horde);
            pose = (int32_t)(random >> 32) % POSES;
            if (pose < 0) pose += POSES;
        }
    }
    const double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;

    /* The values of a pose: rows of features that are entered, then read by all predictions. */
    int64_t begins[2];
    const int32_t here = 0;
    ft_stream x = {0};
    x.k = 1;
    x.indices = &here;
    ft_horde_enter(&horde, &x, 1, entries, NULL, begins);
    one.steps = 1;
    one.begins = begins;
    one.entries = entries;
    ft_horde_values(&horde, &one);

    double worst = 0.0;
    printf("prediction  discount  learned     true\n");
    for (int j = 0; j < PREDICTIONS; j++) {
        const double gamma = gammas[j];
        const int away = (j % POSES + POSES - 1) % POSES; /* steps before the one that arrives there */
        const double v = pow(gamma, away) / (1.0 - pow(gamma, POSES));
        worst = fmax(worst, fabs(deltas[j] - v));
        if (j % 400 == 5) printf("%10d  %8.3f  %7.3f  %7.3f\n", j, gamma, deltas[j], v);
    }
    printf("largest error %.3f; %.0f us a step of %d predictions\n", worst, seconds / STEPS * 1e6, PREDICTIONS);
    while (taken_count > 0) free(taken[--taken_count]);
    return worst < 0.05 ? EXIT_SUCCESS : EXIT_FAILURE;
}
