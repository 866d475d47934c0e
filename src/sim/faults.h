/* What goes wrong in a world: kinds and times drawn from its generator, each with its end, so that
 * a world left alone is whole again. faults_stop ends them all: the calm in which everything must
 * converge. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "sim/world.h"

struct faults *faults_new(struct world *world);
void faults_free(struct faults *faults);
void faults_start(struct world *world);
/* No further faults, and an end to those there are: what is down is started, what is cut healed. */
void faults_rest(struct world *world);
/* The same for good, and calm: nor do administrators order anything any more. */
void faults_stop(struct world *world);
/* HOST is at a durable step of the protocol: may it die here? If so it is to crash at once, or its
 * crash has been scheduled for a moment later. */
enum step_crash {
    STEP_LIVES,
    STEP_CRASH, /* Before or after it is handed to the store. */
    STEP_POWER,
    STEP_NEVER, /* Killed before. */
};
enum step_crash faults_at_step(struct world *world, uint32_t host);
/* HOST is killed instead of its STEPth durable step from now; for scenarios. */
void faults_die_at(struct world *world, uint32_t host, uint32_t step);
/* HOST loses its power, or is killed, within two writes to its disk. */
void faults_die_soon(struct world *world, uint32_t host, bool power);
/* HOST died by faults_at_step: start it again after a while. */
void faults_restart_later(struct world *world, uint32_t host);

#endif
