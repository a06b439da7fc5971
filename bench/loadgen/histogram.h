/* Latencies in constant memory: 64 steps per power of two, so a percentile is right to 1.6 %. */
#pragma once

#include <stdint.h>

enum { STEPS = 64, POWERS = 40 };

struct histogram {
    uint64_t count, max, slots[(POWERS + 1) * STEPS];
};

static inline void histogram_add(struct histogram *h, uint64_t ns) {
    int power = 0;
    while (power < POWERS - 1 && ns >> power >= 2 * STEPS) power++;
    uint64_t step = ns >> power < 2 * STEPS ? ns >> power : 2 * STEPS - 1;
    h->slots[(uint64_t)power * STEPS + step]++;
    h->count++;
    if (ns > h->max) h->max = ns;
}

/* The latency that `share` of the samples do not exceed, in milliseconds; 0 without samples. */
static inline double histogram_ms(const struct histogram *h, double share) {
    uint64_t seen = 0;
    for (uint64_t slot = 0; slot < (POWERS + 1) * STEPS; slot++) {
        seen += h->slots[slot];
        if (!h->count || (double)seen < share * (double)h->count) continue;
        uint64_t power = slot < 2 * STEPS ? 0 : slot / STEPS - 1, step = slot - power * STEPS;
        uint64_t upper = ((step + 1) << power) - 1;
        return (double)(upper < h->max ? upper : h->max) / 1e6;
    }
    return 0;
}
