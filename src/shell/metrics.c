/* Histograms and the figures of the last second. */
#include "shell/metrics.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static uint32_t bucket_of(uint64_t us)
{
    if (us < HISTOGRAM_EXACT)
        return (uint32_t)us;
    if (us >> HISTOGRAM_BITS_MAX != 0)
        return HISTOGRAM_BUCKETS - 1;
    uint32_t bits = 63u - (uint32_t)__builtin_clzll(us);
    uint32_t step = (uint32_t)(us >> (bits - 3)) & (HISTOGRAM_STEPS - 1);
    return HISTOGRAM_EXACT + (bits - 4) * HISTOGRAM_STEPS + step;
}

/* The highest value that falls into a bucket. */
static uint64_t bucket_last(uint32_t bucket)
{
    if (bucket < HISTOGRAM_EXACT)
        return bucket;
    uint32_t bits = 4 + (bucket - HISTOGRAM_EXACT) / HISTOGRAM_STEPS;
    uint64_t step = (bucket - HISTOGRAM_EXACT) % HISTOGRAM_STEPS;
    return ((HISTOGRAM_STEPS + step + 1) << (bits - 3)) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t us)
{
    histogram->counts[bucket_of(us)]++;
    histogram->count++;
    histogram->sum_us += us;
    histogram->max_us = MAX(histogram->max_us, us);
}

uint64_t histogram_below(const struct histogram *histogram, uint32_t power)
{
    ASSERT(power >= 4 && power <= HISTOGRAM_BITS_MAX);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < HISTOGRAM_EXACT + (power - 4) * HISTOGRAM_STEPS; i++)
        sum += histogram->counts[i];
    return sum;
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
    if (histogram->count == 0)
        return 0;
    uint64_t rank = (uint64_t)(quantile * (double)histogram->count);
    rank = MIN(rank, histogram->count - 1);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        sum += histogram->counts[i];
        if (sum > rank)
            return MIN(bucket_last(i), histogram->max_us);
    }
    return histogram->max_us;
}

static uint64_t cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static uint64_t rss_bytes(void)
{
    unsigned long long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void metrics_init(struct metrics *metrics, uint64_t now_us)
{
    *metrics = (struct metrics){.second_began_us = now_us, .cpu_us = cpu_us()};
    metrics->cpu_total_us = metrics->cpu_us;
    metrics->rss_bytes = rss_bytes();
}

void metrics_request(struct metrics *metrics, uint32_t method, uint64_t us)
{
    histogram_add(&metrics->requests[method < METRIC_METHODS ? method : METRIC_OTHER], us);
    histogram_add(&metrics->window, us);
}

void metrics_turn(struct metrics *metrics, uint64_t us)
{
    histogram_add(&metrics->loop, us);
    metrics->stall_us = MAX(metrics->stall_us, us);
}

void metrics_late(struct metrics *metrics, uint64_t us)
{
    histogram_add(&metrics->late, us);
}

void metrics_second(struct metrics *metrics, uint64_t now_us)
{
    uint64_t passed_us = MAX(now_us - metrics->second_began_us, (uint64_t)1);
    uint64_t cpu = cpu_us();
    metrics->ops_per_s = (uint32_t)(metrics->window.count * 1000000 / passed_us);
    metrics->cpu_permille = (uint32_t)((cpu - metrics->cpu_us) * 1000 / passed_us);
    metrics->p50_us = histogram_quantile(&metrics->window, 0.5);
    metrics->p99_us = histogram_quantile(&metrics->window, 0.99);
    metrics->loop_stall_us_max = metrics->stall_us;
    metrics->rss_bytes = rss_bytes();
    metrics->cpu_us = cpu;
    metrics->cpu_total_us = cpu;
    metrics->second_began_us = now_us;
    metrics->stall_us = 0;
    metrics->window = (struct histogram){0};
}
