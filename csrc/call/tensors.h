/* Tensors of PyTorch, read and made without a call into Python: by the functions that DLPack has for it.
 *
 * They stand behind a capsule at the type, in this order, from version 1 on. */
#ifndef FT_CALL_TENSORS_H
#define FT_CALL_TENSORS_H

#include "call.h"

enum { ON_CPU = 1, FLOATS = 2, BOOLS = 6 }; /* DLPack's numbers */

typedef struct {
    void *data;
    int32_t device, device_id, dims;
    uint8_t code, bits;
    uint16_t lanes;
    int64_t *shape, *strides;
    uint64_t offset;
} Tensor;

typedef struct ManagedTensor {
    uint32_t major, minor;
    void *context;
    void (*end)(struct ManagedTensor *);
    uint64_t flags;
    Tensor tensor;
} ManagedTensor;

typedef struct {
    uint32_t major, minor;
    void *older;
    int (*make)(Tensor *like, ManagedTensor **made, void *context,
                void (*report)(void *context, const char *kind, const char *message));
    int (*share)(void *object, ManagedTensor **shared);
    int (*to_object)(ManagedTensor *tensor, void **object);
    int (*look)(void *object, Tensor *tensor); /* borrows its memory; may be missing */
    void *stream;
} Exchange;

static PyTypeObject *tensor_type;
static const Exchange *exchange;
static PyObject *grad_enabled, *name_requires_grad, *name_is_neg;

static int is_tensor(PyObject *o) { return tensor_type && Py_TYPE(o) == tensor_type; }

/* tensors(type, capsule, is_grad_enabled): which ones there are; False where they cannot be read so. */
static PyObject *quick_tensors(PyObject *module, PyObject *args) {
    PyObject *type, *capsule, *enabled;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOO", &type, &capsule, &enabled)) return NULL;
    const Exchange *found = PyCapsule_GetPointer(capsule, "dlpack_exchange_api");
    while (found && found->major > 1) found = found->older;
    if (!found) PyErr_Clear();
    if (tensor_type || !found || found->major != 1 || !found->look || !PyType_Check(type)) Py_RETURN_FALSE;
    name_requires_grad = PyUnicode_InternFromString("requires_grad");
    name_is_neg = PyUnicode_InternFromString("is_neg");
    if (!name_requires_grad || !name_is_neg) return NULL;
    grad_enabled = Py_NewRef(enabled);
    exchange = found;
    tensor_type = (PyTypeObject *)Py_NewRef(type);
    Py_RETURN_TRUE;
}

/* Whether what Python answers is False. */
static int says_no(PyObject *answer) {
    const int no = answer == Py_False;
    if (!answer) PyErr_Clear();
    Py_XDECREF(answer);
    return no;
}

/* Whether its numbers are those in memory, and nobody wants to know what becomes of them. */
static int is_plain_tensor(PyObject *o, const Tensor *t) {
    if (t->code != FLOATS) return 1;
    if (!says_no(PyObject_CallMethodObjArgs(o, name_is_neg, NULL))) return 0;
    return says_no(PyObject_GetAttr(o, name_requires_grad)) ||
           says_no(PyObject_CallObject(grad_enabled, NULL));
}

/* Of float32, float64 or bool: the type's number in NumPy; else -1. */
static int look_at(PyObject *o, Tensor *t) {
    if (exchange->look(o, t) != 0) {
        PyErr_Clear();
        return -1;
    }
    if (t->device != ON_CPU || t->lanes != 1) return -1;
    if (t->code == BOOLS && t->bits == 8) return NPY_BOOL;
    return t->code != FLOATS ? -1 : t->bits == 32 ? NPY_FLOAT : t->bits == 64 ? NPY_DOUBLE : -1;
}

/* The memory of a tensor (rows) or (rows, columns) of this type, without gaps; or NULL. */
static void *tensor_data(PyObject *o, int type, int dims, int64_t rows, int64_t columns) {
    Tensor t;
    if (look_at(o, &t) != type || t.dims != dims || t.shape[0] != rows || !t.data) return NULL;
    if (t.strides && (t.strides[dims - 1] != 1 || t.strides[0] != (dims == 2 ? columns : 1))) return NULL;
    if (dims == 2 && t.shape[1] != columns) return NULL;
    char *const data = (char *)t.data + t.offset;
    return (uintptr_t)data % (t.bits / 8) || !is_plain_tensor(o, &t) ? NULL : data;
}

static void ignore_report(void *context, const char *kind, const char *message) {
    (void)context;
    (void)kind;
    (void)message;
}

/* A new tensor, and where its memory is; NULL without an exception where there is none. */
static PyObject *new_tensor(int type, int dims, const npy_intp *shape, void **data) {
    int64_t sizes[2] = {shape[0], dims == 2 ? shape[1] : 1};
    const Tensor like = {NULL, ON_CPU, 0, dims, FLOATS, type == NPY_DOUBLE ? 64 : 32, 1, sizes, NULL, 0};
    Tensor prototype = like;
    ManagedTensor *made = NULL;
    void *object = NULL;
    if (exchange->make(&prototype, &made, NULL, ignore_report) != 0 || !made) {
        PyErr_Clear();
        return NULL;
    }
    *data = (char *)made->tensor.data + made->tensor.offset;
    if (exchange->to_object(made, &object) != 0) {
        PyErr_Clear();
        return NULL;
    }
    return object;
}

#endif
