/* A version vector under construction: actors with the highest counter seen of each.
 *
 * Collects entries from any number of encoded vectors and dots, then joins them. Needs no heap up
 * to HISTORY_FEW entries, which the common object never passes. Costs: add O(entries), join
 * O(entries log entries), get O(log entries). */
#ifndef HISTORY_H
#define HISTORY_H

#include "base/bytes.h"
#include "data/object.h"

enum { HISTORY_FEW = 32 };

struct history {
    struct dot *entries; /* `few`, or owned. Rising actors once joined. */
    uint32_t count;
    uint32_t capacity;
    struct dot few[HISTORY_FEW];
};

/* HISTORY must stay where it is from here on: it points into itself. */
void history_init(struct history *history);
void history_done(struct history *history);
void history_add(struct history *history, struct dot dot);
/* VECTOR is checked; an empty slice is an empty vector. */
void history_add_vector(struct history *history, struct slice vector);
/* Sort, and keep the highest counter of each actor. Call after the last add, before what follows.
 */
void history_join(struct history *history);
/* The counter of ACTOR, 0 if it has no entry. */
uint64_t history_get(const struct history *history, uint64_t actor);
static inline bool history_covers(const struct history *history, struct dot dot)
{
    return history_get(history, dot.actor) >= dot.counter;
}
/* Keep only the entries that go beyond OTHER, joined too. */
void history_subtract(struct history *history, const struct history *other);
/* Append as an encoded vector. */
void history_write(const struct history *history, struct buf *out);

#endif
