/* Members and bounds, as each node has them. */
#include "base/checksum.h"
#include "sim/checks_own.h"
#include "sim/host.h"

/* Of one version there is one record, and nobody goes back to an older one. */
static void check_member(struct world *world, uint32_t host, const struct member *member)
{
    struct checks *checks = world->checks;
    buf_clear(&checks->bytes);
    member_encode(member, &checks->bytes);
    uint64_t content = checksum64(buf_slice(&checks->bytes), 0) | 1;
    uint64_t who = checksum_pair(member->id.hi, member->id.lo);
    uint64_t version = member->generation << 24 | member->version;
    uint64_t name = checksum_pair(checksum_pair(9, who), version);
    void *known = map_get(&checks->members, name);
    if (known == NULL)
        map_put(&checks->members, name, (void *)(uintptr_t)content);
    else if ((uint64_t)(uintptr_t)known != content)
        world_violate(world, "ScuttlebuttPrefix",
                      "%s has another record of %s for version %llu.%llu", world_host_name(host),
                      world_name(world, member->id), (unsigned long long)member->generation,
                      (unsigned long long)member->version);
    uint64_t observer = checksum_pair(checksum_pair(10, host), host_lives(world->hosts[host]));
    uint64_t highest = checksum_pair(observer, who);
    uint64_t before = (uint64_t)(uintptr_t)map_get(&checks->members, highest);
    if (version < before)
        world_violate(world, "ScuttlebuttPrefix", "%s goes back to version %llu.%llu of %s",
                      world_host_name(host), (unsigned long long)member->generation,
                      (unsigned long long)member->version, world_name(world, member->id));
    if (version > before)
        map_put(&checks->members, highest, (void *)(uintptr_t)version);
}

static void check_members(struct world *world, uint32_t host)
{
    const struct core *core = node_core(host_node(world->hosts[host]));
    for (uint32_t i = 0; i < core->members.count; i++)
        check_member(world, host, core->members.members[i]);
    /* The one that is refused for it is counted while it is. */
    uint32_t shards = host_shards(world->hosts[host]);
    uint64_t in_flight = 0;
    for (uint32_t shard = 0; shard < shards; shard++)
        in_flight += node_core(host_shard(world->hosts[host], shard))->counters.in_flight;
    if (in_flight > HOST_REQUESTS_MAX + shards)
        world_violate(world, "MemoryBound", "%llu requests are in flight at %s",
                      (unsigned long long)in_flight, world_host_name(host));
}

static void check_departures(struct world *world, uint32_t host, const struct node *node)
{
    const struct member_table *members = &node_core(node)->members;
    for (uint32_t i = 0; i < members->departures_count; i++)
        if (member_find(members, members->departures[i].id) != NULL)
            world_violate(world, "DeparturesForever",
                          "%s has %s, which departed, as a member again", world_host_name(host),
                          world_name(world, members->departures[i].id));
}

void checks_step(struct world *world, uint32_t host)
{
    const struct node *node = host_node(world->hosts[host]);
    if (node == NULL || world->coverage.steps % 64 != 0)
        return;
    checks_hints_bounded(world, host);
    check_departures(world, host, node);
    check_members(world, host);
}
