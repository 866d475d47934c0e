/* The source of a transfer: scans its copy chunk by chunk as the target asks.
 *
 * It answers only under a record that it has durably installed, so every write it took before JOINT
 * (or LEARN, or REBUILD) is in the scan, and every later one goes to the target as well. It keeps
 * nothing that matters: the target's cursor travels with each request. A new or a lost slot is
 * filled from several others, each of which is a source of its own. */
#include "core/transfer_state.h"

#include "base/rule.h"

/* A target that has not asked for so many intervals waits for somebody else's chunk. */
enum { ASKS_MISSED = 3 };

static bool is_source(const struct core *core, const struct range_record *record,
                      struct node_id target)
{
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        if (!id_equal(slot->target, target))
            continue;
        if (slot->stage == STAGE_JOINT)
            return id_equal(slot->owner, core->self);
        if (slot->stage == STAGE_LEARN || slot->stage == STAGE_REBUILD)
            return record_slot_read_by(record, core->self) != NULL;
    }
    return false;
}

/* Only what is durable refuses older epochs for good. */
static bool may_scan(const struct holding *holding)
{
    const struct slot *slot = moving_slot(&holding->record);
    bool rebuild = slot != NULL && slot->stage == STAGE_REBUILD;
    return holding->durable ||
           !(rebuild ? RULE(SNAPSHOT_AFTER_REBUILD) : RULE(SNAPSHOT_AFTER_JOINT));
}

void stream_free(struct transfers *transfers, struct core *core, struct stream *stream)
{
    core_timer_clear(core, &stream->timer);
    map_remove(&transfers->streams, (uint64_t)stream->range + 1);
    buf_done(&stream->bucket);
    buf_done(&stream->key);
    mem_free(stream);
}

uint64_t source_free_us(const struct transfers *transfers, const struct core *core)
{
    return transfers->plan.rate > 0 ? transfers->send_free_us : core->pace.move_free_us;
}

/* BYTES leave this node in STREAM; whatever comes with them costs as much as EXTRA more. */
static void spend(struct core *core, const struct stream *stream, uint64_t bytes, uint64_t extra)
{
    struct transfers *transfers = stream->transfers;
    if (transfers->plan.rate == 0) {
        pace_take_move(&core->pace, core->now.us, stream->to, bytes + extra);
        return;
    }
    transfers->send_free_us =
        pace_paid_us(transfers->send_free_us, core->now.us, bytes, transfers->plan.rate);
    pace_spent(&core->pace, stream->to, bytes + extra);
}

static void scan(struct core *core, struct stream *stream)
{
    /* At once, so that of those who wait for the same moment one goes after the other. */
    spend(core, stream, 0, stream->sequence == 1 ? PACE_MOVE_COST : PACE_MESSAGE_COST);
    core_timer_clear(core, &stream->timer);
    uint64_t token;
    struct transfer_wait *wait =
        wait_add(stream->transfers, WAIT_SOURCE_SCAN, stream->range, &token);
    wait->transfer = stream->transfer;
    wait->sequence = stream->sequence;
    stream->scanning = true;
    struct store_op *op = core_store(core, STORE_SCAN, token);
    op->range = stream->range;
    op->scan.from = stream->cursor;
    op->scan.to = range_last(stream->range, core->ring.bits);
    op->bucket = core_copy(core, buf_slice(&stream->bucket));
    op->key = core_copy(core, buf_slice(&stream->key));
    op->scan.count_max = core->timing.chunk_objects;
    op->scan.bytes_max = CHUNK_BYTES_MAX;
}

static void stream_timer(struct core *core, void *machine, struct timer *timer)
{
    struct stream *stream = machine;
    uint64_t free_us = source_free_us(stream->transfers, core);
    bool awaited = core->now.us <= stream->asked_us + ASKS_MISSED * core->timing.retry_us;
    if (stream->scanning || !awaited || !may_scan(&core->holdings[stream->range]))
        return;
    if (free_us > core->now.us)
        core_timer_set(core, timer, free_us);
    else
        scan(core, stream);
}

