/* Which moves of the plan begin, and how: the driver offers a move to its target, and once that has
 * accepted proposes the record under which the slot is on its way. */
#include "core/transfer_state.h"

enum {
    OFFER_RETRY_US = 10000, /* After a first refusal; twice as long after each further one, */
    OFFER_DOUBLINGS = 4,
};

const struct plan_move *drive_next_move(const struct transfers *transfers, const struct core *core,
                                        uint32_t range)
{
    if (transfers->plan.id == 0 || transfers->plan.state != PLAN_RUNNING)
        return NULL;
    const struct plan *plan = &transfers->plan;
    const struct plan_move *move = plan_next_move(plan, &core->ring, range);
    const struct plan_move *end = plan->moves + plan->count;
    while (move != NULL && transfers_overtaken(core, move)) {
        do
            move++;
        while (move < end && move->range == range &&
               plan_move_fate(move, ring_get(&core->ring, range)) != PLAN_MOVE_OPEN);
        if (move == end || move->range != range)
            move = NULL;
    }
    return move;
}

static uint32_t offers_to(const struct transfers *transfers, struct node_id node)
{
    uint32_t offers = 0;
    for (const struct drive *drive = transfers->actives; drive != NULL; drive = drive->active_next)
        offers += id_equal(drive->move.to, node);
    return offers;
}

bool drive_has_room(const struct transfers *transfers, struct node_id node)
{
    return transfers->active < DRIVES_MAX && offers_to(transfers, node) < INBOUND_MAX;
}

static void send_offer(struct core *core, struct drive *drive)
{
    struct message *message = core_send(core, drive->move.to, MESSAGE_OFFER);
    message->offer.transfer = drive->offered;
    message->offer.range = drive->epoch;
    message->offer.slot = drive->move.slot;
    message->offer.rate = drive->transfers->plan.rate;
}

void drive_start(struct transfers *transfers, struct core *core, struct drive *drive,
                 const struct plan_move *move)
{
    const struct range_record *record = held_record(core, drive->range);
    const struct slot *slot = record_slot(record, move->slot);
    if (id_none(move->to)) {
        /* The last copy is never given up, whatever the plan says. */
        if (slot != NULL && slot->stage == STAGE_STABLE && record_counted(record) > 1) {
            drive->given_up = record->epoch + 1;
            drive_propose_stage(core, drive->range, slot, STAGE_FENCE);
        }
        return;
    }
    if (record->former_count + 1 >= FORMER_MAX) {
        drive_note(drive, "waits for the clean-up of earlier copies");
        return;
    }
    if (record_has_member(record, move->to)) {
        drive_note(drive, "the target holds another slot of the range");
        return;
    }
    if (!core_is_up(core, move->to)) {
        drive_note(drive, "the target is down");
        drive_set_active(transfers, drive, false);
        core_timer_set(core, &drive->timer, core->now.us + core->timing.gossip_us);
        return;
    }
    if (!drive->active && !drive_has_room(transfers, move->to))
        return; /* drive_pump comes back. */
    drive->move = *move;
    drive_set_active(transfers, drive, true);
    if (drive->offered == 0)
        drive->offered = prng_next(&core->prng) | 1;
    send_offer(core, drive);
    core_timer_set(core, &drive->timer, core->now.us + core->timing.retry_us);
}

static void accepted(struct core *core, struct drive *drive)
{
    struct range_record *next = drive_successor(core, drive->range);
    next->transfer = drive->offered;
    record_remove_former(next, drive->move.to);
    struct slot *slot = record_slot_in(next, drive->move.slot);
    if (slot != NULL) {
        bool fenced = slot->stage == STAGE_FENCE;
        if (!fenced && member_departed(&core->members, slot->owner))
            return; /* Lost between offer and answer: to be fenced first. */
        slot->stage = fenced ? STAGE_REBUILD : STAGE_JOINT;
        slot->target = drive->move.to;
    } else {
        uint32_t at = next->slots_count++;
        for (; at > 0 && next->slots[at - 1].number > drive->move.slot; at--)
            next->slots[at] = next->slots[at - 1];
        next->slots[at] = (struct slot){
            .number = drive->move.slot, .stage = STAGE_LEARN, .target = drive->move.to};
    }
    drive_propose(core, next);
}

void drive_answered(struct transfers *transfers, struct core *core, struct node_id from,
                    const struct message *message)
{
    struct drive *drive = map_get(&transfers->drives, (uint64_t)message->offer.range.range + 1);
    if (drive == NULL || drive->offered == 0 || message->offer.transfer != drive->offered ||
        !id_equal(from, drive->move.to) || !core->holdings[drive->range].durable ||
        range_epoch_compare(&message->offer.range, held_record(core, drive->range)) != 0)
        return;
    if (message->type == MESSAGE_ACCEPT) {
        accepted(core, drive);
        core_timer_set(core, &drive->timer, core->now.us + core->timing.retry_us);
        return;
    }
    size_t size = MIN(message->offer.detail.size, sizeof(drive->note) - 1);
    memcpy(drive->note, message->offer.detail.data, size);
    drive->note[size] = '\0';
    drive_set_active(transfers, drive, false);
    drive->offered = 0;
    uint64_t pause = (uint64_t)OFFER_RETRY_US << MIN(drive->refused, (uint32_t)OFFER_DOUBLINGS);
    drive->refused++;
    core_timer_set(core, &drive->timer, core->now.us + pause + prng_below(&core->prng, pause));
}

void drive_pump(struct transfers *transfers, struct core *core, uint32_t looks)
{
    const struct plan *plan = &transfers->plan;
    if (core->holdings == NULL || plan->id == 0 || plan->state != PLAN_RUNNING)
        return;
    looks = MIN(looks, plan->count);
    for (uint32_t i = 0; i < looks && transfers->active < DRIVES_MAX; i++) {
        if (transfers->plan_cursor >= plan->count)
            transfers->plan_cursor = 0;
        const struct plan_move *move = &plan->moves[transfers->plan_cursor++];
        bool known =
            move->range < ring_ranges(&core->ring) && core->holdings[move->range].record.epoch > 0;
        if (!known || (!id_none(move->to) && !drive_has_room(transfers, move->to)))
            continue;
        const struct drive *drive = map_get(&transfers->drives, (uint64_t)move->range + 1);
        if (drive == NULL || !drive->active)
            drive_range(transfers, core, move->range);
    }
}
