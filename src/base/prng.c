/* xoshiro256** (https://prng.di.unimi.it/xoshiro256starstar.c). */
#include "base/prng.h"

static uint64_t rotate(uint64_t value, uint32_t bits)
{
    return value << bits | value >> (64 - bits);
}

static uint64_t splitmix(uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

void prng_init(struct prng *prng, uint64_t seed)
{
    for (size_t i = 0; i < ARRAY_SIZE(prng->state); i++)
        prng->state[i] = splitmix(&seed);
}

uint64_t prng_next(struct prng *prng)
{
    uint64_t *state = prng->state;
    uint64_t result = rotate(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate(state[3], 45);
    return result;
}

uint64_t prng_below(struct prng *prng, uint64_t bound)
{
    ASSERT(bound > 0);
    /* 2^64 mod bound values at the bottom would make the small results likelier. */
    uint64_t biased = (0 - bound) % bound;
    uint64_t value;
    do {
        value = prng_next(prng);
    } while (value < biased);
    return value % bound;
}

double prng_unit(struct prng *prng)
{
    return (double)(prng_next(prng) >> 11) * 0x1p-53;
}
