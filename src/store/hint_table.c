/* Hints in the store: one object a key, kept for slots of other nodes until they have it.
 *
 * A hint lies beside all other data: in memtables of its own and a table of its own in the engine,
 * under the key that the object has everywhere. Its value is a byte of bits, the numbers of the
 * slots that it is for, then the object. One object a key, for however many slots: so this node
 * holds all that it took in of a key in one place (hints.c of the core says why that matters).
 *
 * Each change is a record of the log that says what the hint is from then on; a hint that is gone
 * is an empty value, here and in the memtables, and a delete in the engine. So a replay may begin
 * anywhere before what the engine lacks: it ends the same, however often a record is taken. */
#include "store/store_private.h"

#include "base/rule.h"

static struct slice path_make(struct store *store, const struct store_op *op)
{
    buf_clear(&store->path);
    key_append(&store->path, op->hash, op->bucket, op->key);
    return buf_slice(&store->path);
}

/* What is kept of one key. */
struct hint {
    struct slice object;
    uint8_t slots;
    uint32_t bytes; /* Of key and object, 0: none. */
    uint64_t position;
    bool bad;
};

static void hint_take(struct hint *hint, struct slice path, struct slice value)
{
    if (value.size == 0)
        return;
    hint->slots = value.data[0];
    hint->object = slice_of(value.data + 1, value.size - 1);
    hint->bytes = (uint32_t)(path.size + hint->object.size);
}

static int hint_find(struct store *store, uint64_t hash, struct slice path, struct hint *ret_hint)
{
    const struct hint_table *table = &store->hints;
    struct cell *cell = table->active ? memtable_find(table->active, hash, path) : NULL;
    if (!cell && table->frozen)
        cell = memtable_find(table->frozen, hash, path);
    *ret_hint = (struct hint){.position = store->checkpoint.mark.freeze.position};
    if (cell) {
        ret_hint->position = cell->position;
        hint_take(ret_hint, path, cell_object(cell));
        return 0;
    }
    uint8_t scratch[ENGINE_KEY_DIGEST];
    struct slice key;
    struct slice value;
    struct slice other;
    struct slice found;
    int error = engine_find(store, DISK_HINTS, path, scratch, &key, &value);
    if (error)
        return error == ERR_NOT_FOUND ? 0 : error;
    if (engine_parse(key, value, &other, &found)) {
        hint_take(ret_hint, path, found);
        return 0;
    }
    ret_hint->bad = true;
    return 0;
}

/* ---------------------------------------------------------------------------------- Changes. */

static void place(struct store *store, struct cell *cell)
{
    struct hint_table *table = &store->hints;
    if (table->active == NULL)
        table->active = memtable_new(store->options.memory_max);
    cell_free(memtable_put(table->active, cell));
}

/* Begin the record of PATH: what is appended after it becomes the value. Returns where it began. */
static size_t hint_begin(struct store *store, struct slice path, struct buf **ret_bytes)
{
    struct buf *bytes = log_begin(&store->log);
    size_t start = bytes->size;
    write_u32(bytes, (uint32_t)path.size);
    buf_append(bytes, path);
    write_u64(bytes, 0); /* The checksum, see below. */
    *ret_bytes = bytes;
    return start;
}

static uint64_t hint_commit(struct store *store, struct buf *bytes, size_t start, bool sync)
{
    uint8_t *body = bytes->data + start;
    struct slice path = slice_of(body + 4, load_u32(body));
    size_t head = BODY_OVERHEAD + path.size;
    struct slice value = slice_of(body + head, bytes->size - start - head);
    store_u64(body + 4 + path.size, body_checksum(path, value));
    struct cell *cell = cell_new(slice_of(body, head + value.size));
    ASSERT(store_has(store, cell->hash));
    cell->position = log_commit(&store->log, RECORD_HINT, false, sync);
    cell->digest = cell->base_digest = 0;
    cell->base_bytes = 0;
    uint64_t position = cell->position;
    place(store, cell);
    return position;
}

static int refuse(struct store *store, const struct store_op *op)
{
    if (store->range_bits == 0)
        return ERR_NOT_READY;
    if (checkpoint_behind(store))
        return ERR_BUSY;
    bool deletes =
        op->type == STORE_HINT_UPDATE ? op->update.tombstone : store_is_delete(store, op->object);
    return store->full && !deletes ? ERR_DISK_FULL : 0;
}

