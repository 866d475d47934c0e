/* Bit rot: records of the database that go bad, one node at a time, while it runs and while it does
 * not; in some worlds within their keys too, where they stay where they are, so that keys may lie
 * out of order.
 *
 * The budget is that of promise 2: a version is lost only with all copies that acknowledged it. A
 * record rots only while no other node has one that is not whole again, while nobody is lost for
 * good (losses.h), and where the range has another slot. Of one key a node has at most one, but for
 * those that have lost their keys. What a client wrote with fewer copies than a quorum may be lost
 * with it (ledger.h).
 *
 * Judged beside all that is judged anyway, where the record tells what clients may see:
 *
 *   DamageFound    a record that rotted is found by the scrub, if there is one, and counted
 *   DamageHeals    in calm all are whole again (run.h), and hold what checks.h says */
#ifndef SIM_ROTS_H
#define SIM_ROTS_H

#include "sim/world.h"
#include "store/store.h"

struct rots *rots_new(struct world *world);
void rots_free(struct rots *rots);
void rots_start(struct world *world);
/* The value of the record of a key of HASH in the database of HOST rots, whatever the budget. False
 * if there is none that is whole, or if records of another node are bad, or too many. */
bool rots_strike(struct world *world, uint32_t host, uint64_t hash);
/* Every record that rotted is whole again, or gone, or nobody can tell that it is not. */
bool rots_over(const struct world *world);
/* Has HOST a record that is not; and is it that of a key of HASH? */
bool rots_sick(const struct world *world, uint32_t host);
bool rots_has(const struct world *world, uint32_t host, uint64_t hash);
/* May HOST answer UNREADABLE for a key of HASH, and lack it? It has such a record, or knows itself
 * that a record beside it has lost its key. */
bool rots_hides(const struct world *world, uint32_t host, uint64_t hash);
/* Is every node but HOST whole? */
bool rots_spare_others(const struct world *world, uint32_t host);
/* The last one happened after so many events of the world; 0: none yet. */
uint64_t rots_last(const struct world *world);
/* The store of HOST says that a key is damaged. */
void rots_told(struct world *world, uint32_t host, const struct store_damage *damage);
/* What is not whole yet. */
void rots_describe(const struct world *world, struct buf *out);

#endif
