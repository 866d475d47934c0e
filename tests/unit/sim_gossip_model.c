/* Gossip at scale keeps its goals (docs/gossip.md). */
#include "sim/gossip_model.h"

#include <criterion/criterion.h>

static struct gossip_figures run(uint32_t nodes, double loss, uint32_t changes)
{
    struct gossip_model_options options = {
        .nodes = nodes, .loss = loss, .seed = 20, .changes = changes};
    struct gossip_figures figures;
    gossip_model_run(&options, &figures);
    cr_log_info("%u nodes, loss %.1f: p99 %.2f rounds, idle %.0f bytes/s, busy %.0f", nodes, loss,
                figures.all.p99, figures.idle.bytes, figures.busy.bytes);
    cr_assert_eq(figures.unknown, 0, "%u changes are not known to all", figures.unknown);
    cr_assert_eq(figures.different, 0, "%u nodes differ in the end", figures.different);
    cr_assert_geq(figures.all.count, 4 * changes);
    cr_assert_leq(figures.message_bytes, 1400, "PacketBound");
    return figures;
}

static void assert_goals(uint32_t nodes, double loss, uint32_t changes, double rounds)
{
    struct gossip_figures figures = run(nodes, loss, changes);
    cr_assert_leq(figures.all.p99, rounds, "%f rounds", figures.all.p99);
    for (uint32_t kind = 0; kind < CHANGE_KINDS; kind++)
        cr_assert_geq(figures.kinds[kind].p50, 0.5, "nobody can know at once");
    cr_assert_leq(figures.idle.bytes, 2500, "%f bytes/s", figures.idle.bytes);
    cr_assert_geq(figures.idle.bytes, 1000, "somebody must still compare");
    cr_assert_gt(figures.busy.bytes, figures.idle.bytes);
    cr_assert_leq(figures.busy.bytes, 5000, "%f bytes/s", figures.busy.bytes);
}

Test(gossip_model, ten_nodes_keep_the_goals)
{
    assert_goals(10, 0, 30, 5);
    assert_goals(10, 0.1, 30, 7);
}

Test(gossip_model, a_hundred_nodes_keep_the_goals)
{
    assert_goals(100, 0, 30, 8);
    assert_goals(100, 0.1, 30, 10);
}

Test(gossip_model, a_thousand_nodes_keep_the_goals)
{
    assert_goals(1000, 0.1, 3, 15);
}

Test(gossip_model, one_seed_gives_one_result)
{
    struct gossip_figures a = run(20, 0.2, 4), b = run(20, 0.2, 4);
    cr_assert_eq(a.all.count, b.all.count);
    cr_assert_float_eq(a.all.p50, b.all.p50, 0);
    cr_assert_float_eq(a.all.p99, b.all.p99, 0);
    cr_assert_float_eq(a.all.max, b.all.max, 0);
    cr_assert_eq(a.messages, b.messages);
    cr_assert_float_eq(a.busy.bytes, b.busy.bytes, 0.0001);
}
