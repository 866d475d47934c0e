/* Opening a store: what the engine has, then what the log has beyond it. */
#include "store/store_private.h"

#include "base/rule.h"

enum { MEMORY_DEFAULT = 256 << 20, LOG_INTERVAL_DEFAULT = 200 };

static int replay_object(struct store *store, const struct record *record)
{
    struct reader reader = reader_of(record->payload);
    uint64_t delta = read_u64(&reader);
    uint32_t bytes_before = read_u32(&reader);
    struct slice body = read_bytes(&reader, reader_left(&reader));
    struct slice path;
    struct slice object;
    struct slice bucket;
    struct slice key;
    uint64_t hash;
    if (reader.bad || store->range_bits == 0 || !body_parse(body, &path, &object) ||
        !key_parse(path, &hash, &bucket, &key) || !store_has(store, hash))
        return ERR_CORRUPT;
    const struct watermark *mark = &store->checkpoint.mark;
    bool applied =
        record->position <= mark->freeze.position && (mark->bound_all || hash < mark->bound);
    if (RULE(REPLAY_ONCE) && applied)
        return 0; /* The engine has it, and its leaf too. */
    struct cell *cell = cell_new(body);
    cell->digest = object_digest(hash, bucket, key, object);
    cell->base_digest = cell->digest ^ delta;
    cell->base_bytes = bytes_before;
    cell->position = record->position;
    store_account(store, hash, delta, bytes_before, cell_bytes(cell));
    store_place(store->active, cell);
    return 0;
}

static int replay_metas(struct store *store, const struct record *record)
{
    struct reader reader = reader_of(record->payload);
    uint8_t purpose = read_u8(&reader);
    bool install = (purpose & METAS_INSTALL) != 0;
    bool raise = (purpose & METAS_HORIZON) != 0;
    uint32_t range = read_u32(&reader);
    uint32_t fork = read_u32(&reader);
    uint64_t nonce = fork > 0 ? read_u64(&reader) : 0;
    uint64_t epoch = read_u64(&reader);
    uint64_t horizon = raise ? read_u64(&reader) : 0;
    while (!reader.bad && reader_left(&reader) > 0) {
        struct slice key = read_string(&reader);
        struct slice value = read_string(&reader);
        if (reader.bad || key.size == 0)
            return ERR_CORRUPT;
        metas_set(&store->metas, key, value, true);
        if (key.data[0] == 0 && state_own_meta(store, key, value) != 0)
            return ERR_CORRUPT;
    }
    if (reader.bad || ((install || raise) && range >= store_ranges_count(store)))
        return ERR_CORRUPT;
    if (install)
        store_install(store, range, fork, nonce, epoch);
    if (raise)
        store_set_horizon(store, range, MAX(horizon, store->ranges[range].horizon));
    return 0;
}

static int replay_drop(struct store *store, const struct record *record)
{
    struct reader reader = reader_of(record->payload);
    uint32_t bits = read_u8(&reader);
    uint32_t range = read_u32(&reader);
    if (reader.bad || bits != store->range_bits || range >= store_ranges_count(store))
        return ERR_CORRUPT;
    if (RULE(DROP_LOGGED))
        store_forget(store, range, record->position);
    return 0;
}

/* A checkpoint was under way when the process ended. */
static bool is_partial(const struct store *store)
{
    const struct watermark *mark = &store->checkpoint.mark;
    return mark->freeze.position > mark->start.position;
}

int open_replay(void *arg, const struct record *record)
{
    struct store *store = arg;
    if (is_partial(store) && !store->frozen &&
        record->position > store->checkpoint.mark.freeze.position)
        checkpoint_freeze(store);
    switch (record->type) {
    case RECORD_OBJECT:
        return replay_object(store, record);
    case RECORD_METAS:
        return replay_metas(store, record);
    case RECORD_DROP:
        return replay_drop(store, record);
    case RECORD_HINT:
        return hint_table_replay(store, record);
    case RECORD_RESTART:
    case RECORD_STOP:
        return 0;
    case RECORD_ENVELOPE:
        break;
    }
    return ERR_CORRUPT;
}

/* A new engine gets its first state before the log gets its first record. */
static int begin_new(struct store *store, struct buf *error_text)
{
    struct arena arena = {0};
    struct disk_item item = state_mark_item(store, &store->checkpoint.mark, &arena);
    disk_apply(store->disk, &item, 1);
    disk_wait(store->disk);
    struct disk_event event = {0};
    while (event.type != DISK_APPLIED && disk_poll(store->disk, &event))
        continue;
    arena_done(&arena);
    if (event.type == DISK_APPLIED && event.error == 0)
        return 0;
    buf_printf(error_text, "the database cannot be written: %s",
               event.text ? event.text : "disk full");
    return event.error == ERR_DISK_FULL ? ERR_DISK_FULL : ERR_IO;
}

int open_load(struct store *store, bool *ret_found, struct buf *error_text)
{
    int error = state_load(store, ret_found, error_text);
    disk_release(store->disk);
    if (error == ERR_IO)
        buf_printf(error_text, "the database cannot be read");
    if (error)
        return error;
    if (!*ret_found) {
        uint32_t bits = store->options.tree_bits ? store->options.tree_bits : TREE_BITS_DEFAULT;
        tree_init(&store->tree, MAX(bits, 6u));
        tree_init(&store->tree_stored, MAX(bits, 6u));
    }
    return 0;
}

