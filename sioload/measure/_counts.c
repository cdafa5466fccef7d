/* What a histogram in one report holds more than in the report before: the master of a swarm asks for each row of each
 * report. histogram.py says what it does, and does it where this isn't compiled. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

/* The `i`th of packed numbers of 4 or 8 bytes. */
static uint64_t number(const char *packed, Py_ssize_t i, Py_ssize_t width) {
    uint32_t small;
    uint64_t large;
    if (width == 8) return memcpy(&large, packed + 8 * i, 8), large;
    return memcpy(&small, packed + 4 * i, 4), small;
}

static int put(PyObject *changes, uint16_t bucket, int64_t more) {
    PyObject *key = PyLong_FromLong(bucket), *value = PyLong_FromLongLong(more);
    int failed = key == NULL || value == NULL || PyDict_SetItem(changes, key, value) < 0;
    Py_XDECREF(key);
    Py_XDECREF(value);
    return failed;
}

static PyObject *counts_changes(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 3 || !PyBytes_Check(args[0]) || !PyBytes_Check(args[1]) || !PyBytes_Check(args[2]))
        return PyErr_Format(PyExc_TypeError, "changes() takes buckets, counts and former counts, all bytes");
    const char *buckets = PyBytes_AS_STRING(args[0]), *now = PyBytes_AS_STRING(args[1]);
    const char *then = PyBytes_AS_STRING(args[2]);
    Py_ssize_t n = PyBytes_GET_SIZE(args[0]) / 2, size = PyBytes_GET_SIZE(args[1]), known = PyBytes_GET_SIZE(args[2]);
    Py_ssize_t width = size == 4 * n ? 4 : 8;
    if (PyBytes_GET_SIZE(args[0]) % 2 || size != width * n || known % width || known > size)
        return PyErr_Format(PyExc_ValueError, "%zd buckets with %zd bytes of counts, and %zd before", n, size, known);
    PyObject *changes = PyDict_New();
    if (changes == NULL) return NULL;
    for (Py_ssize_t i = 0; i < n; i++) {
        uint64_t more = number(now, i, width) - (i < known / width ? number(then, i, width) : 0);
        uint16_t bucket;
        if (more == 0) continue;
        memcpy(&bucket, buckets + 2 * i, 2);
        if (put(changes, bucket, (int64_t)more)) {
            Py_DECREF(changes);
            return NULL;
        }
    }
    return changes;
}

static PyMethodDef functions[] = {
    {"changes", (PyCFunction)(void (*)(void))counts_changes, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "sioload.measure._counts", NULL, -1, functions};

PyMODINIT_FUNC PyInit__counts(void) { return PyModule_Create(&definition); }
