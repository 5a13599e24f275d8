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
    ft_philox philox;
    double state[FT_NUMBERS], u[FT_NUMBERS];
} ft_agent;

/* traces, rows, ring, epochs, agents, idx  of all agents, that of one after the other's
 * numbers, steps, episodes  (count)        those that go on, and how far; out: how far they came
 * returns, lengths  (count, room)          out
 * status  (count)                          out
 * number                                   of a random walk's states */
typedef struct {
    int64_t count, room, rows_size, ring_size, epochs_size;
    ft_trace *traces;
    ft_real *rows;
    double *ring;
    int32_t *epochs;
    ft_agent *agents;
    int32_t *idx;
    const int64_t *numbers;
    int64_t *steps, *episodes;
    double *returns;
    int64_t *lengths;
    int32_t *status;
    ft_tiles tiles;
    int64_t number;
} ft_problem;

FT_INLINE ft_trace ft_trace_at(const ft_problem *p, int64_t i) {
    ft_trace t = p->traces[i];
    t.rows = (double *)(void *)(p->rows + i * p->rows_size);
    t.ring = p->ring + i * p->ring_size;
    t.epochs = p->epochs + i * p->epochs_size;
    return t;
}

extern "C" __global__ void __launch_bounds__(FT_AGENTS) simulate(const ft_problem p) {
    const int64_t j = (int64_t)blockIdx.x * FT_AGENTS + threadIdx.x;
    if (j >= p.count) return;
    const int64_t i = p.numbers[j];
    ft_agent a = p.agents[i]; /* memory of the thread's own: neighbours have theirs side by side */
    ft_trace t = ft_trace_at(&p, i);
    int32_t idx[2 * FT_ACTIVE];
    double q[FT_WIDTH];
    ft_env env;
    ft_simulation *s = &a.simulation;
    FT_ENV;
    for (int64_t k = 0; k < FT_ACTIVE; k++) idx[k] = p.idx[i * FT_ACTIVE + k];
    s->env = &env;
    s->tiles = p.tiles.table ? &p.tiles : NULL;
    s->trace = &t;
    s->next_double = NULL;
    s->random = &a.philox;
    s->state = a.state;
    s->u = a.u;
    s->q = q;
    s->idx = idx;
    const ft_order order = {&s, 1, p.steps + j, p.episodes + j, p.room, p.returns + j * p.room,
                            p.lengths + j * p.room, p.status + j};
    ft_live(&order, FT_KIND, FT_WIDTH, FT_ACTIVE, FT_BOUNDED, 1);
    for (int64_t k = 0; k < FT_ACTIVE; k++) p.idx[i * FT_ACTIVE + k] = idx[k];
    p.steps[j] = s->steps;
    p.episodes[j] = s->episodes;
    p.agents[i] = a;
    p.traces[i] = t;
}

/* Whether an agent has diverged, into status; for one whose steps[j] is 0 only where what drove its weights last
 * is not finite.  The same numbers are looked at as on the host. */
extern "C" __global__ void __launch_bounds__(FT_AGENTS) look(const ft_problem p) {
    const int64_t j = (int64_t)blockIdx.x * FT_AGENTS + threadIdx.x;
    if (j >= p.count) return;
    const ft_trace t = ft_trace_at(&p, p.numbers[j]);
    const ft_hot h = ft_load(&t);
    const double before = t.ring[2 * ((t.epoch - 1) & (t.ring_size - 1))];
    int fine = 1;
    if (p.steps[j] || !isfinite(t.drive) || !isfinite(before)) {
        fine = isfinite(t.followon) && !(ft_is_true_online(FT_KIND) && isinf(t.v_old));
        for (int64_t i = 0; i < t.n && fine; i++) {
            const ft_real *row = ft_begin(&h, i, FT_WIDTH);
            const ft_pair g = ft_since(&h, i, FT_WIDTH);
            for (int64_t c = 0; c < t.columns; c++) {
                const double z = row[FT_WIDTH + c];
                fine &= isfinite(row[c] + z * (ft_first(g) + ft_second(g) * t.drive));
                fine &= isfinite(z * ft_second(g) * t.scale);
            }
        }
    }
    p.status[j] = !fine;
}
