#include "sim/rots.h"

#include "base/error.h"
#include "sim/checks.h"
#include "sim/host.h"
#include "sim/losses.h"
#include "sim/workload.h"

enum { MS = 1000, SECOND = 1000000, ROTTEN_MAX = 8, AT_ONCE_MAX = 3 };

/* In calm a scrub has been everywhere by then. */
enum { SCRUBBED_US = 30 * SECOND };

/* A record that rotted; in use while its key is not empty. */
struct rotten {
    struct host_probe probe;
    struct buf path; /* Owned. Its key in the database: hash, bucket, key. */
    uint32_t range;
    bool known;        /* Its store found out, */
    bool told;         /* since it rotted last. */
    uint32_t asked_in; /* The life of the process that was last asked for it; */
    bool asked;        /* it has not answered yet. */
    bool hidden;       /* It reads well, by what its store has in memory. */
    uint64_t read_at;  /* Its key reads well, and the log was that long then; 0: it does not. */
};

struct rots {
    struct world_event next;
    struct world_event look;
    uint32_t left;
    uint32_t host; /* Whose they are. */
    struct rotten items[ROTTEN_MAX];
    uint64_t last;
    uint64_t calm_us; /* Since when nothing goes wrong any more. */
};

static bool in_use(const struct rotten *item)
{
    return item->path.size > 0;
}

static uint64_t hash_of(const struct rotten *item)
{
    return load_u64_be(item->path.data);
}

static struct slice bucket_of(const struct rotten *item)
{
    return slice_string((const char *)item->path.data + 8);
}

static struct slice key_of(const struct rotten *item)
{
    size_t before = 8 + bucket_of(item).size + 1;
    return slice_of(item->path.data + before, item->path.size - before);
}

static bool any(const struct rots *rots, bool hidden)
{
    for (uint32_t i = 0; i < ROTTEN_MAX; i++)
        if (in_use(&rots->items[i]) && (hidden || !rots->items[i].hidden))
            return true;
    return false;
}

bool rots_over(const struct world *world)
{
    return !any(world->rots, false);
}

bool rots_sick(const struct world *world, uint32_t host)
{
    return world->rots->host == host && any(world->rots, true);
}

bool rots_spare_others(const struct world *world, uint32_t host)
{
    return world->rots->host == host || !any(world->rots, true);
}

static struct rotten *find(struct rots *rots, uint32_t host, uint64_t hash)
{
    for (uint32_t i = 0; i < ROTTEN_MAX && rots->host == host; i++)
        if (in_use(&rots->items[i]) && hash_of(&rots->items[i]) == hash)
            return &rots->items[i];
    return NULL;
}

bool rots_has(const struct world *world, uint32_t host, uint64_t hash)
{
    return find(world->rots, host, hash) != NULL;
}

uint64_t rots_last(const struct world *world)
{
    return world->rots->last;
}

void rots_describe(const struct world *world, struct buf *out)
{
    const struct rots *rots = world->rots;
    for (uint32_t i = 0; i < ROTTEN_MAX; i++)
        if (in_use(&rots->items[i]))
            buf_printf(out, " %s has a bad record of %.*s", world_host_name(rots->host),
                       (int)key_of(&rots->items[i]).size,
                       (const char *)key_of(&rots->items[i]).data);
}

static void trace_item(struct world *world, const struct rotten *item, const char *what)
{
    if (world->trace.text)
        trace_line(&world->trace, world->now_us, "%s %s: %.*s/%.*s", what,
                   world_host_name(world->rots->host), (int)bucket_of(item).size,
                   (const char *)bucket_of(item).data, (int)key_of(item).size,
                   (const char *)key_of(item).data);
}

/* ------------------------------------------------------------------------------- Striking. */

/* Would every hot range keep a slot that is whole, and all that was acknowledged? A slot that was
 * added to a single one has what it acknowledged, and the rest once they were compared. */
static bool others_have_it(const struct world *world, uint32_t host)
{
    struct node_id self = host_id(world->hosts[host]);
    for (uint32_t i = 0; i < world->options.hot_ranges; i++) {
        const struct range_record *record = checks_newest(world, workload_range(world, i));
        uint32_t others = 0;
        for (uint32_t k = 0; record != NULL && k < record->slots_count; k++) {
            const struct slot *slot = &record->slots[k];
            others += slot->stage != STAGE_LEARN && !id_equal(slot->owner, self) &&
                      !id_equal(slot->target, self);
        }
        if (others == 0 || checks_only_copy(world, host, workload_range(world, i)))
            return false;
    }
    return true;
}

static struct rotten *unused(struct rots *rots)
{
    for (uint32_t i = 0; i < ROTTEN_MAX; i++)
        if (!in_use(&rots->items[i]) && !rots->items[i].asked)
            return &rots->items[i];
    return NULL;
}

static void rot_one(struct world *world)
{
    struct rots *rots = world->rots;
    struct slice key;
    struct rotten *item = unused(rots);
    if (item == NULL || !host_rot(world->hosts[rots->host], &key))
        return;
    /* What was written over a bad record may rot as well, before the key is whole again. */
    struct rotten *again = find(rots, rots->host, load_u64_be(key.data));
    if (again != NULL)
        item = again;
    else
        item->known = false;
    item->told = false;
    item->hidden = false;
    item->read_at = 0;
    buf_clear(&item->path);
    buf_append(&item->path, key);
    item->range = range_of(hash_of(item), world->options.range_bits);
    rots->left--;
    rots->last = world->coverage.events;
    world->coverage.faults[FAULT_ROT]++;
    trace_item(world, item, "fault: rot at");
}

