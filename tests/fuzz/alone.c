/* A main for drivers without libFuzzer: inputs at random, for so many seconds or, -runs=, so many of them; or those in
 * the files named.  -runs= prints a digest of all numbers that came of it, for builds with FUZZ_DIGEST. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
extern uint64_t fuzz_digest;

static uint8_t data[1 << 16];

static size_t next_input(uint64_t *state) {
    const size_t size = 1 + (size_t)(*state >> 40) % 2048;
    for (size_t i = 0; i < size; i++) {
        *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        data[i] = (uint8_t)(*state >> 56);
    }
    return size;
}

int main(int argc, char **argv) {
    long seconds = 1, runs = 0;
    uint64_t state = (uint64_t)time(NULL), inputs = 0;
    for (int i = 1; i < argc; i++) {
        FILE *file = argv[i][0] == '-' ? NULL : fopen(argv[i], "rb");
        if (strncmp(argv[i], "-max_total_time=", 16) == 0) seconds = atol(argv[i] + 16);
        if (strncmp(argv[i], "-runs=", 6) == 0) runs = atol(argv[i] + 6);
        if (strncmp(argv[i], "-seed=", 6) == 0) state = (uint64_t)atol(argv[i] + 6);
        if (!file) continue;
        const size_t size = fread(data, 1, sizeof data, file);
        fclose(file);
        if (size) LLVMFuzzerTestOneInput(data, size);
    }
    if (runs) {
        for (long i = 0; i < runs; i++) LLVMFuzzerTestOneInput(data, next_input(&state));
        printf("%016" PRIx64 "\n", fuzz_digest);
        return 0;
    }
    for (const time_t end = time(NULL) + seconds; time(NULL) < end; inputs++) {
        const size_t size = next_input(&state);
        FILE *last = fopen("found/last", "wb"); /* a crash leaves it there */
        if (!last || fwrite(data, 1, size, last) != size) return 1;
        fclose(last);
        LLVMFuzzerTestOneInput(data, size);
    }
    remove("found/last");
    fprintf(stderr, "stat::number_of_executed_units: %llu\n", (unsigned long long)inputs);
    return 0;
}
