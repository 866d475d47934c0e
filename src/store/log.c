/* Writing the log (log.h); log_recover.c reads it back. */
#include "base/rule.h"
#include "store/log_private.h"
#include "store/log_shared.h"

enum { GATHER_MAX = 4 << 20, SPARE_CAPACITY_MAX = 1 << 20, FORMAT = 1 };

static const char segment_magic[8] = "kvrlog\n";

void segment_header_write(uint8_t bytes[SEGMENT_HEADER], const struct segment_header *header)
{
    memset(bytes, 0, SEGMENT_HEADER);
    memcpy(bytes, segment_magic, sizeof(segment_magic));
    store_u64(bytes + 8, header->segment);
    store_u64(bytes + 16, header->before);
    store_u64(bytes + 24, header->position);
    store_u32(bytes + 32, header->run);
    store_u32(bytes + 36, FORMAT);
    store_u64(bytes + 56, checksum64(slice_of(bytes, 56), 0));
}

bool segment_header_read(const uint8_t bytes[SEGMENT_HEADER], struct segment_header *ret_header)
{
    if (memcmp(bytes, segment_magic, sizeof(segment_magic)) != 0 ||
        load_u64(bytes + 56) != checksum64(slice_of(bytes, 56), 0))
        return false;
    *ret_header = (struct segment_header){load_u64(bytes + 8), load_u64(bytes + 16),
                                          load_u64(bytes + 24), load_u32(bytes + 32)};
    return ret_header->segment != 0 && load_u32(bytes + 36) == FORMAT;
}

/* ---------------------------------------------------------------------------------- Batches. */

static struct log_batch *batch_new(struct log *log)
{
    struct log_batch *batch = log->spare;
    if (batch)
        log->spare = batch->next;
    else
        batch = mem_zero(sizeof(*batch));
    batch->next = NULL;
    batch->sync = false;
    batch->segment = log->segment;
    batch->offset = log->offset;
    buf_clear(&batch->bytes);
    return batch;
}

static void batch_free(struct log_batch *batch)
{
    buf_done(&batch->bytes);
    mem_free(batch);
}

static void batch_recycle(struct log *log, struct log_batch *batch)
{
    if (batch->bytes.capacity > SPARE_CAPACITY_MAX)
        buf_done(&batch->bytes);
    batch->next = log->spare;
    log->spare = batch;
}

static void batches_free(struct log_batch *batch)
{
    while (batch) {
        struct log_batch *next = batch->next;
        batch_free(batch);
        batch = next;
    }
}

void log_init(struct log *log, struct disk *disk)
{
    *log = (struct log){.disk = disk, .slots_count = disk->slots};
    log->slots = mem_zero(disk->slots * sizeof(*log->slots));
    log->record_max = disk->segment_size - SEGMENT_HEADER;
    log->last = &log->first;
}

void log_done(struct log *log)
{
    if (log->shared)
        log_shared_release(log->shared, log);
    batches_free(log->first);
    batches_free(log->spare);
    if (log->gather)
        batch_free(log->gather);
    mem_free(log->slots);
    mem_free(log->syncs);
    *log = (struct log){0};
}

/* ------------------------------------------------------------------------------------ Slots. */

static uint32_t slot_with(const struct log *log, uint64_t segment)
{
    for (uint32_t i = 0; i < log->slots_count; i++)
        if (log->slots[i] == segment)
            return i;
    return log_no_slot;
}

void log_slot_reserve(struct log *log)
{
    if (log->preparing || log->starved || slot_with(log, 0) != log_no_slot)
        return;
    log->preparing = true;
    disk_slot_prepare(log->disk, log->slots_count);
}

uint32_t log_slot_for(struct log *log, uint64_t segment)
{
    uint32_t slot = slot_with(log, segment);
    if (slot != log_no_slot)
        return slot;
    slot = slot_with(log, 0);
    if (slot != log_no_slot)
        log->slots[slot] = segment;
    log_slot_reserve(log);
    return slot;
}

