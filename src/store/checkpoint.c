/* Checkpoints: the frozen memtable goes to the engine in bounded transactions.
 *
 * First what dropped ranges left behind is deleted (checkpoint_drops.c), then the cells go in key
 * order, then the hints, then the metas. Each transaction carries its objects, the leaves and
 * figures of what it changes, and the watermark that tells a replay which records the engine has.
 * The log is synced up to the freeze before the first one, so the engine never is ahead of the log.
 * After the last the log's segments are free. A store that shares its log begins one also when only
 * others have written: it moves the watermark, and costs one transaction.
 *
 * Pace: transactions are spread over most of the time until the next checkpoint is due, so that
 * writers have the same share of processor and disk all the time. When the active memtable fills
 * faster than the frozen one drains, the acknowledgement of writes is held back a little, in
 * proportion (checkpoint_delay_us). */
#include "store/store_private.h"

#include "base/rule.h"

enum {
    TRANSACTION_ENTRIES = 2000,
    TRANSACTION_ENTRIES_MIN = 16,
    TRANSACTION_BYTES = 8 << 20,
    MEMORY_PER_ENTRY = 16 << 10, /* A store with little memory takes smaller transactions. */
    PAUSE_US_MAX = 100 * 1000,
    RETRY_US = 500 * 1000,
    DISORDER_US = 1000,
    DELAY_US_MAX = 100 * 1000,
    LOG_SEGMENTS_START = 4, /* Of the log, at which a checkpoint begins, */
    LOG_SEGMENTS_MAX = 16,  /* and at which writes are refused. */
    WAITING_BYTES_MAX = 16 << 20,
};

/* Of the time until the next checkpoint is due: what is left is for when writes get more. */
static const double SPREAD = 0.75;

void checkpoint_done(struct checkpoint *checkpoint)
{
    mem_free(checkpoint->items);
    arena_done(&checkpoint->arena);
    arena_done(&checkpoint->metas_arena);
    *checkpoint = (struct checkpoint){0};
}

uint64_t checkpoint_log_bytes(const struct store *store)
{
    return store->log.bytes - store->checkpoint.log_bytes_mark;
}

static uint64_t memory_share(const struct store *store)
{
    return store->options.memory_max / 2;
}

static uint32_t transaction_entries(const struct store *store)
{
    uint64_t entries = store->options.memory_max / MEMORY_PER_ENTRY;
    return (uint32_t)MAX(MIN(entries, (uint64_t)TRANSACTION_ENTRIES),
                         (uint64_t)TRANSACTION_ENTRIES_MIN);
}

uint32_t checkpoint_deletes_max(const struct store *store)
{
    return transaction_entries(store) / 2;
}

static bool transaction_is_full(const struct store *store, uint64_t bytes)
{
    return store->checkpoint.items_count >= transaction_entries(store) ||
           bytes >= TRANSACTION_BYTES;
}

/* What a replay would read bounds the log as a whole: of several stores, the one whose mark is the
 * oldest holds it. */
bool checkpoint_behind(const struct store *store)
{
    const struct log *log = &store->log;
    return (store->frozen && store_active_bytes(store) >= memory_share(store)) ||
           log->bytes - log->oldest >= LOG_SEGMENTS_MAX * store->disk->segment_size ||
           log->waiting_bytes > WAITING_BYTES_MAX;
}

uint64_t checkpoint_delay_us(const struct store *store, uint64_t bytes)
{
    const struct checkpoint *checkpoint = &store->checkpoint;
    uint64_t share = memory_share(store);
    uint64_t active = store_active_bytes(store);
    if (!store->frozen || checkpoint->rate == 0 || active < share / 4)
        return 0;
    /* The room that is left has to last until the frozen table is drained. */
    uint64_t room = share > active ? share - active : 0;
    uint64_t left = checkpoint->bytes_frozen - checkpoint->bytes_applied;
    double allowed = (double)checkpoint->rate * (double)room / (double)MAX(left, 1u);
    double delay = (double)bytes * 1e6 / (allowed > 1.0 ? allowed : 1.0);
    return delay > DELAY_US_MAX ? DELAY_US_MAX : (uint64_t)delay;
}

/* ---------------------------------------------------------------------------------- Freezing. */

static bool drops_left(const struct store *store)
{
    for (uint32_t i = 0; i < store_ranges_count(store); i++)
        if (store->ranges[i].dropped > store->checkpoint.mark.drops)
            return true;
    return false;
}

static bool is_dirty(const struct store *store)
{
    return store->active->count > 0 || store->hints.active != NULL || store->metas.dirty ||
           drops_left(store);
}

bool checkpoint_clean(const struct store *store)
{
    return store->checkpoint.state == CHECKPOINT_IDLE && !is_dirty(store);
}

