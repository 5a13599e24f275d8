/* Environment, tile coder and agent in one loop. */
#include "transition.h"
#include "tiles.h"

int64_t ft_epsilon_greedy(const double *q, int64_t n_actions, double epsilon, double u) {
    return ft_greedy(q, n_actions, epsilon, u);
}

int64_t ft_softmax(const double *q, int64_t n_actions, double temperature, double u) {
    return ft_boltzmann(q, n_actions, temperature, u);
}

static void ft_draw(const ft_simulation *s, int64_t count) {
    for (int64_t i = 0; i < count; i++) s->u[i] = s->next_double(s->random);
}

/* The features of the present state; 0 where there are none. */
FT_CLONES_32 static int ft_encode(const ft_simulation *s, int32_t *idx) {
    if (s->tiles) {
        ft_tiles_one(s->tiles, s->state, idx);
        return 1;
    }
    const double i = s->state[0];
    idx[0] = i >= 0.0 && i < (double)s->trace->n ? (int32_t)i : 0;
    return (double)idx[0] == i;
}

static int ft_state_ok(const ft_simulation *s) {
    for (int64_t i = 0; i < s->env->n_state; i++)
        if (!isfinite(s->state[i])) return 0;
    return 1;
}

/* The column of the action chosen in the present state; 0 in prediction. */
FT_INLINE int64_t ft_choose(const ft_simulation *s, const ft_hot *h, ft_row x, int64_t width) {
    if (!s->env->n_actions) return 0;
    ft_read_values(h, x, width, 0, width, 0, s->q); /* all of the row: whole vectors */
    return ft_act(s->q, s->env->n_actions, s->policy, s->parameter, s->next_double(s->random));
}

/* An episode begins with an empty trace. */
FT_UNKNOWN ft_hot ft_restart(ft_trace *t, ft_hot h) {
    ft_store(t, &h);
    ft_trace_reset(t);
    return ft_load(t);
}

FT_INLINE int32_t ft_loop(ft_simulation *s, int64_t steps, int64_t episodes,
                          double *FT_RESTRICT returns, int64_t *FT_RESTRICT lengths, int kind,
                          int64_t width, int64_t k, int bounded) {
    const ft_env *env = s->env;
    int32_t status = FT_OK;
    int64_t done = 0, ended = 0;
    ft_hot h = ft_load(s->trace);
    ft_carry c = ft_carry_of(s->trace);
    ft_place x, x_next;
    x.row.k = k;
    x.row.idx = s->idx;
    x.row.val = NULL;
    x.column = s->action;
    x_next = x;
    double pi = s->running ? ft_pi_now(s->trace, &h, x, s->target, s->policy, s->parameter, width, 0, s->q)
                           : 0.0;
    if (s->running && ft_reads_once(kind)) c.sums = ft_read_at(&h, x, width, 0);
    while (done < steps && ended < episodes) {
        if (!s->running) {
            h = ft_restart(s->trace, h);
            c = ft_carry_of(s->trace);
            ft_draw(s, env->reset_uniforms);
            env->reset(env->self, s->state, s->u);
            status = !ft_state_ok(s) ? FT_EVALUE : !ft_encode(s, s->idx) ? FT_EINDEX : FT_OK;
            if (status != FT_OK) break;
            x.row.idx = s->idx;
            x.column = ft_choose(s, &h, x.row, width);
            if (ft_reads_once(kind)) c.sums = ft_read_at(&h, x, width, 0);
            pi = 0.0; /* as decay is */
            s->running = 1;
            s->length = 0;
            s->total = 0.0;
        }
        double out[2];
        ft_draw(s, env->step_uniforms);
        env->step(env->self, s->state, x.column, s->u, out);
        const int over = out[1] == 0.0;
        int32_t *idx_next = s->idx + (x.row.idx == s->idx ? k : 0);
        if (!isfinite(out[0]) || !(out[1] >= 0.0 && out[1] <= 1.0) || (!over && !ft_state_ok(s)))
            status = FT_EVALUE;
        else if (!over && !ft_encode(s, idx_next))
            status = FT_EINDEX;
        if (status != FT_OK) {
            s->running = 0; /* its state is lost: the next episode begins anew */
            break;
        }
        if (!over) { /* the choice is made before anything changes, as agents that step make it */
            x_next.row.idx = idx_next;
            x_next.column = ft_choose(s, &h, x_next.row, width);
        }
        const int sarsa = s->target == FT_TAKEN;
        ft_arrival next = ft_unread();
        ft_numbers n;
        n.reward = out[0];
        n.gamma_next = s->gamma * out[1];
        n.lambda_next = s->lambda_;
        n.factor = sarsa ? 1.0 : ft_factor_of(s->target, 1.0, s->sigma, pi);
        n.rho = n.pi = n.interest = 1.0;
        n.options = &s->options;
        n.alpha = s->alpha;
        next.known = over || !sarsa || ft_values_before(kind, width);
        if (next.known && !over) { /* by the values that the choice was made by */
            next.v = next.taken = s->q[x_next.column];
            if (!sarsa) {
                next.v = ft_value_of(s->target, s->q, env->n_actions, NULL, s->policy, s->parameter);
                pi = n.gamma_next == 0.0 ? 0.0
                                         : ft_own_pi(s->target, s->q, env->n_actions, s->policy,
                                                     s->parameter, x_next.column);
            }
            n.lambda_next = ft_lambda_of(s->target, n.lambda_next, next);
        }
        ft_transition(s->trace, &h, &c, x, x_next, next, n, kind, width, 0, sarsa, 0, bounded);
        done++;
        s->length++;
        s->total += out[0];
        if (over || s->length == s->max_length) {
            returns[ended] = s->total;
            lengths[ended++] = s->length;
            s->running = 0;
            if (!over) {
                h = ft_restart(s->trace, h);
                c = ft_carry_of(s->trace);
            }
        }
        x = x_next;
    }
    ft_carry_store(s->trace, &h, &c, done ? s->alpha : s->trace->alpha);
    s->trace->pi = s->running ? pi : 0.0;
    if (x.row.idx != s->idx)
        for (int64_t j = 0; j < k; j++) s->idx[j] = s->idx[k + j];
    s->action = x.column;
    s->steps = done;
    s->episodes = ended;
    return status;
}

