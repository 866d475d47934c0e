/* Figures of hints, their bounds, and the tenures of a fallback. */
#include <criterion/criterion.h>

#include "base/error.h"
#include "core/hinted.h"

static struct hint_change grows(uint32_t before, uint32_t after, uint8_t slots)
{
    return (struct hint_change){before, after, before > 0 ? slots : 0, after > 0 ? slots : 0};
}

static void change(struct hinted *hinted, uint32_t range, uint32_t before, uint32_t after)
{
    struct hint_change one = grows(before, after, 1);
    hinted_change(hinted, range, &one, SLICE_NONE);
}

Test(core_hinted, nothing_is_taken_before_all_is_counted)
{
    struct hinted hinted = {.bytes_max = 1000};
    cr_assert_eq(hinted_room(&hinted, 1, 10), ERR_BUSY);
    cr_assert_eq(hinted_oldest(&hinted), 1u, "nobody knows yet");
    hinted.counted = true;
    cr_assert_eq(hinted_room(&hinted, 1, 10), 0);
    cr_assert_eq(hinted_oldest(&hinted), 0u);
    hinted.closed = true;
    cr_assert_eq(hinted_room(&hinted, 1, 10), ERR_BUSY);
    hinted_done(&hinted);
}

Test(core_hinted, bytes_are_bounded_in_all_and_by_range)
{
    struct hinted hinted = {.bytes_max = 1000, .counted = true};
    for (uint32_t range = 0; range < HINT_SHARE; range++) {
        cr_assert_eq(hinted_room(&hinted, range, 250), 0);
        change(&hinted, range, 0, 250);
        cr_assert_eq(hinted_room(&hinted, range, 1), ERR_BUSY, "a range takes its share only");
    }
    cr_assert_eq(hinted.bytes, 1000u);
    cr_assert_eq(hinted_room(&hinted, 99, 1), ERR_BUSY, "and all together no more than that");
    change(&hinted, 2, 250, 0);
    cr_assert_eq(hinted.keys, HINT_SHARE - 1u);
    cr_assert_null(hinted_find(&hinted, 2));
    cr_assert_eq(hinted_room(&hinted, 99, 250), 0);
    hinted_done(&hinted);
}

Test(core_hinted, a_tenure_ends_before_a_hint_may_leave)
{
    struct hinted hinted = {.bytes_max = 1000, .counted = true};
    uint64_t first = hinted_tenure(&hinted, 5, 3);
    cr_assert_eq(hinted_tenure(&hinted, 5, 3), first);
    cr_assert_neq(hinted_tenure(&hinted, 6, 3), first, "one for each range");
    change(&hinted, 5, 0, 10);
    hinted_renew_tenure(&hinted, 5);
    uint64_t second = hinted_tenure(&hinted, 5, 3);
    cr_assert_neq(second, first);
    struct hinted next = {.counted = true};
    cr_assert_neq(hinted_tenure(&next, 5, 4), first, "no tenure outlives the process");
    cr_assert(first >> 63, "no reader's tenure has the top bit");
    hinted_done(&hinted);
    hinted_done(&next);
}

Test(core_hinted, what_a_scan_found_is_how_it_is)
{
    struct hinted hinted = {.bytes_max = 1000, .counted = true};
    /* One of two rotted, and was counted once more when it was written anew. */
    change(&hinted, 1, 0, 100);
    change(&hinted, 1, 0, 100);
    change(&hinted, 1, 0, 100);
    change(&hinted, 2, 0, 50);
    struct entry entries[2] = {{.bucket = slice_string("b"), .key = slice_string("k")},
                               {.bucket = slice_string("b"), .key = slice_string("l")}};
    uint8_t slots[2] = {1, 0}; /* The second is damaged. */
    hinted_recount(&hinted, 1, entries, slots, 2);
    cr_assert_eq(hinted.keys, 2u);
    cr_assert_eq(hinted_find(&hinted, 1)->keys, 1u);
    cr_assert_eq(hinted_find(&hinted, 1)->bytes, 11u);
    cr_assert_eq(hinted.bytes, 61u);
    hinted_recount(&hinted, 1, NULL, NULL, 0);
    cr_assert_null(hinted_find(&hinted, 1));
    hinted_recount(&hinted, 3, NULL, NULL, 0);
    cr_assert_eq(hinted.keys, 1u);
    change(&hinted, 2, 50, 0);
    cr_assert_eq(hinted_inexact(&hinted), UINT32_MAX, "nothing is left of it");
    hinted_done(&hinted);
}

Test(core_hinted, what_has_left_may_have_been_the_oldest)
{
    struct hinted hinted = {.bytes_max = 1000, .counted = true};
    change(&hinted, 7, 0, 100);
    change(&hinted, 7, 0, 100);
    cr_assert_eq(hinted_inexact(&hinted), UINT32_MAX);
    change(&hinted, 7, 100, 0);
    cr_assert_eq(hinted_inexact(&hinted), 7u);
    struct entry entry = {.bucket = slice_string("b"), .key = slice_string("k")};
    uint8_t slot = 1;
    hinted_recount(&hinted, 7, &entry, &slot, 1);
    cr_assert_eq(hinted_inexact(&hinted), UINT32_MAX);
    hinted_done(&hinted);
}
