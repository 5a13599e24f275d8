/* Linear learners: update, predict, q, act, and the steps of agents; and coders. */
#ifndef FT_CALL_LEARNER_H
#define FT_CALL_LEARNER_H

#include "network.h"

/* What least squares have to do after a step: forget what was solved, and look after the inverse.  None. */
static PyObject *summed(Call *c) {
    PyObject *done = PyObject_SetAttr(c->owner, name_solution, Py_None) == 0 ? Py_NewRef(Py_None) : NULL;
    if (done && ((ft_lstd *)memory(c->trace))->stale == 1) {
        Py_DECREF(done);
        hold(c);
        done = PyObject_CallMethodObjArgs(c->owner, name_invert, NULL);
        let_go(c);
    }
    return done;
}

static PyObject *quick_update(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Call *c = call_of(self);
    PyObject *given[KEYWORDS] = {NULL};
    if (c && (c->family == NETWORK || c->family == REMEDY)) return net_update(self, c, args, n, names);
    if (!c || n > 3) goto elsewhere;
    for (Py_ssize_t i = 0; i < n; i++) given[i] = args[i];
    unsigned have = (1u << n) - 1;
    if (!take_keywords(args, n, names, keywords, KEYWORDS, given, &have)) goto elsewhere;
    if ((have & ~(unsigned)c->takes) || ((unsigned)c->needs & ~have)) goto elsewhere;
    double reward, gamma = c->gamma, lambda = c->lambda, alpha = c->alpha, rho = 1.0, interest = 1.0,
                   pi = 1.0;
    if (!number(given[REWARD], &reward) || !OPTIONAL(GAMMA, gamma) || !OPTIONAL(LAMBDA, lambda) ||
        !OPTIONAL(ALPHA, alpha) || (given[RHO] && !number(given[RHO], &rho)) ||
        (given[INTEREST] && !number(given[INTEREST], &interest)) || (given[PI] && !number(given[PI], &pi)))
        goto elsewhere;
    if (!isfinite(reward) || !is_unit(gamma) || !is_unit(lambda) || !is_ratio(rho) || !is_ratio(interest) ||
        !(is_ratio(alpha) && alpha > 0.0))
        goto elsewhere;
    if (given[PI] && !(is_unit(pi) && (pi > 0.0) == (rho > 0.0) && pi <= rho)) goto elsewhere;
    Row x, next = {0, BINARY, 0};
    const int64_t at = free_of(c);
    if (!take(c, given[X], at, &x)) goto elsewhere;
    if (given[X_NEXT] == Py_None) {
        if (gamma != 0.0) goto elsewhere;
    } else if (!take(c, given[X_NEXT], at + x.k, &next)) {
        goto elsewhere;
    }
    int64_t indptr[3];
    double delta;
    if (!lay(c, at, &x, &next, indptr)) return PyErr_NoMemory();
    ft_stream *const s = &c->stream;
    s->rewards = &reward;
    s->gammas = &gamma;
    s->lambdas = &lambda;
    s->alphas = &alpha;
    s->rhos = c->takes & 1 << RHO ? &rho : NULL;
    s->interests = c->takes & 1 << INTEREST ? &interest : NULL;
    s->pis = given[PI] ? &pi : NULL;
    const int32_t status = run(c, s, &delta);
    if (status != FT_OK) return failed("update", status);
    if (c->family == LSTD) return summed(c);
    if (c->tells) {
        keep(c, &next, at + x.k, 0);
        if (!tell_arrival(c)) return NULL;
    }
    return PyFloat_FromDouble(delta);
elsewhere:
    return general(self, general_update, args, n, names);
}

/* One state from behind the one that is kept, if it is all that was given. */
static Call *one_state(PyObject *self, Py_ssize_t n, PyObject *const *args, PyObject *names, Row *x) {
    Call *c = n == 1 && !names ? call_of(self) : NULL;
    return c && take(c, args[0], free_of(c), x) && lay(c, free_of(c), x, x, NULL) ? c : NULL;
}

static PyObject *quick_predict(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Row x;
    double v;
    Call *c = n == 1 && is_ragged(args[0]) ? NULL : one_state(self, n, args, names, &x); /* a stream */
    if (!c) return general(self, general_predict, args, n, names);
    const int32_t status = read_values(c, 0, &v);
    if (status == FT_OK) return PyFloat_FromDouble(v);
    return c->family == LSTD ? general(self, general_predict, args, n, names) : failed("predict", status);
}

