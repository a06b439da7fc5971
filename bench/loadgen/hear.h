/* What members hear. */
#pragma once

#include <netinet/in.h>

#include "msgpack.h"
#include "speak.h"

enum { INBOX = 8 << 20 };

static void open_connection(struct member *m) {
    struct sockaddr_in server = {AF_INET, htons((uint16_t)options.port), {htonl(INADDR_LOOPBACK)}, {0}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    check(fd >= 0, "socket");
    m->state = UPGRADING;
    m->began = again.on ? again.start : now_ns();
    int failed = connect(fd, (struct sockaddr *)&server, sizeof server);
    check(!failed || errno == EINPROGRESS, "connect");
    stream_open(&m->stream, epoll, fd);
    send_upgrade(m);
}

static void close_connection(struct member *m) {
    if (m->state == JOINED) {
        ready--;
        if (!m->outside) joined--, in_room[m->room]--;
    }
    m->state = LOST;
    close(m->stream.fd);
    free(m->stream.unsent.at);
    free(m->tail.at);
    free(m->inflater.out.at);
    m->stream.unsent = m->tail = m->inflater.out = (struct buffer){0};
    m->skip = 0;
}

/* The server closed it. A herd comes back at once, as a client would; its time goes on counting. */
static void leave(struct member *m) {
    if (m->state != JOINED && again.on) {
        again.retries++;
        check(again.retries < MAX_MEMBERS, "the server refuses those who come back");
        close_connection(m);
        return open_connection(m);
    }
    check(m->state == JOINED, "a connection closed before it had joined");
    lost++;
    close_connection(m);
}

static void now_joined(struct member *m, uint64_t now) {
    m->state = JOINED;
    ready++;
    if (m->outside) return;
    joined++;
    in_room[m->room]++;
    histogram_add(&joins, now - m->began);
}

static void on_ack(struct member *m, uint64_t id, const char *packet, size_t length, uint64_t now) {
    bool failed = options.msgpack ? memmem(packet, length, "\xa7success\xc2", 9) != NULL
                                  : memmem(packet, length, "\"success\":false", 15) != NULL;
    if (failed && !complaint[0]) snprintf(complaint, sizeof complaint, "%.*s", (int)length, packet);
    if (m->state == JOINING) {
        check(!failed, complaint);
        again.bytes += length;
        again.expected += again.expect && memmem(packet, length, again.expect, strlen(again.expect));
        return now_joined(m, now);
    }
    uint64_t index = id - run.base;
    if (!run.on || index >= run.sent || !waiting[index]) {
        run.stray++;
        return;
    }
    histogram_add(&run.acks, now - due_at[index]);
    waiting[index] = false;
    run.acked++;
    run.last = now;
    if (failed) {
        run.failed++;
    } else {
        m->acked++;
        run.room_acked[m->room]++;
        run.expected += (uint64_t)(in_room[m->room] - (options.signals && !m->outside));
    }
    if (run.shape == LOCKSTEP) next_in_lockstep(now);
    if (run.shape == CLOSED && now < run.deadline) send_command(m, now);
}

static void sample_delivery(const char *packet, size_t length, uint64_t now) {
    const char *id = memmem(packet, length, id_prefix, UUID_PREFIX);
    if (!id || id + UUID_LENGTH > packet + length) return;
    char digits[UUID_LENGTH - UUID_PREFIX + 1] = {0};
    memcpy(digits, id + UUID_PREFIX, sizeof digits - 1);
    uint64_t index = strtoull(digits, NULL, 16) - run.base;
    if (index < run.sent) histogram_add(&run.deliveries, now - due_at[index]);
}

static void on_event(struct member *m, const char *packet, size_t length, uint64_t now) {
    if (!run.on) {
        run.stray++;
        return;
    }
    m->heard++;
    run.heard++;
    run.event_bytes += length;
    run.last = now;
    if (m->sampled) sample_delivery(packet, length, now);
    if (run.shape == LOCKSTEP) next_in_lockstep(now);
}

static void on_connected(struct member *m, uint64_t now) {
    if (m->state != CONNECTING) return;
    if (m->outside) return now_joined(m, now);
    m->state = JOINING;
    send_join(m);
}

static void on_refused(const char *packet, size_t length) {
    snprintf(complaint, sizeof complaint, "connection refused: %.*s", (int)length, packet);
    check(false, complaint);
}

static void on_text(struct member *m, const char *packet, size_t length, uint64_t now) {
    if (length >= options.prefix_length && !memcmp(packet, options.prefix, options.prefix_length))
        return on_event(m, packet, length, now);
    if (length && packet[0] == '2') return send_frame(m, TEXT, "3", 1);
    if (length && packet[0] == '0' && m->state == OPENING) {
        m->state = CONNECTING;
        return send_auth(m);
    }
    if (length < 2 || packet[0] != '4') return;
    if (packet[1] == '3') on_ack(m, strtoull(packet + 2, NULL, 10), packet, length, now);
    if (packet[1] == '0') on_connected(m, now);
    if (packet[1] == '4') on_refused(packet, length);
}

static void on_packed(struct member *m, const uint8_t *packet, size_t length, uint64_t now) {
    struct packed p = packed_read(packet, length);
    size_t have = p.data ? (size_t)(p.end - p.data) : 0;
    if (p.type == 2 && have >= options.prefix_length && !memcmp(p.data, options.prefix, options.prefix_length))
        return on_event(m, (const char *)packet, length, now);
    if (p.type == 3) on_ack(m, p.id, (const char *)packet, length, now);
    if (p.type == 0) on_connected(m, now);
    if (p.type == 4) on_refused((const char *)packet, length);
}

static void on_frame(struct member *m, const struct frame *f, const uint8_t *payload, size_t have, uint64_t now) {
    if (f->opcode == CLOSE) return leave(m);
    if (f->opcode == PING) {
        check(f->length <= 125, "a ping is too long");
        return send_frame(m, PONG, (const char *)payload, f->length);
    }
    if (f->opcode != TEXT && f->opcode != BINARY) return;
    if (f->compressed) {
        payload = inflate(&m->inflater, payload, f->length, &have);
        check(payload, "a compressed frame does not inflate");
    }
    f->opcode == TEXT ? on_text(m, (const char *)payload, have, now) : on_packed(m, payload, have, now);
}

/* Takes what is whole of `data` and returns how much that was. */
static size_t on_bytes(struct member *m, const uint8_t *data, size_t length, uint64_t now) {
    size_t off = 0;
    if (m->state == UPGRADING) {
        const uint8_t *end = memmem(data, length, "\r\n\r\n", 4);
        if (!end) return 0;
        if (length < 12 || memcmp(data, "HTTP/1.1 101", 12)) {
            check(again.on, "the WebSocket upgrade was refused");
            leave(m);
            return length;
        }
        off = (size_t)(end + 4 - data);
        m->state = OPENING;
    }
    struct frame f;
    while (m->state != LOST && m->state != UPGRADING && frame_read(data + off, length - off, &f)) {
        size_t whole = f.head + f.length, have = length - off;
        if (whole > have) {
            if (whole < INBOX / 2) break;
            check(!f.compressed, "a compressed frame is too large");
            on_frame(m, &f, data + off + f.head, have - f.head, now);
            m->skip = whole - have;
            return length;
        }
        on_frame(m, &f, data + off + f.head, f.length, now);
        off += whole;
    }
    return m->state == UPGRADING ? length : off; /* of a connection that was opened anew, nothing remains */
}

static void on_readable(struct member *m) {
    static uint8_t inbox[INBOX + 1]; /* the last byte ends a number at the very end of a packet */
    size_t have = m->tail.length;
    if (have) memcpy(inbox, m->tail.at, have);
    ssize_t n = recv(m->stream.fd, inbox + have, INBOX - have, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return leave(m);
    size_t off = m->skip < (size_t)n ? m->skip : (size_t)n;
    m->skip -= off;
    have += (size_t)n;
    m->tail.length = 0;
    off += on_bytes(m, inbox + off, have - off, now_ns());
    if (m->state != LOST && off < have) buffer_add(&m->tail, inbox + off, have - off);
}
