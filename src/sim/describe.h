/* Words for the trace: messages, store operations and records on one line, nodes by letter. Nothing
 * random is printed (ids, nonces, hashes), so that golden traces stay readable and stable. */
#ifndef SIM_DESCRIBE_H
#define SIM_DESCRIBE_H

#include "sim/world.h"
#include "wire/peer.h"

/* MESSAGE_TYPES for an unknown name. */
enum message_type message_named(struct slice name);
const char *store_op_name(enum store_op_type type);
/* "WRITE 5@4.1 default/k3". */
void describe_message(const struct world *world, const struct message *message, struct buf *out);
/* "META install 5@4 (2 cells)". */
void describe_store_op(const struct world *world, const struct store_op *op, struct buf *out);
/* "5@4 [0 a, 1 b>c JOINT, 2 d]"; former members follow a bar. */
void describe_record(const struct world *world, const struct range_record *record, struct buf *out);

#endif
