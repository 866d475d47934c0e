#include "core/accept.h"

#include "core/fallbacks.h"
#include "data/fork.h"

/* Who begins RANGE anew if nothing of it is left: whoever stands in for it has its hints already.
 */
static struct node_id heir_of(const struct core *core, uint32_t range,
                              const struct lost_nodes *lost)
{
    struct node_id standing[SLOTS_MAX];
    uint32_t count = fallbacks(core, range, standing, SLOTS_MAX);
    for (uint32_t i = 0; i < count; i++)
        if (!lost_nodes_have(lost, standing[i]))
            return standing[i];
    return NODE_NONE;
}

uint32_t accept_forks(const struct core *core, struct node_id id, struct prng *prng,
                      struct range_record **ret_forks)
{
    const struct lost_nodes lost = {&core->members, id};
    struct range_record *forks = NULL;
    uint32_t count = 0;
    uint32_t capacity = 0;
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++) {
        const struct range_record *record = ring_get(&core->ring, range);
        struct range_record fork;
        if (!fork_needed(record, &lost))
            continue;
        fork_make(record, &lost, prng_next(prng) | 1, heir_of(core, range, &lost), &fork);
        if (!record_check(&fork, ring_ranges(&core->ring)))
            continue;
        if (count == capacity) {
            capacity = MAX(64u, capacity * 2);
            forks = mem_grow(forks, capacity * sizeof(*forks));
        }
        forks[count++] = fork;
    }
    *ret_forks = forks;
    return count;
}
