/* Environment, tile coder and agent in one loop: one simulation, or several side by side. */
#include "transition.h"
#include "tiles.h"
#include "single.h"

int64_t ft_epsilon_greedy(const double *q, int64_t n_actions, double epsilon, double u) {
    return ft_greedy(q, n_actions, epsilon, u);
}

int64_t ft_softmax(const double *q, int64_t n_actions, double temperature, double u) {
    return ft_boltzmann(q, n_actions, temperature, u);
}

/* ---- uniform numbers ---- */

#if defined(__SIZEOF_INT128__)
static uint64_t ft_multiply(uint64_t x, uint64_t y, uint64_t *high) {
    __extension__ typedef unsigned __int128 ft_uint128;
    const ft_uint128 product = (ft_uint128)x * y;
    *high = (uint64_t)(product >> 64);
    return (uint64_t)product;
}
#else
static uint64_t ft_multiply(uint64_t x, uint64_t y, uint64_t *high) {
    const uint64_t x_low = x & UINT32_MAX, x_high = x >> 32, y_low = y & UINT32_MAX, y_high = y >> 32;
    const uint64_t low = x_low * y_low, one = x_high * y_low + (low >> 32);
    const uint64_t two = x_low * y_high + (one & UINT32_MAX);
    *high = x_high * y_high + (one >> 32) + (two >> 32);
    return x * y;
}
#endif

void ft_philox_init(ft_philox *p, uint64_t key_0, uint64_t key_1) {
    for (int i = 0; i < 4; i++) p->counter[i] = p->block[i] = 0;
    p->key[0] = key_0;
    p->key[1] = key_1;
    p->used = 4;
}

/* The block that the next number is of: ten rounds over the counter, which is counted up first. */
static void ft_philox_turn(ft_philox *p) {
    uint64_t blocks = (uint64_t)p->used / 4; /* more than one where numbers were passed over */
    for (int i = 0; i < 4 && blocks; i++) {
        p->counter[i] += blocks;
        blocks = p->counter[i] < blocks;
    }
    uint64_t a = p->counter[0], b = p->counter[1], c = p->counter[2], d = p->counter[3];
    uint64_t key_0 = p->key[0], key_1 = p->key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t high_a, high_c;
        const uint64_t low_a = ft_multiply(a, UINT64_C(0xD2E7470EE14C6C93), &high_a);
        const uint64_t low_c = ft_multiply(c, UINT64_C(0xCA5A826395121157), &high_c);
        a = high_c ^ b ^ key_0;
        b = low_c;
        c = high_a ^ d ^ key_1;
        d = low_a;
        key_0 += UINT64_C(0x9E3779B97F4A7C15);
        key_1 += UINT64_C(0xBB67AE8584CAA73B);
    }
    p->block[0] = a;
    p->block[1] = b;
    p->block[2] = c;
    p->block[3] = d;
    p->used %= 4;
}

double ft_philox_double(void *philox) {
    ft_philox *p = (ft_philox *)philox;
    if (p->used >= 4) ft_philox_turn(p);
    return (double)(p->block[p->used++] >> 11) * (1.0 / 9007199254740992.0);
}

FT_INLINE double ft_uniform(const ft_simulation *s) {
    return s->next_double ? s->next_double(s->random) : ft_philox_double(s->random);
}

FT_INLINE void ft_draw(const ft_simulation *s, int64_t count) {
    for (int64_t i = 0; i < count; i++) s->u[i] = ft_uniform(s);
}

/* ---- states ---- */

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

/* The same where ft_is_usual, found out once. */
FT_CLONES_32 static void ft_encode_usual(const ft_simulation *s, int32_t *idx) {
    ft_tiles_eight(s->tiles, s->state, idx);
}

static int ft_is_usual(const ft_tiles *tiles) {
    return tiles && !tiles->memory && tiles->tilings == 8 && !ft_tiles_wrap(tiles);
}

FT_INLINE int ft_state_ok(const ft_simulation *s) {
    double sum = 0.0; /* 0 times what is not finite is NaN */
    for (int64_t i = 0; i < s->env->n_state; i++) sum += 0.0 * s->state[i];
    return sum == 0.0;
}

