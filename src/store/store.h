/* The store of a node: commit log, memtable, LMDB, hash tree, behind operations and completions.
 *
 * Runs on one thread; what takes time is done by the disk (disk.h) and comes back by completions.
 * An operation reads, merges and writes one key in one step. Completions of what lies in memory
 * come during store_submit; others, and all news of durability, during store_poll. Operations on
 * one key complete in the order they were submitted.
 *
 * A directory may have several stores, each for an equal part of the hashes, by their top bits
 * (store_of_hash). They share one log: what all of them flush in a tick goes out in one write.
 * Everything else is each store's own: memtable, engine, checkpoints, hash tree, positions,
 * refusals, and the thread. All calls for one store come from one thread at a time, and its
 * callbacks come on that thread, out of those calls; different stores may be on different threads.
 * stores_open, and store_close of any of them, are for while no other thread uses any. Each store
 * is to be polled until all of them have stopped (store_stopped), or until the process gives up:
 * what a store waits for may come by way of another one.
 *
 * Positions count the records of one store, and mean nothing in another. */
#ifndef STORE_H
#define STORE_H

#include "core/step.h"
#include "data/tree.h"
#include "store/disk.h"

struct store;

/* A key whose record is damaged (damage.h), or an interval of hashes in which one lay that is
 * (holes.h). */
struct store_damage {
    bool hole;
    uint64_t hash;
    uint64_t to; /* Of a hole: from `hash` up to this one, of one range; */
    struct slice bucket;
    struct slice key; /* there is no key then. */
    uint64_t number;  /* Of the loss; what heals it names it (step.h). */
    bool fresh;       /* It is the first time that this life of the process hears of it. */
    bool rested;      /* It is time to heal it. */
};

struct store_options {
    uint32_t range_bits;       /* 0 while the node has not joined: see store_set_ranges. */
    uint64_t hash_seed;        /* With that. */
    uint64_t memory_max;       /* Bytes of memtables, active and frozen; default 256 MiB. */
    uint32_t log_interval_ms;  /* Of mode `interval`: how often the log is synced; default 200. */
    uint64_t reserve_bytes;    /* Writes are refused below this much free disk. */
    uint64_t scrub_rate;       /* Bytes of the engine that are checked per second; 0: none. */
    uint32_t cold_max;         /* Operations that wait for the disk at a time; 0: 4096. */
    uint32_t scrub_interval_s; /* At least so long between the beginnings of two rounds. */
    uint64_t rest_us;   /* Damage is healed no sooner than so long after the engine was written to:
                         * as long as a request may take, so that nobody counts what this node
                         * acknowledged and lost. */
    uint32_t tree_bits; /* log2 of the hash tree's leaves; 0: TREE_BITS_DEFAULT. */
    /* Called for each completed operation; what DONE points to is valid during the call only. */
    void (*done)(void *arg, const struct store_done *done);
    /* Positions up to WRITTEN are in the kernel, up to SYNCED on the disk. */
    void (*durable)(void *arg, uint64_t written, uint64_t synced);
    /* A write or sync failed: stop serving. TEXT says what and where. */
    void (*failed)(void *arg, const char *text);
    /* A record is damaged, and the key is to be healed; again and again while that is so. NULL: it
     * is only kept from being served. */
    void (*damaged)(void *arg, const struct store_damage *damage);
    void *arg;
};

struct store_recovered {
    const struct meta *metas; /* Valid until the first store_submit. */
    uint32_t metas_count;
    uint64_t found;    /* Last log position of the processes before this one, */
    uint64_t position; /* and of this one, which has begun its part. */
    bool clean;        /* Stopped cleanly, nothing torn. */
    uint64_t replayed_bytes;
};

/* Open the only store over DISK (borrowed, opened) and recover. 0, ERR_CORRUPT, ERR_IO,
 * ERR_DISK_FULL with words in ERROR_TEXT. */
int store_open(const struct store_options *options, struct disk *disk, struct store **ret_store,
               struct store_recovered *ret_recovered, struct buf *error_text) CHECK_RESULT;
/* Open all stores of a directory. DISK is that of store 0; OPTIONS, RET_STORES and RET_RECOVERED
 * are one for each of disk->stores. One pass over the log feeds them all. Errors as of store_open,
 * of all or none; where it is one store's, ERROR_TEXT begins with its number. */
int stores_open(const struct store_options *options, struct disk *disk, struct store **ret_stores,
                struct store_recovered *ret_recovered, struct buf *error_text) CHECK_RESULT;
