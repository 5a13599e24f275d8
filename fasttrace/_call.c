/* The quick way of a call from Python: one state, or one transition, without an object made on the way.
 *
 * A method that quick.py marks is a C function here.  It takes what users give by habit and calls the
 * kernel, by its address, over the learner's memory.  Whatever else it is given, and whatever is wrong, it
 * leaves to the method as Python has it, having changed nothing: that one knows every form, and what to
 * say.
 *
 * No kernel is compiled here, and the GIL is held in a step, so that it is one for all threads. */
#include "call/crew.h"
#include "call/returns.h"

/* ---- types ---------------------------------------------------------------------------------- */

#define INTEGER(name, field) {name, T_LONGLONG, offsetof(Call, field), 0, NULL}
#define REAL(name, field) {name, T_DOUBLE, offsetof(Call, field), 0, NULL}
static PyMemberDef call_members[] = {{"owner", T_OBJECT, offsetof(Call, owner), 0, NULL},
                                     {"params", T_OBJECT, offsetof(Call, params), 0, NULL},
                                     INTEGER("network", network),
                                     INTEGER("raw", raw),
                                     INTEGER("counts", counts),
                                     INTEGER("slow", slow),
                                     INTEGER("family", family),
                                     INTEGER("trace", trace),
                                     INTEGER("actor", actor),
                                     INTEGER("kind", kind),
                                     INTEGER("target", target),
                                     INTEGER("policy", policy),
                                     INTEGER("n", n),
                                     INTEGER("columns", columns),
                                     INTEGER("n_actions", n_actions),
                                     INTEGER("pairs", pairs),
                                     INTEGER("takes", takes),
                                     INTEGER("needs", needs),
                                     INTEGER("binary", binary),
                                     INTEGER("action", action),
                                     REAL("gamma", gamma),
                                     REAL("lambda_", lambda),
                                     REAL("alpha", alpha),
                                     REAL("beta", beta),
                                     REAL("parameter", parameter),
                                     REAL("sigma", sigma),
                                     REAL("alpha_actor", alpha_actor),
                                     REAL("lambda_actor", lambda_actor),
                                     REAL("c_bar", stream.options.c_bar),
                                     REAL("rho_bar", stream.options.rho_bar),
                                     REAL("psi", stream.options.psi),
                                     REAL("option_beta", stream.options.beta),
                                     INTEGER("learn_takes", learn_takes),
                                     INTEGER("learn_needs", learn_needs),
                                     {"guarded", T_INT, offsetof(Call, guarded), 0, NULL},
                                     {"tells", T_INT, offsetof(Call, tells), 0, NULL},
                                     {"told", T_INT, offsetof(Call, told), 0, NULL},
                                     {"arrived_at", T_LONGLONG, offsetof(Call, arrived_at), READONLY, NULL},
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

/* A copy of numbers as an array. */
static PyObject *array_of(int type, const void *data, int64_t size, size_t itemsize) {
    npy_intp length = (npy_intp)size;
    PyObject *array = PyArray_SimpleNew(1, &length, type);
    if (array && size) memcpy(PyArray_DATA((PyArrayObject *)array), data, (size_t)size * itemsize);
    return array;
}

/* kept() -> (k, indices or None where the features are dense, values or None), or None in no state. */
static PyObject *call_kept(PyObject *self, PyObject *unused) {
    Call *c = (Call *)self;
    const int64_t entries = c->kept.k * rows_of(c);
    (void)unused;
    if (!c->acts) Py_RETURN_NONE;
    PyObject *indices = c->kept.form == DENSE ? Py_NewRef(Py_None) : array_of(NPY_INT32, c->idx, entries, 4);
    PyObject *values = c->kept.form == BINARY ? Py_NewRef(Py_None) : array_of(NPY_DOUBLE, c->val, entries, 8);
    return Py_BuildValue("LNN", (long long)c->kept.k, indices, values); /* NULL where one is */
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
    if (indices != Py_None) copy_integers(block_of((PyArrayObject *)indices), 1, entries, c->idx, &bounds);
    if (values != Py_None) copy_floats(block_of((PyArrayObject *)values), 1, entries, c->val);
    c->kept.k = k;
    c->kept.form = indices == Py_None ? DENSE : values == Py_None ? BINARY : VALUED;
    c->kept.padded = bounds.low < 0;
    c->acts = 1;
    Py_RETURN_NONE;
}

/* arrival() -> (indices, values or None, action) of the state arrived in; of features of state and action the
 * action is 0. */
static PyObject *call_arrival(PyObject *self, PyObject *unused) {
    Call *c = (Call *)self;
    const int64_t k = c->kept.k, from = c->pairs ? c->action * k : 0;
    (void)unused;
    if (c->kept.form == DENSE && !range_of(c)) return PyErr_NoMemory();
    PyObject *indices = array_of(NPY_INT32, c->kept.form == DENSE ? c->range : c->idx + from, k, 4);
    PyObject *values = c->kept.form == BINARY ? Py_NewRef(Py_None) : array_of(NPY_DOUBLE, c->val + from, k, 8);
    return Py_BuildValue("NNL", indices, values, c->pairs ? 0LL : c->action);
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

static PyType_Slot call_slots[] = {
    {Py_tp_members, call_members},         {Py_tp_getset, call_getset},
    {Py_tp_methods, call_methods},         {Py_tp_init, (void *)call_init},
    {Py_tp_dealloc, (void *)call_dealloc}, {Py_tp_traverse, (void *)call_traverse},
    {Py_tp_clear, (void *)call_clear},     {0, NULL}};
static PyType_Spec call_spec = {"fasttrace._call.Call", sizeof(Call), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, call_slots};

static PyMemberDef quick_members[] = {{"_call", T_OBJECT, offsetof(Quick, call), 0, NULL},
                                      {NULL, 0, 0, 0, NULL}};

static void quick_dealloc(PyObject *self) {
    Py_XDECREF(((Quick *)self)->call);
    plain_dealloc(self);
}

/* A public name that neither the class has nor the object is for _set_new, where the class has one. */
static int quick_setattr(PyObject *self, PyObject *name, PyObject *value) {
    PyObject *const type = (PyObject *)Py_TYPE(self);
    if (!value || !PyUnicode_Check(name) || PyUnicode_ReadChar(name, 0) == '_' || PyObject_HasAttr(type, name) ||
        !PyObject_HasAttr(type, name_set_new))
        return PyObject_GenericSetAttr(self, name, value);
    PyObject *done = PyObject_CallMethodObjArgs(self, name_set_new, name, value, NULL);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static PyType_Slot quick_slots[] = {{Py_tp_members, quick_members},
                                    {Py_tp_dealloc, (void *)quick_dealloc},
                                    {Py_tp_setattro, (void *)quick_setattr},
                                    {0, NULL}};
static PyType_Spec quick_spec = {"fasttrace._call.Quick", sizeof(Quick), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, quick_slots};

/* ---- the module ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    PyObject *(*function)(PyObject *, PyObject *const *, Py_ssize_t, PyObject *);
} methods[] = {{"update", quick_update},     {"learn", quick_learn},
               {"predict", quick_predict},   {"q", quick_q},
               {"act", quick_act},           {"start", quick_start},
               {"step", quick_step},         {"end", quick_end},
               {"truncate", quick_truncate}, {"__call__", quick___call__}};

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
#define BIND(name)                                                                                         \
    {                                                                                                      \
        PyObject *address = PyDict_GetItemString(addresses, #name);                                        \
        if (!address) return PyErr_Format(PyExc_KeyError, "%s", #name);                                    \
        call_##name = (__typeof__(name) *)(uintptr_t)PyLong_AsUnsignedLongLong(address);                   \
        if (PyErr_Occurred()) return NULL;                                                                 \
    }
    KERNELS(BIND)
    Py_RETURN_NONE;
}

/* What any call costs, for benchmarks. */
static PyObject *empty(PyObject *module, PyObject *const *args, Py_ssize_t n) {
    (void)module, (void)args, (void)n;
    Py_RETURN_NONE;
}

/* know(Ragged), the class. */
static PyObject *know(PyObject *module, PyObject *type) {
    (void)module;
    ragged_type = type; /* a class lives for good */
    Py_INCREF(type);
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"know", know, METH_O, NULL},
    {"empty", (PyCFunction)(void (*)(void))empty, METH_FASTCALL, NULL},
    {"method", method, METH_VARARGS, NULL},
    {"bind", bind, METH_O, NULL},
    {"crew_step", (PyCFunction)(void (*)(void))crew_step, METH_FASTCALL, NULL},
    {"crew_act", (PyCFunction)(void (*)(void))crew_act, METH_FASTCALL, NULL},
    {"returns", (PyCFunction)(void (*)(void))quick_returns, METH_FASTCALL, NULL},
    {"tensors", quick_tensors, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_call", NULL, -1, module_methods, NULL, NULL, NULL, NULL};

/* A tuple of these names in the module; interned, they can be told by their addresses. */
static int intern(PyObject *module, const char *what, const char *const *names, int count,
                  PyObject **interned) {
    PyObject *tuple = PyTuple_New(count);
    for (int i = 0; tuple && i < count; i++) {
        if (!(interned[i] = PyUnicode_InternFromString(names[i]))) return 0;
        PyTuple_SetItem(tuple, i, Py_NewRef(interned[i]));
    }
    return tuple && PyModule_AddObjectRef(module, what, tuple) == 0;
}

PyMODINIT_FUNC PyInit__call(void);
PyMODINIT_FUNC PyInit__call(void) {
    if (_import_array() < 0) return NULL; /* PyArray_ImportNumPyAPI would print an error that we take */
    PyObject *module = PyModule_Create(&definition);
    if (!module || !add_locks(module) || !(call_type = add_type(module, &call_spec, "Call")) ||
        !(quick_type = add_type(module, &quick_spec, "Quick")))
        return NULL;
#define NAME(name) #name,
    static const char *const kernels[] = {KERNELS(NAME)}, *const families[] = {FAMILIES(NAME)};
    enum { COUNT = sizeof kernels / sizeof *kernels, FAMILY_COUNT = sizeof families / sizeof *families };
    PyObject *interned[COUNT];
    if (!intern(module, "KERNELS", kernels, COUNT, interned) ||
        !intern(module, "FAMILIES", families, FAMILY_COUNT, interned) ||
        PyModule_AddIntConstant(module, "MOST_ACTIONS", MOST_ACTIONS) != 0)
        return NULL;
    if (!intern(module, "KEYWORDS", keyword_names, KEYWORDS, keywords) ||
        !intern(module, "NETWORK_KEYWORDS", net_keyword_names, KEYWORDS, net_keywords) ||
        !intern(module, "LEARN_KEYWORDS", learn_keyword_names, LEARN_KEYWORDS, learn_keywords))
        return NULL;
#define INTERN_TEXT(name, text)                                                                            \
    if (!(name_##name = PyUnicode_InternFromString(text))) return NULL;
    NAMES(INTERN_TEXT)
#define INTERN(name)                                                                                       \
    if (!(general_##name = PyUnicode_InternFromString("_any_" #name))) return NULL;
    METHODS(INTERN)
    return module;
}
