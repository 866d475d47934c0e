/* The target of a transfer: asks for chunk after chunk, each only when the one before is synced,
 * and says COMPLETE once the last one is. A restart goes on behind the last synced chunk.
 *
 * The last chunk is refused while the copy is known to lack what was damaged here, in what a former
 * owner left for one: it is healed from those who read the range (coord_heal.c, coord_hole.c),
 * among them whoever sends. Once the copy is read there may be nobody else to ask.
 *
 * A slot that moves comes from its owner. A new one, and one that replaces a lost one, is filled
 * from the readers of as many others as it takes to meet each write that a quorum acknowledged (a
 * new one from that of the lowest slot in any case), one after the other, each with a cursor of its
 * own. A source that does not answer is passed over for another one and asked again later; what
 * came from it stays. */
#include "core/transfer_state.h"

#include "base/rule.h"

enum {
    RESERVATION_US = 10000000,
    ASKED_MAX = 10, /* Without an answer, before another source is asked: of one that is down, */
    ASKED_UP_MAX = 100, /* and of one that is up, whose rate may be low. */
};

static const struct slot *target_slot(const struct core *core, const struct range_record *record)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        bool filled = slot->stage == STAGE_LEARN || slot->stage == STAGE_JOINT ||
                      slot->stage == STAGE_REBUILD;
        if (filled && id_equal(slot->target, core->self))
            return slot;
    }
    return NULL;
}

/* How many slots SLOT is to be filled from. */
static uint32_t sources_needed(const struct range_record *record, const struct slot *slot)
{
    bool rebuilt = slot->stage == STAGE_REBUILD && RULE(REBUILD_SOURCES);
    bool learns = slot->stage == STAGE_LEARN && RULE(LEARN_SOURCES);
    return rebuilt || learns ? record_sources(record) : 1;
}

/* The node that sends what slot NUMBER has, NODE_NONE if that slot is no source of SLOT. */
static struct node_id source_of(const struct range_record *record, const struct slot *slot,
                                uint8_t number)
{
    const struct slot *source = record_slot(record, number);
    if (source == NULL)
        return NODE_NONE;
    if (slot->stage == STAGE_JOINT)
        return number == slot->number ? slot->owner : NODE_NONE;
    struct node_id reader = slot_reader(source);
    bool lowest = id_equal(reader, record_driver(record));
    if (number == slot->number || (sources_needed(record, slot) == 1 && !lowest))
        return NODE_NONE;
    return reader;
}

static bool is_filled(const struct staging *staging, const struct range_record *record,
                      const struct slot *slot)
{
    /* What a new slot missed while it was filled is at the lowest one: it is always a source. */
    const struct slot *lowest = record_slot_read_by(record, record_driver(record));
    if (slot->stage == STAGE_LEARN && lowest != NULL && !staging->parts[lowest->number].complete)
        return false;
    uint32_t complete = 0;
    for (uint32_t number = 0; number < SLOTS_MAX; number++)
        complete += staging->parts[number].complete;
    return complete >= sources_needed(record, slot);
}

/* The source to be asked now: the one of the last time until it has sent all, or does not answer.
 * NODE_NONE if there is none. */
static struct node_id pick_source(const struct core *core, struct staging *staging,
                                  const struct range_record *record, const struct slot *slot)
{
    struct node_id other = NODE_NONE;
    uint8_t other_number = 0;
    bool up = core_is_up(core, source_of(record, slot, staging->source));
    bool passed = staging->asked > (uint32_t)(up ? ASKED_UP_MAX : ASKED_MAX);
    uint32_t first = staging->source + (passed ? 1u : 0u);
    for (uint32_t i = 0; i < SLOTS_MAX; i++) {
        uint8_t number = (uint8_t)((first + i) % SLOTS_MAX);
        struct node_id node = source_of(record, slot, number);
        if (id_none(node) || staging->parts[number].complete)
            continue;
        if (!id_none(other) && !core_is_up(core, node))
            continue;
        other = node;
        other_number = number;
        if (core_is_up(core, node))
            break;
    }
    if (!id_none(other) && other_number != staging->source)
        staging->asked = 0;
    if (!id_none(other))
        staging->source = other_number;
    return other;
}

