/* Once a second: what requests took, here and at the nodes that take part in work in the
 * background, decides how fast that may go (pace.h). */
#include "core/node_private.h"

/* Has nobody asked any node for anything of late? Only the first shard knows what clients ask of
 * its node (docs/decisions/0036). */
static bool is_quiet(const struct core *core, const struct load_table *loads)
{
    if (core->shard != 0)
        return false;
    for (uint32_t i = 0; i < loads->count; i++)
        if (loads->loads[i].ops_per_s > 0 && core_is_up(core, loads->loads[i].id))
            return false;
    return true;
}

static void look(struct core *core, void *machine, struct timer *timer)
{
    struct node *node = machine;
    struct pace *pace = &core->pace;
    uint64_t peers_p99_us = 0;
    for (uint32_t i = 0; i < pace->peers_count; i++) {
        const struct load *load = loads_find(&node->gossip.loads, pace->peers[i]);
        if (load != NULL && core_is_up(core, pace->peers[i]))
            peers_p99_us = MAX(peers_p99_us, (uint64_t)load->p99_us);
    }
    pace_look(pace, peers_p99_us, is_quiet(core, &node->gossip.loads));
    core_timer_set(core, timer, core->now.us + PACE_LOOK_US);
}

void node_pace_start(struct node *node)
{
    node->pace.fire = look;
    node->pace.machine = node;
    core_timer_set(&node->core, &node->pace, node->core.now.us + PACE_LOOK_US);
}