/* Hand over the batches whose slots are there, in order. */
static void batches_issue(struct log *log)
{
    while (log->unissued && !log->failed) {
        struct log_batch *batch = log->unissued;
        uint32_t slot = log_slot_for(log, batch->segment);
        if (slot == log_no_slot)
            return;
        log->unissued = batch->next;
        log->waiting_bytes -= batch->bytes.size;
        log->writes_count++;
        log->syncs_total += batch->sync;
        bool sync = batch->sync && RULE(LOG_WRITES_SYNCED);
        disk_log_write(log->disk, slot, batch->offset, buf_slice(&batch->bytes), sync);
    }
}

void log_retry(struct log *log)
{
    if (log->shared) {
        log_shared_retry(log->shared);
        return;
    }
    if (!log->starved)
        return;
    log->starved = false;
    log_slot_reserve(log);
}

void log_slot_ready(struct log *log, const struct disk_event *event)
{
    log->preparing = false;
    if (event->error) {
        log->starved = true;
        return;
    }
    log->slots = mem_grow(log->slots, (log->slots_count + 1) * sizeof(*log->slots));
    log->slots[log->slots_count++] = 0;
    ASSERT(log->slots_count == log->disk->slots);
}

void log_slots_free(struct log *log, uint64_t segment)
{
    for (uint32_t i = 0; i < log->slots_count; i++)
        if (log->slots[i] < segment)
            log->slots[i] = 0;
}

void log_recycle(struct log *log, const struct log_point *point, uint64_t bytes)
{
    if (log->shared) {
        log_shared_recycle(log->shared, log, point, bytes);
        return;
    }
    log->oldest = bytes;
    log_slots_free(log, point->segment);
    batches_issue(log);
}

void log_refresh(struct log *log)
{
    log_shared_refresh(log->shared, log);
}

/* ---------------------------------------------------------------------------------- Records. */

/* Begin the next segment in a fresh gathering. */
static void segment_open(struct log *log, uint64_t position)
{
    uint64_t before = log->segment;
    log->segment = ++log->segment_last;
    log->offset = 0;
    log->gather = batch_new(log);
    struct segment_header header = {log->segment, before, position, log->run};
    segment_header_write(buf_reserve(&log->gather->bytes, SEGMENT_HEADER), &header);
    log->gather->bytes.size += SEGMENT_HEADER;
    log->offset = SEGMENT_HEADER;
    log->bytes += SEGMENT_HEADER;
}

static struct buf *enclosed_begin(struct log *log)
{
    struct buf *bytes = &log->gather->bytes;
    if (bytes->size == 0) { /* To be filled in once the place is known. */
        buf_reserve(bytes, BATCH_HEAD);
        bytes->size = BATCH_HEAD;
    }
    log->record_at = bytes->size;
    memset(buf_reserve(bytes, ENCLOSED_HEADER), 0, ENCLOSED_HEADER);
    bytes->size += ENCLOSED_HEADER;
    return bytes;
}

struct buf *log_begin(struct log *log)
{
    if (log->gather && log->gather->bytes.size >= GATHER_MAX)
        log_flush(log);
    if (!log->gather)
        log->gather = batch_new(log);
    struct buf *bytes = &log->gather->bytes;
    if (log->shared)
        return enclosed_begin(log);
    log->record_at = bytes->size;
    memset(buf_reserve(bytes, RECORD_HEADER), 0, RECORD_HEADER);
    bytes->size += RECORD_HEADER;
    return bytes;
}

bool log_fits(const struct log *log)
{
    size_t size = log->gather->bytes.size - log->record_at;
    return record_padded(size) <= log->record_max && size < UINT32_MAX;
}

void log_cancel(struct log *log)
{
    log->gather->bytes.size = log->record_at;
}

