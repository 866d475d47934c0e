/* Nodes that are lost for good, one at a time, and the administrator who has them replaced: disks
 * that are gone, old copies of a disk that come back, nodes that are removed while they run.
 *
 * The budget is that of promise 2 ("an acknowledged write is never lost, unless all nodes that
 * acknowledged it lose their disks, or are removed by force, before repair"): a node is lost only
 * while each of its ranges has a quorum of slots that it is no part of, none of them lost or being
 * rebuilt, and the next one only once all its slots are rebuilt. That holds under the newest record
 * and under each one that was proposed to follow it, for that one may be chosen yet. What a client
 * wrote with fewer copies than a quorum may be lost with it (ledger.h).
 *
 * An old copy comes back only while all that ever shared a range with the node are up and remember
 * more of its log than the copy has: with nobody left who remembers, nobody can tell. */
#ifndef SIM_LOSSES_H
#define SIM_LOSSES_H

#include "sim/world.h"

struct losses *losses_new(struct world *world);
void losses_free(struct losses *losses);
void losses_start(struct world *world);
/* Nothing is lost that is not replaced. */
bool losses_over(const struct world *world);
/* An old copy runs and has not stopped yet: no process may die now, or it would forget. */
bool losses_quiet(const struct world *world);
/* Does an old copy run that is from when its node had the only copy of a range, and has not heard
 * of the others yet? Until then it is a majority by itself (docs/hacking.md, "Known gaps"), and
 * nobody asks for anything, nor plans. */
bool losses_deaf(const struct world *world);
/* Had that host heard of more of the log of an old copy that runs now than it has? */
bool losses_known_to(const struct world *world, uint32_t host);
/* The last one was over after so many events of the world; 0: none yet. Who is removed while it
 * runs acknowledges writes until it hears of that. */
uint64_t losses_last(const struct world *world);

#endif
