/* Anti-entropy: the replicas of a range compare hash trees, from the range down to leaves, and
 * exchange what differs (Demers et al. 1987; Dynamo section 4.7).
 *
 * The reader of a range's lowest slot compares with each other reader: soon where writes are known
 * to be missing (a peer came back, an acknowledgement did not come), else in a slow round over all
 * ranges. Each message says all that its answer needs, so a lost one costs a comparison and a
 * repeated one merges what is merged already. At equal epochs only, and where both trees stand at
 * one horizon: in the middle of a collection a replica compares with nobody.
 *
 *   COMPARE   nodes with digests -> COMPARE with the children of those that differ, and so on;
 *             a COMPARE without nodes says that all was equal
 *   OBJECTS   what is in the leaves that differ -> merged; OBJECTS (reply) brings what was lacking
 */
#ifndef REPAIR_H
#define REPAIR_H

#include "base/map.h"
#include "core/core.h"

enum { COMPARING_MAX = 4 };

/* A range that is being compared. */
struct comparing {
    struct node_id peer; /* None: free. */
    uint32_t range;
    uint64_t touched_us;
    uint32_t rounds; /* Pages exchanged so far. */
};

struct repairs {
    uint8_t
        *dirty; /* Owned; by range: bits by slot number, to be compared soon. NULL until started. */
    uint32_t dirty_count; /* Ranges with any bit set. */
    uint32_t dirty_cursor;
    uint32_t cursor; /* Of the slow round: range, */
    uint8_t slot;    /* and slot number. */
    uint64_t slow_at_us;
    struct comparing comparing[COMPARING_MAX];
    struct map waits; /* token value -> struct repair_wait. Owned. */
    uint64_t waits_next;
    struct timer timer;
};

void repairs_init(struct repairs *repairs);
void repairs_done(struct repairs *repairs, struct core *core);
void repairs_start(struct repairs *repairs, struct core *core);
/* Takes COMPARE and OBJECTS. */
void repairs_message(struct repairs *repairs, struct core *core, struct node_id from,
                     const struct message *message);
void repairs_stored(struct repairs *repairs, struct core *core, const struct store_done *done);
/* A slot of RANGE is known to lack something: compare soon, if this node does the comparing. */
void repairs_dirty(struct repairs *repairs, struct core *core, uint32_t range);
/* NODE is back: it lacks what was written meanwhile. */
void repairs_peer_up(struct repairs *repairs, struct core *core, struct node_id node);

#endif
