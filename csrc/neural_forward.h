/* Forward TD(lambda) for one type of number: neural_forward.c includes this twice.
 *
 * What waits stands in a ring of window + 1 slots, the oldest in `first`; the state that a transition led
 * to is the state of the next slot:
 *
 *            first            first + 1           ...   first + waiting
 *   states   S_t              S_{t+1}             ...   S_h
 *   others   R_{t+1}, v_{t+1} R_{t+2}, v_{t+2}    ...   -                  */

FT_INLINE int64_t NAME(ft_slot)(const NAME(ft_forward_td) * td, int64_t i) {
    return (td->first + i) % (td->window + 1);
}

/* Values of the states that the waiting transitions led to, under the parameters as they are. */
static void NAME(ft_forward_refresh)(const NAME(ft_forward_td) * td) {
    const int64_t n_inputs = td->net.sizes[0], m = td->m;
    for (int64_t i = 0; i < td->waiting; i++)
        NAME(ft_mlp_forward)
        (&td->net, 1, td->states + NAME(ft_slot)(td, i + 1) * n_inputs,
         td->values + NAME(ft_slot)(td, i) * m);
}

/* G_{t:h} of the oldest that waits, into G (m). */
FT_INLINE void NAME(ft_forward_return)(const NAME(ft_forward_td) * td, double *G) {
    const int64_t m = td->m;
    const REAL *last = td->values + NAME(ft_slot)(td, td->waiting - 1) * m;
    for (int64_t j = 0; j < m; j++) G[j] = (double)last[j];
    for (int64_t i = td->waiting - 1; i >= 0; i--) {
        const int64_t at = NAME(ft_slot)(td, i) * m;
        for (int64_t j = 0; j < m; j++) {
            const double gamma = td->gammas[at + j], lambda = td->lambdas[at + j];
            const double rest = (1.0 - lambda) * (double)td->values[at + j] + lambda * G[j];
            G[j] = td->rewards[at + j] + (gamma == 0.0 ? 0.0 : gamma * rest);
        }
    }
}

/* w <- w + c x, and whether all of it is finite. */
FT_CLONES static int NAME(ft_forward_move)(int64_t n, REAL *FT_RESTRICT w, const REAL *FT_RESTRICT x,
                                           REAL c) {
    INTEGER worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const REAL moved = w[i] + c * x[i];
        INTEGER bits;
        w[i] = moved;
        memcpy(&bits, &moved, sizeof bits);
        bits &= LARGEST;
        worst = bits > worst ? bits : worst;
    }
    return worst < ENDLESS;
}

/* The oldest moves towards its return, and waits no more; whether the parameters stay finite. */
static int NAME(ft_forward_update)(NAME(ft_forward_td) * td) {
    const int64_t n = td->net.n_params, m = td->m;
    REAL *v = td->work, *unit = v + 2 * m, *J = unit + m * m;
    int finite = 1;
    for (int64_t j = 0; j < m * m; j++) unit[j] = (REAL)(j % (m + 1) == 0);
    if (td->fresh) NAME(ft_forward_refresh)(td);
    NAME(ft_forward_return)(td, td->returns);
    NAME(ft_mlp_gradients)(&td->net, td->states + td->first * td->net.sizes[0], m, unit, v, J);
    for (int64_t j = 0; j < m; j++)
        finite &= NAME(ft_forward_move)(n, td->net.params, J + j * n,
                                        (REAL)(td->alpha * (td->returns[j] - (double)v[j])));
    td->first = NAME(ft_slot)(td, 1);
    td->waiting--;
    return finite;
}

/* All that must be updated now: `all`, or those the window has no room for. */
static int NAME(ft_forward_catch_up)(NAME(ft_forward_td) * td, int all) {
    const int64_t first = td->first, waiting = td->waiting, n = td->net.n_params;
    if (!all && waiting < td->window) return 1;
    NAME(ft_copy)(td->before, td->net.params, n);
    while (td->waiting > 0 && (all || td->waiting >= td->window))
        if (!NAME(ft_forward_update)(td)) {
            NAME(ft_copy)(td->net.params, td->before, n);
            td->first = first;
            td->waiting = waiting;
            return 0;
        }
    return 1;
}

int64_t NAME(ft_forward_td_run)(NAME(ft_forward_td) * td, int64_t T, const REAL *states,
                                const double *rewards, const double *gammas, const double *lambdas,
                                double *deltas) {
    const int64_t m = td->m, n_inputs = td->net.sizes[0];
    REAL *v = td->work;
    if (!NAME(ft_finite)(td->net.n_params, td->net.params)) return 0;
    for (int64_t t = 0; t < T; t++) {
        const int64_t slot = NAME(ft_slot)(td, td->waiting), next = NAME(ft_slot)(td, td->waiting + 1);
        int over = 1, finite = 1;
        NAME(ft_copy)(td->states + slot * n_inputs, states + t * n_inputs, n_inputs);
        NAME(ft_copy)(td->states + next * n_inputs, states + (t + 1) * n_inputs, n_inputs);
        NAME(ft_mlp_forward)(&td->net, 2, states + t * n_inputs, v);
        for (int64_t j = 0; j < m; j++) {
            const int64_t at = slot * m + j, given = t * m + j;
            const double gamma = gammas[given];
            td->rewards[at] = rewards[given];
            td->gammas[at] = gamma;
            td->lambdas[at] = lambdas[given];
            td->values[at] = v[m + j];
            deltas[given] = rewards[given] + (gamma == 0.0 ? 0.0 : gamma * (double)v[m + j]) - (double)v[j];
            finite &= fabs(deltas[given]) <= DBL_MAX;
            over &= gamma == 0.0;
        }
        if (!finite) return t;
        td->waiting++;
        if (!NAME(ft_forward_catch_up)(td, over)) {
            td->waiting--;
            return t;
        }
    }
    return T;
}

int32_t NAME(ft_forward_td_flush)(NAME(ft_forward_td) * td) {
    return NAME(ft_forward_catch_up)(td, 1) ? FT_OK : FT_EVALUE;
}
