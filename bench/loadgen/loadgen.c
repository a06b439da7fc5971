/* The load generator: members of one room or several, some of them sending.
 *
 *   loadgen --port P --members N --auth FILE --join FILE --commands FILE --event NAME [--path PATH]
 *           [--outside N] [--rooms R] [--window W] [--samples K] [--deflate] [--msgpack] [--signals]
 *
 * It opens N Socket.IO connections (protocol 5, WebSocket, loopback only), joins member i to room i % R,
 * prints a "ready" line, then takes orders from stdin until it ends; each order prints one JSON line:
 *
 *   run lockstep 1 5 0      1 sender for 5 s; the next command leaves when ack and all deliveries came
 *   run closed 50 5 0       50 senders; each sends its next command as soon as its ack came
 *   run rate 10 5 20        10 senders, together 20 commands a second at fixed times
 *   herd FILE               all connections are dropped and come back at once, with the joins of FILE
 *   rejoin FILE 20 TEXT     the first member joins 20 times, one after the other; replies must hold TEXT
 *
 * The files hold one JSON text per line, used in turn: the auth object of a member; the arguments of its
 * join (`"room.join",{…}`); the arguments of a command (`"task.move",{…}`), line l for room l % R. A nil UUID
 * in a command becomes a fresh UUID that counts up; the server must repeat it in the event. With --msgpack
 * a line is a whole packet in hexadecimal, the ack's number (32 bits) at its end. So nothing here knows the
 * server. Those --outside connect and send, but join nothing. With --signals a sender does not hear itself,
 * and what was lost is not waited for.
 *
 * Every member counts every event. Latency of delivery is taken on K members spread over the rooms, latency
 * of acks on all commands; both count from when the command was due, so a stalled server cannot hide the
 * commands it kept from being sent. In the other two shapes the load waits for the server, by design. In a
 * herd everybody's time counts from the moment when all were dropped.
 */
#include <sys/random.h>

#include "hear.h"

enum {
    MAX_SECONDS = 600,
    MAX_EVENTS = 1024,
    DRAIN_SECONDS = 20,
    SETUP_SECONDS = 600,
    IDLE_SECONDS = 1800,
    QUIET_NS = 500000000, /* after which signals that have not come are lost */
};

/* The loop */

static char order[512];
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
    struct epoll_event events[MAX_EVENTS];
    int n = epoll_wait(epoll, events, MAX_EVENTS, timeout_ms);
    for (int i = 0; i < n; i++) {
        void *source = events[i].data.ptr;
        if (source == &order) {
            on_stdin();
        } else if (source == &timer) {
            uint64_t expirations;
            if (read(timer, &expirations, sizeof expirations) > 0 && run.on) send_due(now_ns());
        } else {
            struct member *m = source;
            if (events[i].events & EPOLLOUT) stream_flush(&m->stream);
            if (events[i].events & ~(uint32_t)EPOLLOUT) on_readable(m);
        }
    }
}

static void watch(int fd, void *source) {
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = source};
    check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl (stdin must be a pipe)");
}

/* Opens connections, `window` at a time, until all have joined. */
static void open_all(int window) {
    opened = 0;
    while (ready < total) {
        while (opened < total && opened - ready < window) open_connection(&members[opened++]);
        turn(100);
    }
}

/* Reports */

