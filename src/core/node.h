/* One node: all state machines of the core behind one step function. This is what hosts use.
 *
 * The host opens the store, reads its meta entries into node_new, and from then on turns whatever
 * happens into node_step calls on one thread. Between steps it may read the tables that the
 * accessors return. */
#ifndef NODE_H
#define NODE_H

#include "core/core.h"
#include "data/plan.h"

struct node;

/* What a host says about itself. Strings are copied. */
struct node_options {
    struct node_id self; /* As stored in META_NODE, or fresh random bits for a new directory. */
    struct slice name;
    struct slice zone;
    struct slice peer; /* Advertised host:port of each listener. */
    struct slice client;
    struct slice http;
    uint32_t capacity;
    const struct slice *seeds; /* Peer addresses, host:port. */
    uint32_t seeds_count;
    bool create;            /* Found `cluster` (its id drawn by the host) on a new directory. */
    struct cluster cluster; /* With create. */
    struct timing timing;
    uint64_t seed;         /* Of the core's randomness. */
    uint64_t requests_max; /* In flight at this node; REQUESTS_MAX by default. */
    uint64_t hints_max;    /* Bytes of hints kept for other nodes; 0: none are taken. */
    uint8_t shard;         /* Which one of the node's shards this is to be, */
    uint8_t shards;        /* a power of two; 0: it is all of the node. */
    /* What recovery found: the cells of all stores of the node, positions of this shard's. */
    const struct meta *metas;
    uint32_t metas_count;
    uint64_t found; /* Last log position of the lives before this one; of shard 0: of all logs, */
    uint64_t position; /* and the last durable one now. */
    bool clean;        /* The last stop was clean and all of the log was there. */
};

/* The first step's effects, among them the durable write of the new generation, are in OUT: carry
 * them out as after a step. 0, or ERR_CORRUPT for a meta entry that does not decode. */
int node_new(const struct node_options *options, struct moment now, struct effects *out,
             struct node **ret_node) CHECK_RESULT;
void node_free(struct node *node);

/* Who a directory's recovered metas say it is: 0, ERR_NOT_FOUND for a new directory, ERR_CORRUPT.
 * RET_CLUSTER's id is none while the node has not joined; its name borrows from METAS. */
int node_identity(const struct meta *metas, uint32_t count, struct node_id *ret_self,
                  struct cluster *ret_cluster) CHECK_RESULT;

/* Take one event; append what is to be done to OUT (which the caller reset). */
void node_step(struct node *node, struct moment now, const struct event *event,
               struct effects *out);
/* When EVENT_TIMER is due next, in the host's monotonic microseconds; UINT64_MAX for never. */
uint64_t node_wake_us(const struct node *node);

/* The mark of a clean stop: append the store operations that record it. Call after COMMAND_DRAIN
 * was answered; nothing may be stepped afterwards but EVENT_STORE and EVENT_DURABLE. */
void node_stop(struct node *node, struct moment now, struct effects *out);

/* Walk all invariants; aborts on a broken one. For the simulator and tests. */
void node_check(const struct node *node);

/* Read-only views for status pages, valid until the next step. */
const struct core *node_core(const struct node *node);

enum node_state {
    NODE_STARTING = 0, /* The generation is not durable yet. */
    NODE_JOINING,      /* No seed has answered yet. */
    NODE_SYNCING,      /* Member; some ranges wait for a majority's welcome. */
    NODE_READY,
    NODE_DRAINING,
    NODE_HALTED,
};

struct peer_status {
    struct node_id id;
    bool up;
    double phi;
    uint64_t heard_us;   /* Monotonic time of the last message, 0 never. */
    uint64_t since_us;   /* When it went up or down. */
    uint64_t generation; /* Its life, and how far its log was synced, as it said last: */
    uint64_t position;   /* what it must not fall behind. */
    struct load load;    /* Newest known; generation 0 if none. */
};

/* A transfer as this node sees it, in one of its three parts. */
enum transfer_role { TRANSFER_DRIVER = 1, TRANSFER_SOURCE, TRANSFER_TARGET, TRANSFER_CLEANUP };

struct transfer_status {
    enum transfer_role role;
    uint64_t id;
    uint32_t range;
    uint8_t slot;
    enum stage stage;
    struct node_id from;
    struct node_id to;
    uint64_t keys;
    uint64_t bytes;
    uint64_t since_us;
    struct slice note; /* What it waits for, or the last error. */
};

/* The hints that this node keeps for one slot, and what holds them. */
enum hint_hold {
    HINT_MOVES = 1, /* Nothing: they are on their way, or next. */
    HINT_COUNTED,   /* The node has just started and counts what it has. */
    HINT_STOPS,     /* The node is stopping: it keeps them. */
    HINT_NO_WRITER, /* The slot has none, or is being rebuilt. */
    HINT_DOWN,      /* `node` is down. */
    HINT_REFUSED,   /* The last try ended with `error`. */
};
struct hint_target {
    uint32_t range;
    uint8_t slot;
    uint64_t keys;
    uint64_t bytes;
    uint64_t oldest; /* HLC, or a lower one. */
    enum hint_hold hold;
    struct node_id node;
    int error;
};

/* Comparing replicas, as far as this node does it, and how fast it and other work in the background
 * may go now (pace.h). */
struct repair_status {
    uint32_t dirty_ranges; /* To be compared soon, or being compared. */
    uint32_t asked;        /* Comparisons that COMMAND_REPAIR asked for, not found equal yet; */
    uint32_t unreachable;  /* of these, with a node that is down. */
    struct slice bucket;   /* Of some only this one's keys; empty: of none. */
    uint64_t rate;         /* Bytes a second, */
    uint64_t move_rate;    /* and of moves, where their plan has none. */
    uint64_t p99_us;       /* Of requests, when last looked at; 0: there were too few. */
    uint64_t limit_us;     /* Past this it goes slower; 0: not known. */
    uint64_t bytes;        /* In all. */
    uint64_t slowed;       /* How often requests took too long. */
};

enum node_state node_state(const struct node *node);
/* Fill RET, most ranges first come first; returns how many there are, which may be more than CAP.
 */
uint32_t node_hints(const struct node *node, struct hint_target *ret, uint32_t cap);
/* Fill RET with every known peer but self, by id; returns how many (at most CAP). */
uint32_t node_peers(const struct node *node, struct peer_status *ret, uint32_t cap);
uint32_t node_transfers(const struct node *node, struct transfer_status *ret, uint32_t cap);
const struct node_counters *node_counters(const struct node *node);
/* Do nodes that were removed go on beside this cluster, and have removed this node in turn? The id
 * of one of them. */
bool node_has_rift(const struct node *node, struct node_id *ret_node);
void node_repair(const struct node *node, struct repair_status *ret_status);
/* How many comparisons COMMAND_REPAIR of that choice would begin at this node. */
uint32_t node_repair_preview(const struct node *node, const struct repair_choice *choice);
/* May the range be served and voted on here? */
bool node_range_ready(const struct node *node, uint32_t range);
/* This node's own load as gossiped; the host sets it about once a second. What it says of hints is
 * filled in here. */
void node_set_load(struct node *node, const struct load *load);

#endif
