/* One simulated world: nodes, clients and an operator under one virtual clock.
 *
 * Everything that happens is an event in one queue, ordered by (time, order of insertion), and all
 * chance comes from one generator: a seed replays bit for bit. Nothing here reads a real clock, and
 * nothing recurses: whatever an event brings about is a later event. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "base/heap.h"
#include "base/prng.h"
#include "core/node.h"
#include "sim/coverage.h"
#include "sim/trace.h"

struct world;

/* Embedded as the first member of what wants to be called at a time. */
struct world_event {
    struct heap_node node;
    void (*fire)(struct world *world, struct world_event *event);
};

/* The first broken promise; later ones are its consequences. */
struct violation {
    char invariant[32]; /* Empty while all hold. */
    struct buf text;    /* Owned. */
};

struct world {
    struct sim_options options;
    struct prng prng;
    uint64_t now_us;
    struct heap queue; /* Of struct world_event. */
    struct trace trace;
    struct violation violation;
    struct coverage coverage;
    struct host *hosts[HOSTS_MAX]; /* Owned. */
    uint32_t hosts_count;
    uint64_t healed_us; /* When the faults stopped. */
    bool calm;          /* Healed: no faults any more, all must converge. */
    struct cluster cluster;
    struct network *network;       /* Owned. */
    struct faults *faults;         /* Owned. */
    struct losses *losses;         /* Owned. */
    struct rots *rots;             /* Owned. */
    struct trips *trips;           /* Owned. */
    struct workload *workload;     /* Owned. */
    struct last_reads *last_reads; /* Owned; NULL before. */
    struct edits *edits;           /* Owned. */
    struct admin *admin;           /* Owned. */
    struct checks *checks;         /* Owned. */
    struct look *looks;            /* Owned: of checks_end.c. */
};

/* Wall time at the start of every world; nothing depends on it. */
enum { WORLD_EPOCH_S = 1700000000 };

void world_init(struct world *world, const struct sim_options *options, bool text, bool print);
void world_done(struct world *world);

/* Fire EVENT then; if it waits for that very time already, it keeps its place. */
void world_at(struct world *world, struct world_event *event, uint64_t at_us);
void world_cancel(struct world *world, struct world_event *event);
/* Fire the next event, if it is due by UNTIL_US. False: none is, and it is UNTIL_US now. */
bool world_step(struct world *world, uint64_t until_us);
/* Run until DONE says so, a violation, or UNTIL_US; true if DONE. */
bool world_run(struct world *world, uint64_t until_us, bool (*done)(struct world *world));

/* Note a broken promise; only the first counts. */
void world_violate(struct world *world, const char *invariant, const char *format, ...)
    PRINTF_LIKE(3, 4);
static inline bool world_broken(const struct world *world)
{
    return world->violation.invariant[0] != '\0';
}

/* Draws from the world's generator. */
uint64_t world_draw(struct world *world, uint64_t low, uint64_t high); /* Both inclusive. */
bool world_chance(struct world *world, uint32_t ppm);
/* Uniform around MEAN_US: 0 to twice it. */
uint64_t world_pause(struct world *world, uint64_t mean_us);

/* Index of the host with that id, -1 for none. */
int world_host_of(const struct world *world, struct node_id id);
/* "a" for host 0 and so on; "?" for an id that is no host's, "-" for none. */
const char *world_name(const struct world *world, struct node_id id);
const char *world_host_name(uint32_t host);

#endif
