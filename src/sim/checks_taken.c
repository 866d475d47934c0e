/* Messages as they are handled: what a node takes into its store because of them. */
#include "sim/checks_own.h"
#include "sim/host.h"

/* Does MESSAGE bring what an earlier life of FROM had, while HOST knows of a later one? */
static bool is_forgotten(const struct world *world, uint32_t host, uint32_t from,
                         const struct message *message)
{
    uint32_t range = message->type == MESSAGE_OBJECTS ? message->compare.range.range : 0;
    const struct core *core = node_core(host_node_of(world->hosts[host], range));
    const struct member *member = member_find(&core->members, host_id(world->hosts[from]));
    return message->type == MESSAGE_OBJECTS && member != NULL &&
           message->compare.generation < member->generation;
}

void checks_handling(struct world *world, uint32_t host, uint32_t from,
                     const struct message *message)
{
    bool write = message->type == MESSAGE_WRITE || message->type == MESSAGE_HINT;
    world->checks->fresh[host] = write && !message->write.repair;
    world->checks->forgotten[host] = is_forgotten(world, host, from, message);
}

void checks_handled(struct world *world, uint32_t host)
{
    world->checks->fresh[host] = false;
    world->checks->forgotten[host] = false;
}

/* Who promised a floor takes nothing new at or below it: no later proof would see it. Nor would one
 * see what comes from a life that may have died before it had synced that. */
void checks_taken(struct world *world, uint32_t host, const struct store_op *op)
{
    const struct checks *checks = world->checks;
    uint8_t owner = token_owner(op->token);
    bool merges = op->type == STORE_MERGE || op->type == STORE_HINT_MERGE;
    bool asked = owner == OWNER_REPLICA || owner == OWNER_HINTS;
    if (checks->fresh[host] && merges && asked && object_hlc(op->object) <= checks->floors[host])
        world_violate(world, "HorizonSafe",
                      "%s takes a new version of range %u below the floor that it promised",
                      world_host_name(host), op->range);
    if (checks->forgotten[host] && op->type == STORE_CHUNK && owner == OWNER_REPAIR)
        world_violate(world, "HorizonSafe",
                      "%s takes in versions of range %u from an earlier life of their sender",
                      world_host_name(host), op->range);
}
