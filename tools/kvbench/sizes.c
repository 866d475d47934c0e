#include "kvbench/sizes.h"

#include "base/error.h"

#include <stdlib.h>

/* One number behind *AT; false when there is none or it is over MAX. */
static bool take_number(const char **at, uint64_t max, uint64_t *ret_number)
{
    char *end = NULL;
    if (**at < '0' || **at > '9')
        return false;
    *ret_number = strtoull(*at, &end, 10);
    *at = end;
    return *ret_number <= max;
}

int sizes_parse(const char *text, size_t size_max, struct sizes *ret_sizes)
{
    struct sizes sizes = {0};
    const char *at = text;
    while (sizes.count < SIZES_MAX) {
        uint64_t min = 0;
        uint64_t weight = 1;
        if (!take_number(&at, size_max, &min))
            return ERR_BAD_REQUEST;
        uint64_t max = min;
        if (*at == '-' && (at++, !take_number(&at, size_max, &max) || max < min))
            return ERR_BAD_REQUEST;
        if (*at == '*' && (at++, !take_number(&at, 1000000, &weight) || weight == 0))
            return ERR_BAD_REQUEST;
        sizes.parts[sizes.count].min = min;
        sizes.parts[sizes.count].max = max;
        sizes.parts[sizes.count++].weight = (uint32_t)weight;
        sizes.weight += (uint32_t)weight;
        if (*at == '\0') {
            *ret_sizes = sizes;
            return 0;
        }
        if (*at++ != ',')
            return ERR_BAD_REQUEST;
    }
    return ERR_BAD_REQUEST;
}

size_t sizes_draw(const struct sizes *sizes, struct prng *prng)
{
    uint32_t i = 0;
    if (sizes->count > 1) {
        uint64_t draw = prng_below(prng, sizes->weight);
        while (draw >= sizes->parts[i].weight)
            draw -= sizes->parts[i++].weight;
    }
    size_t spread = sizes->parts[i].max - sizes->parts[i].min;
    return sizes->parts[i].min + (spread > 0 ? prng_below(prng, spread + 1) : 0);
}

size_t sizes_min(const struct sizes *sizes)
{
    size_t min = SIZE_MAX;
    for (uint32_t i = 0; i < sizes->count; i++)
        min = MIN(min, sizes->parts[i].min);
    return min;
}

size_t sizes_max(const struct sizes *sizes)
{
    size_t max = 0;
    for (uint32_t i = 0; i < sizes->count; i++)
        max = MAX(max, sizes->parts[i].max);
    return max;
}
