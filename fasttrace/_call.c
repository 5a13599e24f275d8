/* The quick way of a call from Python: one state, or one transition, without an object made on the way.
 *
 * A method that quick.py marks is a C function here.  It takes what users give by habit and calls the kernel,
 * by its address, over the learner's memory.  Whatever else it is given, and whatever is wrong, it leaves to
 * the method as Python has it, having changed nothing: that one knows every form, and what to say.
 *
 * No kernel is compiled here, and the GIL is held throughout, so that a step is one for all threads; but see
 * returns. */
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

/* ---- the kernels, by their addresses -------------------------------------------------------------------- */

#define KERNELS(X)                                                                                          \
    X(ft_td_run) X(ft_gradient_run) X(ft_gq_run) X(ft_adaptive_run) X(ft_actor_critic_run)                  \
    X(ft_values) X(ft_gradient_values) X(ft_adaptive_values)                                                \
    X(ft_trace_reset) X(ft_gradient_reset) X(ft_adaptive_reset) X(ft_actor_critic_reset)                    \
    X(ft_epsilon_greedy) X(ft_softmax) X(ft_tiles_encode) X(ft_are_policies)        \
    X(ft_network_run_f32) X(ft_network_run_f64) X(ft_returns_run)

#define DECLARE(name) static __typeof__(name) *call_##name;
KERNELS(DECLARE)

/* ---- one user at a time --------------------------------------------------------------------------------- */

/* A lock that the GIL guards.  Python's would cost a call each way. */
typedef struct {
    PyObject_HEAD
    int held;
} Lock;

static PyObject *lock_locked(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(((Lock *)self)->held);
}

static PyObject *lock_enter(PyObject *self, PyObject *unused) {
    Lock *lock = (Lock *)self;
    (void)unused;
    if (lock->held) {
        PyErr_SetString(PyExc_RuntimeError, "this learner is in use by another thread; give each its own learner");
        return NULL;
    }
    lock->held = 1;
    return Py_NewRef(self);
}

static PyObject *lock_exit(PyObject *self, PyObject *unused) {
    (void)unused;
    ((Lock *)self)->held = 0;
    Py_RETURN_NONE;
}

/* Never waits, whatever it is asked: whoever holds the lock may be long. */
static PyObject *lock_acquire(PyObject *self, PyObject *unused) {
    Lock *lock = (Lock *)self;
    const int was = lock->held;
    (void)unused;
    lock->held = 1;
    return PyBool_FromLong(!was);
}

static PyMethodDef lock_methods[] = {
    {"locked", lock_locked, METH_NOARGS, NULL},   {"acquire", lock_acquire, METH_VARARGS, NULL},
    {"release", lock_exit, METH_NOARGS, NULL},    {"__enter__", lock_enter, METH_NOARGS, NULL},
    {"__exit__", lock_exit, METH_VARARGS, NULL},  {NULL, NULL, 0, NULL}};

static void plain_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyType_Slot lock_slots[] = {
    {Py_tp_methods, lock_methods}, {Py_tp_dealloc, (void *)plain_dealloc}, {0, NULL}};
static PyType_Spec lock_spec = {"fasttrace._call.Lock", sizeof(Lock), 0, Py_TPFLAGS_DEFAULT, lock_slots};

/* ---- what a learner's calls have to know ---------------------------------------------------------------- */

enum family { TD, GRADIENT, GQ, ADAPTIVE, ACTOR_CRITIC, TILES, NETWORK };
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
    PyObject *params;            /* of networks */
    long long network, raw, counts; /* ft_network_stream; the last state; whether decisions are counted */
    int32_t *idx, *range;
    double *val, *work;
    int64_t room;
    Row kept; /* of the state that an agent is in, or SwiftTD has arrived in */
    int acts; /* whether there is one */
    int guarded;        /* the generator may be others', too */
    int tells, told;    /* whether the owner wants to know the state arrived in; whether it asks here for it */
    long long action;
} Call;

static PyTypeObject *lock_type, *call_type, *quick_type;
#define NAMES(M)                                                                                             \
    M(arrived, "arrived") M(own, "_own") M(acting, "_acting") M(action, "_action") M(number, "_number")      \
    M(decisions, "_decisions") M(generator, "generator") M(was_greedy, "was_greedy")
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

/* ---- numbers -------------------------------------------------------------------------------------------- */

/* Whether `o` is a number that Python's way would take, too; a bool is none. */
static int number(PyObject *o, double *out) {
    if (PyFloat_Check(o)) {
        *out = PyFloat_AsDouble(o);
        return 1;
    }
    if (!PyLong_CheckExact(o) && !PyArray_IsScalar(o, Floating) &&
        !(PyArray_IsScalar(o, Integer) && !PyArray_IsScalar(o, Timedelta)))
        return 0;
    *out = PyFloat_AsDouble(o);
    if (*out != -1.0 || !PyErr_Occurred()) return 1;
    PyErr_Clear();
    return 0;
}

static int is_unit(double x) { return x >= 0.0 && x <= 1.0; }
static int is_ratio(double x) { return x >= 0.0 && isfinite(x); }

/* ---- features ------------------------------------------------------------------------------------------- */

/* What of an array's entries tells whether they are good indices. */
typedef struct {
    int64_t low, high;
} Bounds;

static int64_t signed_of(int64_t i) { return i; }
/* What int32 does not hold may not come round to an index that is one. */
static int64_t unsigned_of(uint64_t i) { return i > INT32_MAX ? INT64_MAX : (int64_t)i; }

#define COPY_INTEGERS(type, widened)                                                                                  \
    for (int64_t r = 0; r < rows; r++)                                                                       \
        for (int64_t j = 0; j < k; j++) {                                                                    \
            const int64_t i = widened(*(const type *)(const void *)(data + r * by_row + j * by_entry));      \
            if (i < low) low = i;                                                                            \
            if (i > high) high = i;                                                                          \
            out[r * k + j] = (int32_t)i;                                                                     \
        }

