/* The floor: a server that only writes the frames.
 *
 * It answers the least of Socket.IO's handshake, and for each command writes a ready ack to the sender and a
 * ready event to every member: one write per member for all commands of one loop turn. It keeps no state,
 * parses no JSON, encodes nothing but the command id; no server that does the real work can be cheaper than
 * its system calls. It listens on loopback and leaves out the key check of the upgrade.
 *
 *   floor PORT EVENT_FILE ACK_FILE     (the files hold one packet body; a nil UUID stands for the command id)
 */
#include "../loadgen/wire.h"

enum { MAX_MEMBERS = 20000, INBOX = 65536, EVENTS_PER_TURN = 512 };

static const char OPEN[] = "0{\"sid\":\"floor\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,"
                           "\"maxPayload\":1000000}";
static const char UPGRADE[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Accept: floor\r\n\r\n";

struct client {
    struct stream stream; /* first: epoll hands back a pointer to it */
    struct buffer inbox;
    bool upgraded, joined;
};

static int epoll;
static struct client *members[MAX_MEMBERS];
static size_t member_count;
static struct buffer event, turn;
static size_t event_id_at;
static char *ack;

static void send_text(struct client *c, const char *text, size_t length) {
    struct buffer out = {0};
    uint8_t head[14];
    buffer_add(&out, head, frame_head(head, TEXT, length, NULL));
    buffer_add(&out, text, length);
    stream_send(&c->stream, out.at, out.length);
    free(out.at);
}

static void send_ack(struct client *c, const char *id, size_t digits, const char *body) {
    char text[4096];
    int n = snprintf(text, sizeof text, "43%.*s[%s]", (int)digits, id, body);
    send_text(c, text, (size_t)n);
}

/* The last UUID of the packet is the command id: senders put it last. */
static void add_event(const char *packet, size_t length) {
    size_t start = turn.length;
    buffer_add(&turn, event.at, event.length);
    const char *end = memrchr(packet, '"', length);
    if (end && end - packet > UUID_LENGTH) memcpy(turn.at + start + event_id_at, end - UUID_LENGTH, UUID_LENGTH);
}

static void on_packet(struct client *c, const char *packet, size_t length) {
    if (length < 2 || packet[0] != '4') return;
    if (packet[1] == '0') return send_text(c, "40{\"sid\":\"floor\"}", 16);
    size_t digits = strspn(packet + 2, "0123456789");
    if (c->joined) {
        add_event(packet, length);
        return send_ack(c, packet + 2, digits, ack);
    }
    check(member_count < MAX_MEMBERS, "too many members");
    c->joined = true;
    members[member_count++] = c;
    send_ack(c, packet + 2, digits, "{\"success\":true}");
}

static void leave(struct client *c) {
    for (size_t i = 0; i < member_count; i++)
        if (members[i] == c) members[i] = members[--member_count];
    close(c->stream.fd);
    free(c->stream.unsent.at);
    free(c->inbox.at);
    free(c);
}

static void on_readable(struct client *c) {
    static uint8_t chunk[INBOX];
    ssize_t n = read(c->stream.fd, chunk, sizeof chunk);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return leave(c);
    buffer_add(&c->inbox, chunk, (size_t)n);
    size_t off = 0;
    if (!c->upgraded) {
        uint8_t *end = memmem(c->inbox.at, c->inbox.length, "\r\n\r\n", 4);
        if (!end) return;
        off = (size_t)(end + 4 - c->inbox.at);
        c->upgraded = true;
        stream_send(&c->stream, UPGRADE, sizeof UPGRADE - 1);
        send_text(c, OPEN, sizeof OPEN - 1);
    }
    struct frame f;
    while (frame_read(c->inbox.at + off, c->inbox.length - off, &f) &&
           f.head + f.length <= c->inbox.length - off) {
        uint8_t *payload = c->inbox.at + off + f.head;
        for (size_t i = 0; i < f.length; i++) payload[i] ^= f.mask[i & 3];
        if (f.opcode == TEXT) on_packet(c, (char *)payload, f.length);
        off += f.head + f.length;
    }
    buffer_drop(&c->inbox, off);
}

static void fan_out(void) {
    for (size_t i = 0; i < member_count; i++) stream_send(&members[i]->stream, turn.at, turn.length);
    turn.length = 0;
}

static void prepare(const char *event_path, const char *ack_path) {
    char *body = read_text(event_path);
    char *id = strstr(body, NIL_UUID);
    check(id, "the event file holds no nil UUID");
    uint8_t head[14];
    size_t n = frame_head(head, TEXT, strlen(body), NULL);
    buffer_add(&event, head, n);
    buffer_add(&event, body, strlen(body));
    event_id_at = n + (size_t)(id - body);
    ack = read_text(ack_path);
    free(body);
}

static struct stream listener(uint16_t port) {
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in here = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    check(bind(fd, (struct sockaddr *)&here, sizeof here) == 0 && listen(fd, 1024) == 0, "listen");
    return (struct stream){.fd = fd, .epoll = epoll};
}

int main(int argc, char **argv) {
    check(argc == 4, "floor PORT EVENT_FILE ACK_FILE");
    allow_many_files();
    prepare(argv[2], argv[3]);
    epoll = epoll_create1(0);
    struct stream door = listener((uint16_t)atoi(argv[1]));
    stream_watch(&door, EPOLL_CTL_ADD);
    struct epoll_event ready[EVENTS_PER_TURN];
    for (;;) {
        int n = epoll_wait(epoll, ready, EVENTS_PER_TURN, -1);
        for (int i = 0; i < n; i++) {
            if (ready[i].data.ptr != &door) {
                if (ready[i].events & EPOLLOUT) stream_flush(ready[i].data.ptr);
                if (ready[i].events & ~(uint32_t)EPOLLOUT) on_readable(ready[i].data.ptr);
                continue;
            }
            for (int fd; (fd = accept4(door.fd, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
                struct client *c = calloc(1, sizeof *c);
                check(c, "out of memory");
                stream_open(&c->stream, epoll, fd);
            }
        }
        if (turn.length) fan_out();
    }
}
