/* What the store does every tick: hand records to the log, take in what the disk has completed,
 * tell the host what is durable, keep an eye on the room, pace the checkpoint, stop. */
#include "store/store_private.h"

enum { SPACE_INTERVAL_US = 1000 * 1000, REAP_BUDGET = 500, HOLD_SLACK_US = 1000 };

void store_fail(struct store *store, const char *text)
{
    if (store->failed)
        return;
    store->failed = true;
    if (store->options.failed)
        store->options.failed(store->options.arg, text);
}

void store_flush(struct store *store)
{
    log_flush(&store->log);
}

static void take_completions(struct store *store)
{
    struct disk_event event;
    while (disk_poll(store->disk, &event)) {
        if (event.type == DISK_WARMED && event.tag >= COLD_TAG_FIRST)
            cold_take(store, event.tag);
        else if (event.type == DISK_WARMED && event.tag == WARM_DROPS)
            checkpoint_warmed(store);
        else if (event.type == DISK_WARMED)
            scrub_take(store);
        else if (!log_take(&store->log, &event) && store->holes.applying)
            holes_take(store, &event);
        else if (event.type == DISK_APPLIED)
            checkpoint_take(store, &event);
        if (store->log.failed)
            store_fail(store, store->log.failed);
    }
    if (store->log.shared)
        log_refresh(&store->log);
}

static void tell_durable(struct store *store)
{
    struct log *log = &store->log;
    if (log->written == store->told_written && log->synced == store->told_synced)
        return;
    if (store->now_us + HOLD_SLACK_US < store->hold_until_us || store->failed)
        return;
    store->told_written = log->written;
    store->told_synced = log->synced;
    uint64_t delay = checkpoint_delay_us(store, log_own_bytes(log) - store->hold_bytes);
    store->stalls_us += delay;
    store->hold_until_us = store->now_us + delay;
    store->hold_bytes = log_own_bytes(log);
    if (store->options.durable)
        store->options.durable(store->options.arg, log->written, log->synced);
}

/* Log mode `interval`: what was written without a sync gets one after a while. */
static void sync_interval(struct store *store)
{
    struct log *log = &store->log;
    if (log->syncing >= log->complete) {
        store->unsynced_us = 0;
        return;
    }
    if (store->unsynced_us == 0)
        store->unsynced_us = store->now_us;
    if (store->now_us - store->unsynced_us < store->options.log_interval_ms * 1000ull)
        return;
    log_sync(log);
    store->unsynced_us = 0;
}

/* A little more must come free than was missing before writes are taken again. */
static void check_space(struct store *store)
{
    if (store->now_us < store->space_us)
        return;
    store->space_us = store->now_us + SPACE_INTERVAL_US;
    disk_space(store->disk, &store->space);
    uint64_t reserve = store->options.reserve_bytes;
    uint64_t room = store->space.free + store->space.reusable;
    store->full = room < reserve + (store->full ? reserve / 8 : 0);
    log_retry(&store->log);
}

static void reap(struct store *store)
{
    if (!hint_table_reap(store, REAP_BUDGET) || !store->dying ||
        !memtable_reap(store->dying, REAP_BUDGET))
        return;
    memtable_free(store->dying);
    store->dying = NULL;
}

/* The clean mark is the last record; it goes out once the engine has everything. */
static void finish_stop(struct store *store)
{
    struct log *log = &store->log;
    if (store->checkpoint.state == CHECKPOINT_IDLE && !checkpoint_clean(store))
        store->checkpoint.wanted = true; /* The mark of a hole came meanwhile. */
    if (store->stop_position == 0 && checkpoint_clean(store) && store->cold.ops == 0 &&
        holes_settled(&store->holes)) {
        log_begin(log);
        store->stop_position = log_commit(log, RECORD_STOP, false, true);
        log_flush(log);
    }
    store->stopped = store->stop_position != 0 && log->synced >= store->stop_position;
}

void store_stop(struct store *store)
{
    store->stopping = true;
    store->checkpoint.wanted = true;
}

bool store_stopped(const struct store *store)
{
    return store->stopped;
}

void store_poll(struct store *store, struct moment now)
{
    store->now_us = now.us;
    if (store->engine_us == 0)
        store->engine_us = now.us;
    take_completions(store);
    if (store->failed)
        return;
    check_space(store);
    sync_interval(store);
    holes_run(store);
    checkpoint_run(store);
    if (store->stopping)
        finish_stop(store);
    tell_durable(store);
    scrub_run(store);
    damage_tell(store);
    reap(store);
}

