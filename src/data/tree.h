/* Hash tree over the ring: which parts of two replicas differ (Merkle tree; Dynamo section 4.7).
 *
 * A leaf is the XOR of object_digest over the keys in one equal part of the ring; inner nodes are
 * folded on demand, so an update is one XOR. Leaves of a range are contiguous. Untouched leaves
 * cost no memory until written (zeroed pages). */
#ifndef TREE_H
#define TREE_H

#include "base/base.h"

enum { TREE_BITS_DEFAULT = 20, TREE_BITS_MAX = 24 };

struct tree {
    uint32_t bits;    /* log2 of the number of leaves, at least the ring's bits. */
    uint64_t *leaves; /* Owned. */
};

void tree_init(struct tree *tree, uint32_t bits);
void tree_done(struct tree *tree);
static inline uint32_t tree_leaf_of(const struct tree *tree, uint64_t hash)
{
    return (uint32_t)(hash >> (64 - tree->bits));
}
/* HASH will be updated soon: fetch its leaf into the processor's cache. */
static inline void tree_fetch(const struct tree *tree, uint64_t hash)
{
    fetch_lines(&tree->leaves[tree_leaf_of(tree, hash)], 1);
}
/* Replace one object's digest by another (0 for none) in the leaf of HASH. */
static inline void tree_update(struct tree *tree, uint64_t hash, uint64_t before, uint64_t after)
{
    tree->leaves[tree_leaf_of(tree, hash)] ^= before ^ after;
}
/* The digest of the part of the ring whose top PREFIX_BITS bits are PREFIX: depends on each leaf
 * and its place at depth bits. Trees with different bits are compared after folding to the coarser.
 */
uint64_t tree_digest(const struct tree *tree, uint64_t prefix, uint32_t prefix_bits);
/* The same of the tree folded to 2^LEAF_BITS leaves, with PREFIX_BITS <= LEAF_BITS <= tree->bits. A
 * part without objects has digest 0. Costs O(leaves under the prefix). */
uint64_t tree_digest_folded(const struct tree *tree, uint64_t prefix, uint32_t prefix_bits,
                            uint32_t leaf_bits);

#endif
