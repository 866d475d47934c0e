/* Meta entries of a store, all in memory: the durable cells of the core, and a few of the store's
 * own, whose keys begin with a zero byte and which nobody else sees. */
#ifndef METAS_H
#define METAS_H

#include "base/arena.h"
#include "base/map.h"
#include "core/step.h"

struct meta_node;

struct metas {
    struct map map; /* Of chains of nodes by the hash of the key. */
    struct meta_node *dirty;
    uint32_t count;
};

void metas_done(struct metas *metas);
/* Set; an empty value deletes. DIRTY: the engine does not have it yet. */
void metas_set(struct metas *metas, struct slice key, struct slice value, bool dirty);
/* The value, empty if there is none. */
struct slice metas_get(const struct metas *metas, struct slice key);
/* Those in use whose keys do not begin with a zero byte, by key, copied into ARENA. */
struct meta *metas_list(const struct metas *metas, struct arena *arena, uint32_t *ret_count);
/* Copy the dirty ones into ARENA, by key, empty values for deleted ones; none is dirty then. */
struct meta *metas_freeze(struct metas *metas, struct arena *arena, uint32_t *ret_count);

#endif
