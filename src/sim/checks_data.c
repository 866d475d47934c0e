/* Versions: what each slot acknowledged, and whether who comes to read it has it. */
#include "base/checksum.h"
#include "base/error.h"
#include "data/fork.h"
#include "data/vector.h"
#include "sim/checks_own.h"
#include "sim/host.h"
#include "sim/rots.h"

static uint64_t mix(uint64_t seed, uint64_t a, uint64_t b)
{
    return checksum_pair(checksum_pair(seed, a), b);
}

static uint64_t fingerprint(const struct sibling *sibling)
{
    uint64_t value = checksum64(sibling->value, sibling->tombstone);
    return mix(mix(1, value, sibling->hlc), sibling->expires, sibling->drops) | 1;
}

const struct second_self *checks_second_self(const struct world *world, uint32_t range,
                                             struct dot dot)
{
    return map_get(&world->checks->seconds, mix(range, dot.actor, dot.counter));
}

void checks_versions(struct world *world, uint32_t range, struct slice bucket, struct slice key,
                     struct slice object)
{
    struct checks *checks = world->checks;
    struct object decoded;
    if (object_decode(object, &checks->arena, &decoded) < 0) {
        world_violate(world, "CodecRoundTrip", "an object of %.*s/%.*s does not decode",
                      (int)bucket.size, (const char *)bucket.data, (int)key.size,
                      (const char *)key.data);
        return;
    }
    for (uint32_t i = 0; i < decoded.count; i++) {
        const struct sibling *sibling = &decoded.siblings[i];
        uint64_t name = mix(range, sibling->dot.actor, sibling->dot.counter);
        uint64_t mine = fingerprint(sibling);
        if (sibling->first.counter > 0 && map_get(&checks->seconds, name) == NULL) {
            struct second_self *second = arena_alloc(&checks->arena, sizeof(*second));
            *second = (struct second_self){sibling->first, {sibling->hlc, sibling->dot}};
            map_put(&checks->seconds, name, second);
        }
        void *known = map_get(&checks->versions, name);
        if (known == NULL)
            map_put(&checks->versions, name, (void *)(uintptr_t)mine);
        else if ((uint64_t)(uintptr_t)known != mine)
            world_violate(world, "NoDotTwice",
                          "range %u: dot (%llx, %llu) names two versions of "
                          "%.*s/%.*s, one of them '%.*s'",
                          range, (unsigned long long)sibling->dot.actor,
                          (unsigned long long)sibling->dot.counter, (int)bucket.size,
                          (const char *)bucket.data, (int)key.size, (const char *)key.data,
                          (int)MIN(sibling->value.size, (size_t)40),
                          (const char *)sibling->value.data);
    }
}

/* ------------------------------------------------------------------- What slots acknowledged. */

static uint64_t write_name(const struct world *world, uint32_t coordinator, uint64_t id,
                           uint8_t slot)
{
    return mix(mix(2, coordinator, host_lives(world->hosts[coordinator])), id, slot);
}

void checks_write_sent(struct world *world, uint32_t from, uint32_t to,
                       const struct message *message)
{
    struct checks *checks = world->checks;
    uint64_t name = write_name(world, from, message->write.id, message->write.slot);
    struct write_sent *sent = map_get(&checks->writes, name);
    /* A get that repairs what it finds stale writes under its own id: a reply to its READ would
     * pass for one to that WRITE. Nobody counts those, so they do not count here. */
    if (message->type == MESSAGE_READ) {
        if (sent == NULL) {
            sent = arena_zero(&checks->arena, sizeof(*sent));
            map_put(&checks->writes, name, sent);
        }
        sent->hinted |= (uint32_t)message->write.hinted << to;
        sent->owned |= (uint32_t)!message->write.hinted << to;
        return;
    }
    if (sent != NULL && sent->bucket.size == 0) {
        sent->owned |= 1u << to;
        return;
    }
    if (sent == NULL) {
        sent = arena_zero(&checks->arena, sizeof(*sent));
        sent->bucket = arena_copy(&checks->arena, message->write.bucket);
        sent->key = arena_copy(&checks->arena, message->write.key);
        map_put(&checks->writes, name, sent);
    }
    sent->hinted |= (uint32_t)(message->type == MESSAGE_HINT) << to;
    sent->owned |= (uint32_t)(message->type != MESSAGE_HINT) << to;
    /* The same request may write again, with more: an acknowledgement may be of the first one. */
    if (sent->dots_count > 0)
        return;
    struct object object;
    if (object_decode(message->write.object, &checks->arena, &object) < 0) {
        world_violate(world, "CodecRoundTrip", "%s writes an object that does not decode",
                      world_host_name(from));
        return;
    }
    sent->dots = arena_alloc(&checks->arena, (object.count + 1) * sizeof(*sent->dots));
    for (uint32_t i = 0; i < object.count; i++)
        sent->dots[sent->dots_count++] = object.siblings[i].dot;
}

