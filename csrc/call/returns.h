/* The quick way of returns of trajectories: the usual call, of arrays that lie as the kernel takes them.  All
 * are NumPy's, or tensors; flags beside tensors, and places for results, may be either.
 *
 * What is taken here passes every check of the general way, in fasttrace/returns, and would be handed to the
 * kernel there as it is here. */
#ifndef FT_CALL_RETURNS_H
#define FT_CALL_RETURNS_H

#include "tensors.h"
#include <float.h>

enum { MOST_RETURNS = 1 << 22 };  /* entries; more are done in pieces, between which Ctrl-C is heard */
enum { SHORT_RETURNS = 1 << 13 }; /* entries up to which the GIL is held, for some microseconds */

#define RETURNS_ARGUMENTS(M)                                                                                 \
    M(R_VALUES, "values") M(R_Q, "q") M(R_EXPECTED_Q, "expected_q") M(R_RHOS, "rhos") M(R_PI, "pi")          \
    M(R_SIGMAS, "sigmas") M(R_TERMINATED, "terminated") M(R_TRUNCATED, "truncated") M(R_MASK, "mask")        \
    M(R_NEXT_VALUES, "next_values") M(R_BOOTSTRAP, "bootstrap") M(R_HORIZON, "horizon")                      \
    M(R_OUT, "out") M(R_TIME_AXIS, "time_axis") M(R_BACKEND, "backend")
#define RETURNS_FAMILIES(M)                                                                                  \
    M(FT_LAMBDA, "lambda_returns") M(FT_OFF_POLICY, "off_policy_returns")                                    \
    M(FT_ACTION, "off_policy_action_returns") M(FT_RETRACE_RETURN, "retrace") M(FT_ACTION, "tree_backup")    \
    M(FT_Q_SIGMA_RETURN, "q_sigma") M(FT_GAE, "gae") M(FT_VTRACE, "vtrace") M(FT_SUM, "discounted_sum")      \
    M(FT_UPGO, "upgo")
#define RETURNS_FIRST(first, text) first,
#define RETURNS_TEXT(first, text) text,
enum { RETURNS_ARGUMENTS(RETURNS_FIRST) R_COUNT };
static const int returns_codes[] = {RETURNS_FAMILIES(RETURNS_FIRST)};
enum { R_FAMILIES = sizeof returns_codes / sizeof *returns_codes, R_TREE_BACKUP = 4 };
static const char *const returns_texts[] = {RETURNS_ARGUMENTS(RETURNS_TEXT) RETURNS_FAMILIES(RETURNS_TEXT)};
static PyObject *returns_names[R_COUNT + R_FAMILIES]; /* interned, they can be told by their addresses */

/* Numbers that have to be from 0 to `high`. */
typedef struct {
    const void *numbers;
    int64_t n;
    int type;
    double high;
} Range;

typedef struct {
    ft_returns p;
    int type, dims, tensors;  /* of the arrays; whether they are tensors */
    int64_t size, entries;    /* bytes of an entry; T * B */
    PyObject *given[R_COUNT]; /* NULL also for None, where that is allowed */
    const char *begins[R_COUNT + 3], *ends[R_COUNT + 3]; /* the memory of all that is read */
    Range ranges[5];
    int n_inputs, n_ranges;
    const uint8_t *terminated, *truncated, *mask;
    uint8_t *flags; /* where they are put together, if they are */
} Returns;

/* The memory of an array of this type, with so many rows, that is aligned and without gaps; or NULL. */
static void *dense(const Returns *r, PyObject *o, int type, int dims, int64_t rows) {
    PyArrayObject *a = (PyArrayObject *)o;
    if (is_tensor(o)) return tensor_data(o, type, dims, rows, r->p.B);
    if (!PyArray_CheckExact(o) || PyArray_TYPE(a) != type || PyArray_NDIM(a) != dims) return NULL;
    if (!PyArray_ISCARRAY_RO(a) || PyArray_DIM(a, 0) != rows) return NULL;
    return dims == 1 || PyArray_DIM(a, 1) == r->p.B ? PyArray_DATA(a) : NULL;
}

