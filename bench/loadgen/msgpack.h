/* As much of MessagePack as the packets of socket.io-msgpack-parser need: a map {type, nsp, id, data}. */
#pragma once

#include "wire.h"

enum { DEEPEST = 64 };

struct packed {
    int type;     /* of Socket.IO: 0 connected, 2 event, 3 ack, 4 refused; -1 for what is no packet */
    uint64_t id;  /* of an ack */
    const uint8_t *data, *end;
};

static inline uint64_t big_endian(const uint8_t *at, size_t n) {
    uint64_t value = 0;
    while (n--) value = value << 8 | *at++;
    return value;
}

/* The end of the value at `at`, or NULL when it is cut off. */
static inline const uint8_t *after_value(const uint8_t *at, const uint8_t *end, int depth) {
    if (!at || at >= end || depth > DEEPEST) return NULL;
    uint8_t kind = *at++;
    static const uint8_t sizes[32] = {[0x0a] = 4, [0x0b] = 8, [0x0c] = 1, [0x0d] = 2, [0x0e] = 4, [0x0f] = 8,
                                      [0x10] = 1, [0x11] = 2, [0x12] = 4, [0x13] = 8};
    size_t skip = 0, values = 0, width = 0;
    if (kind >= 0xa0 && kind < 0xc0) skip = kind & 31;
    if (kind >= 0x80 && kind < 0x90) values = (kind & 15) * 2u;
    if (kind >= 0x90 && kind < 0xa0) values = kind & 15;
    if (kind >= 0xc0 && kind < 0xe0) skip = sizes[kind - 0xc0];
    if (kind >= 0xc4 && kind <= 0xc6) width = 1u << (kind - 0xc4);
    if (kind >= 0xd9 && kind <= 0xdb) width = 1u << (kind - 0xd9);
    if (kind >= 0xdc && kind <= 0xdf) width = kind & 1 ? 4 : 2;
    if ((size_t)(end - at) < width) return NULL;
    uint64_t count = big_endian(at, width);
    at += width;
    if (kind >= 0xdc && kind <= 0xdf)
        values = kind >= 0xde ? count * 2 : count;
    else
        skip += count;
    if ((size_t)(end - at) < skip) return NULL;
    at += skip;
    while (values-- && at) at = after_value(at, end, depth + 1);
    return at;
}

static inline uint64_t small_number(const uint8_t *at, const uint8_t *end) {
    if (*at < 0x80) return *at;
    size_t width = *at >= 0xcc && *at <= 0xcf ? (size_t)1 << (*at - 0xcc) : 0;
    return (size_t)(end - at) > width ? big_endian(at + 1, width) : 0;
}

static inline struct packed packed_read(const uint8_t *at, size_t length) {
    const uint8_t *end = at + length;
    struct packed p = {.type = -1, .end = end};
    if (!length || (*at & 0xf0) != 0x80) return p;
    for (int pairs = *at++ & 15; pairs-- && at;) {
        const uint8_t *key = at, *value = after_value(key, end, 0), *next = after_value(value, end, 0);
        if (!next) break;
        size_t n = (size_t)(value - key);
        if (n == 5 && !memcmp(key, "\xa4type", 5)) p.type = (int)small_number(value, end);
        if (n == 3 && !memcmp(key, "\xa2id", 3)) p.id = small_number(value, end);
        if (n == 5 && !memcmp(key, "\xa4""data", 5)) p.data = value;
        at = next;
    }
    return p;
}
