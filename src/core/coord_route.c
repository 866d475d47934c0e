/* Who coordinates a request: this node, or another to whom it is handed. A put or edit that may
 * have been sent is never handed to a second one; a get may be tried elsewhere. */
#include "core/coord_op.h"

#include "base/rule.h"

/* Does this node run OP itself? Edits are run by the reader of the lowest slot alone. */
static bool runs(const struct core *core, const struct coord_op *op)
{
    return op_serves(core, op->range) &&
           (op->request.method != METHOD_EDIT || !RULE(EDIT_AT_LOWEST) ||
            id_equal(record_driver(op_record(core, op)), core->self));
}

/* Will this node run OP, once it is ready? */
static bool may_run(const struct core *core, const struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    return op->request.method == METHOD_EDIT ? id_equal(record_driver(record), core->self)
                                             : record_slot_read_by(record, core->self) != NULL;
}

/* The first live reader other than this node that may run OP, lowest slot first. */
static struct node_id find_reader(struct core *core, const struct coord_op *op)
{
    if (op->request.method == METHOD_EDIT) {
        struct node_id lowest = record_driver(op_record(core, op));
        bool usable = !id_none(lowest) && !id_equal(lowest, core->self) && core_is_up(core, lowest);
        return usable ? lowest : NODE_NONE;
    }
    struct node_id readers[SLOTS_MAX];
    uint32_t count = ring_readers(&core->ring, op->range, readers, SLOTS_MAX);
    struct node_id second = NODE_NONE;
    for (uint32_t i = 0; i < count; i++) {
        if (id_equal(readers[i], core->self) || !core_is_up(core, readers[i]))
            continue;
        if (!id_equal(readers[i], op->avoid))
            return readers[i];
        second = readers[i];
    }
    return second;
}

void op_wait(struct core *core, struct coord_op *op, uint64_t delay_us)
{
    op->state = OP_WAITING;
    op->waits = (uint8_t)MIN(op->waits + 1, UINT8_MAX);
    op->retry_at_us = core->now.us + delay_us;
    op_schedule(core, op);
}

static void forward(struct core *core, struct coord_op *op, struct node_id target, bool fallback)
{
    op->state = OP_FORWARDED;
    op->target = target;
    op->to_fallback = fallback;
    op->epoch = range_epoch_of(op_record(core, op));
    struct message *message = core_send(core, target, MESSAGE_FORWARD);
    message->forward.id = op->id;
    message->forward.hops = (uint8_t)(op->hops + 1);
    message->forward.deadline = op->deadline;
    message->forward.range = op->epoch;
    message->forward.request = op->request;
    message->forward.fallback = fallback;
    core->counters.forwards++;
    /* A get may be tried elsewhere; a put that may have been sent never is. */
    op->retry_at_us =
        op->request.method == METHOD_GET ? core->now.us + 5 * core->timing.retry_us : UINT64_MAX;
    op_schedule(core, op);
}

/* Where the own clock is off, another reader stamps the put, if there is one. */
static bool leaves_stamping(struct core *core, const struct coord_op *op)
{
    return request_writes(&op->request) && !op->remote && core_skew_ms(core) != 0 &&
           !id_none(find_reader(core, op));
}

/* As a reader that serves the range, else as a fallback. */
static void coordinate(struct core *core, struct coord_op *op)
{
    uint32_t slots = record_counted(op_record(core, op));
    op->fallback = !op_serves(core, op->range);
    if (op->request.method == METHOD_EDIT) {
        edit_start(core, op);
    } else if (op->request.method == METHOD_GET) {
        op->needed = op_needed(op->request.r, op->bucket.r, slots);
        get_start(core, op);
    } else {
        op->needed = put_needed(core, op);
        core->counters.fallback_puts += op->fallback;
        put_start(core, op);
    }
}

void op_route(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    op->epoch = range_epoch_of(record);
    if (op->request.method == METHOD_SCAN) {
        scan_start(core, op);
        return;
    }
    op->fallback = false;
    bool serves = runs(core, op) && !leaves_stamping(core, op);
    if (serves || fallback_coordinates(core, op)) {
        coordinate(core, op);
        return;
    }
    if (RULE(HOPS_BOUNDED) && op->remote &&
        (op->hops >= HOPS_MAX || range_epoch_compare(&op->came_with, record) >= 0)) {
        /* Only along rising epochs, or a request could circle between two stale nodes. */
        op_fail(core, op, may_run(core, op) ? ERR_NOT_READY : ERR_WRONG_EPOCH,
                slice_string("this node does not serve the range"));
        return;
    }
    struct node_id target = record->epoch == 0 ? NODE_NONE : find_reader(core, op);
    struct node_id fallback;
    if (fallback_route(core, op, target, &fallback)) {
        if (id_equal(fallback, core->self))
            coordinate(core, op);
        else
            forward(core, op, fallback, true);
    } else if (!id_none(target)) {
        forward(core, op, target, false);
    } else if (record->epoch == 0 || may_run(core, op)) {
        /* Just started: the ring, or a majority's welcome, is still on its way. */
        op_wait(core, op, core->timing.retry_us / 4);
    } else if (op->request.method == METHOD_EDIT) {
        op_fail(core, op, ERR_UNAVAILABLE,
                core_printf(core,
                            "the reader of the lowest slot of range %u cannot be reached, and it "
                            "alone runs what is atomic",
                            op->range));
    } else {
        op_fail(core, op, ERR_UNAVAILABLE,
                core_printf(core, "none of the %u readers of range %u can be reached%s",
                            record_counted(record), op->range,
                            op->request.strict ? "; the request is strict"
                                               : ", nor a node that stands in"));
    }
}
