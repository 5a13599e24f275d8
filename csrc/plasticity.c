/* Plastic networks, forward and backward: plasticity.h, compiled for float and for double.
 *
 * Forward leaves the activations, h and M.  The way back takes Hebb and E from replays: first through the
 * whole sequence, keeping a checkpoint every `spacing` steps, then from each checkpoint, keeping all steps
 * to the next.  Inverting the moves instead would not do: what was clipped is lost, and E grows by
 * (1 - eta)^-T. */
#include "tanh.h"
#include "trace.h"


#define FT_LAYER FT_PLASTIC_LAYER
#define FT_LSTM FT_PLASTIC_LSTM

#define REAL float
#define INTEGER int32_t
#define LARGEST INT32_MAX
#if FT_VECTORS
#define LANES 8
#else
#define LANES 1
#endif
#define NAME(x) x##_f32
#include "plasticity.h"
#undef REAL
#undef INTEGER
#undef LARGEST
#undef LANES
#undef NAME

#define REAL double
#define INTEGER int64_t
#define LARGEST INT64_MAX
#if FT_VECTORS
#define LANES 4
#else
#define LANES 1
#endif
#define NAME(x) x##_f64
#include "plasticity.h"
