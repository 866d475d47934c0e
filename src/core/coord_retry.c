/* Retries of puts: by the name that their client gave them, they take effect once here. */
#include "core/coord_op.h"

#include "base/rule.h"

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
    put_restart(core, first);
    return true;
}
