/* Plastic networks forward and backward, whole and in parts, and one Hebbian trace; both types. */
#include "fuzz.h"

#define REAL float
#define LARGEST_REAL 3e38
#define NAME(name) name##_f32
#include "plasticity_one.h"
#undef REAL
#undef LARGEST_REAL
#undef NAME
#define REAL double
#define LARGEST_REAL 1.7976931348623157e308
#define NAME(name) name##_f64
#include "plasticity_one.h"

static void drive(void) {
    static void (*const drivers[])(void) = {network_f32, network_f64, one_trace_f32, one_trace_f64};
    while (more()) drivers[below(4)]();
}
