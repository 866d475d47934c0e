/* Scans: range after range in ring order, r readers each, merged up to the first key that one of
 * them stopped at. Any node can run one: a scan makes no dots. */
#include "core/coord_op.h"

enum {
    SCAN_LIMIT_DEFAULT = 100,
    SCAN_LIMIT_MAX = 10000,
    SCAN_RESULT_MAX = 4 * 1024 * 1024, /* Bytes of an answer, one entry beyond. */
};

void scan_free(struct coord_op *op)
{
    for (uint32_t i = 0; op->parts != NULL && i < SLOTS_MAX; i++)
        buf_done(&op->parts[i].bytes);
    mem_free(op->parts);
    buf_done(&op->result);
    buf_done(&op->cursor_key);
}

void scan_entry_write(struct buf *out, const struct entry *entry)
{
    write_u64(out, entry->hash);
    write_string(out, entry->bucket);
    write_string(out, entry->key);
    write_string(out, entry->object);
}

bool scan_entry_read(struct reader *reader, struct entry *ret_entry)
{
    if (reader_left(reader) == 0)
        return false;
    ret_entry->hash = read_u64(reader);
    ret_entry->bucket = read_string(reader);
    ret_entry->key = read_string(reader);
    ret_entry->object = read_string(reader);
    ASSERT(!reader->bad); /* We wrote it. */
    return true;
}

int scan_entry_compare(const struct entry *a, const struct entry *b)
{
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    int order = slice_compare(a->bucket, b->bucket);
    return order != 0 ? order : slice_compare(a->key, b->key);
}

bool scan_last(const struct scan_part *part, struct entry *ret_entry)
{
    struct reader reader = reader_of(buf_slice(&part->bytes));
    bool any = false;
    while (scan_entry_read(&reader, ret_entry))
        any = true;
    return any;
}

static uint32_t limit_of(const struct coord_op *op)
{
    uint32_t limit = op->request.limit == 0 ? SCAN_LIMIT_DEFAULT : op->request.limit;
    return MIN(limit, (uint32_t)SCAN_LIMIT_MAX);
}

static void send_scan(struct core *core, struct coord_op *op, struct node_id reader)
{
    struct message *message = core_send(core, reader, MESSAGE_SCAN);
    message->scan.id = op->id;
    message->scan.range = op->epoch;
    message->scan.bucket = op->request.bucket;
    message->scan.from = op->cursor;
    if (op->cursor_key.size > 0) {
        message->scan.from_bucket = op->request.bucket;
        message->scan.from_key = buf_slice(&op->cursor_key);
    }
    message->scan.limit = limit_of(op) - op->result_count;
}

/* Ask up to COUNT readers of the present range that were not asked yet, this node first. */
static void ask(struct core *core, struct coord_op *op, uint32_t count)
{
    const struct range_record *record = op_record(core, op);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < record->slots_count && count > 0; i++) {
            struct node_id reader = slot_reader(&record->slots[i]);
            bool self = id_equal(reader, core->self);
            if (op->asked & 1u << i || id_none(reader) || self != (pass == 0) ||
                !core_is_up(core, reader))
                continue;
            op->asked |= (uint8_t)(1u << i);
            send_scan(core, op, reader);
            count--;
        }
    }
}

void scan_range(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    op->epoch = range_epoch_of(record);
    op->needed = op_needed(op->request.r, op->bucket.r, record_counted(record));
    op->asked = 0;
    for (uint32_t i = 0; i < SLOTS_MAX; i++) {
        buf_clear(&op->parts[i].bytes);
        op->parts[i].answered = false;
        op->parts[i].more = false;
    }
    ask(core, op, MAX(op->needed, (uint8_t)1));
}

void scan_start(struct core *core, struct coord_op *op)
{
    op->state = OP_SCANNING;
    op->parts = mem_zero(SLOTS_MAX * sizeof(*op->parts));
    op->cursor = op->request.cursor;
    buf_append(&op->cursor_key, op->request.key);
    op_schedule(core, op);
    scan_range(core, op);
}

void scan_retry(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        if (op->asked & 1u << i && !op->parts[i].answered && !id_none(reader))
            send_scan(core, op, reader);
    }
    ask(core, op, op->needed);
}

void scan_finish(struct core *core, struct coord_op *op, bool more)
{
    struct answer *out = op_answer(core, op, 0);
    out->got = op->needed;
    out->entries = core_alloc(core, (op->result_count + 1) * sizeof(*out->entries));
    struct reader reader = reader_of(buf_slice(&op->result));
    while (scan_entry_read(&reader, &out->entries[out->entries_count]))
        out->entries_count++;
    out->more = more;
    out->cursor = op->cursor;
    out->cursor_key = buf_slice(&op->cursor_key);
    op_free(core, op);
}

