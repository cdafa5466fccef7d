/* The floor of the benchmark: what an epoll client in C pays for the same work.
 *
 * usage: floor PORT USERS SECONDS ack|push|rounds|connect [CA]
 *   ack     every user keeps one acknowledged emit on its way, and sends the next when the ack is in
 *   push    every user counts the events that the server sends
 *   rounds  and notes when each event's first and last copy came, by the "n" in it
 *   connect connects the users, one after another, and counts that
 * With CA, a file of certificates, it speaks TLS and trusts them (compiled with -DTLS -lssl -lcrypto).
 * After a second of warm-up it counts for SECONDS and prints one line of JSON: operations, CPU seconds
 * (user and system), seconds that passed, and the operations of the whole run; and with "rounds" a list of
 * [when the server sent it, when its first and its last copy came (seconds since the epoch), copies]. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/ssl.h>
static SSL_CTX *tls;
#else
typedef void SSL;
#endif

enum { IN_MAX = 16384, ROUNDS_MAX = 4096 };

struct user {
    int fd, len;
    long id; /* of the emit on its way */
    SSL *ssl;
    char in[IN_MAX];
};

struct round {
    double sent, first, last;
    long copies;
};

static long ops;
static int emitting, noting, joined;
static struct round rounds[ROUNDS_MAX];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double cpu_seconds(void) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_utime.tv_sec + use.ru_stime.tv_sec + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double wall_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + t.tv_nsec / 1e9;
}

/* Notes a copy of the event {"n":N,"sent":SECONDS}. */
static void note(const char *p) {
    const char *n = strstr(p, "\"n\":"), *sent = strstr(p, "\"sent\":");
    long i = n ? strtol(n + 4, NULL, 10) : -1;
    if (!sent || i < 0 || i >= ROUNDS_MAX) fail("event");
    struct round *r = &rounds[i];
    r->last = wall_seconds();
    if (!r->copies++) r->first = r->last, r->sent = strtod(sent + 7, NULL);
}

static void print_rounds(void) {
    const char *comma = "";
    printf(", \"rounds\": [");
    for (int i = 0; i < ROUNDS_MAX; i++) {
        struct round *r = &rounds[i];
        if (!r->copies) continue;
        printf("%s[%.6f, %.6f, %.6f, %ld]", comma, r->sent, r->first, r->last, r->copies);
        comma = ", ";
    }
    printf("]");
}

static void deliver(struct user *u, const void *data, size_t size) {
#ifdef TLS
    if (u->ssl) {
        if (SSL_write(u->ssl, data, (int)size) != (int)size) fail("SSL_write");
        return;
    }
#endif
    if (send(u->fd, data, size, MSG_NOSIGNAL) != (ssize_t)size) fail("send");
}

static ssize_t receive(struct user *u, void *to, size_t size) {
#ifdef TLS
    if (u->ssl) {
        int n = SSL_read(u->ssl, to, (int)size);
        if (n <= 0) errno = SSL_get_error(u->ssl, n) == SSL_ERROR_WANT_READ ? EAGAIN : EPROTO;
        return n > 0 ? n : -1;
    }
#endif
    return recv(u->fd, to, size, 0);
}

#ifdef TLS
static void trust(const char *file) {
    tls = SSL_CTX_new(TLS_client_method());
    if (!tls || !SSL_CTX_load_verify_locations(tls, file, NULL)) fail("CA");
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
}

static void secure(struct user *u) {
    u->ssl = SSL_new(tls);
    if (!u->ssl || !X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(u->ssl), "127.0.0.1")) fail("SSL_new");
    SSL_set_fd(u->ssl, u->fd);
    if (SSL_connect(u->ssl) != 1) fail("SSL_connect");
}
#endif

/* Sends one masked text frame (RFC 6455, section 5.3) of less than 126 bytes. */
static void send_text(struct user *u, const char *text, int len) {
    uint8_t data[160] = {0x81, (uint8_t)(0x80 | len)};
    uint32_t mask = (uint32_t)random();
    memcpy(data + 2, &mask, 4);
    for (int i = 0; i < len; i++) data[6 + i] = (uint8_t)text[i] ^ data[2 + (i & 3)];
    deliver(u, data, (size_t)len + 6);
}

static void emit(struct user *u) {
    char text[120];
    u->id++;
    send_text(u, text, sprintf(text, "42%ld[\"echo\",{\"text\":\"hello\",\"n\":%ld}]", u->id, u->id));
}