/* The entries of an array, `rows` rows of k, into `out`; whether it is one of integers.  One of more dimensions
 * that is contiguous is a row of all its entries. */
static int copy_integers(PyArrayObject *a, int64_t rows, int64_t k, int32_t *out, Bounds *bounds) {
    const char *data = PyArray_BYTES(a);
    const int last = PyArray_NDIM(a) - 1;
    const npy_intp by_entry = PyArray_STRIDE(a, last), by_row = last ? PyArray_STRIDE(a, 0) : 0;
    int64_t low = 0, high = -1;
    switch (PyArray_TYPE(a)) {
        case NPY_BYTE: COPY_INTEGERS(npy_byte, signed_of) break;
        case NPY_UBYTE: COPY_INTEGERS(npy_ubyte, unsigned_of) break;
        case NPY_SHORT: COPY_INTEGERS(npy_short, signed_of) break;
        case NPY_USHORT: COPY_INTEGERS(npy_ushort, unsigned_of) break;
        case NPY_INT: COPY_INTEGERS(npy_int, signed_of) break;
        case NPY_UINT: COPY_INTEGERS(npy_uint, unsigned_of) break;
        case NPY_LONG: COPY_INTEGERS(npy_long, signed_of) break;
        case NPY_ULONG: COPY_INTEGERS(npy_ulong, unsigned_of) break;
        case NPY_LONGLONG: COPY_INTEGERS(npy_longlong, signed_of) break;
        case NPY_ULONGLONG: COPY_INTEGERS(npy_ulonglong, unsigned_of) break;
        default: return 0;
    }
    bounds->low = low;
    bounds->high = high;
    return 1;
}

#define COPY_FLOATS(type)                                                                                    \
    for (int64_t r = 0; r < rows; r++)                                                                       \
        for (int64_t j = 0; j < k; j++)                                                                      \
            out[r * k + j] = (double)*(const type *)(const void *)(data + r * by_row + j * by_entry);

static int copy_floats(PyArrayObject *a, int64_t rows, int64_t k, double *out) {
    const char *data = PyArray_BYTES(a);
    const int last = PyArray_NDIM(a) - 1;
    const npy_intp by_entry = PyArray_STRIDE(a, last), by_row = last ? PyArray_STRIDE(a, 0) : 0;
    switch (PyArray_TYPE(a)) {
        case NPY_FLOAT: COPY_FLOATS(float) return 1;
        case NPY_DOUBLE: COPY_FLOATS(double) return 1;
        default: return 0;
    }
}

/* Whether x is an array of rows by rows, of any length k, which it says. */
static int is_array(const Call *c, PyObject *x, int64_t *k) {
    if (!PyArray_CheckExact(x)) return 0;
    PyArrayObject *a = (PyArrayObject *)x;
    const int dims = c->pairs ? 2 : 1;
    if (PyArray_NDIM(a) != dims || !PyArray_ISBEHAVED_RO(a) || (c->pairs && PyArray_DIM(a, 0) != c->pairs))
        return 0;
    *k = PyArray_DIM(a, dims - 1);
    return *k * rows_of(c) <= MOST;
}

/* A list or a tuple of one state's numbers; its length. */
static int is_sequence(const Call *c, PyObject *x, int64_t *k) {
    if (c->pairs) return 0;
    if (PyList_CheckExact(x))
        *k = PyList_Size(x);
    else if (PyTuple_CheckExact(x))
        *k = PyTuple_Size(x);
    else
        return 0;
    return *k <= MOST;
}

static PyObject *item_of(PyObject *x, Py_ssize_t j) {
    return PyList_CheckExact(x) ? PyList_GetItem(x, j) : PyTuple_GetItem(x, j);
}

/* Indices into c->idx from `at` on.  0: not of a form that is taken here, or not allowed. */
static int take_indices(Call *c, PyObject *x, int64_t at, int valued, Row *row) {
    int64_t k;
    Bounds bounds = {0, -1};
    if (is_array(c, x, &k)) {
        if (!make_room(c, at + k * rows_of(c))) return 0;
        if (!copy_integers((PyArrayObject *)x, rows_of(c), k, c->idx + at, &bounds)) return 0;
    } else if (is_sequence(c, x, &k)) {
        if (!make_room(c, at + k)) return 0;
        for (int64_t j = 0; j < k; j++) {
            int overflow;
            PyObject *item = item_of(x, (Py_ssize_t)j);
            if (!PyLong_CheckExact(item)) return 0;
            const int64_t i = PyLong_AsLongLongAndOverflow(item, &overflow);
            if (overflow) return 0;
            if (i < bounds.low) bounds.low = i;
            if (i > bounds.high) bounds.high = i;
            c->idx[at + j] = (int32_t)i;
        }
    } else {
        return 0;
    }
    if (bounds.low < -1 || bounds.high >= c->n) return 0;
    /* Most likely a vector of bits. */
    if (!valued && k == c->n && k >= 3 && bounds.low >= 0 && bounds.high <= 1) return 0;
    row->k = k;
    row->form = BINARY;
    row->padded = bounds.low < 0;
    return 1;
}

/* Numbers into c->val from `at` on; k of them, or, where that is below 0, as many as there are. */
static int take_values(Call *c, PyObject *x, int64_t at, int64_t *k) {
    int64_t length;
    if (is_array(c, x, &length)) {
        if ((*k >= 0 && *k != length) || !make_room(c, at + length * rows_of(c))) return 0;
        if (!copy_floats((PyArrayObject *)x, rows_of(c), length, c->val + at)) return 0;
    } else if (is_sequence(c, x, &length)) {
        if ((*k >= 0 && *k != length) || !make_room(c, at + length)) return 0;
        for (int64_t j = 0; j < length; j++) {
            PyObject *item = item_of(x, (Py_ssize_t)j);
            if (!PyFloat_CheckExact(item)) return 0;
            c->val[at + j] = PyFloat_AsDouble(item);
        }
    } else {
        return 0;
    }
    for (int64_t j = 0; j < length * rows_of(c); j++)
        if (!isfinite(c->val[at + j])) return 0;
    *k = length;
    return 1;
}

