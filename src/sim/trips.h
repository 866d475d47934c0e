/* Faults that a message sets off: the sender is cut off, or dies, or is told to leave, just as it
 * speaks.
 *
 * What must hold at one step of the protocol is tried by a fault at that step, not by one at a
 * random time. A world has up to TRIPS_MAX trips (options.h); each waits for one kind of message,
 * perhaps only soon after another kind from the same node. */
#ifndef SIM_TRIPS_H
#define SIM_TRIPS_H

#include "sim/world.h"

struct trips *trips_new(struct world *world);
void trips_free(struct trips *trips);
void trips_start(struct world *world);

/* What befalls a node as it sends. */
enum tripped {
    TRIPPED_NOT,
    TRIPPED_CRASH, /* It dies; MESSAGE may still leave. */
    TRIPPED_POWER, /* The same, with its power. */
};
/* HOST sends MESSAGE. RET_LOST: it never leaves. */
enum tripped trips_at(struct world *world, uint32_t host, const struct message *message,
                      bool *ret_lost);

#endif
