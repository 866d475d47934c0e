/* Delivery of hints, a page at a time (hints.h says what faults do, and why it is safe). */
#include "core/hints.h"

#include "base/rule.h"

enum { MEASURE_MAX = 4096, MEASURE_BYTES = 4 * 1024 * 1024 };
enum { ATTEMPTS_MAX = 10, DEADLINE_MS = 10000, PAUSE_US_MAX = 1000000 };

/* -------------------------------------------------------------------------- Where they may go. */

/* Does the slot have writers that stay its writers, unless they hand over all that they have? One
 * that is being rebuilt does not: its target may be replaced by another that never saw the hint. */
static bool settles(const struct slot *slot)
{
    return slot->stage == STAGE_STABLE || slot->stage == STAGE_JOINT || slot->stage == STAGE_CUT ||
           slot->stage == STAGE_BACK;
}

/* The slot that is addressed by NUMBER, NULL if it is gone. One that is being filled counts for
 * nothing yet: it may go again, and take with it what only it was given. */
static const struct slot *addressed(const struct range_record *record, uint32_t number)
{
    const struct slot *slot = record_slot(record, number);
    return slot == NULL || slot->stage == STAGE_LEARN ? NULL : slot;
}

static bool all_up(const struct core *core, const struct slot *slot)
{
    struct node_id writers[2];
    uint32_t count = slot_writers(slot, writers);
    for (uint32_t k = 0; k < count; k++)
        if (!core_is_up(core, writers[k]))
            return false;
    return true;
}

/* Can what is for slot NUMBER be delivered now? What is for a slot that is gone goes to all. */
static bool can_go(const struct core *core, const struct range_record *record, uint32_t number)
{
    const struct slot *slot = addressed(record, number);
    if (slot != NULL)
        return settles(slot) && all_up(core, slot);
    for (uint32_t i = 0; i < record->slots_count; i++)
        if (record->slots[i].stage != STAGE_LEARN &&
            (!settles(&record->slots[i]) || !all_up(core, &record->slots[i])))
            return false;
    return record_counted(record) > 0;
}

/* Of SLOTS, by number, those whose hints can be delivered now. */
static uint8_t due_of(const struct core *core, uint32_t range, uint8_t slots)
{
    const struct range_record *record = ring_get(&core->ring, range);
    uint8_t due = 0;
    for (uint32_t number = 0; record->epoch > 0 && number < SLOTS_MAX; number++)
        if (slots >> number & 1 && can_go(core, record, number))
            due |= (uint8_t)(1u << number);
    return due;
}

static uint8_t slots_of(const struct hinted_range *range)
{
    uint8_t slots = 0;
    for (uint32_t i = 0; i < SLOTS_MAX; i++)
        slots |= (uint8_t)((range->keys_of[i] > 0) << i);
    return slots;
}

/* The first range from FIRST on of which something can be delivered; the number of ranges if there
 * is none. */
static uint32_t next_range(const struct core *core, uint32_t first)
{
    uint32_t ranges = ring_ranges(&core->ring);
    for (uint32_t range = first; range < ranges; range++) {
        const struct hinted_range *hinted = hinted_find(&core->hinted, range);
        if (hinted != NULL && hinted->keys > 0 && due_of(core, range, slots_of(hinted)) != 0)
            return range;
    }
    return ranges;
}

/* ------------------------------------------------------------------------------ One hint of it. */

static void close_out(struct hints *hints, struct core *core, struct hint_out *out, int error)
{
    struct hinted_range *hinted = hinted_find(&core->hinted, out->range);
    if (out->id == 0)
        return;
    out->id = 0;
    hints->page_open--;
    hints->page_failed = hints->page_failed || error != 0;
    if (hinted != NULL) {
        hinted->error = error;
        hinted->tried_us = error == 0 ? 0 : core->now.us;
    }
    if (hints->page_open > 0)
        return;
    hints->page_count = 0;
    uint64_t took = core->now.us - hints->page_began_us;
    uint64_t pause = hints->page_failed ? core->timing.hint_us : MIN(took, (uint64_t)PAUSE_US_MAX);
    core_timer_set(core, &hints->timer, MAX(core->now.us + pause, core->pace.free_us));
}

