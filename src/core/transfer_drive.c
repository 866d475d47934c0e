/* The driver of a range: takes its slots from stage to stage, each only on the facts that the stage
 * table asks for. */
#include "core/transfer_state.h"

#include "base/rule.h"

#include <stdio.h>

const struct slot *moving_slot(const struct range_record *record)
{
    const struct slot *fenced = NULL;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        enum stage stage = record->slots[i].stage;
        if (stage != STAGE_STABLE && stage != STAGE_FENCE)
            return &record->slots[i];
        if (stage == STAGE_FENCE)
            fenced = &record->slots[i];
    }
    return fenced;
}

/* The reader of the lowest slot; when it is missing, the next voter that is up. */
static bool is_driver(const struct core *core, const struct range_record *record)
{
    struct node_id voters[SLOTS_MAX];
    uint32_t count = record_voters(record, voters);
    for (uint32_t i = 0; i < count; i++) {
        if (core_is_up(core, voters[i]))
            return id_equal(voters[i], core->self);
    }
    return false;
}

static void drive_timer(struct core *core, void *machine, struct timer *timer);

static struct drive *drive_get(struct transfers *transfers, struct core *core, uint32_t range)
{
    struct drive *drive = map_get(&transfers->drives, (uint64_t)range + 1);
    if (drive == NULL) {
        drive = mem_zero(sizeof(*drive));
        drive->transfers = transfers;
        drive->range = range;
        drive->timer.fire = drive_timer;
        drive->timer.machine = drive;
        map_put(&transfers->drives, (uint64_t)range + 1, drive);
    }
    struct range_epoch epoch = range_epoch_of(held_record(core, range));
    if (range_epoch_compare(&drive->epoch, held_record(core, range)) != 0) {
        drive->epoch = epoch;
        drive->installed_count = 0;
        drive->cleaned_count = 0;
        drive->refused = 0;
        drive->tidied = false;
        drive->since_us = core->now.us;
        drive->progress_us = core->now.us;
        drive->note[0] = '\0';
    }
    return drive;
}

void drive_set_active(struct transfers *transfers, struct drive *drive, bool active)
{
    if (drive->active == active)
        return;
    drive->active = active;
    transfers->active = active ? transfers->active + 1 : transfers->active - 1;
    if (active) {
        drive->active_before = NULL;
        drive->active_next = transfers->actives;
        if (drive->active_next != NULL)
            drive->active_next->active_before = drive;
        transfers->actives = drive;
        return;
    }
    if (drive->active_next != NULL)
        drive->active_next->active_before = drive->active_before;
    if (drive->active_before != NULL)
        drive->active_before->active_next = drive->active_next;
    else
        transfers->actives = drive->active_next;
}

void drive_free(struct transfers *transfers, struct core *core, struct drive *drive)
{
    drive_set_active(transfers, drive, false);
    core_timer_clear(core, &drive->timer);
    map_remove(&transfers->drives, (uint64_t)drive->range + 1);
    mem_free(drive);
}

void drive_note(struct drive *drive, const char *text)
{
    snprintf(drive->note, sizeof(drive->note), "%s", text);
}

/* ------------------------------------------------------------------------------------- Facts. */

static bool has_installed(const struct core *core, const struct drive *drive, struct node_id node)
{
    if (id_equal(node, core->self))
        return core->holdings[drive->range].durable;
    for (uint32_t i = 0; i < drive->installed_count; i++) {
        if (id_equal(drive->installed[i], node))
            return true;
    }
    return false;
}

bool drive_fenced(const struct core *core, const struct drive *drive, struct node_id node,
                  const struct slot *slot)
{
    const struct range_record *record = held_record(core, drive->range);
    if (!id_none(node) && has_installed(core, drive, node))
        return true;
    uint32_t others = 0;
    for (uint32_t i = 0; i < record->slots_count; i++) {
        const struct slot *other = &record->slots[i];
        struct node_id reader = slot_reader(other);
        others += other != slot && !id_none(reader) && has_installed(core, drive, reader);
    }
    return others >= (RULE(K_FENCES) ? record_fence_quorum(record) : 1);
}