static int64_t ft_active(const ft_simulation *s) { return s->tiles ? s->tiles->tilings : 1; }

/* Each kind for itself for rows of four actions, which gain from vectors, and the usual eight tilings; all
 * kinds in one loop for what else there is. */
#define FT_DEFINE_LOOPS(name, kind, folded, replaces, clears, emphatic, true_online, actions, ...)        \
    FT_WHERE_##actions(FT_DEFINE_LOOP, name, kind)
#define FT_DEFINE_LOOP(name, kind)                                                                \
    FT_CLONES_32 static int32_t ft_loop_##name(ft_simulation *s, int64_t steps, int64_t episodes, \
                                               double *returns, int64_t *lengths) {               \
        return ft_loop(s, steps, episodes, returns, lengths, kind, 4, 8, 0);                      \
    }
FT_KINDS(FT_DEFINE_LOOPS)

FT_CLONES_32 static int32_t ft_loop_columns(ft_simulation *s, int64_t steps, int64_t episodes,
                                            double *returns, int64_t *lengths) {
    const int kind = (int)s->kind;
    const int64_t k = ft_active(s), width = s->trace->width;
    if (width == 4) return ft_loop(s, steps, episodes, returns, lengths, kind, 4, k, 0);
    return ft_loop(s, steps, episodes, returns, lengths, kind, width, k, 0);
}

static int32_t ft_loop_any(ft_simulation *s, int64_t steps, int64_t episodes, double *returns,
                           int64_t *lengths) {
    const int kind = (int)s->kind;
    const int64_t k = ft_active(s), width = s->trace->width;
    if (width == 1) return ft_loop(s, steps, episodes, returns, lengths, kind, 1, k, 1);
    return ft_loop(s, steps, episodes, returns, lengths, kind, width, k, 1);
}

int32_t ft_simulate(ft_simulation *s, int64_t steps, int64_t episodes, double *returns,
                    int64_t *lengths) {
    const ft_trace *t = s->trace;
    if (!ft_is_kind(s->kind)) return FT_EVALUE;
    if (t->width == 1 || t->cap == t->cap) return ft_loop_any(s, steps, episodes, returns, lengths);
#define FT_CASE_LOOPS(name, value, folded, replaces, clears, emphatic, true_online, actions, ...)         \
    FT_WHERE_##actions(FT_CASE_LOOP, name, value)
#define FT_CASE_LOOP(name, value)                                                                 \
    case value: return ft_loop_##name(s, steps, episodes, returns, lengths);
    if (t->width == 4 && ft_active(s) == 8) switch (s->kind) { FT_KINDS(FT_CASE_LOOPS) }
    return ft_loop_columns(s, steps, episodes, returns, lengths);
}
