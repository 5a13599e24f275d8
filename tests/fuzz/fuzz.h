/* What the drivers share: numbers, rows and streams out of the fuzzer's bytes, over memory of just the size that
 * fasttrace.h asks for.  A driver defines drive() and includes this. */
#ifndef FT_FUZZ_H
#define FT_FUZZ_H

#define _POSIX_C_SOURCE 200112L
#include "fasttrace.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t *fuzz_at, *fuzz_end;

static int more(void) { return fuzz_at < fuzz_end; }

/* The next byte; 0 behind the last. */
static uint8_t byte(void) { return more() ? *fuzz_at++ : 0; }

/* In [0, n), n up to 256. */
static int64_t below(int64_t n) { return byte() % n; }

static void must(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}
#define MUST(what) must(what, #what)

/* ---- memory: exact, aligned, 0; given back when the input is over ---- */

enum { FUZZ_BLOCKS = 4096 };
static struct {
    void *at;
    size_t count, size;
    const char *type;
} fuzz_blocks[FUZZ_BLOCKS];
static int fuzz_count;

static void *room(int64_t count, size_t size, const char *type) {
    void *block;
    MUST(fuzz_count < FUZZ_BLOCKS);
    MUST(posix_memalign(&block, 64, (size_t)count * size) == 0);
    memset(block, 0, (size_t)count * size);
    fuzz_blocks[fuzz_count].at = block;
    fuzz_blocks[fuzz_count].count = (size_t)count;
    fuzz_blocks[fuzz_count].size = size;
    fuzz_blocks[fuzz_count++].type = type;
    return block;
}
#define ROOM(type, count) ((type *)room(count, sizeof(type), #type))

/* Of all numbers that stood in memory when it was given back: the same on each machine, but for what a NaN is.  Not of
 * structs and entries, in which there are addresses.  FNV-1a. */
uint64_t fuzz_digest = UINT64_C(14695981039346656037);

static void digest(size_t i) {
    static const char *const numbers[] = {"double", "float", "REAL"}, *const integers[] = {"int64_t", "int32_t", "uint8_t"};
    int kind = 0;
    for (int j = 0; j < 3; j++) {
        if (strcmp(fuzz_blocks[i].type, numbers[j]) == 0) kind = 2;
        if (strcmp(fuzz_blocks[i].type, integers[j]) == 0) kind = 1;
    }
    const size_t size = fuzz_blocks[i].size;
    for (size_t j = 0; kind && j < fuzz_blocks[i].count; j++) {
        uint64_t bits = 0;
        double real;
        float single;
        memcpy(&bits, (const char *)fuzz_blocks[i].at + j * size, size);
        memcpy(&real, &bits, sizeof real);
        memcpy(&single, &bits, sizeof single);
        if (kind == 2 && (size == sizeof real ? real != real : single != single)) bits = 1;
        fuzz_digest = (fuzz_digest ^ bits) * UINT64_C(1099511628211);
    }
}

/* What is made from here on goes at the release. */
static int hold(void) { return fuzz_count; }
static void release(int held) {
    while (fuzz_count > held) {
        fuzz_count--;
#ifdef FUZZ_DIGEST
        digest((size_t)fuzz_count);
#endif
        free(fuzz_blocks[fuzz_count].at);
    }
}

/* ---- what an error must leave as it was ---- */

enum { FUZZ_WATCHED = 16 };
static struct {
    void *at, *copy;
    size_t size;
} fuzz_watched[FUZZ_WATCHED];
static int fuzz_watching;

static void watch(void *at, int64_t count, size_t size) {
    MUST(fuzz_watching < FUZZ_WATCHED);
    fuzz_watched[fuzz_watching].at = at;
    fuzz_watched[fuzz_watching].size = (size_t)count * size;
    fuzz_watched[fuzz_watching++].copy = room(count, size, "copy");
}

static void remember(void) {
    for (int i = 0; i < fuzz_watching; i++)
        memcpy(fuzz_watched[i].copy, fuzz_watched[i].at, fuzz_watched[i].size);
}

static void unchanged(void) {
    for (int i = 0; i < fuzz_watching; i++)
        MUST(memcmp(fuzz_watched[i].copy, fuzz_watched[i].at, fuzz_watched[i].size) == 0);
}

