/* Checksums and digests: XXH3-64 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md).
 * Guards against accidents, not against a forger. */
#ifndef CHECKSUM_H
#define CHECKSUM_H

#include "base/base.h"

uint64_t checksum64(struct slice bytes, uint64_t seed);
/* A well-mixed 64-bit value of two 64-bit values, for digests that are XORed together. */
uint64_t checksum_pair(uint64_t a, uint64_t b);

#endif
