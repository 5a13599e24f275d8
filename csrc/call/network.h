/* Learners with networks: update and step. */
#ifndef FT_CALL_NETWORK_H
#define FT_CALL_NETWORK_H

#include "methods.h"

/* trace and actor are heads, of float32 where kind is 32; n numbers are a state's.  What a step begins with
 * that Python keeps is asked of it, which is little beside a network's work. */

static ft_network_stream *net_stream(const Call *c) { return memory(c->network); }

static int32_t net_run(const Call *c) {
    ft_network_stream *s = net_stream(c);
    return c->kind == 32 ? call_ft_network_run_f32(memory(c->trace), memory(c->actor), s)
                         : call_ft_network_run_f64(memory(c->trace), memory(c->actor), s);
}

/* The same, and in that time others may run where it is long. */
static int32_t net_run_held(Call *c) {
    int32_t status;
    if (!c->slow) return net_run(c);
    PyThreadState *state = PyEval_SaveThread();
    status = net_run(c);
    PyEval_RestoreThread(state);
    return status;
}

/* Numbers of one state, from `at` on. */
static int take_state(Call *c, PyObject *s, int64_t at) {
    int64_t n = c->n;
    return take_values(c, s, at, &n);
}

/* Lay a step from the states in c->val; what a learner does not change is filled in already. */
static ft_network_stream *lay_step(Call *c, const double *reward, const double *gamma, const double *lambda,
                                   double *delta) {
    ft_network_stream *s = net_stream(c);
    s->steps = 1;
    s->choose = s->ends = s->done = 0;
    s->states = c->val;
    s->rewards = reward;
    s->gammas = gamma;
    s->lambdas = lambda;
    s->gamma_step = s->gamma_output = s->lambda_step = s->lambda_output = 0;
    s->moves = NULL;
    s->actions = NULL;
    s->inputs = NULL;
    s->deltas = delta;
    return s;
}

/* Whether all parameters can be written: some are arrays of the user's. */
static int may_write(const Call *c) {
    for (Py_ssize_t i = 0; i < PyTuple_Size(c->params); i++)
        if (!PyArray_ISWRITEABLE((PyArrayObject *)PyTuple_GetItem(c->params, i))) return 0;
    return 1;
}

/* A step against stale traces, which the learner's _one_step makes of what is laid here: at `raw` two states,
 * at `network` rewards, gammas and lambdas by the output, its errors, and rho, or of one that acts the number
 * that it draws by; the state that such a one is in stands at `actor`.  0: nothing has changed, for a
 * fault; -1: an error is set. */
static int remedy_run(PyObject *self, Call *c, const double *rewards, double gamma, double lambda, double rho,
                      int ends, double *deltas) {
    const int64_t m = c->columns;
    double *const numbers = memory(c->network);
    for (int64_t i = 0; i < 2 * c->n; i++) {
        const double x = ends && i >= c->n ? 0.0 : c->val[i];
        if (c->kind == 32)
            ((float *)memory(c->raw))[i] = (float)x;
        else
            ((double *)memory(c->raw))[i] = x;
    }
    for (int64_t j = 0; j < m; j++) {
        numbers[j] = rewards[j];
        numbers[m + j] = gamma;
        numbers[2 * m + j] = lambda;
    }
    numbers[4 * m] = rho;
    PyObject *done = PyObject_CallMethodObjArgs(self, name_one_step, NULL);
    if (!done) return -1;
    const int learned = done == Py_True;
    Py_DECREF(done);
    memcpy(deltas, numbers + 3 * m, (size_t)m * sizeof *deltas);
    return learned;
}

static PyObject *net_update(PyObject *self, Call *c, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    PyObject *given[KEYWORDS] = {NULL}, *deltas = NULL;
    double reward, delta, gamma = c->gamma, lambda = c->lambda, rho = 1.0;
    int64_t m = c->columns;
    npy_intp outputs = (npy_intp)m;
    if (n > 3 || !may_write(c)) goto elsewhere;
    for (Py_ssize_t i = 0; i < n; i++) given[i] = args[i];
    unsigned have = (1u << n) - 1;
    if (!take_keywords(args, n, names, net_keywords, KEYWORDS, given, &have)) goto elsewhere;
    if ((have & ~(unsigned)c->takes) || ((unsigned)c->needs & ~have)) goto elsewhere;
    if (!OPTIONAL(GAMMA, gamma) || !OPTIONAL(LAMBDA, lambda) || !is_unit(gamma) || !is_unit(lambda))
        goto elsewhere;
    if (given[RHO] && !(number(given[RHO], &rho) && is_ratio(rho))) goto elsewhere;
    const int ends = given[X_NEXT] == Py_None;
    if (!make_room(c, 2 * c->n + m) || !take_state(c, given[X], 0)) goto elsewhere;
    if (ends ? gamma != 0.0 : !take_state(c, given[X_NEXT], c->n)) goto elsewhere;
    if (m > 1 ? !take_values(c, given[REWARD], 2 * c->n, &m)
              : !number(given[REWARD], &reward) || !isfinite(reward))
        goto elsewhere;
    if (m > 1 && !(deltas = PyArray_SimpleNew(1, &outputs, NPY_DOUBLE))) return NULL;
    double *const out = deltas ? PyArray_DATA((PyArrayObject *)deltas) : &delta;
    const double *const rewards = m > 1 ? c->val + 2 * c->n : &reward;
    int learned;
    hold(c);
    if (c->family == REMEDY) {
        learned = remedy_run(self, c, rewards, gamma, lambda, rho, ends, out);
    } else {
        lay_step(c, rewards, &gamma, &lambda, out)->ends = ends;
        learned = net_run_held(c) == FT_OK;
    }
    let_go(c);
    if (learned > 0) return deltas ? deltas : PyFloat_FromDouble(delta);
    Py_XDECREF(deltas);
    if (learned < 0) return NULL;
elsewhere: /* also after a fault: all is as it was, and what was not finite is told */
    return general(self, general_update, args, n, names);
}

