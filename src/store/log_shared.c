/* Writing the log of several stores (log_shared.h); log_shared_recover.c reads it back. */
#include "base/rule.h"
#include "store/log_shared_private.h"

struct log_shared *log_shared_new(struct disk *disk)
{
    struct log_shared *shared = mem_zero(sizeof(*shared));
    pthread_mutex_init(&shared->mutex, NULL);
    shared->users = 1;
    shared->stores = disk->stores;
    shared->waiting_last = &shared->waiting;
    log_init(&shared->log, disk);
    return shared;
}

void log_shared_join(struct log_shared *shared, struct log *log)
{
    shared->users++;
    log->shared = shared;
    log->record_max = log->disk->segment_size - BATCH_HEAD;
}

/* Batches of LOG that wait are not to be written any more. */
static void waiting_forget(struct log_shared *shared, const struct log *log)
{
    struct log_batch **link = &shared->waiting;
    while (*link) {
        struct log_batch *batch = *link;
        if (batch->log == log)
            *link = batch->waiting;
        else
            link = &batch->waiting;
    }
    shared->waiting_last = link;
}

void log_shared_release(struct log_shared *shared, struct log *log)
{
    waiting_forget(shared, log);
    if (--shared->users > 0)
        return;
    log_done(&shared->log);
    pthread_mutex_destroy(&shared->mutex);
    mem_free(shared);
}

/* ---------------------------------------------------------------------------------- Figures. */

/* Under the mutex. */
static void show(const struct log_shared *shared, struct log *log)
{
    log->bytes = shared->log.bytes;
    log->oldest = shared->log.oldest;
    log->waiting_bytes = shared->log.waiting_bytes;
}

void log_shared_refresh(struct log_shared *shared, struct log *log)
{
    pthread_mutex_lock(&shared->mutex);
    show(shared, log);
    pthread_mutex_unlock(&shared->mutex);
}

/* ---------------------------------------------------------------------------------- Writing. */

static size_t batch_size(const struct log_batch *batch)
{
    return batch->bytes.size - batch->skip;
}

static struct log_point batch_end(const struct log_batch *batch)
{
    return (struct log_point){.segment = batch->segment,
                              .offset = batch->offset + batch_size(batch),
                              .position = batch->position,
                              .run = batch->log->run,
                              .sequence = batch->sequence};
}

/* Give the disk what waits and has a slot. */
static void issue(struct log_shared *shared)
{
    while (shared->waiting) {
        struct log_batch *batch = shared->waiting;
        uint32_t slot = log_slot_for(&shared->log, batch->segment);
        if (slot == log_no_slot)
            return;
        shared->waiting = batch->waiting;
        if (!shared->waiting)
            shared->waiting_last = &shared->waiting;
        shared->log.waiting_bytes -= batch_size(batch);
        shared->issued = batch_end(batch);
        struct slice bytes = slice_of(batch->bytes.data + batch->skip, batch_size(batch));
        bool sync = batch->sync && RULE(LOG_WRITES_SYNCED);
        disk_log_write(batch->log->disk, slot, batch->offset, bytes, sync);
    }
}

/* Begin the next segment with BATCH, whose stores may have to move their marks now. */
static void segment_begin(struct log_shared *shared, struct log_batch *batch)
{
    struct log *log = &shared->log;
    struct segment_header header = {++log->segment_last, log->segment, log->position + 1, log->run};
    log->segment = header.segment;
    log->offset = 0;
    batch->skip = 0;
    segment_header_write(batch->bytes.data, &header);
    for (struct disk *disk = log->disk; disk; disk = disk->next)
        disk_ring(disk);
}

/* Give BATCH its place, and the header that goes with it. */
static void place(struct log_shared *shared, struct log_batch *batch, uint64_t checksum)
{
    struct log *log = &shared->log;
    size_t size = batch->bytes.size - SEGMENT_HEADER;
    batch->skip = SEGMENT_HEADER;
    if (log->offset + size > log->disk->segment_size)
        segment_begin(shared, batch);
    log->synced = MAX(log->synced, batch->log->sequence_synced);
    batch->sequence = ++log->position;
    struct record record = {.store = (uint16_t)batch->log->disk->store,
                            .position = batch->sequence,
                            .run = log->run,
                            .unsynced =
                                (uint32_t)MIN(batch->sequence - log->synced, (uint64_t)UINT32_MAX)};
    envelope_seal(batch->bytes.data + SEGMENT_HEADER, size, checksum, &record, log->segment);
    batch->segment = log->segment;
    batch->offset = log->offset;
    log->offset += batch_size(batch);
}

