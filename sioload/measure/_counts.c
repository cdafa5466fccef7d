/* Adds counts of one histogram to those of another: all of them, or what one report holds more than the report before.
 * The master of a swarm does so for each row of each report, and for each process at each look. histogram.py says what
 * it does, and does it where this isn't compiled. */

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

/* Count so many more in a bucket. */
static int count_more(PyObject *counts, PyObject *bucket, int64_t more) {
    PyObject *known = PyDict_GetItemWithError(counts, bucket), *sum = NULL;
    int failed = 1;
    if (known != NULL) more += PyLong_AsLongLong(known);
    if (!PyErr_Occurred()) sum = PyLong_FromLongLong(more);
    if (sum != NULL) failed = PyDict_SetItem(counts, bucket, sum) < 0;
    Py_XDECREF(sum);
    return failed;
}

static PyObject *counts_add(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 2 || !PyDict_Check(args[0]) || !PyDict_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "add() takes two dicts");
    PyObject *bucket, *more;
    Py_ssize_t place = 0;
    while (PyDict_Next(args[1], &place, &bucket, &more)) {
        int64_t n = PyLong_AsLongLong(more);
        if (PyErr_Occurred() || count_more(args[0], bucket, n)) return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *counts_add_changes(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 4 || !PyDict_Check(args[0]) || !PyBytes_Check(args[1]) || !PyBytes_Check(args[2]) ||
        !PyBytes_Check(args[3]))
        return PyErr_Format(PyExc_TypeError, "add_changes() takes a dict, buckets, counts and former counts, all bytes");
    const char *buckets = PyBytes_AS_STRING(args[1]), *now = PyBytes_AS_STRING(args[2]);
    const char *then = PyBytes_AS_STRING(args[3]);
    Py_ssize_t n = PyBytes_GET_SIZE(args[1]) / 2, size = PyBytes_GET_SIZE(args[2]), known = PyBytes_GET_SIZE(args[3]);
    Py_ssize_t width = size == 4 * n ? 4 : 8;
    if (PyBytes_GET_SIZE(args[1]) % 2 || size != width * n || known % width || known > size)
        return PyErr_Format(PyExc_ValueError, "%zd buckets with %zd bytes of counts, and %zd before", n, size, known);
    int64_t total = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        uint64_t more = number(now, i, width) - (i < known / width ? number(then, i, width) : 0);
        uint16_t index;
        PyObject *bucket;
        if (more == 0) continue;
        memcpy(&index, buckets + 2 * i, 2);
        if ((bucket = PyLong_FromLong(index)) == NULL) return NULL;
        int failed = count_more(args[0], bucket, (int64_t)more);
        Py_DECREF(bucket);
        if (failed) return NULL;
        total += (int64_t)more;
    }
    return PyLong_FromLongLong(total);
}

static PyMethodDef functions[] = {
    {"add", (PyCFunction)(void (*)(void))counts_add, METH_FASTCALL, NULL},
    {"add_changes", (PyCFunction)(void (*)(void))counts_add_changes, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "sioload.measure._counts", NULL, -1, functions};

PyMODINIT_FUNC PyInit__counts(void) { return PyModule_Create(&definition); }