static void send_write(struct core *core, const struct hint_out *out, struct node_id node,
                       uint8_t slot, bool with_record)
{
    struct slice name = buf_slice(&out->name);
    struct message *message = core_send(core, node, MESSAGE_WRITE);
    pace_take(&core->pace, core->now.us, node, PACE_WRITE_COST + name.size + out->object.size);
    message->write.id = out->id;
    message->write.range = out->epoch;
    message->write.slot = slot;
    message->write.target = node;
    message->write.deadline = hlc_at(core->now.wall_ms + DEADLINE_MS);
    message->write.sync = true;
    message->write.repair = true;
    message->write.bucket = slice_of(name.data, out->bucket_size);
    message->write.key = slice_of(name.data + out->bucket_size, name.size - out->bucket_size);
    message->write.object = buf_slice(&out->object);
    if (with_record) {
        message->write.has_record = true;
        message->write.record = *ring_get(&core->ring, out->range);
    }
}

/* Begin under the newest record. False: nothing of it can be delivered now. */
static bool aim(const struct core *core, struct hint_out *out)
{
    const struct range_record *record = ring_get(&core->ring, out->range);
    out->due = due_of(core, out->range, out->slots);
    out->epoch = range_epoch_of(record);
    memset(out->to, 0, sizeof(out->to));
    memset(out->acked, 0, sizeof(out->acked));
    for (uint32_t number = 0; number < SLOTS_MAX; number++) {
        if (!(out->due >> number & 1))
            continue;
        const struct slot *only = addressed(record, number);
        for (uint32_t i = 0; i < record->slots_count; i++) {
            struct node_id writers[2];
            if (only == NULL || only == &record->slots[i])
                out->to[i] = (uint8_t)((1u << slot_writers(&record->slots[i], writers)) - 1);
        }
    }
    return out->due != 0;
}

static void send_all(struct core *core, const struct hint_out *out)
{
    const struct range_record *record = ring_get(&core->ring, out->range);
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id writers[2];
        uint32_t count = slot_writers(&record->slots[i], writers);
        for (uint32_t k = 0; k < count; k++)
            if (out->to[i] & ~out->acked[i] & 1u << k)
                send_write(core, out, writers[k], record->slots[i].number, false);
    }
}

/* All writers have it on their disks: forget what was delivered, and first the tenure under which
 * this node may have made some of it. */
static void settle(struct core *core, const struct hint_out *out)
{
    hinted_renew_tenure(&core->hinted, out->range);
    struct slice name = buf_slice(&out->name);
    struct store_op *op = core_store(core, STORE_HINT_SETTLE, out->id | HINT_SETTLE);
    op->range = out->range;
    op->hash = out->hash;
    op->bucket = slice_of(name.data, out->bucket_size);
    op->key = slice_of(name.data + out->bucket_size, name.size - out->bucket_size);
    op->slots = out->due;
    op->digest = hint_digest(buf_slice(&out->object));
}

static bool is_done(const struct hint_out *out)
{
    bool all = true;
    for (uint32_t i = 0; i < SLOTS_MAX; i++) {
        bool some = out->acked[i] != 0 && !RULE(HINT_TO_ALL_WRITERS);
        all = all && (out->acked[i] == out->to[i] || some);
    }
    return all;
}

static struct hint_out *find_out(struct hints *hints, uint64_t id)
{
    for (uint32_t i = 0; i < hints->page_count; i++)
        if (hints->page[i].id == id && id != 0)
            return &hints->page[i];
    return NULL;
}

void hints_deliver_settled(struct hints *hints, struct core *core, const struct store_done *done)
{
    struct hint_out *out = find_out(hints, done->token & ~(uint64_t)3);
    core->counters.hints_delivered += done->changed;
    if (out != NULL)
        close_out(hints, core, out, done->error);
}

/* ------------------------------------------------------------------------------------ Answers. */

static void take_record(struct core *core, const struct message *message)
{
    const struct range_record *record = &message->reply.record;
    if (message->reply.has_record && record->range < ring_ranges(&core->ring) &&
        ring_merge(&core->ring, record))
        core_signal(core, SIGNAL_RECORD)->range = record->range;
}

void hints_deliver_reply(struct hints *hints, struct core *core, struct node_id from,
                         const struct message *message)
{
    take_record(core, message);
    struct hint_out *out = find_out(hints, message->reply.id);
    if (out == NULL || message->reply.range.range != out->range)
        return;
    const struct range_record *record = ring_get(&core->ring, out->range);
    if (message->reply.error == ERR_WRONG_EPOCH) {
        /* Under a newer record it is sent again at the retry interval; or the writer is behind. */
        if (!message->reply.has_record && record_has_member(record, from) &&
            range_epoch_compare(&out->epoch, record) == 0)
            send_write(core, out, from, message->reply.slot, true);
        return;
    }
    if (message->reply.error < 0) {
        close_out(hints, core, out, message->reply.error);
        return;
    }
    bool counts = range_epoch_compare(&message->reply.range, record) == 0 &&
                  range_epoch_compare(&out->epoch, record) == 0;
    if (!counts || is_done(out))
        return;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id writers[2];
        uint32_t count = slot_writers(&record->slots[i], writers);
        for (uint32_t k = 0; k < count && record->slots[i].number == message->reply.slot; k++)
            if (id_equal(writers[k], from))
                out->acked[i] |= (uint8_t)(out->to[i] & 1u << k);
    }
    if (is_done(out))
        settle(core, out);
}

