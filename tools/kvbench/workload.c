#include "kvbench/workload.h"

#include <math.h>
#include <stdio.h>

#define ZIPF_THETA 0.99

/* Constants of Gray et al., "Quickly Generating Billion-Record Synthetic Databases", 1994, as YCSB
 * uses them. */
static void zipf_init(struct workload *workload)
{
    double zeta = 0;
    for (uint64_t i = 1; i <= workload->keys; i++)
        zeta += 1 / pow((double)i, ZIPF_THETA);
    double two = 1 + pow(0.5, ZIPF_THETA);
    workload->zeta = zeta;
    workload->alpha = 1 / (1 - ZIPF_THETA);
    workload->eta = (1 - pow(2 / (double)workload->keys, 1 - ZIPF_THETA)) / (1 - two / zeta);
    workload->keys_zipf = workload->keys;
}

void workload_init(struct workload *workload, uint64_t seed, struct slice prefix, uint64_t keys,
                   enum spread spread)
{
    ASSERT(keys > 0);
    *workload = (struct workload){.prefix = prefix, .keys = keys, .spread = spread};
    prng_init(&workload->prng, seed);
    if (spread != SPREAD_UNIFORM)
        zipf_init(workload);
}

const char *op_name(enum op_kind kind)
{
    static const char *const names[OP_KINDS] = {"get", "put", "insert", "scan", "rmw"};
    return names[kind];
}

enum op_kind workload_kind(struct workload *workload, const struct mix *mix)
{
    uint64_t draw = prng_below(&workload->prng, 100);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < OP_KINDS; i++) {
        sum += mix->share[i];
        if (draw < sum)
            return (enum op_kind)i;
    }
    return OP_GET;
}

/* Rank 0 is the most wanted. */
static uint64_t zipf_rank(struct workload *workload)
{
    double unit = prng_unit(&workload->prng);
    double scaled = unit * workload->zeta;
    if (scaled < 1)
        return 0;
    if (scaled < 1 + pow(0.5, ZIPF_THETA))
        return 1;
    double rank = (double)workload->keys_zipf *
                  pow(workload->eta * unit - workload->eta + 1, workload->alpha);
    return MIN((uint64_t)rank, workload->keys_zipf - 1);
}

/* Spread the wanted ranks over all keys, or they would be neighbours (finaliser of splitmix64). */
static uint64_t scramble(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t workload_key(struct workload *workload)
{
    switch (workload->spread) {
    case SPREAD_ZIPFIAN:
        return scramble(zipf_rank(workload) + 1) % workload->keys;
    case SPREAD_LATEST:
        return workload->keys - 1 - MIN(zipf_rank(workload), workload->keys - 1);
    case SPREAD_UNIFORM:
        break;
    }
    return prng_below(&workload->prng, workload->keys);
}

uint32_t workload_name(const struct workload *workload, uint64_t key, char ret_name[KEY_NAME_MAX])
{
    int length = snprintf(ret_name, KEY_NAME_MAX, "%.*s%010llu", (int)workload->prefix.size,
                          (const char *)workload->prefix.data, (unsigned long long)key);
    ASSERT(length > 0 && length < KEY_NAME_MAX);
    return (uint32_t)length;
}

bool workload_letter(char letter, struct mix *ret_mix, enum spread *ret_spread)
{
    static const struct {
        char letter;
        enum spread spread;
        struct mix mix;
    } letters[] = {
        {'a', SPREAD_ZIPFIAN, {{[OP_GET] = 50, [OP_PUT] = 50}}},
        {'b', SPREAD_ZIPFIAN, {{[OP_GET] = 95, [OP_PUT] = 5}}},
        {'c', SPREAD_ZIPFIAN, {{[OP_GET] = 100}}},
        {'d', SPREAD_LATEST, {{[OP_GET] = 95, [OP_INSERT] = 5}}},
        {'e', SPREAD_ZIPFIAN, {{[OP_SCAN] = 95, [OP_INSERT] = 5}}},
        {'f', SPREAD_ZIPFIAN, {{[OP_GET] = 50, [OP_RMW] = 50}}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(letters); i++) {
        if ((letter | 0x20) == letters[i].letter) {
            *ret_mix = letters[i].mix;
            *ret_spread = letters[i].spread;
            return true;
        }
    }
    return false;
}