/* ---- simulations at work ----
 *
 * A step is done phase by phase, each for all lanes in turn: while one of them waits for what it has asked for,
 * the others' work goes on.  What a phase needs of the one before stands in memory, not in registers, so more
 * than a few lanes gain nothing. */
enum { FT_ABREAST = 3, FT_USUAL = 8 };

/* What is asked for; see ft_simulate_many. */
typedef struct {
    ft_simulation *const *each;
    int64_t count;
    const int64_t *steps, *episodes;
    int64_t room;
    double *returns;
    int64_t *lengths;
    int32_t *status;
} ft_order;

typedef struct {
    ft_simulation *s;
    ft_hot h;
    ft_carry c;
    double pi;
    double out[2], out_next[2];  /* reward and gamma of the step that is learned from, and of the one after it */
    int64_t at, to, beyond;      /* idx + at: features of the present state; of the next one; of that after it */
    int64_t column, column_next; /* the actions there */
    int64_t number, steps, episodes;
    int32_t status, status_next, ahead; /* ahead: the step after it is made already */
    int32_t *idx, room[3 * FT_USUAL];
} ft_lane;

FT_INLINE ft_place ft_lane_place(const ft_lane *l, int64_t at, int64_t column, int64_t k) {
    ft_place x;
    x.row.k = k;
    x.row.idx = l->idx + at;
    x.row.val = NULL;
    x.column = column;
    return x;
}

/* Each episode begins with an empty trace. */
static void ft_restart(ft_lane *l) {
    ft_trace *t = l->s->trace;
    ft_store(t, &l->h);
    ft_trace_reset(t);
    l->h = ft_load(t);
    l->c = ft_carry_of(t);
    l->pi = 0.0; /* as decay is */
}

/* The sums that a transition of this kind begins with. */
static void ft_read_here(ft_lane *l, int kind, int64_t width, int64_t k) {
    if (ft_reads_once(kind)) l->c.sums = ft_read_at(&l->h, ft_lane_place(l, l->at, l->column, k), width, 0);
}

FT_INLINE int64_t ft_column_for(const ft_lane *l, ft_hot h, int64_t at, int64_t width, int64_t k) {
    const ft_simulation *s = l->s;
    if (!s->env->n_actions) return 0;
    ft_read_values(&h, ft_lane_place(l, at, 0, k).row, width, 0, width, 0, s->q); /* all of the row: whole vectors */
    const int64_t n_actions = width == 4 && s->env->n_actions == 3 ? 3 : s->env->n_actions; /* 3: unrolled */
    if (s->policy == FT_SOFTMAX) return ft_boltzmann(s->q, n_actions, s->parameter, ft_uniform(s));
    const int counted = s->parameter == 0.0 && !s->next_double;
    double u = counted ? 0.0 : ft_uniform(s);
    int64_t ties;
    const int64_t arg = ft_best(s->q, n_actions, &ties);
    if (counted && ties == 1) { /* whatever the number is: it need not be made */
        ((ft_philox *)s->random)->used++;
        return arg;
    }
    if (counted) u = ft_philox_double(s->random);
    return ft_pick_greedy(s->q, n_actions, s->parameter, u, arg, ties);
}

/* Where nothing is to be made, it is put down at once. */
FT_UNKNOWN int ft_take_up(ft_lane *l, const ft_order *order, int64_t number, int kind, int64_t width, int64_t k,
                          int early) {
    ft_simulation *s = l->s = order->each[number];
    l->number = number;
    l->steps = order->steps[number];
    l->episodes = order->episodes[number];
    l->h = ft_load(s->trace);
    l->c = ft_carry_of(s->trace);
    l->idx = early ? l->room : s->idx;
    for (int64_t j = 0; early && j < k; j++) l->idx[j] = s->idx[j];
    l->at = 0;
    l->to = k;
    l->beyond = early ? 2 * k : 0;
    l->column = s->action;
    l->status = FT_OK;
    l->ahead = 0;
    s->steps = s->episodes = 0;
    l->pi = 0.0;
    if (s->running) {
        l->pi = ft_pi_now(s->trace, &l->h, ft_lane_place(l, 0, l->column, k), s->target, s->policy, s->parameter,
                          width, 0, s->q);
        ft_read_here(l, kind, width, k);
    }
    return l->steps > 0 && l->episodes > 0;
}

