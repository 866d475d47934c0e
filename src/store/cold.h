/* Operations whose data is not in memory wait for it, and keep nobody else waiting.
 *
 * An operation runs without patience first. Whatever it would have to wait for the device for is
 * noted (cold_note), the operation ends with DISK_COLD before it has changed anything, and is kept
 * here as a copy while a reader of the disk fetches what was noted. Then it runs again from its
 * beginning: it may have become stale meanwhile, or the key may lie in a memtable now, and all that
 * is checked anew. Data that leaves memory again before it is used is fetched again; an operation
 * to which that happens COLD_TRIES_MAX times waits on the spot.
 *
 * Further operations on the key queue behind the first one, whatever they would find: so operations
 * on one key take place, and complete, in the order in which they were submitted. Nothing else is
 * kept in order: chunks and scans, which are of many keys, do not wait for those that wait.
 *
 * A new version is not made after the deadline of its request (store_op.deadline_us): its
 * coordinator has forgotten it by then, and a retry makes another one.
 *
 * What a crash does: operations that wait were promised to nobody, and go with the process. What is
 * bounded: their number and their bytes; past either an operation is BUSY, and nothing of it
 * happens. */
#ifndef COLD_H
#define COLD_H

#include "base/buf.h"
#include "base/map.h"
#include "core/step.h"
#include "store/disk.h"

enum { COLD_OPS_MAX = 4096, COLD_TRIES_MAX = 16, COLD_TAG_FIRST = 16 };

struct cold_wait;

struct cold {
    struct map by_tag;  /* Owned waits, by the tag of their disk_warm; */
    struct map by_hash; /* those of one key, by its hash. */
    struct cold_wait *running;
    uint64_t next_tag;
    uint64_t ops;   /* That wait, */
    uint64_t bytes; /* and what they take of the memory. */
    /* What the operation at hand has found not to be in memory: */
    enum disk_table table;
    struct buf keys; /* Owned. Each with its size in front. */
    uint32_t keys_count;
    uint32_t records; /* From each key on. */
    uint64_t reads;   /* Handed to the disk's readers, in all; */
    uint64_t waited;  /* operations that have waited, */
    uint64_t refused; /* and those that were BUSY. */
};

struct store;

void cold_done(struct cold *cold);
/* Forget what was noted: another operation begins. */
static inline void cold_reset(struct cold *cold)
{
    cold->keys_count = 0;
}
/* The operation at hand needs RECORDS of TABLE from KEY on. */
void cold_note(struct cold *cold, enum disk_table table, struct slice key, uint32_t records);
/* Can OP end with DISK_COLD, and have changed nothing? */
bool cold_may_wait(const struct store_op *op);
/* While any operation waits: if some do on the key of OP, queue it behind them, or refuse it, and
 * return true. */
bool cold_joins(struct store *store, const struct store_op *op);
/* OP has ended with DISK_COLD: it waits, or is refused. */
void cold_wait(struct store *store, const struct store_op *op);
/* What TAG asked for has come. */
void cold_take(struct store *store, uint64_t tag);

#endif
