/* Versions that were made again, and say their first dot. */
#include "base/bytes.h"
#include "base/error.h"
#include "object_rig.h"

/* One write under two dots, D1 and later D2; S, whose acknowledgement made it necessary; E, of a
 * client that had read D1. In whatever order they meet: who overwrote D1 has overwritten D2. */
static void renamed(uint64_t overwriter_hlc, bool stays)
{
    struct buf parts[4] = {{0}};
    struct update first = update_of(1, 5, POLICY_NEWEST);
    struct update other = update_of(2, 1, POLICY_NEWEST);
    other.hlc = 3000;
    apply(&parts[0], &first);
    apply(&parts[1], &other);
    struct buf context = {0};
    cr_assert_eq(object_context(buf_slice(&parts[0]), 1, text("b"), text("k"), &context), 0);
    struct update overwriter = update_of(3, 1, POLICY_NEWEST);
    overwriter.blind = false;
    overwriter.context = buf_slice(&context);
    overwriter.hlc = overwriter_hlc;
    apply(&parts[2], &overwriter);
    struct update again = first;
    again.first = first.dot;
    again.dot.counter = 7;
    again.hlc = 3001;
    buf_append(&parts[3], buf_slice(&parts[0]));
    merge_into(&parts[3], buf_slice(&parts[1]));
    apply(&parts[3], &again);

    struct buf expected = {0};
    for (uint32_t order = 0; order < 256; order++) {
        struct buf merged = {0};
        uint32_t seen = 0;
        for (uint32_t i = 0; i < 4; i++) {
            seen |= 1u << (order >> 2 * i & 3);
            merge_into(&merged, buf_slice(&parts[order >> 2 * i & 3]));
        }
        for (uint32_t i = 0; i < 4; i++) /* Whoever has not come yet does now. */
            if (!(seen >> i & 1))
                merge_into(&merged, buf_slice(&parts[i]));
        if (expected.size == 0)
            buf_append(&expected, buf_slice(&merged));
        cr_assert(slice_equal(buf_slice(&merged), buf_slice(&expected)));
        cr_assert_eq(object_check(buf_slice(&merged)), 0);
        buf_done(&merged);
    }
    struct arena arena = {0};
    struct object object;
    cr_assert_eq(object_decode(buf_slice(&expected), &arena, &object), 0);
    cr_assert_eq(object.count, stays ? 2 : 1);
    cr_assert_eq(object_hlc(buf_slice(&expected)), stays ? 3001 : overwriter_hlc);
    arena_done(&arena);
    for (uint32_t i = 0; i < 4; i++)
        buf_done(&parts[i]);
    buf_done(&context);
    buf_done(&expected);
}

Test(again, a_write_that_says_its_first_dot_goes_with_it)
{
    renamed(4000, false);
    renamed(2000, true); /* It would uncover what it is older than. */
}

Test(again, what_was_overwritten_meanwhile_is_not_made_again)
{
    struct buf local = {0};
    struct buf context = {0};
    struct buf made = {0};
    struct update first = update_of(1, 5, POLICY_NEWEST);
    apply(&local, &first);
    cr_assert_eq(object_context(buf_slice(&local), 1, text("b"), text("k"), &context), 0);
    struct update again = first;
    again.first = first.dot;
    again.dot.counter = 7;
    cr_assert_eq(object_update(buf_slice(&local), &again, &made, NULL), 0);
    buf_clear(&made);
    struct update overwriter = update_of(3, 1, POLICY_NEWEST);
    overwriter.blind = false;
    overwriter.context = buf_slice(&context);
    apply(&local, &overwriter);
    cr_assert_eq(object_update(buf_slice(&local), &again, &made, NULL), ERR_CONFLICT);
    cr_assert_eq(made.size, 0);
    buf_done(&made);
    buf_done(&context);
    buf_done(&local);
}

Test(again, a_first_dot_that_the_context_does_not_cover_is_corrupt)
{
    struct buf object = {0};
    struct update update = update_of(1, 7, POLICY_NEWEST);
    update.first = (struct dot){1, 5};
    apply(&object, &update);
    cr_assert_eq(object_check(buf_slice(&object)), 0);
    /* Flags, then the first dot's actor and counter, then the value: length and 5 bytes. */
    uint8_t *counter = object.data + object.size - 7;
    cr_assert_eq(*counter, 5);
    *counter = 6;
    cr_assert_eq(object_check(buf_slice(&object)), ERR_CORRUPT);
    *counter = 0;
    cr_assert_eq(object_check(buf_slice(&object)), ERR_CORRUPT);
    buf_done(&object);
}
