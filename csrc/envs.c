/* The built-in environments: C twins of fasttrace/envs.  Their fields are filled in by order.
 * simulate.cu has all this as C++, which knows no (ft_env){...}. */
#include "fasttrace.h"
#include <math.h>
#include <stddef.h>

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
    const ft_env filled = {1, 0, 0, 1, n, ft_random_walk_reset, ft_random_walk_step};
    *env = filled;
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
    const ft_env filled = {1, 0, 0, 1, NULL, ft_boyan_chain_reset, ft_boyan_chain_step};
    *env = filled;
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
    const ft_env filled = {1, 0, 1, 1, NULL, ft_baird_reset, ft_baird_step};
    *env = filled;
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
    const ft_env filled = {1, 0, 1, 1, NULL, ft_collision_reset, ft_collision_step};
    *env = filled;
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
    const ft_env filled = {2, 3, 1, 0, NULL, ft_mountain_car_reset, ft_mountain_car_step};
    *env = filled;
}

#define FT_PI 3.14159265358979323846 /* C99 has no M_PI */

static double ft_within(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

static void ft_cart_pole_reset(const void *self, double *state, const double *u) {
    (void)self;
    for (int i = 0; i < 4; i++) state[i] = -0.05 + (0.05 - -0.05) * u[i];
}

static void ft_cart_pole_step(const void *self, double *state, int64_t action, const double *u,
                              double *out) {
    const double x_limit = 2.4, theta_limit = 12 * 2 * FT_PI / 360;
    const double theta_dot = state[3], force = action == 1 ? 10.0 : -10.0;
    const double cosine = cos(state[2]), sine = sin(state[2]);
    (void)self;
    (void)u;
    const double push = (force + 0.05 * (theta_dot * theta_dot) * sine) / 1.1;
    const double theta_acc =
        (9.8 * sine - cosine * push) / (0.5 * (4.0 / 3.0 - 0.1 * (cosine * cosine) / 1.1));
    const double x_acc = push - 0.05 * theta_acc * cosine / 1.1;
    state[0] += 0.02 * state[1];
    state[1] += 0.02 * x_acc;
    state[2] += 0.02 * theta_dot;
    state[3] += 0.02 * theta_acc;
    out[0] = 1.0;
    out[1] = fabs(state[0]) <= x_limit && fabs(state[2]) <= theta_limit ? 1.0 : 0.0;
}

void ft_cart_pole(ft_env *env) {
    const ft_env filled = {4, 2, 4, 0, NULL, ft_cart_pole_reset, ft_cart_pole_step};
    *env = filled;
}

/* Gymnasium's start is of float32. */
static void ft_acrobot_reset(const void *self, double *state, const double *u) {
    (void)self;
    for (int i = 0; i < 4; i++) state[i] = (double)(float)(-0.1 + (0.1 - -0.1) * u[i]);
}

/* slope <- d state / d t, the equations of Sutton & Barto 1998, section 11.3. */
static void ft_acrobot_slope(const double *state, double torque, double *slope) {
    const double speed1 = state[2], speed2 = state[3];
    const double cos2 = cos(state[1]), sin2 = sin(state[1]);
    const double d1 = 0.25 + (1.25 + cos2) + 1.0 + 1.0;
    const double d2 = 0.25 + 0.5 * cos2 + 1.0;
    const double phi2 = 4.9 * cos(state[0] + state[1] - FT_PI / 2);
    const double phi1 = -0.5 * (speed2 * speed2) * sin2 - speed2 * speed1 * sin2 +
                        1.5 * 9.8 * cos(state[0] - FT_PI / 2) + phi2;
    slope[0] = speed1;
    slope[1] = speed2;
    slope[3] = (torque + d2 / d1 * phi1 - 0.5 * (speed1 * speed1) * sin2 - phi2) / (1.25 - d2 * d2 / d1);
    slope[2] = -(d2 * slope[3] + phi1) / d1;
}

static double ft_wrapped(double angle) {
    while (angle > FT_PI) angle -= 2 * FT_PI;
    while (angle < -FT_PI) angle += 2 * FT_PI;
    return angle;
}

static void ft_acrobot_step(const void *self, double *state, int64_t action, const double *u,
                            double *out) {
    static const double ahead[4] = {0.0, 0.1, 0.1, 0.2}, weight[4] = {1.0, 2.0, 2.0, 1.0};
    double slope[4] = {0.0}, total[4] = {0.0}, there[4];
    (void)self;
    (void)u;
    for (int stage = 0; stage < 4; stage++) {
        for (int i = 0; i < 4; i++) there[i] = state[i] + ahead[stage] * slope[i];
        ft_acrobot_slope(there, (double)action - 1.0, slope);
        for (int i = 0; i < 4; i++) total[i] += weight[stage] * slope[i];
    }
    for (int i = 0; i < 4; i++) state[i] += 0.2 / 6.0 * total[i];
    state[0] = ft_wrapped(state[0]);
    state[1] = ft_wrapped(state[1]);
    state[2] = ft_within(state[2], -4 * FT_PI, 4 * FT_PI);
    state[3] = ft_within(state[3], -9 * FT_PI, 9 * FT_PI);
    const int up = -cos(state[0]) - cos(state[1] + state[0]) > 1.0;
    out[0] = up ? 0.0 : -1.0;
    out[1] = up ? 0.0 : 1.0;
}

void ft_acrobot(ft_env *env) {
    const ft_env filled = {4, 3, 4, 0, NULL, ft_acrobot_reset, ft_acrobot_step};
    *env = filled;
}

/* Uniform where x + y < 1.9: x by the inverse of its distribution, then y up to what x allows. */
static void ft_puddle_world_reset(const void *self, double *state, const double *u) {
    const double x = 0.995 * u[0];
    (void)self;
    state[0] = x > 0.9 ? 1.9 - sqrt(1.0 - 2.0 * (x - 0.9)) : x;
    state[1] = u[1] * fmin(1.0, 1.9 - state[0]);
}

/* How far within .1 of the nearest point of a puddle's middle line. */
static double ft_depth(double beside, double above) {
    const double depth = 0.1 - sqrt(beside * beside + above * above);
    return depth > 0.0 ? depth : 0.0;
}

static void ft_puddle_world_step(const void *self, double *state, int64_t action, const double *u,
                                 double *out) {
    const double right = action == 2 ? 0.05 : action == 3 ? -0.05 : 0.0;
    const double up = action == 0 ? 0.05 : action == 1 ? -0.05 : 0.0;
    const double noise = 0.01 * sqrt(-2.0 * log(1.0 - u[0])), angle = 2.0 * FT_PI * u[1];
    const double x = ft_within(state[0] + right + noise * cos(angle), 0.0, 1.0);
    const double y = ft_within(state[1] + up + noise * sin(angle), 0.0, 1.0);
    (void)self;
    const double depth = ft_depth(x - ft_within(x, 0.1, 0.45), y - 0.75) +
                         ft_depth(x - 0.45, y - ft_within(y, 0.4, 0.8));
    state[0] = x;
    state[1] = y;
    out[0] = -1.0 - 400.0 * depth;
    out[1] = x + y >= 1.9 ? 0.0 : 1.0;
}

void ft_puddle_world(ft_env *env) {
    const ft_env filled = {2, 4, 2, 2, NULL, ft_puddle_world_reset, ft_puddle_world_step};
    *env = filled;
}
