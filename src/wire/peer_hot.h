/* The three messages of every put and get, WRITE, READ and REPLY (and HINT, which has the same
 * fields), written and read straight from the struct in their usual form: without a record, without
 * entries, no fields beyond those known here.
 *
 * The shapes (peer_shapes.h) say what these messages are. This is the same, quicker: where it
 * accepts, bytes and structs are those that the shapes give, and whatever it does not accept, the
 * shapes decide. Tests and fuzzers compare the two.
 *
 * Costs: a fifth to a tenth of the instructions. */
#ifndef PEER_HOT_H
#define PEER_HOT_H

#include "core/message.h"
#include "wire/mp.h"

/* Append MESSAGE's array to OUT; false, with OUT as before, if it has another form. */
bool hot_write(const struct message *message, struct buf *out);
/* Read a payload into RET_MESSAGE, all of it; false if it has another form, or is none at all: then
 * what RET_MESSAGE holds means nothing. */
bool hot_read(struct slice payload, uint32_t ranges_max, struct message *ret_message);

#endif
