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
#define HEAD 14    /* of the longest frames: 2 + 8 + 4 bytes (RFC 6455, section 5.2) */
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

/* The text frame of `head`, `number` in decimal digits unless it is None, and `data`. */
struct text {
    const char *parts[3];
    size_t sizes[3], payload, length;
    char digits[DIGITS];
};

/* Reads those three arguments; -1 when they aren't what they must be. */
static int text_of(PyObject *const *args, struct text *t) {
    size_t first = DIGITS;
    if (!PyBytes_Check(args[0]) || !PyBytes_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "a frame is made of bytes, a number or None, and bytes");
        return -1;
    }
    if (args[1] != Py_None) {
        unsigned long long number = PyLong_AsUnsignedLongLong(args[1]);
        if (PyErr_Occurred()) return -1;
        do t->digits[--first] = (char)('0' + number % 10);
        while (number /= 10);
    }
    t->parts[0] = PyBytes_AS_STRING(args[0]), t->sizes[0] = (size_t)PyBytes_GET_SIZE(args[0]);
    t->parts[1] = t->digits + first, t->sizes[1] = DIGITS - first;
    t->parts[2] = PyBytes_AS_STRING(args[2]), t->sizes[2] = (size_t)PyBytes_GET_SIZE(args[2]);
    t->payload = t->sizes[0] + t->sizes[1] + t->sizes[2];
    t->length = t->payload + (t->payload < 126 ? 6 : t->payload < 65536 ? 8 : HEAD);
    return 0;
}

/* Writes the frame, of t->length bytes; -1 when there is no masking key. */
static int build(const struct text *t, char *frame) {
    size_t payload = t->payload, at = 2;
    char key[4];
    frame[0] = (char)0x81;
    if (payload < 126) {
        frame[1] = (char)(0x80 | payload);
    } else {
        int wide = payload < 65536 ? 2 : 8;
        frame[1] = (char)(0x80 | (wide == 2 ? 126 : 127));
        while (wide--) frame[at++] = (char)((uint64_t)payload >> (8 * wide));
    }
    if (next_key(key) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    memcpy(frame + at, key, 4);
    at += 4;
    char *text = frame + at;
    for (int i = 0; i < 3; i++) {
        memcpy(frame + at, t->parts[i], t->sizes[i]);
        at += t->sizes[i];
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
    return 0;
}

/* How much of it the kernel takes now; -1 when the socket takes nothing any more. */
static ssize_t hand_over(long fd, const char *data, size_t size) {
    ssize_t n = write((int)fd, data, size);
    if (n >= 0) return n;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static PyObject *wire_send(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    if (count != 2 || !PyBytes_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "send() takes a descriptor and bytes");
    long fd = PyLong_AsLong(args[0]);
    if (PyErr_Occurred()) return NULL;
    ssize_t n = hand_over(fd, PyBytes_AS_STRING(args[1]), (size_t)PyBytes_GET_SIZE(args[1]));
    return n < 0 ? NULL : PyLong_FromSsize_t(n);
}

static PyObject *wire_text_frame(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    struct text t;
    if (count != 3) return PyErr_Format(PyExc_TypeError, "text_frame() takes 3 arguments, not %zd", count);
    if (text_of(args, &t) < 0) return NULL;
    PyObject *frame = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)t.length);
    if (frame != NULL && build(&t, PyBytes_AS_STRING(frame)) < 0) Py_CLEAR(frame);
    return frame;
}

static PyObject *wire_send_text(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    char room[ROOM];
    struct text t;
    if (count != 4) return PyErr_Format(PyExc_TypeError, "send_text() takes 4 arguments, not %zd", count);
    long fd = PyLong_AsLong(args[0]);
    if (PyErr_Occurred() || text_of(args + 1, &t) < 0) return NULL;
    char *frame = t.length <= ROOM ? room : PyMem_Malloc(t.length);
    if (frame == NULL) return PyErr_NoMemory();
    PyObject *done = NULL;
    if (build(&t, frame) == 0) {
        ssize_t n = hand_over(fd, frame, t.length);
        if (n == (ssize_t)t.length) done = PyLong_FromSsize_t(n);
        else if (n >= 0) done = Py_BuildValue("ny#", n, frame + n, (Py_ssize_t)t.length - n);
    }
    if (frame != room) PyMem_Free(frame);
    return done;
}

static PyMethodDef functions[] = {
    {"read", (PyCFunction)(void (*)(void))wire_read, METH_FASTCALL, NULL},
    {"stale", wire_stale, METH_O, NULL},
    {"send", (PyCFunction)(void (*)(void))wire_send, METH_FASTCALL, NULL},
    {"text_frame", (PyCFunction)(void (*)(void))wire_text_frame, METH_FASTCALL, NULL},
    {"send_text", (PyCFunction)(void (*)(void))wire_send_text, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "sioload.net._wire", NULL, -1, functions};

PyMODINIT_FUNC PyInit__wire(void) { return PyModule_Create(&definition); }
