#include "core/clocks.h"

#include <stdlib.h>

static int compare_clocks(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

struct peer_clocks peer_clocks_of(int64_t *lows_ms, int64_t *highs_ms, uint32_t count)
{
    if (count < 2)
        return (struct peer_clocks){0};
    qsort(lows_ms, count, sizeof(*lows_ms), compare_clocks);
    qsort(highs_ms, count, sizeof(*highs_ms), compare_clocks);
    /* Of two peers these two, of three the outer ones, of four those in the middle. */
    uint32_t low = count / 2 - 1;
    return (struct peer_clocks){true, lows_ms[low], highs_ms[count - 1 - low]};
}

int64_t peer_clocks_off_ms(const struct peer_clocks *peers, int64_t own_ms)
{
    if (!peers->known)
        return 0;
    if (own_ms > peers->high_ms)
        return own_ms - peers->high_ms;
    return MIN(own_ms - peers->low_ms, (int64_t)0);
}
