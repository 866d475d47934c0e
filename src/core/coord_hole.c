/* Filling in a hole: records of which the key was damaged lay somewhere between two hashes, and
 * this node does not know what it has there (store/holes.h). It does again once it has merged all
 * that K = s - q + 1 of the range's s slots hold between the two, its own not counted: the same
 * that a damaged key takes (coord_heal.c), for all keys at once.
 *
 * The others are asked by SCAN, portion by portion. What as many as are needed have answered for,
 * up to the first hash that one of them stopped at, is merged key by key, each as what heals the
 * key; when all of that is in the store, STORE_WHOLE says that no key is missing there any more,
 * and the next portion follows. Memory: a message of each of the others.
 *
 * A crash, a peer that is down, a lost or repeated message: what is merged is merged, and no
 * portion counts before it is whole. The store tells of what is left again and again.
 *
 * A peer may have a hole of its own there, and answers nothing for it. Where too few others are
 * left, what lies behind can be filled in all the same: so now and then it is begun at a place that
 * chance picks. Of two holes that overlap what only one of them has is filled in thereby, and soon:
 * each time it goes on from there to the end. */
#include "core/coord_op.h"

#include "base/rule.h"

enum {
    HOLES_AT_ONCE = 8,
    HOLE_KEYS = 64, /* Of an answer. */
    HOLE_DEADLINE_MS = 10000,
    ELSEWHERE_ONE_IN = 4,
};

static void send(struct core *core, struct coord_op *op, struct node_id reader,
                 const struct scan_part *part)
{
    struct message *message = core_send(core, reader, MESSAGE_SCAN);
    message->scan.id = op->id;
    message->scan.range = op->epoch;
    message->scan.from = op->cursor;
    message->scan.to = op->hole_to;
    message->scan.limit = HOLE_KEYS;
    struct entry last;
    if (scan_last(part, &last)) { /* It has more keys of one hash than go into a message. */
        message->scan.from_bucket = core_copy(core, last.bucket);
        message->scan.from_key = core_copy(core, last.key);
    }
}

static void ask(struct core *core, struct coord_op *op, uint32_t count)
{
    const struct range_record *record = op_record(core, op);
    for (uint32_t i = 0; i < record->slots_count && count > 0; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        if (op->asked & 1u << i || id_none(reader) || id_equal(reader, core->self) ||
            !core_is_up(core, reader))
            continue;
        op->asked |= (uint8_t)(1u << i);
        send(core, op, reader, &op->parts[i]);
        count--;
    }
}

void hole_portion(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    uint8_t needed = heal_needed(core, record);
    op->needed = RULE(HOLE_BY_K) ? needed : MIN(needed, (uint8_t)1);
    if (record->epoch == 0 ||
        op->needed == 0) { /* Nobody is known, or there, who could be asked. */
        op_free(core, op);
        return;
    }
    op->state = OP_SCANNING;
    op->epoch = range_epoch_of(record);
    op->asked = 0;
    op_rename(op); /* Late answers of the portion before are of no use. */
    for (uint32_t i = 0; i < SLOTS_MAX; i++) {
        buf_clear(&op->parts[i].bytes);
        op->parts[i].answered = false;
        op->parts[i].more = false;
    }
    op_schedule(core, op);
    ask(core, op, op->needed);
}

void coord_hole(struct coord *coord, struct core *core, uint64_t from, uint64_t to, uint64_t number)
{
    uint32_t count = 0;
    for (const struct coord_op *op = coord->newest; op != NULL; op = op->older) {
        bool fills = op->heals && op->parts != NULL;
        /* Another hole of the range does not wait: it would for as long as nobody answers this one,
         * and the store, which tells of both at a time, tells of it again only much later. */
        if (fills && op->cursor <= to && op->hole_to >= from)
            return;
        count += fills;
    }
    if (count >= HOLES_AT_ONCE || coord->active >= coord->active_max || coord->draining)
        return;
    struct request request = {.method = METHOD_SCAN};
    struct coord_op *op = op_new(coord, core, &request);
    op->heals = true;
    op->range = range_of(from, core->ring.bits);
    op->loss = number;
    op->cursor = from;
    op->hole_to = to;
    if (prng_below(&core->prng, ELSEWHERE_ONE_IN) == 0)
        op->cursor += prng_below(&core->prng, MAX(to - from, 1));
    op->deadline_us = core->now.us + HOLE_DEADLINE_MS * 1000;
    op->retry_at_us = core->now.us + core->timing.retry_us;
    op->parts = mem_zero(SLOTS_MAX * sizeof(*op->parts));
    hole_portion(core, op);
}

void hole_retry(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        if (op->asked & 1u << i && !op->parts[i].answered && !id_none(reader) &&
            !id_equal(reader, core->self))
            send(core, op, reader, &op->parts[i]);
    }
    ask(core, op, op->needed);
}

/* Up to which hash PART has all; false if not even all of the first. */
static bool covers(const struct coord_op *op, const struct scan_part *part, uint64_t *ret_to)
{
    struct entry last;
    *ret_to = op->hole_to;
    if (!part->more)
        return true;
    if (!scan_last(part, &last) || last.hash <= op->cursor)
        return false;
    *ret_to = MIN(last.hash - 1, op->hole_to);
    return true;
}

