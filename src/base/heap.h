/* Binary heap of timers, earliest first; equal times come out in the order they were set, so that
 * a replay fires them alike. The caller embeds struct heap_node. */
#ifndef HEAP_H
#define HEAP_H

#include "base/base.h"

struct heap_node {
    uint64_t time;
    uint64_t order;
    size_t index; /* Position + 1; 0 when not in a heap. */
};

struct heap {
    struct heap_node **nodes; /* Owned array of borrowed nodes. */
    size_t count;
    size_t capacity;
    uint64_t next_order;
};

void heap_done(struct heap *heap);
/* Insert NODE, or move it if it is in the heap already. */
void heap_set(struct heap *heap, struct heap_node *node, uint64_t time);
/* No-op when NODE is in no heap. */
void heap_remove(struct heap *heap, struct heap_node *node);
/* The earliest node or NULL. */
struct heap_node *heap_peek(const struct heap *heap);

#endif