/* Move the record being built to the start of a new segment. */
static void record_move(struct log *log)
{
    struct log_batch *batch = log->gather;
    size_t size = batch->bytes.size - log->record_at;
    segment_open(log, log->position + 1);
    size_t at = log->gather->bytes.size;
    buf_append(&log->gather->bytes, slice_of(batch->bytes.data + log->record_at, size));
    struct log_batch *gather = log->gather;
    batch->bytes.size = log->record_at;
    log->gather = batch;
    log_flush(log);
    log->gather = gather;
    log->record_at = at;
}

/* So big may an envelope get by several records: what does not fit in the rest of a segment leaves
 * it unused. */
static size_t envelope_max(const struct log *log)
{
    return MIN((size_t)GATHER_MAX, log->disk->segment_size / 8);
}

/* Move the record being built to an envelope of its own. */
static void enclosed_move(struct log *log)
{
    struct log_batch *batch = log->gather;
    size_t at = log->record_at;
    size_t size = batch->bytes.size - at;
    log->gather = NULL;
    struct buf *bytes = log_begin(log);
    bytes->size = log->record_at;
    buf_append(bytes, slice_of(batch->bytes.data + at, size));
    struct log_batch *gather = log->gather;
    batch->bytes.size = at;
    log->gather = batch;
    log_flush(log);
    log->gather = gather;
}

static uint64_t enclosed_commit(struct log *log, enum record_type type, bool more, bool sync)
{
    if (log->record_at > BATCH_HEAD && log->gather->bytes.size > envelope_max(log))
        enclosed_move(log);
    struct log_batch *batch = log->gather;
    size_t size = batch->bytes.size - log->record_at;
    struct record record = {.type = type, .more = more, .position = ++log->position};
    enclosed_seal(batch->bytes.data + log->record_at, size, &record);
    size_t padding = record_padded(size) - size;
    memset(buf_reserve(&batch->bytes, padding), 0, padding);
    batch->bytes.size += padding;
    log->own_bytes += size + padding;
    log->records_count++;
    if (!more)
        log->complete = log->position;
    batch->sync = batch->sync || sync;
    return log->position;
}

uint64_t log_commit(struct log *log, enum record_type type, bool more, bool sync)
{
    if (log->shared)
        return enclosed_commit(log, type, more, sync);
    size_t size = log->gather->bytes.size - log->record_at;
    if (log->segment == 0 || log->offset + record_padded(size) > log->disk->segment_size)
        record_move(log);
    struct log_batch *batch = log->gather;
    uint64_t unsynced = ++log->position - log->synced;
    struct record record = {.type = type,
                            .more = more,
                            .position = log->position,
                            .run = log->run,
                            .unsynced = (uint32_t)MIN(unsynced, UINT32_MAX)};
    record_seal(batch->bytes.data + log->record_at, size, &record, log->segment);
    size_t padding = record_padded(size) - size;
    memset(buf_reserve(&batch->bytes, padding), 0, padding);
    batch->bytes.size += padding;
    log->offset += size + padding;
    log->bytes += size + padding;
    log->records_count++;
    if (!more)
        log->complete = log->position;
    batch->sync = batch->sync || sync;
    return log->position;
}

/* A batch of a shared log has its head from the first record on. */
static bool is_empty(const struct log *log, const struct log_batch *batch)
{
    return batch->bytes.size == 0 || (log->shared && batch->bytes.size == BATCH_HEAD);
}

void log_flush(struct log *log)
{
    struct log_batch *batch = log->gather;
    log->gather = NULL;
    if (!batch)
        return;
    if (is_empty(log, batch) || log->failed) {
        batch_recycle(log, batch);
        return;
    }
    batch->position = log->complete;
    if (batch->sync)
        log->syncing = batch->position;
    *log->last = batch;
    log->last = &batch->next;
    if (log->shared) {
        log->writes_count++;
        log->syncs_total += batch->sync;
        log_shared_add(log->shared, log, batch);
        if (batch->sync)
            log->sequence_syncing = batch->sequence;
        return;
    }
    if (!log->unissued)
        log->unissued = batch;
    log->waiting_bytes += batch->bytes.size;
    batches_issue(log);
}

