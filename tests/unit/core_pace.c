/* The pace of work in the background: it gives way to requests, and comes back. */
#include <criterion/criterion.h>

#include "core/pace.h"

static const struct node_id peer = {1, 2};

/* One second in which each of COUNT requests took US, and the background moved BYTES. */
static void second(struct pace *pace, uint64_t *now_us, uint32_t count, uint64_t us, uint64_t bytes)
{
    for (uint32_t i = 0; i < count; i++)
        pace_answered(pace, us);
    if (bytes > 0)
        pace_take(pace, *now_us, peer, bytes);
    *now_us += PACE_LOOK_US;
    pace_look(pace, 0, true);
    pace_check(pace);
}

/* Ten seconds in which requests took US and nothing else went on. */
static void calm_seconds(struct pace *pace, uint64_t *now_us, uint64_t us)
{
    for (int i = 0; i < 10; i++)
        second(pace, now_us, 100, us, 0);
}

Test(core_pace, while_nobody_asks_nothing_is_held_back)
{
    struct pace pace;
    uint64_t now_us = 0;
    pace_init(&pace);
    cr_assert_eq(pace_rate(&pace), PACE_RATE_FIRST);
    cr_assert_eq(pace_move_rate(&pace), PACE_RATE_FIRST);
    second(&pace, &now_us, 0, 0, 1000);
    cr_assert_eq(pace_rate(&pace), PACE_RATE_MAX);
    cr_assert_eq(pace_move_rate(&pace), PACE_RATE_MAX);
    pace_look(&pace, 0, false);
    cr_assert_eq(pace_move_rate(&pace), PACE_RATE_FIRST, "somebody asks another node");
    second(&pace, &now_us, 100, 500, 0);
    cr_assert_eq(pace_move_rate(&pace), PACE_RATE_FIRST, "or this one");
}

Test(core_pace, it_falls_while_requests_are_slower_than_by_themselves)
{
    struct pace pace;
    uint64_t now_us = 0;
    pace_init(&pace);
    calm_seconds(&pace, &now_us, 4000);
    cr_assert(pace.calm_us >= 4000 && pace.calm_us <= 5000, "%llu",
              (unsigned long long)pace.calm_us);
    second(&pace, &now_us, 100, 20000, PACE_RATE_FIRST);
    cr_assert_eq(pace.rate, PACE_RATE_FIRST / 2);
    cr_assert_eq(pace.slowed, 1);
    for (int i = 0; i < 8; i++)
        second(&pace, &now_us, 100, 20000, PACE_RATE_CALM + 1);
    cr_assert_eq(pace.rate, PACE_RATE_MIN);
    /* The background was it: requests are as fast as before, and so it grows again. */
    for (int i = 0; i < 40; i++)
        second(&pace, &now_us, 100, 4000, pace.rate);
    cr_assert_eq(pace.rate, PACE_RATE_MAX);
}

Test(core_pace, it_falls_by_as_much_as_requests_are_too_slow)
{
    struct pace pace;
    uint64_t now_us = 0;
    pace_init(&pace);
    calm_seconds(&pace, &now_us, 4000);
    /* What was learnt, half as much again, is the limit: at four thirds of that, three quarters. */
    uint64_t p99_us = pace.limit_us * 4 / 3;
    pace_look(&pace, p99_us, true);
    cr_assert_eq(pace.rate, PACE_RATE_FIRST * pace.limit_us / p99_us);
}

Test(core_pace, what_was_not_spent_says_nothing)
{
    struct pace pace;
    uint64_t now_us = 0;
    pace_init(&pace);
    for (int i = 0; i < 40; i++)
        second(&pace, &now_us, 100, 500, 0);
    cr_assert_eq(pace.rate, PACE_RATE_FIRST);
    for (int i = 0; i < 40; i++)
        second(&pace, &now_us, 100, 500, 10 << 20);
    cr_assert_eq(pace.rate, 20 << 20);
    second(&pace, &now_us, 100, 100000, 10 << 20);
    cr_assert_eq(pace.rate, 5 << 20, "half of what was spent");
}

Test(core_pace, a_load_that_is_slow_by_itself_does_not_hold_it_for_ever)
{
    struct pace pace;
    uint64_t now_us = 0;
    pace_init(&pace);
    for (int i = 0; i < 10; i++)
        second(&pace, &now_us, 100, 2000, PACE_RATE_FIRST);
    second(&pace, &now_us, 100, 30000, PACE_RATE_FIRST);
    second(&pace, &now_us, 100, 30000, pace.rate);
    cr_assert_lt(pace.rate, PACE_RATE_CALM);
    int seconds = 0;
    while (pace.rate < PACE_RATE_FIRST && seconds++ < 60)
        second(&pace, &now_us, 100, 30000, pace.rate);
    cr_assert_lt(seconds, 60);
}

