/* The measure of the tests: how much later than the server says does a C program get its ack?
 *
 * usage: client PORT SECONDS PAUSE DELAY USERS [DELAY USERS ...]
 * Every user emits `delay` with its seconds, waits for the ack, pauses, and begins again. For each ack, one line:
 * the delay, and the time from emit to ack minus the time that the server measured itself, in microseconds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

struct user {
    int fd, len;
    double delay, next, sent; /* next: when to emit again, 0 while an ack is awaited */
    char in[1024];
};

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* Sends one masked text frame (RFC 6455, section 5.3) of less than 126 bytes; the mask is 0. */
static void send_text(struct user *u, const char *text, int len) {
    char data[140] = {(char)0x81, (char)(0x80 | len)};
    memcpy(data + 6, text, (size_t)len);
    if (send(u->fd, data, (size_t)len + 6, MSG_NOSIGNAL) != len + 6) fail("send");
}

static void emit(struct user *u) {
    char text[80];
    int len = sprintf(text, "421[\"delay\",%.3f]", u->delay);
    u->next = 0;
    u->sent = now();
    send_text(u, text, len);
}

static void message(struct user *u, const char *text, double at, double pause) {
    if (text[0] == '2') {
        send_text(u, "3", 1);
    } else if (text[0] == '0') {
        send_text(u, "40", 2);
    } else if (!strncmp(text, "40", 2)) {
        u->next = at + pause * (double)(random() % 1000) / 1000;
    } else if (!strncmp(text, "431[", 4)) {
        printf("%.3f %.1f\n", u->delay, (at - u->sent - strtod(text + 4, NULL)) * 1e6);
        u->next = now() + pause;
    }
}

static void readable(struct user *u, double pause) {
    ssize_t got = recv(u->fd, u->in + u->len, sizeof u->in - 1 - (size_t)u->len, 0);
    double at = now();
    if (got <= 0) fail("recv");
    u->len += (int)got;
    u->in[u->len] = 0;
    if (!strncmp(u->in, "HTTP", 4)) {
        char *end = strstr(u->in, "\r\n\r\n");
        if (!end) return;
        u->len -= (int)(end + 4 - u->in);
        memmove(u->in, end + 4, (size_t)u->len);
    }
    while (u->len >= 2 && u->len >= 2 + u->in[1]) {
        int size = u->in[1];
        char text[128];
        memcpy(text, u->in + 2, (size_t)size);
        text[size] = 0;
        u->len -= 2 + size;
        memmove(u->in, u->in + 2 + size, (size_t)u->len);
        message(u, text, at, pause);
    }
}

static void dial(struct user *u, int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1;
    const char *hello = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    u->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (u->fd < 0 || connect(u->fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    setsockopt(u->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (send(u->fd, hello, strlen(hello), MSG_NOSIGNAL) != (ssize_t)strlen(hello)) fail("send");
}

int main(int argc, char **argv) {
    int poll = epoll_create1(0), users = 0;
    struct user *all = NULL;
    double pause, until;
    if (argc < 6 || argc % 2) return 2;
    pause = atof(argv[3]);
    for (int i = 4; i < argc; i += 2) users += atoi(argv[i + 1]);
    all = calloc((size_t)users, sizeof *all);
    if (!all) fail("calloc");
    users = 0;
    for (int i = 4; i < argc; i += 2)
        for (int n = atoi(argv[i + 1]); n > 0; n--, users++) {
            struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[users]};
            all[users].delay = atof(argv[i]);
            dial(&all[users], atoi(argv[1]));
            if (epoll_ctl(poll, EPOLL_CTL_ADD, all[users].fd, &event)) fail("epoll_ctl");
        }
    until = now() + atof(argv[2]);
    while (now() < until) {
        struct epoll_event events[64];
        double due = until;
        for (int i = 0; i < users; i++)
            if (all[i].next && all[i].next < due) due = all[i].next;
        double wait = due - now();
        int n = epoll_wait(poll, events, 64, wait > 0 ? (int)(wait * 1000) + 1 : 0);
        if (n < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < n; i++) readable(events[i].data.ptr, pause);
        for (int i = 0; i < users; i++)
            if (all[i].next && all[i].next <= now()) emit(&all[i]);
    }
    return 0;
}
