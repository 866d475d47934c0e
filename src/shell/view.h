/* What one shard shows of itself to another thread: a copy, made on its own. */
#ifndef VIEW_H
#define VIEW_H

#include "core/node.h"
#include "shell/exposition.h"

struct view {
    uint32_t shard;
    struct exposition figures;         /* Without what is the node's: names, members, horizon. */
    bool counted;                      /* It knows all hints that it has. */
    struct transfer_status *transfers; /* Owned, with their notes in `text`. */
    uint32_t transfers_count;
    struct hint_target *hints; /* Owned: at most VIEW_HINTS_MAX, */
    uint32_t hints_count;      /* of so many. */
    struct range_stat *ranges; /* Owned: of ranges from `ranges_first` on. */
    uint32_t ranges_first, ranges_count;
    uint32_t holes_alone; /* Of its stores' holes, those of ranges with no other copy. */
    struct arena text;
};

enum { VIEW_TRANSFERS_MAX = 1024, VIEW_HINTS_MAX = 4096 };

/* Of NODE; the caller fills in what of `figures` is not NODE's, its store's figures among them. */
struct view *view_new(const struct node *node);
void view_free(struct view *view);
/* Add what the shard's stores have of each range; STORAGE or, where that is NULL, STORE. */
void view_ranges(struct view *view, const struct core *core, const struct storage *storage,
                 const struct store *store);
/* Of the same, how many holes are in ranges of which this node has the only copy. */
uint32_t view_holes_alone(const struct core *core, const struct storage *storage,
                          const struct store *store);
void view_add_counters(struct node_counters *sum, const struct node_counters *part);
void view_add_repair(struct repair_status *sum, const struct repair_status *part);

#endif
