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