/* ------------------------------------------------------------------------------------- Offers. */

static struct reservation *reserve(struct transfers *transfers, struct core *core, uint64_t id)
{
    struct reservation *found = NULL;
    uint32_t share = MAX((uint32_t)INBOUND_MAX / core->shards, 1u);
    for (uint32_t i = 0; i < share; i++) {
        struct reservation *reservation = &transfers->reservations[i];
        if (reservation->transfer == id)
            return reservation;
        if (reservation->transfer == 0 || reservation->expires_us <= core->now.us)
            found = reservation;
    }
    return found;
}

static void release(struct transfers *transfers, uint64_t id)
{
    for (uint32_t i = 0; i < INBOUND_MAX; i++) {
        if (transfers->reservations[i].transfer == id)
            transfers->reservations[i].transfer = 0;
    }
}

void target_offer(struct transfers *transfers, struct core *core, struct node_id from,
                  const struct message *message)
{
    struct reservation *reservation = reserve(transfers, core, message->offer.transfer);
    const char *refusal = NULL;
    if (transfers->draining)
        refusal = "the target is stopping";
    else if (told_to_leave(core, core->self))
        refusal = "the target is leaving the cluster";
    else if (reservation == NULL)
        refusal = "the target takes in as many transfers as it may";
    struct message *answer =
        core_send(core, from, refusal == NULL ? MESSAGE_ACCEPT : MESSAGE_REJECT);
    answer->offer = message->offer;
    answer->offer.load = (struct load){.id = core->self, .generation = core->generation};
    if (refusal != NULL) {
        answer->offer.error = ERR_BUSY;
        answer->offer.detail = slice_string(refusal);
        return;
    }
    reservation->transfer = message->offer.transfer;
    reservation->expires_us = core->now.us + RESERVATION_US;
}

/* ------------------------------------------------------------------------------------- Chunks. */

void staging_free(struct transfers *transfers, struct core *core, struct staging *staging)
{
    release(transfers, staging->transfer);
    core_timer_clear(core, &staging->timer);
    map_remove(&transfers->stagings, (uint64_t)staging->range + 1);
    for (uint32_t number = 0; number < SLOTS_MAX; number++) {
        buf_done(&staging->parts[number].bucket);
        buf_done(&staging->parts[number].key);
    }
    mem_free(staging);
}

/* Take or renew a reservation for what comes in. */
static bool hold(struct core *core, struct staging *staging)
{
    struct reservation *reservation = reserve(staging->transfers, core, staging->transfer);
    if (reservation == NULL)
        return !RULE(INBOUND_BOUNDED);
    reservation->transfer = staging->transfer;
    reservation->expires_us = core->now.us + RESERVATION_US;
    if (staging->since_us == 0)
        staging->since_us = core->now.us;
    return true;
}

/* To every voter: whoever drives the range now. */
static void say_complete(struct core *core, const struct staging *staging,
                         const struct range_record *record)
{
    struct node_id voters[SLOTS_MAX];
    uint32_t count = record_voters(record, voters);
    for (uint32_t i = 0; i < count; i++) {
        struct message *message = core_send(core, voters[i], MESSAGE_COMPLETE);
        message->chunk.transfer = staging->transfer;
        message->chunk.range = range_epoch_of(record);
        message->chunk.sequence = staging->parts[staging->source].sequence;
        message->chunk.count = staging->keys;
    }
}

/* A node on an old copy of its disk would count as filled under a generation, and tenures, that it
 * has used before: whoever fills it has to welcome this life first, and would know. */