FT_UNKNOWN void ft_put_down(ft_lane *l, const ft_order *order, int64_t k) {
    ft_simulation *s = l->s;
    ft_carry_store(s->trace, &l->h, &l->c, s->steps ? s->alpha : s->trace->alpha);
    s->trace->pi = s->running ? l->pi : 0.0;
    for (int64_t j = 0; j < k; j++) s->idx[j] = l->idx[l->at + j];
    s->action = l->column;
    order->status[l->number] = l->status;
}

FT_UNKNOWN void ft_episode(ft_lane *l, int kind, int64_t width, int64_t k) {
    ft_simulation *s = l->s;
    const ft_env *env = s->env;
    ft_restart(l);
    ft_draw(s, env->reset_uniforms);
    env->reset(env->self, s->state, s->u);
    l->status = !ft_state_ok(s) ? FT_EVALUE : !ft_encode(s, l->idx + l->at) ? FT_EINDEX : FT_OK;
    if (l->status != FT_OK) return;
    l->column = ft_column_for(l, l->h, l->at, width, k);
    ft_read_here(l, kind, width, k);
    s->running = 1;
    s->length = 0;
    s->total = 0.0;
}

FT_INLINE void ft_move(ft_lane *l, int kind, int64_t width, int64_t k) {
    ft_simulation *s = l->s;
    const ft_env *env = s->env;
    if (!s->running) ft_episode(l, kind, width, k);
    if (l->status != FT_OK) return;
    ft_draw(s, env->step_uniforms);
    env->step(env->self, s->state, l->column, s->u, l->out);
}

/* What is wrong with what a step has led to; its features. */
FT_INLINE int32_t ft_look(const ft_lane *l, const double *out, int32_t *idx, int usual) {
    const int over = out[1] == 0.0;
    if (!isfinite(out[0]) || !(out[1] >= 0.0 && out[1] <= 1.0) || (!over && !ft_state_ok(l->s))) return FT_EVALUE;
    if (over) return FT_OK;
    if (!usual) return ft_encode(l->s, idx) ? FT_OK : FT_EINDEX;
    ft_encode_usual(l->s, idx);
    return FT_OK;
}

/* Before anything changes, as agents that step choose. */
FT_INLINE void ft_decide(ft_lane *l, int64_t width, int64_t k) {
    if (l->status != FT_OK) return;
    l->column_next = l->out[1] == 0.0 ? l->column : ft_column_for(l, l->h, l->to, width, k);
}

/* The step after this one, if there is one, before this one is learned from: neither waits for the other. */
FT_INLINE void ft_go_ahead(ft_lane *l, int usual) {
    const ft_simulation *s = l->s;
    l->ahead = l->status == FT_OK && l->out[1] != 0.0 && s->length + 1 != s->max_length && s->steps + 1 < l->steps;
    if (!l->ahead) return;
    ft_draw(s, s->env->step_uniforms);
    s->env->step(s->env->self, s->state, l->column_next, s->u, l->out_next);
    l->status_next = ft_look(l, l->out_next, l->idx + l->beyond, usual);
}

