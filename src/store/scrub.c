/* The scrub: reads every record of the engine once in a while, to find damage before the last good
 * copy is gone too.
 *
 * It goes round by hash, from a place that differs from start to start, so that a node that is
 * restarted often still comes everywhere, and nothing about it has to be durable. Each step brings
 * a few records into memory in the background (disk_warm) and only then sums them up here; steps
 * are as far apart as the rate says, and rounds begin no closer together than the interval says.
 * What is in a memtable is about to be written over: only the engine is looked at.
 *
 * Cost: 64 KiB of checksums a step, some 10 us of the loop. */
#include "store/store_private.h"

enum {
    STEP_RECORDS = 256,
    STEP_BYTES = 64 << 10,
    STEP_US_MIN = 1000, /* Between steps, at any rate. */
};

void scrub_done(struct scrub *scrub)
{
    buf_done(&scrub->next);
    *scrub = (struct scrub){0};
}

static bool is_off(const struct store *store)
{
    return store->options.scrub_rate == 0 || !store->hash_known || store->stopping;
}

static void next_is(struct scrub *scrub, struct slice key)
{
    buf_clear(&scrub->next);
    buf_append(&scrub->next, key);
}

static void round_begin(struct store *store)
{
    struct scrub *scrub = &store->scrub;
    uint8_t key[8];
    if (scrub->rounds == 0 && scrub->began_us == 0)
        scrub->start = checksum_pair(store->log.position, store->log.run);
    scrub->began_us = MAX(store->now_us, (uint64_t)1);
    scrub->running = true;
    scrub->wrapped = false;
    store_u64_be(key, scrub->start);
    next_is(scrub, slice_of(key, sizeof(key)));
}

static void round_end(struct store *store)
{
    struct scrub *scrub = &store->scrub;
    scrub->running = false;
    scrub->rounds++;
    scrub->took_us = store->now_us - scrub->began_us;
    scrub->next_us = scrub->began_us + store->options.scrub_interval_s * 1000000ull;
}

/* One record, whose key is whole. A look-up says whether it is still there, and what it means if it
 * is damaged. */
static int check(struct store *store, const struct engine_record *record)
{
    struct found found;
    struct scrub *scrub = &store->scrub;
    scrub->records++;
    scrub->bytes += record->key.size + record->value.size;
    if (!record->bad || !store_sees_engine(store, load_u64_be(record->key.data)))
        return 0;
    scrub->bad++;
    buf_clear(&store->path);
    buf_append(&store->path, record->path);
    return store_find(store, load_u64_be(record->path.data), buf_slice(&store->path), &found);
}

/* Sum up what was warmed. Sets *RET_END at the end of the engine or of the round. */
static int step(struct store *store, uint64_t *ret_bytes, bool *ret_end)
{
    struct scrub *scrub = &store->scrub;
    struct engine_record record;
    uint32_t records = 0;
    store->reading = true;
    uint64_t found = store->holes.found;
    int error = holes_seek(store, buf_slice(&scrub->next), &record);
    while (error == 0 && records < STEP_RECORDS && *ret_bytes < STEP_BYTES) {
        if (scrub->wrapped && load_u64_be(record.key.data) >= scrub->start)
            break;
        *ret_bytes += record.key.size + record.value.size;
        records++;
        if (record.bad) { /* A look-up moves the cursor. */
            next_is(scrub, record.key);
            error = check(store, &record);
            if (error == 0)
                error = holes_seek(store, buf_slice(&scrub->next), &record);
        } else {
            error = check(store, &record);
        }
        if (error == 0)
            error = holes_next(store, &record);
    }
    scrub->bad += store->holes.found - found;
    if (error == 0)
        next_is(scrub, record.key);
    *ret_end =
        error == ERR_NOT_FOUND || (scrub->wrapped && load_u64_be(scrub->next.data) >= scrub->start);
    return error == ERR_NOT_FOUND ? 0 : error;
}

void scrub_take(struct store *store)
{
    struct scrub *scrub = &store->scrub;
    uint64_t bytes = 0;
    bool end = false;
    scrub->warming = false;
    if (is_off(store) || !scrub->running)
        return;
    if (step(store, &bytes, &end) != 0) {
        store_fail(store, "the database cannot be read");
        return;
    }
    disk_release(store->disk);
    store->reading = false;
    uint64_t pause = bytes * 1000000 / store->options.scrub_rate;
    scrub->next_us = store->now_us + MAX(pause, (uint64_t)STEP_US_MIN);
    if (end && !scrub->wrapped) {
        scrub->wrapped = true;
        next_is(scrub, slice_of("", 1));
    } else if (end) {
        round_end(store);
    }
}

void scrub_run(struct store *store)
{
    struct scrub *scrub = &store->scrub;
    if (is_off(store) || scrub->warming || store->now_us < scrub->next_us)
        return;
    if (!scrub->running)
        round_begin(store);
    struct slice from = buf_slice(&scrub->next);
    scrub->warming = true;
    disk_warm(store->disk, WARM_SCRUB, DISK_OBJECTS, &from, 1, STEP_RECORDS, STEP_BYTES);
}

uint64_t scrub_wake_us(const struct store *store)
{
    return is_off(store) || store->scrub.warming ? UINT64_MAX : store->scrub.next_us;
}

uint32_t scrub_percent(const struct store *store)
{
    const struct scrub *scrub = &store->scrub;
    if (!scrub->running)
        return scrub->rounds > 0 ? 100 : 0;
    uint64_t at = scrub->next.size >= 8 ? load_u64_be(scrub->next.data) : 0;
    return (uint32_t)((double)(at - scrub->start) * 100.0 / 18446744073709551616.0);
}