static bool is_welcome(const struct core *core, struct node_id source)
{
    return core->peer_welcomed == NULL || core->peer_welcomed(core, source) ||
           !RULE(TARGET_WELCOMED);
}

static void ask_source(struct core *core, struct staging *staging,
                       const struct range_record *record, const struct slot *slot)
{
    struct node_id source = pick_source(core, staging, record, slot);
    if (id_none(source) || !is_welcome(core, source))
        return; /* Too few are left, and the record may change yet; or it does not know us. */
    const struct part *part = &staging->parts[staging->source];
    struct message *message = core_send(core, source, MESSAGE_CHUNK_ACK);
    message->chunk.transfer = staging->transfer;
    message->chunk.range = range_epoch_of(record);
    message->chunk.sequence = part->sequence;
    message->chunk.cursor =
        part->sequence == 0 ? range_first(staging->range, core->ring.bits) : part->cursor;
    message->chunk.cursor_bucket = core_copy(core, buf_slice(&part->bucket));
    message->chunk.cursor_key = core_copy(core, buf_slice(&part->key));
}

static void ask(struct core *core, struct staging *staging)
{
    const struct range_record *record = held_record(core, staging->range);
    const struct slot *slot = target_slot(core, record);
    if (slot == NULL)
        return;
    /* The first times soon: the source may only be a moment behind in installing the record. */
    uint32_t early = staging->asked < 4 ? 4 - staging->asked : 0;
    staging->asked++;
    core_timer_set(core, &staging->timer, core->now.us + (core->timing.retry_us >> early));
    /* What was offered before may be chosen after we have said good-bye: never let it be counted
     * on. Whoever drives it takes it back. */
    if (RULE(LEAVING_TAKES_NOTHING) && told_to_leave(core, core->self))
        return;
    if (!staging->complete && is_filled(staging, record, slot)) {
        staging->complete = true;
        release(staging->transfers, staging->transfer);
    }
    if (!staging->complete && !hold(core, staging))
        return; /* Others hold all reservations: ours had run out, or a restart forgot it. */
    struct node_id source = source_of(record, slot, staging->source);
    if (!staging->complete)
        ask_source(core, staging, record, slot);
    else if (id_none(source) || is_welcome(core, source))
        say_complete(core, staging, record);
}

static void staging_timer(struct core *core, void *machine, struct timer *timer)
{
    (void)timer;
    struct staging *staging = machine;
    if (!staging->storing)
        ask(core, staging);
    else /* The chunk may still be refused. */
        core_timer_set(core, &staging->timer, core->now.us + core->timing.retry_us);
}

static struct staging *staging_new(struct transfers *transfers, uint32_t range, uint64_t transfer)
{
    struct staging *staging = mem_zero(sizeof(*staging));
    staging->transfers = transfers;
    staging->range = range;
    staging->transfer = transfer;
    staging->timer.fire = staging_timer;
    staging->timer.machine = staging;
    map_put(&transfers->stagings, (uint64_t)range + 1, staging);
    return staging;
}

/* The record of RANGE is installed: begin, go on with, or end what comes in for it. */
void target_range(struct transfers *transfers, struct core *core, uint32_t range)
{
    const struct holding *holding = &core->holdings[range];
    struct staging *staging = map_get(&transfers->stagings, (uint64_t)range + 1);
    bool target = target_slot(core, &holding->record) != NULL;
    if (staging != NULL && (!target || staging->transfer != holding->record.transfer)) {
        staging_free(transfers, core, staging);
        staging = NULL;
    }
    if (!target || !holding->durable || !holding->ready)
        return;
    if (staging == NULL)
        staging = staging_new(transfers, range, holding->record.transfer);
    if (!staging->storing)
        ask(core, staging);
}

static void part_encode(uint8_t number, uint64_t sequence, uint64_t cursor, struct slice bucket,
                        struct slice key, bool complete, struct buf *out)
{
    write_u8(out, number);
    write_varint(out, sequence);
    write_u64(out, cursor);
    write_string(out, bucket);
    write_string(out, key);
    write_u8(out, complete);
}