static const void *noted(Returns *r, const void *data, int64_t bytes) {
    r->begins[r->n_inputs] = data;
    r->ends[r->n_inputs++] = (const char *)data + bytes;
    return data;
}

static const void *input(Returns *r, PyObject *o, int type, int dims, int64_t rows) {
    if (is_tensor(o) != r->tensors && !(r->tensors && type == NPY_BOOL)) return NULL;
    const void *data = dense(r, o, type, dims, rows);
    const int64_t size = type == NPY_BOOL ? 1 : type == NPY_FLOAT ? 4 : 8;
    return data ? noted(r, data, rows * (dims == 2 ? r->p.B : 1) * size) : NULL;
}

/* The argument of that name with T rows, or with `more`; NULL too where it is not given. */
static const void *named(Returns *r, int name, int type, int more) {
    PyObject *o = r->given[name];
    const void *found = o ? input(r, o, type, r->dims, r->p.T) : NULL;
    return o && more && !found ? input(r, o, type, r->dims, r->p.T + 1) : found;
}

static void to_be_in(Returns *r, const void *numbers, int64_t n, int type, double high) {
    const Range range = {numbers, n, type, high};
    r->ranges[r->n_ranges++] = range;
}

/* gammas or lambdas. */
static int take_rate(Returns *r, PyObject *o, double *one, int64_t *kind, const void **rates,
                     int64_t *stride) {
    Tensor t;
    if (number(o, one)) return is_unit(*one);
    if (!is_tensor(o) && !PyArray_CheckExact(o)) return 0;
    const int its = is_tensor(o) ? look_at(o, &t) : PyArray_TYPE((PyArrayObject *)o);
    const int type = its == NPY_FLOAT ? NPY_FLOAT : NPY_DOUBLE;
    *one = 0.0;
    *stride = r->p.B;
    *kind = type == NPY_FLOAT ? FT_EACH_F32 : FT_EACH_F64;
    if (!(*rates = input(r, o, type, r->dims, r->p.T))) {
        if (r->dims == 1 || !(*rates = input(r, o, NPY_DOUBLE, 1, r->p.T))) return 0;
        *kind = FT_BY_STEP;
    }
    to_be_in(r, *rates, *kind == FT_BY_STEP ? r->p.T : r->entries, type, 1.0);
    return 1;
}

/* Arguments by their names, each to its place. */
static int take_named(Returns *r, PyObject *arguments) {
    PyObject *name, *value;
    Py_ssize_t at = 0;
    while (PyDict_Next(arguments, &at, &name, &value)) {
        int place = 0;
        while (place < R_COUNT && name != returns_names[place]) place++;
        if (place == R_COUNT) return 0;
        r->given[place] = value == Py_None && place >= R_TERMINATED && place <= R_OUT ? NULL : value;
    }
    return 1;
}

static int take_rewards(Returns *r, PyObject *o) {
    PyArrayObject *a = (PyArrayObject *)o;
    ft_returns *p = &r->p;
    Tensor t;
    r->tensors = is_tensor(o);
    if (!r->tensors && !PyArray_CheckExact(o)) return 0;
    r->type = r->tensors ? look_at(o, &t) : PyArray_TYPE(a);
    if (r->type != NPY_FLOAT && r->type != NPY_DOUBLE) return 0;
    r->dims = r->tensors ? t.dims : PyArray_NDIM(a);
    if (r->dims < 1 || r->dims > 2) return 0;
    p->T = r->tensors ? t.shape[0] : PyArray_DIM(a, 0);
    p->B = r->dims == 1 ? 1 : r->tensors ? t.shape[1] : PyArray_DIM(a, 1);
    r->entries = p->T * p->B;
    if (r->entries < 1 || r->entries > MOST_RETURNS) return 0;
    r->size = r->type == NPY_DOUBLE ? 8 : 4;
    p->f64 = r->type == NPY_DOUBLE;
    p->batch_major = p->B == 1;
    p->rewards_stride = p->values_stride = p->nexts_stride = p->next_values_stride = p->flags_stride =
        p->rhos_stride = p->pi_stride = p->sigmas_stride = p->q_nexts_stride = p->ends_stride =
            p->out_stride = p->second_stride = p->B;
    return (p->rewards = input(r, o, r->type, r->dims, p->T)) != NULL;
}

