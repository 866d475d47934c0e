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

static void sift_up(struct heap *heap, size_t at)
{
    struct heap_node *node = heap->nodes[at];
    while (at > 0 && earlier(node, heap->nodes[(at - 1) / 2])) {
        place(heap, heap->nodes[(at - 1) / 2], at);
        at = (at - 1) / 2;
    }
    place(heap, node, at);
}

static void sift_down(struct heap *heap, size_t at)
{
    struct heap_node *node = heap->nodes[at];
    for (size_t child = 2 * at + 1; child < heap->count; child = 2 * at + 1) {
        if (child + 1 < heap->count && earlier(heap->nodes[child + 1], heap->nodes[child]))
            child++;
        if (!earlier(heap->nodes[child], node))
            break;
        place(heap, heap->nodes[child], at);
        at = child;
    }
    place(heap, node, at);
}

void heap_set(struct heap *heap, struct heap_node *node, uint64_t time)
{
    if (node->index != 0) {
        ASSERT(node->index <= heap->count && heap->nodes[node->index - 1] == node);
        node->time = time;
        node->order = heap->next_order++;
        sift_up(heap, node->index - 1);
        sift_down(heap, node->index - 1);
        return;
    }
    if (heap->count == heap->capacity) {
        heap->capacity = MAX(heap->capacity * 2, (size_t)16);
        heap->nodes = mem_grow(heap->nodes, heap->capacity * sizeof *heap->nodes);
    }
    node->time = time;
    node->order = heap->next_order++;
    place(heap, node, heap->count++);
    sift_up(heap, node->index - 1);
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
    place(heap, last, at);
    sift_up(heap, at);
    sift_down(heap, last->index - 1);
}

struct heap_node *heap_peek(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->nodes[0];
}