/* Append what UPDATE or MERGE makes of HINT; sets done->error, hlc and changed. */
static void append_new(const struct store_op *op, const struct hint *hint, struct buf *bytes,
                       struct store_done *done)
{
    if (op->type == STORE_HINT_UPDATE) {
        done->error = object_update(hint->object, &op->update, bytes, &done->hlc);
        done->changed = true;
        return;
    }
    bool same = false;
    if (hint->object.size == 0)
        buf_append(bytes, op->object);
    else
        same = object_merge(hint->object, op->object, bytes) & MERGE_SAME_A;
    done->changed = !same || (op->slots & ~hint->slots) != 0;
}

static void change(struct store *store, const struct store_op *op, struct store_done *done)
{
    struct hint hint;
    struct slice path = path_make(store, op);
    done->error = refuse(store, op);
    if (done->error == 0)
        done->error = hint_find(store, op->hash, path, &hint);
    /* What it held is lost: no version may be made on top of it. A merge puts it right. */
    if (done->error == 0 && hint.bad && op->type == STORE_HINT_UPDATE)
        done->error = ERR_UNREADABLE;
    if (done->error)
        return;
    done->hint = (struct hint_change){hint.bytes, hint.bytes, hint.slots, hint.slots};
    struct buf *bytes;
    size_t start = hint_begin(store, path, &bytes);
    write_u8(bytes, hint.slots | op->slots);
    size_t object = bytes->size;
    append_new(op, &hint, bytes, done);
    if (done->error == 0 && done->changed && !log_fits(&store->log))
        done->error = ERR_TOO_LARGE;
    if (done->error || !done->changed) {
        log_cancel(&store->log);
        done->object = hint.object;
        done->position = hint.position;
        return;
    }
    done->hint.slots = hint.slots | op->slots;
    done->hint.bytes = (uint32_t)(path.size + bytes->size - object);
    done->position = hint_commit(store, bytes, start, op->sync);
    struct cell *cell = memtable_find(store->hints.active, op->hash, path);
    struct slice value = cell_object(cell);
    done->object = slice_of(value.data + 1, value.size - 1);
}

/* The key is whole at its owners, whatever this hint held: forget it, if it is damaged still. */
static void discard(struct store *store, const struct store_op *op, struct slice path,
                    const struct hint *hint, struct store_done *done)
{
    struct buf *bytes;
    if (!hint->bad)
        return;
    size_t start = hint_begin(store, path, &bytes);
    done->changed = true;
    done->position = hint_commit(store, bytes, start, op->sync);
}

static void settle(struct store *store, const struct store_op *op, struct store_done *done)
{
    struct hint hint;
    struct slice path = path_make(store, op);
    done->error = store->range_bits == 0 ? ERR_NOT_READY : 0;
    if (done->error == 0)
        done->error = hint_find(store, op->hash, path, &hint);
    if (done->error)
        return;
    done->hint = (struct hint_change){hint.bytes, hint.bytes, hint.slots, hint.slots};
    done->position = hint.position;
    if (op->heals) {
        discard(store, op, path, &hint, done);
        return;
    }
    uint8_t left = hint.slots & (uint8_t)~op->slots;
    bool other = hint_digest(hint.object) != op->digest && RULE(HINT_SAME_OBJECT);
    if (hint.bytes == 0 || left == hint.slots || other)
        return;
    arena_reset(&store->arena); /* The cell that it lies in goes. */
    done->object = arena_copy(&store->arena, hint.object);
    struct buf *bytes;
    size_t start = hint_begin(store, path, &bytes);
    if (left != 0) {
        write_u8(bytes, left);
        buf_append(bytes, hint.object);
    }
    done->changed = true;
    done->hint.slots = left;
    done->hint.bytes = left == 0 ? 0 : hint.bytes;
    done->position = hint_commit(store, bytes, start, op->sync);
}

/* ----------------------------------------------------------------------------------- Reading. */

static void read_one(struct store *store, const struct store_op *op, struct store_done *done)
{
    struct hint hint;
    done->error = store->range_bits == 0 ? ERR_NOT_READY : 0;
    if (done->error == 0)
        done->error = hint_find(store, op->hash, path_make(store, op), &hint);
    if (done->error)
        return;
    done->error = hint.bad ? ERR_UNREADABLE : 0;
    done->object = hint.object;
    done->position = hint.position;
    done->hint = (struct hint_change){hint.bytes, hint.bytes, hint.slots, hint.slots};
}

