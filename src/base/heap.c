/* Binary heap (Knuth, TAOCP 3, section 5.2.3) of borrowed nodes that know their place. */
#include "base/heap.h"

void heap_done(struct heap *heap)
{
    mem_free(heap->nodes);
    *heap = (struct heap){0};
}

static bool earlier(const struct heap_node *a, const struct heap_node *b)
{
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

static void place(struct heap *heap, struct heap_node *node, size_t at)
{
    heap->nodes[at] = node;
    node->index = at + 1;
}

/* AT is free: put NODE there or, as far as it is earlier than what lies above, higher up. */
static void sift_up(struct heap *heap, struct heap_node *node, size_t at)
{
    while (at > 0 && earlier(node, heap->nodes[(at - 1) / 2])) {
        place(heap, heap->nodes[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    place(heap, node, at);
}

/* AT is free, and NODE is no earlier than what lies above it. The free place moves down to a leaf
 * first, and NODE up from there: it is mostly one that was late, so it ends near the leaves (Knuth,
 * section 5.2.3, exercise 18). */
static void sift_down(struct heap *heap, struct heap_node *node, size_t at)
{
    size_t count = heap->count;
    size_t child = 2 * at + 2;
    for (; child < count; child = 2 * at + 2) {
        child -= earlier(heap->nodes[child - 1], heap->nodes[child]);
        place(heap, heap->nodes[child], at);
        at = child;
    }
    if (child == count) {
        place(heap, heap->nodes[child - 1], at);
        at = child - 1;
    }
    sift_up(heap, node, at);
}

void heap_set(struct heap *heap, struct heap_node *node, uint64_t time)
{
    uint64_t before = node->time;
    node->time = time;
    node->order = heap->next_order++;
    if (node->index != 0) {
        ASSERT(node->index <= heap->count && heap->nodes[node->index - 1] == node);
        if (time < before)
            sift_up(heap, node, node->index - 1);
        else
            sift_down(heap, node, node->index - 1);
        return;
    }
    if (heap->count == heap->capacity) {
        heap->capacity = MAX(heap->capacity * 2, (size_t)16);
        heap->nodes = mem_grow(heap->nodes, heap->capacity * sizeof *heap->nodes);
    }
    sift_up(heap, node, heap->count++);
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    if (node->index == 0)
        return;
    size_t at = node->index - 1;
    ASSERT(at < heap->count && heap->nodes[at] == node);
    struct heap_node *last = heap->nodes[--heap->count];
    node->index = 0;
    if (last == node)
        return;
    if (earlier(last, node))
        sift_up(heap, last, at);
    else
        sift_down(heap, last, at);
}

struct heap_node *heap_peek(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->nodes[0];
}
