/* The load generator: one room, many members, some of them sending.
 *
 *   loadgen --port P --members N --auth FILE --join FILE --commands FILE --event NAME
 *           [--window W] [--samples K] [--deflate]
 *
 * It opens N Socket.IO connections (protocol 5, WebSocket, loopback only), joins each to the room, prints a
 * "ready" line, then takes orders from stdin until it ends; each order prints one JSON line:
 *
 *   run lockstep 1 5 0      1 sender for 5 s; the next command leaves when ack and all N deliveries came
 *   run closed 50 5 0       50 senders; each sends its next command as soon as its ack came
 *   run rate 10 5 20        10 senders, together 20 commands a second at fixed times
 *
 * The files hold one JSON text per line, used in turn: the auth object of a member; the arguments of its
 * join (`"room.join",{…}`); the arguments of a command (`"task.move",{…}`). A nil UUID in a command becomes
 * a fresh UUID that counts up; the server must repeat it in the event. So nothing here knows the server.
 *
 * Every member counts every event. Latency of delivery is taken on K members spread over the room, latency
 * of acks on all commands; both count from when the command was due, so a stalled server cannot hide the
 * commands it kept from being sent. In the other two shapes the load waits for the server, by design.
 */
#include <getopt.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/timerfd.h>

#include "histogram.h"
#include "inflate.h"
#include "wire.h"

enum {
    MAX_MEMBERS = 20000,
    MAX_COMMANDS = 1 << 22,
    MAX_SECONDS = 600,
    MAX_EVENTS = 1024,
    MAX_COMMAND = 4096,
    INBOX = 1 << 20,
    DRAIN_SECONDS = 20,
    SETUP_SECONDS = 120,
    IDLE_SECONDS = 900,
    UUID_PREFIX = 24,
    UPGRADING = 0, OPENING, CONNECTING, JOINING, JOINED, LOST,
};

struct lines {
    char **at;
    size_t count;
};

struct member {
    struct stream stream; /* first: epoll hands back a pointer to it */
    int state;
    bool sampled;
    uint64_t began, heard;
    struct buffer tail; /* an unfinished frame */
    size_t skip;        /* what is left of a frame too large to keep */
    struct inflater inflater;
};

static struct {
    int port, members, window, samples;
    bool deflate;
    struct lines auth, join, commands;
    char prefix[80];
    size_t prefix_length;
} options = {.members = 1, .window = 64, .samples = 20};

static int epoll, timer;
static struct member *members;
static int opened, joined, lost;
static struct histogram joins;

enum shape { LOCKSTEP, CLOSED, RATE };

static struct {
    bool on;
    enum shape shape;
    int senders;
    double rate;
    uint64_t start, deadline, give_up, last;
    uint64_t base; /* commands of earlier runs */
    uint64_t sent, acked, failed, heard, event_bytes, packets, stray;
    struct rusage usage;
    struct histogram acks, deliveries;
} run;

static uint64_t due_at[MAX_COMMANDS]; /* when each command of this run should have left */
static bool waiting[MAX_COMMANDS];    /* whether its ack is still to come */
static char id_prefix[UUID_PREFIX + 1];
static char complaint[256];

/* Sending */

static void send_text(struct member *m, const char *text, size_t length) {
    static uint32_t seed = 2463534242u;
    static uint8_t out[14 + 65536];
    uint8_t mask[4];
    check(length <= 65536, "text too long");
    seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
    memcpy(mask, &seed, 4);
    size_t n = frame_head(out, TEXT, length, mask);
    for (size_t i = 0; i < length; i++) out[n + i] = (uint8_t)text[i] ^ mask[i & 3];
    stream_send(&m->stream, out, n + length);
}

static void send_upgrade(struct member *m) {
    char text[512];
    int n = snprintf(text, sizeof text,
                     "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                     "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: YXRyaXVtLWJlbmNoLWtleQ==\r\n%s\r\n",
                     options.port,
                     options.deflate
                         ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
                         : "");
    stream_send(&m->stream, text, (size_t)n);
}

static void send_line(struct member *m, const char *head, const struct lines *lines, const char *end) {
    static char text[65536];
    size_t index = (size_t)(m - members) % lines->count;
    int n = snprintf(text, sizeof text, "%s%s%s", head, lines->at[index], end);
    check(n > 0 && (size_t)n < sizeof text, "line too long");
    send_text(m, text, (size_t)n);
}

