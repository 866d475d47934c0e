/* Puts and deletes: a new version is made here, goes to all writers of all slots, and is answered
 * when w slots have it. A slot has it when all its writers acknowledged under one epoch. */
#include "core/coord_op.h"

#include "base/rule.h"

enum { LINGER_US = 2000000 }; /* After the answer, for the slots that have not acknowledged yet. */

bool put_synced(const struct coord_op *op)
{
    return op->bucket.log_mode == LOG_ALWAYS || op->request.dw > 0 || op->bucket.dw > 0;
}

uint64_t put_ttl_ms(const struct coord_op *op)
{
    if (op->request.ttl_ms == UINT64_MAX)
        return 0;
    return op->request.ttl_ms == 0 ? op->bucket.ttl_ms : op->request.ttl_ms;
}

struct dot put_dot(struct core *core, struct coord_op *op)
{
    op->coord->counter += RULE(DOTS_RISE) || op->coord->counter == 0;
    uint64_t tenure = op->fallback ? hinted_tenure(&core->hinted, op->range, core->generation)
                                   : core->holdings[op->range].tenure;
    return (struct dot){actor_of(core->self, tenure), op->coord->counter};
}

void put_update(struct core *core, struct coord_op *op, struct slice context)
{
    struct range_epoch installed = range_epoch_of(&core->holdings[op->range].record);
    op->dot = put_dot(core, op);
    struct store_op *store =
        op_store(core, op, op->fallback ? STORE_HINT_UPDATE : STORE_UPDATE, &installed);
    if (op->fallback) {
        const struct slot *slots = op_record(core, op)->slots;
        store->slots = (uint8_t)(1u << slots[put_first_missing(core, op)].number);
    }
    store->sync = put_synced(op);
    store->renewed = op->renewed;
    store->deadline_us = op->deadline_us;
    store->update = (struct update){
        .dot = op->dot,
        .first = op->first,
        .hlc = core_hlc(core),
        .ttl_ms = put_ttl_ms(op),
        .drops = op->bucket.drops,
        .policy = op->bucket.policy,
        .tombstone = op->request.method == METHOD_DELETE,
        .blind = context.size == 0,
        .context = context,
        .type = op->request.type,
        .value = op->request.value,
    };
}

void put_remember(struct core *core, struct coord_op *op, bool success, uint32_t got, bool sloppy)
{
    if (op->request.client == 0)
        return;
    struct recent *recent = &op->coord->recent;
    struct recent_put *put = recent_find(recent, op->request.client, op->request.sequence);
    if (put == NULL || put->op != op->id)
        return;
    if (!success) {
        recent_remove(recent, op->request.client, op->request.sequence);
        return;
    }
    put->op = 0;
    put->hlc = op->hlc;
    put->needed = op->needed;
    put->got = (uint8_t)got;
    put->sloppy = sloppy;
    put->expires_us = MAX(put->expires_us, core->now.us);
}

void put_start(struct core *core, struct coord_op *op)
{
    if (!put_enough(core, op))
        return;
    uint64_t seen = 0;
    if (op->request.context.size > 0) {
        if (context_check(op->request.context, core->cluster.hash_seed, op->request.bucket,
                          op->request.key, &seen) < 0) {
            op_fail(core, op, ERR_BAD_CONTEXT,
                    slice_string("the context is not of a read of this key, or is damaged"));
            return;
        }
        if (RULE(HLC_ABOVE_CONTEXT) && !core_hlc_seen(core, seen)) {
            op_fail(core, op, ERR_CLOCK_SKEW,
                    slice_string("the context is stamped ahead of this node's clock"));
            return;
        }
    }
    /* Retries that came before this node served the range wait, like the first, until it does. */
    if (put_is_retry(core, op))
        return;
    if (op->request.client != 0 &&
        recent_find(&op->coord->recent, op->request.client, op->request.sequence) == NULL)
        recent_add(&op->coord->recent, op->request.client, op->request.sequence, op->id,
                   core->now.us, core->now.us + 2 * op->given_us);
    op->state = OP_STORING;
    op_schedule(core, op);
    put_update(core, op, op->request.context);
}

/* What the other writers get is all that is here, not just the new version: a vector entry stands
 * for all earlier dots of its actor, so whoever has one of them must have those before it too. */
void put_take_object(struct coord_op *op, const struct store_done *done)
{
    buf_clear(&op->object);
    if (RULE(MERGED_OBJECT_SENT)) {
        buf_append(&op->object, done->object);
        return;
    }
    struct update alone = {.dot = op->dot,
                           .hlc = done->hlc,
                           .policy = op->bucket.policy,
                           .tombstone = op->request.method == METHOD_DELETE,
                           .context = op->request.context,
                           .value = op->request.value};
    ASSERT(object_update(SLICE_NONE, &alone, &op->object, NULL) == 0);
}

