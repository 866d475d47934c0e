/* Collection: what a replica took out was dead up to a horizon that was proven, and stays away.
 *
 * Whatever is collected is remembered with its context for the rest of the world: a version that it
 * covers may be nowhere any more, neither at a reader at that moment nor in a later answer; and
 * what was collected, or covered by it, is missed by nobody. */
#include "base/checksum.h"
#include "data/vector.h"
#include "sim/checks_own.h"
#include "sim/host.h"
#include "sim/ledger.h"
#include "sim/rots.h"
#include "sim/workload.h"

struct gone {
    uint32_t range;
    uint32_t hosts; /* Bits: who has collected it, and has it no more. */
    struct dot dot;
    uint32_t number;      /* Of the put whose value it had; 0 a delete. */
    struct slice context; /* In the arena. */
    struct slice history; /* In the arena: what the object had seen besides. */
    uint64_t lww_hlc;     /* Its stamp if it was stamped lww; 0 else. */
    uint64_t event;       /* When it was collected, */
    bool seen;            /* by whoever had it; else it went with a damaged record. */
    struct gone *next;    /* Of the same key. */
};

/* What a reader last showed of a range in a proof. */
struct shown {
    uint64_t position; /* Of its log then. */
    uint32_t life;
    bool lost; /* It died before that was synced. */
};

struct elsewhere_probe {
    struct host_probe probe;
    uint32_t collector;
    uint32_t host;
    uint32_t range;
    struct slice bucket, key; /* In the arena. */
    const struct gone *gone;
};

static uint64_t key_name(uint32_t range, uint64_t key_hash)
{
    return checksum_pair(checksum_pair(6, range), key_hash);
}

static uint64_t stamp_of(const struct checks *checks, uint32_t range, uint64_t key_hash,
                         struct dot dot)
{
    const struct past *past = map_get(&checks->pasts, checks_past_name(range, key_hash));
    while (past != NULL && !dot_equal(past->dot, dot))
        past = past->older;
    return past == NULL ? UINT64_MAX : past->hlc;
}

/* One stamped lww goes when another with a higher stamp comes, whether that had seen it or not. */
bool checks_gone_itself(const struct world *world, uint32_t range, uint64_t key_hash,
                        struct dot dot)
{
    uint64_t hlc = stamp_of(world->checks, range, key_hash, dot);
    const struct gone *gone = map_get(&world->checks->gone, key_name(range, key_hash));
    for (; gone != NULL; gone = gone->next)
        if (dot.counter == 0 || dot_equal(gone->dot, dot) || vector_covers(gone->context, dot) ||
            vector_covers(gone->history, dot) || hlc <= gone->lww_hlc ||
            checks_overwrites(
                world, range,
                &(struct sibling){.dot = gone->dot,
                                  .hlc = stamp_of(world->checks, range, key_hash, gone->dot),
                                  .context = gone->context},
                dot))
            return true;
    return false;
}

bool checks_gone_value(const struct world *world, uint32_t range, uint64_t key_hash,
                       uint32_t number)
{
    const struct gone *gone = map_get(&world->checks->gone, key_name(range, key_hash));
    for (; gone != NULL; gone = gone->next)
        if (gone->number == number)
            return true;
    return false;
}

bool checks_returns(const struct world *world, uint32_t range, uint64_t key_hash, struct dot dot,
                    uint64_t begun)
{
    const struct gone *gone = map_get(&world->checks->gone, key_name(range, key_hash));
    for (; gone != NULL; gone = gone->next)
        if (gone->seen && gone->event < begun && vector_covers(gone->context, dot))
            return true;
    return false;
}

static void on_elsewhere(struct world *world, struct host_probe *probe,
                         const struct store_done *done)
{
    const struct elsewhere_probe *mine = (struct elsewhere_probe *)probe;
    struct object object;
    if (done->error < 0 || object_decode(done->object, &world->checks->arena, &object) < 0)
        return;
    for (uint32_t i = 0; i < object.count; i++)
        if (vector_covers(mine->gone->context, object.siblings[i].dot))
            world_violate(world, "HorizonSafe",
                          "%s collects what overwrote a version of %.*s/%.*s that %s still has",
                          world_host_name(mine->collector), (int)mine->bucket.size,
                          (const char *)mine->bucket.data, (int)mine->key.size,
                          (const char *)mine->key.data, world_host_name(mine->host));
}