static void send_command(struct member *m, uint64_t due) {
    if (run.sent == MAX_COMMANDS || m->state != JOINED) return;
    uint64_t number = run.base + run.sent;
    char text[MAX_COMMAND];
    const char *line = options.commands.at[number % options.commands.count];
    int n = snprintf(text, sizeof text, "42%llu[%s]", (unsigned long long)number, line);
    char *id = strstr(text, NIL_UUID);
    if (id) {
        char uuid[UUID_LENGTH + 1];
        snprintf(uuid, sizeof uuid, "%s%012llx", id_prefix, (unsigned long long)number);
        memcpy(id, uuid, UUID_LENGTH);
    }
    waiting[run.sent] = true;
    due_at[run.sent++] = due;
    send_text(m, text, (size_t)n);
}

static bool room_is_level(void) {
    return run.heard >= (run.acked - run.failed) * (uint64_t)joined;
}

static void next_in_lockstep(uint64_t now) {
    if (now < run.deadline && run.acked == run.sent && room_is_level()) send_command(members, now);
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
        send_command(&members[run.sent % (uint64_t)run.senders], due);
        if (run.sent == before) return;
    }
}

/* Receiving */

static void on_ack(struct member *m, const char *packet, size_t length, uint64_t now) {
    uint64_t id = strtoull(packet + 2, NULL, 10);
    bool failed = memmem(packet, length, "\"success\":false", 15);
    if (failed && !complaint[0]) snprintf(complaint, sizeof complaint, "%.*s", (int)length, packet);
    if (m->state == JOINING) {
        check(!failed, complaint);
        m->state = JOINED;
        joined++;
        histogram_add(&joins, now - m->began);
        return;
    }
    uint64_t index = id - run.base;
    if (!run.on || index >= run.sent || !waiting[index]) {
        run.stray++;
        return;
    }
    histogram_add(&run.acks, now - due_at[index]);
    waiting[index] = false;
    run.acked++;
    run.failed += failed;
    run.last = now;
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

static void on_packet(struct member *m, const char *packet, size_t length, uint64_t now) {
    run.packets++;
    if (length >= options.prefix_length && !memcmp(packet, options.prefix, options.prefix_length))
        return on_event(m, packet, length, now);
    if (length > 1 && packet[0] == '4' && packet[1] == '3') return on_ack(m, packet, length, now);
    if (length && packet[0] == '2') return send_text(m, "3", 1);
    if (length && packet[0] == '0' && m->state == OPENING) {
        m->state = CONNECTING;
        return send_line(m, "40", &options.auth, "");
    }
    if (length > 1 && packet[0] == '4' && packet[1] == '0' && m->state == CONNECTING) {
        m->state = JOINING;
        return send_line(m, "420[", &options.join, "]");
    }
    if (length > 1 && packet[0] == '4' && packet[1] == '4') {
        snprintf(complaint, sizeof complaint, "connection refused: %.*s", (int)length, packet);
        check(false, complaint);
    }
}

static void leave(struct member *m) {
    check(m->state == JOINED, "a connection closed before it had joined");
    m->state = LOST;
    lost++;
    joined--;
    close(m->stream.fd);
}

static void on_frame(struct member *m, const struct frame *f, const uint8_t *payload, size_t have, uint64_t now) {
    if (f->opcode == CLOSE) return leave(m);
    if (f->opcode == PING) {
        check(f->length <= 125, "a ping is too long");
        uint8_t pong[6 + 125];
        size_t n = frame_head(pong, PONG, f->length, (const uint8_t *)"\0\0\0");
        memcpy(pong + n, payload, f->length);
        return stream_send(&m->stream, pong, n + f->length);
    }
    if (f->opcode != TEXT) return;
    if (f->compressed) {
        payload = inflate(&m->inflater, payload, f->length, &have);
        check(payload, "a compressed frame does not inflate");
    }
    on_packet(m, (const char *)payload, have, now);
}

/* Takes what is whole of `data` and returns how much that was. */
static size_t on_bytes(struct member *m, const uint8_t *data, size_t length, uint64_t now) {
    size_t off = 0;
    if (m->state == UPGRADING) {
        const uint8_t *end = memmem(data, length, "\r\n\r\n", 4);
        if (!end) return 0;
        check(length > 12 && !memcmp(data, "HTTP/1.1 101", 12), "the WebSocket upgrade was refused");
        off = (size_t)(end + 4 - data);
        m->state = OPENING;
    }
    struct frame f;
    while (m->state != LOST && frame_read(data + off, length - off, &f)) {
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
    return off;
}

static void on_readable(struct member *m) {
    static uint8_t inbox[INBOX + 1]; /* the last byte ends a number at the very end of a packet */
    size_t have = m->tail.length;
    if (have) memcpy(inbox, m->tail.at, have);
    ssize_t n = read(m->stream.fd, inbox + have, INBOX - have);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return leave(m);
    size_t off = m->skip < (size_t)n ? m->skip : (size_t)n;
    m->skip -= off;
    have += (size_t)n;
    off += on_bytes(m, inbox + off, have - off, now_ns());
    m->tail.length = 0;
    if (m->state != LOST && off < have) buffer_add(&m->tail, inbox + off, have - off);
}

/* The loop */

static void open_more(void) {
    while (opened < options.members && opened - joined < options.window) {
        struct member *m = &members[opened++];
        struct sockaddr_in server = {AF_INET, htons((uint16_t)options.port), {htonl(INADDR_LOOPBACK)}, {0}};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        check(fd >= 0, "socket");
        m->began = now_ns();
        int failed = connect(fd, (struct sockaddr *)&server, sizeof server);
        check(!failed || errno == EINPROGRESS, "connect");
        stream_open(&m->stream, epoll, fd);
        send_upgrade(m);
    }
}

static char order[256];
static size_t order_length;
static bool order_ended;

static void on_stdin(void) {
    ssize_t n = read(0, order + order_length, sizeof order - 1 - order_length);
    if (n <= 0) {
        order_ended = true;
        epoll_ctl(epoll, EPOLL_CTL_DEL, 0, NULL);
    }
    if (n > 0) order_length += (size_t)n;
}

static void turn(int timeout_ms) {
    struct epoll_event ready[MAX_EVENTS];
    int n = epoll_wait(epoll, ready, MAX_EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) {
        void *source = ready[i].data.ptr;
        if (source == &order) {
            on_stdin();
        } else if (source == &timer) {
            uint64_t expirations;
            if (read(timer, &expirations, sizeof expirations) > 0 && run.on) send_due(now_ns());
        } else {
            struct member *m = source;
            if (ready[i].events & EPOLLOUT) stream_flush(&m->stream);
            if (ready[i].events & ~(uint32_t)EPOLLOUT) on_readable(m);
        }
    }
}

static void watch(int fd, void *source) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = source};
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl (stdin must be a pipe)");
}

