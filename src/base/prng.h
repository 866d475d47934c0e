/* xoshiro256** seeded by splitmix64 (Blackman and Vigna, 2018): the only randomness of the core,
 * handed in by the host so that one seed replays one run. Not for secrets. */
#ifndef PRNG_H
#define PRNG_H

#include "base/base.h"

struct prng {
    uint64_t state[4];
};

void prng_init(struct prng *prng, uint64_t seed);
uint64_t prng_next(struct prng *prng);
/* Uniform in 0..bound-1; BOUND > 0. */
uint64_t prng_below(struct prng *prng, uint64_t bound);
/* Uniform in [0, 1). */
double prng_unit(struct prng *prng);

#endif