static bool writes(const struct range_record *record, uint8_t number, const struct world *world,
                   uint32_t hosts)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        if (slot->number != number)
            continue;
        bool owner = slot->stage != STAGE_LEARN && slot->stage != STAGE_REBUILD;
        bool target = slot->stage != STAGE_STABLE;
        int a = owner ? world_host_of(world, slot->owner) : -1;
        int b = target ? world_host_of(world, slot->target) : -1;
        return slot->stage != STAGE_FENCE && slot->stage != STAGE_LEARN &&
               (!owner || (a >= 0 && hosts >> a & 1)) && (!target || (b >= 0 && hosts >> b & 1));
    }
    return false;
}

static uint64_t ack_name(uint32_t range, uint64_t epoch, uint8_t slot, struct dot dot)
{
    return mix(mix(3, range, epoch), slot, mix(4, dot.actor, dot.counter));
}

/* A record that one node alone votes on is told to nobody: only that node can say who writes. */
static const struct range_record *record_by(const struct world *world, uint32_t host,
                                            const struct range_epoch *range)
{
    const struct range_record *record = checks_find(world->checks, range);
    const struct node *node = host_node(world->hosts[host]);
    if (record != NULL || node == NULL || node_core(node)->holdings == NULL)
        return record;
    record = &node_core(node)->holdings[range->range].record;
    return range_epoch_compare(range, record) == 0 ? record : NULL;
}

static void acknowledge(struct world *world, uint32_t host, const struct range_epoch *range,
                        uint8_t slot, struct slice bucket, struct slice key, struct dot dot)
{
    struct checks *checks = world->checks;
    if (range->range >= checks->ranges)
        return;
    uint64_t name = ack_name(range->range, range->epoch, slot, dot);
    struct slot_ack *ack = map_get(&checks->acks, name);
    if (ack == NULL) {
        ack = arena_zero(&checks->arena, sizeof(*ack));
        ack->range = range->range;
        ack->epoch = range->epoch;
        ack->slot = slot;
        ack->dot = dot;
        ack->bucket = arena_copy(&checks->arena, bucket);
        ack->key = arena_copy(&checks->arena, key);
        ack->key_hash = key_hash(world->cluster.hash_seed, bucket, key);
        ack->next = checks->complete[range->range];
        checks->complete[range->range] = ack;
        map_put(&checks->acks, name, ack);
    }
    ack->hosts |= 1u << host;
    const struct range_record *record = record_by(world, host, range);
    if (slot == QUORUM_OF_SLOTS || (record != NULL && writes(record, slot, world, ack->hosts)))
        ack->complete = true;
}

/* Who keeps the hint has it synced; who was asked for one holds it. */
static void checks_hint_answered(struct world *world, uint32_t from, const struct write_sent *sent,
                                 const struct message *message)
{
    if (sent->bucket.size > 0)
        checks_hint_acknowledged(world, from, message->reply.range.range, sent);
    else if (message->reply.object.size == 0)
        world_violate(world, "OnlyHoldersCount", "%s answers for a key of which it holds no hint",
                      world_host_name(from));
}

void checks_write_acknowledged(struct world *world, uint32_t from, uint32_t to,
                               const struct message *message)
{
    if (message->reply.error != 0)
        return;
    uint64_t name = write_name(world, to, message->reply.id, message->reply.slot);
    const struct write_sent *sent = map_get(&world->checks->writes, name);
    /* Which of the two is answered cannot be told where it was asked as both. */
    if (sent != NULL && sent->hinted & ~sent->owned & 1u << from)
        checks_hint_answered(world, from, sent, message);
    for (uint32_t i = 0; sent != NULL && i < sent->dots_count; i++)
        acknowledge(world, from, &message->reply.range, message->reply.slot, sent->bucket,
                    sent->key, sent->dots[i]);
}

