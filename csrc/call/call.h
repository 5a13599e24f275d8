/* What the calls of a learner have to know, and who may use it. */
#ifndef FT_CALL_CALL_H
#define FT_CALL_CALL_H

#define Py_LIMITED_API 0x030B0000
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <Python.h>
#include <structmember.h>

#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>
#include <numpy/random/bitgen.h>

#include <math.h>
#include <string.h>

#include "fasttrace.h"
#include "lock.h"

/* ---- the kernels, by their addresses -------------------------------------------------------- */

#define KERNELS(X)                                                                                         \
    X(ft_td_run) X(ft_gradient_run) X(ft_gq_run) X(ft_adaptive_run) X(ft_actor_critic_run)                 \
    X(ft_values) X(ft_gradient_values) X(ft_adaptive_values)                                               \
    X(ft_trace_reset) X(ft_gradient_reset) X(ft_adaptive_reset) X(ft_actor_critic_reset)                   \
    X(ft_network_run_f32) X(ft_network_run_f64) X(ft_returns_run) X(ft_lstd_run)                                          \
    X(ft_epsilon_greedy) X(ft_softmax) X(ft_tiles_encode) X(ft_are_policies)

#define DECLARE(name) static __typeof__(name) *call_##name;
KERNELS(DECLARE)

/* ---- what a learner's calls have to know ---------------------------------------------------- */

#define FAMILIES(M) M(TD) M(GRADIENT) M(GQ) M(ADAPTIVE) M(ACTOR_CRITIC) M(TILES) M(NETWORK) M(LSTD) M(REMEDY)
#define FAMILY(name) name,
enum family { FAMILIES(FAMILY) };
enum form { BINARY, VALUED, DENSE };
enum { MOST = 1 << 16 }; /* entries of a state; more are rare, and Python's way is no loss */

/* Features of one state: `k` entries to a row, one row or one for each action. */
typedef struct {
    int64_t k;
    enum form form;
    int padded;
} Row;

/* Beside numbers and addresses this holds the memory that a call works in: the entries of two states, one
 * behind the other.  Of an agent the first is the state that it is in, kept from one call to the next. */
typedef struct {
    PyObject_HEAD
    PyObject *owner; /* the trace, or the coder: its memory is what `trace` points to */
    PyObject *lock, *generator, *acquire, *release; /* of the generator */
    bitgen_t *bits;
    long long family, trace, actor, kind, target, policy;
    long long n, columns, n_actions, pairs; /* pairs: the actions, where features are of state and action */
    long long takes, needs;                 /* keywords of update, bits by their place in `keywords` */
    long long learn_takes, learn_needs;     /* of learn */
    long long binary;                       /* features with values are refused */
    double gamma, lambda, alpha, beta, parameter, sigma, alpha_actor, lambda_actor;
    ft_stream stream; /* of one transition; what a learner does not change is filled in already */
    PyObject *params; /* of networks */
    long long network, raw, counts; /* ft_network_stream; the last state; whether decisions are counted */
    long long slow;                 /* a step of the network is too long to keep the GIL */
    int32_t *idx, *range;
    double *val, *work;
    int64_t room;
    Row kept;        /* of the state that an agent is in, or SwiftTD has arrived in */
    int acts;        /* whether there is one */
    int guarded;     /* the generator may be others', too */
    int tells, told; /* whether the owner wants to know the state arrived in; whether it asks here for it */
    long long arrived_at; /* the step that began there: one taken by another way has arrived elsewhere */
    long long action;
} Call;

static PyTypeObject *call_type, *quick_type;

/* For as long as Python or other threads may run in the midst of a call: nobody else may come in, and nobody's
 * setting an option, which may make another Call, takes this one away. */
static void hold(Call *c) {
    ((Lock *)c->lock)->held = 1;
    Py_INCREF((PyObject *)c);
}

static void let_go(Call *c) {
    ((Lock *)c->lock)->held = 0;
    Py_DECREF((PyObject *)c);
}

#define NAMES(M)                                                                                           \
    M(arrived, "arrived") M(indptr, "indptr") M(indices, "indices") M(values, "values")                    \
    M(own, "_own") M(acting, "_acting") M(action, "_action") M(number, "_number")                          \
    M(decisions, "_decisions") M(generator, "generator") M(was_greedy, "was_greedy") M(solution, "_solution") M(invert, "invert")                       \
    M(one_step, "_one_step")                       \
    M(set_new, "_set_new")
#define DECLARE_TEXT(name, text) static PyObject *name_##name;
NAMES(DECLARE_TEXT)

static int64_t rows_of(const Call *c) { return c->pairs ? c->pairs : 1; }

/* Where entries may be put: behind the state that is kept. */
static int64_t free_of(const Call *c) { return c->acts ? c->kept.k * rows_of(c) : 0; }

static int make_room(Call *c, int64_t entries) {
    if (entries <= c->room) return 1;
    const size_t room = (size_t)entries * 2;
    int32_t *idx = PyMem_Realloc(c->idx, room * sizeof *idx);
    if (idx) c->idx = idx;
    double *val = PyMem_Realloc(c->val, room * sizeof *val);
    if (val) c->val = val;
    if (!idx || !val) return 0;
    c->room = (int64_t)room;
    return 1;
}

static int32_t *range_of(Call *c) {
    if (c->range) return c->range;
    int32_t *range = PyMem_Malloc((size_t)c->n * sizeof *range);
    for (int32_t i = 0; range && i < c->n; i++) range[i] = i;
    return c->range = range;
}

#endif
