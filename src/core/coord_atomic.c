/* Edits: requests that read, decide and write as one step (docs/decisions/0014).
 *
 * The reader of the range's lowest slot alone runs them, in three rounds under one record: it asks
 * the other nodes what they hold, until a quorum of slots and all writers of its own slot have
 * answered, and merges that into its own copy; the store applies the edit to what is then there, in
 * one step of the key; and what stands afterwards, changed or not, is written to all, until a
 * quorum has it on disk. Only then is the outcome told. (Where nothing stands, not so much as a
 * tombstone, there is nothing to write, and the first round has told all.) So:
 * - edits of a key take effect one after another, in the order of their store steps, and each is
 *   told what all before it left, on a quorum's disks;
 * - an edit that begins after another was answered sees it, under whatever record: a quorum of one
 *   record and a quorum of the next share a slot, and that slot's state moved with it;
 * - a node that is the lowest reader by an old record alone finds no quorum to answer it, or to
 *   acknowledge. What it has stored then has an unknown outcome, and must not come out on top of
 *   what its successor does: its stamp was fixed before it asked, whoever answered has moved its
 *   own clock past that, and a successor begins only when stamps of before its time have passed.
 *
 * What faults do here:
 * - a crash before the store step: nothing happened; whoever handed the request on says TIMEOUT;
 * - a crash after it: the edit took effect if a quorum, or this node's disk, kept it; never twice;
 * - a lost message: asked and written again at the retry interval, until the deadline: UNAVAILABLE
 *   before the store step, TIMEOUT after it;
 * - a repeated message: answers are bits by slot and writer; a FORWARD that comes twice is passed
 *   over (coord.c), and an edit is never handed to a second node;
 * - a newer record: before the store step all begins anew, perhaps elsewhere. After it the version
 *   is written under the next record if this node still runs the range's edits by it; else nobody
 *   may count on it, for another may have decided without it: TIMEOUT. */
#include "core/coord_op.h"

#include "base/rule.h"
#include "core/buckets.h"

enum { DIGEST_SIZE_MIN = 1024 }; /* From this size on a digest is asked for before the object. */

/* ------------------------------------------------------------------------------- Asking. */

static void send_read(struct core *core, struct coord_op *op, struct node_id node, uint8_t slot,
                      bool digest)
{
    struct message *message = op_send(core, op, MESSAGE_READ, node, slot);
    message->write.stamp = op->stamp;
    message->write.digest = digest;
}

static void ask(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id writers[2];
        uint32_t count = slot_writers(&record->slots[i], writers);
        for (uint32_t k = 0; k < count; k++) {
            if (!(op->acked[i] & 1u << k) && !id_equal(writers[k], core->self) &&
                core_is_up(core, writers[k]))
                send_read(core, op, writers[k], record->slots[i].number, op->digests);
        }
    }
}

/* Not until stamps that an earlier owner, or an earlier life of this node, may have given are
 * behind the clock. */
static uint64_t settled_us(const struct core *core, uint32_t range)
{
    const struct holding *holding = &core->holdings[range];
    bool first_life = core->generation == 1;
    if (!RULE(EDIT_STAMP_KNOWN) || (first_life && holding->record.epoch == 1))
        return 0;
    return MAX(holding->leads_us, first_life ? 0 : core->started_us) + core_stamps_settle_us(core);
}

void edit_start(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    uint64_t settled = settled_us(core, op->range);
    op->needed = put_needed(core, op);
    if (!put_enough(core, op))
        return;
    if (core->now.us < settled) {
        op->state = OP_WAITING;
        op->retry_at_us = settled;
        op_schedule(core, op);
        return;
    }
    op_rename(op); /* What answers an earlier attempt says nothing of this one. */
    op->epoch = range_epoch_of(record);
    op->state = OP_ASKING;
    op->stamp = core_hlc(core);
    op->made = false;
    op->local = false;
    op->digests = false;
    memset(op->acked, 0, sizeof(op->acked));
    buf_clear(&op->object);
    op->retry_at_us = core->now.us + core->timing.retry_us;
    op_schedule(core, op);
    op_store(core, op, STORE_READ, NULL);
}

void edit_retry(struct core *core, struct coord_op *op)
{
    if (op->local)
        ask(core, op);
}

/* --------------------------------------------------------------------- Merging, storing. */

static struct store_op *submit(struct core *core, struct coord_op *op, enum store_op_type type)
{
    struct store_op *store = op_store(core, op, type, &op->epoch);
    store->sync = put_synced(op);
    store->deadline_us = op->deadline_us;
    return store;
}

