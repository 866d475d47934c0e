/* Version vectors: for each actor the highest counter seen; an entry stands for all earlier dots of
 * that actor (protocol.md, "Actors, tenures").
 *
 * Encoded: entry count varint, then entries in rising order of actor: actor u64, counter varint.
 * Encoded vectors are compared and merged without decoding into a table. */
#ifndef VECTOR_H
#define VECTOR_H

#include "base/bytes.h"
#include "data/object.h"

/* Decode and check an encoded vector at the reader; returns its bytes, or sets reader->bad. */
struct slice vector_read(struct reader *reader);
/* The counter of ACTOR, 0 if it has no entry. VECTOR is checked; an empty slice is an empty vector.
 */
uint64_t vector_get(struct slice vector, uint64_t actor);
bool vector_covers(struct slice vector, struct dot dot);
/* Does VECTOR cover all that OTHER covers? */
bool vector_contains(struct slice vector, struct slice other);
/* Append the entry-wise maximum of COUNT vectors and DOTS_COUNT dots to OUT. */
void vector_union(const struct slice *vectors, uint32_t count, const struct dot *dots,
                  uint32_t dots_count, struct buf *out);

#endif
