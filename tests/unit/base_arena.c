#include "base/arena.h"

#include <criterion/criterion.h>

Test(arena, memory_is_aligned_and_distinct)
{
    struct arena arena = {0};
    uint8_t *pieces[500];
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        pieces[i] = arena_alloc(&arena, i);
        cr_assert_eq((uintptr_t)pieces[i] % _Alignof(max_align_t), 0);
        memset(pieces[i], (int)i, i);
    }
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        for (size_t at = 0; at < i; at++)
            cr_assert_eq(pieces[i][at], (uint8_t)i);
    }
    arena_done(&arena);
}

Test(arena, copies_and_zeroes)
{
    struct arena arena = {0};
    memset(arena_alloc(&arena, 256), 0xff, 256);
    arena_reset(&arena);
    uint8_t *zeroes = arena_zero(&arena, 256);
    for (int i = 0; i < 256; i++)
        cr_assert_eq(zeroes[i], 0);
    char text[] = "borrowed";
    struct slice copy = arena_copy(&arena, slice_string(text));
    text[0] = 'x';
    cr_assert(slice_equal(copy, slice_string("borrowed")));
    cr_assert_eq(arena_copy(&arena, SLICE_NONE).size, 0);
    arena_done(&arena);
}

Test(arena, a_steady_user_gets_the_same_block_again)
{
    struct arena arena = {0};
    for (int i = 0; i < 3; i++) {
        arena_reset(&arena);
        for (int j = 0; j < 100; j++)
            arena_alloc(&arena, 1000);
    }
    arena_reset(&arena);
    void *first = arena_alloc(&arena, 100000);
    arena_reset(&arena);
    cr_assert_eq(arena.used, 0);
    cr_assert_eq(arena_alloc(&arena, 100000), first);
    arena_done(&arena);
}

Test(arena, a_great_allocation_is_given_back)
{
    struct arena arena = {0};
    memset(arena_alloc(&arena, 64 << 20), 1, 64 << 20);
    arena_reset(&arena);
    memset(arena_alloc(&arena, 10), 1, 10);
    arena_reset(&arena);
    arena_done(&arena);
    arena_reset(&arena);
    cr_assert_null(arena.blocks);
}
