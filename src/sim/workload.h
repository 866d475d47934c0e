/* Clients: each asks one thing at a time of any node, remembers what it saw of each key, and writes
 * with that context or blind. Keys lie in the world's hot ranges. */
#ifndef SIM_WORKLOAD_H
#define SIM_WORKLOAD_H

#include "data/object.h"
#include "sim/world.h"

struct workload *workload_new(struct world *world);
void workload_free(struct workload *workload);
/* Let the clients begin. */
void workload_start(struct world *world);
/* Each operation that was asked for has been answered or given up, */
bool workload_rests(const struct world *world);
/* and there are no more to ask for. */
bool workload_idle(const struct world *world);
bool workload_issued(const struct world *world);
/* Ask for no more; what is open may still be answered. */
/* Go on after workload_stop. */
void workload_resume(struct world *world);
/* Has half of what there is to ask been asked? */
bool workload_half_issued(const struct world *world);
void workload_stop(struct world *world);
/* What is open. */
void workload_describe(const struct world *world, struct buf *out);

/* The hot ranges: where the keys lie. */
uint32_t workload_range(const struct world *world, uint32_t index);
struct slice workload_key(const struct world *world, enum policy policy, uint32_t key);
struct ledger *workload_ledger(const struct world *world);

#endif
