/* What worlds have met: a run that never meets a case proves nothing about it.
 *
 * Each profile is expected to meet everything that it can, in enough worlds; what it cannot is
 * listed in coverage.c with its reason. A run of at least coverage_worlds() worlds fails when it
 * has missed something. */
#ifndef SIM_COVERAGE_H
#define SIM_COVERAGE_H

#include "core/message.h"
#include "core/step.h"
#include "sim/options.h"

enum { STORE_OPS = STORE_WHOLE + 1, METHODS = METHOD_SCAN + 1, META_LETTERS = 26 };

/* Counters only: they are added up as one array. */
struct coverage {
    uint64_t messages[MESSAGE_TYPES];
    uint64_t stages[STAGE_COUNT]; /* Chosen records with a slot in it. */
    uint64_t faults[FAULT_COUNT];
    uint64_t stores[STORE_OPS];
    uint64_t metas[META_LETTERS]; /* Written, by the letter of their kind. */
    uint64_t installs;
    uint64_t step_deaths[STORE_OPS]; /* Of a process at a durable step of the protocol. */
    uint64_t step_crashes;           /* The same, and those a little after it. */
    uint64_t methods[METHODS];       /* Requests of clients. */
    uint64_t policies[3];            /* The same, by the bucket's policy. */
    uint64_t weak, with_context, with_ttl, batches, retries;
    uint64_t refused_full;
    uint64_t expired;             /* Versions that were read as dead for their age alone. */
    uint64_t sloppy;              /* Answers that fallbacks were counted for. */
    uint64_t hints_settled;       /* Hints that their slots have. */
    uint64_t horizons, collected; /* Taken on; versions that went for good. */
    uint64_t moves_done, moves_aborted, learns, drops, leaves, joins;
    uint64_t removals, rebuilds; /* Of nodes; of slots. */
    uint64_t operations, acknowledged, refused, unknown;
    uint64_t edits, edits_held, edits_unknown;                 /* Atomic requests: edits.h. */
    uint64_t rot_found, rot_healed, rot_replaced;              /* Records that rotted: rots.h. */
    uint64_t rotten_tails;                                     /* Of logs. */
    uint64_t holes_found, holes_healed;                        /* Of records, whose key rotted. */
    uint64_t cold_reads, cold_waited, cold_refused, cold_lost; /* The last: waited when a process
                                                                * died. */
    uint64_t trips;                                            /* Faults by messages: trips.h. */
    uint64_t mails, mailboxes_full;                            /* Between shards of a node. */
    uint64_t steps, events;
};

void coverage_add(struct coverage *sum, const struct coverage *part);
/* A table: one line for each kind of thing, each thing with its count. */
void coverage_print(const struct coverage *coverage);
/* Append to OUT the names of what PROFILE should have met and did not; returns how many. */
uint32_t coverage_missing(const struct coverage *coverage, enum profile profile, struct buf *out);
/* In so many worlds PROFILE meets everything. */
uint64_t coverage_worlds(enum profile profile);

#endif