/* Hand what is gathered over with a sync. */
static void flush_synced(struct log *log)
{
    if (!log->gather || is_empty(log, log->gather))
        return;
    log->gather->sync = true;
    log_flush(log);
}

/* All that was handed over gets a sync of its own. */
static void sync_now(struct log *log)
{
    log->syncing = log->complete;
    if (log->shared && !log_shared_sync(log->shared, log, &log->sequence_syncing))
        return;
    log->syncs = mem_grow(log->syncs, (log->syncs_count + 1) * sizeof(*log->syncs));
    log->syncs[log->syncs_count++] = (struct log_syncing){log->complete, log->sequence_syncing};
    log->syncs_total++;
    disk_log_sync(log->disk);
}

void log_sync(struct log *log)
{
    flush_synced(log);
    if (log->syncing >= log->complete || log->failed)
        return;
    if (log->unissued) { /* It will wait behind a slot: let the last write bring the sync. */
        struct log_batch *batch = log->unissued;
        while (batch->next)
            batch = batch->next;
        batch->sync = true;
        log->syncing = batch->position;
        return;
    }
    sync_now(log);
}

void log_sync_to(struct log *log, const struct log_point *point)
{
    log_sync(log);
    if (log->shared && log->sequence_syncing < point->sequence && !log->failed)
        sync_now(log);
}

bool log_synced_to(const struct log *log, const struct log_point *point)
{
    return log->shared ? log->sequence_synced >= point->sequence : log->synced >= point->position;
}

struct log_point log_here(struct log *log)
{
    ASSERT(log->complete == log->position);
    if (!log->shared)
        return (struct log_point){log->segment, log->offset, log->position, log->run, 0};
    flush_synced(log);
    return log_shared_here(log->shared, log);
}

static void take_slot(struct log *log, const struct disk_event *event)
{
    if (log->shared) {
        log_shared_slot_ready(log->shared, event);
        return;
    }
    log_slot_ready(log, event);
    batches_issue(log);
}

bool log_take(struct log *log, const struct disk_event *event)
{
    if (event->type == DISK_APPLIED)
        return false;
    if (event->error && event->type != DISK_SLOT_READY && !log->failed)
        log->failed = event->text ? event->text : "the log could not be written";
    if (event->type == DISK_SLOT_READY) {
        take_slot(log, event);
    } else if (event->type == DISK_LOG_WRITTEN) {
        struct log_batch *batch = log->first;
        ASSERT(batch && batch != log->unissued);
        log->first = batch->next;
        if (!log->first)
            log->last = &log->first;
        if (!log->failed) {
            log->written = MAX(log->written, batch->position);
            if (batch->sync) {
                log->synced = MAX(log->synced, batch->position);
                log->sequence_synced = batch->sequence; /* The highest yet: it came last. */
            }
        }
        batch_recycle(log, batch);
    } else if (event->type == DISK_LOG_SYNCED) {
        ASSERT(log->syncs_count > 0);
        if (!log->failed) {
            log->synced = MAX(log->synced, log->syncs[0].position);
            log->sequence_synced = MAX(log->sequence_synced, log->syncs[0].sequence);
        }
        memmove(log->syncs, log->syncs + 1, --log->syncs_count * sizeof(*log->syncs));
    }
    return true;
}

int log_start(struct log *log)
{
    log->run++;
    log_begin(log);
    log_commit(log, RECORD_RESTART, false, true);
    log_flush(log);
    while (log->synced < log->position && !log->failed) {
        struct disk_event event;
        while (disk_poll(log->disk, &event))
            log_take(log, &event);
        if (log->starved && log->unissued)
            return ERR_DISK_FULL;
        if (log->synced < log->position && !log->failed)
            disk_wait(log->disk);
    }
    return log->failed ? ERR_IO : 0;
}
