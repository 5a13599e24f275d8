/* The built-in environments: C twins of fasttrace/envs. */
#include "fasttrace.h"
#include <math.h>

static void ft_random_walk_reset(const void *self, double *state, const double *u) {
    (void)u;
    state[0] = (double)(*(const int64_t *)self / 2);
}

static void ft_random_walk_step(const void *self, double *state, int64_t action, const double *u,
                                double *out) {
    const double n = (double)*(const int64_t *)self;
    (void)action;
    state[0] += u[0] < 0.5 ? -1.0 : 1.0;
    const int left = state[0] < 0.0, right = state[0] >= n;
    out[0] = left ? -1.0 : right ? 1.0 : 0.0;
    out[1] = left || right ? 0.0 : 1.0;
}

void ft_random_walk(ft_env *env, const int64_t *n) {
    env->n_state = 1;
    env->n_actions = 0;
    env->reset_uniforms = 0;
    env->step_uniforms = 1;
    env->self = n;
    env->reset = ft_random_walk_reset;
    env->step = ft_random_walk_step;
}

static void ft_boyan_chain_reset(const void *self, double *state, const double *u) {
    (void)self;
    (void)u;
    state[0] = 12.0;
}

static void ft_boyan_chain_step(const void *self, double *state, int64_t action, const double *u,
                                double *out) {
    const int last = state[0] == 1.0;
    (void)self;
    (void)action;
    state[0] -= last || u[0] < 0.5 ? 1.0 : 2.0;
    out[0] = last ? -2.0 : -3.0;
    out[1] = state[0] == 0.0 ? 0.0 : 1.0;
}

void ft_boyan_chain(ft_env *env) {
    env->n_state = 1;
    env->n_actions = 0;
    env->reset_uniforms = 0;
    env->step_uniforms = 1;
    env->self = 0;
    env->reset = ft_boyan_chain_reset;
    env->step = ft_boyan_chain_step;
}

static void ft_baird_reset(const void *self, double *state, const double *u) {
    const double s = (double)(int64_t)(7.0 * u[0]);
    (void)self;
    state[0] = s < 6.0 ? s : 6.0;
}

static void ft_baird_step(const void *self, double *state, int64_t action, const double *u,
                          double *out) {
    (void)action;
    ft_baird_reset(self, state, u);
    out[0] = 0.0;
    out[1] = 1.0;
}

void ft_baird(ft_env *env) {
    env->n_state = 1;
    env->n_actions = 0;
    env->reset_uniforms = 1;
    env->step_uniforms = 1;
    env->self = 0;
    env->reset = ft_baird_reset;
    env->step = ft_baird_step;
}

static void ft_collision_reset(const void *self, double *state, const double *u) {
    const double s = (double)(int64_t)(4.0 * u[0]);
    (void)self;
    state[0] = s < 3.0 ? s : 3.0;
}

static void ft_collision_step(const void *self, double *state, int64_t action, const double *u,
                              double *out) {
    const int turns = state[0] >= 4.0 && u[0] >= 0.5, crashes = !turns && state[0] == 7.0;
    (void)self;
    (void)action;
    state[0] += turns ? 0.0 : 1.0;
    out[0] = crashes ? 1.0 : 0.0;
    out[1] = turns || crashes ? 0.0 : 1.0;
}

void ft_collision(ft_env *env) {
    env->n_state = 1;
    env->n_actions = 0;
    env->reset_uniforms = 1;
    env->step_uniforms = 1;
    env->self = 0;
    env->reset = ft_collision_reset;
    env->step = ft_collision_step;
}

/* Gymnasium draws uniform(-0.6, -0.4): low + (high - low) u. */
static void ft_mountain_car_reset(const void *self, double *state, const double *u) {
    (void)self;
    state[0] = -0.6 + (-0.4 - -0.6) * u[0];
    state[1] = 0.0;
}

static void ft_mountain_car_step(const void *self, double *state, int64_t action, const double *u,
                                 double *out) {
    double position = state[0], velocity = state[1];
    (void)self;
    (void)u;
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

void ft_mountain_car(ft_env *env) {
    env->n_state = 2;
    env->n_actions = 3;
    env->reset_uniforms = 1;
    env->step_uniforms = 0;
    env->self = 0;
    env->reset = ft_mountain_car_reset;
    env->step = ft_mountain_car_step;
}
