/* The lock of a learner: who comes second is refused, and nobody waits. */
#ifndef FT_CALL_LOCK_H
#define FT_CALL_LOCK_H

#include <Python.h>

/* Guarded by the GIL, as Python's own lock would cost a call each way; without a GIL by the processor. */
typedef struct {
    PyObject_HEAD
    int held;
} Lock;

#ifndef Py_GIL_DISABLED
static int lock_exchange(Lock *lock, int held) {
    const int was = lock->held;
    lock->held = held;
    return was;
}
#elif defined _MSC_VER
#include <intrin.h>
static int lock_exchange(Lock *lock, int held) {
    return (int)_InterlockedExchange((volatile long *)&lock->held, held);
}
#else
static int lock_exchange(Lock *lock, int held) {
    return __atomic_exchange_n(&lock->held, held, __ATOMIC_SEQ_CST);
}
#endif

static PyTypeObject *lock_type, *use_type;

static PyObject *lock_locked(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(*(volatile int *)&((Lock *)self)->held);
}

static PyObject *lock_acquire(PyObject *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(!lock_exchange((Lock *)self, 1));
}

static PyObject *lock_release(PyObject *self, PyObject *unused) {
    (void)unused;
    lock_exchange((Lock *)self, 0);
    Py_RETURN_NONE;
}

/* `with lock.use():` holds it for the block.  `with lock` would not do: from Python 3.14 on an interrupt may
 * come between __enter__ and the block, and nobody would let go.  A Use that has entered does so when it dies. */
typedef struct {
    PyObject_HEAD
    Lock *lock;
    int entered;
} Use;

static PyObject *lock_use(PyObject *self, PyObject *unused) {
    Use *use = PyObject_New(Use, use_type);
    (void)unused;
    if (!use) return NULL;
    Py_INCREF(self);
    use->lock = (Lock *)self;
    use->entered = 0;
    return (PyObject *)use;
}

static PyObject *use_enter(PyObject *self, PyObject *unused) {
    Use *use = (Use *)self;
    (void)unused;
    if (lock_exchange(use->lock, 1)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this learner is in use by another thread; give each its own learner");
        return NULL;
    }
    use->entered = 1;
    Py_RETURN_NONE;
}

static PyObject *use_exit(PyObject *self, PyObject *unused) {
    Use *use = (Use *)self;
    (void)unused;
    if (use->entered) lock_exchange(use->lock, 0);
    use->entered = 0;
    Py_RETURN_NONE;
}

static void plain_dealloc(PyObject *self) {
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static void use_dealloc(PyObject *self) {
    Use *use = (Use *)self;
    if (use->entered) lock_exchange(use->lock, 0);
    Py_DECREF((PyObject *)use->lock);
    plain_dealloc(self);
}

static PyMethodDef lock_methods[] = {{"locked", lock_locked, METH_NOARGS, NULL},
                                     {"acquire", lock_acquire, METH_VARARGS, NULL},
                                     {"release", lock_release, METH_NOARGS, NULL},
                                     {"use", lock_use, METH_NOARGS, NULL},
                                     {NULL, NULL, 0, NULL}};
static PyMethodDef use_methods[] = {{"__enter__", use_enter, METH_NOARGS, NULL},
                                    {"__exit__", use_exit, METH_VARARGS, NULL},
                                    {NULL, NULL, 0, NULL}};
static PyType_Slot lock_slots[] = {
    {Py_tp_methods, lock_methods}, {Py_tp_dealloc, (void *)plain_dealloc}, {0, NULL}};
static PyType_Slot use_slots[] = {
    {Py_tp_methods, use_methods}, {Py_tp_dealloc, (void *)use_dealloc}, {0, NULL}};
static PyType_Spec lock_spec = {"fasttrace._call.Lock", sizeof(Lock), 0, Py_TPFLAGS_DEFAULT, lock_slots};
static PyType_Spec use_spec = {"fasttrace._call.Use", sizeof(Use), 0,
                               Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, use_slots};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec, const char *name) {
    PyObject *type = PyType_FromSpec(spec);
    if (type && PyModule_AddObjectRef(module, name, type) == 0) return (PyTypeObject *)type;
    return NULL;
}

static int add_locks(PyObject *module) {
    return (lock_type = add_type(module, &lock_spec, "Lock")) &&
           (use_type = add_type(module, &use_spec, "Use"));
}

#endif
