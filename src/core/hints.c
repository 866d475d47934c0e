/* Taking hints in, reading them, counting what recovery found. Delivery is in hints_deliver.c. */
#include "core/hints.h"

#include "base/rule.h"
#include "core/buckets.h"
#include "core/fallbacks.h"

enum { COUNT_PAGE = 256, COUNT_BYTES = 1024 * 1024, CHECKS_APART = 10 };

/* A HINT or a READ between its store operation and its answer. */
struct hint_take {
    struct node_id from;
    uint64_t id;
    uint64_t hash;
    struct range_epoch range;
    uint8_t slot;
    bool sync;
    uint8_t side; /* HINT: where it counts as being taken in. */
    uint64_t hlc;
};

void hints_init(struct hints *hints, uint64_t bytes_max, struct core *core)
{
    /* No id of an earlier life comes again: answers to it may still be on their way. */
    *hints =
        (struct hints){.timer = {.fire = hints_deliver_fire, .machine = hints},
                       .tokens_next = (core->generation << 40 & 0x003fffffffffffffu) | core->shard};
    core->hinted.bytes_max = bytes_max;
}

void hints_done(struct hints *hints, struct core *core)
{
    size_t cursor = 0;
    struct hint_take *take;
    while ((take = map_next(&hints->takes, &cursor, NULL)) != NULL)
        mem_free(take);
    map_done(&hints->takes);
    for (uint32_t i = 0; i < HINTS_PAGE; i++) {
        buf_done(&hints->page[i].name);
        buf_done(&hints->page[i].object);
    }
    buf_done(&hints->cursor_name);
    core_timer_clear(core, &hints->timer);
}

/* ---------------------------------------------------------------------------------- Counting. */

void hints_count(struct hints *hints, struct core *core)
{
    struct store_op *op = core_store(core, STORE_HINT_SCAN, hint_token(0, HINT_COUNT));
    struct slice name = buf_slice(&hints->cursor_name);
    op->bucket = core_copy(core, slice_of(name.data, hints->cursor_bucket_size));
    op->key = core_copy(core, slice_of(name.data + hints->cursor_bucket_size,
                                       name.size - hints->cursor_bucket_size));
    op->scan.from = hints->cursor;
    op->scan.to = UINT64_MAX;
    op->scan.count_max = COUNT_PAGE;
    op->scan.bytes_max = COUNT_BYTES;
    hints->scanning = true;
}

void hints_start(struct hints *hints, struct core *core)
{
    if (hints->started)
        return;
    hints->started = true;
    hints_count(hints, core);
}

void hints_set_cursor(struct hints *hints, const struct entry *last)
{
    hints->cursor = last->hash;
    buf_clear(&hints->cursor_name);
    buf_append(&hints->cursor_name, last->bucket);
    buf_append(&hints->cursor_name, last->key);
    hints->cursor_bucket_size = last->bucket.size;
}

void hints_rewind(struct hints *hints)
{
    hints->cursor = 0;
    hints->cursor_bucket_size = 0;
    buf_clear(&hints->cursor_name);
}

static void counted(struct hints *hints, struct core *core, const struct store_done *done)
{
    struct hinted *hinted = &core->hinted;
    hints->scanning = false;
    if (done->error < 0) {
        core_timer_set(core, &hints->timer, core->now.us + core->timing.hint_us);
        return;
    }
    hints->check_bad += done->bad;
    for (uint32_t i = 0; i < done->entries_count && !hinted->counted; i++) {
        const struct entry *entry = &done->entries[i];
        if (done->entries_slots[i] == 0)
            continue;
        size_t size = 8 + entry->bucket.size + 1 + entry->key.size + entry->object.size;
        struct hint_change change = {.bytes = (uint32_t)size, .slots = done->entries_slots[i]};
        hinted_change(hinted, range_of(entry->hash, core->ring.bits), &change, entry->object);
    }
    if (done->entries_count > 0)
        hints_set_cursor(hints, &done->entries[done->entries_count - 1]);
    if (!done->more) {
        hinted->counted = true;
        hinted->bad = hints->check_bad;
        hints->checking = false;
        hints->check_us = core->now.us + CHECKS_APART * core->timing.hint_us;
        hints_rewind(hints);
    }
    /* Page by page, so that other work has its turn. */
    core_timer_set(core, &hints->timer, core->now.us);
}

/* ------------------------------------------------------------------------------------ Taking. */

static struct message *reply(struct core *core, const struct hint_take *take, int error)
{
    struct message *message = core_send(core, take->from, MESSAGE_REPLY);
    message->reply.id = take->id;
    message->reply.range = take->range;
    message->reply.slot = take->slot;
    message->reply.error = error;
    message->reply.hlc = take->hlc != 0 ? take->hlc : core->hlc;
    return message;
}

static void refuse(struct core *core, const struct hint_take *take, int error)
{
    const struct range_record *record = ring_get(&core->ring, take->range.range);
    struct message *message = reply(core, take, error);
    core->counters.hints_refused += error != ERR_NOT_FOUND;
    if (error != ERR_WRONG_EPOCH)
        return;
    core->counters.wrong_epochs++;
    message->reply.has_record = range_epoch_compare(&take->range, record) < 0;
    if (message->reply.has_record)
        message->reply.record = *record;
}

/* Does the coordinator know less than this node, or take it for what it is not? One that leaves the
 * cluster takes nothing: it may have said good-bye. */
