/* Anti-entropy: the replicas of a range compare hash trees, from the range down to leaves, then key
 * by key, and exchange what differs (Demers et al. 1987; Dynamo section 4.7).
 *
 * The reader of a range's lowest slot whose reader is up compares with each other reader: soon
 * where writes are known to be missing (a peer came back, an acknowledgement did not come), else in
 * a slow round over all ranges. Whoever knows of a missing write and does not compare itself tells
 * the one that does. Each message says all that its answer needs, so a lost one costs a comparison
 * and a repeated one merges what is merged already. At equal epochs only, and where both trees
 * stand at one horizon: in the middle of a collection a replica compares with nobody.
 *
 *   ROOTS     a digest for each of many ranges -> ROOTS with those that differ; or: ranges of which
 *             the sender knows that a write is missing
 *   COMPARE   nodes with digests -> COMPARE with the children of those that differ, and so on;
 *             a COMPARE without nodes says that all was equal
 *   LEAVES    the digest of each key in the leaves that differ -> OBJECTS with what the other side
 *             lacks of them, and which it wants -> merged; OBJECTS (reply) brings those
 *
 * What faults do: a ROOTS, or its answer, that is lost: its ranges are dirty again after a while;
 * one that is repeated belongs to no batch any more. Of the other messages a lost one ends the
 * comparison, and the range is dirty again. A crash forgets what was dirty: a node that starts
 * compares all its ranges, and others compare with it.
 *
 * How fast: a batch, a comparison, or its next page, begins when what the ones before moved is paid
 * for at the rate that clients' requests bear (pace.h). What a node merely answers is on the
 * account of the one that compares. */
#ifndef REPAIR_H
#define REPAIR_H

#include "base/map.h"
#include "core/core.h"

enum { COMPARING_MAX = 4, ROOTS_MAX = 256, BATCHES_MAX = 2 };

/* A comparison of one bucket's keys alone. Other keys may go on to differ, so the tree does not
 * tell how far it has come: it walks through each range from the lowest hash to the highest. */
struct repair_walk {
    uint64_t id; /* 0: none, all keys are compared. */
    uint8_t bucket[BUCKET_SIZE_MAX];
    uint8_t bucket_size;
};

/* A range that is being compared. */
struct comparing {
    struct node_id peer; /* None: free. */
    uint32_t range;
    uint64_t touched_us;
    uint32_t rounds; /* Pages exchanged so far. */
    bool paused;     /* Its next page waits for the pace. */
    bool walks;      /* Through the bucket of `walk`, */
    uint64_t from;   /* of which all below this hash is equal. */
};

/* Ranges whose digests were sent to a peer. */
struct repair_batch {
    uint64_t id; /* 0: free. */
    struct node_id peer;
    uint64_t sent_us;
    uint32_t ranges[ROOTS_MAX];
    uint32_t count;
};

/* Slots of ranges. */
struct repair_set {
    uint8_t *bits;   /* Owned; by range: bits by slot number. NULL until started. */
    uint32_t count;  /* Ranges with any bit set. */
    uint32_t cursor; /* Where looks go on. */
};

struct repairs {
    struct repair_set dirty;   /* To be compared soon. */
    struct repair_set differs; /* Their digest is another than ours: level by level. */
    struct repair_set asked;   /* An administrator waits for them to be found equal, */
    struct repair_set walked;  /* or only the keys of one bucket: */
    struct repair_walk walk;   /* this one. */
    struct repair_set told;    /* Any bit: whoever compares the range is to be told. */
    uint32_t slow_cursor;      /* Of the slow round: range. */
    uint64_t slow_at_us;
    struct comparing comparing[COMPARING_MAX];
    struct repair_batch batches[BATCHES_MAX];
    uint64_t batches_next;
    uint64_t walks_next;
    struct map waits; /* token value -> struct repair_wait. Owned. */
    uint64_t waits_next;
    struct timer timer;
};

void repairs_init(struct repairs *repairs, const struct core *core);
void repairs_done(struct repairs *repairs, struct core *core);
void repairs_start(struct repairs *repairs, struct core *core);
/* Takes ROOTS, COMPARE, LEAVES and OBJECTS. */
void repairs_message(struct repairs *repairs, struct core *core, struct node_id from,
                     const struct message *message);
void repairs_stored(struct repairs *repairs, struct core *core, const struct store_done *done);
/* A slot of RANGE is known to lack something: compare soon, or tell the node that does. */
void repairs_dirty(struct repairs *repairs, struct core *core, uint32_t range);
/* NODE is back: it lacks what was written meanwhile. */
void repairs_peer_up(struct repairs *repairs, struct core *core, struct node_id node);

/* Ranges to be compared soon, or being compared. */
uint32_t repairs_left(const struct repairs *repairs);
/* Compare what CHOICE names and this node is to compare. One bucket at a time: another one takes
 * the place of the one before, and what is left of that is forgotten. */
void repairs_ask(struct repairs *repairs, struct core *core, const struct repair_choice *choice);
/* How many comparisons that would be. */
uint32_t repairs_count(const struct repairs *repairs, const struct core *core,
                       const struct repair_choice *choice);
/* How many of those that were asked for were not found equal yet, and of these with a node that is
 * down. */
void repairs_asked(const struct repairs *repairs, const struct core *core, uint32_t *ret_left,
                   uint32_t *ret_unreachable);
/* The bucket of which some were asked for alone; empty if there are none of these left. */
struct slice repairs_bucket(const struct repairs *repairs);

#endif
