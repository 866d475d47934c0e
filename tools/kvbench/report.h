/* What a run found out, as a table for people or as JSON. */
#ifndef REPORT_H
#define REPORT_H

#include "kvbench/timeline.h"
#include "kvbench/watch.h"

#include <jansson.h>
#include <stdio.h>

struct report {
    const struct engine *engine;
    const struct engine_options *options;
    double seconds;
    bool watched;
    struct watch watch;
    struct watch_sample before;
    struct watch_sample after;
    struct timeline timeline; /* Owned. Empty: not kept. */
};

void report_print(const struct report *report, FILE *to);
/* The caller owns it. */
json_t *report_json(const struct report *report);

/* A line a second on a terminal, drawn over the last one; every ten seconds a line elsewhere. */
struct live {
    const struct engine *engine;
    uint32_t streams;
    bool terminal;
    uint32_t ticks;
    uint64_t done;
    uint64_t failed;
};

void live_start(struct live *live, const struct engine *engine, uint32_t streams);
/* For engine_run: ARG is a struct live. */
void live_tick(void *arg);
/* Leave the terminal with an empty line. */
void live_end(struct live *live);

#endif
