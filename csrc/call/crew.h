/* The steps of many agents, each of which does what its own quick methods do. */
#ifndef FT_CALL_CREW_H
#define FT_CALL_CREW_H

#include "learner.h"
#include "stream.h"

/* What an agent has taken: the state arrived in, and that in which its episode was cut. */
typedef struct {
    Call *c;
    Row next, last;
    int has_last, begins, terminated, truncated;
} Member;

/* bool (n,), or none. */
static int flags_of(PyObject *o, int64_t n, const npy_bool **flags) {
    *flags = NULL;
    if (o == Py_None) return 1;
    if (!PyArray_CheckExact(o)) return 0;
    PyArrayObject *a = (PyArrayObject *)o;
    if (PyArray_TYPE(a) != NPY_BOOL || PyArray_NDIM(a) != 1 || PyArray_DIM(a, 0) != n || !PyArray_ISCARRAY_RO(a))
        return 0;
    *flags = PyArray_DATA(a);
    return 1;
}

/* Whether x is an array with something for each of n agents. */
static int is_of_all(PyObject *x, int64_t n) {
    PyArrayObject *a = (PyArrayObject *)x;
    return PyArray_CheckExact(x) && PyArray_NDIM(a) > 1 && PyArray_DIM(a, 0) == n && PyArray_ISBEHAVED_RO(a);
}

/* Let an agent come to where it has been brought: its next action, 0 where it has none, -1 where an error is set. */
static long long move(Member *m, double reward) {
    Call *const c = m->c;
    if (!m->begins) {
        if (!m->terminated && !m->truncated) {
            const long long action = go_to(c, &m->next, reward, c->gamma);
            if (action >= 0) keep(c, &m->next, free_of(c), action);
            return action >= 0 && tell_arrival(c) ? action : -1;
        }
        const int64_t at = free_of(c) + (m->has_last ? m->last.k * rows_of(c) : 0);
        if (m->terminated) {
            if (!finish(c, reward)) return -1;
        } else if (go_to(c, m->has_last ? &m->last : &m->next, reward, c->gamma) < 0 || !cut_off(c)) {
            return -1;
        }
        return m->has_last ? begin(c, &m->next, at) : 0;
    }
    return begin(c, &m->next, free_of(c));
}

/* crew_step(agents, rewards, x, terminated, truncated, x_final, actions) -> whether it was done: each agent of the
 * list has gone on, and its next action stands in actions (n,) int64.  Else nothing has changed, and Python's way
 * says what is wrong, or does it.  rewards None: all begin. */
static PyObject *crew_step(PyObject *module, PyObject *const *args, Py_ssize_t n_args) {
    (void)module;
    if (n_args != 7 || !PyList_CheckExact(args[0])) Py_RETURN_FALSE;
    PyObject *const agents = args[0], *const x = args[2], *const x_final = args[5];
    const int64_t n = PyList_Size(agents);
    const int anew = args[1] == Py_None;
    const double *rewards = anew ? NULL : doubles_of(args[1], 1, &n);
    const npy_bool *terminated, *truncated;
    if ((!anew && !rewards) || !is_of_all(x, n) || (x_final != Py_None && !is_of_all(x_final, n)) ||
        !flags_of(args[3], n, &terminated) || !flags_of(args[4], n, &truncated))
        Py_RETURN_FALSE;
    int64_t *const actions = PyArray_DATA((PyArrayObject *)args[6]);
    Member *const members = PyMem_Malloc((size_t)n * sizeof *members);
    if (!members) return PyErr_NoMemory();
    int64_t i = 0;
    for (; i < n; i++) {
        Member *const m = members + i;
        Call *const c = m->c = call_of(PyList_GetItem(agents, (Py_ssize_t)i));
        if (!c || may_draw(c) <= 0) break;
        m->begins = anew || !c->acts;
        m->terminated = !m->begins && terminated && terminated[i];
        m->truncated = !m->begins && truncated && truncated[i];
        m->has_last = x_final != Py_None && (m->terminated || m->truncated);
        if (!m->begins && !isfinite(rewards[i])) break;
        const int64_t at = free_of(c);
        m->last.k = 0;
        if (m->has_last && !take_nth(c, (PyArrayObject *)x_final, i, at, &m->last)) break;
        if (!take_nth(c, (PyArrayObject *)x, i, at + m->last.k * rows_of(c), &m->next)) break;
    }
    if (i < n) {
        PyMem_Free(members);
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
    }
    for (i = 0; i < n; i++)
        if ((actions[i] = move(members + i, anew ? 0.0 : rewards[i])) < 0) break;
    PyMem_Free(members);
    return i < n ? NULL : Py_NewRef(Py_True);
}

/* crew_act(agents, x, actions) -> whether the greedy action of each stands in actions (n,) int64. */
static PyObject *crew_act(PyObject *module, PyObject *const *args, Py_ssize_t n_args) {
    (void)module;
    if (n_args != 3 || !PyList_CheckExact(args[0]) || !is_of_all(args[1], PyList_Size(args[0]))) Py_RETURN_FALSE;
    int64_t *const actions = PyArray_DATA((PyArrayObject *)args[2]);
    for (Py_ssize_t i = 0; i < PyList_Size(args[0]); i++) {
        Row x;
        Call *const c = call_of(PyList_GetItem(args[0], i));
        if (!c || !take_nth(c, (PyArrayObject *)args[1], i, free_of(c), &x) || !lay(c, free_of(c), &x, &x, NULL))
            return PyErr_Occurred() ? NULL : Py_NewRef(Py_False);
        if ((actions[i] = greedy(c)) < 0) return NULL;
    }
    Py_RETURN_TRUE;
}

#endif