/* Ask all members that have not said so for their INSTALLED. */
static void remind(struct core *core, const struct drive *drive)
{
    struct node_id members[2 * SLOTS_MAX];
    uint32_t count = record_members(held_record(core, drive->range), members);
    for (uint32_t i = 0; i < count; i++) {
        if (has_installed(core, drive, members[i]) || id_equal(members[i], core->self) ||
            member_departed(&core->members, members[i]))
            continue;
        struct signal *signal = core_signal(core, SIGNAL_REMIND);
        signal->range = drive->range;
        signal->node = members[i];
    }
}

static void drive_timer(struct core *core, void *machine, struct timer *timer)
{
    (void)timer;
    struct drive *drive = machine;
    if (moving_slot(held_record(core, drive->range)) != NULL)
        remind(core, drive);
    drive_range(drive->transfers, core, drive->range);
}

/* ------------------------------------------------------------------------------------- Steps. */

struct range_record *drive_successor(struct core *core, uint32_t range)
{
    struct range_record *next = core_alloc(core, sizeof(*next));
    *next = *held_record(core, range);
    next->epoch++;
    return next;
}

void drive_propose(struct core *core, const struct range_record *next)
{
    if (next->epoch == 0)
        return; /* Nothing follows the last epoch, which only a forged record has. */
    struct signal *signal = core_signal(core, SIGNAL_PROPOSE);
    signal->range = next->range;
    signal->record = next;
}

void drive_propose_stage(struct core *core, uint32_t range, const struct slot *slot,
                         enum stage stage)
{
    struct range_record *next = drive_successor(core, range);
    struct slot *changed = record_slot_in(next, slot->number);
    changed->stage = stage;
    if (stage == STAGE_STABLE) {
        bool forward =
            slot->stage == STAGE_CUT || slot->stage == STAGE_LEARN || slot->stage == STAGE_REBUILD;
        struct node_id stays = forward ? slot->target : slot->owner;
        struct node_id goes = forward ? slot->owner : slot->target;
        changed->owner = stays;
        changed->target = NODE_NONE;
        next->transfer = 0;
        /* Nobody waits for the clean-up of a lost copy. */
        if (!id_none(goes) && slot->stage != STAGE_REBUILD)
            record_add_former(next, goes);
    } else if (slot->stage == STAGE_REBUILD) {
        changed->target = NODE_NONE; /* To FENCE. */
        next->transfer = 0;
        record_add_former(next, slot->target);
    }
    drive_propose(core, next);
}

void drive_propose_drop(struct core *core, uint32_t range, const struct slot *slot)
{
    struct range_record *next = drive_successor(core, range);
    if (slot->stage == STAGE_LEARN) {
        record_add_former(next, slot->target);
        next->transfer = 0;
    }
    record_drop_slot(next, slot->number);
    drive_propose(core, next);
}

/* Should a transfer that can still be taken back be taken back? */
static bool should_abort(struct core *core, struct drive *drive, const struct slot *slot)
{
    if (member_departed(&core->members, slot->target) || told_to_leave(core, slot->target)) {
        drive_note(drive, "taken back: the target leaves the cluster, or has left");
        return true;
    }
    if (drive->transfers->plan.state == PLAN_CANCELLED) {
        drive_note(drive, "taken back: cancelled");
        return true;
    }
    if (core_is_up(core, slot->target)) {
        drive->progress_us = core->now.us;
        return false;
    }
    drive_note(drive, "the target is down");
    return core->now.us - drive->progress_us > core->timing.abort_us;
}

