/* What the files of the ledger share, and nobody else includes.
 *
 *   ledger.c        requests and their answers, and what a read must show
 *   ledger_scan.c   pages of scans: each key of a page is a read of its own
 *   ledger_value.c  the values, and which request one is of */
#ifndef SIM_LEDGER_OWN_H
#define SIM_LEDGER_OWN_H

#include "sim/ledger.h"

enum { POLICIES = 3 };

struct ledger {
    struct arena arena;
    struct entry_op **ops; /* Owned; by number - 1. */
    uint32_t count;
    uint32_t capacity;
    struct entry_op *newest[POLICIES][KEYS_MAX];
    uint32_t value_size_max;
};

/* What one request found of one key. */
struct reading {
    struct ledger *ledger;
    struct world *world;
    const struct entry_op *op;
    struct object object; /* All siblings, dead and hidden ones too. */
    int error;
    uint64_t hlc; /* When it was read, by the coordinator. */
    uint32_t drops;
};

/* All that a reading must keep. */
void ledger_check_reading(const struct reading *reading);
/* The answer to a page of a scan. */
void ledger_end_scan(struct ledger *ledger, struct world *world, const struct entry_op *op,
                     const struct answer *answer);

#endif
