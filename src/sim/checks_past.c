/* The versions that were made of a key: who makes one has all that its actor made before, and those
 * that were written once more.
 *
 * A second self is overwritten by a later version that had seen its first one. That version may be
 * overwritten in turn by one that knows nothing of it, so whether a version is accounted for is a
 * question to a chain of versions (docs/decisions/0032-who-overwrites-need-not-stay.md). */
#include "base/checksum.h"
#include "data/vector.h"
#include "sim/checks_own.h"

bool checks_overwrites(const struct world *world, uint32_t range, const struct sibling *sibling,
                       struct dot dot)
{
    const struct second_self *second = checks_second_self(world, range, dot);
    return second != NULL && vector_covers(sibling->context, second->first) &&
           stamp_after((struct stamp){sibling->hlc, sibling->dot}, second->stamp);
}

static bool covers(const struct world *world, uint32_t range, const struct object *object,
                   struct dot dot)
{
    for (uint32_t i = 0; i < object->count; i++) {
        const struct sibling *sibling = &object->siblings[i];
        if (dot_equal(sibling->dot, dot))
            return true;
        if (vector_covers(sibling->context, dot) || checks_overwrites(world, range, sibling, dot))
            return true;
        /* Of versions stamped lww only the highest stays, whether it had seen the others or not. */
        if (sibling->policy == POLICY_LWW)
            return true;
    }
    return vector_covers(object->history, dot);
}

struct question {
    const struct world *world;
    uint32_t range;
    uint64_t key_hash;
    const struct object *object; /* NULL: is it gone? */
    struct past *newest;         /* Of the key. */
    uint64_t number;
};

/* Did a version that overwrites DOT, or one that overwrites such a one, stay or go? Each is asked
 * about once. */
static bool overwriter_answers(const struct question *question, struct dot dot)
{
    const struct world *world = question->world;
    uint32_t range = question->range;
    if (checks_second_self(world, range, dot) == NULL)
        return false;
    for (struct past *at = question->newest; at != NULL; at = at->older) {
        struct sibling made = {.dot = at->dot, .hlc = at->hlc, .context = at->context};
        if (at->asked == question->number || !checks_overwrites(world, range, &made, dot))
            continue;
        at->asked = question->number;
        if ((question->object != NULL && covers(world, range, question->object, at->dot)) ||
            checks_gone_itself(world, range, question->key_hash, at->dot) ||
            overwriter_answers(question, at->dot))
            return true;
    }
    return false;
}

static bool ask_overwriters(const struct world *world, uint32_t range, uint64_t key_hash,
                            const struct object *object, struct dot dot)
{
    struct checks *checks = world->checks;
    struct question question = {
        .world = world,
        .range = range,
        .key_hash = key_hash,
        .object = object,
        .newest = map_get(&checks->pasts, checks_past_name(range, key_hash)),
        .number = ++checks->chain_questions,
    };
    return overwriter_answers(&question, dot);
}

bool checks_covered(const struct world *world, uint32_t range, uint64_t key_hash,
                    const struct object *object, struct dot dot)
{
    return covers(world, range, object, dot) ||
           ask_overwriters(world, range, key_hash, object, dot);
}

bool checks_left_over(const struct world *world, uint32_t range, uint64_t key_hash,
                      const struct object *object, struct dot dot)
{
    for (uint32_t i = 0; i < object->count; i++)
        if (checks_overwrites(world, range, &object->siblings[i], dot))
            return false;
    return ask_overwriters(world, range, key_hash, object, dot);
}

bool checks_gone(const struct world *world, uint32_t range, uint64_t key_hash, struct dot dot)
{
    return checks_gone_itself(world, range, key_hash, dot) ||
           ask_overwriters(world, range, key_hash, NULL, dot);
}

/* ------------------------------------------------------------------- Making one. */

uint64_t checks_past_name(uint32_t range, uint64_t key_hash)
{
    return checksum_pair(checksum_pair(5, range), key_hash);
}

void checks_made(struct world *world, uint32_t host, const struct flight *flight,
                 struct slice bytes)
{
    struct checks *checks = world->checks;
    struct object object;
    uint64_t name = checks_past_name(flight->range.range, flight->key_hash);
    struct past *past = map_get(&checks->pasts, name);
    if (object_decode(bytes, &checks->arena, &object) < 0)
        return; /* Told already. */
    const struct sibling *made = object_sibling(&object, flight->dot);
    for (const struct past *at = past; made != NULL && at != NULL; at = at->older) {
        if (at->dot.actor == flight->dot.actor &&
            !checks_covered(world, flight->range.range, flight->key_hash, &object, at->dot) &&
            !checks_gone(world, flight->range.range, flight->key_hash, at->dot))
            world_violate(world, "ActorHoldsItsPast",
                          "%s makes version %llu of a key of range %u, and does not know version "
                          "%llu of the same actor",
                          world_host_name(host), (unsigned long long)flight->dot.counter,
                          flight->range.range, (unsigned long long)at->dot.counter);
        if (vector_covers(made->context, at->dot) && at->hlc >= made->hlc)
            world_violate(world, "StampsRise",
                          "%s stamps a version of a key of range %u no later than one that it "
                          "follows",
                          world_host_name(host), flight->range.range);
    }
    if (made != NULL)
        checks_stamped(world, host, flight->range.range, made->hlc);
    struct past *newest = arena_zero(&checks->arena, sizeof(*newest));
    *newest = (struct past){.dot = flight->dot, .dead_from = UINT64_MAX, .older = past};
    if (made != NULL) {
        newest->hlc = made->hlc;
        newest->context = arena_copy(&checks->arena, made->context);
        newest->policy = made->policy;
        if (made->tombstone || made->expires != 0)
            newest->dead_from = MAX(made->hlc, made->expires);
    }
    map_put(&checks->pasts, name, newest);
}