/* One state's features, to stand from `at` on. */
static int take(Call *c, PyObject *x, int64_t at, Row *row) {
    if (take_indices(c, x, at, 0, row)) return 1;
    if (c->binary) return 0;
    row->form = DENSE;
    row->k = c->n;
    row->padded = 0;
    if (c->n <= MOST && take_values(c, x, at, &row->k)) return 1;
    if (!PyTuple_CheckExact(x) || PyTuple_Size(x) != 2 || !take_indices(c, PyTuple_GetItem(x, 0), at, 1, row))
        return 0;
    row->form = VALUED;
    return take_values(c, PyTuple_GetItem(x, 1), at, &row->k);
}

/* A row as one among rows of other forms: with indices and values of its own. */
static void spell_out(Call *c, int64_t at, const Row *row, int values) {
    const int64_t entries = row->k * rows_of(c);
    if (row->form == DENSE)
        for (int64_t j = 0; j < entries; j++) c->idx[at + j] = (int32_t)(j % row->k);
    if (row->form == BINARY && values)
        for (int64_t j = 0; j < entries; j++) c->val[at + j] = 1.0;
}

/* The rows of one state, or of two that follow each other, from `at` on.  indptr has room for all. */
static int lay(Call *c, int64_t at, const Row *x, const Row *next, int64_t *indptr) {
    ft_stream *s = &c->stream;
    s->checked = x->padded || next->padded ? 2 : 1;
    s->indices = c->idx + at;
    s->k = x->k;
    s->shared = 0;
    s->values = NULL;
    s->indptr = NULL;
    if (x->form == DENSE && next->form == DENSE) {
        s->shared = 1;
        s->indices = range_of(c);
        s->values = c->val + at;
        return s->indices != NULL;
    }
    if (x->form != BINARY || next->form != BINARY) {
        spell_out(c, at, x, 1);
        spell_out(c, at + x->k * rows_of(c), next, 1);
        s->values = c->val + at;
    }
    if (x->k == next->k) return 1;
    const int64_t rows = rows_of(c);
    for (int64_t r = 0; r <= 2 * rows; r++) indptr[r] = r <= rows ? r * x->k : rows * x->k + (r - rows) * next->k;
    s->indptr = indptr;
    return 1;
}

enum { MOST_ACTIONS = 64 }; /* of features of state and action */

/* ---- the kernels ---------------------------------------------------------------------------------------- */

static void *memory(long long address) { return (void *)(uintptr_t)address; }

static int32_t run(Call *c, const ft_stream *s, double *deltas) {
    switch (c->family) {
        case TD: return call_ft_td_run(memory(c->trace), (int32_t)c->kind, s, deltas);
        case GRADIENT: return call_ft_gradient_run(memory(c->trace), c->beta, s, deltas);
        case GQ: return call_ft_gq_run(memory(c->trace), c->beta, s, deltas);
        case ADAPTIVE: return call_ft_adaptive_run(memory(c->trace), (int32_t)c->kind, s, deltas);
        case ACTOR_CRITIC: return call_ft_actor_critic_run(memory(c->trace), s, deltas);
        default: return FT_EVALUE;
    }
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
        default: return FT_EVALUE;
    }
}

static PyObject *failed(const char *what, int32_t status) {
    return PyErr_Format(PyExc_RuntimeError, "%s returned status %d; its results are not to be used", what, (int)status);
}

