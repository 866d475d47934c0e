/* The commit log of a node: records in recycled segments, gathered into one write a tick.
 *
 * A segment lives in a slot of the disk and begins with a header: its id (never used again), the id
 * of the segment before, the first position, the run. Positions count records from 1. A run is
 * one life of the process: it begins with a RESTART record that is synced before anything else of
 * the run is written, and ends where the next one's RESTART lies. So what a torn tail left behind
 * its first bad record is of an older run than all that is written over it, and never counts.
 *
 * A record that is bad although a later one says it was synced is damage: ERR_CORRUPT. */
#ifndef LOG_H
#define LOG_H

#include "store/disk.h"
#include "store/record.h"

/* Where the record after POSITION begins. */
struct log_point {
    uint64_t segment; /* 0: nowhere, the log is new. */
    uint64_t offset;
    uint64_t position;
    uint32_t run;
};

struct log_batch;

struct log {
    struct disk *disk; /* Borrowed. */
    uint64_t *slots;   /* Owned; the segment in each slot, 0 when it is free. */
    uint32_t slots_count;
    bool preparing;
    bool starved; /* A slot could not be made: log_retry. */
    uint64_t segment;
    uint64_t segment_last; /* Highest id ever seen. */
    uint64_t offset;       /* Of the next record in the segment, gathered ones counted. */
    uint32_t run;
    uint64_t position; /* Of the last record, */
    uint64_t complete; /* of the last that ended a group, */
    uint64_t written;  /* of the last in the kernel, */
    uint64_t synced;   /* on the disk. */
    uint64_t syncing;  /* What will be synced once all that is under way is done. */
    uint64_t bytes;    /* Appended in all. */
    struct log_batch *gather;
    struct log_batch *first; /* Handed over or waiting for a slot, oldest first. */
    struct log_batch **last;
    struct log_batch *unissued;
    struct log_batch *spare;
    uint64_t *syncs; /* Owned; positions of the log_syncs under way. */
    uint32_t syncs_count;
    uint64_t waiting_bytes; /* Of batches that wait for a slot. */
    size_t record_at;       /* Of the record being built, in gather->bytes. */
    const char *failed;     /* What failed, or NULL. */
    uint64_t writes_count, syncs_total, records_count;
};

struct log_recovered {
    bool clean;
    uint64_t bytes;
};

/* Takes one record of recovery; 0 or ERR_CORRUPT. */
typedef int (*log_replay)(void *arg, const struct record *record);

void log_init(struct log *log, struct disk *disk);
void log_done(struct log *log);
/* Replay what comes after START (its segment 0: from the beginning; NULL: there must be no log). 0,
 * or an error of REPLAY, ERR_CORRUPT, ERR_IO with words in ERROR_TEXT. */
int log_recover(struct log *log, const struct log_point *start, log_replay replay, void *arg,
                struct log_recovered *ret_recovered, struct buf *error_text) CHECK_RESULT;
/* Begin a run: waits until it is synced. 0, ERR_IO, or ERR_DISK_FULL where it needs a segment. */
int log_start(struct log *log) CHECK_RESULT;

/* Build a record: the payload is appended to what log_begin returns, then committed or cancelled.
 */
struct buf *log_begin(struct log *log);
/* Is what was built small enough for a record? */
bool log_fits(const struct log *log);
uint64_t log_commit(struct log *log, enum record_type type, bool more, bool sync);
void log_cancel(struct log *log);
/* Hand what is gathered to the disk. */
void log_flush(struct log *log);
/* See to it that all records so far get synced. */
void log_sync(struct log *log);
/* Take a completion; true if it was the log's. */
bool log_take(struct log *log, const struct disk_event *event);
/* Make a slot again after it failed for want of room. */
void log_retry(struct log *log);
/* Where the next record goes: replay can start there. Not within a group. */
struct log_point log_here(const struct log *log);
/* Segments before POINT are not needed any more. */
void log_recycle(struct log *log, const struct log_point *point);

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

#endif
