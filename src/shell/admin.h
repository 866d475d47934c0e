/* The methods of the client port that show and change the cluster (docs/protocol.md, "Cluster").
 *
 * What is shown is read from the node's tables between steps. What is changed becomes one command
 * for the core, whose answer the session passes on. */
#ifndef ADMIN_H
#define ADMIN_H

#include "core/node.h"
#include "shell/storage.h"

/* What the methods look at; all borrowed. */
struct view;

struct admin {
    const struct node *node;
    const struct store *store;
    const struct storage *storage; /* Where this shard has several stores, else NULL. */
    struct view *const *views;     /* Of the node's other shards, */
    uint32_t views_count;          /* so many; see admin_views.c. */
    struct slice version;
    bool insecure; /* Listens beyond loopback without TLS. */
    uint64_t started_us;
    uint64_t now_us;
    uint64_t wall_ms;
    uint64_t p50_us, p99_us; /* Of requests in the last second. */
    uint64_t loop_stall_us_max;
    uint32_t ops_per_s, cpu_permille, connections;
    uint64_t rss_bytes;
};

enum admin_outcome {
    ADMIN_UNKNOWN = 1, /* No such method: not a cluster method. */
    ADMIN_DONE,        /* `error` and `text`, or `result`, is the answer. */
    ADMIN_COMMAND,     /* Step `command`; on success `result` is the answer. */
    ADMIN_VERIFY, /* Submit STORE_VERIFY for ranges `verify_first`..`verify_last` that this node
                   * reads; the session encodes the answer with admin_verified. */
    ADMIN_STOP,   /* Drain and stop the process; `result` is the answer. */
};

struct admin_reply {
    enum admin_outcome outcome;
    int error;
    struct buf text;        /* Owned. Detail of an error. */
    struct buf result;      /* Owned. A MessagePack map. */
    struct command command; /* Its slices point into `memory`. */
    struct buf memory;      /* Owned. */
    uint32_t verify_first, verify_last;
};

/* METHOD with its MessagePack map PARAMS (scanned: rpc.h). Never fails: errors are answers. */
void admin_call(const struct admin *admin, struct slice method, struct slice params,
                struct admin_reply *ret_reply);
void admin_reply_done(struct admin_reply *reply);

/* One verified range of an ADMIN_VERIFY answer. */
struct admin_range {
    uint32_t range;
    int error;
    struct store_verified verified;
};
void admin_verified(const struct admin *admin, const struct admin_range *ranges, uint32_t count,
                    struct buf *ret_result);

#endif
