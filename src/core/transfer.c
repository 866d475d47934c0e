#include "core/transfer_state.h"

#include "base/rule.h"

struct transfer_wait *wait_add(struct transfers *transfers, enum wait_kind kind, uint32_t range,
                               uint64_t *ret_token)
{
    struct transfer_wait *wait = mem_zero(sizeof(*wait));
    wait->kind = kind;
    wait->range = range;
    uint64_t value = ++transfers->waits_next;
    map_put(&transfers->waits, value, wait);
    *ret_token = token_of(OWNER_TRANSFER, value);
    return wait;
}

void wait_free(struct transfer_wait *wait)
{
    buf_done(&wait->bucket);
    buf_done(&wait->key);
    mem_free(wait);
}

uint64_t transfer_turn_us(struct core *core)
{
    return core->pace.free_us + prng_below(&core->prng, core->timing.retry_us);
}

size_t transfer_bytes(const struct entry *entries, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += entries[i].bucket.size + entries[i].key.size + entries[i].object.size;
    return bytes;
}

/* ---------------------------------------------------------------------------- Once a second. */

bool told_to_leave(const struct core *core, struct node_id node)
{
    char name[8 + NODE_ID_TEXT] = "leave/";
    id_format(node, name + 6);
    return setting_value(&core->settings, slice_string(name)).size > 0;
}

bool transfers_overtaken(const struct core *core, const struct plan_move *move)
{
    return !id_none(move->to) &&
           (member_departed(&core->members, move->to) || told_to_leave(core, move->to));
}

bool transfers_may_depart(const struct core *core)
{
    if (!told_to_leave(core, core->self))
        return false;
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++) {
        if (record_has_member(ring_get(&core->ring, range), core->self) ||
            record_has_member(held_record(core, range), core->self))
            return false;
    }
    return true;
}

/* Ranges whose driver died, whose peers came back, or that nobody looked at since a restart. */
static void sweep_fire(struct core *core, void *machine, struct timer *timer)
{
    struct transfers *transfers = machine;
    core_timer_set(core, timer, core->now.us + core->timing.gossip_us);
    transfers->fences_left = FENCES_MAX;
    if (core->holdings == NULL || transfers->draining)
        return;
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++) {
        const struct range_record *record = held_record(core, range);
        if (record->epoch == 0)
            continue;
        if (record->former_count > 0 || moving_slot(record) != NULL ||
            lost_slot(core, record) != NULL)
            drive_range(transfers, core, range);
    }
    drive_pump(transfers, core, UINT32_MAX);
    if (transfers_may_depart(core))
        core_signal(core, SIGNAL_DEPART);
}

/* ------------------------------------------------------------------------------------- Events. */

void transfers_message(struct transfers *transfers, struct core *core, struct node_id from,
                       const struct message *message)
{
    bool offer = message->type == MESSAGE_OFFER || message->type == MESSAGE_ACCEPT ||
                 message->type == MESSAGE_REJECT;
    uint32_t range = offer ? message->offer.range.range : message->chunk.range.range;
    if (range >= ring_ranges(&core->ring))
        return;
    bool cleanup = !offer && message->chunk.transfer == 0;
    switch (message->type) {
    case MESSAGE_OFFER:
        target_offer(transfers, core, from, message);
        break;
    case MESSAGE_ACCEPT:
    case MESSAGE_REJECT:
        drive_answered(transfers, core, from, message);
        break;
    case MESSAGE_COMPLETE:
        drive_completed(transfers, core, from, message);
        break;
    case MESSAGE_CHUNK:
        if (!core_entries_of(core, range, message->chunk.entries, message->chunk.entries_count))
            break;
        if (cleanup)
            cleanup_handed(transfers, core, from, message);
        else
            target_chunk(transfers, core, from, message);
        break;
    case MESSAGE_CHUNK_ACK:
        if (cleanup)
            cleanup_acked(transfers, core, from, message);
        else
            source_asked(transfers, core, from, message);
        break;
    default:
        break;
    }
}

/* A chunk that was taken in is a proof of the copy only once it is synced. */
static bool proves_synced(enum wait_kind kind)
{
    if (kind == WAIT_TARGET_CHUNK)
        return RULE(CHUNKS_SYNCED);
    return kind != WAIT_HANDED || RULE(HANDED_SYNCED);
}

void transfers_stored(struct transfers *transfers, struct core *core, const struct store_done *done)
{
    uint64_t value = token_value(done->token);
    struct transfer_wait *wait = map_get(&transfers->waits, value);
    ASSERT(wait != NULL);
    switch (wait->kind) {
    case WAIT_SOURCE_SCAN:
        source_scanned(transfers, core, wait, done);
        break;
    case WAIT_CLEANUP_SCAN:
        cleanup_scanned(transfers, core, wait, done);
        break;
    case WAIT_TARGET_CHUNK:
    case WAIT_HANDED:
    case WAIT_DROP:
        if (done->error == 0) {
            if (wait->kind == WAIT_TARGET_CHUNK)
                target_stored(core, wait);
            if (proves_synced(wait->kind))
                core_when_durable(core, done->position, true, done->token);
            else
                transfers_durable(transfers, core, done->token);
            return;
        }
        if (wait->kind == WAIT_TARGET_CHUNK) {
            struct staging *staging = map_get(&transfers->stagings, (uint64_t)wait->range + 1);
            if (staging != NULL)
                staging->storing =
                    false; /* Refused (disk full, damage): asked for again by its timer. */
        }
        break;
    }
    map_remove(&transfers->waits, value);
    wait_free(wait);
}

