/* A horde on a GPU: the loops of horde_loops.h, eight threads a chunk, one for each prediction of it.
 *
 * What the eight share is read alone, but for the epochs of rows, which all of them write alike, and the counters,
 * of which each has a copy.  FT_KIND is enum ft_horde_kind. */
#define FT_API static /* what is not called need not be compiled */
#define FT_LANES 8
#define FT_LANE (threadIdx.x & 7u)
#define FT_GROUP (0xFFu << (threadIdx.x & 24u)) /* of a warp, the eight */
#define FT_MEET() __syncwarp(FT_GROUP)
#define FT_ANY_LANE(which) __any_sync(FT_GROUP, which)
#define FT_L(name) static name##_there
#include "horde_loops.h"

enum { FT_THREADS = 32 }; /* of a block: they wait for memory, on as many processors as there are */

typedef struct {
    ft_horde horde;
    ft_horde_stream stream;
} ft_problem;

/* The chunk of this thread; -1 where there is none. */
FT_INLINE int64_t ft_own_chunk(const ft_problem *p) {
    const int64_t q = ((int64_t)blockIdx.x * FT_THREADS + threadIdx.x) / FT_LANES;
    return q < p->horde.chunks ? q : -1;
}

FT_INLINE ft_horde ft_of_this_kind(const ft_problem *p) {
    ft_horde h = p->horde;
    h.kind = FT_KIND;
    return h;
}

/* Counters of a thread's own, and back. */
FT_INLINE ft_chunk ft_chunk_with(const ft_horde *h, int64_t q, int64_t *counters) {
    ft_chunk c = ft_chunk_of(h, q);
    for (int i = 0; i < FT_HORDE_COUNTERS; i++) counters[i] = c.counters[i];
    c.counters = counters;
    FT_MEET();
    return c;
}

FT_INLINE void ft_counters_back(const ft_horde *h, int64_t q, const int64_t *counters) {
    FT_MEET();
    if (FT_LANE == 0)
        for (int i = 0; i < FT_HORDE_COUNTERS; i++) h->counters[FT_HORDE_COUNTERS * q + i] = counters[i];
}

extern "C" __global__ void __launch_bounds__(FT_THREADS) run(const ft_problem p) {
    const int64_t q = ft_own_chunk(&p);
    if (q < 0) return;
    const ft_horde h = ft_of_this_kind(&p);
    int64_t counters[FT_HORDE_COUNTERS];
    ft_chunk_run(&h, &p.stream, ft_chunk_with(&h, q, counters), q, FT_KIND == FT_HORDE_GTD);
    ft_counters_back(&h, q, counters);
}

/* Rows of the stream side by side: blockIdx.y. */
extern "C" __global__ void __launch_bounds__(FT_THREADS) values(const ft_problem p) {
    const int64_t q = ft_own_chunk(&p);
    if (q < 0) return;
    const ft_horde h = ft_of_this_kind(&p);
    const ft_chunk c = ft_chunk_of(&h, q);
    for (int64_t t = blockIdx.y; t < p.stream.steps; t += gridDim.y) ft_chunk_value(&h, &p.stream, &c, q, t);
}

extern "C" __global__ void __launch_bounds__(FT_THREADS) reset(const ft_problem p) {
    const int64_t q = ft_own_chunk(&p);
    if (q < 0) return;
    const ft_horde h = ft_of_this_kind(&p);
    int64_t counters[FT_HORDE_COUNTERS];
    ft_chunk c = ft_chunk_with(&h, q, counters);
    ft_chunk_reset(&h, &c);
    ft_counters_back(&h, q, counters);
}
