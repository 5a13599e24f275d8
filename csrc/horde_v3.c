/* The loops of a horde for CPUs that have AVX2. */
#include "fasttrace.h" /* no file is empty */
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(FT_NO_CLONES) && !defined(__cplusplus)
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define FT_L(name) name##_v3
#include "horde_loops.h"
#pragma GCC pop_options
#endif