void checkpoint_freeze(struct store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    ASSERT(!store->frozen);
    store->frozen = store->active;
    store->active = memtable_new(store->options.memory_max);
    hint_table_freeze(store);
    checkpoint->froze_us = store->now_us;
    checkpoint->hint = NULL;
    if (store->hints.frozen != NULL)
        checkpoint->hint = memtable_seek(store->hints.frozen, 0, SLICE_NONE);
    checkpoint->bytes_frozen = store->frozen->bytes + memtable_memory(store->hints.frozen);
    checkpoint->bytes_applied = checkpoint->bytes_paced = 0;
    checkpoint->range = 0;
    checkpoint->metas =
        metas_freeze(&store->metas, &checkpoint->metas_arena, &checkpoint->metas_count);
    checkpoint->metas_done = 0;
    for (uint32_t i = 0; i < store_ranges_count(store); i++)
        store->ranges[i].drop_due = store->ranges[i].dropped > checkpoint->mark.drops;
}

void checkpoint_resume(struct store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    const struct watermark *mark = &checkpoint->mark;
    checkpoint->state = CHECKPOINT_SYNC;
    checkpoint->cell =
        mark->bound_all ? NULL : memtable_seek(store->frozen, mark->bound, SLICE_NONE);
}

void checkpoint_begin_if_due(struct store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    if (checkpoint->state != CHECKPOINT_IDLE || store->stop_position != 0)
        return;
    bool full = store_active_bytes(store) >= memory_share(store);
    bool due =
        full || checkpoint_log_bytes(store) >= LOG_SEGMENTS_START * store->disk->segment_size;
    if (!due && !(checkpoint->wanted && is_dirty(store))) {
        checkpoint->wanted = false;
        return;
    }
    if ((store->dying || store->hints.dying) && !full)
        return; /* It is freed in portions, a few every tick. */
    checkpoint->wanted = false;
    memtable_free(store->dying); /* Long gone, but for the smallest of memtables. */
    store->dying = NULL;
    checkpoint->mark.freeze = log_here(&store->log);
    checkpoint->mark.bound = 0;
    checkpoint->mark.bound_all = false;
    checkpoint->log_bytes = store->log.bytes;
    checkpoint_freeze(store);
    checkpoint->cell = memtable_seek(store->frozen, 0, SLICE_NONE);
    checkpoint->state = CHECKPOINT_SYNC;
    checkpoint->next_us = 0;
    log_sync_to(&store->log, &checkpoint->mark.freeze);
}

/* ------------------------------------------------------------------------------ Transactions. */

struct disk_item *checkpoint_item(struct checkpoint *checkpoint, struct disk_item item)
{
    if (checkpoint->items_count == checkpoint->items_capacity) {
        checkpoint->items_capacity = MAX(checkpoint->items_capacity * 2, 64u);
        checkpoint->items =
            mem_grow(checkpoint->items, checkpoint->items_capacity * sizeof(*checkpoint->items));
    }
    checkpoint->items[checkpoint->items_count] = item;
    return &checkpoint->items[checkpoint->items_count++];
}

/* The key of CELL in the engine. Of a path past the engine's limit: under the first ordinal that is
 * free, its own, or holds a damaged record. */
static int cell_key_in_engine(struct store *store, enum disk_table table, const struct cell *cell,
                              struct slice *ret_key)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    struct slice path = cell_path(cell);
    *ret_key = path;
    if (path.size <= DISK_KEY_SIZE_MAX)
        return 0;
    uint8_t *scratch = arena_alloc(&checkpoint->arena, ENGINE_KEY_DIGEST);
    struct slice value;
    int error = engine_find(store, table, path, scratch, ret_key, &value);
    if (error != 0 && error != ERR_NOT_FOUND)
        return error;
    for (uint32_t i = checkpoint->items_count; i-- > 0;) {
        const struct disk_item *item = &checkpoint->items[i];
        if (item->table != table || memcmp(item->key.data, ret_key->data, 8) != 0)
            break;
        if (slice_equal(item->key, *ret_key)) /* Two new ones of equal digest at once. */
            scratch[ENGINE_KEY_DIGEST - 1]++;
    }
    return 0;
}

/* Items are in order of paths; those of one hash may have to change places. */
static void item_sort_in(struct checkpoint *checkpoint)
{
    for (uint32_t i = checkpoint->items_count - 1; i > 0; i--) {
        struct disk_item *item = &checkpoint->items[i];
        if (item[-1].table != item->table || slice_compare(item[-1].key, item->key) < 0)
            return;
        struct disk_item swap = item[-1];
        item[-1] = *item;
        *item = swap;
    }
}

