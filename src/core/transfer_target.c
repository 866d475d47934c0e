/* The target of a transfer: asks for chunk after chunk, each only when the one before is synced,
 * and says COMPLETE once the last one is. A restart goes on behind the last synced chunk. */
#include "core/transfer_state.h"

#include "base/rule.h"

enum { RESERVATION_US = 10000000 };

static const struct slot *target_slot(const struct core *core, const struct range_record *record)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        if ((slot->stage == STAGE_LEARN || slot->stage == STAGE_JOINT) &&
            id_equal(slot->target, core->self))
            return slot;
    }
    return NULL;
}

static struct node_id source_of(const struct range_record *record, const struct slot *slot)
{
    return slot->stage == STAGE_LEARN ? record_driver(record) : slot->owner;
}

/* ------------------------------------------------------------------------------------- Offers. */

static struct reservation *reserve(struct transfers *transfers, struct core *core, uint64_t id)
{
    struct reservation *found = NULL;
    for (uint32_t i = 0; i < INBOUND_MAX; i++) {
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
    else if (RULE(NO_OFFER_WHILE_DROPPING) &&
             cleanup_dropping(transfers, message->offer.range.range))
        refusal = "the target is deleting an earlier copy of the range";
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
    cleanup_hold(transfers, core, message->offer.range.range);
}

/* ------------------------------------------------------------------------------------- Chunks. */

void staging_free(struct transfers *transfers, struct core *core, struct staging *staging)
{
    release(transfers, staging->transfer);
    core_timer_clear(core, &staging->timer);
    map_remove(&transfers->stagings, (uint64_t)staging->range + 1);
    buf_done(&staging->bucket);
    buf_done(&staging->key);
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
    if (!staging->complete && !hold(core, staging))
        return; /* Others hold all reservations: ours had run out, or a restart forgot it. */
    if (staging->complete) {
        /* To every voter: whoever drives the range now. */
        struct node_id voters[SLOTS_MAX];
        uint32_t count = record_voters(record, voters);
        for (uint32_t i = 0; i < count; i++) {
            struct message *message = core_send(core, voters[i], MESSAGE_COMPLETE);
            message->chunk.transfer = staging->transfer;
            message->chunk.range = range_epoch_of(record);
            message->chunk.sequence = staging->sequence;
            message->chunk.count = staging->keys;
        }
        return;
    }
    struct message *message = core_send(core, source_of(record, slot), MESSAGE_CHUNK_ACK);
    message->chunk.transfer = staging->transfer;
    message->chunk.range = range_epoch_of(record);
    message->chunk.sequence = staging->sequence;
    message->chunk.cursor = staging->cursor;
    message->chunk.cursor_bucket = core_copy(core, buf_slice(&staging->bucket));
    message->chunk.cursor_key = core_copy(core, buf_slice(&staging->key));
}

static void staging_timer(struct core *core, void *machine, struct timer *timer)
{
    (void)timer;
    struct staging *staging = machine;
    if (!staging->storing)
        ask(core, staging);
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
    if (staging == NULL) {
        staging = staging_new(transfers, range, holding->record.transfer);
        staging->cursor = range_first(range, core->ring.bits);
    }
    if (!staging->storing)
        ask(core, staging);
}

static struct slice staging_encode(struct core *core, const struct transfer_wait *wait)
{
    struct buf value = {0};
    write_u64(&value, wait->transfer);
    write_varint(&value, wait->sequence);
    write_u64(&value, wait->cursor);
    write_string(&value, buf_slice(&wait->bucket));
    write_string(&value, buf_slice(&wait->key));
    write_u8(&value, wait->last);
    write_varint(&value, wait->keys);
    struct slice bytes = core_copy(core, buf_slice(&value));
    buf_done(&value);
    return bytes;
}

int transfers_restore(struct transfers *transfers, uint32_t range, struct slice value)
{
    struct reader reader = reader_of(value);
    uint64_t transfer = read_u64(&reader);
    uint64_t sequence = read_varint(&reader);
    uint64_t cursor = read_u64(&reader);
    struct slice bucket = read_string(&reader);
    struct slice key = read_string(&reader);
    uint8_t last = read_u8(&reader);
    uint64_t keys = read_varint(&reader);
    if (!reader_finished(&reader))
        return ERR_CORRUPT;
    struct staging *staging = staging_new(transfers, range, transfer);
    staging->sequence = sequence;
    staging->cursor = cursor;
    buf_append(&staging->bucket, bucket);
    buf_append(&staging->key, key);
    staging->complete = last == 1;
    staging->keys = keys;
    return 0;
}

static void wait_cursor(struct transfer_wait *wait, const struct message *message,
                        const struct staging *staging)
{
    wait->cursor = staging->cursor;
    struct slice bucket = buf_slice(&staging->bucket);
    struct slice key = buf_slice(&staging->key);
    if (message->chunk.entries_count > 0) {
        const struct entry *end = &message->chunk.entries[message->chunk.entries_count - 1];
        wait->cursor = end->hash;
        bucket = end->bucket;
        key = end->key;
    }
    buf_append(&wait->bucket, bucket);
    buf_append(&wait->key, key);
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
    if (slot == NULL || staging == NULL || !ours || staging->transfer != record->transfer ||
        !id_equal(from, source_of(record, slot)) || staging->storing || staging->complete ||
        message->chunk.sequence != staging->sequence + 1)
        return;
    uint64_t token;
    struct transfer_wait *wait = wait_add(transfers, WAIT_TARGET_CHUNK, range, &token);
    wait->transfer = staging->transfer;
    wait->sequence = message->chunk.sequence;
    wait->last = message->chunk.last;
    wait->keys = staging->keys + message->chunk.entries_count;
    wait->bytes = staging->bytes;
    wait_cursor(wait, message, staging);
    for (uint32_t i = 0; i < message->chunk.entries_count; i++)
        wait->bytes += message->chunk.entries[i].key.size + message->chunk.entries[i].object.size;
    core->counters.chunks_in++;
    core->counters.bytes_in += wait->bytes - staging->bytes;
    staging->storing = true;

    uint8_t *key = core_alloc(core, 5);
    key[0] = META_STAGING;
    for (int i = 0; i < 4; i++)
        key[1 + i] = (uint8_t)(range >> (24 - 8 * i));
    struct meta *meta = core_alloc(core, sizeof(*meta));
    *meta = (struct meta){slice_of(key, 5), staging_encode(core, wait)};
    struct store_op *op = core_store(core, STORE_CHUNK, token);
    op->range = range;
    op->fork = record->fork;
    op->epoch = record->epoch;
    op->sync = true;
    op->batch.entries = message->chunk.entries;
    op->batch.entries_count = message->chunk.entries_count;
    op->batch.metas = meta;
    op->batch.metas_count = 1;
}

void target_durable(struct transfers *transfers, struct core *core,
                    const struct transfer_wait *wait)
{
    struct staging *staging = map_get(&transfers->stagings, (uint64_t)wait->range + 1);
    if (staging == NULL || staging->transfer != wait->transfer)
        return;
    staging->storing = false;
    staging->asked = 0;
    staging->sequence = wait->sequence;
    staging->cursor = wait->cursor;
    buf_clear(&staging->bucket);
    buf_append(&staging->bucket, buf_slice(&wait->bucket));
    buf_clear(&staging->key);
    buf_append(&staging->key, buf_slice(&wait->key));
    staging->keys = wait->keys;
    staging->bytes = wait->bytes;
    staging->complete = wait->last;
    if (staging->complete)
        release(transfers, staging->transfer);
    ask(core, staging);
}
