/* A Socket.IO 4 server with almost nothing in it, so that a benchmark measures its client.
 *
 * Engine.IO 4 over websocket, the namespace "/" and no checks: it answers 40, acknowledges an emit with
 * its own arguments, sends heartbeats, and can push an event to every connection at a fixed rate.
 * GET /counts returns what it received and sent.
 *
 * usage: responder [tls PEM] [spin | PUSH_RATE PUSH_AFTER [PUSH_COUNT]]
 *   tls         with this key and certificate (compiled with -DTLS -lssl -lcrypto)
 *   spin        never sleep, as a busy server doesn't: else a client slower than this server would pay
 *               for waking it at every send, and a fast one wouldn't
 *   PUSH_RATE   events per second for each connection, once PUSH_AFTER connections have joined
 *   PUSH_COUNT  no more than so many events for each connection
 * It listens on a free port of 127.0.0.1 and prints that port. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#ifdef TLS
#include <openssl/ssl.h>
static SSL_CTX *tls;
#else
typedef void SSL;
#endif

enum { MAX_FD = 65536, IN_MAX = 1 << 17, OUT_MAX = 1 << 18, PING_SECONDS = 25 };

struct conn {
    char *in, *out; /* what is left of a partial read or write, NULL when nothing is */
    int in_len, out_len;
    time_t next_ping;
    char used, websocket, joined;
    SSL *ssl;
};

static struct conn conns[MAX_FD];
static int poll_fd, highest_fd;
static long connects, open_now, emits, acks, pushes, skipped, broadcasts;
static char in_buf[IN_MAX], out_buf[OUT_MAX];

static double wall_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int put(int fd, const char *data, int len) {
#ifdef TLS
    SSL *ssl = conns[fd].ssl;
    if (ssl) {
        int n = SSL_write(ssl, data, len);
        if (n <= 0) errno = SSL_get_error(ssl, n) == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
        return n > 0 ? n : -1;
    }
#endif
    return (int)send(fd, data, (size_t)len, MSG_NOSIGNAL);
}

static int take(int fd, char *to, int len) {
#ifdef TLS
    SSL *ssl = conns[fd].ssl;
    if (ssl) {
        int n = SSL_read(ssl, to, len);
        if (n <= 0) errno = SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ ? EAGAIN : EPROTO;
        return n > 0 ? n : -1;
    }
#endif
    return (int)recv(fd, to, (size_t)len, 0);
}

static uint32_t rotate(uint32_t x, int n) { return x << n | x >> (32 - n); }

/* SHA-1 of a short text (RFC 3174), for Sec-WebSocket-Accept alone. */
static void sha1(const char *text, size_t len, uint8_t digest[20]) {
    uint8_t block[128] = {0};
    uint32_t h[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0}, w[80];
    size_t total = len + 9 <= 64 ? 64 : 128;
    memcpy(block, text, len);
    block[len] = 0x80;
    block[total - 2] = (uint8_t)(len * 8 >> 8);
    block[total - 1] = (uint8_t)(len * 8);
    for (size_t at = 0; at < total; at += 64) {
        for (int i = 0; i < 16; i++)
            w[i] = (uint32_t)block[at + 4 * i] << 24 | block[at + 4 * i + 1] << 16 |
                   block[at + 4 * i + 2] << 8 | block[at + 4 * i + 3];
        for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 || i >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
            uint32_t k = i < 20 ? 0x5A827999 : i < 40 ? 0x6ED9EBA1 : i < 60 ? 0x8F1BBCDC : 0xCA62C1D6;
            uint32_t next = rotate(a, 5) + f + e + k + w[i];
            e = d, d = c, c = rotate(b, 30), b = a, a = next;
        }
        h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
    }
    for (int i = 0; i < 20; i++) digest[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

static void base64(const uint8_t *from, int len, char *to) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < len; i += 3) {
        uint32_t bits = (uint32_t)from[i] << 16 | (i + 1 < len ? from[i + 1] << 8 : 0) | (i + 2 < len ? from[i + 2] : 0);
        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = i + 1 < len ? digits[bits >> 6 & 63] : '=';
        *to++ = i + 2 < len ? digits[bits & 63] : '=';
    }
    *to = 0;
}

static void drop(int fd) {
    struct conn *c = &conns[fd];
    open_now -= c->joined;
    free(c->in);
    free(c->out);
#ifdef TLS
    SSL_free(c->ssl);
#endif
    memset(c, 0, sizeof *c);
    close(fd);
}

static void watch(int fd, uint32_t events, int how) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(poll_fd, how, fd, &event) < 0) fail("epoll_ctl");
}