/* A damaged record is counted, and those behind it have their way. Whose it is can mostly be told:
 * then it is listed, for no slot and without an object. */
static void scan(struct store *store, const struct store_op *op, struct store_done *done)
{
    done->error = store->range_bits == 0 ? ERR_NOT_READY : 0;
    if (done->error)
        return;
    struct slice after = SLICE_NONE;
    if (op->bucket.size + op->key.size > 0) {
        struct store_op last = *op;
        last.hash = op->scan.from;
        after = path_make(store, &last);
    }
    struct walk walk;
    struct walk_item item;
    uint64_t bytes = 0;
    arena_reset(&store->arena);
    struct entry *entries = arena_alloc(&store->arena, op->scan.count_max * sizeof(*entries));
    uint8_t *slots = arena_alloc(&store->arena, op->scan.count_max);
    walk_start(&walk, store, DISK_HINTS, &store->arena, op->scan.from, after, op->scan.to);
    while (walk_next(&walk, &item)) {
        done->bad += item.bad;
        if (item.bad ? item.bucket.size == 0 : item.object.size == 0)
            continue;
        if (item.bad)
            item.object = slice_of("", 1);
        bytes += item.path.size + item.object.size;
        done->more = done->entries_count == op->scan.count_max ||
                     (done->entries_count > 0 && bytes > op->scan.bytes_max);
        if (done->more)
            break;
        slots[done->entries_count] = item.object.data[0];
        entries[done->entries_count++] = (struct entry){
            item.hash, item.bucket, item.key, slice_of(item.object.data + 1, item.object.size - 1)};
    }
    done->error = walk.error;
    done->entries = entries;
    done->entries_slots = slots;
}

void hint_table_submit(struct store *store, const struct store_op *op, struct store_done *ret_done)
{
    switch (op->type) {
    case STORE_HINT_READ:
        read_one(store, op, ret_done);
        break;
    case STORE_HINT_SCAN:
        scan(store, op, ret_done);
        break;
    case STORE_HINT_SETTLE:
        settle(store, op, ret_done);
        break;
    default:
        change(store, op, ret_done);
        break;
    }
}

/* ------------------------------------------------------------------------------ Life of a table.
 */

int hint_table_replay(struct store *store, const struct record *record)
{
    struct slice path;
    struct slice value;
    struct slice bucket;
    struct slice key;
    uint64_t hash;
    if (store->range_bits == 0 || !body_parse(record->payload, &path, &value) ||
        !key_parse(path, &hash, &bucket, &key) || !store_has(store, hash))
        return ERR_CORRUPT;
    struct cell *cell = cell_new(record->payload);
    cell->position = record->position;
    cell->digest = cell->base_digest = 0;
    cell->base_bytes = 0;
    place(store, cell);
    return 0;
}

int hint_table_may_go(struct store *store, struct slice key, bool *ret_may)
{
    *ret_may = true;
    if (!engine_key_is_digest(key))
        return 0;
    uint8_t next[ENGINE_KEY_DIGEST];
    struct slice value;
    memcpy(next, key.data, sizeof(next));
    next[ENGINE_KEY_DIGEST - 1]++;
    int error = disk_get(store->disk, DISK_HINTS, slice_of(next, sizeof(next)), &value);
    *ret_may = error == ERR_NOT_FOUND;
    return error == ERR_NOT_FOUND ? 0 : error;
}

void hint_table_freeze(struct store *store)
{
    struct hint_table *table = &store->hints;
    ASSERT(table->frozen == NULL);
    table->frozen = table->active;
    table->active = NULL;
}

void hint_table_applied(struct store *store)
{
    struct hint_table *table = &store->hints;
    memtable_free(table->dying); /* Long gone, but for the smallest of memtables. */
    table->dying = table->frozen;
    table->frozen = NULL;
}

bool hint_table_reap(struct store *store, uint32_t budget)
{
    struct hint_table *table = &store->hints;
    if (table->dying && memtable_reap(table->dying, budget)) {
        memtable_free(table->dying);
        table->dying = NULL;
    }
    return table->dying == NULL;
}

void hint_table_done(struct store *store)
{
    memtable_free(store->hints.active);
    memtable_free(store->hints.frozen);
    memtable_free(store->hints.dying);
}