void put_stored(struct core *core, struct coord_op *op, const struct store_done *done)
{
    if (done->type == STORE_UPDATE && done->error == ERR_UNREADABLE && !op->renewed) {
        put_unreadable(core, op);
        return;
    }
    /* Writes come faster than the disk takes them: who asks is to go no faster either. The hints of
     * others have a bound of their own, and another fallback may have room. */
    if (done->error == ERR_BUSY && !op->fallback) {
        op->busy = true;
        return;
    }
    if (op->revived) {
        put_revived(core, op, done);
        return;
    }
    bool late = op->rewritten && done->error == ERR_CONFLICT;
    if (op->rewritten && done->error < 0 && !late) {
        order_refused(core, op, done->error);
        return;
    }
    if (done->type == STORE_MERGE || late) {
        order_merged(core, op, done);
        return;
    }
    if (done->error == ERR_WRONG_EPOCH) {
        op_route(core, op);
        return;
    }
    if (done->error < 0) {
        put_remember(core, op, false, 0, false);
        if (!op->answered)
            op_refused(core, op, done->error);
        return;
    }
    /* News to our own clock, unless above a version from far ahead: the object keeps its order. */
    (void)core_hlc_seen(core, done->hlc);
    op->hlc = done->hlc;
    op->renewed = false; /* What is made here may be lost in its turn. */
    op->left = false;
    put_take_object(op, done);
    put_write(core, op, done->position);
}

void put_write(struct core *core, struct coord_op *op, uint64_t position)
{
    op->local = !RULE(COORD_COUNTS_SYNCED);
    op->state = OP_WRITING;
    core_when_durable(core, position, put_synced(op), token_of(OWNER_COORD, op->id));
    if (stands_allowed(op) && core->members.count > op_record(core, op)->slots_count) {
        op->hedge_at_us = core->now.us + core->timing.hedge_us;
        op_schedule(core, op);
    }
    put_restart(core, op);
}

void put_restart(struct core *core, struct coord_op *op)
{
    op->epoch = range_epoch_of(op_record(core, op));
    if (RULE(NEEDED_NOW))
        op->needed = put_needed(core, op);
    op->left = op->left || record_slot_written_by(op_record(core, op), core->self) == NULL;
    if (RULE(ACKS_OF_ONE_EPOCH))
        memset(op->acked, 0, sizeof(op->acked));
    stands_reset(op);
    put_send(core, op);
}

static void send_write(struct core *core, struct coord_op *op, struct node_id node, uint8_t slot,
                       bool with_record)
{
    struct message *message = op_send(core, op, MESSAGE_WRITE, node, slot);
    message->write.object = buf_slice(&op->object);
    message->write.sync = op->request.dw > 0 || op->bucket.dw > 0;
    /* An edit that changed nothing has others take in what is held here, however old. */
    message->write.repair = op->request.method == METHOD_EDIT && !op->made;
    if (with_record) {
        message->write.has_record = true;
        message->write.record = *op_record(core, op);
    }
}

/* For an operation that was stored before a newer record was installed: what is in our log stays
 * ours while every record names us a writer, so our own acknowledgement carries over. Once one did
 * not, the clean-up may have dropped it. */
static void mark_local(const struct core *core, struct coord_op *op, uint32_t slot, uint32_t writer,
                       struct node_id node)
{
    if (op->local && !op->left && !op->fallback && id_equal(node, core->self))
        op->acked[slot] |= (uint8_t)(1u << writer);
}

static void count(struct core *core, struct coord_op *op);

void put_send(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id writers[2];
        uint32_t writers_count = slot_writers(&record->slots[i], writers);
        for (uint32_t k = 0; k < writers_count; k++) {
            mark_local(core, op, i, k, writers[k]);
            /* What a fallback has is in its hint: as a writer it takes the version like others. */
            bool own = id_equal(writers[k], core->self) && !op->fallback;
            if (!(op->acked[i] & 1u << k) && !own && core_is_up(core, writers[k]))
                send_write(core, op, writers[k], record->slots[i].number, false);
        }
    }
    stands_send(core, op);
    count(core, op);
}

void put_hedge(struct core *core, struct coord_op *op)
{
    if (op->answered)
        return;
    core->counters.hedges++;
    op->hedged = true;
    stands_send(core, op);
}

