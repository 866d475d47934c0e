#include "shell/view.h"

struct view *view_new(const struct node *node)
{
    const struct core *core = node_core(node);
    struct view *view = mem_zero(sizeof *view);
    struct exposition *figures = &view->figures;
    view->shard = core->shard;
    figures->node = *node_counters(node);
    node_repair(node, &figures->repair);
    figures->repair.bucket = arena_copy(&view->text, figures->repair.bucket);
    figures->state = node_state(node);
    figures->hint_keys = core->hinted.keys;
    figures->hint_bytes = core->hinted.bytes;
    figures->hint_bytes_max = core->hinted.bytes_max;
    figures->hint_bad = core->hinted.bad;
    view->counted = core->hinted.counted;
    view->transfers = mem_alloc(VIEW_TRANSFERS_MAX * sizeof *view->transfers);
    view->transfers_count = node_transfers(node, view->transfers, VIEW_TRANSFERS_MAX);
    for (uint32_t i = 0; i < view->transfers_count; i++)
        view->transfers[i].note = arena_copy(&view->text, view->transfers[i].note);
    view->hints = mem_alloc(VIEW_HINTS_MAX * sizeof *view->hints);
    view->hints_count = node_hints(node, view->hints, VIEW_HINTS_MAX);
    return view;
}

void view_free(struct view *view)
{
    if (view == NULL)
        return;
    mem_free(view->transfers);
    mem_free(view->hints);
    mem_free(view->ranges);
    arena_done(&view->text);
    mem_free(view);
}

void view_ranges(struct view *view, const struct core *core, const struct storage *storage,
                 const struct store *store)
{
    uint32_t ranges = ring_ranges(&core->ring);
    if (core->holdings == NULL)
        return;
    view->ranges_first = core->shard * (ranges / core->shards);
    view->ranges_count = ranges / core->shards;
    view->ranges = mem_alloc(view->ranges_count * sizeof *view->ranges);
    for (uint32_t i = 0; i < view->ranges_count; i++) {
        uint32_t range = view->ranges_first + i;
        view->ranges[i] =
            storage != NULL ? storage_range_stat(storage, range) : store_range_stat(store, range);
    }
}

static uint32_t holes_alone(const struct core *core, const struct store *store)
{
    uint64_t from, to;
    uint32_t alone = 0;
    for (uint32_t i = 0; store_hole(store, i, &from, &to); i++) {
        const struct range_record *record = ring_get(&core->ring, range_of(from, core->ring.bits));
        bool own = record_slot_read_by(record, core->self) != NULL;
        alone += record->epoch > 0 && own && record_counted(record) == 1;
    }
    return alone;
}

uint32_t view_holes_alone(const struct core *core, const struct storage *storage,
                          const struct store *store)
{
    uint32_t alone = storage == NULL ? holes_alone(core, store) : 0;
    for (uint32_t i = 0; storage != NULL && i < storage->count; i++)
        alone += holes_alone(core, storage->stores[i]);
    return alone;
}

/* All of them are counts. */
_Static_assert(sizeof(struct node_counters) % sizeof(uint64_t) == 0, "64-bit counters only");

void view_add_counters(struct node_counters *sum, const struct node_counters *part)
{
    uint64_t *to = (uint64_t *)(void *)sum;
    const uint64_t *from = (const uint64_t *)(const void *)part;
    for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
        to[i] += from[i];
}

void view_add_repair(struct repair_status *sum, const struct repair_status *part)
{
    sum->dirty_ranges += part->dirty_ranges;
    sum->asked += part->asked;
    sum->unreachable += part->unreachable;
    sum->rate += part->rate;
    sum->move_rate += part->move_rate;
    sum->p99_us = MAX(sum->p99_us, part->p99_us);
    sum->limit_us = MAX(sum->limit_us, part->limit_us);
    sum->bytes += part->bytes;
    sum->slowed += part->slowed;
    if (sum->bucket.size == 0)
        sum->bucket = part->bucket;
}
