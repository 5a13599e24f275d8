/* Networks: passes, the trace of a Jacobian, learning from streams, remedies for stale traces; both types. */
#include "fuzz.h"

#define REAL float
#define LARGEST_REAL 3e38
#define NAME(name) name##_f32
#include "neural_one.h"
#undef REAL
#undef LARGEST_REAL
#undef NAME
#define REAL double
#define LARGEST_REAL 1.7976931348623157e308
#define NAME(name) name##_f64
#include "neural_one.h"

static void prepares(void) {
    const int64_t n = 1 + below(9), normalise = below(2), scale = below(2);
    double *kept = ROOM(double, ft_network_kept(n));
    watch(kept, ft_network_kept(n) / 2, sizeof *kept);
    const int held = hold();
    while (more()) {
        const int64_t T = below(6);
        double (*const of)(void) = below(8) == 0 ? any : small;
        const double *states = doubles((T + 1) * n, of), *rewards = doubles(T, of), *gammas = doubles(T, unit);
        remember();
        const int64_t done = ft_network_prepare(kept, n, T, T && below(4) == 0, normalise, scale, states, rewards,
                                                gammas, ROOM(double, (T + 1) * n), ROOM(double, T));
        MUST(done >= -1 && done <= T);
        if (done == -1) unchanged();
        release(held);
    }
}

static void drive(void) {
    static void (*const drivers[])(void) = {networks_f32, networks_f64, passes_f32, passes_f64,
                                            remedies_f32, remedies_f64, prepares};
    drivers[below(7)]();
}