/* What an argument has at S_{t+1}, as the kernel is told it: at t. */
static const void *a_row_on(const Returns *r, const void *entries) {
    return (const char *)entries + r->p.B * r->size;
}

/* Values of states and actions; what comes after the last one, as far as it is in an array. */
static int take_states(Returns *r) {
    ft_returns *p = &r->p;
    PyObject *bootstrap = r->given[R_BOOTSTRAP];
    const int is_array = bootstrap && (PyArray_Check(bootstrap) || is_tensor(bootstrap));
    if (is_array && !(p->last = input(r, bootstrap, r->type, 1, p->B))) return 0;
    if (p->family == FT_SUM) return 1;
    const int of_actions = p->family >= FT_ACTION && p->family <= FT_Q_SIGMA_RETURN;
    PyObject *following = r->given[of_actions ? R_EXPECTED_Q : R_VALUES];
    const void *values = following ? input(r, following, r->type, r->dims, p->T + !bootstrap) : NULL;
    if (!values) return 0;
    p->nexts = a_row_on(r, values);
    if (!bootstrap) p->last = (const char *)values + r->entries * r->size;
    p->ends = p->family == FT_LAMBDA || p->family == FT_OFF_POLICY || p->family == FT_UPGO ? values : NULL;
    p->values = of_actions ? named(r, R_Q, r->type, 1) : values;
    return p->values != NULL;
}

static int take_flags(Returns *r, int name, const uint8_t **flags) {
    *flags = named(r, name, NPY_BOOL, 0);
    return *flags || !r->given[name];
}

static int take_ratios(Returns *r, int name, double high, const void **ratios) {
    *ratios = named(r, name, r->type, 1);
    to_be_in(r, *ratios, *ratios ? r->entries : 0, r->type, high);
    return *ratios || !r->given[name];
}

/* Flags, and what else there may be of each transition. */
static int take_transitions(Returns *r) {
    ft_returns *p = &r->p;
    p->next_values = named(r, R_NEXT_VALUES, r->type, 0);
    return (p->next_values || !r->given[R_NEXT_VALUES]) && take_flags(r, R_TERMINATED, &r->terminated) &&
           take_flags(r, R_TRUNCATED, &r->truncated) && take_flags(r, R_MASK, &r->mask) &&
           take_ratios(r, R_RHOS, (double)INFINITY, &p->rhos) && take_ratios(r, R_PI, 1.0, &p->pi) &&
           take_ratios(r, R_SIGMAS, 1.0, &p->sigmas);
}

/* (rho_bar, c_bar, pg_rho_bar or None) */
static int take_bars(ft_returns *p, PyObject *bars) {
    PyObject *own = PyTuple_GetItem(bars, 2);
    p->has_pg_rho_bar = own != Py_None;
    return number(PyTuple_GetItem(bars, 0), &p->rho_bar) && number(PyTuple_GetItem(bars, 1), &p->c_bar) &&
           (own == Py_None || number(own, &p->pg_rho_bar)) && p->rho_bar >= 0.0 && p->c_bar >= 0.0 &&
           p->pg_rho_bar >= 0.0;
}

static long long integer(PyObject *o) {
    int overflow;
    return PyLong_CheckExact(o) ? PyLong_AsLongLongAndOverflow(o, &overflow) : -1;
}

/* How far to look ahead, which way arrays lie, and the backend. */
static int take_options(Returns *r) {
    PyObject *backend = r->given[R_BACKEND];
    const long long horizon = r->given[R_HORIZON] ? integer(r->given[R_HORIZON]) : r->p.T;
    if (horizon < 1 || (r->given[R_TIME_AXIS] && integer(r->given[R_TIME_AXIS]) != 0)) return 0;
    r->p.horizon = horizon < r->p.T ? horizon : 0;
    return !backend || (PyUnicode_Check(backend) && (PyUnicode_CompareWithASCIIString(backend, "auto") == 0 ||
                                                     PyUnicode_CompareWithASCIIString(backend, "c") == 0));
}