static struct stream *stream_get(struct transfers *transfers, struct core *core, uint32_t range,
                                 uint64_t transfer, struct node_id to)
{
    struct stream *stream = map_get(&transfers->streams, (uint64_t)range + 1);
    if (stream != NULL && stream->transfer == transfer)
        return stream;
    if (stream != NULL)
        stream_free(transfers, core, stream);
    stream = mem_zero(sizeof(*stream));
    stream->transfers = transfers;
    stream->range = range;
    stream->transfer = transfer;
    stream->to = to;
    stream->since_us = core->now.us;
    stream->timer.fire = stream_timer;
    stream->timer.machine = stream;
    map_put(&transfers->streams, (uint64_t)range + 1, stream);
    return stream;
}

void source_asked(struct transfers *transfers, struct core *core, struct node_id from,
                  const struct message *message)
{
    uint32_t range = message->chunk.range.range;
    const struct holding *holding = &core->holdings[range];
    if (!holding->ready || message->chunk.transfer != holding->record.transfer ||
        !is_source(core, &holding->record, from))
        return;
    struct stream *stream = stream_get(transfers, core, range, message->chunk.transfer, from);
    uint64_t sequence = message->chunk.sequence + 1;
    if (stream->scanning || stream->waiting ||
        (stream->sequence == sequence &&
         core->now.us < stream->asked_us + core->timing.retry_us / 2))
        return; /* Asked twice: the answer is on its way. */
    stream->sequence = sequence;
    stream->asked_us = core->now.us;
    stream->cursor = message->chunk.cursor;
    buf_clear(&stream->bucket);
    buf_append(&stream->bucket, message->chunk.cursor_bucket);
    buf_clear(&stream->key);
    buf_append(&stream->key, message->chunk.cursor_key);
    uint64_t free_us = source_free_us(transfers, core);
    if (free_us > core->now.us)
        core_timer_set(core, &stream->timer, free_us);
    else if (may_scan(holding))
        scan(core, stream);
    else
        stream->waiting = true; /* The target's disk was faster than ours: source_range goes on. */
}

void source_scanned(struct transfers *transfers, struct core *core,
                    const struct transfer_wait *wait, const struct store_done *done)
{
    struct stream *stream = map_get(&transfers->streams, (uint64_t)wait->range + 1);
    if (stream == NULL || stream->transfer != wait->transfer)
        return;
    stream->scanning = false;
    const struct range_record *record = held_record(core, wait->range);
    if (done->error < 0 || record->transfer != wait->transfer)
        return; /* The target asks again, while there is something to ask for. */
    struct message *message = core_send(core, stream->to, MESSAGE_CHUNK);
    message->chunk.transfer = wait->transfer;
    message->chunk.range = range_epoch_of(record);
    message->chunk.sequence = wait->sequence;
    message->chunk.entries = done->entries;
    message->chunk.entries_count = done->entries_count;
    message->chunk.last = !done->more;
    message->chunk.horizon = RULE(HORIZON_TRAVELS) ? core->holdings[wait->range].horizon : 0;
    size_t bytes = transfer_bytes(done->entries, done->entries_count);
    stream->keys += done->entries_count;
    stream->bytes += bytes;
    core->counters.chunks_out++;
    core->counters.bytes_out += bytes;
    spend(core, stream, bytes, 0);
}

void source_range(struct transfers *transfers, struct core *core, uint32_t range)
{
    struct stream *stream = map_get(&transfers->streams, (uint64_t)range + 1);
    const struct range_record *record = held_record(core, range);
    if (stream != NULL &&
        (record->transfer != stream->transfer || !is_source(core, record, stream->to))) {
        stream_free(transfers, core, stream);
    } else if (stream != NULL && stream->waiting && core->holdings[range].durable) {
        stream->waiting = false;
        scan(core, stream);
    }
}
