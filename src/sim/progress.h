/* A run of very many worlds, in bites whose sums are kept in a file: whoever gives the same command
 * again goes on behind the last bite, as often as it takes. */
#ifndef SIM_PROGRESS_H
#define SIM_PROGRESS_H

#include "sim/jobs.h"

/* Run what is left of OPTIONS' seeds and keep the sums in the file OPTIONS->progress, which is made
 * if there is none. SUM is that of all bites, those of earlier runs included. Prints a line for
 * each bite; stops behind the one that reaches `failures_max`. 0, or ERR_CONFLICT for a file of
 * other seeds, of another profile, or of a simulator whose worlds differ, and ERR_IO: said on
 * stderr. */
int progress_run(const struct jobs_options *options, struct jobs_sum *sum) CHECK_RESULT;

#endif
