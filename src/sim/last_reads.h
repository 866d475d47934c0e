/* What clients find when all is calm: every key is read with r=all, each from another node, until
 * each was answered well once. */
#ifndef SIM_LAST_READS_H
#define SIM_LAST_READS_H

#include "sim/world.h"

void last_reads_start(struct world *world);
void last_reads_free(struct last_reads *reads);
bool last_reads_done(const struct world *world);
/* What they still miss, for the message when they do not end. */
void last_reads_describe(const struct world *world, struct buf *out);

#endif
