/* The operator: creates buckets, lets nodes join and leave, moves ranges, pauses and cancels plans,
 * by the same commands and settings as kvadmin, through any node that is up. */
#ifndef SIM_ADMIN_H
#define SIM_ADMIN_H

#include "sim/world.h"

struct admin *admin_new(struct world *world);
void admin_free(struct admin *admin);
/* Create the buckets and let the hot ranges grow to all their copies. */
void admin_create_bucket(struct world *world, enum policy policy);
void admin_setup(struct world *world);
bool admin_setup_done(struct world *world);
/* Meddle at random from now on. */
void admin_start(struct world *world);
/* The last plan is let run; a paused one goes on. */
void admin_stop(struct world *world);
/* No slot is on its way and no move of the newest plan is left, as every node sees it. */
bool admin_settled(struct world *world);
/* What is not settled yet. */
void admin_describe(struct world *world, struct buf *out);

/* Ask NODE to set NAME to VALUE; tried again until it is taken. */
void admin_set(struct world *world, uint32_t host, struct slice name, struct slice value);
/* A plan of one move: slot NUMBER of RANGE from host FROM (-1: a new slot) to host TO (-1: it is
 * given up). */
void admin_move(struct world *world, uint32_t host, uint32_t range, uint8_t number, int from,
                int to);
/* HOST is to leave the cluster once it owns nothing. */
void admin_let_leave(struct world *world, uint32_t through, uint32_t host);
/* The same, unless too few would stay. THROUGH may be HOSTS_MAX, any. */
void admin_may_leave(struct world *world, uint32_t through, uint32_t host);
/* Was a plan ever given that has slot NUMBER of RANGE go to TO? */
bool admin_ordered(const struct world *world, uint32_t range, uint8_t number, struct node_id to);
/* A host that never ran joins, if there is one. */
void admin_join_one(struct world *world);
/* Was that host told to leave? */
bool admin_leaving(const struct world *world, uint32_t host);
/* HOST is no member any more, whether it runs or not. */
void admin_remove(struct world *world, uint32_t through, uint32_t host);
/* The same at THROUGH and nowhere else, by one who accepts what is lost with it: of ranges whose
 * majority is, forks are made. */
void admin_accept_loss(struct world *world, uint32_t through, uint32_t host);
/* HOST is to compare its copies with those of others; of BUCKET alone unless it is empty. */
void admin_repair(struct world *world, uint32_t host, struct slice bucket);
bool admin_removed(const struct world *world, uint32_t host);
/* A plan that rebuilds the hot ranges' slots of removed nodes elsewhere. */
void admin_plan_rebuilds(struct world *world);
/* A plan that moves a slot of each hot range to HOST, where it has none. */
void admin_plan_to(struct world *world, uint32_t host);
/* The newest plan does not run: it was paused, or cancelled. */
bool admin_paused(const struct world *world);
/* All commands given were taken. */
bool admin_idle(const struct world *world);

#endif
