/* Gets: r readers are asked under one epoch, this node first; what differs is merged, the answer
 * goes out, and then the stale replicas are given what they lack (read repair; Dynamo section 5).
 * Where r readers cannot be reached, fallbacks that hold a hint of the key count as well.
 * Now and then all readers are asked, so that those beyond r are repaired as well. */
#include "core/coord_op.h"

#include "base/rule.h"

enum {
    DIGEST_SIZE_MIN = 1024, /* From this size on a digest is asked for before the object. */
    HEDGE_US_MIN = 2000,    /* Asking one more costs more than so short a wait. */
    LINGER_US = 1000000,    /* For answers that come after ours, to repair by. */
    ALL_ONE_IN = 32,        /* Gets that ask all readers. */
};

static uint32_t readers_answered(const struct coord_op *op)
{
    return (uint32_t)__builtin_popcount(op->got);
}

uint32_t get_got(const struct coord_op *op)
{
    return readers_answered(op) + stands_found(op);
}

uint32_t get_ask(struct core *core, struct coord_op *op, uint32_t count)
{
    const struct range_record *record = op_record(core, op);
    uint32_t asked = 0;
    uint64_t slow_us = 0;
    for (uint32_t i = 0; i < record->slots_count && asked < count; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        if (op->asked & 1u << i || id_none(reader) || id_equal(reader, core->self) ||
            !core_is_up(core, reader))
            continue;
        op->asked |= (uint8_t)(1u << i);
        op_send(core, op, MESSAGE_READ, reader, record->slots[i].number)->write.digest =
            op->digests;
        slow_us = MAX(slow_us, core->peer_p99_us(core, reader));
        asked++;
    }
    if (asked > 0) {
        op->asked_us = core->now.us;
        if (op->hedge_at_us == 0)
            op->hedge_at_us = core->now.us + (slow_us == 0 ? core->timing.hedge_us
                                                           : MAX(slow_us, (uint64_t)HEDGE_US_MIN));
    }
    op_schedule(core, op);
    return asked;
}

static void send_repair(struct core *core, struct coord_op *op, const struct slot *slot)
{
    struct node_id writers[2];
    uint32_t count = slot_writers(slot, writers);
    for (uint32_t k = 0; k < count; k++) {
        if (id_equal(writers[k], core->self)) {
            op_store(core, op, STORE_MERGE, &op->epoch)->object = buf_slice(&op->object);
            continue;
        }
        struct message *message = op_send(core, op, MESSAGE_WRITE, writers[k], slot->number);
        message->write.object = buf_slice(&op->object);
        message->write.repair = true;
    }
    core->counters.read_repairs++;
}

void get_finish(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    bool current = range_epoch_compare(&op->epoch, record) == 0;
    for (uint32_t i = 0; current && i < record->slots_count; i++) {
        if (op->stale & 1u << i)
            send_repair(core, op, &record->slots[i]);
    }
    op_free(core, op);
}

/* Answer at r; go on to the repair when nobody is left to hear from. */
static void progress(struct core *core, struct coord_op *op)
{
    if (op->heals) {
        if (readers_answered(op) >= op->needed)
            heal_finish(core, op);
        return;
    }
    if (!op->answered && get_got(op) >= op->needed) {
        struct answer *out = op_answer(core, op, 0);
        out->got = (uint8_t)get_got(op);
        out->sloppy = readers_answered(op) < op->needed;
        core->counters.sloppy += out->sloppy;
        out->object = buf_slice(&op->object);
        op->deadline_us = MIN(op->deadline_us, core->now.us + LINGER_US);
        op_schedule(core, op);
    }
    if (op->answered && op->asked == op->got)
        get_finish(core, op);
}

/* Readers that are up. */
static uint32_t readers_up(const struct core *core, const struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    uint32_t up = 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        up += !id_none(reader) && core_is_up(core, reader);
    }
    return up;
}

static void unavailable(struct core *core, struct coord_op *op, uint32_t reached)
{
    const char *strict = "; the request is strict";
    const char *sloppy = "; no other node holds a hint of the key";
    op_fail(core, op, ERR_UNAVAILABLE,
            core_printf(core, "%u of %u needed copies of range %u can be reached%s", reached,
                        op->needed, op->range, op->request.strict ? strict : sloppy));
}

/* A fallback has answered that it holds nothing of the key, or cannot tell. Does anybody else come
 * into question? */
static void judge_fallbacks(struct core *core, struct coord_op *op)
{
    uint32_t reached = readers_up(core, op) + stands_found(op);
    if (!op->answered && !stands_waiting(op) && reached < op->needed)
        unavailable(core, op, reached);
}

static void read_own(struct core *core, struct coord_op *op)
{
    op->reading = true;
    op_store(core, op, STORE_READ, NULL);
}

void get_start(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    op->state = OP_READING;
    op->needed = op_needed(op->request.r, op->bucket.r, record_counted(record));
    op->asked = 0;
    op->got = 0;
    op->stale = 0;
    op->local = false;
    op->reading_late += op->reading;
    op->reading = false;
    op->digests = false;
    buf_clear(&op->object);
    stands_reset(op);
    uint32_t up = readers_up(core, op);
    if (up < op->needed && stands_ask(core, op) == 0) {
        unavailable(core, op, up);
        return;
    }
    op->fallback = op->fallback && !op_serves(core, op->range);
    if (!op_serves(core, op->range)) {
        get_ask(core, op, op->needed);
        return;
    }
    op_schedule(core, op);
    read_own(core, op);
}

