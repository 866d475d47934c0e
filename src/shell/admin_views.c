/* What the methods show of the whole node: of the shard that answers, and the views of the others.
 */
#include "shell/admin_methods.h"
#include "shell/view.h"

void admin_store_stats(const struct admin *admin, struct store_stats *ret_stats)
{
    if (admin->storage != NULL)
        storage_stats(admin->storage, ret_stats);
    else
        store_stats(admin->store, ret_stats);
    for (uint32_t i = 0; i < admin->views_count; i++)
        storage_add_stats(ret_stats, &admin->views[i]->figures.store);
}

uint32_t admin_holes_alone(const struct admin *admin)
{
    uint32_t sum = view_holes_alone(node_core(admin->node), admin->storage, admin->store);
    for (uint32_t i = 0; i < admin->views_count; i++)
        sum += admin->views[i]->holes_alone;
    return sum;
}

void admin_repair(const struct admin *admin, struct repair_status *ret_status)
{
    node_repair(admin->node, ret_status);
    for (uint32_t i = 0; i < admin->views_count; i++)
        view_add_repair(ret_status, &admin->views[i]->figures.repair);
}

struct node_counters admin_counters(const struct admin *admin)
{
    struct node_counters sum = *node_counters(admin->node);
    for (uint32_t i = 0; i < admin->views_count; i++)
        view_add_counters(&sum, &admin->views[i]->figures.node);
    return sum;
}

struct admin_hinted admin_hinted(const struct admin *admin)
{
    const struct hinted *own = &node_core(admin->node)->hinted;
    struct admin_hinted sum = {own->keys, own->bytes, own->bytes_max, own->bad, own->counted};
    for (uint32_t i = 0; i < admin->views_count; i++) {
        const struct exposition *figures = &admin->views[i]->figures;
        sum.keys += figures->hint_keys;
        sum.bytes += figures->hint_bytes;
        sum.bytes_max += figures->hint_bytes_max;
        sum.bad += figures->hint_bad;
        sum.counted = sum.counted && admin->views[i]->counted;
    }
    return sum;
}

uint32_t admin_hints(const struct admin *admin, struct hint_target *ret, uint32_t cap)
{
    uint32_t count = node_hints(admin->node, ret, cap);
    for (uint32_t i = 0; i < admin->views_count; i++) {
        const struct view *view = admin->views[i];
        uint32_t known = MIN(view->hints_count, (uint32_t)VIEW_HINTS_MAX);
        for (uint32_t k = 0; k < known && count + k < cap; k++)
            ret[count + k] = view->hints[k];
        count += view->hints_count;
    }
    return count;
}

uint32_t admin_transfers(const struct admin *admin, struct transfer_status *ret, uint32_t cap)
{
    uint32_t count = node_transfers(admin->node, ret, cap);
    for (uint32_t i = 0; i < admin->views_count; i++) {
        const struct view *view = admin->views[i];
        for (uint32_t k = 0; k < view->transfers_count && count < cap; k++)
            ret[count++] = view->transfers[k];
    }
    return count;
}

struct range_stat admin_range_stat(const struct admin *admin, uint32_t range)
{
    for (uint32_t i = 0; i < admin->views_count; i++) {
        const struct view *view = admin->views[i];
        if (range >= view->ranges_first && range - view->ranges_first < view->ranges_count)
            return view->ranges[range - view->ranges_first];
    }
    return admin->storage != NULL ? storage_range_stat(admin->storage, range)
                                  : store_range_stat(admin->store, range);
}