/* Sends, and keeps what the kernel doesn't take; 0 when the connection is gone. */
static int deliver(int fd, const char *data, int len) {
    struct conn *c = &conns[fd];
    int done = 0;
    if (!c->out_len) {
        done = put(fd, data, len);
        if (done < 0) {
            if (errno != EAGAIN) return 0;
            done = 0;
        }
    }
    if (done == len) return 1;
    c->out = realloc(c->out, (size_t)(c->out_len + len - done));
    if (!c->out) fail("realloc");
    memcpy(c->out + c->out_len, data + done, (size_t)(len - done));
    if (!c->out_len) watch(fd, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
    c->out_len += len - done;
    return 1;
}

static int flush_out(int fd) {
    struct conn *c = &conns[fd];
    int done = put(fd, c->out, c->out_len);
    if (done < 0) return errno == EAGAIN;
    c->out_len -= done;
    memmove(c->out, c->out + done, (size_t)c->out_len);
    if (!c->out_len) {
        free(c->out);
        c->out = NULL;
        watch(fd, EPOLLIN, EPOLL_CTL_MOD);
    }
    return 1;
}

/* An unmasked frame of up to 65,535 bytes (RFC 6455, section 5.2); returns its end. */
static char *frame(char *to, int opcode, const char *a, int a_len, const char *b, int b_len) {
    int len = a_len + b_len;
    *to++ = (char)(0x80 | opcode);
    if (len < 126) {
        *to++ = (char)len;
    } else {
        *to++ = 126;
        *to++ = (char)(len >> 8);
        *to++ = (char)len;
    }
    memcpy(to, a, (size_t)a_len);
    memcpy(to + a_len, b, (size_t)b_len);
    return to + len;
}

/* Answers one Engine.IO packet; returns the end of what is to be sent. */
static char *packet(struct conn *c, const char *p, int len, char *to) {
    static const char event[] = "[\"echo\",";
    char head[40];
    int at = 2;
    if (len < 2 || p[0] != '4') return to; /* a pong asks for nothing */
    if (p[1] == '0') {
        if (c->joined) return to;
        c->joined = 1;
        connects++, open_now++;
        return frame(to, 1, head, sprintf(head, "40{\"sid\":\"s%ld\"}", connects), "", 0);
    }
    if (p[1] != '2') return to;
    emits++;
    while (at < len && at < 22 && p[at] >= '0' && p[at] <= '9') at++;
    if (at == 2 || len - at < 9 || memcmp(p + at, event, 8)) return to;
    acks++;
    head[0] = '4', head[1] = '3';
    memcpy(head + 2, p + 2, (size_t)(at - 2));
    head[at] = '[';
    return frame(to, 1, head, at + 1, p + at + 8, len - at - 8);
}

/* Consumes whole frames; returns the bytes used, or -1 when the connection is to be closed. */
static int frames(int fd, char *buf, int len) {
    struct conn *c = &conns[fd];
    char *to = out_buf;
    int used = 0;
    while (len - used >= 6) {
        uint8_t *p = (uint8_t *)buf + used;
        int opcode = p[0] & 15, size = p[1] & 127, head = 6;
        if (!(p[1] & 128) || size == 127) return -1;
        if (size == 126) {
            if (len - used < 8) break;
            size = p[2] << 8 | p[3], head = 8;
        }
        if (len - used < head + size) break;
        for (int i = 0; i < size; i++) p[head + i] ^= p[head - 4 + (i & 3)];
        if (to - out_buf > OUT_MAX - 2 * size - 256) {
            if (!deliver(fd, out_buf, (int)(to - out_buf))) return -1;
            to = out_buf;
        }
        if (opcode == 8) {
            to = frame(to, 8, (char *)p + head, size, "", 0);
            deliver(fd, out_buf, (int)(to - out_buf));
            return -1;
        }
        if (opcode == 9) to = frame(to, 10, (char *)p + head, size, "", 0);
        if (opcode == 1) to = packet(c, (char *)p + head, size, to);
        used += head + size;
    }
    if (to > out_buf && !deliver(fd, out_buf, (int)(to - out_buf))) return -1;
    return used;
}

static int http_answer(int fd, const char *type, const char *body) {
    int len = snprintf(out_buf, OUT_MAX,
                       "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                       "Connection: close\r\n\r\n%s", type, strlen(body), body);
    deliver(fd, out_buf, len);
    return -1;
}

static int http(int fd, char *buf, int len) {
    struct conn *c = &conns[fd];
    char *end = memmem(buf, (size_t)len, "\r\n\r\n", 4), key[128], accept_key[40], text[512];
    struct rusage use;
    uint8_t digest[20];
    if (!end) return len < 16384 ? 0 : -1;
    end[2] = 0;
    if (!strncmp(buf, "GET /counts", 11)) {
        getrusage(RUSAGE_SELF, &use);
        snprintf(text, sizeof text,
                 "{\"connects\": %ld, \"open\": %ld, \"emits\": %ld, \"acks\": %ld, \"pushes\": %ld, "
                 "\"skipped\": %ld, \"broadcasts\": %ld, \"cpu\": %.6f}", connects, open_now, emits, acks, pushes,
                 skipped, broadcasts,
                 use.ru_utime.tv_sec + use.ru_stime.tv_sec + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6);
        return http_answer(fd, "200 OK", text);
    }
    char *line = strcasestr(buf, "\r\nSec-WebSocket-Key:");
    if (!line || sscanf(line + 20, " %60s", key) != 1)
        return http_answer(fd, "400 Bad Request", "{\"code\":0,\"message\":\"Transport unknown\"}");
    strcat(key, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    sha1(key, strlen(key), digest);
    base64(digest, 20, accept_key);
    char *to = out_buf + sprintf(out_buf,
                                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                 "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", accept_key);
    int n = sprintf(text, "0{\"sid\":\"e%d-%ld\",\"upgrades\":[],\"pingInterval\":%d,\"pingTimeout\":20000,"
                          "\"maxPayload\":60000}", fd, connects, PING_SECONDS * 1000);
    to = frame(to, 1, text, n, "", 0);
    c->websocket = 1;
    c->next_ping = time(NULL) + PING_SECONDS;
    if (!deliver(fd, out_buf, (int)(to - out_buf))) return -1;
    return (int)(end + 4 - buf);
}

static void readable(int fd) {
    struct conn *c = &conns[fd];
    int len = c->in_len, used = 0, step = 1;
    memcpy(in_buf, c->in ? c->in : "", (size_t)len);
    int got = take(fd, in_buf + len, IN_MAX - len);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return drop(fd);
    len += got;
    while (used < len && step > 0) {
        step = c->websocket ? frames(fd, in_buf + used, len - used) : http(fd, in_buf + used, len - used);
        if (step < 0) return drop(fd);
        used += step;
    }
    free(c->in);
    c->in = NULL;
    c->in_len = len - used;
    if (!c->in_len) return;
    c->in = malloc((size_t)c->in_len);
    if (!c->in) fail("malloc");
    memcpy(c->in, in_buf + used, (size_t)c->in_len);
}

static void push_all(void) {
    char text[128], data[160];
    int len = sprintf(text, "42[\"news\",{\"n\":%ld,\"sent\":%.6f}]", ++broadcasts, wall_seconds());
    len = (int)(frame(data, 1, text, len, "", 0) - data);
    for (int fd = 0; fd <= highest_fd; fd++) {
        if (!conns[fd].joined) continue;
        if (conns[fd].out_len) {
            skipped++; /* its reader is slower than the rate */
        } else if (deliver(fd, data, len)) {
            pushes++;
        }
    }
}

static void heartbeats(void) {
    time_t now = time(NULL);
    for (int fd = 0; fd <= highest_fd; fd++) {
        struct conn *c = &conns[fd];
        if (!c->websocket || c->next_ping > now) continue;
        c->next_ping = now + PING_SECONDS;
        deliver(fd, "\x81\x01" "2", 3);
    }
}

static void accept_all(int listener) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_FD) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (fd > highest_fd) highest_fd = fd;
        conns[fd].used = 1;
#ifdef TLS
        if (tls) {
            conns[fd].ssl = SSL_new(tls);
            SSL_set_fd(conns[fd].ssl, fd);
            SSL_set_accept_state(conns[fd].ssl);
        }
#endif
        watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    }
}

