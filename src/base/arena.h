/* Bump allocator for memory that is given back all at once. Zeroed is empty and valid. */
#ifndef ARENA_H
#define ARENA_H

#include "base/base.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* Owned; newest first. */
    size_t used;                /* Bytes handed out since the last reset. */
};

/* SIZE bytes, aligned for any type, not zeroed, valid until the next reset. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((malloc, returns_nonnull));
void *arena_zero(struct arena *arena, size_t size) __attribute__((malloc, returns_nonnull));
struct slice arena_copy(struct arena *arena, struct slice bytes);
/* Forget everything; keeps one block so that a steady user allocates nothing. */
void arena_reset(struct arena *arena);
void arena_done(struct arena *arena);

#endif
