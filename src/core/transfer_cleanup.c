/* Clean-up of a copy that moved away.
 *
 * No copy is deleted for want of title alone. After a grace period the former member hands all it
 * holds to the present reader of the lowest slot, which merges it and syncs; only then does it
 * delete. So the proof that the present reader has every version is its own acknowledgement of each
 * chunk, all under one record: when that changes, the reader may be another, and it begins again.
 * So it does when the copy itself changes: where keys of it were damaged, they are healed with what
 * other slots have, and that may lie where it has been already, and be more than it handed over.
 * Then it says so, and a later record takes it out of `former`.
 *
 * In a fork there may be copies that no record speaks of any more: whoever made the fork had not
 * heard that they were made, or they were made under another fork, which lost. So whoever ever
 * installed a record of the range keeps up with it, and cleans up as a former member does. What it
 * has may be there only: it hands that over at once, and again after the grace, before it deletes.
 * Until then no horizon may rise that such a version is stamped below (core.h, `unhanded`). */
#include "core/transfer_state.h"

#include "base/rule.h"

/* In a fork: has all that is here been handed over, so that nobody else waits for it? */
static void set_handed(struct core *core, struct cleanup *cleanup, bool handed)
{
    if (cleanup->handed == handed)
        return;
    cleanup->handed = handed;
    core->unhanded = handed ? core->unhanded - 1 : core->unhanded + 1;
}

void cleanup_free(struct transfers *transfers, struct core *core, struct cleanup *cleanup)
{
    set_handed(core, cleanup, true);
    core_timer_clear(core, &cleanup->timer);
    map_remove(&transfers->cleanups, (uint64_t)cleanup->range + 1);
    buf_done(&cleanup->bucket);
    buf_done(&cleanup->key);
    mem_free(cleanup);
}

static bool is_former(const struct core *core, uint32_t range)
{
    const struct range_record *record = held_record(core, range);
    bool stray = record->fork > 0 && RULE(FORKS_HANDED_OVER);
    return (record_has_former(record, core->self) || stray) &&
           !record_has_member(record, core->self);
}

/* Begin a pass over the copy, as SEQUENCE: what was acknowledged before does not count in it. */
static void rewind_copy(const struct core *core, struct cleanup *cleanup, uint64_t sequence)
{
    cleanup->epoch = range_epoch_of(held_record(core, cleanup->range));
    cleanup->sequence = cleanup->first = sequence;
    cleanup->cursor = range_first(cleanup->range, core->ring.bits);
    buf_clear(&cleanup->bucket);
    buf_clear(&cleanup->key);
}

static bool is_overtaken(const struct core *core, const struct cleanup *cleanup)
{
    const struct range_record *record = held_record(core, cleanup->range);
    return RULE(CLEANUP_ONE_EPOCH) && range_epoch_compare(&cleanup->epoch, record) != 0;
}

static void scan(struct core *core, struct cleanup *cleanup)
{
    if (is_overtaken(core, cleanup))
        rewind_copy(core, cleanup, 0);
    uint64_t token;
    struct transfer_wait *wait =
        wait_add(cleanup->transfers, WAIT_CLEANUP_SCAN, cleanup->range, &token);
    wait->sequence = cleanup->sequence + 1;
    cleanup->scanning = true;
    struct store_op *op = core_store(core, STORE_SCAN, token);
    op->range = cleanup->range;
    op->scan.from = cleanup->cursor;
    op->scan.to = range_last(cleanup->range, core->ring.bits);
    op->bucket = core_copy(core, buf_slice(&cleanup->bucket));
    op->key = core_copy(core, buf_slice(&cleanup->key));
    op->scan.count_max = core->timing.chunk_objects;
    op->scan.bytes_max = CHUNK_BYTES_MAX;
    op->scan.digest = true;
}

/* Go on with the next chunk, as soon as requests bear it (pace.h). */
static void push(struct core *core, struct cleanup *cleanup)
{
    struct pace *pace = &core->pace;
    if (!pace_free(pace, core->now.us)) {
        core_timer_set(core, &cleanup->timer, transfer_turn_us(core));
        return;
    }
    const struct range_record *record = held_record(core, cleanup->range);
    pace_take(pace, core->now.us, record_driver(record), PACE_MESSAGE_COST);
    scan(core, cleanup);
}

static void drop(struct core *core, struct cleanup *cleanup)
{
    const struct range_record *record = held_record(core, cleanup->range);
    cleanup->state = CLEANUP_DROPPING;
    uint64_t token;
    struct transfer_wait *wait = wait_add(cleanup->transfers, WAIT_DROP, cleanup->range, &token);
    wait->sequence = cleanup->drop = token;
    struct store_op *op = core_store_under(core, STORE_DROP, token, range_epoch_of(record));
    op->sync = true;
}