/* How many slots had acknowledged DOT under the epoch that ANSWER rests on? The coordinator's own
 * acknowledgement, which no message shows, is taken for given. */
static uint32_t slots_acknowledged(const struct world *world, const struct range_record *record,
                                   uint32_t coordinator, struct dot dot)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        uint8_t slot = record->slots[i].number;
        uint64_t name = ack_name(record->range, record->epoch, slot, dot);
        const struct slot_ack *ack = map_get(&world->checks->acks, name);
        uint32_t hosts = (ack == NULL ? 0 : ack->hosts) | 1u << coordinator;
        count += writes(record, slot, world, hosts);
    }
    return count;
}

/* A quorum has a version of the key of HASH: whoever lost the key, and is whole again, has it too
 * if it was of that quorum. */
static void look_at_healed(struct world *world, const struct range_record *record, uint64_t hash)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        int host = world_host_of(world, checks_reader(&record->slots[i]));
        if (host >= 0 && checks_lost(world->checks, (uint32_t)host, hash) &&
            !rots_hides(world, (uint32_t)host, hash) && host_state(world->hosts[host]) == HOST_UP &&
            !host_restored(world->hosts[host]))
            checks_key_healed(world, (uint32_t)host, record->range);
    }
}

void checks_quorum(struct world *world, const struct answer *answer)
{
    const struct range_record *record =
        checks_find_epoch(world->checks, answer->range, answer->epoch);
    if (record != NULL && answer->got < record_counted(record) / 2 + 1)
        world_violate(world, "QuorumCounts",
                      "%s counts %u slots for a quorum under epoch %llu of range %u",
                      world_name(world, answer->coordinator), answer->got,
                      (unsigned long long)answer->epoch, answer->range);
}

void checks_put_answered(struct world *world, const struct answer *answer, bool strict,
                         struct slice bucket, struct slice key, struct dot dot)
{
    const struct range_record *record =
        checks_find_epoch(world->checks, answer->range, answer->epoch);
    struct range_epoch range = {answer->range, 0, 0, answer->epoch};
    if (record != NULL)
        range = range_epoch_of(record);
    int host = world_host_of(world, answer->coordinator);
    if (answer->sloppy && strict)
        world_violate(world, "StrictCountsOwners", "%s counts a fallback for a strict request",
                      world_name(world, answer->coordinator));
    if (!strict && host >= 0 &&
        checks_holders(world, answer->range, answer->epoch, dot, 1u << host) < answer->got)
        world_violate(world, "OneNodeCountsOnce",
                      "%s counts %u copies of a version of %.*s/%.*s of range %u, more than nodes",
                      world_host_name((uint32_t)host), answer->got, (int)bucket.size,
                      (const char *)bucket.data, (int)key.size, (const char *)key.data,
                      answer->range);
    /* Beside the owners that it rests on, fallbacks may have acknowledged. */
    uint32_t owners = strict ? answer->got : answer->sloppy ? 0 : answer->needed;
    if (record != NULL && host >= 0 &&
        slots_acknowledged(world, record, (uint32_t)host, dot) < owners)
        world_violate(world, "OneEpochCount",
                      "%s counts %u slots for a version of %.*s/%.*s under epoch %llu of range %u",
                      world_host_name((uint32_t)host), owners, (int)bucket.size,
                      (const char *)bucket.data, (int)key.size, (const char *)key.data,
                      (unsigned long long)answer->epoch, answer->range);
    uint32_t counted = 0;
    for (uint32_t i = 0; record != NULL && i < record->slots_count; i++)
        counted += record->slots[i].stage != STAGE_LEARN;
    if (record != NULL && host >= 0 && owners >= counted / 2 + 1) {
        acknowledge(world, (uint32_t)host, &range, QUORUM_OF_SLOTS, bucket, key, dot);
        look_at_healed(world, record, key_hash(world->cluster.hash_seed, bucket, key));
    }
    /* Of fewer acknowledgements than slots, the coordinator's own need not be one. */
    if (record == NULL || host < 0 || answer->got < answer->slots || !strict)
        return;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        if (id_equal(slot->owner, answer->coordinator) ||
            id_equal(slot->target, answer->coordinator))
            acknowledge(world, (uint32_t)host, &range, slot->number, bucket, key, dot);
    }
}