static void on_next(struct world *world, struct world_event *event)
{
    struct rots *rots = world->rots;
    if (world->calm || rots->left == 0)
        return;
    world_at(world, event, world->now_us + world_pause(world, world->options.rot_us));
    if (!any(rots, true))
        rots->host = (uint32_t)world_draw(world, 0, world->hosts_count - 1);
    struct host *host = world->hosts[rots->host];
    if (!losses_over(world) || host_lives(host) == 0 || host_retired(host) ||
        !others_have_it(world, rots->host))
        return;
    uint64_t count = world_draw(world, 1, AT_ONCE_MAX);
    for (uint64_t i = 0; i < count && rots->left > 0; i++)
        rot_one(world);
}

/* ------------------------------------------------------------------------------- Looking. */

static void end(struct world *world, struct rotten *item)
{
    trace_item(world, item, "whole again at");
    buf_clear(&item->path);
    item->read_at = 0;
}

/* What the store answers to whoever reads the key. It is whole once what made it so is on disk: the
 * end of its mark may be later in the log than the object, and a power loss before that brings the
 * mark back. A store that was never told may answer by what it has in memory, of which the bad
 * record was a copy: whether it is met once that copy is gone, or written over, is to be seen. */
static void on_read(struct world *world, struct host_probe *probe, const struct store_done *done)
{
    struct rots *rots = world->rots;
    struct rotten *item = (struct rotten *)probe;
    struct store_stats stats;
    item->asked = false;
    if (host_restored(world->hosts[rots->host]))
        return;
    store_stats(host_store_of(world->hosts[rots->host], item->range), &stats);
    bool hidden = !item->told && host_rotten(world->hosts[rots->host], buf_slice(&item->path));
    item->hidden = done->error == 0 && hidden;
    if (done->error != 0 || hidden)
        item->read_at = 0;
    else if (item->read_at == 0)
        item->read_at = MAX(stats.position, (uint64_t)1);
    if (item->read_at != 0 && item->read_at <= stats.synced) {
        uint32_t range = item->range;
        world->coverage.rot_healed += item->known;
        world->coverage.rot_replaced += !item->known;
        end(world, item);
        checks_key_healed(world, rots->host, range);
    } else if (done->error == ERR_UNREADABLE && !item->known && world->options.scrub) {
        world_violate(world, "DamageFound", "%s has a bad record of %.*s, and does not know",
                      world_host_name(rots->host), (int)key_of(item).size,
                      (const char *)key_of(item).data);
    } else if (done->error == ERR_UNREADABLE && stats.bad_now == 0) {
        world_violate(world, "DamageFound", "%s does not count the bad record of %.*s",
                      world_host_name(rots->host), (int)key_of(item).size,
                      (const char *)key_of(item).data);
    }
}

static void read_it(struct world *world, struct rotten *item)
{
    struct host *host = world->hosts[world->rots->host];
    struct store_op op = {
        .type = STORE_READ,
        .range = item->range,
        .hash = hash_of(item),
        .bucket = bucket_of(item),
        .key = key_of(item),
    };
    item->probe.done = on_read;
    if (item->asked_in != host_lives(host))
        item->read_at = 0;
    item->asked_in = host_lives(host);
    item->asked = host_probe(host, &item->probe, &op);
}

/* A record that nobody knows of is left alone: a look at it would be its discovery. */
static void look_at(struct world *world, struct rotten *item)
{
    struct host *host = world->hosts[world->rots->host];
    if (item->asked && host_state(host) != HOST_DOWN && host_lives(host) == item->asked_in)
        return;
    item->asked = false;
    if (!in_use(item))
        return;
    bool due = world->calm &&
               (!world->options.scrub || world->now_us >= world->rots->calm_us + SCRUBBED_US);
    if (host_retired(host) || host_restored(host)) { /* It was on another disk. */
        end(world, item);
    } else if (!item->known && !host_rotten(host, buf_slice(&item->path))) {
        world->coverage.rot_replaced++;
        end(world, item);
    } else if (item->known || due) {
        read_it(world, item);
    }
}

static void on_look(struct world *world, struct world_event *event)
{
    struct rots *rots = world->rots;
    world_at(world, event, world->now_us + 50 * MS);
    if (!world->calm)
        rots->calm_us = world->now_us;
    for (uint32_t i = 0; i < ROTTEN_MAX && !world_broken(world); i++)
        look_at(world, &rots->items[i]);
}

void rots_told(struct world *world, uint32_t host, const struct store_damage *damage)
{
    struct rotten *item = find(world->rots, host, damage->hash);
    if (item == NULL || item->told)
        return;
    item->told = item->known = true;
    trace_item(world, item, "damage found at");
    world->coverage.rot_found++;
    checks_key_lost(world, host, item->range, damage->hash);
}

void rots_start(struct world *world)
{
    struct rots *rots = world->rots;
    rots->left = world->options.rots;
    if (rots->left == 0)
        return;
    world_at(world, &rots->next, world->now_us + world_pause(world, world->options.rot_us));
    world_at(world, &rots->look, world->now_us);
}

struct rots *rots_new(struct world *world)
{
    (void)world;
    struct rots *rots = mem_zero(sizeof(*rots));
    rots->next.fire = on_next;
    rots->look.fire = on_look;
    return rots;
}

void rots_free(struct rots *rots)
{
    for (uint32_t i = 0; i < ROTTEN_MAX; i++)
        buf_done(&rots->items[i].path);
    mem_free(rots);
}