/* Runs */

static double cpu_seconds(const struct rusage *u) {
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

static bool run_is_over(uint64_t now) {
    if (now < run.deadline && run.sent < MAX_COMMANDS) return false;
    return (run.acked == run.sent && room_is_level()) || now > run.give_up;
}

static void run_begin(enum shape shape, int senders, double seconds, double rate) {
    uint64_t base = run.base + run.sent, stray = run.stray, now = now_ns();
    memset(&run, 0, sizeof run);
    memset(complaint, 0, sizeof complaint);
    for (int i = 0; i < options.members; i++) members[i].heard = 0;
    run.on = true;
    run.shape = shape;
    run.senders = senders;
    run.rate = rate;
    run.base = base;
    run.stray = stray;
    run.start = run.last = now;
    run.deadline = now + (uint64_t)(seconds * 1e9);
    run.give_up = run.deadline + DRAIN_SECONDS * 1000000000ull;
    getrusage(RUSAGE_SELF, &run.usage);
    alarm((unsigned)seconds + DRAIN_SECONDS + 30);
    if (shape == LOCKSTEP) next_in_lockstep(now);
    if (shape == CLOSED)
        for (int i = 0; i < senders; i++) send_command(&members[i], now);
    if (shape == RATE) send_due(now);
}

static void print_latencies(const char *name, const struct histogram *h) {
    printf(",\"%s_p50_ms\":%.4f,\"%s_p99_ms\":%.4f,\"%s_max_ms\":%.4f", name, histogram_ms(h, .50), name,
           histogram_ms(h, .99), name, (double)h->max / 1e6);
}

static void run_report(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    uint64_t expected = run.acked - run.failed;
    int uneven = 0;
    for (int i = 0; i < options.members; i++)
        uneven += members[i].state == JOINED && members[i].heard != expected;
    for (char *c = complaint; *c; c++)
        if (*c == '"' || *c == '\\' || *c < ' ') *c = '\'';
    printf("{\"seconds\":%.6f,\"members\":%d,\"lost\":%d,\"senders\":%d,\"sent\":%llu,\"acked\":%llu,"
           "\"failed\":%llu,\"deliveries\":%llu,\"uneven_members\":%d,\"stray\":%llu,\"event_bytes\":%.1f,"
           "\"loadgen_cpu_seconds\":%.6f,\"complaint\":\"%s\"",
           (double)(run.last - run.start) / 1e9, joined, lost, run.senders, (unsigned long long)run.sent,
           (unsigned long long)run.acked, (unsigned long long)run.failed, (unsigned long long)run.heard, uneven,
           (unsigned long long)run.stray, run.heard ? (double)run.event_bytes / (double)run.heard : 0.0,
           cpu_seconds(&usage) - cpu_seconds(&run.usage), complaint);
    print_latencies("ack", &run.acks);
    print_latencies("delivery", &run.deliveries);
    printf("}\n");
    fflush(stdout);
}

static void obey(const char *line) {
    static const char *const names[] = {"lockstep", "closed", "rate"};
    char name[16];
    int senders, shape = 0;
    double seconds, rate;
    check(sscanf(line, "run %15s %d %lf %lf", name, &senders, &seconds, &rate) == 4, "order not understood");
    while (shape < 3 && strcmp(name, names[shape])) shape++;
    check(shape < 3 && senders > 0 && senders <= options.members && seconds > 0 && seconds <= MAX_SECONDS &&
              (shape != RATE || rate > 0),
          "order out of bounds");
    run_begin((enum shape)shape, senders, seconds, rate);
    while (!run_is_over(now_ns())) turn(10);
    run_report();
    run.on = false;
    run.stray = 0;
    alarm(IDLE_SECONDS);
}

static void take_orders(void) {
    for (char *end;;) {
        while ((end = memchr(order, '\n', order_length))) {
            *end = 0;
            obey(order);
            order_length -= (size_t)(end + 1 - order);
            memmove(order, end + 1, order_length);
        }
        if (order_ended) return;
        turn(-1);
    }
}

/* Start */

static struct lines read_lines(const char *path) {
    struct lines lines = {0};
    for (char *at = read_text(path), *line; (line = strsep(&at, "\n"));) {
        if (!*line) continue;
        lines.at = realloc(lines.at, (lines.count + 1) * sizeof *lines.at);
        check(lines.at, "out of memory");
        lines.at[lines.count++] = line;
    }
    check(lines.count, path);
    return lines;
}

static void read_options(int argc, char **argv) {
    static const struct option names[] = {
        {"port", 1, NULL, 'p'},   {"members", 1, NULL, 'm'},  {"window", 1, NULL, 'w'}, {"samples", 1, NULL, 's'},
        {"auth", 1, NULL, 'a'},   {"join", 1, NULL, 'j'},     {"commands", 1, NULL, 'c'}, {"event", 1, NULL, 'e'},
        {"deflate", 0, NULL, 'd'}, {NULL, 0, NULL, 0},
    };
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) switch (name) {
            case 'p': options.port = atoi(optarg); break;
            case 'm': options.members = atoi(optarg); break;
            case 'w': options.window = atoi(optarg); break;
            case 's': options.samples = atoi(optarg); break;
            case 'a': options.auth = read_lines(optarg); break;
            case 'j': options.join = read_lines(optarg); break;
            case 'c': options.commands = read_lines(optarg); break;
            case 'e': snprintf(options.prefix, sizeof options.prefix, "42[\"%s\"", optarg); break;
            case 'd': options.deflate = true; break;
            default: exit(2);
        }
    options.prefix_length = strlen(options.prefix);
    check(options.port > 0 && options.port < 65536, "--port is missing");
    check(options.members > 0 && options.members <= MAX_MEMBERS, "--members is out of bounds");
    check(options.window > 0 && options.samples > 0, "--window and --samples must be positive");
    check(options.auth.count && options.join.count && options.commands.count && options.prefix_length,
          "--auth, --join, --commands and --event are needed");
    for (size_t i = 0; i < options.commands.count; i++)
        check(strlen(options.commands.at[i]) < MAX_COMMAND - 64, "a command is too long");
}

