/* Hash map from 64-bit keys to pointers. Zeroed is empty and valid. Values are borrowed.
 *
 * Iteration is in an order that depends on the inserted keys and the order of calls only, never on
 * an address or a process-wide seed, so a replay sees the same order. */
#ifndef MAP_H
#define MAP_H

#include "base/base.h"

struct map_entry {
    uint64_t key;
    void *value; /* NULL marks a free entry. */
};

struct map {
    struct map_entry *entries; /* Owned. */
    size_t capacity;           /* 0 or a power of two. */
    size_t count;
};

void map_done(struct map *map);
void *map_get(const struct map *map, uint64_t key);
/* Insert or replace; VALUE is not NULL. Returns the value it replaced or NULL. */
void *map_put(struct map *map, uint64_t key, void *value);
/* Remove and return the value, NULL if there was none. */
void *map_remove(struct map *map, uint64_t key);
/* Walk: start with *CURSOR = 0, stops with NULL. The map must not change meanwhile. */
void *map_next(const struct map *map, size_t *cursor, uint64_t *ret_key);

#endif