/* ----------------------------------------------------------------------------- Who reads, has. */

/* One version that is owed. */
struct owed {
    const struct slot_ack *ack;
    struct owed *next;
};

/* One key is asked for once, for all of its versions that are owed. */
struct complete_probe {
    struct host_probe probe;
    uint32_t host;
    struct range_epoch range;
    struct owed *owed;
    struct complete_probe *next; /* Of the same look. */
};

static void on_probed(struct world *world, struct host_probe *probe, const struct store_done *done)
{
    struct complete_probe *mine = (struct complete_probe *)probe;
    const struct slot_ack *ack = mine->owed->ack;
    struct object object;
    if (done->error == ERR_UNREADABLE && rots_hides(world, mine->host, ack->key_hash))
        return;
    if (done->error < 0 || object_decode(done->object, &world->checks->arena, &object) < 0) {
        world_violate(world, "ReadImpliesComplete", "%s cannot read %.*s/%.*s: %s",
                      world_host_name(mine->host), (int)ack->bucket.size,
                      (const char *)ack->bucket.data, (int)ack->key.size,
                      (const char *)ack->key.data, error_word(done->error));
        return;
    }
    for (const struct owed *owed = mine->owed; owed != NULL; owed = owed->next) {
        ack = owed->ack;
        if (checks_covered(world, ack->range, ack->key_hash, &object, ack->dot) ||
            checks_gone(world, ack->range, ack->key_hash, ack->dot))
            continue;
        world_violate(world, "ReadImpliesComplete",
                      "%s reads slot %u of range %u since epoch %llu, but lacks a version of "
                      "%.*s/%.*s that the slot acknowledged at epoch %llu",
                      world_host_name(mine->host), ack->slot, ack->range,
                      (unsigned long long)mine->range.epoch, (int)ack->bucket.size,
                      (const char *)ack->bucket.data, (int)ack->key.size,
                      (const char *)ack->key.data, (unsigned long long)ack->epoch);
    }
}

static void owe(struct checks *checks, struct complete_probe **probes, const struct slot_ack *ack)
{
    struct complete_probe *probe = *probes;
    while (probe != NULL && probe->owed->ack->key_hash != ack->key_hash)
        probe = probe->next;
    if (probe == NULL) {
        probe = arena_zero(&checks->arena, sizeof(*probe));
        probe->next = *probes;
        *probes = probe;
    }
    struct owed *owed = arena_alloc(&checks->arena, sizeof(*owed));
    *owed = (struct owed){ack, probe->owed};
    probe->owed = owed;
}

static bool has_acknowledged(const struct slot_ack *acks, struct dot dot, uint32_t host)
{
    for (const struct slot_ack *ack = acks; ack != NULL; ack = ack->next)
        if (dot_equal(ack->dot, dot) && (ack->hosts & ~(1u << host)) != 0)
            return true;
    return false;
}

bool checks_only_copy(const struct world *world, uint32_t host, uint32_t range)
{
    const struct slot_ack *acks = world->checks->complete[range];
    for (const struct slot_ack *ack = acks; ack != NULL; ack = ack->next)
        if (ack->slot == QUORUM_OF_SLOTS && (ack->hosts >> host & 1) != 0 &&
            !has_acknowledged(acks, ack->dot, host))
            return true;
    return false;
}

void checks_key_lost(struct world *world, uint32_t host, uint32_t range, uint64_t hash)
{
    const struct range_record *record = checks_newest(world, range);
    struct node_id self = host_id(world->hosts[host]);
    uint32_t lost = 0;
    for (uint32_t i = 0; record != NULL && i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        if (id_equal(slot->owner, self) || id_equal(slot->target, self))
            lost |= 1u << slot->number;
    }
    for (struct slot_ack *ack = world->checks->complete[range]; ack != NULL; ack = ack->next)
        if (ack->key_hash == hash) {
            ack->lost_hosts |= 1u << host;
            ack->lost_slots |= lost;
        }
    map_put(&world->checks->lost, mix(9, host, hash), world->checks);
}

bool checks_lost(const struct checks *checks, uint32_t host, uint64_t hash)
{
    return map_get(&checks->lost, mix(9, host, hash)) != NULL;
}

