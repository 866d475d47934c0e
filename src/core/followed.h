/* What a shard other than the first goes by in place of a detector of its own: verdicts on peers,
 * which the first shard tells it, and how long peers took to answer this shard.
 *
 * Costs: a look O(log members). A crash forgets all; the first shard tells of all again. */
#ifndef FOLLOWED_H
#define FOLLOWED_H

#include "core/core.h"
#include "core/latency.h"

struct followed_peer;

struct followed {
    struct followed_peer **peers; /* Owned; sorted by id. */
    uint32_t count;
    uint32_t capacity;
};

void followed_done(struct followed *followed);
/* Answer for core->peer_is_up and its like. */
void followed_start(struct followed *followed, struct core *core);
/* The first shard holds NODE to be up, or not; FRESH: tell of it even if that is what was known. */
void followed_set(struct followed *followed, struct core *core, struct node_id node, bool up,
                  bool fresh);
void followed_forget(struct followed *followed, struct node_id node);

#endif
