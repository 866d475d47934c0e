/* Healing: a record of this node turned out damaged, and with it was lost what its slot had
 * acknowledged of the key. The key is whole again once it is merged with what K = s - q + 1 of the
 * range's s slots hold, this node's own not counted: then every write that q slots acknowledged is
 * among it (as in stage REBUILD). Until then reads of it are UNREADABLE here, which counts as
 * silence; writes are kept.
 *
 * It is a get that asks the others only, answers nobody, and merges the outcome here. A crash, a
 * lost message, a peer that is down: it ends without effect, and the store, which remembers, tells
 * of the key again. Repeated it merges what is merged. Where the record is lost once more
 * meanwhile, with what was written and acknowledged since, it heals nothing.
 *
 * It begins when nobody counts any more what this slot acknowledged before the loss (damage.h):
 * what the others hold says nothing of a write that is still on its way to them.
 *
 * A damaged hint holds nothing any more that could be delivered. What it is for is what the other
 * copies hold: when all owners of the key were asked and have the same, it is forgotten; when they
 * have not, they are repaired as after any get, and asked again later. */
#include "core/coord_op.h"

#include "base/rule.h"
#include "core/buckets.h"

enum {
    HEALS_MAX = 64,
    HEAL_DEADLINE_MS = 10000, /* Nobody waits; and clocks that nobody can judge may be far off. */
};

static void heal(struct coord *coord, struct core *core, struct slice bucket, struct slice key,
                 uint64_t number, bool discards)
{
    uint32_t count = 0;
    for (const struct coord_op *op = coord->newest; op != NULL; op = op->older) {
        if (op->heals && op->discards == discards && slice_equal(op->request.bucket, bucket) &&
            slice_equal(op->request.key, key))
            return;
        count += op->heals;
    }
    if (count >= HEALS_MAX || coord->active >= coord->active_max || coord->draining)
        return;
    struct request request = {.method = METHOD_GET, .bucket = bucket, .key = key};
    struct coord_op *op = op_new(coord, core, &request);
    op->heals = true;
    op->discards = discards;
    op->loss = number;
    op->deadline = hlc_at(core->now.wall_ms + HEAL_DEADLINE_MS);
    op->deadline_us = core->now.us + HEAL_DEADLINE_MS * 1000;
    op->retry_at_us = core->now.us + core->timing.retry_us;
    heal_start(core, op);
}

void coord_damaged(struct coord *coord, struct core *core, struct slice bucket, struct slice key,
                   uint64_t number)
{
    heal(coord, core, bucket, key, number, false);
}

void coord_hint_damaged(struct coord *coord, struct core *core, struct slice bucket,
                        struct slice key)
{
    heal(coord, core, bucket, key, 0, true);
}

/* All owners, but for this node: what it owns itself is compared like any replica. */
static uint8_t owners_needed(const struct core *core, const struct range_record *record)
{
    return (uint8_t)(record_counted(record) - (record_slot_read_by(record, core->self) != NULL));
}

uint8_t heal_needed(const struct core *core, const struct range_record *record)
{
    uint32_t slots = record_counted(record);
    uint32_t least = slots - (slots / 2 + 1) + 1;
    const struct slot *own = record_slot_read_by(record, core->self);
    uint32_t others = slots - (own != NULL && own->stage != STAGE_LEARN);
    return (uint8_t)(RULE(HEALED_BY_K) ? MIN(least, others) : MIN(1u, others));
}

void heal_start(struct core *core, struct coord_op *op)
{
    const struct range_record *record = op_record(core, op);
    if (record->epoch == 0) { /* Nobody has told us yet who the others are. */
        op_free(core, op);
        return;
    }
    op->state = OP_READING;
    op->epoch = range_epoch_of(record);
    op->needed = op->discards ? owners_needed(core, record) : heal_needed(core, record);
    op->asked = op->got = op->stale = 0;
    buf_clear(&op->object);
    op_schedule(core, op);
    if (op->needed == 0)
        heal_finish(core, op);
    else
        get_ask(core, op, op->needed);
}

static void discard(struct core *core, struct coord_op *op)
{
    hinted_renew_tenure(&core->hinted, op->range); /* Whatever removes a hint ends it (hints.h). */
    struct store_op *store = op_store(core, op, STORE_HINT_SETTLE, NULL);
    store->sync = true;
    store->heals = true;
}

void heal_finish(struct core *core, struct coord_op *op)
{
    if (op->discards) {
        if (op->stale == 0)
            discard(core, op);
        get_finish(core, op);
        return;
    }
    struct store_op *store = op_store(core, op, STORE_MERGE, &op->epoch);
    store->object = buf_slice(&op->object);
    store->sync = true;
    store->heals = true;
    store->loss = op->loss;
    store->alone = op->needed == 0;
    store->drops_count =
        buckets_dropped(&core->settings, &core->out->arena, (struct drop_line **)&store->drops);
    get_finish(core, op);
}

/* ------------------------------------------------------- A put that met a damaged record. */

void put_unreadable(struct core *core, struct coord_op *op)
{
    op->renewing = true;
    core_signal(core, SIGNAL_UNREADABLE)->range = op->range;
}

void coord_renewed(struct coord *coord, struct core *core, uint32_t range)
{
    struct coord_op *older;
    for (struct coord_op *op = coord->newest; op != NULL; op = older) {
        older = op->older;
        if (op->range != range || !op->renewing)
            continue;
        op->renewing = false;
        op->renewed = true;
        put_again(core, op);
    }
}
