#include "base/heap.h"
#include "base/prng.h"

#include <criterion/criterion.h>

Test(heap, nodes_leave_by_time_then_by_order_of_setting)
{
    enum { NODES = 300 };
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct heap heap = {0};
        struct heap_node nodes[NODES] = {0};
        for (int step = 0; step < 2000; step++) {
            struct heap_node *node = &nodes[prng_below(&prng, NODES)];
            if (prng_below(&prng, 4) == 0) {
                heap_remove(&heap, node);
                cr_assert_eq(node->index, 0);
            } else {
                heap_set(&heap, node, prng_below(&prng, 50));
            }
        }
        size_t left = heap.count;
        struct heap_node last = {0};
        for (struct heap_node *node; (node = heap_peek(&heap)) != NULL; left--) {
            cr_assert(last.time < node->time ||
                          (last.time == node->time && last.order <= node->order),
                      "seed %lu", seed);
            last = *node;
            heap_remove(&heap, node);
        }
        cr_assert_eq(left, 0);
        heap_done(&heap);
    }
}

Test(heap, equal_times_are_first_come_first_served)
{
    struct heap heap = {0};
    struct heap_node nodes[10] = {0};
    for (int i = 0; i < 10; i++)
        heap_set(&heap, &nodes[i], 7);
    heap_set(&heap, &nodes[0], 7);
    for (int i = 1; i <= 10; i++) {
        cr_assert_eq(heap_peek(&heap), &nodes[i % 10]);
        heap_remove(&heap, &nodes[i % 10]);
    }
    heap_done(&heap);
}