static void step_moving(struct core *core, struct drive *drive, const struct slot *slot)
{
    const struct range_record *record = held_record(core, drive->range);
    bool complete = drive->complete == record->transfer && record->transfer != 0 &&
                    !member_departed(&core->members, slot->target);
    bool owner_lost = member_departed(&core->members, slot->owner);
    switch (slot->stage) {
    case STAGE_LEARN:
        if (complete || !RULE(FILLED_BEFORE_COUNTED))
            drive_propose_stage(core, drive->range, slot, STAGE_STABLE);
        else if (lost_teacher(core, drive, record) || should_abort(core, drive, slot))
            drive_propose_drop(core, drive->range, slot);
        break;
    case STAGE_JOINT:
        if (complete || !RULE(COMPLETE_BEFORE_CUT))
            drive_propose_stage(core, drive->range, slot, STAGE_CUT);
        else if (owner_lost || should_abort(core, drive, slot))
            drive_propose_stage(core, drive->range, slot, STAGE_STABLE);
        break;
    case STAGE_CUT:
        if (member_departed(&core->members, slot->target) && !owner_lost)
            drive_propose_stage(core, drive->range, slot, STAGE_BACK);
        else if (!RULE(FENCE_BEFORE_STABLE) || drive_fenced(core, drive, slot->owner, slot))
            drive_propose_stage(core, drive->range, slot, STAGE_STABLE);
        else if (!core_is_up(core, slot->target) &&
                 core->now.us - drive->progress_us > core->timing.abort_us)
            drive_propose_stage(core, drive->range, slot, STAGE_BACK);
        break;
    case STAGE_BACK:
        if (!RULE(BACK_FENCED) || drive_fenced(core, drive, slot->target, slot))
            drive_propose_stage(core, drive->range, slot, STAGE_STABLE);
        break;
    case STAGE_REBUILD:
        if (complete)
            drive_propose_stage(core, drive->range, slot, STAGE_STABLE);
        else if (should_abort(core, drive, slot))
            drive_propose_stage(core, drive->range, slot, STAGE_FENCE);
        break;
    case STAGE_STABLE:
    case STAGE_FENCE: /* On the way to nobody. */
        break;
    }
}

static bool has_cleaned(const struct drive *drive, struct node_id node)
{
    for (uint32_t i = 0; i < drive->cleaned_count; i++)
        if (id_equal(drive->cleaned[i], node))
            return true;
    return false;
}

/* Take those who have deleted their copy, or have departed, out of `former`. All that a node which
 * leaves was once a member of come at the same moment: they wait for the pace. */
static bool propose_tidy(struct core *core, struct drive *drive)
{
    const struct range_record *record = held_record(core, drive->range);
    struct range_record *next = drive_successor(core, drive->range);
    for (uint32_t i = 0; i < record->former_count; i++)
        if (member_departed(&core->members, record->former[i]) ||
            has_cleaned(drive, record->former[i]))
            record_remove_former(next, record->former[i]);
    if (next->former_count == record->former_count)
        return false;
    if (!drive->tidied && !pace_free(&core->pace, core->now.us)) {
        core_timer_by(core, &drive->timer, transfer_turn_us(core));
        return false;
    }
    if (!drive->tidied)
        pace_take(&core->pace, core->now.us, core->self, PACE_RECORD_COST);
    drive->tidied = true;
    drive_propose(core, next);
    return true;
}

/* The record is at rest: count what became of the move that was under way. */
static void settle(struct core *core, struct drive *drive, const struct range_record *record)
{
    if (!drive->moving)
        return;
    drive->moving = false;
    const struct slot *slot = record_slot(record, drive->moving_slot);
    if (slot != NULL && id_equal(slot->owner, drive->move.to))
        core->counters.transfers_done++;
    else
        core->counters.transfers_aborted++;
}

/* A slot in FENCE goes its own way (transfer_lost.c), and no slot is added beside one: the range
 * would need more copies to agree, with one of them lost. */
static bool may_start(const struct range_record *record, const struct plan_move *move)
{
    const struct slot *slot = record_slot(record, move->slot);
    if (slot == NULL)
        return moving_slot(record) == NULL;
    return slot->stage == STAGE_STABLE;
}

