/* Environment, tile coder and agent in one loop: one and many, with environments that misbehave. */
#include "fuzz.h"

/* An environment of the caller's own: what it says comes from the fuzzer's bytes. */
static void wild_reset(const void *self, double *state, const double *u) {
    const int64_t n = *(const int64_t *)self;
    for (int64_t i = 0; i < n; i++) state[i] = number(small);
    (void)u;
}
static void wild_step(const void *self, double *state, int64_t action, const double *u, double *out) {
    wild_reset(self, state, u);
    out[0] = number(small);
    out[1] = below(16) == 0 ? any() : below(8) == 0 ? 0.0 : 1.0;
    (void)action;
}
static void walk_reset(const void *self, double *state, const double *u) {
    state[0] = (double)below(8);
    (void)self, (void)u;
}
static void walk_step(const void *self, double *state, int64_t action, const double *u, double *out) {
    state[0] = below(32) == 0 ? any() : (double)below(8);
    out[0] = number(small);
    out[1] = below(8) == 0 ? 0.0 : 1.0;
    (void)self, (void)u, (void)action;
}
static double drawn(void *random) {
    (void)random;
    return uniform();
}

static ft_trace *trace_of(int64_t n, int64_t columns, int single) {
    ft_trace *t = ROOM(ft_trace, 1);
    double *ring = ROOM(double, 2 * ft_trace_ring_size(n));
    int32_t *epochs = ROOM(int32_t, n);
    const int64_t words = 2 * ft_trace_width(columns) * n;
    if (single) ft_trace_init_single(t, n, columns, ROOM(float, words), ring, epochs);
    else ft_trace_init(t, n, columns, ROOM(double, words), ring, epochs);
    return t;
}

enum { MOST = 5 };

static void drive(void) {
    const int64_t length = 1 + below(8), dims = 1 + below(3), count = below(MOST + 1);
    const int which = (int)below(10), usual = below(2) == 0, single = below(4) == 0;
    ft_env env;
    if (which == 0) ft_random_walk(&env, &length);
    if (which == 1) ft_boyan_chain(&env);
    if (which == 2) ft_baird(&env);
    if (which == 3) ft_collision(&env);
    if (which == 4) ft_mountain_car(&env);
    if (which == 5) ft_cart_pole(&env);
    if (which == 6) ft_acrobot(&env);
    if (which == 7) ft_puddle_world(&env);
    if (which == 8) env = (ft_env){dims, below(6), below(3), below(3), &dims, wild_reset, wild_step};
    if (which == 9) env = (ft_env){1, below(6), 0, 1, NULL, walk_reset, walk_step};
    const int64_t tilings = usual ? 8 : 1 + below(9);
    ft_tiles *tiles = NULL;
    double low[8], high[8];
    int64_t cells[8];
    uint8_t wraps[8];
    int64_t n = which == 1 ? 13 : which == 2 ? 7 : which == 9 ? 4 : 8;
    if (which == 0) n = length;
    if (which > 3 && which < 9) {
        for (int i = 0; i < 8; i++) {
            low[i] = -2.0;
            high[i] = below(8) == 0 ? number(small) : 2.0;
            cells[i] = 1 + below(3);
            wraps[i] = !usual && below(4) == 0;
        }
        tiles = ROOM(ft_tiles, 1);
        if (ft_tiles_init(tiles, env.n_state, tilings, low, high, cells, wraps, usual || below(2) ? 0 : 1 + below(99),
                          ROOM(double, ft_tiles_table_size(env.n_state, tilings))) != FT_OK ||
            tiles->n_features > 20000)
            return;
        n = tiles->n_features;
    }
    const int64_t columns = env.n_actions ? env.n_actions : 1, u = env.reset_uniforms > env.step_uniforms
                                                                        ? env.reset_uniforms : env.step_uniforms;
    const int32_t kind = kind_of(FT_EMPHATIC_BETA + 1);
    ft_simulation *each[MOST];
    for (int64_t i = 0; i < count; i++) {
        ft_simulation *s = each[i] = ROOM(ft_simulation, 1);
        s->env = &env;
        s->tiles = tiles;
        s->trace = trace_of(n, columns, single);
        if (below(8) == 0) s->trace->cap = 1.0;
        s->kind = below(64) == 0 ? kind_of(FT_EMPHATIC_BETA + 1) : kind;
        s->target = env.n_actions ? below(FT_Q_SIGMA + 1) : FT_TAKEN;
        s->policy = below(2);
        s->max_length = below(2) ? 0 : 1 + below(20);
        s->alpha = step_size();
        s->gamma = number(unit);
        s->lambda_ = number(unit);
        s->parameter = s->policy == FT_SOFTMAX ? number(ratio) : unit();
        s->sigma = unit();
        s->options.c_bar = s->options.rho_bar = number(ratio);
        s->options.psi = s->options.beta = number(unit);
        if (below(2)) {
            s->next_double = drawn;
        } else {
            s->random = ROOM(ft_philox, 1);
            ft_philox_init((ft_philox *)s->random, byte(), byte());
        }
        s->state = ROOM(double, env.n_state);
        s->u = ROOM(double, u);
        s->q = ROOM(double, s->trace->width);
        s->idx = ROOM(int32_t, tiles ? 2 * tilings : 2);
    }
    const int held = hold();
    for (int op = 0; more() && op < 20; op++) {
        const int64_t most = below(60);
        if (below(3) && count) {
            const int64_t steps = below(60), episodes = below(9), least = steps < episodes ? steps : episodes;
            const int64_t at = below(count);
            const int32_t status = ft_simulate(each[at], steps, episodes, ROOM(double, least), ROOM(int64_t, least));
            MUST(status == FT_OK || status == FT_EVALUE || status == FT_EINDEX);
            MUST(each[at]->steps <= steps && each[at]->episodes <= least);
        } else {
            int64_t steps[MOST], episodes[MOST];
            int32_t status[MOST];
            for (int64_t i = 0; i < count; i++) {
                steps[i] = below(60);
                episodes[i] = below(most + 1);
            }
            ft_simulate_many(each, count, steps, episodes, most, ROOM(double, count * most),
                             ROOM(int64_t, count * most), status);
        }
        if (below(8) == 0) {
            ft_philox counted;
            ft_philox_init(&counted, byte(), byte());
            counted.used = below(9);
            const double drew = ft_philox_double(&counted);
            MUST(drew >= 0.0 && drew < 1.0);
        }
        if (below(4) == 0) {
            const int64_t actions = 1 + below(6);
            const double *q = doubles(actions, any);
            const int64_t greedy = ft_epsilon_greedy(q, actions, unit(), uniform());
            const int64_t soft = ft_softmax(q, actions, any(), uniform());
            MUST(greedy >= 0 && greedy < actions && soft >= 0 && soft < actions);
        }
        release(held);
    }
}
