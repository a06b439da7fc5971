/* What members say. */
#pragma once

#include <sys/timerfd.h>

#include "state.h"

static void send_frame(struct member *m, enum opcode opcode, const char *data, size_t length) {
    static uint32_t seed = 2463534242u;
    static uint8_t out[14 + 65536];
    uint8_t mask[4];
    check(length <= 65536, "message too long");
    seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
    memcpy(mask, &seed, 4);
    size_t n = frame_head(out, opcode, length, mask);
    for (size_t i = 0; i < length; i++) out[n + i] = (uint8_t)data[i] ^ mask[i & 3];
    stream_send(&m->stream, out, n + length);
}

static void send_upgrade(struct member *m) {
    char text[512];
    int n = snprintf(text, sizeof text,
                     "GET %s?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                     "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: YXRyaXVtLWJlbmNoLWtleQ==\r\n%s\r\n",
                     options.path, options.port,
                     options.deflate
                         ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
                         : "");
    stream_send(&m->stream, text, (size_t)n);
}

static void send_auth(struct member *m) {
    static char text[65536];
    struct line line = options.auth.at[(size_t)(m - members) % options.auth.count];
    if (options.msgpack) return send_frame(m, BINARY, line.at, line.length);
    int n = snprintf(text, sizeof text, "40%s", line.at);
    check(n > 0 && (size_t)n < sizeof text, "line too long");
    send_frame(m, TEXT, text, (size_t)n);
}

/* A call with an ack: `line` as arguments in JSON, or a whole packet whose last four bytes are the number. */
static void send_call(struct member *m, struct line line, uint64_t number) {
    char text[MAX_COMMAND];
    int n;
    if (options.msgpack) {
        check(line.length < sizeof text, "line too long");
        memcpy(text, line.at, line.length);
        uint32_t id = htonl((uint32_t)number);
        memcpy(text + line.length - 4, &id, 4);
        n = (int)line.length;
    } else {
        n = snprintf(text, sizeof text, "42%llu[%s]", (unsigned long long)number, line.at);
        check(n > 0 && (size_t)n < sizeof text, "line too long");
    }
    char *id = memmem(text, (size_t)n, NIL_UUID, UUID_LENGTH);
    if (id) {
        char uuid[UUID_LENGTH + 1];
        snprintf(uuid, sizeof uuid, "%s%012llx", id_prefix, (unsigned long long)number);
        memcpy(id, uuid, UUID_LENGTH);
    }
    send_frame(m, options.msgpack ? BINARY : TEXT, text, (size_t)n);
}

static void send_join(struct member *m) {
    send_call(m, options.join.at[(size_t)(m - members) % options.join.count], 0);
}

static struct member *sender(uint64_t number) {
    return &members[(options.outside ? options.members : 0) + (int)number];
}

static void send_command(struct member *m, uint64_t due) {
    if (run.sent == MAX_COMMANDS || m->state != JOINED) return;
    uint64_t number = run.base + run.sent;
    size_t line = (next_line[m->room]++ * (uint64_t)options.rooms + (uint64_t)m->room) % options.commands.count;
    waiting[run.sent] = true;
    due_at[run.sent++] = due;
    send_call(m, options.commands.at[line], number);
}

static bool rooms_are_level(void) { return run.heard >= run.expected; }

static void next_in_lockstep(uint64_t now) {
    if (now < run.deadline && run.acked == run.sent && rooms_are_level()) send_command(sender(0), now);
}

/* A timer's turn: send what is due, set the timer for the next. */
static void send_due(uint64_t now) {
    for (;;) {
        uint64_t due = run.start + (uint64_t)((double)run.sent * 1e9 / run.rate);
        if (due >= run.deadline || run.sent == MAX_COMMANDS) return;
        if (due > now) {
            struct itimerspec at = {.it_value = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)}};
            timerfd_settime(timer, TFD_TIMER_ABSTIME, &at, NULL);
            return;
        }
        uint64_t before = run.sent;
        send_command(sender(run.sent % (uint64_t)run.senders), due);
        if (run.sent == before) return;
    }
}
