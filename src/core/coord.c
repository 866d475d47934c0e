#include "core/coord_op.h"

#include "base/rule.h"

enum {
    DEADLINE_DEFAULT_MS = 5000,
    FORWARD_KEPT_MS =
        60000, /* A node that cannot judge its clock may take one for alive so long. */
    OP_BYTES_MAX = 512 * 1024 * 1024, /* Of all operations of a node. */
    SPARES_MAX = 512,                 /* Ended operations kept for the next ones, */
    SPARE_CAPACITY_MAX = 2048,        /* and of each of their buffers so much. */
};

void coord_init(struct coord *coord, uint32_t active_max, const struct core *core)
{
    /* No id of an earlier life comes again: answers to it may still be on their way. */
    *coord =
        (struct coord){.active_max = active_max,
                       .ids_next = (core->generation << 40 & 0x00ffffffffffffffu) | core->shard,
                       .ids_step = core->shards};
}

static void op_delete(struct coord_op *op)
{
    buf_done(&op->memory);
    buf_done(&op->object);
    mem_free(op);
}

void coord_done(struct coord *coord, struct core *core)
{
    while (coord->newest != NULL)
        op_free(core, coord->newest);
    coord_sweep(coord);
    for (struct coord_op *op; (op = coord->spares) != NULL;) {
        coord->spares = op->next_freed;
        op_delete(op);
    }
    recent_done(&coord->recent);
    recent_done(&coord->forwarded);
    map_done(&coord->ops);
}

/* ----------------------------------------------------------------------- Life of an operation. */

static size_t op_bytes(const struct coord_op *op)
{
    return sizeof(*op) + op->memory.capacity;
}

static void op_timer(struct core *core, void *machine, struct timer *timer);

static struct slice keep(struct buf *memory, struct slice bytes)
{
    size_t at = memory->size;
    buf_append(memory, bytes);
    return slice_of(memory->data + at, bytes.size);
}

struct coord_op *op_new(struct coord *coord, struct core *core, const struct request *request)
{
    struct coord_op *op = coord->spares;
    if (op != NULL) {
        coord->spares = op->next_freed;
        coord->spares_count--;
        op->next_freed = NULL;
    } else {
        op = mem_zero(sizeof(*op));
    }
    op->coord = coord;
    op->id = coord->ids_next += coord->ids_step;
    op->began_us = core->now.us;
    op->older = coord->newest;
    if (op->older != NULL)
        op->older->newer = op;
    coord->newest = op;
    map_put(&coord->ops, op->id, op);
    coord->active++;
    core->counters.in_flight = coord->active;

    op->request = *request;
    buf_reserve(&op->memory, request->bucket.size + request->key.size + request->value.size +
                                 request->type.size + request->context.size + 1);
    op->request.bucket = keep(&op->memory, request->bucket);
    op->request.key = keep(&op->memory, request->key);
    op->request.value = keep(&op->memory, request->value);
    op->request.type = keep(&op->memory, request->type);
    op->request.context = keep(&op->memory, request->context);
    coord->bytes += op_bytes(op);
    op->timer.fire = op_timer;
    op->timer.machine = op;
    op->hash = key_hash(core->cluster.hash_seed, op->request.bucket, op->request.key);
    op->range = range_of(op->hash, core->ring.bits);
    return op;
}

void op_free(struct core *core, struct coord_op *op)
{
    struct coord *coord = op->coord;
    if (!op->answered)
        coord->active--;
    core->counters.in_flight = coord->active;
    coord->bytes -= op_bytes(op);
    if (op->newer != NULL)
        op->newer->older = op->older;
    else
        coord->newest = op->older;
    if (op->older != NULL)
        op->older->newer = op->newer;
    map_remove(&coord->ops, op->id);
    core_timer_clear(core, &op->timer);
    op->next_freed = coord->freed;
    coord->freed = op;
}

/* Keep OP, which has ended, for the next one: as good as new, but for the memory it has. */
static void op_recycle(struct coord *coord, struct coord_op *op)
{
    struct coord_op fresh = {.memory = op->memory, .object = op->object};
    if (fresh.memory.capacity > SPARE_CAPACITY_MAX)
        buf_done(&fresh.memory);
    if (fresh.object.capacity > SPARE_CAPACITY_MAX)
        buf_done(&fresh.object);
    buf_clear(&fresh.memory);
    buf_clear(&fresh.object);
    fresh.next_freed = coord->spares;
    *op = fresh;
    coord->spares = op;
    coord->spares_count++;
}

