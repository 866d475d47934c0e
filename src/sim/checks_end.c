#include "sim/checks_end.h"

#include "base/error.h"
#include "sim/checks.h"
#include "sim/host.h"
#include "sim/rots.h"
#include "sim/workload.h"

enum { SECOND = 1000000 };

/* A look that is under way; owned by the world's list until the end. */
struct look {
    struct host_probe probe;
    uint32_t host;
    uint32_t range;
    struct look *next;
    bool done;
    struct arena arena;
    const struct entry *entries; /* In the arena. */
    uint32_t entries_count;
};

static struct look *look_new(struct world *world, uint32_t host, uint32_t range)
{
    struct look *look = mem_zero(sizeof(*look));
    look->host = host;
    look->range = range;
    look->next = world->looks;
    world->looks = look;
    return look;
}

void looks_free(struct look *look)
{
    while (look != NULL) {
        struct look *next = look->next;
        arena_done(&look->arena);
        mem_free(look);
        look = next;
    }
}

/* ----------------------------------------------------------------------------- TreeEqualsData. */

static void on_verified(struct world *world, struct host_probe *probe,
                        const struct store_done *done)
{
    struct look *look = (struct look *)probe;
    const struct store_verified *found = &done->verified;
    look->done = true;
    if (rots_sick(world, look->host))
        return; /* The tree counts what was lost until it is healed. */
    if (done->error < 0 || found->bad > 0 || found->digest_tree != found->digest_data)
        world_violate(world, "TreeEqualsData",
                      "%s, range %u: tree %llx, data %llx, %llu keys, %llu bad records",
                      world_host_name(look->host), look->range,
                      (unsigned long long)found->digest_tree,
                      (unsigned long long)found->digest_data, (unsigned long long)found->keys,
                      (unsigned long long)found->bad);
}

void checks_verify(struct world *world, uint32_t host)
{
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        struct look *look = look_new(world, host, workload_range(world, i));
        look->probe.done = on_verified;
        struct store_op op = {.type = STORE_VERIFY, .range = look->range};
        look->done = !host_probe(world->hosts[host], &look->probe, &op);
    }
}

/* ---------------------------------------------------------------------- PolicyFromVersionOnly. */

static void on_scanned(struct world *world, struct host_probe *probe, const struct store_done *done)
{
    (void)world;
    struct look *look = (struct look *)probe;
    struct entry *entries = arena_alloc(&look->arena, (done->entries_count + 1) * sizeof(*entries));
    for (uint32_t i = 0; i < done->entries_count; i++) {
        entries[i] = done->entries[i];
        entries[i].bucket = arena_copy(&look->arena, entries[i].bucket);
        entries[i].key = arena_copy(&look->arena, entries[i].key);
        entries[i].object = arena_copy(&look->arena, entries[i].object);
    }
    look->entries = entries;
    look->entries_count = done->entries_count;
    look->done = true;
}

static struct look *scan(struct world *world, uint32_t host, uint32_t range)
{
    struct look *look = look_new(world, host, range);
    look->probe.done = on_scanned;
    struct store_op op = {
        .type = STORE_SCAN,
        .range = range,
        .scan = {.from = range_first(range, world->options.range_bits),
                 .to = range_last(range, world->options.range_bits),
                 .count_max = 10000,
                 .bytes_max = 64 << 20},
    };
    look->done = !host_probe(world->hosts[host], &look->probe, &op);
    return look;
}

static struct slice object_of(const struct look *look, const struct entry *key)
{
    for (uint32_t i = 0; i < look->entries_count; i++)
        if (slice_equal(look->entries[i].bucket, key->bucket) &&
            slice_equal(look->entries[i].key, key->key))
            return look->entries[i].object;
    return SLICE_NONE;
}

/* What the replicas have of one key, merged in both orders, is the same to the byte. */
static void check_merge(struct world *world, const struct look *a, const struct look *b,
                        const struct entry *key)
{
    struct buf ab = {0};
    struct buf ba = {0};
    object_merge(object_of(a, key), object_of(b, key), &ab);
    object_merge(object_of(b, key), object_of(a, key), &ba);
    if (!slice_equal(buf_slice(&ab), buf_slice(&ba)))
        world_violate(world, "PolicyFromVersionOnly", "%s and %s merge %.*s/%.*s to other bytes",
                      world_host_name(a->host), world_host_name(b->host), (int)key->bucket.size,
                      (const char *)key->bucket.data, (int)key->key.size,
                      (const char *)key->key.data);
    buf_done(&ab);
    buf_done(&ba);
}

static void check_range(struct world *world, struct look *const *looks, uint32_t count)
{
    for (uint32_t i = 0; i + 1 < count; i++)
        for (uint32_t k = 0; k < looks[i]->entries_count; k++)
            check_merge(world, looks[i], looks[i + 1], &looks[i]->entries[k]);
}

/* ----------------------------------------------------------------------------------- The end. */

static bool looks_done(struct world *world)
{
    for (const struct look *look = world->looks; look != NULL; look = look->next)
        if (!look->done && host_state(world->hosts[look->host]) == HOST_UP)
            return false;
    return true;
}

/* What was asked of a process that died since never ends. */
static void forget_looks(struct world *world)
{
    for (struct look *look = world->looks; look != NULL; look = look->next)
        look->done = true;
}

bool checks_end(struct world *world)
{
    struct look *looks[HOT_RANGES_MAX][SLOTS_MAX];
    uint32_t counts[HOT_RANGES_MAX] = {0};
    forget_looks(world);
    for (uint32_t i = 0; i < world->hosts_count; i++)
        checks_verify(world, i);
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        uint32_t range = workload_range(world, i);
        const struct range_record *record = checks_newest(world, range);
        for (uint32_t k = 0; record != NULL && k < record->slots_count; k++) {
            int host = world_host_of(world, record->slots[k].owner);
            if (host >= 0)
                looks[i][counts[i]++] = scan(world, (uint32_t)host, range);
        }
    }
    if (!world_run(world, world->now_us + 10 * SECOND, looks_done))
        return false;
    for (uint32_t i = 0; i < world->options.hot_ranges; i++)
        check_range(world, looks[i], counts[i]);
    return !world_broken(world);
}
