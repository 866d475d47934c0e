/* What the files of the log share. Nobody else includes this.
 *
 *   log.c           gathering, writing              log_recover.c         reading it back
 *   log_shared.c    writing of several stores       log_shared_recover.c  reading that back
 */
#ifndef LOG_PRIVATE_H
#define LOG_PRIVATE_H

#include "base/buf.h"
#include "store/log.h"

/* Header of a segment, shared by writing and recovery. */
enum { SEGMENT_HEADER = 64 };

struct segment_header {
    uint64_t segment;
    uint64_t before;
    uint64_t position; /* Of its first record. */
    uint32_t run;
};

void segment_header_write(uint8_t bytes[SEGMENT_HEADER], const struct segment_header *header);
bool segment_header_read(const uint8_t bytes[SEGMENT_HEADER], struct segment_header *ret_header);

/* Records that go out in one write. */
struct log_batch {
    struct log_batch *next;
    struct buf bytes;
    uint64_t segment;
    uint64_t offset;
    uint64_t position; /* log->complete at its end. */
    bool sync;
    /* Of a shared log, where the bytes begin with room for the headers of a segment and of an
     * envelope: */
    struct log *log;           /* Whose batch it is. */
    struct log_batch *waiting; /* The next of those that wait for a slot. */
    uint32_t skip;             /* Bytes at the start that are not written. */
    uint64_t sequence;
};

enum { BATCH_HEAD = SEGMENT_HEADER + ENVELOPE_HEADER };

static const uint32_t log_no_slot = UINT32_MAX;

/* The slot that has SEGMENT, or now gets it; log_no_slot if none is free. */
uint32_t log_slot_for(struct log *log, uint64_t segment);
/* Have one free slot ready before it is needed. */
void log_slot_reserve(struct log *log);
/* A slot was made, or could not be. */
void log_slot_ready(struct log *log, const struct disk_event *event);
/* Segments before SEGMENT are not needed any more. */
void log_slots_free(struct log *log, uint64_t segment);

/* Keep RECORD, which is followed by others of its group. */
void log_group_add(struct buf *group, const struct record *record);
/* Replay the group that RECORD ends. */
int log_group_deliver(struct buf *group, log_replay replay, void *arg,
                      const struct record *record) CHECK_RESULT;

/* ------------------------------------------------------------------------ log_shared.c */

/* Put BATCH of LOG at the end. */
void log_shared_add(struct log_shared *shared, struct log *log, struct log_batch *batch);
void log_shared_refresh(struct log_shared *shared, struct log *log);
/* What LOG has handed over gets synced: by its last batch, or else by a disk_log_sync, then true.
 * RET_SEQUENCE: up to where. */
bool log_shared_sync(struct log_shared *shared, struct log *log, uint64_t *ret_sequence);
/* As log_here, of all that is handed over. */
struct log_point log_shared_here(struct log_shared *shared, const struct log *log);
void log_shared_recycle(struct log_shared *shared, struct log *log, const struct log_point *point,
                        uint64_t bytes);
void log_shared_slot_ready(struct log_shared *shared, const struct disk_event *event);
void log_shared_retry(struct log_shared *shared);

#endif