/* --------------------------------------------------------------------------------------- Pages. */

static void add_out(struct hints *hints, struct core *core, const struct entry *entry,
                    uint8_t slots)
{
    struct hint_out *out = &hints->page[hints->page_count];
    out->id = hint_token(hints->tokens_next += core->shards, HINT_TAKE);
    out->range = range_of(entry->hash, core->ring.bits);
    out->hash = entry->hash;
    out->slots = slots;
    out->attempts = 0;
    out->bucket_size = entry->bucket.size;
    buf_clear(&out->name);
    buf_append(&out->name, entry->bucket);
    buf_append(&out->name, entry->key);
    buf_clear(&out->object);
    buf_append(&out->object, entry->object);
    if (!aim(core, out)) {
        out->id = 0;
        return;
    }
    hints->page_count++;
    hints->page_open++;
    send_all(core, out);
}

/* Of ranges that the scan has read from their first hash to their last, the figures are known. */
static void recount(const struct hints *hints, struct core *core, const struct store_done *done)
{
    uint32_t first = 0, range = hints->scan_range;
    bool whole = hints->scan_whole;
    for (;;) {
        uint32_t end = first;
        while (end < done->entries_count &&
               range_of(done->entries[end].hash, core->ring.bits) == range)
            end++;
        if (whole && (end < done->entries_count || !done->more))
            hinted_recount(&core->hinted, range, done->entries + first, done->entries_slots + first,
                           end - first);
        if (end == done->entries_count)
            return;
        range = range_of(done->entries[end].hash, core->ring.bits);
        first = end;
        whole = true;
    }
}

void hints_deliver_scanned(struct hints *hints, struct core *core, const struct store_done *done)
{
    hints->scanning = false;
    if (done->error == 0)
        recount(hints, core, done);
    if (done->bad > 0 && core->hinted.bad == 0)
        core->hinted.bad = done->bad; /* Until all are looked at. */
    if (hints->measures) {
        struct hinted_range *measured = hinted_find(&core->hinted, hints->scan_range);
        if (measured != NULL)
            measured->inexact = false; /* Too many to look at: it stays a lower bound. */
        return;
    }
    hints->page_began_us = core->now.us;
    hints->page_failed = false;
    for (uint32_t i = 0; done->error == 0 && i < done->entries_count && i < HINTS_PAGE; i++)
        if (done->entries_slots[i] != 0)
            add_out(hints, core, &done->entries[i], done->entries_slots[i]);
    if (done->entries_count > 0)
        hints_set_cursor(hints, &done->entries[done->entries_count - 1]);
    hints->more = done->error == 0 && done->more;
    uint64_t pause = core->timing.hint_us;
    if (hints->page_count > 0)
        pause = core->timing.retry_us;
    else if (hints->more)
        pause = 0;
    core_timer_set(core, &hints->timer, core->now.us + pause);
}

static void scan(struct hints *hints, struct core *core, uint32_t range)
{
    struct slice name = buf_slice(&hints->cursor_name);
    if (range_of(hints->cursor, core->ring.bits) != range) {
        hints->cursor = range_first(range, core->ring.bits);
        name = SLICE_NONE;
        hints->cursor_bucket_size = 0;
    }
    struct store_op *op = core_store(core, STORE_HINT_SCAN, hint_token(0, HINT_SCAN));
    op->bucket = core_copy(core, slice_of(name.data, hints->cursor_bucket_size));
    op->key = core_copy(core, slice_of(name.data + hints->cursor_bucket_size,
                                       name.size - hints->cursor_bucket_size));
    op->scan.from = hints->cursor;
    op->scan.to = UINT64_MAX;
    op->scan.count_max = HINTS_PAGE;
    op->scan.bytes_max = HINTS_PAGE_BYTES;
    hints->scanning = true;
    hints->scan_range = range;
    hints->scan_whole = name.size == 0 && hints->cursor == range_first(range, core->ring.bits);
    hints->measures = false;
}

