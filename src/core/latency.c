/* A histogram with four buckets for each doubling. */
#include "core/latency.h"

enum { TOTAL_MAX = 1024 }; /* Then all counts are halved, so that old answers lose their weight. */

/* Buckets 0..3 are 0..3 us; from there the two bits below the highest choose the quarter. */
static uint32_t bucket_of(uint64_t us)
{
    uint32_t octave = 0;
    while (us >> octave > 7)
        octave++;
    uint32_t bucket = us < 4 ? (uint32_t)us : octave * 4 + (uint32_t)(us >> octave);
    return MIN(bucket, (uint32_t)LATENCY_BUCKETS - 1);
}

static uint64_t upper_edge(uint32_t bucket)
{
    if (bucket < 4)
        return bucket + 1;
    uint32_t octave = bucket / 4 - 1;
    return ((uint64_t)(bucket % 4) + 5) << octave;
}

void latency_add(struct latency *latency, uint64_t us)
{
    uint32_t bucket = bucket_of(us);
    latency->counts[bucket]++;
    latency->end = MAX(latency->end, bucket + 1);
    if (++latency->total < TOTAL_MAX)
        return;
    uint32_t end = latency->end;
    latency->total = 0;
    latency->end = 0;
    for (uint32_t i = 0; i < end; i++) {
        latency->counts[i] /= 2;
        latency->total += latency->counts[i];
        if (latency->counts[i] > 0)
            latency->end = i + 1;
    }
}

uint64_t latency_p99_us(const struct latency *latency)
{
    if (latency->total < LATENCY_SAMPLES_MIN)
        return 0;
    uint32_t above = latency->total / 100; /* So many may be slower. */
    for (uint32_t i = latency->end; i > 0; i--) {
        if (latency->counts[i - 1] > above)
            return upper_edge(i - 1);
        above -= latency->counts[i - 1];
    }
    return 0;
}