static int set_number(PyObject *self, PyObject *name, PyObject *value) {
    if (!value) return 0;
    const int done = PyObject_SetAttr(self, name, value) == 0;
    Py_DECREF(value);
    return done;
}

/* An attribute as an integer; -1 where an error is set. */
static long long integer_of(PyObject *self, PyObject *name) {
    PyObject *value = PyObject_GetAttr(self, name);
    if (!value) return -1;
    const long long found = PyLong_AsLongLong(value);
    Py_DECREF(value);
    return found;
}

/* The policy of now: (name, parameter). */
static int net_policy(PyObject *self, ft_network_stream *s) {
    PyObject *own = PyObject_GetAttr(self, name_own);
    if (!own) return 0;
    PyObject *kind = PyTuple_GetItem(own, 0), *parameter = PyTuple_GetItem(own, 1);
    if (kind && parameter) {
        s->policy = PyUnicode_CompareWithASCIIString(kind, "softmax") == 0 ? FT_SOFTMAX : FT_EPSILON_GREEDY;
        s->parameter = PyFloat_AsDouble(parameter);
    }
    Py_DECREF(own);
    return !PyErr_Occurred();
}

/* The Call is held: what is asked of Python lets other threads run.  NULL without an error: not taken here. */
static PyObject *net_step(PyObject *self, Call *c, PyObject *reward_given, PyObject *x,
                          PyObject *gamma_given) {
    double reward, delta, gamma = c->gamma;
    PyObject *pending, *generator;
    if (c->n_actions == 0 || !may_write(c) || !number(reward_given, &reward) || !isfinite(reward))
        return NULL;
    if (gamma_given && gamma_given != Py_None && !number(gamma_given, &gamma)) return NULL;
    if (!is_unit(gamma) || !make_room(c, 2 * c->n) || !take_state(c, x, c->n)) return NULL;
    if (integer_of(self, name_acting) != 1 || !(pending = PyObject_GetAttr(self, name_number))) return NULL;
    Py_DECREF(pending);
    if (pending != Py_None || !(generator = PyObject_GetAttr(self, name_generator))) return NULL;
    Py_DECREF(generator);
    if (generator != c->generator || may_draw(c) != 1) return NULL;
    memcpy(c->val, memory(c->family == REMEDY ? c->actor : c->raw), (size_t)c->n * sizeof *c->val);
    if (c->family == REMEDY) {
        const double u = c->bits->next_double(c->bits->state);
        const int learned = remedy_run(self, c, &reward, gamma, c->lambda, u, 0, &delta);
        if (learned > 0) return PyObject_GetAttr(self, name_action);
        if (learned == 0) set_number(self, name_number, PyFloat_FromDouble(u));
        return NULL;
    }
    ft_network_stream *s = lay_step(c, &reward, &gamma, &c->lambda, &delta);
    s->choose = 1;
    s->action = integer_of(self, name_action);
    s->was_greedy = integer_of(c->owner, name_was_greedy);
    if (PyErr_Occurred() || !net_policy(self, s)) return NULL;
    s->u = c->bits->next_double(c->bits->state);
    if (net_run_held(c) != FT_OK) { /* all is as it was, but for the number, which is not drawn again */
        set_number(self, name_number, PyFloat_FromDouble(s->u));
        return NULL;
    }
    if (!set_number(self, name_action, PyLong_FromLongLong(s->action_next)) ||
        !set_number(c->owner, name_was_greedy, PyBool_FromLong(s->was_greedy != 0)))
        return NULL;
    if (c->counts) {
        const long long decisions = integer_of(self, name_decisions);
        if (PyErr_Occurred() || !set_number(self, name_decisions, PyLong_FromLongLong(decisions + 1)))
            return NULL;
    }
    return PyLong_FromLongLong(s->action_next);
}

#endif
