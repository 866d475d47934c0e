/* What every node last said about its load: lossy, never durable, part of no record.
 *
 * Costs: a merge O(log n), and a move of the array when the node is new. */
#ifndef LOADS_H
#define LOADS_H

#include "data/member.h"

enum { LOADS_PER_MESSAGE = 16 };

struct load_table {
    struct load *loads; /* Owned; sorted by id. */
    uint32_t count;
    uint32_t capacity;
    uint32_t cursor; /* Where loads_pick goes on. */
};

void loads_done(struct load_table *table);
/* NULL if nothing was heard of it. Valid until the table changes. */
const struct load *loads_find(const struct load_table *table, struct node_id id);
/* Keep LOAD if it is the newest of its node: true if it was. Past MEMBERS_MAX nodes no new one. */
bool loads_merge(struct load_table *table, const struct load *load);
void loads_forget(struct load_table *table, struct node_id id);
/* Fill RET with FIRST's load, then with others in turn, at most COUNT; returns how many. */
uint32_t loads_pick(struct load_table *table, struct node_id first, uint32_t count,
                    struct load *ret);

#endif