/* Does another reader hold what GONE covers? */
static void look_elsewhere(struct world *world, uint32_t collector, uint32_t range,
                           const struct entry *entry, const struct gone *gone)
{
    struct checks *checks = world->checks;
    const struct range_record *record = checks_newest(world, range);
    for (uint32_t i = 0; record != NULL && i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        int host = world_host_of(world, slot->stage == STAGE_CUT ? slot->target : slot->owner);
        if (host < 0 || (uint32_t)host == collector || slot->stage == STAGE_LEARN)
            continue;
        struct elsewhere_probe *probe = arena_zero(&checks->arena, sizeof(*probe));
        *probe = (struct elsewhere_probe){
            .probe.done = on_elsewhere,
            .collector = collector,
            .host = (uint32_t)host,
            .range = range,
            .bucket = arena_copy(&checks->arena, entry->bucket),
            .key = arena_copy(&checks->arena, entry->key),
            .gone = gone,
        };
        struct store_op op = {.type = STORE_READ,
                              .range = range,
                              .hash = entry->hash,
                              .bucket = probe->bucket,
                              .key = probe->key};
        (void)host_probe(world->hosts[host], &probe->probe, &op);
    }
}

static bool is_dead(const struct sibling *sibling, uint64_t horizon)
{
    return sibling->hlc <= horizon &&
           (sibling->tombstone || (sibling->expires != 0 && sibling->expires <= horizon));
}

/* Dead itself, or hidden behind a dead one that goes too. */
static bool may_go(const struct object *before, const struct sibling *sibling, uint64_t horizon)
{
    if (is_dead(sibling, horizon))
        return true;
    for (uint32_t i = 0; i < before->count; i++) {
        const struct sibling *other = &before->siblings[i];
        if (is_dead(other, horizon) && other->policy != POLICY_SIBLINGS &&
            sibling->policy != POLICY_SIBLINGS && other->hlc >= sibling->hlc)
            return true;
    }
    return false;
}

struct gone *checks_gone_add(struct world *world, uint32_t range, uint64_t key_hash,
                             const struct sibling *sibling, struct slice history)
{
    struct checks *checks = world->checks;
    uint64_t name = key_name(range, key_hash);
    struct gone *first = map_get(&checks->gone, name);
    for (struct gone *at = first; at != NULL; at = at->next)
        if (dot_equal(at->dot, sibling->dot))
            return at;
    struct gone *gone = arena_zero(&checks->arena, sizeof(*gone));
    *gone = (struct gone){
        .range = range,
        .dot = sibling->dot,
        .context = arena_copy(&checks->arena, sibling->context),
        .history = arena_copy(&checks->arena, history),
        .number = sibling->tombstone ? 0 : ledger_number(workload_ledger(world), sibling->value),
        .lww_hlc = sibling->policy == POLICY_LWW ? sibling->hlc : 0,
        .event = world->coverage.events,
        .next = first};
    map_put(&checks->gone, name, gone);
    return gone;
}

static void remember(struct world *world, uint32_t host, uint32_t range, const struct entry *entry,
                     const struct object *before, const struct sibling *sibling)
{
    struct gone *gone = checks_gone_add(world, range, entry->hash, sibling, before->history);
    world->coverage.collected += gone->hosts == 0;
    gone->hosts |= 1u << host;
    if (!gone->seen)
        gone->event = world->coverage.events;
    gone->seen = true;
    look_elsewhere(world, host, range, entry, gone);
}

