/* Who stands in for nodes of a range that cannot be reached: the end of its preference list.
 *
 * Live nodes that are no members of the range's record, as one walks the ring clockwise from it;
 * those of zones that no member of the range is in come first. Nodes that stop, or leave the
 * cluster, are passed over, for they would have to hand on what they take. Whoever sees the same
 * ring and the same nodes up finds the same list: a get asks whom the put gave its hints. */
#ifndef FALLBACKS_H
#define FALLBACKS_H

#include "core/core.h"

/* Write the fallbacks of RANGE in their order into RET, at most CAP; returns how many. This node
 * is among them if it is no member. Costs O(members) and a walk of at most 256 ranges. */
uint32_t fallbacks(const struct core *core, uint32_t range, struct node_id *ret, uint32_t cap);
/* May NODE be one of RECORD's range at all, as far as the member table tells? */
bool fallback_may_be(const struct core *core, const struct range_record *record,
                     struct node_id node);

#endif