static void prepare(void) {
    uint32_t nonce[2];
    check(getrandom(nonce, sizeof nonce, 0) == sizeof nonce, "getrandom");
    snprintf(id_prefix, sizeof id_prefix, "%08x-%04x-4%03x-8%03x-", nonce[0], nonce[1] >> 16, nonce[1] >> 4 & 0xfff,
             nonce[1] & 0xfff);
    run.base = 1;
    allow_many_files();
    members = calloc((size_t)options.members, sizeof *members);
    epoll = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    check(members && epoll >= 0 && timer >= 0, "epoll");
    watch(timer, &timer);
    watch(0, &order);
    int samples = options.samples < options.members ? options.samples : options.members;
    for (int i = 1; i <= samples; i++) members[(int64_t)i * options.members / samples - 1].sampled = true;
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    prepare();
    alarm(SETUP_SECONDS);
    uint64_t start = now_ns();
    while (joined < options.members) {
        open_more();
        turn(100);
    }
    printf("{\"ready\":true,\"members\":%d,\"connect_seconds\":%.4f", joined, (double)(now_ns() - start) / 1e9);
    print_latencies("join", &joins);
    printf("}\n");
    fflush(stdout);
    run.stray = 0;
    alarm(IDLE_SECONDS);
    take_orders();
    return 0;
}