Test(core_pace, what_takes_next_to_no_time_is_never_slow)
{
    struct pace pace;
    uint64_t now_us = 0;
    pace_init(&pace);
    calm_seconds(&pace, &now_us, 100);
    for (int i = 0; i < 10; i++)
        second(&pace, &now_us, 100, PACE_SLOW_US / 2, 1 << 20);
    cr_assert_eq(pace.slowed, 0);
}

Test(core_pace, what_peers_say_of_their_requests_counts)
{
    struct pace pace;
    pace_init(&pace);
    for (int i = 0; i < 5; i++)
        pace_look(&pace, 3000, true);
    pace_take(&pace, 0, peer, 1 << 20);
    cr_assert_eq(pace.peers_count, 1);
    pace_look(&pace, 50000, true);
    cr_assert_eq(pace.slowed, 1);
    cr_assert_eq(pace.peers_count, 0);
}

Test(core_pace, few_requests_are_gathered_until_they_tell)
{
    struct pace pace;
    uint64_t now_us = 0;
    pace_init(&pace);
    for (int i = 0; i < 20; i++)
        second(&pace, &now_us, 5, 4000, 0);
    cr_assert_gt(pace.calm_us, 0);
    for (int i = 0; i < 4; i++)
        second(&pace, &now_us, 5, 90000, 1 << 20);
    cr_assert_gt(pace.slowed, 0);
}

Test(core_pace, what_was_begun_is_paid_for_before_the_next_begins)
{
    struct pace pace;
    pace_init(&pace);
    cr_assert(pace_free(&pace, 1000));
    pace_take(&pace, 1000, peer, PACE_RATE_FIRST / 2);
    cr_assert(!pace_free(&pace, 1000));
    cr_assert(!pace_free(&pace, 500999));
    cr_assert(pace_free(&pace, 501000));
    /* What costs more than is known beforehand lengthens the wait, whoever caused it. */
    pace_take(&pace, 400000, peer, PACE_RATE_FIRST / 2);
    cr_assert(!pace_free(&pace, 1000999));
    cr_assert(pace_free(&pace, 1001000));
    cr_assert_eq(pace.total, PACE_RATE_FIRST);
}

Test(core_pace, it_costs_a_share_of_what_requests_cost_at_most)
{
    struct pace pace;
    uint64_t now_us = 0;
    pace_init(&pace);
    for (int i = 0; i < 40; i++)
        second(&pace, &now_us, 0, 0, 0);
    cr_assert_eq(pace_rate(&pace), PACE_RATE_MAX, "nobody is there");
    for (int i = 0; i < 20; i++)
        second(&pace, &now_us, 100, 500, 64 << 20);
    cr_assert_eq(pace_rate(&pace), PACE_SHARE_MIN, "a few requests leave it some of a processor");
    cr_assert_gt(pace_move_rate(&pace), 64 << 20, "moves are not held to it");
    second(&pace, &now_us, 20000, 500, 64 << 20);
    cr_assert_eq(pace_rate(&pace), 20000 * PACE_SHARE);
}

Test(core_pace, moves_and_the_rest_do_not_starve_each_other)
{
    struct pace pace;
    pace_init(&pace);
    pace_take_move(&pace, 1000, peer, PACE_RATE_FIRST / 2);
    cr_assert(pace_free(&pace, 1000));
    cr_assert_eq(pace.move_free_us, 501000);
    pace_take(&pace, 1000, peer, PACE_RATE_FIRST / 2);
    cr_assert_eq(pace.move_free_us, 501000);
    cr_assert_eq(pace.spent, PACE_RATE_FIRST, "what requests may feel is both");
}

Test(core_pace, what_is_seen_first_is_not_taken_for_calm_while_much_is_spent)
{
    struct pace pace;
    uint64_t now_us = 0;
    pace_init(&pace);
    second(&pace, &now_us, 100, 50000, 100 << 20);
    cr_assert_eq(pace.slowed, 1);
    for (int i = 0; i < 10; i++)
        second(&pace, &now_us, 100, 4000, pace.rate);
    cr_assert_leq(pace.limit_us, 10000);
}
