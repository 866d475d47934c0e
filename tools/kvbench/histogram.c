#include "kvbench/histogram.h"

/* Values below 2 * STEPS have a slot each; above, the top 7 bits choose the slot. */
static uint32_t slot_of(uint64_t ns)
{
    if (ns < 2 * HISTOGRAM_STEPS)
        return (uint32_t)ns;
    uint32_t shift = (uint32_t)(63 - __builtin_clzll(ns)) - 6;
    uint64_t slot = (uint64_t)shift * HISTOGRAM_STEPS + (ns >> shift);
    return (uint32_t)MIN(slot, (uint64_t)HISTOGRAM_SLOTS - 1);
}

/* The highest value of a slot. */
static uint64_t slot_value(uint32_t slot)
{
    if (slot < 2 * HISTOGRAM_STEPS)
        return slot;
    uint32_t shift = slot / HISTOGRAM_STEPS - 1;
    uint64_t top = slot % HISTOGRAM_STEPS + HISTOGRAM_STEPS;
    return ((top + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->counts[slot_of(ns)]++;
    histogram->count++;
    histogram->max_ns = MAX(histogram->max_ns, ns);
    histogram->sum_ns += (double)ns;
}

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
    for (uint32_t i = 0; i < HISTOGRAM_SLOTS; i++)
        histogram->counts[i] += other->counts[i];
    histogram->count += other->count;
    histogram->max_ns = MAX(histogram->max_ns, other->max_ns);
    histogram->sum_ns += other->sum_ns;
}

void histogram_since(const struct histogram *now, const struct histogram *before,
                     struct histogram *ret_news)
{
    *ret_news = (struct histogram){.count = now->count - before->count,
                                   .sum_ns = now->sum_ns - before->sum_ns};
    for (uint32_t i = 0; i < HISTOGRAM_SLOTS; i++) {
        ret_news->counts[i] = now->counts[i] - before->counts[i];
        if (ret_news->counts[i] > 0)
            ret_news->max_ns = MIN(slot_value(i), now->max_ns);
    }
}

uint64_t histogram_at(const struct histogram *histogram, double p)
{
    double wanted = p * (double)histogram->count;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_SLOTS; i++) {
        seen += histogram->counts[i];
        if (seen > 0 && (double)seen >= wanted)
            return MIN(slot_value(i), histogram->max_ns);
    }
    return histogram->max_ns;
}
