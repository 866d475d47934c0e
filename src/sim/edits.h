/* Clients of atomic requests, on keys of their own: counters that are added to, locks that are put
 * if absent and deleted by whom they belong to. And what must follow, judged by answers alone:
 *
 *   AddsOnce    an acknowledged sum is higher than each that was acknowledged before its request
 *               began, no two are equal, and none is higher than what was asked for; a strict
 *               quorum read shows at least what was acknowledged before it began, and the last
 *               read no less than all that was acknowledged
 *   OneWinner   of those who put a lock if absent, at most one is told that it held from his answer
 *               on until he deletes it
 *   SeenStays   what somebody was told is there stays until a delete of it was asked for, although
 *               nobody may have been told that it was put
 *   EditSeesWrites  a lock that was deleted, by an edit or by a plain delete, is not found taken by
 *               who asks for it after that was acknowledged, unless somebody has taken it again
 *   EditsDecide an edit that was answered without an error has an outcome that it can have */
#ifndef SIM_EDITS_H
#define SIM_EDITS_H

#include "sim/world.h"

struct edits *edits_new(struct world *world);
void edits_free(struct edits *edits);
/* Let the clients begin. */
void edits_start(struct world *world);
/* Ask for no more; what is open may still be answered. */
void edits_stop(struct world *world);
bool edits_issued(const struct world *world);
/* All was issued, and each request has been answered or given up. */
bool edits_idle(const struct world *world);
/* Read every key with r=all until each was answered well once. */
void edits_read_all(struct world *world);
bool edits_read_all_done(const struct world *world);

/* Is KEY in the bucket of POLICY one of the counters and locks? */
bool edits_owns(const struct world *world, enum policy policy, struct slice key);

#endif