int open_settle(struct store *store, bool found, struct buf *error_text)
{
    const struct watermark *mark = &store->checkpoint.mark;
    int error = found ? 0 : begin_new(store, error_text);
    if (error)
        return error;
    if (store->log.position < mark->freeze.position || !log_synced_to(&store->log, &mark->freeze)) {
        buf_printf(error_text, "the log ends at record %llu, but the database has up to %llu",
                   (unsigned long long)store->log.position,
                   (unsigned long long)mark->freeze.position);
        return ERR_CORRUPT;
    }
    if (is_partial(store)) {
        if (!store->frozen)
            checkpoint_freeze(store);
        checkpoint_resume(store);
    }
    uint32_t bits = store->options.range_bits;
    if (bits == 0 || store->range_bits == 0 || bits == store->range_bits)
        return 0;
    buf_printf(error_text, "the store was made for 2^%u ranges, not 2^%u", store->range_bits, bits);
    return ERR_CORRUPT;
}

void open_begin(struct store *store)
{
    if (store->options.range_bits != 0)
        store_set_ranges(store, store->options.range_bits, store->options.hash_seed);
    store->told_written = store->log.written;
    store->told_synced = store->log.synced;
    store->hold_bytes = log_own_bytes(&store->log);
}

static int recover(struct store *store, struct log_recovered *ret_recovered, struct buf *error_text)
{
    bool found;
    int error = open_load(store, &found, error_text);
    if (error)
        return error;
    error = log_recover(&store->log, found ? &store->checkpoint.mark.start : NULL, open_replay,
                        store, ret_recovered, error_text);
    if (error == ERR_CORRUPT && error_text->size == 0)
        buf_printf(error_text, "a record of the log makes no sense");
    return error ? error : open_settle(store, found, error_text);
}

static int start(struct store *store, struct buf *error_text)
{
    int error = log_start(&store->log);
    if (error)
        buf_printf(error_text, "the log cannot be written: %s",
                   error == ERR_DISK_FULL ? "no room for a segment; free some space on its disk"
                                          : store->log.failed);
    else
        open_begin(store);
    return error;
}

struct store *open_new(const struct store_options *options, struct disk *disk)
{
    struct store *store = mem_zero(sizeof(*store));
    store->options = *options;
    if (store->options.memory_max == 0)
        store->options.memory_max = MEMORY_DEFAULT;
    if (store->options.log_interval_ms == 0)
        store->options.log_interval_ms = LOG_INTERVAL_DEFAULT;
    store->disk = disk;
    store->active = memtable_new(store->options.memory_max);
    log_init(&store->log, disk);
    return store;
}

void open_tell(struct store *store, uint64_t found, const struct log_recovered *recovered,
               struct store_recovered *ret_recovered)
{
    *ret_recovered = (struct store_recovered){.found = found,
                                              .position = store->log.position,
                                              .clean = recovered->clean,
                                              .replayed_bytes = recovered->bytes};
    ret_recovered->metas =
        metas_list(&store->metas, &store->metas_arena, &ret_recovered->metas_count);
}

int store_open(const struct store_options *options, struct disk *disk, struct store **ret_store,
               struct store_recovered *ret_recovered, struct buf *error_text)
{
    ASSERT(disk->stores == 1);
    struct store *store = open_new(options, disk);
    struct log_recovered recovered = {0};
    int error = recover(store, &recovered, error_text);
    uint64_t found = store->log.position;
    if (error == 0)
        error = start(store, error_text);
    if (error) {
        store_close(store);
        return error;
    }
    open_tell(store, found, &recovered, ret_recovered);
    *ret_store = store;
    return 0;
}

void store_close(struct store *store)
{
    disk_drain(store->disk);
    disk_release(store->disk);
    log_done(&store->log);
    memtable_free(store->active);
    memtable_free(store->frozen);
    memtable_free(store->dying);
    hint_table_done(store);
    metas_done(&store->metas);
    damages_done(&store->damages);
    holes_done(&store->holes);
    scrub_done(&store->scrub);
    cold_done(&store->cold);
    tree_done(&store->tree);
    tree_done(&store->tree_stored);
    checkpoint_done(&store->checkpoint);
    for (uint32_t i = 0; i < store_ranges_count(store); i++)
        dead_clear(&store->ranges[i].dead, &store->dead_entries);
    buf_done(&store->path);
    arena_done(&store->arena);
    arena_done(&store->metas_arena);
    mem_free(store->ranges);
    mem_free(store);
}

void store_set_ranges(struct store *store, uint32_t range_bits, uint64_t hash_seed)
{
    store->hash_seed = hash_seed;
    store->hash_known = true;
    store->disk->judge = (struct disk_judge){engine_key_is_sound, hash_seed};
    if (store->range_bits == range_bits)
        return;
    const uint8_t key[2] = {0, META_OWN_BITS};
    uint8_t value = (uint8_t)range_bits;
    struct slice key_slice = slice_of(key, sizeof(key));
    store_ranges_init(store, range_bits);
    state_log_own(store, key_slice, slice_of(&value, 1), false, true);
}