static int timer(double period) {
    struct timespec t = {(time_t)period, (long)((period - (time_t)period) * 1e9)};
    struct itimerspec spec = {t, t};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    if (fd < 0 || timerfd_settime(fd, 0, &spec, NULL) < 0) fail("timerfd");
    watch(fd, EPOLLIN, EPOLL_CTL_ADD);
    return fd;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN); /* a client over TLS that is gone is no end of the server */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct epoll_event events[512];
#ifdef TLS
    if (argc > 2 && !strcmp(argv[1], "tls")) {
        tls = SSL_CTX_new(TLS_server_method());
        if (!tls || SSL_CTX_use_certificate_chain_file(tls, argv[2]) != 1 ||
            SSL_CTX_use_PrivateKey_file(tls, argv[2], SSL_FILETYPE_PEM) != 1)
            fail("key and certificate");
        SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        argc -= 2, argv += 2;
    }
#endif
    double rate = argc > 2 ? atof(argv[1]) : 0;
    long push_after = argc > 2 ? atol(argv[2]) : 0, push_count = argc > 3 ? atol(argv[3]) : LONG_MAX;
    int patience = argc == 2 && !strcmp(argv[1], "spin") ? 0 : -1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), push_timer = -1;
    uint64_t ticks;

    poll_fd = epoll_create1(0);
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 4096) < 0) fail("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    int beat_timer = timer(1);
    for (;;) {
        int n = epoll_wait(poll_fd, events, 512, patience);
        if (n < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                accept_all(fd);
            } else if (fd == beat_timer || fd == push_timer) {
                if (read(fd, &ticks, sizeof ticks) != sizeof ticks) continue;
                if (fd == beat_timer) heartbeats();
                else if (broadcasts < push_count) push_all();
            } else if (conns[fd].used) {
                if (events[i].events & EPOLLOUT && !flush_out(fd)) drop(fd);
                else if (events[i].events & ~EPOLLOUT) readable(fd);
            }
        }
        if (rate > 0 && push_timer < 0 && open_now >= push_after) push_timer = timer(1 / rate);
    }
}
