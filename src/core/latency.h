/* How long a peer takes to answer: a histogram of quarter octaves that forgets slowly. */
#ifndef LATENCY_H
#define LATENCY_H

#include "base/base.h"

enum { LATENCY_BUCKETS = 100, LATENCY_SAMPLES_MIN = 16 }; /* Up to 30 s. */

struct latency {
    uint16_t counts[LATENCY_BUCKETS];
    uint32_t total;
    uint32_t end; /* All buckets from here on are empty. */
};

void latency_add(struct latency *latency, uint64_t us);
/* Upper edge of the bucket that holds the 99th percentile, at most a quarter too high; 0 while
 * fewer than LATENCY_SAMPLES_MIN are known. */
uint64_t latency_p99_us(const struct latency *latency);

#endif
