#include "store/metas.h"

#include <stdlib.h>

#include "base/checksum.h"

struct meta_node {
    struct meta_node *next;       /* Of equal hash. */
    struct meta_node *dirty_next; /* While dirty. */
    bool dirty;
    struct buf value; /* Empty: deleted. */
    size_t key_size;
    uint8_t key[];
};

static struct slice node_key(const struct meta_node *node)
{
    return slice_of(node->key, node->key_size);
}

static struct meta_node *find(const struct metas *metas, struct slice key, uint64_t hash)
{
    struct meta_node *node = map_get(&metas->map, hash);
    while (node && !slice_equal(node_key(node), key))
        node = node->next;
    return node;
}

void metas_done(struct metas *metas)
{
    size_t cursor = 0;
    for (struct meta_node *node; (node = map_next(&metas->map, &cursor, NULL));) {
        while (node) {
            struct meta_node *next = node->next;
            buf_done(&node->value);
            mem_free(node);
            node = next;
        }
    }
    map_done(&metas->map);
    *metas = (struct metas){0};
}

void metas_set(struct metas *metas, struct slice key, struct slice value, bool dirty)
{
    uint64_t hash = checksum64(key, 0);
    struct meta_node *node = find(metas, key, hash);
    if (!node) {
        node = mem_zero(sizeof(*node) + key.size);
        node->key_size = key.size;
        memcpy(node->key, key.data, key.size);
        node->next = map_put(&metas->map, hash, node);
        metas->count++;
    }
    buf_clear(&node->value);
    buf_append(&node->value, value);
    if (dirty && !node->dirty) {
        node->dirty = true;
        node->dirty_next = metas->dirty;
        metas->dirty = node;
    }
}

struct slice metas_get(const struct metas *metas, struct slice key)
{
    const struct meta_node *node = find(metas, key, checksum64(key, 0));
    return node ? buf_slice(&node->value) : SLICE_NONE;
}

static int by_key(const void *a, const void *b)
{
    return slice_compare(((const struct meta *)a)->key, ((const struct meta *)b)->key);
}

static struct meta meta_copy(const struct meta_node *node, struct arena *arena)
{
    return (struct meta){arena_copy(arena, node_key(node)),
                         arena_copy(arena, buf_slice(&node->value))};
}

struct meta *metas_list(const struct metas *metas, struct arena *arena, uint32_t *ret_count)
{
    struct meta *list = arena_alloc(arena, (metas->count + 1u) * sizeof(*list));
    uint32_t count = 0;
    size_t cursor = 0;
    for (struct meta_node *node; (node = map_next(&metas->map, &cursor, NULL));)
        for (; node; node = node->next)
            if (node->value.size > 0 && node->key[0] != 0)
                list[count++] = meta_copy(node, arena);
    qsort(list, count, sizeof(*list), by_key);
    *ret_count = count;
    return list;
}

struct meta *metas_freeze(struct metas *metas, struct arena *arena, uint32_t *ret_count)
{
    uint32_t count = 0;
    for (struct meta_node *node = metas->dirty; node; node = node->dirty_next)
        count++;
    struct meta *list = arena_alloc(arena, (count + 1u) * sizeof(*list));
    count = 0;
    for (struct meta_node *node = metas->dirty; node; node = node->dirty_next) {
        list[count++] = meta_copy(node, arena);
        node->dirty = false;
    }
    metas->dirty = NULL;
    qsort(list, count, sizeof(*list), by_key);
    *ret_count = count;
    return list;
}
