/* Linear actor-critic with eligibility traces: one step, and whole streams.
 *
 * The critic is TD(lambda) with an accumulating trace, transition.h as it is.  The actor has a trace of its own
 * with a column an action, of which a step changes all: z += c_a x for every a. */
#include "transition.h"
#include "stream.h"

/* Below this I adds nothing that float64 could hold beside a trace; its products would be subnormal. */
#define FT_FADED 1e-200

/* The numbers of one transition, from S_t to S_{t+1}. */
typedef struct {
    double reward, gamma_next, lambda_next, lambda_actor_next, alpha, alpha_actor;
} ft_actor_numbers;

/* What a loop keeps in registers. */
typedef struct {
    ft_hot critic, actor;
    ft_carry carry; /* of the critic */
    double decay_actor, discount, average_reward;
} ft_actor_hot;

FT_INLINE ft_actor_hot ft_actor_load(const ft_actor_critic *t) {
    ft_actor_hot h;
    h.critic = ft_load(t->critic);
    h.actor = ft_load(t->actor);
    h.carry = ft_carry_of(t->critic);
    h.decay_actor = t->actor->decay;
    h.discount = t->discount;
    h.average_reward = t->average_reward;
    return h;
}

FT_INLINE void ft_actor_store(ft_actor_critic *t, const ft_actor_hot *h, double alpha) {
    ft_carry_store(t->critic, &h->critic, &h->carry, alpha);
    ft_store(t->actor, &h->actor);
    t->actor->decay = h->decay_actor;
    t->discount = h->discount;
    t->average_reward = h->average_reward;
}

/* c[a] = size (1{a = action} - pi(a)), from preferences in c; 0 in the columns beyond n_actions. */
FT_INLINE void ft_score(double *c, int64_t n_actions, int64_t width, int64_t action,
                        double temperature, double size) {
    const double best = ft_max(c, n_actions);
    double total = 0.0;
    for (int64_t a = 0; a < n_actions; a++) {
        c[a] = exp((c[a] - best) / temperature);
        total += c[a];
    }
    for (int64_t a = 0; a < n_actions; a++) c[a] = size * ((a == action ? 1.0 : 0.0) - c[a] / total);
    for (int64_t a = n_actions; a < width; a++) c[a] = 0.0;
}

/* trace_ia += c[a] in every column, w as it was.  change: 2 width, for dz and what w needs for it. */
FT_INLINE void ft_write_columns(const ft_hot *h, ft_row x, int64_t width, int padded,
                                const double *c, double *FT_RESTRICT change) {
    const double inv = 1.0 / h->scale;
    for (int64_t a = 0; a < width; a++) {
        change[a] = c[a] * inv;
        change[width + a] = -(h->drive * change[a]);
    }
#if FT_VECTORS
    if (width == 4) {
        const ft_four dz = {change[0], change[1], change[2], change[3]};
        const ft_four db = {change[4], change[5], change[6], change[7]};
        for (int64_t j = 0; j < x.k; j++) {
            const int64_t i = x.idx[j];
            if (padded && i < 0) continue;
            const ft_pair g = ft_since(h, i, width);
            ft_four *b = (ft_four *)(void *)(h->rows + 8 * i), *z = b + 1;
            const double size = x.val ? x.val[j] : 1.0;
            const ft_four b_new = *b + *z * ft_first(g) + size * db;
            *z = *z * ft_second(g) + size * dz;
            *b = b_new;
            *ft_epoch_of(h, i, width) = (int32_t)h->epoch;
        }
        return;
    }
#endif
    for (int64_t j = 0; j < x.k; j++) {
        const int64_t i = x.idx[j];
        if (padded && i < 0) continue;
        double *row = ft_begin(h, i, width);
        const ft_pair g = ft_since(h, i, width);
        const double size = x.val ? x.val[j] : 1.0;
        for (int64_t a = 0; a < width; a++) {
            const double z = row[width + a];
            row[a] = row[a] + z * ft_first(g) + size * change[width + a];
            row[width + a] = z * ft_second(g) + size * change[a];
        }
        *ft_epoch_of(h, i, width) = (int32_t)h->epoch;
    }
}