static void packet(struct user *u, char *p, int len) {
    p[len] = 0;
    if (p[0] == '2') {
        send_text(u, "3", 1);
    } else if (p[0] == '0') {
        send_text(u, "40", 2);
    } else if (len > 2 && p[0] == '4') {
        if (p[1] == '0') {
            joined++;
        } else if (p[1] == '3' && emitting) {
            const char *n = strstr(p + 2, "\"n\":");
            if (strtol(p + 2, NULL, 10) != u->id || !n || strtol(n + 4, NULL, 10) != u->id) {
                fprintf(stderr, "wrong ack: %s\n", p);
                exit(1);
            }
            ops++;
            emit(u);
        } else if (p[1] == '2' && !emitting) {
            ops++;
            if (noting) note(p);
        }
    }
}

/* Takes whole frames. */
static void frames(struct user *u) {
    int used = 0;
    while (u->len - used >= 2) {
        uint8_t *p = (uint8_t *)u->in + used;
        int size = p[1], head = 2;
        if (size == 126) {
            if (u->len - used < 4) break;
            size = p[2] << 8 | p[3], head = 4;
        }
        if (u->len - used < head + size) break;
        char after = u->in[used + head + size]; /* the terminator that packet() sets goes here */
        packet(u, u->in + used + head, size);
        u->in[used + head + size] = after;
        used += head + size;
    }
    u->len -= used;
    memmove(u->in, u->in + used, (size_t)u->len);
}

/* Whether more has come. */
static int more(struct user *u) {
    ssize_t got = receive(u, u->in + u->len, (size_t)(IN_MAX - u->len - 1));
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) fail("receive");
    u->len += (int)got;
    return 1;
}

static void readable(struct user *u) {
    if (more(u)) frames(u);
}

/* Connects, and blocks until it has joined. */
static void open_user(struct user *u, int port) {
    static const char request[] = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                                  "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, before = joined;
    char *end = NULL;
    u->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (u->fd < 0 || connect(u->fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    setsockopt(u->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
#ifdef TLS
    if (tls) secure(u);
#endif
    deliver(u, request, sizeof request - 1);
    while (!end) {
        more(u);
        end = memmem(u->in, (size_t)u->len, "\r\n\r\n", 4);
    }
    if (strncmp(u->in, "HTTP/1.1 101", 12)) fail("no websocket");
    u->len -= (int)(end + 4 - u->in);
    memmove(u->in, end + 4, (size_t)u->len);
    for (frames(u); joined == before;) readable(u);
    fcntl(u->fd, F_SETFL, O_NONBLOCK);
}

int main(int argc, char **argv) {
    if (argc != 5 && argc != 6) return 2;
    int port = atoi(argv[1]), users = atoi(argv[2]), poll_fd = epoll_create1(0);
    double seconds = atof(argv[3]), began, cpu = 0, from = 0;
    int emits = !strcmp(argv[4], "ack");
    long before = 0;
    struct epoll_event events[512];
    struct user *all = calloc((size_t)users, sizeof *all);
    if (!all || poll_fd < 0) fail("start");
#ifdef TLS
    if (argc == 6) trust(argv[5]);
#endif
    began = now(), cpu = cpu_seconds();
    for (int i = 0; i < users; i++) {
        open_user(&all[i], port);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, all[i].fd, &event) < 0) fail("epoll_ctl");
    }
    if (!strcmp(argv[4], "connect")) {
        printf("{\"ops\": %d, \"cpu\": %.6f, \"seconds\": %.3f, \"total\": %d}\n", users, cpu_seconds() - cpu,
               now() - began, users);
        return 0;
    }
    emitting = emits;
    noting = !strcmp(argv[4], "rounds");
    for (int i = 0; emits && i < users; i++) emit(&all[i]);
    for (began = now();;) {
        int n = epoll_wait(poll_fd, events, 512, 100);
        for (int i = 0; i < n; i++) readable(events[i].data.ptr);
        double at = now();
        if (!from && at - began >= 1) {
            before = ops, cpu = cpu_seconds(), from = now();
        } else if (from && at - from >= seconds) {
            printf("{\"ops\": %ld, \"cpu\": %.6f, \"seconds\": %.3f, \"total\": %ld", ops - before,
                   cpu_seconds() - cpu, at - from, ops);
            if (noting) print_rounds();
            puts("}");
            return 0;
        }
    }
}
