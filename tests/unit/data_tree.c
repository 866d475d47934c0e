#include "base/prng.h"
#include "data/tree.h"

#include <criterion/criterion.h>
#include <sys/resource.h>

Test(tree, equal_content_has_equal_digests_whatever_the_order)
{
    struct tree a, b;
    struct prng prng;
    prng_init(&prng, 1);
    tree_init(&a, 16);
    tree_init(&b, 16);
    uint64_t hashes[500], digests[500];
    for (int i = 0; i < 500; i++) {
        hashes[i] = prng_next(&prng);
        digests[i] = prng_next(&prng);
        tree_update(&a, hashes[i], 0, digests[i]);
    }
    for (int i = 499; i >= 0; i--) {
        tree_update(&b, hashes[i], 0, 77);
        tree_update(&b, hashes[i], 77, digests[i]);
    }
    for (uint32_t bits = 0; bits <= 16; bits++)
        for (uint64_t prefix = 0; prefix < 1u << bits; prefix++)
            cr_assert_eq(tree_digest(&a, prefix, bits), tree_digest(&b, prefix, bits));
    /* One key gone: exactly the parts that it lies in differ. */
    tree_update(&b, hashes[7], digests[7], 0);
    for (uint32_t bits = 0; bits <= 16; bits++) {
        uint64_t holds = bits == 0 ? 0 : hashes[7] >> (64 - bits);
        for (uint64_t prefix = 0; prefix < 1u << bits; prefix++)
            cr_assert_eq(tree_digest(&a, prefix, bits) != tree_digest(&b, prefix, bits),
                         prefix == holds);
    }
    for (int i = 0; i < 500; i++)
        tree_update(&a, hashes[i], digests[i], 0);
    cr_assert_eq(tree_digest(&a, 0, 0), 0);
    tree_done(&a);
    tree_done(&b);
}

Test(tree, digests_depend_on_the_place)
{
    struct tree a, b;
    tree_init(&a, 8);
    tree_init(&b, 8);
    /* The same two digests, changed places; and one of them twice. */
    tree_update(&a, 0x0100000000000000, 0, 5);
    tree_update(&a, 0x0200000000000000, 0, 6);
    tree_update(&b, 0x0100000000000000, 0, 6);
    tree_update(&b, 0x0200000000000000, 0, 5);
    cr_assert_neq(tree_digest(&a, 0, 0), tree_digest(&b, 0, 0));
    tree_update(&a, 0x0200000000000000, 6, 5);
    cr_assert_neq(tree_digest(&a, 0, 0), 0);
    cr_assert_neq(tree_digest(&a, 1, 8), tree_digest(&a, 2, 8));
    cr_assert_eq(tree_digest(&a, 3, 8), 0);
    tree_done(&a);
    tree_done(&b);
}

Test(tree, depths_compare_at_the_coarser)
{
    struct tree fine, coarse;
    struct prng prng;
    prng_init(&prng, 2);
    tree_init(&fine, 14);
    tree_init(&coarse, 10);
    for (int i = 0; i < 3000; i++) {
        uint64_t hash = prng_next(&prng);
        uint64_t digest = prng_next(&prng);
        tree_update(&fine, hash, 0, digest);
        tree_update(&coarse, hash, 0, digest);
    }
    for (uint64_t prefix = 0; prefix < 64; prefix++) {
        cr_assert_eq(tree_digest_folded(&fine, prefix, 6, 10), tree_digest(&coarse, prefix, 6));
        cr_assert_neq(tree_digest(&fine, prefix, 6), tree_digest(&coarse, prefix, 6));
    }
    tree_done(&fine);
    tree_done(&coarse);
}

Test(tree, the_ends_of_the_ring_have_leaves)
{
    struct tree tree;
    tree_init(&tree, TREE_BITS_DEFAULT);
    cr_assert_eq(tree_leaf_of(&tree, 0), 0);
    cr_assert_eq(tree_leaf_of(&tree, UINT64_MAX), (1u << TREE_BITS_DEFAULT) - 1);
    tree_update(&tree, UINT64_MAX, 0, 9);
    cr_assert_neq(tree_digest(&tree, 1023, 10), 0);
    cr_assert_eq(tree_digest(&tree, 0, 10), 0);
    tree_done(&tree);
}

Test(tree, untouched_leaves_cost_no_memory)
{
    struct rusage before, after;
    struct tree tree;
    getrusage(RUSAGE_SELF, &before);
    tree_init(&tree, TREE_BITS_MAX);
    for (uint64_t i = 0; i < 100; i++)
        tree_update(&tree, i << 57, 0, i + 1);
    getrusage(RUSAGE_SELF, &after);
    /* 128 MiB of leaves, of which a hundred pages were written; a sanitizer's shadow is an eighth.
     */
    cr_assert_lt(after.ru_maxrss - before.ru_maxrss, 32 * 1024);
    tree_done(&tree);
}
