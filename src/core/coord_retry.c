/* Retries of puts: by the name that their client gave them, they take effect once here. */
#include "core/coord_op.h"

#include "base/rule.h"

void put_merge(struct core *core, struct coord_op *op, struct slice object)
{
    struct range_epoch installed = range_epoch_of(&core->holdings[op->range].record);
    struct store_op *merge = op_store(core, op, STORE_MERGE, &installed);
    merge->sync = put_synced(op);
    merge->object = object;
    op->state = OP_STORING;
}

/* OP, which a client gave up and asks for again. What had been acknowledged may have been lost
 * since, and healed from others that had nothing of it (docs/decisions/0019): the own log takes it
 * once more, and everybody is asked anew. */
static void revive(struct core *core, struct coord_op *op)
{
    op_schedule(core, op);
    if (op->state != OP_WRITING)
        return; /* Nothing was acknowledged yet. */
    if (op_serves(core, op->range) && RULE(REVIVED_STORED)) {
        op->revived = true;
        put_merge(core, op, buf_slice(&op->object));
        return;
    }
    op->left = op->left || RULE(REVIVED_STORED); /* The own copy counts no more. */
    put_restart(core, op);
}

/* Without our own copy where it was not taken: others may have it. */
void put_revived(struct core *core, struct coord_op *op, const struct store_done *done)
{
    op->revived = false;
    if (done->error == 0) {
        put_write(core, op, done->position);
        return;
    }
    op->left = true;
    op->state = OP_WRITING;
    put_restart(core, op);
}

/* A retry of a put that this node coordinates, or coordinated: answers it and returns true. Who
 * asked first hears that the retry took over. */
bool put_is_retry(struct core *core, struct coord_op *op)
{
    if (op->request.client == 0 || !RULE(RETRY_ONCE))
        return false;
    struct recent *recent = &op->coord->recent;
    struct recent_put *put = recent_find(recent, op->request.client, op->request.sequence);
    if (put == NULL || put->op == op->id)
        return false;
    /* Another retry may follow this one, as long after it as this one after the first. */
    put->expires_us = MAX(put->expires_us, core->now.us + 2 * op->given_us);
    if (put->op == 0) {
        op->needed = put->needed;
        struct answer *out = op_answer(core, op, 0);
        out->got = put->got;
        out->sloppy = put->sloppy;
        out->hlc = put->hlc;
        op_free(core, op);
        return true;
    }
    struct coord_op *first = map_get(&op->coord->ops, put->op);
    if (first == NULL) { /* Over, and nobody knows how. */
        recent_remove(recent, op->request.client, op->request.sequence);
        return false;
    }
    op_swap_askers(first, op);
    if (!first->answered) {
        op_fail(core, op, ERR_TIMEOUT, slice_string("a retry of this request took over"));
        return true;
    }
    /* The first was told TIMEOUT: go on with the same version, to the retry's deadline. */
    first->answered = false;
    op->coord->active++;
    first->deadline = op->deadline;
    first->deadline_us = op->deadline_us;
    op_free(core, op);
    revive(core, first);
    return true;
}
