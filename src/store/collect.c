/* Collection: dead versions are taken out of keys, one logged record a key (STORE_COLLECT).
 *
 * Which keys: those that the range's index of dead versions names, or, where the index is not
 * complete or a bucket was dropped, all keys of the range, call by call; such a scan makes the
 * index complete. Either way a call looks at a bounded number of keys and of bytes.
 *
 * Keys that are not in memory are waited for (cold.h) before anything is changed: what was taken
 * from the index for a call that has to wait goes back.
 *
 * A crash between two calls loses nothing: what was taken out is in the log, and whoever drives the
 * collection begins it again. A key whose record is damaged is passed over; it is healed from
 * another replica, less what was collected. */
#include <stdlib.h>

#include "base/rule.h"
#include "store/store_private.h"

enum { COLLECT_BYTES_MAX = 1 << 20 };

/* A key to look at; what it points to lives in the store's arena. */
struct candidate {
    uint64_t hash;
    struct slice path, bucket, key;
};

struct collecting {
    const struct store_op *op;
    struct store_done done;
    struct candidate *candidates; /* In the arena. */
    uint32_t count;
    uint32_t capacity;
    struct dead_entry *dead; /* In the arena: taken from the index, or found to belong into it. */
    uint32_t dead_count;
    struct entry *entries; /* In the arena. */
};

static void candidate_add(struct store *store, struct collecting *work,
                          const struct walk_item *item)
{
    if (work->count == work->capacity) {
        work->capacity = MAX(16u, 2 * work->capacity);
        struct candidate *grown =
            arena_alloc(&store->arena, work->capacity * sizeof(*work->candidates));
        if (work->count > 0)
            memcpy(grown, work->candidates, work->count * sizeof(*grown));
        work->candidates = grown;
    }
    struct slice path = arena_copy(&store->arena, item->path);
    work->candidates[work->count] = (struct candidate){.path = path};
    struct candidate *candidate = &work->candidates[work->count++];
    bool parsed = key_parse(path, &candidate->hash, &candidate->bucket, &candidate->key);
    ASSERT(parsed);
}

/* All keys of HASH that are not damaged. */
static int find_hash(struct store *store, struct collecting *work, uint64_t hash)
{
    struct walk walk;
    struct walk_item item;
    walk_start(&walk, store, DISK_OBJECTS, &store->arena, hash, SLICE_NONE, hash);
    while (walk_next(&walk, &item))
        if (!item.bad && !item.lacking)
            candidate_add(store, work, &item);
    return walk.error;
}

static int find_indexed(struct store *store, struct collecting *work)
{
    struct dead_index *index = &store->ranges[work->op->range].dead;
    uint32_t most = work->op->collect.count_max;
    int error = 0;
    work->dead = arena_alloc(&store->arena, most * sizeof(*work->dead));
    while (error == 0 && work->dead_count < most &&
           dead_take(index, &store->dead_entries, work->op->collect.horizon,
                     &work->dead[work->dead_count]))
        work->dead_count++;
    for (uint32_t i = 0; i < work->dead_count && (error == 0 || error == DISK_COLD); i++) {
        int one = find_hash(store, work, work->dead[i].hash);
        error = one != 0 ? one : error;
    }
    for (uint32_t i = 0; i < work->dead_count && error == DISK_COLD; i++)
        dead_put(index, &store->dead_entries, work->dead[i].stamp, work->dead[i].hash);
    work->done.more = dead_earliest(index) <= work->op->collect.horizon;
    return error;
}

/* What is not collected gets its entry. */
static void index_scanned(struct store *store, struct collecting *work)
{
    const struct store_op *op = work->op;
    struct dead_index *index = &store->ranges[op->range].dead;
    if (op->collect.from == range_first(op->range, store->range_bits))
        dead_clear(index, &store->dead_entries);
    for (uint32_t i = 0; i < work->dead_count; i++)
        dead_put(index, &store->dead_entries, work->dead[i].stamp, work->dead[i].hash);
    if (!work->done.more)
        index->complete = !index->lost;
}

static void scanned_add(struct store *store, struct collecting *work, uint64_t stamp, uint64_t hash)
{
    if ((work->dead_count & (work->dead_count - 1)) == 0) {
        struct dead_entry *grown =
            arena_alloc(&store->arena, MAX(2 * work->dead_count, 1u) * sizeof(*grown));
        if (work->dead_count > 0)
            memcpy(grown, work->dead, work->dead_count * sizeof(*grown));
        work->dead = grown;
    }
    work->dead[work->dead_count++] = (struct dead_entry){stamp, hash};
}

/* A page of the scan ends between two hashes. */
static int find_scanned(struct store *store, struct collecting *work)
{
    const struct store_op *op = work->op;
    struct walk walk;
    struct walk_item item;
    uint64_t bytes = 0;
    uint32_t looked = 0;
    walk_start(&walk, store, DISK_OBJECTS, &store->arena, op->collect.from, SLICE_NONE,
               range_last(op->range, store->range_bits));
    uint64_t hash = op->collect.from;
    while (walk_next(&walk, &item)) {
        if (looked >= op->collect.count_max || bytes >= COLLECT_BYTES_MAX) {
            if (item.hash != hash) {
                work->done.more = true;
                work->done.next = item.hash;
                break;
            }
        }
        looked++;
        hash = item.hash;
        bytes += item.path.size + item.object.size;
        if (item.bad || item.lacking)
            continue;
        uint64_t dead = object_dead_from(item.object);
        if (dead <= op->collect.horizon || op->collect.drops_count > 0)
            candidate_add(store, work, &item);
        if (dead != UINT64_MAX && dead > op->collect.horizon)
            scanned_add(store, work, dead, item.hash);
    }
    if (walk.error == 0)
        index_scanned(store, work);
    return walk.error;
}

