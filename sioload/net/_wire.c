/* The calls that every small message or request makes, without what Python's own cost besides: sockets here never wait,
 * so the interpreter's lock is kept, and a frame is built where it is sent from.
 * wire.py says what they do, and does it where this isn't compiled. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROOM 16384 /* the longest read; longer frames are built on the heap */
#define HEAD 14    /* of a frame: at most 2 + 8 + 4 bytes (RFC 6455, section 5.2) */
#define DIGITS 20

/* A masking key from the system's random source (RFC 6455, section 5.3), asked for 64 at a time. */
static int next_key(char key[4]) {
    static char pool[256];
    static size_t left = 0;
    if (left == 0) {
        if (getentropy(pool, sizeof pool) < 0) return -1;
        left = sizeof pool;
    }
    left -= 4;
    memcpy(key, pool + left, 4);
    return 0;
}

static PyObject *wire_read(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    char data[ROOM];
    if (count != 2) return PyErr_Format(PyExc_TypeError, "read() takes 2 arguments, not %zd", count);
    long fd = PyLong_AsLong(args[0]), size = PyLong_AsLong(args[1]);
    if (PyErr_Occurred()) return NULL;
    if (size < 0 || size > ROOM) return PyErr_Format(PyExc_ValueError, "read() of %ld bytes", size);
    ssize_t n = read((int)fd, data, (size_t)size);
    return n < 0 ? PyErr_SetFromErrno(PyExc_OSError) : PyBytes_FromStringAndSize(data, n);
}

static PyObject *wire_stale(PyObject *module, PyObject *arg) {
    char byte;
    long fd = PyLong_AsLong(arg);
    if (PyErr_Occurred()) return NULL;
    ssize_t n = recv((int)fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return PyBool_FromLong(n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR));
}

static PyObject *wire_send_text(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    char room[ROOM], digits[DIGITS], key[4];
    if (count != 4 || !PyBytes_Check(args[1]) || !PyBytes_Check(args[3]))
        return PyErr_Format(PyExc_TypeError, "send_text() takes a descriptor, bytes, a number or None, and bytes");
    long fd = PyLong_AsLong(args[0]);
    size_t first = DIGITS;
    if (args[2] != Py_None) {
        unsigned long long number = PyLong_AsUnsignedLongLong(args[2]);
        do digits[--first] = (char)('0' + number % 10);
        while (number /= 10);
    }
    if (PyErr_Occurred()) return NULL;
    const char *parts[] = {PyBytes_AS_STRING(args[1]), digits + first, PyBytes_AS_STRING(args[3])};
    size_t sizes[] = {(size_t)PyBytes_GET_SIZE(args[1]), DIGITS - first, (size_t)PyBytes_GET_SIZE(args[3])};
    size_t payload = sizes[0] + sizes[1] + sizes[2];
    char *frame = payload + HEAD <= ROOM ? room : PyMem_Malloc(payload + HEAD);
    if (frame == NULL) return PyErr_NoMemory();

    size_t at = 2;
    frame[0] = (char)0x81;
    if (payload < 126) {
        frame[1] = (char)(0x80 | payload);
    } else {
        int wide = payload < 65536 ? 2 : 8;
        frame[1] = (char)(0x80 | (wide == 2 ? 126 : 127));
        while (wide--) frame[at++] = (char)((uint64_t)payload >> (8 * wide));
    }
    PyObject *done = NULL;
    if (next_key(key) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        goto out;
    }
    memcpy(frame + at, key, 4);
    at += 4;
    char *text = frame + at;
    for (int i = 0; i < 3; i++) {
        memcpy(frame + at, parts[i], sizes[i]);
        at += sizes[i];
    }
    uint32_t mask, four;
    memcpy(&mask, key, 4);
    size_t i = 0;
    for (; i + 4 <= payload; i += 4) {
        memcpy(&four, text + i, 4);
        four ^= mask;
        memcpy(text + i, &four, 4);
    }
    for (; i < payload; i++) text[i] ^= key[i & 3];

    ssize_t n = write((int)fd, frame, at);
    if (n == (ssize_t)at) done = PyLong_FromSsize_t(n);
    else if (n >= 0 || errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
        if (n < 0) n = 0;
        done = Py_BuildValue("ny#", n, frame + n, (Py_ssize_t)at - n);
    } else PyErr_SetFromErrno(PyExc_OSError);
out:
    if (frame != room) PyMem_Free(frame);
    return done;
}

static PyMethodDef functions[] = {
    {"read", (PyCFunction)(void (*)(void))wire_read, METH_FASTCALL, NULL},
    {"stale", wire_stale, METH_O, NULL},
    {"send_text", (PyCFunction)(void (*)(void))wire_send_text, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "sioload.net._wire", NULL, -1, functions};

PyMODINIT_FUNC PyInit__wire(void) { return PyModule_Create(&definition); }
