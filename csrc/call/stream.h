/* learn, of streams that are not long. */
#ifndef FT_CALL_STREAM_H
#define FT_CALL_STREAM_H

#include "methods.h"

/* Keywords of learn, beside those of states: x, actions and rewards may stand without. */
enum {
    L_X,
    L_ACTIONS,
    L_REWARDS,
    L_GAMMAS,
    L_LAMBDAS,
    L_RHOS,
    L_ALPHA,
    L_INTERESTS,
    L_PI,
    L_SIGMAS,
    L_TARGET_POLICY,
    L_LAMBDAS_ACTOR,
    L_ALPHA_ACTOR,
    LEARN_KEYWORDS
};
static const char *const learn_keyword_names[LEARN_KEYWORDS] = {
    "x",         "actions", "rewards", "gammas",        "lambdas",       "rhos",       "alpha",
    "interests", "pi",      "sigmas",  "target_policy", "lambdas_actor", "alpha_actor"};
static PyObject *learn_keywords[LEARN_KEYWORDS];

static const double LONG = 3e7;  /* nanoseconds; a longer stream is learned in pieces, by Python */
static const double BRIEF = 2e4; /* a shorter one keeps the GIL */

/* What a number by the step may be. */
enum range { FINITE, UNIT, POSITIVE, RATIO };

static int in_range(enum range range, double x) {
    switch (range) {
        case UNIT: return is_unit(x);
        case POSITIVE: return x > 0.0 && isfinite(x);
        case RATIO: return is_ratio(x);
        default: return isfinite(x);
    }
}

/* The data of an array of float64 as the kernels take it, of these dimensions; NULL for any other. */
static const double *doubles_of(PyObject *o, int dims, const int64_t *shape) {
    if (!PyArray_CheckExact(o)) return NULL;
    PyArrayObject *a = (PyArrayObject *)o;
    if (PyArray_TYPE(a) != NPY_DOUBLE || PyArray_NDIM(a) != dims || !PyArray_ISCARRAY_RO(a)) return NULL;
    for (int i = 0; i < dims; i++)
        if (PyArray_DIM(a, i) != shape[i]) return NULL;
    return PyArray_DATA(a);
}

/* Numbers by the step: one for all, in `one`, or (steps,), with `spare` also (steps + 1,). */
static int series(PyObject *o, int64_t steps, int spare, enum range range, double *one, const double **data,
                  int64_t *stride) {
    *data = one;
    *stride = 0;
    if (!o || o == Py_None) return 1;
    if (number(o, one)) return in_range(range, *one);
    const int64_t longer = steps + 1;
    if (!(*data = doubles_of(o, 1, &steps)) && !(spare && (*data = doubles_of(o, 1, &longer)))) return 0;
    *stride = 1;
    int good = 1;
    for (int64_t t = 0; t < steps; t++) good &= in_range(range, (*data)[t]);
    return good;
}

/* Rows of states: (states, k) indices, (states, n) numbers; with `pairs` a dimension more.  The number of
 * states; -1: of another form.  What is copied stands from `at` on. */
static int64_t take_rows(Call *c, PyObject *x, int64_t at, int64_t *entries, ft_stream *s) {
    const int dims = c->pairs ? 3 : 2;
    if (!PyArray_CheckExact(x)) return -1;
    PyArrayObject *a = (PyArrayObject *)x;
    if (PyArray_NDIM(a) != dims || (c->pairs && PyArray_DIM(a, 1) != c->pairs) || !PyArray_ISCARRAY_RO(a))
        return -1;
    const int64_t states = PyArray_DIM(a, 0), k = PyArray_DIM(a, dims - 1), size = states * rows_of(c) * k;
    *entries = size;
    s->k = k;
    s->shared = 0;
    s->values = NULL;
    s->indptr = NULL;
    s->checked = 0;
    if (PyArray_TYPE(a) == NPY_DOUBLE) {
        if (k != c->n || c->binary || !range_of(c)) return -1;
        s->shared = 1;
        s->indices = c->range;
        s->values = PyArray_DATA(a);
        int good = 1;
        for (int64_t i = 0; i < size; i++) good &= isfinite(s->values[i]) != 0;
        return good ? states : -1;
    }
    if (k == c->n) return -1; /* may be a vector of bits */
    s->indices = PyArray_DATA(a);
    if (PyArray_TYPE(a) == NPY_INT32) return states; /* the kernel looks at them */
    Bounds bounds = {0, -1};
    if (!make_room(c, at + size + states)) return -1;
    if (!copy_integers(block_of(a), 1, size, c->idx + at, &bounds) || bounds.low < -1 || bounds.high >= c->n)
        return -1;
    s->indices = c->idx + at;
    s->checked = bounds.low < 0 ? 2 : 1;
    return states;
}

/* The actions of all states, from `at` on. */
static int take_actions(Call *c, PyObject *o, int64_t states, int64_t at) {
    Bounds bounds = {0, -1};
    if (!PyArray_CheckExact(o)) return 0;
    PyArrayObject *a = (PyArrayObject *)o;
    if (PyArray_NDIM(a) != 1 || PyArray_DIM(a, 0) != states || !PyArray_ISBEHAVED_RO(a)) return 0;
    return copy_integers(block_of(a), 1, states, c->idx + at, &bounds) && bounds.low >= 0 &&
           bounds.high < c->n_actions;
}

