/* What gets rest on: answers of one epoch. Each asks readers under one record; when another
 * follows, it begins again, and what came under the older one does not count. A get is told apart
 * by the number under which its coordinator asks. Answers are counted when they are sent, so a get
 * is given more than it may have had, and is never blamed wrongly. */
#include "base/checksum.h"
#include "sim/checks_own.h"
#include "sim/host.h"

enum { EPOCHS_MAX = 16 };

struct read_round {
    struct {
        uint64_t epoch;
        uint8_t slots; /* Bits by number: who answered. */
    } epochs[EPOCHS_MAX];
    uint32_t epochs_count;
    bool unclear;              /* Of records that nobody has spoken of, or of too many. */
    struct read_round *before; /* Of the same coordinator and key. */
};

static uint64_t name_of(const struct world *world, uint32_t coordinator, uint64_t id)
{
    return checksum_pair(checksum_pair(coordinator, host_lives(world->hosts[coordinator])), id);
}

static uint64_t reading_name(uint32_t coordinator, uint64_t hash)
{
    return checksum_pair(checksum_pair(11, coordinator), hash);
}

static struct read_round *round_of(struct world *world, uint32_t coordinator, uint64_t id,
                                   uint64_t hash)
{
    struct checks *checks = world->checks;
    uint64_t name = name_of(world, coordinator, id);
    struct read_round *round = map_get(&checks->rounds, name);
    if (round != NULL)
        return round;
    uint64_t reading = reading_name(coordinator, hash);
    round = arena_zero(&checks->arena, sizeof(*round));
    round->before = map_get(&checks->readings, reading);
    map_put(&checks->readings, reading, round);
    map_put(&checks->rounds, name, round);
    return round;
}

static void count(struct read_round *round, uint64_t epoch, uint8_t slot)
{
    uint32_t i = 0;
    while (i < round->epochs_count && round->epochs[i].epoch != epoch)
        i++;
    if (i == EPOCHS_MAX) {
        round->unclear = true;
        return;
    }
    if (i == round->epochs_count)
        round->epochs[round->epochs_count++].epoch = epoch;
    round->epochs[i].slots |= (uint8_t)(1u << slot);
}

void checks_read_sent(struct world *world, uint32_t from, const struct message *message)
{
    uint64_t hash = key_hash(world->cluster.hash_seed, message->write.bucket, message->write.key);
    (void)round_of(world, from, message->write.id, hash);
}

void checks_read_own(struct world *world, uint32_t host, const struct store_op *op)
{
    struct read_round *round = round_of(world, host, token_value(op->token), op->hash);
    const struct range_epoch *under = &install_of(world->checks, host, op->range)->submitted;
    const struct range_record *record = checks_find(world->checks, under);
    round->unclear = round->unclear || record == NULL;
    for (uint32_t i = 0; record != NULL && i < record->slots_count; i++)
        if (id_equal(checks_reader(&record->slots[i]), host_id(world->hosts[host])))
            count(round, under->epoch, record->slots[i].number);
}

void checks_read_replied(struct world *world, uint32_t from, uint32_t to,
                         const struct message *message)
{
    (void)from;
    struct read_round *round =
        map_get(&world->checks->rounds, name_of(world, to, message->reply.id));
    if (round != NULL && message->reply.error == 0 && message->reply.slot < SLOTS_MAX)
        count(round, message->reply.range.epoch, message->reply.slot);
}

static void get_answered(struct world *world, const struct answer *answer, bool strict,
                         struct slice bucket, struct slice key)
{
    int host = world_host_of(world, answer->coordinator);
    uint64_t hash = key_hash(world->cluster.hash_seed, bucket, key);
    /* Beside the owners that it rests on, fallbacks may have answered. */
    int owners = strict ? answer->got : answer->sloppy ? 0 : answer->needed;
    if (host < 0)
        return;
    const struct read_round *round =
        map_get(&world->checks->readings, reading_name((uint32_t)host, hash));
    for (; round != NULL; round = round->before) {
        if (round->unclear)
            return;
        for (uint32_t i = 0; i < round->epochs_count; i++)
            if (__builtin_popcount(round->epochs[i].slots) >= owners)
                return;
    }
    world_violate(world, "OneEpochCount",
                  "%s counts %d answers to a get of %.*s/%.*s of range %u, and has no so many of "
                  "one epoch",
                  world_host_name((uint32_t)host), owners, (int)bucket.size,
                  (const char *)bucket.data, (int)key.size, (const char *)key.data, answer->range);
}

void checks_answered(struct world *world, const struct answer *answer, enum method method,
                     bool strict, struct slice bucket, struct slice key, struct dot dot)
{
    if (method == METHOD_GET)
        get_answered(world, answer, strict, bucket, key);
    else
        checks_put_answered(world, answer, strict, bucket, key, dot);
}