void checks_key_healed(struct world *world, uint32_t host, uint32_t range)
{
    const struct core *core = node_core(host_node_of(world->hosts[host], range));
    if (core->holdings != NULL && core->holdings[range].record.epoch > 0)
        checks_complete(world, host, &core->holdings[range].record);
}

/* What HOST acknowledged for slot NUMBER is lost since, and was no quorum without it. */
static bool was_counted(const struct world *world, const struct slot_ack *quorum, uint32_t host,
                        uint8_t number)
{
    const struct range_record *record =
        checks_find_epoch(world->checks, quorum->range, quorum->epoch);
    const struct slot_ack *mine =
        map_get(&world->checks->acks, ack_name(quorum->range, quorum->epoch, number, quorum->dot));
    if (record == NULL || mine == NULL || !(mine->lost_hosts >> host & 1))
        return false;
    uint32_t counted = 0;
    uint32_t others = 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        uint8_t slot = record->slots[i].number;
        const struct slot_ack *ack = map_get(
            &world->checks->acks, ack_name(quorum->range, quorum->epoch, slot, quorum->dot));
        uint32_t hosts = (ack == NULL ? 0 : ack->hosts) | quorum->hosts;
        counted += record->slots[i].stage != STAGE_LEARN;
        others += slot != number && writes(record, slot, world, hosts);
    }
    return others < counted / 2 + 1;
}

/* Has the slot NUMBER, last filled from others at epoch FILLED and read by HOST, to have what ACK
 * says? Of what was before it was filled, or before HOST lost the key, it has what a quorum had.
 * Where another host of the slot lost the key, nobody knows from whom HOST has its copy: of what
 * the slot had it has what a quorum had, in any case. */
static bool is_owed(const struct world *world, const struct slot_ack *ack, uint32_t host,
                    uint8_t number, uint64_t filled)
{
    const struct checks *checks = world->checks;
    if (ack->slot == QUORUM_OF_SLOTS && ack->epoch >= filled && !(ack->lost_hosts >> host & 1))
        return was_counted(world, ack, host, number);
    if (ack->epoch < filled || ack->lost_hosts >> host & 1)
        return ack->slot == QUORUM_OF_SLOTS;
    if (ack->slot != number)
        return false;
    if (!(ack->lost_slots >> number & 1))
        return true;
    uint64_t name = ack_name(ack->range, ack->epoch, QUORUM_OF_SLOTS, ack->dot);
    const struct slot_ack *quorum = map_get(&checks->acks, name);
    return quorum != NULL && quorum->complete;
}

/* What another fork acknowledged comes here when that fork has lost, and not before. */
static bool is_in_line(uint64_t epoch, const struct range_record *record)
{
    uint64_t block = epoch >> FORK_EPOCH_BITS;
    return block == 0 || block == record->epoch >> FORK_EPOCH_BITS;
}

void checks_complete(struct world *world, uint32_t host, const struct range_record *record)
{
    struct checks *checks = world->checks;
    struct node_id self = host_id(world->hosts[host]);
    const struct slot *mine = NULL;
    for (uint32_t i = 0; i < record->slots_count; i++)
        if (id_equal(checks_reader(&record->slots[i]), self))
            mine = &record->slots[i];
    if (mine == NULL)
        return;
    uint64_t filled = checks_filled_at(checks, record, mine->number);
    struct complete_probe *probes = NULL;
    for (const struct slot_ack *ack = checks->complete[record->range]; ack; ack = ack->next) {
        if (ack->complete && ack->epoch <= record->epoch && is_in_line(ack->epoch, record) &&
            is_owed(world, ack, host, mine->number, filled))
            owe(checks, &probes, ack);
    }
    for (struct complete_probe *probe = probes; probe != NULL; probe = probe->next) {
        const struct slot_ack *ack = probe->owed->ack;
        probe->probe.done = on_probed;
        probe->host = host;
        probe->range =
            (struct range_epoch){record->range, record->fork, record->nonce, record->epoch};
        struct store_op op = {
            .type = STORE_READ,
            .range = record->range,
            .hash = ack->key_hash,
            .bucket = ack->bucket,
            .key = ack->key,
        };
        (void)host_probe(world->hosts[host], &probe->probe, &op);
    }
}
