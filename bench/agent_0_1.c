/* One agent on mountain car as the first version had it, before several ran side by side: a baseline that stays
 * as it is.  True online Sarsa(lambda), greedy but with probability epsilon, 8 tilings of 8 x 8; the same
 * operations in the same order, with that version's calls: environment, coder and numbers by their addresses.
 * Only what other learners and coders need is left out.
 *
 *   row:  b[4] | z[4]   w = b + z (G + P drive), trace = z P scale, (G, P) in the ring at the row's epoch */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__) && __FLT_EVAL_METHOD__ == 0

#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))
#if defined(__x86_64__) && defined(__linux__) && defined(__GLIBC__) && !defined(__clang__)
#define CLONES_32 __attribute__((target_clones("arch=x86-64-v3", "default")))
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES_32
#define CLONES
#endif

enum { TILINGS = 8, CELLS = 9, N = TILINGS * CELLS * CELLS, ACTIONS = 3, RING = 1024, ALIVE_MAX = 64 };
#define THR 0.1
#define CUT 1e-16

typedef double four __attribute__((vector_size(32), aligned(16), may_alias));
typedef double pair __attribute__((vector_size(16)));

typedef struct {
    double rows[8 * N], ring[2 * RING];
    int32_t epochs[N];
    int64_t n, ring_size, alive_max, epoch, oldest, swept;
    double scale, drive, decay, v_old;
} trace;

/* What a loop keeps in registers. */
typedef struct {
    double *rows, *ring;
    int32_t *epochs;
    uint32_t mask, epoch;
    double scale, drive;
} hot;

INLINE hot load(trace *t) {
    const hot h = {t->rows, t->ring, t->epochs, (uint32_t)(t->ring_size - 1), (uint32_t)t->epoch, t->scale, t->drive};
    return h;
}

INLINE pair since(const hot *h, int64_t i) {
    return *(const pair *)(const void *)(h->ring + 2 * (size_t)((uint32_t)h->epochs[i] & h->mask));
}

INLINE void sweep(const hot *h, int64_t i) {
    if (((uint32_t)h->epochs[i] & h->mask) == 0) return;
    const pair g = since(h, i);
    double *row = h->rows + 8 * i;
    for (int a = 0; a < 4; a++) {
        row[a] += row[4 + a] * g[0];
        row[4 + a] *= g[1];
    }
    h->epochs[i] = g[1] == 0.0 ? 0 : (int32_t)h->epoch;
}

CLONES APART void close_epoch(trace *t, double scale, double drive) {
    const uint32_t mask = (uint32_t)(t->ring_size - 1);
    for (int64_t e = t->oldest; e <= t->epoch; e++) {
        double *g = t->ring + 2 * (size_t)((uint32_t)e & mask);
        if (g == t->ring) continue;
        const double P = scale == 0.0 ? 0.0 : g[1] * scale;
        g[0] += g[1] * drive;
        g[1] = fabs(P) < CUT ? 0.0 : P;
    }
    while (t->oldest <= t->epoch && t->ring[2 * (size_t)((uint32_t)t->oldest & mask) + 1] == 0.0) t->oldest++;
    t->epoch++;
    if (((uint32_t)t->epoch & mask) == 0) t->epoch++;
    t->scale = 1.0;
    t->drive = 0.0;
    t->ring[2 * (size_t)((uint32_t)t->epoch & mask)] = 0.0;
    t->ring[2 * (size_t)((uint32_t)t->epoch & mask) + 1] = 1.0;
    int64_t rows = t->n / (t->ring_size - 3) + 1;
    if (t->epoch - t->oldest > t->alive_max) {
        rows = t->n;
        t->oldest = t->epoch;
    }
    const hot h = load(t);
    int64_t i = t->swept;
    for (; rows > 0; rows--) {
        sweep(&h, i);
        i = i + 1 == t->n ? 0 : i + 1;
    }
    t->swept = i;
}

