/* Log-linear histogram of latencies, after HdrHistogram (Tene): 64 steps to each power of two, so
 * that every value is known to within 1.6 %, from 1 ns to over an hour, in constant memory. */
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include "base/base.h"

enum { HISTOGRAM_STEPS = 64, HISTOGRAM_SLOTS = 38 * HISTOGRAM_STEPS };

/* Zeroed is empty and valid. */
struct histogram {
    uint64_t counts[HISTOGRAM_SLOTS];
    uint64_t count;
    uint64_t max_ns;
    double sum_ns;
};

void histogram_add(struct histogram *histogram, uint64_t ns);
void histogram_merge(struct histogram *histogram, const struct histogram *other);
/* What NOW has and BEFORE, an earlier state of it, had not: the highest value is known to a step.
 */
void histogram_since(const struct histogram *now, const struct histogram *before,
                     struct histogram *ret_news);
/* The smallest value that at least the share P (0..1) of all lie at or below; 0 when empty. */
uint64_t histogram_at(const struct histogram *histogram, double p);

#endif
