/* Are keys what they were, and where a look-up finds them? */
#include "store/disk_pages_own.h"

/* The keys that bound what is below the cursor's branches: from the nearest one that has a node on
 * that side. Empty: none. */
static bool find_bounds(struct disk_pages *pages, const struct disk_pages_cursor *cursor,
                        struct slice *ret_low, struct slice *ret_high)
{
    struct node node;
    *ret_low = *ret_high = SLICE_NONE;
    for (uint32_t i = 0; i + 1 < cursor->depth; i++) {
        const uint8_t *page = cursor->levels[i].page;
        uint32_t index = cursor->levels[i].index;
        if (index > 0 && !node_at(pages, page, index, &node))
            return false;
        if (index > 0)
            *ret_low = node.key;
        bool last = index + 1 >= nodes_count(pages, page);
        if (!last && !node_at(pages, page, index + 1, &node))
            return false;
        if (!last)
            *ret_high = node.key;
    }
    return true;
}

static bool is_sound(const struct disk_judge *judge, const struct node *node)
{
    bool here = !(node->flags & NODE_BIG) && node->word <= node->room;
    return judge->is_sound == NULL ||
           judge->is_sound(judge->seed, node->key,
                           here ? slice_of(node->data, node->word) : SLICE_NONE);
}

bool disk_pages_sound(struct disk_pages *pages, const struct disk_judge *judge,
                      enum disk_table table, struct slice key, const uint8_t **last_leaf)
{
    struct disk_pages_cursor cursor;
    struct slice before, high;
    struct node node;
    bool equal;
    if (disk_pages_go_to(pages, table, key, true, &cursor, &equal) != 0 ||
        cursor.place == *last_leaf)
        return true;
    *last_leaf = cursor.place;
    if (!find_bounds(pages, &cursor, &before, &high))
        return true;
    uint32_t count = nodes_count(pages, cursor.place);
    for (uint32_t i = 0; i < count; i++) {
        if (!node_at(pages, cursor.place, i, &node))
            return true;
        int order = slice_compare(before, node.key);
        if (order > 0 || (order == 0 && i > 0) || !is_sound(judge, &node))
            return false;
        before = node.key;
    }
    return high.size == 0 || slice_compare(before, high) < 0;
}
