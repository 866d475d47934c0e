/* Scans: a page returns the keys of its bucket between where it begins and where it says that it
 * ends, in order, each once, and each as a read of that key would show it. */
#include "sim/edits.h"
#include "sim/ledger_own.h"
#include "sim/workload.h"

struct position {
    uint64_t hash;
    struct slice key; /* Empty: before all keys of that hash. */
};

static int position_compare(const struct position *a, const struct position *b)
{
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    return slice_compare(a->key, b->key);
}

static struct position position_of(const struct world *world, enum policy policy, uint32_t key)
{
    struct slice name = workload_key(world, policy, key);
    return (struct position){key_hash(world->cluster.hash_seed, ledger_bucket(policy), name), name};
}

static void broken(struct world *world, const struct entry_op *op, const struct entry *entry,
                   const char *what)
{
    world_violate(world, "ScanInOrder", "request %u (scan of %s) %s: %.*s", op->number,
                  (const char *)ledger_bucket(op->policy).data, what, (int)entry->key.size,
                  (const char *)entry->key.data);
}

static void check_order(struct world *world, const struct entry_op *op, const struct answer *answer,
                        const struct position *end)
{
    struct position last = {op->scan_from, op->scan_key};
    for (uint32_t i = 0; i < answer->entries_count; i++) {
        const struct entry *entry = &answer->entries[i];
        struct position at = {entry->hash, entry->key};
        uint64_t hash = key_hash(world->cluster.hash_seed, entry->bucket, entry->key);
        if (!slice_equal(entry->bucket, ledger_bucket(op->policy)) || hash != entry->hash)
            broken(world, op, entry, "returns what is not of its bucket");
        else if (position_compare(&at, &last) <= 0)
            broken(world, op, entry, "goes back or repeats");
        else if (answer->more && position_compare(&at, end) > 0)
            broken(world, op, entry, "goes past the end that it says");
        last = at;
    }
}

static const struct entry *entry_of(const struct answer *answer, const struct position *position)
{
    for (uint32_t i = 0; i < answer->entries_count; i++)
        if (slice_equal(answer->entries[i].key, position->key))
            return &answer->entries[i];
    return NULL;
}

/* Read KEY out of the page, by a read of the same time. */
static void check_key(struct ledger *ledger, struct world *world, const struct entry_op *op,
                      uint32_t key, const struct entry *entry, const struct answer *answer)
{
    struct entry_op *alone = arena_zero(&ledger->arena, sizeof(*alone));
    *alone = *op;
    alone->key = key;
    alone->older = ledger->newest[op->policy][key];
    struct reading reading = {
        .ledger = ledger, .world = world, .op = alone, .hlc = answer->hlc, .drops = answer->drops};
    struct slice object = entry == NULL ? SLICE_NONE : entry->object;
    if (object_decode(object, &ledger->arena, &reading.object) < 0)
        world_violate(world, "NoInventedSibling", "request %u: an object does not decode",
                      op->number);
    else
        ledger_check_reading(&reading);
}

void ledger_end_scan(struct ledger *ledger, struct world *world, const struct entry_op *op,
                     const struct answer *answer)
{
    struct position begin = {op->scan_from, op->scan_key};
    struct position end = {answer->cursor, answer->cursor_key};
    uint32_t known = 0;
    check_order(world, op, answer, &end);
    for (uint32_t key = 0; key < world->options.keys; key++) {
        struct position at = position_of(world, op->policy, key);
        if (position_compare(&at, &begin) <= 0 || (answer->more && position_compare(&at, &end) > 0))
            continue;
        const struct entry *entry = entry_of(answer, &at);
        known += entry != NULL;
        check_key(ledger, world, op, key, entry, answer);
    }
    for (uint32_t i = 0; i < answer->entries_count; i++)
        known += edits_owns(world, op->policy, answer->entries[i].key);
    if (known < answer->entries_count)
        world_violate(world, "NoInventedSibling", "request %u (scan of %s) returns unknown keys",
                      op->number, (const char *)ledger_bucket(op->policy).data);
}
