/* STORE_SCAN: entries of an interval, up to what this node does not know for sure. */
#include "base/rule.h"
#include "store/store_private.h"

/* What DONE has of the scan, from after AFTER up to hash LAST. */
static void scan_some(struct store *store, const struct store_op *op, struct slice after,
                      uint64_t last, struct store_done *done)
{
    struct walk walk;
    struct walk_item item;
    uint64_t bytes = 0;
    arena_reset(&store->arena);
    uint32_t capacity = MAX(MIN(op->scan.count_max, 64u), 1u);
    struct entry *entries = arena_alloc(&store->arena, capacity * sizeof(*entries));
    walk_start(&walk, store, DISK_OBJECTS, &store->arena, op->scan.from, after, last);
    while (walk_next(&walk, &item)) {
        struct slice only = op->scan.scan_bucket;
        bool unreadable = item.bad || item.lacking;
        if (only.size > 0 && !item.bad && !slice_equal(only, item.bucket))
            continue;
        bytes += item.path.size + item.object.size;
        done->more =
            done->entries_count > 0 &&
            (unreadable || done->entries_count >= op->scan.count_max || bytes > op->scan.bytes_max);
        if (done->more)
            break;
        if (unreadable) {
            done->error = ERR_UNREADABLE;
            break;
        }
        if (done->entries_count == capacity) {
            struct entry *grown = arena_alloc(&store->arena, 2 * capacity * sizeof(*grown));
            memcpy(grown, entries, capacity * sizeof(*grown));
            entries = grown;
            capacity *= 2;
        }
        entries[done->entries_count++] =
            (struct entry){item.hash, item.bucket, item.key, item.object};
    }
    if (walk.error)
        *done = (struct store_done){.error = walk.error};
    done->entries = entries;
}

/* A hole ends a scan as a damaged record does. */
static void scan_up_to_hole(struct store *store, const struct store_op *op, struct slice after,
                            struct store_done *done)
{
    uint64_t hole;
    uint64_t last = op->scan.to;
    bool ends = RULE(HOLE_ENDS_SCANS) && holes_first(store, op->scan.from, op->scan.to, &hole);
    if (ends && hole <= op->scan.from) {
        done->error = ERR_UNREADABLE;
        return;
    }
    if (ends)
        last = hole - 1;
    scan_some(store, op, after, last, done);
    if (!ends || done->error != 0 || done->more)
        return;
    done->more = done->entries_count > 0;
    done->error = done->more ? 0 : ERR_UNREADABLE;
}

static struct slice scan_path(struct store *store, const struct store_op *op)
{
    buf_clear(&store->path);
    key_append(&store->path, op->scan.from, op->bucket, op->key);
    return buf_slice(&store->path);
}

/* A damaged record ends a scan before it; if it comes first, the scan is UNREADABLE. */
void scan_do(struct store *store, const struct store_op *op)
{
    struct store_done done = {.error = store_refuse_read(store, op)};
    struct slice after = SLICE_NONE;
    if (op->bucket.size + op->key.size > 0)
        after = scan_path(store, op);
    uint64_t overflow = store->holes.overflow;
    for (bool again = done.error == 0; again;) {
        uint64_t noted = store->holes.noted;
        done = (struct store_done){0};
        scan_up_to_hole(store, op, after, &done);
        again = noted != store->holes.noted; /* What it came past is known to be one only now. */
    }
    if (overflow != store->holes.overflow && done.error == 0)
        done = (struct store_done){.error = ERR_UNREADABLE};
    if (op->scan.digest && done.error == 0)
        done.digest = tree_digest(&store->tree, op->range, store->range_bits);
    store_finish(store, op, &done);
}