INLINE void decay_by(trace *t, hot *h, double decay) {
    h->scale = decay == 0.0 ? 0.0 : h->scale * decay;
    if (__builtin_expect(h->scale >= THR && h->scale <= 1.0 / THR, 1)) return;
    close_epoch(t, h->scale, h->drive);
    h->epoch = (uint32_t)t->epoch;
    h->scale = 1.0;
    h->drive = 0.0;
}

/* Sums of b and z at a column as of now. */
INLINE pair read_one(const hot *h, int64_t i, int64_t column) {
    const double *row = h->rows + 8 * i + column;
    return (pair){row[0], 0.0} + (pair){row[4], row[4]} * since(h, i);
}

INLINE pair read(const hot *h, const int32_t *x, int64_t column) {
    pair sum = {0.0, 0.0};
    for (int j = 0; j < TILINGS; j += 2) sum += read_one(h, x[j], column) + read_one(h, x[j + 1], column);
    return sum;
}

/* How far z of row i has moved its weight: w = b + z moved. */
INLINE double moved(const hot *h, int64_t i) {
    const pair g = since(h, i);
    return g[0] + g[1] * h->drive;
}

INLINE void read_values(const hot *h, const int32_t *x, double *restrict q) {
    four sum = {0.0, 0.0, 0.0, 0.0};
    for (int j = 0; j < TILINGS; j += 2) {
        const four *r = (const four *)(const void *)(h->rows + 8 * (int64_t)x[j]);
        const four *o = (const four *)(const void *)(h->rows + 8 * (int64_t)x[j + 1]);
        four both = r[0] + r[1] * moved(h, x[j]);
        both += o[0] + o[1] * moved(h, x[j + 1]);
        sum += both;
    }
    for (int a = 0; a < 4; a++) q[a] = sum[a];
}

/* trace_i += c, w_i += beta. */
INLINE void write(const hot *h, const int32_t *x, int64_t column, double c, double beta, double inv) {
    static const double places[4][4] __attribute__((aligned(32))) = {
        {1.0, 0.0, 0.0, 0.0}, {0.0, 1.0, 0.0, 0.0}, {0.0, 0.0, 1.0, 0.0}, {0.0, 0.0, 0.0, 1.0}};
    const double dz = c * inv, db = beta - h->drive * dz;
    const four at = *(const four *)(const void *)places[column], db_at = at * db, dz_at = at * dz;
    for (int j = 0; j < TILINGS; j++) {
        const int64_t i = x[j];
        const pair g = since(h, i);
        four *row = (four *)(void *)(h->rows + 8 * i);
        const four b = row[0] + row[1] * g[0], z = row[1] * g[1];
        row[0] = b + db_at;
        row[1] = z + dz_at;
        h->epochs[i] = (int32_t)h->epoch;
    }
}

INLINE int64_t pick(double part, int64_t count) {
    const int64_t one = (int64_t)(part * (double)count);
    return one < count ? one : count - 1;
}

INLINE int64_t greedy(const double *q, int64_t n_actions, double epsilon, double u) {
    if (u < epsilon) return pick(u / epsilon, n_actions);
    double best = q[0];
    int64_t arg = 0, ties = 1;
    int nan = best != best;
    for (int64_t a = 1; a < n_actions; a++) {
        const int more = q[a] > best;
        ties = more ? 1 : ties + (q[a] == best);
        arg = more ? a : arg;
        best = more ? q[a] : best;
        nan |= q[a] != q[a];
    }
    if (nan) return pick(u, n_actions);
    if (ties == 1) return arg;
    int64_t one = pick((u - epsilon) / (1.0 - epsilon), ties);
    for (;; arg++)
        if (q[arg] == best && one-- == 0) return arg;
}

/* ---- mountain car, and tiles of two dimensions ---- */

typedef struct {
    int64_t n_state, n_actions, reset_uniforms, step_uniforms;
    const void *self;
    void (*reset)(const void *self, double *state, const double *u);
    void (*step)(const void *self, double *state, int64_t action, const double *u, double *out);
} environment;

static void car_reset(const void *self, double *state, const double *u) {
    (void)self;
    state[0] = -0.6 + (-0.4 - -0.6) * u[0];
    state[1] = 0.0;
}

