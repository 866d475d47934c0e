/* How large values are: a mixture of uniform intervals. */
#ifndef SIZES_H
#define SIZES_H

#include "base/prng.h"

enum { SIZES_MAX = 8 };

struct sizes {
    struct {
        size_t min;
        size_t max;
        uint32_t weight;
    } parts[SIZES_MAX];
    uint32_t count;
    uint32_t weight; /* Of all together. */
};

/* "100", "100-1000", or several of these with weights: "64*90,1024-2048*9,65536"; without one the
 * weight is 1. 0 or ERR_BAD_REQUEST. */
int sizes_parse(const char *text, size_t size_max, struct sizes *ret_sizes) CHECK_RESULT;
size_t sizes_draw(const struct sizes *sizes, struct prng *prng);
size_t sizes_min(const struct sizes *sizes);
size_t sizes_max(const struct sizes *sizes);

#endif
