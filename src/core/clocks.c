#include "core/clocks.h"

#include <stdlib.h>

enum { ROUNDED_MS = 2 }; /* Four clocks in whole milliseconds differ by less from what they are. */

struct clock_bounds clock_bounds_of(uint64_t wall_ms, uint64_t asked_us, uint64_t now_us)
{
    return (struct clock_bounds){
        .low_ms = (int64_t)wall_ms - (int64_t)(now_us / 1000) - ROUNDED_MS,
        .high_ms = (int64_t)wall_ms - (int64_t)(asked_us / 1000) + ROUNDED_MS,
        .us = now_us,
    };
}

static int compare_lows(const void *a, const void *b)
{
    int64_t x = ((const struct clock_bounds *)a)->low_ms;
    int64_t y = ((const struct clock_bounds *)b)->low_ms;
    return (x > y) - (x < y);
}

static int compare_highs(const void *a, const void *b)
{
    int64_t x = ((const struct clock_bounds *)a)->high_ms;
    int64_t y = ((const struct clock_bounds *)b)->high_ms;
    return (x > y) - (x < y);
}

struct peer_clocks peer_clocks_of(struct clock_bounds *peers, uint32_t count)
{
    if (count < 2)
        return (struct peer_clocks){0};
    /* Of two peers these two, of three the outer ones, of four those in the middle. */
    uint32_t low = count / 2 - 1;
    qsort(peers, count, sizeof(*peers), compare_lows);
    int64_t low_ms = peers[low].low_ms;
    qsort(peers, count, sizeof(*peers), compare_highs);
    return (struct peer_clocks){true, low_ms, peers[count - 1 - low].high_ms};
}

int64_t peer_clocks_off_ms(const struct peer_clocks *peers, int64_t own_ms)
{
    if (!peers->known)
        return 0;
    if (own_ms > peers->high_ms)
        return own_ms - peers->high_ms;
    return MIN(own_ms - peers->low_ms, (int64_t)0);
}
