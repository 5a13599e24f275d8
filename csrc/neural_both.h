/* FT_KERNELS, a header of loops over networks, compiled for float and for double. */
#include "trace.h"
#include <float.h>
#include <string.h>

#define REAL float
#define INTEGER int32_t
#define LARGEST INT32_MAX
#define ENDLESS 0x7f800000
#define NAME(x) x##_f32
#ifndef FT_BOTH_ROWS
#include "neural_rows.h"
#endif
#include FT_KERNELS
#undef REAL
#undef INTEGER
#undef LARGEST
#undef ENDLESS
#undef NAME

#define REAL double
#define INTEGER int64_t
#define LARGEST INT64_MAX
#define ENDLESS 0x7ff0000000000000
#define NAME(x) x##_f64
#ifndef FT_BOTH_ROWS
#include "neural_rows.h"
#endif
#include FT_KERNELS
#undef REAL
#undef INTEGER
#undef LARGEST
#undef ENDLESS
#undef NAME

#define FT_BOTH_ROWS /* are there already, where several such files are one */
