/* Numbers and features as users give them. */
#ifndef FT_CALL_FEATURES_H
#define FT_CALL_FEATURES_H

#include "call.h"

/* ---- numbers -------------------------------------------------------------------------------- */

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

/* ---- features ------------------------------------------------------------------------------- */

/* What of an array's entries tells whether they are good indices. */
typedef struct {
    int64_t low, high;
} Bounds;

static int64_t signed_of(int64_t i) { return i; }
/* What int32 does not hold may not come round to an index that is one. */
static int64_t unsigned_of(uint64_t i) { return i > INT32_MAX ? INT64_MAX : (int64_t)i; }

#define COPY_ROW(type, widened, by)                                                                        \
    for (int64_t j = 0; j < k; j++) {                                                                      \
        const int64_t i = widened(*(const type *)(const void *)(row + j * (by)));                          \
        low = i < low ? i : low;                                                                           \
        high = i > high ? i : high;                                                                        \
        out[j] = (int32_t)i;                                                                               \
    }
/* Most have no gaps: a loop that knows so is half as long. */
#define COPY_INTEGERS(type, widened)                                                                       \
    for (int64_t r = 0; r < rows; r++, row += by_row, out += k)                                            \
        if (by_entry == sizeof(type))                                                                      \
            COPY_ROW(type, widened, (npy_intp)sizeof(type))                                                \
        else                                                                                               \
            COPY_ROW(type, widened, by_entry)

/* Entries in the memory of an array. */
typedef struct {
    const char *data;
    int type;
    npy_intp by_row, by_entry;
} Block;

static Block block_of(PyArrayObject *a) {
    const int last = PyArray_NDIM(a) - 1;
    const Block b = {PyArray_BYTES(a), PyArray_TYPE(a), last ? PyArray_STRIDE(a, 0) : 0, PyArray_STRIDE(a, last)};
    return b;
}

/* The entries of a block, `rows` rows of k, into `out`; whether they are integers.  An array of more
 * dimensions that is contiguous is a row of all its entries. */
