/* What the options of a command came to. */
#ifndef JOB_H
#define JOB_H

#include "cli/command.h"
#include "kvbench/dialect.h"
#include "kvbench/report.h"

struct job {
    struct engine_options engine;
    struct workload workload;
    struct ledger ledger;
    bool checked;
    uint64_t keys;
    uint64_t seed;
    enum spread spread;
    struct report report;
    const char *stop_file;
    struct live live;
    bool measuring; /* Neither warm-up nor preload. */
};

/* Read what all commands have, or what `run` has: 0 or an exit code, after saying what was wrong.
 */
int job_read_shared(struct cli *cli, struct job *job);
int job_read_run(struct cli *cli, struct job *job, uint64_t *seconds, uint64_t *warmup);

#endif
