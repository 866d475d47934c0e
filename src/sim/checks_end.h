/* The whole state, looked at now and then: where the checks that follow effects could have missed
 * something. What is promised is in checks.h. */
#ifndef SIM_CHECKS_END_H
#define SIM_CHECKS_END_H

#include "sim/world.h"

/* TreeEqualsData: have HOST's trees of the hot ranges compared with its data. */
void checks_verify(struct world *world, uint32_t host);
/* In calm, with equal replicas: TreeEqualsData of all, PolicyFromVersionOnly. False if a look did
 * not end, or something is broken. */
bool checks_end(struct world *world);
void looks_free(struct look *looks);

#endif
