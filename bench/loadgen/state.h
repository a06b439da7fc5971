/* What the parts of the load generator share: its options, its members, and the run that is under way. */
#pragma once

#include <getopt.h>

#include "histogram.h"
#include "inflate.h"
#include "wire.h"

enum {
    MAX_MEMBERS = 20000,
    MAX_ROOMS = 1000,
    MAX_COMMANDS = 1 << 22,
    MAX_COMMAND = 4096,
    UUID_PREFIX = 24,
};

enum state { UPGRADING, OPENING, CONNECTING, JOINING, JOINED, LOST };
enum shape { LOCKSTEP, CLOSED, RATE };

struct line {
    char *at;
    size_t length;
};

struct lines {
    struct line *at;
    size_t count;
};

struct member {
    struct stream stream; /* first: epoll hands back a pointer to it */
    enum state state;
    int room;
    bool sampled, outside; /* outside: sends, but has not joined and hears nothing */
    uint64_t began, heard, acked;
    struct buffer tail; /* an unfinished frame */
    size_t skip;        /* what is left of a frame too large to keep */
    struct inflater inflater;
};

static struct {
    int port, members, outside, rooms, window, samples;
    bool deflate, msgpack, signals;
    const char *path;
    struct lines auth, join, commands;
    char prefix[80]; /* how the counted event's packet begins, or its data in msgpack */
    size_t prefix_length;
} options = {.members = 1, .rooms = 1, .window = 64, .samples = 20, .path = "/socket.io/"};

static int epoll, timer;
static struct member *members; /* of the rooms, then those outside */
static int total, opened, ready, joined, lost;
static int in_room[MAX_ROOMS];
static uint64_t next_line[MAX_ROOMS]; /* of the commands, for each room */
static struct histogram joins;

/* Joins after the first ones: of all members at once (a herd), or of one member again and again. */
static struct {
    bool on;
    uint64_t start, retries, bytes, expected;
    const char *expect;
} again;

static struct {
    bool on;
    enum shape shape;
    int senders;
    double rate;
    uint64_t start, deadline, give_up, last;
    uint64_t base; /* commands of earlier runs */
    uint64_t sent, acked, failed, expected, heard, event_bytes, stray;
    uint64_t room_acked[MAX_ROOMS];
    struct rusage usage;
    struct histogram acks, deliveries;
} run;

static uint64_t due_at[MAX_COMMANDS]; /* when each command of this run should have left */
static bool waiting[MAX_COMMANDS];    /* whether its ack is still to come */
static char id_prefix[UUID_PREFIX + 1];
static char complaint[256];

/* One line per packet; packets of msgpack stand there in hexadecimal. */
static struct lines read_lines(const char *path) {
    struct lines lines = {0};
    for (char *at = read_text(path), *text; (text = strsep(&at, "\n"));) {
        if (!*text) continue;
        struct line line = {text, strlen(text)};
        if (options.msgpack) {
            line.length /= 2;
            for (size_t i = 0; i < line.length; i++) {
                char digits[3] = {text[2 * i], text[2 * i + 1], 0};
                text[i] = (char)strtoul(digits, NULL, 16);
            }
        }
        lines.at = realloc(lines.at, (lines.count + 1) * sizeof *lines.at);
        check(lines.at, "out of memory");
        lines.at[lines.count++] = line;
    }
    check(lines.count, path);
    return lines;
}

static void read_options(int argc, char **argv) {
    static const struct option names[] = {
        {"msgpack", 0, NULL, 'k'}, {"port", 1, NULL, 'p'},    {"members", 1, NULL, 'm'},  {"outside", 1, NULL, 'o'},
        {"rooms", 1, NULL, 'r'},   {"window", 1, NULL, 'w'},  {"samples", 1, NULL, 's'},  {"path", 1, NULL, 'u'},
        {"auth", 1, NULL, 'a'},    {"join", 1, NULL, 'j'},    {"commands", 1, NULL, 'c'}, {"event", 1, NULL, 'e'},
        {"deflate", 0, NULL, 'd'}, {"signals", 0, NULL, 'g'}, {NULL, 0, NULL, 0},
    };
    const char *auth = NULL, *join = NULL, *commands = NULL, *event = NULL;
    for (int name; (name = getopt_long(argc, argv, "", names, NULL)) != -1;) switch (name) {
            case 'k': options.msgpack = true; break;
            case 'p': options.port = atoi(optarg); break;
            case 'm': options.members = atoi(optarg); break;
            case 'o': options.outside = atoi(optarg); break;
            case 'r': options.rooms = atoi(optarg); break;
            case 'w': options.window = atoi(optarg); break;
            case 's': options.samples = atoi(optarg); break;
            case 'u': options.path = optarg; break;
            case 'a': auth = optarg; break;
            case 'j': join = optarg; break;
            case 'c': commands = optarg; break;
            case 'e': event = optarg; break;
            case 'd': options.deflate = true; break;
            case 'g': options.signals = true; break;
            default: exit(2);
        }
    check(options.port > 0 && options.port < 65536, "--port is missing");
    check(options.members > 0 && options.outside >= 0 && options.members + options.outside <= MAX_MEMBERS,
          "--members or --outside is out of bounds");
    check(options.rooms > 0 && options.rooms <= MAX_ROOMS, "--rooms is out of bounds");
    check(options.window > 0 && options.samples > 0, "--window and --samples must be positive");
    check(auth && join && commands && event, "--auth, --join, --commands and --event are needed");
    options.auth = read_lines(auth);
    options.join = read_lines(join);
    options.commands = read_lines(commands);
    int head = (int)strlen(event);
    check(head < 32, "--event is too long");
    if (options.msgpack)
        snprintf(options.prefix, sizeof options.prefix, "\x92%c%s", 0xa0 | head, event);
    else
        snprintf(options.prefix, sizeof options.prefix, "42[\"%s\"", event);
    options.prefix_length = strlen(options.prefix);
    check(options.commands.count % (size_t)options.rooms == 0, "--commands must go around the rooms");
    for (size_t i = 0; i < options.commands.count; i++)
        check(options.commands.at[i].length < MAX_COMMAND - 64, "a command is too long");
}