/* SwiftTD's bound takes in the state arrived in, when somebody asks for it: the owner asks arrival(). */
static int tell_arrival(Call *c) {
    if (c->told || !c->tells) return 1;
    if (PyObject_SetAttr(c->owner, name_arrived, (PyObject *)c) != 0) return 0;
    c->told = 1;
    return 1;
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

/* ---- methods -------------------------------------------------------------------------------------------- */

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
static PyObject *general(PyObject *self, PyObject *name, PyObject *const *args, Py_ssize_t n, PyObject *names) {
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

/* Whether the arguments that follow the `n` first ones, by name, are such; each goes to its place. */
static int take_keywords(PyObject *const *args, Py_ssize_t n, PyObject *names, PyObject *const *known, int count,
                         PyObject **given) {
    for (Py_ssize_t i = 0; names && i < PyTuple_Size(names); i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        int place = 0;
        while (place < count && name != known[place]) place++;
        if (place == count || given[place]) return 0; /* unknown, or not interned, or there already */
        given[place] = args[n + i];
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

/* ---- learners with networks ----------------------------------------------------------------------------- */

/* trace and actor are heads, of float32 where kind is 32; n numbers are a state's.  What a step begins with
 * that Python keeps is asked of it, which is little beside a network's work. */

static ft_network_stream *net_stream(const Call *c) { return memory(c->network); }

static int net_run(const Call *c) {
    ft_network_stream *s = net_stream(c);
    return c->kind == 32 ? call_ft_network_run_f32(memory(c->trace), memory(c->actor), s)
                         : call_ft_network_run_f64(memory(c->trace), memory(c->actor), s);
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

static PyObject *net_update(PyObject *self, Call *c, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    static const int first[] = {X, REWARD, X_NEXT};
    PyObject *given[KEYWORDS] = {NULL};
    double reward, delta, gamma = c->gamma, lambda = c->lambda;
    if (n > 3 || !may_write(c)) goto elsewhere;
    for (Py_ssize_t i = 0; i < n; i++) given[first[i]] = args[i];
    if (!take_keywords(args, n, names, net_keywords, KEYWORDS, given)) goto elsewhere;
    for (int i = 0; i < KEYWORDS; i++)
        if (given[i] ? i > LAMBDA : i <= X_NEXT) goto elsewhere;
    if (!number(given[REWARD], &reward) || !OPTIONAL(GAMMA, gamma) || !OPTIONAL(LAMBDA, lambda)) goto elsewhere;
    if (!isfinite(reward) || !is_unit(gamma) || !is_unit(lambda)) goto elsewhere;
    const int ends = given[X_NEXT] == Py_None;
    if (!make_room(c, 2 * c->n) || !take_state(c, given[X], 0)) goto elsewhere;
    if (ends ? gamma != 0.0 : !take_state(c, given[X_NEXT], c->n)) goto elsewhere;
    lay_step(c, &reward, &gamma, &lambda, &delta)->ends = ends;
    if (net_run(c) == FT_OK) return PyFloat_FromDouble(delta);
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

static PyObject *net_step(PyObject *self, Call *c, PyObject *reward_given, PyObject *x, PyObject *gamma_given) {
    double reward, delta, gamma = c->gamma;
    PyObject *pending, *generator;
    if (c->n_actions == 0 || !may_write(c) || !number(reward_given, &reward) || !isfinite(reward)) return NULL;
    if (gamma_given && gamma_given != Py_None && !number(gamma_given, &gamma)) return NULL;
    if (!is_unit(gamma) || !make_room(c, 2 * c->n) || !take_state(c, x, c->n)) return NULL;
    if (integer_of(self, name_acting) != 1 || !(pending = PyObject_GetAttr(self, name_number))) return NULL;
    Py_DECREF(pending);
    if (pending != Py_None || !(generator = PyObject_GetAttr(self, name_generator))) return NULL;
    Py_DECREF(generator);
    if (generator != c->generator || may_draw(c) != 1) return NULL;
    memcpy(c->val, memory(c->raw), (size_t)c->n * sizeof *c->val);
    ft_network_stream *s = lay_step(c, &reward, &gamma, &c->lambda, &delta);
    s->choose = 1;
    s->action = integer_of(self, name_action);
    s->was_greedy = integer_of(c->owner, name_was_greedy);
    if (PyErr_Occurred() || !net_policy(self, s)) return NULL;
    s->u = c->bits->next_double(c->bits->state);
    if (net_run(c) != FT_OK) { /* all is as it was, but for the number, which is not drawn again */
        set_number(self, name_number, PyFloat_FromDouble(s->u));
        return NULL;
    }
    if (!set_number(self, name_action, PyLong_FromLongLong(s->action_next)) ||
        !set_number(c->owner, name_was_greedy, PyBool_FromLong(s->was_greedy != 0)))
        return NULL;
    if (c->counts) {
        const long long decisions = integer_of(self, name_decisions);
        if (PyErr_Occurred() || !set_number(self, name_decisions, PyLong_FromLongLong(decisions + 1))) return NULL;
    }
    return PyLong_FromLongLong(s->action_next);
}

static PyObject *quick_update(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Call *c = call_of(self);
    PyObject *given[KEYWORDS] = {NULL};
    if (c && c->family == NETWORK) return net_update(self, c, args, n, names);
    if (!c || n > 3) goto elsewhere;
    for (Py_ssize_t i = 0; i < n; i++) given[i] = args[i];
    if (!take_keywords(args, n, names, keywords, KEYWORDS, given)) goto elsewhere;
    unsigned have = 0;
    for (int i = 0; i < KEYWORDS; i++) have |= given[i] ? 1u << i : 0u;
    if ((have & ~(unsigned)c->takes) || ((unsigned)c->needs & ~have)) goto elsewhere;
    double reward, gamma = c->gamma, lambda = c->lambda, alpha = c->alpha, rho = 1.0, interest = 1.0, pi = 1.0;
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
    Call *c = one_state(self, n, args, names, &x);
    if (!c) return general(self, general_predict, args, n, names);
    const int32_t status = read_values(c, 0, &v);
    return status == FT_OK ? PyFloat_FromDouble(v) : failed("predict", status);
}

static PyObject *quick_q(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Row x;
    Call *c = one_state(self, n, args, names, &x);
    if (!c) return general(self, general_q, args, n, names);
    npy_intp size = (npy_intp)c->n_actions;
    PyObject *q = PyArray_SimpleNew(1, &size, NPY_DOUBLE);
    if (!q) return NULL;
    const int32_t status = read_values(c, 1, PyArray_DATA((PyArrayObject *)q));
    if (status == FT_OK) return q;
    Py_DECREF(q);
    return failed("q", status);
}

static PyObject *quick_act(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Row x;
    Call *c = one_state(self, n, args, names, &x);
    if (!c) return general(self, general_act, args, n, names);
    const int32_t status = read_values(c, 1, c->work);
    if (status != FT_OK) return failed("act", status);
    long long best = 0; /* the first of those that tie; as NumPy has it, what is no number is the largest */
    for (long long a = 1; a < c->n_actions && c->work[best] == c->work[best]; a++)
        if (!(c->work[a] <= c->work[best])) best = a;
    return PyLong_FromLongLong(best);
}

/* The agent's choice in the state that is laid out; -1 where an error is set. */
static long long choose(Call *c) {
    const int32_t status = read_values(c, 1, c->work);
    if (status != FT_OK) {
        failed("choosing", status);
        return -1;
    }
    const double u = c->bits->next_double(c->bits->state);
    return (c->policy == FT_SOFTMAX ? call_ft_softmax : call_ft_epsilon_greedy)(c->work, c->n_actions, c->parameter, u);
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

static PyObject *quick_start(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Row x;
    Call *c = one_state(self, n, args, names, &x);
    const int may = c ? may_draw(c) : 0;
    if (may <= 0) return may < 0 ? NULL : general(self, general_start, args, n, names);
    const int64_t at = free_of(c);
    if (!end_stream(c)) return NULL;
    const long long action = choose(c);
    if (action < 0) return NULL;
    keep(c, &x, at, action);
    return PyLong_FromLongLong(action);
}

/* What step and truncate share: take the state arrived in, choose there, and learn.  The action, -1 where an
 * error is set, or -2 where the arguments are not such as are taken here. */
static long long arrive(Call *c, PyObject *reward_given, PyObject *x, PyObject *gamma_given, Row *next) {
    double reward, gamma = c->gamma;
    if (!number(reward_given, &reward) || (gamma_given && gamma_given != Py_None && !number(gamma_given, &gamma)))
        return -2;
    if (!isfinite(reward) || !is_unit(gamma)) return -2;
    if (!take(c, x, free_of(c), next) || !lay(c, free_of(c), next, next, NULL)) return -2;
    const int may = may_draw(c);
    if (may <= 0) return may < 0 ? -1 : -2;
    const long long action = choose(c);
    if (action >= 0 && !learn_step(c, next, action, reward, gamma)) return -1;
    return action;
}

static PyObject *quick_step(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Call *c = call_of(self);
    PyObject *given[KEYWORDS] = {NULL};
    Row next;
    const int network = c && c->family == NETWORK;
    if (!c || n > 2 || !(c->acts || network)) goto elsewhere;
    if (n > 0) given[REWARD] = args[0];
    if (n > 1) given[X] = args[1];
    if (!take_keywords(args, n, names, network ? net_keywords : keywords, KEYWORDS, given)) goto elsewhere;
    for (int i = 0; i < KEYWORDS; i++)
        if (given[i] ? i != REWARD && i != X && i != GAMMA : i == REWARD || i == X) goto elsewhere;
    if (network) {
        PyObject *taken = net_step(self, c, given[REWARD], given[X], given[GAMMA]);
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

static PyObject *quick_truncate(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Call *c = n == 2 && !names ? call_of(self) : NULL;
    Row next;
    const long long action = c && c->acts ? arrive(c, args[0], args[1], NULL, &next) : -2;
    if (action == -2) return general(self, general_truncate, args, n, names);
    if (action < 0 || !end_stream(c)) return NULL;
    Py_RETURN_NONE;
}

static PyObject *quick_end(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Call *c = n == 1 && !names ? call_of(self) : NULL;
    double reward;
    if (!c || !c->acts || !number(args[0], &reward) || !isfinite(reward))
        return general(self, general_end, args, n, names);
    const Row none = {0, BINARY, 0};
    if (!learn_step(c, &none, 0, reward, 0.0)) return NULL;
    c->acts = 0;
    if (c->tells && PyObject_SetAttr(c->owner, name_arrived, Py_None) != 0) return NULL;
    Py_RETURN_NONE;
}

/* ---- streams -------------------------------------------------------------------------------------------- */

/* Keywords of learn, beside those of states: x, actions and rewards may stand without. */
enum { L_X, L_ACTIONS, L_REWARDS, L_GAMMAS, L_LAMBDAS, L_RHOS, L_ALPHA, L_INTERESTS, L_PI, L_SIGMAS,
       L_TARGET_POLICY, L_LAMBDAS_ACTOR, L_ALPHA_ACTOR, LEARN_KEYWORDS };
static const char *const learn_keyword_names[LEARN_KEYWORDS] = {
    "x",         "actions", "rewards", "gammas",        "lambdas",       "rhos",       "alpha",
    "interests", "pi",      "sigmas",  "target_policy", "lambdas_actor", "alpha_actor"};
static PyObject *learn_keywords[LEARN_KEYWORDS];

static const double LONG = 3e7; /* nanoseconds; a longer stream is learned in pieces, by Python */
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
    if (PyArray_NDIM(a) != dims || (c->pairs && PyArray_DIM(a, 1) != c->pairs) || !PyArray_ISCARRAY_RO(a)) return -1;
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
    if (!copy_integers(a, 1, size, c->idx + at, &bounds) || bounds.low < -1 || bounds.high >= c->n) return -1;
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
    return copy_integers(a, 1, states, c->idx + at, &bounds) && bounds.low >= 0 && bounds.high < c->n_actions;
}

static PyObject *quick_learn(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Call *c = call_of(self);
    PyObject *given[LEARN_KEYWORDS] = {NULL}, *deltas = NULL;
    const int acts = c && (c->learn_takes & 1 << L_ACTIONS);
    if (!c || n > (acts ? 3 : 2)) goto elsewhere;
    for (Py_ssize_t i = 0; i < n; i++) given[acts ? i : i ? L_REWARDS : L_X] = args[i];
    if (!take_keywords(args, n, names, learn_keywords, LEARN_KEYWORDS, given)) goto elsewhere;
    unsigned have = 0;
    for (int i = 0; i < LEARN_KEYWORDS; i++) have |= given[i] && given[i] != Py_None ? 1u << i : 0u;
    if ((have & ~(unsigned)c->learn_takes) || ((unsigned)c->learn_needs & ~have)) goto elsewhere;

    ft_stream s;
    int64_t entries, at = free_of(c);
    memset(&s, 0, sizeof s);
    const int64_t states = take_rows(c, given[L_X], at, &entries, &s), steps = states - 1;
    if (steps < 1) goto elsewhere;
    const double work = (double)steps * 100.0 + (s.shared ? 5.0 : 20.0) * (double)entries * (double)c->columns;
    if (work > LONG || c->tells) goto elsewhere; /* SwiftTD's grows with its list */
    double gamma = c->gamma, lambda = c->lambda, alpha = c->alpha, rho = 1.0, interest = 1.0, pi = 1.0;
    double sigma = 1.0, reward = 0.0, lambda_actor = c->lambda_actor, alpha_actor = c->alpha_actor;
    int64_t reward_stride;
    if (!series(given[L_REWARDS], steps, 0, FINITE, &reward, &s.rewards, &reward_stride) || !reward_stride ||
        !series(given[L_GAMMAS], steps, 0, UNIT, &gamma, &s.gammas, &s.gamma_stride) ||
        !series(given[L_LAMBDAS], steps, 0, UNIT, &lambda, &s.lambdas, &s.lambda_stride) ||
        !series(given[L_ALPHA], steps, 0, POSITIVE, &alpha, &s.alphas, &s.alpha_stride) ||
        !series(given[L_RHOS], steps, 1, RATIO, &rho, &s.rhos, &s.rho_stride) ||
        !series(given[L_INTERESTS], steps, 0, RATIO, &interest, &s.interests, &s.interest_stride) ||
        !series(given[L_PI], steps, 1, UNIT, &pi, &s.pis, &s.pi_stride) ||
        !series(given[L_SIGMAS], steps, 1, UNIT, &sigma, &s.sigmas, &s.sigma_stride) ||
        !series(given[L_LAMBDAS_ACTOR], steps, 0, UNIT, &lambda_actor, &s.actor_lambdas, &s.actor_lambda_stride) ||
        !series(given[L_ALPHA_ACTOR], steps, 0, POSITIVE, &alpha_actor, &s.actor_alphas, &s.actor_alpha_stride))
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
        Lock *lock = (Lock *)c->lock;
        lock->held = 1;
        Py_BEGIN_ALLOW_THREADS
        status = run(c, &s, out);
        Py_END_ALLOW_THREADS
        lock->held = 0;
    } else {
        status = run(c, &s, out);
    }
    if (status == FT_OK) return deltas;
    Py_DECREF(deltas); /* nothing has changed: what was wrong is looked up */
elsewhere:
    return general(self, general_learn, args, n, names);
}

/* ---- tile coding ---------------------------------------------------------------------------------------- */

/* n dimensions, n_actions tilings. */
static PyObject *quick___call__(PyObject *self, PyObject *const *args, Py_ssize_t n, PyObject *names) {
    Call *c = n == 1 && !names ? call_of(self) : NULL;
    int64_t dims = c ? c->n : 0;
    if (!c || !take_values(c, args[0], 0, &dims)) return general(self, general___call__, args, n, names);
    npy_intp tilings = (npy_intp)c->n_actions;
    PyObject *idx = PyArray_SimpleNew(1, &tilings, NPY_INT32);
    if (!idx) return NULL;
    if (call_ft_tiles_encode(memory(c->trace), 1, c->val, PyArray_DATA((PyArrayObject *)idx)) == FT_OK) return idx;
    Py_DECREF(idx);
    return general(self, general___call__, args, n, names);
}

/* ---- types ---------------------------------------------------------------------------------------------- */

#define INTEGER(name, field) {name, T_LONGLONG, offsetof(Call, field), 0, NULL}
#define REAL(name, field) {name, T_DOUBLE, offsetof(Call, field), 0, NULL}
static PyMemberDef call_members[] = {
    {"owner", T_OBJECT, offsetof(Call, owner), 0, NULL},
    {"params", T_OBJECT, offsetof(Call, params), 0, NULL},
    INTEGER("network", network), INTEGER("raw", raw), INTEGER("counts", counts),
    INTEGER("family", family), INTEGER("trace", trace), INTEGER("actor", actor), INTEGER("kind", kind),
    INTEGER("target", target), INTEGER("policy", policy), INTEGER("n", n), INTEGER("columns", columns),
    INTEGER("n_actions", n_actions), INTEGER("pairs", pairs), INTEGER("takes", takes),
    INTEGER("needs", needs), INTEGER("binary", binary), INTEGER("action", action),
    REAL("gamma", gamma), REAL("lambda_", lambda), REAL("alpha", alpha), REAL("beta", beta),
    REAL("parameter", parameter), REAL("sigma", sigma), REAL("alpha_actor", alpha_actor),
    REAL("lambda_actor", lambda_actor), REAL("c_bar", stream.options.c_bar),
    REAL("rho_bar", stream.options.rho_bar), REAL("psi", stream.options.psi),
    REAL("option_beta", stream.options.beta), INTEGER("learn_takes", learn_takes),
    INTEGER("learn_needs", learn_needs), {"guarded", T_INT, offsetof(Call, guarded), 0, NULL},
    {"tells", T_INT, offsetof(Call, tells), 0, NULL}, {"told", T_INT, offsetof(Call, told), 0, NULL},
    {NULL, 0, 0, 0, NULL}};

static int call_set_lock(PyObject *self, PyObject *value, void *unused) {
    Call *c = (Call *)self;
    (void)unused;
    if (!value || Py_TYPE(value) != lock_type) {
        PyErr_SetString(PyExc_TypeError, "lock: expected a Lock");
        return -1;
    }
    PyObject *before = c->lock;
    c->lock = Py_NewRef(value);
    Py_XDECREF(before);
    return 0;
}

/* A numpy.random.Generator, whose uniform numbers are drawn where NumPy draws them; None: not here. */
static int call_set_generator(PyObject *self, PyObject *value, void *unused) {
    Call *c = (Call *)self;
    PyObject *bit_generator = NULL, *capsule = NULL, *lock = NULL, *acquire = NULL, *release = NULL;
    int status = -1;
    (void)unused;
    if (value == Py_None) {
        c->bits = NULL;
        return 0;
    }
    if (value && (bit_generator = PyObject_GetAttrString(value, "bit_generator")) &&
        (capsule = PyObject_GetAttrString(bit_generator, "capsule")) &&
        (lock = PyObject_GetAttrString(bit_generator, "lock")) &&
        (acquire = PyObject_GetAttrString(lock, "acquire")) &&
        (release = PyObject_GetAttrString(lock, "release"))) {
        bitgen_t *bits = PyCapsule_GetPointer(capsule, "BitGenerator");
        if (bits) {
            PyObject *const before[] = {c->generator, c->acquire, c->release};
            c->generator = Py_NewRef(value);
            c->acquire = Py_NewRef(acquire);
            c->release = Py_NewRef(release);
            c->bits = bits;
            for (int i = 0; i < 3; i++) Py_XDECREF(before[i]);
            status = 0;
        }
    }
    Py_XDECREF(bit_generator);
    Py_XDECREF(capsule);
    Py_XDECREF(lock);
    Py_XDECREF(acquire);
    Py_XDECREF(release);
    return status;
}

static PyGetSetDef call_getset[] = {{"lock", NULL, call_set_lock, NULL, NULL},
                                    {"generator", NULL, call_set_generator, NULL, NULL},
                                    {NULL, NULL, NULL, NULL, NULL}};

/* kept() -> (k, indices, values, whether the features are dense), or None where the agent is in no state. */
static PyObject *call_kept(PyObject *self, PyObject *unused) {
    Call *c = (Call *)self;
    (void)unused;
    if (!c->acts) Py_RETURN_NONE;
    npy_intp entries = (npy_intp)(c->kept.k * rows_of(c));
    PyObject *indices = Py_None, *values = Py_None;
    if (c->kept.form != DENSE) {
        if (!(indices = PyArray_SimpleNew(1, &entries, NPY_INT32))) return NULL;
        memcpy(PyArray_DATA((PyArrayObject *)indices), c->idx, (size_t)entries * sizeof(int32_t));
    }
    if (c->kept.form != BINARY) {
        if (!(values = PyArray_SimpleNew(1, &entries, NPY_DOUBLE))) return NULL;
        memcpy(PyArray_DATA((PyArrayObject *)values), c->val, (size_t)entries * sizeof(double));
    }
    return Py_BuildValue("LNNi", (long long)c->kept.k, Py_NewRef(indices), Py_NewRef(values), c->kept.form == DENSE);
}

/* keep(k, indices or None, values or None): the state that the agent is in; keep(): it is in none. */
static PyObject *call_keep(PyObject *self, PyObject *args) {
    Call *c = (Call *)self;
    long long k = 0;
    PyObject *indices = Py_None, *values = Py_None;
    c->acts = 0;
    if (PyTuple_Size(args) == 0) Py_RETURN_NONE;
    if (!PyArg_ParseTuple(args, "LOO", &k, &indices, &values)) return NULL;
    const int64_t entries = k * rows_of(c);
    if (!make_room(c, entries)) return PyErr_NoMemory();
    Bounds bounds = {0, -1};
    if (indices != Py_None) copy_integers((PyArrayObject *)indices, 1, entries, c->idx, &bounds);
    if (values != Py_None) copy_floats((PyArrayObject *)values, 1, entries, c->val);
    c->kept.k = k;
    c->kept.form = indices == Py_None ? DENSE : values == Py_None ? BINARY : VALUED;
    c->kept.padded = bounds.low < 0;
    c->acts = 1;
    Py_RETURN_NONE;
}

/* arrival() -> (indices, values or None, action) of the state arrived in; of a state and action the action is 0. */
static PyObject *call_arrival(PyObject *self, PyObject *unused) {
    Call *c = (Call *)self;
    (void)unused;
    npy_intp k = (npy_intp)c->kept.k;
    const size_t from = c->pairs ? (size_t)(c->action * c->kept.k) : 0;
    PyObject *indices = PyArray_SimpleNew(1, &k, NPY_INT32), *values = Py_NewRef(Py_None);
    if (!indices || (c->kept.form == DENSE && !range_of(c))) goto failed;
    memcpy(PyArray_DATA((PyArrayObject *)indices), c->kept.form == DENSE ? c->range : c->idx + from, (size_t)k * 4);
    if (c->kept.form != BINARY) {
        Py_DECREF(values);
        if (!(values = PyArray_SimpleNew(1, &k, NPY_DOUBLE))) goto failed;
        memcpy(PyArray_DATA((PyArrayObject *)values), c->val + from, (size_t)k * 8);
    }
    return Py_BuildValue("NNL", indices, values, c->pairs ? 0LL : c->action);
failed:
    Py_XDECREF(indices);
    Py_XDECREF(values);
    return NULL;
}

static PyMethodDef call_methods[] = {{"arrival", call_arrival, METH_NOARGS, NULL},
                                     {"kept", call_kept, METH_NOARGS, NULL},
                                     {"keep", call_keep, METH_VARARGS, NULL},
                                     {NULL, NULL, 0, NULL}};

/* Call(**fields) */
static int call_init(PyObject *self, PyObject *args, PyObject *fields) {
    Call *c = (Call *)self;
    PyObject *name, *value;
    Py_ssize_t at = 0;
    c->sigma = 1.0;
    c->lambda_actor = (double)NAN;
    if (PyTuple_Size(args)) {
        PyErr_SetString(PyExc_TypeError, "Call: expected keywords");
        return -1;
    }
    while (fields && PyDict_Next(fields, &at, &name, &value))
        if (PyObject_SetAttr(self, name, value) != 0) return -1;
    /* What the kernels take for a target policy, or an actor-critic for its own: rows may be padded to 4. */
    c->work = PyMem_Calloc((size_t)(4 * (c->n_actions + 4)), sizeof(double));
    c->stream.steps = 1;
    c->stream.n_actions = c->n_actions;
    c->stream.target = c->target;
    c->stream.q = c->work;
    if (c->work) return 0;
    PyErr_NoMemory();
    return -1;
}

/* SwiftTD's owner may hold its Call. */
static int call_traverse(PyObject *self, visitproc visit, void *arg) {
    Call *c = (Call *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(c->owner);
    Py_VISIT(c->params);
    Py_VISIT(c->generator);
    Py_VISIT(c->acquire);
    Py_VISIT(c->release);
    return 0;
}

static int call_clear(PyObject *self) {
    Call *c = (Call *)self;
    Py_CLEAR(c->owner);
    Py_CLEAR(c->params);
    Py_CLEAR(c->generator);
    Py_CLEAR(c->acquire);
    Py_CLEAR(c->release);
    return 0;
}

static void call_dealloc(PyObject *self) {
    Call *c = (Call *)self;
    PyObject_GC_UnTrack(self);
    call_clear(self);
    Py_XDECREF(c->lock);
    PyMem_Free(c->idx);
    PyMem_Free(c->range);
    PyMem_Free(c->val);
    PyMem_Free(c->work);
    plain_dealloc(self);
}

static PyType_Slot call_slots[] = {{Py_tp_members, call_members},  {Py_tp_getset, call_getset},
                                   {Py_tp_methods, call_methods},  {Py_tp_init, (void *)call_init},
                                   {Py_tp_dealloc, (void *)call_dealloc}, {Py_tp_traverse, (void *)call_traverse},
                                   {Py_tp_clear, (void *)call_clear}, {0, NULL}};
static PyType_Spec call_spec = {"fasttrace._call.Call", sizeof(Call), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
                                call_slots};

static PyMemberDef quick_members[] = {{"_call", T_OBJECT, offsetof(Quick, call), 0, NULL}, {NULL, 0, 0, 0, NULL}};

static void quick_dealloc(PyObject *self) {
    Py_XDECREF(((Quick *)self)->call);
    plain_dealloc(self);
}

static PyType_Slot quick_slots[] = {
    {Py_tp_members, quick_members}, {Py_tp_dealloc, (void *)quick_dealloc}, {0, NULL}};
static PyType_Spec quick_spec = {"fasttrace._call.Quick", sizeof(Quick), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, quick_slots};

#include "_call_returns.h"

/* ---- the module ----------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    PyObject *(*function)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
} methods[] = {{"update", quick_update}, {"learn", quick_learn},   {"predict", quick_predict}, {"q", quick_q},
               {"act", quick_act},       {"start", quick_start},     {"step", quick_step},
               {"end", quick_end},       {"truncate", quick_truncate}, {"__call__", quick___call__}};

/* method(owner, name, doc) -> the quick method of that name, for a class `owner`; doc begins with the
 * signature, as inspect reads it. */
static PyObject *method(PyObject *module, PyObject *args) {
    PyTypeObject *owner;
    const char *name, *doc;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!ss", &PyType_Type, &owner, &name, &doc)) return NULL;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(methods[i].name, name) == 0) {
            /* Both live as long as the class, which is for good. */
            PyMethodDef *definition = PyMem_Malloc(sizeof *definition);
            char *copy = PyMem_Malloc(strlen(doc) + 1);
            if (!definition || !copy) return PyErr_NoMemory();
            strcpy(copy, doc);
            definition->ml_name = methods[i].name;
            definition->ml_meth = (PyCFunction)(void (*)(void))methods[i].function;
            definition->ml_flags = METH_FASTCALL | METH_KEYWORDS;
            definition->ml_doc = copy;
            return PyDescr_NewMethod(owner, definition);
        }
    return PyErr_Format(PyExc_ValueError, "no quick method %s", name);
}

/* bind({name: address}) of all that KERNELS names. */
static PyObject *bind(PyObject *module, PyObject *addresses) {
    (void)module;
#define BIND(name)                                                                                           \
    {                                                                                                        \
        PyObject *address = PyDict_GetItemString(addresses, #name);                                          \
        if (!address) return PyErr_Format(PyExc_KeyError, "%s", #name);                                      \
        call_##name = (__typeof__(name) *)(uintptr_t)PyLong_AsUnsignedLongLong(address);                     \
        if (PyErr_Occurred()) return NULL;                                                                   \
    }
    KERNELS(BIND)
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"method", method, METH_VARARGS, NULL}, {"bind", bind, METH_O, NULL},
    {"returns", (PyCFunction)(void (*)(void))quick_returns, METH_FASTCALL, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_call", NULL, -1, module_methods, NULL, NULL, NULL, NULL};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec, const char *name) {
    PyObject *type = PyType_FromSpec(spec);
    if (type && PyModule_AddObjectRef(module, name, type) == 0) return (PyTypeObject *)type;
    return NULL;
}

/* A tuple of these names in the module; interned, they can be told by their addresses. */
static int intern(PyObject *module, const char *what, const char *const *names, int count, PyObject **interned) {
    PyObject *tuple = PyTuple_New(count);
    for (int i = 0; tuple && i < count; i++) {
        if (!(interned[i] = PyUnicode_InternFromString(names[i]))) return 0;
        PyTuple_SetItem(tuple, i, Py_NewRef(interned[i]));
    }
    return tuple && PyModule_AddObjectRef(module, what, tuple) == 0;
}

PyMODINIT_FUNC PyInit__call(void);
PyMODINIT_FUNC PyInit__call(void) {
    if (PyArray_ImportNumPyAPI() < 0) return NULL;
    PyObject *module = PyModule_Create(&definition);
    if (!module || !(lock_type = add_type(module, &lock_spec, "Lock")) ||
        !(call_type = add_type(module, &call_spec, "Call")) || !(quick_type = add_type(module, &quick_spec, "Quick")))
        return NULL;
    if (!intern(module, "KEYWORDS", keyword_names, KEYWORDS, keywords) ||
        !intern(module, "NETWORK_KEYWORDS", net_keyword_names, KEYWORDS, net_keywords) ||
        !intern(module, "LEARN_KEYWORDS", learn_keyword_names, LEARN_KEYWORDS, learn_keywords))
        return NULL;
#define INTERN_TEXT(name, text)                                                                              \
    if (!(name_##name = PyUnicode_InternFromString(text))) return NULL;
    NAMES(INTERN_TEXT)
#define INTERN(name)                                                                                         \
    if (!(general_##name = PyUnicode_InternFromString("_any_" #name))) return NULL;
    METHODS(INTERN)
#define NAME(name) #name,
    static const char *const kernels[] = {KERNELS(NAME)};
    enum { COUNT = sizeof kernels / sizeof *kernels };
    PyObject *interned[COUNT];
    if (!intern(module, "KERNELS", kernels, COUNT, interned)) return NULL;
    return module;
}