void put_again(struct core *core, struct coord_op *op)
{
    bool serves = op_serves(core, op->range);
    if (op->revived && serves)
        put_merge(core, op, buf_slice(&op->object));
    else if (op->revived)
        put_revived(core, op, &(struct store_done){.error = ERR_WRONG_EPOCH});
    else if (op->rewritten && serves)
        order_rewrite(core, op);
    else if (op->rewritten)
        order_refused(core, op, ERR_WRONG_EPOCH);
    else if (serves)
        put_update(core, op, op->request.context);
    else
        op_route(core, op); /* The range has moved away meanwhile; nothing was written yet. */
}

static void answer(struct core *core, struct coord_op *op, uint32_t got, bool sloppy)
{
    put_remember(core, op, true, got, sloppy);
    struct answer *out = op_answer(core, op, 0);
    out->got = (uint8_t)got;
    out->sloppy = sloppy;
    core->counters.sloppy += sloppy;
    op->hedge_at_us = 0;
    out->hlc = op->hlc;
    out->object = buf_slice(&op->object);
    out->outcome = op->outcome;
    out->earlier = buf_slice(&op->earlier);
    op->deadline_us = MIN(op->deadline_us, core->now.us + LINGER_US);
    op_schedule(core, op);
}

/* Was the client told TIMEOUT? Then a retry may come, which is to find this very version. */
static bool awaits_retry(const struct coord_op *op)
{
    if (op->request.client == 0)
        return false;
    const struct recent_put *put =
        recent_find(&op->coord->recent, op->request.client, op->request.sequence);
    return put != NULL && put->op == op->id;
}

/* Answer at w slots; forget the operation once nobody is left to hear from. */
static void count(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    uint32_t strict;
    uint32_t got = put_got(core, op, &strict);
    bool open = !op->local || stands_waiting(op);
    bool missing = false;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id writers[2];
        uint32_t writers_count = slot_writers(&record->slots[i], writers);
        for (uint32_t k = 0; k < writers_count; k++) {
            bool lacks = !(op->acked[i] & 1u << k);
            missing = missing || (lacks && !stands_have(op, i, k));
            open = open || (lacks && core_is_up(core, writers[k]));
        }
    }
    if (!op->answered && got >= op->needed) {
        if (order_saw_later(op)) {
            order_behind(core, op);
            return;
        }
        answer(core, op, got, strict < op->needed || order_unsure(op));
    }
    if (op->answered && !open && !awaits_retry(op)) {
        if (missing)
            put_give_up(core, op);
        else
            op_free(core, op);
    }
}

void put_give_up(struct core *core, struct coord_op *op)
{
    core_signal(core, SIGNAL_DIRTY)->range = op->range;
    op_free(core, op);
}

void put_durable(struct core *core, struct coord_op *op)
{
    if (op->state != OP_WRITING)
        return;
    op->local = true;
    const struct range_record *record = op_record(core, op);
    for (uint32_t i = 0; i < record->slots_count; i++) {
        struct node_id writers[2];
        uint32_t writers_count = slot_writers(&record->slots[i], writers);
        for (uint32_t k = 0; k < writers_count; k++)
            mark_local(core, op, i, k, writers[k]);
    }
    count(core, op);
}

void put_reply(struct core *core, struct coord_op *op, struct node_id from,
               const struct message *message)
{
    const struct range_record *record = op_record(core, op);
    if (stands_reply(core, op, from, message)) {
        count(core, op);
        return;
    }
    if (message->reply.error == ERR_WRONG_EPOCH && !message->reply.has_record) {
        /* The writer is behind us: bring it the record with the write. */
        if (record_has_member(record, from))
            send_write(core, op, from, message->reply.slot, true);
        return;
    }
    if (message->reply.error == ERR_CLOCK_SKEW)
        (void)core_hlc_seen(core, message->reply.hlc); /* What is put from now on is late enough. */
    bool counts = range_epoch_compare(&message->reply.range, record) == 0;
    if (message->reply.error < 0 || (RULE(ACKS_OF_ONE_EPOCH) && !counts) ||
        range_epoch_compare(&op->epoch, record) != 0)
        return; /* Asked again at the retry interval, or when the newer record is taken in. */
    for (uint32_t i = 0; i < record->slots_count; i++) {
        if (record->slots[i].number != message->reply.slot)
            continue;
        struct node_id writers[2];
        uint32_t writers_count = slot_writers(&record->slots[i], writers);
        for (uint32_t k = 0; k < writers_count; k++) {
            if (id_equal(writers[k], from))
                op->acked[i] |= (uint8_t)(1u << k);
        }
    }
    /* It has a version with a later stamp than any that was sent to it, ours among them. */
    if (message->reply.object.size > 0) {
        struct buf merged = {0};
        object_merge(buf_slice(&op->later), message->reply.object, &merged);
        buf_done(&op->later);
        op->later = merged;
    }
    count(core, op);
}
