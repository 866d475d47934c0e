/* One log that the stores of a directory append to, each from its own thread.
 *
 * A store gathers its records in a batch, as it does alone (log.h). What it hands over goes into
 * the log as one record of the log, an envelope (record.h), whose position is the log's sequence.
 * Only an envelope's header is made under the lock, 40 bytes, in the order in which the log thread
 * gets the envelopes: it joins what lies side by side and writes it in one call. Nobody holds the
 * lock while anything is written; each store's own disk tells it what became of its own.
 *
 * Segments, runs and the search for damage are those of log.h, over envelopes and the RESTART that
 * begins a run. Groups are whole per store; what is left of one without its end counts for nothing,
 * and ends where that store's own RESTART lies.
 *
 * A segment is free when the marks of all stores are past it. A store that writes nothing moves its
 * mark by a checkpoint of nothing; each new segment rings all disks, so that it learns it is time.
 * Slots are asked for, and come, by the disk of store 0.
 *
 * What log.c calls (log_private.h) comes from any of the stores' threads, for the log of that
 * store. Making, recovery, start and release are for while no other thread is at it. */
#ifndef LOG_SHARED_H
#define LOG_SHARED_H

#include "store/log.h"

struct log_shared;

/* One store's part in recovery. */
struct log_feed {
    struct log *log;               /* Inited, of its own disk. */
    const struct log_point *start; /* As in log_recover; NULL: it has no engine yet. */
    log_replay replay;             /* Gets the store's records alone. */
    void *arg;
};

/* Over the disks of all stores, DISK being that of store 0. The caller counts as one user. */
struct log_shared *log_shared_new(struct disk *disk);
/* LOG uses it from now on, until log_done. */
void log_shared_join(struct log_shared *shared, struct log *log);
/* One user less, LOG (NULL: the one who made it); the last one frees. */
void log_shared_release(struct log_shared *shared, struct log *log);

/* As log_recover, for all stores, which have joined. FEEDS and RET_RECOVERED are one for each.
 * RET_STORE: whose fault an error is, or the number of stores: nobody's. */
int log_shared_recover(struct log_shared *shared, const struct log_feed *feeds,
                       struct log_recovered *ret_recovered, uint32_t *ret_store,
                       struct buf *error_text) CHECK_RESULT;
/* As log_start, for all LOGS, whose runs begin too. RET_TEXT says what failed. */
int log_shared_start(struct log_shared *shared, struct log *const *logs,
                     const char **ret_text) CHECK_RESULT;

#endif