static PyObject *quick_q(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Row x;
    Call *c = n == 1 && is_ragged(args[0]) ? NULL : one_state(self, n, args, names, &x);
    if (!c) return general(self, general_q, args, n, names);
    npy_intp size = (npy_intp)c->n_actions;
    PyObject *q = PyArray_SimpleNew(1, &size, NPY_DOUBLE);
    if (!q) return NULL;
    const int32_t status = read_values(c, 1, PyArray_DATA((PyArrayObject *)q));
    if (status == FT_OK) return q;
    Py_DECREF(q);
    return failed("q", status);
}

/* The greedy action in the state that is laid out; -1 where an error is set. */
static long long greedy(Call *c) {
    const int32_t status = read_values(c, 1, c->work);
    long long best = 0; /* the first of those that tie; as NumPy has it, what is no number is the largest */
    if (status != FT_OK) {
        failed("act", status);
        return -1;
    }
    for (long long a = 1; a < c->n_actions && c->work[best] == c->work[best]; a++)
        if (!(c->work[a] <= c->work[best])) best = a;
    return best;
}

static PyObject *quick_act(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Row x;
    Call *c = one_state(self, n, args, names, &x);
    if (!c) return general(self, general_act, args, n, names);
    const long long best = greedy(c);
    return best < 0 ? NULL : PyLong_FromLongLong(best);
}

/* The agent's choice in the state that is laid out; -1 where an error is set. */
static long long choose(Call *c) {
    const int32_t status = read_values(c, 1, c->work);
    if (status != FT_OK) {
        failed("choosing", status);
        return -1;
    }
    const double u = c->bits->next_double(c->bits->state);
    return (c->policy == FT_SOFTMAX ? call_ft_softmax : call_ft_epsilon_greedy)(c->work, c->n_actions,
                                                                                c->parameter, u);
}

/* Learn from the last action; `next` stands behind what is kept. */
static int learn_step(Call *c, const Row *next, long long action, double reward, double gamma) {
    int64_t indptr[2 * MOST_ACTIONS + 1];
    if (!lay(c, 0, &c->kept, next, indptr)) {
        PyErr_NoMemory();
        return 0;
    }
    const int32_t actions[2] = {(int32_t)c->action, (int32_t)action};
    const double lambda_actor = isnan(c->lambda_actor) ? c->lambda : c->lambda_actor;
    double delta;
    ft_stream *const s = &c->stream;
    s->rewards = &reward;
    s->gammas = &gamma;
    s->lambdas = &c->lambda;
    s->alphas = &c->alpha;
    s->sigmas = &c->sigma;
    s->actor_lambdas = &lambda_actor;
    s->actor_alphas = &c->alpha_actor;
    s->actions = actions;
    s->policy = c->policy;
    s->parameter = c->parameter;
    const int32_t status = run(c, s, &delta);
    if (status == FT_OK) return 1;
    failed("a step", status);
    return 0;
}

/* The Call is held where the owner, which is Python, is told of it. */
static int end_stream(Call *c) {
    c->acts = 0;
    switch (c->family) {
        case TD: call_ft_trace_reset(memory(c->trace)); return 1;
        case GRADIENT:
        case GQ: call_ft_gradient_reset(memory(c->trace)); return 1;
        case ACTOR_CRITIC: call_ft_actor_critic_reset(memory(c->trace)); return 1;
        default:
            call_ft_adaptive_reset(memory(c->trace), (int32_t)c->kind);
            return !c->tells || PyObject_SetAttr(c->owner, name_arrived, Py_None) == 0;
    }
}

/* Begin an episode in a state that has been taken; the first action, or -1 where an error is set. */
static long long begin(Call *c, const Row *x, int64_t at) {
    hold(c);
    const long long action = end_stream(c) && lay(c, at, x, x, NULL) ? choose(c) : -1;
    if (action >= 0) keep(c, x, at, action);
    let_go(c);
    return action;
}

static PyObject *quick_start(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Row x;
    Call *c = one_state(self, n, args, names, &x);
    const int may = c ? may_draw(c) : 0;
    if (may <= 0) return may < 0 ? NULL : general(self, general_start, args, n, names);
    const long long action = begin(c, &x, free_of(c));
    return action < 0 ? NULL : PyLong_FromLongLong(action);
}

