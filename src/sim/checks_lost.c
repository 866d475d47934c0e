/* Slots that are rebuilt: from what, and when; and old disks, which must keep silent. */
#include "sim/checks_own.h"
#include "sim/describe.h"
#include "sim/host.h"
#include "sim/losses.h"

static const struct slot *filled_slot(const struct range_record *record)
{
    for (uint32_t i = 0; record != NULL && i < record->slots_count; i++) {
        enum stage stage = record->slots[i].stage;
        if (stage == STAGE_JOINT || stage == STAGE_LEARN || stage == STAGE_REBUILD)
            return &record->slots[i];
    }
    return NULL;
}

void checks_snapshot(struct world *world, uint32_t host, uint32_t range)
{
    struct checks *checks = world->checks;
    const struct install *install = install_of(checks, host, range);
    const struct range_record *record = checks_find(checks, &install->submitted);
    const struct slot *slot = filled_slot(record);
    bool member = false;
    for (uint32_t i = 0; slot != NULL && i < record->slots_count; i++)
        member = member || id_equal(checks_reader(&record->slots[i]), host_id(world->hosts[host]));
    if (slot != NULL && member && checks_compare(&install->durable, &install->submitted) < 0)
        world_violate(world,
                      slot->stage == STAGE_REBUILD ? "SnapshotAfterRebuild" : "SnapshotAfterJoint",
                      "%s reads range %u for a transfer before epoch %llu is on its disk",
                      world_host_name(host), range, (unsigned long long)install->submitted.epoch);
}

static uint64_t name_of(uint32_t range, uint64_t transfer)
{
    return checksum_pair(checksum_pair(8, range), transfer);
}

/* The newest record of RANGE under that transfer. */
static const struct range_record *record_of(const struct checks *checks, uint32_t range,
                                            uint64_t transfer)
{
    const struct record_list *list = &checks->lists[range];
    for (uint32_t i = list->count; i-- > 0;)
        if (list->records[i].transfer == transfer)
            return &list->records[i];
    return NULL;
}

void checks_chunk_sent(struct world *world, uint32_t from, const struct message *message)
{
    struct checks *checks = world->checks;
    uint32_t range = message->chunk.range.range;
    uint64_t transfer = message->chunk.transfer;
    if (transfer == 0 || range >= checks->ranges || !message->chunk.last)
        return;
    const struct range_record *record = record_of(checks, range, transfer);
    for (uint32_t i = 0; record != NULL && i < record->slots_count; i++) {
        if (!id_equal(checks_reader(&record->slots[i]), host_id(world->hosts[from])))
            continue;
        uint64_t name = name_of(range, transfer);
        uintptr_t slots = (uintptr_t)map_get(&checks->sources, name);
        map_put(&checks->sources, name, (void *)(slots | 1u << record->slots[i].number));
    }
}

bool checks_rebuilt(const struct checks *checks, const struct range_record *base)
{
    uintptr_t slots = (uintptr_t)map_get(&checks->sources, name_of(base->range, base->transfer));
    uint32_t counted = 0;
    for (uint32_t i = 0; i < base->slots_count; i++)
        counted += base->slots[i].stage != STAGE_LEARN;
    return (uint32_t)__builtin_popcountll(slots) >= counted / 2 + 1;
}

uint64_t checks_filled_at(const struct checks *checks, const struct range_record *record,
                          uint8_t number)
{
    const struct record_list *list = &checks->lists[record->range];
    uint64_t last = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct range_record *one = &list->records[i];
        for (uint32_t k = 0; k < one->slots_count; k++) {
            const struct slot *slot = &one->slots[k];
            bool fills = slot->stage == STAGE_LEARN || slot->stage == STAGE_REBUILD;
            if (slot->number == number && fills && one->epoch < record->epoch)
                last = MAX(last, one->epoch);
        }
    }
    return last;
}

void checks_voter(struct world *world, uint32_t from, const struct range_epoch *range)
{
    const struct range_record *record = checks_find(world->checks, range);
    bool reader = record == NULL; /* Not seen yet. */
    for (uint32_t i = 0; record != NULL && i < record->slots_count; i++)
        reader = reader || id_equal(checks_reader(&record->slots[i]), host_id(world->hosts[from]));
    if (!reader)
        world_violate(world, "OnlyReadersVote",
                      "%s votes on what follows epoch %llu of range %u, of which it reads no slot",
                      world_host_name(from), (unsigned long long)range->epoch, range->range);
}

/* Who writes beside the reader of a slot that moves takes writes before it is welcome: they count
 * only with the reader's. Who answers for a slot that it does not write keeps a hint. */
static bool serves(const struct world *world, uint32_t from, const struct message *message)
{
    const struct range_record *record = checks_find(world->checks, &message->reply.range);
    struct node_id id = host_id(world->hosts[from]);
    for (uint32_t i = 0; record != NULL && i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        if (slot->number == message->reply.slot)
            return id_equal(checks_reader(slot), id) ||
                   !(id_equal(slot->owner, id) || id_equal(slot->target, id));
    }
    return true;
}

/* A target that says so counts as filled. Whoever fills it may have heard of its disk. */
static bool is_filled(const struct world *world, const struct message *message)
{
    uint32_t range = message->chunk.range.range;
    if (message->chunk.transfer == 0 || range >= world->checks->ranges)
        return false;
    const struct slot *slot = filled_slot(record_of(world->checks, range, message->chunk.transfer));
    int source = slot == NULL ? -1 : world_host_of(world, slot->owner);
    return source >= 0 && slot->stage == STAGE_JOINT && losses_known_to(world, (uint32_t)source);
}

void checks_amnesiac(struct world *world, uint32_t from, const struct message *message)
{
    bool speaks = false;
    switch (message->type) {
    case MESSAGE_PROMISE:
    case MESSAGE_ACCEPTED:
        speaks = !message->vote.refused;
        break;
    case MESSAGE_REPLY:
        speaks = message->reply.error == 0 && serves(world, from, message);
        break;
    case MESSAGE_ANSWER: /* Unless it only passes on what another answered. */
        speaks = message->answer.answer.error == 0 &&
                 id_equal(message->answer.answer.coordinator, host_id(world->hosts[from]));
        break;
    case MESSAGE_CHUNK: /* What a former member hands over is kept in order by others' horizons. */
        speaks = message->chunk.transfer != 0;
        break;
    case MESSAGE_COMPLETE:
        speaks = is_filled(world, message);
        break;
    default:
        break;
    }
    if (speaks)
        world_violate(world, "AmnesiacSilent", "%s runs on an old disk, and sends %s",
                      world_host_name(from), message_name(message->type));
}
