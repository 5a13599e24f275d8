/* The lock alone, for Pythons without a GIL, for which _call.c is not built. */
#include "call/lock.h"

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_lock", NULL, -1, NULL, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__lock(void);
PyMODINIT_FUNC PyInit__lock(void) {
    PyObject *module = PyModule_Create(&definition);
    if (!module || !add_locks(module)) return NULL;
#ifdef Py_GIL_DISABLED
    PyUnstable_Module_SetGIL(module, Py_MOD_GIL_NOT_USED);
#endif
    return module;
}