/* A place of the caller's for a result, apart from all that is read, and from the other. */
static void *take_out(Returns *r, PyObject *o) {
    const char *data = dense(r, o, r->type, r->dims, r->p.T);
    if (!data || !(is_tensor(o) || PyArray_ISWRITEABLE((PyArrayObject *)o))) return NULL;
    for (int i = 0; i < r->n_inputs; i++)
        if (data < r->ends[i] && r->begins[i] < data + r->entries * r->size) return NULL;
    return (void *)noted(r, data, r->entries * r->size);
}

/* The block of memory that the kernel works in, or NULL where something is not usual, or there is none. */
static void *take_memory(Returns *r) {
    ft_returns *p = &r->p;
    const size_t floats = (size_t)(p->horizon + (p->last ? 0 : p->B));
    const size_t flags = r->truncated || r->mask ? (size_t)r->entries : 0;
    PyObject *bootstrap = r->given[R_BOOTSTRAP];
    double last = 0.0;
    if (!p->last && bootstrap) {
        if (!PyFloat_Check(bootstrap) && !PyArray_IsScalar(bootstrap, Float)) return NULL;
        if (!number(bootstrap, &last)) return NULL;
        if (!p->f64 && isfinite(last) && fabs(last) > (double)FLT_MAX) return NULL; /* NumPy warns */
    }
    double *memory = PyMem_Malloc(floats * sizeof *memory + flags);
    if (!memory) return NULL;
    p->scratch = memory;
    r->flags = flags ? (uint8_t *)(memory + floats) : NULL;
    if (p->last) return memory;
    for (int64_t b = 0; b < p->B; b++)
        if (p->f64)
            memory[p->horizon + b] = last;
        else
            ((float *)(memory + p->horizon))[b] = (float)last;
    p->last = memory + p->horizon;
    return memory;
}

/* By their bits, several at once: the first one is set where x is negative, and in high - x where it is
 * above, as NaN is.  -0.0 is left to the general way, too. */
#define ARE_IN(real, bits)                                                                                   \
    {                                                                                                        \
        const real *x = range->numbers, high = (real)range->high;                                            \
        bits top, each, wrong = 0;                                                                           \
        memcpy(&top, &high, sizeof top);                                                                     \
        for (int64_t i = 0; i < range->n; i++) {                                                             \
            memcpy(&each, x + i, sizeof each);                                                               \
            wrong |= each | (top - each);                                                                    \
        }                                                                                                    \
        return wrong >> (8 * sizeof wrong - 1) == 0;                                                         \
    }

static int are_in(const Range *range) {
    if (range->type == NPY_DOUBLE) ARE_IN(double, uint64_t)
    ARE_IN(float, uint32_t)
}

/* Bytes of bool are 0 and 1; others come to the same as in the general way. */
static int put_flags(Returns *r) {
    const uint8_t *const ends = r->terminated, *const cuts = r->truncated, *const there = r->mask;
    uint8_t *const flags = r->flags;
    const int64_t n = r->entries;
    int lost = 0, skipped = 0;
    r->p.flags = flags ? flags : ends;
    r->p.terminations_only = !flags;
    if (!flags) return 1;
    for (int64_t i = 0; i < n; i++) flags[i] = (uint8_t)((ends ? ends[i] : 0) | (cuts ? 2 * cuts[i] : 0));
    for (int64_t i = 0; there && i < n; i++) {
        skipped |= there[i] == 0;
        flags[i] = (uint8_t)((flags[i] - FT_SKIPPED) * there[i] + FT_SKIPPED);
    }
    if (cuts && !r->p.next_values)
        for (int64_t i = 0; i < n; i++) lost |= flags[i] == FT_TRUNCATED;
    return !lost && !(skipped && r->p.ends); /* after a gap, returns of values go on with others than these */
}

