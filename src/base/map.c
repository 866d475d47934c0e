/* Open addressing with linear probing (Knuth, TAOCP 3, section 6.4, algorithms L and R): at most
 * three quarters full, and removal closes the gap, so look-ups never pass graves. */
#include "base/map.h"

enum { CAPACITY_MIN = 16 };

/* Finalizer of splitmix64: callers' keys may be consecutive numbers. */
static size_t home_of(const struct map *map, uint64_t key)
{
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
    return (size_t)(key ^ (key >> 31)) & (map->capacity - 1);
}

/* The entry of KEY, or the free one where it belongs. There always is a free one. */
static struct map_entry *locate(const struct map *map, uint64_t key)
{
    size_t at = home_of(map, key);
    while (map->entries[at].value != NULL && map->entries[at].key != key)
        at = (at + 1) & (map->capacity - 1);
    return &map->entries[at];
}

static void grow(struct map *map)
{
    struct map grown = {.capacity = MAX(map->capacity * 2, (size_t)CAPACITY_MIN),
                        .count = map->count};
    grown.entries = mem_zero(grown.capacity * sizeof *grown.entries);
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->entries[i].value != NULL)
            *locate(&grown, map->entries[i].key) = map->entries[i];
    }
    mem_free(map->entries);
    *map = grown;
}

void map_done(struct map *map)
{
    mem_free(map->entries);
    *map = (struct map){0};
}

void *map_get(const struct map *map, uint64_t key)
{
    return map->count == 0 ? NULL : locate(map, key)->value;
}

void *map_put(struct map *map, uint64_t key, void *value)
{
    ASSERT(value != NULL);
    if (map->count >= map->capacity / 4 * 3)
        grow(map);
    struct map_entry *entry = locate(map, key);
    void *replaced = entry->value;
    *entry = (struct map_entry){key, value};
    map->count += replaced == NULL;
    return replaced;
}

void *map_remove(struct map *map, uint64_t key)
{
    if (map->count == 0)
        return NULL;
    struct map_entry *entry = locate(map, key);
    void *removed = entry->value;
    if (removed == NULL)
        return NULL;
    size_t mask = map->capacity - 1;
    size_t hole = (size_t)(entry - map->entries);
    for (size_t at = (hole + 1) & mask; map->entries[at].value != NULL; at = (at + 1) & mask) {
        /* An entry may move back to the hole unless its home lies after the hole. */
        size_t home = home_of(map, map->entries[at].key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->entries[hole] = map->entries[at];
            hole = at;
        }
    }
    map->entries[hole] = (struct map_entry){0};
    map->count--;
    return removed;
}

void *map_next(const struct map *map, size_t *cursor, uint64_t *ret_key)
{
    while (*cursor < map->capacity) {
        const struct map_entry *entry = &map->entries[(*cursor)++];
        if (entry->value != NULL) {
            if (ret_key != NULL)
                *ret_key = entry->key;
            return entry->value;
        }
    }
    return NULL;
}
