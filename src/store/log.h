/* The commit log of a store: records in recycled segments, gathered into one write a tick.
 *
 * A segment lives in a slot of the disk and begins with a header: its id (never used again), the id
 * of the segment before, the first position, the run. Positions count records from 1. A run is
 * one life of the process: it begins with a RESTART record that is synced before anything else of
 * the run is written, and ends where the next one's RESTART lies. So what a torn tail left behind
 * its first bad record is of an older run than all that is written over it, and never counts.
 *
 * A record that is bad although a later one says it was synced is damage: ERR_CORRUPT.
 *
 * A store that shares its log with others (`shared`) gathers its records here as well, but hands
 * them over in envelopes (log_shared.h), which has segments, slots and runs of all of them. */
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
    uint64_t sequence; /* Of a shared log: its last envelope before; else 0. */
};

struct log_batch;
struct log_shared;

/* What a log_sync under way will have synced. */
struct log_syncing {
    uint64_t position;
    uint64_t sequence;
};

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
    uint64_t bytes;    /* Appended in all, */
    uint64_t oldest;   /* and of these before what is still needed (log_recycle). */
    struct log_batch *gather;
    struct log_batch *first; /* Handed over or waiting for a slot, oldest first. */
    struct log_batch **last;
    struct log_batch *unissued;
    struct log_batch *spare;
    struct log_syncing *syncs; /* Owned; the log_syncs under way. */
    uint32_t syncs_count;
    uint64_t waiting_bytes; /* Of batches that wait for a slot. */
    size_t record_at;       /* Of the record being built, in gather->bytes, */
    size_t record_max;      /* which may get so big. */
    const char *failed;     /* What failed, or NULL. */
    uint64_t writes_count, syncs_total, records_count;
    struct log_shared *shared; /* Counted; NULL: the log is this store's alone. With it `bytes`,
                                * `oldest` and `waiting_bytes` are of all stores, as of the last
                                * log_refresh or hand-over. */
    uint64_t own_bytes;        /* Appended by this store. */
    struct log_point end;      /* Behind its last envelope. */
    uint64_t sequence_syncing; /* As `syncing` and `synced`, of the sequence. */
    uint64_t sequence_synced;
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
/* Look what other stores have done to the log, which is shared. */
void log_refresh(struct log *log);
/* Bytes appended by this store. */
static inline uint64_t log_own_bytes(const struct log *log)
{
    return log->shared ? log->own_bytes : log->bytes;
}
/* If a slot could not be made for want of room: try again. */
void log_retry(struct log *log);
/* Where the next record goes, or what will be synced before it: replay can start there. Not within
 * a group. */
struct log_point log_here(struct log *log);
/* See to it that all before POINT gets synced. */
void log_sync_to(struct log *log, const struct log_point *point);
/* Is it? */
bool log_synced_to(const struct log *log, const struct log_point *point);
/* Segments before POINT are not needed any more by this store. BYTES: what all stores had
 * appended when POINT was taken. */
void log_recycle(struct log *log, const struct log_point *point, uint64_t bytes);

#endif