static void say_done(struct core *core, const struct cleanup *cleanup)
{
    const struct range_record *record = held_record(core, cleanup->range);
    struct message *message = core_send(core, record_driver(record), MESSAGE_COMPLETE);
    message->chunk.range = range_epoch_of(record);
}

static void cleanup_timer(struct core *core, void *machine, struct timer *timer)
{
    (void)timer;
    struct cleanup *cleanup = machine;
    bool awaited = record_has_former(held_record(core, cleanup->range), core->self);
    if (cleanup->state == CLEANUP_DONE && !awaited)
        return;
    core_timer_set(core, &cleanup->timer, core->now.us + 5 * core->timing.retry_us);
    if (cleanup->state == CLEANUP_GRACE)
        cleanup->state = CLEANUP_PUSHING;
    if (cleanup->state == CLEANUP_PUSHING && !RULE(CLEANUP_HANDS_OVER))
        drop(core, cleanup);
    else if (cleanup->state == CLEANUP_PUSHING && !cleanup->scanning)
        push(core, cleanup);
    else if (cleanup->state == CLEANUP_DONE)
        say_done(core, cleanup);
}

static void begin(struct core *core, struct cleanup *cleanup)
{
    bool fork = held_record(core, cleanup->range)->fork > 0;
    cleanup->state = fork ? CLEANUP_PUSHING : CLEANUP_GRACE;
    cleanup->began_us = core->now.us;
    set_handed(core, cleanup, !fork);
    rewind_copy(core, cleanup, 0);
    core_timer_set(core, &cleanup->timer,
                   core->now.us + (fork ? core->timing.retry_us : core->timing.cleanup_us));
}

/* All is handed over. In a fork the deletion waits for the grace all the same. */
static void pushed(struct core *core, struct cleanup *cleanup)
{
    uint64_t due_us = cleanup->began_us + core->timing.cleanup_us;
    set_handed(core, cleanup, true);
    if (core->now.us >= due_us) {
        drop(core, cleanup);
        return;
    }
    cleanup->state = CLEANUP_GRACE;
    rewind_copy(core, cleanup, cleanup->sequence + 1);
    core_timer_set(core, &cleanup->timer, due_us);
}

void cleanup_range(struct transfers *transfers, struct core *core, uint32_t range)
{
    struct cleanup *cleanup = map_get(&transfers->cleanups, (uint64_t)range + 1);
    if (!is_former(core, range)) {
        if (cleanup != NULL)
            cleanup_free(transfers, core, cleanup);
        return;
    }
    const struct range_record *record = held_record(core, range);
    if (cleanup != NULL) {
        bool other = cleanup->epoch.fork != record->fork || cleanup->epoch.nonce != record->nonce;
        if (other && cleanup->state != CLEANUP_DROPPING && cleanup->state != CLEANUP_DONE)
            begin(core, cleanup);
        /* Nobody waited for it any more under the fork that it deleted its copy under. The maker of
         * one that beats that had not heard so, and names it: those there are to hear it too. */
        if (cleanup->state == CLEANUP_DONE && record_has_former(record, core->self))
            core_timer_by(core, &cleanup->timer, core->now.us + core->timing.retry_us);
        return;
    }
    cleanup = mem_zero(sizeof(*cleanup));
    cleanup->transfers = transfers;
    cleanup->range = range;
    cleanup->timer.fire = cleanup_timer;
    cleanup->timer.machine = cleanup;
    cleanup->handed = true;
    map_put(&transfers->cleanups, (uint64_t)range + 1, cleanup);
    begin(core, cleanup);
}

/* DIGEST is what the copy is now: is that not what it was when the pass began? What was lost is
 * counted in it until it is healed (docs/decisions/0035), and no scan goes past it before. */
static bool has_changed(struct cleanup *cleanup, uint64_t digest)
{
    if (cleanup->sequence == cleanup->first)
        cleanup->digest = digest;
    return cleanup->digest != digest && RULE(CLEANUP_UNCHANGED);
}