static void stored_account(struct store *store, const struct cell *cell)
{
    tree_update(&store->tree_stored, cell->hash, cell->base_digest, cell->digest);
    struct range_stat *stored = &store_range_of(store, cell->hash)->stored;
    stored->bytes += (uint64_t)cell_bytes(cell) - cell->base_bytes;
    stored->keys += (uint64_t)(cell_bytes(cell) != 0) - (cell->base_bytes != 0);
}

static int build_cells(struct store *store, uint64_t *bytes)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    struct cell *cell = checkpoint->cell;
    uint64_t hash_before = 0;
    while (cell) {
        if (transaction_is_full(store, *bytes) && cell->hash != hash_before)
            break;
        struct disk_item item = {
            .table = DISK_OBJECTS, .remove = cell->object_size == 0, .value = engine_value(cell)};
        int error = cell_key_in_engine(store, DISK_OBJECTS, cell, &item.key);
        if (error)
            return error;
        checkpoint_item(checkpoint, item);
        item_sort_in(checkpoint);
        stored_account(store, cell);
        *bytes += item.key.size + item.value.size;
        checkpoint->bytes_applied += cell_memory(cell);
        hash_before = cell->hash;
        cell = memtable_next(store->frozen, cell);
    }
    checkpoint->cell = cell;
    checkpoint->next.bound = cell ? cell->hash : 0;
    checkpoint->next.bound_all = cell == NULL;
    return 0;
}

static int build_hints(struct store *store, uint64_t *bytes)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    struct cell *cell = checkpoint->hint;
    while (cell && !transaction_is_full(store, *bytes)) {
        struct disk_item item = {.table = DISK_HINTS, .value = engine_value(cell)};
        int error = cell_key_in_engine(store, DISK_HINTS, cell, &item.key);
        if (error == 0 && cell->object_size == 0)
            error = hint_table_may_go(store, item.key, &item.remove);
        if (error)
            return error;
        checkpoint_item(checkpoint, item);
        item_sort_in(checkpoint);
        *bytes += item.key.size + item.value.size;
        if (item.remove) /* A delete touches more pages than a sorted write. */
            *bytes += TRANSACTION_BYTES / checkpoint_deletes_max(store);
        checkpoint->bytes_applied += cell_memory(cell);
        cell = memtable_next(store->hints.frozen, cell);
    }
    checkpoint->hint = cell;
    return 0;
}

static void build_metas(struct store *store, uint64_t *bytes)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    while (checkpoint->metas_done < checkpoint->metas_count) {
        if (transaction_is_full(store, *bytes))
            return;
        const struct meta *meta = &checkpoint->metas[checkpoint->metas_done++];
        *bytes += meta->key.size + meta->value.size;
        checkpoint_item(checkpoint, state_meta_item(meta, &checkpoint->arena));
    }
    checkpoint->next.start = checkpoint->next.freeze;
    checkpoint->next.bound = 0;
    checkpoint->next.bound_all = false;
}

/* Figures and leaves of what the COUNT first items change, which are objects in order. */
static void build_figures(struct store *store, uint32_t count)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint64_t range_next = 0;
    uint64_t group_next = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t range = range_of(load_u64_be(checkpoint->items[i].key.data), store->range_bits);
        if (range < range_next)
            continue;
        checkpoint_item(checkpoint, state_range_item(store, range, &checkpoint->arena));
        range_next = range + 1u;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t group =
            tree_leaf_of(&store->tree_stored, load_u64_be(checkpoint->items[i].key.data)) /
            LEAF_GROUP;
        if (group < group_next)
            continue;
        checkpoint_item(checkpoint, state_leaves_item(store, group, &checkpoint->arena));
        group_next = group + 1u;
    }
}

static int build(struct store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint64_t bytes = 0;
    checkpoint->items_count = 0;
    arena_reset(&checkpoint->arena);
    checkpoint->next = checkpoint->mark;
    int error = 0;
    if (checkpoint->state == CHECKPOINT_DROPS) {
        error = checkpoint_drops(store);
        if (error == 0 && checkpoint->items_count == 0)
            checkpoint->state = CHECKPOINT_CELLS;
    }
    if (error == 0 && checkpoint->state == CHECKPOINT_CELLS) {
        error = build_cells(store, &bytes);
        if (checkpoint->cell == NULL)
            checkpoint->state = CHECKPOINT_HINTS;
    }
    uint32_t objects = checkpoint->state == CHECKPOINT_DROPS ? 0 : checkpoint->items_count;
    if (error == 0 && checkpoint->state == CHECKPOINT_HINTS) {
        error = build_hints(store, &bytes);
        if (checkpoint->hint == NULL)
            checkpoint->state = CHECKPOINT_METAS;
    }
    if (error)
        return error;
    if (checkpoint->state == CHECKPOINT_METAS)
        build_metas(store, &bytes);
    build_figures(store, objects);
    checkpoint_item(checkpoint, state_mark_item(store, &checkpoint->next, &checkpoint->arena));
    return 0;
}

