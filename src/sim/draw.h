/* What a seed makes of a world's options. */
#ifndef SIM_DRAW_H
#define SIM_DRAW_H

#include "base/prng.h"

/* Both ends included. */
static inline uint64_t between(struct prng *prng, uint64_t low, uint64_t high)
{
    return low + prng_below(prng, high - low + 1);
}

static inline uint32_t between32(struct prng *prng, uint32_t low, uint32_t high)
{
    return (uint32_t)between(prng, low, high);
}

static inline bool chance(struct prng *prng, uint32_t percent)
{
    return prng_below(prng, 100) < percent;
}

#endif
