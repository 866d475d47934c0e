/* Which shards of a node a message is for (docs/decisions/0036): each shard has an equal part
 * of the ring, an answer goes to the shard that its question's id names, and what is about no range
 * to the first. */
#ifndef ROUTE_H
#define ROUTE_H

#include "core/message.h"

/* A bit for each of SHARDS, a power of two, where there are 2^RANGE_BITS ranges (0: the node has
 * not joined). Of messages that stay inside their sender says it. */
uint32_t route_message(const struct message *message, uint32_t range_bits, uint32_t shards);

#endif