static struct update update_of(struct core *core, struct coord_op *op)
{
    op->dot = put_dot(core, op);
    return (struct update){
        .dot = op->dot,
        .hlc = op->stamp,
        .ttl_ms = put_ttl_ms(op),
        .drops = op->bucket.drops,
        .policy = op->bucket.policy,
        .tombstone = op->request.edit.kind == EDIT_DELETE,
        .context = op->request.context,
        .type = op->request.type,
        .value = op->request.value,
        .edit = &op->request.edit,
        .now = MAX(core->hlc, hlc_at(core->now.wall_ms)),
    };
}

/* The mutation: the edit is made of what was read, as if nothing could have come between. */
static void merge_made(struct core *core, struct coord_op *op)
{
    const struct update update = update_of(core, op);
    struct edited edited;
    struct buf made = {0};
    if (object_edit(buf_slice(&op->object), &update, &core->out->arena, &made, &edited) < 0) {
        op_route(core, op);
    } else {
        op->outcome = (uint8_t)edited.outcome;
        op->made = edited.changed;
        op->state = OP_STORING;
        struct slice object = edited.changed ? buf_slice(&made) : buf_slice(&op->object);
        submit(core, op, STORE_MERGE)->object = core_copy(core, object);
    }
    buf_done(&made);
}

static void store_edit(struct core *core, struct coord_op *op)
{
    op->state = OP_STORING;
    submit(core, op, STORE_UPDATE)->update = update_of(core, op);
}

static bool is_current(const struct core *core, const struct coord_op *op)
{
    return range_epoch_compare(&op->epoch, op_record(core, op)) == 0;
}

/* A slot counts when it has a reader, and all its writers have answered. */
static bool answered(const struct coord_op *op, uint32_t index, const struct slot *slot)
{
    struct node_id writers[2];
    uint32_t count = slot_writers(slot, writers);
    return !id_none(slot_reader(slot)) && op->acked[index] == (1u << count) - 1;
}

static void mark(struct core *core, struct coord_op *op, struct node_id node)
{
    const struct range_record *record = op_record(core, op);
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id writers[2];
        uint32_t count = slot_writers(&record->slots[i], writers);
        for (uint32_t k = 0; k < count; k++)
            if (id_equal(writers[k], node))
                op->acked[i] |= (uint8_t)(1u << k);
    }
}

/* How many slots have answered; RET_OWN: this node's among them? */
static uint32_t count_answered(const struct core *core, const struct coord_op *op, bool *ret_own)
{
    const struct range_record *record = op_record(core, op);
    uint32_t got = 0;
    *ret_own = false;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        if (!answered(op, i, &record->slots[i]))
            continue;
        got++;
        *ret_own = *ret_own || id_equal(slot_reader(&record->slots[i]), core->self);
    }
    return got;
}

/* Go on once enough have answered. */
static void progress(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    bool own;
    uint32_t got = count_answered(core, op, &own);
    if (RULE(EDIT_READS_QUORUM) ? !own || got < record_quorum(record) : !op->local)
        return;
    if (!RULE(EDIT_IN_ONE_STEP)) {
        merge_made(core, op);
        return;
    }
    op->state = OP_MERGING;
    submit(core, op, STORE_MERGE)->object = buf_slice(&op->object);
}

static void take_object(struct coord_op *op, struct slice object)
{
    struct buf merged = {0};
    object_merge(buf_slice(&op->object), object, &merged);
    buf_done(&op->object);
    op->object = merged;
}

static void read_stored(struct core *core, struct coord_op *op, const struct store_done *done)
{
    if (done->error < 0) {
        op_fail(core, op, done->error, slice_string("this node cannot read its copy"));
        return;
    }
    if (!is_current(core, op)) {
        op_route(core, op);
        return;
    }
    take_object(op, done->object);
    op->local = true;
    op->digests = op->object.size >= DIGEST_SIZE_MIN;
    mark(core, op, core->self);
    ask(core, op);
    progress(core, op);
}

/* May a version that was stored under OP's record be written under the present one? Only if nobody
 * else can have run an edit meanwhile. */
static bool may_go_on(const struct core *core, const struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    bool next = record->fork == op->epoch.fork && record->nonce == op->epoch.nonce &&
                record->epoch == op->epoch.epoch + 1 && id_equal(record_driver(record), core->self);
    return is_current(core, op) || next || !RULE(EDIT_OF_ONE_EPOCH);
}

