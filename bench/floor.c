/* What the kernels are measured against: TD(0) without a trace or a check, a call that does nothing, and mountain
 * car with Sarsa(0), environment and tiles written into the loop. */
#include <math.h>
#include <stdint.h>

#ifdef __GNUC__
#define PREFETCH(p) __builtin_prefetch(p)
#else
#define PREFETCH(p) ((void)(p))
#endif

/* Two gathers and a scatter a step; `ahead` steps before, if not 0, weights are asked for.
 * idx (T + 1, k); deltas (T) are written. */
static inline void td0(int64_t T, int64_t k, const int32_t *restrict idx, const double *restrict rewards,
                       double gamma, double alpha, double *restrict w, double *restrict deltas, int64_t ahead) {
    for (int64_t t = 0; t < T; t++) {
        const int32_t *x = idx + t * k, *x_next = x + k;
        double v = 0.0, v_next = 0.0;
        if (ahead && t + 1 + ahead <= T)
            for (int64_t j = 0; j < k; j++) PREFETCH(w + x_next[ahead * k + j]);
        for (int64_t j = 0; j < k; j++) v += w[x[j]];
        for (int64_t j = 0; j < k; j++) v_next += w[x_next[j]];
        const double delta = rewards[t] + gamma * v_next - v;
        deltas[t] = delta;
        const double a = alpha * delta;
        for (int64_t j = 0; j < k; j++) w[x[j]] += a;
    }
}

void bench_td0(int64_t T, int64_t k, const int32_t *idx, const double *rewards, double gamma, double alpha,
               double *w, double *deltas) {
    td0(T, k, idx, rewards, gamma, alpha, w, deltas, 0);
}

void bench_td0_ahead(int64_t T, int64_t k, const int32_t *idx, const double *rewards, double gamma,
                     double alpha, double *w, double *deltas) {
    td0(T, k, idx, rewards, gamma, alpha, w, deltas, 6);
}

void bench_empty(void) {}

enum { TILINGS = 8, CELLS = 9, COLUMNS = 4 };

static inline void tiles(double position, double velocity, int32_t *restrict idx) {
    double x = position - -1.2, y = velocity - -0.07;
    x = x > 0.0 ? x : 0.0;
    y = y > 0.0 ? y : 0.0;
    const double column = x * (8 / (0.6 - -1.2)), row = y * (8 / (0.07 - -0.07));
    for (int j = 0; j < TILINGS; j++)
        idx[j] = CELLS * CELLS * j + CELLS * (int32_t)(column + j / 8.0) + (int32_t)(row + 3 * j % 8 / 8.0);
}

static inline void values(const double *restrict w, const int32_t *restrict idx, double *restrict q) {
    double sum[COLUMNS] = {0.0};
    for (int j = 0; j < TILINGS; j++)
        for (int a = 0; a < COLUMNS; a++) sum[a] += w[COLUMNS * idx[j] + a];
    for (int a = 0; a < COLUMNS; a++) q[a] = sum[a];
}

static inline int best_of(const double *q) {
    const int a = q[1] > q[0];
    return q[2] > (a ? q[1] : q[0]) ? 2 : a;
}

/* Greedy, the first of those that tie; a start in the middle of the valley; gamma 1.
 * w (8 * 81, 4), the last column unused.  lengths of the episodes that end; returns how many. */
int64_t bench_car(int64_t steps, double alpha, double *restrict w, int64_t *restrict lengths) {
    int32_t idx[2][TILINGS];
    double position = -0.5, velocity = 0.0, q[COLUMNS], q_next[COLUMNS];
    int64_t episodes = 0, length = 0;
    int now = 0;
    tiles(position, velocity, idx[now]);
    values(w, idx[now], q);
    int action = best_of(q);
    for (int64_t t = 0; t < steps; t++) {
        const int32_t *x = idx[now], *x_next = idx[!now];
        velocity += (action - 1) * 0.001 + cos(3.0 * position) * -0.0025;
        velocity = velocity < -0.07 ? -0.07 : velocity > 0.07 ? 0.07 : velocity;
        position += velocity;
        position = position < -1.2 ? -1.2 : position > 0.6 ? 0.6 : position;
        if (position == -1.2 && velocity < 0.0) velocity = 0.0;
        const int over = position >= 0.5 && velocity >= 0.0;
        tiles(position, velocity, idx[!now]);
        values(w, x, q);
        values(w, x_next, q_next);
        const int next = best_of(q_next);
        const double change = alpha * (-1.0 + (over ? 0.0 : q_next[next]) - q[action]);
        for (int j = 0; j < TILINGS; j++) w[COLUMNS * x[j] + action] += change;
        action = next;
        now = !now;
        length++;
        if (over) {
            lengths[episodes++] = length;
            length = 0;
            position = -0.5;
            velocity = 0.0;
            tiles(position, velocity, idx[now]);
            values(w, idx[now], q);
            action = best_of(q);
        }
    }
    return episodes;
}
