/* The loops at one level, for float and for double. */
#include "returns_vector.h"

#define FT_REAL float
#define FT_T(name) FT_JOINED(name, _f32)
#define FT_TL(name) FT_L(FT_T(name))
#include "returns_loops.h"
#undef FT_REAL
#undef FT_T

#define FT_REAL double
#define FT_T(name) FT_JOINED(name, _f64)
#include "returns_loops.h"
#undef FT_REAL
#undef FT_T
#undef FT_TL
#undef FT_V
#undef FT_M
#undef FT_WIDTH
#undef FT_BLOCK
#undef FT_SHIFTED