uint64_t store_wake_us(const struct store *store)
{
    if (store->failed)
        return UINT64_MAX;
    uint64_t wake = MIN(store->space_us, MIN(damage_wake_us(store), scrub_wake_us(store)));
    wake = MIN(wake, holes_wake_us(store));
    const struct checkpoint *checkpoint = &store->checkpoint;
    if (store->dying || store->hints.dying)
        wake = store->now_us;
    if (checkpoint->state > CHECKPOINT_SYNC && !checkpoint->applying && !checkpoint->warming &&
        !holes_hold(&store->holes))
        wake = MIN(wake, checkpoint->next_us);
    if (checkpoint->state == CHECKPOINT_IDLE && checkpoint->wanted)
        wake = store->now_us;
    if (store->unsynced_us == 0 && store->log.syncing < store->log.complete)
        wake = store->now_us;
    if (store->unsynced_us != 0)
        wake = MIN(wake, store->unsynced_us + store->options.log_interval_ms * 1000ull);
    if (store->log.written != store->told_written || store->log.synced != store->told_synced)
        wake = MIN(wake, store->hold_until_us);
    return wake;
}

/* ------------------------------------------------------------------------------- Figures. */

void store_stats(const struct store *store, struct store_stats *ret_stats)
{
    const struct log *log = &store->log;
    *ret_stats = (struct store_stats){
        .position = log->position,
        .written = log->written,
        .synced = log->synced,
        .keys = store->keys,
        .bytes = store->bytes,
        .memtable_bytes = store_active_bytes(store) + memtable_memory(store->frozen) +
                          memtable_memory(store->hints.frozen),
        .memtable_bytes_max = store->options.memory_max,
        .log_bytes = checkpoint_log_bytes(store),
        .log_writes = log->writes_count,
        .log_syncs = log->syncs_total,
        .log_records = log->records_count,
        .checkpoints = store->checkpoint.count,
        .checkpoint_transactions = store->checkpoint.transactions,
        .bad_records = store->damages.found,
        .bad_healed = store->damages.healed,
        .bad_lost = store->damages.lost,
        .bad_now = store->damages.count,
        .holes_found = store->holes.found,
        .holes_healed = store->holes.healed,
        .holes_now = store->holes.count,
        .scrub_rounds = store->scrub.rounds,
        .scrub_records = store->scrub.records,
        .scrub_bytes = store->scrub.bytes,
        .scrub_bad = store->scrub.bad,
        .scrub_took_us = store->scrub.took_us,
        .scrub_percent = scrub_percent(store),
        .file_bytes = store->space.file,
        .disk_free_bytes = store->space.free,
        .disk_total_bytes = store->space.total,
        .reads_memory = store->reads_memory,
        .reads_disk = store->reads_disk,
        .stalls_us = store->stalls_us,
        .dead_entries = store->dead_entries,
        .collected_keys = store->collected_keys,
        .collected_bytes = store->collected_bytes,
        .reads_cold = store->cold.reads,
        .cold_waited = store->cold.waited,
        .cold_waiting = store->cold.ops,
        .cold_refused = store->cold.refused,
        .full = store->full,
    };
}

uint64_t store_dead_earliest(const struct store *store, uint32_t range)
{
    return range < store_ranges_count(store) ? dead_earliest(&store->ranges[range].dead) : 0;
}

struct range_stat store_range_stat(const struct store *store, uint32_t range)
{
    return range < store_ranges_count(store) ? store->ranges[range].stat : (struct range_stat){0};
}

const struct tree *store_tree(const struct store *store)
{
    return &store->tree;
}

bool store_lacks(const struct store *store, uint64_t from, uint64_t to)
{
    for (uint32_t i = 0; i < store->damages.count; i++) {
        uint64_t hash = store->damages.items[i]->hash;
        if (hash >= from && hash <= to)
            return true;
    }
    return holes_count(store, from, to) > 0;
}

bool store_lost(struct store *store, struct slice path)
{
    struct found found = {0};
    int error = store_find(store, load_u64_be(path.data), path, &found);
    disk_release(store->disk);
    store->reading = false;
    return error != 0 || found_unreadable(&found);
}

bool store_hole(const struct store *store, uint32_t index, uint64_t *ret_from, uint64_t *ret_to)
{
    if (index >= store->holes.count)
        return false;
    *ret_from = store->holes.items[index].from;
    *ret_to = store->holes.items[index].to;
    return true;
}