static int copy_integers(Block b, int64_t rows, int64_t k, int32_t *out, Bounds *bounds) {
    const char *row = b.data;
    const npy_intp by_entry = b.by_entry, by_row = b.by_row;
    int64_t low = 0, high = -1;
    switch (b.type) {
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

#define COPY_FLOATS(type)                                                                                  \
    for (int64_t r = 0; r < rows; r++)                                                                     \
        for (int64_t j = 0; j < k; j++)                                                                    \
            out[r * k + j] = (double)*(const type *)(const void *)(b.data + r * b.by_row + j * b.by_entry);

static int copy_floats(Block b, int64_t rows, int64_t k, double *out) {
    switch (b.type) {
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

/* Whether k indices to a row are such as may be; of a vector of bits that is not likely. */
static int are_features(const Call *c, Bounds bounds, int64_t k, int valued, Row *row) {
    if (bounds.low < -1 || bounds.high >= c->n) return 0;
    if (!valued && k == c->n && k >= 3 && bounds.low >= 0 && bounds.high <= 1) return 0;
    row->k = k;
    row->form = BINARY;
    row->padded = bounds.low < 0;
    return 1;
}

/* Indices into c->idx from `at` on.  0: not of a form that is taken here, or not allowed. */
static int take_indices(Call *c, PyObject *x, int64_t at, int valued, Row *row) {
    int64_t k;
    Bounds bounds = {0, -1};
    if (is_array(c, x, &k)) {
        if (!make_room(c, at + k * rows_of(c))) return 0;
        if (!copy_integers(block_of((PyArrayObject *)x), rows_of(c), k, c->idx + at, &bounds)) return 0;
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
    return are_features(c, bounds, k, valued, row);
}

static int are_finite(const Call *c, int64_t at, int64_t k) {
    for (int64_t j = 0; j < k * rows_of(c); j++)
        if (!isfinite(c->val[at + j])) return 0;
    return 1;
}

/* Numbers into c->val from `at` on; k of them, or, where that is below 0, as many as there are. */
static int take_values(Call *c, PyObject *x, int64_t at, int64_t *k) {
    int64_t length;
    if (is_array(c, x, &length)) {
        if ((*k >= 0 && *k != length) || !make_room(c, at + length * rows_of(c))) return 0;
        if (!copy_floats(block_of((PyArrayObject *)x), rows_of(c), length, c->val + at)) return 0;
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
    *k = length;
    return are_finite(c, at, length);
}

static PyObject *ragged_type; /* of Python's Ragged */
static int is_ragged(PyObject *x) { return (PyObject *)Py_TYPE(x) == ragged_type; }

/* The row of a Ragged that has one. */
static int take_ragged(Call *c, PyObject *x, int64_t at, Row *row) {
    PyObject *indptr = PyObject_GetAttr(x, name_indptr), *indices = PyObject_GetAttr(x, name_indices);
    PyObject *values = PyObject_GetAttr(x, name_values);
    int taken = indptr && indices && values && !c->pairs && take_indices(c, indices, at, 1, row);
    if (taken) {
        PyArrayObject *a = (PyArrayObject *)indptr;
        const int64_t *ends = PyArray_CheckExact(indptr) && PyArray_TYPE(a) == NPY_INT64 && PyArray_SIZE(a) == 2
                                  ? PyArray_DATA(a)
                                  : NULL;
        taken = ends && PyArray_ISCARRAY_RO(a) && ends[0] == 0 && ends[1] == row->k;
    }
    if (taken && values != Py_None) {
        row->form = VALUED;
        taken = !c->binary && take_values(c, values, at, &row->k);
    }
    PyErr_Clear(); /* an attribute that is not there is for Python to tell */
    Py_XDECREF(indptr);
    Py_XDECREF(indices);
    Py_XDECREF(values);
    return taken;
}

/* One state's features, to stand from `at` on. */
static int take(Call *c, PyObject *x, int64_t at, Row *row) {
    if (is_ragged(x)) return take_ragged(c, x, at, row);
    if (take_indices(c, x, at, 0, row)) return 1;
    if (c->binary) return 0;
    row->form = DENSE;
    row->k = c->n;
    row->padded = 0;
    if (c->n <= MOST && take_values(c, x, at, &row->k)) return 1;
    if (!PyTuple_CheckExact(x) || PyTuple_Size(x) != 2 ||
        !take_indices(c, PyTuple_GetItem(x, 0), at, 1, row))
        return 0;
    row->form = VALUED;
    return take_values(c, PyTuple_GetItem(x, 1), at, &row->k);
}

/* The features of agent i of many, in an array of them all, as `take` takes one's. */
static int take_nth(Call *c, PyArrayObject *a, int64_t i, int64_t at, Row *row) {
    const int last = PyArray_NDIM(a) - 1;
    const int64_t k = PyArray_DIM(a, last);
    Block b = block_of(a);
    Bounds bounds = {0, -1};
    if (last != (c->pairs ? 2 : 1) || (c->pairs && PyArray_DIM(a, 1) != c->pairs) || k * rows_of(c) > MOST ||
        !make_room(c, at + k * rows_of(c)))
        return 0;
    b.data += i * b.by_row;
    b.by_row = PyArray_STRIDE(a, 1);
    if (copy_integers(b, rows_of(c), k, c->idx + at, &bounds)) return are_features(c, bounds, k, 0, row);
    row->k = k;
    row->form = DENSE;
    row->padded = 0;
    return !c->binary && k == c->n && copy_floats(b, rows_of(c), k, c->val + at) && are_finite(c, at, k);
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
    for (int64_t r = 0; r <= 2 * rows; r++)
        indptr[r] = r <= rows ? r * x->k : rows * x->k + (r - rows) * next->k;
    s->indptr = indptr;
    return 1;
}

enum { MOST_ACTIONS = 64 }; /* of features of state and action */

#endif
