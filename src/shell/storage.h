/* The stores of one shard as one store to its engine.
 *
 * A directory has a fixed number of stores, each of an equal part of the hashes; a shard has one of
 * them, or a row of neighbours (docs/decisions/0036). With one, all of this is that one's own
 * functions. With more, an operation goes to the store of its range or its cell, the cells of the
 * node to the first, and positions, which are each store's own, are numbered anew in the order in
 * which they came, which is also that in which they count as durable. */
#ifndef STORAGE_H
#define STORAGE_H

#include "store/store.h"

struct storage;

/* One of the stores, and what its callbacks need. */
struct storage_part {
    struct storage *storage;
    uint32_t number; /* Of the store in the directory. */
    uint64_t written, synced;
    uint64_t began; /* Its position when it was opened. */
};

/* A position of one of them. */
struct storage_wait {
    uint32_t part;
    uint64_t position;
};

struct storage {
    struct store *stores[STORES_MAX]; /* Borrowed. */
    struct storage_part parts[STORES_MAX];
    uint32_t count;
    uint32_t directory; /* How many the directory has. */
    uint32_t range_bits;
    struct store_options hooks; /* Where what they call back leads. */
    /* Positions that are not synced yet; the first is number `first`. */
    struct storage_wait *waits; /* Owned ring of waits_capacity, a power of two. */
    uint32_t waits_head, waits_count, waits_capacity;
    uint64_t first;
    uint64_t began;         /* The last number that was durable from the start. */
    uint64_t written;       /* Numbers. */
    struct buf digests;     /* Owned. Of a STORE_TREE of several stores. */
    bool gathers;           /* One is being answered. */
    uint64_t gathered;      /* Its position. */
    struct store_op rescan; /* A walk through hints goes on in the next store. */
    bool rescans;
    uint32_t hint_count, hint_bytes; /* Bounds of the walk under way. */
};

/* OPTIONS are those of the shard: RET_OPTIONS of store NUMBER of the directory's COUNT, the next of
 * STORAGE, which is zeroed at first, calls back through STORAGE where there are several. */
void storage_options(struct storage *storage, const struct store_options *options, uint32_t number,
                     uint32_t directory, bool several, struct store_options *ret_options);
/* The store with those options, in the same order, at POSITION. */
void storage_add(struct storage *storage, struct store *store, uint64_t position);
void storage_done(struct storage *storage);

/* As the store's own. */
void storage_set_ranges(struct storage *storage, uint32_t range_bits, uint64_t hash_seed);
void storage_submit(struct storage *storage, const struct store_op *op);
void storage_expect(const struct storage *storage, uint64_t hash);
void storage_expect_next(const struct storage *storage, uint64_t hash);
void storage_flush(struct storage *storage);
void storage_poll(struct storage *storage, struct moment now);
uint64_t storage_wake_us(const struct storage *storage);
void storage_stop(struct storage *storage);
bool storage_stopped(const struct storage *storage);
/* The sum of them all. */
void storage_stats(const struct storage *storage, struct store_stats *ret_stats);
void storage_add_stats(struct store_stats *sum, const struct store_stats *part);
struct range_stat storage_range_stat(const struct storage *storage, uint32_t range);
/* The sum of all their synced positions: how far the logs of this node are, for its peers. */
uint64_t storage_logged(const struct storage *storage);

#endif
