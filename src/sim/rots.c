#include "sim/rots.h"

#include "base/error.h"
#include "sim/checks.h"
#include "sim/faults.h"
#include "sim/host.h"
#include "sim/losses.h"
#include "sim/workload.h"

enum { MS = 1000, SECOND = 1000000, ROTTEN_MAX = 8, AT_ONCE_MAX = 3 };

/* In calm a scrub has been everywhere by then. */
enum { SCRUBBED_US = 30 * SECOND };

/* A record that rotted; in use while its key is not empty. */
struct rotten {
    struct host_probe probe;
    struct buf path; /* Owned. The key that it had in the database: hash, bucket, key. */
    struct buf is;   /* Owned. The key that it has: */
    bool in_key;     /* that rotted. */
    uint32_t range;
    bool known;        /* Its store found out, */
    bool told;         /* since it rotted last. */
    bool judged;       /* Its key reads well, though others beside it may not. */
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

bool rots_hides(const struct world *world, uint32_t host, uint64_t hash)
{
    uint32_t range = range_of(hash, world->options.range_bits);
    const struct store *store = host_store_of(world->hosts[host], range);
    return rots_has(world, host, hash) ||
           (rots_sick(world, host) && store != NULL && store_lacks(store, hash, hash));
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

/* ITEM is a record that rotted; it had key WAS and has IS now, which are taken over. KNOWN: its
 * store has found out before. */
static void note(struct world *world, struct rotten *item, bool known, bool in_key, struct buf *was,
                 struct buf *is)
{
    struct rots *rots = world->rots;
    item->known = known;
    item->told = false;
    item->hidden = false;
    item->read_at = 0;
    item->in_key = in_key;
    buf_done(&item->path);
    buf_done(&item->is);
    item->path = *was;
    item->is = *is;
    item->range = range_of(hash_of(item), world->options.range_bits);
    rots->last = world->coverage.events;
    world->coverage.faults[FAULT_ROT]++;
    trace_item(world, item, in_key ? "fault: rot of a key at" : "fault: rot at");
}

static void rot_one(struct world *world)
{
    struct rots *rots = world->rots;
    struct buf was = {0};
    struct buf is = {0};
    struct rotten *item = unused(rots);
    bool in_key = world->options.rot_key_ppm > 0 && world_chance(world, world->options.rot_key_ppm);
    if (item == NULL || !host_rot(world->hosts[rots->host], in_key, &was, &is)) {
        buf_done(&was);
        buf_done(&is);
        return;
    }
    /* What was written over a bad record may rot as well, before the key is whole again. What lies
     * about with a damaged key is a record of its own. */
    struct rotten *again = find(rots, rots->host, load_u64_be(was.data));
    bool over = again != NULL && !again->in_key && !in_key;
    item = over ? again : item;
    rots->left--;
    note(world, item, over && again->known, in_key, &was, &is);
}

bool rots_strike(struct world *world, uint32_t host, uint64_t hash)
{
    struct rots *rots = world->rots;
    struct buf was = {0};
    struct buf is = {0};
    if (!any(rots, true))
        rots->host = host;
    struct rotten *item = rots->host == host ? unused(rots) : NULL;
    if (item == NULL || !host_rot_record(world->hosts[host], hash, &was)) {
        buf_done(&was);
        return false;
    }
    buf_append(&is, buf_slice(&was));
    note(world, item, false, false, &was, &is);
    world_at(world, &rots->look, world->now_us);
    return true;
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
    buf_clear(&item->is);
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
    const struct store *store = host_store_of(world->hosts[rots->host], item->range);
    store_stats(store, &stats);
    bool lies_there = host_rotten(world->hosts[rots->host], buf_slice(&item->is));
    bool hidden = !item->told && lies_there;
    /* Where a key rotted others beside it may be unreadable. */
    bool hides = item->in_key && (stats.holes_now > 0 || stats.bad_now > 0 || lies_there);
    item->hidden = done->error == 0 && hidden && !item->in_key;
    if (hides && done->error == 0 && item->known && !item->judged &&
        !store_lacks(store, hash_of(item), hash_of(item))) {
        item->judged = true;
        checks_key_healed(world, rots->host, item->range);
    }
    if (done->error != 0 || hidden || hides)
        item->read_at = 0;
    else if (item->read_at == 0)
        item->read_at = MAX(stats.position, (uint64_t)1);
    if (item->read_at != 0 && item->read_at <= stats.synced) {
        uint32_t range = item->range;
        world->coverage.rot_healed += item->known;
        world->coverage.holes_healed += item->known && item->in_key;
        world->coverage.rot_replaced += !item->known;
        end(world, item);
        checks_key_healed(world, rots->host, range);
    } else if (done->error == ERR_UNREADABLE && !item->known && world->options.scrub) {
        world_violate(world, "DamageFound", "%s has a bad record of %.*s, and does not know",
                      world_host_name(rots->host), (int)key_of(item).size,
                      (const char *)key_of(item).data);
    } else if (done->error == ERR_UNREADABLE && stats.bad_now == 0 && stats.holes_now == 0) {
        world_violate(world, "DamageFound", "%s does not count the bad record of %.*s",
                      world_host_name(rots->host), (int)key_of(item).size,
                      (const char *)key_of(item).data);
    }
}

/* Nobody need come past a record whose key rotted, where the key was written anew. */
static void on_walked(struct world *world, struct host_probe *probe, const struct store_done *done)
{
    (void)world, (void)done;
    ((struct rotten *)probe)->asked = false;
}

static void walk_past(struct world *world, struct rotten *item)
{
    struct host *host = world->hosts[world->rots->host];
    struct store_op op = {.type = STORE_VERIFY, .range = item->range};
    item->probe.done = on_walked;
    item->asked_in = host_lives(host);
    item->asked = host_probe(host, &item->probe, &op);
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
    } else if (!item->known && !host_rotten(host, buf_slice(&item->is))) {
        world->coverage.rot_replaced++;
        end(world, item);
    } else if (due && !item->known && item->in_key) {
        walk_past(world, item);
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
    struct rots *rots = world->rots;
    for (uint32_t i = 0; i < ROTTEN_MAX && rots->host == host; i++) {
        struct rotten *item = &rots->items[i];
        if (!in_use(item) || item->told || item->in_key != damage->hole)
            continue;
        uint64_t hash = hash_of(item);
        if (hash < damage->hash || hash > (damage->hole ? damage->to : damage->hash))
            continue;
        item->told = item->known = true;
        item->judged = false;
        trace_item(world, item, damage->hole ? "hole found at" : "damage found at");
        world->coverage.rot_found++;
        world->coverage.holes_found += damage->hole;
        if (!damage->hole || host_lost(world->hosts[host], buf_slice(&item->path)))
            checks_key_lost(world, host, item->range, hash);
        /* The mark of a hole is in the log, and the record is about to go. */
        if (damage->hole && world_chance(world, world->options.rot_crash_ppm))
            faults_die_soon(world, host, !world->options.interval);
    }
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
    for (uint32_t i = 0; i < ROTTEN_MAX; i++) {
        buf_done(&rots->items[i].path);
        buf_done(&rots->items[i].is);
    }
    mem_free(rots);
}