void coord_sweep(struct coord *coord)
{
    while (coord->freed != NULL) {
        struct coord_op *op = coord->freed;
        coord->freed = op->next_freed;
        buf_done(&op->later);
        mem_free(op->stands);
        buf_done(&op->earlier);
        scan_free(op);
        if (RECYCLES && coord->spares_count < SPARES_MAX)
            op_recycle(coord, op);
        else
            op_delete(op);
    }
}

void op_rename(struct coord_op *op)
{
    struct coord *coord = op->coord;
    struct recent_put *put = recent_find(&coord->recent, op->request.client, op->request.sequence);
    map_remove(&coord->ops, op->id);
    op->id = coord->ids_next += coord->ids_step;
    map_put(&coord->ops, op->id, op);
    if (put != NULL && op->request.client != 0)
        put->op = op->id;
}

void op_swap_askers(struct coord_op *a, struct coord_op *b)
{
    struct coord_op was = *a;
    a->client = b->client;
    a->remote = b->remote;
    a->from = b->from;
    a->from_id = b->from_id;
    a->came_with = b->came_with;
    b->client = was.client;
    b->remote = was.remote;
    b->from = was.from;
    b->from_id = was.from_id;
    b->came_with = was.came_with;
}

struct answer *op_answer(struct core *core, struct coord_op *op, int error)
{
    ASSERT(!op->answered);
    op->answered = true;
    op->coord->active--;
    core->counters.in_flight = op->coord->active;
    struct answer *answer;
    if (op->remote) {
        struct message *message = core_send(core, op->from, MESSAGE_ANSWER);
        message->answer.id = op->from_id;
        const struct range_record *record = op_record(core, op);
        /* Whoever came with an older record goes away with the newer one. */
        if (range_epoch_compare(&op->came_with, record) < 0) {
            message->answer.has_record = true;
            message->answer.record = *record;
        }
        answer = &message->answer.answer;
        answer->coordinator = core->self;
        answer->copies = core->cluster.copies;
    } else {
        answer = core_reply(core, op->client);
    }
    const struct range_record *record = op_record(core, op);
    answer->error = error;
    answer->needed = op->needed;
    answer->slots = (uint8_t)record_counted(record);
    answer->range = op->range;
    answer->epoch = record->epoch;
    answer->drops = op->bucket.drops;
    answer->hlc = core_hlc_now(core);
    if (error == 0 && op->request.method != METHOD_SCAN)
        pace_answered(&core->pace, core->now.us - op->began_us);
    core->counters.unavailable += error == ERR_UNAVAILABLE;
    core->counters.timeouts += error == ERR_TIMEOUT;
    core->counters.busy += error == ERR_BUSY;
    return answer;
}

void op_fail(struct core *core, struct coord_op *op, int error, struct slice detail)
{
    op_answer(core, op, error)->detail = detail;
    op_free(core, op);
}

void op_refused(struct core *core, struct coord_op *op, int error)
{
    const char *words = "this node's store refused the write";
    if (error == ERR_TOO_MANY_SIBLINGS)
        words = "the key has as many siblings as are allowed";
    else if (error == ERR_BUSY)
        words = "writes come faster than this node's disk takes them";
    op_fail(core, op, error, slice_string(words));
}

void op_schedule(struct core *core, struct coord_op *op)
{
    uint64_t at = MIN(op->deadline_us, op->retry_at_us);
    if (op->hedge_at_us != 0)
        at = MIN(at, op->hedge_at_us);
    core_timer_set(core, &op->timer, at);
}

struct store_op *op_store(struct core *core, const struct coord_op *op, enum store_op_type type,
                          const struct range_epoch *under)
{
    const struct range_epoch none = {.range = op->range};
    struct store_op *store =
        core_store_under(core, type, token_of(OWNER_COORD, op->id), under == NULL ? none : *under);
    store->hash = op->hash;
    store->bucket = op->request.bucket;
    store->key = op->request.key;
    return store;
}

struct message *op_send(struct core *core, struct coord_op *op, enum message_type type,
                        struct node_id node, uint8_t slot)
{
    struct message *message = core_send(core, node, type);
    message->write.id = op->id;
    message->write.range = op->epoch;
    message->write.slot = slot;
    message->write.target = node;
    message->write.deadline = op->deadline;
    message->write.bucket = op->request.bucket;
    message->write.key = op->request.key;
    return message;
}

