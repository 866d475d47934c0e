/* What memory still has of records that were lost.
 *
 * What the checkpoint has written lies in the frozen memtable as well until that ends, and is found
 * there first: a record whose key rots meanwhile is not missed by anybody, its key is read, merged
 * and summed up as if nothing had happened, and so the hole is filled in without it. When the
 * frozen table went, the key would be gone, and no hole would say so. So before the damaged record
 * is taken out, what the frozen table has in the hole is written once more, unless it is yet to be.
 * Costs a record of the log for each, and they are few: what was not lost there bounds the hole. */
#include "store/store_private.h"

static void keep(struct store *store, const struct cell *cell)
{
    struct slice path = cell_path(cell);
    struct found found = {.bytes = cell_bytes(cell)};
    if (cell->object_size == 0 || memtable_find(store->active, cell->hash, path) != NULL)
        return;
    struct draft draft = draft_begin(store, path);
    buf_append(draft.bytes, cell_object(cell));
    draft_commit(store, &draft, &found, cell->digest, 0, false, true);
}

void holes_keep(struct store *store)
{
    const struct watermark *mark = &store->checkpoint.mark;
    for (uint32_t i = 0; i < store->holes.count && RULE(HOLE_KEEPS_FROZEN); i++) {
        const struct hole *hole = &store->holes.items[i];
        if (!store_sees_frozen(store, hole->from))
            continue;
        const struct cell *cell = memtable_seek(store->frozen, hole->from, SLICE_NONE);
        while (cell != NULL && cell->hash <= hole->to &&
               (mark->bound_all || cell->hash < mark->bound)) {
            keep(store, cell);
            cell = memtable_next(store->frozen, cell);
        }
    }
}