static void car_step(const void *self, double *state, int64_t action, const double *u, double *out) {
    (void)self;
    (void)u;
    double position = state[0], velocity = state[1];
    velocity += (double)(action - 1) * 0.001 + cos(3.0 * position) * -0.0025;
    velocity = velocity < -0.07 ? -0.07 : velocity > 0.07 ? 0.07 : velocity;
    position += velocity;
    position = position < -1.2 ? -1.2 : position > 0.6 ? 0.6 : position;
    if (position == -1.2 && velocity < 0.0) velocity = 0.0;
    state[0] = position;
    state[1] = velocity;
    out[0] = -1.0;
    out[1] = position >= 0.5 && velocity >= 0.0 ? 0.0 : 1.0;
}

/* low, span, scale, cells, stride, wraps, and displacements, of each dimension. */
enum { LOW, SPAN, SCALE, CELLS_THERE, STRIDE, WRAPS, DISPLACED, TABLE = DISPLACED + TILINGS };

typedef struct {
    int64_t dims, tilings, memory;
    const double *table;
} coder;

INLINE int wraps(const coder *tiles) {
    int found = 0;
    for (int64_t i = 0; i < tiles->dims; i++)
        found |= tiles->table[i * (DISPLACED + tiles->tilings) + WRAPS] != 0.0;
    return found;
}

/* Whether it is a coder of the kind that is here. */
CLONES_32 APART int encode(const coder *tiles, const double *restrict state, int32_t *restrict idx) {
    if (tiles->memory || tiles->tilings != TILINGS || wraps(tiles)) return 0;
    const int32_t grid = (int32_t)(tiles->table[CELLS_THERE] * tiles->table[STRIDE]);
    int32_t sum[TILINGS];
    for (int32_t j = 0; j < TILINGS; j++) sum[j] = j * grid;
    for (int64_t i = 0; i < tiles->dims; i++) {
        const double *restrict row = tiles->table + TABLE * i;
        double r = state[i] - row[LOW];
        if (row[WRAPS] != 0.0) return 0;
        r = r > 0.0 ? r : 0.0;
        r = r < row[SPAN] ? r : row[SPAN];
        r *= row[SCALE];
        for (int j = 0; j < TILINGS; j++) sum[j] += (int32_t)row[STRIDE] * (int32_t)(r + row[DISPLACED + j]);
    }
    for (int j = 0; j < TILINGS; j++) idx[j] = sum[j];
    return 1;
}

/* ---- the loop ---- */

int64_t bench_agent_size(void) { return (int64_t)sizeof(trace); }

/* Memory holds the numbers that were a simulation's and a trace's: no constants to the loop. */
typedef struct {
    environment *env;
    coder tiles;
    double alpha, gamma, lambda, epsilon, state[2], u[2], q[4], total;
    double (*next_double)(void *);
    void *random;
    int64_t policy, max_length, length, running, action;
    int32_t idx[2 * TILINGS];
} simulation;

static void draw(simulation *s, int64_t count) {
    for (int64_t i = 0; i < count; i++) s->u[i] = s->next_double(s->random);
}

static int state_ok(const simulation *s) {
    for (int64_t i = 0; i < s->env->n_state; i++)
        if (!isfinite(s->state[i])) return 0;
    return 1;
}

INLINE int64_t choose(simulation *s, const hot *h, const int32_t *x) {
    read_values(h, x, s->q);
    const double u = s->next_double(s->random);
    return s->policy ? pick(u, s->env->n_actions) : greedy(s->q, s->env->n_actions, s->epsilon, u);
}

