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

static void drive(void) {
    static void (*const drivers[])(void) = {networks_f32, networks_f64, passes_f32, passes_f64, remedies_f32, remedies_f64};
    drivers[below(6)]();
}