void checks_collected(struct world *world, uint32_t host, const struct flight *flight,
                      const struct store_done *done)
{
    struct checks *checks = world->checks;
    uint32_t range = flight->range.range;
    if (flight->horizon > checks->horizons[range])
        world_violate(world, "HorizonSafe", "%s collects range %u up to a horizon that nobody took",
                      world_host_name(host), range);
    for (uint32_t i = 0; i + 1 < done->entries_count; i += 2) {
        struct object before;
        struct object after;
        if (object_decode(done->entries[i].object, &checks->arena, &before) < 0 ||
            object_decode(done->entries[i + 1].object, &checks->arena, &after) < 0) {
            world_violate(world, "CodecRoundTrip", "%s collects into what does not decode",
                          world_host_name(host));
            return;
        }
        for (uint32_t k = 0; k < before.count; k++) {
            const struct sibling *sibling = &before.siblings[k];
            if (object_sibling(&after, sibling->dot) != NULL)
                continue;
            if (!may_go(&before, sibling, flight->horizon))
                world_violate(world, "HorizonSafe", "%s collects a version of range %u that lives",
                              world_host_name(host), range);
            remember(world, host, range, &done->entries[i], &before, sibling);
        }
    }
}

void checks_horizon_taken(struct world *world, uint32_t host, uint32_t range, uint64_t horizon)
{
    struct checks *checks = world->checks;
    (void)host;
    checks->horizons[range] = MAX(checks->horizons[range], horizon);
    world->coverage.horizons++;
}

void checks_floor(struct world *world, uint32_t host, const struct load *load)
{
    if (id_equal(load->id, host_id(world->hosts[host])))
        world->checks->floors[host] = MAX(world->checks->floors[host], load->hlc_floor);
}

void checks_stamped(struct world *world, uint32_t host, uint32_t range, uint64_t hlc)
{
    struct checks *checks = world->checks;
    if (hlc <= checks->horizons[range])
        world_violate(world, "HorizonSafe",
                      "%s stamps a version of range %u below a horizon that was taken",
                      world_host_name(host), range);
    if (hlc <= checks->floors[host])
        world_violate(world, "HorizonSafe", "%s stamps a version below the floor that it promised",
                      world_host_name(host));
}

/* ---------------------------------------------------------------------------------- Back again. */

void checks_gone_forget(struct world *world, uint32_t host, uint32_t range)
{
    struct checks *checks = world->checks;
    size_t cursor = 0;
    for (struct gone *gone; (gone = map_next(&checks->gone, &cursor, NULL)) != NULL;)
        for (; gone != NULL; gone = gone->next)
            if (range == UINT32_MAX || gone->range == range)
                gone->hosts &= ~(1u << host);
    for (uint32_t i = 0; range == UINT32_MAX && i < checks->ranges; i++) {
        struct shown *shown = map_get(&checks->shown, checksum_pair(host, i));
        if (shown != NULL && shown->position > checks_handed_of(world, host, i)->synced)
            shown->lost = true;
    }
}

void checks_merged(struct world *world, uint32_t host, const struct flight *flight,
                   struct slice bytes)
{
    struct checks *checks = world->checks;
    struct object object;
    const struct gone *gone =
        map_get(&checks->gone, key_name(flight->range.range, flight->key_hash));
    if (gone == NULL || object_decode(bytes, &checks->arena, &object) < 0)
        return;
    for (; gone != NULL; gone = gone->next)
        if ((gone->hosts >> host & 1) != 0 && object_sibling(&object, gone->dot) != NULL)
            world_violate(world, "HorizonSafe",
                          "%s takes in again what it had collected in range %u",
                          world_host_name(host), flight->range.range);
}

/* ------------------------------------------------------------------------------------ The proof.
 *
 * Judged when a horizon is first spoken of as proven: every member has promised a floor past it;
 * what each reader showed is on its disk; and of what the readers have, none lacks anything. One
 * that has come back with an old copy of its disk is no reader any more, and will be told.
 *
 * But for records that have rotted and are not whole again. The tree counts them, and that is
 * right: such a key is UNREADABLE, the horizon keeps nothing away from it, and it is healed from
 * readers that have all of what was shown, less what is dead by then. A scan ends at such a record;
 * what lies behind it is left to later proofs. */

