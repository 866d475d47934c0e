/* What operations under way do when a range gets a newer record, or a peer is lost. */
#include "core/coord_op.h"

void coord_record(struct coord *coord, struct core *core, uint32_t range)
{
    struct coord_op *older;
    for (struct coord_op *op = coord->newest; op != NULL; op = older) {
        older = op->older;
        if (op->range != range || range_epoch_compare(&op->epoch, op_record(core, op)) >= 0)
            continue;
        switch (op->state) {
        case OP_WAITING:
            op_route(core, op);
            break;
        case OP_WRITING:
            if (op->request.method == METHOD_EDIT)
                edit_record(core, op);
            else
                put_restart(core, op);
            break;
        case OP_ASKING:
            edit_record(core, op);
            break;
        case OP_READING:
            op->epoch = range_epoch_of(op_record(core, op));
            if (op->heals)
                heal_start(core, op);
            else if (op->answered)
                op_free(core, op); /* The next read repairs under the newer record. */
            else
                get_start(core, op);
            break;
        case OP_SCANNING:
            if (op->heals)
                hole_portion(core, op);
            else
                scan_range(core, op);
            break;
        case OP_FORWARDED: /* The target knows better, and will say so. */
        case OP_MERGING:   /* Looked at once merged. */
        case OP_STORING:   /* Sent to the new record's slots once stored. */
            break;
        }
    }
}

void coord_peer_lost(struct coord *coord, struct core *core, struct node_id node)
{
    struct coord_op *older;
    for (struct coord_op *op = coord->newest; op != NULL; op = older) {
        older = op->older;
        if (op->state != OP_FORWARDED || !id_equal(op->target, node))
            continue;
        if (op->request.method == METHOD_GET) {
            op->avoid = node;
            op_route(core, op);
        } else {
            op_fail(core, op, ERR_TIMEOUT,
                    slice_string("the coordinator was lost; the write may still take effect"));
        }
    }
}