static void give_up(struct core *core, struct coord_op *op)
{
    core_signal(core, SIGNAL_DIRTY)->range = op->range;
    op_fail(core, op, ERR_TIMEOUT,
            slice_string("the range moved before enough copies had acknowledged; the write may "
                         "still take effect"));
}

/* Nothing was changed, and nothing is there: no version that others might not have yet. A quorum
 * said so under this record, so this is what every edit before it left. */
static void answer_nothing(struct core *core, struct coord_op *op)
{
    bool own;
    struct answer *answer = op_answer(core, op, 0);
    answer->got = (uint8_t)count_answered(core, op, &own);
    answer->needed = (uint8_t)record_quorum(op_record(core, op));
    answer->outcome = op->outcome;
    op_free(core, op);
}

static void refuse(struct core *core, struct coord_op *op, const struct store_done *done)
{
    bool stamped_higher = done->error == ERR_CONFLICT;
    if (done->error == ERR_WRONG_EPOCH ||
        (stamped_higher && core_hlc_seen(core, object_hlc(done->object))))
        op_route(core, op); /* Nothing was changed: under the newer record, or a later stamp. */
    else if (stamped_higher)
        op_fail(core, op, ERR_CLOCK_SKEW,
                slice_string("what is stored is stamped ahead of this node's clock"));
    else if (done->error == ERR_BUSY)
        op->busy = true;
    else
        op_refused(core, op, done->error);
}

/* The edit was applied. */
static void applied(struct core *core, struct coord_op *op, const struct store_done *done)
{
    if (done->type == STORE_UPDATE) {
        op->outcome = (uint8_t)done->outcome;
        op->made = done->changed;
    }
    bool nothing = !op->made && done->object.size == 0;
    if (nothing && is_current(core, op)) {
        answer_nothing(core, op);
        return;
    }
    op->hlc = op->made ? op->stamp : object_hlc(done->object);
    buf_clear(&op->object);
    buf_append(&op->object, done->object);
    buf_clear(&op->earlier);
    buf_append(&op->earlier, done->earlier);
    memset(op->acked, 0, sizeof(op->acked));
    op_rename(op); /* Who still answers what was asked has not acknowledged what is written. */
    if (!nothing && may_go_on(core, op))
        put_write(core, op, done->position);
    else if (op->made)
        give_up(core, op);
    else
        op_route(core, op);
}

void edit_stored(struct core *core, struct coord_op *op, const struct store_done *done)
{
    if (op->state == OP_ASKING && done->type == STORE_READ)
        read_stored(core, op, done);
    else if (done->error < 0)
        refuse(core, op, done);
    else if (op->state == OP_STORING)
        applied(core, op, done);
    else if (op->state == OP_MERGING && is_current(core, op) && op->stamp > core->floor_kept)
        store_edit(core, op);
    else if (op->state == OP_MERGING)
        op_route(core, op); /* Or its stamp has become too old to be given. */
}

/* ----------------------------------------------------------------------- What others say. */

static bool digest_matches(const struct coord_op *op, uint64_t digest)
{
    return digest ==
           object_digest(op->hash, op->request.bucket, op->request.key, buf_slice(&op->object));
}

void edit_reply(struct core *core, struct coord_op *op, struct node_id from,
                const struct message *message)
{
    const struct range_record *record = op_record(core, op);
    if (!is_current(core, op))
        return; /* Begun again when the newer record is taken in. */
    if (message->reply.error == ERR_WRONG_EPOCH && !message->reply.has_record &&
        record_has_member(record, from)) {
        struct message *again = op_send(core, op, MESSAGE_READ, from, message->reply.slot);
        again->write.stamp = op->stamp;
        again->write.has_record = true;
        again->write.record = *record;
        return;
    }
    if (message->reply.error < 0 || range_epoch_compare(&message->reply.range, record) != 0)
        return; /* Asked again at the retry interval. */
    if (!core_hlc_seen(core, message->reply.hlc))
        return; /* Stamped ahead of our clock: it may have promised what we could not keep. */
    bool digest = message->reply.digest != 0 || (op->digests && message->reply.object.size == 0);
    if (digest && !digest_matches(op, message->reply.digest)) {
        send_read(core, op, from, message->reply.slot, false);
        op->digests = false; /* Whoever is asked from now on sends the object. */
        return;
    }
    if (!digest)
        take_object(op, message->reply.object);
    mark(core, op, from);
    progress(core, op);
}

void edit_record(struct core *core, struct coord_op *op)
{
    if (op->answered || (op->made && may_go_on(core, op)))
        put_restart(core, op);
    else if (op->made)
        give_up(core, op);
    else
        op_route(core, op); /* Nothing was changed. */
}
