#include "store/cold.h"

#include "store/store_private.h"

enum {
    WARM_BYTES_MAX = 4 << 20,
    BYTES_SHARE = 4,        /* Of the memory of memtables, that operations take while they wait; */
    BYTES_LEAST = 64 << 10, /* so much at least, or the scans of a comparison could keep all out. */
};

/* An operation, with what it points to. */
struct cold_op {
    struct cold_op *next;
    struct arena arena;
    struct store_op op;
};

/* Operations that wait for one read; of one key, or a single one of many keys. */
struct cold_wait {
    uint64_t tag;
    uint64_t hash;
    bool keyed;
    bool again; /* The first one has run, and found something else that is not in memory. */
    uint32_t tries;
    struct cold_op *first; /* Owned, as those behind it. */
    struct cold_op **last;
};

/* ------------------------------------------------------------------------------- Copying. */

static const struct edit *copy_edit(struct arena *arena, const struct edit *edit)
{
    if (edit == NULL)
        return NULL;
    struct edit *copy = arena_alloc(arena, sizeof(*copy));
    *copy = *edit;
    return copy;
}

static void copy_update(struct arena *arena, struct update *update)
{
    update->context = arena_copy(arena, update->context);
    update->type = arena_copy(arena, update->type);
    update->value = arena_copy(arena, update->value);
    update->edit = copy_edit(arena, update->edit);
}

static void copy_batch(struct arena *arena, struct store_op *op)
{
    struct entry *entries = arena_alloc(arena, (op->batch.entries_count + 1) * sizeof(*entries));
    struct meta *metas = arena_alloc(arena, (op->batch.metas_count + 1) * sizeof(*metas));
    for (uint32_t i = 0; i < op->batch.entries_count; i++) {
        const struct entry *entry = &op->batch.entries[i];
        entries[i] =
            (struct entry){entry->hash, arena_copy(arena, entry->bucket),
                           arena_copy(arena, entry->key), arena_copy(arena, entry->object)};
    }
    for (uint32_t i = 0; i < op->batch.metas_count; i++)
        metas[i] = (struct meta){arena_copy(arena, op->batch.metas[i].key),
                                 arena_copy(arena, op->batch.metas[i].value)};
    op->batch.entries = entries;
    op->batch.metas = metas;
}

static const struct drop_line *copy_drops(struct arena *arena, const struct drop_line *drops,
                                          uint32_t count)
{
    struct drop_line *lines = arena_alloc(arena, (count + 1) * sizeof(*lines));
    for (uint32_t i = 0; i < count; i++) {
        lines[i] = drops[i];
        lines[i].bucket = arena_copy(arena, lines[i].bucket);
    }
    return lines;
}

static void copy_contents(struct arena *arena, struct store_op *op)
{
    op->bucket = arena_copy(arena, op->bucket);
    op->key = arena_copy(arena, op->key);
    switch (op->type) {
    case STORE_UPDATE:
    case STORE_HINT_UPDATE:
        copy_update(arena, &op->update);
        break;
    case STORE_MERGE:
    case STORE_HINT_MERGE:
        op->object = arena_copy(arena, op->object);
        if (op->drops_count > 0)
            op->drops = copy_drops(arena, op->drops, op->drops_count);
        break;
    case STORE_SCAN:
        op->scan.scan_bucket = arena_copy(arena, op->scan.scan_bucket);
        break;
    case STORE_CHUNK:
        copy_batch(arena, op);
        break;
    case STORE_COLLECT:
        op->collect.drops = copy_drops(arena, op->collect.drops, op->collect.drops_count);
        break;
    default: /* Points to nothing else, or never waits. */
        break;
    }
}

static uint64_t memory_of(const struct cold_op *waiting)
{
    return sizeof(*waiting) + waiting->arena.used;
}

static struct cold_op *op_keep(struct cold *cold, const struct store_op *op)
{
    struct cold_op *waiting = mem_zero(sizeof(*waiting));
    waiting->op = *op;
    copy_contents(&waiting->arena, &waiting->op);
    cold->ops++;
    cold->waited++;
    cold->bytes += memory_of(waiting);
    return waiting;
}

static void op_free(struct cold *cold, struct cold_op *waiting)
{
    cold->ops--;
    cold->bytes -= memory_of(waiting);
    arena_done(&waiting->arena);
    mem_free(waiting);
}

/* ---------------------------------------------------------------------------- What is noted. */

void cold_note(struct cold *cold, enum disk_table table, struct slice key, uint32_t records)
{
    if (cold->keys_count == 0) {
        cold->table = table;
        cold->records = 1;
        buf_clear(&cold->keys);
    } else if (cold->table != table) {
        return; /* Comes to light when it runs again. */
    }
    cold->records = MAX(cold->records, records);
    cold->keys_count++;
    write_string(&cold->keys, key);
}

static void fetch(struct store *store, struct cold_wait *wait)
{
    struct cold *cold = &store->cold;
    struct slice *keys = mem_alloc((cold->keys_count + 1) * sizeof(*keys));
    struct reader reader = reader_of(buf_slice(&cold->keys));
    for (uint32_t i = 0; i < cold->keys_count; i++)
        keys[i] = read_string(&reader);
    ASSERT(!reader.bad && cold->keys_count > 0);
    wait->tag = COLD_TAG_FIRST + cold->next_tag++;
    map_put(&cold->by_tag, wait->tag, wait);
    cold->reads++;
    disk_warm(store->disk, wait->tag, cold->table, keys, cold->keys_count, cold->records,
              WARM_BYTES_MAX);
    mem_free(keys);
}

