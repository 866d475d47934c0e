/* XXH3-64 of the library, over bytes in an order that every machine shares. */
#include "base/checksum.h"

#include "base/bytes.h"

/* Most of what is hashed is a pair or a short key: a call would cost as much. */
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t checksum64(struct slice bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.size == 0 ? (const uint8_t *)"" : bytes.data, bytes.size,
                                seed);
}

uint64_t checksum_pair(uint64_t a, uint64_t b)
{
    uint8_t bytes[16];
    store_u64(bytes, a);
    store_u64(bytes + 8, b);
    return XXH3_64bits(bytes, sizeof bytes);
}
