/* The replica side of requests: takes WRITE, READ and SCAN of coordinators for the slots that this
 * node holds, by the installed record alone.
 *
 * A crash before the acknowledgement leaves the coordinator without one; a repeated WRITE merges to
 * the same object and is acknowledged again; a lost acknowledgement is asked for by repeating the
 * WRITE. */
#ifndef REPLICA_H
#define REPLICA_H

#include "base/map.h"
#include "core/core.h"

struct replica {
    struct map pendings; /* token value -> struct replica_pending. Owned. */
    uint64_t pendings_next;
    struct replica_pending *spares; /* Ended ones, kept for the next. */
    uint32_t spares_count;
};

void replica_init(struct replica *replica);
void replica_done(struct replica *replica);
void replica_message(struct replica *replica, struct core *core, struct node_id from,
                     const struct message *message);
void replica_stored(struct replica *replica, struct core *core, const struct store_done *done);
void replica_durable(struct replica *replica, struct core *core, uint64_t token);

#endif
