/* The coordinator: runs each client's request against the slots of its range (docs/protocol.md,
 * "Requests").
 *
 * What faults do here:
 * - a crash of this node: a put it may have sent is of unknown outcome to the client, nothing else;
 * - a lost message: unacknowledged writers are asked again at the retry interval, readers likewise,
 * until the deadline; a forwarded put is never sent twice;
 * - a repeated message: acknowledgements are kept as bits by slot and writer, so it counts once;
 * - a newer record: the same version goes to all its slots, and counting starts from zero. */
#ifndef COORD_H
#define COORD_H

#include "base/map.h"
#include "core/core.h"
#include "core/recent.h"

struct coord_op;

struct coord {
    struct recent recent;    /* Named puts, coordinated here. */
    struct recent forwarded; /* Puts taken over from entry nodes, by node and message. */
    struct map ops;          /* id -> struct coord_op. Owned. */
    struct coord_op *newest; /* List of all, newest first. */
    struct coord_op *freed;  /* List of what coord_sweep frees, */
    struct coord_op *spares; /* and of what it kept for the next ones. */
    uint32_t spares_count;
    uint64_t ids_next; /* The low bits of each name the shard, */
    uint64_t ids_step; /* so they rise by as many as there are. */
    uint64_t counter;  /* Of dots: every dot of this node has a higher one than those before. */
    uint32_t active;   /* Not answered yet. */
    uint32_t active_max;
    size_t bytes; /* Held by operations. */
    bool draining;
};

void coord_init(struct coord *coord, uint32_t active_max, const struct core *core);
void coord_done(struct coord *coord, struct core *core);

/* Free what ended in earlier steps: effects may have borrowed from it. */
void coord_sweep(struct coord *coord);

/* A request of a client of this node: answered by a reply to CLIENT. */
void coord_request(struct coord *coord, struct core *core, uint64_t client,
                   const struct request *request);
/* FORWARD, ANSWER, REPLY. */
void coord_message(struct coord *coord, struct core *core, struct node_id from,
                   const struct message *message);
void coord_stored(struct coord *coord, struct core *core, const struct store_done *done);
void coord_durable(struct coord *coord, struct core *core, uint64_t token);
/* The ring has a newer record of RANGE. */
void coord_record(struct coord *coord, struct core *core, uint32_t range);
/* The record of a key is damaged here: fetch what was lost, in the loss of that NUMBER, from the
 * other slots. */
void coord_damaged(struct coord *coord, struct core *core, struct slice bucket, struct slice key,
                   uint64_t number);
/* This node does not know what it has between hashes FROM and TO of one range, since the loss of
 * that NUMBER: fetch it from the other slots. */
void coord_hole(struct coord *coord, struct core *core, uint64_t from, uint64_t to,
                uint64_t number);
/* This node's hint of a key is damaged: once all owners of the key have the same, forget it. */
void coord_hint_damaged(struct coord *coord, struct core *core, struct slice bucket,
                        struct slice key);
/* After SIGNAL_UNREADABLE: this node writes to RANGE under a new tenure. */
void coord_renewed(struct coord *coord, struct core *core, uint32_t range);
/* NODE is down, or the connection to it broke. */
void coord_peer_lost(struct coord *coord, struct core *core, struct node_id node);

#endif