struct whole {
    struct host_probe probe;
    struct whole *others; /* Of the same check, `count` in a row. */
    uint32_t count;
    uint32_t host;
    uint32_t range;
    uint64_t horizon;
    struct entry *entries; /* In the arena, once known. */
    uint32_t entries_count;
    uint64_t to; /* Up to this hash. */
    bool known;
};

static struct slice find_object(const struct whole *whole, const struct entry *entry)
{
    for (uint32_t i = 0; i < whole->entries_count; i++)
        if (whole->entries[i].hash == entry->hash &&
            slice_equal(whole->entries[i].bucket, entry->bucket) &&
            slice_equal(whole->entries[i].key, entry->key))
            return whole->entries[i].object;
    return SLICE_NONE;
}

static void compare(struct world *world, const struct whole *one, const struct whole *other)
{
    for (uint32_t i = 0; i < one->entries_count; i++) {
        const struct entry *entry = &one->entries[i];
        if (entry->hash <= other->to && !rots_hides(world, other->host, entry->hash) &&
            !object_has_all(find_object(other, entry), entry->object, one->horizon))
            world_violate(world, "HorizonSafe",
                          "a horizon of range %u is spoken of as proven, but %s lacks a version of "
                          "%.*s/%.*s that %s has",
                          one->range, world_host_name(other->host), (int)entry->bucket.size,
                          (const char *)entry->bucket.data, (int)entry->key.size,
                          (const char *)entry->key.data, world_host_name(one->host));
    }
}

static void on_whole(struct world *world, struct host_probe *probe, const struct store_done *done)
{
    struct whole *mine = (struct whole *)probe;
    struct arena *arena = &world->checks->arena;
    if (done->error < 0)
        return;
    mine->entries = arena_alloc(arena, (done->entries_count + 1) * sizeof(*mine->entries));
    for (uint32_t i = 0; i < done->entries_count; i++) {
        const struct entry *entry = &done->entries[i];
        mine->entries[i] =
            (struct entry){entry->hash, arena_copy(arena, entry->bucket),
                           arena_copy(arena, entry->key), arena_copy(arena, entry->object)};
    }
    mine->entries_count = done->entries_count;
    mine->to = done->more ? mine->entries[done->entries_count - 1].hash : UINT64_MAX;
    mine->known = true;
    for (uint32_t i = 0; i < mine->count; i++)
        if (!mine->others[i].known)
            return;
    for (uint32_t i = 0; i < mine->count; i++)
        for (uint32_t k = 0; k < mine->count; k++)
            if (i != k)
                compare(world, &mine->others[i], &mine->others[k]);
}

static void judge_equal(struct world *world, const struct range_record *record, uint64_t horizon)
{
    struct checks *checks = world->checks;
    struct whole *wholes = arena_zero(&checks->arena, SLOTS_MAX * sizeof(*wholes));
    uint32_t count = 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        int host = world_host_of(world, record->slots[i].owner);
        if (record->slots[i].stage != STAGE_STABLE || host < 0)
            return;
        if (host_state(world->hosts[host]) == HOST_UP && !host_restored(world->hosts[host]))
            wholes[count++] = (struct whole){.probe.done = on_whole,
                                             .others = wholes,
                                             .host = (uint32_t)host,
                                             .range = record->range,
                                             .horizon = horizon};
    }
    for (uint32_t i = 0; i < count; i++) {
        wholes[i].count = count;
        struct store_op op = {
            .type = STORE_SCAN,
            .range = record->range,
            .scan = {.from = range_first(record->range, world->options.range_bits),
                     .to = range_last(record->range, world->options.range_bits),
                     .count_max = 10000,
                     .bytes_max = 64 << 20},
        };
        (void)host_probe(world->hosts[wholes[i].host], &wholes[i].probe, &op);
    }
}

