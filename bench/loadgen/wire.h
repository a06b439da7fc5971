/* What the load generator and the floor server share: growing buffers, WebSocket frame heads (RFC 6455),
 * and a non-blocking stream that keeps what the kernel did not take. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NIL_UUID "00000000-0000-0000-0000-000000000000"
#define UUID_LENGTH 36

enum opcode { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

static inline void check(bool fine, const char *what) {
    if (fine) return;
    fprintf(stderr, "%s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void allow_many_files(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Buffers */

struct buffer {
    uint8_t *at;
    size_t length, capacity;
};

static inline void buffer_add(struct buffer *b, const void *data, size_t n) {
    if (!b->at || b->length + n > b->capacity) {
        b->capacity = (b->length + n) * 2 + 64;
        b->at = realloc(b->at, b->capacity);
        check(b->at, "out of memory");
    }
    if (n) memcpy(b->at + b->length, data, n);
    b->length += n;
}

static inline void buffer_drop(struct buffer *b, size_t n) {
    b->length -= n;
    memmove(b->at, b->at + n, b->length);
}

/* A whole file as one NUL-ended text. */
static inline char *read_text(const char *path) {
    FILE *file = fopen(path, "rb");
    check(file, path);
    struct buffer text = {0};
    char chunk[65536];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;) buffer_add(&text, chunk, n);
    fclose(file);
    buffer_add(&text, "", 1);
    return (char *)text.at;
}

/* Frames */

struct frame {
    enum opcode opcode;
    bool compressed, masked;
    size_t head, length;
    uint8_t mask[4];
};

/* Reads a frame's head; false while more bytes are needed. */
static inline bool frame_read(const uint8_t *at, size_t have, struct frame *f) {
    if (have < 2) return false;
    size_t length = at[1] & 127, head = length < 126 ? 2 : length == 126 ? 4 : 10;
    f->masked = at[1] & 128;
    if (have < head + (f->masked ? 4 : 0)) return false;
    if (head > 2) {
        length = 0;
        for (size_t i = 2; i < head; i++) length = length << 8 | at[i];
    }
    if (f->masked) {
        memcpy(f->mask, at + head, 4);
        head += 4;
    }
    f->opcode = at[0] & 15;
    f->compressed = at[0] & 64;
    f->head = head;
    f->length = length;
    return true;
}

/* Writes the head of a final frame (mask NULL: from a server) and returns its size, at most 14. */
static inline size_t frame_head(uint8_t *out, enum opcode opcode, size_t length, const uint8_t *mask) {
    size_t n = 2;
    out[0] = (uint8_t)(128 | opcode);
    if (length < 126) {
        out[1] = (uint8_t)length;
    } else {
        n = length < 65536 ? 4 : 10;
        out[1] = n == 4 ? 126 : 127;
        for (size_t i = n, rest = length; i-- > 2; rest >>= 8) out[i] = (uint8_t)rest;
    }
    if (mask) {
        out[1] |= 128;
        memcpy(out + n, mask, 4);
        n += 4;
    }
    return n;
}

/* Streams */

struct stream {
    int fd, epoll;
    struct buffer unsent;
};

static inline void stream_watch(struct stream *s, int operation) {
    struct epoll_event e = {.events = EPOLLIN | (s->unsent.length ? EPOLLOUT : 0u), .data.ptr = s};
    check(epoll_ctl(s->epoll, operation, s->fd, &e) == 0, "epoll_ctl");
}

static inline void stream_open(struct stream *s, int epoll, int fd) {
    int on = 1;
    *s = (struct stream){.fd = fd, .epoll = epoll};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    stream_watch(s, EPOLL_CTL_ADD);
}

/* Writes now what the kernel takes and keeps the rest; a broken stream shows at its next read. */
static inline void stream_send(struct stream *s, const void *data, size_t n) {
    size_t taken = 0;
    if (!s->unsent.length) {
        ssize_t wrote = send(s->fd, data, n, MSG_NOSIGNAL);
        if (wrote < 0 && errno != EAGAIN && errno != EINPROGRESS) return;
        taken = wrote < 0 ? 0 : (size_t)wrote;
        if (taken == n) return;
    }
    bool was_waiting = s->unsent.length;
    buffer_add(&s->unsent, (const uint8_t *)data + taken, n - taken);
    if (!was_waiting) stream_watch(s, EPOLL_CTL_MOD);
}

static inline void stream_flush(struct stream *s) {
    if (!s->unsent.length) return;
    ssize_t wrote = send(s->fd, s->unsent.at, s->unsent.length, MSG_NOSIGNAL);
    if (wrote > 0) buffer_drop(&s->unsent, (size_t)wrote);
    if (!s->unsent.length) stream_watch(s, EPOLL_CTL_MOD);
}
