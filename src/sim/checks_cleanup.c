/* Clean-up: what a former member deletes must be held by the reader that it handed it to. */
#include "base/checksum.h"
#include "data/vector.h"
#include "sim/checks_own.h"
#include "sim/host.h"
#include "sim/rots.h"

/* What HOST is about to delete, asked for just before it does. */
struct drop_probe {
    struct host_probe probe;
    uint32_t host;
    struct range_epoch range; /* Under which it deletes. */
};

/* One object of it, asked for at the reader. */
struct kept_probe {
    struct host_probe probe;
    uint32_t host;
    uint32_t reader;
    uint32_t range;
    uint64_t hash;
    struct slice bucket, key, object; /* In the arena. */
};

static void scan(struct world *world, uint32_t host, uint32_t range,
                 void (*done)(struct world *, struct host_probe *, const struct store_done *))
{
    struct checks *checks = world->checks;
    struct drop_probe *probe = arena_zero(&checks->arena, sizeof(*probe));
    probe->probe.done = done;
    probe->host = host;
    probe->range = install_of(checks, host, range)->submitted;
    struct store_op op = {
        .type = STORE_SCAN,
        .range = range,
        .scan = {.from = range_first(range, world->options.range_bits),
                 .to = range_last(range, world->options.range_bits),
                 .count_max = 10000,
                 .bytes_max = 64 << 20},
    };
    (void)host_probe(world->hosts[host], &probe->probe, &op);
}

static bool held(const struct world *world, uint32_t range, const struct object *object,
                 struct dot dot)
{
    bool has = vector_covers(object->history, dot);
    for (uint32_t i = 0; i < object->count && !has; i++) {
        const struct sibling *sibling = &object->siblings[i];
        has = dot_equal(sibling->dot, dot) || vector_covers(sibling->context, dot) ||
              checks_overwrites(world, range, sibling, dot);
    }
    return has;
}

/* Is each version that HERE lacks of what MINE has one that was collected? */
static bool lacks_collected_only(const struct world *world, const struct kept_probe *mine,
                                 struct slice here)
{
    struct checks *checks = world->checks;
    struct object object;
    struct object kept;
    uint64_t hash = key_hash(world->cluster.hash_seed, mine->bucket, mine->key);
    if (object_decode(mine->object, &checks->arena, &object) < 0 ||
        object_decode(here, &checks->arena, &kept) < 0)
        return false;
    for (uint32_t i = 0; i < object.count; i++) {
        struct dot dot = object.siblings[i].dot;
        if (!held(world, mine->range, &kept, dot) && !checks_gone(world, mine->range, hash, dot))
            return false;
    }
    return true;
}

static void on_kept(struct world *world, struct host_probe *probe, const struct store_done *done)
{
    const struct kept_probe *mine = (struct kept_probe *)probe;
    struct buf merged = {0};
    bool has =
        done->error == 0 && (object_merge(done->object, mine->object, &merged) & MERGE_SAME_A) != 0;
    buf_done(&merged);
    has = has || (done->error == 0 && lacks_collected_only(world, mine, done->object));
    /* What a reader lost since is healed with what a quorum has. */
    if (!has && !rots_hides(world, mine->reader, mine->hash) &&
        !checks_lost(world->checks, mine->reader, mine->hash))
        world_violate(world, "CleanupSafe",
                      "%s drops range %u, but %s lacks a version of %.*s/%.*s",
                      world_host_name(mine->host), mine->range, world_host_name(mine->reader),
                      (int)mine->bucket.size, (const char *)mine->bucket.data, (int)mine->key.size,
                      (const char *)mine->key.data);
}

/* The reader of the lowest slot of what RECORD says, if it has installed that very record and runs,
 * and its disk is not an old copy, from before what it acknowledged; else -1. */
static int present_reader(const struct world *world, const struct range_record *record)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        bool owner =
            slot->stage == STAGE_STABLE || slot->stage == STAGE_JOINT || slot->stage == STAGE_BACK;
        if (!owner && slot->stage != STAGE_CUT)
            continue;
        int host = world_host_of(world, owner ? slot->owner : slot->target);
        if (host < 0 || host_state(world->hosts[host]) != HOST_UP ||
            host_restored(world->hosts[host]))
            return -1;
        const struct install *install = install_of(world->checks, (uint32_t)host, record->range);
        return install->submitted.epoch == record->epoch ? host : -1;
    }
    return -1;
}

static uint64_t handed_name(const struct world *world, uint32_t host,
                            const struct range_epoch *range, uint64_t hash)
{
    uint64_t life = checksum_pair(host, host_lives(world->hosts[host]));
    return checksum_pair(checksum_pair(life, range->range), checksum_pair(range->epoch, hash));
}

