/* Hash tree over the ring. Inner nodes are not kept: a part's digest is folded from its leaves when
 * somebody asks, which for one of 1,024 ranges takes a few microseconds. */
#include "data/tree.h"

#include "base/checksum.h"

void tree_init(struct tree *tree, uint32_t bits)
{
    ASSERT(bits > 0 && bits <= TREE_BITS_MAX);
    tree->bits = bits;
    tree->leaves = mem_zero(sizeof(*tree->leaves) << bits);
}

void tree_done(struct tree *tree)
{
    mem_free(tree->leaves);
    *tree = (struct tree){0};
}

uint64_t tree_digest_folded(const struct tree *tree, uint64_t prefix, uint32_t prefix_bits,
                            uint32_t leaf_bits)
{
    ASSERT(prefix_bits <= leaf_bits && leaf_bits <= tree->bits && prefix >> prefix_bits == 0);
    size_t folded = (size_t)1 << (tree->bits - leaf_bits);
    uint64_t first = prefix << (leaf_bits - prefix_bits);
    uint64_t end = first + ((uint64_t)1 << (leaf_bits - prefix_bits));
    uint64_t digest = 0;
    for (uint64_t place = first; place < end; place++) {
        const uint64_t *leaves = tree->leaves + place * folded;
        uint64_t leaf = 0;
        for (size_t i = 0; i < folded; i++)
            leaf ^= leaves[i];
        /* The place takes part, so that keys which changed places do not cancel out. */
        if (leaf != 0)
            digest ^= checksum_pair(place, leaf);
    }
    return digest;
}

uint64_t tree_digest(const struct tree *tree, uint64_t prefix, uint32_t prefix_bits)
{
    return tree_digest_folded(tree, prefix, prefix_bits, tree->bits);
}