/* ------------------------------------------------------------------------------------- Timer. */

static void op_timer(struct core *core, void *machine, struct timer *timer)
{
    (void)timer;
    struct coord_op *op = machine;
    if (core->now.us >= op->deadline_us) {
        if (op->heals)
            op_free(core, op); /* The store tells of the key again. */
        else if (op->answered && op->state == OP_READING)
            get_finish(core, op);
        else if (op->answered)
            put_give_up(core, op);
        else
            op_deadline_passed(core, op);
        return;
    }
    if (op->hedge_at_us != 0 && core->now.us >= op->hedge_at_us) {
        op->hedge_at_us = 0;
        if (op->state == OP_READING)
            get_hedge(core, op);
        else if (op->state == OP_WRITING)
            put_hedge(core, op);
        op_schedule(core, op);
        return;
    }
    op->retry_at_us = core->now.us + core->timing.retry_us;
    op_schedule(core, op);
    switch (op->state) {
    case OP_WAITING:
        op_route(core, op);
        break;
    case OP_FORWARDED:
        op->avoid = op->target;
        fallback_refused(op);
        op_route(core, op);
        break;
    case OP_WRITING:
        put_send(core, op);
        break;
    case OP_READING:
        get_retry(core, op);
        break;
    case OP_SCANNING:
        if (op->heals)
            hole_retry(core, op);
        else
            scan_retry(core, op);
        break;
    case OP_ASKING:
        edit_retry(core, op);
        break;
    case OP_STORING:
        if (op->busy) {
            op->busy = false;
            if (op->request.method == METHOD_EDIT)
                op_route(core, op);
            else
                put_again(core, op);
        }
        break;
    case OP_MERGING:
        if (op->heals && op->busy)
            hole_again(core, op);
        break;
    }
}

/* ------------------------------------------------------------------------------ Requests come. */

static void refuse(struct core *core, struct coord_op *op)
{
    int size = (int)MIN(op->request.bucket.size, (size_t)BUCKET_SIZE_MAX);
    op_fail(core, op, ERR_UNKNOWN_BUCKET,
            core_printf(core, "there is no bucket '%.*s'", size,
                        (const char *)op->request.bucket.data));
}

static uint32_t asked_ms(const struct core *core, const struct request *request)
{
    uint32_t asked = request->deadline_ms == 0 ? DEADLINE_DEFAULT_MS : request->deadline_ms;
    return MIN(asked, core->timing.deadline_ms);
}

static void begin(struct core *core, struct coord_op *op, uint64_t left_ms)
{
    op->given_us = (uint64_t)asked_ms(core, &op->request) * 1000;
    op->deadline = hlc_at(core->now.wall_ms + left_ms);
    op->deadline_us = core->now.us + left_ms * 1000;
    op->retry_at_us = core->now.us + core->timing.retry_us;
    op->request.strict |= op->request.method == METHOD_EDIT;
    if (op->request.method == METHOD_SCAN)
        op->range = range_of(op->request.cursor, core->ring.bits);
    core->counters.gets += op->request.method == METHOD_GET;
    core->counters.puts += op->request.method == METHOD_PUT;
    core->counters.deletes += op->request.method == METHOD_DELETE;
    core->counters.scans += op->request.method == METHOD_SCAN;
    core->counters.edits += op->request.method == METHOD_EDIT;
    if (op->coord->active > op->coord->active_max || op->coord->bytes > OP_BYTES_MAX) {
        op_fail(core, op, ERR_BUSY,
                core_printf(core, "%u requests are in flight at this node", op->coord->active));
        return;
    }
    if (op->coord->draining) {
        op_fail(core, op, ERR_UNAVAILABLE, slice_string("this node is stopping"));
        return;
    }
    if (bucket_find(&core->settings, op->request.bucket, &op->bucket) < 0) {
        refuse(core, op);
        return;
    }
    if (request_writes(&op->request) && op->request.method != METHOD_EDIT && put_is_retry(core, op))
        return;
    op_route(core, op);
}

void coord_request(struct coord *coord, struct core *core, uint64_t client,
                   const struct request *request)
{
    struct coord_op *op = op_new(coord, core, request);
    op->client = client;
    begin(core, op, asked_ms(core, request));
}