/* Choose in the state that has been taken, and learn from having come there: the action, or -1 where an error
 * is set. */
static long long go_to(Call *c, const Row *next, double reward, double gamma) {
    if (!lay(c, free_of(c), next, next, NULL)) {
        PyErr_NoMemory();
        return -1;
    }
    const long long action = choose(c);
    return action >= 0 && !learn_step(c, next, action, reward, gamma) ? -1 : action;
}

/* What step and truncate share: take the state arrived in, choose there, and learn.  The action, -1 where
 * an error is set, or -2 where the arguments are not such as are taken here. */
static long long arrive(Call *c, PyObject *reward_given, PyObject *x, PyObject *gamma_given, Row *next) {
    double reward, gamma = c->gamma;
    if (!number(reward_given, &reward) ||
        (gamma_given && gamma_given != Py_None && !number(gamma_given, &gamma)))
        return -2;
    if (!isfinite(reward) || !is_unit(gamma) || !take(c, x, free_of(c), next)) return -2;
    const int may = may_draw(c);
    if (may <= 0) return may < 0 ? -1 : -2;
    return go_to(c, next, reward, gamma);
}

static PyObject *quick_step(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Call *c = call_of(self);
    PyObject *given[KEYWORDS] = {NULL};
    Row next;
    const int network = c && (c->family == NETWORK || c->family == REMEDY);
    if (!c || n > 2 || !(c->acts || network)) goto elsewhere;
    unsigned have = n > 1 ? 1u << REWARD | 1u << X : n > 0 ? 1u << REWARD : 0u;
    if (n > 0) given[REWARD] = args[0];
    if (n > 1) given[X] = args[1];
    if (!take_keywords(args, n, names, network ? net_keywords : keywords, KEYWORDS, given, &have))
        goto elsewhere;
    if ((have | 1u << GAMMA) != (1u << REWARD | 1u << X | 1u << GAMMA)) goto elsewhere;
    if (network) {
        hold(c);
        PyObject *taken = net_step(self, c, given[REWARD], given[X], given[GAMMA]);
        let_go(c);
        if (taken || PyErr_Occurred()) return taken;
        goto elsewhere;
    }
    const long long action = arrive(c, given[REWARD], given[X], given[GAMMA], &next);
    if (action == -2) goto elsewhere;
    if (action < 0) return NULL;
    keep(c, &next, free_of(c), action);
    return tell_arrival(c) ? PyLong_FromLongLong(action) : NULL;
elsewhere:
    return general(self, general_step, args, n, names);
}

static int cut_off(Call *c) {
    hold(c);
    const int ended = end_stream(c);
    let_go(c);
    return ended;
}

static PyObject *quick_truncate(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Call *c = n == 2 && !names ? call_of(self) : NULL;
    Row next;
    const long long action = c && c->acts ? arrive(c, args[0], args[1], NULL, &next) : -2;
    if (action == -2) return general(self, general_truncate, args, n, names);
    return action >= 0 && cut_off(c) ? Py_NewRef(Py_None) : NULL;
}

static int finish(Call *c, double reward) {
    const Row none = {0, BINARY, 0};
    if (!learn_step(c, &none, 0, reward, 0.0)) return 0;
    c->acts = 0;
    return !c->tells || PyObject_SetAttr(c->owner, name_arrived, Py_None) == 0;
}

static PyObject *quick_end(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Call *c = n == 1 && !names ? call_of(self) : NULL;
    double reward;
    if (!c || !c->acts || !number(args[0], &reward) || !isfinite(reward))
        return general(self, general_end, args, n, names);
    return finish(c, reward) ? Py_NewRef(Py_None) : NULL;
}

/* n dimensions, n_actions tilings. */
static PyObject *quick___call__(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Call *c = n == 1 && !names ? call_of(self) : NULL;
    int64_t dims = c ? c->n : 0;
    if (!c || !take_values(c, args[0], 0, &dims)) return general(self, general___call__, args, n, names);
    npy_intp tilings = (npy_intp)c->n_actions;
    PyObject *idx = PyArray_SimpleNew(1, &tilings, NPY_INT32);
    if (!idx) return NULL;
    if (call_ft_tiles_encode(memory(c->trace), 1, c->val, PyArray_DATA((PyArrayObject *)idx)) == FT_OK)
        return idx;
    Py_DECREF(idx);
    return general(self, general___call__, args, n, names);
}

#endif
