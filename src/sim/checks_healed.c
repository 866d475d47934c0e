/* What goes with the healing of a damaged key. A collection passes such a key over, since nobody
 * knows what it is, so what heals it is collected in the same step
 * (docs/decisions/0027-a-healed-key-is-collected.md).
 *
 * Nobody sees from outside what the record still had. But what is dead up to a proven horizon need
 * not be anywhere, and takes along what it hid, so that where the range has one copy, and nobody
 * else has collected it, it is not missed. Who else had it has collected it in earnest, and what it
 * had overwritten may not show any more (NoResurrection). What no other ever had, and no quorum had
 * acknowledged, was lost with the record, and overwrote nothing elsewhere. */
#include "sim/checks_own.h"
#include "sim/host.h"

static void goes(struct world *world, const struct flight *flight, const struct object *object,
                 const struct past *past)
{
    const struct sibling sibling = {.dot = past->dot,
                                    .context = past->context,
                                    .hlc = past->hlc,
                                    .policy = past->policy,
                                    .tombstone = true};
    if (object_sibling(object, past->dot) == NULL)
        checks_gone_add(world, flight->range.range, flight->key_hash, &sibling, SLICE_NONE);
}

void checks_healed(struct world *world, uint32_t host, const struct flight *flight,
                   struct slice bytes)
{
    struct checks *checks = world->checks;
    struct object object;
    if (object_decode(bytes, &checks->arena, &object) < 0)
        return; /* Told elsewhere. */
    uint64_t horizon = node_core(host_node_of(world->hosts[host], flight->range.range))
                           ->holdings[flight->range.range]
                           .horizon;
    uint64_t name = checks_past_name(flight->range.range, flight->key_hash);
    uint64_t highest = 0; /* Of what is dead, of those that show one version only. */
    for (const struct past *at = map_get(&checks->pasts, name); at != NULL; at = at->older) {
        if (at->dead_from > horizon || object_sibling(&object, at->dot) != NULL)
            continue;
        goes(world, flight, &object, at);
        if (at->policy != POLICY_SIBLINGS)
            highest = MAX(highest, at->hlc);
    }
    for (const struct past *at = map_get(&checks->pasts, name); at != NULL; at = at->older)
        if (at->policy != POLICY_SIBLINGS && at->hlc < highest)
            goes(world, flight, &object, at);
}
