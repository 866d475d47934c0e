/* The links between hosts: delay, loss, duplication, reordering, cuts in one or both directions.
 *
 * Carries encoded frames only. Without reordering a link keeps the order of what it is given, as a
 * connection does; with it, a frame may overtake others. A frame outlives the process that sent it,
 * but not the one it was sent to: no connection carries bytes, let alone twice, to a later process.
 * What was sent while none listened may reach the next one, as a sender's queue would, and none
 * after that, nor does a copy of it. */
#ifndef SIM_NETWORK_H
#define SIM_NETWORK_H

#include "sim/world.h"

struct network *network_new(struct world *world);
void network_free(struct network *network);

/* Carry FRAME (copied), a message of TYPE, from host FROM to host TO; a frame to oneself is never
 * lost or late. */
void network_send(struct world *world, uint32_t from, uint32_t shard, uint32_t to,
                  enum message_type type, struct slice frame);
/* The host that an address "nK" or "nK:port" means, -1 for none. */
int network_resolve(const struct world *world, struct slice address);

/* Everything from FROM to TO is lost from now on, or passes again. */
void network_cut(struct world *world, uint32_t from, uint32_t to, bool cut);
bool network_is_cut(const struct world *world, uint32_t from, uint32_t to);
/* Add DELAY_US to what goes from FROM to TO. */
void network_slow(struct world *world, uint32_t from, uint32_t to, uint64_t delay_us);
/* No cut, no slowness, no loss from now on. */
void network_heal(struct world *world);
/* The next COUNT frames of TYPE (0: any) from FROM to TO are lost; for scenarios. */
void network_drop(struct world *world, uint32_t from, uint32_t to, enum message_type type,
                  uint32_t count);
/* The next COUNT frames of TYPE from FROM to TO come DELAY_US later than they would, and others
 * overtake them; for scenarios. */
void network_late(struct world *world, uint32_t from, uint32_t to, enum message_type type,
                  uint32_t count, uint64_t delay_us);
/* As network_drop would, if it is meant by one: called with each decoded message before it goes
 * out. */
bool network_drops(struct world *world, uint32_t from, uint32_t to, enum message_type type);

#endif
