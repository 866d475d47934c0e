/* Many worlds over several processes: each child takes seeds in turn and writes its sums into
 * shared memory, so that an assertion that aborts a child is a verdict on one seed and the others
 * go on. */
#ifndef SIM_JOBS_H
#define SIM_JOBS_H

#include "sim/run.h"

struct jobs_options {
    uint64_t first, last;
    enum profile profile;
    uint32_t jobs;
    bool coverage;         /* Print the table at the end, and fail if something was never met. */
    uint32_t failures_max; /* Stop after so many. */
    const char *progress;  /* File that a long run is kept in (progress.h); NULL: none. */
};

/* What worlds came to. */
struct jobs_sum {
    uint64_t worlds;
    uint64_t failed;
    uint64_t virtual_us;
    uint64_t took_us; /* Of real time, */
    uint64_t cpu_us;  /* and of all processes. */
    struct coverage coverage;
};

/* Run the seeds and add to SUM. Prints each violation as it is found. */
void jobs_add(const struct jobs_options *options, struct jobs_sum *sum);

/* The same with a summary; returns the number of seeds that failed, and one more if they met less
 * than they should have (coverage.h), or if the file of the run's progress cannot be used. */
uint64_t jobs_run(const struct jobs_options *options);

/* "kvsim --seed 7 --profile swarm". */
void jobs_reproduction(uint64_t seed, enum profile profile, char *ret_text, size_t size);

#endif
