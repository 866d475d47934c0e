/* Puts in order: what becomes of a put whose acknowledgements showed a later version. It is written
 * once more above that before it is answered, so that of two puts the one that began when the other
 * was acknowledged reads as the later one, whatever the clocks say (invariant LaterReadsLater). */
#include "core/coord_op.h"
#include "data/vector.h"

#include "base/rule.h"

/* How often the pause until the next look doubles, up to the retry interval. */
enum { LOOKS_DOUBLED = 7 };

/* Did the writer of a version in OBJECT see ours? Then the order is right already, and ours must
 * not come back above what overwrote it. */
static bool overtaken(struct core *core, const struct coord_op *op, struct slice bytes)
{
    struct object object;
    if (object_decode(bytes, &core->out->arena, &object) < 0)
        return false;
    bool covered = vector_covers(object.history, op->dot);
    for (uint32_t i = 0; i < object.count; i++)
        covered = covered || vector_covers(object.siblings[i].context, op->dot);
    return covered && RULE(REWRITE_NOT_OVERTAKEN);
}

/* Ours was overtaken, but do reads of BYTES show neither what overtook it nor anything newer, but a
 * version that our writers had before ours? That one may have been acknowledged before our put
 * began. Whoever overtook us writes once more above it; until then nobody may hear of ours. */
static bool still_hidden(struct core *core, const struct coord_op *op, struct slice bytes)
{
    struct object object;
    struct object later;
    if (!RULE(OVERTAKER_AWAITED) || object_decode(bytes, &core->out->arena, &object) < 0 ||
        object_decode(buf_slice(&op->later), &core->out->arena, &later) < 0 || object.count == 0)
        return false;
    const struct sibling *shown = &object.siblings[0];
    for (uint32_t i = 1; i < object.count; i++) {
        const struct sibling *one = &object.siblings[i];
        if (stamp_after((struct stamp){one->hlc, one->dot}, (struct stamp){shown->hlc, shown->dot}))
            shown = one;
    }
    return !vector_covers(shown->context, op->dot) && object_sibling(&later, shown->dot) != NULL;
}

/* A later version than ours was seen: write once more, so that every put that begins from now on,
 * and ours, read in the order in which they were acknowledged (invariant LaterReadsLater). First
 * what was seen is merged here: our own copy may know meanwhile that ours was overwritten. */
void order_rewrite(struct core *core, struct coord_op *op)
{
    op->rewritten = true;
    op->first = op->first.counter > 0 ? op->first : op->dot;
    op->dot = op->first; /* Until the second one is stored. */
    if (RULE(REWRITE_RENAMES))
        op_rename(op); /* What acknowledges the first version says nothing of the second. */
    put_merge(core, op, buf_slice(&op->later));
    (void)core_hlc_seen(core, object_hlc(buf_slice(&op->later)));
}

/* Whoever overtook us writes once more in the time that a put takes: soon, and less often the
 * longer it does not happen. */
static void look_again(struct core *core, struct coord_op *op)
{
    op->state = OP_WRITING;
    op->retry_at_us = core->now.us + ((core->timing.retry_us >> LOOKS_DOUBLED) << op->looks);
    op->looks = (uint8_t)MIN(op->looks + 1, LOOKS_DOUBLED);
    op_schedule(core, op);
}

/* A write that has waited for the store since then may overtake it even now: then the second
 * version is not made (ERR_CONFLICT), and this is asked again. */
void order_merged(struct core *core, struct coord_op *op, const struct store_done *done)
{
    op->dot = op->first;
    if (!overtaken(core, op, done->object)) {
        put_update(core, op, op->request.context);
        return;
    }
    op->rewritten = !still_hidden(core, op, done->object);
    if (op->rewritten) {
        /* What hides the earlier version from reads may be here only: others are to have it too. */
        put_take_object(op, done);
        put_write(core, op, done->position);
        return;
    }
    look_again(core, op);
    if (range_epoch_compare(&op->epoch, op_record(core, op)) != 0)
        put_restart(core, op);
}

/* The first version stands, and may be on other nodes: never tell the client that nothing was
 * changed. Under a newer record it is sent, and looked at, again. */
void order_refused(struct core *core, struct coord_op *op, int error)
{
    if (error == ERR_WRONG_EPOCH) {
        op->rewritten = false;
        op->dot = op->first;
        op->state = OP_WRITING;
        put_restart(core, op);
        return;
    }
    put_remember(core, op, false, 0, false);
    op_fail(core, op, ERR_TIMEOUT,
            slice_string("the write is stored, but could not be ordered behind a later one"));
}

/* Was a later version seen in an acknowledgement? Then reads may show one that was acknowledged
 * before our put began; and if ours was overtaken by something later still, that may be where it
 * was seen alone. */
bool order_saw_later(const struct coord_op *op)
{
    /* An edit follows all that a quorum held; what it did not see is concurrent with it. */
    bool ordered =
        op->bucket.policy != POLICY_SIBLINGS && !op->fallback && op->request.method != METHOD_EDIT;
    return RULE(REWRITE_WHEN_LATER) && ordered && op->later.size > 0 && !op->rewritten;
}

/* A fallback made a version that some owner has beneath another: it may have been stamped by a
 * clock that is behind, and is not written once more. */
bool order_unsure(const struct coord_op *op)
{
    return op->fallback && op->bucket.policy != POLICY_SIBLINGS && op->later.size > 0;
}

/* Only a reader makes versions. Where the slot has moved away meanwhile, nobody may write this one
 * once more, and to answer success would promise an order that reads do not keep. */
void order_behind(struct core *core, struct coord_op *op)
{
    bool reader = record_slot_read_by(op_record(core, op), core->self) != NULL;
    if (!reader) {
        put_remember(core, op, false, 0, false);
        op_fail(core, op, ERR_TIMEOUT,
                slice_string("the write is stored, but its range moved away before it could be "
                             "ordered behind a later one"));
    } else if (op->local && op_serves(core, op->range)) {
        order_rewrite(core, op);
    } /* Else a moment later: our own copy is on its way to the disk, or a record is. */
}