/* ----------------------------------------------------------------------------- What has come. */

static void close_portion(struct core *core, struct coord_op *op)
{
    struct store_op *store = op_store(core, op, STORE_WHOLE, &op->epoch);
    store->scan.from = op->cursor;
    store->scan.to = op->portion_to;
    store->loss = op->loss;
    store->sync = true;
}

/* Put the next key of the portion into the store, or, after the last, its end. One at a time: keys
 * that wait for the disk would pass each other. */
static void go_on(struct core *core, struct coord_op *op)
{
    struct slice rest = buf_slice(&op->result);
    struct reader reader = reader_of(slice_of(rest.data + op->merged, rest.size - op->merged));
    struct entry entry;
    op->merging = op->merged;
    if (!scan_entry_read(&reader, &entry)) {
        close_portion(core, op);
        return;
    }
    op->merged = rest.size - reader_left(&reader);
    struct store_op *store = op_store(core, op, STORE_MERGE, &op->epoch);
    store->hash = entry.hash;
    store->bucket = core_copy(core, entry.bucket);
    store->key = core_copy(core, entry.key);
    store->object = core_copy(core, entry.object);
    store->sync = true;
    store->heals = true;
    store->loss = op->loss;
    store->drops_count =
        buckets_dropped(&core->settings, &core->out->arena, (struct drop_line **)&store->drops);
}

/* Merge what all parts have up to the portion's end. */
static void merge(struct coord_op *op)
{
    buf_clear(&op->result);
    op->merged = 0;
    struct reader readers[SLOTS_MAX];
    struct entry heads[SLOTS_MAX];
    bool has[SLOTS_MAX];
    for (uint32_t i = 0; i < SLOTS_MAX; i++) {
        readers[i] = reader_of(buf_slice(&op->parts[i].bytes));
        has[i] = op->parts[i].answered && scan_entry_read(&readers[i], &heads[i]);
    }
    for (;;) {
        const struct entry *least = NULL;
        for (uint32_t i = 0; i < SLOTS_MAX; i++)
            if (has[i] && heads[i].hash <= op->portion_to &&
                (least == NULL || scan_entry_compare(&heads[i], least) < 0))
                least = &heads[i];
        if (least == NULL)
            return;
        struct entry first = *least;
        struct buf object = {0};
        for (uint32_t i = 0; i < SLOTS_MAX; i++) {
            if (!has[i] || scan_entry_compare(&heads[i], &first) != 0)
                continue;
            struct buf merged = {0};
            object_merge(buf_slice(&object), heads[i].object, &merged);
            buf_done(&object);
            object = merged;
            has[i] = scan_entry_read(&readers[i], &heads[i]);
        }
        first.object = buf_slice(&object);
        scan_entry_write(&op->result, &first);
        buf_done(&object);
    }
}

static void judge(struct core *core, struct coord_op *op)
{
    uint32_t got = 0;
    uint64_t to;
    op->portion_to = op->hole_to;
    for (uint32_t i = 0; i < SLOTS_MAX; i++) {
        if (!op->parts[i].answered || !covers(op, &op->parts[i], &to))
            continue;
        op->portion_to = MIN(op->portion_to, to);
        got++;
    }
    if (got < op->needed)
        return;
    op->state = OP_MERGING;
    merge(op);
    go_on(core, op);
}

void hole_reply(struct core *core, struct coord_op *op, struct node_id from,
                const struct message *message)
{
    const struct range_record *record = op_record(core, op);
    if (message->reply.range.range != op->range || range_epoch_compare(&op->epoch, record) != 0)
        return;
    if (message->reply.error < 0) {
        ask(core, op, 1);
        return;
    }
    struct scan_part *part = scan_part_of(core, op, from, message);
    if (part == NULL || id_equal(from, core->self))
        return;
    struct entry last;
    uint64_t to;
    bool later = scan_last(part, &last);
    for (uint32_t i = 0; i < message->reply.entries_count; i++) {
        const struct entry *entry = &message->reply.entries[i];
        if (entry->hash >= op->cursor && (!later || scan_entry_compare(entry, &last) > 0))
            scan_entry_write(&part->bytes, entry);
    }
    part->more = message->reply.more;
    part->answered = covers(op, part, &to);
    if (part->answered)
        judge(core, op);
    else if (message->reply.entries_count > 0)
        send(core, op, from, part);
}

void hole_again(struct core *core, struct coord_op *op)
{
    op->busy = false;
    op->merged = op->merging;
    go_on(core, op);
}

void hole_stored(struct core *core, struct coord_op *op, const struct store_done *done)
{
    if (done->error == ERR_BUSY) { /* Memory is short, or what is lost is not out of the engine. */
        op->busy = true;
        return;
    }
    if (done->error < 0) {
        op_free(core, op); /* The store tells of it again. */
        return;
    }
    op->deadline_us = core->now.us + HOLE_DEADLINE_MS * 1000;
    if (done->type == STORE_MERGE) {
        go_on(core, op);
        return;
    }
    if (op->portion_to == op->hole_to) {
        op_free(core, op);
        return;
    }
    op->cursor = op->portion_to + 1;
    hole_portion(core, op);
}