static double cpu_seconds(const struct rusage *u) {
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

static void print_latencies(const char *name, const struct histogram *h) {
    printf(",\"%s_p50_ms\":%.4f,\"%s_p99_ms\":%.4f,\"%s_max_ms\":%.4f", name, histogram_ms(h, .50), name,
           histogram_ms(h, .99), name, (double)h->max / 1e6);
}

static void print_joins(double seconds) {
    printf("{\"members\":%d,\"seconds\":%.6f,\"retries\":%llu,\"expected\":%llu,\"reply_bytes\":%.1f", joined, seconds,
           (unsigned long long)again.retries, (unsigned long long)again.expected,
           joins.count ? (double)again.bytes / (double)joins.count : 0.0);
    print_latencies("join", &joins);
    printf("}\n");
    fflush(stdout);
}

static int uneven_members(void) {
    int uneven = 0;
    for (int i = 0; i < options.members; i++) {
        const struct member *m = &members[i];
        uint64_t due = run.room_acked[m->room] - (options.signals ? m->acked : 0);
        uneven += m->state == JOINED && m->heard != due;
    }
    return uneven;
}

static void run_report(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    for (char *c = complaint; *c; c++)
        if (*c == '"' || *c == '\\' || *c < ' ') *c = '\'';
    printf("{\"seconds\":%.6f,\"members\":%d,\"lost\":%d,\"senders\":%d,\"sent\":%llu,\"acked\":%llu,"
           "\"failed\":%llu,\"deliveries\":%llu,\"expected\":%llu,\"uneven_members\":%d,\"stray\":%llu,"
           "\"event_bytes\":%.1f,\"loadgen_cpu_seconds\":%.6f,\"complaint\":\"%s\"",
           (double)(run.last - run.start) / 1e9, joined, lost, run.senders, (unsigned long long)run.sent,
           (unsigned long long)run.acked, (unsigned long long)run.failed, (unsigned long long)run.heard,
           (unsigned long long)run.expected, uneven_members(), (unsigned long long)run.stray,
           run.heard ? (double)run.event_bytes / (double)run.heard : 0.0,
           cpu_seconds(&usage) - cpu_seconds(&run.usage), complaint);
    print_latencies("ack", &run.acks);
    print_latencies("delivery", &run.deliveries);
    printf("}\n");
    fflush(stdout);
}

/* Runs */

static bool run_is_over(uint64_t now) {
    if (now < run.deadline && run.sent < MAX_COMMANDS) return false;
    bool settled = rooms_are_level() || (options.signals && now > run.last + QUIET_NS);
    return (run.acked == run.sent && settled) || now > run.give_up;
}

static void run_begin(enum shape shape, int senders, double seconds, double rate) {
    uint64_t base = run.base + run.sent, stray = run.stray, now = now_ns();
    memset(&run, 0, sizeof run);
    memset(complaint, 0, sizeof complaint);
    for (int i = 0; i < total; i++) members[i].heard = members[i].acked = 0;
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
        for (int i = 0; i < senders; i++) send_command(sender((uint64_t)i), now);
    if (shape == RATE) send_due(now);
}

static void obey_run(const char *line) {
    static const char *const names[] = {"lockstep", "closed", "rate"};
    char name[16];
    int senders, shape = 0;
    double seconds, rate;
    check(sscanf(line, "run %15s %d %lf %lf", name, &senders, &seconds, &rate) == 4, "order not understood");
    while (shape < 3 && strcmp(name, names[shape])) shape++;
    check(shape < 3 && senders > 0 && senders <= (options.outside ? options.outside : options.members) && seconds > 0 &&
              seconds <= MAX_SECONDS && (shape != RATE || rate > 0),
          "order out of bounds");
    run_begin((enum shape)shape, senders, seconds, rate);
    while (!run_is_over(now_ns())) turn(10);
    run_report();
    run.on = false;
    run.stray = 0;
}

static void begin_again(const char *path) {
    options.join = read_lines(path);
    memset(&joins, 0, sizeof joins);
    memset(&again, 0, sizeof again);
    again.start = now_ns();
    alarm(SETUP_SECONDS);
}

static void obey_herd(const char *path) {
    begin_again(path);
    for (int i = 0; i < total; i++)
        if (members[i].state != LOST) close_connection(&members[i]);
    again.on = true;
    open_all(total);
    print_joins((double)(now_ns() - again.start) / 1e9);
    again.on = false;
}

static void obey_rejoin(const char *path, int times, const char *expect) {
    begin_again(path);
    again.expect = expect;
    struct member *m = &members[0];
    for (int i = 0; i < times; i++) {
        m->state = JOINING;
        ready--, joined--, in_room[m->room]--;
        m->began = now_ns();
        send_join(m);
        while (m->state != JOINED) turn(100);
    }
    print_joins((double)(now_ns() - again.start) / 1e9);
    again.expect = NULL;
}

static void obey(const char *line) {
    char path[256], text[64];
    int times;
    if (sscanf(line, "herd %255s", path) == 1)
        obey_herd(path);
    else if (sscanf(line, "rejoin %255s %d %63s", path, &times, text) == 3)
        obey_rejoin(path, times, text);
    else
        obey_run(line);
    alarm(IDLE_SECONDS);
}

static void take_orders(void) {
    for (char *end;;) {
        while ((end = memchr(order, '\n', order_length))) {
            char line[sizeof order] = {0};
            memcpy(line, order, (size_t)(end - order));
            order_length -= (size_t)(end + 1 - order);
            memmove(order, end + 1, order_length);
            obey(line);
        }
        if (order_ended) return;
        turn(-1);
    }
}

/* Start */

static void prepare(void) {
    uint32_t nonce[2];
    check(getrandom(nonce, sizeof nonce, 0) == sizeof nonce, "getrandom");
    snprintf(id_prefix, sizeof id_prefix, "%08x-%04x-4%03x-8%03x-", nonce[0], nonce[1] >> 16, nonce[1] >> 4 & 0xfff,
             nonce[1] & 0xfff);
    run.base = 1;
    allow_many_files();
    total = options.members + options.outside;
    members = calloc((size_t)total, sizeof *members);
    epoll = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    check(members && epoll >= 0 && timer >= 0, "epoll");
    watch(timer, &timer);
    watch(0, &order);
    for (int i = 0; i < total; i++) {
        members[i].outside = i >= options.members;
        members[i].room = (members[i].outside ? i - options.members : i) % options.rooms;
    }
    int samples = options.samples < options.members ? options.samples : options.members;
    for (int i = 1; i <= samples; i++) members[(int64_t)i * options.members / samples - 1].sampled = true;
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    prepare();
    alarm(SETUP_SECONDS);
    uint64_t start = now_ns();
    open_all(options.window);
    print_joins((double)(now_ns() - start) / 1e9);
    run.stray = 0;
    alarm(IDLE_SECONDS);
    take_orders();
    return 0;
}