static PyObject *quick_learn(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Call *c = call_of(self);
    PyObject *given[LEARN_KEYWORDS] = {NULL}, *deltas = NULL;
    const int acts = c && (c->learn_takes & 1 << L_ACTIONS);
    if (!c || n > (acts ? 3 : 2)) goto elsewhere;
    for (Py_ssize_t i = 0; i < n; i++) given[acts ? i : i ? L_REWARDS : L_X] = args[i];
    unsigned have = 0;
    if (!take_keywords(args, n, names, learn_keywords, LEARN_KEYWORDS, given, &have)) goto elsewhere;
    have = 0; /* None is not given */
    for (int i = 0; i < LEARN_KEYWORDS; i++) have |= given[i] && given[i] != Py_None ? 1u << i : 0u;
    if ((have & ~(unsigned)c->learn_takes) || ((unsigned)c->learn_needs & ~have)) goto elsewhere;

    ft_stream s;
    int64_t entries, at = free_of(c);
    memset(&s, 0, sizeof s);
    const int64_t states = take_rows(c, given[L_X], at, &entries, &s), steps = states - 1;
    if (steps < 1) goto elsewhere;
    const double work =
        (double)steps * 100.0 + (s.shared ? 5.0 : 20.0) * (double)entries * (double)c->columns;
    if (work > LONG || c->tells) goto elsewhere; /* SwiftTD's grows with its list */
    double gamma = c->gamma, lambda = c->lambda, alpha = c->alpha, rho = 1.0, interest = 1.0, pi = 1.0;
    double sigma = 1.0, reward = 0.0, lambda_actor = c->lambda_actor, alpha_actor = c->alpha_actor;
    int64_t reward_stride;
    if (!series(given[L_REWARDS], steps, 0, FINITE, &reward, &s.rewards, &reward_stride) ||
        !reward_stride || !series(given[L_GAMMAS], steps, 0, UNIT, &gamma, &s.gammas, &s.gamma_stride) ||
        !series(given[L_LAMBDAS], steps, 0, UNIT, &lambda, &s.lambdas, &s.lambda_stride) ||
        !series(given[L_ALPHA], steps, 0, POSITIVE, &alpha, &s.alphas, &s.alpha_stride) ||
        !series(given[L_RHOS], steps, 1, RATIO, &rho, &s.rhos, &s.rho_stride) ||
        !series(given[L_INTERESTS], steps, 0, RATIO, &interest, &s.interests, &s.interest_stride) ||
        !series(given[L_PI], steps, 1, UNIT, &pi, &s.pis, &s.pi_stride) ||
        !series(given[L_SIGMAS], steps, 1, UNIT, &sigma, &s.sigmas, &s.sigma_stride) ||
        !series(given[L_LAMBDAS_ACTOR], steps, 0, UNIT, &lambda_actor, &s.actor_lambdas,
                &s.actor_lambda_stride) ||
        !series(given[L_ALPHA_ACTOR], steps, 0, POSITIVE, &alpha_actor, &s.actor_alphas,
                &s.actor_alpha_stride))
        goto elsewhere;
    if (given[L_PI])
        for (int64_t t = 0; t < steps; t++) {
            const double p = s.pis[t * s.pi_stride], r = s.rhos[t * s.rho_stride];
            if ((p > 0.0) != (r > 0.0) || p > r) goto elsewhere;
        }
    if (!(c->learn_takes & 1 << L_RHOS)) s.rhos = NULL;
    if (!(c->learn_takes & 1 << L_INTERESTS)) s.interests = NULL;
    if (!given[L_PI]) s.pis = NULL;
    if (isnan(lambda_actor) && !s.actor_lambda_stride) {
        s.actor_lambdas = s.lambdas;
        s.actor_lambda_stride = s.lambda_stride;
    }
    s.steps = steps;
    s.n_actions = c->n_actions;
    s.options = c->stream.options;
    if (acts) {
        const int64_t shape[2] = {states, c->n_actions};
        if (s.checked) at += entries;
        if (!make_room(c, at + states) || !take_actions(c, given[L_ACTIONS], states, at)) goto elsewhere;
        if (s.checked) s.indices = c->idx + at - entries;
        if (have & 1 << L_TARGET_POLICY) {
            s.pi = doubles_of(given[L_TARGET_POLICY], 2, shape);
            if (!s.pi || !call_ft_are_policies(s.pi, states, c->n_actions)) goto elsewhere;
        }
        s.actions = c->idx + at;
        s.target = c->target;
        s.policy = c->policy;
        s.parameter = c->parameter;
        s.q = c->work;
    }
    npy_intp length = (npy_intp)steps;
    if (!(deltas = PyArray_SimpleNew(1, &length, NPY_DOUBLE))) return NULL;
    double *out = PyArray_DATA((PyArrayObject *)deltas);
    int32_t status;
    if (work > BRIEF) {
        hold(c);
        PyThreadState *state = PyEval_SaveThread();
        status = run(c, &s, out);
        PyEval_RestoreThread(state);
        let_go(c);
    } else {
        status = run(c, &s, out);
    }
    if (status == FT_OK) return deltas;
    Py_DECREF(deltas); /* nothing has changed: what was wrong is looked up */
elsewhere:
    return general(self, general_learn, args, n, names);
}

#endif