/* META_STAGING once the chunk of WAIT is stored: transfer, keys, count of parts, parts. The other
 * parts are synced as they are: one chunk of a range is stored at a time. */
static struct slice staging_encode(struct core *core, const struct staging *staging,
                                   const struct transfer_wait *wait)
{
    struct buf value = {0};
    write_u64(&value, wait->transfer);
    write_varint(&value, wait->keys);
    uint8_t count = 1;
    for (uint32_t number = 0; number < SLOTS_MAX; number++)
        if (number != wait->source && staging->parts[number].sequence > 0)
            count++;
    write_u8(&value, count);
    part_encode(wait->source, wait->sequence, wait->cursor, buf_slice(&wait->bucket),
                buf_slice(&wait->key), wait->last, &value);
    for (uint32_t number = 0; number < SLOTS_MAX; number++) {
        const struct part *part = &staging->parts[number];
        if (number != wait->source && part->sequence > 0)
            part_encode((uint8_t)number, part->sequence, part->cursor, buf_slice(&part->bucket),
                        buf_slice(&part->key), part->complete, &value);
    }
    struct slice bytes = core_copy(core, buf_slice(&value));
    buf_done(&value);
    return bytes;
}

static void part_restore(struct reader *reader, struct staging *staging)
{
    uint8_t number = read_u8(reader);
    if (number >= SLOTS_MAX || staging->parts[number].sequence > 0) {
        reader->bad = true;
        return;
    }
    struct part *part = &staging->parts[number];
    part->sequence = read_varint(reader);
    part->cursor = read_u64(reader);
    buf_append(&part->bucket, read_string(reader));
    buf_append(&part->key, read_string(reader));
    part->complete = read_u8(reader) == 1;
    staging->source = number;
}

/* Whether all has come is seen once the record is there: target_range. */
int transfers_restore(struct transfers *transfers, uint32_t range, struct slice value)
{
    struct reader reader = reader_of(value);
    struct staging *staging = staging_new(transfers, range, read_u64(&reader));
    staging->keys = read_varint(&reader);
    uint8_t count = read_u8(&reader);
    for (uint8_t i = 0; i < count && !reader.bad; i++)
        part_restore(&reader, staging);
    return reader_finished(&reader) ? 0 : ERR_CORRUPT;
}

static void wait_cursor(struct transfer_wait *wait, const struct message *message,
                        const struct part *part, uint64_t first)
{
    wait->cursor = part->sequence == 0 ? first : part->cursor;
    struct slice bucket = buf_slice(&part->bucket);
    struct slice key = buf_slice(&part->key);
    if (message->chunk.entries_count > 0) {
        const struct entry *end = &message->chunk.entries[message->chunk.entries_count - 1];
        wait->cursor = end->hash;
        bucket = end->bucket;
        key = end->key;
    }
    buf_append(&wait->bucket, bucket);
    buf_append(&wait->key, key);
}

/* With the last chunk we have what the source has, and what it collected is to stay away from here
 * too. Not before: all that comes in is new to us.
 *
 * However far the horizon is ahead of our clock: it was proven before we were a member, without a
 * floor of ours, and where our clock lies behind there may be nobody yet by whom to judge it. Who
 * reads the range without its horizon stamps below it what no other reader takes in
 * (docs/decisions/0033-a-horizon-is-taken-whatever-the-clock-says.md). */
static void bring_horizon(struct core *core, struct transfer_wait *wait, struct store_op *op,
                          struct meta *meta, uint64_t horizon)
{
    const struct holding *holding = &core->holdings[op->range];
    if (horizon <= holding->horizon || (core_is_ahead(core, horizon) && !RULE(HORIZON_OVER_CLOCK)))
        return;
    wait->horizon = horizon;
    core->hlc = MAX(core->hlc, horizon);
    meta[1] = horizon_cell(core, op->range, horizon, holding->stands);
    op->batch.metas_count = 2;
    op->batch.horizon = horizon;
}