FT_INLINE void ft_learn(ft_lane *l, int kind, int64_t width, int64_t k, int bounded, int early) {
    if (l->status != FT_OK) return;
    const ft_simulation *s = l->s;
    const int over = l->out[1] == 0.0, sarsa = s->target == FT_TAKEN;
    const ft_place x = ft_lane_place(l, l->at, l->column, k);
    const ft_place x_next = over ? x : ft_lane_place(l, l->to, l->column_next, k);
    ft_hot h = l->h; /* in registers: stores into rows could change what stands in a lane */
    ft_carry c = l->c;
    ft_arrival next = ft_unread();
    ft_numbers n;
    n.reward = l->out[0];
    n.gamma_next = s->gamma * l->out[1];
    n.lambda_next = s->lambda_;
    n.factor = sarsa ? 1.0 : ft_factor_of(s->target, 1.0, s->sigma, l->pi);
    n.rho = n.pi = n.interest = 1.0;
    n.options = &s->options;
    n.alpha = s->alpha;
    next.known = over || !sarsa || ft_values_before(kind, width);
    if (next.known && !over) { /* by the values that the choice was made by */
        next.v = next.taken = s->q[x_next.column];
        if (!sarsa) {
            const int64_t n_actions = s->env->n_actions;
            next.v = ft_value_of(s->target, s->q, n_actions, NULL, s->policy, s->parameter);
            l->pi = n.gamma_next == 0.0 ? 0.0
                                        : ft_own_pi(s->target, s->q, n_actions, s->policy, s->parameter,
                                                    x_next.column);
        }
        n.lambda_next = ft_lambda_of(s->target, n.lambda_next, next);
    }
    ft_transition(s->trace, &h, &c, x, x_next, next, n, kind, width, 0, sarsa, 0, bounded);
    l->h = h;
    l->c = c;
    if (!over) {
        const int64_t left = l->at;
        l->at = l->to;
        l->to = early ? l->beyond : left;
        l->beyond = left;
    }
    l->column = l->column_next;
}

/* Whether it is done, or has to end. */
FT_INLINE int ft_count(ft_lane *l, const ft_order *order) {
    ft_simulation *s = l->s;
    if (l->status != FT_OK) {
        s->running = 0; /* its state is lost: the next episode begins anew */
        return 1;
    }
    s->steps++;
    s->length++;
    s->total += l->out[0];
    if (l->out[1] == 0.0 || s->length == s->max_length) {
        const int64_t place = l->number * order->room + s->episodes++;
        order->returns[place] = s->total;
        order->lengths[place] = s->length;
        s->running = 0;
        if (l->out[1] != 0.0) ft_restart(l);
    }
    return s->steps >= l->steps || s->episodes >= l->episodes;
}

/* One alone has nobody to hide its latencies, but its own next step. */
FT_INLINE void ft_walk(ft_lane *l, const ft_order *order, int kind, int64_t width, int64_t k, int bounded,
                       int usual, int early) {
    do {
        if (l->ahead) {
            l->out[0] = l->out_next[0];
            l->out[1] = l->out_next[1];
            l->status = l->status_next;
        } else {
            ft_move(l, kind, width, k);
            if (l->status == FT_OK) l->status = ft_look(l, l->out, l->idx + l->to, usual);
        }
        ft_decide(l, width, k);
        if (early) ft_go_ahead(l, usual);
        ft_learn(l, kind, width, k, bounded, early);
    } while (!ft_count(l, order));
}

/* most: how many stand side by side, a constant. */
FT_INLINE void ft_live(const ft_order *order, int kind, int64_t width, int64_t k, int bounded, int most) {
    ft_lane lanes[FT_ABREAST];
    const int early = most == 1 && k == FT_USUAL && width == 4;
    const int usual = ft_is_usual(order->each[0]->tiles);
    int64_t begun = 0, active = 0;
    for (;;) {
        for (; active < most && begun < order->count; begun++) {
            if (ft_take_up(lanes + active, order, begun, kind, width, k, early)) active++;
            else ft_put_down(lanes + active, order, k);
        }
        if (active == 0) return;
        if (most == 1) {
            ft_walk(lanes, order, kind, width, k, bounded, usual, early);
            ft_put_down(lanes, order, k);
            active = 0;
            continue;
        }
        for (int64_t i = 0; i < active; i++) ft_move(lanes + i, kind, width, k);
        for (int64_t i = 0; i < active; i++)
            if (lanes[i].status == FT_OK)
                lanes[i].status = ft_look(lanes + i, lanes[i].out, lanes[i].idx + lanes[i].to, usual);
        for (int64_t i = 0; i < active; i++) ft_decide(lanes + i, width, k);
        for (int64_t i = 0; i < active; i++) ft_learn(lanes + i, kind, width, k, bounded, 0);
        for (int64_t i = active - 1; i >= 0; i--) {
            if (!ft_count(lanes + i, order)) continue;
            ft_put_down(lanes + i, order, k);
            lanes[i] = lanes[--active];
        }
    }
}

