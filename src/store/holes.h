/* Holes: intervals of hashes of which this node does not know what it has.
 *
 * A bit of a key of the engine flips: then nobody can tell whose the record was, and the key that
 * it had is missing. What is known is that it lay between the nearest records whose keys are whole.
 * That interval, cut into ranges, is a hole: a key in it that is in no memtable and not found in
 * the engine is UNREADABLE, until as many other slots as for a damaged key (damage.h) were asked
 * for all keys of the interval. What is written to a key in it is kept, and lacks its past like
 * what is written over a damaged record.
 *
 * Noticing. A look-up that finds nothing looks at the checksums of the two records between which
 * the key would lie. That is enough even where a flipped bit has put keys out of order (disk.h,
 * disk_around), but what is beside such a key may have been missed: then it is looked for record by
 * record. Walks and the scrub look at each record they pass, and at the one before the first.
 *
 * A damaged record does no more than lie in the way once the hole has a durable mark: it is taken
 * out of the engine then, and until it is no checkpoint writes there. What a transaction itself
 * finds damaged in the pages that it is to write to is noted and taken out before that is tried
 * again. So what lies beside a damaged record lay there when it was damaged, and not between it and
 * the place of the key that it had.
 *
 * After a crash: a mark is restored with all others; a damaged record that is still there is noted
 * again, as what it is already known for. A hole without a durable mark still has its record. */
#ifndef HOLES_H
#define HOLES_H

#include "base/arena.h"
#include "base/buf.h"
#include "store/disk.h"

enum {
    HOLES_MAX = 256,    /* Known at a time. What is found beyond is found again later. */
    HOLE_LOST_MAX = 16, /* Records of one. */
    HOLES_ROTTEN_MAX = 256,
};

struct hole {
    uint64_t from, to; /* Hashes. Of one range. */
    uint64_t number;   /* Of its last loss, as of damaged keys. */
    bool dirty;        /* The mark is to be set, */
    bool marked;       /* and there is one already under this hash. */
    uint64_t marked_from;
    uint32_t told; /* How often the host heard of it; */
    uint64_t tell_us;
    uint64_t rest_us;
    uint64_t lost[HOLE_LOST_MAX]; /* Names of the keys that its records have now. */
    uint32_t lost_count;
};

/* A damaged record that is to go from the engine. */
struct rotten {
    struct buf key;    /* Owned. */
    struct buf near;   /* Owned. The good key before it; empty: it was the first. */
    uint64_t position; /* Of the mark that has to be synced before; 0: not set yet. */
};

struct holes {
    struct hole *items; /* Owned. By hash. */
    uint32_t count;
    struct rotten *rotten; /* Owned. */
    uint32_t rotten_count;
    uint64_t *erase; /* Owned. Marks to go, by hash: of holes that became one with others. */
    uint32_t erase_count;
    bool applying; /* A transaction that takes the first `going` of them out. */
    uint32_t going;
    struct disk_item *apply; /* Owned, of that transaction. */
    uint64_t retry_us;
    uint64_t noted;    /* Changes each time a hole is noted, */
    uint64_t overflow; /* and each time one was not for want of room. */
    uint64_t found;    /* Records, in all. */
    uint64_t healed;   /* Holes that were filled in. */
};

struct store;
struct store_op;

/* A record of the engine, looked at. */
struct engine_record {
    struct slice key, value;
    struct slice path, object; /* As of engine_parse. */
    bool bad;                  /* Its checksum is wrong, */
    bool lost;                 /* and nobody can tell whose it is. */
};

void holes_done(struct holes *holes);
/* As disk_seek and disk_next in the engine's objects, past records that are lost, whose holes are
 * noted, and right whatever is out of order. DISK_COLD is noted for who waits but of KEY itself. */
int holes_seek(struct store *store, struct slice key,
               struct engine_record *ret_record) CHECK_RESULT;
int holes_next(struct store *store, struct engine_record *ret_record) CHECK_RESULT;
/* A disk_get of KEY has found nothing. 0: it is there all the same; ERR_NOT_FOUND; DISK_COLD,
 * noted; ERR_IO. */
int holes_missed(struct store *store, struct slice key, struct slice *ret_value) CHECK_RESULT;
/* The records about KEY are not in order: note the holes. 0, ERR_NOT_FOUND if there is none,
 * ERR_IO. */
int holes_look(struct store *store, struct slice key) CHECK_RESULT;

/* The hole that HASH lies in, NULL if in none. */
struct hole *holes_at(const struct store *store, uint64_t hash);
/* The first hash from FROM to TO that lies in a hole. */
bool holes_first(const struct store *store, uint64_t from, uint64_t to, uint64_t *ret_hash);
/* How many of them have to do with hashes from FROM to TO. */
uint32_t holes_count(const struct store *store, uint64_t from, uint64_t to);

/* Every tick: set marks, take damaged records out. */
void holes_run(struct store *store);
/* That transaction has ended. */
void holes_take(struct store *store, const struct disk_event *event);
/* Does the checkpoint have to wait for that? */
static inline bool holes_hold(const struct holes *holes)
{
    return holes->rotten_count > 0 || holes->applying;
}
bool holes_settled(const struct holes *holes);
/* When holes_run wants to be called; UINT64_MAX for never. */
uint64_t holes_wake_us(const struct store *store);
/* Tell the host of holes; and when next. */
void holes_tell(struct store *store);
uint64_t holes_tell_us(const struct store *store);

/* RANGE is dropped. */
void holes_forget(struct store *store, uint32_t range);
/* A mark was set or taken away, by replay or from the engine. 0 or ERR_CORRUPT. */
int holes_restore(struct store *store, struct slice key, struct slice value) CHECK_RESULT;
/* STORE_WHOLE. */
void holes_whole(struct store *store, const struct store_op *op);

/* For the files of holes. */
/* Before damaged records are taken out: write once more what only the frozen memtable has of what
 * was lost. */
void holes_keep(struct store *store);
void holes_insert(struct holes *holes, const struct hole *hole);
void holes_remove(struct holes *holes, struct hole *hole);

#endif
