/* What quick methods share: kernels, arguments by name, and the way to Python. */
#ifndef FT_CALL_METHODS_H
#define FT_CALL_METHODS_H

#include "features.h"

/* ---- the kernels ---------------------------------------------------------------------------- */

static void *memory(long long address) { return (void *)(uintptr_t)address; }

static int32_t run(Call *c, const ft_stream *s, double *deltas) {
    switch (c->family) {
        case TD: return call_ft_td_run(memory(c->trace), (int32_t)c->kind, s, deltas);
        case GRADIENT: return call_ft_gradient_run(memory(c->trace), c->beta, s, deltas);
        case GQ: return call_ft_gq_run(memory(c->trace), c->beta, s, deltas);
        case ADAPTIVE: return call_ft_adaptive_run(memory(c->trace), (int32_t)c->kind, s, deltas);
        case ACTOR_CRITIC: return call_ft_actor_critic_run(memory(c->trace), s, deltas);
        case LSTD: return call_ft_lstd_run(memory(c->trace), s, 0) == 1 ? FT_OK : FT_EVALUE; /* one step */
        default: return FT_EVALUE;
    }
}

/* x.w by the w that least squares have solved for; FT_EVALUE where they have not yet. */
static int32_t read_solution(const Call *c, double *out) {
    const ft_stream *s = &c->stream;
    PyObject *solution = PyObject_GetAttr(c->owner, name_solution);
    if (!solution) PyErr_Clear();
    Py_XDECREF(solution); /* its owner has it */
    if (!solution || !PyArray_CheckExact(solution) || s->shared) return FT_EVALUE; /* dense ones are BLAS's */
    const double *w = PyArray_DATA((PyArrayObject *)solution);
    *out = 0.0;
    for (int64_t j = 0; j < s->k; j++)
        if (s->indices[j] >= 0) *out += s->values ? w[s->indices[j]] * s->values[j] : w[s->indices[j]];
    return FT_OK;
}

/* What a state is worth, or its actions are.  actor: of an actor-critic, by which it acts. */
static int32_t read_values(Call *c, int actor, double *out) {
    const ft_stream *s = &c->stream;
    const int64_t rows = rows_of(c);
    switch (c->family) {
        case TD: return call_ft_values(memory(c->trace), s, rows, out);
        case GRADIENT:
        case GQ: return call_ft_gradient_values(memory(c->trace), s, rows, out);
        case ADAPTIVE: return call_ft_adaptive_values(memory(c->trace), s, rows, out);
        case ACTOR_CRITIC:
            if (actor) return call_ft_values(memory(c->actor), s, rows, out);
            return call_ft_values(((ft_actor_critic *)memory(c->trace))->critic, s, rows, out);
        case LSTD: return read_solution(c, out);
        default: return FT_EVALUE;
    }
}

static PyObject *failed(const char *what, int32_t status) {
    return PyErr_Format(PyExc_RuntimeError, "%s returned status %d; its results are not to be used", what,
                        (int)status);
}

/* SwiftTD's bound takes in the state arrived in, when somebody asks for it: the owner asks arrival(). */
static int tell_arrival(Call *c) {
    if (!c->tells) return 1;
    c->arrived_at = ((const ft_adaptive *)memory(c->trace))->step;
    if (c->told) return 1;
    hold(c);
    c->told = PyObject_SetAttr(c->owner, name_arrived, (PyObject *)c) == 0;
    const int told = c->told;
    let_go(c);
    return told;
}

static void keep(Call *c, const Row *next, int64_t at, long long action) {
    const size_t entries = (size_t)(next->k * rows_of(c));
    if (at) {
        memmove(c->idx, c->idx + at, entries * sizeof *c->idx);
        if (next->form != BINARY) memmove(c->val, c->val + at, entries * sizeof *c->val);
    }
    c->kept = *next;
    c->acts = 1;
    c->action = action;
}

/* ---- methods -------------------------------------------------------------------------------- */

/* Base of what has quick methods; _call is a Call, or None where there is no quick way. */
typedef struct {
    PyObject_HEAD
    PyObject *call;
} Quick;

static Call *call_of(PyObject *self) {
    PyObject *call = ((Quick *)self)->call;
    if (!call || Py_TYPE(call) != call_type) return NULL;
    Call *c = (Call *)call;
    if (c->lock && ((Lock *)c->lock)->held) return NULL; /* Python's way says who may look, and who not */
    return c;
}

/* The method as Python has it. */
static PyObject *general(PyObject *self, PyObject *name, PyObject *const *args, Py_ssize_t n,
                         PyObject *names) {
    PyObject *method = PyObject_GetAttr(self, name), *keywords = NULL, *result = NULL;
    if (!method) return NULL;
    PyObject *tuple = PyTuple_New(n);
    if (!tuple) goto done;
    for (Py_ssize_t i = 0; i < n; i++) PyTuple_SetItem(tuple, i, Py_NewRef(args[i]));
    if (names) {
        keywords = PyDict_New();
        for (Py_ssize_t i = 0; keywords && i < PyTuple_Size(names); i++)
            if (PyDict_SetItem(keywords, PyTuple_GetItem(names, i), args[n + i]) != 0) goto done;
        if (!keywords) goto done;
    }
    result = PyObject_Call(method, tuple, keywords);
done:
    Py_XDECREF(tuple);
    Py_XDECREF(keywords);
    Py_DECREF(method);
    return result;
}

/* Arguments by their names; the first ones may stand without. */
enum { X, REWARD, X_NEXT, GAMMA, LAMBDA, RHO, ALPHA, INTEREST, PI, KEYWORDS };
static const char *const keyword_names[KEYWORDS] = {"x",   "reward", "x_next",   "gamma", "lambda_",
                                                    "rho", "alpha",  "interest", "pi"};
static PyObject *keywords[KEYWORDS];
/* Of learners with networks. */
static const char *const net_keyword_names[KEYWORDS] = {"s",   "reward", "s_next",   "gamma", "lambda_",
                                                        "rho", "alpha",  "interest", "pi"};
static PyObject *net_keywords[KEYWORDS];

#define METHODS(M) M(update) M(learn) M(predict) M(q) M(act) M(start) M(step) M(end) M(truncate) M(__call__)
#define DECLARE_NAME(name) static PyObject *general_##name;
METHODS(DECLARE_NAME)

/* Whether the arguments that follow the `n` first ones, by name, are such; each goes to its place, and its bit
 * to `have`. */
static int take_keywords(PyObject *const *args, Py_ssize_t n, PyObject *names, PyObject *const *known,
                         int count, PyObject **given, unsigned *have) {
    const Py_ssize_t count_given = names ? PyTuple_Size(names) : 0;
    for (Py_ssize_t i = 0; i < count_given; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        int place = 0;
        while (place < count && name != known[place]) place++;
        if (place == count || given[place]) return 0; /* unknown, or not interned, or there already */
        given[place] = args[n + i];
        *have |= 1u << place;
    }
    return 1;
}

#define OPTIONAL(place, name) (!given[place] || given[place] == Py_None || number(given[place], &name))

/* Whether a number may be drawn: no other thread is at the generator.  -1 where an error is set. */
static int may_draw(const Call *c) {
    if (!c->bits || !c->guarded) return c->bits != NULL;
    PyObject *got = PyObject_CallFunctionObjArgs(c->acquire, Py_False, NULL);
    if (!got) return -1;
    const int may = got == Py_True;
    Py_DECREF(got);
    if (!may) return 0;
    PyObject *none = PyObject_CallNoArgs(c->release);
    if (!none) return -1;
    Py_DECREF(none);
    return 1;
}

#endif