void cleanup_scanned(struct transfers *transfers, struct core *core,
                     const struct transfer_wait *wait, const struct store_done *done)
{
    struct cleanup *cleanup = map_get(&transfers->cleanups, (uint64_t)wait->range + 1);
    if (cleanup == NULL)
        return;
    cleanup->scanning = false;
    if (done->error < 0 || cleanup->state != CLEANUP_PUSHING || !is_former(core, wait->range))
        return;
    if (is_overtaken(core, cleanup)) {
        scan(core, cleanup);
        return;
    }
    if (has_changed(cleanup, done->digest)) {
        rewind_copy(core, cleanup, cleanup->sequence + 1);
        scan(core, cleanup);
        return;
    }
    if (done->entries_count == 0 && !done->more) {
        pushed(core, cleanup);
        return;
    }
    const struct range_record *record = held_record(core, wait->range);
    struct message *message = core_send(core, record_driver(record), MESSAGE_CHUNK);
    message->chunk.range = range_epoch_of(record);
    message->chunk.sequence = wait->sequence;
    message->chunk.entries = done->entries;
    message->chunk.entries_count = done->entries_count;
    message->chunk.last = !done->more;
    pace_take(&core->pace, core->now.us, record_driver(record),
              transfer_bytes(done->entries, done->entries_count));
}

void cleanup_acked(struct transfers *transfers, struct core *core, struct node_id from,
                   const struct message *message)
{
    uint32_t range = message->chunk.range.range;
    struct cleanup *cleanup = map_get(&transfers->cleanups, (uint64_t)range + 1);
    const struct range_record *record = held_record(core, range);
    if (cleanup == NULL || cleanup->state != CLEANUP_PUSHING || !is_former(core, range) ||
        message->chunk.sequence != cleanup->sequence + 1 || cleanup->scanning ||
        range_epoch_compare(&message->chunk.range, record) != 0 ||
        record_slot_read_by(record, from) == NULL)
        return;
    cleanup->sequence++;
    cleanup->cursor = message->chunk.cursor;
    buf_clear(&cleanup->bucket);
    buf_append(&cleanup->bucket, message->chunk.cursor_bucket);
    buf_clear(&cleanup->key);
    buf_append(&cleanup->key, message->chunk.cursor_key);
    push(core, cleanup);
}

void cleanup_handed(struct transfers *transfers, struct core *core, struct node_id from,
                    const struct message *message)
{
    uint32_t range = message->chunk.range.range;
    const struct holding *holding = &core->holdings[range];
    if (!holding->ready || message->chunk.entries_count == 0 ||
        range_epoch_compare(&message->chunk.range, &holding->record) != 0 ||
        record_slot_read_by(&holding->record, core->self) == NULL)
        return;
    const struct entry *end = &message->chunk.entries[message->chunk.entries_count - 1];
    uint64_t token;
    struct transfer_wait *wait = wait_add(transfers, WAIT_HANDED, range, &token);
    wait->from = from;
    wait->epoch = message->chunk.range;
    wait->sequence = message->chunk.sequence;
    wait->cursor = end->hash;
    buf_append(&wait->bucket, end->bucket);
    buf_append(&wait->key, end->key);
    struct store_op *op =
        core_store_under(core, STORE_CHUNK, token, range_epoch_of(&holding->record));
    op->sync = true;
    op->batch.entries = message->chunk.entries;
    op->batch.entries_count = message->chunk.entries_count;
}

/* On a slow disk a deletion may end when this node was a member once more and is none again: then
 * there may be another copy, and another deletion of it. */
static bool is_its_end(const struct cleanup *cleanup, const struct transfer_wait *wait)
{
    return (cleanup->state == CLEANUP_DROPPING && cleanup->drop == wait->sequence) ||
           !RULE(DROP_ENDS_ITS_OWN);
}

void cleanup_durable(struct transfers *transfers, struct core *core,
                     const struct transfer_wait *wait)
{
    if (wait->kind == WAIT_DROP) {
        core_signal(core, SIGNAL_DROPPED)->range = wait->range;
        struct cleanup *cleanup = map_get(&transfers->cleanups, (uint64_t)wait->range + 1);
        if (cleanup == NULL || !is_its_end(cleanup, wait))
            return;
        cleanup->state = CLEANUP_DONE;
        core_timer_set(core, &cleanup->timer, core->now.us + 5 * core->timing.retry_us);
        say_done(core, cleanup);
        return;
    }
    if (wait->epoch.fork > 0)
        core_signal(core, SIGNAL_DIRTY)->range = wait->range; /* The other readers lack it. */
    struct message *message = core_send(core, wait->from, MESSAGE_CHUNK_ACK);
    message->chunk.range = wait->epoch;
    message->chunk.sequence = wait->sequence;
    message->chunk.cursor = wait->cursor;
    message->chunk.cursor_bucket = core_copy(core, buf_slice(&wait->bucket));
    message->chunk.cursor_key = core_copy(core, buf_slice(&wait->key));
}