CLONES_32 APART int64_t loop(simulation *s, trace *t, int64_t steps, double *restrict returns,
                             int64_t *restrict lengths) {
    const environment *env = s->env;
    hot h = load(t);
    double decay = t->decay, v_old = t->v_old;
    const int32_t *x = s->idx;
    int64_t ended = 0, column = s->action;
    for (int64_t done = 0; done < steps; done++) {
        if (!s->running) {
            close_epoch(t, 0.0, h.drive);
            h = load(t);
            decay = 0.0;
            v_old = (double)NAN;
            draw(s, env->reset_uniforms);
            env->reset(env->self, s->state, s->u);
            if (!state_ok(s) || !encode(&s->tiles, s->state, s->idx)) return -1;
            x = s->idx;
            column = choose(s, &h, x);
            s->running = 1;
            s->length = 0;
            s->total = 0.0;
        }
        double out[2];
        draw(s, env->step_uniforms);
        env->step(env->self, s->state, column, s->u, out);
        const int over = out[1] == 0.0;
        int32_t *x_next = s->idx + (x == s->idx ? TILINGS : 0);
        if (!isfinite(out[0]) || !(out[1] >= 0.0 && out[1] <= 1.0) || (!over && !state_ok(s))) return -1;
        if (!over && !encode(&s->tiles, s->state, x_next)) return -1;
        const int64_t next = over ? column : choose(s, &h, x_next);
        const double v_next = over ? 0.0 : s->q[next], gamma_next = s->gamma * out[1];
        decay_by(t, &h, decay);
        const pair sums = read(&h, x, column);
        const double v = sums[0] + sums[1] * h.drive;
        if (decay == 0.0 || v_old != v_old) v_old = v;
        const double delta = out[0] + (gamma_next == 0.0 ? 0.0 : gamma_next * v_next) - v;
        const double c = s->alpha * (1.0 - sums[1] * h.scale);
        write(&h, x, column, c, -s->alpha * (v - v_old), 1.0 / h.scale);
        h.drive += (delta + (v - v_old)) * h.scale;
        v_old = v_next;
        decay = gamma_next * s->lambda;
        s->length++;
        s->total += out[0];
        if (over || s->length == s->max_length) {
            returns[ended] = s->total;
            lengths[ended++] = s->length;
            s->running = 0;
        }
        x = x_next;
        column = next;
    }
    t->scale = h.scale;
    t->drive = h.drive;
    return ended;
}

/* memory   of bench_agent_size() bytes, zeros, aligned to 64
 * table    of the coder, (2, 14)
 * returns, lengths  of the episodes that end; how many is returned, -1 where something is not as expected */
int64_t bench_agent_0_1(int64_t steps, double alpha, double gamma, double lambda, double epsilon, void *memory,
                        const double *table, void *next_double, void *random, double *returns,
                        int64_t *lengths) {
    static environment car = {2, ACTIONS, 1, 0, NULL, car_reset, car_step};
    static environment *volatile given = &car; /* nobody may know what stands there */
    trace *t = (trace *)memory;
    simulation s = {given, {2, TILINGS, 0, table}, alpha, gamma, lambda, epsilon, {0.0}, {0.0}, {0.0}, 0.0,
                    (double (*)(void *))(uintptr_t)next_double, random, 0, 0, 0, 0, 0, {0}};
    t->n = N;
    t->ring_size = RING;
    t->alive_max = ALIVE_MAX;
    t->epoch = t->oldest = 1;
    t->ring[3] = t->scale = 1.0;
    t->v_old = (double)NAN;
    return loop(&s, t, steps, returns, lengths);
}

/* w (648, 4) as it is now. */
void bench_agent_weights(void *memory, double *w) {
    const hot h = load((trace *)memory);
    for (int64_t i = 0; i < N; i++) {
        const double *row = h.rows + 8 * i, by = moved(&h, i);
        for (int a = 0; a < 4; a++) w[4 * i + a] = row[a] + row[4 + a] * by;
    }
}

#else

int64_t bench_agent_size(void) { return 0; } /* there is none: it has vectors of GNU C */

int64_t bench_agent_0_1(int64_t steps, double alpha, double gamma, double lambda, double epsilon, void *memory,
                        const double *table, void *next_double, void *random, double *returns,
                        int64_t *lengths) {
    (void)steps, (void)alpha, (void)gamma, (void)lambda, (void)epsilon, (void)memory, (void)table;
    (void)next_double, (void)random, (void)returns, (void)lengths;
    return -1;
}

void bench_agent_weights(void *memory, double *w) { (void)memory, (void)w; }

#endif
