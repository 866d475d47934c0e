/* What dropped ranges left in the engine is deleted, in bounded portions of a checkpoint.
 *
 * A portion is of so many records and so many ranges: an empty range, too, has its figures and
 * leaves written. Records that are not in memory are fetched first by a reader of the disk, and the
 * portion is built anew from its beginning; what leaves memory again each time is waited for. A
 * crash between two portions deletes on from where the watermark says. */
#include "store/store_private.h"

enum {
    DROP_RANGES = 16,
    DROP_TRIES = 4,
    WARM_BYTES = 8 << 20,
};

/* Add the deletes of what RANGE has in the engine, at most as many as a transaction takes; true if
 * that was all. */
static bool drop_range(struct store *store, uint32_t range, int *ret_error)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    struct engine_record record;
    uint64_t last = range_last(range, store->range_bits);
    uint8_t first[8];
    store_u64_be(first, range_first(range, store->range_bits));
    int error = holes_seek(store, slice_of(first, sizeof(first)), &record);
    while (error == 0 && load_u64_be(record.key.data) <= last &&
           checkpoint->items_count < checkpoint_deletes_max(store)) {
        checkpoint_item(checkpoint,
                        (struct disk_item){.table = DISK_OBJECTS,
                                           .remove = true,
                                           .key = arena_copy(&checkpoint->arena, record.key)});
        error = holes_next(store, &record);
    }
    *ret_error = error == ERR_NOT_FOUND ? 0 : error;
    return error == ERR_NOT_FOUND || (error == 0 && load_u64_be(record.key.data) > last);
}

/* Have in memory what drop_range is going to look at. */
static void warm_range(struct store *store, uint32_t range)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint8_t first[8];
    store_u64_be(first, range_first(range, store->range_bits));
    struct slice key = slice_of(first, sizeof(first));
    checkpoint->warming = true;
    checkpoint->warm_tries++;
    disk_warm(store->disk, WARM_DROPS, DISK_OBJECTS, &key, 1, checkpoint_deletes_max(store) + 1,
              WARM_BYTES);
}

void checkpoint_warmed(struct store *store)
{
    store->checkpoint.warming = false;
}

/* Add the leaves of RANGE, from group *GROUP_NEXT on: ranges may share one. */
static void drop_leaves(struct store *store, uint32_t range, uint32_t *group_next)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint32_t bits = store->tree_stored.bits - store->range_bits;
    uint64_t first = (uint64_t)range << bits;
    uint32_t last = (uint32_t)((first + (1ull << bits) - 1) / LEAF_GROUP);
    uint32_t group = MAX((uint32_t)(first / LEAF_GROUP), *group_next);
    for (; group <= last; group++)
        checkpoint_item(checkpoint, state_leaves_item(store, group, &checkpoint->arena));
    *group_next = last + 1;
}

/* Ranges from FIRST up to END are empty in the engine as far as they are due: so are their figures
 * and leaves. */
static void drop_figures(struct store *store, uint32_t first, uint32_t end)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint32_t group_next = 0;
    for (uint32_t i = first; i < end; i++) {
        if (!store->ranges[i].drop_due)
            continue;
        store->ranges[i].stored = (struct range_stat){0};
        tree_clear_range(&store->tree_stored, i, store->range_bits);
        checkpoint_item(checkpoint, state_range_item(store, i, &checkpoint->arena));
    }
    for (uint32_t i = first; i < end; i++) {
        if (store->ranges[i].drop_due)
            drop_leaves(store, i, &group_next);
        store->ranges[i].drop_due = false;
    }
}

int checkpoint_drops(struct store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint32_t first = checkpoint->range;
    uint32_t end = first;
    uint32_t count = 0;
    bool all = true;
    int error = 0;
    store->disk->patient = checkpoint->warm_tries >= DROP_TRIES;
    for (; end < store_ranges_count(store) && all && error == 0 && count < DROP_RANGES; end += all)
        if (store->ranges[end].drop_due) {
            all = drop_range(store, end, &error);
            count++;
        }
    store->disk->patient = true;
    if (error == DISK_COLD)
        warm_range(store, end);
    if (error)
        return error;
    checkpoint->warm_tries = 0;
    if (holes_hold(&store->holes))
        return DISK_COLD; /* What is lost goes first: nobody can tell that it is of another range.
                           */
    checkpoint->range = end;
    drop_figures(store, first, end);
    if (end == store_ranges_count(store))
        checkpoint->next.drops = checkpoint->mark.freeze.position;
    return 0;
}
