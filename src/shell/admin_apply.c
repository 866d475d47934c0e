/* `apply`, `move` and the methods that pause, resume and cancel: change the plan under way.
 *
 * The plan is one setting; each change is conditional on the counter it was read under, so that two
 * administrators never overwrite each other's plan unseen. */
#include "base/checksum.h"
#include "shell/admin_methods.h"

#include <stdlib.h>

/* Make PLAN the cluster's. */
static bool plan_set(struct admin_call *call, const struct plan *plan, uint64_t counter)
{
    struct buf value = {0};
    plan_encode(plan, &value);
    if (value.size > SETTING_VALUE_SIZE_MAX) {
        buf_done(&value);
        return admin_refuse(call, ERR_TOO_LARGE, "the plan has too many moves");
    }
    admin_set(call, plan_name(), buf_slice(&value), counter);
    buf_done(&value);
    return true;
}

/* Unlike any plan before: the counter has not been used by this node. */
static uint64_t plan_id(const struct core *core, uint64_t counter)
{
    uint64_t words[4] = {core->self.hi, core->self.lo, core->generation, counter};
    uint64_t id = checksum64(slice_of(words, sizeof(words)), 0);
    return id == 0 ? 1 : id;
}

static void plan_write(struct admin_call *call, const struct plan *plan, uint32_t done,
                       uint64_t counter)
{
    struct plan_progress progress = {.plan = *plan, .counter = counter, .done = done};
    mp_write_text(call->out, "plan");
    plan_progress_write(call->out, &progress);
}

static bool read_node(struct mp_reader *reader, struct node_id *ret_id)
{
    *ret_id = NODE_NONE;
    if (mp_take_nil(reader))
        return true;
    return id_parse(mp_read_bytes(reader), ret_id) == 0;
}

/* Is MOVE possible as the ring is now? */
static bool move_check(struct admin_call *call, const struct plan_move *move)
{
    const struct core *core = call->core;
    if (move->range >= ring_ranges(&core->ring) || move->slot >= core->cluster.copies ||
        (id_none(move->from) && id_none(move->to)))
        return admin_refuse(call, ERR_BAD_REQUEST, "there is no slot %u.%u to move", move->range,
                            move->slot);
    if (!id_none(move->to) && member_find(&core->members, move->to) == NULL)
        return admin_refuse(call, ERR_NOT_MEMBER, "the target of %u.%u is no member", move->range,
                            move->slot);
    const struct range_record *record = ring_get(&core->ring, move->range);
    const struct slot *slot = record_slot(record, move->slot);
    /* A fenced slot is still its lost owner's. */
    struct node_id holder = slot == NULL                 ? NODE_NONE
                            : slot->stage == STAGE_FENCE ? slot->owner
                                                         : slot_reader(slot);
    if (!id_equal(holder, move->from))
        return admin_refuse(call, ERR_REFUSED,
                            "slot %u.%u has moved since the plan was made: plan again", move->range,
                            move->slot);
    if (id_none(move->to) && record_counted(record) == 1)
        return admin_refuse(call, ERR_REFUSED, "slot %u.%u is the only copy of its range",
                            move->range, move->slot);
    return true;
}

static int by_place(const void *a, const void *b)
{
    const struct plan_move *one = a;
    const struct plan_move *two = b;
    if (one->range != two->range)
        return one->range < two->range ? -1 : 1;
    return (one->slot > two->slot) - (one->slot < two->slot);
}

static bool moves_read(struct admin_call *call, struct plan *plan)
{
    struct mp_reader reader = mp_reader_of(call->params.texts[PARAM_MOVES]);
    uint32_t count = mp_read_array(&reader);
    if (count == 0)
        return admin_refuse(call, ERR_BAD_REQUEST, "there are no moves to make");
    if (count > ring_ranges(&call->core->ring) * SLOTS_MAX)
        return admin_refuse(call, ERR_TOO_LARGE, "there are more moves than slots");
    plan->moves = mem_zero(count * sizeof(*plan->moves));
    for (uint32_t i = 0; i < count; i++) {
        struct plan_move *move = &plan->moves[i];
        bool good = mp_read_array(&reader) == 4;
        uint64_t range = mp_read_uint(&reader);
        uint64_t slot = mp_read_uint(&reader);
        good = good && read_node(&reader, &move->from) && read_node(&reader, &move->to);
        if (!good || reader.bad || range > UINT32_MAX || slot > UINT8_MAX)
            return admin_refuse(call, ERR_BAD_REQUEST,
                                "a move must be [range, slot, from, to] as `plan` returns it");
        move->range = (uint32_t)range;
        move->slot = (uint8_t)slot;
        if (!move_check(call, move))
            return false;
        plan->count++;
    }
    qsort(plan->moves, plan->count, sizeof(*plan->moves), by_place);
    for (uint32_t i = 1; i < plan->count; i++) {
        if (by_place(&plan->moves[i - 1], &plan->moves[i]) == 0)
            return admin_refuse(call, ERR_BAD_REQUEST, "slot %u.%u is moved twice",
                                plan->moves[i].range, plan->moves[i].slot);
    }
    return true;
}

