/* The four messages of a gossip round, and what each answers; see gossip.h. */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include "core/gossip.h"

/* The hashes of table bucket 0..15, range bucket 0..63. */
uint64_t exchange_table_hash(const struct core *core, uint32_t bucket);

/* Fill in a SYN that begins a round under NONCE. */
void exchange_begin(struct gossip *gossip, struct core *core, struct message *syn, uint64_t nonce);
void exchange_syn(struct gossip *gossip, struct core *core, struct node_id from,
                  const struct message *message);
/* The message belongs to ROUND. */
void exchange_ack(struct gossip *gossip, struct core *core, struct round *round,
                  struct node_id from, const struct message *message);
/* What the other side asked for. */
void exchange_wants(struct gossip *gossip, struct core *core, struct node_id from,
                    const struct message *message);

#endif