static int line_compare(const void *name, const void *line)
{
    return slice_compare(*(const struct slice *)name, ((const struct drop_line *)line)->bucket);
}

static struct collection collection_of(uint64_t horizon, const struct drop_line *drops,
                                       uint32_t drops_count, struct slice bucket)
{
    struct collection collection = {.horizon = horizon};
    const struct drop_line *line = NULL;
    if (drops_count > 0)
        line = bsearch(&bucket, drops, drops_count, sizeof(*line), line_compare);
    if (line != NULL) {
        collection.drops = line->drops;
        collection.dropped_at = line->dropped_at;
    }
    return collection;
}

static void note_change(struct store *store, struct collecting *work,
                        const struct candidate *candidate, struct slice before, struct slice after)
{
    struct entry entry = {candidate->hash, candidate->bucket, candidate->key, SLICE_NONE};
    struct entry *pair = &work->entries[work->done.entries_count];
    pair[0] = pair[1] = entry;
    pair[0].object = arena_copy(&store->arena, before);
    pair[1].object = arena_copy(&store->arena, after);
    work->done.entries_count += 2;
    store->collected_keys += after.size == 0;
    store->collected_bytes += before.size - after.size;
}

static int collect_key(struct store *store, struct collecting *work,
                       const struct candidate *candidate)
{
    struct found found;
    int error = store_find(store, candidate->hash, candidate->path, &found);
    if (error || found_unreadable(&found) || found.object.size == 0)
        return error;
    const struct store_op *op = work->op;
    struct collection collection = collection_of(op->collect.horizon, op->collect.drops,
                                                 op->collect.drops_count, candidate->bucket);
    struct buf left = {0};
    if (object_collect(found.object, &collection, &left)) {
        note_change(store, work, candidate, found.object, buf_slice(&left));
        uint64_t before = found_digest(&found, candidate->hash, candidate->bucket, candidate->key);
        uint64_t after =
            object_digest(candidate->hash, candidate->bucket, candidate->key, buf_slice(&left));
        struct draft draft = draft_begin(store, candidate->path);
        buf_append(draft.bytes, buf_slice(&left));
        work->done.position =
            draft_commit(store, &draft, &found, after, before ^ after, false, work->op->sync)
                ->position;
    }
    buf_done(&left);
    return 0;
}

void collect_do(struct store *store, const struct store_op *op)
{
    struct collecting work = {.op = op, .done = {.error = store_refuse_read(store, op)}};
    if (work.done.error == 0 && op->range >= store_ranges_count(store))
        work.done.error = ERR_BAD_REQUEST;
    if (work.done.error == 0 && op->collect.count_max > 0 && checkpoint_behind(store))
        work.done.error = ERR_BUSY;
    if (work.done.error == 0 && op->collect.count_max > 0) {
        arena_reset(&store->arena);
        bool indexed = store->ranges[op->range].dead.complete && !op->collect.scan;
        work.done.error = indexed ? find_indexed(store, &work) : find_scanned(store, &work);
        store->disk->patient = true; /* From here on it writes; and what it needs was just read. */
        work.entries = arena_alloc(&store->arena, (2 * work.count + 1) * sizeof(*work.entries));
        for (uint32_t i = 0; work.done.error == 0 && i < work.count; i++)
            work.done.error = collect_key(store, &work, &work.candidates[i]);
    }
    if (work.done.error < 0 && op->range < store_ranges_count(store))
        store->ranges[op->range].dead.complete = false; /* What was taken from it may be left. */
    work.done.entries = work.entries;
    work.done.changed = work.done.entries_count > 0;
    if (work.done.error == 0)
        work.done.earliest = dead_earliest(&store->ranges[op->range].dead);
    store_finish(store, op, &work.done);
}

/* Take out of what DRAFT has merged what the horizon keeps away, and what the reader that ENTRY is
 * from has collected. A damaged key may have held anything: over one all is taken, but for what
 * this replica would have collected; also where what heals it is what it has, for a collection that
 * came by meanwhile has passed it over. True if what is left is what was there before. */
bool collect_keep_away(struct store *store, const struct entry *entry, const struct found *found,
                       const struct manner *manner, struct draft *draft)
{
    uint64_t horizon = store_range_of(store, entry->hash)->horizon;
    struct slice merged = draft_object(draft);
    struct buf left = {0};
    bool any = false;
    if (horizon != 0 && RULE(HORIZON_KEEPS_AWAY)) {
        struct collection collection =
            collection_of(horizon, manner->drops, manner->drops_count, entry->bucket);
        any = found_unreadable(found) ? object_collect(merged, &collection, &left)
                                      : object_admit(found->object, entry->object, merged, horizon,
                                                     MIN(manner->stands, horizon), &left);
    }
    bool same = !found->bad && slice_equal(any ? buf_slice(&left) : merged, found->object);
    if (any) {
        draft->bytes->size = draft->object;
        buf_append(draft->bytes, buf_slice(&left));
    }
    buf_done(&left);
    return same;
}