void transfers_durable(struct transfers *transfers, struct core *core, uint64_t token)
{
    struct transfer_wait *wait = map_remove(&transfers->waits, token_value(token));
    ASSERT(wait != NULL);
    if (wait->kind == WAIT_TARGET_CHUNK)
        target_durable(transfers, core, wait);
    else
        cleanup_durable(transfers, core, wait);
    wait_free(wait);
}

void transfers_range(struct transfers *transfers, struct core *core, uint32_t range)
{
    target_range(transfers, core, range);
    source_range(transfers, core, range);
    cleanup_range(transfers, core, range);
    bool settled = moving_slot(held_record(core, range)) == NULL;
    drive_range(transfers, core, range);
    if (settled)
        drive_pump(transfers, core, PUMP_LOOKS);
}

void transfers_settings(struct transfers *transfers, struct core *core, struct slice name)
{
    if (!slice_equal(name, slice_string("plan")))
        return;
    struct plan plan = {0};
    struct slice value = setting_value(&core->settings, name);
    if (value.size > 0 && plan_decode(value, &plan) < 0)
        return; /* Of a newer version of the program: its own nodes carry it out. */
    if (plan.rate != transfers->plan.rate)
        transfers->send_free_us = 0; /* What was sent at one rate is not owed at another. */
    plan_done(&transfers->plan);
    transfers->plan = plan;
    transfers->plan_cursor = 0;
    drive_pump(transfers, core, UINT32_MAX);
}

void transfers_init(struct transfers *transfers)
{
    *transfers = (struct transfers){0};
    transfers->sweep.fire = sweep_fire;
    transfers->sweep.machine = transfers;
}

void transfers_start(struct transfers *transfers, struct core *core)
{
    transfers_settings(transfers, core, slice_string("plan"));
    core_timer_set(core, &transfers->sweep, core->now.us + core->timing.gossip_us);
    for (uint32_t range = 0; range < ring_ranges(&core->ring); range++) {
        if (held_record(core, range)->epoch > 0)
            cleanup_range(transfers, core, range);
    }
}

void transfers_done(struct transfers *transfers, struct core *core)
{
    size_t cursor = 0;
    void *item;
    while (cursor = 0, (item = map_next(&transfers->drives, &cursor, NULL)) != NULL)
        drive_free(transfers, core, item);
    while (cursor = 0, (item = map_next(&transfers->stagings, &cursor, NULL)) != NULL)
        staging_free(transfers, core, item);
    while (cursor = 0, (item = map_next(&transfers->streams, &cursor, NULL)) != NULL)
        stream_free(transfers, core, item);
    while (cursor = 0, (item = map_next(&transfers->cleanups, &cursor, NULL)) != NULL)
        cleanup_free(transfers, core, item);
    cursor = 0;
    while ((item = map_next(&transfers->waits, &cursor, NULL)) != NULL)
        wait_free(item);
    map_done(&transfers->drives);
    map_done(&transfers->stagings);
    map_done(&transfers->streams);
    map_done(&transfers->cleanups);
    map_done(&transfers->waits);
    core_timer_clear(core, &transfers->sweep);
    plan_done(&transfers->plan);
}

/* ------------------------------------------------------------------------------------- Status. */

static void status_slot(const struct core *core, struct transfer_status *status)
{
    const struct range_record *record = held_record(core, status->range);
    const struct slot *slot = moving_slot(record);
    status->id = record->transfer;
    if (slot == NULL)
        return;
    status->slot = slot->number;
    status->stage = slot->stage;
    status->from = slot->owner;
    status->to = slot->target;
    if (slot->stage == STAGE_LEARN)
        status->from = record_driver(record);
}

uint32_t transfers_status(const struct transfers *transfers, const struct core *core,
                          struct transfer_status *ret, uint32_t cap)
{
    uint32_t count = 0;
    size_t cursor = 0;
    const struct drive *drive;
    while (count < cap && (drive = map_next(&transfers->drives, &cursor, NULL)) != NULL) {
        struct transfer_status status = {.role = TRANSFER_DRIVER,
                                         .range = drive->range,
                                         .slot = drive->move.slot,
                                         .from = drive->move.from,
                                         .to = drive->move.to,
                                         .since_us = drive->since_us,
                                         .note = slice_string(drive->note)};
        status_slot(core, &status);
        if (drive->active || drive->note[0] != '\0')
            ret[count++] = status;
    }
    cursor = 0;
    const struct stream *stream;
    while (count < cap && (stream = map_next(&transfers->streams, &cursor, NULL)) != NULL) {
        ret[count] = (struct transfer_status){.role = TRANSFER_SOURCE,
                                              .range = stream->range,
                                              .keys = stream->keys,
                                              .bytes = stream->bytes,
                                              .since_us = stream->since_us};
        if (transfers->plan.rate == 0 && timer_is_set(&stream->timer))
            ret[count].note = slice_string("gives way to requests");
        status_slot(core, &ret[count++]);
    }
    cursor = 0;
    const struct staging *staging;
    while (count < cap && (staging = map_next(&transfers->stagings, &cursor, NULL)) != NULL) {
        if (staging->since_us == 0 || staging->complete)
            continue; /* Waits for a reservation, or for the record to say it is over. */
        ret[count] = (struct transfer_status){.role = TRANSFER_TARGET,
                                              .range = staging->range,
                                              .keys = staging->keys,
                                              .bytes = staging->bytes,
                                              .since_us = staging->since_us};
        status_slot(core, &ret[count++]);
    }
    return count;
}