/* Merge in what the slot of BIT has, and note who lacks something of the whole. */
static void take_object(struct coord_op *op, uint8_t bit, struct slice object)
{
    if (slice_equal(buf_slice(&op->object), object))
        return; /* As nearly always. */
    if (op->object.size == 0) {
        op->stale |= op->got;
        buf_append(&op->object, object);
        return;
    }
    struct buf merged = {0};
    int same = object_merge(buf_slice(&op->object), object, &merged);
    if (!(same & MERGE_SAME_A))
        op->stale |= op->got;
    if (!(same & MERGE_SAME_B))
        op->stale |= bit;
    buf_done(&op->object);
    op->object = merged;
}

static uint32_t others_up(const struct core *core, const struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    uint32_t up = 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        up += !id_none(reader) && !id_equal(reader, core->self) && core_is_up(core, reader);
    }
    return up;
}

void get_stored(struct core *core, struct coord_op *op, const struct store_done *done)
{
    if (op->reading_late > 0 && RULE(READS_OF_ONE_EPOCH)) { /* In order, as all of one key. */
        op->reading_late--;
        return;
    }
    op->reading = false;
    if (op->state != OP_READING || op->local)
        return;
    const struct range_record *record = op_record(core, op);
    const struct slot *slot = record_slot_read_by(record, core->self);
    /* A newer record may have come meanwhile, for which this node is not ready yet. */
    if (done->error == 0 && slot != NULL && op_serves(core, op->range)) {
        /* A retry may have asked others meanwhile, and one of them have answered. */
        uint8_t bit = (uint8_t)(1u << (slot - record->slots));
        take_object(op, bit, done->object);
        op->local = true;
        op->got |= bit;
        op->asked |= bit;
        op->digests = op->object.size >= DIGEST_SIZE_MIN;
    }
    /* UNREADABLE here counts as silence, and is the answer where the others are too few to go round
     * it and to heal it; the second time, for it may have been healed meanwhile. */
    bool again = op->unreadable;
    op->unreadable = done->error == ERR_UNREADABLE;
    uint32_t up = others_up(core, op);
    if (again && op->unreadable && !op->answered && up < op->needed &&
        up < MAX(heal_needed(core, record), (uint8_t)1)) {
        op_fail(core, op, ERR_UNREADABLE,
                core_printf(core,
                            "the copy of this node is damaged, and %u other%s of range %u can be "
                            "reached",
                            up, up == 1 ? "" : "s", op->range));
        return;
    }
    uint32_t wanted = op->needed - MIN(readers_answered(op), (uint32_t)op->needed);
    if (prng_below(&core->prng, ALL_ONE_IN) == 0)
        wanted = SLOTS_MAX;
    if (wanted > 0)
        get_ask(core, op, wanted);
    progress(core, op);
}

void get_hedge(struct core *core, struct coord_op *op)
{
    core->counters.hedges += get_ask(core, op, 1);
}

void get_retry(struct core *core, struct coord_op *op)
{
    if (op->answered)
        return;
    const struct range_record *record = op_record(core, op);
    uint32_t again = op->asked & ~(uint32_t)op->got;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id reader = slot_reader(&record->slots[i]);
        if (again & 1u << i && !id_none(reader) && !id_equal(reader, core->self))
            op_send(core, op, MESSAGE_READ, reader, record->slots[i].number)->write.digest =
                op->digests;
    }
    /* Damaged, it may be healed meanwhile; and this node may not have served before. */
    if (!op->local && !op->reading && op_serves(core, op->range))
        read_own(core, op);
    get_ask(core, op, op->needed);
    /* Readers that are said to be up, and silent: with what others keep it may be enough. */
    stands_ask(core, op);
}

static bool digest_matches(const struct coord_op *op, uint64_t digest)
{
    return digest ==
           object_digest(op->hash, op->request.bucket, op->request.key, buf_slice(&op->object));
}

void get_reply(struct core *core, struct coord_op *op, struct node_id from,
               const struct message *message)
{
    const struct range_record *record = op_record(core, op);
    if (range_epoch_compare(&op->epoch, record) != 0)
        return; /* Started again when the newer record is taken in. */
    bool found;
    if (stands_answer(op, from, message, &found)) {
        if (found) {
            take_object(op, 0, message->reply.object);
            progress(core, op);
        } else {
            judge_fallbacks(core, op);
        }
        return;
    }
    if (message->reply.error == ERR_WRONG_EPOCH && !message->reply.has_record &&
        record_has_member(record, from)) {
        struct message *again = op_send(core, op, MESSAGE_READ, from, message->reply.slot);
        again->write.digest = op->digests;
        again->write.has_record = true;
        again->write.record = *record;
        return;
    }
    if (message->reply.error < 0) {
        if (!op->answered)
            get_ask(core, op, 1);
        return;
    }
    if (RULE(READS_OF_ONE_EPOCH) && range_epoch_compare(&message->reply.range, record) != 0)
        return;
    const struct slot *slot = record_slot(record, message->reply.slot);
    if (slot == NULL || !id_equal(slot_reader(slot), from))
        return;
    uint8_t bit = (uint8_t)(1u << (slot - record->slots));
    if (op->got & bit)
        return;
    if (message->reply.digest != 0 || (op->digests && message->reply.object.size == 0)) {
        if (!digest_matches(op, message->reply.digest)) {
            op_send(core, op, MESSAGE_READ, from, message->reply.slot);
            op->digests = false; /* Whoever is asked from now on sends the object. */
            return;
        }
    } else {
        take_object(op, bit, message->reply.object);
    }
    op->got |= bit;
    core->peer_answered(core, from, core->now.us - op->asked_us);
    progress(core, op);
}