/* ---------------------------------------------------------------------------------- Waiting. */

static bool is_of_key(const struct store_op *op)
{
    switch (op->type) {
    case STORE_UPDATE:
    case STORE_MERGE:
    case STORE_READ:
    case STORE_HINT_UPDATE:
    case STORE_HINT_MERGE:
    case STORE_HINT_READ:
    case STORE_HINT_SETTLE:
        return true;
    default:
        return false;
    }
}

bool cold_may_wait(const struct store_op *op)
{
    switch (op->type) {
    case STORE_UPDATE:
    case STORE_MERGE:
    case STORE_READ:
    case STORE_SCAN:
    case STORE_CHUNK:
    case STORE_VERIFY:
    case STORE_HINT_UPDATE:
    case STORE_HINT_MERGE:
    case STORE_HINT_READ:
    case STORE_HINT_SCAN:
    case STORE_HINT_SETTLE:
    case STORE_COLLECT:
        return true;
    default:
        return false;
    }
}

static bool is_full(const struct store *store)
{
    const struct cold *cold = &store->cold;
    uint64_t most = store->options.cold_max ? store->options.cold_max : COLD_OPS_MAX;
    uint64_t share = store->options.memory_max / BYTES_SHARE;
    return cold->ops >= most || cold->bytes > MAX(share, (uint64_t)BYTES_LEAST);
}

static void refuse(struct store *store, const struct store_op *op)
{
    store->cold.refused++;
    store_finish_error(store, op, ERR_BUSY);
}

static void append(struct cold_wait *wait, struct cold_op *waiting)
{
    *wait->last = waiting;
    wait->last = &waiting->next;
}

bool cold_joins(struct store *store, const struct store_op *op)
{
    struct cold *cold = &store->cold;
    if (!is_of_key(op) || !RULE(COLD_KEEPS_ORDER))
        return false;
    struct cold_wait *wait = map_get(&cold->by_hash, op->hash);
    if (wait == NULL)
        return false;
    if (is_full(store))
        refuse(store, op);
    else
        append(wait, op_keep(cold, op));
    return true;
}

void cold_wait(struct store *store, const struct store_op *op)
{
    struct cold *cold = &store->cold;
    if (cold->running != NULL) {
        cold->running->again = true;
        return;
    }
    if (is_full(store)) {
        refuse(store, op);
        return;
    }
    struct cold_wait *wait = mem_zero(sizeof(*wait));
    wait->hash = op->hash;
    wait->keyed = is_of_key(op) && map_get(&cold->by_hash, op->hash) == NULL;
    wait->last = &wait->first;
    append(wait, op_keep(cold, op));
    if (wait->keyed)
        map_put(&cold->by_hash, wait->hash, wait);
    fetch(store, wait);
}

static void wait_free(struct cold *cold, struct cold_wait *wait)
{
    if (wait->keyed)
        map_remove(&cold->by_hash, wait->hash);
    while (wait->first != NULL) {
        struct cold_op *waiting = wait->first;
        wait->first = waiting->next;
        op_free(cold, waiting);
    }
    mem_free(wait);
}

/* Its coordinator has given the new version up: a retry would make another one. */
static bool is_late(const struct store *store, const struct store_op *op)
{
    bool makes = op->type == STORE_UPDATE || op->type == STORE_HINT_UPDATE;
    return makes && op->deadline_us != 0 && store->now_us >= op->deadline_us &&
           RULE(COLD_MAKES_NOTHING_LATE);
}

/* Run what waited, in order, until one finds that it has to wait again. */
void cold_take(struct store *store, uint64_t tag)
{
    struct cold *cold = &store->cold;
    struct cold_wait *wait = map_remove(&cold->by_tag, tag);
    ASSERT(wait != NULL && cold->running == NULL);
    while (wait->first != NULL) {
        struct cold_op *waiting = wait->first;
        wait->again = false;
        cold->running = wait;
        if (is_late(store, &waiting->op))
            store_finish_error(store, &waiting->op, ERR_TIMEOUT);
        else
            store_run(store, &waiting->op, wait->tries >= COLD_TRIES_MAX);
        cold->running = NULL;
        if (wait->again) {
            wait->tries++;
            fetch(store, wait);
            return;
        }
        wait->tries = 0;
        wait->first = waiting->next;
        if (wait->first == NULL)
            wait->last = &wait->first;
        op_free(cold, waiting);
    }
    wait_free(cold, wait);
}

void cold_done(struct cold *cold)
{
    size_t cursor = 0;
    uint64_t tag;
    map_done(&cold->by_hash);
    cold->by_hash = (struct map){0};
    for (struct cold_wait *wait; (wait = map_next(&cold->by_tag, &cursor, &tag)) != NULL;) {
        wait->keyed = false;
        wait_free(cold, wait);
    }
    map_done(&cold->by_tag);
    buf_done(&cold->keys);
    *cold = (struct cold){0};
}