/* ---- numbers ---- */

/* Any double: usual ones, ends of ranges, NaN, infinities, subnormals, huge and raw ones. */
static double any(void) {
    static const double odd[] = {0.0, -0.0, 1.0, -1.0, 0.5, 0.1, 1e-3, 0.99, 1.0 + 1e-15, 2.0, -0.25, 1e-17,
                                 5e-324, 1e-310, -2e-308, 1e-200, 1e200, -1e300, 1.7976931348623157e308, NAN,
                                 INFINITY, -INFINITY, 4294967296.0, 9.3e18, 1e-30, 1e30};
    const uint8_t which = byte();
    double raw;
    if (which < sizeof odd / sizeof *odd) return odd[which];
    if (which < 250) return (which - 100) / 50.0;
    uint8_t bytes[sizeof raw];
    for (size_t i = 0; i < sizeof raw; i++) bytes[i] = byte();
    memcpy(&raw, bytes, sizeof raw);
    return raw;
}

static double unit(void) {
    static const double odd[] = {0.0, 1.0, 5e-324, 1e-310, 1e-200, 1e-17, 0.5, 0.99, 1.0 - 1e-16};
    const uint8_t which = byte();
    return which < sizeof odd / sizeof *odd ? odd[which] : (which - 9) / 247.0;
}

/* [0, 1), as uniform numbers are. */
static double uniform(void) {
    const uint8_t which = byte();
    return which == 255 ? 1.0 - 1.0 / 9007199254740992.0 : which / 256.0;
}

/* Mostly what is allowed: a step in which nothing is refused is more work than one in which something is. */
static double number(double (*usual)(void)) { return below(24) == 0 ? any() : usual(); }
static double step_size(void) { return below(32) == 0 ? any() : (byte() + 1) / 512.0; }
static double small(void) { return (byte() - 128) / 16.0; }

static double *doubles(int64_t count, double (*of)(void)) {
    double *numbers = ROOM(double, count);
    for (int64_t i = 0; i < count; i++) numbers[i] = of();
    return numbers;
}

/* An enum's value, seldom one that is none. */
static int32_t kind_of(int32_t count) {
    const uint8_t which = byte();
    return which == 255 ? INT32_MIN : which == 254 ? count : which == 253 ? -1 : which == 252 ? INT32_MAX : which % count;
}

/* ---- rows of features ---- */

typedef struct {
    int64_t k;
    int32_t *idx;
    double *val;
} fuzz_row;

static int fuzz_bad; /* out of how many indices one is out of range; 0: none is */

static int32_t feature(int64_t n) {
    const int64_t which = byte();
    if (which == 255) return -1;
    if (fuzz_bad && which == 254 && below(fuzz_bad) == 0) {
        static const int32_t bad[] = {-2, INT32_MIN, INT32_MAX, -1000};
        const int64_t i = below(5);
        return i == 4 ? (int32_t)n : bad[i];
    }
    return (int32_t)((which << 8 | (n > 256 ? byte() : 0)) % (n > 256 ? n : 65536) % n + (n > 256 ? 0 : which % n) ) % (int32_t)n;
}

static int32_t *features(int64_t count, int64_t n) {
    int32_t *idx = ROOM(int32_t, count);
    for (int64_t i = 0; i < count; i++) idx[i] = feature(n);
    return idx;
}

/* Without features idx may be NULL. */
static fuzz_row row_of(int64_t n, int valued) {
    fuzz_row x;
    x.k = below(16) == 0 ? below(70) : below(10);
    x.idx = x.k || below(2) ? features(x.k, n) : NULL;
    x.val = valued ? doubles(x.k, below(8) == 0 ? any : small) : NULL;
    return x;
}

/* ---- streams ---- */

static const double *series(int64_t steps, int64_t *stride, double (*usual)(void)) {
    *stride = below(2);
    return doubles(*stride ? steps : 1, below(8) == 0 ? any : usual);
}

static double ratio(void) { return byte() / 100.0; }