bool method_apply(struct admin_call *call)
{
    if (!admin_joined(call))
        return false;
    struct plan_progress progress;
    plan_progress_load(call->core, &progress);
    uint64_t counter = call->params.numbers[PARAM_COUNTER];
    bool done = plan_idle(call, &progress);
    if (done && counter != progress.counter)
        done = admin_refuse(call, ERR_REFUSED,
                            "somebody else has changed the plan meanwhile: plan again");
    plan_progress_done(&progress);
    struct plan plan = {.state = PLAN_RUNNING, .rate = call->params.numbers[PARAM_RATE]};
    plan.id = plan_id(call->core, counter);
    done = done && moves_read(call, &plan);
    if (done) {
        mp_write_map(call->out, 1);
        plan_write(call, &plan, 0, counter + 1);
        done = plan_set(call, &plan, counter);
    }
    plan_done(&plan);
    return done;
}

/* Give the plan under way another state. */
static bool plan_state_set(struct admin_call *call, enum plan_state state)
{
    struct plan_progress progress;
    plan_progress_load(call->core, &progress);
    bool done = true;
    if (plan_progress_left(&progress) == 0) {
        done = admin_refuse(call, ERR_REFUSED, "no plan is under way");
    } else {
        progress.plan.state = state;
        mp_write_map(call->out, 1);
        plan_write(call, &progress.plan, progress.done, progress.counter + 1);
        if (call->params.numbers[PARAM_DRY_RUN] == 0)
            done = plan_set(call, &progress.plan, progress.counter);
    }
    plan_progress_done(&progress);
    return done;
}

bool method_pause(struct admin_call *call)
{
    return admin_joined(call) && plan_state_set(call, PLAN_PAUSED);
}

bool method_resume(struct admin_call *call)
{
    return admin_joined(call) && plan_state_set(call, PLAN_RUNNING);
}

bool method_cancel(struct admin_call *call)
{
    return admin_joined(call) && plan_state_set(call, PLAN_CANCELLED);
}

/* ---------------------------------------------------------------------------------- move. */

/* The one move that `move` asks for, checked against the ring. */
static bool move_read(struct admin_call *call, struct plan_move *ret_move)
{
    const struct core *core = call->core;
    const struct member *to = NULL;
    uint64_t range = call->params.numbers[PARAM_RANGE];
    uint64_t number = call->params.numbers[PARAM_SLOT];
    if (range >= ring_ranges(&core->ring))
        return admin_refuse(call, ERR_BAD_REQUEST, "the ranges are 0 to %u",
                            ring_ranges(&core->ring) - 1);
    if (number >= core->cluster.copies)
        return admin_refuse(call, ERR_BAD_REQUEST, "the slots of a range are 0 to %u",
                            core->cluster.copies - 1U);
    if (!admin_member(call, PARAM_NODE, &to))
        return false;
    const struct range_record *record = ring_get(&core->ring, (uint32_t)range);
    if (record->epoch == 0)
        return admin_refuse(call, ERR_NOT_READY, "this node does not know range %u yet",
                            (uint32_t)range);
    if (!core->peer_is_up(core, to->id))
        return admin_refuse(call, ERR_UNAVAILABLE, "%.*s is down", (int)to->name.size,
                            (const char *)to->name.data);
    if (to->status == MEMBER_MAINTENANCE || member_leaving(core, to->id))
        return admin_refuse(call, ERR_REFUSED, "%.*s is leaving or stopping", (int)to->name.size,
                            (const char *)to->name.data);
    if (record_has_member(record, to->id))
        return admin_refuse(call, ERR_REFUSED, "%.*s holds a slot of range %u already",
                            (int)to->name.size, (const char *)to->name.data, (uint32_t)range);
    const struct slot *slot = record_slot(record, (uint32_t)number);
    *ret_move = (struct plan_move){.range = (uint32_t)range,
                                   .slot = (uint8_t)number,
                                   .from = slot == NULL ? NODE_NONE : slot_reader(slot),
                                   .to = to->id};
    return true;
}

/* Add MOVE to PLAN in its place. */
static void move_insert(struct plan *plan, const struct plan_move *move)
{
    plan->moves = mem_grow(plan->moves, (plan->count + 1) * sizeof(*plan->moves));
    uint32_t at = plan->count;
    while (at > 0 && by_place(move, &plan->moves[at - 1]) < 0)
        at--;
    memmove(&plan->moves[at + 1], &plan->moves[at], (plan->count - at) * sizeof(*plan->moves));
    plan->moves[at] = *move;
    plan->count++;
}

/* Refuse a second move of a slot within one plan: which came first could not be told. */
static bool move_new(struct admin_call *call, const struct plan *plan, const struct plan_move *move)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        if (by_place(&plan->moves[i], move) == 0)
            return admin_refuse(call, ERR_REFUSED,
                                "the plan under way moves slot %u.%u itself; wait for it",
                                move->range, move->slot);
    }
    return true;
}

bool method_move(struct admin_call *call)
{
    struct plan_move move;
    if (!admin_joined(call) || !move_read(call, &move))
        return false;
    struct plan_progress progress;
    plan_progress_load(call->core, &progress);
    struct plan *plan = &progress.plan;
    if (plan_progress_left(&progress) == 0) { /* None under way: a plan of its own. */
        plan_done(plan);
        *plan = (struct plan){.id = plan_id(call->core, progress.counter)};
        progress.done = 0;
    }
    if (param_given(&call->params, PARAM_RATE))
        plan->rate = call->params.numbers[PARAM_RATE];
    bool done = move_new(call, plan, &move);
    if (done) {
        move_insert(plan, &move);
        mp_write_map(call->out, 3);
        plan_write(call, plan, progress.done, progress.counter + 1);
        moves_write(call->out, &move, 1);
        put_id(call->out, "from", move.from);
        if (call->params.numbers[PARAM_DRY_RUN] == 0)
            done = plan_set(call, plan, progress.counter);
    }
    plan_progress_done(&progress);
    return done;
}
