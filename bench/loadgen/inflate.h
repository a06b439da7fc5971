/* Inflate (RFC 1951) for permessage-deflate (RFC 7692): small rather than fast, since only handshakes, acks
 * and snapshots come compressed. The window lives across messages, as a server with context takeover needs. */
#pragma once

#include "wire.h"

enum { WINDOW = 32768, MAX_BITS = 15, LITERALS = 288, DISTANCES = 32 };

struct inflater {
    struct buffer out; /* up to WINDOW bytes of history, then the message */
};

struct bits {
    const uint8_t *at, *end;
    uint32_t held;
    int count;
    bool failed;
};

/* A canonical Huffman code: how many symbols have each length, and the symbols in code order. */
struct code {
    uint16_t count[MAX_BITS + 1], symbol[LITERALS];
};

static inline uint32_t take(struct bits *in, int n) {
    while (in->count < n) {
        if (in->at == in->end) in->failed = true;
        in->held |= (in->failed ? 0u : *in->at++) << in->count;
        in->count += 8;
    }
    uint32_t value = in->held & ((1u << n) - 1);
    in->held >>= n;
    in->count -= n;
    return value;
}

static inline void code_build(struct code *c, const uint8_t *lengths, int n) {
    uint16_t next[MAX_BITS + 2] = {0};
    memset(c, 0, sizeof *c);
    for (int i = 0; i < n; i++) c->count[lengths[i]]++;
    c->count[0] = 0;
    for (int bits = 1; bits <= MAX_BITS; bits++) next[bits + 1] = (uint16_t)(next[bits] + c->count[bits]);
    for (int i = 0; i < n; i++)
        if (lengths[i]) c->symbol[next[lengths[i]]++] = (uint16_t)i;
}

static inline int code_read(struct bits *in, const struct code *c) {
    int value = 0, first = 0, index = 0;
    for (int bits = 1; bits <= MAX_BITS; bits++) {
        value |= (int)take(in, 1);
        if (value - first < c->count[bits]) return c->symbol[index + value - first];
        index += c->count[bits];
        first = (first + c->count[bits]) << 1;
        value <<= 1;
    }
    in->failed = true;
    return 256;
}

static inline void fixed_codes(struct code *literals, struct code *distances) {
    uint8_t lengths[LITERALS];
    for (int i = 0; i < LITERALS; i++) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    code_build(literals, lengths, LITERALS);
    memset(lengths, 5, DISTANCES);
    code_build(distances, lengths, DISTANCES);
}

static inline void dynamic_codes(struct bits *in, struct code *literals, struct code *distances) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[LITERALS + DISTANCES] = {0}, of_lengths[19] = {0};
    int literal_count = (int)take(in, 5) + 257, distance_count = (int)take(in, 5) + 1;
    int total = literal_count + distance_count;
    for (int i = 0, n = (int)take(in, 4) + 4; i < n; i++) of_lengths[order[i]] = (uint8_t)take(in, 3);
    code_build(literals, of_lengths, 19);
    for (int i = 0; i < total && !in->failed;) {
        int symbol = code_read(in, literals), times = 1;
        uint8_t value = symbol < 16 ? (uint8_t)symbol : 0;
        if (symbol == 16) {
            value = i ? lengths[i - 1] : 0;
            times = 3 + (int)take(in, 2);
        } else if (symbol > 16) {
            times = symbol == 17 ? 3 + (int)take(in, 3) : 11 + (int)take(in, 7);
        }
        while (times-- && i < total) lengths[i++] = value;
    }
    code_build(literals, lengths, literal_count);
    code_build(distances, lengths + literal_count, distance_count);
}

/* Lengths and distances are a base and extra bits, four (two) codes to each number of extra bits. */
static inline size_t read_length(struct bits *in, int code) {
    if (code < 8) return (size_t)code + 3;
    if (code == 28) return 258;
    int extra = code / 4 - 1;
    return ((size_t)(4 + code % 4) << extra) + 3 + take(in, extra);
}

static inline size_t read_distance(struct bits *in, int code) {
    if (code < 4) return (size_t)code + 1;
    int extra = code / 2 - 1;
    return ((size_t)(2 + code % 2) << extra) + 1 + take(in, extra);
}

static inline void copy_back(struct bits *in, struct buffer *out, const struct code *distances, int symbol) {
    size_t length = read_length(in, symbol - 257);
    int code = code_read(in, distances);
    size_t distance = code < 30 ? read_distance(in, code) : SIZE_MAX;
    if (symbol > 285 || distance > out->length) in->failed = true;
    for (; length && !in->failed; length--) {
        uint8_t byte = out->at[out->length - distance];
        buffer_add(out, &byte, 1);
    }
}

static inline void stored_block(struct bits *in, struct buffer *out) {
    in->held = 0;
    in->count = 0;
    size_t length = take(in, 16);
    take(in, 16);
    if ((size_t)(in->end - in->at) < length) in->failed = true;
    if (in->failed) return;
    buffer_add(out, in->at, length);
    in->at += length;
}

/* Inflates one message; returns it (valid until the next call) or NULL when it is broken. */
static inline const uint8_t *inflate(struct inflater *z, const uint8_t *data, size_t n, size_t *length) {
    struct buffer source = {0};
    struct code literals, distances;
    if (z->out.length > WINDOW) buffer_drop(&z->out, z->out.length - WINDOW);
    size_t history = z->out.length;
    buffer_add(&z->out, "", 0);
    buffer_add(&source, data, n);
    buffer_add(&source, "\0\0\xff\xff", 4);
    struct bits in = {.at = source.at, .end = source.at + source.length};
    for (bool last = false; !last && !in.failed && in.at < in.end;) {
        last = take(&in, 1);
        uint32_t kind = take(&in, 2);
        if (kind == 0) {
            stored_block(&in, &z->out);
            continue;
        }
        kind == 1 ? fixed_codes(&literals, &distances) : dynamic_codes(&in, &literals, &distances);
        for (int symbol; !in.failed && (symbol = code_read(&in, &literals)) != 256;) {
            uint8_t byte = (uint8_t)symbol;
            symbol < 256 ? buffer_add(&z->out, &byte, 1) : copy_back(&in, &z->out, &distances, symbol);
        }
    }
    free(source.at);
    *length = z->out.length - history;
    return in.failed ? NULL : z->out.at + history;
}