void drive_range(struct transfers *transfers, struct core *core, uint32_t range)
{
    const struct holding *holding = &core->holdings[range];
    const struct range_record *record = &holding->record;
    struct drive *drive = map_get(&transfers->drives, (uint64_t)range + 1);
    bool mine = record->epoch > 0 && holding->ready && holding->durable &&
                record_slot_read_by(record, core->self) != NULL && is_driver(core, record) &&
                record_compare(record, ring_get(&core->ring, range)) == 0;
    if (!mine) {
        /* Between adopting a record and its sync the drive just waits. */
        if (drive != NULL && holding->durable)
            drive_free(transfers, core, drive);
        return;
    }
    const struct slot *slot = moving_slot(record);
    bool moves = slot != NULL && slot->stage != STAGE_FENCE;
    const struct slot *lost = moves ? NULL : lost_slot(core, record);
    const struct plan_move *move = moves ? NULL : drive_next_move(transfers, core, range);
    if (!moves && drive != NULL)
        settle(core, drive, record);
    bool idle = slot == NULL && lost == NULL && record->former_count == 0;
    if (idle && move == NULL) {
        if (drive != NULL)
            drive_free(transfers, core, drive);
        return;
    }
    /* Without a drive until its turn comes, or each look for work would pass over all that wait. */
    if (drive == NULL && idle && !id_none(move->to) && !drive_has_room(transfers, move->to))
        return;
    drive = drive_get(transfers, core, range);
    if (moves) {
        drive_set_active(transfers, drive, true);
        drive->move.to = slot->target;
        drive->moving = true;
        drive->moving_slot = slot->number;
        drive->offered = 0;
        core_timer_by(core, &drive->timer, core->now.us + core->timing.retry_us);
        step_moving(core, drive, slot);
        return;
    }
    drive->complete = 0;
    if (drive->offered == 0)
        drive_set_active(transfers, drive, false);
    if (propose_tidy(core, drive))
        return;
    if (lost != NULL) {
        lost_fence(transfers, core, range, lost);
        return;
    }
    if (slot != NULL) {
        /* Once it is fenced it waits for its turn, or for somebody to take it: many may. */
        bool fenced = drive_fenced(core, drive, NODE_NONE, slot);
        core_timer_by(core, &drive->timer,
                      core->now.us + (fenced ? core->timing.gossip_us : core->timing.retry_us));
        if (lost_step(transfers, core, drive))
            return;
    }
    if (move != NULL && may_start(record, move)) {
        drive_start(transfers, core, drive, move);
        return;
    }
    drive->offered = 0;
    drive_set_active(transfers, drive, false);
}

void transfers_peer_installed(struct transfers *transfers, struct core *core,
                              const struct signal *signal)
{
    const struct range_record *record = held_record(core, signal->range);
    if (range_epoch_compare(&signal->installed, record) != 0 || moving_slot(record) == NULL ||
        !is_driver(core, record))
        return;
    /* A peer's disk may be faster than ours: the fact is kept while our own install is not durable.
     */
    struct drive *drive = drive_get(transfers, core, signal->range);
    if (has_installed(core, drive, signal->node) || drive->installed_count == INSTALLED_MAX)
        return;
    drive->installed[drive->installed_count++] = signal->node;
    drive_range(transfers, core, signal->range);
}

void drive_completed(struct transfers *transfers, struct core *core, struct node_id from,
                     const struct message *message)
{
    uint32_t range = message->chunk.range.range;
    const struct range_record *record = held_record(core, range);
    if (record->epoch == 0 || !is_driver(core, record))
        return;
    struct drive *drive = drive_get(transfers, core, range);
    if (message->chunk.transfer != 0) {
        const struct slot *slot = record_slot_written_by(record, from);
        bool current = message->chunk.transfer == record->transfer || !RULE(COMPLETE_HAS_ID);
        if (current && slot != NULL && id_equal(slot->target, from))
            drive->complete = record->transfer;
    } else if (record_has_former(record, from) && drive->cleaned_count < FORMER_MAX &&
               !has_cleaned(drive, from) &&
               range_epoch_compare(&message->chunk.range, record) == 0) {
        drive->cleaned[drive->cleaned_count++] = from;
    }
    drive_range(transfers, core, range);
}
