/* Consistent-hash ring: which nodes hold which slots of which range.
 *
 * Pure data: no I/O, clock, randomness or logging. Two rings that merged the same records, in any
 * order, answer every query alike; routing across nodes and replay in the simulator rest on this.
 *
 * Costs: merge O(1), prefer O(members) plus the fallbacks asked for. */
#ifndef RING_H
#define RING_H

#include "base/bytes.h"
#include "base/limits.h"
#include "data/id.h"

/* What a slot's two nodes may do (protocol.md, "Stages of a slot"). */
enum stage {
    STAGE_STABLE = 0, /* owner reads and writes */
    STAGE_JOINT,      /* owner reads, owner + target write */
    STAGE_CUT,        /* target reads, owner + target write */
    STAGE_BACK,       /* owner reads, owner + target write */
    STAGE_LEARN,      /* nobody reads, target writes; not counted */
    STAGE_FENCE,      /* nobody reads or writes */
    STAGE_REBUILD,    /* nobody reads, target writes */
};
enum { STAGE_COUNT = STAGE_REBUILD + 1 };

struct slot {
    uint8_t number; /* 0..SLOTS_MAX-1; stays for the life of the slot. */
    enum stage stage;
    struct node_id owner;  /* None in LEARN; the lost one in FENCE and REBUILD. */
    struct node_id target; /* None in STABLE and FENCE. */
};

/* The replica set of one range: record e+1 is chosen by a majority of record e's voters. */
struct range_record {
    uint32_t range;
    uint32_t fork;     /* Raised by hand only, after a loss was accepted. */
    uint64_t nonce;    /* Of the fork; 0 for fork 0. */
    uint64_t epoch;    /* Grows by one with each chosen record; 0 is "no record". */
    uint64_t transfer; /* Id of the transfer on its way, 0 for none. */
    uint8_t slots_count;
    uint8_t former_count;
    struct slot slots[SLOTS_MAX];      /* Rising numbers. */
    struct node_id former[FORMER_MAX]; /* Nodes whose clean-up is open. */
};

const char *stage_name(enum stage stage);
/* The node that answers reads of the slot, NODE_NONE if nobody does. */
struct node_id slot_reader(const struct slot *slot);
/* The nodes that must take its writes, 0..2; returns how many. */
uint32_t slot_writers(const struct slot *slot, struct node_id ret_nodes[2]);

/* s: the slots that count (all but LEARN). */
uint32_t record_counted(const struct range_record *record);
/* q = s/2 + 1, and K = s - q + 1. */
uint32_t record_quorum(const struct range_record *record);
uint32_t record_fence_quorum(const struct range_record *record);
/* From how many other slots a new slot is filled, or one is rebuilt: s/2 + 1, which meet whatever
 * a quorum read meets (docs/decisions/0010, 0018). */
uint32_t record_sources(const struct range_record *record);
/* The slot with that number, or NULL. */
const struct slot *record_slot(const struct range_record *record, uint32_t number);
/* The slot that NODE reads, or NULL. */
const struct slot *record_slot_read_by(const struct range_record *record, struct node_id node);
/* The slot that NODE writes (as owner or target), or NULL. */
const struct slot *record_slot_written_by(const struct range_record *record, struct node_id node);
/* Owner or target of any slot. */
bool record_has_member(const struct range_record *record, struct node_id node);
bool record_has_former(const struct range_record *record, struct node_id node);
/* Every distinct owner and target, at most 2 * SLOTS_MAX; returns how many. */
uint32_t record_members(const struct range_record *record, struct node_id *ret_nodes);
/* The readers, lowest slot first: the voters. Returns how many. */
uint32_t record_voters(const struct range_record *record, struct node_id *ret_nodes);
/* The reader of the lowest slot that has one: driver and owner of ballot 0; NODE_NONE if none. */
struct node_id record_driver(const struct range_record *record);
/* Below, equal or above 0: higher fork, then lower nonce, then higher epoch is the newer. */
int record_compare(const struct range_record *a, const struct range_record *b);
bool record_equal(const struct range_record *a, const struct range_record *b);

/* Is RECORD well formed by itself: distinct nodes over its slots, known stages, counts in bounds?
 */
bool record_check(const struct range_record *record, uint32_t ranges);
/* May NEXT follow RECORD, as far as the two show (the stage table's shape, one slot at a time, one
 * epoch up)? Facts from outside, such as who installed what, are the proposer's to check. */
bool record_may_follow(const struct range_record *record, const struct range_record *next);

/* Changes to a record that is about to be proposed. There is room for one more former node. */
void record_add_former(struct range_record *record, struct node_id node);
/* No-op for a node that is not one. */
void record_remove_former(struct range_record *record, struct node_id node);
/* The slot with that number to be changed, or NULL. */
struct slot *record_slot_in(struct range_record *record, uint8_t number);
/* The slot with that number, which exists, goes. */
void record_drop_slot(struct range_record *record, uint8_t number);

void record_encode(const struct range_record *record, struct buf *out);
/* Untrusted input; sets reader->bad on anything that record_check refuses but the range's bound. */
void record_decode(struct reader *reader, struct range_record *ret_record);

enum { RING_BUCKETS = 64 };

struct ring {
    uint32_t bits;                 /* log2 of the number of ranges. */
    struct range_record *records;  /* Owned; by range; epoch 0 where nothing is known. */
    uint64_t hashes[RING_BUCKETS]; /* XOR of XXH3 of (range, fork, nonce, epoch) by range % 64. */
    uint64_t forks; /* XOR of XXH3 of (range, fork, nonce) over all ranges that were forked. */
};

void ring_init(struct ring *ring, uint32_t bits);
void ring_done(struct ring *ring);
static inline uint32_t ring_ranges(const struct ring *ring)
{
    return 1u << ring->bits;
}
static inline const struct range_record *ring_get(const struct ring *ring, uint32_t range)
{
    return &ring->records[range];
}
/* Merge one chosen record. Returns true if it was news, false if the ring had it or a later one. */
bool ring_merge(struct ring *ring, const struct range_record *record);

/* Write the readers of RANGE, lowest slot first, into RET_NODES, at most CAP; returns how many. */
uint32_t ring_readers(const struct ring *ring, uint32_t range, struct node_id *ret_nodes,
                      uint32_t cap);
/* How many slots NODE owns or is to own (as reader or target) over the whole ring. */
uint32_t ring_slots_of(const struct ring *ring, struct node_id node);

#endif
