/* One world from its founding to its verdict: founded and grown in calm, then the safety phase with
 * requests, faults and an operator, then healed, and then everything must converge.
 *
 * Judged at the end, in calm, within `liveness_us_max` of virtual time:
 *
 *   TransferTerminates  no slot is on its way and the newest plan has no move left
 *   RingConverges       all nodes have equal rings, members and settings
 *   DamageHeals         no key is damaged any more
 *   ReplicasConverge    the readers of a range hold the same, by their hash trees
 *   RequestsAnswered    every client has its answer
 *   Available           every key can be read with r=all
 *   WorldIsBusy         a swarm world had 300 requests, five faults and a completed move
 */
#ifndef SIM_RUN_H
#define SIM_RUN_H

#include "sim/world.h"

struct run_result {
    char invariant[32]; /* Empty: all held. */
    char text[1000];    /* Of the violation. */
    uint64_t hash;      /* Of the trace. */
    uint64_t virtual_us;
    struct coverage coverage;
};

/* Run the world of OPTIONS. TEXT keeps trace lines and prints the last of them on a violation,
 * PRINT prints all as they come. */
void run_world(const struct sim_options *options, bool text, bool print,
               struct run_result *ret_result);

/* The phases one by one, for scenarios and tests: each returns false on a violation. */
bool run_found(struct world *world);

#endif