/* Whether the results are there; if not, nothing has changed. */
static int solve(Returns *r) {
    for (int i = 0; i < r->n_ranges; i++)
        if (!are_in(&r->ranges[i])) return 0;
    return put_flags(r) && call_ft_returns_run(&r->p) == FT_OK;
}

static int take_all(Returns *r, PyObject *const *args) {
    ft_returns *p = &r->p;
    int family = 0;
    while (family < R_FAMILIES && args[0] != returns_names[R_COUNT + family]) family++;
    if (family == R_FAMILIES || !take_rewards(r, args[1])) return 0;
    p->family = returns_codes[family];
    if (!take_named(r, args[2]) || !take_named(r, args[6]) || !take_options(r) || !take_bars(p, args[5]) ||
        !take_states(r) || !take_transitions(r) ||
        !take_rate(r, args[3], &p->gamma, &p->gamma_kind, &p->gammas, &p->gammas_stride) ||
        !take_rate(r, args[4], &p->lambda_, &p->lambda_kind, &p->lambdas, &p->lambdas_stride))
        return 0;
    if (family == R_TREE_BACKUP) p->rhos = p->pi;
    if (p->family != FT_UPGO) return 1;
    const void *q = named(r, R_Q, r->type, 1);
    p->q_nexts = q ? a_row_on(r, q) : NULL;
    return q != NULL;
}

/* returns(family, rewards, own, gammas, lambdas, bars, common) -> the results; None: this call is not usual.
 *
 * own, common  arguments by their names: those of the family, and those that all have in common */
static PyObject *quick_returns(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    Returns r;
    PyObject *made[2] = {NULL, NULL}, *result = NULL;
    (void)module;
    if (n != 7 || !PyDict_Check(args[2]) || PyTuple_Size(args[5]) != 3 || !PyDict_Check(args[6]))
        return PyErr_Format(PyExc_TypeError, "returns: see csrc/call/returns.h for what it takes");
    for (int i = 0; !returns_names[R_COUNT + R_FAMILIES - 1] && i < R_COUNT + R_FAMILIES; i++)
        if (!(returns_names[i] = PyUnicode_InternFromString(returns_texts[i]))) return NULL;
    memset(&r, 0, sizeof r);
    if (!call_ft_returns_run || !take_all(&r, args)) Py_RETURN_NONE;
    const int pair = r.p.family == FT_GAE || r.p.family == FT_VTRACE;
    PyObject *const out = r.given[R_OUT];
    if (out) {
        if (pair && !(PyTuple_CheckExact(out) && PyTuple_Size(out) == 2)) Py_RETURN_NONE;
        r.p.out = take_out(&r, pair ? PyTuple_GetItem(out, 0) : out);
        if (pair) r.p.second = take_out(&r, PyTuple_GetItem(out, 1));
        if (!r.p.out || (pair && !r.p.second)) Py_RETURN_NONE;
    }
    void *memory = take_memory(&r);
    if (!memory) Py_RETURN_NONE;
    const npy_intp shape[2] = {(npy_intp)r.p.T, (npy_intp)r.p.B};
    for (int i = 0; !out && i <= pair; i++) {
        void **const place = i ? &r.p.second : &r.p.out;
        if (r.tensors) {
            if ((made[i] = new_tensor(r.type, r.dims, shape, place))) continue;
            result = Py_NewRef(Py_None);
            goto done;
        }
        if (!(made[i] = PyArray_SimpleNew(r.dims, shape, r.type))) goto done;
        *place = PyArray_DATA((PyArrayObject *)made[i]);
    }
    int solved;
    if (r.entries <= SHORT_RETURNS) {
        solved = solve(&r);
    } else {
        Py_BEGIN_ALLOW_THREADS
        solved = solve(&r);
        Py_END_ALLOW_THREADS
    }
    if (!solved)
        result = Py_NewRef(Py_None);
    else if (out)
        result = Py_NewRef(out);
    else
        result = pair ? PyTuple_Pack(2, made[0], made[1]) : Py_NewRef(made[0]);
done:
    PyMem_Free(memory);
    Py_XDECREF(made[0]);
    Py_XDECREF(made[1]);
    return result;
}

#endif