static int admit(const struct core *core, const struct range_epoch *range)
{
    const struct range_record *record = ring_get(&core->ring, range->range);
    bool older = range_epoch_compare(range, record) < 0;
    if (older || record_has_member(record, core->self))
        return ERR_WRONG_EPOCH;
    return fallback_may_be(core, record, core->self) ? 0 : ERR_BUSY;
}

bool hints_empty(const struct hints *hints, const struct core *core)
{
    return core->hinted.counted && core->hinted.keys == 0 && core->hinted.bad == 0 &&
           hints->takes.count == 0 && core->synced >= hints->settled;
}

static bool acknowledges_synced(const struct core *core, const struct message *message)
{
    struct bucket bucket;
    if (message->write.sync || bucket_find(&core->settings, message->write.bucket, &bucket) < 0)
        return true;
    return bucket.log_mode == LOG_ALWAYS;
}

static struct store_op *store_for(struct hints *hints, struct core *core,
                                  const struct hint_take *take, const struct message *message,
                                  enum store_op_type type)
{
    uint64_t number = hints->tokens_next += core->shards;
    struct hint_take *kept = mem_zero(sizeof(*kept));
    *kept = *take;
    map_put(&hints->takes, number, kept);
    struct store_op *op = core_store(core, type, hint_token(number, HINT_TAKE));
    op->range = message->write.range.range;
    op->bucket = message->write.bucket;
    op->key = message->write.key;
    op->hash = take->hash;
    return op;
}

static void on_hint(struct hints *hints, struct core *core, struct hint_take *take,
                    const struct message *message)
{
    int error = admit(core, &take->range);
    struct stamp stamp = object_stamp(message->write.object);
    if (error == 0 && !core_hlc_seen(core, stamp.hlc))
        error = ERR_CLOCK_SKEW;
    /* Its own version as a coordinator is in its hint already. */
    if (error == 0 && !id_equal(take->from, core->self))
        error = hinted_room(&core->hinted, take->range.range,
                            message->write.key.size + message->write.object.size);
    if (error == 0 && !core_take(core, stamp.hlc, &take->side))
        error = ERR_CLOCK_SKEW;
    if (error < 0) {
        refuse(core, take, error);
        return;
    }
    take->sync = acknowledges_synced(core, message);
    take->hlc = stamp.hlc;
    struct store_op *op = store_for(hints, core, take, message, STORE_HINT_MERGE);
    op->sync = take->sync;
    op->slots = (uint8_t)(1u << take->slot);
    op->object = message->write.object;
    core->counters.hints_taken++;
}

void hints_message(struct hints *hints, struct core *core, struct node_id from,
                   const struct message *message)
{
    if (message->type == MESSAGE_REPLY) {
        hints_deliver_reply(hints, core, from, message);
        return;
    }
    /* Not for us, or nobody waits for it any more. Counted under another range than its key's, a
     * hint would be missing where it is delivered. */
    uint64_t hash = key_hash(core->cluster.hash_seed, message->write.bucket, message->write.key);
    if (message->write.range.range != range_of(hash, core->ring.bits) ||
        !id_equal(message->write.target, core->self) ||
        core_left_ms(core, message->write.deadline, message->type == MESSAGE_HINT) == 0)
        return;
    struct hint_take take = {.from = from,
                             .id = message->write.id,
                             .hash = hash,
                             .range = message->write.range,
                             .slot = message->write.slot};
    if (message->type == MESSAGE_HINT)
        on_hint(hints, core, &take, message);
    else
        store_for(hints, core, &take, message, STORE_HINT_READ);
}

static void taken(struct hints *hints, struct core *core, uint64_t number,
                  const struct store_done *done)
{
    struct hint_take *take = map_get(&hints->takes, number);
    ASSERT(take != NULL);
    if (done->type == STORE_HINT_MERGE)
        core_taken(core, take->side);
    if (done->error == 0 && done->type == STORE_HINT_MERGE) {
        if (RULE(HINT_ACKS_SYNCED))
            core_when_durable(core, done->position, take->sync, done->token);
        else
            hints_durable(hints, core, done->token);
        return;
    }
    bool none = done->error == 0 && done->object.size == 0 && RULE(ONLY_HOLDERS_COUNT);
    if (done->error < 0 || none)
        refuse(core, take, none ? ERR_NOT_FOUND : done->error);
    else
        reply(core, take, 0)->reply.object = done->object;
    map_remove(&hints->takes, number);
    mem_free(take);
}

void hints_stored(struct hints *hints, struct core *core, const struct store_done *done)
{
    uint64_t value = token_value(done->token);
    switch ((enum hint_token)(value & 3)) {
    case HINT_TAKE:
        taken(hints, core, value >> 2, done);
        break;
    case HINT_COUNT:
        counted(hints, core, done);
        break;
    case HINT_SCAN:
        hints_deliver_scanned(hints, core, done);
        break;
    case HINT_SETTLE:
        hints->settled = MAX(hints->settled, done->position);
        hints_deliver_settled(hints, core, done);
        break;
    }
}

void hints_durable(struct hints *hints, struct core *core, uint64_t token)
{
    struct hint_take *take = map_remove(&hints->takes, token_value(token) >> 2);
    ASSERT(take != NULL);
    reply(core, take, 0);
    mem_free(take);
}

void hints_look(struct hints *hints, struct core *core)
{
    if (core->hinted.keys > 0 && hints->page_count == 0 && !hints->scanning)
        core_timer_set(core, &hints->timer, core->now.us);
}