static void on_forward(struct coord *coord, struct core *core, struct node_id from,
                       const struct message *message)
{
    uint64_t left_ms = MIN(
        core_left_ms(core, message->forward.deadline, request_writes(&message->forward.request)),
        (uint64_t)core->timing.deadline_ms);
    if (left_ms == 0)
        return; /* Nobody waits for it any more. */
    if (RULE(FORWARD_ONCE) && request_writes(&message->forward.request)) {
        /* A put takes effect once, and a refusal stands, however often the message comes; past its
         * deadline too, which a clock that cannot be judged may not see. */
        uint64_t entry = from.hi ^ from.lo;
        if (recent_find(&coord->forwarded, entry, message->forward.id) != NULL)
            return;
        recent_add(&coord->forwarded, entry, message->forward.id, 0, core->now.us,
                   core->now.us + (uint64_t)FORWARD_KEPT_MS * 1000);
    }
    struct coord_op *op = op_new(coord, core, &message->forward.request);
    op->remote = true;
    op->from = from;
    op->from_id = message->forward.id;
    op->hops = message->forward.hops;
    op->came_with = message->forward.range;
    op->asked_as_fallback = message->forward.fallback;
    begin(core, op, left_ms);
}

static void take_record(struct core *core, bool has_record, const struct range_record *record)
{
    if (has_record && record->range < ring_ranges(&core->ring) && ring_merge(&core->ring, record))
        core_signal(core, SIGNAL_RECORD)->range = record->range;
}

static void on_answer(struct coord *coord, struct core *core, struct node_id from,
                      const struct message *message)
{
    take_record(core, message->answer.has_record, &message->answer.record);
    struct coord_op *op = map_get(&coord->ops, message->answer.id);
    if (op == NULL || op->state != OP_FORWARDED || !id_equal(op->target, from))
        return;
    const struct answer *answer = &message->answer.answer;
    bool full = op->to_fallback && (answer->error == ERR_BUSY || answer->error == ERR_DISK_FULL ||
                                    answer->error == ERR_UNREADABLE);
    if (answer->error == ERR_WRONG_EPOCH || answer->error == ERR_NOT_READY || full) {
        /* It did nothing, so another may. At once when we learnt something, else a little later. */
        op->avoid = op->target;
        fallback_refused(op);
        if (range_epoch_compare(&op->epoch, op_record(core, op)) < 0)
            op_route(core, op);
        else
            op_wait(core, op, core->timing.retry_us / 8);
        return;
    }
    struct answer *out = op_answer(core, op, answer->error);
    *out = *answer;
    op_free(core, op);
}

static void on_reply(struct coord *coord, struct core *core, struct node_id from,
                     const struct message *message)
{
    take_record(core, message->reply.has_record, &message->reply.record);
    struct coord_op *op = map_get(&coord->ops, message->reply.id);
    if (op == NULL)
        return;
    if (op->state == OP_WRITING)
        put_reply(core, op, from, message);
    else if (op->state == OP_READING)
        get_reply(core, op, from, message);
    else if (op->state == OP_SCANNING && op->heals)
        hole_reply(core, op, from, message);
    else if (op->state == OP_SCANNING)
        scan_reply(core, op, from, message);
    else if (op->state == OP_ASKING)
        edit_reply(core, op, from, message);
}

void coord_message(struct coord *coord, struct core *core, struct node_id from,
                   const struct message *message)
{
    if (message->type == MESSAGE_FORWARD)
        on_forward(coord, core, from, message);
    else if (message->type == MESSAGE_ANSWER)
        on_answer(coord, core, from, message);
    else if (message->type == MESSAGE_REPLY)
        on_reply(coord, core, from, message);
}

void coord_stored(struct coord *coord, struct core *core, const struct store_done *done)
{
    struct coord_op *op = map_get(&coord->ops, token_value(done->token));
    if (op == NULL)
        return; /* Its deadline passed first. */
    if (op->request.method == METHOD_SCAN)
        hole_stored(core, op, done);
    else if (op->request.method == METHOD_EDIT)
        edit_stored(core, op, done);
    else if (done->type == STORE_READ)
        get_stored(core, op, done);
    else
        put_stored(core, op, done);
}

void coord_durable(struct coord *coord, struct core *core, uint64_t token)
{
    struct coord_op *op = map_get(&coord->ops, token_value(token));
    if (op != NULL)
        put_durable(core, op);
}
