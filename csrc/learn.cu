/* A population on a GPU that learns from streams: the loop of linear.c, a thread an agent.
 *
 * FT_KIND and FT_WIDTH are the trace's; FT_TASK is one of linear.c's.  Streams have been checked. */
#define FT_API static /* what is not called need not be compiled */
#include "trace.c"
#include "linear.c"

enum { FT_AGENTS = 64 }; /* threads of a block */

/* traces, rows, ring, epochs  of all agents, that of one after the other's; but for the traces' pointers
 * streams (count), deltas (count, room) */
typedef struct {
    int64_t count, room, rows_size, ring_size, epochs_size;
    ft_trace *traces;
    ft_real *rows;
    double *ring;
    int32_t *epochs;
    const ft_stream *streams;
    double *deltas;
} ft_problem;

extern "C" __global__ void __launch_bounds__(FT_AGENTS) learn(const ft_problem p) {
    const int64_t i = (int64_t)blockIdx.x * FT_AGENTS + threadIdx.x;
    if (i >= p.count || p.streams[i].steps == 0) return;
    ft_trace t = p.traces[i]; /* memory of the thread's own: neighbours have theirs side by side */
    const ft_stream s = p.streams[i];
    double *const deltas = p.deltas + i * p.room;
    t.rows = (double *)(void *)(p.rows + i * p.rows_size);
    t.ring = p.ring + i * p.ring_size;
    t.epochs = p.epochs + i * p.epochs_size;
    if (s.shared && FT_WIDTH == 1 && FT_TASK != FT_ACTIONS && t.cap != t.cap)
        ft_run_dense(&t, &s, FT_KIND, deltas);
    else
        ft_run_at(&t, &s, deltas, FT_KIND, 0, FT_TASK, FT_WIDTH, 0, FT_EITHER, 1);
    p.traces[i] = t;
}