static void judge_synced(struct world *world, const struct range_record *record)
{
    const struct checks *checks = world->checks;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        int host = world_host_of(world, record->slots[i].owner);
        const struct shown *shown =
            host < 0 ? NULL : map_get(&checks->shown, checksum_pair((uint64_t)host, record->range));
        if (shown == NULL)
            continue;
        bool here = shown->life == host_lives(world->hosts[host]);
        uint64_t synced = checks_handed_of(world, (uint32_t)host, record->range)->synced;
        if (shown->lost || (here && shown->position > synced))
            world_violate(world, "HorizonSafe",
                          "a horizon of range %u rests on what %s showed and had not synced",
                          record->range, world_host_name((uint32_t)host));
    }
}

static void judge_floors(struct world *world, uint32_t raiser, uint32_t range, uint64_t horizon)
{
    const struct core *core = node_core(host_node_of(world->hosts[raiser], range));
    const struct member_table *members = &core->members;
    for (uint32_t i = 0; i < members->count; i++) {
        int host = world_host_of(world, members->members[i]->id);
        uint64_t promised = host < 0 ? UINT64_MAX : world->checks->floors[host];
        if ((uint32_t)host == raiser)
            promised = core->floor;
        if (promised < horizon)
            world_violate(world, "HorizonSafe", "%s raises a horizon past the floor of %s",
                          world_host_name(raiser), world_host_name((uint32_t)host));
    }
}

/* HOST asks or answers QUESTION of RANGE. A question that the network repeats is answered once
 * more, and nobody takes note. */
static void show(struct world *world, uint32_t host, uint32_t range, uint64_t question)
{
    struct checks *checks = world->checks;
    uint64_t name = checksum_pair(host, range);
    struct shown *shown = map_get(&checks->shown, name);
    uint64_t shown_to = checksum_pair(name, question);
    if (map_get(&checks->questions, shown_to) != NULL)
        return;
    map_put(&checks->questions, shown_to, world);
    if (shown == NULL) {
        shown = arena_zero(&checks->arena, sizeof(*shown));
        map_put(&checks->shown, name, shown);
    }
    struct store_stats stats;
    store_stats(host_store_of(world->hosts[host], range), &stats);
    *shown = (struct shown){stats.position, host_lives(world->hosts[host]), false};
}

void checks_horizon_message(struct world *world, uint32_t from, uint32_t to,
                            const struct message *message)
{
    struct checks *checks = world->checks;
    uint32_t range =
        message->type == MESSAGE_CHUNK ? message->chunk.range.range : message->horizon.range.range;
    if (range >= checks->ranges || host_node(world->hosts[from]) == NULL)
        return;
    const struct core *core = node_core(host_node_of(world->hosts[from], range));
    if (message->type == MESSAGE_CHUNK) {
        if (message->chunk.transfer != 0 && message->chunk.horizon != core->holdings[range].horizon)
            world_violate(world, "HorizonSafe", "%s hands range %u on without its horizon",
                          world_host_name(from), range);
        return;
    }
    /* Nodes count their questions each for itself: two may give one number to theirs. */
    uint32_t asker = message->type == MESSAGE_PROVE ? from : to;
    uint64_t question = checksum_pair(asker, message->horizon.nonce);
    if (message->type == MESSAGE_PROVE)
        checks->asked[range] = question;
    bool shows = message->type == MESSAGE_PROVE
                     ? message->horizon.nodes_count > 0
                     : message->type == MESSAGE_PROVEN && message->horizon.to != 0 &&
                           question == checks->asked[range]; /* Else nobody takes note. */
    if (shows)
        show(world, from, range, question);
    uint64_t horizon = message->horizon.horizon;
    if (message->type != MESSAGE_HORIZON || message->horizon.reply ||
        horizon <= checks->horizons_sent[range])
        return;
    checks->horizons_sent[range] = horizon;
    const struct range_record *record = checks_find(checks, &message->horizon.range);
    judge_floors(world, from, range, horizon);
    if (record == NULL)
        return;
    judge_synced(world, record);
    judge_equal(world, record, horizon);
}