static void hand_over(struct store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    checkpoint->applying = true;
    checkpoint->retry = false;
    checkpoint->began_us = store->engine_us = store->now_us;
    disk_apply(store->disk, checkpoint->items, checkpoint->items_count);
}

void checkpoint_run(struct store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    checkpoint_begin_if_due(store);
    if (checkpoint->state == CHECKPOINT_SYNC &&
        (log_synced_to(&store->log, &checkpoint->mark.freeze) || !RULE(LOG_BEFORE_ENGINE)))
        checkpoint->state = CHECKPOINT_DROPS;
    if (checkpoint->state < CHECKPOINT_DROPS || checkpoint->applying || checkpoint->warming ||
        store->now_us < checkpoint->next_us || holes_hold(&store->holes))
        return;
    int error = checkpoint->retry ? 0 : build(store);
    disk_release(store->disk);
    if (error == DISK_COLD)
        return;
    if (error) {
        store_fail(store, "the database cannot be read");
        return;
    }
    hand_over(store);
}

static void finish(struct store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    store->dying = store->frozen;
    store->frozen = NULL;
    hint_table_applied(store);
    checkpoint->state = CHECKPOINT_IDLE;
    checkpoint->log_bytes_mark = checkpoint->log_bytes;
    checkpoint->count++;
    checkpoint->next_us = 0;
    arena_reset(&checkpoint->arena);
    arena_reset(&checkpoint->metas_arena);
    log_recycle(&store->log, &checkpoint->mark.start, checkpoint->log_bytes);
}

/* How near the next checkpoint is: 0 when this one began, from 1 on it is due. */
static double next_is_due(const struct store *store)
{
    double memory = (double)store_active_bytes(store) / (double)memory_share(store);
    double log = (double)(store->log.bytes - store->checkpoint.log_bytes) /
                 ((double)LOG_SEGMENTS_START * (double)store->disk->segment_size);
    return MAX(memory, log);
}

/* How long the next transaction may wait, after one that TOOK so long: what is applied is to be
 * ahead of what comes in. */
static uint64_t pause_us(const struct store *store, uint64_t took)
{
    const struct checkpoint *checkpoint = &store->checkpoint;
    if (store->stopping)
        return 0;
    if (checkpoint->state == CHECKPOINT_DROPS || checkpoint->bytes_frozen == 0)
        return MIN(took, (uint64_t)PAUSE_US_MAX);
    double due = next_is_due(store);
    double applied = (double)checkpoint->bytes_applied / (double)checkpoint->bytes_frozen;
    if (due >= applied * SPREAD)
        return 0;
    double passed = (double)(store->now_us - checkpoint->froze_us);
    double pause = passed * (applied * SPREAD / due - 1);
    return pause < PAUSE_US_MAX ? (uint64_t)pause : PAUSE_US_MAX;
}

/* Note how fast it goes, and when the next transaction may begin. */
static void pace(struct store *store)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    uint64_t bytes = checkpoint->bytes_applied - checkpoint->bytes_paced;
    checkpoint->bytes_paced = checkpoint->bytes_applied;
    uint64_t took = store->now_us - checkpoint->began_us;
    checkpoint->next_us = store->now_us + pause_us(store, took);
    if (took == 0 || bytes == 0)
        return;
    uint64_t rate = bytes * 1000000 / took;
    checkpoint->rate = checkpoint->rate == 0 ? rate : (checkpoint->rate * 7 + rate) / 8;
}

void checkpoint_take(struct store *store, const struct disk_event *event)
{
    struct checkpoint *checkpoint = &store->checkpoint;
    ASSERT(checkpoint->applying);
    checkpoint->applying = false;
    if (event->error == ERR_CORRUPT) {
        checkpoint->retry = true;
        checkpoint->next_us = store->now_us + DISORDER_US;
        if (holes_look(store, checkpoint->items[event->item].key) != 0)
            store_fail(store, "keys of the database are out of order");
        disk_release(store->disk);
        return;
    }
    if (event->error == ERR_DISK_FULL) {
        checkpoint->retry = true;
        checkpoint->next_us = store->now_us + RETRY_US;
        store->full = true;
        return;
    }
    if (event->error) {
        store_fail(store, event->text ? event->text : "the database could not be written");
        return;
    }
    pace(store);
    checkpoint->transactions++;
    checkpoint->mark = checkpoint->next;
    if (checkpoint->mark.start.position == checkpoint->mark.freeze.position &&
        checkpoint->state == CHECKPOINT_METAS)
        finish(store);
}
