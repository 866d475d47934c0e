/* What the node measures about itself: latencies, the load it gossips, its process.
 *
 * A histogram is log-linear: exact below 16 us, then 8 steps to each doubling (12 % wide), up to an
 * hour. Adding is O(1) without a branch on the value's size that a loop would notice. */
#ifndef METRICS_H
#define METRICS_H

#include "base/base.h"
#include "core/request.h"

enum { HISTOGRAM_EXACT = 16, HISTOGRAM_BITS_MAX = 32, HISTOGRAM_STEPS = 8 };
enum { HISTOGRAM_BUCKETS = HISTOGRAM_EXACT + (HISTOGRAM_BITS_MAX - 4) * HISTOGRAM_STEPS };

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t sum_us;
    uint64_t max_us;
};

void histogram_add(struct histogram *histogram, uint64_t us);
/* How many were below 2^POWER microseconds; POWER from 4. */
uint64_t histogram_below(const struct histogram *histogram, uint32_t power);
/* An upper bound of the quantile (0..1), at most 12 % above it; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

/* Latencies are kept by method; what is no data method shares one. */
enum { METRIC_OTHER = 0, METRIC_METHODS = METHOD_EDIT + 1 };

struct metrics {
    struct histogram requests[METRIC_METHODS]; /* Since the start, by enum method. */
    struct histogram loop;                     /* Time that a turn of the loop was busy. */
    struct histogram late;                     /* How long after its time a timer fired. */
    struct histogram window;                   /* Requests of the second under way. */
    uint64_t second_began_us;
    uint64_t stall_us; /* Longest busy turn of the second under way. */
    uint64_t cpu_us;   /* Of the process, when the second began. */
    /* Of the last whole second. */
    uint32_t ops_per_s;
    uint32_t cpu_permille; /* Of one core. */
    uint64_t p50_us;
    uint64_t p99_us;
    uint64_t loop_stall_us_max;
    /* When last looked. */
    uint64_t rss_bytes;
    uint64_t cpu_total_us;
};

void metrics_init(struct metrics *metrics, uint64_t now_us);
void metrics_request(struct metrics *metrics, uint32_t method, uint64_t us);
void metrics_turn(struct metrics *metrics, uint64_t us);
void metrics_late(struct metrics *metrics, uint64_t us);
/* Close the second under way: about once a second. */
void metrics_second(struct metrics *metrics, uint64_t now_us);

#endif