/* Which of STORES (a power of two) is HASH's? A range is never of two: there are no fewer ranges
 * than stores. */
static inline uint32_t store_of_hash(uint64_t hash, uint32_t stores)
{
    return (uint32_t)(((hash >> 32) * stores) >> 32);
}
/* Drop everything in memory, as a crash would; in-flight disk work is waited for. */
void store_close(struct store *store);

/* The cluster is known: how many ranges it has, and by which seed keys are hashed. */
void store_set_ranges(struct store *store, uint32_t range_bits, uint64_t hash_seed);
/* Operations whose data is in memory, and whose key no other one waits for, complete before this
 * returns. OP's memory is borrowed for the call. */
void store_submit(struct store *store, const struct store_op *op);
/* An operation on a key with HASH is coming: bring what it reads in memory nearer to the processor,
 * in two steps. The second waits for what the first asked for, if that has not come. Nothing
 * depends on them. */
void store_expect(const struct store *store, uint64_t hash);
void store_expect_next(const struct store *store, uint64_t hash);
/* What the store holds at this moment, whatever still waits to change it: OP, which only reads, is
 * completed before this returns, and waits for the disk if it has to. For whoever checks a store
 * from outside. */
void store_look(struct store *store, const struct store_op *op);
/* End of a tick: hand all records gathered since the last flush to the log in one write. */
void store_flush(struct store *store);
/* Take in completions of the disk and pace the checkpoint; call when the disk signals and at
 * timers. */
void store_poll(struct store *store, struct moment now);
/* When store_poll wants to be called without a disk signal; UINT64_MAX for never. */
uint64_t store_wake_us(const struct store *store);
/* Checkpoint all, sync, and mark the stop as clean. Completion: store_stopped turns true in
 * store_poll. */
void store_stop(struct store *store);
bool store_stopped(const struct store *store);

struct range_stat {
    uint64_t keys;
    uint64_t bytes; /* Keys and objects, as encoded. */
};

struct store_stats {
    uint64_t position, written, synced;
    uint64_t keys, bytes;
    uint64_t memtable_bytes, memtable_bytes_max;
    uint64_t log_bytes; /* Not yet checkpointed; of a shared log those of all stores. */
    uint64_t log_writes, log_syncs, log_records;
    uint64_t checkpoints, checkpoint_transactions;
    uint64_t bad_records;   /* Found, in all, */
    uint64_t bad_healed;    /* and of these whole again. */
    uint64_t bad_lost;      /* of these gone, for no other slot had them. */
    uint64_t bad_now;       /* Keys that are not. */
    uint64_t holes_found;   /* Records whose key was damaged; */
    uint64_t holes_healed;  /* intervals of hashes in which one had lain, and that are whole; */
    uint64_t holes_now;     /* those that are not. */
    uint64_t scrub_rounds;  /* Whole rounds over all records, */
    uint64_t scrub_records; /* records and bytes checked in all, */
    uint64_t scrub_bytes;
    uint64_t scrub_bad;     /* of these damaged; */
    uint64_t scrub_took_us; /* how long the last whole round took, */
    uint64_t scrub_percent; /* and how far this one has come. */
    uint64_t file_bytes, disk_free_bytes, disk_total_bytes;
    uint64_t reads_memory, reads_disk, stalls_us;
    uint64_t dead_entries; /* Of the index of dead and expiring versions. */
    uint64_t collected_keys, collected_bytes;
    uint64_t reads_cold;   /* That readers of the disk were asked for; */
    uint64_t cold_waited;  /* operations that have waited for such, */
    uint64_t cold_waiting; /* those that do, */
    uint64_t cold_refused; /* and those that were BUSY, for too many did. */
    bool full;             /* Writes are refused: DISK_FULL. */
};

/* Is anything from hash FROM to TO known to be damaged, so that the store does not know what it has
 * there, or lacks the past of what was written since? */
bool store_lacks(const struct store *store, uint64_t from, uint64_t to);
/* A record of PATH was lost: was it the newest? For whoever checks a store from outside. */
bool store_lost(struct store *store, struct slice path);
/* The hole number INDEX, by hash; false if there is none. */
bool store_hole(const struct store *store, uint32_t index, uint64_t *ret_from, uint64_t *ret_to);
void store_stats(const struct store *store, struct store_stats *ret_stats);
struct range_stat store_range_stat(const struct store *store, uint32_t range);
/* From which stamp the earliest dead or expiring version of RANGE is; 0: not known. */
uint64_t store_dead_earliest(const struct store *store, uint32_t range);
const struct tree *store_tree(const struct store *store);

#endif
