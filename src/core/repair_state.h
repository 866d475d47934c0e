/* State of an exchange: shared by the files of the repair machine, and by nobody else. */
#ifndef REPAIR_STATE_H
#define REPAIR_STATE_H

#include "core/repair.h"

/* What a store operation is for. */
enum repair_wait_kind {
    WAIT_ROOTS = 1,    /* Digests of whole ranges, to be sent, */
    WAIT_ROOTS_ANSWER, /* or to be compared with those that came. */
    WAIT_ROOT,
    WAIT_NODES,
    WAIT_CHILDREN,
    WAIT_LEAVES, /* Our keys in leaves that differ, to be sent as digests, */
    WAIT_KEYS,   /* or to be compared with those that came. */
    WAIT_MERGED,
    WAIT_WANTED
};

struct repair_wait {
    enum repair_wait_kind kind;
    struct range_epoch range;
    struct node_id peer;
    uint64_t batch; /* ROOTS; */
    bool part;      /* other shards answer for the rest of it. */
    uint32_t bits;
    uint32_t leaf_bits;
    uint64_t from;      /* First and */
    uint64_t to;        /* last hash that is spoken of. */
    uint64_t read_from; /* The same of what is being read */
    uint64_t read_to;   /* of our keys. */
    struct repair_walk walk;
    struct buf nodes; /* Owned. Array of struct tree_node: nodes of the tree, */
    struct buf keys;  /* Owned. The same of keys: hashes and digests. */
    bool reply;
};

struct repair_wait *repair_wait_add(struct repairs *repairs, enum repair_wait_kind kind,
                                    const struct range_epoch *range, struct node_id peer,
                                    uint64_t *ret_token);
void repair_wait_free(struct repair_wait *wait);
/* Is our own store at work for it? */
bool repair_is_reading(const struct repairs *repairs, const struct comparing *comparing);
/* Ask the store for the digests of COUNT nodes at depth BITS. */
void repair_ask_tree(struct core *core, uint64_t token, const uint64_t *prefixes, uint32_t count,
                     uint32_t bits);

/* May this node and PEER compare RANGE, of which both read a slot, now? */
bool repair_shared(const struct core *core, uint32_t range, struct node_id peer);
/* In the middle of a collection a tree is compared with none. */
static inline bool repair_stands(const struct core *core, uint32_t range)
{
    return core->holdings[range].stands == core->holdings[range].horizon;
}
/* The reader of the lowest slot of RANGE whose reader is up, but for EXCEPT; none if this node is
 * not ready for it. */
struct node_id repair_comparer(const struct core *core, uint32_t range, struct node_id except);
static inline bool repair_is_comparer(const struct core *core, uint32_t range)
{
    return id_equal(repair_comparer(core, range, NODE_NONE), core->self);
}
/* The bit of the slot of RANGE that PEER reads, 0 if it reads none. */
uint8_t repair_bit_of(const struct core *core, uint32_t range, struct node_id peer);
/* Of RANGE, which this node is to compare, the slots of all other readers; 0 if it is not. */
uint8_t repair_others(const struct core *core, uint32_t range);

void repair_set_add(struct repair_set *set, uint32_t range, uint8_t bits);
void repair_set_remove(struct repair_set *set, uint32_t range, uint8_t bits);
/* No administrator waits for these slots of RANGE any more: they are equal, or not ours to compare.
 */
void repair_unask(struct repairs *repairs, uint32_t range, uint8_t bits);
/* Set the timer for what is to be done next. */
void repair_schedule(struct repairs *repairs, struct core *core);
/* The comparison of RANGE with PEER, or their WALK, is over: all is equal that it was about; */
void repair_finish(struct repairs *repairs, struct core *core, uint32_t range, struct node_id peer,
                   uint64_t walk);
/* or has come as far as one page goes: that of WAIT. */
void repair_turn(struct repairs *repairs, struct core *core, const struct repair_wait *wait);
/* What PEER had of RANGE is here now, and the other readers may lack it: they are compared (again).
 */
void repair_news(struct repairs *repairs, struct core *core, uint32_t range, struct node_id peer);
/* MESSAGE came from PEER, or goes there: of a comparison of ours it is on our account. */
void repair_charge(struct repairs *repairs, struct core *core, struct node_id peer,
                   const struct message *message);

/* repair_roots.c. Send digests of dirty ranges, and tell others of theirs, as far as the pace
 * allows. */
void repair_roots_look(struct repairs *repairs, struct core *core);
void repair_roots_message(struct repairs *repairs, struct core *core, struct node_id from,
                          const struct message *message);
void repair_roots_stored(struct repairs *repairs, struct core *core, const struct repair_wait *wait,
                         const struct store_done *done);

/* repair_exchange.c */
void repair_exchange_compare(struct repairs *repairs, struct core *core, struct node_id from,
                             const struct message *message);
void repair_exchange_leaves(struct repairs *repairs, struct core *core, struct node_id from,
                            const struct message *message);
void repair_exchange_objects(struct repairs *repairs, struct core *core, struct node_id from,
                             const struct message *message);
void repair_exchange_stored(struct repairs *repairs, struct core *core, struct repair_wait *wait,
                            const struct store_done *done);

static inline const struct tree_node *repair_nodes(const struct buf *nodes, uint32_t *ret_count)
{
    *ret_count = (uint32_t)(nodes->size / sizeof(struct tree_node));
    return (const struct tree_node *)(const void *)nodes->data;
}

#endif