/* pairs: 0, or so many rows a step, of state-action pairs; n_actions 0: no actions.  width: of the trace. */
static ft_stream stream_of(int64_t n, int64_t n_actions, int pairs, int64_t width, int64_t k_least) {
    ft_stream s;
    memset(&s, 0, sizeof s);
    s.steps = below(16) == 0 ? below(120) : below(6);
    s.n_actions = n_actions;
    const int64_t rows = (s.steps + 1) * (pairs ? n_actions : 1);
    const int form = (int)below(6);
    s.k = k_least + below(4) * 4;
    if (form == 5) s.k += below(4);
    if (form < 3 || form == 5) { /* binary twice, valued, of any length */
        s.indices = features(rows * s.k, n);
        if (form == 2) s.values = doubles(rows * s.k, below(8) == 0 ? any : small);
    } else if (form == 3) { /* ragged */
        int64_t *indptr = ROOM(int64_t, rows + 1);
        for (int64_t r = 0; r < rows; r++) indptr[r + 1] = indptr[r] + below(7);
        s.k = 0;
        s.indptr = indptr;
        s.indices = features(indptr[rows], n);
        if (below(2)) s.values = doubles(indptr[rows], small);
    } else if (n <= 256) { /* dense */
        int32_t *all = ROOM(int32_t, n);
        for (int64_t i = 0; i < n; i++) all[i] = (int32_t)i;
        s.k = n;
        s.shared = 1;
        s.indices = all;
        s.values = doubles(rows * n, below(8) == 0 ? any : small);
    } else {
        s.indices = features(rows * s.k, n);
    }
    s.rewards = doubles(s.steps, below(8) == 0 ? any : small);
    s.gammas = series(s.steps, &s.gamma_stride, unit);
    s.lambdas = series(s.steps, &s.lambda_stride, unit);
    s.alphas = series(s.steps, &s.alpha_stride, step_size);
    if (below(2)) s.rhos = series(s.steps, &s.rho_stride, ratio);
    if (below(4) == 0) s.interests = series(s.steps, &s.interest_stride, ratio);
    if (below(4) == 0) s.pis = series(s.steps, &s.pi_stride, unit);
    s.options.c_bar = number(ratio);
    s.options.rho_bar = number(ratio);
    s.options.psi = number(ratio);
    s.options.beta = number(unit);
    s.policy = below(2);
    s.parameter = number(unit);
    s.q = ROOM(double, 2 * (n_actions > width ? n_actions : width));
    if (n_actions) {
        int32_t *actions = ROOM(int32_t, s.steps + 1);
        for (int64_t t = 0; t <= s.steps; t++) {
            const uint8_t which = byte();
            actions[t] = (int32_t)(fuzz_bad && which == 255 ? n_actions : fuzz_bad && which == 254 ? -1 : which % n_actions);
        }
        s.actions = actions;
        if (below(2)) s.sigmas = series(s.steps, &s.sigma_stride, unit);
        if (below(2)) s.pi = doubles((s.steps + 1) * n_actions, below(8) == 0 ? any : unit);
    }
    return s;
}

/* How many indices there are. */
static int64_t index_count(const ft_stream *s, int64_t rows) {
    return s->indptr ? s->indptr[rows] : s->shared ? s->k : rows * s->k;
}

/* Whether a run has to refuse it. */
static int is_bad(const ft_stream *s, int64_t rows, int64_t n) {
    int bad = 0;
    for (int64_t i = 0; i < index_count(s, rows); i++) bad |= s->indices[i] < -1 || s->indices[i] >= n;
    MUST((ft_checked(s->indices, index_count(s, rows), n) == FT_EINDEX) == bad);
    for (int64_t t = 0; s->actions && t <= s->steps; t++) bad |= s->actions[t] < 0 || s->actions[t] >= s->n_actions;
    return bad;
}

/* As a caller that has looked at the indices says it. */
static void say_checked(ft_stream *s, int64_t rows, int64_t n) {
    if (!is_bad(s, rows, n)) s->checked = ft_checked(s->indices, index_count(s, rows), n);
}

/* ---- */

static void drive(void);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_at = data;
    fuzz_end = data + size;
    fuzz_watching = 0;
    fuzz_bad = 1;
    drive();
    release(0);
    return 0;
}

#endif