/* width and padded are constants where speed matters.  Returns delta. */
FT_INLINE double ft_actor_transition(ft_actor_critic *t, ft_actor_hot *h, ft_row x, int64_t action,
                                     ft_row x_next, ft_actor_numbers n, double temperature,
                                     double *work, int64_t width, int padded) {
    const int continuing = t->eta == t->eta;
    const double gamma = continuing && n.gamma_next != 0.0 ? 1.0 : n.gamma_next;
    const double reward = continuing ? n.reward - h->average_reward : n.reward;
    const double size = (t->discount_actor ? h->discount : 1.0) / temperature;

    ft_decay(t->actor, &h->actor, h->decay_actor, 0);
    ft_read_values(&h->actor, x, width, 0, width, padded, work);
    ft_score(work, t->actor->columns, width, action, temperature, size);
    ft_write_columns(&h->actor, x, width, padded, work, work + width);

    ft_place from, to;
    from.row = x;
    to.row = x_next;
    from.column = to.column = 0;
    static const ft_options none = {0};
    ft_numbers numbers;
    numbers.options = &none;
    numbers.reward = reward;
    numbers.gamma_next = gamma;
    numbers.lambda_next = n.lambda_next;
    numbers.alpha = n.alpha;
    numbers.factor = numbers.rho = numbers.pi = numbers.interest = 1.0;
    const double delta = ft_transition(t->critic, &h->critic, &h->carry, from, to, ft_unread(), numbers,
                                       FT_ACCUMULATING, 1, padded, 1, 0, 1);

    ft_drive(&h->actor, n.alpha_actor * delta);
    h->decay_actor = gamma * n.lambda_actor_next;
    h->discount = gamma == 0.0 ? 1.0 : h->discount * gamma;
    if (h->discount < FT_FADED) h->discount = 0.0;
    if (continuing) h->average_reward += t->eta * delta;
    return delta;
}

FT_INLINE void ft_actor_run(ft_actor_critic *t, const ft_stream *s, double *FT_RESTRICT deltas,
                            int plain, int64_t width) {
    ft_actor_hot h = ft_actor_load(t);
    ft_row x = ft_row_at(s, 0, plain);
    h.carry.sums = ft_read(&h.critic, x, 1, 0, !plain);
    for (int64_t i = 0; i < s->steps; i++) {
        const ft_row x_next = ft_row_at(s, i + 1, plain);
        ft_actor_numbers n;
        n.reward = s->rewards[i];
        n.gamma_next = s->gammas[i * s->gamma_stride];
        n.lambda_next = s->lambdas[i * s->lambda_stride];
        n.lambda_actor_next = s->actor_lambdas[i * s->actor_lambda_stride];
        n.alpha = s->alphas[i * s->alpha_stride];
        n.alpha_actor = s->actor_alphas[i * s->actor_alpha_stride];
        deltas[i] = ft_actor_transition(t, &h, x, s->actions[i], x_next, n, s->parameter, s->q,
                                        width, !plain);
        x = x_next;
    }
    ft_actor_store(t, &h, s->alphas[(s->steps - 1) * s->alpha_stride]);
}

#define FT_DEFINE_ACTOR_RUN(name, plain, width)                                                    \
    FT_CLONES_32 static void ft_actor_run_##name(ft_actor_critic *t, const ft_stream *s,           \
                                              double *deltas) {                                    \
        ft_actor_run(t, s, deltas, plain, width);                                                  \
    }
FT_DEFINE_ACTOR_RUN(plain_4, 1, 4)
FT_DEFINE_ACTOR_RUN(any_4, 0, 4)
FT_DEFINE_ACTOR_RUN(any, 0, t->actor->width)

