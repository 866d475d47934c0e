/* Connections between peers: links out (link.h), inlets in, and the prelude that names both ends.
 *
 * A frame that is corrupt, a stranger, another cluster's node: the connection is closed with a line
 * in the log. Bounds: output of each link, the number of inlets, the time until a prelude. */
#ifndef PEERS_H
#define PEERS_H

#include "base/map.h"
#include "shell/engine.h"
#include "shell/link.h"

enum { INLETS_MAX = 8192, INLET_PRELUDE_MS = 5000, PEERS_AHEAD = 2 };

struct inlet;

struct peers_counters {
    uint64_t messages_in, messages_out;
    uint64_t dropped;      /* Not sent: queue full, peer backing off, too large. */
    uint64_t repair_bytes; /* Sent to compare replicas. */
    uint64_t dials, dials_failed;
    uint64_t corrupt; /* Connections closed for what came over them. */
};

/* A connection that another node's shard dialled, for a shard of this one. */
struct peers_arrival {
    int fd;
    struct prelude prelude;
    struct buf bytes; /* Owned. What came behind the prelude. */
};

/* A message between being decoded and being stepped. */
struct peers_arrived {
    struct message message;
    struct slice payload; /* Borrowed from the frames of its inlet. */
    struct arena arena;   /* What else the message points to. */
    uint64_t hash;        /* Of its key, which is expected; 0: it has none. */
};

struct peers {
    struct conns *conns;   /* Borrowed. */
    struct engine *engine; /* Borrowed. */
    uv_tcp_t listener;
    bool listening;
    bool closed;
    struct link *links;    /* Owned. */
    struct map by_id;      /* id.lo -> struct link */
    struct map by_address; /* hash of the address -> struct link */
    struct inlet *inlets;  /* Owned; doubly linked. */
    uint32_t inlets_count;
    struct peers_arrived arrived[PEERS_AHEAD + 1]; /* Used while frames are taken. */
    struct peers_counters counters;
    struct logger_limit complaints;
    /* Give CONN, with what came over it, to the shard that it is for, and fill in the descriptor;
     * false: it is this one. ARRIVAL's bytes are moved. NULL: there is no other shard. */
    bool (*place)(void *arg, const struct conn *conn, struct peers_arrival *arrival);
    void *place_arg;
};

void peers_init(struct peers *peers, struct conns *conns, struct engine *engine);
/* Accept on FD, a bound socket. 0 or a UV_ code. */
int peers_listen(struct peers *peers, int fd) CHECK_RESULT;
/* Go on with a connection that the first shard has accepted. */
void peers_adopt(struct peers *peers, struct peers_arrival *arrival);
/* The `send` hook of the engine. */
void peers_send(struct peers *peers, struct node_id to, struct slice address,
                const struct message *message);
/* Timeouts: about once a second. */
void peers_second(struct peers *peers, uint64_t now_us);
/* Close all. The memory goes with peers_done, once the loop has run the closing callbacks. */
void peers_close(struct peers *peers);
void peers_done(struct peers *peers);

/* For links: this node's prelude; the other end's is checked the same way for both directions. */
void peers_prelude(const struct peers *peers, struct buf *out);
/* NULL when the prelude is acceptable, else what is wrong with it. */
const char *peers_objection(const struct peers *peers, const struct prelude *prelude);
/* A link without id has learnt it. */
void peers_learn(struct peers *peers, struct link *link, struct node_id id);

#endif