/* Read all hints of RANGE, only to know of how old the oldest is. */
static void measure(struct hints *hints, struct core *core, uint32_t range)
{
    struct store_op *op = core_store(core, STORE_HINT_SCAN, hint_token(0, HINT_SCAN));
    op->scan.from = range_first(range, core->ring.bits);
    op->scan.to = range_last(range, core->ring.bits);
    op->scan.count_max = MEASURE_MAX;
    op->scan.bytes_max = MEASURE_BYTES;
    hints->scanning = true;
    hints->scan_range = range;
    hints->scan_whole = true;
    hints->measures = true;
}

static void begin_page(struct hints *hints, struct core *core)
{
    bool anew = !hints->more;
    if (anew)
        hints_rewind(hints);
    uint32_t range = next_range(core, range_of(hints->cursor, core->ring.bits));
    if (range < ring_ranges(&core->ring)) {
        scan(hints, core, range);
        return;
    }
    hints->more = false;
    core_timer_set(core, &hints->timer, core->now.us + (anew ? core->timing.hint_us : 0));
    uint32_t inexact = anew ? hinted_inexact(&core->hinted) : UINT32_MAX;
    if (inexact != UINT32_MAX)
        measure(hints, core, inexact);
}

/* Those that are not answered: again, under the newest record; in the end in the next round. */
static void nudge(struct hints *hints, struct core *core)
{
    core_timer_set(core, &hints->timer, core->now.us + core->timing.retry_us);
    for (uint32_t i = 0; i < hints->page_count; i++) {
        struct hint_out *out = &hints->page[i];
        if (out->id == 0 || is_done(out))
            continue;
        const struct range_record *record = ring_get(&core->ring, out->range);
        bool newer = range_epoch_compare(&out->epoch, record) != 0;
        if (newer ? !aim(core, out) : (due_of(core, out->range, out->due) != out->due))
            close_out(hints, core, out, ERR_UNAVAILABLE);
        else if (++out->attempts >= ATTEMPTS_MAX)
            close_out(hints, core, out, ERR_TIMEOUT);
        else
            send_all(core, out);
    }
}

/* Look at all hints: those that are damaged are asked of their owners, and counted anew. */
static void check(struct hints *hints, struct core *core)
{
    hints->checking = true;
    hints->check_bad = 0;
    hints_rewind(hints);
    hints_count(hints, core);
}

void hints_deliver_fire(struct core *core, void *machine, struct timer *timer)
{
    struct hints *hints = machine;
    core_timer_set(core, timer, core->now.us + core->timing.hint_us);
    if (hints->scanning || core->hinted.closed)
        return;
    if (!core->hinted.counted || hints->checking)
        hints_count(hints, core);
    else if (hints->page_count > 0)
        nudge(hints, core);
    else if (core->hinted.bad > 0 && core->now.us >= hints->check_us && !hints->more)
        check(hints, core);
    else if (core->hinted.keys > 0 && !pace_free(&core->pace, core->now.us))
        core_timer_set(core, timer, core->pace.free_us);
    else if (core->hinted.keys > 0)
        begin_page(hints, core);
}

/* --------------------------------------------------------------------------------- For status. */

static bool holds(const struct core *core, const struct slot *slot, struct hint_target *ret_target)
{
    struct node_id writers[2];
    uint32_t count = slot_writers(slot, writers);
    if (!settles(slot)) {
        ret_target->hold = HINT_NO_WRITER;
        return true;
    }
    for (uint32_t k = 0; k < count; k++) {
        if (core_is_up(core, writers[k]))
            continue;
        ret_target->hold = HINT_DOWN;
        ret_target->node = writers[k];
        return true;
    }
    return false;
}

void hints_hold(const struct core *core, const struct hinted_range *range, uint32_t number,
                struct hint_target *ret_target)
{
    const struct range_record *record = ring_get(&core->ring, range->range);
    const struct slot *only = addressed(record, number);
    ret_target->hold = HINT_MOVES;
    if (!core->hinted.counted || core->hinted.closed) {
        ret_target->hold = core->hinted.closed ? HINT_STOPS : HINT_COUNTED;
        return;
    }
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *slot = &record->slots[i];
        bool meant = only == NULL ? slot->stage != STAGE_LEARN : only == slot;
        if (meant && holds(core, slot, ret_target))
            return;
    }
    if (range->error == 0)
        return;
    ret_target->hold = HINT_REFUSED;
    ret_target->error = range->error;
}