FT_CLONES_32 static int32_t ft_actor_check(ft_trace *t, const int32_t *idx, int64_t count, int *padded) {
    uint32_t low, high;
    ft_index_bounds(idx, count, &low, &high);
    *padded = low == 0;
    if ((int64_t)high <= t->n) return FT_OK;
    t->bad_index = *ft_first_bad(idx, count, t->n);
    return FT_EINDEX;
}

int32_t ft_actor_critic_run(ft_actor_critic *t, const ft_stream *s, double *deltas) {
    if (s->steps == 0) return FT_OK;
    int padded = s->checked != 1;
    const int32_t status =
        s->checked ? FT_OK
                   : ft_actor_check(t->critic, s->indices, ft_index_count(s, s->steps + 1), &padded);
    if (status != FT_OK) return status;
    for (int64_t i = 0; !s->checked && i <= s->steps; i++)
        if (s->actions[i] < 0 || s->actions[i] >= t->actor->columns) return FT_EACTION;
    if (!(s->parameter > 0.0 && isfinite(s->parameter))) return FT_EVALUE;
    const int plain = !padded && !s->values && !s->indptr && !s->shared;
    (t->actor->width != 4 ? ft_actor_run_any
     : plain              ? ft_actor_run_plain_4
                          : ft_actor_run_any_4)(t, s, deltas);
    return FT_OK;
}

FT_CLONES_32 static double ft_actor_step(ft_actor_critic *t, ft_row x, int64_t action, ft_row x_next,
                                      ft_actor_numbers n, double temperature, double *work) {
    ft_actor_hot h = ft_actor_load(t);
    h.carry.sums = ft_read(&h.critic, x, 1, 0, 1);
    const double delta =
        t->actor->width == 4
            ? ft_actor_transition(t, &h, x, action, x_next, n, temperature, work, 4, 1)
            : ft_actor_transition(t, &h, x, action, x_next, n, temperature, work, t->actor->width, 1);
    ft_actor_store(t, &h, n.alpha);
    return delta;
}

static int ft_in_unit(double x) { return x >= 0.0 && x <= 1.0; }
static int ft_positive(double x) { return x > 0.0 && isfinite(x); }

int32_t ft_actor_critic_step(ft_actor_critic *t, double temperature, int64_t k, const int32_t *idx,
                             const double *val, int64_t action, int64_t k_next,
                             const int32_t *idx_next, const double *val_next, double reward,
                             double gamma_next, double lambda_next, double lambda_actor_next,
                             double alpha, double alpha_actor, double *work, double *delta) {
    const int32_t *bad = ft_first_bad(idx, k, t->critic->n);
    if (!bad) bad = ft_first_bad(idx_next, k_next, t->critic->n);
    if (bad) {
        t->critic->bad_index = *bad;
        return FT_EINDEX;
    }
    if (action < 0 || action >= t->actor->columns) return FT_EACTION;
    if (!(isfinite(reward) && ft_in_unit(gamma_next) && ft_in_unit(lambda_next) &&
          ft_in_unit(lambda_actor_next) && ft_positive(alpha) && ft_positive(alpha_actor) &&
          ft_positive(temperature)))
        return FT_EVALUE;
    ft_actor_numbers n;
    n.reward = reward;
    n.gamma_next = gamma_next;
    n.lambda_next = lambda_next;
    n.lambda_actor_next = lambda_actor_next;
    n.alpha = alpha;
    n.alpha_actor = alpha_actor;
    *delta = ft_actor_step(t, ft_row_of(k, idx, val), action, ft_row_of(k_next, idx_next, val_next),
                           n, temperature, work);
    return FT_OK;
}

void ft_actor_critic_reset(ft_actor_critic *t) {
    ft_trace_reset(t->critic);
    ft_trace_reset(t->actor);
    t->discount = 1.0;
}
