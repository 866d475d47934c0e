/* Profile forks: half-way through a short world, when all replicas are equal, on their disks too,
 * so many nodes are lost at once that no majority of a hot range is left, but one copy of each is;
 * an operator, or one on each side of a partition, accepts that (data/fork.h). Nodes die at durable
 * steps of it, some of the lost come back, and the world goes on where it was.
 *
 * In some worlds nothing is written before, and all copies are lost: both sides begin with nothing,
 * and take writes that the other one does not have.
 *
 * All that was acknowledged is on each copy, so nothing may be lost by it: every checker holds
 * before, meanwhile and afterwards. */
#ifndef SIM_ACCEPTS_H
#define SIM_ACCEPTS_H

#include "sim/world.h"

/* Make of a short world of that profile one of two halves. */
void accepts_draw(struct sim_options *options);
/* Strike, accept, heal and plan new copies. False after a violation. */
bool accepts_run(struct world *world);

#endif
