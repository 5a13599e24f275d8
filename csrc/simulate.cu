/* A population on a GPU: the loop of simulate.c, a thread an agent.
 *
 * FT_ENV is the function of envs.c that fills in an ft_env; FT_KIND and FT_WIDTH are the trace's, FT_ACTIVE the
 * active features of a state; FT_BOUNDED is 1 where step sizes are. */
#define FT_API static /* what is not called need not be compiled */
#include "trace.c"
#include "simulate.c"
#include "envs.c"

enum { FT_AGENTS = 64, FT_NUMBERS = 4 }; /* threads of a block; of a state, or uniform ones for a step, at most */

/* An agent in its world; but for pointers, which the kernel sets. */
typedef struct {
    ft_simulation simulation;
    ft_trace trace;
    ft_philox philox;
    double state[FT_NUMBERS], u[FT_NUMBERS];
} ft_agent;

/* agents, rows, ring, epochs, idx            of all agents, that of one after the other's
 * numbers, steps, episodes, status  (count)  those that go on, and how far
 * returns, lengths  (count, room)            out
 * number                                     of a random walk's states */
typedef struct {
    int64_t count, room, rows_size, ring_size, epochs_size;
    ft_agent *agents;
    ft_real *rows;
    double *ring;
    int32_t *epochs, *idx;
    const int64_t *numbers, *steps, *episodes;
    double *returns;
    int64_t *lengths;
    int32_t *status;
    ft_tiles tiles;
    int64_t number;
} ft_problem;

extern "C" __global__ void __launch_bounds__(FT_AGENTS) simulate(const ft_problem p) {
    const int64_t j = (int64_t)blockIdx.x * FT_AGENTS + threadIdx.x;
    if (j >= p.count) return;
    const int64_t i = p.numbers[j];
    ft_agent a = p.agents[i]; /* memory of the thread's own: neighbours have theirs side by side */
    int32_t idx[2 * FT_ACTIVE];
    double q[FT_WIDTH];
    ft_env env;
    ft_simulation *s = &a.simulation;
    FT_ENV;
    for (int64_t k = 0; k < FT_ACTIVE; k++) idx[k] = p.idx[i * FT_ACTIVE + k];
    s->env = &env;
    s->tiles = p.tiles.table ? &p.tiles : NULL;
    s->trace = &a.trace;
    s->next_double = NULL;
    s->random = &a.philox;
    s->state = a.state;
    s->u = a.u;
    s->q = q;
    s->idx = idx;
    a.trace.rows = (double *)(void *)(p.rows + i * p.rows_size);
    a.trace.ring = p.ring + i * p.ring_size;
    a.trace.epochs = p.epochs + i * p.epochs_size;
    const ft_order order = {&s, 1, p.steps + j, p.episodes + j, p.room, p.returns + j * p.room,
                            p.lengths + j * p.room, p.status + j};
    ft_loop(&order, FT_KIND, FT_WIDTH, FT_ACTIVE, FT_BOUNDED, 1);
    for (int64_t k = 0; k < FT_ACTIVE; k++) p.idx[i * FT_ACTIVE + k] = idx[k];
    p.agents[i] = a;
}
