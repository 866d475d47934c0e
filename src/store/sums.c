/* Summing up the hash tree from the data, instead of following each change: to check it, and where
 * a damaged record leaves nothing to follow. */
#include "store/store_private.h"

/* What LEAF has to change by so that it is the sum of what is there, with PATH as something of
 * DIGEST. RET_LOST: more is lost in it, and not between hashes FROM and TO. */
static int sum_leaf(struct store *store, uint64_t leaf, struct slice path, uint64_t digest,
                    uint64_t from, uint64_t to, uint64_t *ret_delta, bool *ret_lost)
{
    struct tree *tree = &store->tree;
    uint64_t first = leaf << (64 - tree->bits);
    uint64_t last = first | (UINT64_MAX >> tree->bits);
    struct walk walk;
    struct walk_item item;
    uint64_t sum = digest;
    bool patient = store->disk->patient;
    store->disk->patient = true; /* A handful of records, and seldom enough. */
    arena_reset(&store->arena);
    walk_start(&walk, store, DISK_OBJECTS, &store->arena, first, SLICE_NONE, last);
    *ret_lost = false;
    while (walk_next(&walk, &item)) {
        bool same = slice_equal(item.path, path);
        *ret_lost = *ret_lost || (item.bad && !same);
        if (!item.bad && !same)
            sum ^= object_digest(item.hash, item.bucket, item.key, item.object);
    }
    store->disk->patient = patient;
    *ret_delta = tree->leaves[leaf] ^ sum;
    *ret_lost = *ret_lost || (from > first && holes_count(store, first, MIN(from - 1, last)) > 0) ||
                (to < last && holes_count(store, MAX(to + 1, first), last) > 0);
    return walk.error;
}

int sums_over_bad(struct store *store, uint64_t hash, struct slice path, uint64_t digest,
                  uint64_t *ret_delta)
{
    uint64_t delta;
    bool lost;
    int error =
        sum_leaf(store, tree_leaf_of(&store->tree, hash), path, digest, 1, 0, &delta, &lost);
    if (error == 0)
        *ret_delta = lost ? digest : delta;
    return error;
}

int sums_leaf(struct store *store, uint64_t leaf, uint64_t from, uint64_t to, uint64_t *ret_delta)
{
    uint64_t delta;
    bool lost;
    int error = sum_leaf(store, leaf, SLICE_NONE, 0, from, to, &delta, &lost);
    if (error == 0)
        *ret_delta = lost ? 0 : delta;
    return error;
}

void sums_verify(struct store *store, const struct store_op *op)
{
    struct store_done done = {.error = store_refuse_read(store, op)};
    if (done.error) {
        store_finish(store, op, &done);
        return;
    }
    ASSERT(op->range < store_ranges_count(store));
    struct store_verified *verified = &done.verified;
    struct tree tree;
    struct walk walk;
    struct walk_item item;
    arena_reset(&store->arena);
    tree_init(&tree, store->tree.bits);
    walk_start(&walk, store, DISK_OBJECTS, &store->arena, range_first(op->range, store->range_bits),
               SLICE_NONE, range_last(op->range, store->range_bits));
    while (walk_next(&walk, &item)) {
        verified->bad += item.bad || item.lacking;
        if (item.bad)
            continue;
        verified->keys++;
        verified->bytes += item.path.size + item.object.size;
        uint64_t digest = object_digest(item.hash, item.bucket, item.key, item.object);
        tree_update(&tree, item.hash, 0, digest);
    }
    verified->bad += holes_count(store, range_first(op->range, store->range_bits),
                                 range_last(op->range, store->range_bits));
    verified->digest_data = tree_digest(&tree, op->range, store->range_bits);
    verified->digest_tree = tree_digest(&store->tree, op->range, store->range_bits);
    tree_done(&tree);
    done.error = walk.error;
    store_finish(store, op, &done);
}