void log_shared_add(struct log_shared *shared, struct log *log, struct log_batch *batch)
{
    struct slice content = slice_of(batch->bytes.data + BATCH_HEAD, batch->bytes.size - BATCH_HEAD);
    uint64_t checksum = envelope_checksum(content, log->disk->store);
    batch->log = log;
    batch->waiting = NULL;
    pthread_mutex_lock(&shared->mutex);
    place(shared, batch, checksum);
    log->end = batch_end(batch);
    *shared->waiting_last = batch;
    shared->waiting_last = &batch->waiting;
    shared->log.bytes += batch_size(batch);
    shared->log.waiting_bytes += batch_size(batch);
    issue(shared);
    show(shared, log);
    pthread_mutex_unlock(&shared->mutex);
}

bool log_shared_sync(struct log_shared *shared, struct log *log, uint64_t *ret_sequence)
{
    struct log_batch *last = NULL;
    pthread_mutex_lock(&shared->mutex);
    for (struct log_batch *batch = shared->waiting; batch; batch = batch->waiting)
        if (batch->log == log)
            last = batch;
    if (last)
        last->sync = true;
    *ret_sequence = last ? last->sequence : shared->issued.sequence;
    pthread_mutex_unlock(&shared->mutex);
    return last == NULL;
}

/* Not behind what still waits for a slot, unless this store's own does: to be synced up to there
 * would take the slot. */
struct log_point log_shared_here(struct log_shared *shared, const struct log *log)
{
    pthread_mutex_lock(&shared->mutex);
    struct log_point here = shared->issued;
    pthread_mutex_unlock(&shared->mutex);
    if (log->end.sequence > here.sequence)
        here = log->end;
    here.position = log->position;
    return here;
}

/* ------------------------------------------------------------------------------------ Slots. */

void log_shared_recycle(struct log_shared *shared, struct log *log, const struct log_point *point,
                        uint64_t bytes)
{
    uint32_t own = log->disk->store;
    pthread_mutex_lock(&shared->mutex);
    shared->segments[own] = point->segment;
    shared->marks[own] = bytes;
    uint64_t segment = UINT64_MAX;
    uint64_t oldest = UINT64_MAX;
    for (uint32_t i = 0; i < shared->stores; i++) {
        segment = MIN(segment, shared->segments[i]);
        oldest = MIN(oldest, shared->marks[i]);
    }
    shared->log.oldest = oldest;
    log_slots_free(&shared->log, segment);
    issue(shared);
    show(shared, log);
    pthread_mutex_unlock(&shared->mutex);
}

void log_shared_slot_ready(struct log_shared *shared, const struct disk_event *event)
{
    pthread_mutex_lock(&shared->mutex);
    log_slot_ready(&shared->log, event);
    issue(shared);
    pthread_mutex_unlock(&shared->mutex);
}

void log_shared_retry(struct log_shared *shared)
{
    pthread_mutex_lock(&shared->mutex);
    log_retry(&shared->log);
    pthread_mutex_unlock(&shared->mutex);
}

/* ---------------------------------------------------------------------------------- Starting. */

static bool all_synced(struct log *const *logs, uint32_t count, uint32_t *ret_behind)
{
    for (uint32_t i = 0; i < count; i++) {
        if (logs[i]->synced >= logs[i]->position)
            continue;
        *ret_behind = i;
        return false;
    }
    return true;
}

static bool take_all(struct log *const *logs, uint32_t count)
{
    bool failed = false;
    struct disk_event event;
    for (uint32_t i = 0; i < count; i++) {
        while (disk_poll(logs[i]->disk, &event))
            log_take(logs[i], &event);
        failed = failed || logs[i]->failed;
    }
    return !failed;
}

int log_shared_start(struct log_shared *shared, struct log *const *logs, const char **ret_text)
{
    int error = log_start(&shared->log);
    *ret_text = shared->log.failed;
    if (error)
        return error;
    shared->issued = (struct log_point){.segment = shared->log.segment,
                                        .offset = shared->log.offset,
                                        .run = shared->log.run,
                                        .sequence = shared->log.position};
    for (uint32_t i = 0; i < shared->stores; i++) {
        logs[i]->run = shared->log.run;
        logs[i]->sequence_synced = logs[i]->sequence_syncing = shared->log.synced;
        log_begin(logs[i]);
        log_commit(logs[i], RECORD_RESTART, false, true);
        log_flush(logs[i]);
    }
    uint32_t behind = 0;
    while (take_all(logs, shared->stores) && !all_synced(logs, shared->stores, &behind)) {
        if (shared->log.starved && shared->waiting)
            return ERR_DISK_FULL;
        disk_wait(logs[shared->waiting ? 0 : behind]->disk);
    }
    for (uint32_t i = 0; i < shared->stores && !*ret_text; i++)
        *ret_text = logs[i]->failed;
    return *ret_text ? ERR_IO : 0;
}
