/* State of an exchange: shared by the files of the repair machine, and by nobody else. */
#ifndef REPAIR_STATE_H
#define REPAIR_STATE_H

#include "core/repair.h"

/* What a store operation is for. */
enum repair_wait_kind {
    WAIT_ROOT = 1,
    WAIT_NODES,
    WAIT_CHILDREN,
    WAIT_OBJECTS,
    WAIT_MERGED,
    WAIT_OWN
};

struct repair_wait {
    enum repair_wait_kind kind;
    struct range_epoch range;
    struct node_id peer;
    uint32_t bits;
    uint32_t leaf_bits;
    uint64_t to;
    struct buf nodes; /* Owned. Array of struct tree_node. */
    bool reply;
};

struct repair_wait *repair_wait_add(struct repairs *repairs, enum repair_wait_kind kind,
                                    const struct range_epoch *range, struct node_id peer,
                                    uint64_t *ret_token);

/* Ask the store for the digests of COUNT nodes at depth BITS. */
void repair_ask_tree(struct core *core, uint64_t token, const uint64_t *prefixes, uint32_t count,
                     uint32_t bits);
/* The comparison of RANGE with PEER is over; AGAIN: has come as far as one page goes. */
void repair_finish(struct repairs *repairs, struct core *core, uint32_t range, struct node_id peer,
                   bool again);

/* repair_exchange.c */
void repair_exchange_compare(struct repairs *repairs, struct core *core, struct node_id from,
                             const struct message *message);
void repair_exchange_objects(struct repairs *repairs, struct core *core, struct node_id from,
                             const struct message *message);
void repair_exchange_stored(struct repairs *repairs, struct core *core, struct repair_wait *wait,
                            const struct store_done *done);

#endif
