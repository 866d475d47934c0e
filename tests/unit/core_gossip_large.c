/* Gossip where tables are too large to be listed on a page, or members too many to be looked at. */
#include "core_cluster.h"

static void fill_settings(uint32_t n, uint32_t count)
{
    char name[SETTING_NAME_SIZE_MAX + 1];
    for (uint32_t i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "config/%0120u", i);
        struct setting setting = {.name = slice_string(name),
                                  .counter = 1,
                                  .writer = node_of(0),
                                  .value = slice_string("v")};
        setting_merge(&world->nodes[n].core.settings, &setting);
    }
}

static uint64_t bytes_sent(void)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < world->count; i++)
        bytes += world->nodes[i].bytes_sent;
    return bytes;
}

/* A change costs as many bytes among large tables as among small ones, within reason. */
Test(gossip, news_does_not_make_nodes_list_large_tables)
{
    world_begin(20, 31, 6);
    world_start_all();
    for (uint32_t n = 0; n < 20; n++)
        fill_settings(n, 3000); /* A bucket of them makes twenty pages. */
    world_run(20 * SECOND);
    cr_assert(all_equal());
    uint64_t before = bytes_sent(), ended = world->now + 60 * SECOND;
    for (uint32_t i = 0; world->now < ended; i++) {
        publish(i % 20, MEMBER_UP);
        world_run(SECOND);
    }
    double rate = (double)(bytes_sent() - before) / 60 / 20;
    cr_log_info("%.0f bytes/s", rate);
    cr_assert_leq(rate, 5000, "%f bytes/s", rate);
    cr_assert_neq(world_run_until(all_equal, 10 * SECOND), UINT64_MAX);
    world_end();
}

static bool all_have_all_settings(void)
{
    for (uint32_t n = 0; n < world->count; n++)
        if (world->nodes[n].core.settings.count != 3000)
            return false;
    return true;
}

/* A node that missed much gets it although others always have news to look at first. */
Test(gossip, old_differences_heal_while_there_is_news)
{
    world_begin(8, 32, 6);
    world_start_all();
    for (uint32_t n = 0; n < 8; n++)
        fill_settings(n, n == 5 ? 2000 : 3000);
    for (uint32_t second = 0; second < 240 && !all_have_all_settings(); second++) {
        publish(second % 8, MEMBER_UP);
        world_run(SECOND);
    }
    cr_assert(all_have_all_settings());
    world_end();
}

static bool living_have_setting(void)
{
    for (uint32_t i = 0; i < world->count; i++)
        if (world->nodes[i].running &&
            setting_value(&world->nodes[i].core.settings, slice_string("config/x")).size == 0)
            return false;
    return true;
}

/* Chance alone would seldom meet them. */
Test(gossip, the_living_find_each_other_among_many_dead)
{
    world_begin(120, 33, 6);
    world_start_all();
    world_run(15 * SECOND);
    for (uint32_t i = 3; i < 120; i++)
        node_stop(i);
    change_setting(0, "config/x", slice_string("1"));
    uint64_t us = world_run_until(living_have_setting, 10 * SECOND);
    cr_assert_neq(us, UINT64_MAX);
    for (uint32_t i = 3; i < 120; i++)
        node_start(i, 2, NULL, 0);
    cr_assert_neq(world_run_until(all_have_setting, 20 * SECOND), UINT64_MAX, "they heal");
    world_end();
}