/* The copy then collects what it took in before the source had collected it, and what is in the
 * chunk: so not before that is in the store, which may have waited for the disk. */
void target_stored(struct core *core, const struct transfer_wait *wait)
{
    struct holding *holding = &core->holdings[wait->range];
    if (wait->horizon <= holding->horizon)
        return;
    if (holding->horizon == holding->stands)
        core_signal(core, SIGNAL_RAISED)->range = wait->range;
    holding->horizon = wait->horizon;
}

void target_chunk(struct transfers *transfers, struct core *core, struct node_id from,
                  const struct message *message)
{
    uint32_t range = message->chunk.range.range;
    const struct range_record *record = held_record(core, range);
    const struct slot *slot = target_slot(core, record);
    struct staging *staging = map_get(&transfers->stagings, (uint64_t)range + 1);
    /* A chunk counts only under its transfer's id, from its source, and once. */
    bool ours = message->chunk.transfer == record->transfer || !RULE(CHUNK_HAS_ID);
    if (message->chunk.horizon > HLC_HORIZON_MAX)
        return; /* No time at all. */
    if (slot == NULL || staging == NULL || !ours || staging->transfer != record->transfer ||
        !id_equal(from, source_of(record, slot, staging->source)) || staging->storing ||
        staging->complete ||
        message->chunk.sequence != staging->parts[staging->source].sequence + 1)
        return;
    uint64_t token;
    struct transfer_wait *wait = wait_add(transfers, WAIT_TARGET_CHUNK, range, &token);
    wait->transfer = staging->transfer;
    wait->source = staging->source;
    wait->sequence = message->chunk.sequence;
    wait->last = message->chunk.last;
    wait->keys = staging->keys + message->chunk.entries_count;
    wait->bytes = staging->bytes;
    wait_cursor(wait, message, &staging->parts[staging->source],
                range_first(range, core->ring.bits));
    for (uint32_t i = 0; i < message->chunk.entries_count; i++)
        wait->bytes += message->chunk.entries[i].key.size + message->chunk.entries[i].object.size;
    core->counters.chunks_in++;
    core->counters.bytes_in += wait->bytes - staging->bytes;
    staging->storing = true;

    uint8_t *key = core_alloc(core, 5);
    key[0] = META_STAGING;
    for (int i = 0; i < 4; i++)
        key[1 + i] = (uint8_t)(range >> (24 - 8 * i));
    struct meta *meta = core_alloc(core, 2 * sizeof(*meta));
    meta[0] = (struct meta){slice_of(key, 5), staging_encode(core, staging, wait)};
    struct store_op *op = core_store_under(core, STORE_CHUNK, token, range_epoch_of(record));
    op->sync = true;
    op->batch.entries = message->chunk.entries;
    op->batch.entries_count = message->chunk.entries_count;
    op->batch.metas = meta;
    op->batch.metas_count = 1;
    op->batch.fills = wait->last;
    if (wait->last)
        bring_horizon(core, wait, op, meta, message->chunk.horizon);
}

void target_durable(struct transfers *transfers, struct core *core,
                    const struct transfer_wait *wait)
{
    struct staging *staging = map_get(&transfers->stagings, (uint64_t)wait->range + 1);
    if (staging == NULL || staging->transfer != wait->transfer)
        return;
    staging->storing = false;
    staging->asked = 0;
    struct part *part = &staging->parts[wait->source];
    part->sequence = wait->sequence;
    part->cursor = wait->cursor;
    buf_clear(&part->bucket);
    buf_append(&part->bucket, buf_slice(&wait->bucket));
    buf_clear(&part->key);
    buf_append(&part->key, buf_slice(&wait->key));
    part->complete = wait->last;
    staging->keys = wait->keys;
    staging->bytes = wait->bytes;
    ask(core, staging);
}
