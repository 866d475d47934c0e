#include "base/checksum.h"
#include "base/prng.h"

#include <criterion/criterion.h>

/* splitmix64(0) fills the state; the sequence is that of the authors' reference code. */
Test(prng, matches_the_reference)
{
    struct prng prng;
    prng_init(&prng, 0);
    cr_assert_eq(prng.state[0], 0xe220a8397b1dcdafu);
    cr_assert_eq(prng_next(&prng), 0x99ec5f36cb75f2b4u);
    cr_assert_eq(prng_next(&prng), 0xbf6e1f784956452au);
}

Test(prng, stays_in_bounds_and_reaches_them)
{
    struct prng prng;
    prng_init(&prng, 1);
    bool seen[7] = {0};
    for (int i = 0; i < 1000; i++) {
        uint64_t value = prng_below(&prng, 7);
        cr_assert_lt(value, 7);
        seen[value] = true;
        double unit = prng_unit(&prng);
        cr_assert(unit >= 0 && unit < 1);
    }
    for (int i = 0; i < 7; i++)
        cr_assert(seen[i]);
    cr_assert_eq(prng_below(&prng, 1), 0);
}

/* The value of XXH3-64 for no bytes is in its specification. */
Test(checksum, is_xxh3)
{
    cr_assert_eq(checksum64(SLICE_NONE, 0), 0x2d06800538d394c2u);
    cr_assert_neq(checksum64(slice_string("a"), 0), checksum64(slice_string("a"), 1));
    cr_assert_neq(checksum_pair(1, 2), checksum_pair(2, 1));
}