/* The cursor of each answered part, at its smallest remaining entry. */
struct merge {
    struct reader readers[SLOTS_MAX];
    struct entry heads[SLOTS_MAX];
    bool has[SLOTS_MAX];
};

/* Take the smallest entry of all parts, merged over those that have it. False at the end of any
 * part that has more: behind it this part may hold keys the others do not. */
static bool merge_next(struct merge *merge, const struct coord_op *op, struct entry *ret_entry,
                       struct buf *object)
{
    int first = -1;
    for (int i = 0; i < SLOTS_MAX; i++) {
        if (!merge->has[i] && op->parts[i].answered && op->parts[i].more)
            return false;
        if (merge->has[i] &&
            (first < 0 || scan_entry_compare(&merge->heads[i], &merge->heads[first]) < 0))
            first = i;
    }
    if (first < 0)
        return false;
    *ret_entry = merge->heads[first];
    buf_clear(object);
    for (int i = 0; i < SLOTS_MAX; i++) {
        if (!merge->has[i] || scan_entry_compare(&merge->heads[i], ret_entry) != 0)
            continue;
        struct buf merged = {0};
        object_merge(buf_slice(object), merge->heads[i].object, &merged);
        buf_done(object);
        *object = merged;
        merge->has[i] = scan_entry_read(&merge->readers[i], &merge->heads[i]);
    }
    ret_entry->object = buf_slice(object);
    return true;
}

/* Returns whether the range has more behind the cursor, which moves to the last entry taken. */
static bool take_range(struct coord_op *op)
{
    struct merge merge;
    for (uint32_t i = 0; i < SLOTS_MAX; i++) {
        merge.readers[i] = reader_of(buf_slice(&op->parts[i].bytes));
        merge.has[i] = op->parts[i].answered && scan_entry_read(&merge.readers[i], &merge.heads[i]);
    }
    struct entry entry;
    struct buf object = {0};
    bool full = false;
    while (!full && merge_next(&merge, op, &entry, &object)) {
        scan_entry_write(&op->result, &entry);
        op->result_count++;
        op->cursor = entry.hash;
        buf_clear(&op->cursor_key);
        buf_append(&op->cursor_key, entry.key);
        full = op->result_count >= limit_of(op) || op->result.size >= SCAN_RESULT_MAX;
    }
    buf_done(&object);
    bool more = full;
    for (uint32_t i = 0; i < SLOTS_MAX; i++)
        more = more || (op->parts[i].answered && op->parts[i].more);
    return more;
}

static void range_answered(struct core *core, struct coord_op *op)
{
    bool more = take_range(op);
    if (op->result_count >= limit_of(op) || op->result.size >= SCAN_RESULT_MAX) {
        scan_finish(core, op, true);
        return;
    }
    if (!more) {
        if (op->range + 1 == ring_ranges(&core->ring)) {
            scan_finish(core, op, false);
            return;
        }
        op->range++;
        op->cursor = range_first(op->range, core->ring.bits);
        buf_clear(&op->cursor_key);
    }
    scan_range(core, op);
}

/* A late answer to an earlier page repeats what was taken already. */
static bool is_ahead(const struct coord_op *op, const struct entry *entry)
{
    struct entry cursor = {op->cursor, op->request.bucket, buf_slice(&op->cursor_key), SLICE_NONE};
    return op->cursor_key.size == 0 || scan_entry_compare(entry, &cursor) > 0;
}

struct scan_part *scan_part_of(const struct core *core, const struct coord_op *op,
                               struct node_id from, const struct message *message)
{
    const struct range_record *record = op_record(core, op);
    if (range_epoch_compare(&message->reply.range, record) != 0)
        return NULL;
    const struct slot *slot = record_slot(record, message->reply.slot);
    if (slot == NULL || !id_equal(slot_reader(slot), from))
        return NULL;
    struct scan_part *part = &op->parts[slot - record->slots];
    return part->answered ? NULL : part;
}

void scan_reply(struct core *core, struct coord_op *op, struct node_id from,
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
    if (part == NULL)
        return;
    part->answered = true;
    part->more = message->reply.more;
    for (uint32_t i = 0; i < message->reply.entries_count; i++) {
        if (is_ahead(op, &message->reply.entries[i]))
            scan_entry_write(&part->bytes, &message->reply.entries[i]);
    }
    uint32_t got = 0;
    for (uint32_t i = 0; i < SLOTS_MAX; i++)
        got += op->parts[i].answered;
    if (got >= op->needed)
        range_answered(core, op);
}