void checks_hands_over(struct world *world, uint32_t from, const struct message *message)
{
    for (uint32_t i = 0; i < message->chunk.entries_count; i++)
        map_put(&world->checks->handed_keys,
                handed_name(world, from, &message->chunk.range, message->chunk.entries[i].hash),
                world);
}

/* One reader is to have all of it: of two of which each has a half, one may be lost. */
static void check_handed(struct world *world, const struct drop_probe *mine,
                         const struct store_done *done)
{
    for (uint32_t i = 0; done->error == 0 && i < done->entries_count; i++) {
        const struct entry *entry = &done->entries[i];
        if (map_get(&world->checks->handed_keys,
                    handed_name(world, mine->host, &mine->range, entry->hash)) == NULL)
            world_violate(world, "CleanupSafe",
                          "%s drops range %u, and never handed %.*s/%.*s over at epoch %llu",
                          world_host_name(mine->host), mine->range.range, (int)entry->bucket.size,
                          (const char *)entry->bucket.data, (int)entry->key.size,
                          (const char *)entry->key.data, (unsigned long long)mine->range.epoch);
    }
}

static void on_dropped(struct world *world, struct host_probe *probe, const struct store_done *done)
{
    struct checks *checks = world->checks;
    const struct drop_probe *mine = (struct drop_probe *)probe;
    check_handed(world, mine, done);
    const struct range_record *record = checks_find(checks, &mine->range);
    int reader = record == NULL ? -1 : present_reader(world, record);
    for (uint32_t i = 0; done->error == 0 && reader >= 0 && i < done->entries_count; i++) {
        const struct entry *entry = &done->entries[i];
        struct kept_probe *kept = arena_zero(&checks->arena, sizeof(*kept));
        *kept = (struct kept_probe){
            .probe.done = on_kept,
            .host = mine->host,
            .reader = (uint32_t)reader,
            .range = mine->range.range,
            .hash = entry->hash,
            .bucket = arena_copy(&checks->arena, entry->bucket),
            .key = arena_copy(&checks->arena, entry->key),
            .object = arena_copy(&checks->arena, entry->object),
        };
        struct store_op op = {
            .type = STORE_READ,
            .range = mine->range.range,
            .hash = entry->hash,
            .bucket = kept->bucket,
            .key = kept->key,
        };
        (void)host_probe(world->hosts[reader], &kept->probe, &op);
    }
}

static void on_stayed(struct world *world, struct host_probe *probe, const struct store_done *done)
{
    const struct drop_probe *mine = (struct drop_probe *)probe;
    if (done->error == 0 && done->entries_count > 0)
        world_violate(world, "DropStays", "%s had dropped range %u, and has %u keys of it again",
                      world_host_name(mine->host), mine->range.range, done->entries_count);
}

static void on_said(struct world *world, struct host_probe *probe, const struct store_done *done)
{
    const struct drop_probe *mine = (struct drop_probe *)probe;
    if (done->error == 0 && done->entries_count > 0)
        world_violate(world, "CleanupSafe",
                      "%s says that its copy of range %u is deleted, and has %u keys of it",
                      world_host_name(mine->host), mine->range.range, done->entries_count);
}

void checks_says_dropped(struct world *world, uint32_t host, uint32_t range)
{
    if (range < world->checks->ranges)
        scan(world, host, range, on_said);
}

void checks_stays_dropped(struct world *world, uint32_t host, uint32_t range)
{
    scan(world, host, range, on_stayed);
}

void checks_dropped(struct world *world, uint32_t host, uint32_t range)
{
    scan(world, host, range, on_dropped);
}

/* ------------------------------------------------------------------------------- Handed over. */

struct handed *checks_handed_of(const struct world *world, uint32_t host, uint32_t range)
{
    uint32_t shards = host_shards(world->hosts[host]);
    return &world->checks->handed[shard_of_range(range, world->options.range_bits, shards)][host];
}

/* By position, for so they are acknowledged: what is held already waits for no new record. */
void checks_handed(struct world *world, uint32_t host, uint32_t range, uint64_t position)
{
    struct handed *handed = checks_handed_of(world, host, range);
    if (handed->positions == NULL)
        handed->positions =
            arena_alloc(&world->checks->arena, HANDED_MAX * sizeof(*handed->positions));
    if (handed->count == HANDED_MAX)
        return;
    uint32_t at = handed->count++;
    for (; at > 0 && handed->positions[at - 1] > position; at--)
        handed->positions[at] = handed->positions[at - 1];
    handed->positions[at] = position;
}

void checks_handed_acknowledged(struct world *world, uint32_t host, uint32_t range)
{
    struct handed *handed = checks_handed_of(world, host, range);
    if (handed->count == 0)
        return;
    if (handed->positions[0] > handed->synced)
        world_violate(world, "CleanupSafe",
                      "%s acknowledges what a former member handed over before it is synced",
                      world_host_name(host));
    handed->count--;
    memmove(handed->positions, handed->positions + 1, handed->count * sizeof(uint64_t));
}