static int64_t ft_active_of(const ft_simulation *s) { return s->tiles ? s->tiles->tilings : 1; }

/* Each kind for itself for rows of four actions, which gain from vectors, and the usual eight tilings, for one
 * and for many; all kinds in one loop for what else there is.  State values are too quick to gain from company. */
#define FT_DEFINE_LOOPS(name, kind, folded, replaces, clears, emphatic, true_online, actions, ...)        \
    FT_WHERE_##actions(FT_DEFINE_LOOP, name, kind)
#define FT_DEFINE_LOOP(name, kind)                                                                \
    FT_CLONES_32 static void ft_loop_##name(const ft_order *order) {                              \
        if (FT_IS_HERE(kind)) ft_live(order, kind, 4, 8, 0, FT_ABREAST);                          \
    }                                                                                             \
    FT_CLONES_32 static void ft_alone_##name(const ft_order *order) {                             \
        if (FT_IS_HERE(kind)) ft_live(order, kind, 4, 8, 0, 1);                                   \
    }
FT_KINDS(FT_DEFINE_LOOPS)

FT_CLONES_32 static void ft_loop_columns(const ft_order *order, int kind, int64_t width, int64_t k) {
    if (width == 4)
        ft_live(order, kind, 4, k, 0, FT_ABREAST);
    else
        ft_live(order, kind, width, k, 0, FT_ABREAST);
}

static void ft_loop_any(const ft_order *order, int kind, int64_t width, int64_t k) {
    if (width == 1)
        ft_live(order, kind, 1, k, 1, 1);
    else
        ft_live(order, kind, width, k, 1, 1);
}

static void ft_carry_out(const ft_order *order, int bounded) {
    const ft_simulation *s = order->each[0];
    const int64_t k = ft_active_of(s), width = s->trace->width;
    if (width == 1 || bounded || FT_SINGLE) {
        ft_loop_any(order, (int)s->kind, width, k);
        return;
    }
#define FT_CASE_LOOPS(name, value, folded, replaces, clears, emphatic, true_online, actions, ...)         \
    FT_WHERE_##actions(FT_CASE_LOOP, name, value)
#define FT_CASE_LOOP(name, value)                                                                 \
    case value: (order->count > 1 ? ft_loop_##name : ft_alone_##name)(order); return;
    if (width == 4 && k == 8) switch (s->kind) { FT_KINDS(FT_CASE_LOOPS) }
    ft_loop_columns(order, (int)s->kind, width, k);
}

int32_t ft_simulate_many(ft_simulation *const *each, int64_t count, const int64_t *steps,
                         const int64_t *episodes, int64_t room, double *returns, int64_t *lengths,
                         int32_t *status) {
    int bounded = 0;
    for (int64_t i = 0; i < count; i++) {
        const ft_simulation *s = each[i], *first = each[0];
        if (!ft_is_kind(s->kind) || s->kind != first->kind || s->trace->width != first->trace->width ||
            s->tiles != first->tiles || s->trace->single != first->trace->single)
            return FT_EVALUE;
        bounded |= s->trace->cap == s->trace->cap;
    }
    if (count <= 0) return FT_OK;
    FT_TO_SINGLE(each[0]->trace, simulate_many, (each, count, steps, episodes, room, returns, lengths, status))
    const ft_order order = {each, count, steps, episodes, room, returns, lengths, status};
    ft_carry_out(&order, bounded);
    for (int64_t i = 0; i < count; i++)
        if (status[i] != FT_OK) return status[i];
    return FT_OK;
}

int32_t ft_simulate(ft_simulation *s, int64_t steps, int64_t episodes, double *returns,
                    int64_t *lengths) {
    int32_t status;
    return ft_simulate_many(&s, 1, &steps, &episodes, 0, returns, lengths, &status);
}
