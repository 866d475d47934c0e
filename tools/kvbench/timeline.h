/* How a run went from second to second.
 *
 * Each point holds what ended since the one before, from the difference of two states of the
 * engine's tallies: the requests themselves pay nothing for it. A run of any length has at most
 * TIMELINE_POINTS points; when they are used up, each two neighbours become one. */
#ifndef TIMELINE_H
#define TIMELINE_H

#include "kvbench/engine.h"

enum { TIMELINE_POINTS = 600 };

struct timeline_point {
    double from; /* Seconds since the start, */
    double to;   /* and where it ends. */
    uint64_t done;
    uint64_t failed;
    struct histogram latency; /* Of those that went well. */
};

/* Zeroed is empty and valid. */
struct timeline {
    struct timeline_point *points; /* Owned. */
    uint32_t count;
    uint32_t every; /* Ticks of a point. */
    uint32_t ticks; /* Of the present one so far. */
    uint64_t start_ns;
    struct timeline_point open;
    struct timeline_point before; /* All until the last tick. */
};

/* Right after engine_reset. */
void timeline_start(struct timeline *timeline);
void timeline_done(struct timeline *timeline);
/* About a second has passed. */
void timeline_tick(struct timeline *timeline, const struct engine *engine, uint32_t streams);
/* The run has ended: what is left makes a last point. */
void timeline_end(struct timeline *timeline, const struct engine *engine, uint32_t streams);

#endif
